"""Which encoders differ, and which tie: scores compared in pairs, with the errors that they share.

With scores x_1 … x_m and the covariance C of their errors, the difference of a pair has the standard error

    σ_ij = √(C_ii + C_jj − 2 C_ij),

its two-sided p-value is that of a normal distribution, and the p-values of all m(m−1)/2 pairs are adjusted by Holm's
step-down method: however many encoders are compared and however their errors depend on each other, the probability to
separate any two that are equal is at most ``level``. Two encoders scored on the same images err together; C_ij > 0
then makes the interval of their difference narrower than their own intervals tell.

``separate`` is the statistics: arrays in, arrays out. ``of_reports`` makes the record of several reports.
"""

import csv
import io
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from scipy.stats import norm

from .errors import ArgumentError
from .report import Record, Report, Versioned
from .settings import HEADLINE_EPSILON, HEADLINE_THRESHOLD, TEXTURE, scale_key

SCHEMA_VERSION: Literal[1] = 1
"""Raised whenever a field changes its name, type or meaning."""

TWIN = " (untrained twin)"
"""What the name of an untrained twin ends with."""

_ROUNDING = 16 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Separation:
    """What the scores of m models say about their p = m(m−1)/2 pairs.

    Args:
        first: model i of each pair, i < j.
        second: model j of each pair.
        difference: x_i − x_j.
        stderr: σ_ij.
        low: lower end of the two-sided (1 − level) interval of this one difference.
        high: its upper end.
        p_value: two-sided, of the hypothesis that the two are equal.
        p_adjusted: the same by Holm's method over all pairs.
        separated: p_adjusted < level.
        rank_low: best rank that a model can have: 1 + the number of models that are separated from it and better.
        rank_high: its worst rank: m − the number of models that are separated from it and worse.
        groups: letters of the tie groups of each model, see ``tie_groups``.
    """

    first: Int[np.ndarray, " p"]
    second: Int[np.ndarray, " p"]
    difference: Float[np.ndarray, " p"]
    stderr: Float[np.ndarray, " p"]
    low: Float[np.ndarray, " p"]
    high: Float[np.ndarray, " p"]
    p_value: Float[np.ndarray, " p"]
    p_adjusted: Float[np.ndarray, " p"]
    separated: Bool[np.ndarray, " p"]
    rank_low: Int[np.ndarray, " m"]
    rank_high: Int[np.ndarray, " m"]
    groups: tuple[tuple[str, ...], ...]


def separate(scores: Float[np.ndarray, " m"], covariance: Float[np.ndarray, "m m"], level: float = 0.05) -> Separation:
    """Tell which of m models differ in their score.

    The difference of each pair i < j has stderr √(C_ii + C_jj − 2 C_ij) and p = 2 Φ(−|x_i − x_j| / stderr); a pair
    is separated if its p-value, adjusted by Holm's method over all pairs, is below ``level``. Where the stderr is 0,
    p is 1 for equal scores and 0 for others.

    Args:
        scores: x, one a model.
        covariance: C, of the errors of the scores; models scored on different images have C_ij = 0.
        level: in (0, 1); the probability of separating any two models that are equal.

    Raises:
        ArgumentError: the shapes do not fit, a value is not finite, the matrix is no covariance, or level is outside
            (0, 1).

    >>> found = separate(np.array([0.9, 0.8, 0.7]), np.diag([0.002, 0.002, 0.002]))
    >>> [f"{p:.4f}" for p in found.p_adjusted]
    ['0.2277', '0.0047', '0.2277']
    >>> found.groups
    (('a',), ('a', 'b'), ('b',))
    >>> list(zip(found.rank_low.tolist(), found.rank_high.tolist()))
    [(1, 2), (1, 3), (2, 3)]
    """
    x, c = np.asarray(scores, dtype=np.float64), np.asarray(covariance, dtype=np.float64)
    if not 0 < level < 1:
        raise ArgumentError(f"level must lie in (0, 1), got {level:g}. Use 0.05 for 95 % intervals.")
    if x.ndim != 1 or c.shape != (x.size, x.size):
        raise ArgumentError(
            f"scores must have the shape (m,) and covariance (m, m), got {x.shape} and {c.shape}. "
            f"Give one score a model, and the covariance of their errors."
        )
    if not (np.isfinite(x).all() and np.isfinite(c).all()):
        raise ArgumentError("scores and covariance must be finite numbers. Leave out models without a score.")
    first, second = np.triu_indices(x.size, k=1)
    own = np.diag(c)
    total = own[first] + own[second]
    variance = total - 2 * c[first, second]
    # Of two models that err alike only rounding is left.
    variance[np.abs(variance) <= _ROUNDING * total] = 0.0
    if (own < 0).any() or (variance < 0).any() or not np.allclose(c, c.T, rtol=1e-9, atol=0):
        raise ArgumentError(
            "covariance must be symmetric, with no difference of negative variance. "
            "Pass the covariance matrix of the errors, not their correlations."
        )
    difference, stderr = x[first] - x[second], np.sqrt(variance)
    alike = np.abs(difference) <= _ROUNDING * np.maximum(np.abs(x[first]), np.abs(x[second]))
    with np.errstate(over="ignore"):
        z = np.divide(np.abs(difference), stderr, out=np.where(alike, 0.0, np.inf), where=stderr > 0)
    p_value: np.ndarray = 2 * norm.sf(z)
    p_adjusted = holm(p_value)
    separated = p_adjusted < level
    half = norm.isf(level / 2) * stderr
    above = np.zeros((x.size, x.size), dtype=bool)  # above[i, j]: i is separated from j, and better
    above[first, second] = separated & (difference > 0)
    above[second, first] = separated & (difference < 0)
    return Separation(
        first,
        second,
        difference,
        stderr,
        difference - half,
        difference + half,
        p_value,
        p_adjusted,
        separated,
        rank_low=1 + above.sum(axis=0),
        rank_high=x.size - above.sum(axis=1),
        groups=tie_groups(x, above | above.T),
    )


def holm(p_values: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
    """Return p-values adjusted by Holm's step-down method.

    With p_(1) ≤ … ≤ p_(n), the k-th becomes max_{j ≤ k} min(1, (n − j + 1) p_(j)).

    Source: S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6
    (1979), 65–70.

    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.minimum(1.0, np.arange(p_values.size, 0, -1) * p_values[order])
    adjusted: np.ndarray = np.empty_like(steps)
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted


def tie_groups(scores: Float[np.ndarray, " m"], separated: Bool[np.ndarray, "m m"]) -> tuple[tuple[str, ...], ...]:
    """Return the letters of the tie groups of each model.

    In order of falling score, a tie group is a run of consecutive models no two of which are separated, and that no
    longer run contains; the first is a, the 27th aa. A tie is not transitive, so a model can be in several groups.
    Models that share a letter are not separated. The converse can fail where standard errors differ: a model of large
    error ties with one far above it across others that are separated; its rank range and the differences tell.

    >>> apart = np.array([[False, False, True], [False, False, False], [True, False, False]])
    >>> tie_groups(np.array([0.9, 0.8, 0.7]), apart)
    (('a',), ('a', 'b'), ('b',))
    """
    order = np.argsort(-scores, kind="stable")
    apart = separated[np.ix_(order, order)]
    groups: list[list[str]] = [[] for _ in order]
    found, reached = 0, 0
    for start in range(len(order)):
        stop = start + 1
        while stop < len(order) and not apart[start:stop, stop].any():
            stop += 1
        # A run that ends where the one before it ends is contained in it.
        if stop > reached:
            for model in order[start:stop]:
                groups[model].append(letters(found))
            found, reached = found + 1, stop
    return tuple(map(tuple, groups))


Interval = Annotated[list[float], Field(min_length=2, max_length=2)]


class Entry(Record):
    """One encoder of a comparison."""

    model: str = Field(description="As it was asked for.")
    trained: bool | None = Field(description="False for the untrained twin; None for added representations.")
    score: float = Field(description="SynBench-Score at the ε and a_t of the comparison.")
    stderr: float = Field(ge=0, description="Its standard error.")
    interval: Interval = Field(description="Its own interval, [low, high], as its report gives it.")
    kappa: float | None = Field(description="κ at this ε; None where the report has none.")
    kappa_stderr: float | None
    rank_low: int = Field(ge=1, description="1 + number of encoders that are separated from it and better.")
    rank_high: int = Field(ge=1, description="Number of encoders − number that are separated from it and worse.")
    groups: list[str] = Field(min_length=1, description="Letters of its tie groups.")
    image_shape: list[int] | None = Field(description="Channels, height, width.")
    images: int = Field(ge=1, description="Representations that were used.")
    baseline_score: float | None = Field(description="Headline score of its untrained twin; None at other ε or a_t.")
    report: int = Field(ge=0, description="Index into reports.")


class Difference(Record):
    """One pair of encoders of a comparison."""

    first: int = Field(ge=0, description="Index into entries, the one of higher score.")
    second: int = Field(ge=0, description="Index into entries.")
    difference: float = Field(description="Score of the first − score of the second.")
    stderr: float = Field(ge=0)
    interval: Interval = Field(description="Two-sided (1 − level) interval of this one difference, [low, high].")
    p_value: float = Field(ge=0, le=1, description="Two-sided, of this one pair.")
    p_adjusted: float = Field(ge=0, le=1, description="By Holm's method over all pairs.")
    separated: bool = Field(description="p_adjusted < level.")
    paired: bool = Field(description="Scored on the same images, and the shared error is taken into account.")


class Comparison(Versioned):
    """Encoders in order of falling score, with ranks and ties, and everything they were made of."""

    called: ClassVar[str] = "comparison"
    written_by: ClassVar[str] = "synbench compare"

    schema_version: Literal[1] = SCHEMA_VERSION
    protocol: str = Field(description="Protocol of the reports; 'mixed' if they were not of one.")
    epsilon: float = Field(ge=0, lt=1, description="Where the compared score is read.")
    threshold: float = Field(ge=0.6, lt=1, description="Where the compared score is read.")
    level: float = Field(gt=0, lt=1, description="Probability of separating any two encoders that are equal.")
    entries: list[Entry] = Field(min_length=2)
    differences: list[Difference] = Field(description="Every pair once.")
    reports: list[Report] = Field(description="In the order they were given.")
    warnings: list[str]

    @model_validator(mode="after")
    def _parts_agree(self) -> "Comparison":
        if sorted(entry.report for entry in self.entries) != list(range(len(self.reports))):
            raise ValueError("entries must name each of the reports once")
        scores = [entry.score for entry in self.entries]
        if scores != sorted(scores, reverse=True):
            raise ValueError("entries must be in order of falling score")
        pairs = [(d.first, d.second) for d in self.differences]
        if pairs != list(combinations(range(len(self.entries)), 2)):
            raise ValueError("differences must hold every pair of entries once, in order")
        return self

    def to_csv(self) -> str:
        """Return the entries as rows under a header (RFC 4180), numbers in full, nothing for what is undefined.

        Tie groups are separated by spaces, the sides of an image by ×.
        """
        stream = io.StringIO(newline="")
        rows = [_csv_row(entry) for entry in self.entries]
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return stream.getvalue()


def of_reports(
    reports: Sequence[Report],
    contributions: Sequence[Float[np.ndarray, " _"] | None],
    *,
    epsilon: float = HEADLINE_EPSILON,
    threshold: float = HEADLINE_THRESHOLD,
    level: float = 0.05,
    allow_mixed: bool = False,
) -> Comparison:
    """Compare encoders by their reports.

    The variance of a score is that of its report. Two encoders scored on the same images are paired: the correlation
    of their errors is c_iᵀc_j / (‖c_i‖ ‖c_j‖), and their covariance this times both standard errors.

    Args:
        reports: at least two, of different encoders.
        contributions: for each report a vector c with one number per independent draw of images, such that the
            variance of the error of its score is Σ c²; or None, and it is compared as unpaired. They must belong to
            the score at ``epsilon`` and ``threshold``: those of another cell would give another correlation. For a
            cell whose contributions are not at hand, pass None.
        epsilon: row of the compared score.
        threshold: column of the compared score.
        level: probability of separating any two encoders that are equal.
        allow_mixed: compare reports of different protocols, scales or precisions too; the record carries a warning.

    Raises:
        ArgumentError: fewer than two reports, or contributions that do not fit them; an encoder is there twice; the
            reports cannot be compared; one has no score or no standard error at this ε and a_t.
    """
    if len(reports) < 2:
        raise ArgumentError(
            f"a comparison needs at least two reports, got {len(reports)}. Score another encoder with these settings."
        )
    vectors = _check_contributions(contributions, len(reports))
    labels = [f"reports[{k}] ({_model_name(report)})" for k, report in enumerate(reports)]
    _refuse_duplicates(reports, labels)
    warnings = _check_alike(reports, labels, allow_mixed)
    readings = [_read(report, label, epsilon, threshold) for report, label in zip(reports, labels, strict=True)]
    order = sorted(range(len(reports)), key=lambda k: -readings[k].score)
    correlation = _correlation([reports[k] for k in order], [vectors[k] for k in order])
    paired = ~np.isnan(correlation)
    stderr = np.array([readings[k].stderr for k in order])
    covariance = np.where(paired, correlation, 0.0) * np.outer(stderr, stderr)
    found = separate(np.array([readings[k].score for k in order]), covariance, level)
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
            model=_model_name(report),
            trained=report.settings.model.trained if report.settings.model else None,
            score=reading.score,
            stderr=reading.stderr,
            interval=reading.interval,
            kappa=reading.kappa,
            kappa_stderr=reading.kappa_stderr,
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
        level=level,
        entries=entries,
        differences=differences,
        reports=list(reports),
        warnings=warnings,
    )


def rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return the table for a terminal, one row an entry.

    Columns: rank or rank range, tie groups, model, score ± half its interval, the interval, κ. All scores have the
    decimals that give the narrowest interval two digits, at least 3 and at most 6.
    """
    halves = [(entry.interval[1] - entry.interval[0]) / 2 for entry in comparison.entries]
    narrowest = min((half for half in halves if half > 0), default=1.0)
    decimals = min(max(1 - math.floor(math.log10(narrowest)), 3), 6)
    return [
        (
            f"{entry.rank_low}" if entry.rank_low == entry.rank_high else f"{entry.rank_low}–{entry.rank_high}",
            " ".join(entry.groups),
            name,
            f"{entry.score:.{decimals}f} ± {half:.{decimals}f}",
            f"[{entry.interval[0]:.{decimals}f}, {entry.interval[1]:.{decimals}f}]",
            "–" if entry.kappa is None else f"{entry.kappa:.3f}",
        )
        for entry, name, half in zip(comparison.entries, names(comparison), halves, strict=True)
    ]


def names(comparison: Comparison) -> list[str]:
    """Return a name for each entry that no other has: the model, with its commit or weights where that is needed."""
    plain = [(entry.model, entry.trained) for entry in comparison.entries]
    told = []
    for entry, own in zip(comparison.entries, plain, strict=True):
        model = comparison.reports[entry.report].settings.model
        version = (model.commit or model.weights_sha256) if model else None
        shown = f" @ {version[:12]}" if version and plain.count(own) > 1 else ""
        told.append(f"{entry.model}{shown}{TWIN if entry.trained is False else ''}")
    return [
        f"{name} [{entry.report}]" if told.count(name) > 1 else name
        for entry, name in zip(comparison.entries, told, strict=True)
    ]


@dataclass(frozen=True)
class _Reading:
    """What a report says at one ε and a_t."""

    score: float
    stderr: float
    interval: list[float]
    kappa: float | None
    kappa_stderr: float | None
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
            f"expected reports with a score {at}, but {label} has rows for ε = {_listed(report.epsilons)} and columns "
            f"for a_t = {_listed(report.thresholds)}. Choose a cell that every report has, or score it again with one."
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
    return _Reading(
        score,
        stderr,
        list(interval),
        kappa=report.kappa[row] if report.kappa is not None and row is not None else None,
        kappa_stderr=report.kappa_stderr[row] if report.kappa_stderr is not None and row is not None else None,
        baseline=report.baseline.synbench_score if headline and report.baseline is not None else None,
    )


def _check_contributions(
    contributions: Sequence[Float[np.ndarray, " _"] | None], count: int
) -> list[Float[np.ndarray, " _"] | None]:
    """Return the contributions as float64 vectors.

    Raises:
        ArgumentError: there is not one for each report, or one is no vector of finite numbers.
    """
    if len(contributions) != count:
        raise ArgumentError(
            f"contributions must hold one vector, or None, for each of the {count} reports, got {len(contributions)}."
        )
    vectors = [None if c is None else np.asarray(c, dtype=np.float64) for c in contributions]
    for k, vector in enumerate(vectors):
        if vector is not None and (vector.ndim != 1 or not vector.size or not np.isfinite(vector).all()):
            raise ArgumentError(
                f"contributions must be vectors of finite numbers, one a draw, but contributions[{k}] has the shape "
                f"{vector.shape} or is not finite. Pass None to compare that report as unpaired."
            )
    return vectors


def _refuse_duplicates(reports: Sequence[Report], labels: Sequence[str]) -> None:
    """Refuse the same encoder twice; modules and callables carry nothing to know them by.

    Raises:
        ArgumentError: two reports are of one encoder.
    """
    seen: dict[Hashable, str] = {}
    for report, label in zip(reports, labels, strict=True):
        model = report.settings.model
        if model is None or model.source in ("module", "callable"):
            continue
        key = (model.id, model.commit, model.weights_sha256, model.trained, model.pooling)
        if key in seen:
            raise ArgumentError(
                f"expected different encoders, but {seen[key]} and {label} are the same model with the same weights. "
                f"Give each encoder once."
            )
        seen[key] = label


def _check_alike(reports: Sequence[Report], labels: Sequence[str], allow_mixed: bool) -> list[str]:
    """Return warnings about what differs between the reports.

    Raises:
        ArgumentError: something differs that their scores depend on, and it is not allowed.
    """
    if differing := _differing(reports, labels, lambda r: r.settings.as_published, str):
        raise ArgumentError(
            f"expected reports that all reproduce the authors' script or none, got as_published={differing}. "
            f"Score them again with one setting."
        )
    warnings = []
    for what, value, told in (
        ("protocol", lambda r: r.protocol, str),
        ("grid of scales", lambda r: tuple(map(scale_key, r.scales)), lambda key: _listed([k * 1e-6 for k in key])),
        ("precision", lambda r: r.settings.precision.dtype if r.settings.precision else None, str),
        # Another direction of the means is another draw of one mixture, in this respect.
        ("mixture", lambda r: "textures" if r.settings.direction == TEXTURE else "means", str),
    ):
        if not (differing := _differing(reports, labels, value, told)):
            continue
        if not allow_mixed:
            raise ArgumentError(
                f"expected reports of one {what}, got {differing}. Score them with the same settings, or compare them "
                f"all the same with allow_mixed=True; the result then carries a warning."
            )
        warnings.append(
            f"The reports are not of one {what}: {differing}. A part of the differences between their scores can come "
            f"from that, and not from the encoders."
        )
    if differing := _differing(reports, labels, _biasing_width, lambda width: f"{width} dimensions"):
        warnings.append(
            f"The paper protocol is biased by the width of the representation, and the encoders differ in it: "
            f"{differing}. Their intervals do not contain that bias. Raise samples, or use another protocol."
        )
    if differing := _differing(reports, labels, lambda r: tuple(r.settings.image_shape or ()) or None, _sides):
        warnings.append(
            f"The encoders were scored at different input sizes: {differing}. Each score is of a mixture in its own "
            f"image space, and pairs of different size are unpaired."
        )
    return warnings


def _differing(
    reports: Sequence[Report],
    labels: Sequence[str],
    value: Callable[[Report], Hashable],
    told: Callable[[Any], str],
) -> str:
    """Return the values that differ, each with the first report that has it; nothing if there is at most one.

    What is not recorded (None) differs from nothing.
    """
    first: dict[Hashable, str] = {}
    for report, label in zip(reports, labels, strict=True):
        first.setdefault(value(report), label)
    first.pop(None, None)
    return "; ".join(f"{told(v)} for {label}" for v, label in first.items()) if len(first) > 1 else ""


def _biasing_width(report: Report) -> int | None:
    return report.settings.model.dimension if report.protocol == "paper" and report.settings.model else None


def _correlation(
    reports: Sequence[Report], vectors: Sequence[Float[np.ndarray, " _"] | None]
) -> Float[np.ndarray, "m m"]:
    """Return the correlation of the errors of the scores, NaN for unpaired ones."""
    values = np.full((len(reports), len(reports)), np.nan)
    np.fill_diagonal(values, 1.0)
    images = [_images_key(report) for report in reports]
    for i, j in combinations(range(len(reports)), 2):
        one, other = vectors[i], vectors[j]
        if one is None or other is None or one.size != other.size or images[i] is None or images[i] != images[j]:
            continue
        norms = np.linalg.norm(one) * np.linalg.norm(other)
        # An error of 0 is correlated with none.
        values[i, j] = values[j, i] = np.clip(one @ other / norms, -1, 1) if norms > 0 else 0.0
    return values


def _images_key(report: Report) -> Hashable:
    """Return what the drawn images depend on; None where it is not recorded."""
    settings = report.settings
    if settings.image_shape is None or settings.seed is None:
        return None
    return (
        tuple(settings.image_shape),
        settings.seed,
        report.images,
        tuple(map(scale_key, report.scales)),
        report.protocol,
        settings.samples,
        settings.direction,
        # A CPU and a GPU draw different numbers from one seed.
        settings.device.partition(":")[0] if settings.device else None,
    )


def _place(value: float, grid: Sequence[float]) -> int | None:
    """Return where a value stands in a grid, up to rounding."""
    return next((k for k, v in enumerate(grid) if math.isclose(v, value, rel_tol=0, abs_tol=1e-9)), None)


def _model_name(report: Report) -> str:
    return report.settings.model.id if report.settings.model else "added representations"


def letters(number: int) -> str:
    """Return the name of a group by its number: a, b, …, z, aa, ab and so on.

    >>> [letters(k) for k in (0, 25, 26, 27, 701, 702)]
    ['a', 'z', 'aa', 'ab', 'zz', 'aaa']
    """
    text, rest = "", number + 1
    while rest:
        rest, letter = divmod(rest - 1, 26)
        text = chr(ord("a") + letter) + text
    return text


def _listed(values: Sequence[float]) -> str:
    if len(values) <= 9:
        return "[" + ", ".join(f"{v:g}" for v in values) + "]"
    return f"{len(values)} values from {values[0]:g} to {values[-1]:g}"


def _sides(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def _csv_row(entry: Entry) -> dict[str, Any]:
    values = entry.model_dump(mode="json")
    low, high = values.pop("interval")
    return {
        "rank_low": values.pop("rank_low"),
        "rank_high": values.pop("rank_high"),
        "groups": " ".join(values.pop("groups")),
        "model": values.pop("model"),
        "trained": values.pop("trained"),
        "score": values.pop("score"),
        "stderr": values.pop("stderr"),
        "interval_low": low,
        "interval_high": high,
        "image_shape": _sides(values.pop("image_shape") or []) or None,
        **values,
    }
