"""What the pages' forms share: the box for models with its suggestions, the check of what was typed, two buttons."""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any

import gradio as gr

from synbench.errors import SynBenchError

from . import sessions, words
from .admission import IMAGES, parse, parse_several
from .hardware import here
from .running import FailedRun
from .work import unexpected

PRIVATE: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""Of handlers that are the page's own."""

_FEWEST = 3
_FOCUS = """() => setTimeout(() => {
  if (document.activeElement === document.body) document.getElementById('%s')?.focus();
}, 100)"""
# A button that is pressed tells which model it is.
_PRESSED = """
element.addEventListener('click', (event) => {
  const pressed = event.target.closest('button[data-model]');
  if (pressed) trigger('click', {model: pressed.dataset.model});
});
"""


def model_box(label: str, info: str) -> gr.Textbox:
    """Return a box for the name of a model."""
    plain = gr.InputHTMLAttributes(
        spellcheck=False, autocapitalize="off", autocorrect="off", autocomplete="off", enterkeyhint="go"
    )
    return gr.Textbox(
        label=label, info=info, max_lines=1, max_length=300, placeholder="owner/name", html_attributes=plain
    )


def suggesting(box: gr.Textbox, search: Callable[[str], Sequence[str]]) -> None:
    """Suggest models under a box, by what is typed; a press takes one over."""
    found = gr.HTML(visible=False, elem_classes="found", js_on_load=_PRESSED)

    def suggest(typed: str) -> gr.HTML:
        text = typed.strip()
        models = [model for model in search(text) if model != text] if len(text) >= _FEWEST else []
        return gr.HTML(_buttons(models), visible=bool(models))

    def take(pressed: gr.EventData) -> Any:
        model = getattr(pressed, "model", None)
        return (str(model), gr.HTML("", visible=False)) if model else (gr.skip(), gr.skip())

    # In the queue, and few at once: the Hub may be slow, and suggestions are not worth every thread.
    box.input(suggest, [box], [found], concurrency_limit=4, trigger_mode="always_last", **PRIVATE)
    found.click(take, None, [box, found], queue=False, **PRIVATE)


def _buttons(models: Sequence[str]) -> str:
    told = "".join(f'<button type="button" data-model="{escape(model)}">{escape(model)}</button>' for model in models)
    return f'<div role="group" aria-label="Models of this name">{told}</div>' if told else ""


def images_box() -> gr.Dropdown:
    """Return a box for how many images are drawn."""
    return gr.Dropdown(
        [(f"{n:,}", n) for n in IMAGES], value=here().images, label="Images", info="More of them, less error"
    )


def check(model: str | None, images: float, seed: float, twin: bool) -> list[Any]:
    """Say beside the field what is wrong with it, before anything waits."""
    del images, twin
    whole = seed is not None and float(seed).is_integer() and 0 <= seed < 2**31
    wrong = "" if whole else "expected a whole number, at least 0"
    return [
        gr.validate(*_valid(lambda: parse(model or ""))),
        gr.validate(True, ""),
        gr.validate(whole, wrong),
        gr.validate(True, ""),
    ]


def check_several(models: Sequence[str] | None, images: float) -> list[Any]:
    """Likewise of several models."""
    del images
    return [gr.validate(*_valid(lambda: parse_several(models or []))), gr.validate(True, "")]


def guarded(
    steps: Iterator[dict[Any, Any]], status: gr.HTML, stops: sessions.Stops, session: str
) -> Iterator[dict[Any, Any]]:
    """Yield what a run shows; what goes wrong is shown as a sentence, and never as a traceback."""
    stops.start(session)
    try:
        yield from steps
    except (SynBenchError, FailedRun) as error:
        yield {status: words.problem(str(error))}
    except Exception:  # noqa: BLE001 - it is logged, under the number that the visitor is told
        yield {status: words.problem(unexpected())}
    finally:
        stops.end(session)


def run_on(
    triggers: Sequence[Any],
    run: Callable[..., Iterator[dict[Any, Any]]],
    asked: Sequence[Any],
    outputs: Sequence[Any],
    check: Callable[..., list[Any]],
    buttons: tuple[gr.Button, gr.Button],
    stops: sessions.Stops,
) -> Any:
    """Wire a run: what was typed is checked, Run and Cancel change places while it lasts, and back; return its event.

    Args:
        triggers: events that begin it.
        run: a generator of what is shown.
        asked: its inputs.
        outputs: what it may show.
        check: of the inputs.
        buttons: Run and Cancel.
        stops: who has pressed Cancel.
    """

    def begin(*_: Any) -> tuple[gr.Button, gr.Button]:
        return gr.Button(interactive=False), gr.Button(interactive=True)

    # The check stands on the first event of the chain, which has to be in the queue: elsewhere it is left out.
    once: dict[str, Any] = {"concurrency_limit": None, "trigger_mode": "once", **PRIVATE}
    begun = gr.on([*triggers], begin, [*asked], [*buttons], validator=check, **once)
    ran = begun.success(run, [*asked], [*outputs], **once)
    # A button that is switched off loses the focus: who came by the keyboard goes on from Cancel.
    begun.success(None, None, None, js=_FOCUS % buttons[1].elem_id)
    # Not by then(): after an error it does nothing.
    for after in (ran.success, ran.failure):
        after(_end, None, [*buttons], queue=False, **PRIVATE)
    buttons[1].click(stops.stop, None, None, queue=False, **PRIVATE)
    return ran


def _end() -> tuple[gr.Button, gr.Button]:
    return gr.Button(interactive=True), gr.Button(interactive=False)


def _valid(parsed: Callable[[], Any]) -> tuple[bool, str]:
    try:
        parsed()
    except SynBenchError as error:
        return False, str(error)
    return True, ""
