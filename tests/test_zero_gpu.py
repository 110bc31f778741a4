"""The app on ZeroGPU, emulated: the real client of ``spaces`` forks and pickles, and a stand-in lends the device."""

import base64
import contextlib
import importlib.util
import json
import os
import signal
import time
from pathlib import Path

import pytest
from gradio_client.exceptions import AppError

import synbench
from synbench.report import Report

from . import checkpoints
from .browser import launch_app
from .hub import Hub
from .zero_gpu import Devices

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("spaces") is None, reason="spaces is not installed: pip install spaces"
    ),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc"),
]
ENTRY = "/score"


def children(parent):
    """Return the processes that a process has started, by their id."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
            if int(ppid) == parent and state != "Z":
                found.append(int(stat.parent.name))
    return found


@pytest.fixture(scope="module")
def devices():
    with Devices() as made:
        yield made


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with Hub() as made:
        folder = tmp_path_factory.mktemp("models")
        made.create("org/vit", checkpoints.vit(folder / "vit"))
        made.create("org/text", checkpoints.text_only(folder / "text"))
        large = made.create("org/large", {})
        large.fields["siblings"] = [{"rfilename": "model.safetensors", "size": 80_000_000}]
        yield made


@pytest.fixture(scope="module")
def app(devices, hub, tmp_path_factory):
    env = {**devices.environment(tmp_path_factory.mktemp("zero")), "HF_ENDPOINT": hub.endpoint, "OMP_NUM_THREADS": "1"}
    with launch_app("tests.zero_gpu:build", env) as launched:
        yield launched
        # They outlive the app, and ignore the polite signal.
        for pid in children(launched.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def client(app):
    from gradio_client import Client

    return Client(app.url, verbose=False)


def without_time(record):
    return {name: value for name, value in record.items() if name not in ("seconds", "from_cache")}


def test_it_reports_that_it_has_started(devices, client):
    assert len(devices.asked("/startup-report")) == 1


def test_a_score_is_made_where_the_device_is_lent_and_is_the_same(app, devices, client):
    record = client.predict("synbench:demo", 1024, 3, False, api_name=ENTRY)
    expected = synbench.score("synbench:demo", images=1024, seed=3)
    assert without_time(record) == without_time(expected.to_dict())
    assert Report.from_dict(record).synbench_score == expected.synbench_score
    (lent,) = devices.asked("/allow")[-1:]
    assert int(lent["pid"]) in children(app.process.pid)
    assert int(lent["pid"]) != app.process.pid
    assert devices.asked("/release")[-1]["allowToken"] == lent["allowToken"]


def test_a_model_of_the_hub_with_its_twin_is_scored_too(devices, client, hub):
    record = client.predict("org/vit", 1024, 0, True, api_name=ENTRY)
    assert record["settings"]["model"]["commit"] == hub.repositories["models", "org/vit"].refs["main"]
    assert record["baseline"] is not None


def test_the_seconds_that_are_asked_for_follow_the_work(devices, client):
    asked = []
    for images, twin in ((1024, False), (16384, True)):
        with contextlib.suppress(AppError):
            client.predict("org/large", images, 0, twin, api_name=ENTRY)
        asked.append(int(devices.asked("/schedule")[-1]["durationSeconds"]))
    # At least 15, and half as much again as the 3 s of a start, 0.8 s of a download, and 32,768 forward passes.
    assert asked == [15, pytest.approx(1.5 * (3.8 + 32768 * 2 * 20e6 * 197 / 8e12), abs=1)]


def test_a_kept_result_takes_no_device(devices, client):
    first = client.predict("synbench:demo", 1024, 21, False, api_name=ENTRY)
    before = len(devices.calls)
    assert client.predict("synbench:demo", 1024, 21, False, api_name=ENTRY) == first
    assert len(devices.calls) == before


def test_what_goes_wrong_in_the_other_process_is_told_in_our_words(app, client):
    with pytest.raises(AppError, match="org/text") as raised:
        client.predict("org/text", 1024, 0, False, api_name=ENTRY)
    assert "Traceback" not in str(raised.value)
    assert "worker error" not in str(raised.value)


def visitor_token(name):
    """Return what the Hub's proxy tells ZeroGPU of a visitor, in a header."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({}, {"user": name})]
    return ".".join([*parts, "signature"])


def test_the_seconds_are_those_of_the_visitor_who_asks(app, devices):
    from gradio_client import Client

    client = Client(app.url, verbose=False, headers={"X-IP-Token": visitor_token("alice")})
    client.predict("synbench:demo", 1024, 61, False, api_name=ENTRY)
    assert devices.asked("/schedule")[-1]["token"] == visitor_token("alice")


@pytest.mark.parametrize(
    ("wait", "match"),
    [
        (
            3600,
            r"ZeroGPU says: You have exceeded your ZeroGPU quota \(15s requested vs\. 4s left\)\. Try again in 1:00:00",
        ),
        (-1, r"ZeroGPU says: The requested GPU duration \(15s\) is larger than the maximum allowed"),
    ],
    ids=["quota", "duration"],
)
def test_what_zero_gpu_does_not_lend_is_told_in_its_words(app, devices, monkeypatch, wait, match):
    from gradio_client import Client

    client = Client(app.url, verbose=False, headers={"X-IP-Token": visitor_token("alice")})
    monkeypatch.setattr(devices, "left", 4)
    monkeypatch.setattr(devices, "wait", wait)
    with pytest.raises(AppError, match=match) as raised:
        client.predict("synbench:demo", 1024, abs(wait), False, api_name=ENTRY)
    assert "or score the model on your own machine." in str(raised.value)
    monkeypatch.undo()
    assert client.predict("synbench:demo", 1024, abs(wait), False, api_name=ENTRY)["images"] == 1024


def test_a_process_that_is_killed_is_told_and_the_next_run_has_another(app, devices, client):
    before = len(devices.asked("/schedule"))
    job = client.submit("synbench:demo", 16384, 41, True, api_name=ENTRY)
    end = time.monotonic() + 20
    while len(devices.asked("/schedule")) == before or not devices.asked("/allow"):
        assert time.monotonic() < end
        time.sleep(0.02)
    time.sleep(0.5)  # of some seconds that the work takes
    pid = int(devices.asked("/allow")[-1]["pid"])
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(AppError, match=r"^ZeroGPU says: GPU task aborted\. Try again later"):
        job.result(timeout=30)
    assert client.predict("synbench:demo", 1024, 42, False, api_name=ENTRY)["images"] == 1024
    assert int(devices.asked("/allow")[-1]["pid"]) != pid
