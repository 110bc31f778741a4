"""The page Compare: two to eight encoders on the same images, with the differences that these can tell."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gradio as gr

from synbench.pairing import of_reports

from . import downloads, pictures, sessions, words
from .admission import MOST_COMPARED, Asked, admit, parse_several
from .fields import check_several, guarded, images_box, run_on
from .hardware import here
from .kept import Kept
from .running import Visitor, follow, public_hub
from .work import Plan

_EVERY = 0.4


class ComparePage:
    """The components of the page, and what they do."""

    def __init__(self) -> None:
        self._stops = sessions.Stops()
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                self.models = gr.Dropdown(
                    list(here().examples),
                    value=[],
                    multiselect=True,
                    max_choices=MOST_COMPARED,
                    allow_custom_value=True,
                    label="Models",
                    info="Two to eight: type an id, and press Enter",
                )
                self.images = images_box()
                with gr.Row():
                    self.go = gr.Button("Compare", variant="primary", min_width=100)
                    self.stop = gr.Button(
                        "Cancel", variant="stop", interactive=False, min_width=100, elem_id="cancel-compare"
                    )
                models = [*here().examples[:3]]
                gr.Examples([[models]], [self.models], label="Example", example_labels=[", ".join(models)])
                self.status = gr.HTML(elem_id="compare-status")
            with gr.Column(scale=3, min_width=320):
                self.picture = gr.HTML(_EMPTY, elem_id="ranking", elem_classes="picture")
        self.tables = gr.HTML(elem_id="differences")
        with gr.Row(visible=False) as self.taken:
            self.files = [gr.DownloadButton(f"↓ {kind}", size="sm", min_width=80) for kind in downloads.FORMATS]
        self._wire()

    def run(self, models: list[str], images: float, request: gr.Request) -> Iterator[dict[Any, Any]]:
        """Score the models one after the other, each in its turn, and compare those that are done."""
        visitor = sessions.visitor_of(request)
        yield from guarded(self._each(models, images, visitor), self.status, self._stops, visitor.session)

    def _each(self, models: list[str], images: Any, visitor: Visitor) -> Iterator[dict[Any, Any]]:
        ids = parse_several(models)
        looking = words.note("Looking at the models on the Hub.")
        yield {self.taken: gr.Row(visible=False), self.picture: "", self.tables: "", self.status: looking}
        # What is wrong with the last one is told before the first one is scored.
        for model in ids:
            admit(public_hub(), Asked(model, images, twin=False), here())
        found: list[Kept] = []
        for number, model in enumerate(ids, start=1):
            exact: Plan | None = None
            last, done = 0.0, None
            asked = Asked(model, images, twin=False)
            with closing(follow(asked, visitor, lambda: self._stops.asked(visitor.session))) as steps:  # type: ignore[type-var]
                for news in steps:
                    exact = news.frame.plan or exact if news.frame else exact
                    done = news.kept
                    if done is None and time.monotonic() - last >= _EVERY:
                        last = time.monotonic()
                        told = words.progress(news, here(), exact, None)
                        yield {self.status: f"<p>Model {number} of {len(ids)}</p>{told}"}
            if done is None:
                yield {self.status: words.note("Cancelled. What was done is kept: another run goes on from there.")}
                return
            found.append(done)
            if len(found) > 1:
                yield self._result(found, whole=len(found) == len(ids))
        yield {self.status: words.note(f"{len(ids)} encoders compared.")}

    def _result(self, found: list[Kept], *, whole: bool) -> dict[Any, Any]:
        comparison = of_reports([one.report for one in found], [one.contributions for one in found])
        shown = {self.picture: pictures.ranking(comparison), self.tables: words.comparison(comparison)}
        if not whole:
            return shown
        key = hashlib.sha256("".join(one.key for one in found).encode()).hexdigest()[:16]
        files = downloads.comparison_files(comparison, key)
        served = {button: gr.DownloadButton(value=str(file)) for button, file in zip(self.files, files, strict=True)}
        return {**shown, **served, self.taken: gr.Row(visible=True)}

    def _wire(self) -> None:
        asked, outputs = [self.models, self.images], [self.status, self.picture, self.tables, self.taken, *self.files]
        run_on([self.go.click], self.run, asked, outputs, check_several, (self.go, self.stop), self._stops)


_EMPTY = """
<p class="meaning">Encoders that take images of one size are scored on the very same images: what they err together then
does not count against their difference. Encoders that share a letter are not told apart.</p>
"""
