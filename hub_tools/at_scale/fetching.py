"""Results of a run, brought home from its bucket: each checked against the plan before it takes its place."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hub_tools.annotation.plans import Plan
from hub_tools.annotation.scored import find, result_path
from hub_tools.client.hub import Hub
from synbench.errors import OutputError


@dataclass(frozen=True)
class Fetched:
    """What came home.

    Args:
        new: ids of models whose results were fetched now.
        kept: ids of those whose results were here already.
        wrong: why a result in the bucket is not the one that the plan asks for, by id.
        missing: what is left of the plan.
    """

    new: tuple[str, ...]
    kept: tuple[str, ...]
    wrong: Mapping[str, str]
    missing: Plan


def fetch(hub: Hub, bucket: str, results: Mapping[str, Sequence[Any]], plan: Plan, folder: Path) -> Fetched:
    """Fetch the results that are not here yet; a result that is here and right is never replaced.

    Args:
        hub: the client.
        bucket: with the results.
        results: see ``jobs.results_of``.
        plan: what they are to be of.
        folder: for the results.

    Raises:
        OutputError: the folder cannot be written.
        RequestError: the bucket cannot be read.
    """
    there = {str(item.path).rpartition("/")[2]: item for items in results.values() for item in items}
    kept, wanted = [], []
    for model in plan.models:
        if find(folder, model, plan.settings).report is not None:
            kept.append(model.id)
        elif result_path(folder, model.id).name in there:
            wanted.append(model)
    new: list[str] = []
    wrong: dict[str, str] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Beside their place, so that each is moved there whole.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as name:
            half = Path(name)
            pairs = [(there[result_path(half, model.id).name], result_path(half, model.id)) for model in wanted]
            if pairs:
                hub.asker.read(f"fetch results from {bucket}", lambda: hub.api.download_bucket_files(bucket, [*pairs]))
            for model in wanted:
                found = find(half, model, plan.settings)
                if found.report is None:
                    wrong[model.id] = found.problem or "it could not be fetched"
                    continue
                os.replace(result_path(half, model.id), result_path(folder, model.id))  # noqa: PTH105
                new.append(model.id)
    except OSError as error:
        raise OutputError(f"cannot write to {str(folder)!r}: {error.strerror or error}.") from error
    here = {*kept, *new}
    left = tuple(model for model in plan.models if model.id not in here)
    return Fetched(tuple(new), tuple(kept), wrong, replace(plan, models=left))
