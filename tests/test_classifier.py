"""The ε-robust classifier: what it must not care about, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synbench import classifier
from synbench.errors import ArgumentError, RepresentationError

from .truths import gaussian_problem

EPSILONS = (0.0, 0.2, 0.6)
seeds = st.integers(0, 2**32 - 1)


def decisions(train, test, labels, epsilons=EPSILONS):
    """Return margins in units of |wᵀμ|, signed by class: all that accuracy and bound are made of."""
    found = classifier.moments(train.astype(np.float64), labels)
    directions = classifier.robust_directions(classifier.spectrum(found), epsilons)
    correct, bound = classifier.trade_off(directions, found, test.astype(np.float64), labels)
    return np.where(correct, bound, -bound)


def problem(seed, d):
    rng = np.random.default_rng(seed)
    train, labels = gaussian_problem(seed, n=24 * d, d=d, spread=0.5, offset=0.0)
    order = rng.permutation(len(labels))
    test = np.empty_like(train)
    for y in (0, 1):
        rows = np.flatnonzero(labels == y)
        test[rows] = train[rng.permutation(rows)] + 0.1 * rng.standard_normal((len(rows), d)).astype(np.float32)
    return train[order], test[order], labels[order], rng


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 6))
def test_no_affine_map_changes_the_classifier_at_epsilon_0(seed, d):
    train, test, labels, rng = problem(seed, d)
    # Singular values 0.5 … 2: the condition number, at most 4, times that of C keeps rounding below the tolerance.
    q, r = (np.linalg.qr(rng.standard_normal((d, d)))[0] for _ in range(2))
    matrix = q @ np.diag(rng.uniform(0.5, 2, d)) @ r
    shift = rng.standard_normal(d)
    mapped = (x.astype(np.float64) @ matrix + shift for x in (train, test))
    np.testing.assert_allclose(
        decisions(*mapped, labels, [0.0]), decisions(train, test, labels, [0.0]), rtol=1e-6, atol=1e-6
    )


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 6), st.sampled_from([-1000.0, -0.01, 0.001, 3.0, 1e6]))
def test_no_similarity_changes_the_classifier_at_any_epsilon(seed, d, k):
    train, test, labels, rng = problem(seed, d)
    rotation = np.linalg.qr(rng.standard_normal((d, d)))[0]
    shift = k * rng.standard_normal(d)
    mapped = (k * x.astype(np.float64) @ rotation + shift for x in (train, test))
    np.testing.assert_allclose(decisions(*mapped, labels), decisions(train, test, labels), rtol=1e-6, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(2, 6))
def test_constant_coordinates_their_order_and_the_names_of_the_classes_change_nothing(seed, d):
    train, test, labels, rng = problem(seed, d)
    plain = decisions(train, test, labels)
    wider = (np.hstack([x, np.full((len(x), 2), 7.0)]) for x in (train, test))
    np.testing.assert_allclose(decisions(*wider, labels), plain, rtol=1e-6, atol=1e-6)
    order = rng.permutation(d)
    np.testing.assert_allclose(decisions(train[:, order], test[:, order], labels), plain, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(decisions(train, test, 1 - labels), plain, rtol=1e-6, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(0, 0.99), st.floats(0, 0.99))
def test_more_epsilon_never_raises_the_discriminability_under_the_fitted_covariance(seed, one, other):
    """κ(w) = wᵀμ / √(wᵀCw) is largest for C⁻¹μ, and falls as the ridge grows."""
    found = classifier.moments(*gaussian_problem(seed, n=100, d=5))
    basis = classifier.spectrum(found)
    low, high = classifier.robust_directions(basis, sorted((one, other)))
    kappa = [w @ found.half_difference / np.sqrt(w @ found.covariance @ w) for w in (low, high)]
    assert kappa[0] >= kappa[1] * (1 - 1e-9)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=8),
    st.floats(1e-9, 1 - 1e-9),
    seeds,
)
def test_ridge_is_found_for_any_spectrum(eigenvalues, epsilon, seed):
    values = np.sort(np.array(eigenvalues))
    mu = np.random.default_rng(seed).standard_normal(len(values))
    (rho,) = classifier.ridges(values, mu, [epsilon])
    norm = np.linalg.norm(mu / (1 + values / rho)) / np.linalg.norm(mu)
    # log ρ is found to 1e-13 of its size, at most about 50: ‖z*‖ is right to 1e-11 relative.
    assert norm == pytest.approx(epsilon, rel=1e-9)


def test_epsilons_together_are_as_epsilons_alone():
    values, mu = np.logspace(-8, 3, 40), np.random.default_rng(0).standard_normal(40)
    epsilons = [0.0, 1e-300, 1e-9, 0.3, 0.999999]
    alone = [classifier.ridges(values, mu, [e])[0] for e in epsilons]
    # One more step of Newton's method is within its tolerance, 1e-13 of log ρ; the norm of z* near ‖μ‖, at
    # ε = 1 − 1e-6, tells ρ to 1e-16 / 1e-6 only.
    np.testing.assert_allclose(classifier.ridges(values, mu, epsilons), alone, rtol=1e-9)


def test_equal_eigenvalues_leave_the_direction_alone():
    found = classifier.Moments(np.array([1.0, 2.0, 2.0]), np.zeros(3), 2 * np.eye(3))
    for w in classifier.robust_directions(classifier.spectrum(found), (0.0, 0.5, 0.9)):
        np.testing.assert_allclose(w, np.array([1, 2, 2]) / 3)


def test_inputs_are_left_alone():
    values, labels = gaussian_problem(0)
    before = values.copy(), labels.copy()
    found = classifier.moments(values, labels)
    classifier.trade_off(classifier.robust_directions(classifier.spectrum(found), EPSILONS), found, values, labels)
    assert np.array_equal(values, before[0])
    assert np.array_equal(labels, before[1])


@pytest.mark.parametrize("epsilon", [1.0, 1.5, -0.1])
def test_epsilon_outside_its_range_is_refused(epsilon):
    with pytest.raises(ArgumentError, match=r"epsilon must lie in \[0, 1\): it is relative to the norm of μ, got"):
        classifier.ridges(np.ones(2), np.ones(2), [0.2, epsilon])


def test_a_missing_class_is_named():
    with pytest.raises(
        RepresentationError, match=r"with both classes to fit .* got 0 of class 0 and 5 of class 1\. Add"
    ):
        classifier.moments(np.ones((5, 2)), np.ones(5, dtype=int))


def test_two_rows_are_too_few():
    with pytest.raises(RepresentationError, match=r"at least 3 representations .* got 1 of class 0 and 1 of class 1"):
        classifier.moments(np.eye(2), np.array([0, 1]))


def test_representations_without_variance_are_refused():
    found = classifier.moments(np.ones((6, 2)), np.array([0, 1] * 3))
    with pytest.raises(
        RepresentationError, match=r"that vary within a class.*gives every image the same vector\. Check"
    ):
        classifier.spectrum(found)


def test_equal_class_means_are_refused():
    values = np.array([[0.0], [1.0], [0.0], [1.0]])
    found = classifier.moments(values, np.array([0, 0, 1, 1]))
    with pytest.raises(RepresentationError, match=r"class means that differ, but they coincide exactly.*Check"):
        classifier.robust_directions(classifier.spectrum(found), [0.0])
