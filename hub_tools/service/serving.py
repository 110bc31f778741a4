"""The service as it runs: the webhook handler in a thread, the work in the main one, which signals reach.

A request to terminate ends the model's process too, and puts the model back. A process that is killed leaves the model
marked as running: the next one finds it so, and begins it again.
"""

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hub_tools.annotation import children
from hub_tools.annotation.consent import Consent, read_lines
from synbench.errors import ArgumentError, HubError, OutputError
from synbench.report import Report

from . import service
from .queue_file import FILE, only_worker
from .waiting import LastScore, Waiting
from .worker import NotScoredError, Propose, Worker, scorer

SECONDS = 3600.0
"""For one model, unless told otherwise."""


@dataclass(frozen=True)
class Work:
    """What is done with models, and where it is kept.

    Args:
        folder: for reports and the queue.
        consent: which models may be scored.
        settings: of every score, see ``plan_settings.checked``.
        propose: see ``Worker``.
        timeout: seconds for one model.
        say: told what happens.
    """

    folder: Path
    consent: Consent
    settings: Mapping[str, Any]
    propose: Propose | None
    timeout: float
    say: Callable[[str], None]


def read_repos(repos: Path, deny: Path | None = None) -> Consent:
    """Read which models may be scored.

    Args:
        repos: file with lines ``org/model`` or ``org/*``; # begins a comment.
        deny: file of the same kind, of models that must not.

    Raises:
        ArgumentError: a file cannot be read, a line is wrong, or nothing may be scored; the message names it.
    """
    allowed = read_lines(repos)
    if not allowed:
        raise ArgumentError(
            f"{str(repos)!r} names no model, so nothing may be scored. Add a line such as org/model, or org/*."
        )
    return Consent(allowed, frozenset() if deny is None else read_lines(deny))


def take_secret(variable: str) -> bytes:
    """Return the webhook's secret, and take it out of the environment, which child processes would inherit.

    Raises:
        ArgumentError: see ``service.check_secret``.
    """
    return service.check_secret(os.environ.pop(variable, None), variable)


def publisher(**options: Any) -> Propose:
    """Return what opens or amends the one pull request of a model.

    Args:
        options: of ``pushing.propose``.
    """

    def publish(hub: Any, report: Report, last: LastScore) -> str:
        from hub_tools.score.checks import RefusedError
        from hub_tools.score.pushing import carry_out, propose

        asked = {**options, "again_after_merge": False, "scored_weights": last.weights}
        try:
            proposal = propose(hub, report, last.repo_id, **asked)
        except RefusedError as error:
            if error.why == "weights":
                raise NotScoredError(str(error), for_good=False) from error
            return f"not published: {error}"
        done = carry_out(hub, proposal)
        return f"{done.reason} {done.url or ''}".strip()

    return publish


def queue(folder: Path) -> Waiting:
    """Open the queue of a folder of results, which is made if need be.

    Raises:
        OutputError: it cannot be.
    """
    try:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {str(folder)!r}: {error.strerror or error}.") from error
    return Waiting(folder / FILE)


@contextmanager
def opened(work: Work) -> Iterator[tuple[Waiting, Worker]]:
    """Open the queue as the one process that works it off.

    Raises:
        ArgumentError: another process does.
        HubError: scores are to be published, and nobody is logged in.
        OutputError: the folder cannot be made or written.
    """
    from hub_tools.client.hub import Hub

    if work.propose is not None and not Hub().logged_in:
        raise HubError("scores are to be published, and nobody is logged in. Log in by hf auth login, or set HF_TOKEN.")
    with queue(work.folder) as waiting, only_worker(work.folder / FILE):
        if count := waiting.recover():
            work.say(f"{count} left unfinished by the process before this one: begun again")
        yield (
            waiting,
            Worker(
                waiting,
                connect=Hub,
                refusal=work.consent.refusal,
                score=scorer(work.folder, work.settings, work.timeout),
                folder=work.folder,
                settings=work.settings,
                propose=work.propose,
                say=work.say,
            ),
        )


def serve(work: Work, secret: bytes, *, host: str, port: int) -> None:
    """Take webhooks and work off the queue, until this process is told to end.

    Args:
        work: see there.
        secret: see ``take_secret``.
        host: address to listen at.
        port: port to listen at; 0 for any that is free.

    Raises:
        ArgumentError: a package is missing, or another process works off the queue.
        OutputError: the folder cannot be written, or the address not be listened at.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise service.missing(error) from error
    stop, wake = threading.Event(), threading.Event()
    with _listening(host, port) as listener, opened(work) as (waiting, worker):
        app = service.make_app(
            secret, work.consent.refusal, waiting, wake=wake.set, at_work=lambda: worker.trouble is None
        )
        # Headers, the secret among them, are not logged.
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
            limit_concurrency=64,
        )
        server = uvicorn.Server(config)

        def listen() -> None:
            try:
                server.run(sockets=[listener])
            finally:
                stop.set()
                wake.set()

        thread = threading.Thread(target=listen, name="webhooks")
        at = f"[{host}]" if ":" in host else host
        work.say(f"webhooks are taken at http://{at}:{listener.getsockname()[1]}/webhook")
        with children.terminable():
            try:
                thread.start()
                worker.run(stop, wake)
                raise OutputError("the webhook handler has ended by itself. What it said stands above; start it again.")
            except KeyboardInterrupt:
                work.say("ending; what waits is kept")
            finally:
                server.should_exit = True
                with suppress(KeyboardInterrupt):
                    thread.join(10)


def work_off(work: Work) -> int:
    """Work off what waits and is due, without listening, and return how many models that were.

    Raises:
        StopError: the Hub refuses whatever is asked.
        ArgumentError: another process works off the queue.
    """
    with opened(work) as (_, worker), children.terminable():
        count = 0
        while worker.step():
            count += 1
    return count


def say(message: str) -> None:
    """Print a line with the time (UTC) to stderr."""
    sys.stderr.write(f"synbench: {datetime.now(UTC):%Y-%m-%d %H:%M:%S} {message}\n")
    sys.stderr.flush()


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise OutputError(f"cannot listen at {host}:{port}: {error}. Give another --host or --port.") from error
    with listener:
        yield listener
