"""Other signals than textures by orientation, looked at on the way to one that goes with probing: κ² of each.

    python -m benchmarks.study.patterns ZOO TABLE.json

Any tilt of the noise is a mixture: of two classes with densities p·(1 ± t·q), q of mean 0 and variance 1 under the
noise p, the optimum for small t is the classifier that goes by q, with κ = t. A linear classifier on representations z
keeps Cov(z, q)ᵀ Cov(z)⁻¹ Cov(z, q) of κ²: the share R² of q's variance that is linear in z. So one set of images, here
noise coloured as that of ``synbench.texture``, embedded once, tells κ² of every q. R² is adjusted for the width of z,
and means over the signals of one kind are set against clean accuracy in TABLE (``validity-*.json``).

    orientation   power along the width against along the height: that of the package
    spectrum      random smooth patterns of frequency and orientation; ``slope``: fine against coarse
    bands         power of one of three bands at one of four orientations
    places        the same in one quarter of the image
    colours       whether neighbouring channels go together
    skewness, kurtosis   of a filtered image: the third and fourth power
    layout        the mean of a channel in one of 4 × 4 fields: linear in pixels, as a check
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import fft, stats

import synbench
from synbench import texture
from synbench.mixture import PIXEL_CENTRE

from .writing import number, rows_of

IMAGES = 12_288
BANDS = (0.063, 0.141, 0.268)
"""Middle frequencies, in cycles a pixel."""

ORIENTATIONS = 4
SPECTRA = 16

Array = NDArray[np.float64]


def coloured(noise: Float[np.ndarray, "n c h w"]) -> Float[np.ndarray, "n c h w"]:
    """Return images of white noise, coloured as the mixture of textures at scale 0 is."""
    _, channels, height, width = noise.shape
    waves = fft.fft2(noise) * texture.amplitudes(height, width).astype(noise.dtype)
    images: NDArray[np.float32] = PIXEL_CENTRE + np.einsum(
        "cd,ndhw->nchw", texture.colours(channels), fft.ifft2(waves).real
    ).astype(np.float32)
    return images


def signals(noise: Float[np.ndarray, "n c h w"]) -> dict[str, list[Array]]:
    """Return the values of each signal q on white noise, by kind; each (n,), of any mean and variance."""
    channels, height, width = noise.shape[1:]
    size, turned = texture.frequencies(height, width)
    waves = fft.fft2(noise)
    power = (np.abs(waves) ** 2).sum(axis=1)
    down, across = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    angle = np.arctan2(down, across)
    sine = np.where(turned == 0, 0.0, np.sin(2 * angle))
    octave = np.log2(np.where(size > 0, size, 1 / max(height, width)))
    octave = (octave - octave.mean()) / octave.std()
    double, other = 2 * turned**2 - 1, 2 * turned * sine
    smooth = [turned, sine, double, other, octave, octave**2 - 1, *(octave * v for v in (turned, sine, double, other))]
    weights = np.random.default_rng(3).standard_normal((SPECTRA, len(smooth)))
    found: dict[str, list[Array]] = defaultdict(list)
    found["orientation"] = [(power * turned).sum(axis=(1, 2))]
    found["slope"] = [(power * octave).sum(axis=(1, 2))]
    found["spectrum"] = [(power * np.tensordot(own, np.stack(smooth), 1)).sum(axis=(1, 2)) for own in weights]
    light = waves.sum(axis=1)
    along, beside = ((np.arange(side) + 0.5) / side for side in (height, width))
    corners = [(a, b) for a in (0.25, 0.75) for b in (0.25, 0.75)]
    near = [np.exp(-((along[:, None] - a) ** 2 + (beside - b) ** 2) / (2 * 0.18**2)) for a, b in corners]
    for middle in BANDS:
        for turn in range(ORIENTATIONS):
            at = angle - turn * np.pi / ORIENTATIONS
            ring = np.exp(-0.5 * (np.log(np.where(size > 0, size, 1e-9) / middle) / 0.35) ** 2)
            filtered = light * (ring * np.exp(2 * np.cos(2 * at) - 2)).astype(noise.dtype)
            energy = np.abs(fft.ifft2(filtered * ((np.cos(at) > 1e-9) & (size > 0)))) ** 2
            found["bands"] += [energy.sum(axis=(1, 2))]
            found["places"] += [(energy * own).sum(axis=(1, 2)) for own in near]
            seen = fft.ifft2(filtered).real
            seen /= seen.std()
            found["skewness"] += [(seen**3 - 3 * seen).sum(axis=(1, 2))]
            found["kurtosis"] += [(seen**4 - 6 * seen**2).sum(axis=(1, 2))]
    found["colours"] = [(noise[:, k] * noise[:, k + 1]).sum(axis=(1, 2)) for k in range(channels - 1)]
    fields = coloured(noise).reshape(len(noise), channels, 4, height // 4, 4, width // 4).mean(axis=(3, 5))
    found["layout"] = list(fields.reshape(len(noise), -1).T.astype(np.float64))
    return dict(found)


def kept(representations: Float[np.ndarray, "n d"], signal: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    """Return κ² of each signal: the share R² of its variance that is linear in z, adjusted for the width of z.

    >>> z = np.random.default_rng(0).standard_normal((500, 3))
    >>> kept(z, z[:, :1] + 5.0).round(6).tolist()
    [1.0]
    """
    rows = representations.astype(np.float64) - representations.mean(axis=0, dtype=np.float64)
    left, sizes, _ = np.linalg.svd(rows, full_matrices=False)
    left = left[:, sizes > 1e-6 * sizes[0]]
    centred = signal - signal.mean(axis=0)
    share = ((left.T @ centred) ** 2).sum(axis=0) / (centred**2).sum(axis=0)
    n = len(rows)
    adjusted: Array = 1 - (1 - share) * (n - 1) / (n - left.shape[1] - 1)
    return adjusted


def kinds_of(
    encoder: synbench.Encoder, images: Float[np.ndarray, "n c h w"], made: dict[str, list[Array]]
) -> dict[str, float]:
    """Return the mean κ² of each kind of signal."""
    import torch

    with torch.inference_mode():
        vectors = torch.cat([encoder(part) for part in torch.from_numpy(images).split(256)]).numpy()
    found = kept(vectors, np.stack([q for own in made.values() for q in own], axis=1))
    ends = np.cumsum([len(own) for own in made.values()])
    return {name: float(part.mean()) for name, part in zip(made, np.split(found, ends[:-1]), strict=True)}


def main() -> None:
    """Print τ of each kind with clean accuracy."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.study.patterns",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("zoo", type=Path, help="a folder with the encoders of the table")
    options.add_argument("table", type=Path, help="validity-*.json")
    options.add_argument("--images", type=int, default=IMAGES)
    asked = options.parse_args()
    table = json.loads(asked.table.read_text())
    noise = np.random.default_rng(7).standard_normal((asked.images, 3, 32, 32)).astype(np.float32)
    images, made = coloured(noise), signals(noise)
    found = []
    for row in table:
        found.append(kinds_of(synbench.load_encoder(asked.zoo / row["encoder"], device="cpu"), images, made))
        print(row["encoder"], file=sys.stderr, flush=True)
    clean = np.array([row["clean"] for row in table])
    learned = np.array([row["pretext"] not in ("untrained", "shuffled") for row in table])
    rows = []
    for name in made:
        values = np.array([one[name] for one in found])
        taus = [stats.kendalltau(values[own], clean[own])[0] for own in (slice(None), learned)]
        rows.append([name, len(made[name]), *map(number, taus), f"{values.min():.3f} to {values.max():.3f}"])
    heads = [
        "κ² of",
        "signals",
        f"τ, n = {len(table)}",
        f"of those that learned a task, n = {learned.sum()}",
        "from, to",
    ]
    print(rows_of(heads, rows))


if __name__ == "__main__":
    main()
