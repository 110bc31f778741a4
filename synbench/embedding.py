"""The loop: draw images on the device that embeds them, embed them, hand on their representations.

Images are embedded in pieces, which are also what processes share out and what the cache keeps: a piece goes through
the encoder in the same batches whoever embeds it, so one process or many, at one go or resumed, make the same vectors.

The paper protocol goes scale by scale and keeps the representations of one; the population protocol is one pass over
all of its images, and keeps them all: 4 bytes a number, 25 MB for 8,192 images and 768 dimensions.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, Float64
from tqdm.auto import tqdm

from .batching import BatchSize, default_batch_size
from .drawing import Renderer
from .encoders import Encoder, evaluating
from .entries import Entry, Piece
from .errors import RepresentationError
from .mixture import MixtureSpec
from .representations import Representations, check_finite
from .stretches import Stretch, share_out, stretches_of_scale

if TYPE_CHECKING:
    import torch


def embed(
    encoder: Encoder,
    spec: MixtureSpec,
    samples: int,
    *,
    batch_size: BatchSize | int | None = None,
    share: tuple[int, int] = (0, 1),
    entry: Entry | None = None,
    progress: bool | None = None,
) -> Iterator[Representations]:
    """Yield the representations of a mixture, one whole scale (train, then test) after the other.

    Args:
        encoder: what embeds.
        spec: what is drawn; of the encoder's image shape.
        samples: images per scale and split.
        batch_size: images a forward pass; by default it begins as ``default_batch_size`` says, and halves when memory
            runs out. A number is kept.
        share: (process, processes): this process embeds consecutive pieces of each scale, the parts of all
            processes make the whole.
        entry: where pieces are read from and kept.
        progress: show a bar on stderr; by default if stderr is a terminal.

    Raises:
        RepresentationError: the encoder's output is not finite, or not one vector an image.
    """
    embedder = Embedder(encoder, spec, _batch_size(batch_size, encoder), entry)
    scales = [share_out(stretches_of_scale(scale, samples), embedder.batch_size.piece, share) for scale in spec.scales]
    with embedder.showing([piece for pieces in scales for piece in pieces], progress):
        for pieces in scales:
            yield embedder.embed(pieces)


def embed_population(
    encoder: Encoder,
    spec: MixtureSpec,
    start: int,
    stop: int,
    *,
    batch_size: BatchSize | int | None = None,
    share: tuple[int, int] = (0, 1),
    entry: Entry | None = None,
    progress: bool | None = None,
) -> Representations:
    """Return the representations of the images start … stop−1 of the population protocol, in order.

    Args:
        encoder: what embeds.
        spec: what is drawn; of the encoder's image shape.
        start: the first image.
        stop: the one after the last.
        batch_size: as ``embed``.
        share: (process, processes): this process embeds consecutive pieces.
        entry: where pieces are read from and kept.
        progress: show a bar on stderr; by default if stderr is a terminal.

    Raises:
        RepresentationError: the encoder's output is not finite, or not one vector an image.
    """
    embedder = Embedder(encoder, spec, _batch_size(batch_size, encoder), entry)
    return embedder.embed(share_out([Stretch(start, stop)], embedder.batch_size.piece, share), progress)


class Embedder:
    """Embeds pieces one after the other; what is stored is read, what is not is drawn, embedded and stored.

    Attributes:
        from_cache: images that were stored so far; the others went through the encoder.
    """

    def __init__(self, encoder: Encoder, spec: MixtureSpec, batch_size: BatchSize, entry: Entry | None = None) -> None:
        self.encoder, self.spec, self.batch_size, self.entry = encoder, spec, batch_size, entry
        self.from_cache = 0
        self._renderer: Renderer | None = None
        self._bar: Any = None

    @contextmanager
    def showing(self, pieces: Sequence[Stretch], progress: bool | None) -> Iterator[None]:
        """Show one bar for all these pieces, which may be embedded in several calls."""
        if self._bar is not None:
            yield
            return
        # disable=None is tqdm's own word for "only on a terminal".
        hidden = None if progress is None else not progress
        total = sum(map(len, pieces))
        with tqdm(total=total, unit="img", unit_scale=True, desc="embedding", disable=hidden, leave=False) as self._bar:
            try:
                yield
            finally:
                self._bar = None

    def embed(self, pieces: Sequence[Stretch], progress: bool | None = None) -> Representations:
        """Return the representations of pieces, in their order.

        Raises:
            RepresentationError: the encoder's output is not finite, or not one vector an image.
        """
        rows = sum(map(len, pieces))
        values = np.empty((rows, self.encoder.record.dimension), dtype=np.float32)
        coordinates, missing, at = np.full(rows, np.nan), list[tuple[Stretch, int]](), 0
        with self.showing(pieces, progress):
            for piece in pieces:
                missing += self._read(piece, values, coordinates, at)
                at += len(piece)
            if missing:
                self._fill(missing, values, coordinates)
        return self.described(pieces, values, coordinates)

    def described(
        self,
        stretches: Sequence[Stretch],
        values: Float32[np.ndarray, "n d"],
        coordinates: Float64[np.ndarray, " n"],
    ) -> Representations:
        """Return vectors with the labels, scales and draws of their images."""
        empty = Stretch(0, 0).columns(self.spec)
        columns = zip(empty, *(stretch.columns(self.spec) for stretch in stretches), strict=True)
        labels, scales, test, draws = (np.concatenate(column) for column in columns)
        return Representations(values, labels, scales, test, coordinates, draws)

    def _read(
        self,
        piece: Stretch,
        values: Float32[np.ndarray, "n d"],
        coordinates: Float64[np.ndarray, " n"],
        at: int,
    ) -> list[tuple[Stretch, int]]:
        """Fill in what is stored of a piece, and return the stretches that are not, with their first rows."""
        missing, covered = [], piece.start
        for found in [] if self.entry is None else self.entry.read(piece.part, piece.start, piece.stop):
            if found.values.shape[1] != values.shape[1]:
                continue
            rows = slice(at + found.start - piece.start, at + found.stop - piece.start)
            values[rows], coordinates[rows] = found.values, found.coordinates
            if found.start > covered:
                missing.append((covered, found.start))
            covered = found.stop
            self._bar.update(found.stop - found.start)
            self.from_cache += found.stop - found.start
        if covered < piece.stop:
            missing.append((covered, piece.stop))
        return [(Stretch(a, b, piece.split, piece.scale), at + a - piece.start) for a, b in missing]

    def _fill(
        self,
        missing: Sequence[tuple[Stretch, int]],
        values: Float32[np.ndarray, "n d"],
        coordinates: Float64[np.ndarray, " n"],
    ) -> None:
        encoder = self.encoder = self.encoder.ready()
        if self._renderer is None:
            self._renderer = Renderer(self.spec, encoder.device)
        # An accelerator works on the next piece while the host looks at the last one.
        ahead = 0 if encoder.device.startswith("cpu") else 1
        under_way: list[tuple[Stretch, int, _Arriving, _Arriving | None]] = []

        def bring() -> None:
            stretch, first, vectors, along = under_way.pop(0)
            rows = slice(first, first + len(stretch))
            values[rows] = vectors.arrived()
            if along is not None:
                coordinates[rows] = along.arrived()
            self._keep(stretch, values[rows], coordinates[rows])

        with evaluating(encoder.module):
            for stretch, first in missing:
                under_way.append((stretch, first, *self._pass(stretch)))
                while len(under_way) > ahead:
                    bring()
            while under_way:
                bring()

    def _pass(self, stretch: Stretch) -> "tuple[_Arriving, _Arriving | None]":
        """Draw and embed a stretch in batches; where memory runs out, the batch in hand is tried again in halves."""
        import torch
        from accelerate.utils.memory import clear_device_cache

        vectors, along, at = list[torch.Tensor](), list[torch.Tensor](), stretch.start
        while at < stretch.stop:
            last, shrunk = min(at + self.batch_size.size, stretch.stop), False
            try:
                batch, coordinates = self._batch(stretch, at, last)
            except Exception as error:
                shrunk = self.batch_size.shrink(error)
                if not shrunk:
                    raise
            if shrunk:
                # Only now: the error held on to what did not fit.
                clear_device_cache(garbage_collection=True)
                continue
            self.batch_size.worked(last - at)
            vectors.append(batch)
            if coordinates is not None:
                along.append(coordinates)
            self._bar.update(last - at)
            at = last
        return _Arriving(torch.cat(vectors)), _Arriving(torch.cat(along)) if along else None

    def _batch(self, stretch: Stretch, first: int, last: int) -> "tuple[torch.Tensor, torch.Tensor | None]":
        """Draw and embed images; they are gone when the next ones are drawn, or fewer are tried."""
        assert self._renderer is not None
        images, coordinates = stretch.draw(self._renderer, first, last)
        return self.encoder.represent(images), coordinates

    def _keep(self, stretch: Stretch, values: np.ndarray, coordinates: np.ndarray) -> None:
        try:
            check_finite(values)
        except RepresentationError as error:
            where = "" if stretch.split is None else f" at scale {stretch.scale:g}, {stretch.split} split"
            raise RepresentationError(f"{self.encoder.record.id!r}{where}: {error}") from error
        if self.entry is not None:
            self.entry.write(stretch.part, Piece(stretch.start, stretch.stop, values, coordinates))


class _Arriving:
    """A tensor on its way to the host, which need not wait for work that was begun later."""

    def __init__(self, tensor: "torch.Tensor") -> None:
        import torch

        self._done = None
        if tensor.device.type == "cuda":
            self._host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._host.copy_(tensor, non_blocking=True)
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._done.record()
        else:
            self._host = tensor.cpu()

    def arrived(self) -> np.ndarray:
        if self._done is not None:
            self._done.synchronize()
        array: np.ndarray = self._host.numpy()
        return array


def _batch_size(asked: BatchSize | int | None, encoder: Encoder) -> BatchSize:
    if isinstance(asked, BatchSize):
        return asked
    if asked is not None:
        return BatchSize(asked, fixed=True)
    return BatchSize(default_batch_size(encoder.contract.shape, encoder.device))
