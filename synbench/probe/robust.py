"""The ε-robust linear probe as a scikit-learn estimator."""
# ruff: noqa: N803, N806 - the names of scikit-learn

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

from .objective import separation
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
            ArgumentError: a parameter is out of range.
            RepresentationError: there is one class only; or ε > 0 and the means of all classes coincide.
            ValueError: the representations are not a finite, dense matrix, or the labels do not fit.

        Warns:
            ConvergenceWarning: ``max_iter`` steps left the gap above ``tol``.
        """
        _check_epsilon(self.epsilon)
        for name, value in (("C", self.C), ("tol", self.tol)):
            if not 0 < value < np.inf:
                raise ArgumentError(f"{name} must be a positive number, got {value!r}.")
        if not self.max_iter >= 1:
            raise ArgumentError(f"max_iter must be at least 1, got {self.max_iter!r}.")
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
        if self.epsilon > 0 and self.separation_ <= 16 * np.finfo(np.float64).eps * np.abs(X).max():
            raise RepresentationError(
                f"expected class means that differ, since epsilon = {self.epsilon:g} is relative to their distance, "
                f"but all {len(self.classes_)} coincide: the representations do not tell the classes apart. "
                f"Check the labels and the encoder, or fit with epsilon = 0."
            )
        self.radius_ = float(self.epsilon) * self.separation_
        two = len(self.classes_) == 2
        found = minimise(
            X,
            labels,
            radius=self.radius_,
            # ½‖v‖² for v = w_1 − w_0 = 2 w_1 is twice ½‖W‖².
            cost=self.C / 2 if two else self.C,
            intercept=self.fit_intercept,
            tol=self.tol,
            max_iter=self.max_iter,
        )
        self.coef_ = found.weights[1:] - found.weights[:1] if two else found.weights
        self.intercept_ = found.intercepts[1:] - found.intercepts[:1] if two else found.intercepts
        self.n_iter_, self.gap_ = found.iterations, found.gap
        if self.gap_ > self.tol:
            warnings.warn(
                f"expected a relative gap to the best classifier of at most tol = {self.tol:g}, got {self.gap_:.2g} at "
                f"step {self.n_iter_}. Raise max_iter = {self.max_iter}, or lower C = {self.C:g}.",
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
        norms = cdist(vectors, vectors)[own]
        ahead = np.take_along_axis(scores, own[:, None], axis=1) - scores
        level = np.where(ahead == 0, 0.0, np.copysign(np.inf, ahead))
        distances = np.divide(ahead, norms, out=level, where=norms > 0)
        np.put_along_axis(distances, own[:, None], np.inf, axis=1)
        nearest: np.ndarray = distances.min(axis=1)
        return nearest

    def robust_score(self, X: Any, y: Any, epsilon: float | None = None) -> float:
        """Return the share of representations that keep their true class throughout the ball of radius ε·ρ.

        ε is that of the probe by default; ρ is always that of the representations it was fitted to. At ε = 0 this is
        ``score``, unless a representation lies on a boundary.

        Raises:
            ArgumentError: ε is not in [0, 1), or a label in ``y`` was not there in ``fit``.
        """
        level = self.epsilon if epsilon is None else epsilon
        _check_epsilon(level)
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


def _check_epsilon(epsilon: float) -> None:
    if not 0 <= epsilon < 1:
        raise ArgumentError(
            f"epsilon must lie in [0, 1): it is relative to the distance from a class mean to the midpoint, "
            f"got {epsilon!r}."
        )
