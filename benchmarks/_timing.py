"""What the benchmarks share: their options, alternated timing, ratios, and the table they print."""

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path


@dataclass(frozen=True)
class Spread:
    """The median of some numbers, with the least and the largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        numbers = list(values)
        return cls(statistics.median(numbers), min(numbers), max(numbers))

    def percent(self) -> str:
        return f"{self.median:.1%} ({self.low:.1%} to {self.high:.1%})"

    def times(self) -> str:
        return f"{self.median:.3g}x ({self.low:.3g} to {self.high:.3g})"


REST = 0.3
"""Seconds; OpenBLAS and OpenMP threads wait for more work for about 0.1 before they sleep."""


def alternate(sides: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Run all sides once to warm up, then in turn (A B A B ...), and return the seconds of every turn.

    Before each turn comes a short rest: the threads that one side's library leaves awake must not slow the other.
    """
    for run in sides.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeats):
        for name, run in sides.items():
            time.sleep(REST)
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
        note("  " + ", ".join(f"{name} {seconds[name][-1]:.4g} s" for name in sides) + f" ({turn + 1}/{repeats})")
    return seconds


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Return the spread of the ratios turn by turn: each pair ran side by side, under the same load."""
    return Spread.of(a / b for a, b in zip(above, below, strict=True))


def parser(doc: str, *, repeats: int | None = None) -> argparse.ArgumentParser:
    """Return the options of every benchmark; its docstring is its help."""
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="a smoke run of seconds; its numbers mean nothing")
    if repeats is not None:
        options.add_argument("--repeats", type=positive, default=repeats, help=f"turns of each side; default {repeats}")
    return options


def positive(text: str) -> int:
    """Read a positive integer of the command line."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, got {text}")
    return number


def note(text: str) -> None:
    """Report progress."""
    print(text, file=sys.stderr, flush=True)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, quick: bool) -> None:
    """Print the machine and a Markdown table."""
    print(f"{machine()}{'. A smoke run: these numbers mean nothing' if quick else ''}.\n")
    for cells in (headings, ["---"] * len(headings), *rows):
        print(f"| {' | '.join(str(cell) for cell in cells)} |")
    print()


def markdown(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table under a title."""
    lines = [f"**{title}**", ""]
    lines += [f"| {' | '.join(map(str, cells))} |" for cells in (headings, ["---"] * len(headings), *rows)]
    return "\n".join([*lines, ""])


def machine() -> str:
    """Return cores, processor and versions, on one line."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in ("torch", "numpy", "scipy"))
    return f"{os.cpu_count()} cores ({name}), Python {platform.python_version()}, {versions}"


def vit_tiny():
    """Return a ViT-Tiny for 224 x 224 with random weights."""
    return _vit(192, 3)


def vit_base():
    """Return a ViT-B/16 for 224 x 224 with random weights."""
    return _vit(768, 12)


def _vit(width: int, heads: int):
    from transformers import ViTConfig, ViTModel

    sizes = {"hidden_size": width, "num_hidden_layers": 12, "num_attention_heads": heads}
    return _seeded(ViTModel, ViTConfig(**sizes, intermediate_size=4 * width, patch_size=16, image_size=224))


def resnet18():
    """Return a ResNet-18 with random weights."""
    from transformers import ResNetConfig, ResNetModel

    sizes = {"embedding_size": 64, "hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2]}
    return _seeded(ResNetModel, ResNetConfig(**sizes, layer_type="basic"))


def _seeded(model, config):
    import torch

    torch.manual_seed(0)
    return model(config)
