"""From a data set to pixels: the ways it comes, its columns, which rows are taken, and how a picture is cut."""

import io
import os
import re
import subprocess
import sys
import warnings

import datasets
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from synbench import ArgumentError, HubError
from synbench.probe.choosing import choose
from synbench.probe.columns import chosen_classes, class_names, image_column, label_column
from synbench.probe.opening import open_dataset
from synbench.probe.pictures import fitted
from synbench.probe.subsets import fold_of, stratified

from .hub.server import Hub

NAMES = ["cat", "dog", "owl"]


def picture(value, size=(6, 4), mode="RGB"):
    return Image.new("RGB", size, (value, 255 - value, 7)).convert(mode)


def made(labels, names=NAMES, **more):
    """Return a data set whose pictures tell their row by their red."""
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}
    columns = {"image": [picture(row % 256) for row in range(len(labels))], "label": list(labels), **more}
    features |= {name: datasets.Value("string") for name in more}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(2, 30), min_size=2, max_size=6), st.data())
def test_every_class_gets_its_share(counts, data):
    labels = np.repeat(np.arange(len(counts)) * 3, counts)
    wanted = data.draw(st.integers(2 * len(counts), len(labels)))
    rows = stratified(labels, wanted, [0], least=2)
    assert len(rows) == wanted
    assert (np.diff(rows) > 0).all()
    taken = np.array([(labels[rows] == 3 * k).sum() for k in range(len(counts))])
    exact = 2 + (np.array(counts) - 2) * (wanted - 2 * len(counts)) / max(len(labels) - 2 * len(counts), 1)
    assert (abs(taken - exact) < 1).all(), "within rounding of what is exact"
    assert (taken >= 2).all()


def test_a_subset_is_drawn_by_its_seed():
    labels = np.repeat([0, 1], 500)
    draws = [stratified(labels, 100, [seed]) for seed in range(2)]
    assert np.array_equal(draws[0], stratified(labels, 100, [0]))
    shared = len(np.intersect1d(*draws))
    # Two draws of 50 out of 500 share a hypergeometric number: mean 5 a class, deviation 2.0; 4 deviations of both.
    assert abs(shared - 10) < 4 * np.sqrt(2) * 2.02
    with pytest.raises(ArgumentError, match="expected at least 4 pictures, 2 of each of 2 classes, got 3"):
        stratified(labels, 3, [0], least=2)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(2, 20), min_size=2, max_size=5), st.integers(2, 6))
def test_folds_are_even_and_leave_every_class_to_fit_on(counts, folds):
    labels = np.repeat(np.arange(len(counts)), counts)
    fold = fold_of(labels, folds, 0)
    assert np.ptp(np.bincount(fold, minlength=folds)) <= 1
    for k in range(len(counts)):
        assert np.ptp(np.bincount(fold[labels == k], minlength=folds)) <= 1
        for out in range(folds):
            assert ((labels == k) & (fold != out)).any()


def folder_of_classes(place, splits=("train", "test"), each=3):
    for split in splits:
        for name in NAMES:
            (place / split / name).mkdir(parents=True)
            for k in range(each):
                picture(40 * k).save(place / split / name / f"{k}.png")
    return place


def parquet(labels):
    stream = io.BytesIO()
    made(labels).to_parquet(stream)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["folder", "parquets", "parquet", "saved", "saved dict", "object", "dict"])
def test_every_way_a_data_set_comes(kind, tmp_path):
    labels = {"train": [0, 1, 2] * 3, "test": [0, 1, 2]}
    whole = datasets.DatasetDict({split: made(values) for split, values in labels.items()})
    place = tmp_path / "data"
    match kind:
        case "folder":
            folder_of_classes(place)
        case "parquets":
            place.mkdir()
            for split, values in labels.items():
                (place / f"{split}.parquet").write_bytes(parquet(values))
        case "parquet":
            place.mkdir()
            (place / "one.parquet").write_bytes(parquet(labels["train"]))
        case "saved":
            whole["train"].save_to_disk(place)
        case "saved dict":
            whole.save_to_disk(place)
    given = {"object": whole["train"], "dict": whole, "parquet": place / "one.parquet"}.get(kind, str(place))
    opened = open_dataset(given)
    assert set(opened.splits) == ({"train"} if kind in ("parquet", "saved", "object") else {"train", "test"})
    chosen = choose(opened)
    assert chosen.classes == NAMES
    assert (chosen.image_column, chosen.label_column) == ("image", "label")
    assert sorted(set(chosen.train.labels)) == [0, 1, 2]
    shown = chosen.train.pixels([0], (3, 4, 4))
    assert shown.shape == (1, 3, 4, 4)
    # JPEG or PNG, what was stored is what is read: blue is 7 everywhere.
    assert np.allclose(shown[0, 2], 7 / 255)


def test_labels_go_with_their_pictures():
    labels = np.random.default_rng(0).integers(0, 3, 90)
    chosen = choose(open_dataset(made(labels)), train_images=30, test_images=12, seed=4)
    for pictures in (chosen.train, chosen.test):
        red = pictures.pixels(range(len(pictures)), (3, 4, 6))[:, 0, 0, 0] * 255
        assert np.array_equal(np.rint(red).astype(int), pictures.rows)
        assert np.array_equal(labels[pictures.rows], pictures.labels)
    assert len(chosen.train) == 30
    assert len(chosen.test) == 12
    assert not np.intersect1d(chosen.train.rows, chosen.test.rows).size, "what is held out is not fitted on"
    assert "18 of the 90 pictures of 'train' were held out" in chosen.warnings[0]
    other = choose(open_dataset(made(labels)), train_images=30, test_images=12, seed=5)
    assert not np.array_equal(other.train.rows, chosen.train.rows)


def test_the_split_to_test_on():
    labels = [0, 1, 2] * 4

    def of(**splits):
        return open_dataset(datasets.DatasetDict({"train": made(labels), **splits}))

    assert choose(of(test=made(labels), validation=made(labels))).test.split == "test"
    assert choose(of(validation=made(labels))).test.split == "validation"
    assert choose(of(other=made(labels)), test_split="other").test.split == "other"
    unlabelled = choose(of(test=made([-1] * 12), validation=made(labels)))
    assert unlabelled.test.split == "validation"
    assert unlabelled.warnings == ["The split 'test' has no labels of these classes, and was not used."]
    some = choose(of(test=made([0, 1, -1])))
    assert some.test.labels.tolist() == [0, 1]
    assert some.warnings == [
        "1 of 3 classes have no picture in the split 'test'.",
        "1 pictures of the split 'test' have another label or none, and were left out.",
    ]


def test_classes_are_matched_by_name_and_not_by_number():
    splits = {"train": made([0, 1, 2] * 2), "test": made([0, 0, 1], names=["owl", "cat"])}
    chosen = choose(open_dataset(datasets.DatasetDict(splits)))
    assert [chosen.classes[k] for k in chosen.test.labels] == ["owl", "owl", "cat"]


def test_a_subset_of_the_classes():
    chosen = choose(open_dataset(made([0, 1, 2] * 6)), classes=["owl", 0])
    assert chosen.classes == ["cat", "owl"]
    names = [chosen.classes[k] for k in chosen.train.labels]
    assert {NAMES[row % 3] for row in chosen.train.rows} == {"cat", "owl"}
    assert [NAMES[row % 3] for row in chosen.train.rows] == names


def test_labels_that_are_strings_or_numbers():
    data = made([0] * 6, kind=["b", "a"] * 3)
    assert class_names(data, "kind") == (["b", "a"] * 3, ["a", "b"])
    numbers = made([0] * 6).remove_columns("label").add_column("class", [10, 9] * 3)
    assert label_column(numbers, None) == "class"
    assert choose(open_dataset(numbers)).classes == ["9", "10"]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"train_split": "trian"}, r"train_split must be one of the splits of 'Dataset', 'train', got 'trian'"),
        ({"test_split": "val"}, r"test_split must be one of the splits of 'Dataset', 'train', got 'val'"),
        ({"test_split": "train"}, r"test_split must be another split than train_split"),
        ({"image_column": "img"}, r"image_column must be one of the dataset's columns, image \(PIL.*'img'"),
        ({"image_column": "note"}, r"image_column must name a column of pictures, but 'note' is string"),
        ({"label_column": "image"}, r"label_column must name classes, integers or strings, but 'image' is PIL"),
        ({"classes": ["cat", "cow"]}, r"classes must be among those of the dataset \(cat, dog, owl\), got 'cow'"),
        ({"classes": ["cat", 0]}, r"classes must differ from each other"),
        ({"classes": "cat"}, r"classes must be a list of names, such as \['cat', 'dog'\], got 'cat'"),
        ({"classes": ["cat"]}, r"expected pictures of two classes or more in the split 'train', got 1"),
        ({"classes": ["cat", "owl"]}, r"there is no picture of 'owl' in the split 'train'"),
        ({"train_images": 3}, r"expected at least 4 pictures, 2 of each of 2 classes, got 3"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(how, message):
    data = made([0, 1] * 5, note=["x"] * 10)
    with pytest.raises(ArgumentError, match=message):
        choose(open_dataset(data), **how)


def test_too_few_pictures_of_a_class():
    with pytest.raises(ArgumentError, match="expected two pictures or more of every class to fit on, got 1 of 'owl'"):
        choose(open_dataset(datasets.DatasetDict(train=made([0, 0, 1, 1, 2]), test=made([0, 1]))))


def test_columns_that_cannot_be_told_apart_are_named():
    data = made([0, 1])
    with pytest.raises(ArgumentError, match=r"got no column of pictures in label \(int64\)"):
        image_column(data.remove_columns("image"), None)
    with pytest.raises(ArgumentError, match=r"expected a column of labels, got image .* such as train/cat/1.png"):
        label_column(data.remove_columns("label"), None)
    two = datasets.Dataset.from_dict(
        {"fine": [0], "coarse": [0], "one": [picture(0)], "two": [picture(0)]},
        features=datasets.Features(
            fine=datasets.ClassLabel(names=NAMES), coarse=datasets.ClassLabel(names=NAMES),
            one=datasets.Image(), two=datasets.Image(),
        ),
    )  # fmt: skip
    with pytest.raises(ArgumentError, match=r"expected one column of labels, got fine, coarse. Pass label_column="):
        label_column(two, None)
    with pytest.raises(ArgumentError, match="got the columns of pictures one, two in fine"):
        image_column(two, None)
    assert chosen_classes(None, NAMES) is None


def test_a_data_set_that_cannot_be_read(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.csv").write_text("a")
    for asked, message in [
        (tmp_path / "empty", "cannot read the dataset '.*empty'.* Expected pictures with labels"),
        (tmp_path / "text.csv", "expected a parquet file or a folder, got the file"),
        (7, "dataset must be the name of a dataset on the Hub, .* got 'int'"),
        (made([0]).to_iterable_dataset(), "got 'IterableDataset'. Of a stream, pass the name"),
        (" ", "dataset must be the name"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            open_dataset(asked)
    with pytest.raises(ArgumentError, match="dataset_revision= is for datasets on the Hub"):
        open_dataset(tmp_path / "empty", revision="main")


def test_a_picture_that_cannot_be_read():
    data = made([0, 1] * 3)
    broken = [
        {"bytes": b"no picture", "path": None},
        *data.cast_column("image", datasets.Image(decode=False))["image"][1:],
    ]
    data = data.remove_columns("image").add_column("image", broken).cast_column("image", datasets.Image())
    train = choose(open_dataset(datasets.DatasetDict(train=data, test=data))).train
    with pytest.raises(ArgumentError, match="cannot read the picture in row 0 of the split 'train'"):
        train.pixels([0], (3, 4, 4))
    assert train.pixels([1], (3, 4, 4)).shape == (1, 3, 4, 4)


def test_a_picture_is_cut_around_its_centre():
    wide = np.zeros((4, 12, 3), dtype=np.uint8)
    wide[:, 4:8] = 255
    for values in (wide, wide.transpose(1, 0, 2)):
        assert (fitted(Image.fromarray(values), (3, 4, 4)) == 1).all()
    # To twice the size, and to a size that is not square.
    large = fitted(Image.fromarray(wide), (3, 8, 6))
    assert large.shape == (3, 8, 6)
    assert (large == 1).all()


def test_a_picture_that_shrinks_keeps_its_mean():
    """Antialiasing: black and white by pixel become gray, and not one of the two."""
    board = np.indices((64, 64)).sum(0) % 2 * 255
    small = fitted(Image.fromarray(board.astype(np.uint8)), (3, 8, 8))
    # Away from the edges, where the bicubic kernel is whole; pixels are rounded to 8 bits.
    assert abs(small[:, 2:-2, 2:-2] - 0.5).max() < 2.5 / 255


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK", "LA", "I;16", "I"])
def test_pictures_of_any_mode_become_rgb(mode):
    if mode.startswith("I"):
        values = np.full((4, 4), 51 * 257, dtype=np.uint16 if mode == "I;16" else np.int32)
        shown = Image.fromarray(values)
        assert shown.mode == mode
    else:
        shown = Image.new("L", (4, 4), 255 if mode == "1" else 51).convert("RGB").convert("L").convert(mode)
    assert np.allclose(fitted(shown, (3, 4, 4)), 1 if mode == "1" else 0.2, atol=0.5 / 255)
    assert fitted(shown, (1, 4, 4)).shape == (1, 4, 4)


def test_pixels_of_unknown_range_are_refused():
    with pytest.raises(ValueError, match="floating point numbers of unknown range"):
        fitted(Image.new("F", (4, 4), 0.5), (3, 4, 4))
    with pytest.raises(ValueError, match="integers beyond 16 bits"):
        fitted(Image.new("I", (4, 4), 70_000), (3, 4, 4))


def test_pictures_have_a_digest_of_their_content(tmp_path):
    def digest(data, **how):
        return choose(open_dataset(data), **how).train.digest()

    both = datasets.DatasetDict(train=made([0, 1] * 4), test=made([0, 1]))
    both.save_to_disk(tmp_path / "kept")
    assert digest(both) == digest(tmp_path / "kept"), "wherever they lie"
    assert digest(both) != digest(both, train_images=4)
    turned = datasets.DatasetDict(train=both["train"].select(range(7, -1, -1)), test=both["test"])
    assert digest(both) != digest(turned), "in their order"
    folder_of_classes(tmp_path / "files")
    before = digest(tmp_path / "files")
    assert before == digest(tmp_path / "files")
    picture(200).save(tmp_path / "files" / "train" / "cat" / "0.png")
    assert digest(tmp_path / "files") != before, "of a file that has changed"


def test_a_data_set_of_the_hub(tmp_path):
    script = (
        "from synbench.probe.choosing import choose\n"
        "from synbench.probe.opening import open_dataset\n"
        "opened = open_dataset('me/pictures')\n"
        "print(opened.commit, choose(opened).classes)\n"
        "for how in ({'config': 'other'}, {'revision': 'nowhere'}, {'revision': 'main'}, {'revision': '0' * 40}):\n"
        "    try: print(open_dataset('me/pictures', **how).commit)\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
    )
    with Hub() as hub:
        files = {f"data/{split}-00000-of-00001.parquet": parquet([0, 1, 2] * 2) for split in ("train", "test")}
        repository = hub.create("me/pictures", {"README.md": b"---\n---\n", **files}, kind="datasets")
        env = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=120)
    lines = done.stdout.splitlines()
    assert lines[0] == f"{repository.refs['main']} {NAMES}", done.stderr
    assert "ArgumentError cannot read the dataset 'me/pictures'" in lines[1]
    assert "'other' not found" in lines[1]
    assert lines[1].endswith("Choose one by config=.")
    assert "ArgumentError cannot find the dataset 'me/pictures'" in lines[2]
    assert "Check the name and dataset_revision=" in lines[2]
    assert lines[3] == repository.refs["main"]
    # Old releases of datasets take what they have of another commit; new ones say that this one is not there.
    assert re.match(r"HubError expected the dataset|ArgumentError cannot find the dataset", lines[4])


def test_a_commit_that_was_not_asked_for_is_refused(monkeypatch):
    """What old releases of datasets do where the Hub has no such commit, and all of them where it cannot be reached."""
    loaded = made([0, 1])
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: loaded)
    monkeypatch.setattr("synbench.probe.opening._commit", lambda _: "a" * 40)
    assert open_dataset("me/pictures", revision="a" * 40).commit == "a" * 40
    with pytest.raises(HubError, match=r"the commit bbbbbbbbbbbb, but only aaaaaaaaaaaa is at hand: the Hub cannot"):
        open_dataset("me/pictures", revision="b" * 40)


@pytest.mark.parametrize("asked", [None, "label"])
def test_labels_in_floating_point_are_to_be_cast(asked):
    data = made([0, 1]).cast_column("label", datasets.Value("float32"))
    with pytest.raises(ArgumentError, match=r"cast them to integers or strings, by dataset.cast_column\('label'"):
        label_column(data, asked)


def test_a_test_split_without_the_column_of_labels():
    bare = made([0, 1, 2]).remove_columns("label")
    splits = {"train": made([0, 1, 2] * 4), "test": bare}
    chosen = choose(open_dataset(datasets.DatasetDict(**splits, validation=made([0, 1, 2]))))
    assert chosen.test.split == "validation"
    assert chosen.warnings == ["The split 'test' has no column 'label', and was not used."]
    held = choose(open_dataset(datasets.DatasetDict(splits)))
    assert held.test.split == "train", "held out"
    with pytest.raises(ArgumentError, match="label_column must be one of the dataset's columns, image"):
        choose(open_dataset(datasets.DatasetDict(splits)), test_split="test")


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(2, 12), min_size=2, max_size=5).filter(lambda counts: max(counts) > 2), st.integers(0, 5))
@example([3, 33, 39], 0)  # rounding would take two of the three
def test_what_is_held_out_leaves_two_of_each_class_to_fit_on(counts, seed):
    chosen = choose(open_dataset(made(np.repeat(np.arange(len(counts)), counts), names=list("abcde"))), seed=seed)
    fitted_to, tested = (np.bincount(p.labels, minlength=len(counts)) for p in (chosen.train, chosen.test))
    assert (fitted_to >= 2).all()
    assert (fitted_to + tested == counts).all()
    assert ((tested > 0) == (np.array(counts) > 2)).all()
    few = counts.count(2)
    told = f"{few} of {len(counts)} classes have fewer than 3 pictures in 'train': all of these are fitted to"
    assert any(w.startswith(told) for w in chosen.warnings) == (few > 0)


def test_too_few_pictures_to_hold_some_out():
    with pytest.raises(
        ArgumentError, match="as there is no split to test on and one in 5 is held out for that, got at"
    ):
        choose(open_dataset(made([0, 0, 1, 1])))


@pytest.mark.parametrize("size", [(37, 50), (50, 37), (9, 5), (16, 12), (640, 480)])
@pytest.mark.parametrize("shape", [(3, 12, 16), (1, 24, 24)])
def test_a_picture_is_cut_as_if_it_were_resized_whole(size, shape):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    shown = Image.fromarray(noise).convert("RGB" if shape[0] == 3 else "L")
    scale = max(shape[1] / size[1], shape[2] / size[0])
    whole = max(shape[2], round(size[0] * scale)), max(shape[1], round(size[1] * scale))
    left, top = (whole[0] - shape[2]) // 2, (whole[1] - shape[1]) // 2
    large = np.asarray(shown.resize(whole, Image.Resampling.BICUBIC), dtype=float)
    exact = large[top : top + shape[1], left : left + shape[2]].reshape(*shape[1:], shape[0]).transpose(2, 0, 1)
    # Pillow rounds to 8 bits after each of two passes.
    assert abs(fitted(shown, shape) * 255 - exact).max() <= 2


def test_a_picture_of_one_pixel_by_many_takes_no_memory(monkeypatch):
    real, made_of = Image.Image.resize, []

    def counted(self, size, *rest, **how):
        made_of.append(size[0] * size[1])
        return real(self, size, *rest, **how)

    monkeypatch.setattr(Image.Image, "resize", counted)
    values = np.arange(60000) % 60000 // 30000 * 255
    for shown in (values[None], values[:, None]):
        cut = fitted(Image.fromarray(shown.astype(np.uint8)), (3, 224, 224))
        assert cut.shape == (3, 224, 224)
    assert max(made_of) == 224 * 224


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_gray_in_a_wider_place_is_scaled_by_what_is_stored(mode):
    for top in (255, 65535):
        values = np.linspace(0, top, 16).reshape(4, 4)
        shown = Image.fromarray(np.rint(values).astype(np.uint16 if mode == "I;16" else np.int32))
        assert shown.mode == mode
        assert np.allclose(fitted(shown, (1, 4, 4))[0], values / top, atol=1 / 255)


def test_a_palette_with_transparency_becomes_rgb_without_a_warning():
    shown = Image.new("P", (4, 4), 1)
    shown.putpalette([0, 0, 0, 51, 102, 204])
    shown.info["transparency"] = bytes([255, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = fitted(shown, (3, 4, 4))
    assert np.allclose(values[:, 0, 0], [0.2, 0.4, 0.8]), "what is stored below it shows"


def test_each_picture_has_a_hash_of_its_own():
    data = made([0, 1] * 4)
    pictures = choose(open_dataset(datasets.DatasetDict(train=data, test=data.select([3, 3, 1])))).test
    first, second, third = pictures.hashes()
    assert first == second != third
    assert set(pictures.hashes()) < set(
        choose(open_dataset(datasets.DatasetDict(train=data, test=data))).train.hashes()
    )
