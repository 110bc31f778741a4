"""The picture of a probing: what each ε costs and gains, pixel perturbations of one size to a line."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from synbench.plots import _GRAY, _INK, _STYLE, save_figure

from .intervals import wilson
from .lettering import BETWEEN, apart, shortened, width_of
from .record import ProbeReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKS = ("o", "s", "^", "D", "v")
"""Filled, then hollow."""
_DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (4, 2, 1, 2)), (0, (2, 2)), (0, (1, 1.5)))
_MOST = 8
"""Of more lines below the clean one, so many are drawn: each has a mark of its own, and room for its name."""
_SAID = 1.05
"""Where the recommendation is told: above the highest name."""
_ROOM = 440.0
"""Points of the axes' width that a title may take."""


@dataclass(frozen=True)
class _Line:
    name: str
    shares: list[float]
    intervals: list[list[float]]


def plot_probe(report: ProbeReport) -> "Figure":
    """Draw accuracy against ε: one line for clean pictures, and one for each radius of the attacks, with 95 % bars.

    Where nothing was attacked, the lines below the clean one are of what is certified in the ball of each ε. Lines
    that lie on each other are drawn once, under the names of all; of more than eight, eight are drawn, and the axis
    says so. The ε that the score recommends is marked, and where it has no preference, that is said. Lines differ by
    mark or dash and have their names beside them, so the picture reads in black and white.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    epsilons = np.array(report.epsilons)
    lines, label = _lines(report)
    span = max(float(np.ptp(epsilons)), 0.2)
    # One ε stands in the middle: there are no lines beside which names would need room at the right only.
    left, right = (0.06, 0.26) if len(epsilons) > 1 else (0.5, 0.5)
    ends = float(epsilons[0] - left * span), float(epsilons[-1] + right * span)
    width = ends[1] - ends[0]
    with rc_context(cast(Any, _STYLE)):
        figure = Figure(figsize=(7.2, 4.4), layout="constrained")
        axes = figure.subplots()
        aside = _aside(len(lines)) * width
        for number, line in enumerate(lines):
            low, high = np.array(line.intervals).T
            middle = np.array(line.shares)
            bars = np.maximum([middle - low, high - middle], 0)
            color, (again, at) = _INK if number == 0 else _GRAY, divmod(number, len(_MARKS))
            axes.errorbar(
                epsilons + aside[number], middle, bars, color=color, marker=_MARKS[at], markersize=5,
                markerfacecolor="white" if again else color, linestyle=_DASHES[(at + again) % len(_DASHES)],
                linewidth=2.2 if number == 0 else 1.5, elinewidth=0.9, capsize=2, zorder=3 if number == 0 else 2,
            )  # fmt: skip
        for y, line in zip(apart([line.shares[-1] for line in lines]), lines, strict=True):
            # A name that had to move is led to its line.
            lead = {"arrowstyle": "-", "color": _GRAY, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 0}
            axes.annotate(
                line.name, (epsilons[-1] + 0.026 * width, line.shares[-1]), (epsilons[-1] + 0.045 * width, y),
                va="center", color=_INK, arrowprops=lead if abs(y - line.shares[-1]) > 0.4 * BETWEEN else None,
            )  # fmt: skip
        axes.set(xlim=ends, ylim=(-0.02, 1.1), xticks=epsilons, yticks=np.arange(6) / 5)
        axes.set_xlabel("ε of the probe (radius in representation space, relative)")
        axes.set_ylabel(label)
        _mark(axes, report, ends)
        _title(axes, report)
    return figure


def save_probe(report: ProbeReport, path: Path) -> None:
    """Draw a probing into exactly this file, whole or not at all; the ending tells the format.

    Raises:
        ArgumentError: the ending is not .png, .svg or .pdf.
        OutputError: the file cannot be written.
    """
    save_figure(lambda: plot_probe(report), path)


def _lines(report: ProbeReport) -> tuple[list[_Line], str]:
    """Return the lines, the clean one first, and the label of the axis that they are read on."""
    levels = report.levels
    clean = _Line("clean", [lv.clean for lv in levels], [lv.clean_interval for lv in levels])
    more, sizes, kind, of = list[_Line](), list[float](), "accuracy", ""
    if report.attack is not None:
        sizes, kind, of = report.attack.radii, "accuracy, clean and under attack", "radii"
        for at, radius in enumerate(sizes):
            shares = [lv.robust[at] for lv in levels if lv.robust is not None]
            around = [lv.robust_interval[at] for lv in levels if lv.robust_interval is not None]
            more.append(_Line(f"ℓ2 ≤ {radius:g}", shares, around))
    elif len(levels) > 1:
        sizes, kind, of = report.epsilons[1:], "accuracy, clean and certified in a ball", "balls"
        n = report.dataset.test_images
        for at, epsilon in enumerate(sizes, 1):
            shares = [lv.certified[at] for lv in levels]
            more.append(_Line(f"ball of {epsilon:g}", shares, [wilson(round(s * n), n) for s in shares]))
    more = _once(more, sizes)
    if len(more) > _MOST:
        kind += f" ({_MOST} of {len(more)} {of})"
        more = [more[at] for at in np.linspace(0, len(more) - 1, _MOST).round().astype(int)]
    return [clean, *more], kind


def _once(lines: list[_Line], sizes: list[float]) -> list[_Line]:
    """Return the lines without those that lie on the one before, which gets the name of the last of them too."""
    kept, first = list[_Line](), 0
    for at, line in enumerate(lines):
        if kept and line.shares == kept[-1].shares:
            between = ", " if at == first + 1 else " … "
            kept[-1] = _Line(f"{lines[first].name}{between}{sizes[at]:g}", line.shares, line.intervals)
        else:
            kept.append(line)
            first = at
    return kept


def _aside(count: int) -> "np.ndarray[Any, Any]":
    """Return how far aside of its ε each line is drawn, so that bars do not hide each other: the first one not at all.

    >>> _aside(4).round(3).tolist()
    [0.0, -0.008, 0.008, 0.016]
    """
    others = [at for at in range(-((count - 1) // 2), count // 2 + 1) if at]
    return np.array([0, *others]) * min(0.008, 0.024 / max(count - 1, 1))


def _mark(axes: Any, report: ProbeReport, ends: tuple[float, float]) -> None:
    advice = report.recommendation
    if advice is None:
        return
    whose = _whose(report.warnings)
    if advice.epsilon is None:
        axes.text(report.epsilons[0], _SAID, f"{whose} has no preference among ε", color=_INK, parse_math=False)
        return
    if advice.epsilon not in report.epsilons:
        said = f"{whose} recommends ε = {advice.epsilon:g} (not probed)"
        axes.text(report.epsilons[0], _SAID, said, color=_INK, parse_math=False)
        return
    # It ends below what is said of it.
    low, high = axes.get_ylim()
    axes.axvline(advice.epsilon, 0, (_SAID - 0.02 - low) / (high - low), color="#dcdcdc", linewidth=7, zorder=0)
    said, place = f"recommended by {whose}", (advice.epsilon - ends[0]) / (ends[1] - ends[0])
    before, after, width = place * _ROOM, (1 - place) * _ROOM, width_of(said, 10)
    side = "center" if min(before, after) > width / 2 else "left" if after > before else "right"
    axes.text(advice.epsilon, _SAID, said, color=_INK, ha=side, parse_math=False)


def _whose(warnings: list[str]) -> str:
    """Return whose score recommends: a given one may be that of another model, or of other settings.

    >>> _whose(["The score is that of 'resnet', not of 'vit'."])
    'the score of resnet'
    """
    found = [w for w in warnings if w.startswith("The score is that of ") and " of ε = " not in w]
    if not found:
        return "the score"
    if name := re.match("The score is that of '(.*)', not of '", found[0]):
        return f"the score of {shortened(name[1], _ROOM / 3, 10)}"
    return "a score of other settings"


def _title(axes: Any, report: ProbeReport) -> None:
    """Write the model above its data set: side by side, long names would run into each other."""
    twin = "" if report.model.trained else " (untrained twin)"
    name = shortened(report.model.id, _ROOM - 110 * bool(twin), 12, weight="bold") + twin
    axes.set_title(name, loc="left", color=_INK, fontweight="bold", pad=24, parse_math=False)
    axes.annotate(
        shortened(f"on {report.dataset.id}", _ROOM, 10), (0, 1), (0, 8), xycoords="axes fraction",
        textcoords="offset points", color=_INK, parse_math=False,
    )  # fmt: skip
