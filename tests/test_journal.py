"""The journal: nothing is forgotten, a torn line is lived with, what is not ours is refused, and one process writes."""

import json
import multiprocessing
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.annotation import journal
from hub_tools.annotation.journal import Entry, read, writing
from synbench.errors import ArgumentError, OutputError


def told(path):
    return [(entry.event, entry.repo) for entry in read(path) if entry.event != "repaired"]


def write(path, *repos):
    with writing(path) as opened:
        for repo in repos:
            opened.append("scored", repo)


def test_lines_are_added_and_read_back(tmp_path):
    path = tmp_path / "runs.jsonl"
    with writing(path) as opened:
        made = opened.append(
            "failed", "org/a", commit="0" * 40, key="k", number=3, reason="no", permanent=True, seconds=1
        )
        assert opened.entries == [made] == read(path)
    with writing(path) as opened:
        assert opened.entries == [made]
        opened.append("opened", "org/ü", number=4)
    assert [entry.number for entry in read(path)] == [3, 4]
    lines = path.read_bytes().splitlines()
    assert all(line.isascii() and isinstance(json.loads(line), dict) for line in lines)
    assert read(tmp_path / "nothing.jsonl") == []


def test_every_line_is_on_the_disk_before_the_next_step(tmp_path, monkeypatch):
    path, seen = tmp_path / "runs.jsonl", []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (real(handle), seen.append(kind(handle))))
    with writing(path) as opened:
        opened.append("scored", "org/a")
        assert seen == ["folder", "file"], "the name of a new file has to last too"
        opened.append("scored", "org/b")
        assert seen == ["folder", "file", "file"]


def kind(handle):
    return "folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"


@given(st.data())
def test_a_line_torn_anywhere_costs_that_line_alone(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("torn") / "runs.jsonl"
    write(path, "org/a", "org/b")
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    expected = ["org/a"]
    # Torn once, or again in the midst of the repair, and again after other lines.
    for turn in range(data.draw(st.integers(1, 3))):
        content = path.read_bytes() if turn else whole
        last = max(content[:-1].rfind(b"\n") + 1, first)
        if last == len(content):
            break  # nothing is left of the second line
        cut = data.draw(st.integers(last, len(content) - 1))
        path.write_bytes(content[:cut] + b"\0" * data.draw(st.sampled_from([0, 0, 3])))
        if cut == len(content) - 1 and turn == 0 and path.stat().st_size == cut:
            expected.append("org/b")  # only its newline was lost, and comes back
            first = len(whole)
        read(path)
        write(path)
    seen = [repo for _, repo in told(path)]
    assert seen == expected
    write(path, "org/c")
    assert [repo for _, repo in told(path)] == [*expected, "org/c"]


def test_a_torn_line_stays_and_the_next_tells_how_long_it_is(tmp_path):
    path = tmp_path / "runs.jsonl"
    write(path, "org/a", "org/b")
    torn = path.read_bytes()[:-20]
    path.write_bytes(torn)
    assert told(path) == [("scored", "org/a")]
    write(path, "org/c")
    assert path.read_bytes().startswith(torn + b"\n"), "a journal is only ever added to"
    (repair,) = [entry for entry in read(path) if entry.event == "repaired"]
    assert repair.torn == len(torn) - torn.index(b"\n")
    assert told(path) == [("scored", "org/a"), ("scored", "org/c")]


@pytest.mark.parametrize(
    "foreign",
    [b"hello\n", b"\n", b"<<<<<<< HEAD\n", b'{"event": "scored", "mood": 1}\n', b'{"event": "scor\n', b"[]\n"],
)
@pytest.mark.parametrize("at_end", [False, True])
def test_what_somebody_else_wrote_is_refused_with_its_line(foreign, at_end, tmp_path):
    path = tmp_path / "runs.jsonl"
    write(path, "org/a", "org/b")
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second + foreign if at_end else first + foreign + second)
    if at_end and foreign.startswith(b'{"event": "scor\n'):
        assert told(path) == [("scored", "org/a"), ("scored", "org/b")], "the beginning of a line may be a torn one"
        return
    line = 3 if at_end else 2
    for use in (read, write):
        with pytest.raises(
            ArgumentError, match=rf"line {line} of the journal '.*runs.jsonl' is no entry .* Put it right"
        ):
            use(path)


def test_a_repair_that_does_not_fit_hides_nothing(tmp_path):
    path = tmp_path / "runs.jsonl"
    write(path, "org/a")
    line = Entry(time="now", event="repaired", torn=5).line()
    with path.open("ab") as stream:
        stream.write(b'{"event": "sco\n' + line)
    with pytest.raises(ArgumentError, match="line 2 of the journal"):
        read(path)


def hold(path, ready, done):
    with writing(path):
        ready.set()
        done.wait(30)


def test_there_is_one_writer(tmp_path):
    path = tmp_path / "runs.jsonl"
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(path, ready, done))
    other.start()
    try:
        assert ready.wait(30)
        with pytest.raises(ArgumentError, match=r"another process is writing the journal .*: there is one writer"):
            write(path)
        assert read(path) == []
    finally:
        done.set()
        other.join()
    write(path, "org/a")


def test_tokens_are_not_written(tmp_path):
    path = tmp_path / "runs.jsonl"
    with writing(path) as opened:
        opened.append("failed", "org/a", reason="401 for hf_abcdefgh1234 and api_org_abcdef")
    assert b"abcdef" not in path.read_bytes()
    assert read(path)[0].reason == "401 for hf_*** and api_org_***"


def test_a_journal_that_cannot_be_written_ends_the_work(tmp_path, monkeypatch):
    with (
        pytest.raises(OutputError, match=r"cannot write the journal .* Give a folder that can be written"),
        writing(tmp_path / "nowhere" / "runs.jsonl"),
    ):
        pass
    with writing(tmp_path / "runs.jsonl") as opened:
        monkeypatch.setattr(journal.os, "write", full)
        with pytest.raises(OutputError, match=r"No space left on device. Nothing is done"):
            opened.append("sent", "org/a")


def full(*_):
    raise OSError(28, os.strerror(28))
