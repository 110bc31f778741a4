"""Probing real pictures: attacks that find what is known exactly, shares with intervals, the record and the command."""

import json
import subprocess
import sys
import warnings

import datasets
import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.optimize import brentq

import synbench
from synbench import ArgumentError, EncoderError, RepresentationError, cache
from synbench.batching import BatchSize
from synbench.cli_options import names
from synbench.probe import attacks, vectors
from synbench.probe.asking import Asked
from synbench.probe.attacks import NotAttackableError, attack
from synbench.probe.head import Head, scaling_of
from synbench.probe.intervals import paired_difference, wilson
from synbench.probe.measuring import probe
from synbench.probe.record import Difference, ProbeReport, json_schema
from synbench.probe.searching import foolbox
from synbench.uncertainty import QUANTILE

SHAPE = (3, 4, 4)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


class Flat(torch.nn.Module):
    """An encoder whose representation is the normalized picture."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(()))

    def forward(self, images):
        return self.gain * images.flatten(1)


def encoder_of(module):
    return synbench.load_encoder(module, image_size=SHAPE, image_mean=MEAN, image_std=STD)


def linear_case(classes, n=24, seed=0):
    """Return a head of so many classes, pictures near its boundaries, and their slopes by pixel."""
    rng = np.random.default_rng(seed)
    width = int(np.prod(SHAPE))
    weight = rng.standard_normal((classes, width))
    images = (0.5 + 0.2 * rng.uniform(-1, 1, (n, *SHAPE))).astype(np.float32)
    head = Head(rng.standard_normal(width), 2.5, weight, np.zeros(classes))
    normal = (images - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    # The boundaries go through the middle of the pictures.
    head = Head(head.centre, head.scale, weight, -head.logits(normal.reshape(n, -1)).mean(axis=0))
    logits = head.logits(normal.reshape(n, -1))
    slopes = weight / head.scale / np.repeat(STD, 16)
    return head, images, logits, slopes


@pytest.mark.parametrize("classes", [2, 5])
def test_the_attack_finds_the_distance_to_the_boundary_of_a_linear_model(classes):
    head, images, logits, slopes = linear_case(classes)
    labels = logits.argmax(axis=1)
    labels[:3] = (labels[:3] + 1) % classes  # wrong from the start
    own = logits[np.arange(len(labels)), labels][:, None]
    with np.errstate(invalid="ignore"):
        distances = (own - logits) / np.linalg.norm(slopes[labels][:, None] - slopes[None], axis=2)
    distances[np.arange(len(labels)), labels] = np.inf
    exact = distances.min(axis=1)
    found = attack(encoder_of(Flat()), head, images, labels, [0.1], steps=60, batch_size=BatchSize(10))
    assert (found.norms[:3] == 0).all()
    # Nothing nearer than the boundary, but for the rounding of float32 logits; and not much farther.
    assert (found.norms[3:] > exact[3:] * (1 - 1e-4) - 1e-5).all()
    # Of two classes the gradient shows the way, and the attack ends on the boundary.
    assert (found.norms[3:] < exact[3:] * (1.001 if classes == 2 else 1.05) + (1e-5 if classes == 2 else 1e-3)).all()
    assert np.median(found.norms[3:] / exact[3:]) < 1.001
    assert found.vanishing == 0


def test_perturbed_pictures_stay_pictures():
    """At the edge of [0, 1] the nearest picture across the boundary is the one of the clipped ray."""
    head, images, _, slopes = linear_case(2)
    images = np.where(images > 0.5, 1.0, 0.0).astype(np.float32)
    normal = (images - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    gap = head.logits(normal.reshape(len(images), -1)) @ [-1, 1]
    head = Head(head.centre, head.scale, head.weight, head.bias - [0, np.median(gap)])
    gap = gap - np.median(gap)
    labels, direction = (gap > 0).astype(int), slopes[1] - slopes[0]
    found = attack(encoder_of(Flat()), head, images, labels, [0.5], steps=100, batch_size=BatchSize(64))
    for picture, margin, norm in zip(images.reshape(len(images), -1), gap, found.norms, strict=True):
        # min ‖δ‖ with x + δ in the box: δ = clip(x − λ g) − x, λ from what has to be gained.
        def moved(step, picture=picture, margin=margin):
            return np.clip(picture - np.sign(margin) * step * direction, 0, 1) - picture

        step = brentq(lambda s: margin + moved(s) @ direction, 0, 10, xtol=1e-12)  # noqa: B023
        least = np.linalg.norm(moved(step))
        free = abs(margin) / np.linalg.norm(direction)
        assert norm > least * (1 - 1e-4) - 1e-5
        assert norm < least * 1.05 + 1e-4
        assert least >= free * (1 - 1e-9)


def test_the_attack_leaves_no_trace():
    module = Flat().train()
    encoder = encoder_of(module)
    head, images, logits, _ = linear_case(3, n=8)
    state, before = torch.get_rng_state(), images.copy()
    how = {"radii": [0.01, 0.02], "steps": 5, "batch_size": BatchSize(8)}
    first = attack(encoder, head, images, logits.argmax(1), **how)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(images, before)
    assert module.training
    assert module.gain.requires_grad
    assert module.gain.grad is None
    assert np.array_equal(first.norms, attack(encoder, head, images, logits.argmax(1), **how).norms)


def test_memory_that_runs_out_halves_the_batch(monkeypatch):
    head, images, logits, _ = linear_case(2, n=8)
    real, sizes = attacks._batch, []

    def short(encoder, head, images, *rest):
        sizes.append(len(images))
        if len(images) > 2:
            raise MemoryError
        return real(encoder, head, images, *rest)

    monkeypatch.setattr(attacks, "_batch", short)
    found = attack(encoder_of(Flat()), head, images, logits.argmax(1), [0.1], steps=3, batch_size=BatchSize(8))
    assert sizes == [8, 4, 2, 2, 2, 2]
    assert len(found.norms) == 8


@pytest.mark.parametrize("classes", [2, 5])
def test_what_an_attack_finds_does_not_depend_on_the_batch(classes):
    head, images, _, _ = linear_case(classes)
    # Pictures of low contrast would get another scale of logits if it were that of their batch.
    images[12:] = 0.5 + (images[12:] - 0.5) / 4
    labels = head.logits(((images - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))).reshape(24, -1)).argmax(
        1
    )
    found = [
        attack(encoder_of(Flat()), head, images, labels, [0.01, 0.03], steps=10, batch_size=BatchSize(size)).norms
        for size in (64, 7, 1)
    ]
    for other in found[1:]:
        assert np.allclose(other, found[0], rtol=1e-3)


def test_each_picture_has_a_random_start_of_its_own(monkeypatch):
    """PGD starts within the radius, elsewhere for each picture and radius, and in the same place in any batch."""
    seen = {}

    def begin(library, model, x, y, radius, steps):
        walk = library.attacks.L2PGD(steps=1, rel_stepsize=1.0, random_start=True)
        begun = walk.get_random_start(PyTorchTensor(x), radius).raw - x
        for picture, start in zip(x, begun, strict=True):
            seen.setdefault((picture.sum().item(), radius), []).append(start / radius)
        return x

    from eagerpy.tensor.pytorch import PyTorchTensor

    monkeypatch.setattr(attacks, "within", begin)
    head, images, logits, _ = linear_case(2)
    for size in (64, 5):
        attack(encoder_of(Flat()), head, images, logits.argmax(1), [1e-4, 2e-4], steps=3, batch_size=BatchSize(size))
    assert len(seen) > 40
    firsts = []
    for starts in seen.values():
        one, two = starts
        assert torch.allclose(one, two, atol=1e-3), "up to the rounding of a small step from a picture"
        assert one.norm() < 1.001
        firsts.append(one.flatten())
    apart = torch.cdist(torch.stack(firsts), torch.stack(firsts)) + torch.eye(len(firsts))
    assert apart.min() > 0.1


class Rounded(Flat):
    def forward(self, images):
        return torch.round(4 * images.flatten(1)) / 4


class Detached(Flat):
    def forward(self, images):
        return images.flatten(1).detach()


def test_a_gradient_that_vanishes_is_told():
    head, images, logits, _ = linear_case(2)
    assert attack(
        encoder_of(Rounded()), head, images, logits.argmax(1), [0.1], steps=2, batch_size=BatchSize(64)
    ).vanishing == pytest.approx(1.0)
    with pytest.raises(NotAttackableError, match="does not depend on its input"):
        attack(encoder_of(Detached()), head, images, logits.argmax(1), [0.1], steps=2, batch_size=BatchSize(64))


def test_the_interval_of_a_share_is_wilsons():
    for right, n in [(0, 10), (3, 10), (10, 10), (150, 256)]:
        for end in wilson(right, n):
            # Its ends are the shares that are z standard errors of theirs away.
            assert (right / n - end) ** 2 == pytest.approx(QUANTILE**2 * end * (1 - end) / n, abs=1e-12)


def test_the_best_of_many_is_told_by_a_wider_interval():
    """Where no ε changes anything, "raises" is said in 2.5 % of the cases at most, however many there are."""
    from synbench.probe.telling import widened

    rng, n, many = np.random.default_rng(0), 200, 16
    plain, wide, runs = 0, 0, 1000
    for _ in range(runs):
        base = rng.random(n) < 0.5
        pairs = []
        for _ in range(many):
            flips = rng.random(n) < 0.2
            value, interval = paired_difference(base ^ flips, base)
            pairs.append(Difference(value=value, interval=interval))
        plain += any(d.interval[0] > 0 for d in pairs)
        wide += any(widened(d, n, many).interval[0] > 0 for d in pairs)
    # Four errors of the simulation.
    assert wide / runs < 0.025 + 4 * np.sqrt(0.025 * 0.975 / runs)
    assert plain / runs > 0.1, "which the single interval does not do"
    one = pairs[0]
    assert widened(one, n, 1).interval == pytest.approx(one.interval)


@pytest.mark.parametrize(("robust", "gain", "said"), [
    (0.5, [0.001, 0.1], "No ε > 0 is shown to raise that."),
    (0.5, [0.04, 0.1], "The probe of ε = 0.6 raises that by 7.1 points (3.3 to 10.7"),
    (1.0, [-0.1, 0.0], "withstand every attack of ℓ2 radius 0.1."),
])  # fmt: skip
def test_what_is_said_of_the_best_epsilon(report, robust, gain, said):
    from types import SimpleNamespace

    from synbench.probe.telling import _meaning

    told = Difference(value=(gain[0] + gain[1]) / 2 * 102 / 100, interval=gain)
    first = report.levels[0].model_copy(update={"robust": [robust] * 3})
    second = report.levels[1].model_copy(update={"robust_difference": [told] * 3})
    found = SimpleNamespace(
        chosen=SimpleNamespace(classes=["a", "b"]),
        asked=SimpleNamespace(radii=(0.1, 0.5, 2.0)),
        places=np.arange(100),
    )
    meaning = _meaning(found, [first, second])
    assert said in meaning
    assert ("No ε" in meaning) == said.startswith("No ε")


def test_the_interval_of_a_paired_difference_is_that_of_the_four_cells_with_half_a_picture_more():
    one, other = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], bool), np.array([1, 0, 0, 0, 1, 0, 0, 0, 0, 0], bool)
    # 3 that only the first has, 1 that only the other: (3.5 − 1.5) / 12, with variance (5 − 2²/12) / 12².
    half = QUANTILE * np.sqrt(5 - 4 / 12) / 12
    value, interval = paired_difference(one, other)
    assert value == pytest.approx(0.2)
    assert interval == pytest.approx([2 / 12 - half, 2 / 12 + half])
    for pair in ((one, one), (np.ones(10, bool), np.zeros(10, bool)), (np.ones(1, bool), np.zeros(1, bool))):
        value, (low, high) = paired_difference(*pair)
        assert -1 <= low <= value <= high <= 1
        assert low < high


@pytest.mark.parametrize("cells", [(0.8, 0.1, 0.05, 0.05), (0.95, 0.03, 0.01, 0.01), (0.2, 0.4, 0.2, 0.2)])
def test_the_interval_of_a_paired_difference_covers_it(cells):
    rng, n, runs = np.random.default_rng(0), 100, 4000
    _both, one, other, _ = cells
    hits = 0
    for counts in rng.multinomial(n, cells, runs):
        first = np.repeat([True, True, False, False], counts)
        second = np.repeat([True, False, True, False], counts)
        value, (low, high) = paired_difference(first, second)
        assert low <= value <= high
        hits += low <= one - other <= high
    # 95 %, up to the approximation (Agresti and Min tell 94 to 97 %) and four errors of the simulation.
    assert 0.94 - 0.014 < hits / runs < 0.98 + 0.014
    value, (low, high) = paired_difference(first, second)
    back, (down, up) = paired_difference(second, first)
    assert (back, down, up) == pytest.approx((-value, -high, -low))


def test_representations_are_scaled_by_one_number():
    values = np.random.default_rng(0).standard_normal((50, 4)) * [1, 2, 3, 40] + 7
    scaling = scaling_of(values)
    scaled = scaling(values)
    assert abs(scaled.mean(axis=0)).max() < 1e-12
    assert (scaled**2).sum(axis=1).mean() == pytest.approx(1)
    ratios = np.linalg.norm(scaled[1:] - scaled[:-1], axis=1) / np.linalg.norm(values[1:] - values[:-1], axis=1)
    assert np.ptp(ratios) < 1e-12, "a ball stays a ball"


@pytest.fixture(scope="session")
def digits():
    """scikit-learn's digits as pictures of the demo encoder's size."""
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    pictures = [
        Image.fromarray((v.reshape(8, 8) * 15.9).astype(np.uint8)).resize((16, 16), Image.Resampling.BILINEAR)
        for v in values
    ]
    names = datasets.ClassLabel(names=[f"digit {k}" for k in range(10)])
    whole = datasets.Dataset.from_dict(
        {"image": pictures, "label": labels.tolist()},
        features=datasets.Features(image=datasets.Image(), label=names),
    )
    return datasets.DatasetDict(train=whole.select(range(1000)), test=whole.select(range(1000, 1797)))


@pytest.mark.parametrize("epsilon", [0.0, 0.5])
def test_c_is_chosen_by_what_the_probe_is_for(epsilon):
    """The cross-validated share of rows that are right in the whole ball, counted here by margins."""
    from synbench.probe.fitting import fit
    from synbench.probe.robust import RobustLinearProbe
    from synbench.probe.subsets import fold_of

    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 60)
    values = rng.standard_normal((120, 10)) * np.linspace(0.3, 3, 10)
    values[:, 0] += 0.5 * (2 * labels - 1)
    values = scaling_of(values)(values)
    strengths, fold = [1e-4, 0.1, 1.0, 100.0], fold_of(labels, 3, 7)
    shares = []
    for strength in strengths:
        right = np.zeros(120, dtype=bool)
        for out in range(3):
            probe_ = RobustLinearProbe(epsilon=epsilon, C=strength, tol=1e-3).fit(
                values[fold != out], labels[fold != out]
            )
            right[fold == out] = probe_.margins(values[fold == out], labels[fold == out]) > probe_.radius_
        shares.append(right.mean())
    assert max(shares) - min(shares) > 0.02, "there is something to choose"
    counted = []
    found = fit(values, labels, epsilon, strengths, 3, 7, counted.append)
    assert found.cv_score == pytest.approx(max(shares))
    assert strengths[int(np.argmax(shares))] == found.C
    assert len(counted) == 13
    edge = fit(values, labels, epsilon, [1e-4, 3e-4, 1e-3], 3, 7)
    assert ("is the largest that was tried" in " ".join(edge.warnings)) == (edge.C == 1e-3)


SMALL = {
    "epsilons": [0.0, 0.6], "Cs": [0.1, 10.0], "folds": 3, "train_images": 300, "test_images": 200,
    "radii": [0.1, 0.5, 2.0], "attack_images": 24, "attack_steps": 15,
}  # fmt: skip


@pytest.fixture(scope="session")
def report(digits):
    return probe("synbench:demo", digits, **SMALL)


def test_what_the_report_tells_is_consistent(report):
    assert report.epsilons == [0.0, 0.6]
    for level in report.levels:
        assert level.clean > 0.9, "the demo encoder was trained on digits"
        assert level.clean_interval[0] < level.clean < level.clean_interval[1]
        assert level.certified[0] == pytest.approx(level.clean), "a ball of no size is the picture itself"
        assert level.certified[0] >= level.certified[1]
        assert (np.diff(level.robust) <= 0).all()
        assert level.robust[-1] < 0.2, "ℓ2 of 2 turns one digit into another"
        assert level.gap <= 1e-4
        assert level.C in SMALL["Cs"]
        for share, (low, high) in zip(level.robust, level.robust_interval, strict=True):
            assert [low, high] == wilson(round(share * 24), 24)
        between = [r for r, share in zip(report.attack.radii, level.robust, strict=True) if share < 0.5]
        assert level.median_perturbation <= between[0] * (1 + 1e-6)
    first, second = report.levels
    for own in (first.clean_difference, *first.robust_difference):
        assert (own.value, own.interval) == (0, [0, 0]), "nothing is uncertain about a probe and itself"
    assert second.clean_difference.value == pytest.approx(second.clean - first.clean)
    for k, told in enumerate(second.robust_difference):
        assert told.value == pytest.approx(second.robust[k] - first.robust[k])
    assert report.dataset.classes[3] == "digit 3"
    assert (report.dataset.train_images, report.dataset.test_images) == (300, 200)
    assert report.attack.pictures == 24
    assert report.attack.vanishing == [0.0, 0.0]
    assert report.recommendation.epsilons == [0.0, 0.6]
    assert f"{100 * first.clean:.1f} % accuracy" in report.meaning
    assert report.separation > 0


def test_numbers_are_those_of_the_steps_by_hand(digits, report):
    """The same rows through scikit-learn's way: embed, scale, predict."""
    from synbench.probe.choosing import choose
    from synbench.probe.opening import open_dataset
    from synbench.probe.robust import RobustLinearProbe

    chosen = choose(open_dataset(digits), train_images=300, test_images=200)
    encoder = synbench.load_encoder("synbench:demo")
    train, test = (
        encoder(torch.from_numpy(p.pixels(range(len(p)), (3, 16, 16)))).numpy().astype(float)
        for p in (chosen.train, chosen.test)
    )
    centre = train.mean(axis=0)
    size = np.sqrt(((train - centre) ** 2).sum(axis=1).mean())
    assert report.scale == pytest.approx(size, rel=1e-5)
    for level in report.levels:
        own = RobustLinearProbe(epsilon=level.epsilon, C=level.C).fit((train - centre) / size, chosen.train.labels)
        assert own.score((test - centre) / size, chosen.test.labels) == pytest.approx(level.clean)
        if level.epsilon:
            assert own.radius_ / level.epsilon == pytest.approx(report.separation, rel=1e-5)
            kept = own.robust_score((test - centre) / size, chosen.test.labels)
            assert kept == pytest.approx(level.certified[1], abs=0.5 / 200), "up to a row on the boundary"


def test_a_report_survives_json_and_fits_its_schema(report, tmp_path):
    told = json.loads(report.to_json())
    jsonschema.validate(told, json_schema())
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert ProbeReport.from_dict(told) == report
    (tmp_path / "r.json").write_text(report.to_json())
    assert ProbeReport.read(tmp_path / "r.json") == report
    with pytest.raises(ArgumentError, match=r"expected a SynBench probe report of schema version 2, but .*levels"):
        ProbeReport.from_dict({**told, "levels": []})
    short = {**told["levels"][0], "robust": [0.5]}
    with pytest.raises(ArgumentError, match="robust must have one number per radius"):
        ProbeReport.from_dict({**told, "levels": [short, told["levels"][1]]})
    with pytest.raises(ArgumentError, match="cannot read the probe report"):
        ProbeReport.read(tmp_path / "none.json")
    (tmp_path / "r.json").write_text("no")
    with pytest.raises(ArgumentError, match="expected a SynBench probe report as JSON"):
        ProbeReport.read(tmp_path / "r.json")


PLAIN = {**SMALL, "attack_images": 0, "score": False, "batch_size": 64}


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    monkeypatch.delenv(cache.LIMIT_VARIABLE, raising=False)


def without_time(report):
    return {k: v for k, v in report.to_dict().items() if k not in ("seconds", "from_cache")}


@pytest.mark.usefixtures("own_cache")
def test_a_second_call_embeds_nothing(digits, monkeypatch):
    first = probe("synbench:demo", digits, **PLAIN)
    assert first.from_cache == 0
    assert first.attack is None
    assert first.levels[0].robust is None
    real = vectors.forward
    with monkeypatch.context() as closed:
        closed.setattr(vectors, "forward", None)
        again = probe("synbench:demo", digits, **PLAIN)
    assert again.from_cache == 500
    assert without_time(again) == without_time(first)
    assert {entry.protocol for entry in cache.list_entries()} == {"pictures", "fits"}
    assert sum(entry.images for entry in cache.list_entries() if entry.protocol == "pictures") == 500
    calls = []
    monkeypatch.setattr(vectors, "forward", lambda *a: calls.append(len(a[1])) or real(*a))
    assert probe("synbench:demo", digits, **PLAIN, fresh=True).from_cache == 0
    assert sum(calls) == 500
    assert probe("synbench:demo", digits, **PLAIN, pooling="mean").from_cache == 0
    # The test pictures are the same, only there are others to fit on.
    assert probe("synbench:demo", digits, **{**PLAIN, "train_images": 100}).from_cache == 200


@pytest.mark.usefixtures("own_cache")
def test_an_interrupted_run_goes_on_where_it_was(digits, monkeypatch):
    real, calls = vectors.forward, []

    def interrupted(encoder, images):
        calls.append(len(images))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(encoder, images)

    monkeypatch.setattr(vectors, "forward", interrupted)
    with pytest.raises(KeyboardInterrupt):
        probe("synbench:demo", digits, **PLAIN)
    monkeypatch.undo()
    assert sum(calls[:2]) == 128


@pytest.mark.usefixtures("own_cache")
def test_memory_that_runs_out_while_embedding(digits, monkeypatch):
    real = vectors.forward

    def short(encoder, images):
        if len(images) > 40:
            raise MemoryError
        return real(encoder, images)

    monkeypatch.setattr(vectors, "forward", short)
    how = {name: value for name, value in PLAIN.items() if name != "batch_size"}
    told = probe("synbench:demo", digits, **how)
    assert any("The batch size was lowered from 256 to 32 images" in w for w in told.warnings)


FLAT = {**PLAIN, "image_size": 16}


def test_a_function_is_probed_but_not_attacked(digits):
    told = probe(lambda x: x.flatten(1), digits, **{**FLAT, "attack_images": 8})
    assert told.attack is None
    assert "A function gives no gradient to go by, so nothing was attacked. Pass a torch.nn.Module." in told.warnings
    assert told.levels[0].clean > 0.8
    told = probe(Detached(), digits, **{**FLAT, "attack_images": 8})
    assert any(w.startswith("Nothing was attacked, as gradients cannot be had") for w in told.warnings)


def test_a_gradient_that_vanishes_is_warned_of(digits):
    told = probe(Rounded(), digits, **{**FLAT, "attack_images": 8, "attack_steps": 2})
    assert any("The gradient is zero or not finite for 100 % of the attacked pictures" in w for w in told.warnings)


def test_an_encoder_that_cannot_be_scored_is_still_probed(digits, monkeypatch):
    from synbench import scoring

    def refuse(*_, **__):
        raise RepresentationError("no.")

    monkeypatch.setattr(scoring, "score", refuse)
    told = probe("synbench:demo", digits, **{**PLAIN, "score": None})
    assert told.recommendation is None
    assert "No ε is recommended, as the encoder cannot be scored: no." in told.warnings


def test_a_given_score_is_used(digits, tmp_path):
    scored = synbench.score(lambda x: x.flatten(1), image_size=4, images=512)
    (tmp_path / "r.json").write_text(scored.to_json())
    for given in (scored, tmp_path / "r.json", str(tmp_path / "r.json")):
        told = probe("synbench:demo", digits, **{**PLAIN, "score": given})
        assert told.recommendation.scores == [row[2] for row in scored.scores]
        for note in (
            "The score is that of '<lambda>', not of 'synbench:demo'.",
            "The score is that of images 3×4×4, not of 3×16×16.",
            "The score is that of ε = 0, 0.2, 0.4, 0.6, 0.8, not of 0, 0.6.",
        ):
            assert note in told.warnings
        assert any(w.startswith("The score is that of the pooling ") for w in told.warnings)
    texture = scored.model_copy(update={"settings": scored.settings.model_copy(update={"direction": "texture"})})
    with pytest.raises(ArgumentError, match=r"score must be of classes that differ in their means, .*='texture'"):
        probe("synbench:demo", digits, **{**PLAIN, "score": texture})


def test_a_given_score_of_the_same_is_not_remarked_on_and_one_of_others_is(digits):
    own = synbench.score("synbench:demo", images=512, epsilons=[0.0, 0.6])

    def notes(**changes):
        model = own.settings.model.model_copy(update=changes)
        given = own.model_copy(update={"settings": own.settings.model_copy(update={"model": model})})
        told = probe("synbench:demo", digits, **{**PLAIN, "score": given})
        return [w for w in told.warnings if w.startswith("The score is that of")]

    assert notes() == []
    assert notes(trained=False) == ["The score is that of the untrained twin, not of the trained encoder."]
    (note,) = notes(weights_sha256="f" * 64)
    assert note.startswith("The score is that of the weights of SHA-256 ffffffffffff, not of ")
    (note,) = notes(pooling="other")
    assert note.startswith("The score is that of the pooling 'other', not of ")


def test_of_one_epsilon_none_is_recommended(digits, monkeypatch):
    from synbench import scoring

    monkeypatch.setattr(scoring, "score", None)
    told = probe("synbench:demo", digits, **{**PLAIN, "epsilons": [0], "score": None})
    assert told.recommendation is None
    assert not any("recommend" in w for w in told.warnings)


def test_test_pictures_that_are_fitted_to_are_told_of(digits, report):
    assert not any("also among those fitted to" in w for w in report.warnings)
    both = datasets.DatasetDict(train=digits["train"], test=digits["train"].select(range(50)))
    told = probe("synbench:demo", both, **{**PLAIN, "train_images": None})
    assert any(w.startswith("50 of 50 test pictures are also among those fitted to") for w in told.warnings)


class Blind(torch.nn.Module):
    """Different for what is tried first, the same for every picture of dark edges."""

    def forward(self, images):
        return torch.relu(images.flatten(1)[:, :1] - 0.5).repeat(1, 3)


@pytest.mark.parametrize(
    ("model", "how", "kind", "message"),
    [
        ("synbench:demo", {"epsilons": [1.0]}, ArgumentError, r"epsilons must lie in \[0, 1\).* got 1"),
        ("synbench:demo", {"epsilons": [0.2, 0.2]}, ArgumentError, "epsilons must differ from each other"),
        ("synbench:demo", {"Cs": [0]}, ArgumentError, "Cs must be positive numbers, such as 1, got 0"),
        ("synbench:demo", {"radii": [-1]}, ArgumentError, "radii must be positive numbers, in units"),
        ("synbench:demo", {"radii": []}, ArgumentError, "radii must be one finite number or more"),
        ("synbench:demo", {"radii": "a"}, ArgumentError, "radii must be a list of numbers"),
        ("synbench:demo", {"folds": 1}, ArgumentError, "folds must be an integer of at least 2, got 1"),
        ("synbench:demo", {"attack_images": -1}, ArgumentError, "attack_images must be an integer of at least 0"),
        ("synbench:demo", {"train_images": 0}, ArgumentError, "train_images must be an integer of at least 1, got 0"),
        ("synbench:demo", {"threshold": 0.3}, ArgumentError, r"thresholds must lie in \[0.6, 1\), .* got 0.3"),
        ("synbench:demo", {"threshold": 2}, ArgumentError, r"thresholds must lie in \[0.6, 1\), .* got 2"),
        ("synbench:demo", {"score": 7}, ArgumentError, "score must be a SynBench result, the file of one, None"),
        ("synbench:demo", {"score": "none.json"}, ArgumentError, "cannot read the result 'none.json'"),
        (lambda x: x.flatten(1), {"image_size": (4, 8, 8)}, EncoderError, "pictures with 1 or 3 channels, got 4"),
        (lambda x: x.flatten(1) / 0, {"image_size": 4}, RepresentationError, "on the split 'train': expected finite"),
        (Blind(), {"image_size": 16}, RepresentationError, "one and the same vector for all 300 training pictures"),
    ],
)  # fmt: skip
def test_what_cannot_be_probed_is_refused(model, how, kind, message, digits):
    with pytest.raises(kind, match=message):
        probe(model, digits, **{**PLAIN, **how})


@pytest.mark.parametrize(("module", "asked"), [("foolbox", 8), ("sklearn", 0)])
def test_what_is_not_installed_is_told_first(module, asked, digits, monkeypatch):
    for name in [n for n in sys.modules if n == "synbench.probe.robust" or n.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ArgumentError, match=r"pip install 'synbench\[probe\]'"):
        probe("synbench:demo", digits, **{**PLAIN, "attack_images": asked})


def test_zero_is_always_among_the_epsilons():
    assert Asked(epsilons=[0.4, 0.2]).epsilons == (0.0, 0.2, 0.4)


@pytest.mark.parametrize("preference", [0.6, 0.0, None])
def test_the_picture_marks_what_is_recommended(report, preference, tmp_path):
    from synbench.probe.drawing import plot_probe, save_probe

    told = report.model_copy(
        update={"recommendation": report.recommendation.model_copy(update={"epsilon": preference})}
    )
    (axes,) = plot_probe(told).axes
    texts = {text.get_text(): text.get_position() for text in axes.texts}
    assert {"clean", "ℓ2 ≤ 0.1", "ℓ2 ≤ 0.5", "ℓ2 ≤ 2"} < set(texts)
    heights = sorted(texts[name][1] for name in texts if name == "clean" or name.startswith("ℓ2"))
    assert (np.diff(heights) > 0.049).all(), "names do not cover each other"
    if preference is None:
        assert "the score has no preference among ε" in texts
    else:
        assert texts["recommended by the score"][0] == preference
    drawn = [container.lines[0].get_ydata() for container in axes.containers]
    assert np.allclose(drawn, [[lv.clean for lv in told.levels], *np.array([lv.robust for lv in told.levels]).T])
    save_probe(told, tmp_path / "p.svg")
    save_probe(told, tmp_path / "q.svg")
    assert (tmp_path / "p.svg").read_bytes() == (tmp_path / "q.svg").read_bytes()
    with pytest.raises(ArgumentError, match=r"must end in \.png, \.svg or \.pdf"):
        save_probe(told, tmp_path / "p.txt")


def test_the_picture_without_attacks_and_without_a_score(report):
    from synbench.probe.drawing import plot_probe

    bare = [
        level.model_copy(update={"robust": None, "robust_interval": None, "robust_difference": None})
        for level in report.levels
    ]
    told = report.model_copy(update={"attack": None, "levels": bare, "recommendation": None})
    (axes,) = plot_probe(told).axes
    assert [text.get_text() for text in axes.texts] == ["clean", "ball of 0.6", "on DatasetDict"]


def test_the_table(report, capsys, monkeypatch):
    from synbench.probe.printing import print_probe

    monkeypatch.setenv("COLUMNS", "80")
    print_probe(report)
    out = capsys.readouterr().out
    table = [line for line in out.splitlines() if line.split()[:1] in (["0"], ["0.6"])]
    assert max(len(line) for line in out.splitlines()[3:10]) <= 80
    assert f"{100 * report.levels[0].clean:.1f}" in table[0]
    for share in report.levels[1].robust:
        assert f"{100 * share:.1f}" in table[1]
    assert [row.split()[1] for row in table[2:]] == [f"{100 * level.certified[1]:.1f}" for level in report.levels]
    assert "paired difference" not in out
    far = Difference(value=-0.03, interval=[-0.05, -0.01])
    levels = [report.levels[0], report.levels[1].model_copy(update={"clean_difference": far})]
    print_probe(report.model_copy(update={"levels": levels}))
    out_again = capsys.readouterr().out
    assert "ε = 0.6 against ε = 0, paired difference: clean -3.0 points (-5.0 to -1.0)" in out_again
    for told in ("synbench:demo on DatasetDict", "10 classes: 300 pictures of train, 200 of test", report.meaning):
        assert told in out


@pytest.fixture
def command(monkeypatch, capsys):
    from synbench.cli import main

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["synbench", "probe", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            main()
        return done.value.code, *capsys.readouterr()

    return run


def test_the_command_refuses_before_the_long_run(command, tmp_path, monkeypatch):
    monkeypatch.setattr("synbench.probe.measuring.probe", None)
    for arguments, told in [
        (["--epsilons", "2"], "epsilons must lie in [0, 1)"),
        (["--threshold", "0.3", "--score", "none"], "thresholds must lie in [0.6, 1)"),
        (["--threshold", "2"], "thresholds must lie in [0.6, 1)"),
        (["--radii", "x"], "expected numbers separated by commas"),
        (["--score", "missing.json"], "--score must be the file of a result, or none, got 'missing.json'"),
        (["--plot", tmp_path / "p.txt"], "must end in .png, .svg or .pdf"),
        (["--output", tmp_path], "expected the name of a file"),
    ]:
        code, out, err = command("synbench:demo", tmp_path, *arguments)
        assert (code, out) == (2, "")
        assert told in err


def test_the_command_writes_what_it_is_asked_for(command, digits, tmp_path):
    digits.save_to_disk(tmp_path / "digits")
    asked = ["--epsilons", "0,0.6", "--Cs", "1", "--folds", 2, "--train-images", 100, "--test-images", 50]
    asked += ["--attack-images", 4, "--attack-steps", 3, "--radii", "0.5", "--score", "none"]
    code, out, err = command(
        "synbench:demo", tmp_path / "digits", *asked, "--output", tmp_path / "r.json", "--plot", tmp_path / "p.png"
    )
    assert code == 0, err
    assert "Accuracy (%)" in out
    assert "wrote" in err
    told = ProbeReport.read(tmp_path / "r.json")
    assert told.dataset.train_images == 100
    assert told.Cs == [1.0]
    assert (tmp_path / "p.png").stat().st_size > 1000
    code, out, _ = command("synbench:demo", tmp_path / "digits", *asked, "--json", "--classes", "digit 1, digit 7")
    assert code == 0
    assert json.loads(out)["dataset"]["classes"] == ["digit 1", "digit 7"]
    assert command("synbench:demo", tmp_path / "none")[0] == 2


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (None, None),
        ("cat", ["cat"]),
        ("cat, dog ,hen", ["cat", "dog", "hen"]),
        ('cat, "tench, Tinca tinca" , 7" disc', ["cat", "tench, Tinca tinca", '7" disc']),
        ("", [""]),
        ("cat,", ["cat", ""]),
    ],
)
def test_classes_are_read_by_their_commas_and_quotes(text, read):
    assert names(text) == read


@pytest.mark.parametrize("text", ['"cat', 'cat,"dog', "cat\ndog", '"cat\ndog"', "cat\rdog"])
def test_classes_in_several_lines_or_with_an_open_quote_are_refused(text):
    with pytest.raises(ArgumentError, match=r"names in one line, separated by commas, those that have a comma in"):
        names(text)


def test_an_interrupted_command_says_so(command, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("synbench.probe.measuring.probe", interrupt)
    code, out, err = command("synbench:demo", tmp_path)
    assert (code, out) == (130, "")
    assert "interrupted; nothing is half-written" in err


def test_the_command_in_a_process_of_its_own(digits, tmp_path):
    digits.save_to_disk(tmp_path / "digits")
    arguments = ["--epsilons", "0,0.6", "--Cs", "1", "--folds", "2", "--train-images", "100", "--test-images", "50"]
    arguments += ["--attack-images", "4", "--attack-steps", "3", "--score", "none", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "synbench", "probe", "synbench:demo", str(tmp_path / "digits"), *arguments],
        capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert ProbeReport.from_dict(json.loads(done.stdout)).attack.pictures == 4
    assert done.stderr == ""


def test_importing_foolbox_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert foolbox().attacks.DDNAttack


def test_fmn_projects_onto_the_ball():
    from eagerpy.tensor.pytorch import PyTorchTensor

    from synbench.probe.searching import _fmn

    centre, moved = torch.rand(3, *SHAPE), torch.randn(3, *SHAPE)
    radii = torch.tensor([0.5, 2.0, 1e3])
    ball = _fmn(foolbox(), 1).project(*map(PyTorchTensor, (centre + moved, centre, radii))).raw - centre
    sizes = moved.flatten(1).norm(dim=1)
    assert torch.allclose(ball.flatten(1).norm(dim=1), torch.minimum(radii, sizes), rtol=1e-5)
    assert torch.allclose(torch.cosine_similarity(ball.flatten(1), moved.flatten(1)), torch.ones(3), atol=1e-5)
