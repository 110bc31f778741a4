"""Scoring the models of a plan, one process each, so that a run can be cut off anywhere and gone on with.

What is done is told by the results themselves; the journal tells what failed, and how often. A failure that lies with
the model is not tried again; a crash or a timeout is, once, in the next run.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synbench.errors import ArgumentError, HubError, OutputError

from . import children
from .journal import Entry, Journal, read, writing
from .plan_settings import digest
from .plans import PlannedModel
from .scored import find, result_path

ATTEMPTS = 2
"""How often a model is started whose process crashes or takes too long."""

TIMEOUT = 4 * 3600.0
"""Seconds for one model."""

_PATIENCE = 5
"""Failures in a row that may lie with this machine, after which it is no use to go on."""


@dataclass(frozen=True)
class Past:
    """What journals tell of one model at one commit with one choice of settings.

    Args:
        attempts: that began, and were not interrupted.
        failure: why another one would end the same.
    """

    attempts: int = 0
    failure: str | None = None


@dataclass
class Tally:
    """What became of the models of a run.

    Attributes:
        counts: how many, by ``ready`` (scored before), ``scored``, ``failed``, ``given up`` and ``again`` (to be tried
            again by the next run).
        reasons: why, by model.
    """

    counts: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, repo_id: str, reason: str | None = None) -> None:
        """Count a model."""
        self.counts[what] += 1
        if reason is not None:
            self.reasons[repo_id] = reason


@dataclass(frozen=True)
class Machine:
    """How models are scored here.

    Args:
        launch: words before ``-m synbench score``, such as ``accelerate launch --num_processes 8``.
        options: of ``synbench score`` that belong to the machine, such as ``--device cuda:1``.
        timeout: seconds for one model; ``None`` for no end.
        token: let the processes of the models have ``HF_TOKEN``.
        tidy: remove what was fetched of a model when it is done, where there is room for one at a time.
    """

    launch: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    timeout: float | None = TIMEOUT
    token: bool = False
    tidy: bool = False


def score_models(
    models: Sequence[PlannedModel],
    settings: Mapping[str, Any],
    results: Path,
    machine: Machine | None = None,
    *,
    name: str = "runs",
    journals: Path | None = None,
    attempts: int = ATTEMPTS,
    retry_failed: bool = False,
    replace: bool = False,
    progress: bool | None = None,
) -> Tally:
    """Score the models that have no result yet.

    Args:
        models: lines of a plan.
        settings: of the plan.
        results: folder for the results; it is made if need be.
        machine: see there.
        name: of the journal; processes that share the folder, on one machine or many, each have their own.
        journals: folder for the journal and the logs, where that of the results cannot be appended to or locked, as a
            mounted bucket; that of the results by default.
        attempts: how often a model is started whose process crashes or takes too long.
        retry_failed: try those again that failed before, however often.
        replace: score those again whose files hold something else.
        progress: show a bar on stderr; by default if it is a terminal.

    Raises:
        ArgumentError: files of these names hold results of other settings, and ``replace`` is not set; or another
            process is at work with this journal.
        OutputError: the folder cannot be written.
        HubError: several models in a row failed for a reason that may lie with this machine.
        KeyboardInterrupt: after the child was ended, and the journal told of it.
    """
    if "LOCAL_RANK" in os.environ:
        raise ArgumentError(
            "expected to be started once, got started by a launcher: each model's process is launched by itself. Run "
            "synbench hub annotate score as it is, and give the launcher by --launch."
        )
    machine, tally = machine or Machine(), Tally()
    journals = journals or results
    try:
        results.mkdir(parents=True, exist_ok=True)
        (journals / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {str(results)!r}: {error.strerror or error}.") from error
    with writing(journals / f"{name}.jsonl") as journal, children.terminable():
        past = pasts(entry for path in sorted(journals.glob("runs*.jsonl")) for entry in read(path))
        key = digest(settings)
        todo = _todo(models, settings, results, tally, replace=replace)
        if not retry_failed:
            todo = [model for model in todo if not _settled(model, past.get(_name(model, key)), attempts, tally)]
        # What crashed before comes last, lest it takes the machine along again.
        todo.sort(key=lambda model: past.get(_name(model, key), Past()).attempts)
        _work(todo, lambda model: _score(model, settings, results, machine, journal, key), tally, progress)
    return tally


def pasts(entries: Iterable[Entry]) -> dict[tuple[str, str, str], Past]:
    """Sum up journals: by id, commit and settings."""
    found: dict[tuple[str, str, str], Past] = {}
    for entry in entries:
        if entry.repo is None or entry.commit is None or entry.key is None:
            continue
        name = (entry.repo.lower(), entry.commit, entry.key)
        past = found.get(name, Past())
        if entry.event == "started":
            found[name] = Past(past.attempts + 1, past.failure)
        elif entry.event == "failed" and entry.permanent:
            found[name] = Past(past.attempts, entry.reason or "no reason told")
        elif entry.event in ("interrupted", "failed"):
            # That was not the model's doing.
            found[name] = Past(max(past.attempts - 1, 0), past.failure)
        elif entry.event == "scored":
            found[name] = Past()
    return found


def _name(model: PlannedModel, key: str) -> tuple[str, str, str]:
    return model.id.lower(), model.commit, key


def _todo(
    models: Sequence[PlannedModel], settings: Mapping[str, Any], results: Path, tally: Tally, *, replace: bool
) -> list[PlannedModel]:
    todo, strange = [], list[str]()
    for model in models:
        found = find(results, model, settings)
        if found.report is not None:
            tally.add("ready", model.id)
            continue
        if found.problem is not None and not found.moved:
            strange.append(f"{result_path(results, model.id).name} ({found.problem.rstrip('.')})")
        todo.append(model)
    if strange and not replace:
        raise ArgumentError(
            f"{len(strange)} of the files in {str(results)!r} hold something else than this plan asks for: {strange[0]}"
            f"{', …' if len(strange) > 1 else '.'} Give another folder, or --replace to score these models again."
        )
    return todo


def _settled(model: PlannedModel, past: Past | None, attempts: int, tally: Tally) -> bool:
    if past is None:
        return False
    if past.failure is not None:
        tally.add("failed", model.id, past.failure)
        return True
    if past.attempts >= attempts:
        tally.add("given up", model.id, f"{past.attempts} attempts crashed or took too long")
        return True
    return False


def _work(
    todo: Sequence[PlannedModel],
    score: Callable[[PlannedModel], children.Ending],
    tally: Tally,
    progress: bool | None,
) -> None:
    from tqdm.auto import tqdm

    in_a_row = 0
    # disable=None is tqdm's own word for "only on a terminal".
    hidden = None if progress is None else not progress
    with tqdm(todo, unit="model", desc="scoring", disable=hidden) as bar:
        for model in bar:
            bar.set_postfix_str(model.id, refresh=True)
            ending = score(model)
            if ending.event == "scored":
                tally.add("scored", model.id)
            else:
                tally.add("failed" if ending.permanent else "again", model.id, ending.reason)
            in_a_row = in_a_row + 1 if ending.local else 0
            if in_a_row == _PATIENCE:
                raise HubError(
                    f"{in_a_row} models in a row failed for a reason that may lie with this machine or its network, "
                    f"the last one: {ending.reason} Put that right, and run this again; --retry-failed tries those "
                    f"again too that failed for good."
                )


def _score(
    model: PlannedModel,
    settings: Mapping[str, Any],
    results: Path,
    machine: Machine,
    journal: Journal,
    key: str,
) -> children.Ending:
    """Score one model, with a line in the journal before and after."""
    output = result_path(results.resolve(), model.id)
    words = children.command(model, settings, output, launch=machine.launch, more=machine.options)
    journal.append("started", model.id, commit=model.commit, key=key)
    try:
        ending = children.run(
            words, journal.path.parent / "logs" / f"{output.stem}.txt", machine.timeout, token=machine.token
        )
    except (KeyboardInterrupt, ArgumentError, OutputError):
        journal.append("interrupted", model.id, commit=model.commit, key=key)
        raise
    finally:
        if machine.tidy:
            _forget(model.id)
    if ending.event == "scored" and (found := find(results, model, settings)).report is None:
        reason = f"the process ended well, but its result is not what was asked for: {found.problem or 'it has none'}."
        ending = children.Ending("failed", reason, permanent=True, local=True, seconds=ending.seconds)
    journal.append(
        ending.event,
        model.id,
        commit=model.commit,
        key=key,
        reason=ending.reason,
        permanent=ending.permanent if ending.event == "failed" else None,
        seconds=ending.seconds,
    )
    return ending


def _forget(repo_id: str) -> None:
    """Remove a model from the cache of the Hub, whatever of it is there."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    with contextlib.suppress(CacheNotFound, OSError):
        found = [repo for repo in scan_cache_dir().repos if repo.repo_id == repo_id and repo.repo_type == "model"]
        commits = [revision.commit_hash for repo in found for revision in repo.revisions]
        if commits:
            scan_cache_dir().delete_revisions(*commits).execute()
