"""The webhook handler: events of the Hub come in, models that changed go to the queue, and nothing else happens here.

The secret is checked first, in constant time, and before a byte of the body is read. An event counts only if it is of
the main branch of a model that is allowed: pull requests, SynBench's own among them, live in other refs, so the service
does not set itself off.
"""

import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hub_tools.annotation.plans import ID
from synbench.errors import ArgumentError

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from .waiting import Waiting

SECRET_HEADER = "X-Webhook-Secret"
SECRET_LENGTH = 16
"""A shorter secret could be guessed."""

LARGEST_BODY = 256 * 1024
"""Bytes; an event of the Hub has a few thousand."""

Refusal = Callable[[str], str | None]
"""Tells of a model's id why it must not be scored, or ``None``; such as ``Consent.refusal``."""

_VERSION = 3
_MAIN = "refs/heads/main"
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Event:
    """What an event of the Hub says, as far as it matters here.

    Args:
        scope: what it is about, such as ``repo.content``.
        kind: of repository, such as ``model``.
        repo_id: its name.
        private: whether only some may see it.
        head: commit that the main branch is at now; ``None`` if the event is not about that.
    """

    scope: str
    kind: str
    repo_id: str
    private: bool
    head: str | None


@dataclass(frozen=True)
class Answer:
    """What the Hub is told: 202 queued, 200 not needed, and why."""

    status: int
    told: str


def check_secret(secret: str | None, variable: str) -> bytes:
    """Return the secret as bytes.

    Args:
        secret: as the environment has it.
        variable: its name there.

    Raises:
        ArgumentError: there is none, or it is too short; the message does not repeat it.
    """
    if not secret:
        raise ArgumentError(
            f"the service needs the webhook's secret in the environment variable {variable}, and it is not set. Set it "
            f"to what the webhook's settings on the Hub say: without a secret, anybody could make this machine work."
        )
    if len(secret) < SECRET_LENGTH:
        raise ArgumentError(
            f"the secret in {variable} must have at least {SECRET_LENGTH} characters, got {len(secret)}. Make one with "
            f"`openssl rand -hex 32`, and give it to the webhook too."
        )
    return secret.encode(errors="surrogateescape")


def check_sender(given: str | None, secret: bytes) -> Answer | None:
    """Return the refusal of a request without the secret, or ``None`` for one with it.

    The time that it takes does not tell how much of the secret was right.

    >>> check_sender(None, b"0123456789abcdef").status, check_sender("no", b"0123456789abcdef").status
    (401, 403)
    """
    if given is None:
        return Answer(401, f"expected the webhook's secret in the header {SECRET_HEADER}")
    # Headers are bytes; the framework reads them as latin-1.
    if not hmac.compare_digest(given.encode("latin-1", errors="replace"), secret):
        return Answer(403, "this is not the webhook's secret")
    return None


def read_event(body: bytes) -> Event:
    """Read the body of a request.

    Raises:
        ArgumentError: it is no event of the Hub's webhooks, version 3.
    """
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ArgumentError("expected an event of the Hub as JSON") from error
    event, repo, webhook = (_mapping(values, key) for key in ("event", "repo", "webhook"))
    if webhook.get("version") != _VERSION:
        raise ArgumentError(f"expected an event of version {_VERSION} of the Hub's webhooks")
    scope, kind, name = event.get("scope"), repo.get("type"), repo.get("name")
    if not (isinstance(scope, str) and isinstance(kind, str) and isinstance(name, str)):
        raise ArgumentError("expected an event with event.scope, repo.type and repo.name")
    refs = values.get("updatedRefs") or []
    if not isinstance(refs, list) or not all(isinstance(ref, dict) for ref in refs):
        raise ArgumentError("expected updatedRefs to be a list of refs")
    heads = [ref.get("newSha") for ref in refs if ref.get("ref") == _MAIN]
    head = heads[-1] if heads and isinstance(heads[-1], str) and _COMMIT.fullmatch(heads[-1]) else None
    return Event(scope, kind, name, repo.get("private") is not False, head)


def reason_to_ignore(event: Event, refusal: Refusal) -> str | None:
    """Return why an event does not call for a look at the model; ``None`` if it does."""
    if event.kind != "model":
        return "not a model"
    if not (event.scope == "repo" or event.scope.startswith("repo.content")):
        return "not about the content of a repository"
    if not ID.fullmatch(event.repo_id):
        return "not the name of a model"
    if (reason := refusal(event.repo_id)) is not None:
        return reason
    if event.private:
        return "a private model"
    if event.head is None:
        return "main did not change"
    return None


def receive(body: bytes, refusal: Refusal, waiting: "Waiting") -> Answer:
    """Take an event from a sender who knows the secret."""
    try:
        event = read_event(body)
    except ArgumentError as error:
        return Answer(400, str(error))
    reason = reason_to_ignore(event, refusal)
    if reason is not None or event.head is None:
        return Answer(200, f"ignored: {reason}")
    if not waiting.add(event.repo_id, event.head):
        return Answer(200, "ignored: this commit is known already")
    return Answer(202, "queued")


def make_app(
    secret: bytes,
    refusal: Refusal,
    waiting: "Waiting",
    *,
    wake: Callable[[], None] = lambda: None,
    at_work: Callable[[], bool] = lambda: True,
) -> "Starlette":
    """Return the application: ``POST /webhook`` and ``GET /healthz``.

    Args:
        secret: from ``check_secret``.
        refusal: see there.
        waiting: where models go.
        wake: called when there is a new one.
        at_work: tells whether the worker runs.

    Raises:
        ArgumentError: a package is missing.
    """
    try:
        from starlette.applications import Starlette
        from starlette.concurrency import run_in_threadpool
        from starlette.requests import ClientDisconnect, Request
        from starlette.responses import JSONResponse
        from starlette.routing import Route
    except ImportError as error:
        raise missing(error) from error

    async def webhook(request: Request) -> JSONResponse:
        answer = check_sender(request.headers.get(SECRET_HEADER), secret)
        if answer is None:
            try:
                body = await _body(request)
            except ClientDisconnect:
                body = Answer(400, "expected a whole body")
            answer = body if isinstance(body, Answer) else await run_in_threadpool(receive, body, refusal, waiting)
        if answer.status == 202:
            wake()
        return JSONResponse({"told": answer.told}, answer.status)

    async def healthz(_: Request) -> JSONResponse:
        counts, running = await run_in_threadpool(waiting.counts), at_work()
        return JSONResponse({"at_work": running, "models": counts}, 200 if running else 503)

    return Starlette(routes=[Route("/webhook", webhook, methods=["POST"]), Route("/healthz", healthz)])


def missing(error: ImportError) -> ArgumentError:
    """Return what to do where a package of the service is missing."""
    return ArgumentError(
        f"the service needs the package {error.name!r}, which is not installed. "
        f"Install what the service needs: pip install 'synbench[service]'."
    )


async def _body(request: Any) -> bytes | Answer:
    """Return the body, or the refusal of one that is too large, before the rest of it is read."""
    too_large = Answer(413, f"expected at most {LARGEST_BODY} bytes")
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > LARGEST_BODY:
        return too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            return too_large
    return bytes(body)


def _mapping(values: Any, key: str) -> Mapping[str, Any]:
    found = values.get(key) if isinstance(values, dict) else None
    if not isinstance(found, dict):
        raise ArgumentError(f"expected an event of the Hub, with the object {key!r}")
    return found
