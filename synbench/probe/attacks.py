"""Attacks on the whole model, from pixels to the decision of a probe: how little it takes to change it.

Perturbations are measured by ℓ2, in units of [0, 1] a pixel, at the input size of the encoder; pictures stay within
[0, 1]. For each picture the smallest perturbation counts that any attack found, shortened by bisection: DDN (Rony et
al. 2019), FMN (Pintor et al. 2021) from where DDN came out, and PGD (Madry et al. 2018) with a random start at each
radius that the picture has withstood. So one run gives robust accuracy at every radius. It is an upper bound: no attack
proves that there is no smaller perturbation. What is found counts only if the pipeline itself, in its own precision,
decides otherwise on the clipped picture.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from synbench.batching import BatchSize
from synbench.encoders import Encoder, evaluating
from synbench.entries import Entry, Piece
from synbench.errors import SynBenchError
from synbench.random_state import kept

from .head import Head
from .searching import foolbox, smallest, within
from .vectors import forward

if TYPE_CHECKING:
    import torch

_T = TypeVar("_T")

ATTACKS = ("DDN", "FMN", "PGD")

_HALVINGS = 10
"""Each perturbation is shortened along its ray, to one part in 2¹⁰: DDN takes 5 % off a step, and may not arrive."""

_RANGE = 20.0
"""Of the logits of a picture: a softmax of them sees the nearest class first, and is far from underflow."""

_ROUNDING = 1e-6
_PART = "attacks"


def withstood(norms: Float[np.ndarray, " n"], radius: float) -> Bool[np.ndarray, " n"]:
    """Tell which pictures withstood every attack of a radius: the smallest perturbation found is larger.

    >>> withstood(np.array([0.1, np.inf]), 0.1)
    array([False,  True])
    """
    return norms > radius * (1 + _ROUNDING)


class NotAttackableError(SynBenchError):
    """The encoder gives no gradient to go by."""


@dataclass(frozen=True)
class Attacked:
    """What it took to change the decision.

    Attributes:
        norms: of the smallest perturbation found, by picture; 0 where the decision was wrong from the start, infinite
            where none was found.
        vanishing: share of the pictures whose gradient is zero or not finite: attacks that go by it are blind there.
    """

    norms: Float[np.ndarray, " n"]
    vanishing: float


def attack(
    encoder: Encoder,
    head: Head,
    images: Float32[np.ndarray, "n c h w"],
    labels: Int[np.ndarray, " n"],
    radii: Sequence[float],
    *,
    steps: int = 100,
    batch_size: BatchSize,
    seed: int = 0,
    vectors: Float32[np.ndarray, "n d"] | None = None,
    entry: Entry | None = None,
    done: Callable[[int], object] = lambda _: None,
) -> Attacked:
    """Look for the smallest perturbation of each picture that changes the decision.

    Args:
        encoder: differentiable: it has a module. It is loaded if anything is missing.
        head: of the probe.
        images: in units of [0, 1].
        labels: classes as integers.
        radii: of PGD, rising.
        steps: of each attack.
        batch_size: pictures a pass; it is halved when memory runs out. What is found does not depend on it, but for
            the rounding of the encoder.
        seed: of random starts, of which each picture has its own.
        vectors: representations of the pictures, where they are known.
        entry: where batches are read from and kept; what is finished stays when the run is interrupted.
        done: told how many pictures are done more.

    Raises:
        NotAttackableError: the encoder gives no gradient.
    """
    if vectors is None:
        vectors = np.concatenate(_by_batch(0, len(images), batch_size, lambda rows: forward(encoder, images[rows])))
    unit = float(np.median(np.ptp(head.logits(vectors), axis=1))) / _RANGE or 1.0

    def run(rows: slice) -> Piece:
        ready = encoder.ready()
        norms, vanishing = _batch(ready, head, images[rows], labels[rows], radii, steps, unit, [seed, rows.start])
        piece = Piece(rows.start, rows.stop, vanishing[:, None].astype(np.float32), norms)
        if entry is not None:
            entry.write(_PART, piece)
        return piece

    pieces, at = list[Piece](), 0
    for piece in [] if entry is None else entry.read(_PART, 0, len(images)):
        pieces += [*_by_batch(at, piece.start, batch_size, run, done), piece]
        done(len(piece.values))
        at = piece.stop
    pieces += _by_batch(at, len(images), batch_size, run, done)
    vanishing = np.concatenate([piece.values[:, 0] for piece in pieces])
    return Attacked(np.concatenate([piece.coordinates for piece in pieces]), float(vanishing.mean(dtype=np.float64)))


def _by_batch(
    start: int,
    stop: int,
    batch_size: BatchSize,
    run: Callable[[slice], _T],
    done: Callable[[int], object] = lambda _: None,
) -> list[_T]:
    """Return what is made of each batch of the rows start … stop−1; it is halved when memory runs out."""
    from accelerate.utils.memory import clear_device_cache

    made, at = list[_T](), start
    while at < stop:
        last, shrunk = min(at + batch_size.size, stop), False
        try:
            made.append(run(slice(at, last)))
        except Exception as error:
            shrunk = batch_size.shrink(error)
            if not shrunk:
                raise
        if shrunk:
            clear_device_cache(garbage_collection=True)
            continue
        done(last - at)
        at = last
    return made


def _batch(
    encoder: Encoder,
    head: Head,
    images: Float32[np.ndarray, "n c h w"],
    labels: Int[np.ndarray, " n"],
    radii: Sequence[float],
    steps: int,
    unit: float,
    seed: list[int],
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    import torch

    library = foolbox()
    right = head.classes(forward(encoder, images)) == labels
    norms = np.where(right, np.inf, 0.0)

    def fooled(rows: Int[np.ndarray, " m"], tried: Float32[np.ndarray, "m c h w"]) -> Bool[np.ndarray, " m"]:
        usable = np.isfinite(tried).all(axis=(1, 2, 3))
        changed = head.classes(forward(encoder, np.where(usable[:, None, None, None], tried, 0))) != labels[rows]
        return np.asarray(usable & changed)

    def keep(rows: Int[np.ndarray, " m"], tried: "torch.Tensor") -> None:
        """Shorten perturbations as far as the pipeline still decides otherwise, and note how long they are."""
        moved = np.clip(tried.detach().cpu().numpy(), 0, 1) - images[rows]
        far, near = np.full(len(rows), np.inf), np.zeros(len(rows))
        for step in range(_HALVINGS + 1):
            at = np.where(np.isfinite(far), (far + near) / 2, 1.0)
            pushed = (images[rows] + at.astype(np.float32)[:, None, None, None] * moved).clip(0, 1)
            over = fooled(rows, pushed)
            far, near = np.where(over, at, far), np.where(over, near, at)
            size = np.sqrt(((pushed.astype(np.float64) - images[rows]) ** 2).sum(axis=(1, 2, 3)))
            norms[rows[over]] = np.minimum(norms[rows[over]], size[over])
            if step == 0:
                # What the pipeline does not confirm is not followed.
                rows, moved, far, near = rows[over], moved[over], far[over], near[over]
            if not len(rows):
                break

    with _differentiable(encoder.module), _seeded(seed, encoder.device):
        whole = _whole(encoder, head, unit)
        x, y = (torch.from_numpy(v).to(encoder.device) for v in (images, labels))
        vanishing = _vanishing(whole, x, y)
        model = library.PyTorchModel(whole, bounds=(0, 1), device=encoder.device)
        rows = np.flatnonzero(right)
        if len(rows):
            for tried in smallest(library, model, x[rows], y[rows], steps):
                keep(rows, tried)
        for number, radius in enumerate(radii):
            rows = np.flatnonzero(withstood(norms, radius))
            if len(rows):
                starts = _starts([[seed[0], number, seed[1] + int(row)] for row in rows], images.shape[1:])
                begun = _beginning(library, torch.from_numpy(starts).to(encoder.device))
                keep(rows, within(begun, model, x[rows], y[rows], radius, steps))
    return norms, vanishing


def _starts(seeds: Sequence[list[int]], shape: tuple[int, ...]) -> Float32[np.ndarray, "n c h w"]:
    """Return a point of the unit ball for each seed, uniform: d coordinates of one on the sphere in d + 2."""
    size = int(np.prod(shape))
    drawn = np.stack([np.random.default_rng(seed).standard_normal(size + 2) for seed in seeds])
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn[:, :size].reshape(-1, *shape).astype(np.float32)


def _beginning(library: Any, starts: "torch.Tensor") -> Any:
    """Return the library with a PGD that starts there: its own draws depend on what else is in the batch."""
    from eagerpy.tensor.pytorch import PyTorchTensor

    class Pgd(library.attacks.L2PGD):
        def get_random_start(self, x0: Any, epsilon: float) -> Any:
            return x0 + epsilon * PyTorchTensor(starts)

    return SimpleNamespace(criteria=library.criteria, attacks=SimpleNamespace(L2PGD=Pgd))


def _whole(encoder: Encoder, head: Head, unit: float) -> "torch.nn.Module":
    """Return the way from pixels to logits as a module, the logits in a unit that a softmax does not saturate at."""
    import torch

    centre, weight, bias = (
        torch.from_numpy(v.astype(np.float32)).to(encoder.device) for v in (head.centre, head.weight, head.bias)
    )

    class Whole(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            vectors = (encoder.represent(pixels) - centre) / head.scale
            return (vectors @ weight.T + bias) / unit

    # foolbox asks for a module in evaluation mode; that of the encoder is set apart, and is not a part of it.
    return Whole().eval()


def _vanishing(whole: "torch.nn.Module", x: "torch.Tensor", y: "torch.Tensor") -> Bool[np.ndarray, " n"]:
    """Tell where the gradient of the margin is zero or not finite."""
    import torch

    x = x.clone().requires_grad_()
    try:
        logits = whole(x)
        if not logits.requires_grad:
            raise NotAttackableError("its output does not depend on its input by any way that torch follows")
        own = torch.nn.functional.one_hot(y, logits.shape[1]).bool()
        margin = logits[own] - logits.masked_fill(own, -torch.inf).amax(dim=1)
        (slope,) = torch.autograd.grad(margin.sum(), x)
    except (RuntimeError, SynBenchError) as error:
        from synbench.batching import out_of_memory

        if out_of_memory(error) or isinstance(error, NotAttackableError):
            raise
        raise NotAttackableError(str(error).splitlines()[0]) from error
    size = slope.flatten(1).double().norm(dim=1)
    found: np.ndarray = (~torch.isfinite(size) | (size == 0)).cpu().numpy()
    return found


@contextlib.contextmanager
def _differentiable(module: Any) -> Iterator[None]:
    """Let gradients reach the pixels, and no weight; put all back after."""
    import torch

    weights = [p for p in module.parameters() if p.requires_grad]
    with evaluating(module), torch.inference_mode(False), torch.enable_grad():
        for weight in weights:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in weights:
                weight.requires_grad_()


@contextlib.contextmanager
def _seeded(seed: list[int], device: str) -> Iterator[None]:
    import torch

    number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    with kept(number):
        if device.startswith("cuda"):
            torch.cuda.manual_seed(number)
        yield
