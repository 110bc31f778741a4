"""What programs and agents call: the same runs as the page, by name."""

import json
from collections.abc import Callable
from contextlib import closing
from html import escape
from typing import Any

import gradio as gr

from hub_tools.board.collecting import STANDARD
from hub_tools.board.leaderboard import Leaderboard
from synbench.comparison import of_reports
from synbench.errors import SynBenchError
from synbench.folders import DEMO
from synbench.report import Report

from . import board, sessions
from .admission import Asked
from .compare_page import MOST
from .kept import Kept
from .running import FailedRun, Visitor, follow
from .work import unexpected


def score(
    request: gr.Request, model: str = DEMO, images: int = 8192, seed: int = 0, untrained_twin: bool = False
) -> dict[str, Any]:
    """Score an encoder, and return the whole record.

    Args:
        request: who asks.
        model: id of a public vision encoder on the Hub, or synbench:demo.
        images: drawn images: 1024, 2048, 4096, 8192 or 16384.
        seed: of the images.
        untrained_twin: score the same architecture with random weights beside it.
    """
    return _done(Asked(model, images, seed, untrained_twin), sessions.visitor_of(request)).report.to_dict()


def compare(request: gr.Request, models: list[str], images: int = 8192) -> dict[str, Any]:
    """Compare two to eight encoders on the same images, and return the whole record.

    Args:
        request: who asks.
        models: ids of public vision encoders on the Hub.
        images: drawn images: 1024, 2048, 4096, 8192 or 16384.
    """
    different = list(dict.fromkeys(map(str, models))) if isinstance(models, list) else [models]
    if not 2 <= len(different) <= MOST:
        raise _told(f"expected two to {MOST} models to compare, got {len(different)}.")
    try:
        visitor = sessions.visitor_of(request)
        found = [_done(Asked(model, images, twin=False), visitor) for model in different]
        return of_reports([one.report for one in found], [one.contributions for one in found]).to_dict()
    except SynBenchError as error:
        raise _told(str(error)) from None


def score_encoder(request: gr.Request, model: str = DEMO, images: int = 8192) -> str:
    """Tell how good a pretrained vision encoder is, without any data set: its SynBench-Score, as JSON.

    Two Gaussian classes are drawn as images, where the best trade-off between accuracy and robustness is known; the
    score is the share of it that the encoder's representations keep: 1 is all of it, 0 is nothing. It says how much of
    one known problem survives the encoder, not how well it does on a task of yours.

    Args:
        request: who asks.
        model: id of a public vision encoder on the Hub, such as facebook/dinov2-small.
        images: drawn images: 1024, 2048, 4096, 8192 or 16384; more of them make the interval narrower.
    """
    return json.dumps(_brief(_done(Asked(model, images, twin=False), sessions.visitor_of(request)).report))


def leaderboard_of(get: Callable[[], Leaderboard]) -> Callable[..., list[dict[str, Any]]]:
    """Return the function of the leaderboard that ``get`` gives."""

    def leaderboard(task: str = "population_score", search: str = "") -> list[dict[str, Any]]:
        """Return the rows of the leaderboard, best first.

        Args:
            task: which number, such as population_score or population_kappa.
            search: part of a model's id; empty for all.
        """
        try:
            boards = [one for one in get().boards if one.task_id == task and one.settings == STANDARD]
            rows = board.filtered(boards[0], search=search) if boards else []
        except SynBenchError as error:
            raise _told(str(error)) from None
        return [row.to_dict() for row in rows]

    return leaderboard


def offer(get: Callable[[], Leaderboard]) -> None:
    """Offer the functions to programs, and one of them to agents."""
    functions: list[Any] = [score, compare, leaderboard_of(get)]
    for function in functions:
        # Agents get text: a dict would reach them in Python's notation. This is the sign that Gradio goes by.
        function._mcp_type = "none"  # noqa: SLF001
        gr.api(function, api_name=function.__name__, concurrency_limit=None)
    gr.api(score_encoder, api_name="score_encoder", concurrency_limit=None)


def _done(asked: Asked, visitor: Visitor) -> Kept:
    try:
        with closing(follow(asked, visitor)) as steps:  # type: ignore[type-var]
            *_, last = steps
    except (SynBenchError, FailedRun) as error:
        raise _told(str(error)) from None
    except Exception:  # noqa: BLE001 - logged under a number, and no traceback for a caller
        raise _told(unexpected()) from None
    assert last.kept is not None
    return last.kept


def _told(text: str) -> gr.Error:
    # Gradio renders what it is given.
    return gr.Error(escape(text, quote=False), print_exception=False)


def _brief(report: Report) -> dict[str, Any]:
    model = report.settings.model
    return {
        "model": model.id if model else None,
        "commit": model.commit if model else None,
        "synbench_score": report.synbench_score,
        "interval_95": report.interval,
        "kappa": report.kappa[0] if report.kappa else None,
        "meaning": report.meaning,
        "images": report.images,
        "warnings": report.warnings,
    }
