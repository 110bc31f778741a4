"""Model cards before and after an edit, and cards that are refused. A pilcrow (¶) is a newline."""

import copy
import re

from hub_tools.card.card_refusals import Reason

from .card_maker import OURS

NAME = "the-model"
ENTRY = """\
- task:
    type: image-feature-extraction
    name: Image Feature Extraction
  dataset:
    type: synbench/gm
    name: SynBench mixture
    config: population-3x8x8
    revision: v1
  metrics:
  - type: synbench_score
    value: 0.6543
    name: "SynBench-Score (ε = 0)"
    args:
      epsilon: 0.0
  source:
    name: SynBench 0.1
    url: https://huggingface.co/datasets/synbench/gm#about"""
OLD = ENTRY.replace("0.6543", "0.25")
INDEX = f"model-index:\n- name: {NAME}\n  results:\n  <entry>"


def with_value(value):
    """Return our result with another value."""
    changed = copy.deepcopy(OURS)
    changed["metrics"][0]["value"] = value
    return changed


def filled(template):
    """Return a card: <entry>, <old> and <index> stand for our lines, indented as they are."""

    def lines(found):
        return found[1] + {"entry": ENTRY, "old": OLD}[found[2]].replace("\n", "\n" + found[1])

    text = template.replace("¶", "\n")
    text = re.sub("( *)<index>", lambda found: found[1] + INDEX.replace("\n", "\n" + found[1]), text)
    return re.sub("( *)<(entry|old)>", lines, text).encode()


def model(text):
    """Return a card with a model whose results are this."""
    return f"---¶model-index:¶- name: x¶  results:{text}¶---¶"


_OTHER = "- task: {type: a}¶    dataset: {type: b, name: c}¶    metrics: [{type: d, value: 1}]"
_WIDE = _OTHER.replace("- ", "-   ").replace("    d", "        d").replace("    m", "        m")
_HEAD = "---¶model-index:¶- name: mine  # ~1~¶  results:¶"
_TURNED = dict(reversed(OURS.items()))
_MORE = "notes: |¶      # text¶¶    "  # in our result, and not by us
_BEFORE_OLD = f"{_HEAD}  {_OTHER}¶  # ~2~¶"

EXAMPLES = {
    "empty": ("", "---¶<index>¶---¶"),
    "no metadata": ("# Title¶¶---¶text", "---¶<index>¶---¶# Title¶¶---¶text"),
    "no metadata, blank lines first": ("¶ ¶# Title", "---¶<index>¶---¶¶ ¶# Title"),
    "no metadata, old line endings": ("# Title\rtext\r", "---¶<index>¶---¶# Title\rtext\r"),
    "byte order mark, no metadata": ("\ufeff# Title", "\ufeff---¶<index>¶---¶# Title"),
    "a rule that closes nothing": ("---¶¶## Title¶", "---¶<index>¶---¶---¶¶## Title¶"),
    "empty metadata": ("---¶¶---¶# Title", "---¶¶<index>¶---¶# Title"),
    "braces, as the client writes empty metadata": ("---¶# ~1~¶{}¶---¶x", "---¶# ~1~¶<index>¶---¶x"),
    "keys with comments": (
        "---¶license: mit  # ~1~¶# ~2~¶language: no¶¶# ~3~¶---   ¶x",
        "---¶license: mit  # ~1~¶# ~2~¶language: no¶¶# ~3~¶<index>¶---   ¶x",
    ),
    "indented metadata": ("---¶  license: mit¶---", "---¶  license: mit¶  <index>¶---"),
    "blank lines and a mark first": ("\ufeff¶ ¶---¶license: mit¶---¶", "\ufeff¶ ¶---¶license: mit¶<index>¶---¶"),
    "a block scalar last, which would get a newline": (
        "---¶license: mit¶# ~1~¶description: |¶  text¶---¶x",
        "---¶license: mit¶<index>¶# ~1~¶description: |¶  text¶---¶x",
    ),
    "a block scalar alone": ("---¶text: >+¶  a¶---¶", "---¶<index>¶text: >+¶  a¶---¶"),
    "a block scalar last, which gets none": ("---¶text: |-¶  a¶¶---¶", "---¶text: |-¶  a¶¶<index>¶---¶"),
    "null": ("---¶model-index:¶license: mit¶---¶", "---¶<index>¶license: mit¶---¶"),
    "null with a comment": (
        "---¶model-index: ~ # ~1~¶license: mit¶---¶",
        f"---¶{INDEX.replace('index:', 'index:  # ~1~')}¶license: mit¶---¶",
    ),
    "an empty list": ("---¶license: mit¶model-index: []¶---", "---¶license: mit¶<index>¶---"),
    "no results yet": (
        "---¶model-index:¶  -   results: [ ]  # ~1~¶      name: mine¶---¶",
        "---¶model-index:¶  -   results:   # ~1~¶      <entry>¶      name: mine¶---¶",
    ),
    "results of others": (
        f"{_HEAD}  # ~2~¶  {_OTHER}  # ~3~¶    # ~4~¶  # ~5~¶# ~6~¶license: mit¶---¶",
        f"{_HEAD}  # ~2~¶  {_OTHER}  # ~3~¶    # ~4~¶  <entry>¶  # ~5~¶# ~6~¶license: mit¶---¶",
    ),
    "results of others, last in the metadata, more blanks": (
        f"{_HEAD}    {_WIDE}¶---",
        f"{_HEAD}    {_WIDE}¶    <entry>¶---",
    ),
    "results of others, before the name": (
        f"---¶model-index:¶- results:¶  {_OTHER}¶¶  name: mine¶---¶",
        f"---¶model-index:¶- results:¶  {_OTHER}¶  <entry>¶¶  name: mine¶---¶",
    ),
    "results of others, with a block scalar last, which would get a newline": (
        f"{_HEAD}  {_OTHER}¶  # ~2~¶  {_OTHER}¶    note: |¶      text¶---¶",
        f"{_HEAD}  {_OTHER}¶  <entry>¶  # ~2~¶  {_OTHER}¶    note: |¶      text¶---¶",
    ),
    "results of others, with a block scalar that keeps blank lines": (
        f"{_HEAD}  {_OTHER}¶    note: |+¶      text¶¶license: mit¶---¶",
        f"{_HEAD}  {_OTHER}¶    note: |+¶      text¶¶  <entry>¶license: mit¶---¶",
    ),
    "an older result of ours": (
        f"{_BEFORE_OLD}  <old>  # ~3~¶  # ~4~¶  {_OTHER}¶---¶",
        f"{_BEFORE_OLD}  <entry>  # ~3~¶  # ~4~¶  {_OTHER}¶---¶",
    ),
    "an older result of ours, in a style of its own": (
        f"{_HEAD}  -¶    {with_value(0.25)}  # ~2~¶---¶",
        f"{_HEAD}  -¶    {OURS}  # ~2~¶---¶",
    ),
    "an older result of ours, with comments in it": (
        f"{_HEAD}  <old>¶---¶".replace(
            "<old>", OLD.replace("metrics:", "# ~2~\n  metrics: # ~3~").replace("\n", "\n  ")
        ),
        f"{_HEAD}  <new>¶---¶".replace(
            "<new>", ENTRY.replace("metrics:", "# ~2~\n  metrics: # ~3~").replace("\n", "\n  ")
        ),
    ),
    "an older result of ours, without a value": (
        f"{_HEAD}  <old>¶---¶".replace("<old>", OLD.replace(" 0.25", "  # ~2~").replace("\n", "\n  ")),
        f"{_HEAD}  <new>¶---¶".replace("<new>", ENTRY.replace("0.6543", "0.6543  # ~2~").replace("\n", "\n  ")),
    ),
    "an older result of ours, with more in it": (
        f"{_HEAD}  {ENTRY[:1]} {_MORE}{OLD[2:]}¶    more: >+¶      b¶¶license: mit¶---¶".replace("\n", "\n  "),
        f"{_HEAD}  <entry>¶¶license: mit¶---¶",
    ),
    "an equal result, written in another way": (
        f"{_HEAD}  - {_TURNED} # ~2~¶---¶",
        f"{_HEAD}  - {_TURNED} # ~2~¶---¶",
    ),
}

_FLOW, _ONCE, _MARKS = (
    "in block style, got braces or brackets",
    "once, got one twice",
    "without anchors, aliases and tags",
)
_ANCHORED = "¶  - &a¶    task: {type: a}¶    dataset: {type: b, name: c}¶    metrics: []¶  - *a"
_COMMENTED = f"{_HEAD}  <old>¶    more: 1 # mine¶    less: 2¶---¶"

REFUSALS = [
    (Reason.TOO_LARGE, "x" * 5_000_001, "expected a card of at most 5,000,000 bytes, got 5,000,001"),
    (Reason.TOO_LARGE, "---¶a: " + "x" * 500_000 + "¶---¶", "metadata of at most 500,000 characters, got 500,003"),
    (Reason.NOT_UTF8, "---\na: é\n---\n".encode("latin-1"), "in UTF-8, got byte 0xe9 at 7"),
    (Reason.DISPUTED_START, "\u0085---¶a: 1¶---¶", "characters that only some readers skip"),
    (Reason.DISPUTED_START, "\ufeff\ufeff---¶a: 1¶---¶", "characters that only some readers skip"),
    (Reason.DISPUTED_START, "¶\x1c¶---\r¶a: 1\r¶---¶", "characters that only some readers skip"),
    (Reason.UNREAD_BLOCK, "---¶license: mit¶# Title¶", "or no line of --- closes it. Repair the rules first"),
    (Reason.UNREAD_BLOCK, "--- ¶# c¶¶'license': mit¶---¶", "there are blanks after the opening ---"),
    (Reason.UNREAD_BLOCK, "---\rlicense: mit\r---\r", "the Hub reads none"),
    (Reason.NOT_YAML, "---¶a: [¶---¶", "what cannot be read (while parsing a flow node"),
    (Reason.NOT_YAML, "---¶a: \x00¶---¶", "special characters are not allowed"),
    (Reason.NOT_YAML, "---¶a:\tb: c¶---¶", "cannot be read"),
    (Reason.NOT_YAML, "---¶a: 2024-13-45¶---¶", "month must be in 1..12"),
    (Reason.NOT_YAML, "---¶a: !!int x¶---¶", "cannot be read"),
    (Reason.NOT_YAML, "---¶a: !!python/object:os.system 1¶---¶", "could not determine a constructor"),
    (Reason.NOT_YAML, "---¶a: *b¶---¶", "found undefined alias"),
    (Reason.NOT_YAML, "---¶a: " + "[" * 3000 + "¶---¶", "recursion"),
    (Reason.NOT_YAML, "---¶a: 1" + ":10" * 300 + "¶---¶", "numbers of at most 100 characters"),
    (Reason.NOT_YAML, "---¶a: 1¶--- b¶---¶", "expected a single document"),
    (Reason.NOT_METADATA, "---¶¶# Title¶¶---¶text", "got only comments, which may be headings. Put a key there"),
    (Reason.NOT_METADATA, "---¶¶A text.¶¶---¶more", "got one str; the Hub would read that as metadata. Put an empty"),
    (Reason.NOT_METADATA, "---¶- a¶---¶", "got one list"),
    (Reason.DOCUMENT_MARKERS, "---¶---¶a: 1¶---¶", "without document markers"),
    (Reason.DOCUMENT_MARKERS, "---¶a: 1¶...¶---¶", "without document markers"),
    (Reason.MERGE_KEYS, "---¶a: &a {b: 1}¶c:¶  <<: *a¶---¶", "without merge keys (<<)"),
    (Reason.CLIENT, "---¶eval_results:¶- 1¶---¶", "huggingface_hub.ModelCard can load, got one that it refuses"),
    (Reason.CLIENT, "---¶1: 2¶---¶", "keywords must be strings"),
    (Reason.CLIENT, "---¶no: 2¶---¶", "keywords must be strings"),
    (Reason.CLIENT, "---¶tags: 2¶---¶", "'int' object is not iterable"),
    (Reason.CLIENT, "---¶self: 2¶---¶", "multiple values"),
    (Reason.CLIENT, "---¶ignore_metadata_errors: true¶---¶", "multiple values"),
    (Reason.CLIENT, model(""), "'NoneType' object is not iterable"),
    (Reason.CLIENT, model("¶  - task: {type: a}¶    dataset: {type: b}¶    metrics: []"), "'name'"),
    (Reason.CLIENT, "---¶model-index:¶- name: x¶---¶", "'results'"),
    (Reason.FLOW_STYLE, "---¶{a: 1}¶---¶", f"expected the metadata {_FLOW}. Write it on lines of its own"),
    (Reason.FLOW_STYLE, "---¶model-index: [{name: x, results: []}]¶---¶", f"the list model-index {_FLOW}"),
    (Reason.FLOW_STYLE, "---¶model-index:¶- {name: x, results: []}¶---¶", f"the model in model-index {_FLOW}"),
    (Reason.FLOW_STYLE, model(" [¶  ]"), f"expected the list of results {_FLOW}"),
    (Reason.FLOW_STYLE, model(" {}"), f"expected the list of results {_FLOW}"),
    (Reason.DUPLICATE_KEYS, "---¶a: 1¶'a': 2¶---¶", f"expected each key of the metadata {_ONCE}. Remove one of them"),
    (Reason.DUPLICATE_KEYS, model(" []¶  results: []"), f"expected each key of the model in model-index {_ONCE}"),
    (Reason.ANCHORS, "---¶&a b: 1¶c: 1¶---¶", f"{_MARKS}, got one"),
    (Reason.ANCHORS, "---¶a: &a []¶model-index: *a¶b: 1¶---¶", f"{_MARKS}, got one"),
    (Reason.ANCHORS, model(" !!seq []"), f"{_MARKS}, got one"),
    (Reason.ANCHORS, model(_ANCHORED), f"{_MARKS}, got one"),
    (Reason.NOT_ONE_MODEL, model(" []¶- name: y¶  results: []"), "got another one. Keep one model in it"),
    (Reason.NOT_ONE_MODEL, "---¶model-index: 0¶---¶", "a list of one model, got another one"),
    (Reason.NOT_ONE_MODEL, model(" ''"), "expected a list of results in model-index, got another value"),
    (
        Reason.SEVERAL_OF_OURS,
        model("¶  <old>¶  <entry>"),
        "at most one result of these settings, got 2. Remove all but",
    ),
    (Reason.COMMENT_INSIDE, _COMMENTED, "somebody has put a comment inside the result that should make room"),
    (Reason.COMMENT_INSIDE, _COMMENTED.replace("1 # mine", "| # mine¶      a"), "a comment inside the result"),
]
