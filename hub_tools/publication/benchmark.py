"""The mixture as a benchmark dataset: recipes of a few bytes an image, and the tasks that scores are told for.

A model's score is no label of these rows: it is measured on images that are drawn from them. The dataset is what
published numbers name, and what a leaderboard of the Hub is made of.
"""

import tempfile
from pathlib import Path
from typing import Any

import yaml

from hub_tools.score.results import MIXTURE_REVISION, TASK_IDS

SHAPE = (3, 224, 224)
"""Of the images of the recipes. A score uses each encoder's own size."""

CONFIGS: dict[str, tuple[str, ...]] = {"population": ("test",), "paper": ("train", "test")}
"""Splits by protocol."""


def render_benchmark(repo_id: str) -> dict[str, bytes]:
    """Return the files of the benchmark dataset by their paths.

    Args:
        repo_id: where it is to stand.
    """
    return {
        "README.md": _card(repo_id).encode(),
        "eval.yaml": tasks().encode(),
        **{f"{config}/{split}.parquet": content for (config, split), content in _recipes().items()},
    }


def tasks() -> str:
    """Return ``eval.yaml``: every task with the recipes that it is measured on.

    It names no evaluation framework, as the Hub takes only those of a list of its own, and SynBench is not on it.
    """
    told: dict[str, Any] = {
        "name": "SynBench",
        "description": (
            "How much of the best robustness-accuracy trade-off of two Gaussian classes in image space a pretrained "
            "vision encoder keeps: 1 is all of it, 0 is nothing. Higher is better."
        ),
        "tasks": [{"id": task, "config": task.partition("_")[0], "split": "test"} for task in TASK_IDS],
    }
    text: str = yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=100)
    return text


def _recipes() -> dict[tuple[str, str], bytes]:
    from synbench.mixture import MixtureSpec
    from synbench.recipes import to_dataset, to_population_dataset

    spec = MixtureSpec(SHAPE)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for config, splits in CONFIGS.items():
            for split in splits:
                rows = to_population_dataset(spec) if config == "population" else to_dataset(spec, split=split)
                path = Path(folder) / "rows.parquet"
                rows.with_format(None).to_parquet(path)
                found[config, split] = path.read_bytes()
    return found


def _card(repo_id: str) -> str:
    told = {
        "pretty_name": "SynBench: class-conditional Gaussian mixture",
        "task_categories": ["image-feature-extraction"],
        "tags": ["synthetic", "robustness", "vision-encoder", "synbench"],
        "size_categories": ["100K<n<1M"],
        "configs": [
            {
                "config_name": config,
                **({"default": True} if config == "population" else {}),
                "data_files": [{"split": split, "path": f"{config}/{split}.parquet"} for split in splits],
            }
            for config, splits in CONFIGS.items()
        ],
    }
    front = yaml.safe_dump(told, sort_keys=False, allow_unicode=True)
    shape = " × ".join(map(str, SHAPE))
    return f"---\n{front}---\n\n" + _TEXT.format(repo_id=repo_id, shape=shape, revision=MIXTURE_REVISION)


_TEXT = """\
# SynBench: a class-conditional Gaussian mixture in image space

Two classes y ∈ {{0, 1}} with prior ½ and x | y ~ N(c ± s·μ̂, I): the pixel centre is c = 0.5, μ̂ has norm 1 and is the
same in every pixel, and the scale s sets the distance of the classes. Pixels are not clipped. The best trade-off
between accuracy and robustness of a classifier of such images is known in closed form; the SynBench-Score of an encoder
is the share of it that is left in its representations.

A row is a recipe: split, scale, label and index name an image of {shape}, which is drawn when the row is read, the
same one each time.

```python
from datasets import load_dataset
import synbench

rows = synbench.with_pixels(load_dataset("{repo_id}", "population", split="test", revision="{revision}"))
rows[0]["pixel_values"].shape, rows[0]["label"], rows[0]["scale"]
```

| config | rows | for |
|---|---|---|
| `population` | 8,192: each image has its own class and scale | today's scores |
| `paper` | 49 scales × 2 splits × 2,048 | comparison with published tables |

Labels, scales and draws depend on the seed, the protocol and the list of scales, not on the size of the images; the
pixels are drawn for a size. An encoder is scored at its own: `MixtureSpec((3, 384, 384)).to_population_dataset()` has
the same labels and scales. These rows are of seed 0. The revision `{revision}` is the version of the drawing: a score
names it, and any change that alters a pixel makes another one.

## Scores

Models tell their scores in `.eval_results/synbench.yaml`, or in their cards, for the tasks of `eval.yaml`: the
SynBench-Score at a_t = 0.7 by protocol and ε, and κ, the share of the images' discriminability that is kept. Higher is
better; every number comes with its standard error and the commit that was scored.

## Source

Ching-Yun Ko, Pin-Yu Chen, Payel Das, Jeet Mohapatra and Luca Daniel, "What Would Gauss Say About Representations?
Probing Pretrained Image Models using Synthetic Gaussian Benchmarks", ICML 2024, PMLR 235:24829-24858.
"""
