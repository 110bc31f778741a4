"""What was done, one fsynced line a step: after a kill at any point the next run knows where the last one stood.

Lines are JSON objects and are only ever added. A line that was cut off in the middle of its write stays where it is;
the next writer begins a new line that tells how many bytes were torn, so that a reader can tell a torn line, which is
skipped, from what somebody else wrote there, which is an error. One process writes at a time.
"""

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from synbench.errors import ArgumentError, OutputError
from synbench.report import Record

Event = Literal[
    # of scoring
    "started",
    "scored",
    "failed",
    "crashed",
    "timeout",
    "interrupted",
    # of publishing; "failed" is one of these too
    "planned",
    "sent",
    "opened",
    "amended",
    "merged",
    "opted-out",
    "skipped",
    # of the journal itself
    "repaired",
]

_LOCK_WAIT = 1.0
"""Seconds: a process that was killed while it started another leaves the lock with that one for a moment."""

_TOKEN = re.compile(r"(hf|api_org)_[A-Za-z0-9]{4,}")


class Entry(Record):
    """One line of a journal."""

    time: str = Field(description="UTC; for people: what counts is the order of the lines.")
    event: Event
    repo: str | None = Field(None, description="Id of the model; None for lines about the journal itself.")
    commit: str | None = Field(None, description="Of the model that was scored.")
    key: str | None = Field(None, description="Digest of the settings, or of what is published.")
    number: int | None = Field(None, description="Of the pull request.")
    reason: str | None = None
    permanent: bool | None = Field(None, description="Whether another attempt would end the same.")
    seconds: float | None = None
    torn: int | None = Field(None, description="Bytes before this line that are no entry.")

    def line(self) -> bytes:
        """Return the entry as it is written, in plain ASCII."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True)).encode() + b"\n"


@dataclass
class Journal:
    """A journal that is open for writing; see ``writing``.

    Attributes:
        path: of the file.
        entries: all lines, those that were there and those that were added.
    """

    path: Path
    entries: list[Entry]
    _handle: int = field(repr=False)

    def append(
        self,
        event: Event,
        repo: str | None = None,
        *,
        commit: str | None = None,
        key: str | None = None,
        number: int | None = None,
        reason: str | None = None,
        permanent: bool | None = None,
        seconds: float | None = None,
    ) -> Entry:
        """Add a line, and return when it is on the disk.

        Raises:
            OutputError: it cannot be written; nothing must be done then that the line was to tell of.
        """
        entry = Entry(
            time=_now(),
            event=event,
            repo=repo,
            commit=commit,
            key=key,
            number=number,
            reason=None if reason is None else without_tokens(reason),
            permanent=permanent,
            seconds=None if seconds is None else round(seconds, 2),
        )
        self._write(entry.line())
        self.entries.append(entry)
        return entry

    def _write(self, line: bytes) -> None:
        try:
            while line:
                line = line[os.write(self._handle, line) :]
            os.fsync(self._handle)
        except OSError as error:
            raise OutputError(
                f"cannot write the journal {str(self.path)!r}: {error.strerror or error}. Nothing is done that it "
                f"cannot tell of: make room, and run this again."
            ) from error


@contextmanager
def writing(path: Path) -> Iterator[Journal]:
    """Open a journal for adding lines, as its only writer; it is made if it is not there.

    Raises:
        ArgumentError: another process writes it, or it holds what no journal does.
        OutputError: it cannot be written.
    """
    try:
        new = not path.exists()
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError as error:
        raise OutputError(
            f"cannot write the journal {str(path)!r}: {error.strerror or error}. Give a folder that can be written."
        ) from error
    try:
        _lock(handle, path)
        content = path.read_bytes()
        entries, torn_from = _parse(content, path)
        journal = Journal(path, entries, handle)
        newline = b"" if content.endswith(b"\n") or not content else b"\n"
        if torn_from is not None:
            torn = len(content) + len(newline) - torn_from
            journal._write(newline + Entry(time=_now(), event="repaired", torn=torn).line())  # noqa: SLF001
        elif newline:
            journal._write(newline)  # noqa: SLF001
        if new:
            _sync_folder(path.parent)
        yield journal
    finally:
        # Gives the lock back too.
        os.close(handle)


def read(path: Path) -> list[Entry]:
    """Return the entries of a journal, which somebody else may be writing; none if there is no such file.

    Raises:
        ArgumentError: it cannot be read, or a line is no entry; the message names the line.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ArgumentError(f"cannot read the journal {str(path)!r}: {error.strerror or error}.") from error
    return _parse(content, path)[0]


def without_tokens(text: str) -> str:
    """Return a text with tokens of the Hub taken out.

    >>> without_tokens("401 for hf_abcdefghij")
    '401 for hf_***'
    """
    return _TOKEN.sub(r"\1_***", text)


def _parse(content: bytes, path: Path) -> tuple[list[Entry], int | None]:
    """Return the entries, and where a torn end begins that no line tells of yet."""
    entries: list[Entry] = []
    start, torn_from, first_torn = 0, -1, 0
    for number, line in enumerate(_lines(content), 1):
        entry = _entry(line)
        if entry is None:
            if not _may_be_torn(line):
                raise _foreign(path, first_torn or number)
            # The line that should tell of a torn one may be torn too.
            torn_from, first_torn = (torn_from, first_torn) if first_torn else (start, number)
        else:
            if first_torn and (entry.event != "repaired" or entry.torn != start - torn_from):
                raise _foreign(path, first_torn)
            torn_from, first_torn = -1, 0
            entries.append(entry)
        start += len(line)
    return entries, torn_from if first_torn else None


def _lines(content: bytes) -> list[bytes]:
    *whole, rest = content.split(b"\n")
    return [line + b"\n" for line in whole] + [rest] * bool(rest)


def _entry(line: bytes) -> Entry | None:
    try:
        return Entry.model_validate_json(line)
    except ValidationError:
        return None


def _may_be_torn(line: bytes) -> bool:
    """Tell whether a line may be the beginning of an entry: nothing else is ever left by a kill or a power cut."""
    if not line.startswith((b"{", b"\0")):
        return False
    try:
        json.loads(line)
    except ValueError:
        return True
    return False


def _foreign(path: Path, number: int) -> ArgumentError:
    return ArgumentError(
        f"line {number} of the journal {str(path)!r} is no entry of this version of SynBench: somebody else has "
        f"written there. Put it right or take it out: what the lines tell is needed so that nothing is done twice."
    )


def _lock(handle: int, path: Path) -> None:
    until = time.monotonic() + _LOCK_WAIT
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= until:
                raise ArgumentError(
                    f"another process is writing the journal {str(path)!r}: there is one writer at a time. Wait until "
                    f"it is done, or end it."
                ) from error
            time.sleep(0.05)
        except OSError as error:
            raise OutputError(
                f"cannot lock the journal {str(path)!r}: {error.strerror or error}. Keep it on a disk of this machine."
            ) from error


def _sync_folder(folder: Path) -> None:
    """Make the name of a new file as durable as its lines."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
