"""The sweep: models that changed since the last one go to the queue, for what no webhook watches or has missed.

There is no webhook for all of the Hub. A list of an author's models, the last changed first, is read back to the moment
that the sweep before it had seen. Moments are the server's own, as it wrote them, so the clock of this machine plays no
part; the lists overlap by an hour, since a server of many machines may show a change late. What is known already is not
queued again, so a sweep can be cut off, or run twice.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub_tools.client.listing import list_models

if TYPE_CHECKING:
    from hub_tools.client.hub import Hub

    from .waiting import Waiting

OVERLAP = timedelta(hours=1)

_EXPAND = ("sha", "lastModified", "private", "gated", "disabled")


@dataclass(frozen=True)
class Swept:
    """What a sweep found.

    Args:
        seen: models of the lists that are allowed.
        queued: those among them that changed.
    """

    seen: int
    queued: int


def sweep(
    hub: "Hub",
    waiting: "Waiting",
    authors: Iterable[str],
    refusal: Callable[[str], str | None],
    *,
    tag: str | None = None,
) -> Swept:
    """Queue the allowed models that changed since the last sweep.

    Args:
        hub: the client.
        waiting: the queue.
        authors: users and organizations whose models are listed.
        refusal: tells of a model's id why it must not be scored, or ``None``.
        tag: only models with this tag, such as ``image-feature-extraction``.

    Raises:
        HubError: the Hub cannot be reached, or refuses; what was queued until then stays.
    """
    seen = queued = 0
    for author in sorted(set(authors)):
        scope = f"{author} {tag or ''}".strip()
        listed = list_models(hub, _EXPAND, author=author, filter=tag, sort="lastModified")
        moment, changed = since(listed, waiting.moment(scope))
        for model in changed:
            if _fit(model) and refusal(model["id"]) is None:
                seen += 1
                queued += waiting.add(model["id"], model["sha"])
        # Last, so that a sweep that is cut off is done again from where it began.
        if moment is not None:
            waiting.keep_moment(scope, moment)
    return Swept(seen, queued)


def authors_of(repos: Path) -> set[str]:
    """Return the authors that a list of models names, as they are written there: a list is asked for by that."""
    lines = (line.partition("#")[0].strip() for line in repos.read_text(encoding="utf-8-sig").splitlines())
    return {line.partition("/")[0] for line in lines if line}


def since(listed: Iterable[dict[str, Any]], moment: str | None) -> tuple[str | None, list[dict[str, Any]]]:
    """Return how far a list goes, and its models that are not older than a moment, less the overlap.

    Args:
        listed: models with ``lastModified``, the last changed first; it is read no further than needed.
        moment: of the last sweep, as the server wrote it; ``None`` for all of the list.

    >>> models = [{"lastModified": f"2026-08-0{day}T00:00:00.000Z"} for day in (3, 2, 1)]
    >>> moment, changed = since(models, "2026-08-02T00:30:00.000Z")
    >>> moment, len(changed)
    ('2026-08-03T00:00:00.000Z', 2)
    """
    known = _time(moment)
    until = None if known is None else known - OVERLAP
    newest, newest_text, found = known, moment, []
    for model in listed:
        text = model.get("lastModified")
        when = _time(text)
        if when is not None:
            if until is not None and when < until:
                break
            if newest is None or when > newest:
                newest, newest_text = when, text
        found.append(model)
    return newest_text, found


def _time(text: Any) -> datetime | None:
    try:
        when = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def _fit(model: dict[str, Any]) -> bool:
    """Tell whether a listed model may be scored, as far as the list tells."""
    hidden = model.get("private") or model.get("gated") or model.get("disabled")
    return not hidden and isinstance(model.get("sha"), str)
