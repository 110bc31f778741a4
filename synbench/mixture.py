"""The class-conditional Gaussian mixture in image space, and how its images are drawn.

Class y ∈ {0, 1} has prior ½ and x | y ~ N(c ± s·μ̂, I): the pixel centre is c = 0.5, μ̂ is a unit
vector, s the scale. Pixels are not clipped. In image space κ = s exactly, for every ε, so the best
trade-off between accuracy and robustness is known (``curve.reference``).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int64

from .errors import ArgumentError
from .seeding import DIRECTION, LABELS, RENDERER_VERSION, place, sequence
from .settings import DIRECTIONS, IMAGES, SAMPLES, SCALES, TEXTURE, check_integer, check_scales
from .texture import LEAST_SIDE, MOST_CHANGE, steepest

if TYPE_CHECKING:
    import datasets

    from .recipes import Recipes

PIXEL_CENTRE = 0.5
_BLOCK_VALUES = 2**17
_LARGEST_BLOCK = 256


@dataclass(frozen=True)
class MixtureSpec:
    """What to draw: two Gaussian classes in image space, at one or more scales.

    Args:
        image_shape: (channels, height, width); D is their product.
        scales: s > 0; the class means sit at 0.5 ± s·μ̂.
        direction: μ̂: ``"uniform"`` (1/√D in every pixel, the paper's), ``"random"`` (a unit
            vector drawn from ``seed``), or D numbers in the shape of the image, scaled to norm 1; or ``"texture"``:
            the means are equal, and spectra differ (see ``synbench.texture``), for the population protocol.
        seed: a non-negative integer.

    Raises:
        ArgumentError: a value is out of range, or the direction does not fit the image.

    Source: Ko et al., arXiv 2210.02989, section 3.

    >>> spec = MixtureSpec((3, 8, 8), scales=[1.0, 2.0])
    >>> spec.dimension
    192
    >>> spec.labels("train", 2.0, samples=4).sum()
    np.int64(2)
    """

    image_shape: tuple[int, int, int]
    scales: Sequence[float] = SCALES
    direction: str | Sequence[Any] | np.ndarray = "uniform"
    seed: int = 0
    _given: np.ndarray | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_shape", check_image_shape(self.image_shape))
        object.__setattr__(self, "scales", check_scales(self.scales))
        seed = check_integer("seed", self.seed, least=0, remedy="every seed gives its own draws, 0 included")
        object.__setattr__(self, "seed", seed)
        if isinstance(self.direction, str):
            if self.direction not in DIRECTIONS:
                raise ArgumentError(
                    f"direction must be {', '.join(map(repr, DIRECTIONS))} or an array of {self.dimension} numbers, "
                    f"got {self.direction!r}."
                )
            if self.direction == TEXTURE and min(self.image_shape[1:]) < LEAST_SIDE:
                raise ArgumentError(
                    f"direction 'texture' needs images of {LEAST_SIDE} by {LEAST_SIDE} or more, which have waves of "
                    f"two orientations, got {self.image_shape}. Choose 'uniform'."
                )
            if self.direction == TEXTURE and (most := max(self.scales) * steepest(*self.image_shape)) > MOST_CHANGE:
                raise ArgumentError(
                    f"direction 'texture' needs scales that change no wave's amplitude by more than {MOST_CHANGE:.0%}, "
                    f"since its optimum is known for small changes, got {most:.0%} at scale {max(self.scales):g} and "
                    f"size {self.image_shape}. Lower scales=, or draw larger images."
                )
            return
        try:
            given = np.array(self.direction, dtype=np.float64).reshape(-1)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ArgumentError(
                f"direction must be {', '.join(map(repr, DIRECTIONS))} or an array of {self.dimension} numbers, got "
                f"{type(self.direction).__name__} ({error})."
            ) from error
        # By the largest first: no square overflows or vanishes.
        largest = np.abs(given).max(initial=0.0)
        given = given / largest if 0 < largest < np.inf else given
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
        """Return μ̂, float64, of norm 1.

        Raises:
            ArgumentError: the classes differ in texture: their means are equal.
        """
        if self.direction == TEXTURE:
            raise ArgumentError(
                "a mixture of textures has no class-mean direction: its classes differ in their spectra, and only the "
                "population protocol can draw it. Choose protocol='population', or direction='uniform'."
            )
        if self._given is not None:
            return self._given
        if self.direction == "uniform":
            return np.full(self.dimension, self.dimension**-0.5)
        normal = np.random.default_rng(sequence(self.seed, DIRECTION)).standard_normal(self.dimension)
        unit: np.ndarray = normal / np.linalg.norm(normal)
        return unit

    def labels(self, split: str, scale: float, samples: int) -> Int64[np.ndarray, " samples"]:
        """Return the classes of the first ``samples`` images of a split at a scale.

        Images 2k and 2k+1 are of different classes, in random order: each has prior ½, and no
        class is missing from two images or more.
        """
        rng = np.random.default_rng(sequence(self.seed, LABELS, *place(split, scale)))
        first = rng.integers(0, 2, size=(samples + 1) // 2)
        return np.stack([first, 1 - first], axis=1).reshape(-1)[:samples]

    def to_dataset(self, samples: int = SAMPLES, split: str | None = None) -> "Recipes":
        """Return the table of recipes, with pixels drawn on reading; see ``recipes.to_dataset``."""
        from . import recipes

        return recipes.to_dataset(self, samples, split)

    def to_population_dataset(self, images: int = IMAGES) -> "Recipes":
        """Return the recipes of the population protocol; see ``recipes.to_population_dataset``."""
        from . import recipes

        return recipes.to_population_dataset(self, images)

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


def check_image_shape(shape: Any) -> tuple[int, int, int]:
    """Return (channels, height, width) from a size, (height, width) or all three; 3 channels by default.

    Raises:
        ArgumentError: it is none of these.

    >>> check_image_shape(224)
    (3, 224, 224)
    """
    remedy = "give a size such as 224, (height, width), or (channels, height, width)"
    sizes = shape if np.ndim(shape) == 1 else (shape,)
    if isinstance(shape, str) or np.ndim(shape) > 1 or len(sizes) not in (1, 2, 3):
        raise ArgumentError(f"image_size must be one to three integers, got {shape!r}; {remedy}.")
    sizes = [check_integer("image_size", size, least=1, remedy=remedy) for size in sizes]
    if len(sizes) == 3:
        return (sizes[0], sizes[1], sizes[2])
    return (3, sizes[0], sizes[-1])
