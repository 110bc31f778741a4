"""What decides the vectors of a checkpoint, as one string: a commit on the Hub, or the digest of a folder.

It can be told without loading the model, and is told in the same way when the model is loaded.
"""

import hashlib
import re
from functools import lru_cache
from pathlib import Path

from .folders import folder_of
from .remedies import quiet_transformers

COMMIT = re.compile(r"[0-9a-f]{40}")


def identify(
    name: str, *, revision: str | None = None, trust_remote_code: bool = False, untrained: bool = False, seed: int = 0
) -> str | None:
    """Return what ``Encoder.identity`` will be.

    Args:
        name: a Hub id, a local folder or ``synbench:demo``.
        revision: branch, tag or commit on the Hub.
        trust_remote_code: then nothing is told, as loading may have to refuse it.
        untrained: whether the weights are drawn anew, from ``seed``.
        seed: see there.

    Returns:
        The identity, or ``None`` if it cannot be told, or if loading the model has to be refused first.
    """
    folder = folder_of(name)
    if not name.strip() or trust_remote_code or (folder is not None and revision is not None):
        return None
    try:
        if folder is None:
            commit = _commit(name, revision)
            return commit and of_commit(name, commit, seed if untrained else None)
        if not (folder / "config.json").is_file():
            return None
        return of_folder(folder, None if untrained else weights_sha256(folder), seed if untrained else None)
    except Exception:  # noqa: BLE001 - loading says what is wrong, and what to do
        return None


def of_commit(name: str, commit: str, drawn: int | None) -> str:
    """Return the identity of a model on the Hub; ``drawn`` is the seed of an untrained twin's weights."""
    return f"hub:{name}@{commit}{_twin(drawn)}"


def of_folder(folder: Path, weights: str | None, drawn: int | None) -> str:
    """Return the identity of a local model, with the hash of its weights, which are not read again."""
    return f"local:{folder_sha256(folder, weights)}{_twin(drawn)}"


def _twin(drawn: int | None) -> str:
    return "" if drawn is None else f":untrained:{drawn}"


def _commit(name: str, revision: str | None) -> str | None:
    from transformers.utils import cached_file

    with quiet_transformers():
        commit = Path(cached_file(name, "config.json", revision=revision)).parent.name
    return commit if COMMIT.fullmatch(commit) else None


def weights_sha256(folder: Path) -> str:
    """Return the hash of the safetensors files of a folder, in the order of their names."""
    files = sorted(file for file in folder.glob("*.safetensors") if file.is_file())
    return _sha256(tuple((file, _state(file)) for file in files))


def _state(file: Path) -> tuple[int, ...]:
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@lru_cache(maxsize=64)
def _sha256(files: tuple[tuple[Path, tuple[int, ...]], ...]) -> str:
    # Once for each state of the files: a model is asked for its identity before it is loaded.
    digest = hashlib.sha256()
    for file, _ in files:
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()


def folder_sha256(folder: Path, weights: str | None) -> str:
    """Return the hash of what decides the vectors of a model: its configuration, its code and its weights.

    Args:
        folder: where ``config.json`` is.
        weights: the hash of the weights, which are not read again; ``None`` if they do not matter, as for an
            untrained twin.
    """
    digest = hashlib.sha256((weights or "").encode())
    for file in sorted(folder.iterdir()):
        if not file.is_file():
            continue
        if file.suffix in (".json", ".py"):
            # The configuration, the processor's, an index of shards, an adapter's: whatever loading may read.
            content = file.read_bytes()
            digest.update(f"\0{file.name}\0{len(content)}\0".encode() + content)
        elif file.suffix == ".safetensors" and weights is not None:
            # The hash of the weights is of all files in a row: names and lengths tell where each begins.
            digest.update(f"\0{file.name}\0{file.stat().st_size}\0".encode())
    return digest.hexdigest()
