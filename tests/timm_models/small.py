"""Small timm models with weights that matter, saved as timm saves them, now and formerly."""

import json
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file, save_file

CLASSES = 7

# With the arguments that make it small: what makes its family a case of its own.
SAMPLE: dict[str, dict[str, Any]] = {
    "test_vit": {},  # a class token
    "test_vit2": {},  # another pooling
    "test_vit3": {},
    "test_vit_relpos": {},
    "test_byobnet": {},  # batch norm
    "test_convnext": {},
    "test_resnet": {},
    "test_efficientnet": {},
    "test_nfnet": {},
    "test_coatnet": {},  # a fixed size
    "test_mambaout": {},  # channels last, and a hidden layer in the head: 64 channels, 256 dimensions
    "lcnet_035": {},  # 176 channels, 1280 dimensions
    "swin_tiny_patch4_window7_224": {  # channels last
        "img_size": 56,
        "embed_dim": 24,
        "depths": (1, 1),
        "num_heads": (2, 2),
    },
    "crossvit_tiny_240": {"embed_dim": (16, 32), "depth": ((1, 2, 0),), "num_heads": (2, 2)},  # a list of two
    "deit_tiny_distilled_patch16_224": {  # two heads, averaged
        "img_size": 64,
        "embed_dim": 32,
        "depth": 2,
        "num_heads": 2,
    },
}
# Configurations without model_args say nothing of arguments.
PLAIN = [name for name, arguments in SAMPLE.items() if not arguments]


def make(name: str, seed: int = 0, **arguments: Any) -> Any:
    """Make a model in training mode, as timm does, with a spread in every weight and every statistic."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = timm.create_model(name, **{"num_classes": CLASSES, **SAMPLE.get(name, {}), **arguments})
        for tensor in model.parameters():
            if tensor.ndim == 1:
                tensor.add_(0.2 * torch.randn_like(tensor))
            elif tensor.ndim > 1:
                # So that signals pass: drawn as timm does, a transformer this small hardly looks at its image.
                tensor.copy_(torch.randn_like(tensor) * (2.5 * len(tensor) / tensor.numel()) ** 0.5)
        for key, tensor in model.named_buffers():
            if key.endswith("running_mean"):
                tensor.copy_(0.2 * torch.randn_like(tensor))
            elif key.endswith("running_var"):
                tensor.copy_(0.5 + torch.rand_like(tensor))
    return model


def save(model: Any, folder: Path, style: str = "arguments") -> Path:
    """Save a model by timm, and turn its configuration into one of an older release.

    Args:
        model: what to save.
        folder: where to.
        style: "arguments" as timm 1.0.31 writes it; "nested" without ``model_args``; "flat", all at one level.
    """
    timm.models.save_for_hf(model, str(folder), safe_serialization=True)
    if style == "arguments":
        return folder
    own = {key: value for key, value in model.pretrained_cfg.items() if key != "architecture"}
    config = {"architecture": model.pretrained_cfg["architecture"], "num_features": model.num_features}
    counted = {"num_classes": model.num_classes}
    if style == "nested":
        return write(folder, {**config, **counted, "pretrained_cfg": {**own, **counted}})
    return write(folder, {**config, **own, **counted})


def read(folder: Path) -> dict[str, Any]:
    """Return ``config.json``."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


def write(folder: Path, config: dict[str, Any]) -> Path:
    """Put another ``config.json``."""
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def rewrite(folder: Path, change: Any) -> Path:
    """Put other weights: those that ``change`` makes of the present ones."""
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})
    return folder


def images(shape: tuple[int, ...], n: int = 3, seed: int = 0) -> torch.Tensor:
    """Draw noise around the middle of the range of pixels, each image of its own colour and contrast."""
    generator = torch.Generator().manual_seed(seed)
    contrast, colour = (torch.rand(n, shape[0], 1, 1, generator=generator) for _ in range(2))
    return colour + contrast * torch.randn(n, *shape, generator=generator)


def natural(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Embed by timm's own means: the classifier taken off a model, normalization by its configuration."""
    config = timm.data.resolve_input_data_config(model)
    mean, std = (torch.tensor(config[key]).view(-1, 1, 1) for key in ("mean", "std"))
    model.eval().reset_classifier(0)
    with torch.inference_mode():
        vectors: torch.Tensor = model((pixels - mean) / std)
    return vectors
