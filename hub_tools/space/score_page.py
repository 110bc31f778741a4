"""The page Score: type a model, see what will be done, watch the score sharpen, see why, take it with you."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import gradio as gr

from synbench.report import Report

from . import downloads, kept, pictures, sessions, sharing, words
from .admission import IMAGES, Asked
from .fields import check, guarded, images_box, model_box, run_on, suggesting
from .hardware import here
from .running import Visitor, follow
from .work import Plan

_EVERY = 0.4
"""Seconds between two updates of the page."""

_LINK = """(key) => {
  const address = new URL(location);
  for (const name of ['model', 'result', 'compare', 'tab', 'sign_in']) address.searchParams.delete(name);
  if (key) address.searchParams.set('result', key);
  history.replaceState(null, '', address);
}"""
"""Puts a finished result into the address: it is there again after signing in, or for somebody else."""


_EMPTY = """
<p class="meaning">Two Gaussian classes are drawn as images, where the best trade-off between accuracy and robustness is
known. The encoder embeds them, and the score is the share of that optimum which is left: 1 is all of it, 0 is
nothing.</p>
"""


class ScorePage:
    """The components of the page, and what they do.

    Args:
        suggest: models by what was typed of their name.
    """

    def __init__(self, suggest: Callable[[str], Sequence[str]]) -> None:
        self._stops = sessions.Stops()
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                self.model = model_box("Model", "Its id on the Hub, or a part of it, or the address of its page")
                suggesting(self.model, suggest)
                with gr.Accordion("Settings", open=False):
                    self.images = images_box()
                    self.seed = gr.Number(0, label="Seed", info="Of the images", precision=0, minimum=0)
                    self.twin = gr.Checkbox(
                        True, label="Untrained twin", info="The same architecture with random weights, for comparison"
                    )
                with gr.Row():
                    self.go = gr.Button("Run", variant="primary", min_width=100)
                    self.stop = gr.Button(
                        "Cancel", variant="stop", interactive=False, min_width=100, elem_id="cancel-score"
                    )
                models = here().examples
                gr.Examples([[name] for name in models], [self.model], label="Examples", example_labels=[*models])
                self.status = gr.HTML('<p role="status"></p>', elem_id="status")
            with gr.Column(scale=3, min_width=320):
                self.said = gr.HTML(_EMPTY, elem_id="said", elem_classes="picture")
                self.curve = gr.HTML(elem_id="curve", elem_classes="picture")
                self.heat = gr.HTML(elem_id="heat", elem_classes="picture")
        with gr.Group(visible=False) as self.taken:
            with gr.Row():
                self.files = [gr.DownloadButton(f"↓ {kind}", size="sm", min_width=80) for kind in downloads.FORMATS]
            with gr.Accordion("Copy", open=False):
                self.address = gr.Code(label="Link to this result", interactive=False)
                kinds: dict[str, Any] = {"Python": "python", "Command line": "shell", "Badge for a README": "markdown"}
                self.copied = [gr.Code(label=name, language=kind, interactive=False) for name, kind in kinds.items()]
            with gr.Accordion("The whole record", open=False):
                self.record = gr.JSON(show_label=False)
        # Of the page, for the address; the server looks at its own.
        self.link = gr.Textbox(visible="hidden", elem_id="link")
        self.key = gr.State("")
        self._wire()

    @property
    def outputs(self) -> list[Any]:
        """What ``run`` and ``shown`` fill."""
        pictured = [self.status, self.said, self.curve, self.heat]
        return [
            *self.asked,
            *pictured,
            self.address,
            self.taken,
            *self.files,
            *self.copied,
            self.record,
            self.link,
            self.key,
        ]

    def run(self, model: str, images: float, seed: float, twin: bool, request: gr.Request) -> Iterator[dict[Any, Any]]:
        """Score a model, and fill the page while it runs."""
        visitor = sessions.visitor_of(request)
        steps = self._followed(lambda: Asked(model, int(images), int(seed or 0), bool(twin)), visitor, request)
        yield from guarded(steps, self.status, self._stops, visitor.session)

    @property
    def asked(self) -> list[Any]:
        """What a run is asked by."""
        return [self.model, self.images, self.seed, self.twin]

    def shown(self, key: str, base: str) -> dict[Any, Any]:
        """Fill the page with a result that is kept, if it is."""
        found = kept.find(key)
        if found is None:
            return {self.status: words.problem("This result is not kept here any more. Run the model again.")}
        report = found.report
        name = report.settings.model.id if report.settings.model else ""
        said = words.note(f"The kept result of {name}: {report.images:,} images, seed {report.settings.seed}.")
        # So that another run asks the same.
        boxes = {self.model: name, self.seed: report.settings.seed, self.twin: report.baseline is not None}
        if report.images in IMAGES:
            boxes[self.images] = report.images
        return {**boxes, self.status: said, **self._result(found, base)}

    def _followed(
        self, question: Callable[[], Asked], visitor: Visitor, request: gr.Request
    ) -> Iterator[dict[Any, Any]]:
        asked, base = question(), sessions.base_of(request)
        empty = dict.fromkeys([self.said, self.curve, self.heat], "")
        looking = words.note("Looking at the model on the Hub.")
        yield {**empty, self.taken: gr.Group(visible=False), self.key: "", self.link: "", self.status: looking}
        exact: Plan | None = None
        last, since = 0.0, None
        with closing(follow(asked, visitor, lambda: self._stops.asked(visitor.session))) as steps:  # type: ignore[type-var]
            for news in steps:
                frame = news.frame
                if frame is not None and frame.plan is not None:
                    exact, since, last = frame.plan, time.monotonic(), 0.0
                if news.kept is not None:
                    yield {self.status: words.finished(news, here(), exact), **self._result(news.kept, base)}
                    return
                report = None if frame is None or frame.twin or frame.done else frame.report
                if report is None and time.monotonic() - last < _EVERY:
                    continue
                last = time.monotonic()
                left = None if since is None else words.left(frame, last - since, asked.twin)
                partial = frame is not None and frame.images < frame.total
                pictured = {} if report is None else self._pictured(report, partial=partial)
                yield {self.status: words.progress(news, here(), exact, left), **pictured}
        yield {self.status: words.note("Cancelled. What was done is kept: another run goes on from there.")}

    def _result(self, found: kept.Kept, base: str) -> dict[Any, Any]:
        files = downloads.report_files(found.report, found.key)
        return {
            **self._pictured(found.report, partial=False),
            self.taken: gr.Group(visible=True),
            **{button: gr.DownloadButton(value=str(file)) for button, file in zip(self.files, files, strict=True)},
            **dict(zip(self.copied, sharing.snippets(found.report).values(), strict=True)),
            self.record: found.report.to_dict(),
            self.link: found.key,
            self.address: f"{base}?result={found.key}",
            self.key: found.key,
        }

    def _pictured(self, report: Report, *, partial: bool) -> dict[Any, Any]:
        return {
            self.said: words.headline(report, partial=partial) + pictures.ruler(report),
            self.curve: pictures.trade_off(report),
            self.heat: pictures.heat_map(report),
        }

    def _wire(self) -> None:
        triggers = [self.go.click, self.model.submit]
        ran = run_on(triggers, self.run, self.asked, self.outputs, check, (self.go, self.stop), self._stops)
        ran.success(None, [self.link], None, js=_LINK)
