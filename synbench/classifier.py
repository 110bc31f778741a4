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
from scipy import linalg, optimize, special

from .errors import ArgumentError, RepresentationError

RELATIVE_CUTOFF = 1e-10
"""Directions with less than this share of the largest eigenvalue are dropped: the rounding of float32
representations alone leaves about 1e-15 to 1e-11, depending on how far their mean is from zero."""

ABSOLUTE_CUTOFF = 1e-6
"""The cut-off of the authors' script: in the squared units of the representation, whatever these are."""


@dataclass(frozen=True)
class Moments:
    """Half difference μ, midpoint m and pooled within-class covariance C (divisor n − 2), float64."""

    half_difference: Float[np.ndarray, " d"]
    midpoint: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]


@dataclass(frozen=True)
class Spectrum:
    """The kept part of the eigenbasis of C: λ > cut-off, the directions, and μ in that basis."""

    eigenvalues: Float[np.ndarray, " k"]
    directions: Float[np.ndarray, "d k"]
    half_difference: Float[np.ndarray, " k"]


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
    values = representations.astype(np.float64)
    means = np.stack([values[labels == y].mean(axis=0) for y in (0, 1)])
    values -= means[labels]
    return Moments(
        half_difference=(means[1] - means[0]) / 2,
        midpoint=(means[0] + means[1]) / 2,
        covariance=values.T @ values / (len(labels) - 2),
    )


def spectrum(found: Moments, *, absolute_cutoff: float | None = None) -> Spectrum:
    """Return the eigenbasis of C above the cut-off, and μ in it.

    Args:
        found: the moments.
        absolute_cutoff: keep λ > this; by default keep λ > 1e-10 of the largest.

    Raises:
        RepresentationError: no eigenvalue is above the cut-off: the representations do not vary.
    """
    # LAPACK's divide and conquer: the fastest where all eigenvectors are wanted.
    values, vectors = linalg.eigh(found.covariance, driver="evd", check_finite=False)
    cutoff = RELATIVE_CUTOFF * values[-1] if absolute_cutoff is None else absolute_cutoff
    kept = values > max(cutoff, 0.0)
    if not kept.any():
        raise RepresentationError(
            f"expected representations that vary within a class, but no eigenvalue of their covariance "
            f"exceeds {max(cutoff, 0.0):g} (the largest is {values[-1]:.3g}): the encoder gives every image the "
            f"same vector. Check that it is loaded and pooled as intended."
        )
    directions = vectors[:, kept]
    return Spectrum(values[kept], directions, directions.T @ found.half_difference)


def ridge(basis: Spectrum, epsilon: float) -> float:
    """Return ρ ≥ 0 with ‖z*‖ = ε‖μ‖, where z*_i = μ_i·ρ / (ρ + λ_i); ρ(0) = 0.

    The norm of z* rises with ρ from 0 to ‖μ‖, so the root is one; as every λ lies between the smallest
    and the largest, so does the root between ε/(1 − ε) times the two.

    Raises:
        ArgumentError: ε is not in [0, 1).
    """
    if not 0 <= epsilon < 1:
        raise ArgumentError(f"epsilon must lie in [0, 1): it is relative to the norm of μ, got {epsilon:g}.")
    if epsilon == 0:
        return 0.0
    share = basis.half_difference**2 / np.sum(basis.half_difference**2)
    log_eigenvalues = np.log(basis.eigenvalues)

    def excess(log_ridge: float) -> float:
        # Twice the logarithm of ‖z*‖ / (ε‖μ‖): in logarithms, no ε is too small and no spectrum too wide.
        log_shrunk = special.log_expit(log_ridge - log_eigenvalues)
        return float(special.logsumexp(2.0 * log_shrunk, b=share) - 2.0 * np.log(epsilon))

    centre = np.log(epsilon / (1.0 - epsilon))
    # A little wider than the bracket above, which rounding can miss when all eigenvalues are alike.
    low, high = log_eigenvalues.min() + centre - 1e-6, log_eigenvalues.max() + centre + 1e-6
    return float(np.exp(optimize.brentq(excess, low, high, xtol=1e-12, rtol=1e-12)))


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
    rows = [basis.half_difference / (basis.eigenvalues + ridge(basis, e)) for e in epsilons]
    # Of unit length: the scale of w means nothing, and this one neither overflows nor vanishes.
    unit: np.ndarray = np.stack([row / np.linalg.norm(row) for row in rows]) @ basis.directions.T
    return unit


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
    margin = (representations.astype(np.float64) - found.midpoint) @ directions.T
    correct = margin * (2 * labels[:, None] - 1) > 0
    return correct, np.abs(margin) / np.abs(directions @ found.half_difference)
