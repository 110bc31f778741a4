"""The attacks of foolbox, and what has to be done for them to find what they look for."""

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from synbench.errors import ArgumentError

if TYPE_CHECKING:
    import torch

_BEYOND = 1.01
_STEPS_TO_CROSS = 2.5
"""PGD's steps together, in radii."""


def foolbox() -> Any:
    """Import foolbox, which makes the attacks.

    Raises:
        ArgumentError: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            # It imports names that scipy has moved.
            warnings.simplefilter("ignore", DeprecationWarning)
            import foolbox as library
    except ImportError as error:
        raise ArgumentError(
            f"attacks need foolbox ({error}). Install it by pip install 'synbench[probe]', or pass attack_images=0."
        ) from error
    return library


def smallest(library: Any, model: Any, x: "torch.Tensor", y: "torch.Tensor", steps: int) -> "Iterator[torch.Tensor]":
    """Yield what DDN finds, and what FMN makes of that: from the picture itself it can be caught on the boundary."""
    from eagerpy.tensor.pytorch import PyTorchTensor

    criterion = library.criteria.Misclassification
    found = library.attacks.DDNAttack(steps=steps).run(model, x, criterion(y)).detach()
    yield found
    # A little beyond the boundary, where rounding does not bring them back.
    start = (x + _BEYOND * (found - x)).clamp(0, 1)
    found = start.clone()
    over = model(start).argmax(dim=1) != y
    for rows, how in ((over, {"starting_points": PyTorchTensor(start[over])}), (~over, {})):
        if rows.any():
            found[rows] = _fmn(library, steps).run(model, x[rows], criterion(y[rows]), **how).detach()
    yield found


def _fmn(library: Any, steps: int) -> Any:
    """Return FMN with a projection: foolbox 3.3.4 divides norms by themselves there, and never gets nearer."""

    class Fmn(library.attacks.L2FMNAttack):
        def project(self, x: Any, x0: Any, epsilon: Any) -> Any:
            moved = x - x0
            size = moved.flatten(start=1).norms.l2(axis=-1).maximum(1e-12)
            factor = (epsilon / size).minimum(1).reshape((-1, *[1] * (x.ndim - 1)))
            return x0 + moved * factor

    return Fmn(steps=steps)


def within(library: Any, model: Any, x: "torch.Tensor", y: "torch.Tensor", radius: float, steps: int) -> "torch.Tensor":
    """Return what PGD makes of pictures within a radius, from a random start."""
    walk = library.attacks.L2PGD(steps=steps, rel_stepsize=_STEPS_TO_CROSS / steps, random_start=True)
    found: torch.Tensor = walk.run(model, x, library.criteria.Misclassification(y), epsilon=radius)
    return found
