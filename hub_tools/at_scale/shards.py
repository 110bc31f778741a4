"""A plan cut into shards that take about equal time, and the command that each one runs.

The same command runs anywhere: as a Hugging Face Job, or on a machine of one's own.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub_tools.annotation.plan_settings import arguments, mixture
from hub_tools.annotation.plans import Plan, PlannedModel
from synbench.errors import ArgumentError

from .costs import Flavour, images_of, model_seconds

PER_SHARD = 64
"""Models a shard, at most."""

UNKNOWN_PARAMETERS = 86e6
"""Of a model whose size the Hub does not tell: those of ViT-B."""

_SENT = ("protocol", "images", "target_stderr", "max_images", "samples", "seed", "pooling", "dtype", "baseline")
_LONGEST_NAME = 40


@dataclass(frozen=True)
class Shard:
    """A part of a plan.

    Args:
        name: such as ``"0007"``.
        models: in the order in which they are scored: the smallest first.
        seconds: that each is reckoned to take.
    """

    name: str
    models: tuple[PlannedModel, ...]
    seconds: tuple[float, ...]


def cut(plan: Plan, flavour: Flavour, per_shard: int = PER_SHARD) -> list[Shard]:
    """Cut a plan into as few shards as ``per_shard`` allows, of about equal time; the same plan gives the same shards.

    The longest model goes to the shard that has least to do, then the next longest, and so on.

    Args:
        plan: what is scored.
        flavour: where.
        per_shard: models a shard, at most; at least 1.

    Raises:
        ArgumentError: ``per_shard`` is out of range, or the plan is empty.
    """
    if per_shard < 1:
        raise ArgumentError(f"a shard has at least 1 model, got {per_shard}. 50 to 100 are a good number.")
    if not plan.models:
        raise ArgumentError("the plan has no models: nothing to submit.")
    count = math.ceil(len(plan.models) / per_shard)
    cost = {model.id: _seconds(plan, model, flavour) for model in plan.models}
    shards: list[list[PlannedModel]] = [[] for _ in range(count)]
    load = [0.0] * count
    for model in sorted(plan.models, key=lambda model: (-cost[model.id], model.id)):
        least = min((n for n in range(count) if len(shards[n]) < per_shard), key=lambda n: (load[n], n))
        shards[least].append(model)
        load[least] += cost[model.id]
    return [
        Shard(f"{number:04d}", tuple(reversed(models)), tuple(cost[model.id] for model in reversed(models)))
        for number, models in enumerate(shards)
    ]


def run_name(plan: Plan, shards: Sequence[Shard]) -> str:
    """Return the name of a run, by what it does: the same plan, cut in the same way, is the same run."""
    told = [[[model.id, model.commit] for model in shard.models] for shard in shards]
    return f"synbench-{hashlib.sha256(json.dumps([told, dict(plan.settings)]).encode()).hexdigest()[:12]}"


def check_name(name: str) -> None:
    """Check the name of a run, which is a label and a folder.

    Raises:
        ArgumentError: it cannot be one.
    """
    plain = name.replace("-", "").replace("_", "")
    if not (plain.isascii() and plain.isalnum() and len(name) <= _LONGEST_NAME):
        raise ArgumentError(
            f"expected a name of up to {_LONGEST_NAME} letters, digits, - and _ for the run, got {name!r}."
        )


def arguments_of(
    shard: Shard, settings: Mapping[str, Any], results: str, journals: str | None = None, more: Sequence[str] = ()
) -> list[str]:
    """Return what ``synbench`` is called with for a shard.

    Each model is a word of its own: the client of the Hub looks whether a word names a file, which all models together
    would be too long for.

    Args:
        shard: the part.
        settings: of the plan.
        results: folder for the results.
        journals: folder for the journal, where that of the results is a mounted bucket.
        more: what belongs to the machine, such as ``--launch``.

    Raises:
        ArgumentError: the plan has a setting that a command line does not carry.
    """
    if strange := [name for name in settings if name not in _SENT]:
        raise ArgumentError(
            f"the plan sets {', '.join(strange)}, which Jobs are not given. Score it by synbench hub annotate score "
            f"with the plan itself, or leave that out."
        )
    models = [f"--models={model.id}@{model.commit}" for model in shard.models]
    kept = [] if journals is None else ["--journals", journals]
    return ["hub", "annotate", "score", *models, "--results", results, *kept, *more, *arguments(settings)]


def fitting(per_shard: int, longest: float, timeout: float) -> int:
    """Return how many models a shard could have to end within four fifths of a time, at least 1.

    Args:
        per_shard: as it is.
        longest: seconds of its longest shard.
        timeout: seconds of a shard.

    >>> fitting(64, 100.0, 50.0)
    25
    """
    return max(1, int(per_shard * 0.8 * timeout / longest))


def _seconds(plan: Plan, model: PlannedModel, flavour: Flavour) -> float:
    parameters = model.parameters or (model.bytes or 0) / 4 or UNKNOWN_PARAMETERS
    passes = 2 if plan.settings.get("baseline") else 1
    return model_seconds(parameters, flavour, images_of(mixture(plan.settings)), passes=passes)
