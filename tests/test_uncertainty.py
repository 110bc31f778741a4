"""Intervals contain the truth as often as they say, and standard errors are the spread of many studies."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from synbench import curve, paper
from synbench.population import estimate
from synbench.representations import Representations
from synbench.separation import separate
from synbench.settings import SCALES
from synbench.uncertainty import (
    QUANTILE,
    contributions,
    kappa_contributions,
    kappa_interval,
    mean_kappa,
    paper_scores,
    population_scores,
    squared_kappa,
)

from .linear import LinearEncoder
from .test_population import true_scores

EPSILONS = [0.0, 0.4]


def coverage_bounds(studies, level=0.95, errors=3.5):
    """Return what a share of hits may be: 93 to 97 %, widened by the binomial error of so many studies."""
    spread = errors * np.sqrt(level * (1 - level) / studies)
    return 0.93 - spread, min(0.97 + spread, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [0.12, 0.42, 0.8], ids=["near 0", "middle", "high"])
def test_population_intervals_contain_the_truth(wanted):
    studies, encoder = 150, LinearEncoder(32, wanted)
    truth = true_scores(encoder.kappas[[0, 2]], [0.6, 0.7])
    kappas = encoder.kappas[[0, 2]]
    hits, kappa_hits, values, stderr = [], [], [], []
    for seed in range(studies):
        found = estimate(encoder.represent(seed, 1536), SCALES, EPSILONS)
        scores = population_scores(found, [0.6, 0.7])
        hits.append((scores.lower <= truth) & (truth <= scores.upper))
        low, high = kappa_interval(found.squared[0], found.stderr[0], found.most)
        kappa_hits.append((low <= kappas) & (kappas <= high))
        values.append(scores.values)
        stderr.append(scores.stderr)
    least, most = coverage_bounds(studies)
    for share in (np.mean(hits, axis=0), np.mean(kappa_hits, axis=0)):
        # A score of exactly 0, which every study sees, is covered always.
        assert (share >= least).all(), share
    assert (np.mean(kappa_hits, axis=0) <= most).all()
    spread = np.std(values, axis=0)
    seen = spread > 0.004
    # A standard deviation from 150 studies is known to 6 %: 4 of these, and a tenth for the curvature near 0.
    ratio = np.sqrt(np.mean(np.square(stderr), axis=0))[seen] / spread[seen]
    assert (np.abs(np.log(ratio)) < 0.35).all(), ratio


@pytest.mark.slow
def test_paper_intervals_contain_the_expectation_of_the_protocol():
    scales, n, studies = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0], 256, 200
    values, lower, upper, stderr = [], [], [], []
    for seed in range(studies):
        found = paper_scores(paper.estimate(paper_study(seed, scales, n), EPSILONS), [0.6, 0.7])
        values.append(found.values), lower.append(found.lower), upper.append(found.upper), stderr.append(found.stderr)
    truth = np.mean(values, axis=0)
    share = ((np.array(lower) <= truth) & (truth <= np.array(upper))).mean(axis=0)
    least, _ = coverage_bounds(studies)
    assert (share >= least).all(), share
    ratio = np.mean(stderr, axis=0) / np.std(values, axis=0)
    assert (np.abs(np.log(ratio)) < 0.3).all(), ratio


def paper_study(seed, scales, n):
    rng = np.random.default_rng([9, seed])
    direction = np.array([0.5, 0.3, 0.2, 0.1])
    for scale in scales:
        labels = np.arange(2 * n) % 2
        values = rng.standard_normal((2 * n, 4)) + np.outer((2 * labels - 1) * scale, direction)
        yield Representations(values.astype(np.float32), labels, np.full(2 * n, scale), np.repeat([False, True], n))


def test_interval_does_not_shrink_with_anything_but_images():
    encoder = LinearEncoder(16, 0.4)
    few, many = (estimate(encoder.represent(1, n), SCALES, EPSILONS) for n in (2048, 8192))
    ratio = population_scores(few, [0.7]).stderr / population_scores(many, [0.7]).stderr
    assert (np.abs(np.log(ratio / 2)) < 0.25).all()
    assert (np.abs(np.log(few.stderr / many.stderr / 2)) < 0.25).all()


def test_contributions_add_up_to_the_variance():
    found = estimate(LinearEncoder(16, 0.5).represent(1, 4096), SCALES, EPSILONS)
    for row in (0, 1):
        parts = contributions(found, 0.7, row)
        stderr = population_scores(found, [0.7]).stderr[row, 0]
        assert len(parts) == 3072
        # What is not by draw is the step of the grid and the noise of ĝ squared.
        assert 0.97 < np.sqrt(parts @ parts) / stderr <= 1 + 1e-9


def test_contributions_to_kappa_add_up_to_its_variance():
    found = estimate(LinearEncoder(16, 0.5).represent(1, 4096), SCALES, EPSILONS)
    for row in (0, 1):
        parts = kappa_contributions(found, row)
        low, high = kappa_interval(found.squared[0, row], found.stderr[0, row], found.most)
        assert 0.97 < np.sqrt(parts @ parts) / ((high - low) / (2 * QUANTILE)) <= 1.01


def test_contributions_to_a_kappa_of_nothing_are_finite():
    squared = []
    for seed in range(8):
        rows = LinearEncoder(16, 0.5).represent(seed, 1024)
        noise = np.random.default_rng(seed).standard_normal(rows.values.shape).astype(np.float32)
        found = estimate(replace(rows, values=noise), SCALES, [0.0])
        squared.append(found.squared[0, 0])
        assert np.isfinite(kappa_contributions(found)).all()
    assert min(squared) < 0, "as noise takes some of them below 0"


@pytest.mark.parametrize("of_kappa", [False, True])
def test_pairing_takes_away_what_two_encoders_share(of_kappa):
    """The same draws through an encoder and through it with a little noise more: the difference is known far better."""
    encoder = LinearEncoder(16, 0.5)
    differences, predicted, alone = [], [], []
    for seed in range(40):
        rows = encoder.represent(seed, 1024)
        noise = 0.2 * np.random.default_rng([3, seed]).standard_normal((rows.draws.max() + 1, 16))[rows.draws]
        noisy = Representations(
            (rows.values + noise @ encoder.root.T).astype(np.float32),
            rows.labels, rows.scales, rows.test, rows.coordinates, rows.draws,
        )  # fmt: skip
        one, other = (estimate(r, SCALES, [0.0]) for r in (rows, noisy))
        if of_kappa:
            scores = [found.kappas[0, 0] for found in (one, other)]
            c, d = kappa_contributions(one), kappa_contributions(other)
        else:
            scores = [population_scores(found, [0.7]).values[0, 0] for found in (one, other)]
            c, d = contributions(one, 0.7), contributions(other, 0.7)
        differences.append(scores[0] - scores[1])
        predicted.append(np.sqrt(np.sum((c - d) ** 2)))
        alone.append(np.sqrt(c @ c + d @ d))
    ratio = np.sqrt(np.mean(np.square(predicted))) / np.std(differences)
    # 40 studies know a standard deviation to 11 %: 3.5 of these.
    assert abs(np.log(ratio)) < 0.45, ratio
    assert np.mean(alone) > 2 * np.mean(predicted)


def banded(squared, stderr):
    """Make of κ² by band (rows) what ``mean_kappa`` reads of an estimate; columns are studies in the place of ε."""
    squared = np.asarray(squared, dtype=float)
    return SimpleNamespace(
        weights=np.full((7, len(squared)), 1 / len(squared)), squared=squared, most=np.inf,
        stderr=np.broadcast_to(np.asarray(stderr, dtype=float)[:, None], squared.shape),
        kappas=np.sqrt(np.maximum(squared, 0)), limited=np.zeros(squared.shape[1], dtype=bool),
    )  # fmt: skip


NEAR_ZERO = [
    [0.0] * 5, [0.5] * 5, [1.0] * 5, [1.5] * 5, [2.0] * 5, [0.5, 0.75, 1.0, 1.25, 1.5], [1.0, 1.5, 2.0, 2.5, 3.0],
    [0, 0, 0, 0, 1.0], [0, 0, 0, 0, 3.0], [0, 0, 0, 0, 10.0], [1, 1, 1, 10, 10], [3.0] * 5,
]  # fmt: skip


@pytest.mark.parametrize("kappas", NEAR_ZERO)
def test_the_interval_of_a_mean_over_bands_covers_it_near_zero_too(kappas):
    studies, truth = 4000, np.array(kappas, dtype=float)
    errors = np.random.default_rng(27).normal(size=(5, studies))
    found = mean_kappa(banded(truth[:, None] ** 2 + errors, np.ones(5)))
    covered = np.mean((found.lower <= truth.mean()) & (truth.mean() <= found.upper))
    assert covered >= coverage_bounds(studies)[0]
    assert ((found.lower <= found.values) & (found.values <= found.upper)).all()


@pytest.mark.parametrize("kappas", NEAR_ZERO)
@pytest.mark.parametrize("sharper", [0.05, 0.3])
def test_bands_near_zero_are_told_apart_from_an_equal_kappa_no_more_often_than_the_level(kappas, sharper):
    studies, truth, rng = 1000, np.array(kappas, dtype=float), np.random.default_rng(28)
    found = mean_kappa(banded(truth[:, None] ** 2 + rng.normal(size=(5, studies)), np.ones(5)))
    one = truth.mean() ** 2 + sharper * rng.normal(size=studies)
    ends = np.stack(kappa_interval(one, np.full(studies, sharper)), axis=1)
    apart = 0
    for k in range(studies):
        squares, errors = np.transpose([
            squared_kappa(found.values[k], [found.lower[k], found.upper[k]]),
            squared_kappa(np.sqrt(max(one[k], 0)), ends[k]),
        ])  # fmt: skip
        apart += separate(squares, np.diag(errors**2), 0.05).separated[0]
    # Where most bands are at 0 and one is far from it, their roots' excess is not noise: see squared_kappa.
    level = 0.08 if min(kappas) == 0 and max(kappas) > 5 else 0.05
    assert apart / studies <= level + 4 * np.sqrt(level * (1 - level) / studies)


def test_clear_of_zero_the_errors_of_bands_add_up_by_their_slopes():
    truth, stderr = np.array([0.2, 0.3, 0.5]), np.array([0.001, 0.002, 0.003])
    found = mean_kappa(banded(truth[:, None] ** 2, stderr))
    assert found.values[0] == pytest.approx(1 / 3)
    assert found.stderr[0] == pytest.approx(np.sqrt(((stderr / (2 * truth) / 3) ** 2).sum()), rel=0.001)


def test_kappa_interval_stays_in_its_range():
    low, high = kappa_interval(np.array([-0.1, 0.01, 0.99]), np.array([0.01, 0.1, 0.1]), most=1.0)
    assert low[0] == 0
    assert high[0] == pytest.approx((QUANTILE * 0.01) ** 0.5), "an estimate below 0 is no certainty"
    assert low[1] == 0
    assert high[2] == 1


def test_a_standard_error_is_never_zero_for_a_perfect_accuracy():
    correct = np.ones((100, 1), bool)
    error, _ = paper.standard_errors(correct, np.ones((100, 1)), np.ones(1), np.zeros(1))
    assert 0 < error[0] < 0.02


def test_level_is_95_percent():
    assert pytest.approx(stats.norm.cdf(QUANTILE) - stats.norm.cdf(-QUANTILE)) == 0.95
    assert curve.GRID[1] - curve.GRID[0] == pytest.approx(0.4 / 99)
