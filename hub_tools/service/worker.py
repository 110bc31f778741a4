"""What is done with a model whose turn it is: look, score if its weights are new, propose the score once.

Every step can be cut off and done again: the report is on disk before it counts, and whoever proposes it looks for the
pull request that is there already. A model has at most one pull request, ever: an open one is amended; after the owner
has merged it, later scores are kept here and told; after the owner has closed it, the model is left alone.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub_tools.annotation import children
from hub_tools.annotation.plans import PlannedModel
from hub_tools.annotation.scored import find, result_path
from hub_tools.client.failures import classify, redact
from hub_tools.client.pacing import StopError
from synbench.errors import HubError, OutputError, SynBenchError
from synbench.report import Report

from .waiting import LastScore, Task, Waiting

if TYPE_CHECKING:
    from hub_tools.client.hub import Hub, State

Score = Callable[[str, str], None]
"""Scores a model, by its id, at a commit, and leaves the report in the folder of results."""

Propose = Callable[["Hub", Report, LastScore], str]
"""Opens or amends the one pull request of a model, and tells in a few words what it did."""

REST = 900.0
"""Seconds without a request after the Hub has refused several in a row."""


class NotScoredError(SynBenchError):
    """A model has no score; ``for_good`` if another attempt would end the same."""

    def __init__(self, message: str, *, for_good: bool) -> None:
        super().__init__(message)
        self.for_good = for_good


@dataclass
class Worker:
    """Works off a queue.

    Args:
        waiting: the queue.
        connect: makes a client to the Hub.
        refusal: tells of a model's id why it must not be scored, or ``None``.
        score: see ``Score``.
        folder: where reports are.
        settings: of every score, see ``plan_settings.checked``; a report of others is made anew.
        propose: what publishes a report; ``None`` to keep it here only.
        say: told what happens, in sentences without secrets.
        trouble: why nothing is done at the moment; ``None`` if all is well.
    """

    waiting: Waiting
    connect: Callable[[], "Hub"]
    refusal: Callable[[str], str | None]
    score: Score
    folder: Path
    settings: Mapping[str, Any]
    propose: Propose | None
    say: Callable[[str], None]
    trouble: str | None = None
    _hub: "Hub | None" = field(default=None, repr=False)

    def run(self, stop: threading.Event, wake: threading.Event, pause: float = 5.0) -> None:
        """Work until told to stop; another process may add models, so the queue is looked at now and then."""
        while not stop.is_set():
            wait = pause
            try:
                if self.step():
                    continue
            except StopError as error:
                wait = max(error.failure.wait or 0.0, REST)
                self._rest(error)
            except Exception as error:  # noqa: BLE001 - a full disk must not end the service
                self._rest(error)
            wake.wait(wait)
            wake.clear()

    def step(self) -> bool:
        """Take one model, if one is due; what goes wrong with it is noted.

        Raises:
            StopError: the Hub refuses whatever is asked; the model waits on.
        """
        task = self.waiting.claim()
        if task is None:
            self.trouble = None
            return False
        try:
            head, told = self._work(task)
        except (StopError, KeyboardInterrupt):
            # No fault of the model.
            self.waiting.give_back(task)
            raise
        except Exception as error:  # noqa: BLE001 - one model must not end the service
            self._failed(task, error)
        else:
            self.waiting.finish(task, told, head)
            self.say(f"{task.repo_id}: {told}")
        self.trouble = None
        return True

    def _work(self, task: Task) -> tuple[str, str]:
        """Return the commit that was looked at, and what was done."""
        # The lists may have changed since it was queued.
        if (reason := self.refusal(task.repo_id)) is not None:
            return task.head, f"left alone: {reason}"
        hub = self._hub = self._hub or self.connect()
        state = hub.state(task.repo_id)
        if (reason := _unfit(state, task.repo_id)) is not None:
            return state.sha, f"left alone: {reason}"
        last = self.waiting.last_score(task.repo_id)
        report = self._kept(last) if last is not None and last.weights == state.weights else None
        if last is not None and report is not None and (last.settled or self.propose is None):
            return state.sha, "nothing to do: the weights are those that were scored"
        # Asked before the long run: an owner who said no is not to cost an hour of it.
        if self.propose is not None and any(pull.status == "closed" for pull in hub.pull_requests(task.repo_id)):
            return state.sha, "left alone: its owner closed the pull request"
        if last is None or report is None:
            self.score(task.repo_id, state.sha)
            last = LastScore(task.repo_id, state.sha, state.weights, settled=False)
            if (report := self._kept(last)) is None:
                raise NotScoredError("its result is not what was asked for", for_good=True)
            self.waiting.keep_score(last)
        told = f"{_told(report)} at {last.head[:7]}"
        if self.propose is None:
            return state.sha, f"{told}; nothing is published without --yes"
        done = self.propose(hub, report, last)
        self.waiting.keep_score(replace(last, settled=True))
        return state.sha, f"{told}; {done}"

    def _kept(self, score: LastScore) -> Report | None:
        return find(self.folder, PlannedModel(score.repo_id, score.head), self.settings).report

    def _failed(self, task: Task, error: Exception) -> None:
        for_good, reason, wait = _judged(error)
        told = redact(reason)
        if self.waiting.fail(task, told, for_good=for_good, wait=wait):
            self.say(f"{task.repo_id}: attempt {task.attempt} failed, to be tried again: {told}")
        else:
            self.say(f"{task.repo_id}: failed: {told}")

    def _rest(self, error: Exception) -> None:
        # A new client: the old one asks nothing any more.
        self._hub = None
        self.trouble = redact(str(error))
        self.say(f"nothing is done for a while: {self.trouble}")


def scorer(folder: Path, settings: Mapping[str, Any], timeout: float) -> Score:
    """Return what scores a model in a process of its own, without a token of the Hub.

    Args:
        folder: where reports go, and in ``logs`` what a failed process said.
        settings: see ``Worker``.
        timeout: seconds for one model.
    """

    def score(repo_id: str, commit: str) -> None:
        output = result_path(folder.resolve(), repo_id)
        words = children.command(PlannedModel(repo_id, commit), settings, output)
        ending = children.run(words, folder / "logs" / f"{output.stem}.txt", timeout)
        if ending.event != "scored":
            reason = ending.reason or ending.event
            raise NotScoredError(reason, for_good=ending.permanent and not ending.local)

    return score


def _judged(error: Exception) -> tuple[bool, str, float]:
    """Return whether another attempt would end the same, why, and the seconds to wait before it."""
    if isinstance(error, NotScoredError):
        return error.for_good, str(error), 0.0
    if isinstance(error, SynBenchError) and not isinstance(error, (HubError, OutputError)):
        return True, str(error), 0.0
    failure = classify(error)
    told = isinstance(error, HubError) or failure.status is not None
    return told and failure.kind == "permanent", failure.reason, failure.wait or 0.0


def _unfit(state: "State", repo_id: str) -> str | None:
    """Return why a model must not be scored here, whatever its weights."""
    if state.repo_id != repo_id:
        return f"it is called {state.repo_id} now"
    if state.private:
        return "it is private, and its score would be public"
    if state.disabled:
        return "it is disabled"
    if state.gated:
        return "it is gated"
    if not state.weights:
        return "it has no safetensors files"
    return None


def _told(report: Report) -> str:
    if report.synbench_score is None:
        return "no score"
    error = "" if report.stderr is None else f" ± {report.stderr:.4f}"
    return f"score {report.synbench_score:.4f}{error}"
