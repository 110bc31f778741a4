"""The whole way as a user goes it: real commands in processes of their own, a stand-in for the Hub, a tiny encoder."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from huggingface_hub import ModelCard

import hub_tools

from . import checkpoints
from .hub import Hub

OWNER, BOT = "hf_" + "ownerownerowner", "hf_" + "annotatingbot"
CARD = b"""\
---
# Our model.
license: mit   # as agreed
language: no
tags: [vision, "tiny"]
---

# Tiny ViT
Trailing spaces stay.   \r
"""


@pytest.fixture
def hub():
    with Hub() as running:
        running.sign_up("org", OWNER)
        running.sign_up("bot", BOT)
        yield running


@pytest.fixture
def synbench(hub, tmp_path):
    """Run a command with a fresh home; the token must never be seen."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    fresh = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": BOT, "HF_DEBUG": "1"}

    def run(*words, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "synbench", *map(str, words)],
            env={**kept, **fresh, "OMP_NUM_THREADS": "1"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert BOT not in done.stdout + done.stderr
        return done

    return run


@pytest.mark.slow
def test_from_a_model_on_the_hub_to_its_place_on_the_leaderboard(hub, synbench, tmp_path):
    weights = [checkpoints.vit(tmp_path / f"vit{seed}", seed=seed) for seed in (0, 1)]
    files = [{p.name: p.read_bytes() for p in sorted(folder.iterdir())} | {"README.md": CARD} for folder in weights]
    repository = hub.create("org/tiny-vit", files[0])
    repository.fields["pipeline_tag"] = "image-feature-extraction"

    # Plan, and score by the id on the Hub.
    synbench("hub", "annotate", "plan", "plan.yaml", "--author", "org", "--images", 512)
    (line,) = yaml.safe_load((tmp_path / "plan.yaml").read_text())["models"]
    assert (line["id"], line["commit"]) == ("org/tiny-vit", repository.refs["main"])
    synbench("hub", "annotate", "score", "plan.yaml", "--results", "results")
    report = hub_tools.Report.read(tmp_path / "results" / "org--tiny-vit.json")

    # A dry run shows what would be done, and does nothing.
    (tmp_path / "allow.txt").write_text("org/*\n")
    apply = ("hub", "annotate", "apply", "plan.yaml", "--results", "results", "--allow", "allow.txt")
    shown = synbench(*apply, "--dry-run").stdout
    assert f"+    - type: synbench_population_score\n+      value: {report.synbench_score:.4g}"[:45] in shown
    assert not repository.pulls
    assert not [r for r in hub.requests if r.method not in ("GET", "HEAD")]

    # One pull request, in which every byte of the owner's is as it was.
    synbench(*apply, "--yes", "--per-hour", "3600")
    (pull,) = repository.pulls
    assert (pull.author, pull.status) == ("bot", "open")
    proposed = repository.files(pull.ref)
    head, tail = CARD.rsplit(b"---\n", 1)
    assert proposed["README.md"].startswith(head)
    assert proposed["README.md"].endswith(b"---\n" + tail)
    assert {k: v for k, v in proposed.items() if k not in ("README.md", ".eval_results/synbench.yaml")} == {
        k: v for k, v in files[0].items() if k != "README.md"
    }
    told = {r.metric_type: r for r in ModelCard(proposed["README.md"].decode()).data.eval_results}
    assert told["synbench_population_score"].metric_value == round(report.synbench_score, 4)
    entries = yaml.safe_load(proposed[".eval_results/synbench.yaml"])
    assert entries[0]["value"] == round(report.synbench_score, 4)
    assert repository.refs["main"] in entries[0]["notes"]

    # New weights, a new score: the same pull request is amended, and nothing else.
    repository.push(files[1])
    (tmp_path / "plan.yaml").unlink()
    synbench("hub", "annotate", "plan", "plan.yaml", "--author", "org", "--images", 512)
    synbench("hub", "annotate", "score", "plan.yaml", "--results", "results", "--replace")
    newer = hub_tools.Report.read(tmp_path / "results" / "org--tiny-vit.json")
    assert newer.synbench_score != report.synbench_score
    synbench(*apply, "--yes", "--per-hour", "3600")
    assert [p.status for p in repository.pulls] == ["open"]
    entries = yaml.safe_load(repository.files(pull.ref)[".eval_results/synbench.yaml"])
    assert entries[0]["value"] == round(newer.synbench_score, 4)
    assert round(newer.synbench_score, 4) != round(report.synbench_score, 4)

    # While it is open the leaderboard tells it as a pull request's; merged, as the model's own.
    board = ("hub", "leaderboard", "--author", "org", "--json", "--task", "population_score")
    assert rows(synbench(*board))[0]["source"] == "pull-request"
    repository.merge(1, "org")
    (row,) = rows(synbench(*board))
    assert (row["model"], row["value"]) == ("org/tiny-vit", round(newer.synbench_score, 4))
    assert row["source"] == "eval-results"
    # Merged is done: whatever comes later, there is no second pull request.
    synbench(*apply, "--yes")
    assert len(repository.pulls) == 1


def rows(done):
    return [row for board in json.loads(done.stdout)["boards"] for row in board["rows"]]


def test_the_package_tells_its_names_and_loads_them_when_they_are_used():
    assert set(hub_tools.__all__) <= set(dir(hub_tools))
    for name in hub_tools.__all__:
        assert getattr(hub_tools, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        hub_tools.nothing  # noqa: B018


def test_importing_the_package_and_its_commands_loads_nothing_heavy(tmp_path):
    heavy = ("torch", "transformers", "datasets", "gradio", "huggingface_hub", "starlette", "scipy", "pydantic", "yaml")
    ask = f"import sys, hub_tools, hub_tools.commands; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
