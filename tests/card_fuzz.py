"""Random cards through ``with_result``, and a check of each edit that shares no code with it.

python -m tests.card_fuzz --cards 20000 --seed 0
"""

import argparse
import logging
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from unittest.mock import patch

import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from hub_tools.card import cards
from synbench.errors import CardError

from .card_examples import NAME, with_value
from .card_maker import OURS, make

BOM = b"\xef\xbb\xbf"


def same(existing):
    """Tell whether a result is ours: of this dataset and config, and with no metric of others."""
    try:
        mine = existing["dataset"]["type"] == "synbench/gm" and existing["dataset"]["config"] == "population-3x8x8"
        return mine and all(metric["type"].startswith("synbench_") for metric in existing["metrics"])
    except (AttributeError, KeyError, TypeError, IndexError):
        return False


def problem(before, after, result, spans=None):
    """Return what is wrong with an edit; ``None`` if nothing is.

    ``spans`` are the bytes that it may take away: an earlier result of ours, an empty value.
    """
    before = before or b""
    if before == after:
        return _wrong_data(before, after, result)
    wrong = _wrong_bytes(before, after, result, spans) or _wrong_data(before, after, result)
    return wrong or _wrong_for_client(before, after, result)


def _wrong_bytes(before, after, result, spans):
    head = _alike(before, after)
    tail = _alike(before[head:][::-1], after[head:][::-1])
    first, last = head, len(before) - tail
    gone, came = before[first:last], after[head : len(after) - tail]
    if gone and spans is not None and not any(start <= first and last <= stop for start, stop in spans):
        return f"bytes taken away: {gone!r}"
    if _comments(before) != _comments(after):
        return f"comment lost: {gone!r} is now {came!r}"
    if before.startswith(BOM) != after.startswith(BOM):
        return "byte order mark"
    keys, leaves = {"model-index", "name", "results"}, [NAME]
    _collect(result, keys, leaves)
    old, new = _lines(before.removeprefix(BOM)), _lines(after.removeprefix(BOM))
    head = _alike(old, new)
    tail = _alike(old[head:][::-1], new[head:][::-1])
    endings = set(re.findall(rb"\r\n|\r|\n", before)) or {b"\n"}
    endings |= {b"\n"} if endings == {b"\r"} else set()  # which cannot close a block
    for line in new[head : len(new) - tail]:
        if not set(re.findall(rb"\r\n|\r|\n", line)) <= endings:
            return f"line ending of {line!r}"
        if line.strip() != b"---" and not _is_ours(line, keys, leaves):
            return f"line that is not ours: {line!r}"
    return None


def _alike(one, other):
    """Return how many items two sequences begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _comments(content):
    return sorted(re.findall(rb"(?:^|[\s\x85])#[^\r\n]*?~(\d+)~", content))


def _lines(content):
    return re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$", content)


def _collect(value, keys, leaves):
    for item in value.values() if isinstance(value, dict) else value:
        _collect(item, keys, leaves) if isinstance(item, dict | list) else leaves.append(item)
    keys.update(value if isinstance(value, dict) else [])


def _is_ours(line, keys, leaves):
    told = re.sub(r"^[\ufeff\s]*(-\s+)*", "", line.decode())
    came = _told(told)
    if came is None:  # braces over several lines: no line can be read alone
        return _words(told) <= set().union(*(_words(str(item)) for item in [*keys, *leaves]))
    return came[0] <= keys and came[1] <= {repr(None), *map(repr, leaves)}


def _words(text):
    return set(re.split(r"[\s,:{}\[\]\"']+", text)) | {""}


@lru_cache(maxsize=10_000)
def _told(line):
    """Return the keys of a line and the texts of its values; ``None`` if it has others."""
    try:
        found = yaml.load(line, Loader=yaml.FullLoader)
    except yaml.YAMLError:
        return None
    if found is None:
        return set(), set()  # blank, or a comment; those are counted
    if not isinstance(found, dict):
        return None
    keys, leaves = set(), []
    _collect(found, keys, leaves)
    return keys, set(map(repr, leaves))


def _block(content):
    match = REGEX_YAML_BLOCK.search(content.decode("utf-8-sig"))
    return (match[2], match.string[match.end() :]) if match else ("", content.decode("utf-8-sig"))


def _parsed(text, loaders):
    for loader in loaders:
        try:
            return yaml.load(text, Loader=loader) or {}
        except yaml.YAMLError:
            continue
    raise AssertionError(f"neither loader reads {text!r}")


def _wrong_data(before, after, result):
    """Compare what two loaders read: one with types, and one that leaves every scalar a string."""
    (old, old_body), (new, new_body) = _block(before), _block(after)
    if old_body != new_body:
        return "body"
    typed = [_parsed(text, (yaml.CFullLoader, yaml.FullLoader)) for text in (old, new)]
    # The loader of strings cannot read what contains itself.
    loops = "..." in repr(typed[0])
    raw = typed if loops else [_parsed(text, (yaml.CBaseLoader, yaml.BaseLoader)) for text in (old, new)]
    listed = typed[1].get("model-index")
    if not isinstance(listed, list) or len(listed) != 1:
        return f"model-index is {listed!r}"
    theirs = (typed[0].get("model-index") or [{}])[0].get("results") or []
    mine = [place for place, entry in enumerate(listed[0]["results"]) if same(entry)]
    was = [place for place, entry in enumerate(theirs) if same(entry)]
    if len(mine) != 1 or len(was) > 1:
        return f"ours is there {len(mine)} times, and was {len(was)} times"
    if _ordered(listed[0]["results"][mine[0]]) != _ordered(result):
        return "our result reads otherwise"
    if was and before != after and _ordered(theirs[was[0]]) == _ordered(result):
        return "an equal result was there"
    if was and was != mine:
        return "our result has moved"
    for one, other in (typed, raw):
        lists = [side.get("model-index") for side in (one, other)]
        rest = [{key: item for key, item in side.items() if key != "model-index"} for side in (one, other)]
        if repr(rest[0]) != repr(rest[1]):
            return f"other metadata: {rest[0]!r} is now {rest[1]!r}"
        if not isinstance(lists[0], list) or not lists[0]:
            if (
                list(lists[1][0]) != ["name", "results"]
                or lists[1][0]["name"] != NAME
                or len(lists[1][0]["results"]) != 1
            ):
                return f"new model-index: {lists[1]!r}"
            continue
        models = [dict(side[0]) for side in lists]
        results = [model["results"] or [] for model in models]
        for model in models:
            model["results"] = ()
        kept = [
            [entry for place, entry in enumerate(entries) if place not in ours]
            for entries, ours in zip(results, (was, mine), strict=True)
        ]
        if len(lists[0]) != 1 or repr(models[0]) != repr(models[1]) or repr(kept[0]) != repr(kept[1]):
            return f"other results: {lists[0]!r} is now {lists[1]!r}"
    return None


def _ordered(value):
    """Return the text of a value, with the keys of each dict in order."""
    if isinstance(value, dict):
        return repr([(key, _ordered(value[key])) for key in sorted(value)])
    return repr([_ordered(item) for item in value]) if isinstance(value, list) else repr(value)


def _wrong_for_client(before, after, result):
    """Load both with the Hub's own client."""
    loaded = [_loaded(content) for content in (before, after)]
    if loaded[0].text != loaded[1].text:
        return "body, to the client"
    ours, others = [], []
    for card in loaded:
        is_ours = [
            r.dataset_type == "synbench/gm"
            and str(r.metric_type).startswith("synbench_")
            and r.dataset_config == "population-3x8x8"
            for r in card.data.eval_results or []
        ]
        ours.append([r for r, mine in zip(card.data.eval_results or [], is_ours, strict=True) if mine])
        others.append([r for r, mine in zip(card.data.eval_results or [], is_ours, strict=True) if not mine])
    if repr(others[0]) != repr(others[1]):
        return "other results, to the client"
    value, url = result["metrics"][0]["value"], result["source"]["url"]
    if not any(r.metric_value == value and r.source_url == url and r.dataset_revision == "v1" for r in ours[1]):
        return "our result is not there, to the client"
    return None


@lru_cache(maxsize=8)
def _loaded(content):
    return ModelCard(content.decode("utf-8-sig"))


@dataclass
class Outcome:
    """What became of some cards."""

    edits: int = 0
    unchanged: int = 0
    refused: Counter = field(default_factory=Counter)
    needless: list = field(default_factory=list)  # refused, though nothing about the card is hard
    wrong: list = field(default_factory=list)  # (seed, what)


def try_card(seed, outcome, with_result):
    """Edit one card, then once more, then with another value; note what came of it."""
    made = make(seed)
    try:
        after = with_result(made.card, OURS, same=same, model_name=NAME)
    except CardError as error:
        reason = cards.reason_of(error)
        outcome.refused[str(reason)] += 1
        if not made.hard:
            outcome.needless.append((seed, str(error)))
        return
    outcome.edits += after != made.card
    outcome.unchanged += after == made.card
    found = problem(made.card, after, OURS, made.spans)
    if found is None:
        found = _wrong_again(after, with_result, "mutated" in made.hard)
    if found:
        outcome.wrong.append((seed, found))


def _wrong_again(after, with_result, mutated):
    if with_result(after, OURS, same=same, model_name=NAME) != after:
        return "the second application changes something"
    changed = with_value(0.1234)
    try:
        later = with_result(after, changed, same=same, model_name=NAME)
    except CardError as error:
        # A mutation may have put a key of ours there twice, and so made room for all of it or nothing.
        return None if mutated and cards.reason_of(error) is cards.Reason.COMMENT_INSIDE else f"another value: {error}"
    gone = [line for line, other in zip(_lines(after), _lines(later), strict=True) if line != other]
    if len({line.strip() for line in gone}) != 1:  # a card may have that line twice
        return f"another value changes {len(gone)} lines"
    found = problem(after, later, changed)
    if found:
        return f"another value: {found}"
    if with_result(later, OURS, same=same, model_name=NAME) != after:
        return "another value, and back, is not the same"
    return None


def try_cards(seeds, module=cards):
    """Edit many cards, by this module or a mutant of it."""
    outcome = Outcome()
    # A card that was made is read again by the next call.
    with patch.object(module, "read", lru_cache(maxsize=8)(module.read)):
        for seed in seeds:
            try:
                try_card(seed, outcome, module.with_result)
            except Exception as error:  # noqa: BLE001 - a crash is as wrong as a wrong edit
                outcome.wrong.append((seed, f"{type(error).__name__}: {error}"))
    return outcome


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cards", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0, help="number of the first card")
    asked = parser.parse_args()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    start = time.perf_counter()
    outcome = try_cards(range(asked.seed, asked.seed + asked.cards))
    rows = [
        ("cards", asked.cards),
        ("edited", outcome.edits),
        ("unchanged", outcome.unchanged),
        ("refused", outcome.refused.total()),
    ]
    rows += [(f"  {reason}", count) for reason, count in outcome.refused.most_common()]
    rows += [
        ("refused without need", len(outcome.needless)),
        ("wrong edits", len(outcome.wrong)),
        ("seconds", round(time.perf_counter() - start)),
    ]
    for name, count in rows:
        sys.stdout.write(f"{name:55}{count:8,}\n")
    for seed, what in [*outcome.wrong[:10], *outcome.needless[:10]]:
        sys.stdout.write(f"{seed}: {what[:300]}\n    {(make(seed).card or b'')[:1000]!r}\n")
    return bool(outcome.wrong)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    sys.exit(main())
