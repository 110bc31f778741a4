"""Discriminability: how much of κ a representation keeps, estimated without the bias of its width.

The representation of an image at t = ±s answers linearly, z = m + t·g + noise of covariance C, so that at every scale
κ_ε(s) = s·κ_ε. With ρ the ridge of the ε-robust classifier w = (C + ρI)⁻¹g, everything follows from one function:

    n₁(ρ) = gᵀ(C + ρI)⁻¹g,    n₂ = −dn₁/dρ,    κ_ε² = n₁² / (n₁ − ρn₂),    ρ²n₂ = ε²‖g‖² fixes ρ

Estimates Ĉ from n residuals and ĝ with error covariance Ω give n₁ without the bias of d/n. A ridge r on Ĉ acts as
the larger ridge ρ = r / u on C, with u = 1 − tr Ĉ(Ĉ + rI)⁻¹/n, and

    n₁(ρ) ≈ u·[ĝᵀ(Ĉ + rI)⁻¹ĝ − tr (Ĉ + rI)⁻¹Ω]

to order 1/n whatever d/n; for Gaussian noise and r = 0 the unbiased estimate has (n − d − 1)/n for u. Where the noise
along the class-mean direction is known, x = t + μ̂ᵀη takes the place of t: C = C⊥ + ggᵀ with C⊥ the covariance of what
is left, n₁ = n⊥/(1 + n⊥), and the known part adds no error.

The deterministic equivalent is that of Hastie, Montanari, Rosset and Tibshirani (Annals of Statistics 50, 2022) and
of Bai and Silverstein; its use here is ours. See docs/population.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import linalg
from scipy.linalg import blas

from .classifier import RELATIVE_CUTOFF
from .errors import RepresentationError

MOST_FREEDOM = 0.9
"""The largest share of the residuals' degrees of freedom that a classifier may use up. Beyond it, which needs more
dimensions than 0.9 n, the ridge is raised to this: κ is then that of a classifier that is held back, and not sure."""

_FLOOR = 1e-12
_STEP = 1e-4
_ROUNDING = 1e-12
_CERTAIN = 10.0
_GRID, _HALVINGS = 256, 50


@dataclass(frozen=True)
class Observations:
    """What was seen of an encoder, one row a draw of noise.

    Attributes:
        values: the representation of the draw; of mirrored images, their mean.
        signed: t = ±s; of mirrored images, of the first.
        scales: s.
        coordinates: μ̂ᵀη of each draw, all 0 where they are not known.
        known: whether they are.
        differences: half the difference of mirrored images, class 1 minus class 0.
        mirrored: which draws these are.
    """

    values: Float[np.ndarray, "n d"]
    signed: Float[np.ndarray, " n"]
    scales: Float[np.ndarray, " n"]
    coordinates: Float[np.ndarray, " n"]
    known: bool
    differences: Float[np.ndarray, "p d"]
    mirrored: Int[np.ndarray, " p"]

    @property
    def shifts(self) -> Float[np.ndarray, " n"]:
        """x: the place of each value along the class-mean direction, as far as it is known; ±s cancels in a mean."""
        place: np.ndarray = self.signed + self.coordinates
        place[self.mirrored] -= self.signed[self.mirrored]
        return place


@dataclass(frozen=True)
class Fit:
    """The linear response and what is left, in the eigenbasis of the residual covariance.

    Attributes:
        eigenvalues: λ of Ĉ (of Ĉ⊥ where coordinates are known).
        vectors: the eigenvectors.
        response: ĝ in the eigenbasis.
        noise: the diagonal of Ω there.
        norm: ‖g‖², freed of the noise in ĝ.
        freedom: degrees of freedom of Ĉ.
        residuals: what is left of each value.
        leverage: each draw's weight in ĝ.
        mirror_residuals: what is left of each half difference.
        mirror_leverage: its weight in ĝ.
        mirrored: which draws these are.
        known: whether the draws' own coordinates are known.
    """

    eigenvalues: Float[np.ndarray, " k"]
    vectors: Float[np.ndarray, "d k"]
    response: Float[np.ndarray, " k"]
    noise: Float[np.ndarray, " k"]
    norm: float
    freedom: int
    residuals: Float[np.ndarray, "n d"]
    leverage: Float[np.ndarray, " n"]
    mirror_residuals: Float[np.ndarray, "p d"]
    mirror_leverage: Float[np.ndarray, " p"]
    mirrored: Int[np.ndarray, " p"]
    known: bool


@dataclass(frozen=True)
class Kappa:
    """κ_ε² for every ε, and its error.

    Attributes:
        squared: estimates of κ_ε²; noise can take them below 0.
        contributions: each draw's part of the error: its variance is the sum of their squares.
        stderr: of ``squared``; with the part that no single draw can answer for.
        limited: where ``MOST_FREEDOM`` raised the ridge.
        directions: w_ε.
    """

    squared: Float[np.ndarray, " e"]
    contributions: Float[np.ndarray, "n e"]
    stderr: Float[np.ndarray, " e"]
    limited: Bool[np.ndarray, " e"]
    directions: Float[np.ndarray, "d e"]


def fit(seen: Observations) -> Fit:
    """Fit the linear response by least squares, midpoints free to drift with s², and the spread around it.

    ĝ joins two independent estimates, each weighted by the inverse of its variance along the classifier: the slope of
    all draws over x, and the slope of the half differences over s.

    Raises:
        RepresentationError: nothing varies, or there are too few draws.
    """
    n, d = seen.values.shape
    nuisance = np.stack([np.ones(n), seen.scales**2 - np.mean(seen.scales**2)], axis=1)
    nuisance = nuisance[:, : 1 + (np.ptp(seen.scales) > 1e-9 * seen.scales.max())]
    basis, _ = np.linalg.qr(nuisance)
    x = seen.shifts - basis @ (basis.T @ seen.shifts)
    information = float(x @ x)
    informed = information > 1e-9 * float(seen.scales @ seen.scales)
    freedom = n - nuisance.shape[1] - informed
    if freedom < 2 or not (informed or len(seen.mirrored)):
        raise RepresentationError(
            f"expected enough representations of both classes to see how they answer to the class means, got {n} "
            f"draws of noise. Add more images of each class."
        )
    slope = (x @ seen.values) / information if informed else np.zeros(d)
    residuals = seen.values - basis @ (basis.T @ seen.values)
    residuals -= x[:, None] * slope
    # Of mirrored images both count, half each: the spread of their mean, and that of their half difference.
    mirror = _mirror_slope(seen)
    half = blas.dsyrk(1.0, residuals.T, lower=1)
    if len(mirror[1]):
        half = blas.dsyrk(1.0, mirror[1].T, beta=1.0, c=half, lower=1, overwrite_c=1)
    covariance = (np.tril(half) + np.tril(half, -1).T) / freedom
    eigenvalues, vectors = linalg.eigh(covariance, check_finite=False, overwrite_a=True)
    by_slope = slope @ vectors
    by_mirror, mirror_residuals, mirror_leverage = mirror[0] @ vectors, mirror[1], mirror[2]
    mirror_noise = (((mirror_leverage[:, None] * mirror_residuals) @ vectors) ** 2).sum(axis=0)
    share = _share_of_mirror(eigenvalues, by_mirror, mirror, vectors, information if informed else 0.0)
    p = len(seen.mirrored)
    response = share * by_mirror + (1 - share) * by_slope
    noise = share**2 * mirror_noise * p / max(p - 1, 1)
    if informed:
        noise += (1 - share) ** 2 * np.maximum(eigenvalues, 0) / information
    # A representation that holds x exactly leaves no spread along ĝ, and that direction is kept. A coordinate that
    # fires once in a thousand images has no spread and a response either, but one that is all noise.
    total = eigenvalues + seen.known * response**2 * (response**2 > _CERTAIN**2 * noise)
    largest = float(total.max())
    if largest <= (_ROUNDING * float(np.abs(seen.values).max())) ** 2:
        raise RepresentationError(
            "expected representations that vary within a class, but every image of a class gets the same vector. "
            "Check that the encoder is loaded and pooled as intended, and take its output before it is rounded or "
            "saturated."
        )
    kept = total > RELATIVE_CUTOFF * largest
    return Fit(
        eigenvalues=np.maximum(eigenvalues[kept], _FLOOR * largest),
        vectors=vectors[:, kept],
        response=response[kept],
        noise=noise[kept],
        norm=float(np.sum(response**2 - noise)),
        freedom=int(freedom),
        residuals=residuals,
        leverage=(1 - share) * x / information if informed else np.zeros(n),
        mirror_residuals=mirror_residuals,
        mirror_leverage=share * mirror_leverage,
        mirrored=seen.mirrored,
        known=seen.known,
    )


def _mirror_slope(
    seen: Observations,
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "p d"], Float[np.ndarray, " p"]]:
    """Return the slope of the half differences over s, what is left of each, and its weight in the slope."""
    scales = seen.scales[seen.mirrored]
    weights = scales / max(float(scales @ scales), np.finfo(float).tiny)
    slope = weights @ seen.differences
    return slope, seen.differences - scales[:, None] * slope, weights


def _share_of_mirror(
    eigenvalues: Float[np.ndarray, " d"],
    response: Float[np.ndarray, " d"],
    mirror: tuple[Float[np.ndarray, " d"], Float[np.ndarray, "p d"], Float[np.ndarray, " p"]],
    vectors: Float[np.ndarray, "d d"],
    information: float,
) -> float:
    """Return the weight of the mirrored images in ĝ: inverse variances along a lightly shrunken classifier."""
    if not len(mirror[1]) or not information:
        return float(len(mirror[1]) > 0)
    if not response.any():
        # Mirrored images that all stay silent tell nothing of how certain that is.
        return 0.0
    spread = np.maximum(eigenvalues, 0)
    direction = response / (spread + 0.05 * spread.mean() + np.finfo(float).tiny)
    of_mirror = float(np.sum((mirror[2] * (mirror[1] @ (vectors @ direction))) ** 2))
    of_slope = float(np.sum(spread * direction**2)) / information
    return of_slope / (of_slope + of_mirror) if of_slope + of_mirror > 0 else 1.0


def kappa(fitted: Fit, epsilons: Sequence[float]) -> Kappa:
    """Return κ_ε² for every ε, with the error of each.

    The error is the functional's derivative along what each draw adds to ĝ and Ĉ. Fitting in d dimensions takes the
    share tr[(Ĉ(Ĉ + rI)⁻¹)²]/n from that variance, which is given back; the noise of ĝ squared is added.

    Args:
        fitted: the linear response and what is left.
        epsilons: robustness levels in [0, 1).
    """
    least = _least_ridge(fitted)
    unbiased, raw = fitted.response**2 - fitted.noise, fitted.response**2
    squared, contributions, stderr, limited, directions = [], [], [], [], []
    for epsilon in epsilons:
        ridge = _ridge(fitted, unbiased, epsilon, least) if epsilon else least
        held = least > 0 and ridge == least
        squared.append(_kappa_squared(fitted, unbiased, ridge))
        change = _contributions(fitted, ridge, 0.0 if held else epsilon)
        h = 1 / (fitted.eigenvalues + ridge)
        deflated = 1 - float(np.sum((fitted.eigenvalues * h) ** 2)) / fitted.freedom
        change /= np.sqrt(max(deflated, 1 - MOST_FREEDOM))
        contributions.append(change)
        u = _shrink(fitted, ridge)
        rest = u / (1 + fitted.known * u * float(h @ raw)) ** 2
        stderr.append(np.sqrt(change @ change + 2 * np.sum((fitted.noise * h) ** 2) * rest**2))
        limited.append(held)
        directions.append(fitted.vectors @ (h * fitted.response))
    return Kappa(
        squared=np.array(squared),
        contributions=np.stack(contributions, axis=1),
        stderr=np.array(stderr),
        limited=np.array(limited),
        directions=np.stack(directions, axis=1),
    )


def _shrink(fitted: Fit, ridge: float) -> float:
    """Return u = 1 − tr Ĉ(Ĉ + rI)⁻¹/n."""
    return 1 - float(np.sum(fitted.eigenvalues / (fitted.eigenvalues + ridge))) / fitted.freedom


def _least_ridge(fitted: Fit) -> float:
    """Return the ridge at which the classifier uses up the most freedom that it may; 0 where it never does."""
    if _shrink(fitted, 0.0) >= 1 - MOST_FREEDOM:
        return 0.0
    low, high = np.log(fitted.eigenvalues.min()) - 50, np.log(fitted.eigenvalues.max()) + 50
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _shrink(fitted, np.exp(middle)) < 1 - MOST_FREEDOM else (low, middle)
    return float(np.exp(high))


def _functions(
    fitted: Fit, squares: Float[np.ndarray, " k"], ridges: Float[np.ndarray, " r"]
) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, " r"], Float[np.ndarray, " r"]]:
    """Return ρ, n₁(ρ) and n₂(ρ) of the population for ridges on Ĉ; ``squares`` are those of the response."""
    n, h = fitted.freedom, 1 / (fitted.eigenvalues + ridges[:, None])
    u, slope = 1 - (h @ fitted.eigenvalues) / n, (h**2 @ fitted.eigenvalues) / n
    first, second = h @ squares, h**2 @ squares
    n1, n2 = u * first, (u * second - slope * first) * u**2 / (u - ridges * slope)
    held = 1 + fitted.known * n1
    return ridges / u, n1 / held, n2 / held**2


def _kappa_squared(fitted: Fit, squares: Float[np.ndarray, " k"], ridge: float) -> float:
    rho, n1, n2 = (value[0] for value in _functions(fitted, squares, np.array([ridge])))
    rest = n1 - rho * n2
    return float(n1**2 / rest) if ridge and n1 > 0 and rest > 0 else float(n1)


def _ridge(fitted: Fit, squares: Float[np.ndarray, " k"], epsilon: float, least: float) -> float:
    """Return the first ridge from ``least`` on at which ρ²n₂ reaches ε²‖g‖²."""
    low = np.log(least) if least else np.log(fitted.eigenvalues.min()) - 25
    high = np.log(fitted.eigenvalues.max()) + 25

    def excess(logs: Float[np.ndarray, " r"]) -> Float[np.ndarray, " r"]:
        rho, _, n2 = _functions(fitted, squares, np.exp(logs))
        above: np.ndarray = rho**2 * n2 - epsilon**2 * fitted.norm
        return above

    logs = np.linspace(low, high, _GRID)
    # Without noise the function rises all the way; with it the first crossing counts.
    over = np.flatnonzero(excess(logs) >= 0)
    at = int(over[0]) if len(over) else _GRID - 1
    if at == 0 and least:
        return least
    low, high = logs[max(at - 1, 0)], logs[at]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if excess(np.array([middle]))[0] >= 0 else (middle, high)
    return float(np.exp(high))


def _contributions(fitted: Fit, ridge: float, epsilon: float) -> Float[np.ndarray, " n"]:
    """Return the change of κ_ε² that each draw makes through ĝ and Ĉ, at d/n → 0.

    With w_k = (Ĉ + rI)^−k ĝ, the sums ĝᵀw₁ and ĝᵀw₂ change by 2w₁ᵀδg − w₁ᵀδC w₁ and by 2w₂ᵀδg − 2w₁ᵀδC w₂, ‖g‖² by
    2gᵀδg, and the ridge such that ρ²n₂ = ε²‖g‖² stays true; all else follows by the rules of differentiation.
    """
    g, h, n = fitted.response, 1 / (fitted.eigenvalues + ridge), fitted.freedom
    weights = fitted.vectors @ np.stack([h * g, h**2 * g, g], axis=1)
    projected, mirrored = fitted.residuals @ weights, fitted.mirror_residuals @ weights
    linear = fitted.leverage[:, None] * projected
    linear[fitted.mirrored] += fitted.mirror_leverage[:, None] * mirrored
    products = projected[:, [0]] * projected[:, :2]
    products[fitted.mirrored] += mirrored[:, [0]] * mirrored[:, :2]
    products = (products - products.mean(axis=0)) / n
    first, second = 2 * linear[:, 0] - products[:, 0], 2 * linear[:, 1] - 2 * products[:, 1]

    u, slope = 1 - float(h @ fitted.eigenvalues) / n, float(h**2 @ fitted.eigenvalues) / n
    squares, near = g**2, ridge * np.array([1 - _STEP, 1.0, 1 + _STEP])
    (_, rho, _), (_, n1, _), (before, n2, after) = _functions(fitted, squares, near)
    held = 1 + fitted.known * u * float(h @ squares)
    change1 = u * first / held**2
    change2 = (u * second - slope * first) * u**2 / (u - ridge * slope) / held**2
    change2 -= 2 * fitted.known * n2 * u * first / held
    moved, n3 = np.zeros_like(change1), 0.0
    if epsilon and ridge:
        low, high = _functions(fitted, squares, near[[0, 2]])[0]
        n3 = (before - after) / (high - low) / 2
        turn = 2 * rho * n2 - 2 * rho**2 * n3
        moved = (2 * epsilon**2 * linear[:, 2] - rho**2 * change2) / (turn or np.inf)
    whole1, whole2 = change1 - n2 * moved, change2 - 2 * n3 * moved
    rest = n1 - rho * n2
    if ridge and (n1 <= 0 or rest <= 0 or not np.isfinite(moved).all()):
        return np.zeros_like(change1)
    if not ridge:
        return np.asarray(whole1)
    change: np.ndarray = 2 * n1 / rest * whole1 - (n1 / rest) ** 2 * (whole1 - moved * n2 - rho * whole2)
    return change
