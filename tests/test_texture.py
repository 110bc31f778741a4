"""A mixture of textures: the optimum is what it is said to be, and encoders of known κ get it."""

import numpy as np
import pytest
import torch
from scipy import stats

import synbench
from synbench import texture
from synbench.design import Design, design
from synbench.drawing import Renderer, draw, draw_population
from synbench.errors import ArgumentError
from synbench.mixture import MixtureSpec
from synbench.settings import make_settings

SHAPE = (3, 8, 12)


def drawn(images=4096, shape=SHAPE, scale=None, seed=0):
    spec = MixtureSpec(shape, direction="texture", seed=seed)
    rows = design(spec, 0, images)
    if scale is not None:
        rows = Design(rows.labels, np.full(images, scale), np.arange(images))
    return (*draw_population(spec, rows), rows)


def whitened(images):
    """Return the amplitudes of the waves, before they were coloured: by other means than the package's."""
    values = images.double().numpy() - 0.5
    channels, height, width = values.shape[1:]
    covariance = 0.9 + 0.1 * np.eye(channels)
    plain = np.linalg.solve(np.linalg.cholesky(covariance), values.reshape(len(values), channels, -1))
    waves = np.fft.fft2(plain.reshape(values.shape)) / np.sqrt(height * width)
    return waves / texture.amplitudes(height, width)


def test_pixels_have_the_contrast_and_the_colours_of_pictures():
    images, _, _ = drawn(8192, scale=1e-6)
    values = images.double().numpy() - 0.5
    assert values.mean() == pytest.approx(0, abs=4 * 0.25 / np.sqrt(8192))
    # The slowest waves hold much of the power: about 100 independent numbers an image, 1 % in all with a wide margin.
    assert values.std() == pytest.approx(0.25, rel=0.02)
    # The mean of an image varies as its slowest wave does, which is not in it twice.
    power = np.abs(np.fft.fft2(values[:, 0]))[:, [0, 0], [0, 1]] ** 2
    assert power[:, 0].mean() == pytest.approx(power[:, 1].mean(), rel=5 * np.sqrt(3 / 8192))
    channels = np.corrcoef(values.transpose(1, 0, 2, 3).reshape(3, -1))
    np.testing.assert_allclose(channels, 0.9 + 0.1 * np.eye(3), atol=0.01)


def test_power_falls_by_the_square_of_the_frequency():
    images, _, _ = drawn(8192, (1, 16, 16), scale=1e-6)
    power = (np.abs(np.fft.fft2(images.double().numpy()[:, 0] - 0.5)) ** 2).mean(axis=0)
    # Each is a mean of 8192 squares: 1.6 % of noise at the most, 5 of them.
    assert power[0, 1] / power[0, 4] == pytest.approx(16, rel=0.1)
    assert power[1, 0] / power[4, 0] == pytest.approx(16, rel=0.1)
    assert power[0, 2] / power[2, 0] == pytest.approx(1, rel=0.1)


def test_classes_have_equal_means_and_turned_spectra():
    images, _, rows = drawn(16384, (1, 16, 16), scale=4.9)
    values = images.double().numpy()
    means = [values[rows.labels == label].mean(axis=0) for label in (0, 1)]
    assert np.abs(means[0] - means[1]).max() < 5 * 0.25 * np.sqrt(4 / 16384) * 2
    power = [(np.abs(np.fft.fft2(values[rows.labels == label] - 0.5)) ** 2).mean(axis=(0, 1)) for label in (0, 1)]
    # Class 1 has more along the width; the transposed picture is of the other class.
    assert power[1][0, 1] > power[0][0, 1] * 1.2
    np.testing.assert_allclose(power[1], power[0].T, rtol=0.15)


def test_the_coordinate_is_the_score_function():
    """q = d log p / dt at t = 0, by differences of the density of the waves themselves."""
    _, coordinates, rows = drawn(64, (3, 8, 8), scale=1e-6)
    spec = MixtureSpec((3, 8, 8), direction="texture")
    noise = Renderer(spec, "cpu")
    noise.population(rows)
    turned = texture.contrast(3, 8, 8)
    eta = torch.fft.fft2(noise._block[:64].double().view(-1, 3, 8, 8)).abs().numpy() ** 2 / 64

    def log_density(t):
        # A wave and its mirror image are one: half of the sum over all of them.
        gain = 1 + t * turned
        return -0.5 * (eta / gain**2 + 2 * np.log(gain)).sum(axis=(1, 2, 3))

    slope = (log_density(1e-4) - log_density(-1e-4)) / 2e-4
    np.testing.assert_allclose(coordinates.numpy()[:64], slope, atol=1e-5)


def test_the_optimum_is_what_the_report_takes_it_for():
    """The likelihood ratio, computed from the pixels, has the accuracy Φ(s)."""
    shape, turned = (3, 16, 16), texture.contrast(3, 16, 16)
    for scale in (0.5, 1.0, 2.0):
        images, _, rows = drawn(8192, shape, scale=scale)
        power = np.abs(whitened(images)) ** 2
        ratio = 0.0
        for sign in (1, -1):
            gain = 1 + sign * scale * turned
            ratio = ratio - sign * 0.5 * (power / gain**2 + 2 * np.log(gain)).sum(axis=(1, 2, 3))
        right = ((ratio > 0) == (rows.labels == 1)).mean()
        expected = stats.norm.cdf(scale)
        # Binomial noise, and a relative s/√D of the expansion.
        most = 4 * np.sqrt(expected * (1 - expected) / 8192) + 0.1 * scale / np.sqrt(np.prod(shape))
        assert right == pytest.approx(expected, abs=most)


class Powers(torch.nn.Module):
    """The power of each wave, from pixels: everything that the optimum goes by, and linear in it."""

    def __init__(self, height, width):
        super().__init__()
        self.amplitudes = torch.tensor(texture.amplitudes(height, width), dtype=torch.float32)
        self.plain = torch.linalg.inv(torch.tensor(np.linalg.cholesky(0.9 + 0.1 * np.eye(3)), dtype=torch.float32))

    def forward(self, images):
        waves = torch.fft.fft2(torch.einsum("cd,ndhw->nchw", self.plain, images - 0.5)) / self.amplitudes
        power = waves.abs() ** 2 / images[0, 0].numel()
        # By bands of orientation: g is a function of the angle, and all channels count alike.
        return torch.stack([(power * weight).sum(dim=(1, 2, 3)) for weight in self.weights(images)], dim=1)

    def weights(self, images):
        height, width = images.shape[2:]
        turned = torch.tensor(texture.contrast(3, height, width), dtype=torch.float32)
        return [turned, turned.abs(), torch.ones_like(turned)]


class Half(Powers):
    """Power along one half of the angles."""

    def weights(self, images):
        return [super().weights(images)[0].clamp(min=0)]


def test_an_encoder_that_holds_what_the_optimum_goes_by_keeps_all():
    report = synbench.score(Powers(16, 16), image_size=16, direction="texture", images=4096, cache=False)
    assert report.settings.direction == "texture"
    # κ = s up to the expansion, 4.9 / √768 at the largest scale; the error is that of the estimate.
    assert report.kappa[0] == pytest.approx(1, abs=4 * max(report.kappa_stderr[0], 0.005) + 0.03)
    assert report.meaning.startswith("By their means the classes are alike, and differ in texture: of the best class")
    assert f"keeps {100 * report.kappa[0]:.1f} %" in report.meaning


def test_one_orientation_alone_keeps_its_share():
    """κ² is the share of Σ g² there, which is half by symmetry."""
    report = synbench.score(Half(16, 16), image_size=16, direction="texture", images=4096, cache=False)
    assert report.kappa[0] == pytest.approx(np.sqrt(0.5), abs=4 * report.kappa_stderr[0] + 0.03)


def test_more_is_drawn_until_kappa_is_known_well_enough():
    asked = {"direction": "texture", "images": 1024, "target_stderr": 0.003, "cache": False}
    report = synbench.score("synbench:demo", **asked)
    assert report.images > 1024
    assert report.kappa_stderr[0] <= 0.003
    few = synbench.score("synbench:demo", **asked, max_images=1200)
    assert any("The standard error is 0.00" in warning and "above the 0.003" in warning for warning in few.warnings)


def test_pixels_themselves_keep_nothing():
    report = synbench.score(
        lambda images: images.flatten(1), image_size=(1, 16, 16), direction="texture", images=4096, cache=False
    )
    assert report.kappa[0] < 0.03
    assert synbench.score(lambda x: x.flatten(1), image_size=(1, 16, 16), images=2048, cache=False).kappa[0] > 0.97


def test_the_same_pictures_whatever_the_ranges():
    spec = MixtureSpec((3, 16, 16), direction="texture", seed=3)
    rows = design(spec, 0, 600)
    whole, coordinates = draw_population(spec, rows)
    again = Renderer(spec, "cpu")
    for start in range(0, 600, 70):
        part, along = again.population(design(spec, start, min(start + 70, 600)))
        assert torch.equal(part, whole[start : start + 70])
        assert torch.equal(along, coordinates[start : start + 70])
    other, _ = draw_population(MixtureSpec((3, 16, 16), direction="texture", seed=4), rows)
    assert not torch.equal(other, whole)


def test_the_twin_is_compared_by_the_same_number():
    report = synbench.score("synbench:demo", direction="texture", images=2048, baseline="untrained", cache=False)
    twin = report.baseline.kappa[0]
    assert f"random weights keeps {100 * twin:.1f} %" in report.meaning
    assert twin > 0.01, "a score of 0 would not be told from it"


def test_encoders_are_compared_by_what_they_keep_of_textures():
    """On the same images, and with the truth in the intervals: half of the angles against all of them."""
    found = synbench.compare(
        [Half(16, 16), Powers(16, 16)], direction="texture", images=4096, loading={"image_size": 16}, cache=False
    )
    assert (found.measure, [entry.model for entry in found.entries]) == ("kappa", ["Powers", "Half"])
    (pair,) = found.differences
    assert pair.paired
    assert pair.separated
    assert pair.difference == pytest.approx(1 - np.sqrt(0.5), abs=4 * pair.stderr + 0.03)
    # They share the half that both see: the difference is known better than two that err alone.
    assert pair.stderr < np.hypot(*(entry.kappa_stderr for entry in found.entries))


def test_textures_are_not_compared_with_means():
    one = synbench.score("synbench:demo", images=512, cache=False)
    other = synbench.score("synbench:demo", images=512, direction="texture", untrained=True, cache=False)
    with pytest.raises(ArgumentError, match=r"expected results of one mixture, got means .*textures"):
        synbench.compare([one, other])


def test_recipes_hold_textures():
    spec = MixtureSpec((3, 8, 8), direction="texture", seed=1)
    rows = spec.to_population_dataset(64)
    expected, coordinates = draw_population(spec, design(spec, 0, 64))
    np.testing.assert_array_equal(np.asarray(rows[10]["pixel_values"]), expected[10].numpy())
    assert rows[10]["coordinate"] == pytest.approx(float(coordinates[10]))
    assert MixtureSpec.from_json(spec.to_json()) == spec


def test_the_cache_keeps_textures_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(tmp_path))
    monkeypatch.delenv("SYNBENCH_CACHE_GB", raising=False)
    plain, textured, again = (
        synbench.score("synbench:demo", images=256, direction=direction) for direction in (None, "texture", "texture")
    )
    assert (plain.from_cache, textured.from_cache, again.from_cache) == (0, 0, 256)
    assert plain.kappa != textured.kappa == again.kappa


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: make_settings(direction="stripes"),
            r"direction must be one of 'uniform', 'random', 'texture', got 's",
        ),
        (
            lambda: make_settings(direction="texture", samples=64),
            r"direction='texture' belongs to protocol='population'",
        ),
        (lambda: MixtureSpec((3, 3, 8), direction="texture"), r"needs images of 4 by 4 or more.*got \(3, 3, 8\)"),
        (lambda: MixtureSpec((1, 8, 8), direction="texture"), r"no wave's amplitude by more than 50%.*got 75% at sc"),
        (lambda: MixtureSpec(32, [1.0, 60.0], "texture"), r"got \d+% at scale 60 and size \(3, 32, 32\)"),
        (lambda: MixtureSpec(8, direction="texture").mean_direction(), r"a mixture of textures has no class-mean dir"),
        (
            lambda: draw(MixtureSpec(8, direction="texture"), "train", 1.0, [0], [1]),
            r"only the population protocol can",
        ),
        (lambda: MixtureSpec(8, direction="stripes"), r"direction must be 'uniform', 'random', 'texture' or an array"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make, said):
    with pytest.raises(ArgumentError, match=said):
        make()
