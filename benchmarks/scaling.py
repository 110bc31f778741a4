"""How much faster two processes embed than one, on the CPU, with one thread each.

    python benchmarks/scaling.py                     about five minutes on two cores

``torchrun`` starts one process, then two, in turn. ViT-Tiny embeds images of 224 x 224 that are drawn on the way; each
process takes its share of the pieces, and the main one ends up with all vectors. The clock starts when every process
has loaded its model and embedded one batch, and stops when the vectors are together: libraries and models are not in
it, drawing, embedding and gathering are.

Predicted: an efficiency of at least 90 %. The processes exchange a few numbers at the beginning and the vectors at the
end, 0.4 MB; what they share is the memory's bandwidth and the machine's clock.

How to read it: efficiency is the time of one / (2 x the time of two), turn by turn: median (least to largest).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from _timing import Spread, machine, markdown, note, parser, positive, vit_tiny

HERE = Path(__file__).resolve().parent
SIDE, BATCH = 224, 64


def child(images: int, batch: int) -> None:
    """Embed together with the other processes of this launch; the main one prints the seconds."""
    from synbench.preparing import prepare
    from synbench.processes import dismiss, launched
    from synbench.settings import Settings

    torch.set_num_threads(1)
    processes = launched("cpu")
    study = prepare(
        vit_tiny(),
        Settings(images=images),
        batch_size=batch,
        cache=False,
        processes=processes,
        device="cpu",
        image_size=SIDE,
    )
    study.encoder(torch.randn(batch, *study.encoder.contract.shape))
    processes.gather(None)
    began = time.perf_counter()
    if processes.main:
        (rows,) = study.embed(progress=False)
        seconds = time.perf_counter() - began
        study.done()
        print(json.dumps({"processes": processes.count, "rows": len(rows), "seconds": seconds}), flush=True)
    else:
        study.follow(progress=False)
    dismiss()


def launch(count: int, images: int, batch: int) -> float:
    """Start so many processes, and return the seconds in which they embedded."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), __file__]
    command += ["--child", "--images", str(images), "--batch-size", str(batch)]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HOME": folder, "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    (found,) = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    if (found["processes"], found["rows"]) != (count, images):
        raise SystemExit(f"expected {images} images from {count} processes, got {found}")
    return found["seconds"]


def main() -> None:
    options = parser(__doc__, repeats=3)
    options.add_argument("--images", type=positive, default=512, help="a turn; default 512")
    options.add_argument("--batch-size", type=positive, default=BATCH, help=f"default {BATCH}")
    options.add_argument("--out", type=Path, help="for results; default benchmarks/results, of a smoke run elsewhere")
    options.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.quick:
        asked.repeats, asked.images, asked.batch_size = 1, 128, 8
    if asked.child:
        child(asked.images, asked.batch_size)
        return
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(asked.repeats):
        for count, found in seconds.items():
            found.append(launch(count, asked.images, asked.batch_size))
        note(f"  one {seconds[1][-1]:.4g} s, two {seconds[2][-1]:.4g} s ({turn + 1}/{asked.repeats})")
    efficiency = Spread.of(one / (2 * two) for one, two in zip(seconds[1], seconds[2], strict=True))
    speeds = {count: asked.images / Spread.of(found).median for count, found in seconds.items()}
    rows = [["ViT-Tiny, 224 x 224", asked.images, *(f"{s:.4g}" for s in speeds.values()), efficiency.percent()]]
    headings = ["encoder", "images", "one process, img/s", "two, img/s", "efficiency"]
    smoke = ". A smoke run: these numbers mean nothing" if asked.quick else ""
    text = f"{machine()}, one thread a process{smoke}.\n\n{markdown('Two processes beside one', headings, rows)}"
    out = asked.out or (Path(tempfile.gettempdir()) / "synbench-scaling" if asked.quick else HERE / "results")
    out.mkdir(parents=True, exist_ok=True)
    (out / "scaling.json").write_text(json.dumps({"images": asked.images, "seconds": seconds}, indent=1) + "\n")
    (out / "scaling.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
