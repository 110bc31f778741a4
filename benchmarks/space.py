"""What the app costs to keep running: memory after many runs, and how long a visitor waits after a start.

    python benchmarks/space.py                       some minutes; needs what the app needs (requirements-app.txt)

The app runs in a process of its own, as on a Space with two CPU cores, and its own client asks it for the demo encoder
from 1,024 images, with one seed after the other, so that no answer is a kept one. Each run is done by a child of the
process that children are forked from, so neither the server nor that process should grow with the number of runs.
The last lines say how long it takes from starting the app to its first page, and to the first score.

Predicted: the server and the process that children are forked from grow by less than 50 MB from run 20 to run 200; the
first score is there within 30 seconds of a start.

How to read it: resident memory, VmRSS of Linux, in units of 10^6 bytes; seconds of a run as the client sees them.
"""

import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

from _timing import Spread, machine, markdown, note, parser

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MARKS = (20, 50, 100, 200)
STARTS = 3
IMAGES = 1024


def resident(pid: int) -> float:
    """Return the memory that a process holds, in units of 10^6 bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) / 1e6 for line in lines if line.startswith("VmRSS"))


def forker(parent: int) -> int:
    """Return the process that children are forked from: the one that the app started for it."""
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            own = f"PPid:\t{parent}\n" in status.read_text()
            if own and b"multiprocessing.forkserver" in (status.parent / "cmdline").read_bytes():
                return int(status.parent.name)
    raise RuntimeError("the app has started no process that children are forked from")


@contextlib.contextmanager
def app() -> Iterator[tuple[str, int, float]]:
    """Start the app without a Hub, and give its address, its process, and the seconds until its first page."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        own = {"HF_HOME": folder, "GRADIO_TEMP_DIR": folder, "GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1"}
        log = Path(folder) / "output.txt"
        began = time.perf_counter()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "app.py"],
                cwd=ROOT,
                env=os.environ | own,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        url = f"http://127.0.0.1:{port}"
        try:
            while True:
                with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=60):
                    break
                assert process.poll() is None, "the app has ended"
                assert time.perf_counter() - began < 120, "the app does not answer"
                time.sleep(0.05)
            yield url, process.pid, time.perf_counter() - began
        except BaseException:
            note(f"the app ({process.poll()}) said: {log.read_text(errors='replace')}")
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ask(client, seed: int) -> dict:
    """Return a score as the app gives it."""
    question = ("synbench:demo", IMAGES, seed, False)
    try:
        return client.predict(*question, api_name="/score")
    except CancelledError:
        # Seen once in several hundred questions, in Gradio's client; why is not known.
        note("the client lost its stream, and asks again")
        return client.predict(*question, api_name="/score")


def starts(count: int) -> list[tuple[float, float]]:
    """Return the seconds from a start to the first page, and to the first score."""
    from gradio_client import Client

    found = []
    for _ in range(count):
        began = time.perf_counter()
        with app() as (url, _, page):
            ask(Client(url, verbose=False), 0)
            found.append((page, time.perf_counter() - began))
        note(f"first page after {found[-1][0]:.1f} s, first score after {found[-1][1]:.1f} s")
    return found


def runs(marks: tuple[int, ...]) -> list[dict]:
    """Ask for one seed after the other, and note the memory after as many runs as the marks say."""
    from gradio_client import Client

    found, seconds = [], []
    with app() as (url, pid, _):
        client = Client(url, verbose=False)
        for seed in range(max(marks)):
            began = time.perf_counter()
            record = ask(client, seed)
            seconds.append(time.perf_counter() - began)
            assert record["settings"]["seed"] == seed
            if seed + 1 in marks:
                memory = {"server": resident(pid), "forker": resident(forker(pid))}
                found.append({"runs": seed + 1, **memory, "seconds": statistics.median(seconds)})
                seconds.clear()
                note(", ".join(f"{name} {value:.4g}" for name, value in found[-1].items()))
    return found


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--out", type=Path, help="for results; default benchmarks/results, of a smoke run elsewhere")
    asked = options.parse_args()
    out = asked.out or (Path(tempfile.gettempdir()) / "synbench-space" if asked.quick else HERE / "results")
    out.mkdir(parents=True, exist_ok=True)
    results = {"starts": starts(1 if asked.quick else STARTS), "runs": runs((2, 4) if asked.quick else MARKS)}
    (out / "space.json").write_text(json.dumps(results, indent=1) + "\n")
    rows = [
        [one["runs"], *(f"{one[name]:,.0f}" for name in ("server", "forker")), f"{one['seconds']:.2f}"]
        for one in results["runs"]
    ]
    told = [Spread.of(side) for side in zip(*results["starts"], strict=True)]
    waits = [
        [what, f"{one.median:.1f} ({one.low:.1f} to {one.high:.1f})"] for what, one in zip(_STEPS, told, strict=True)
    ]
    smoke = ". A smoke run: these numbers mean nothing" if asked.quick else ""
    text = "\n".join(
        [
            f"{machine()}{smoke}.\n",
            markdown("Memory after runs one after the other", ["runs", "server MB", "forked from MB", "s a run"], rows),
            markdown("After a start", ["until", "seconds"], waits),
        ]
    )
    (out / "space.md").write_text(text)
    print(text)


_STEPS = ("the first page", "the first score")


if __name__ == "__main__":
    main()
