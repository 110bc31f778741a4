"""The leaderboard as the app shows it: its rows filtered, ordered, and a page of them as one HTML table.

Nothing here knows of Gradio. Names, addresses and the like are other people's: all are escaped, and only what is an
address of the web becomes a link.
"""

import json
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from hub_tools.annotation.plans import ID
from hub_tools.board import collecting
from hub_tools.board.collecting import STANDARD
from hub_tools.board.leaderboard import Board, BoardRow, Leaderboard, make_leaderboard
from hub_tools.board.leaderboard_table import decimals, interval, names, ranks, source
from hub_tools.score.results import BENCHMARK
from synbench.errors import ArgumentError, HubError

if TYPE_CHECKING:
    from hub_tools.client.hub import Hub

PER_PAGE = 50

QUERY: Mapping[str, Any] = MappingProxyType({"filter": "vision"})
"""Which models are listed if nothing else is asked for."""

COLUMNS: Mapping[str, str] = MappingProxyType(
    {"rank": "Rank", "model": "Model", "score": "Score", "parameters": "Parameters", "family": "Family"}
)
"""What rows can be ordered by, and its heading."""

_HUB = "https://huggingface.co"
_ORDERS = {
    "rank": ("best first", "worst first"),
    "model": ("A to Z", "Z to A"),
    "score": ("lowest first", "highest first"),
    "parameters": ("smallest first", "largest first"),
    "family": ("A to Z", "Z to A"),
}
_UNITS = ((1, ""), (10**3, " K"), (10**6, " M"), (10**9, " B"), (10**12, " T"))
_NONE = "–"


def filtered(
    board: Board,
    *,
    search: str = "",
    families: Collection[str] = (),
    smallest: float | None = None,
    largest: float | None = None,
) -> list[BoardRow]:
    """Return the rows that are looked for, in the order of the board.

    Args:
        board: whose.
        search: words that all stand in the model's id, in any case.
        families: any of these; empty for all.
        smallest: millions of parameters, at the least. With a size, models whose size is not told are left out.
        largest: the same at the most.
    """
    words = search.casefold().split()
    wanted = frozenset(families)
    sized = smallest is not None or largest is not None
    low = 0.0 if smallest is None else smallest * 1e6
    high = float("inf") if largest is None else largest * 1e6
    return [
        row
        for row in board.rows
        if (not wanted or row.family in wanted)
        and (not sized or (row.parameters is not None and low <= row.parameters <= high))
        and (not words or _has(row.model.casefold(), words))
    ]


def in_order(rows: Sequence[BoardRow], column: str, descending: bool) -> list[BoardRow]:
    """Return rows in the order of a column; those without a value last, and equal ones by name, either way.

    Args:
        rows: of a board.
        column: one of ``COLUMNS``; a rank is 1 + the number of better models, then the number of those not worse.
        descending: largest first, or from Z to A.

    Raises:
        ArgumentError: there is no such column.
    """
    if column not in _KEYS:
        raise ArgumentError(f"expected a column to order by, one of {', '.join(_KEYS)}, got {column!r}.")
    key = _KEYS[column]
    named = sorted(rows, key=_name)
    known = [row for row in named if key(row) is not None]
    known.sort(key=key, reverse=descending)
    return [*known, *(row for row in named if key(row) is None)]


def pages(rows: Sequence[BoardRow], per_page: int = PER_PAGE) -> int:
    """Return how many pages rows take; none take one."""
    return max(-(-len(rows) // per_page), 1)


def table(
    rows: Sequence[BoardRow],
    *,
    column: str,
    descending: bool,
    page: int,
    per_page: int = PER_PAGE,
    title: str = "",
    endpoint: str = _HUB,
) -> str:
    """Return one page of rows as an HTML table, or a sentence if there are none.

    The heading of a column that can be ordered by is a button with its name in ``data-column``.

    Args:
        rows: in the order that is told of them.
        column: that they are ordered by, one of ``COLUMNS``.
        descending: likewise.
        page: from 1; one that is not there is the nearest that is.
        per_page: rows of a page.
        title: of the board.
        endpoint: address of the Hub, for the pages of the models.

    Raises:
        ArgumentError: there is no such column.
    """
    if column not in COLUMNS:
        raise ArgumentError(f"expected a column to order by, one of {', '.join(COLUMNS)}, got {column!r}.")
    if not rows:
        return '<p class="board-empty" role="status">No model fits. Take a word, a family or a size away.</p>'
    page = min(max(page, 1), pages(rows, per_page))
    start = (page - 1) * per_page
    stop = min(start + per_page, len(rows))
    places = decimals(rows)
    shown = zip(rows[start:stop], names(rows)[start:stop], strict=True)
    body = "".join(_row(row, name, places, endpoint) for row, name in shown)
    heads = "".join(_heads(column, descending))
    caption = f"{title}. " if title else ""
    caption += f"{_span(start + 1, stop, len(rows))} by {COLUMNS[column].lower()}, {_ORDERS[column][descending]}."
    if any(row.ties for row in rows):
        caption += " Models that share a letter are not told apart."
    return (
        f'<table class="board"><caption><span>{escape(caption)}</span></caption><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def families(board: Board) -> list[str]:
    """Return the families on a board, from A to Z."""
    return sorted({row.family for row in board.rows if row.family is not None})


def boards_told(found: Leaderboard) -> list[tuple[str, str]]:
    """Return a label and a key for each board, in order; see ``board_of``."""
    several = len({board.revision for board in found.boards}) > 1
    return [(_label(board, several), _key(board)) for board in found.boards]


def board_of(found: Leaderboard, key: str) -> Board | None:
    """Return the board of a key, whatever others there are by now; ``None`` if it is gone."""
    return next((board for board in found.boards if _key(board) == key), None)


def size_told(parameters: int | None) -> str:
    """Return a number of parameters for people.

    >>> size_told(86_389_248), size_told(5_717_416), size_told(999_700_000), size_told(None)
    ('86 M', '5.7 M', '1.0 B', '–')
    """
    if parameters is None:
        return _NONE
    unit, name = next((one for one in _UNITS if parameters / one[0] < 999.5), _UNITS[-1])
    value = parameters / unit
    return f"{value:.1f}{name}" if value < 9.95 and unit > 1 else f"{value:.0f}{name}"


def load(
    hub: "Hub",
    *,
    benchmark: str = BENCHMARK,
    dataset: str | None = None,
    query: Mapping[str, Any] | None = None,
) -> Leaderboard:
    """Read the scores on cards and in a dataset of results, and rank them, all tasks.

    Args:
        hub: the client.
        benchmark: id of the benchmark dataset.
        dataset: id of the dataset with results; ``None`` for none. Its models need not be among those that are listed.
        query: which models are listed, as ``collecting.listed`` takes it; ``None`` for ``QUERY``, empty for no model.

    Raises:
        HubError: the Hub cannot be reached, or refuses; the message says what to do.
    """
    asked = QUERY if query is None else query
    own, told = ([], []) if dataset is None else collecting.from_dataset(hub, dataset)
    published = collecting.listed(hub, benchmark, **asked) if asked else None
    return make_leaderboard(published, own, benchmark=benchmark, tasks=None, warnings=told, unlisted=True)


class BoardKeeper:
    """Keeps a leaderboard for all visitors, and loads it anew when it is old.

    Who comes while that is done gets the one from before, and so does everybody for a while if it fails.

    Args:
        load: makes it, such as ``lambda: load(hub)``.
        seconds: that it is kept for.
        again: seconds until it is tried again after a failure.
        clock: rises, in seconds.
    """

    def __init__(
        self,
        load: Callable[[], Leaderboard],
        seconds: float = 3600.0,
        again: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load, self._seconds, self._again, self._clock = load, seconds, again, clock
        self._kept: Leaderboard | None = None
        self._failed = ""
        self._until = float("-inf")
        self._lock = threading.Lock()

    def get(self) -> Leaderboard:
        """Return it.

        Raises:
            HubError: the Hub cannot be reached, or refuses, and there is none from before.
        """
        kept = self._kept
        if kept is not None and self._clock() < self._until:
            return kept
        if not self._lock.acquire(blocking=kept is None) and kept is not None:
            return kept
        try:
            if self._clock() >= self._until:
                self._renew()
            if self._kept is None:
                raise HubError(self._failed)
            return self._kept
        finally:
            self._lock.release()

    def _renew(self) -> None:
        try:
            self._kept, wait = self._load(), self._seconds
        except HubError as error:
            self._failed, wait = str(error), self._again
        self._until = self._clock() + wait


def _rank(row: BoardRow) -> tuple[int, int] | None:
    return None if row.rank_low is None or row.rank_high is None else (row.rank_low, row.rank_high)


def _name(row: BoardRow) -> tuple[str, str, str]:
    return row.model.casefold(), row.model, row.config or ""


_KEYS: Mapping[str, Callable[[BoardRow], Any]] = MappingProxyType(
    {
        "rank": _rank,
        "model": lambda row: row.model.casefold(),
        "score": lambda row: row.value,
        "parameters": lambda row: row.parameters,
        "family": lambda row: row.family,
    }
)


def _has(text: str, words: Sequence[str]) -> bool:
    return all(word in text for word in words)


def _heads(column: str, descending: bool) -> Iterator[str]:
    for name in ("rank", "ties", "model", "score", "parameters", "family", "source"):
        if name in COLUMNS:
            order = f' aria-sort="{"descending" if descending else "ascending"}"' if name == column else ""
            button = f'<button type="button" data-column="{name}">{COLUMNS[name]}</button>'
            yield f'<th scope="col"{order}>{button}</th>'
        else:
            yield f'<th scope="col">{name.capitalize()}</th>'


def _row(row: BoardRow, name: str, places: int, endpoint: str) -> str:
    page = f"{endpoint}/{quote(row.model)}" if ID.fullmatch(row.model) else None
    where = source(row)
    more = (", verified" if row.verified else "") + (", others differ" if row.others else "")
    record = _link(row.record, where, f"{where}: the record of {name}") + escape(more)
    between = f' <span class="interval">{interval(row, places)}</span>' if row.interval else ""
    return (
        f'<tr><td class="rank">{ranks(row)}</td><td class="ties">{escape(row.ties or _NONE)}</td>'
        f'<th scope="row">{_link(page, name)}</th><td class="score">{row.value:.{places}f}{between}</td>'
        f'<td class="parameters">{size_told(row.parameters)}</td><td>{escape(row.family or _NONE)}</td>'
        f"<td>{record}</td></tr>"
    )


def _link(address: str | None, text: str, spoken: str | None = None) -> str:
    """Return a link that opens beside the app; only the text where the address is none of the web."""
    if address is None or not _is_of_web(address):
        return escape(text)
    label = "" if spoken is None else f' aria-label="{escape(spoken)}"'
    return f'<a href="{escape(address)}" target="_blank" rel="noopener"{label}>{escape(text)}</a>'


def _is_of_web(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    # What urlsplit leaves out, a browser may not.
    return parts.scheme in ("http", "https") and bool(parts.netloc) and address.isprintable() and " " not in address


def _span(first: int, last: int, count: int) -> str:
    if count == 1:
        return "1 model"
    return f"{count:,} models" if last - first + 1 == count else f"Models {first:,} to {last:,} of {count:,}"


def _label(board: Board, several: bool) -> str:
    parts = [board.task_id]
    if several:
        parts.append(board.revision or "no revision told")
    if board.settings != STANDARD:
        parts.append(board.settings)
    count = len({row.model for row in board.rows})
    return f"{', '.join(parts)} ({count:,} {'model' if count == 1 else 'models'})"


def _key(board: Board) -> str:
    return json.dumps([board.task_id, board.settings, board.revision])
