"""How much of a bare forward pass's speed is left when images are also drawn, normalised, pooled and brought home.

    python benchmarks/embedding.py                   about five minutes on two cores
    python benchmarks/embedding.py --device cuda     ViT-B/16 in float32 and in bfloat16

Three sides take turns, on the same number of images in batches of the same size and precision:

- bare: the module alone, called again and again on one random batch that lies on the device, in inference mode;
- whole: ``synbench.embedding.embed_population`` with its own choice of batch: every image is drawn on the device,
  normalised, embedded, pooled, copied to the host, and its vector is checked. No cache, no progress bar;
- one by one: as the authors' script goes about it. Each image is drawn on the host by itself, in float64, and
  normalised; a ``DataLoader`` stacks them, the batch is copied to the device, and the vectors come back batch by batch.
  Their covariance, as a matrix for each class, would take 91 GB at 224 x 224: here it is left out, so this side is
  faster than theirs.

Predicted: 90 % of the bare speed is kept on a CPU and 95 % on a GPU. Two cores draw and normalise a 224 x 224 image in
about 2 ms and pass it through ViT-Tiny or ResNet-18 in about 30, so about 93 %; the demo encoder has the cheapest
forward pass for its pixels, so less. One by one takes 5 to 10 % longer than the whole way on a CPU, and 3 times as long
on a GPU, whose forward pass is then shorter than drawing on the host.

How to read it: "kept" is bare seconds / whole seconds, turn by turn: median (least to largest). "one by one" is its
seconds / those of the whole way. "of matmul" compares the operations in products and convolutions, a second, with
those of one large matrix product in the same precision: what the device can do at most. The second table tells where
the time goes when each station is waited for, as shares of the forward pass; scoring is that of 8,192 images of the
encoder's width by the population protocol, shared out over them. Images a second hold for one machine.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _timing import Spread, alternate, machine, markdown, note, parser, positive, ratio, resnet18, vit_base, vit_tiny
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

import synbench
from synbench import population, uncertainty
from synbench.batching import default_batch_size
from synbench.design import design
from synbench.drawing import Renderer
from synbench.embedding import embed_population
from synbench.encoders import Encoder, evaluating
from synbench.mixture import PIXEL_CENTRE, MixtureSpec
from synbench.representations import Representations, check_finite
from synbench.settings import EPSILONS, IMAGES, SCALES, THRESHOLDS

HALF = {"image_mean": 0.5, "image_std": 0.5}
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Case:
    """An encoder, how many of its images make a turn, and the share of the bare speed that it has to keep."""

    name: str
    encoder: Encoder
    images: int
    bar: float | None


def cases(device: str) -> Iterator[Case]:
    """Yield what is measured on a device."""
    if device.startswith("cuda"):
        for dtype in ("float32", "bfloat16"):
            encoder = synbench.load_encoder(vit_base(), image_size=224, device=device, dtype=dtype, **HALF)
            yield Case(f"ViT-B/16, 224 x 224, {dtype}", encoder, 4096, 0.95)
        return
    yield Case("demo encoder, 16 x 16", synbench.load_encoder("synbench:demo", device=device), 8192, None)
    for name, module in (("ResNet-18", resnet18()), ("ViT-Tiny", vit_tiny())):
        yield Case(f"{name}, 224 x 224", synbench.load_encoder(module, image_size=224, device=device, **HALF), 128, 0.9)


def bare(encoder: Encoder, batch: torch.Tensor, images: int) -> Callable[[], None]:
    """Return forward passes on a batch that lies on the device."""

    def run() -> None:
        with evaluating(encoder.module):
            for _ in range(images // len(batch)):
                encoder.module(pixel_values=batch)
            wait(encoder.device)

    return run


class Drawn(Dataset):
    """The images of a mixture, each drawn by itself on the host when it is asked for."""

    def __init__(self, encoder: Encoder, spec: MixtureSpec, images: int) -> None:
        self.made, self.spec, self.rng = design(spec, 0, images), spec, np.random.default_rng(0)
        self.direction = spec.mean_direction()
        self.mean, self.std = (np.reshape(v, (-1, 1, 1)) for v in (encoder.contract.mean, encoder.contract.std))

    def __len__(self) -> int:
        return len(self.made)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        label = int(self.made.labels[row])
        pixels = self.rng.standard_normal(self.spec.dimension)
        pixels += PIXEL_CENTRE + (2 * label - 1) * self.made.scales[row] * self.direction
        image = (pixels.reshape(self.spec.image_shape) - self.mean) / self.std
        return torch.from_numpy(image.astype(np.float32)), label


def one_by_one(encoder: Encoder, spec: MixtureSpec, size: int, images: int) -> Callable[[], None]:
    """Return the way of the authors' script."""
    loader = DataLoader(Drawn(encoder, spec, images), batch_size=size)

    def run() -> None:
        vectors = []
        with evaluating(encoder.module):
            for batch, _ in loader:
                inputs = batch.to(encoder.device, getattr(torch, encoder.dtype))
                vectors.append(encoder.forward(inputs).float().cpu().numpy())
        check_finite(np.concatenate(vectors))

    return run


def wait(device: str) -> None:
    """Wait for a device to be done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def stations(encoder: Encoder, spec: MixtureSpec, size: int, images: int) -> dict[str, float]:
    """Return the seconds of each station, one after the other, each waited for."""
    seconds = dict.fromkeys(("draw", "normalise", "forward and pool", "copy and check"), 0.0)
    renderer = Renderer(spec, encoder.device)
    with evaluating(encoder.module):
        for start in range(-size, images, size):
            values: Any = design(spec, max(start, 0), max(start, 0) + size)
            steps = {
                "draw": lambda rows: renderer.population(rows)[0],
                "normalise": lambda x: encoder.contract.normalize(x).to(getattr(torch, encoder.dtype)),
                "forward and pool": encoder.forward,
                "copy and check": lambda v: check_finite(v.float().cpu().numpy()),
            }
            for name, step in steps.items():
                began = time.perf_counter()
                values = step(values)
                wait(encoder.device)
                # The first batch warms up.
                seconds[name] += time.perf_counter() - began if start >= 0 else 0.0
    return seconds


def scoring(dimension: int, *, quick: bool) -> float:
    """Return the seconds an image of scoring representations so wide: they depend on shapes alone."""
    images = 1024 if quick else IMAGES
    made = design(synbench.MixtureSpec(8), 0, images)
    rng = np.random.default_rng(0)
    coordinates = rng.standard_normal(made.draws.max() + 1)[made.draws]
    values = rng.standard_normal((made.draws.max() + 1, dimension))[made.draws].astype(np.float32)
    values[:, 0] = coordinates + (2 * made.labels - 1) * made.scales
    rows = Representations(values, made.labels, made.scales, made.labels < 0, coordinates, made.draws)
    seconds = []
    for _ in range(1 if quick else 3):
        began = time.perf_counter()
        uncertainty.population_scores(population.estimate(rows, SCALES, EPSILONS), THRESHOLDS)
        seconds.append(time.perf_counter() - began)
    return Spread.of(seconds).median / images


def operations(encoder: Encoder, batch: torch.Tensor) -> float:
    """Return the floating-point operations of an image in products and convolutions."""
    with evaluating(encoder.module), FlopCounterMode(display=False) as counter:
        encoder.module(pixel_values=batch[:1])
    return float(counter.get_total_flops())


def ceiling(encoder: Encoder, *, quick: bool) -> float:
    """Return the operations a second of the best of ten large matrix products in the precision of an encoder."""
    side = 256 if quick else 8192 if encoder.device.startswith("cuda") else 2048
    factor = torch.randn(side, side, device=encoder.device).to(getattr(torch, encoder.dtype))
    seconds = []
    with evaluating():
        for _ in range(10):
            began = time.perf_counter()
            factor @ factor
            wait(encoder.device)
            seconds.append(time.perf_counter() - began)
    return 2 * side**3 / min(seconds)


def peak(encoder: Encoder, run: Callable[[], object]) -> float | None:
    """Return the most bytes that a GPU held at once, weights included."""
    if not encoder.device.startswith("cuda"):
        return None
    torch.cuda.reset_peak_memory_stats(encoder.device)
    run()
    return float(torch.cuda.max_memory_allocated(encoder.device))


def measure(case: Case, asked: argparse.Namespace) -> dict[str, Any]:
    """Return everything about one case."""
    encoder, shape = case.encoder, case.encoder.contract.shape
    size, images = asked.batch_size or default_batch_size(shape, encoder.device), case.images
    if asked.quick:
        size, images = min(size, 8), 16
    # Whole batches on all sides.
    images = max(1, (asked.images or images) // size) * size
    spec = synbench.MixtureSpec(shape)
    batch = torch.randn(size, *shape, generator=torch.Generator().manual_seed(0))
    batch = batch.to(encoder.device, getattr(torch, encoder.dtype))
    note(f"{case.name}: {images} images a turn in batches of {size}")

    def whole() -> None:
        given = size if asked.quick or asked.batch_size else None
        embed_population(encoder, spec, 0, images, batch_size=given, progress=False)

    sides = {
        "bare": bare(encoder, batch, images),
        "whole": whole,
        "one by one": one_by_one(encoder, spec, size, images),
    }
    seconds = alternate(sides, asked.repeats)
    kept = ratio(seconds["bare"], seconds["whole"])
    speeds = {name: images / Spread.of(turns).median for name, turns in seconds.items()}
    most = ceiling(encoder, quick=asked.quick)
    of_matmul = {name: operations(encoder, batch) * speeds[name] / most for name in ("bare", "whole")}
    return {
        "batch": size,
        "images": images,
        "dimension": encoder.record.dimension,
        "seconds": seconds,
        "images_a_second": speeds,
        "kept": asdict(kept),
        "one_by_one": asdict(ratio(seconds["one by one"], seconds["whole"])),
        "bar": case.bar,
        "matmul_ceiling": most,
        "of_matmul": of_matmul,
        "peak_bytes": {name: peak(encoder, sides[name]) for name in ("bare", "whole")},
        "stations": {
            **stations(encoder, spec, size, images),
            "scoring": scoring(encoder.record.dimension, quick=asked.quick) * images,
        },
    }


def tables(results: dict[str, Any]) -> str:
    """Return the tables, and whether the bars were met."""
    rows, shares, verdicts = [], [], []
    for name, case in results.items():
        kept, speeds = Spread(**case["kept"]), case["images_a_second"]
        memory = [f"{b / 1e6:,.0f} MB" for b in case["peak_bytes"].values() if b is not None]
        rows.append(
            [
                name,
                case["batch"],
                case["dimension"],
                *(f"{speeds[side]:.4g}" for side in ("bare", "whole", "one by one")),
                kept.percent(),
                Spread(**case["one_by_one"]).times(),
                " / ".join(f"{share:.0%}" for share in case["of_matmul"].values()),
                " / ".join(memory) or "–",
            ]
        )
        forward = case["stations"]["forward and pool"]
        shares.append([name, *(f"{s / forward:.1%}" for s in case["stations"].values())])
        if case["bar"]:
            word = "met" if kept.median >= case["bar"] else "NOT met"
            verdicts.append(f"- {name} keeps at least {case['bar']:.0%}: {word}; {kept.median:.1%}.")
    headings = ["encoder", "batch", "d", "bare img/s", "whole img/s", "one by one img/s", "kept", "one by one"]
    headings += ["of matmul, bare / whole", "peak, bare / whole"]
    parts = [
        markdown("The whole way beside the bare forward pass", headings, rows),
        markdown(
            "Stations, as shares of the forward pass", ["encoder", *next(iter(results.values()))["stations"]], shares
        ),
    ]
    return "\n".join([*parts, *verdicts]) + "\n"


def main() -> None:
    options = parser(__doc__, repeats=7)
    options.add_argument("--device", default="cpu", help="where all sides run; default cpu")
    options.add_argument("--images", type=positive, help="a turn, in place of each case's own")
    options.add_argument("--batch-size", type=positive, help="of all sides; by default as synbench begins")
    options.add_argument("--only", default="", metavar="NAME", help="encoders with this in their name")
    options.add_argument("--out", type=Path, help="for results; default benchmarks/results, of a smoke run elsewhere")
    asked = options.parse_args()
    if asked.quick:
        asked.repeats = 2
    results = {
        case.name: measure(case, asked) for case in cases(asked.device) if asked.only.lower() in case.name.lower()
    }
    text = tables(results)
    where = torch.cuda.get_device_name(asked.device) + ", " if asked.device.startswith("cuda") else ""
    threads = f"{torch.get_num_threads()} threads"
    smoke = ". A smoke run: these numbers mean nothing" if asked.quick else ""
    head = f"{where}{machine()}, {threads}{smoke}.\n\n"
    out = asked.out or (Path(tempfile.gettempdir()) / "synbench-embedding" if asked.quick else HERE / "results")
    out.mkdir(parents=True, exist_ok=True)
    stem = "embedding" if asked.device == "cpu" else f"embedding-{asked.device.partition(':')[0]}"
    (out / f"{stem}.json").write_text(json.dumps(results, indent=1) + "\n")
    (out / f"{stem}.md").write_text(head + text)
    print(head + text)


if __name__ == "__main__":
    main()
