"""Attacks on the whole model, from pixels to the decision of a probe: how little it takes to change it.

Perturbations are measured by ℓ2, in units of [0, 1] a pixel, at the input size of the encoder; pictures stay within
[0, 1]. For each picture the smallest perturbation counts that any attack found, shortened by bisection: DDN (Rony et
al. 2019), FMN (Pintor et al. 2021) from where DDN came out, and PGD (Madry et al. 2018) with a random start at each
radius that the picture has withstood; of more than two classes DDN and FMN also make for the nearest ones. Where these
find nothing, the straight line to the nearest attacked picture that is decided otherwise leads somewhere, and FMN on
from there. So one run gives robust accuracy at every radius. It is an upper bound: no attack proves that there is no
smaller perturbation. What is found counts only if the pipeline itself, in its own precision, decides otherwise on the
clipped picture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from synbench.batching import BatchSize
from synbench.encoders import Encoder
from synbench.entries import Entry, Piece
from synbench.errors import SynBenchError

from .head import Head
from .pixels import differentiable, seeded, whole
from .searching import BEYOND, beginning, foolbox, refined, smallest, starts, within
from .vectors import forward

if TYPE_CHECKING:
    import torch

_T = TypeVar("_T")

ATTACKS = ("DDN", "FMN", "PGD")

_HALVINGS = 10
"""Each perturbation is shortened along its ray, to one part in 2¹⁰: DDN takes 5 % off a step, and may not arrive."""

_ROUNDING = 1e-6
_PART = "attacks"
_ENDS = 3
"""Pictures that a line is drawn to, one after the other: the decision of one may be a matter of rounding."""


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
            where none was found, and no other attacked picture is decided otherwise either.
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
    everything = images, head.classes(vectors)

    def run(rows: slice) -> Piece:
        own, start = (images[rows], labels[rows]), [seed, rows.start]
        norms, vanishing = _batch(encoder.ready(), head, *own, radii, steps, start, everything)
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
    seed: list[int],
    everything: tuple[Float32[np.ndarray, "a c h w"], Int[np.ndarray, " a"]],
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
            at = np.where(np.isfinite(far), (far + near) / 2, 1.0 if step == 0 else BEYOND)
            pushed = (images[rows] + at.astype(np.float32)[:, None, None, None] * moved).clip(0, 1)
            over = fooled(rows, pushed)
            far, near = np.where(over, at, far), np.where(over, near, at)
            size = np.sqrt(((pushed.astype(np.float64) - images[rows]) ** 2).sum(axis=(1, 2, 3)))
            norms[rows[over]] = np.minimum(norms[rows[over]], size[over])
            if step == 1:
                # What the pipeline does not confirm is not followed, neither there nor a little beyond.
                seen = np.isfinite(far)
                rows, moved, far, near = rows[seen], moved[seen], far[seen], near[seen]
            if not len(rows):
                break

    with differentiable(encoder.module), seeded(seed, encoder.device):
        network = whole(encoder, head)
        x, y = (torch.from_numpy(v).to(encoder.device) for v in (images, labels))
        vanishing = _vanishing(network, x, y)
        rows = np.flatnonzero(right)
        if len(rows):
            for tried in smallest(library, network, x[rows], y[rows], steps):
                keep(rows, tried)
        lost = np.flatnonzero(np.isinf(norms))
        ends = [_otherwise(images[row], int(labels[row]), *everything)[:_ENDS] for row in lost]
        for number in range(max(map(len, ends), default=0)):
            more = [at for at, row in enumerate(lost) if number < len(ends[at]) and np.isinf(norms[row])]
            rows, reached = lost[more], torch.from_numpy(everything[0][[ends[at][number] for at in more]])
            if len(rows):
                reached = reached.to(encoder.device)
                keep(rows, reached)
                keep(rows, refined(library, network, x[rows], y[rows], steps, reached))
        for number, radius in enumerate(radii):
            rows = np.flatnonzero(withstood(norms, radius))
            if len(rows):
                drawn = starts([[seed[0], number, seed[1] + int(row)] for row in rows], images.shape[1:])
                begun = beginning(library, torch.from_numpy(drawn).to(encoder.device))
                keep(rows, within(begun, network, x[rows], y[rows], radius, steps))
    return norms, vanishing


def _otherwise(
    picture: Float32[np.ndarray, "c h w"],
    label: int,
    images: Float32[np.ndarray, "a c h w"],
    decided: Int[np.ndarray, " a"],
) -> Int[np.ndarray, " b"]:
    """Return the places of the pictures that are decided otherwise, the nearest in pixels first."""
    places = np.flatnonzero(decided != label)
    away = [np.linalg.norm((images[place] - picture).astype(np.float64)) for place in places]
    return np.asarray(places[np.argsort(away, kind="stable")])


def _vanishing(network: "torch.nn.Module", x: "torch.Tensor", y: "torch.Tensor") -> Bool[np.ndarray, " n"]:
    """Tell where the gradient of the margin is zero or not finite."""
    import torch

    x = x.clone().requires_grad_()
    try:
        logits = network(x)
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
