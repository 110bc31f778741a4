"""From the estimates of either protocol to the report: numbers with intervals, settings, and what they mean."""

import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from . import classifier, curve
from .diagnostics import Diagnostics
from .population import Population
from .report import Report
from .separation import separate_roots
from .settings import HEADLINE_EPSILON, HEADLINE_THRESHOLD, TEXTURE, Settings
from .uncertainty import (
    LEVEL,
    QUANTILE,
    Scores,
    epsilon_covariance,
    mean_kappa,
    paper_scores,
    population_scores,
    squared_kappa,
)
from .versions import version_of

if TYPE_CHECKING:
    from .study import Study

_DRIFTS = ("response", "spread", "midpoint", "coordinate")
_PACKAGES = ("synbench", "torch", "transformers", "accelerate", "numpy", "scipy")


def asked_epsilons(settings: Settings) -> list[float]:
    """Return the headline's ε, which is always there, and then the others that are asked for."""
    return list(dict.fromkeys([HEADLINE_EPSILON, *settings.epsilons]))


def of_paper(found: curve.TradeOff, settings: Settings, **told: Any) -> Report:
    """Make the report of the paper protocol.

    Args:
        found: its estimate for ``asked_epsilons``.
        settings: what is asked.
        told: ``study``, ``processes`` and ``seconds``; see ``of_population``.
    """
    scores = paper_scores(found, [*settings.thresholds, HEADLINE_THRESHOLD])
    return _report("paper", found, scores, settings, {}, [], **told)


def of_population(
    found: Population,
    settings: Settings,
    *,
    checked: Diagnostics,
    warnings: Sequence[str] = (),
    **told: Any,
) -> Report:
    """Make the report of the population protocol.

    Args:
        found: its estimate for ``asked_epsilons``.
        settings: what is asked; its scales are those that were asked for.
        checked: the diagnostics of one linear response.
        warnings: what the way to the estimate has to say.
        told: ``study``, where the representations come from, if from a model; ``processes``, how many embedded;
            ``seconds`` since the work began.
    """
    scores = population_scores(found, [*settings.thresholds, HEADLINE_THRESHOLD])
    epsilons = asked_epsilons(settings)
    asked = [epsilons.index(e) for e in settings.epsilons]
    kappa = mean_kappa(found)
    covariance = epsilon_covariance(found, settings.thresholds)[:, asked][:, :, asked]
    values = {
        # All or nothing: a matrix with holes would help nobody.
        "epsilon_covariance": None if np.isnan(covariance).any() else plain(covariance),
        "kappa": plain(kappa.values[asked]),
        "kappa_stderr": plain(kappa.stderr[asked]),
        "kappa_interval": [_whole(pair) for pair in plain(np.stack([kappa.lower, kappa.upper], axis=1)[asked])],
        "diagnostics": {
            "linear": len(found.squared) == 1,
            "bands": len(found.squared),
            **{name: _change(getattr(checked, name)) for name in _DRIFTS},
            **{n: getattr(checked, n) for n in ("skewness", "excess_kurtosis", "score_shift", "gaussian_gap")},
        },
    }
    study = told.get("study")
    if study is not None and study.spec.direction == TEXTURE:
        row = epsilons.index(HEADLINE_EPSILON)
        values["meaning"] = _of_texture(*(float(side[row]) for side in (kappa.values, kappa.lower, kappa.upper)))
    return _report("population", found.trade_off(), scores, settings, values, list(warnings), **told)


def with_baseline(report: Report, twin: Report, covariance: float) -> Report:
    """Return the report with its untrained twin beside it.

    Args:
        report: of the encoder.
        twin: of its untrained twin, with the same settings.
        covariance: of the errors of the two headline scores; 0 if they saw different images.
    """
    difference = error = interval = None
    if None not in (report.synbench_score, twin.synbench_score, report.stderr, twin.stderr):
        assert report.synbench_score is not None
        assert twin.synbench_score is not None
        assert report.stderr is not None
        assert twin.stderr is not None
        difference = report.synbench_score - twin.synbench_score
        error = float(np.sqrt(max(report.stderr**2 + twin.stderr**2 - 2 * covariance, 0.0)))
        interval = [difference - QUANTILE * error, difference + QUANTILE * error]
    values = report.to_dict()
    values["baseline"] = {
        "kind": "untrained",
        **{name: getattr(twin, name) for name in ("synbench_score", "stderr", "interval", "kappa", "kappa_stderr")},
        "difference": difference,
        "difference_stderr": error,
        "difference_interval": interval,
    }
    textured = report.settings.direction == TEXTURE
    beside = _kappas(report, twin) if textured else (difference, interval, twin.synbench_score)
    values["meaning"] = f"{report.meaning} {_meaning_of_baseline(*beside)}".strip()
    values["seconds"] = report.seconds + twin.seconds
    return Report.from_dict(values)


def _report(
    protocol: str,
    found: curve.TradeOff,
    scores: Scores,
    settings: Settings,
    values: dict[str, Any],
    warnings: list[str],
    *,
    study: "Study | None" = None,
    processes: int = 1,
    seconds: float = 0.0,
) -> Report:
    epsilons = asked_epsilons(settings)
    asked = [epsilons.index(e) for e in settings.epsilons]
    raw_accuracy, raw_bound = curve.reference(found.scales)
    headline = (epsilons.index(HEADLINE_EPSILON), -1)
    score, stderr = plain(scores.values[headline]), plain(scores.stderr[headline])
    both = np.stack([scores.lower, scores.upper], axis=-1)
    intervals = [[_whole(pair) for pair in row] for row in plain(both)]
    table = plain(scores.values[asked, :-1])
    told = [*found.warnings, *warnings, *([] if study is None else study.notes)]
    if score is None or any(value is None for row in table for value in row):
        told.append(
            "Some scores are undefined (None): at these scales the best classifier in image space does not exceed "
            "the threshold accuracy at any point of the curve's grid, so there is no optimum to compare with. "
            "Add larger scales, or lower the thresholds."
        )
    bound = plain(found.bound[asked])
    if any(value is None for row in bound for value in row):
        told.append("Some bounds are undefined (None): no image was classified correctly there, or κ is 0.")
    interval = intervals[headline[0]][-1]
    return Report(
        synbench_score=score,
        stderr=stderr,
        interval=interval,
        meaning=values.pop("meaning", None) or _meaning(score, interval),
        scores=table,
        scores_stderr=plain(scores.stderr[asked, :-1]),
        scores_interval=[intervals[row][:-1] for row in asked],
        **{
            "epsilon_covariance": None,
            "kappa": None,
            "kappa_stderr": None,
            "kappa_interval": None,
            "diagnostics": None,
            **values,
        },
        epsilons=list(settings.epsilons),
        thresholds=list(settings.thresholds),
        scales=list(found.scales),
        accuracy=plain(found.accuracy[asked]),
        bound=bound,
        raw_accuracy=plain(raw_accuracy),
        raw_bound=plain(raw_bound),
        protocol=protocol,
        baseline=None,
        settings=_record_settings(settings, study, processes),
        warnings=told,
        seconds=seconds,
        images=found.images,
        # Of processes that somebody else brought together, only this one's is known.
        from_cache=study.from_cache if study is not None and processes == study.processes.count else None,
    )


def _meaning(score: float | None, interval: list[float] | None) -> str:
    if score is None:
        return "The headline score is undefined at these scales."
    if interval is None:
        return "There are too few images for the width of the representation to say what the score means."
    return (
        f"At ε = {HEADLINE_EPSILON:g} and a_t = {HEADLINE_THRESHOLD:g} the representations keep {_percent(score)} "
        f"({_percent(interval[0])} to {_percent(interval[1])}) of the best robustness-accuracy trade-off, which the "
        f"images themselves have (100 %)."
    )


def _of_texture(kappa: float, low: float, high: float) -> str:
    """Say it by κ: few encoders keep enough of a texture for an accuracy at which the score begins."""
    around = "" if np.isnan(low) else f" ({_percent(low)} to {_percent(high)})"
    return (
        f"By their means the classes are alike, and differ in texture: of the best classifier's discriminability, a "
        f"linear one on the representations keeps {_percent(kappa)}{around}."
    )


def _kappas(report: Report, twin: Report) -> tuple[float | None, list[float] | None, float | None]:
    """Return the difference of κ at ε = 0, its interval as if the two had seen different images, and the twin's κ."""
    squares, errors = [], []
    for one in (report, twin):
        row = one.epsilons.index(HEADLINE_EPSILON) if HEADLINE_EPSILON in one.epsilons else None
        interval = one.kappa_interval[row] if row is not None and one.kappa_interval is not None else None
        if row is None or one.kappa is None or interval is None:
            return None, None, None
        square, error = squared_kappa(one.kappa[row], interval)
        squares.append(square)
        errors.append(error)
    found = separate_roots(np.array(squares), np.diag(np.square(errors)), 1 - LEVEL)
    return float(found.difference[0]), [float(found.low[0]), float(found.high[0])], float(np.sqrt(squares[1]))


def _meaning_of_baseline(difference: float | None, interval: list[float] | None, twin: float | None) -> str:
    if difference is None or interval is None or twin is None:
        return "There is no score of the untrained twin to compare with."
    kept = f"the same architecture with random weights keeps {_percent(twin)}"
    if interval[0] <= 0 <= interval[1]:
        return f"By these images {kept}, which is not told apart from it."
    word = "more" if difference > 0 else "less"
    return f"On the same images {kept}: the encoder keeps {100 * abs(difference):.1f} points {word}."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _change(drift: Any) -> dict[str, float] | None:
    return None if drift is None else {"change": drift.change, "stderr": drift.stderr}


def _whole(pair: list[Any]) -> list[float] | None:
    return None if None in pair else pair


def _record_settings(settings: Settings, study: "Study | None", processes: int) -> dict[str, Any]:
    cutoff = (
        f"absolute {classifier.ABSOLUTE_CUTOFF:g}"
        if settings.as_published
        else f"relative {classifier.RELATIVE_CUTOFF:g}"
    )
    of_study = ("samples", "seed", "image_shape", "direction", "model", "preprocessing", "precision", "device")
    values: dict[str, Any] = {
        "as_published": settings.as_published,
        "eigenvalue_cutoff": cutoff,
        "processes": processes,
        "versions": {"python": platform.python_version(), **{p: version_of(p) or "not installed" for p in _PACKAGES}},
        "target_stderr": settings.target_stderr,
        "max_images": settings.max_images,
        **dict.fromkeys((*of_study, "batch_size")),
    }
    if study is not None:
        encoder, contract = study.encoder, study.encoder.contract
        values |= {
            "samples": settings.samples,
            "seed": settings.seed,
            "image_shape": list(contract.shape),
            "direction": study.spec.direction,
            "model": asdict(encoder.record),
            "preprocessing": {
                "image_mean": list(contract.mean),
                "image_std": list(contract.std),
                "channel_order": list(contract.order),
                "source": contract.source,
            },
            "precision": {"dtype": encoder.dtype, "tf32": False, "reason": encoder.dtype_reason},
            "device": encoder.device,
            "batch_size": study.batch_size.size,
        }
    return values


def plain(values: Float[np.ndarray, "..."]) -> Any:
    """Turn an array into nested lists of Python floats, NaN into None."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0:
        return None if np.isnan(array) else float(array)
    return [plain(part) for part in array]
