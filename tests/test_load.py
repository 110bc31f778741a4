"""The app under load, and after the worst: many visitors at once, and a kill in the middle of a run."""

import contextlib
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gradio_client import Client

import synbench
from hub_tools.space import running, workers
from hub_tools.space.admission import Asked
from hub_tools.space.line import Line
from hub_tools.space.running import Visitor, follow
from hub_tools.space.work import Frame

from .browser import launch_app
from .hub import Hub
from .reports import make_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc"),
]
VISITORS = 20


@pytest.fixture(scope="module")
def env():
    """An environment whose Hub is the stand-in, and empty."""
    with Hub() as hub:
        yield {"HF_ENDPOINT": hub.endpoint, "OMP_NUM_THREADS": "1"}


def without_time(record):
    return {name: value for name, value in record.items() if name not in ("seconds", "from_cache")}


def of_session(session):
    """Return the processes of a session that are not ended, by id, with what they were started as."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, own = stat.read_text().rpartition(")")[2].split()[:4]
            if int(own) == session and state != "Z":
                found[int(stat.parent.name)] = (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def test_many_visitors_at_once_all_get_their_own_right_result(env):
    with launch_app("app.py", env) as app:
        # Two at each address: as through a proxy.
        named = [{"X-Forwarded-For": f"10.0.0.{number // 2}"} for number in range(VISITORS)]
        clients = [Client(app.url, verbose=False, headers=headers) for headers in named]
        together = threading.Barrier(VISITORS)

        def visit(seed):
            together.wait(30)
            return clients[seed].predict("synbench:demo", 1024, seed, False, api_name="/score")

        with ThreadPoolExecutor(VISITORS) as pool:
            found = list(pool.map(visit, range(VISITORS)))
        assert [record["settings"]["seed"] for record in found] == list(range(VISITORS))
        scores = {record["synbench_score"] for record in found}
        assert len(scores) == VISITORS, "each seed has images of its own"
        expected = synbench.score("synbench:demo", images=1024, seed=13)
        assert without_time(found[13]) == without_time(expected.to_dict())
        assert "Traceback" not in app.output


def test_each_of_many_visitors_is_told_a_place_that_comes_nearer(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path))
    one_lane, at_once = Line(lanes=1), []

    def run(admitted):
        at_once.append(admitted.asked.seed)
        assert len(at_once) == 1, "one run at a time"
        for _ in range(3):
            time.sleep(0.02)
            yield None
        at_once.clear()
        yield Frame(report=make_report(settings={"seed": admitted.asked.seed}), done=True)

    monkeypatch.setattr(workers, "run", run)
    monkeypatch.setattr(running, "line", lambda: one_lane)
    monkeypatch.setattr(running, "_LOOK", 0.02)
    together = threading.Barrier(VISITORS)

    def visit(seed):
        together.wait(30)
        return list(follow(Asked("synbench:demo", 1024, seed), Visitor(f"10.0.0.{seed}", "page")))

    with ThreadPoolExecutor(VISITORS) as pool:
        found = list(pool.map(visit, range(VISITORS)))
    waited = 0
    for seed, told in enumerate(found):
        places = [news.position for news in told]
        # The first news comes before the line.
        assert places[1:] == sorted(places[1:], reverse=True), "nobody is overtaken"
        assert all(news.position <= news.length for news in told)
        assert places[-1] == 0
        assert told[-1].kept.report.settings.seed == seed
        waited += max(places) > 0
    assert waited >= VISITORS - 2
    assert max(news.position for told in found for news in told) >= VISITORS // 2


def test_a_kill_leaves_no_process_and_no_half_file_and_the_next_start_goes_on_from_there(env, tmp_path):
    env = {**env, "HF_HOME": str(tmp_path), "SYNBENCH_CACHE_GB": "10"}
    question = ("synbench:demo", 4096, 77, False)
    with launch_app("app.py", env) as app:
        session = app.process.pid
        client = Client(app.url, verbose=False)
        client.predict("synbench:demo", 1024, 1, False, api_name="/score")
        before = set(tmp_path.rglob("*.safetensors"))
        client.submit(*question, api_name="/score")
        end = time.monotonic() + 30
        while len(set(tmp_path.rglob("*.safetensors")) - before) < 2:
            assert time.monotonic() < end
            time.sleep(0.005)
        assert len(of_session(session)) >= 3, "the app, the process that children are forked from, and the child"
        os.kill(session, signal.SIGKILL)
        app.process.wait(10)
        end = time.monotonic() + 5
        while left := of_session(session):
            assert time.monotonic() < end, left
            time.sleep(0.05)
    hidden = [file for file in tmp_path.rglob(".*") if file.is_file()]
    assert hidden == []
    with launch_app("app.py", env) as app:
        record = Client(app.url, verbose=False).predict(*question, api_name="/score")
    assert 512 <= record["from_cache"] < record["images"]
    assert without_time(record) == without_time(synbench.score("synbench:demo", images=4096, seed=77).to_dict())
