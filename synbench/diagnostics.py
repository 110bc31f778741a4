"""Whether a representation answers linearly, and whether its projections are Gaussian: checked on every run.

All checks look along the classifier of ε = 0, scaled to unit response: v = w / wᵀg, so that vᵀz moves by s from the
midpoint to the class mean at scale s.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from . import curve
from .discriminability import Fit, Kappa, Observations
from .settings import HEADLINE_THRESHOLD

SIGNIFICANT = 3.0
"""A drift below this many of its standard errors is no drift."""

_MOST_TILT = 0.9


LARGE = 0.05
"""A response to a draw's own coordinate that is off by less does no harm."""


@dataclass(frozen=True)
class Drift:
    """A change from the smallest scale to the largest, relative where nothing else is said, and its standard error."""

    change: float
    stderr: float

    @property
    def significant(self) -> bool:
        """Whether it is more than noise."""
        return abs(self.change) > SIGNIFICANT * self.stderr


@dataclass(frozen=True)
class Noise:
    """The projections of the draws around their class means.

    Attributes:
        values: of each draw and ε, with mean 0 and variance 1 once the tilt is taken out.
        tilt: by ε, the relative change of their variance with a unit of t = ±s. At scale s one class has the variance
            1 + tilt·s and the other 1 − tilt·s; their mean is what C says.
    """

    values: Float[np.ndarray, "n e"]
    tilt: Float[np.ndarray, " e"]


@dataclass(frozen=True)
class Diagnostics:
    """What a linear response leaves out, along the classifier of ε = 0 except for ``factor``.

    Attributes:
        response: change of the response vᵀμ(s)/s: the cubic term.
        spread: change of vᵀC(s)v.
        midpoint: movement of the midpoint vᵀm(s), in standard deviations; it does no harm, as each scale is judged
            by its own midpoint.
        coordinate: how far the response to the draws' own coordinates differs from that to ±s, relative; None where
            they are not known. Saturating encoders and wrong coordinates show here.
        skewness: of the projections vᵀz around their class mean; 0 for Gaussian ones.
        excess_kurtosis: likewise.
        score_shift: how far the headline score would move with the significant drifts of response and spread: the
            sum of the two sizes, so that they cannot hide each other.
        gaussian_gap: how far it lies from that of Gaussian projections.
        factor: what the significant drifts do to κ_ε(s), by ε and scale.
    """

    response: Drift | None
    spread: Drift | None
    midpoint: Drift | None
    coordinate: Drift | None
    skewness: float
    excess_kurtosis: float
    score_shift: float
    gaussian_gap: float
    factor: Float[np.ndarray, "e s"]

    @property
    def bent(self) -> bool:
        """Whether the response changes with the scale by more than a tenth, or from the class means to a coordinate."""
        limits = ((self.response, 2 * LARGE), (self.coordinate, LARGE))
        return any(drift is not None and drift.significant and abs(drift.change) > most for drift, most in limits)


def diagnose(seen: Observations, fitted: Fit, found: Kappa, noise: Noise, scales: Sequence[float]) -> Diagnostics:
    """Check the linear response along each classifier.

    Args:
        seen: the observations.
        fitted: their linear response.
        found: κ, with ε = 0 first.
        noise: the projections.
        scales: at which the score is read.
    """
    grid = np.asarray(scales, dtype=np.float64)
    strength = (fitted.vectors @ fitted.response) @ found.directions
    drifts = [
        _drifts(seen, fitted, direction / unit) if unit else (None, None, None)
        for direction, unit in zip(found.directions.T, strength, strict=True)
    ]
    factor = np.stack([_factor(seen, response, spread, grid) for response, spread, _ in drifts])
    kappa = grid * float(np.sqrt(max(found.squared[0], 0.0)))
    values, tilt = noise.values[:, 0], at_scales(noise.tilt, scales)[0]
    response, spread, midpoint = drifts[0]
    score, *moved = (
        _score(*curve.empirical_trade_off(values, kappa * by, tilt), grid)
        for by in (np.ones_like(grid), _factor(seen, response, None, grid), _factor(seen, None, spread, grid))
    )
    gaussian = _score(*curve.gaussian_trade_off(np.maximum(kappa, np.finfo(float).tiny)), grid)
    return Diagnostics(
        response,
        spread,
        midpoint,
        _coordinate_drift(seen, found.directions[:, 0]),
        skewness=float(np.mean(values**3)),
        excess_kurtosis=float(np.mean(values**4) - 3),
        score_shift=sum(abs(other - score) for other in moved),
        gaussian_gap=score - gaussian,
        factor=factor,
    )


def projections(seen: Observations, fitted: Fit, found: Kappa) -> Noise:
    """Return w_εᵀz of each draw around its class mean, standardised, and how its variance tilts with t."""
    strength = (fitted.vectors @ fitted.response) @ found.directions
    noise = _standardised(_residuals(seen, fitted, found.directions) + seen.coordinates[:, None] * strength)
    t = seen.signed - seen.signed.mean()
    most = _MOST_TILT / float(np.abs(seen.signed).max())
    tilt = np.clip(t @ noise**2 / max(float(t @ t), np.finfo(float).tiny), -most, most)
    return Noise(_standardised(noise / np.sqrt(1 + seen.signed[:, None] * tilt)), tilt)


def _residuals(seen: Observations, fitted: Fit, directions: Float[np.ndarray, "d e"]) -> Float[np.ndarray, "n e"]:
    """Return the projections of what is left of one image a draw: of mirrored ones, the first."""
    left: np.ndarray = fitted.residuals @ directions
    left[seen.mirrored] += np.sign(seen.signed[seen.mirrored])[:, None] * (fitted.mirror_residuals @ directions)
    return left


def at_scales(tilt: Float[np.ndarray, " e"], scales: Sequence[float]) -> Float[np.ndarray, "e s"]:
    """Return the tilt at every scale: a variance is positive, so one class keeps a tenth of it at least."""
    values: np.ndarray = np.clip(tilt[:, None] * np.asarray(scales, dtype=np.float64), -_MOST_TILT, _MOST_TILT)
    return values


def _standardised(noise: Float[np.ndarray, "n e"]) -> Float[np.ndarray, "n e"]:
    centred = noise - noise.mean(axis=0)
    deviation = centred.std(axis=0)
    standard: np.ndarray = centred / np.where(deviation > 0, deviation, 1.0)
    return standard


def _drifts(
    seen: Observations, fitted: Fit, v: Float[np.ndarray, " d"]
) -> tuple[Drift | None, Drift | None, Drift | None]:
    """Return the drifts of response, spread and midpoint along a classifier of unit response."""
    squares = seen.scales**2
    reach = float(np.ptp(squares))
    if not reach:
        return None, None, None
    width = _residuals(seen, fitted, v[:, None])[:, 0] + seen.coordinates
    moved = _slope_drift(squares, seen.values @ v - seen.shifts, reach, relative=False)
    deviation = float(width.std()) or 1.0
    midpoint = None if moved is None else Drift(moved.change / deviation, moved.stderr / deviation)
    return _response_drift(seen, v, reach), _slope_drift(squares, width**2, reach), midpoint


def _factor(
    seen: Observations, response: Drift | None, spread: Drift | None, grid: Float[np.ndarray, " s"]
) -> Float[np.ndarray, " s"]:
    """Return by what significant drifts multiply κ(s): response / √spread, 1 at the mean of s²."""
    factor, squares = np.ones_like(grid), seen.scales**2
    for drift, power in ((response, 1.0), (spread, -0.5)):
        if drift is not None and drift.significant:
            factor *= np.maximum(1 + drift.change * (grid**2 - squares.mean()) / np.ptp(squares), 0.01) ** power
    return factor


def _response_drift(seen: Observations, v: Float[np.ndarray, " d"], reach: float) -> Drift | None:
    """Return the change of vᵀμ(s)/s: of mirrored images where there are any, else of the cubic term of all."""
    if len(seen.mirrored) > 8:
        s = seen.scales[seen.mirrored]
        # The noise of a half difference grows with s: so each is taken per s.
        return _slope_drift(s**2, (seen.differences @ v) / s, reach)
    t = seen.signed
    columns = np.stack([np.ones_like(t), t, seen.scales**2, t * seen.scales**2], axis=1)
    if np.linalg.matrix_rank(columns / np.linalg.norm(columns, axis=0)) < columns.shape[1]:
        return None
    beta, error = _regress(columns, seen.values @ v)
    return Drift(float(beta[3] * reach), float(error[3] * reach))


def _coordinate_drift(seen: Observations, direction: Float[np.ndarray, " d"]) -> Drift | None:
    """Return how far the slope over the draws' own coordinates is from that over ±s: both are wᵀg."""
    if not seen.known or len(seen.values) <= 8:
        return None
    own = np.stack([np.ones_like(seen.scales), seen.coordinates, seen.shifts - seen.coordinates], axis=1)
    beta, error = _regress(own, seen.values @ direction)
    scales = seen.scales[seen.mirrored]
    paired = float(scales @ (seen.differences @ direction)) / float(scales @ scales) if len(scales) else beta[2]
    if not paired:
        return None
    return Drift(float(beta[1] / paired - 1), float(np.abs(error[1] / paired)))


def _slope_drift(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], reach: float, *, relative: bool = True
) -> Drift | None:
    """Return the change of y over a reach of x, by a line, relative to the mean of y."""
    if len(x) <= 8 or np.ptp(x) == 0:
        return None
    beta, error = _regress(np.stack([np.ones_like(x), x - x.mean()], axis=1), y)
    whole = abs(beta[0]) if relative else 1.0
    return Drift(float(beta[1] * reach / whole), float(error[1] * reach / whole)) if whole else None


def _regress(
    columns: Float[np.ndarray, "n c"], y: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]:
    """Return least-squares coefficients with standard errors that allow unequal variances (HC0)."""
    inverse = np.linalg.pinv(columns.T @ columns)
    beta = inverse @ (columns.T @ y)
    scores = columns * (y - columns @ beta)[:, None]
    return beta, np.sqrt(np.diag(inverse @ (scores.T @ scores) @ inverse))


def _score(accuracy: Float[np.ndarray, " s"], bound: Float[np.ndarray, " s"], scales: Float[np.ndarray, " s"]) -> float:
    return float(np.nan_to_num(curve.scores(accuracy[None], bound[None], scales.tolist(), [HEADLINE_THRESHOLD])[0, 0]))
