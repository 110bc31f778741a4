"""A tiny checkpoint of one model type: how it is built and saved, and what its vector should be.

Everything here and in the tables beside it is written from the models themselves and uses nothing of SynBench: what
is compared with the library must not come from it.
"""

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

MEAN = (0.4, 0.5, 0.6)
STD = (0.2, 0.25, 0.3)


@dataclass(frozen=True)
class Scaling:
    """What an image processor does to plain colours: (x[order] − mean) / std by channel."""

    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    order: tuple[int, ...] = (0, 1, 2)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        return (images[:, list(self.order)] - mean) / std


STANDARD = Scaling()
AS_IT_IS = Scaling((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
BGR = Scaling((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (2, 1, 0))
# EfficientNet's processor divides by the standard deviation once more for checkpoints with a top.
TWICE = Scaling(MEAN, tuple(value * value for value in STD))


@dataclass(frozen=True)
class Processor:
    """The ``preprocessor_config.json`` of a family.

    Attributes:
        name: the class that the Hub's checkpoints of this family name.
        fields: what is written beside it; ``"SIDE"`` stands for a longest or shortest edge, ``"FIXED"`` for height
            and width.
        scaling: what the processor then does to colours.
    """

    name: str
    fields: Mapping[str, Any]
    scaling: Scaling = STANDARD

    def written(self, size: tuple[int, int]) -> dict[str, Any]:
        stand_ins = {"FIXED": {"height": size[0], "width": size[1]}, "SIDE": max(size), "LARGER": max(size) + 8}

        def fill(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: fill(one) for key, one in value.items()}
            return stand_ins.get(value, value) if isinstance(value, str) else value

        normalised = {"do_normalize": True, "image_mean": MEAN, "image_std": STD}
        return {"image_processor_type": self.name, **normalised, **fill(dict(self.fields))}


def fixed(name: str, scaling: Scaling = STANDARD, **fields: Any) -> Processor:
    """A processor that resizes to a height and a width."""
    return Processor(name, {"size": "FIXED", **fields}, scaling)


def cropped(name: str) -> Processor:
    """A processor that resizes to a little more, and cuts the centre out."""
    return Processor(name, {"size": {"shortest_edge": "LARGER"}, "crop_size": "FIXED", "do_center_crop": True})


def framed(name: str, scaling: Scaling = STANDARD, **fields: Any) -> Processor:
    """A detector's processor, which keeps both edges within bounds: a square picture becomes a square."""
    return Processor(name, {"size": {"shortest_edge": "SIDE", "longest_edge": "SIDE"}, **fields}, scaling)


VIT = fixed("ViTImageProcessor")
BIT = cropped("BitImageProcessor")
CLIP = cropped("CLIPImageProcessor")
SIGLIP = fixed("SiglipImageProcessor")
CONVNEXT = Processor("ConvNextImageProcessor", {"size": {"shortest_edge": "SIDE"}, "crop_pct": 0.875})
DETR = framed("DetrImageProcessor")


Natural = Callable[[Any, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Family:
    """A model type of ``transformers``, small.

    Attributes:
        type: as ``config.json`` says, ``model_type``.
        kind: the class whose weights are saved.
        config: what differs from the defaults of its configuration.
        natural: from the loaded model and normalised pixels (n, 3, height, width) to its vectors (n, d).
        d: the length of the vector.
        size: (height, width) of the images.
        processor: the image processor that is saved beside the weights.
        arguments: what the user has to say besides, such as the image size where nothing fixes it.
        gain: how much a layer widens what passes through it.
        note: what is special about it, for the documentation.
    """

    type: str
    kind: str
    config: Mapping[str, Any]
    natural: Natural
    d: int = 32
    size: tuple[int, int] = (32, 32)
    processor: Processor | None = VIT
    arguments: Mapping[str, Any] = field(default_factory=dict)
    gain: float = 2.0
    note: str = ""

    def __str__(self) -> str:
        return self.type

    def configuration(self) -> Any:
        return transformers.AutoConfig.for_model(self.type, **self.config)

    def cls(self) -> Any:
        """Return the class whose weights are saved, of the family's own module: not all are exported at the top."""
        module = type(self.configuration()).__module__.replace("configuration_", "modeling_")
        return getattr(importlib.import_module(module), self.kind)

    def build(self, folder: Path, seed: int = 0) -> Path:
        """Save a checkpoint with weights that matter."""
        config = self.configuration()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.cls()(config).eval()
            matter(model, self.gain)
        model.save_pretrained(folder)
        if self.processor is not None:
            written = json.dumps(self.processor.written(self.size))
            (folder / "preprocessor_config.json").write_text(written)
        return folder

    def load(self, folder: Path) -> Any:
        return self.cls().from_pretrained(folder).eval()

    def normalised(self, images: torch.Tensor) -> torch.Tensor:
        return self.processor.scaling(images) if self.processor is not None else images


@torch.no_grad()
def matter(model: torch.nn.Module, gain: float) -> None:
    """Redraw every weight so that it shows: some configurations draw so narrow that a model is almost constant.

    A layer's weights go with the square root of its inputs, so that deep models neither explode nor saturate.
    """
    for module in model.modules():
        layer = isinstance(module, (torch.nn.Linear, torch.nn.modules.conv._ConvNd))
        for tensor in module.parameters(recurse=False):
            if layer and tensor.ndim > 1:
                tensor.copy_(torch.randn_like(tensor) * gain / tensor[0].numel() ** 0.5)
            else:
                tensor.copy_(0.3 * torch.randn_like(tensor) + (tensor if tensor.ndim <= 1 else 0))
        for name, tensor in module.named_buffers(recurse=False):
            if name == "running_mean":
                tensor.copy_(0.2 * torch.randn_like(tensor))
            elif name == "running_var":
                tensor.copy_(0.5 + torch.rand_like(tensor))
