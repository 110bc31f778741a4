"""The file of the queue: SQLite's, so that whatever is told to be in it is, also after a kill at any point."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self

from synbench.errors import ArgumentError, OutputError

FILE = "queue.sqlite3"
"""Name of the queue in a folder of results."""

_FORMAT = 1
_BUSY = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS models (
    repo TEXT PRIMARY KEY,
    head TEXT NOT NULL,                 -- newest commit of main that is known
    state TEXT NOT NULL,                -- waiting, running, done, failed
    turn INTEGER NOT NULL,              -- order of arrival
    serial INTEGER NOT NULL DEFAULT 0,  -- counts the events
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    told TEXT NOT NULL DEFAULT ''       -- how the last attempt ended
);
CREATE TABLE IF NOT EXISTS scores (
    repo TEXT PRIMARY KEY,
    head TEXT NOT NULL,
    weights TEXT NOT NULL,
    settled INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS sweeps (scope TEXT PRIMARY KEY, moment TEXT NOT NULL);
"""


class QueueFile:
    """The open file; any number of threads may share one, and any number of processes each have their own.

    Args:
        path: made where there is none.

    Raises:
        OutputError: the file cannot be made or opened.
        ArgumentError: it is something else.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise OutputError(f"cannot open the queue {str(path)!r}: {error}. Give a folder that exists.") from error
        try:
            self._prepare(path)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """Give what runs a statement; all of them count, or none."""
        with self._lock:
            if self._connection.in_transaction:
                # An interruption came between two lines of this function.
                self._connection.execute("ROLLBACK")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection.execute
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _prepare(self, path: Path) -> None:
        try:
            self._connection.execute("PRAGMA synchronous = FULL")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, _FORMAT):
                raise ArgumentError(
                    f"expected a queue of format {_FORMAT} in {str(path)!r}, got {version}. "
                    f"Use the SynBench that wrote it, or another folder."
                )
            with self.transaction() as run:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    run(statement)
                run(f"PRAGMA user_version = {_FORMAT}")
        except sqlite3.OperationalError as error:
            raise OutputError(
                f"cannot use the queue {str(path)!r}: {error}. Give a folder that exists and can be written."
            ) from error
        except sqlite3.DatabaseError as error:
            raise ArgumentError(
                f"expected a queue in {str(path)!r}, got something else ({error}). "
                f"Move it away, or give another folder."
            ) from error


@contextmanager
def only_worker(path: Path) -> Iterator[None]:
    """Be the one process that works off a queue; the system ends that with the process, however it dies.

    Args:
        path: of the queue.

    Raises:
        ArgumentError: there is one already.
    """
    # SQLite's own lock on a file beside it: the same on every system, and never left behind.
    with closing(sqlite3.connect(path.with_suffix(".worker"), timeout=0, isolation_level=None)) as connection:
        _take(connection, path)
        yield


def _take(connection: sqlite3.Connection, path: Path) -> None:
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        raise ArgumentError(
            f"another process works off the queue {str(path)!r} already. End it, or give another folder for results."
        ) from error
