"""A score on the model's card, as the visitor who is signed in: the exact difference first, then the pull request.

Everything goes through ``hub_tools.score.pushing``. The token is an argument, and nothing keeps it.
"""

from dataclasses import dataclass

from hub_tools.client.hub import Hub
from hub_tools.client.pacing import Pace
from hub_tools.score.proposal import command
from hub_tools.score.pushing import Outcome, propose, push_score
from synbench.errors import HubError
from synbench.report import Report

MOCKED = "mock-oauth-token-for-local-dev"
"""What Gradio hands out as a token where it is not on a Space."""


@dataclass(frozen=True)
class Preview:
    """What would be done.

    Args:
        reason: in a sentence.
        diff: the exact difference.
        writes: whether there is anything to do.
        agreed: what a yes is said to; goes back into ``send``.
    """

    reason: str
    diff: str
    writes: bool
    agreed: tuple[str, list[str]]


def preview(report: Report, token: str) -> Preview:
    """Say what putting a score on its model would do; nothing is written.

    Raises:
        SynBenchError: it cannot be, and why.
    """
    proposal = propose(_hub(token), report, _model(report))
    return Preview(proposal.reason, proposal.change.diff, proposal.action != "nothing", proposal.told)


def send(report: Report, token: str, agreed: tuple[str, list[str]]) -> Outcome:
    """Do what a visitor said yes to, if it is still that.

    Raises:
        SynBenchError: it was not done, and why.
    """
    told = (agreed[0], list(agreed[1]))
    done = push_score(report, _model(report), confirm=lambda proposal: proposal.told == told, hub=_hub(token))
    if not done.done:
        raise HubError("the card has changed since you looked. Look at the difference again, and then say yes to it.")
    return done


def snippets(report: Report) -> dict[str, str]:
    """Return what to copy: Python, the command line, and a badge for a README."""
    model = report.settings.model
    name = model.id if model is not None else "synbench:demo"
    pinned = f', revision="{model.commit}"' if model is not None and model.commit else ""
    size = f", images={report.images}" if report.settings.model else ""
    seed = f", seed={report.settings.seed}" if report.settings.seed else ""
    python = (
        f'import evaluate, synbench\n\nsynbench.register()\nmetric = evaluate.load("synbench")\n'
        f'result = metric.compute(model="{name}"{pinned}{size}{seed})\n'
        f'print(result["synbench_score"], result["interval"])\n'
    )
    return {"Python": python, "Command line": command(report) + "\n", "Badge for a README": _badge(report)}


def _badge(report: Report) -> str:
    """Return a badge in Markdown; who shows it asks shields.io for the picture."""
    score = "undefined" if report.synbench_score is None else f"{report.synbench_score:.3f}"
    return f"![SynBench-Score {score}](https://img.shields.io/badge/SynBench--Score-{score}-2563eb)\n"


def _hub(token: str) -> Hub:
    if not token or token == MOCKED:
        raise HubError("expected a visitor who is signed in. Sign in with your account on the Hub first.")
    return Hub(token, pace=Pace(longest_wait=10, attempts=3))


def _model(report: Report) -> str:
    model = report.settings.model
    if model is None or model.source != "hub":
        raise HubError(
            f"expected the score of a model on the Hub, got that of {'none' if model is None else model.id}: there is "
            f"no card to put it on. Score a model of the Hub."
        )
    return model.id
