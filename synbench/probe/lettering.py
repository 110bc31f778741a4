"""Names in a picture: shortened to what fits, and one below the other without covering each other."""

from itertools import pairwise

import numpy as np

from synbench.plots import _STYLE

BETWEEN = 0.05
"""Least distance of two names beside the lines, in accuracy."""
_LOWEST, _HIGHEST = 0.02, 1.0
"""Where names may stand: above the axis, and below what is told at its top."""


def shortened(name: str, room: float, size: float, weight: str = "normal") -> str:
    """Return a name that takes at most so many points: what is too long loses its middle."""
    shown = name
    # No letter is narrower than a fifth of its size.
    for kept in range(min(len(name), int(5 * room / size)), 1, -1):
        shown = name if kept == len(name) else f"{name[: (kept + 1) // 2]}…{name[-(kept // 2) :]}"
        if width_of(shown, size, weight) <= room:
            break
    return shown


def width_of(text: str, size: float, weight: str = "normal") -> float:
    """Return how wide a text is, in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(family=_STYLE["font.family"], size=size, weight=weight)
    return float(TextToPath().get_text_width_height_descent(text, font, ismath=False)[0])


def apart(heights: list[float]) -> list[float]:
    """Return heights that differ enough for a line of text each, within the axes, and close to what they were.

    They are in the same order; of equal ones, the later is lower.

    >>> [round(y, 3) for y in apart([0.5, 0.0, 0.0])]
    [0.5, 0.07, 0.02]
    """
    order = sorted(range(len(heights)), key=lambda at: (heights[at], -at))
    moved = np.array(heights, dtype=np.float64)
    between = min(BETWEEN, (_HIGHEST - _LOWEST) / max(len(heights) - 1, 1))
    for _ in range(50):
        for lower, upper in pairwise(order):
            short = between - (moved[upper] - moved[lower])
            if short > 0:
                moved[lower] -= short / 2
                moved[upper] += short / 2
    # Up from the axis, then down from the top: only what is in the way gives way.
    floor, ceiling = _LOWEST, _HIGHEST
    for at in order:
        moved[at] = max(moved[at], floor)
        floor = moved[at] + between
    for at in order[::-1]:
        moved[at] = min(moved[at], ceiling)
        ceiling = moved[at] - between
    return [float(y) for y in moved]
