"""Minimises the objective of the ε-robust linear probe until a bound proves that little is left to gain.

The representations are centred (where there is an intercept), scaled by a power of 2 to a root mean square norm of
about 1, and turned into the eigenbasis of their covariance,
where each coordinate of W has a scale of its own: the curvature of the loss at W = 0 plus that of ½‖W‖². In these
units L-BFGS needs few steps. The minimum lies in the span of the representations, so that d > n costs no more than
d = n. The norms are smoothed by a τ that falls until the bounds on the minimum, which know nothing of τ, meet.

With z' = z/s, r' = r/s and W' = sW every margin stays as it is, and ½‖W‖² = ½‖W'‖²/s²; so s²F is the objective of
z' with cost' = s² · cost. Another unit of z changes nothing but the cost, and relative gaps are the same.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import linalg
from scipy.optimize import OptimizeResult, minimize

from synbench.errors import ArgumentError

from .objective import Bounds, Problem, bounds, exponent, value_and_gradient

_MEMORY = 20
_FIRST_STRETCH = 10
_FIRST_SMOOTHING = 0.03
_LESS_SMOOTHING = 0.1
_LEAST_SMOOTHING = 1e-7
# Products of two costs are far from the ends of float64.
_MOST_COST = 1e100


@dataclass(frozen=True)
class Solution:
    """A classifier and how close to the best it is proven to be.

    Attributes:
        weights: W.
        intercepts: b, with mean 0.
        gap: (F − lower bound on the minimum of F) / F, between 0 and 1.
        iterations: how many steps of L-BFGS it took.
    """

    weights: Float[np.ndarray, "k d"]
    intercepts: Float[np.ndarray, " k"]
    gap: float
    iterations: int


def minimise(
    representations: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    *,
    radius: float,
    cost: float,
    intercept: bool,
    tol: float,
    max_iter: int,
) -> Solution:
    """Minimise F until its relative gap is at most ``tol``, or ``max_iter`` steps are used up.

    Args:
        representations: z, float64 and finite.
        labels: y in 0 … K − 1, K ≥ 2, each present.
        radius: r ≥ 0, in the units of z.
        cost: the weight of the loss against ½‖W‖², > 0.
        intercept: whether b is free; otherwise it is 0.
        tol: the relative gap at which to stop; ½‖W − W*‖² ≤ gap · F, as F is strongly convex in W.
        max_iter: the most steps, over all τ. Where rounding allows no further descent there are fewer.

    Raises:
        ArgumentError: cost · (root mean square norm of the centred representations)² is not in 1e-100 … 1e100.

    >>> found = minimise(
    ...     np.array([[-1.0], [1.0]]), np.array([0, 1]), radius=0.0, cost=1.0, intercept=True, tol=1e-9, max_iter=50
    ... )
    >>> found.weights.round(4).tolist(), found.gap <= 1e-9
    ([[-0.5213], [0.5213]], True)
    """
    order = np.argsort(labels, kind="stable")
    scaled, centre, size = _scaled(representations[order], intercept)
    power = math.log10(cost) + 2 * size * math.log10(2)
    if abs(power) > math.log10(_MOST_COST):
        raise ArgumentError(
            f"expected C times the square of the size of the centred representations (the root mean square of their "
            f"norms) to lie in {1 / _MOST_COST:g} ... {_MOST_COST:g}, got about 1e{power:+.0f}: float64 cannot hold "
            f"the products. Scale the representations to a size near 1, or change C by the inverse square of their "
            f"size, about 1e{size * math.log10(2):+.0f}."
        )
    rows, basis, variances = _eigenbasis(scaled)
    problem = Problem(
        rows, labels[order], np.bincount(labels), math.ldexp(radius, -size), math.ldexp(cost, 2 * size), intercept
    )
    search = _Search(problem, variances, tol)
    search.run(max_iter)
    weights = search.weights @ basis.T
    intercepts = search.found.intercepts - weights @ centre if intercept else np.zeros(len(weights))
    return Solution(np.ldexp(weights, -size), intercepts - intercepts.mean(), search.gap, max(search.steps, 1))


class _Search:
    """One minimisation: where it is, the best bound so far, τ."""

    def __init__(self, problem: Problem, variances: Float[np.ndarray, " e"], tol: float) -> None:
        k, n = len(problem.counts), len(problem.labels)
        start = np.log(problem.counts / n) if problem.intercept else np.zeros(k)
        start -= start.mean()
        self.problem, self.tol = problem, tol
        self.variances = variances
        self.weights = np.zeros((k, len(variances)))
        self.found = Bounds(np.inf, 0.0, start, 0.0, problem.cost * n / k, np.zeros((k, k)))
        # No loss is below 0.
        self.lower = 0.0
        self.steps = 0
        # What F is divided by: L-BFGS does not get along with numbers far from 1.
        self.unit = problem.cost * n
        self.smoothing = _FIRST_SMOOTHING / problem.radius if problem.radius else 0.0
        self.estimate = self.next_check = np.inf
        self.rescale()

    def rescale(self) -> None:
        """Take the units of the coordinates from the curvature at the last point that was certified."""
        curvature = max(self.found.curvature, 1e-9 * self.problem.cost * len(self.problem.labels))
        stiffness, self.turn = linalg.eigh(self.found.laplacian)
        stiffness = 1 + np.maximum(stiffness, 0.0)[:, None] + curvature * self.variances
        self.scales = np.sqrt(self.unit / stiffness)
        self.intercept_scale = np.sqrt(self.unit / curvature) if self.problem.intercept else 0.0

    @property
    def gap(self) -> float:
        return max(self.found.upper - self.lower, 0.0) / self.found.upper

    def run(self, max_iter: int) -> None:
        least, stretch = _LEAST_SMOOTHING * self.smoothing, _FIRST_STRETCH
        while True:
            before, self.next_check = self.steps, np.inf
            steps = min(stretch, max_iter - before)
            options = {"maxiter": steps, "maxfun": 100 * steps, "maxcor": _MEMORY, "ftol": 0.0, "gtol": 0.0}
            result = minimize(
                self.value, self.point(), jac=True, method="L-BFGS-B", callback=self.after_step, options=options
            )
            self.certify(result.x)
            if self.gap <= self.tol or self.steps >= max_iter:
                return
            if self.too_smooth() and self.smoothing > least:
                self.smoothing *= _LESS_SMOOTHING
            elif self.steps == before:
                return
            stretch *= 2
            self.rescale()

    def point(self) -> Float[np.ndarray, " p"]:
        intercepts = self.found.intercepts
        scaled = intercepts / self.intercept_scale if self.intercept_scale else intercepts
        return np.concatenate([(self.turn.T @ self.weights / self.scales).ravel(), scaled])

    def split(self, point: Float[np.ndarray, " p"]) -> tuple[Float[np.ndarray, "k e"], Float[np.ndarray, " k"]]:
        size = self.weights.size
        scaled = point[:size].reshape(self.weights.shape)
        return self.turn @ (scaled * self.scales), point[size:] * self.intercept_scale

    def value(self, point: Float[np.ndarray, " p"]) -> tuple[float, Float[np.ndarray, " p"]]:
        value, down, down_intercepts = value_and_gradient(self.problem, *self.split(point), self.smoothing)
        # The greatest part of the gap, near the minimum.
        self.estimate = 0.5 * float(np.sum(down**2)) / value
        gradient = np.concatenate([(self.turn.T @ down * self.scales).ravel(), down_intercepts * self.intercept_scale])
        return value / self.unit, gradient / self.unit

    def after_step(self, intermediate_result: OptimizeResult) -> None:
        self.steps += 1
        if self.estimate > min(self.tol, self.next_check):
            return
        self.certify(intermediate_result.x)
        if self.gap <= self.tol or self.too_smooth():
            raise StopIteration
        self.next_check = self.estimate / 4

    def too_smooth(self) -> bool:
        return self.found.slack > 0.5 * (self.found.upper - self.lower)

    def certify(self, point: Float[np.ndarray, " p"]) -> None:
        self.weights, intercepts = self.split(point)
        self.found = bounds(self.problem, self.weights, intercepts, self.smoothing)
        self.lower = max(self.lower, self.found.lower)


def _scaled(
    rows: Float[np.ndarray, "n d"], intercept: bool
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " d"], int]:
    """Return (rows − centre) / 2^e with a root mean square norm in [½, 1), centre / 2^e, and e; in place."""
    first = exponent(rows)
    np.ldexp(rows, -first, out=rows)
    centre = rows.mean(axis=0) if intercept else np.zeros(rows.shape[1])
    rows -= centre
    second = int(np.frexp(linalg.norm(rows) / math.sqrt(len(rows)))[1])
    np.ldexp(rows, -second, out=rows)
    return rows, np.ldexp(centre, -second), first + second


def _eigenbasis(
    rows: Float[np.ndarray, "n d"],
) -> tuple[Float[np.ndarray, "n e"], Float[np.ndarray, "d e"], Float[np.ndarray, " e"]]:
    """Return the rows in the eigenbasis of their second moments, the basis, and the moments in it."""
    n, d = rows.shape
    span = None
    if d > n:
        span, turned = linalg.qr(rows.T, mode="economic")
        rows = turned.T
    moments, vectors = linalg.eigh(rows.T @ rows / n)
    return rows @ vectors, vectors if span is None else span @ vectors, np.maximum(moments, 0.0)
