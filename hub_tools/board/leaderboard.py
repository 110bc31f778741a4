"""The leaderboard: published scores joined with one's own, ranked where their errors are known, ties admitted.

A board holds results that may be compared: one number (task) of one benchmark, at one revision of it, with one kind of
settings. In a board a model has one row. Where its number stands in several places, the first of these is taken: a
report of one's own, one in a dataset of results, ``.eval_results``, the card, an open pull request; what the others say
is told if it differs.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from hub_tools.score.results import TASK_IDS
from synbench.report import Record, Versioned
from synbench.separation import letters

from .collecting import STANDARD, Entry, Published, Source
from .ranking import rank

SCHEMA_VERSION: Literal[2] = 2
"""Raised whenever a field changes its name, type or meaning."""

HEADLINES = ("population_score", "paper_score")
"""The tasks that are shown where none is asked for."""

_ORDER: tuple[Source, ...] = ("local", "dataset", "eval-results", "model-index", "pull-request")

Interval = Annotated[list[float], Field(min_length=2, max_length=2)]


class Other(Record):
    """What another place says of the same number of the same model."""

    source: Source
    commit: str | None
    value: float


class BoardRow(Record):
    """One model of a board."""

    rank_low: int | None = Field(
        ge=1, description="1 + number of models separated from it and better; None without a known error."
    )
    rank_high: int | None = Field(ge=1, description="Number of ranked models − number separated from it and worse.")
    ties: str | None = Field(description="Letters of its tie groups, the first to the last.")
    model: str
    value: float
    stderr: float | None = Field(ge=0, description="None where it is not told.")
    interval: Interval | None = Field(description="95 %; None where no error is told.")
    commit: str | None = Field(description="That was scored, where it is told.")
    config: str | None = Field(description="Dataset config, where it is told.")
    source: Source
    pull_request: int | None = Field(description="Number of the open pull request that it stands in.")
    verified: bool = Field(description="Whether the Hub vouches for it.")
    parameters: int | None = Field(ge=1, description="Of the model's safetensors, where the Hub tells them.")
    family: str | None = Field(description="Kind of model, such as vit; None where it is not told.")
    record: str | None = Field(description="Address of what the number is read from, where that is on the Hub.")
    others: list[Other] = Field(description="What other places say, where it is of another commit or value.")


class Board(Record):
    """Models that may be compared, best first; below them those without a known error."""

    task_id: str
    settings: str = Field(description="'standard', or what sets these results apart from those that are.")
    revision: str | None = Field(description="Of the benchmark dataset.")
    rows: list[BoardRow] = Field(min_length=1)


class Leaderboard(Versioned):
    """Scores of many models, read back from the Hub and joined with one's own."""

    called: ClassVar[str] = "leaderboard"

    schema_version: Literal[2] = SCHEMA_VERSION
    benchmark: str
    level: float = Field(gt=0, lt=1, description="Probability of separating any two equal models of a board.")
    models: int = Field(ge=0, description="That were looked at.")
    unreadable: int = Field(ge=0, description="Entries of this benchmark that could not be read.")
    boards: list[Board]
    tasks: dict[str, int] = Field(description="Models by task, those of tasks that were not asked for among them.")
    warnings: list[str]

    def to_csv(self) -> str:
        """Return all boards as rows under a header (RFC 4180), nothing for what is not known."""
        stream = io.StringIO(newline="")
        names = ["task_id", "settings", "revision", *_CSV]
        writer = csv.DictWriter(stream, fieldnames=names)
        writer.writeheader()
        for board in self.boards:
            for row in board.rows:
                values = row.model_dump(mode="json", exclude={"interval", "others"})
                low, high = row.interval or (None, None)
                own = {"task_id": board.task_id, "settings": board.settings, "revision": board.revision}
                writer.writerow({**own, **values, "interval_low": low, "interval_high": high})
        return stream.getvalue()


_CSV = (
    *("rank_low", "rank_high", "ties", "model", "value", "stderr", "interval_low", "interval_high"),
    *("commit", "config", "source", "pull_request", "verified", "parameters", "family", "record"),
)


def make_leaderboard(
    published: Iterable[Published] | None,
    own: Sequence[tuple[Entry, int]] = (),
    *,
    benchmark: str,
    tasks: Sequence[str] | None = HEADLINES,
    level: float = 0.05,
    warnings: Sequence[str] = (),
    unlisted: bool = False,
) -> Leaderboard:
    """Join published scores with one's own, and rank them.

    Args:
        published: what models have on the Hub; ``None`` if it was not asked. Reports of models that are not among
            them are left out, and told.
        own: numbers of one's own reports and of those in datasets, each with the images that it was measured from.
        benchmark: id of the benchmark dataset.
        tasks: which numbers; ``None`` for all.
        level: probability of separating any two models of a board that are equal.
        warnings: what was told on the way.
        unlisted: leave those reports in.

    Raises:
        ArgumentError: level is outside (0, 1).
    """
    found = list(published or ())
    heads = {p.model: p.head for p in found}
    entries = [entry for p in found for entry in p.entries]
    told = list(warnings)
    # The Hub does not tell names apart by case.
    names = {model.lower(): model for model in heads}
    everything = unlisted or published is None
    kept = [
        (replace(e, model=names.get(e.model.lower(), e.model)), images)
        for e, images in own
        if everything or e.model.lower() in names
    ]
    if missing := 0 if everything else len({e.model for e, _ in own if e.model.lower() not in names}):
        told.append(f"Reports of {_models(missing)} were left out: not among the models that were listed.")
    entries += _by_worth(kept, heads, {(e.model, e.commit) for e in entries})
    boards: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: _ORDER.index(e.source)):
        boards.setdefault((entry.task_id, entry.settings, entry.revision or ""), []).append(entry)
    about = {p.model: p for p in found}
    made = [_board(boards[key], level, about) for key in sorted(boards, key=_place) if tasks is None or key[0] in tasks]
    problems = [p for p in found if p.problem is not None]
    if problems:
        told.append(f"{_models(len(problems))} could not be read, such as {problems[0].model}: {problems[0].problem}")
    unreadable = sum(p.unreadable for p in found)
    if unreadable:
        told.append(f"{_entries(unreadable)} of this benchmark could not be read, and were left out.")
    if differing := len({row.model for board in made for row in board.rows if row.others}):
        told.append(
            f"{_models(differing)} (marked *) {'has' if differing == 1 else 'have'} other numbers in other places, of "
            f"another commit or value: see others in --json."
        )
    counts = {task: len({e.model for e in entries if e.task_id == task}) for task in {e.task_id for e in entries}}
    return Leaderboard(
        benchmark=benchmark,
        level=level,
        models=len({*heads, *(e.model for e in entries)}),
        unreadable=unreadable,
        boards=made,
        tasks={task: counts[task] for task in sorted(counts, key=_task_place)},
        warnings=told,
    )


@dataclass(frozen=True)
class _Row:
    """One row in the making."""

    entry: Entry
    others: tuple[Entry, ...] = ()

    def takes(self, entry: Entry) -> bool:
        """Tell whether an entry is of the same number: none of the two configs says otherwise."""
        return None in (self.entry.config, entry.config) or self.entry.config == entry.config

    def with_other(self, entry: Entry) -> "_Row":
        """Return the row with what another place says."""
        own = self.entry
        if own.commit == entry.commit and abs(own.value - entry.value) < 1e-9:
            filled = replace(
                own,
                config=own.config or entry.config,
                stderr=entry.stderr if own.stderr is None else own.stderr,
                interval=own.interval or entry.interval,
                record=own.record or entry.record,
            )
            return _Row(filled, self.others)
        return _Row(own, (*self.others, entry))


def _board(entries: Sequence[Entry], level: float, about: Mapping[str, Published]) -> Board:
    models: dict[str, list[_Row]] = {}
    for entry in entries:
        rows = models.setdefault(entry.model, [])
        place = next((k for k, row in enumerate(rows) if row.takes(entry)), None)
        if place is None:
            rows.append(_Row(entry))
        else:
            rows[place] = rows[place].with_other(entry)
    made = [row for rows in models.values() for row in rows]
    ranked = sorted((r for r in made if r.entry.stderr is not None), key=lambda r: (-r.entry.value, r.entry.model))
    rest = sorted((r for r in made if r.entry.stderr is None), key=lambda r: (-r.entry.value, r.entry.model))
    found = rank(
        np.array([r.entry.value for r in ranked]), np.array([r.entry.stderr for r in ranked], dtype=np.float64), level
    )
    ranks = zip(found.rank_low, found.rank_high, found.group_first, found.group_last, strict=True)
    first = entries[0]
    return Board(
        task_id=first.task_id,
        settings=first.settings,
        revision=first.revision,
        rows=[
            *(
                _row(r, about.get(r.entry.model), int(low), int(high), ties(int(a), int(b)))
                for r, (low, high, a, b) in zip(ranked, ranks, strict=True)
            ),
            *(_row(r, about.get(r.entry.model), None, None, None) for r in rest),
        ],
    )


def ties(first: int, last: int) -> str:
    """Return the letters of the tie groups from one to another.

    >>> ties(0, 0), ties(0, 2), ties(0, 3), ties(25, 300)
    ('a', 'a b c', 'a–d', 'z–ko')
    """
    if last - first > 2:
        return f"{letters(first)}–{letters(last)}"
    return " ".join(letters(k) for k in range(first, last + 1))


def _row(row: _Row, about: Published | None, low: int | None, high: int | None, groups: str | None) -> BoardRow:
    e = row.entry
    return BoardRow(
        rank_low=low,
        rank_high=high,
        ties=groups,
        model=e.model,
        value=e.value,
        stderr=e.stderr,
        interval=list(e.interval) if e.interval else None,
        commit=e.commit,
        config=e.config,
        source=e.source,
        pull_request=e.pull_request,
        verified=e.verified,
        parameters=about.parameters if about else None,
        family=about.family if about else None,
        record=e.record,
        others=[Other(source=o.source, commit=o.commit, value=o.value) for o in row.others],
    )


def _by_worth(
    own: Sequence[tuple[Entry, int]], heads: Mapping[str, str | None], published: set[tuple[str, str | None]]
) -> list[Entry]:
    """Return one's own entries, of several of a model first the one of the commit that is there now or is published."""

    def worth(one: tuple[Entry, int]) -> tuple[bool, bool, int]:
        entry, images = one
        now = entry.commit is not None and entry.commit == heads.get(entry.model)
        return now, (entry.model, entry.commit) in published, images

    return [entry for entry, _ in sorted(own, key=worth, reverse=True)]


def _place(key: tuple[str, str, str]) -> tuple[Any, ...]:
    task_id, settings, revision = key
    return _task_place(task_id), settings != STANDARD, settings, revision


def _task_place(task_id: str) -> tuple[int, str]:
    return (TASK_IDS.index(task_id) if task_id in TASK_IDS else len(TASK_IDS)), task_id


def _models(count: int) -> str:
    return "1 model" if count == 1 else f"{count:,} models"


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count:,} entries"
