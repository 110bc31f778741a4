"""The figures of ``population.py``, drawn from its JSON; readable in black and white."""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from _population_truth import floor

mpl.use("Agg")
from matplotlib import pyplot as plt

INK, GREY, PALE = "#111111", "#777777", "#e6e6e6"
STYLE: dict[str, dict[str, Any]] = {
    "plug-in": {"marker": "s", "linestyle": ":", "color": GREY, "markerfacecolor": "white", "label": "plug-in"},
    "sketch": {
        "marker": "^",
        "linestyle": "--",
        "color": GREY,
        "markerfacecolor": "white",
        "label": "mean of plug-in and cross-fit",
    },
    "ours": {"marker": "o", "linestyle": "-", "color": INK, "label": "ours"},
    "paper": {"marker": "D", "linestyle": "-.", "color": GREY, "markerfacecolor": "white", "label": "paper protocol"},
}
CENTRES = (1.2, 2.7, 4.2)
"""Where the response of each group of scales is drawn."""

BIAS_PANELS = (
    "linear d=64, 2 decades, κ=0.3",
    "linear d=384, 4 decades, κ=0.17",
    "linear d=1024, 2 decades, κ=0.3",
    "ViT d=64",
    "ResNet d=256",
    "ViT d=768",
)
SCORE_PANELS = ("linear d=64, 2 decades, κ=0.3", "linear d=384, 1 decades, κ=0.6", "ViT d=64", "ConvNeXt d=192")


def draw_all(out: Path, figures: Path) -> None:
    """Draw every figure whose numbers are there."""
    mpl.rcParams.update(
        {
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 9,
            "axes.titleweight": "bold",
            "legend.frameon": False,
            "lines.markersize": 5,
            "lines.linewidth": 1.2,
            "svg.hashsalt": "synbench",
            "svg.fonttype": "path",
        }
    )
    truth, truths, interval = (_read(out / f"population-{name}.json") for name in ("truth", "truths", "interval"))
    if truth:
        _save(_bias(truth), figures / "bias.svg")
        _save(_error(truth), figures / "error.svg")
        _save(_score(truth), figures / "score.svg")
    if truths:
        _save(_response(truths), figures / "response.svg")
    if interval:
        _save(_coverage(interval), figures / "coverage.svg")


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=130)
    plt.close(figure)


def tidy(name: str) -> str:
    """Return a name that reads well in a figure."""
    return name.replace("1 decades", "1 decade").replace("0 decades", "flat")


def _images_axis(axes: Any, counts: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [f"{n:,}" for n in counts], fontsize=7.5)
    axes.minorticks_off()


def _errors(case: dict[str, Any], method: str, count: str, e: int = 0) -> np.ndarray:
    found = case["methods"][method].get(count, {}).get("kappa")
    values = np.array(found, dtype=float)[:, e] if found else np.array([np.nan])
    return 100 * (values / case["kappa"][e] - 1)


def _bias(cases: dict[str, Any]) -> Any:
    names = [n for n in BIAS_PANELS if n in cases] or list(cases)[:3]
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(9, 2.6 * rows + 0.5), sharey=True, squeeze=False, layout="constrained"
    )
    for axes, name in zip(grid.flat, names, strict=False):
        case = cases[name]
        counts = [int(n) for n in case["methods"]["ours"]]
        axes.axhspan(-1.5, 1.5, color=PALE, zorder=0)
        axes.axhline(0, color=INK, linewidth=0.6)
        for shift, method in ((0.94, "plug-in"), (1.06, "sketch"), (1.0, "ours")):
            wrong = [_errors(case, method, str(n)) for n in counts]
            mean, spread = np.array([w.mean() for w in wrong]), np.array([w.std() for w in wrong])
            axes.errorbar(np.array(counts) * shift, mean, spread, elinewidth=0.8, **STYLE[method])
        axes.set_title(tidy(name))
        axes.set_ylim(-15, 15)
        _images_axis(axes, counts)
    for axes in grid[:, 0]:
        axes.set_ylabel("error of κ at ε = 0, per cent")
    for axes in grid[-1]:
        axes.set_xlabel("images")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def _error(cases: dict[str, Any]) -> Any:
    available = [n for n in ("4096", "8192") if all(n in c["methods"]["ours"] for c in cases.values())]
    counts = available or [list(next(iter(cases.values()))["methods"]["ours"])[-1]]
    names = list(cases)[::-1]
    figure, grid = plt.subplots(
        1, len(counts), figsize=(9, 0.29 * len(names) + 1.3), sharey=True, squeeze=False, layout="constrained"
    )
    for axes, count in zip(grid[0], counts, strict=True):
        axes.axvline(1.5, color=INK, linewidth=0.8, linestyle="--")
        for y, name in enumerate(names):
            case = cases[name]
            for method in ("plug-in", "sketch", "ours"):
                root = float(np.sqrt(np.mean(_errors(case, method, count) ** 2)))
                axes.plot(root, y, **{**STYLE[method], "linestyle": "none", "label": None if y else method})
            least = 100 * floor(case["kappa"][0], int(count), case["dimension"])
            axes.plot(least, y, marker="|", markersize=11, markeredgewidth=1.6, color=INK, linestyle="none")
        axes.set_xscale("log")
        axes.set_xlim(0.15, 200)
        axes.set_xticks([0.2, 0.5, 1, 1.5, 3, 10, 30, 100], ["0.2", "0.5", "1", "1.5", "3", "10", "30", "100"])
        axes.tick_params(axis="x", labelsize=7.5)
        axes.minorticks_off()
        axes.grid(axis="y", color=PALE)
        axes.set_axisbelow(True)
        axes.set_title(f"{int(count):,} images")
        axes.set_xlabel("RMSE of κ at ε = 0, per cent")
    grid[0, 0].set_yticks(range(len(names)), [tidy(n) for n in names])
    handles = [plt.Line2D([], [], **{**STYLE[m], "linestyle": "none"}) for m in ("plug-in", "sketch", "ours")]
    handles.append(
        plt.Line2D([], [], marker="|", markersize=11, markeredgewidth=1.6, color=INK, linestyle="none", label="floor")
    )
    handles.append(plt.Line2D([], [], color=INK, linewidth=0.8, linestyle="--", label="bar, 1.5 %"))
    figure.legend(handles=handles, loc="outside upper center", ncols=5)
    return figure


def _score(cases: dict[str, Any]) -> Any:
    names = [n for n in SCORE_PANELS if n in cases] or list(cases)[:2]
    figure, grid = plt.subplots(1, len(names), figsize=(9.4, 3.1), squeeze=False, layout="constrained")
    for axes, name in zip(grid[0], names, strict=True):
        case = cases[name]
        counts = [int(n) for n in case["methods"]["ours"]]
        axes.axhline(case["score"][0], color=INK, linewidth=0.8, linestyle="--", label="truth")
        for method in ("ours", "paper"):
            points = [(n, case["methods"][method][str(n)].get("score")) for n in counts]
            seen = [(n, np.array(v, dtype=float)[:, 0]) for n, v in points if v]
            if method == "paper" and case["paper_own_cost"]:
                seen.append((200_704, np.array(case["paper_own_cost"], dtype=float)[:, 0]))
            if seen:
                axes.errorbar(
                    [n for n, _ in seen],
                    [v.mean() for _, v in seen],
                    [v.std() for _, v in seen],
                    elinewidth=0.8,
                    **STYLE[method],
                )
        axes.set_title(tidy(name).replace(", ", "\n", 1))
        axes.set_xscale("log", base=2)
        axes.set_xticks([1024, 8192, 200_704], ["1,024", "8,192", "200,704"], fontsize=7.5)
        axes.minorticks_off()
        axes.set_ylim(0, min(1, 1.45 * case["score"][0]))
        axes.set_xlabel("images")
    grid[0, 0].set_ylabel("score at ε = 0, a_t = 0.7")
    handles, labels = grid[0, -1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def _response(truths: dict[str, Any]) -> Any:
    known = {key.rsplit(", ", 1)[0]: value for key, value in truths.items()}
    known = dict(sorted(known.items(), key=lambda kv: int(kv[0].rsplit("=", 1)[1])))
    figure, grid = plt.subplots(
        2, -(-len(known) // 2), figsize=(9, 4), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axes in grid.flat[len(known) :]:
        axes.set_visible(False)
    for axes, (name, value) in zip(grid.flat, known.items(), strict=False):
        axes.axhline(1, color=INK, linewidth=0.6)
        for shift, e, style in ((-0.08, 0, "ours"), (0.08, 3, "plug-in")):
            found, error = np.array(value["by_group"])[:, e], np.array(value["by_group_stderr"])[:, e]
            look = {**STYLE[style], "linestyle": "none", "label": f"ε = {(0, 0.2, 0.4, 0.6, 0.8)[e]:g}"}
            axes.errorbar(
                np.array(CENTRES) + shift, found / value["kappa"][e], 1.96 * error / value["kappa"][e], **look
            )
        axes.set_title(name)
        axes.set_ylim(0.9, 1.1)
        axes.set_xlim(0.8, 5.6)
        axes.set_xticks(CENTRES)
    for axes in grid[-1]:
        axes.set_xlabel("scale s")
    for axes in grid[:, 0]:
        axes.set_ylabel("κ(s)/s, relative")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure


def _coverage(cases: dict[str, Any]) -> Any:
    names = list(cases)[::-1]
    kinds = list(next(iter(cases.values()))["entries"])
    figure, grid = plt.subplots(
        1, len(kinds), figsize=(10, 0.27 * len(names) + 1.2), sharey=True, sharex=True, layout="constrained"
    )
    for axes, kind in zip(grid, kinds, strict=True):
        axes.axvspan(93, 97, color=PALE, zorder=0)
        axes.axvline(95, color=INK, linewidth=0.6)
        for y, name in enumerate(names):
            share = 100 * cases[name]["entries"][kind]["coverage"]
            error = 196 * np.sqrt(0.95 * 0.05 / cases[name]["studies"])
            axes.errorbar(share, y, xerr=error, elinewidth=0.8, marker="o", color=INK)
        axes.set_title(kind.replace(", ", "\n"))
        axes.set_xlim(88, 100.5)
        axes.set_xticks([90, 95, 100])
        axes.grid(axis="y", color=PALE)
        axes.set_axisbelow(True)
    grid[0].set_yticks(range(len(names)), [tidy(n) for n in names])
    figure.supxlabel("coverage of the 95 % interval, per cent; bars: binomial error of 95 %, times 1.96", fontsize=8)
    return figure
