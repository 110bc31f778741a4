"""Mixtures as ``datasets`` objects: a table of recipes whose pixels are drawn when they are read.

A row names its image (split, scale, label, index) in a few bytes; ``pixel_values`` is drawn on the
CPU when the row is read, the same each time, in any order and from any process. The mixture's spec
travels as the one class name of the column ``mixture``, so it survives ``save_to_disk`` and
``push_to_hub`` and costs nothing a row. After loading, ``with_pixels`` attaches the drawing again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np

from .design import Design, design
from .drawing import draw, draw_population
from .errors import ArgumentError
from .mixture import MixtureSpec
from .settings import IMAGES, SAMPLES, SPLITS, check_integer

_COLUMNS = ("mixture", "split", "scale", "label", "index")
_PLACE = {"split", "scale", "label", "index"}
_POPULATION = "population"


def to_dataset(spec: MixtureSpec, samples: int = SAMPLES, split: str | None = None) -> "Recipes":
    """Return the table of recipes of a mixture, with ``pixel_values`` drawn on reading.

    Args:
        spec: the mixture.
        samples: images per scale and split, at least 2.
        split: ``"train"``, ``"test"``, or both by default.

    Rows come scale by scale, train before test, by index. Reading a row gives ``pixel_values``
    (float32, channels × height × width, unclipped, centred at 0.5), ``split``, ``scale``, ``label``
    and ``index``.

    Raises:
        ArgumentError: ``samples`` or ``split`` is out of range.

    >>> rows = to_dataset(MixtureSpec((3, 8, 8), scales=[0.5, 1.0]), samples=4)
    >>> len(rows), rows[0]["pixel_values"].shape, rows[0]["split"]
    (16, (3, 8, 8), 'train')
    """
    check_integer("samples", samples, least=2, remedy="the paper uses 2048 per scale and split")
    if split not in (*SPLITS, None):
        raise ArgumentError(f"split must be 'train', 'test' or None for both, got {split!r}.")
    splits = SPLITS if split is None else (split,)
    parts = [(s, name) for s in spec.scales for name in splits]
    table = {
        "mixture": np.zeros(samples * len(parts), dtype=np.int64),
        "split": np.repeat([name for _, name in parts], samples),
        "scale": np.repeat([s for s, _ in parts], samples),
        "label": np.concatenate([spec.labels(name, s, samples) for s, name in parts]),
        "index": np.tile(np.arange(samples), len(parts)),
    }
    return Recipes(datasets.Dataset.from_dict(table, features=_features(spec)), spec)


def to_population_dataset(spec: MixtureSpec, images: int = IMAGES) -> "Recipes":
    """Return the recipes of the population protocol, with ``pixel_values`` drawn on reading.

    Args:
        spec: the mixture.
        images: rows in all, at least 64.

    Rows are as those of ``to_dataset``, with ``split`` "population", each with its own class and scale; reading one
    also gives ``draw``, the number of its noise, and ``coordinate``, μ̂ᵀη. Handing both on with the representation
    makes the estimate sharper.

    Raises:
        ArgumentError: ``images`` is out of range.

    >>> rows = to_population_dataset(MixtureSpec((3, 8, 8)), images=64)
    >>> len(rows), rows[:2]["draw"], rows[0]["label"] + rows[1]["label"]
    (64, [0, 0], 1)
    """
    check_integer("images", images, least=64, remedy=f"{IMAGES} give an error of about 1 %")
    made = design(spec, 0, images)
    table = {
        "mixture": np.zeros(images, dtype=np.int64),
        "split": [_POPULATION] * images,
        "scale": made.scales,
        "label": made.labels,
        "index": np.arange(images),
        "draw": made.draws,
    }
    return Recipes(datasets.Dataset.from_dict(table, features=_features(spec, "draw")), spec)


def to_iterable_dataset(
    spec: MixtureSpec, samples: int = SAMPLES, split: str | None = None, num_shards: int = 1
) -> datasets.IterableDataset:
    """Return the same rows as an ``IterableDataset`` in ``num_shards`` shards, for loaders with workers.

    Raises:
        ArgumentError: as ``to_dataset``, or ``num_shards`` is not a positive integer.
    """
    check_integer("num_shards", num_shards, least=1, remedy="one shard per loader worker is enough")
    plain = to_dataset(spec, samples, split).with_format(None)
    if num_shards > len(plain):
        raise ArgumentError(f"num_shards must be at most the number of rows, {len(plain)}, got {num_shards}.")
    return _map_pixels(plain.to_iterable_dataset(num_shards=num_shards), DrawPixels(spec))


def with_pixels(rows: Any, direction: Sequence[Any] | np.ndarray | None = None) -> Any:
    """Attach the drawing of pixels to recipes that were loaded from a disk or from the Hub.

    Args:
        rows: what ``load_from_disk`` or ``load_dataset`` returned, with or without streaming, or a dict of these.
        direction: the class-mean direction, if the mixture was made with an array of its own.

    Raises:
        ArgumentError: the rows are not recipes, or were written for another renderer.
    """
    if isinstance(rows, dict):
        # load_dataset without split= gives a dict of them.
        return type(rows)({name: with_pixels(part, direction) for name, part in rows.items()})
    features = getattr(rows, "features", None) or {}
    missing = [c for c in _COLUMNS if c not in features]
    if missing or not isinstance(features["mixture"], datasets.ClassLabel):
        raise ArgumentError(
            f"expected recipes with the columns {', '.join(_COLUMNS)}, but {', '.join(missing or ['the spec'])} "
            f"is missing. "
            f"Make them with MixtureSpec.to_dataset()."
        )
    spec = MixtureSpec.from_json(features["mixture"].names[0], direction)
    if isinstance(rows, datasets.IterableDataset):
        return _map_pixels(rows, DrawPixels(spec))
    return Recipes(rows.with_format(None), spec)


@dataclass(frozen=True)
class DrawPixels:
    """A picklable transform from a batch of recipes to the same batch with its ``pixel_values``."""

    spec: MixtureSpec

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, Any]:
        """Draw the pixels of a batch, one split and scale after the other."""
        if not _PLACE.issubset(batch):
            # Only some columns were asked for, as by filter(input_columns=...).
            return batch
        if batch["split"] and batch["split"][0] == _POPULATION:
            return self._population(batch)
        pixels = np.empty((len(batch["index"]), *self.spec.image_shape), dtype=np.float32)
        places = list(zip(batch["split"], batch["scale"], strict=True))
        for place in dict.fromkeys(places):
            rows = [i for i, other in enumerate(places) if other == place]
            index, labels = ([batch[c][i] for i in rows] for c in ("index", "label"))
            pixels[rows] = draw(self.spec, *place, index, labels).numpy()
        return {"pixel_values": pixels, **{c: batch[c] for c in _COLUMNS if c in _PLACE}}

    def _population(self, batch: dict[str, list[Any]]) -> dict[str, Any]:
        """Draw the pixels of a batch of the population protocol, where scale and class are the row's own."""
        columns = {c: batch[c] for c in (*_COLUMNS, "draw") if c in _PLACE or c == "draw"}
        rows = Design(*(np.asarray(batch[c]) for c in ("label", "scale", "draw")))
        images, coordinates = draw_population(self.spec, rows)
        return {"pixel_values": images.numpy(), **columns, "coordinate": coordinates.tolist()}


class Recipes(datasets.Dataset):
    """A ``Dataset`` of recipes that draws pixels on reading and stores only the recipes."""

    def __init__(self, rows: datasets.Dataset, spec: MixtureSpec) -> None:
        # The state of a Dataset is its attributes: taken over whole, then the drawing is attached.
        self.__dict__.update(rows.__dict__)
        self.set_transform(DrawPixels(spec))

    def save_to_disk(self, *args: Any, **kwargs: Any) -> None:
        """Store the recipes, as ``Dataset.save_to_disk``; ``with_pixels`` attaches the drawing after loading."""
        plain = datasets.Dataset(self.data, self.info, self.split, self._indices, self._fingerprint)
        plain.save_to_disk(*args, **kwargs)


def _features(spec: MixtureSpec, *more: str) -> datasets.Features:
    return datasets.Features(
        {
            "mixture": datasets.ClassLabel(names=[spec.to_json()]),
            "split": datasets.Value("string"),
            "scale": datasets.Value("float64"),
            "label": datasets.Value("int64"),
            "index": datasets.Value("int64"),
            **{name: datasets.Value("int64") for name in more},
        }
    )


def _map_pixels(rows: datasets.IterableDataset, transform: DrawPixels) -> datasets.IterableDataset:
    return rows.map(transform, batched=True, batch_size=transform.spec.block, remove_columns=["mixture"])
