"""The service: who may set it to work, what it takes in, what survives a kill, and that it never sets itself off."""

import ast
import contextlib
import hmac
import http.client
import inspect
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hub_tools.annotation.consent import Consent
from hub_tools.annotation.plan_settings import checked
from hub_tools.annotation.scored import result_path
from hub_tools.client.failures import Failure, RequestError
from hub_tools.client.hub import Hub, PullRequest, State
from hub_tools.client.pacing import Pace, StopError
from hub_tools.commands.serve import serve
from hub_tools.commands.serve import sweep as sweep_command
from hub_tools.service import service, serving, worker
from hub_tools.service.queue_file import FILE, only_worker
from hub_tools.service.sweeping import authors_of, since, sweep
from hub_tools.service.waiting import DELAYS, LastScore, Waiting
from hub_tools.service.worker import NotScoredError, Worker
from synbench.errors import ArgumentError, HubError, OutputError, RepresentationError
from synbench.report import Report

from . import checkpoints
from .hub import Fault
from .hub import Hub as StandInHub
from .reports import make_report

ROOT = Path(__file__).parent.parent
SECRET = "correct horse battery staple"
ALLOWED = Consent(frozenset({"org/model", "lab/*"}))
A, B, C = "a" * 40, "b" * 40, "c" * 40


def event(repo_id="org/model", head=A, ref="refs/heads/main", scope="repo.content", **changes):
    """What the Hub sends when a branch of a model has moved."""
    return {
        "event": {"action": "update", "scope": scope},
        "repo": {
            "type": "model",
            "name": repo_id,
            "id": "0" * 24,
            "private": False,
            "url": {"web": "https://huggingface.co/x", "api": "https://huggingface.co/api/models/x"},
            "owner": {"id": "1" * 24},
            "headSha": head,
            "tags": [],
        },
        "updatedRefs": [{"ref": ref, "oldSha": "0" * 40, "newSha": head}],
        "webhook": {"id": "2" * 24, "version": 3},
        **changes,
    }


@pytest.fixture
def queue(tmp_path):
    with Waiting(tmp_path / FILE) as made:
        yield made


@contextlib.contextmanager
def served(app):
    """Run an application on loopback, and give its port."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)


def post(port, body, secret=SECRET, path="/webhook"):
    """Send a webhook, and return the status and what is told."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    given = {} if secret is None else {"X-Webhook-Secret": secret}
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", path, body, {"Content-Type": "application/json", **given})
    answer = connection.getresponse()
    read = answer.read()
    connection.close()
    return answer.status, json.loads(read)["told"] if answer.headers["Content-Type"] == "application/json" else None


def begun(port, header, body=b"", secret=SECRET):
    """Send the beginning of a request, and return the status of the answer that comes before its end."""
    head = f"POST /webhook HTTP/1.1\r\nHost: x\r\nX-Webhook-Secret: {secret}\r\n{header}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head.encode() + body)
        return int(connection.recv(100).split()[1])


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    with (
        Waiting(tmp_path_factory.mktemp("web") / FILE) as made,
        served(service.make_app(SECRET.encode(), ALLOWED.refusal, made)) as found,
    ):
        yield found, made


@pytest.fixture
def port(web):
    return web[0]


@pytest.fixture
def seen(web):
    """The queue behind ``port``, empty."""
    with web[1].transaction() as run:
        run("DELETE FROM models")
    return web[1]


class TestSender:
    def test_without_the_secret_nothing_is_read(self, port, seen):
        assert post(port, event(), secret=None) == (401, "expected the webhook's secret in the header X-Webhook-Secret")
        assert post(port, event(), secret="correct horse battery stapl") == (403, "this is not the webhook's secret")
        assert post(port, event(), secret=SECRET + "e")[0] == 403
        # Not even the size of the body.
        assert begun(port, f"Content-Length: {service.LARGEST_BODY + 1}", secret="no") == 403
        assert seen.rows() == []
        assert post(port, event()) == (202, "queued")

    def test_the_comparison_takes_the_same_time_whatever_is_right(self, monkeypatch):
        compared = []
        real = hmac.compare_digest
        monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b))
        assert service.check_sender("x" * 28, SECRET.encode()).status == 403
        assert service.check_sender(SECRET, SECRET.encode()) is None
        assert compared == [(b"x" * 28, SECRET.encode()), (SECRET.encode(), SECRET.encode())]
        # There is no other comparison of the two.
        tree = ast.parse(inspect.getsource(service.check_sender))
        compares = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
        assert [ast.unparse(node) for node in compares] == ["given is None"]

    def test_a_secret_of_any_characters_works(self, queue):
        secret = "schlüssel für den dienst"
        with served(service.make_app(secret.encode(), ALLOWED.refusal, queue)) as found:
            assert post(found, event(), secret=secret.encode().decode("latin-1"))[0] == 202

    def test_no_secret_or_a_short_one_is_refused_without_repeating_it(self, monkeypatch):
        with pytest.raises(ArgumentError, match="in the environment variable HOOK, and it is not set"):
            serving.take_secret("HOOK")
        monkeypatch.setenv("HOOK", "hunter2")
        with pytest.raises(ArgumentError, match="must have at least 16 characters, got 7") as caught:
            serving.take_secret("HOOK")
        assert "hunter2" not in str(caught.value)

    def test_the_secret_leaves_the_environment_that_child_processes_get(self, monkeypatch):
        monkeypatch.setenv("HOOK", SECRET)
        assert serving.take_secret("HOOK") == SECRET.encode()
        assert "HOOK" not in os.environ


class TestEvents:
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (event(ref="refs/pr/3"), "main did not change"),
            (event(ref="refs/heads/dev"), "main did not change"),
            (event(updatedRefs=None), "main did not change"),
            (event(head=None), "main did not change"),
            (event(scope="discussion"), "not about the content of a repository"),
            (event(scope="discussion.comment"), "not about the content of a repository"),
            (event(scope="repo.config"), "not about the content of a repository"),
            (event("other/model"), "not allowed"),
            (event("labs/model"), "not allowed"),
            (event("../../etc/passwd"), "not the name of a model"),
            (event("org/model\n"), "not the name of a model"),
            (event(repo={**event()["repo"], "type": "dataset"}), "not a model"),
            (event(repo={**event()["repo"], "private": True}), "a private model"),
            (event(repo={"type": "model", "name": "org/model"}), "a private model"),
        ],
    )
    def test_what_calls_for_nothing_is_told_why(self, port, seen, body, reason):
        assert post(port, body) == (200, f"ignored: {reason}")
        assert seen.rows() == []

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b'"' + b"x" * 1000, json.dumps({"event": {}}).encode()],
        ids=lambda body: body[:6].decode("latin-1"),
    )
    def test_what_is_no_event_is_malformed(self, port, seen, body):
        status, told = post(port, body)
        assert (status, told.startswith("expected")) == (400, True)
        assert seen.rows() == []

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"webhook": {"id": "x", "version": 2}}, "expected an event of version 3 of the Hub's webhooks"),
            ({"event": {"action": "update"}}, "expected an event with event.scope, repo.type and repo.name"),
            ({"updatedRefs": {"ref": "x"}}, "expected updatedRefs to be a list of refs"),
            ({"updatedRefs": ["x"]}, "expected updatedRefs to be a list of refs"),
            ({"repo": []}, "expected an event of the Hub, with the object 'repo'"),
        ],
    )
    def test_what_is_not_as_the_hub_writes_it_is_malformed(self, port, seen, changes, told):
        assert post(port, event(**changes)) == (400, told)

    def test_a_body_that_is_too_large_is_refused_before_it_is_read(self, port, seen):
        size = service.LARGEST_BODY + 1
        assert begun(port, f"Content-Length: {size}") == 413
        assert begun(port, "Content-Length: " + "9" * 30) in (400, 413)
        # Also one that does not tell its size; its end is never sent.
        chunk = f"{size:x}\r\n".encode() + b" " * size + b"\r\n"
        assert begun(port, "Transfer-Encoding: chunked", chunk) == 413
        assert post(port, json.dumps(event()).encode().ljust(size - 1))[0] == 202

    def test_the_client_of_the_hub_reads_the_same_event(self):
        from huggingface_hub import WebhookPayload

        payload = WebhookPayload(**event(head=B))
        assert payload.repo.head_sha is None, "the commit is there by now: use it"
        assert payload.updatedRefs[0].newSha == service.read_event(json.dumps(event(head=B)).encode()).head == B

    def test_events_of_one_model_are_one_line_and_a_replay_is_none(self, port, seen):
        assert post(port, event())[0] == 202
        assert post(port, event()) == (200, "ignored: this commit is known already")
        assert post(port, event(head=B)) == (202, "queued")
        assert post(port, event("lab/other"))[0] == 202
        assert [(row.repo_id, row.head) for row in seen.rows()] == [("org/model", B), ("lab/other", A)]

    def test_other_paths_and_methods_are_not_there(self, port, seen):
        assert post(port, event(), path="/")[0] == 404
        assert post(port, event(), path="/healthz")[0] == 405

    def test_health_tells_numbers_and_no_names(self, queue):
        well = [True]
        with served(service.make_app(SECRET.encode(), ALLOWED.refusal, queue, at_work=lambda: well[0])) as found:
            post(found, event())
            connection = http.client.HTTPConnection("127.0.0.1", found, timeout=10)
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            told = answer.read()
            assert answer.status == 200
            assert json.loads(told) == {
                "at_work": True,
                "models": {"waiting": 1, "running": 0, "done": 0, "failed": 0},
            }
            well[0] = False
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 503
            connection.close()

    def test_the_worker_is_woken_by_what_is_queued_alone(self, queue):
        woken = []
        app = service.make_app(SECRET.encode(), ALLOWED.refusal, queue, wake=lambda: woken.append(1))
        with served(app) as found:
            for body in (event("other/model"), event(), event()):
                post(found, body)
        assert woken == [1]

    def test_a_missing_package_says_what_to_install(self, monkeypatch, queue):
        monkeypatch.setitem(sys.modules, "starlette.applications", None)
        with pytest.raises(ArgumentError, match=r"needs the package 'starlette.*pip install 'synbench\[service\]'"):
            service.make_app(SECRET.encode(), ALLOWED.refusal, queue)


class TestQueue:
    def test_models_take_turns_in_order_of_arrival_the_newest_commit_wins(self, queue):
        for repo, head in (("o/a", A), ("o/b", A), ("o/a", B)):
            queue.add(repo, head)
        first, second = queue.claim(), queue.claim()
        assert [(t.repo_id, t.head, t.attempt) for t in (first, second)] == [("o/a", B, 1), ("o/b", A, 1)]
        assert queue.claim() is None

    def test_an_event_during_the_work_is_worked_off_after_it(self, queue):
        queue.add("o/a", A)
        task = queue.claim()
        assert queue.add("o/a", B)
        assert queue.claim() is None, "it is at work already"
        queue.finish(task, "done", A)
        again = queue.claim()
        assert (again.head, again.attempt) == (B, 1)
        queue.finish(again, "done", B)
        assert queue.claim() is None

    def test_an_event_of_the_commit_that_was_looked_at_is_answered(self, queue):
        queue.add("o/a", A)
        task = queue.claim()
        # The worker saw B, whose event came late.
        queue.add("o/a", B)
        queue.finish(task, "done", B)
        assert queue.claim() is None
        assert not queue.add("o/a", B)

    def test_a_late_event_of_an_old_commit_is_looked_at_once_and_changes_nothing(self, queue):
        queue.add("o/a", B)
        queue.finish(queue.claim(), "done", B)
        assert queue.add("o/a", A)
        queue.finish(queue.claim(), "nothing to do", B)
        assert queue.rows()[0].head == B
        assert not queue.add("o/a", B)

    def test_failures_are_tried_again_later_each_time_and_then_no_more(self, tmp_path):
        now = [1000.0]
        with Waiting(tmp_path / FILE, clock=lambda: now[0]) as queue:
            queue.add("o/bad", A)
            for number, delay in enumerate(DELAYS, 1):
                task = queue.claim()
                assert task.attempt == number
                assert queue.fail(task, "out of memory")
                now[0] += delay - 1
                assert queue.claim() is None
                now[0] += 2
            assert not queue.fail(queue.claim(), "out of memory")
            now[0] += 1e9
            assert queue.claim() is None
            assert queue.counts()["failed"] == 1
            assert not queue.add("o/bad", A), "the same commit must not bring it back"
            assert queue.add("o/bad", B)
            assert queue.claim().attempt == 1

    def test_a_failure_for_good_is_not_tried_again_until_somebody_says_so(self, queue):
        queue.add("o/bad", A)
        assert not queue.fail(queue.claim(), "a text model", for_good=True)
        assert queue.claim() is None
        assert [(row.state, row.told) for row in queue.rows()] == [("failed", "a text model")]
        assert queue.revive() == 1
        assert queue.claim().attempt == 1

    def test_a_wait_that_the_hub_asks_for_is_kept_and_limited(self, tmp_path):
        now = [0.0]
        with Waiting(tmp_path / FILE, clock=lambda: now[0]) as queue:
            queue.add("o/a", A)
            queue.fail(queue.claim(), "busy", wait=500)
            now[0] = 499
            assert queue.claim() is None
            now[0] = 501
            queue.fail(queue.claim(), "busy", wait=1e12)
            now[0] += 24 * 3600 + 1
            assert queue.claim() is not None

    def test_a_clock_that_is_set_back_holds_nothing(self, tmp_path):
        now = [1e9]
        with Waiting(tmp_path / FILE, clock=lambda: now[0]) as queue:
            queue.add("o/a", A)
            queue.fail(queue.claim(), "busy")
            now[0] = 0.0
            assert queue.claim() is not None

    def test_what_was_unfinished_is_begun_again_but_not_for_ever(self, tmp_path):
        path = tmp_path / FILE
        with Waiting(path) as queue:
            queue.add("o/a", A)
        for number in range(1, len(DELAYS) + 2):
            with Waiting(path) as queue:
                assert queue.recover() == (number > 1)
                assert queue.claim().attempt == number
        with Waiting(path) as queue:
            assert queue.recover() == 0
            assert queue.rows()[0].state == "failed"

    def test_what_is_given_back_has_not_been_tried(self, queue):
        queue.add("o/a", A)
        queue.give_back(queue.claim())
        assert queue.claim().attempt == 1

    def test_there_is_one_worker_and_a_killed_one_leaves_no_lock(self, tmp_path):
        path = tmp_path / FILE
        code = (
            "import sys, time; from pathlib import Path; from hub_tools.service.queue_file import only_worker\n"
            "with only_worker(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
        )
        child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
        try:
            assert child.stdout.readline() == "held\n"
            with pytest.raises(ArgumentError, match="another process works off the queue"), only_worker(path):
                pass
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
        with only_worker(path):
            pass

    def test_adding_from_many_threads_and_processes_loses_nothing(self, tmp_path):
        path = tmp_path / FILE
        with Waiting(path) as queue:
            code = (
                "import sys; from pathlib import Path; from hub_tools.service.waiting import Waiting\n"
                "with Waiting(Path(sys.argv[1])) as q: [q.add(f'p{sys.argv[2]}/m{k}', 'a' * 40) for k in range(30)]"
            )
            children = [subprocess.Popen([sys.executable, "-c", code, str(path), str(n)]) for n in range(2)]
            threads = [
                threading.Thread(target=lambda n=n: [queue.add(f"t{n}/m{k}", A) for k in range(30)]) for n in range(2)
            ]
            for thread in threads:
                thread.start()
            for one in (*threads, *children):
                one.join() if isinstance(one, threading.Thread) else one.wait()
            assert [child.returncode for child in children] == [0, 0]
            assert queue.counts()["waiting"] == 120

    def test_a_kill_in_the_middle_of_writing_leaves_a_queue(self, tmp_path):
        path = tmp_path / FILE
        code = (
            "import sys, itertools; from pathlib import Path; from hub_tools.service.waiting import Waiting\n"
            "with Waiting(Path(sys.argv[1])) as q:\n"
            "  for k in itertools.count():\n"
            "    q.add(f'o/m{k}', 'a' * 40); print(k, flush=True)"
        )
        child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(20):
            child.stdout.readline()
        child.kill()
        rest = child.stdout.read().split()
        child.wait()
        child.stdout.close()
        last = int(rest[-1]) if rest else 19
        with Waiting(path) as queue:
            # What was said to be queued is, and at most the one after it.
            assert len(queue.rows()) in (last + 1, last + 2)
            assert [row.repo_id for row in queue.rows()[:3]] == ["o/m0", "o/m1", "o/m2"]

    def test_an_interruption_in_the_middle_of_a_statement_leaves_no_half_of_it(self, queue):
        def interrupted():
            with queue.transaction() as run:
                run("INSERT INTO sweeps VALUES ('lab', 'now')")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        queue._connection.execute("BEGIN IMMEDIATE")
        queue._connection.execute("INSERT INTO sweeps VALUES ('org', 'now')")
        assert (queue.moment("lab"), queue.moment("org")) == (None, None)

    def test_what_is_no_queue_is_refused(self, tmp_path):
        with pytest.raises(OutputError, match="cannot open the queue"):
            Waiting(tmp_path / "nothing" / FILE)
        (tmp_path / FILE).write_bytes(b"This is no database. " * 100)
        with pytest.raises(ArgumentError, match=r"expected a queue in .*got something else"):
            Waiting(tmp_path / FILE)
        newer = tmp_path / "newer"
        with contextlib.closing(sqlite3.connect(newer)) as made:
            made.execute("PRAGMA user_version = 99")
        with pytest.raises(ArgumentError, match=r"expected a queue of format 1 in .*, got 99"):
            Waiting(newer)

    def test_scores_and_moments_are_remembered(self, tmp_path):
        score = LastScore("o/a", A, "weights", settled=False)
        with Waiting(tmp_path / FILE) as queue:
            assert (queue.last_score("o/a"), queue.moment("lab")) == (None, None)
            queue.keep_score(score)
            queue.keep_score(LastScore("o/b", A, "weights", settled=True))
            queue.keep_moment("lab", "2026-08-01T00:00:00.000Z")
        with Waiting(tmp_path / FILE) as queue:
            assert queue.last_score("o/a") == score
            assert queue.last_score("o/b").settled
            assert queue.moment("lab") == "2026-08-01T00:00:00.000Z"


class StandIn:
    """A client to a Hub of one model, without a network."""

    def __init__(self, **state):
        self.state_of = {"repo_id": "org/model", "sha": A, "private": False, "gated": False, "disabled": False}
        self.state_of |= {"files": {"model.safetensors": "1"}, **state}
        self.pulls: list[PullRequest] = []
        self.asked: list[str] = []
        self.error: Exception | None = None

    def push(self, sha, weights):
        self.state_of |= {"sha": sha, "files": {"model.safetensors": weights}}

    def state(self, repo_id):
        self.asked.append(repo_id)
        if self.error is not None:
            raise self.error
        return State(**self.state_of)

    def pull_requests(self, repo_id):
        return self.pulls


class Scores:
    """In place of a process: leaves a made-up report, or fails."""

    def __init__(self, folder):
        self.folder, self.done, self.error = folder, [], None

    def __call__(self, repo_id, commit):
        self.done.append((repo_id, commit))
        if self.error is not None:
            raise self.error
        report = make_report(repo_id, commit, model={"pooling_reason": "by the rule"})
        result_path(self.folder, repo_id).write_text(report.to_json())


@pytest.fixture
def hub():
    return StandIn()


@pytest.fixture
def scores(tmp_path):
    return Scores(tmp_path)


@pytest.fixture
def make(queue, hub, scores, tmp_path):
    def make(propose=None):
        said = []
        made = Worker(queue, lambda: hub, ALLOWED.refusal, scores, tmp_path, checked({}), propose, said.append)
        made.said = said
        return made

    return make


class TestWorker:
    def test_a_model_is_scored_once_however_many_commits_leave_its_weights_alone(self, make, queue, hub, scores):
        worker = make()
        queue.add("org/model", A)
        assert worker.step()
        hub.state_of["sha"] = B
        queue.add("org/model", B)
        assert worker.step()
        assert scores.done == [("org/model", A)]
        assert [row.told for row in queue.rows()] == ["nothing to do: the weights are those that were scored"]
        hub.push(C, "2")
        queue.add("org/model", C)
        worker.step()
        assert scores.done == [("org/model", A), ("org/model", C)]
        assert worker.said[0] == "org/model: score 0.6800 ± 0.0066 at aaaaaaa; nothing is published without --yes"
        assert not worker.step()

    def test_what_is_there_now_is_scored_not_what_an_event_told(self, make, queue, hub, scores):
        hub.push(B, "2")
        queue.add("org/model", A)
        make().step()
        assert scores.done == [("org/model", B)]
        assert not queue.add("org/model", B), "the late event of what was scored is answered"

    @pytest.mark.parametrize(
        ("state", "reason"),
        [
            ({"private": True}, "it is private, and its score would be public"),
            ({"gated": True}, "it is gated"),
            ({"disabled": True}, "it is disabled"),
            ({"files": {"pytorch_model.bin": "1"}}, "it has no safetensors files"),
            ({"repo_id": "org/renamed"}, "it is called org/renamed now"),
        ],
    )
    def test_what_must_not_be_scored_is_left_alone(self, make, queue, hub, scores, state, reason):
        hub.state_of |= state
        queue.add("org/model", A)
        make().step()
        assert scores.done == []
        assert queue.rows()[0].told == f"left alone: {reason}"

    def test_a_model_that_is_not_allowed_any_more_is_not_even_looked_at(self, make, queue, hub):
        queue.add("other/model", A)
        make().step()
        assert hub.asked == []
        assert queue.rows()[0].told == "left alone: not allowed"

    def test_an_owner_who_closed_the_pull_request_costs_no_score(self, make, queue, hub, scores):
        hub.pulls = [PullRequest(3, "closed", "refs/pr/3", "url")]
        queue.add("org/model", A)
        make(propose=lambda *_: pytest.fail("not to be asked")).step()
        assert scores.done == []
        assert queue.rows()[0].told == "left alone: its owner closed the pull request"

    def test_a_score_that_could_not_be_published_is_published_later_and_not_made_again(self, make, queue, scores):
        proposed = []

        def propose(_, report, last):
            proposed.append((report.synbench_score, last.weights))
            if len(proposed) == 1:
                raise RequestError("no answer", Failure("unknown", "no answer."))
            return "opened"

        worker = make(propose)
        queue.add("org/model", A)
        worker.step()
        assert worker.said == ["org/model: attempt 1 failed, to be tried again: no answer."]
        queue._clock = lambda: time.time() + 3600
        worker.step()
        assert len(scores.done) == 1
        assert len(proposed) == 2
        assert queue.rows()[0].told == "score 0.6800 ± 0.0066 at aaaaaaa; opened"
        queue.add("org/model", B)
        worker.step()
        assert len(proposed) == 2, "it is settled"

    def test_what_was_scored_without_yes_is_published_with_it(self, make, queue, scores):
        queue.add("org/model", A)
        make().step()
        queue.add("org/model", B)
        make(propose=lambda *_: "opened").step()
        assert len(scores.done) == 1
        assert queue.rows()[0].told.endswith("; opened")

    @pytest.mark.parametrize(
        ("error", "state"),
        [
            (NotScoredError("it is a text model", for_good=True), "failed"),
            (RepresentationError("a class is missing"), "failed"),
            (NotScoredError("killed by signal 9", for_good=False), "waiting"),
            (OutputError("no space left"), "waiting"),
            (MemoryError(), "waiting"),
            (RuntimeError("a bug"), "waiting"),
        ],
        ids=repr,
    )
    def test_a_model_that_fails_does_not_end_the_work(self, make, queue, scores, error, state):
        scores.error = error
        queue.add("org/model", A)
        queue.add("lab/other", A)
        worker = make()
        assert worker.step()
        assert worker.step()
        assert queue.rows()[0].state == state

    @pytest.mark.parametrize(
        ("failure", "state"),
        [
            (Failure("permanent", "there is no such repository.", status=404), "failed"),
            (Failure("later", "the Hub cannot be reached."), "waiting"),
            (Failure("unknown", "the Hub has a fault (503).", status=503), "waiting"),
        ],
    )
    def test_errors_of_the_hub_are_told_apart(self, make, queue, hub, failure, state):
        hub.error = RequestError("cannot look", failure)
        queue.add("org/model", A)
        make().step()
        assert [(row.state, row.told) for row in queue.rows()] == [(state, failure.reason)]

    def test_tokens_are_taken_out_of_what_is_told(self, make, queue, hub):
        token = "hf_" + "abcdefghijklmnopqrstuvwxyz"
        hub.error = ValueError(f"Authorization: Bearer {token}")
        queue.add("org/model", A)
        worker = make()
        worker.step()
        assert token not in queue.rows()[0].told + "".join(worker.said)

    def test_a_hub_that_refuses_everything_is_left_in_peace_and_no_model_suffers(self, make, queue, hub, monkeypatch):
        stopped = StopError("stopped: the Hub refused 5 reads in a row.", Failure("later", "refused", refused=True))
        hub.error = stopped
        monkeypatch.setattr(worker, "REST", 0.01)
        queue.add("org/model", A)
        made, stop, wake = make(), threading.Event(), threading.Event()
        connected = []
        made.connect = lambda: connected.append(1) or hub

        def say(message):
            made.said.append(message)
            hub.error = None
            if len(made.said) == 2:
                stop.set()

        made.say = say
        made.run(stop, wake, pause=0.01)
        assert made.said[0] == "nothing is done for a while: stopped: the Hub refused 5 reads in a row."
        assert len(connected) == 2, "the old client asks nothing any more"
        assert queue.rows()[0].state == "done"
        assert queue.rows()[0].attempts == 1
        assert made.trouble is None

    def test_trouble_with_the_disk_is_told_and_waited_for(self, make, queue, monkeypatch):
        made, stop = make(), threading.Event()

        def broken():
            stop.set()
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(queue, "claim", broken)
        made.run(stop, threading.Event(), pause=0.01)
        assert made.trouble == "database or disk is full"

    def test_an_interruption_gives_the_model_back(self, make, queue, scores):
        scores.error = KeyboardInterrupt()
        queue.add("org/model", A)
        with pytest.raises(KeyboardInterrupt):
            make().step()
        assert [(row.state, row.attempts) for row in queue.rows()] == [("waiting", 0)]

    def test_a_result_of_other_settings_is_made_anew(self, make, queue, scores, hub):
        queue.add("org/model", A)
        make().step()
        worker = make()
        worker.settings = checked({"images": 1024})
        queue.add("org/model", B)
        worker.step()
        assert len(scores.done) == 2
        assert queue.rows()[0].told == "its result is not what was asked for"


class TestScorer:
    def test_failures_of_the_process_are_told_apart(self, tmp_path, monkeypatch):
        from hub_tools.annotation import children

        (tmp_path / "logs").mkdir()
        score = worker.scorer(tmp_path, {}, 60.0)
        commands = {
            "for good": ("import sys; print('synbench: it is a text model.', file=sys.stderr); sys.exit(3)", True),
            "this machine": ("import sys; print('synbench: no such option', file=sys.stderr); sys.exit(2)", False),
            "killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", False),
        }
        for code, for_good in commands.values():
            monkeypatch.setattr(children, "command", lambda *_, code=code: [sys.executable, "-c", code])
            with pytest.raises(NotScoredError) as caught:
                score("org/model", A)
            assert caught.value.for_good == for_good


class TestSweep:
    def models(self, *days):
        return [
            {"id": f"lab/m{day}", "sha": f"{day:040x}", "lastModified": f"2026-08-{day:02}T00:00:00.000Z"}
            for day in days
        ]

    def test_a_list_is_read_no_further_than_the_last_moment_less_an_hour(self):
        read = []

        def listed():
            for model in self.models(9, 8, 7, 6):
                read.append(model["id"])
                yield model

        moment, found = since(listed(), "2026-08-08T00:59:00.000Z")
        assert moment == "2026-08-09T00:00:00.000Z"
        assert [m["id"] for m in found] == ["lab/m9", "lab/m8"]
        assert read == ["lab/m9", "lab/m8", "lab/m7"]
        assert [m["id"] for m in since(listed(), "2026-08-08T01:01:00.000Z")[1]] == ["lab/m9"]

    def test_all_of_a_list_is_read_the_first_time_and_nothing_keeps_the_moment(self):
        assert len(since(self.models(3, 2, 1), None)[1]) == 3
        assert since([], "2026-08-01T00:00:00.000Z") == ("2026-08-01T00:00:00.000Z", [])
        assert since([{"lastModified": "soon"}, {}], None)[0] is None

    def test_authors_are_as_they_are_written(self, tmp_path):
        (tmp_path / "repos").write_text("\ufeffGoogle/*  # all\n\n# none\nme/one\nme/two\n", encoding="utf-8")
        assert authors_of(tmp_path / "repos") == {"Google", "me"}


def test_a_handler_that_ends_by_itself_ends_the_service(tmp_path, monkeypatch):
    import uvicorn

    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
    work = serving.Work(tmp_path, ALLOWED, {}, None, 1.0, lambda _: None)
    with pytest.raises(OutputError, match="the webhook handler has ended by itself"):
        serving.serve(work, SECRET.encode(), host="127.0.0.1", port=0)


def test_publishing_without_a_login_is_refused_at_the_start(tmp_path):
    work = serving.Work(tmp_path, ALLOWED, {}, serving.publisher(), 1.0, lambda _: None)
    with pytest.raises(HubError, match="nobody is logged in"), serving.opened(work):
        pass


class TestLists:
    def test_which_models_may_be_scored_is_read_from_files(self, tmp_path):
        (tmp_path / "repos").write_text("lab/*\n")
        (tmp_path / "deny").write_text("lab/secret\n")
        consent = serving.read_repos(tmp_path / "repos", tmp_path / "deny")
        assert [consent.refusal(name) for name in ("lab/a", "lab/secret", "org/a")] == [None, "denied", "not allowed"]
        (tmp_path / "repos").write_text("# nobody\n")
        with pytest.raises(ArgumentError, match="names no model, so nothing may be scored"):
            serving.read_repos(tmp_path / "repos")


# ---------------------------------------------------------------- against the stand-in Hub, with the real client


@pytest.fixture
def site():
    with StandInHub() as running:
        running.sign_up("bot", token="hf_bot")
        running.sign_up("owner", token="hf_owner", orgs=("org", "lab"))
        yield running


@pytest.fixture
def repo(site):
    return site.create("org/model", {"README.md": b"# Model\n", "config.json": b"{}", "model.safetensors": b"one"})


@pytest.fixture
def loop(site, queue, scores, tmp_path):
    """A worker that publishes, and the way from a webhook's body to what is told."""
    made = Worker(
        queue,
        lambda: Hub("hf_bot", site.endpoint, Pace(per_hour=float("inf"), sleep=lambda _: None)),
        ALLOWED.refusal,
        scores,
        tmp_path,
        checked({}),
        serving.publisher(),
        lambda _: None,
    )

    def send(repo, ref="main", **changes):
        full = ref if ref.startswith("refs/") else f"refs/heads/{ref}"
        body = json.dumps(event(head=repo.refs[ref], ref=full, **changes)).encode()
        answer = service.receive(body, ALLOWED.refusal, queue)
        while made.step():
            pass
        return answer.status, queue.rows()[0].told if queue.rows() else None

    made.send = send
    return made


class TestLoop:
    def test_from_new_weights_to_a_pull_request_and_never_because_of_itself(self, site, repo, loop, scores):
        status, told = loop.send(repo)
        assert status == 202
        (pull,) = repo.pulls
        assert told.startswith("score 0.6800 ± 0.0066 at ")
        assert f"/discussions/{pull.num}" in told
        assert pull.author == "bot"
        # Its own pull request is told by the Hub too, and by three events.
        site.requests.clear()
        assert loop.send(repo, pull.ref)[0] == 200
        assert loop.send(repo, scope="discussion")[0] == 200
        assert loop.send(repo, scope="pull-request")[0] == 200
        assert site.requests == []
        assert len(scores.done) == 1
        # The owner merges: main moves, its weights do not.
        repo.merge(pull.num)
        assert loop.send(repo) == (202, "nothing to do: the weights are those that were scored")
        assert (len(scores.done), len(repo.pulls)) == (1, 1)
        # New weights are scored; the one pull request that there will ever be is merged already, and that is told.
        repo.push({**repo.files("main"), "model.safetensors": b"two"})
        status, told = loop.send(repo)
        assert scores.done[-1] == ("org/model", repo.refs["main"])
        assert len(repo.pulls) == 1
        assert "not published" in told
        assert "merged" in told

    def test_an_open_pull_request_is_amended_when_weights_change(self, repo, loop, scores, monkeypatch):
        loop.send(repo)
        (pull,) = repo.pulls
        before = repo.files(pull.ref)
        repo.push({**repo.files("main"), "model.safetensors": b"two"})
        assert loop.send(repo)[0] == 202
        assert [p.num for p in repo.pulls] == [pull.num]
        after = repo.files(pull.ref)
        path = ".eval_results/synbench.yaml"
        assert repo.refs["main"].encode() in after[path]
        assert before[path] != after[path]

    def test_a_closed_pull_request_is_the_end(self, repo, loop, scores):
        loop.send(repo)
        repo.close(repo.pulls[0].num)
        repo.push({**repo.files("main"), "model.safetensors": b"two"})
        assert loop.send(repo) == (202, "left alone: its owner closed the pull request")
        assert (len(scores.done), len(repo.pulls)) == (1, 1)

    def test_a_process_that_ends_right_after_opening_opens_no_second_one(self, repo, loop, queue):
        publish = loop.propose

        def interrupted(*args):
            publish(*args)
            raise KeyboardInterrupt

        loop.propose = interrupted
        with pytest.raises(KeyboardInterrupt):
            loop.send(repo)
        assert len(repo.pulls) == 1
        loop.propose = publish
        assert queue.recover() == 0
        assert loop.step()
        assert len(repo.pulls) == 1
        assert queue.rows()[0].state == "done"

    def test_weights_that_change_while_they_are_scored_are_scored_again(self, repo, loop, scores, queue):
        score = loop.score

        def slow(repo_id, commit):
            score(repo_id, commit)
            if len(scores.done) == 1:
                repo.push({**repo.files("main"), "model.safetensors": b"two"})

        loop.score = slow
        loop.send(repo)
        assert repo.pulls == []
        assert queue.rows()[0].state == "waiting"
        queue._clock = lambda: time.time() + 3600
        assert loop.step()
        assert len(scores.done) == 2
        (pull,) = repo.pulls
        assert repo.refs["main"].encode() in repo.files(pull.ref)[".eval_results/synbench.yaml"]

    def test_a_sweep_finds_what_no_webhook_told_once(self, site, repo, loop, queue, scores):
        client = Hub("hf_bot", site.endpoint)
        other = site.create("lab/one", {"model.safetensors": b"x"})
        site.create("lab/hidden", {"model.safetensors": b"x"}, private=True)
        site.create("lab/gated", {"model.safetensors": b"x"}, gated=True)
        site.create("org/other", {"model.safetensors": b"x"})
        site.requests.clear()
        found = sweep(client, queue, ["org", "lab"], ALLOWED.refusal)
        assert (found.seen, found.queued) == (2, 2)
        assert [r.path for r in site.requests] == ["/api/models", "/api/models"], "one request a page"
        newest = max(m.last_modified for m in client.api.list_models(author="org", expand=["lastModified"]))
        assert datetime.fromisoformat(queue.moment("org")) == newest, "as the server wrote it"
        assert sweep(client, queue, ["org", "lab"], ALLOWED.refusal).queued == 0
        while loop.step():
            pass
        assert len(scores.done) == 2
        # Pull requests and merges leave the weights alone.
        repo.merge(repo.pulls[0].num)
        assert sweep(client, queue, ["org", "lab"], ALLOWED.refusal).queued == 1
        loop.step()
        assert len(scores.done) == 2
        other.push({"model.safetensors": b"y"})
        assert sweep(client, queue, ["org", "lab"], ALLOWED.refusal).queued == 1
        loop.step()
        assert len(scores.done) == 3

    def test_a_sweep_that_is_cut_off_is_done_again_from_where_it_began(self, site, repo, queue):
        client = Hub("hf_bot", site.endpoint, Pace(attempts=1))
        site.create("lab/one", {"model.safetensors": b"x"})
        site.faults.append(Fault("GET", "/api/models", status=403))
        with pytest.raises(RequestError, match="cannot list models: the Hub does not allow it"):
            sweep(client, queue, ["lab"], ALLOWED.refusal)
        assert queue.moment("lab") is None
        assert sweep(client, queue, ["lab", "org"], ALLOWED.refusal).queued == 2

    def test_a_clock_that_is_wrong_changes_no_sweep(self, site, repo, queue, monkeypatch):
        client = Hub("hf_bot", site.endpoint)
        for skew in (-1e8, 1e8):
            monkeypatch.setattr(time, "time", lambda skew=skew: 1.8e9 + skew)
            repo.push({**repo.files("main"), "model.safetensors": str(skew).encode()})
            assert sweep(client, queue, ["org"], ALLOWED.refusal).queued == 1


SERVER = """
import sys, typer
from hub_tools.annotation import children
from hub_tools.commands.serve import serve, sweep
from synbench import cli
scorer = sys.argv.pop(1)
children.command = lambda planned, settings, output, **_: [sys.executable, scorer, planned.id, planned.commit, output]
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(serve)
app.command()(sweep)
cli.app = app
cli.main()
"""
QUICK = """
import json, os, pathlib, sys, time
folder = pathlib.Path(__file__).parent
repo, commit, output = sys.argv[1:]
with open(folder / "calls", "a") as stream:
    stream.write(json.dumps([repo, commit, os.getpid(), dict(os.environ)]) + "\\n")
while (folder / "hold").exists():
    time.sleep(0.02)
report = json.loads((folder / "report.json").read_text())
report["settings"]["model"] |= {"id": repo, "commit": commit}
half = pathlib.Path(output + ".half")
half.write_text(json.dumps(report))
half.replace(output)
"""


class Served:
    """The command itself, in a process that can be killed; scores are made up by a small script."""

    def __init__(self, folder, site):
        self.folder, self.results, self.said = folder, folder / "results", []
        (folder / "score.py").write_text(QUICK)
        report = make_report(model={"pooling_reason": "by the rule"})
        (folder / "report.json").write_text(report.to_json())
        (folder / "repos").write_text("org/*\n")
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        own = {"HF_ENDPOINT": site.endpoint, "HF_TOKEN": "hf_bot", "HF_HOME": str(folder), "HOOK": SECRET}
        path = os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])
        self.env = {**kept, **own, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_DEBUG": "1", "PYTHONPATH": path}

    def command(self, *words):
        start = [sys.executable, "-c", SERVER, str(self.folder / "score.py"), *words]
        return [*start, "--repos", str(self.folder / "repos"), "--results", str(self.results)]

    def run(self, *words):
        return subprocess.run(
            self.command(*words), env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )

    def start(self, *words):
        words = self.command("serve", "--secret-env", "HOOK", "--port", "0", *words)
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(words, env=self.env, cwd=self.folder, stderr=log, stdout=log)
        log.close()
        found = self.until(lambda: re.search(r"http://127.0.0.1:(\d+)/webhook", self.log()))
        self.port = int(found[1])

    def log(self):
        return (self.folder / "log").read_text()

    def calls(self):
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def until(self, what, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                pytest.fail(f"the service has ended: {self.log()}")
            if found := what():
                return found
            time.sleep(0.02)
        return pytest.fail(f"nothing happened: {self.log()}")

    def stop(self, number):
        self.process.send_signal(number)
        code = self.process.wait(30)
        (self.folder / "log").rename(self.folder / f"log-{time.monotonic_ns()}")
        return code


@pytest.fixture
def command(site, tmp_path):
    made = Served(tmp_path, site)
    yield made
    if getattr(made, "process", None) is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()


@pytest.mark.slow
class TestCommand:
    def test_a_kill_at_any_time_loses_no_model_and_makes_no_second_pull_request(self, site, repo, command):
        command.start("--yes")
        (command.folder / "hold").touch()
        assert post(command.port, event(head=repo.refs["main"]))[0] == 202
        command.until(lambda: len(command.calls()) == 1)
        assert post(command.port, event("org/second", head=B))[0] == 202
        command.stop(signal.SIGKILL)
        os.kill(command.calls()[0][2], signal.SIGKILL)
        (command.folder / "hold").unlink()
        command.start("--yes")
        command.until(lambda: len(repo.pulls) == 1)
        command.until(lambda: "org/second" in command.log())
        assert "1 left unfinished by the process before this one: begun again" in command.log()
        command.stop(signal.SIGKILL)
        command.start("--yes")
        assert post(command.port, event(head=repo.refs["main"]))[0] == 200
        assert [call[0] for call in command.calls()] == ["org/model", "org/model"]
        assert len(repo.pulls) == 1

    def test_a_request_to_end_ends_the_scoring_and_puts_the_model_back(self, site, repo, command):
        command.start()
        (command.folder / "hold").touch()
        post(command.port, event(head=repo.refs["main"]))
        command.until(lambda: command.calls())
        pid = command.calls()[0][2]
        log = command.folder / "log"
        command.process.send_signal(signal.SIGTERM)
        assert command.process.wait(30) == 0
        assert "ending; what waits is kept" in log.read_text()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        with Waiting(command.results / FILE) as found:
            assert [(row.state, row.attempts) for row in found.rows()] == [("waiting", 0)]
        told = command.run("serve", "--status")
        assert told.returncode == 0
        assert "1 in the queue: 1 waiting, 0 running, 0 done, 0 failed." in told.stdout
        assert repo.pulls == []

    def test_secrets_and_tokens_are_nowhere(self, site, repo, command):
        command.start("--yes")
        post(command.port, event(head=repo.refs["main"]))
        post(command.port, event(), secret="a wrong secret of some length")
        command.until(lambda: len(repo.pulls) == 1)
        command.until(lambda: "org/model: score" in command.log())
        argv = Path(f"/proc/{command.process.pid}/cmdline")
        seen = [argv.read_bytes()] if argv.exists() else []
        (call,) = command.calls()
        seen += [json.dumps(call).encode(), command.log().encode()]
        seen += [path.read_bytes() for path in command.results.rglob("*") if path.is_file()]
        command.process.send_signal(signal.SIGTERM)
        command.process.wait(30)
        for content in seen:
            assert SECRET.encode() not in content
            assert b"hf_bot" not in content
            assert b"a wrong secret" not in content

    def test_a_second_service_on_one_queue_and_a_taken_port_are_refused(self, command):
        command.start()
        second = command.run("serve", "--secret-env", "HOOK", "--port", "0")
        assert second.returncode == 2
        assert "another process works off the queue" in second.stderr
        taken = command.run("serve", "--secret-env", "HOOK", "--port", str(command.port))
        assert taken.returncode == 2
        assert f"cannot listen at 127.0.0.1:{command.port}" in taken.stderr
        command.stop(signal.SIGTERM)

    def test_a_sweep_by_schedule_scores_what_changed_without_a_service(self, site, repo, command):
        first = command.run("sweep", "--work")
        assert (first.returncode, repo.pulls) == (0, [])
        assert "1 models changed lately, 1 queued" in first.stderr
        assert "nothing is published without --yes" in first.stderr
        assert len(command.calls()) == 1
        again = command.run("sweep", "--work", "--yes")
        assert "1 models changed lately, 0 queued" in again.stderr
        repo.push({**repo.files("main"), "model.safetensors": b"two"})
        third = command.run("sweep", "--work", "--yes")
        assert third.returncode == 0, third.stderr
        assert (len(command.calls()), len(repo.pulls)) == (2, 1)

    def test_a_real_model_is_scored_by_its_real_process(self, site, command):
        files = checkpoints.vit(command.folder / "vit", seed=0)
        repo = site.create("org/vit", files)
        words = ["sweep", "--work", "--yes", "--images", "256", "--repos", str(command.folder / "repos")]
        real = "import typer; from hub_tools.commands.serve import serve, sweep; app = typer.Typer()\n"
        real += "app.command()(serve); app.command()(sweep); app()"
        done = subprocess.run(
            [sys.executable, "-c", real, *words, "--results", str(command.results)],
            env=command.env,
            cwd=command.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (pull,) = repo.pulls
        report = Report.read(result_path(command.results, "org/vit"))
        assert (report.settings.model.commit, report.images) == (repo.refs["main"], 256)
        assert f"{report.synbench_score:.4f}" in done.stderr
        assert f"model commit {repo.refs['main']}".encode() in repo.files(pull.ref)[".eval_results/synbench.yaml"]

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["serve", "--secret-env", "NOTHING"], "in the environment variable NOTHING, and it is not set"),
            (["sweep", "--yes"], "nothing is scored without --work"),
            (["serve", "--minutes", "0"], "--minutes must be above 0, got 0"),
            (["serve", "--secret-env", "HOOK", "--only", "card"], "only must be one of"),
        ],
    )
    def test_what_cannot_work_is_refused_with_code_2(self, command, words, told):
        done = command.run(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr
        assert SECRET not in done.stderr


@pytest.fixture
def inside(site, tmp_path, monkeypatch):
    """The commands in this process: a client that knows the stand-in, and scores that are made up."""
    (tmp_path / "repos").write_text("org/*\n")
    results = tmp_path / "results"

    def connect():
        return Hub("hf_bot", site.endpoint, Pace(per_hour=float("inf"), sleep=lambda _: None))

    monkeypatch.setattr("hub_tools.client.hub.Hub", connect)
    monkeypatch.setattr(serving, "scorer", lambda *_: Scores(results))
    monkeypatch.setenv("HOOK", SECRET)
    app = typer.Typer()
    app.command("serve")(serve)
    app.command("sweep")(sweep_command)

    def run(*words):
        given = [*words, "--repos", str(tmp_path / "repos"), "--results", str(results)]
        return CliRunner().invoke(app, given, catch_exceptions=False, env={"COLUMNS": "120"})

    return run


class TestInside:
    def test_sweep_work_and_status(self, repo, inside):
        with pytest.raises(ArgumentError, match="there is no queue in"):
            inside("serve", "--status")
        assert "1 models changed lately, 1 queued" in inside("sweep").stderr
        assert repo.pulls == []
        done = inside("sweep", "--work", "--yes")
        assert "0 queued" in done.stderr
        assert "scores are published: at most one pull request a model, ever" in done.stderr
        assert "1 models worked off" in done.stderr
        assert len(repo.pulls) == 1
        told = inside("serve", "--status").stdout
        assert "org/model" in told
        assert "1 in the queue: 0 waiting, 0 running, 1 done, 0 failed." in told

    def test_failed_models_are_queued_again_if_asked_for(self, repo, inside, tmp_path):
        inside("sweep")
        with Waiting(tmp_path / "results" / FILE) as found:
            found.fail(found.claim(), "a text model", for_good=True)
        assert "0 queued" in inside("sweep").stderr
        assert "1 queued" in inside("sweep", "--failed").stderr

    def test_the_service_takes_a_webhook_and_ends_when_it_is_told_to(self, repo, inside, tmp_path, monkeypatch):
        said, answers = [], []
        monkeypatch.setattr(serving, "say", said.append)

        def sender():
            found = wait_for(lambda: re.search(r":(\d+)/webhook", " ".join(said)))
            answers.append(post(int(found[1]), event(head=repo.refs["main"])))
            wait_for(lambda: any(line.startswith("org/model: score") for line in said))
            os.kill(os.getpid(), signal.SIGTERM)

        thread = threading.Thread(target=sender)
        thread.start()
        done = inside("serve", "--secret-env", "HOOK", "--port", "0", "--yes")
        thread.join(30)
        assert (done.exit_code, answers) == (0, [(202, "queued")])
        assert said[-1] == "ending; what waits is kept"
        assert len(repo.pulls) == 1
        with pytest.raises(ArgumentError, match="expected --repos FILE with the models that may be scored"):
            serve(tmp_path)

    def test_a_folder_that_cannot_be_made_is_refused(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="cannot make the folder"):
            serving.queue(tmp_path / "file")


def wait_for(what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.01)
    raise TimeoutError
