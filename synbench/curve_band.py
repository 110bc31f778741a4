"""How far the trade-off curve may be off: its pointwise 95 % band, from the interval of κ.

Where κ' takes the place of κ, accuracy a(s) and bound b(s) of a report move as those of Gaussian projections do:
with z(s) = Φ⁻¹(a(s)), r = κ'/κ, and B of ``gaussian_trade_off``,

    a'(s) = Φ(r z(s)),   b'(s) = b(s) B(r z(s)) / B(z(s)).

At r = 1 this is the report's own curve. Pure functions of a report.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from .curve import GRID, curve, gaussian_trade_off
from .report import Report

_LEAST = float(norm.ppf(GRID[0]))
"""Below this κ(s), a scale counts at no point of the grid."""

_ROUNDING = 1e-12


def kept_curve(report: Report, row: int) -> Float[np.ndarray, "100"]:
    """Return E(t) of one ε of a report on ``GRID``; a bound that is undefined counts as nothing."""
    return curve(np.array(report.accuracy[row]), _plain(report.bound[row]))


def optimal_curve(report: Report) -> Float[np.ndarray, "100"]:
    """Return E(t) of the best classifier in image space on ``GRID``."""
    return curve(np.array(report.raw_accuracy), np.array(report.raw_bound))


def gaussian_curve(kappa: float, scales: Sequence[float]) -> Float[np.ndarray, "100"]:
    """Return E(t) on ``GRID`` where the projections are Gaussian and κ(s) = κ s at every scale.

    >>> float(gaussian_curve(0.0, [1.0, 2.0]).max())
    0.0
    """
    along = kappa * np.asarray(scales, dtype=np.float64)
    accuracy, bound = gaussian_trade_off(np.maximum(along, _LEAST))
    return curve(np.where(along > _LEAST, accuracy, 0.5), bound)


def band(report: Report, row: int) -> tuple[Float[np.ndarray, "100"], Float[np.ndarray, "100"]] | None:
    """Return the lowest and the highest E(t) on ``GRID`` for κ' anywhere in the 95 % interval of κ.

    E is a sum of steps: at one t it falls in κ', but for a jump wherever one more scale exceeds t. So its ends lie at
    the ends of the interval or at a jump, and the band is exact. It contains the report's own curve.

    An accuracy of 1 stays: its z is infinite. A scale of no bound, or of accuracy ½ or less, tells no z: there
    κ'(s) = κ' s and b' = B. None where the report has no κ (paper protocol), or no interval for it.

    Args:
        report: the result.
        row: index of the ε among those of the report.
    """
    interval = None if report.kappa_interval is None else report.kappa_interval[row]
    if report.kappa is None or interval is None:
        return None
    own, kappa, (low, high) = kept_curve(report, row), report.kappa[row], interval
    if high <= low:
        return own, own.copy()
    accuracy, bound = np.array(report.accuracy[row]), _plain(report.bound[row])
    known = (accuracy > 0.5) & np.isfinite(bound) & (kappa > _ROUNDING)
    z = norm.ppf(np.where(known, accuracy, 0.75))
    # κ'(s) is ``slope`` times κ', b' is ``weight`` times B(κ'(s)).
    slope = np.where(known, z / max(kappa, _ROUNDING), np.array(report.scales))
    weight = np.where(known, bound / gaussian_trade_off(z)[1], 1.0)
    fixed = accuracy >= 1
    still = curve(accuracy, np.where(fixed, bound, np.nan))
    slope, weight = slope[~fixed], weight[~fixed]

    wanted = norm.ppf(GRID)
    jumps = wanted[:, None] / slope
    place, scale = np.nonzero((jumps > low) & (jumps < high))
    every = np.arange(len(GRID))
    point = np.concatenate([place, every, every])
    moved = np.concatenate([jumps[place, scale], np.full(len(GRID), low), np.full(len(GRID), high)])
    # At a jump the scale counts on one side and not on the other; at the ends it does as it does.
    slack = np.where(np.arange(len(point)) < len(place), _ROUNDING, 0.0)

    along = moved[:, None] * slope
    share = along / wanted[point, None]
    values = weight * gaussian_trade_off(np.maximum(along, _LEAST))[1] / len(accuracy)
    least, most = own.copy(), own.copy()
    with_it, without = (
        np.where(share > 1 + side[:, None], values, 0.0).sum(axis=1) + still[point] for side in (-slack, slack)
    )
    np.minimum.at(least, point, without)
    np.maximum.at(most, point, with_it)
    return least, most


def _plain(bound: list[float | None]) -> Float[np.ndarray, " s"]:
    return np.array([np.nan if value is None else value for value in bound])
