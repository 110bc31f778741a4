"""The picture of a report: the two curves, the area between them, and the score."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .curve import GRID, curve
from .errors import ArgumentError
from .report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")

_INK, _GRAY = "#1a1a1a", "#5f5f5f"
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GRAY,
    "axes.labelcolor": _INK,
    "xtick.color": _GRAY,
    "ytick.color": _GRAY,
    "svg.hashsalt": "synbench",
    "hatch.linewidth": 0.6,
}


def plot_report(report: Report, epsilon: float | None = None) -> "Figure":
    """Draw the robustness-accuracy trade-off of an encoder against the optimum.

    Args:
        report: the result to draw.
        epsilon: which row; by default the smallest ε of the report.

    Raises:
        ArgumentError: the report has no such ε.

    Lines differ by dash and areas by hatching, so the picture reads in black and white.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    epsilon = min(report.epsilons) if epsilon is None else epsilon
    if epsilon not in report.epsilons:
        raise ArgumentError(f"epsilon must be one of {report.epsilons}, the rows of this report, got {epsilon:g}.")
    row = report.epsilons.index(epsilon)
    bound = np.array([np.nan if b is None else b for b in report.bound[row]])
    kept = curve(np.array(report.accuracy[row]), bound)
    optimal = curve(np.array(report.raw_accuracy), np.array(report.raw_bound))
    with rc_context(cast(Any, _STYLE)):
        figure = Figure(figsize=(7.2, 4.4), layout="constrained")
        axes = figure.subplots()
        axes.fill_between(GRID, kept, color="#cfcfcf", linewidth=0, step="post", label="kept")
        axes.fill_between(
            GRID, kept, np.maximum(optimal, kept), facecolor="white", edgecolor="#9a9a9a", hatch="////", linewidth=0,
            step="post", label="lost",
        )  # fmt: skip
        axes.step(
            GRID, optimal, where="post", color=_INK, linewidth=1.6, linestyle=(0, (5, 2)), label="optimum (image space)"
        )
        axes.step(GRID, kept, where="post", color=_INK, linewidth=2.2, label="encoder")
        axes.set(xlim=(0.6, 1.0), ylim=(0, max(optimal.max(), kept.max()) * 1.18 or 1.0))
        axes.set_xlabel("threshold accuracy $a_t$")
        axes.set_ylabel("expected scaled bound $E(a_t)$")
        axes.legend(loc="lower left", ncols=2, frameon=True, framealpha=1.0, edgecolor="none")
        name = report.settings.model.id if report.settings.model else "added representations"
        twin = " (untrained twin)" if report.settings.model and not report.settings.model.trained else ""
        # A name is no formula.
        axes.set_title(f"{name}{twin}".replace("$", r"\$"), loc="left", color=_INK, fontweight="bold")
        axes.set_title(_caption(report, row), loc="right", color=_INK)
    return figure


def save_plot(report: Report, path: Path) -> None:
    """Draw a report into exactly this file, whole or not at all; the ending tells the format.

    Raises:
        ArgumentError: the ending is not .png, .svg or .pdf.
        OutputError: the file cannot be written.
    """
    save_figure(lambda: plot_report(report), path)


def save_figure(draw: "Callable[[], Figure]", path: Path) -> None:
    """Draw a figure into exactly this file, whole or not at all; the same figure gives the same bytes.

    Raises:
        ArgumentError: the ending is not .png, .svg or .pdf.
        OutputError: the file cannot be written.
    """
    from matplotlib import rc_context

    from .output import replacing

    kind = check_plot_format(path)
    undated = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with replacing(path) as stream, rc_context(cast(Any, _STYLE)):
        draw().savefig(stream, format=kind, dpi=160, metadata=undated)


def check_plot_format(path: Path) -> str:
    """Return the format that the ending of a path names.

    Raises:
        ArgumentError: it is not one of .png, .svg and .pdf.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise ArgumentError(f"the plot's file name must end in .png, .svg or .pdf, got {str(path)!r}.")
    return kind


def _caption(report: Report, row: int) -> str:
    score = interval = None
    if report.epsilons[row] == 0:
        score, interval = report.synbench_score, report.interval
    elif 0.7 in report.thresholds:
        column = report.thresholds.index(0.7)
        score, interval = report.scores[row][column], report.scores_interval[row][column]
    told = "undefined" if score is None else f"{score:.3f}"
    if interval is not None:
        told += f" [{interval[0]:.3f}, {interval[1]:.3f}]"
    return f"score {told}  (ε = {report.epsilons[row]:g}, $a_t$ = 0.7)"
