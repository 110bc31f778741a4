"""What a report says at one ε and a_t, for a comparison; what it lacks is told with a remedy."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from .comparability import listed
from .errors import ArgumentError
from .report import Report
from .settings import HEADLINE_EPSILON, HEADLINE_THRESHOLD
from .uncertainty import squared_kappa

_T = TypeVar("_T")


@dataclass(frozen=True)
class Reading:
    """What a report says at one ε and a_t; None is what it does not say."""

    score: float | None
    stderr: float | None
    interval: list[float] | None
    kappa: float | None
    kappa_stderr: float | None
    kappa_interval: list[float] | None
    baseline: float | None
    baseline_kappa: float | None

    def of_score(self) -> tuple[float, float]:
        """Return the score with its standard error; ``read`` has seen that they are there."""
        assert self.score is not None
        assert self.stderr is not None
        return self.score, self.stderr

    def of_squared_kappa(self) -> tuple[float, float]:
        """Return κ² with its standard error; ``read`` has seen that they are there."""
        assert self.kappa is not None
        assert self.kappa_interval is not None
        return squared_kappa(self.kappa, self.kappa_interval)


def read(report: Report, label: str, epsilon: float, threshold: float, measure: str) -> Reading:
    """Return what a report says at (ε, a_t).

    Raises:
        ArgumentError: what is measured, the score or κ, is not there, is undefined, or has no error.
    """
    row, column = _place(epsilon, report.epsilons), _place(threshold, report.thresholds)
    headline = _place(epsilon, [HEADLINE_EPSILON]) is not None and _place(threshold, [HEADLINE_THRESHOLD]) is not None
    score, stderr, interval = None, None, None
    if headline:
        score, stderr, interval = report.synbench_score, report.stderr, report.interval
    elif row is not None and column is not None:
        score = report.scores[row][column]
        stderr = report.scores_stderr[row][column] if report.scores_stderr else None
        interval = report.scores_interval[row][column] if report.scores_interval else None
    twin = report.baseline
    found = Reading(
        score,
        stderr,
        interval and list(interval),
        kappa=_at(report.kappa, row),
        kappa_stderr=_at(report.kappa_stderr, row),
        kappa_interval=_at(report.kappa_interval, row),
        baseline=twin.synbench_score if headline and twin is not None else None,
        baseline_kappa=None if twin is None else _at(twin.kappa, row),
    )
    if measure == "kappa":
        _check_kappa(found, report, label, epsilon, row)
    else:
        _check_score(found, report, label, epsilon, threshold, there=headline or None not in (row, column))
    return found


def _check_score(found: Reading, report: Report, label: str, epsilon: float, threshold: float, *, there: bool) -> None:
    at = f"at ε = {epsilon:g}, a_t = {threshold:g}"
    if not there:
        raise ArgumentError(
            f"expected reports with a score {at}, but {label} has rows for ε = {listed(report.epsilons)} and columns "
            f"for a_t = {listed(report.thresholds)}. Choose a cell that every report has, or score it again with one."
        )
    if found.score is None:
        raise ArgumentError(
            f"expected reports with a score {at}, but that of {label} is undefined; its warnings say why. "
            f"Leave it out, or compare at a lower a_t."
        )
    if found.stderr is None or found.interval is None:
        raise ArgumentError(
            f"expected reports with a standard error and an interval {at}, but {label} has none: without them no two "
            f"scores can be told apart. Score it again with a protocol that gives them."
        )


def _check_kappa(found: Reading, report: Report, label: str, epsilon: float, row: int | None) -> None:
    expected = f"expected reports with κ and its interval at ε = {epsilon:g}, but"
    if report.kappa is None:
        raise ArgumentError(
            f"{expected} {label} has no κ: it is of the {report.protocol} protocol. Score it again by the population "
            f"protocol, or compare scores with measure='score'."
        )
    if row is None:
        raise ArgumentError(
            f"{expected} {label} has rows for ε = {listed(report.epsilons)}. Choose an ε that every report has, or "
            f"score it again with this one."
        )
    if found.kappa_stderr is None or found.kappa_interval is None:
        raise ArgumentError(
            f"{expected} {label} has no interval: {report.images:,} images were too few for the width of its "
            f"representations. Score it again with more."
        )


def _at(values: Sequence[_T] | None, row: int | None) -> _T | None:
    return values[row] if values is not None and row is not None else None


def _place(value: float, grid: Sequence[float]) -> int | None:
    """Return where a value stands in a grid, up to rounding."""
    return next((k for k, v in enumerate(grid) if math.isclose(v, value, rel_tol=0, abs_tol=1e-9)), None)
