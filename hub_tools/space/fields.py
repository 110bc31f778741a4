"""What the pages' forms share: the box for models with its suggestions, the check of what was typed, two buttons."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from synbench.errors import SynBenchError

from . import sessions
from .admission import IMAGES, parse

PRIVATE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""Of handlers that are the page's own."""

_FEWEST = 3


def model_box(label: str, info: str, *, several: int | None = None, choices: Sequence[str] = ()) -> gr.Dropdown:
    """Return a box that takes any model, and suggests some."""
    return gr.Dropdown(
        list(choices),
        value=[] if several else None,
        multiselect=several is not None,
        max_choices=several,
        allow_custom_value=True,
        label=label,
        info=info,
    )


def images_box() -> gr.Dropdown:
    """Return a box for how many images are drawn."""
    return gr.Dropdown([(f"{n:,}", n) for n in IMAGES], value=8192, label="Images", info="More of them, less error")


def suggesting(box: gr.Dropdown, search: Callable[[str], list[str]]) -> None:
    """Let a box suggest models by what is typed."""

    def suggest(typed: gr.KeyUpData) -> Any:
        text = (typed.input_value or "").strip()
        return gr.Dropdown(choices=search(text)) if len(text) >= _FEWEST else gr.skip()

    # Not "always_last": that repeats an earlier key.
    box.key_up(suggest, None, box, queue=False, trigger_mode="multiple", **PRIVATE)


def check(model: str | None, images: float, seed: float, twin: bool) -> list[Any]:
    """Say beside the field what is wrong with it, before anything waits."""
    del images, twin
    whole = seed is not None and float(seed).is_integer() and 0 <= seed < 2**31
    wrong = "" if whole else "expected a whole number, at least 0"
    return [gr.validate(*_valid(model)), gr.validate(True, ""), gr.validate(whole, wrong), gr.validate(True, "")]


def check_several(models: Sequence[str] | None, images: float) -> list[Any]:
    """Likewise of several models."""
    del images
    told = [_valid(model) for model in models or []]
    wrong = next((why for fits, why in told if not fits), "")
    if not 2 <= len(told) <= 8:
        wrong = wrong or f"expected two to eight models to compare, got {len(told)}"
    return [gr.validate(not wrong, wrong), gr.validate(True, "")]


def begin(request: gr.Request, *_: Any) -> tuple[gr.Button, gr.Button]:
    """Return the buttons Run and Cancel while something runs."""
    sessions.start(request)
    return gr.Button(interactive=False), gr.Button(interactive=True)


def end() -> tuple[gr.Button, gr.Button]:
    """Return the buttons Run and Cancel when nothing runs."""
    return gr.Button(interactive=True), gr.Button(interactive=False)


def _valid(model: str | None) -> tuple[bool, str]:
    try:
        parse(model or "")
    except SynBenchError as error:
        return False, str(error)
    return True, ""
