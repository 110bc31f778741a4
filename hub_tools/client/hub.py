"""The one client to the Hub: pinned reads that no cache answers, and writes that are looked for before a second try.

What the client of the Hub does not do by itself: it repeats reads of any kind, with a capped wait; it never repeats a
write whose answer was lost before looking whether the work was done; it waits for no answer for ever; and its errors
tell what to do, without a token in them.
"""

import hashlib
import json
import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hub_tools.score.changes import Change
from hub_tools.score.proposal import is_marked
from synbench.errors import ArgumentError

from .asking import TIMEOUT, Asker
from .failures import OddAnswerError
from .pacing import Pace

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_COMMIT = re.compile("[0-9a-f]{40}")
_DECIDING = (".safetensors", ".safetensors.index.json", "config.json")


@dataclass(frozen=True)
class State:
    """A model's repository at one commit.

    Args:
        repo_id: as the Hub calls it.
        sha: the commit.
        files: what tells their content apart (SHA-256 of large files, git's blob id of others), by path.
        private: whether only its owner sees it.
        gated: whether its files are only for those who were let in.
        disabled: whether the Hub has closed it.
    """

    repo_id: str
    sha: str
    files: Mapping[str, str]
    private: bool
    gated: bool
    disabled: bool

    @property
    def weights(self) -> str:
        """A fingerprint of what decides a score: weights, configuration and processor; empty without safetensors."""
        if not any(path.endswith(".safetensors") for path in self.files):
            return ""
        told = sorted((path, content) for path, content in self.files.items() if path.endswith(_DECIDING))
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()


@dataclass(frozen=True)
class PullRequest:
    """One of our pull requests.

    Args:
        num: its number in the repository.
        status: ``open``, ``draft``, ``closed`` or ``merged``.
        ref: the git reference that takes its commits.
        url: its page.
        head: its last commit, where that is known.
        text: its description, where it was read.
        comment: id of that.
    """

    num: int
    status: str
    ref: str
    url: str
    head: str | None = None
    text: str | None = None
    comment: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it can still be amended."""
        return self.status in ("open", "draft")


class Hub:
    """A client with one account and one pace.

    Args:
        token: ``None`` for the login of the machine, ``False`` for none, or a token.
        endpoint: of another Hub.
        pace: see ``Pace``.
    """

    def __init__(self, token: str | bool | None = None, endpoint: str | None = None, pace: Pace | None = None) -> None:
        self.token, self.endpoint = token, endpoint
        self.pace = pace or Pace()
        self.asker = Asker(self.pace, self._secret)

    @cached_property
    def api(self) -> "HfApi":
        """The client of the Hub, for listings."""
        from huggingface_hub import HfApi

        from synbench import __version__

        return HfApi(endpoint=self.endpoint, token=self.token, library_name="synbench", library_version=__version__)

    @property
    def logged_in(self) -> bool:
        """Whether there is a token to send."""
        return self._secret() is not None

    @cached_property
    def user(self) -> str:
        """The name of the account, asked for once.

        Raises:
            RequestError: not logged in, or the Hub does not tell.
        """
        return self.asker.read("tell whose login this is", lambda: str(self.api.whoami(token=self.token)["name"]))

    def state(self, repo_id: str, revision: str | None = None) -> State:
        """Return a model's repository at a branch, pull request or commit, by one request.

        Raises:
            RequestError: it cannot be had; see ``failure``.
        """
        at = "" if revision is None else f" at {revision}"
        return self.asker.read(f"look at {repo_id}{at}", lambda: self._state(repo_id, revision))

    def read(self, repo_id: str, path: str, revision: str, *, kind: str | None = None) -> bytes | None:
        """Return the content of a file at a commit, by one request and from no cache; ``None`` if it is not there.

        ``kind`` is ``"space"`` or ``"dataset"``; a model's by default.

        Raises:
            ArgumentError: the revision is no full commit hash.
            RequestError: it cannot be read; see ``failure``.
        """
        if not _COMMIT.fullmatch(revision):
            raise ArgumentError(f"expected a full commit hash to read {path!r} at, got {revision!r}.")
        return self.asker.read(f"read {path} of {repo_id}", lambda: self._content(repo_id, path, revision, kind))

    def pull_requests(self, repo_id: str) -> list[PullRequest]:
        """Return our own pull requests: by this account, with our mark in the description; the newest first.

        One request for the list, and one for each of this account's.

        Raises:
            RequestError: they cannot be listed; see ``failure``.
        """
        user = self.user
        return self.asker.read(f"list the pull requests of {repo_id}", lambda: self._own(repo_id, user))

    def open_pull_request(
        self, change: Change, title: str, description: str, known: Collection[int] = ()
    ) -> PullRequest | None:
        """Open one pull request with one commit on top of the one that was read.

        Args:
            change: what it changes.
            title: its title.
            description: its description, with our mark.
            known: numbers of our pull requests that were there before.

        Returns:
            It; or ``None`` if main has these very contents by now.

        Raises:
            RequestError: it was not opened, or whether it was is not known: the message says which.
        """

        def look() -> PullRequest | None:
            new = [pull for pull in self.pull_requests(change.repo_id) if pull.num not in known]
            return replace(new[0], head=self.state(change.repo_id, new[0].ref).sha) if new else None

        def do() -> PullRequest | None:
            made = self._commit(change, "main", title, description, create_pr=True)
            if made.pr_num is None:
                return None
            return PullRequest(int(made.pr_num), "open", str(made.pr_revision), str(made.pr_url), str(made.oid))

        return self.asker.write(f"open a pull request on {change.repo_id}", do, look, guarded=False)

    def amend(self, pull_request: PullRequest, change: Change, title: str, description: str) -> PullRequest:
        """Add a commit to a pull request of ours, if it is still at the commit that was read.

        Raises:
            RequestError: it was not amended (of kind "moved", if it has other commits by now), or that is not known.
        """
        what = f"amend pull request {pull_request.num} of {change.repo_id}"
        return replace(pull_request, head=self._commit_to(what, pull_request.ref, change, title, description))

    def describe(self, repo_id: str, pull_request: PullRequest, text: str) -> None:
        """Give a pull request of ours another description.

        Raises:
            RequestError: it was not changed, or that is not known.
        """
        num, comment = pull_request.num, pull_request.comment or ""

        def do() -> bool:
            self.api.edit_discussion_comment(repo_id, num, comment, text)
            return True

        self.asker.write(f"describe pull request {num} of {repo_id}", do, lambda: None, guarded=True)

    def commit(self, change: Change, title: str, description: str) -> str:
        """Commit to main, if it is still at the commit that was read, and return the new commit.

        Raises:
            RequestError: nothing was committed (of kind "moved", if main has other commits), or that is not known.
        """
        return self._commit_to(f"commit to {change.repo_id}", "main", change, title, description)

    def check_access(self, repo_id: str) -> None:
        """Check that the files of a model are for this account, where they are gated.

        Raises:
            RequestError: they are not.
        """
        self.asker.read(f"see the files of {repo_id}", lambda: self.api.auth_check(repo_id))

    def page_of(self, repo_id: str, commit: str) -> str:
        """Return the address of a commit."""
        return f"{self.api.endpoint}/{repo_id}/commit/{commit}"

    def _state(self, repo_id: str, revision: str | None) -> State:
        info = self.api.model_info(repo_id, revision=revision, files_metadata=True, timeout=TIMEOUT)
        files = {}
        for file in info.siblings or []:
            files[str(file.rfilename)] = str((file.lfs and file.lfs.sha256) or file.blob_id)
        return State(str(info.id), _full(info.sha), files, bool(info.private), bool(info.gated), bool(info.disabled))

    def _content(self, repo_id: str, path: str, revision: str, kind: str | None) -> bytes | None:
        from huggingface_hub.errors import EntryNotFoundError
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        prefix = "" if kind is None else f"{kind}s/"
        url = f"{self.api.endpoint}/{prefix}{repo_id}/resolve/{revision}/{quote(path)}"
        answer = get_session().get(url, headers=build_hf_headers(token=self.token), timeout=TIMEOUT)
        try:
            hf_raise_for_status(answer)
        except EntryNotFoundError:
            return None
        # Large files come from elsewhere, after a redirection that names the commit.
        for one in (*answer.history, answer):
            if one.headers.get("X-Repo-Commit", revision) != revision:
                raise OddAnswerError(f"{path} came of commit {one.headers['X-Repo-Commit']!r} in place of {revision!r}")
        return bytes(answer.content)

    def _own(self, repo_id: str, user: str) -> list[PullRequest]:
        listed = self.api.get_repo_discussions(
            repo_id, author=user, discussion_type="pull_request", discussion_status="all"
        )
        found = []
        for one in sorted((d for d in listed if d.is_pull_request and d.author == user), key=lambda d: -d.num):
            details = self.api.get_discussion_details(repo_id, one.num)
            first = details.events[0] if details.events else None
            text = str(getattr(first, "content", ""))
            if first is not None and is_marked(text):
                told = (str(details.status), str(one.git_reference), str(one.url))
                found.append(PullRequest(one.num, *told, text=text, comment=str(first.id)))
        return found

    def _commit(self, change: Change, ref: str, title: str, description: str, *, create_pr: bool) -> Any:
        from huggingface_hub import CommitOperationAdd

        added = [CommitOperationAdd(path, content) for path, content in sorted(change.after.items())]
        with warnings.catch_warnings():
            # Of what the owner wrote in the card before.
            warnings.simplefilter("ignore", UserWarning)
            return self.api.create_commit(
                change.repo_id,
                added,
                commit_message=title,
                commit_description=description,
                revision=ref,
                create_pr=create_pr,
                parent_commit=change.base,
            )

    def _commit_to(self, what: str, ref: str, change: Change, title: str, description: str) -> str:
        def look() -> str | None:
            state = self.state(change.repo_id, ref)
            done = all(state.files.get(path) == _blob_id(content) for path, content in change.after.items())
            return state.sha if done and state.sha != change.base else None

        def do() -> str:
            return str(self._commit(change, ref, title, description, create_pr=False).oid)

        return self.asker.write(what, do, look, guarded=True)

    def _secret(self) -> str | None:
        from huggingface_hub.utils import build_hf_headers

        try:
            return build_hf_headers(token=self.token).get("authorization", "").removeprefix("Bearer ") or None
        except OSError:
            return None


def _full(sha: Any) -> str:
    if not (isinstance(sha, str) and _COMMIT.fullmatch(sha)):
        raise OddAnswerError(f"the commit {sha!r} is no full hash")
    return sha


def _blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
