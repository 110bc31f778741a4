"""A plan goes to Hugging Face Jobs in shards, each once, without a token in sight; results come home checked."""

import json
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hub_tools.annotation.plans import Plan, PlannedModel, parse_models, read_plan, write_plan
from hub_tools.annotation.scored import find, result_path
from hub_tools.at_scale import costs, jobs, shards
from hub_tools.at_scale.fetching import fetch
from hub_tools.client.hub import Hub as Client
from hub_tools.client.pacing import Pace
from hub_tools.commands.jobs import app
from synbench.errors import ArgumentError, HubError

from . import checkpoints, cost_table
from .hub import Fault, Hub
from .reports import make_report

TOKEN, READING = "hf_" + "payingaccount", "hf_" + "onlyreadingthis"
BUCKET = "lab/results"
CPU = costs.flavours()["cpu-upgrade"]


def model(number, parameters=86_000_000):
    return PlannedModel(f"org/model-{number:03d}", f"{number:040x}", parameters, parameters * 4)


def plan(count=10, **asked):
    return Plan(tuple(model(n, 5_000_000 * (1 + n % 7)) for n in range(count)), asked)


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.delenv("HF_DEBUG", raising=False)
    with Hub() as running:
        running.sign_up("lab", TOKEN)
        running.sign_up("reader", READING)
        running.roles["reader"] = "read"
        yield running


@pytest.fixture
def client(hub):
    made = Client(TOKEN, hub.endpoint, Pace(math.inf, sleep=lambda _: None, chance=lambda: 0.0))
    try:
        jobs.check_client(made.api)
    except ArgumentError as error:
        pytest.skip(str(error))
    return made


def spec(run="run-1", asked=None, **changes):
    told = {"timeout": 3600, "package": "synbench", "attempts": 2, "settings": asked or {}, "cut": "cut-1", **changes}
    return jobs.Spec(run, "lab", BUCKET, "cpu-upgrade", **told)


def submitted(hub):
    return Counter(kept["job"]["labels"]["shard"] for kept in hub.jobs.values())


def submit_all(client, parts, run="run-1", **options):
    there = jobs.jobs_of(client, "lab", run)
    for shard in jobs.todo(parts, there, {}, retry=options.pop("retry", False)):
        jobs.submit(client, spec(run), shard, there, **options)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(10**6, 10**9), min_size=1, max_size=60), st.integers(1, 20))
def test_every_model_is_in_one_shard_and_shards_take_about_equal_time(sizes, per_shard):
    whole = Plan(tuple(model(n, size) for n, size in enumerate(sizes)))
    parts = shards.cut(whole, CPU, per_shard)
    assert sorted(m.id for s in parts for m in s.models) == sorted(m.id for m in whole.models)
    assert max(len(s.models) for s in parts) <= per_shard
    assert len(parts) == math.ceil(len(sizes) / per_shard)
    assert shards.cut(Plan(whole.models[::-1]), CPU, per_shard) == parts, "the order of the plan does not matter"
    if per_shard >= len(sizes) // len(parts) + len(parts):
        # Where the cap does not bind, no shard is more than one model longer than another.
        loads = [sum(s.seconds) for s in parts]
        assert max(loads) - min(loads) <= max(c for s in parts for c in s.seconds) + 1e-6


def test_a_model_of_unknown_size_is_reckoned_as_an_average_one():
    whole = Plan((PlannedModel("org/a", "a" * 40), PlannedModel("org/b", "b" * 40, None, 4 * 86_000_000)))
    (shard,) = shards.cut(whole, CPU)
    assert shard.seconds[0] == pytest.approx(shard.seconds[1])


def test_the_cost_is_the_one_reckoned_by_hand():
    # ViT-B at 224: 2 · 86e6 · 197 operations an image; 4 cores of 50e9 a second; 8,192 images.
    seconds = 15 + 4 * 86e6 / 100e6 + 8192 * 2 * 86e6 * 197 / (4 * 50e9)
    assert costs.model_seconds(86e6, CPU, 8192) == pytest.approx(seconds, rel=1e-12)
    assert costs.model_seconds(86e6, CPU, 8192, passes=2) - seconds == pytest.approx(8192 * 2 * 86e6 * 197 / 200e9)
    total = costs.estimate(CPU, [[seconds] * 10, [seconds] * 5])
    assert total.hours == pytest.approx((15 * seconds + 2 * 180) / 3600)
    minutes = math.ceil((10 * seconds + 180) / 60) + math.ceil((5 * seconds + 180) / 60)
    assert total.dollars == pytest.approx(minutes * 0.03 / 60, abs=1e-6)
    assert (total.models, total.shards) == (15, 2)


def test_prices_are_those_that_the_hub_lists(client):
    listed = costs.flavours(client.api.list_jobs_hardware())
    assert listed["t4-small"].dollars == pytest.approx(0.40002)
    assert listed["t4-small"].source == "as the Hub lists it now"
    assert listed["l4x1"].source == "as documented in August 2026"
    assert listed["t4-small"].flops == pytest.approx(0.4 * 8.1e12)


def test_a_shard_is_one_command_that_annotate_score_understands():
    whole = plan(3, images=1024, seed=3, baseline="untrained")
    (shard,) = shards.cut(whole, CPU)
    words = shards.arguments_of(shard, whole.settings, "/results/x", "journals")
    assert words[:3] == ["hub", "annotate", "score"]
    told = parse_models(",".join(word.removeprefix("--models=") for word in words[3:6]))
    assert [(m.id, m.commit) for m in told] == [(m.id, m.commit) for m in shard.models]
    assert words[6:] == [
        *("--results", "/results/x", "--journals", "journals"),
        *("--images", "1024", "--seed", "3", "--baseline", "untrained"),
    ]
    with pytest.raises(ArgumentError, match="the plan sets scales, which Jobs are not given"):
        shards.arguments_of(shard, {"scales": [1.0]}, "/results/x")


def test_the_name_of_a_run_is_what_it_does():
    first = plan(10)
    names = {
        shards.run_name(p, shards.cut(p, CPU, per))
        for p, per in ((first, 4), (plan(9), 4), (first, 5), (plan(10, seed=1), 4))
    }
    assert len(names) == 4
    assert shards.run_name(first, shards.cut(first, CPU, 4)) in names
    for bad in ("", "a b", "x" * 41, "run/1"):
        with pytest.raises(ArgumentError, match="expected a name of up to 40 letters"):
            shards.check_name(bad)


def test_a_job_is_what_was_asked_for(hub, client):
    parts = shards.cut(plan(3), CPU)
    job = jobs.submit(client, spec(timeout=5400), parts[0], {})
    (kept,) = hub.jobs.values()
    asked = kept["asked"]
    assert asked["command"][:4] == ["uv", "run", "--with", "synbench"]
    assert asked["command"][4] == "synbench"
    more = ["--tidy", "--timeout", "5400"]
    assert asked["command"][5:] == shards.arguments_of(parts[0], {}, "/results/run-1/0000", "journals", more)
    assert (asked["flavor"], asked["timeoutSeconds"], asked["attempts"]) == ("cpu-upgrade", 5400, 2)
    assert {k: asked["labels"][k] for k in ("run", "shard")} == {"run": "run-1", "shard": "0000"}
    (volume,) = asked["volumes"]
    assert (volume["type"], volume["source"], volume["mountPath"]) == ("bucket", BUCKET, "/results")
    assert not asked.get("secrets")
    assert job.running
    assert jobs.jobs_of(client, "lab", "run-1") == {"0000": job}
    assert jobs.jobs_of(client, "lab", "another") == {}


def test_many_models_with_the_longest_ids_are_submitted(hub, client):
    """The client looks whether a word of the command names a file: too long a one would end it."""
    names = [f"{'o' * 90}{n:03d}/{'m' * 90}{n:03d}" for n in range(100)]
    whole = Plan(tuple(PlannedModel(name, f"{n:040x}", 10**7) for n, name in enumerate(names)))
    (shard,) = shards.cut(whole, CPU, 100)
    jobs.submit(client, spec(), shard, {})
    (kept,) = hub.jobs.values()
    words = [word.removeprefix("--models=") for word in kept["asked"]["command"] if word.startswith("--models=")]
    assert sorted(m.id for m in parse_models(",".join(words))) == names


def test_a_run_is_not_mixed_with_one_that_was_cut_otherwise(hub, client, shell, tmp_path):
    whole, edited = tmp_path / "plan.yaml", tmp_path / "edited.yaml"
    write_plan(plan(8), whole)
    write_plan(Plan(tuple(model(n) for n in range(4, 12))), edited)
    options = ("--bucket", BUCKET, "--run", "mine", "--yes")
    assert command(hub, "submit", whole, "--per-shard", 4, *options).exit_code == 0
    before = submitted(hub)
    for path, per_shard in ((whole, 2), (edited, 4)):
        for verb in ("submit", "status"):
            words = options if verb == "submit" else options[:-1]
            done = command(hub, verb, path, "--per-shard", per_shard, *words)
            assert "the run mine has jobs of another plan" in str(done.exception), (verb, per_shard)
    assert submitted(hub) == before == {"0000": 1, "0001": 1}
    assert "nothing to submit" in command(hub, "submit", whole, "--per-shard", 4, *options).stdout


def test_a_job_at_a_stage_that_is_not_known_here_is_left_to_end(hub, client):
    parts = shards.cut(plan(3), CPU)
    submit_all(client, parts)
    (kept,) = hub.jobs.values()
    kept["job"]["status"]["stage"] = "STARTING"
    assert jobs.todo(parts, jobs.jobs_of(client, "lab", "run-1"), {}, retry=True) == []


def test_a_machine_with_several_gpus_uses_them_all(hub, shell, tmp_path):
    write_plan(plan(3), tmp_path / "plan.yaml")
    for flavor, launched in (("l4x4", True), ("l4x1", False)):
        hub.jobs.clear()
        words = ("submit", tmp_path / "plan.yaml", "--bucket", BUCKET, "--flavor", flavor, "--yes")
        done = command(hub, *words)
        assert done.exit_code == 0, done.output
        (kept,) = hub.jobs.values()
        assert ("accelerate launch" in kept["asked"]["command"]) == launched


def test_a_token_that_the_hub_does_not_know_ends_with_a_sentence(hub, shell, tmp_path, monkeypatch):
    unknown = "hf_" + "nobodysnobodys"
    monkeypatch.setenv("SHARDS", unknown)
    write_plan(plan(3), tmp_path / "plan.yaml")
    words = ("submit", tmp_path / "plan.yaml", "--bucket", BUCKET, "--read-token-env", "SHARDS", "--yes")
    done = command(hub, *words)
    assert isinstance(done.exception, HubError)
    assert "cannot ask whose token SHARDS is" in str(done.exception)
    assert unknown not in done.output + str(done.exception)
    assert hub.jobs == {}


def test_a_time_that_is_too_short_is_told_with_what_would_fit(hub, shell, tmp_path):
    write_plan(Plan(tuple(model(n) for n in range(64))), tmp_path / "plan.yaml")
    words = ("submit", tmp_path / "plan.yaml", "--bucket", BUCKET, "--timeout", "12h", "--dry-run")
    told = command(hub, *words)
    # 64 times 1,406 s and 180 s: 25 hours. Of 24 models, 9.4.
    assert "--per-shard 24 would fit" in told.stderr
    assert "note:" not in command(hub, *words, "--per-shard", 24).stderr


def test_submitting_again_submits_nothing_and_retry_only_what_ended_without_its_results(hub, client):
    parts = shards.cut(plan(10), CPU, 4)
    assert len(parts) == 3
    submit_all(client, parts)
    submit_all(client, parts)
    submit_all(client, parts, retry=True)
    assert submitted(hub) == {"0000": 1, "0001": 1, "0002": 1}
    ids = list(hub.jobs)
    hub.jobs[ids[0]]["job"]["status"]["stage"] = "COMPLETED"
    hub.jobs[ids[1]]["job"]["status"]["stage"] = "ERROR"
    there = jobs.jobs_of(client, "lab", "run-1")
    done = {"0000": len(parts[0].models), "0001": 1}
    assert jobs.todo(parts, there, done, retry=False) == []
    assert [s.name for s in jobs.todo(parts, there, done, retry=True)] == ["0001"]
    jobs.submit(client, spec(), parts[1], there)
    assert submitted(hub) == {"0000": 1, "0001": 2, "0002": 1}
    assert jobs.jobs_of(client, "lab", "run-1")["0001"].stage == "SCHEDULING", "the newest job counts"


@pytest.mark.parametrize("after", [True, False], ids=["after the work", "before the work"])
def test_a_lost_answer_never_makes_a_second_job(after, hub, client):
    parts = shards.cut(plan(8), CPU, 4)
    hub.faults.append(Fault("POST", "/api/jobs/", after=after, drop=True))
    try:
        submit_all(client, parts)
    except HubError as error:
        assert "it is not known whether the Hub will submit shard" in str(error)  # noqa: PT017
        assert not after
        submit_all(client, parts)
    assert submitted(hub) == {"0000": 1, "0001": 1}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_hub_is_asked_again(status, hub, client):
    hub.faults.append(Fault("POST", "/api/jobs/", status=status, headers={"Retry-After": "1"}))
    submit_all(client, shards.cut(plan(3), CPU))
    assert submitted(hub) == {"0000": 1}


KILLED = """
import os, sys, signal
from tests.test_jobs import *
endpoint, step = sys.argv[1], int(sys.argv[2])
client = Client(TOKEN, endpoint, Pace(math.inf))
from huggingface_hub.utils import get_session
count = 0
def tell(*_):
    global count
    count += 1
    if count == step:
        os.kill(os.getpid(), signal.SIGKILL)
session = get_session()
session.event_hooks["request"].append(tell)
session.event_hooks["response"].append(tell)
submit_all(client, shards.cut(plan(16), CPU, 4))
"""


@pytest.mark.slow
def test_killed_at_any_step_a_submission_goes_on_without_a_second_job(hub, client):
    for step in (1, 2, 3, 4, 6, 7):
        hub.jobs.clear()
        child = subprocess.run(
            [sys.executable, "-c", KILLED, hub.endpoint, str(step)], check=False, capture_output=True, timeout=120
        )
        assert child.returncode == -9, child.stderr.decode()
        submit_all(client, shards.cut(plan(16), CPU, 4))
        assert submitted(hub) == dict.fromkeys(("0000", "0001", "0002", "0003"), 1), step


def test_shards_get_a_token_that_can_only_read_or_none(hub, client, monkeypatch):
    def account(token):
        return client.api.whoami(token=token)

    monkeypatch.setenv("SHARDS", READING)
    assert jobs.read_token("SHARDS", account) == READING
    monkeypatch.setenv("SHARDS", TOKEN)
    with pytest.raises(ArgumentError, match=r"can do more than read \(its role is write\)") as refused:
        jobs.read_token("SHARDS", account)
    assert TOKEN not in str(refused.value)
    with pytest.raises(ArgumentError, match="environment variable NOTHING, which is not set"):
        jobs.read_token("NOTHING", account)


@pytest.mark.parametrize(
    ("scopes", "good"),
    [
        ([{"permissions": ["repo.content.read"]}], True),
        ([{"permissions": ["repo.content.read", "repo.write"]}], False),
        ([{"permissions": ["discussion.write"]}], False),
        ([], False),
    ],
)
def test_a_fine_grained_token_is_looked_at(scopes, good, monkeypatch):
    monkeypatch.setenv("SHARDS", READING)
    told = {"auth": {"accessToken": {"role": "fineGrained", "fineGrained": {"scoped": scopes, "global": []}}}}
    if good:
        assert jobs.read_token("SHARDS", lambda _: told) == READING
    else:
        with pytest.raises(ArgumentError, match="can do more than read"):
            jobs.read_token("SHARDS", lambda _: told)


def test_the_token_is_a_secret_of_the_job_and_nowhere_else(hub, client):
    parts = shards.cut(plan(3), CPU)
    jobs.submit(client, spec(), parts[0], {}, READING)
    (kept,) = hub.jobs.values()
    assert kept["asked"]["secrets"] == {"HF_TOKEN": READING}
    assert "--token" in kept["asked"]["command"]
    assert READING not in json.dumps({k: v for k, v in kept["asked"].items() if k != "secrets"})


SECRET = """
import os, sys
from tests.test_jobs import *
client = Client(TOKEN, sys.argv[1], Pace(math.inf))
try:
    jobs.submit(client, spec(), shards.cut(plan(3), CPU)[0], {}, READING)
except ArgumentError as error:
    print(error)
"""


@pytest.mark.slow
def test_nothing_is_submitted_while_the_client_would_print_it(hub):
    env = {**os.environ, "HF_DEBUG": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SECRET, hub.endpoint], env=env, check=True, capture_output=True, text=True, timeout=120
    )
    assert "nothing is submitted while HF_DEBUG is set" in done.stdout
    assert READING not in done.stdout + done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert hub.jobs == {}


def test_debug_level_counts_too(client, monkeypatch):
    import logging

    logger = logging.getLogger("huggingface_hub")
    monkeypatch.setattr(logger, "level", logging.DEBUG)
    logger.manager._clear_cache()
    with pytest.raises(ArgumentError, match="logs at debug level"):
        jobs.submit(client, spec(), shards.cut(plan(3), CPU)[0], {})


def test_a_file_that_is_called_like_a_word_of_the_command_is_not_sent(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "score").write_text("x")
    with pytest.raises(ArgumentError, match="the file 'score' in this folder would be taken for a part"):
        jobs.submit(client, spec(), shards.cut(plan(3), CPU)[0], {})


def results(whole, parts, *, run="run-1", wrong=()):
    files = {}
    for shard in parts:
        for one in shard.models:
            commit = "f" * 40 if one.id in wrong else one.commit
            report = make_report(one.id, commit)
            files[f"{run}/{shard.name}/{one.id.replace('/', '--')}.json"] = report.to_json().encode()
    return files


@pytest.mark.slow
def test_results_come_home_checked_and_good_ones_stay(hub, client, tmp_path):
    whole = plan(6)
    parts = shards.cut(whole, CPU, 3)
    files = results(whole, parts, wrong={"org/model-004"})
    late = next(path for path in files if "model-005" in path)
    torn = next(path for path in files if "model-003" in path)
    held = {late: files.pop(late)}
    files[torn] = files[torn][:100]
    files["run-1/0000/notes.txt"] = b"x"
    files["run-2/0000/org--model-005.json"] = held[late]
    hub.buckets.put(BUCKET, files)
    there = jobs.results_of(client, BUCKET, "run-1")
    assert sum(map(len, there.values())) == 5
    assert sum(jobs.counted(there, parts).values()) == 5
    found = fetch(client, BUCKET, there, whole, tmp_path)
    assert found.new == ("org/model-000", "org/model-001", "org/model-002")
    assert set(found.wrong) == {"org/model-003", "org/model-004"}
    assert "it is of commit ffff" in found.wrong["org/model-004"]
    assert [m.id for m in found.missing.models] == ["org/model-003", "org/model-004", "org/model-005"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"org--model-00{n}.json" for n in range(3)]
    # What is here and right is not replaced, whatever the bucket has by now.
    before = (tmp_path / "org--model-000.json").read_bytes()
    hub.buckets.put(BUCKET, {path: b"{}" for path in files if "model-000" in path} | held)
    again = fetch(client, BUCKET, jobs.results_of(client, BUCKET, "run-1"), whole, tmp_path)
    assert (again.new, len(again.kept)) == (("org/model-005",), 3)
    assert (tmp_path / "org--model-000.json").read_bytes() == before


def command(hub, *words, **options):
    return CliRunner().invoke(app, [str(word) for word in words], **options)


@pytest.fixture
def shell(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", TOKEN)


@pytest.mark.slow
def test_the_commands_from_submission_to_collection(hub, shell, client, tmp_path):
    path, whole = tmp_path / "plan.yaml", plan(6)
    write_plan(whole, path)
    options = (path, "--bucket", BUCKET, "--per-shard", 3)
    shown = command(hub, "submit", *options, "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "6 models in 2 shards on cpu-upgrade" in shown.stdout
    assert "dollars (0.03 an hour, as the Hub lists it now)" in shown.stdout
    refused = command(hub, "submit", *options)
    assert isinstance(refused.exception, ArgumentError)
    assert "there is no terminal to ask at" in str(refused.exception)
    assert hub.jobs == {}
    done = command(hub, "submit", *options, "--yes")
    assert done.exit_code == 0, done.output
    assert submitted(hub) == {"0000": 1, "0001": 1}
    assert BUCKET in hub.buckets.files
    assert "nothing to submit" in command(hub, "submit", *options, "--yes").stdout
    run = next(iter(hub.jobs.values()))["job"]["labels"]["run"]

    parts = shards.cut(read_plan(path), CPU, 3)
    files = results(whole, parts, run=run)
    last = sorted(files)[-1]
    kept = files.pop(last)
    hub.buckets.put(BUCKET, files)
    told = command(hub, "status", *options)
    assert f"run {run}: 5 of 6 results; shards: 2 scheduling" in told.stdout
    missing = tmp_path / "missing.yaml"
    home = ("--results", tmp_path / "home")
    first = command(hub, "collect", *options, *home, "--missing", missing)
    assert first.exit_code == 1
    assert "5 fetched to" in first.stdout
    assert len(read_plan(missing).models) == 1
    hub.buckets.put(BUCKET, {last: kept})
    second = command(hub, "collect", *options, *home)
    assert (second.exit_code, "1 fetched to" in second.stdout) == (0, True)
    assert all(find(tmp_path / "home", one, {}).report for one in whole.models)


@pytest.mark.parametrize("text", ["", "0", "1w", "-3h", "1.5h"])
def test_a_duration_that_is_none(text, hub, shell, tmp_path):
    write_plan(plan(3), tmp_path / "plan.yaml")
    done = command(hub, "submit", tmp_path / "plan.yaml", "--bucket", BUCKET, f"--timeout={text}", "--dry-run")
    assert "expected a duration such as 300, 90m, 12h or 2d" in str(done.exception)


@pytest.mark.slow
def test_a_shard_run_here_scores_what_was_submitted(hub, client, tmp_path):
    """The very command of a job, on this machine, with models from the stand-in."""
    hub.users.clear()
    folder = checkpoints.vit(tmp_path / "vit", seed=0)
    models = [PlannedModel(name, hub.create(name, folder).refs["main"], 10_000) for name in ("org/a", "org/b")]
    whole = Plan(tuple(models), {"images": 64})
    (shard,) = shards.cut(whole, CPU)
    words = shards.arguments_of(
        shard, whole.settings, str(tmp_path / "results"), str(tmp_path / "journals"), ["--tidy"]
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    env |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-m", "synbench", *words], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for one in models:
        assert find(tmp_path / "results", one, whole.settings).report is not None
        assert result_path(tmp_path / "results", one.id).exists()
    assert not list((tmp_path / "home" / "hub").glob("models--*")), "there is room for one model at a time"
    # A bucket is no disk: what is appended to and locked is elsewhere.
    assert {path.suffix for path in (tmp_path / "results").iterdir()} == {".json"}
    assert (tmp_path / "journals" / "runs.jsonl").exists()


def test_the_table_in_the_docs_is_the_one_that_is_reckoned():
    assert cost_table.table() in (Path(__file__).parent.parent / "docs" / "hub.md").read_text(), (
        "write it anew: python -m tests.cost_table"
    )


def test_a_client_that_is_too_old_is_told_before_anything_is_asked(client):
    class Old:
        def list_jobs(self, *, namespace=None):
            """As in releases before 2."""

        def run_uv_job(self, script, *, labels=None, volumes=None):
            """Likewise."""

    jobs.check_client(client.api)
    for old in (Old(), object()):
        with pytest.raises(ArgumentError, match="Jobs need a newer client of the Hub than huggingface_hub"):
            jobs.check_client(old)
