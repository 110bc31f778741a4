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
from .probing import first_images, probe_images

_REPEATABLE = 1e-3
# Rounding parts equal vectors by less, and no two images are that alike to an encoder.
_CONSTANT = 1e-6
_SECOND_LOOK = 256
_CLASSIFIERS = ("fc", "classifier", "logits")
# So a projection may be called too: one without a bias, or as wide as a power of two, is taken for that.
_HEADS = ("head", "heads")
_NARROWEST_PROJECTION = 32


def with_dimension(encoder: Encoder, tried: Any = None) -> Encoder:
    """Try an encoder on a few images, and note the width of its vectors.

    Args:
        encoder: whose record has no dimension yet.
        tried: its vectors of ``first_images``, if they are at hand.

    Raises:
        EncoderError: its vectors differ from call to call, or are the same for all images.
        RepresentationError: its output is not one vector an image.
    """
    import torch

    pairs = probe_images(encoder.contract, encoder.device).split(2)
    # Of the try, only what comes a second time as one vector an image counts.
    again = encoder(pairs[0])
    vectors = encoder(pairs[0]) if tried is None or tried.shape != again.shape else tried.float()
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
        EncoderError: its output is that of a linear layer that looks like a classifier, by its name.
    """
    import torch

    seen: dict[str, Any] = {}

    def remember(name: str) -> Any:
        return lambda _module, _inputs, output: seen.__setitem__(name, output)

    hooks = [
        part.register_forward_hook(remember(name))
        for name, part in module.named_modules()
        if isinstance(part, torch.nn.Linear) and _seems_to_classify(name, part)
    ]
    if not hooks:
        return
    try:
        with evaluating(module):
            output = module(contract.normalize(first_images(contract, device)).to(getattr(torch, dtype)))
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
            f"{kind!r} gives the output of its last layer, {found!r}, which looks like a classifier by its name: its "
            f"logits are not features. Replace that layer by torch.nn.Identity(). If its output is what you want to "
            f"score, put the model in evaluation mode and pass a function: lambda images: model(images)."
        )


def _seems_to_classify(name: str, layer: Any) -> bool:
    """Guess by its name, and of a head by its form, whether a linear layer gives logits of classes."""
    path = name.split(".")
    if set(_CLASSIFIERS).intersection(path):
        return True
    width = layer.out_features
    projects = layer.bias is None or (width >= _NARROWEST_PROJECTION and width & (width - 1) == 0)
    return bool(set(_HEADS).intersection(path)) and not projects
