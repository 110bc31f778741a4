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
    if "SPACE_ID" in os.environ:
        # The client is a proxy there. Of what it was told before, only the last entry is its own.
        headers: Any = getattr(request, "headers", None) or {}
        address = (headers.get("x-forwarded-for") or address).rpartition(",")[2].strip()
    return Visitor(str(address), str(getattr(request, "session_hash", None) or "unknown"))


def base_of(request: gr.Request | None) -> str:
    """Return the address of this app, as far as a request tells it."""
    if host := os.environ.get("SPACE_HOST"):
        return f"https://{host}/"
    headers: Any = getattr(request, "headers", None) or {}
    return f"http://{headers['host']}/" if headers.get("host") else ""


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
        self._running: set[str] = set()
        self._asked: set[str] = set()

    def start(self, session: str) -> None:
        """Note that a session begins something."""
        self._running.add(session)
        self._asked.discard(session)

    def stop(self, request: gr.Request) -> None:
        """Note that a session wants what it began to stop."""
        if str(request.session_hash) in self._running:
            self._asked.add(str(request.session_hash))

    def asked(self, session: str) -> bool:
        """Tell whether a session wants what it began to stop."""
        return session in self._asked

    def end(self, session: str) -> None:
        """Note that nothing runs any more."""
        self._running.discard(session)
        self._asked.discard(session)
