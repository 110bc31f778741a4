"""The folder where representations are kept: its place, its limit, what lies in it, and small facts about models."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ArgumentError
from .output import new_file_mode

LIMIT_VARIABLE = "SYNBENCH_CACHE_GB"
"""The environment variable that limits the cache, in units of 10⁹ bytes; 0 switches it off."""

_LIMIT_GB = 10.0
KEY_FILE = "key.json"
PIECE_FILE = re.compile(r"(?P<part>[a-z0-9-]+)\.(?P<start>\d{9})-(?P<stop>\d{9})\.safetensors")


def root() -> Path:
    """Return the folder of the cache, in the Hugging Face assets cache."""
    from huggingface_hub import constants

    return Path(constants.HF_ASSETS_CACHE) / "synbench"


def entries_root() -> Path:
    """Return the folder of the entries."""
    return root() / "representations"


def limit() -> float:
    """Return the size limit in bytes.

    Raises:
        ArgumentError: the environment variable is not a number of at least 0.
    """
    text = os.environ.get(LIMIT_VARIABLE, "")
    try:
        value = float(text) if text.strip() else _LIMIT_GB
    except ValueError:
        value = -1.0
    if not value >= 0:
        raise ArgumentError(f"{LIMIT_VARIABLE} must be a number of at least 0, such as 10 (10⁹ bytes), got {text!r}.")
    return value * 1e9


@dataclass(frozen=True)
class Listed:
    """An entry as ``synbench cache ls`` shows it."""

    folder: Path
    model: str
    protocol: str
    image_shape: tuple[int, ...]
    dtype: str
    device: str
    seed: int
    images: int
    bytes: int
    used: float

    @property
    def name(self) -> str:
        """The short name of the entry."""
        return self.folder.name[:12]

    def remove(self) -> bool:
        """Delete it, and tell whether that worked; a run that reads it goes on, and embeds again what it misses."""
        shutil.rmtree(self.folder, ignore_errors=True)
        return not self.folder.exists()


def list_entries() -> list[Listed]:
    """Return what is stored, the last used first; what cannot be read is listed too, so that it can be removed."""
    try:
        folders = [folder for folder in entries_root().iterdir() if folder.is_dir()]
    except OSError:
        return []
    return sorted(map(_listed, folders), key=lambda e: e.used, reverse=True)


def _listed(folder: Path) -> Listed:
    described: Any = None
    ranges, size, used = [], 0, 0.0
    # Another run may remove it at any moment, and a key may be of another version, or damaged.
    with contextlib.suppress(OSError):
        for file in folder.iterdir():
            found = PIECE_FILE.fullmatch(file.name)
            ranges += [found] if found else []
            size += file.stat().st_size if found else 0
    with contextlib.suppress(OSError, ValueError):
        file = folder / KEY_FILE
        used = file.stat().st_mtime
        described = json.loads(file.read_text())
    images = sum(int(r["stop"]) - int(r["start"]) for r in ranges)
    try:
        key = described["key"]
        shape = tuple(int(v) for v in key["image_shape"])
        told = (str(described["model"]), str(key["protocol"]), shape, str(key["dtype"]), str(key["device"]))
        return Listed(folder, *told, int(key["seed"]), images, size, used)
    except (KeyError, TypeError, ValueError):
        return Listed(folder, "(damaged)", "", (), "", "", 0, images, size, used)


def forget() -> None:
    """Delete what is remembered of encoders and batch sizes."""
    for kind in ("encoders", "batch-sizes"):
        shutil.rmtree(root() / kind, ignore_errors=True)


def remember(kind: str, key: dict[str, Any], value: dict[str, Any]) -> None:
    """Store a small fact about a model beside the representations; without a word where that cannot be."""
    file = root() / kind / f"{digest_of(key)}.json"
    if limit() > 0:
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(file, json.dumps({"key": key, "value": value}).encode())


def recall(kind: str, key: dict[str, Any]) -> dict[str, Any] | None:
    """Return a fact that was stored, or ``None``."""
    try:
        stored = json.loads((root() / kind / f"{digest_of(key)}.json").read_text())
        value = stored["value"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, dict) else None


def digest_of(value: dict[str, Any]) -> str:
    """Return a name for a description."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    half = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        # mkstemp makes a private file; others of a shared folder may read it like any new file.
        half.chmod(new_file_mode())
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
