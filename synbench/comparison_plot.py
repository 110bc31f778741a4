"""The picture of a comparison: every encoder with its interval, and who ties with whom."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .comparison import TWIN, Comparison, Entry, names, quantity
from .plots import _GRAY, _INK, _STYLE, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONGEST_NAME = 40
_MOST_COLUMNS = 10
_FAR = 0.5
_RULE = "#d9d9d9"
_TRAINED, _UNTRAINED = "encoder with its interval", "untrained twin"


def plot_comparison(comparison: Comparison) -> "Figure":
    """Draw what is compared, scores or κ, with intervals, best on top, tie groups at the right.

    The axis starts at 0, where nothing of the optimum is left; 1 is marked, and lies outside where the κ of all are far
    below. Trained encoders are dots and untrained ones hollow diamonds, so the picture reads in black and white.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    count, of_score = len(comparison.entries), comparison.measure == "score"
    with rc_context(cast(Any, _STYLE)):
        figure = Figure(figsize=(7.2, 1.5 + 0.3 * count), layout="constrained")
        axes = figure.subplots()
        for y, entry in enumerate(comparison.entries):
            axes.axhline(y, color=_RULE, linewidth=0.6, zorder=0)
            _draw_entry(axes, y, entry, *comparison.reading(entry), twin=comparison.twin(entry))
        marks = [(*comparison.reading(e), comparison.twin(e)) for e in comparison.entries]
        right = max(max(interval[1], value, twin or 0) for value, interval, twin in marks)
        near = of_score or not 0 < right <= _FAR
        right = 1.04 * max(1.0, right) if near else 1.1 * right
        if near:
            axes.axvline(1, color=_GRAY, linewidth=1.0, linestyle=(0, (5, 2)), zorder=1)
        axes.annotate(
            "image space" if of_score else "the optimum" if near else "the optimum is 1", (1 if near else right, 1),
            (3 if near else -6, 3), xycoords=("data", "axes fraction"), textcoords="offset points", ha="right",
            va="bottom", color=_GRAY, fontsize=9,
        )  # fmt: skip
        axes.set(xlim=(0, right), ylim=(count - 0.4, -0.6))
        axes.spines["left"].set_visible(False)
        # A name is no formula.
        labels = [_shortened(name).replace("$", r"\$") for name in names(comparison)]
        axes.set_yticks(range(count), labels, color=_INK)
        axes.tick_params(axis="y", length=0)
        threshold = rf", $a_t$ = {comparison.threshold:g}" if of_score else ""
        axes.set_xlabel(f"{quantity(comparison)} (ε = {comparison.epsilon:g}{threshold})")
        _write_groups(axes, comparison)
        handles, labels = axes.get_legend_handles_labels()
        # One mark of each kind; in the order of the alphabet the trained ones are first.
        legend = dict(sorted(zip(labels, handles, strict=True), key=lambda pair: pair[0]))
        legend[f"same letter: not separated at level {comparison.level:g}"] = Line2D(
            [], [], linestyle="none", marker=r"$\mathtt{a}$", markersize=5.5, color=_INK, markeredgewidth=0
        )
        figure.legend(
            legend.values(), legend.keys(), loc="outside lower center", ncols=len(legend), frameon=False, fontsize=9,
            handletextpad=0.3, columnspacing=1.6, labelcolor=_INK,
        )  # fmt: skip
    return figure


def save_comparison(comparison: Comparison, path: Path) -> None:
    """Draw a comparison into exactly this file, whole or not at all; the ending tells the format.

    Raises:
        ArgumentError: the ending is not .png, .svg or .pdf.
        OutputError: the file cannot be written.
    """
    save_figure(lambda: plot_comparison(comparison), path)


def _draw_entry(
    axes: "Axes", y: int, entry: Entry, value: float, interval: Sequence[float], *, twin: float | None
) -> None:
    """Draw one row; the first of each kind names the legend's mark, the others repeat it."""
    untrained, (low, high) = entry.trained is False, interval
    axes.hlines(y, low, high, color=_INK, linewidth=1.6, zorder=3)
    axes.plot([low, high], [y, y], linestyle="none", marker="|", markersize=7, color=_INK, zorder=3)
    hollow: dict[str, Any] = {"marker": "D", "markersize": 4.5, "markerfacecolor": "white", "markeredgecolor": _INK}
    solid: dict[str, Any] = {"marker": "o", "markersize": 5.5, "markerfacecolor": _INK, "markeredgecolor": _INK}
    axes.plot(
        [value], [y], linestyle="none", zorder=4, **(hollow if untrained else solid),
        label=_UNTRAINED if untrained else _TRAINED,
    )  # fmt: skip
    if twin is not None:
        axes.plot([twin], [y], linestyle="none", zorder=2, **hollow, label=_UNTRAINED)


def _write_groups(axes: "Axes", comparison: Comparison) -> None:
    """Write the letters at the right, a column each, or from – to where there are too many."""
    letters = list(dict.fromkeys(letter for entry in comparison.entries for letter in entry.groups))
    for y, entry in enumerate(comparison.entries):
        if len(letters) <= _MOST_COLUMNS:
            text = " ".join(letter if letter in entry.groups else " " for letter in letters)
        else:
            text = "–".join(dict.fromkeys((entry.groups[0], entry.groups[-1])))
        axes.annotate(
            text, (1, y), (10, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            ha="left", va="center_baseline", color=_INK, fontfamily="DejaVu Sans Mono",
        )  # fmt: skip
    axes.annotate(
        "ties", (1, 1), (10, 3), xycoords="axes fraction", textcoords="offset points",
        ha="left", va="bottom", color=_GRAY, fontsize=9,
    )  # fmt: skip


def _shortened(name: str) -> str:
    """Return a name of at most 40 signs, the middle left out of a longer one: both ends tell models apart.

    >>> _shortened("organization/" + "a-model-with-a-name-" * 3 + "large")
    'organization/a-model…l-with-a-name-large'
    """
    twin = TWIN if name.endswith(TWIN) else ""
    model, room = name.removesuffix(twin), _LONGEST_NAME - len(twin)
    if len(model) <= room:
        return name
    tail = (room - 1) // 2
    return model[: room - 1 - tail] + "…" + model[-tail:] + twin
