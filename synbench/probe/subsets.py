"""Which rows of a dataset are taken: seeded, and in every class its share."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from synbench.errors import ArgumentError

SUBSET, FOLDS, ATTACKED, HELD_OUT = 1, 2, 3, 4
"""What a choice is for: each has a stream of random numbers of its own."""


def stratified(
    labels: Int[np.ndarray, " n"], wanted: int, seed: Sequence[int], least: int = 1
) -> Int[np.ndarray, " m"]:
    """Return the places of ``wanted`` rows, in rising order: each class by its share, and at least ``least`` of it.

    Beyond ``least``, a class k of n_k rows gets (n_k − least) / (n − K·least) of what is left, rounded so that the sum
    is ``wanted`` (largest remainders first, then the lower class). Where there are no more rows than that, all.

    Args:
        labels: classes as integers.
        wanted: how many rows.
        seed: of the draw, integers of at least 0.
        least: of each class, which has that many.

    Raises:
        ArgumentError: ``wanted`` is fewer than ``least`` of each class.

    >>> stratified(np.array([0, 0, 0, 0, 1, 1]), 3, [0]).size
    3
    """
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if wanted >= len(labels):
        return np.arange(len(labels))
    spare, room = wanted - least * len(classes), len(labels) - least * len(classes)
    if spare < 0:
        raise ArgumentError(
            f"expected at least {least * len(classes)} pictures, {least} of each of {len(classes)} classes, got "
            f"{wanted}. Ask for more, or for fewer classes=."
        )
    whole, rest = np.divmod(spare * (counts - least), room)
    more = np.argsort(-rest, kind="stable")[: spare - whole.sum()]
    whole[more] += 1
    taken = [
        np.random.default_rng([*seed, k]).permutation(np.flatnonzero(inverse == k))[: least + whole[k]]
        for k in range(len(classes))
    ]
    return np.sort(np.concatenate(taken))


def fold_of(labels: Int[np.ndarray, " n"], folds: int, seed: int) -> Int[np.ndarray, " n"]:
    """Return the fold 0 … folds−1 of each row: classes are dealt out one after the other, each in a random order.

    So folds differ by at most one row, and of a class with two rows or more some are outside of every fold.

    >>> np.bincount(fold_of(np.array([0, 0, 0, 1, 1, 1]), 3, 0))
    array([2, 2, 2])
    """
    fold, at = np.empty(len(labels), dtype=np.int64), 0
    for number, label in enumerate(np.unique(labels)):
        rows = np.random.default_rng([seed, FOLDS, number]).permutation(np.flatnonzero(labels == label))
        fold[rows] = (at + np.arange(len(rows))) % folds
        at += len(rows)
    return fold
