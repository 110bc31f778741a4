"""Peak resident memory of scoring, above the loaded libraries and the loaded model.

    python benchmarks/memory.py                      about half an hour on one core: two of the rows are long

Each row is measured in a process of its own. The process imports its libraries, loads the model (which runs
it once on two images), notes its resident memory, resets the high-water mark, scores, and reads the mark.
What is loaded later than that, thread pools and caches of the libraries included, counts as scoring.

- paper, pooled pixels: the protocol of the paper as it is, 49 scales of 2 x 2048 images of 224 x 224, 200,704 in all,
  with a cheap encoder of d = 768, so the moments and the eigenproblem have their real size; and 3 of these scales;
- paper, ViT-Tiny: a real forward pass, for 2 and for 6 scales of 2 x 128 images;
- population, pooled pixels: 8,192 images, the default. All representations are kept, and copied to float64;
- metric, pooled pixels: 3 scales through ``evaluate``, which keeps the representations in an Arrow file;
- metric, added rows: the paper's 49 scales of 2048 images a split at d = 768, made elsewhere and added in batches.
  This is where memory could grow with the number of scales: the Arrow file has 617 MB here.

Predicted: a model under the paper protocol needs one batch and 300 MB above, whatever the number of scales; all others
less than 1.5 GB. An image is 0.6 MB, a batch of 64 is 39 MB and has a few copies on its way, the representations of one
scale are 13 MB in float32, and nothing is kept from one scale to the next but a few numbers.

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
from dataclasses import dataclass
from pathlib import Path

from _timing import machine, markdown, note, parser, positive, vit_tiny

HERE = Path(__file__).resolve().parent
METRIC = HERE.parent / "synbench_metric.py"
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
SIZE, WIDTH, BATCH = 224, 768, 64
ONE_BATCH = BATCH * 3 * SIZE**2 * 4


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
    asked = {"image_size": SIZE, "device": "cpu", "batch_size": BATCH, "cache": False, "progress": False}
    return lambda: synbench.score(model, samples=samples, scales=scales, **asked).images


def population(model, images: int) -> Callable[[], int]:
    """Load the same for the population protocol."""
    import synbench

    synbench.load_encoder(model, image_size=SIZE, device="cpu")
    asked = {"image_size": SIZE, "device": "cpu", "batch_size": BATCH, "cache": False, "progress": False}
    return lambda: synbench.score(model, images=images, **asked).images


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


@dataclass(frozen=True)
class Case:
    """What is scored: images a scale and split, number of scales, how it is loaded, and the most it may need."""

    samples: int
    scales: int
    load: Callable[[int, list[float]], Callable[[], int]]
    limit: float = 1.5e9


TIGHT = ONE_BATCH + 300e6
CASES = {
    "paper, pooled pixels": Case(2048, 3, lambda n, scales: score(pooled_pixels(), n, scales), TIGHT),
    "paper, pooled pixels, all scales": Case(2048, 49, lambda n, scales: score(pooled_pixels(), n, scales), TIGHT),
    "paper, ViT-Tiny, 2 scales": Case(128, 2, lambda n, scales: score(vit_tiny(), n, scales), TIGHT),
    "paper, ViT-Tiny, 6 scales": Case(128, 6, lambda n, scales: score(vit_tiny(), n, scales), TIGHT),
    "population, pooled pixels": Case(8192, 1, lambda n, _: population(pooled_pixels(), n)),
    "metric, pooled pixels": Case(2048, 3, lambda n, scales: metric_of_model(pooled_pixels(), n, scales)),
    "metric, added rows": Case(2048, 49, metric_of_rows),
}


def measure(name: str, samples: int, count: int) -> dict:
    """Load, note the memory, score, and read the peak, all in this process."""
    # The paper's grid from its upper end: the scores of so few scales are then defined.
    run = CASES[name].load(samples, [(49 - k) / 10 for k in range(count)])
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


def row(name: str, found: dict) -> list[str]:
    """Return the cells of one row."""
    limit = CASES[name].limit
    cells = [f"{found[key] / 1e6:,.0f}" for key in ("before", "above")]
    verdict = f"{'yes' if found['above'] < limit else 'NO'}, {limit / 1e6:,.0f}"
    return [name, f"{found['images']:,}", *cells, verdict if found["reset"] else f"{verdict} (mark not reset)"]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--only", default="", metavar="NAME", help="rows with this in their name")
    options.add_argument("--fresh", action="store_true", help="measure again what the results hold already")
    options.add_argument("--out", type=Path, help="for results; default benchmarks/results, of a smoke run elsewhere")
    for name, kind in (("--case", str), ("--samples", positive), ("--scales", positive)):
        options.add_argument(name, type=kind, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.case:
        print(json.dumps(measure(asked.case, asked.samples, asked.scales)))
        return
    out = asked.out or (Path(tempfile.gettempdir()) / "synbench-memory" if asked.quick else HERE / "results")
    out.mkdir(parents=True, exist_ok=True)
    record = out / "memory.json"
    results = json.loads(record.read_text()) if record.exists() else {}
    for name, case in CASES.items():
        if asked.only not in name or (name in results and not asked.fresh):
            continue
        samples, scales = (64, 2) if asked.quick else (case.samples, case.scales)
        results[name] = in_child(name, samples, scales)
        record.write_text(json.dumps(results, indent=1) + "\n")
    rows = [row(name, results[name]) for name in CASES if name in results]
    smoke = ". A smoke run: these numbers mean nothing" if asked.quick else ""
    headings = ["what", "images", "before MB", "peak above MB", "below its limit, MB"]
    text = f"{machine()}{smoke}.\n\n{markdown('Peak memory of scoring', headings, rows)}"
    (out / "memory.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
