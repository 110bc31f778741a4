"""Making an encoder of a Hub id, a local folder, a ``torch.nn.Module`` or a callable.

Hub models and folders go through the same code: ``AutoModel`` in float32 from safetensors, the vision tower of a
dual encoder, the input contract of its own image processor, and the pooling rule.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import Any

from . import pooling as pooling_rule
from .checkpoints import load_checkpoint
from .encoders import Encoder, ModelRecord, evaluating
from .errors import ArgumentError, EncoderError, SynBenchError
from .preprocessing import InputContract, from_arguments, from_processor
from .settings import check_flag, check_integer

_DTYPES = ("float32", "bfloat16", "float16", "float64")
_REPEATABLE = 1e-3


def load_encoder(
    model: Any,
    *,
    revision: str | None = None,
    device: Any = None,
    dtype: Any = None,
    image_size: Any = None,
    image_mean: Any = None,
    image_std: Any = None,
    trust_remote_code: bool = False,
    untrained: bool = False,
    seed: int = 0,
) -> Encoder:
    """Make an encoder of a model.

    Args:
        model: a Hub id, a local folder in ``transformers`` format, a ``torch.nn.Module``, or a callable
            from (n, C, H, W) float32 tensors to (n, d) arrays.
        revision: branch, tag or commit on the Hub; resolved to a commit once.
        device: such as ``"cuda:0"``; by default the accelerator of this process or the CPU, and for a
            module the place where it is.
        dtype: ``"float32"`` (default on every device), ``"bfloat16"``, ``"float16"`` or ``"float64"``;
            a module keeps its own unless this is given.
        image_size: input size; of a Hub model its own by default, else needed.
        image_mean: by channel; of a Hub model its own by default, else 0.
        image_std: by channel; of a Hub model its own by default, else 1.
        trust_remote_code: run code from the model's repository; needs ``revision`` to be a commit hash.
        untrained: keep the architecture, but draw the weights anew from ``seed``: the honest baseline.
        seed: for the weights of an untrained twin.

    Raises:
        ArgumentError: an argument is out of range, or does not go with this kind of model.
        EncoderError: the model cannot be found, loaded, or used as a vision encoder.

    >>> encoder = load_encoder("synbench:demo")
    >>> encoder.contract.shape, encoder.record.dimension
    ((3, 16, 16), 64)
    """
    wanted = _dtype(dtype)
    check_flag("trust_remote_code", trust_remote_code)
    check_flag("untrained", untrained)
    if not isinstance(revision, (str, NoneType)):
        raise ArgumentError(f"revision must be the name of a branch or tag, or a commit hash, got {revision!r}.")
    sizes = (image_size, image_mean, image_std)
    if isinstance(model, (str, Path)):
        loading = {"revision": revision, "trust_remote_code": trust_remote_code, "untrained": untrained}
        return _of_checkpoint(str(model), _device(device), wanted, sizes, seed, loading)
    if not callable(model):
        raise ArgumentError(
            f"model must be a Hub id, a local folder, a torch.nn.Module or a callable, got {type(model).__name__}."
        )
    if untrained or revision is not None or trust_remote_code:
        raise ArgumentError(
            "revision=, trust_remote_code= and untrained= are for Hub models and folders; "
            "a module or callable is scored as it is. Leave them out."
        )
    return _of_callable(model, None if device is None else _device(device), wanted, sizes)


def _of_checkpoint(
    name: str,
    device: str,
    dtype: str | None,
    sizes: tuple[Any, Any, Any],
    seed: int,
    loading: dict[str, Any],
) -> Encoder:
    import torch

    check_integer("seed", seed, least=0, remedy="every seed gives its own weights, 0 included")
    found = load_checkpoint(name, seed=seed, **loading)
    contract = from_processor(name, found.processor, found.config, *sizes)
    chosen = dtype or "float32"
    found.tower.to(device=device, dtype=getattr(torch, chosen))
    forward, choice = _pooled(found.tower, contract, device, chosen, found.random, name)
    record = ModelRecord(
        id=name,
        source=found.source,
        revision=loading["revision"],
        commit=found.commit,
        weights_sha256=found.weights_sha256,
        architecture=type(found.tower).__name__,
        pooling=f"{choice.field}: {choice.reduction}",
        pooling_reason=choice.reason,
        dimension=0,
        trained=not loading["untrained"],
    )
    reason = "asked for" if dtype else "default: lower precisions are not yet shown to leave the score alone"
    return _with_dimension(Encoder(forward, contract, record, device, chosen, reason, found.tower))


def _of_callable(model: Any, device: str | None, dtype: str | None, sizes: tuple[Any, Any, Any]) -> Encoder:
    import torch

    contract = from_arguments(*sizes)
    reason = "asked for" if dtype else "default"
    if not isinstance(model, torch.nn.Module):
        name = getattr(model, "__name__", type(model).__name__)
        record = ModelRecord(name, "callable", None, None, None, name, "vector", "the output as it is", 0, True)
        return _with_dimension(Encoder(model, contract, record, device or _device(None), dtype or "float32", reason))
    name = type(model).__name__
    own = next((p for p in model.parameters() if p.is_floating_point()), None)
    if own is not None:
        # A module stays where and as it is, unless another place or precision is asked for: then a copy moves.
        if dtype is None:
            dtype, reason = str(own.dtype).removeprefix("torch."), "the module's own"
        device = device or str(own.device)
        if (device, dtype) != (str(own.device), str(own.dtype).removeprefix("torch.")):
            model = copy.deepcopy(model).to(device=device, dtype=getattr(torch, dtype))
    device, dtype = device or _device(None), dtype or "float32"
    forward, pooled_by, why = model, "vector", "the output as it is"
    if hasattr(model, "get_encoder"):
        # A transformers model that the caller loaded: its outputs have fields, so the pooling rule applies.
        forward, choice = _pooled(model.get_encoder(modality="image"), contract, device, dtype, (), name)
        pooled_by, why = f"{choice.field}: {choice.reduction}", choice.reason
    record = ModelRecord(name, "module", None, None, None, name, pooled_by, why, 0, True)
    return _with_dimension(Encoder(forward, contract, record, device, dtype, reason, model))


def _pooled(
    module: Any, contract: InputContract, device: str, dtype: str, random: tuple[Any, ...], name: str | None = None
) -> tuple[Callable[[Any], Any], pooling_rule.Pooling]:
    """Choose the pooling by a try on two images, and join it to the module."""
    import torch

    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(2, *contract.shape, generator=generator).to(device, getattr(torch, dtype))

    def run() -> Any:
        with evaluating(module):
            return module(pixel_values=probe)

    name = name or type(module).__name__
    try:
        output = run()

        def is_random(choice: pooling_rule.Pooling) -> bool:
            # Disturb what the checkpoint lacks: a vector that moves depends on it.
            if not random:
                return False
            kept = [t.detach().clone() for t in random]
            before = choice(output).clone()
            with torch.no_grad():
                for tensor in random:
                    if tensor.is_floating_point():
                        tensor.copy_(torch.randn(tensor.shape, generator=generator).to(tensor))
                moved = not torch.equal(choice(run()), before)
                for tensor, value in zip(random, kept, strict=True):
                    tensor.copy_(value)
            return moved

        choice = pooling_rule.choose(module, output, is_random)
    except (SynBenchError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        raise EncoderError(
            f"{name!r} does not take one batch of images of shape {contract.shape} as pixel_values "
            f"({type(error).__name__}: {error}). Pass the image_size= that it was trained for, or wrap the "
            f"model in a function from images (n, C, H, W) to vectors (n, d)."
        ) from error
    return (lambda images: choice(module(pixel_values=images))), choice


def _with_dimension(encoder: Encoder) -> Encoder:
    """Try the encoder on two images, so that what cannot work is known before the long run, and note d."""
    import torch

    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(2, *encoder.contract.shape, generator=generator).to(encoder.device)
    vectors, again = encoder(probe), encoder(probe)
    # Some models shuffle what they sum, and differ by rounding; random masks or dropout differ by far more.
    allowed = _REPEATABLE * vectors.abs().max()
    if torch.isfinite(vectors).all() and (vectors - again).abs().max() > allowed:
        raise EncoderError(
            f"{encoder.record.id!r} gives different vectors for the same images each time it is called. Switch off "
            f"what is random in it (dropout, masking), or fix its seed."
        )
    return replace(encoder, record=replace(encoder.record, dimension=vectors.shape[1]))


def _device(device: Any) -> str:
    import torch
    from accelerate import PartialState

    if device is None:
        return str(PartialState().device)
    try:
        place = torch.device(device)
        float(torch.zeros((), device=place))  # the meta device has no values
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise ArgumentError(
            f"device must be one that torch can use here, such as 'cpu' or 'cuda:0', got {device!r}: {error}"
        ) from error
    return str(place)


def _dtype(dtype: Any) -> str | None:
    name = None if dtype is None else str(dtype).removeprefix("torch.")
    if name not in (*_DTYPES, None):
        raise ArgumentError(f"dtype must be one of {', '.join(map(repr, _DTYPES))}, got {dtype!r}.")
    return name
