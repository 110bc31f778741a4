"""Further looks at what a study measured: every figure of docs/validity.md that no verdict and no table of a run has.

    python -m benchmarks.study.looks TABLE.json... [--beside TABLE.json FURTHER.json]... > looks.md

A TABLE is what a study writes as ``OUT/DATASET-table.json``, and keeps as ``benchmarks/results/validity-*.json``: rows,
one an encoder; FURTHER one of encoders to look at beside those of TABLE. Nothing here was named beforehand, so nothing
is tested: τ with its interval over families, and counts.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .analysis import column, explore
from .association import compare_predictors
from .tabling import label
from .writing import interval, number, rows_of

SUPERVISED = ("supervised", "noisy", "grey")

SUBSETS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "all": lambda _: True,
    "trained": lambda row: row["pretext"] != "untrained",
    "that learned a task": lambda row: row["pretext"] not in ("untrained", "shuffled"),
    "trained on true labels": lambda row: row["pretext"] in SUPERVISED,
}

RIVALS = ("learned", "parameters", "dimension", "rankme")


def subsets(table: Sequence[Mapping[str, Any]], predictors: Sequence[str], outcome: str) -> list[list[str]]:
    """Return τ of each predictor (columns) among each subset of encoders (rows)."""
    rows = []
    for name, kept in SUBSETS.items():
        own = [row for row in table if kept(row)]
        looks = explore(own, predictors, outcome)
        cells = [f"{number(looks[p].tau)} ({interval(looks[p].interval)})" if p in looks else "–" for p in predictors]
        rows.append([name, str(len(own)), str(len({row["family"] for row in own})), *cells])
    return rows


def above(table: Sequence[Mapping[str, Any]], predictor: str, outcome: str) -> list[list[str]]:
    """Return |τ| of one predictor less that of each rival, on the same encoders."""
    families = [str(row["family"]) for row in table]
    y = column(table, outcome)
    rows = []
    for rival in RIVALS:
        pair = (column(table, predictor), column(table, rival))
        found = compare_predictors(*pair, y, families, names=(predictor, rival), absolute=True)
        rows.append([label(rival), str(found.n), number(found.difference), interval(found.interval)])
    return rows


def in_order(table: Sequence[Mapping[str, Any]], predictor: str, outcome: str) -> tuple[int, int]:
    """Return how many pairs of one family, both of which learned a task, are in the right order, and of how many."""
    x, y = column(table, predictor), column(table, outcome)
    learned = column(table, "learned")
    families = np.array([row["family"] for row in table])
    one, other = np.triu_indices(len(table), 1)
    own = (families[one] == families[other]) & (learned[one] == 1) & (learned[other] == 1)
    signs = np.sign(x[one] - x[other])[own] * np.sign(y[one] - y[other])[own]
    return int((signs > 0).sum()), int((signs != 0).sum())


def levels(table: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the mean over encoders of what each ε of the probe gives: clean, and at each radius."""
    names = dict.fromkeys(name for row in table for name in row if name.startswith(("clean_at[", "robust_at[")))
    cells: dict[str, dict[str, float]] = {}
    for name in names:
        epsilon, _, radius = name.partition("[")[2].partition("]")
        cells.setdefault(epsilon, {})[radius] = float(np.nanmean(column(table, name)))
    return [[e, *(f"{100 * share:.1f} %" for share in found.values())] for e, found in cells.items()]


def change(table: Sequence[Mapping[str, Any]], name: str, base: str) -> str:
    """Return the mean difference of two columns over encoders, its standard error, and how many are above 0."""
    gap = 100 * (column(table, name) - column(table, base))
    gap = gap[np.isfinite(gap)]
    error = gap.std(ddof=1) / np.sqrt(len(gap))
    return f"{gap.mean():+.1f} points (standard error {error:.1f}); up for {(gap > 0).sum()} of {len(gap)}"


def recommended(table: Sequence[Mapping[str, Any]], protocol: str) -> str:
    """Return how often each ε was recommended."""
    given = column(table, f"recommended_{protocol}")
    values, counts = np.unique(given[np.isfinite(given)], return_counts=True)
    parts = [f"ε = {v:g} for {n}" for v, n in zip(values, counts, strict=True)]
    return ", ".join([*parts, f"nothing for {np.count_nonzero(column(table, f'prefers_{protocol}') == 0)}"])


def document(
    tables: Mapping[str, Sequence[Mapping[str, Any]]], beside: Mapping[str, Sequence[Mapping[str, Any]]]
) -> str:
    """Return all looks in Markdown, at tables by name, and at further encoders beside some of them."""
    parts = ["# Looks at what was measured", "Nothing here was named beforehand, and nothing is tested."]
    for name, table in tables.items():
        parts += [f"## {name}: {len(table)} encoders"]
        predictors = [p for p in ("kappa_texture", "kappa", "score_population") if p in table[0]]
        heads = ["encoders", "n", "families", *(label(p) for p in predictors)]
        parts += ["τ with clean accuracy, 95 % over families.", rows_of(heads, subsets(table, predictors, "clean"))]
        parts += [
            "By how much |τ| of κ of textures is above that of others.",
            rows_of(["others", "n", "difference", "95 % over families"], above(table, "kappa_texture", "clean")),
        ]
        right, pairs = in_order(table, "kappa_texture", "clean")
        parts += [f"Of pairs of one family that both learned a task it has {right} of {pairs} in the right order."]
        if others := beside.get(name, ()):
            parts += [
                f"With {len(others)} of one random layer beside them:",
                rows_of(heads, subsets([*table, *others], predictors, "clean")[:1]),
                rows_of(
                    ["encoder", "clean accuracy", *(label(p) for p in predictors)],
                    [[r["encoder"], *(f"{r[c]:.3f}" for c in ("clean", *predictors))] for r in others],
                ),
                f"Best of the others: {max(column(table, 'clean')):.3f}.",
            ]
        radii = list(dict.fromkeys(n.partition("@")[2] for n in table[0] if n.startswith("robust_at[")))
        if radii:
            heads = ["ε of the probe", "clean", *(f"ℓ2 ≤ {r}" for r in radii)]
            last = [n for n in table[0] if n.startswith("clean_at[")][-1]
            epsilon = last.removeprefix("clean_at[").removesuffix("]")
            parts += ["Mean over encoders.", rows_of(heads, levels(table))]
            parts += [f"From ε = 0 to {epsilon}: clean {change(table, last, 'clean_at[0]')}."]
            parts += [f"At {r}: {change(table, f'robust_at[{epsilon}]@{r}', f'robust_at[0]@{r}')}." for r in radii]
            parts += [f"The {p} score recommends {recommended(table, p)}." for p in ("population", "paper")]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Print the looks."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.study.looks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("tables", nargs="+", type=Path, metavar="TABLE.json")
    options.add_argument(
        "--beside", action="append", nargs=2, type=Path, default=[], metavar=("TABLE.json", "FURTHER.json"),
        help="encoders to look at beside those of a table",
    )  # fmt: skip
    asked = options.parse_args()
    tables = {_name(path): json.loads(path.read_text()) for path in asked.tables}
    print(document(tables, {_name(path): json.loads(further.read_text()) for path, further in asked.beside}), end="")


def _name(table: Path) -> str:
    return table.stem.removeprefix("validity-")


if __name__ == "__main__":
    main()
