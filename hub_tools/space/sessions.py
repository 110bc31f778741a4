"""What handlers know of the visitor: who it is, and whether the button Cancel was pressed."""

import os
from typing import Any
from urllib.parse import urlsplit

import gradio as gr

from .running import Visitor


def visitor_of(request: gr.Request | None) -> Visitor:
    """Return who makes a request; one that has no session is one of its own."""
    if request is None:
        return Visitor("unknown", "unknown")
    client = getattr(request, "client", None)
    address = getattr(client, "host", None) or "unknown"
    return Visitor(str(address), str(getattr(request, "session_hash", None) or "unknown"))


def from_own_page(request: gr.Request | None) -> bool:
    """Tell whether a request comes from a page of this app.

    A page of somebody else's, open in the browser of a visitor who is signed in here, could send one too, with the
    visitor's cookie; but the browser tells where it comes from, and other programs have no such cookie.
    """
    headers: Any = getattr(request, "headers", None) or {}
    origin = urlsplit(headers.get("origin") or "").netloc
    return bool(origin) and origin in (headers.get("host"), os.environ.get("SPACE_HOST"))


class Stops:
    """The sessions that want what they began on one page to stop."""

    def __init__(self) -> None:
        self._asked: set[str] = set()

    def start(self, request: gr.Request) -> None:
        """Note that a session begins something."""
        self.forget(str(request.session_hash))

    def stop(self, request: gr.Request) -> None:
        """Note that a session wants what it began to stop."""
        self._asked.add(str(request.session_hash))

    def asked(self, session: str) -> bool:
        """Tell whether a session wants what it began to stop."""
        return session in self._asked

    def forget(self, session: str) -> None:
        """Forget that a session wanted something to stop."""
        self._asked.discard(session)
