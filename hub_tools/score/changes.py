"""What a score changes in a repository: the bytes of at most two files, and the diff that a person says yes to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from hub_tools.card import cards
from synbench.errors import ArgumentError, CardError
from synbench.report import Report

from .eval_results import EVAL_RESULTS_PATH, eval_results_file
from .results import BENCHMARK, is_same_result, model_index_result

README = "README.md"

Place = Literal["model-index", "eval-results"]

PATHS: dict[Place, str] = {"model-index": README, "eval-results": EVAL_RESULTS_PATH}
"""Where each of the two places is."""

_CONTEXT = 3


@dataclass(frozen=True)
class Change:
    """New contents of files of a repository, made from those of one commit.

    Args:
        repo_id: of the model.
        base: hash of the commit that was read.
        before: content by path at that commit; ``None`` where there is no such file.
        after: the new contents, only of the files that differ.
        refused: why a place does not take the score, by the path of its file.
    """

    repo_id: str
    base: str
    before: Mapping[str, bytes | None]
    after: Mapping[str, bytes]
    refused: Mapping[str, str]

    @property
    def empty(self) -> bool:
        """Whether nothing differs."""
        return not self.after

    @property
    def diff(self) -> str:
        """The difference, in unified format; what a terminal would obey is escaped."""
        return "".join(
            difference_of(path, self.before.get(path), content) for path, content in sorted(self.after.items())
        )


def make_change(
    report: Report,
    repo_id: str,
    base: str,
    before: Mapping[str, bytes | None],
    *,
    only: Place | None = None,
    benchmark: str = BENCHMARK,
    source_url: str | None = None,
) -> Change:
    """Return what a report changes in a repository.

    Args:
        report: what is published.
        repo_id: of the model.
        base: hash of the commit that ``before`` was read from.
        before: the contents of ``paths_of(only)`` there; ``None`` for a file that is not there.
        only: one place, instead of both.
        benchmark: id of the benchmark dataset that the results name.
        source_url: page that tells of the numbers.

    Raises:
        ArgumentError: the report has no score to publish; or ``only`` is no place.
        CardError: the one place that was asked for, or each of both, cannot take it.
    """
    after: dict[str, bytes] = {}
    refused: dict[str, str] = {}
    wanted = paths_of(only)
    for path in wanted:
        try:
            made = _made(path, before[path], report, repo_id, benchmark, source_url)
        except CardError as error:
            refused[path] = str(error)
            continue
        if made != before[path]:
            after[path] = made
    if len(refused) == len(wanted):
        raise CardError(" ".join(refused.values()))
    return Change(repo_id, base, {path: before[path] for path in wanted}, after, refused)


def paths_of(only: Place | None) -> list[str]:
    """Return the files of one place, or of both.

    Raises:
        ArgumentError: there is no such place.

    >>> paths_of(None)
    ['README.md', '.eval_results/synbench.yaml']
    """
    if only is None:
        return list(PATHS.values())
    if only not in PATHS:
        raise ArgumentError(f"only must be one of {', '.join(map(repr, PATHS))}, or left out for both, got {only!r}.")
    return [PATHS[only]]


def _made(
    path: str, content: bytes | None, report: Report, repo_id: str, benchmark: str, source_url: str | None
) -> bytes:
    if path == EVAL_RESULTS_PATH:
        return eval_results_file(content, report, benchmark=benchmark, source_url=source_url)
    ours = model_index_result(report, benchmark=benchmark, source_url=source_url)
    name = repo_id.rpartition("/")[2]
    return cards.with_result(content, ours, same=lambda existing: is_same_result(ours, existing), model_name=name)


def difference_of(path: str, before: bytes | None, after: bytes) -> str:
    """Return the difference of a file in unified format, as one hunk from the first to the last line that differs."""
    old, new = _lines(before or b""), _lines(after)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
    most = min(len(old), len(new)) - same
    pairs = zip(reversed(old), reversed(new), strict=False)
    tail = min(most, sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)))
    first = max(same - _CONTEXT, 0)
    shown = min(tail, _CONTEXT)
    old_end, new_end = len(old) - tail, len(new) - tail
    head = f"--- {'/dev/null' if before is None else 'a/' + path}\n+++ b/{path}\n"
    place = f"@@ -{_range(first, old_end + shown)} +{_range(first, new_end + shown)} @@\n"
    body = [
        *_marked(" ", old[first:same]),
        *_marked("-", old[same:old_end]),
        *_marked("+", new[same:new_end]),
        *_marked(" ", old[old_end : old_end + shown]),
    ]
    return head + place + "".join(body)


def _lines(content: bytes) -> list[bytes]:
    """Return the lines with their newlines; carriage returns and the like are part of a line."""
    *whole, rest = content.split(b"\n")
    return [line + b"\n" for line in whole] + [rest] * bool(rest)


def _range(first: int, stop: int) -> str:
    length = stop - first
    return f"{first + 1 if length else first},{length}"


def _marked(sign: str, lines: list[bytes]) -> Iterator[str]:
    for line in lines:
        text = line.removesuffix(b"\n").decode("utf-8", errors="backslashreplace")
        yield sign + "".join(c if c.isprintable() or c == "\t" else _escaped(c) for c in text) + "\n"
        if not line.endswith(b"\n"):
            yield "\\ No newline at end of file\n"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
