"""Whether a score may be put on a repository: it is of what stands there now, and its owner does not mind."""

from hub_tools.client.failures import RequestError
from hub_tools.client.hub import Hub, PullRequest, State
from synbench.errors import HubError
from synbench.report import Report

from .results import numbers


class RefusedError(HubError):
    """A repository that a score is not put on.

    Args:
        message: the reason, and what to do.
        why: the reason as a key: ``other-model``, ``moved-model``, ``no-commit``, ``private``, ``disabled``, ``gated``,
            ``weights``, ``closed`` or ``merged``.
        pull_request: the one that says so, of the last two.
    """

    def __init__(self, message: str, why: str, pull_request: PullRequest | None = None) -> None:
        super().__init__(message)
        self.why, self.pull_request = why, pull_request


def scored_commit(report: Report, repo_id: str) -> str:
    """Return the commit that was scored.

    Raises:
        ArgumentError: there is no score, or it is of an untrained twin.
        RefusedError: the report is not of this model on the Hub.
    """
    numbers(report)
    model = report.settings.model
    if model is None or model.source != "hub" or model.id != repo_id:
        what = "representations that were made elsewhere" if model is None else f"{model.id!r} ({model.source})"
        raise RefusedError(
            f"expected the score of {repo_id} on the Hub, got that of {what}: a score goes to the very model that it "
            f"is of. Score it there: synbench score {repo_id} --output score.json.",
            "other-model",
        )
    if model.commit is None:
        raise RefusedError(
            f"the result does not tell which commit of {repo_id} was scored. Score it again by its name on the Hub.",
            "no-commit",
        )
    return model.commit


def check_state(hub: Hub, state: State, repo_id: str, *, direct: bool) -> None:
    """Check that a repository is one to put a score on.

    Raises:
        RefusedError: it has another name by now, or is private, disabled, or gated and not for this account.
    """
    if state.repo_id != repo_id:
        raise RefusedError(
            f"{repo_id} is called {state.repo_id} on the Hub. Score it under that name, and push to it.", "moved-model"
        )
    if state.private and not direct:
        raise RefusedError(
            f"{repo_id} is private, and what is scored there is not told by a pull request. If it is yours, commit to "
            f"it by --direct.",
            "private",
        )
    if state.disabled:
        raise RefusedError(f"the Hub has disabled {repo_id}: nothing can be put there.", "disabled")
    if state.gated:
        try:
            hub.check_access(repo_id)
        except RequestError as error:
            if error.failure.kind != "permanent":
                raise
            raise RefusedError(
                f"{repo_id} is gated, and its owner has not let this account in: ask for access on its page first.",
                "gated",
            ) from None


def check_weights(hub: Hub, state: State, scored: str, weights: str | None) -> None:
    """Check that main has the weights that were scored.

    Args:
        hub: asked only if main is at another commit and ``weights`` are not known.
        state: of main.
        scored: the commit that was scored.
        weights: its ``State.weights``, where they are known.

    Raises:
        RefusedError: it has others, or those of the commit cannot be seen any more.
    """
    if state.sha == scored:
        return
    if weights is None:
        try:
            weights = hub.state(state.repo_id, scored).weights
        except RequestError as error:
            if error.failure.kind != "permanent":
                raise
            weights = ""
    if not weights or weights != state.weights:
        raise RefusedError(
            f"the score is of {state.repo_id} at commit {scored}, and main is at {state.sha} now, "
            f"{'with other weights' if weights else 'whose weights cannot be compared with it'}. Score it again.",
            "weights",
        )


def to_amend(repo_id: str, own: list[PullRequest], *, again_after_merge: bool) -> PullRequest | None:
    """Return our pull request that is still open, if there is one.

    Args:
        repo_id: of the model.
        own: all of ours there.
        again_after_merge: whether a merged one can be followed by another.

    Raises:
        RefusedError: one was closed, which is a no for good; or was merged, and that is enough.
    """
    for pull in own:
        if pull.status == "closed":
            raise RefusedError(
                f"our pull request {pull.num} on {repo_id} was closed ({pull.url}): its owner does not want scores, "
                f"and there is no second one. If the owner wants it after all, let the owner reopen that one.",
                "closed",
                pull,
            )
    for pull in own:
        if pull.is_open:
            return pull
    if own and not again_after_merge:
        raise RefusedError(
            f"our pull request {own[0].num} on {repo_id} was merged ({own[0].url}), and one is enough here.",
            "merged",
            own[0],
        )
    return None
