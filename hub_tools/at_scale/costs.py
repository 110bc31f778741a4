"""What scoring costs on Hugging Face Jobs: seconds and dollars, reckoned before anything is paid for.

    a model   = start + 4 · parameters / download + passes · images · 2 · parameters · tokens / speed
    a shard   = set-up + its models, one after another
    dollars   = minutes begun · price of a minute

``tokens`` are those of a vision transformer with patches of 16. Speeds of CPUs are scaled from what was measured on one
core; those of GPUs are estimates from the vendors' float32 peaks: none was measured. Drawing the images is not counted:
it takes 2 % of the forward pass of a small encoder on a CPU, and less of a larger one.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from synbench.errors import ArgumentError
from synbench.settings import Settings, with_sizes

PRICES_OF = "August 2026"
"""When the documented prices below were read; the Hub's own list goes before them where it can be asked."""

CORE_FLOPS = 50e9
"""Float32 operations a second of one core, by ``forward_flops``: ViT-Tiny at 22.8 images a second makes 49.7e9,
ResNet-18 at 18.0 makes 79e9 (benchmarks/results/embedding.md, one thread of an AMD EPYC)."""

VCPUS_A_CORE = 2
"""Two virtual processors share a core: an assumption."""

GPU_SHARE = 0.4
"""Share of a GPU's float32 peak that a forward pass reaches: an assumption."""

START = 15.0
"""Seconds of a process before its first image: 6 to 9 were measured with warm files, twice that is assumed."""

SET_UP = 180.0
"""Seconds of a Job before its first model, in which packages are fetched: an assumption."""

DOWNLOAD = 100e6
"""Bytes a second of weights from the Hub: an assumption."""

_PATCH = 16
_SIDE = 224

# Float32 peaks without tensor cores, in TFLOP/s, as their vendor gives them.
_PEAKS = {"T4": 8.1, "L4": 30.3, "A10G": 31.2, "L40S": 91.6, "A100": 19.5, "H200": 66.9, "RTX PRO 6000": 120.0}

# Name, virtual processors, accelerators and their model, dollars an hour.
_DOCUMENTED: tuple[tuple[str, int, int, str | None, float], ...] = (
    ("cpu-basic", 2, 0, None, 0.01),
    ("cpu-upgrade", 8, 0, None, 0.03),
    ("cpu-xl", 16, 0, None, 1.00),
    ("cpu-performance", 32, 0, None, 1.90),
    ("t4-small", 4, 1, "T4", 0.40),
    ("t4-medium", 8, 1, "T4", 0.60),
    ("l4x1", 8, 1, "L4", 0.80),
    ("l4x4", 48, 4, "L4", 3.80),
    ("a10g-small", 4, 1, "A10G", 1.00),
    ("a10g-large", 12, 1, "A10G", 1.50),
    ("a10g-largex2", 24, 2, "A10G", 3.00),
    ("a10g-largex4", 48, 4, "A10G", 5.00),
    ("l40sx1", 8, 1, "L40S", 1.80),
    ("l40sx4", 48, 4, "L40S", 8.30),
    ("l40sx8", 192, 8, "L40S", 23.50),
    ("a100-large", 12, 1, "A100", 2.50),
    ("a100x4", 48, 4, "A100", 10.00),
    ("a100x8", 96, 8, "A100", 20.00),
    ("rtx-pro-6000", 23, 1, "RTX PRO 6000", 2.75),
    ("rtx-pro-6000x2", 46, 2, "RTX PRO 6000", 5.50),
    ("rtx-pro-6000x4", 92, 4, "RTX PRO 6000", 11.00),
    ("rtx-pro-6000x8", 184, 8, "RTX PRO 6000", 22.00),
    ("h200", 23, 1, "H200", 5.00),
    ("h200x2", 46, 2, "H200", 10.00),
    ("h200x4", 92, 4, "H200", 20.00),
    ("h200x8", 184, 8, "H200", 40.00),
)


@dataclass(frozen=True)
class Flavour:
    """A machine that Jobs run on.

    Args:
        name: as Jobs call it.
        vcpus: virtual processors.
        gpus: accelerators.
        gpu: their model; ``None`` where there is none.
        dollars: an hour.
        source: where the price is from.
    """

    name: str
    vcpus: int
    gpus: int
    gpu: str | None
    dollars: float
    source: str

    @property
    def flops(self) -> float:
        """Operations a second that a forward pass in float32 makes on it, all its accelerators together.

        Raises:
            ArgumentError: nothing is known of its accelerator.
        """
        if self.gpu is None:
            return self.vcpus / VCPUS_A_CORE * CORE_FLOPS
        if self.gpu not in _PEAKS:
            raise ArgumentError(
                f"expected a flavor whose speed is known, got {self.name!r} with {self.gpu}. Choose another one, such "
                f"as cpu-upgrade or l4x1."
            )
        return self.gpus * GPU_SHARE * _PEAKS[self.gpu] * 1e12


@dataclass(frozen=True)
class Estimate:
    """What a run is reckoned to take.

    Args:
        flavour: of its machines.
        models: in all shards.
        shards: Jobs, each on a machine of its own.
        hours: of machines, in all.
        longest: hours of the longest shard.
        dollars: for all hours, by minutes begun.
    """

    flavour: Flavour
    models: int
    shards: int
    hours: float
    longest: float
    dollars: float


def flavours(hardware: Iterable[Any] = ()) -> dict[str, Flavour]:
    """Return the flavours by name: as documented, and over that what the Hub lists.

    Args:
        hardware: what ``huggingface_hub.list_jobs_hardware`` gives; nothing for the documented ones alone.

    >>> flavours()["cpu-upgrade"].dollars
    0.03
    """
    known = {
        name: Flavour(name, vcpus, gpus, gpu, dollars, f"as documented in {PRICES_OF}")
        for name, vcpus, gpus, gpu, dollars in _DOCUMENTED
    }
    for item in hardware:
        # A price by something else than the minute would be read as one by the minute: the documented one stays.
        if item.unit_label != "minute":
            continue
        accelerator = item.accelerator
        listed = Flavour(
            name=item.name,
            vcpus=_leading_number(item.cpu),
            gpus=0 if accelerator is None else _leading_number(accelerator.quantity),
            gpu=None if accelerator is None else str(accelerator.model),
            dollars=item.unit_cost_micro_usd * 60 / 1e6,
            source="as the Hub lists it now",
        )
        documented = known.get(item.name)
        # What the Hub tells of its machines is text; where this list knows one, only the price is taken from there.
        known[item.name] = (
            listed if documented is None else replace(documented, dollars=listed.dollars, source=listed.source)
        )
    return known


def choose(name: str, known: dict[str, Flavour]) -> Flavour:
    """Return the flavour of this name.

    Raises:
        ArgumentError: there is none, or its speed is not known.

    >>> choose("cpu-upgrade", flavours()).flops
    200000000000.0
    """
    if name not in known:
        raise ArgumentError(f"expected a flavor of Hugging Face Jobs, got {name!r}. There are {', '.join(known)}.")
    _ = known[name].flops
    return known[name]


def forward_flops(parameters: float, side: int = _SIDE) -> float:
    """Return the operations of one forward pass: twice the parameters for each token.

    The tokens are those of patches of 16 × 16 and one more. For convolutional networks, whose weights are used at other
    numbers of places, it is right within a factor of about two: ResNet-18 has 3.6e9, and 4.4e9 are reckoned.

    Args:
        parameters: above 0.
        side: of the square image, in pixels.

    >>> forward_flops(86e6) / 1e9
    33.884
    """
    return 2 * parameters * (math.ceil(side / _PATCH) ** 2 + 1)


def images_of(settings: Settings) -> int:
    """Return how many images a model is embedded for, at most what its settings allow to draw.

    A model whose answer is not linear takes five times as many; how many models that will be is not known before.

    >>> images_of(Settings()), images_of(Settings(protocol="paper"))
    (8192, 200704)
    """
    sized = with_sizes(settings)
    if sized.protocol == "paper":
        return len(sized.scales) * 2 * int(sized.samples or 0)
    return int(sized.max_images or sized.images or 0)


def model_seconds(parameters: float, flavour: Flavour, images: int, *, side: int = _SIDE, passes: int = 1) -> float:
    """Return the seconds that one model takes.

    Args:
        parameters: of the model, float32.
        flavour: where it runs.
        images: that are embedded.
        side: of a square image, in pixels.
        passes: 2 with the untrained twin, else 1.

    >>> round(model_seconds(86e6, flavours()["cpu-upgrade"], 8192))
    1406
    """
    return START + 4 * parameters / DOWNLOAD + passes * images * forward_flops(parameters, side) / flavour.flops


def shard_seconds(models: Iterable[float]) -> float:
    """Return the seconds of a shard from those of its models."""
    return SET_UP + sum(models)


def estimate(flavour: Flavour, shards: Sequence[Sequence[float]]) -> Estimate:
    """Sum up shards, each given by the seconds of its models.

    >>> estimate(flavours()["l4x1"], [[3420.0], [1650.0, 1770.0]]).dollars
    1.6
    """
    seconds = [shard_seconds(models) for models in shards]
    return Estimate(
        flavour=flavour,
        models=sum(map(len, shards)),
        shards=len(shards),
        hours=sum(seconds) / 3600,
        longest=max(seconds, default=0.0) / 3600,
        dollars=round(sum(math.ceil(s / 60) for s in seconds) * flavour.dollars / 60, 6),
    )


def _leading_number(text: str) -> int:
    found = re.match(r"\d+", str(text))
    return int(found[0]) if found else 1
