"""What programs and agents call: the same runs as the page, by name."""

import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from html import escape
from typing import Any

import gradio as gr

from hub_tools.board.collecting import STANDARD
from hub_tools.board.leaderboard import Leaderboard
from synbench.errors import SynBenchError
from synbench.folders import DEMO
from synbench.pairing import of_reports
from synbench.report import Report

from . import board, sessions
from .admission import Asked, admit, parse_several
from .hardware import here
from .kept import Kept
from .running import FailedRun, News, follow, public_hub
from .work import unexpected


def score(
    request: gr.Request, model: str = DEMO, images: int = 8192, seed: int = 0, untrained_twin: bool = False
) -> Iterator[dict[str, Any]]:
    """Score an encoder, and return the whole record.

    Args:
        request: who asks.
        model: id of a public vision encoder on the Hub, or synbench:demo.
        images: drawn images: 1024, 2048, 4096, 8192 or 16384.
        seed: of the images.
        untrained_twin: score the same architecture with random weights beside it.
    """
    done = yield from _followed(Asked(model, images, seed, untrained_twin), request)
    yield done.report.to_dict()


def compare(request: gr.Request, models: list[str], images: int = 8192) -> Iterator[dict[str, Any]]:
    """Compare two to eight encoders on the same images, and return the whole record.

    Args:
        request: who asks.
        models: ids of public vision encoders on the Hub.
        images: drawn images: 1024, 2048, 4096, 8192 or 16384.
    """
    found: list[Kept] = []
    try:
        ids = parse_several(models)
        for model in ids:
            admit(public_hub(), Asked(model, images, twin=False), here())
        for model in ids:
            done = yield from _followed(Asked(model, images, twin=False), request)
            found.append(done)
        compared = of_reports([one.report for one in found], [one.contributions for one in found])
    except SynBenchError as error:
        raise _told(str(error)) from None
    yield compared.to_dict()


def score_encoder(request: gr.Request, model: str = DEMO, images: int = 8192) -> Iterator[str]:
    """Tell how much of a known optimum a pretrained vision encoder keeps, without any data set: its score, as JSON.

    Two Gaussian classes are drawn as images, where the best trade-off between accuracy and robustness is known; the
    score is the share of it that the encoder's representations keep: 1 is all of it, 0 is nothing. It says how much of
    one known problem survives the encoder, not how well it does on a task of yours.

    Args:
        request: who asks.
        model: id of a public vision encoder on the Hub, such as facebook/dinov2-small.
        images: drawn images: 1024, 2048, 4096, 8192 or 16384; more of them make the interval narrower.
    """
    steps = _followed(Asked(model, images, twin=False), request)
    while True:
        try:
            yield json.dumps(next(steps))
        except StopIteration as end:
            yield json.dumps(_brief(end.value.report))
            return


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
    leaderboard = leaderboard_of(get)
    for function in (score, compare, leaderboard):
        # Agents get text: a dict would reach them in Python's notation. This is the sign that Gradio goes by.
        function.__dict__["_mcp_type"] = "none"
    gives: dict[Any, Any] = {score: dict[str, Any], compare: dict[str, Any], score_encoder: str}
    for function, kind in gives.items():
        # Gradio asks what one of the results is, not that there are several on the way.
        function.__annotations__["return"] = kind
        gr.api(function, api_name=function.__name__, concurrency_limit=None)
    gr.api(leaderboard, api_name="leaderboard", concurrency_limit=4)


def _followed(asked: Asked, request: gr.Request) -> Generator[dict[str, Any], None, Kept]:
    """Yield where a run stands, once a second, and return what it ends with.

    Only a generator is closed when its caller is gone; then the place in the line is free, and the work stops.
    """
    last = 0.0
    try:
        with closing(follow(asked, sessions.visitor_of(request))) as steps:  # type: ignore[type-var]
            for news in steps:
                if news.kept is not None:
                    return news.kept
                if time.monotonic() - last >= 1:
                    last = time.monotonic()
                    yield _standing(news)
    except (SynBenchError, FailedRun) as error:
        raise _told(str(error)) from None
    except Exception:  # noqa: BLE001 - logged under a number, and no traceback for a caller
        raise _told(unexpected()) from None
    raise _told("The run was stopped.")


def _standing(news: News) -> dict[str, Any]:
    frame = news.frame
    return {
        "status": "waiting" if news.position else "running",
        "position": news.position,
        "images": frame.images if frame else 0,
        "of": frame.total if frame else None,
    }


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
