"""The versions of the packages that bear on a number."""

from importlib import metadata


def version_of(package: str) -> str | None:
    """Return the version of a package, or ``None`` where it is not installed; SynBench's own wherever it runs from.

    >>> version_of("numpy") is None, version_of("no such package")
    (False, None)
    """
    if package == "synbench":
        from . import __version__

        return __version__
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
