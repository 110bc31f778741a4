"""The curve and the score: limits, ranges, and what is undefined."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from synbench import curve
from synbench.settings import SCALES, THRESHOLDS

shares = st.floats(0, 1)


@pytest.mark.parametrize("kappa", [0.1, 0.5, 1.0, 3.0])
def test_bound_is_the_conditional_mean_of_a_positive_gaussian(kappa):
    positive = integrate.quad(lambda x: stats.norm.pdf(x - kappa), 0, np.inf)[0]
    mean = integrate.quad(lambda x: x * stats.norm.pdf(x - kappa), 0, np.inf)[0] / positive
    accuracy, bound = curve.gaussian_trade_off(np.array([kappa]))
    assert accuracy[0] == pytest.approx(positive, rel=1e-9)
    assert bound[0] == pytest.approx(mean / kappa, rel=1e-9)


def test_bound_tends_to_1_for_certain_and_to_infinity_for_useless_classifiers():
    _, bound = curve.gaussian_trade_off(np.array([40.0, 1e-6]))
    assert bound[0] == 1.0
    assert bound[1] > 1e5


def test_the_optimum_scores_1_at_every_epsilon_and_threshold():
    accuracy, bound = (np.stack([side] * 3) for side in curve.reference(SCALES))
    np.testing.assert_allclose(curve.scores(accuracy, bound, SCALES, THRESHOLDS), 1.0, rtol=1e-12)


def test_a_useless_encoder_scores_0():
    accuracy, bound = np.full((1, len(SCALES)), 0.5), np.full((1, len(SCALES)), 9.0)
    assert not curve.scores(accuracy, bound, SCALES, THRESHOLDS).any()


@given(shares, shares)
def test_score_grows_with_the_share_of_kappa_that_is_kept(one, other):
    low, high = sorted((one, other))
    scores = []
    for share in (low, high):
        kappa = np.maximum(share, 1e-3) * np.asarray(SCALES)
        accuracy, bound = curve.gaussian_trade_off(kappa)
        scores.append(curve.scores(accuracy[None], bound[None], SCALES, THRESHOLDS)[0])
    # On 49 scales and 100 thresholds a little less κ can leave every accuracy between the same two thresholds and
    # only raise the bounds: so the score is monotone, and at most 1, up to such a step. One is below 0.01.
    assert (scores[0] <= scores[1] + 0.01).all()
    assert (scores[1] >= 0).all()
    assert (scores[1] <= 1.01).all()


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_curve_falls_and_order_of_scales_does_not_matter(count, seed):
    rng = np.random.default_rng(seed)
    accuracy, bound = rng.uniform(0.5, 1, count), rng.uniform(1, 3, count)
    values = curve.curve(accuracy, bound)
    assert (np.diff(values) <= 0).all()
    order = rng.permutation(count)
    np.testing.assert_allclose(curve.curve(accuracy[order], bound[order]), values, rtol=1e-12)


def test_undefined_bounds_count_as_nothing_and_undefined_scores_are_nan():
    assert curve.curve(np.array([0.9, 0.9]), np.array([np.nan, 1.0]), np.array([0.6])).tolist() == [0.5]
    accuracy, bound = curve.reference([0.1])
    assert np.isnan(curve.scores(accuracy[None], bound[None], [0.1], [0.6])).all()
    full = curve.reference(SCALES)
    found = curve.scores(full[0][None], full[1][None], SCALES, [0.99, 0.999])
    assert found[0, 0] == 1.0
    assert np.isnan(found[0, 1]), "no grid point lies between 0.999 and 1 where an accuracy is exceeded"
