"""The page Leaderboard: scores from model cards and from a dataset of results, ordered and filtered."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from hub_tools.board.leaderboard import Leaderboard
from synbench.errors import SynBenchError

from . import board, words
from .fields import PRIVATE
from .work import unexpected

_SIZES = [
    ("any size", ""),
    ("to 10 M", "0-10"),
    ("10 to 50 M", "10-50"),
    ("50 to 200 M", "50-200"),
    ("200 M on", "200-"),
]

# A heading or a page's number that is pressed tells which one it is.
_PRESSED = """
element.addEventListener('click', (event) => {
  const head = event.target.closest('button[data-column]');
  const page = event.target.closest('button[data-page]');
  if (head) trigger('click', {column: head.dataset.column});
  if (page) trigger('click', {page: Number(page.dataset.page)});
});
"""
_FIRST: dict[str, Any] = {"column": "rank", "descending": False, "page": 1}


class BoardPage:
    """The components of the page, and what they do.

    Args:
        get: returns the leaderboard, soon; see ``BoardKeeper``.
        endpoint: address of the Hub, for links.
    """

    def __init__(self, get: Callable[[], Leaderboard], endpoint: str) -> None:
        self._get, self._endpoint = get, endpoint
        with gr.Row():
            self.which = gr.Dropdown([], label="Score", min_width=260, scale=2)
            self.search = gr.Textbox(label="Search", placeholder="part of a name", min_width=160)
            self.family = gr.Dropdown([], label="Family", multiselect=True, min_width=160)
            self.size = gr.Dropdown(_SIZES, value="", label="Parameters", min_width=160)
        self.table = gr.HTML(
            words.note("The leaderboard is read from the Hub."),
            elem_id="board",
            elem_classes="board",
            js_on_load=_PRESSED,
        )
        self.order = gr.State(dict(_FIRST))
        for field in self.filters[:-1]:
            field.change(self._again, self.filters, [self.table, self.order], **PRIVATE)
        # By default a press would be lost while another is under way.
        pressed = {"queue": False, "trigger_mode": "multiple", **PRIVATE}
        self.table.click(self._pressed, self.filters, [self.table, self.order], **pressed)

    @property
    def filters(self) -> list[Any]:
        """What is asked of the page."""
        return [self.which, self.search, self.family, self.size, self.order]

    def load(self, which: str, search: str, family: list[str], size: str, order: dict[str, Any]) -> dict[Any, Any]:
        """Fill the page, when it is opened; what was asked of it before stays."""
        try:
            found = self._get()
        except SynBenchError as error:
            return {self.table: words.problem(str(error))}
        except Exception:  # noqa: BLE001 - logged under a number, and no traceback for a visitor
            return {self.table: words.problem(unexpected())}
        choices = board.boards_told(found)
        if not choices:
            return {self.table: words.note(f"No model has a score of {found.benchmark} yet.")}
        if which not in [key for _, key in choices]:
            which = choices[0][1]
        first = board.board_of(found, which)
        return {
            self.which: gr.Dropdown(choices=choices, value=which),
            self.family: gr.Dropdown(choices=board.families(first) if first else []),
            self.table: self._shown(which, search, family, size, order),
        }

    @property
    def outputs(self) -> list[Any]:
        """What ``load`` fills."""
        return [self.which, self.family, self.table]

    def _again(
        self, which: str, search: str, family: list[str], size: str, order: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        first = {**order, "page": 1}
        return self._shown(which, search, family, size, first), first

    def _pressed(
        self, which: str, search: str, family: list[str], size: str, order: dict[str, Any], pressed: gr.EventData
    ) -> tuple[str, dict[str, Any]]:
        column, page = getattr(pressed, "column", None), getattr(pressed, "page", None)
        new = dict(order)
        if isinstance(column, str) and column in board.COLUMNS:
            # Once more turns it round.
            new = {**_FIRST, "column": column, "descending": column == order["column"] and not order["descending"]}
            if column == "score" and order["column"] != "score":
                new["descending"] = True
        elif isinstance(page, int):
            new["page"] = page
        return self._shown(which, search, family, size, new), new

    def _shown(self, which: str, search: str, family: list[str], size: str, order: dict[str, Any]) -> str:
        try:
            found = board.board_of(self._get(), which or "")
        except SynBenchError as error:
            return words.problem(str(error))
        if found is None:
            return words.note("No model has a score of this kind yet.")
        low, _, high = (size or "-").partition("-")
        rows = board.filtered(
            found,
            search=search or "",
            families=family or (),
            smallest=float(low) if low else None,
            largest=float(high) if high else None,
        )
        rows = board.in_order(rows, order["column"], order["descending"])
        table = board.table(rows, **order, endpoint=self._endpoint)
        turn = _pages(order["page"], board.pages(rows))
        return f'<div class="scroll" tabindex="0" role="group" aria-label="Leaderboard">{table}</div>{turn}'


def _pages(page: int, pages: int) -> str:
    """Return buttons to turn the pages."""
    if pages == 1:
        return ""
    page = min(max(page, 1), pages)
    buttons = (("First", 1), ("Previous", page - 1), ("Next", page + 1), ("Last", pages))
    off = [name for name, to in buttons if not 1 <= to <= pages or to == page]
    told = "".join(
        f'<button type="button" data-page="{to}"{" disabled" if name in off else ""}>{name}</button>'
        for name, to in buttons
    )
    return f'<nav class="pages" aria-label="Pages">{told}<span role="status">Page {page} of {pages}</span></nav>'
