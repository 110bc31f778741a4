"""A stand-in for the service that lends GPUs to Spaces on ZeroGPU: enough HTTP for the real client of ``spaces``.

Nothing is lent, of course: the function runs on the CPU, but in the process that the real client forks for it.
"""

import json
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit


def build() -> Any:
    """Return the app with what it is launched with, in a process that takes itself for a Space on ZeroGPU.

    ``spaces`` prepares torch for CUDA, and takes none but one that was built for it: here it finds no torch.
    """
    sys.modules["torch"] = None  # type: ignore[assignment]
    import spaces  # noqa: F401

    del sys.modules["torch"]
    import app

    return app.build(), app.LAUNCH


@dataclass(frozen=True)
class Call:
    """One request: its path, and what was asked in its query."""

    path: str
    asked: dict[str, str]


class Devices:
    """The service; as a context manager it runs.

    ``calls`` is what was asked of it. While ``left`` is a number of seconds, nothing is lent: that is what the visitor
    has left of today's; 0 is nothing, and a negative wait means that nobody is ever lent so much at once.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.left: int | None = None
        self.wait = 3600
        self._lent = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Bound", (_Handler,), {"devices": self}))
        self._server.daemon_threads = True

    def __enter__(self) -> "Devices":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def environment(self, folder: Path) -> dict[str, str]:
        """Return what tells an app that it is on ZeroGPU; a folder for the little that it reads."""
        group = folder / "cgroup"
        group.write_text("0::/app\n")
        return {
            "SPACES_ZERO_GPU": "true",
            "SPACES_ZERO_DEVICE_API_URL": f"http://127.0.0.1:{self._server.server_port}",
            "ZEROGPU_PROC_SELF_CGROUP_PATH": str(group),
            "ZEROGPU_OFFLOAD_DIR": str(folder / "offloaded"),
        }

    def asked(self, path: str) -> list[dict[str, str]]:
        """Return what was asked at a path."""
        return [call.asked for call in self.calls if call.path == path]

    def answer(self, path: str) -> tuple[int, Any]:
        """Return a status and a body."""
        if path == "/schedule":
            if self.left is not None:
                return 429, {"left": self.left, "wait": self.wait}
            self._lent += 1
            return 200, {"idle": True, "nvidiaIndex": 0, "nvidiaUUID": "GPU-0", "allowToken": f"lent-{self._lent}"}
        return (200, {}) if path in ("/startup-report", "/allow", "/release") else (404, {})


class _Handler(BaseHTTPRequestHandler):
    devices: Devices

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        self.devices.calls.append(Call(url.path, dict(parse_qsl(url.query))))
        status, made = self.devices.answer(url.path)
        body = json.dumps(made).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep requests off the screen: ``Devices.calls`` has them."""
