"""From rendered files to a Space or a dataset: compared with what is there, told, and sent as one commit.

What else is in the repository stays. The commit names the one that was compared with, so nothing that came in between
is overwritten; and what is there already is not sent again, so doing it twice changes nothing.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hub_tools.client.failures import classify
from hub_tools.client.hub import Hub
from hub_tools.score.results import MIXTURE_REVISION
from synbench.errors import ArgumentError, HubError
from synbench.output import replacing

from .benchmark import render_benchmark
from .spaces import check_repository, render_space

What = Literal["metric", "app", "dataset"]

WHAT: tuple[What, ...] = ("metric", "app", "dataset")


@dataclass(frozen=True)
class Publication:
    """What is to stand in a repository.

    Args:
        repo_id: of the repository.
        kind: ``"space"`` or ``"dataset"``.
        sdk: of a Space.
        tag: that the commit gets.
        files: contents by path.
    """

    repo_id: str
    kind: Literal["space", "dataset"]
    sdk: str | None
    tag: str | None
    files: Mapping[str, bytes]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(map(len, self.files.values()))


@dataclass(frozen=True)
class Difference:
    """What a publication would change.

    Args:
        base: commit that was compared with; ``None`` if there is no repository yet.
        new: paths that are not there.
        changed: paths whose content is another.
        kept: paths of others, which stay.
        tagged: whether the tag is there, or none is wanted.
    """

    base: str | None
    new: tuple[str, ...]
    changed: tuple[str, ...]
    kept: tuple[str, ...]
    tagged: bool

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return self.base is not None and not self.new and not self.changed and self.tagged


def render(what: str, repo_id: str, *, static: bool = False) -> Publication:
    """Render what is published.

    Args:
        what: ``"metric"``, ``"app"`` or ``"dataset"``.
        repo_id: where.
        static: of the metric: a page in place of the app.

    Raises:
        ArgumentError: there is no such thing, or it cannot be rendered here.
    """
    check_repository(repo_id)
    if what not in WHAT:
        raise ArgumentError(f"expected one of {', '.join(WHAT)}, got {what!r}.")
    if what == "dataset":
        if static:
            raise ArgumentError("--static is for the metric's Space; leave it out.")
        return Publication(repo_id, "dataset", None, MIXTURE_REVISION, render_benchmark(repo_id))
    files = render_space(repo_id, metric=what == "metric", static=static)
    return Publication(repo_id, "space", "static" if static else "gradio", None, files)


def write(publication: Publication, folder: Path) -> None:
    """Write the files into a folder that is not there, or empty.

    Raises:
        ArgumentError: the folder has something in it.
        OutputError: it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArgumentError(f"expected a folder that is empty or not there yet, got {str(folder)!r}. Name another.")
    for path, content in sorted(publication.files.items()):
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as stream:
            stream.write(content)


def compare(hub: Hub, publication: Publication) -> Difference:
    """Compare with what is there; one or two requests, and nothing is written.

    Raises:
        HubError: the Hub does not tell.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    with _asking(f"look at {publication.repo_id}"):
        try:
            info = hub.api.repo_info(publication.repo_id, repo_type=publication.kind, files_metadata=True)
        except RepositoryNotFoundError:
            return Difference(None, tuple(sorted(publication.files)), (), (), tagged=publication.tag is None)
        tag = None
        if publication.tag is not None:
            refs = hub.api.list_repo_refs(publication.repo_id, repo_type=publication.kind)
            tag = next((one for one in refs.tags if one.name == publication.tag), None)
    there = {str(one.rfilename): (one.lfs and one.lfs.sha256, one.blob_id) for one in info.siblings or []}
    new, changed = [], []
    for path, content in sorted(publication.files.items()):
        if path not in there:
            new.append(path)
        elif not _is(content, *there[path]) and not (tag is not None and path.endswith(".parquet")):
            # Recipes that have their tag stay: another release of the writer makes other bytes of the same rows.
            changed.append(path)
    kept = tuple(sorted(set(there) - set(publication.files)))
    return Difference(str(info.sha), tuple(new), tuple(changed), kept, publication.tag is None or tag is not None)


def current(hub: Hub, publication: Publication, difference: Difference, path: str) -> bytes | None:
    """Return the content of a file that is there, at the commit that was compared with.

    Raises:
        HubError: it cannot be read.
    """
    if difference.base is None:
        return None
    return hub.read(publication.repo_id, path, difference.base, kind=publication.kind)


def publish(hub: Hub, publication: Publication, difference: Difference) -> str:
    """Send what differs as one commit, and return the page of the repository.

    Raises:
        HubError: it was not done, or that is not known; doing it again does what is left.
    """
    from huggingface_hub import CommitOperationAdd

    repo_id, kind = publication.repo_id, publication.kind
    base = difference.base
    if base is None:
        with _asking(f"make the {kind} {repo_id}", publication.sdk):
            hub.api.create_repo(repo_id, repo_type=kind, space_sdk=publication.sdk, exist_ok=True)
            base = str(hub.api.repo_info(repo_id, repo_type=kind).sha)
    sent = [*difference.new, *difference.changed]
    with _asking(f"publish {repo_id}"):
        if sent:
            done = hub.api.create_commit(
                repo_id,
                [CommitOperationAdd(path, publication.files[path]) for path in sent],
                commit_message="SynBench",
                repo_type=kind,
                parent_commit=base,
            )
            base = str(done.oid)
        if publication.tag is not None and not difference.tagged:
            hub.api.create_tag(repo_id, tag=publication.tag, revision=base, repo_type=kind)
    return f"{hub.api.endpoint}/{kind}s/{repo_id}"


@contextmanager
def _asking(what: str, sdk: str | None = None) -> Iterator[None]:
    from huggingface_hub.errors import HTTPError

    try:
        yield
    except (HTTPError, OSError, ValueError) as error:
        failure = classify(error)
        hint = ""
        if failure.status == 402:
            hint = " This account cannot host an app: publish the metric with --static." * (sdk == "gradio")
        elif failure.kind == "moved":
            hint = " Somebody else has written there in between: look again."
        elif failure.kind == "unknown":
            hint = " Whether it was done is not known: run this again, it sends what is not there."
        raise HubError(f"cannot {what}: {failure.reason}{hint}") from None


def _is(content: bytes, sha256: str | None, blob_id: str | None) -> bool:
    if sha256:
        return hashlib.sha256(content).hexdigest() == sha256
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == blob_id
