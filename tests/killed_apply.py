"""Runs of apply that are killed at every step, each followed by one that is not. Run by test_annotating.

    python killed_apply.py CASES.json        a list of {folder, endpoint, token, step, when}

A step is a write to the journal, a sync of it, or a request to the Hub. ``when`` is where in the step the process ends:
before it, in its midst (half a line is written; a request is on its way), or after it. Everything is imported once;
each run is a fork that ends itself by SIGKILL. Step 0 is none: that run tells how many steps there are.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path

from hub_tools.annotation import annotating, journal, standing
from hub_tools.annotation.consent import read_consent
from hub_tools.annotation.plans import read_plan
from hub_tools.client.hub import Hub

SETTLE = 0.3


class Steps:
    """Counts steps, and ends the process in the one that is asked for."""

    def __init__(self, step, when):
        self.step, self.when, self.count = step, when, 0

    def take(self, do, half=None):
        self.count += 1
        if self.count != self.step:
            return do()
        if self.when == "after":
            do()
        elif self.when == "midst" and half is not None:
            half()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still alive")


def count_in(steps):
    from huggingface_hub.utils import get_session

    write, sync = os.write, os.fsync
    session = get_session()
    send = session.send

    def counted_send(request, **options):
        def half():
            threading.Thread(target=send, args=(request,), kwargs=options, daemon=True).start()
            threading.Event().wait(0.01)

        return steps.take(lambda: send(request, **options), half)

    journal.os = type("CountedOS", (), {"__getattr__": lambda _, name: getattr(os, name)})()
    journal.os.write = lambda handle, line: steps.take(
        lambda: write(handle, line), lambda: write(handle, line[: len(line) // 2])
    )
    journal.os.fsync = lambda handle: steps.take(lambda: sync(handle))
    session.send = counted_send


def apply(case, settle):
    folder = Path(case["folder"])
    plan, results = read_plan(folder / "plan.yaml"), folder / "results"
    consent, terms = read_consent(folder / "allow.txt"), standing.Terms()
    hub = Hub(case["token"], case["endpoint"], annotating.NotingPace(float("inf"), sleep=lambda _: None))
    with journal.writing(results / "apply.jsonl") as opened:
        past = standing.standings(opened.entries)
        selection = standing.select(plan, results, consent, past, terms)
        done = annotating.publish(selection, plan, results, hub, opened, terms, settle=settle, progress=False)
    return dict(done.counts)


def run(case, steps, settle):
    """Apply in a fork; return what it did, or that it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if steps is not None:
                count_in(steps)
            done = apply(case, settle)
            os.write(writing, json.dumps({"done": done, "steps": steps.count if steps else None}).encode())
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - told, and judged there
            os.write(writing, json.dumps({"error": repr(error)}).encode())
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return {"killed": True}
    return json.loads(said)


def main():
    # What runs import when they need it; here it would be imported in every fork.
    from huggingface_hub import CommitOperationAdd, HfApi, errors, hf_hub_url, utils  # noqa: F401
    from tqdm.auto import tqdm  # noqa: F401

    found = []
    for case in json.loads(Path(sys.argv[1]).read_text()):
        first = run(case, Steps(case["step"], case["when"]), 0)
        last = run(case, None, SETTLE) if first.get("killed") else first
        found.append({"first": first, "last": last})
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
