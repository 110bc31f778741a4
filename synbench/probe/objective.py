"""The numbers of the ε-robust linear probe: objective, gradient, lower bound, radius.

K classes, weights W (rows w_k), intercepts b, a ball of radius r around each representation z with class y:

    m_k(z) = (w_k − w_y)ᵀz + b_k − b_y + r‖w_k − w_y‖
    F(W, b) = ½‖W‖² + cost · Σ_i log Σ_k exp m_k(z_i)

Each m_k is the difference of two logits at its own worst point of the ball, in closed form. F is convex. For K = 2
the loss *is* the worst cross-entropy over the ball. For K > 2 it is an upper bound: with c the largest m_k over
k ≠ y, a point of the ball reaches log(1 + exp c), and the loss is at most log(1 + (K − 1) exp c); so it exceeds
the worst cross-entropy by log(K − 1) a sample at the most. Whether a sample withstands its ball is exact for any K.

Lower bound. log Σ exp m = max over p in the simplex of pᵀm + H(p), and r‖v‖ = max over ‖u‖ ≤ r of uᵀv. For fixed
p_i and u the minimum over W is a square, and the minimum over b is finite where Σ_i p_ik is the count n_k of class k:

    F(W, b) ≥ cost · Σ_i H(p_i) − ½‖M‖²   for every W and b,
    M_k = cost · Σ_i (p_ik − [y_i = k]) z_i + Σ_j u_kj,   u_kj = −u_jk,   ‖u_jk‖ ≤ c_jk,
    c_jk = cost · r · (Σ_{y_i = j} p_ik + Σ_{y_i = k} p_ij).

Near the minimum p = softmax(m) and u_kj = c_jk (w_k − w_j) / √(‖w_k − w_j‖² + τ²) make it tight. Smoothed by this τ,
norms have a gradient where rows coincide, which they do at the minimum when the means of two classes are close.
Everything here is float64, and no array is larger than n × K, K × K or the representations.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import pdist, squareform

_MOST_ENTRIES = 1 << 22
_MOST_NEWTON_STEPS = 20


@dataclass(frozen=True)
class Problem:
    """What is to be minimised.

    Attributes:
        representations: z, in the order of their classes.
        labels: y in 0 … K − 1, ascending.
        counts: how many rows each class has.
        radius: r ≥ 0, in the units of z.
        cost: the weight of the loss against ½‖W‖², > 0.
        intercept: whether b is free; otherwise it is 0.
    """

    representations: Float[np.ndarray, "n d"]
    labels: Int[np.ndarray, " n"]
    counts: Int[np.ndarray, " k"]
    radius: float
    cost: float
    intercept: bool


@dataclass(frozen=True)
class Bounds:
    """The minimum of F lies between ``lower`` and ``upper``, and ``intercepts`` with the weights reach ``upper``.

    Attributes:
        upper: F, not smoothed.
        lower: the bound below every F.
        intercepts: the best b for the given weights, under the smoothed norms.
        slack: how much of upper − lower comes of the smoothing, and falls with τ.
        curvature: of the loss here, for representations of variance 1: cost · n / K where all shares are even.
        laplacian: of the norms here, times W their gradient, and the greatest curvature they can have.
    """

    upper: float
    lower: float
    intercepts: Float[np.ndarray, " k"]
    slack: float
    curvature: float
    laplacian: Float[np.ndarray, "k k"]


def exponent(values: Float[np.ndarray, "..."]) -> int:
    """Return e with the greatest size of ``values`` in [2^(e − 1), 2^e), or 0 where all are 0.

    Division by 2^e changes no digit, and squares of what it leaves neither overflow nor vanish.

    >>> exponent(np.array([-5.0, 0.5])), exponent(np.zeros(3))
    (3, 0)
    """
    return int(np.frexp(max(values.max(), -values.min()))[1])


def separation(representations: Float[np.ndarray, "n d"], labels: Int[np.ndarray, " n"]) -> float:
    """Return ρ, half the root mean square, over all pairs of classes, of the distance of their means.

    ρ² = Σ_k ‖μ_k − μ̄‖² / (2 (K − 1)), with μ̄ the mean of the class means, whatever the classes' sizes. For two
    classes it is ‖μ‖, half the distance of the means: the unit of ε in the SynBench-Score. Infinite where float64
    has no number for it.

    >>> separation(np.array([[0.0, 0.0], [2.0, 0.0], [6.0, 3.0], [6.0, 5.0]]), np.array([0, 0, 1, 1]))
    3.2015...
    """
    # What all have in common first: it would take the digits of the differences.
    size = exponent(representations)
    rows = np.ldexp(representations, -size)
    rows -= rows.mean(axis=0)
    means = np.array([rows[labels == k].mean(axis=0) for k in range(labels.max() + 1)])
    means -= means.mean(axis=0)
    with np.errstate(over="ignore"):
        return float(np.ldexp(np.sqrt(np.sum(means**2) / (2 * (len(means) - 1))), size))


def value_and_gradient(
    problem: Problem,
    weights: Float[np.ndarray, "k d"],
    intercepts: Float[np.ndarray, " k"],
    smoothing: float = 0.0,
) -> tuple[float, Float[np.ndarray, "k d"], Float[np.ndarray, " k"]]:
    """Return F, its gradient in W and its gradient in b.

    With ``smoothing`` τ > 0 the norms are √(‖·‖² + τ²). Where rows coincide and nothing is smoothed, the subgradient
    is the one that is 0 for their norm.

    >>> two = Problem(np.array([[-1.0], [1.0]]), np.array([0, 1]), np.array([1, 1]), 0.5, 1.0, intercept=True)
    >>> value, down, _ = value_and_gradient(two, np.zeros((2, 1)), np.zeros(2))
    >>> round(value, 6), down.tolist()  # 2 log 2
    (1.386294, [[1.0], [-1.0]])
    """
    table, norms = _table(problem, weights, intercepts, smoothing)
    loss, sums, linear = 0.0, np.zeros_like(norms), np.zeros_like(weights)
    step = max(1, _MOST_ENTRIES // len(weights))
    for start in range(0, len(problem.labels), step):
        rows, labels = problem.representations[start : start + step], problem.labels[start : start + step]
        margins = _differences(rows @ weights.T, labels)
        margins += table[labels]
        loss += float(np.sum(_softmax(margins)))
        _add_by_class(sums, margins, labels)
        margins[np.arange(len(labels)), labels] -= 1.0
        linear += margins.T @ rows
    gradient = problem.cost * linear + _laplacian(problem, sums, norms) @ weights
    value = 0.5 * float(np.sum(weights**2)) + problem.cost * loss
    return value, weights + gradient, problem.cost * (sums.sum(axis=0) - problem.counts)


def bounds(
    problem: Problem,
    weights: Float[np.ndarray, "k d"],
    intercepts: Float[np.ndarray, " k"],
    smoothing: float = 0.0,
) -> Bounds:
    """Return F at these weights with the best intercepts, and a number that F exceeds everywhere.

    p_i is the softmax of the smoothed margins. Newton's method finds the b for which Σ_i p_ik = n_k; what rounding
    leaves of it is moved from the classes that have too much to those that have too little, so that the bound is
    one wherever Newton's method stops.

    >>> two = Problem(np.array([[-1.0], [1.0]]), np.array([0, 1]), np.array([1, 1]), 0.5, 1.0, intercept=True)
    >>> found = bounds(two, np.array([[-0.4], [0.4]]), np.zeros(2))
    >>> 0 <= found.upper - found.lower < 1e-5
    True
    """
    labels, counts = problem.labels, problem.counts.astype(np.float64)
    table, norms = _table(problem, weights, np.zeros_like(intercepts), smoothing)
    scores = _differences(problem.representations @ weights.T, labels)
    scores += table[labels]
    best = _balance(scores, labels, counts, intercepts) if problem.intercept else intercepts
    scores += best
    scores -= best[labels][:, None]
    exact, straight = _table(problem, weights, np.zeros_like(best), 0.0)
    shares = scores.copy()
    smoothed_loss = float(np.sum(_softmax(shares)))
    scores += (exact - table)[labels]
    loss = float(np.sum(_softmax(scores)))
    upper = 0.5 * float(np.sum(weights**2)) + problem.cost * loss
    del scores
    if problem.intercept:
        shares = _rounded(shares, counts)
    positive = shares[shares > 0]
    entropy = -float(np.sum(positive * np.log(positive)))
    sums = np.zeros_like(norms)
    _add_by_class(sums, shares, labels)
    laplacian = _laplacian(problem, sums, norms)
    shares[np.arange(len(labels)), labels] -= 1.0
    moved = problem.cost * (shares.T @ problem.representations) + laplacian @ weights
    lost = np.divide(straight * (norms - straight), norms, out=np.zeros_like(norms), where=norms > 0)
    # How far the smoothed shares are from the best for the loss itself: their relative entropy.
    astray = max(loss - smoothed_loss - float(np.sum(sums * (exact - table))), 0.0)
    return Bounds(
        upper=upper,
        lower=problem.cost * entropy - 0.5 * float(np.sum(moved**2)),
        intercepts=best,
        slack=problem.cost * (problem.radius * float(np.sum(sums * lost)) + astray),
        curvature=problem.cost * float(counts.sum() - np.trace(sums)) / (len(counts) - 1),
        laplacian=laplacian,
    )


def _table(
    problem: Problem, weights: Float[np.ndarray, "k d"], intercepts: Float[np.ndarray, " k"], smoothing: float
) -> tuple[Float[np.ndarray, "k k"], Float[np.ndarray, "k k"]]:
    """Return what class y (row) adds to each margin beside the linear part, and the norms in it."""
    # From differences: by the Gram matrix the distance of nearly equal rows would lose its digits.
    norms = squareform(np.sqrt(pdist(weights, "sqeuclidean") + smoothing**2))
    return intercepts - intercepts[:, None] + problem.radius * norms, norms


def _differences(scores: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n k"]:
    """Return the scores less that of the row's own class, in place."""
    scores -= np.take_along_axis(scores, labels[:, None], axis=1)
    return scores


def _softmax(margins: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """Turn margins into shares in place, and return the logarithm of the sum of their exponentials."""
    top = margins.max(axis=1)
    margins -= top[:, None]
    np.exp(margins, out=margins)
    total = margins.sum(axis=1)
    margins /= total[:, None]
    logarithms: np.ndarray = top + np.log(total)
    return logarithms


def _add_by_class(
    sums: Float[np.ndarray, "k k"], shares: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]
) -> None:
    """Add the shares of each class's rows to its row of ``sums``, which then has n_k in each row in all."""
    first = np.flatnonzero(np.diff(labels, prepend=-1))
    sums[labels[first]] += np.add.reduceat(shares, first, axis=0)


def _laplacian(
    problem: Problem, sums: Float[np.ndarray, "k k"], norms: Float[np.ndarray, "k k"]
) -> Float[np.ndarray, "k k"]:
    """Return the Laplacian of the graph with weights c_jk / norm: times W, its row k is Σ_j u_kj."""
    pull = problem.cost * problem.radius * (sums + sums.T)
    pull = np.divide(pull, norms, out=np.zeros_like(norms), where=norms > 0)
    laplacian: np.ndarray = np.diag(pull.sum(axis=1)) - pull
    return laplacian


def _balance(
    scores: Float[np.ndarray, "n k"],
    labels: Int[np.ndarray, " n"],
    counts: Float[np.ndarray, " k"],
    start: Float[np.ndarray, " k"],
) -> Float[np.ndarray, " k"]:
    """Return the b that minimises Σ_i log Σ_k exp(score_ik + b_k) − Σ_k n_k b_k, by damped Newton steps."""

    def at(b: Float[np.ndarray, " k"]) -> tuple[float, Float[np.ndarray, "n k"]]:
        shares = scores + b
        return float(np.sum(_softmax(shares))) - float(counts @ b), shares

    b: np.ndarray = start - start.mean()
    value, shares = at(b)
    for _ in range(_MOST_NEWTON_STEPS):
        totals = shares.sum(axis=0)
        missing = counts - totals
        if np.abs(missing).max() <= 1e-9 * len(labels):
            break
        # The last term is for the direction (1, …, 1), in which nothing changes.
        hessian = np.diag(totals) - shares.T @ shares
        size = max(float(np.trace(hessian)) / len(b), 1e-12)
        hessian += size / len(b) + 1e-12 * size * np.eye(len(b))
        step = np.linalg.solve(hessian, missing)
        step *= min(1.0, 20.0 / np.abs(step).max())
        for _ in range(_MOST_NEWTON_STEPS):
            trial, trial_shares = at(b + step)
            if trial <= value + 1e-12 * (1 + abs(value)):
                break
            step /= 4
        else:
            break
        b, value, shares = b + step, trial, trial_shares
    return b


def _rounded(shares: Float[np.ndarray, "n k"], counts: Float[np.ndarray, " k"]) -> Float[np.ndarray, "n k"]:
    """Return shares whose columns sum to the counts, and whose rows still sum to 1."""
    totals = shares.sum(axis=0)
    kept: np.ndarray = shares * np.minimum(1.0, np.divide(counts, totals, out=np.ones_like(totals), where=totals > 0))
    missing = np.maximum(counts - kept.sum(axis=0), 0.0)
    if not missing.any():
        return kept
    freed = np.maximum(1.0 - kept.sum(axis=1), 0.0)
    kept += freed[:, None] * (missing / missing.sum())
    return kept
