"""A folder of results: one file a model, and whether it is the result that a plan asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synbench.errors import ArgumentError
from synbench.report import Report

from .plan_settings import other_settings
from .plans import PlannedModel


@dataclass(frozen=True)
class Found:
    """What a folder holds of a model.

    Args:
        report: the result, if it is the one that is asked for.
        problem: why the file that is there is not; ``None`` if it is, or if there is none.
        moved: whether the problem is only that it is of another commit of the model.
    """

    report: Report | None = None
    problem: str | None = None
    moved: bool = False


def result_path(folder: Path, repo_id: str) -> Path:
    """Return where the result of a model is.

    >>> result_path(Path("results"), "org/model").name
    'org--model.json'
    """
    return folder / f"{repo_id.replace('/', '--')}.json"


def find(folder: Path, planned: PlannedModel, settings: Mapping[str, Any]) -> Found:
    """Look for the result of a line of a plan.

    Args:
        folder: of results.
        planned: the line.
        settings: of the plan.
    """
    path = result_path(folder, planned.id)
    if not path.exists():
        return Found()
    try:
        report = Report.read(path)
    except (ArgumentError, RecursionError) as error:
        return Found(problem=str(error))
    model = report.settings.model
    if model is None or model.source != "hub" or model.id != planned.id:
        return Found(problem=f"it is of {model.id if model else 'no model'!r}, expected {planned.id!r}")
    if not model.trained:
        return Found(problem="it is of the untrained twin, expected the model")
    if (problem := other_settings(report, settings)) is not None:
        return Found(problem=problem)
    if model.commit != planned.commit:
        return Found(problem=f"it is of commit {model.commit}, expected {planned.commit}", moved=True)
    return Found(report)
