"""From results to pull requests: one a model, ever, whatever cuts a run off; nobody is written to who did not ask."""

import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hub_tools
from hub_tools.annotation import annotating, journal, selecting
from hub_tools.annotation.annotating import NotingPace, publish
from hub_tools.annotation.consent import Consent, read_consent
from hub_tools.annotation.journal import Entry
from hub_tools.annotation.plans import Plan, PlannedModel, read_plan, write_plan
from hub_tools.annotation.scored import result_path
from hub_tools.annotation.selecting import Query
from hub_tools.annotation.standing import Selection, Terms, key_of, select, standings
from hub_tools.client.hub import Hub as Client
from hub_tools.commands import annotate, answers
from hub_tools.score.changes import make_change
from hub_tools.score.proposal import MARKER
from hub_tools.score.pushing import Proposal, carry_out, propose
from synbench.errors import ArgumentError, HubError

from .hub import Fault, Hub
from .reports import make_report

ROOT = Path(__file__).parent.parent
CARD = b"""---
license: apache-2.0  # chosen with care
tags: [vision, 'encoder']
version: 1.10
---

# A model

Text of its owner.
"""
WEIGHTS = {"model.safetensors": b"weights", "config.json": b"{}"}
EVAL = ".eval_results/synbench.yaml"
WRITES = r"/api/models/.*/commit/"
EVERYBODY = Consent(frozenset(["org/*"]))


class Site:
    """A stand-in Hub, a plan of models there, their results, and the journal."""

    def __init__(self, hub, folder):
        self.hub, self.folder, self.results = hub, folder, folder / "results"
        self.results.mkdir()
        self.path = self.results / "apply.jsonl"
        self.slept = []
        self.plan = Plan(())

    def add(self, name, files=None, **options):
        repo = self.hub.create(name, {**WEIGHTS, **({"README.md": CARD} if files is None else files)}, **options)
        self.plan = replace(self.plan, models=(*self.plan.models, PlannedModel(name, repo.refs["main"])))
        self.score(name)
        return repo

    def score(self, name, score=0.68, **changes):
        (planned,) = [model for model in self.plan.models if model.id == name]
        report = make_report(name, planned.commit, score=score, **changes)
        result_path(self.results, name).write_text(report.to_json())

    def replan(self, name, commit):
        models = [replace(model, commit=commit) if model.id == name else model for model in self.plan.models]
        self.plan = replace(self.plan, models=tuple(models))

    def client(self, **pace):
        pace = {"per_hour": float("inf"), "sleep": self.slept.append, **pace}
        return Client("hf_bot", self.hub.endpoint, NotingPace(**pace))

    def select(self, consent=EVERYBODY, terms=None, **options):
        past = standings(journal.read(self.path))
        return select(self.plan, self.results, consent, past, terms or Terms(), **options)

    def apply(self, consent=EVERYBODY, retry=False, pace=None, **options):
        self.hub.requests.clear()
        with journal.writing(self.path) as opened:
            selection = self.select(consent, retry=retry)
            options = {"sleep": self.slept.append, "progress": False, **options}
            done = publish(selection, self.plan, self.results, self.client(**(pace or {})), opened, **options)
        self.reasons = done.reasons
        return {event: count for event, count in done.counts.items() if count}

    def events(self, repo="org/a"):
        return [entry.event for entry in journal.read(self.path) if entry.repo == repo]


@pytest.fixture
def site(tmp_path):
    with Hub() as hub:
        hub.sign_up("bot", token="hf_bot")
        hub.sign_up("owner", token="hf_owner", orgs=("org",))
        yield Site(hub, tmp_path)


def asked(site, name="org/a"):
    return [r for r in site.hub.requests if f"/{name}" in r.path]


def writes(site):
    return [r for r in site.hub.requests if r.method not in ("GET", "HEAD")]


def test_one_pull_request_a_model_and_nothing_in_the_next_run(site):
    repos = [site.add(f"org/{name}") for name in "abc"]
    assert site.apply() == {"opened": 3}
    for repo in repos:
        (pull,) = repo.pulls
        assert (pull.status, pull.author) == ("open", "bot")
        assert repo.files("main")["README.md"] == CARD
        changed = repo.files(pull.ref)
        assert changed["README.md"].endswith(b"# A model\n\nText of its owner.\n")
        assert set(changed) == {*WEIGHTS, "README.md", EVAL}
    assert site.events() == ["planned", "sent", "opened"]
    assert [e.number for e in journal.read(site.path) if e.event == "opened"] == [repo.pulls[0].num for repo in repos]
    assert "hf_bot" not in site.path.read_text()
    assert site.apply() == {}
    assert site.hub.requests == [], "what is done is not asked about again"


def test_a_newer_score_amends_the_same_pull_request(site):
    repo = site.add("org/a")
    site.apply()
    before = repo.files(repo.pulls[0].ref)
    site.score("org/a", 0.71)
    assert site.apply() == {"amended": 1}
    (pull,) = repo.pulls
    after = repo.files(pull.ref)
    assert b"0.71" in after[EVAL]
    assert after != before
    # Its files, then its description.
    assert site.events()[3:] == ["planned", "sent", "sent", "amended"]


def test_a_closed_pull_request_is_a_no_for_good(site):
    repo = site.add("org/a")
    site.apply()
    repo.close(repo.pulls[0].num)
    site.score("org/a", 0.71)
    assert site.apply() == {"opted-out": 1}
    assert writes(site) == []
    for retry in (False, True):
        site.score("org/a", 0.72)
        assert site.apply(retry=retry) == {}
        assert site.hub.requests == []
        assert site.select(retry=retry).left == {"org/a": "opted out: its owner closed pull request 1"}
    # Without a journal, the Hub itself tells.
    site.path.unlink()
    assert site.apply() == {"opted-out": 1}
    assert len(repo.pulls) == 1


def test_a_merged_pull_request_is_enough(site):
    repo = site.add("org/a")
    site.apply()
    repo.merge(repo.pulls[0].num)
    site.score("org/a", 0.71)
    assert site.apply() == {"merged": 1}
    assert "one is enough" in site.reasons["org/a"]
    site.score("org/a", 0.72)
    assert site.apply(retry=True) == {}
    assert site.hub.requests == []
    assert len(repo.pulls) == 1


def test_what_main_has_already_is_left_alone(site):
    repo = site.add("org/a")
    site.apply()
    repo.merge(repo.pulls[0].num)
    site.path.unlink()
    # As if the owner had written the lines: no pull request of ours tells.
    repo.pulls.clear()
    assert site.apply() == {"skipped": 1}
    assert re.search("main of org/a has these scores already", site.reasons["org/a"])
    assert site.apply() == {}
    assert site.hub.requests == []


@pytest.mark.parametrize(
    ("allow", "deny", "expected"),
    [
        ("org/*", "", ["org/a", "org/b"]),
        ("ORG/A  # mine\n\n", "", ["org/a"]),
        ("org/*\nother/*", "org/b", ["org/a", "other/c"]),
        ("org/*\nother/c", "org/*", ["other/c"]),
        ("org/ab\norga/*", "", []),
    ],
)
def test_only_who_is_allowed_and_not_denied_is_asked_about(allow, deny, expected, site):
    repos = {name: site.add(name) for name in ("org/a", "org/b", "other/c")}
    (site.folder / "allow.txt").write_text(allow)
    (site.folder / "deny.txt").write_text(deny)
    consent = read_consent(site.folder / "allow.txt", site.folder / "deny.txt")
    site.apply(consent)
    assert [name for name, repo in repos.items() if repo.pulls] == expected
    others = [name for name in repos if name not in expected]
    assert [r for r in site.hub.requests if any(f"/{name}" in r.path for name in others)] == []


@pytest.mark.parametrize(
    ("allow", "deny", "problem"),
    [
        (None, None, "nothing is written without a list .* got none"),
        ("", None, "which names nobody"),
        ("# org/*\n", None, "which names nobody"),
        ("*\n", None, r"line 1 of .*allow.txt': expected org/model or org/\*, got '\*'"),
        ("*/*\n", None, "line 1"),
        ("org/a\norg/vit-*\n", None, "line 2"),
        ("org/a\n", "org\n", r"line 1 of .*deny.txt': expected org/model or org/\*, got 'org'"),
        ("org/a\n", "org/a, org/b\n", "line 1"),
    ],
)
def test_lists_that_could_be_misread_are_refused(allow, deny, problem, tmp_path):
    paths = []
    for name, text in (("allow.txt", allow), ("deny.txt", deny)):
        paths.append(None if text is None else tmp_path / name)
        if text is not None:
            (tmp_path / name).write_text(text)
    with pytest.raises(ArgumentError, match=problem):
        read_consent(*paths)


def test_a_deny_list_that_is_not_there_is_an_error(tmp_path):
    (tmp_path / "allow.txt").write_text("org/*")
    with pytest.raises(ArgumentError, match=r"cannot read the list .*deny.txt"):
        read_consent(tmp_path / "allow.txt", tmp_path / "deny.txt")


def test_what_cannot_be_published_is_told_without_a_request(site):
    for name in "abcdef":
        site.add(f"org/{name}")
    result_path(site.results, "org/a").unlink()
    site.score("org/b", settings={"seed": 5})
    site.score("org/c", score=None)
    result_path(site.results, "org/d").write_text(make_report("org/e", "c" * 40).to_json())
    result_path(site.results, "org/e").write_text("{")
    site.replan("org/f", "f" * 40)
    selection = site.select()
    assert selection.todo == ()
    expected = {
        "org/a": "no result",
        "org/b": "another result: seed is 5, expected 0",
        "org/c": "not publishable: this result has no score",
        "org/d": "another result: it is of 'org/e', expected 'org/d'",
        "org/e": "another result: expected a SynBench result as JSON",
        "org/f": "another result: it is of commit",
    }
    assert all(selection.left[name].startswith(reason) for name, reason in expected.items()), selection.left
    assert selection.counts() == {"no result": 1, "another result": 4, "not publishable": 1}
    assert site.apply() == {}
    assert site.hub.requests == []


def test_weights_that_changed_since_ask_for_another_score(site):
    moved, edited = site.add("org/a"), site.add("org/b")
    moved.push({**WEIGHTS, "README.md": CARD, "model.safetensors": b"other weights"})
    edited.push({**WEIGHTS, "README.md": CARD + b"More text.\n"})
    assert site.apply() == {"skipped": 1, "opened": 1}
    assert "with other weights" in site.reasons["org/a"]
    assert edited.files(edited.pulls[0].ref)["README.md"].endswith(b"More text.\n")
    # Remembered for this result; a score of the new commit is another matter.
    assert site.apply() == {}
    assert site.hub.requests == []
    site.replan("org/a", moved.refs["main"])
    site.score("org/a")
    assert site.apply() == {"opened": 1}


def test_what_cannot_take_it_is_remembered_and_asked_again_on_request(site):
    refused = {
        "org/a": {"disabled": True},
        "org/b": {"discussions": False},
    }
    repos = {name: site.add(name, **options) for name, options in refused.items()}
    site.add("org/gone")
    site.hub.repositories.pop(("models", "org/gone"))
    assert site.apply() == {"skipped": 3}
    assert site.apply() == {}
    assert site.hub.requests == []
    assert {reason.partition(":")[0] for reason in site.select().left.values()} == {"skipped before"}
    repos["org/b"].discussions = True
    assert site.apply(retry=True) == {"skipped": 2, "opened": 1}


def test_a_model_of_another_name_is_not_written_to(site):
    repo = site.add("org/a")
    site.plan = Plan((PlannedModel("Org/A", repo.refs["main"]),))
    result_path(site.results, "Org/A").write_text(make_report("Org/A", repo.refs["main"]).to_json())
    assert site.apply() == {"skipped": 1}
    assert repo.pulls == []


def test_a_fault_of_the_hub_is_tried_again_by_the_next_run(site):
    repo = site.add("org/a")
    site.hub.faults.append(Fault("POST", WRITES, status=503, times=100))
    assert site.apply() == {"failed": 1}
    assert repo.pulls == []
    site.hub.faults.clear()
    assert site.apply() == {"opened": 1}
    assert len(repo.pulls) == 1
    assert site.events()[-1] == "opened"


def test_a_hub_that_is_down_ends_the_run(site):
    for i in range(8):
        site.add(f"org/m{i}")
    site.hub.faults.append(Fault("GET", r"/api/models/.*", status=503, times=10_000))
    with pytest.raises(HubError, match=r"5 models in a row failed, the last one: .* it goes on where it stopped"):
        site.apply()
    assert len({r.path for r in site.hub.requests if "/api/models/" in r.path}) == 5


def test_a_refusal_of_the_account_is_not_held_against_the_models(site):
    for i in range(8):
        site.add(f"org/m{i}")
    site.hub.faults.append(Fault("POST", WRITES, status=403, times=10_000))
    with pytest.raises(HubError, match="refused 5 writes in a row"):
        site.apply()
    assert {e.event for e in journal.read(site.path)} == {"planned", "sent", "failed"}
    site.hub.faults.clear()
    assert site.apply() == {"opened": 8}


def test_a_limit_ends_the_run_early(site):
    repos = [site.add(f"org/m{i}") for i in range(5)]
    assert site.apply(limit=2) == {"opened": 2}
    assert site.apply(limit=2) == {"opened": 2}
    assert [len(repo.pulls) for repo in repos] == [1, 1, 1, 1, 0]


def test_writes_wait_for_their_turn(site):
    for i in range(4):
        site.add(f"org/m{i}")
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    site.apply(pace={"per_hour": 60, "burst": 1, "clock": lambda: now[0], "sleep": sleep})
    assert now[0] == pytest.approx(3 * 60)


def test_a_repository_that_moves_is_read_again(site):
    repo = site.add("org/a")
    site.apply()
    site.score("org/a", 0.71)
    ref = repo.pulls[0].ref
    theirs = repo.files(ref)
    moved = []

    def owner_edits():
        if not moved:
            moved.append(repo.push({**theirs, "README.md": theirs["README.md"] + b"Edited by the owner.\n"}, ref))

    client = site.client()
    real = client.amend
    client.amend = lambda *args: (owner_edits(), real(*args))[1]
    with journal.writing(site.path) as opened:
        done = publish(site.select(), site.plan, site.results, client, opened, progress=False)
    assert done.counts == {"amended": 1}
    final = repo.files(ref)
    assert final["README.md"].endswith(b"Edited by the owner.\n")
    assert b"0.71" in final[EVAL]
    assert len(repo.pulls) == 1


def test_two_runs_at_once_are_one_too_many(site):
    site.add("org/a")
    with journal.writing(site.path), pytest.raises(ArgumentError, match="there is one writer at a time"):
        site.apply()
    assert writes(site) == []


def test_after_a_write_that_was_cut_off_the_hub_has_time_to_finish_it(site):
    for name in "ab":
        site.add(f"org/{name}")
    with journal.writing(site.path) as opened:
        opened.append("sent", "org/a", key="k")
    selection = site.select()
    assert [model.id for model in selection.todo] == ["org/b", "org/a"], "the others give it time"
    assert site.apply() == {"opened": 2}
    (waited,) = [s for s in site.slept if s > 60]
    assert 110 < waited <= annotating.SETTLE
    for ago, expected in ((30, 90), (121, 0), (-500, 120)):
        sent = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()
        assert max(annotating._rest(sent, 120), 0) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(("settle", "pulls"), [(3.0, 1), (0.0, 2)])
def test_what_the_hub_still_works_on_is_waited_for(settle, pulls, site):
    """A run was killed while the Hub was at work for it; without the wait there would be two pull requests."""
    repo = site.add("org/a")
    report = make_report("org/a", repo.refs["main"])
    proposal = propose(site.client(), report, "org/a")
    site.hub.faults.append(Fault("POST", WRITES, seconds=1.0, status=200, after=True))
    killed = threading.Thread(target=lambda: carry_out(site.client(), proposal))
    with journal.writing(site.path) as opened:
        opened.append("sent", "org/a", key="k")
    killed.start()
    time.sleep(0.3)
    site.apply(settle=settle, sleep=time.sleep)
    killed.join()
    assert len(repo.pulls) == pulls


def test_a_pull_request_of_a_lost_run_is_found(site):
    repo = site.add("org/a")
    site.apply()
    lines = site.path.read_bytes().splitlines(keepends=True)
    for keep in range(len(lines)):
        site.path.write_bytes(b"".join(lines[:keep]))
        assert site.apply(settle=0) == {"opened": 1}
        assert len(repo.pulls) == 1
        assert journal.read(site.path)[-1].number == 1
        assert writes(site) == []


def test_a_preview_writes_nothing_and_costs_three_requests(site):
    repos = [site.add("org/a"), site.add("org/b", {})]
    site.add("org/off", disabled=True)
    selection = site.select()
    site.hub.requests.clear()
    found = list(annotating.preview(selection, site.plan, site.results, site.client(), Terms()))
    assert [isinstance(proposal, Proposal) for _, proposal in found] == [True, True, False]
    diff = found[0][1].change.diff
    assert "+++ b/README.md" in diff
    assert "+++ b/.eval_results/synbench.yaml" in diff
    assert writes(site) == []
    assert not site.path.exists()
    assert len(asked(site)) <= 3
    assert len(asked(site, "org/b")) <= 3
    # What is then done is what was shown.
    site.apply()
    for (_, proposal), repo in zip(found, repos, strict=False):
        files = repo.files(repo.pulls[0].ref)
        assert {path: files[path] for path in proposal.change.after} == dict(proposal.change.after)


def test_what_is_published_is_named_by_what_it_is():
    report = make_report()
    keys = {
        key_of(report, Terms()),
        key_of(report, Terms("model-index")),
        key_of(report, Terms(benchmark="me/mine")),
        key_of(report, Terms(source_url="https://example.org")),
        key_of(make_report(score=0.7), Terms()),
        key_of(make_report(settings={"seed": 1}), Terms()),
        key_of(make_report(commit="b" * 40), Terms()),
    }
    assert len(keys) == 7
    assert key_of(make_report(seconds=99.0), Terms()) == key_of(report, Terms())


def run(site, monkeypatch, *words, **options):
    monkeypatch.setenv("HF_TOKEN", "hf_bot")
    monkeypatch.setattr(annotate, "_hub", lambda *_: site.client())
    write_plan(site.plan, site.folder / "plan.yaml", overwrite=True)
    (site.folder / "allow.txt").write_text("org/*\n")
    common = ["apply", str(site.folder / "plan.yaml"), "--results", str(site.results)]
    return CliRunner().invoke(annotate.app, [*common, *words], catch_exceptions=False, **options)


def test_the_command_writes_only_after_a_yes(site, monkeypatch):
    repo = site.add("org/a")
    allow = ["--allow", str(site.folder / "allow.txt")]
    with pytest.raises(ArgumentError, match="nothing is written without a list of whom to write to: expected --allow"):
        run(site, monkeypatch, "--yes")
    with pytest.raises(ArgumentError, match="nothing was written: there is no terminal to ask at"):
        run(site, monkeypatch, *allow)
    shown = run(site, monkeypatch, *allow, "--dry-run")
    assert (shown.exit_code, shown.stdout.startswith("# org/a: open a pull request")) == (0, True), shown.output
    assert "+++ b/README.md" in shown.stdout
    short = run(site, monkeypatch, *allow, "--dry-run", "--summary")
    assert short.stdout.count("\n") == 1
    assert "would: 1 open; left: none" in short.stderr
    assert (repo.pulls, writes(site), site.path.exists() and site.path.read_text()) == ([], [], "")
    done = run(site, monkeypatch, *allow, "--yes")
    assert done.exit_code == 0
    assert "at most 1 pull requests as bot, in 60 s at 60 an hour" in done.stderr
    assert done.stdout.startswith("1 opened\norg/a: http")
    assert len(repo.pulls) == 1
    again = run(site, monkeypatch, *allow, "--yes")
    assert (again.exit_code, again.stdout) == (0, "nothing to do\n")
    status = CliRunner().invoke(
        annotate.app, ["status", str(site.folder / "plan.yaml"), "--results", str(site.results)], catch_exceptions=False
    )
    assert status.stdout == "scores: 1 scored\npull requests: 1 opened\n"


@pytest.mark.parametrize("answer", ["", "no", "y", "yes"])
def test_the_question_is_answered_by_yes_alone(answer, site, monkeypatch):
    repo = site.add("org/a")
    monkeypatch.setattr(annotate, "agreed", agreed_at_terminal(answer, monkeypatch))
    done = run(site, monkeypatch, "--allow", str(site.folder / "allow.txt"))
    assert done.exit_code == 0
    assert len(repo.pulls) == (answer == "yes")
    assert ("nothing was written" in done.stdout) == (answer != "yes")


def agreed_at_terminal(answer, monkeypatch):
    class Terminal:
        def isatty(self):
            return True

        def readline(self):
            return answer + "\n"

    def ask():
        with monkeypatch.context() as patch:
            patch.setattr(answers.sys, "stdin", Terminal())
            return answers.agreed()

    return ask


def test_the_command_tells_what_to_run_again(site, monkeypatch):
    site.add("org/a")
    site.hub.faults.append(Fault("POST", WRITES, status=503, times=100))
    done = run(site, monkeypatch, "--allow", str(site.folder / "allow.txt"), "--yes")
    assert done.exit_code == 1
    assert "1 failed" in done.stdout
    assert "run this again to go on with those that failed" in done.stderr


def test_from_a_listing_to_a_plan(site, monkeypatch):
    monkeypatch.setattr(annotate, "_hub", lambda *_: site.client())
    for i in range(5):
        site.add(f"org/m{i}")
    site.hub.create("org/gated", {**WEIGHTS, "README.md": CARD}, gated=True)
    site.hub.create("org/private", {**WEIGHTS, "README.md": CARD}, private=True)
    site.hub.create("org/off", {**WEIGHTS, "README.md": CARD}, disabled=True)
    site.hub.create("org/pickle", {"pytorch_model.bin": b"x", "config.json": b"{}"})
    site.hub.create("other/m", {**WEIGHTS, "README.md": CARD})
    path = site.folder / "made.yaml"
    words = ["plan", str(path), "--author", "org", "--images", "8192"]
    done = CliRunner().invoke(annotate.app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    made = read_plan(path)
    assert made.models == tuple(replace(m, downloads=made.models[0].downloads) for m in site.plan.models)
    assert made.settings == {"images": 8192, "seed": 0}
    assert made.query == {"author": "org"}
    assert made.left_out.items() >= {"gated": 1, "no model.safetensors": 1}.items()
    assert "5 models" in done.output
    with pytest.raises(ArgumentError, match="is there already"):
        CliRunner().invoke(annotate.app, words, catch_exceptions=False)
    # A list costs one request a model; the Hub's own name counts.
    (site.folder / "models.txt").write_text("org/m1\norg/gated\norg/nothing\norg/m0\n")
    site.hub.requests.clear()
    words = ["plan", str(path), "--list", str(site.folder / "models.txt"), "--overwrite"]
    CliRunner().invoke(annotate.app, words, catch_exceptions=False)
    assert [model.id for model in read_plan(path).models] == ["org/m0", "org/m1"]
    assert read_plan(path).left_out == {"cannot be read": 1, "gated": 1}
    assert len([r for r in site.hub.requests if "/api/models" in r.path]) == 4


def test_a_listing_costs_a_request_a_page(site):
    for i in range(60):
        site.add(f"org/m{i:02}")
    site.hub.requests.clear()
    found = selecting.from_listing(site.client(), Query(author="org"))
    assert len(found.models) == 60
    listed = [r for r in site.hub.requests if r.path == "/api/models"]
    assert len(listed) == len(site.hub.requests) <= 4
    assert len(selecting.from_listing(site.client(), Query(author="org", limit=7)).models) == 7


def test_a_hub_that_is_down_is_no_empty_plan(site, monkeypatch):
    from huggingface_hub.utils import _http

    monkeypatch.setattr(_http.time, "sleep", site.slept.append)
    site.hub.faults.append(Fault("GET", r"/api/models.*", status=500, times=10_000))
    for ask in (
        lambda: selecting.from_ids(site.client(), ["org/a"]),
        lambda: selecting.from_listing(site.client(), Query(author="org")),
    ):
        with pytest.raises(HubError, match="cannot"):
            ask()


# Faults and kills: whatever happens, one pull request a model, with the same bytes as an undisturbed run's.

CARDS = {
    "org/a": {"README.md": CARD},
    "org/b": {},
    "org/c": {"README.md": CARD.replace(b"\n", b"\r\n")},
    "org/d": {"README.md": b"# No metadata\n"},
}


def outcome(repo):
    (pull,) = repo.pulls
    assert (pull.status, pull.author) == ("open", "bot")
    return repo.files(pull.ref)


def prefixed(name, case):
    return name.replace("org/", f"org/k{case}-")


@pytest.mark.slow
def test_no_random_fault_makes_a_second_pull_request(site):
    rng = random.Random(0)
    for name, files in CARDS.items():
        site.add(name, files)
    site.apply()
    expected = {name: outcome(site.hub.repositories["models", name]) for name in CARDS}
    for case in range(25):
        site.path.unlink(missing_ok=True)
        site.plan = Plan(())
        repos = {name: site.add(prefixed(name, case), files) for name, files in CARDS.items()}
        for attempt in range(40):
            if attempt < 6:
                for _ in range(rng.randint(1, 4)):
                    kind = rng.choice(
                        [{"status": 503}, {"status": 500}, {"status": 429}, {"drop": True}, {"status": 412}]
                    )
                    after = rng.random() < 0.5 and kind.get("status", 503) >= 500
                    method, path = rng.choice(
                        [
                            ("POST", WRITES),
                            ("GET", r".*/discussions.*"),
                            ("GET", r"/api/models/.*"),
                            ("GET", r".*/resolve/.*"),
                        ]
                    )
                    site.hub.faults.append(Fault(method, path, times=rng.randint(1, 3), after=after, **kind))
            with suppress(HubError):
                site.apply(settle=0)
            site.hub.faults.clear()
            if not site.select().todo:
                break
        assert site.select().counts() == {"done": 4}
        for name, repo in repos.items():
            assert plain(outcome(repo), case) == plain(expected[name], -1), (name, case)
            assert {path: content for path, content in repo.files("main").items() if path not in WEIGHTS} == CARDS[name]


def plain(files, case):
    """Return files without what tells a case from another: part of the name, and the commit, quoted or not."""
    commit = re.compile(rb"[\"']?[0-9a-f]{40}[\"']?")
    return {path: commit.sub(b"COMMIT", content.replace(b"k%d-" % case, b"")) for path, content in files.items()}


KINDS = ("before", "midst", "after")
AMENDED = "org/e"


def make_case(site, number, step, when):
    """Make a plan of five models in a folder of its own; one of them has a pull request with an older score."""
    folder = site.folder / str(number)
    folder.mkdir()
    one = Site(site.hub, folder)
    for name, files in {**CARDS, AMENDED: {"README.md": CARD}}.items():
        one.add(prefixed(name, number), files)
    name = prefixed(AMENDED, number)
    repo = site.hub.repositories["models", name]
    before = {"README.md": CARD, EVAL: None}
    older = make_change(make_report(name, repo.refs["main"], score=0.5), name, repo.refs["main"], before)
    repo.change(dict(older.after), repo.open("Add SynBench scores", MARKER, "bot").ref, "bot")
    write_plan(one.plan, folder / "plan.yaml")
    (folder / "allow.txt").write_text("org/*\n")
    asked = {"folder": str(folder), "endpoint": site.hub.endpoint, "token": "hf_bot", "step": step, "when": when}
    return one, asked


def run_killed(site, cases):
    (site.folder / "cases.json").write_text(json.dumps(cases))
    words = [sys.executable, str(ROOT / "tests" / "killed_apply.py"), str(site.folder / "cases.json")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_step_is_finished_by_the_next(site):
    """Every step of five models, killed before it, in its midst and after it."""
    _, asked = make_case(site, 0, 0, "before")
    (whole,) = run_killed(site, [asked])
    assert whole["first"]["done"] == {"opened": 4, "amended": 1}
    steps, names = whole["first"]["steps"], [*CARDS, AMENDED]
    assert steps >= 50
    expected = {name: outcome(site.hub.repositories["models", prefixed(name, 0)]) for name in names}

    points = [(step, when) for step in range(1, steps + 1) for when in KINDS]
    made = [make_case(site, number, *point) for number, point in enumerate(points, 1)]
    kept = [{path.name: path.read_bytes() for path in one.results.glob("*.json")} for one, _ in made]
    found = run_killed(site, [asked for _, asked in made])
    for number, (point, (one, _), results, said) in enumerate(zip(points, made, kept, found, strict=True), 1):
        assert said["first"] == {"killed": True}, point
        assert "done" in said["last"], (point, said)
        assert {path.name: path.read_bytes() for path in one.results.glob("*.json")} == results, "a result was lost"
        told = {entry.repo for entry in journal.read(one.path) if entry.event in ("opened", "amended")}
        assert told == {model.id for model in one.plan.models}, point
        assert one.select().counts() == {"done": 5}, point
        for name in names:
            repo = site.hub.repositories["models", prefixed(name, number)]
            assert len(repo.pulls) == 1, (point, name)
            assert plain(outcome(repo), number) == plain(expected[name], 0), point
            card = {path: content for path, content in repo.files("main").items() if path not in WEIGHTS}
            assert card == CARDS.get(name, {"README.md": CARD}), point
    assert len(points) >= 150


def entry(event, **told):
    return Entry(time="2026-01-01T00:00:00+00:00", event=event, repo="org/a", **told)


def test_a_no_stands_whatever_comes_after():
    for no in ("opted-out", "merged"):
        past = standings([entry("opened", key="k"), entry(no, number=3), entry("sent"), entry("opened", key="l")])
        assert re.search("pull request 3", past["org/a"].refusal)


def test_a_write_that_was_cut_off_is_not_done_whatever_was_before(site):
    site.add("org/a")
    report = make_report("org/a", site.plan.models[0].commit)
    done, cut = entry("opened", key=key_of(report, Terms())), entry("sent", key="of a newer score")
    for lines, todo in (([done], 0), ([done, cut], 1), ([cut, done], 0), ([done, entry("failed", permanent=False)], 0)):
        selection = select(site.plan, site.results, EVERYBODY, standings(lines), Terms())
        assert len(selection.todo) == len(selection.sent or selection.todo) == todo, lines


def test_a_card_that_cannot_take_it_is_left_alone(site):
    repo = site.add("org/a", {"README.md": b"---\nlicense: x\nlicense: y\n---\n"})
    with journal.writing(site.path) as opened:
        terms = Terms("model-index")
        selection = site.select(terms=terms)
        done = publish(selection, site.plan, site.results, site.client(), opened, terms, progress=False)
    assert done.counts == {"skipped": 1}
    assert repo.pulls == []
    assert journal.read(site.path)[-1].permanent is True
    assert site.select(terms=terms).left["org/a"].startswith("skipped before:")
    # The other place takes it.
    assert site.apply() == {"opened": 1}
    assert set(repo.files(repo.pulls[0].ref)) == {*WEIGHTS, "README.md", EVAL}


def test_a_result_that_goes_away_meanwhile_ends_the_run(site):
    site.add("org/a")
    selection = site.select()
    result_path(site.results, "org/a").unlink()
    assert list(annotating.preview(selection, site.plan, site.results, site.client(), Terms())) == []
    with journal.writing(site.path) as opened, pytest.raises(ArgumentError, match="the result of org/a went away"):
        publish(selection, site.plan, site.results, site.client(), opened, progress=False)


def test_a_client_that_notes_nothing_is_refused(site):
    site.add("org/a")
    client = Client("hf_bot", site.hub.endpoint)
    with journal.writing(site.path) as opened, pytest.raises(ArgumentError, match="whose pace notes every write"):
        publish(site.select(), site.plan, site.results, client, opened, progress=False)


def test_a_preview_ends_where_the_hub_refuses(site):
    for i in range(8):
        site.add(f"org/m{i}")
    site.hub.faults.append(Fault("GET", r"/api/models/.*", status=429, headers={"Retry-After": "5000"}, times=10_000))
    with pytest.raises(HubError, match=r"come back in 83 minutes"):
        list(annotating.preview(site.select(), site.plan, site.results, site.client(), Terms()))


def test_the_command_tells_what_it_cannot_do(site, monkeypatch):
    for i in range(8):
        site.add(f"org/m{i}", disabled=True)
    allow = ["--allow", str(site.folder / "allow.txt")]
    done = run(site, monkeypatch, *allow, "--yes")
    assert done.stdout == "8 skipped\n"
    assert "and 3 more; the journal has them all" in done.stderr
    shown = run(site, monkeypatch, *allow, "--dry-run", "--retry")
    assert shown.stdout.count("# org/m0: nothing: ") == 1
    assert "would: 8 refused; left: none" in shown.stderr
    assert "left: 8 skipped before" in run(site, monkeypatch, *allow, "--dry-run").stderr
    plan = str(site.folder / "plan.yaml")
    with pytest.raises(ArgumentError, match="expected a folder with results"):
        CliRunner().invoke(
            annotate.app, ["apply", plan, "--results", str(site.folder / "none"), *allow], catch_exceptions=False
        )
    words = ["plan", str(site.folder / "new.yaml"), "--list", plan, "--author", "org"]
    with pytest.raises(ArgumentError, match="--list names the models itself"):
        CliRunner().invoke(annotate.app, words, catch_exceptions=False)


def test_selections_are_plain():
    assert Selection((), {"a": "x: 1", "b": "x: 2"}).counts() == {"x": 2}


def test_the_third_step_in_python_asks_once_and_does_what_the_command_does(site):
    repo = site.add("org/a")
    seen = []

    def answer(said):
        return lambda selection: seen.append([model.id for model in selection.todo]) or said

    no = hub_tools.annotate(site.plan, site.results, EVERYBODY, confirm=answer(False), hub=site.client())
    assert (no.counts, repo.pulls, writes(site)) == ({}, [], [])
    yes = hub_tools.annotate(site.plan, site.results, EVERYBODY, confirm=answer(True), hub=site.client())
    assert (yes.counts, len(repo.pulls)) == ({"opened": 1}, 1)
    again = hub_tools.annotate(site.plan, site.results, EVERYBODY, confirm=answer(True), hub=site.client())
    assert (again.counts, len(repo.pulls)) == ({}, 1)
    assert seen == [["org/a"], ["org/a"], []]
