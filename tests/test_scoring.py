"""From a model to a report: the truths that a user can see, and the same number however it is made."""

import numpy as np
import pytest
import torch

from synbench import ArgumentError, RepresentationError, score
from synbench.settings import EPSILONS, SCALES, THRESHOLDS

from .test_paper import linear_kappa

FEW = {"samples": 64, "scales": [1.0, 2.0]}


def identity(images):
    return images.flatten(1)


def test_the_identity_keeps_everything():
    """Truth 1 of the design: score 1 for every ε and a_t, within what 2048 images a scale allow."""
    report = score(identity, image_size=(3, 2, 2), seed=0, protocol="paper")
    scores = np.array(report.scores)
    # 49 scales of 2048 test images: the area averages binomial errors of at most 0.011 over about 40 scales that
    # count (0.002), and 12 dimensions cost a relative κ of 12/4096 at least (0.003 of the area). 99 % needs only
    # accuracies above 0.99, where a step of one scale is 5 % of the area.
    assert np.abs(scores[:, :7] - 1).max() < 0.02
    assert np.abs(scores - 1).max() < 0.08
    assert report.synbench_score == pytest.approx(1, abs=0.01)
    assert report.warnings == []
    assert report.images == 49 * 2 * 2048


def test_a_random_linear_encoder_reaches_its_closed_form():
    rng = np.random.default_rng(7)
    matrix = np.logspace(0, -1, 4)[:, None] * rng.standard_normal((4, 12)) / 3
    weights = torch.tensor(matrix, dtype=torch.float32)
    report = score(lambda x: x.flatten(1) @ weights.T + 5, image_size=(3, 2, 2), samples=20_000, scales=[0.5, 1, 2, 3])
    direction = np.full(12, 12**-0.5)
    kappa = np.array([[linear_kappa(matrix, direction, e) * s for s in report.scales] for e in EPSILONS])
    from synbench.curve import gaussian_trade_off

    accuracy, bound = gaussian_trade_off(kappa)
    # Binomial, 4.5 standard errors over 20 comparisons; the fit costs d/2n of κ, ten times less.
    assert (np.abs(report.accuracy - accuracy) < 4.5 * np.sqrt(accuracy * (1 - accuracy) / 20_000) + 5e-4).all()
    assert (np.abs(report.bound - bound) < 4.5 * (1 / kappa + 2 * bound / kappa) / np.sqrt(20_000)).all()


def test_same_seed_same_number_at_every_batch_size():
    reports = [score("synbench:demo", **FEW, batch_size=size) for size in (1, 7, 64)]
    for other in reports[1:]:
        np.testing.assert_allclose(other.accuracy, reports[0].accuracy, rtol=0, atol=1e-6)
        np.testing.assert_allclose(other.bound, reports[0].bound, rtol=1e-4)
        assert other.synbench_score == pytest.approx(reports[0].synbench_score, abs=1e-6)


def test_seed_0_is_a_seed():
    zero, again, one = (score(identity, image_size=4, **FEW, seed=s) for s in (0, 0, 1))
    assert zero.accuracy == again.accuracy
    assert zero.bound == again.bound
    assert zero.bound != one.bound
    assert zero.settings.seed == 0


def test_global_random_state_plays_no_part_and_is_left_alone():
    torch.manual_seed(1)
    before, state = score(identity, image_size=4, **FEW), torch.random.get_rng_state()
    np.random.seed(5)  # noqa: NPY002 - the legacy state is what must not matter
    after = score(identity, image_size=4, **FEW)
    assert before.bound == after.bound
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_report_says_what_was_done():
    report = score(
        identity, image_size=(1, 4, 6), image_mean=0.5, image_std=[2.0], samples=32, scales=[2, 1], epsilons=[0.4],
        thresholds=[0.8], batch_size=5, seed=3,
    )  # fmt: skip
    assert (report.epsilons, report.thresholds, report.scales) == ([0.4], [0.8], [1.0, 2.0])
    assert np.shape(report.scores) == (1, 1)
    assert np.shape(report.accuracy) == np.shape(report.bound) == (1, 2)
    assert report.images == 128
    assert report.synbench_score is not None, "the headline does not depend on the grids that are asked for"
    settings = report.settings
    assert (settings.samples, settings.seed, settings.batch_size, settings.image_shape) == (32, 3, 5, [1, 4, 6])
    assert (settings.preprocessing.image_mean, settings.preprocessing.image_std) == ([0.5], [2.0])
    assert (settings.model.id, settings.model.source, settings.model.dimension) == ("identity", "callable", 24)
    assert (settings.precision.dtype, settings.device) == ("float32", "cpu")
    assert settings.eigenvalue_cutoff == "relative 1e-10"
    assert {"python", "synbench", "torch", "numpy"} <= settings.versions.keys()
    assert "not installed" not in settings.versions.values()
    assert report.seconds > 0


def test_scores_of_a_grid_do_not_depend_on_the_rest_of_it():
    wide = score(identity, image_size=4, **FEW)
    narrow = score(identity, image_size=4, **FEW, epsilons=[0.6], thresholds=[0.75])
    assert wide.synbench_score == wide.scores[0][THRESHOLDS.index(0.7)], "one number, not two that round alike"
    # A BLAS may round a product of two columns and one of five differently.
    assert narrow.scores[0][0] == pytest.approx(wide.scores[EPSILONS.index(0.6)][THRESHOLDS.index(0.75)], rel=1e-12)
    assert narrow.synbench_score == pytest.approx(wide.synbench_score, rel=1e-12)


def test_default_is_the_full_grid_of_the_paper():
    report = score(identity, image_size=(1, 2, 2), samples=64)
    assert report.scales == list(SCALES)
    assert np.shape(report.scores) == (5, 9)


def test_what_is_undefined_is_none_with_a_warning():
    report = score(identity, image_size=4, samples=64, scales=[0.1])
    assert report.synbench_score is None
    assert {v for row in report.scores for v in row} == {None}
    assert any("Some scores are undefined (None)" in w and "Add larger scales" in w for w in report.warnings)


def test_a_constant_encoder_is_refused():
    from synbench import EncoderError

    with pytest.raises(EncoderError, match=r"gives one and the same vector for .* different images"):
        score(lambda x: torch.ones(len(x), 3), image_size=4, **FEW)


def test_nan_is_refused_with_its_place():
    def broken(images):
        vectors = images.flatten(1).clone()
        vectors[0, 0] = float("nan")
        return vectors

    with pytest.raises(
        RepresentationError, match=r"'broken' at scale 1, train split: .*NaN or infinity in 1 of 64 rows"
    ):
        score(broken, image_size=4, **FEW, batch_size=64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"protocol": "mine"}, r"protocol must be one of 'population', 'paper', got 'mine'"),
        ({"samples": 1}, r"samples must be an integer of at least 3, got 1; the paper uses 2048"),
        ({"samples": 2.5}, r"samples must be an integer of at least 3, got 2\.5"),
        ({"samples": True}, r"samples must be an integer of at least 3, got True"),
        ({"scales": []}, r"scales must hold at least one number, got none\. Leave it out"),
        (
            {"epsilons": [0.2, 1.0]},
            r"epsilons must lie in \[0, 1\).*radius of 1 or more leaves no margin; got 1\. Remove",
        ),
        ({"epsilons": [-0.1]}, r"epsilons must lie in \[0, 1\).*got -0\.1"),
        ({"epsilons": 0.2}, r"epsilons must be a sequence of numbers, got 0\.2\. Put it in a list"),
        ({"epsilons": ["a"]}, r"epsilons must be a sequence of numbers, got \['a'\]"),
        ({"thresholds": [0.5]}, r"thresholds must lie in \[0\.6, 1\), the range of the curve's grid, got 0\.5\. Use"),
        ({"thresholds": [1.0]}, r"thresholds must lie in \[0\.6, 1\).*got 1\."),
        ({"epsilons": [0.2, 0.2]}, r"epsilons must differ from each other, got \[0\.2, 0\.2\]\. Remove the duplicates"),
        ({"thresholds": [0.7, 0.7]}, r"thresholds must differ from each other"),
        ({"as_published": "no"}, r"as_published must be True or False, got 'no'"),
        ({"samples": np.array([8, 9])}, r"samples must be an integer of at least 3, got array"),
        ({"scales": [10**400]}, r"scales must be a sequence of numbers"),
        ({"seed": -1}, r"seed must be an integer of at least 0, got -1"),
        ({"batch_size": 0}, r"batch_size must be an integer of at least 1, got 0; leave it out"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        score(identity, image_size=4, **arguments)


def test_memory_holds_one_scale_and_one_batch():
    """The stream is pulled scale by scale: nothing is drawn ahead, nothing is kept behind."""
    from synbench import MixtureSpec, load_encoder
    from synbench.embedding import embed

    seen = []

    def counting(images):
        seen.append(len(images))
        return images.flatten(1)

    encoder = load_encoder(counting, image_size=4)
    seen.clear()
    scales = embed(encoder, MixtureSpec(4, scales=[1.0, 2.0, 3.0]), 10, batch_size=4)
    next(scales)
    assert seen == [4, 4, 2] * 2
    next(scales)
    assert seen == [4, 4, 2] * 4


def test_shares_of_processes_make_the_whole():
    from synbench import MixtureSpec, load_encoder
    from synbench.embedding import embed

    encoder, spec = load_encoder(identity, image_size=4), MixtureSpec(4, scales=[1.0, 2.0])
    (first, _) = embed(encoder, spec, 11)
    parts = [next(iter(embed(encoder, spec, 11, share=(p, 3)))) for p in range(3)]
    for test in (False, True):
        joined = np.concatenate([p.values[p.test == test] for p in parts])
        assert np.array_equal(joined, first.values[first.test == test])


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory: 4 TB")]
)
def test_running_out_of_memory_is_told_with_a_next_step(error):
    from synbench import EncoderError

    calls = []

    def hungry(images):
        calls.append(1)
        if len(calls) > 3:
            raise error
        return images.flatten(1)

    with pytest.raises(EncoderError, match=r"do not fit into memory .*Lower batch_size= or image_size="):
        score(hungry, image_size=4, **FEW)
