"""How sure an accuracy is, and the difference of two accuracies on the same pictures."""

import math

import numpy as np
from jaxtyping import Bool

from synbench.uncertainty import QUANTILE


def wilson(right: int, n: int) -> list[float]:
    """Return Wilson's 95 % interval of a share of ``right`` among ``n``.

    (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n); it stays within [0, 1], and has a width at 0 and 1 too.

    >>> [round(v, 3) for v in wilson(9, 10)]
    [0.596, 0.982]
    """
    p, z2 = right / n, QUANTILE * QUANTILE / n
    middle, half = p + z2 / 2, QUANTILE * math.sqrt(p * (1 - p) / n + z2 / (4 * n))
    return [max(0.0, (middle - half) / (1 + z2)), min(1.0, (middle + half) / (1 + z2))]


def paired_difference(one: Bool[np.ndarray, " n"], other: Bool[np.ndarray, " n"]) -> tuple[float, list[float]]:
    """Return the share of ``one`` minus that of ``other``, on the same pictures, and its 95 % interval.

    Only pictures that the two differ on count: with b that only ``one`` has and c that only ``other`` has, the
    difference is (b − c)/n. Its variance is (b + c − (b − c)²/n)/n²; half a picture is added to each of the four
    cells (Agresti and Min 2005), so that no interval is empty where none or all differ.

    >>> paired_difference(np.array([True, True, False]), np.array([True, False, False]))[0]
    0.333...
    """
    n, b, c = len(one), int((one & ~other).sum()), int((other & ~one).sum())
    middle = (b - c) / (n + 2)
    half = QUANTILE * math.sqrt(b + c + 1 - (b - c) ** 2 / (n + 2)) / (n + 2)
    return (b - c) / n, [max(-1.0, middle - half), min(1.0, middle + half)]
