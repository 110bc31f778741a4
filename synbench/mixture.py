"""The class-conditional Gaussian mixture in image space, and how its images are drawn.

Class y ∈ {0, 1} has prior ½ and x | y ~ N(c ± s·μ̂, I): the pixel centre is c = 0.5, μ̂ is a unit
vector, s the scale. Pixels are not clipped. In image space κ = s exactly, for every ε, so the best
trade-off between accuracy and robustness is known (``curve.reference``).

Images are drawn in blocks. A block has its own seed, made from (seed, split, scale, block number),
so it is the same whoever draws it, in any order, in batches of any size. Pixels are equal bit for
bit on one device type; a CPU and a GPU draw different numbers.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Float32, Int64

from .errors import ArgumentError
from .settings import SAMPLES, SCALES, SPLITS, check_integer, check_scales, scale_key

if TYPE_CHECKING:
    import datasets
    import torch

    from .recipes import Recipes

PIXEL_CENTRE = 0.5
RENDERER_VERSION = 1
"""Counts the changes that alter a pixel or a label; part of every seed."""

_BLOCK_VALUES = 2**17
_LARGEST_BLOCK = 256
_LABELS, _PIXELS, _DIRECTION = 0, 1, 2


@dataclass(frozen=True)
class MixtureSpec:
    """What to draw: two Gaussian classes in image space, at one or more scales.

    Args:
        image_shape: (channels, height, width); D is their product.
        scales: s > 0; the class means sit at 0.5 ± s·μ̂.
        direction: μ̂: ``"uniform"`` (1/√D in every pixel, the paper's), ``"random"`` (a unit
            vector drawn from ``seed``), or D numbers in the shape of the image, scaled to norm 1.
        seed: a non-negative integer.

    Raises:
        ArgumentError: a value is out of range, or the direction does not fit the image.

    Source: Ko et al., arXiv 2210.02989, section 3.

    >>> spec = MixtureSpec((3, 8, 8), scales=[1.0, 2.0])
    >>> spec.dimension
    192
    >>> images = draw(spec, "train", 2.0, [0, 5], labels=[0, 1])
    >>> tuple(images.shape)
    (2, 3, 8, 8)
    """

    image_shape: tuple[int, int, int]
    scales: Sequence[float] = SCALES
    direction: str | Sequence[Any] | np.ndarray = "uniform"
    seed: int = 0
    _given: np.ndarray | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_shape", check_image_shape(self.image_shape))
        object.__setattr__(self, "scales", check_scales(self.scales))
        check_integer("seed", self.seed, least=0, remedy="every seed gives its own draws, 0 included")
        if isinstance(self.direction, str):
            if self.direction not in ("uniform", "random"):
                raise ArgumentError(
                    f"direction must be 'uniform', 'random' or an array of {self.dimension} numbers, "
                    f"got {self.direction!r}."
                )
            return
        given = np.array(self.direction, dtype=np.float64).reshape(-1)
        norm = float(np.linalg.norm(given))
        if given.size != self.dimension or not np.isfinite(norm) or norm == 0:
            raise ArgumentError(
                f"direction must hold {self.dimension} finite numbers, not all zero (one per pixel of "
                f"{self.image_shape}), got {given.size} with norm {norm:g}."
            )
        given = given / norm
        given.setflags(write=False)
        object.__setattr__(self, "_given", given)
        object.__setattr__(self, "direction", f"given:{hashlib.sha256(given.tobytes()).hexdigest()}")

    @property
    def dimension(self) -> int:
        """D, the number of pixel values of an image."""
        return int(np.prod(self.image_shape))

    @property
    def block(self) -> int:
        """Images a block: a power of two, so that a block holds at most 2^17 values (or one image)."""
        fitting = max(1, _BLOCK_VALUES // self.dimension)
        return int(min(_LARGEST_BLOCK, 1 << (fitting.bit_length() - 1)))

    def mean_direction(self) -> Float[np.ndarray, " D"]:
        """Return μ̂, float64, of norm 1."""
        if self._given is not None:
            return self._given
        if self.direction == "uniform":
            return np.full(self.dimension, self.dimension**-0.5)
        normal = np.random.default_rng(_sequence(self.seed, _DIRECTION)).standard_normal(self.dimension)
        unit: np.ndarray = normal / np.linalg.norm(normal)
        return unit

    def labels(self, split: str, scale: float, samples: int) -> Int64[np.ndarray, " samples"]:
        """Return the classes of the first ``samples`` images of a split at a scale.

        Images 2k and 2k+1 are of different classes, in random order: each has prior ½, and no
        class is missing from two images or more.
        """
        rng = np.random.default_rng(_sequence(self.seed, _LABELS, *_place(split, scale)))
        first = rng.integers(0, 2, size=(samples + 1) // 2)
        return np.stack([first, 1 - first], axis=1).reshape(-1)[:samples]

    def to_dataset(self, samples: int = SAMPLES, split: str | None = None) -> "Recipes":
        """Return the table of recipes, with pixels drawn on reading; see ``recipes.to_dataset``."""
        from . import recipes

        return recipes.to_dataset(self, samples, split)

    def to_iterable_dataset(
        self, samples: int = SAMPLES, split: str | None = None, num_shards: int = 1
    ) -> "datasets.IterableDataset":
        """Return the same rows as an iterable dataset in shards; see ``recipes.to_iterable_dataset``."""
        from . import recipes

        return recipes.to_iterable_dataset(self, samples, split, num_shards)

    def to_json(self) -> str:
        """Return the spec as one canonical line of JSON (a given direction by its hash only)."""
        return json.dumps(
            {
                "renderer": RENDERER_VERSION,
                "image_shape": list(self.image_shape),
                "scales": list(self.scales),
                "direction": self.direction,
                "seed": self.seed,
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str, direction: Sequence[Any] | np.ndarray | None = None) -> "MixtureSpec":
        """Make the spec that ``to_json`` wrote; a given direction has to be given again.

        Raises:
            ArgumentError: not such a line, another renderer's, or the direction is missing or another.
        """
        try:
            read = json.loads(text)
            renderer, named = read.pop("renderer"), read.pop("direction")
            plain = cls(**read)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ArgumentError(f"expected a mixture as MixtureSpec.to_json() writes it, got {text!r}.") from error
        if renderer != RENDERER_VERSION:
            raise ArgumentError(
                f"this mixture was written for renderer {renderer}, but this SynBench draws with renderer "
                f"{RENDERER_VERSION}: the pixels would differ. Install the SynBench that wrote it."
            )
        if named.startswith("given:") and direction is None:
            raise ArgumentError(
                "this mixture was made with a class-mean direction of its own, which is kept by its hash "
                "only. Pass the same array as direction=."
            )
        spec = cls(plain.image_shape, plain.scales, named if direction is None else direction, plain.seed)
        if spec.direction != named:
            raise ArgumentError(f"the mixture was made with direction {named}, but {spec.direction} was passed.")
        return spec


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


def check_image_shape(shape: Any) -> tuple[int, int, int]:
    """Return (channels, height, width) from a size, (height, width) or all three; 3 channels by default.

    Raises:
        ArgumentError: it is none of these.

    >>> check_image_shape(224)
    (3, 224, 224)
    """
    remedy = "give a size such as 224, (height, width), or (channels, height, width)"
    sizes = (shape,) if hasattr(shape, "__index__") else shape
    if isinstance(sizes, str) or not hasattr(sizes, "__len__") or len(sizes) not in (1, 2, 3):
        raise ArgumentError(f"image_size must be one to three integers, got {shape!r}; {remedy}.")
    sizes = [check_integer("image_size", size, least=1, remedy=remedy) for size in sizes]
    if len(sizes) == 3:
        return (sizes[0], sizes[1], sizes[2])
    return (3, sizes[0], sizes[-1])


def _fill(block: "torch.Tensor", spec: MixtureSpec, split: str, scale: float, number: int) -> None:
    """Fill a block with its standard normal noise, from its own seed."""
    import torch

    sequence = _sequence(spec.seed, _PIXELS, *_place(split, scale), number)
    generator = torch.Generator(device=block.device)
    # 63 bits: torch takes a signed 64-bit seed.
    generator.manual_seed(int(sequence.generate_state(1, np.uint64)[0]) >> 1)
    block.normal_(generator=generator)


def _place(split: str, scale: float) -> tuple[int, int]:
    """Return the integers that name a split and a scale in a seed."""
    if split not in SPLITS:
        raise ArgumentError(f"split must be 'train' or 'test', got {split!r}.")
    return SPLITS.index(split), scale_key(scale)


def _sequence(seed: int, *key: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(RENDERER_VERSION, *key))
