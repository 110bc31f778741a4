"""Which encoders differ: the probabilities hold on simulated encoders, ranks and ties agree, the record is whole."""

import csv
import io
import json
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from synbench import ArgumentError, OutputError, Report, compare, score
from synbench.comparison import Comparison, headings, names, rows
from synbench.comparison_plot import plot_comparison, save_comparison
from synbench.pairing import of_reports
from synbench.reading import read
from synbench.separation import holm, separate, separate_roots, tie_groups
from synbench.uncertainty import kappa_interval

LEVEL = 0.05
seeds = st.integers(0, 2**32 - 1)
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=30).map(np.array)


@pytest.fixture(scope="module")
def base():
    return score("synbench:demo", protocol="paper", samples=16, scales=[1.0, 2.0], thresholds=[0.7, 0.8])


@pytest.fixture(scope="module")
def made(base):
    """Make the report of a model by its name, score and stderr; further values change settings and model."""

    def make(name, value, stderr=0.01, *, model=None, changes=None, **settings):
        def table(cell):
            return [[cell] * len(base.thresholds) for _ in base.epsilons]

        values = base.to_dict()
        interval = [value - 2 * stderr, value + 2 * stderr]
        values |= {"synbench_score": value, "stderr": stderr, "interval": interval}
        values |= {"scores": table(value / 2), "scores_stderr": table(stderr / 2)}
        values |= {"scores_interval": table([end / 2 for end in interval])}
        values |= {"kappa": [0.5 + k for k in range(len(base.epsilons))]}
        values |= {"kappa_stderr": [0.01 * (k + 1) for k in range(len(base.epsilons))]}
        values |= {"kappa_interval": [[0.48 + k, 0.52 + k] for k in range(len(base.epsilons))]}
        values["settings"] |= settings
        values["settings"]["model"] |= {"id": name, "source": "hub", **(model or {})}
        return Report.from_dict({**values, **(changes or {})})

    return make


@pytest.fixture(scope="module")
def comparison(made):
    """Make eight encoders with every kind of entry: ties, twins, two commits of one name, an unlike input size."""
    reports = [
        made("tiny/a", 0.41, 0.02),
        made("some/b", 0.83, 0.01),
        made("some/c", 0.80, 0.01),
        made("some/d", 0.78, 0.01, model={"commit": "0123456789abcdef"}),
        made("some/d", 0.79, 0.01, model={"commit": "fedcba9876543210"}),
        made("some/b", 0.97, 0.005, model={"trained": False}),
        made("wide/e", 0.66, 0.02, image_shape=[3, 32, 32]),
        made("a-long-organization-name/$of-a$-model-with-a-long-name", 0.42, 0.01),
    ]
    reports[1] = reports[1].model_copy(update={"baseline": SimpleNamespace(synbench_score=0.97, kappa=None)})
    return of_reports(reports, [None] * 8)


@pytest.fixture(scope="module")
def valid(made):
    return of_reports(
        [made("org/one", 0.7), made('org/two, or "2"', 0.81), made("org/three", 0.8, model={"trained": False})],
        [np.ones(3), np.array([1.0, 1.0, 0.0]), None],
    )


def independent(scores, stderr):
    scores = np.asarray(scores, dtype=float)
    return separate(scores, np.diag(np.broadcast_to(stderr, scores.shape) ** 2.0))


def pairs(found):
    return dict(zip(zip(found.first.tolist(), found.second.tolist(), strict=True), found.separated, strict=True))


# Holm's method


def test_holm_against_an_example_by_hand():
    # In rising order 0.005·4, 0.01·3, 0.03·2, 0.04·1; the last falls to 0.04 and is held at the 0.06 before it.
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.4, 0.9])), [0.8, 0.9])
    np.testing.assert_allclose(holm(np.array([0.7, 0.6])), [1.0, 1.0])


@given(p_values)
def test_holm_keeps_the_order_and_lies_between_the_raw_value_and_bonferroni(raw):
    adjusted = holm(raw)
    assert (np.diff(adjusted[np.argsort(raw)]) >= 0).all()
    assert (adjusted >= raw).all()
    assert (adjusted <= np.minimum(1, len(raw) * raw)).all()
    assert adjusted[np.argmin(raw)] == min(1, len(raw) * raw.min())


@given(p_values, seeds)
def test_holm_does_not_care_about_the_order_of_the_pairs(raw, seed):
    order = np.random.default_rng(seed).permutation(len(raw))
    np.testing.assert_array_equal(holm(raw[order]), holm(raw)[order])


# Differences


def test_a_difference_against_an_example_by_hand():
    found = separate(np.array([0.9, 0.8]), np.array([[0.0009, 0.0006], [0.0006, 0.0016]]))
    stderr = np.sqrt(0.0009 + 0.0016 - 2 * 0.0006)
    assert found.stderr[0] == pytest.approx(stderr)
    assert found.difference[0] == pytest.approx(0.1)
    assert found.p_value[0] == pytest.approx(2 * stats.norm.cdf(-0.1 / stderr))
    assert [found.low[0], found.high[0]] == pytest.approx([0.1 - 1.959964 * stderr, 0.1 + 1.959964 * stderr], abs=1e-7)


def test_no_error_separates_all_that_is_not_equal():
    found = separate(np.array([0.5, 0.5, 0.6]), np.zeros((3, 3)))
    assert found.p_value.tolist() == [1.0, 0.0, 0.0]
    assert found.groups == (("b",), ("b",), ("a",))


def test_models_that_err_alike_to_rounding_tie_when_their_scores_are_equal_to_rounding():
    stderr = np.array([0.1, 0.1, 0.3])
    for towards in (0, 1):
        covariance = np.outer(stderr, stderr)
        covariance[0, 1] = covariance[1, 0] = np.nextafter(covariance[0, 1], towards)
        found = separate(np.array([0.1 + 0.2, 0.3, 0.9]), covariance)
        assert found.stderr[0] == 0
        assert found.p_value[0] == 1
        assert found.stderr[1:] == pytest.approx([0.2, 0.2])


def test_one_model_ties_with_nobody():
    found = independent([0.5], 0.1)
    assert (found.p_value.size, found.groups, found.rank_low.tolist(), found.rank_high.tolist()) == (
        0,
        (("a",),),
        [1],
        [1],
    )


@pytest.mark.parametrize(
    ("scores", "covariance", "level", "message"),
    [
        ([1.0, 2.0], np.eye(2), 1.0, r"level must lie in \(0, 1\), got 1\. Use 0\.05"),
        ([1.0, 2.0], np.eye(2), float("nan"), r"level must lie in \(0, 1\), got nan"),
        ([1.0, 2.0], np.eye(3), 0.05, r"\(m,\) and covariance \(m, m\), got \(2,\) and \(3, 3\)"),
        ([[1.0, 2.0]], np.eye(2), 0.05, r"got \(1, 2\) and \(2, 2\)"),
        ([1.0, np.nan], np.eye(2), 0.05, r"must be finite numbers"),
        ([1.0, 2.0], np.full((2, 2), np.inf), 0.05, r"must be finite numbers"),
        ([1.0, 2.0], np.array([[1.0, 2.0], [2.0, 1.0]]), 0.05, r"no difference of negative variance"),
        ([1.0, 2.0], np.array([[1.0, 0.5], [0.0, 1.0]]), 0.05, r"must be symmetric"),
        ([1.0], np.array([[-1.0]]), 0.05, r"negative variance"),
    ],
)
def test_what_is_no_covariance_is_refused(scores, covariance, level, message):
    with pytest.raises(ArgumentError, match=message):
        separate(np.array(scores), covariance, level)


# Ranks and ties


def test_a_tie_is_not_transitive():
    found = independent([0.7, 0.9, 0.8], 0.04)
    assert pairs(found) == {(0, 1): True, (0, 2): False, (1, 2): False}
    assert found.groups == (("b",), ("a",), ("a", "b"))
    assert (found.rank_low.tolist(), found.rank_high.tolist()) == ([2, 1, 1], [3, 2, 3])


def test_a_model_of_large_error_ties_across_others():
    found = independent([1.0, 0.5, 0.4], np.array([0.01, 0.01, 1.0]))
    assert pairs(found) == {(0, 1): True, (0, 2): False, (1, 2): False}
    assert found.groups == (("a",), ("b",), ("b",))
    assert (found.rank_low.tolist(), found.rank_high.tolist()) == ([1, 2, 1], [2, 3, 3])


@pytest.mark.parametrize(
    ("scores", "groups"),
    [
        ([0.9, 0.9, 0.9], "a a a"),
        ([0.9, 0.5, 0.1], "a b c"),
        ([0.9, 0.8, 0.2, 0.1], "a a b b"),
        ([0.9, 0.8, 0.7, 0.6], "a ab bc c"),
        ([0.9, 0.85, 0.74, 0.7], "a ab ab b"),
    ],
)
def test_tie_groups_of_cases_by_hand(scores, groups):
    # Two scores are separated here if they differ by more than 0.17.
    apart = np.abs(np.subtract.outer(scores, scores)) > 0.17
    assert tie_groups(np.array(scores), apart) == tuple(map(tuple, groups.split()))


def test_letters_go_on_after_z():
    found = independent(np.arange(30)[::-1], 0.01)
    assert ["".join(g) for g in found.groups[24:]] == ["y", "z", "aa", "ab", "ac", "ad"]


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 12), seeds, st.sampled_from([0.003, 0.03, 0.3]))
def test_ranks_and_groups_agree_with_the_separations(m, seed, spread):
    rng = np.random.default_rng(seed)
    scores, stderr = rng.uniform(0, 1, m), spread * rng.uniform(0.1, 1, m)
    factors = rng.standard_normal((m, 3)) + rng.standard_normal()
    factors *= (stderr / np.linalg.norm(factors, axis=1))[:, None]
    found = separate(scores, factors @ factors.T)
    apart = pairs(found)
    for k in range(m):
        others = [(j, apart[min(j, k), max(j, k)]) for j in range(m) if j != k]
        assert found.rank_low[k] == 1 + sum(s and scores[j] > scores[k] for j, s in others)
        assert found.rank_high[k] == m - sum(s and scores[j] < scores[k] for j, s in others)
    rank = (-scores).argsort().argsort() + 1
    assert (found.rank_low <= rank).all()
    assert (rank <= found.rank_high).all()
    order = np.argsort(-scores)
    place = {model: p for p, model in enumerate(order)}
    members = {}
    for model in order:
        for letter in found.groups[model]:
            members.setdefault(letter, []).append(model)
    assert list(members) == [chr(ord("a") + k) for k in range(len(members))]
    for group in members.values():
        assert [place[k] for k in group] == list(range(place[group[0]], place[group[0]] + len(group))), "a run"
        assert not any(apart[min(pair), max(pair)] for pair in combinations(group, 2))
        for end in (place[group[0]] - 1, place[group[-1]] + 1):
            if 0 <= end < m:
                assert any(apart[min(k, order[end]), max(k, order[end])] for k in group), "no longer run"
    for one, other in combinations(map(set, members.values()), 2):
        assert not one <= other
        assert not other <= one


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 8), seeds)
def test_the_order_of_the_models_changes_nothing(m, seed):
    rng = np.random.default_rng(seed)
    scores, factors = rng.uniform(0, 1, m), 0.1 * rng.standard_normal((m, m))
    covariance, order = factors @ factors.T, rng.permutation(m)
    found, moved = separate(scores, covariance), separate(scores[order], covariance[np.ix_(order, order)])
    np.testing.assert_array_equal(found.rank_low[order], moved.rank_low)
    np.testing.assert_array_equal(found.rank_high[order], moved.rank_high)
    assert [found.groups[k] for k in order] == list(moved.groups)


# Simulated encoders: each draw adds an error that all share and one of its own


def simulated(rng, truth, draws=400, shared=1.0, own=1.0):
    """Return scores, and contributions estimated from the same draws, as an estimator would."""
    values = shared * rng.standard_normal(draws) + own * rng.standard_normal((len(truth), draws))
    return truth + values.mean(axis=1), (values - values.mean(axis=1, keepdims=True)) / draws


def test_equal_encoders_are_separated_no_more_often_than_the_level():
    rng = np.random.default_rng(20)
    repetitions, any_separated, any_raw = 400, 0, 0
    for _ in range(repetitions):
        scores, c = simulated(rng, np.full(20, 0.7))
        found = separate(scores, c @ c.T, LEVEL)
        any_separated += found.separated.any()
        any_raw += (found.p_value < LEVEL).any()
    assert any_separated / repetitions <= LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / repetitions)
    assert any_raw / repetitions > 0.5, "without the adjustment these encoders would be separated"
    assert any_separated > 0, "a comparison that never separates would pass"


def test_the_interval_of_a_difference_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(21)
    truth, repetitions, covered = np.array([0.9, 0.6]), 2000, 0
    for _ in range(repetitions):
        scores, c = simulated(rng, truth)
        found = separate(scores, c @ c.T, 0.1)
        covered += found.low[0] <= 0.3 <= found.high[0]
    assert abs(covered / repetitions - 0.9) < 3 * np.sqrt(0.09 / repetitions)


def simulated_roots(rng, roots, own, shared):
    """Draw κ² with errors of which a part is shared, and return it with the covariance of the errors."""
    covariance = shared * np.outer(own, own) + (1 - shared) * np.diag(own**2)
    return rng.multivariate_normal(roots**2, covariance), covariance


# Equal κ from nothing to well above its error; both errors alike, and very unlike; apart and paired.
@pytest.mark.parametrize("own", [np.array([1.0, 1.0]), np.array([1.0, 0.2]), np.geomspace(0.2, 1, 10)])
@pytest.mark.parametrize("shared", [0.0, 0.9])
@pytest.mark.parametrize("square", [0.0, 0.5, 1.0, 2.0, 9.0])
def test_equal_roots_near_zero_are_separated_no_more_often_than_the_level(own, shared, square):
    rng, repetitions = np.random.default_rng(24), 500
    drawn = [simulated_roots(rng, np.full(len(own), np.sqrt(square)), own, shared) for _ in range(repetitions)]
    separated = np.mean([separate_roots(x, c, LEVEL).separated.any() for x, c in drawn])
    # 4 standard errors: there are 30 cases.
    assert separated <= LEVEL + 4 * np.sqrt(LEVEL * (1 - LEVEL) / repetitions)


def test_a_roots_own_error_would_separate_equal_ones_near_zero():
    rng, own, repetitions = np.random.default_rng(25), np.array([1.0, 0.2]), 500
    separated = 0
    for _ in range(repetitions):
        squares, _ = simulated_roots(rng, np.array([0.7, 0.7]), own, 0.0)
        low, high = kappa_interval(squares, own)
        separated += separate(np.sqrt(np.maximum(squares, 0)), np.diag(((high - low) / 3.92) ** 2), LEVEL).separated[0]
    assert separated / repetitions > 0.12


@pytest.mark.parametrize("roots", [(0.3, 0.3), (1.0, 0.0), (1.4, 0.0), (2.0, 0.0), (3.0, 0.7), (1.0, 0.5), (6.0, 3.0)])
@pytest.mark.parametrize("shared", [0.0, 0.9])
@pytest.mark.parametrize("level", [0.05, 0.2])
def test_the_interval_of_a_difference_of_roots_covers_it(roots, shared, level):
    rng, own, repetitions = np.random.default_rng(26), np.array([1.0, 0.5]), 1000
    found = [separate_roots(*simulated_roots(rng, np.array(roots), own, shared), level) for _ in range(repetitions)]
    covered = np.mean([f.low[0] <= roots[0] - roots[1] <= f.high[0] for f in found])
    # Near 0 more, where a square that counts as 0 cannot be too low; two points below for what is an approximation.
    assert covered >= 1 - level - 0.02 - 3 * np.sqrt(level * (1 - level) / repetitions)


@given(st.floats(0.2, 1), st.floats(0.2, 1), st.floats(0.0, 0.9))
def test_far_from_zero_roots_differ_with_the_error_of_their_slopes(one, other, shared):
    # (dx/2√x)² each; the terms of the next order are (0.01/0.2)² in relation.
    own = 0.01 * np.array([one, other]) ** 2
    covariance = shared * np.outer(own, own) + (1 - shared) * np.diag(own**2)
    found = separate_roots(np.array([one, other]) ** 2, covariance)
    slopes = np.diag(1 / np.array([2 * one, -2 * other]))
    assert found.difference[0] == pytest.approx(one - other, abs=1e-12)
    assert found.stderr[0] == pytest.approx(np.sqrt((slopes @ covariance @ slopes).sum()), rel=0.01)


@given(st.lists(st.floats(-1, 4), min_size=2, max_size=5), seeds, st.sampled_from([0.05, 0.3]))
def test_an_interval_leaves_zero_out_where_the_squares_differ_and_only_there(squares, seed, level):
    errors = np.random.default_rng(seed).normal(size=(len(squares), 3))
    found = separate_roots(np.array(squares), errors @ errors.T, level)
    outside = (found.low > 0) | (found.high < 0)
    assert (found.p_value[outside] < level * 1.001).all()
    apart = found.p_value < level
    assert ((found.low >= 0) | (found.high <= 0))[apart].all()
    assert ((found.low <= found.difference) & (found.difference <= found.high)).all()


def test_roots_of_nothing_tie():
    found = separate_roots(np.array([-0.5, 0.0, 0.9]), np.diag([0.01, 0.01, 0.01]))
    assert found.difference.tolist() == pytest.approx([0.0, -np.sqrt(0.9), -np.sqrt(0.9)])
    assert found.p_value[0] == 1
    assert -found.low[0] == pytest.approx(found.high[0]) == pytest.approx(0.443, abs=0.001)
    assert found.groups == (("b",), ("b",), ("a",))
    exact = separate_roots(np.array([0.25, 0.25, 0.36]), np.zeros((3, 3)))
    assert [exact.low.tolist(), exact.high.tolist()] == [[0.0, *exact.difference[1:]]] * 2


def simulated_reports(made, truth, repetitions, seed, **errors):
    one, other = made("org/one", 0.5), made("org/two", 0.5)
    rng = np.random.default_rng(seed)
    for _ in range(repetitions):
        scores, c = simulated(rng, truth, **errors)
        stderr = np.linalg.norm(c, axis=1)
        reports = [
            report.model_copy(update={"synbench_score": s, "stderr": e, "interval": [s - 2 * e, s + 2 * e]})
            for report, s, e in zip((one, other), scores.tolist(), stderr.tolist(), strict=True)
        ]
        yield scores, of_reports(reports, list(c)).differences[0], of_reports(reports, [None, None]).differences[0]


def test_the_paired_standard_error_is_the_spread_of_the_difference(made):
    found = list(simulated_reports(made, np.array([0.9, 0.6]), 1000, seed=22))
    spread = np.std([scores[0] - scores[1] for scores, _, _ in found])
    paired = np.mean([p.stderr for _, p, _ in found])
    unpaired = np.mean([u.stderr for _, _, u in found])
    # The spread of 1000 repetitions is known to 1/√2000 = 2.2 %.
    assert paired == pytest.approx(spread, rel=0.07)
    assert unpaired == pytest.approx(spread * np.sqrt(2), rel=0.07), "without pairing the shared half is counted"
    assert all(p.paired and not u.paired for _, p, u in found)


def test_pairing_separates_more(made):
    found = list(simulated_reports(made, np.array([0.9, 0.88]), 200, seed=23, shared=3.0, own=0.05))
    assert np.mean([p.separated for _, p, _ in found]) > 0.9
    assert np.mean([u.separated for _, _, u in found]) < 0.1


# Reports


def test_entries_are_those_of_the_reports_in_order_of_falling_score(comparison):
    assert [e.report for e in comparison.entries] == [5, 1, 2, 4, 3, 6, 7, 0]
    best, second = comparison.entries[:2]
    assert (best.model, best.trained, best.score, best.stderr) == ("some/b", False, 0.97, 0.005)
    assert best.interval == pytest.approx([0.96, 0.98])
    assert (second.trained, second.baseline_score, best.baseline_score) == (True, 0.97, None)
    assert (second.kappa, second.kappa_stderr, second.images) == (0.5, 0.01, comparison.reports[1].images)
    assert comparison.entries[5].image_shape == [3, 32, 32]
    assert (comparison.protocol, comparison.epsilon, comparison.threshold) == ("paper", 0.0, 0.7)


def test_names_are_told_apart_only_where_that_is_needed(comparison, made):
    assert names(comparison)[:6] == [
        "some/b (untrained twin)", "some/b", "some/c", "some/d @ fedcba987654", "some/d @ 0123456789ab", "wide/e",
    ]  # fmt: skip
    nets = [made("Net", value, model={"source": "module", "weights_sha256": None}) for value in (0.5, 0.6)]
    assert names(of_reports(nets, [None, None])) == ["Net [1]", "Net [0]"]


def test_other_cells_are_read_from_the_tables(made):
    found = of_reports([made("one", 0.8), made("two", 0.4)], [None, None], epsilon=0.2, threshold=0.8 + 1e-12)
    best = found.entries[0]
    assert (best.score, best.stderr, best.interval, best.kappa) == (0.4, 0.005, pytest.approx([0.39, 0.41]), 1.5)
    assert best.kappa_stderr == 0.02


def test_the_headline_is_there_whatever_the_grid(made, base):
    few = {k: [base.to_dict()[k][1]] for k in ("accuracy", "bound")} | {"epsilons": [0.2], "thresholds": [0.8]}
    few |= {"scores": [[0.1]], "scores_stderr": [[0.1]], "scores_interval": [[[0.0, 0.2]]]}
    few |= {"kappa": [0.5], "kappa_stderr": [0.1], "kappa_interval": [[0.3, 0.7]]}
    found = of_reports([made("one", 0.8, changes=few), made("two", 0.4)], [None, None])
    assert (found.entries[0].score, found.entries[0].kappa, found.entries[1].kappa) == (0.8, None, 0.5)


def test_the_baseline_is_of_the_headline_only(made):
    twin = {"baseline": SimpleNamespace(synbench_score=0.97, kappa=None)}
    reports = [made(name, 0.5).model_copy(update=twin) for name in ("one", "two")]
    assert of_reports(reports, [None, None]).entries[0].baseline_score == 0.97
    assert of_reports(reports, [None, None], threshold=0.8).entries[0].baseline_score is None


def test_a_correlation_is_scaled_to_the_standard_errors_of_the_reports(made):
    reports = [made("low", 0.4, 0.03), made("high", 0.8, 0.01)]
    (found,) = of_reports(reports, [np.array([2.0, 0.0]), np.array([3.0, 3.0])]).differences
    assert found.stderr == pytest.approx(np.sqrt(0.03**2 + 0.01**2 - 2 * 0.03 * 0.01 / np.sqrt(2)))
    assert (found.first, found.second, found.difference) == (0, 1, pytest.approx(0.4))


@pytest.mark.parametrize(
    ("change", "contributions"),
    [
        ({}, [np.ones(4), None]),
        ({}, [np.ones(4), np.ones(5)]),
        ({"seed": 1}, [np.ones(4)] * 2),
        ({"seed": None}, [np.ones(4)] * 2),
        ({"image_shape": [3, 32, 32]}, [np.ones(4)] * 2),
        ({"device": "cuda:0"}, [np.ones(4)] * 2),
        ({"direction": "another"}, [np.ones(4)] * 2),
        ({"changes": {"images": 128}}, [np.ones(4)] * 2),
    ],
)
def test_other_images_are_unpaired_and_the_record_says_so(made, change, contributions):
    found = of_reports([made("one", 0.8, 0.03), made("two", 0.7, 0.04, **change)], contributions)
    assert not found.differences[0].paired
    assert found.differences[0].stderr == pytest.approx(0.05)
    assert any("1 of 1 pairs are unpaired" in warning for warning in found.warnings)
    sizes = [w for w in found.warnings if "scored at different input sizes: 3×16×16 for reports[0] (one); 3×32" in w]
    assert len(sizes) == ("image_shape" in change)


def test_unlike_widths_are_warned_about_where_they_bias(made):
    found = of_reports([made("one", 0.8), made("two", 0.7, model={"dimension": 768})], [np.ones(4)] * 2)
    assert found.warnings[0].startswith("The paper protocol is biased by the width of the representation, and the")
    assert "64 dimensions for reports[0] (one); 768 dimensions for reports[1] (two)" in found.warnings[0]


def test_paired_reports_carry_no_warning(made):
    found = of_reports([made("one", 0.8), made("two", 0.7, device="cpu")], [np.ones(4)] * 2)
    assert found.differences[0].paired
    assert found.warnings == []


def test_an_encoder_without_any_error_is_compared(made):
    found = of_reports([made("one", 0.8, 0.0), made("two", 0.7, 0.01)], [np.zeros(4), np.ones(4)])
    assert found.differences[0].stderr == 0.01


def test_added_representations_are_compared_unpaired(made):
    bare = dict.fromkeys(("model", "preprocessing", "precision", "device", "seed", "image_shape", "batch_size"))
    report = made("one", 0.8)
    added = report.model_copy(update={"settings": report.settings.model_copy(update=bare)})
    found = of_reports([added, added, report], [np.ones(4)] * 3)
    assert [e.trained for e in found.entries] == [None, None, True]
    assert names(found) == ["added representations [0]", "added representations [1]", "one"]
    assert not any(d.paired for d in found.differences)


MIXED = {
    "protocol": "protocol, got paper for reports[0] (one); population for reports[1] (two).",
    "scales": "grid of scales, got [1, 2] for reports[0] (one); [1, 2.5] for reports[1] (two).",
    "dtype": "precision, got float32 for reports[0] (one); bfloat16 for reports[1] (two).",
}


def mixed(made, what):
    other = made("two", 0.7)
    if what == "protocol":
        other = other.model_copy(update={"protocol": "population"})
    elif what == "scales":
        other = made("two", 0.7, changes={"scales": [1.0, 2.5]})
    else:
        other = made("two", 0.7, precision={"dtype": "bfloat16", "tf32": False, "reason": "asked for"})
    return [made("one", 0.8), other]


@pytest.mark.parametrize("what", MIXED)
def test_mixed_reports_are_refused_or_warned_about(made, what):
    reports = mixed(made, what)
    with pytest.raises(ArgumentError) as refusal:
        of_reports(reports, [None, None])
    assert f"expected results of one {MIXED[what]}" in str(refusal.value)
    assert "allow_mixed=True" in str(refusal.value)
    found = of_reports(reports, [None, None], allow_mixed=True)
    assert found.warnings[0].startswith(f"The results are not of one {MIXED[what].replace(', got', ':')}")
    assert found.protocol == ("mixed" if what == "protocol" else "paper")


def test_protocols_and_scales_that_differ_are_never_paired(made):
    for what in ("protocol", "scales"):
        assert not of_reports(mixed(made, what), [np.ones(4)] * 2, allow_mixed=True).differences[0].paired


def test_too_few_reports_are_refused(made):
    with pytest.raises(ArgumentError, match=r"at least two reports, got 1\. Score another"):
        of_reports([made("one", 0.8)], [None])


@pytest.mark.parametrize(
    ("contributions", "message"),
    [
        ([None], r"one vector, or None, for each of the 2 reports, got 1"),
        ([None, np.ones((2, 2))], r"contributions\[1\] has the shape \(2, 2\)"),
        ([np.array([]), None], r"contributions\[0\] has the shape \(0,\)"),
        ([np.array([np.nan]), None], r"contributions\[0\] .* is not finite. Pass None"),
    ],
)
def test_contributions_that_do_not_fit_are_refused(made, contributions, message):
    with pytest.raises(ArgumentError, match=message):
        of_reports([made("one", 0.8), made("two", 0.8)], contributions)


def test_the_authors_script_is_compared_with_itself_only(made):
    reports = [made("one", 0.8), made("two", 0.8, as_published=True)]
    for allowed in (False, True):
        with pytest.raises(ArgumentError, match=r"script or none, got as_published=False for .*one.*; True for .*two"):
            of_reports(reports, [None, None], allow_mixed=allowed)


@pytest.mark.parametrize(
    ("changes", "cell", "message"),
    [
        ({}, {"epsilon": 0.3}, r"score at ε = 0\.3, a_t = 0\.7, but reports\[0\] \(one\) has rows for ε = \[0, 0\.2"),
        ({}, {"threshold": 0.9}, r"a_t = 0\.9, but .* columns for a_t = \[0\.7, 0\.8\]\. Choose a cell that every"),
        ({"synbench_score": None}, {}, r"that of reports\[1\] \(two\) is undefined; its warnings say why"),
        ({"stderr": None}, {}, r"at ε = 0, a_t = 0\.7, but reports\[1\] \(two\) has none: without them no two"),
        ({"interval": None}, {}, r"reports\[1\] \(two\) has none"),
        ({"scores_stderr": None}, {"threshold": 0.8}, r"a_t = 0\.8, but reports\[1\] \(two\) has none"),
        ({"scores_interval": None}, {"threshold": 0.8}, r"a_t = 0\.8, but reports\[1\] \(two\) has none"),
    ],
)
def test_what_a_report_does_not_say_is_refused(made, changes, cell, message):
    reports = [made("one", 0.8), made("two", 0.8).model_copy(update=changes)]
    with pytest.raises(ArgumentError, match=message):
        of_reports(reports, [None, None], **cell)


def test_a_long_grid_is_told_by_its_ends(made, base):
    grid = {"thresholds": [0.6 + k / 40 for k in range(12)]}
    grid |= {name: [[cell] * 12 for _ in base.epsilons] for name, cell in (("scores", 0.1), ("scores_stderr", 0.1))}
    grid |= {"scores_interval": [[[0.0, 0.2]] * 12 for _ in base.epsilons]}
    with pytest.raises(ArgumentError, match=r"columns for a_t = 12 values from 0\.6 to 0\.875"):
        of_reports([made("one", 0.8, changes=grid), made("two", 0.7)], [None, None], threshold=0.99)


def test_an_undefined_cell_is_refused(made):
    two = made("two", 0.8)
    two = two.model_copy(update={"scores": [[0.4, None], *two.scores[1:]]})
    with pytest.raises(ArgumentError, match=r"a_t = 0\.8, but that of reports\[1\] \(two\) is undefined"):
        of_reports([made("one", 0.8), two], [None, None], threshold=0.8)


def test_one_encoder_twice_is_refused_but_not_its_twin_or_another_commit(made):
    one = made("one", 0.8)
    with pytest.raises(ArgumentError, match=r"reports\[0\] \(one\) and reports\[2\] \(one\) are the same model"):
        of_reports([one, made("two", 0.8), made("one", 0.7, seed=3)], [None] * 3)
    for other in ({"trained": False}, {"commit": "0" * 40}, {"weights_sha256": "0" * 64}):
        assert len(of_reports([one, made("one", 0.7, model=other)], [None, None]).entries) == 2


# By κ


def with_kappa(made, name, kappa, stderr=0.01, *, score=0.8, changes=None, **settings):
    rows = len(made(name, score).epsilons)
    low, high = kappa_interval(np.array(kappa**2), np.array(2 * kappa * stderr))
    changes = {**(changes or {}), "kappa": [kappa] * rows, "kappa_stderr": [stderr] * rows}
    changes["kappa_interval"] = [[float(low), float(high)]] * rows
    return made(name, score, changes=changes, **settings)


def test_kappa_is_ordered_and_told_apart_by_its_own_errors(made):
    reports = [with_kappa(made, "low", 0.4, 0.01, score=0.9), with_kappa(made, "high", 0.6, 0.02, score=0.2)]
    found = of_reports(reports, [np.array([2.0, 0.0]), np.array([3.0, 3.0])], measure="kappa")
    assert [(e.model, e.kappa, e.score) for e in found.entries] == [("high", 0.6, 0.2), ("low", 0.4, 0.9)]
    (pair,) = found.differences
    assert pair.difference == pytest.approx(0.2)
    assert pair.stderr == pytest.approx(np.sqrt(0.01**2 + 0.02**2 - 2 * 0.01 * 0.02 / np.sqrt(2)), rel=0.02)
    squared = (0.6**2 - 0.4**2) / np.sqrt(0.008**2 + 0.024**2 - 2 * 0.008 * 0.024 / np.sqrt(2))
    assert pair.p_value == pytest.approx(2 * stats.norm.sf(squared))
    assert [e.model for e in of_reports(reports, [None, None]).entries] == ["low", "high"]
    assert Comparison.from_dict(json.loads(found.to_json())) == found


@pytest.mark.parametrize(("square", "error"), [(0.04, 0.01), (0.01, 0.02), (-0.03, 0.02), (0.99, 0.02), (1.0, 0.3)])
def test_the_error_of_the_square_is_in_the_interval_of_kappa(made, square, error):
    low, high = kappa_interval(np.array(square), np.array(error), most=1.0)
    kappa = float(np.sqrt(max(square, 0)))
    report = with_kappa(made, "one", kappa).model_copy(update={"kappa_interval": [[float(low), float(high)]] * 9})
    assert read(report, "one", 0.0, 0.7, "kappa").of_squared_kappa() == pytest.approx((kappa**2, error))


def test_a_kappa_is_compared_where_there_is_no_score(made):
    bare = {"synbench_score": None, "stderr": None, "interval": None}
    reports = [with_kappa(made, n, k, direction="texture", changes=bare) for n, k in (("one", 0.1), ("two", 0.3))]
    found = of_reports(reports, [None, None])
    assert [(e.kappa, e.score, e.interval) for e in found.entries] == [(0.3, None, None), (0.1, None, None)]
    assert rows(found)[0][-1] == "–"
    row = next(csv.DictReader(io.StringIO(found.to_csv(), newline="")))
    assert (row["score"], row["interval_low"], row["kappa"]) == ("", "", "0.3")
    assert Comparison.from_dict(json.loads(found.to_json())) == found
    with pytest.raises(ArgumentError, match="is undefined; its warnings say why"):
        of_reports(reports, [None, None], measure="score")


def test_textures_are_compared_by_kappa_unless_it_is_said_otherwise(made):
    reports = [with_kappa(made, name, kappa, direction="texture") for name, kappa in (("one", 0.1), ("two", 0.3))]
    assert of_reports(reports, [None, None]).measure == "kappa"
    assert of_reports(reports, [None, None], measure="score").measure == "score"
    assert of_reports([made("one", 0.8), made("two", 0.7)], [None, None]).measure == "score"


def test_the_table_and_the_picture_are_of_kappa(made):
    twin = {"baseline": SimpleNamespace(synbench_score=0.97, kappa=[0.05] * 9)}
    reports = [
        with_kappa(made, "one", 0.2, direction="texture").model_copy(update=twin),
        with_kappa(made, "two", 0.3, direction="texture", score=0.25),
    ]
    found = of_reports(reports, [None, None])
    assert [entry.baseline_kappa for entry in found.entries] == [None, 0.05]
    assert headings(found) == ("rank", "ties", "model", "κ", "95 % interval", "score")
    low, high = found.entries[0].kappa_interval
    assert rows(found)[0] == ("1", "a", "two", "0.300 ± 0.020", f"[{low:.3f}, {high:.3f}]", "0.250")
    (axes,) = plot_comparison(found).axes
    assert axes.get_xlabel() == "κ of textures (ε = 0)"
    assert marks(axes, "o") == {(0.3, 0), (0.2, 1)}
    assert marks(axes, "D") == {(0.05, 1)}, "the twin's κ, not its score, has a place among κ"
    assert marks(axes, "|") == {(end, y) for y, e in enumerate(found.entries) for end in e.kappa_interval}
    assert "the optimum is 1" in {text.get_text() for text in axes.texts}
    assert axes.get_xlim() == (0, pytest.approx(1.1 * high)), "far from 1, the axis ends where the marks do"
    kept = [with_kappa(made, name, kappa, direction="texture") for name, kappa in (("one", 0.2), ("two", 0.7))]
    (axes,) = plot_comparison(of_reports(kept, [None, None])).axes
    assert "the optimum" in {text.get_text() for text in axes.texts}
    assert axes.get_xlim() == (0, 1.04)


@pytest.mark.parametrize(
    ("changes", "epsilon", "message"),
    [
        ({"kappa": None}, 0.0, r"has no κ: it is of the paper protocol. Score it again by the population"),
        ({"kappa_stderr": None}, 0.0, r"has no interval: 64 images were too few for the width"),
        ({"kappa_interval": [None] * 9}, 0.0, r"has no interval: 64 images were too few"),
        ({}, 0.3, r"κ and its interval at ε = 0\.3, but reports\[0\] \(one\) has rows for ε = \[.*Choose an ε"),
    ],
)
def test_reports_without_kappa_are_not_compared_by_it(made, changes, epsilon, message):
    bare = with_kappa(made, "two", 0.3).model_copy(update=changes)
    with pytest.raises(ArgumentError, match=message):
        of_reports([with_kappa(made, "one", 0.1), bare], [None, None], epsilon=epsilon, measure="kappa")


def test_another_measure_is_refused_before_anything_is_scored():
    with pytest.raises(ArgumentError, match="measure must be 'score' or 'kappa', got 'accuracy'"):
        compare(["synbench:demo", "org/none"], measure="accuracy")


# The record


def test_round_trip(valid):
    assert Comparison.from_dict(valid.to_dict()) == valid
    assert Comparison.from_dict(json.loads(valid.to_json())) == valid
    assert [(d.first, d.second, d.paired) for d in valid.differences] == [(0, 1, False), (0, 2, True), (1, 2, False)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v | {"schema_version": 1}, r"schema version 2, but schema_version: .* Read it with the SynBench"),
        (lambda v: v | {"surprise": 1}, r"surprise: Extra inputs are not permitted"),
        (lambda v: v | {"level": float("nan")}, r"level: Input should be"),
        (lambda v: v | {"entries": v["entries"][:2]}, r"entries must name each of the reports once"),
        (lambda v: v | {"entries": v["entries"][::-1]}, r"entries must be in order of falling score"),
        (
            lambda v: v | {"measure": "kappa", "entries": [e | {"kappa": None} for e in v["entries"]]},
            r"must have a kappa and its interval",
        ),
        (lambda v: v | {"differences": v["differences"][1:]}, r"differences must hold every pair of entries once"),
        (lambda v: v | {"reports": [{}, *v["reports"][1:]]}, r"reports\.0\.\w+: Field required"),
    ],
)
def test_foreign_records_are_refused(valid, change, message):
    with pytest.raises(ArgumentError, match=message):
        Comparison.from_dict(change(valid.to_dict()))


def test_csv_comes_back(valid):
    text = valid.to_csv()
    assert text.endswith("\r\n")
    found = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["model"] for row in found] == ['org/two, or "2"', "org/three", "org/one"]
    for row, entry in zip(found, valid.entries, strict=True):
        assert [float(row[k]) for k in ("score", "stderr", "interval_low", "interval_high", "kappa")] == [
            entry.score, entry.stderr, *entry.interval, entry.kappa,
        ]  # fmt: skip
        assert [int(row[k]) for k in ("rank_low", "rank_high", "images", "report")] == [
            entry.rank_low, entry.rank_high, entry.images, entry.report,
        ]  # fmt: skip
        assert (row["groups"].split(), row["trained"]) == (entry.groups, str(entry.trained))
        assert (row["image_shape"], row["baseline_score"]) == ("3×16×16", "")
        assert [float(row[k]) for k in ("kappa_low", "kappa_high")] == entry.kappa_interval


def test_rows_tell_ranks_ties_and_as_many_digits_as_there_are(comparison, made):
    told = rows(comparison)
    assert told[0] == ("1", "a", "some/b (untrained twin)", "0.970 ± 0.010", "[0.960, 0.980]", "0.500")
    assert told[1][:3] == ("2–3", "b", "some/b")
    assert told[2][:3] == ("2–5", "b c", "some/c")
    sharp = made("one", 0.123456, 0.0001), made("two", 0.5, 0.01).model_copy(update={"kappa": None})
    assert rows(of_reports(sharp, [None, None])) == [
        ("1", "a", "two", "0.50000 ± 0.02000", "[0.48000, 0.52000]", "–"),
        ("2", "b", "one", "0.12346 ± 0.00020", "[0.12326, 0.12366]", "0.500"),
    ]


# The picture


def marks(axes, symbol):
    return {(x, y) for line in axes.get_lines() if line.get_marker() == symbol for x, y in line.get_xydata().tolist()}


def test_marks_are_the_scores_and_bars_their_intervals(comparison):
    (axes,) = plot_comparison(comparison).axes
    entries = list(enumerate(comparison.entries))
    assert marks(axes, "o") == {(e.score, y) for y, e in entries if e.trained}
    assert marks(axes, "D") == {(0.97, 0), (0.97, 1)}, "the untrained twin as an entry, and as a baseline"
    assert marks(axes, "|") == {(end, y) for y, e in entries for end in e.interval}
    assert axes.get_xlim()[0] == 0
    assert axes.get_xlim()[1] > 1
    assert axes.yaxis_inverted(), "best on top"


def test_names_and_letters_stand_beside_their_row(comparison):
    (axes,) = plot_comparison(comparison).axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[:2] == ["some/b (untrained twin)", "some/b"]
    assert labels[6] == "a-long-organization-…el-with-a-long-name"
    assert len(labels[6]) == 40
    letters = {
        text.xy[1]: text.get_text().split() for text in axes.texts if text.xy[0] == 1 and text.xycoords[1] == "data"
    }
    assert letters == {y: entry.groups for y, entry in enumerate(comparison.entries)}
    assert "image space" in {text.get_text() for text in axes.texts}
    assert axes.get_xlabel() == "SynBench-Score (ε = 0, $a_t$ = 0.7)"


def test_a_dollar_in_a_name_is_no_formula(made):
    found = of_reports([made("$a_b$", 0.5), made("c", 0.4)], [None, None])
    (axes,) = plot_comparison(found).axes
    assert axes.get_yticklabels()[0].get_text() == r"\$a_b\$"


def test_the_picture_grows_with_the_models_and_many_groups_are_ranges(made, comparison):
    many = of_reports([made(f"model-{k}", 1.2 - 0.03 * k, 0.02) for k in range(30)], [None] * 30)
    figure = plot_comparison(many)
    assert figure.get_figheight() > 2 * plot_comparison(comparison).get_figheight()
    told = {text.get_text() for text in figure.axes[0].texts}
    assert "–".join((many.entries[10].groups[0], many.entries[10].groups[-1])) in told
    assert figure.axes[0].get_xlim()[1] > many.entries[0].interval[1]


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_formats_follow_the_ending_and_files_repeat(comparison, tmp_path, ending, magic):
    for name in ("a", "b"):
        save_comparison(comparison, tmp_path / f"{name}.{ending}")
    first, second = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("a", "b"))
    assert first.startswith(magic)
    assert first == second
    assert b"CreationDate" not in first
    assert b"<dc:date>" not in first


def test_bad_files_are_refused(comparison, tmp_path):
    with pytest.raises(ArgumentError, match=r"must end in \.png, \.svg or \.pdf, got"):
        save_comparison(comparison, tmp_path / "plot.gif")
    with pytest.raises(OutputError, match=r"cannot write .*Give a file in a folder that exists"):
        save_comparison(comparison, tmp_path / "missing" / "plot.png")
