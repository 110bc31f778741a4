"""The Space: score an encoder in the browser. Thin: the work is in the package."""

import html
import logging
import os
import re
import tempfile
import uuid
from pathlib import Path
from typing import Any

# Before they are imported: Gradio phones home otherwise, and the Hub's client would use the Space's own token.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")

import gradio as gr

import synbench
from synbench.plots import save_plot

LARGEST_GB = 2.0
"""Weights that the Space fetches, at most."""

LONGEST_SECONDS = 600.0
"""One visitor's run, at most, as it is reckoned from a few images."""

FONTS: list[Any] = ["system-ui", "sans-serif"]
_CSS = """
.gradio-container { max-width: 56rem !important; margin: auto }
#said { font-size: 1.15rem; min-height: 4rem }
#plot svg { width: 100%; height: auto; border-radius: .5rem }
"""
LAUNCH: dict[str, Any] = {
    "theme": gr.themes.Default(
        primary_hue="blue", neutral_hue="slate", font=FONTS, font_mono=["ui-monospace", "monospace"]
    ),
    "css": _CSS,
    "footer_links": ["api"],
    "run_history": False,
    "pwa": False,
    "ssr_mode": False,
    "enable_monitoring": False,
    "show_error": False,
}
"""How the app is launched, here and in the tests."""

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*")
_TITLE = """\
# SynBench
How good is a pretrained vision encoder? Told without any data, against a known optimum: two Gaussian classes in image
space, embedded, and the share of the best robustness-accuracy trade-off that the representations keep.
"""


def score(model: str = synbench.DEMO, images: int = 8192) -> dict[str, Any]:
    """Score an encoder, and return the whole record.

    Args:
        model: id of a public vision encoder on the Hub, or synbench:demo.
        images: drawn images, 1024 to 16384.
    """
    return _scored(model, images).to_dict()


def run(model: str, images: int) -> tuple[str, str, dict[str, Any]]:
    """Return what the page shows: a sentence, the picture, and the record."""
    report = _scored(model, images)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "plot.svg"
        save_plot(report, picture)
        svg = picture.read_text()
    told = html.escape(report.meaning)
    labelled = f'<svg role="img" aria-label="{told}"' + svg[svg.index("<svg") + len("<svg") :]
    return told, labelled, report.to_dict()


def build() -> gr.Blocks:
    """Return the app."""
    with gr.Blocks(title="SynBench", analytics_enabled=False) as app:
        gr.Markdown(_TITLE)
        with gr.Row():
            model = gr.Textbox(synbench.DEMO, label="Model: its id on the Hub", scale=3, max_lines=1)
            images = gr.Slider(1024, 16384, 8192, step=1024, label="Images", scale=2)
        start = gr.Button("Score", variant="primary")
        said = gr.HTML(elem_id="said")
        picture = gr.HTML(elem_id="plot")
        with gr.Accordion("The whole record", open=False):
            record = gr.JSON(show_label=False)
        shown = [said, picture, record]
        gr.on(
            [start.click, model.submit],
            run,
            [model, images],
            shown,
            show_progress_on=[said],
            concurrency_id="score",
            api_visibility="private",
        )
        gr.api(score, api_name="score", concurrency_id="score")
    app.queue(max_size=16, default_concurrency_limit=1)
    return app


def _scored(model: str, images: int) -> synbench.Report:
    try:
        model = model.strip()
        images = int(min(max(images, 1024), 16384))
        if model != synbench.DEMO:
            _check_size(model)
            _check_time(model, images)
        return synbench.score(model, images=images, progress=False)
    except synbench.SynBenchError as error:
        # Gradio renders what it is given.
        raise gr.Error(html.escape(str(error), quote=False), print_exception=False) from None
    except Exception:
        number = uuid.uuid4().hex[:8]
        logging.exception("error %s", number)
        said = f"Something went wrong here, and it is not your fault. Tell us this number: {number}."
        raise gr.Error(said, print_exception=False) from None


def _check_time(model: str, images: int) -> None:
    """Refuse what would keep everybody else waiting."""
    seconds = synbench.check(model, images=images).seconds
    if seconds > LONGEST_SECONDS:
        raise synbench.EncoderError(
            f"{model!r} would take about {seconds / 60:.0f} minutes here, and {LONGEST_SECONDS / 60:.0f} are allowed. "
            f"Take fewer images, or score it on your own machine: synbench score {model}."
        )


def _check_size(model: str) -> None:
    """Refuse what is no public model of the Hub, such as a folder of the server, or is too large to be fetched."""
    if not _ID.fullmatch(model):
        raise synbench.EncoderError(
            f"expected the id of a model on the Hub, such as facebook/dinov2-small, got {model!r}."
        )
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    try:
        info = HfApi(token=False).model_info(model, files_metadata=True)
    except (HfHubHTTPError, ValueError):
        raise synbench.EncoderError(f"there is no public model {model!r} on the Hub. Check the spelling.") from None
    except (HTTPError, OSError):
        raise synbench.EncoderError("the Hub cannot be reached just now. Try again in a minute.") from None
    if info.gated:
        raise synbench.EncoderError(
            f"{model!r} is gated: only those whom its owner let in can score it, on their own machines."
        )
    size = sum(file.size or 0 for file in info.siblings or [] if file.rfilename.endswith(".safetensors")) / 1e9
    if not size:
        raise synbench.EncoderError(f"{model!r} has no safetensors, and nothing else is read. Pick another model.")
    if size > LARGEST_GB:
        raise synbench.EncoderError(
            f"{model!r} has {size:.1f} GB of weights, and this Space fetches {LARGEST_GB:g} GB at most. Score it on "
            f"your own machine: synbench score {model}."
        )


if __name__ == "__main__":
    logging.getLogger("httpx").setLevel(logging.WARNING)
    build().launch(**LAUNCH)
