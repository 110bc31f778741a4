"""How many images go through the encoder at once: found by halving when memory runs out, and nothing else.

The first try follows from the size of an image. Running out of memory halves it, down to one image, and the images in
hand are tried again; every other error is passed on untouched. A size that did not fit is never tried again: half of
what failed is the margin for what else the device has to hold.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from .errors import EncoderError

_LARGEST = 256
# Buffers of a CPU that stay below 32 MB are used again; larger ones are paged in anew each time.
_VALUES = {"cpu": 2_500_000}
_VALUES_ELSEWHERE = 40_000_000
_PIECE = 64

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")


def default_batch_size(image_shape: tuple[int, int, int], device: str = "cpu") -> int:
    """Return the size to begin with: a power of two, at most 256 images and 2.5 million values (40 on a GPU).

    >>> default_batch_size((3, 224, 224)), default_batch_size((3, 16, 16)), default_batch_size((3, 224, 224), "cuda:0")
    (16, 256, 256)
    """
    fitting = max(1, _VALUES.get(device.partition(":")[0], _VALUES_ELSEWHERE) // int(np.prod(image_shape)))
    return int(min(_LARGEST, 1 << (fitting.bit_length() - 1)))


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, on the host or on a device.

    >>> out_of_memory(MemoryError()), out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    (True, False)
    """
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # The CPU's allocator and the libraries under torch raise a plain RuntimeError.
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OUT_OF_MEMORY)


@dataclass
class BatchSize:
    """The number of images a forward pass, which may shrink while a study runs.

    Attributes:
        size: as it is now.
        fixed: the caller's own choice, which is kept or fails.
        tried: what did not fit, largest first.
        found: told each new size that worked, to remember it.
        first: what a study begins with where nothing is remembered; pieces follow from it. The size by default.

    >>> size = BatchSize(64)
    >>> size.shrink(MemoryError()), size.size
    (True, 32)
    >>> size.shrink(ValueError("another error"))
    False
    """

    size: int
    fixed: bool = False
    tried: list[int] = field(default_factory=list)
    found: Callable[[int], object] | None = None
    first: int = 0

    def __post_init__(self) -> None:
        self.first = self.first or self.size
        self._told = self.size

    @property
    def piece(self) -> int:
        """Images that are embedded and stored together: a multiple of the first size, at least 64.

        It stays when the size shrinks, so that what was stored before still fits, and is the same in all processes,
        whatever each of them remembers.
        """
        return self.first * max(1, -(-_PIECE // self.first))

    def shrink(self, error: BaseException) -> bool:
        """Halve the size if memory ran out and it can be halved; tell whether to try again."""
        if self.fixed or self.size == 1 or not out_of_memory(error):
            return False
        self.tried.append(self.size)
        self.size //= 2
        return True

    def worked(self, images: int) -> None:
        """Note that so many images went through at once: a size that worked is worth remembering."""
        if images == self.size != self._told and self.found is not None:
            self.found(self.size)
            self._told = self.size

    @property
    def note(self) -> str | None:
        """What to tell about it."""
        if not self.tried and self.size < self.first and not self.fixed:
            return (
                f"Batches had {self.size} images, as memory ran out above that before; batch_size= sets another size, "
                f"and fresh= tries anew."
            )
        if not self.tried:
            return None
        return (
            f"The batch size was lowered from {self.tried[0]} to {self.size} images, because memory ran out. It is "
            f"remembered for this model and device; batch_size= sets another."
        )


@contextmanager
def enough_memory() -> Iterator[None]:
    """Turn what the libraries raise when memory runs out into a sentence with a next step.

    Raises:
        EncoderError: memory ran out in the block.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        said = str(error).splitlines()[0] if str(error) else "MemoryError"
        raise EncoderError(
            f"the model and its images do not fit into memory ({said}). Lower batch_size= or image_size=, or use "
            f"a device with more memory."
        ) from error
