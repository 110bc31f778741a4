"""Representations kept on disk, piece by piece, so that no forward pass is made twice.

A folder an entry, named by the digest of everything that changes the vectors (``Key``); in it ``key.json``, and one
file for each piece of consecutive images, with a checksum. Files appear whole or not at all, so an interrupted or
killed run leaves what it had finished, and any number of runs and processes share an entry without locks: whoever
writes a piece writes the same one. What does not fit its checksum is deleted, told, and embedded again.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
import time
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from jaxtyping import Float, Float64

from .cache import KEY_FILE, LIMIT_VARIABLE, PIECE_FILE, digest_of, entries_root, limit, list_entries, replace_file

FORMAT = 1
"""Counts the changes of the files, and of the way from pixels to vectors."""

_ABANDONED = 24 * 3600.0
_TOUCHED_EVERY = 60.0
_TICK = 50_000_000


class AnyKey(Protocol):
    """What an entry is named by: a dataclass of everything that changes its vectors, and the digest of it."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def digest(self) -> str:
        """The name of the entry."""


@dataclass(frozen=True)
class Key:
    """Everything that changes the vectors of a study; two keys that differ in anything share nothing.

    Attributes:
        encoder: commit on the Hub, or digest of a folder's files; with the seed of an untrained twin's weights.
        architecture: the class that ran.
        pooling: output field and reduction.
        image_shape: channels, height, width.
        image_mean: by channel.
        image_std: by channel.
        channel_order: which image channel goes where.
        dtype: precision of weights and arithmetic.
        device: type of device, such as ``"cpu"``: each draws numbers of its own.
        protocol: ``"population"`` or ``"paper"``.
        seed: of the mixture.
        direction: of the class means.
        scales: of the population protocol, whose images each have one of them; the paper's are in the names of files.
        renderer: version of the code that draws.
        libraries: versions of what computes the vectors.
        format: version of the files.
    """

    encoder: str
    architecture: str
    pooling: str
    image_shape: tuple[int, int, int]
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]
    channel_order: tuple[int, ...]
    dtype: str
    device: str
    protocol: str
    seed: int
    direction: str
    scales: tuple[float, ...]
    renderer: int
    libraries: tuple[tuple[str, str], ...]
    format: int = FORMAT

    @property
    def digest(self) -> str:
        """The name of the entry."""
        return digest_of(asdict(self))


@dataclass(frozen=True)
class Piece:
    """The vectors of the images start … stop−1 of a part, and their coordinates (NaN where there are none).

    Vectors are float32; what else is kept here (see ``synbench.probe.kept``) may be of another kind.
    """

    start: int
    stop: int
    values: Float[np.ndarray, "n d"]
    coordinates: Float64[np.ndarray, " n"]


class Entry:
    """The stored pieces of one study, in the folder of its key.

    Attributes:
        notes: what went wrong, for the report.
    """

    def __init__(
        self, key: AnyKey, model: str, *, fresh: bool = False, clear: bool = True, holds: str = "representations"
    ) -> None:
        """Open an entry; nothing is written before the first piece.

        Args:
            key: what the vectors depend on.
            model: the name to list it by.
            fresh: read nothing that was stored before.
            clear: delete it in that case; of several processes, the main one does.
            holds: what notes call what is kept.
        """
        self.folder = entries_root() / key.digest
        self.notes: list[str] = []
        self._key, self._model, self._fresh, self._holds = key, model, fresh, holds
        self._left: float | None = None
        self._listed: tuple[int, dict[str, list[tuple[int, int]]]] = (-1, {})
        self._touched = -math.inf
        if not fresh:
            self._touch()
        elif clear:
            shutil.rmtree(self.folder, ignore_errors=True)

    def read(self, part: str, start: int, stop: int) -> list[Piece]:
        """Return what is stored of the images start … stop−1: pieces in order that do not overlap.

        What is torn, truncated or changed is deleted, and noted.
        """
        if self._fresh:
            return []
        self._touch()
        found, at = list[Piece](), start
        for first, last in self._ranges(part):
            if first >= stop:
                break
            if last <= at:
                continue
            piece = self._load(part, first, last)
            if piece is not None:
                begin, end = max(first, at), min(last, stop)
                rows = slice(begin - first, end - first)
                found.append(Piece(begin, end, piece.values[rows], piece.coordinates[rows]))
                at = end
        return found

    def write(self, part: str, piece: Piece) -> None:
        """Store a piece, whole or not at all. Where that cannot be, the run goes on without, and says so."""
        from safetensors.numpy import save

        if self._left is not None and self._left < 0:
            return
        content = save(
            {"values": piece.values, "coordinates": piece.coordinates},
            {"sha256": self._checksum(part, piece)},
        )
        try:
            # Another run may remove the folder at any moment: it is made again.
            for again in (True, True, False):
                try:
                    self._store(_name(part, piece.start, piece.stop), content)
                    break
                except FileNotFoundError:
                    if not again:
                        raise
        except OSError as error:
            self._stop(f"{self._holds.capitalize()} could not be kept in the cache ({error.strerror or error}).")

    def _store(self, name: str, content: bytes) -> None:
        if self._left is None or not (self.folder / KEY_FILE).exists():
            self._open()
        self._make_room(len(content))
        if self._left is not None and self._left >= 0:
            replace_file(self.folder / name, content)
            self._touch()

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        described = {"model": self._model, "key": asdict(self._key)}
        replace_file(self.folder / KEY_FILE, (json.dumps(described, indent=2) + "\n").encode())
        for half in self.folder.glob(".*"):
            # Left by a run that was killed; one that is being written is younger, and may be gone by now.
            with contextlib.suppress(FileNotFoundError):
                if time.time() - half.stat().st_mtime > _ABANDONED:
                    half.unlink()
        self._left = self._left or 0.0

    def _make_room(self, size: int) -> None:
        """Keep the cache within its limit: the entries that were not used for longest go first."""
        assert self._left is not None
        self._left -= size
        if self._left >= 0:
            return
        # Counted anew now and then only: other runs write too.
        entries = sorted(list_entries(), key=lambda e: e.used)
        room = limit() - sum(e.bytes for e in entries)
        for entry in entries:
            if room < size and entry.folder != self.folder:
                room += entry.bytes if entry.remove() else 0
        self._left = min(room, 64e6) - size
        if self._left < 0:
            self._stop(
                f"The cache is full ({limit() / 1e9:g} GB), so not all {self._holds} were kept. Raise "
                f"{LIMIT_VARIABLE}, or make room by `synbench cache rm`."
            )

    def _stop(self, note: str) -> None:
        self._left = -1.0
        self.notes.append(note)

    def _touch(self) -> None:
        if time.monotonic() - self._touched > _TOUCHED_EVERY:
            self._touched = time.monotonic()
            # Not there yet, or somebody else's: only the order of removal depends on it.
            with contextlib.suppress(OSError):
                os.utime(self.folder / KEY_FILE)

    def _ranges(self, part: str) -> list[tuple[int, int]]:
        """Return what files there are of a part, in order; the folder is read when it has changed."""
        try:
            state = self.folder.stat().st_mtime_ns
            if state != self._listed[0]:
                names = [PIECE_FILE.fullmatch(file.name) for file in self.folder.iterdir()]
                parts: dict[str, list[tuple[int, int]]] = {}
                for name in filter(None, names):
                    parts.setdefault(name["part"], []).append((int(name["start"]), int(name["stop"])))
                # A change in the same tick of the clock would not show: a young list is not trusted.
                young = time.time_ns() - state < _TICK
                self._listed = (
                    -1 if young else state,
                    {p: sorted(r, key=lambda r: (r[0], -r[1])) for p, r in parts.items()},
                )
        except OSError:
            return []
        return self._listed[1].get(part, [])

    def _load(self, part: str, start: int, stop: int) -> Piece | None:
        from safetensors import SafetensorError, safe_open

        file = self.folder / _name(part, start, stop)
        try:
            with safe_open(file, framework="numpy") as stored:
                values, coordinates = stored.get_tensor("values"), stored.get_tensor("coordinates")
                checksum = (stored.metadata() or {}).get("sha256")
        except FileNotFoundError:
            return None  # removed by another run in between
        except (SafetensorError, OSError, ValueError, KeyError):
            checksum = None
        if checksum is not None:
            piece = Piece(start, stop, values, coordinates)
            if len(values) == stop - start == len(coordinates) and checksum == self._checksum(part, piece):
                return piece
        with contextlib.suppress(OSError):
            file.unlink()
        place = f"images {start} to {stop - 1}" if self._holds == "representations" else f"{start} to {stop - 1}"
        made = "embedded" if self._holds == "representations" else "made"
        self.notes.append(f"A stored piece of the {self._holds} ({place}) was damaged; it was {made} again.")
        return None

    def _checksum(self, part: str, piece: Piece) -> str:
        # With its place: a file under another name, or in another entry, does not fit either.
        digest = hashlib.sha256(f"{self._key.digest} {_name(part, piece.start, piece.stop)}".encode())
        digest.update(np.ascontiguousarray(piece.values).tobytes())
        digest.update(piece.coordinates.tobytes())
        return digest.hexdigest()


def _name(part: str, start: int, stop: int) -> str:
    return f"{part}.{start:09d}-{stop:09d}.safetensors"
