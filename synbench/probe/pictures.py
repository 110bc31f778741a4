"""Pictures of a dataset with their classes, and how they become what an encoder takes.

A picture is made RGB (or gray, for an encoder of one channel), resized by bicubic interpolation with antialiasing so
that it just covers the encoder's input size, cut to that size around its centre, and scaled to [0, 1]. Transparency is
dropped: what is stored below it shows. Nothing else is done to it; the encoder's own mean and std come after.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, Int

from synbench.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

RESIZING = 2
"""Counts the changes of the way from a picture to pixels."""

_EIGHT_BITS, _SIXTEEN_BITS = 255, 65535


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
        return self._hashed[0]

    def hashes(self) -> list[bytes]:
        """Return a hash of each picture as it is stored."""
        return self._hashed[1]

    @cached_property
    def _hashed(self) -> tuple[str, list[bytes]]:
        from datasets import Image

        stored = self.dataset.with_format(None).select_columns([self.column])
        stored = stored.cast_column(self.column, Image(mode=stored.features[self.column].mode, decode=False))
        digest, single = hashlib.sha256(str(stored.features[self.column].mode).encode()), []
        for row in self.rows:
            value = stored[int(row)][self.column] or {}
            content, path = value.get("bytes"), str(value.get("path"))
            if content is None and Path(path).is_file():
                content = Path(path).read_bytes()
            # A picture elsewhere is named by its address, which on the Hub holds the commit.
            content = path.encode() if content is None else content
            digest.update(f"\0{len(content)}\0".encode() + content)
            single.append(hashlib.sha256(content).digest())
        return digest.hexdigest(), single


def fitted(picture: "Image", shape: tuple[int, int, int]) -> Float32[np.ndarray, "c h w"]:
    """Return a picture at the size that an encoder takes, in units of [0, 1].

    Alpha is dropped. Gray pixels of more than 8 bits are 8 bits in a wider place if none is above 255, and 16 bits
    otherwise: a file does not say which.

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
        white = _EIGHT_BITS if deep.max() <= _EIGHT_BITS else _SIXTEEN_BITS
        picture = Image.fromarray(np.rint(deep / white * _EIGHT_BITS).astype(np.uint8))
    if picture.mode == "P" and "transparency" in picture.info:
        # Pillow warns where one goes from there to RGB at once.
        picture = picture.convert("RGBA")
    picture = picture.convert("RGB" if channels == 3 else "L")
    scale = max(height / picture.height, width / picture.width)
    size = max(width, round(picture.width * scale)), max(height, round(picture.height * scale))
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    if size == picture.size:
        cut = picture.crop((left, top, left + width, top + height))
    else:
        # Only what is kept is made: a picture of one pixel by many would become huge.
        across, down = picture.width / size[0], picture.height / size[1]
        box = (left * across, top * down, (left + width) * across, (top + height) * down)
        cut = picture.resize((width, height), Image.Resampling.BICUBIC, box=box)
    values = np.asarray(cut, dtype=np.float32).reshape(height, width, channels) / np.float32(_EIGHT_BITS)
    return values.transpose(2, 0, 1)
