"""The input contract of an encoder: the size it takes, and the affine map from pixels to what it expects.

A Gaussian image is drawn at the encoder's own size and gets (x − mean) / std by channel, and nothing
else: no 1/255, no resize, no crop, no clipping. Size, mean and std of a Hub model are found by asking
its own image processor: plain black, red, green and blue pictures go in, and what comes out tells the
map that it really applies, whatever its configuration calls it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Float32

from .errors import ArgumentError, EncoderError
from .mixture import check_image_shape

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
        """Apply the affine map."""
        import torch

        if self.order != tuple(range(self.shape[0])):
            images = images[:, list(self.order)]
        mean, std = (torch.tensor(v, device=images.device).view(-1, 1, 1) for v in (self.mean, self.std))
        if not mean.any() and (std == 1).all():
            return images
        return (images - mean) / std


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
    name: str, processor: Any, config: Any, image_size: Any, image_mean: Any, image_std: Any
) -> InputContract:
    """Ask an image processor for its contract; arguments that are not ``None`` take precedence.

    Args:
        name: the model, for messages.
        processor: a ``transformers`` image processor, or ``None`` if the model has none.
        config: the model's configuration, asked for the size where the processor fixes none.
        image_size: as ``from_arguments``.
        image_mean: as ``from_arguments``.
        image_std: as ``from_arguments``.

    Raises:
        EncoderError: what the processor does is not a map by channel, or size, mean or std stay unknown.
    """
    given = (image_size, image_mean, image_std)
    if all(v is not None for v in given):
        return from_arguments(*given)
    if processor is None:
        raise EncoderError(
            f"{name!r} has no image processor that could be loaded, so its input size, mean and std are unknown. "
            f"Pass image_size=, image_mean= and image_std=, or add a preprocessor_config.json."
        )
    size, matrix, offset = _probe(name, processor)
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
    if size is None and image_size is None:
        size = _configured_size(config)
        if size is None:
            raise EncoderError(
                f"neither the image processor nor the configuration of {name!r} fixes an input size. "
                f"Pass image_size=, such as 224."
            )
    # The processor works in float32: six digits are what its answer is good for.
    mean = [float(f"{v:.6g}") for v in -offset / gain]
    std = [float(f"{v:.6g}") for v in 1.0 / gain]
    channels = int(getattr(config, "num_channels", None) or 3)
    shape = check_image_shape(image_size if image_size is not None else (channels, *(size or ())))
    contract = from_arguments(
        shape,
        image_mean if image_mean is not None else mean[: shape[0]],
        image_std if image_std is not None else std[: shape[0]],
    )
    source = "image processor" if given == (None, None, None) else "image processor and arguments"
    return InputContract(contract.shape, contract.mean, contract.std, order[: shape[0]], source)


def _probe(
    name: str, processor: Any
) -> tuple[tuple[int, int] | None, Float[np.ndarray, "3 3"], Float[np.ndarray, " 3"]]:
    """Return the size the processor makes (None if it follows its input), and A, b of its map A·x + b."""
    from PIL import Image

    colours = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    outputs = []
    for side in (96, 160):
        try:
            plain = [Image.new("RGB", (side, side), colour) for colour in colours]
            outputs.append(np.stack([np.asarray(p, dtype=np.float64) for p in processor(images=plain)["pixel_values"]]))
        except Exception as error:
            raise EncoderError(
                f"the image processor of {name!r} does not take plain pictures ({type(error).__name__}: {error}). "
                f"Pass image_size=, image_mean= and image_std=."
            ) from error
    first, second = outputs
    if first.ndim != 4 or first.shape[1] != 3:
        raise EncoderError(
            f"the image processor of {name!r} makes {first.shape}, expected (n, 3, height, width). "
            f"Pass image_size=, image_mean= and image_std=."
        )
    height, width = first.shape[2:]
    centre = first[:, :, height // 2, width // 2]
    size = (height, width) if second.shape == first.shape else None
    return size, (centre[1:] - centre[0]).T, centre[0]


def _configured_size(config: Any) -> tuple[int, int] | None:
    for part in (config, getattr(config, "vision_config", None)):
        size = getattr(part, "image_size", None)
        if isinstance(size, int):
            return (size, size)
        if isinstance(size, (list, tuple)) and len(size) == 2:
            return (int(size[0]), int(size[1]))
    return None


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
