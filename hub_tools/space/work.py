"""The work itself: one visitor's run as plain data, from the model to the report, in whatever process has the device.

What goes in and comes out is plain, because it may be another process that does it: a child of this one (``workers``),
or the one that ZeroGPU lends a device to. No exception leaves it: what went wrong is the last thing that it tells.
"""

import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from synbench.errors import SynBenchError
from synbench.report import Report

from .admission import LARGEST_SIDE, Asked
from .line import NotHereError

if TYPE_CHECKING:
    from synbench.study import Study

_MARGIN = 1.5


@dataclass(frozen=True)
class Plan:
    """What is done, exactly: told when the model is loaded.

    Args:
        architecture: the class that runs.
        image_shape: channels, height, width.
        pooling: which output becomes the representation, and how.
        dimension: of the representation.
        dtype: precision of the forward passes.
        device: where they run.
    """

    architecture: str
    image_shape: tuple[int, int, int]
    pooling: str
    dimension: int
    dtype: str
    device: str


@dataclass(frozen=True)
class Frame:
    """What is told of a run while it runs; of the fields, those that are new.

    Args:
        plan: see there.
        images: embedded so far.
        total: that are to be.
        twin: whether it is the untrained twin that is embedded now.
        report: what the images say so far.
        contributions: each draw's part of the error of the score, of the last frame: for a paired comparison.
        done: whether ``report`` is the last one.
        error: why there is no more.
    """

    plan: Plan | None = None
    images: int = 0
    total: int = 0
    twin: bool = False
    report: Report | None = None
    contributions: Float[np.ndarray, " n"] | None = None
    done: bool = False
    error: str | None = None


def work(asked: Asked) -> Iterator[Frame]:
    """Score a model, and tell while it runs; the last frame has the report, or an error.

    Args:
        asked: what a visitor asks for; its model was let in before.
    """
    try:
        yield from _work(asked)
    except NotHereError as error:
        yield Frame(error=str(error))
    except SynBenchError as error:
        # What comes after the first sentence is for those who call the library.
        said = str(error).partition(". ")[0].rstrip(".")
        way = f"on your own machine, synbench check {asked.model} tells more"
        yield Frame(error=f"{said}. It cannot be scored here; {way}.")
    except Exception:  # noqa: BLE001 - whatever it is, it is logged, and a visitor sees no traceback
        yield Frame(error=unexpected())


def seconds(asked: Asked, reckoned: float) -> int:  # noqa: ARG001 - asked with what the work is called with
    """Return the seconds of a GPU to ask for, of a run that is reckoned to take some: with a margin, and 15 at least.

    >>> seconds(Asked("org/model"), 3.0), seconds(Asked("org/model"), 40.0), seconds(Asked("org/model"), 1000.0)
    (15, 60, 120)
    """
    return int(min(max(_MARGIN * reckoned, 15), 120))


def unexpected() -> str:
    """Log the exception that is being handled under a number, and return what a visitor is told."""
    number = uuid.uuid4().hex[:8]
    logging.getLogger("synbench.space").exception("error %s", number)
    return f"Something went wrong here, and it is not your fault. Tell us this number: {number}."


def _work(asked: Asked) -> Iterator[Frame]:
    from synbench.settings import make_settings
    from synbench.streaming import stream

    settings = make_settings(images=asked.images, seed=asked.seed)
    baseline = "untrained" if asked.twin else None
    planned = False
    for partial in stream(asked.model, settings, baseline=baseline, revision=asked.commit):
        plan = None
        if not planned:
            plan, planned = _plan(partial.study), True
            check_side(asked.model, plan)
        contributions = partial.scored.contributions() if partial.done and partial.scored else None
        yield Frame(
            plan=plan,
            images=partial.images,
            total=partial.total,
            twin=partial.twin,
            report=partial.report,
            contributions=contributions,
            done=partial.done,
        )


def _plan(study: "Study") -> Plan:
    encoder: Any = study.encoder
    return Plan(
        architecture=encoder.record.architecture,
        image_shape=encoder.contract.shape,
        pooling=encoder.record.pooling,
        dimension=encoder.record.dimension,
        dtype=encoder.dtype,
        device=encoder.device,
    )


def check_side(model: str, plan: Plan) -> None:
    """Refuse images that are too large to be drawn here, as the loaded model takes them.

    Raises:
        NotHereError: a side has more than ``LARGEST_SIDE`` pixels.
    """
    side = max(plan.image_shape[1:])
    if side > LARGEST_SIDE:
        raise NotHereError(
            f"{model!r} takes images of {side} pixels a side, and this app draws {LARGEST_SIDE} at most. Score it on "
            f"your own machine: synbench score {model}."
        )
