"""A visitor's run from the question to the report: let in, in line, at work, kept; told at each step.

The same for the page and for programs. Whoever closes the generator leaves the line, and stops the work.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache

from hub_tools.client.hub import Hub
from hub_tools.client.pacing import Pace

from . import kept, weights, workers
from .admission import Admitted, Asked, admit
from .hardware import here
from .kept import Kept
from .line import Line
from .work import Frame

_LOOK = 0.5
"""Seconds between two looks at the line."""


@dataclass(frozen=True)
class Visitor:
    """Who asks.

    Args:
        address: of the machine.
        session: of the page or client.
    """

    address: str
    session: str


@dataclass(frozen=True)
class News:
    """Where a run stands; one of the fields says what is new.

    Args:
        admitted: it may be scored.
        position: turns to wait for; 0 where it is at work.
        length: of the line.
        frame: what the work tells.
        kept: it is done.
        before: it was done before.
        seconds: since it was asked.
    """

    admitted: Admitted
    position: int = 0
    length: int = 0
    frame: Frame | None = None
    kept: Kept | None = None
    before: bool = False
    seconds: float = 0.0


class FailedRun(Exception):  # noqa: N818 - what the work tells, not an error of the program
    """The work ended without a report; the text is for the visitor."""


@lru_cache(maxsize=1)
def line() -> Line:
    """Return the line of this app."""
    return Line(lanes=here().lanes)


def public_hub() -> Hub:
    """Return a client without an account, which does not wait long."""
    return Hub(False, pace=Pace(longest_wait=5, attempts=2))


def follow(asked: Asked, visitor: Visitor, stopped: Callable[[], bool] = lambda: False) -> Iterator[News]:
    """Follow a run; the last news has ``kept``, unless it is stopped.

    Args:
        asked: the question.
        visitor: who asks.
        stopped: whether nobody wants it any more; asked a few times a second.

    Raises:
        SynBenchError: it cannot be, and why.
        FailedRun: the work failed.
    """
    began = time.monotonic()
    admitted = admit(public_hub(), asked, here())
    key = kept.key_of(admitted.asked, here().kind)
    news = News(admitted)
    yield news
    if stopped():
        return
    found = kept.find(key)
    if found is not None:
        yield replace(news, kept=found, before=True, seconds=time.monotonic() - began)
        return
    if admitted.fetched:
        weights.make_room()
    with line().place(visitor.address, visitor.session) as ticket:
        while not line().wait(ticket, 0.0):
            yield replace(news, position=line().position(ticket), length=line().length)
            line().wait(ticket, _LOOK)
            if stopped():
                return
        found = kept.find(key)
        if found is not None:
            yield replace(news, kept=found, before=True, seconds=time.monotonic() - began)
            return
        with closing(workers.run(admitted)) as frames:  # type: ignore[type-var]
            for frame in frames:
                if stopped():
                    return
                if frame is None:
                    yield replace(news, seconds=time.monotonic() - began)
                    continue
                if frame.error is not None:
                    raise FailedRun(frame.error)
                if frame.done and frame.report is not None:
                    done = kept.keep(key, frame.report, frame.contributions)
                    yield replace(news, kept=done, seconds=time.monotonic() - began)
                    return
                yield replace(news, frame=frame, seconds=time.monotonic() - began)
                # Where nothing is new, it stands where it stood.
                news = replace(news, frame=replace(frame, plan=None, report=None))
