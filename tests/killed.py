"""Kills a study at random moments and goes on, again and again; prints what came of it as JSON. Run by test_resume.

Everything is imported once; each study runs in a fork that a signal may end anywhere.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

import synbench
from synbench import cache, embedding
from synbench.embedding import Embedder

IMAGES, BATCH = 2048, 32


def note(kind, *values):
    """Write one line at once: what a killed process wrote stays."""
    with log.open("ab", buffering=0) as stream:
        stream.write((json.dumps([kind, *values]) + "\n").encode())


def study():
    real = Embedder._pass

    def noted(self, stretch):
        note("embed", stretch.start, stretch.stop)
        return real(self, stretch)

    embedding.Embedder._pass = noted
    report = synbench.score("synbench:demo", images=IMAGES, batch_size=BATCH, progress=False)
    note("done", report.from_cache, report.to_dict()["scores"], report.kappa, report.warnings)


def fork():
    child = os.fork()
    if child == 0:
        try:
            study()
        finally:
            os._exit(0)
    return child


def lines():
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def finished():
    return any(line[0] == "done" for line in lines())


def run(seconds):
    """Run a study for at most so long; tell whether it was killed."""
    child, until = fork(), time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def main():
    global log
    wanted = int(sys.argv[1])
    torch.set_num_threads(1)
    synbench.load_encoder("synbench:demo")
    base, rng = Path(os.environ["HF_ASSETS_CACHE"]), random.Random(0)
    kills, cycles, whole, longest = 0, [], None, None
    while kills < wanted or whole is None:
        from huggingface_hub import constants

        constants.HF_ASSETS_CACHE = str(base / str(len(cycles)))
        log = base / f"{len(cycles)}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        began, here = time.monotonic(), 0
        # The first cycle is not interrupted: it tells the result, and how long a study takes.
        while longest is not None and kills < wanted and not finished() and run(rng.uniform(0, longest)):
            kills, here = kills + 1, here + 1
        if not finished():
            assert not run(120)
        longest = longest or time.monotonic() - began
        seen = lines()
        (done,) = [line[1:] for line in seen if line[0] == "done"]
        whole = whole or done[1:]
        pieces = [tuple(line[1:]) for line in seen if line[0] == "embed"]
        cycles.append(
            {
                "kills": here,
                "same": done[1:] == whole,
                "from_cache": done[0],
                "twice": len(pieces) - len(set(pieces)),
                "pieces": len(set(pieces)),
                "half_written": len(list(cache.root().rglob(".*"))),
                "images": sum(e.images for e in cache.list_entries()),
            }
        )
    sys.stdout.write(json.dumps(cycles))


if __name__ == "__main__":
    main()
