"""What is looked at beside the study: other signals, subsets of encoders, what each ε gives."""

import json

import numpy as np
import pytest

import synbench
from benchmarks.study import looks, patterns
from synbench import texture

SHAPE = (3, 16, 16)


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).standard_normal((2048, *SHAPE)).astype(np.float32)


class TestPatterns:
    def test_the_orientation_is_that_of_the_package(self, noise):
        (own,) = patterns.signals(noise)["orientation"]
        power = np.abs(np.fft.fft2(noise)) ** 2 / (16 * 16)
        package = ((power - 1) * texture.contrast(*SHAPE)).sum(axis=(1, 2, 3))
        assert np.corrcoef(own, package)[0, 1] == pytest.approx(1, abs=1e-5)

    def test_images_are_those_of_the_mixture_at_scale_0(self, noise):
        images = patterns.coloured(noise)
        assert images.mean() == pytest.approx(0.5, abs=0.01)
        assert images.std() == pytest.approx(0.25, rel=0.02)
        channels = np.corrcoef((images - 0.5).transpose(1, 0, 2, 3).reshape(3, -1))
        np.testing.assert_allclose(channels, 0.9 + 0.1 * np.eye(3), atol=0.01)

    def test_noise_keeps_nothing_on_the_average(self):
        rng, n, d = np.random.default_rng(1), 400, 40
        found = patterns.kept(rng.standard_normal((n, d)), rng.standard_normal((n, 500)))
        # R² of noise has the variance 2d/n² or less; unadjusted its mean is d/n, a tenth.
        assert found.mean() == pytest.approx(0, abs=4 * np.sqrt(2 * d / 500) / n)

    def test_what_is_linear_in_the_representation_is_kept_and_nothing_else(self, noise):
        images, made = patterns.coloured(noise), patterns.signals(noise)
        (oriented,) = made["orientation"]
        z = np.stack([oriented, np.random.default_rng(2).standard_normal(len(noise))], axis=1)
        assert patterns.kept(z, oriented[:, None])[0] == pytest.approx(1)
        # A half of it is noise: κ² is a half.
        half = oriented / oriented.std() + np.random.default_rng(3).standard_normal(len(noise))
        assert patterns.kept(half[:, None], oriented[:, None])[0] == pytest.approx(0.5, abs=4 / np.sqrt(len(noise)))
        # Pixels, averaged over 4 × 4: all of the layout, and of no texture anything.
        pixels = images.reshape(len(images), 3, 4, 4, 4, 4).mean(axis=(3, 5)).reshape(len(images), -1)
        assert patterns.kept(pixels, np.stack(made["layout"], axis=1)) == pytest.approx(1, abs=1e-4)
        textures = np.stack([q for name, own in made.items() if name != "layout" for q in own], axis=1)
        # 48 numbers and 2,048 images: each has an error of 0.5 %.
        assert np.abs(patterns.kept(pixels, textures)).max() < 5 * np.sqrt(2 * 48) / 2048

    def test_an_encoder_has_a_mean_of_each_kind(self, noise):
        made = patterns.signals(noise[:512])
        found = patterns.kinds_of(
            synbench.load_encoder("synbench:demo", device="cpu"), patterns.coloured(noise[:512]), made
        )
        assert found.keys() == made.keys()
        assert {name: len(own) for name, own in made.items()} == {
            "orientation": 1, "slope": 1, "spectrum": 16, "bands": 12, "places": 48, "skewness": 12, "kurtosis": 12,
            "colours": 2, "layout": 48,
        }  # fmt: skip
        assert all(value <= 1 for value in found.values())
        assert found["layout"] > 0.3


def table(count=24):
    rng = np.random.default_rng(0)
    rows = []
    for k in range(count):
        pretext = ("supervised", "untrained", "masked", "shuffled")[k % 4]
        clean = 0.4 + 0.01 * k
        rows.append({
            "encoder": f"e{k}", "family": f"f{k % 6}", "pretext": pretext, "clean": clean,
            "learned": float(pretext in ("supervised", "masked")), "kappa_texture": 0.01 * k, "kappa": 1 - 0.01 * k,
            "score_population": float(rng.uniform()), "parameters": float(rng.uniform()), "dimension": 64 + k % 3,
            "rankme": float(rng.uniform()), "clean_at[0]": clean, "clean_at[0.4]": clean - 0.1 - 0.01 * (k % 2),
            "robust_at[0]@0.5": 0.1, "robust_at[0.4]@0.5": 0.25, "prefers_population": 1.0,
            "recommended_population": 0.0, "prefers_paper": float(k > 3),
            **({"recommended_paper": 0.2} if k > 3 else {}),
        })  # fmt: skip
    return rows


class TestLooks:
    def test_subsets_are_those_they_are_called(self):
        found = looks.subsets(table(), ["kappa_texture"], "clean")
        assert [row[:3] for row in found] == [
            ["all", "24", "6"], ["trained", "18", "6"], ["that learned a task", "12", "3"],
            ["trained on true labels", "6", "3"],
        ]  # fmt: skip
        assert all(row[3].startswith("+1.00") for row in found)

    def test_pairs_that_are_in_order_are_counted_within_families_alone(self):
        rows = table()
        # Of those that learned: 4 in each of three families, so 6 pairs each.
        assert looks.in_order(rows, "kappa_texture", "clean") == (18, 18)
        assert looks.in_order(rows, "kappa", "clean") == (0, 18)

    def test_what_the_document_tells(self, tmp_path, capsys, monkeypatch):
        beside = [{**table()[0], "encoder": "shallow", "clean": 0.9}]
        for name, rows in (("validity-cifar10", table()), ("beside", beside)):
            (tmp_path / f"{name}.json").write_text(json.dumps(rows))
        name = str(tmp_path / "validity-cifar10.json")
        monkeypatch.setattr("sys.argv", ["looks", name, "--beside", name, str(tmp_path / "beside.json")])
        looks.main()
        said = capsys.readouterr().out
        assert "## cifar10: 24 encoders" in said
        assert "| 0.4 | 41.0 % | 25.0 % |" in said
        assert "From ε = 0 to 0.4: clean -10.5 points (standard error 0.1); up for 0 of 24." in said
        assert "At 0.5: +15.0 points (standard error 0.0); up for 24 of 24." in said
        assert "The population score recommends ε = 0 for 24, nothing for 0." in said
        assert "The paper score recommends ε = 0.2 for 20, nothing for 4." in said
        assert "| shallow | 0.900 |" in said
        assert "With 1 of one random layer beside them:" in said
        assert "it has 18 of 18 in the right order" in said
