"""Drawing: the same pixels whatever the batch, the order or the process, and what is refused."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synbench import ArgumentError, MixtureSpec, with_pixels
from synbench.drawing import Renderer, draw
from synbench.mixture import check_image_shape


def whole(spec, split, scale, n, batch_size):
    renderer = Renderer(spec, "cpu")
    parts = [renderer.split(split, scale, at, min(at + batch_size, n)) for at in range(0, n, batch_size)]
    return torch.cat([images for images, _ in parts]).numpy(), np.concatenate([labels for _, labels in parts])


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 5, 7), (3, 224, 224)], ids=str)
def test_pixels_are_equal_bit_for_bit_at_every_batch_size(shape):
    spec = MixtureSpec(shape, scales=[1.5], seed=3)
    n = 300 if shape[1] < 224 else 20
    pixels, labels = whole(spec, "train", 1.5, n, 64)
    for size in (1, 7, 64, 1000):
        again, same = whole(spec, "train", 1.5, n, size)
        assert np.array_equal(again, pixels), size
        assert np.array_equal(same, labels), size


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=20), st.sampled_from([(3, 8, 8), (2, 3, 5)]))
def test_rows_are_the_same_in_any_order_and_alone(index, shape):
    spec = MixtureSpec(shape, scales=[0.7], seed=5, direction="random")
    labels = spec.labels("test", 0.7, 701)
    sequence, _ = whole(spec, "test", 0.7, 701, 64)
    drawn = draw(spec, "test", 0.7, index, labels[index]).numpy()
    assert np.array_equal(drawn, sequence[index])


def test_parts_of_a_split_are_the_parts_of_the_whole():
    spec = MixtureSpec((3, 8, 8), scales=[1.0])
    all_images, all_labels = whole(spec, "train", 1.0, 101, 64)
    for first, last in ((0, 33), (33, 67), (67, 101)):
        part = Renderer(spec, "cpu").split("train", 1.0, first, last)
        assert np.array_equal(part[0].numpy(), all_images[first:last])
        assert np.array_equal(part[1], all_labels[first:last])


def test_more_samples_only_add_images():
    spec = MixtureSpec((3, 8, 8), scales=[1.0])
    assert np.array_equal(whole(spec, "test", 1.0, 30, 64)[0], whole(spec, "test", 1.0, 50, 64)[0][:30])
    assert np.array_equal(spec.labels("test", 1.0, 31), spec.labels("test", 1.0, 50)[:31])


def test_a_scale_draws_the_same_beside_other_scales():
    alone, among = MixtureSpec((3, 8, 8), scales=[0.3]), MixtureSpec((3, 8, 8), scales=[0.1, 0.1 + 0.2])
    assert np.array_equal(
        draw(alone, "train", 0.3, range(9), [0] * 9).numpy(),
        np.float32(draw(among, "train", among.scales[1], range(9), [0] * 9).numpy()),
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 300), st.integers(0, 5))
def test_labels_are_balanced_in_pairs_and_random(samples, seed):
    labels = MixtureSpec(8, scales=[1.0], seed=seed).labels("train", 1.0, samples)
    even = labels[: samples // 2 * 2]
    assert (even[::2] + even[1::2] == 1).all()
    assert set(labels) == {0, 1}


def test_labels_have_no_order():
    labels = MixtureSpec(8, scales=[1.0]).labels("train", 1.0, 4000)
    # 2000 fair coins: 4.5 standard errors, one false alarm in 150,000 seeds.
    assert abs(labels[::2].mean() - 0.5) < 4.5 * 0.5 / np.sqrt(2000)


@pytest.mark.parametrize("direction", ["uniform", "random", "given"])
def test_direction_has_norm_1(direction):
    shape = (3, 4, 5)
    spec = MixtureSpec(shape, direction=np.full(shape, 7.0) if direction == "given" else direction)
    unit = spec.mean_direction()
    assert unit.shape == (60,)
    assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-12)


def test_random_direction_follows_the_seed():
    one, same, other = (MixtureSpec(8, direction="random", seed=s).mean_direction() for s in (0, 0, 1))
    assert np.array_equal(one, same)
    assert abs(one @ other) < 0.5


def test_pixels_of_this_renderer_are_pinned_down_to_rounding():
    """A change of the way to draw must raise RENDERER_VERSION: stored recipes would mean other pixels."""
    images = draw(MixtureSpec((1, 4, 4), scales=[1.0]), "train", 1.0, [0, 1], [0, 1]).numpy()
    # Five decimals: vector units differ in the last bits of a logarithm.
    text = " ".join(f"{abs(v):.4f}" for v in images.ravel())
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "3452bade51f7c6f3"


def test_recipes_draw_the_pixels_that_are_embedded():
    spec = MixtureSpec((3, 8, 8), scales=[1.0, 2.0], seed=4)
    rows = spec.to_dataset(samples=40)
    assert rows.column_names == ["mixture", "split", "scale", "label", "index"]
    assert rows.data.nbytes / len(rows) < 64, "a recipe is a few bytes"
    sequence, labels = whole(spec, "test", 2.0, 40, 16)
    found = rows.filter(lambda s, t: s == 2.0 and t == "test", input_columns=["scale", "split"])[:]
    assert np.array_equal(found["pixel_values"], sequence)
    assert found["label"] == labels.tolist()
    assert found["index"] == list(range(40))


def test_rows_read_the_same_in_every_way():
    rows = MixtureSpec((3, 8, 8), scales=[1.0, 2.0]).to_dataset(samples=30, split="train")
    everything = rows[:]["pixel_values"]
    assert everything.dtype == np.float32
    assert np.array_equal(rows[17]["pixel_values"], everything[17])
    assert np.array_equal(rows[[40, 3, 3]]["pixel_values"], everything[[40, 3, 3]])
    assert np.array_equal(np.concatenate([b["pixel_values"] for b in rows.iter(7)]), everything)
    assert rows["label"][:3] == rows[:3]["label"], "a column alone needs no drawing"
    assert np.array_equal(rows.select([5, 1])[:]["pixel_values"], everything[[5, 1]])


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_workers_draw_the_same_pixels(workers):
    spec = MixtureSpec((3, 8, 8), scales=[1.0, 2.0])
    rows = spec.to_dataset(samples=30)
    loader = torch.utils.data.DataLoader(rows, batch_size=7, num_workers=workers)
    assert np.array_equal(torch.cat([b["pixel_values"] for b in loader]).numpy(), rows[:]["pixel_values"])


@pytest.mark.parametrize("shards", [1, 3])
def test_iterable_dataset_has_every_row_once_with_the_same_pixels(shards):
    spec = MixtureSpec((3, 8, 8), scales=[1.0, 2.0])
    rows, stream = spec.to_dataset(samples=20), spec.to_iterable_dataset(samples=20, num_shards=shards)
    assert stream.num_shards == shards
    key = lambda r: (r["split"], r["scale"], r["index"])  # noqa: E731
    ours = {key(r): r["pixel_values"] for r in stream}
    assert len(ours) == len(rows) == sum(1 for _ in stream)
    assert all(np.array_equal(ours[key(r)], r["pixel_values"]) for r in rows)


@pytest.mark.parametrize("direction", ["uniform", "given"])
def test_recipes_come_back_from_a_disk_with_the_same_pixels(tmp_path, direction):
    import datasets

    given_direction = np.arange(192.0) if direction == "given" else None
    spec = MixtureSpec((3, 8, 8), scales=[1.0], direction="uniform" if given_direction is None else given_direction)
    rows = spec.to_dataset(samples=20)
    rows.save_to_disk(tmp_path / "recipes")
    stored = sum(f.stat().st_size for f in (tmp_path / "recipes").rglob("*"))
    assert stored < 20_000, "only the recipes are stored"
    back = with_pixels(datasets.load_from_disk(tmp_path / "recipes"), given_direction)
    assert np.array_equal(back[:]["pixel_values"], rows[:]["pixel_values"])


def test_what_was_filtered_is_stored_filtered(tmp_path):
    import datasets

    rows = MixtureSpec((3, 8, 8), scales=[1.0]).to_dataset(samples=20).filter(lambda y: y == 0, input_columns="label")
    rows.save_to_disk(tmp_path / "filtered")
    back = with_pixels(datasets.load_from_disk(tmp_path / "filtered"))
    assert len(back) == len(rows) == 20
    assert np.array_equal(back[:]["pixel_values"], rows[:]["pixel_values"])


def test_a_dict_of_splits_is_read_split_by_split():
    import datasets

    rows = MixtureSpec((3, 8, 8), scales=[1.0]).to_dataset(samples=4)
    found = with_pixels(datasets.DatasetDict({"train": rows.with_format(None)}))
    assert np.array_equal(found["train"][:]["pixel_values"], rows[:]["pixel_values"])


def test_seeds_of_numpy_are_seeds():
    assert MixtureSpec(8, seed=np.int64(3)).to_dataset(samples=4) is not None
    assert MixtureSpec(8, seed=np.int64(3)) == MixtureSpec(8, seed=3)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_directions_of_any_length_are_directions(size):
    unit = MixtureSpec((1, 1, 2), direction=[3 * size, 4 * size]).mean_direction()
    np.testing.assert_allclose(unit, [0.6, 0.8])


def test_recipes_come_back_from_parquet_as_the_hub_stores_them(tmp_path):
    import datasets

    rows = MixtureSpec((3, 8, 8), scales=[1.0]).to_dataset(samples=20)
    rows.with_format(None).to_parquet(tmp_path / "recipes.parquet")
    load = lambda **how: datasets.load_dataset(  # noqa: E731
        "parquet", data_files=str(tmp_path / "recipes.parquet"), split="train", cache_dir=str(tmp_path / "cache"), **how
    )
    assert np.array_equal(with_pixels(load())[:]["pixel_values"], rows[:]["pixel_values"])
    streamed = np.stack([r["pixel_values"] for r in with_pixels(load(streaming=True))])
    assert np.array_equal(streamed, rows[:]["pixel_values"])


def test_spec_survives_its_json():
    for spec in (MixtureSpec(8), MixtureSpec((1, 4, 6), [0.5], "random", 9)):
        assert MixtureSpec.from_json(spec.to_json()) == spec


def test_recipes_of_another_renderer_or_direction_are_refused():
    spec = MixtureSpec(8, direction=np.arange(192.0))
    with pytest.raises(ArgumentError, match=r"class-mean direction of its own.* Pass the same array as direction="):
        MixtureSpec.from_json(spec.to_json())
    with pytest.raises(ArgumentError, match=r"was made with direction given:\w+, but given:\w+ was passed"):
        MixtureSpec.from_json(spec.to_json(), np.ones(192))
    with pytest.raises(ArgumentError, match=r"written for renderer 99, .* the pixels would differ\. Install"):
        MixtureSpec.from_json(spec.to_json().replace('"renderer":1', '"renderer":99'))
    with pytest.raises(ArgumentError, match=r"expected a mixture as MixtureSpec\.to_json\(\) writes it, got 'x'"):
        MixtureSpec.from_json("x")


def test_other_datasets_are_not_taken_for_recipes():
    import datasets

    with pytest.raises(ArgumentError, match=r"mixture, split, scale, index is missing\. Make them with"):
        with_pixels(datasets.Dataset.from_dict({"label": [0]}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scales": []}, r"scales must hold at least one number, got none"),
        ({"scales": [0.0]}, r"scales must lie in \(0, 1000\].*got 0\. The paper's grid"),
        ({"scales": [1.0, 1.0 + 1e-9]}, r"scales must differ .* Remove the duplicates"),
        ({"scales": [float("nan")]}, r"scales must be finite numbers"),
        ({"scales": "0.1"}, r"scales must be a sequence of numbers, got '0\.1'\. Put it in a list"),
        ({"seed": -1}, r"seed must be an integer of at least 0, got -1; every seed gives its own draws, 0 included"),
        ({"seed": 1.5}, r"seed must be an integer of at least 0, got 1\.5"),
        ({"direction": "up"}, r"direction must be 'uniform', 'random', 'texture' or an array of 192 numbers, got 'up'"),
        ({"direction": [1.0, 2.0]}, r"direction must hold 192 finite numbers.*got 2 with norm"),
        ({"direction": ["a", "b"]}, r"direction must be .* got list \(could not convert"),
        ({"image_shape": np.array([[3, 8], [8, 8]])}, r"image_size must be one to three integers"),
        ({"image_shape": None}, r"image_size must be an integer of at least 1, got None"),
        ({"direction": np.zeros(192)}, r"not all zero .*got 192 with norm 0"),
        (
            {"image_shape": (1, 2, 3, 4)},
            r"image_size must be one to three integers, got \(1, 2, 3, 4\); give a size such",
        ),
        ({"image_shape": (0, 8)}, r"image_size must be an integer of at least 1, got 0"),
    ],
)
def test_bad_specs_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        MixtureSpec(**{"image_shape": 8, **arguments})


def test_bad_dataset_arguments_are_refused():
    spec = MixtureSpec(8)
    with pytest.raises(ArgumentError, match=r"samples must be an integer of at least 2, got 1; the paper uses 2048"):
        spec.to_dataset(samples=1)
    with pytest.raises(ArgumentError, match=r"split must be 'train', 'test' or None for both, got 'dev'"):
        spec.to_dataset(split="dev")
    with pytest.raises(ArgumentError, match=r"num_shards must be an integer of at least 1, got 0"):
        spec.to_iterable_dataset(num_shards=0)
    with pytest.raises(ArgumentError, match=r"num_shards must be at most the number of rows, 8, got 9"):
        MixtureSpec(8, scales=[1.0]).to_iterable_dataset(4, num_shards=9)
    with pytest.raises(ArgumentError, match=r"split must be 'train' or 'test', got 'dev'"):
        spec.labels("dev", 1.0, 2)


def test_image_shapes_are_read_as_users_write_them():
    assert (
        check_image_shape(8)
        == check_image_shape([8])
        == check_image_shape(np.array([8, 8]))
        == check_image_shape((8, 8))
        == (3, 8, 8)
    )
    assert check_image_shape((1, 8, 6)) == (1, 8, 6)
    assert check_image_shape((8, 6)) == (3, 8, 6)
