"""The way from a model, or from representations, to a report: each station called once, in order."""

import math
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from . import paper, population, summary, uncertainty
from .batching import enough_memory
from .diagnostics import Diagnostics
from .errors import ArgumentError
from .preparing import prepare
from .processes import ALONE, Processes, launched, together
from .report import Report
from .representations import Representations, check_one_width, concatenate
from .settings import HEADLINE_EPSILON, HEADLINE_THRESHOLD, TEXTURE, Settings, make_settings
from .study import Study

MATERIAL = 0.005
"""A shift of the headline score below this is not worth another estimate, however small its standard error."""

_FAR = 0.1
_MARGIN = 1.1
"""Images drawn beyond those that a wanted standard error should need."""

_BASELINES = (None, "untrained")


@dataclass(frozen=True)
class Scored:
    """A report, and what a paired comparison needs beside it.

    Attributes:
        report: the result.
        estimate: what it was made of, in the order of the draws; None where there is no such order (the paper
            protocol, bands of scales, added representations).
    """

    report: Report
    estimate: population.Population | None

    def contributions(
        self, epsilon: float = HEADLINE_EPSILON, threshold: float = HEADLINE_THRESHOLD, *, of_kappa: bool = False
    ) -> Float[np.ndarray, " n"] | None:
        """Return each draw's part of the error of the score at one ε of the report and any a_t, or of κ at this ε."""
        if self.estimate is None:
            return None
        row = list(dict.fromkeys([HEADLINE_EPSILON, *self.report.epsilons])).index(epsilon)
        if of_kappa:
            return uncertainty.kappa_contributions(self.estimate, row)
        return uncertainty.contributions(self.estimate, threshold, row)


def score(
    model: Any,
    *,
    protocol: str | None = None,
    images: int | None = None,
    target_stderr: float | None = None,
    max_images: int | None = None,
    samples: int | None = None,
    scales: Sequence[float] | None = None,
    epsilons: Sequence[float] | None = None,
    thresholds: Sequence[float] | None = None,
    seed: int = 0,
    direction: str | None = None,
    as_published: bool = False,
    batch_size: int | None = None,
    untrained: bool = False,
    baseline: str | None = None,
    cache: bool = True,
    fresh: bool = False,
    distributed: bool = False,
    progress: bool | None = None,
    **loading: Any,
) -> Report:
    """Score a model: draw, embed, fit, compare with the optimum.

    Args:
        model: a Hub id, a local folder, a ``torch.nn.Module``, or a callable from (n, C, H, W) float32
            tensors to (n, d) arrays.
        protocol: ``"population"``, by default, or ``"paper"``, also by default where ``samples`` or
            ``as_published`` is given.
        images: of the population protocol: images in all, at least 64; default 8192.
        target_stderr: of the population protocol: draw more until the headline's standard error is at most this; of
            textures, that of κ.
        max_images: where to stop on the way there; default 65536.
        samples: of the paper protocol: images per scale and split, at least 3; default 2048.
        scales: s > 0; the paper's 0.1, 0.2, …, 4.9 by default.
        epsilons: in [0, 1); the paper's 0, 0.2, …, 0.8 by default.
        thresholds: a_t in [0.6, 1); the paper's 0.6, 0.65, …, 0.95, 0.99 by default.
        seed: a non-negative integer; same seed, same number.
        direction: of the class means: ``"uniform"``, by default, or ``"random"``; or ``"texture"``: the classes differ
            in their spectra instead, of the population protocol. Read κ then: it says how much of a texture's
            difference the representations make linear (``synbench.texture``).
        as_published: of the paper protocol: reproduce the authors' script.
        batch_size: images a forward pass; by default it is found: it halves while memory runs out.
        untrained: score the untrained twin instead.
        baseline: ``"untrained"`` scores the untrained twin too, on the same images, and tells the difference.
        cache: keep representations in the Hugging Face assets cache, and go on from those that were kept.
        fresh: use none that were kept before.
        distributed: embed together with all processes that ``accelerate launch`` or ``torchrun`` started, each of which
            has to make this call, and gets the report.
        progress: show a bar on stderr; by default if stderr is a terminal.
        loading: ``revision``, ``pooling``, ``device``, ``dtype``, ``image_size``, ``image_mean``, ``image_std`` and
            ``trust_remote_code``, as ``load_encoder``.

    Raises:
        ArgumentError: an argument is out of range.
        EncoderError: the model cannot be used.
        RepresentationError: its representations cannot be scored.

    >>> report = score("synbench:demo", images=2048)
    >>> low, high = report.interval
    >>> low < report.synbench_score < high
    True
    """
    began = time.perf_counter()
    check_baseline(baseline, untrained)
    settings = make_settings(
        protocol=protocol,
        images=images,
        target_stderr=target_stderr,
        max_images=max_images,
        samples=samples,
        scales=scales,
        epsilons=epsilons,
        thresholds=thresholds,
        seed=seed,
        direction=direction,
        as_published=as_published,
    )
    processes = launched(loading.get("device")) if distributed else ALONE
    how = {"batch_size": batch_size, "cache": cache, "fresh": fresh, **loading}
    twins = [untrained] if baseline is None else [False, True]
    report = prepared_and_run(model, settings, twins, progress=progress, began=began, processes=processes, **how).report
    agreed: Report = processes.from_main(report)
    return agreed


def prepared_and_run(
    model: Any,
    settings: Settings,
    twins: Sequence[bool],
    *,
    progress: bool | None = None,
    began: float | None = None,
    processes: Processes = ALONE,
    checked: bool = False,
    **how: Any,
) -> Scored:
    """Score a model, or its untrained twin, or both beside each other; one is held at a time.

    Args:
        model: as ``score``.
        settings: what is asked.
        twins: of each that is scored, whether it is the untrained one.
        progress: as ``score``.
        began: ``time.perf_counter()`` when the work began.
        processes: who embeds together.
        checked: both were prepared before; else what is wrong with the second is told before the first is scored.
        how: further arguments of ``prepare``.
    """
    if len(twins) > 1 and not checked:
        with together(processes):
            prepare(model, settings, untrained=twins[1], **{**how, "fresh": False})
    found = []
    for untrained in twins:
        with together(processes):
            study = prepare(model, settings, untrained=untrained, processes=processes, **how)
        found.append(run(study, progress=progress, began=began))
        began = None
        del study
    return found[0] if len(found) == 1 else beside(*found)


def check_baseline(baseline: str | None, untrained: bool) -> None:
    """Refuse an unknown baseline, and the twin of a twin.

    Raises:
        ArgumentError: it is not ``None`` or ``"untrained"``, or ``untrained`` is asked for as well.
    """
    if baseline not in _BASELINES:
        raise ArgumentError(f"baseline must be 'untrained' or None, got {baseline!r}.")
    if baseline is not None and untrained:
        raise ArgumentError("baseline='untrained' compares a model with its untrained twin: leave untrained= out.")


def run(study: Study, *, progress: bool | None = None, began: float | None = None) -> Scored:
    """Score a prepared study, together with the processes that it is shared with."""
    began = time.perf_counter() if began is None else began
    if not study.processes.main:
        study.follow(progress=False)
        report: Report = study.processes.from_main(None)
        return Scored(report, None)
    try:
        scored = conclude(study.embed(progress=progress), study.settings, study=study, began=began, progress=progress)
    except Exception as error:
        study.done(error)
        raise
    study.done()
    study.processes.from_main(scored.report)
    return scored


def beside(scored: Scored, twin: Scored) -> Scored:
    """Return a result with its untrained twin's, compared image by image where both saw the same."""
    covariance = 0.0
    one, other = scored.contributions(), twin.contributions()
    if one is not None and other is not None and len(one) == len(other):
        covariance = float(one @ other)
    return replace(scored, report=summary.with_baseline(scored.report, twin.report, covariance))


def conclude(
    parts: Iterable[Representations],
    settings: Settings,
    *,
    study: Study | None = None,
    began: float | None = None,
    processes: int | None = None,
    progress: bool | None = None,
) -> Scored:
    """Make the report of representations.

    Args:
        parts: of the paper protocol, one whole scale at a time, as ``Study.embed`` or ``representations.by_scale``
            yields them; of the population protocol, in any parts, those of a study in the order of its images.
        settings: what is asked; of the paper protocol, the report's scales are those that came.
        study: where the representations come from, if from a model.
        began: ``time.perf_counter()`` when the work began.
        processes: how many embedded; by default those of the study.
        progress: of what is drawn in addition.

    Raises:
        RepresentationError: they cannot be scored; see ``paper.estimate`` and ``population.estimate``.
    """
    began = time.perf_counter() if began is None else began
    if processes is None:
        processes = 1 if study is None else study.processes.count
    told: dict[str, Any] = {"study": study, "processes": processes}
    epsilons = summary.asked_epsilons(settings)
    if settings.protocol == "paper":
        found = paper.estimate(parts, epsilons, as_published=settings.as_published)
        report = summary.of_paper(found, settings, **told, seconds=time.perf_counter() - began)
        return Scored(report, None)
    batches = [part for part in parts if len(part)]
    check_one_width(batches)
    with enough_memory():
        steps = estimating(concatenate(batches), settings, study)
        made = _driven(steps, lambda start, stop: study.more(start, stop, progress=progress) if study else None)
    return of_estimate(made, settings, **told, seconds=time.perf_counter() - began)


@dataclass(frozen=True)
class Estimated:
    """An estimate of the population protocol, and what there is to say of it.

    Attributes:
        found: the estimate.
        checked: the diagnostics of one linear response.
        warnings: what the way to it has to say.
    """

    found: population.Population
    checked: Diagnostics
    warnings: list[str]


def of_estimate(estimated: Estimated, settings: Settings, *, study: Study | None, **told: Any) -> Scored:
    """Make the report of an estimate.

    Args:
        estimated: of ``estimating``.
        settings: what is asked.
        study: where the representations come from, if from a model.
        told: ``processes`` and ``seconds``, as ``summary.of_population``.
    """
    report = summary.of_population(
        estimated.found, settings, checked=estimated.checked, warnings=estimated.warnings, study=study, **told
    )
    ordered = study is not None and len(estimated.found.contributions) == 1
    return Scored(report, estimated.found if ordered else None)


def _driven(
    steps: Generator[tuple[int, int], Representations, Estimated],
    more: Callable[[int, int], Representations | None],
) -> Estimated:
    rows = None
    while True:
        try:
            wanted = steps.send(rows) if rows is not None else next(steps)
        except StopIteration as end:
            found: Estimated = end.value
            return found
        rows = more(*wanted)


def estimating(
    rows: Representations, settings: Settings, study: Study | None
) -> Generator[tuple[int, int], Representations, Estimated]:
    """Estimate, and ask for more where the response is not linear or the standard error not small enough.

    Args:
        rows: the first representations.
        settings: what is asked.
        study: where they come from; without one there are no more.

    Yields:
        (start, stop): the images start … stop−1 of the study are wanted; their representations are to be sent.

    Returns:
        The estimate.
    """
    epsilons, bands, warnings = summary.asked_epsilons(settings), 1, list[str]()
    found = population.estimate(rows, settings.scales, epsilons)
    checked = found.diagnostics
    while True:
        stderr = _stderr(found, settings)
        short = settings.target_stderr is not None and not stderr <= settings.target_stderr
        if bands == 1 and np.ptp(rows.scales) > 0 and (checked.score_shift > MATERIAL or checked.bent):
            wanted = population.BANDS * len(rows)
            if settings.max_images:
                wanted = max(min(wanted, settings.max_images), len(rows))
            if study is None and len(rows) < 2 * population.BANDS * found.dimension:
                warnings.append(_untrusted(checked.score_shift, len(rows)))
                break
            bands = population.BANDS
        elif short and study and len(rows) < _most(settings):
            share = 4.0 if math.isnan(stderr) else (stderr / float(settings.target_stderr or 1)) ** 2 * _MARGIN
            wanted = min(math.ceil(len(rows) * share / 4) * 4, _most(settings))
        else:
            break
        if study is not None and wanted > len(rows):
            rows = concatenate([rows, (yield len(rows), wanted)])
        found = population.estimate(rows, settings.scales, epsilons, bands=bands)
        if bands == 1:
            checked = found.diagnostics
    if bands > 1:
        warnings.append(
            f"The encoder does not answer linearly to the class means, so κ is estimated apart in "
            f"{len(found.squared)} bands of scales, from {len(rows):,} images in all. The interval holds what fewer "
            f"bands would change."
        )
    if abs(checked.gaussian_gap) > _FAR:
        warnings.append(
            f"The projections are far from Gaussian: the score is {abs(checked.gaussian_gap):.2f} from that of "
            f"Gaussian ones with the same κ. Look for coordinates that saturate or are nearly always constant."
        )
    if short:
        warnings.append(
            f"The standard error is {stderr:.2g} after {len(rows):,} images, above the {settings.target_stderr:g} "
            f"that was asked for. Raise max_images."
        )
    return Estimated(found, checked, warnings)


def _stderr(found: population.Population, settings: Settings) -> float:
    """Return the error that is to be small enough: of κ for textures, where the score is mostly 0, without any."""
    if settings.direction == TEXTURE:
        return float(uncertainty.mean_kappa(found).stderr[0])
    return float(uncertainty.population_scores(found, [HEADLINE_THRESHOLD]).stderr[0, 0])


def _most(settings: Settings) -> int:
    return settings.max_images or 0


def _untrusted(shift: float, rows: int) -> str:
    return (
        f"The encoder does not answer linearly, or coordinates= are not those of its images, and {rows:,} rows are too "
        f"few to estimate κ apart in bands of scales: the score cannot be trusted to better than {shift:.3f}. Add more "
        f"rows, or let SynBench draw them."
    )
