"""What a study can show at all: how well measured outcomes can be predicted, and how small a τ can be seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm
from scipy.stats import t as student

from synbench.errors import ArgumentError

from .coefficients import LEVEL

POWER = 0.8

_KENDALL = 0.437
"""Variance of artanh τ, times n − 4 (Fieller, Hartley and Pearson 1957)."""


@dataclass(frozen=True)
class Ceiling:
    """What a predictor that knows the true outcomes would reach on the measured ones.

    Attributes:
        n: encoders.
        reliability: share of the outcome's variance between encoders that is not its measuring error.
        pearson: √reliability.
        tau: the expected τ between true and measured outcomes.
    """

    n: int
    reliability: float
    pearson: float
    tau: float


def ceiling(y: ArrayLike, stderr: ArrayLike) -> Ceiling:
    """Return the noise ceiling of an outcome from its own standard errors (attenuation).

    reliability = 1 − mean(stderr²) / var(y), at least 0. The true outcomes are taken as the measured ones shrunk to
    their mean by √reliability, which gives them their own variance; τ is then the mean over pairs of
    2Φ(|d_ij| / √(stderr_i² + stderr_j²)) − 1, d the difference of true outcomes.

    Args:
        y: (n,), measured; n ≥ 4. Encoders that lack one of the two (NaN) are left out.
        stderr: (n,), ≥ 0, of errors that are independent between encoders. Encoders that were measured on the same
            pictures share a part of their error: the ceiling is a little too low there.

    Raises:
        ArgumentError: shapes differ, fewer than four encoders have both, a standard error is negative, or y
            is constant.

    >>> ceiling([0.2, 0.4, 0.6, 0.8], [0, 0, 0, 0])
    Ceiling(n=4, reliability=1.0, pearson=1.0, tau=1.0)
    """
    values, errors = np.asarray(y, dtype=np.float64), np.asarray(stderr, dtype=np.float64)
    if values.ndim != 1 or values.shape != errors.shape:
        raise ArgumentError(f"expected one standard error an outcome, got {errors.shape} for {values.shape}.")
    both = np.isfinite(values) & np.isfinite(errors)
    values, errors = values[both], errors[both]
    if len(values) < 4 or np.ptp(values) == 0 or errors.min() < 0:
        raise ArgumentError(
            f"expected at least 4 outcomes that differ, with standard errors of at least 0, got {len(values)} outcomes "
            f"in {list(np.round([*values[:1], *values[-1:]], 3))}."
        )
    reliability = max(0.0, 1 - float(np.mean(errors**2) / np.var(values, ddof=1)))
    first, second = np.triu_indices(len(values), k=1)
    apart = np.sqrt(reliability) * np.abs(values[first] - values[second])
    noise = np.hypot(errors[first], errors[second])
    # Without noise a pair keeps its order, and a tie has none.
    sure = np.divide(apart, noise, out=np.where(apart > 0, np.inf, 0.0), where=noise > 0)
    return Ceiling(len(values), reliability, float(np.sqrt(reliability)), float(np.mean(2 * norm.cdf(sure) - 1)))


def detectable(n: int) -> float | None:
    """Return the smallest Kendall τ that n independent encoders show with 80 % power in a two-sided test at 5 %.

    tanh((z_0.975 + z_0.8) √(0.437 / (n − 4))), since artanh τ has about that variance (Fieller et al. 1957). None for
    n ≤ 4: no τ is.

    >>> round(detectable(24), 2), round(detectable(100), 2)
    (0.39, 0.19)
    """
    if n <= 4:
        return None
    wanted = norm.ppf((1 + LEVEL) / 2) + norm.ppf(POWER)
    return float(np.tanh(wanted * np.sqrt(_KENDALL / (n - 4))))


def detectable_by_families(stderr: float, families: int) -> float:
    """Return the smallest τ that families show with 80 % power: (t_0.975 + t_0.8) · stderr, at most 1.

    Args:
        stderr: of τ, by the cluster bootstrap of this study.
        families: F; t has F − 1 degrees of freedom.

    >>> round(detectable_by_families(0.15, 6), 2)
    0.52
    """
    return float(min(1.0, (student.ppf((1 + LEVEL) / 2, families - 1) + student.ppf(POWER, families - 1)) * stderr))
