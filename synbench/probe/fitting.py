"""Choosing C by cross-validation, and fitting one probe per ε."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from synbench.entries import Entry
from synbench.errors import ArgumentError

from .kept import once
from .subsets import fold_of

_TOLERANCE = 1e-3
"""Of the fits that only choose C; the last one is made to the probe's own."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Fitted:
    """A probe, and how its C was chosen.

    Attributes:
        epsilon: of the probe.
        C: with the best cross-validated score; the smallest of equal ones.
        cv_score: that score.
        probe: fitted on all rows.
        warnings: what there is to say.
    """

    epsilon: float
    C: float
    cv_score: float
    probe: Any
    warnings: list[str]


def estimator(**how: Any) -> Any:
    """Return an unfitted robust probe.

    Raises:
        ArgumentError: scikit-learn is not installed.
    """
    try:
        from .robust import RobustLinearProbe
    except ImportError as error:
        raise ArgumentError(
            f"probing needs scikit-learn ({error}). Install it by pip install 'synbench[probe]'."
        ) from error
    return RobustLinearProbe(**how)


def fit(
    representations: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    epsilon: float,
    Cs: Sequence[float],  # noqa: N803
    folds: int,
    seed: int,
    done: Callable[[int], object] = lambda _: None,
    entry: Entry | None = None,
) -> Fitted:
    """Choose C for one ε, and fit with it on all rows.

    The score is what the probe of that ε is for: the share of held-out rows that are right everywhere in the ball of
    radius ε·ρ, ρ of the training folds. For ε = 0 that is plain accuracy.

    Args:
        representations: centred and scaled.
        labels: classes as integers; two rows or more of each.
        epsilon: of the probe.
        Cs: to choose from, rising. Of one there is nothing to choose; it is scored all the same.
        folds: of the cross-validation, which are the same for every ε and C.
        seed: of the folds.
        done: told each fit.
        entry: where fits are read from and kept; what is finished stays when the run is interrupted.
    """
    # There are no more folds than rows.
    folds = min(folds, len(labels))
    fold, notes = fold_of(labels, folds, seed), list[str]()
    scores = np.zeros(len(Cs))
    with warnings.catch_warnings():
        # A fit that only chooses may stop early; the last one is told.
        warnings.simplefilter("ignore")
        for number, C in enumerate(Cs):  # noqa: N806
            for out in np.unique(fold):
                judge = partial(_judged, representations, labels, fold == out, epsilon, C)
                (score,) = once(entry, "scores", number * folds + int(out), judge)
                scores[number] += score * np.mean(fold == out)
                done(1)
    best = int(np.argmax(scores))
    numbers = once(entry, "probe", best, partial(_fitted, representations, labels, epsilon, Cs[best]))
    probe, told = _rebuilt(numbers, representations, labels, epsilon, Cs[best])
    done(1)
    notes += [f"The probe of ε = {epsilon:g}: {message}" for message in told]
    if len(Cs) > 2 and best in (0, len(Cs) - 1) and scores[best] > scores[1 if best == 0 else -2]:
        where = "smallest" if best == 0 else "largest"
        notes.append(f"The best C of ε = {epsilon:g} is the {where} that was tried, {Cs[best]:g}. Pass other Cs=.")
    chance = float(np.unique(labels, return_counts=True)[1].max() / len(labels))
    if scores[best] <= chance + _ROUNDING:
        notes.append(
            f"The best cross-validated score of ε = {epsilon:g}, {100 * scores[best]:.1f} %, is not above the share of "
            f"the largest class, {100 * chance:.1f} %: that probe is not shown to read anything within its ball. Take "
            f"more training pictures, or look whether the labels fit the pictures."
        )
    return Fitted(epsilon, float(Cs[best]), float(min(scores[best], 1.0)), probe, notes)


def _judged(
    representations: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    held: Bool[np.ndarray, " n"],
    epsilon: float,
    C: float,  # noqa: N803
) -> Float64[np.ndarray, " 1"]:
    probe = estimator(epsilon=epsilon, C=C, tol=_TOLERANCE).fit(representations[~held], labels[~held])
    return np.array([probe.robust_score(representations[held], labels[held])])


def _fitted(
    representations: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    epsilon: float,
    C: float,  # noqa: N803
) -> Float64[np.ndarray, " m"]:
    """Return all numbers of a fitted probe in a row, and behind them the characters of what it warned of."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        probe = estimator(epsilon=epsilon, C=C).fit(representations, labels)
    told = "\n".join(str(w.message) for w in caught if issubclass(w.category, ConvergenceWarning))
    single = [probe.separation_, probe.radius_, probe.n_iter_, probe.gap_]
    return np.concatenate([single, probe.intercept_, probe.coef_.ravel(), [ord(c) for c in told]], dtype=np.float64)


def _rebuilt(
    numbers: Float64[np.ndarray, " m"],
    representations: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    epsilon: float,
    C: float,  # noqa: N803
) -> tuple[Any, list[str]]:
    """Return the fitted probe of such a row, whether it was kept or just made, and what it warned of."""
    probe = estimator(epsilon=epsilon, C=C)
    probe.classes_, width = np.unique(labels), representations.shape[1]
    vectors = 1 if len(probe.classes_) == 2 else len(probe.classes_)
    single, intercept, weights, told = np.split(numbers, np.cumsum([4, vectors, vectors * width]))
    probe.separation_, probe.radius_, iterations, probe.gap_ = map(float, single)
    probe.n_iter_, probe.n_features_in_ = int(iterations), width
    probe.intercept_, probe.coef_ = intercept.copy(), weights.reshape(vectors, width).copy()
    return probe, "".join(chr(int(c)) for c in told).splitlines()
