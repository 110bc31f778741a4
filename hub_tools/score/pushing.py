"""Putting one score on the Hub: what would be done, told first; then done once, whatever becomes of the answers.

    propose     reads the repository, checks that the score is of it, and says what would change: nothing is written
    carry_out   does that
    push_score  both, with a person's yes in between

A pull request of ours that is open is amended; one that was closed is a no for good.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from hub_tools.client.failures import Failure, RequestError
from hub_tools.client.hub import Hub, PullRequest, State
from hub_tools.client.pacing import Pace
from synbench.errors import ArgumentError
from synbench.report import Report

from .changes import PATHS, Change, Place, make_change, paths_of
from .checks import check_state, check_weights, scored_commit, to_amend
from .proposal import TITLE, command, description
from .results import BENCHMARK

Action = Literal["open", "amend", "commit", "nothing"]

_AMENDED = "Update SynBench scores"
_ATTEMPTS = 3


@dataclass(frozen=True)
class Proposal:
    """What would be done, and not yet is.

    Args:
        change: the bytes; ``change.diff`` is what a person says yes to.
        action: open a pull request, amend ours, commit to main, or nothing.
        pull_request: ours, of action "amend", and where there is nothing to amend.
        reason: why this action, in a sentence.
        title: of the pull request or commit.
        description: likewise.
        known: numbers of our pull requests that are there.
        text: of action "amend", the new description of the pull request itself.
    """

    change: Change
    action: Action
    pull_request: PullRequest | None
    reason: str
    title: str
    description: str
    known: tuple[int, ...] = ()
    text: str | None = None

    @property
    def told(self) -> tuple[str, list[str]]:
        """What a person says yes to: the action and our lines, wherever they stand by now."""
        return self.action, [line for line in self.change.diff.splitlines() if line[:1] in "+-"]


@dataclass(frozen=True)
class Outcome:
    """What was done.

    Args:
        repo_id: of the model.
        action: see ``Proposal``.
        done: whether it was, or whether there was nothing to do.
        reason: see ``Proposal``; or why it was not done.
        url: page of the pull request or commit.
        commit: hash of the new commit.
        number: of the pull request.
        diff: what has changed, or would.
        refused: why a place does not take the score, by the path of its file.
        warning: what went wrong beside it.
    """

    repo_id: str
    action: Action
    done: bool
    reason: str
    url: str | None
    commit: str | None
    number: int | None
    diff: str
    refused: Mapping[str, str]
    warning: str | None = None


def propose(
    hub: Hub,
    report: Report,
    repo_id: str,
    *,
    only: Place | None = None,
    direct: bool = False,
    again_after_merge: bool = True,
    benchmark: str = BENCHMARK,
    source_url: str | None = None,
    scored_weights: str | None = None,
) -> Proposal:
    """Say what putting a score on a repository would do; nothing is written.

    At most three requests where there is no pull request of ours and main is at the scored commit or
    ``scored_weights`` is given; whose login it is is asked once a client.

    Args:
        hub: the client.
        report: of this very repository.
        repo_id: of the model.
        only: one of the two places, instead of both.
        direct: commit to main instead of opening a pull request.
        again_after_merge: whether a merged pull request of ours can be followed by another.
        benchmark: id of the benchmark dataset that the results name.
        source_url: page that tells of the numbers.
        scored_weights: ``State.weights`` of the scored commit, where it is known already.

    Raises:
        ArgumentError: the report cannot be published.
        CardError: no place that was asked for takes it.
        RefusedError: the score is not of what stands there now, or its owner does not want it.
        RequestError: the Hub does not answer.
    """
    paths = paths_of(only)
    scored = scored_commit(report, repo_id)
    state = hub.state(repo_id)
    check_state(hub, state, repo_id, direct=direct)
    # An owner's no comes first, whatever was scored.
    own = hub.pull_requests(repo_id) if hub.logged_in and not direct else []
    ours = to_amend(repo_id, own, again_after_merge=again_after_merge)
    check_weights(hub, state, scored, scored_weights)
    base = state if ours is None else hub.state(repo_id, ours.ref)
    # What is not listed need not be asked for.
    before = {path: hub.read(repo_id, path, base.sha) if path in base.files else None for path in paths}
    change = make_change(report, repo_id, base.sha, before, only=only, benchmark=benchmark, source_url=source_url)
    known = tuple(pull.num for pull in own)
    if change.empty:
        where = f"pull request {ours.num}" if ours else "main"
        return Proposal(change, "nothing", ours, f"{where} of {repo_id} has these scores already.", "", "", known)
    if direct:
        return Proposal(change, "commit", None, f"commit to main of {repo_id}.", TITLE, _short(report), known)
    if ours is not None:
        reason = f"amend our pull request {ours.num} on {repo_id}, at {ours.url}."
        text = description(report, _whole(change, state, base))
        return Proposal(change, "amend", ours, reason, _AMENDED, _short(report), known, text)
    reason = f"open a pull request on {repo_id}."
    if not hub.logged_in:
        reason += " Without a login it is not known whether there is one of yours already."
    return Proposal(change, "open", None, reason, TITLE, description(report, change), known)


def carry_out(hub: Hub, proposal: Proposal) -> Outcome:
    """Do what was proposed, once.

    Raises:
        RequestError: it was not done, or whether it was is not known; of kind "moved", if the repository has changed
            since: propose again.
    """
    change, pull = proposal.change, proposal.pull_request
    if proposal.action == "nothing":
        return outcome(proposal, done=True)
    if proposal.action == "commit":
        sha = hub.commit(change, proposal.title, proposal.description)
        return outcome(proposal, done=True, commit=sha, url=hub.page_of(change.repo_id, sha))
    if proposal.action == "amend" and pull is not None:
        return _amend(hub, proposal, pull)
    pull = hub.open_pull_request(change, proposal.title, proposal.description, proposal.known)
    if pull is None:
        raise RequestError(
            f"cannot open a pull request on {change.repo_id}: main has the scores by now. Nothing was written.",
            Failure("moved", "main has the scores by now."),
        )
    return outcome(proposal, done=True, commit=pull.head, url=pull.url, number=pull.num)


def push_score(
    report: Report,
    repo_id: str,
    *,
    only: Place | None = None,
    direct: bool = False,
    dry_run: bool = False,
    yes: bool = False,
    confirm: Callable[[Proposal], bool] | None = None,
    benchmark: str = BENCHMARK,
    source_url: str | None = None,
    token: str | bool | None = None,
    endpoint: str | None = None,
    hub: Hub | None = None,
) -> Outcome:
    """Put the score of a report on its model, by one pull request.

    Nothing is written without ``yes=True`` or a ``confirm`` that says yes.

    Args:
        report: see ``propose``.
        repo_id: of the model.
        only: ``"model-index"`` or ``"eval-results"``, instead of both.
        direct: commit to main of one's own repository instead.
        dry_run: only say what would be done.
        yes: do it without asking.
        confirm: asked with what would be done, also when that has changed since it was asked; with ``yes``, only told.
        benchmark: see ``propose``.
        source_url: see ``propose``.
        token: ``None`` for the login of the machine, or a token.
        endpoint: of another Hub.
        hub: a client, in place of the last two.

    Raises:
        ArgumentError: there is no yes; or see ``propose``.
        HubError: it is not done, and why; see ``propose`` and ``carry_out``.
    """
    if not (yes or dry_run or confirm):
        raise ArgumentError(
            "nothing is written without a yes: pass yes=True, a function confirm= that is asked, or dry_run=True to "
            "see what would be done."
        )
    hub = hub or Hub(token, endpoint, Pace())
    options: dict[str, Any] = {"only": only, "direct": direct, "benchmark": benchmark, "source_url": source_url}
    agreed: tuple[str, list[str]] | None = None
    attempt = 0
    while True:
        proposal = propose(hub, report, repo_id, **options)
        if proposal.action == "nothing":
            return outcome(proposal, done=True)
        told = proposal.told
        if dry_run or told != agreed:
            said = confirm(proposal) if confirm else True
            if dry_run or not (yes or said):
                return outcome(proposal, done=False)
            agreed = told
        try:
            return carry_out(hub, proposal)
        except RequestError as error:
            attempt += 1
            if error.failure.kind != "moved" or attempt == _ATTEMPTS:
                raise
            hub.pace.back_off(attempt - 1, error.failure)


def outcome(
    proposal: Proposal, *, done: bool, commit: str | None = None, url: str | None = None, number: int | None = None
) -> Outcome:
    """Return the record of a proposal that was carried out, or not."""
    change, pull = proposal.change, proposal.pull_request
    return Outcome(
        change.repo_id,
        proposal.action,
        done,
        proposal.reason,
        url or (pull.url if pull else None),
        commit,
        number or (pull.num if pull else None),
        change.diff,
        change.refused,
    )


def _amend(hub: Hub, proposal: Proposal, pull: PullRequest) -> Outcome:
    pull = hub.amend(pull, proposal.change, proposal.title, proposal.description)
    done = outcome(proposal, done=True, commit=pull.head)
    if proposal.text is not None and proposal.text != pull.text:
        try:
            hub.describe(proposal.change.repo_id, pull, proposal.text)
        except RequestError as error:
            # The scores are there, and the description is only words about them.
            return replace(done, warning=f"the description of {pull.url} still tells of earlier scores: {error}")
    return done


def _whole(change: Change, main: State, head: State) -> Change:
    """Return a change of all that a pull request changes in our files, not of what is amended alone."""
    changed = {path for path in PATHS.values() if main.files.get(path) != head.files.get(path)}
    return replace(change, after=dict.fromkeys(changed, b"") | dict(change.after))


def _short(report: Report) -> str:
    commit = report.settings.model.commit if report.settings.model else None
    return f"{report.meaning}\n\nMeasured by SynBench at commit {commit}. To measure it again: {command(report)}\n"
