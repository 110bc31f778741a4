"""What is asked of a probing, checked before anything is loaded."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from synbench.errors import ArgumentError
from synbench.settings import check_integer

EPSILONS = (0.0, 0.2, 0.4, 0.6, 0.8)
RADII = (0.1, 0.25, 0.5, 1.0)
STRENGTHS = tuple(10.0**k for k in range(-2, 5))
"""C is tried on this grid: representations have a root mean square of 1, so it has no unit."""


@dataclass(frozen=True)
class Asked:
    """Checked arguments of ``probe``: see there.

    Raises:
        ArgumentError: one of them is out of range.

    >>> Asked(epsilons=[0.4]).epsilons
    (0.0, 0.4)
    """

    epsilons: Sequence[float] = EPSILONS
    Cs: Sequence[float] | None = None
    folds: int = 5
    train_images: int | None = 5000
    test_images: int | None = 2000
    radii: Sequence[float] = RADII
    attack_images: int = 256
    attack_steps: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        epsilons = _rising("epsilons", self.epsilons, "relative to the distance of class means, such as 0.4")
        if bad := [e for e in epsilons if not 0 <= e < 1]:
            raise ArgumentError(
                f"epsilons must lie in [0, 1): they are relative to half the distance of the class means, and a "
                f"radius of 1 or more leaves no margin; got {bad[0]:g}. Remove it."
            )
        # Every other ε is compared with it.
        object.__setattr__(self, "epsilons", tuple(sorted({0.0, *epsilons})))
        for name, fallback, remedy in (("Cs", STRENGTHS, "such as 1"), ("radii", RADII, "in units of [0, 1] a pixel")):
            given = getattr(self, name)
            values = _rising(name, fallback if given is None else given, remedy)
            if bad := [v for v in values if not v > 0]:
                raise ArgumentError(f"{name} must be positive numbers, {remedy}, got {bad[0]:g}. Remove it.")
            object.__setattr__(self, name, values)
        check_integer("folds", self.folds, least=2, remedy="5 is usual")
        check_integer("attack_images", self.attack_images, least=0, remedy="0 leaves attacks out")
        check_integer("attack_steps", self.attack_steps, least=1, remedy="100 is usual")
        check_integer("seed", self.seed, least=0, remedy="every seed gives its own choice, 0 included")
        for name in ("train_images", "test_images"):
            if getattr(self, name) is not None:
                remedy = "all are taken by 0 on the command line, and by None in Python"
                check_integer(name, getattr(self, name), least=1, remedy=remedy)
        if self.train_images is not None and self.folds > self.train_images:
            raise ArgumentError(
                f"folds must be at most train_images, {self.train_images:,}, as a fold has a picture or more, got "
                f"{self.folds:,}; 5 is usual."
            )


def real(value: Any) -> float:
    """Return a real number as a float, and anything else, also a bool, as NaN.

    >>> real(1), real("0.5"), real(True)
    (1.0, nan, nan)
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _rising(name: str, values: Any, remedy: str) -> tuple[float, ...]:
    try:
        numbers = tuple(sorted(float(v) for v in values))
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{name} must be a list of numbers, {remedy}, got {values!r}.") from error
    if not numbers or not all(map(math.isfinite, numbers)):
        raise ArgumentError(f"{name} must be one finite number or more, {remedy}, got {values!r}.")
    if len(set(numbers)) < len(numbers):
        raise ArgumentError(f"{name} must differ from each other, got {list(numbers)}. Remove the duplicates.")
    return numbers
