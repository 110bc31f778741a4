"""Pictures of a dataset with their classes, and how they become what an encoder takes.

A picture is made RGB (or gray, for an encoder of one channel), resized by bicubic interpolation with antialiasing so
that it just covers the encoder's input size, cut to that size around its centre, and scaled to [0, 1]. Nothing else is
done to it; the encoder's own mean and std come after.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, Int

from synbench.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

RESIZING = 1
"""Counts the changes of the way from a picture to pixels."""

_SIXTEEN_BITS = 65535


@dataclass(frozen=True)
class Pictures:
    """Rows of a split with their classes.

    Attributes:
        dataset: a ``datasets.Dataset``.
        column: of pictures.
        split: its name.
        rows: places in the dataset.
        labels: classes as integers.
    """

    dataset: Any
    column: str
    split: str
    rows: Int[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.rows)

    def pixels(self, places: "Sequence[int]", shape: tuple[int, int, int]) -> Float32[np.ndarray, "n c h w"]:
        """Return the pictures at these places among the rows, at a size, in units of [0, 1].

        Raises:
            ArgumentError: a picture is missing or cannot be read.
        """
        pictures = self.dataset.with_format(None).select_columns([self.column])
        out = np.empty((len(places), *shape), dtype=np.float32)
        for at, place in enumerate(places):
            row = int(self.rows[place])
            try:
                picture = pictures[row][self.column]
                if picture is None:
                    raise ValueError("there is none")  # noqa: TRY301
                out[at] = fitted(picture, shape)
            except (OSError, ValueError, SyntaxError) as error:
                raise ArgumentError(
                    f"cannot read the picture in row {row} of the split {self.split!r} ({type(error).__name__}: "
                    f"{error}). Leave that row out, or repair the dataset."
                ) from error
        return out

    def digest(self) -> str:
        """Return a hash of the pictures as they are stored, in their order; no picture is decoded."""
        from datasets import Image

        stored = self.dataset.with_format(None).select_columns([self.column])
        stored = stored.cast_column(self.column, Image(mode=stored.features[self.column].mode, decode=False))
        digest = hashlib.sha256(str(stored.features[self.column].mode).encode())
        for row in self.rows:
            value = stored[int(row)][self.column] or {}
            content, path = value.get("bytes"), str(value.get("path"))
            if content is None and Path(path).is_file():
                content = Path(path).read_bytes()
            # A picture elsewhere is named by its address, which on the Hub holds the commit.
            content = path.encode() if content is None else content
            digest.update(f"\0{len(content)}\0".encode() + content)
        return digest.hexdigest()


def fitted(picture: "Image", shape: tuple[int, int, int]) -> Float32[np.ndarray, "c h w"]:
    """Return a picture at the size that an encoder takes, in units of [0, 1].

    Raises:
        ValueError: the picture has no pixels that stand for brightness in 8 or 16 bits.

    >>> from PIL import Image
    >>> fitted(Image.new("L", (40, 20), 51), (3, 8, 8))[:, 0, 0]
    array([0.2, 0.2, 0.2], dtype=float32)
    """
    from PIL import Image

    channels, height, width = shape
    if picture.mode == "F":
        raise ValueError("its pixels are floating point numbers of unknown range")
    if picture.mode.startswith("I"):
        # Pillow would cut 16 bits off at 255.
        deep = np.asarray(picture, dtype=np.float64)
        if deep.min() < 0 or deep.max() > _SIXTEEN_BITS:
            raise ValueError("its pixels are integers beyond 16 bits")
        picture = Image.fromarray(np.rint(deep / _SIXTEEN_BITS * 255).astype(np.uint8))
    picture = picture.convert("RGB" if channels == 3 else "L")
    scale = max(height / picture.height, width / picture.width)
    size = max(width, round(picture.width * scale)), max(height, round(picture.height * scale))
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    cut = picture.crop((left, top, left + width, top + height))
    values = np.asarray(cut, dtype=np.float32).reshape(height, width, channels) / np.float32(255)
    return values.transpose(2, 0, 1)
