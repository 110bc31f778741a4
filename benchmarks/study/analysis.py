"""The analysis of a study: from a plain table, a row an encoder, to coefficients, comparisons and verdicts.

A row is a dict with ``encoder``, ``family``, and numbers by name; ``NAME_stderr`` is the standard error of NAME. What
an encoder lacks is absent or None.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synbench.errors import ArgumentError

from . import coefficients as of
from .association import Association, Difference, associate, compare_predictors
from .coefficients import RESAMPLES
from .limits import Ceiling, ceiling
from .verdict import Verdict, holm_adjusted, verdict

BASELINE = "parameters"
"""What a predictor is compared with by the rule."""

SECOND_BASELINE = "learned"
"""Likewise, for a look: it came later than the rule."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One predictor on one outcome.

    Attributes:
        association: with p adjusted for all predictors of this outcome.
        verdict: by the rule of ``verdict``.
        difference: |τ| of the predictor minus |τ| of the baseline, on the encoders that have both; None for the
            baseline itself and without it.
        second: the same of the second baseline.
    """

    association: Association
    verdict: Verdict
    difference: Difference | None
    second: Difference | None = None


@dataclass(frozen=True)
class Outcome:
    """All predictors on one outcome, the most associated first.

    Attributes:
        name: of the outcome.
        findings: one a predictor.
        ceiling: of its measuring error; None where no standard errors are known.
        left_out: why a predictor has no finding, by its name.
    """

    name: str
    findings: list[Finding]
    ceiling: Ceiling | None
    left_out: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Mean:
    """A mean over encoders, with its interval over families.

    Attributes:
        name: of the number.
        n: encoders that have it.
        families: families among them.
        mean: over encoders.
        interval: by the cluster bootstrap; None for fewer than four families.
    """

    name: str
    n: int
    families: int
    mean: float
    interval: tuple[float, float] | None


def column(table: Sequence[Row], name: str) -> NDArray[np.float64]:
    """Return one number of every row, NaN where it is absent or None.

    >>> column([{"a": 1}, {"a": None}, {}], "a")
    array([ 1., nan, nan])
    """
    return np.array([np.nan if row.get(name) is None else float(row[name]) for row in table])


def analyse(
    table: Sequence[Row],
    predictors: Sequence[str],
    outcome: str,
    *,
    tested: Sequence[str] | None = None,
    baseline: str = BASELINE,
    naming: Callable[[str], str] = str,
    resamples: int = RESAMPLES,
    permutations: int = of.PERMUTATIONS,
    seed: int = 0,
) -> Outcome:
    """Return what each predictor says about one outcome.

    All predictors that are tested are tested together: Holm adjusts for their number. So name those that were chosen
    before the data were seen; of the others there are coefficients and intervals, and ``explore`` looks at still more.

    Args:
        table: a row an encoder.
        predictors: columns.
        outcome: a column.
        tested: some of the predictors, or none; all by default.
        baseline: the predictor that every other has to reach; not needed.
        naming: from columns to what the verdicts call them.
        resamples: of each bootstrap.
        permutations: of each test.
        seed: of both.

    Raises:
        ArgumentError: two rows have the same encoder, one that is to be tested is no predictor, or none of the
            predictors can be tested; it says why.
    """
    names = [row["encoder"] for row in table]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ArgumentError(f"expected one row an encoder, got more of {', '.join(sorted(twice))}. Keep one of each.")
    tested = predictors if tested is None else tested
    if strange := sorted(set(tested) - set(predictors)):
        raise ArgumentError(
            f"expected to test some of {', '.join(predictors)}, got {', '.join(strange)}. Measure them."
        )
    families = [str(row["family"]) for row in table]
    y = column(table, outcome)
    found: list[Association] = []
    left_out: dict[str, str] = {}
    for name in predictors:
        try:
            one = associate(
                column(table, name), y, families, predictor=name, outcome=outcome, resamples=resamples,
                permutations=permutations, seed=seed,
            )  # fmt: skip
            found.append(one)
        except ArgumentError as error:
            left_out[name] = str(error)
    if not found or (tested and not any(one.predictor in tested for one in found)):
        raise ArgumentError(f"no predictor of {outcome} can be tested: {next(iter(left_out.values()), 'none given')}")
    adjusted = holm_adjusted([one for one in found if one.predictor in tested])
    adjusted += [replace(one, p_holm=None) for one in found if one.predictor not in tested]
    by_name = {a.predictor: a for a in adjusted}

    def above(name: str, rival: str) -> Difference | None:
        if name == rival or rival not in by_name:
            return None
        try:
            return compare_predictors(
                column(table, name), column(table, rival), y, families, names=(name, rival), absolute=True,
                resamples=resamples, seed=seed,
            )  # fmt: skip
        except ArgumentError:
            # Too few encoders have both.
            return None

    findings = []
    for one in adjusted:
        difference, second = (above(one.predictor, rival) for rival in (baseline, SECOND_BASELINE))
        rival = None if difference is None else by_name[baseline]
        findings.append(Finding(one, verdict(one, rival, difference, naming), difference, second))
    findings.sort(key=lambda finding: -finding.association.tau)
    errors = column(table, f"{outcome}_stderr")
    known = np.count_nonzero(np.isfinite(errors) & np.isfinite(y)) >= 4
    return Outcome(outcome, findings, ceiling(y, errors) if known else None, left_out)


@dataclass(frozen=True)
class Look:
    """τ of a predictor that is not tested.

    Attributes:
        tau: Kendall's τ-b.
        n: encoders that have both numbers.
        interval: by the cluster bootstrap of families; None for fewer than four families.
    """

    tau: float
    n: int
    interval: tuple[float, float] | None


def explore(
    table: Sequence[Row], predictors: Sequence[str], outcome: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Look]:
    """Return τ of each predictor, for a look: the best of many is the best by chance too, so none is tested."""
    y, families = column(table, outcome), np.array([str(row["family"]) for row in table])
    found = {}
    for name in predictors:
        x = column(table, name)
        both = np.isfinite(x) & np.isfinite(y)
        tau = float(of.coefficient("kendall", x[both], y[both])[0]) if both.sum() >= 4 else np.nan
        if np.isfinite(tau):
            own = [str(family) for family in families[both]]
            resampled = of.coefficient("kendall", x[both], y[both], of.family_counts(own, resamples, seed))
            spread = of.family_spread(tau, resampled, len(set(own)))
            found[name] = Look(tau, int(both.sum()), None if spread is None else spread.interval)
    return found


def mean_over_families(
    table: Sequence[Row],
    name: str,
    *,
    limits: tuple[float, float] = (-np.inf, np.inf),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Mean | None:
    """Return the mean of a column with its interval over families, or None where no row has it.

    >>> rows = [{"encoder": str(i), "family": str(i % 4), "a": i % 2} for i in range(8)]
    >>> found = mean_over_families(rows, "a")
    >>> found.mean, found.n, found.families
    (0.5, 8, 4)
    """
    values = column(table, name)
    kept = np.isfinite(values)
    if not kept.any():
        return None
    families = [str(row["family"]) for row, own in zip(table, kept, strict=True) if own]
    values = values[kept]
    counts = of.family_counts(families, resamples, seed)
    count = len(set(families))
    spread = of.family_spread(float(values.mean()), (counts @ values) / counts.sum(axis=1), count, limits=limits)
    return Mean(name, len(values), count, float(values.mean()), None if spread is None else spread.interval)
