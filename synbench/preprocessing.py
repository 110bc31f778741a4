"""The input contract of an encoder: the size it takes, and the affine map from pixels to what it expects.

A Gaussian image is drawn at the encoder's own size and gets (x − mean) / std by channel, and nothing
else: no 1/255, no resize, no crop, no clipping. Size, mean and std of a Hub model are found by asking
its own image processor: plain black, red, green and blue pictures go in, and what comes out tells the
map that it really applies, whatever its configuration calls it. Only where that processor cannot be
loaded or takes more than pictures are the fields of its ``preprocessor_config.json`` read.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from .errors import ArgumentError, EncoderError
from .mixture import check_image_shape
from .processor_fields import Scaling, configured_channels, configured_size, read

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class InputContract:
    """What an encoder takes: images of ``shape``, as (x[order] − mean) / std by channel.

    Attributes:
        shape: (channels, height, width).
        mean: one number a channel, in pixel units of [0, 1].
        std: one positive number a channel.
        order: which image channel goes where; (2, 1, 0) for a model that wants BGR.
        source: where this comes from.
    """

    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    order: tuple[int, ...]
    source: str

    def normalize(
        self, images: "Float32[torch.Tensor, 'n channels height width']"
    ) -> "Float32[torch.Tensor, 'n channels height width']":
        """Apply the affine map; the images themselves stay as they are."""
        if self.order != tuple(range(self.shape[0])):
            images = images[:, list(self.order)]
        if not any(self.mean) and all(v == 1 for v in self.std):
            return images
        mean, std = _constants(self.mean, self.std, str(images.device))
        return (images - mean).div_(std)


@lru_cache(maxsize=16)
def _constants(mean: tuple[float, ...], std: tuple[float, ...], device: str) -> "tuple[torch.Tensor, torch.Tensor]":
    # Kept: to bring them anew for every batch, a GPU would have to be waited for.
    import torch

    with torch.inference_mode(False):
        return tuple(torch.tensor(v, device=device).view(-1, 1, 1) for v in (mean, std))  # type: ignore[return-value]


def from_arguments(image_size: Any, image_mean: Any, image_std: Any) -> InputContract:
    """Make the contract of a module or a callable; without mean and std, images go in as they are drawn.

    Raises:
        ArgumentError: the size is missing, or mean or std does not fit the channels.

    >>> from_arguments(32, None, None).shape
    (3, 32, 32)
    """
    if image_size is None:
        raise ArgumentError(
            "image_size is needed for a module or a callable, which cannot tell it: pass a size such as 224, "
            "(height, width) or (channels, height, width)."
        )
    shape = check_image_shape(image_size)
    mean = _per_channel("image_mean", 0.0 if image_mean is None else image_mean, shape[0])
    std = _per_channel("image_std", 1.0 if image_std is None else image_std, shape[0])
    return InputContract(shape, mean, std, tuple(range(shape[0])), "arguments")


def from_processor(
    name: str,
    processor: Any,
    config: Any,
    image_size: Any,
    image_mean: Any,
    image_std: Any,
    *,
    fields: Callable[[], dict[str, Any] | None] = lambda: None,
    tower: Any = None,
) -> InputContract:
    """Ask an image processor for its contract; arguments that are not ``None`` take precedence.

    Args:
        name: the model, for messages.
        processor: a ``transformers`` image processor, or ``None`` if the model has none that can be loaded.
        config: the model's configuration, asked for the size where the processor fixes none.
        image_size: as ``from_arguments``.
        image_mean: as ``from_arguments``.
        image_std: as ``from_arguments``.
        fields: reads ``preprocessor_config.json``, for a processor that cannot be loaded or asked.
        tower: the configuration of the vision part, which goes before that of the whole model.

    Raises:
        EncoderError: what the processor does is not a map by channel, or size, mean or std stay unknown, or the
            model takes images of other than one or three channels.
    """
    given = (image_size, image_mean, image_std)
    if all(v is not None for v in given):
        return from_arguments(*given)
    channels = configured_channels(tower, config)
    if image_size is None and channels not in (1, 3):
        raise EncoderError(
            f"{name!r} takes {channels} channels, such as an image with a mask or a depth beside it; expected 1 or 3. "
            f"Choose an image encoder, or pass image_size=({channels}, height, width), image_mean= and image_std=."
        )
    scaling = _scaling(name, processor, config, fields)
    size = scaling.size
    if size is not None and scaling.longest is not None:
        # The file leaves a range of sizes: within it, that of the configuration is the one it was trained at.
        own = configured_size(tower, config)
        shortest = min(size) if min(size) < scaling.longest else 1
        if own is not None and shortest <= min(own) and max(own) <= scaling.longest:
            size = own
    if size is None and image_size is None:
        size = configured_size(tower, config)
        if size is None:
            raise EncoderError(
                f"neither the image processor nor the configuration of {name!r} fixes an input size. "
                f"Pass image_size=, such as 224."
            )
    shape = check_image_shape(image_size if image_size is not None else (channels, *(size or ())))
    contract = from_arguments(
        shape,
        image_mean if image_mean is not None else scaling.mean[: shape[0]],
        image_std if image_std is not None else scaling.std[: shape[0]],
    )
    source = scaling.source if given == (None, None, None) else f"{scaling.source} and arguments"
    order = tuple(i for i in scaling.order if i < shape[0]) or (0,)
    return InputContract(contract.shape, contract.mean, contract.std, order, source)


def at_configured_size(contract: InputContract, tower: Any, config: Any) -> InputContract | None:
    """Return a contract at the size of the configuration, for a model that takes no other; ``None`` if it is that."""
    size = configured_size(tower, config)
    if size is None or size == contract.shape[1:]:
        return None
    return replace(contract, shape=(contract.shape[0], *size), source=f"{contract.source}, size of config.json")


def _scaling(name: str, processor: Any, config: Any, fields: Callable[[], dict[str, Any] | None]) -> Scaling:
    """Return what a processor does: asked, or read from its fields where it cannot be loaded or does not answer."""
    refusal = EncoderError(
        f"{name!r} has no image processor that could be loaded, so its input size, mean and std are unknown. "
        f"Pass image_size=, image_mean= and image_std=, or add a preprocessor_config.json."
    )
    if processor is not None:
        try:
            return _probe(name, processor)
        except _NoAnswerError as error:
            refusal = error
    written = fields() or getattr(config, "pretrained_cfg", None)
    scaling = None if written is None else read(written)
    if scaling is None:
        raise refusal
    return scaling


class _NoAnswerError(EncoderError):
    """A processor that does not take plain pictures, or does not make images of them."""


def _probe(name: str, processor: Any) -> Scaling:
    """Return the size the processor makes (None if it follows its input), and its map by channel."""
    from PIL import Image

    colours = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    outputs = []
    for side in (96, 160):
        try:
            plain = [Image.new("RGB", (side, side), colour) for colour in colours]
            outputs.append(np.stack([np.asarray(p, dtype=np.float64) for p in processor(images=plain)["pixel_values"]]))
        except Exception as error:
            raise _NoAnswerError(
                f"the image processor of {name!r} does not take plain pictures ({type(error).__name__}: {error}). "
                f"Pass image_size=, image_mean= and image_std=."
            ) from error
    first, second = outputs
    if first.ndim != 4 or first.shape[1] != 3:
        raise _NoAnswerError(
            f"the image processor of {name!r} makes {first.shape}, expected (n, 3, height, width). "
            f"Pass image_size=, image_mean= and image_std=."
        )
    height, width = first.shape[2:]
    centre = first[:, :, height // 2, width // 2]
    matrix, offset = (centre[1:] - centre[0]).T, centre[0]
    order = tuple(int(i) for i in np.abs(matrix).argmax(axis=1))
    gain = matrix[np.arange(3), list(order)]
    by_channel = np.zeros((3, 3))
    by_channel[np.arange(3), list(order)] = gain
    if (
        sorted(order) != [0, 1, 2]
        or (gain <= 0).any()
        or not np.allclose(by_channel, matrix, atol=1e-4 * np.abs(gain).max())
    ):
        raise EncoderError(
            f"the image processor of {name!r} mixes or inverts channels, expected a scaling by channel. "
            f"Pass image_size=, image_mean= and image_std=."
        )
    size = (height, width) if second.shape == first.shape else None
    return Scaling.of(size, -offset / gain, 1.0 / gain, order, "image processor")


def _per_channel(name: str, value: Any, channels: int) -> tuple[float, ...]:
    try:
        numbers = np.broadcast_to(np.asarray(value, dtype=np.float64), (channels,))
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"{name} must be a number, or {channels} numbers (one a channel), got {value!r}."
        ) from error
    if not np.isfinite(numbers).all() or (name == "image_std" and (numbers <= 0).any()):
        raise ArgumentError(f"{name} must be finite{', and positive' * (name == 'image_std')}, got {value!r}.")
    return tuple(numbers.tolist())
