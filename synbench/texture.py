"""A mixture whose classes differ in texture: equal means, and power spectra that differ by orientation.

    x | y, s = c + A·G(±s)·η,   η ~ N(0, I),   G(t) = 1 + t·γ·g(f) at frequency f,   g = cos 2θ,   γ = 1/√(2 Σ g²)

A colours white noise as natural images are on the average: amplitude falls as 1/|f|, channels are alike to 0.9, and
pixels have a standard deviation of 0.25 around c. One class has more of its power in frequencies along the width, the
other along the height. θ is the angle of f; the sum runs over frequencies and channels; G is 1 where g is not defined.

The optimum is known: the log-likelihood ratio goes by q(η) = γ Σ g·(|η̂|² − 1), the score function at t = 0. It has mean
0 and variance 1, and its mean moves by t, so that κ = s for the best classifier of all, up to terms of order s/√D. An
encoder answers by dE[z]/dt = Cov(z, q), so q takes the place of μ̂ᵀη in the population protocol, and κ tells which share
of the optimum a *linear* classifier on the representations keeps. No linear classifier on pixels keeps any: of this
mixture the identity encoder has κ = 0, where of the paper's it has 1 (docs/validity.md).
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

CONTRAST = 0.25
"""Standard deviation of a pixel around the centre, in units of [0, 1]."""

ALIKE = 0.9
"""Correlation of any two channels."""

LEAST_SIDE = 4

MOST_CHANGE = 0.5
"""Of an amplitude, at the largest scale: beyond, κ = s is no longer near the optimum."""


def frequencies(height: int, width: int) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Return |f| in cycles a pixel, and cos 2θ: 1 along the width, −1 along the height.

    cos 2θ is 0 where there is no orientation: at 0, and at the highest frequency of an even side, which stands for
    its own mirror image.
    """
    down, across = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    size = np.hypot(down, across)
    turned = np.divide(across**2 - down**2, size**2, out=np.zeros_like(size), where=size > 0)
    return size, np.where((down == -0.5) | (across == -0.5), 0.0, turned)


@lru_cache(maxsize=4)
def amplitudes(height: int, width: int) -> Float[np.ndarray, "h w"]:
    """Return the amplitude at each frequency, relative to white noise: 1/|f|, with a mean square of ``CONTRAST``².

    The mean of a picture varies as its slowest waves do.

    >>> round(float(np.sqrt((amplitudes(16, 16) ** 2).mean())), 6)
    0.25
    """
    size, _ = frequencies(height, width)
    size[0, 0] = 1 / max(height, width)
    falling = 1 / size
    found: np.ndarray = CONTRAST * falling / np.sqrt((falling**2).mean())
    found.setflags(write=False)
    return found


@lru_cache(maxsize=4)
def contrast(channels: int, height: int, width: int) -> Float[np.ndarray, "h w"]:
    """Return γ·g: by how much a unit of t changes the amplitude of each frequency, relative to what it is.

    >>> found = contrast(3, 8, 8)
    >>> round(float(2 * 3 * (found**2).sum()), 6)  # the variance of q
    1.0
    """
    _, turned = frequencies(height, width)
    found: np.ndarray = turned / np.sqrt(2 * channels * (turned**2).sum())
    found.setflags(write=False)
    return found


def steepest(channels: int, height: int, width: int) -> float:
    """Return the greatest relative change of an amplitude by a unit of t."""
    return float(np.abs(contrast(channels, height, width)).max())


@lru_cache(maxsize=4)
def colours(channels: int) -> Float[np.ndarray, "c c"]:
    """Return the matrix that makes independent channels correlated by ``ALIKE``, of variance 1.

    >>> (colours(3) @ colours(3).T).round(6).tolist()
    [[1.0, 0.9, 0.9], [0.9, 1.0, 0.9], [0.9, 0.9, 1.0]]
    """
    covariance = np.full((channels, channels), ALIKE) + (1 - ALIKE) * np.eye(channels)
    values, vectors = np.linalg.eigh(covariance)
    found: np.ndarray = (vectors * np.sqrt(values)) @ vectors.T
    found.setflags(write=False)
    return found
