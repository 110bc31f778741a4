"""Measuring robust linear probes of an encoder on real pictures: the way from a data set to a ``ProbeReport``."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from tqdm.auto import tqdm

from synbench.batching import BatchSize, enough_memory
from synbench.encoders import Encoder
from synbench.errors import EncoderError, RepresentationError
from synbench.preparing import prepare
from synbench.report import Report
from synbench.settings import HEADLINE_THRESHOLD, check_flag, make_settings

from .advising import given, recommended, scored, strange
from .asking import EPSILONS, RADII, Asked
from .attacks import Attacked, NotAttackableError, attack
from .choosing import Chosen, choose
from .fitting import Fitted, estimator, fit
from .head import Head, head_of, scaling_of
from .kept import Shelf, attack_key, fit_key
from .objective import separation
from .opening import open_dataset
from .pictures import Pictures
from .record import ProbeReport
from .searching import foolbox
from .subsets import ATTACKED, stratified
from .telling import Measured, report_of
from .vectors import PictureKey, embed_pictures, key_of


def probe(
    model: Any,
    dataset: Any,
    *,
    config: str | None = None,
    dataset_revision: str | None = None,
    train_split: str = "train",
    test_split: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    classes: Sequence[str | int] | None = None,
    epsilons: Sequence[float] = EPSILONS,
    Cs: Sequence[float] | None = None,  # noqa: N803
    folds: int = 5,
    train_images: int | None = 5000,
    test_images: int | None = 2000,
    radii: Sequence[float] = RADII,
    attack_images: int = 256,
    attack_steps: int = 100,
    seed: int = 0,
    score: Report | Path | str | bool | None = None,
    threshold: float = HEADLINE_THRESHOLD,
    batch_size: int | None = None,
    untrained: bool = False,
    cache: bool = True,
    fresh: bool = False,
    progress: bool | None = None,
    **loading: Any,
) -> ProbeReport:
    """Fit robust linear probes to an encoder's representations of labelled pictures, and attack them through it.

    Representations are centred and divided by one number, so that balls stay balls and C has no unit. For each ε, C is
    chosen by the cross-validated accuracy within the ball of that ε, and the probe is fitted anew on all training
    pictures. Test pictures give clean accuracy and the accuracy that is proved in representation space; some of them
    are attacked through probe, encoder and normalization, the same ones for every ε.

    Args:
        model: as ``synbench.score``.
        dataset: a name on the Hub, a local folder or parquet file, a ``Dataset`` or ``DatasetDict``: see
            ``open_dataset``. Code of a data set is never run.
        config: which configuration of the data set.
        dataset_revision: branch, tag or commit of the data set; ``revision`` is the model's.
        train_split: to fit on.
        test_split: to test on; by default ``test``, else ``validation``, else a part of ``train_split`` is held out.
        image_column: by default the only column of pictures.
        label_column: by default the only column of classes, or of integers or strings.
        classes: names of some classes, two or more; by default all.
        epsilons: in [0, 1), relative to half the distance of class means; 0 is always among them.
        Cs: strengths to choose from; by default 0.01, 0.1, …, 10,000.
        folds: of cross-validation.
        train_images: at most so many, of each class its share; ``None`` for all.
        test_images: likewise.
        radii: of attacks, ℓ2, in units of [0, 1] a pixel, at the encoder's input size.
        attack_images: test pictures that are attacked; 0 for none.
        attack_steps: of each attack.
        seed: of every choice that is made at random.
        score: a ``Report`` or the file of one, to recommend an ε by; by default the encoder is scored, unless ε = 0 is
            the only one; False for no recommendation.
        threshold: wanted accuracy a_t of the recommendation, in [0.6, 1).
        batch_size: pictures a forward pass; by default it is found.
        untrained: probe the untrained twin.
        cache: keep representations, fits and what attacks found, and go on from what was kept.
        fresh: use none that were kept before.
        progress: show bars on stderr; by default if stderr is a terminal.
        loading: further arguments of ``load_encoder``.

    Raises:
        ArgumentError: an argument is out of range, or the data set does not fit.
        EncoderError: the model cannot be used.
        RepresentationError: its representations are not finite, or all the same.
        HubError: the Hub cannot be reached for the data set.
    """
    began = time.perf_counter()
    asked = Asked(epsilons, Cs, folds, train_images, test_images, radii, attack_images, attack_steps, seed)
    check_flag("fresh", fresh)
    make_settings(thresholds=[threshold])
    estimator()
    if attack_images:
        foolbox()
    told, notes = given(score, threshold), list[str]()
    opened = open_dataset(dataset, config=config, revision=dataset_revision, progress=progress)
    chosen = choose(
        opened,
        train_split=train_split,
        test_split=test_split,
        image_column=image_column,
        label_column=label_column,
        classes=classes,
        train_images=train_images,
        test_images=test_images,
        seed=seed,
    )
    how = {"batch_size": batch_size, "cache": cache, "untrained": untrained, **loading}
    study = prepare(model, make_settings(seed=seed), **how)
    encoder, size = study.encoder, study.batch_size
    if encoder.contract.shape[0] not in (1, 3):
        raise EncoderError(
            f"expected an encoder of pictures with 1 or 3 channels, got {encoder.contract.shape[0]} of "
            f"{encoder.record.id!r}. Choose another, or wrap it in a function from RGB images."
        )
    with enough_memory():
        shelf = Shelf(encoder.record.id, kept=study.entry is not None, fresh=fresh)
        rows = _embedded(encoder, chosen, size, seed, shelf, progress)
        scaling = scaling_of(rows.train)
        if not scaling.scale > 0:
            raise RepresentationError(
                f"{encoder.record.id!r} gives one and the same vector for all {len(rows.train):,} training pictures, "
                f"so nothing can be read off it. Check its weights and what it does with its input."
            )
        train, test = scaling(rows.train), scaling(rows.test)
        fitted = _fitted(train, chosen.train.labels, asked, rows.keys[0], shelf, progress)
        places = stratified(chosen.test.labels, attack_images, [seed, ATTACKED], least=0) if attack_images else None
        attacked = None
        if places is not None:
            heads = [head_of(f.probe, scaling) for f in fitted]
            attacked = _attacked(encoder, heads, chosen.test, places, rows, size, asked, shelf, notes, progress)
    if told is not None:
        notes += strange(told, encoder, asked)
    elif score is not False and len(asked.epsilons) > 1:
        told = scored(model, asked, threshold, {**how, "fresh": fresh}, notes, progress)
    found = Measured(
        asked=asked,
        opened=opened,
        chosen=chosen,
        encoder=encoder,
        scale=scaling.scale,
        separation=separation(train, chosen.train.labels),
        fitted=fitted,
        test=test,
        attacked=attacked,
        places=places,
        recommendation=recommended(told, threshold, notes),
        digests=(rows.keys[0].pictures, rows.keys[1].pictures),
        warnings=[*chosen.warnings, *_shared(chosen), *shelf.notes(), *([size.note] if size.note else []), *notes],
        from_cache=rows.from_cache,
    )
    return report_of(found, seconds=time.perf_counter() - began)


@dataclass(frozen=True)
class _Rows:
    train: Float[np.ndarray, "n d"]
    test: Float[np.ndarray, "m d"]
    keys: tuple[PictureKey, PictureKey]
    from_cache: int


def _embedded(
    encoder: Encoder, chosen: Chosen, size: BatchSize, seed: int, shelf: Shelf, progress: bool | None
) -> _Rows:
    values, keys, from_cache = [], list[PictureKey](), 0
    total = len(chosen.train) + len(chosen.test)
    with _bar(total, "embedding", "img", progress) as bar:
        for pictures in (chosen.train, chosen.test):
            key = key_of(encoder, pictures, seed)
            found = embed_pictures(encoder, pictures, size, shelf.entry(key, "representations"), bar.update)
            values.append(found.values)
            keys.append(key)
            from_cache += found.from_cache
    return _Rows(values[0], values[1], (keys[0], keys[1]), from_cache)


def _fitted(
    train: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    asked: Asked,
    key: PictureKey,
    shelf: Shelf,
    progress: bool | None,
) -> list[Fitted]:
    strengths, fitted = asked.Cs or (), list[Fitted]()
    fits = len(asked.epsilons) * (len(strengths) * min(asked.folds, len(labels)) + 1)
    with _bar(fits, "fitting", "fit", progress) as bar:
        for epsilon in asked.epsilons:
            own = fit_key(key, train, labels, epsilon=epsilon, Cs=strengths, folds=asked.folds)
            entry = shelf.entry(own, "fits")
            fitted.append(fit(train, labels, epsilon, strengths, asked.folds, asked.seed, bar.update, entry))
    return fitted


def _attacked(
    encoder: Encoder,
    heads: Sequence[Head],
    pictures: Pictures,
    places: Int[np.ndarray, " n"],
    rows: _Rows,
    size: BatchSize,
    asked: Asked,
    shelf: Shelf,
    notes: list[str],
    progress: bool | None,
) -> list[Attacked] | None:
    if encoder.load is None and encoder.module is None:
        notes.append("A function gives no gradient to go by, so nothing was attacked. Pass a torch.nn.Module.")
        return None
    images, labels = pictures.pixels(places.tolist(), encoder.contract.shape), pictures.labels[places]
    own, vectors = replace(size, size=size.size, tried=[], found=None), rows.test[places]
    how: dict[str, Any] = {"radii": asked.radii, "steps": asked.attack_steps}
    more: dict[str, Any] = {**how, "batch_size": own, "seed": asked.seed, "vectors": vectors}
    attacked = list[Attacked]()
    try:
        with _bar(len(heads) * len(images), "attacking", "img", progress) as bar:
            for head in heads:
                entry = shelf.entry(attack_key(rows.keys[1], head, places, labels, vectors, **how), "attacks")
                attacked.append(attack(encoder, head, images, labels, **more, entry=entry, done=bar.update))
    except NotAttackableError as error:
        notes.append(f"Nothing was attacked, as gradients cannot be had from the encoder: {error}")
        return None
    return attacked


def _shared(chosen: Chosen) -> list[str]:
    fitted_to, tested = set(chosen.train.hashes()), chosen.test.hashes()
    if not (shared := sum(one in fitted_to for one in tested)):
        return []
    return [
        f"{shared:,} of {len(tested):,} test pictures are also among those fitted to: accuracy may be too high. Leave "
        f"them out of one of the splits."
    ]


@contextmanager
def _bar(total: int, what: str, unit: str, progress: bool | None) -> Iterator[Any]:
    hidden = None if progress is None else not progress
    with tqdm(total=total, unit=unit, desc=what, disable=hidden, leave=False) as bar:
        yield bar
