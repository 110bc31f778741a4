"""The ε-robust Bayes classifier of two Gaussian classes with a common covariance.

μ is half the difference of the class means, m their midpoint, C the pooled within-class covariance.

    w_ε = C⁻¹(μ − z*),   z* = argmin over ‖z‖ ≤ ε‖μ‖ of (μ − z)ᵀ C⁻¹ (μ − z)

In the eigenbasis of C, z*_i = μ_i / (1 + νλ_i) with the one ν ≥ 0 that puts z* on the sphere. Putting
this in gives w_ε ∝ (C + ρI)⁻¹ μ with ρ = 1/ν: a ridge discriminant. So one eigendecomposition serves
every ε, and each ε > 0 costs one scalar root. Everything here is float64.

Source: Ko et al., arXiv 2210.02989, section 3.2; the reduction to a ridge is ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import linalg
from scipy.linalg import blas, lapack

from .errors import ArgumentError, RepresentationError

RELATIVE_CUTOFF = 1e-10
"""Directions with less than this share of the largest eigenvalue are dropped: the rounding of float32
representations alone leaves about 1e-15 to 1e-11, depending on how far their mean is from zero."""

ABSOLUTE_CUTOFF = 1e-6
"""The cut-off of the authors' script: in the squared units of the representation, whatever these are."""

_MOST_STEPS = 100
_CLOSE = 1e-13


@dataclass(frozen=True)
class Moments:
    """Half difference μ, midpoint m and pooled within-class covariance C (divisor n − 2), float64."""

    half_difference: Float[np.ndarray, " d"]
    midpoint: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]


@dataclass(frozen=True)
class Spectrum:
    """The kept part of the eigenbasis of C, as C = Q T Qᵀ with T tridiagonal and T = S Λ Sᵀ.

    Only a few vectors ever leave the eigenbasis, so Q stays in the reflectors that LAPACK makes of it,
    and the d × d product Q S, the dearest part of an eigendecomposition, is never formed.

    Attributes:
        eigenvalues: λ above the cut-off.
        half_difference: μ in the eigenbasis, SᵀQᵀμ.
        inner: S.
        reflectors: Q, as reflectors.
        factors: their scalar factors.
        dropped: the share of ‖μ‖² below the cut-off.
    """

    eigenvalues: Float[np.ndarray, " k"]
    half_difference: Float[np.ndarray, " k"]
    inner: Float[np.ndarray, "d k"]
    reflectors: Float[np.ndarray, "m m"]
    factors: Float[np.ndarray, " m"]
    dropped: float

    def leave(self, rows: Float[np.ndarray, "e k"]) -> Float[np.ndarray, "e d"]:
        """Turn vectors in the eigenbasis into vectors in representation space: Q S row."""
        return _rotate(self.reflectors, self.factors, _product(self.inner, rows.T), transposed=False).T


def moments(representations: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"]) -> Moments:
    """Estimate μ, m and C from representations with labels in {0, 1}.

    Values are centred by their class mean before they are squared, so that a large mean costs no digits.

    Raises:
        RepresentationError: a class is missing, or fewer than 3 rows (C has the divisor n − 2).

    >>> z = np.array([[1.0, 0.0], [3.0, 0.0], [7.0, 1.0], [9.0, 1.0]])
    >>> found = moments(z, np.array([0, 0, 1, 1]))
    >>> found.half_difference.tolist(), found.midpoint.tolist(), found.covariance.tolist()
    ([3.0, 0.5], [5.0, 0.5], [[2.0, 0.0], [0.0, 0.0]])
    """
    if len(labels) < 3 or not 0 < np.count_nonzero(labels == 1) < len(labels):
        raise RepresentationError(
            f"expected at least 3 representations with both classes to fit a classifier, got "
            f"{np.count_nonzero(labels == 0)} of class 0 and {np.count_nonzero(labels == 1)} of class 1. "
            f"Add more images of each class."
        )
    d = representations.shape[1]
    means, half = [], np.zeros((d, d), order="F")
    for label in (0, 1):
        part = representations[labels == label].astype(np.float64)
        means.append(part.mean(axis=0))
        part -= means[label]
        # Half of a symmetric product is enough.
        half = blas.dsyrk(1.0, part.T, beta=1.0, c=half, lower=1, overwrite_c=1)
    scatter = np.tril(half) + np.tril(half, -1).T
    return Moments(
        half_difference=(means[1] - means[0]) / 2,
        midpoint=(means[0] + means[1]) / 2,
        covariance=scatter / (len(labels) - 2),
    )


def spectrum(found: Moments, *, absolute_cutoff: float | None = None) -> Spectrum:
    """Return the eigenbasis of C above the cut-off, and μ in it.

    Args:
        found: the moments.
        absolute_cutoff: keep λ > this; by default keep λ > 1e-10 of the largest.

    Raises:
        RepresentationError: no eigenvalue is above the cut-off: the representations do not vary.

    >>> basis = spectrum(Moments(np.array([1.0, 2.0]), np.zeros(2), np.diag([4.0, 9.0])))
    >>> basis.eigenvalues.tolist()
    [4.0, 9.0]
    """
    d = len(found.covariance)
    work = int(lapack.dsytrd_lwork(d, lower=1)[0])
    reduced, diagonal, off_diagonal, factors, _ = lapack.dsytrd(found.covariance, lower=1, lwork=max(work, 1))
    # In LAPACK's own order, so that it need not copy them each time they are used.
    reflectors = np.asfortranarray(reduced[1:, :-1])
    values, inner = linalg.eigh_tridiagonal(diagonal, off_diagonal, check_finite=False)
    cutoff = max(RELATIVE_CUTOFF * values[-1] if absolute_cutoff is None else absolute_cutoff, 0.0)
    kept = values > cutoff
    if not kept.any() and np.any(found.half_difference):
        raise RepresentationError(
            f"expected representations that vary within a class, but no eigenvalue of their covariance exceeds "
            f"{cutoff:g}, although the class means differ: every image of a class gets the same vector. "
            f"Take the representation before it is rounded or saturated."
        )
    if not kept.any():
        raise RepresentationError(
            f"expected representations that vary within a class, but no eigenvalue of their covariance "
            f"exceeds {cutoff:g} (the largest is {values[-1]:.3g}): the encoder gives every image the "
            f"same vector. Check that it is loaded and pooled as intended."
        )
    rotated = _rotate(reflectors, factors, found.half_difference[:, None], transposed=True)
    inner = inner if kept.all() else inner[:, kept]
    mu = _product(inner.T, rotated)[:, 0]
    whole = np.sum(found.half_difference**2)
    dropped = 0.0 if kept.all() or whole == 0 else float(max(1 - np.sum(mu**2) / whole, 0.0))
    return Spectrum(values[kept], mu, inner, reflectors, factors, dropped)


def ridges(
    eigenvalues: Float[np.ndarray, " k"], half_difference: Float[np.ndarray, " k"], epsilons: Sequence[float]
) -> Float[np.ndarray, " e"]:
    """Return ρ ≥ 0 for every ε, with ‖z*‖ = ε‖μ‖ where z*_i = μ_i·ρ / (ρ + λ_i); ρ(0) = 0.

    The norm of z* rises with ρ from 0 to ‖μ‖, so the root is one; as every λ lies between the smallest
    and the largest, it lies between ε/(1 − ε) times the two. Newton's method finds log ρ for all ε at once,
    inside that bracket, in about five steps. In logarithms no ε is too small and no spectrum too wide.

    Raises:
        ArgumentError: an ε is not in [0, 1).

    >>> ridges(np.array([2.0, 2.0]), np.array([1.0, 1.0]), [0.0, 0.5]).round(6).tolist()
    [0.0, 2.0]
    """
    levels = np.asarray(epsilons, dtype=np.float64)
    if not ((levels >= 0) & (levels < 1)).all():
        bad = levels[~((levels >= 0) & (levels < 1))][0]
        raise ArgumentError(f"epsilon must lie in [0, 1): it is relative to the norm of μ, got {bad:g}.")
    found = np.zeros_like(levels)
    positive = levels > 0
    log_levels = np.log(levels[positive])
    # Relative to the largest: no square below overflows.
    unit = eigenvalues / eigenvalues.max()
    share = half_difference**2 / np.sum(half_difference**2)
    # A little wider than the bracket above, which rounding can miss when all eigenvalues are alike.
    centre = log_levels - np.log1p(-levels[positive])
    low, high = centre + np.log(unit.min()) - 1e-6, centre + 1e-6
    log_ridge = centre + share @ np.log(unit)
    for _ in range(_MOST_STEPS):
        inverse = 1.0 / (np.exp(log_ridge)[:, None] + unit)
        weights = share * inverse**2
        total = weights.sum(axis=1)
        # log ‖z*‖ − log ε‖μ‖, and its slope in log ρ, between 0 and 1.
        excess = log_ridge + 0.5 * np.log(total) - log_levels
        slope = (weights * inverse) @ unit / total
        low, high = np.where(excess < 0, log_ridge, low), np.where(excess > 0, log_ridge, high)
        step = log_ridge - excess / slope
        inside = (step >= low) & (step <= high)
        previous, log_ridge = log_ridge, np.where(inside, step, (low + high) / 2)
        if np.all(np.abs(log_ridge - previous) <= _CLOSE * np.maximum(1.0, np.abs(log_ridge))):
            break
    found[positive] = np.exp(log_ridge) * eigenvalues.max()
    return found


def robust_directions(basis: Spectrum, epsilons: Sequence[float]) -> Float[np.ndarray, "e d"]:
    """Return w_ε, up to a positive factor, for every ε.

    Raises:
        RepresentationError: the class means coincide, so that there is no direction between them.
    """
    if not np.any(basis.half_difference):
        raise RepresentationError(
            "expected class means that differ, but they coincide exactly: the encoder ignores its input. "
            "Check that it is loaded and pooled as intended."
        )
    rho = ridges(basis.eigenvalues, basis.half_difference, epsilons)
    rows = basis.half_difference / (basis.eigenvalues + rho[:, None])
    # Of unit length: the scale of w means nothing, and this one neither overflows nor vanishes.
    return basis.leave(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def trade_off(
    directions: Float[np.ndarray, "e d"],
    found: Moments,
    representations: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
) -> tuple[Bool[np.ndarray, "n e"], Float[np.ndarray, "n e"]]:
    """Return which samples each classifier gets right, and the scaled bound of each sample.

    A sample is correct when sign(wᵀ(z − m)) is its class (on the boundary it is not); its scaled
    bound is |wᵀ(z − m)| / |wᵀμ|.
    """
    margin = _product(representations.astype(np.float64) - found.midpoint, directions.T)
    correct = margin * (2 * labels[:, None] - 1) > 0
    return correct, np.abs(margin) / np.abs(directions @ found.half_difference)


def _product(left: Float[np.ndarray, "a b"], right: Float[np.ndarray, "b c"]) -> Float[np.ndarray, "a c"]:
    """Multiply by SciPy's BLAS, the library of the eigenproblem.

    NumPy's is another, with threads of its own: still awake after a product, they would halve the speed of
    SciPy's threads on the eigenproblem that follows.
    """
    (a, turn_a), (b, turn_b) = ((x, 0) if x.flags.f_contiguous else (x.T, 1) for x in (left, right))
    product: np.ndarray = blas.dgemm(1.0, a, b, trans_a=turn_a, trans_b=turn_b)
    return product


def _rotate(
    reflectors: Float[np.ndarray, "m m"],
    factors: Float[np.ndarray, " m"],
    columns: Float[np.ndarray, "d e"],
    *,
    transposed: bool,
) -> Float[np.ndarray, "d e"]:
    """Apply Q, or its transpose, to columns. The first row stays: LAPACK's Q begins with a 1."""
    if not len(factors):
        return columns
    side, trans, rest = "L", "T" if transposed else "N", columns[1:]
    _, work, _ = lapack.dormqr(side, trans, reflectors, factors, rest, lwork=-1)
    turned, _, _ = lapack.dormqr(side, trans, reflectors, factors, rest, lwork=int(work[0]))
    return np.concatenate([columns[:1], turned])
