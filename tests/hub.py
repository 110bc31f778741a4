"""A read-only stand-in for the Hugging Face Hub on loopback: enough HTTP for the real clients to fetch files from."""

import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_FILE = re.compile(r"/(?:(?P<kind>spaces|datasets)/)?(?P<id>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_INFO = re.compile(r"/api/(?P<kind>models|spaces|datasets)/(?P<id>[^/]+/[^/]+)(?:/revision/(?P<revision>[^/]+))?")


@dataclass
class Repository:
    """Commits, what branches and tags point to, and whether access must be asked for."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False

    def push(self, files: dict[str, bytes] | Path, branch: str = "main") -> str:
        """Point the branch to a new commit of these files, or of the files of a folder, and return its hash."""
        if isinstance(files, Path):
            files = {path.name: path.read_bytes() for path in files.iterdir() if path.is_file()}
        digest = hashlib.sha1(repr((sorted(self.commits), branch)).encode())
        for name, content in sorted(files.items()):
            digest.update(f"{name} {len(content)} ".encode() + content)
        commit = digest.hexdigest()
        self.commits[commit], self.refs[branch] = dict(files), commit
        return commit


@dataclass(frozen=True)
class Request:
    """One line of the log."""

    method: str
    path: str
    status: int
    token: str | None


class _NotServedError(Exception):
    def __init__(self, status: int, code: str, commit: str | None = None):
        super().__init__(code)
        self.status, self.code, self.commit = status, code, commit


class Hub:
    """The server; as a context manager it runs, and ``endpoint`` is what ``HF_ENDPOINT`` must be set to.

    ``after`` maps the end of a path to a function that is called once, when a GET of it has been answered.
    """

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: list[Request] = []
        self.after: dict[str, Callable[[], Any]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Bound", (_Handler,), {"hub": self}))
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Hub":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def create(
        self, name: str, files: dict[str, bytes] | Path, kind: str = "models", gated: bool = False
    ) -> Repository:
        """Make a repository with one commit."""
        made = self.repositories[kind, name] = Repository(gated=gated)
        made.push(files)
        return made

    def answer(self, path: str) -> tuple[dict[str, str], bytes]:
        """Return headers and body for a path."""
        if found := _FILE.fullmatch(path):
            commit, files = self._look_up(found["kind"] or "models", found["id"], found["revision"], content=True)
            if found["path"] not in files:
                raise _NotServedError(404, "EntryNotFound", commit)
            body = files[found["path"]]
            return {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(body).hexdigest()}"'}, body
        if found := _INFO.fullmatch(path):
            commit, files = self._look_up(found["kind"], found["id"], found["revision"] or "main")
            siblings = [{"rfilename": name} for name in files]
            return _json(
                {"_id": "", "id": found["id"], "sha": commit, "private": False, "siblings": siblings, "tags": []}
            )
        raise _NotServedError(404, "")

    def _look_up(self, kind: str, name: str, revision: str, content: bool = False) -> tuple[str, dict[str, bytes]]:
        repository = self.repositories.get((kind, name))
        if repository is None:
            raise _NotServedError(404, "RepoNotFound")
        if repository.gated and content:
            raise _NotServedError(403, "GatedRepo")
        commit = repository.refs.get(revision, revision)
        if commit not in repository.commits:
            raise _NotServedError(404, "RevisionNotFound")
        return commit, repository.commits[commit]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        try:
            (headers, body), status = self.hub.answer(path), 200
        except _NotServedError as error:
            (headers, body), status = _json({"error": error.code}), error.status
            headers |= {"X-Error-Code": error.code} if error.code else {}
            headers |= {"X-Repo-Commit": error.commit} if error.commit else {}
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self.hub.requests.append(Request(self.command, path, status, token))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            # Before the body is whole, so that the client's next request comes after.
            for end in [end for end in self.hub.after if path.endswith(end)]:
                self.hub.after.pop(end)()
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep requests off the screen: ``Hub.requests`` has them."""


def _json(value: object) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": "application/json"}, json.dumps(value).encode()
