"""The robustness-accuracy trade-off curve, its area, and the score.

With accuracy a(s) and expected scaled bound b(s) at each of S scales,

    E(t) = (1/S) Σ_s b(s)·1[a(s) > t]
    score(a_t) = Σ_{t ≥ a_t} E_representation(t) / Σ_{t ≥ a_t} E_image(t)

over the 100 points t = linspace(0.6, 1, 100). Source: Ko et al., arXiv 2210.02989, section 3.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

GRID: Float[np.ndarray, "100"] = np.linspace(0.6, 1.0, 100)
"""Threshold accuracies at which the curve is evaluated."""
GRID.setflags(write=False)


@dataclass(frozen=True)
class TradeOff:
    """Accuracy and expected scaled bound of every ε (row) at every scale (column), and what to know.

    A bound is NaN where no sample was correct. The standard errors say how far images of another seed would move
    the two; the population protocol has its own, of κ, and leaves them empty.
    """

    scales: tuple[float, ...]
    accuracy: Float[np.ndarray, "e s"]
    bound: Float[np.ndarray, "e s"]
    images: int
    dimension: int
    warnings: tuple[str, ...] = field(default=())
    accuracy_stderr: Float[np.ndarray, "e s"] | None = None
    bound_stderr: Float[np.ndarray, "e s"] | None = None


def gaussian_trade_off(kappa: Float[np.ndarray, "*s"]) -> tuple[Float[np.ndarray, "*s"], Float[np.ndarray, "*s"]]:
    """Return accuracy and expected scaled bound of a linear classifier on Gaussian projections.

    a = Φ(κ) and B = 1 + φ(κ) / (κ Φ(κ)), where κ = wᵀμ / √(wᵀCw) > 0. B is the mean of
    |wᵀ(z − m)| / |wᵀμ| over the correct samples; B → 1 as κ → ∞ and B → ∞ as κ → 0.

    Source: Ko et al., arXiv 2210.02989, theorem 3.2.

    >>> accuracy, bound = gaussian_trade_off(np.array([1.0]))
    >>> print(f"{accuracy[0]:.4f} {bound[0]:.4f}")
    0.8413 1.2876
    """
    accuracy = norm.cdf(kappa)
    return accuracy, 1.0 + norm.pdf(kappa) / (kappa * accuracy)


def empirical_trade_off(
    noise: Float[np.ndarray, " n"], kappa: Float[np.ndarray, " s"], tilt: Float[np.ndarray, " s"] | float = 0.0
) -> tuple[Float[np.ndarray, " s"], Float[np.ndarray, " s"]]:
    """Return accuracy and expected scaled bound where the noise of the projections is known by a sample.

    The boundary lies at the midpoint: a margin is κ + h₁·noise in class 1 and κ − h₀·noise in class 0, with noise of
    mean 0 and variance 1, and h₁² = 1 + tilt, h₀² = 1 − tilt where one class spreads more than the other. For normal
    noise without tilt this tends to ``gaussian_trade_off``. The bound is NaN where κ is 0.

    >>> even = np.array([-1.5, -0.5, 0.5, 1.5])
    >>> empirical_trade_off(even, np.array([1.0]))
    (array([0.75]), array([1.5]))
    """
    n, hits, margins = len(noise), np.zeros_like(kappa), np.zeros_like(kappa)
    for side in (1, -1):
        width, ordered = np.sqrt(1 + side * tilt), np.sort(side * noise)
        above = np.append(np.cumsum(ordered[::-1])[::-1], 0.0)
        first = np.searchsorted(ordered, -kappa / width, side="right")
        hits += (n - first) / (2 * n)
        margins += ((n - first) * kappa + width * above[first]) / (2 * n)
    bound = np.divide(margins, hits * kappa, out=np.full_like(kappa, np.nan), where=hits * kappa > 0)
    return hits, bound


def reference(scales: Sequence[float]) -> tuple[Float[np.ndarray, " s"], Float[np.ndarray, " s"]]:
    """Return accuracy and bound of the best classifier in image space, where κ = s for every ε."""
    return gaussian_trade_off(np.asarray(scales, dtype=np.float64))


def curve(
    accuracy: Float[np.ndarray, "*e s"], bound: Float[np.ndarray, "*e s"], grid: Float[np.ndarray, " t"] = GRID
) -> Float[np.ndarray, "*e t"]:
    """Return E(t), the expected bound of the scales whose accuracy exceeds t, on a grid of t.

    A bound of NaN (no sample was correct, so there is none to average) counts as nothing.

    >>> curve(np.array([0.65, 0.9]), np.array([2.0, 1.2]), np.array([0.6, 0.8, 0.95])).tolist()
    [1.6, 0.6, 0.0]
    """
    reached = accuracy[..., None, :] > grid[:, None]
    values: np.ndarray = np.where(reached, np.nan_to_num(bound, nan=0.0)[..., None, :], 0.0).mean(axis=-1)
    return values


def scores(
    accuracy: Float[np.ndarray, "e s"],
    bound: Float[np.ndarray, "e s"],
    scales: Sequence[float],
    thresholds: Sequence[float],
) -> Float[np.ndarray, "e a"]:
    """Return the SynBench-Score of every ε (row) and threshold accuracy a_t (column).

    1 means that nothing of the optimal trade-off is lost, 0 that all of it is; a finite sample can
    exceed 1 a little. NaN where image space itself does not reach the threshold at any grid point
    (only for scales that are too small, or a_t beyond the grid's last point below 1).
    """
    # Sums over the grid from each of its points to the end, in one order: a score does not depend, in its last digit,
    # on which other thresholds are asked for.
    start = np.searchsorted(GRID, np.asarray(thresholds, dtype=np.float64), side="left")
    area, optimal = (
        np.cumsum(values[..., ::-1], axis=-1)[..., ::-1][..., start]
        for values in (curve(accuracy, bound), curve(*reference(scales)))
    )
    ratio: np.ndarray = np.divide(
        area, optimal, out=np.full_like(area, np.nan), where=np.broadcast_to(optimal > 0, area.shape)
    )
    return ratio
