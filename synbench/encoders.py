"""Any vision model as one function: images (n, C, H, W) in units of [0, 1] → representations (n, d)."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .batching import out_of_memory
from .errors import EncoderError, RepresentationError
from .preprocessing import InputContract

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ModelRecord:
    """What was scored, so that it can be found again.

    Attributes:
        id: as it was asked for; the class name of a module or callable.
        source: ``"hub"``, ``"local"``, ``"demo"``, ``"module"`` or ``"callable"``.
        revision: as it was asked for.
        commit: the commit hash on the Hub that the weights came from.
        weights_sha256: of the safetensors files of a local folder, in the order of their names.
        architecture: the class that ran.
        pooling: which output became the representation, and how.
        pooling_reason: why that one.
        dimension: d.
        trained: False for the untrained twin.
    """

    id: str
    source: str
    revision: str | None
    commit: str | None
    weights_sha256: str | None
    architecture: str
    pooling: str
    pooling_reason: str
    dimension: int
    trained: bool


@dataclass(frozen=True)
class Encoder:
    """A function from images to representations, and what it is.

    Attributes:
        forward: from normalized images on ``device`` to (n, d).
        contract: the size and the affine map that it expects.
        record: what it is.
        device: where it runs.
        dtype: the precision of its weights and arithmetic.
        dtype_reason: why that one.
        module: the module behind it, if there is one.
        identity: everything about weights and code that decides the vectors, as one string: ``hub:<id>@<commit>``
            or ``local:<sha256>``; ``None`` where it cannot be told, as of a module or a callable.
        missing: names of the weights of the vision tower that the checkpoint lacks, needed or not.
        load: reads the weights, of an encoder that was only described so far.
    """

    forward: Callable[["torch.Tensor"], Any]
    contract: InputContract
    record: ModelRecord
    device: str
    dtype: str
    dtype_reason: str
    module: Any = None
    identity: str | None = None
    missing: tuple[str, ...] = ()
    load: "Callable[[], Encoder] | None" = None

    def ready(self) -> "Encoder":
        """Return the encoder with its weights."""
        return self if self.load is None else self.load()

    def __call__(self, images: "torch.Tensor") -> "torch.Tensor":
        """Return the representations of images in units of [0, 1], float32, on the device.

        Raises:
            EncoderError: the model does not take these images.
            RepresentationError: its output is not one vector an image.
        """
        with evaluating(self.module):
            return self.represent(images)

    def represent(self, images: "torch.Tensor") -> "torch.Tensor":
        """Do the same for a caller who has entered ``evaluating`` for a whole run."""
        import torch

        inputs = self.contract.normalize(images).to(getattr(torch, self.dtype))
        try:
            output = self.forward(inputs)
        except Exception as error:
            if out_of_memory(error):
                raise
            raise EncoderError(
                f"{self.record.id!r} does not take images of shape {tuple(inputs.shape)} "
                f"({type(error).__name__}: {error}). Pass another image_size=, or wrap the model in a function "
                f"from images (n, C, H, W) to vectors (n, d)."
            ) from error
        try:
            vectors = torch.as_tensor(output)
        except (RuntimeError, ValueError, TypeError) as error:
            raise RepresentationError(
                f"expected an array of representations of shape ({len(images)}, d) from {self.record.id!r}, got "
                f"{type(output).__name__}. Return one vector an image, such as one field of its output."
            ) from error
        n, width = len(images), self.record.dimension
        plain = vectors.layout == torch.strided and not vectors.is_complex()
        # The width is 0 while it is not yet known: then any but 0 will do.
        fits = vectors.ndim == 2 and len(vectors) == n and 0 < vectors.shape[1] == (width or vectors.shape[1])
        if not plain or not fits:
            raise RepresentationError(
                f"expected real representations of shape ({n}, {width or 'd'}) from {self.record.id!r}, got "
                f"{tuple(vectors.shape)} of {vectors.dtype}. Pool or flatten its output to one vector an image."
            )
        return vectors.float()


_AUTOCAST = ("cpu", "cuda", "xpu")
"""Types of device on which a caller may have lowered the precision of what runs in a block."""


@contextlib.contextmanager
def evaluating(module: Any = None) -> Iterator[None]:
    """Run a module in evaluation mode, without gradients, autocast or TF32, and put all back after."""
    import torch

    modes = {} if module is None else {m: m.training for m in module.modules()}
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    if module is not None:
        module.eval()
    try:
        with torch.inference_mode(), contextlib.ExitStack() as plain:
            for device in _AUTOCAST:
                if torch.is_autocast_enabled(device):
                    plain.enter_context(torch.autocast(device, enabled=False))
            yield
    finally:
        for part, training in modes.items():
            # By its own method, which may do more than set the flag: clear what was kept for evaluation, say.
            if part.training != training:
                part.train(training)
        for part, training in modes.items():
            part.training = training
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32
