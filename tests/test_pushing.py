"""One score, one pull request: the whole way with the real client against a stand-in Hub, and every fault on it."""

import json
import os
import pty
import re
import subprocess
import sys
import time
import traceback
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from hub_tools.client.failures import RequestError
from hub_tools.client.hub import Hub as Client
from hub_tools.client.hub import State
from hub_tools.client.pacing import Pace, StopError
from hub_tools.score.checks import RefusedError
from hub_tools.score.pushing import carry_out, propose, push_score
from synbench.errors import ArgumentError, CardError, HubError

from .hub import Fault, Hub
from .reports import make_report

CARD = b"""---
license: apache-2.0  # chosen with care
tags: [vision, 'encoder']
version: 1.10
---

# A model

Text of its owner.
"""
EVAL = ".eval_results/synbench.yaml"
WRITES = r"/api/models/.*/commit/"
COMMIT = ("POST", WRITES)


@pytest.fixture
def site():
    with Hub() as hub:
        hub.sign_up("bot", token="hf_bot")
        hub.sign_up("other", token="hf_other")
        hub.sign_up("owner", token="hf_owner", orgs=("org",))
        yield hub


@pytest.fixture
def repo(site):
    return site.create("org/model", {"README.md": CARD, "model.safetensors": b"weights", "config.json": b"{}"})


@pytest.fixture
def slept():
    return []


@pytest.fixture
def client(site, slept):
    """Make a client that waits in no time."""

    def make(token="hf_bot", **pace):
        return Client(token, site.endpoint, Pace(**{"per_hour": float("inf"), "sleep": slept.append, **pace}))

    return make


def scored(repo, score=0.68, **changes):
    return make_report(commit=repo.refs["main"], score=score, **changes)


def writes(site):
    return [request for request in site.requests if request.method not in ("GET", "HEAD")]


def commits_sent(site):
    return [request for request in writes(site) if "/commit/" in request.path]


def without_ours(card):
    """Return a card without the lines of the one result that we put at the end of its metadata."""
    head, ours, rest = card.partition(b"model-index:\n")
    assert ours
    return head + rest[rest.index(b"---\n") :]


# The whole way


def test_a_dry_run_shows_the_difference_and_only_reads(site, repo, client):
    shown = []
    told = push_score(scored(repo), "org/model", dry_run=True, confirm=shown.append, hub=client())
    assert (told.action, told.done, told.url, told.commit) == ("open", False, None, None)
    assert "+  value: 0.68\n" in told.diff
    assert shown[0].change.diff == told.diff
    assert writes(site) == []
    # Whose login it is is asked once; then one request each for the state, the pull requests and the card.
    paths = [request.path for request in site.requests]
    assert paths.count("/api/whoami-v2") == 1
    assert len(paths) == 4
    assert repo.pulls == []


def test_one_pull_request_with_one_commit_carries_the_score_in_both_places(site, repo, client):
    base = repo.refs["main"]
    done = push_score(scored(repo), "org/model", yes=True, hub=client())
    assert (done.action, done.done, done.number) == ("open", True, 1)
    assert done.url == f"{site.endpoint}/org/model/discussions/1"
    [pull] = repo.pulls
    assert (pull.status, pull.author, pull.title) == ("open", "bot", "Add SynBench scores")
    assert "<!-- synbench:v1" in pull.description
    assert "If you do not want this" in pull.description
    assert done.commit == repo.refs[pull.ref]
    assert pull.base == base == repo.refs["main"]
    files = repo.files(pull.ref)
    assert without_ours(files["README.md"]) == CARD
    assert b"task_id: population_score\n" in files[EVAL]
    before = repo.files("main")
    assert {path: files[path] for path in before if path != "README.md"} == {
        path: before[path] for path in before if path != "README.md"
    }
    assert len(commits_sent(site)) == 1


def test_what_is_there_already_is_not_written_again(site, repo, client):
    report = scored(repo)
    push_score(report, "org/model", yes=True, hub=client())
    head = repo.refs["refs/pr/1"]
    sent = len(writes(site))
    again = push_score(report, "org/model", yes=True, hub=client())
    assert (again.action, again.done, again.number) == ("nothing", True, 1)
    assert "pull request 1 of org/model has these scores already" in again.reason
    repo.merge(1)
    merged = push_score(report, "org/model", yes=True, hub=client())
    assert (merged.action, merged.done) == ("nothing", True)
    assert len(writes(site)) == sent
    assert repo.refs["refs/pr/1"] == head


def test_an_open_pull_request_is_amended_and_edits_made_there_are_kept(site, repo, client):
    push_score(scored(repo), "org/model", yes=True, hub=client())
    edited = repo.files("refs/pr/1")
    edited["README.md"] = edited["README.md"].replace(b"owner.", b"owner, edited in the pull request.")
    head = repo.push(edited, branch="refs/pr/1")
    done = push_score(scored(repo, 0.71), "org/model", yes=True, hub=client())
    assert (done.action, done.number) == ("amend", 1)
    assert len(repo.pulls) == 1
    assert repo.refs["refs/pr/1"] == done.commit != head
    after = repo.files("refs/pr/1")
    assert b"edited in the pull request" in after["README.md"]
    assert b"value: 0.71\n" in after["README.md"]
    assert b"value: 0.68\n" not in after["README.md"]
    assert b"value: 0.71\n" in after[EVAL]
    assert repo.files("main")["README.md"] == CARD


def test_the_description_tells_of_the_amended_scores_and_its_failure_costs_nothing(site, repo, client):
    push_score(scored(repo), "org/model", yes=True, hub=client())
    assert "| 0.680 |" in repo.pulls[0].description
    edit = r"/api/models/org/model/discussions/1/comment/\w+/edit$"
    site.faults.append(Fault("POST", edit, status=200, body={"updatedComment": repo.pulls[0].events[0]}))
    done = push_score(scored(repo, 0.71), "org/model", yes=True, only="eval-results", hub=client())
    told = json.loads(writes(site)[-1].body)["content"]
    assert "| 0.710 |" in told
    assert "0.680" not in told
    # Of the whole pull request, not of the amended file alone.
    assert "- `README.md`:" in told
    assert "- `.eval_results/synbench.yaml`:" in told
    assert done.warning is None
    site.faults.append(Fault("POST", edit, status=403))
    done = push_score(scored(repo, 0.72), "org/model", yes=True, hub=client())
    assert (done.action, done.done) == ("amend", True)
    assert "still tells of earlier scores: cannot describe pull request 1" in done.warning
    assert b"value: 0.72\n" in repo.files("refs/pr/1")[EVAL]


def test_a_draft_is_amended_too(repo, client):
    push_score(scored(repo), "org/model", yes=True, hub=client())
    repo.pulls[0].status = "draft"
    assert push_score(scored(repo, 0.71), "org/model", yes=True, hub=client()).action == "amend"
    assert len(repo.pulls) == 1


def test_a_closed_pull_request_is_a_no_for_good(site, repo, client):
    push_score(scored(repo), "org/model", yes=True, hub=client())
    repo.close(1)
    sent = len(writes(site))
    with pytest.raises(RefusedError, match=r"pull request 1 on org/model was closed .*owner does not want") as told:
        push_score(scored(repo, 0.9), "org/model", yes=True, hub=client())
    assert (told.value.why, told.value.pull_request.num, told.value.exit_code) == ("closed", 1, 4)
    assert len(writes(site)) == sent
    # On one's own repository it does not matter, nor is it asked for.
    done = push_score(scored(repo, 0.9), "org/model", yes=True, direct=True, hub=client("hf_owner"))
    assert done.done


def test_after_a_merge_comes_another_pull_request_unless_one_is_enough(repo, client):
    push_score(scored(repo), "org/model", yes=True, hub=client())
    repo.merge(1)
    better = scored(repo, 0.71)
    with pytest.raises(RefusedError, match=r"pull request 1 on org/model was merged .*one is enough") as told:
        propose(client(), better, "org/model", again_after_merge=False)
    assert told.value.why == "merged"
    done = push_score(better, "org/model", yes=True, hub=client())
    assert (done.action, done.number) == ("open", 2)
    assert [pull.status for pull in repo.pulls] == ["merged", "open"]


def test_pull_requests_are_ours_by_author_and_mark_never_by_title(site, repo, client):
    from huggingface_hub import CommitOperationAdd, HfApi

    def open_one(token, description):
        HfApi(endpoint=site.endpoint, token=token).create_commit(
            "org/model",
            [CommitOperationAdd("notes.txt", b"x")],
            commit_message="Add SynBench scores",
            commit_description=description,
            create_pr=True,
        )

    open_one("hf_other", "The same.\n\n<!-- synbench:v1 -->")
    open_one("hf_bot", "Of this account, but not by SynBench.")
    repo.close(1)
    repo.close(2)
    site.requests.clear()
    done = push_score(scored(repo), "org/model", yes=True, hub=client())
    assert (done.action, done.number) == ("open", 3)
    details = [r.path for r in site.requests if r.path.startswith("/api/models/org/model/discussions/")]
    assert details == ["/api/models/org/model/discussions/2"]


def test_a_hub_that_lists_those_of_others_too_is_not_believed(site, repo, client):
    hub = client()
    push_score(scored(repo), "org/model", yes=True, hub=client("hf_other"))
    listed = hub.api.get_repo_discussions
    hub.api.get_repo_discussions = lambda repo_id, **_: listed(repo_id)
    assert hub.pull_requests("org/model") == []


def test_one_place_alone(repo, client):
    push_score(scored(repo), "org/model", yes=True, only="eval-results", hub=client())
    assert repo.files("refs/pr/1")["README.md"] == CARD
    repo.merge(1)
    push_score(scored(repo, 0.7), "org/model", yes=True, only="model-index", hub=client())
    files = repo.files("refs/pr/2")
    assert b"value: 0.7\n" in files["README.md"]
    assert files[EVAL] == repo.files("main")[EVAL]


def test_a_card_that_cannot_be_changed_without_loss_is_left_and_the_other_place_takes_the_score(site, client):
    card = b"---\nlicense: mit\nlicense: apache-2.0\n---\nDuplicate keys.\n"
    repo = site.create("org/model", {"README.md": card, "model.safetensors": b"w"})
    done = push_score(scored(repo), "org/model", yes=True, hub=client())
    assert list(done.refused) == ["README.md"]
    files = repo.files("refs/pr/1")
    assert files["README.md"] == card
    assert EVAL in files
    assert done.refused["README.md"] in repo.pulls[0].description
    repo.merge(1)
    with pytest.raises(CardError) as told:
        push_score(scored(repo), "org/model", yes=True, only="model-index", hub=client())
    assert str(told.value) == done.refused["README.md"]
    assert told.value.exit_code == 4


def test_a_repository_without_a_card_gets_one_of_the_score_alone_or_none(site, client):
    repo = site.create("org/model", {"model.safetensors": b"w"})
    push_score(scored(repo), "org/model", yes=True, hub=client())
    files = repo.files("refs/pr/1")
    assert EVAL in files
    assert files["model.safetensors"] == b"w"


def test_direct_commits_to_main_of_ones_own_repository(site, repo, client):
    base = repo.refs["main"]
    done = push_score(scored(repo), "org/model", yes=True, direct=True, hub=client("hf_owner"))
    assert (done.action, done.done, done.commit) == ("commit", True, repo.refs["main"])
    assert done.commit != base
    assert done.url == f"{site.endpoint}/org/model/commit/{done.commit}"
    assert without_ours(repo.files("main")["README.md"]) == CARD
    assert repo.pulls == []


def test_direct_is_refused_where_one_may_not_write(site, repo, client):
    with pytest.raises(HubError, match=r"cannot commit to org/model: the Hub does not allow it \(403\)"):
        push_score(scored(repo), "org/model", yes=True, direct=True, hub=client())
    assert repo.files("main")["README.md"] == CARD


def test_nothing_is_written_without_a_yes(site, repo, client):
    with pytest.raises(ArgumentError, match=r"pass yes=True, a function confirm= .* or dry_run=True"):
        push_score(scored(repo), "org/model", hub=client())
    assert site.requests == []
    asked = []
    done = push_score(scored(repo), "org/model", confirm=lambda p: bool(asked.append(p)), hub=client())
    assert not done.done
    assert len(asked) == 1
    assert writes(site) == []
    # A dry run stays one, whatever is said.
    push_score(scored(repo), "org/model", dry_run=True, yes=True, confirm=lambda _: True, hub=client())
    assert writes(site) == []
    assert push_score(scored(repo), "org/model", confirm=lambda _: True, hub=client()).done


def test_without_a_login_a_dry_run_works_and_says_what_it_cannot_know(site, repo, client):
    told = push_score(scored(repo), "org/model", dry_run=True, hub=client(False))
    assert "Without a login it is not known" in told.reason
    assert all(request.token is None for request in site.requests)


# What a score is not put on


@pytest.mark.parametrize(
    ("report", "error", "why", "text"),
    [
        ({"model_id": "org/another"}, RefusedError, "other-model", "expected the score of org/model on the Hub, got"),
        ({"model": {"source": "local"}}, RefusedError, "other-model", r"'org/model' \(local\)"),
        ({"settings": {"model": None}}, RefusedError, "other-model", "representations that were made elsewhere"),
        ({"commit": None}, RefusedError, "no-commit", "does not tell which commit"),
        ({"model": {"trained": False}}, ArgumentError, None, "untrained twin"),
        ({"score": None, "stderr": None}, ArgumentError, None, "no score"),
    ],
)
def test_only_a_score_of_this_very_model_is_published(site, repo, client, report, error, why, text):
    with pytest.raises(error, match=text) as told:
        push_score(make_report(**report), "org/model", yes=True, hub=client())
    assert getattr(told.value, "why", None) == why
    assert site.requests == []


def test_weights_that_changed_since_are_to_be_scored_again(site, repo, client):
    old = scored(repo)
    repo.push({**repo.files("main"), "model.safetensors": b"other weights"})
    with pytest.raises(RefusedError, match=r"main is at \w+ now, with other weights\. Score it again") as told:
        push_score(old, "org/model", yes=True, hub=client())
    assert told.value.why == "weights"
    lost = make_report(commit="b" * 40)
    with pytest.raises(RefusedError, match=r"whose weights cannot be compared with it\. Score it again"):
        push_score(lost, "org/model", yes=True, hub=client())
    assert writes(site) == []
    # Without safetensors nothing tells.
    old = site.create("org/pickled", {"README.md": CARD, "pytorch_model.bin": b"w"})
    report = make_report("org/pickled", old.refs["main"])
    old.push({"README.md": CARD, "pytorch_model.bin": b"x"})
    with pytest.raises(RefusedError, match="whose weights cannot be compared with it"):
        push_score(report, "org/pickled", yes=True, hub=client())


def test_a_new_card_with_the_same_weights_is_fine_and_is_what_is_changed(site, repo, client):
    old = scored(repo)
    repo.push({**repo.files("main"), "README.md": CARD.replace(b"Text", b"New text")})
    site.requests.clear()
    push_score(old, "org/model", yes=True, hub=client())
    assert b"New text of its owner" in repo.files("refs/pr/1")["README.md"]
    infos = [r for r in site.requests if r.path.startswith("/api/models/org/model/revision/")]
    assert [r.path.rpartition("/")[2] for r in infos] == [old.settings.model.commit]
    # A fingerprint that is known already saves that request.
    known = client().state("org/model", old.settings.model.commit).weights
    site.requests.clear()
    propose(client(), old, "org/model", scored_weights=known)
    assert not any(old.settings.model.commit in r.path for r in site.requests)
    with pytest.raises(RefusedError, match="with other weights"):
        propose(client(), old, "org/model", scored_weights="another")


def test_private_disabled_and_gated_models_are_left_alone(site, client):
    files = {"README.md": CARD, "model.safetensors": b"w"}
    private = site.create("org/private", files, private=True)
    report = make_report("org/private", private.refs["main"])
    with pytest.raises(RefusedError, match=r"org/private is private.*--direct") as told:
        push_score(report, "org/private", yes=True, hub=client("hf_owner"))
    assert told.value.why == "private"
    with pytest.raises(HubError, match="no such repository, or it is not for us to see"):
        push_score(report, "org/private", yes=True, hub=client())
    assert push_score(report, "org/private", yes=True, direct=True, hub=client("hf_owner")).done

    disabled = site.create("org/disabled", files, disabled=True)
    with pytest.raises(HubError, match="disabled"):
        push_score(make_report("org/disabled", disabled.refs["main"]), "org/disabled", yes=True, hub=client())

    gated = site.create("org/gated", files, gated=True)
    with pytest.raises(RefusedError, match="org/gated is gated, and its owner has not let this account in") as told:
        push_score(make_report("org/gated", gated.refs["main"]), "org/gated", yes=True, hub=client())
    assert told.value.why == "gated"
    assert disabled.pulls == gated.pulls == private.pulls == []


def test_a_model_of_another_name_by_now_is_to_be_scored_under_that(repo, client, monkeypatch):
    hub = client()
    known = hub.state("org/model")
    monkeypatch.setattr(hub, "state", lambda *_: replace(known, repo_id="org/renamed"))
    with pytest.raises(RefusedError, match=r"org/model is called org/renamed on the Hub\. Score it under that") as told:
        push_score(scored(repo), "org/model", yes=True, hub=hub)
    assert told.value.why == "moved-model"


def test_a_check_that_cannot_be_made_is_no_refusal(site, client):
    gated = site.create("org/gated", {"README.md": CARD, "model.safetensors": b"w"}, gated=True)
    gated.granted.add("bot")
    old = make_report("org/gated", gated.refs["main"])
    gated.push({"README.md": b"Other.", "model.safetensors": b"w"})
    for path in (r"/auth-check", rf"/revision/{old.settings.model.commit}"):
        site.faults[:] = [Fault("GET", path, status=503, times=1000)]
        with pytest.raises(RequestError, match=r"the Hub has a fault \(503\)") as told:
            push_score(old, "org/gated", yes=True, hub=client())
        assert told.value.failure.kind == "unknown"
    site.faults.clear()
    assert push_score(old, "org/gated", yes=True, hub=client()).done


def test_what_main_has_by_now_is_not_put_in_a_pull_request(repo, client):
    hub, report = client(), scored(repo)
    proposal = propose(hub, report, "org/model")
    push_score(report, "org/model", yes=True, direct=True, hub=client("hf_owner"))
    with pytest.raises(RequestError, match=r"main has the scores by now\. Nothing was written") as told:
        carry_out(hub, proposal)
    assert told.value.failure.kind == "moved"
    assert repo.pulls == []
    nothing = propose(hub, report, "org/model")
    assert carry_out(hub, nothing).action == "nothing"


def test_files_are_read_at_full_commits_alone(repo, client):
    with pytest.raises(ArgumentError, match=r"expected a full commit hash to read 'README.md' at, got 'main'"):
        client().read("org/model", "README.md", "main")
    assert client().read("org/model", "nothing.txt", repo.refs["main"]) is None


def test_a_deleted_model_is_told_as_one(site, client):
    with pytest.raises(RequestError, match="cannot look at org/model: there is no such repository") as told:
        push_score(make_report(), "org/model", yes=True, hub=client())
    assert told.value.failure.kind == "permanent"


def test_where_discussions_are_off_no_pull_request_is_tried_twice(site, slept, client):
    repo = site.create("org/model", {"README.md": CARD, "model.safetensors": b"w"}, discussions=False)
    with pytest.raises(RequestError, match="its owner has switched discussions and pull requests off") as told:
        push_score(scored(repo), "org/model", yes=True, hub=client())
    assert told.value.failure.kind == "permanent"
    assert repo.pulls == []
    assert slept == []
    assert len(commits_sent(site)) <= 1


def test_a_bad_token_is_no_fault_of_the_repository(site, repo, client):
    with pytest.raises(RequestError, match=r"the Hub does not know the token \(401\).*Log in again") as told:
        push_score(scored(repo), "org/model", yes=True, hub=client("hf_unknown"))
    assert told.value.failure.kind == "later"
    assert "hf_unknown" not in str(told.value)


# Faults of the Hub and of the way to it


def fault(where=COMMIT, status=503, **changes):
    return Fault(where[0], where[1], **{"status": status, "times": 1, **changes})


@pytest.mark.parametrize(
    "lost",
    [
        {"drop": True, "after": True},
        {"status": 500, "after": True},
        {"status": 502, "after": True},
        {"status": 503, "after": True},
        {"status": 504, "after": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("way", ["open", "amend", "direct"])
def test_work_that_was_done_though_the_answer_was_lost_is_found_and_not_done_again(site, repo, client, lost, way):
    if way == "amend":
        push_score(scored(repo, 0.5), "org/model", yes=True, hub=client())
    sent = len(commits_sent(site))
    site.faults.append(fault(**lost))
    own = "hf_owner" if way == "direct" else "hf_bot"
    done = push_score(scored(repo), "org/model", yes=True, direct=way == "direct", hub=client(own))
    assert done.done
    ref = "main" if way == "direct" else "refs/pr/1"
    assert done.commit == repo.refs[ref]
    assert b"value: 0.68\n" in repo.files(ref)["README.md"]
    assert len(repo.pulls) == (way != "direct")
    assert len(commits_sent(site)) == sent + 1


def test_the_one_that_was_opened_is_found_even_if_it_is_merged_at_once(site, repo, client):
    push_score(scored(repo, 0.5), "org/model", yes=True, hub=client())
    repo.merge(1)
    site.faults += [
        fault(drop=True, after=True),
        Fault("GET", r"/org/model/discussions\?", skip=1, call=lambda: repo.merge(2)),
    ]
    done = push_score(scored(repo), "org/model", yes=True, hub=client())
    assert (done.done, done.number) == (True, 2)
    assert [pull.status for pull in repo.pulls] == ["merged", "merged"]


def test_an_earlier_one_is_not_taken_for_the_one_that_was_not_opened(site, repo, client):
    push_score(scored(repo, 0.5), "org/model", yes=True, hub=client())
    repo.merge(1)
    site.faults.append(fault(status=503))
    done = push_score(scored(repo), "org/model", yes=True, hub=client())
    assert (done.done, done.number) == (True, 2)
    assert b"value: 0.68\n" in repo.files("refs/pr/2")[EVAL]


def test_an_answer_that_does_not_come_is_not_waited_for_and_what_is_done_late_not_done_twice(
    site, repo, client, monkeypatch
):
    from huggingface_hub import close_session

    monkeypatch.setattr("hub_tools.client.asking.TIMEOUT", 0.3)
    close_session()
    try:
        site.faults.append(fault(seconds=1.0, after=True))
        with pytest.raises(RequestError, match=r"it is not known whether .* the connection broke before the answer"):
            push_score(scored(repo), "org/model", yes=True, hub=client())
        assert repo.pulls == []
        end = time.monotonic() + 10
        while not repo.pulls and time.monotonic() < end:
            time.sleep(0.05)
        assert push_score(scored(repo), "org/model", yes=True, hub=client()).action == "nothing"
        assert len(repo.pulls) == 1
    finally:
        close_session()


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("way", ["open", "amend", "direct"])
def test_work_that_a_fault_prevented_is_done_at_the_next_try(site, repo, slept, client, status, way):
    if way == "amend":
        push_score(scored(repo, 0.5), "org/model", yes=True, hub=client())
    site.faults.append(fault(status=status, times=2))
    own = "hf_owner" if way == "direct" else "hf_bot"
    done = push_score(scored(repo), "org/model", yes=True, direct=way == "direct", hub=client(own))
    assert done.done
    assert len(repo.pulls) == (way != "direct")
    assert b"value: 0.68\n" in repo.files("main" if way == "direct" else "refs/pr/1")["README.md"]
    assert slept


@pytest.mark.parametrize("lost", [{"drop": True}, {"status": 504}], ids=str)
def test_a_pull_request_that_may_still_be_opened_is_not_asked_for_twice(site, repo, client, lost):
    site.faults.append(fault(**lost))
    with pytest.raises(
        RequestError,
        match=r"it is not known whether the Hub will open a pull request on org/model: .*"
        r"Nothing of it was to be seen in 3 looks.*run this again: it looks first",
    ) as told:
        push_score(scored(repo), "org/model", yes=True, hub=client())
    assert told.value.failure.kind == "unknown"
    assert repo.pulls == []
    assert len(commits_sent(site)) == 1
    assert push_score(scored(repo), "org/model", yes=True, hub=client()).number == 1
    assert len(repo.pulls) == 1


@pytest.mark.parametrize("lost", [{"drop": True}, {"status": 504}], ids=str)
@pytest.mark.parametrize("way", ["amend", "direct"])
def test_a_commit_that_names_what_it_builds_on_is_asked_for_again(site, repo, client, lost, way):
    if way == "amend":
        push_score(scored(repo, 0.5), "org/model", yes=True, hub=client())
    site.faults.append(fault(**lost))
    own = "hf_owner" if way == "direct" else "hf_bot"
    assert push_score(scored(repo), "org/model", yes=True, direct=way == "direct", hub=client(own)).done
    assert b"value: 0.68\n" in repo.files("main" if way == "direct" else "refs/pr/1")["README.md"]


def test_where_looking_fails_too_nothing_is_tried_again_and_the_error_says_what_is_known(site, repo, client):
    hub = client(attempts=2)
    proposal = propose(hub, scored(repo), "org/model")
    site.faults += [
        fault(drop=True, after=True),
        Fault("GET", r"/api/models/.*/discussions", status=503, times=1000),
    ]
    with pytest.raises(RequestError, match=r"not known whether .* Looking for it failed too: cannot list") as told:
        carry_out(hub, proposal)
    assert told.value.failure.kind == "unknown"
    assert len(commits_sent(site)) == 1
    site.faults.clear()
    assert push_score(scored(repo), "org/model", yes=True, hub=client()).action == "nothing"
    assert len(repo.pulls) == 1


def test_a_fault_that_stays_is_told_and_nothing_is_written(site, repo, client):
    site.faults.append(fault(times=1000))
    with pytest.raises(
        RequestError,
        match=r"cannot open a pull request on org/model: the Hub has a fault \(503\).*"
        r"Tried 5 times\. Nothing was written",
    ):
        push_score(scored(repo), "org/model", yes=True, hub=client())
    assert repo.pulls == []


@pytest.mark.parametrize("path", [r"/api/validate-yaml", r"/api/models/.*/preupload/"])
def test_a_fault_before_the_commit_is_no_reason_to_give_up(site, repo, client, path):
    site.faults.append(Fault("POST", path, drop=True, times=1))
    assert push_score(scored(repo), "org/model", yes=True, hub=client()).done
    assert len(repo.pulls) == 1


def test_what_the_hub_says_of_the_metadata_is_no_surprise(site, repo, client):
    warned = {"errors": [], "warnings": [{"message": "empty or missing yaml metadata"}]}
    refused = {"errors": [{"message": '"license" must be a string'}], "warnings": []}
    site.faults.append(Fault("POST", r"/api/validate-yaml", status=400, body=refused))
    with pytest.raises(RequestError, match=r'"license" must be a string.*--only eval-results') as told:
        push_score(scored(repo), "org/model", yes=True, hub=client())
    assert told.value.failure.kind == "permanent"
    assert repo.pulls == []
    site.faults.append(Fault("POST", r"/api/validate-yaml", status=200, body=warned))
    assert push_score(scored(repo), "org/model", yes=True, hub=client()).done


@pytest.mark.parametrize("status", [409, 412])
@pytest.mark.parametrize("way", ["open", "amend", "direct"])
def test_a_branch_that_moves_is_read_again(site, repo, client, status, way):
    if way == "amend":
        push_score(scored(repo, 0.5), "org/model", yes=True, hub=client())
    site.faults.append(fault(status=status, times=2))
    own = "hf_owner" if way == "direct" else "hf_bot"
    asked = []
    done = push_score(
        scored(repo), "org/model", confirm=lambda p: not asked.append(p), direct=way == "direct", hub=client(own)
    )
    assert done.done
    assert len(asked) == 1
    assert len(repo.pulls) == (way != "direct")
    site.faults.append(fault(status=status, times=1000))
    with pytest.raises(RequestError, match=rf"has moved since it was read \({status}\)") as told:
        push_score(scored(repo, 0.9), "org/model", yes=True, direct=way == "direct", hub=client(own))
    assert told.value.failure.kind == "moved"


@pytest.mark.parametrize("way", ["amend", "direct"])
def test_what_others_committed_in_between_stays(site, repo, client, way):
    if way == "amend":
        push_score(scored(repo, 0.5), "org/model", yes=True, hub=client())
    ref = "main" if way == "direct" else "refs/pr/1"
    asked = []

    def others_commit(proposal):
        asked.append(proposal)
        if len(asked) == 1:
            files = repo.files(ref)
            repo.push({**files, "README.md": files["README.md"].replace(b"Text of", b"Late text of")}, branch=ref)
        return True

    own = "hf_owner" if way == "direct" else "hf_bot"
    done = push_score(scored(repo), "org/model", confirm=others_commit, direct=way == "direct", hub=client(own))
    assert done.done
    # The same lines of ours: nobody is asked again.
    assert len(asked) == 1
    card = repo.files(ref)["README.md"]
    assert b"Late text of its owner" in card
    assert b"value: 0.68\n" in card
    assert b"value: 0.5\n" not in card


def test_where_our_own_lines_differ_by_then_a_person_is_asked_again(repo, client):
    asked = []

    def others_commit(proposal):
        asked.append(proposal.change.diff)
        if len(asked) == 1:
            files = repo.files("main")
            repo.push({**files, "README.md": b"---\nmodel-index:\n- name: mine\n  results: []\n---\n"})
            return True
        return False

    done = push_score(scored(repo), "org/model", confirm=others_commit, direct=True, hub=client("hf_owner"))
    assert not done.done
    assert len(asked) == 2
    assert asked[0] != asked[1]
    assert EVAL not in repo.files("main")


def test_limits_are_waited_for_as_long_as_they_ask(site, repo, slept, client):
    site.faults += [
        fault(status=429),
        fault(status=429, headers={"Retry-After": "7"}),
        fault(status=429, headers={"RateLimit": '"api";r=0;t=30'}),
    ]
    assert push_score(scored(repo), "org/model", yes=True, hub=client()).done
    assert len(repo.pulls) == 1
    assert slept[0] <= 1
    assert 7 <= slept[1] < 8
    assert 30 <= slept[2] < 31


@pytest.mark.parametrize(
    "where",
    [COMMIT, ("POST", r"/api/models/.*/preupload/.*"), ("GET", r"/api/models/org/model.*")],
    ids=["commit", "preupload", "info"],
)
def test_a_wait_longer_than_the_cap_stops_and_tells_when_to_come_back(site, repo, slept, client, where, monkeypatch):
    naps = []
    monkeypatch.setattr("time.sleep", naps.append)
    site.faults.append(fault(where, status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(StopError, match=r"asks to come back in 60 minutes.*Run this again then") as told:
        push_score(scored(repo), "org/model", yes=True, hub=client())
    assert told.value.failure.wait == 3600
    # Neither we nor the client itself, which would sleep for an hour.
    assert slept == []
    assert not any(naps)
    assert repo.pulls == []


def test_refusals_in_a_row_stop_everything(site, repo, client):
    site.faults.append(fault(status=429, times=1000))
    hub = client(patience=3)
    with pytest.raises(StopError, match=r"the Hub refused 3 writes in a row\. The last one: the Hub limits"):
        push_score(scored(repo), "org/model", yes=True, hub=hub)
    assert len(commits_sent(site)) == 3
    with pytest.raises(StopError, match="refused 3 writes in a row"):
        push_score(scored(repo), "org/model", yes=True, hub=hub)
    assert len(commits_sent(site)) == 3


@pytest.mark.parametrize("broken", [{"status": 429}, {"status": 503}, {"drop": True}], ids=str)
@pytest.mark.parametrize(
    "path", [r"/api/whoami-v2", r"/api/models/org/model\?", r"/api/models/.*/discussions", r"/org/model/resolve/.*"]
)
def test_reads_are_repeated(site, repo, slept, client, broken, path):
    site.faults.append(Fault("GET", path, **{"status": 503, "times": 2, **broken}))
    assert push_score(scored(repo), "org/model", yes=True, hub=client()).done
    assert len(repo.pulls) == 1
    assert len(slept) == 2


def test_no_cache_answers_for_the_hub(site, repo, client):
    from huggingface_hub import hf_hub_download

    hf_hub_download("org/model", "README.md", endpoint=site.endpoint, token="hf_bot")
    repo.push({**repo.files("main"), "README.md": CARD.replace(b"Text", b"Newer text")})
    site.faults.append(Fault("HEAD", r".*", status=503, times=1000))
    stale = hf_hub_download("org/model", "README.md", endpoint=site.endpoint, token="hf_bot")
    assert b"Newer" not in Path(stale).read_bytes(), "the trap is gone"
    push_score(scored(repo), "org/model", yes=True, hub=client())
    assert b"Newer text of its owner" in repo.files("refs/pr/1")["README.md"]


def test_an_answer_of_another_commit_is_not_taken(site, repo, client):
    hub = client(attempts=2)
    site.faults.append(
        Fault("GET", r"/org/model/resolve/.*", status=200, headers={"X-Repo-Commit": "c" * 40}, times=1000)
    )
    with pytest.raises(RequestError, match=r"something else answers in the Hub's place: .*came of commit") as told:
        push_score(scored(repo), "org/model", yes=True, hub=hub)
    assert told.value.failure.kind == "unknown"
    assert writes(site) == []


@pytest.mark.parametrize("years", [-30, 30])
def test_no_decision_depends_on_a_clock(site, repo, slept, client, years, monkeypatch):
    skewed = time.time() + years * 365 * 86400
    monkeypatch.setattr("time.time", lambda: skewed)
    # A date far from ours, 40 s from the server's own.
    there = 1_700_000_000
    handler = site._server.RequestHandlerClass
    monkeypatch.setattr(handler, "date_time_string", lambda *_: formatdate(there, usegmt=True))
    site.faults.append(fault(status=429, headers={"Retry-After": formatdate(there + 40, usegmt=True)}))
    assert push_score(scored(repo), "org/model", yes=True, hub=client()).done
    assert push_score(scored(repo), "org/model", yes=True, hub=client()).action == "nothing"
    assert len(slept) == 1
    assert 40 <= slept[0] < 41


# Secrets


def test_errors_hold_no_token_even_where_the_server_repeats_it(site, repo, client):
    for status in (400, 403, 404, 429, 503):
        site.faults[:] = [fault(status=status, body={"error": "bad token hf_bot given"}, times=1000)]
        with pytest.raises(HubError) as told:
            push_score(scored(repo), "org/model", yes=True, hub=client())
        assert "hf_bot" not in str(told.value)
        assert "hf_***" in str(told.value)
        assert "hf_bot" not in "".join(traceback.format_exception(told.value))


# The command line


@pytest.fixture
def command(site, repo, tmp_path):
    saved = tmp_path / "score.json"
    saved.write_text(scored(repo).to_json())

    def run(*options, stdin=subprocess.DEVNULL, **variables):
        known = {"HF_ENDPOINT": site.endpoint, "HF_TOKEN": "hf_bot", "PYTHONIOENCODING": "utf-8"}
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "synbench", "hub", "push", str(saved), "org/model", *options],
            env={**os.environ, **known, **variables},
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def test_the_command_shows_first_and_writes_only_after_a_yes(site, repo, command):
    done = command("--dry-run")
    assert done.returncode == 0, done.stderr
    assert "+++ b/README.md\n" in done.stdout
    assert "This would open a pull request on org/model." in done.stdout
    assert "\x1b" not in done.stdout
    done = command()
    assert done.returncode == 2
    assert "+++ b/README.md\n" in done.stdout
    assert "nothing was written: there is no terminal to ask at. Pass --yes" in done.stderr
    assert writes(site) == []
    done = command("--yes", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["action"], record["done"], record["number"]) == ("open", True, 1)
    assert record["diff"] in done.stderr
    assert len(repo.pulls) == 1


@pytest.mark.parametrize(("typed", "pulls"), [("yes\n", 1), ("y\n", 0), ("\n", 0)])
def test_the_command_takes_only_a_typed_yes(repo, command, typed, pulls):
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed.encode())
        done = command(stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert 'Type "yes" to do this: ' in done.stderr
    assert done.stdout.splitlines()[-1].startswith("done: http" if pulls else "nothing was written")
    assert len(repo.pulls) == pulls


def test_the_command_tells_refusals_by_its_exit_code_and_never_a_token(site, repo, command):
    site.faults.append(fault(status=400, body={"error": "no hf_bot here"}))
    debugged = command("--yes", HF_DEBUG="1")
    assert debugged.returncode == 4
    assert "cannot open a pull request on org/model: the Hub refuses the request (400)" in debugged.stderr
    said = debugged.stdout + debugged.stderr
    assert "no hf_*** here" in said
    assert "hf_bot" not in said
    assert "<TOKEN>" in said, "the client does not log its requests any more"
    wrong = command("--only", "nothing")
    assert wrong.returncode == 2
    assert "only must be one of 'model-index', 'eval-results'" in wrong.stderr


@pytest.fixture
def in_process(site, repo, tmp_path, monkeypatch):
    """Run the command in this process, without a terminal."""
    from typer.testing import CliRunner

    from hub_tools.commands import app

    saved = tmp_path / "score.json"
    saved.write_text(scored(repo).to_json())
    monkeypatch.setattr("hub_tools.client.hub.Hub", lambda pace: Client("hf_bot", site.endpoint, pace))
    monkeypatch.setattr("time.sleep", lambda _: None)
    return lambda *options: CliRunner().invoke(app, ["push", str(saved), "org/model", *options])


def test_the_command_tells_what_is_left_and_what_is_waited_for(site, repo, in_process, monkeypatch):
    site.faults.append(fault(status=429, headers={"Retry-After": "20"}))
    done = in_process("--yes")
    assert done.exit_code == 0
    assert done.stdout.endswith(f"done: {site.endpoint}/org/model/discussions/1\n")
    assert re.search(r"^synbench: waiting 2[01] s for the Hub$", done.stderr, re.MULTILINE)
    again = in_process("--yes")
    assert again.stdout == "nothing to do: pull request 1 of org/model has these scores already.\n"
    repo.close(1)
    refused = in_process("--yes")
    assert isinstance(refused.exception, RefusedError)
    unasked = in_process("--direct")
    assert isinstance(unasked.exception, ArgumentError)
    assert len(commits_sent(site)) == 2

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("hub_tools.score.pushing.push_score", interrupted)
    stopped = in_process("--yes")
    assert stopped.exit_code == 130
    assert "interrupted; if something was sent already, the next call finds it" in stopped.stderr


def test_the_command_tells_of_a_card_that_is_left_as_it_is(repo, in_process):
    repo.push({**repo.files("main"), "README.md": b"---\nlicense: mit\nlicense: mit\n---\n"})
    for _ in range(2):
        done = in_process("--yes")
        assert done.exit_code == 0
        assert "\nREADME.md is left as it is: " in "\n" + done.stdout
    assert "nothing to do" in done.stdout


def test_the_command_warns_of_a_description_that_is_late(site, repo, in_process):
    push_score(scored(repo, 0.5), "org/model", yes=True, token="hf_bot", endpoint=site.endpoint)
    site.faults.append(Fault("POST", r"/comment/", status=403))
    done = in_process("--yes")
    assert done.exit_code == 0
    assert "still tells of earlier scores" in done.stderr


def test_a_fingerprint_is_of_all_that_decides_a_score_and_of_nothing_else():
    files = {"model.safetensors": "1", "config.json": "2", "preprocessor_config.json": "3", "README.md": "4"}

    def fingerprint(**changed):
        return State("org/model", "a" * 40, {**files, **changed}, False, False, False).weights

    for path in files:
        assert (fingerprint(**{path: "new"}) == fingerprint()) == (path == "README.md"), path
    assert State("org/model", "a" * 40, {"config.json": "2"}, False, False, False).weights == ""
