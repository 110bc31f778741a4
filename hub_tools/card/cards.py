"""One result into a model card's metadata, without the loss of anything: proved after each edit, or refused.

The Hub's own ``metadata_update`` writes all metadata anew: comments, quotes and nulls are lost, ``no`` becomes
``false``, and results of other people are merged. Here the text of one result is added or exchanged, and then

    metadata before + our result = metadata after      (as the Hub's client reads it, values and types)
    bytes before and behind our lines, body: unchanged  (byte for byte)

is checked on the bytes that are returned. What cannot be proved is refused with a reason, and the card stays as it is.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from synbench.errors import ArgumentError, CardError

from .card_edits import KEY, Edit, alike, edits
from .card_refusals import Reason, reason_of, refusal
from .card_text import lost_comments
from .front_matter import FrontMatter, read

__all__ = ["Reason", "metadata", "reason_of", "with_result"]


def metadata(card: bytes) -> dict[str, Any]:
    r"""Return the metadata of a card as the Hub's client reads it; empty, if there is none.

    Raises:
        CardError: it cannot be read, or readers could differ.

    >>> metadata(b"---\nlicense: mit\n---\n# A model\n"), metadata(b"# A model\n")
    ({'license': 'mit'}, {})
    """
    return read(card).data


def with_result(card: bytes | None, result: dict[str, Any], *, same: Callable[[Any], bool], model_name: str) -> bytes:
    r"""Return a card with a result in its ``model-index``, and everything else byte for byte as it was.

    An equal result stays as it is written, so the second application changes nothing.

    Args:
        card: content of README.md; ``None`` if there is none, which gives a card of metadata alone.
        result: one result: task, dataset, metrics and source, in plain values.
        same: whether an existing result is an earlier one of ours, whose place this one takes.
        model_name: name of the model, where the card has no model-index yet.

    Raises:
        ArgumentError: the result is not made of plain values, or ``same`` does not know it.
        CardError: it could not be proved that nothing else changes; ``reason_of`` tells why in a word.

    >>> ours = {"task": {"type": "t"}, "dataset": {"type": "d", "name": "D"}, "metrics": [{"type": "m", "value": 0.5}]}
    >>> card = b"---\nlicense: mit  # ours\n---\n# A model\n"
    >>> print(with_result(card, ours, same=lambda existing: existing == ours, model_name="A").decode())
    ---
    license: mit  # ours
    model-index:
    - name: A
      results:
      - task:
          type: t
        dataset:
          type: d
          name: D
        metrics:
        - type: m
          value: 0.5
    ---
    # A model
    <BLANKLINE>
    """
    alone = {KEY: [{"name": model_name, "results": [result]}]}
    if not _is_plain(alone) or not same(result):
        raise ArgumentError(
            f"expected a result of strings, finite numbers, lists and dicts that same() knows as ours, got {result!r}."
        )
    try:
        wish = _Wish(result, same, model_name, _results_for_client(alone))
    except CardError as error:
        raise ArgumentError(f"expected a result that the Hub's client can read, got {result!r}.") from error
    try:
        return _granted(card, wish)
    except RecursionError as error:
        raise refusal(Reason.NOT_YAML, "expected metadata of less depth") from error


@dataclass(frozen=True)
class _Wish:
    """What was asked for; ``wanted`` is the result as the Hub's client reads it."""

    result: dict[str, Any]
    same: Callable[[Any], bool]
    name: str
    wanted: list[Any]


def _granted(card: bytes | None, wish: _Wish) -> bytes:
    before = read(card or b"")
    _results_for_client(before.data)
    tried: list[Edit] = []
    for edit in edits(before, wish.result, wish.same, wish.name):
        tried.append(edit)
        made = (before.bom + edit.of(before.text)).encode()
        if _is_proved(before, edit, made, wish):
            return made
    if tried and lost_comments(before, tried[-1].start, tried[-1].stop, tried[-1].text):
        raise refusal(Reason.COMMENT_INSIDE, "somebody has put a comment inside the result that should make room")
    if tried or card is None:
        raise refusal(Reason.NOT_PROVED, "found no place for the result where it surely changes nothing else")
    return card


def _is_proved(before: FrontMatter, edit: Edit, made: bytes, wish: _Wish) -> bool:
    """Read the new card from its bytes, and compare it with the old one and with what it should say."""
    try:
        after = read(made)
        loaded = _results_for_client(after.data)
    except CardError:
        return False
    kept = len(before.text) - edit.stop
    _, *others = _taken_apart(before.data, wish)
    return (
        after.bom == before.bom
        and "\r\n" not in (before.text[at - 1 : at + 1] for at in (edit.start, edit.stop) if at)
        and after.text[: edit.start] == before.text[: edit.start]
        and after.text[len(after.text) - kept :] == before.text[edit.stop :]
        and after.text[after.body :] == before.text[before.body :]
        and not lost_comments(before, edit.start, edit.stop, edit.text)
        and alike(_taken_apart(after.data, wish), [wish.result, *others])
        and all(ours in loaded for ours in wish.wanted)
    )


def _taken_apart(data: dict[Any, Any], wish: _Wish) -> list[Any]:
    """Return our result, all other results, their model, all other models, and all other metadata."""
    model, *models = data.get(KEY) or [{"name": wish.name}]
    results = model.get("results") or []
    ours = [entry for entry in results if wish.same(entry)]
    return [
        ours[0] if len(ours) == 1 else ours,
        [entry for entry in results if not wish.same(entry)],
        {key: value for key, value in model.items() if key != "results"},
        models,
        {key: value for key, value in data.items() if key != KEY},
    ]


def _results_for_client(data: dict[Any, Any]) -> list[Any]:
    """Return the results that the Hub's client reads in metadata.

    Raises:
        CardError: it cannot load the card.
    """
    from huggingface_hub import ModelCardData

    # The client removes double tags in quadratic time; what is in a list of tags cannot trouble it.
    quick: dict[Any, Any] = {"tags": []} if isinstance(data.get("tags"), list) else {}
    try:
        return ModelCardData(**{**data, **quick}, ignore_metadata_errors=False).eval_results or []
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        told = " ".join(str(error).split())[:200]
        raise refusal(
            Reason.CLIENT, f"expected a card that huggingface_hub.ModelCard can load, got one that it refuses ({told})"
        ) from error


def _is_plain(value: Any) -> bool:
    """Tell whether YAML can hold a value in a way that every reader understands."""
    if type(value) is dict:
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    if type(value) is list:
        return all(map(_is_plain, value))
    if type(value) is str:
        return not any("\ud800" <= character <= "\udfff" for character in value)
    return value is None or type(value) in (int, bool) or (type(value) is float and math.isfinite(value))
