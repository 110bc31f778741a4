"""Which pictures of a dataset are fitted on, and which are tested on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int

from synbench.errors import ArgumentError

from . import columns
from .opening import Opened
from .pictures import Pictures
from .subsets import HELD_OUT, SUBSET, stratified

_HELD_OUT = 5
"""Without a split to test on, one row in so many is held out."""

_FEWEST = 3
"""Of a class with fewer nothing is held out: two are fitted to."""


@dataclass(frozen=True)
class Chosen:
    """What is fitted on and what is tested on.

    Attributes:
        train: pictures to fit on.
        test: pictures to test on.
        classes: names, in the order of the labels.
        image_column: where the pictures are.
        label_column: where the labels are.
        warnings: what there is to say about it.
    """

    train: Pictures
    test: Pictures
    classes: list[str]
    image_column: str
    label_column: str
    warnings: list[str] = field(default_factory=list)


def choose(
    opened: Opened,
    *,
    train_split: str = "train",
    test_split: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    classes: Sequence[str | int] | None = None,
    train_images: int | None = 5000,
    test_images: int | None = 2000,
    seed: int = 0,
) -> Chosen:
    """Choose pictures to fit and to test on: seeded, and of each class its share.

    Args:
        opened: the dataset.
        train_split: where to take pictures to fit on.
        test_split: likewise to test on; by default ``test``, else ``validation`` or ``valid``, else one in five of
            the pictures to fit on are held out, which a warning tells.
        image_column: by default the only column of pictures.
        label_column: by default the only column of classes, or of integers or strings.
        classes: names of some of them, two or more; by default all that there are to fit on.
        train_images: how many, ``None`` for all; of each class at least two.
        test_images: how many, ``None`` for all.
        seed: of the choice.

    Raises:
        ArgumentError: there is no such split, column or class, or too few pictures.
    """
    train = _split(opened, train_split, "train_split")
    image_column, label_column = columns.image_column(train, image_column), columns.label_column(train, label_column)
    said, all_names = columns.class_names(train, label_column)
    asked, warnings = columns.chosen_classes(classes, all_names), list[str]()
    present = {*said} - {None}
    names = [name for name in all_names if name in present and (asked is None or name in asked)]
    if asked is not None and (absent := [name for name in asked if name not in names]):
        raise ArgumentError(f"there is no picture of {absent[0]!r} in the split {train_split!r}. Leave that class out.")
    left_out = said.count(None)
    if len(names) < 2:
        none = (
            f" {left_out:,} pictures have no label in the column {label_column!r}: if integers below 0 are classes "
            f"there, cast them, by dataset.cast_column({label_column!r}, datasets.Value('string'))."
        )
        raise ArgumentError(
            f"expected pictures of two classes or more in the split {train_split!r}, got {len(names)}. "
            f"Pass another train_split= or label_column=.{none * bool(left_out)}"
        )
    if left_out:
        warnings.append(f"{left_out:,} pictures of the split {train_split!r} have no label, and were left out.")
    labels = _indices(said, names)
    found = _test_labels(opened, train_split, test_split, label_column, names, warnings)
    if found is not None and classes is None and (others := len(found[2]) - int((found[2] >= 0).sum())):
        warnings.append(f"{others:,} pictures of the split {found[0]!r} have another label or none, and were left out.")
    if found is None:
        held = _held_out(labels, seed, train_split, label_column)
        warnings.append(
            f"There is no split to test on, so {len(held):,} of the {int((labels >= 0).sum()):,} pictures of "
            f"{train_split!r} were held out for that. Pass test_split= if there is another."
        )
        if spared := len(names) - len(np.unique(labels[held])):
            warnings.append(
                f"{spared} of {len(names)} classes have fewer than {_FEWEST} pictures in {train_split!r}: all of these "
                f"are fitted to, and none is tested on."
            )
        test_name, test, test_labels = train_split, train, np.full_like(labels, -1)
        test_labels[held], labels = labels[held], labels.copy()
        labels[held] = -1
    else:
        test_name, test, test_labels = found
        columns.image_column(test, image_column)
    counts = np.bincount(labels[labels >= 0], minlength=len(names))
    if (counts < 2).any():
        few = [name for name, count in zip(names, counts, strict=True) if count < 2]
        raise ArgumentError(
            f"expected two pictures or more of every class to fit on, got {counts.min()} of {few[0]!r} in the column "
            f"{label_column!r}. Leave that class out by classes=, or pass another label_column=."
        )
    fit = _subset(labels, train_images, [seed, SUBSET, 0], least=2)
    tried = _subset(test_labels, test_images, [seed, SUBSET, 1], least=1)
    return Chosen(
        Pictures(train, image_column, train_split, fit, labels[fit]),
        Pictures(test, image_column, test_name, tried, test_labels[tried]),
        names,
        image_column,
        label_column,
        warnings,
    )


def _split(opened: Opened, name: str, argument: str) -> Any:
    if name not in opened.splits:
        raise ArgumentError(
            f"{argument} must be one of the splits of {opened.id!r}, {', '.join(map(repr, opened.splits))}, got "
            f"{name!r}."
        )
    return opened.splits[name]


def _test_labels(
    opened: Opened, train_split: str, asked: str | None, label: str, names: list[str], warnings: list[str]
) -> "tuple[str, Any, Int[np.ndarray, ' n']] | None":
    """Return the split to test on with its labels; None if there is no such split."""
    if asked is not None:
        tried = [asked]
        if asked == train_split:
            raise ArgumentError(
                f"test_split must be another split than train_split, got {asked!r} for both. Leave it out to hold out "
                f"a part of {asked!r}."
            )
    else:
        tried = [n for n in ("test", "validation", "valid") if n in opened.splits and n != train_split]
    for name in tried:
        split = _split(opened, name, "test_split")
        if asked is None and label not in split.features:
            warnings.append(f"The split {name!r} has no column {label!r}, and was not used.")
            continue
        said = columns.class_names(split, columns.label_column(split, label))[0]
        labels = _indices(said, names)
        if (labels >= 0).any():
            if missing := len(names) - len(np.unique(labels[labels >= 0])):
                warnings.append(f"{missing} of {len(names)} classes have no picture in the split {name!r}.")
            return name, split, labels
        if asked is not None:
            raise ArgumentError(f"no picture of the split {name!r} has a label of the classes. Pass another.")
        warnings.append(f"The split {name!r} has no labels of these classes, and was not used.")
    return None


def _indices(said: list[str | None], names: list[str]) -> Int[np.ndarray, " n"]:
    order = {name: at for at, name in enumerate(names)}
    return np.array([-1 if name is None else order.get(name, -1) for name in said], dtype=np.int64)


def _subset(labels: Int[np.ndarray, " n"], wanted: int | None, seed: list[int], least: int) -> Int[np.ndarray, " m"]:
    rows = np.flatnonzero(labels >= 0)
    if wanted is not None:
        rows = rows[stratified(labels[rows], wanted, seed, least)]
    return rows


def _held_out(labels: Int[np.ndarray, " n"], seed: int, split: str, column: str) -> Int[np.ndarray, " m"]:
    """Return the rows to test on: of each class its share, so that two or more of it are left to fit on."""
    counts = np.bincount(labels[labels >= 0])
    if counts.max() < _FEWEST:
        raise ArgumentError(
            f"expected a class of {_FEWEST} pictures or more in the split {split!r}, as there is no split to test on "
            f"and one in {_HELD_OUT} is held out for that, got at most {counts.max()} in the column {column!r}. Pass "
            f"test_split=, another label_column=, or a dataset with more pictures."
        )
    rows = np.flatnonzero((labels >= 0) & (counts[labels] >= _FEWEST))
    few = len(np.unique(labels[rows]))
    held = np.asarray(rows[stratified(labels[rows], max(len(rows) // _HELD_OUT, few), [seed, HELD_OUT])])
    return np.sort(np.concatenate([held[labels[held] == k][: max(n - 2, 0)] for k, n in enumerate(counts)]))
