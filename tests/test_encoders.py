"""Every kind of model becomes one function from images to vectors: the right ones, of the right images, on record."""

import hashlib
import json
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from synbench import ArgumentError, EncoderError, RepresentationError, load_encoder, score
from synbench.checkpoints import load_checkpoint
from synbench.encoders import evaluating

from . import checkpoints
from .checkpoints import MEAN, SIZE, STD, WIDTH

# Where the same arithmetic runs in another order (another batch size, another path to the same layers), float32
# results of size 1 part by some 1e-6; any other pooling, layer or normalisation of these models parts by more than 0.1.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@cache
def pictures(count=5, shape=(3, SIZE, SIZE)):
    """Gaussian images in pixel units: a fair part lies below 0 and above 1, as the mixture's does."""
    return 0.5 + 0.5 * torch.randn(count, *shape, generator=torch.Generator().manual_seed(7))


def normalized():
    images = pictures()
    return torch.stack([(images[:, i] - MEAN[i]) / STD[i] for i in range(3)], dim=1)


def natural_vit(folder, pixels):
    return transformers.ViTModel.from_pretrained(folder)(pixels).last_hidden_state[:, 0]


def natural_dinov2(folder, pixels):
    return transformers.Dinov2Model.from_pretrained(folder)(pixels).pooler_output


def natural_clip(folder, pixels):
    return transformers.CLIPModel.from_pretrained(folder).vision_model(pixels).pooler_output


def natural_clip_vision(folder, pixels):
    return transformers.CLIPVisionModel.from_pretrained(folder)(pixels).pooler_output


def natural_siglip(folder, pixels):
    return transformers.SiglipModel.from_pretrained(folder).vision_model(pixels).pooler_output


def natural_siglip_vision(folder, pixels):
    return transformers.SiglipVisionModel.from_pretrained(folder)(pixels).pooler_output


def natural_convnext(folder, pixels):
    return transformers.ConvNextModel.from_pretrained(folder)(pixels).pooler_output


def natural_resnet(folder, pixels):
    return transformers.ResNetModel.from_pretrained(folder)(pixels).last_hidden_state.mean(dim=(2, 3))


def natural_swin(folder, pixels):
    return transformers.SwinModel.from_pretrained(folder)(pixels).pooler_output


POOLED = "pooler_output: vector"
FAMILIES = {
    "vit": (natural_vit, "ViTModel", "last_hidden_state: class token"),
    "dinov2": (natural_dinov2, "Dinov2Model", POOLED),
    "clip": (natural_clip, "CLIPVisionModel", POOLED),
    "clip_vision": (natural_clip_vision, "CLIPVisionModel", POOLED),
    "siglip": (natural_siglip, "SiglipVisionModel", POOLED),
    "siglip_vision": (natural_siglip_vision, "SiglipVisionModel", POOLED),
    "convnext": (natural_convnext, "ConvNextModel", POOLED),
    "resnet": (natural_resnet, "ResNetModel", "pooler_output: map mean"),
    "swin": (natural_swin, "SwinModel", POOLED),
}
families = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Models this small take ten times as long where threads wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Give the folder of a checkpoint by the name of its builder; nobody changes it."""
    root = tmp_path_factory.mktemp("checkpoints")
    return cache(lambda name: str(getattr(checkpoints, name)(root / name)))


@pytest.fixture(scope="module")
def loaded(saved):
    return cache(lambda name: load_encoder(saved(name)))


def vectors(encoder, images=None):
    with evaluating(encoder.module):
        return encoder(pictures() if images is None else images).clone()


def weights(folder):
    return load_file(f"{folder}/model.safetensors")


# ---------------------------------------------------------------------------------------- models in folders


def test_every_family_that_can_be_built_is_tested():
    assert FAMILIES.keys() == checkpoints.FAMILIES.keys()


@families
def test_embedding_is_the_one_that_the_family_is_known_by(family, saved, loaded):
    natural = FAMILIES[family][0]
    with torch.inference_mode():
        expected = natural(saved(family), normalized())
        unnormalized = natural(saved(family), pictures())
    found = vectors(loaded(family))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, **CLOSE)
    assert (expected - unnormalized).abs().max() > 0.1, "this model cannot tell whether its input is normalised"


@families
def test_record_says_what_was_loaded(family, saved, loaded):
    _, architecture, pooling = FAMILIES[family]
    encoder, folder = loaded(family), saved(family)
    record = encoder.record
    content = Path(folder, "model.safetensors").read_bytes()
    assert record.weights_sha256 == hashlib.sha256(content).hexdigest()
    assert (record.id, record.source, record.pooling) == (folder, "local", pooling)
    # Older releases of transformers call the same tower by the class inside it.
    assert record.architecture in (architecture, architecture.replace("Model", "Transformer"))
    assert (record.revision, record.commit, record.trained, record.dimension) == (None, None, True, WIDTH)
    assert record.pooling_reason
    assert (encoder.contract.shape, encoder.contract.mean, encoder.contract.std) == ((3, SIZE, SIZE), MEAN, STD)
    assert encoder.contract.source == "image processor"
    assert (encoder.device, encoder.dtype) == ("cpu", "float32")
    assert encoder.dtype_reason.startswith("default")


@pytest.mark.parametrize("name", [*FAMILIES, "vit_classifier", "siglip_headless"])
def test_two_loads_agree_to_the_last_bit_whatever_the_random_state(name, saved):
    found = []
    for state in (1, 2):
        torch.manual_seed(state)
        found.append(vectors(load_encoder(saved(name))))
    assert torch.equal(*found)


@families
def test_an_image_has_its_vector_in_any_company(family, loaded):
    encoder = loaded(family)
    alone = torch.cat([vectors(encoder, image[None]) for image in pictures()])
    torch.testing.assert_close(alone, vectors(encoder), **CLOSE)


@families
def test_vectors_are_finite_and_differ_between_images(family, loaded):
    found = vectors(loaded(family))
    assert found.shape == (5, WIDTH)
    assert found.isfinite().all()
    assert (found.std(dim=0) > 1e-3).float().mean() > 0.9


@families
def test_untrained_twin_is_the_same_architecture_drawn_from_the_seed(family, saved, loaded):
    before = torch.get_rng_state()
    first, again, other = (load_encoder(saved(family), untrained=True, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before), "drawing the twin moved the caller's random state"
    trained = loaded(family)
    assert torch.equal(vectors(first), vectors(again))
    names = {name for name, tensor in trained.module.named_parameters() if tensor.ndim > 1}
    twins = [dict(e.module.named_parameters()) for e in (first, other, trained)]
    assert [t.keys() for t in twins] == [twins[0].keys()] * 3
    for name in names:
        one, two, three = (twin[name] for twin in twins)
        # Some weights start as a constant in every twin; a trained one never equals its twin.
        assert one.shape == three.shape
        assert not torch.equal(one, three), name
        assert one.std() == 0 or not torch.equal(one, two), name
    assert first.record.trained is False
    assert first.record.weights_sha256 is None
    assert (first.record.architecture, first.record.pooling) == (trained.record.architecture, trained.record.pooling)
    assert first.contract == trained.contract


def test_untrained_twin_leaves_the_checkpoint_alone_and_needs_no_weights(saved):
    with_weights = load_encoder(saved("vit"), untrained=True, seed=3)
    without = load_encoder(saved("without_weights"), untrained=True, seed=3)
    assert torch.equal(vectors(with_weights), vectors(without))


def test_half_precision_checkpoint_is_computed_in_float32(saved, tmp_path):
    half = transformers.ViTModel.from_pretrained(saved("vit")).half()
    folder = checkpoints.save(half, tmp_path / "half")
    assert {t.dtype for t in weights(folder).values()} == {torch.float16}
    with torch.inference_mode():
        expected = half.float()(normalized()).last_hidden_state[:, 0]
    encoder = load_encoder(folder)
    assert encoder.dtype == "float32"
    torch.testing.assert_close(vectors(encoder), expected, **CLOSE)
    # Its twin is drawn in float32 too: it is that of the float32 checkpoint.
    twins = (load_encoder(path, untrained=True) for path in (folder, saved("vit")))
    assert torch.equal(*map(vectors, twins))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", torch.bfloat16])
def test_dtype_that_was_asked_for_is_used_and_recorded(dtype, saved, loaded):
    encoder = load_encoder(saved("vit"), dtype=dtype)
    name = str(dtype).removeprefix("torch.")
    assert (encoder.dtype, encoder.dtype_reason) == (name, "asked for")
    assert {str(p.dtype) for p in encoder.module.parameters()} == {f"torch.{name}"}
    found, exact = vectors(encoder), vectors(loaded("vit"))
    assert found.dtype == torch.float32
    # bfloat16 keeps 8 bits: each of some twenty operations errs by up to 0.4 %, on vectors with entries up to 3.
    torch.testing.assert_close(found, exact, rtol=0.0, atol=0.15 if "float16" in name else 1e-4)
    assert not torch.equal(found, exact)


def test_sharded_weights_are_hashed_in_the_order_of_their_names(saved, tmp_path):
    model = transformers.ViTModel.from_pretrained(saved("vit"))
    folder = tmp_path / "sharded"
    model.save_pretrained(folder, max_shard_size="40KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    encoder = load_encoder(folder, image_size=SIZE, image_mean=MEAN, image_std=STD)
    assert encoder.record.weights_sha256 == hashlib.sha256(b"".join(s.read_bytes() for s in shards)).hexdigest()
    torch.testing.assert_close(vectors(encoder), vectors(load_encoder(saved("vit"))), **CLOSE)


def test_relative_folder_is_a_folder(saved, tmp_path, monkeypatch):
    checkpoints.vit(tmp_path / "models" / "mine")
    monkeypatch.chdir(tmp_path)
    encoder = load_encoder("models/mine")
    assert (encoder.record.id, encoder.record.source) == ("models/mine", "local")
    assert torch.equal(vectors(encoder), vectors(load_encoder(saved("vit"))))


def test_demo_is_named_as_such():
    record = load_encoder("synbench:demo").record
    assert (record.id, record.source, record.commit, record.trained) == ("synbench:demo", "demo", None, True)
    assert len(record.weights_sha256) == 64


def test_classifier_checkpoint_gives_what_its_classifier_reads(saved, loaded):
    model = transformers.ViTForImageClassification.from_pretrained(saved("vit_classifier"))
    encoder = loaded("vit_classifier")
    with torch.inference_mode():
        expected = model(normalized()).logits
        torch.testing.assert_close(model.classifier(vectors(encoder)), expected, **CLOSE)
    assert encoder.record.pooling == "last_hidden_state: class token"
    assert "dense layer with tanh" in encoder.record.pooling_reason


def test_pooler_with_weights_that_the_checkpoint_lacks_is_passed_over(saved, loaded):
    folder, encoder = saved("siglip_headless"), loaded("siglip_headless")
    assert not any("vision_model.head" in name for name in weights(folder))
    model = transformers.SiglipForImageClassification.from_pretrained(folder)
    with torch.inference_mode():
        expected = model.vision_model(normalized()).last_hidden_state.mean(dim=1)
    torch.testing.assert_close(vectors(encoder), expected, **CLOSE)
    assert encoder.record.pooling == "last_hidden_state: token mean"
    assert "pooler_output depends on weights that are missing" in encoder.record.pooling_reason


def test_search_for_random_weights_leaves_all_weights_as_they_were(saved, loaded):
    torch.manual_seed(3)
    found = load_encoder(saved("siglip_headless")).module.state_dict()
    torch.manual_seed(3)
    options = {"revision": None, "trust_remote_code": False, "untrained": False, "seed": 0}
    for name, tensor in load_checkpoint(saved("siglip_headless"), **options).tower.state_dict().items():
        assert torch.equal(found[name], tensor), name


def test_weights_are_those_of_the_file(saved, loaded):
    found = loaded("siglip_headless").module.state_dict()
    written = {name.removeprefix("vision_model."): t for name, t in weights(saved("siglip_headless")).items()}
    shared = found.keys() & written.keys()
    assert len(shared) == len(found) - sum(name.startswith("head.") for name in found)
    for name in shared:
        assert torch.equal(found[name], written[name]), name


def test_masked_autoencoder_sees_the_whole_image(saved, loaded):
    encoder = loaded("masked_autoencoder")
    config = transformers.ViTMAEConfig.from_pretrained(saved("masked_autoencoder"), mask_ratio=0.0)
    model = transformers.ViTMAEModel.from_pretrained(saved("masked_autoencoder"), config=config)
    with torch.inference_mode():
        expected = model(normalized()).last_hidden_state[:, 0]
    torch.testing.assert_close(vectors(encoder), expected, **CLOSE)
    torch.testing.assert_close(vectors(encoder), vectors(encoder), **CLOSE)


def test_arguments_come_before_the_image_processor(saved):
    encoder = load_encoder(saved("convnext"), image_size=(24, 40), image_mean=0.0, image_std=1.0)
    assert encoder.contract.shape == (3, 24, 40)
    images = pictures(2, (3, 24, 40))
    with torch.inference_mode():
        expected = natural_convnext(saved("convnext"), images)
    torch.testing.assert_close(vectors(encoder, images), expected, **CLOSE)


# ------------------------------------------------------------------------------------------- refused folders


def refused(match, model, kind=EncoderError, **arguments):
    with pytest.raises(kind, match=match):
        load_encoder(model, **arguments)


@pytest.fixture
def offline(monkeypatch):
    """Answer at once where a client would ask the Hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_unknown_folder_is_refused(tmp_path):
    refused(
        r"cannot load '.*nowhere': expected the id of a vision model on the Hub, or a local folder",
        tmp_path / "nowhere",
    )


def test_unknown_model_without_a_network_is_refused(offline):
    refused(
        r"cannot load 'nobody/nothing': .* Check the network, or fetch it first with `hf download`", "nobody/nothing"
    )


def test_folder_without_a_configuration_is_refused(tmp_path):
    refused(r"cannot load .* local folder with config\.json", tmp_path)


@pytest.mark.parametrize("name", ["without_weights", "pickled"])
def test_weights_are_read_from_safetensors_only(name, saved):
    refused(r"no file named model\.safetensors .* Weights are read from safetensors only", saved(name))


def test_pickle_is_not_opened(saved, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    folder = checkpoints.without_weights(tmp_path / "trap")
    torch.save(Trap(), folder / "pytorch_model.bin")
    refused("Weights are read from safetensors only", folder)
    assert not (tmp_path / "ran").exists()


def test_text_model_is_refused_before_its_weights_are_read(saved):
    refused(r"is not a vision encoder: BertModel takes 'input_ids', expected 'pixel_values'", saved("text_only"))
    refused(r"is not a vision encoder", saved("text_only"), image_size=32, image_mean=0.5, image_std=0.5)


def test_missing_image_processor_is_named_with_its_remedy(saved, loaded):
    folder = saved("without_processor")
    refused(r"no image processor .* Pass image_size=, image_mean= and image_std=", folder)
    refused(r"no image processor", folder, image_size=SIZE)
    encoder = load_encoder(folder, image_size=SIZE, image_mean=MEAN, image_std=STD)
    assert torch.equal(vectors(encoder), vectors(loaded("vit")))
    assert encoder.contract.source == "arguments"


@pytest.mark.parametrize(
    ("family", "part"),
    [("vit", ".1."), ("dinov2", ".1."), ("clip", "vision_model.encoder.layers.0."), ("resnet", "running_var")],
)
def test_checkpoint_without_a_part_of_the_encoder_is_refused(family, part, tmp_path):
    folder = checkpoints.drop(checkpoints.FAMILIES[family](tmp_path / family), part)
    refused(r"depends on weights that are missing from the checkpoint", folder)


def test_dual_encoder_does_without_its_text_weights(tmp_path, loaded):
    folder = checkpoints.drop(checkpoints.clip(tmp_path / "clip"), "text_model.")
    assert torch.equal(vectors(load_encoder(folder)), vectors(loaded("clip")))


def test_weights_of_other_shapes_than_configured_are_refused(tmp_path):
    folder = checkpoints.reconfigure(checkpoints.vit(tmp_path / "vit"), intermediate_size=64)
    refused(r"cannot load .* Its weights do not fit its config\.json: take both", folder)


def test_half_downloaded_weights_are_refused(tmp_path):
    file = checkpoints.vit(tmp_path / "vit") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    refused(r"cannot load .* Fetch its weights again", file.parent)


def test_unknown_architecture_is_refused(tmp_path):
    folder = checkpoints.reconfigure(checkpoints.vit(tmp_path / "vit"), model_type="neverheardof")
    refused(r"cannot load .*neverheardof", folder)


def test_image_size_that_the_model_cannot_take_is_refused(saved):
    refused(
        r"does not take one batch of images of shape \(3, 48, 48\) .* Pass the image_size=", saved("vit"), image_size=48
    )


# ---------------------------------------------------------------------------------- code from a repository


@pytest.mark.parametrize("revision", [None, "main", "0123abc", "Z" * 40, "a" * 39, "a" * 41])
def test_remote_code_needs_a_pinned_commit(revision, offline):
    refused(
        r"trust_remote_code=True runs code from 'some/model' .* needs the commit that you looked at: pass revision=",
        "some/model",
        ArgumentError,
        trust_remote_code=True,
        revision=revision,
    )


def test_remote_code_with_a_pinned_commit_gets_as_far_as_the_hub(offline):
    refused("Check the network", "some/model", trust_remote_code=True, revision="0123456789" * 4)


OWN_CODE = """
from pathlib import Path
import torch
from transformers import PretrainedConfig, PreTrainedModel

Path({mark!r}).touch()

class OwnConfig(PretrainedConfig):
    model_type = "synbench_test"

class OwnModel(PreTrainedModel):
    config_class = OwnConfig
    main_input_name = "pixel_values"

    def __init__(self, config):
        super().__init__(config)
        self.weight = torch.nn.Parameter(torch.ones(3))
        self.post_init()

    def forward(self, pixel_values):
        return {{"pooler_output": pixel_values.mean(dim=(2, 3)) * self.weight}}
"""


def test_code_of_a_folder_runs_only_if_asked_for(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder, mark = tmp_path / "own", tmp_path / "ran"
    folder.mkdir()
    names = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps({"model_type": "synbench_test", "auto_map": names}))
    (folder / "own.py").write_text(OWN_CODE.format(mark=str(mark)))
    save_file({"weight": torch.tensor([1.0, 2.0, 3.0])}, folder / "model.safetensors", metadata={"format": "pt"})
    size = {"image_size": 8, "image_mean": 0.0, "image_std": 1.0}
    refused(r"cannot load .*trust_remote_code", folder, **size)
    assert not mark.exists()
    encoder = load_encoder(folder, trust_remote_code=True, **size)
    assert mark.exists()
    images = pictures(2, (3, 8, 8))
    expected = images.mean(dim=(2, 3)) * torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(vectors(encoder, images), expected, **CLOSE)
    assert encoder.record.architecture == "OwnModel"


# --------------------------------------------------------------------------------------- modules, callables


def small_module():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Dropout(0.5), torch.nn.Flatten()
    )


def test_module_is_scored_as_it_is_and_given_back_as_it_was():
    module = small_module()
    module[1].eval()
    modes = [part.training for part in module.modules()]
    kept = {name: (id(tensor), tensor.clone()) for name, tensor in module.state_dict(keep_vars=True).items()}
    encoder = load_encoder(module, image_size=8, image_mean=MEAN, image_std=STD)
    assert encoder.module is module
    report = score(module, image_size=8, samples=16, scales=[1.0, 2.0])
    assert report.settings.model.id == "Sequential"
    assert [part.training for part in module.modules()] == modes
    after = module.state_dict(keep_vars=True)
    assert after.keys() == kept.keys()
    for name, (identity, value) in kept.items():
        assert id(after[name]) == identity
        assert torch.equal(after[name], value), name
        assert after[name].device.type == "cpu"
        assert after[name].dtype == value.dtype
        assert after[name].grad is None
    assert all(p.requires_grad for p in module.parameters())


def test_module_in_training_mode_embeds_without_dropout_and_with_running_statistics():
    module = small_module().train()
    encoder = load_encoder(module, image_size=8, image_mean=MEAN, image_std=STD)
    images = pictures(6, (3, 8, 8))
    found = vectors(encoder, images)
    normal = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(found, module.eval()(normal), **CLOSE)
        assert not torch.allclose(found, module.train()(normal), atol=0.1)


def test_error_inside_a_module_leaves_its_mode_alone():
    module = small_module().train()
    encoder = load_encoder(module, image_size=8)
    with pytest.raises(EncoderError, match="does not take images"), evaluating(module):
        encoder(torch.zeros(2, 5, 8, 8))
    assert all(part.training for part in module.modules())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_module_keeps_its_own_precision(dtype):
    module = small_module().to(dtype)
    encoder = load_encoder(module, image_size=8)
    assert encoder.module is module
    assert (encoder.dtype, encoder.dtype_reason) == (str(dtype).removeprefix("torch."), "the module's own")
    assert vectors(encoder, pictures(2, (3, 8, 8))).dtype == torch.float32


def test_module_in_another_precision_is_a_copy():
    module = small_module()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    encoder = load_encoder(module, image_size=8, dtype="float64", device="cpu")
    assert encoder.module is not module
    assert {p.dtype for p in encoder.module.parameters()} == {torch.float64}
    assert (encoder.dtype, encoder.dtype_reason) == ("float64", "asked for")
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])
        assert tensor.dtype == before[name].dtype


def test_module_record():
    encoder = load_encoder(torch.nn.Flatten(), image_size=(1, 4, 5))
    record = encoder.record
    assert (record.id, record.source, record.architecture) == ("Flatten", "module", "Flatten")
    assert (record.pooling, record.dimension, record.trained) == ("vector", 20, True)
    assert (record.revision, record.commit, record.weights_sha256) == (None, None, None)
    assert (encoder.dtype, encoder.contract.source) == ("float32", "arguments")
    images = pictures(2, (1, 4, 5))
    assert torch.equal(vectors(encoder, images), images.flatten(1))


@pytest.mark.parametrize("family", ["vit", "clip", "siglip", "resnet"])
def test_transformers_model_that_the_caller_loaded_is_pooled_like_its_folder(family, saved, loaded):
    model = transformers.AutoModel.from_pretrained(saved(family)).train()
    encoder = load_encoder(model, image_size=SIZE, image_mean=MEAN, image_std=STD)
    torch.testing.assert_close(vectors(encoder), vectors(loaded(family)), **CLOSE)
    assert (encoder.record.source, encoder.record.pooling) == ("module", FAMILIES[family][2])
    assert all(part.training for part in model.modules())


def test_transformers_model_without_an_image_output_is_refused():
    matcher = transformers.SuperPointForKeypointDetection(
        transformers.SuperPointConfig(encoder_hidden_sizes=[8] * 4, decoder_hidden_size=8, descriptor_decoder_dim=8)
    )
    refused(r"'SuperPointForKeypointDetection' finds keypoints", matcher, image_size=SIZE)
    text = transformers.BertModel(transformers.BertConfig(**checkpoints.TEXT))
    refused(r"'BertModel' is not a vision encoder: BertModel takes 'input_ids'", text, image_size=SIZE)


def thirds(images):
    return torch.stack([images[:, i].mean(dim=(1, 2)) for i in range(3)], dim=1)


@pytest.mark.parametrize(
    "convert", [lambda v: v, lambda v: v.numpy(), lambda v: v.double().numpy(), lambda v: v.tolist()]
)
def test_callable_may_return_torch_numpy_or_lists(convert):
    def encode(images):
        assert isinstance(images, torch.Tensor)
        assert images.dtype == torch.float32
        return convert(thirds(images))

    encoder = load_encoder(encode, image_size=8, image_mean=MEAN, image_std=STD)
    images = pictures(6, (3, 8, 8))
    expected = (thirds(images) - torch.tensor(MEAN)) / torch.tensor(STD)
    found = vectors(encoder, images)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, **CLOSE)
    record = encoder.record
    assert (record.id, record.source, record.architecture, record.dimension) == ("encode", "callable", "encode", 3)
    assert (record.pooling, record.trained, record.weights_sha256) == ("vector", True, None)


def test_without_mean_and_std_a_callable_sees_the_images_as_drawn():
    seen = []

    def spy(images):
        seen.append(images.clone())
        return thirds(images)

    images = pictures(2, (3, 8, 8))
    vectors(load_encoder(spy, image_size=8), images)
    assert torch.equal(seen[-1], images)


def test_callable_object_is_named_by_its_class():
    class Thirds:
        def __call__(self, images):
            return thirds(images)

    assert load_encoder(Thirds(), image_size=8).record.id == "Thirds"


@pytest.mark.parametrize(
    ("wrong", "came"),
    [
        (lambda x: x, r"\(2, 3, 8, 8\)"),
        (lambda x: x.mean(dim=(1, 2, 3)), r"\(2,\)"),
        (lambda x: x.flatten(1).T, r"\(192, 2\)"),
        (lambda x: x.flatten(1)[:1], r"\(1, 192\)"),
        (lambda x: x.flatten(1)[:, :0], r"\(2, 0\)"),
        (lambda x: x.sum(), r"\(\)"),
    ],
)
def test_output_of_the_wrong_shape_is_refused_with_its_shape(wrong, came):
    refused(rf"expected real representations of shape \(2, d\) .* got {came}", wrong, RepresentationError, image_size=8)


@pytest.mark.parametrize(
    ("wrong", "came"),
    [
        (lambda x: {"vector": thirds(x)}, "dict"),
        (lambda x: (thirds(x), x), "tuple"),
        (lambda x: None, "NoneType"),
        (lambda x: "vector", "str"),
    ],
)
def test_output_that_is_no_array_is_refused_with_its_type(wrong, came):
    refused(rf"expected an array of representations .* got {came}", wrong, RepresentationError, image_size=8)


def test_callable_that_raises_is_named():
    def broken(images):
        raise ValueError("not these")

    refused(r"'broken' does not take images of shape \(2, 3, 8, 8\) \(ValueError: not these\)", broken, image_size=8)


def test_image_size_of_a_module_or_callable_must_be_told():
    for model in (small_module(), thirds):
        refused(r"image_size is needed for a module or a callable", model, ArgumentError)


@pytest.mark.parametrize(
    "arguments", [{"revision": "main"}, {"trust_remote_code": True}, {"untrained": True}], ids=lambda a: next(iter(a))
)
def test_arguments_of_hub_models_do_not_go_with_a_module(arguments):
    match = r"revision=, trust_remote_code= and untrained= are for Hub models and folders"
    for model in (small_module(), thirds):
        refused(match, model, ArgumentError, image_size=8, **arguments)


@pytest.mark.parametrize("model", [7, None, np.zeros(3), [thirds]])
def test_what_is_no_model_is_refused(model):
    match = rf"model must be a Hub id, .* a torch\.nn\.Module or a callable, got {type(model).__name__}"
    refused(match, model, ArgumentError, image_size=8)


@pytest.mark.parametrize("dtype", ["int8", "half", "float", "", 32, torch.int64, torch.float8_e4m3fn])
def test_dtype_must_be_one_that_a_score_can_be_made_in(dtype):
    refused(r"dtype must be one of 'float32', .* got ", "synbench:demo", ArgumentError, dtype=dtype)


@pytest.mark.parametrize("device", ["nonsense", "cuda:99", "cpu:x", object(), 1.5])
def test_device_must_be_one_that_is_here(device):
    refused(r"device must be one that torch can use here, .* got ", "synbench:demo", ArgumentError, device=device)


@pytest.mark.parametrize("seed", [-1, 0.5, True, "1"])
def test_seed_of_a_twin_must_be_a_natural_number(seed):
    refused(r"seed must be an integer of at least 0, got ", "synbench:demo", ArgumentError, untrained=True, seed=seed)


# ------------------------------------------------------------------------------------------- what a first look finds


def test_an_encoder_that_is_random_is_refused():
    noise = torch.Generator().manual_seed(0)

    def masked(images):
        return images.flatten(1) * (torch.rand(images[0].numel(), generator=noise) > 0.5)

    refused(r"'masked' gives different vectors for the same images .*Switch off what is random", masked, image_size=8)


def test_an_encoder_called_by_hand_is_in_evaluation_mode():
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 8), torch.nn.Dropout(0.5)).train()
    encoder = load_encoder(module, image_size=8)
    images = torch.randn(4, 3, 8, 8)
    assert torch.equal(encoder(images), encoder(images))
    assert not encoder(images).requires_grad
    assert module.training


@pytest.mark.parametrize("kind", [AssertionError, IndexError, KeyError, RuntimeError], ids=lambda k: k.__name__)
def test_whatever_a_model_raises_is_told_with_its_shape(kind):
    def picky(images):
        raise kind("Input height (8) does not match")

    refused(r"'picky' does not take images of shape \(2, 3, 8, 8\) \(" + kind.__name__, picky, image_size=8)


def test_out_of_memory_is_not_taken_for_a_wrong_shape():
    def hungry(images):
        raise torch.OutOfMemoryError("no more")

    refused("no more", hungry, kind=torch.OutOfMemoryError, image_size=8)


def test_revision_of_a_folder_is_refused(saved):
    refused(
        r"revision= is for models on the Hub, but .* is a local folder", saved("vit"), ArgumentError, revision="main"
    )
    refused(r"revision= is for models on the Hub", "synbench:demo", ArgumentError, revision="main")


def test_empty_name_is_refused():
    refused(r"model must be a Hub id or a local folder, got an empty name", " ", ArgumentError)


def test_device_without_values_is_refused():
    refused(r"device must be one that torch can use here", "synbench:demo", ArgumentError, device="meta")


def test_flags_are_not_words():
    refused(
        r"trust_remote_code must be True or False, got 'no'", "synbench:demo", ArgumentError, trust_remote_code="no"
    )
    refused(r"untrained must be True or False, got 1", "synbench:demo", ArgumentError, untrained=1)
    refused(r"revision must be the name of a branch or tag", "user/model", ArgumentError, revision=3)


def test_vectors_keep_their_width():
    encoder = load_encoder(lambda images: images.flatten(1)[:, : len(images)], image_size=8)
    with pytest.raises(RepresentationError, match=r"expected real representations of shape \(5, 2\) .* got \(5, 5\)"):
        encoder(torch.zeros(5, 3, 8, 8))


def test_code_of_another_repository_is_refused(saved, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in Path(saved("vit")).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "other/repo--code.Model"}}))
    refused(r"takes its code from another repository \(other/repo--code\.Model\)", folder, trust_remote_code=True)


def test_a_broken_configuration_is_told_as_such(saved, tmp_path):
    (tmp_path / "config.json").write_text("null")
    refused(r"cannot load .*: expected the id of a vision model on the Hub, or a local folder", tmp_path)
