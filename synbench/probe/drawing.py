"""The picture of a probing: what each ε costs and gains, pixel perturbations of one size to a line."""

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from synbench.plots import _GRAY, _INK, _STYLE, save_figure

from .record import ProbeReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINES: tuple[tuple[str, Any], ...] = (
    ("o", "-"),
    ("s", (0, (6, 2))),
    ("^", (0, (4, 2, 1, 2))),
    ("D", (0, (2, 2))),
    ("v", (0, (1, 1.5))),
)
_BETWEEN = 0.05
"""Least distance of two names beside the lines, in accuracy."""


def plot_probe(report: ProbeReport) -> "Figure":
    """Draw accuracy against ε: one line for clean pictures, and one for each radius of the attacks, with 95 % bars.

    The ε that the score recommends is marked, and where it has no preference, that is said. Lines differ by dash and
    mark and have their names beside them, so the picture reads in black and white.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    epsilons = np.array(report.epsilons)
    lines = [("clean", [lv.clean for lv in report.levels], [lv.clean_interval for lv in report.levels])]
    for at, radius in enumerate([] if report.attack is None else report.attack.radii):
        shares = [lv.robust[at] for lv in report.levels if lv.robust is not None]
        around = [lv.robust_interval[at] for lv in report.levels if lv.robust_interval is not None]
        lines.append((f"ℓ2 ≤ {radius:g}", shares, around))
    width = max(float(np.ptp(epsilons)), 0.2)
    with rc_context(cast(Any, _STYLE)):
        figure = Figure(figsize=(7.2, 4.4), layout="constrained")
        axes = figure.subplots()
        # Side by side, so that bars do not hide each other.
        aside = np.linspace(-0.012, 0.012, len(lines)) * width
        for number, (_, shares, around) in enumerate(lines):
            mark, dash = _LINES[number % len(_LINES)]
            low, high = np.array(around).T
            middle = np.array(shares)
            bars = np.maximum([middle - low, high - middle], 0)
            axes.errorbar(
                epsilons + aside[number], middle, bars, color=_INK if number == 0 else _GRAY, marker=mark,
                markersize=5, linestyle=dash, linewidth=2.2 if number == 0 else 1.5, elinewidth=0.9, capsize=2,
            )  # fmt: skip
        for y, (name, shares, _) in zip(_apart([line[1][-1] for line in lines]), lines, strict=True):
            axes.annotate(
                name, (epsilons[-1] + 0.02 * width, shares[-1]), (epsilons[-1] + 0.06 * width, y), va="center",
                color=_INK,
            )  # fmt: skip
        axes.set(
            xlim=(epsilons[0] - 0.04 * width, epsilons[-1] + 0.26 * width),
            ylim=(-0.02, 1.1),
            xticks=epsilons,
            yticks=np.arange(6) / 5,
        )
        axes.set_xlabel("ε of the probe (radius in representation space, relative)")
        axes.set_ylabel("accuracy, clean and under attack")
        _mark(axes, report)
        # A name is no formula.
        axes.set_title(report.model.id.replace("$", r"\$"), loc="left", color=_INK, fontweight="bold")
        axes.set_title(f"on {report.dataset.id}".replace("$", r"\$"), loc="right", color=_INK)
    return figure


def save_probe(report: ProbeReport, path: Path) -> None:
    """Draw a probing into exactly this file, whole or not at all; the ending tells the format.

    Raises:
        ArgumentError: the ending is not .png, .svg or .pdf.
        OutputError: the file cannot be written.
    """
    save_figure(lambda: plot_probe(report), path)


def _mark(axes: Any, report: ProbeReport) -> None:
    advice = report.recommendation
    if advice is None:
        return
    if advice.epsilon is None:
        axes.text(report.epsilons[0], 1.05, "the score has no preference among ε", color=_INK)
        return
    axes.axvline(advice.epsilon, color="#dcdcdc", linewidth=7, zorder=0)
    first = advice.epsilon == report.epsilons[0]
    axes.text(advice.epsilon, 1.05, "recommended by the score", color=_INK, ha="left" if first else "center")


def _apart(heights: list[float]) -> list[float]:
    """Return heights that differ enough for a line of text each, close to what they were, in the same order."""
    order = np.argsort(heights)
    moved = np.array(heights, dtype=np.float64)
    for _ in range(50):
        for lower, upper in pairwise(order):
            short = _BETWEEN - (moved[upper] - moved[lower])
            if short > 0:
                moved[lower] -= short / 2
                moved[upper] += short / 2
    return [float(v) for v in np.clip(moved, 0.02, None)]
