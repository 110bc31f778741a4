"""Reading the size, mean and std of a model from its files, for where its image processor cannot be asked."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import families

# Larger edges are budgets of pixels, not sides.
_LARGEST_EDGE = 4096
_FLIPS_LAST = "PPLCNet"
_BGR = (_FLIPS_LAST, "UVDoc", "LayoutLMv2")
_TWICE = "EfficientNet"
_SOURCE = "preprocessor_config.json"


@dataclass(frozen=True)
class Scaling:
    """What an image processor does to a picture: (x[order] − mean) / std by channel, at a size.

    Attributes:
        size: (height, width), or ``None`` if it keeps that of its input.
        mean: one number a channel, in pixel units of [0, 1].
        std: one positive number a channel.
        order: which image channel goes where.
        source: where this was found.
        longest: where ``size`` is the least of a range, as of a processor that keeps sides in between as they are:
            the longest side of it.
    """

    size: tuple[int, int] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    order: tuple[int, ...]
    source: str
    longest: int | None = None

    @classmethod
    def of(cls, size: tuple[int, int] | None, mean: Any, std: Any, order: tuple[int, ...], source: str) -> "Scaling":
        """Round to six digits: a processor works in float32, so that is what its answer is good for."""
        digits = [tuple(float(f"{v:.6g}") for v in np.broadcast_to(values, (3,))) for values in (mean, std)]
        return cls(size, digits[0], digits[1], order, source)


def read(written: dict[str, Any]) -> Scaling | None:
    """Read an image processor from its fields, or ``None`` if they do not say what it does to colours.

    Args:
        written: ``preprocessor_config.json``, or timm's ``pretrained_cfg``.

    >>> scaling = read({"size": {"shortest_edge": 256}, "crop_size": 224, "do_center_crop": True})
    >>> scaling.size, scaling.mean, scaling.std
    ((224, 224), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    """
    if "input_size" in written and "mean" in written:
        size = (int(written["input_size"][-2]), int(written["input_size"][-1]))
        return Scaling.of(size, written["mean"], written["std"], (0, 1, 2), "pretrained_cfg in config.json")
    kind = str(written.get("image_processor_type") or written.get("feature_extractor_type") or "")
    rescales = written.get("do_rescale", True)
    gain = 255 * float(written.get("rescale_factor") or 1 / 255) if rescales else 255.0
    mean, std = np.zeros(3), np.ones(3)
    if written.get("do_normalize", "image_mean" in written):
        if written.get("image_mean") is None or written.get("image_std") is None:
            return None
        mean, std = (np.broadcast_to(np.asarray(written[key], float), (3,)) for key in ("image_mean", "image_std"))
    if kind.startswith(_TWICE) and written.get("include_top", True) and written.get("image_std") is not None:
        # For checkpoints with a top, this one divides by the standard deviation once more.
        twice = np.broadcast_to(np.asarray(written["image_std"], float), (3,))
    else:
        twice = np.ones(3)
    shift = 1.0 if rescales and written.get("rescale_offset") else 0.0
    flips = written.get("do_flip_channel_order") or any(kind.startswith(name) for name in _BGR)
    order = (2, 1, 0) if flips else (0, 1, 2)
    if kind.startswith(_FLIPS_LAST):
        # Its mean and std are those of the channels before the flip.
        mean, std = mean[::-1], std[::-1]
    found = Scaling.of(_written_size(written), (mean + shift) / gain, std * twice / gain, order, _SOURCE)
    return replace(found, longest=_longest(written))


def configured_size(*configs: Any) -> tuple[int, int] | None:
    """Return the input size that configurations name, whatever they call it: the first that does.

    >>> from types import SimpleNamespace
    >>> configured_size(None, SimpleNamespace(vision_config=SimpleNamespace(image_size=[40, 56])))
    (40, 56)
    """
    for config in _parts(configs):
        find = families.of(config).size
        if find is not None:
            return find(config)
        for field in ("image_size", "crop_size", "img_size", "pretrain_image_size"):
            size = _pair(getattr(config, field, None))
            if size is not None:
                return size
        pretrained = getattr(config, "pretrained_cfg", None)
        if isinstance(pretrained, dict) and "input_size" in pretrained:
            return _pair(list(pretrained["input_size"])[-2:])
    return None


def configured_channels(*configs: Any) -> int:
    """Return the number of channels that configurations name: three, if none does."""
    for config in _parts(configs):
        channels = getattr(config, "num_channels", None)
        if isinstance(channels, int):
            return channels
    return 3


def _parts(configs: tuple[Any, ...]) -> Iterator[Any]:
    for config in configs:
        if config is not None:
            yield config
            for field in ("vision_config", "image_config", "encoder", "backbone_config", "visual_config"):
                part = getattr(config, field, None)
                if part is not None and not isinstance(part, (str, dict)):
                    yield from _parts((part,))


def _written_size(written: dict[str, Any]) -> tuple[int, int] | None:
    """Return the size that fields fix for a square picture."""
    if written.get("do_center_crop", "crop_size" in written) and written.get("crop_size") is not None:
        size = _pair(written["crop_size"])
        if size is not None:
            return size
    tile = _pair(written.get("max_image_size"))
    if tile is not None:
        # The larger size is that of a canvas, which is cut into tiles of this one.
        return tile
    pad = written.get("pad_size")
    if written.get("do_pad", pad is not None) and pad is not None:
        return _pair(pad)
    return _pair(written.get("size")) if written.get("do_resize", True) else None


def _longest(written: dict[str, Any]) -> int | None:
    """Return the longest side, where the fields leave a range of sides."""
    size = written.get("size")
    longest = size.get("longest_edge") if isinstance(size, dict) else None
    found = _written_size(written)
    fixed = longest is None or found is None or found != _pair(size)
    return None if fixed or int(longest) > _LARGEST_EDGE else int(longest)  # type: ignore[arg-type]


def _pair(size: Any) -> tuple[int, int] | None:
    if isinstance(size, dict):
        if size.get("height") and size.get("width"):
            size = (size["height"], size["width"])
        else:
            edges = [int(size[key]) for key in ("shortest_edge", "longest_edge") if size.get(key)]
            size = min(edges) if edges and max(edges) <= _LARGEST_EDGE else None
    if isinstance(size, bool):
        return None
    if isinstance(size, int):
        size = (size, size)
    if not isinstance(size, (list, tuple)) or len(size) != 2 or not all(isinstance(v, int) for v in size):
        return None
    return (size[0], size[1]) if 0 < max(size) <= _LARGEST_EDGE else None
