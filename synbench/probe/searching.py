"""The attacks of foolbox, and what has to be done for them to find what they look for."""

import warnings
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from synbench.errors import ArgumentError

if TYPE_CHECKING:
    import torch

BEYOND = 1.01
_RANGE = 20.0
"""Of the logits of a picture: a softmax of them sees the nearest class first, and is far from underflow."""
_LIKELY, _RIVALS = 9, 2
"""Of how many wrong classes the distance is estimated, and how many are made for."""
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


def smallest(
    library: Any, network: "torch.nn.Module", x: "torch.Tensor", y: "torch.Tensor", steps: int
) -> "Iterator[torch.Tensor]":
    """Yield what DDN finds, and what FMN makes of that: from the picture itself it can be caught on the boundary.

    Of more than two classes the first steps decide which one is made for, and another may be nearer: DDN also makes for
    the nearest, to first order, and FMN for the nearest two.
    """
    model, criteria = _seen(library, network, x, y), library.criteria
    ddn, targets = library.attacks.DDNAttack(steps=steps), rivals(network, x, y)
    found = ddn.run(model, x, criteria.Misclassification(y)).detach()
    yield found
    if targets:
        other = ddn.run(model, x, criteria.TargetedMisclassification(targets[0])).detach()
        yield other
        found = _nearer(model, x, y, found, other)
    yield refined(library, network, x, y, steps, found)
    for target in targets:
        yield _fmn(library, steps).run(model, x, criteria.TargetedMisclassification(target)).detach()


def rivals(network: "torch.nn.Module", x: "torch.Tensor", y: "torch.Tensor") -> "list[torch.Tensor]":
    """Return for each picture the wrong class whose boundary is nearest, and the next one; none of two classes.

    Distances are those of a linear model with the slopes at the picture, of the classes with the greatest logits.
    """
    import torch

    x = x.clone().requires_grad_()
    logits = network(x)
    if logits.shape[1] == 2:
        return []
    own = y[:, None]
    likely = logits.detach().scatter(1, own, -torch.inf).topk(min(_LIKELY, logits.shape[1] - 1), dim=1).indices
    away = []
    for place in likely.split(1, dim=1):
        ahead = (logits.gather(1, own) - logits.gather(1, place))[:, 0]
        (slope,) = torch.autograd.grad(ahead.sum(), x, retain_graph=True)
        away.append((ahead.detach() / slope.flatten(1).norm(dim=1)).nan_to_num(torch.inf))
    order = torch.stack(away, dim=1).argsort(dim=1, stable=True)
    return [target[:, 0] for target in likely.gather(1, order)[:, :_RIVALS].split(1, dim=1)]


def _nearer(
    model: Any, x: "torch.Tensor", y: "torch.Tensor", one: "torch.Tensor", other: "torch.Tensor"
) -> "torch.Tensor":
    """Return of each picture the one of two that is decided otherwise and nearer to it."""
    import torch

    sizes = []
    for tried in (one, other):
        size = (tried - x).flatten(1).norm(dim=1)
        sizes.append(torch.where(model(tried).argmax(dim=1) != y, size, torch.inf))
    return torch.where((sizes[1] < sizes[0])[:, None, None, None], other, one)


def refined(
    library: Any, network: "torch.nn.Module", x: "torch.Tensor", y: "torch.Tensor", steps: int, found: "torch.Tensor"
) -> "torch.Tensor":
    """Return what FMN makes of perturbed pictures that are decided otherwise; of others, what it finds by itself."""
    from eagerpy.tensor.pytorch import PyTorchTensor

    # A little beyond the boundary, where rounding does not bring them back.
    start = (x + BEYOND * (found - x)).clamp(0, 1)
    found = start.clone()
    over = _seen(library, network, x, y)(start).argmax(dim=1) != y
    for rows, how in ((over, {"starting_points": PyTorchTensor(start[over])}), (~over, {})):
        if rows.any():
            criterion, model = library.criteria.Misclassification(y[rows]), _seen(library, network, x[rows], y[rows])
            found[rows] = _fmn(library, steps).run(model, x[rows], criterion, **how).detach()
    return found


def _seen(library: Any, network: "torch.nn.Module", x: "torch.Tensor", y: "torch.Tensor") -> Any:
    """Return the library's model of a network: logits less that of each picture's own class, in a unit of its own.

    Decisions stay. But a softmax of float32 whose own share is 1 has lost the slope of its own logit, and of pictures
    far from any other class all slopes: a cross-entropy then leads elsewhere, or nowhere.
    """
    import torch

    with torch.no_grad():
        logits = network(x)
        unit = (logits.amax(dim=1, keepdim=True) - logits.amin(dim=1, keepdim=True)) / _RANGE
        unit = torch.where((unit > 0) & torch.isfinite(unit), unit, 1.0)

    class Relative(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            logits = network(pixels)
            relative: torch.Tensor = (logits - logits.gather(1, y[:, None])) / unit
            return relative

    return library.PyTorchModel(Relative().eval(), bounds=(0, 1), device=y.device)


def _fmn(library: Any, steps: int) -> Any:
    """Return FMN with a projection: foolbox 3.3.4 divides norms by themselves there, and never gets nearer."""

    class Fmn(library.attacks.L2FMNAttack):
        def project(self, x: Any, x0: Any, epsilon: Any) -> Any:
            moved = x - x0
            size = moved.flatten(start=1).norms.l2(axis=-1).maximum(1e-12)
            factor = (epsilon / size).minimum(1).reshape((-1, *[1] * (x.ndim - 1)))
            return x0 + moved * factor

    return Fmn(steps=steps)


def within(
    library: Any, network: "torch.nn.Module", x: "torch.Tensor", y: "torch.Tensor", radius: float, steps: int
) -> "torch.Tensor":
    """Return what PGD makes of pictures within a radius, from a random start."""
    walk = library.attacks.L2PGD(steps=steps, rel_stepsize=_STEPS_TO_CROSS / steps, random_start=True)
    criterion = library.criteria.Misclassification(y)
    found: torch.Tensor = walk.run(_seen(library, network, x, y), x, criterion, epsilon=radius)
    return found


def starts(seeds: Sequence[list[int]], shape: tuple[int, ...]) -> Float32[np.ndarray, "n c h w"]:
    """Return a point of the unit ball for each seed, uniform: d coordinates of one on the sphere in d + 2."""
    size = int(np.prod(shape))
    drawn = np.stack([np.random.default_rng(seed).standard_normal(size + 2) for seed in seeds])
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn[:, :size].reshape(-1, *shape).astype(np.float32)


def beginning(library: Any, begun: "torch.Tensor") -> Any:
    """Return the library with a PGD that starts there, and goes by the difference of the two greatest logits.

    Its own draws depend on what else is in the batch, and its cross-entropy goes by all logits at once. Of two classes
    both lead the same way.
    """
    from eagerpy.tensor.pytorch import PyTorchTensor

    class Pgd(library.attacks.L2PGD):
        def get_random_start(self, x0: Any, epsilon: float) -> Any:
            return x0 + epsilon * PyTorchTensor(begun)

        def get_loss_fn(self, model: Any, labels: Any) -> Any:
            def behind(inputs: Any) -> Any:
                # That of the own class is 0.
                logits = model(inputs).raw
                return PyTorchTensor(logits.scatter(1, labels.raw[:, None], -float("inf")).amax(dim=1).sum())

            return behind

    attacks = SimpleNamespace(L2PGD=Pgd)
    return SimpleNamespace(criteria=library.criteria, attacks=attacks, PyTorchModel=library.PyTorchModel)
