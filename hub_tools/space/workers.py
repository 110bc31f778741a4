"""Where the work runs: in a process of its own, which can be stopped at any moment, and takes its memory with it.

On ZeroGPU it runs in the process that is lent a GPU instead. Children are forked from a process that has torch loaded
already, so one is there within a tenth of a second; the server itself never loads it.
"""

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from . import preloaded, weights
from .admission import Admitted, Asked
from .hardware import Hardware, here, is_zero
from .line import NotHereError
from .work import Frame, seconds, unexpected, work

_TICK = 0.25
"""Seconds between two looks at whether somebody still wants the work."""

_LEAST = 120.0
"""Seconds that every run may take."""

_PRELOADED = ["hub_tools.space.preloaded"]
_SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OAUTH_CLIENT_SECRET")


def run(admitted: Admitted, hardware: Hardware | None = None) -> Iterator[Frame | None]:
    """Do the work, and yield its frames; ``None`` a few times a second where there is nothing new.

    Closing the generator stops the work.

    Args:
        admitted: what is to be done.
        hardware: this machine's, by default.

    Raises:
        NotHereError: it takes too long, or too much memory, or no GPU is lent for it.
    """
    hardware = hardware or here()
    if hardware.kind == "zero":
        yield from _where_lent(admitted)
        return
    yield from _in_child(admitted, hardware)


def warm_up() -> None:
    """Start the process that children are forked from; it loads torch while nobody waits for it."""
    if here().kind != "zero":
        threading.Thread(target=_start_and_end, name="warm-up", daemon=True).start()


def register() -> None:
    """Tell ZeroGPU of the function that wants a GPU, as it must be told when an app starts; elsewhere do nothing."""
    if is_zero(os.environ):
        _lent()


@cache
def _lent() -> Callable[[Asked, float], Iterator[Frame]]:
    import spaces

    lent: Callable[[Asked, float], Iterator[Frame]] = spaces.GPU(duration=seconds)(_lent_work)
    return lent


def _lent_work(asked: Asked, reckoned: float) -> Iterator[Frame]:  # noqa: ARG001 - the duration follows it
    yield from work(asked)


def _where_lent(admitted: Admitted) -> Iterator[Frame]:
    import gradio as gr

    # Not on the time that the visitor has of a GPU.
    weights.fetch(admitted.asked)
    frames = _lent()(admitted.asked, admitted.seconds)
    try:
        # Closed with this generator, and so in the other process.
        with contextlib.closing(frames):  # type: ignore[type-var]
            yield from frames
    except gr.Error as error:
        # The visitor's quota, mostly.
        said = str(error.message).strip().rstrip(".")
        raise NotHereError(f"ZeroGPU says: {said}. Try again later, or score the model on your own machine.") from None


def _in_child(admitted: Admitted, hardware: Hardware) -> Iterator[Frame | None]:
    asked = admitted.asked
    receiver, sender = _context().Pipe(duplex=False)
    child = _context().Process(target=_main, args=(sender, asked), daemon=True)
    child.start()
    sender.close()
    # What a configuration tells may be wrong, by mistake or on purpose: who asked for little gets little.
    most = min(1.5 * hardware.seconds, _LEAST + 3 * admitted.seconds)
    until = time.monotonic() + most
    try:
        while True:
            _check(child, hardware, until, most)
            if not receiver.poll(_TICK):
                yield None
                continue
            frame: Frame = receiver.recv()
            yield frame
            if frame.done or frame.error is not None:
                return
    except (EOFError, OSError):  # it has ended, perhaps in the middle of a frame
        child.join(1)
        yield Frame(error=_ended(child.exitcode))
    finally:
        child.kill()
        child.join()
        receiver.close()
        if asked.commit is not None:
            weights.forget_halves(asked.model)


def _main(sender: Connection, asked: Asked) -> None:
    """Work in the child: hand on the frames, and end when nobody takes them."""
    for name in _SECRETS:
        os.environ.pop(name, None)
    preloaded.all_cores()
    with contextlib.suppress(BrokenPipeError, ConnectionError):
        for frame in work(asked):
            sender.send(frame)
    sender.close()


def _check(child: Any, hardware: Hardware, until: float, most: float) -> None:
    if time.monotonic() > until:
        raise NotHereError(
            f"the run took longer than {most / 60:.0f} minutes, and was stopped. What was done is "
            f"kept: ask for fewer images, or score the model on your own machine."
        )
    if _resident(child.pid) > hardware.memory:
        raise NotHereError(
            f"the run took more than the {hardware.memory / 1e9:.1f} GB of memory that there are for it, and was "
            f"stopped. Score the model on a machine with more."
        )


def _resident(pid: int | None) -> int:
    """Return the bytes of memory that a process holds; 0 where that cannot be told."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _ended(code: int | None) -> str:
    if code == -9:
        return (
            "The run was ended by this machine, most likely for want of memory. Score the model on a machine with more."
        )
    try:
        raise RuntimeError(f"a worker ended with exit code {code}")  # noqa: TRY301
    except RuntimeError:
        return unexpected()


@cache
def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def _start_and_end() -> None:
    # The server of forks takes the environment as it is when it starts.
    os.environ["SYNBENCH_PRELOAD"] = "1"
    process = _context().Process(target=_nothing, daemon=True)
    process.start()
    process.join()


def _nothing() -> None:
    """Is what the first child does."""
