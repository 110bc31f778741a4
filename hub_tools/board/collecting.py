"""Published scores of many models, as they stand on the Hub: on cards, in ``.eval_results``, and in open pull requests.

A list of models brings everything with it, so a page of models is one request; only where the Hub names our file but
not what is in it is the file itself read, at the commit that was listed. What cannot be read is counted, and not
guessed at.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hub_tools.client.failures import RequestError
from hub_tools.client.listing import get_model, list_models
from hub_tools.score.eval_results import EVAL_RESULTS_PATH
from hub_tools.score.reading import Scored, read_entries, read_eval_results, read_model_index
from hub_tools.score.results import MIXTURE_REVISION, TASK_IDS, config_of, numbers
from synbench.errors import ArgumentError
from synbench.report import Report

if TYPE_CHECKING:
    from hub_tools.client.hub import Hub

Source = Literal["local", "eval-results", "model-index", "pull-request"]

EXPAND = ("sha", "model-index", "cardData", "evalResults", "siblings")

STANDARD = "standard"
"""What settings are called that all models share: those of ``.eval_results``."""

_NORMAL = 1.959963984540054
_PLAUSIBLE = (-1.0, 2.0)
_LARGEST = 1e6
_TASK = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
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


@dataclass(frozen=True)
class Published:
    """What one model has.

    Args:
        model: id on the Hub.
        head: commit that its main branch is at.
        entries: what can be read.
        unreadable: how many entries of the benchmark cannot.
        problem: why nothing of it can be read.
    """

    model: str
    head: str | None
    entries: tuple[Entry, ...] = ()
    unreadable: int = 0
    problem: str | None = None


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
    """Read the reports in folders.

    Returns:
        The numbers of models of the Hub, each with the images that it was measured from; and what was left out, told.

    Raises:
        ArgumentError: there is no such folder.
    """
    found: list[tuple[Entry, int]] = []
    unread = other = 0
    for folder in folders:
        if not folder.is_dir():
            raise ArgumentError(
                f"expected a folder with results, got {str(folder)!r}. Give the folder that holds them."
            )
        for path in sorted(folder.rglob("*.json")):
            try:
                report = Report.read(path)
            except (ArgumentError, RecursionError):
                unread += 1
                continue
            entries = of_report(report)
            found += [(entry, report.images) for entry in entries]
            other += not entries
    told = []
    if unread:
        told.append(f"{_files(unread)} in the folders of results could not be read as a result of this version.")
    if other:
        told.append(
            f"{_files(other)} with results were left out: of no model on the Hub, untrained, or without a score."
        )
    return found, told


def of_report(report: Report) -> list[Entry]:
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
            source="local",
        )
        for number in numbers(report)
    ]


def of_listing(item: dict[str, Any], benchmark: str) -> tuple[list[Entry], int, bool]:
    """Read what a list of models tells of one, without a request.

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
        entries = [_entry(model, s, number, verified) for s in scored]
        found += filter(None, entries)
        unreadable += bad + entries.count(None)
    scored, bad = read_model_index({"model-index": _model_index(item)})
    cards = [_entry(model, s, None, False) for s in scored if s.benchmark == benchmark]
    return [*found, *filter(None, cards)], unreadable + bad + cards.count(None), not told and _has_file(item)


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
    entries, unreadable, look = of_listing(item, benchmark)
    head = item.get("sha") if isinstance(item.get("sha"), str) else None
    if look and head is not None:
        try:
            content = hub.read(item["id"], EVAL_RESULTS_PATH, head)
        except RequestError as error:
            if error.failure.kind != "permanent":
                raise
            content, unreadable = None, unreadable + 1
        if content is not None:
            scored, bad = read_eval_results(content)
            read = [_entry(item["id"], s, None, False) for s in scored if s.benchmark == benchmark]
            entries, unreadable = [*entries, *filter(None, read)], unreadable + bad + read.count(None)
    return Published(item["id"], head, tuple(entries), unreadable)


def _entry(model: str, scored: Scored, pull_request: int | None, verified: bool) -> Entry | None:
    """Return an entry, or ``None`` for a number that can be none of ours."""
    low, high = _PLAUSIBLE if scored.task_id in TASK_IDS else (-_LARGEST, _LARGEST)
    if not _TASK.fullmatch(scored.task_id) or not low <= scored.value <= high:
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
    )


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


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"
