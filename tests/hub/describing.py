"""What the Hub says of a repository: its description, listings, files, and the scores in ``.eval_results``."""

import hashlib
import json
import re
import struct
from functools import lru_cache
from typing import Any

import yaml

from .faults import NotServedError
from .repositories import Repository

FRONT_MATTER = re.compile(r"^(\s*---[\r\n]+)([\S\s]*?)([\r\n]+---(\r\n|\r|\n|$))")
_EVAL_RESULTS = re.compile(r"\.eval_results/[^/]+\.ya?ml")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WIDTHS = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "I64": 8, "I32": 4, "I8": 1, "U8": 1, "BOOL": 1}


def card(repository: Repository, revision: str = "main") -> dict[str, Any]:
    """Return the metadata of a card as JSON has it; nothing where there is none, or it cannot be read."""
    return json.loads(_card(repository.text("README.md", revision) or ""))


@lru_cache(maxsize=4096)
def _card(text: str) -> str:
    found = FRONT_MATTER.search(text.removeprefix("\ufeff"))
    try:
        read = yaml.load(found[2], Loader=_LOADER) if found else None
        return json.dumps(read, default=str) if isinstance(read, dict) else "{}"
    except (yaml.YAMLError, TypeError, ValueError):
        return "{}"


def eval_results(repository: Repository) -> list[dict[str, Any]]:
    """Return the entries of main, and those of open pull requests that main does not have."""
    main = repository.tree("main")
    found = []
    opened = [p for p in repository.pulls if p.is_pull_request and p.status in ("open", "draft")]
    for revision, num in [("main", None), *((p.ref, p.num) for p in opened)]:
        for path, content in sorted(repository.tree(revision).items()):
            if not _EVAL_RESULTS.fullmatch(path) or (num and main.get(path) == content):
                continue
            where = {"filename": path, **({"pullRequest": num} if num else {})}
            try:
                entries = json.loads(json.dumps(yaml.load(content.data, Loader=_LOADER), default=str))
                found += [{**where, "verified": False, "data": _checked(entry)} for entry in entries]
            except (yaml.YAMLError, TypeError, KeyError, ValueError) as error:
                found.append({**where, "error": f"{type(error).__name__}: {error}"})
    return found


def described(
    repository: Repository, revision: str = "main", *, blobs: bool = False, expand: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the description of a repository at a revision; with ``expand``, those fields alone."""
    sha = repository.resolve(revision)
    commit = repository.commits[sha]
    base = {"_id": hashlib.md5(repository.id.encode()).hexdigest()[:24], "id": repository.id}
    if repository.kind == "models":
        base["modelId"] = repository.id
    makers = {
        "author": lambda: repository.id.partition("/")[0],
        "sha": lambda: sha,
        "private": lambda: repository.private,
        "gated": lambda: "auto" if repository.gated else False,
        "disabled": lambda: repository.disabled,
        "downloads": lambda: 0,
        "likes": lambda: 0,
        "lastModified": lambda: commit.date,
        "createdAt": lambda: repository.created,
        "tags": lambda: _tags(repository, revision),
        "pipeline_tag": lambda: card(repository, revision).get("pipeline_tag"),
        "library_name": lambda: card(repository, revision).get("library_name"),
        "cardData": lambda: card(repository, revision) or None,
        "model-index": lambda: card(repository, revision).get("model-index"),
        "config": lambda: repository.configuration(revision),
        "safetensors": lambda: _parameters(repository, revision),
        "usedStorage": lambda: sum(len(content.data) for content in commit.tree.values()),
        "siblings": lambda: [_sibling(path, content, blobs) for path, content in sorted(commit.tree.items())],
        "evalResults": lambda: eval_results(repository),
    }
    wanted = expand or [name for name in makers if name not in ("evalResults", "model-index", "usedStorage")]
    values = {
        name: repository.fields[name] if name in repository.fields else makers[name]()
        for name in wanted
        if name in makers or name in repository.fields
    }
    return {**base, **{name: value for name, value in values.items() if value is not None}}


def listed(repositories: list[Repository], query: list[tuple[str, str]]) -> list[Repository]:
    """Return those that a query asks for, in its order."""
    asked = dict(query)
    found = repositories
    for name, value in query:
        if name == "filter":
            for tag in value.split(","):
                found = [r for r in found if tag in _field(r, "tags")]
    if tag := asked.get("pipeline_tag"):
        found = [r for r in found if _field(r, "pipeline_tag") == tag]
    if author := asked.get("author"):
        found = [r for r in found if r.id.partition("/")[0] == author]
    if text := asked.get("search"):
        found = [r for r in found if text.lower() in r.id.lower()]
    if (gated := asked.get("gated")) is not None:
        found = [r for r in found if r.gated == (gated.lower() == "true")]
    sort = asked.get("sort", "")
    if key := {"last_modified": "lastModified", "created_at": "createdAt"}.get(sort, sort):
        found = sorted(found, key=lambda r: _field(r, key) or 0, reverse=True)
    return found


def _field(repository: Repository, name: str) -> Any:
    return described(repository, expand=(name,)).get(name)


def _tags(repository: Repository, revision: str) -> list[str]:
    told, config = card(repository, revision), repository.configuration(revision) or {}
    tags = told.get("tags")
    found = [
        told.get("library_name"),
        *(tags if isinstance(tags, list) else []),
        told.get("pipeline_tag"),
        config.get("model_type"),
    ]
    return list(dict.fromkeys(str(tag) for tag in found if tag))


def _sibling(path: str, content: Any, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": path}
    told = {"rfilename": path, "size": len(content.data), "blobId": content.oid}
    return {**told, "lfs": content.lfs()} if content.large else told


def _parameters(repository: Repository, revision: str) -> dict[str, Any] | None:
    """Return the numbers of the safetensors files by type, read from their headers."""
    count: dict[str, int] = {}
    for path, content in repository.tree(revision).items():
        if not path.endswith(".safetensors") or len(content.data) < 8:
            continue
        (length,) = struct.unpack("<Q", content.data[:8])
        try:
            header = json.loads(content.data[8 : 8 + length])
        except ValueError:
            continue
        for name, tensor in header.items():
            if name != "__metadata__":
                start, stop = tensor["data_offsets"]
                kind = tensor["dtype"]
                count[kind] = count.get(kind, 0) + (stop - start) // _WIDTHS.get(kind, 1)
    return {"parameters": count, "total": sum(count.values())} if count else None


def _checked(entry: Any) -> Any:
    if not (entry["dataset"]["id"] and entry["dataset"]["task_id"] and "value" in entry):
        raise ValueError("an entry needs dataset.id, dataset.task_id and value")
    return entry


def check_metadata(text: str) -> None:
    """Refuse a card whose metadata is no YAML."""
    found = FRONT_MATTER.search(text.removeprefix("\ufeff"))
    try:
        read = yaml.load(found[2], Loader=_LOADER) if found else None
    except yaml.YAMLError as error:
        told = {"errors": [{"message": f"Invalid YAML: {error}"}], "warnings": []}
        raise NotServedError(400, "", "Invalid metadata in README.md", body=told) from None
    if read is not None and not isinstance(read, dict):
        told = {"errors": [{"message": "metadata must be a mapping"}], "warnings": []}
        raise NotServedError(400, "", "Invalid metadata in README.md", body=told)
