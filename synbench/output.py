"""Writing a file whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .errors import OutputError


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a stream whose content takes the place of ``path`` when the block ends without an error.

    A link is followed; what is no ordinary file (a terminal, a pipe) is written to as it is.

    Raises:
        OutputError: the file cannot be written there.
    """
    try:
        path = path.resolve()
        if path.exists() and not path.is_file():
            with path.open("wb") as stream:
                yield stream
            return
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        half = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
            # mkstemp makes a private file; a result gets the permissions that any new file would.
            half.chmod(new_file_mode())
            half.replace(path)
        finally:
            half.unlink(missing_ok=True)
    except OSError as error:
        raise _refusal(path, error) from error


def new_file_mode() -> int:
    """Return the permissions of a new file."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def check_writable(path: Path) -> None:
    """Try whether a file can be written, before the long run that it is for.

    Raises:
        OutputError: it cannot.
    """
    if path.is_dir():
        raise OutputError(f"expected the name of a file to write to, got the folder {str(path)!r}. Add a file name.")
    try:
        place = path.resolve()
        if place.exists() and not place.is_file():
            return
        handle, probe = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    except OSError as error:
        raise _refusal(path, error) from error
    os.close(handle)
    Path(probe).unlink()


def _refusal(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write {str(path)!r}: {error.strerror or error}. "
        f"Give a file in a folder that exists and can be written."
    )
