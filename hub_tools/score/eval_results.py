"""The file ``.eval_results/synbench.yaml``: the second place where the Hub reads scores, and one of our own.

One entry a number, each with a task id of its own; higher is always better.
"""

import math
from collections.abc import Iterator
from typing import Any

import yaml

from synbench.errors import CardError
from synbench.report import Report

from .results import BENCHMARK, DECIMALS, MIXTURE_REVISION, Number, numbers, page_of, unusual, version_of

EVAL_RESULTS_PATH = ".eval_results/synbench.yaml"

_HEADER = (
    "# Written by synbench, and by it alone: it will not touch this file again once somebody else has edited it.\n"
)


def eval_results_entries(
    report: Report, *, benchmark: str = BENCHMARK, source_url: str | None = None
) -> list[dict[str, Any]]:
    """Return the entries of ``.eval_results``: one a number, with its settings and the scored commit in the notes.

    Raises:
        ArgumentError: see ``numbers``.
        CardError: the report is not of standard settings: a leaderboard could not tell it from those that are.
    """
    if found := unusual(report):
        raise CardError(
            f"entries of {EVAL_RESULTS_PATH} stand in one table with everybody else's, so their settings must be the "
            f"standard ones; this result has {', '.join(found)}. Publish it in the card alone (--only model-index), "
            f"or score the model with standard settings."
        )
    return [
        {
            "dataset": {"id": benchmark, "task_id": number.task_id, "revision": MIXTURE_REVISION},
            "value": number.value,
            "source": {"url": source_url or page_of(benchmark), "name": f"SynBench {version_of(report)}"},
            "notes": "; ".join(_notes(report, number)),
        }
        for number in numbers(report)
    ]


def eval_results_file(
    existing: bytes | None, report: Report, *, benchmark: str = BENCHMARK, source_url: str | None = None
) -> bytes:
    """Return the content of ``.eval_results/synbench.yaml`` with the entries of a report.

    Earlier entries of the same protocol make room; those of the other protocol, or of another benchmark, stay.

    Args:
        existing: its content so far; ``None`` if there is none.
        report: what is published.
        benchmark: see ``model_index_result``.
        source_url: likewise.

    Raises:
        CardError: somebody else has edited the file; or see ``eval_results_entries``.
    """
    ours = eval_results_entries(report, benchmark=benchmark, source_url=source_url)
    kept = [] if existing is None else [e for e in _own_entries(existing) if not _makes_room(e, benchmark, report)]
    return _render([*kept, *ours])


def _own_entries(content: bytes) -> list[dict[str, Any]]:
    """Return the entries of a file that we wrote.

    Raises:
        CardError: it is not byte for byte what we would write.
    """
    try:
        entries = yaml.safe_load(content.decode("utf-8"))
        own = isinstance(entries, list) and all(isinstance(e, dict) for e in entries) and _render(entries) == content
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError):
        own = False
    if not own:
        raise CardError(
            f"{EVAL_RESULTS_PATH} is there already, and not as synbench writes it: somebody has edited it, and it is "
            f"theirs now. Remove it, or publish in the card alone (--only model-index)."
        )
    found: list[dict[str, Any]] = entries
    return found


def _makes_room(entry: dict[str, Any], benchmark: str, report: Report) -> bool:
    dataset = _mapping(entry.get("dataset"))
    return dataset.get("id") == benchmark and str(dataset.get("task_id", "")).startswith(f"{report.protocol}_")


def _render(entries: list[dict[str, Any]]) -> bytes:
    text: str = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=math.inf)
    return (_HEADER + text).encode()


def _notes(report: Report, number: Number) -> Iterator[str]:
    settings = report.settings
    at = f"ε = {number.epsilon:g}" + ("" if number.threshold is None else f", a_t = {number.threshold:g}")
    yield at if number.stderr is None else f"{at}; standard error {number.stderr:.{DECIMALS}f}"
    shape = "" if settings.image_shape is None else f" of {'×'.join(map(str, settings.image_shape))}"
    yield f"{report.protocol} protocol, {report.images:,} images{shape}, seed {settings.seed}"
    if settings.model is not None:
        yield settings.model.pooling
        if settings.precision is not None:
            yield settings.precision.dtype
        if settings.model.commit is not None:
            yield f"model commit {settings.model.commit}"
    yield f"synbench {version_of(report)}"


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
