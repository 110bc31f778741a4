"""Probing that is stopped and goes on; attacks that find the truth of linear models; what is refused and told."""

from collections import Counter

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

import synbench
from synbench import ArgumentError, cache
from synbench.batching import BatchSize
from synbench.probe import attacks, measuring, searching
from synbench.probe.attacks import attack
from synbench.probe.fitting import fit
from synbench.probe.head import Head, head_of, scaling_of
from synbench.probe.measuring import probe
from synbench.probe.robust import RobustLinearProbe

from .test_probe import MEAN, SHAPE, STD, Flat, encoder_of

SMALL = {
    "epsilons": [0.0, 0.6], "Cs": [0.1, 10.0], "folds": 3, "train_images": 120, "test_images": 60,
    "radii": [0.1, 0.5], "attack_images": 12, "attack_steps": 4, "batch_size": 5, "score": False,
}  # fmt: skip
FITS, BATCHES = 2 * (2 * 3 + 1), 2 * 3


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    pictures = [
        Image.fromarray((v.reshape(8, 8) * 15.9).astype(np.uint8)).resize((16, 16), Image.Resampling.BILINEAR)
        for v in values[:400]
    ]
    names = datasets.ClassLabel(names=[f"digit {k}" for k in range(10)])
    whole = datasets.Dataset.from_dict(
        {"image": pictures, "label": labels[:400].tolist()},
        features=datasets.Features(image=datasets.Image(), label=names),
    )
    return datasets.DatasetDict(train=whole.select(range(200)), test=whole.select(range(200, 400)))


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    monkeypatch.delenv(cache.LIMIT_VARIABLE, raising=False)


@pytest.fixture
def made(monkeypatch):
    """Count the fits, and the batches that are attacked, each by what it is made of."""
    calls = Counter()
    real_fit, real_batch = RobustLinearProbe.fit, attacks._batch

    def fit_(self, X, y):  # noqa: N803
        calls["fit", self.epsilon, self.C, self.tol, X.tobytes()] += 1
        return real_fit(self, X, y)

    def batch(encoder, head, images, *rest):
        calls["batch", head.weight.tobytes(), images.tobytes()] += 1
        return real_batch(encoder, head, images, *rest)

    monkeypatch.setattr(RobustLinearProbe, "fit", fit_)
    monkeypatch.setattr(attacks, "_batch", batch)
    return calls


def of(calls, kind):
    return sum(n for key, n in calls.items() if key[0] == kind)


def without_time(report):
    return {k: v for k, v in report.to_dict().items() if k not in ("seconds", "from_cache")}


def interrupting(monkeypatch, what, after):
    """Interrupt a probing by its bar of ``what``, at the call of that number."""
    from contextlib import contextmanager

    real = measuring._bar

    @contextmanager
    def bar_of(total, said, *rest):
        with real(total, said, *rest) as bar:
            seen, update = [], bar.update

            def told(n):
                seen.append(n)
                if said == what and len(seen) == after:
                    raise KeyboardInterrupt
                update(n)

            bar.update = told
            yield bar

    monkeypatch.setattr(measuring, "_bar", bar_of)


@pytest.fixture(scope="module")
def undisturbed(digits):
    return probe("synbench:demo", digits, **SMALL, cache=False)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("what", "after"), [("fitting", 4), ("fitting", 7), ("fitting", 9), ("attacking", 2), ("attacking", 5)]
)
def test_an_interrupted_probing_fits_and_attacks_nothing_twice(what, after, digits, made, undisturbed, monkeypatch):
    with monkeypatch.context() as stopped:
        interrupting(stopped, what, after)
        with pytest.raises(KeyboardInterrupt):
            probe("synbench:demo", digits, **SMALL)
    first = dict(made)
    assert of(made, "fit") == (after if what == "fitting" else FITS)
    assert of(made, "batch") == (after if what == "attacking" else 0)
    told = probe("synbench:demo", digits, **SMALL)
    assert max(made.values()) == 1, "nothing is made twice"
    assert set(first) < set(made)
    assert (of(made, "fit"), of(made, "batch")) == (FITS, BATCHES)
    assert without_time(told) == without_time(undisturbed)
    assert told.from_cache == 180, "which counts pictures that were embedded before, and nothing else"
    monkeypatch.setattr(attacks, "forward", None)
    assert without_time(probe("synbench:demo", digits, **SMALL)) == without_time(undisturbed), "no forward pass"
    assert sum(made.values()) == FITS + BATCHES
    assert {(e.protocol, e.images) for e in cache.list_entries()} == {
        ("pictures", 120), ("pictures", 60), ("fits", 7), ("attacks", 12),
    }  # fmt: skip


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(("changed", "fits", "batches"), [
    ({"attack_steps": 5}, 0, BATCHES),
    ({"radii": [0.1, 0.6]}, 0, BATCHES),
    ({"attack_images": 11}, 0, BATCHES),
    ({"Cs": [0.1, 20.0]}, FITS, None),
    ({"folds": 4}, FITS + 4, None),
    ({"seed": 1}, FITS, BATCHES),
    ({"train_images": 110}, FITS, BATCHES),
    ({"epsilons": [0.0, 0.5]}, FITS // 2, BATCHES // 2),
    ({"fresh": True}, FITS, BATCHES),
    ({"cache": False}, FITS, BATCHES),
])  # fmt: skip
def test_what_was_made_of_anything_else_is_not_used(changed, fits, batches, digits, made):
    probe("synbench:demo", digits, **SMALL)
    made.clear()
    told = probe("synbench:demo", digits, **{**SMALL, **changed})
    assert of(made, "fit") == fits
    # A probe that comes out the same, bit for bit, is attacked in the same way.
    assert batches is None or of(made, "batch") == batches
    assert without_time(told) == without_time(probe("synbench:demo", digits, **{**SMALL, **changed, "cache": False}))


@pytest.mark.usefixtures("own_cache")
def test_without_a_cache_nothing_is_written(digits):
    probe("synbench:demo", digits, **SMALL, cache=False)
    assert cache.list_entries() == []


@pytest.mark.usefixtures("own_cache")
def test_a_damaged_fit_or_attack_is_made_again_and_told(digits, made, undisturbed):
    probe("synbench:demo", digits, **SMALL)
    made.clear()
    whole = {e.protocol: e.folder for e in cache.list_entries()}
    for kind, part in (("fits", "probe"), ("attacks", "attacks")):
        piece = min(whole[kind].glob(f"{part}.*.safetensors"))
        content = bytearray(piece.read_bytes())
        content[-3] ^= 1
        piece.write_bytes(content)
    told = probe("synbench:demo", digits, **SMALL)
    assert (of(made, "fit"), of(made, "batch")) == (1, 1)
    notes = [w for w in told.warnings if "damaged" in w]
    assert len(notes) == 2
    assert all(n.startswith("A stored piece of the ") and n.endswith(" was damaged; it was made again.") for n in notes)
    assert {n.split()[5] for n in notes} == {"fits", "attacks"}
    rest = {**told.to_dict(), "warnings": [w for w in told.warnings if w not in notes]}
    assert {k: v for k, v in rest.items() if k not in ("seconds", "from_cache")} == without_time(undisturbed)


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("classes", [2, 4])
def test_a_fit_that_was_kept_is_the_same_probe_bit_for_bit(classes, monkeypatch):
    """With all that it warned of, and ready for everything that a fitted probe can do."""
    from synbench.entries import Entry
    from synbench.probe.kept import FitKey

    rng = np.random.default_rng(0)
    labels = np.arange(80) % classes
    values = rng.standard_normal((80, 6))
    values[np.arange(80), labels] += 6
    values = scaling_of(values)(values)
    # Too strong to be solved: rounding ends the descent.
    strengths = [1e14]
    plain = RobustLinearProbe(epsilon=0.4, C=1e14)
    with pytest.warns(Warning, match="expected a relative gap") as caught:
        plain.fit(values, labels)
    shared = dict.fromkeys(("encoder", "architecture", "pooling", "dtype", "device", "pictures", "split"), "x")
    key = FitKey(**shared, image_shape=(3, 4, 4), image_mean=(), image_std=(), channel_order=(), seed=0, resizing=0,
                 libraries=())  # fmt: skip
    first = fit(values, labels, 0.4, strengths, 2, 0, entry=Entry(key, "x"))
    monkeypatch.setattr(RobustLinearProbe, "fit", None)
    again = fit(values, labels, 0.4, strengths, 2, 0, entry=Entry(key, "x"))
    for one in (first, again):
        told = {k: v for k, v in vars(one.probe).items() if k != "_sklearn_version"}
        assert set(told) == set(vars(plain))
        for name, value in vars(plain).items():
            assert np.array_equal(getattr(one.probe, name), value), name
            assert np.asarray(getattr(one.probe, name)).dtype == np.asarray(value).dtype, name
        assert f"The probe of ε = 0.4: {caught[0].message}" in one.warnings
        assert np.array_equal(one.probe.predict_proba(values), plain.predict_proba(values))
        assert np.array_equal(one.probe.margins(values, labels), plain.margins(values, labels))
        assert head_of(one.probe, scaling_of(values)).weight.shape == (classes, 6)
    assert again.cv_score == first.cv_score
    assert again.warnings == first.warnings


@pytest.mark.parametrize("folds", [121, 10**9])
def test_more_folds_than_training_pictures_are_refused(folds, digits):
    with pytest.raises(ArgumentError, match=rf"folds must be at most train_images, 120, .* got {folds:,}; 5 is usual"):
        probe("synbench:demo", digits, **{**SMALL, "folds": folds})


def test_as_many_folds_as_training_pictures_are_not(digits):
    few = {**SMALL, "train_images": 20, "folds": 20, "epsilons": [0.0], "Cs": [1.0], "attack_images": 0}
    assert probe("synbench:demo", digits, **few).folds == 20


def test_what_decodes_pictures_is_a_part_of_their_key(digits):
    from synbench.probe.choosing import choose
    from synbench.probe.opening import open_dataset
    from synbench.probe.vectors import key_of
    from synbench.versions import version_of

    chosen = choose(open_dataset(digits), train_images=20, test_images=20)
    libraries = dict(key_of(synbench.load_encoder("synbench:demo"), chosen.train, 0).libraries)
    assert libraries["datasets"] == version_of("datasets")


@pytest.mark.parametrize(("offset", "epsilon", "chance"), [(0.0, 0.0, True), (6.0, 0.0, False), (1.0, 0.9, True)])
def test_a_probe_that_reads_nothing_is_told_of(offset, epsilon, chance):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [70, 30])
    values = rng.standard_normal((100, 4))
    values[:, 0] += offset * labels
    # A C so small that every picture gets the larger class, where the classes are not far apart.
    found = fit(scaling_of(values)(values), labels, epsilon, [1e-6 if offset < 6 else 1.0], 5, 0)
    told = [w for w in found.warnings if "is not above the share of the largest class, 70.0 %" in w]
    assert bool(told) == chance
    if chance:
        assert told[0].startswith(f"The best cross-validated score of ε = {epsilon:g}, {100 * found.cv_score:.1f} %")


def linear(classes, n=60, seed=0, corners=False):
    """Return a head behind ``Flat``, pictures, their classes, and the true distances to another class in the box."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((classes, int(np.prod(SHAPE))))
    images = rng.uniform(0, 1, (n, *SHAPE))
    images = (np.round(images) if corners else images).astype(np.float32)
    normal = ((images - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))).reshape(n, -1)
    head = Head(np.zeros(weight.shape[1]), 1.0, weight, -(normal @ weight.T).mean(axis=0))
    logits, slopes = head.logits(normal), weight / np.repeat(STD, 16)
    labels = logits.argmax(axis=1)
    # min ‖δ‖ with x + δ in the box and class k not below: δ = clip(x + λ g) − x, λ by bisection.
    way = slopes[None] - slopes[labels][:, None]
    ahead = np.take_along_axis(logits, labels[:, None], axis=1) - logits
    flat = images.reshape(n, 1, -1).astype(float)

    def moved(far):
        return np.clip(flat + far[:, :, None] * way, 0, 1) - flat

    near, far = np.zeros_like(logits), np.full_like(logits, 1e3)
    crossed = (moved(far) * way).sum(axis=2) > ahead
    for _ in range(100):
        middle = (near + far) / 2
        over = (moved(middle) * way).sum(axis=2) > ahead
        near, far = np.where(over, near, middle), np.where(over, middle, far)
    sizes = np.where(crossed, np.linalg.norm(moved(far), axis=2), np.inf)
    np.put_along_axis(sizes, labels[:, None], np.inf, axis=1)
    return head, images, labels, sizes.min(axis=1)


def found_in(case, steps, radii=(0.1,), size=64, labels=None):
    head, images, own, _ = case
    how = {"steps": steps, "batch_size": BatchSize(size)}
    return attack(encoder_of(Flat()), head, images, own if labels is None else labels, radii, **how).norms


class Steps(Flat):
    """An encoder without a gradient."""

    def forward(self, images):
        return torch.round(64 * images.flatten(1)) / 64


@pytest.mark.parametrize(("classes", "steps"), [(2, 5), (2, 2), (10, 1)])
def test_something_is_found_wherever_another_picture_is_decided_otherwise(classes, steps, monkeypatch):
    case = linear(classes, corners=True)
    _, images, labels, exact = case
    assert np.isfinite(exact).all()
    with monkeypatch.context() as without:
        without.setattr(attacks, "_ENDS", 0)
        lost = np.isinf(found_in(case, steps))
    assert lost.any(), "there is something to mend"
    found = found_in(case, steps)
    assert np.isfinite(found).all()
    assert (found > exact * (1 - 1e-4) - 1e-5).all()
    line = np.array([
        min(np.linalg.norm(image - other) for other in images[labels != label])
        for image, label in zip(images, labels, strict=True)
    ])  # fmt: skip
    assert (found < line)[lost].all(), "the line to another picture is no more than a beginning"
    assert np.median((found / line)[lost]) < 0.8
    for size in (7, 1):
        assert np.allclose(found_in(case, steps, size=size), found, rtol=1e-6)


def test_without_a_gradient_the_line_to_another_picture_is_what_is_found():
    head, images, labels, exact = linear(2)
    how = {"steps": 2, "batch_size": BatchSize(16)}
    found = attack(encoder_of(Steps()), head, images, labels, [0.1], **how)
    assert found.vanishing == 1
    assert np.isfinite(found.norms).all()
    assert (found.norms > exact - 0.2).all()


@pytest.mark.parametrize("classes", [2, 5])
def test_where_all_is_decided_alike_nothing_is_found(classes):
    head, images, _, _ = linear(classes)
    head = Head(head.centre, head.scale, 0 * head.weight, np.arange(classes, dtype=float))
    labels = np.full(len(images), classes - 1)
    labels[:5] = 0
    norms = found_in((head, images, labels, None), 2)
    assert (norms[:5] == 0).all()
    assert np.isinf(norms[5:]).all()


def test_pictures_far_from_every_other_class_have_a_slope_to_follow(monkeypatch):
    """A softmax in float32 has none for them, and what was found depended on noise, and so on the batch."""
    case = linear(2, corners=True)
    monkeypatch.setattr(attacks, "_ENDS", 0)
    found = found_in(case, 20)
    assert (found < 1.002 * case[3]).all()
    for size in (7, 1):
        assert np.allclose(found_in(case, 20, size=size), found, rtol=1e-6)


def test_what_nothing_was_found_for_is_warned_of(digits, monkeypatch):
    real = attacks._batch

    def lost(*how):
        norms, vanishing = real(*how)
        return np.where(np.arange(len(norms)) < 2, np.inf, norms), vanishing

    def notes():
        told = probe("synbench:demo", digits, **SMALL)
        return [w for w in told.warnings if w.startswith("Nothing that changes the decision was found for ")]

    assert notes() == []
    monkeypatch.setattr(attacks, "_batch", lost)
    (note,) = notes()
    assert "for 6 of 12 attacked pictures, as no other attacked picture is decided otherwise" in note


def test_of_ten_classes_the_smallest_perturbation_is_found_too(monkeypatch):
    """With 30 steps: half within 0.01 % of the truth, all but 2 % within 1 %, and none beyond 8 %."""
    cases = [linear(10, seed=seed) for seed in (1, 3, 4)]

    def excess():
        found = [found_in(case, 30, np.quantile(case[3], [0.25, 0.75])) / case[3] - 1 for case in cases]
        return np.concatenate(found)

    above = excess()
    assert above.min() > -1e-2, "but for the rounding of pictures at a boundary"
    assert np.median(above) < 1e-4
    assert (above > 0.01).mean() < 0.02
    assert above.max() < 0.08
    # Without a second and third class to make for, none of that holds.
    monkeypatch.setattr(searching, "rivals", lambda *_: [])
    above = excess()
    assert np.median(above) > 1e-4
    assert (above > 0.01).mean() > 0.02
    assert above.max() > 0.2


def test_classes_to_make_for_are_those_whose_boundary_is_nearest():
    """Not those of the next greatest logit; of two classes there is none to choose."""
    weight = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    bias = torch.tensor([3.0, 0.0, 2.0, 0.5])

    def network(pixels):
        return pixels.flatten(1) @ weight.T + bias

    # Distances from 0: 3 / 10, 1 / 1, 2.5 / 1.
    x, y = torch.zeros(5, 1, 1, 2), torch.zeros(5, dtype=torch.long)
    assert [target.tolist() for target in searching.rivals(network, x, y)] == [[1] * 5, [2] * 5]
    assert searching.rivals(lambda pixels: network(pixels)[:, :2], x, y) == []


def test_pgd_goes_by_the_difference_of_the_two_greatest_logits():
    from eagerpy.tensor.pytorch import PyTorchTensor

    library, logits = searching.foolbox(), torch.tensor([[0.0, -1.0, -3.0], [-2.0, 0.0, -0.5]])
    walk = searching.beginning(library, torch.zeros(2, 1)).attacks.L2PGD(steps=1)
    behind = walk.get_loss_fn(PyTorchTensor, PyTorchTensor(torch.tensor([0, 1])))
    assert behind(logits).item() == pytest.approx(-1.5)
