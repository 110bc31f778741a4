"""A study: an encoder with the settings that it is to be scored with, and where its representations come from.

They come from the cache, or from this process, or from all processes of a launch. The encoder itself is loaded when
the first of them is not in the cache: a study that was made before runs no forward pass.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .batching import BatchSize, enough_memory
from .embedding import Embedder
from .encoders import Encoder
from .entries import Entry
from .errors import RepresentationError, SynBenchError
from .mixture import MixtureSpec
from .processes import ALONE, Processes, portable
from .representations import Representations
from .settings import Settings
from .stretches import Stretch, share_out, stretches_of_scale


@dataclass
class Study:
    """A model with its settings: checked, nothing drawn yet.

    Attributes:
        encoder: what embeds; perhaps not yet loaded, see ``Encoder.ready``.
        settings: what is asked, with sizes filled in.
        batch_size: images a forward pass, which may shrink.
        entry: where representations are read from and kept; None without a cache.
        processes: who embeds together; the main one calls ``embed`` and ``more``, the others ``follow``.
    """

    encoder: Encoder
    settings: Settings
    batch_size: BatchSize
    entry: Entry | None = None
    processes: Processes = field(default=ALONE)
    _ended: bool = field(default=False, init=False, repr=False)
    _notes_of_others: list[str] = field(default_factory=list, init=False, repr=False)

    @cached_property
    def spec(self) -> MixtureSpec:
        """The mixture that is drawn."""
        return MixtureSpec(
            self.encoder.contract.shape, self.settings.scales, self.settings.direction, self.settings.seed
        )

    @cached_property
    def _embedder(self) -> Embedder:
        return Embedder(self.encoder, self.spec, self.batch_size, self.entry)

    @property
    def from_cache(self) -> int:
        """Images that were found in the cache so far; the others went through the encoder."""
        return self._embedder.from_cache

    @property
    def notes(self) -> list[str]:
        """What the report should tell of the way so far."""
        shrunk = [self.batch_size.note] if self.batch_size.note else []
        own = [*shrunk, *([] if self.entry is None else self.entry.notes)]
        return list(dict.fromkeys([*own, *self._notes_of_others]))

    def embed(self, *, share: tuple[int, int] | None = None, progress: bool | None = None) -> Iterator[Representations]:
        """Yield the representations: scale after scale, or the one pass of the population protocol.

        Args:
            share: (process, processes), for processes that are brought together by somebody else.
            progress: show a bar on stderr; by default if stderr is a terminal.
        """
        if self.settings.protocol == "population":
            yield self._rows([Stretch(0, self.settings.images or 0)], share, progress)
            return
        scales = [stretches_of_scale(scale, self.settings.samples or 0) for scale in self.spec.scales]
        with self._embedder.showing(self._own([s for scale in scales for s in scale], share), progress):
            for scale in scales:
                yield self._rows(scale, share, progress)

    def more(self, start: int, stop: int, *, progress: bool | None = None) -> Representations:
        """Return the representations of the images start … stop−1 of the population protocol."""
        return self._rows([Stretch(start, stop)], None, progress)

    def follow(self, *, progress: bool | None = None) -> None:
        """Embed this process's share of whatever the main one asks for, until it is done.

        Raises:
            SynBenchError: as the main process.
        """
        while True:
            asked = self.processes.from_main(None)
            if isinstance(asked, BaseException):
                raise asked
            if asked is None:
                return
            self._gather(asked, progress)

    def done(self, error: Exception | None = None) -> None:
        """Let the processes that follow go, with the error that ended the work, if one did that they do not know."""
        if self.processes.count > 1 and self.processes.main and not self._ended:
            self.processes.from_main(error and portable(error))

    def _rows(
        self, stretches: Sequence[Stretch], share: tuple[int, int] | None, progress: bool | None
    ) -> Representations:
        if share is not None or self.processes.count == 1:
            with enough_memory():
                return self._embedder.embed(self._own(stretches, share), progress)
        before = self._embedder.from_cache
        parts = self._gather(self.processes.from_main(list(stretches)), progress)
        self._embedder.from_cache = before + sum(part.from_cache for part in parts)
        self._notes_of_others.extend(note for part in parts[1:] for note in part.notes)
        made = [piece for part in parts for piece in part.pieces]
        if made != self._own(stretches, (0, 1)):
            raise RepresentationError(
                f"expected the representations of {sum(map(len, stretches))} images from {self.processes.count} "
                f"processes, each once and in order, got {sum(map(len, made))} of {len(set(made))} pieces. Start all "
                f"of them with the same command, on machines with the same version of SynBench."
            )
        values = np.concatenate([part.values for part in parts])
        coordinates = np.concatenate([part.coordinates for part in parts])
        return self._embedder.described(stretches, values, coordinates)

    def _gather(self, stretches: Sequence[Stretch], progress: bool | None) -> "list[_Part]":
        before, pieces = self._embedder.from_cache, self._own(stretches, self.processes.share)
        try:
            with enough_memory():
                own = self._embedder.embed(pieces, progress)
        except Exception as error:
            self._ended = True
            with suppress(SynBenchError):
                self.processes.gather(portable(error))  # raised in every process
            raise
        try:
            found = self._embedder.from_cache - before
            return self.processes.gather(_Part(pieces, own.values, own.coordinates, found, self.notes))
        except SynBenchError:
            self._ended = True
            raise

    def _own(self, stretches: Sequence[Stretch], share: tuple[int, int] | None) -> list[Stretch]:
        return share_out(stretches, self.batch_size.piece, self.processes.share if share is None else share)


@dataclass(frozen=True)
class _Part:
    """What one process brings: its pieces, their vectors, how many were stored, and what there is to tell."""

    pieces: list[Stretch]
    values: np.ndarray
    coordinates: np.ndarray
    from_cache: int
    notes: list[str]
