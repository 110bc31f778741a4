"""Asking the Hub: reads are repeated after a wait, writes only after a look at what was done.

A write whose answer was lost is looked for. If it is there, it is done. If not, it is repeated only where that cannot
do it twice: where the server has ended its work on it, or where a write names the commit that it builds on.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from .failures import Failure, OddAnswerError, RequestError, classify, waiting_time
from .pacing import Pace

TIMEOUT = 120.0
"""Seconds that an answer, or the next piece of one, can take."""

_LOOKS = 3

_T = TypeVar("_T")


class Asker:
    """What every request goes through.

    Args:
        pace: see ``Pace``.
        secret: returns the token that is sent, to keep it out of messages.
    """

    def __init__(self, pace: Pace, secret: Callable[[], str | None]) -> None:
        self._pace, self._secret = pace, secret

    def read(self, what: str, ask: Callable[[], _T]) -> _T:
        """Return what a request without effect answers, repeated where that can help.

        Args:
            what: what is asked, as in "cannot …".
            ask: asks once.

        Raises:
            RequestError: there is no answer.
            StopError: the Hub is not asked any more.
        """
        attempt = 0
        while True:
            self._pace.before("read")
            done, failure = self._once("read", ask)
            if failure is None:
                return done[0]
            self._pace.failed("read", failure)
            attempt += 1
            if not _may_work(failure) or attempt == self._pace.attempts:
                raise RequestError(f"cannot {what}: {failure.reason}", failure)
            self._pace.back_off(attempt - 1, failure)

    def write(self, what: str, do: Callable[[], _T], look: Callable[[], _T | None], *, guarded: bool) -> _T:
        """Do something once, whatever becomes of the answers, and return what it gives.

        Args:
            what: what is done, as in "cannot …".
            do: asks the Hub to do it.
            look: reads whether it was done, and gives the same if it was; else ``None``.
            guarded: whether the Hub itself refuses to do it twice.

        Raises:
            RequestError: it was not done, or whether it was is not known: the message says which.
            StopError: the Hub is not asked any more.
        """
        attempt = 0
        while True:
            self._pace.before("write")
            done, failure = self._once("write", do)
            if failure is None:
                return done[0]
            if failure.kind == "unknown":
                safe = guarded or failure.ended
                found = self._look(what, failure, look, 1 if safe else _LOOKS)
                if found is not None:
                    self._pace.succeeded("write")
                    return found
                if not safe:
                    raise RequestError(
                        f"it is not known whether the Hub will {what}: {failure.reason} Nothing of it was to be seen "
                        f"in {_LOOKS} looks, and it was not tried again, lest it be done twice. Wait some minutes and "
                        f"run this again: it looks first.",
                        failure,
                    )
            self._pace.failed("write", failure)
            attempt += 1
            if not _may_work(failure) or attempt == self._pace.attempts:
                tried = f" Tried {attempt} times." if attempt > 1 else ""
                raise RequestError(f"cannot {what}: {failure.reason}{tried} Nothing was written.", failure)
            self._pace.back_off(attempt - 1, failure)

    def _look(self, what: str, failure: Failure, look: Callable[[], _T | None], looks: int) -> _T | None:
        for one in range(looks):
            # What the server still works on needs some time to be seen.
            self._pace.back_off(one, replace(failure, wait=None))
            try:
                found = look()
            except RequestError as error:
                raise RequestError(
                    f"it is not known whether the Hub did {what}: {failure.reason} Looking for it failed too: {error} "
                    f"Run this again later: it looks first.",
                    failure,
                ) from None
            if found is not None:
                return found
        return None

    def _once(self, kind: str, ask: Callable[[], _T]) -> tuple[list[_T], Failure | None]:
        from huggingface_hub.errors import HTTPError

        try:
            with limited(self._pace):
                answer = ask()
        # An answer of another shape than the client reads ends in one of the last four.
        except (HTTPError, OSError, OddAnswerError, ValueError, KeyError, TypeError, AttributeError) as error:
            return [], self._failure(error)
        self._pace.succeeded(kind)
        return [answer], None

    def _failure(self, error: Exception) -> Failure:
        failure, secret = classify(error), self._secret()
        return replace(failure, reason=failure.reason.replace(secret, "***")) if secret else failure


@contextmanager
def limited(pace: Pace) -> Iterator[None]:
    """Keep the client from waiting for ever: for an answer, or for as long as a server asks it to.

    By itself it has no time-out, and sleeps an hour if a ``Retry-After`` says so.

    Raises:
        StopError: a server asks for a longer wait than the pace allows.
    """
    from huggingface_hub.utils import get_session

    def check(response: Any) -> None:
        if response.status_code in (429, 500, 502, 503, 504):
            wait = waiting_time(response.headers)
            if wait is not None and wait > pace.longest_wait:
                reason = f"the Hub limits how often it is asked ({response.status_code})."
                pace.allow(Failure("later", reason, wait, response.status_code, refused=response.status_code == 429))

    session = get_session()
    if session.timeout.read is None:
        session.timeout = TIMEOUT
    hooks = session.event_hooks["response"]
    hooks.append(check)
    try:
        yield
    finally:
        hooks.remove(check)


def _may_work(failure: Failure) -> bool:
    return failure.kind in ("later", "unknown") and failure.again
