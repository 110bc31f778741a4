"""One result into a card: what is written, what is refused, and that nothing else changes."""

import copy
import logging
import re
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tools.card import card_edits, card_text, cards, front_matter
from hub_tools.card.card_edits import Edit, alike
from hub_tools.card.card_refusals import Reason, reason_of, refusal
from synbench.errors import ArgumentError, CardError

from .card_examples import ENTRY, EXAMPLES, NAME, REFUSALS, filled, model, with_value
from .card_fuzz import problem, same, try_cards
from .card_maker import OURS


def put(card, result=OURS):
    return cards.with_result(card, result, same=same, model_name=NAME)


@pytest.fixture(autouse=True, scope="module")
def _quiet():
    # The client warns of every card without metadata.
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_edit_is_what_a_careful_person_would_write(name, newline):
    before, after = (filled(text).replace(b"\n", newline.encode()) for text in EXAMPLES[name])
    if newline not in before.decode():
        after = after.replace(newline.encode(), b"\n")
    made = put(before)
    assert made.decode() == after.decode()
    assert problem(before, made, OURS) is None
    assert put(made) == made
    later = put(made, with_value(0.125))
    assert problem(made, later, with_value(0.125)) is None
    assert put(later) == made or b"notes" in before


def test_no_card_becomes_metadata_alone():
    assert put(None) == filled("---\n<index>\n---\n")


def test_a_new_block_has_the_first_line_ending_that_can_close_it():
    assert put(b"\r\r\na\n").startswith(b"---\r\nmodel-index:\r\n")
    assert put(b"\ra\nb\r\n").startswith(b"---\nmodel-index:\n")


def test_an_update_of_one_value_is_one_line():
    before = put(b"---\nlicense: mit\n---\n# Title\n")
    after = put(before, with_value(0.7))
    gone = [pair for pair in zip(before.split(b"\n"), after.split(b"\n"), strict=True) if pair[0] != pair[1]]
    assert gone == [(b"      value: 0.6543", b"      value: 0.7")]


def test_mixed_line_endings_stay_and_ours_are_those_of_the_line_before():
    card = b"---\r\nlicense: mit\nlanguage: de\r\n---\na\r\nb\n"
    lines = filled("<index>").replace(b"\n", b"\r\n")
    assert put(card) == b"---\r\nlicense: mit\nlanguage: de\r\n" + lines + b"\r\n---\na\r\nb\n"


@pytest.mark.parametrize(("reason", "card", "told"), REFUSALS, ids=lambda value: str(value)[:40])
def test_refusals_say_what_is_wrong_and_what_to_do(reason, card, told):
    with pytest.raises(CardError, match=re.escape(told)) as caught:
        put(card if isinstance(card, bytes) else filled(card))
    assert reason_of(caught.value) is reason
    assert str(caught.value).endswith("or leave it as it is and publish in .eval_results alone.")


def test_every_reason_has_an_example():
    assert {reason for reason, _, _ in REFUSALS} == set(Reason) - {Reason.NOT_PROVED}  # which has the next test


def indented(text):
    return "  " + text.replace("\n", "\n  ")


CARD = filled("\ufeff---\nlicense: mit # c\nflag: 1\n<index>\n# e\n---\nbody").replace(b"0.6543", b"0.25")
BAD_EDITS = {
    "foreign value of another type": lambda text: text.replace("flag: 1", "flag: true"),
    "foreign integer made a float": lambda text: text.replace("flag: 1", "flag: 1.0"),
    "foreign key lost": lambda text: text.replace("flag: 1\n", ""),
    "name of the model": lambda text: text.replace(NAME, "another"),
    "body": lambda text: text.replace("body", "Body"),
    "end of the block": lambda text: text.replace("---\nbody", "---\n---\nbody"),
    "ours twice": lambda text: text.replace("\n# e", f"\n{indented(ENTRY)}\n# e"),
    "ours with another value": lambda text: text.replace("0.6543", "0.7"),
    "ours with a value of another type": lambda text: text.replace("0.6543", '"0.6543"'),
    "unreadable": lambda text: text.replace("flag: 1", "flag: ["),
    "unreadable to the client": lambda text: text.replace("flag: 1", "self: 1"),
    "comment lost": lambda text: text.replace(" # c", ""),
    "another model": lambda text: text.replace("\n# e", "\n- name: y\n  results: []\n# e"),
}


@pytest.mark.parametrize("name", BAD_EDITS)
def test_no_wrong_edit_is_proved(name, monkeypatch):
    good = CARD.decode()[1:].replace("0.25", "0.6543")
    bad = BAD_EDITS[name](good)
    assert bad != good
    monkeypatch.setattr(cards, "edits", lambda front, *_: [Edit(0, len(front.text), bad)])
    with pytest.raises(CardError) as caught:
        put(CARD)
    assert reason_of(caught.value) in (Reason.NOT_PROVED, Reason.COMMENT_INSIDE)
    monkeypatch.setattr(cards, "edits", lambda front, *_: [Edit(0, len(front.text), good)])
    assert put(CARD) == ("\ufeff" + good).encode()


class Liar(Edit):
    """An edit that touches what stands before its place."""

    def of(self, text):
        return super().of(text).replace(" # c", " # d")


class OtherLiar(Edit):
    """An edit that touches what stands behind its place."""

    def of(self, text):
        return super().of(text).replace("# e", "# f")


@pytest.mark.parametrize("kind", [Edit, Liar, OtherLiar])
def test_no_edit_outside_its_place_is_proved(kind, monkeypatch):
    start = CARD.decode()[1:].index("0.25")
    monkeypatch.setattr(cards, "edits", lambda *_: [kind(start, start + 4, "0.6543")])
    if kind is Edit:
        assert put(CARD) == CARD.replace(b"0.25", b"0.6543")
        return
    with pytest.raises(CardError, match="surely changes nothing else"):
        put(CARD)


def test_no_edit_that_the_client_does_not_see_is_proved(monkeypatch):
    real = cards._results_for_client
    monkeypatch.setattr(cards, "_results_for_client", lambda data: [] if "flag" in data else real(data))
    with pytest.raises(CardError, match="surely changes nothing else"):
        put(CARD)


# Faults by (file, text, what it becomes): each makes an edit that is wrong, which the check of the fuzz must see where
# nothing is proved; and where edits are proved, none of them may come through.
FAULTS = {
    "no fault but that nothing is proved": ("card_edits", "KEY = ", "KEY = "),
    "the last newline is not minded": ("card_edits", "dict.fromkeys((front.closing, ", "dict.fromkeys((front.stop, "),
    "one character late": ("card_edits", "return Edit(at, at, render", "return Edit(at + 1, at + 1, render"),
    "one column to the right": ("card_edits", "render(value, column, newline)", "render(value, column + 1, newline)"),
    "other line ending": ("card_edits", 'newline = "\\r\\n" if front', 'newline = "\\r" if front'),
    "a comment goes": ("card_edits", "rest = text[stop:after]", 'rest = ""'),
    "the value before the key": ("card_edits", "return Edit(start, after, rest +", "return Edit(start, stop, "),
    "the line ending goes, too": ("card_edits", '.rstrip(" \\r\\n"))', ")"),
    "another result is replaced": ("card_edits", "listed.value[place], results", "listed.value[-1], results"),
    "the list is replaced": ("card_edits", "_replaced(front, listed.value[place]", "_replaced(front, listed"),
    "only the first change": ("card_edits", "changes[0][0], changes[-1][1]", "changes[0][0] - 1, changes[-1][1]"),
    "ours is not known": ("card_edits", "(results) if same(existing)", "(results) if not same(existing)"),
    "ours always anew": ("card_edits", "if not alike(results[place], result)", "if True"),
    "keys may stand twice": ("card_edits", "if len(set(keys)) < len(keys)", "if False"),
    "several of ours": ("card_edits", "if len(ours) > 1", "if False"),
    "the byte order mark goes": ("cards", "(before.bom + edit.of(before.text))", "edit.of(before.text)"),
    "a body is taken for metadata": ("card_edits", "if not front.found:", "if False:"),
}
MORE_CARDS = [model("¶  <old>¶  <entry>"), "---¶a: 1¶model-index: []¶model-index: []¶---¶"]


def mutant(file, old, new, proved):
    """Return ``cards`` with a fault, and with or without its proof."""
    made = {}
    for name in ("card_edits", "cards"):
        source = Path(front_matter.__file__).with_name(f"{name}.py").read_text()
        if name == file:
            assert source.count(old) == 1, f"{old!r} is {source.count(old)} times in {name}.py"
            source = source.replace(old, new)
        module = made[name] = types.ModuleType(f"hub_tools.card.{name}")
        sys.modules[f"mutant.{name}"] = module
        module.__package__ = "hub_tools.card"
        exec(compile(source, name, "exec"), vars(module))
    made["cards"].edits = made["card_edits"].edits
    if not proved:
        made["cards"]._is_proved = lambda *_: True
    return made["cards"]


@pytest.mark.parametrize("proved", [True, False])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_refused_where_edits_are_proved_and_seen_where_they_are_not(fault, proved):
    module = mutant(*FAULTS[fault], proved)
    wrong = []
    for text in [*(before for before, _ in EXAMPLES.values()), *MORE_CARDS]:
        for card in (filled(text), filled(text).replace(b"\n", b"\r\n")):
            try:
                made = module.with_result(card, OURS, same=same, model_name=NAME)
                wrong += [found] if (found := problem(card, made, OURS)) else []
            except CardError:
                continue
            except (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                wrong.append(repr(error))
    harmless = fault in ("other line ending", "ours always anew")  # a matter of taste, but for the check of the fuzz
    if not proved or harmless:
        assert wrong
    else:
        assert not [what for what in wrong if "Error(" not in what]


def test_fuzz():
    outcome = try_cards(range(1000))
    assert (outcome.wrong, outcome.needless) == ([], [])
    assert outcome.edits > 500
    assert outcome.unchanged > 5


@pytest.mark.slow
def test_fuzz_at_length():
    outcome = try_cards(range(100_000, 103_000))
    assert (outcome.wrong, outcome.needless) == ([], [])
    assert set(outcome.refused) >= set(map(str, Reason)) - {str(Reason.NOT_PROVED)}
    assert outcome.refused[str(Reason.NOT_PROVED)] <= 3


def edited(card):
    """Return the card with our result, or the reason why it is refused."""
    try:
        return put(card)
    except CardError as error:
        return reason_of(error)


def assert_edited_rightly_or_refused(card):
    made = edited(card)
    if not isinstance(made, Reason):
        assert problem(card, made, OURS) is None
        assert put(made) == made


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_are_edited_rightly_or_refused(card, more):
    assert_edited_rightly_or_refused(b"---\nlicense: mit\n---\n" * more + card)


@given(st.text(alphabet=st.sampled_from("-:#[]{}&*!|>'\"%@,? \n\tab1~\r"), max_size=60), st.booleans())
@settings(max_examples=300)
def test_any_metadata_is_edited_rightly_or_refused(text, more):
    assert_edited_rightly_or_refused(f"---\n{text}\n{'key: value' * more}\n---\nbody\n".encode())


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_what_is_written_is_read_by_every_version_of_yaml(name, config, value):
    ours = copy.deepcopy(with_value(value))
    ours["dataset"] |= {
        "name": name,
        "args": {"config": config, "whole": 3, "flag": False, "none": None, "list": [name]},
    }
    card = put(b"---\nlicense: mit\n---\n", ours)
    metadata = cards.metadata(card)
    assert alike(metadata["model-index"][0]["results"], [ours])
    for line in card.decode().splitlines():
        found = re.fullmatch(r" +(?:- )?(?:name|config|-): ?(.*)", line)
        # YAML 1.2 and 1.1 have different numbers, and all of them begin with a digit, a sign or a dot.
        assert found is None or re.match(r"[A-Za-z\"']", found[1])


@pytest.mark.parametrize(
    "word",
    [
        "1234567e12",
        "0o17",
        "1e5",
        "no",
        "null",
        "~",
        "=",
        "<<",
        "",
        " a",
        "a ",
        "a: b",
        "a #b",
        "é",
        "---",
        "a\u2028b",
        "12:30",
        "\ufeff",
        "\x00",
        "🧪",
    ],
)
def test_words_that_two_versions_of_yaml_read_differently_stand_in_quotes(word):
    ours = {**OURS, "dataset": {**OURS["dataset"], "revision": word}}
    card = put(None, ours)
    assert re.search(rb"revision: [\"'].*[\"']\n", card)
    assert cards.metadata(card)["model-index"][0]["results"] == [ours]


@pytest.mark.parametrize(
    "result",
    [
        with_value(float("nan")),
        with_value(float("-inf")),
        with_value(np.float64(0.5)),
        with_value("\ud800"),
        with_value((1, 2)),
        {**OURS, 1: 2},
        {**OURS, "dataset": {"type": "synbench/gm", "config": "population-3x8x8"}},
        {**OURS, "source": {"name": "no url"}},
        {**OURS, "dataset": {"type": "other", "name": "other"}},
    ],
    ids=str,
)
def test_a_result_that_is_not_plain_or_not_ours_is_the_callers_mistake(result):
    with pytest.raises(ArgumentError, match="expected a result"):
        put(b"", result)


def test_metadata_is_what_the_client_reads(tmp_path):
    path = tmp_path / "README.md"
    path.write_bytes(b"\xef\xbb\xbf\r\n---\r\nlicense: mit\r\nlanguage: no\r\n---\r\n# Title\r\n")
    assert cards.metadata(path.read_bytes()) == {"license": "mit", "language": False}
    path.write_bytes(put(path.read_bytes()))
    card = ModelCard.load(path)
    assert (card.data.license, card.data.language, card.text) == ("mit", False, "# Title\r\n")
    assert [(r.metric_type, r.metric_value) for r in card.data.eval_results] == [("synbench_score", 0.6543)]
    assert cards.metadata(b"# Title\n") == cards.metadata(b"") == cards.metadata(b"---\n# only\n---\n") == {}
    with pytest.raises(CardError, match="in UTF-8"):
        cards.metadata(b"\xff")


def test_metadata_is_found_by_the_expression_of_the_hub():
    assert front_matter._BLOCK.pattern == REGEX_YAML_BLOCK.pattern
    assert front_matter._BLOCK.flags == REGEX_YAML_BLOCK.flags


def ninefold(number):
    """Return YAML for a list of nine times the one before."""
    return "[" + ", ".join([f"*a{number - 1}"] * 9) + "]"


def test_alike_sees_types_and_ends():
    loop, other = [1], [1]
    loop.append(loop)
    other.append(other)
    assert alike(loop, other)
    assert not alike([loop, 1], [other, True])
    assert not alike({1: 2}, {True: 2})
    assert not alike({"a": 1}, {"a": 1, "b": 1})
    assert not alike([1], [1, 2])
    assert not alike((1,), [1])
    bomb = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} {ninefold(n)}" for n in range(1, 40))])
    assert alike(yaml.safe_load(bomb), yaml.safe_load(bomb))


HUGE = {
    "rules": "---¶a: 1¶---¶" + "---¶" * 1_200_000,
    "blank lines": "¶" * 4_900_000,
    "disputed blanks": "\u0085" * 2_400_000,
    "blanks after a rule": "---¶¶---" + " " * 4_900_000 + "x",
    "rules that close nothing": "---¶x: 1" + ("¶---" + " " * 100 + "x") * 45_000,
    "comments above a block scalar": "---¶a: 1¶" + "# c¶" * 100_000 + "b: |¶  x¶---¶",
    "dashes": model(
        f"¶  -¶    #{'-' * 400_000}¶    task: {{type: a}}¶    dataset: {{type: b, name: c}}¶    metrics: []"
        f"¶    note: |¶      a"
    ),
    "tags": "---¶tags:¶" + "".join(f"- a{n}¶" for n in range(40_000)) + "---¶",
    "depth": "---¶a: " + "[" * 400_000 + "¶---¶",
    "aliases of aliases": "---¶a0: &a0 [x]¶" + "".join(f"a{n}: &a{n} {ninefold(n)}¶" for n in range(1, 99)) + "---¶",
    "merge keys": "---¶a0: &a0 {x: 1}¶" + "".join(f"a{n}: &a{n} {{<<: {ninefold(n)}}}¶" for n in range(1, 99)) + "---¶",
    "base 60": "---¶a: 1" + ":10" * 160_000 + "¶---¶",
    "long integer": "---¶a: 0x1" + "0" * 400_000 + "¶---¶",
}


@pytest.mark.parametrize("card", HUGE.values(), ids=HUGE)
def test_huge_cards_take_little_time(card):
    start = time.perf_counter()
    assert edited(card.replace("¶", "\n").encode())
    assert time.perf_counter() - start < 15  # it is a second or two; a quadratic step would take minutes


def test_a_card_of_great_depth_is_refused_wherever_it_overflows(monkeypatch):
    def overflow(*_):
        raise RecursionError

    monkeypatch.setattr(cards, "edits", overflow)
    with pytest.raises(CardError, match="metadata of less depth"):
        put(b"")


def test_reasons_are_only_of_cards():
    assert reason_of(CardError("another")) is None
    assert reason_of(refusal(Reason.CLIENT, "a")) is Reason.CLIENT


def test_nothing_heavy_is_imported():
    heavy = ["torch", "huggingface_hub", "transformers", "datasets"]
    code = f"import hub_tools.card.cards, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_lines_are_those_of_all_three_endings():
    assert [card_text.line_start("a\rb\r\nc\nd", at) for at in range(8)] == [0, 0, 2, 2, 4, 5, 5, 7]
    assert card_edits.KEY == "model-index"
