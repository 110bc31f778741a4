"""Encoders whose κ is known exactly, made here and not by the package, on the package's own design of images."""

import numpy as np
from scipy import optimize

from synbench.design import design
from synbench.mixture import MixtureSpec
from synbench.representations import Representations
from synbench.settings import EPSILONS, SCALES


def kappa_by_definition(covariance, response, epsilons=EPSILONS):
    """Return κ_ε/s from the definition: the ball, its point nearest to μ in the metric of C, its classifier."""
    eigenvalues, vectors = np.linalg.eigh(covariance)
    mu = vectors.T @ response
    found = []
    for epsilon in epsilons:
        nearest = np.zeros_like(mu)
        if epsilon:
            radius = epsilon * np.linalg.norm(mu)
            root = optimize.brentq(
                lambda t, radius=radius: np.linalg.norm(mu / (1 + np.exp(t) * eigenvalues)) - radius,
                -np.log(eigenvalues[-1]) - 30,
                -np.log(eigenvalues[0]) + 30,
                xtol=1e-13,
            )
            nearest = mu / (1 + np.exp(root) * eigenvalues)
        w = (mu - nearest) / eigenvalues
        found.append(w @ mu / np.sqrt(w @ (eigenvalues * w)))
    return np.array(found)


class LinearEncoder:
    """z = m + t·g + noise with covariance C, of a wanted κ at ε = 0 and a spectrum over some decades."""

    def __init__(self, dimension, kappa, decades=2.0, seed=5):
        rng = np.random.default_rng(seed)
        spectrum = np.logspace(0, -decades, dimension)
        turn = np.linalg.qr(rng.standard_normal((dimension, dimension)))[0]
        self.root = turn * np.sqrt(spectrum)
        response = turn @ (np.sqrt(spectrum) * rng.standard_normal(dimension))
        held = response @ np.linalg.solve(self.root @ self.root.T, response)
        # κ² = q / (1 + q), q in the metric of what is left once the draw's own coordinate is known.
        self.response = response * np.sqrt(kappa**2 / (1 - kappa**2) / held)
        self.covariance = self.root @ self.root.T + np.outer(self.response, self.response)
        self.midpoint = rng.standard_normal(dimension) * 10
        self.kappas = kappa_by_definition(self.covariance, self.response)

    def represent(self, seed, images, scales=SCALES, *, plain=False, noise=None, bend=None, widen=None):
        """Return representations of the design's images.

        ``plain`` gives every image its own noise, and keeps the coordinates back. ``noise`` draws the residual noise,
        ``bend`` replaces t by a function of t, ``widen`` multiplies the noise by a function of t.
        """
        rows = design(MixtureSpec((3, 4, 4), scales, seed=seed), 0, images)
        draws = np.arange(images) if plain else rows.draws
        rng = np.random.default_rng([seed, images])
        count = draws.max() + 1
        residual = (noise or rng.standard_normal)((count, len(self.root))) @ self.root.T
        own = rng.standard_normal(count)
        t = (2 * rows.labels - 1) * rows.scales
        values = self.midpoint + np.outer(t if bend is None else bend(t), self.response)
        width = np.ones_like(t) if widen is None else widen(t)
        values = values + width[:, None] * (residual + np.outer(own, self.response))[draws]
        known = np.full(images, np.nan) if plain else own[draws]
        number = np.full(images, -1) if plain else draws
        return Representations(
            values.astype(np.float32), rows.labels, rows.scales, np.zeros(images, bool), known, number
        )
