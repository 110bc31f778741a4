"""The loop: draw images on the device that embeds them, embed them, hand on their representations.

The paper protocol goes scale by scale and keeps the representations of one; the population protocol is one pass over
all of its images, and keeps them all: 4 bytes a number, 25 MB for 8,192 images and 768 dimensions. The device is the
one that ``accelerate`` gives this process; with several processes, each embeds its own ``share``.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from .design import design
from .drawing import batches, population_batches
from .encoders import Encoder, evaluating
from .errors import RepresentationError
from .mixture import MixtureSpec
from .representations import Representations, check_finite, concatenate
from .settings import SPLITS

_BATCH_VALUES = 10_000_000
_LARGEST_BATCH = 256
_BRING = 2048


def default_batch_size(image_shape: tuple[int, int, int]) -> int:
    """Return a power of two such that a batch has at most 10 million values, and at most 256 images.

    >>> default_batch_size((3, 224, 224)), default_batch_size((3, 16, 16))
    (64, 256)
    """
    fitting = max(1, _BATCH_VALUES // int(np.prod(image_shape)))
    return int(min(_LARGEST_BATCH, 1 << (fitting.bit_length() - 1)))


def embed(
    encoder: Encoder,
    spec: MixtureSpec,
    samples: int,
    *,
    batch_size: int | None = None,
    share: tuple[int, int] = (0, 1),
    progress: bool | None = None,
) -> Iterator[Representations]:
    """Yield the representations of a mixture, one whole scale (train, then test) after the other.

    Args:
        encoder: what embeds.
        spec: what is drawn; of the encoder's image shape.
        samples: images per scale and split.
        batch_size: images a forward pass; by default as ``default_batch_size`` says.
        share: (process, processes): this process embeds a contiguous part of each split, the parts
            of all processes make the whole.
        progress: show a bar on stderr; by default if stderr is a terminal.

    Raises:
        RepresentationError: the encoder's output is not finite, or not one vector an image.
    """
    process, processes = share
    start, stop = (samples * p // processes for p in (process, process + 1))
    size = batch_size or default_batch_size(spec.image_shape)
    # disable=None is tqdm's own word for "only on a terminal".
    hidden = None if progress is None else not progress
    total = (stop - start) * len(SPLITS) * len(spec.scales)
    with tqdm(total=total, unit="img", unit_scale=True, desc="embedding", disable=hidden, leave=False) as bar:
        for scale in spec.scales:
            bar.set_postfix_str(f"scale {scale:g}", refresh=False)
            yield concatenate(_embed_split(encoder, spec, split, scale, start, stop, size, bar) for split in SPLITS)


def embed_population(
    encoder: Encoder,
    spec: MixtureSpec,
    start: int,
    stop: int,
    *,
    batch_size: int | None = None,
    share: tuple[int, int] = (0, 1),
    progress: bool | None = None,
) -> Representations:
    """Return the representations of the images start … stop−1 of the population protocol, in order.

    Args:
        encoder: what embeds.
        spec: what is drawn; of the encoder's image shape.
        start: the first image.
        stop: the one after the last.
        batch_size: images a forward pass; by default as ``default_batch_size`` says.
        share: (process, processes): this process embeds a contiguous part.
        progress: show a bar on stderr; by default if stderr is a terminal.

    Raises:
        RepresentationError: the encoder's output is not finite, or not one vector an image.
    """
    import torch

    process, processes = share
    first, last = (start + (stop - start) * p // processes for p in (process, process + 1))
    size = batch_size or default_batch_size(spec.image_shape)
    designed = design(spec, first, last)
    values = np.empty((last - first, encoder.record.dimension), dtype=np.float32)
    along, at = np.empty(last - first), 0
    waiting: list[tuple[torch.Tensor, torch.Tensor]] = []

    def bring() -> None:
        # One copy from the device for many batches: no batch waits for the host.
        nonlocal at
        if waiting:
            vectors, coordinates = (torch.cat(side).cpu().numpy() for side in zip(*waiting, strict=True))
            rows = slice(at, at + len(vectors))
            values[rows], along[rows] = vectors, coordinates
            at += len(vectors)
            waiting.clear()

    hidden = None if progress is None else not progress
    with (
        tqdm(total=last - first, unit="img", unit_scale=True, desc="embedding", disable=hidden, leave=False) as bar,
        evaluating(encoder.module),
    ):
        for images, coordinates, _ in population_batches(spec, first, last, size, encoder.device):
            waiting.append((encoder.represent(images), coordinates))
            if sum(len(vectors) for vectors, _ in waiting) >= _BRING:
                bring()
            bar.update(len(images))
        bring()
    try:
        check_finite(values)
    except RepresentationError as error:
        raise RepresentationError(f"{encoder.record.id!r}: {error}") from error
    nowhere = np.zeros(len(values), dtype=bool)
    return Representations(values, designed.labels, designed.scales, nowhere, along, designed.draws)


def _embed_split(
    encoder: Encoder, spec: MixtureSpec, split: str, scale: float, start: int, stop: int, size: int, bar: Any
) -> Representations:
    import torch

    vectors, labels = [], [np.empty(0, dtype=np.int64)]
    with evaluating(encoder.module):
        for images, classes in batches(spec, split, scale, start, stop, size, encoder.device):
            vectors.append(encoder.represent(images))
            labels.append(classes)
            bar.update(len(classes))
    # One copy from the device a split: no batch waits for the host.
    values = torch.cat(vectors).cpu().numpy() if vectors else np.empty((0, encoder.record.dimension), np.float32)
    try:
        check_finite(values)
    except RepresentationError as error:
        raise RepresentationError(f"{encoder.record.id!r} at scale {scale:g}, {split} split: {error}") from error
    joined = np.concatenate(labels)
    return Representations(values, joined, np.full(len(joined), scale), np.full(len(joined), split == "test"))
