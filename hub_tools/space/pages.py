"""The app: its pages, put together."""

import os
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import gradio as gr

from hub_tools.board.leaderboard import Leaderboard

from . import board, sessions, words, workers
from .about import ABOUT, PROGRAMS
from .board_page import BoardPage
from .compare_page import ComparePage
from .fields import PRIVATE
from .look import LAUNCH
from .programs import offer
from .running import public_hub
from .score_page import ScorePage
from .share import Share

__all__ = ["LAUNCH", "build"]

_TITLE = """\
# SynBench
How much of a known optimum does a pretrained vision encoder keep? Told without any data.
"""
_TABS = ("score", "compare", "leaderboard", "programs", "about")
_SUGGESTIONS = 8


def build(get: Callable[[], Leaderboard] | None = None) -> gr.Blocks:
    """Return the app.

    Args:
        get: returns the leaderboard; by default it is read from the Hub, and kept for an hour.
    """
    workers.register()
    get = get or keeper().get
    with gr.Blocks(title="SynBench", analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as app:
        gr.Markdown(_TITLE)
        with gr.Tabs() as tabs:
            with gr.Tab("Score", id="score"):
                page = ScorePage(search)
                with gr.Accordion("Share: open a pull request on the model's card", open=False, elem_id="share"):
                    # Where there is no Space there is nobody to sign in with.
                    Share(page.key, signing_in="SPACE_ID" in os.environ)
            with gr.Tab("Compare", id="compare"):
                comparing = ComparePage()
            with gr.Tab("Leaderboard", id="leaderboard") as listed:
                listing = BoardPage(get, public_hub().api.endpoint)
            with gr.Tab("For programs", id="programs"):
                gr.Markdown(PROGRAMS, elem_classes="plain")
            with gr.Tab("About", id="about"):
                gr.Markdown(ABOUT)
        offer(get)

        def from_address(request: gr.Request) -> dict[Any, Any]:
            """Do what the address says: ?model=, ?compare=a,b, ?result=, ?tab=."""
            asked = dict(request.query_params)
            found: dict[Any, Any] = {tabs: gr.skip()}
            if asked.get("tab") in _TABS:
                found[tabs] = gr.Tabs(selected=asked["tab"])
            if "compare" in asked:
                found |= {tabs: gr.Tabs(selected="compare"), comparing.models: asked["compare"].split(",")[:8]}
            if "model" in asked:
                found[page.model] = asked["model"][:200]
            if "result" in asked:
                found |= page.shown(asked["result"], sessions.base_of(request))
            if "sign_in" in asked:
                found[page.status] = words.problem("You were not signed in. Nothing was written in your name.")
            return found

        app.load(from_address, None, [tabs, comparing.models, *page.outputs], **PRIVATE)
        app.load(listing.load, listing.filters, listing.outputs, concurrency_limit=4, **PRIVATE)
        listed.select(listing.load, listing.filters, listing.outputs, concurrency_limit=4, **PRIVATE)
    _keep_private(app)
    # The line is our own, and fair; Gradio's only has to hold all of it.
    app.queue(max_size=256, default_concurrency_limit=16)
    workers.warm_up()
    return app


def keeper() -> board.BoardKeeper:
    """Return what keeps the leaderboard, and reads it for the first time while nobody waits."""
    dataset = os.environ.get("SYNBENCH_RESULTS_DATASET") or None
    made = board.BoardKeeper(lambda: board.load(public_hub(), dataset=dataset))
    threading.Thread(target=_first, args=(made.get,), name="leaderboard", daemon=True).start()
    return made


def search(text: str) -> tuple[str, ...]:
    """Return models of the Hub by a part of their name; none where the Hub does not answer soon."""
    try:
        return _found(text[:100])
    except Exception:  # noqa: BLE001 - suggestions are a courtesy
        return ()


@lru_cache(maxsize=256)
def _found(text: str) -> tuple[str, ...]:
    from huggingface_hub.utils import get_session

    downloads: dict[str, int] = {}
    for kind in ("image-feature-extraction", "image-classification"):
        asked: dict[str, Any] = {"search": text, "pipeline_tag": kind, "sort": "downloads", "limit": _SUGGESTIONS}
        answer = get_session().get(f"{public_hub().api.endpoint}/api/models", params=asked, timeout=3)
        answer.raise_for_status()
        downloads |= {str(model["id"]): int(model.get("downloads") or 0) for model in answer.json()}
    return tuple(sorted(downloads, key=lambda model: -downloads[model])[:_SUGGESTIONS])


def _keep_private(app: gr.Blocks) -> None:
    """Hide from programs what Gradio's button for signing in adds to an app once it is put together: who is it."""
    for function in app.fns.values():
        if getattr(function.fn, "__name__", "") == "_check_login_status":
            function.api_visibility = "private"
    app.config = app.get_config_file()


def _first(get: Callable[[], Leaderboard]) -> None:
    try:
        get()
    except Exception:  # noqa: BLE001 - who looks at the leaderboard is told
        return
