"""The linear part of the whole model: what a probe makes of a representation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Scaling:
    """(z − centre) / scale: one number for all coordinates, so that a ball stays a ball.

    Attributes:
        centre: mean of the training representations.
        scale: root mean square of their distances from it, so that C has no unit.
    """

    centre: Float[np.ndarray, " d"]
    scale: float

    def __call__(self, values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """Return scaled representations, float64."""
        scaled: np.ndarray = (values.astype(np.float64) - self.centre) / self.scale
        return scaled


def scaling_of(values: Float[np.ndarray, "n d"]) -> Scaling:
    """Return the scaling of training representations.

    >>> scaling_of(np.array([[1.0, 0.0], [3.0, 0.0]])).scale
    1.0
    """
    centre = values.mean(axis=0, dtype=np.float64)
    spread = np.einsum("nd,nd->n", values - centre, values - centre).mean()
    return Scaling(centre, float(np.sqrt(spread)))


@dataclass(frozen=True)
class Head:
    """A scaling and a linear classifier behind it, with one row a class.

    Attributes:
        centre: see ``Scaling``.
        scale: see ``Scaling``.
        weight: one row a class.
        bias: one number a class.
    """

    centre: Float[np.ndarray, " d"]
    scale: float
    weight: Float[np.ndarray, "k d"]
    bias: Float[np.ndarray, " k"]

    def logits(self, vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Return the logits of representations."""
        made: np.ndarray = (vectors.astype(np.float64) - self.centre) / self.scale @ self.weight.T + self.bias
        return made

    def classes(self, vectors: Float[np.ndarray, "n d"]) -> Int[np.ndarray, " n"]:
        """Return the classes of representations, as places; of equal logits the first."""
        return np.asarray(self.logits(vectors).argmax(axis=1))


def head_of(probe: Any, scaling: Scaling) -> Head:
    """Return the head of a fitted probe; one vector for two classes becomes two, 0 and it."""
    weight, bias = np.atleast_2d(probe.coef_), np.atleast_1d(probe.intercept_)
    if len(weight) == 1:
        weight, bias = np.vstack([np.zeros_like(weight), weight]), np.concatenate([[0.0], bias])
    return Head(scaling.centre, scaling.scale, weight, bias)
