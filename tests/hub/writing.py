"""What is written: repositories, commits, pull requests by commit, tags, and large files."""

import base64
import json
from typing import TYPE_CHECKING, Any

from .describing import check_metadata
from .faults import NotServedError
from .repositories import Blob, Repository, Tree, blob
from .routing import Routes

if TYPE_CHECKING:
    from .server import Call

ROUTES = Routes()


@ROUTES.at("POST", "/api/repos/create")
def create(call: "Call") -> Any:
    asked = call.json()
    owner, kind = asked.get("organization") or call.writer, (asked.get("type") or "model") + "s"
    name = f"{owner}/{asked['name']}"
    url = f"{call.hub.endpoint}/{'' if kind == 'models' else kind + '/'}{name}"
    made = Repository(kind, name, private=asked.get("visibility") == "private" or bool(asked.get("private")))
    if not call.owns(made):
        raise NotServedError(
            403, "", f"You don't have the rights to create a {kind[:-1]} under the namespace {owner!r}"
        )
    if (kind, name) in call.hub.repositories:
        raise NotServedError(
            409, "", "You already created this repo", body={"error": "You already created this repo", "url": url}
        )
    made.fields |= {"sdk": asked["sdk"]} if asked.get("sdk") else {}
    made.push({".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}, author=call.writer)
    call.hub.repositories[kind, name] = made
    return {"url": url, "name": name, "id": made.refs["main"][:24]}


@ROUTES.at("DELETE", "/api/repos/delete")
def delete(call: "Call") -> Any:
    asked = call.json()
    name = f"{asked.get('organization') or call.writer}/{asked['name']}"
    if call.hub.repositories.pop(((asked.get("type") or "model") + "s", name), None) is None:
        raise NotServedError(404, "RepoNotFound", "Repository not found")
    return {}


@ROUTES.at("POST", "/api/validate-yaml")
def validate(call: "Call") -> Any:
    check_metadata(call.json()["content"])
    return {"errors": [], "warnings": []}


@ROUTES.at("POST", "/api/{repo}/preupload/(?P<revision>.+)")
def preupload(call: "Call") -> Any:
    repository = call.repository()
    _check_writable(call, repository)
    files = repository.tree(call["revision"] or "main")
    told = []
    for asked in call.json()["files"]:
        path = asked["path"]
        mode = "lfs" if blob(path, b"").large else "regular"
        told.append(
            {
                "path": path,
                "uploadMode": mode,
                "shouldIgnore": False,
                "oid": files[path].etag if path in files else None,
            }
        )
    return {"files": told}


@ROUTES.at("POST", r"/(?:(?P<kind>datasets|spaces)/)?(?P<id>[^/]+/[^/]+)\.git/info/lfs/objects/batch")
def batch(call: "Call") -> Any:
    call.repository()
    objects = []
    for asked in call.json()["objects"]:
        action = {"upload": {"href": f"{call.hub.endpoint}/_large/{asked['oid']}"}}
        objects.append({**asked, **({} if asked["oid"] in call.hub.large else {"actions": action})})
    return {"transfer": "basic", "objects": objects}


@ROUTES.at("PUT", "/_large/(?P<oid>[0-9a-f]{64})")
def large(call: "Call") -> Any:
    call.hub.large[str(call["oid"])] = call.body
    return {}


@ROUTES.at("POST", "/api/{repo}/commit/(?P<revision>.+)")
def commit(call: "Call") -> Any:
    repository, revision, new = call.repository(), str(call["revision"]), call.flag("create_pr")
    _check_writable(call, repository)
    lines = [json.loads(line) for line in call.body.splitlines() if line.strip()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    parent = repository.resolve(revision)
    if wanted := header.get("parentCommit"):
        if new:
            parent = repository.resolve(wanted)
        elif parent != wanted:
            raise NotServedError(
                412, "", "The branch was updated since you opened this page. Please refresh and try again."
            )
    tree = dict(repository.commits[parent].tree)
    for line in lines:
        _apply(call, tree, line["key"], line["value"])
    if any(line["key"] == "file" and line["value"]["path"] == "README.md" for line in lines):
        check_metadata(tree["README.md"].data.decode("utf-8", errors="replace"))
    title, url = header["summary"], None
    if new:
        pull = repository.open(title, header.get("description", ""), call.writer)
        pull.base, branch = parent, pull.ref
        prefix = "" if repository.kind == "models" else f"{repository.kind}/"
        url = f"{call.hub.endpoint}/{prefix}{repository.id}/discussions/{pull.num}"
    else:
        branch = revision.removeprefix("refs/heads/")
    sha = repository.commit(tree, branch, parent, title, call.writer)
    for pull in repository.pulls:
        if pull.is_pull_request and pull.ref == branch:
            repository.tell(pull, "commit", call.writer, {"subject": title, "oid": sha})
    told = {
        "success": True,
        "commitOid": sha,
        "commitUrl": f"{call.hub.endpoint}/{repository.id}/commit/{sha}",
        "hookOutput": "",
    }
    return {**told, **({"pullRequestUrl": url} if url else {})}


@ROUTES.at("POST", "/api/{repo}/tag/(?P<revision>.+)")
def tag(call: "Call") -> Any:
    repository = call.repository()
    if not call.owns(repository):
        raise NotServedError(403, "", "Forbidden")
    name = call.json()["tag"]
    if name in repository.refs:
        raise NotServedError(409, "", f"Tag reference exists already: {name}")
    repository.refs[f"tags/{name}"] = repository.refs[name] = repository.resolve(str(call["revision"]))
    return {}


def _check_writable(call: "Call", repository: Repository) -> None:
    """Refuse what this user may not write: another's branch, but not a pull request of one's own."""
    name, revision = call.writer, str(call["revision"])
    if repository.disabled:
        raise NotServedError(403, "", "Access to this resource is disabled.")
    if call.flag("create_pr"):
        if not repository.discussions:
            raise NotServedError(403, "", "Discussions are disabled for this repo")
        return
    own = [p.ref for p in repository.pulls if p.is_pull_request and p.author == name]
    if not call.owns(repository) and revision not in own:
        raise NotServedError(403, "", "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")


def _apply(call: "Call", tree: Tree, key: str, value: dict[str, Any]) -> None:
    if key == "file":
        tree[value["path"]] = blob(value["path"], base64.b64decode(value["content"]))
    elif key == "lfsFile":
        tree[value["path"]] = Blob(call.hub.large[value["oid"]], large=True)
    elif key == "deletedFile":
        if tree.pop(value["path"], None) is None:
            raise NotServedError(404, "EntryNotFound", "A file with this name doesn't exist")
    elif key == "deletedFolder":
        for path in [path for path in tree if path.startswith(value["path"].rstrip("/") + "/")]:
            del tree[path]
