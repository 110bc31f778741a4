"""Consecutive images, and how they are cut into pieces and shared out among processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from .design import design
from .drawing import Renderer
from .mixture import MixtureSpec
from .settings import SPLITS, scale_key

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Stretch:
    """Consecutive images: of one split at one scale, or, without these, of the population protocol."""

    start: int
    stop: int
    split: str | None = None
    scale: float | None = None

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def part(self) -> str:
        """The name of what it is a stretch of."""
        if self.split is None or self.scale is None:
            return "population"
        return f"{self.split}-{scale_key(self.scale)}"

    def pieces(self, size: int) -> list["Stretch"]:
        """Cut it at the multiples of a size.

        >>> [(piece.start, piece.stop) for piece in Stretch(50, 210).pieces(64)]
        [(50, 64), (64, 128), (128, 192), (192, 210)]
        """
        edges = [self.start, *range((self.start // size + 1) * size, self.stop, size), self.stop]
        return [Stretch(a, b, self.split, self.scale) for a, b in pairwise(edges) if b > a]

    def columns(self, spec: MixtureSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return labels, scales, whether of the test split, and draws (−1 where they have no number)."""
        n = len(self)
        if self.split is None or self.scale is None:
            made = design(spec, self.start, self.stop)
            return made.labels, made.scales, np.zeros(n, dtype=bool), made.draws
        labels = spec.labels(self.split, self.scale, self.stop)[self.start :]
        return labels, np.full(n, self.scale), np.full(n, self.split == "test"), np.full(n, -1)

    def draw(self, renderer: Renderer, start: int, stop: int) -> "tuple[torch.Tensor, torch.Tensor | None]":
        """Return the images start … stop−1, and their coordinates where they have some."""
        if self.split is None or self.scale is None:
            return renderer.population(design(renderer.spec, start, stop))
        return renderer.split(self.split, self.scale, start, stop)[0], None


def share_out(stretches: Sequence[Stretch], size: int, share: tuple[int, int]) -> list[Stretch]:
    """Return the pieces of one of several processes: consecutive ones, so that the shares of all make the whole.

    Args:
        stretches: what all processes embed together.
        size: images a piece.
        share: (process, processes).

    >>> [len(piece) for piece in share_out([Stretch(0, 82)], 64, (1, 2))]
    [18]
    """
    process, processes = share
    pieces = [piece for stretch in stretches for piece in stretch.pieces(size)]
    first, last = (len(pieces) * p // processes for p in (process, process + 1))
    return pieces[first:last]


def stretches_of_scale(scale: float, samples: int) -> list[Stretch]:
    """Return the images of one scale of the paper protocol: train, then test."""
    return [Stretch(0, samples, split, scale) for split in SPLITS]
