"""How well one number of an encoder goes with another, over encoders that come in families.

Encoders of one family (an architecture) are not independent: what is said about other encoders rests on the spread
over families. Every function is pure, and the same seed gives the same numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from synbench.errors import ArgumentError

from . import coefficients as of
from .coefficients import RESAMPLES, Spread
from .limits import detectable, detectable_by_families

MIN_ENCODERS = 4

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Association:
    """A predictor and an outcome over n encoders of several families.

    Attributes:
        predictor: its name.
        outcome: its name.
        n: encoders that have both numbers.
        families: families among them.
        tau: Kendall's τ-b.
        tau_encoders: its interval (BCa bootstrap) as if encoders were independent.
        tau_families: its interval by the cluster bootstrap of families; the one to quote. None for fewer than four.
        tau_stderr: the standard error behind that.
        p_permutation: two-sided, as if encoders were exchangeable.
        p_families: two-sided, by the cluster bootstrap.
        p: the larger of both; 1 where there are too few families.
        p_holm: p adjusted for the number of predictors that are tested beside this one; p until ``holm`` was told;
            None for one that is not tested.
        spearman: ρ.
        spearman_families: its interval by the cluster bootstrap.
        pearson: r.
        pearson_families: likewise.
        without: τ without each family, by its name.
        r2_linear: share of the outcome's variance in held-out families that a straight line of the predictor, fitted to
            the other families, predicts better than their mean does; negative where it predicts worse.
        r2_rank: the same of a straight line of the predictor's rank among the other families.
        detectable: the smallest τ that n independent encoders show with 80 % power at the 5 % level.
        detectable_families: the same for families that vary as these do, at least the former; None for fewer than 4.
    """

    predictor: str
    outcome: str
    n: int
    families: int
    tau: float
    tau_encoders: tuple[float, float]
    tau_families: tuple[float, float] | None
    tau_stderr: float | None
    p_permutation: float
    p_families: float | None
    p: float
    p_holm: float | None
    spearman: float
    spearman_families: tuple[float, float] | None
    pearson: float
    pearson_families: tuple[float, float] | None
    without: dict[str, float]
    r2_linear: float | None
    r2_rank: float | None
    detectable: float | None
    detectable_families: float | None


def associate(
    x: ArrayLike,
    y: ArrayLike,
    families: Sequence[str],
    *,
    predictor: str = "predictor",
    outcome: str = "outcome",
    resamples: int = RESAMPLES,
    permutations: int = of.PERMUTATIONS,
    seed: int = 0,
) -> Association:
    """Return how a predictor goes with an outcome; encoders that lack one (NaN) are left out.

    Args:
        x: (n,), the predictor of each encoder.
        y: (n,), its outcome.
        families: (n,), its family.
        predictor: a name, for messages.
        outcome: likewise.
        resamples: of each bootstrap.
        permutations: of the test.
        seed: of both.

    Raises:
        ArgumentError: lengths differ, fewer than four encoders have both numbers, or one of the two is constant.

    >>> found = associate([1, 2, 3, 4, 5], [1, 2, 3, 5, 4], list("aabcd"), resamples=200)
    >>> found.n, found.families, found.tau
    (5, 4, 0.8)
    """
    a, b, names = complete(x, y, families, predictor=predictor, outcome=outcome)
    one_each = np.ones((1, len(a)))
    encoders = of.encoder_counts(len(a), resamples, seed)
    clusters = of.family_counts(names, resamples, seed)
    found = {kind: float(of.coefficient(kind, a, b, one_each)[0]) for kind in of.KINDS}
    count = len(set(names))
    spreads = {k: of.family_spread(found[k], of.coefficient(k, a, b, clusters), count) for k in of.KINDS}
    tau = spreads["kendall"]
    permuted = of.permutation_p(a, b, permutations, seed)
    p = 1.0 if tau is None else max(permuted, tau.p)
    least = detectable(len(a))
    jackknife = of.coefficient("kendall", a, b, 1 - np.eye(len(a)))
    return Association(
        predictor=predictor,
        outcome=outcome,
        n=len(a),
        families=count,
        tau=found["kendall"],
        tau_encoders=of.bca_interval(found["kendall"], of.coefficient("kendall", a, b, encoders), jackknife),
        tau_families=_interval(tau),
        tau_stderr=None if tau is None else tau.stderr,
        p_permutation=permuted,
        p_families=None if tau is None else tau.p,
        p=p,
        p_holm=p,
        spearman=found["spearman"],
        spearman_families=_interval(spreads["spearman"]),
        pearson=found["pearson"],
        pearson_families=_interval(spreads["pearson"]),
        without=leave_one_family_out(a, b, names),
        r2_linear=out_of_family(a, b, names),
        r2_rank=out_of_family(a, b, names, ranks=True),
        detectable=least,
        detectable_families=None if tau is None else max(least or 0.0, detectable_by_families(tau.stderr, count)),
    )


def complete(
    x: ArrayLike, y: ArrayLike, families: Sequence[str], *, predictor: str = "predictor", outcome: str = "outcome"
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], list[str]]:
    """Return the encoders that have both numbers.

    Raises:
        ArgumentError: as ``associate``.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(families) != len(a):
        raise ArgumentError(
            f"expected one {predictor}, one {outcome} and one family an encoder, got {a.shape}, {b.shape} and "
            f"{len(families)}."
        )
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    if len(a) < MIN_ENCODERS:
        raise ArgumentError(
            f"expected at least {MIN_ENCODERS} encoders that have both {predictor} and {outcome}, got {len(a)}: no "
            f"order of so few is beyond chance. Add encoders."
        )
    for values, name in ((a, predictor), (b, outcome)):
        if np.ptp(values) == 0:
            raise ArgumentError(f"expected {name} to differ between encoders, got {values[0]:g} for all {len(a)}.")
    return a, b, [family for family, kept in zip(families, both, strict=True) if kept]


def leave_one_family_out(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], families: Sequence[str]
) -> dict[str, float]:
    """Return τ-b without each family; one for which it is undefined has no entry."""
    names = sorted(set(families))
    counts = np.array([[float(own != name) for own in families] for name in names])
    found = of.coefficient("kendall", x, y, counts)
    return {name: float(tau) for name, tau in zip(names, found, strict=True) if np.isfinite(tau)}


def out_of_family(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], families: Sequence[str], *, ranks: bool = False
) -> float | None:
    """Return 1 − Σ(y − ŷ)² / Σ(y − ȳ)², both predicted for each family from the others alone.

    ŷ is a straight line of x, or with ``ranks`` of the share of the others' x below it (equal ones count half), fitted
    by least squares; ȳ is the mean of the others. None with one family, or where the others are all equal to y.
    """
    own = np.asarray(families)
    line, mean = 0.0, 0.0
    for name in np.unique(own):
        held = own == name
        if held.all():
            return None
        seen, values = x[~held], x
        if ranks:
            values = ((seen[None, :] < x[:, None]).sum(axis=1) + (seen[None, :] == x[:, None]).sum(axis=1) / 2) / len(
                seen
            )
        a, b = values[~held], y[~held]
        centre, spread = a.mean(), ((a - a.mean()) ** 2).sum()
        slope = ((a - centre) * (b - b.mean())).sum() / spread if spread > 0 else 0.0
        line += ((y[held] - b.mean() - slope * (values[held] - centre)) ** 2).sum()
        mean += ((y[held] - b.mean()) ** 2).sum()
    return float(1 - line / mean) if mean > 0 else None


@dataclass(frozen=True)
class Difference:
    """τ of one predictor minus τ of another on the same encoders.

    Attributes:
        first: its name.
        second: its name.
        n: encoders that have both predictors and the outcome.
        families: families among them.
        difference: of τ, or of |τ|.
        interval: by the cluster bootstrap, paired: every resample has both; None for fewer than four families.
        p: two-sided, likewise.
    """

    first: str
    second: str
    n: int
    families: int
    difference: float
    interval: tuple[float, float] | None
    p: float | None


def compare_predictors(
    first: ArrayLike,
    second: ArrayLike,
    y: ArrayLike,
    families: Sequence[str],
    *,
    names: tuple[str, str] = ("first", "second"),
    absolute: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Return by how much one predictor orders encoders better than another.

    Args:
        first: (n,).
        second: (n,).
        y: (n,), the outcome.
        families: (n,).
        names: of the two predictors.
        absolute: compare |τ|: an order that is exactly reversed is as good.
        resamples: of the cluster bootstrap.
        seed: of it.

    Raises:
        ArgumentError: as ``associate``.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    have_both = np.where(np.isfinite(a) & np.isfinite(b), np.asarray(y, dtype=np.float64), np.nan)
    x, outcome, own = complete(a, have_both, families, predictor=names[0])
    z, _, _ = complete(b, have_both, families, predictor=names[1])

    def gap(counts: Float[np.ndarray, "b n"]) -> Array:
        taus = [of.coefficient("kendall", v, outcome, counts) for v in (x, z)]
        found: Array = np.subtract(*(np.abs(t) if absolute else t for t in taus))
        return found

    estimate = float(gap(np.ones((1, len(x))))[0])
    count = len(set(own))
    reach = 1.0 if absolute else 2.0
    spread = of.family_spread(estimate, gap(of.family_counts(own, resamples, seed)), count, limits=(-reach, reach))
    return Difference(
        names[0], names[1], len(x), count, estimate, _interval(spread), None if spread is None else spread.p
    )


def _interval(spread: Spread | None) -> tuple[float, float] | None:
    return None if spread is None else spread.interval
