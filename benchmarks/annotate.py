"""What it costs to plan 10,000 models and to preview what would be published of them.

    python benchmarks/annotate.py                    some minutes on two cores

A stand-in for the Hub on loopback holds the models: a card, a configuration, weights of a few bytes. The client runs in
a process of its own, with the requests and the code of a real one; what the stand-in does meanwhile is in the seconds.
The real Hub answers from farther away: multiply its round trip by the requests.

Predicted: one request a page of the listing, and at most three a model for the preview (the repository, its pull
requests, its card), none for models that are done.

How to read it: seconds are of one run, of the step alone, libraries imported; requests are counted by the stand-in.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from _timing import machine, markdown, note, parser, positive

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
CARD = "---\nlicense: apache-2.0  # a comment\ntags:\n- vision\n---\n\n# Model {}\n\nWhat its owner says.\n"
TEMPLATE = "org/model", "a" * 40
STEPS = ("plan", "read the plan", "preview", "select, all done")


def child(step: str, endpoint: str, folder: Path) -> None:
    """Do one step, and print its seconds."""
    from hub_tools.annotation import annotating, journal, selecting, standing
    from hub_tools.annotation.consent import Consent
    from hub_tools.annotation.plans import Plan, read_plan, write_plan
    from hub_tools.client import listing
    from hub_tools.client.hub import Hub

    hub = Hub("hf_bot", endpoint, annotating.NotingPace(float("inf")))
    path, results, terms = folder / "plan.yaml", folder / "results", standing.Terms()
    consent = Consent(frozenset(f"org{i}/*" for i in range(100)))
    hub.user  # noqa: B018 - imports the client, and logs in
    list(listing.list_models(hub, ["sha"], author="nobody"))
    plan = read_plan(path) if step not in STEPS[:2] else Plan(())
    began, told = time.perf_counter(), {}
    if step == "plan":
        selected = selecting.from_listing(hub, selecting.Query(tags=("vision",), max_bytes=10**12))
        write_plan(Plan(selected.models, {}, {}, selected.left_out), path)
        told = {"models": len(selected.models)}
    elif step == "read the plan":
        told = {"models": len(read_plan(path).models)}
    else:
        past = standing.standings(journal.read(results / "apply.jsonl"))
        selection = standing.select(plan, results, consent, past, terms)
        told = {"models": len(plan.models), "to do": len(selection.todo), "select": time.perf_counter() - began}
        actions = Counter[str]()
        for _, proposal in annotating.preview(selection, plan, results, hub, terms):
            actions[getattr(proposal, "action", "refused")] += bool(
                getattr(proposal, "change", None) and proposal.change.diff
            )
        told |= {"actions": dict(actions)}
    print(json.dumps({"seconds": time.perf_counter() - began, **told}))


def weights(i: int) -> bytes:
    """Return a safetensors file of one number."""
    head = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return len(head).to_bytes(8, "little") + head + i.to_bytes(4, "little")


def finish(folder: Path) -> None:
    """Write the journal of a run that did everything."""
    from hub_tools.annotation import standing
    from hub_tools.annotation.journal import Entry
    from hub_tools.annotation.plans import read_plan
    from hub_tools.annotation.scored import find

    plan, lines = read_plan(folder / "plan.yaml"), []
    for number, model in enumerate(plan.models):
        report = find(folder / "results", model, {}).report
        assert report is not None
        key = standing.key_of(report, standing.Terms())
        lines.append(Entry(time="", event="opened", repo=model.id, commit=model.commit, key=key, number=number).line())
    (folder / "results" / "apply.jsonl").write_bytes(b"".join(lines))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--models", type=positive, default=10_000, help="default 10,000")
    options.add_argument("--out", type=Path, help="for results; default benchmarks/results, of a smoke run elsewhere")
    options.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.child:
        child(asked.child[0], asked.child[1], Path(asked.child[2]))
        return
    count = 200 if asked.quick else asked.models

    from tests.hub import Hub
    from tests.reports import make_report

    found = {}
    with Hub() as hub, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "results").mkdir()
        hub.sign_up("bot", token="hf_bot")
        text = make_report(*TEMPLATE).to_json()
        for i in range(count):
            repo_id = f"org{i % 100}/model-{i}"
            files = {"README.md": CARD.format(i).encode(), "config.json": b"{}", "model.safetensors": weights(i)}
            repo = hub.create(repo_id, files)
            made = text.replace(TEMPLATE[0], repo_id).replace(TEMPLATE[1], repo.refs["main"])
            (folder / "results" / f"{repo_id.replace('/', '--')}.json").write_text(made)
        note(f"  the stand-in has {count:,} models")
        for step in STEPS:
            if step == STEPS[-1]:
                finish(folder)
            hub.requests.clear()
            words = [sys.executable, __file__, "--child", step, hub.endpoint, str(folder)]
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
            # Two are of the preparation: whose login this is, and a listing of nothing.
            requests = Counter(f"{r.method} {r.status}" for r in hub.requests)
            found[step] = {**json.loads(done.stdout), "requests": sum(requests.values()) - 2, "by kind": requests}
            note(f"  {step}: {found[step]}")
    rows = [
        [step, one["models"], f"{one['seconds']:.3g}", one["requests"], f"{one['requests'] / count:.3g}"]
        for step, one in found.items()
    ]
    headings = ["step", "models", "seconds", "requests", "a model"]
    smoke = ". A smoke run: these numbers mean nothing" if asked.quick else ""
    most = found["preview"]["requests"] / count
    verdict = f"- At most three requests a model for the preview: {'met' if most <= 3 else 'missed'}; {most:.3g}.\n"
    text = f"{machine()}{smoke}.\n\n{markdown('Plan and preview', headings, rows)}\n{verdict}"
    out = asked.out or (Path(tempfile.gettempdir()) / "synbench-annotate" if asked.quick else HERE / "results")
    out.mkdir(parents=True, exist_ok=True)
    (out / "annotate.json").write_text(json.dumps({"models": count, "steps": found}, indent=1) + "\n")
    (out / "annotate.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
