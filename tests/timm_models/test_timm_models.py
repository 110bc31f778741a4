"""synbench.timm_models alone: what it loads, refuses, computes, and leaves as it was."""

import copy
import importlib.abc
import importlib.machinery
import logging
import re
import subprocess
import sys
import tomllib

import pytest
import timm
import torch

import synbench
from synbench import timm_models
from synbench.errors import ArgumentError, EncoderError, RepresentationError
from tests.conftest import ROOT

from . import small

STYLES = [("arguments", name) for name in small.SAMPLE] + [
    (style, name) for style in ("nested", "flat") for name in small.PLAIN
]


def embed(module, pixels):
    contract = timm_models.contract(module, None, None, None)
    with torch.inference_mode():
        return timm_models.forward(module)(contract.normalize(pixels))


def load(folder, **choices):
    return timm_models.load(folder, **{"untrained": False, "seed": 0, **choices})


@pytest.mark.parametrize(("style", "name"), STYLES, ids=lambda part: part)
def test_a_saved_model_gives_the_vectors_of_timm(style, name, tmp_path):
    model = small.make(name)
    module = load(small.save(model, tmp_path, style))
    contract = timm_models.contract(module, None, None, None)
    pixels = small.images(contract.shape)
    expected = small.natural(model, pixels)
    vectors = embed(module, pixels)
    assert timm_models.recognises(small.read(tmp_path))
    assert not module.training
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert vectors.shape == (3, model.head_hidden_size)
    assert torch.equal(vectors, expected)
    assert torch.isfinite(vectors).all()
    # Each image has its own vector, whichever it comes with.
    assert vectors.std(dim=0).max() > 1e-2 * vectors.abs().max()
    alone = torch.cat([embed(module, pixels[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(alone, vectors, rtol=1e-4, atol=1e-4 * float(vectors.abs().max()))


def test_the_sample_holds_the_traps():
    """Else the equalities above would show less than they seem to."""
    features, wider = {}, set()
    for name in small.SAMPLE:
        model = small.make(name).eval()
        shape = timm_models.contract(model, None, None, None).shape
        with torch.inference_mode():
            features[name] = model.forward_features(small.images(shape, 2))
        if model.head_hidden_size != model.num_features:
            wider.add(name)
    assert wider == {"test_mambaout", "lcnet_035"}
    assert isinstance(features["crossvit_tiny_240"], list)
    swin, convnext = features["swin_tiny_patch4_window7_224"], features["test_convnext"]
    assert swin.shape[1] == swin.shape[2] != swin.shape[3]
    assert convnext.shape[1] != convnext.shape[2] == convnext.shape[3]
    assert small.make("test_byobnet").training, "timm gives models in training mode"


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "deit_tiny_distilled_patch16_224", "lcnet_035"])
def test_weights_and_configuration_may_disagree_about_the_classifier(name, tmp_path):
    """Configured headless but saved with a head, the reverse, and another count than the configured."""
    model = small.make(name)
    pixels = small.images(timm_models.contract(model, None, None, None).shape)
    for case, saved, configured in (("headless", 7, 0), ("head", 0, 7), ("other", 7, 1000)):
        kept = copy.deepcopy(model)
        if saved == 0:
            kept.reset_classifier(0)
        folder = small.save(kept, tmp_path / case)
        config = small.read(folder)
        config["num_classes"] = config["pretrained_cfg"]["num_classes"] = configured
        config["model_args"]["num_classes"] = configured
        module = load(small.write(folder, config))
        assert torch.equal(embed(module, pixels), small.natural(copy.deepcopy(model), pixels)), case


def test_keys_of_the_wrapper_of_transformers_are_read(tmp_path):
    model = small.make("test_vit")
    folder = small.save(model, tmp_path)
    small.rewrite(folder, lambda weights: {f"timm_model.{key}": value for key, value in weights.items()})
    module = load(folder)
    pixels = small.images((3, 160, 160))
    assert torch.equal(embed(module, pixels), small.natural(model, pixels))
    assert "state_dict" not in module.pretrained_cfg


def test_half_precision_weights_become_float32(tmp_path):
    model = small.make("test_vit")
    folder = small.save(model, tmp_path)
    small.rewrite(folder, lambda weights: {key: value.half() for key, value in weights.items()})
    module = load(folder)
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    pixels = small.images((3, 160, 160))
    assert torch.equal(embed(module, pixels), small.natural(model.half().float(), pixels))


def test_only_the_file_is_read_wherever_the_configuration_points(tmp_path):
    """Addresses of weights in config.json are for others: nothing is fetched, and no other file is opened."""
    folder = small.save(small.make("test_vit"), tmp_path / "model")
    (folder / "pytorch_model.bin").write_bytes(b"not a pickle at all")
    config = small.read(folder)
    config["pretrained_cfg"].update(
        url="https://example.org/weights.pth",
        hf_hub_id="user/other",
        file=str(folder / "pytorch_model.bin"),
        custom_load=True,
        label_offset=1,
    )
    pixels = small.images((3, 160, 160))
    module = load(small.write(folder, config))
    assert torch.equal(embed(module, pixels), small.natural(small.make("test_vit"), pixels))


def test_an_untrained_twin_is_drawn_from_its_seed_without_weights(tmp_path):
    folder = small.save(small.make("test_byobnet"), tmp_path)
    trained = load(folder)
    (folder / "model.safetensors").unlink()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    twin, again, other = (load(folder, untrained=True, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    pixels = small.images((3, 160, 160))
    vectors = embed(twin, pixels)
    assert torch.equal(vectors, embed(again, pixels))
    assert not torch.allclose(vectors, embed(other, pixels), rtol=0.1)
    assert not torch.allclose(vectors, embed(trained, pixels), rtol=0.1)
    assert vectors.shape == embed(trained, pixels).shape
    assert not twin.training


def test_loading_leaves_the_global_random_state(tmp_path):
    folder = small.save(small.make("test_vit"), tmp_path)
    before = torch.get_rng_state()
    load(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_module_of_the_caller_stays_as_it_is():
    module = small.make("test_byobnet")
    weights = {key: value.clone() for key, value in module.state_dict().items()}
    assert timm_models.made(module)
    module.eval()
    embed(module, small.images((3, 160, 160)))
    assert module.num_classes == small.CLASSES
    assert module(small.images((3, 160, 160))).shape == (3, small.CLASSES)
    assert all(torch.equal(value, weights[key]) for key, value in module.state_dict().items())


def test_what_timm_did_not_make_is_told_apart():
    assert not timm_models.made(torch.nn.Linear(2, 2))
    assert not timm_models.made(lambda images: images)
    assert not timm_models.made(timm.create_model("test_convnext", features_only=True))
    assert timm_models.made(timm.create_model("test_convnext", num_classes=0))
    assert not timm_models.recognises({"architecture": "test_vit", "model_type": "timm_wrapper"})
    assert not timm_models.recognises({"architectures": ["ViTModel"]})


def test_the_contract_is_that_of_timm_and_arguments_take_precedence():
    module = timm.create_model("test_convnext")
    own = timm_models.contract(module, None, None, None)
    assert module.pretrained_cfg["mean"] == own.mean == (0.5, 0.5, 0.5)
    assert (own.shape, own.order, own.source) == ((3, 160, 160), (0, 1, 2), "timm")
    sized = timm_models.contract(module, 96, None, None)
    assert (sized.shape, sized.mean, sized.source) == ((3, 96, 96), own.mean, "timm and arguments")
    meant = timm_models.contract(module, None, 0.25, (0.1, 0.2, 0.3))
    assert (meant.shape, meant.mean, meant.std) == (own.shape, (0.25,) * 3, (0.1, 0.2, 0.3))
    assert timm_models.contract(module, (64, 96), 0, 1).shape == (3, 64, 96)
    assert timm_models.contract(module, (3, 64, 96), 0, 1).source == "arguments"
    with pytest.raises(ArgumentError, match="image_std must be finite, and positive"):
        timm_models.contract(module, None, None, 0)


def test_a_model_without_pooling_has_no_vectors():
    module = timm.create_model("test_vit", num_classes=0, global_pool="")
    with pytest.raises(RepresentationError, match=r"expected real representations of shape \(2, d\).*\(2, 101, 64\)"):
        synbench.load_encoder(module)


def test_the_contract_is_at_the_training_size_not_the_test_size():
    module = timm.create_model("lcnet_035")
    module.pretrained_cfg = {**module.pretrained_cfg, "test_input_size": (3, 288, 288)}
    assert timm_models.contract(module, None, None, None).shape == (3, 224, 224)


def test_the_contract_follows_the_size_and_channels_that_a_module_was_made_for(tmp_path):
    module = small.make("test_coatnet", img_size=96, in_chans=1)
    for one in (module, load(small.save(module, tmp_path))):
        contract = timm_models.contract(one, None, None, None)
        assert contract.shape == (1, 96, 96)
        assert contract.mean == pytest.approx([sum(module.pretrained_cfg["mean"]) / 3])
        assert embed(one, small.images(contract.shape)).shape == (3, 128)
        assert timm_models.contract(one, 128, None, None).shape == (1, 128, 128)


def without(*parts):
    return lambda weights: {key: value for key, value in weights.items() if not any(p in key for p in parts)}


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (
            lambda folder: (folder / "model.safetensors").unlink(),
            r"expected the weights of a timm model in model\.safetensors, got no weights in .* Weights are read from "
            r"safetensors only: save the model by `timm\.models\.save_for_hf",
        ),
        (
            lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
            r"in model\.safetensors, got pytorch_model\.bin in",
        ),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"\x08" * 40),
            r"model\.safetensors is not whole \(.*\)\. Fetch the weights again\.",
        ),
        (
            lambda folder: small.rewrite(folder, without("blocks.0.attn.qkv.weight")),
            r"does not fit config\.json \('test_vit'\): take both from one revision\..*blocks\.0\.attn\.qkv\.weight",
        ),
        (
            lambda folder: small.rewrite(folder, lambda weights: {**weights, "extra.weight": torch.ones(2)}),
            r"does not fit config\.json.*extra\.weight",
        ),
        (
            lambda folder: small.rewrite(folder, lambda weights: {**weights, "norm.weight": torch.ones(5)}),
            r"does not fit config\.json.*size mismatch for norm\.weight",
        ),
        (
            lambda folder: small.write(folder, {**small.read(folder), "architecture": "vit_of_tomorrow"}),
            r"timm [\d.]+ has no architecture 'vit_of_tomorrow'\. Update it: `pip install --upgrade timm`\.",
        ),
        (
            lambda folder: small.write(folder, {**small.read(folder), "model_args": {"depht": 3}}),
            r"timm [\d.]+ cannot build 'test_vit' from config\.json \(TypeError: .*'depht'\)\. Compare it with",
        ),
        (
            lambda folder: small.write(folder, {**small.read(folder), "model_args": {"features_only": True}}),
            r"'test_vit' in .* was saved for feature maps \(features_only\), expected a whole model\. Save it as",
        ),
    ],
    ids=["no weights", "a pickle", "torn", "a weight missing", "one too many", "another shape", "unknown",
         "unknown argument", "feature maps"],
)  # fmt: skip
def test_what_cannot_be_loaded_is_refused_by_a_sentence(break_it, sentence, tmp_path):
    folder = small.save(small.make("test_vit"), tmp_path)
    break_it(folder)
    with pytest.raises(EncoderError, match=sentence):
        load(folder)


def test_without_timm_the_sentence_names_both_ways_to_install_it(tmp_path, monkeypatch):
    folder = small.save(small.make("test_vit"), tmp_path)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(
        EncoderError, match=r"not installed\. Install it: `pip install timm` or `pip install 'synbench\[timm\]'`\."
    ):
        load(folder)


def test_a_timm_that_cannot_be_imported_is_a_sentence_too(tmp_path, monkeypatch):
    folder = small.save(small.make("test_vit"), tmp_path)

    class Broken(importlib.abc.MetaPathFinder, importlib.abc.Loader):
        def find_spec(self, name, path=None, target=None):
            return importlib.machinery.ModuleSpec(name, self) if name == "timm" else None

        def exec_module(self, module):
            raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.delitem(sys.modules, "timm")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(EncoderError, match=r"cannot be imported \(RuntimeError: operator torchvision::nms.*belongs"):
        load(folder)


def test_nothing_is_said_on_the_way_and_loggers_stay_as_they_were(tmp_path):
    """In a process of its own: pytest would catch what timm logs."""
    folder = small.save(small.make("test_coatnet", in_chans=1), tmp_path)
    code = (
        "import sys, logging; from pathlib import Path; from synbench import timm_models\n"
        "folder = Path(sys.argv[1])\n"
        "for untrained in (False, True):\n"
        "    module = timm_models.load(folder, untrained=untrained, seed=0)\n"
        "    timm_models.contract(module, None, None, None)\n"
        "import timm\n"
        "timm_models.contract(timm.create_model('test_coatnet', in_chans=1), None, None, None)\n"
        "print(logging.getLogger('timm').level)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", code, str(folder)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", f"{logging.NOTSET}\n")


def test_the_extra_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["dynamic"]
    (file,) = project["optional-dependencies"]["timm"]["file"]
    assert re.fullmatch(r"timm>=[\d.]+", (ROOT / file).read_text().strip())
