"""Work in a process of its own: told while it runs, stopped at any moment, and nothing kept that is not whole.

Children are real ones, forked from a process that has secrets in its environment. Some do other work than the usual:
the functions ``_main_…``, which are found by name in the child.
"""

import contextlib
import json
import logging
import multiprocessing
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import islice
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import pytest

import synbench
from hub_tools.space import kept, running, work, workers
from hub_tools.space.admission import Admitted, Asked
from hub_tools.space.hardware import Hardware
from hub_tools.space.line import Line, NotHereError
from hub_tools.space.running import FailedRun, Visitor, follow
from hub_tools.space.work import Frame
from synbench.folders import DEMO

from .hub import Hub
from .reports import make_report

ROOT = Path(__file__).parent.parent
SECRET = "hf_SecretSecretSecret"
MACHINE = Hardware("cpu", cores=2, memory=4 * 10**9, lanes=1, seconds=600.0, largest_gb=2.0)
NUMBER = r"Something went wrong here, and it is not your fault\. Tell us this number: ([0-9a-f]{8})\."


def admitted(model=DEMO, images=1024, **asked):
    return Admitted(Asked(model, images, **asked), None, 0, None, None, 300.0)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    from . import checkpoints

    folder = tmp_path_factory.mktemp("models")
    with Hub() as made:
        made.sign_up("org", SECRET)
        made.create("org/vit", checkpoints.vit(folder / "vit"))
        made.create("org/text", checkpoints.text_only(folder / "text"))
        made.create("org/private", checkpoints.vit(folder / "vit"), private=True)
        yield made


@pytest.fixture(scope="module")
def log(hub, tmp_path_factory):
    """What the process that children are forked from prints, and they."""
    folder = tmp_path_factory.mktemp("forked")
    file = folder / "log.txt"
    forkserver._forkserver._stop()
    with pytest.MonkeyPatch.context() as patch, file.open("wb") as printed:
        for name in workers._SECRETS:
            patch.setenv(name, SECRET)
        own = {"HF_HOME": str(folder / "home"), "HF_ENDPOINT": hub.endpoint, "OMP_NUM_THREADS": "2"}
        for name, value in {**own, "SYNBENCH_PRELOAD": ""}.items():
            patch.setenv(name, value)
        stderr = os.dup(2)
        os.dup2(printed.fileno(), 2)
        try:
            workers._start_and_end()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        yield file
        for child in multiprocessing.active_children():
            child.kill()
            child.join()
        forkserver._forkserver._stop()


@pytest.fixture
def run(log, monkeypatch):
    """Run work in a child; at the end none is left."""
    opened = []

    def run(asked=None, machine=MACHINE, main=None):
        if main is not None:
            monkeypatch.setattr(workers, "_main", main)
        opened.append(workers.run(asked or admitted(), machine))
        return opened[-1]

    yield run
    for frames in opened:
        frames.close()
    assert multiprocessing.active_children() == []


def told(frames, seconds=600):
    """Return what is new, to the end, which has to come."""
    end, found = time.monotonic() + seconds, []
    for frame in frames:
        assert time.monotonic() < end, f"no end within {seconds} s"
        found += [] if frame is None else [frame]
    return found


def only_child():
    (child,) = multiprocessing.active_children()
    return child.pid


def lives(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def await_death(pid, seconds=30.0):
    end = time.monotonic() + seconds
    while lives(pid):
        assert time.monotonic() < end, f"process {pid} is still there after {seconds} s"
        time.sleep(0.01)


def without_time(report):
    values = {name: value for name, value in report.to_dict().items() if name not in ("seconds", "from_cache")}
    if values["baseline"] is not None:
        values["baseline"].pop("seconds", None)
    return values


# What children do in place of the usual work.

_main = workers._main


def _main_asleep(sender, asked):
    sender.send(Frame(images=1, total=2))
    time.sleep(600)


def _main_busy_telling(sender, asked):
    with contextlib.suppress(OSError):
        while True:
            sender.send(Frame(images=1, total=2))


def _main_hungry(sender, asked):
    sender.send(Frame(images=1, total=2))
    taken = b"x" * 900_000_000
    time.sleep(len(taken))


def _main_cut(sender, asked):
    """End in the middle of a message."""
    os.write(sender.fileno(), struct.pack("!i", 1000) + b"half")
    os.kill(os.getpid(), signal.SIGKILL)


def _main_exit(sender, asked):
    os._exit(3)


def _main_environment(sender, asked):
    workers.work = lambda _: iter([Frame(error=json.dumps(dict(os.environ)))])
    _main(sender, asked)


def _main_threads(sender, asked):
    import torch

    there, before = "synbench.scoring" in sys.modules, torch.get_num_threads()
    workers.work = lambda _: iter([Frame(error=json.dumps([there, before, torch.get_num_threads()]))])
    _main(sender, asked)


def _main_broken(sender, asked):
    from synbench.study import Study

    def more(self, start, stop, **_):
        raise ZeroDivisionError(f"secret detail at {start}")

    Study.more = more
    _main(sender, asked)


def _main_strict(sender, asked):
    work.LARGEST_SIDE = 8
    _main(sender, asked)


@pytest.mark.parametrize("twin", [False, True])
def test_frames_come_from_another_process_and_end_with_what_score_gives(run, twin):
    frames = run(admitted(seed=3, twin=twin))
    first = next(frame for frame in frames if frame is not None)
    assert only_child() != os.getpid()
    assert (first.plan.architecture, first.plan.image_shape) == ("ViTModel", (3, 16, 16))
    assert (first.plan.device, first.plan.dtype, first.plan.dimension) == ("cpu", "float32", 64)
    assert (first.images, first.total, first.report) == (0, 1024, None)
    rest = told(frames)
    assert all(frame.plan is None and frame.error is None for frame in rest)
    own = [frame.images for frame in rest if not frame.twin]
    assert own == sorted(own)
    assert any(frame.twin for frame in rest) == twin
    assert [frame.done for frame in rest] == [False] * (len(rest) - 1) + [True]
    last = rest[-1]
    expected = synbench.score(DEMO, images=1024, seed=3, baseline="untrained" if twin else None)
    assert without_time(last.report) == without_time(expected)
    assert last.contributions.shape[0] > 1
    # What a paired comparison goes by: the squares of the draws' parts add up to the variance.
    assert float(last.contributions @ last.contributions) == pytest.approx(expected.stderr**2, rel=0.2)
    assert all(frame.contributions is None for frame in rest[:-1])


@pytest.mark.parametrize("when", ["loading", "running"])
def test_closing_ends_the_child(run, when):
    # By itself it would be at work for minutes.
    frames = run(admitted(images=262144))
    for frame in frames:
        if when == "loading" or (frame is not None and frame.images):
            break
    pid = only_child()
    assert lives(pid)
    frames.close()
    await_death(pid)


def test_a_child_that_is_killed_is_told_as_such(run):
    frames = run(admitted(images=16384))
    next(frame for frame in frames if frame is not None)
    os.kill(only_child(), signal.SIGKILL)
    last = told(frames)[-1]
    assert last.error.startswith("The run was ended by this machine, most likely for want of memory.")
    assert last.report is None


def test_a_child_that_is_killed_in_the_middle_of_a_word_is_told_as_such(run):
    (last,) = told(run(main=_main_cut))
    assert last.error.startswith("The run was ended by this machine, most likely for want of memory.")


def test_a_child_that_ends_by_itself_has_a_number(run, caplog):
    (last,) = told(run(main=_main_exit))
    number = re.fullmatch(NUMBER, last.error)[1]
    assert f"error {number}" in caplog.text
    assert "a worker ended with exit code 3" in caplog.text


def test_too_much_memory_ends_the_run_with_a_sentence(run):
    libraries = workers._resident(forkserver._forkserver._forkserver_pid)
    assert libraries > 50_000_000
    frames = run(machine=replace(MACHINE, memory=libraries + 400_000_000), main=_main_hungry)
    with pytest.raises(NotHereError, match=r"more than the \d\.\d GB of memory that there are for it, and was stopped"):
        told(frames)


@pytest.mark.parametrize("main", [_main_asleep, _main_busy_telling], ids=["silent", "busy"])
def test_too_much_time_ends_the_run_with_a_sentence(run, main):
    frames = run(machine=replace(MACHINE, seconds=0.5), main=main)
    match = r"the run took longer than \d+ minutes, and was stopped\. What was done is kept: ask for fewer"
    with pytest.raises(NotHereError, match=match):
        told(frames, 10)


def test_what_nobody_expected_has_a_number_for_the_visitor_and_a_traceback_in_the_log(run, log):
    last = told(run(main=_main_broken))[-1]
    number = re.fullmatch(NUMBER, last.error)[1]
    assert "secret" not in last.error
    printed = log.read_text()
    assert f"error {number}" in printed
    assert "ZeroDivisionError: secret detail at 0" in printed


def test_images_that_turn_out_too_large_end_the_run_before_the_first(run):
    (last,) = told(run(main=_main_strict))
    assert re.search(r"takes images of 16 pixels a side, and this app draws 8 at most\.", last.error)


def test_an_encoder_that_cannot_be_used_is_told_in_its_own_words(run, hub):
    commit = hub.repositories["models", "org/text"].refs["main"]
    last = told(run(admitted("org/text", commit=commit)))[-1]
    assert "org/text" in last.error
    assert not re.search(NUMBER, last.error)


def test_a_child_has_no_secrets(run, hub):
    (last,) = told(run(main=_main_environment))
    found = json.loads(last.error)
    assert os.environ["HF_TOKEN"] == SECRET, "the process that it was forked from has them"
    assert found["HF_ENDPOINT"] == hub.endpoint
    assert not {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OAUTH_CLIENT_SECRET"} & set(found)
    assert SECRET not in last.error


def test_no_token_is_sent_for_a_model_and_what_it_would_open_stays_closed(run, hub):
    repositories = {name: hub.repositories["models", name] for name in ("org/vit", "org/private")}
    frames = told(run(admitted("org/vit", images=1024, twin=False, commit=repositories["org/vit"].refs["main"])))
    assert frames[-1].report.settings.model.commit == repositories["org/vit"].refs["main"]
    frames = told(run(admitted("org/private", images=1024, commit=repositories["org/private"].refs["main"])))
    assert "org/private" in frames[-1].error
    assert len(hub.requests) > 3
    assert {request.token for request in hub.requests} == {None}


def test_children_are_forked_from_a_process_that_has_everything_loaded_on_one_thread_and_take_all_again(run):
    (last,) = told(run(main=_main_threads))
    assert json.loads(last.error) == [True, 1, 2]


def test_the_server_itself_loads_neither_torch_nor_what_zero_gpu_needs():
    code = """
import os, sys
import app
app.build(lambda: None)
print([name for name in ("torch", "transformers", "spaces") if name in sys.modules], flush=True)
os._exit(0)
"""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("SPACE", "SYNBENCH"))}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=own, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_imports_spaces_but_where_zero_gpu_is():
    found = {}
    for file in [ROOT / "app.py", *ROOT.glob("hub_tools/**/*.py"), *ROOT.glob("synbench/**/*.py")]:
        lines = [line for line in file.read_text().splitlines() if re.match(r"\s*(import|from) spaces\b", line)]
        if lines:
            found[file.name] = lines
    assert set(found) == {"app.py", "workers.py"}
    assert all(line.startswith("    ") for lines in found.values() for line in lines), "none at the top of a module"


# Finished runs.


@pytest.fixture
def assets(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path))
    return tmp_path


KEY = "0123456789abcdef"
PARTS = np.linspace(-1, 1, 7)


def test_a_finished_run_is_found_as_it_was_kept(assets):
    report = make_report()
    made = kept.keep(KEY, report, PARTS)
    found = kept.find(KEY)
    assert found.key == made.key == KEY
    assert found.report == made.report == report
    assert np.array_equal(found.contributions, PARTS)
    assert kept.find("0123456789abcde0") is None
    kept.keep("f" * 16, report, None)
    assert kept.find("f" * 16).contributions is None
    assert all(file.parent == kept.folder() for file in assets.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b"{}", b'"text"', b"\xff\xff", b"7", None],
    ids=str,
)
def test_a_file_that_is_torn_or_of_another_is_not_read(assets, content):
    kept.keep(KEY, make_report(), PARTS)
    file = kept.folder() / f"{KEY}.json"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert kept.find(KEY) is None
    file.write_bytes(whole)
    assert kept.find(KEY) is not None


def test_a_record_of_another_version_is_not_read(assets):
    kept.keep(KEY, make_report(), None)
    file = kept.folder() / f"{KEY}.json"
    record = json.loads(file.read_bytes())
    for changed in ({"schema_version": 1}, {"synbench_score": "high"}, {"settings": None}, {"scores": 3}):
        file.write_text(json.dumps({**record, **changed}))
        assert kept.find(KEY) is None, changed


def test_torn_contributions_are_left_out(assets):
    kept.keep(KEY, make_report(), PARTS)
    file = kept.folder() / f"{KEY}.f64"
    file.write_bytes(file.read_bytes()[:-3])
    assert kept.find(KEY).contributions is None
    assert kept.find(KEY).report == make_report()


@pytest.mark.parametrize(
    "key",
    [
        "",
        "../../outside",
        "../runs/" + KEY,
        KEY + "\n",
        KEY.upper(),
        KEY[:-1],
        KEY + "0",
        "/" + KEY,
        "….json",
        KEY + "\x00",
    ],
)
def test_no_key_leads_out_of_the_folder(assets, key):
    for name in (KEY, KEY + "0", KEY.upper()):
        kept.keep(name, make_report(), None)
    (assets / "outside.json").write_text(json.dumps(make_report().to_dict()))
    assert kept.find(key) is None


def test_the_oldest_go_beyond_as_many_as_are_kept_and_what_was_used_is_young(assets, monkeypatch):
    monkeypatch.setattr(kept, "MOST", 3)
    for number in range(3):
        kept.keep(f"{number:016x}", make_report(), PARTS)
        os.utime(kept.folder() / f"{number:016x}.json", (1000 + number, 1000 + number))
    assert kept.find(f"{0:016x}") is not None
    kept.keep(KEY, make_report(), PARTS)
    names = {file.name for file in kept.folder().iterdir()}
    assert names == {f"{key}.{end}" for key in (f"{0:016x}", f"{2:016x}", KEY) for end in ("json", "f64")}


def test_where_nothing_can_be_kept_the_run_is_whole_all_the_same(assets):
    (assets / "synbench").write_text("a file in the folder's place")
    assert kept.keep(KEY, make_report(), PARTS).report == make_report()
    assert kept.find(KEY) is None


def test_each_question_has_a_key_of_its_own():
    asked = Asked("org/model", 1024, 0, True, "a" * 40)
    others = [
        replace(asked, model="org/other"),
        replace(asked, images=2048),
        replace(asked, seed=1),
        replace(asked, twin=False),
        replace(asked, commit="b" * 40),
    ]
    keys = [kept.key_of(asked, "cpu"), kept.key_of(asked, "gpu"), *(kept.key_of(one, "cpu") for one in others)]
    assert len(set(keys)) == len(keys)
    assert kept.key_of(replace(asked), "cpu") == keys[0]
    assert all(re.fullmatch(r"[0-9a-f]{16}", key) for key in keys)


# A visitor's run.

ALICE, BOB = Visitor("1.1.1.1", "alice"), Visitor("2.2.2.2", "bob")


class Works:
    """Stands for the work: counts its runs, and goes on when it is told to."""

    def __init__(self, last=None):
        self.runs, self.closed = 0, 0
        self.go_on = threading.Event()
        self.last = last or Frame(report=make_report(), contributions=PARTS, done=True)

    def __call__(self, admitted):
        self.runs += 1
        try:
            yield Frame(images=0, total=1024)
            end = time.monotonic() + 20
            while not self.go_on.wait(0.02):
                assert time.monotonic() < end, "nobody stops it"
                yield None
            yield self.last
        finally:
            self.closed += 1


@pytest.fixture
def works(assets, monkeypatch):
    made, one_lane = Works(), Line(lanes=1)
    monkeypatch.setattr(workers, "run", made)
    monkeypatch.setattr(running, "here", lambda: MACHINE)
    monkeypatch.setattr(running, "line", lambda: one_lane)
    monkeypatch.setattr(running, "_LOOK", 0.02)
    yield made
    assert made.closed == made.runs
    assert one_lane._tickets == [], "nobody is left in line"


def test_the_same_question_of_two_at_once_is_worked_on_once(works):
    asked, found = Asked(DEMO, 1024), {}

    def visit(visitor):
        found[visitor] = list(follow(asked, visitor))

    threads = [threading.Thread(target=visit, args=(visitor,)) for visitor in (ALICE, BOB)]
    threads[0].start()
    while not works.runs:
        time.sleep(0.01)
    threads[1].start()
    while not running.line().length:
        time.sleep(0.01)
    time.sleep(0.1)
    works.go_on.set()
    for thread in threads:
        thread.join(20)
    assert works.runs == 1
    first, second = (found[visitor] for visitor in (ALICE, BOB))
    assert (first[-1].before, second[-1].before) == (False, True)
    assert first[-1].kept.key == second[-1].kept.key
    assert second[-1].kept.report == first[-1].kept.report
    assert np.array_equal(second[-1].kept.contributions, PARTS)
    assert [news.position for news in first] == [0] * len(first)
    assert (second[1].position, second[1].length) == (1, 1)
    third = list(follow(asked, ALICE))
    assert [news.kept is None for news in third] == [True, False]
    assert works.runs == 1


def test_whoever_stops_while_waiting_leaves_the_line(works):
    with contextlib.closing(follow(Asked(DEMO, 1024), ALICE)) as ahead:
        while next(ahead).frame is None:
            pass
        wanted = [True, True, True, False]
        steps = list(islice(follow(Asked(DEMO, 2048), BOB, lambda: not wanted.pop(0)), 9))
        assert [news.position for news in steps] == [0, 1, 1, 1]
        # Also before it has a place there.
        assert len(list(follow(Asked(DEMO, 2048), BOB, lambda: True))) == 1
        assert steps[-1].kept is None
        assert running.line().length == 0
    assert works.runs == 1


def test_whoever_stops_while_it_runs_ends_the_work(works):
    stop = threading.Event()
    steps = follow(Asked(DEMO, 1024), ALICE, stop.is_set)
    for news in steps:
        if news.frame is not None:
            stop.set()
    assert news.kept is None
    assert works.closed == 1
    assert kept.find(kept.key_of(news.admitted.asked, "cpu")) is None


def test_whoever_closes_leaves_the_line_and_ends_the_work(works):
    steps = follow(Asked(DEMO, 1024), ALICE)
    while next(steps).frame is None:
        pass
    steps.close()
    assert works.closed == 1


def test_an_error_of_the_work_is_told_and_the_next_one_runs(works):
    works.last = Frame(error="It cannot be.")
    works.go_on.set()
    for visitor in (ALICE, BOB):
        with pytest.raises(FailedRun, match=r"^It cannot be\.$"):
            list(follow(Asked(DEMO, 1024), visitor))
    assert works.runs == 2
    assert running.line().length == 0


def test_what_is_refused_takes_no_place(works):
    with pytest.raises(synbench.EncoderError, match="images must be one of"):
        list(follow(Asked(DEMO, 7), ALICE))
    assert works.runs == 0


def test_a_frame_stays_where_it_stood_while_nothing_is_new(works):
    steps = follow(Asked(DEMO, 1024), ALICE)
    found = [next(steps) for _ in range(5)]
    assert [news.frame is None for news in found] == [True, False, False, False, False]
    assert all(news.frame.total == 1024 and news.frame.report is None for news in found[1:])
    assert [news.seconds for news in found] == sorted(news.seconds for news in found)
    steps.close()


def test_a_real_run_is_kept_whole(log, assets, monkeypatch):
    monkeypatch.setattr(running, "here", lambda: MACHINE)
    *_, last = follow(Asked(DEMO, 1024, seed=9, twin=False), ALICE)
    again = list(follow(Asked(DEMO, 1024, seed=9, twin=False), BOB))
    assert again[-1].before
    assert again[-1].kept.report == last.kept.report
    assert np.array_equal(again[-1].kept.contributions, last.kept.contributions)
    assert without_time(last.kept.report) == without_time(synbench.score(DEMO, images=1024, seed=9))


def test_an_unexpected_error_is_logged_under_the_number_that_is_told(caplog):
    try:
        {}["what happened"]
    except KeyError:
        text = work.unexpected()
    number = re.fullmatch(NUMBER, text)[1]
    (record,) = [record for record in caplog.records if record.name == "synbench.space"]
    assert record.levelno == logging.ERROR
    assert number in record.getMessage()
    assert record.exc_info[0] is KeyError
