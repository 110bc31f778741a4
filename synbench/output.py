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

    Raises:
        OutputError: the file cannot be written there.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _refusal(path, error) from error
    half = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        # mkstemp makes a private file; a result gets the permissions that any new file would.
        mask = os.umask(0)
        os.umask(mask)
        half.chmod(0o666 & ~mask)
        try:
            half.replace(path)
        except OSError as error:
            raise _refusal(path, error) from error
    finally:
        half.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Try whether a file can be written, before the long run that it is for.

    Raises:
        OutputError: it cannot.
    """
    if path.is_dir():
        raise OutputError(f"expected the name of a file to write to, got the folder {str(path)!r}. Add a file name.")
    try:
        handle, probe = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _refusal(path, error) from error
    os.close(handle)
    Path(probe).unlink()


def _refusal(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write {str(path)!r}: {error.strerror or error}. "
        f"Give a file in a folder that exists and can be written."
    )
