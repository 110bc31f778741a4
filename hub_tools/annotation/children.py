"""One model, one process: whatever becomes of it, this one goes on.

The child gets no token of the Hub unless that is asked for: what is scored is public, and nothing that runs beside a
model's files needs one.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synbench.errors import ArgumentError, OutputError

from .journal import Event, without_tokens
from .plan_settings import arguments
from .plans import PlannedModel

_GRACE = 10.0
"""Seconds between asking a process to end and ending it."""

_TAIL = 20_000
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN", "HF_API_TOKEN")
_SECRET = re.compile(r"hf_[A-Za-z0-9]{8,}")
# How launchers tell the exit code of what they launched, when their own is 1.
_LAUNCHED_CODE = re.compile(r"exitcode\s*:\s*(-?\d+)|returned non-zero exit status (\d+)")
_UNREACHABLE = "Check the network, or fetch it first with"


@dataclass(frozen=True)
class Ending:
    """How a process ended.

    Args:
        event: scored (if its result is right), failed, crashed or timeout.
        reason: in one sentence; ``None`` if it went well.
        permanent: whether another attempt would end the same.
        local: whether the reason may lie with this machine or its network, and not with the model.
        seconds: that it took.
    """

    event: Event
    reason: str | None = None
    permanent: bool = False
    local: bool = False
    seconds: float = 0.0


def command(
    planned: PlannedModel,
    settings: Mapping[str, Any],
    output: Path,
    *,
    launch: Sequence[str] = (),
    more: Sequence[str] = (),
) -> list[str]:
    """Return the command that scores a model.

    Args:
        planned: which, at which commit.
        settings: of the plan.
        output: where the result goes.
        launch: words before ``-m synbench score``; by default the Python that runs this.
        more: options that belong to the machine.

    >>> command(PlannedModel("org/model", "0" * 40), {"seed": 1}, Path("/r.json"), launch=["accelerate", "launch"])[:6]
    ['accelerate', 'launch', '-m', 'synbench', 'score', 'org/model']
    """
    start = list(launch) or [sys.executable]
    own = ["-m", "synbench", "score", planned.id, "--revision", planned.commit, "--output", str(output), "--quiet"]
    return [*start, *own, *arguments(settings), *more]


def environment(variables: Mapping[str, str], *, token: bool = False) -> dict[str, str]:
    """Return the variables of a child: those of this process, without tokens, or with ``HF_TOKEN`` alone.

    >>> sorted(environment({"HOME": "mine", "HF_TOKEN": "hf_secret"}))
    ['HF_HUB_DISABLE_IMPLICIT_TOKEN', 'HF_TOKEN_PATH', 'HOME', 'PYTHONSAFEPATH']
    """
    kept = {name: v for name, v in variables.items() if name not in _TOKENS and not _SECRET.search(v)}
    if token and "HF_TOKEN" in variables:
        return {**kept, "HF_TOKEN": variables["HF_TOKEN"], "PYTHONSAFEPATH": "1"}
    # The third keeps files of the working folder, such as a Space's synbench.py, from taking the package's place.
    return {
        **kept,
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
        "HF_TOKEN_PATH": os.devnull,
        "PYTHONSAFEPATH": "1",
    }


def run(words: Sequence[str], log: Path, timeout: float | None, *, token: bool = False) -> Ending:
    """Run a command to its end, and tell how it ended.

    Args:
        words: the command.
        log: file for what it says on stderr; removed if it went well.
        timeout: seconds after which it is ended.
        token: let it have ``HF_TOKEN``.

    Raises:
        ArgumentError: there is no such command.
        KeyboardInterrupt: this process was interrupted; the child is ended first.
    """
    began = time.monotonic()
    try:
        with log.open("wb") as stream:
            child = subprocess.Popen(
                list(words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stream,
                env=environment(os.environ, token=token),
                # A group of its own: Ctrl-C reaches it through us, and all that it launched can be ended.
                start_new_session=True,
            )
    except OSError as error:
        if error.filename == str(log):
            raise OutputError(f"cannot write {str(log)!r}: {error.strerror}.") from error
        raise ArgumentError(f"cannot start {words[0]!r}: {error.strerror}. Check --launch.") from error
    code: int | None
    try:
        code = child.wait(timeout)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        # Whatever ended the wait, and also what a dead launcher left behind.
        if child.returncode != 0:
            _end(child)
    seconds = time.monotonic() - began
    if code == 0:
        log.unlink(missing_ok=True)
        return Ending("scored", seconds=seconds)
    if code is None:
        return Ending("timeout", f"it took more than {timeout:g} seconds", seconds=seconds)
    return _judged(code, _tail(log), seconds)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let a request to terminate this process end its child too, as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:
        # Not in the main thread: whoever started this one answers signals.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _judged(code: int, said: str, seconds: float) -> Ending:
    """Tell from exit code and stderr what happened.

    >>> _judged(3, "synbench: cannot load 'org/model': it is a text model.", 1.0).permanent
    True
    >>> _judged(-9, "", 1.0).reason
    'it was killed by signal 9 (SIGKILL), as where memory runs out'
    """
    if code == 1 and (told := {int(one or other) for one, other in _LAUNCHED_CODE.findall(said)} - {0, 1}):
        # What a process says of the model comes first, then a signal; the others of the launch are then terminated.
        code = max(told & {2, 3}, default=min(told - {-signal.SIGTERM}, default=1))
    # A shell tells a signal so.
    code = 128 - code if code > 128 else code
    reason = _reason(said)
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
        memory = ", as where memory runs out" if -code == signal.SIGKILL else ""
        return Ending("crashed", f"it was killed by signal {-code} ({name}){memory}", seconds=seconds)
    if code in (2, 3):
        if _UNREACHABLE in said:
            return Ending("failed", reason, permanent=False, local=True, seconds=seconds)
        return Ending("failed", reason, permanent=True, local=code == 2, seconds=seconds)
    return Ending("crashed", f"it ended with exit code {code}: {reason}", local=True, seconds=seconds)


def _reason(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    own = [line.partition("synbench: ")[2] for line in lines if line.startswith("synbench: ")]
    return without_tokens((own or lines or ["nothing was said"])[-1])[:1000]


def _tail(log: Path) -> str:
    try:
        return log.read_bytes()[-_TAIL:].decode(errors="replace")
    except OSError:
        return ""


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End a process and all of its group."""
    if child.returncode is None:
        _signal(child.pid, signal.SIGTERM)
        try:
            child.wait(_GRACE)
        except subprocess.TimeoutExpired:
            pass
        except KeyboardInterrupt:
            _signal(child.pid, signal.SIGKILL)
            child.wait()
            raise
    _signal(child.pid, signal.SIGKILL)
    child.wait()


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
