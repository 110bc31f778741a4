"""A real browser for tests of pages, and apps for it to visit: nothing leaves the machine, nothing goes wrong unseen.

Tests import the fixtures that they use, ``chromium`` and ``new_page``. As a program, it starts the app that
``launch_app`` asks for: python -m tests.browser MODULE:BUILDER
"""

import contextlib
import importlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Route, WebSocketRoute

ROOT = Path(__file__).parent.parent
# The headless shell first: it is the smallest, and the quickest.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# A name that is looked up in vain is the second wall; the first one tells which address was asked for.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
WAIT = 40_000
"""Milliseconds that anything on a page may take; a busy machine needs more than Playwright's five seconds."""

# On a Space, Gradio itself asks elsewhere for what it draws the Hub's header with, and complains where it gets none.
_HEADER = re.compile(r"https://(fonts\.googleapis\.com|fonts\.gstatic\.com|huggingface\.co/api/spaces)/.*")
_NO_HEADER = "Space not found"
_STREAM = re.compile(r"/queue/data\?")
_LOCAL = re.compile(r"(https?|wss?)://(127\.0\.0\.1|localhost)[:/].*|(data|blob|about|chrome):.*", re.DOTALL)
_ABOUT = ("HF_", "GRADIO_", "SPACE", "SYSTEM", "OAUTH_", "OPENID_")
_VALIDATOR = "Failed to load resource: the server responded with a status of 422"


def _missing(why: str) -> NoReturn:
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(why)
    pytest.skip(why)


# Of a module: as long as Playwright runs, nothing else in this process can start an event loop, and it starts quickly.
@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """The browser; without one, the test is skipped, or failed if ``REQUIRE_BROWSER`` is 1."""
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        _missing("playwright is not installed: pip install playwright; it needs no download of a browser")
    path = os.environ.get("SYNBENCH_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None or not Path(path).exists():
        _missing(f"no browser: set SYNBENCH_CHROMIUM to a Chromium, or install one of {', '.join(NAMES)}")
    expect.set_options(timeout=WAIT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*_ARGUMENTS])
        yield browser
        browser.close()


class Pages:
    """Opens pages that cannot leave the machine, and notes what goes wrong on them.

    ``foreign`` are the addresses elsewhere that were asked for, in vain; ``errors`` are those of pages and consoles.
    """

    def __init__(self, browser: "Browser") -> None:
        self.browser = browser
        self.contexts: list[BrowserContext] = []
        self.foreign: list[str] = []
        self.errors: list[str] = []
        self._streams: dict[Page, set[Request]] = {}

    def __call__(
        self,
        url: str,
        *,
        width: int = 1280,
        height: int = 900,
        scheme: str = "light",
        query: str = "",
        space: bool = False,
    ) -> "Page":
        """Open an address as a visitor of its own: no page shares cookies with another.

        Of an app that takes itself for a Space (``space``), what Gradio asks for by itself is stopped like all else,
        but not held against the page.
        """
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
            accept_downloads=True,
            # They would ask for themselves.
            service_workers="block",
        )
        self.contexts.append(context)
        context.set_default_timeout(WAIT)

        def stop(route: "Route", request: "Request") -> None:
            self._note(request.url, space=space)
            route.abort()

        def refuse(opened: "WebSocketRoute") -> None:
            self._note(opened.url, space=space)
            opened.close()

        context.route(lambda asked: not _LOCAL.fullmatch(asked), stop)
        context.route_web_socket(lambda asked: not _LOCAL.fullmatch(asked), refuse)
        context.on("weberror", lambda error: self.errors.append(f"in the page: {error.error}"))
        context.on("console", lambda message: self._hear(message, space=space))
        page = context.new_page()
        streams = self._streams[page] = set()
        page.on("request", lambda asked: streams.add(asked) if _STREAM.search(asked.url) else None)
        page.on("requestfinished", lambda asked: streams.discard(asked))
        page.on("requestfailed", lambda asked: streams.discard(asked))
        page.goto(url + query)
        return page

    def rest(self, page: "Page") -> None:
        """Wait until all that was begun on a page of Gradio's is over.

        What it shows can be there before: who leaves then breaks the stream, and the console tells of it.

        Raises:
            AssertionError: it is not over in time.
        """
        end = time.monotonic() + WAIT / 1000
        while self._streams[page]:
            assert time.monotonic() < end, f"still under way: {[asked.url for asked in self._streams[page]]}"
            page.wait_for_timeout(20)

    def close(self, name: str) -> None:
        """Close all pages; a picture of each goes to the folder ``$SHOTS``, if that is set."""
        folder = os.environ.get("SHOTS")
        self._streams.clear()
        for number, context in enumerate(self.contexts):
            for page in context.pages if folder else ():
                Path(str(folder)).mkdir(parents=True, exist_ok=True)
                safe = re.sub(r"[^\w.-]+", "_", name)
                page.screenshot(path=Path(str(folder)) / f"{safe}_{number}.png", full_page=True)
            context.close()
        self.contexts.clear()

    def _note(self, url: str, *, space: bool) -> None:
        if not (space and _HEADER.fullmatch(url)):
            self.foreign.append(url)

    def _hear(self, message: "ConsoleMessage", *, space: bool) -> None:
        if message.type != "error" or (space and message.text == _NO_HEADER):
            return
        # A validator of Gradio's answers 422. What was stopped here is noted as foreign, and is no second fault.
        stopped = not _LOCAL.fullmatch(message.location.get("url") or "about:") and "net::ERR" in message.text
        if not message.text.startswith(_VALIDATOR) and not stopped:
            self.errors.append(f"in the console: {message.text} {message.location.get('url', '')}")


@pytest.fixture
def new_page(chromium: "Browser", request: pytest.FixtureRequest) -> Iterator[Pages]:
    """See ``Pages``; at the end, what went wrong on any of them fails the test."""
    pages = Pages(chromium)
    yield pages
    pages.close(request.node.name)
    if pages.foreign or pages.errors:
        pytest.fail(f"asked for elsewhere: {pages.foreign}; errors: {pages.errors}")


@dataclass(frozen=True)
class Violation:
    """What keeps some people from using a page: a rule of axe, and the CSS selectors where it is broken."""

    rule: str
    impact: str
    help: str
    places: tuple[str, ...]


def accessibility(page: "Page") -> list[Violation]:
    """Return the serious and critical violations that axe finds on a page as it is now, at rest."""
    from axe_playwright_python.sync_playwright import Axe

    # A button that is just being enabled fades in for 0.2 s, and is too pale for as long.
    page.add_style_tag(content="* { transition: none !important }")
    found = Axe().run(page).response["violations"]
    return [
        Violation(one["id"], one["impact"], one["help"], tuple(" ".join(map(str, n["target"])) for n in one["nodes"]))
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@dataclass(frozen=True)
class Launched:
    """An app in a process of its own: its address, and all that it has printed."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")


@contextlib.contextmanager
def launch_app(what: str, env: Mapping[str, str], *, seconds: float = 90) -> Iterator[Launched]:
    """Start an app in a process of its own on loopback, with a fresh home, and end its whole process group afterwards.

    Args:
        what: the path of a script that launches by itself; or ``module:builder``, where the builder returns Blocks, to
            be launched with the module's ``LAUNCH``, or Blocks with what they are to be launched with.
        env: what its environment has; nothing of this one's about the Hub or a Space reaches it.
        seconds: to wait for its first answer.

    Raises:
        AssertionError: it has ended, or does not answer; with all that it printed.
    """
    words = [what] if what.endswith(".py") else ["-m", "tests.browser", what]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_ABOUT)}
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="synbench-app-") as folder, contextlib.ExitStack() as stack:
        fresh = {
            "HF_HOME": f"{folder}/home",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_TEMP_DIR": f"{folder}/gradio",
            "GRADIO_SERVER_NAME": "127.0.0.1",
            "GRADIO_SERVER_PORT": str(port),
            "PYTHONUNBUFFERED": "1",
        }
        words = [*_measured(Path(folder)), *words]
        log = Path(folder) / "output.txt"
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            env={**kept, **fresh, **env},
            stdin=subprocess.DEVNULL,
            stdout=stack.enter_context(log.open("wb")),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        stack.callback(_end, process)
        app = Launched(f"http://127.0.0.1:{port}", process, log)
        _await(app, seconds)
        yield app


@contextlib.contextmanager
def serve_app(blocks: Any, **options: Any) -> Iterator[str]:
    """Serve Blocks from a thread of this process, on loopback, and yield their address."""
    quiet = {"prevent_thread_lock": True, "quiet": True, "server_name": "127.0.0.1", "server_port": _free_port()}
    _, url, _ = blocks.launch(**{**options, **quiet})
    try:
        yield str(url).rstrip("/")
    finally:
        blocks.close()


def _measured(folder: Path) -> list[str]:
    """Return what a process is started through where the coverage of this one is measured, so that its own is too."""
    try:
        from coverage import Coverage
    except ImportError:
        return []
    if Coverage.current() is None:
        return []
    settings = folder / "coverage.ini"
    told = {
        "source_pkgs": "synbench,hub_tools,app",
        "parallel": "true",
        "sigterm": "true",
        "data_file": f"{ROOT}/.coverage",
        # They would stand in what the app prints.
        "disable_warnings": "module-not-imported,no-data-collected",
    }
    settings.write_text("\n".join(["[run]", *(f"{name} = {value}" for name, value in told.items())]) + "\n")
    return ["-m", "coverage", "run", f"--rcfile={settings}"]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _await(app: Launched, seconds: float) -> None:
    end = time.monotonic() + seconds
    # A proxy of the machine's has no business on loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < end:
        if app.process.poll() is not None:
            raise AssertionError(f"the app has ended with {app.process.returncode}: {app.output}")
        with contextlib.suppress(OSError), opener.open(app.url, timeout=5):
            return
        time.sleep(0.1)
    raise AssertionError(f"the app does not answer: {app.output}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    # Where its coverage is measured, it writes that down when it is asked to end.
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(15)
    # What it started may have outlived it, and ignores the polite signal.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def _main() -> None:
    module, _, builder = sys.argv[1].partition(":")
    found = importlib.import_module(module)
    made = getattr(found, builder)()
    blocks, options = made if isinstance(made, tuple) else (made, getattr(found, "LAUNCH", {}))
    blocks.launch(**options)


if __name__ == "__main__":
    _main()
