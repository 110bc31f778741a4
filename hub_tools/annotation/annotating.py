"""From results to pull requests: at most one a model, ever, whatever cuts a run off.

A line stands in the journal before every write, and another after it. A run begins with what its journal tells: models
that are done, or whose owners said no, are not asked about again. Of all others the Hub itself is asked whether there
is a pull request of ours, before anything is written; where a run was cut off in the midst of a write, not before the
Hub had the time to finish it.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hub_tools.client.failures import RequestError
from hub_tools.client.hub import Hub
from hub_tools.client.pacing import Pace, StopError
from hub_tools.score.checks import RefusedError
from hub_tools.score.pushing import Proposal, carry_out, propose
from synbench.errors import ArgumentError, CardError, HubError
from synbench.report import Report

from .consent import Consent
from .journal import Entry, Journal, writing
from .plans import Plan, PlannedModel
from .scored import find
from .standing import Selection, Terms, key_of, select, standings

SETTLE = 120.0
"""Seconds after which a write that was cut off has been done, or will not be."""

JOURNAL = "apply.jsonl"
"""Name of the journal, in the folder of the results."""

_ATTEMPTS = 3
_PATIENCE = 5
"""Models in a row that failed, after which it is no use to go on."""


@dataclass
class Published:
    """What a run did.

    Attributes:
        counts: models by opened, amended, merged, opted-out, skipped and failed.
        reasons: of the last four, by model.
        urls: of pull requests, by model.
    """

    counts: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)


class NotingPace(Pace):
    """A pace that calls ``note`` before every write."""

    note: Callable[[], object] | None = None

    def before(self, kind: str) -> None:
        """Wait for the turn of a request, and note it if it writes."""
        super().before(kind)
        if kind == "write" and self.note is not None:
            self.note()


def annotate(
    plan: Plan,
    results: Path,
    consent: Consent,
    *,
    confirm: Callable[[Selection], bool],
    hub: Hub | None = None,
    terms: Terms | None = None,
    limit: int | None = None,
    retry: bool = False,
    progress: bool | None = None,
) -> Published:
    """Put the scores of a plan on their models' cards: the third step, after planning and scoring.

    Args:
        plan: the models.
        results: folder of their results; the journal is kept there.
        consent: who may be written to; see ``read_consent``.
        confirm: asked with what there is to do, once; nothing is written unless it says yes.
        hub: the client, with a ``NotingPace``; by default the login of the machine, 60 writes an hour.
        terms: what is published.
        limit: end after so many pull requests.
        retry: ask again of those that could not take it before.
        progress: show a bar on stderr; by default if it is a terminal.

    Raises:
        ArgumentError: there are no results, or another process writes the journal.
        OutputError: the journal cannot be written.
        HubError: see ``publish``.
    """
    if not results.is_dir():
        raise ArgumentError(f"expected a folder with results, got {str(results)!r}. Score the plan first.")
    terms = terms or Terms()
    with writing(results / JOURNAL) as journal:
        selection = select(plan, results, consent, standings(journal.entries), terms, retry=retry)
        if not confirm(selection) or not selection.todo:
            return Published()
        client = hub or Hub(pace=NotingPace())
        return publish(selection, plan, results, client, journal, terms, limit=limit, progress=progress)


def preview(
    selection: Selection, plan: Plan, results: Path, hub: Hub, terms: Terms
) -> Iterator[tuple[PlannedModel, Proposal | HubError]]:
    """Yield what would be done to each model, or why nothing; nothing is written, neither there nor here.

    Raises:
        StopError: the Hub is not asked any more.
    """
    for planned in selection.todo:
        report = find(results, planned, plan.settings).report
        if report is None:
            continue
        try:
            yield planned, _propose(hub, report, planned, terms)
        except StopError:
            raise
        except HubError as error:
            yield planned, error


def publish(
    selection: Selection,
    plan: Plan,
    results: Path,
    hub: Hub,
    journal: Journal,
    terms: Terms | None = None,
    *,
    limit: int | None = None,
    settle: float = SETTLE,
    sleep: Callable[[float], object] = time.sleep,
    progress: bool | None = None,
) -> Published:
    """Open or amend the pull requests, one model after another.

    Args:
        selection: see ``select``.
        plan: the models.
        results: folder of their results.
        hub: the client, with a ``NotingPace``.
        journal: open for writing.
        terms: what is published.
        limit: end after so many pull requests.
        settle: see ``SETTLE``.
        sleep: waits that many seconds.
        progress: show a bar on stderr; by default if it is a terminal.

    Raises:
        HubError: the Hub is not asked any more, or many models in a row failed; the journal tells how far it came.
    """
    from tqdm.auto import tqdm

    if not isinstance(hub.pace, NotingPace):
        raise ArgumentError("expected a client whose pace notes every write: Hub(pace=NotingPace(...)).")
    one = _Publisher(plan, results, hub, hub.pace, journal, terms or Terms())
    done, in_a_row = Published(), 0
    # disable=None is tqdm's own word for "only on a terminal".
    hidden = None if progress is None else not progress
    with tqdm(selection.todo, unit="model", desc="annotating", disable=hidden) as bar:
        for planned in bar:
            if limit is not None and done.counts["opened"] + done.counts["amended"] >= limit:
                break
            bar.set_postfix_str(planned.id, refresh=True)
            if planned.id in selection.sent and (rest := _rest(selection.sent[planned.id], settle)) > 0:
                sleep(rest)
            entry = one.publish(planned, done)
            done.counts[entry.event] += 1
            if entry.reason is not None:
                done.reasons[planned.id] = entry.reason
            in_a_row = in_a_row + 1 if entry.event == "failed" else 0
            if in_a_row == _PATIENCE:
                raise HubError(
                    f"{in_a_row} models in a row failed, the last one: {entry.reason} Run this again later: it goes "
                    f"on where it stopped."
                )
    return done


@dataclass(frozen=True)
class _Publisher:
    plan: Plan
    results: Path
    hub: Hub
    pace: NotingPace
    journal: Journal
    terms: Terms

    def publish(self, planned: PlannedModel, done: Published) -> Entry:
        """Do what there is to do for one model, and return the line of the journal that tells of it."""
        report = find(self.results, planned, self.plan.settings).report
        if report is None:
            raise ArgumentError(f"the result of {planned.id} went away while this ran. Score it again.")
        key = key_of(report, self.terms)

        def note(event: str, **told: object) -> Entry:
            return self.journal.append(event, planned.id, commit=planned.commit, key=key, **told)  # type: ignore[arg-type]

        try:
            return self._publish(planned, report, note, done)
        except RefusedError as error:
            if error.why in ("closed", "merged"):
                number = error.pull_request.num if error.pull_request else None
                return note("opted-out" if error.why == "closed" else "merged", number=number, reason=str(error))
            return note("skipped", permanent=True, reason=str(error))
        except StopError as error:
            note("failed", permanent=False, reason=str(error))
            raise
        except RequestError as error:
            # A refusal that is not about this one model may be about the account.
            if error.failure.kind == "permanent" and not error.failure.refused:
                return note("skipped", permanent=True, reason=str(error))
            return note("failed", permanent=False, reason=str(error))
        except CardError as error:
            return note("skipped", permanent=True, reason=str(error))

    def _publish(self, planned: PlannedModel, report: Report, note: Callable[..., Entry], done: Published) -> Entry:
        for attempt in range(_ATTEMPTS):
            proposal = _propose(self.hub, report, planned, self.terms)
            pull = proposal.pull_request
            if proposal.action == "nothing":
                if pull is None:
                    return note("skipped", permanent=True, reason=proposal.reason)
                # Opened or amended before, by a run that was cut off before it could tell.
                done.urls[planned.id] = pull.url
                return note("opened", number=pull.num, reason=proposal.reason)
            note("planned", number=pull.num if pull else None, reason=proposal.reason)
            self.pace.note = lambda: note("sent")
            try:
                outcome = carry_out(self.hub, proposal)
            except RequestError as error:
                if error.failure.kind != "moved" or attempt + 1 == _ATTEMPTS:
                    raise
            else:
                done.urls[planned.id] = outcome.url or ""
                return note("opened" if outcome.action == "open" else "amended", number=outcome.number)
            finally:
                self.pace.note = None
        raise AssertionError("unreachable")


def _rest(sent: str, settle: float) -> float:
    """Return the seconds until a write that an earlier run began can be seen, if it was done."""
    passed = (datetime.now(UTC) - datetime.fromisoformat(sent)).total_seconds()
    # A clock that was set back tells nothing.
    return settle - passed if passed >= 0 else settle


def _propose(hub: Hub, report: Report, planned: PlannedModel, terms: Terms) -> Proposal:
    return propose(
        hub,
        report,
        planned.id,
        only=terms.only,
        again_after_merge=False,
        benchmark=terms.benchmark,
        source_url=terms.source_url,
    )
