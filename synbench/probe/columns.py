"""Which column of a dataset holds the pictures, and which the labels; and what the labels are called."""

from collections.abc import Sequence
from typing import Any

from synbench.errors import ArgumentError

_USUAL = ("label", "labels", "class", "target")


def image_column(dataset: Any, asked: str | None) -> str:
    """Return the column of pictures: the one asked for, or the only one of type ``Image``.

    Raises:
        ArgumentError: there is none, or more than one; the message names what there is.
    """
    from datasets import Image

    features = dataset.features
    if asked is not None:
        _check_there("image_column", asked, features)
        if not isinstance(features[asked], Image):
            raise ArgumentError(
                f"image_column must name a column of pictures, but {asked!r} is {_told(features[asked])}. "
                f"There is {_listed(features)}. Cast it by dataset.cast_column({asked!r}, datasets.Image())."
            )
        return asked
    found = [str(name) for name, feature in features.items() if isinstance(feature, Image)]
    if len(found) != 1:
        what = f"the columns of pictures {', '.join(found)}" if found else "no column of pictures"
        raise ArgumentError(f"expected one column of pictures, got {what} in {_listed(features)}. Pass image_column=.")
    return found[0]


def label_column(dataset: Any, asked: str | None) -> str:
    """Return the column of labels: the one asked for, the only ``ClassLabel``, or one of integers or strings.

    Raises:
        ArgumentError: there is none, or more than one; the message names what there is.
    """
    from datasets import ClassLabel

    features = dataset.features
    if asked is not None:
        _check_there("label_column", asked, features)
        if not _labels(features[asked]):
            raise ArgumentError(
                f"label_column must name classes, integers or strings, but {asked!r} is {_told(features[asked])}. "
                f"There is {_listed(features)}.{_castable(features, asked)}"
            )
        return asked
    for found in (
        [str(name) for name, feature in features.items() if isinstance(feature, ClassLabel)],
        [name for name, feature in features.items() if _labels(feature) and name in _USUAL],
        [name for name, feature in features.items() if _labels(feature)],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            raise ArgumentError(f"expected one column of labels, got {', '.join(found)}. Pass label_column=.")
    raise ArgumentError(
        f"expected a column of labels, got {_listed(features)}. Pass a dataset with classes; of a folder of pictures, "
        f"a folder for each class is expected, such as train/cat/1.png.{_castable(features, *_USUAL)}"
    )


def class_names(dataset: Any, column: str) -> tuple[list[str | None], list[str]]:
    """Return the name of the class of each row, None where it has none, and all names in their order.

    Args:
        dataset: a ``datasets.Dataset``.
        column: of labels. An integer below 0 is none, of a ``ClassLabel`` or not.
    """
    from datasets import ClassLabel

    feature = dataset.features[column]
    values = dataset.with_format("arrow").select_columns([column])[:].column(0).to_pylist()
    if isinstance(feature, ClassLabel):
        names = list(feature.names)
        known = [v is not None and 0 <= v < len(names) for v in values]
        return [names[v] if k else None for v, k in zip(values, known, strict=True)], names
    values = [None if isinstance(v, int) and v < 0 else v for v in values]
    return [None if v is None else str(v) for v in values], [str(v) for v in sorted({*values} - {None})]


def chosen_classes(asked: Sequence[str | int] | None, names: Sequence[str]) -> list[str] | None:
    """Return the names of the classes that were asked for; integers are names, or places among them.

    Raises:
        ArgumentError: there is no such class, or one comes twice.

    >>> chosen_classes([1, "cat"], ["cat", "dog"])
    ['dog', 'cat']
    """
    if asked is None:
        return None
    if isinstance(asked, (str, int)):
        raise ArgumentError(f"classes must be a list of names, such as ['cat', 'dog'], got {asked!r}.")
    found = []
    for value in asked:
        name = str(value)
        if name not in names and name.isdigit() and int(name) < len(names):
            name = names[int(name)]
        if name not in names:
            few = ", ".join(names[:10]) + ", …" * (len(names) > 10)
            raise ArgumentError(f"classes must be among those of the dataset ({few}), got {value!r}.")
        found.append(name)
    if len(set(found)) < len(found):
        raise ArgumentError(f"classes must differ from each other, got {list(asked)}. Remove the duplicates.")
    return found


def _check_there(name: str, asked: str, features: Any) -> None:
    if asked not in features:
        raise ArgumentError(f"{name} must be one of the dataset's columns, {_listed(features)}, got {asked!r}.")


def _labels(feature: Any) -> bool:
    from datasets import ClassLabel, Value

    if isinstance(feature, ClassLabel):
        return True
    return isinstance(feature, Value) and (
        feature.dtype in ("bool", "string", "large_string") or feature.dtype.startswith(("int", "uint"))
    )


def _castable(features: Any, *names: str) -> str:
    found = [name for name in names if name in features and _told(features[name]).startswith(("float", "double"))]
    if not found:
        return ""
    return (
        f" Labels in floating point may be no classes: cast them to integers or strings, by "
        f"dataset.cast_column({found[0]!r}, datasets.Value('int64'))."
    )


def _told(feature: Any) -> str:
    return getattr(feature, "dtype", None) or type(feature).__name__


def _listed(features: Any) -> str:
    return ", ".join(f"{name} ({_told(feature)})" for name, feature in features.items())
