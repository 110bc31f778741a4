"""Standard errors and intervals of scores: how far images of another seed would move them.

Population protocol: each draw of noise moves a score in two ways, through κ² (``discriminability``) and through the
noise of the projections, from which accuracy and bound are read. Both are summed by draw, so that what cancels,
cancels; the variance is the sum over draws. The interval of κ² is carried through the score end by end, so that it
stays right where a score comes near 0.

Paper protocol: a score is a sum over scales that are drawn independently, each with an accuracy and a mean bound of
known standard error. Its interval tells of the protocol's own expectation, which is below the population's by a bias
that it does not contain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from . import curve
from .diagnostics import at_scales
from .population import Population

LEVEL = 0.95
"""The share of intervals that contain the truth."""

QUANTILE = float(norm.ppf((1 + LEVEL) / 2))

_NODES = 32
_REACH = 0.02
_CLEAR = 3.0


@dataclass(frozen=True)
class Scores:
    """Scores of every ε (row) and threshold accuracy (column), with their errors; NaN where undefined."""

    values: Float[np.ndarray, "e a"]
    stderr: Float[np.ndarray, "e a"]
    lower: Float[np.ndarray, "e a"]
    upper: Float[np.ndarray, "e a"]


def kappa_interval(
    squared: Float[np.ndarray, "*e"], stderr: Float[np.ndarray, "*e"], most: float = np.inf
) -> tuple[Float[np.ndarray, "*e"], Float[np.ndarray, "*e"]]:
    """Return the interval of κ from κ² ± 1.96 standard errors, within [0, most]; a κ² below 0 counts as 0.

    >>> low, high = kappa_interval(np.array([0.25]), np.array([0.1]))
    >>> print(f"{low[0]:.3f} {high[0]:.3f}")
    0.232 0.668
    """
    floor = np.maximum(squared, 0)
    low, high = (np.sqrt(np.clip(floor + z * stderr, 0, most**2)) for z in (-QUANTILE, QUANTILE))
    return low, high


def squared_kappa(kappa: float, interval: Sequence[float]) -> tuple[float, float]:
    """Return κ² and its standard error, of κ and its interval.

    The interval is that of κ² ± 1.96 standard errors, cut to what κ can be, so its longer side tells them. They are too
    small where κ² itself was cut at its upper end; and where κ is a mean over bands of which most are at 0 and one is
    far from it, κ² is too large: by these, equal κ are told apart in up to 8 % at the 5 % level, elsewhere in no more
    than 5 % (in simulations).

    >>> low, high = kappa_interval(np.array(0.01), np.array(0.1))
    >>> square, error = squared_kappa(0.1, [low, high])
    >>> print(f"{square:.2f} {error:.2f}")
    0.01 0.10
    """
    square, (low, high) = kappa**2, interval
    return square, float(max(high**2 - square, square - low**2, 0.0)) / QUANTILE


@dataclass(frozen=True)
class Kappas:
    """κ of every ε, the mean over scales, with its errors; these are NaN where there were too few draws."""

    values: Float[np.ndarray, " e"]
    stderr: Float[np.ndarray, " e"]
    lower: Float[np.ndarray, " e"]
    upper: Float[np.ndarray, " e"]


def mean_kappa(found: Population) -> Kappas:
    """Return κ as it is reported, with its interval.

    A mean over bands of scales is Σ w_b κ_b. The errors of bands whose κ² is clear of 0 are carried by the slope of the
    root. That of the others is not: a root of what is near 0 is too large in the mean. They stand together, by the mean
    of their κ², which is unbiased: from below less the variance between them, as a mean of roots is below the root of
    the mean. Both parts' ends are added up, so the interval is too long rather than too short.
    """
    share = found.weights.mean(axis=0)
    low, high = kappa_interval(found.squared, found.stderr, found.most)
    errors = (high - low) / (2 * QUANTILE)
    if len(share) == 1:
        values, lower, upper = found.kappas[0], low[0], high[0]
    else:
        values = share @ found.kappas
        clear = np.where(found.squared > _CLEAR * found.stderr, share[:, None], 0.0)
        rest = share[:, None] - clear
        part, reach = (clear * found.kappas).sum(axis=0), QUANTILE * np.sqrt((clear**2 * errors**2).sum(axis=0))
        total = rest.sum(axis=0)
        mean = rest / np.where(total > 0, total, 1.0)
        square, error = (mean * found.squared).sum(axis=0), np.sqrt((mean**2 * found.stderr**2).sum(axis=0))
        between = (mean * found.kappas**2).sum(axis=0) - (mean * found.kappas).sum(axis=0) ** 2
        lowest = np.sqrt(np.maximum(square - QUANTILE * error - np.maximum(between, 0), 0))
        highest = np.sqrt(np.maximum(square, 0) + QUANTILE * error)
        lower, upper = np.maximum(part - reach + total * lowest, 0), part + reach + total * highest
    stderr = (upper - lower) / (2 * QUANTILE)
    return Kappas(values, *(np.where(found.limited, np.nan, side) for side in (stderr, lower, upper)))


def population_scores(found: Population, thresholds: Sequence[float]) -> Scores:
    """Return the scores of the population protocol with their intervals."""
    values, steps = _ends(found, thresholds, found.stderr)
    slopes = _slopes(found, thresholds)
    below = np.sqrt(((values - steps[0]) ** 2).sum(axis=0))
    above = np.sqrt(((steps[1] - values) ** 2).sum(axis=0))
    by_kappa = (below + above) / (2 * QUANTILE)
    stderr = _stderr(found, thresholds, slopes, found.kappas)
    # Near 0 few scales reach the threshold, or none: how sure that is tells only the κ at which some do.
    raised = np.maximum(stderr, _stderr(found, thresholds, slopes, _upper(found)))
    # What the noise of the projections adds is symmetric; where it takes away, both sides shrink alike.
    lower, upper = (
        np.minimum(np.divide(error, by_kappa, out=np.ones_like(error), where=by_kappa > 0), 1)
        * np.sqrt(side**2 + QUANTILE**2 * np.maximum(error**2 - by_kappa**2, 0))
        for side, error in ((below, stderr), (above, raised))
    )
    # A response that is not quite linear is no matter of chance: its effect widens the interval as it is.
    shift = curve.scores(*found.read(found.kappas, found.drift), found.scales, thresholds) - values
    low, high = values - lower + np.minimum(shift, 0), values + upper + np.maximum(shift, 0)
    unsure = found.limited[:, None] | np.isnan(values)
    return Scores(values, *(np.where(unsure, np.nan, side) for side in (stderr, np.maximum(low, 0), high)))


def contributions(found: Population, threshold: float, row: int = 0) -> Float[np.ndarray, " n"]:
    """Return each draw's part of the error of the score at one ε (row) and threshold accuracy.

    The sum of their squares is the variance, up to the part that no single draw can answer for. Two encoders that
    saw the same draws have the covariance Σ c_i·c'_i.
    """
    return _contributions(found, [threshold], row, _slopes(found, [threshold]), found.kappas)[:, 0]


def kappa_contributions(found: Population, row: int = 0) -> Float[np.ndarray, " n"]:
    """Return likewise each draw's part of the error of κ at one ε: half that of κ², over κ.

    Where κ is within its error of 0, the error stands for it: a root has no slope there.
    """
    share = found.weights.mean(axis=0)
    roots = np.sqrt(np.maximum(np.maximum(found.squared[:, row], 0), found.stderr[:, row]))
    parts = zip(share, found.contributions, np.maximum(roots, np.finfo(float).tiny), strict=True)
    return np.concatenate([weight * of_square[:, row] / (2 * root) for weight, of_square, root in parts])


def epsilon_covariance(found: Population, thresholds: Sequence[float]) -> Float[np.ndarray, "a e e"]:
    """Return, for each threshold accuracy, the covariance of the errors of the scores, ε by ε.

    What draws add is shared, Σ c_i·c'_i; what no single draw can answer for is taken to be each score's own, which
    can only make a difference of two look less sure. The diagonal is the square of ``population_scores``' errors.
    NaN where these are.
    """
    slopes, scores = _slopes(found, thresholds), population_scores(found, thresholds)
    parts = np.stack(
        [_contributions(found, thresholds, row, slopes, found.kappas) for row in range(found.kappas.shape[1])]
    )
    shared: np.ndarray = np.einsum("ena,fna->aef", parts, parts)
    own = np.eye(len(parts)) * np.maximum(scores.stderr.T[:, :, None] ** 2 - shared, 0.0)
    covariance: np.ndarray = shared + own
    unsure = np.isnan(scores.stderr.T)
    covariance[unsure[:, :, None] | unsure[:, None, :]] = np.nan
    return covariance


def _upper(found: Population) -> Float[np.ndarray, "b e"]:
    return kappa_interval(found.squared, found.stderr, found.most)[1]


def _ends(
    found: Population, thresholds: Sequence[float], stderr: Float[np.ndarray, "b e"]
) -> tuple[Float[np.ndarray, "e a"], Float[np.ndarray, "2 b e a"]]:
    """Return the scores, and those with κ of one band after the other at either end of an interval."""

    def read(kappas: Float[np.ndarray, "b e"]) -> Float[np.ndarray, "e a"]:
        return curve.scores(*found.read(kappas), found.scales, thresholds)

    steps = []
    for end in kappa_interval(found.squared, stderr, found.most):
        moved = np.repeat(found.kappas[None], len(end), axis=0)
        moved[np.arange(len(end)), np.arange(len(end))] = end
        steps.append([read(kappas) for kappas in moved])
    return read(found.kappas), np.array(steps)


def _slopes(found: Population, thresholds: Sequence[float]) -> Float[np.ndarray, "b e a"]:
    """Return the derivatives of the scores along κ² of each band, over a reach that smooths the steps of the grid."""
    reach = np.maximum(found.stderr, _REACH * np.maximum(found.squared, 0)) + np.finfo(float).tiny
    _, steps = _ends(found, thresholds, reach)
    low, high = kappa_interval(found.squared, reach, found.most)
    width = np.maximum(high**2 - low**2, np.finfo(float).tiny)[..., None]
    slopes: np.ndarray = np.nan_to_num((steps[1] - steps[0]) / width)
    return slopes


def _stderr(
    found: Population,
    thresholds: Sequence[float],
    slopes: Float[np.ndarray, "b e a"],
    kappas: Float[np.ndarray, "b e"],
) -> Float[np.ndarray, "e a"]:
    """Return the standard errors of the scores, with the noise of the projections taken at given κ."""
    grid, rows = _of_grid(found, thresholds), []
    for row in range(kappas.shape[1]):
        by_draw = (_contributions(found, thresholds, row, slopes, kappas) ** 2).sum(axis=0)
        # What no single draw can answer for: the noise of ĝ squared.
        own = [float(np.sum(c[:, row] ** 2)) for c in found.contributions]
        rest = np.maximum(found.stderr[:, row] ** 2 - np.array(own), 0)
        rows.append(np.sqrt(by_draw + grid[row] + rest @ slopes[:, row] ** 2))
    return np.stack(rows)


def _contributions(
    found: Population,
    thresholds: Sequence[float],
    row: int,
    slopes: Float[np.ndarray, "b e a"],
    kappas: Float[np.ndarray, "b e"],
) -> Float[np.ndarray, "n a"]:
    """Return the derivative of the scores of one ε along each draw."""
    total, start = _of_noise(found, thresholds, row, kappas), 0
    for band, of_kappa in enumerate(found.contributions):
        change, squared = of_kappa[:, row], max(float(found.squared[band, row]), 0.0)
        # A draw far out widens the noise, which is divided by its spread: as if κ were larger for the others.
        noise = found.noise[band].values[:, row]
        widened = squared * (noise**2 - 1) / len(noise)
        total[start : start + len(change)] += np.outer(change + widened, slopes[band, row])
        start += len(change)
    return total


def _of_grid(found: Population, thresholds: Sequence[float]) -> Float[np.ndarray, "e a"]:
    """Return the variance from the curve's grid: where an accuracy falls between two points is as good as random."""
    accuracy, bound = found.read(found.kappas)
    optimal = curve.curve(*curve.reference(found.scales))
    variances = []
    for threshold in thresholds:
        counted = np.greater_equal(curve.GRID, threshold)
        area = float(optimal[counted].sum()) * accuracy.shape[1]
        between = (accuracy > threshold) & (accuracy < curve.GRID[-2])
        squares = np.where(between, np.nan_to_num(bound), 0.0) ** 2
        variances.append(squares.sum(axis=1) / 12 / area**2 if area > 0 else np.zeros(len(accuracy)))
    return np.stack(variances, axis=1)


def _of_noise(
    found: Population, thresholds: Sequence[float], row: int, kappas: Float[np.ndarray, "b e"]
) -> Float[np.ndarray, "n a"]:
    """Return the derivative of the scores of one ε along each draw's noise, at given κ.

    A scale adds h = b·N(a) to the area, with N(a) the points of the grid from a_t up to a, and b = S / (aκ), S the mean
    of the margins above 0; a and S are means over draws.
    """
    kappa = found.at_scales(kappas)[row]
    bands = [_margins(noise.values[:, row], kappa, at_scales(noise.tilt, found.scales)[row]) for noise in found.noise]
    accuracy, margin = (
        sum(weight * band[side].mean(axis=0) for band, weight in zip(bands, found.weights.T, strict=True))
        for side in (0, 1)
    )
    used = accuracy * kappa > 0
    scale = np.divide(1.0, accuracy * kappa, out=np.zeros_like(kappa), where=used)
    bound, step = margin * scale, curve.GRID[1] - curve.GRID[0]
    optimal = curve.curve(*curve.reference(found.scales))
    columns = []
    for threshold in thresholds:
        counted = curve.GRID[np.greater_equal(curve.GRID, threshold)]
        points = np.searchsorted(counted, accuracy, side="left")
        rising = ((accuracy > threshold) & (accuracy < 1)) / step
        area = float(optimal[-len(counted) :].sum()) * len(kappa) if len(counted) else 0.0
        by_sum, by_hit = points * scale, bound * rising - points * np.divide(bound, accuracy, where=used, out=bound * 0)
        parts = [
            ((sums - sums.mean(axis=0)) @ (weight * by_sum) + (hits - hits.mean(axis=0)) @ (weight * by_hit))
            / len(hits)
            for (hits, sums), weight in zip(bands, found.weights.T, strict=True)
        ]
        columns.append(np.concatenate(parts) / area if area > 0 else np.zeros(sum(map(len, parts))))
    return np.stack(columns, axis=1)


def _margins(
    noise: Float[np.ndarray, " n"], kappa: Float[np.ndarray, " s"], tilt: Float[np.ndarray, " s"]
) -> tuple[Float[np.ndarray, "n s"], Float[np.ndarray, "n s"]]:
    """Return, for each draw, the share of the two classes in which it is correct, and its mean margin above 0."""
    hits, sums = np.zeros((len(noise), len(kappa))), np.zeros((len(noise), len(kappa)))
    for side in (-1.0, 1.0):
        margin = np.maximum(kappa + side * np.sqrt(1 + side * tilt) * noise[:, None], 0.0)
        hits += (margin > 0) / 2
        sums += margin / 2
    return hits, sums


def paper_scores(found: curve.TradeOff, thresholds: Sequence[float]) -> Scores:
    """Return the scores of the paper protocol with their intervals.

    A scale adds h = b·N(a) to the area, N(a) the points of the grid from a_t up to the accuracy a. With errors of a
    and b that are normal and independent, Var h = b²·Var N + E[N²]·Var b.
    """
    assert found.accuracy_stderr is not None
    assert found.bound_stderr is not None
    values = curve.scores(found.accuracy, found.bound, found.scales, thresholds)
    nodes = norm.ppf((np.arange(_NODES) + 0.5) / _NODES)
    accuracies = np.clip(found.accuracy[..., None] + nodes * found.accuracy_stderr[..., None], 0, 1)
    bound, error = np.nan_to_num(found.bound), np.nan_to_num(found.bound_stderr)
    optimal = curve.curve(*curve.reference(found.scales))
    stderr = np.full_like(values, np.nan)
    for column, threshold in enumerate(thresholds):
        counted = np.greater_equal(curve.GRID, threshold)
        points = np.searchsorted(curve.GRID[counted], accuracies, side="left")
        variance = bound**2 * points.var(axis=-1) + (points.astype(np.float64) ** 2).mean(axis=-1) * error**2
        area = float(optimal[counted].sum()) * len(found.scales)
        if area > 0:
            stderr[:, column] = np.sqrt(variance.sum(axis=-1)) / area
    return Scores(values, stderr, np.maximum(values - QUANTILE * stderr, 0), values + QUANTILE * stderr)
