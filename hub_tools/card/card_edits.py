"""Where one result may go in a card's metadata, and what the card would then be; ``cards`` proves it.

Each edit is one stretch of the text. What is added are whole lines with the line ending of the line before them, or the
text of a result that takes an older one's place.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from .card_refusals import Reason, refusal
from .card_text import line_ending, line_of_dash, next_line, places_after, places_before, render
from .front_matter import FrontMatter

KEY = "model-index"

_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True)
class Edit:
    """``text`` takes the place of what stands from ``start`` to ``stop``."""

    start: int
    stop: int
    text: str

    def of(self, text: str) -> str:
        """Return the text after the edit."""
        return text[: self.start] + self.text + text[self.stop :]


def edits(front: FrontMatter, result: dict[str, Any], same: Callable[[Any], bool], name: str) -> Iterator[Edit]:
    """Yield what may be done, the best first; nothing, if an equal result is there already.

    Raises:
        CardError: the card has a shape that is not edited.
    """
    root, text = front.root, front.text
    index = [{"name": name, "results": [result]}]
    if not front.found:
        first = text.find("\n")  # a lone \r closes no block
        newline = "\r\n" if text[:first].endswith("\r") and first > 0 else "\n"
        yield Edit(0, 0, "".join(["---", newline, render({KEY: index}, 0, newline), "---", newline]))
        return
    if root is None:
        if text[front.start : front.stop].strip():
            raise refusal(
                Reason.NOT_METADATA,
                "expected keys between the first two rules (---), got only comments, which may be headings",
                "Put a key there, such as license",
            )
        yield _inserted(front, front.closing, {KEY: index}, 0)
        return
    _check_marks(front, front.begin(root), front.begin(root))
    if not root.value and _span(front, root).replace(" ", "") == "{}":
        column = root.start_mark.column
        lines = render({KEY: index}, column, line_ending(text, front.begin(root)))
        yield Edit(front.begin(root), front.end(root), lines.strip(" \r\n"))
        return
    _check_block(root, "the metadata")
    found = [pair for pair in root.value if pair[0].value == KEY]
    if not found:
        column, last = root.start_mark.column, front.begin(root.value[-1][0])
        # A block scalar without its last newline would get one; so the second choice is before the last key.
        for place in dict.fromkeys((front.closing, *places_before(front, last))):
            yield _inserted(front, place, {KEY: index}, column)
        return
    key, models = found[0]
    _check_marks(front, front.begin(key), _end_of_value(front, root, key))
    if _is_empty(front, models):
        yield _filled(front, key, models, index)
        return
    _check_block(models, f"the list {KEY}")
    if not isinstance(models, yaml.SequenceNode) or len(models.value) != 1:
        raise refusal(
            Reason.NOT_ONE_MODEL,
            f"expected a {KEY} that is a list of one model, got another one",
            "Keep one model in it",
        )
    yield from _edits_of_model(front, models.value[0], result, same)


def _edits_of_model(
    front: FrontMatter, model: Any, result: dict[str, Any], same: Callable[[Any], bool]
) -> Iterator[Edit]:
    _check_block(model, f"the model in {KEY}")
    key, listed = next(pair for pair in model.value if pair[0].value == "results")
    if _is_empty(front, listed):
        yield _filled(front, key, listed, [result])
        return
    _check_block(listed, "the list of results")
    if not isinstance(listed, yaml.SequenceNode):
        raise refusal(Reason.NOT_ONE_MODEL, f"expected a list of results in {KEY}, got another value")
    results = front.data[KEY][0]["results"]
    ours = [place for place, existing in enumerate(results) if same(existing)]
    if len(ours) > 1:
        raise refusal(
            Reason.SEVERAL_OF_OURS,
            f"expected at most one result of these settings, got {len(ours)}",
            "Remove all but one of them",
        )
    if ours:
        place = ours[0]
        if not alike(results[place], result):
            yield from _replaced(front, listed.value[place], results[place], result)
        return
    column = listed.start_mark.column
    for position in places_after(front, listed, column):
        yield _inserted(front, position, [result], column)
    # The last value is a block scalar without its last newline: so before the last result.
    for position in places_before(front, line_of_dash(front, listed.value[-1], column)):
        yield _inserted(front, position, [result], column)


def alike(one: Any, other: Any, _seen: set[tuple[int, int]] | None = None) -> bool:
    """Tell whether two values that YAML can hold are equal and of equal types all through; NaN equals NaN.

    >>> alike({"a": [1]}, {"a": [1]}), alike(1, True), alike(1, 1.0), alike([float("nan")], [float("nan")])
    (True, False, False, True)
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return repr(one) == repr(other) or one == other
    if not isinstance(one, dict | list | tuple):
        return bool(one == other)
    # Aliases can make a small text a huge tree, or an endless one: each pair is looked at once.
    seen = set() if _seen is None else _seen
    if (id(one), id(other)) in seen:
        return True
    seen.add((id(one), id(other)))
    if isinstance(one, dict):
        mine, theirs = ({repr(key): value for key, value in side.items()} for side in (one, other))
        return mine.keys() == theirs.keys() and all(alike(mine[key], theirs[key], seen) for key in mine)
    return len(one) == len(other) and all(alike(a, b, seen) for a, b in zip(one, other, strict=True))


def _check_marks(front: FrontMatter, first: int, last: int) -> None:
    """Refuse anchors, aliases and tags from first to last."""
    if any(first <= at <= last for at in front.marked):
        raise refusal(
            Reason.ANCHORS, f"expected {KEY} and what is around it without anchors, aliases and tags, got one"
        )


def _check_block(node: Any, what: str) -> None:
    """Refuse flow style, and keys that stand twice."""
    if isinstance(node, yaml.CollectionNode) and node.flow_style:
        raise refusal(
            Reason.FLOW_STYLE, f"expected {what} in block style, got braces or brackets", "Write it on lines of its own"
        )
    if isinstance(node, yaml.MappingNode):
        keys = [key.value if isinstance(key, yaml.ScalarNode) else id(key) for key, _ in node.value]
        if len(set(keys)) < len(keys):
            raise refusal(
                Reason.DUPLICATE_KEYS, f"expected each key of {what} once, got one twice", "Remove one of them"
            )


def _end_of_value(front: FrontMatter, mapping: Any, key: Any) -> int:
    """Return where the next key begins, or the YAML ends."""
    begins = (front.begin(other) for other, _ in mapping.value)
    return min((at for at in begins if at > front.begin(key)), default=front.stop + 1) - 1


def _span(front: FrontMatter, node: Any) -> str:
    return front.text[front.begin(node) : front.end(node)]


def _is_empty(front: FrontMatter, node: Any) -> bool:
    """Tell whether a value is null, or an empty list on one line."""
    if isinstance(node, yaml.ScalarNode):
        return bool(node.tag == _NULL)
    return isinstance(node, yaml.SequenceNode) and not node.value and _span(front, node).replace(" ", "") == "[]"


def _inserted(front: FrontMatter, at: int, value: Any, column: int) -> Edit:
    newline = "\r\n" if front.text.endswith("\r\n", 0, at) else front.text[at - 1]
    return Edit(at, at, render(value, column, newline))


def _filled(front: FrontMatter, key: Any, empty: Any, value: Any) -> Edit:
    """Put lines after ``key: []`` or ``key: null``, which becomes ``key:``; a comment on the line stays."""
    text, start, stop = front.text, front.begin(empty), front.end(empty)
    after = next_line(text, stop)
    rest = text[stop:after]
    if not rest.strip():
        start = len(text[:start].rstrip(" "))
        rest = rest.lstrip(" ")
    return Edit(start, after, rest + render(value, key.start_mark.column, line_ending(text, stop)))


def _replaced(front: FrontMatter, node: Any, existing: Any, result: dict[str, Any]) -> Iterator[Edit]:
    """Yield the exchange of single values, where the rest is alike; then that of the whole result."""
    text = front.text
    if changes := _changed_leaves(front, node, existing, result):
        start, stop, new = changes[0][0], changes[-1][1], ""
        for (_, end, value), (following, _, _) in zip(changes, [*changes[1:], (stop, 0, "")], strict=True):
            new += value + text[end:following]
        yield Edit(start, stop, new)
    start = front.begin(node)
    stop = len(text[: front.end(node)].rstrip(" \r\n"))
    lines = render(result, node.start_mark.column, line_ending(text, start))
    yield Edit(start, stop, lines.strip(" \r\n"))


def _changed_leaves(front: FrontMatter, node: Any, existing: Any, result: Any) -> list[tuple[int, int, str]] | None:
    """Return begin, end and new text of the scalars that differ, in order; ``None`` if more than scalars does."""
    if alike(existing, result):
        return []
    if isinstance(node, yaml.ScalarNode) and not isinstance(result, dict | list):
        value = render([result], 0, "")[2:]
        begin, end = front.begin(node), front.end(node)
        return [(begin, end, value if begin < end else " " + value)]
    pairs: list[tuple[Any, Any, Any]] = []
    if isinstance(node, yaml.MappingNode) and isinstance(result, dict) and existing.keys() == result.keys():
        pairs = [(value, existing[key.value], result[key.value]) for key, value in node.value if key.value in result]
    if isinstance(node, yaml.SequenceNode) and isinstance(result, list) and len(existing) == len(result):
        pairs = list(zip(node.value, existing, result, strict=True))
    parts = [_changed_leaves(front, *pair) for pair in pairs]
    return None if not parts or None in parts else [change for part in parts for change in part or []]
