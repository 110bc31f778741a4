"""How the app looks, and how it is launched: the same for the Space and for the tests."""

import importlib
from typing import Any

import gradio as gr
import uvicorn
from authlib.integrations.base_client.errors import OAuthError
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.testclient import TestClient

# The machine's own fonts: nothing is fetched for them, and those that Gradio brings in half-bold lack most letters.
_FONTS: list[Any] = ["system-ui", "sans-serif"]
_MONO: list[Any] = ["ui-monospace", "monospace"]

THEME = gr.themes.Default(primary_hue="blue", neutral_hue="slate", font=_FONTS, font_mono=_MONO).set(
    # Gradio's own greys have a contrast below 4.5 on white.
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    button_primary_background_fill_dark="*primary_600",
    button_primary_background_fill_hover_dark="*primary_700",
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_400",
)

CSS = """
.gradio-container { max-width: 72rem !important; width: 100%; min-width: 0; margin: auto }
button[role="tab"].selected { color: #1d4ed8 }
.dark button[role="tab"].selected { color: #93c5fd }
.plan { color: var(--body-text-color-subdued); font-size: .95rem; margin: 0 0 .4rem; overflow-wrap: anywhere }
.bar { display: flex; flex-wrap: wrap; align-items: center; gap: .3rem .8rem; margin: .2rem 0 }
.bar progress { flex: 1 1 14rem; height: .6rem; appearance: none; border: 0; border-radius: .3rem; overflow: hidden;
  background: var(--border-color-primary); color: #2563eb }
.bar progress::-webkit-progress-bar { background: var(--border-color-primary) }
.bar progress::-webkit-progress-value { background: #2563eb }
.bar progress::-moz-progress-bar { background: #2563eb }
.bar .far { font-variant-numeric: tabular-nums; font-size: .95rem; color: var(--body-text-color-subdued) }
.problem { border-left: .3rem solid #dc2626; padding: .5rem .8rem; background: var(--block-background-fill);
  overflow-wrap: anywhere }
.headline { display: flex; flex-wrap: wrap; align-items: baseline; gap: .1rem 1.2rem }
.headline h2 { margin: 0; font-size: 1.3rem }
.headline strong { font-size: 2rem; font-variant-numeric: tabular-nums }
.headline span { font-variant-numeric: tabular-nums }
.headline .kappa, .headline .sofar { color: var(--body-text-color-subdued) }
.meaning { font-size: 1.05rem; margin: .4rem 0 }
.notes { font-size: .95rem; color: var(--body-text-color-subdued); padding-left: 1.2rem }
.picture svg { width: 100%; height: auto; display: block; margin: 0 auto }
.scroll { overflow-x: auto }
.scroll table, .scroll thead, .scroll tr { border: 0 !important }
/* Where a table is wider than the screen, what it says of itself stays in sight. */
.scroll caption span { position: sticky; left: 0; display: inline-block; max-width: calc(100vw - 5rem) }
.scroll table, .board table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  font-size: .95rem; margin: .5rem 0 }
.scroll caption, .board caption { text-align: left; color: var(--body-text-color-subdued); padding: .3rem 0 }
.scroll th, .scroll td, .board th, .board td { text-align: left; padding: .35rem .6rem; white-space: nowrap;
  border: 0; border-bottom: 1px solid var(--border-color-primary); font-weight: 400 }
.scroll thead th, .board thead th { font-weight: 600 }
.board th[aria-sort] button::after { content: " ▲"; font-size: .75em }
.board th[aria-sort="descending"] button::after { content: " ▼" }
.board th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0; padding: .1rem 0;
  cursor: pointer }
.board th button:focus-visible { outline: 2px solid #2563eb; outline-offset: 2px }
/* The colours of code that Gradio brings are too pale on white. */
.plain .token { color: inherit !important; background: none !important }
.pages { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem }
.found div { display: flex; flex-wrap: wrap; gap: .4rem }
.pages button, .found button { font: inherit; padding: .25rem .8rem; border: 1px solid var(--border-color-primary);
  cursor: pointer; border-radius: .4rem; background: var(--button-secondary-background-fill);
  color: var(--button-secondary-text-color) }
.pages button:disabled { opacity: .5; cursor: default }
.board a, .links a { color: var(--link-text-color); text-decoration: underline }
.diff pre { overflow-x: auto; font-size: .9rem; line-height: 1.45; padding: .6rem; margin: 0;
  border: 1px solid var(--border-color-primary); border-radius: .4rem }
.diff .plus { color: #166534 } .diff .minus { color: #991b1b }
.dark .diff .plus { color: #86efac } .dark .diff .minus { color: #fca5a5 }
"""

_WHAT = "How much of a known optimum does a pretrained vision encoder keep? Told without any data."
HEAD = f'<meta name="description" content="{_WHAT}">'


async def _not_signed_in(request: Request, error: OAuthError) -> RedirectResponse:
    """Go back to the page after a no at the Hub: Gradio by itself would answer with an error 500."""
    said = "refused" if error.error == "access_denied" else "failed"
    page = request.query_params.get("_target_url") or "/"
    # Of this app only.
    page = page if page.startswith("/") and not page.startswith(("//", "/\\")) else "/"
    return RedirectResponse(f"{page}{'&' if '?' in page else '?'}sign_in={said}")


LAUNCH: dict[str, Any] = {
    "theme": THEME,
    "css": CSS,
    "head": HEAD,
    "footer_links": ["api"],
    "run_history": False,
    "pwa": False,
    "ssr_mode": False,
    "enable_monitoring": False,
    "show_error": False,
    "mcp_server": True,
    # Visitors in line take a thread for a moment each.
    "max_threads": 100,
    # Nothing is ever uploaded, but the route for it is there.
    "max_file_size": "10kb",
    "app_kwargs": {"exception_handlers": {OAuthError: _not_signed_in}},
}
"""How the app is launched."""


def preload_server() -> None:
    """Import what the server imports as it starts, before there are threads to do so.

    On a Space, Gradio starts a second server beside the app's own, for reloads, in another thread. Both import the same
    modules of uvicorn, anyio and FastAPI at that moment, and when they do it at once, the app's may fail (seen with
    Python 3.11): it then goes to another port, where nobody looks for it. So an empty app is started and asked once.
    """
    empty = FastAPI()
    empty.add_middleware(CORSMiddleware)
    with TestClient(empty) as client:
        client.get("/")
    config = uvicorn.Config(empty, log_config=None)
    config.load()
    if hasattr(config, "get_loop_factory"):
        config.get_loop_factory()
    else:  # Before 0.36, uvicorn set its loop up as it started.
        importlib.import_module("uvicorn.loops.asyncio")
        importlib.import_module("uvicorn.loops.auto")
