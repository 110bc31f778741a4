"""κ against the definition on linear encoders, its invariances, and its error against the spread of many studies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synbench import RepresentationError
from synbench.discriminability import fit, kappa
from synbench.population import estimate, observations
from synbench.representations import Representations
from synbench.settings import EPSILONS, SCALES

from .linear import LinearEncoder


def estimated(rows, epsilons=EPSILONS):
    return kappa(fit(observations(rows)), epsilons)


def changed(rows, values):
    return Representations(values.astype(np.float32), rows.labels, rows.scales, rows.test, rows.coordinates, rows.draws)


@pytest.mark.parametrize("plain", [False, True], ids=["designed", "plain"])
@pytest.mark.parametrize(
    ("dimension", "wanted", "decades", "images"),
    [(16, 0.3, 0.0, 4096), (64, 0.42, 2.0, 4096), (64, 0.9, 4.0, 2048), (200, 0.2, 3.0, 4096)],
)
def test_a_linear_encoder_reaches_its_closed_form(dimension, wanted, decades, images, plain):
    encoder = LinearEncoder(dimension, wanted, decades)
    found = estimated(encoder.represent(1, images, plain=plain))
    # 4 standard errors, over 40 comparisons of which five at a time are nearly one.
    assert (np.abs(found.squared - encoder.kappas**2) < 4 * found.stderr).all()
    assert (found.stderr < 0.16 * encoder.kappas**2).all()


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_width_does_not_bias(share):
    """The plug-in estimate is off by 1/(1 − d/n): up to 150 % here; ours by less than the spread can show."""
    images, studies = 800, 60
    dimension = int(share * images * 3 / 4)
    encoder = LinearEncoder(dimension, 0.4, 1.0)
    found = [estimated(encoder.represent(seed, images)) for seed in range(studies)]
    squared, stderr = (np.array([getattr(f, name) for f in found]) for name in ("squared", "stderr"))
    off = squared.mean(axis=0) / encoder.kappas**2 - 1
    noise = squared.std(axis=0) / encoder.kappas**2 / np.sqrt(studies)
    # 1 % beside the noise of the mean: the correction is exact to order 1/n = 0.2 % for Gaussian noise.
    assert (np.abs(off) < 0.01 + 3.5 * noise).all(), (off, noise)
    # A standard deviation from 60 studies is known to 9 %; 4 of these and a tenth.
    ratio = np.sqrt((stderr**2).mean(axis=0)) / squared.std(axis=0)
    assert (np.abs(np.log(ratio)) < 0.46).all(), ratio


def test_the_identity_keeps_all_of_it():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((3000, 20))
    t = rng.choice([-1.0, 1.0], 3000) * rng.choice([0.5, 3.0], 3000)
    direction = np.full(20, 20**-0.5)
    rows = Representations(
        (noise + np.outer(t, direction)).astype(np.float32),
        (t > 0).astype(np.int64),
        np.abs(t),
        np.zeros(3000, bool),
        noise @ direction,
        np.full(3000, -1),
    )
    found = estimated(rows)
    assert found.squared[0] == pytest.approx(1, abs=1e-9)
    # A ridge on a covariance that is known from 3000 draws is off by 1/n.
    np.testing.assert_allclose(found.squared, 1, atol=1e-3)
    assert found.stderr.max() < 1e-3


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_at_no_robustness_any_invertible_affine_map_keeps_kappa(seed):
    rng = np.random.default_rng(seed)
    rows = LinearEncoder(6, 0.5).represent(2, 512)
    matrix = np.linalg.qr(rng.standard_normal((6, 6)))[0] @ np.diag(rng.uniform(0.2, 5, 6))
    moved = changed(rows, rows.values.astype(np.float64) @ matrix.T + rng.standard_normal(6))
    one, other = estimated(rows, [0.0]), estimated(moved, [0.0])
    # Float32 rounds the moved values to 1e-7 of their size, which the smallest direction sees a hundredfold.
    np.testing.assert_allclose(other.squared, one.squared, rtol=1e-3)
    np.testing.assert_allclose(other.stderr, one.stderr, rtol=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2.0**-12, 0.5, 64.0]))
def test_turning_and_scaling_keep_every_kappa(seed, unit):
    rng = np.random.default_rng(seed)
    rows = LinearEncoder(6, 0.5).represent(2, 512)
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    moved = changed(rows, unit * (rows.values.astype(np.float64) @ turn.T) + rng.standard_normal(6))
    one, other = estimated(rows), estimated(moved)
    np.testing.assert_allclose(other.squared, one.squared, rtol=1e-3)
    np.testing.assert_allclose(other.stderr, one.stderr, rtol=1e-2)


def test_constant_duplicated_and_permuted_coordinates_change_nothing():
    rows = LinearEncoder(8, 0.5).represent(2, 1024)
    whole = estimated(rows)
    order = np.random.default_rng(0).permutation(8)
    constant = np.concatenate([rows.values[:, order], np.full((1024, 3), 7.0)], axis=1)
    np.testing.assert_allclose(estimated(changed(rows, constant)).squared, whole.squared, rtol=1e-6)
    # A duplicate changes the metric, so it keeps κ at ε = 0 alone; half of the pair is only rounding.
    doubled = np.concatenate([rows.values, rows.values[:, :2]], axis=1)
    np.testing.assert_allclose(estimated(changed(rows, doubled), [0.0]).squared, whole.squared[:1], rtol=1e-3)


def test_relabelling_the_classes_changes_nothing():
    rows = LinearEncoder(8, 0.5).represent(2, 1024)
    other = Representations(rows.values, 1 - rows.labels, rows.scales, rows.test, -rows.coordinates, rows.draws)
    np.testing.assert_allclose(estimated(other).squared, estimated(rows).squared, rtol=1e-9)


def test_noise_coordinates_cost_no_more_than_the_error_says():
    encoder = LinearEncoder(16, 0.5)
    rows = encoder.represent(4, 4096)
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((rows.draws.max() + 1, 300))[rows.draws]
    wide = estimated(changed(rows, np.concatenate([rows.values, noise], axis=1)), [0.0])
    assert abs(wide.squared[0] - encoder.kappas[0] ** 2) < 4 * wide.stderr[0]


@pytest.mark.parametrize("images", [300, 500, 560])
def test_more_dimensions_than_draws_hold_the_classifier_back_and_say_so(images):
    encoder = LinearEncoder(400, 0.5, 3.0)
    found = estimate(encoder.represent(1, images), SCALES, list(EPSILONS))
    assert "not reliable. Raise images to 2000 or more." in found.warnings[0]
    assert np.isfinite(found.squared).all()
    assert (found.squared[0] < encoder.kappas**2 + 4 * found.stderr[0]).all()
    enough = estimate(encoder.represent(1, 8192), SCALES, list(EPSILONS))
    assert enough.warnings == ()


def test_a_coordinate_that_almost_never_fires_is_no_perfect_classifier():
    """Once in 1500 draws, in one image of a mirrored pair: a response without spread, and nothing but noise."""
    encoder = LinearEncoder(8, 0.3)
    rows = encoder.represent(1, 2000)
    for image in (4, 5, 6):
        fired = np.zeros((2000, 1))
        fired[image] = 1.0
        found = estimated(changed(rows, np.concatenate([rows.values, fired], axis=1)), [0.0])
        assert abs(found.squared[0] - encoder.kappas[0] ** 2) < 4 * found.stderr[0]
        assert found.stderr[0] < 0.05


def test_contributions_are_the_change_when_a_draw_is_left_out():
    """The error by draw is a derivative: leaving one of 2000 draws out changes κ² by minus its part."""
    encoder = LinearEncoder(4, 0.6, 1.0)
    rows = encoder.represent(3, 2668)
    found = estimated(rows)
    parts = found.contributions
    np.testing.assert_allclose(parts.sum(axis=0), 0, atol=1e-3)
    for draw in (0, 1, 2, 3, 500, 1001):
        kept = rows.draws != draw
        change = estimated(rows.select(kept)).squared - found.squared
        # Second-order terms are one in a thousand of κ², beside parts of about one in a thousand themselves.
        size = np.abs(parts).max(axis=0)
        np.testing.assert_allclose(change, -parts[draw], atol=0.03 * size.max())


def test_what_is_not_a_pair_or_has_one_class_is_refused():
    rows = LinearEncoder(4, 0.5).represent(1, 128)
    wrong = Representations(rows.values, rows.labels, rows.scales, rows.test, rows.coordinates, rows.draws // 2)
    with pytest.raises(RepresentationError, match="two images of one scale and opposite class"):
        estimate(wrong, SCALES, [0.0])
    with pytest.raises(RepresentationError, match="only class 1 in 64 rows"):
        estimate(rows.select(rows.labels == 1), SCALES, [0.0])
    with pytest.raises(RepresentationError, match="enough representations of both classes"):
        estimate(rows.select(np.arange(128) < 3), SCALES, [0.0])
    flat = changed(rows, np.ones((128, 4)))
    with pytest.raises(RepresentationError, match="every image of a class gets the same vector"):
        estimate(flat, SCALES, [0.0])
    signs = np.outer(2 * rows.labels - 1, np.ones(4)).astype(np.float32)
    one = Representations(signs, rows.labels, np.ones(128), rows.test)
    with pytest.raises(RepresentationError, match="every image of a class gets the same vector"):
        estimate(one, SCALES, [0.0])
