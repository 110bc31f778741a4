"""What handlers know of the visitor: who it is, and whether the button Cancel was pressed."""

import gradio as gr

from .running import Visitor

_stopping: set[str] = set()


def visitor_of(request: gr.Request | None) -> Visitor:
    """Return who makes a request; one that has no session is one of its own."""
    if request is None:
        return Visitor("unknown", "unknown")
    client = getattr(request, "client", None)
    address = getattr(client, "host", None) or "unknown"
    return Visitor(str(address), str(getattr(request, "session_hash", None) or "unknown"))


def start(request: gr.Request) -> None:
    """Note that a session begins something."""
    _stopping.discard(str(request.session_hash))


def stop(request: gr.Request) -> None:
    """Note that a session wants what it began to stop."""
    _stopping.add(str(request.session_hash))


def stopping(session: str) -> bool:
    """Tell whether a session wants what it began to stop."""
    return session in _stopping


def forget(session: str) -> None:
    """Forget that a session wanted something to stop."""
    _stopping.discard(session)
