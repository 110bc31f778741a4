"""Which models may be written to: an allow-list that is needed, and a deny-list that goes before it.

A line is ``org/model`` or ``org/*``; # begins a comment. A line that is neither is an error, in both lists: what was
meant by it must not be guessed.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from synbench.errors import ArgumentError

from .plans import ID


@dataclass(frozen=True)
class Consent:
    """Who may be written to.

    Args:
        allowed: lines of the allow-list, in lower case: the Hub does not tell names apart by case.
        denied: lines of the deny-list, likewise.
    """

    allowed: frozenset[str]
    denied: frozenset[str] = frozenset()

    def refusal(self, repo_id: str) -> str | None:
        """Return why a model may not be written to, or ``None``.

        >>> consent = Consent(frozenset(["google/*", "me/mine"]), frozenset(["google/vit"]))
        >>> [consent.refusal(name) for name in ("google/ViT", "Google/dino", "me/mine", "me/other")]
        ['denied', None, None, 'not allowed']
        """
        if _named(repo_id, self.denied):
            return "denied"
        return None if _named(repo_id, self.allowed) else "not allowed"


def read_consent(allow: Path | None, deny: Path | None = None) -> Consent:
    """Read both lists.

    Raises:
        ArgumentError: there is no allow-list, it is empty, or a line of either is wrong; the message names it.
    """
    allowed = frozenset() if allow is None else read_lines(allow)
    if not allowed:
        raise ArgumentError(
            f"nothing is written without a list of whom to write to: expected --allow and a file with lines such as "
            f"org/model or org/*, got {'none' if allow is None else f'{str(allow)!r}, which names nobody'}. Name "
            f"models whose owners want scores."
        )
    return Consent(allowed, frozenset() if deny is None else read_lines(deny))


def read_lines(path: Path) -> frozenset[str]:
    """Read one list.

    Raises:
        ArgumentError: it cannot be read, or a line is wrong; the message names it.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentError(f"cannot read the list {str(path)!r}: {error}.") from error
    found = set()
    for number, line in enumerate(lines, 1):
        if word := line.partition("#")[0].strip():
            # A star stands for any model of one owner, and for nothing else.
            if not ID.fullmatch(word.removesuffix("*") + "x" if word.endswith("/*") else word):
                raise ArgumentError(f"line {number} of {str(path)!r}: expected org/model or org/*, got {word!r}.")
            found.add(word.lower())
    return frozenset(found)


def _named(repo_id: str, lines: Collection[str]) -> bool:
    name = repo_id.lower()
    return name in lines or f"{name.partition('/')[0]}/*" in lines
