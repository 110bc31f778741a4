"""What decides a vector besides the weights: the pooling that is asked for, the size, and what is refused by name."""

import gc
import hashlib
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from synbench import ArgumentError, EncoderError, load_encoder
from synbench.preprocessing import from_arguments

from . import checkpoints
from .checkpoints import LAYERS, MEAN, SIZE, STD, TEXT, WIDTH
from .hub import Hub

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
GIVEN = {"image_size": SIZE, "image_mean": MEAN, "image_std": STD}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def dinov2_with_registers(folder):
    config = transformers.Dinov2WithRegistersConfig(**LAYERS, mlp_ratio=2, num_register_tokens=5)
    return checkpoints.save(checkpoints.make(transformers.Dinov2WithRegistersModel, config), folder)


def bridgeless(folder):
    return checkpoints.save(checkpoints.make(transformers.ViltModel, transformers.ViltConfig(**LAYERS)), folder)


def video(folder):
    config = transformers.VideoMAEConfig(**LAYERS, num_frames=2, tubelet_size=2)
    return checkpoints.save(checkpoints.make(transformers.VideoMAEModel, config), folder)


def clip_classifier(folder):
    config = transformers.CLIPConfig(text_config=TEXT, vision_config=LAYERS, projection_dim=16)
    return checkpoints.save(checkpoints.make(transformers.CLIPForImageClassification, config), folder)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Give the folder of a checkpoint by the name of its builder; nobody changes it."""
    root = tmp_path_factory.mktemp("checkpoints")
    return cache(lambda name: str((globals().get(name) or getattr(checkpoints, name))(root / name)))


def pictures(count=4, size=SIZE):
    return 0.5 + 0.5 * torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(7))


def normalized(size=SIZE):
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return (pictures(size=size) - mean) / std


def refused(match, model, kind=EncoderError, **arguments):
    with pytest.raises(kind, match=match) as caught:
        load_encoder(model, **arguments)
    return str(caught.value)


# --------------------------------------------------------------------------------------------- asked-for pooling


def tokens(folder):
    with torch.inference_mode():
        tower = transformers.AutoModel.from_pretrained(folder).get_encoder(modality="image")
        return tower(pixel_values=normalized())


def projected(folder):
    with torch.inference_mode():
        return transformers.CLIPModel.from_pretrained(folder).get_image_features(normalized()).pooler_output


# Name of the checkpoint: what each pooling is, from the tokens (or map) and the pooled output of the model by hand.
ASKED = {
    "dinov2": {
        "cls": lambda o: o.last_hidden_state[:, 0],
        "mean": lambda o: o.last_hidden_state[:, 1:].mean(dim=1),
        "cls+mean": lambda o: torch.cat([o.last_hidden_state[:, 0], o.last_hidden_state[:, 1:].mean(dim=1)], dim=1),
        "pooler": lambda o: o.pooler_output,
    },
    "dinov2_with_registers": {
        "cls": lambda o: o.last_hidden_state[:, 0],
        "mean": lambda o: o.last_hidden_state[:, 6:].mean(dim=1),
    },
    "vit": {"pooler": lambda o: o.pooler_output},
    "siglip": {"mean": lambda o: o.last_hidden_state.mean(dim=1), "pooler": lambda o: o.pooler_output},
    "convnext": {"mean": lambda o: o.last_hidden_state.mean(dim=(2, 3)), "pooler": lambda o: o.pooler_output},
    "clip": {"mean": lambda o: o.last_hidden_state[:, 1:].mean(dim=1)},
}


@pytest.mark.parametrize(("name", "asked"), [(name, asked) for name, found in ASKED.items() for asked in found])
def test_pooling_that_is_asked_for_is_used_and_recorded(name, asked, saved):
    expected = ASKED[name][asked](tokens(saved(name)))
    encoder = load_encoder(saved(name), pooling=asked)
    torch.testing.assert_close(encoder(pictures()), expected, **CLOSE)
    assert encoder.record.pooling_reason == "asked for"
    assert encoder.record.dimension == expected.shape[1]
    # The same of a model that the caller loaded.
    own = load_encoder(transformers.AutoModel.from_pretrained(saved(name)), pooling=asked, **GIVEN)
    assert torch.equal(own(pictures()), encoder(pictures()))
    assert own.record.pooling == encoder.record.pooling


def test_projected_vector_is_the_one_that_is_compared_with_text(saved):
    expected = projected(saved("clip"))
    encoder = load_encoder(saved("clip"), pooling="projected")
    assert expected.shape == (4, 16)
    torch.testing.assert_close(encoder(pictures()), expected, **CLOSE)
    assert (encoder.record.pooling, encoder.record.pooling_reason) == ("image_features: vector", "asked for")
    model = transformers.CLIPModel.from_pretrained(saved("clip"))
    torch.testing.assert_close(load_encoder(model, pooling="projected", **GIVEN)(pictures()), expected, **CLOSE)
    # By default it is the tower before the projection, whose direction is another.
    assert load_encoder(saved("clip")).record.dimension == WIDTH


def test_tower_that_was_saved_with_its_projection_can_be_projected(tmp_path):
    config = transformers.CLIPVisionConfig(**LAYERS, projection_dim=16)
    model = checkpoints.make(transformers.CLIPVisionModelWithProjection, config)
    folder = checkpoints.save(model, tmp_path, "CLIPImageProcessor", **checkpoints._CROPPED)
    with torch.inference_mode():
        said = model(pixel_values=normalized())
        pooled = model.vision_model(normalized()).pooler_output
    for one, given in ((folder, {}), (model, GIVEN)):
        found = load_encoder(one, pooling="projected", **given)
        torch.testing.assert_close(found(pictures()), said.image_embeds, **CLOSE)
        assert found.missing == ()
        torch.testing.assert_close(load_encoder(one, **given)(pictures()), pooled, **CLOSE)


def test_projection_into_a_language_model_is_not_compared_with_text(tmp_path):
    text = {"model_type": "llama", **TEXT, "num_key_value_heads": 2}
    vision = {**LAYERS, "model_type": "clip_vision_model"}
    model = checkpoints.make(
        transformers.LlavaForConditionalGeneration,
        transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_index=5),
    )
    match = r"pooling='projected' is not what .* can give, expected 'cls' or 'mean' or 'cls\+mean' or 'pooler'\. Leave"
    refused(match, model, ArgumentError, pooling="projected", **GIVEN)
    folder = checkpoints.save(model, tmp_path, "CLIPImageProcessor", **checkpoints._CROPPED)
    refused(match, folder, ArgumentError, pooling="projected")


def test_projection_that_the_checkpoint_lacks_is_refused(tmp_path):
    folder = checkpoints.drop(checkpoints.clip(tmp_path / "clip"), "visual_projection")
    said = refused(r"pooling='projected' depends on weights that are missing", folder, pooling="projected")
    assert "visual_projection.weight" in said
    assert load_encoder(folder).missing == ()


@pytest.mark.parametrize(
    ("name", "asked", "able"),
    [
        ("siglip", "cls", "'mean' or 'pooler' or 'projected'"),
        ("convnext", "cls+mean", "'mean' or 'pooler'"),
        ("vit", "projected", "'cls' or 'mean' or 'cls[+]mean' or 'pooler'"),
        ("masked_autoencoder", "pooler", "'cls' or 'mean' or 'cls[+]mean'"),
    ],
)
def test_pooling_that_a_model_cannot_give_is_refused_with_those_it_can(name, asked, able, saved):
    match = rf"pooling='{asked.replace('+', '[+]')}' is not what \w+ can give, expected {able}\. Leave it out"
    refused(match, saved(name), ArgumentError, pooling=asked)


def test_pooler_with_random_weights_is_refused_by_their_names(saved):
    match = r"pooling='pooler' depends on weights that are missing from the checkpoint: .*head\.probe.* and \d+ more"
    refused(match, saved("siglip_headless"), pooling="pooler")


@pytest.mark.parametrize("pooling", ["max", "", "CLS", 3])
def test_pooling_has_a_few_names(pooling):
    refused(r"pooling must be one of 'cls', 'mean', 'cls\+mean'", "synbench:demo", ArgumentError, pooling=pooling)


@pytest.mark.parametrize("model", [torch.nn.Flatten(), lambda images: images.flatten(1)], ids=["module", "function"])
def test_pooling_does_not_go_with_what_gives_its_vectors_itself(model):
    match = r"pooling= is for models in transformers format, not for a (module|function), which gives its vectors"
    refused(match, model, ArgumentError, pooling="mean", image_size=8)


# ------------------------------------------------------------------------------------------ identity and missing


def test_identity_changes_with_every_byte_that_decides_a_vector(tmp_path):
    folder = checkpoints.vit(tmp_path / "vit")
    first = load_encoder(folder).identity
    assert first.startswith("local:")
    assert load_encoder(folder).identity == first
    # The same files at another place are the same encoder, whatever is written about it.
    copied = checkpoints.vit(tmp_path / "copy")
    (copied / "README.md").write_text("another")
    assert load_encoder(copied).identity == first
    seen = {first}
    tensors = load_file(folder / "model.safetensors")
    key = next(key for key in tensors if key.endswith("weight"))
    tensors[key].view(-1)[0] += 1.0
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    seen.add(load_encoder(folder).identity)
    checkpoints.reconfigure(folder, hidden_act="relu")
    seen.add(load_encoder(folder).identity)
    (folder / "modeling_own.py").write_text("# code")
    seen.add(load_encoder(folder).identity)
    (folder / "modeling_own.py").write_text("# Code")
    seen.add(load_encoder(folder).identity)
    assert len(seen) == 5


def test_identity_of_a_twin_is_that_of_its_architecture_and_seed(tmp_path):
    one, other = (checkpoints.vit(tmp_path / str(seed), seed=seed) for seed in (1, 2))
    twins = [load_encoder(folder, untrained=True, seed=4).identity for folder in (one, other)]
    assert twins[0] == twins[1]
    assert twins[0].endswith(":untrained:4")
    assert twins[0] != load_encoder(one, untrained=True, seed=5).identity
    assert load_encoder(one).identity != load_encoder(other).identity


def test_identity_tells_files_of_the_same_bytes_in_a_row_apart(tmp_path):
    from synbench.identity import folder_sha256, weights_sha256

    found = []
    for parts in ((b"ab", b"c"), (b"a", b"bc")):
        folder = tmp_path / str(len(found))
        folder.mkdir()
        for i, part in enumerate(parts):
            (folder / f"{i}.safetensors").write_bytes(part)
        found.append((weights_sha256(folder), folder_sha256(folder, weights_sha256(folder))))
    assert found[0][0] == found[1][0] == hashlib.sha256(b"abc").hexdigest()
    assert found[0][1] != found[1][1]


def test_weights_are_hashed_once(saved, monkeypatch):
    from synbench import identity

    calls = []
    monkeypatch.setattr(identity, "weights_sha256", lambda folder: calls.append(folder) or "0" * 64)
    assert load_encoder(saved("vit")).record.weights_sha256 == "0" * 64
    assert len(calls) == 1


LOAD = """
import json, sys
from synbench import load_encoder
found = [load_encoder("user/tiny-vit"), load_encoder("user/tiny-vit", untrained=True, seed=3)]
print(json.dumps([[one.identity, one.record.commit] for one in found]))
"""


@pytest.mark.slow
def test_identity_of_a_model_on_the_hub_is_its_commit(saved, tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    with Hub() as hub:
        commit = hub.create("user/tiny-vit", Path(saved("vit"))).refs["main"]
        fresh = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", LOAD],
            env={**kept, **fresh},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    identity = f"hub:user/tiny-vit@{commit}"
    assert json.loads(done.stdout) == [[identity, commit], [f"{identity}:untrained:3", commit]]


def test_what_a_caller_made_has_no_identity():
    for model in (torch.nn.Flatten(), lambda images: images.flatten(1)):
        encoder = load_encoder(model, image_size=8)
        assert (encoder.identity, encoder.missing) == (None, ())


def test_weights_that_the_checkpoint_lacks_are_named_even_if_they_are_not_needed(saved):
    assert load_encoder(saved("vit_classifier")).missing == ("pooler.dense.weight", "pooler.dense.bias")
    assert load_encoder(saved("vit")).missing == ()
    assert load_encoder(saved("vit"), untrained=True).missing == ()
    assert all(name.startswith("head.") for name in load_encoder(saved("siglip_headless")).missing)


def test_text_tower_is_not_kept(saved):
    for asked in (None, "projected"):
        encoder = load_encoder(saved("clip"), pooling=asked)
        gc.collect()
        alive = [one for one in gc.get_objects() if type(one) is transformers.CLIPTextModel]
        assert encoder.module is not None
        assert alive == []


# -------------------------------------------------------------------------------------------------- refused by name


def test_missing_weights_are_named(tmp_path):
    folder = checkpoints.drop(checkpoints.vit(tmp_path / "vit"), ".1.")
    said = refused(r"depends on weights that are missing from the checkpoint\. These weights are ", folder)
    assert "layers.1." in said or "layer.1." in said
    assert said.endswith("take a checkpoint that has them.")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("bridgeless", r"fuses image and text in every layer: it needs text beside an image\. Choose a model"),
        ("video", r"is a model of video: it needs several frames .* Choose an image encoder"),
        ("text_only", r"is not a vision encoder: BertModel takes 'input_ids'"),
    ],
)
def test_model_of_something_else_is_refused_by_name(name, match, saved):
    refused(match, saved(name))


def test_model_of_something_else_is_refused_by_name_when_the_caller_loaded_it(saved):
    refused(r"is a model of video", transformers.VideoMAEModel.from_pretrained(saved("video")), image_size=SIZE)
    refused(r"needs text beside an image", transformers.ViltModel.from_pretrained(saved("bridgeless")), image_size=SIZE)


def test_model_of_another_number_of_channels_is_refused_unless_it_is_asked_for(tmp_path):
    config = transformers.ViTConfig(**LAYERS, num_channels=4)
    folder = checkpoints.save(checkpoints.make(transformers.ViTModel, config), tmp_path / "four")
    refused(r"takes 4 channels, .* expected 1 or 3\. .* pass image_size=\(4, height, width\)", folder)
    encoder = load_encoder(folder, image_size=(4, SIZE, SIZE), image_mean=0.5, image_std=0.5)
    assert encoder.contract.shape == (4, SIZE, SIZE)


def test_multimodal_model_without_a_vision_part_is_refused_before_its_weights_are_read(tmp_path):
    layers = {"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "patch_size": 8}
    words = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2}
    config = transformers.Qwen2VLConfig(vision_config=layers, text_config={**words, "vocab_size": 50})
    config.save_pretrained(tmp_path)
    refused(
        r"takes 'hidden_states', 'grid_thw', expected 'pixel_values' \(it takes patches of any resolution", tmp_path
    )


def test_model_type_without_a_class_for_features_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "pix2struct"}))
    refused(r"is of a model type, 'pix2struct', for which transformers has no class that takes images", tmp_path)


@pytest.mark.parametrize("written", [{}, {"hidden_size": 3}, {"architectures": ["ViTModel"]}])
def test_configuration_of_no_known_format_is_refused(written, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(written))
    refused(r"config\.json with neither model_type, .* nor architecture, as timm writes: .* pass it as", tmp_path)


def test_model_of_another_library_is_told_what_to_do(tmp_path):
    (tmp_path / "open_clip_config.json").write_text("{}")
    refused(r"Load a model of another library with that library, and pass it as a module", tmp_path)


class Headed(torch.nn.Module):
    def __init__(self, name, head):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 12))
        setattr(self, name, head)
        self.name = name

    def forward(self, images):
        return getattr(self, self.name)(self.body(images))


@pytest.mark.parametrize("name", ["fc", "head", "heads", "classifier", "logits"])
def test_logits_are_refused_unless_they_are_wrapped(name):
    module = Headed(name, torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(12, 5))).train()
    match = (
        rf"output of its last layer, '{name}\.1', which looks like a classifier by its name: .*\.Identity\(\).*lambda"
    )
    refused(match, module, image_size=8)
    assert module.training
    assert not module._forward_hooks
    assert all(not part._forward_hooks for part in module.modules())
    assert load_encoder(lambda images: module.eval()(images), image_size=8).record.dimension == 5
    setattr(module, name, torch.nn.Identity())
    assert load_encoder(module, image_size=8).record.dimension == 12


@pytest.mark.parametrize("width", [2, 10, 16, 100, 1000])
def test_a_head_of_classes_is_refused(width):
    refused(r"'head', which looks like a classifier", Headed("head", torch.nn.Linear(12, width)), image_size=8)


@pytest.mark.parametrize(("name", "width", "bias"), [("head", 64, True), ("heads", 10, False)])
def test_a_head_that_projects_is_taken(name, width, bias):
    layer = torch.nn.Linear(12, width, bias)
    assert load_encoder(Headed(name, layer), image_size=8).record.dimension == width
    refused("looks like a classifier", Headed("fc", layer), image_size=8)


def test_a_linear_layer_before_the_end_or_of_another_name_is_no_classifier():
    assert load_encoder(Headed("projector", torch.nn.Linear(12, 5)), image_size=8).record.dimension == 5
    normed = torch.nn.Sequential(torch.nn.Linear(12, 5), torch.nn.LayerNorm(5))
    assert load_encoder(Headed("head", normed), image_size=8).record.dimension == 5


@pytest.mark.parametrize("give", [torch.zeros, torch.ones])
def test_encoder_that_does_not_look_is_refused(give):
    match = r"'blind' gives one and the same vector for 264 different images"

    def blind(images):
        return give(len(images), 7)

    refused(match, blind, image_size=8)


def test_encoder_that_tells_few_images_apart_is_taken():
    seen = []

    def coarse(images):
        # The first two are the same; some of the eight are not.
        seen.append(images)
        return (images.mean(dim=(1, 2, 3)) > images.new_full((), 0.0)).float()[:, None] + 1

    assert load_encoder(coarse, image_size=8).record.dimension == 1
    told = torch.cat([images.mean(dim=(1, 2, 3)) > 0 for images in seen])
    assert 0 < told.float().mean() < 1


def test_untrained_twin_without_a_spread_is_refused_with_its_cause(tmp_path):
    config = transformers.ViTConfig(**LAYERS, initializer_range=1e-10)
    folder = checkpoints.save(checkpoints.make(transformers.ViTModel, config), tmp_path / "narrow")
    assert load_encoder(folder).record.dimension == WIDTH
    refused(r"one and the same vector .* draws weights too narrow for an untrained twin", folder, untrained=True)


def test_hybrid_is_more_than_the_backbone_that_embeds_its_patches():
    backbone = transformers.BitConfig(embedding_size=16, hidden_sizes=[16, 16, 32], depths=[1, 1, 1], num_groups=4)
    backbone.out_features = ["stage1", "stage2", "stage3"]
    layers = {**LAYERS, "patch_size": 16, "num_hidden_layers": 4, "backbone_out_indices": [0, 1, 2, 3]}
    config = transformers.DPTConfig(**layers, is_hybrid=True, backbone_config=backbone, neck_ignore_stages=[0, 1])
    config.backbone_featmap_shape = [1, 32, 2, 2]
    encoder = load_encoder(checkpoints.make(transformers.DPTModel, config), image_size=SIZE)
    assert encoder.record.pooling == "last_hidden_state: class token"


def test_vision_part_may_call_its_only_input_as_it_likes():
    class Tower(transformers.PreTrainedModel):
        config_class = transformers.ViTConfig
        main_input_name = "pixel_values"

        def __init__(self, config):
            super().__init__(config)
            self.post_init()

        def forward(self, x, flag=None):
            return {"pooler_output": x.mean(dim=(2, 3))}

    encoder = load_encoder(Tower(transformers.ViTConfig()), image_size=8)
    torch.testing.assert_close(encoder(pictures(size=8)), pictures(size=8).mean(dim=(2, 3)))


def test_vision_part_that_is_not_there_is_missed():
    class Deaf(transformers.PreTrainedModel):
        config_class = transformers.ViTConfig
        main_input_name = "pixel_values"
        vision_tower = None

        def forward(self, pixel_values):
            return {}

    refused(r"'Deaf' was saved without its vision part", Deaf(transformers.ViTConfig()), image_size=8)


# ---------------------------------------------------------------------------------- classifiers that a caller loaded


def test_classifier_that_a_caller_loaded_is_taken_without_its_head(saved):
    model = transformers.ViTForImageClassification.from_pretrained(saved("vit_classifier")).train()
    encoder = load_encoder(model, **GIVEN)
    with torch.inference_mode():
        expected = model.eval()(normalized()).logits
        torch.testing.assert_close(model.classifier(encoder(pictures())), expected, **CLOSE)
    assert encoder.record.architecture == "ViTForImageClassification"


@pytest.mark.parametrize("family", ["CLIP", "Siglip"])
def test_classifier_of_a_dual_encoder_gives_the_same_from_its_folder_and_from_a_caller(family, tmp_path):
    config = getattr(transformers, f"{family}Config")(text_config=TEXT, vision_config=LAYERS)
    model = checkpoints.make(getattr(transformers, f"{family}ForImageClassification"), config)
    by_folder, by_caller = load_encoder(checkpoints.save(model, tmp_path)), load_encoder(model, **GIVEN)
    assert by_folder.record.pooling == by_caller.record.pooling
    assert by_folder.record.pooling_reason == by_caller.record.pooling_reason
    assert "its own output does not read" in by_folder.record.pooling_reason
    torch.testing.assert_close(by_folder(pictures()), by_caller(pictures()), **CLOSE)
    assert load_encoder(tmp_path, untrained=True).record.pooling == by_folder.record.pooling


def test_pooling_layer_that_a_classifier_never_read_is_passed_over(saved):
    model = transformers.SiglipForImageClassification.from_pretrained(saved("siglip_headless"))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    encoder = load_encoder(model, **GIVEN)
    with torch.inference_mode():
        expected = model.vision_model(normalized()).last_hidden_state.mean(dim=1)
    torch.testing.assert_close(encoder(pictures()), expected, **CLOSE)
    assert "pooler_output depends on weights that its own output does not read" in encoder.record.pooling_reason
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_running_statistics_of_a_classifier_stay_as_they_were():
    config = transformers.ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic")
    model = checkpoints.make(transformers.ResNetForImageClassification, config).train()
    before = {name: tensor.clone() for name, tensor in model.named_buffers()}
    encoder = load_encoder(model, **GIVEN)
    assert encoder.record.pooling == "pooler_output: map mean"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.named_buffers())


def test_masked_autoencoder_that_a_caller_loaded_sees_the_whole_image_and_keeps_its_configuration(saved):
    model = transformers.ViTMAEForPreTraining.from_pretrained(saved("masked_autoencoder"))
    encoder = load_encoder(model, **GIVEN)
    torch.testing.assert_close(encoder(pictures()), load_encoder(saved("masked_autoencoder"))(pictures()), **CLOSE)
    # In another order of its patches the same sums would be rounded otherwise.
    assert torch.equal(encoder(pictures()), encoder(pictures()))
    assert model.config.mask_ratio == 0.75
    assert model.vit.embeddings.config.mask_ratio == 0.75


# --------------------------------------------------------------------------------------------- size and normalization


def processor(folder, **fields):
    (folder / "preprocessor_config.json").write_text(json.dumps(fields))
    return folder


def test_model_that_does_not_take_the_size_of_its_processor_is_tried_at_its_own(tmp_path):
    folder = checkpoints.vit(tmp_path / "vit")
    processor(folder, image_processor_type="ViTImageProcessor", size=48, image_mean=MEAN, image_std=STD)
    encoder = load_encoder(folder)
    assert encoder.contract.shape == (3, SIZE, SIZE)
    assert encoder.contract.source == "image processor, size of config.json"
    # What a user asks for is not replaced.
    refused(r"does not take one batch of images of shape \(3, 48, 48\)", folder, image_size=48)


def test_model_that_takes_the_size_of_its_processor_keeps_it(tmp_path):
    folder = processor(
        checkpoints.dinov2(tmp_path / "dinov2"),
        image_processor_type="ViTImageProcessor",
        size={"height": 48, "width": 40},
        image_mean=MEAN,
        image_std=STD,
    )
    encoder = load_encoder(folder)
    assert (encoder.contract.shape, encoder.contract.source) == ((3, 48, 40), "image processor")


@pytest.mark.parametrize("kind", ["DINOv3ViTImageProcessor", "SomethingOfNextYearImageProcessor"])
def test_processor_that_cannot_be_loaded_is_read_from_its_fields(kind, tmp_path):
    folder = checkpoints.vit(tmp_path / "vit")
    expected = load_encoder(folder)(pictures())
    size = {"height": SIZE, "width": SIZE}
    processor(folder, image_processor_type=kind, size=size, do_normalize=True, image_mean=MEAN, image_std=STD)
    encoder = load_encoder(folder)
    assert encoder.contract.source == "preprocessor_config.json"
    assert (encoder.contract.mean, encoder.contract.std) == (MEAN, STD)
    assert torch.equal(encoder(pictures()), expected)


def test_processor_may_be_written_inside_another_file(tmp_path):
    folder = checkpoints.vit(tmp_path / "vit")
    inside = {"image_processor_type": "DINOv3ViTImageProcessor", "size": {"height": SIZE, "width": SIZE}}
    inside |= {"do_normalize": True, "image_mean": MEAN, "image_std": STD}
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": inside}))
    encoder = load_encoder(folder)
    assert (encoder.contract.shape, encoder.contract.mean) == ((3, SIZE, SIZE), MEAN)


def test_processor_of_text_says_nothing_of_images(tmp_path):
    folder = checkpoints.without_processor(tmp_path / "vit")
    (folder / "processor_config.json").write_text(json.dumps({"image_mean": MEAN, "image_std": STD, "size": SIZE}))
    refused(r"has no image processor that could be loaded", folder)


def test_fields_that_leave_mean_and_std_open_are_refused(tmp_path):
    folder = checkpoints.vit(tmp_path / "vit")
    processor(folder, image_processor_type="SomethingOfNextYearImageProcessor", do_normalize=True)
    refused(r"has no image processor that could be loaded", folder)
    assert Path(folder, "preprocessor_config.json").exists()


# ------------------------------------------------------------------------------------------- timm's own checkpoints


class Timm:
    """Stands in for the module that knows timm, which is not installed beside every release of torch."""

    POOLING, REASON = "before the classifier", "timm says so"

    def __init__(self):
        self.loaded = []

    def recognises(self, config):
        return "architecture" in config

    def load(self, folder, *, untrained, seed):
        self.loaded.append((folder, untrained, seed))
        return torch.nn.Flatten()

    def made(self, module):
        return isinstance(module, torch.nn.Flatten)

    def forward(self, module):
        return lambda images: 2 * module(images)

    def contract(self, module, image_size, image_mean, image_std):
        return from_arguments(image_size or 4, image_mean, image_std)


@pytest.fixture
def timm(monkeypatch):
    stand_in = Timm()
    monkeypatch.setitem(sys.modules, "synbench.timm_models", stand_in)
    monkeypatch.setattr("synbench.timm_models", stand_in, raising=False)
    return stand_in


def test_folder_in_the_format_of_timm_is_loaded_by_timm(timm, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet10t"}))
    refused(r"cannot load .* file named model\.safetensors\. Weights are read from safetensors only", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    encoder = load_encoder(tmp_path, dtype="float64")
    assert timm.loaded == [(tmp_path, False, 0)]
    images = pictures(2, 4)
    torch.testing.assert_close(encoder(images), 2 * images.flatten(1))
    record = encoder.record
    assert (record.pooling, record.pooling_reason, record.source) == (Timm.POOLING, Timm.REASON, "local")
    assert record.weights_sha256 == hashlib.sha256(b"weights").hexdigest()
    assert (encoder.dtype, encoder.missing, encoder.contract.shape) == ("float64", (), (3, 4, 4))
    assert encoder.identity.startswith("local:")
    match = r"pooling= is for models in transformers format, not for a timm model"
    refused(match, tmp_path, ArgumentError, pooling="mean")


def test_twin_of_a_timm_model_needs_no_weights(timm, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet10t"}))
    encoder = load_encoder(tmp_path, untrained=True, seed=3)
    assert timm.loaded == [(tmp_path, True, 3)]
    assert (encoder.record.trained, encoder.record.weights_sha256) == (False, None)
    assert encoder.identity.endswith(":untrained:3")


def test_configuration_that_names_its_model_type_is_not_for_timm(timm, saved, tmp_path):
    folder = checkpoints.reconfigure(checkpoints.vit(tmp_path / "vit"), architecture="vit_tiny_patch16_224")
    assert torch.equal(load_encoder(folder)(pictures()), load_encoder(saved("vit"))(pictures()))
    assert timm.loaded == []


def test_timm_model_that_the_caller_made_needs_no_size(timm, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", timm)
    encoder = load_encoder(torch.nn.Flatten())
    assert encoder.contract.shape == (3, 4, 4)
    images = pictures(2, 4)
    torch.testing.assert_close(encoder(images), 2 * images.flatten(1))
    assert (encoder.record.pooling, encoder.record.source, encoder.identity) == (Timm.POOLING, "module", None)
    assert load_encoder(torch.nn.Flatten(), image_size=8).contract.shape == (3, 8, 8)


# --------------------------------------------------------------------------------- what loading costs, and leaves alone


def counted(folder, monkeypatch, **choices):
    """Return how often a ViT ran while it was loaded."""
    runs = []
    whole = transformers.ViTModel.forward
    monkeypatch.setattr(transformers.ViTModel, "forward", lambda *a, **k: runs.append(1) or whole(*a, **k))
    load_encoder(folder, **choices)
    monkeypatch.undo()
    return len(runs)


def test_loading_runs_the_model_two_or_three_times(saved, monkeypatch):
    assert counted(saved("vit"), monkeypatch) == 2
    # Once more to see that what the checkpoint lacks does not matter.
    assert counted(saved("vit_classifier"), monkeypatch) == 3


def test_what_differs_from_call_to_call_is_told_by_two_calls():
    class Drawing(transformers.ViTModel):
        def forward(self, pixel_values):
            return {"summary": torch.rand(len(pixel_values), 4)}

    refused("different vectors for the same images each time", Drawing(transformers.ViTConfig(**LAYERS)), **GIVEN)


@pytest.mark.parametrize("choices", [{}, {"untrained": True}, {"pooling": "mean"}], ids=str)
@pytest.mark.parametrize("name", ["vit_classifier", "siglip_headless", "clip"])
def test_loading_leaves_the_random_state_alone(name, choices, saved):
    before = torch.get_rng_state()
    load_encoder(saved(name), **choices)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_an_encoder_draws_at_its_first_look_is_not_missed_after():
    before = torch.get_rng_state()
    load_encoder(lambda images: images.mean(dim=(2, 3)) + 1e-9 * torch.rand(1), image_size=8)
    assert torch.equal(torch.get_rng_state(), before)


def test_seed_of_a_twin_is_for_the_cpu_alone(saved, monkeypatch):
    def seeded(seed):
        raise AssertionError("a GPU was seeded")

    monkeypatch.setattr("torch.cuda.manual_seed_all", seeded)
    monkeypatch.setattr("torch.cuda.manual_seed", seeded)
    assert not load_encoder(saved("vit"), untrained=True).record.trained


@pytest.mark.parametrize("device", [None, "cpu"])
def test_module_in_several_precisions_stays_as_it_is(device):
    config = transformers.CLIPConfig(text_config=TEXT, vision_config=LAYERS, projection_dim=16)
    model = checkpoints.make(transformers.CLIPModel, config)
    model.vision_model.to(torch.bfloat16)
    model.vision_model.post_layernorm.float()
    before = {name: p.dtype for name, p in model.named_parameters()}
    encoder = load_encoder(model, device=device, **GIVEN)
    assert {name: p.dtype for name, p in model.named_parameters()} == before
    assert encoder.dtype == "bfloat16"
    copied = load_encoder(model, dtype="bfloat16", **GIVEN)
    assert {p.dtype for p in copied.module.parameters()} == {torch.bfloat16}
    assert {name: p.dtype for name, p in model.named_parameters()} == before


def test_what_a_module_keeps_for_evaluation_is_cleared_when_it_is_given_back():
    shape = {"hidden_sizes": [16, 24, 32], "num_attention_heads": [1, 2, 2], "depths": [1, 1, 1], "key_dim": [8, 8, 8]}
    model = checkpoints.make(transformers.LevitModel, transformers.LevitConfig(image_size=64, **shape)).train()
    frozen = next(part for part in model.modules() if isinstance(part, torch.nn.BatchNorm2d)).eval()
    modes = [part.training for part in model.modules()]
    load_encoder(model, **{**GIVEN, "image_size": 64})
    assert [part.training for part in model.modules()] == modes
    assert not frozen.training
    caches = [part.attention_bias_cache for part in model.modules() if hasattr(part, "attention_bias_cache")]
    assert len(caches) > 2
    assert not any(caches)


def test_weights_of_a_backbone_are_not_fetched_from_elsewhere():
    from synbench.towers import refuse_pretrained_parts

    inner = transformers.ResNetConfig(use_pretrained_backbone=True)
    config = transformers.MaskFormerConfig()
    config.backbone_config, config.use_pretrained_backbone = inner, True
    refuse_pretrained_parts(config)
    assert (config.use_pretrained_backbone, inner.use_pretrained_backbone) == (False, False)


def test_queries_are_no_vector_of_an_image():
    class Detector(transformers.PreTrainedModel):
        config_class = transformers.ViTConfig
        main_input_name = "pixel_values"

        def forward(self, pixel_values):
            return {"last_hidden_state": pixel_values.flatten(2)}

    refused(
        r"Detector decodes queries, expected an encoder of images",
        Detector(transformers.ViTConfig(num_queries=5)),
        image_size=8,
    )


# ------------------------------------------------------------------------------------------ what a folder holds instead


def write(folder, name, content):
    (folder / name).write_text(json.dumps(content))


def adapter(folder):
    write(folder, "adapter_config.json", {"base_model_name_or_path": "some/base"})


def only_an_adapter(folder):
    adapter(folder)
    (folder / "model.safetensors").unlink()
    (folder / "config.json").unlink()


def sentences(folder):
    write(folder, "modules.json", [{"path": "0_CLIPModel"}, {"path": "1_Dense"}])
    (folder / "0_CLIPModel").mkdir()
    (folder / "config.json").rename(folder / "0_CLIPModel" / "config.json")


def pipeline(folder):
    write(folder, "model_index.json", {})
    (folder / "config.json").unlink()


def gguf(folder):
    (folder / "model.safetensors").rename(folder / "model-q4.gguf")


def variant(folder):
    (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")


def shards(folder):
    model = transformers.ViTModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    sorted(folder.glob("model-*.safetensors"))[-1].unlink()


def prefixed(folder):
    weights = load_file(folder / "model.safetensors")
    held = {f"module.{key}": value for key, value in weights.items()}
    save_file(held, folder / "model.safetensors", metadata={"format": "pt"})


def own_code(folder):
    checkpoints.reconfigure(folder, model_type="unheard", auto_map={"AutoModel": "own.Model"})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            adapter,
            r"an adapter of 'some/base' beside whole weights.* take adapter_config\.json out of .*merge_and_unload",
        ),
        (only_an_adapter, r"holds an adapter of 'some/base' \(adapter_config\.json\) and not the weights of a model"),
        (sentences, r"saved by sentence-transformers .* Load its subfolder '.*0_CLIPModel'"),
        (pipeline, r"holds a pipeline of diffusers \(model_index\.json\)"),
        (gguf, r"weights are in GGUF \(model-q4\.gguf\), expected safetensors"),
        (variant, r"weights are in model\.fp16\.safetensors, expected model\.safetensors"),
        (shards, r"1 of the \d+ files with its weights are not there: model-.*\.safetensors\. Fetch the weights again"),
        (prefixed, r"has none of the weights that ViTModel needs, .*; its file has module\."),
        (own_code, r"comes with code of its own \(own\.Model\).* pass trust_remote_code=True\.$"),
    ],
)
def test_folder_that_holds_something_else_is_refused_by_what_it_holds(change, match, tmp_path):
    change(checkpoints.vit(tmp_path))
    refused(match, tmp_path)


def test_path_that_is_no_folder_is_refused(saved):
    refused(
        r"it is a file, expected a local folder .* Pass the folder that holds it: '.*vit'",
        f"{saved('vit')}/config.json",
    )
    for name in ("./nothing", "a/b/c", "~/nothing", "nothing/", "a\\b", "hf://x"):
        refused(r"there is no folder of that name\. Check the path", name)


def test_canvas_of_tiles_is_not_the_size(tmp_path):
    text = {"model_type": "llama", **TEXT, "num_key_value_heads": 2}
    vision = {**LAYERS, "image_size": 48}
    config = transformers.SmolVLMConfig(
        vision_config=vision, text_config=text, scale_factor=2, image_token_id=5, pad_token_id=0
    )
    model = checkpoints.make(transformers.SmolVLMModel, config)
    size = {"longest_edge": 192}
    for fields in ({"size": size, "max_image_size": {"longest_edge": 48}}, {"size": size}):
        folder = checkpoints.save(model, tmp_path, "SmolVLMImageProcessor", **fields)
        assert load_encoder(folder).contract.shape == (3, 48, 48)
