"""What may be said about a predictor, by a rule that was fixed before the data were seen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .association import Association, Difference
from .coefficients import LEVEL, holm

FEWEST_FAMILIES = 5
FEWEST_ENCODERS = 12

Kind = Literal["predicts", "predicts, no better than the baseline", "predicts the reverse", "no evidence", "not tested"]


@dataclass(frozen=True)
class Verdict:
    """A kind, and the sentence that says it with its numbers."""

    kind: Kind
    sentence: str

    @property
    def shown(self) -> bool:
        """Whether the rule lets one say that predictor and outcome go together, either way round."""
        return self.kind not in ("no evidence", "not tested")


def holm_adjusted(tested: Sequence[Association]) -> list[Association]:
    """Return the associations of one outcome with p adjusted for their number."""
    adjusted = holm([a.p for a in tested])
    return [replace(a, p_holm=p) for a, p in zip(tested, adjusted, strict=True)]


def verdict(
    found: Association,
    baseline: Association | None = None,
    difference: Difference | None = None,
    naming: Callable[[str], str] = str,
) -> Verdict:
    """Return what one predictor says about one outcome.

    The rule, fixed in advance, for a predictor that is expected to rise with the outcome:

    - *shown* means: the interval of τ by the cluster bootstrap of families does not contain 0; the larger of the
      permutation's and the cluster bootstrap's p, adjusted by Holm for all predictors that are tested on this outcome,
      is below 5 %; and τ keeps its sign when any one family is left out.
    - "predicts": shown, τ > 0, and τ is at least |τ| of the baseline (the number of parameters, which costs nothing)
      on the encoders that have both.
    - "predicts, no better than the baseline": shown and τ > 0, but τ is below |τ| of the baseline.
    - "predicts the reverse": shown and τ < 0.
    - "no evidence": all else, and fewer than five families or twelve encoders, of which a chance order is too likely to
      be perfect. The sentence says what could still be true, and how large τ would have to be to be seen.
    - "not tested": its p was adjusted by nobody, as others were named to be tested. Its numbers are for a look.

    Args:
        found: with p adjusted by ``holm_adjusted``, or None.
        baseline: of the number of parameters on the same outcome; None where that is not known, or is what is judged.
        difference: of |τ| of the predictor and of the baseline; its interval is told beside the verdict, no part of the
            rule.
        naming: from columns to what the sentence calls them.
    """
    what, goal = naming(found.predictor), naming(found.outcome)
    size = f"n = {found.n}, {found.families} families"
    told = f"τ = {_signed(found.tau)}"
    if found.tau_families is not None:
        told += f", {100 * LEVEL:.0f} % interval over families {_ends(*found.tau_families)}"
    if found.p_holm is None:
        return Verdict("not tested", f"{what}: not tested against {goal} ({size}; {told}).")
    if found.tau_families is None or found.families < FEWEST_FAMILIES or found.n < FEWEST_ENCODERS:
        return Verdict(
            "no evidence",
            f"{what}: no evidence either way about {goal} ({size}, {told}): fewer than {FEWEST_FAMILIES} families, or "
            f"than {FEWEST_ENCODERS} encoders, do not tell how others would do.",
        )
    low, high = found.tau_families
    sign = 1 if found.tau > 0 else -1
    turned = [name for name, tau in found.without.items() if tau * sign <= 0]
    adjusted = f"p = {found.p_holm:.2g} after Holm"
    significant = found.p_holm < 1 - LEVEL and (low > 0 or high < 0)
    if significant and not turned:
        if sign < 0:
            return Verdict(
                "predicts the reverse",
                f"{what}: predicts the reverse of {goal} ({size}; {told}; {adjusted}).",
            )
        beside = _beside(baseline, difference, naming)
        behind = difference is not None and difference.difference < 0
        if baseline is not None and (behind or (difference is None and found.tau < abs(baseline.tau))):
            return Verdict(
                "predicts, no better than the baseline",
                f"{what}: goes with {goal}, but no better than {naming(baseline.predictor)} does ({size}; "
                f"{told}; {adjusted}{beside}).",
            )
        return Verdict(
            "predicts",
            f"{what}: predicts {goal} ({size}; {told}; {adjusted}; at least "
            f"{_signed(min(found.without.values()))} without any one family{beside}).",
        )
    reason = adjusted
    if significant:
        reason += f", but the sign turns without {' or '.join(turned)}"
    seen = f"; with 80 % power a τ of {found.detectable_families or 1:.2f} would be seen"
    return Verdict(
        "no evidence",
        f"{what}: no evidence either way about {goal} ({size}; {told}, which allows "
        f"{_allowed(low, high)}; {reason}{seen}).",
    )


def _allowed(low: float, high: float) -> str:
    """Say in words which associations an interval holds.

    >>> _allowed(-0.2, 0.6), _allowed(-0.05, 0.1), _allowed(0.2, 0.6)
    ('anything from a weak reverse to a strong one', 'none or a negligible one', 'a weak to a strong one')
    """
    names = [_strength(max(-low, 0.0)), _strength(max(high, 0.0))]
    if names == ["no", "no"]:
        return "none or a negligible one"
    if low < 0 < high and "no" not in names:
        return f"anything from a {names[0]} reverse to a {names[1]} one"
    if low >= 0 or high <= 0:
        ends = [_strength(min(abs(low), abs(high))), _strength(max(abs(low), abs(high)))]
        return f"{_article(ends[0])} to a {ends[1]} {'one' if low >= 0 else 'reverse'}"
    strong, reverse = (names[1], "one") if names[0] == "no" else (names[0], "reverse")
    return f"none to a {strong} {reverse}"


def _article(name: str) -> str:
    return "none" if name == "no" else f"a {name}"


def _strength(tau: float) -> str:
    for limit, name in ((0.1, "no"), (0.3, "weak"), (0.5, "moderate")):
        if tau <= limit:
            return name
    return "strong"


def _ends(low: float, high: float) -> str:
    return f"{_signed(low)} to {_signed(high)}"


def _beside(baseline: Association | None, difference: Difference | None, naming: Callable[[str], str]) -> str:
    if baseline is None:
        return ""
    told = f"; {naming(baseline.predictor)} has τ = {_signed(baseline.tau)}"
    if difference is not None and difference.interval is not None:
        low, high = difference.interval
        told += f", a difference of |τ| of {_signed(difference.difference)}, interval {_ends(low, high)}"
    return told


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
