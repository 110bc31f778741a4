"""The pictures of a validity study, readable in black and white."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from .analysis import Finding, Outcome
from .tabling import Row, label
from .writing import interval, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_INK, _GRAY, _PALE, _FILL = "#1a1a1a", "#5f5f5f", "#e8e8e8", "#8c8c8c"
_MARKS = "os^DvPX<>*hpd8H"
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GRAY,
    "axes.labelcolor": _INK,
    "xtick.color": _GRAY,
    "ytick.color": _GRAY,
    "svg.hashsalt": "synbench",
}


def scatter(table: Sequence[Row], outcome: Outcome, predictors: Sequence[str]) -> "Figure":
    """Draw predictors against an outcome: a mark a family, hollow where untrained, with 95 % intervals both ways."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    shown = [f for name in predictors for f in outcome.findings if f.association.predictor == name]
    families = sorted({str(row["family"]) for row in table})
    columns = min(3, max(1, len(shown)))
    lines = -(-max(1, len(shown)) // columns)
    with rc_context(cast(Any, _STYLE)):
        figure = Figure(figsize=(1.2 + 2.9 * columns, 0.7 + 2.7 * lines), layout="constrained")
        grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
        for axes, finding in zip(grid.flat, shown, strict=False):
            _panel(axes, table, finding, families)
        for axes in list(grid.flat)[len(shown) :]:
            axes.set_axis_off()
        for axes in grid[:, 0]:
            axes.set_ylabel(label(outcome.name))
        handles = [_mark(family, _MARKS[i % len(_MARKS)]) for i, family in enumerate(families)]
        if any(not row["trained"] for row in table):
            handles.append(_mark("hollow: untrained", "o", hollow=True))
        figure.legend(
            handles=handles, loc="outside lower center", ncols=min(len(handles), 2 * columns + 1), frameon=False,
            handletextpad=0.2, columnspacing=1.4, labelcolor=_INK,
        )  # fmt: skip
    return figure


def forest(outcome: Outcome) -> "Figure":
    """Draw τ of every predictor, with the interval over families and, thin, the one as if encoders were independent."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    count = len(outcome.findings)
    with rc_context(cast(Any, _STYLE)):
        figure = Figure(figsize=(8.0, 1.6 + 0.36 * count), layout="constrained")
        axes = figure.subplots()
        least = max(f.association.n for f in outcome.findings)
        blind = next(f.association.detectable for f in outcome.findings if f.association.n == least)
        if blind is not None:
            axes.axvspan(-blind, blind, color=_PALE, zorder=0, linewidth=0, label=f"below what n = {least} shows")
        axes.axvline(0, color=_INK, linewidth=0.9, zorder=1)
        if outcome.ceiling is not None:
            axes.axvline(
                outcome.ceiling.tau, color=_GRAY, linewidth=1.0, linestyle=(0, (5, 2)), zorder=1, label="noise ceiling"
            )
        for y, finding in enumerate(outcome.findings):
            _line(axes, y, finding)
        axes.set(xlim=(-1.02, 1.02), ylim=(count - 0.4, -0.6))
        axes.spines["left"].set_visible(False)
        axes.set_yticks(range(count), [label(f.association.predictor) for f in outcome.findings], color=_INK)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(f"Kendall τ with {label(outcome.name)}; filled: shown by the rule")
        handles, texts = axes.get_legend_handles_labels()
        once = dict(zip(texts, handles, strict=True))
        figure.legend(
            once.values(), once.keys(), loc="outside lower center", ncols=4, frameon=False, fontsize=8, labelcolor=_INK
        )
    return figure


def _line(axes: "Axes", y: int, finding: Finding) -> None:
    """Draw one predictor of a forest."""
    a = finding.association
    axes.hlines(y + 0.2, *a.tau_encoders, color=_GRAY, linewidth=1.0, zorder=2, label="as if independent")
    if a.tau_families is not None:
        axes.hlines(y, *a.tau_families, color=_INK, linewidth=2.0, zorder=3, label="95 % over families")
        axes.plot(a.tau_families, [y, y], linestyle="none", marker="|", markersize=8, color=_INK, zorder=3)
    fill = _INK if finding.verdict.shown else "white"
    axes.plot([a.tau], [y], linestyle="none", marker="o", markersize=6.5, color=_INK, markerfacecolor=fill, zorder=4)
    axes.annotate(
        f"{number(a.tau)}   n = {a.n}, {a.families} families", (1, y), (8, 0), xycoords=("axes fraction", "data"),
        textcoords="offset points", ha="left", va="center", fontsize=8, color=_INK,
    )  # fmt: skip


def _mark(text: str, marker: str, *, hollow: bool = False) -> "Line2D":
    from matplotlib.lines import Line2D

    return Line2D(
        [], [], linestyle="none", marker=marker, color=_INK, markersize=6, label=text,
        markerfacecolor="white" if hollow else _FILL,
    )  # fmt: skip


def _panel(axes: "Axes", table: Sequence[Row], finding: Finding, families: Sequence[str]) -> None:
    a = finding.association
    for row in table:
        x, y = row.get(a.predictor), row.get(a.outcome)
        if x is None or y is None:
            continue
        ends = [1.96 * (row.get(f"{name}_stderr") or 0.0) for name in (a.predictor, a.outcome)]
        axes.errorbar(x, y, xerr=ends[0], yerr=ends[1], fmt="none", ecolor="#b5b5b5", elinewidth=0.8, zorder=2)
        mark = _MARKS[families.index(str(row["family"])) % len(_MARKS)]
        fill = _FILL if row["trained"] else "white"
        axes.plot([x], [y], linestyle="none", marker=mark, markersize=6, color=_INK, markerfacecolor=fill, zorder=3)
    axes.set_xlabel(label(a.predictor))
    told = f"τ = {number(a.tau)} ({interval(a.tau_families)})\nn = {a.n}, {a.families} families"
    axes.set_title(told, loc="left", fontsize=8.5, color=_INK)
