"""Ranks and tie groups of thousands of models scored apart from each other: Holm over all pairs, exactly.

The statistics are those of ``synbench.separation.separate`` with a covariance that has only its diagonal: the pair
(i, j) has z = |x_i − x_j| / √(σ_i² + σ_j²), p = 2 Φ(−z), and Holm's step-down method over all n = m(m−1)/2 pairs
separates those whose p is small enough. Pairs of p below level/n are separated whatever the others are, those of p from
``level`` on never; only the z between are kept. 5,000 models are 12.5 million pairs, looked at twice, in blocks of
rows: a second, and at most 8 bytes a pair.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm

from synbench.errors import ArgumentError

_BLOCK = 1 << 20
_ROUNDING = 16 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Ranking:
    """What the scores of m models say about their order.

    Args:
        rank_low: best rank that a model can have: 1 + the number of models that are separated from it and better.
        rank_high: its worst rank: m − the number of models that are separated from it and worse.
        group_first: number of the first tie group that a model is in, from 0.
        group_last: of the last one; it is in all between them.
        separated: number of pairs that are separated.
    """

    rank_low: Int[np.ndarray, " m"]
    rank_high: Int[np.ndarray, " m"]
    group_first: Int[np.ndarray, " m"]
    group_last: Int[np.ndarray, " m"]
    separated: int


def rank(scores: Float[np.ndarray, " m"], stderr: Float[np.ndarray, " m"], level: float = 0.05) -> Ranking:
    """Rank models whose errors are independent.

    A tie group is, in order of falling score, a longest run of consecutive models no two of which are separated.

    Args:
        scores: x, one a model.
        stderr: σ, the standard errors; two models with σ = 0 are separated if their scores differ.
        level: in (0, 1); the probability of separating any two models that are equal.

    Returns:
        The same as ``synbench.separation.separate(scores, np.diag(stderr**2), level)`` tells, in time m² and memory of
        at most one number a pair.

    Raises:
        ArgumentError: the shapes do not fit, a value is not finite, an error is negative, or level is outside (0, 1).

    >>> found = rank(np.array([0.9, 0.8, 0.7]), np.array([0.045, 0.045, 0.045]))
    >>> list(zip(found.rank_low.tolist(), found.rank_high.tolist()))
    [(1, 2), (1, 3), (2, 3)]
    >>> list(zip(found.group_first.tolist(), found.group_last.tolist()))
    [(0, 0), (0, 1), (1, 1)]
    """
    x, s = np.asarray(scores, dtype=np.float64), np.asarray(stderr, dtype=np.float64)
    if not 0 < level < 1:
        raise ArgumentError(f"level must lie in (0, 1), got {level:g}. Use 0.05 for 95 % intervals.")
    if x.ndim != 1 or x.shape != s.shape:
        raise ArgumentError(f"expected one standard error a score, got the shapes {s.shape} and {x.shape}.")
    if not (np.isfinite(x).all() and np.isfinite(s).all() and (s >= 0).all()):
        raise ArgumentError("scores and standard errors must be finite, and no error negative. Leave out the others.")
    order = np.argsort(-x, kind="stable")
    x, s = x[order], s[order]
    least = _least_separated(x, s, level)
    better, worse = np.zeros(x.size, dtype=np.int64), np.zeros(x.size, dtype=np.int64)
    for start, z in _blocks(x, s):
        apart = z >= least
        worse[start : start + len(z)] += apart.sum(axis=1)
        better[start:] += apart.sum(axis=0)
    first, last = _groups(x, s, least)
    back = np.empty_like(order)
    back[order] = np.arange(order.size)
    return Ranking((1 + better)[back], (x.size - worse)[back], first[back], last[back], int(worse.sum()))


def _least_separated(x: Float[np.ndarray, " m"], s: Float[np.ndarray, " m"], level: float) -> float:
    """Return the smallest z of a separated pair; infinity if none is, up to z = ∞ of errors of 0."""
    pairs = x.size * (x.size - 1) // 2
    if not pairs:
        return np.inf
    # A little wider than the two limits, so that rounding decides nothing here.
    sure, never = float(norm.isf(level / pairs / 2)) + 1e-6, float(norm.isf(level / 2)) - 1e-6
    certain, kept = 0, []
    for _, z in _blocks(x, s):
        certain += int((z > sure).sum())
        kept.append(z[(z > never) & (z <= sure)])
    open_cases = np.sort(np.concatenate(kept))[::-1]
    p = 2 * norm.sf(open_cases)
    passed = np.minimum(1.0, np.arange(pairs - certain, pairs - certain - p.size, -1) * p) < level
    count = p.size if passed.all() else int(passed.argmin())
    if count:
        return float(open_cases[count - 1])
    return float(np.nextafter(sure, np.inf))


def _groups(
    x: Float[np.ndarray, " m"], s: Float[np.ndarray, " m"], least: float
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Return the first and the last tie group of each model; x falls."""
    first, last = np.full(x.size, -1, dtype=np.int64), np.zeros(x.size, dtype=np.int64)
    found, stop, reached = 0, 0, 0
    for start in range(x.size):
        # What is tied from one model on is tied from the next one on: the end never goes back.
        stop = max(stop, start + 1)
        while stop < x.size and not (_z(x[start:stop], s[start:stop], x[stop], s[stop]) >= least).any():
            stop += 1
        # A run that ends where the one before it ends is contained in it.
        if stop > reached:
            last[start:stop] = found
            first[reached:stop] = found
            found, reached = found + 1, stop
    return first, last


def _blocks(
    x: Float[np.ndarray, " m"], s: Float[np.ndarray, " m"]
) -> Iterator[tuple[int, Float[np.ndarray, "rows columns"]]]:
    """Yield the z of the pairs i < j, with their first row: rows and columns from there on; NaN for other pairs."""
    start = 0
    while start < x.size:
        stop = min(start + max(1, _BLOCK // (x.size - start)), x.size)
        z = _z(x[start:stop, None], s[start:stop, None], x[None, start:], s[None, start:])
        z[np.arange(x.size - start)[None] <= np.arange(stop - start)[:, None]] = np.nan
        yield start, z
        start = stop


def _z(x: np.ndarray, s: np.ndarray, y: np.ndarray, t: np.ndarray) -> Float[np.ndarray, "..."]:
    """Return |x − y| / √(s² + t²); for errors of 0, infinity where x and y differ by more than rounding, else 0."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        difference, stderr = np.abs(x - y), np.sqrt(s * s + t * t)
        alike = difference <= _ROUNDING * np.maximum(np.abs(x), np.abs(y))
        z: np.ndarray = np.divide(difference, stderr, out=np.where(alike, 0.0, np.inf), where=stderr > 0)
    return z
