"""How often the Hub is asked: a rate limit for writes, waiting after a failure, and an end to asking.

    Writes take tokens from a bucket that fills ``per_hour`` an hour and holds ``burst``.
    After failure n (from 0) of a request: 2ⁿ s, at most a minute, less up to a half by chance; or what the server
    asks for, and up to a second more by chance; never longer than ``longest_wait``.
    After ``patience`` refusals in a row (403 or 429) nothing is asked any more.

Only differences of one monotonic clock count: neither a wrong clock here nor one there changes a decision.
"""

import random
import threading
import time
from collections.abc import Callable

from synbench.errors import ArgumentError

from .failures import Failure, RequestError

_LONGEST_OWN_WAIT = 60.0


class StopError(RequestError):
    """No more is asked of the Hub for now: it refuses, or asks for a longer wait than is allowed.

    ``failure.wait`` is when to come back, in seconds, where that is known.
    """


class Pace:
    """The pace of one client.

    Args:
        per_hour: writes an hour, at the least above 0; ``float("inf")`` for no limit.
        longest_wait: seconds, the longest single wait that a server can ask for.
        patience: refusals in a row until nothing is asked any more.
        attempts: how often one request is tried in all.
        burst: writes that need not wait, at the start and after a pause.
        clock: rises, in seconds.
        sleep: waits that many seconds.
        chance: a number in [0, 1).

    Raises:
        ArgumentError: a number is out of range.
    """

    def __init__(
        self,
        per_hour: float = 60.0,
        longest_wait: float = 900.0,
        patience: int = 5,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        *,
        attempts: int = 5,
        burst: int = 5,
        chance: Callable[[], float] = random.random,
    ) -> None:
        for name, value, least in (
            ("patience", patience, 1),
            ("attempts", attempts, 1),
            ("burst", burst, 1),
            ("longest_wait", longest_wait, 0),
        ):
            if not value >= least:
                raise ArgumentError(f"{name} must be at least {least}, got {value}.")
        if not per_hour > 0:
            raise ArgumentError(f"per_hour must be above 0, got {per_hour}.")
        self.per_hour, self.longest_wait, self.patience, self.attempts = per_hour, longest_wait, patience, attempts
        self._burst, self._clock, self._sleep, self._chance = burst, clock, sleep, chance
        self._bucket, self._filled = float(burst), clock()
        self._refused = {"read": 0, "write": 0}
        self._lock = threading.Lock()

    def before(self, kind: str) -> None:
        """Wait for the turn of a request of ``kind`` "read" or "write"; only writes are limited.

        Raises:
            StopError: the last ``patience`` ones were refused.
        """
        if self._refused[kind] >= self.patience:
            raise self._open(kind, None)
        if kind == "write":
            with self._lock:
                self._take()

    def succeeded(self, kind: str) -> None:
        """Note that a request was answered."""
        self._refused[kind] = 0

    def failed(self, kind: str, failure: Failure) -> None:
        """Note that a request failed.

        Raises:
            StopError: it was the last one in a row of ``patience`` refusals.
        """
        self._refused[kind] = self._refused[kind] + 1 if failure.refused else 0
        if self._refused[kind] >= self.patience:
            raise self._open(kind, failure)

    def back_off(self, attempt: int, failure: Failure) -> None:
        """Wait after a failure of the attempt of this number, from 0.

        Raises:
            StopError: the server asks for more than ``longest_wait``.
        """
        if failure.wait is None:
            self._sleep(min(2.0**attempt, _LONGEST_OWN_WAIT, self.longest_wait) * (1 - self._chance() / 2))
        else:
            self.allow(failure)
            self._sleep(failure.wait + self._chance())

    def allow(self, failure: Failure) -> None:
        """Check the wait that a server asks for.

        Raises:
            StopError: it is more than ``longest_wait``.
        """
        if failure.wait is not None and failure.wait > self.longest_wait:
            raise StopError(
                f"{failure.reason} It asks to come back in {duration(failure.wait)}, and no single wait here is longer "
                f"than {duration(self.longest_wait)}. Run this again then: it goes on where it stopped.",
                failure,
            )

    def _take(self) -> None:
        while True:
            now = self._clock()
            self._bucket = min(self._burst, self._bucket + (now - self._filled) * self.per_hour / 3600)
            self._filled = now
            if self._bucket >= 1 - 1e-9 or self.per_hour == float("inf"):
                self._bucket = max(self._bucket - 1, 0.0)
                return
            self._sleep((1 - self._bucket) * 3600 / self.per_hour)

    def _open(self, kind: str, failure: Failure | None) -> StopError:
        told = "" if failure is None else f" The last one: {failure.reason}"
        wait = None if failure is None else failure.wait
        back = "later" if wait is None else f"in {duration(wait)}"
        return StopError(
            f"stopped: the Hub refused {self.patience} {kind}s in a row.{told} See what the account may do, and run "
            f"this again {back}: it goes on where it stopped.",
            Failure("later", f"the Hub refused {self.patience} {kind}s in a row.", wait, refused=True),
        )


def duration(seconds: float) -> str:
    """Return a duration for people.

    >>> duration(40), duration(600), duration(5400)
    ('40 s', '10 minutes', '1.5 hours')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.3g} hours"
