"""A plan scored by Hugging Face Jobs: one job a shard, known by its labels, with results in a bucket.

Jobs have no arrays: a run is a set of jobs with the label ``run``, each with the label ``shard``. What was submitted
is asked of the Hub by these labels before anything is, and again after an answer that was lost, so that a shard has
one job at a time, whatever cuts a submission off. Shards get no token, or one that can only read.
"""

import inspect
import logging
import os
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub_tools.annotation.scored import result_path
from hub_tools.client.hub import Hub
from synbench.errors import ArgumentError

from .shards import Shard, arguments_of

if TYPE_CHECKING:
    from huggingface_hub import JobInfo

MOUNT = "/results"
"""Where a job sees the bucket."""

JOURNALS = "journals"
"""Where a job keeps its journal: a bucket is no disk, and cannot be locked."""

_NEEDED = ("list_jobs", "run_uv_job")

ENDED = frozenset({"COMPLETED", "CANCELED", "ERROR", "DELETED"})
"""Stages of a job that brings no more results; in any other, known here or not, it may."""


@dataclass(frozen=True)
class Spec:
    """Where and how the shards of a run are scored.

    Args:
        run: its name, a label of every job.
        namespace: account that pays.
        bucket: for the results, such as ``user/synbench-results``.
        flavour: name of the machines.
        timeout: seconds of a job, at most.
        package: what ``uv`` installs, such as ``synbench`` or a URL of a wheel.
        attempts: how often the Hub starts a job that fails.
        settings: of the plan.
        cut: what tells the plan and its shards from others; see ``shards.run_name``.
        launch: launcher of each model, where a machine has several accelerators.
    """

    run: str
    namespace: str
    bucket: str
    flavour: str
    timeout: int
    package: str
    attempts: int
    settings: Mapping[str, Any]
    cut: str
    launch: str | None = None


@dataclass(frozen=True)
class Job:
    """The newest job of a shard.

    Args:
        id: of the job.
        shard: its name.
        stage: such as ``RUNNING``, ``COMPLETED``, ``ERROR``.
        url: its page.
        cut: see ``Spec``; ``None`` where it was not told.
    """

    id: str
    shard: str
    stage: str
    url: str
    cut: str | None = None

    @property
    def running(self) -> bool:
        """Whether it may still bring results."""
        return self.stage not in ENDED


def check_debug() -> None:
    """Refuse to submit while the client prints what it sends: the secrets of a job would be in it.

    Raises:
        ArgumentError: ``HF_DEBUG`` is set, or the client logs at debug level.
    """
    level = logging.getLogger("huggingface_hub").getEffectiveLevel()
    if os.environ.get("HF_DEBUG", "").upper() in ("1", "ON", "YES", "TRUE") or level <= logging.DEBUG:
        raise ArgumentError(
            "nothing is submitted while HF_DEBUG is set or the client logs at debug level: it would print the job "
            "with its secrets. Unset HF_DEBUG, and try again."
        )


def check_client(api: Any) -> None:
    """Check that the client of the Hub knows jobs by their labels, and attempts.

    Raises:
        ArgumentError: it is too old.
    """
    lists, runs = (set(inspect.signature(getattr(api, name, lambda: None)).parameters) for name in _NEEDED)
    if not ({"labels", "namespace"} <= lists and {"labels", "volumes", "attempts"} <= runs):
        from huggingface_hub import __version__

        raise ArgumentError(
            f"Jobs need a newer client of the Hub than huggingface_hub {__version__}: expected one that lists jobs by "
            f"labels. Install it: pip install --upgrade huggingface_hub."
        )


def read_token(variable: str, account: Callable[[str], Mapping[str, Any]]) -> str:
    """Return a token for the shards, if it can only read.

    Args:
        variable: environment variable that holds it.
        account: tells of a token, as ``HfApi.whoami``.

    Raises:
        ArgumentError: there is none, or it can write.
    """
    token = os.environ.get(variable, "")
    if not token:
        raise ArgumentError(f"expected a token in the environment variable {variable}, which is not set.")
    told = (account(token).get("auth") or {}).get("accessToken") or {}
    fine = told.get("fineGrained") or {}
    rights = [str(right) for scope in fine.get("scoped") or [] for right in scope.get("permissions") or []]
    rights += [str(right) for right in fine.get("global") or []]
    harmless = all(right.endswith((".read", "-read", "read")) for right in rights)
    if told.get("role") != "read" and not (told.get("role") == "fineGrained" and rights and harmless):
        raise ArgumentError(
            f"the token in {variable} can do more than read (its role is {told.get('role', 'unknown')}): shards get a "
            f"read-only one, or none. Make one in the settings of the Hub."
        )
    return token


def jobs_of(hub: Hub, namespace: str, run: str) -> dict[str, Job]:
    """Return the newest job of every shard of a run, by the shard's name.

    Raises:
        RequestError: they cannot be listed.
    """
    check_client(hub.api)

    def ask() -> "list[JobInfo]":
        return list(hub.api.list_jobs(labels={"run": run}, namespace=namespace))

    found: dict[str, Job] = {}
    for info in sorted(hub.asker.read(f"list the jobs of {run}", ask), key=lambda info: str(info.created_at)):
        shard = (info.labels or {}).get("shard")
        if shard is not None:
            found[shard] = _job(info, shard)
    return found


def check_cut(run: str, jobs: Mapping[str, Job], cut: str) -> None:
    """Refuse a run whose jobs were cut otherwise: their shards have the same names, and other models.

    Raises:
        ArgumentError: they were.
    """
    if any(job.cut not in (None, cut) for job in jobs.values()):
        raise ArgumentError(
            f"the run {run} has jobs of another plan, or with other --flavor or --per-shard, whose shards hold other "
            f"models. Give the same ones, or another --run."
        )


def todo(shards: Sequence[Shard], jobs: Mapping[str, Job], done: Mapping[str, int], *, retry: bool) -> list[Shard]:
    """Return the shards that are to be submitted: those without a job, and with ``retry`` those whose job has ended.

    Args:
        shards: of the run.
        jobs: see ``jobs_of``.
        done: results by shard; a shard that has all of them is left alone.
        retry: submit again what has ended without all its results.
    """
    found = []
    for shard in shards:
        job = jobs.get(shard.name)
        if done.get(shard.name, 0) >= len(shard.models):
            continue
        if job is None or (retry and not job.running):
            found.append(shard)
    return found


def submit(hub: Hub, spec: Spec, shard: Shard, jobs: Mapping[str, Job], token: str | None = None) -> Job:
    """Submit one shard, once.

    Args:
        hub: the client, whose login pays.
        spec: of the run.
        shard: the part.
        jobs: see ``jobs_of``: what was there before.
        token: for the shard; see ``read_token``.

    Raises:
        ArgumentError: see ``check_debug``, ``check_cut`` and ``shards.arguments_of``.
        RequestError: it was not submitted, or whether it was is not known: the message says which.
    """
    from huggingface_hub import Volume

    check_debug()
    check_cut(spec.run, jobs, spec.cut)
    # A machine of a job has room for the weights of some models, and one model may take as long as the job.
    more = ["--tidy", "--timeout", str(spec.timeout)]
    more += ["--launch", spec.launch] if spec.launch else []
    more += ["--token"] if token else []
    words = arguments_of(shard, spec.settings, f"{MOUNT}/{spec.run}/{shard.name}", JOURNALS, more)
    _check_no_files(words)
    before = jobs.get(shard.name)

    def do() -> Job:
        with warnings.catch_warnings():
            # The client calls its Jobs experimental.
            warnings.filterwarnings("ignore", "(?s).*experimental", UserWarning)
            info = hub.api.run_uv_job(
                "synbench",
                script_args=words,
                dependencies=[spec.package],
                flavor=spec.flavour,
                timeout=spec.timeout,
                attempts=spec.attempts if spec.attempts > 1 else None,
                labels={"run": spec.run, "shard": shard.name, "cut": spec.cut},
                name=f"{spec.run}-{shard.name}",
                volumes=[Volume(type="bucket", source=spec.bucket, mount_path=MOUNT)],
                secrets={"HF_TOKEN": token} if token else None,
                namespace=spec.namespace,
            )
        return _job(info, shard.name)

    def look() -> Job | None:
        found = jobs_of(hub, spec.namespace, spec.run).get(shard.name)
        return None if found is None or (before is not None and found.id == before.id) else found

    return hub.asker.write(f"submit shard {shard.name} of {spec.run}", do, look, guarded=False)


def make_bucket(hub: Hub, bucket: str) -> None:
    """Make the bucket for the results, private, if it is not there.

    Raises:
        RequestError: it cannot be made.
    """
    hub.asker.read(f"make the bucket {bucket}", lambda: hub.api.create_bucket(bucket, private=True, exist_ok=True))


def results_of(hub: Hub, bucket: str, run: str) -> dict[str, list[Any]]:
    """Return the results in the bucket by shard, as the client tells of files.

    Raises:
        RequestError: they cannot be listed.
    """

    def ask() -> list[Any]:
        return list(hub.api.list_bucket_tree(bucket, prefix=run, recursive=True))

    found: dict[str, list[Any]] = {}
    for item in hub.asker.read(f"list the results in {bucket}", ask):
        parts = str(item.path).split("/")
        if item.type == "file" and len(parts) == 3 and parts[0] == run and parts[2].endswith(".json"):
            found.setdefault(parts[1], []).append(item)
    return found


def counted(results: Mapping[str, Sequence[Any]], shards: Sequence[Shard]) -> dict[str, int]:
    """Return how many of its models each shard has brought results of."""
    found = {}
    for shard in shards:
        there = {str(item.path).rpartition("/")[2] for item in results.get(shard.name, ())}
        found[shard.name] = sum(result_path(Path(), model.id).name in there for model in shard.models)
    return found


def stages(shards: Sequence[Shard], jobs: Mapping[str, Job]) -> Counter[str]:
    """Return how many shards are at which stage."""
    return Counter(jobs[shard.name].stage if shard.name in jobs else "not submitted" for shard in shards)


def _job(info: Any, shard: str) -> Job:
    return Job(str(info.id), shard, _stage(info), str(info.url), (info.labels or {}).get("cut"))


def _stage(info: Any) -> str:
    stage = info.status.stage
    return str(getattr(stage, "value", stage)).upper()


def _check_no_files(words: Sequence[str]) -> None:
    """Refuse a folder with a file that is called like one of the words: the client would send it along in its place."""
    if taken := [word for word in ("synbench", *words) if len(word) < 256 and Path(word).is_file()]:
        raise ArgumentError(
            f"the file {taken[0]!r} in this folder would be taken for a part of the job's command. Submit from another "
            f"folder."
        )
