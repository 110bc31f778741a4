"""A zoo of small encoders that differ in architecture, width, pretext task and length of training.

    python -m benchmarks.study.zoo DATA OUT                   about 45 minutes on one core
    python -m benchmarks.study.zoo DATA OUT --shard 1/2       one of two processes that share the list
    python -m benchmarks.study.zoo DATA OUT --list second --classes 5 6 7 8 9
                                                              other encoders, to test what the first ones suggested

Reads CIFAR-10 from DATA/train.parquet and DATA/test.parquet (pictures as encoded bytes in a column ``image`` or
``img``, classes in ``label``, as on the Hub). Every encoder is trained on the pictures of half of the classes (0 to
4, ``--classes``), and sees no other: what is probed later, on the other half, is new to all of them.

Pretext tasks, each with a head on the representation that SynBench's own pooling rule takes:

- ``supervised``: the classes, from pictures shifted and mirrored at random;
- ``noisy``: the same, with Gaussian noise of ``noise`` (in units of a pixel's range) on every pixel, not clipped;
- ``grey``: the same, from pictures without colour;
- ``shuffled``: one random class for each picture, to be learned by heart: no augmentation;
- ``rotation``: by how many quarter turns a picture was turned;
- ``contrastive``: which two of many crops, with their colours changed, are of one picture (SimCLR, Chen et al. 2020);
- ``masked``: the picture itself, from one with noise and half of its blocks blanked;
- ``untrained``: none; the weights are those the architecture begins with.

OUT/<name>/ gets each encoder without its head, in the format of the Hub, and with it recipe.json: family, width,
pretext, epochs, noise, pictures and classes trained on, seed, parameters, seconds, final_loss (the mean of the last
tenth of the steps) and accuracy (of the head on the folder just written, read back by ``synbench.load_encoder``)
with accuracy_on, which says of what; ``null`` where a task has none. OUT/zoo.json has all of them by name, in the
order of the list. A folder appears when it is whole, and an encoder whose folder is there is not trained again: a
run that was stopped goes on where it was. Any first part of the list is diverse: a study can begin while the
training goes on. Forward passes of the training are in bfloat16, everything else in float32.
"""

import argparse
import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from _timing import note, parser, positive
from real_encoders import MEAN, SIDE, STD, pictures, save
from torch import Tensor, nn

import synbench
from synbench.errors import ArgumentError, EncoderError, SynBenchError

from .pretexts import PRETEXTS
from .recipes import ALL, LISTS, Recipe
from .training import BATCH, chosen, of_classes, train

CLASSES = (0, 1, 2, 3, 4)
QUICK = 2 * BATCH
Split = tuple[Tensor, Tensor]


def read_back(folder: Path) -> Any:
    """Return a saved encoder as SynBench reads it.

    Raises:
        EncoderError: it would be fed in another way than it was trained.
    """
    encoder = synbench.load_encoder(folder, device="cpu")
    contract = encoder.contract
    found = (contract.shape, contract.mean, contract.std, contract.order)
    wanted = ((3, SIDE, SIDE), (MEAN,) * 3, (STD,) * 3, (0, 1, 2))
    if found != wanted:
        raise EncoderError(
            f"{folder.name}: expected shape, mean, std and order {wanted}, got {found}. "
            f"Write the image processor that the encoder was trained with."
        )
    return encoder


def share_right(encoder: Any, head: nn.Module, images: Tensor, targets: Tensor) -> float:
    """Return the share of pictures, given as bytes, that the head gets right."""
    with torch.inference_mode():
        right = [
            head(encoder(some.float() / 255)).argmax(dim=1) == wanted
            for some, wanted in zip(torch.split(images, 256), torch.split(targets, 256), strict=True)
        ]
    return torch.cat(right).float().mean().item()


def make(
    recipe: Recipe, train_split: Split, test_split: Split, out: Path, *, classes: Sequence[int], quick: bool
) -> dict[str, Any]:
    """Train one encoder, write its folder as a whole, and return its record.

    Args:
        recipe: of the encoder.
        train_split: bytes and labels to train on, as ``of_classes`` gives them.
        test_split: the same, for the accuracy.
        out: where the folder goes.
        classes: their numbers in the data, for the record.
        quick: one epoch in place of the recipe's.

    Raises:
        ArgumentError: the folder is there, but was made from something else.
    """
    folder = out / recipe.name
    images, labels = chosen(recipe, *train_split, len(classes))
    epochs = min(recipe.epochs, 1) if quick else recipe.epochs
    plan: dict[str, Any] = {
        "family": recipe.family,
        "width": recipe.width,
        "pretext": recipe.pretext,
        "epochs": epochs,
        "noise": recipe.noise,
        "pictures": len(images),
        "classes": list(classes),
        "seed": recipe.seed,
    }
    if folder.exists():
        record: dict[str, Any] = json.loads((folder / "recipe.json").read_text())
        other = {key: record.get(key) for key, value in plan.items() if record.get(key) != value}
        if other:
            raise ArgumentError(
                f"expected {folder} to be made with { ({key: plan[key] for key in other}) }, got {other}. "
                f"Remove it, or take another OUT."
            )
        note(f"{recipe.name}: is there")
        return record
    began = time.perf_counter()
    model, head, loss = train(recipe, images, labels, len(classes), epochs)
    seconds = time.perf_counter() - began
    unfinished = out / f".{recipe.name}.part"
    shutil.rmtree(unfinished, ignore_errors=True)
    save(model, unfinished)
    encoder = read_back(unfinished)
    task = PRETEXTS.get(recipe.pretext)
    share = None
    if task is not None and task.asked is not None and task.of is not None and head is not None:
        share = share_right(encoder, head, *task.asked(*((images, labels) if "train" in task.of else test_split)))
    record = plan | {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(seconds, 1),
        "final_loss": loss,
        "accuracy": share,
        "accuracy_on": None if task is None else task.of,
    }
    (unfinished / "recipe.json").write_text(json.dumps(record, indent=2) + "\n")
    unfinished.rename(folder)
    told = [f"{seconds:.0f} s", *([] if loss is None else [f"loss {loss:.3f}"])]
    note(
        ", ".join([f"{recipe.name}: {encoder.record.dimension} dims, {encoder.record.pooling}", *told])
        + ("" if share is None else f", {share:.1%} of {task.of}" if task else "")
    )
    return record


def collect(out: Path) -> dict[str, dict[str, Any]]:
    """Write OUT/zoo.json from the records of all whole folders, and return it."""
    while True:
        there = [recipe.name for recipe in ALL if (out / recipe.name).exists()]
        found = {name: json.loads((out / name / "recipe.json").read_text()) for name in there}
        new = out / f".zoo.{os.getpid()}.part"
        new.write_text(json.dumps(found, indent=2) + "\n")
        new.replace(out / "zoo.json")
        # Another process may have finished one in between, and written before: then what is here is too old.
        if there == [recipe.name for recipe in ALL if (out / recipe.name).exists()]:
            return found


def shard(text: str) -> tuple[int, int]:
    """Read K/N of the command line."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"expected K/N with K from 1 to N, such as 1/2, got {text}")
    return int(part), int(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the encoders asked for that are not there yet."""
    options = parser(__doc__)
    options.add_argument("data", type=Path, help="folder with train.parquet and test.parquet of CIFAR-10")
    options.add_argument("out", type=Path, help="folder for the encoders and zoo.json")
    names = [recipe.name for recipe in ALL]
    options.add_argument("--list", choices=LISTS, default="first", help="of recipes; default first")
    options.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="which encoders; default the list's")
    options.add_argument("--shard", type=shard, default=(1, 1), metavar="K/N", help="each N-th encoder from the K-th")
    options.add_argument("--classes", type=int, nargs="+", default=CLASSES, help="to train on; default 0 1 2 3 4")
    options.add_argument("--threads", type=positive, default=1, help="of torch; default 1")
    asked = options.parse_args(arguments)
    torch.set_num_threads(asked.threads)
    part, parts = asked.shard
    listed = [recipe for recipe in ALL if recipe.name in asked.only] if asked.only else LISTS[asked.list]
    recipes = listed[part - 1 :: parts]
    try:
        splits = []
        for file in ("train.parquet", "test.parquet"):
            images, labels = of_classes(*pictures(asked.data / file), asked.classes)
            splits.append((images[:QUICK], labels[:QUICK]) if asked.quick else (images, labels))
        asked.out.mkdir(parents=True, exist_ok=True)
        for at, recipe in enumerate(recipes, start=1):
            note(f"[{at}/{len(recipes)}] {recipe.name}")
            make(recipe, splits[0], splits[1], asked.out, classes=asked.classes, quick=asked.quick)
            collect(asked.out)
    except SynBenchError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
