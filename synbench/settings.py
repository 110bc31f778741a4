"""What is asked: the grids of a study, their defaults, and the checks that every entry point shares."""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .errors import ArgumentError

SCALES: tuple[float, ...] = tuple(k / 10 for k in range(1, 50))
"""Scales s of the paper: half the distance between the class means, 0.1 to 4.9."""

EPSILONS: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8)
"""Robustness levels of the paper, relative to the norm of the half difference of class means."""

THRESHOLDS: tuple[float, ...] = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)
"""Threshold accuracies a_t of the paper."""

SAMPLES = 2048
"""Images per scale and split in the paper."""

IMAGES = 8192
"""Images of the population protocol, in all."""

MAX_IMAGES = 65_536
"""Where the population protocol stops drawing on the way to a wanted standard error, unless told otherwise."""

HEADLINE_EPSILON, HEADLINE_THRESHOLD = 0.0, 0.7
"""Where the one-number score is read."""

DIRECTIONS = ("uniform", "random", "texture")
"""What the classes differ along: a direction of their means, or their texture."""

UNIFORM, TEXTURE = "uniform", "texture"

PROTOCOLS: tuple[str, ...] = ("population", "paper")
SPLITS: tuple[str, ...] = ("train", "test")

SCALE_RESOLUTION = 1e-6
"""Scales closer than this are the same scale (a float32 0.1 is 0.10000000149)."""

_LARGEST_SCALE = 1000.0


def scale_key(scale: float) -> int:
    """Return the integer that names a scale: it seeds the draws and groups the rows.

    >>> scale_key(0.1) == scale_key(0.10000000149011612)
    True
    """
    return round(scale / SCALE_RESOLUTION)


@dataclass(frozen=True)
class Settings:
    """The checked settings of a study.

    Args:
        protocol: ``"population"`` or ``"paper"``.
        samples: of the paper protocol: images per scale and split, at least 3; ``None`` for representations
            that were made elsewhere.
        images: of the population protocol: images in all, at least 64; ``None`` as above.
        target_stderr: of the population protocol: draw more images until the headline's standard error (of textures:
            that of κ) is at most this, or ``max_images`` are drawn.
        max_images: where to stop drawing; at least ``images``.
        scales: s > 0, strictly different; in pixel units of the standard deviation; kept in rising order.
        epsilons: 0 ≤ ε < 1, relative to ‖μ‖₂.
        thresholds: 0.6 ≤ a_t < 1, the range of the curve's grid.
        seed: a non-negative integer; 0 is a seed like any other.
        direction: ``"uniform"``, ``"random"``, or ``"texture"``, of the population protocol; see ``MixtureSpec``.
        as_published: reproduce the authors' script (see ``synbench.paper``).

    Raises:
        ArgumentError: a value is outside its range; the message names it.

    >>> Settings(images=2048).scales[:3]
    (0.1, 0.2, 0.3)
    """

    protocol: str = "population"
    samples: int | None = None
    images: int | None = None
    target_stderr: float | None = None
    max_images: int | None = None
    scales: Sequence[float] = field(default=SCALES)
    epsilons: Sequence[float] = field(default=EPSILONS)
    thresholds: Sequence[float] = field(default=THRESHOLDS)
    seed: int = 0
    direction: str = "uniform"
    as_published: bool = False

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise ArgumentError(f"protocol must be one of {', '.join(map(repr, PROTOCOLS))}, got {self.protocol!r}.")
        if self.direction not in DIRECTIONS:
            raise ArgumentError(f"direction must be one of {', '.join(map(repr, DIRECTIONS))}, got {self.direction!r}.")
        if self.direction == TEXTURE and self.protocol != "population":
            raise ArgumentError(
                "direction='texture' belongs to protocol='population': the paper's draws classes that differ in their "
                "means. Leave one of the two out."
            )
        check_flag("as_published", self.as_published)
        self._check_sizes()
        check_integer("seed", self.seed, least=0, remedy="every seed gives its own draws, 0 included")
        object.__setattr__(self, "scales", tuple(sorted(check_scales(self.scales))))
        epsilons = _numbers("epsilons", self.epsilons)
        if bad := [e for e in epsilons if not 0 <= e < 1]:
            raise ArgumentError(
                f"epsilons must lie in [0, 1): they are relative to the norm of the half difference of "
                f"the class means, and a radius of 1 or more leaves no margin; got {bad[0]:g}. "
                f"Remove it, or divide an absolute radius by that norm."
            )
        thresholds = _numbers("thresholds", self.thresholds)
        if bad := [t for t in thresholds if not THRESHOLDS[0] <= t < 1]:
            raise ArgumentError(
                f"thresholds must lie in [0.6, 1), the range of the curve's grid, got {bad[0]:g}. "
                f"Use accuracies such as 0.7 or 0.95."
            )
        for name, values in (("epsilons", epsilons), ("thresholds", thresholds)):
            if len(set(values)) < len(values):
                raise ArgumentError(f"{name} must differ from each other, got {list(values)}. Remove the duplicates.")
        object.__setattr__(self, "epsilons", epsilons)
        object.__setattr__(self, "thresholds", thresholds)

    def _check_sizes(self) -> None:
        paper = self.protocol == "paper"
        others = ("images", "target_stderr", "max_images") if paper else ("samples", "as_published")
        if strange := [name for name in others if getattr(self, name) not in (None, False)]:
            own = "samples=" if paper else "images="
            raise ArgumentError(
                f"{', '.join(strange)} does not belong to protocol={self.protocol!r}, whose size is {own}. "
                f"Leave it out, or ask for the other protocol."
            )
        if self.samples is not None:
            check_integer("samples", self.samples, least=3, remedy="the paper uses 2048 per scale and split")
        if self.images is not None:
            check_integer("images", self.images, least=64, remedy=f"{IMAGES} give an error of about 1 %")
        if self.target_stderr is not None:
            (target,) = _numbers("target_stderr", [self.target_stderr])
            if target <= 0:
                raise ArgumentError(f"target_stderr must be above 0, got {target:g}; 0.005 is a common wish.")
            object.__setattr__(self, "target_stderr", target)
        if self.max_images is not None:
            if self.target_stderr is None:
                raise ArgumentError("max_images needs target_stderr=: without one, exactly images= are drawn.")
            least = max(self.images or 0, 64)
            check_integer("max_images", self.max_images, least=least, remedy="it cannot be below images=")


def make_settings(**asked: Any) -> Settings:
    """Make settings of keyword arguments; ``None`` means the default.

    ``samples`` and ``as_published`` belong to the paper protocol: given without ``protocol``, they ask for it.

    Raises:
        ArgumentError: a value is out of range.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    if "samples" in given or given.get("as_published") is True:
        given.setdefault("protocol", "paper")
    return Settings(**given)


def with_sizes(settings: Settings) -> Settings:
    """Fill in how many images a model is to embed: the default of its protocol, and where a wish for precision ends."""
    if settings.protocol == "paper":
        return settings if settings.samples is not None else replace(settings, samples=SAMPLES)
    images = IMAGES if settings.images is None else settings.images
    if settings.images is None and settings.max_images is not None:
        images = min(images, settings.max_images)
    most = settings.max_images
    if settings.target_stderr is not None and most is None:
        most = max(MAX_IMAGES, images)
    return replace(settings, images=images, max_images=most)


def check_scales(scales: Sequence[float]) -> tuple[float, ...]:
    """Return the scales as floats, in the order given.

    Raises:
        ArgumentError: none given, one not in (0, 1000], or two alike.
    """
    values = _numbers("scales", scales)
    if bad := [s for s in values if not SCALE_RESOLUTION <= s <= _LARGEST_SCALE]:
        raise ArgumentError(
            f"scales must lie in (0, {_LARGEST_SCALE:g}] (half the distance between the class means), "
            f"got {bad[0]:g}. The paper's grid is 0.1, 0.2, ..., 4.9."
        )
    if len({scale_key(s) for s in values}) < len(values):
        raise ArgumentError(
            f"scales must differ from each other by more than {SCALE_RESOLUTION:g}, got {list(values)}. "
            f"Remove the duplicates."
        )
    return values


def check_integer(name: str, value: Any, *, least: int, remedy: str) -> int:
    """Return ``value`` if it is an integer of at least ``least`` (a bool is not).

    Raises:
        ArgumentError: it is not.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        raise ArgumentError(f"{name} must be an integer of at least {least}, got {value!r}; {remedy}.")
    return number


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither True nor False: the word "no" would count as true.

    Raises:
        ArgumentError: it is not a bool.
    """
    if not isinstance(value, bool):
        raise ArgumentError(f"{name} must be True or False, got {value!r}.")


def _numbers(name: str, values: Sequence[float]) -> tuple[float, ...]:
    """Return a non-empty sequence of finite floats."""
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise ArgumentError(f"{name} must be a sequence of numbers, got {values!r}. Put it in a list.")
    try:
        numbers = tuple(float(v) for v in values)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ArgumentError(f"{name} must be a sequence of numbers, got {values!r}.") from error
    if not numbers:
        raise ArgumentError(f"{name} must hold at least one number, got none. Leave it out for the paper's grid.")
    if not all(map(math.isfinite, numbers)):
        raise ArgumentError(f"{name} must be finite numbers, got {list(numbers)}.")
    return numbers
