"""The ε-robust linear probe: its numbers against brute force and bounds, and what it must not care about."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.sparse import csr_array
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError, SkipTestWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from synbench import classifier
from synbench.errors import ArgumentError, RepresentationError
from synbench.probe.objective import Problem, bounds, separation, value_and_gradient
from synbench.probe.robust import RobustLinearProbe

seeds = st.integers(0, 2**32 - 1)
levels = st.sampled_from([0.0, 0.3, 0.6, 0.9])


def sample(seed, classes=3, n=60, d=4, apart=1.0):
    """Return Gaussian classes of unequal sizes around random means, at least three rows of each."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.repeat(np.arange(classes), 3), rng.integers(0, classes, n - 3 * classes) ** 2 // classes])
    means = apart * rng.standard_normal((classes, d))
    return means[y] + rng.standard_normal((n, d)) * rng.uniform(0.3, 1.5, d), y, rng


def problem_of(x, y, radius=0.5, cost=1.0, intercept=True):
    order = np.argsort(y, kind="stable")
    return Problem(x[order], y[order], np.bincount(y), radius, cost, intercept)


def objective(problem, weights, intercepts, smoothing=0.0):
    return value_and_gradient(problem, weights, intercepts, smoothing)[0]


def primal(x, y, probe):
    """Return the objective as it is written in the class, for two classes with one vector."""
    if len(probe.classes_) == 2:
        v, b, side = probe.coef_[0], probe.intercept_[0], 2 * y - 1
        losses = np.logaddexp(0, -side * (x @ v + b) + probe.radius_ * np.linalg.norm(v))
        return v @ v / 2 + probe.C * losses.sum()
    w, b = probe.coef_, probe.intercept_
    own = w[y][:, None] - w
    pulls = b - b[y][:, None] - np.einsum("nkd,nd->nk", own, x) + probe.radius_ * np.linalg.norm(own, axis=2)
    return np.sum(w**2) / 2 + probe.C * logsumexp(pulls, axis=1).sum()


def ball(rng, d, radius, n=20_000):
    """Return points spread over a ball and its sphere."""
    points = rng.standard_normal((n, d))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return radius * points * np.where(np.arange(n) % 2, 1.0, rng.uniform(0, 1, n) ** (1 / d))[:, None]


# The numbers.


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_gradient_is_that_of_the_objective(classes, smoothing):
    x, y, rng = sample(classes, classes)
    problem = problem_of(x, y, cost=0.7)
    weights, intercepts = rng.standard_normal((classes, 4)), rng.standard_normal(classes)
    point = np.concatenate([weights.ravel(), intercepts])

    def at(p):
        return objective(problem, p[: 4 * classes].reshape(classes, 4), p[4 * classes :], smoothing)

    _, down, down_intercepts = value_and_gradient(problem, weights, intercepts, smoothing)
    # A step h leaves h/2 times the curvature, at most about 60 · 0.7 · 10, and 1e-16 · 300 / h of rounding.
    found = approx_fprime(point, at, 1e-7)
    np.testing.assert_allclose(np.concatenate([down.ravel(), down_intercepts]), found, atol=1e-4)


@pytest.mark.parametrize("rows", [1, 7, 60])
def test_the_objective_does_not_depend_on_how_many_rows_are_taken_at_once(rows, monkeypatch):
    x, y, rng = sample(1)
    problem, point = problem_of(x, y), (rng.standard_normal((3, 4)), rng.standard_normal(3))
    whole = value_and_gradient(problem, *point)
    monkeypatch.setattr("synbench.probe.objective._MOST_ENTRIES", 3 * rows)
    for part, other in zip(value_and_gradient(problem, *point), whole, strict=True):
        np.testing.assert_allclose(part, other, rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    seeds,
    st.integers(2, 5),
    st.sampled_from([0.0, 0.1, 2.0]),
    st.sampled_from([0.0, 1e-6, 0.5]),
    st.sampled_from([1e-2, 1.0, 100.0]),
    st.booleans(),
)
def test_no_point_is_below_the_lower_bound(seed, classes, radius, smoothing, cost, intercept):
    x, y, rng = sample(seed, classes)
    problem = problem_of(x, y, radius, cost, intercept)

    def anywhere():
        return 10 ** rng.uniform(-3, 1) * rng.standard_normal((classes, 4)), intercept * rng.standard_normal(classes)

    fitted = RobustLinearProbe(C=cost, fit_intercept=intercept, tol=1e-6).fit(x, y)
    best = fitted.coef_, fitted.intercept_
    if classes == 2:
        best = np.concatenate([-best[0], best[0]]) / 2, np.concatenate([-best[1], best[1]]) / 2
    points = [anywhere() for _ in range(20)] + [(np.zeros((classes, 4)), np.zeros(classes)), best]
    lowest = min(objective(problem, *point) for point in points)
    for point in points:
        found = bounds(problem, *point, smoothing)
        assert found.lower <= lowest * (1 + 1e-12)
        # The best intercepts are better than those that were given, under the norms that they are the best for.
        assert (
            objective(problem, point[0], found.intercepts, smoothing)
            <= objective(problem, *point, smoothing) + 1e-9 * len(y) * cost
        )
        np.testing.assert_allclose(found.upper, objective(problem, point[0], found.intercepts), rtol=1e-12)


def test_the_lower_bound_holds_where_the_shares_of_the_classes_are_far_from_their_counts(monkeypatch):
    """With no step of Newton's method, all is left to moving shares."""
    x, y, rng = sample(5)
    problem = problem_of(x, y, 0.0)
    best = RobustLinearProbe(tol=1e-6).fit(x, y)
    weights, lowest = best.coef_, objective(problem, best.coef_, best.intercept_)
    monkeypatch.setattr("synbench.probe.objective._MOST_NEWTON_STEPS", 0)
    lower = []
    for spread in (0.0, 0.01, 0.1, 1.0):
        for _ in range(20):
            near = weights + spread * rng.standard_normal((3, 4))
            lower.append(bounds(problem, near, best.intercept_ + spread * rng.standard_normal(3)).lower)
    assert 0.9 * lowest < max(lower) <= lowest


@pytest.mark.parametrize(("classes", "d"), [(2, 2), (2, 3), (3, 2), (4, 3)])
def test_the_loss_is_the_worst_of_the_ball(classes, d):
    """Each pair of logits alone in closed form; all together within log(K − 1), which is 0 for two classes."""
    x, y, rng = sample(classes + d, classes, n=20, d=d)
    weights, intercepts, radius = rng.standard_normal((classes, d)), rng.standard_normal(classes), 0.7
    for z, c in zip(x, y, strict=True):
        # The sample alone, in a problem without penalty to speak of; other classes are not needed for its loss.
        scores = (z + ball(rng, d, radius)) @ weights.T + intercepts
        ahead = scores - scores[:, [c]]
        vectors = weights - weights[c]
        closed = vectors @ z + intercepts - intercepts[c] + radius * np.linalg.norm(vectors, axis=1)
        # Of 10,000 points on a sphere in 3-d one is within 4/√10,000 of any direction: cos ≥ 1 − 0.04²/2.
        short = radius * np.linalg.norm(vectors, axis=1) * 0.04**2
        assert np.all(ahead.max(axis=0) <= closed + 1e-12)
        assert np.all(ahead.max(axis=0) >= closed - short)
        alone = Problem(z[None], np.array([c]), np.eye(classes, dtype=int)[c], radius, 1.0, intercept=True)
        loss = objective(alone, weights, intercepts) - np.sum(weights**2) / 2
        worst = logsumexp(ahead, axis=1).max()
        assert worst - 1e-12 <= loss <= worst + np.log(classes - 1) + short.max()


def test_separation_is_half_the_root_mean_square_distance_of_the_means():
    x, y, _ = sample(3, classes=4)
    means = [x[y == k].mean(axis=0) for k in range(4)]
    squares = [np.sum((means[i] - means[j]) ** 2) for i in range(4) for j in range(i)]
    assert separation(x, y) == pytest.approx(np.sqrt(np.mean(squares)) / 2, rel=1e-12)
    two = y < 2
    assert separation(x[two], y[two]) == pytest.approx(
        np.linalg.norm(classifier.moments(x[two], y[two]).half_difference), rel=1e-12
    )


# What is fitted.


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("C", [0.01, 1.0, 30.0])
def test_at_epsilon_0_it_is_logistic_regression(classes, intercept, C):  # noqa: N803
    x, y, _ = sample(10 * classes, classes, n=200)
    x += 3.0
    probe = RobustLinearProbe(C=C, tol=1e-10, fit_intercept=intercept).fit(x, y)
    other = LogisticRegression(C=C, tol=1e-10, max_iter=10_000, fit_intercept=intercept, solver="newton-cg").fit(x, y)
    # Strong convexity: ½‖W − W*‖² ≤ F − F*; scikit-learn's is as near by its own measure.
    near = np.sqrt(2 * probe.gap_ * primal(x, y, probe))
    assert near < 1e-3
    assert np.linalg.norm(probe.coef_ - other.coef_) <= 2 * near + 1e-6
    np.testing.assert_allclose(probe.intercept_, other.intercept_, atol=10 * near + 1e-5)
    assert np.array_equal(probe.predict(x), other.predict(x))
    np.testing.assert_allclose(probe.predict_proba(x), other.predict_proba(x), atol=10 * near + 1e-5)
    np.testing.assert_allclose(probe.decision_function(x), other.decision_function(x), atol=30 * near + 1e-5)


def test_intercepts_of_many_classes_have_a_mean_of_0():
    x, y, _ = sample(3, 4)
    probe = RobustLinearProbe(0.3).fit(x + 5.0 * np.eye(x.shape[1])[0] * (y == 1)[:, None] + 7.0, y)
    assert np.abs(probe.intercept_).max() > 0.1
    assert probe.intercept_.mean() == pytest.approx(0, abs=1e-12 * np.abs(probe.intercept_).max())


@pytest.mark.parametrize("offset", [1e4, 1e8])
def test_what_all_representations_have_in_common_takes_no_digits_of_the_radius(offset):
    x, y, _ = sample(0, 3)
    # As float64 has them so far from 0, and back again: their differences are exact.
    there = x + offset
    assert separation(there, y) == pytest.approx(separation(there - offset, y), rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(seeds, st.integers(2, 5), levels, st.sampled_from([0.01, 1.0, 100.0]), st.booleans())
def test_no_other_classifier_has_a_lower_objective_than_the_gap_allows(seed, classes, epsilon, C, intercept):  # noqa: N803
    x, y, rng = sample(seed, classes)
    probe = RobustLinearProbe(epsilon, C, tol=1e-4, max_iter=5000, fit_intercept=intercept).fit(x, y)
    least = primal(x, y, probe) * (1 - probe.gap_)
    assert 0 <= probe.gap_ <= 1e-4
    for size in 10.0 ** rng.uniform(-4, 0, 30):
        other = clone(probe)
        other.classes_, other.radius_ = probe.classes_, probe.radius_
        other.coef_ = probe.coef_ + size * rng.standard_normal(probe.coef_.shape)
        other.intercept_ = probe.intercept_ + intercept * size * rng.standard_normal(probe.intercept_.shape)
        assert primal(x, y, other) >= least * (1 - 1e-9)


def test_the_gap_is_of_the_objective_as_it_is_written():
    x, y, _ = sample(8, classes=2)
    rough = RobustLinearProbe(0.5, tol=0.1).fit(x, y)
    fine = RobustLinearProbe(0.5, tol=1e-8).fit(x, y)
    assert primal(x, y, rough) * (1 - rough.gap_) <= primal(x, y, fine) <= primal(x, y, rough) * (1 + 1e-9)
    distance = np.linalg.norm(rough.coef_ - fine.coef_)
    assert 0 < distance <= np.sqrt(2 * rough.gap_ * primal(x, y, rough)) * (1 + 1e-3)


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("C", [1e-4, 1.0])
def test_for_two_classes_no_epsilon_below_1_makes_every_weight_0(epsilon, C):  # noqa: N803
    """At v = 0 the means pull with ‖μ‖ and the ball with ε‖μ‖: v leaves 0 along μ."""
    x, y, _ = sample(2, classes=2)
    probe = RobustLinearProbe(epsilon, C, tol=1e-8).fit(x, y)
    assert primal(x, y, probe) * (1 + 1e-9) < C * len(y) * np.log(2)
    half = (x[y == 1].mean(axis=0) - x[y == 0].mean(axis=0)) / 2
    assert probe.coef_[0] @ half > 0
    if C < 1e-3:
        # First order in C: v = C · 2 n π₀π₁ (1 − ε) μ, with an error of order C‖z‖ n.
        share = y.mean() * (1 - y.mean())
        np.testing.assert_allclose(probe.coef_[0], C * 2 * len(y) * share * (1 - epsilon) * half, rtol=0.05, atol=1e-5)


def test_classes_that_are_closer_than_the_ball_get_the_same_weights():
    rng = np.random.default_rng(0)
    means = np.array([[3.0, 0.0], [3.0, 0.1], [-3.0, 0.0]])
    y = np.repeat([0, 1, 2], 200)
    x = means[y] + 0.5 * rng.standard_normal((600, 2))
    apart, merged = (RobustLinearProbe(e, tol=1e-6, max_iter=5000).fit(x, y).coef_ for e in (0.0, 0.8))
    assert np.linalg.norm(apart[0] - apart[1]) > 0.1
    assert np.linalg.norm(merged[0] - merged[1]) < 1e-3 * np.linalg.norm(merged[0] - merged[2])


# What it means: the ε-robust Bayes classifier.


def gaussian_classes(seed, n, covariance, mu):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return rng.standard_normal((n, len(mu))) @ np.linalg.cholesky(covariance).T + np.outer(2 * y - 1, mu), y


def test_on_gaussians_its_direction_is_that_of_the_robust_bayes_classifier():
    """For any falling loss of the margin: at a given spread √(wᵀΣw) the risk falls with wᵀμ − r‖w‖.

    So the best direction has the greatest (wᵀμ − r‖w‖) / √(wᵀΣw), whatever the loss, and that is w ∝ (Σ + ρI)⁻¹μ.
    """
    covariance, mu, n = np.diag([4.0, 1.0, 0.1]), np.array([1.0, 0.6, 0.2]), 100_000
    x, y = gaussian_classes(0, n, covariance, mu)
    levels = (0.0, 0.3, 0.6, 0.9)
    basis = classifier.spectrum(classifier.Moments(mu, np.zeros(3), covariance))
    expected = classifier.robust_directions(basis, levels)
    found = np.array([RobustLinearProbe(e, C=1e3).fit(x, y).coef_[0] for e in levels])
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    # A component is known to about √(1 / (n · λ · share of samples near the boundary)) of the whole: 0.02 at most,
    # and the directions differ by far more than that.
    np.testing.assert_allclose(found, expected, atol=0.03)
    assert np.linalg.norm(np.diff(expected, axis=0), axis=1).min() > 0.1
    # The robust margin rises, and the accuracy on clean samples falls.
    reach = found @ mu
    kappa = reach / np.sqrt(np.einsum("ei,ij,ej->e", found, covariance, found))
    assert np.all(np.diff(reach) > 0)
    assert np.all(np.diff(norm.cdf(kappa)) < 0)


def test_on_round_gaussians_every_epsilon_has_the_direction_of_the_means():
    mu = np.array([0.8, -0.5, 0.3])
    x, y = gaussian_classes(1, 40_000, np.eye(3), mu)
    for epsilon in (0.0, 0.5, 0.9):
        v = RobustLinearProbe(epsilon, C=1e3).fit(x, y).coef_[0]
        # Each component of the mean difference has a standard error of 1/√n = 0.005; the angle is some times this.
        assert v @ mu / np.linalg.norm(v) / np.linalg.norm(mu) > 1 - 0.03**2 / 2


def test_more_epsilon_makes_more_samples_withstand_a_wide_ball():
    x, y = gaussian_classes(2, 20_000, np.diag([9.0, 0.01]), np.array([1.0, 0.05]))
    plain, robust = (RobustLinearProbe(e).fit(x, y) for e in (0.0, 0.8))
    assert robust.robust_score(x, y, 0.8) > plain.robust_score(x, y, 0.8) + 0.05
    assert robust.score(x, y) < plain.score(x, y)


# What it certifies.


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_margins_are_the_distance_to_the_nearest_change_of_the_decision(classes):
    x, y, _ = sample(classes, classes, n=40, d=2)
    probe = RobustLinearProbe(0.3).fit(x, y)
    angles = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    margins = probe.margins(x)
    predicted = probe.predict(x)
    for z, margin, own in zip(x, margins, predicted, strict=True):
        low, high = np.zeros(len(angles)), np.full(len(angles), 1e3)
        for _ in range(60):
            middle = (low + high) / 2
            same = probe.predict(z + middle[:, None] * directions) == own
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        # Along the best of 4000 directions the way is longer by 1/cos(π / 4000), 3e-7 of it.
        assert margin * (1 - 1e-9) <= low.min() <= margin * (1 + 1e-6) + 1e-9
    truth = probe.margins(x, y)
    assert np.array_equal(truth > 0, predicted == y)
    assert np.array_equal(truth[predicted == y], margins[predicted == y])
    if classes == 2:
        np.testing.assert_allclose(truth[predicted != y], -margins[predicted != y])


@pytest.mark.parametrize(("classes", "d"), [(2, 3), (4, 2)])
def test_robust_score_counts_those_whom_no_point_of_the_ball_turns(classes, d):
    x, y, rng = sample(classes, classes, n=80, d=d)
    probe = RobustLinearProbe(0.4).fit(x, y)
    radius = 0.4 * separation(x, y)
    assert probe.radius_ == pytest.approx(radius, rel=1e-12)
    kept = np.array([np.all(probe.predict(z + ball(rng, d, radius)) == c) for z, c in zip(x, y, strict=True)])
    margins = probe.margins(x, y)
    # What the points on the sphere miss: within 0.04² of the radius.
    clear = np.abs(margins - radius) > radius * 0.04**2
    assert clear.mean() > 0.9
    assert np.array_equal((margins > radius)[clear], kept[clear])
    assert probe.robust_score(x, y) == np.mean(margins > radius)
    # Just below the margin of a sample it withstands the ball, and at it not.
    for margin in margins[(margins > 0) & (margins < 0.9 * probe.separation_)]:
        just = [probe.robust_score(x, y, epsilon=margin * f / probe.separation_) for f in (1 - 1e-9, 1 + 1e-9)]
        assert just[0] - just[1] == pytest.approx(1 / len(x))
    assert 0 < probe.robust_score(x, y) < probe.robust_score(x, y, epsilon=0.0) == probe.score(x, y)


def test_a_representation_on_the_boundary_withstands_nothing():
    probe = RobustLinearProbe().fit([[-1.0], [1.0]], [0, 1])
    probe.coef_, probe.intercept_ = np.array([[1.0]]), np.array([0.0])
    assert probe.margins([[0.0]], [0]).tolist() == [0.0]
    assert probe.robust_score([[0.0], [-2.0]], [0, 0], epsilon=0.0) == 0.5


def test_where_there_is_no_boundary_the_margin_is_infinite():
    probe = RobustLinearProbe().fit(np.zeros((5, 2)), [0, 0, 0, 1, 1])
    assert probe.margins(np.ones((1, 2))).tolist() == [np.inf]
    assert probe.margins(np.ones((2, 2)), [0, 1]).tolist() == [np.inf, -np.inf]
    assert probe.robust_score(np.ones((2, 2)), [0, 1]) == 0.5


# What it must not care about.


def close(one, other, x, mapped, rtol=1e-4):
    """Compare logits. With tol = 1e-10 each is within √(2e-10 · objective) of the best, 3e-4 of the weights' size."""
    left, right = one.decision_function(x), other.decision_function(mapped)
    np.testing.assert_allclose(left, right, atol=10 * rtol * max(1.0, np.abs(left).max()))


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(2, 4), levels)
def test_no_rotation_shift_or_constant_coordinate_changes_it(seed, classes, epsilon):
    x, y, rng = sample(seed, classes)
    probe = RobustLinearProbe(epsilon, tol=1e-8).fit(x, y)
    mapped = x @ np.linalg.qr(rng.standard_normal((4, 4)))[0] + 5 * rng.standard_normal(4)
    mapped = np.hstack([mapped, np.full((len(x), 2), 7.0)])
    other = clone(probe).fit(mapped, y)
    assert other.radius_ == pytest.approx(probe.radius_, rel=1e-9)
    assert np.abs(other.coef_[:, 4:]).max() < 1e-9
    close(probe, other, x, mapped)


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(2, 4), levels, st.sampled_from([1e-140, 1e-6, 0.1, 30.0, 1e6, 1e140]))
def test_other_units_are_another_strength_of_the_penalty(seed, classes, epsilon, k):
    x, y, _ = sample(seed, classes)
    probe = RobustLinearProbe(epsilon, tol=1e-8).fit(x, y)
    other = RobustLinearProbe(epsilon, C=1 / k**2, tol=1e-8).fit(k * x, y)
    assert other.radius_ == pytest.approx(k * probe.radius_, rel=1e-9)
    close(probe, other, x, k * x)


@pytest.mark.parametrize("power", [-511, -100, 27, 100, 530])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("intercept", [True, False])
def test_a_power_of_2_in_the_units_changes_no_digit(power, classes, intercept):
    """F(kX, C/k²) at W/k is F(X, C) at W over k², and a power of 2 goes through every sum and product unrounded."""
    x, y, _ = sample(3, classes)
    x, k = x + 3.0, 2.0**power
    probe = RobustLinearProbe(0.4, fit_intercept=intercept).fit(x, y)
    other = RobustLinearProbe(0.4, C=2.0 ** (-2 * power), fit_intercept=intercept).fit(k * x, y)
    assert np.array_equal(other.coef_ * k, probe.coef_)
    assert np.array_equal(other.intercept_, probe.intercept_)
    assert (other.gap_, other.n_iter_) == (probe.gap_, probe.n_iter_)
    assert (other.radius_, other.separation_) == (k * probe.radius_, k * probe.separation_)
    assert np.array_equal(other.margins(k * x, y), k * probe.margins(x, y))
    assert other.robust_score(k * x, y) == probe.robust_score(x, y) > 0


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(2, 4), levels)
def test_other_names_of_the_classes_permute_it(seed, classes, epsilon):
    x, y, rng = sample(seed, classes)
    order = rng.permutation(classes)
    probe = RobustLinearProbe(epsilon, tol=1e-8).fit(x, y)
    other = clone(probe).fit(x, order[y])
    if classes == 2:
        np.testing.assert_allclose(
            other.decision_function(x), probe.decision_function(x) * (1 if order[0] == 0 else -1), atol=2e-3
        )
    else:
        np.testing.assert_allclose(other.decision_function(x)[:, order], probe.decision_function(x), atol=2e-3)


def test_more_dimensions_than_samples_change_nothing_but_the_span():
    x, y, rng = sample(4, n=30, d=3)
    wide = x @ np.linalg.qr(rng.standard_normal((200, 3)))[0].T
    for intercept in (True, False):
        probe = RobustLinearProbe(0.5, tol=1e-8, fit_intercept=intercept).fit(x, y)
        other = clone(probe).fit(wide, y)
        close(probe, other, x, wide)
        assert np.linalg.norm(other.coef_) == pytest.approx(np.linalg.norm(probe.coef_), rel=1e-3)


def test_rows_that_differ_by_class_sizes_and_order_fit_alike_and_are_left_alone():
    x, y, rng = sample(6)
    before = x.copy(), y.copy()
    probe = RobustLinearProbe(0.5, tol=1e-8).fit(x, y)
    assert np.array_equal(x, before[0])
    assert np.array_equal(y, before[1])
    order = rng.permutation(len(y))
    close(probe, clone(probe).fit(x[order], y[order]), x, x)


# As an estimator.


@pytest.mark.parametrize("epsilon", [0.0, 0.5])
def test_it_keeps_the_rules_of_scikit_learn(epsilon):
    with warnings.catch_warnings():
        # A check of arrays that are not NumPy's, which an environment variable has to ask for.
        warnings.simplefilter("ignore", SkipTestWarning)
        check_estimator(RobustLinearProbe(epsilon=epsilon))


def test_it_is_cloned_pickled_and_searched_over():
    x, y, _ = sample(7)
    names = np.array(["cat", "dog", "eel"])[y]
    probe = RobustLinearProbe(epsilon=0.2, C=3.0, tol=1e-5, max_iter=500, fit_intercept=False)
    assert clone(probe).get_params() == {"epsilon": 0.2, "C": 3.0, "tol": 1e-5, "max_iter": 500, "fit_intercept": False}
    probe.fit(x, names)
    assert probe.classes_.tolist() == ["cat", "dog", "eel"]
    assert probe.coef_.shape == (3, 4)
    assert probe.intercept_.tolist() == [0.0, 0.0, 0.0]
    again = pickle.loads(pickle.dumps(probe))
    assert np.array_equal(again.predict(x), probe.predict(x))
    assert np.array_equal(again.margins(x, names), probe.margins(x, names))
    search = GridSearchCV(
        make_pipeline(StandardScaler(), RobustLinearProbe()), {"robustlinearprobe__epsilon": [0.0, 0.5]}, cv=3
    ).fit(x, names)
    assert search.best_estimator_[-1].separation_ > 0
    assert set(search.cv_results_["param_robustlinearprobe__epsilon"]) == {0.0, 0.5}
    assert search.predict(x).shape == names.shape


def test_too_few_steps_are_told_with_the_gap_they_left():
    x, y, _ = sample(9)
    with pytest.warns(ConvergenceWarning, match=r"at most tol = 1e-06, got [0-9.]+ at step 1\. Raise max_iter = 1"):
        probe = RobustLinearProbe(0.5, tol=1e-6, max_iter=1).fit(x, y)
    assert probe.n_iter_ == 1
    assert probe.gap_ > 1e-6
    exact = RobustLinearProbe(0.5, tol=1e-8, max_iter=10_000).fit(x, y)
    assert primal(x, y, exact) >= primal(x, y, probe) * (1 - probe.gap_) * (1 - 1e-9)


@pytest.mark.parametrize("C", [1e-90, 1e-12, 1e-6, 1e-3])
def test_however_small_the_weights_are_the_gap_closes(C):  # noqa: N803
    """Weights of the order of C are far below the first smoothing, which has to see that it is in the way."""
    x, y, _ = sample(0)
    assert RobustLinearProbe(0.4, C=C, tol=1e-6).fit(x, y).gap_ <= 1e-6


def test_where_rounding_ends_the_descent_more_steps_are_not_advised():
    """At C = 1e16 the gradient would have to be known to more digits than the objective has."""
    x, y, _ = sample(2)
    with pytest.warns(ConvergenceWarning) as told:
        probe = RobustLinearProbe(0.4, tol=1e-300).fit(1e8 * x, y)
    assert probe.n_iter_ < probe.max_iter
    text = f"and stopped after {probe.n_iter_} steps, as rounding allows no further descent. Lower C = 1, or scale"
    assert text in str(told[0].message)
    assert "max_iter" not in str(told[0].message)
    # With the objective as large as it is, 1e17, L-BFGS itself gives up at a gap of 1.
    assert probe.gap_ < 0.9


@pytest.mark.parametrize(
    ("size", "power"), [(1e160, r"1e\+32."), (1e307, r"1e\+61."), (1e-200, r"1e-(39|40)."), (1e-310, r"1e-6[12].")]
)
@pytest.mark.parametrize("epsilon", [0.0, 0.4])
def test_sizes_whose_products_float64_cannot_hold_are_refused(size, power, epsilon):
    x, y, _ = sample(0)
    text = (
        rf"lie in 1e-100 \.\.\. 1e\+100, got about {power}: float64 cannot hold .* Scale the representations to a size"
    )
    with pytest.raises(ArgumentError, match=text):
        RobustLinearProbe(epsilon).fit(size * x, y)


def test_the_limit_is_on_the_product_of_the_strength_and_the_size():
    x, y, _ = sample(0)
    with pytest.raises(ArgumentError, match=r"got about 1e\+1..: float64"):
        RobustLinearProbe(0.4, C=1e120).fit(x, y)
    for size, strength in ((1e153, 1e-306), (1e-150, 1e300), (1e-45, 1.0)):
        assert RobustLinearProbe(0.4, C=strength).fit(size * x, y).gap_ <= 1e-4


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"epsilon": None}, r"epsilon must lie in \[0, 1\): .* got None\. 0 fits plain"),
        ({"epsilon": "0.1"}, r"epsilon must lie in \[0, 1\): .* got '0\.1'"),
        ({"epsilon": False}, r"epsilon must lie in \[0, 1\): .* got False"),
        ({"C": "a"}, r"C must be a positive number, got 'a'; 1 is usual"),
        ({"C": None}, r"C must be a positive number, got None"),
        ({"C": True}, r"C must be a positive number, got True"),
        ({"C": 1j}, r"C must be a positive number, got 1j"),
        ({"C": 10**400}, r"C must be a positive number, got 1000"),
        ({"tol": "1e-4"}, r"tol must be a positive number, got '1e-4'; 1e-4 is usual"),
        ({"tol": [1e-4]}, r"tol must be a positive number, got \[0\.0001\]"),
        ({"max_iter": 1.5}, r"max_iter must be an integer of at least 1, got 1\.5; 1000 is usual"),
        ({"max_iter": True}, r"max_iter must be an integer of at least 1, got True"),
        ({"max_iter": None}, r"max_iter must be an integer of at least 1, got None"),
        ({"fit_intercept": "no"}, r"fit_intercept must be True or False, got 'no'; True fits an intercept"),
        ({"fit_intercept": 1}, r"fit_intercept must be True or False, got 1"),
        ({"epsilon": 1.0}, r"epsilon must lie in \[0, 1\): .* got 1\.0"),
        ({"epsilon": -0.1}, r"got -0\.1"),
        ({"epsilon": float("nan")}, r"epsilon must lie .* got nan"),
        ({"C": 0.0}, r"C must be a positive number, got 0\.0"),
        ({"C": float("inf")}, r"C must be a positive number, got inf"),
        ({"tol": -1.0}, r"tol must be a positive number, got -1\.0"),
        ({"max_iter": 0}, r"max_iter must be an integer of at least 1, got 0"),
    ],
)
def test_parameters_out_of_range_are_refused_when_it_is_fitted(parameters, text):
    x, y, _ = sample(0)
    probe = RobustLinearProbe(**parameters)
    with pytest.raises(ArgumentError, match=text):
        probe.fit(x, y)


def test_numbers_of_numpy_are_numbers():
    x, y, _ = sample(0)
    probe = RobustLinearProbe(0.25, 2.0, 2.0**-10, 500, fit_intercept=False).fit(x, y)
    for one, whole in ((np.float32, np.int64), (np.float64, np.uint8)):
        numbers = one(0.25), one(2), one(2.0**-10), whole(250)
        other = RobustLinearProbe(*numbers, fit_intercept=np.bool_(False)).fit(x, y)
        assert np.array_equal(other.coef_, probe.coef_)
        # A float32 among the factors would round the radius.
        assert other.radius_ == probe.radius_
        assert other.robust_score(x, y, epsilon=one(0.25)) == probe.robust_score(x, y)


def test_what_cannot_be_fitted_is_told():
    x, y, _ = sample(0)
    with pytest.raises(RepresentationError, match=r"at least 2 classes, got one class only: .*0.* Add samples"):
        RobustLinearProbe().fit(x, np.zeros(len(x), dtype=int))
    # Their sums differ by the order of the terms, in the last digit.
    even = np.array([0.1, 0.2, 0.3, 0.3, 0.2, 0.1])[:, None]
    assert even[:3].mean() != even[3:].mean()
    with pytest.raises(RepresentationError, match=r"epsilon = 0\.5 is relative .* all 2 coincide: .* with epsilon = 0"):
        RobustLinearProbe(0.5).fit(even, [0, 0, 0, 1, 1, 1])
    assert np.abs(RobustLinearProbe(0.0).fit(even, [0, 0, 0, 1, 1, 1]).coef_).max() < 1e-9
    with pytest.raises(ValueError, match="NaN"):
        RobustLinearProbe().fit(np.full_like(x, np.nan), y)
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        RobustLinearProbe().fit(csr_array(x), y)
    with pytest.raises(ValueError, match="inconsistent"):
        RobustLinearProbe().fit(x, y[:-1])


def test_what_cannot_be_asked_is_told():
    x, y, _ = sample(0)
    for method in ("predict", "decision_function", "predict_proba", "margins"):
        with pytest.raises(NotFittedError):
            getattr(RobustLinearProbe(), method)(x)
    probe = RobustLinearProbe(0.2).fit(x, y)
    with pytest.raises(ValueError, match="4 features"):
        probe.predict(x[:, :3])
    with pytest.raises(ArgumentError, match=r"labels that the probe was fitted to, got .*9"):
        probe.margins(x, np.full(len(x), 9))
    with pytest.raises(ValueError, match="inconsistent"):
        probe.margins(x, y[:-1])
    with pytest.raises(ArgumentError, match=r"epsilon must lie in \[0, 1\)"):
        probe.robust_score(x, y, epsilon=1.0)
    with pytest.raises(ArgumentError, match=r"epsilon must lie in \[0, 1\): .* got '0\.1'"):
        probe.robust_score(x, y, epsilon="0.1")
