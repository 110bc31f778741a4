"""Other mixtures than the package's, looked at on the way to one that goes with probing: κ of each.

A mixture of coloured noise is the package's own, seen through a linear map: images c + T(±s·u + η) with white noise η,
a unit vector u, and T the filter that gives noise its spectrum and its colours. In image space κ = s as before, at
ε = 0. So it is scored as it is, by an encoder behind T and behind the reflection that takes the package's direction
to u.

    white or 1/f     the amplitude of the noise by frequency; channels independent, or alike to 0.9 as in pictures
    contrast         the standard deviation of a pixel
    uniform          u the same in every pixel; "waves": a random picture of 1/f; "random": any direction
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

import synbench
from synbench import texture
from synbench.mixture import PIXEL_CENTRE

IMAGES = 2048
"""An encoder and mixture: κ to about 3 %."""


@dataclass(frozen=True)
class Mixture:
    """Noise of a contrast, white or as 1/f, and what the class means differ by."""

    falling: bool
    contrast: float
    direction: str


MIXTURES = {
    "white 1, waves": Mixture(falling=False, contrast=1.0, direction="waves"),
    "white 0.25, uniform": Mixture(falling=False, contrast=0.25, direction="uniform"),
    "1/f 0.25, uniform": Mixture(falling=True, contrast=0.25, direction="uniform"),
    "1/f 0.25, waves": Mixture(falling=True, contrast=0.25, direction="waves"),
    "1/f 0.25, random": Mixture(falling=True, contrast=0.25, direction="random"),
}


def colouring(made: Mixture, shape: tuple[int, int, int]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return T, from white noise (n, c, h, w) to noise of the mixture's spectrum and contrast."""
    if not made.falling:
        return lambda noise: made.contrast * noise
    amplitudes = torch.tensor(texture.amplitudes(*shape[1:]) * made.contrast / texture.CONTRAST, dtype=torch.float32)
    colours = torch.tensor(texture.colours(shape[0]), dtype=torch.float32)

    def colour(noise: torch.Tensor) -> torch.Tensor:
        return torch.einsum("cd,ndhw->nchw", colours, torch.fft.ifft2(torch.fft.fft2(noise) * amplitudes).real)

    return colour


def direction(made: Mixture, shape: tuple[int, int, int], seed: int = 0) -> torch.Tensor:
    """Return u, a unit vector of the shape of an image."""
    if made.direction == "uniform":
        return torch.full(shape, float(np.prod(shape)) ** -0.5)
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if made.direction == "waves":
        drawn = colouring(Mixture(falling=True, contrast=1.0, direction=""), shape)(drawn[None])[0]
    return drawn / drawn.norm()


def reflection(to: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the reflection that takes the uniform direction to another, and white noise to white noise."""
    normal = to.reshape(-1) - to.numel() ** -0.5
    size = normal.norm()
    if size < 1e-6:
        return lambda noise: noise
    normal = normal / size

    def reflect(noise: torch.Tensor) -> torch.Tensor:
        rows = noise.reshape(len(noise), -1)
        return (rows - 2 * (rows @ normal)[:, None] * normal).view_as(noise)

    return reflect


def kappa(encoder: Callable[[torch.Tensor], object], shape: tuple[int, int, int], made: Mixture) -> float:
    """Return κ at ε = 0 of an encoder on a mixture: the share of the images' discriminability that it keeps."""
    colour, turn = colouring(made, shape), reflection(direction(made, shape))

    def behind(images: torch.Tensor) -> object:
        return encoder(PIXEL_CENTRE + colour(turn(images - PIXEL_CENTRE)))

    report = synbench.score(behind, image_size=shape, images=IMAGES, epsilons=[0.0], cache=False, device="cpu")
    assert report.kappa is not None
    return report.kappa[0]


def kappas(where: str) -> dict[str, float]:
    """Return κ of the encoder of a folder or Hub id on every mixture, by name."""
    encoder = synbench.load_encoder(where, device="cpu")
    return {name: kappa(encoder, encoder.contract.shape, made) for name, made in MIXTURES.items()}
