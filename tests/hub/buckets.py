"""Buckets: files that are not in git. Their contents are in a Xet store on the disk, which the real client reads."""

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .faults import NotServedError
from .routing import Routes

if TYPE_CHECKING:
    from .server import Call

ROUTES = Routes()
_ID = "(?P<id>[^/]+/[^/]+)"


class Buckets:
    """All buckets, by name: path, size and Xet hash of their files."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, dict[str, Any]]] = {}
        self._store = tempfile.TemporaryDirectory(prefix="stand-in-xet-")
        self.url = f"local://{self._store.name}"

    def put(self, bucket: str, files: dict[str, bytes]) -> None:
        """Put files into a bucket, as a job does that has it mounted."""
        import hf_xet

        kept = self.files.setdefault(bucket, {})
        with hf_xet.XetSession().new_upload_commit(endpoint=self.url) as commit:
            waiting = {path: commit.start_upload_bytes(data, name=Path(path).name) for path, data in files.items()}
        for path, data in files.items():
            info = waiting[path].result().xet_info
            moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            kept[path] = {"type": "file", "path": path, "size": len(data), "xetHash": info.hash, "mtime": moment}

    def close(self) -> None:
        self._store.cleanup()


@ROUTES.at("POST", f"/api/buckets/{_ID}")
def create(call: "Call") -> Any:
    name = str(call["id"])
    if name.partition("/")[0] != call.name:
        raise NotServedError(403, "", "Forbidden")
    url = f"{call.hub.endpoint}/buckets/{name}"
    if name in call.hub.buckets.files:
        raise NotServedError(409, "", "exists", body={"error": "exists", "url": url})
    call.hub.buckets.files[name] = {}
    return {"url": url, "name": name, "id": name}


@ROUTES.at("GET", f"/api/buckets/{_ID}/tree(?:/(?P<prefix>.+))?")
def tree(call: "Call") -> Any:
    prefix = f"{call['prefix']}/" if call["prefix"] else ""
    return [file for path, file in sorted(_files(call).items()) if path.startswith(prefix)]


@ROUTES.at("POST", f"/api/buckets/{_ID}/paths-info")
def paths_info(call: "Call") -> Any:
    files = _files(call)
    return [files[path] for path in call.json()["paths"] if path in files]


@ROUTES.at("GET HEAD", f"/buckets/{_ID}/resolve/(?P<path>.+)")
def file(call: "Call") -> Any:
    found = _files(call).get(str(call["path"]))
    if found is None:
        raise NotServedError(404, "EntryNotFound", "Entry not found")
    call.headers |= {
        "X-Xet-Hash": found["xetHash"],
        "X-Xet-Refresh-Route": f"{call.hub.endpoint}/_xet",
        "X-Linked-Size": str(found["size"]),
    }
    return b""


@ROUTES.at("GET", "/_xet")
def store(call: "Call") -> Any:
    until = str(int(time.time()) + 3600)
    url = call.hub.buckets.url
    call.headers |= {"X-Xet-Cas-Url": url, "X-Xet-Access-Token": "none", "X-Xet-Token-Expiration": until}
    return {"casUrl": url, "exp": int(until), "accessToken": "none"}


def _files(call: "Call") -> dict[str, dict[str, Any]]:
    found = call.hub.buckets.files.get(str(call["id"]))
    if found is None:
        raise NotServedError(404, "RepoNotFound", "Bucket not found")
    return found
