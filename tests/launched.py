"""One of several processes that a launcher started; notes what it embedded and what it got. Run by test_processes."""

import json
import os
import sys
from pathlib import Path

import torch
from accelerate import PartialState

import synbench
from synbench.embedding import Embedder
from synbench.errors import SynBenchError

BATCH = 16
RANK = os.environ.get("RANK", "0")
STUDIES = {
    **{str(n): {"images": n} for n in (82, 99, 512)},
    "paper": {"samples": 41, "scales": [2.0, 3.0, 4.0]},
    "twin": {"images": 128, "baseline": "untrained"},
    # So small a standard error that the main process asks all of them for more images.
    "more": {"images": 512, "target_stderr": 0.02, "max_images": 2048},
}


def main():
    torch.set_num_threads(1)
    embedded = []
    real = Embedder._pass

    def noted(self, stretch):
        embedded.append([stretch.part, self.encoder.record.trained, stretch.start, stretch.stop])
        return real(self, stretch)

    Embedder._pass = noted
    results = {}
    for name, asked in STUDIES.items():
        embedded.clear()
        common = {"batch_size": BATCH, "distributed": True, "cache": False, "device": "cpu", "progress": False}
        report = synbench.score("synbench:demo", **asked, **common)
        results[name] = {"report": report.to_dict(), "embedded": list(embedded)}
    compared = synbench.compare(
        ["synbench:demo", lambda images: images.flatten(1)],
        images=256,
        cache=False,
        distributed=True,
        progress=False,
        loading=[{"device": "cpu"}, {"device": "cpu", "image_size": 4}],
    )
    results["compare"] = [[entry.model, entry.score] for entry in compared.entries]
    results["errors"] = [refused(fail_at(process)) for process in range(PartialState().num_processes)]
    (Path(sys.argv[1]) / f"{RANK}.json").write_text(json.dumps(results))
    if PartialState().num_processes > 1:
        PartialState().destroy_process_group()


def fail_at(process):
    """Return an encoder that fails in one process only, in the midst of the work."""
    calls = []

    def encoder(images):
        calls.append(len(images))
        if PartialState().process_index == process and len(calls) > 4:
            raise ValueError(f"process {process} stumbles")
        return images.flatten(1)

    return encoder


def refused(model):
    try:
        synbench.score(
            model, images=512, image_size=4, batch_size=BATCH, distributed=True, device="cpu", progress=False
        )
    except SynBenchError as error:
        return str(error)
    return None


if __name__ == "__main__":
    main()
