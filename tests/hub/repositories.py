"""Repositories with their commits, references and pull requests."""

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from .faults import NotServedError

_LARGE = (".safetensors", ".bin", ".pt", ".onnx", ".parquet")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Blob:
    """The content of a file, with the ids that clients compare."""

    data: bytes
    large: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def oid(self) -> str:
        raw = self.data
        if self.large:
            head = "version https://git-lfs.github.com/spec/v1"
            raw = f"{head}\noid sha256:{self.sha256}\nsize {len(self.data)}\n".encode()
        return hashlib.sha1(b"blob %d\0" % len(raw) + raw).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.oid

    def lfs(self) -> dict[str, Any]:
        return {"oid": self.sha256, "sha256": self.sha256, "size": len(self.data), "pointerSize": 134}

    def described(self, path: str) -> dict[str, Any]:
        return {
            "type": "file",
            "path": path,
            "oid": self.oid,
            "size": len(self.data),
            **({"lfs": self.lfs()} if self.large else {}),
        }


Tree = dict[str, Blob]


def blob(path: str, data: bytes) -> Blob:
    return Blob(data, path.endswith(_LARGE))


@dataclass
class Commit:
    sha: str
    parent: str | None
    tree: Tree
    title: str
    author: str
    date: str


@dataclass
class Pull:
    """A pull request, or a discussion where ``is_pull_request`` is False."""

    num: int
    title: str
    description: str
    author: str
    status: str
    base: str | None
    is_pull_request: bool = True
    created: str = field(default_factory=now)
    merged: str | None = None
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ref(self) -> str:
        return f"refs/pr/{self.num}"


@dataclass
class Repository:
    """Commits, what branches and tags point to, and who may do what."""

    kind: str = "models"
    id: str = ""
    gated: bool = False
    private: bool = False
    disabled: bool = False
    discussions: bool = True
    granted: set[str] = field(default_factory=set)
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    pulls: list[Pull] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    """Fields of its description that are not made from its files, such as ``downloads`` or ``tags``."""
    created: str = field(default_factory=now)

    def push(self, files: Mapping[str, bytes] | Path, branch: str = "main", author: str = "owner") -> str:
        """Point the branch to a new commit of these files, or of the files of a folder, and return its hash."""
        if isinstance(files, Path):
            files = {str(p.relative_to(files)): p.read_bytes() for p in sorted(files.rglob("*")) if p.is_file()}
        tree = {path: blob(path, data) for path, data in files.items()}
        return self.commit(tree, branch, self.refs.get(branch), "push", author)

    def change(self, files: Mapping[str, bytes | None], branch: str = "main", author: str = "owner") -> str:
        """Add a commit that sets some files, or removes those that are ``None``."""
        tree = dict(self.commits[self.refs[branch]].tree)
        for path, data in files.items():
            if data is None:
                tree.pop(path, None)
            else:
                tree[path] = blob(path, data)
        return self.commit(tree, branch, self.refs[branch], "change", author)

    def commit(self, tree: Tree, branch: str, parent: str | None, title: str, author: str) -> str:
        digest = hashlib.sha1(f"{self.id}\0{parent}\0{len(self.commits)}\0{title}\0{author}".encode())
        for path, content in sorted(tree.items()):
            digest.update(f"\0{path}\0{content.oid}".encode())
        sha = digest.hexdigest()
        self.commits[sha] = Commit(sha, parent, tree, title, author, now())
        self.refs[branch] = sha
        return sha

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Return the contents of all files."""
        return {path: content.data for path, content in self.tree(revision).items()}

    def tree(self, revision: str) -> Tree:
        return self.commits[self.resolve(revision)].tree

    def resolve(self, revision: str) -> str:
        """Return the hash of a branch, tag, reference or commit."""
        sha = self.refs.get(revision.removeprefix("refs/heads/"), revision)
        if sha not in self.commits:
            raise NotServedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha

    def open(self, title: str, description: str, author: str, status: str = "open", pull: bool = True) -> Pull:
        """Open a pull request at main, or a discussion."""
        made = Pull(len(self.pulls) + 1, title, description, author, status, self.refs.get("main"), pull)
        self.pulls.append(made)
        if pull:
            self.refs[made.ref] = self.refs["main"]
        said = {"raw": description, "html": description, "updatedAt": made.created, "author": {"name": author}}
        self.tell(made, "comment", author, {"edited": False, "hidden": False, "latest": said, "history": []})
        return made

    def tell(self, pull: Pull, kind: str, author: str, data: dict[str, Any]) -> dict[str, Any]:
        event = {
            "id": hashlib.sha1(f"{self.id} {pull.num} {len(pull.events)}".encode()).hexdigest()[:24],
            "type": kind,
            "createdAt": now(),
            "author": {"name": author},
            "data": data,
        }
        pull.events.append(event)
        return event

    def pull(self, num: int) -> Pull:
        if not 1 <= num <= len(self.pulls):
            raise NotServedError(404, "", "Discussion not found")
        return self.pulls[num - 1]

    def close(self, num: int, author: str = "owner") -> None:
        """Close a pull request without merging it."""
        self.set_status(num, "closed", author)

    def reopen(self, num: int, author: str = "owner") -> None:
        """Open a closed pull request again."""
        self.set_status(num, "open", author)

    def set_status(self, num: int, status: str, author: str) -> dict[str, Any]:
        if self.pull(num).status == "merged":
            raise NotServedError(400, "", "Pull request is merged")
        self.pull(num).status = status
        return self.tell(self.pull(num), "status-change", author, {"status": status})

    def merge(self, num: int, author: str = "owner") -> str:
        """Merge a pull request, and return the new commit of main."""
        pull = self.pull(num)
        if pull.status in ("merged", "closed"):
            raise NotServedError(400, "", f"Pull request is {pull.status}")
        changed, conflicts = self.changed(pull)
        if conflicts:
            raise NotServedError(409, "", f"Merge conflicts in {', '.join(conflicts)}")
        tree, head = dict(self.tree("main")), self.tree(pull.ref)
        for path in changed:
            if path in head:
                tree[path] = head[path]
            else:
                tree.pop(path, None)
        pull.merged = self.commit(tree, "main", self.refs["main"], f"{pull.title} (#{num})", author)
        self.set_status(num, "merged", author)
        return pull.merged

    def changed(self, pull: Pull) -> tuple[list[str], list[str]]:
        """Return the files that a pull request changes, and those among them that main has changed otherwise."""
        base, head, main = self.tree(pull.base or "main"), self.tree(pull.ref), self.tree("main")
        changed = sorted(path for path in {*base, *head} if base.get(path) != head.get(path))
        return changed, [path for path in changed if main.get(path) not in (base.get(path), head.get(path))]

    def diff(self, pull: Pull) -> str:
        base, head = self.tree(pull.base or "main"), self.tree(pull.ref)
        parts = []
        for path in self.changed(pull)[0]:
            lines = [
                tree[path].data.decode(errors="replace").splitlines(keepends=True) if path in tree else []
                for tree in (base, head)
            ]
            parts += difflib.unified_diff(*lines, f"a/{path}", f"b/{path}")
        return "".join(parts)

    def text(self, path: str, revision: str = "main") -> str | None:
        found = self.tree(revision).get(path)
        return None if found is None else found.data.decode("utf-8", errors="replace")

    def configuration(self, revision: str) -> dict[str, Any] | None:
        try:
            read = json.loads(self.text("config.json", revision) or "null")
        except ValueError:
            return None
        return read if isinstance(read, dict) else None
