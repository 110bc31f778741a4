"""From a model and settings to a study: the encoder loaded, or recalled from what was noted of it, and its entry.

The encoder itself is loaded when the first of its representations is not in the cache: a study that was made before
runs no forward pass.
"""

from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from . import cache as stored
from .batching import BatchSize, default_batch_size, enough_memory
from .encoders import Encoder, ModelRecord
from .entries import FORMAT, Entry, Key
from .errors import EncoderError
from .folders import DEMO
from .identity import identify
from .loading import choose_device, load_encoder
from .mixture import MixtureSpec, check_image_shape
from .preprocessing import InputContract
from .processes import ALONE, Processes
from .report import Model
from .seeding import RENDERER_VERSION
from .settings import Settings, check_flag, check_integer, with_sizes
from .study import Study
from .versions import version_of

_LIBRARIES = ("synbench", "torch", "transformers", "timm")


def prepare(
    model: Any,
    settings: Settings,
    *,
    batch_size: int | None = None,
    untrained: bool = False,
    cache: bool = True,
    fresh: bool = False,
    clear: bool = True,
    processes: Processes = ALONE,
    **loading: Any,
) -> Study:
    """Load a model, or recall it, and check everything that can be checked before the long run.

    Args:
        model: see ``load_encoder``.
        settings: what is asked; sizes that are left out are filled in.
        batch_size: images a forward pass, a positive integer; by default it is found, see ``synbench.batching``.
        untrained: score the untrained twin, with weights drawn from ``settings.seed``.
        cache: keep representations, and use those that were kept.
        fresh: use none that were kept before.
        clear: delete them in that case; of several processes, one does.
        processes: who embeds together.
        loading: further arguments of ``load_encoder``.

    Raises:
        ArgumentError, EncoderError: as ``load_encoder``.
    """
    if batch_size is not None:
        check_integer("batch_size", batch_size, least=1, remedy="leave it out for a size that fits most machines")
    check_flag("cache", cache)
    check_flag("fresh", fresh)
    asked = {**loading, "untrained": untrained, "seed": settings.seed}
    kept = cache and stored.limit() > 0
    with enough_memory():
        encoder = _load(model, asked, recall=kept and not fresh, remember=kept)
    filled = with_sizes(settings)
    size = BatchSize(batch_size or default_batch_size(encoder.contract.shape, encoder.device), batch_size is not None)
    entry = None
    if kept and encoder.identity is not None:
        entry = Entry(key_of(encoder, filled), encoder.record.id, fresh=fresh, clear=clear and processes.main)
        if batch_size is None:
            size = _found_size(encoder, size, fresh)
    return Study(encoder, filled, size, entry, processes)


def key_of(encoder: Encoder, settings: Settings) -> Key:
    """Return what the representations of a study depend on."""
    contract, population = encoder.contract, settings.protocol == "population"
    spec = MixtureSpec(contract.shape, settings.scales, settings.direction, settings.seed)
    return Key(
        encoder=encoder.identity or "",
        architecture=encoder.record.architecture,
        pooling=encoder.record.pooling,
        image_shape=contract.shape,
        image_mean=contract.mean,
        image_std=contract.std,
        channel_order=contract.order,
        dtype=encoder.dtype,
        device=encoder.device.partition(":")[0],
        protocol=settings.protocol,
        seed=settings.seed,
        direction=str(spec.direction),
        scales=tuple(spec.scales) if population else (),
        renderer=RENDERER_VERSION,
        libraries=_versions(),
    )


def _request(model: Any, asked: dict[str, Any]) -> dict[str, Any] | None:
    """Return what an encoder's description depends on, or None if that cannot be told without loading it."""
    named = ("revision", "trust_remote_code", "untrained", "seed")
    identity = identify(str(model), **{name: asked[name] for name in named if name in asked})
    if identity is None:
        return None
    # What is left out is what it is by default; the seed of an untrained twin is in its identity.
    told = {n: v for n, v in asked.items() if n not in ("device", "seed") and v is not None and v is not False}
    plain = {n: np.asarray(v).tolist() if n.startswith("image_") else str(v) for n, v in told.items()}
    return {
        "encoder": identity,
        "device": choose_device(asked.get("device")).partition(":")[0],
        "asked": repr(sorted(plain.items())),
        "libraries": _versions(),
        "format": FORMAT,
    }


def _load(model: Any, asked: dict[str, Any], *, recall: bool, remember: bool) -> Encoder:
    """Return an encoder as it was described when it was last loaded, or load and describe it."""
    request = _request(model, asked) if isinstance(model, (str, Path)) and (recall or remember) else None
    if request is None:
        return load_encoder(model, **asked)
    found = stored.recall("encoders", request) if recall else None
    recalled = None if found is None else _recalled(str(model), asked, request["encoder"], found)
    if recalled is not None:
        return recalled
    encoder = load_encoder(model, **asked)
    if encoder.record.source != "hub":
        _refuse_changed(encoder, request["encoder"])
    # A branch may have moved on in between: then the encoder is of another commit, and says so.
    if remember and encoder.identity == request["encoder"]:
        stored.remember("encoders", request, _described(encoder))
    return encoder


def _refuse_changed(encoder: Encoder, identity: str) -> None:
    if encoder.identity != identity:
        raise EncoderError(
            f"expected {encoder.record.id!r} to stay as it is while it is scored, but its files have changed. Score it "
            f"again when they are written, or a copy of them."
        )


def _described(encoder: Encoder) -> dict[str, Any]:
    return {
        "contract": asdict(encoder.contract),
        "record": asdict(encoder.record),
        **{name: getattr(encoder, name) for name in ("dtype", "dtype_reason", "identity", "missing")},
    }


def _recalled(name: str, asked: dict[str, Any], identity: str, found: dict[str, Any]) -> Encoder | None:
    """Return an encoder that is loaded when it is needed; None if what is noted of it is not what is expected."""
    try:
        # What is noted belongs to the content; the same content may have another name now.
        source = (
            "demo" if name == DEMO else "local" if found["record"]["source"] == "demo" else found["record"]["source"]
        )
        record = Model.model_validate({**found["record"], "id": name, "source": source})
        contract: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in found["contract"].items()}
        encoder = Encoder(
            forward=lambda images: load().forward(images),
            contract=InputContract(**contract),
            record=ModelRecord(**record.to_dict()),
            device=choose_device(asked.get("device")),
            dtype=str(found["dtype"]),
            dtype_reason=str(found["dtype_reason"]),
            identity=identity,
            missing=tuple(found["missing"]),
            load=lambda: load(),
        )
        check_image_shape(encoder.contract.shape)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None

    @cache
    def load() -> Encoder:
        # Of the commit that was looked up, though the branch may have moved on.
        pinned = {**asked, "revision": record.commit} if source == "hub" else asked
        loaded = load_encoder(name, **pinned)
        _refuse_changed(loaded, identity)
        return loaded

    return encoder


def _found_size(encoder: Encoder, size: BatchSize, fresh: bool) -> BatchSize:
    """Begin with the batch size that was found on this device before, and remember the one that is found now."""
    key = {
        "encoder": encoder.identity,
        "shape": encoder.contract.shape,
        "dtype": encoder.dtype,
        "device": _device_name(encoder.device),
    }
    found = None if fresh else stored.recall("batch-sizes", key)
    known = found.get("size") if isinstance(found, dict) else None
    now = known if type(known) is int and 1 <= known < size.size else size.size
    return replace(size, size=now, found=lambda new: stored.remember("batch-sizes", key, {"size": new}))


def _device_name(device: str) -> str:
    import torch

    if device.startswith("cuda"):
        return f"{torch.cuda.get_device_name(device)} {torch.cuda.get_device_properties(device).total_memory}"
    return device.partition(":")[0]


def _versions() -> tuple[tuple[str, str], ...]:
    return tuple((package, version_of(package) or "") for package in _LIBRARIES)
