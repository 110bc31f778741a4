"""The part Share of the page: a pull request on the model's card, as the visitor who is signed in."""

from html import escape
from typing import Any

import gradio as gr

from hub_tools.client.failures import RequestError
from synbench.errors import SynBenchError

from . import kept, sessions, sharing, words
from .fields import PRIVATE
from .work import unexpected

_NOWHERE = """
Signing in works where this app runs as a Space. From here, the command line does the same with your own login:
`synbench hub push result.json`, with the JSON file from above.
"""
_ASK = """
A pull request on the model's card, opened **as you**. First you see the exact difference; nothing is written without
your yes. You sign in with the right to open discussions and pull requests, and no other.
"""


class Share:
    """The components of the part, and what they do.

    Args:
        key: state with the key of the result that is shown.
        signing_in: whether visitors can sign in here.
    """

    def __init__(self, key: gr.State, *, signing_in: bool) -> None:
        if not signing_in:
            gr.Markdown(_NOWHERE)
            return
        gr.Markdown(_ASK)
        with gr.Row():
            gr.LoginButton("Sign in with Hugging Face", min_width=160, size="md")
            self.look = gr.Button("Show the difference", min_width=160)
        self.diff = gr.HTML(elem_id="diff", elem_classes="diff")
        self.yes = gr.Checkbox(False, label="Yes, open this pull request in my name", visible=False)
        self.send = gr.Button("Open the pull request", variant="primary", interactive=False, visible=False)
        self.said = gr.HTML(elem_id="shared", elem_classes="links")
        self.agreed = gr.State(None)
        shown = [self.diff, self.yes, self.send, self.said, self.agreed]
        self.look.click(self._preview, [key], shown, **PRIVATE)
        self.yes.change(_may, [self.yes], [self.send], queue=False, **PRIVATE)
        self.send.click(
            self._send, [key, self.agreed, self.yes], shown, concurrency_limit=2, trigger_mode="once", **PRIVATE
        )
        key.change(self._cleared, None, shown, **PRIVATE)

    def _preview(
        self, key: str, request: gr.Request, profile: gr.OAuthProfile | None, token: gr.OAuthToken | None
    ) -> dict[Any, Any]:
        cleared = self._cleared()
        try:
            if not sessions.from_own_page(request):
                return {**cleared, self.said: words.problem("The request did not come from this page.")}
            if profile is None or token is None:
                return {**cleared, self.said: words.problem("You are not signed in. Sign in first, then look again.")}
            found = kept.find(key)
            if found is None:
                return {**cleared, self.said: words.problem("There is no result to share yet. Run a model first.")}
            told = sharing.preview(found.report, token.token)
        except SynBenchError as error:
            return {**cleared, self.said: words.problem(_told(error))}
        except Exception:  # noqa: BLE001 - logged under a number, and no traceback for a visitor
            return {**cleared, self.said: words.problem(unexpected())}
        if not told.writes:
            return {**cleared, self.said: words.note(told.reason)}
        return {
            self.diff: words.note(f"As {profile.username}: {told.reason}") + _coloured(told.diff),
            self.yes: gr.Checkbox(False, visible=True),
            self.send: gr.Button(interactive=False, visible=True),
            self.said: "",
            self.agreed: [key, told.agreed],
        }

    def _send(
        self,
        key: str,
        agreed: Any,
        yes: bool,
        request: gr.Request,
        profile: gr.OAuthProfile | None,
        token: gr.OAuthToken | None,
    ) -> dict[Any, Any]:
        try:
            found = kept.find(key)
            # What the page hides is asked again here: a request need not come from the page.
            agreed_to_this = agreed is not None and agreed[0] == key and yes is True
            if profile is None or token is None or found is None or not agreed_to_this:
                return {self.said: words.problem("Nothing was written. Look at the difference first, then say yes.")}
            if not sessions.from_own_page(request):
                return {self.said: words.problem("Nothing was written: the request did not come from this page.")}
            done = sharing.send(found.report, token.token, agreed[1])
        except SynBenchError as error:
            return {**self._cleared(), self.said: words.problem(_told(error))}
        except Exception:  # noqa: BLE001 - as above
            return {**self._cleared(), self.said: words.problem(unexpected())}
        link = f'<a href="{escape(done.url or "")}" target="_blank" rel="noopener">{escape(done.url or "")}</a>'
        verb = "amended" if done.action == "amend" else "opened"
        return {
            **self._cleared(),
            self.said: f'<p role="status">The pull request was {verb} as {escape(str(profile.username))}: {link}</p>',
        }

    def _cleared(self) -> dict[Any, Any]:
        return {
            self.diff: "",
            self.yes: gr.Checkbox(False, visible=False),
            self.send: gr.Button(interactive=False, visible=False),
            self.said: "",
            self.agreed: None,
        }


def _told(error: SynBenchError) -> str:
    if isinstance(error, RequestError) and error.failure.status == 401:
        return "Your sign-in has ended, and nothing was written. Log out here, sign in again, and look once more."
    return str(error)


def _may(yes: bool) -> gr.Button:
    return gr.Button(interactive=yes)


def _coloured(diff: str) -> str:
    """Return a difference as HTML, its lines told apart by their signs, and by colour too."""
    kinds = {"+": "plus", "-": "minus"}
    lines = (f'<span class="{kinds.get(line[:1], "same")}">{escape(line)}</span>' for line in diff.splitlines())
    return '<pre tabindex="0" aria-label="The exact difference">' + "\n".join(lines) + "</pre>"
