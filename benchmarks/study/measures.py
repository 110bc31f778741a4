"""Measures of a representation that others proposed as predictors of transfer: what a score has to stand beside.

Pure functions of arrays, all in float64. None changes when the representations are rotated; ``h_score`` without
shrinkage does not change under any invertible affine map. ``rankme`` and ``effective_dimension`` see pictures only,
``h_score`` and ``logme`` their classes too.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray

from synbench.errors import RepresentationError

CUTOFF = 1e-10
"""Eigenvalues of a covariance below this share of the largest are taken for 0."""

_ROUNDS = 1000
_STILL = 1e-9

Array = NDArray[np.float64]


def rankme(representations: ArrayLike) -> float:
    """Return RankMe: how many directions the representations use, by the entropy of their singular values.

    exp(−Σ p_i log p_i), p_i = σ_i / Σ σ, with σ the singular values of the n × d matrix, which is not centred (Garrido,
    Balestriero, Najman, LeCun, "RankMe", ICML 2023, eq. 1; their 1e-7 on each p is left out: 0 log 0 is 0).

    Args:
        representations: (n, d), n ≥ 2.

    Returns:
        A number in [1, min(n, d)]; k where k singular values are equal and the others 0.

    Raises:
        RepresentationError: the shape is another, a number is not finite, or all are 0.

    >>> round(rankme(np.eye(6)[:, :3]), 6)
    3.0
    """
    values = np.linalg.svd(_rows(representations), compute_uv=False)
    if not values[0] > 0:
        raise RepresentationError("expected representations that are not all 0, got only zeros: the encoder is dead.")
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def effective_dimension(representations: ArrayLike) -> float:
    """Return the participation ratio (Σλ)² / Σλ² of the eigenvalues λ of the covariance.

    Args:
        representations: (n, d), n ≥ 2.

    Returns:
        A number in [1, min(n − 1, d)]; k where k eigenvalues are equal and the others 0.

    Raises:
        RepresentationError: the shape is another, a number is not finite, or all rows are equal.

    >>> round(effective_dimension([[1, 0], [-1, 0], [0, 1], [0, -1]]), 6)
    2.0
    """
    centred = _centred(_rows(representations))
    gram = centred.T @ centred if centred.shape[1] <= len(centred) else centred @ centred.T
    return float(np.trace(gram) ** 2 / (gram**2).sum())


def h_score(representations: ArrayLike, labels: ArrayLike, *, shrink: bool = False) -> float:
    """Return the H-score: how much of the representations' variance, in their own units, lies between the classes.

    tr(cov(z)⁻¹ cov(E[z|y])), with the pseudo-inverse where cov(z) is singular (Bao et al., "An information-theoretic
    approach to transferability in task transfer learning", ICIP 2019). With ``shrink`` it is
    tr(C_α⁻¹ (1 − α) cov(E[z|y])), C_α = (1 − α) cov(z) + α (tr cov(z) / d) I and α that of Ledoit and Wolf (Ibrahim,
    Ponomareva, Mazumder, "Newer is not always better", arXiv 2110.06893). Covariances have the divisor n.

    Args:
        representations: (n, d).
        labels: (n,), classes.
        shrink: the second form, which does not grow to K − 1 as d nears n.

    Returns:
        A number in [0, K − 1], with K classes.

    Raises:
        RepresentationError: shapes do not fit, a number is not finite, all rows are equal, or there is one class.

    >>> round(h_score([[1.0], [1.0], [-1.0], [-1.0]], [0, 0, 1, 1]), 6)
    1.0
    """
    rows = _rows(representations)
    classes = _classes(labels, len(rows))
    centred = _centred(rows)
    counts = np.bincount(classes)
    means = _one_hot(classes).T @ centred / counts[:, None]
    within = centred.T @ centred / len(rows)
    alpha = _shrinkage(centred, within) if shrink else 0.0
    values, vectors = np.linalg.eigh(within)
    if shrink:
        kept = np.ones(len(values), dtype=bool)
        values = (1 - alpha) * values + alpha * values.mean()
    else:
        kept = values > CUTOFF * values[-1]
    turned = (means @ vectors[:, kept]) ** 2 / values[kept]
    return float((1 - alpha) * (counts / len(rows) @ turned).sum())


def logme(representations: ArrayLike, labels: ArrayLike) -> float:
    """Return LogME: the logarithm of the largest evidence of a Bayesian linear regression on each class, a picture.

    For a class with targets t (1 in it, 0 else): t ~ N(Zw, 1/β), w ~ N(0, I/α); log evidence
    (n log β + d log α − n log 2π − β‖Zm − t‖² − α‖m‖² − log det(αI + βZᵀZ)) / 2 with m = β(αI + βZᵀZ)⁻¹Zᵀt, at the α
    and β that MacKay's fixed point α = γ/‖m‖², β = (n − γ)/‖Zm − t‖², γ = Σ βσ²/(α + βσ²) reaches, in the basis of the
    singular vectors of Z. The mean over classes of that, divided by n (You, Liu, Wang, Long, "LogME", ICML 2021). As
    there, Z is not centred and has no intercept. Where targets have no linear part in Z, α grows without end, and
    the evidence has its limit long before the last of 1000 rounds.

    Args:
        representations: (n, d).
        labels: (n,), classes.

    Raises:
        RepresentationError: shapes do not fit, a number is not finite, all are 0, or there is one class.
    """
    rows = _rows(representations)
    targets = _one_hot(_classes(labels, len(rows)))
    left, singular, _ = np.linalg.svd(rows, full_matrices=False)
    if not singular[0] > 0:
        raise RepresentationError("expected representations that are not all 0, got only zeros: the encoder is dead.")
    kept = singular > singular[0] * max(rows.shape) * np.finfo(np.float64).eps
    squares = singular[kept, None] ** 2
    inside = (left[:, kept].T @ targets) ** 2
    outside = np.maximum((targets**2).sum(axis=0) - inside.sum(axis=0), 0.0)
    return float(np.mean(_evidence(squares, inside, outside, len(rows)))) / len(rows)


def baselines(representations: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Return every measure of this module by its name; an undefined one raises as it does alone.

    >>> sorted(baselines(np.eye(8)[:, :4] - 0.1, [0, 1] * 4))
    ['effective_dimension', 'h_score', 'h_score_shrunk', 'logme', 'rankme']
    """
    return {
        "rankme": rankme(representations),
        "effective_dimension": effective_dimension(representations),
        "h_score": h_score(representations, labels),
        "h_score_shrunk": h_score(representations, labels, shrink=True),
        "logme": logme(representations, labels),
    }


def _evidence(
    squares: Float[np.ndarray, "r 1"], inside: Float[np.ndarray, "r k"], outside: Float[np.ndarray, " k"], n: int
) -> Float[np.ndarray, " k"]:
    """Return the largest log evidence of each column, whose squared coordinates are ``inside`` and ``outside``."""
    alpha, beta = np.ones(inside.shape[1]), np.ones(inside.shape[1])
    # The rounding of ‖t‖², below which a residual says nothing.
    floor = n * np.finfo(np.float64).eps
    for _ in range(_ROUNDS):
        ratio = alpha / beta
        length = (inside * squares / (ratio + squares) ** 2).sum(axis=0)
        residual = np.maximum((inside * (ratio / (ratio + squares)) ** 2).sum(axis=0) + outside, floor)
        gamma = (squares / (ratio + squares)).sum(axis=0)
        before = ratio
        alpha, beta = gamma / np.maximum(length, floor * squares[-1]), np.maximum(n - gamma, floor) / residual
        if np.all(np.abs(alpha / beta - before) <= _STILL * before):
            break
    ratio = alpha / beta
    length = (inside * squares / (ratio + squares) ** 2).sum(axis=0)
    residual = np.maximum((inside * (ratio / (ratio + squares)) ** 2).sum(axis=0) + outside, floor)
    determinant = np.log1p(squares / ratio).sum(axis=0)
    found: Array = (n * np.log(beta / (2 * np.pi)) - beta * residual - alpha * length - determinant) / 2
    return found


def _shrinkage(centred: Float[np.ndarray, "n d"], within: Float[np.ndarray, "d d"]) -> float:
    """Return the α of Ledoit and Wolf (2004): the share of the squared distance to a ball that is sampling noise."""
    n, width = centred.shape
    away = (within**2).sum() - np.trace(within) ** 2 / width
    noise = (((centred**2).sum(axis=1) ** 2).sum() / n - (within**2).sum()) / n
    return float(min(noise, away) / away) if away > 0 else 0.0


def _one_hot(classes: Int[np.ndarray, " n"]) -> Array:
    targets: Array = np.eye(int(classes.max()) + 1)[classes]
    return targets


def _rows(representations: ArrayLike) -> Array:
    rows = np.asarray(representations, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < 2 or not rows.shape[1]:
        raise RepresentationError(
            f"expected representations of shape (n, d), a row a picture, n at least 2, got shape {rows.shape}."
        )
    if not np.isfinite(rows).all():
        raise RepresentationError(
            f"expected finite representations, but {np.count_nonzero(~np.isfinite(rows))} numbers are not: embed in "
            f"float32, or leave the encoder out."
        )
    return rows


def _centred(rows: Array) -> Array:
    centred: Array = rows - rows.mean(axis=0)
    if not np.abs(centred).max() > CUTOFF * np.abs(rows).max():
        raise RepresentationError(
            "expected representations that differ from picture to picture, got equal rows: the encoder is constant."
        )
    return centred


def _classes(labels: ArrayLike, count: int) -> NDArray[Any]:
    given = np.asarray(labels)
    if given.shape != (count,):
        raise RepresentationError(f"expected one label a row, so ({count},), got shape {given.shape}.")
    names, classes = np.unique(given, return_inverse=True)
    if len(names) < 2:
        raise RepresentationError(f"expected labels of two classes or more, got only {names[0]!r}.")
    return np.asarray(classes, dtype=np.int64)
