"""The record of a comparison: encoders in order, with ranks and ties, and its table."""

import csv
import io
import math
from collections.abc import Iterable
from itertools import combinations
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import Field, model_validator

from .comparability import sides
from .errors import ArgumentError
from .report import Record, Report, Versioned
from .settings import TEXTURE

Measure = Literal["score", "kappa"]
"""What is compared: the SynBench-Score at one ε and a_t, or κ at this ε."""

SCHEMA_VERSION: Literal[2] = 2
"""Raised whenever a field changes its name, type or meaning."""

TWIN = " (untrained twin)"
"""What the name of an untrained twin ends with."""

Interval = Annotated[list[float], Field(min_length=2, max_length=2)]


class Entry(Record):
    """One encoder of a comparison."""

    model: str = Field(description="As it was asked for.")
    trained: bool | None = Field(description="False for the untrained twin; None for added representations.")
    score: float | None = Field(
        description="SynBench-Score at the ε and a_t of the comparison; None only where κ is compared."
    )
    stderr: float | None = Field(ge=0, description="Its standard error.")
    interval: Interval | None = Field(description="Its own interval, [low, high], as its report gives it.")
    kappa: float | None = Field(description="κ at this ε; None where the report has none.")
    kappa_stderr: float | None
    kappa_interval: Interval | None = Field(description="Its own interval, [low, high].")
    rank_low: int = Field(ge=1, description="1 + number of encoders that are separated from it and better.")
    rank_high: int = Field(ge=1, description="Number of encoders − number that are separated from it and worse.")
    groups: list[str] = Field(min_length=1, description="Letters of its tie groups.")
    image_shape: list[int] | None = Field(description="Channels, height, width.")
    images: int = Field(ge=1, description="Representations that were used.")
    baseline_score: float | None = Field(description="Headline score of its untrained twin; None at other ε or a_t.")
    baseline_kappa: float | None = Field(description="κ of its untrained twin at this ε.")
    report: int = Field(ge=0, description="Index into reports.")


class Difference(Record):
    """One pair of encoders of a comparison."""

    first: int = Field(ge=0, description="Index into entries, the one that stands higher.")
    second: int = Field(ge=0, description="Index into entries.")
    difference: float = Field(description="Score (or κ, where that is compared) of the first − that of the second.")
    stderr: float = Field(ge=0, description="Of a score's difference; of κ's, half the interval over its quantile.")
    interval: Interval = Field(description="Two-sided (1 − level) interval of this one difference, [low, high].")
    p_value: float = Field(ge=0, le=1, description="Two-sided, of this one pair.")
    p_adjusted: float = Field(ge=0, le=1, description="By Holm's method over all pairs.")
    separated: bool = Field(description="p_adjusted < level.")
    paired: bool = Field(description="Scored on the same images, and the shared error is taken into account.")


class Comparison(Versioned):
    """Encoders in order of falling score, or κ, with ranks and ties, and everything they were made of."""

    called: ClassVar[str] = "comparison"
    written_by: ClassVar[str] = "synbench compare"

    schema_version: Literal[2] = SCHEMA_VERSION
    protocol: str = Field(description="Protocol of the reports; 'mixed' if they were not of one.")
    epsilon: float = Field(ge=0, lt=1, description="Where the compared score is read.")
    threshold: float = Field(ge=0.6, lt=1, description="Where the compared score is read.")
    measure: Measure = Field(description="What is compared: the score, or κ at this ε, whatever the threshold.")
    level: float = Field(gt=0, lt=1, description="Probability of separating any two encoders that are equal.")
    entries: list[Entry] = Field(min_length=2)
    differences: list[Difference] = Field(description="Every pair once.")
    reports: list[Report] = Field(description="In the order they were given.")
    warnings: list[str]

    @model_validator(mode="after")
    def _parts_agree(self) -> "Comparison":
        if sorted(entry.report for entry in self.entries) != list(range(len(self.reports))):
            raise ValueError("entries must name each of the reports once")
        if any(None in self._measured(entry) for entry in self.entries):
            raise ValueError(f"entries must have a {self.measure} and its interval where it is compared")
        values = [self.reading(entry)[0] for entry in self.entries]
        if values != sorted(values, reverse=True):
            raise ValueError(f"entries must be in order of falling {self.measure}")
        pairs = [(d.first, d.second) for d in self.differences]
        if pairs != list(combinations(range(len(self.entries)), 2)):
            raise ValueError("differences must hold every pair of entries once, in order")
        return self

    def reading(self, entry: Entry) -> tuple[float, list[float]]:
        """Return what is compared of an entry, and its interval."""
        value, interval = self._measured(entry)
        assert value is not None
        assert interval is not None
        return value, interval

    def twin(self, entry: Entry) -> float | None:
        """Return what is compared of the untrained twin of an entry, where it is known."""
        return entry.baseline_kappa if self.measure == "kappa" else entry.baseline_score

    def _measured(self, entry: Entry) -> tuple[float | None, list[float] | None]:
        return (entry.kappa, entry.kappa_interval) if self.measure == "kappa" else (entry.score, entry.interval)

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


def check_measure(measure: str | None) -> Measure | None:
    """Return what is to be compared.

    Raises:
        ArgumentError: it is neither of the two, nor None.
    """
    if measure not in (None, "score", "kappa"):
        raise ArgumentError(f"measure must be 'score' or 'kappa', got {measure!r}.")
    return cast("Measure | None", measure)


def default_measure(directions: Iterable[str | None]) -> Measure:
    """Return what is compared where nobody says: κ of textures, of which few encoders keep enough for a score."""
    return "kappa" if TEXTURE in directions else "score"


def quantity(comparison: Comparison) -> str:
    """Return what is compared, in words."""
    if comparison.measure == "score":
        return "SynBench-Score"
    textures = all(report.settings.direction == TEXTURE for report in comparison.reports)
    return "κ of textures" if textures else "κ"


def headings(comparison: Comparison) -> tuple[str, ...]:
    """Return what stands above the columns of ``rows``."""
    last = ("κ", "95 % interval", "score") if comparison.measure == "kappa" else ("score", "95 % interval", "κ")
    return ("rank", "ties", "model", *last)


def rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return the table for a terminal, one row an entry.

    Columns: rank or rank range, tie groups, model, score ± half its interval, the interval, κ; score and κ change
    places where κ is compared. What is compared has the decimals that give the narrowest interval two digits, at least
    3 and at most 6.
    """
    readings = [comparison.reading(entry) for entry in comparison.entries]
    halves = [(high - low) / 2 for _, (low, high) in readings]
    narrowest = min((half for half in halves if half > 0), default=1.0)
    decimals = min(max(1 - math.floor(math.log10(narrowest)), 3), 6)
    others = [entry.score if comparison.measure == "kappa" else entry.kappa for entry in comparison.entries]
    return [
        (
            f"{entry.rank_low}" if entry.rank_low == entry.rank_high else f"{entry.rank_low}–{entry.rank_high}",
            " ".join(entry.groups),
            name,
            f"{value:.{decimals}f} ± {half:.{decimals}f}",
            f"[{low:.{decimals}f}, {high:.{decimals}f}]",
            "–" if other is None else f"{other:.3f}",
        )
        for entry, name, half, (value, (low, high)), other in zip(
            comparison.entries, names(comparison), halves, readings, others, strict=True
        )
    ]


def names(comparison: Comparison) -> list[str]:
    """Return a name for each entry that no other has: the model, with its commit or weights where that is needed."""
    plain = [(entry.model, entry.trained) for entry in comparison.entries]
    called = []
    for entry, own in zip(comparison.entries, plain, strict=True):
        model = comparison.reports[entry.report].settings.model
        version = (model.commit or model.weights_sha256) if model else None
        shown = f" @ {version[:12]}" if version and plain.count(own) > 1 else ""
        called.append(f"{entry.model}{shown}{TWIN if entry.trained is False else ''}")
    return [
        f"{name} [{entry.report}]" if called.count(name) > 1 else name
        for entry, name in zip(comparison.entries, called, strict=True)
    ]


def _csv_row(entry: Entry) -> dict[str, Any]:
    values = entry.model_dump(mode="json")
    low, high = values.pop("interval") or (None, None)
    kappa_low, kappa_high = values.pop("kappa_interval") or (None, None)
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
        "image_shape": sides(values.pop("image_shape") or []) or None,
        **values,
        "kappa_low": kappa_low,
        "kappa_high": kappa_high,
    }
