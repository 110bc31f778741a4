"""Routes: which function answers which path."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .server import Call

Route = tuple[tuple[str, ...], re.Pattern[str], Callable[["Call"], Any]]

REPO = r"(?P<kind>models|datasets|spaces)/(?P<id>[^/]+/[^/]+)"


class Routes(list[Route]):
    """The routes of a module, in order."""

    def at(self, methods: str, pattern: str) -> Callable[[Callable[["Call"], Any]], Callable[["Call"], Any]]:
        """Return a decorator that adds a function as the route of a path; ``{repo}`` stands for a repository's."""

        def add(function: Callable[["Call"], Any]) -> Callable[["Call"], Any]:
            self.append((tuple(methods.split()), re.compile(pattern.replace("{repo}", REPO)), function))
            return function

        return add
