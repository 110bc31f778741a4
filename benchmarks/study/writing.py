"""The report of a validity study in Markdown, from its analysis."""

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from . import verdict as rule
from .analysis import Look, Mean, Outcome
from .tabling import LABELS, PICTURES, PREDICTORS, Row, label


@dataclass(frozen=True)
class OnDataset:
    """All that a study found on one data set.

    Attributes:
        name: of the data set.
        table: a row an encoder.
        outcomes: the primary one first.
        explored: τ of every score, by outcome and by column; not tested.
        means: what the recommended ε costs, and what others would have.
        tested: the predictors that were named to be tested, where not all are.
        beforehand: whether they were, and the primary outcome with them, when nothing was measured yet.
    """

    name: str
    table: Sequence[Row]
    outcomes: Sequence[Outcome]
    explored: Mapping[str, Mapping[str, Look]] = field(default_factory=dict)
    means: Sequence[Mean] = ()
    tested: Sequence[str] | None = None
    beforehand: bool = False


def interval(values: Sequence[float] | None) -> str:
    """Return an interval as text.

    >>> interval((0.1, 0.52)), interval(None)
    ('+0.10 to +0.52', '–')
    """
    return "–" if values is None else f"{number(values[0])} to {number(values[1])}"


def number(value: float | None, form: str = "+.2f") -> str:
    """Return a number as text, a dash for none."""
    return "–" if value is None or not np.isfinite(value) else format(value, form).replace("-", "−")


def rows_of(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; a bar inside a cell is no border.

    >>> rows_of(["a", "b"], [[1, 2]])
    '| a | b |\\n| --- | --- |\\n| 1 | 2 |'
    """
    lines = (headings, ["---"] * len(headings), *rows)
    return "\n".join("| " + " | ".join(str(c).replace("|", r"\|") for c in line) + " |" for line in lines)


def plain_table(table: Sequence[Row]) -> str:
    """Return a table as JSON, a row a line, numbers to six digits: what ``benchmarks/results`` keeps of a study.

    >>> print(plain_table([{"encoder": "a", "clean": 1 / 3}]), end="")
    [
    {"encoder": "a", "clean": 0.333333}
    ]
    """
    short = [{k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in row.items()} for row in table]
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in short) + "\n]\n"


def document(found: Sequence[OnDataset], about: Sequence[str], failures: Mapping[str, str] | None = None) -> str:
    """Return the whole report of a study in Markdown.

    Args:
        found: one a data set.
        about: lines on what was run, on what machine.
        failures: why an encoder is missing, by its name.
    """
    parts = ["# What scores predict", *about]
    for one in found:
        parts += _on_dataset(one)
    parts += ["## How to read this", _READING, "### The rule of the verdicts", _rule()]
    if failures:
        parts += ["## Left out", *(f"- {name}: {why}" for name, why in sorted(failures.items()))]
    return "\n\n".join(parts) + "\n"


def _on_dataset(one: OnDataset) -> list[str]:
    families = len({row["family"] for row in one.table})
    parts = [f"## {one.name}: {len(one.table)} encoders of {families} families"]
    if one.tested is not None:
        tested = f"{', '.join(map(label, one.tested))} on {label(one.outcomes[0].name)}"
        when = (
            "That was named before anything was measured."
            if one.beforehand
            else "That was named when encoders were measured already: unless it was written down elsewhere before, it "
            "is a look at what had been seen, and its p means nothing."
        )
        parts += [f"Tested: {tested}. {when} All else stands beside, for a look, untested."]
    parts += [overview(one.outcomes)]
    for place, outcome in enumerate(one.outcomes):
        parts += [f"### {label(outcome.name).capitalize()}{' (primary)' if not place else ''}"]
        if not place:
            parts += ["\n".join(f"- **{f.verdict.kind.capitalize()}.** {f.verdict.sentence}" for f in outcome.findings)]
        parts += [association_table(outcome), *_limits(outcome)]
        parts += [f"Not tested: {label(name)}: {why}" for name, why in outcome.left_out.items()]
    if one.means:
        parts += ["### What the recommended ε costs", regret_table(one.means)]
    if any(one.explored.values()):
        parts += [
            "### Other ε and thresholds",
            "τ of each score, 95 % over families. The best of many is the best by chance too: none of these is tested.",
        ]
        for outcome, looks in one.explored.items():
            parts += [f"#### {label(outcome).capitalize()}", *_grids(looks)]
    return [*parts, "### The encoders", encoder_table(one.table)]


def overview(outcomes: Sequence[Outcome]) -> str:
    """Return τ of every predictor (rows) with every outcome (columns), bold where the rule says that it is shown."""
    known = [name for name in PREDICTORS if any(f.association.predictor == name for o in outcomes for f in o.findings)]
    cells: dict[tuple[str, str], str] = {}
    for outcome in outcomes:
        for finding in outcome.findings:
            a = finding.association
            told = f"{number(a.tau)} (n = {a.n})"
            cells[a.predictor, outcome.name] = f"**{told}**" if finding.verdict.shown else told
    rows = [[label(name), *(cells.get((name, o.name), "–") for o in outcomes)] for name in known]
    return rows_of(["τ; bold: shown by the rule below", *(label(o.name) for o in outcomes)], rows)


def association_table(outcome: Outcome) -> str:
    """Return the coefficients of all predictors with one outcome, sample sizes beside each."""
    headings = [
        "predictor", "sees", "verdict", "n", "families", "τ", "95 % over families", "95 % as if independent",
        "p permutation", "p families", "p Holm", "τ without a family, least to most", "ρ", "95 % over families", "r",
        "95 % over families", "R² out of family, line", "of ranks", "|τ| above parameters", "95 %", "n",
        "|τ| above whether it learned", "95 %", "n",
    ]  # fmt: skip
    rows = []
    for finding in outcome.findings:
        a = finding.association
        above = [
            cell
            for d in (finding.difference, finding.second)
            for cell in (number(d.difference if d else None), interval(d.interval if d else None), d.n if d else "–")
        ]
        without = list(a.without.values())
        rows.append([
            label(a.predictor), PREDICTORS.get(a.predictor, ("", "–"))[1], finding.verdict.kind, a.n, a.families,
            number(a.tau), interval(a.tau_families), interval(a.tau_encoders), number(a.p_permutation, ".2g"),
            number(a.p_families, ".2g"), number(a.p_holm, ".2g"),
            interval((min(without), max(without))) if without else "–", number(a.spearman),
            interval(a.spearman_families), number(a.pearson), interval(a.pearson_families), number(a.r2_linear),
            number(a.r2_rank), *above,
        ])  # fmt: skip
    return rows_of(headings, rows)


def _limits(outcome: Outcome) -> list[str]:
    a = max((f.association for f in outcome.findings), key=lambda a: a.n)
    seen = [f.association.detectable_families for f in outcome.findings]
    spread = [value for value in seen if value is not None]
    lines = []
    if a.detectable is not None:
        lines += [
            f"n = {a.n} independent encoders show a τ of {a.detectable:.2f} or more with 80 % power in one test at the "
            f"5 % level"
            + (f"; families that vary as these do, one of {min(spread):.2f} to {max(spread):.2f}." if spread else ".")
        ]
    if outcome.ceiling is not None:
        c = outcome.ceiling
        lines += [
            f"Noise ceiling from the outcome's own errors (n = {c.n}): its reliability is {c.reliability:.3f}, so a "
            f"predictor of the true outcomes would reach τ = {c.tau:.2f} and r = {c.pearson:.3f}."
        ]
    return lines


def regret_table(means: Sequence[Mean]) -> str:
    """Return what each way to pick ε loses against the best one (columns), for every kind of accuracy (rows).

    Names are those of ``tabling.regrets``. Each cell has the mean over encoders, its interval over families, and n.
    """
    cells = {tuple(mean.name.split(" ", 1)): mean for mean in means}
    kinds, goals = (list(dict.fromkeys(key[place] for key in cells)) for place in (0, 1))
    kinds.sort(key=lambda kind: (kind.startswith("regret"), kind.endswith(("zero", "chance")), kind))
    rows = [[goal, *(_share(cells.get((kind, goal))) for kind in kinds)] for goal in goals]
    return rows_of(["against the best ε", *map(_picked_by, kinds)], rows)


def _share(mean: Mean | None) -> str:
    if mean is None:
        return "–"
    form = ".0f" if mean.name.startswith("agrees") else ".2f"
    ends = "" if mean.interval is None else f"{' to '.join(number(100 * v, form) for v in mean.interval)}; "
    return f"{number(100 * mean.mean, form)} % ({ends}n = {mean.n})"


def _picked_by(kind: str) -> str:
    """Say in words how an ε was picked.

    >>> _picked_by("agrees_paper"), _picked_by("regret_zero"), _picked_by("regret_population_recommended")
    ('the paper score picks it', 'lost by ε = 0', 'lost by the pick of the population score')
    """
    if kind.startswith("agrees_"):
        return f"the {kind.removeprefix('agrees_')} score picks it"
    protocol = kind.removeprefix("regret_").removesuffix("_recommended")
    told = {"zero": "ε = 0", "chance": "chance"}
    return f"lost by {told.get(protocol) or f'the pick of the {protocol} score'}"


def _grids(explored: Mapping[str, Look]) -> list[str]:
    """Return a table a protocol of τ by ε (rows) and threshold (columns)."""
    cells: dict[str, dict[tuple[float, float], Look]] = {}
    others = []
    for name, look in explored.items():
        kind, bracket, inside = name.partition("[")
        if bracket:
            epsilon, threshold = (float(v) for v in inside.rstrip("]").split(","))
            cells.setdefault(kind, {})[epsilon, threshold] = look
        else:
            others.append([name, look.n, number(look.tau), interval(look.interval)])
    parts = []
    for kind, found in cells.items():
        epsilons, thresholds = (sorted({key[i] for key in found}) for i in (0, 1))
        rows = [
            [f"{e:g}", *(_looked_at(found[e, t]) if (e, t) in found else "–" for t in thresholds)] for e in epsilons
        ]
        parts += [rows_of([f"{label(kind)}: ε", *(f"a_t = {t:g}" for t in thresholds)], rows)]
    return [*parts, rows_of(["other numbers", "n", "τ", "95 % over families"], others)] if others else parts


def _looked_at(look: Look) -> str:
    return f"{number(look.tau)} ({interval(look.interval)}; n = {look.n})"


def encoder_table(table: Sequence[Row]) -> str:
    """Return predictors and primary outcome of every encoder, the most accurate first."""
    known = [name for name in PREDICTORS if any(row.get(name) is not None for row in table)]
    rows = []
    for row in sorted(table, key=lambda row: -(row.get("clean") or 0)):
        cells = [_with_error(row, name) for name in ("clean", *known)]
        rows.append([row["encoder"], row["family"], row.get("pretext") or "–", *cells])
    return rows_of(["encoder", "family", "pretext", "clean accuracy", *map(label, known)], rows)


def _with_error(row: Row, name: str) -> str:
    value, error = row.get(name), row.get(f"{name}_stderr")
    if value is None:
        return "–"
    return number(value, ".4g") if error is None else f"{number(value, '.3f')} ± {error:.3f}"


_READING = f"""- τ is Kendall's τ-b, ρ Spearman's, r Pearson's. n is the number of encoders that have both numbers.
- "Over families": the cluster bootstrap draws whole families, as encoders of one architecture are not independent. Its
  standard error is corrected for the number of families, and t with one degree of freedom less than families makes the
  interval. "As if independent": the bootstrap (BCa) of encoders. The first one is the one to quote.
- "p Holm": the larger of the two p, adjusted for all predictors in the table. The first outcome of a data set is the
  primary one; the others are adjusted each by itself.
- "R² out of family": how much better than the mean of the other families a line fitted to them predicts a held-out
  family; below 0 it does worse than the mean.
- A predictor that sees "{PICTURES}" has seen the data set it predicts, one that sees "{LABELS}" its
  classes too; a score sees nothing.
- The noise ceiling counts the error of the outcome alone. That of a score (± in the list of encoders) lowers what it
  can reach further.
- "Whether it learned" is one bit: 0 of untrained encoders and of those trained on random labels, 1 of all others. It
  was added when all encoders had been seen, and is never tested. A predictor that is not above it has not been shown to
  tell more than that."""


def _rule() -> str:
    """Return the rule as its function states it."""
    stated = inspect.cleandoc(rule.verdict.__doc__ or "")
    return stated[stated.index("The rule") : stated.index("Args:")].strip()
