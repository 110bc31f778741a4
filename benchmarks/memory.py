"""Peak resident memory of scoring, above the loaded libraries and the loaded model.

Each row is measured in a process of its own. The process imports its libraries, loads the model (which runs
it once on two images), notes its resident memory, resets the high-water mark, scores, and reads the mark.
What is loaded later than that, thread pools and caches of the libraries included, counts as scoring.

- score, pooled pixels: 224 x 224, a callable to d = 768, and 2048 images a split, so the moments and the
  eigenproblem have their real size;
- score, ViT-Tiny: 224 x 224, fewer images, and a real forward pass;
- metric, pooled pixels: the same as the first through ``evaluate``, which keeps the representations in an Arrow file;
- metric, added rows: the paper's 49 scales of 2048 images a split at d = 768, made elsewhere and added in batches.
  This is where memory could grow with the number of scales: the Arrow file has 617 MB here.

Predicted: less than 1.5 GB above. An image is 0.6 MB, a batch of 64 is 39 MB and has a few copies on its way, the
representations of one scale are 13 MB in float32, and nothing is kept from one scale to the next but a few numbers.

How to read it: "peak above" is what a machine needs beside the libraries and the model, in units of 10^6 bytes. Pages
of a memory-mapped file count while they are resident, though the system may drop them. On Linux the mark is VmHWM,
reset through /proc/self/clear_refs; elsewhere it is ru_maxrss, which cannot be reset: there a peak before the
scoring hides a smaller one of it, and the last column says so.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from _timing import note, parser, positive, table, vit_tiny

METRIC = Path(__file__).resolve().parent.parent / "synbench_metric.py"
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
LIMIT, SIZE, WIDTH = 1.5e9, 224, 768


def pooled_pixels() -> Callable:
    """Return a cheap encoder: pixels averaged over 14 x 14, times a fixed random matrix."""
    import torch

    matrix = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(0))

    def encode(images):
        return torch.nn.functional.avg_pool2d(images, SIZE // 16).flatten(1) @ matrix

    return encode


def score(model, samples: int, scales: list[float]) -> Callable[[], int]:
    """Load what scoring a model needs, and return the scoring."""
    import synbench

    synbench.load_encoder(model, image_size=SIZE, device="cpu")
    asked = {"image_size": SIZE, "device": "cpu", "samples": samples, "scales": scales, "progress": False}
    return lambda: synbench.score(model, **asked).images


def metric_of_model(model, samples: int, scales: list[float]) -> Callable[[], int]:
    """Load the same through evaluate."""
    import evaluate

    import synbench

    metric = evaluate.load(str(METRIC))
    synbench.load_encoder(model, image_size=SIZE, device="cpu")
    asked = {"image_size": SIZE, "device": "cpu", "samples": samples, "scales": scales}
    return lambda: metric.compute(model=model, **asked)["images"]


def metric_of_rows(samples: int, scales: list[float]) -> Callable[[], int]:
    """Load the metric, and return the scoring of random rows that are added batch by batch."""
    import evaluate
    import numpy as np

    metric, rng = evaluate.load(str(METRIC)), np.random.default_rng(0)

    def run() -> int:
        for scale in scales:
            for split in ("train", "test"):
                for start in range(0, samples, 256):
                    labels = np.arange(min(256, samples - start)) % 2
                    values = rng.standard_normal((len(labels), WIDTH), dtype=np.float32)
                    values[:, 0] += scale * (2 * labels - 1)
                    metric.add_batch(predictions=values, references=labels, scales=scale, splits=split)
        return metric.compute()["images"]

    return run


CASES = {
    "score, pooled pixels": (2048, 3, lambda n, scales: score(pooled_pixels(), n, scales)),
    "score, ViT-Tiny": (128, 2, lambda n, scales: score(vit_tiny(), n, scales)),
    "metric, pooled pixels": (2048, 3, lambda n, scales: metric_of_model(pooled_pixels(), n, scales)),
    "metric, added rows": (2048, 49, metric_of_rows),
}


def measure(name: str, samples: int, count: int) -> dict:
    """Load, note the memory, score, and read the peak, all in this process."""
    # The paper's grid from its upper end: the scores of so few scales are then defined.
    run = CASES[name][2](samples, [(49 - k) / 10 for k in range(count)])
    before, was_reset = resident(), reset_mark()
    images = run()
    return {"images": images, "before": before, "above": mark() - before, "reset": was_reset}


def resident() -> int:
    """Return the bytes of memory that this process holds now."""
    return _status("VmRSS") or mark()


def mark() -> int:
    """Return the bytes of the high-water mark."""
    # ru_maxrss can hold the peak of the parent, VmHWM cannot.
    unit = 1 if sys.platform == "darwin" else 1024
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_mark() -> bool:
    """Set the high-water mark to what is resident now, where the system can."""
    try:
        CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _status(field: str) -> int:
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(field)), 0)


def in_child(name: str, samples: int, count: int) -> dict:
    """Run ``measure`` in a process of its own, without network and with caches that are thrown away."""
    note(f"{name}: {samples} images a split, {count} scales")
    command = [sys.executable, __file__, "--case", name, "--samples", str(samples), "--scales", str(count)]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"HF_HOME": folder, "HF_EVALUATE_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def row(name: str, samples: int, count: int) -> list[str]:
    found = in_child(name, samples, count)
    megabytes = [f"{found[key] / 1e6:,.0f}" for key in ("before", "above")]
    verdict = "yes" if found["above"] < LIMIT else "no"
    return [name, str(found["images"]), *megabytes, verdict if found["reset"] else f"{verdict} (mark not reset)"]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--samples", type=positive, help="images a scale and split, instead of each row's own")
    options.add_argument("--scales", type=positive, choices=range(1, 50), metavar="1..49", help="how many, likewise")
    options.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.case:
        print(json.dumps(measure(options.case, options.samples, options.scales)))
        return
    samples, scales = (options.samples, options.scales) if not options.quick else (64, 2)
    rows = [row(name, samples or own[0], scales or own[1]) for name, own in CASES.items()]
    headings = ["what", "images", "before MB", "peak above MB", "below 1,500 MB"]
    table(headings, rows, quick=options.quick)


if __name__ == "__main__":
    main()
