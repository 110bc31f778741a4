"""Representations with their labels, scales and splits: what an encoder leaves for the scoring stations."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64

from .errors import ArgumentError, RepresentationError
from .settings import SCALE_RESOLUTION, SPLITS, check_scales, scale_key


@dataclass(frozen=True)
class Representations:
    """A checked batch: one row an image.

    Attributes:
        values: n × d, float32, finite.
        labels: n classes, 0 or 1.
        scales: n scales s > 0.
        test: n flags, whether the image belongs to the test split; the population protocol has no splits.
        coordinates: n times μ̂ᵀη, where the image's noise lies along the class-mean direction; NaN if not known.
        draws: n numbers that name the noise: two images with one number are mirrored, the same noise shifted
            towards either class. −1 if not known, which counts as a draw of its own.
    """

    values: Float32[np.ndarray, "n d"]
    labels: Int64[np.ndarray, " n"]
    scales: Float64[np.ndarray, " n"]
    test: Bool[np.ndarray, " n"]
    coordinates: Float64[np.ndarray, " n"] = field(default_factory=lambda: np.empty(0))
    draws: Int64[np.ndarray, " n"] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __post_init__(self) -> None:
        if len(self.coordinates) != len(self.values):
            object.__setattr__(self, "coordinates", np.full(len(self.values), np.nan))
        if len(self.draws) != len(self.values):
            object.__setattr__(self, "draws", np.full(len(self.values), -1, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def splits(self) -> list[str]:
        """The split of each row, by name."""
        return [SPLITS[int(t)] for t in self.test]

    def select(self, rows: Bool[np.ndarray, " n"]) -> "Representations":
        """Return the rows that a mask chooses."""
        columns = (self.values, self.labels, self.scales, self.test, self.coordinates, self.draws)
        return Representations(*(column[rows] for column in columns))

    @classmethod
    def checked(
        cls,
        predictions: Any,
        references: Any,
        scales: Any,
        splits: Any = None,
        coordinates: Any = None,
        draws: Any = None,
    ) -> "Representations":
        """Make a batch from anything array-like: NumPy, torch, lists.

        Args:
            predictions: (n, d) representations, finite.
            references: n labels, 0 or 1.
            scales: n scales, or one for the whole batch.
            splits: n times ``"train"`` or ``"test"``, or one for the whole batch; needed by the paper protocol.
            coordinates: n times μ̂ᵀη, as ``MixtureSpec.to_dataset`` gives them, if known.
            draws: n numbers of the noise, likewise.

        Raises:
            RepresentationError: shape, finiteness or labels are not as expected.
            ArgumentError: scales are missing, or these or splits, coordinates or draws are not as expected.

        >>> batch = Representations.checked([[0.5, 1.0]], [1], 0.1, "train")
        >>> batch.values.shape, batch.splits
        ((1, 2), ['train'])
        """
        values = _array(predictions)
        if values.shape == (0,):
            values = values.reshape(0, 1)
        if values.dtype.kind not in "fiub" or values.ndim != 2 or values.shape[1] == 0:
            raise RepresentationError(
                f"expected representations of shape (n, d), numbers with d ≥ 1, got shape {values.shape} of "
                f"{values.dtype}. Pool or flatten the encoder's output to one vector an image."
            )
        n = len(values)
        with np.errstate(over="ignore"):
            # What float32 cannot hold becomes infinite, and is refused as such.
            values = np.ascontiguousarray(values, dtype=np.float32)
        check_finite(values)
        labels = _array(references)
        if labels.shape != (n,):
            raise RepresentationError(
                f"expected one label a representation, {n} in all, got labels of shape {labels.shape}. "
                f"Pass references= of shape ({n},)."
            )
        if labels.dtype.kind not in "fiub" or not np.isin(labels, (0, 1)).all():
            odd = [v for v in labels.tolist() if v not in (0, 1)][:3] or [f"dtype {labels.dtype}"]
            raise RepresentationError(
                f"expected labels 0 or 1, the two classes of the mixture, got {', '.join(map(repr, odd))}. "
                f"Pass the labels of the images as references=."
            )
        if scales is None:
            raise ArgumentError(
                "each image's scale has to be known: pass scales= (numbers, or one for the whole batch); for the "
                "paper protocol also splits= ('train' and 'test', or one for the whole batch)."
            )
        return cls(
            values,
            labels.astype(np.int64),
            _row_scales(scales, n),
            np.zeros(n, dtype=bool) if splits is None else _row_splits(splits, n),
            np.full(n, np.nan) if coordinates is None else _row_numbers("coordinates", coordinates, n, "f", 100.0),
            np.full(n, -1) if draws is None else _row_numbers("draws", draws, n, "iu", 2.0**62).astype(np.int64),
        )


def by_scale(batches: Sequence[Representations]) -> Iterator[Representations]:
    """Yield all rows of one scale after the other, in rising order of scale; one scale is copied at a time.

    Scales that agree to 1e-6 are one scale, and take its rounded value.

    Raises:
        RepresentationError: there are no rows, or rows of different width.
    """
    check_one_width(batches)
    keys = [np.rint(b.scales / SCALE_RESOLUTION).astype(np.int64) for b in batches]
    for key in np.unique(np.concatenate(keys)):
        rows = [k == key for k in keys]
        values, labels, test = (
            np.concatenate([getattr(b, name)[r] for b, r in zip(batches, rows, strict=True) if r.any()])
            for name in ("values", "labels", "test")
        )
        yield Representations(values, labels, np.full(len(values), round(int(key) * SCALE_RESOLUTION, 6)), test)


def check_one_width(batches: Sequence[Representations]) -> None:
    """Refuse batches of different width, and no rows at all.

    Raises:
        RepresentationError: there are no rows, or rows of different width.
    """
    widths = {b.values.shape[1] for b in batches if len(b)}
    if len(widths) != 1:
        came = f"widths {', '.join(map(str, sorted(widths)))}" if widths else "none"
        raise RepresentationError(
            f"expected representations of one width d, got {came}. Embed every image with the same encoder."
        )


def concatenate(parts: Iterable[Representations]) -> Representations:
    """Join batches of one width row after row."""
    columns = zip(*((p.values, p.labels, p.scales, p.test, p.coordinates, p.draws) for p in parts), strict=True)
    return Representations(*(np.concatenate(column) for column in columns))


def check_finite(values: Float[np.ndarray, "n d"]) -> None:
    """Refuse NaN and infinity.

    Raises:
        RepresentationError: some value is not finite.
    """
    # The sum is not finite when a value is not, and costs no array of flags; it can overflow, so look then.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum(dtype=np.float64)):
            return
    bad = int(np.count_nonzero(~np.isfinite(values).all(axis=1)))
    if bad:
        raise RepresentationError(
            f"expected finite representations, got NaN or infinity in {bad} of {len(values)} rows. "
            f"Use a wider precision (dtype='float32') and check the encoder's weights."
        )


def _array(values: Any) -> np.ndarray:
    """Turn NumPy arrays, torch tensors and (nested) lists of either into one array."""
    try:
        if isinstance(values, (list, tuple)) and values and hasattr(values[0], "detach"):
            values = [_array(v) for v in values]
        if hasattr(values, "detach"):
            values = values.detach().cpu()
            # NumPy has no bfloat16.
            values = (values.float() if values.is_floating_point() and values.element_size() < 4 else values).numpy()
        return np.asarray(values)
    except (TypeError, RuntimeError) as error:
        raise RepresentationError(
            f"expected a plain array, got {type(values).__name__} ({error}). Pass dense NumPy arrays, tensors or lists."
        ) from error
    except ValueError as error:
        raise RepresentationError(
            "expected rows of one width, got rows of different lengths. Embed every image with the same encoder."
        ) from error


def _row_scales(scales: Any, n: int) -> Float64[np.ndarray, " n"]:
    array = _array(scales)
    if array.dtype.kind not in "fiu" or array.shape not in ((), (n,)):
        raise ArgumentError(
            f"expected scales as {n} numbers, or one for the whole batch, got shape {array.shape} of {array.dtype}."
        )
    rows = np.broadcast_to(array.astype(np.float64), (n,)).copy()
    if n:
        # One of each kind: a scale in float32 and in float64 is the same scale.
        kinds = {scale_key(s) if np.isfinite(s) else s: s for s in np.unique(rows).tolist()}
        check_scales(list(kinds.values()))
    return rows


def _row_numbers(name: str, values: Any, n: int, kinds: str, most: float) -> np.ndarray:
    array = _array(values)
    if array.size and (array.dtype.kind not in kinds or array.shape != (n,) or np.any(np.abs(array) > most)):
        kind = "whole numbers" if kinds == "iu" else "numbers"
        raise ArgumentError(
            f"expected {name} as {n} {kind}, one an image and none beyond {most:g}, got shape {array.shape} of "
            f"{array.dtype}. Pass the column of the mixture's rows, or leave it out."
        )
    return array


def _row_splits(splits: Any, n: int) -> Bool[np.ndarray, " n"]:
    names = [splits] * n if isinstance(splits, str) or not hasattr(splits, "__iter__") else list(splits)
    if len(names) != n or any(str(name) not in SPLITS for name in names):
        odd = next((repr(name) for name in names if str(name) not in SPLITS), f"{len(names)} of them")
        raise ArgumentError(f"expected splits as {n} times 'train' or 'test', or one for the whole batch, got {odd}.")
    return np.array([str(name) == "test" for name in names], dtype=bool)
