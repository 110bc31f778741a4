"""Hashes of a model's folder: of its weights, and of all that decides its vectors."""

import hashlib
from functools import lru_cache
from pathlib import Path


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
