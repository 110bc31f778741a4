"""The recommended ε is the best one, as often as it says; and a flat curve has none."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

import synbench
from synbench.errors import ArgumentError
from synbench.population import estimate
from synbench.probe.recommendation import recommend_epsilon
from synbench.scoring import conclude
from synbench.settings import EPSILONS, SCALES, Settings
from synbench.uncertainty import epsilon_covariance, population_scores

from .linear import LinearEncoder
from .reports import THRESHOLDS, make_report
from .test_population import true_scores

AT = THRESHOLDS.index(0.7)


def with_scores(scores, stderr=0.004, correlation=None, **changes):
    """Make a report with these scores by ε at every threshold."""
    errors = np.broadcast_to(stderr, len(scores))
    matrix = None
    if correlation is not None:
        matrix = np.outer(errors, errors) * (correlation + (1 - correlation) * np.eye(len(scores)))
        matrix = [matrix.tolist()] * len(THRESHOLDS)
    return make_report(
        scores=[[score] * len(THRESHOLDS) for score in scores],
        scores_stderr=[[error] * len(THRESHOLDS) for error in errors.tolist()],
        epsilon_covariance=matrix,
        **changes,
    )


def test_the_best_is_recommended_and_what_is_as_good_is_named():
    found = recommend_epsilon(with_scores([0.60, 0.66, 0.655, 0.5, 0.3]))
    assert (found.epsilon, found.best, found.as_good) == (0.2, 0.2, [0.2, 0.4])
    assert found.meaning == (
        "At a_t = 0.7 the score is best at ε = 0.2 (0.660); ε = 0.4 is not shown to cost more than 0.01."
    )
    assert found.behind == pytest.approx([0.06, 0, 0.005, 0.16, 0.36])
    assert (found.threshold, found.margin, found.protocol, found.scores[1]) == (0.7, 0.01, "population", 0.66)


def test_the_intervals_hold_for_all_ten_pairs_together():
    scores, errors = [0.60, 0.66, 0.655, 0.5, 0.3], [0.01, 0.002, 0.03, 0.004, 0.02]
    each = norm.ppf(1 - 0.05 / 20)
    # Independent as far as is known: a difference can have the sum of both errors.
    found = recommend_epsilon(with_scores(scores, errors))
    reach = each * np.array([0.012, 0.0, 0.032, 0.006, 0.022])
    np.testing.assert_allclose(found.behind_interval, np.stack([found.behind - reach, found.behind + reach], axis=1))
    assert found.behind_interval[1] == [0.0, 0.0]
    # The one that is named best may be the worse one.
    assert found.behind_interval[2][0] < 0
    paired = recommend_epsilon(with_scores(scores, errors, 0.5))
    variances = np.array([0.01, 0.002, 0.03, 0.004, 0.02]) ** 2 + 0.002**2 - np.array(errors) * 0.002
    reach = each * np.sqrt(np.where(np.arange(5) == 1, 0, variances))
    np.testing.assert_allclose(paired.behind_interval, np.stack([paired.behind - reach, paired.behind + reach], axis=1))


def test_it_is_read_at_the_threshold_that_was_asked_for():
    other = THRESHOLDS.index(0.9)
    scores, errors = np.full((5, len(THRESHOLDS)), 0.5), np.full((5, len(THRESHOLDS)), 0.001)
    scores[:, AT], scores[:, other] = [0.7, 0.6, 0.5, 0.4, 0.3], [0.2, 0.25, 0.45, 0.4, 0.3]
    errors[:, other] = 0.02
    matrices = np.array([np.diag(column**2) for column in errors.T])
    report = make_report(
        scores=scores.tolist(), scores_stderr=errors.tolist(), epsilon_covariance=matrices.tolist(), protocol="paper"
    )
    one, two = recommend_epsilon(report), recommend_epsilon(report, 0.9)
    assert (one.best, one.as_good, one.scores) == (0.0, [0.0], [0.7, 0.6, 0.5, 0.4, 0.3])
    assert (two.best, two.as_good, two.protocol) == (0.4, [0.4, 0.6], "paper")
    widths = [np.ptp(found.behind_interval[-1]) for found in (one, two)]
    assert widths == pytest.approx([2 * norm.ppf(1 - 0.05 / 20) * e * np.sqrt(2) for e in (0.001, 0.02)])


def test_four_of_five_that_are_as_good_are_a_preference():
    found = recommend_epsilon(with_scores([0.60, 0.603, 0.602, 0.601, 0.3]), margin=0.02)
    assert (found.as_good, found.margin) == (EPSILONS_SORTED[:4], 0.02)
    assert found.epsilon is not None


def test_of_the_population_protocol_the_smallest_that_is_as_good_is_taken():
    """In truth none above it can be better: where one comes out so, that is chance."""
    scores = [0.655, 0.66, 0.652, 0.5, 0.3]
    found = recommend_epsilon(with_scores(scores))
    assert (found.epsilon, found.best, found.as_good) == (0.0, 0.2, [0.0, 0.2, 0.4])
    assert found.meaning == (
        "At a_t = 0.7 the score is best at ε = 0.2 (0.660); ε = 0, 0.4 are not shown to cost more than 0.01, and in "
        "truth none above ε = 0 can be better than that: take ε = 0."
    )
    # With few images a ridge does help, and the paper protocol has few at each scale.
    assert recommend_epsilon(with_scores(scores, protocol="paper")).epsilon == 0.2


def test_a_flat_curve_is_no_preference():
    found = recommend_epsilon(with_scores([0.60, 0.603, 0.602, 0.601, 0.599]))
    assert found.epsilon is None
    assert (found.best, found.as_good) == (0.2, EPSILONS_SORTED)
    assert found.meaning == (
        "At a_t = 0.7 no ε is shown to be worse than the best by more than 0.01 (scores 0.599 to 0.603): no preference."
    )


EPSILONS_SORTED = sorted(EPSILONS)


def test_scores_of_zero_are_no_preference_for_a_reason():
    found = recommend_epsilon(with_scores([0.0] * 5, stderr=0.0))
    assert (found.epsilon, found.as_good) == (None, [])
    assert found.meaning == "At a_t = 0.7 every score is 0: no ε reaches that accuracy, and there is no preference."


def test_what_is_shared_by_the_same_images_makes_differences_sure():
    # Differences of 0.03, errors of 0.02: by themselves 0.04 apart at most, with a correlation of 0.98 only 0.004.
    scores = [0.66, 0.63, 0.60, 0.57, 0.54]
    alone, together = (recommend_epsilon(with_scores(scores, 0.02, c)) for c in (None, 0.98))
    assert (alone.paired, together.paired) == (False, True)
    assert together.as_good == [0.0]
    assert set(alone.as_good) > {0.0, 0.2}


def test_a_margin_of_nothing_leaves_only_what_errors_leave():
    report = with_scores([0.66, 0.655, 0.5, 0.4, 0.3], 0.0005, 0.9)
    assert recommend_epsilon(report).as_good == [0.0, 0.2]
    assert recommend_epsilon(report, margin=0).as_good == [0.0]


@given(
    st.permutations(range(5)),
    st.lists(st.floats(0, 1), min_size=5, max_size=5),
    st.floats(0.0001, 0.1),
)
def test_the_order_of_the_epsilons_means_nothing(order, scores, error):
    values, base = np.round(scores, 6), with_scores(np.round(scores, 6), error)
    turned = with_scores(values[order], error, epsilons=[EPSILONS[i] for i in order])
    one, other = recommend_epsilon(base), recommend_epsilon(turned)
    assert (one.epsilon, one.best, one.as_good) == (other.epsilon, other.best, other.as_good)
    assert one.best in one.as_good or not any(values)


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({}, {"threshold": 0.71}, r"threshold must be one of \[0\.6, .*got 0\.71\. For another, score the encoder a"),
        ({}, {"margin": -0.1}, r"margin must be at least 0, a difference of scores such as 0\.01, got -0\.1"),
        ({}, {"margin": float("nan")}, r"margin must be at least 0"),
        ({}, {"margin": float("inf")}, r"margin must be at least 0"),
        ({}, {"margin": "0.1"}, r"margin must be at least 0, .* got '0\.1'"),
        ({}, {"margin": None}, r"margin must be at least 0"),
        ({}, {"margin": True}, r"margin must be at least 0"),
        ({}, {"threshold": [0.7]}, r"threshold must be one of \[0\.6, .*got \[0\.7\]\."),
        ({}, {"threshold": "0.7"}, r"threshold must be one of \[0\.6, .*got '0\.7'\."),
        (
            {"scores": [[None] * 9] * 5},
            {},
            r"expected a score with its error for each ε at a_t = 0\.7, but some are un",
        ),
        ({"scores_stderr": [[None] * 9] * 5}, {}, r"too few images for the width"),
    ],
)
def test_what_cannot_be_told_is_refused(change, options, said):
    with pytest.raises(ArgumentError, match=said):
        recommend_epsilon(make_report(**change), **options)


def test_one_epsilon_leaves_nothing_to_choose():
    report = conclude([LinearEncoder(3, 0.5).represent(0, 512)], Settings(epsilons=[0.0])).report
    with pytest.raises(ArgumentError, match=r"expected a report with two ε or more to choose from, got \[0\.0\]"):
        recommend_epsilon(report)


def test_a_dict_and_a_file_are_read_as_well(tmp_path):
    report = with_scores([0.60, 0.66, 0.655, 0.5, 0.3], correlation=0.5)
    (tmp_path / "score.json").write_text(report.to_json())
    found = recommend_epsilon(report)
    assert recommend_epsilon(report.to_dict()) == found == recommend_epsilon(tmp_path / "score.json")
    assert json.loads(found.to_json())["as_good"] == [0.2, 0.4]
    with pytest.raises(
        ArgumentError, match=r"expected a SynBench result \(a Report, its dict, or the file of one\), g"
    ):
        recommend_epsilon(3.0)


def test_no_epsilon_beats_zero_in_the_population():
    """κ_0 is Fisher's: the largest of all directions. So the score of ε = 0 is, up to the step of the curve's grid."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        encoder = LinearEncoder(int(rng.integers(2, 40)), float(rng.uniform(0.05, 0.95)), rng.uniform(0, 3), seed=seed)
        assert (np.diff(encoder.kappas) <= 1e-12).all()
        scores = true_scores(encoder.kappas, THRESHOLDS)
        # One scale on one grid point more or less is a bound of at most 2 in an area of 49 scales by 20 points.
        assert (scores[0] >= scores - 1e-3).all()


@pytest.mark.slow
def test_the_covariance_is_that_of_many_studies():
    studies, encoder, epsilons = 100, LinearEncoder(32, 0.42), [0.0, 0.2, 0.4]
    values, told = [], []
    for seed in range(studies):
        found = estimate(encoder.represent(seed, 1536), SCALES, epsilons)
        values.append(population_scores(found, [0.7]).values[:, 0])
        told.append(epsilon_covariance(found, [0.7])[0])
    values, told = np.array(values), np.mean(told, axis=0)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        spread = np.std(values[:, one] - values[:, other], ddof=1)
        expected = np.sqrt(told[one, one] + told[other, other] - 2 * told[one, other])
        # A standard deviation from 100 studies is known to 7 %: 4 of these; what no draw answers for only adds.
        assert -0.28 < np.log(expected / spread) < 0.35, (one, other, expected, spread)
        # Without what is shared it would be too large by more than that, or this would show nothing.
        assert np.log(np.sqrt(told[one, one] + told[other, other]) / expected) > 0.1


def test_a_flat_curve_is_told_apart_as_seldom_as_it_says():
    """Five scores that are equal in truth: which is the best is chance, and 95 % of studies must see no preference."""
    studies, rng, flat, inside = 400, np.random.default_rng(0), 0, 0
    for _ in range(studies):
        found = recommend_epsilon(with_scores(0.5 + 0.01 * rng.standard_normal(5), 0.01, 0.0), margin=0)
        flat += found.epsilon is None
        inside += all(low <= 0 for low, _ in found.behind_interval)
    assert min(flat, inside) >= studies * 0.95 - 3.5 * np.sqrt(studies * 0.95 * 0.05)


@pytest.mark.parametrize("errors", [[0.01] * 5, [0.002, 0.02, 0.002, 0.01, 0.01]])
def test_intervals_cover_the_differences_to_the_one_that_was_named(errors):
    """Also where truths differ, and the one that comes out best often is not."""
    truths, studies, rng = np.array([0.5, 0.505, 0.5, 0.45, 0.3]), 400, np.random.default_rng(1)
    inside, wrong = 0, 0
    for _ in range(studies):
        found = recommend_epsilon(with_scores(truths + errors * rng.standard_normal(5), errors, 0.0))
        behind = truths[EPSILONS.index(found.best)] - truths
        inside += all(low <= d <= high for d, (low, high) in zip(behind, found.behind_interval, strict=True))
        wrong += behind.min() < 0
    assert inside >= studies * 0.95 - 3.5 * np.sqrt(studies * 0.95 * 0.05)
    assert wrong > 50, "or this would show nothing"


@pytest.mark.slow
def test_the_best_is_named_as_often_as_it_says():
    """Where C is isotropic every classifier is the same: each ε is a best one, and 95 % of studies must name it."""
    studies, encoder = 40, LinearEncoder(8, 0.5, decades=0.0)
    assert np.ptp(encoder.kappas) < 1e-9
    named = np.zeros(len(EPSILONS))
    for seed in range(studies):
        found = recommend_epsilon(conclude([encoder.represent(seed, 1536)], Settings()).report, margin=0)
        named += [epsilon in found.as_good for epsilon in EPSILONS]
    assert (named >= studies * 0.95 - 3.5 * np.sqrt(studies * 0.95 * 0.05)).all(), named


def test_the_matrices_are_those_of_the_errors():
    report = synbench.score("synbench:demo", images=1024, epsilons=[0.4, 0.0], cache=False)
    for column, matrix in enumerate(report.epsilon_covariance):
        errors = [row[column] for row in report.scores_stderr]
        np.testing.assert_allclose(np.sqrt(np.diag(matrix)), errors, rtol=1e-9)
        np.testing.assert_allclose(matrix, np.transpose(matrix), rtol=1e-12)
        assert np.linalg.eigvalsh(matrix).min() >= -1e-15
    with pytest.raises(ArgumentError, match=r"epsilon_covariance\[0\] must have 2 rows of 2"):
        synbench.Report.from_dict({**report.to_dict(), "epsilon_covariance": [[[0.1]]] * 9})
    with pytest.raises(ArgumentError, match=r"epsilon_covariance must have 9 matrices"):
        synbench.Report.from_dict({**report.to_dict(), "epsilon_covariance": [report.epsilon_covariance[0]]})
