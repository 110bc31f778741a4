"""The population protocol from a model to a report: precision on request, honest fall-back, baseline, comparison."""

import json

import numpy as np
import pytest
import torch

from synbench import ArgumentError, Report, RepresentationError, compare, score
from synbench.comparison import rows
from synbench.settings import EPSILONS

from .linear import kappa_by_definition


def identity(images):
    return images.flatten(1)


def linear(seed=7, width=4, size=12, gain=1.0):
    """Return a linear encoder of 2 × 2 images and its κ_ε."""
    rng = np.random.default_rng(seed)
    matrix = np.logspace(0, -1, width)[:, None] * rng.standard_normal((width, size)) / 3
    weights = torch.tensor(matrix * gain, dtype=torch.float32)
    exact = weights.double().numpy()
    return lambda x: x.flatten(1) @ weights.T + 5, kappa_by_definition(exact @ exact.T, exact.sum(axis=1) / size**0.5)


def saturating(images):
    """Return what saturates in the mean of a tiny image, where the shift is not small, and contrasts beside it."""
    flat = images.flatten(1)
    mean = flat.mean(dim=1, keepdim=True)
    return torch.cat([torch.tanh(2 * (mean - 0.5)), (flat - mean)[:, :2]], dim=1)


def test_the_population_protocol_is_the_default_and_the_identity_keeps_everything():
    report = score(identity, image_size=(3, 4, 4))
    assert report.protocol == "population"
    assert report.images == 8192
    np.testing.assert_allclose(report.kappa, 1, atol=1e-3)
    truth = np.ones((5, 9))
    intervals = np.array(report.scores_interval)
    assert (np.abs(np.array(report.scores) - truth) < 4 * np.array(report.scores_stderr) + 0.004).all()
    assert intervals.shape == (5, 9, 2)
    assert report.interval[0] <= 1.001
    assert report.interval[1] >= 0.999
    assert report.diagnostics.linear
    assert report.warnings == []


def test_a_linear_encoder_reaches_its_closed_form_through_real_images():
    model, kappas = linear()
    report = score(model, image_size=(3, 2, 2), images=4096)
    low, high = np.array(report.kappa_interval).T
    # Double the interval is 4 standard errors.
    half = (high - low) / 2
    assert (np.abs(np.array(report.kappa) - kappas) < 2 * half).all()
    assert half.max() < 0.03


def test_same_seed_same_number_at_every_batch_size():
    reports = [score("synbench:demo", images=256, batch_size=size) for size in (1, 7, 64)]
    for other in reports[1:]:
        np.testing.assert_allclose(other.kappa, reports[0].kappa, rtol=1e-4)
        assert other.synbench_score == pytest.approx(reports[0].synbench_score, abs=1e-3)
    again = score("synbench:demo", images=256, batch_size=64)
    assert again.scores == reports[2].scores
    assert score("synbench:demo", images=256, seed=1).scores != again.scores


def test_a_wanted_standard_error_draws_as_much_as_it_needs():
    model, _ = linear()
    first = score(model, image_size=(3, 2, 2), images=512)
    target = first.stderr / 3
    report = score(model, image_size=(3, 2, 2), images=512, target_stderr=target)
    assert report.stderr <= target
    # Nine times the images would do if the first guesses of the error were right.
    assert 4 * 512 < report.images < 32 * 512
    assert report.settings.target_stderr == target
    whole = score(model, image_size=(3, 2, 2), images=report.images)
    assert whole.synbench_score == report.synbench_score, "images drawn later are those of one pass"


def test_a_wanted_standard_error_that_is_out_of_reach_is_told():
    model, _ = linear()
    report = score(model, image_size=(3, 2, 2), images=256, target_stderr=1e-6, max_images=1000)
    assert report.images == 1000
    assert "above the 1e-06 that was asked for. Raise max_images." in report.warnings[0]
    few = score(model, image_size=(3, 2, 2), target_stderr=1e-6, max_images=512)
    assert few.images == 512


def test_where_the_response_is_not_linear_kappa_is_estimated_by_bands_and_told():
    report = score(saturating, image_size=(3, 2, 2), images=2048)
    assert not report.diagnostics.linear
    assert report.diagnostics.bands == 5
    assert report.images == 5 * 2048
    assert report.diagnostics.response.change < -0.3
    assert "does not answer linearly" in report.warnings[0]
    paper = score(saturating, image_size=(3, 2, 2), samples=2048, scales=report.scales[4::5])
    banded = score(saturating, image_size=(3, 2, 2), images=8192, scales=report.scales[4::5])
    # Two protocols, three dimensions: the bias of the paper's is far below the errors of both.
    gap = 4 * np.hypot(paper.stderr, banded.stderr) + 0.01
    assert abs(paper.synbench_score - banded.synbench_score) < gap


def test_rows_that_are_too_few_for_bands_are_not_trusted():
    import evaluate

    metric = evaluate.load("synbench")
    wide = lambda x: torch.cat([saturating(x), torch.randn(len(x), 200, generator=torch.Generator().manual_seed(0))], 1)  # noqa: E731
    for batch in metric.mixture(image_size=(3, 2, 2), images=1500).iter(1500):
        metric.add_batch(
            predictions=wide(torch.tensor(batch["pixel_values"])), references=batch["label"], scales=batch["scale"],
            coordinates=batch["coordinate"], draws=batch["draw"],
        )  # fmt: skip
    result = metric.compute()
    assert result["diagnostics"]["linear"]
    assert "the score cannot be trusted to better than" in result["warnings"][-1]


def test_the_untrained_twin_is_compared_on_the_same_images():
    report = score("synbench:demo", images=1024, baseline="untrained")
    baseline = report.baseline
    assert baseline.synbench_score == score("synbench:demo", images=1024, untrained=True).synbench_score
    assert baseline.difference == report.synbench_score - baseline.synbench_score
    apart = np.hypot(report.stderr, baseline.stderr)
    assert 0 < baseline.difference_stderr < 1.2 * apart
    assert "points less" in report.meaning
    assert Report.from_dict(json.loads(report.to_json())) == report
    same = score(identity, image_size=4, images=256)
    assert same.baseline is None


def test_the_paper_protocol_has_intervals_by_the_same_names():
    report = score(identity, image_size=(3, 2, 2), samples=512, scales=[0.5, 1.0, 2.0, 3.0])
    assert report.protocol == "paper"
    assert report.interval[0] < 1 < report.interval[1] + 0.05
    assert np.array(report.scores_stderr).shape == (5, 9)
    assert report.kappa is None
    assert report.diagnostics is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": 32}, r"images must be an integer of at least 64, got 32; 8192 give"),
        ({"images": 1024, "samples": 64}, r"images does not belong to protocol='paper', whose size is samples="),
        ({"samples": 64, "protocol": "population"}, r"samples does not belong to protocol='population'"),
        ({"as_published": True, "protocol": "population"}, r"as_published does not belong to protocol='population'"),
        ({"target_stderr": 0.01, "protocol": "paper"}, r"target_stderr does not belong to protocol='paper'"),
        ({"target_stderr": 0}, r"target_stderr must be above 0, got 0"),
        ({"target_stderr": "small"}, r"target_stderr must be a sequence of numbers|target_stderr must be"),
        ({"max_images": 1000}, r"max_images needs target_stderr="),
        ({"images": 2000, "max_images": 1000, "target_stderr": 0.1}, r"max_images must be an integer of at least 2000"),
        ({"baseline": "random"}, r"baseline must be 'untrained' or None, got 'random'"),
        ({"baseline": "untrained", "untrained": True}, r"compares a model with its untrained twin: leave untrained="),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        score("synbench:demo", **arguments)


def test_infinite_representations_are_told_with_the_model():
    with pytest.raises(RepresentationError, match=r"'<lambda>': expected finite representations"):
        score(lambda x: x.flatten(1) / 0, image_size=4, images=64)


def test_compare_ranks_encoders_on_the_same_images(tmp_path):
    strong, _ = linear(1)
    near = lambda x: strong(x) + 0.02 * x.flatten(1)[:, :4]  # noqa: E731
    found = compare([near, identity, strong], images=2048, loading={"image_size": (3, 2, 2)}, progress=False)
    assert found.entries[0].report == 1
    assert found.entries[0].groups == ["a"]
    assert found.entries[0].rank_low == found.entries[0].rank_high == 1
    last = found.differences[-1]
    assert last.paired
    alone = np.hypot(*(entry.stderr for entry in found.entries[1:]))
    assert last.stderr < 0.6 * alone, "what the two share is taken away"
    assert len(rows(found)) == 3


def test_compare_reads_the_score_at_any_cell():
    model, _ = linear(1)
    found = compare(
        [identity, model], images=1024, loading={"image_size": (3, 2, 2)}, epsilon=0.3, threshold=0.8, progress=False
    )
    assert (found.epsilon, found.threshold) == (0.3, 0.8)
    for entry in found.entries:
        report = found.reports[entry.report]
        cell = report.epsilons.index(0.3), report.thresholds.index(0.8)
        assert entry.score == report.scores[cell[0]][cell[1]]
        assert len(report.epsilons) == len(EPSILONS) + 1
    assert found.differences[0].paired


def test_compare_takes_saved_results_too(tmp_path):
    one = score(identity, image_size=(3, 2, 2), images=512)
    path = tmp_path / "one.json"
    path.write_text(one.to_json())
    model, _ = linear(2)
    found = compare([path, model], images=512, loading={"image_size": (3, 2, 2)}, progress=False)
    assert not found.differences[0].paired
    assert found.reports[0] == one
    with pytest.raises(ArgumentError, match=r"cannot read the result .*nothing.json.*No such file"):
        compare([tmp_path / "nothing.json", path])
    (tmp_path / "text.json").write_text("{")
    with pytest.raises(ArgumentError, match=r"expected a SynBench result as JSON"):
        compare([tmp_path / "text.json", path])


def test_compare_finds_a_typo_before_it_scores():
    calls = []

    def counting(images):
        calls.append(len(images))
        return images.flatten(1)

    with pytest.raises(Exception, match="nowhere"):
        compare([counting, "./nowhere"], images=4096, loading=[{"image_size": 4}, {}])
    assert sum(calls) < 64
    with pytest.raises(ArgumentError, match="expected two models or more to compare, got 1"):
        compare([identity])
    with pytest.raises(ArgumentError, match=r"loading must be one dict, or one a model \(2\), got 1"):
        compare([identity, identity], loading=[{}])


def test_compare_tells_the_untrained_twins():
    other = score(identity, image_size=8, images=512)
    found = compare(["synbench:demo", other], images=512, baseline="untrained")
    demo = next(entry for entry in found.entries if entry.model == "synbench:demo")
    assert demo.baseline_score > demo.score


def length(images):
    return images.flatten(1).norm(dim=1, keepdim=True)


def test_a_response_that_bends_is_seen_although_the_score_would_hardly_move():
    """The length of a tiny image: 0.790 by the paper protocol at 200,000 images a scale, 0.748 if taken as linear."""
    report = score(length, image_size=4)
    assert not report.diagnostics.linear
    assert report.interval[0] < 0.790 < report.interval[1]


def test_rare_features_give_a_wide_interval_and_no_crash():
    for least, images in ((4.5, 512), (4.0, 1024)):
        model = lambda x, least=least: torch.relu(x.flatten(1) - least)  # noqa: E731
        report = score(model, image_size=4, images=images)
        assert report.kappa_interval[0][1] > 0.01
        assert Report.from_dict(report.to_dict()) == report


def test_the_error_of_a_good_encoder_does_not_depend_on_its_unit():
    plain, large = (score(lambda x, u=u: u * x.flatten(1), image_size=4, images=1024) for u in (1, 1000))
    assert large.stderr == pytest.approx(plain.stderr, rel=1e-3)
    assert large.interval == pytest.approx(plain.interval, abs=1e-4)
    # 60 studies of 1024 images spread by 0.0033.
    assert 0.0015 < plain.stderr < 0.007


def test_too_few_images_for_the_width_have_no_interval():
    report = score("synbench:demo", images=64)
    assert report.stderr is None
    assert report.interval is None
    assert report.kappa_interval[0] is None
    assert "too few images for the width" in report.meaning
    assert "not reliable. Raise images to 1000 or more." in report.warnings[0]
    more = score("synbench:demo", images=64, target_stderr=0.05)
    assert more.stderr < 0.05
    other = score(identity, image_size=16, images=64)
    with pytest.raises(ArgumentError, match="standard error"):
        compare([report, other])


def test_one_scale_takes_no_coordinates():
    """At one scale a saturating encoder's spread cannot be told from its response to the coordinate."""
    report = score(saturating, image_size=(3, 2, 2), images=8192, scales=[2.0], thresholds=[0.6, 0.7])
    paper = score(saturating, image_size=(3, 2, 2), samples=20_000, scales=[2.0], thresholds=[0.6, 0.7])
    assert report.diagnostics.coordinate is None
    assert abs(report.accuracy[0][0] - paper.accuracy[0][0]) < 0.02


def test_wrong_coordinates_are_seen():
    import evaluate

    metric = evaluate.load("synbench")
    rng = np.random.default_rng(0)
    for batch in metric.mixture(image_size=(3, 2, 2), images=4096).iter(4096):
        flat = np.asarray(batch["pixel_values"]).reshape(4096, -1)[:, :6]
        own = rng.permutation(np.asarray(batch["coordinate"])[np.asarray(batch["draw"])])
        metric.add_batch(
            predictions=flat, references=batch["label"], scales=batch["scale"], coordinates=own, draws=batch["draw"]
        )
    result = metric.compute()
    assert not result["diagnostics"]["linear"]
    assert result["diagnostics"]["coordinate"]["change"] < -0.5
    # Half of the pixels keep κ = √½; bands leave the coordinates aside.
    assert result["kappa_interval"][0][0] < 0.5**0.5 < result["kappa_interval"][0][1]


def test_bands_keep_to_max_images():
    report = score(saturating, image_size=(3, 2, 2), images=2048, target_stderr=1e-4, max_images=3000)
    assert report.images == 3000


def test_compare_refuses_before_it_scores():
    calls = []

    def counting(images):
        calls.append(len(images))
        return images.flatten(1)

    paper, means = (score(identity, image_size=4, **how) for how in ({"samples": 64}, {"images": 512}))
    other = score("synbench:demo", images=512)
    double = {"loading": {"image_size": 4, "dtype": "float64"}}
    for models, how, message in (
        ([counting, identity], {"level": "x"}, r"level must lie in \(0, 1\), got 'x'"),
        ("synbench:demo", {}, r"got 'synbench:demo'. Put them in a list"),
        ([counting, identity], {"baseline": "untrained"}, r"untrained= are for Hub models"),
        ([counting, paper], {}, r"one protocol, got population for what was asked for; paper for models\[1\] \(ident"),
        ([counting, means], {"direction": "texture", "measure": "score"}, r"textures for what .* means for models\[1"),
        ([counting, means], {"scales": [1.0, 2.0]}, r"grid of scales.* \[1, 2\] for what .* 49 values from 0\.1 to 4"),
        ([counting, means], {"epsilon": 0.3}, r"at ε = 0\.3, a_t = 0\.7, but models\[1\] \(identity\) has rows"),
        ([counting, paper], {"measure": "kappa"}, r"models\[1\] \(identity\) has no κ: it is of the paper protocol"),
        ([counting, identity], {"measure": "kappa", "samples": 64}, r"κ is estimated by the population protocol, got"),
        ([counting, paper, means], {}, r"one protocol, got population for what was asked for; paper for models\[1\]"),
        ([counting, paper], {"samples": 64, "as_published": True}, r"as_published=True for what was .* False for mod"),
        ([means, other], {"direction": "texture"}, r"one mixture, got textures for what was asked for; means for"),
        (
            [counting, means],
            double,
            r"one precision, got float64 for models\[0\] \(counting\); float32 for models\[1\]",
        ),
        (
            ["synbench:demo"] * 2,
            {"loading": {}},
            r"models\[0\] \(synbench:demo\) and models\[1\] \(synbench:demo\) are",
        ),
        ([counting, identity], {"loading": [3, {}]}, r"list of dicts, one a model, got 3 in it"),
    ):
        few = {} if "samples" in how else {"images": 4096}
        with pytest.raises(ArgumentError, match=message):
            compare(models, **{"loading": {"image_size": 4}, **few, **how})
    assert sum(calls) < 64
