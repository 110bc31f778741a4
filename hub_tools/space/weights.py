"""Room on the disk: the weights of models that were not used for longest go first."""

import contextlib
import time
from dataclasses import replace
from pathlib import Path

from .admission import Asked
from .line import NotHereError

MOST = 20e9
"""Bytes of weights that are kept."""

_IN_USE = 3600.0
"""Seconds since it was last read in which a model may still be at work."""


def forget_halves(model: str, folder: Path | None = None) -> None:
    """Remove what was fetched of a model's files by halves, by a run that was stopped: nothing goes on from there.

    Args:
        model: id on the Hub, which nobody fetches now.
        folder: see ``make_room``.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    cache = Path(folder or constants.HF_HUB_CACHE)
    for half in (cache / repo_folder_name(repo_id=model, repo_type="model") / "blobs").glob("*.incomplete"):
        with contextlib.suppress(OSError):
            half.unlink()


def fetch(asked: Asked) -> None:
    """Fetch what a model is made of, at the commit that is asked for.

    Raises:
        NotHereError: the Hub does not give it.
    """
    from huggingface_hub import snapshot_download

    if asked.commit is None:
        return
    try:
        snapshot_download(asked.model, revision=asked.commit, allow_patterns=["*.json", "*.safetensors"], token=False)
    except Exception as error:
        forget_halves(asked.model)
        raise NotHereError(f"{asked.model!r} could not be fetched from the Hub. Try again in a minute.") from error


def make_room(most: float = MOST, folder: Path | None = None) -> list[str]:
    """Remove models from the Hub's cache until what is left fits; those that were just read stay.

    Args:
        most: bytes that may be kept.
        folder: of the cache; the Hub's client's by default.

    Returns:
        The ids of the models that are gone.
    """
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found = scan_cache_dir(folder)
    except CacheNotFound:
        return []
    left, gone = float(found.size_on_disk), list[str]()
    for repository in sorted(found.repos, key=lambda one: one.last_accessed):
        if left <= most or time.time() - repository.last_accessed < _IN_USE:
            break
        with contextlib.suppress(OSError):
            # Of this one alone: a copy of a repository has the same commits.
            alone = replace(found, repos=frozenset({repository}))
            alone.delete_revisions(*(revision.commit_hash for revision in repository.revisions)).execute()
            left -= repository.size_on_disk
            gone.append(str(repository.repo_id))
    return gone
