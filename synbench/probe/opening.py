"""Opening a dataset: of the Hub, a folder, parquet files, what ``save_to_disk`` wrote, or an object."""

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synbench.errors import ArgumentError, HubError
from synbench.identity import COMMIT

_SAVED = ("dataset_dict.json", "state.json")


@dataclass(frozen=True)
class Opened:
    """A dataset with what names it.

    Attributes:
        id: as it was asked for; the class name of an object.
        config: which of its configurations.
        revision: as it was asked for.
        commit: of the files on the Hub, where that is known.
        splits: name → ``datasets.Dataset``.
    """

    id: str
    config: str | None
    revision: str | None
    commit: str | None
    splits: dict[str, Any]


def open_dataset(
    dataset: Any, *, config: str | None = None, revision: str | None = None, progress: bool | None = None
) -> Opened:
    """Open a dataset with all of its splits; code from its repository is never run.

    Args:
        dataset: a name on the Hub; a folder of class folders, of parquet files, or that ``save_to_disk`` wrote; a
            parquet file; a ``Dataset``, or a ``DatasetDict`` or other mapping of them. What exists on disk goes first.
        config: which of its configurations.
        revision: branch, tag or commit on the Hub.
        progress: show the bars of ``datasets``; by default if stderr is a terminal.

    Raises:
        ArgumentError: there is no such dataset, or it cannot be read.
        HubError: the Hub cannot be reached.
    """
    import datasets

    if isinstance(dataset, datasets.Dataset):
        return Opened("Dataset", config, None, None, {str(dataset.split or "train"): dataset})
    if isinstance(dataset, Mapping) and dataset and all(isinstance(d, datasets.Dataset) for d in dataset.values()):
        return Opened(type(dataset).__name__, config, None, None, {str(name): d for name, d in dataset.items()})
    if not isinstance(dataset, (str, Path)) or not str(dataset).strip():
        raise ArgumentError(
            f"dataset must be the name of a dataset on the Hub, a local folder or parquet file, a datasets.Dataset or "
            f"a DatasetDict, got {dataset if isinstance(dataset, str) else type(dataset).__name__!r}. "
            f"Of a stream, pass the name in its place."
        )
    name, place = str(dataset), Path(dataset).expanduser()
    local = place.exists()
    if local and revision is not None:
        raise ArgumentError(f"dataset_revision= is for datasets on the Hub; {name!r} is on disk. Leave it out.")
    with _bars(shown=sys.stderr.isatty() if progress is None else progress), _told(name, local=local):
        if local and any((place / file).is_file() for file in _SAVED):
            found = _saved(name, place)
        elif local and place.is_file():
            if place.suffix != ".parquet":
                raise ArgumentError(f"expected a parquet file or a folder, got the file {name!r}. Pass its folder.")
            found = datasets.load_dataset("parquet", data_files={"train": str(place)})
        elif local:
            found = datasets.load_dataset(str(place.resolve()), name=config)
        else:
            wanted = _wanted(name, revision)
            found = datasets.load_dataset(name, name=config, revision=revision)
    splits = {str(found.split or "train"): found} if isinstance(found, datasets.Dataset) else dict(found)
    commit = None if local else _commit(next(iter(splits.values())))
    if not local and wanted and commit and commit != wanted:
        raise HubError(
            f"expected the dataset {name!r} at {revision!r}, which is the commit {wanted[:12]}, but only "
            f"{commit[:12]} is at hand: the Hub cannot be reached, or does not have it. Try again, or leave out "
            f"dataset_revision=."
        )
    return Opened(name, config, revision, commit, {str(key): value for key, value in splits.items()})


def _saved(name: str, place: Path) -> Any:
    """Return what ``save_to_disk`` wrote; a split without rows has no file there, which ``datasets`` cannot read."""
    import datasets

    for state in sorted(place.rglob("state.json")):
        if json.loads(state.read_text()).get("_data_files") == []:
            split = "the dataset" if state.parent == place else f"the split {state.parent.name!r} of the dataset"
            raise ArgumentError(
                f"expected pictures in every split, but {split} {name!r} is empty. Save it again without that split, "
                f"or with pictures in it."
            )
    return datasets.load_from_disk(str(place))


def _wanted(name: str, revision: str | None) -> str | None:
    """Return the commit that a revision is: where it is missing, ``datasets`` may take what it has of another one."""
    if revision is None or COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi

    commit: str | None = HfApi().dataset_info(name, revision=revision).sha
    return commit


def _commit(dataset: Any) -> str | None:
    """Return the commit that the files came from: the name of the folder where ``datasets`` keeps what it made."""
    folders = {Path(file["filename"]).parent.name for file in dataset.cache_files}
    return next((name for name in folders if COMMIT.fullmatch(name)), None)


@contextlib.contextmanager
def _bars(*, shown: bool) -> Iterator[None]:
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    before = are_progress_bars_disabled()
    if not shown and not before:
        disable_progress_bars()
    try:
        yield
    finally:
        if not shown and not before:
            enable_progress_bars()


@contextlib.contextmanager
def _told(name: str, *, local: bool) -> Iterator[None]:
    """Turn what ``datasets`` raises into a sentence with a next step."""
    from datasets import exceptions
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        yield
    except ArgumentError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        said = f"{type(error).__name__}: {lines[0] if lines else ''}"
        kind = type(error).__module__.partition(".")[0]
        if not local and (isinstance(error, (ConnectionError, TimeoutError)) or kind.startswith(("httpx", "requests"))):
            raise HubError(
                f"cannot reach the Hub for the dataset {name!r} ({said}). Try again, pass a local folder, or a commit "
                f"as dataset_revision= if it has been loaded before."
            ) from error
        if isinstance(error, (exceptions.DatasetNotFoundError, RepositoryNotFoundError, RevisionNotFoundError)):
            raise ArgumentError(
                f"cannot find the dataset {name!r}, neither on the Hub nor as a local folder ({said}). Check the name "
                f"and dataset_revision=; if it is private or gated, log in by `hf auth login`."
            ) from error
        if "scripts are no longer supported" in str(error):
            raise ArgumentError(
                f"the dataset {name!r} is made by a script, which is not run. Try "
                f"dataset_revision='refs/convert/parquet', or another copy of it."
            ) from error
        remedy = "Choose one by config=." if "onfig name is missing" in said or "BuilderConfig" in said else ""
        more = " ".join(line.strip() for line in lines[1:3]) if remedy else ""
        raise ArgumentError(
            f"cannot read the dataset {name!r} ({said}{' ' * bool(more)}{more}). "
            f"{remedy or 'Expected pictures with labels: folders of classes, or parquet files.'}"
        ) from error
