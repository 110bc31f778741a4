"""The machine that the app runs on: what it is, and what it can be asked to do."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from hub_tools.at_scale.costs import CORE_FLOPS, VCPUS_A_CORE
from synbench.folders import DEMO

Kind = Literal["cpu", "gpu", "zero"]

_GPU_FLOPS = 8e12
"""Float32 operations a second of a GPU, at the least: those of the smallest that Spaces have, at 40 % of its peak as
``costs`` reckons, and more."""

_LONGEST = {"cpu": 900.0, "gpu": 900.0, "zero": 120.0}
_LARGEST_GB = {"cpu": 2.0, "gpu": 12.0, "zero": 12.0}
_CGROUP = Path("/sys/fs/cgroup")
_MOST_MEMORY = 0.8


@dataclass(frozen=True)
class Hardware:
    """A machine.

    Args:
        kind: ``"cpu"``, ``"gpu"`` (its own), or ``"zero"`` (ZeroGPU: a GPU for the seconds of a call).
        cores: of its CPU, that this process may use.
        memory: bytes that one run may take; of a GPU's run, on the host.
        lanes: runs at once.
        seconds: of one run, at most.
        largest_gb: of weights that are fetched, at most, in units of 10⁹ bytes.
    """

    kind: Kind
    cores: int
    memory: int
    lanes: int
    seconds: float
    largest_gb: float

    @property
    def flops(self) -> float:
        """Float32 operations a second of a forward pass, as ``costs`` reckons."""
        if self.kind == "cpu":
            return max(self.cores / VCPUS_A_CORE, 1) * CORE_FLOPS
        return _GPU_FLOPS

    @property
    def images(self) -> int:
        """Images of a run where nothing else is asked for."""
        return 4096 if self.kind == "cpu" else 8192

    @property
    def examples(self) -> tuple[str, ...]:
        """Models to begin with, such as this machine scores within some minutes."""
        small = (DEMO, "facebook/deit-tiny-patch16-224", "microsoft/resnet-18")
        return small if self.kind == "cpu" else (*small, "facebook/dinov2-small", "google/vit-base-patch16-224")

    @property
    def told(self) -> str:
        """What it is, in words."""
        cores = "1 CPU core" if self.cores == 1 else f"{self.cores} CPU cores"
        return {"cpu": cores, "gpu": "a GPU", "zero": "a GPU for some seconds (ZeroGPU)"}[self.kind]


@lru_cache(maxsize=1)
def here() -> Hardware:
    """Return this machine; looked at once."""
    return look(os.environ, gpu=_has_gpu())


def look(environment: Mapping[str, str], *, gpu: bool) -> Hardware:
    """Return the machine that an environment and a GPU make.

    >>> look({}, gpu=False).kind, look({}, gpu=True).kind, look({"SPACES_ZERO_GPU": "true"}, gpu=False).kind
    ('cpu', 'gpu', 'zero')
    """
    kind: Kind = "zero" if is_zero(environment) else "gpu" if gpu else "cpu"
    return Hardware(
        kind=kind,
        cores=_cores(),
        memory=int(_MOST_MEMORY * _memory()),
        lanes=2 if kind == "zero" else 1,
        seconds=_LONGEST[kind],
        largest_gb=_LARGEST_GB[kind],
    )


def is_zero(environment: Mapping[str, str]) -> bool:
    """Tell whether this is a Space on ZeroGPU."""
    return environment.get("SPACES_ZERO_GPU", "").lower() in ("1", "true")


def _has_gpu() -> bool:
    # The driver's own files tell, without the second and the memory that loading torch takes.
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists()


def _cores() -> int:
    """Return the cores that this process may use: of those it sees, a container may have a share."""
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        return max(min(seen, math.ceil(int(quota) / int(period))), 1)
    except (OSError, ValueError):
        return seen


def _memory() -> int:
    """Return the bytes of memory that there are for all processes."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(whole, int((_CGROUP / "memory.max").read_text()))
    except (OSError, ValueError):
        return whole
