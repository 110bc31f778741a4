"""The design of the population protocol: which class, scale and noise each image has.

Images come in fours, made of three draws of noise η:

    image   0    1    2    3
    noise   3k   3k   3k+1 3k+2
    class   y    1−y  y'   1−y'
    scale   s    s    s'   s''

The first two are mirrored: the same noise, shifted towards one class mean and towards the other. Half their
difference is the encoder's response to the shift alone, almost free of noise; the other draws add what C needs,
which is independent noise. Classes and scales are random, the scales uniform on the grid.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from .mixture import MixtureSpec
from .seeding import LABELS, POPULATION, SCALE, sequence

IMAGES_A_ROUND, DRAWS_A_ROUND = 4, 3
"""Images that are designed together, and the draws of noise among them."""


@dataclass(frozen=True)
class Design:
    """One entry an image.

    Attributes:
        labels: 0 or 1.
        scales: s > 0, of the mixture's grid.
        draws: the number of the noise; two images with one number are mirrored.
    """

    labels: Int64[np.ndarray, " n"]
    scales: Float64[np.ndarray, " n"]
    draws: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.labels)


def design(spec: MixtureSpec, start: int, stop: int) -> Design:
    """Return the design of the images start … stop−1. More images never change the earlier ones.

    >>> made = design(MixtureSpec((3, 8, 8)), 0, 8)
    >>> made.draws.tolist()
    [0, 0, 1, 2, 3, 3, 4, 5]
    >>> (made.labels[0::4] + made.labels[1::4]).tolist(), bool((made.scales[0::4] == made.scales[1::4]).all())
    ([1, 1], True)
    """
    rounds = -(-stop // IMAGES_A_ROUND)
    first = np.random.default_rng(sequence(spec.seed, LABELS, *POPULATION)).random((rounds, 2)) < 0.5
    labels = np.stack([first[:, 0], ~first[:, 0], first[:, 1], ~first[:, 1]], axis=1)
    # One draw after the other, so that the first ones are the same however many follow.
    uniform = np.random.default_rng(sequence(spec.seed, SCALE, *POPULATION)).random((rounds, DRAWS_A_ROUND))
    chosen = np.floor(uniform * len(spec.scales)).astype(np.int64)
    scales = np.sort(np.asarray(spec.scales, dtype=np.float64))[chosen[:, [0, 0, 1, 2]]]
    draws = np.arange(rounds)[:, None] * DRAWS_A_ROUND + np.array([0, 0, 1, 2])
    rows = slice(start, stop)
    return Design(labels.reshape(-1)[rows].astype(np.int64), scales.reshape(-1)[rows], draws.reshape(-1)[rows])
