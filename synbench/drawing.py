"""Drawing the images of a mixture, in blocks, on the device that embeds them.

A block has its own seed, made from (seed, split, scale, block number), so it is the same whoever draws it, in any
order, in batches of any size. Pixels are equal bit for bit on one device type; a CPU and a GPU draw different numbers.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from . import texture
from .design import Design
from .mixture import PIXEL_CENTRE, MixtureSpec
from .seeding import PIXELS, POPULATION, place, sequence
from .settings import TEXTURE

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


def draw_population(
    spec: MixtureSpec, rows: Design, device: Any = "cpu"
) -> "tuple[Float32[torch.Tensor, 'n channels height width'], Float64[torch.Tensor, ' n']]":
    """Return the images of any rows of a design, in that order, and their coordinates.

    A coordinate is μ̂ᵀη, where the image's own noise lies along the class-mean direction: N(0, 1), known exactly.
    """
    return Renderer(spec, device).population(rows)


class Renderer:
    """Draws the images of a mixture, range after range, on one device.

    The same images whatever the ranges. One block is held, which the next range may begin with, so that images asked
    for in order are drawn once.

    >>> from synbench.mixture import MixtureSpec
    >>> renderer = Renderer(MixtureSpec(8), "cpu")
    >>> images, labels = renderer.split("train", 1.0, 10, 14)
    >>> tuple(images.shape), len(labels)
    ((4, 3, 8, 8), 4)
    """

    def __init__(self, spec: MixtureSpec, device: Any) -> None:
        import torch

        self.spec, self._held = spec, (-1, -1, -1)
        self._block = torch.empty(spec.block, spec.dimension, device=device)
        # Float64 where there is one: a coordinate is a sum over all pixels.
        wide = torch.float32 if self._block.device.type == "mps" else torch.float64
        self._textured = spec.direction == TEXTURE
        if not self._textured:
            self._direction = torch.tensor(spec.mean_direction(), device=device, dtype=wide)
        self._along = torch.empty(spec.block, device=device, dtype=wide)
        self._means: tuple[float, torch.Tensor] | None = None

    def split(
        self, split: str, scale: float, start: int, stop: int
    ) -> "tuple[Float32[torch.Tensor, 'n channels height width'], Int64[np.ndarray, ' n']]":
        """Return the images start … stop−1 of a split at a scale, and their labels: the same images as ``draw``."""
        import torch

        spec, device, where = self.spec, self._block.device, place(split, scale)
        labels = spec.labels(split, scale, stop)[start:]
        images = torch.empty(stop - start, spec.dimension, device=device)
        at = start
        while at < stop:
            number, offset = divmod(at, spec.block)
            take = min(spec.block - offset, stop - at)
            rows = images[at - start : at - start + take]
            if take == spec.block:
                _fill(rows, spec, where, number)
            else:
                if self._hold(where, number):
                    _fill(self._block, spec, where, number)
                rows[:] = self._block[offset : offset + take]
            at += take
        if self._means is None or self._means[0] != scale:
            self._means = scale, class_means(spec, scale, device)
        images += self._means[1][_moved(labels, device)]
        return images.view(-1, *spec.image_shape), labels

    def population(
        self, rows: Design
    ) -> "tuple[Float32[torch.Tensor, 'n channels height width'], Float64[torch.Tensor, ' n']]":
        """Return x = 0.5 + (2y − 1)·s·μ̂ + η for each row of a design, and the coordinates μ̂ᵀη.

        Of a mixture of textures: x = 0.5 + A·G(±s)·η, and the coordinates q(η).
        """
        import torch

        spec, device = self.spec, self._block.device
        images = torch.empty(len(rows), spec.dimension, device=device)
        coordinates = torch.empty(len(rows), device=device, dtype=self._along.dtype)
        blocks = rows.draws // spec.block
        for number in np.unique(blocks).tolist():
            if self._hold(POPULATION, number):
                _fill(self._block, spec, POPULATION, number)
                self._along = self._coordinates()
            at = np.flatnonzero(blocks == number)
            if spec.block == 1:
                for row in at.tolist():
                    images[row], coordinates[row] = self._block[0], self._along[0]
                continue
            to, source = (_moved(i, device) for i in (at, rows.draws[at] % spec.block))
            images[to], coordinates[to] = self._block[source], self._along[source]
        shift = _moved(((2 * rows.labels - 1) * rows.scales).astype(np.float32), device)
        if self._textured:
            return _textured(images.view(-1, *spec.image_shape), shift) + PIXEL_CENTRE, coordinates
        images += PIXEL_CENTRE
        images += shift[:, None] * self._direction.float()
        return images.view(-1, *spec.image_shape), coordinates

    def _coordinates(self) -> "torch.Tensor":
        """Return where the noise of the held block lies along what the classes differ in: μ̂ᵀη or q(η)."""
        import torch

        if not self._textured:
            return self._block.to(self._direction.dtype) @ self._direction
        noise = self._block.to(self._along.dtype).view(-1, *self.spec.image_shape)
        power = torch.fft.fft2(noise).abs() ** 2 / noise[0, 0].numel() - 1
        found: torch.Tensor = (power * _as(texture.contrast(*self.spec.image_shape), power)).sum(dim=(1, 2, 3))
        return found

    def _hold(self, where: tuple[int, int], number: int) -> bool:
        """Note which block is held from now on, and tell whether it has to be drawn."""
        held, self._held = self._held, (*where, number)
        return held != self._held


def _textured(
    noise: "Float32[torch.Tensor, 'n channels height width']", shift: "Float32[torch.Tensor, ' n']"
) -> "Float32[torch.Tensor, 'n channels height width']":
    """Return A·G(t)·η for white noise η and t of each image."""
    import torch

    channels, height, width = noise.shape[1:]
    gain = 1 + shift.view(-1, 1, 1, 1) * _as(texture.contrast(channels, height, width), noise)
    waves = torch.fft.fft2(noise) * gain * _as(texture.amplitudes(height, width), noise)
    return torch.einsum("cd,ndhw->nchw", _as(texture.colours(channels), noise), torch.fft.ifft2(waves).real)


def _as(array: np.ndarray, like: "torch.Tensor") -> "torch.Tensor":
    import torch

    return torch.tensor(array, dtype=like.dtype, device=like.device)


def _moved(array: np.ndarray, device: Any) -> "torch.Tensor":
    """Bring an array to a device without waiting for what the device has still to do."""
    import torch

    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


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
