"""Tiny checkpoints in ``transformers`` format: random weights, 32 pixels, 32 dimensions, made in a second.

Every channel has its own mean and std, so that a swap of channels shows. Configurations draw their weights
so narrow that a tiny model is almost a constant function: ``make`` gives it weights that matter.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file

SIZE = 32
WIDTH = 32
MEAN = (0.4, 0.5, 0.6)
STD = (0.2, 0.25, 0.3)

LAYERS = {
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIZE,
    "patch_size": 8,
}
TEXT = {
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 50,
    "max_position_embeddings": 8,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_FIXED = {"size": {"height": SIZE, "width": SIZE}}
_CROPPED = {"size": {"shortest_edge": SIZE + 8}, "crop_size": {"height": SIZE, "width": SIZE}}
_SHRUNK = {"size": {"shortest_edge": SIZE}, "crop_pct": 0.875}


def make(kind: type[Any], config: Any, seed: int = 0) -> Any:
    """Make a model whose every weight has a spread: matrices around 0, vectors around what they were."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = kind(config).eval()
        for tensor in model.parameters():
            tensor.copy_(0.3 * torch.randn_like(tensor) + (tensor if tensor.ndim == 1 else 0))
        for name, tensor in model.named_buffers():
            if name.endswith("running_mean"):
                tensor.copy_(0.2 * torch.randn_like(tensor))
            elif name.endswith("running_var"):
                tensor.copy_(0.5 + torch.rand_like(tensor))
    return model


def save(model: Any, folder: Path, processor: str | None = "ViTImageProcessor", **fields: Any) -> Path:
    """Write a model, and the configuration of its image processor as the Hub holds them."""
    model.save_pretrained(folder)
    if processor is not None:
        written = {"image_processor_type": processor, "do_normalize": True, "image_mean": MEAN, "image_std": STD}
        (folder / "preprocessor_config.json").write_text(json.dumps({**written, **(fields or _FIXED)}))
    return folder


def vit(folder: Path, seed: int = 0) -> Path:
    return save(make(transformers.ViTModel, transformers.ViTConfig(**LAYERS), seed), folder)


def dinov2(folder: Path) -> Path:
    config = transformers.Dinov2Config(**LAYERS, mlp_ratio=2)
    return save(make(transformers.Dinov2Model, config), folder, "BitImageProcessor", **_CROPPED)


def clip(folder: Path) -> Path:
    config = transformers.CLIPConfig(text_config=TEXT, vision_config=LAYERS, projection_dim=16)
    return save(make(transformers.CLIPModel, config), folder, "CLIPImageProcessor", **_CROPPED)


def clip_vision(folder: Path) -> Path:
    config = transformers.CLIPVisionConfig(**LAYERS)
    return save(make(transformers.CLIPVisionModel, config), folder, "CLIPImageProcessor", **_CROPPED)


def siglip(folder: Path) -> Path:
    config = transformers.SiglipConfig(text_config=TEXT, vision_config=LAYERS)
    return save(make(transformers.SiglipModel, config), folder, "SiglipImageProcessor")


def siglip_vision(folder: Path) -> Path:
    config = transformers.SiglipVisionConfig(**LAYERS)
    return save(make(transformers.SiglipVisionModel, config), folder, "SiglipImageProcessor")


def convnext(folder: Path) -> Path:
    config = transformers.ConvNextConfig(hidden_sizes=[16, WIDTH], depths=[1, 1], num_stages=2, patch_size=4)
    return save(make(transformers.ConvNextModel, config), folder, "ConvNextImageProcessor", **_SHRUNK)


def resnet(folder: Path) -> Path:
    config = transformers.ResNetConfig(
        embedding_size=16, hidden_sizes=[16, WIDTH], depths=[1, 1], layer_type="basic", hidden_act="relu"
    )
    return save(make(transformers.ResNetModel, config), folder, "ConvNextImageProcessor", **_SHRUNK)


def swin(folder: Path) -> Path:
    config = transformers.SwinConfig(
        image_size=SIZE, patch_size=4, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4
    )
    return save(make(transformers.SwinModel, config), folder)


FAMILIES: dict[str, Callable[[Path], Path]] = {
    builder.__name__: builder
    for builder in (vit, dinov2, clip, clip_vision, siglip, siglip_vision, convnext, resnet, swin)
}


def vit_classifier(folder: Path) -> Path:
    """Save a classifier: it has no pooler, so that of ``ViTModel`` stays random."""
    return save(make(transformers.ViTForImageClassification, transformers.ViTConfig(**LAYERS)), folder)


def siglip_headless(folder: Path) -> Path:
    """Save a classifier that averages patch tokens, so the attention head of the vision tower stays random."""
    config = transformers.SiglipConfig(text_config=TEXT, vision_config=LAYERS)
    save(make(transformers.SiglipForImageClassification, config), folder, "SiglipImageProcessor")
    return drop(folder, "vision_model.head.")


def masked_autoencoder(folder: Path) -> Path:
    """Save a model that hides three quarters of each image, at random, as it is configured."""
    return save(make(transformers.ViTMAEModel, transformers.ViTMAEConfig(**LAYERS)), folder)


def text_only(folder: Path) -> Path:
    config = transformers.BertConfig(**{**TEXT, "bos_token_id": None, "eos_token_id": None})
    return save(make(transformers.BertModel, config), folder, None)


def without_processor(folder: Path) -> Path:
    (vit(folder) / "preprocessor_config.json").unlink()
    return folder


def without_weights(folder: Path) -> Path:
    (vit(folder) / "model.safetensors").unlink()
    return folder


def pickled(folder: Path) -> Path:
    """Save with weights as a pickle only, which could run code."""
    torch.save(load_file(vit(folder) / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def drop(folder: Path, part: str) -> Path:
    """Take the weights out whose name contains ``part``."""
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if part not in name}
    assert 0 < len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def reconfigure(folder: Path, **fields: Any) -> Path:
    """Change ``config.json`` and leave the weights as they are."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))
    return folder
