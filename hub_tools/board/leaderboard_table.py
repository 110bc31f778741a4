"""What ``synbench hub leaderboard`` prints: a table for each board, on stdout."""

import math
from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .collecting import STANDARD
from .leaderboard import Board, BoardRow, Leaderboard

SOURCES = {
    "local": "local",
    "dataset": "dataset",
    "eval-results": ".eval_results",
    "model-index": "card",
    "pull-request": "pull request",
}
"""Where a number stands, in words."""


def print_leaderboard(found: Leaderboard) -> None:
    """Print the boards, best model first, and what was left out."""
    console = Console(highlight=False)
    for board in found.boards:
        console.print(_table(board, found.benchmark))
    if not found.boards:
        console.print(f"No scores of {escape(found.benchmark)} in {_models(found.models)}.", soft_wrap=True)
    if any(row.ties for board in found.boards for row in board.rows):
        console.print(
            f"Models that share a letter are not told apart at the {found.level:.0%} level, all pairs of a table "
            f"considered (Holm); their errors are taken as independent. 1 keeps all of the optimum, 0 nothing.",
            soft_wrap=True,
        )
    if any(row.stderr is None for board in found.boards for row in board.rows):
        console.print("Models without a known error stand below the others, and have no rank.", soft_wrap=True)
    shown = {board.task_id for board in found.boards}
    if rest := {task: count for task, count in found.tasks.items() if task not in shown}:
        listed = ", ".join(f"{task} ({_models(count)})" for task, count in rest.items())
        console.print(f"Other tasks, see --task: {listed}.", soft_wrap=True, markup=False)
    for warning in found.warnings:
        console.print(f"note: {warning}", soft_wrap=True, markup=False)


def rows(board: Board) -> list[tuple[str, ...]]:
    """Return the table of a board as text.

    Columns: rank or rank range, tie groups, model, value, its interval, the commit, where it stands.
    """
    places = decimals(board.rows)
    return [
        (
            ranks(row),
            row.ties or "–",
            name,
            f"{row.value:.{places}f}",
            interval(row, places),
            row.commit[:7] if row.commit else "–",
            _source(row),
        )
        for row, name in zip(board.rows, names(board.rows), strict=True)
    ]


def decimals(found: Sequence[BoardRow]) -> int:
    """Return the decimals that give the narrowest interval two digits, at least 3 and at most 4: more are not told."""
    halves = ((row.interval[1] - row.interval[0]) / 2 for row in found if row.interval)
    narrowest = min((half for half in halves if half > 0), default=1.0)
    return min(max(1 - math.floor(math.log10(narrowest)), 3), 4)


def interval(row: BoardRow, places: int) -> str:
    """Return the interval of a row, or a dash."""
    return f"[{row.interval[0]:.{places}f}, {row.interval[1]:.{places}f}]" if row.interval else "–"


def ranks(row: BoardRow) -> str:
    """Return the rank or the rank range of a row, or a dash."""
    if row.rank_low is None:
        return "–"
    return f"{row.rank_low}" if row.rank_low == row.rank_high else f"{row.rank_low}–{row.rank_high}"


def names(found: Sequence[BoardRow]) -> list[str]:
    """Return a name for each row: the model, with its config where a model has several."""
    counts = Counter(row.model for row in found)
    return [f"{row.model} ({row.config})" if counts[row.model] > 1 else row.model for row in found]


def _table(board: Board, benchmark: str) -> Table:
    settings = "" if board.settings == STANDARD else f", settings: {board.settings}"
    revision = f" {board.revision}" if board.revision else ""
    title = escape(f"{board.task_id} on {benchmark}{revision}{settings}")
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 1, 0, 0))
    table.add_column("rank", justify="right", no_wrap=True)
    table.add_column("ties", overflow="fold")
    table.add_column("model", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("commit", no_wrap=True)
    table.add_column("from", overflow="fold")
    for row in rows(board):
        table.add_row(*map(escape, row))
    return table


def source(row: BoardRow) -> str:
    """Return where the number of a row stands."""
    return SOURCES[row.source] + ("" if row.pull_request is None else f" {row.pull_request}")


def _source(row: BoardRow) -> str:
    return source(row) + (", verified" if row.verified else "") + (" *" if row.others else "")


def _models(count: int) -> str:
    return "1 model" if count == 1 else f"{count:,} models"
