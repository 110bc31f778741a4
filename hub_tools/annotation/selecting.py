"""From the Hub to the models of a plan: one request a page of a listing, or one a model of a list.

What can be told from there to be no use is left out, with the reason counted: what is not public, what has no
safetensors where they are looked for, what needs code of its own, what is too large.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub_tools.client import listing
from synbench.errors import ArgumentError, HubError

from .plans import COMMIT, ID, PlannedModel

FIELDS = ("sha", "private", "gated", "disabled", "safetensors", "siblings", "tags", "downloads")
"""What is asked of each model, by the names of the Hub's API."""

DEFAULT_TASK = "image-feature-extraction"
"""What is listed if nothing else is asked for."""

_WEIGHTS = {"model.safetensors", "model.safetensors.index.json"}
_BITS = re.compile(r"\d+")
_FAILED = "cannot be read"


@dataclass(frozen=True)
class Query:
    """Which models are listed.

    Args:
        tasks: pipeline tags; models of any of them.
        tags: of models that have all of them.
        author: user or organisation.
        search: a part of the id.
        limit: at most so many in the plan, the most downloaded first.
        max_bytes: of safetensors.
        max_parameters: in them.
        min_downloads: in the last month.
    """

    tasks: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    author: str | None = None
    search: str | None = None
    limit: int | None = None
    max_bytes: int | None = None
    max_parameters: int | None = None
    min_downloads: int | None = None

    def told(self) -> dict[str, Any]:
        """Return what is asked, as a plan tells it."""
        plain = {"tasks": list(self.tasks), "tags": list(self.tags)}
        return {name: value for name, value in {**vars(self), **plain}.items() if value not in (None, [])}


@dataclass(frozen=True)
class Selected:
    """Models of a plan, and how many were left out, by reason."""

    models: tuple[PlannedModel, ...]
    left_out: Mapping[str, int]


def from_listing(hub: Any, query: Query) -> Selected:
    """List models.

    Args:
        hub: the client.
        query: which.

    Raises:
        HubError: the Hub cannot be reached, or refuses.
    """
    narrow = query.tasks or query.tags or query.author or query.search
    tasks: Sequence[str | None] = query.tasks or ([None] if narrow else [DEFAULT_TASK])
    found: dict[str, PlannedModel] = {}
    left_out: dict[str, str] = {}
    for task in tasks:
        asked = {
            "pipeline_tag": task,
            "filter": list(query.tags) or None,
            "author": query.author,
            "search": query.search,
            "sort": "downloads",
        }
        taken = 0
        for told in listing.list_models(hub, FIELDS, **asked):
            taken += _take(told, query, found, left_out)
            if taken == query.limit:
                break
    models = sorted(found.values(), key=lambda model: (-(model.downloads or 0), model.id))
    return Selected(tuple(models[: query.limit]), dict(sorted(Counter(left_out.values()).items())))


def from_ids(hub: Any, ids: Sequence[str], query: Query | None = None) -> Selected:
    """Look models up one by one.

    Args:
        hub: the client.
        ids: of models.
        query: its sizes; the rest of it does not count.

    Raises:
        HubError: the Hub cannot be reached; a model that is not there is left out.
    """
    found: dict[str, PlannedModel] = {}
    left_out: dict[str, str] = {}
    for repo_id in ids:
        try:
            told = listing.get_model(hub, repo_id, FIELDS)
        except HubError as error:
            if _unreachable(error):
                raise
            left_out[repo_id.lower()] = _FAILED
            continue
        # The id that the Hub tells: the one that was asked for may be an old name.
        _take(told, query or Query(), found, left_out)
    return Selected(tuple(found.values()), dict(sorted(Counter(left_out.values()).items())))


def read_ids(path: Path) -> list[str]:
    """Read a file with the id of a model on each line; # begins a comment.

    Raises:
        ArgumentError: it cannot be read, or a line is no id; the message names it.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentError(f"cannot read the list of models {str(path)!r}: {error}.") from error
    found = []
    for number, line in enumerate(lines, 1):
        if word := line.partition("#")[0].strip():
            if not ID.fullmatch(word):
                raise ArgumentError(
                    f"line {number} of {str(path)!r}: expected the id of a model on the Hub, such as org/model, got "
                    f"{word!r}."
                )
            found.append(word)
    return list(dict.fromkeys(found))


def _take(told: Mapping[str, Any], query: Query, found: dict[str, PlannedModel], left_out: dict[str, str]) -> int:
    """Note a model as found or left out; return 1 if it is found."""
    key = str(told["id"]).lower()
    if (reason := unfit(told, query)) is not None:
        left_out[key] = reason
        return 0
    found[key] = PlannedModel(told["id"], told["sha"], *sizes(told), _count(told.get("downloads")))
    return 1


def unfit(told: Mapping[str, Any], query: Query) -> str | None:
    """Return why a model has no place in a plan, or ``None``.

    Args:
        told: what the Hub says of it, see ``FIELDS``.
        query: what is asked for.

    >>> unfit({"id": "org/model", "gated": "auto"}, Query())
    'gated'
    """
    for reason, holds in _reasons(told, query):
        if holds:
            return reason
    return None


def _reasons(told: Mapping[str, Any], query: Query) -> Iterator[tuple[str, bool]]:
    yield "private", bool(told.get("private"))
    yield "gated", bool(told.get("gated"))
    yield "disabled", bool(told.get("disabled"))
    yield "no commit told", not COMMIT.fullmatch(str(told.get("sha")))
    yield "id that is not known", not ID.fullmatch(str(told.get("id")))
    siblings = told.get("siblings")
    if isinstance(siblings, list):
        files = {file.get("rfilename") for file in siblings if isinstance(file, dict)}
        yield "no model.safetensors", not files & _WEIGHTS
        yield "no config.json", "config.json" not in files
    else:
        yield "no model.safetensors", not isinstance(told.get("safetensors"), dict)
    yield "code of its own", "custom_code" in (told.get("tags") or [])
    downloads = _count(told.get("downloads"))
    if query.min_downloads is not None:
        yield "too few downloads", (downloads or 0) < query.min_downloads
    for most, size in ((query.max_parameters, sizes(told)[0]), (query.max_bytes, sizes(told)[1])):
        if most is not None:
            yield "size not told", size is None
            yield "too large", size is not None and size > most


def sizes(told: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return parameters and bytes of the weights, as the Hub tells them by type of number."""
    safetensors = told.get("safetensors")
    by_type = safetensors.get("parameters") if isinstance(safetensors, dict) else None
    if not isinstance(by_type, dict) or not by_type:
        return None, None
    counts = {str(kind): _count(count) or 0 for kind, count in by_type.items()}
    return sum(counts.values()), sum(count * _width(kind) for kind, count in counts.items())


def _width(kind: str) -> int:
    """Return the bytes of a number of a type such as BF16, F8_E4M3, I64 or BOOL."""
    bits = _BITS.search(kind)
    return 1 if bits is None else max(int(bits[0]) // 8, 1)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _unreachable(error: HubError) -> bool:
    from hub_tools.client.failures import classify

    return classify(error.__cause__ if isinstance(error.__cause__, Exception) else error).kind != "permanent"
