"""What goes wrong: answers that the Hub gives, and faults that a test puts in the way."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote


class NotServedError(Exception):
    """An answer that is not 200, with the headers that the clients go by."""

    def __init__(
        self,
        status: int,
        code: str = "",
        message: str = "",
        *,
        commit: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> None:
        super().__init__(message or code)
        self.status, self.code, self.message, self.commit = status, code, message, commit
        self.headers, self.body = dict(headers or {}), body


@dataclass
class Fault:
    """What happens to requests, so many times.

    Args:
        method: such as ``"POST"``; ``".*"`` for any.
        path: a regular expression that is searched in the path with its query.
        status: of the answer; ``None`` for the usual one, after ``seconds`` and ``call``.
        headers: of the answer.
        body: of the answer, as JSON.
        times: how many requests.
        skip: how many requests pass before the first.
        after: the work is done first.
        drop: the connection is cut in place of an answer.
        seconds: to wait before anything.
        call: called first.
    """

    method: str
    path: str
    status: int | None = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    times: int = 1
    skip: int = 0
    after: bool = False
    drop: bool = False
    seconds: float = 0.0
    call: Callable[[], Any] | None = None

    def meets(self, method: str, target: str) -> bool:
        """Tell whether the fault is for this request, and count it."""
        if self.times <= 0 or not re.fullmatch(self.method, method) or not re.search(self.path, unquote(target)):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True
