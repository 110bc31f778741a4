"""A study told while it runs: after every block of images how far it is, now and then what they say so far.

The end is what ``score`` gives, number for number: the same blocks, in the same order, by the same estimate. Whoever
stops asking stops the work, within one block; what was embedded is in the cache, and the next run goes on from there.
"""

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from . import population, summary
from .errors import ArgumentError, RepresentationError
from .preparing import prepare
from .report import Report
from .representations import Representations, check_one_width, concatenate
from .scoring import Estimated, Scored, beside, check_baseline, estimating, of_estimate
from .settings import Settings, make_settings
from .study import Study

_FIRST = 512
"""Images before the first estimate: fewer say next to nothing."""

_SHARE = 4.0
"""Time of embedding between two estimates, as a multiple of what the last one took."""

_BLOCK_SECONDS = 0.5
"""What a block should take: it is what a visitor waits for after Cancel."""


@dataclass(frozen=True)
class Partial:
    """A study on its way.

    Attributes:
        study: what is embedded now.
        images: embedded or found in the cache so far.
        total: that are to be; it grows where the response is not linear, or an error is asked for.
        scored: what they say, where that is new; the last one is that of ``score``.
        done: whether this is the last one.
    """

    study: Study
    images: int
    total: int
    scored: Scored | None = None
    done: bool = False

    @property
    def twin(self) -> bool:
        """Whether it is the untrained twin that is embedded now."""
        return not self.study.encoder.record.trained

    @property
    def report(self) -> Report | None:
        """The report of ``scored``."""
        return None if self.scored is None else self.scored.report


def stream(
    model: Any, settings: Settings | None = None, *, baseline: str | None = None, **how: Any
) -> Iterator[Partial]:
    """Score a model by the population protocol, and tell after every block how far it is.

    The first one comes when the model is loaded, before its first image.

    Args:
        model: as ``score``.
        settings: what is asked; of the population protocol.
        baseline: as ``score``; the twin comes second.
        how: further arguments of ``prepare``.

    Raises:
        ArgumentError, EncoderError, RepresentationError: as ``score``.

    >>> *_, last = stream("synbench:demo", make_settings(images=1024))
    >>> last.done, last.images, last.report.images
    (True, 1024, 1024)
    """
    began = time.perf_counter()
    settings = settings or make_settings()
    check_baseline(baseline, bool(how.pop("untrained", False)))
    if settings.protocol != "population":
        raise ArgumentError(
            f"expected settings of the population protocol, got {settings.protocol!r}: the other one says nothing "
            f"before its end. Use score() for it."
        )
    study = prepare(model, settings, **how)
    trained = yield from _streamed(study, began=began, last=baseline is None)
    if baseline is None:
        return
    began = time.perf_counter()
    study = prepare(model, settings, untrained=True, **how)
    untrained = yield from _streamed(study, began=began, last=False)
    both = beside(trained, untrained)
    yield Partial(study, both.report.images, both.report.images, both, done=True)


def _streamed(study: Study, *, began: float, last: bool) -> Generator[Partial, None, Scored]:
    """Embed and estimate one encoder; return what ``score`` gives."""
    wanted = study.settings.images or 0
    walk = _Walk(study, began)
    rows = yield from walk.to(0, wanted)
    steps = estimating(rows, study.settings, study)
    more: Representations | None = None
    while True:
        try:
            start, stop = next(steps) if more is None else steps.send(more)
        except StopIteration as end:
            made: Estimated = end.value
            break
        more = yield from walk.to(start, stop)
    scored = of_estimate(made, study.settings, study=study, processes=1, seconds=time.perf_counter() - began)
    images = scored.report.images
    yield Partial(study, images, images, scored, done=last)
    return scored


class _Walk:
    """Blocks of one study one after the other, with an estimate whenever the last one is paid for."""

    def __init__(self, study: Study, began: float) -> None:
        self._study, self._began = study, began
        self._rows: list[Representations] = []
        self._block = study.batch_size.piece
        # Nothing is known of a covariance from fewer draws than it has rows.
        self._next = max(_FIRST, 2 * study.encoder.record.dimension)
        self._cost, self._since = 0.0, 0.0

    def to(self, start: int, stop: int) -> Generator[Partial, None, Representations]:
        """Embed the images start … stop−1."""
        yield self._told(start, stop)
        at, own = start, list[Representations]()
        piece = self._study.batch_size.piece
        while at < stop:
            began = time.perf_counter()
            end = min((at // piece) * piece + self._block, stop)
            own.append(self._study.more(at, end, progress=False))
            at = end
            took = time.perf_counter() - began
            self._since += took
            if took < _BLOCK_SECONDS / 2:
                self._block *= 2
            elif took > 2 * _BLOCK_SECONDS:
                self._block = max(self._block // 2 // piece, 1) * piece
            # The last estimate is that of the whole.
            scored = self._estimate([*self._rows, *own], at) if at < stop else None
            yield self._told(at, stop, scored)
        self._rows += own
        check_one_width(own)
        return concatenate(own)

    def _estimate(self, parts: list[Representations], images: int) -> Scored | None:
        """Estimate from what there is so far, or not yet."""
        if images < self._next or self._since < _SHARE * self._cost:
            return None
        began = time.perf_counter()
        settings = self._study.settings
        try:
            rows = concatenate(parts)
            found = population.estimate(rows, settings.scales, summary.asked_epsilons(settings))
        except RepresentationError:
            return None  # told at the end, if it is still so
        made = Estimated(found, found.diagnostics, [])
        scored = of_estimate(made, settings, study=self._study, processes=1, seconds=began - self._began)
        self._cost, self._since = time.perf_counter() - began, 0.0
        return scored

    def _told(self, images: int, total: int, scored: Scored | None = None) -> Partial:
        return Partial(self._study, images, total, scored)
