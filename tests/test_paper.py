"""The paper protocol against closed forms, against the authors' numbers, and on input that cannot be scored."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from synbench import RepresentationError, curve, paper
from synbench.representations import Representations
from synbench.settings import EPSILONS, SCALES, THRESHOLDS

from .recipes_parity import CASES, representations


def of_recipe(case):
    """Yield one whole scale of a parity case after the other."""
    rows = representations(case)
    for train, test in zip(rows, rows, strict=True):
        yield Representations(
            np.concatenate([train[0], test[0]]),
            np.concatenate([train[1], test[1]]),
            np.full(2 * case["samples"], train[2]),
            np.repeat([False, True], case["samples"]),
        )


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_parity_with_the_authors_script(case):
    found = paper.estimate(of_recipe(case), list(map(float, case["epsilons"])), as_published=True)
    expected = case["expected"]
    # A solver's tolerance can flip a sample on the boundary: one sample, 0.3 % of a bound, 1e-4 of a score.
    one_sample = 1 / case["samples"] + 1e-9
    np.testing.assert_allclose(found.accuracy, expected["accuracy"], rtol=0, atol=one_sample)
    np.testing.assert_allclose(found.bound, expected["bound"], rtol=3e-3)
    scores = curve.scores(found.accuracy, found.bound, case["scales"], case["thresholds"])
    np.testing.assert_allclose(scores, expected["scores"], rtol=0, atol=1e-4)
    raw_accuracy, raw_bound = curve.reference(case["scales"])
    np.testing.assert_allclose(raw_accuracy, expected["raw_accuracy"], rtol=1e-12)
    np.testing.assert_allclose(raw_bound, expected["raw_bound"], rtol=1e-9)


def test_as_published_depends_on_the_units_and_the_default_does_not():
    case = {**CASES[1], "scales": [1.0, 2.0]}
    tiny = 2.0**-10  # a power of two: exact in float32

    def accuracies(unit, **how):
        rows = (Representations(r.values * np.float32(unit), r.labels, r.scales, r.test) for r in of_recipe(case))
        return paper.estimate(rows, EPSILONS, **how).accuracy

    assert np.array_equal(accuracies(1), accuracies(tiny))
    assert not np.array_equal(accuracies(1, as_published=True), accuracies(tiny, as_published=True))


def linear_kappa(matrix, direction, epsilon):
    """Return κ_ε(s)/s of z = Ax, from the definition: the ball, its nearest point by root finding, its classifier."""
    covariance, mu = matrix @ matrix.T, matrix @ direction
    eigenvalues, vectors = np.linalg.eigh(covariance)
    rotated = vectors.T @ mu
    radius = epsilon * np.linalg.norm(mu)
    nearest = np.zeros_like(mu)
    if epsilon:
        nu = optimize.brentq(
            lambda nu: np.linalg.norm(rotated / (1 + nu * eigenvalues)) - radius,
            0,
            1e9 / eigenvalues.max(),
            xtol=1e-300,
        )
        nearest = rotated / (1 + nu * eigenvalues)
    w = vectors @ ((rotated - nearest) / eigenvalues)
    return w @ mu / np.sqrt(w @ covariance @ w)


def linear_problem(seed, scales, n, d, dimension=12, decades=1.0):
    """Yield representations of a random linear encoder, drawn here and not by the package."""
    rng = np.random.default_rng(seed)
    matrix = np.logspace(0, -decades, d)[:, None] * rng.standard_normal((d, dimension)) / np.sqrt(dimension)
    direction = np.full(dimension, dimension**-0.5)
    for scale in scales:
        labels = rng.integers(0, 2, 2 * n)
        x = rng.standard_normal((2 * n, dimension)) + np.outer(2 * labels - 1, scale * direction)
        yield Representations(
            (x @ matrix.T + 3).astype(np.float32), labels, np.full(2 * n, scale), np.arange(2 * n) >= n
        )
    yield matrix, direction


@pytest.mark.parametrize("seed", range(3))
def test_linear_encoders_reach_their_closed_form(seed):
    n, d, scales = 40_000, 6, (0.5, 1.0, 2.0, 3.0)
    *rows, (matrix, direction) = linear_problem(seed, scales, n, d)
    found = paper.estimate(rows, EPSILONS)
    kappa = np.array([[linear_kappa(matrix, direction, e) * s for s in scales] for e in EPSILONS])
    accuracy, bound = curve.gaussian_trade_off(kappa)
    # Binomial standard error of the test accuracy; the fitted classifier falls short of its κ by about
    # d/2n · (1 + 1/κ²) relative, which is added. 4.5 errors: 60 comparisons, a false alarm in 2,000 seeds.
    shortfall = stats.norm.pdf(kappa) * kappa * d / (2 * n) * (1 + 1 / kappa**2)
    allowed = 4.5 * np.sqrt(accuracy * (1 - accuracy) / n) + 3 * shortfall
    assert (np.abs(found.accuracy - accuracy) < allowed).all()
    # The bound of a correct sample has a standard deviation below 1/κ; its mean moves as w does by sampling of μ,
    # relative standard error √(d/n)/κ at the most.
    assert (np.abs(found.bound - bound) < 4.5 * (1 / kappa + np.sqrt(d) * bound / kappa) / np.sqrt(n)).all()


def test_more_epsilon_lowers_and_more_scale_raises_accuracy():
    n = 20_000
    *rows, _ = linear_problem(1, (0.5, 1.0, 1.5, 2.0, 2.5), n, 6)
    accuracy = paper.estimate(rows, EPSILONS).accuracy
    noise = 4.5 * 0.5 / np.sqrt(n)
    assert (np.diff(accuracy, axis=0) < noise).all()
    assert (np.diff(accuracy, axis=1) > -noise).all()
    assert accuracy[0, -1] - accuracy[-1, -1] > 5 * noise, "here ε does cost accuracy"


def test_noise_coordinates_do_not_change_the_population():
    n = 40_000
    *rows, (matrix, direction) = linear_problem(4, (1.0,), n, 4)
    rng = np.random.default_rng(0)
    noisy = [
        Representations(
            np.hstack([r.values, rng.standard_normal((len(r), 3)).astype(np.float32)]), r.labels, r.scales, r.test
        )
        for r in rows
    ]
    kappa = np.array([linear_kappa(matrix, direction, 0.0)])
    accuracy, _ = curve.gaussian_trade_off(kappa)
    found = paper.estimate(noisy, [0.0]).accuracy[0]
    assert abs(found[0] - accuracy[0]) < 4.5 * 0.5 / np.sqrt(n)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_order_of_rows_and_names_of_classes_change_nothing(seed):
    *rows, _ = linear_problem(seed, (1.5,), 300, 4)
    (plain,) = rows
    order = np.random.default_rng(seed).permutation(len(plain))
    shuffled = Representations(plain.values[order], plain.labels[order], plain.scales, plain.test[order])
    swapped = Representations(plain.values, 1 - plain.labels, plain.scales, plain.test)
    expected = paper.estimate([plain], EPSILONS)
    for other in (shuffled, swapped):
        found = paper.estimate([other], EPSILONS)
        np.testing.assert_allclose(found.accuracy, expected.accuracy, atol=1e-12)
        np.testing.assert_allclose(found.bound, expected.bound, rtol=1e-9)


def small(labels=(0, 1) * 8, test=(False,) * 8 + (True,) * 8, d=2, values=None):
    labels, test = np.array(labels), np.array(test)
    if values is None:
        values = np.random.default_rng(0).standard_normal((len(labels), d)) + labels[:, None]
    return Representations(np.float32(values), labels, np.full(len(labels), 0.5), test)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            small(test=(True,) * 16),
            r"^at scale 0\.5: expected train and test representations, got no train rows of 16\.",
        ),
        (small(test=(False,) * 16), r"got no test rows of 16\. Add rows with splits='test'"),
        (
            small(labels=(1,) * 8 + (0, 1) * 4),
            r"^at scale 0\.5: expected both classes in the train split, got only class 1 in 8 rows\. Add train images",
        ),
        (small(labels=(0, 1) * 4 + (1,) * 8), r"both classes in the test split, got only class 1 in 8 rows\. Add test"),
        (small(labels=(0, 1, 0), test=(False, False, True)), r"both classes in the test split, got only class 0 in 1"),
        (small(labels=(0, 1) * 2, test=(False, False, True, True)), r"at least 3 representations .* got 1 of class 0"),
        (small(values=np.array([[0.0], [1.0]] * 8)), r"although the class means differ: every image of a class gets"),
        (small(values=np.ones((16, 2))), r"^at scale 0\.5: expected representations that vary within a class"),
    ],
    ids=["no train", "no test", "one class", "one test class", "one sample", "two train", "certain", "constant"],
)
def test_what_cannot_be_scored_is_refused(rows, message):
    with pytest.raises(RepresentationError, match=message):
        paper.estimate([rows], [0.0])


def test_directions_that_separate_perfectly_are_not_dropped_without_a_word():
    labels = np.array([0, 1] * 50)
    noise = 1e6 * np.random.default_rng(0).standard_normal((100, 1))
    rows = small(labels=labels, test=[False] * 50 + [True] * 50, values=np.hstack([1e5 * labels[:, None], noise]))
    (warning,) = paper.estimate([rows], [0.0]).warnings
    assert "lies in directions that do not vary within a class" in warning
    assert "the score says little" in warning


def test_more_dimensions_than_images_are_scored_with_a_warning():
    found = paper.estimate([small(d=40)], [0.0, 0.4])
    assert np.isfinite(found.accuracy).all()
    (warning,) = found.warnings
    assert "40 dimensions but only 8 train images" in warning
    assert "at most 6 directions" in warning
    assert "raise samples to 400 or more" in warning


def test_wide_representations_are_scored_with_a_warning():
    (warning,) = paper.estimate([small(d=2)], [0.0]).warnings
    assert "2 dimensions and its covariance is estimated from 8 train images" in warning
    assert "scores too low" in warning
    narrow = small(d=1, labels=(0, 1) * 20, test=(False,) * 20 + (True,) * 20)
    assert paper.estimate([narrow], [0.0]).warnings == ()


def test_defaults_are_the_papers():
    assert np.allclose(SCALES, np.arange(0.1, 5.0, 0.1))
    assert EPSILONS == (0.0, 0.2, 0.4, 0.6, 0.8)
    assert THRESHOLDS == (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)
