"""Choosing C by cross-validation, and fitting one probe per ε."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from synbench.errors import ArgumentError

from .subsets import fold_of

_TOLERANCE = 1e-3
"""Of the fits that only choose C; the last one is made to the probe's own."""


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
    """
    from sklearn.exceptions import ConvergenceWarning

    fold, notes = fold_of(labels, folds, seed), list[str]()
    scores = np.zeros(len(Cs))
    with warnings.catch_warnings():
        # A fit that only chooses may stop early; the last one is told.
        warnings.simplefilter("ignore")
        for number, C in enumerate(Cs):  # noqa: N806
            for out in np.unique(fold):
                rest, held = fold != out, fold == out
                probe = estimator(epsilon=epsilon, C=C, tol=_TOLERANCE).fit(representations[rest], labels[rest])
                scores[number] += probe.robust_score(representations[held], labels[held]) * held.mean()
                done(1)
    best = int(np.argmax(scores))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        probe = estimator(epsilon=epsilon, C=Cs[best]).fit(representations, labels)
    done(1)
    notes += [
        f"The probe of ε = {epsilon:g}: {w.message}" for w in caught if issubclass(w.category, ConvergenceWarning)
    ]
    if len(Cs) > 2 and best in (0, len(Cs) - 1) and scores[best] > scores[1 if best == 0 else -2]:
        where = "smallest" if best == 0 else "largest"
        notes.append(f"The best C of ε = {epsilon:g} is the {where} that was tried, {Cs[best]:g}. Pass other Cs=.")
    return Fitted(epsilon, float(Cs[best]), float(min(scores[best], 1.0)), probe, notes)
