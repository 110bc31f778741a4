"""Fits and attacks kept on disk as representations are, so that a run that was stopped makes none of them twice.

Their entries are those of ``synbench.entries``: what lists, limits and removes representations does so with them too.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int

from synbench.entries import Entry, Piece
from synbench.versions import version_of

from .head import Head
from .vectors import PictureKey

FITTING, ATTACKING = 1, 1
"""Count the changes of the way from vectors to a probe, and from pictures and a probe to perturbations."""

_FITTING = ("scikit-learn", "scipy", "numpy")
_ATTACKING = ("foolbox", "eagerpy", "numpy")


@dataclass(frozen=True)
class FitKey(PictureKey):
    """Everything that changes the fits of one ε: besides the pictures, which of their numbers they are made of.

    Attributes:
        made_of: digest of the scaled vectors and the labels.
        epsilon: of the probe.
        Cs: to choose from.
        folds: of the cross-validation.
        code: version of the code that fits.
    """

    made_of: str = ""
    epsilon: float = 0.0
    Cs: tuple[float, ...] = ()
    folds: int = 0
    code: int = FITTING


@dataclass(frozen=True)
class AttackKey(PictureKey):
    """Everything that changes what attacks find: besides the pictures, the probe and how it is attacked.

    Attributes:
        made_of: digest of the head, of the places of the attacked pictures, of their labels and of their vectors.
        radii: of PGD.
        steps: of each attack.
        code: version of the code that attacks.
    """

    made_of: str = ""
    radii: tuple[float, ...] = ()
    steps: int = 0
    code: int = ATTACKING


class Shelf:
    """Where all that takes long is kept, with what went wrong there; nowhere, if nothing is to be kept."""

    def __init__(self, model: str, *, kept: bool, fresh: bool) -> None:
        """Open nothing yet: the model is the name to list entries by, ``fresh`` that of ``Entry``."""
        self._model, self._kept, self._fresh, self._opened = model, kept, fresh, list[Entry]()

    def entry(self, key: PictureKey, holds: str) -> Entry | None:
        """Return the entry of a key, and how its notes call what it holds."""
        if not self._kept:
            return None
        self._opened.append(Entry(key, self._model, fresh=self._fresh, holds=holds))
        return self._opened[-1]

    def notes(self) -> list[str]:
        """Return what went wrong, each note once."""
        return list(dict.fromkeys(note for entry in self._opened for note in entry.notes))


def fit_key(
    pictures: PictureKey,
    representations: Float[np.ndarray, "n d"],
    labels: Int[np.ndarray, " n"],
    *,
    epsilon: float,
    Cs: Sequence[float],  # noqa: N803
    folds: int,
) -> FitKey:
    """Return what the fits of one ε to the training pictures of that key depend on; its seed is that of the folds."""
    how = {**vars(pictures), "protocol": "fits", "libraries": (*pictures.libraries, *_versions(_FITTING))}
    made_of = _digest(representations, labels)
    return FitKey(**how, made_of=made_of, epsilon=float(epsilon), Cs=tuple(map(float, Cs)), folds=folds)


def attack_key(
    pictures: PictureKey,
    head: Head,
    places: Int[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
    vectors: Float[np.ndarray, "n d"],
    *,
    radii: Sequence[float],
    steps: int,
) -> AttackKey:
    """Return what attacks on some of the test pictures of that key depend on; its seed is that of random starts."""
    how = {**vars(pictures), "protocol": "attacks", "libraries": (*pictures.libraries, *_versions(_ATTACKING))}
    probe = (head.centre, np.asarray(head.scale), head.weight, head.bias)
    made_of = _digest(*probe, places, labels, vectors)
    return AttackKey(**how, made_of=made_of, radii=tuple(map(float, radii)), steps=steps)


def once(
    entry: Entry | None, part: str, place: int, make: Callable[[], Float64[np.ndarray, " m"]]
) -> Float64[np.ndarray, " m"]:
    """Return the numbers that are kept at a place of an entry, bit for bit; where there are none, make and keep them.

    Args:
        entry: where; without one they are made.
        part: of the entry.
        place: in that part.
        make: how.
    """
    for piece in [] if entry is None else entry.read(part, place, place + 1):
        stored: np.ndarray = piece.values[0]
        return stored
    made = make()
    if entry is not None:
        entry.write(part, Piece(place, place + 1, made[None], np.full(1, np.nan)))
    return made


def _versions(packages: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((package, version_of(package) or "") for package in packages)


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"\0{array.dtype.str}{array.shape}\0".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
