"""The processes of one launch: the main one leads and keeps the result, the others embed their share.

They are what ``accelerate launch`` or ``torchrun`` started; one process alone is a launch of one. Whatever one of them
raises, all of them raise, so that none waits for ever.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from .errors import ArgumentError, SynBenchError

_PATIENCE = timedelta(days=7)
"""A process whose share is in the cache waits for those that embed theirs; a dead one is the launcher's business."""


@dataclass(frozen=True)
class Processes:
    """Where this process stands among those of its launch.

    Attributes:
        index: 0 for the main one.
        count: how many there are.
    """

    index: int = 0
    count: int = 1

    @property
    def share(self) -> tuple[int, int]:
        """This process and how many, as ``share_out`` takes it."""
        return self.index, self.count

    @property
    def main(self) -> bool:
        """Whether this process leads."""
        return self.index == 0

    def from_main(self, value: Any) -> Any:
        """Return in every process what the main one has; the others' values are ignored."""
        if self.count == 1:
            return value
        from accelerate.utils import broadcast_object_list

        held = [value if self.main else None]
        broadcast_object_list(held, from_process=0)
        return held[0]

    def gather(self, part: Any) -> list[Any]:
        """Return the parts of all processes in their order; where one of them is an error, raise it everywhere."""
        if self.count == 1:
            parts = [part]
        else:
            from accelerate.utils import gather_object

            parts = gather_object([part])
        for error in parts:
            if isinstance(error, BaseException):
                raise error
        return parts


ALONE = Processes()
"""This process, whoever else was launched."""


def started_with() -> int:
    """Return how many processes a launcher started: 1 without one, whatever a cluster sets for its own use."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def launched(device: Any = None) -> Processes:
    """Join the processes of this launch; every one of them has to call this, and to go the same way after.

    Args:
        device: where they embed, if that is asked for: processes on CPUs talk another way than those on GPUs.

    Raises:
        ArgumentError: several processes were launched, but ``accelerate`` was set up before as if this were alone.
    """
    from accelerate import PartialState

    started = started_with()
    if started == 1:
        return ALONE
    state = PartialState(cpu=_on_cpus(device), timeout=_PATIENCE)
    if state.num_processes == 1:
        raise ArgumentError(
            f"expected to embed together with the {started} processes that were launched, but this one is set up to be "
            f"alone: accelerate was used before with another device. Use SynBench, or PartialState(cpu=...) with the "
            f"right device, first."
        )
    return Processes(state.process_index, state.num_processes)


def _on_cpus(device: Any) -> bool:
    import torch

    if device is not None:
        return str(device).startswith("cpu")
    accelerator = getattr(torch, "accelerator", torch.cuda)
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true") or not accelerator.is_available()


def dismiss() -> None:
    """Part from the other processes, where there are any."""
    from accelerate import PartialState

    if PartialState._shared_state and PartialState().num_processes > 1:  # noqa: SLF001
        PartialState().destroy_process_group()


@contextmanager
def together(processes: Processes) -> Iterator[None]:
    """Let what one process raises in the block be raised by all of them at its end."""
    try:
        yield
    except Exception as error:
        with suppress(SynBenchError):
            processes.gather(portable(error))
        raise
    processes.gather(None)


def portable(error: Exception) -> Exception:
    """Return an error that another process can read: SynBench's own as it is, others by their text."""
    return error if isinstance(error, SynBenchError) else SynBenchError(f"{type(error).__name__}: {error}")
