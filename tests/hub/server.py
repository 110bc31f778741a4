"""The server: requests are logged, met by faults, and handed to the route that fits."""

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from . import buckets, discussing, reading, signing_in, working, writing
from .buckets import Buckets
from .faults import Fault, NotServedError
from .repositories import Repository
from .signing_in import READING, SigningIn

_ROUTES = [
    *reading.ROUTES,
    *writing.ROUTES,
    *discussing.ROUTES,
    *working.ROUTES,
    *buckets.ROUTES,
    *signing_in.ROUTES,
]


@dataclass(frozen=True)
class Request:
    """One line of the log."""

    method: str
    path: str
    status: int
    token: str | None
    query: str = ""
    body: bytes = b""


@dataclass(frozen=True)
class User:
    name: str
    organizations: tuple[str, ...] = ()


@dataclass
class Call:
    """What a route is given: the match of its path, and what was sent."""

    hub: "Hub"
    match: re.Match[str]
    method: str
    query: list[tuple[str, str]]
    body: bytes
    user: User | None
    headers: dict[str, str] = field(default_factory=dict)
    token: str | None = None

    def __getitem__(self, name: str) -> str | None:
        return self.match[name]

    @property
    def asked(self) -> dict[str, str]:
        return dict(self.query)

    def flag(self, name: str) -> bool:
        return self.asked.get(name, "").lower() in ("1", "true")

    def json(self) -> Any:
        return json.loads(self.body or b"{}")

    @property
    def name(self) -> str:
        """Who asks."""
        if self.user is None:
            raise NotServedError(401, "", "Invalid username or password.")
        return self.user.name

    @property
    def writer(self) -> str:
        """Who asks, with a token that can write."""
        if self.hub.roles.get(self.name, "write") == "read":
            raise NotServedError(403, "", "Forbidden: this token can only read")
        return self.name

    def owns(self, repository: Repository) -> bool:
        return self.user is not None and repository.id.partition("/")[0] in (self.user.name, *self.user.organizations)

    def repository(self, *, content: bool = False) -> Repository:
        """Return the repository of the path, if this user may see it, or its content."""
        found = self.hub.repositories.get((self.match["kind"] or "models", self.match["id"]))
        mine = found is not None and self.owns(found) and self.hub.oauth.allows(self.token, *READING)
        if found is None or (found.private and not mine):
            raise NotServedError(404 if self.user or found is None else 401, "RepoNotFound", "Repository not found")
        if found.disabled and content:
            raise NotServedError(403, "", "Access to this resource is disabled.")
        if content and found.gated and not mine and not self._let_in(found):
            status = 403 if self.user or not self.hub.users else 401
            raise NotServedError(status, "GatedRepo", f"Access to model {found.id} is restricted.")
        return found

    def _let_in(self, repository: Repository) -> bool:
        named = self.user is not None and self.user.name in repository.granted
        return named and self.hub.oauth.allows(self.token, "gated-repos", *READING)


class Hub:
    """The server; as a context manager it runs, and ``endpoint`` is what ``HF_ENDPOINT`` must be set to.

    ``visitor`` is who is logged in on its pages, in the browser; ``oauth`` is how that one signs in to applications.

    ``after`` maps the end of a path to a function that is called once, when a GET of it has been answered. As long as
    nobody has signed up, any token is taken for nobody's.
    """

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.users: dict[str, User] = {}
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.after: dict[str, Callable[[], Any]] = {}
        self.roles: dict[str, str] = {}
        self.buckets = Buckets()
        self.large: dict[str, bytes] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.hardware: list[dict[str, Any]] = list(working.HARDWARE)
        self.run_job: Callable[[dict[str, Any]], str] | None = None
        """Called with a new job, in a thread of its own; what it returns is the stage that the job ends in."""
        self.visitor: str | None = None
        self.oauth = SigningIn(self)
        self.connections: set[socket.socket] = set()
        self.lock = threading.RLock()
        self._server = _Server(("127.0.0.1", 0), type("_Bound", (_Handler,), {"hub": self}))
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Hub":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        for connection in list(self.connections):
            # A Hub that is gone answers on no connection that was kept open.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()
        self.buckets.close()

    def sign_up(self, name: str, token: str, orgs: tuple[str, ...] = ()) -> None:
        """Let a token be that of an account; unknown tokens are refused from now on."""
        self.users[token] = User(name, tuple(orgs))

    def create(
        self,
        name: str,
        files: Mapping[str, bytes] | Path | None = None,
        kind: str = "models",
        gated: bool = False,
        **options: Any,
    ) -> Repository:
        """Make a repository with one commit."""
        made = self.repositories[kind, name] = Repository(kind, name, gated, **options)
        made.push({} if files is None else files)
        return made

    def models(self) -> list[Repository]:
        """Return the repositories of models."""
        return [repository for (kind, _), repository in self.repositories.items() if kind == "models"]

    def answer(self, method: str, path: str, query: str, body: bytes, token: str | None) -> tuple[dict[str, str], Any]:
        """Return headers and body for a request."""
        # An application shows who it is in the same header.
        known = token is None or token in self.users or (path == "/oauth/token" and token.startswith("Basic "))
        if self.users and not known:
            raise NotServedError(401, "", "Invalid credentials in Authorization header")
        self.oauth.check(token, method, path, query)
        for methods, pattern, route in _ROUTES:
            if method in methods and (match := pattern.fullmatch(path)):
                asked = parse_qsl(query, keep_blank_values=True)
                call = Call(self, match, method, asked, body, self.users.get(token or ""), token=token)
                with self.lock:
                    made = route(call)
                return call.headers, made
        raise NotServedError(404, "", f"no route for {method} {path}")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    # Headers and body leave in one packet.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.hub.connections.add(self.connection)

    def finish(self) -> None:
        self.hub.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def _serve(self) -> None:
        url = urlsplit(self.path)
        path, token = unquote(url.path), self._token()
        body = self._received()
        fault = next((f for f in list(self.hub.faults) if f.meets(self.command, self.path)), None)
        if fault:
            time.sleep(fault.seconds)
            if fault.call:
                fault.call()
        try:
            headers, made = self._answer(fault, path, url.query, body, token)
            status = 200
        except NotServedError as error:
            status, made = error.status, error.body if error.body is not None else {"error": error.message}
            headers = dict(error.headers)
            headers |= {"X-Error-Code": error.code} if error.code else {}
            headers |= {"X-Error-Message": error.message} if error.message else {}
            headers |= {"X-Repo-Commit": error.commit} if error.commit else {}
        except Exception as error:  # noqa: BLE001 - a mistake of the stand-in's, or a request that it does not know
            status, made, headers = 500, {"error": f"stand-in: {type(error).__name__}: {error}"}, {}
        told = 0 if fault and fault.drop else status
        self.hub.requests.append(Request(self.command, path, told, token, url.query, body))
        if fault and fault.drop:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._reply(path, status, headers, made)

    def _answer(
        self, fault: Fault | None, path: str, query: str, body: bytes, token: str | None
    ) -> tuple[dict[str, str], Any]:
        usual = fault is None or fault.after or (fault.status is None and not fault.drop)
        answer = self.hub.answer(self.command, path, query, body, token) if usual else ({}, None)
        if fault and fault.status is not None:
            raise NotServedError(fault.status, "", "injected", headers=fault.headers, body=fault.body)
        return answer

    def _reply(self, path: str, status: int, headers: dict[str, str], made: Any) -> None:
        if not isinstance(made, bytes):
            headers.setdefault("Content-Type", "application/json")
            made = json.dumps(made).encode()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted and status == 200:
            first, last = int(wanted[1]), min(int(wanted[2] or len(made)), len(made) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(made)}"
            status, made = 206, made[first : last + 1]
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(made))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.command == "GET":
            # Before the body is whole, so that the client's next request comes after.
            for end in [end for end in self.hub.after if path.endswith(end)]:
                self.hub.after.pop(end)()
        self.wfile.write(made)

    def _token(self) -> str | None:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def _received(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep requests off the screen: ``Hub.requests`` has them."""
