"""Discussions and pull requests."""

from typing import TYPE_CHECKING, Any

from .faults import NotServedError
from .repositories import Pull, Repository
from .routing import Routes

if TYPE_CHECKING:
    from .server import Call

ROUTES = Routes()
_PAGE = 50


@ROUTES.at("GET", "/api/{repo}/discussions")
def listing(call: "Call") -> Any:
    repository, asked = call.repository(), call.asked
    kind, status, author = asked.get("type", "all"), asked.get("status", "all"), asked.get("author")
    found = [
        pull
        for pull in reversed(repository.pulls)
        if (kind == "all" or (kind == "pull_request") == pull.is_pull_request)
        and (status == "all" or (status == "open") == (pull.status in ("open", "draft")))
        and author in (None, pull.author)
    ]
    start = int(asked.get("p", 0)) * _PAGE
    return {
        "discussions": [_told(repository, pull) for pull in found[start : start + _PAGE]],
        "count": len(found),
        "start": start,
    }


@ROUTES.at("POST", "/api/{repo}/discussions")
def create(call: "Call") -> Any:
    repository, asked = call.repository(), call.json()
    name = call.writer
    if not repository.discussions:
        raise NotServedError(403, "", "Discussions are disabled for this repo")
    pull = bool(asked.get("pullRequest"))
    made = repository.open(asked["title"], asked.get("description", ""), name, "draft" if pull else "open", pull)
    return {"num": made.num}


@ROUTES.at("GET", "/api/{repo}/discussions/(?P<num>[0-9]+)")
def details(call: "Call") -> Any:
    repository = call.repository()
    pull = repository.pull(int(str(call["num"])))
    told = {**_told(repository, pull), "events": pull.events}
    if not pull.is_pull_request:
        return told
    changes = {"base": "refs/heads/main", **({"mergeCommitId": pull.merged} if pull.merged else {})}
    conflicts = [] if pull.merged else repository.changed(pull)[1]
    return {**told, "changes": changes, "filesWithConflicts": conflicts, "diff": repository.diff(pull)}


@ROUTES.at("POST", "/api/{repo}/discussions/(?P<num>[0-9]+)/(?P<what>comment|status|title|merge)")
def change(call: "Call") -> Any:
    repository, asked, name = call.repository(), call.json(), call.writer
    pull = repository.pull(int(str(call["num"])))
    mine = call.owns(repository)
    if call["what"] == "comment":
        latest = {
            "raw": asked["comment"],
            "html": asked["comment"],
            "updatedAt": pull.created,
            "author": {"name": name},
        }
        data = {"edited": False, "hidden": False, "latest": latest, "history": []}
        return {"newMessage": repository.tell(pull, "comment", name, data)}
    if not mine and (call["what"] == "merge" or name != pull.author):
        raise NotServedError(403, "", "Forbidden")
    if call["what"] == "status":
        return {"newStatus": repository.set_status(pull.num, asked["status"], name)}
    if call["what"] == "title":
        event = repository.tell(pull, "title-change", name, {"from": pull.title, "to": asked["title"]})
        pull.title = asked["title"]
        return {"newTitle": event}
    repository.merge(pull.num, name)
    return {"ok": True}


@ROUTES.at("POST", "/api/{repo}/discussions/(?P<num>[0-9]+)/comment/(?P<comment>[0-9a-f]+)/edit")
def edit(call: "Call") -> Any:
    repository, text, name = call.repository(), call.json()["content"], call.writer
    pull = repository.pull(int(str(call["num"])))
    for event in pull.events:
        if event["id"] == call["comment"] and event["type"] == "comment":
            if event["author"]["name"] != name:
                raise NotServedError(403, "", "Forbidden")
            event["data"]["latest"] |= {"raw": text, "html": text}
            event["data"]["edited"] = True
            if event is pull.events[0]:
                pull.description = text
            return {"updatedComment": event}
    raise NotServedError(404, "", "Comment not found")


def _told(repository: Repository, pull: Pull) -> dict[str, Any]:
    return {
        "num": pull.num,
        "title": pull.title,
        "status": pull.status,
        "isPullRequest": pull.is_pull_request,
        "createdAt": pull.created,
        "author": {"name": pull.author},
        "repo": {"name": repository.id, "type": repository.kind[:-1]},
    }
