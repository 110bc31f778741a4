"""What the owner of a model reads: title and description of the pull request."""

import re

from synbench.report import Report
from synbench.settings import UNIFORM

from .changes import README, Change
from .eval_results import EVAL_RESULTS_PATH
from .results import numbers

TITLE = "Add SynBench scores"

MARKER = "<!-- synbench:v1 -->"
"""Stands in the description, unseen, and tells our pull requests from others, whatever becomes of the title."""

_MARKED = re.compile(r"<!-- synbench:v\d+\b[^>]*-->")


def is_marked(text: str) -> bool:
    """Tell whether a pull request with this description is one of ours.

    >>> is_marked("Scores. " + MARKER), is_marked("synbench:v1")
    (True, False)
    """
    return _MARKED.search(text) is not None


def description(report: Report, change: Change) -> str:
    """Return the description of the pull request, in Markdown.

    Args:
        report: what is published.
        change: what it changes.
    """
    settings = report.settings
    rows = [
        f"| {n.name} | {n.value:.3f} | {'–' if n.interval is None else '{:.3f} to {:.3f}'.format(*n.interval)} |"
        for n in numbers(report)
    ]
    commit = settings.model.commit if settings.model is not None else None
    told = [
        "This pull request adds scores of this model, measured by SynBench. Nothing else is changed.",
        f"**What the number says.** {report.meaning}",
        "\n".join(["| | value | 95 % interval |", "|---|---|---|", *rows]),
        f"Measured at commit `{commit}` from {report.images:,} drawn images ({report.protocol} protocol, seed "
        f"{settings.seed}, {settings.precision.dtype if settings.precision else 'float32'}), without any data set. To "
        f"measure it again: `{command(report)}`.",
        "**What the number does not say.** It tells how much of one known problem survives the encoder. It does not "
        "tell how the model does on your task, and an untrained network can score higher than a trained one.",
        "**What is changed**\n\n" + "\n".join(_told_changes(change)),
        "**If you do not want this**, close the pull request. That is taken as a no for good: there will be no second "
        "one. If you merge it and want it gone later, delete the lines that it added; nothing depends on them.",
        MARKER,
    ]
    return "\n\n".join(told) + "\n"


def command(report: Report) -> str:
    """Return the command that measures a report's score again."""
    model, settings = report.settings.model, report.settings
    parts = ["synbench score"]
    if model is not None:
        parts.append(model.id)
        if model.commit is not None:
            parts.append(f"--revision {model.commit}")
    if report.protocol == "paper":
        parts.append(f"--protocol paper --samples {settings.samples}")
    else:
        parts.append(f"--images {report.images}")
    if settings.seed:
        parts.append(f"--seed {settings.seed}")
    if settings.direction not in (None, UNIFORM):
        parts.append(f"--direction {settings.direction}")
    if settings.as_published:
        parts.append("--as-published")
    if settings.precision is not None and settings.precision.dtype != "float32":
        parts.append(f"--dtype {settings.precision.dtype}")
    return " ".join(parts)


def _told_changes(change: Change) -> list[str]:
    kinds = {
        README: "one result under `model-index` in the metadata; every other byte of the card is as it was",
        EVAL_RESULTS_PATH: "a file of its own, which the Hub shows beside the card",
    }
    told = [f"- `{path}`: {kinds[path]}" for path in sorted(change.after)]
    return [*told, *(f"- `{path}`: not changed. {reason}" for path, reason in sorted(change.refused.items()))]
