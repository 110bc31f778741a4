"""What eight images tell of a model: how it would be scored, and what that would take."""

import json

import numpy as np
import pytest
import torch

import synbench
from synbench import ArgumentError, EncoderError, RepresentationError, check

from . import checkpoints


def test_it_tells_what_the_score_will_tell():
    found, report = check("synbench:demo"), synbench.score("synbench:demo", images=64)
    settings = report.settings
    assert found.model == settings.model
    assert found.image_shape == settings.image_shape
    assert found.preprocessing == settings.preprocessing
    assert found.precision == settings.precision
    assert (found.device, found.batch_size, found.images) == (settings.device, settings.batch_size, 8192)
    weights = synbench.load_encoder("synbench:demo").module.parameters()
    assert found.parameters == sum(p.numel() for p in weights)
    assert json.loads(found.to_json()) == found.to_dict()


def test_options_reach_it():
    found = check("synbench:demo", images=512, pooling="mean", dtype="bfloat16", image_mean=0.25, batch_size=3)
    assert (found.model.pooling, found.precision.dtype, found.batch_size) == (
        "last_hidden_state: patch token mean",
        "bfloat16",
        3,
    )
    assert found.preprocessing.image_mean == [0.25] * 3
    assert found.seconds == pytest.approx(512 / found.images_per_second)


def test_weights_that_are_missing_are_named(tmp_path):
    assert check("synbench:demo").missing_weights == ["pooler.dense.weight", "pooler.dense.bias"]
    assert check(str(checkpoints.dinov2(tmp_path / "whole"))).missing_weights == []


def test_memory_is_that_of_the_model_a_batch_and_the_representations():
    class Wide(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            self.wide = torch.nn.Linear(48, width)

        def forward(self, images):
            return self.wide(images.flatten(1))

    small, large = (check(Wide(width), image_size=4, images=8192) for width in (64, 512))
    # Six float64-or-float32 copies of n × d, ten d × d, and the weights.
    expected = 6 * 4 * 8192 * 448 + 80 * (512**2 - 64**2) + 4 * 49 * 448
    assert large.memory_bytes - small.memory_bytes == pytest.approx(expected, rel=0.1)
    more = check(Wide(512), image_size=4, images=16384)
    assert more.memory_bytes - large.memory_bytes == 6 * 4 * 8192 * 512
    assert any(
        "512 dimensions are many for 1,024 images" in w for w in check(Wide(512), image_size=4, images=1024).warnings
    )


def test_drawing_counts(monkeypatch):
    """An encoder that costs nothing: what takes time is the noise of a block, shared out over its images."""
    import time

    from synbench import drawing

    real = drawing._fill

    def slow(*arguments):
        time.sleep(0.2)
        real(*arguments)

    monkeypatch.setattr(drawing, "_fill", slow)
    spec = synbench.MixtureSpec(4)
    found = check(lambda images: images.flatten(1), image_size=4)
    assert found.images_per_second < spec.block / (0.2 * 0.75)


def test_constant_coordinates_are_told():
    found = check(lambda images: torch.cat([images.flatten(1), torch.ones(len(images), 5)], 1), image_size=4)
    assert "5 of 53 coordinates are constant over eight images." in found.warnings
    assert found.parameters is None


@pytest.mark.parametrize(
    ("model", "how", "kind", "message"),
    [
        ("nowhere/nothing.here", {}, EncoderError, "cannot load 'nowhere/nothing.here'"),
        (lambda x: torch.full((len(x), 2), np.nan), {"image_size": 4}, RepresentationError, "expected finite"),
        (lambda x: torch.ones(len(x), 2), {"image_size": 4}, EncoderError, "one and the same vector"),
        ("synbench:demo", {"batch_size": -5}, ArgumentError, "batch_size must be an integer of at least 1, got -5"),
        ("synbench:demo", {"images": 0}, ArgumentError, "images must be an integer of at least 64, got 0"),
        ("synbench:demo", {"images": 2.5}, ArgumentError, "images must be an integer"),
    ],
    ids=["unknown", "nan", "constant", "batch", "none", "half"],
)  # fmt: skip
def test_what_cannot_be_scored_is_refused(model, how, kind, message, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(kind, match=message):
        check(model, **how)


def test_the_command(capsys, monkeypatch, tmp_path):
    from synbench.cli import main

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["synbench", "check", *arguments])
        with pytest.raises(SystemExit) as done:
            main()
        return done.value.code, *capsys.readouterr()

    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run()
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    for told in (
        "synbench:demo can be scored.",
        "3×16×16",
        "2, none of them needed: pooler.dense.weight",
        "8,192 images",
    ):
        assert told in out
    code, out, _ = run("--json", "--images", "64")
    assert code == 0
    assert json.loads(out)["images"] == 64
    code, out, err = run(str(checkpoints.text_only(tmp_path / "text")))
    assert (code, out) == (3, "")
    assert "is not a vision encoder" in err
    assert run("--batch-size", "-5")[0] == 2
    assert run("--pooling", "nonsense")[0] == 2
