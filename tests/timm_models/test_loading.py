"""Models of timm by the ways a user names them: a folder, a Hub id, a module; and what transformers wraps."""

import copy
import json
import subprocess
import sys

import pytest
import timm
import torch
import transformers

import synbench
from synbench import timm_models
from synbench.errors import EncoderError
from tests import checkpoints
from tests.hub import Hub

from . import small


def vectors(model, pixels, **choices):
    encoder = synbench.load_encoder(model, **choices)
    return encoder, encoder(pixels)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("name", small.SAMPLE)
def test_a_folder_and_a_module_give_the_vectors_of_timm(name, tmp_path):
    model = small.make(name)
    folder = small.save(model, tmp_path)
    shape = timm_models.contract(model, None, None, None).shape
    pixels = small.images(shape)
    expected = small.natural(copy.deepcopy(model), pixels)
    loaded, by_folder = vectors(folder, pixels)
    given, by_module = vectors(model, pixels)
    close(by_folder, expected)
    close(by_module, expected)
    for encoder in (loaded, given):
        assert encoder.contract.shape == shape
        assert encoder.contract.source == "timm"
        record = encoder.record
        assert (record.pooling, record.pooling_reason) == (timm_models.POOLING, timm_models.REASON)
        assert record.dimension == model.head_hidden_size == expected.shape[1]
        assert record.architecture == type(model).__name__
        assert record.trained
    assert (loaded.record.source, given.record.source) == ("local", "module")
    assert loaded.record.weights_sha256
    # The caller's module: in training mode and with its classifier, as it was.
    assert model.training
    assert model.num_classes == small.CLASSES


@pytest.mark.parametrize("style", ["nested", "flat"])
def test_configurations_of_older_releases_load_too(style, tmp_path):
    model = small.make("test_convnext")
    pixels = small.images((3, 160, 160))
    _, found = vectors(small.save(model, tmp_path, style), pixels)
    close(found, small.natural(model, pixels))


def test_arguments_take_precedence_over_the_configuration(tmp_path):
    model = small.make("test_convnext")
    for one in (small.save(model, tmp_path), model):
        encoder = synbench.load_encoder(one, image_size=64, image_mean=0.25)
        assert encoder.contract.shape == (3, 64, 64)
        assert (encoder.contract.mean, encoder.contract.std) == ((0.25,) * 3, (0.5,) * 3)
        assert encoder.contract.source == "timm and arguments"


def test_a_size_that_a_model_cannot_take_is_refused(tmp_path):
    folder = small.save(small.make("test_coatnet"), tmp_path)
    with pytest.raises(EncoderError, match=r"\(\d, 3, 64, 64\)|\(3, 64, 64\)"):
        synbench.load_encoder(folder, image_size=64)


def test_an_untrained_twin_differs_and_is_the_same_again(tmp_path):
    folder = small.save(small.make("test_byobnet"), tmp_path)
    pixels = small.images((3, 160, 160))
    _, trained = vectors(folder, pixels)
    twin, first = vectors(folder, pixels, untrained=True, seed=5)
    _, again = vectors(folder, pixels, untrained=True, seed=5)
    _, other = vectors(folder, pixels, untrained=True, seed=6)
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, rtol=0.1)
    assert not torch.allclose(first, trained, rtol=0.1)
    assert not twin.record.trained


def test_a_folder_is_scored_as_the_module_and_as_a_function_of_the_vectors_of_timm(tmp_path):
    model = small.make("test_convnext")
    report = synbench.score(small.save(model, tmp_path), images=256, image_size=32)
    assert 0 < report.synbench_score < 1.5
    assert report.settings.model.pooling == timm_models.POOLING
    assert report.settings.model.dimension == 64
    headless = copy.deepcopy(model).eval()
    headless.reset_classifier(0)
    own = {"image_size": 32, "image_mean": 0.5, "image_std": 0.5}  # what timm tells of test_convnext
    for other, contract in ((model, {"image_size": 32}), (headless.forward, own)):
        again = synbench.score(other, images=256, **contract)
        assert again.synbench_score == pytest.approx(report.synbench_score, rel=1e-6)


def test_a_model_on_the_hub_is_fetched_and_gives_the_vectors_of_timm(tmp_path):
    """By the real client in a process of its own, and nothing but configuration and weights."""
    model = small.make("test_vit")
    folder = small.save(model, tmp_path / "saved")
    # Both forms of the weights lie there, as timm pushes them by default.
    (folder / "pytorch_model.bin").write_bytes(b"never to be read")
    code = (
        "import json, sys, torch, synbench\n"
        "encoder = synbench.load_encoder('user/tiny-timm')\n"
        "pixels = torch.load(sys.argv[1])\n"
        "record = encoder.record\n"
        "print(json.dumps([encoder(pixels).tolist(), record.source, record.commit, record.pooling]))\n"
    )
    pixels = small.images((3, 160, 160))
    torch.save(pixels, tmp_path / "pixels.pt")
    with Hub() as hub:
        commit = next(iter(hub.create("user/tiny-timm", folder).commits))
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "pixels.pt")],
            env=child_environment(HF_ENDPOINT=hub.endpoint, HF_HOME=str(tmp_path / "home")),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        found, *record = json.loads(done.stdout)
        close(torch.tensor(found), small.natural(model, pixels))
        assert record == ["hub", commit, timm_models.POOLING]
        got = {r.path.rsplit("/", 1)[1] for r in hub.requests if r.method == "GET" and "/resolve/" in r.path}
    assert {"config.json", "model.safetensors"} == {name for name in got if not name.startswith("preprocessor")}


def child_environment(**more):
    import os

    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {**kept, "OMP_NUM_THREADS": "1", **more}


def test_without_timm_the_command_ends_with_a_sentence_and_code_3(tmp_path):
    """In an environment without timm, as most users have it."""
    import os

    folder = small.save(small.make("test_vit"), tmp_path / "saved")
    timm_home = os.path.dirname(os.path.dirname(timm.__file__))  # noqa: PTH120
    paths = [p for p in os.environ["PYTHONPATH"].split(os.pathsep) if p and os.path.realpath(p) != timm_home]
    if any(os.path.realpath(p) == timm_home for p in sys.path if "site-packages" in p):
        pytest.skip("timm is installed in this environment itself")
    done = subprocess.run(
        [sys.executable, "-m", "synbench.cli", "score", str(folder)],
        env={**child_environment(), "PYTHONPATH": os.pathsep.join(paths)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "`pip install timm` or `pip install 'synbench[timm]'`" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", ["TimmWrapperModel", "TimmWrapperForImageClassification"])
def test_what_transformers_wraps_and_saves_gives_the_same_vectors(kind, tmp_path):
    model = small.make("test_vit")
    own = {key: value for key, value in model.pretrained_cfg.items() if key not in ("architecture", "num_classes")}
    config = transformers.TimmWrapperConfig(architecture="test_vit", pretrained_cfg=own, num_labels=small.CLASSES)
    wrapper = getattr(transformers, kind)(config)
    weights = model.state_dict()
    wrapper.timm_model.load_state_dict({key: weights[key] for key in wrapper.timm_model.state_dict()})
    wrapper.save_pretrained(tmp_path)
    pixels = small.images((3, 160, 160))
    encoder, found = vectors(tmp_path, pixels)
    assert small.read(tmp_path)["model_type"] == "timm_wrapper"
    assert encoder.contract.shape == (3, 160, 160)
    assert encoder.contract.mean == pytest.approx(model.pretrained_cfg["mean"])
    close(found, small.natural(model, pixels))


def test_a_wrapper_that_the_caller_loaded_gives_the_same_vectors(tmp_path):
    model = small.make("test_vit")
    folder = small.save(model, tmp_path, "nested")
    wrapper = transformers.AutoModel.from_pretrained(folder)
    pixels = small.images((3, 160, 160))
    config = timm.data.resolve_input_data_config(model)
    _, found = vectors(wrapper, pixels, image_size=160, image_mean=config["mean"], image_std=config["std"])
    close(found, small.natural(model, pixels))


# ------------------------------------------------------------------------------- detectors with a backbone of timm

DETECTORS = ["Detr", "ConditionalDetr", "TableTransformer", "DabDetr"]


def detector(family, **backbone):
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_queries": 5}
    layers = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    width = {"hidden_size": 32} if family == "DabDetr" else {"d_model": 32}
    named = {"use_timm_backbone": True, "backbone": "test_resnet", "use_pretrained_backbone": False, **backbone}
    config = getattr(transformers, f"{family}Config")(**heads, **layers, **width, **named, num_channels=3)
    return checkpoints.make(getattr(transformers, f"{family}ForObjectDetection"), config)


def last_map(model, pixels):
    """Take the last map of the net of timm in a model, averaged."""
    net = next(part for part in model.modules() if type(part).__module__ == "timm.models._features")
    with torch.inference_mode():
        return net.eval()(pixels)[-1].mean(dim=(2, 3))


@pytest.mark.parametrize("family", DETECTORS)
def test_a_detector_gives_the_last_map_of_its_backbone_of_timm_not_its_queries(family, tmp_path):
    model = detector(family)
    size = {"shortest_edge": 64, "longest_edge": 100}
    folder = checkpoints.save(model, tmp_path, "DetrImageProcessor", size=size)
    pixels = small.images((3, 64, 64))
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (checkpoints.MEAN, checkpoints.STD))
    expected = last_map(model, (pixels - mean) / std)
    given = {"image_size": 64, "image_mean": checkpoints.MEAN, "image_std": checkpoints.STD}
    for one, choices in ((folder, {}), (model, given), (folder, {"pooling": "mean"})):
        encoder, found = vectors(one, pixels, **choices)
        close(found, expected)
        assert encoder.record.pooling == "feature_maps: map mean"
        assert encoder.missing == ()
    assert vectors(folder, pixels)[0].record.architecture == "TimmBackbone"


@pytest.mark.parametrize("untrained", [False, True])
def test_a_backbone_is_not_fetched_though_its_configuration_asks_for_it(untrained, tmp_path, monkeypatch):
    folder = checkpoints.save(detector("Detr"), tmp_path, "DetrImageProcessor", size={"shortest_edge": 64})
    written = json.loads((folder / "config.json").read_text())
    backbone = {**(written.get("backbone_config") or {}), "use_pretrained_backbone": True}
    checkpoints.reconfigure(folder, use_pretrained_backbone=True, backbone_config=backbone)
    asked = []
    create = timm.create_model

    def spy(*arguments, **choices):
        asked.append(choices.get("pretrained"))
        return create(*arguments, **{**choices, "pretrained": False})

    monkeypatch.setattr(timm, "create_model", spy)
    monkeypatch.setattr("transformers.models.detr.modeling_detr.create_model", spy, raising=False)
    synbench.load_encoder(folder, untrained=untrained)
    assert asked
    assert not any(asked)
