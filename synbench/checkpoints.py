"""Finding and loading a vision model, from the Hub or from a folder: in ``transformers`` format, or in timm's.

Only safetensors are read; code from a repository runs only if asked for with a pinned commit. Whatever
the libraries raise on the way comes out as a sentence with a next step.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import families, folders, identity, towers
from .errors import ArgumentError, EncoderError
from .random_state import kept
from .remedies import quiet_transformers, teaching


@dataclass(frozen=True)
class Checkpoint:
    """A loaded vision model, float32, on the CPU.

    Attributes:
        whole: the model as it was loaded.
        tower: the module that turns pixels into features: the whole model, or a part of it.
        config: the configuration of the whole model; ``None`` of a timm model.
        processor: its image processor, or ``None`` if it has none that can be loaded.
        fields: reads ``preprocessor_config.json``, for where the processor does not answer.
        missing: the names of the parameters and buffers of the whole model that the checkpoint lacks.
        source: ``"hub"``, ``"local"`` or ``"demo"``.
        commit: the commit hash on the Hub.
        weights_sha256: of the safetensors files of a folder, in the order of their names.
        identity: all that decides the vectors, as ``Encoder.identity``.
    """

    whole: Any
    tower: Any
    config: Any
    processor: Any
    fields: Callable[[], dict[str, Any] | None]
    missing: frozenset[str]
    source: str
    commit: str | None
    weights_sha256: str | None
    identity: str | None

    def lacking(self, module: Any) -> dict[str, Any]:
        """Return the parameters and buffers of a part of the model that the checkpoint lacks, by their names in it."""
        tensors = (*self.whole.named_parameters(), *self.whole.named_buffers())
        absent = {id(tensor) for name, tensor in tensors if name in self.missing}
        own = (*module.named_parameters(), *module.named_buffers())
        return {name: tensor for name, tensor in own if id(tensor) in absent}


def load_checkpoint(
    name: str, *, revision: str | None, trust_remote_code: bool, untrained: bool, seed: int, projected: bool = False
) -> Checkpoint:
    """Load a model by Hub id, folder or ``synbench:demo``.

    Args:
        name: what to load.
        revision: branch, tag or commit; resolved once, so that all files are of one commit.
        trust_remote_code: needs ``revision`` to be a commit hash, unless the model is a folder.
        untrained: take the architecture only, and draw the weights from ``seed``.
        seed: for the weights of an untrained twin.
        projected: keep what a vision part needs to be compared with text, if it was saved with it.

    Raises:
        ArgumentError: remote code without a pinned commit, a revision of a folder, or an empty name.
        EncoderError: not found, no safetensors, not a vision model, or anything else that loading raised.
    """
    import torch

    folder = folders.folder_of(name)
    local = folder is not None
    where = name if folder is None else str(folder)
    if not name.strip():
        raise ArgumentError("model must be a Hub id or a local folder, got an empty name.")
    if local and revision is not None:
        raise ArgumentError(
            f"revision= is for models on the Hub, but {name!r} is a local folder: it is read as it is. Leave it out."
        )
    if trust_remote_code and not local and not identity.COMMIT.fullmatch(revision or ""):
        raise ArgumentError(
            f"trust_remote_code=True runs code from {name!r} on this machine, so it needs the commit that you "
            f"looked at: pass revision= with its 40-digit hash, got {revision!r}."
        )
    if folder is not None:
        folders.refuse_folder(name, folder, weights=not untrained)
    else:
        folders.refuse_path(name)
    with teaching(name), quiet_transformers():
        # Everything is of the commit that the branch points to now, however long the download takes.
        written = _file(where, "config.json", revision)
        commit = written.parent.name if not local and identity.COMMIT.fullmatch(written.parent.name) else None
        common: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": commit or revision}
        raw = json.loads(written.read_text(encoding="utf-8"))
        timm = _is_timm(name, raw)
        if timm:
            whole = tower = _timm(where, commit or revision, untrained=untrained, seed=seed)
            config, processor, missing = None, None, set[str]()
        else:
            if trust_remote_code:
                _refuse_foreign_code(name, raw)
            else:
                _refuse_own_code(name, raw, local=local)
            drawn = seed if untrained else None
            config, processor, whole, missing = _transformers(name, where, common, drawn=drawn, projected=projected)
    if not timm:
        tower = towers.tower_of(name, whole)
    weights = None if folder is None or untrained else identity.weights_sha256(folder)
    drawn = seed if untrained else None
    if folder is not None:
        known: str | None = identity.of_folder(folder, weights, drawn)
    else:
        known = commit and identity.of_commit(name, commit, drawn)
    if known and trust_remote_code and raw.get("auto_map"):
        known += ":own code"
    return Checkpoint(
        whole=whole,
        tower=in_precision(tower, torch.float32).eval(),
        config=config,
        processor=processor,
        fields=lambda: _processor_fields(where, commit or revision),
        missing=frozenset(missing),
        source="demo" if name == folders.DEMO else "local" if local else "hub",
        commit=commit,
        weights_sha256=weights,
        identity=known,
    )


def in_precision(module: Any, dtype: Any) -> Any:
    """Cast the real numbers of a module: complex ones, as of rotary positions, would lose their imaginary part."""
    return module._apply(lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor)  # noqa: SLF001


def _file(where: str, file: str, revision: str | None) -> Path:
    """Return a file of a model; without a network, as it was last fetched. On the Hub, its folder is its commit."""
    from transformers.utils import cached_file

    found = cached_file(where, file, revision=revision)
    if found is None:
        raise FileNotFoundError(f"It has no file named {file}.")
    return Path(found)


def _is_timm(name: str, raw: Any) -> bool:
    """Tell timm's own format from that of ``transformers`` by ``config.json``, and refuse what is neither."""
    if not isinstance(raw, dict):
        raise TypeError(f"config.json holds {type(raw).__name__}, not an object.")
    if raw.get("model_type") or raw.get("auto_map"):
        return False
    if "architecture" not in raw:
        raise EncoderError(
            f"{name!r} has a config.json with neither model_type, as transformers writes, nor architecture, as timm "
            f"writes: its format is not known. Load the model yourself, and pass it as a torch.nn.Module or a "
            f"function from images (n, C, H, W) to vectors (n, d)."
        )
    from . import timm_models

    return timm_models.recognises(raw)


def _timm(where: str, revision: str | None, *, untrained: bool, seed: int) -> Any:
    from . import timm_models

    folder = _file(where, "config.json" if untrained else "model.safetensors", revision).parent
    return timm_models.load(folder, untrained=untrained, seed=seed)


def _transformers(
    name: str, where: str, common: dict[str, Any], *, drawn: int | None, projected: bool
) -> tuple[Any, Any, Any, set[str]]:
    """Return configuration, image processor, model, and the names of the weights that it lacks.

    Its weights are those of the file, or ``drawn`` from a seed.
    """
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(where, **common)
    towers.refuse_pretrained_parts(config)
    if getattr(config, "mask_ratio", None) and families.of(config).call is None:
        # A masked autoencoder hides most of each image at random while it is trained; here it sees all of it.
        config.mask_ratio = 0.0
    towers.refuse_by_configuration(name, config)
    own_code = common["trust_remote_code"] and "AutoModel" in (getattr(config, "auto_map", None) or {})
    kind: Any = None if own_code else towers.loading_class(config, projected=projected)
    if kind is not None:
        towers.refuse_without_pixels(name, kind)
        towers.refuse_by_structure(name, kind, config)
    elif not own_code and type(config).__module__.startswith("transformers."):
        raise EncoderError(
            f"{name!r} is of a model type, {config.model_type!r}, for which transformers has no class that takes "
            f"images to features. Load it yourself, and pass a function from images (n, C, H, W) to vectors (n, d)."
        )
    processor = _processor(where, common)
    missing: set[str] = set()
    if drawn is not None:
        with kept(drawn):
            if kind is None:
                trust = common["trust_remote_code"]
                whole = transformers.AutoModel.from_config(config, dtype=torch.float32, trust_remote_code=trust)
            else:
                whole = kind._from_config(config, dtype=torch.float32)  # noqa: SLF001
    else:
        how = common if kind is None else {"revision": common["revision"]}
        options = {"config": config, "dtype": torch.float32, "use_safetensors": True, "output_loading_info": True}
        whole, loading = (kind or transformers.AutoModel).from_pretrained(where, **options, **how)
        other = towers.saved_class(config)
        names = {key for key, _ in whole.named_parameters()}
        if loading["unexpected_keys"] and 2 * len(names & {*loading["missing_keys"]}) > len(names) and other:
            # The base class does not know its own weights by the names that the whole model gave them.
            whole, loading = other.from_pretrained(where, **options, **how)
        missing = set(loading["missing_keys"])
        if names and names <= missing and loading["unexpected_keys"]:
            raise EncoderError(
                f"{name!r} has none of the weights that {type(whole).__name__} needs, such as "
                f"{', '.join(sorted(names)[:2])}; its file has {', '.join(sorted(loading['unexpected_keys'])[:3])}. "
                f"Take off what stands before their names, or choose a checkpoint of this architecture."
            )
    towers.refuse_without_pixels(name, type(whole))
    return config, processor, whole, missing


def _refuse_own_code(name: str, raw: dict[str, Any], *, local: bool) -> None:
    """Refuse a model that cannot be loaded without its own code, which was not asked for."""
    from transformers import CONFIG_MAPPING

    if raw.get("auto_map") and raw.get("model_type") not in CONFIG_MAPPING:
        pinned = "" if local else " and revision= with the hash of the commit that you looked at"
        raise EncoderError(
            f"cannot load {name!r}: it comes with code of its own ({', '.join(map(str, raw['auto_map'].values()))}), "
            f"which runs only if asked for. Look at that code, then pass trust_remote_code=True{pinned}."
        )


def _refuse_foreign_code(name: str, raw: dict[str, Any]) -> None:
    """Refuse a configuration that takes its code from another repository: no commit of that one is pinned."""
    foreign = [str(code) for code in raw.get("auto_map", {}).values() if "--" in str(code)]
    if foreign:
        raise EncoderError(
            f"{name!r} takes its code from another repository ({foreign[0]}), of which no commit is pinned. "
            f"Copy that code into the model's folder, look at it, and load the folder."
        )


def _processor(where: str, common: dict[str, Any]) -> Any:
    import transformers

    try:
        return transformers.AutoImageProcessor.from_pretrained(where, **common)
    except Exception:  # noqa: BLE001
        # No preprocessor_config.json, or one for a package that is not here: its fields are read, if it has any.
        return None


def _processor_fields(where: str, revision: str | None) -> dict[str, Any] | None:
    """Return what a model writes of its image processor, as it is on file."""
    for file in ("preprocessor_config.json", "processor_config.json"):
        try:
            found = json.loads(_file(where, file, revision).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        found = found.get("image_processor", found if file.startswith("pre") else None)
        if isinstance(found, dict):
            return found
    return None
