"""The parts of the app that need no page: its words, what it gives to copy, room on the disk, who a request is from."""

import asyncio
import csv
import functools
import io
import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import replace
from importlib import metadata
from types import SimpleNamespace

import pytest

import synbench
from hub_tools.space import preloaded, sessions, sharing, weights, words
from hub_tools.space.admission import Admitted, Asked
from hub_tools.space.hardware import look
from hub_tools.space.kept import key_of
from hub_tools.space.line import NotHereError
from hub_tools.space.running import News
from hub_tools.space.work import Frame, Plan, check_side, work
from synbench.errors import EncoderError, HubError
from synbench.versions import version_of

from .reports import make_report

CPU = look({}, gpu=False)
HOSTILE = "<img src=x onerror=alert(1)>"
ADMITTED = Admitted(Asked("org/model", 4096, 0, True, "a" * 40), 5_700_000, 23_000_000, "vit", 224, 360.0)
EXACT = Plan("ViTModel", (3, 224, 224), "last_hidden_state: class token", 192, "float32", "cpu")


def test_before_the_model_is_there_the_plan_tells_what_is_known_of_it():
    told = words.progress(News(ADMITTED), CPU, None, None)
    for part in (
        "org/model",
        "@ aaaaaaa",
        "5.7 M parameters",
        "images 3×224×224",
        "4,096 images, and again by its",
        "23 MB",
    ):
        assert part in told
    assert "About 6 min in all." in told


def test_in_line_at_work_and_done():
    waiting = words.progress(News(ADMITTED, position=2, length=5), CPU, None, None)
    assert "You are number 2 of 5 in line." in waiting
    working = words.progress(News(ADMITTED, frame=Frame(images=1024, total=4096)), CPU, EXACT, 12.0)
    assert 'max="4096" value="1024"' in working
    assert "1,024 of 4,096 images · about 12 s left" in working
    assert "last_hidden_state: class token, 192 dimensions · float32 on the CPU" in working
    assert "Done in 42 s." in words.finished(News(ADMITTED, seconds=42.1), CPU, EXACT)
    assert "Scored before" in words.finished(News(ADMITTED, before=True), CPU, EXACT)


def test_the_time_left_follows_the_pace_so_far():
    # Half of the encoder's images in 10 s: the other half, and the twin's, take 30 s.
    assert words.left(Frame(images=2048, total=4096), 10.0, True) == pytest.approx(30)
    assert words.left(Frame(images=2048, total=4096, twin=True), 30.0, True) == pytest.approx(10)
    assert words.left(Frame(images=2048, total=4096), 10.0, False) == pytest.approx(10)
    assert words.left(Frame(images=0, total=4096), 10.0, False) is None
    assert words.left(None, 10.0, False) is None


def test_what_comes_from_outside_is_escaped():
    asked = replace(ADMITTED.asked, model=HOSTILE)
    plan = replace(EXACT, pooling=HOSTILE, dtype=HOSTILE, device=HOSTILE)
    report = make_report(HOSTILE, meaning=HOSTILE, warnings=[HOSTILE])
    for told in (
        words.plan(replace(ADMITTED, asked=asked), CPU, plan),
        words.problem(HOSTILE),
        words.note(HOSTILE),
        words.headline(report),
    ):
        assert "<img" not in told
        assert "&lt;img" in told


def test_the_headline_has_as_many_digits_as_its_interval_allows():
    assert "<strong>0.680</strong>" in words.headline(make_report(score=0.68, stderr=0.0066))
    assert "<strong>0.6800</strong>" in words.headline(make_report(score=0.68, stderr=0.0005))
    few = words.headline(make_report(score=0.68, stderr=None, interval=None))
    assert "<strong>0.68</strong>" in few
    assert "too few images for an interval" in few
    assert "<strong>–</strong>" in words.headline(make_report(score=None, stderr=None))
    assert "so far, from 8,192 images" in words.headline(make_report(), partial=True)


def test_a_sentence_begins_with_a_capital():
    assert words.problem("expected this, got that.") == '<p role="alert" class="problem">Expected this, got that.</p>'


def test_what_is_copied_runs_and_gives_the_same_number(capsys, metric):
    del metric  # registers it
    report = synbench.score("synbench:demo", images=1024, seed=3)
    copied = sharing.snippets(report)
    exec(copied["Python"], {})
    printed = capsys.readouterr().out
    assert printed.split()[0] == str(report.synbench_score)
    name, *arguments = shlex.split(copied["Command line"])
    assert name == "synbench"
    command = [sys.executable, "-m", "synbench", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert json.loads(done.stdout)["synbench_score"] == report.synbench_score
    assert f"SynBench--Score-{report.synbench_score:.3f}-" in copied["Badge for a README"]


def test_of_a_model_on_the_hub_the_commit_is_copied_too():
    report = make_report("org/model", "b" * 40)
    copied = sharing.snippets(report)
    assert f'revision="{"b" * 40}"' in copied["Python"]
    assert f"--revision {'b' * 40}" in copied["Command line"]


@pytest.mark.parametrize("token", ["", sharing.MOCKED])
def test_without_a_real_token_nothing_is_asked(token):
    with pytest.raises(HubError, match="expected a visitor who is signed in"):
        sharing.preview(make_report(), token)


def test_what_is_not_on_the_hub_has_no_card():
    with pytest.raises(HubError, match="got that of synbench:demo: there is no card to put it on"):
        sharing.preview(synbench.score("synbench:demo", images=256), "hf_" + "x" * 20)


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({"origin": "https://me-app.hf.space", "host": "me-app.hf.space"}, True),
        ({"origin": "http://127.0.0.1:7860", "host": "127.0.0.1:7860"}, True),
        ({"origin": "https://evil.example", "host": "me-app.hf.space"}, False),
        ({"origin": "https://me-app.hf.space.evil.example", "host": "me-app.hf.space"}, False),
        ({"origin": "null", "host": "me-app.hf.space"}, False),
        ({"host": "me-app.hf.space"}, False),
        ({"origin": "https://evil.example", "host": "me", "x-forwarded-host": "evil.example"}, False),
        ({}, False),
    ],
)
def test_a_request_from_another_site_is_told_from_our_own(headers, own, monkeypatch):
    monkeypatch.delenv("SPACE_HOST", raising=False)
    assert sessions.from_own_page(SimpleNamespace(headers=headers)) is own


def test_behind_a_proxy_the_space_knows_its_own_name(monkeypatch):
    monkeypatch.setenv("SPACE_HOST", "me-app.hf.space")
    asked = SimpleNamespace(headers={"origin": "https://me-app.hf.space", "host": "10.0.0.1:7860"})
    assert sessions.from_own_page(asked)
    assert not sessions.from_own_page(None)


def test_on_a_space_visitors_are_told_apart_by_what_its_proxy_says(monkeypatch):
    def asked(forwarded):
        headers = {"x-forwarded-for": forwarded} if forwarded else {}
        client = SimpleNamespace(host="10.0.0.7")
        return sessions.visitor_of(SimpleNamespace(headers=headers, client=client, session_hash="s")).address

    monkeypatch.delenv("SPACE_ID", raising=False)
    assert asked("203.0.113.5") == "10.0.0.7", "what anybody can say counts nothing"
    monkeypatch.setenv("SPACE_ID", "me/app")
    assert asked("198.51.100.1, 203.0.113.5") == "203.0.113.5"
    assert asked(None) == "10.0.0.7"


def test_what_was_fetched_by_halves_is_removed(tmp_path):
    home = cached(tmp_path, "big", 10, 60)
    half = home / "blobs" / "abc.1234.incomplete"
    half.write_bytes(b"0" * 1000)
    weights.forget_halves("org/other", tmp_path)
    assert half.exists()
    weights.forget_halves("org/big", tmp_path)
    assert not half.exists()
    assert (home / "blobs" / ("d" * 40)).exists()


@pytest.mark.parametrize(
    ("target", "back"),
    [
        ("/?result=abc", "/?result=abc&sign_in=refused"),
        ("//evil.example", "/?sign_in=refused"),
        ("/\\evil.example", "/?sign_in=refused"),
        ("https://evil.example/", "/?sign_in=refused"),
        (None, "/?sign_in=refused"),
    ],
)
def test_after_a_no_at_the_hub_the_way_back_leads_to_this_app_only(target, back):
    from authlib.integrations.base_client.errors import OAuthError

    from hub_tools.space.look import LAUNCH

    answer = LAUNCH["app_kwargs"]["exception_handlers"][OAuthError]
    request = SimpleNamespace(query_params={"_target_url": target})
    assert asyncio.run(answer(request, OAuthError("access_denied"))).headers["location"] == back


def cached(folder, name, size, read):
    """Lay a model into a cache of the Hub's client, last read some seconds ago."""
    home = folder / f"models--org--{name}"
    (home / "blobs").mkdir(parents=True)
    (home / "refs").mkdir()
    commit = "c" * 40
    (home / "refs" / "main").write_text(commit)
    snapshot = home / "snapshots" / commit
    snapshot.mkdir(parents=True)
    blob = home / "blobs" / ("d" * 40)
    blob.write_bytes(b"0" * size)
    (snapshot / "model.safetensors").symlink_to(blob)
    os.utime(blob, (time.time() - read,) * 2)
    return home


def test_the_models_that_were_not_used_for_longest_make_room(tmp_path):
    homes = {name: cached(tmp_path, name, 1000, read) for name, read in (("old", 9e5), ("older", 9e6), ("new", 60))}
    assert weights.make_room(3000, tmp_path) == []
    assert weights.make_room(2500, tmp_path) == ["org/older"]
    assert [name for name, home in homes.items() if home.exists()] == ["old", "new"]
    # What was read a minute ago may be at work.
    assert weights.make_room(0, tmp_path) == ["org/old"]
    assert homes["new"].exists()
    assert weights.make_room(0, tmp_path / "nothing") == []


def test_the_scores_as_rows_are_those_of_the_record():
    report = synbench.score("synbench:demo", images=1024)
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert len(rows) == len(report.epsilons) * len(report.thresholds)
    for number, row in enumerate(rows):
        e, t = divmod(number, len(report.thresholds))
        assert (float(row["epsilon"]), float(row["threshold"])) == (report.epsilons[e], report.thresholds[t])
        assert float(row["score"]) == report.scores[e][t]
        assert [float(row["score_low"]), float(row["score_high"])] == report.scores_interval[e][t]
        assert float(row["kappa"]) == report.kappa[e]
        assert [float(row["kappa_low"]), float(row["kappa_high"])] == report.kappa_interval[e]
        assert (row["model"], row["commit"]) == ("synbench:demo", "")
    undefined = list(csv.DictReader(io.StringIO(make_report(score=None, protocol="paper", stderr=None).to_csv())))
    assert {row[name] for row in undefined for name in ("score", "score_low", "kappa", "kappa_high")} == {""}


def test_a_folder_that_is_not_installed_knows_its_version(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert version_of("synbench") == synbench.__version__
    assert version_of("torch") is None
    assert len(key_of(ADMITTED.asked, "cpu")) == 16


def test_what_is_asked_differently_is_kept_apart():
    asked = ADMITTED.asked
    others = [replace(asked, **{name: value}) for name, value in (("seed", 1), ("images", 2048), ("twin", False))]
    others.append(replace(asked, commit="b" * 40))
    keys = [key_of(asked, "cpu"), key_of(asked, "gpu"), *(key_of(other, "cpu") for other in others)]
    assert len(set(keys)) == 6
    assert key_of(replace(asked), "cpu") == keys[0]


def test_the_work_tells_its_plan_first_and_ends_with_the_score():
    frames = list(work(Asked("synbench:demo", 1024, 5, True)))
    assert frames[0].plan is not None
    assert (frames[0].plan.image_shape, frames[0].plan.dimension) == ((3, 16, 16), 64)
    assert [frame.done for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert {frame.twin for frame in frames} == {False, True}
    expected = synbench.score("synbench:demo", images=1024, seed=5, baseline="untrained")
    assert frames[-1].report.synbench_score == expected.synbench_score
    assert frames[-1].report.baseline.synbench_score == expected.baseline.synbench_score
    # In the order of the draws, three for four images.
    assert len(frames[-1].contributions) == 768


def test_no_exception_leaves_the_work(monkeypatch, caplog):
    def failing(error):
        def stream(*_, **__):
            raise error
            yield

        monkeypatch.setattr("synbench.streaming.stream", stream)
        (frame,) = work(Asked("org/model", 1024))
        return frame.error

    told = failing(EncoderError("expected this, got that. Pass trust_remote_code=True, or a local folder."))
    assert told == (
        "expected this, got that. It cannot be scored here; on your own machine, synbench check org/model tells more."
    )
    assert failing(NotHereError("too large. Try elsewhere.")) == "too large. Try elsewhere."
    told = failing(ZeroDivisionError("a secret"))
    assert "Something went wrong here, and it is not your fault." in told
    assert "a secret" not in told
    assert told.rpartition(": ")[2].rstrip(".") in caplog.text


def test_images_that_are_too_large_are_not_drawn():
    plan = replace(EXACT, image_shape=(3, 32, 4096))
    with pytest.raises(NotHereError, match="takes images of 4096 pixels a side, and this app draws 1024 at most"):
        check_side("org/model", plan)


def test_what_is_preloaded_leaves_the_threads_as_they_were():
    import torch

    before = torch.get_num_threads()
    try:
        assert preloaded.load() >= 1
        preloaded.all_cores()
        assert torch.get_num_threads() == preloaded.load()
    finally:
        torch.set_num_threads(before)


def test_the_server_imports_nothing_more_once_it_runs_in_a_thread():
    program = """
import contextlib, sys, threading, time, urllib.request
import anyio, uvicorn
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

class Finder:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is not threading.main_thread():
            found.append(name)

@contextlib.asynccontextmanager
async def lifespan(app):
    async with anyio.Lock(), anyio.create_task_group():
        yield

if sys.argv[1] == "preloaded":
    from hub_tools.space.look import preload_server
    preload_server()
found = []
sys.meta_path.insert(0, Finder())
app = FastAPI(lifespan=lifespan)
app.add_middleware(CORSMiddleware)
server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
thread = threading.Thread(target=server.run)
thread.start()
while not server.started and thread.is_alive():
    time.sleep(0.01)
port = server.servers[0].sockets[0].getsockname()[1]
assert urllib.request.urlopen(f"http://127.0.0.1:{port}/docs").status == 200
server.should_exit = True
thread.join()
# What is not installed is looked for again, and there is nothing of it to be half there.
print(*sorted(set(found) & set(sys.modules)))
"""
    run = functools.partial(subprocess.run, capture_output=True, text=True, timeout=100, check=True)
    # Without it there is something to import: what the test looks at can be seen.
    bare = run([sys.executable, "-c", program, "as it is"]).stdout.split()
    assert {"uvicorn.lifespan.on", "anyio._backends._asyncio"} <= set(bare)
    assert run([sys.executable, "-c", program, "preloaded"]).stdout.split() == []
