"""Which folder a name means, and what it holds in place of a model that can be loaded: told before anything is read."""

import json
from pathlib import Path
from typing import Any

from .errors import EncoderError

DEMO = "synbench:demo"
"""The name of the encoder that comes with the package."""

_DEMO_FOLDER = Path(__file__).parent / "demo"
_INDEX = "model.safetensors.index.json"


def folder_of(name: str) -> Path | None:
    """Return the folder of a local model or of the demo encoder, or ``None`` of a name on the Hub.

    >>> folder_of("synbench:demo").name, folder_of("facebook/dinov2-base")
    ('demo', None)
    """
    folder = _DEMO_FOLDER if name == DEMO else Path(name).expanduser()
    return folder.resolve() if folder.is_dir() else None


def refuse_path(name: str) -> None:
    """Refuse a name that can only be a path, and is not that of a folder.

    Raises:
        EncoderError: it is a file, or there is nothing of that name.

    >>> refuse_path("facebook/dinov2-base")
    """
    path = Path(name).expanduser()
    if path.is_file():
        raise EncoderError(
            f"cannot load {name!r}: it is a file, expected a local folder with config.json, model.safetensors and "
            f"preprocessor_config.json. Pass the folder that holds it: {str(path.parent)!r}."
        )
    if name[0] in "./~" or "\\" in name or name.count("/") > 1 or name.endswith("/"):
        raise EncoderError(
            f"cannot load {name!r}: expected the id of a vision model on the Hub, or a local folder, and "
            f"there is no folder of that name. Check the path."
        )


def refuse_folder(name: str, folder: Path, *, weights: bool) -> None:
    """Refuse a folder that holds something known that is not a model: an adapter, GGUF, a part of the weights.

    Args:
        name: as it was asked for.
        folder: what to look into.
        weights: whether its weights are needed.

    Raises:
        EncoderError: with what was found, and what can be done.
    """
    found = _without_configuration(folder) if not (folder / "config.json").is_file() else None
    if found is None and weights:
        found = _adapter(folder) or _weights(folder)
    if found is not None:
        raise EncoderError(f"cannot load {name!r}: {found}")


def _without_configuration(folder: Path) -> str | None:
    modules = _read(folder / "modules.json")
    if isinstance(modules, list):
        parts = [str(one["path"]) for one in modules if isinstance(one, dict) and one.get("path")]
        inside = [str(folder / part) for part in parts if (folder / part / "config.json").is_file()]
        where = f" Load its subfolder {inside[0]!r}." if inside else " Load the model that it was made from."
        return f"it was saved by sentence-transformers (modules.json), expected config.json.{where}"
    if (folder / "model_index.json").is_file():
        return (
            "it holds a pipeline of diffusers (model_index.json), expected config.json. Load the subfolder of its "
            "image encoder, if it has one."
        )
    return _adapter(folder) or _gguf(folder)


def _adapter(folder: Path) -> str | None:
    if not (folder / "adapter_config.json").is_file():
        return None
    written = _read(folder / "adapter_config.json")
    base = written.get("base_model_name_or_path") if isinstance(written, dict) else None
    of = f" of {base!r}" if base else ""
    merge = "merge it into its model with peft (merge_and_unload), save that, and load it"
    if (folder / "model.safetensors").is_file() or (folder / _INDEX).is_file():
        return (
            f"adapter_config.json tells of an adapter{of} beside whole weights, and not whether they hold it already. "
            f"If they do, take adapter_config.json out of the folder; else {merge}."
        )
    return f"it holds an adapter{of} (adapter_config.json) and not the weights of a model. To score it, {merge}."


def _weights(folder: Path) -> str | None:
    index = _read(folder / _INDEX)
    if isinstance(index, dict):
        files = sorted({str(file) for file in index.get("weight_map", {}).values()})
        absent = [file for file in files if not (folder / file).is_file()]
        if absent:
            return (
                f"{len(absent)} of the {len(files)} files with its weights are not there: {', '.join(absent[:3])}"
                f"{', …' * (len(absent) > 3)}. Fetch the weights again."
            )
        return None
    if (folder / "model.safetensors").is_file():
        return None
    others = sorted(file.name for file in folder.glob("*.safetensors"))
    if others:
        return f"its weights are in {', '.join(others[:3])}, expected model.safetensors. Rename a file that has all."
    return _gguf(folder)


def _gguf(folder: Path) -> str | None:
    files = sorted(file.name for file in folder.glob("*.gguf"))
    if not files:
        return None
    return f"its weights are in GGUF ({files[0]}), expected safetensors. Fetch the model that it was converted from."


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
