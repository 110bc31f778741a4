"""What the general rule cannot know about a family of vision models: one line each.

The rule is: the vision part of a model is what ``transformers`` itself finds as its image encoder or backbone, it
takes ``pixel_values``, and what it returns tells how to pool it. A family is here for one of three reasons: its vision
part has a name that ``transformers`` does not look for, it takes its pixels in another form, or it cannot be scored.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Family:
    """The peculiarities of a model type.

    Attributes:
        part: the attribute of the whole model that holds its vision part.
        call: from the vision part, the function to run on it and normalized images to an output.
        size: from the configuration of the vision part to (height, width), where no field is called so.
        no_pooler: why its ``pooler_output`` is not a vector of the image.
        refusal: why no vector of an image can be had, and what can be done; completes "'name' …".
    """

    part: str | None = None
    call: "Callable[[Any, Callable[..., Any], torch.Tensor], Any] | None" = None
    size: Callable[[Any], tuple[int, int]] | None = None
    no_pooler: str | None = None
    refusal: str | None = None


def _unmasked(tower: Any, run: Callable[..., Any], images: "torch.Tensor") -> Any:
    """Show a masked autoencoder all patches, in their own order: else it draws three quarters to hide."""
    import torch

    configured = tower.config.mask_ratio
    tower.config.mask_ratio = 0.0
    try:
        patch = _pair(tower.config.patch_size)
        count = (images.shape[2] // patch[0]) * (images.shape[3] // patch[1])
        order = torch.arange(count, device=images.device).expand(len(images), -1)
        return run(pixel_values=images, noise=order)
    finally:
        tower.config.mask_ratio = configured


def _in_patches(tower: Any, run: Callable[..., Any], images: "torch.Tensor") -> Any:
    """Cut images into rows of patches, beside the grid that they come from, as models of any aspect ratio take them."""
    import torch

    n, channels, height, width = images.shape
    p = tower.config.patch_size
    rows, columns = height // p, width // p
    cut = images[:, :, : rows * p, : columns * p].reshape(n, channels, rows, p, columns, p)
    patches = cut.permute(0, 2, 4, 3, 5, 1).reshape(n, rows * columns, -1)
    seen = torch.ones(n, rows * columns, dtype=torch.int64, device=images.device)
    grid = torch.tensor([[rows, columns]], device=images.device).expand(n, -1)
    # The first releases of transformers 5 have another name for the mask.
    taken = inspect.signature(tower.forward).parameters
    mask = "attention_mask" if "attention_mask" in taken else "pixel_attention_mask"
    return run(pixel_values=patches, spatial_shapes=grid, **{mask: seen})


def _square_of_patches(config: Any) -> tuple[int, int]:
    side = isqrt(config.num_patches) * int(config.patch_size)
    return (side, side)


def _pair(value: Any) -> tuple[int, int]:
    return (int(value[0]), int(value[1])) if isinstance(value, (list, tuple)) else (int(value), int(value))


_NEEDS_TEXT = (
    "fuses image and text in every layer: it needs text beside an image. Choose a model whose vision part stands alone"
)
_VIDEO = "is a model of video: it needs several frames of each, and the mixture has images. Choose an image encoder"
_NEEDS_FUSION = (
    "gives layers to be fused with those of a text, and no vector of an image. Choose a model whose vision part "
    "stands alone"
)
_TILES = (
    "takes tiles of an image with their layout beside them. Wrap it and its own cutting into tiles in a function "
    "from images (n, C, H, W) to vectors (n, d)"
)
_KEYPOINTS = "finds keypoints: it gives a varying number of points an image, not a vector. Choose an image encoder"

FAMILIES: dict[str, Family] = {
    "flava": Family(part="image_model"),
    "git": Family(part="image_encoder"),
    "vision-encoder-decoder": Family(part="encoder"),
    "vit_mae": Family(call=_unmasked),
    "siglip2_vision_model": Family(call=_in_patches, size=_square_of_patches),
    "janus_vision_model": Family(no_pooler="its pooler is the first patch"),
    "bridgetower": Family(refusal=_NEEDS_TEXT),
    "bridgetower_vision_model": Family(refusal=_NEEDS_FUSION),
    "vilt": Family(refusal=_NEEDS_TEXT),
    "eomt": Family(refusal="mixes queries of segments among its tokens. Choose the encoder that it was made from"),
    "seggpt": Family(refusal="needs prompts: an image and its mask as an example. Choose an image encoder"),
    "superpoint": Family(refusal=_KEYPOINTS),
    "superglue": Family(refusal=_KEYPOINTS),
    "lightglue": Family(refusal=_KEYPOINTS),
    "efficientloftr": Family(refusal=_KEYPOINTS),
    "perceiver": Family(refusal="takes arrays of any kind, and has no vector of an image. Choose an image encoder"),
    "mllama": Family(refusal=_TILES),
    "mllama_vision_model": Family(refusal=_TILES),
}
"""By ``model_type`` in the configuration of the model or of its vision part."""

_GENERAL = Family()
_FRAMES = ("num_frames", "tubelet_size", "frames_per_clip")


def of(config: Any) -> Family:
    """Return the family of a configuration: the empty one, for which the general rule does, of most.

    >>> from types import SimpleNamespace
    >>> of(SimpleNamespace(model_type="vit")) == Family()
    True
    """
    found = FAMILIES.get(getattr(config, "model_type", None) or "", _GENERAL)
    parts = (config, getattr(config, "vision_config", None))
    if found is _GENERAL and any(getattr(part, field, None) for part in parts for field in _FRAMES):
        return Family(refusal=_VIDEO)
    return found
