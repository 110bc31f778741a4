"""What is read: accounts, descriptions, listings, and files."""

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from .describing import described, listed
from .faults import NotServedError
from .routing import Routes

if TYPE_CHECKING:
    from .server import Call

ROUTES = Routes()
_PAGE = 1000


@ROUTES.at("GET", "/api/whoami-v2")
def whoami(call: "Call") -> Any:
    return {
        "type": "user",
        "id": f"user-{call.name}",
        "name": call.name,
        "fullname": call.name,
        "isPro": False,
        "orgs": [{"type": "org", "name": name} for name in call.user.organizations] if call.user else [],
        "auth": {
            "type": "access_token",
            "accessToken": {"displayName": "test", "role": call.hub.roles.get(call.name, "write")},
        },
    }


@ROUTES.at("GET", "/api/(?P<kind>models|datasets|spaces)")
def listing(call: "Call") -> Any:
    asked = call.asked
    seen = [r for (kind, _), r in call.hub.repositories.items() if kind == call["kind"]]
    found = listed([r for r in seen if not r.private or call.owns(r)], call.query)
    start, size = int(asked.get("cursor", 0)), min(int(asked.get("limit", _PAGE)), _PAGE)
    if start + size < len(found):
        rest = [(name, value) for name, value in call.query if name != "cursor"]
        query = urlencode([*rest, ("cursor", str(start + size))])
        call.headers["Link"] = f'<{call.hub.endpoint}/api/{call["kind"]}?{query}>; rel="next"'
    brief = (
        "author",
        "private",
        "gated",
        "downloads",
        "likes",
        "lastModified",
        "createdAt",
        "tags",
        "pipeline_tag",
        "library_name",
    )
    more = ("sha", "siblings", *(("cardData",) if call.flag("cardData") else ())) if call.flag("full") else ()
    expand = tuple(value for name, value in call.query if name == "expand") or (*brief, *more)
    return [described(r, expand=expand) for r in found[start : start + size]]


@ROUTES.at("GET HEAD", "/api/{repo}/auth-check")
def auth_check(call: "Call") -> Any:
    call.repository(content=True)
    return {}


@ROUTES.at("GET", "/api/{repo}/refs")
def refs(call: "Call") -> Any:
    branches, tags = [], []
    for name, sha in call.repository().refs.items():
        kind = "tags" if name.startswith("tags/") else "heads"
        if not name.startswith("refs/"):
            short = name.removeprefix("tags/")
            (tags if kind == "tags" else branches).append(
                {"name": short, "ref": f"refs/{kind}/{short}", "targetCommit": sha}
            )
    return {"branches": branches, "converts": [], "tags": tags}


@ROUTES.at("GET", "/api/{repo}(?:/revision/(?P<revision>.+))?")
def description(call: "Call") -> Any:
    expand = tuple(value for name, value in call.query if name == "expand")
    return described(call.repository(), call["revision"] or "main", blobs=call.flag("blobs"), expand=expand)


@ROUTES.at("GET", "/api/{repo}/tree/(?P<revision>refs/pr/[0-9]+|[^/]+)(?:/(?P<path>.+))?")
def tree(call: "Call") -> Any:
    under = f"{call['path']}/" if call["path"] else ""
    files = call.repository(content=True).tree(call["revision"] or "main")
    found = [content.described(path) for path, content in sorted(files.items()) if path.startswith(under)]
    if call.flag("recursive"):
        return found
    flat = [one for one in found if "/" not in one["path"].removeprefix(under)]
    folders = {one["path"].removeprefix(under).partition("/")[0] for one in found if one not in flat}
    return [
        *flat,
        *({"type": "directory", "path": under + name, "oid": "0" * 40, "size": 0} for name in sorted(folders)),
    ]


@ROUTES.at("POST", "/api/{repo}/paths-info/(?P<revision>.+)")
def paths_info(call: "Call") -> Any:
    try:
        wanted = call.json()["paths"]
    except ValueError:
        wanted = [value for name, value in parse_qsl(call.body.decode()) if name == "paths"]
    files = call.repository(content=True).tree(call["revision"] or "main")
    return [files[path].described(path) for path in wanted if path in files]


@ROUTES.at(
    "GET HEAD",
    "/(?:(?P<kind>datasets|spaces)/)?(?P<id>[^/]+/[^/]+)/(?:resolve|raw)/(?P<revision>refs/pr/[0-9]+|[^/]+)/(?P<path>.+)",
)
def file(call: "Call") -> Any:
    repository = call.repository(content=True)
    commit = repository.resolve(call["revision"] or "main")
    found = repository.tree(commit).get(call["path"] or "")
    if found is None:
        raise NotServedError(404, "EntryNotFound", "Entry not found", commit=commit)
    call.headers |= {"X-Repo-Commit": commit, "ETag": f'"{found.etag}"', "Content-Type": "application/octet-stream"}
    if found.large:
        call.headers |= {"X-Linked-ETag": f'"{found.etag}"', "X-Linked-Size": str(len(found.data))}
    return found.data
