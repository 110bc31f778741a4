"""Where every random number comes from: one seed for each block of images, each split's labels, each direction.

A seed is made from the mixture's seed and the place it is for, by NumPy's ``SeedSequence``: places that differ
in anything get independent streams, and nothing depends on what was drawn before, or by whom.
"""

import numpy as np

from .errors import ArgumentError
from .settings import SPLITS, scale_key

RENDERER_VERSION = 1
"""Counts the changes that alter a pixel or a label; part of every seed."""

LABELS, PIXELS, DIRECTION, SCALE = 0, 1, 2, 3
"""What a stream is for."""

POPULATION = (len(SPLITS), 0)
"""The place of the population protocol, whose images have no split, and whose noise does not depend on the scale."""


def place(split: str, scale: float) -> tuple[int, int]:
    """Return the integers that name a split and a scale in a seed.

    Raises:
        ArgumentError: there is no such split.
    """
    if split not in SPLITS:
        raise ArgumentError(f"split must be 'train' or 'test', got {split!r}.")
    return SPLITS.index(split), scale_key(scale)


def sequence(seed: int, *key: int) -> np.random.SeedSequence:
    """Return the seed of one stream: ``key`` says what it is for, and where."""
    return np.random.SeedSequence(seed, spawn_key=(RENDERER_VERSION, *key))
