"""The score beside a probing: one that was given, or made for it, and the ε that it recommends."""

from pathlib import Path
from typing import Any

from synbench.encoders import Encoder
from synbench.errors import ArgumentError, SynBenchError
from synbench.report import Report
from synbench.settings import TEXTURE, THRESHOLDS

from .asking import Asked
from .recommendation import Recommendation, recommend_epsilon


def given(score: Any, threshold: float) -> Report | None:
    """Return the result that was given, if it is one that an ε can be recommended by.

    Raises:
        ArgumentError: it is no result, of textures, or without what a recommendation needs.
    """
    if score is None or score is False:
        return None
    if not isinstance(score, (Report, Path, str)):
        raise ArgumentError(
            f"score must be a SynBench result, the file of one, None to score the encoder, or False, got {score!r}."
        )
    report = score if isinstance(score, Report) else Report.read(Path(score))
    if report.settings.direction == TEXTURE:
        raise ArgumentError(
            f"score must be of classes that differ in their means, to recommend an ε, got one of "
            f"direction={TEXTURE!r}. Pass another, or None to score the encoder."
        )
    recommend_epsilon(report, threshold)
    return report


def strange(score: Report, encoder: Encoder, asked: Asked) -> list[str]:
    """Return what a given score is of that the probes are not of."""
    notes, theirs, own = list[str](), score.settings.model, encoder.record
    if theirs is not None:
        if theirs.id != own.id:
            notes.append(f"The score is that of {theirs.id!r}, not of {own.id!r}.")
        if theirs.trained != own.trained:
            names = ("the untrained twin", "the trained encoder")
            notes.append(f"The score is that of {names[theirs.trained]}, not of {names[own.trained]}.")
        for name, what in (("commit", "commit"), ("weights_sha256", "weights of SHA-256")):
            pair = getattr(theirs, name), getattr(own, name)
            if None not in pair and pair[0] != pair[1]:
                notes.append(f"The score is that of the {what} {pair[0][:12]}, not of {pair[1][:12]}.")
        if theirs.pooling != own.pooling:
            notes.append(f"The score is that of the pooling {theirs.pooling!r}, not of {own.pooling!r}.")
    shape, wanted = score.settings.image_shape, list(encoder.contract.shape)
    if shape is not None and shape != wanted:
        notes.append(
            "The score is that of images {}, not of {}.".format(*("×".join(map(str, s)) for s in (shape, wanted)))
        )
    grids = sorted(score.epsilons), list(asked.epsilons)
    if grids[0] != grids[1]:
        notes.append("The score is that of ε = {}, not of {}.".format(*(", ".join(f"{e:g}" for e in g) for g in grids)))
    return notes


def scored(
    model: Any, asked: Asked, threshold: float, how: dict[str, Any], notes: list[str], progress: bool | None
) -> Report | None:
    """Return the encoder's score, made for this; None, with a note, where it cannot be had."""
    from synbench.scoring import score

    thresholds = sorted({*THRESHOLDS, threshold})
    try:
        return score(model, epsilons=asked.epsilons, thresholds=thresholds, seed=asked.seed, progress=progress, **how)
    except SynBenchError as error:
        # What was measured is worth more than a recommendation.
        notes.append(f"No ε is recommended, as the encoder cannot be scored: {error}")
        return None


def recommended(report: Report | None, threshold: float, notes: list[str]) -> Recommendation | None:
    """Return what a score recommends; None, with a note, where it says nothing."""
    try:
        return None if report is None else recommend_epsilon(report, threshold)
    except ArgumentError as error:
        notes.append(f"No ε is recommended: {error}")
        return None
