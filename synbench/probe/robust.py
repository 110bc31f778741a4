"""The ε-robust linear probe as a scikit-learn estimator."""
# ruff: noqa: N803, N806 - the names of scikit-learn

import math
import warnings
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn import utils
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import multiclass, validation

from synbench.errors import ArgumentError, RepresentationError
from synbench.settings import check_integer

from .asking import real
from .objective import exponent, separation
from .solver import minimise


class RobustLinearProbe(ClassifierMixin, BaseEstimator):
    """Logistic regression that fits the worst point of a ball around each representation.

        ½‖W‖² + C Σ_i log Σ_k exp((w_k − w_y)ᵀz_i + b_k − b_y + r‖w_k − w_y‖),   r = ε·ρ

    ρ is half the root mean square, over all pairs of classes, of the distance of their means: for two classes ‖μ‖,
    the unit of ε in the SynBench-Score. As there, ε says how far the ball reaches from a mean to the midpoint. At
    ε = 0 this is ``LogisticRegression(C=C)``. For two classes (with one vector v = w_1 − w_0 and ½‖v‖², as in
    scikit-learn) the loss is the worst cross-entropy over the ball; for more it bounds it from above, by log(K − 1) a
    sample at the most. On two Gaussian classes with a common covariance, many samples and a large C, the direction is
    that of the ε-robust Bayes classifier. Two classes whose means are closer than the ball is wide may get the same
    weights: no classifier tells them apart everywhere in the ball.

    Args:
        epsilon: ε in [0, 1).
        C: inverse strength of the penalty, > 0, for the sum of the losses as in scikit-learn.
        tol: fitting ends when the relative gap is proven to be at most this, > 0.
        max_iter: the most steps of L-BFGS, ≥ 1.
        fit_intercept: whether b is fitted; it is not penalised. Otherwise b = 0.

    Attributes:
        classes_: the labels, K of them, in order.
        coef_: (1, d) for two classes, otherwise (K, d).
        intercept_: (1,) or (K,).
        n_features_in_: d.
        separation_: ρ, in the units of the representations.
        radius_: r = ε·ρ.
        n_iter_: the steps it took.
        gap_: (objective − proven lower bound on every objective) / objective, in 0 … 1. The weights are then within
            √(2 · gap_ · objective) of the best ones, in the Euclidean norm.

    >>> X, y = np.array([[-2.0, 1.0], [-1.0, -1.0], [1.0, 1.0], [2.0, -1.0]]), np.array([0, 0, 1, 1])
    >>> probe = RobustLinearProbe(epsilon=0.5).fit(X, y)
    >>> probe.radius_, probe.predict(X).tolist(), bool(probe.gap_ <= 1e-4)
    (0.75, [0, 0, 1, 1], True)
    >>> probe.robust_score(X, y), probe.robust_score(X, y, epsilon=0.9)
    (1.0, 0.5)
    """

    def __init__(
        self,
        epsilon: float = 0.0,
        C: float = 1.0,
        tol: float = 1e-4,
        max_iter: int = 1000,
        fit_intercept: bool = True,
    ) -> None:
        self.epsilon = epsilon
        self.C = C
        self.tol = tol
        self.max_iter = max_iter
        self.fit_intercept = fit_intercept

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to representations (n, d) and their labels (n,), of two classes at least.

        Raises:
            ArgumentError: a parameter is of another type or out of range, or C times the square of the size of the
                representations is out of the range of float64 (beyond 1e±100).
            RepresentationError: there is one class only; or ε > 0 and the means of all classes coincide.
            ValueError: the representations are not a finite, dense matrix, or the labels do not fit.

        Warns:
            ConvergenceWarning: the gap is above ``tol`` after ``max_iter`` steps, or where rounding ends the descent.
        """
        epsilon, C = _checked_epsilon(self.epsilon), _positive("C", self.C, "1 is usual")
        tol = _positive("tol", self.tol, "1e-4 is usual")
        max_iter = check_integer("max_iter", self.max_iter, least=1, remedy="1000 is usual")
        if not isinstance(self.fit_intercept, (bool, np.bool_)):
            raise ArgumentError(
                f"fit_intercept must be True or False, got {self.fit_intercept!r}; True fits an intercept, and False "
                f"keeps it at 0."
            )
        X, y = _validated(self, X, y, dtype=np.float64)
        multiclass.check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise RepresentationError(
                f"expected representations of at least 2 classes, got one class only: {self.classes_[0]!r}. "
                f"Add samples of another class."
            )
        self.separation_ = separation(X, labels)
        # The means themselves are not known to more digits.
        if epsilon > 0 and self.separation_ <= 16 * np.finfo(np.float64).eps * np.abs(X).max():
            raise RepresentationError(
                f"expected class means that differ, since epsilon = {epsilon:g} is relative to their distance, "
                f"but all {len(self.classes_)} coincide: the representations do not tell the classes apart. "
                f"Check the labels and the encoder, or fit with epsilon = 0."
            )
        self.radius_ = epsilon * self.separation_
        two = len(self.classes_) == 2
        found = minimise(
            X,
            labels,
            radius=self.radius_,
            # ½‖v‖² for v = w_1 − w_0 = 2 w_1 is twice ½‖W‖².
            cost=C / 2 if two else C,
            intercept=bool(self.fit_intercept),
            tol=tol,
            max_iter=max_iter,
        )
        self.coef_ = found.weights[1:] - found.weights[:1] if two else found.weights
        self.intercept_ = found.intercepts[1:] - found.intercepts[:1] if two else found.intercepts
        self.n_iter_, self.gap_ = found.iterations, found.gap
        if self.gap_ > tol:
            ending = (
                f"at step {self.n_iter_}. Raise max_iter = {max_iter}, or lower C = {C:g}."
                if self.n_iter_ >= max_iter
                else f"and stopped after {self.n_iter_} steps, as rounding allows no further descent. "
                f"Lower C = {C:g}, or scale the representations down, which is the same."
            )
            warnings.warn(
                f"expected a relative gap to the best classifier of at most tol = {tol:g}, "
                f"got {self.gap_:.2g} {ending}",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def decision_function(self, X: Any) -> Float[np.ndarray, "*nk"]:
        """Return the logits: (n, K), or (n,) for two classes, positive for the second."""
        logits = self._logits(self._checked(X))
        return logits[:, 1] if len(self.classes_) == 2 else logits

    def predict(self, X: Any) -> np.ndarray:
        """Return the label of the greatest logit of each representation."""
        best = self._logits(self._checked(X)).argmax(axis=1)
        labels: np.ndarray = self.classes_[best]
        return labels

    def predict_proba(self, X: Any) -> Float[np.ndarray, "n k"]:
        """Return the softmax of the logits at the representations themselves, not at the worst of their ball."""
        shares: np.ndarray = softmax(self._logits(self._checked(X)), axis=1)
        return shares

    def margins(self, X: Any, y: Any = None) -> Float[np.ndarray, " n"]:
        """Return how far each representation is from where its decision changes: a certificate.

            min over k ≠ c of ((w_c − w_k)ᵀz + b_c − b_k) / ‖w_c − w_k‖

        c is the predicted class, or the true one with ``y``. Positive where the decision is c: no point nearer than
        this, in the Euclidean norm, gets another, and one at this distance lies on the boundary. Negative where it is
        not: c begins no nearer than this (for two classes, just there). Infinite where no boundary is.

        Raises:
            ArgumentError: a label in ``y`` was not there in ``fit``.

        >>> probe = RobustLinearProbe().fit([[-1.0, 0.0], [1.0, 0.0]], [0, 1])
        >>> probe.margins([[3.0, 5.0], [-0.5, 0.0]], [1, 1]).round(3).tolist()
        [3.0, -0.5]
        """
        X = self._checked(X)
        scores = self._logits(X)
        own = scores.argmax(axis=1) if y is None else self._encoded(X, y)
        vectors = self._vectors()
        # By a power of 2, so that no square overflows or vanishes.
        size = exponent(vectors)
        vectors = np.ldexp(vectors, -size)
        norms = cdist(vectors, vectors)[own]
        ahead = np.take_along_axis(scores, own[:, None], axis=1) - scores
        level = np.where(ahead == 0, 0.0, np.copysign(np.inf, ahead))
        distances = np.divide(ahead, norms, out=level, where=norms > 0)
        np.put_along_axis(distances, own[:, None], np.inf, axis=1)
        nearest: np.ndarray = np.ldexp(distances.min(axis=1), -size)
        return nearest

    def robust_score(self, X: Any, y: Any, epsilon: float | None = None) -> float:
        """Return the share of representations that keep their true class throughout the ball of radius ε·ρ.

        ε is that of the probe by default; ρ is always that of the representations it was fitted to. At ε = 0 this is
        ``score``, unless a representation lies on a boundary.

        Raises:
            ArgumentError: ε is not a number in [0, 1), or a label in ``y`` was not there in ``fit``.
        """
        level = _checked_epsilon(self.epsilon if epsilon is None else epsilon)
        return float(np.mean(self.margins(X, y) > level * self.separation_))

    def _checked(self, X: Any) -> Float[np.ndarray, "n d"]:
        validation.check_is_fitted(self)
        checked: np.ndarray = _validated(self, X, dtype=np.float64, reset=False)
        return checked

    def _vectors(self) -> Float[np.ndarray, "k d"]:
        """Return the vector of each class, up to a common one."""
        both: np.ndarray = np.concatenate([np.zeros_like(self.coef_), self.coef_])
        return both if len(self.classes_) == 2 else self.coef_

    def _logits(self, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        scores: np.ndarray = X @ self.coef_.T + self.intercept_
        return np.concatenate([np.zeros_like(scores), scores], axis=1) if len(self.classes_) == 2 else scores

    def _encoded(self, X: Float[np.ndarray, "n d"], y: Any) -> Int[np.ndarray, " n"]:
        y = validation.column_or_1d(y)
        utils.check_consistent_length(X, y)
        places = np.minimum(np.searchsorted(self.classes_, y), len(self.classes_) - 1)
        unknown = self.classes_[places] != y
        if unknown.any():
            raise ArgumentError(
                f"expected labels that the probe was fitted to, got {y[unknown][0]!r}. "
                f"Leave these samples out, or fit to samples of this class too."
            )
        found: np.ndarray = places
        return found


def _validated(probe: RobustLinearProbe, *data: Any, **options: Any) -> Any:
    """Check by scikit-learn's rules, and note the number and the names of the columns."""
    if hasattr(validation, "validate_data"):
        return validation.validate_data(probe, *data, **options)
    return probe._validate_data(*data, **options)  # noqa: SLF001 - before scikit-learn 1.6


def _positive(name: str, value: Any, remedy: str) -> float:
    number = real(value)
    if not 0 < number < math.inf:
        raise ArgumentError(f"{name} must be a positive number, got {value!r}; {remedy}.")
    return number


def _checked_epsilon(epsilon: Any) -> float:
    number = real(epsilon)
    if not 0 <= number < 1:
        raise ArgumentError(
            f"epsilon must lie in [0, 1): it is relative to the distance from a class mean to the midpoint, "
            f"got {epsilon!r}. 0 fits plain logistic regression."
        )
    return number
