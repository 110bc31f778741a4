"""Scores read back from the Hub, from both places: what can be read, and how much of it cannot.

Whatever stands there may be somebody else's, or broken: reading never fails, and nothing is guessed at.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from .results import METRIC

# The same in C where libyaml is there.
_SAFE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STANDARD_ERROR = re.compile(r"standard error (\d+(?:\.\d+)?(?:e-?\d+)?)(?![\d.])")
_COMMIT = re.compile(r"model commit ([0-9a-f]{40})\b")


@dataclass(frozen=True)
class Scored:
    """One number as it was read back from the Hub.

    Args:
        benchmark: id of the benchmark dataset.
        task_id: as in ``Number``.
        value: finite.
        stderr: ``None`` where it is not told.
        commit: of the model that was scored, where it is told.
        config: of the dataset, in a card; ``None`` in ``.eval_results``.
        revision: of the dataset.
        place: ``"model-index"`` or ``"eval-results"``.
        source_url: where the number is said to come from.
    """

    benchmark: str
    task_id: str
    value: float
    stderr: float | None
    commit: str | None
    config: str | None
    revision: str | None
    place: str
    source_url: str | None


def read_eval_results(content: bytes) -> tuple[list[Scored], int]:
    """Read the entries of a file of ``.eval_results``.

    Returns:
        Those that can be read, whatever benchmark they are of; and how many cannot.
    """
    try:
        parsed = yaml.load(content.decode("utf-8"), Loader=_SAFE)
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError):
        return [], 1
    return read_entries(parsed if isinstance(parsed, list) else [None])


def read_entries(entries: list[Any]) -> tuple[list[Scored], int]:
    """Read entries of ``.eval_results`` that are parsed already; see ``read_eval_results``."""
    found = [_read_entry(entry) for entry in entries]
    return [one for one in found if one is not None], found.count(None)


def read_model_index(metadata: Any) -> tuple[list[Scored], int]:
    """Read SynBench's numbers from the metadata of a card.

    Returns:
        Those that can be read; and how many metrics of SynBench cannot.
    """
    found = [_read_metric(result, metric) for result, metric in _synbench_metrics(metadata)]
    return [one for one in found if one is not None], found.count(None)


def _synbench_metrics(metadata: Any) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    index = metadata.get("model-index") if isinstance(metadata, dict) else None
    for model in index if isinstance(index, list) else []:
        results = model.get("results") if isinstance(model, dict) else None
        for result in results if isinstance(results, list) else []:
            metrics = result.get("metrics") if isinstance(result, dict) else None
            for metric in metrics if isinstance(metrics, list) else []:
                if isinstance(metric, dict) and str(metric.get("type", "")).startswith(METRIC):
                    yield result, metric


def _read_metric(result: dict[str, Any], metric: dict[str, Any]) -> Scored | None:
    dataset, source = _mapping(result.get("dataset")), _mapping(result.get("source"))
    value, benchmark = _finite(metric.get("value")), _text(dataset.get("type"))
    if value is None or benchmark is None:
        return None
    commit = _text(_mapping(dataset.get("args")).get("model_commit"))
    return Scored(
        benchmark=benchmark,
        task_id=str(metric["type"]).removeprefix(METRIC),
        value=value,
        stderr=_positive(_mapping(metric.get("args")).get("standard_error")),
        commit=commit if commit is not None and re.fullmatch("[0-9a-f]{40}", commit) else None,
        config=_text(dataset.get("config")),
        revision=_text(dataset.get("revision")),
        place="model-index",
        source_url=_text(source.get("url")),
    )


def _read_entry(entry: Any) -> Scored | None:
    dataset, source = _mapping(_mapping(entry).get("dataset")), _mapping(_mapping(entry).get("source"))
    benchmark, task_id = _text(dataset.get("id")), _text(dataset.get("task_id"))
    value = _finite(_mapping(entry).get("value"))
    if benchmark is None or task_id is None or value is None:
        return None
    notes = _text(_mapping(entry).get("notes")) or ""
    stderr, commit = _STANDARD_ERROR.search(notes), _COMMIT.search(notes)
    return Scored(
        benchmark=benchmark,
        task_id=task_id,
        value=value,
        stderr=_positive(float(stderr[1])) if stderr else None,
        commit=commit[1] if commit else None,
        config=None,
        revision=_text(dataset.get("revision")),
        place="eval-results",
        source_url=_text(source.get("url")),
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _positive(value: Any) -> float | None:
    number = _finite(value)
    return number if number is not None and number >= 0 else None
