"""Making an encoder of a Hub id, a local folder, a ``torch.nn.Module`` or a callable.

Hub models and folders go through the same code: float32 from safetensors, the part that takes images to features,
the input contract of its own image processor, and the pooling rule. A ``transformers`` or timm model that the caller
loaded gets the same vector.
"""

import contextlib
import copy
import sys
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Any

from .checkpoints import Checkpoint, in_precision, load_checkpoint
from .encoders import Encoder, ModelRecord
from .errors import ArgumentError
from .first_look import refuse_logits, with_dimension
from .pooling import CHOICES, Pooling
from .preprocessing import InputContract, at_configured_size, from_arguments, from_processor
from .probing import NotTakenError, pooled, projection, projects, unread_weights
from .random_state import kept
from .settings import check_flag, check_integer
from .towers import tower_of

_DTYPES = ("float32", "bfloat16", "float16", "float64")


@kept()
def load_encoder(
    model: Any,
    *,
    revision: str | None = None,
    pooling: str | None = None,
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
        model: a Hub id, a local folder in the format of ``transformers`` or timm, a ``torch.nn.Module``, or a callable
            from (n, C, H, W) float32 tensors to (n, d) arrays.
        revision: branch, tag or commit on the Hub; resolved to a commit once.
        pooling: how the output of the vision model becomes one vector: ``"cls"``, ``"mean"``, ``"cls+mean"``,
            ``"pooler"`` or ``"projected"``, as ``synbench.pooling`` tells; by default its rule, which takes the pooled
            output of the vision part, before any projection.
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
    if pooling not in (*CHOICES, None):
        raise ArgumentError(f"pooling must be one of {', '.join(map(repr, CHOICES))}, got {pooling!r}.")
    sizes = (image_size, image_mean, image_std)
    if isinstance(model, (str, Path)):
        loading = {"revision": revision, "trust_remote_code": trust_remote_code, "untrained": untrained}
        return _of_checkpoint(str(model), choose_device(device), wanted, sizes, seed, pooling, loading)
    if not callable(model):
        raise ArgumentError(
            f"model must be a Hub id, a local folder, a torch.nn.Module or a callable, got {type(model).__name__}."
        )
    if untrained or revision is not None or trust_remote_code:
        raise ArgumentError(
            "revision=, trust_remote_code= and untrained= are for Hub models and folders; "
            "a module or callable is scored as it is. Leave them out."
        )
    return _of_callable(model, None if device is None else choose_device(device), wanted, sizes, pooling)


def _of_checkpoint(
    name: str,
    device: str,
    dtype: str | None,
    sizes: tuple[Any, Any, Any],
    seed: int,
    asked: str | None,
    loading: dict[str, Any],
) -> Encoder:
    check_integer("seed", seed, least=0, remedy="every seed gives its own weights, 0 included")
    found = load_checkpoint(name, seed=seed, projected=asked == "projected", **loading)
    chosen = dtype or "float32"
    missing: tuple[str, ...] = ()
    tried = None
    if found.config is None:
        _refuse_pooling(asked, "a timm model, which gives the vector before its classifier")
        module = _placed(found.tower, device, chosen)
        forward, contract, pooled_by, why = _of_timm(module, sizes)
    else:
        contracts = _contracts(name, found, sizes)
        if asked == "projected" and hasattr(found.whole, "text_model"):
            # The text tower takes no part in the projection of images, and would take as much memory again.
            del found.whole.text_model
        common: dict[str, Any] = {"name": name, "asked": asked, "lacking": found.lacking}
        if type(found.whole).__name__.endswith("ForImageClassification"):
            common["unread"] = lambda images: unread_weights(_placed(found.whole, device, chosen), found.tower, images)

        def place(part: Any) -> Any:
            return _placed(part, device, chosen)

        module, forward, choice, contract, tried = _embedded(
            found.whole, found.tower, contracts, device, chosen, place, **common
        )
        missing = tuple(key.removeprefix("whole.") for key in found.lacking(module))
        pooled_by, why = _described(choice)
    record = ModelRecord(
        id=name,
        source=found.source,
        revision=loading["revision"],
        commit=found.commit,
        weights_sha256=found.weights_sha256,
        architecture=type(found.tower).__name__,
        pooling=pooled_by,
        pooling_reason=why,
        dimension=0,
        trained=not loading["untrained"],
    )
    reason = "asked for" if dtype else "default: lower precisions move the score of some encoders too far"
    encoder = Encoder(forward, contract, record, device, chosen, reason, module, found.identity, missing)
    return with_dimension(encoder, tried)


def _contracts(name: str, found: Checkpoint, sizes: tuple[Any, Any, Any]) -> list[InputContract]:
    """Return what the image processor makes, and after it the size of the configuration if that is another."""
    tower = getattr(found.tower, "config", None)
    contract = from_processor(name, found.processor, found.config, *sizes, fields=found.fields, tower=tower)
    other = at_configured_size(contract, tower, found.config) if sizes[0] is None else None
    return [contract] if other is None else [contract, other]


def _embedded(
    whole: Any,
    tower: Any,
    contracts: list[InputContract],
    device: str,
    dtype: str,
    place: Callable[[Any], Any],
    **options: Any,
) -> tuple[Any, Callable[[Any], Any], Pooling, InputContract, Any]:
    """Return the module that runs, its function to vectors, the pooling, the contract, and the vectors of a try."""
    able = projects(whole)
    if able and options["asked"] == "projected":
        module = place(projection(whole, tower))
        with contextlib.suppress(NotTakenError):
            return module, *pooled(module, contracts, device, dtype, **options)
        # It needs more than images for that: what it can give of images alone is told below.
        able = False
    module = place(tower)
    return module, *pooled(module, contracts, device, dtype, projects=able, **options)


def _of_timm(module: Any, sizes: tuple[Any, Any, Any]) -> tuple[Callable[[Any], Any], InputContract, str, str]:
    from . import timm_models

    contract = timm_models.contract(module, *sizes)
    return timm_models.forward(module), contract, timm_models.POOLING, timm_models.REASON


def _described(choice: Pooling) -> tuple[str, str]:
    return f"{choice.field}: {choice.reduction}", choice.reason


def _refuse_pooling(asked: str | None, what: str) -> None:
    if asked is not None:
        raise ArgumentError(f"pooling= is for models in transformers format, not for {what}. Leave it out.")


def _of_callable(
    model: Any, device: str | None, dtype: str | None, sizes: tuple[Any, Any, Any], asked: str | None
) -> Encoder:
    import torch

    reason = "asked for" if dtype else "default"
    if not isinstance(model, torch.nn.Module):
        _refuse_pooling(asked, "a function, which gives its vectors itself")
        contract = from_arguments(*sizes)
        name = getattr(model, "__name__", type(model).__name__)
        record = ModelRecord(name, "callable", None, None, None, name, "vector", "the output as it is", 0, True)
        return with_dimension(
            Encoder(model, contract, record, device or choose_device(None), dtype or "float32", reason)
        )
    name = type(model).__name__
    by_timm = _made_by_timm(model)
    if not by_timm:
        contract = from_arguments(*sizes)
    by_transformers = not by_timm and hasattr(model, "get_encoder")
    # A module stays where and as it is, unless another place or precision is asked for: then a copy moves.
    if _elsewhere(model, device, dtype):
        model = copy.deepcopy(model)
        model = model.to(device) if device else model
        model = in_precision(model, getattr(torch, dtype)) if dtype else model
    tower = tower_of(name, model) if by_transformers else model
    own = next((p for p in tower.parameters() if p.is_floating_point()), None)
    if own is not None:
        if dtype is None:
            # Of a module in several precisions, what goes in has that of the first weights.
            dtype, reason = str(own.dtype).removeprefix("torch."), "the module's own"
        device = device or str(own.device)
    device, dtype = device or choose_device(None), dtype or "float32"
    tried = None
    forward, pooled_by, why = model, "vector", "the output as it is"
    if by_timm:
        _refuse_pooling(asked, "a timm model, which gives the vector before its classifier")
        forward, contract, pooled_by, why = _of_timm(model, sizes)
    elif by_transformers:
        # A transformers model that the caller loaded: its outputs have fields, so the pooling rule applies.
        loaded = model
        unread = None if tower is model else lambda images: unread_weights(loaded, tower, images)
        common = {"name": name, "asked": asked, "unread": unread}
        _, forward, choice, contract, tried = _embedded(
            model, tower, [contract], device, dtype, lambda part: part, **common
        )
        pooled_by, why = _described(choice)
    else:
        _refuse_pooling(asked, "a module, which gives its vectors itself")
        refuse_logits(model, contract, device, dtype)
    record = ModelRecord(name, "module", None, None, None, name, pooled_by, why, 0, True)
    return with_dimension(Encoder(forward, contract, record, device, dtype, reason, model), tried)


def _elsewhere(module: Any, device: str | None, dtype: str | None) -> bool:
    """Tell whether a module is not yet where, or not yet in the precision, that was asked for."""
    own = [p for p in module.parameters() if p.is_floating_point()]
    moves = device is not None and any(str(p.device) != device for p in own)
    return moves or (dtype is not None and any(str(p.dtype) != f"torch.{dtype}" for p in own))


def _made_by_timm(model: Any) -> bool:
    if "timm" not in sys.modules:
        return False
    from . import timm_models

    return timm_models.made(model)


def _placed(module: Any, device: str, dtype: str) -> Any:
    import torch

    return in_precision(module.to(device), getattr(torch, dtype))


def choose_device(device: Any) -> str:
    """Return the device that was asked for, or the one that ``accelerate`` gives this process.

    Raises:
        ArgumentError: torch cannot use it here.
    """
    import torch
    from accelerate import PartialState

    try:
        place = torch.device(PartialState().device if device is None else device)
        float(torch.zeros((), device=place))  # the meta device has no values
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise ArgumentError(
            f"device must be one that torch can use here, such as 'cpu' or 'cuda:0', got {device!r}: {error}"
        ) from error
    # There is one CPU; launchers number it.
    return "cpu" if place.type == "cpu" else str(place)


def _dtype(dtype: Any) -> str | None:
    name = None if dtype is None else str(dtype).removeprefix("torch.")
    if name not in (*_DTYPES, None):
        raise ArgumentError(f"dtype must be one of {', '.join(map(repr, _DTYPES))}, got {dtype!r}.")
    return name
