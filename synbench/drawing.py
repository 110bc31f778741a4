"""Drawing the images of a mixture, in blocks, on the device that embeds them.

A block has its own seed, made from (seed, split, scale, block number), so it is the same whoever draws it, in any
order, in batches of any size. Pixels are equal bit for bit on one device type; a CPU and a GPU draw different numbers.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, Int64

from .mixture import PIXEL_CENTRE, MixtureSpec
from .seeding import PIXELS, place, sequence

if TYPE_CHECKING:
    import torch


def draw(
    spec: MixtureSpec, split: str, scale: float, index: Sequence[int], labels: Sequence[int], device: Any = "cpu"
) -> "Float32[torch.Tensor, 'n channels height width']":
    """Return the images of one split and scale with the given indices and labels, in that order.

    x = 0.5 + (2y − 1)·s·μ̂ + η with η ~ N(0, I), not clipped; in pixel units of [0, 1].
    """
    import torch

    positions = np.asarray(index, dtype=np.int64)
    images = torch.empty(len(positions), spec.dimension, device=device)
    block = torch.empty(spec.block, spec.dimension, device=device)
    for number in np.unique(positions // spec.block):
        _fill(block, spec, split, scale, int(number))
        rows = np.flatnonzero(positions // spec.block == number)
        images[torch.as_tensor(rows, device=device)] = block[
            torch.as_tensor(positions[rows] % spec.block, device=device)
        ]
    classes = torch.as_tensor(np.asarray(labels, dtype=np.int64), device=device)
    images += class_means(spec, scale, device)[classes]
    return images.view(-1, *spec.image_shape)


def batches(
    spec: MixtureSpec, split: str, scale: float, start: int, stop: int, batch_size: int, device: Any = "cpu"
) -> "Iterator[tuple[Float32[torch.Tensor, 'n channels height width'], Int64[np.ndarray, ' n']]]":
    """Yield the images start … stop−1 of a split at a scale with their labels, each block drawn once.

    The same images as ``draw``, whatever the batch size. At most one batch and one block are held.
    """
    import torch

    labels = spec.labels(split, scale, stop)
    classes, means = torch.as_tensor(labels, device=device), class_means(spec, scale, device)
    block, held = torch.empty(spec.block, spec.dimension, device=device), -1
    for first in range(start, stop, batch_size):
        last = min(first + batch_size, stop)
        images = torch.empty(last - first, spec.dimension, device=device)
        at = first
        while at < last:
            number, offset = divmod(at, spec.block)
            take = min(spec.block - offset, last - at)
            if take == spec.block:
                _fill(images[at - first : at - first + take], spec, split, scale, number)
            else:
                if held != number:
                    _fill(block, spec, split, scale, number)
                    held = number
                images[at - first : at - first + take] = block[offset : offset + take]
            at += take
        images += means[classes[first:last]]
        yield images.view(-1, *spec.image_shape), labels[first:last]


def class_means(spec: MixtureSpec, scale: float, device: Any = "cpu") -> "Float32[torch.Tensor, '2 D']":
    """Return c ∓ s·μ̂ for the classes 0 and 1, made in float64 and rounded once."""
    import torch

    signal = scale * spec.mean_direction()
    means = np.stack([PIXEL_CENTRE - signal, PIXEL_CENTRE + signal])
    return torch.as_tensor(means, dtype=torch.float32, device=device)


def _fill(block: "torch.Tensor", spec: MixtureSpec, split: str, scale: float, number: int) -> None:
    """Fill a block with its standard normal noise, from its own seed."""
    import torch

    words = sequence(spec.seed, PIXELS, *place(split, scale), number)
    generator = torch.Generator(device=block.device)
    # 63 bits: torch takes a signed 64-bit seed.
    generator.manual_seed(int(words.generate_state(1, np.uint64)[0]) >> 1)
    block.normal_(generator=generator)
