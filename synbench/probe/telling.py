"""From what was measured to the record of it: shares with intervals, differences, and what they mean."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import norm

from synbench.encoders import Encoder
from synbench.report import Model, Precision, Preprocessing
from synbench.uncertainty import QUANTILE
from synbench.versions import version_of

from .asking import Asked
from .attacks import ATTACKS, Attacked, withstood
from .choosing import Chosen
from .fitting import Fitted
from .intervals import paired_difference, wilson
from .opening import Opened
from .recommendation import Recommendation
from .record import AttackTold, DatasetTold, Difference, Level, ProbeReport

_PACKAGES = ("synbench", "torch", "transformers", "datasets", "scikit-learn", "foolbox", "numpy", "scipy", "pillow")
_BLIND = 0.01
"""Share of pictures without a gradient that is worth a warning."""


@dataclass(frozen=True)
class Measured:
    """Everything that a report is made of; ``test`` are the scaled representations of the test pictures."""

    asked: Asked
    opened: Opened
    chosen: Chosen
    encoder: Encoder
    scale: float
    separation: float
    fitted: Sequence[Fitted]
    test: Float[np.ndarray, "m d"]
    attacked: Sequence[Attacked] | None
    places: Int[np.ndarray, " a"] | None
    recommendation: Recommendation | None
    digests: tuple[str, str]
    warnings: list[str]
    from_cache: int


def report_of(found: Measured, *, seconds: float) -> ProbeReport:
    """Return the record of a probing."""
    encoder, chosen, labels = found.encoder, found.chosen, found.chosen.test.labels
    right = [f.probe.predict(found.test) == labels for f in found.fitted]
    held = None
    if found.attacked is not None:
        held = [[withstood(a.norms, radius) for radius in found.asked.radii] for a in found.attacked]
    levels = [
        _level(found, at, right, None if held is None else (held[at], held[0])) for at in range(len(found.fitted))
    ]
    attack, warnings = None, [*found.warnings, *(note for f in found.fitted for note in f.warnings)]
    if found.asked.folds > (folds := len(chosen.train)):
        warnings.append(f"There are {folds:,} pictures to fit on, so there were {folds:,} folds of one picture each.")
    if found.attacked is not None and found.places is not None:
        attack = AttackTold(
            library="foolbox",
            version=version_of("foolbox") or "unknown",
            names=list(ATTACKS),
            steps=found.asked.attack_steps,
            pictures=len(found.places),
            radii=list(found.asked.radii),
            vanishing=[a.vanishing for a in found.attacked],
        )
        if (blind := max(attack.vanishing)) > _BLIND:
            warnings.append(
                f"The gradient is zero or not finite for {100 * blind:.0f} % of the attacked pictures: attacks that go "
                f"by it see nothing there, and robust accuracy may be too high."
            )
        if lost := max(int(np.isinf(a.norms).sum()) for a in found.attacked):
            warnings.append(
                f"Nothing that changes the decision was found for {lost:,} of {len(found.places):,} attacked pictures, "
                f"as no other attacked picture is decided otherwise: they count as withstanding every radius. Attack "
                f"more pictures, or look whether the probe tells the classes apart."
            )
    return ProbeReport(
        meaning=_meaning(found, levels),
        levels=levels,
        recommendation=found.recommendation,
        dataset=DatasetTold(
            id=found.opened.id,
            config=found.opened.config,
            revision=found.opened.revision,
            commit=found.opened.commit,
            train_split=chosen.train.split,
            test_split=chosen.test.split,
            image_column=chosen.image_column,
            label_column=chosen.label_column,
            classes=chosen.classes,
            train_images=len(chosen.train),
            test_images=len(chosen.test),
            train_sha256=found.digests[0],
            test_sha256=found.digests[1],
        ),
        model=Model(**vars(encoder.record)),
        image_shape=list(encoder.contract.shape),
        preprocessing=Preprocessing(
            image_mean=list(encoder.contract.mean),
            image_std=list(encoder.contract.std),
            channel_order=list(encoder.contract.order),
            source=encoder.contract.source,
        ),
        precision=Precision(dtype=encoder.dtype, tf32=False, reason=encoder.dtype_reason),
        device=encoder.device,
        scale=found.scale,
        separation=found.separation,
        Cs=list(found.asked.Cs or ()),
        folds=min(found.asked.folds, len(chosen.train)),
        seed=found.asked.seed,
        attack=attack,
        warnings=warnings,
        versions={p: v for p in _PACKAGES if (v := version_of(p)) is not None},
        seconds=seconds,
        from_cache=found.from_cache,
    )


def _level(
    found: Measured,
    at: int,
    right: Sequence[Bool[np.ndarray, " m"]],
    held: tuple[Sequence[Bool[np.ndarray, " a"]], Sequence[Bool[np.ndarray, " a"]]] | None,
) -> Level:
    one, labels = found.fitted[at], found.chosen.test.labels
    margins = one.probe.margins(found.test, labels)
    median = None
    robust = intervals = differences = None
    if held is not None and found.attacked is not None:
        own, plain = held
        robust = [float(w.mean()) for w in own]
        intervals = [wilson(int(w.sum()), len(w)) for w in own]
        differences = [_difference(w, p) for w, p in zip(own, plain, strict=True)]
        middle = float(np.median(found.attacked[at].norms))
        median = middle if np.isfinite(middle) else None
    return Level(
        epsilon=one.epsilon,
        C=one.C,
        cv_score=one.cv_score,
        gap=max(float(one.probe.gap_), 0.0),
        clean=float(right[at].mean()),
        clean_interval=wilson(int(right[at].sum()), len(labels)),
        clean_difference=_difference(right[at], right[0]),
        certified=[float(np.mean(margins > e * found.separation)) for e in found.asked.epsilons],
        margin=float(np.median(margins)) / found.separation if found.separation > 0 else 0.0,
        robust=robust,
        robust_interval=intervals,
        robust_difference=differences,
        median_perturbation=median,
    )


def _difference(one: Bool[np.ndarray, " n"], other: Bool[np.ndarray, " n"]) -> Difference:
    if one is other:
        # The probe of ε = 0 and itself: nothing is estimated.
        return Difference(value=0.0, interval=[0.0, 0.0])
    value, interval = paired_difference(one, other)
    return Difference(value=value, interval=interval)


def percent(share: float) -> str:
    """Write a share as everything here does.

    >>> percent(0.9333)
    '93.3 %'
    """
    return f"{100 * share:.1f} %"


def points(told: Difference) -> str:
    """Write a difference of shares with its interval.

    >>> points(Difference(value=-0.01, interval=[-0.02, 0.0]))
    '-1.0 points (-2.0 to +0.0)'
    """
    low, high = (100 * end + 0.0 for end in told.interval)
    return f"{100 * told.value:+.1f} points ({low:+.1f} to {high:+.1f})"


def widened(told: Difference, n: int, comparisons: int) -> Difference:
    """Return a paired difference with an interval that holds for so many comparisons together, 95 % (Bonferroni).

    Args:
        told: as ``paired_difference`` gives it; its low end is not −1.
        n: pictures.
        comparisons: that the one told of was picked from.

    >>> widened(Difference(value=0.1, interval=[0.01, 0.17]), 100, 20).interval[0] < 0
    True
    """
    middle = told.value * n / (n + 2)
    half = (middle - told.interval[0]) * float(norm.isf(norm.sf(QUANTILE) / comparisons)) / QUANTILE
    return Difference(value=told.value, interval=[max(-1.0, middle - half), min(1.0, middle + half)])


def _meaning(found: Measured, levels: Sequence[Level]) -> str:
    """Say what the numbers say.

    An ε is said to raise robust accuracy where the interval of the paired difference lies above 0. The best of all
    ε > 0 is told, at a radius that is chosen by the same pictures, so the interval is one for all ε > 0 and all radii
    together (Bonferroni).
    """
    plain, classes = levels[0], len(found.chosen.classes)
    said = [
        f"A linear probe reads {classes} classes off these representations with {percent(plain.clean)} accuracy "
        f"(95 % interval {percent(plain.clean_interval[0])} to {percent(plain.clean_interval[1])})."
    ]
    if plain.robust is not None and found.places is not None:
        # Where probes differ most can be told best: the radius that about half of the pictures withstand.
        at = int(np.argmin([abs(share - 0.5) for share in plain.robust]))
        radius = found.asked.radii[at]
        said.append(
            f"{percent(plain.robust[at])} of the attacked pictures withstand every attack of ℓ2 radius {radius:g}."
        )
        n, comparisons = len(found.places), len(levels[1:]) * len(found.asked.radii)
        better = [
            (widened(lv.robust_difference[at], n, comparisons), lv)
            for lv in levels[1:]
            if lv.robust_difference is not None
        ]
        gains = [(d, lv) for d, lv in better if d.interval[0] > 0]
        if gains:
            gain, level = max(gains, key=lambda pair: pair[0].value)
            said.append(
                f"The probe of ε = {level.epsilon:g} raises that by {100 * gain.value:.1f} points "
                f"({100 * gain.interval[0]:.1f} to {100 * gain.interval[1]:.1f}, paired, 95 % for all ε and radii), at "
                f"{100 * level.clean_difference.value:+.1f} points of clean accuracy."
            )
        elif better and plain.robust[at] < 1:
            said.append("No ε > 0 is shown to raise that.")
    return " ".join(said)
