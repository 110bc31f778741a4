"""Scoring a plan: one process a model, whatever becomes of it; what is done is not done again, in any run."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hub_tools.annotation import children, journal, runs
from hub_tools.annotation.plan_settings import checked, digest
from hub_tools.annotation.plans import Plan, PlannedModel, write_plan
from hub_tools.annotation.runs import Machine, pasts, score_models
from hub_tools.annotation.scored import find
from hub_tools.commands import annotate
from synbench.errors import ArgumentError, HubError, OutputError

from .reports import make_report

LAUNCHER = Path(__file__).parent / "stand_in_launcher.py"
A, B = "a" * 40, "b" * 40
SETTINGS = checked({"images": 8192})


class Bench:
    """Models, what becomes of their processes, and a folder for results."""

    def __init__(self, folder):
        self.folder, self.results = folder, folder / "results"
        self.machine = Machine(launch=(sys.executable, str(LAUNCHER), str(folder)), timeout=30)
        self.models = [PlannedModel(f"org/m{i}", A) for i in range(4)]
        for model in self.models:
            self.report(model)
        self.act({})

    def report(self, planned, **changes):
        name = f"{planned.id.replace('/', '--')}@{planned.commit}.json"
        (self.folder / name).write_text(make_report(planned.id, planned.commit, **changes).to_json())

    def act(self, acts):
        (self.folder / "acts.json").write_text(json.dumps(acts))

    def run(self, models=None, settings=SETTINGS, **options):
        tally = score_models(models or self.models, settings, self.results, self.machine, progress=False, **options)
        return {name: count for name, count in tally.counts.items() if count}

    def calls(self):
        log = self.folder / "calls.jsonl"
        found = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        log.unlink(missing_ok=True)
        return found

    def called(self):
        return [call["model"] for call in self.calls()]

    def lines(self, name="runs"):
        return [(e.event, e.repo) for e in journal.read(self.results / f"{name}.jsonl")]


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def wait_for(condition, seconds=30):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "nothing came of it"
        time.sleep(0.02)
    return found


def gone(pid):
    try:
        os.kill(pid, 0)
        return re.search(r"State:\s+Z", Path(f"/proc/{pid}/status").read_text()) is not None
    except (ProcessLookupError, FileNotFoundError):
        return True


def test_each_model_is_scored_by_a_process_of_its_own_and_never_twice(bench):
    assert bench.run() == {"scored": 4}
    calls = bench.calls()
    assert [call["model"] for call in calls] == ["org/m0", "org/m1", "org/m2", "org/m3"]
    output = str(bench.results / "org--m0.json")
    own = ["-m", "synbench", "score", "org/m0", "--revision", A, "--output", output, "--quiet", "--images", "8192"]
    assert calls[0]["words"] == own
    assert all(find(bench.results, model, SETTINGS).report is not None for model in bench.models)
    assert bench.lines()[:2] == [("started", "org/m0"), ("scored", "org/m0")]
    assert list((bench.results / "logs").iterdir()) == []
    assert bench.run() == {"ready": 4}
    assert bench.called() == []


def test_a_child_has_no_token(bench, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "short")
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", "short")
    monkeypatch.setenv("MY_BOT", "hf_" + "a1" * 17)
    monkeypatch.setenv("PLAIN", "kept")
    bench.run(bench.models[:1])
    env = bench.calls()[0]["env"]
    assert not {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MY_BOT"} & set(env)
    assert (env["PLAIN"], env["HF_HUB_DISABLE_IMPLICIT_TOKEN"], env["HF_TOKEN_PATH"]) == ("kept", "1", os.devnull)


def test_a_child_finds_no_token_by_the_clients_own_means(tmp_path):
    (tmp_path / "token").write_text("hf_thelogin")
    asked = children.environment({"HF_TOKEN": "hf_thisoneitis", "OTHER": "hf_anothertoken"}, token=True)
    assert (asked["HF_TOKEN"], "OTHER" in asked) == ("hf_thisoneitis", False)
    env = children.environment({**os.environ, "HF_HOME": str(tmp_path), "HF_TOKEN": "hf_other"})
    code = "from huggingface_hub.utils import build_hf_headers as b; print('authorization' in b())"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_model_that_cannot_be_scored_is_not_tried_again_unless_asked(bench):
    said = "synbench: cannot load 'org/m1': it is a text model, hf_abcdefghijkl."
    bench.act({"org/m1": f"3 {said}"})
    assert bench.run() == {"scored": 3, "failed": 1}
    (line,) = [e for e in journal.read(bench.results / "runs.jsonl") if e.event == "failed"]
    assert (line.repo, line.permanent, line.key) == ("org/m1", True, digest(SETTINGS))
    assert line.reason == "cannot load 'org/m1': it is a text model, hf_***."
    bench.calls()
    assert bench.run() == {"ready": 3, "failed": 1}
    assert bench.called() == []
    bench.act({})
    assert bench.run(retry_failed=True) == {"ready": 3, "scored": 1}
    assert bench.run() == {"ready": 4}


def test_a_failure_belongs_to_its_commit_and_settings(bench):
    bench.act({"org/m1": "3 synbench: no."})
    bench.run()
    moved = PlannedModel("org/m1", B)
    bench.report(moved)
    bench.act({})
    assert bench.run([moved]) == {"scored": 1}
    bench.act({"org/m2": "3 synbench: no."})
    other = checked({"seed": 3})
    bench.report(bench.models[1], settings={"seed": 3})
    assert bench.run([bench.models[1]], other, replace=True) == {"scored": 1}


@pytest.mark.parametrize(
    "act",
    [
        "signal 9",
        "1 Traceback",
        *(pytest.param(act, marks=pytest.mark.slow) for act in ("signal 11", "hang", "stubborn")),
    ],
)
def test_a_crash_or_timeout_costs_one_model_and_is_tried_again_once(act, bench, monkeypatch):
    monkeypatch.setattr(children, "_GRACE", 0.3)
    bench.machine = Machine(launch=bench.machine.launch, timeout=2.5 if act in ("hang", "stubborn") else 30)
    bench.act({"org/m1": act})
    assert bench.run() == {"scored": 3, "again": 1}
    assert len(bench.called()) == 4
    # What crashed before comes last.
    late = [PlannedModel("org/late", A)]
    bench.report(late[0])
    assert bench.run([*bench.models, *late]) == {"ready": 3, "scored": 1, "again": 1}
    assert bench.called() == ["org/late", "org/m1"]
    assert bench.run() == {"ready": 3, "given up": 1}
    assert bench.called() == []
    assert bench.run(attempts=3) == {"ready": 3, "again": 1}
    events = [event for event, repo in bench.lines() if repo == "org/m1"]
    assert events == ["started", "timeout" if act in ("hang", "stubborn") else "crashed"] * 3
    if act in ("hang", "stubborn"):
        for pid in json.loads((bench.folder / "hanging.json").read_text()):
            wait_for(lambda pid=pid: gone(pid))


def test_what_a_crash_said_is_kept(bench):
    bench.act({"org/m1": "1 Traceback: the cause", "org/m2": "signal 9", "org/m3": "137 "})
    tally = score_models(bench.models, SETTINGS, bench.results, bench.machine, progress=False)
    assert tally.reasons == {
        "org/m1": "it ended with exit code 1: Traceback: the cause",
        "org/m2": "it was killed by signal 9 (SIGKILL), as where memory runs out",
        # As a shell tells it.
        "org/m3": "it was killed by signal 9 (SIGKILL), as where memory runs out",
    }
    assert (bench.results / "logs" / "org--m1.txt").read_text() == "some library: a warning\nTraceback: the cause\n"


ELASTIC = "[0]:\n  rank : 1\n  exitcode  : {} (pid: 12)\n[1]:\n  exitcode  : -15 (pid: 13)\n"


@pytest.mark.parametrize(
    ("said", "event", "permanent"),
    [
        ("synbench: no.\n" + ELASTIC.format(3), "failed", True),
        (ELASTIC.format(-9), "crashed", False),
        (ELASTIC.format(1), "crashed", False),
        ("synbench: no.\nsubprocess.CalledProcessError: ... returned non-zero exit status 2.", "failed", True),
        ("nothing of the kind", "crashed", False),
    ],
)
def test_a_launcher_tells_how_what_it_launched_ended(said, event, permanent):
    ending = children._judged(1, said, 1.0)
    assert (ending.event, ending.permanent) == (event, permanent)
    assert ("signal 9" in ending.reason) == ("-9" in said)
    assert "signal 15" not in ending.reason


def test_no_network_is_not_the_models_fault(bench):
    away = "3 synbench: cannot load 'x': ... Check the network, or fetch it first with `hf download`."
    bench.act(dict.fromkeys(["org/m0", "org/m1"], away))
    for _ in range(4):
        assert bench.run(bench.models[:2]) == {"again": 2}
    bench.act({})
    assert bench.run() == {"scored": 4}


@pytest.mark.parametrize("act", ["3 synbench: x Check the network, or fetch it first with", "1 boom", "2 synbench: y"])
def test_a_machine_that_fails_every_model_is_noticed(act, bench):
    models = [PlannedModel(f"org/n{i}", A) for i in range(20)]
    bench.act({model.id: act for model in models})
    with pytest.raises(HubError, match=r"5 models in a row failed for a reason that may lie with this machine"):
        bench.run(models)
    assert len(bench.called()) == 5


def test_models_that_cannot_be_scored_do_not_look_like_a_broken_machine(bench):
    models = [PlannedModel(f"org/n{i}", A) for i in range(12)]
    bench.act({model.id: "3 synbench: a text model." if i % 2 else "signal 9" for i, model in enumerate(models)})
    assert bench.run(models) == {"failed": 6, "again": 6}


def test_a_result_that_is_not_what_was_asked_for_is_no_result(bench):
    bench.report(bench.models[1], model={"commit": B})
    bench.report(bench.models[2], settings={"seed": 1})
    bench.act({"org/m3": "nothing"})
    assert bench.run() == {"scored": 1, "failed": 3}
    reasons = [e.reason for e in journal.read(bench.results / "runs.jsonl") if e.event == "failed"]
    assert re.search(f"it is of commit {B}, expected {A}", reasons[0])
    assert re.search("seed is 1, expected 0", reasons[1])
    assert re.search("it has none", reasons[2])


def test_results_of_something_else_are_not_replaced_unasked(bench):
    bench.run()
    kept = (bench.results / "org--m1.json").read_bytes()
    with pytest.raises(
        ArgumentError,
        match=r"4 of the files in .* hold something else .*m0.json \(seed is 0, expected 1\), … Give another",
    ):
        bench.run(settings=checked({"seed": 1}))
    assert (bench.results / "org--m1.json").read_bytes() == kept
    (bench.results / "org--m1.json").write_text("{}")
    (bench.results / "org--m2.json").write_text(make_report("org/other", A).to_json())
    (bench.results / "org--m3.json").write_text(make_report("org/m3", A, model={"trained": False}).to_json())
    with pytest.raises(ArgumentError, match="3 of the files"):
        bench.run()
    assert bench.run(replace=True) == {"ready": 1, "scored": 3}


def test_a_result_of_an_earlier_commit_makes_room(bench):
    bench.run()
    moved = PlannedModel("org/m1", B)
    bench.report(moved)
    assert bench.run([moved]) == {"scored": 1}
    assert find(bench.results, moved, SETTINGS).report is not None


def test_started_by_a_launcher_is_a_mistake(bench, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(ArgumentError, match="give the launcher by --launch"):
        bench.run()
    assert bench.called() == []


def test_a_launcher_that_is_not_there_is_told_and_costs_no_attempt(bench):
    bench.machine = Machine(launch=("no-such-launcher",))
    for _ in range(3):
        with pytest.raises(ArgumentError, match=r"cannot start 'no-such-launcher': .* Check --launch"):
            bench.run()
    assert all(past.attempts == 0 for past in pasts(journal.read(bench.results / "runs.jsonl")).values())


def start(bench):
    path = bench.folder / "plan.yaml"
    write_plan(Plan(tuple(bench.models), SETTINGS), path, overwrite=True)
    words = ["hub", "annotate", "score", str(path), "--results", str(bench.results)]
    words += ["--launch", " ".join(bench.machine.launch)]
    words = [sys.executable, "-m", "synbench", *words]
    with (bench.folder / "said.txt").open("wb") as log:
        # Where this runs in the background the signal is ignored, and stays so in what it starts.
        answering = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
        options = {"cwd": LAUNCHER.parent.parent, "start_new_session": True, **answering}
        return subprocess.Popen(words, stdout=log, stderr=log, **options)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_child_and_costs_no_attempt(number, bench):
    for turn in range(3):
        bench.act({"org/m1": "hang"})
        (bench.folder / "hanging.json").unlink(missing_ok=True)
        run = start(bench)
        pids = wait_for(lambda: (bench.folder / "hanging.json").exists() and read_pids(bench))
        run.send_signal(number)
        assert run.wait(30) == 130
        for pid in pids:
            wait_for(lambda pid=pid: gone(pid))
        assert bench.lines()[-1] == ("interrupted", "org/m1"), turn
        said = (bench.folder / "said.txt").read_text()
        assert said == "synbench: interrupted; run this again, and it goes on where it stopped\n"
    bench.act({})
    assert bench.run() == {"ready": 1, "scored": 3}


def read_pids(bench):
    try:
        return json.loads((bench.folder / "hanging.json").read_text())
    except ValueError:
        return None


def test_a_run_that_is_killed_anywhere_is_gone_on_with(bench):
    """The results tell what is done: after any kill, the next run scores the rest, and only that."""
    bench.models = [PlannedModel(f"org/k{i}", A) for i in range(12)]
    for model in bench.models:
        bench.report(model)
    rng, kills = random.Random(0), 0
    while kills < 8:
        run = start(bench)
        before = len(list(bench.results.glob("org--*.json")))
        wait_for(lambda b=before, r=run: len(list(bench.results.glob("org--*.json"))) > b or r.poll() is not None)
        time.sleep(rng.uniform(0, 0.1))
        done = {path.name: path.read_bytes() for path in bench.results.glob("org--*.json")}
        run.kill()
        run.wait()
        kills += 1
        if len(done) == len(bench.models):
            break
        for name, content in done.items():
            assert (bench.results / name).read_bytes() == content
    tally = bench.run(attempts=100)
    assert sum(tally.values()) == 12
    assert set(tally) <= {"ready", "scored"}
    finished = [repo for event, repo in bench.lines() if event == "scored"]
    assert len(finished) == len(set(finished)), "scored twice"


def test_shards_work_side_by_side_in_one_folder(bench):
    path = bench.folder / "plan.yaml"
    write_plan(Plan(tuple(bench.models), SETTINGS), path)
    common = ["score", str(path), "--results", str(bench.results), "--launch", " ".join(bench.machine.launch)]
    for i, expected in ((2, ["org/m1", "org/m3"]), (1, ["org/m0", "org/m2"])):
        done = CliRunner().invoke(annotate.app, [*common, "--shard", f"{i}/2"], catch_exceptions=False)
        assert (done.exit_code, bench.called()) == (0, expected), done.output
        assert done.output.startswith("2 scored; results in ")
    assert bench.lines("runs-1-of-2")[0] == ("started", "org/m0")
    # Failures in one shard count for all of the folder.
    bench.models = [*bench.models, PlannedModel("org/m4", A)]
    bench.act({"org/m4": "3 synbench: no."})
    assert bench.run(name="runs-5-of-5") == {"ready": 4, "failed": 1}
    bench.calls()
    assert bench.run() == {"ready": 4, "failed": 1}
    assert bench.called() == []


def test_a_journal_may_lie_elsewhere_than_the_results(bench):
    elsewhere = bench.folder / "journals"
    bench.act({"org/m1": "1 boom"})
    assert bench.run(journals=elsewhere) == {"scored": 3, "again": 1}
    assert sorted(path.name for path in bench.results.iterdir()) == ["org--m0.json", "org--m2.json", "org--m3.json"]
    assert sorted(path.name for path in elsewhere.iterdir()) == ["logs", "runs.jsonl"]
    assert (elsewhere / "logs" / "org--m1.txt").exists()
    assert bench.run(journals=elsewhere) == {"ready": 3, "again": 1}
    assert bench.run(journals=elsewhere) == {"ready": 3, "given up": 1}


def test_the_command_takes_models_in_place_of_a_plan_and_tells_what_to_try_again(bench, monkeypatch):
    bench.act({"org/m1": "signal 9"})
    words = ["score", "--models", f"org/m0@{A},org/m1@{A}", "--results", str(bench.results), "--images", "8192"]
    words += ["--launch", " ".join(bench.machine.launch), "--device", "cpu", "--batch-size", "8", "--no-cache"]
    done = CliRunner().invoke(annotate.app, words, catch_exceptions=False)
    assert done.exit_code == 1
    assert "1 again, 1 scored; results in" in done.output
    assert "org/m1: it was killed by signal 9" in done.output
    assert bench.calls()[0]["words"][9:] == ["--images", "8192", "--device", "cpu", "--batch-size", "8", "--no-cache"]
    for wrong, text in (
        (["score"], "expected a plan, or models by --models id@commit,..., got none"),
        (["score", "plan.yaml", "--models", f"org/m0@{A}"], "got both"),
        (["score", "plan.yaml", "--images", "64"], "write images there, not as --images"),
        (["score", "--models", f"org/m0@{A}", "--shard", "0/2"], "expected a shard as i/n"),
        (["score", "--models", f"org/m0@{A}", "--images", "3"], "images must be an integer of at least 64"),
    ):
        with pytest.raises(ArgumentError, match=re.escape(text)):
            CliRunner().invoke(annotate.app, wrong, catch_exceptions=False)


def test_time_limits_have_defaults_that_end():
    assert runs.TIMEOUT == Machine().timeout == 4 * 3600


BIN = Path(sys.executable).parent
LAUNCHERS = {
    "none": ([], 1),
    # What accelerate starts by itself, and what it starts where there are several devices.
    "accelerate": ([str(BIN / "accelerate"), "launch", "--cpu", "--num_processes", "1"], 1),
    "torchrun": ([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"], 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("launch", LAUNCHERS)
def test_real_processes_score_models_from_the_hub(launch, tmp_path, monkeypatch):
    """A model, one that is no vision model, and one that is not there any more, by one process each and by two."""
    from . import checkpoints
    from .hub import Hub

    words, processes = LAUNCHERS[launch]
    with Hub() as hub:
        made = hub.create("user/vit", checkpoints.vit(tmp_path / "vit"))
        text = hub.create("user/text", checkpoints.text_only(tmp_path / "text"))
        models = [PlannedModel("user/text", text.refs["main"]), PlannedModel("user/vit", made.refs["main"])]
        models += [PlannedModel("user/vanished", A)] * (launch == "none")
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_TOKEN", "hf_" + "NotARealTokenButOneThatMustStayHidden")
        settings = checked({"images": 128, "seed": 1})
        machine = Machine(launch=tuple(words), options=("--device", "cpu", "--batch-size", "16"), timeout=200)
        tally = score_models(models, settings, tmp_path / "results", machine, progress=False)
        said = "\n".join(log.read_text(errors="replace") for log in (tmp_path / "results").rglob("logs/*.txt"))
        assert tally.counts == {"scored": 1, "failed": len(models) - 1}, f"{tally.reasons}\n{said}"
        assert tally.reasons["user/text"].startswith("'user/text' is not a vision encoder: BertModel takes")
        if launch == "none":
            assert "Check the spelling, or log in if it is private" in tally.reasons["user/vanished"]
        report = find(tmp_path / "results", models[1], settings).report
        assert (report.images, report.settings.processes) == (128, processes)
        assert {r.token for r in hub.requests} == {None}, "no token was to be sent"
        again = score_models(models, settings, tmp_path / "results", machine, progress=False)
        assert again.counts == {"ready": 1, "failed": len(models) - 1}


def test_a_folder_that_cannot_be_written_is_told(bench):
    bench.results.write_text("a file")
    with pytest.raises(OutputError, match="cannot make the folder"):
        bench.run()
    with pytest.raises(OutputError, match="cannot write"):
        children.run([sys.executable, "-c", ""], bench.folder / "nowhere" / "log.txt", 10)
