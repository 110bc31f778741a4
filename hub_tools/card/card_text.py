"""Lines of a card: rendering our own, and finding places between those of others."""

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from .front_matter import FrontMatter, children

_NEWLINE = re.compile(r"\r\n|\r|\n")
_COMMENT = re.compile(r"#[^\r\n]*")
_COMMENT_LINE = re.compile(r" *#")
# Every version of YAML takes these for strings, once PyYAML has put quotes around words such as "no".
_PLAIN = re.compile(r"[A-Za-z][ -~]*")


class _Dumper(yaml.SafeDumper):
    """No aliases, and quotes wherever two versions of YAML could disagree."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


def _string(dumper: Any, value: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if _PLAIN.fullmatch(value) else '"')


_Dumper.add_representer(str, _string)


def render(value: Any, indent: int, newline: str) -> str:
    r"""Return the lines of a value in block style, one for each scalar.

    >>> render([{"name": "κ", "revision": "12e3", "value": 0.5}], 2, "\n")
    '  - name: "κ"\n    revision: "12e3"\n    value: 0.5\n'
    """
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf)
    return "".join(" " * indent + line + newline for line in text.rstrip("\n").split("\n"))


def line_ending(text: str, at: int) -> str:
    r"""Return the first line ending from ``at`` on; ``\n`` if there is none."""
    found = _NEWLINE.search(text, at)
    return found[0] if found else "\n"


def next_line(text: str, at: int) -> int:
    r"""Return where the next line begins; ``at``, if a line begins there.

    >>> next_line("a\r\nb", 0), next_line("a\r\nb", 3)
    (3, 3)
    """
    if at and text[at - 1] in "\r\n":
        return at
    found = _NEWLINE.search(text, at)
    return found.end() if found else len(text)


def line_start(text: str, at: int) -> int:
    """Return where the line of a character begins."""
    newline = text.rfind("\n", 0, at)
    return max(newline, text.rfind("\r", newline + 1, at)) + 1


def places_after(front: FrontMatter, listed: Any, column: int) -> Iterator[int]:
    """Yield the lines after a block list: behind its last comments, before them, and behind blank lines."""
    text, end = front.text, front.end(listed)
    plain = next_line(text, len(text[:end].rstrip(" \r\n")))
    behind = plain
    while (found := _COMMENT_LINE.match(text, behind, front.closing)) and found.end() - 1 - behind > column:
        behind = next_line(text, found.end())
    # A block scalar that keeps its blank lines owns them.
    yield from dict.fromkeys((behind, plain, next_line(text, end)))


def places_before(front: FrontMatter, at: int) -> Iterator[int]:
    """Yield the line before the comments above a place, and the line of the place itself."""
    line = above = line_start(front.text, at)
    while above > front.start and _COMMENT_LINE.match(front.text, _line_before(front.text, above), above):
        above = _line_before(front.text, above)
    yield from dict.fromkeys((above, line))


def line_of_dash(front: FrontMatter, node: Any, column: int) -> int:
    """Return where the line begins that holds the dash of an entry; all dashes of the list are in this column."""
    line = line_start(front.text, front.begin(node))
    while line > front.start and front.text[line : line + column + 1].strip(" ") != "-":
        line = _line_before(front.text, line)
    return line


def _line_before(text: str, line: int) -> int:
    return line_start(text, line - (2 if text.endswith("\r\n", 0, line) else 1))


def lost_comments(front: FrontMatter, start: int, stop: int, text: str) -> list[str]:
    """Return the comments from start to stop that are not in the text that takes their place."""
    outside, at = [], start
    for leaf in _leaves(front.root):
        begin, end = front.begin(leaf), front.end(leaf)
        if end <= start or begin >= stop:
            continue
        outside.append(front.text[at:begin])
        if leaf.style in ("|", ">"):  # a comment may follow its sign
            outside.append(front.text[begin : next_line(front.text, begin)])
        at = max(at, end)
    outside.append(front.text[at:stop])
    return [comment for piece in outside for comment in _COMMENT.findall(piece) if comment not in text]


def _leaves(node: Any) -> Iterator[Any]:
    """Yield the scalars in the order of the text, each once."""
    waiting, seen = [node], set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            yield node
        else:
            waiting.extend(reversed(list(children(node))))
