"""The zoo of the validity study: its recipes, its tasks, and one encoder of it trained on digits."""

import argparse
import io
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import synbench
from benchmarks.study import pretexts, training, zoo
from benchmarks.study.architectures import FAMILIES
from benchmarks.study.recipes import ALL, FIRST, LISTS, SECOND, Recipe
from synbench.errors import ArgumentError, EncoderError
from synbench.pooling import choose

CLASSES = (3, 0, 7)
TINY = Recipe("resnet", 64, "supervised", 4)


def digits():
    """Digits as bytes (n, 3, 32, 32), each pixel a block of 4 x 4, with their classes."""
    found = load_digits()
    grey = (found.images * (255 / 16)).astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)
    return torch.from_numpy(grey)[:, None].repeat(1, 3, 1, 1), torch.from_numpy(found.target)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with digits in place of CIFAR-10."""
    folder = tmp_path_factory.mktemp("digits")
    images, labels = digits()
    for name, rows in (("train", slice(0, 900)), ("test", slice(900, 1500))):
        coded = []
        for picture in images[rows].permute(0, 2, 3, 1).numpy():
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "png")
            coded.append({"bytes": file.getvalue()})
        pq.write_table(pa.table({"img": coded, "label": labels[rows].numpy()}), folder / f"{name}.parquet")
    return folder


def run(data, out, *more, name="resnet-256-supervised-1"):
    zoo.main([str(data), str(out), "--only", name, "--quick", "--classes", *map(str, CLASSES), *more])


TESTED = {name: recipes for name, recipes in LISTS.items() if name != "shallow"}


@pytest.mark.parametrize("recipes", TESTED.values(), ids=TESTED)
def test_each_list_has_many_kinds(recipes):
    assert len(recipes) == 32
    assert {recipe.family for recipe in recipes} == set(FAMILIES) - {"shallow"}
    assert {recipe.pretext for recipe in recipes} == {*pretexts.PRETEXTS, "untrained"}
    widths = {recipe.width for recipe in recipes}
    assert (min(widths), max(widths)) == (64, 384)


def test_no_encoder_is_in_two_lists():
    # A name is a seed: encoders of one name begin with the same weights.
    assert len({recipe.name for recipe in ALL}) == len({recipe.seed for recipe in ALL}) == 68
    kinds = [{(recipe.family, recipe.width, recipe.pretext) for recipe in recipes} for recipes in LISTS.values()]
    assert len(set().union(*kinds)) == sum(map(len, kinds))


def test_every_recipe_fits_its_task():
    for recipe in ALL:
        assert (recipe.epochs == 0) == (recipe.pretext == "untrained"), recipe
        assert (recipe.noise > 0) == (recipe.pretext in ("noisy", "masked")), recipe
        assert (recipe.most is not None) == (recipe.pretext == "shuffled"), recipe


@pytest.mark.parametrize("recipes", TESTED.values(), ids=TESTED)
@pytest.mark.parametrize("count", [8, 12, 16, 24])
def test_every_first_part_is_diverse(count, recipes):
    first = recipes[:count]
    assert len({recipe.family for recipe in first}) == 7
    assert len({recipe.pretext for recipe in first}) >= 6


@pytest.mark.parametrize(("family", "width"), sorted({(recipe.family, recipe.width) for recipe in ALL}))
def test_the_representation_has_the_width_of_the_recipe(family, width):
    model = FAMILIES[family].make(width).eval()
    with torch.inference_mode():
        output = model(pixel_values=torch.zeros(2, 3, 32, 32))
        assert choose(model, output)(output).shape == (2, width)


def test_only_the_classes_asked_for_are_seen():
    labels = torch.arange(10).repeat(3)
    images = labels.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 32, 32)
    found, numbered = zoo.of_classes(images, labels, (7, 2))
    assert found[:, 0, 0, 0].tolist() == [2, 7] * 3
    assert numbered.tolist() == [1, 0] * 3


@pytest.mark.parametrize("classes", [(), (1,), (1, 1), (1, 12)])
def test_classes_that_are_not_there_are_refused(classes):
    images, labels = torch.zeros(10, 3, 32, 32, dtype=torch.uint8), torch.arange(10)
    with pytest.raises(ArgumentError, match=r"two or more different classes out of .*0, 1, 2"):
        zoo.of_classes(images, labels, classes)


def test_shuffled_labels_tell_nothing_and_stay():
    recipe = Recipe("resnet", 64, "shuffled", 1, most=5000)
    labels = torch.arange(6000) % 5
    images = torch.zeros(6000, 1, dtype=torch.uint8)
    kept, found = zoo.chosen(recipe, images, labels, 5)
    assert len(kept) == len(found) == 5000
    # Agreement by chance: 1/5, within four standard errors.
    assert abs((found == labels[:5000]).float().mean() - 0.2) < 4 * math.sqrt(0.16 / 5000)
    assert torch.equal(found, zoo.chosen(recipe, images, labels, 5)[1])


def test_noise_is_in_units_of_a_pixel():
    torch.manual_seed(0)
    images = torch.full((64, 3, 32, 32), 128, dtype=torch.uint8)
    labels = torch.zeros(64)
    task = pretexts.PRETEXTS["noisy"]
    # Away from the filled edges of shifted pictures: the noise alone, twice as large after the division by std.
    inside = task.batch(images, labels, 0.2)[0][:, :, 4:-4, 4:-4] * 0.5
    assert inside.std().item() == pytest.approx(0.2, rel=4 / math.sqrt(2 * inside.numel()))
    assert task.batch(images, labels, 0.0)[0][:, :, 4:-4, 4:-4].unique().numel() == 1


def test_turns_are_counted_right():
    images, _ = digits()
    quarters = torch.arange(8) % 4
    found = pretexts.turned(images[:8], quarters)
    for one, image, times in zip(found, images, quarters, strict=False):
        np.testing.assert_array_equal(one.numpy(), np.rot90(image.numpy(), times, axes=(1, 2)))


def test_grey_pictures_have_no_colour_and_keep_their_luminance():
    colours = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [90, 90, 90]], dtype=torch.uint8)
    found = pretexts.greyed(colours.view(4, 3, 1, 1))
    assert found.dtype == torch.uint8
    assert found.view(4, 3).tolist() == [[76] * 3, [150] * 3, [29] * 3, [90] * 3]


def test_the_loss_of_perfect_pairs_is_known():
    """Partners equal, all others at right angles: each row has one 1/T among 2n − 2 zeros."""
    count, temperature = 6, pretexts.TEMPERATURE
    partners = pretexts.PRETEXTS["contrastive"].batch(digits()[0][:count], torch.zeros(count), 0.0)[1]
    found = pretexts.PRETEXTS["contrastive"].loss(3 * torch.eye(count).repeat(2, 1), partners)
    assert found.item() == pytest.approx(math.log(1 + (2 * count - 2) * math.exp(-1 / temperature)), rel=1e-5)


def test_views_are_of_the_same_picture_and_differ():
    torch.manual_seed(0)
    count = 40
    dark = torch.arange(count) % 2 == 0
    images = torch.where(dark, 20, 230).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 32, 32)
    views, partners = pretexts.PRETEXTS["contrastive"].batch(images, torch.zeros(count), 0.0)
    assert views.shape == (2 * count, 3, 32, 32)
    # Some of the bright ones are made too bright, and clipped.
    assert views.abs().max() <= 1
    found = views.mean(dim=(1, 2, 3)) < 0
    assert torch.equal(found, dark.repeat(2))
    assert torch.equal(found[partners], found)
    assert not torch.equal(views[:count], views[count:])


def test_half_of_the_blocks_are_blank_and_the_rest_is_the_picture():
    torch.manual_seed(0)
    images = torch.randint(140, 256, (200, 3, 32, 32), dtype=torch.uint8)
    seen, whole = pretexts.PRETEXTS["masked"].batch(images, torch.zeros(200), 0.0)
    whole = whole.view_as(seen)
    blank = seen == 0
    assert torch.equal(seen[~blank], whole[~blank])
    blocks = blank.view(200, 3, 4, 8, 4, 8).float().mean(dim=(1, 3, 5))
    assert set(blocks.unique().tolist()) == {0.0, 1.0}
    # 200 x 16 blocks, each blank with probability 1/2, within four standard errors.
    assert abs(blocks.mean().item() - 0.5) < 4 * 0.5 / math.sqrt(blocks.numel())


def test_training_learns_and_repeats_and_leaves_the_generator_alone(tmp_path):
    images, labels = zoo.of_classes(*digits(), CLASSES)
    before = torch.random.get_rng_state()
    model, head, loss = zoo.train(TINY, images[:384], labels[:384], 3, 8)
    again, _, same = zoo.train(TINY, images[:384], labels[:384], 3, 8)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert loss == same
    weights, others = model.state_dict(), again.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    zoo.save(model, tmp_path / "tiny")
    share = zoo.share_right(zoo.read_back(tmp_path / "tiny"), head, images[384:], labels[384:])
    # Guessing: 1/3 of 153 digits, four standard errors below 0.49.
    assert share > 0.6
    assert loss < math.log(3)


def test_an_untrained_encoder_is_what_its_seed_makes():
    model, head, loss = zoo.train(Recipe("resnet", 64, "untrained", 0), torch.zeros(0, 3, 32, 32), torch.zeros(0), 3, 0)
    other, _, _ = zoo.train(Recipe("resnet", 128, "untrained", 0), torch.zeros(0, 3, 32, 32), torch.zeros(0), 3, 0)
    assert head is None
    assert loss is None
    first = next(model.parameters())
    assert not torch.equal(first, next(other.parameters())[:, :, : first.shape[2]])


def test_a_loss_that_is_not_finite_is_refused(monkeypatch):
    broken = pretexts.Pretext(
        pretexts.classifier, pretexts.PRETEXTS["supervised"].batch, lambda x, _: x.sum() * math.nan
    )
    monkeypatch.setitem(training.PRETEXTS, "supervised", broken)
    images, labels = digits()
    with pytest.raises(
        EncoderError, match=r"resnet-64-supervised-4: expected a finite loss, got nan. .* rate for resnet"
    ):
        zoo.train(TINY, images[:256], labels[:256], 10, 1)


def test_a_folder_is_whole_and_told_in_the_record(data, tmp_path, capsys):
    run(data, tmp_path)
    (name,) = [entry.name for entry in tmp_path.iterdir() if entry.is_dir()]
    record = json.loads((tmp_path / "zoo.json").read_text())[name]
    assert record == json.loads((tmp_path / name / "recipe.json").read_text())
    told = {key: record[key] for key in ("family", "width", "pretext", "epochs", "pictures", "classes")}
    assert told == {
        "family": "resnet",
        "width": 256,
        "pretext": "supervised",
        "epochs": 1,
        "pictures": 256,
        "classes": list(CLASSES),
    }
    assert 0 <= record["accuracy"] <= 1
    assert math.isfinite(record["final_loss"])
    encoder = synbench.load_encoder(tmp_path / name, device="cpu")
    assert encoder.record.dimension == 256
    assert encoder.contract.shape == (3, 32, 32)
    assert encoder.contract.mean == encoder.contract.std == (0.5, 0.5, 0.5)
    assert sum(weights.numel() for weights in encoder.module.parameters()) == record["parameters"]
    written = (tmp_path / name / "model.safetensors").stat().st_mtime_ns
    run(data, tmp_path)
    assert (tmp_path / name / "model.safetensors").stat().st_mtime_ns == written
    assert "is there" in capsys.readouterr().err
    with pytest.raises(
        SystemExit, match=r"to be made with {.*'classes': \[3, 1\]}, got .*Remove it, or take another OUT"
    ):
        run(data, tmp_path, "--classes", "3", "1")


def test_what_was_stopped_leaves_no_folder(data, tmp_path, monkeypatch):
    def stopped(model, folder):
        folder.mkdir()
        (folder / "half").write_text("")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(zoo, "save", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(data, tmp_path)
    assert not (tmp_path / "resnet-256-supervised-1").exists()
    run(data, tmp_path)
    assert not (tmp_path / "resnet-256-supervised-1" / "half").exists()
    assert zoo.read_back(tmp_path / "resnet-256-supervised-1").record.dimension == 256


def test_another_preprocessing_than_the_training_s_is_refused(data, tmp_path):
    run(data, tmp_path, name="resnet-128-untrained")
    file = tmp_path / "resnet-128-untrained" / "preprocessor_config.json"
    file.write_text(file.read_text().replace("0.5", "0.4"))
    with pytest.raises(EncoderError, match=r"expected shape, mean, std and order .*0.5.* got .*0.4"):
        zoo.read_back(file.parent)


def test_the_record_has_what_another_process_finished_meanwhile(tmp_path, monkeypatch):
    def finish(name):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.json").write_text(json.dumps({"name": name}))

    finish(FIRST[1].name)
    write = zoo.Path.write_text

    def slow(path, text):
        if not (tmp_path / FIRST[0].name).exists():
            finish(FIRST[0].name)
        return write(path, text)

    monkeypatch.setattr(
        zoo.Path, "write_text", lambda path, text: slow(path, text) if "zoo" in path.name else write(path, text)
    )
    assert list(zoo.collect(tmp_path)) == [FIRST[0].name, FIRST[1].name]
    assert list(json.loads((tmp_path / "zoo.json").read_text())) == [FIRST[0].name, FIRST[1].name]


def test_shards_share_the_list(data, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(zoo, "make", lambda recipe, *_, **__: made.append(recipe.name))
    for part in ("1/3", "2/3", "3/3"):
        zoo.main([str(data), str(tmp_path), "--quick", "--shard", part])
    assert sorted(made) == sorted(recipe.name for recipe in FIRST)
    assert made[:2] == [FIRST[0].name, FIRST[3].name]
    made.clear()
    zoo.main([str(data), str(tmp_path), "--quick", "--list", "second"])
    assert made == [recipe.name for recipe in SECOND]


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/"])
def test_shards_that_make_no_sense_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"expected K/N with K from 1 to N, such as 1/2, got {text}"):
        zoo.shard(text)


def test_weights_of_others_are_taken_over_by_their_place_or_refused():
    from benchmarks.study.published import renamed

    given = {"_bn0.weight": torch.ones(2), "_bn0.bias": torch.full((2,), 3.0)}
    found = renamed(given, {"bn1.weight": torch.zeros(2), "bn1.bias": torch.zeros(2)})
    assert {name: value.tolist() for name, value in found.items()} == {"bn1.weight": [1, 1], "bn1.bias": [3, 3]}
    with pytest.raises(EncoderError, match=r"expected bn1\.bias of shape \(2,\), got _bn0\.weight of shape \(2,\)\."):
        renamed(given, {"bn1.bias": torch.zeros(2), "bn1.weight": torch.zeros(2)})
    with pytest.raises(EncoderError, match=r"expected bn1\.weight of shape \(3,\), got _bn0\.weight of shape \(2,\)"):
        renamed(given, {"bn1.weight": torch.zeros(3), "bn1.bias": torch.zeros(2)})
    with pytest.raises(EncoderError, match="expected 1 tensors, got 2"):
        renamed(given, {"bn1.weight": torch.zeros(2)})
