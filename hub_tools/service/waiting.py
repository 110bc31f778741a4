"""Models that wait to be scored, and what was scored last: one SQLite file that survives a kill at any point.

A model is there once, however many events it has: the newest commit wins, and what is known already is not queued
again. Adding is safe from any number of processes; working off is for the one that holds ``only_worker``.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .queue_file import QueueFile

DELAYS = (60.0, 300.0, 1800.0, 7200.0)
"""Seconds before the second, third, … attempt; a model that fails once more has failed."""

_LONGEST = 24 * 3600.0


@dataclass(frozen=True)
class Task:
    """A model whose turn it is.

    Args:
        repo_id: of the model.
        head: newest commit of its main branch, as far as events told.
        attempt: 1 for the first.
        serial: number of the event that it is worked off for.
    """

    repo_id: str
    head: str
    attempt: int
    serial: int


@dataclass(frozen=True)
class LastScore:
    """What a model was scored on last.

    Args:
        repo_id: of the model.
        head: commit that was scored.
        weights: fingerprint of its weights.
        settled: whether nothing is left to be published of it.
    """

    repo_id: str
    head: str
    weights: str
    settled: bool


@dataclass(frozen=True)
class Row:
    """How it stands with one model."""

    repo_id: str
    head: str
    state: str
    attempts: int
    told: str


class Waiting(QueueFile):
    """The queue; any number of threads may share one.

    Args:
        path: see ``QueueFile``.
        clock: seconds since some fixed moment, across restarts.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        super().__init__(path)
        self._clock = clock

    def add(self, repo_id: str, head: str) -> bool:
        """Queue a model for the commit that its main branch is at.

        Returns:
            Whether that is news: not if this commit is the newest one known, whatever became of it.
        """
        with self.transaction() as run:
            changed = run(
                """
                INSERT INTO models (repo, head, state, turn)
                VALUES (?, ?, 'waiting', (SELECT coalesce(max(turn), 0) + 1 FROM models))
                ON CONFLICT (repo) DO UPDATE SET
                    head = excluded.head, serial = serial + 1, attempts = 0, not_before = 0,
                    turn = CASE state WHEN 'waiting' THEN turn ELSE excluded.turn END,
                    state = CASE state WHEN 'running' THEN 'running' ELSE 'waiting' END
                WHERE head <> excluded.head
                """,
                (repo_id, head),
            )
            return changed.rowcount > 0

    def claim(self) -> Task | None:
        """Take the model whose turn it is; the attempt counts from now on, also if this process dies of it."""
        now = self._clock()
        with self.transaction() as run:
            # A clock that was set back must not hold a model for years.
            found = run(
                """
                SELECT repo, head, attempts, serial FROM models
                WHERE state = 'waiting' AND (not_before <= ? OR not_before > ?) ORDER BY turn LIMIT 1
                """,
                (now, now + _LONGEST),
            ).fetchone()
            if found is None:
                return None
            repo, head, attempts, serial = found
            run("UPDATE models SET state = 'running', attempts = ? WHERE repo = ?", (attempts + 1, repo))
        return Task(repo, head, attempts + 1, serial)

    def finish(self, task: Task, told: str, head: str | None = None) -> None:
        """Note that a model is done with, unless an event came in between that it does not answer.

        Args:
            task: from ``claim``.
            told: what became of it.
            head: commit that was looked at; that of the task by default.
        """
        self._end(task, told, "done", head or task.head)

    def fail(self, task: Task, told: str, *, for_good: bool = False, wait: float = 0.0) -> bool:
        """Note that an attempt failed.

        Args:
            task: from ``claim``.
            told: why.
            for_good: another attempt would not help.
            wait: seconds before the next attempt, at least.

        Returns:
            Whether there will be another attempt.
        """
        if for_good or task.attempt > len(DELAYS):
            self._end(task, told, "failed", task.head)
            return False
        later = self._clock() + min(max(DELAYS[task.attempt - 1], wait), _LONGEST)
        with self.transaction() as run:
            run(
                """
                UPDATE models SET state = 'waiting', told = :told,
                    not_before = CASE serial WHEN :serial THEN :later ELSE not_before END WHERE repo = :repo
                """,
                {"told": told, "serial": task.serial, "later": later, "repo": task.repo_id},
            )
        return True

    def give_back(self, task: Task) -> None:
        """Put a model back as it was: it is no fault of its own that the work on it stops."""
        with self.transaction() as run:
            run("UPDATE models SET state = 'waiting', attempts = max(attempts - 1, 0) WHERE repo = ?", (task.repo_id,))

    def recover(self) -> int:
        """Queue again what a worker before this one left unfinished, and return how many; its attempts count.

        A model that was the end of that worker as often as there are attempts has failed.
        """
        with self.transaction() as run:
            run(
                "UPDATE models SET state = 'failed', told = 'the service ended while it was scored, each time' "
                "WHERE state = 'running' AND attempts > ?",
                (len(DELAYS),),
            )
            return run("UPDATE models SET state = 'waiting' WHERE state = 'running'").rowcount

    def revive(self) -> int:
        """Queue again what has failed, and return how many."""
        with self.transaction() as run:
            return run(
                "UPDATE models SET state = 'waiting', attempts = 0, not_before = 0 WHERE state = 'failed'"
            ).rowcount

    def last_score(self, repo_id: str) -> LastScore | None:
        """Return what a model was scored on last."""
        with self.transaction() as run:
            found = run("SELECT repo, head, weights, settled FROM scores WHERE repo = ?", (repo_id,)).fetchone()
        return None if found is None else LastScore(found[0], found[1], found[2], bool(found[3]))

    def keep_score(self, score: LastScore) -> None:
        """Remember what a model was scored on, in place of what was scored before."""
        with self.transaction() as run:
            run(
                "INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?)",
                (score.repo_id, score.head, score.weights, score.settled),
            )

    def moment(self, scope: str) -> str | None:
        """Return how far a sweep of this scope has seen, as the server wrote it."""
        with self.transaction() as run:
            found = run("SELECT moment FROM sweeps WHERE scope = ?", (scope,)).fetchone()
        return None if found is None else str(found[0])

    def keep_moment(self, scope: str, moment: str) -> None:
        """Remember how far a sweep of this scope has seen."""
        with self.transaction() as run:
            run("INSERT OR REPLACE INTO sweeps VALUES (?, ?)", (scope, moment))

    def counts(self) -> dict[str, int]:
        """Return how many models are in each state."""
        with self.transaction() as run:
            found = dict(run("SELECT state, count(*) FROM models GROUP BY state").fetchall())
        return {state: found.get(state, 0) for state in ("waiting", "running", "done", "failed")}

    def rows(self) -> list[Row]:
        """Return how it stands with every model, in order of arrival."""
        with self.transaction() as run:
            found = run("SELECT repo, head, state, attempts, told FROM models ORDER BY turn").fetchall()
        return [Row(*row) for row in found]

    def _end(self, task: Task, told: str, state: str, head: str) -> None:
        with self.transaction() as run:
            # An event of the very commit that was looked at is answered too, though it came later.
            run(
                """
                UPDATE models SET told = :told,
                    state = CASE WHEN serial = :serial OR head = :head THEN :state ELSE 'waiting' END,
                    head = CASE serial WHEN :serial THEN :head ELSE head END WHERE repo = :repo
                """,
                {"told": told, "serial": task.serial, "head": head, "state": state, "repo": task.repo_id},
            )
