"""The population protocol: the score of known encoders, honest where its assumption fails, from any rows."""

import numpy as np
import pytest

from synbench import curve
from synbench.diagnostics import diagnose, projections
from synbench.discriminability import fit, kappa
from synbench.population import BANDS, estimate, observations
from synbench.representations import Representations
from synbench.settings import EPSILONS, SCALES, THRESHOLDS
from synbench.uncertainty import kappa_interval, population_scores

from .linear import LinearEncoder


def true_scores(kappas, thresholds=THRESHOLDS):
    accuracy, bound = curve.gaussian_trade_off(np.asarray(kappas)[:, None] * np.array(SCALES))
    return curve.scores(accuracy, bound, SCALES, thresholds)


def diagnosed(rows):
    seen = observations(rows)
    fitted = fit(seen)
    found = kappa(fitted, list(EPSILONS))
    return diagnose(seen, fitted, found, projections(seen, fitted, found), SCALES)


@pytest.mark.parametrize("wanted", [0.15, 0.42, 0.8])
def test_scores_of_a_linear_encoder_are_those_of_its_kappa(wanted):
    encoder = LinearEncoder(32, wanted)
    found = estimate(encoder.represent(1, 8192), SCALES, list(EPSILONS))
    scores = population_scores(found, THRESHOLDS)
    truth = true_scores(encoder.kappas)
    # 45 strongly dependent comparisons: 4 standard errors, and the step of the grid where a score is nearly 0.
    assert (np.abs(scores.values - truth) < 4 * scores.stderr + 0.004).all()
    assert (scores.lower <= scores.values).all()
    assert (scores.values <= scores.upper).all()
    assert found.trade_off().accuracy.shape == (5, 49)
    assert found.warnings == ()


def test_rows_of_any_scales_do_and_read_the_same_curve():
    encoder = LinearEncoder(16, 0.5)
    found = estimate(encoder.represent(1, 8192, scales=[2.0, 7.5]), SCALES, list(EPSILONS))
    assert (np.abs(found.squared[0] - encoder.kappas**2) < 4 * found.stderr[0]).all()


def test_a_linear_response_is_taken_as_linear():
    found = diagnosed(LinearEncoder(32, 0.4).represent(2, 8192))
    for drift in (found.response, found.spread, found.midpoint):
        assert abs(drift.change) < 4 * drift.stderr
    assert abs(found.score_shift) < 0.03
    assert abs(found.gaussian_gap) < 0.015
    assert abs(found.skewness) < 4 * np.sqrt(6 / 6144)
    assert abs(found.excess_kurtosis) < 4 * np.sqrt(24 / 6144)


@pytest.mark.parametrize("plain", [False, True], ids=["mirrored", "plain"])
def test_a_cubic_response_is_seen_with_its_size(plain):
    # vᵀμ(s)/s = 1 − s²/100 falls by 0.24 from the smallest scale to the largest, of a mean of 0.92 at E[s²] = 8.25.
    rows = LinearEncoder(16, 0.6).represent(3, 16384, plain=plain, bend=lambda t: t - t**3 / 100)
    response = diagnosed(rows).response
    assert response.significant
    # The pooled slope weighs large scales, where the response is weaker: a tenth of the size is theirs.
    assert response.change == pytest.approx(-0.24 / 0.92, abs=4 * response.stderr + 0.04)


def test_a_spread_that_grows_with_the_scale_is_seen_with_its_size():
    rows = LinearEncoder(16, 0.4).represent(3, 16384, widen=lambda t: np.sqrt(1 + t**2 / 24))
    spread = diagnosed(rows).spread
    # From 1.0 to 2.0 over the grid, of a mean of 1.34.
    assert spread.significant
    assert spread.change == pytest.approx(1 / 1.34, abs=4 * spread.stderr + 0.05)


def test_a_spread_that_differs_between_classes_is_read_as_it_is():
    """Where one class spreads more, accuracy is Φ of two different ratios, and its mean not that of a mean spread."""
    encoder = LinearEncoder(16, 0.5)
    rows = encoder.represent(3, 32768, widen=lambda t: np.sqrt(1 + 0.17 * t))
    found = estimate(rows, SCALES, [0.0])
    seen = observations(rows)
    fitted = fit(seen)
    assert projections(seen, fitted, kappa(fitted, [0.0])).tilt[0] == pytest.approx(0.17, abs=0.02)
    s = 4.5
    at = SCALES.index(s)
    from scipy.stats import norm

    truth = np.mean([norm.cdf(encoder.kappas[0] * s / np.sqrt(1 + side * 0.17 * s)) for side in (1, -1)])
    # 24,000 draws: 0.3 %; a common spread would give 1.0 % more.
    assert found.trade_off().accuracy[0, at] == pytest.approx(truth, abs=0.005)
    assert abs(norm.cdf(encoder.kappas[0] * s) - truth) > 0.008


def test_heavy_tails_are_read_as_they_are():
    """Noise of two widths: the score is that of the mixture, which lies well above that of Gaussian noise."""
    rng = np.random.default_rng(0)

    def noise(shape):
        # The same width for all coordinates of a draw, so that no projection averages it away.
        width = np.where(rng.random((shape[0], 1)) < 0.2, 2.0, np.sqrt((1 - 0.2 * 4) / 0.8))
        return width * rng.standard_normal(shape)

    encoder = LinearEncoder(8, 0.3)
    found = estimate(encoder.represent(1, 32768, noise=noise), SCALES, [0.0])
    gap = found.diagnostics.gaussian_gap
    assert found.diagnostics.excess_kurtosis > 3
    scores = population_scores(found, [0.7])
    assert scores.values[0, 0] - true_scores(encoder.kappas[:1], [0.7])[0, 0] == pytest.approx(gap, abs=0.03)
    assert gap > 0.05


def test_bands_follow_a_response_that_saturates():
    encoder = LinearEncoder(8, 0.6)
    rows = encoder.represent(5, 8 * 8192, bend=lambda t: 2 * np.tanh(t / 2))
    one = estimate(rows, SCALES, [0.0])
    assert abs(one.diagnostics.score_shift) > 0.02
    banded = estimate(rows, SCALES, [0.0], bands=BANDS)
    ratio = 2 * np.tanh(np.array(SCALES) / 2) / np.array(SCALES)
    # The noise still answers to its own coordinate as the linear encoder's does, so κ(s) is the response's share.
    truth = true_scores_at(encoder.kappas[0] * ratio * np.array(SCALES))
    errors = [abs(population_scores(found, [0.7]).values[0, 0] - truth) for found in (one, banded)]
    assert errors[1] < 0.02 < errors[0]
    # κ(s)/s at the bands' own scales, to 5 %; interpolated between them.
    np.testing.assert_allclose(banded.at_scales(banded.kappas)[0] / SCALES, encoder.kappas[0] * ratio, rtol=0.12)


def true_scores_at(kappas):
    accuracy, bound = curve.gaussian_trade_off(kappas[None])
    return curve.scores(accuracy, bound, SCALES, [0.7])[0, 0]


def test_what_an_encoder_leaves_at_random_scores_near_nothing():
    rng = np.random.default_rng(0)
    rows = LinearEncoder(16, 0.5).represent(1, 4096)
    noise = rng.standard_normal((4096, 16)).astype(np.float32)
    found = estimate(
        Representations(noise, rows.labels, rows.scales, rows.test, rows.coordinates, rows.draws), SCALES, [0.0]
    )
    low, _ = kappa_interval(found.squared, found.stderr, found.most)
    assert low[0, 0] == 0
    assert population_scores(found, [0.7]).lower[0, 0] == 0


def test_a_kappa_of_zero_has_no_bound():
    rows = LinearEncoder(16, 0.5).represent(1, 2048)
    found = estimate(rows, SCALES, [0.0])
    from dataclasses import replace

    nothing = replace(found, squared=np.array([[-0.01]]))
    trade_off = nothing.trade_off()
    assert np.isnan(trade_off.bound).all()
    # Half of all margins lie on either side, up to the asymmetry of a sample.
    assert np.abs(trade_off.accuracy - 0.5).max() < 0.05
    assert population_scores(nothing, [0.7]).values[0, 0] == 0
