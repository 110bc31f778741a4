"""The design of the population protocol, and the images that are drawn by it."""

import numpy as np
import pytest
import torch

from synbench import MixtureSpec
from synbench.design import design
from synbench.drawing import Renderer, draw_population
from synbench.embedding import embed_population
from synbench.encoders import Encoder, ModelRecord
from synbench.preprocessing import from_arguments

SPEC = MixtureSpec((3, 8, 8), scales=[0.5, 1.0, 2.0], seed=3)


def images_of(spec, start, stop, size):
    renderer = Renderer(spec, "cpu")
    rows = [design(spec, at, min(at + size, stop)) for at in range(start, stop, size)]
    parts = [renderer.population(made) for made in rows]
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts]), rows


def test_more_images_never_change_the_earlier_ones():
    few, many = design(SPEC, 0, 1000), design(SPEC, 0, 5000)
    for name in ("labels", "scales", "draws"):
        assert np.array_equal(getattr(few, name), getattr(many, name)[:1000])
        assert np.array_equal(getattr(design(SPEC, 997, 1003), name), getattr(many, name)[997:1003])


def test_classes_are_balanced_and_scales_uniform_and_independent():
    made = design(SPEC, 0, 40_000)
    assert made.labels.mean() == 0.5
    counts = np.array([(made.scales == s).sum() for s in SPEC.scales])
    # 30,000 independent choices, of which a third is expected; one choice is counted twice. 5 standard errors.
    assert np.abs(counts / 40_000 - 1 / 3).max() < 5 * np.sqrt(2 / 9 / 30_000 * 2)
    high = made.scales[made.labels == 1]
    assert abs(high.mean() - made.scales.mean()) < 5 * made.scales.std() / np.sqrt(20_000)
    other = design(MixtureSpec((3, 8, 8), scales=SPEC.scales, seed=4), 0, 1000)
    assert not np.array_equal(other.scales, made.scales[:1000])
    assert not np.array_equal(other.labels, made.labels[:1000])


def test_two_of_four_images_share_their_noise_and_nothing_else_does():
    images, coordinates, (made,) = images_of(SPEC, 0, 400, 400)
    t = torch.as_tensor((2 * made.labels - 1) * made.scales)
    noise = images.double().reshape(400, -1) - 0.5 - t[:, None] * torch.as_tensor(SPEC.mean_direction())
    correlation = np.corrcoef(noise.numpy())
    same = made.draws[:, None] == made.draws
    assert same.sum() == 400 + 200
    assert correlation[same].min() > 1 - 1e-6
    # Independent noise correlates by 1/√192 = 0.07: 0.45 is 6 standard errors over 80,000 pairs.
    assert np.abs(correlation[~same]).max() < 0.45
    np.testing.assert_allclose(coordinates.numpy(), noise.numpy() @ SPEC.mean_direction(), atol=1e-5)
    pairs = np.arange(0, 400, 4)
    assert (made.labels[pairs] != made.labels[pairs + 1]).all()
    assert (made.scales[pairs] == made.scales[pairs + 1]).all()
    assert (made.labels[pairs + 2] != made.labels[pairs + 3]).all()


def test_noise_is_standard_normal_and_independent_of_the_paper_protocols():
    images, coordinates, (made,) = images_of(SPEC, 0, 8000, 8000)
    n = 6000
    firsts = np.unique(made.draws, return_index=True)[1]
    own = coordinates.numpy()[firsts]
    assert abs(own.mean()) < 5 / np.sqrt(n)
    assert abs(own.var() - 1) < 5 * np.sqrt(2 / n)
    from synbench.drawing import draw

    paper = draw(SPEC, "train", 1.0, range(200), SPEC.labels("train", 1.0, 200)).reshape(200, -1).numpy()
    ours = images.reshape(8000, -1).numpy()[:200]
    assert np.abs(np.corrcoef(ours, paper)[:200, 200:]).max() < 0.45


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_same_images_whatever_the_batch_size_and_the_start(size):
    whole, along, _ = images_of(SPEC, 0, 600, 600)
    images, coordinates, _ = images_of(SPEC, 0, 600, size)
    assert torch.equal(images, whole)
    assert torch.equal(coordinates, along)
    late, their, _ = images_of(SPEC, 301, 600, size)
    assert torch.equal(late, whole[301:])
    assert torch.equal(their, along[301:])


def test_noise_does_not_depend_on_the_scales_asked_for():
    other = MixtureSpec((3, 8, 8), scales=[4.0], seed=3)
    assert torch.equal(images_of(SPEC, 0, 64, 64)[1], images_of(other, 0, 64, 64)[1])


def test_rows_of_the_dataset_are_the_same_images_in_any_order():
    images, coordinates, (made,) = images_of(SPEC, 0, 128, 128)
    rows = SPEC.to_population_dataset(128)
    at = [100, 3, 57, 2, 2]
    read = rows[at]
    assert np.array_equal(read["pixel_values"], images[at].numpy())
    assert read["coordinate"] == coordinates[at].tolist()
    assert read["draw"] == made.draws[at].tolist()
    assert set(read["split"]) == {"population"}
    again, _ = draw_population(SPEC, design(SPEC, 0, 128))
    assert torch.equal(again, images)


def test_rows_of_the_dataset_survive_a_disk(tmp_path):
    import datasets

    from synbench import with_pixels

    rows = SPEC.to_population_dataset(64)
    rows.save_to_disk(tmp_path / "rows")
    back = with_pixels(datasets.load_from_disk(tmp_path / "rows"))
    assert np.array_equal(back[5:9]["pixel_values"], rows[5:9]["pixel_values"])
    assert back[5:9]["coordinate"] == rows[5:9]["coordinate"]


def identity(images):
    return images.flatten(1)


def test_shares_make_the_whole_and_batches_do_not_matter():
    record = ModelRecord("identity", "callable", None, None, None, "identity", "vector", "", 192, True)
    encoder = Encoder(identity, from_arguments(8, None, None), record, "cpu", "float32", "")
    whole = embed_population(encoder, SPEC, 0, 515, batch_size=64)
    parts = [embed_population(encoder, SPEC, 0, 515, batch_size=50, share=(k, 3)) for k in range(3)]
    for name in ("values", "labels", "scales", "coordinates", "draws"):
        assert np.array_equal(np.concatenate([getattr(p, name) for p in parts]), getattr(whole, name))
    late = embed_population(encoder, SPEC, 400, 515, batch_size=64)
    assert np.array_equal(late.values, whole.values[400:])
