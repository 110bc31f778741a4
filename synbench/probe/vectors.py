"""Representations of pictures, each of them embedded once: what is kept is read, by piece."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float32

from synbench.batching import BatchSize
from synbench.cache import digest_of
from synbench.encoders import Encoder, evaluating
from synbench.entries import FORMAT, Entry, Piece
from synbench.errors import RepresentationError
from synbench.representations import check_finite
from synbench.versions import version_of

from .pictures import RESIZING, Pictures

_PART = "pictures"
_LIBRARIES = ("synbench", "torch", "transformers", "timm", "datasets", "pillow")


@dataclass(frozen=True)
class PictureKey:
    """Everything that changes the vectors of pictures; two keys that differ in anything share nothing.

    Attributes:
        encoder: as ``synbench.entries.Key``; so are the next seven.
        pictures: hash of the pictures as they are stored, in their order.
        split: its name.
        seed: of the choice of pictures; to list it by.
        resizing: version of the code that makes pixels of them.
        libraries: versions of what computes the vectors.
        protocol: to list it by.
        format: version of the files.
    """

    encoder: str
    architecture: str
    pooling: str
    image_shape: tuple[int, int, int]
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]
    channel_order: tuple[int, ...]
    dtype: str
    device: str
    pictures: str
    split: str
    seed: int
    resizing: int
    libraries: tuple[tuple[str, str], ...]
    protocol: str = "pictures"
    format: int = FORMAT

    @property
    def digest(self) -> str:
        """The name of the entry."""
        return digest_of(asdict(self))


def key_of(encoder: Encoder, pictures: Pictures, seed: int) -> PictureKey:
    """Return what the representations of pictures depend on."""
    contract = encoder.contract
    return PictureKey(
        encoder=encoder.identity or "",
        architecture=encoder.record.architecture,
        pooling=encoder.record.pooling,
        image_shape=contract.shape,
        image_mean=contract.mean,
        image_std=contract.std,
        channel_order=contract.order,
        dtype=encoder.dtype,
        device=encoder.device.partition(":")[0],
        pictures=pictures.digest(),
        split=pictures.split,
        seed=seed,
        resizing=RESIZING,
        libraries=tuple((package, version_of(package) or "") for package in _LIBRARIES),
    )


@dataclass(frozen=True)
class Embedded:
    """Vectors of pictures, and how many of them were kept from before."""

    values: Float32[np.ndarray, "n d"]
    from_cache: int


def embed_pictures(
    encoder: Encoder,
    pictures: Pictures,
    batch_size: BatchSize,
    entry: Entry | None = None,
    done: Callable[[int], object] = lambda _: None,
) -> Embedded:
    """Return the representations of pictures, in their order.

    Args:
        encoder: what embeds; it is loaded if anything is missing.
        pictures: what is embedded.
        batch_size: pictures a forward pass; it is halved when memory runs out.
        entry: where pieces are read from and kept; what is finished stays when the run is interrupted.
        done: told how many pictures are done more.

    Raises:
        ArgumentError: a picture cannot be read.
        RepresentationError: the encoder's output is not finite, or not one vector an image.
    """
    values, from_cache = np.empty((len(pictures), encoder.record.dimension), dtype=np.float32), 0
    for start in range(0, len(pictures), batch_size.piece):
        stop, at = min(start + batch_size.piece, len(pictures)), start
        for piece in [] if entry is None else entry.read(_PART, start, stop):
            if piece.start != at or piece.values.shape[1] != values.shape[1]:
                break
            values[piece.start : piece.stop], at = piece.values, piece.stop
            from_cache += len(piece.values)
            done(len(piece.values))
        if at < stop:
            values[at:stop] = _passed(encoder, pictures, batch_size, at, stop, done)
            if entry is not None:
                entry.write(_PART, Piece(at, stop, values[at:stop], np.full(stop - at, np.nan)))
    return Embedded(values, from_cache)


def forward(encoder: Encoder, images: Float32[np.ndarray, "n c h w"]) -> Float32[np.ndarray, "n d"]:
    """Return the representations of pixels in units of [0, 1]."""
    import torch

    encoder = encoder.ready()
    with evaluating(encoder.module):
        return encoder.represent(torch.from_numpy(images).to(encoder.device)).cpu().numpy()


def _passed(
    encoder: Encoder,
    pictures: Pictures,
    batch_size: BatchSize,
    start: int,
    stop: int,
    done: Callable[[int], object],
) -> Float32[np.ndarray, "n d"]:
    from accelerate.utils.memory import clear_device_cache

    vectors, at = [], start
    while at < stop:
        last, shrunk = min(at + batch_size.size, stop), False
        images = pictures.pixels(range(at, last), encoder.contract.shape)
        try:
            vectors.append(forward(encoder, images))
        except Exception as error:
            shrunk = batch_size.shrink(error)
            if not shrunk:
                raise
        if shrunk:
            # Only now: the error held on to what did not fit.
            clear_device_cache(garbage_collection=True)
            continue
        batch_size.worked(last - at)
        done(last - at)
        at = last
    found = np.concatenate(vectors)
    try:
        check_finite(found)
    except RepresentationError as error:
        raise RepresentationError(f"{encoder.record.id!r} on the split {pictures.split!r}: {error}") from error
    return found
