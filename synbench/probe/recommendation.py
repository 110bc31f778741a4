"""Which ε a score recommends for a robust linear probe, and how sure that is.

The score of ε says how much of the best trade-off the ε-robust classifier keeps at a wanted accuracy a_t. The ε
with the highest score is the recommended one (Ko et al., arXiv 2210.02989, section 3.4). With an error to each
score, more than one ε may be the best: those that are not shown to be worse, by comparisons of all pairs, since which
one comes out best is a matter of chance too.

In the population protocol no ε > 0 can win in truth: κ_ε ≤ κ_0, as ε = 0 is Fisher's discriminant, and the score rises
with κ. So of those that are as good the smallest is recommended there, and what is left to ask is how much an ε costs.
In the paper protocol an ε > 0 can win where images are few for the width, as any ridge can (docs/probing.md).
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field
from scipy.stats import norm

from synbench.errors import ArgumentError
from synbench.report import Record, Report
from synbench.settings import HEADLINE_THRESHOLD

from .asking import real

LEVEL = 0.95
"""The probability that all differences lie in their intervals, and with them that each best ε is among those named."""

MARGIN = 0.01
"""A difference of scores that nobody would choose by."""


class Recommendation(Record):
    """What ``recommend_epsilon`` returns: the best ε, those that are as good, and how far behind the others are."""

    threshold: float = Field(description="The wanted accuracy a_t.")
    epsilon: float | None = Field(
        description="The recommended ε: of the paper protocol the one with the best score, of the population protocol "
        "the smallest that is as good; None if there is no preference."
    )
    best: float = Field(description="The ε with the best score, recommended or not; the smallest of equal ones.")
    as_good: list[float] = Field(
        description="Every ε not shown to be worse than the best by more than the margin; rising. None where all "
        "scores are 0."
    )
    epsilons: list[float]
    scores: list[float] = Field(description="At the threshold, one per ε.")
    behind: list[float] = Field(description="How far each score is behind that of the best ε; 0 for itself.")
    behind_interval: list[list[float]] = Field(
        description="[low, high] of the score of the ε named best less that of each, 95 % for all of them together. "
        "Below 0 where the one named best may be the worse one."
    )
    margin: float
    paired: bool = Field(description="Whether what the scores share by having seen the same images was taken out.")
    protocol: Literal["population", "paper"]
    meaning: str


def recommend_epsilon(
    report: Report | Mapping[str, Any] | str | Path, threshold: float = HEADLINE_THRESHOLD, *, margin: float = MARGIN
) -> Recommendation:
    """Return the ε at which an encoder's score is best for a wanted accuracy, and which others are as good.

    ε* = argmax_ε score(ε, a_t). An ε is as good unless score(ε*) − score(ε) exceeds ``margin`` with a probability of
    95 %, for all pairs of ε together (Bonferroni). Where every ε is as good, the curve is flat: no preference, and
    ``epsilon`` is None (ask by ``is None``: 0.0 is an ε). Otherwise ε* is recommended; of the population protocol the
    smallest ε that is as good, as none above can be better in truth.

    Args:
        report: of ``synbench.score``, the dict of ``metric.compute``, or a file that ``--output`` wrote.
        threshold: a_t, one of the report's.
        margin: a difference of scores that counts as none; 0 for any.

    Raises:
        ArgumentError: the report has not this threshold, or fewer than two ε; a score or its error is undefined
            there; the margin is negative.

    >>> import synbench
    >>> found = recommend_epsilon(synbench.score("synbench:demo", images=2048))
    >>> found.best, found.as_good
    (0.0, [0.0...])
    """
    report = _read(report)
    if not 0 <= real(margin) < math.inf:
        raise ArgumentError(f"margin must be at least 0, a difference of scores such as {MARGIN}, got {margin!r}.")
    if real(threshold) not in report.thresholds:
        raise ArgumentError(
            f"threshold must be one of {report.thresholds}, those of this report, got {threshold!r}. For another, "
            f"score the encoder again with that one in thresholds=."
        )
    if len(report.epsilons) < 2:
        raise ArgumentError(
            f"expected a report with two ε or more to choose from, got {report.epsilons}. Score the encoder with "
            f"the default epsilons=."
        )
    column = report.thresholds.index(threshold)
    scores = [row[column] for row in report.scores]
    errors = [row[column] for row in report.scores_stderr]
    if None in scores or None in errors:
        raise ArgumentError(
            f"expected a score with its error for each ε at a_t = {threshold:g}, but some are undefined (None): "
            f"{' '.join(report.warnings) or 'too few images for the width of the representation'}"
        )
    covariance = None if report.epsilon_covariance is None else np.array(report.epsilon_covariance[column])
    values, order = np.array(scores, dtype=np.float64), np.argsort(report.epsilons)
    first = int(order[np.argmax(values[order])])
    behind = values[first] - values
    spread = _spread(np.array(errors, dtype=np.float64), covariance, first)
    pairs = len(values) * (len(values) - 1) / 2
    reach = norm.ppf(1 - (1 - LEVEL) / (2 * pairs)) * spread
    good = behind - reach <= margin
    flat = bool(good.all())
    # Where nothing is kept, nothing is good.
    as_good = sorted(e for e, g in zip(report.epsilons, good, strict=True) if g) if values.any() else []
    best = report.epsilons[first]
    recommended = None if flat else best if report.protocol == "paper" else as_good[0]
    return Recommendation(
        threshold=float(threshold),
        epsilon=recommended,
        best=best,
        as_good=as_good,
        epsilons=report.epsilons,
        scores=values.tolist(),
        behind=behind.tolist(),
        behind_interval=np.stack([behind - reach, behind + reach], axis=1).tolist(),
        margin=float(margin),
        paired=covariance is not None,
        protocol=report.protocol,
        meaning=_meaning(threshold, best, recommended, as_good, values, margin),
    )


def _read(report: Any) -> Report:
    if isinstance(report, Report):
        return report
    if isinstance(report, Mapping):
        return Report.from_dict(dict(report))
    if isinstance(report, (str, Path)):
        return Report.read(Path(report))
    raise ArgumentError(
        f"expected a SynBench result (a Report, its dict, or the file of one), got {type(report).__name__}. "
        f"Pass what synbench.score returned."
    )


def _spread(
    errors: Float[np.ndarray, " e"], covariance: Float[np.ndarray, "e e"] | None, first: int
) -> Float[np.ndarray, " e"]:
    """Return the standard errors of the differences to one score; without a covariance, the most they can be."""
    spread: np.ndarray = errors + errors[first]
    if covariance is not None:
        variances = np.diag(covariance) + covariance[first, first] - 2 * covariance[first]
        spread = np.sqrt(np.maximum(variances, 0.0))
    spread[first] = 0.0
    return spread


def _meaning(
    threshold: float,
    best: float,
    recommended: float | None,
    as_good: Sequence[float],
    scores: Float[np.ndarray, " e"],
    margin: float,
) -> str:
    at = f"At a_t = {threshold:g}"
    if not scores.any():
        return f"{at} every score is 0: no ε reaches that accuracy, and there is no preference."
    if recommended is None:
        return (
            f"{at} no ε is shown to be worse than the best by more than {margin:g} "
            f"(scores {scores.min():.3f} to {scores.max():.3f}): no preference."
        )
    said = f"{at} the score is best at ε = {best:g} ({scores.max():.3f})"
    if len(as_good) == 1:
        return f"{said}; every other ε costs more than {margin:g}."
    others = ", ".join(f"{e:g}" for e in as_good if e != best)
    said = f"{said}; ε = {others} {'is' if len(as_good) == 2 else 'are'} not shown to cost more than {margin:g}"
    if recommended == best:
        return f"{said}."
    return f"{said}, and in truth none above ε = {recommended:g} can be better than that: take ε = {recommended:g}."
