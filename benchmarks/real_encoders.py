"""What both protocols say about three small encoders that were really trained, and about their beginnings.

    python benchmarks/real_encoders.py train DATA OUT     about 20 minutes on one core
    python benchmarks/real_encoders.py score OUT          about an hour: the paper protocol embeds 200,704 images each

``train`` reads CIFAR-10 from DATA/train.parquet and DATA/test.parquet (pictures as encoded bytes in a column
``image`` or ``img``, classes in ``label``, as on the Hub) and trains a ResNet, a vision transformer and a ConvNeXt
for 32 x 32 on all 50,000 pictures, each with a linear head on the representation that SynBench's own pooling rule
takes. OUT/<name>-<stage>/ gets each encoder, without its head, in the format of the Hub, at three stages: untrained,
half (after half of the steps) and trained. OUT/accuracy.json gets the test accuracy of the head at each stage,
measured on the folder just written, read back by ``synbench.load_encoder``. The untrained head knows nothing: its
accuracy is that of guessing. The half-way encoder is still at a high learning rate. Forward passes of the training
are in bfloat16, everything else in float32.

``score`` scores each folder by both protocols, keeps every report as OUT/<name>-<stage>.<protocol>.json, and prints
one table of all reports that OUT then holds: the protocols may be run one after the other, and ``--protocols``
without a name prints the table alone.

How to read it: an interval is that of the report, where its protocol gives one. Seconds hold for one machine.
κ is the discriminability that the encoder leaves at s = 1, where image space has 1, with its standard error.
"""

import argparse
import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _timing import note, parser, positive, table
from torch.nn import functional
from tqdm import tqdm

import synbench
from synbench.pooling import choose

SIDE, CLASSES, PAD, BATCH, SEED = 32, 10, 4, 128, 0
MEAN, STD = 0.5, 0.5
WARM_UP, SMOOTHING, WEIGHT_DECAY = 0.1, 0.1, 0.05
STAGES = ("untrained", "half", "trained")
PROTOCOLS = ("paper", "population")


def resnet() -> Any:
    """Return a ResNet with two basic layers in each of four stages; 2.8 million parameters, d = 256."""
    from transformers import ResNetConfig, ResNetModel

    sizes: dict[str, Any] = {"embedding_size": 32, "hidden_sizes": [32, 64, 128, 256], "depths": [2, 2, 2, 2]}
    return ResNetModel(ResNetConfig(**sizes, layer_type="basic", downsample_in_first_stage=False))


def vit() -> Any:
    """Return a vision transformer with four blocks on 64 patches; 1.2 million parameters, d = 192."""
    from transformers import ViTConfig, ViTModel

    sizes: dict[str, Any] = {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 3}
    # In bfloat16 on a CPU, eager attention is twice as fast as the fused one, and the same function; it is not saved.
    config = ViTConfig(**sizes, intermediate_size=384, image_size=SIDE, patch_size=4, attn_implementation="eager")
    return ViTModel(config, add_pooling_layer=False)


def convnext() -> Any:
    """Return a ConvNeXt with two blocks in each of three stages; 1.6 million parameters, d = 256."""
    from transformers import ConvNextConfig, ConvNextModel

    sizes: dict[str, Any] = {"num_stages": 3, "hidden_sizes": [64, 128, 256], "depths": [2, 2, 2]}
    return ConvNextModel(ConvNextConfig(**sizes, patch_size=4, image_size=SIDE))


@dataclass(frozen=True)
class Recipe:
    """How one encoder is made and trained."""

    make: Callable[[], Any]
    epochs: int
    rate: float


RECIPES = {
    "resnet": Recipe(resnet, epochs=6, rate=3e-3),
    "vit": Recipe(vit, epochs=3, rate=1e-3),
    "convnext": Recipe(convnext, epochs=4, rate=2e-3),
}


def pictures(file: Path, most: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pictures of a file as (n, 3, 32, 32) bytes, and their classes."""
    import pyarrow.parquet as pq
    from PIL import Image

    read = pq.read_table(file).slice(0, most)
    column = next(name for name in ("image", "img") if name in read.column_names)
    coded = read.column(column).combine_chunks().field("bytes")
    decoded = np.empty((len(coded), SIDE, SIDE, 3), dtype=np.uint8)
    for row, code in enumerate(tqdm(coded, desc=file.name, leave=False, disable=None)):
        with Image.open(io.BytesIO(code.as_py())) as image:
            decoded[row] = np.asarray(image.convert("RGB"))
    labels = torch.from_numpy(read.column("label").to_numpy().astype(np.int64))
    return torch.from_numpy(decoded).permute(0, 3, 1, 2).contiguous(), labels


def normalized(images: torch.Tensor) -> torch.Tensor:
    """Return bytes as the encoders take them."""
    return (images.float() / 255 - MEAN) / STD


def augmented(images: torch.Tensor) -> torch.Tensor:
    """Shift each image by up to four pixels, its edge filled with zeros, and mirror every other one, at random."""
    count = len(images)
    padded = functional.pad(images, (PAD, PAD, PAD, PAD))
    down, right = torch.randint(0, 2 * PAD + 1, (2, count, 1))
    steps = torch.arange(SIDE)
    columns = torch.where(torch.rand(count, 1) < 0.5, steps, steps.flip(0)) + right
    rows = steps + down
    which = torch.arange(count).view(-1, 1, 1, 1)
    return padded[which, torch.arange(3).view(1, -1, 1, 1), rows[:, None, :, None], columns[:, None, None, :]]


def train(name: str, images: torch.Tensor, labels: torch.Tensor, epochs: int) -> Iterator[tuple[str, Any, Any]]:
    """Train one encoder with a linear head; yield stage, encoder and head at each of the three stages."""
    torch.manual_seed(SEED)
    recipe = RECIPES[name]
    model = recipe.make().to(memory_format=torch.channels_last)
    model.eval()
    with torch.inference_mode():
        pooling = choose(model, model(pixel_values=normalized(images[:2])))
        width = pooling(model(pixel_values=normalized(images[:2]))).shape[1]
    note(f"{name}: {sum(p.numel() for p in model.parameters()):,} parameters, {pooling.field}: {pooling.reduction}")
    head = torch.nn.Linear(width, CLASSES)
    yield "untrained", model, head
    every = [*model.parameters(), *head.parameters()]
    groups = [
        {"params": [p for p in every if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in every if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.rate)
    a_pass = max(1, len(images) // BATCH)
    steps = max(2, epochs * a_pass)
    # A cosine, after a short rise.
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=recipe.rate, total_steps=steps, pct_start=WARM_UP, cycle_momentum=False
    )
    order = torch.empty(0, dtype=torch.long)
    bar = tqdm(range(steps), desc=name, disable=None)
    for step in bar:
        if step % a_pass == 0:
            order = torch.randperm(len(images))
        rows = order[step % a_pass * BATCH :][:BATCH]
        batch = normalized(augmented(images[rows])).contiguous(memory_format=torch.channels_last)
        model.train()
        with torch.autocast("cpu", torch.bfloat16):
            vectors = pooling(model(pixel_values=batch))
        loss = functional.cross_entropy(head(vectors.float()), labels[rows], label_smoothing=SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(every, 1.0)
        optimizer.step()
        schedule.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if step + 1 == steps // 2:
            yield "half", model, head
    yield "trained", model, head


def save(model: Any, folder: Path) -> None:
    """Write an encoder and its image processor, in the format of the Hub."""
    from transformers import ViTImageProcessor

    model.save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    ViTImageProcessor(size=size, image_mean=[MEAN] * 3, image_std=[STD] * 3).save_pretrained(folder)


def accuracy(folder: Path, head: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of pictures that the head gets right on a saved encoder, read and fed as SynBench does it."""
    encoder = synbench.load_encoder(folder, device="cpu")
    contract = encoder.contract
    found = (contract.shape, contract.mean, contract.std, contract.order)
    if found != ((3, SIDE, SIDE), (MEAN,) * 3, (STD,) * 3, (0, 1, 2)):
        raise SystemExit(f"{folder}: SynBench read another preprocessing than the encoder was trained with: {contract}")
    record = encoder.record
    note(f"{folder.name}: {record.architecture}, d = {record.dimension}, {record.pooling} ({record.pooling_reason})")
    with torch.inference_mode():
        right = [
            head(encoder(some.float() / 255)).argmax(dim=1) == classes
            for some, classes in zip(images.split(256), labels.split(256), strict=True)
        ]
    return torch.cat(right).float().mean().item()


def train_all(options: argparse.Namespace) -> None:
    """Train and save the encoders asked for, and write down their accuracies."""
    most = 2 * BATCH if options.quick else None
    images, labels = pictures(options.data / "train.parquet", most)
    test_images, test_labels = pictures(options.data / "test.parquet", most)
    options.out.mkdir(parents=True, exist_ok=True)
    record = options.out / "accuracy.json"
    results = json.loads(record.read_text()) if record.exists() else {}
    for name in options.only:
        epochs = 1 if options.quick else options.epochs or RECIPES[name].epochs
        found: dict[str, Any] = {"epochs": epochs, "train_images": len(images), "test_images": len(test_images)}
        seconds, began = 0.0, time.perf_counter()
        for stage, model, head in train(name, images, labels, epochs):
            seconds += time.perf_counter() - began
            folder = options.out / f"{name}-{stage}"
            save(model, folder)
            found[stage] = accuracy(folder, head, test_images, test_labels)
            found["seconds"] = round(seconds, 1)
            note(f"{name}-{stage}: test accuracy {found[stage]:.4f} after {seconds:.0f} s")
            began = time.perf_counter()
        results[name] = found
        record.write_text(json.dumps(results, indent=2) + "\n")
    rows = [[name, *(f"{found[stage]:.1%}" for stage in STAGES), found["seconds"]] for name, found in results.items()]
    table(["encoder", *STAGES, "seconds"], rows, quick=options.quick)


def report_file(folder: Path, protocol: str) -> Path:
    """Return where the report of a folder is kept."""
    return folder.with_name(f"{folder.name}.{protocol}.json")


def score_all(options: argparse.Namespace) -> None:
    """Score every folder by the protocols asked for, keep the reports, and print all that are there."""
    sizes: dict[str, dict[str, Any]] = {"paper": {}, "population": {"images": options.images}}
    if options.quick:
        sizes = {"paper": {"samples": 512, "scales": [1.0, 2.0, 3.0]}, "population": {"images": 1024}}
    results = json.loads((options.out / "accuracy.json").read_text())
    stages = [(name, stage, options.out / f"{name}-{stage}") for name in results for stage in STAGES]
    # The quick protocol first, all encoders: then the table is useful early.
    for protocol in sorted(options.protocols, key=["population", "paper"].index):
        for name, _, folder in stages:
            if name not in options.only:
                continue
            note(f"{folder.name}, {protocol}")
            report = synbench.score(
                folder, protocol=protocol, device=options.device, seed=options.seed, **sizes[protocol]
            )
            report_file(folder, protocol).write_text(report.to_json() + "\n")
    rows = []
    for name, stage, folder in stages:
        cells = [name, stage, f"{results[name][stage]:.1%}"]
        kappa = "—"
        for protocol in PROTOCOLS:
            file = report_file(folder, protocol)
            found = json.loads(file.read_text()) if file.exists() else None
            cells += score_cells(found)
            if found is not None and protocol == "population":
                kappa = kappa_cell(found)
        rows.append([*cells, kappa])
    headings = ["encoder", "stage", "test accuracy"]
    headings += [f"{protocol} {what}" for protocol in PROTOCOLS for what in ("score", "images", "seconds")]
    table([*headings, "κ at ε = 0"], rows, quick=options.quick)


def score_cells(report: dict[str, Any] | None) -> list[str]:
    """Return score with interval, images and seconds of a report; dashes without one."""
    if report is None:
        return ["—", "—", "—"]
    return [
        with_interval(report["synbench_score"], report.get("interval")),
        f"{report['images']:,}",
        f"{report['seconds']:.1f}",
    ]


def with_interval(value: float | None, interval: list[float] | None) -> str:
    """Format a score, with its interval where it has one."""
    if value is None:
        return "undefined"
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def kappa_cell(report: dict[str, Any]) -> str:
    """Format κ at ε = 0 with its standard error: one number of each for every ε of the report."""
    kappas, errors = report.get("kappa"), report.get("kappa_stderr")
    if not kappas or 0.0 not in report["epsilons"]:
        return "—"
    at = report["epsilons"].index(0.0)
    if kappas[at] is None:
        return "undefined"
    return f"{kappas[at]:.4f}" + (f" ± {errors[at]:.4f}" if errors and errors[at] is not None else "")


def main() -> None:
    """Run the subcommand."""
    options = parser(__doc__)
    commands = options.add_subparsers(required=True, metavar="train|score")
    training = commands.add_parser("train", help="train and save the encoders")
    training.add_argument("data", type=Path, help="folder with train.parquet and test.parquet of CIFAR-10")
    training.add_argument("out", type=Path, help="folder for the encoders and accuracy.json")
    training.add_argument("--epochs", type=positive, help="instead of each encoder's own")
    training.set_defaults(run=train_all)
    scoring = commands.add_parser("score", help="score the saved encoders and print the table")
    scoring.add_argument("out", type=Path, help="folder that train wrote")
    scoring.add_argument("--protocols", nargs="*", choices=PROTOCOLS, default=PROTOCOLS, help="which to run now")
    scoring.add_argument("--images", type=positive, default=8192, help="of the population protocol; default 8192")
    scoring.add_argument("--seed", type=int, default=0, help="of the mixture; default 0")
    scoring.add_argument("--device", default="cpu", help="where the encoders run; default cpu")
    scoring.set_defaults(run=score_all)
    for command in (training, scoring):
        command.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES), help="which encoders")
        command.add_argument("--threads", type=positive, default=1, help="of torch; default 1")
    asked = options.parse_args()
    torch.set_num_threads(asked.threads)
    asked.run(asked)


if __name__ == "__main__":
    main()
