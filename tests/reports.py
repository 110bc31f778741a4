"""Reports of made-up scores in the shapes of real ones, made without a model."""

from typing import Any

from synbench.report import Report

EPSILONS = [0.0, 0.2, 0.4, 0.6, 0.8]
THRESHOLDS = [0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99]
SCALES = [round(0.1 * k, 1) for k in range(1, 50)]
HEADLINE = THRESHOLDS.index(0.7)


def make_report(
    model_id: str = "org/model",
    commit: str | None = "a" * 40,
    score: float | None = 0.68,
    stderr: float | None = 0.0066,
    protocol: str = "population",
    **changes: Any,
) -> Report:
    """Make a report of a model of the Hub; ``settings`` and ``model`` among the changes are merged, others replace.

    >>> report = make_report(score=0.5, model={"trained": False}, settings={"seed": 3})
    >>> report.synbench_score, report.settings.model.trained, report.settings.seed
    (0.5, False, 3)
    """
    # The headline is the column of a_t = 0.7: a row falls by a_t, and rows fall by ε.
    shape = [(1 - 0.9 * epsilon) * (1.2 - 0.1 * column) for epsilon in EPSILONS for column in range(len(THRESHOLDS))]
    values = None if score is None else [score * min(part, 1 / score if score else part) for part in shape]
    population = protocol == "population"
    record: dict[str, Any] = {
        "synbench_score": score,
        "stderr": stderr,
        "interval": _interval(score, stderr),
        "meaning": "The score is undefined." if score is None else f"The representations keep {score:.1%}.",
        "scores": _rows(values, lambda value: value),
        "scores_stderr": _rows(values, lambda _: stderr),
        "scores_interval": _rows(values, lambda value: _interval(value, stderr)),
        "kappa": [0.42 * (1 - epsilon / 2) for epsilon in EPSILONS] if population else None,
        "kappa_stderr": [0.004] * len(EPSILONS) if population else None,
        "kappa_interval": [_interval(0.42 * (1 - e / 2), 0.004) for e in EPSILONS] if population else None,
        "epsilons": EPSILONS,
        "thresholds": THRESHOLDS,
        "scales": SCALES,
        "accuracy": [[0.5 + 0.1 * scale for scale in SCALES]] * len(EPSILONS),
        "bound": [[1.0] * len(SCALES)] * len(EPSILONS),
        "raw_accuracy": [0.5 + 0.1 * scale for scale in SCALES],
        "raw_bound": [1.0] * len(SCALES),
        "protocol": protocol,
        "diagnostics": _DIAGNOSTICS if population else None,
        "baseline": None,
        "warnings": [],
        "seconds": 6.2,
        "images": 8192 if population else 200_704,
        "from_cache": 0,
        "settings": {**_SETTINGS, "samples": None if population else 2048, **changes.pop("settings", {})},
    }
    record["settings"].setdefault("model", {**_MODEL, "id": model_id, "commit": commit, **changes.pop("model", {})})
    return Report.from_dict({**record, **changes})


def _interval(value: float | None, stderr: float | None) -> list[float] | None:
    return None if value is None or stderr is None else [max(value - 1.96 * stderr, 0.0), value + 1.96 * stderr]


def _rows(values: list[float] | None, of: Any) -> list[list[Any]]:
    columns = len(THRESHOLDS)
    if values is None:
        return [[None] * columns for _ in EPSILONS]
    return [[of(value) for value in values[row * columns : (row + 1) * columns]] for row in range(len(EPSILONS))]


_CHANGE = {"change": 0.01, "stderr": 0.02}
_DIAGNOSTICS = {
    "linear": True,
    "bands": 1,
    "response": _CHANGE,
    "spread": _CHANGE,
    "midpoint": _CHANGE,
    "coordinate": _CHANGE,
    "skewness": 0.01,
    "excess_kurtosis": 0.02,
    "score_shift": 0.001,
    "gaussian_gap": 0.002,
}
_MODEL = {
    "source": "hub",
    "revision": None,
    "weights_sha256": None,
    "architecture": "ViTModel",
    "pooling": "last_hidden_state: class token",
    "pooling_reason": "the model has a class token",
    "dimension": 64,
    "trained": True,
}
_SETTINGS = {
    "samples": None,
    "target_stderr": None,
    "max_images": None,
    "seed": 0,
    "as_published": False,
    "eigenvalue_cutoff": "relative 1e-10",
    "image_shape": [3, 16, 16],
    "direction": "uniform",
    "preprocessing": {
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "channel_order": [0, 1, 2],
        "source": "image processor",
    },
    "precision": {"dtype": "float32", "tf32": False, "reason": "default"},
    "device": "cpu",
    "batch_size": 256,
    "processes": 1,
    "versions": {"python": "3.11.7", "synbench": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6"},
}
