"""Published scores of many models, as they stand on the Hub: on cards, in ``.eval_results``, and in open pull requests.

A list of models brings everything with it, so a page of models is one request; only where the Hub names our file but
not what is in it is the file itself read, at the commit that was listed. Whole records stand in folders of one's own,
and in datasets on the Hub, which are read at one commit. What cannot be read is counted, and not guessed at.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from hub_tools.annotation.plans import ID
from hub_tools.annotation.selecting import sizes
from hub_tools.client.asking import TIMEOUT
from hub_tools.client.failures import OddAnswerError, RequestError
from hub_tools.client.listing import get_model, list_models
from hub_tools.score.eval_results import EVAL_RESULTS_PATH
from hub_tools.score.reading import Scored, read_entries, read_eval_results, read_model_index
from hub_tools.score.results import MIXTURE_REVISION, TASK_IDS, config_of, numbers
from synbench.errors import ArgumentError
from synbench.report import Report

if TYPE_CHECKING:
    from hub_tools.client.hub import Hub

Source = Literal["local", "dataset", "eval-results", "model-index", "pull-request"]

EXPAND = ("sha", "model-index", "cardData", "evalResults", "siblings", "safetensors", "config")

STANDARD = "standard"
"""What settings are called that all models share: those of ``.eval_results``."""

_NORMAL = 1.959963984540054
_PLAUSIBLE = (-1.0, 2.0)
_LARGEST = 1e6
_MOST_PARAMETERS = 10**15
_WORD = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
_COMMIT = re.compile("[0-9a-f]{40}")
# Of transformers: any model of timm.
_WRAPPERS = ("timm_wrapper", "timm_backbone")
# What stands before a name tells where weights were taken from; what follows it, the size.
_ARCHITECTURE = re.compile(r"(?:(?:tf|dm|legacy)_)?(?P<family>[a-z]{1,48}?(?:v\d{1,2})?)(?![a-z])")
_SETTINGS = re.compile(
    r"(?P<protocol>population|paper)(?:-\d+x\d+x\d+)?(?:-[A-Za-z0-9_+-]+?)??"
    r"(?P<unusual>(?:-as-published)?(?:-b?float16)?(?:-mixture-[0-9a-f]{8})?)"
)


@dataclass(frozen=True)
class Entry:
    """One number of one model, and where it stands.

    Args:
        model: id on the Hub.
        task_id: which number.
        settings: what keeps results apart that must not be mixed; ``"standard"`` for those that may.
        revision: of the benchmark dataset.
        value: the number.
        stderr: its standard error; ``None`` where it is not told.
        interval: its 95 % interval; ``None`` likewise.
        commit: that was scored, where it is told.
        config: of the dataset, where it is told.
        source: where it stands.
        pull_request: its number, if it stands in one that is open.
        verified: whether the Hub vouches for it.
        record: address of what it is read from, where that is on the Hub.
    """

    model: str
    task_id: str
    settings: str
    revision: str | None
    value: float
    stderr: float | None
    interval: tuple[float, float] | None
    commit: str | None
    config: str | None
    source: Source
    pull_request: int | None = None
    verified: bool = False
    record: str | None = None


@dataclass(frozen=True)
class Published:
    """What one model has.

    Args:
        model: id on the Hub.
        head: commit that its main branch is at.
        entries: what can be read.
        unreadable: how many entries of the benchmark cannot.
        problem: why nothing of it can be read.
        parameters: of its safetensors, where the Hub tells them.
        family: what kind of model it is; see ``family_of``.
    """

    model: str
    head: str | None
    entries: tuple[Entry, ...] = ()
    unreadable: int = 0
    problem: str | None = None
    parameters: int | None = None
    family: str | None = None


def listed(hub: "Hub", benchmark: str, **query: Any) -> Iterator[Published]:
    """Read the scores of the models that a query lists, one request a page.

    Args:
        hub: the client.
        benchmark: id of the benchmark dataset.
        query: such as ``author=``, ``filter=``, ``search=``.

    Raises:
        HubError: the Hub cannot be reached, or refuses.
    """
    for item in list_models(hub, EXPAND, **query):
        yield _published(hub, item, benchmark)


def named(hub: "Hub", benchmark: str, models: Iterable[str]) -> Iterator[Published]:
    """Read the scores of models by their ids, one request a model; see ``listed``. One that is not there is told."""
    for model in models:
        try:
            item = get_model(hub, model, EXPAND)
        except RequestError as error:
            if error.failure.kind != "permanent":
                raise
            yield Published(model, None, problem=error.failure.reason)
        else:
            yield _published(hub, item, benchmark)


def local(folders: Iterable[Path]) -> tuple[list[tuple[Entry, int]], list[str]]:
    """Read the reports in folders: a file each (``.json``), or a line each (``.jsonl``).

    Returns:
        The numbers of models of the Hub, each with the images that it was measured from; and what was left out, told.

    Raises:
        ArgumentError: there is no such folder.
    """
    files: list[tuple[Path, str | None]] = []
    for folder in folders:
        if not folder.is_dir():
            raise ArgumentError(
                f"expected a folder with results, got {str(folder)!r}. Give the folder that holds them."
            )
        files += [(path, None) for path in _records(folder)]
    return _collected(files, "local", "the folders of results")


def from_dataset(hub: "Hub", repo_id: str, folder: Path | None = None) -> tuple[list[tuple[Entry, int]], list[str]]:
    """Read the reports in a dataset on the Hub, at the commit that its main branch is at; see ``local``.

    Args:
        hub: the client.
        repo_id: of the dataset.
        folder: where its files are kept; by default with all others that come from the Hub. A file that is there is
            not fetched again.

    Returns:
        As ``local`` does; each number with the address of its file at that commit, and of its line where it has one.

    Raises:
        ArgumentError: this is no id of a dataset.
        HubError: there is no such dataset, the Hub cannot be reached, or it refuses.
    """
    if not ID.fullmatch(repo_id):
        raise ArgumentError(f"expected the id of a dataset on the Hub, such as 'org/results', got {repo_id!r}.")
    sha = hub.asker.read(f"look at the dataset {repo_id}", lambda: _head_of_dataset(hub, repo_id))
    kept = hub.asker.read(f"read the dataset {repo_id}", lambda: _fetched(hub, repo_id, sha, folder))
    base = f"{hub.api.endpoint}/datasets/{repo_id}/blob/{sha}/"
    files = [(path, base + quote(path.relative_to(kept).as_posix())) for path in _records(kept)]
    found, told = _collected(files, "dataset", f"the dataset {repo_id}")
    if not files:
        told.append(f"The dataset {repo_id} holds no results: no .json, and no .jsonl.")
    return found, told


def of_report(report: Report, source: Source = "local", record: str | None = None) -> list[Entry]:
    """Return the numbers of a report; none if it is of no trained model of the Hub, or without a score."""
    model = report.settings.model
    if model is None or model.source != "hub" or not model.trained or report.synbench_score is None:
        return []
    config = config_of(report)
    return [
        Entry(
            model=model.id,
            task_id=number.task_id,
            settings=settings_of(config, number.task_id),
            revision=MIXTURE_REVISION,
            value=number.value,
            stderr=number.stderr,
            interval=number.interval,
            commit=model.commit,
            config=config,
            source=source,
            record=record,
        )
        for number in numbers(report)
    ]


def of_listing(item: dict[str, Any], benchmark: str, endpoint: str | None = None) -> tuple[list[Entry], int, bool]:
    """Read what a list of models tells of one, without a request.

    Args:
        item: what it tells.
        benchmark: id of the benchmark dataset.
        endpoint: address of the Hub, for those of the entries; ``None`` for none.

    Returns:
        The entries; how many cannot be read; and whether the Hub has our file, but does not tell what is in it.
    """
    model = item["id"]
    found: list[Entry] = []
    unreadable, told = 0, False
    results = item.get("evalResults")
    for one in results if isinstance(results, list) else []:
        data = one.get("data") if isinstance(one, dict) else None
        if not isinstance(data, dict) or not _is_of(data, benchmark):
            continue
        number = one.get("pullRequest")
        number = number if isinstance(number, int) and not isinstance(number, bool) else None
        told |= one.get("filename") == EVAL_RESULTS_PATH and number is None
        scored, bad = read_entries([data])
        verified = one.get("verified") is True
        record = _address(endpoint, item, one.get("filename"), number)
        entries = [_entry(model, s, number, verified, record) for s in scored]
        found += filter(None, entries)
        unreadable += bad + entries.count(None)
    scored, bad = read_model_index({"model-index": _model_index(item)})
    record = _address(endpoint, item, "README.md")
    cards = [_entry(model, s, None, False, record) for s in scored if s.benchmark == benchmark]
    return [*found, *filter(None, cards)], unreadable + bad + cards.count(None), not told and _has_file(item)


def family_of(item: dict[str, Any]) -> str | None:
    """Return what kind of model a listed one is: its ``model_type``; of timm, what its architecture's name begins with.

    >>> family_of({"id": "org/a", "config": {"model_type": "dinov2"}})
    'dinov2'
    >>> family_of({"id": "timm/b", "config": {"architecture": "resnetv2_50x1_bit"}}), family_of({"id": "timm/c"})
    ('resnetv2', 'timm')
    """
    config = _mapping(item.get("config"))
    kind, architecture = config.get("model_type"), config.get("architecture")
    if isinstance(kind, str) and _WORD.fullmatch(kind) and kind not in _WRAPPERS:
        return kind
    if isinstance(architecture, str) and (match := _ARCHITECTURE.match(architecture)):
        return match["family"]
    card = _mapping(item.get("cardData"))
    told = kind in _WRAPPERS or card.get("library_name") == "timm" or str(item.get("id")).startswith("timm/")
    return "timm" if told else None


def settings_of(config: str | None, task_id: str) -> str:
    """Return what a dataset config says that keeps results apart; size and pooling are each model's own.

    >>> settings_of("population-3x224x224-pooler_output-vector", "population_score")
    'standard'
    >>> settings_of("population-3x224x224-pooler_output-vector-float16-mixture-0123abcd", "population_kappa")
    'float16-mixture-0123abcd'
    >>> settings_of("made by hand", "population_score"), settings_of(None, "population_score")
    ('made by hand', 'not told')
    """
    if config is None:
        return "not told"
    match = _SETTINGS.fullmatch(config)
    if match is None or not task_id.startswith(match["protocol"] + "_"):
        return "".join(c if c.isprintable() else "?" for c in config[:80])
    return match["unusual"].lstrip("-") or STANDARD


def _published(hub: "Hub", item: dict[str, Any], benchmark: str) -> Published:
    entries, unreadable, look = of_listing(item, benchmark, hub.api.endpoint)
    head = _head(item)
    if look and head is not None:
        try:
            content = hub.read(item["id"], EVAL_RESULTS_PATH, head)
        except RequestError as error:
            if error.failure.kind != "permanent":
                raise
            content, unreadable = None, unreadable + 1
        if content is not None:
            scored, bad = read_eval_results(content)
            record = _address(hub.api.endpoint, item, EVAL_RESULTS_PATH)
            read = [_entry(item["id"], s, None, False, record) for s in scored if s.benchmark == benchmark]
            entries, unreadable = [*entries, *filter(None, read)], unreadable + bad + read.count(None)
    parameters = sizes(item)[0] or None
    if parameters is not None and parameters > _MOST_PARAMETERS:
        parameters = None
    return Published(item["id"], head, tuple(entries), unreadable, parameters=parameters, family=family_of(item))


def _records(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.json*") if path.suffix in (".json", ".jsonl"))


def _collected(
    files: Iterable[tuple[Path, str | None]], source: Source, where: str
) -> tuple[list[tuple[Entry, int]], list[str]]:
    """Return the numbers in files of which some have an address; and what was left out, told."""
    found: list[tuple[Entry, int]] = []
    unread = {"file": 0, "line": 0}
    other = 0
    for path, address in files:
        for line, report in _reports(path):
            if report is None:
                unread["file" if line is None else "line"] += 1
                continue
            record = address if address is None or line is None else f"{address}#L{line}"
            entries = of_report(report, source, record)
            found += [(entry, report.images) for entry in entries]
            other += not entries
    told = [
        f"{_count(count, one)} in {where} could not be read as a result of this version."
        for one, count in unread.items()
        if count
    ]
    if other:
        told.append(
            f"{_count(other, 'result')} in {where} {'was' if other == 1 else 'were'} left out: of no model on the Hub, "
            f"untrained, or without a score."
        )
    return found, told


def _reports(path: Path) -> Iterator[tuple[int | None, Report | None]]:
    """Yield the reports of a file, each with its line if it has one; ``None`` for what is none."""
    if path.suffix == ".json":
        try:
            yield None, Report.read(path)
        except (ArgumentError, RecursionError):
            yield None, None
        return
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, _report(line)
    except OSError:
        yield None, None


def _report(line: bytes) -> Report | None:
    try:
        return Report.from_dict(json.loads(line))
    except (ArgumentError, ValueError, RecursionError):
        return None


def _head_of_dataset(hub: "Hub", repo_id: str) -> str:
    sha = hub.api.dataset_info(repo_id, timeout=TIMEOUT, token=hub.token).sha
    if not (isinstance(sha, str) and _COMMIT.fullmatch(sha)):
        raise OddAnswerError(f"the commit {sha!r} is no full hash")
    return sha


def _fetched(hub: "Hub", repo_id: str, sha: str, folder: Path | None) -> Path:
    """Return the folder with the results of a dataset at a commit."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError
    from huggingface_hub.utils import tqdm

    class Bar(tqdm):
        """Shown on a terminal only."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": kwargs.get("disable") or None})

    try:
        kept = snapshot_download(
            repo_id,
            repo_type="dataset",
            revision=sha,
            cache_dir=folder,
            allow_patterns=["*.json", "*.jsonl"],
            token=hub.token,
            endpoint=hub.api.endpoint,
            tqdm_class=Bar,
        )
    except LocalEntryNotFoundError as error:
        # It tells of the cache; what came from the Hub, or did not, is its cause.
        raise error.__cause__ if isinstance(error.__cause__, Exception) else error from None
    return Path(kept)


def _entry(model: str, scored: Scored, pull_request: int | None, verified: bool, record: str | None) -> Entry | None:
    """Return an entry, or ``None`` for a number that can be none of ours."""
    low, high = _PLAUSIBLE if scored.task_id in TASK_IDS else (-_LARGEST, _LARGEST)
    if not _WORD.fullmatch(scored.task_id) or not low <= scored.value <= high:
        return None
    stderr = scored.stderr if scored.stderr is not None and scored.stderr <= _LARGEST else None
    half = None if stderr is None else _NORMAL * stderr
    place: Source = "model-index" if scored.place == "model-index" else "eval-results"
    return Entry(
        model=model,
        task_id=scored.task_id,
        settings=STANDARD if place == "eval-results" else settings_of(scored.config, scored.task_id),
        revision=scored.revision,
        value=scored.value,
        stderr=stderr,
        interval=None if half is None else (scored.value - half, scored.value + half),
        commit=scored.commit,
        config=scored.config,
        source=place if pull_request is None else "pull-request",
        pull_request=pull_request,
        verified=verified,
        record=record,
    )


def _address(endpoint: str | None, item: dict[str, Any], path: Any, pull_request: int | None = None) -> str | None:
    """Return where people find a file of a listed model, at the commit that was listed, or a pull request."""
    head = _head(item)
    if endpoint is None:
        return None
    if pull_request is not None:
        return f"{endpoint}/{quote(item['id'])}/discussions/{pull_request}"
    if head is None or not isinstance(path, str):
        return None
    return f"{endpoint}/{quote(item['id'])}/blob/{quote(head)}/{quote(path)}"


def _head(item: dict[str, Any]) -> str | None:
    head = item.get("sha")
    return head if isinstance(head, str) else None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_of(data: dict[str, Any], benchmark: str) -> bool:
    dataset = data.get("dataset")
    return isinstance(dataset, dict) and dataset.get("id") == benchmark


def _model_index(item: dict[str, Any]) -> Any:
    card = item.get("cardData")
    return item.get("model-index") or (card.get("model-index") if isinstance(card, dict) else None)


def _has_file(item: dict[str, Any]) -> bool:
    siblings = item.get("siblings")
    names = (one.get("rfilename") for one in siblings if isinstance(one, dict)) if isinstance(siblings, list) else ()
    return EVAL_RESULTS_PATH in names


def _count(count: int, one: str) -> str:
    return f"1 {one}" if count == 1 else f"{count:,} {one}s"
