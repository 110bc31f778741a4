"""A first try of a vision model on two images: which pooling fits, and whether its vectors would be random."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import families
from . import pooling as pooling_rule
from .encoders import evaluating
from .errors import EncoderError
from .preprocessing import InputContract
from .towers import input_name


class NotTakenError(EncoderError):
    """A model that does not take images of any size that it was tried with."""


def probe_images(contract: InputContract, device: str) -> Any:
    """Return the same eight Gaussian images each time, before they are normalized."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, *contract.shape, generator=generator).to(device)


def first_images(contract: InputContract, device: str) -> Any:
    """Return the first two of ``probe_images``: those of the first try."""
    return probe_images(contract, device)[:2]


def pooled(
    module: Any,
    contracts: Sequence[InputContract],
    device: str,
    dtype: str,
    *,
    name: str,
    asked: str | None = None,
    lacking: Callable[[Any], Mapping[str, Any]] = lambda _: {},
    unread: Callable[[Any], Mapping[str, Any]] | None = None,
    projects: bool = False,
) -> tuple[Callable[[Any], Any], pooling_rule.Pooling, InputContract, Any]:
    """Choose the pooling of a module by a try on two images, and join it to the module.

    Args:
        module: a ``transformers`` module in its place and precision.
        contracts: the input contracts to try: the first whose size the module takes is used.
        device: where it is.
        dtype: its precision.
        name: the model, for messages.
        asked: the pooling that was asked for.
        lacking: from the module to the weights that its checkpoint lacks, by their names in it.
        unread: from images to further weights that may be lacking: those that the model itself never reads.
        projects: whether the whole model has features that are compared with text.

    Returns:
        The function from normalized images to vectors, its pooling, the contract, and the vectors of the try (those
        of the first two images of ``probe_images``, or ``None`` if they were not embedded together).

    Raises:
        ArgumentError: the pooling that was asked for is not one that the module can give.
        NotTakenError: it does not take such images.
        EncoderError: no vector can be had without random weights.
    """
    import torch

    call = families.of(getattr(module, "config", None)).call
    taken = input_name(module)

    def run(images: Any, weights: Mapping[str, Any] | None = None) -> Any:
        def forward(**inputs: Any) -> Any:
            if weights is None:
                return module(**inputs)
            return torch.func.functional_call(module, dict(weights), (), inputs)

        return forward(**{taken: images}) if call is None else call(module, forward, images)

    def try_out() -> tuple[InputContract, Any, Any]:
        failed: Exception | None = None
        for contract in contracts:
            images = contract.normalize(first_images(contract, device)).to(getattr(torch, dtype))
            try:
                return contract, images, run(images)
            except (torch.OutOfMemoryError, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001
                failed = failed or error
        assert failed is not None
        raise NotTakenError(
            f"{name!r} does not take one batch of images of shape {contracts[0].shape} as pixel_values "
            f"({type(failed).__name__}: {failed}). Pass the image_size= that it was trained for, or wrap the "
            f"model in a function from images (n, C, H, W) to vectors (n, d)."
        ) from failed

    with evaluating(module):
        contract, images, output = try_out()
        packed = _packed(output)
        if packed:
            # Some lay all images of a batch in one row of tokens: each goes alone, then.
            images = images[:1]
            output = run(images)
    absent = dict(lacking(module))
    ignored = {key: p for key, p in (unread(images) if unread else {}).items() if key not in absent}
    suspects = {**absent, **ignored}
    lack = "are missing from the checkpoint" * bool(absent) + ", or that " * bool(absent and ignored)
    lack += "its own output does not read" * bool(ignored)

    def is_random(choice: pooling_rule.Pooling) -> bool:
        # Disturb what the checkpoint lacks: a vector that moves depends on it.
        generator = torch.Generator().manual_seed(1)
        other = {
            key: torch.randn(tensor.shape, generator=generator).to(tensor)
            for key, tensor in suspects.items()
            if tensor.is_floating_point()
        }
        if not other:
            return False
        with evaluating(module):
            return not torch.equal(choice(run(images, other)), choice(output))

    choice = pooling_rule.choose(
        module,
        output,
        is_random,
        asked=asked,
        size=contract.shape[1:],
        missing=tuple(suspects),
        lack=lack,
        projects=projects,
    )
    if packed:
        return (lambda images: torch.cat([choice(run(one)) for one in images.split(1)])), choice, contract, None
    with evaluating(module):
        return (lambda images: choice(run(images))), choice, contract, choice(output)


def _packed(output: Any) -> bool:
    """Tell whether the output of two images has one row only."""
    values = output.values() if isinstance(output, Mapping) else ()
    first = next((value for value in values if hasattr(value, "shape")), None)
    return first is not None and first.ndim == 3 and first.shape[0] == 1


def projects(whole: Any) -> bool:
    """Tell whether a model has a vector of an image that is compared with text: with it, or as a part that was."""
    if hasattr(whole, "get_image_features"):
        return hasattr(whole, "get_text_features")
    alone = "input_ids" not in inspect.signature(whole.forward).parameters
    return alone and hasattr(whole, "visual_projection")


def projection(whole: Any, tower: Any) -> Any:
    """Return a module whose output is the vector of a model that is compared with text, whatever form it has there."""
    import torch

    class Projection(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.whole = whole
            self.config = tower.config

        def forward(self, **inputs: Any) -> Any:
            if not hasattr(self.whole, "get_image_features"):
                return {"image_features": self.whole(**inputs)["image_embeds"]}
            found = self.whole.get_image_features(**inputs)
            if not torch.is_tensor(found):
                found = found["pooler_output"]
            return {"image_features": torch.stack([*found]) if isinstance(found, (list, tuple)) else found}

    return Projection()


def unread_weights(whole: Any, tower: Any, images: Any) -> dict[str, Any]:
    """Return the weights of a part that the output of the whole model does not depend on, by their names in it.

    A classifier that a caller loaded does not tell which weights its checkpoint lacked, nor does one that was saved
    with them. Those that it never reads may have been drawn at random, such as a pooling layer beside which it goes.
    """
    import torch

    if "input_ids" in inspect.signature(whole.forward).parameters:
        return {}  # its output is not of images alone
    own = {id(p) for p in tower.parameters()}
    names = {key: p for key, p in whole.named_parameters() if id(p) in own}
    with evaluating(whole), torch.inference_mode(False), torch.enable_grad():
        weights = {key: p.detach().requires_grad_() for key, p in names.items()}
        try:
            output = torch.func.functional_call(whole, weights, (), {"pixel_values": images.clone()})
        except (TypeError, ValueError, AttributeError, RuntimeError):
            # It takes more than images: nothing can be told.
            return {}
        logits = getattr(output, "logits", None)
        if logits is None or not logits.requires_grad:
            return {}
        gradients = torch.autograd.grad(logits.sum(), list(weights.values()), allow_unused=True)
    unread = {key for key, gradient in zip(weights, gradients, strict=True) if gradient is None}
    absent = {id(names[key]) for key in unread}
    return {key: p for key, p in tower.named_parameters() if id(p) in absent}
