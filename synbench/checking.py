"""What a study of a model would be, told from eight images: whether it can be scored, how, how long, how much memory.

Nothing is kept, and nothing is estimated that could be asked: dimension, pooling, size, normalization and precision
are those of the score. Time and memory are measured on this machine, and reckoned up for a full study.
"""

import time
from typing import Any

import numpy as np
from pydantic import Field

from .batching import default_batch_size, enough_memory
from .design import DRAWS_A_ROUND, IMAGES_A_ROUND, design
from .drawing import Renderer
from .encoders import Encoder, evaluating
from .errors import RepresentationError
from .loading import load_encoder
from .mixture import MixtureSpec
from .report import Model, Precision, Preprocessing, Record
from .settings import IMAGES, check_integer, make_settings

IMAGES_TRIED = 8
"""Images that are embedded to see."""

_COPIES = 6
"""Arrays of the size of all representations, float64 beside float32, that estimating holds at once."""

_SQUARES = 10
"""Float64 matrices of the width of a representation that it holds beside them."""

_DRAWS_AN_IMAGE = DRAWS_A_ROUND / IMAGES_A_ROUND


class Check(Record):
    """Whether and how a model can be scored; what cannot be is raised instead."""

    model: Model
    image_shape: list[int] = Field(description="Channels, height, width.")
    preprocessing: Preprocessing
    precision: Precision
    device: str
    missing_weights: list[str] = Field(description="Weights that the checkpoint lacks; the vectors do not need them.")
    parameters: int | None = Field(description="Numbers in the model; None of a callable.")
    batch_size: int = Field(ge=1, description="Where a study would begin.")
    images: int = Field(ge=1, description="Of the study that time and memory are reckoned for.")
    images_per_second: float = Field(gt=0, description="Drawing and embedding, as measured.")
    seconds: float = Field(ge=0, description="Estimate for the study, without loading the model.")
    memory_bytes: int = Field(ge=0, description="Estimate: the model, one batch on its way, all representations.")
    warnings: list[str]


def check(model: Any, *, images: int = IMAGES, batch_size: int | None = None, **loading: Any) -> Check:
    """Try a model on eight images.

    Args:
        model: see ``load_encoder``.
        images: of the study to reckon with, of the population protocol.
        batch_size: images a forward pass of that study.
        loading: further arguments of ``load_encoder``.

    Raises:
        ArgumentError, EncoderError: as ``load_encoder``.
        RepresentationError: the vectors are not finite.

    >>> found = check("synbench:demo")
    >>> found.model.dimension, found.image_shape, found.missing_weights
    (64, [3, 16, 16], ['pooler.dense.weight', 'pooler.dense.bias'])
    """
    make_settings(images=images)
    if batch_size is not None:
        check_integer("batch_size", batch_size, least=1, remedy="leave it out for the size that a study begins with")
    with enough_memory():
        encoder = load_encoder(model, **loading)
        size = batch_size or default_batch_size(encoder.contract.shape, encoder.device)
        vectors, rate = _try(encoder)
    name = encoder.record.id
    if not np.isfinite(vectors).all():
        raise RepresentationError(
            f"expected finite representations from {name!r}, got some that are not (NaN or infinite). Try "
            f"dtype='float32', or look for a division by zero in the model."
        )
    warnings = []
    constant = int((np.ptp(vectors, axis=0) == 0).sum())
    if constant:
        warnings.append(f"{constant} of {vectors.shape[1]} coordinates are constant over eight images.")
    if vectors.shape[1] > images // 4:
        warnings.append(
            f"{vectors.shape[1]} dimensions are many for {images:,} images: the interval will be wide. Ask for more "
            f"images, or for a target_stderr."
        )
    parameters = None if encoder.module is None else sum(p.numel() for p in encoder.module.parameters())
    return Check(
        model=Model(**vars(encoder.record)),
        image_shape=list(encoder.contract.shape),
        preprocessing=Preprocessing(
            image_mean=list(encoder.contract.mean),
            image_std=list(encoder.contract.std),
            channel_order=list(encoder.contract.order),
            source=encoder.contract.source,
        ),
        precision=Precision(dtype=encoder.dtype, tf32=False, reason=encoder.dtype_reason),
        device=encoder.device,
        missing_weights=list(encoder.missing),
        parameters=parameters,
        batch_size=size,
        images=images,
        images_per_second=rate,
        seconds=images / rate,
        memory_bytes=_memory(encoder, size, images),
        warnings=warnings,
    )


def _try(encoder: Encoder) -> tuple[np.ndarray, float]:
    """Return the vectors of eight images, and images a second: drawing and embedding, timed apart."""
    spec = MixtureSpec(encoder.contract.shape)
    renderer = Renderer(spec, encoder.device)

    def drawn(block: int) -> tuple[Any, float]:
        # Of a block that is not at hand, so that the noise of the whole block is drawn.
        rows = design(spec, 4 * block * spec.block, 4 * block * spec.block + IMAGES_TRIED)
        began = time.perf_counter()
        images, coordinates = renderer.population(rows)
        float(coordinates.sum())  # waits for a GPU
        draws = len(np.unique(rows.draws // spec.block)) * spec.block
        return images, (time.perf_counter() - began) / draws * _DRAWS_AN_IMAGE

    def embedded(images: Any) -> tuple[np.ndarray, float]:
        began = time.perf_counter()
        vectors = encoder.represent(images).cpu().numpy()
        return vectors, (time.perf_counter() - began) / IMAGES_TRIED

    with evaluating(encoder.module):
        embedded(drawn(0)[0])  # what is set up at the first call does not count
        images, drawing = drawn(1)
        vectors, embedding = embedded(images)
    return vectors, 1 / max(drawing + embedding, 1e-9)


def _memory(encoder: Encoder, batch_size: int, images: int) -> int:
    """Reckon the model, one batch with its largest step, and what estimating takes."""
    import torch

    item = torch.finfo(getattr(torch, encoder.dtype)).bits // 8
    pixels = int(np.prod(encoder.contract.shape))
    weights, step = 0, pixels * item
    if encoder.module is not None:
        tensors = (*encoder.module.parameters(), *encoder.module.buffers())
        weights = sum(t.numel() * t.element_size() for t in tensors)
        step = max(step, _largest_step(encoder))
    # Drawn and normalized in float32, then the largest step of the model.
    batch = batch_size * (3 * pixels * 4 + step)
    width = encoder.record.dimension
    return int(weights + batch + _COPIES * 4 * images * width + _SQUARES * 8 * width**2)


def _largest_step(encoder: Encoder) -> int:
    """Return the most bytes an image that one module takes in and gives out."""
    import torch

    most = 0

    def measure(_: Any, inputs: Any, output: Any) -> None:
        nonlocal most
        seen = [t for t in (*inputs, output) if isinstance(t, torch.Tensor)]
        most = max(most, sum(t.numel() * t.element_size() for t in seen))

    handles = [m.register_forward_hook(measure) for m in encoder.module.modules() if not any(m.children())]
    try:
        encoder(torch.zeros(2, *encoder.contract.shape, device=encoder.device))
    finally:
        for handle in handles:
            handle.remove()
    return most // 2
