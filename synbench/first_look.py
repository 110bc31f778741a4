"""What a first look at an encoder finds before the long run: its width, and what no score could be made of."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

from .design import design
from .drawing import Renderer
from .encoders import Encoder, evaluating
from .errors import EncoderError
from .mixture import MixtureSpec
from .preprocessing import InputContract
from .probing import probe_images

_REPEATABLE = 1e-3
# Rounding parts equal vectors by less, and no two images are that alike to an encoder.
_CONSTANT = 1e-6
_SECOND_LOOK = 256
_HEADS = ("fc", "head", "heads", "classifier", "logits")


def with_dimension(encoder: Encoder) -> Encoder:
    """Try an encoder on a few images, and note the width of its vectors.

    Args:
        encoder: whose record has no dimension yet.

    Raises:
        EncoderError: its vectors differ from call to call, or are the same for all images.
        RepresentationError: its output is not one vector an image.
    """
    import torch

    pairs = probe_images(encoder.contract, encoder.device, "float32", 8).split(2)
    vectors, again = encoder(pairs[0]), encoder(pairs[0])
    name = encoder.record.id
    finite = bool(torch.isfinite(vectors).all())
    # Some models shuffle what they sum, and differ by rounding; random masks or dropout differ by far more.
    if finite and (vectors - again).abs().max() > _REPEATABLE * vectors.abs().max():
        raise EncoderError(
            f"{name!r} gives different vectors for the same images each time it is called. Switch off "
            f"what is random in it (dropout, masking), or fix its seed."
        )
    encoder = replace(encoder, record=replace(encoder.record, dimension=vectors.shape[1]))
    if finite and _alike(vectors) and _all_alike(encoder, chain(pairs, _drawn(encoder))):
        twin = "Its configuration draws weights too narrow for an untrained twin (initializer_range): do without one."
        raise EncoderError(
            f"{name!r} gives one and the same vector for {8 + _SECOND_LOOK} different images, so nothing of them is "
            f"left to score. "
            f"{'Check its weights and what it does with its input.' if encoder.record.trained else twin}"
        )
    return encoder


def _drawn(encoder: Encoder) -> Iterator[Any]:
    """Yield images as a study draws them: an encoder of rare features may answer to these alone."""
    spec = MixtureSpec(encoder.contract.shape)
    renderer = Renderer(spec, encoder.device)
    for at in range(0, _SECOND_LOOK, 8):
        yield renderer.population(design(spec, at, at + 8))[0]


def _all_alike(encoder: Encoder, batches: Iterable[Any]) -> bool:
    import torch

    first = None
    for images in batches:
        vectors = encoder(images)
        first = vectors[:1] if first is None else first
        if not _alike(torch.cat([first, vectors])):
            return False
    return True


def _alike(vectors: Any) -> bool:
    """Tell whether all rows are the same, up to rounding."""
    spread = (vectors.amax(dim=0) - vectors.amin(dim=0)).max()
    return bool(spread <= _CONSTANT * vectors.abs().max())


def refuse_logits(module: Any, contract: InputContract, device: str, dtype: str) -> None:
    """Refuse a module that gives what its classifier says, in place of what its classifier reads.

    Args:
        module: a plain ``torch.nn.Module``.
        contract: what it takes.
        device: where it is.
        dtype: its precision.

    Raises:
        EncoderError: its output is that of a linear layer that is called like a classifier.
    """
    import torch

    seen: dict[str, Any] = {}

    def remember(name: str) -> Any:
        return lambda _module, _inputs, output: seen.__setitem__(name, output)

    hooks = [
        part.register_forward_hook(remember(name))
        for name, part in module.named_modules()
        if isinstance(part, torch.nn.Linear) and set(_HEADS).intersection(name.split("."))
    ]
    if not hooks:
        return
    try:
        with evaluating(module):
            output = module(contract.normalize(probe_images(contract, device, "float32")).to(getattr(torch, dtype)))
    except Exception:  # noqa: BLE001
        return  # what it does not take is told by the first try of the whole encoder
    finally:
        for hook in hooks:
            hook.remove()
    same = (name for name, said in seen.items() if torch.is_tensor(output) and torch.equal(said, output))
    found = next(same, None)
    if found is not None:
        kind = type(module).__name__
        raise EncoderError(
            f"{kind!r} gives the output of its last layer, {found!r}: these are logits of classes, not "
            f"features. Replace it by torch.nn.Identity(), or wrap the model in a function if logits are wanted."
        )
