"""The diff that a person says yes to is the change, and the description says what is done."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hub_tools.score.changes import README, Change, make_change, paths_of
from hub_tools.score.eval_results import EVAL_RESULTS_PATH
from hub_tools.score.proposal import MARKER, command, description, is_marked
from hub_tools.score.results import numbers
from synbench.errors import ArgumentError, CardError

from . import pull_request_picture as picture
from .reports import make_report

CARD = b"---\nlicense: mit # ours\n---\n# Model\n"
NOTHING = {README: CARD, EVAL_RESULTS_PATH: None}
BASE = "c" * 40


def of(before, after):
    return Change("org/model", BASE, {"file": before}, {"file": after}, {})


def test_a_change_holds_both_places_and_leaves_its_input_alone():
    before = dict(NOTHING)
    change = make_change(make_report(), "org/model", BASE, before)
    assert set(change.after) == {README, EVAL_RESULTS_PATH}
    assert change.refused == {}
    assert before == NOTHING
    assert change.after[README].endswith(b"---\n# Model\n")
    again = make_change(make_report(), "org/model", BASE, {**NOTHING, **change.after})
    assert again.empty
    assert again.diff == ""


@pytest.mark.parametrize(("only", "path"), [("model-index", README), ("eval-results", EVAL_RESULTS_PATH)])
def test_one_place_alone(only, path):
    change = make_change(make_report(), "org/model", BASE, NOTHING, only=only)
    assert set(change.after) == {path}
    assert paths_of(only) == [path]


def test_a_card_that_cannot_take_it_leaves_the_other_place():
    before = {README: b"---\nlicense: [\n---\n", EVAL_RESULTS_PATH: None}
    change = make_change(make_report(), "org/model", BASE, before)
    assert set(change.after) == {EVAL_RESULTS_PATH}
    assert set(change.refused) == {README}
    with pytest.raises(CardError):
        make_change(make_report(), "org/model", BASE, before, only="model-index")
    with pytest.raises(CardError, match="somebody has edited it"):
        make_change(make_report(), "org/model", BASE, before | {EVAL_RESULTS_PATH: b"mine"})


def test_an_unknown_place_is_refused():
    with pytest.raises(ArgumentError, match="only must be one of 'model-index', 'eval-results', or left out for both"):
        make_change(make_report(), "org/model", BASE, NOTHING, only="readme")


LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\r\n", b"\n", b"d\n", b"e\xcc\n"]), max_size=14)


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(LINES, LINES, LINES, LINES, st.booleans(), st.booleans())
def test_patch_makes_the_new_file_from_the_diff(tmp_path_factory, head, old, new, tail, cut_old, cut_new):
    """The system's own patch is the judge of the format; only text that is shown as it is can be applied."""
    before = b"".join([*head, *old, *tail]).replace(b"\r", b"").replace(b"\xcc", b"x")
    after = b"".join([*head, *new, *tail]).replace(b"\r", b"").replace(b"\xcc", b"x")
    before, after = before.removesuffix(b"\n" * cut_old), after.removesuffix(b"\n" * cut_new)
    if before == after or not before:
        return
    folder = tmp_path_factory.mktemp("patch")
    (folder / "file").write_bytes(before)
    # git is there wherever the project is.
    done = subprocess.run(
        ["git", "apply", "--unidiff-zero", "--whitespace=nowarn", "-"],
        input=of(before, after).diff.encode(),
        cwd=folder,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = folder / "file"
    assert (made.read_bytes() if made.exists() else b"") == after


def test_a_diff_shows_what_a_terminal_would_obey_and_no_newline():
    shown = of(b"a\x1b[2J\nb\r\n\xff\nend", b"a\x1b[2J\nB\r\n\xff\nend").diff
    assert shown == (
        "--- a/file\n+++ b/file\n@@ -1,4 +1,4 @@\n"
        " a\\x1b[2J\n-b\\r\n+B\\r\n \\xff\n end\n\\ No newline at end of file\n"
    )


def test_a_new_file_is_shown_as_new():
    change = Change("org/model", BASE, {"file": None}, {"file": b"one\ntwo\n"}, {})
    assert change.diff == "--- /dev/null\n+++ b/file\n@@ -0,0 +1,2 @@\n+one\n+two\n"


def test_a_diff_of_a_large_file_is_one_hunk_of_what_differs():
    lines = [b"line %d\n" % n for n in range(200_000)]
    changed = [*lines[:1000], b"new\n", *lines[1000:]]
    shown = of(b"".join(lines), b"".join(changed)).diff
    assert shown.splitlines()[2] == "@@ -998,6 +998,7 @@"
    assert shown.count("\n") == 3 + 7


def test_the_description_says_all_that_an_owner_must_know():
    report = make_report(settings={"seed": 3})
    change = make_change(report, "org/model", BASE, NOTHING)
    told = description(report, change)
    assert is_marked(told)
    assert told.count(MARKER) == 1
    for number in numbers(report):
        low, high = number.interval
        assert f"| {number.name} | {number.value:.3f} | {low:.3f} to {high:.3f} |" in told
    for word in (report.meaning, "a" * 40, "8,192 drawn images", "no for good", "does not say", "README.md"):
        assert word in told
    assert f"`synbench score org/model --revision {'a' * 40} --images 8192 --seed 3`" in told


def test_the_description_says_which_place_was_refused_and_why():
    before = {README: b"---\nlicense: [\n---\n", EVAL_RESULTS_PATH: None}
    change = make_change(make_report(), "org/model", BASE, before)
    assert f"`README.md`: not changed. {change.refused[README]}" in description(make_report(), change)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "synbench score org/model --revision {c} --images 8192"),
        ({"protocol": "paper"}, "synbench score org/model --revision {c} --protocol paper --samples 2048"),
        (
            {"settings": {"precision": {"dtype": "float64", "tf32": False, "reason": "asked for"}}},
            "synbench score org/model --revision {c} --images 8192 --dtype float64",
        ),
    ],
)
def test_the_command_measures_it_again(changes, expected):
    assert command(make_report(**changes)) == expected.format(c="a" * 40)


@pytest.mark.parametrize("text", ["", "synbench:v1", "<!-- synbench -->", "<!-- other:v1 -->"])
def test_other_descriptions_are_not_ours(text):
    assert not is_marked(text)


def test_the_picture_in_the_docs_is_of_these_texts():
    with Image.open(picture.PICTURE) as drawn:
        assert drawn.text[picture.KEY] == picture.digest(), "draw it again: python -m tests.pull_request_picture"
