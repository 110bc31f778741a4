"""What there is to do about each model of a plan: told by the plan, the results, the lists and the journal alone.

No request is made here. A model that is done, or whose owner said no, is not asked about again.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hub_tools.score.changes import Place
from hub_tools.score.results import BENCHMARK, model_index_result
from synbench.errors import ArgumentError
from synbench.report import Report

from .consent import Consent
from .journal import Entry
from .plans import Plan, PlannedModel
from .scored import find


@dataclass(frozen=True)
class Terms:
    """What is published, and as what.

    Args:
        only: one of the two places, instead of both.
        benchmark: id of the benchmark dataset that the results name.
        source_url: page that tells of the numbers.
    """

    only: Place | None = None
    benchmark: str = BENCHMARK
    source_url: str | None = None


@dataclass(frozen=True)
class Standing:
    """What the journal tells of a model.

    Args:
        refusal: why nothing is ever to be done again: its owner closed the pull request, or merged it.
        done: key of what the pull request holds.
        skipped: key of what the repository cannot take.
        reason: of that.
        sent: when a write began whose end is not told.
    """

    refusal: str | None = None
    done: str | None = None
    skipped: str | None = None
    reason: str | None = None
    sent: str | None = None

    @property
    def told(self) -> str:
        """How it stands, in a word or two."""
        if self.refusal is not None:
            return self.refusal.partition(":")[0]
        if self.sent is not None:
            return "cut off"
        return "opened" if self.done is not None else "skipped" if self.skipped is not None else "none yet"


@dataclass(frozen=True)
class Selection:
    """Models that something is to be done about, and the others.

    Args:
        todo: lines of the plan, those last that a write was cut off on.
        left: the reason, by model, of the others.
        sent: when that write began, by model.
    """

    todo: tuple[PlannedModel, ...]
    left: Mapping[str, str]
    sent: Mapping[str, str] = field(default_factory=dict)

    def counts(self) -> Counter[str]:
        """Return how many were left, by the first words of the reason."""
        return Counter(reason.partition(":")[0] for reason in self.left.values())


def key_of(report: Report, terms: Terms) -> str:
    """Return a short name of what is published of a report.

    Raises:
        ArgumentError: nothing can be; see ``results.numbers``.
    """
    result = model_index_result(report, benchmark=terms.benchmark, source_url=terms.source_url)
    return hashlib.sha256(json.dumps([result, terms.only], sort_keys=True).encode()).hexdigest()[:16]


def standings(entries: Iterable[Entry]) -> dict[str, Standing]:
    """Sum up a journal, by id in lower case."""
    found: dict[str, Standing] = {}
    for entry in entries:
        if entry.repo is None:
            continue
        name = entry.repo.lower()
        before = found.get(name, Standing())
        if before.refusal is not None:
            continue
        number = "" if entry.number is None else f" {entry.number}"
        if entry.event == "opted-out":
            found[name] = Standing(refusal=f"opted out: its owner closed pull request{number}")
        elif entry.event == "merged":
            found[name] = Standing(refusal=f"merged: its owner merged pull request{number}, and one is enough")
        elif entry.event in ("opened", "amended"):
            found[name] = Standing(done=entry.key)
        elif entry.event == "skipped":
            found[name] = Standing(done=before.done, skipped=entry.key, reason=entry.reason)
        elif entry.event == "sent":
            found[name] = Standing(done=before.done, sent=entry.time)
    return found


def select(
    plan: Plan, results: Path, consent: Consent, past: dict[str, Standing], terms: Terms, *, retry: bool = False
) -> Selection:
    """Tell what there is to do, without a request.

    Args:
        plan: the models.
        results: folder of their results.
        consent: who may be written to.
        past: see ``standings``.
        terms: what is published.
        retry: ask again of those that could not take it before; never of those whose owners said no.
    """
    todo, late, left, sent = list[PlannedModel](), list[PlannedModel](), dict[str, str](), dict[str, str]()
    for planned in plan.models:
        standing = past.get(planned.id.lower(), Standing())
        reason = _left(plan, planned, results, consent, standing, terms, retry=retry)
        if reason is not None:
            left[planned.id] = reason
        elif standing.sent is not None:
            late.append(planned)
            sent[planned.id] = standing.sent
        else:
            todo.append(planned)
    return Selection((*todo, *late), left, sent)


def _left(
    plan: Plan,
    planned: PlannedModel,
    results: Path,
    consent: Consent,
    standing: Standing,
    terms: Terms,
    *,
    retry: bool,
) -> str | None:
    """Return why nothing is to be done about a model, or ``None``."""
    if (reason := consent.refusal(planned.id) or standing.refusal) is not None:
        return reason
    found = find(results, planned, plan.settings)
    if found.report is None:
        return "no result" if found.problem is None else f"another result: {found.problem}"
    try:
        key = key_of(found.report, terms)
    except ArgumentError as error:
        return f"not publishable: {error}"
    if standing.sent is None and standing.done == key:
        return "done"
    if standing.sent is None and standing.skipped == key and not retry:
        return f"skipped before: {standing.reason}"
    return None
