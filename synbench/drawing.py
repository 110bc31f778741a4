"""Drawing the images of a mixture, in blocks, on the device that embeds them.

A block has its own seed, made from (seed, split, scale, block number), so it is the same whoever draws it, in any
order, in batches of any size. Pixels are equal bit for bit on one device type; a CPU and a GPU draw different numbers.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from .design import Design, design
from .mixture import PIXEL_CENTRE, MixtureSpec
from .seeding import PIXELS, POPULATION, place, sequence

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
        _fill(block, spec, place(split, scale), int(number))
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
                _fill(images[at - first : at - first + take], spec, place(split, scale), number)
            else:
                if held != number:
                    _fill(block, spec, place(split, scale), number)
                    held = number
                images[at - first : at - first + take] = block[offset : offset + take]
            at += take
        images += means[classes[first:last]]
        yield images.view(-1, *spec.image_shape), labels[first:last]


def population_batches(
    spec: MixtureSpec, start: int, stop: int, batch_size: int, device: Any = "cpu"
) -> "Iterator[tuple[Float32[torch.Tensor, 'n channels height width'], Float64[torch.Tensor, ' n'], Design]]":
    """Yield the images start … stop−1 of the population protocol, with their coordinates and their design.

    A coordinate is μ̂ᵀη, where the image's own noise lies along the class-mean direction: N(0, 1), known exactly.
    The same images whatever the batch size. At most one batch and one block are held.
    """
    noise = _PopulationNoise(spec, device)
    for first in range(start, stop, batch_size):
        yield noise.shifted(design(spec, first, min(first + batch_size, stop)))


def draw_population(
    spec: MixtureSpec, rows: Design, device: Any = "cpu"
) -> "tuple[Float32[torch.Tensor, 'n channels height width'], Float64[torch.Tensor, ' n']]":
    """Return the images of any rows of a design, in that order, and their coordinates."""
    images, coordinates, _ = _PopulationNoise(spec, device).shifted(rows)
    return images, coordinates


class _PopulationNoise:
    """The noise of the population protocol; remembers the last block, which the next batch begins with."""

    def __init__(self, spec: MixtureSpec, device: Any) -> None:
        import torch

        self.spec, self.held = spec, -1
        self.block = torch.empty(spec.block, spec.dimension, device=device)
        # Float64 where there is one: a coordinate is a sum over all pixels.
        wide = torch.float32 if self.block.device.type == "mps" else torch.float64
        self.direction = torch.tensor(spec.mean_direction(), device=device, dtype=wide)
        self.along = torch.empty(spec.block, device=device, dtype=wide)

    def shifted(self, rows: Design) -> "tuple[torch.Tensor, torch.Tensor, Design]":
        """Return x = 0.5 + (2y − 1)·s·μ̂ + η for each row, and μ̂ᵀη."""
        import torch

        spec, device = self.spec, self.block.device
        images = torch.empty(len(rows), spec.dimension, device=device)
        coordinates = torch.empty(len(rows), device=device, dtype=self.along.dtype)
        blocks = rows.draws // spec.block
        for number in np.unique(blocks).tolist():
            if number != self.held:
                _fill(self.block, spec, POPULATION, number)
                self.along, self.held = self.block.to(self.direction.dtype) @ self.direction, number
            at = np.flatnonzero(blocks == number)
            to, source = (torch.as_tensor(i, device=device) for i in (at, rows.draws[at] % spec.block))
            images[to], coordinates[to] = self.block[source], self.along[source]
        shift = torch.as_tensor((2 * rows.labels - 1) * rows.scales, device=device, dtype=torch.float32)
        images += PIXEL_CENTRE
        images += shift[:, None] * self.direction.float()
        return images.view(-1, *spec.image_shape), coordinates, rows


def class_means(spec: MixtureSpec, scale: float, device: Any = "cpu") -> "Float32[torch.Tensor, '2 D']":
    """Return c ∓ s·μ̂ for the classes 0 and 1, made in float64 and rounded once."""
    import torch

    signal = scale * spec.mean_direction()
    means = np.stack([PIXEL_CENTRE - signal, PIXEL_CENTRE + signal])
    return torch.as_tensor(means, dtype=torch.float32, device=device)


def _fill(block: "torch.Tensor", spec: MixtureSpec, where: tuple[int, int], number: int) -> None:
    """Fill a block with its standard normal noise, from its own seed."""
    import torch

    words = sequence(spec.seed, PIXELS, *where, number)
    generator = torch.Generator(device=block.device)
    # 63 bits: torch takes a signed 64-bit seed.
    generator.manual_seed(int(words.generate_state(1, np.uint64)[0]) >> 1)
    block.normal_(generator=generator)
