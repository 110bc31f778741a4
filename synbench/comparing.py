"""Scoring several encoders on the same images, and comparing them: the way to a ``Comparison``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from .comparability import Conditions, check_conditions, model_name, refuse_duplicates
from .comparison import Comparison, Measure, check_measure, default_measure
from .encoders import ModelRecord
from .errors import ArgumentError
from .pairing import of_reports
from .preparing import prepare
from .processes import ALONE, launched, together
from .reading import read
from .report import Model, Report
from .scoring import Scored, check_baseline, prepared_and_run
from .settings import HEADLINE_EPSILON, HEADLINE_THRESHOLD, Settings, make_settings

_CONDITIONS = {"protocol", "samples", "scales", "direction", "as_published"}


def compare(
    models: Sequence[Any],
    *,
    epsilon: float = HEADLINE_EPSILON,
    threshold: float = HEADLINE_THRESHOLD,
    measure: str | None = None,
    level: float = 0.05,
    allow_mixed: bool = False,
    baseline: str | None = None,
    batch_size: int | None = None,
    cache: bool = True,
    fresh: bool = False,
    distributed: bool = False,
    progress: bool | None = None,
    loading: Sequence[dict[str, Any]] | dict[str, Any] | None = None,
    **asked: Any,
) -> Comparison:
    """Score encoders on the same images where they share an input size, and compare their scores, or their κ.

    Args:
        models: two or more of what ``score`` takes, or results: a ``Report``, or the path of one as JSON, which is
            compared as it is, unpaired.
        epsilon: where the score, or κ, is read; added to ``epsilons``.
        threshold: where the score is read; added to ``thresholds``.
        measure: ``"score"``, or ``"kappa"`` at ``epsilon``; by default κ with ``direction="texture"``, else the score.
        level: probability of separating any two encoders that are equal, over all pairs.
        allow_mixed: compare results of different protocols, scales, precisions or mixtures too, with a warning.
        baseline: ``"untrained"`` scores each encoder's untrained twin as well.
        batch_size: images a forward pass.
        cache: as ``score``.
        fresh: as ``score``.
        distributed: as ``score``.
        progress: show bars on stderr; by default if stderr is a terminal.
        loading: arguments of ``load_encoder`` for all models, or one dict a model.
        asked: ``protocol``, ``images``, ``target_stderr``, ``max_images``, ``samples``, ``scales``, ``epsilons``,
            ``thresholds``, ``seed``, ``direction`` and ``as_published``, as ``score``.

    Raises:
        ArgumentError: an argument is out of range, or results cannot be compared.
        EncoderError: a model cannot be used.
        RepresentationError: its representations cannot be scored.

    >>> found = compare(["synbench:demo", lambda x: x.flatten(1)], images=1024, loading=[{}, {"image_size": 8}])
    >>> [entry.groups for entry in found.entries]
    [['a'], ['b']]
    """
    if isinstance(models, (str, Path)):
        raise ArgumentError(f"expected two models or more to compare, got {models!r}. Put them in a list.")
    models = list(models)
    if not (isinstance(level, (int, float)) and 0 < level < 1):
        raise ArgumentError(f"level must lie in (0, 1), got {level!r}. Use 0.05 for 95 % intervals.")
    if len(models) < 2:
        raise ArgumentError(f"expected two models or more to compare, got {len(models)}. Use score() for one.")
    check_baseline(baseline, False)
    check_measure(measure)
    one_each = [loading or {}] * len(models) if loading is None or isinstance(loading, dict) else list(loading)
    if len(one_each) != len(models):
        raise ArgumentError(f"loading must be one dict, or one a model ({len(models)}), got {len(one_each)}.")
    if strange := [how for how in one_each if not isinstance(how, dict)]:
        raise ArgumentError(f"loading must be one dict, or a list of dicts, one a model, got {strange[0]!r} in it.")
    given = {name: value for name, value in asked.items() if value is not None}
    settings = make_settings(**given)
    grids = {"epsilons": [*settings.epsilons, epsilon], "thresholds": [*settings.thresholds, threshold]}
    settings = make_settings(**{**given, **{name: list(dict.fromkeys(grid)) for name, grid in grids.items()}})
    results = [_result(model) for model in models]
    asked_for = settings if None in results or _CONDITIONS & set(given) else None
    compared = _check(results, asked_for, epsilon, threshold, measure, allow_mixed=allow_mixed)
    todo = [k for k, result in enumerate(results) if result is None]
    processes = launched(one_each[0].get("device")) if distributed else ALONE
    common: dict[str, Any] = {"batch_size": batch_size, "cache": cache, "processes": processes}
    twins = [False] if baseline is None else [False, True]
    prepared: dict[int, tuple[ModelRecord, str]] = {}
    with together(processes):
        for k in todo:
            # A name with a typo is found before the first hour of work; only one model is held at a time.
            for twin in reversed(twins):
                encoder = prepare(models[k], settings, untrained=twin, **common, **one_each[k]).encoder
            prepared[k] = (encoder.record, encoder.dtype)
            del encoder
        _check_prepared(results, prepared, settings, allow_mixed=allow_mixed)
    hidden = len(todo) < 2 or (None if progress is None else not progress)
    scored: list[Scored] = []
    with tqdm(total=len(todo), unit="model", desc="comparing", disable=hidden, leave=False) as bar:
        for k in todo:
            result = prepared_and_run(
                models[k], settings, twins, checked=True, fresh=fresh, progress=progress, **common, **one_each[k]
            )
            scored.append(result)
            bar.update()
    made = iter(scored)
    all_scored = [next(made) if result is None else Scored(result, None) for result in results]
    reports = [s.report for s in all_scored]
    of_kappa = compared == "kappa"
    with together(processes):
        found = of_reports(
            reports,
            [s.contributions(epsilon, threshold, of_kappa=of_kappa) if processes.main else None for s in all_scored],
            epsilon=epsilon,
            threshold=threshold,
            measure=compared,
            level=level,
            allow_mixed=allow_mixed,
        )
    agreed: Comparison = processes.from_main(found)
    return agreed


def _check(
    results: Sequence[Report | None],
    settings: Settings | None,
    epsilon: float,
    threshold: float,
    measure: str | None,
    *,
    allow_mixed: bool,
) -> Measure:
    """Return what is compared, once all is refused that can be before anything is loaded.

    Raises:
        ArgumentError: κ is asked of the paper protocol; or the results that were given cannot be compared with each
            other, with what is asked for, or at this ε and a_t.
    """
    labels, given = _labels(results), [result for result in results if result is not None]
    directions = [result.settings.direction for result in given] + ([settings.direction] if settings else [])
    compared = check_measure(measure) or default_measure(directions)
    if None in results and settings and compared == "kappa" and settings.protocol != "population":
        raise ArgumentError(
            f"κ is estimated by the population protocol, got protocol={settings.protocol!r}. Ask for "
            f"protocol='population', without samples=, or compare scores with measure='score'."
        )
    for result, label in zip(results, labels, strict=True):
        if result is not None:
            read(result, label, epsilon, threshold, compared)
    refuse_duplicates([None if result is None else result.settings.model for result in results], labels)
    conditions = [Conditions.of_report(result) for result in given]
    named = [label for label, result in zip(labels, results, strict=True) if result is not None]
    if settings is not None:
        conditions, named = [Conditions.of(settings), *conditions], ["what was asked for", *named]
    check_conditions(conditions, named, allow_mixed)
    return compared


def _check_prepared(
    results: Sequence[Report | None],
    prepared: Mapping[int, tuple[ModelRecord, str]],
    settings: Settings,
    *,
    allow_mixed: bool,
) -> None:
    """Refuse what can be once the models were loaded, and before any is scored.

    Raises:
        ArgumentError: a model is there twice, or the precision differs.
    """
    models: list[Model | ModelRecord | None] = []
    conditions = []
    for k, result in enumerate(results):
        models.append(prepared[k][0] if result is None else result.settings.model)
        conditions.append(Conditions.of(settings, prepared[k][1]) if result is None else Conditions.of_report(result))
    labels = _labels(results, {k: record.id for k, (record, _) in prepared.items()})
    refuse_duplicates(models, labels)
    check_conditions(conditions, labels, allow_mixed)


def _labels(results: Sequence[Report | None], names: Mapping[int, str] | None = None) -> list[str]:
    called = [(names or {}).get(k) if result is None else model_name(result) for k, result in enumerate(results)]
    return [f"models[{k}] ({name})" if name else f"models[{k}]" for k, name in enumerate(called)]


def _result(model: Any) -> Report | None:
    """Return the result that was given in the place of a model, if it is one."""
    if isinstance(model, (str, Path)) and Path(model).suffix == ".json":
        return Report.read(Path(model))
    return model if isinstance(model, Report) else None
