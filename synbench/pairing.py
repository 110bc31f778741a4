"""Several reports as one comparison: each score, or κ, with its error, and what the errors of a pair have in common."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float

from .comparability import check_alike, check_contributions, images_key, model_name, refuse_duplicates
from .comparison import Comparison, Difference, Entry, Measure, check_measure, default_measure
from .errors import ArgumentError
from .reading import read
from .report import Report
from .separation import separate, separate_roots
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

    The variance of a score, or of κ², is that of its report. Two encoders scored on the same images are paired: the
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
    measure = check_measure(measure) or default_measure(report.settings.direction for report in reports)
    if len(reports) < 2:
        raise ArgumentError(
            f"a comparison needs at least two reports, got {len(reports)}. Score another encoder with these settings."
        )
    vectors = check_contributions(contributions, len(reports))
    labels = [f"reports[{k}] ({model_name(report)})" for k, report in enumerate(reports)]
    refuse_duplicates([report.settings.model for report in reports], labels)
    warnings = check_alike(reports, labels, allow_mixed)
    readings = [read(r, label, epsilon, threshold, measure) for r, label in zip(reports, labels, strict=True)]
    of_kappa = measure == "kappa"
    estimates = [reading.of_squared_kappa() if of_kappa else reading.of_score() for reading in readings]
    order = sorted(range(len(reports)), key=lambda k: -estimates[k][0])
    correlation = _correlation([reports[k] for k in order], [vectors[k] for k in order])
    paired = ~np.isnan(correlation)
    values, stderr = (np.array([estimates[k][side] for k in order]) for side in (0, 1))
    covariance = np.where(paired, correlation, 0.0) * np.outer(stderr, stderr)
    found = (separate_roots if of_kappa else separate)(values, covariance, level)
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
    warnings += _unpaired(reports, differences)
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
            baseline_kappa=reading.baseline_kappa,
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


def _correlation(
    reports: Sequence[Report], vectors: Sequence[Float[np.ndarray, " _"] | None]
) -> Float[np.ndarray, "m m"]:
    """Return the correlation of the errors of what is compared, NaN for unpaired pairs."""
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


def _unpaired(reports: Sequence[Report], differences: Sequence[Difference]) -> list[str]:
    """Return a warning about the pairs that are not paired, with what may be done."""
    unpaired = sum(not d.paired for d in differences)
    if not unpaired:
        return []
    said = (
        f"{unpaired} of {len(differences)} pairs are unpaired: their encoders were not scored on the same images, or "
        f"no record of their shared error is at hand. Intervals of such differences are mostly wider. Score "
        f"encoders of one input size in one comparison, with one seed, on one kind of device."
    )
    counts = sorted({report.images for report in reports})
    if len(counts) > 1 and {report.protocol for report in reports} == {"population"}:
        said += (
            f" They have from {counts[0]:,} to {counts[-1]:,} images, as each may draw as many as its own error needs: "
            f"ask for one number that suits all, by images=."
        )
    return [said]
