"""Several reports as one comparison: each score with its error, and what the errors of a pair have in common."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float

from .comparability import check_alike, check_contributions, images_key, listed, model_name, refuse_duplicates
from .comparison import Comparison, Difference, Entry, Measure, check_measure, default_measure
from .errors import ArgumentError
from .report import Report
from .separation import separate
from .settings import HEADLINE_EPSILON, HEADLINE_THRESHOLD


def of_reports(
    reports: Sequence[Report],
    contributions: Sequence[Float[np.ndarray, " _"] | None],
    *,
    epsilon: float = HEADLINE_EPSILON,
    threshold: float = HEADLINE_THRESHOLD,
    measure: Measure | None = None,
    level: float = 0.05,
    allow_mixed: bool = False,
) -> Comparison:
    """Compare encoders by their reports.

    The variance of a score, or of κ, is that of its report. Two encoders scored on the same images are paired: the
    correlation of their errors is c_iᵀc_j / (‖c_i‖ ‖c_j‖), and their covariance this times both standard errors.

    Args:
        reports: at least two, of different encoders.
        contributions: for each report a vector c with one number per independent draw of images, such that the
            variance of the error of its score is Σ c²; or None, and it is compared as unpaired. They must belong to
            the score at ``epsilon`` and ``threshold``, or to κ where that is compared: those of another cell would
            give another correlation. For a cell whose contributions are not at hand, pass None.
        epsilon: row of the compared score.
        threshold: column of the compared score.
        measure: ``"score"`` or ``"kappa"``; by default see ``default_measure``.
        level: probability of separating any two encoders that are equal.
        allow_mixed: compare reports of different protocols, scales or precisions too; the record carries a warning.

    Raises:
        ArgumentError: fewer than two reports, or contributions that do not fit them; an encoder is there twice; the
            reports cannot be compared; one has no score, κ or standard error at this ε and a_t.
    """
    measure = check_measure(measure) or default_measure(reports)
    if len(reports) < 2:
        raise ArgumentError(
            f"a comparison needs at least two reports, got {len(reports)}. Score another encoder with these settings."
        )
    vectors = check_contributions(contributions, len(reports))
    labels = [f"reports[{k}] ({model_name(report)})" for k, report in enumerate(reports)]
    refuse_duplicates(reports, labels)
    warnings = check_alike(reports, labels, allow_mixed)
    readings = [_read(report, label, epsilon, threshold) for report, label in zip(reports, labels, strict=True)]
    of_kappa = measure == "kappa"
    told = [
        _of_kappa(r, label, epsilon) if of_kappa else (r.score, r.stderr)
        for r, label in zip(readings, labels, strict=True)
    ]
    order = sorted(range(len(reports)), key=lambda k: -told[k][0])
    correlation = _correlation([reports[k] for k in order], [vectors[k] for k in order])
    paired = ~np.isnan(correlation)
    values, stderr = (np.array([told[k][side] for k in order]) for side in (0, 1))
    covariance = np.where(paired, correlation, 0.0) * np.outer(stderr, stderr)
    found = separate(values, covariance, level)
    differences = [
        Difference(
            first=i,
            second=j,
            difference=found.difference[n],
            stderr=found.stderr[n],
            interval=[found.low[n], found.high[n]],
            p_value=found.p_value[n],
            p_adjusted=found.p_adjusted[n],
            separated=found.separated[n],
            paired=paired[i, j],
        )
        for n, (i, j) in enumerate(zip(found.first.tolist(), found.second.tolist(), strict=True))
    ]
    if unpaired := sum(not d.paired for d in differences):
        warnings.append(
            f"{unpaired} of {len(differences)} pairs are unpaired: their encoders were not scored on the same images, "
            f"or no record of their shared error is at hand. Intervals of such differences are mostly wider. Score "
            f"encoders of one input size in one comparison, with one seed, on one kind of device."
        )
    entries = [
        Entry(
            model=model_name(report),
            trained=report.settings.model.trained if report.settings.model else None,
            score=reading.score,
            stderr=reading.stderr,
            interval=reading.interval,
            kappa=reading.kappa,
            kappa_stderr=reading.kappa_stderr,
            kappa_interval=reading.kappa_interval,
            rank_low=found.rank_low[place],
            rank_high=found.rank_high[place],
            groups=list(found.groups[place]),
            image_shape=report.settings.image_shape,
            images=report.images,
            baseline_score=reading.baseline,
            report=k,
        )
        for place, k in enumerate(order)
        for report, reading in [(reports[k], readings[k])]
    ]
    protocols = {report.protocol for report in reports}
    return Comparison(
        protocol=protocols.pop() if len(protocols) == 1 else "mixed",
        epsilon=epsilon,
        threshold=threshold,
        measure=measure,
        level=level,
        entries=entries,
        differences=differences,
        reports=list(reports),
        warnings=warnings,
    )


@dataclass(frozen=True)
class _Reading:
    """What a report says at one ε and a_t."""

    score: float
    stderr: float
    interval: list[float]
    kappa: float | None
    kappa_stderr: float | None
    kappa_interval: list[float] | None
    baseline: float | None


def _read(report: Report, label: str, epsilon: float, threshold: float) -> _Reading:
    """Return what a report says at (ε, a_t).

    Raises:
        ArgumentError: it does not have them, the score is undefined, or it has no standard error.
    """
    at = f"at ε = {epsilon:g}, a_t = {threshold:g}"
    row, column = _place(epsilon, report.epsilons), _place(threshold, report.thresholds)
    headline = _place(epsilon, [HEADLINE_EPSILON]) is not None and _place(threshold, [HEADLINE_THRESHOLD]) is not None
    if headline:
        score, stderr, interval = report.synbench_score, report.stderr, report.interval
    elif row is None or column is None:
        raise ArgumentError(
            f"expected reports with a score {at}, but {label} has rows for ε = {listed(report.epsilons)} and columns "
            f"for a_t = {listed(report.thresholds)}. Choose a cell that every report has, or score it again with one."
        )
    else:
        score = report.scores[row][column]
        stderr = report.scores_stderr[row][column] if report.scores_stderr else None
        interval = report.scores_interval[row][column] if report.scores_interval else None
    if score is None:
        raise ArgumentError(
            f"expected reports with a score {at}, but that of {label} is undefined; its warnings say why. "
            f"Leave it out, or compare at a lower a_t."
        )
    if stderr is None or interval is None:
        raise ArgumentError(
            f"expected reports with a standard error and an interval {at}, but {label} has none: without them no two "
            f"scores can be told apart. Score it again with a protocol that gives them."
        )
    kappa_interval = report.kappa_interval[row] if report.kappa_interval is not None and row is not None else None
    return _Reading(
        score,
        stderr,
        list(interval),
        kappa=report.kappa[row] if report.kappa is not None and row is not None else None,
        kappa_stderr=report.kappa_stderr[row] if report.kappa_stderr is not None and row is not None else None,
        kappa_interval=list(kappa_interval) if kappa_interval is not None else None,
        baseline=report.baseline.synbench_score if headline and report.baseline is not None else None,
    )


def _of_kappa(reading: _Reading, label: str, epsilon: float) -> tuple[float, float]:
    """Return κ with its standard error.

    Raises:
        ArgumentError: the report has none at this ε, or no interval of it.
    """
    if reading.kappa is None or reading.kappa_stderr is None or reading.kappa_interval is None:
        raise ArgumentError(
            f"expected reports with κ and its interval at ε = {epsilon:g}, but {label} has none. Score it by the "
            f"population protocol, with more images than before, or compare scores with measure='score'."
        )
    return reading.kappa, reading.kappa_stderr


def _correlation(
    reports: Sequence[Report], vectors: Sequence[Float[np.ndarray, " _"] | None]
) -> Float[np.ndarray, "m m"]:
    """Return the correlation of the errors of the scores, NaN for unpaired ones."""
    values = np.full((len(reports), len(reports)), np.nan)
    np.fill_diagonal(values, 1.0)
    images = [images_key(report) for report in reports]
    for i, j in combinations(range(len(reports)), 2):
        one, other = vectors[i], vectors[j]
        if one is None or other is None or one.size != other.size or images[i] is None or images[i] != images[j]:
            continue
        norms = np.linalg.norm(one) * np.linalg.norm(other)
        # An error of 0 is correlated with none.
        values[i, j] = values[j, i] = np.clip(one @ other / norms, -1, 1) if norms > 0 else 0.0
    return values


def _place(value: float, grid: Sequence[float]) -> int | None:
    """Return where a value stands in a grid, up to rounding."""
    return next((k for k, v in enumerate(grid) if math.isclose(v, value, rel_tol=0, abs_tol=1e-9)), None)
