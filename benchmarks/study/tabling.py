"""From what is kept of each encoder to the plain tables that are analysed: a table a dataset, a row an encoder."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from synbench.errors import ArgumentError
from synbench.probe.recommendation import recommend_epsilon
from synbench.report import Report
from synbench.settings import HEADLINE_EPSILON, HEADLINE_THRESHOLD

PROTOCOLS = ("population", "paper")

TEXTURE = "texture"
"""The population protocol on the mixture whose classes differ in texture; beside protocols in names of reports."""

SCORED = (*PROTOCOLS, TEXTURE)

NOTHING, PICTURES, LABELS = "nothing", "pictures", "pictures and labels"

PREDICTORS = {
    "score_population": ("SynBench-Score (population)", NOTHING),
    "score_paper": ("SynBench-Score (paper)", NOTHING),
    "kappa": ("κ at ε = 0", NOTHING),
    "kappa_above_twin": ("κ less the untrained twin's", NOTHING),
    "kappa_texture": ("κ of textures", NOTHING),
    "kappa_texture_above_twin": ("κ of textures less the twin's", NOTHING),
    "learned": ("whether it learned a task", NOTHING),
    "parameters": ("parameters (log10)", NOTHING),
    "dimension": ("width d", NOTHING),
    "rankme": ("RankMe", PICTURES),
    "effective_dimension": ("effective dimension", PICTURES),
    "h_score": ("H-score", LABELS),
    "h_score_shrunk": ("H-score, shrunk", LABELS),
    "logme": ("LogME", LABELS),
}
"""What to call each predictor, and what it sees of the data set. All are tested unless some are named, but for those
of ``LOOKED_AT``."""

LOOKED_AT = ("learned",)
"""A bit that no measure is needed for: 0 of untrained encoders and of those trained on random labels, 1 of all others.
It came when all encoders had been seen, so that it is never tested; others have to be above it to tell anything."""

_LEARNED_NOTHING = ("untrained", "shuffled")

PRIMARY = "clean"
"""Accuracy at ε = 0: the outcome that was named beforehand, unless another was."""

MEASURES = ("rankme", "effective_dimension", "h_score", "h_score_shrunk", "logme")

Row = dict[str, Any]


def label(name: str) -> str:
    """Return what to call a column in a table or a picture.

    >>> label("kappa"), label("robust@0.25")
    ('κ at ε = 0', 'robust accuracy at 0.25')
    """
    if name in PREDICTORS:
        return PREDICTORS[name][0]
    known = {
        "clean": "clean accuracy",
        "clean_best": "best clean accuracy of all ε",
        "median": "median smallest perturbation",
        "median_best": "best median smallest perturbation of all ε",
    }
    if name in known:
        return known[name]
    kind, _, radius = name.partition("@")
    told = {"robust": "robust accuracy", "robust_best": "best robust accuracy of all ε,"}
    return f"{told[kind]} at {radius}" if kind in told else name


def table(records: Sequence[Mapping[str, Any]], dataset: str) -> list[Row]:
    """Return the rows of the encoders that were measured on a dataset.

    Args:
        records: of ``running``: each with ``encoder``, ``family``, ``about``, ``reports`` by protocol, and ``probes``
            and ``measures`` by dataset.
        dataset: its name.
    """
    return [row_of(record, dataset) for record in records if dataset in record["probes"]]


def row_of(record: Mapping[str, Any], dataset: str) -> Row:
    """Return every number of one encoder on one dataset, by name."""
    about, probe = record["about"], record["probes"][dataset]
    row: Row = {"encoder": record["encoder"], "family": record["family"], "pretext": about.get("pretext")}
    row["trained"] = about.get("pretext") != "untrained"
    row["learned"] = None if about.get("pretext") is None else float(about["pretext"] not in _LEARNED_NOTHING)
    parameters = about.get("parameters")
    row["parameters"] = math.log10(parameters) if parameters else None
    for protocol, report in record["reports"].items():
        if (model := report["settings"]["model"]) is not None:
            row["dimension"] = model["dimension"]
        _add_kappa(row, report, "kappa_texture" if protocol == TEXTURE else "kappa")
        if protocol == TEXTURE:
            # Its scores are all but 0: few encoders keep enough of a texture for an accuracy of a_t.
            continue
        row[f"score_{protocol}"] = report["synbench_score"]
        row[f"score_{protocol}_stderr"] = report["stderr"]
        for epsilon, scores in zip(report["epsilons"], report["scores"], strict=True):
            for threshold, score in zip(report["thresholds"], scores, strict=True):
                row[grid_name(protocol, epsilon, threshold)] = score
    row.update(record["measures"].get(dataset, {}))
    row.update({f"{kind}: {name}": v for kind, own in record.get("extra", {}).items() for name, v in own.items()})
    row.update(outcomes(probe))
    for protocol, report in record["reports"].items():
        if protocol != TEXTURE:
            row.update(regrets(probe, report, protocol))
    return row


def _add_kappa(row: Row, report: Mapping[str, Any], name: str) -> None:
    """Add κ at ε = 0 with its error, and by how much it is above that of the untrained twin."""
    if report["kappa"] is None or HEADLINE_EPSILON not in report["epsilons"]:
        return
    at = report["epsilons"].index(HEADLINE_EPSILON)
    row[name], row[f"{name}_stderr"] = report["kappa"][at], (report["kappa_stderr"] or {at: None})[at]
    if (twin := report["baseline"]) is not None and twin["kappa"] is not None:
        row[f"{name}_above_twin"] = report["kappa"][at] - twin["kappa"][at]


def grid_name(protocol: str, epsilon: float, threshold: float) -> str:
    """Return the column of one score of a report.

    >>> grid_name("paper", 0.2, 0.7)
    'score_paper[0.2, 0.7]'
    """
    return f"score_{protocol}[{epsilon:g}, {threshold:g}]"


def outcome_names(rows: Sequence[Row], primary: str = PRIMARY) -> list[str]:
    """Return the outcomes that rows have, the primary one first.

    Raises:
        ArgumentError: the primary one is not among them.
    """
    found = dict.fromkeys(name for row in rows for name in row if _is_outcome(name))
    if primary not in found:
        raise ArgumentError(f"expected a primary outcome that was measured, one of {', '.join(found)}, got {primary}.")
    return sorted(found, key=lambda name: name != primary)


def _is_outcome(name: str) -> bool:
    return not name.endswith("_stderr") and name.split("@")[0].removesuffix("_best") in ("clean", "robust", "median")


def outcomes(probe: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the outcomes of a probe report: at ε = 0, its first level, and the best of all ε.

    Each has its standard error beside it where that is known. The best of several ε was picked on the pictures it
    is measured on, so it is a little too good, for every encoder. What each ε gives stands beside, as ``clean_at[ε]``
    and ``robust_at[ε]@RADIUS``.
    """
    levels, attack = probe["levels"], probe["attack"]
    found: dict[str, float | None] = {}

    def keep(name: str, suffix: str, values: Sequence[float | None], count: int | None) -> None:
        known = [value for value in values if value is not None]
        for column, value in ((f"{name}{suffix}", values[0]), (f"{name}_best{suffix}", max(known, default=None))):
            if value is not None:
                found[column] = value
                if count:
                    found[f"{column}_stderr"] = binomial_stderr(value, count)

    for level in levels:
        found[f"clean_at[{level['epsilon']:g}]"] = level["clean"]
        for radius, share in zip([] if attack is None else attack["radii"], level["robust"] or [], strict=True):
            found[f"robust_at[{level['epsilon']:g}]@{radius:g}"] = share
    keep("clean", "", [level["clean"] for level in levels], probe["dataset"]["test_images"])
    if attack is not None:
        for place, radius in enumerate(attack["radii"]):
            keep("robust", f"@{radius:g}", [level["robust"][place] for level in levels], attack["pictures"])
        keep("median", "", [level["median_perturbation"] for level in levels], None)
    return found


def binomial_stderr(share: float, count: int) -> float:
    """Return the standard error of a share of pictures; of none or all of them, that of half a picture more or less.

    >>> round(binomial_stderr(0.5, 100), 3), round(binomial_stderr(1.0, 100), 3)
    (0.05, 0.007)
    """
    inside = min(max(share, 0.5 / count), 1 - 0.5 / count)
    return math.sqrt(inside * (1 - inside) / count)


def regrets(probe: Mapping[str, Any], report: Mapping[str, Any], protocol: str) -> dict[str, float]:
    """Return what the ε of the best score costs against the best one, beside always 0 and an ε picked by chance.

    For clean accuracy and robust accuracy at each radius: ``regret_PROTOCOL_recommended WHAT``, and once for all
    protocols ``regret_zero WHAT`` and ``regret_chance WHAT`` (the mean over ε). ``agrees_PROTOCOL WHAT`` is 1 where
    that ε is one of the best. It is the recommended one, and where there is no preference the one with the best score:
    who has to take one takes that. Nothing where scores are undefined, or where that ε was not probed.
    ``prefers_PROTOCOL`` is 1 where there is a preference, and ``recommended_PROTOCOL`` that ε.
    """
    levels = {level["epsilon"]: level for level in probe["levels"]}
    found: dict[str, float] = {}
    best = None
    with contextlib.suppress(ArgumentError):
        advice = recommend_epsilon(Report.from_dict(dict(report)), HEADLINE_THRESHOLD)
        best = advice.best if advice.epsilon is None else advice.epsilon
        found[f"prefers_{protocol}"] = float(advice.epsilon is not None)
        if advice.epsilon is not None:
            found[f"recommended_{protocol}"] = advice.epsilon
    wanted = {"clean accuracy": {e: level["clean"] for e, level in levels.items()}}
    if probe["attack"] is not None:
        for place, radius in enumerate(probe["attack"]["radii"]):
            wanted[f"robust accuracy at {radius:g}"] = {e: level["robust"][place] for e, level in levels.items()}
    for name, values in wanted.items():
        most = max(values.values())
        if best in values:
            found[f"regret_{protocol}_recommended {name}"] = most - values[best]
            found[f"agrees_{protocol} {name}"] = float(values[best] == most)
        found[f"regret_zero {name}"] = most - values[0.0]
        found[f"regret_chance {name}"] = most - sum(values.values()) / len(values)
    return found
