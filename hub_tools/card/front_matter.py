r"""The metadata at the head of a model card: where it stands, and what it says, as the Hub reads it.

    byte order mark?  blank lines?  "---" newline  YAML  newline "---" blanks newline  body

The Hub finds it by one regular expression, and its own client reads it by PyYAML's safe loader. Both are used here as
they are, and what another reader could take in another way is refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from synbench.errors import CardError

from .card_refusals import Reason, refusal

CARD_LIMIT = 5_000_000
"""Largest card that is read, in bytes."""

METADATA_LIMIT = 500_000
"""Longest metadata that is read, in characters: a safe loader reads about a million in ten seconds."""

NUMBER_LIMIT = 100
"""Longest number: base 60 and long integers take quadratic time."""

# The Hub's server and its client share this expression (huggingface_hub.repocard.REGEX_YAML_BLOCK).
_BLOCK = re.compile(r"^(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(\r\n|\n|$))")

_LEADING = re.compile("[\\s\ufeff]*")

_DISPUTED = frozenset("\x1c\x1d\x1e\x1f\x85\ufeff")
"""White space to the client (Python) but not to the server (JavaScript), or the other way round."""

_KEY = re.compile(r"""["']?[A-Za-z_][\w-]*["']?[ \t]*:(\s|$)""")

# Everything that a safe loader raises on text that it cannot read: some constructors let plain errors through.
_UNREADABLE = (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True)
class FrontMatter:
    """A card, taken apart. Positions count characters of ``text``.

    Attributes:
        bom: the byte order mark, or nothing.
        text: the card without it.
        found: whether there is metadata, be it empty; all positions are 0 if not.
        start: where the YAML begins.
        stop: where it ends, before its last newline.
        closing: where the rule that closes it begins.
        body: where the body begins.
        root: PyYAML's node of all metadata; ``None`` if there is none.
        data: the metadata.
        marked: where anchors, aliases and tags are.
    """

    bom: str
    text: str
    found: bool
    start: int
    stop: int
    closing: int
    body: int
    root: Any
    data: dict[Any, Any]
    marked: tuple[int, ...]

    def begin(self, node: Any) -> int:
        """Return where a node begins."""
        return self.start + int(node.start_mark.index)

    def end(self, node: Any) -> int:
        """Return where a node ends; a block scalar ends at the start of the line after it, or with the YAML.

        PyYAML ends a block collection where the next thing begins; what counts is its last leaf.
        """
        if isinstance(node, yaml.ScalarNode) or node.flow_style:
            return self.start + int(node.end_mark.index)
        return max(self.end(child) for child in children(node))


def read(card: bytes) -> FrontMatter:
    r"""Take a card apart.

    Raises:
        CardError: it cannot be read, or two readers could take it in different ways.

    >>> front = read(b"---\nlicense: mit\n---\n# A model\n")
    >>> front.data, front.text[front.body :]
    ({'license': 'mit'}, '# A model\n')
    """
    if len(card) > CARD_LIMIT:
        raise refusal(Reason.TOO_LARGE, f"expected a card of at most {CARD_LIMIT:,} bytes, got {len(card):,}")
    try:
        text = card.decode("utf-8")
    except UnicodeDecodeError as error:
        raise refusal(
            Reason.NOT_UTF8, f"expected a card in UTF-8, got byte 0x{card[error.start]:02x} at {error.start}"
        ) from error
    bom, text = ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)
    leading = next(_LEADING.finditer(text))[0]
    if not _DISPUTED.isdisjoint(leading) and text.startswith(("---\r", "---\n"), len(leading)):
        raise refusal(
            Reason.DISPUTED_START,
            "expected spaces and newlines before the first ---, got characters that only some readers skip",
        )
    match = _BLOCK.match(text)
    if match is None:
        _check_unread(text)
        return FrontMatter(bom, text, False, 0, 0, 0, 0, None, {}, ())
    (start, stop), (_, body) = match.span(2), match.span(3)
    if stop - start > METADATA_LIMIT:
        raise refusal(
            Reason.TOO_LARGE, f"expected metadata of at most {METADATA_LIMIT:,} characters, got {stop - start:,}"
        )
    root, data, marked = _load(match[2])
    closing = text.index("---", stop)
    return FrontMatter(bom, text, True, start, stop, closing, body, root, data, tuple(start + at for at in marked))


def children(node: Any) -> Iterator[Any]:
    """Yield the nodes that a collection is made of, keys before their values."""
    for child in node.value:
        if isinstance(child, tuple):
            yield from child
        else:
            yield child


class _Loader(yaml.SafeLoader):
    """The safe loader, which also notes what reaches beyond its place in the text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.marked: list[int] = []
        self.markers = False

    def get_event(self) -> Any:
        event = super().get_event()
        if isinstance(event, yaml.DocumentStartEvent | yaml.DocumentEndEvent):
            self.markers |= event.explicit
        elif isinstance(event, yaml.NodeEvent) and (event.anchor or getattr(event, "tag", None)):
            self.marked.append(event.start_mark.index)
        return event


def _load(text: str) -> tuple[Any, dict[Any, Any], list[int]]:
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if loader.markers:
            raise refusal(Reason.DOCUMENT_MARKERS, "expected metadata without document markers (--- and ...), got some")
        if root is None:
            return None, {}, []
        _check_scalars(root)
        data = loader.construct_document(root)
    except CardError:
        raise
    except _UNREADABLE as error:
        told = " ".join(str(error).split())[:200]
        raise refusal(Reason.NOT_YAML, f"expected metadata in YAML, got what cannot be read ({told})") from error
    if not isinstance(data, dict):
        raise refusal(
            Reason.NOT_METADATA,
            f"expected keys and values between the first two rules (---), got one {type(data).__name__}; the Hub would "
            f"read that as metadata",
            "Put an empty line and some text before the first rule",
        )
    return root, data, loader.marked


def _check_scalars(root: Any) -> None:
    """Refuse what takes a loader more than linear time: merge keys multiply, and so do long numbers."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if not isinstance(node, yaml.ScalarNode):
            waiting.extend(children(node))
        elif node.tag == "tag:yaml.org,2002:merge":
            raise refusal(Reason.MERGE_KEYS, "expected metadata without merge keys (<<), got one")
        elif node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float") and len(node.value) > NUMBER_LIMIT:
            raise refusal(Reason.NOT_YAML, f"expected numbers of at most {NUMBER_LIMIT} characters, got one longer")


def _check_unread(text: str) -> None:
    """Refuse a card whose author meant metadata, where the Hub sees none: a rule, then what looks like a key."""
    opening, *lines = text.lstrip()[:METADATA_LIMIT].splitlines() or [""]
    first = next((line for line in map(str.strip, lines) if line and not line.startswith("#")), "")
    if opening.rstrip() == "---" and _KEY.match(first):
        raise refusal(
            Reason.UNREAD_BLOCK,
            "this card starts with --- and what looks like metadata, but the Hub reads none: there are blanks after "
            "the opening ---, or no line of --- closes it",
            "Repair the rules first",
        )
