"""SynBench and the Hugging Face Hub: scores on model cards, at any scale, and the metric published.

Shells around the package ``synbench``: nothing here computes a score. See docs/hub.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synbench.report import Report

    from .annotation.annotating import annotate
    from .annotation.consent import read_consent
    from .annotation.plans import read_plan, write_plan
    from .annotation.runs import score_models
    from .board.leaderboard import make_leaderboard
    from .client.hub import Hub
    from .publication.publishing import render
    from .score.pushing import carry_out, propose, push_score

# Names are imported when they are first used: `import hub_tools` alone loads nothing of them.
_HOMES = {
    "Hub": "hub_tools.client.hub",
    "Report": "synbench.report",
    "annotate": "hub_tools.annotation.annotating",
    "carry_out": "hub_tools.score.pushing",
    "make_leaderboard": "hub_tools.board.leaderboard",
    "propose": "hub_tools.score.pushing",
    "push_score": "hub_tools.score.pushing",
    "read_consent": "hub_tools.annotation.consent",
    "read_plan": "hub_tools.annotation.plans",
    "render": "hub_tools.publication.publishing",
    "score_models": "hub_tools.annotation.runs",
    "write_plan": "hub_tools.annotation.plans",
}

__all__ = [
    "Hub",
    "Report",
    "annotate",
    "carry_out",
    "make_leaderboard",
    "propose",
    "push_score",
    "read_consent",
    "read_plan",
    "render",
    "score_models",
    "write_plan",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
