"""From a report to the numbers that are published, and to the one result that a model card takes.

The card's metadata (``model-index``) takes one result with a metric for each number. What keeps results apart stands
where the Hub looks: the dataset's config (protocol, image, pooling, and whatever is not standard) and its revision (the
version of the mixture).
"""

import hashlib
import json
import math
import re
from dataclasses import dataclass
from typing import Any

from synbench.errors import ArgumentError
from synbench.report import Report
from synbench.seeding import RENDERER_VERSION
from synbench.settings import EPSILONS, HEADLINE_EPSILON, HEADLINE_THRESHOLD, PROTOCOLS, SCALES, TEXTURE, scale_key

BENCHMARK = "synbench/gaussian-mixture"
"""The benchmark dataset that results name, unless they are told another."""

MIXTURE_REVISION = f"v{RENDERER_VERSION}"
"""Revision of the benchmark dataset: changes that alter a drawn image make another one."""

DECIMALS = 4
"""Published numbers are rounded to this many; a standard error is about 0.005."""

METRIC = "synbench_"
"""What the type of each metric in a card begins with; the task id follows."""

_TASK_TYPE = "image-feature-extraction"


@dataclass(frozen=True)
class Number:
    """One published number; higher is better.

    Args:
        task_id: what it is called in the benchmark, such as ``population_score``.
        name: the same for people.
        value: rounded to ``DECIMALS``.
        stderr: its standard error, rounded up; ``None`` where it is not known.
        interval: its 95 % interval, rounded; ``None`` likewise.
        epsilon: the ε that it is read at.
        threshold: the a_t that it is read at; ``None`` for κ.
    """

    task_id: str
    name: str
    value: float
    stderr: float | None
    interval: tuple[float, float] | None
    epsilon: float
    threshold: float | None


def _task_id(protocol: str, epsilon: float) -> str:
    return f"{protocol}_score" if epsilon == HEADLINE_EPSILON else f"{protocol}_score_epsilon_{epsilon:g}"


TASK_IDS: tuple[str, ...] = (
    *(_task_id(protocol, epsilon) for protocol in PROTOCOLS for epsilon in EPSILONS),
    "population_kappa",
)
"""Every task of the benchmark: the score at a_t = 0.7 for each protocol and standard ε, and κ at ε = 0."""


def numbers(report: Report) -> list[Number]:
    """Return what is published of a report: the headline, the scores at the other standard ε, and κ.

    What is undefined is left out.

    Raises:
        ArgumentError: the headline score is undefined, or the report is of an untrained twin, or of textures.
    """
    model = report.settings.model
    if model is not None and not model.trained:
        raise ArgumentError(
            "expected the score of a trained encoder, got that of its untrained twin, which is a baseline of ours and "
            "says nothing about the weights on the card. Score the model without --untrained."
        )
    if report.settings.direction == TEXTURE:
        raise ArgumentError(
            "expected a score of the standard mixture, got one of textures, whose result is κ and stands on no card: "
            "beside others it would look like a bad score. Score the model without --direction."
        )
    if report.synbench_score is None:
        raise ArgumentError(
            "this result has no score at ε = 0 and a_t = 0.7 to publish. Its warnings say why; score the model again "
            "with more images, or with the standard scales."
        )
    found = [_score(report, HEADLINE_EPSILON, report.synbench_score, report.stderr, report.interval)]
    if HEADLINE_THRESHOLD in report.thresholds:
        column = report.thresholds.index(HEADLINE_THRESHOLD)
        for row, epsilon in enumerate(report.epsilons):
            value = report.scores[row][column]
            if epsilon in EPSILONS and epsilon != HEADLINE_EPSILON and value is not None:
                stderr, interval = report.scores_stderr[row][column], report.scores_interval[row][column]
                found.append(_score(report, epsilon, value, stderr, interval))
    if report.kappa is not None and HEADLINE_EPSILON in report.epsilons:
        row = report.epsilons.index(HEADLINE_EPSILON)
        stderr = report.kappa_stderr[row] if report.kappa_stderr else None
        interval = report.kappa_interval[row] if report.kappa_interval else None
        name = "κ, the share of discriminability kept (ε = 0)"
        told = (_rounded(report.kappa[row]), _error(stderr), _both(interval))
        found.append(Number("population_kappa", name, *told, HEADLINE_EPSILON, None))
    return found


def config_of(report: Report) -> str:
    """Return the dataset config that keeps results of unlike settings apart.

    It names the protocol, the shape of the images and the pooling, such as
    ``population-3x224x224-pooler_output-vector``, and whatever else is not standard.
    """
    settings = report.settings
    parts: list[str] = [report.protocol]
    if settings.image_shape is not None:
        parts.append("x".join(map(str, settings.image_shape)))
    if settings.model is not None:
        parts.append(re.sub(r"[^A-Za-z0-9_+]+", "-", settings.model.pooling).strip("-"))
    return "-".join([*parts, *unusual(report)])


def model_index_result(report: Report, *, benchmark: str = BENCHMARK, source_url: str | None = None) -> dict[str, Any]:
    """Return the one result that a card's ``model-index`` takes: plain values, ready for YAML.

    Args:
        report: what is published.
        benchmark: id of the benchmark dataset.
        source_url: page that tells of the numbers; that of the benchmark dataset by default.

    Raises:
        ArgumentError: see ``numbers``.
    """
    settings = report.settings
    sizes: dict[str, Any] = {"images": report.images}
    if settings.samples is not None:
        sizes["samples"] = settings.samples
    if settings.seed is not None:
        sizes["seed"] = settings.seed
    if settings.model is not None and settings.model.commit is not None:
        sizes["model_commit"] = settings.model.commit
    metrics = []
    for number in numbers(report):
        args: dict[str, Any] = {"epsilon": number.epsilon}
        if number.threshold is not None:
            args["a_t"] = number.threshold
        if number.stderr is not None:
            args["standard_error"] = number.stderr
        metrics.append({"type": f"{METRIC}{number.task_id}", "value": number.value, "name": number.name, "args": args})
    return {
        "task": {"type": _TASK_TYPE, "name": "Image Feature Extraction"},
        "dataset": {
            "type": benchmark,
            "name": "SynBench class-conditional Gaussian mixture",
            "config": config_of(report),
            "split": "test",
            "revision": MIXTURE_REVISION,
            "args": sizes,
        },
        "metrics": metrics,
        "source": {"name": f"SynBench {version_of(report)}", "url": source_url or page_of(benchmark)},
    }


def is_same_result(ours: dict[str, Any], existing: Any) -> bool:
    """Tell whether a result of a card is an earlier one of ours, whose place the new one may take.

    It is, if task, dataset, config, split and revision are the same, and all its metrics are SynBench's.
    """
    if not isinstance(existing, dict):
        return False
    task, dataset, metrics = existing.get("task"), existing.get("dataset"), existing.get("metrics")
    if not (isinstance(task, dict) and isinstance(dataset, dict) and isinstance(metrics, list) and metrics):
        return False
    return (
        task.get("type") == ours["task"]["type"]
        and all(dataset.get(key) == ours["dataset"][key] for key in ("type", "config", "split", "revision"))
        and all(isinstance(m, dict) and str(m.get("type", "")).startswith(METRIC) for m in metrics)
        # A mark of whoever verified it, or anything else that we never write, is somebody's.
        and set(existing) <= set(ours)
        and all(set(m) <= set(ours["metrics"][0]) for m in metrics)
    )


def _score(report: Report, epsilon: float, value: float, stderr: float | None, interval: list[float] | None) -> Number:
    name = f"SynBench-Score (ε = {epsilon:g}, a_t = {HEADLINE_THRESHOLD:g})"
    told = (_rounded(value), _error(stderr), _both(interval))
    return Number(_task_id(report.protocol, epsilon), name, *told, epsilon, HEADLINE_THRESHOLD)


def unusual(report: Report) -> list[str]:
    """Return what is not standard about the settings, in words that a dataset config can hold; nothing if all is."""
    settings = report.settings
    found = []
    if settings.as_published:
        found.append("as-published")
    if settings.precision is not None and settings.precision.dtype not in ("float32", "float64"):
        found.append(settings.precision.dtype)
    scales = [scale_key(scale) for scale in report.scales]
    if scales != [scale_key(scale) for scale in SCALES] or settings.direction not in (None, "uniform"):
        told = json.dumps([scales, settings.direction]).encode()
        found.append(f"mixture-{hashlib.sha256(told).hexdigest()[:8]}")
    return found


def version_of(report: Report) -> str:
    """Return the version of SynBench that made a report."""
    return report.settings.versions.get("synbench", "of unknown version")


def page_of(benchmark: str) -> str:
    """Return the page of a benchmark dataset."""
    return f"https://huggingface.co/datasets/{benchmark}"


def _rounded(value: float) -> float:
    return round(float(value), DECIMALS)


def _error(stderr: float | None) -> float | None:
    """Return a standard error as it is published: never less than it is, so that none becomes 0."""
    return None if stderr is None else math.ceil(float(stderr) * 10**DECIMALS - 1e-9) / 10**DECIMALS


def _both(interval: list[float] | None) -> tuple[float, float] | None:
    return None if interval is None else (_rounded(interval[0]), _rounded(interval[1]))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
