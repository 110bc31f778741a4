"""The paper protocol: at each scale fit on the train images, evaluate on the test images.

It follows the authors' script, and differs from it, unless ``as_published`` is set, in three ways:
the eigenvalue cut-off is relative to the largest (theirs, 1e-6 absolute, depends on the units of the
representation), bounds and accuracies are averaged over images (theirs over batches of 256, the last
one smaller), and statistics are float64 throughout (theirs partly float32).

The protocol is biased by the width of the representation: C is estimated from n train images, so that
for d/n of 0.1 and more the classifier is clearly weaker than the best, and the score too low.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Float

from . import classifier
from .curve import TradeOff
from .errors import RepresentationError
from .representations import Representations

PUBLISHED_BATCH = 256
"""The authors' script averages over batches of this many test images."""

_WIDE, _MUCH = 0.1, 0.01


def estimate(scales: Iterable[Representations], epsilons: Sequence[float], *, as_published: bool = False) -> TradeOff:
    """Estimate the trade-off from representations that come one whole scale at a time.

    Args:
        scales: for each scale, all its rows, train and test in any order. Each is dropped
            before the next is asked for.
        epsilons: robustness levels in [0, 1).
        as_published: reproduce the authors' script.

    Raises:
        RepresentationError: a split is missing, a class is missing from one, or the representations
            do not vary; the message names the scale.

    >>> rng = np.random.default_rng(0)
    >>> labels, test = np.arange(4000) % 2, np.arange(4000) >= 2000
    >>> z = rng.standard_normal((4000, 2)).astype(np.float32)
    >>> z[:, 0] += 2 * labels - 1
    >>> found = estimate([Representations(z, labels, np.ones(4000), test)], [0.0])
    >>> bool(abs(found.accuracy[0, 0] - 0.8413) < 0.02)
    True
    """
    columns, found_scales, images, dimension, fewest, dropped = [], [], 0, 0, 0, 0.0
    for rows in scales:
        scale, dimension, images = float(rows.scales[0]), rows.values.shape[1], images + len(rows)
        try:
            found, share = _one_scale(rows, epsilons, as_published)
        except RepresentationError as error:
            raise RepresentationError(f"at scale {scale:g}: {error}") from error
        columns.append(found)
        dropped = max(dropped, share)
        found_scales.append(scale)
        train = int(np.count_nonzero(~rows.test))
        fewest = min(fewest or train, train)
    accuracy, bound, *errors = (np.stack(side, axis=1) for side in zip(*columns, strict=True))
    warnings = _warnings(dimension, fewest, dropped)
    return TradeOff(tuple(found_scales), accuracy, bound, images, dimension, warnings, errors[0], errors[1])


def _one_scale(
    rows: Representations, epsilons: Sequence[float], as_published: bool
) -> tuple[tuple[Float[np.ndarray, " e"], ...], float]:
    """Return accuracy, bound and their standard errors by ε, and the share of ‖μ‖² in directions left out."""
    train, test = ~rows.test, rows.test
    for name, mask in (("train", train), ("test", test)):
        if not mask.any():
            raise RepresentationError(
                f"expected train and test representations, got no {name} rows of {len(rows)}. "
                f"Add rows with splits={name!r}: the classifier is fitted on one split and judged on the other."
            )
        if len(np.unique(rows.labels[mask])) < 2:
            raise RepresentationError(
                f"expected both classes in the {name} split, got only class {rows.labels[mask][0]} in "
                f"{np.count_nonzero(mask)} rows. Add {name} images of the other class."
            )
    found = classifier.moments(rows.values[train], rows.labels[train])
    basis = classifier.spectrum(found, absolute_cutoff=classifier.ABSOLUTE_CUTOFF if as_published else None)
    directions = classifier.robust_directions(basis, epsilons)
    correct, bound = classifier.trade_off(directions, found, rows.values[test], rows.labels[test])
    size = PUBLISHED_BATCH if as_published else len(correct)
    values = average(correct, bound, size)
    # How well w'μ, by which every bound is divided, is known from the train images: 1/(κ√n), relative.
    spread = np.einsum("ed,df,ef->e", directions, found.covariance, directions) / np.count_nonzero(train)
    unit = np.sqrt(spread) / np.abs(directions @ found.half_difference)
    return (*values, *standard_errors(correct, bound, values[1], unit)), basis.dropped


def average(
    correct: Bool[np.ndarray, "n e"], bound: Float[np.ndarray, "n e"], size: int
) -> tuple[Float[np.ndarray, " e"], Float[np.ndarray, " e"]]:
    """Return the mean over batches of ``size`` of their accuracies and of their mean bounds of correct samples.

    A batch without a correct sample has no bound and is left out; without any, the bound is NaN.

    >>> correct = np.array([[True], [False], [True]])
    >>> average(correct, np.array([[1.0], [9.0], [2.0]]), 3)
    (array([0.66666667]), array([1.5]))
    """
    starts = np.arange(0, len(correct), size)
    hits = np.add.reduceat(correct, starts, axis=0, dtype=np.int64)
    sums = np.add.reduceat(np.where(correct, bound, 0.0), starts, axis=0)
    counts = np.minimum(starts + size, len(correct)) - starts
    present = (hits > 0).sum(axis=0)
    means = np.divide(sums, hits, out=np.zeros_like(sums), where=hits > 0).sum(axis=0)
    mean_bound = np.divide(means, present, out=np.full_like(means, np.nan), where=present > 0)
    return (hits / counts[:, None]).mean(axis=0), mean_bound


def standard_errors(
    correct: Bool[np.ndarray, "n e"],
    bound: Float[np.ndarray, "n e"],
    mean_bound: Float[np.ndarray, " e"],
    unit: Float[np.ndarray, " e"],
) -> tuple[Float[np.ndarray, " e"], Float[np.ndarray, " e"]]:
    """Return the standard errors of accuracy and mean bound that come from the number of images.

    That of an accuracy is binomial, with one hit and one miss added so that it is never 0. That of a bound joins the
    spread of the bounds and ``unit``, the relative error of w'μ.

    >>> correct, bound = np.array([[True], [True], [False], [True]]), np.array([[1.0], [2.0], [0.5], [3.0]])
    >>> accuracy, mean = standard_errors(correct, bound, np.array([2.0]), np.array([0.0]))
    >>> print(f"{accuracy[0]:.4f} {mean[0]:.4f}")
    0.2357 0.5774
    """
    n, hits = len(correct), np.count_nonzero(correct, axis=0)
    share = (hits + 1) / (n + 2)
    deviation = np.where(correct, bound - np.nan_to_num(mean_bound), 0.0)
    spread = (deviation**2).sum(axis=0) / np.maximum(hits - 1, 1)
    error = np.sqrt(spread / np.maximum(hits, 1) + (np.nan_to_num(mean_bound) * unit) ** 2)
    return np.sqrt(share * (1 - share) / n), error


def _warnings(dimension: int, train: int, dropped: float) -> tuple[str, ...]:
    """Say so where C is estimated from too few images, or where directions left out hold part of μ."""
    if dimension <= _WIDE * train:
        if dropped <= _MUCH:
            return ()
        return (
            f"Up to {dropped:.0%} of the squared difference between the class means lies in directions that do not "
            f"vary within a class. They are left out, although they separate the classes perfectly: the score says "
            f"little. Look for saturated, quantized or badly scaled coordinates.",
        )
    remedy = f"Compare only encoders of like width, or raise samples to {10 * dimension} or more."
    if dimension > train - 2:
        return (
            f"The representation has {dimension} dimensions but only {train} train images a scale: its covariance is "
            f"singular, the classifier sees at most {train - 2} directions, and the score says little. {remedy}",
        )
    return (
        f"The representation has {dimension} dimensions and its covariance is estimated from {train} train images a "
        f"scale: the paper protocol then scores too low. {remedy}",
    )
