"""Encoders whose κ is known, and other ways to estimate it: what ``population.py`` measures the estimator against.

Nothing here uses the estimator that is measured. The truth of a linear encoder follows from the definition of the
ε-robust classifier, by a root finder of its own. The truth of a network comes from plain draws: independent images,
one noise each, none of them mirrored, their coordinates not looked at.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _timing import note
from scipy import optimize
from scipy.stats import norm

import synbench
from synbench import curve
from synbench.design import design
from synbench.encoders import Encoder
from synbench.representations import Representations
from synbench.settings import EPSILONS, HEADLINE_THRESHOLD, SCALES

SIDE = 32
GROUPS = ((0.0, 1.65), (1.65, 3.25), (3.25, 5.0))
"""Scales that are also looked at apart, to show the linear response."""

PLAIN_IMAGES, BLOCKS, FOLDS = 4_200, 20, 5
"""Plain images a scale, blocks of the jackknife, folds of cross-fitting."""

POINTS = np.linspace(0.6, 1.0, 100)

Vector = np.ndarray


@dataclass(frozen=True)
class Linear:
    """A linear encoder of known κ, in the eigenbasis of the covariance around its response.

    Attributes:
        dimension: d.
        decades: between the largest and the smallest eigenvalue of C⊥.
        kappa: κ at ε = 0.
        tilt: the response along an eigenvector is λ^tilt times a normal number: 0.5 spreads κ over all eigenvectors
            alike, 1 puts most of it on the large ones.
        noise: of the draws: "normal", "t8" (Student's t of 8 degrees of freedom, scaled), or "chi2" (a chi-square of
            4, centred and scaled), in directions that a rotation mixes.
    """

    dimension: int
    decades: float
    kappa: float
    tilt: float = 0.5
    noise: str = "normal"

    @property
    def name(self) -> str:
        """What tables call it."""
        other = "" if self.noise == "normal" else f", {self.noise}"
        return f"linear d={self.dimension}, {self.decades:g} decades, κ={self.kappa:g}{other}"

    @cached_property
    def spread(self) -> Vector:
        """The square roots of the eigenvalues of C⊥."""
        return np.logspace(0, -self.decades / 2, self.dimension)

    @cached_property
    def response(self) -> Vector:
        """The response g."""
        rng = np.random.default_rng([5, self.dimension, int(self.decades * 10), int(self.tilt * 10)])
        g = self.spread ** (2 * self.tilt) * rng.standard_normal(self.dimension)
        wanted = self.kappa**2 / (1 - self.kappa**2)
        return g * np.sqrt(wanted / np.sum((g / self.spread) ** 2))

    @cached_property
    def rotation(self) -> Vector | None:
        """What mixes the coordinates of noise that is not normal."""
        if self.noise == "normal":
            return None
        return np.linalg.qr(np.random.default_rng(7).standard_normal((self.dimension,) * 2))[0]

    @cached_property
    def truth(self) -> Vector:
        """κ of every ε, from C = C⊥ + ggᵀ."""
        return robust(np.diag(self.spread**2) + np.outer(self.response, self.response), self.response)[0]

    @cached_property
    def true_scores(self) -> Vector:
        """Scores of every ε at a_t = 0.6, 0.7 for normal projections."""
        return np.stack([gaussian_scores(self.truth, a) for a in (0.6, 0.7)], axis=1)

    def noise_of(self, draws: int, rng: np.random.Generator) -> Vector:
        """Return e of each draw."""
        shape = (draws, self.dimension)
        if self.noise == "normal":
            e = rng.standard_normal(shape, dtype=np.float32)
        elif self.noise == "t8":
            e = rng.standard_t(8, shape) * np.sqrt(6 / 8)
        else:
            e = (rng.chisquare(4, shape) - 4) / np.sqrt(8)
        e = e if self.rotation is None else e @ self.rotation
        return e * self.spread.astype(np.float32)

    def rows(self, images: int, seed: int) -> Representations:
        """Return the representations of the images of the real design: its classes, scales and mirrored pairs."""
        made = design(synbench.MixtureSpec((3, SIDE, SIDE), seed=seed), 0, images)
        rng = np.random.default_rng([seed, self.dimension, int(1000 * self.kappa)])
        draws = int(made.draws.max()) + 1
        along, e = rng.standard_normal(draws), self.noise_of(draws, rng)
        place = along[made.draws] + (2 * made.labels - 1) * made.scales
        values = (e[made.draws] + np.outer(place, self.response)).astype(np.float32)
        nowhere = np.zeros(images, dtype=bool)
        return Representations(values, made.labels, made.scales, nowhere, along[made.draws], made.draws)

    def paper_rows(self, samples: int, seed: int) -> Iterator[Representations]:
        """Yield what the paper protocol sees, one scale after the other."""
        for scale in SCALES:
            rng = np.random.default_rng([seed, int(scale * 10), self.dimension])
            labels = np.arange(2 * samples) % 2
            place = rng.standard_normal(2 * samples) + (2 * labels - 1) * scale
            values = (self.noise_of(2 * samples, rng) + np.outer(place, self.response)).astype(np.float32)
            yield Representations(values, labels, np.full(2 * samples, scale), np.arange(2 * samples) >= samples)


def robust(covariance: Vector, response: Vector, epsilons: Sequence[float] = EPSILONS) -> tuple[Vector, Vector]:
    """Return κ_ε = wᵀg/√(wᵀCw) and w_ε by the definition: w = C⁻¹(g − z*), ‖z*‖ = ε‖g‖ with z*_i = g_i/(1 + νλ_i)."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > 1e-10 * values[-1]
    values, vectors = values[kept], vectors[:, kept]
    g = vectors.T @ response
    kappas, directions = [], []
    for epsilon in epsilons:
        inside = np.zeros_like(g)
        if epsilon:

            def excess(log_nu: float, level: float = epsilon) -> float:
                return float(np.linalg.norm(g / (1 + np.exp(log_nu) * values)) - level * np.linalg.norm(g))

            log_nu = optimize.brentq(excess, -np.log(values[-1]) - 30, -np.log(values[0]) + 30, xtol=1e-12)
            inside = g / (1 + np.exp(log_nu) * values)
        w = (g - inside) / values
        kappas.append(float(w @ g) / float(np.sqrt(w @ (values * w))))
        directions.append(vectors @ w)
    return np.array(kappas), np.stack(directions, axis=1)


def gaussian_scores(kappas: Vector, threshold: float = HEADLINE_THRESHOLD) -> Vector:
    """Return the score of each κ for normal projections, written from the definition."""
    grid = POINTS[threshold <= POINTS]

    def area(k: Vector) -> float:
        accuracy = norm.cdf(k)
        bound = 1 + norm.pdf(k) / (k * accuracy)
        return float(np.sum(bound * (accuracy > grid[:, None])))

    scales = np.asarray(SCALES)
    return np.array([area(max(float(k), 1e-9) * scales) / area(scales) for k in kappas])


# Networks


class Mlp(torch.nn.Module):
    """Two layers with GELU on the pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = 2 * width
        self.layers = torch.nn.Sequential(
            torch.nn.Flatten(),
            torch.nn.Linear(3 * SIDE * SIDE, inner),
            torch.nn.GELU(),
            torch.nn.LayerNorm(inner),
            torch.nn.Linear(inner, width),
            torch.nn.GELU(),
        )

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Return the vectors of images."""
        return self.layers(pixel_values)


def _vit(width: int, patch: int) -> Any:
    from transformers import ViTConfig, ViTModel

    sizes: dict[str, Any] = {"hidden_size": width, "num_hidden_layers": 2, "num_attention_heads": width // 32}
    config = ViTConfig(**sizes, intermediate_size=2 * width, patch_size=patch, image_size=SIDE, initializer_range=0.1)
    return ViTModel(config, add_pooling_layer=False)


def _resnet() -> Any:
    from transformers import ResNetConfig, ResNetModel

    sizes: dict[str, Any] = {"embedding_size": 32, "hidden_sizes": [32, 64, 128, 256], "depths": [1, 1, 1, 1]}
    return ResNetModel(ResNetConfig(**sizes, layer_type="basic"))


def _convnext() -> Any:
    from transformers import ConvNextConfig, ConvNextModel

    sizes: dict[str, Any] = {"hidden_sizes": [24, 48, 96, 192], "depths": [1, 1, 1, 1]}
    return ConvNextModel(ConvNextConfig(**sizes, image_size=SIDE, initializer_range=0.1))


def _swin() -> Any:
    from transformers import SwinConfig, SwinModel

    sizes: dict[str, Any] = {"embed_dim": 32, "depths": [1, 1], "num_heads": [2, 4], "window_size": 4}
    return SwinModel(SwinConfig(**sizes, image_size=SIDE, patch_size=4, initializer_range=0.1))


NETWORKS: dict[str, Callable[[], Any]] = {
    "ViT d=64": lambda: _vit(64, 8),
    "MLP d=128": lambda: Mlp(128),
    "ConvNeXt d=192": _convnext,
    "ViT d=192": lambda: _vit(192, 16),
    "Swin d=64": _swin,
    "ResNet d=256": _resnet,
    "ViT d=384": lambda: _vit(384, 16),
    "ViT d=768": lambda: _vit(768, 16),
}
"""Architectures with random weights; 32 × 32 pixels."""


def network(name: str) -> Encoder:
    """Return a network as an encoder; the same weights every time."""
    torch.manual_seed(11)
    return synbench.load_encoder(NETWORKS[name](), image_size=SIDE)


@dataclass(frozen=True)
class Truth:
    """κ_ε of a network and its scores, each with its standard error, and κ(s)/s by group of scales.

    Attributes:
        images: plain images in all.
        kappa: by ε.
        kappa_stderr: by a jackknife over blocks of images.
        scores: by ε and a_t in (0.6, 0.7): accuracy and bound counted at each scale, nothing assumed.
        score_stderr: by the jackknife.
        by_group: κ(s)/s along the classifier of all scales, by group of scales and ε.
        by_group_stderr: likewise.
        skewness: of the projections at ε = 0.
        excess_kurtosis: likewise.
    """

    images: int
    kappa: list[float]
    kappa_stderr: list[float]
    scores: list[list[float]]
    score_stderr: list[list[float]]
    by_group: list[list[float]]
    by_group_stderr: list[list[float]]
    skewness: float
    excess_kurtosis: float


def plain(encoder: Encoder, per_scale: int, seed: int = 77) -> tuple[Vector, Vector]:
    """Return representations and ±s of plain draws: the scales in turn, a random class each."""
    generator = torch.Generator().manual_seed(seed)
    total = per_scale * len(SCALES)
    values = np.empty((total, encoder.record.dimension), dtype=np.float32)
    scales = torch.tensor(SCALES)[torch.arange(total) % len(SCALES)]
    signed = scales * (2 * torch.randint(0, 2, (total,), generator=generator) - 1)
    for first in range(0, total, 256):
        t = signed[first : first + 256]
        images = 0.5 + torch.randn(len(t), 3, SIDE, SIDE, generator=generator)
        images += (t / np.sqrt(3 * SIDE * SIDE))[:, None, None, None]
        values[first : first + len(t)] = encoder(images).numpy()
    return values, signed.double().numpy()


class _Moments:
    """Sums of products of [1, t, t², z] by group of scales and block, from which any part gives ĝ and Ĉ."""

    def __init__(self, values: Vector, signed: Vector, block: Vector) -> None:
        d = values.shape[1]
        self.sums = np.zeros((len(GROUPS), BLOCKS, d + 3, d + 3))
        for q, (low, high) in enumerate(GROUPS):
            for b in range(BLOCKS):
                rows = (block == b) & (np.abs(signed) > low) & (np.abs(signed) < high)
                t = signed[rows]
                table = np.column_stack([np.ones(len(t)), t, t**2, values[rows]])
                self.sums[q, b] = table.T @ table

    def parts(self, groups: Sequence[int], blocks: Sequence[int]) -> tuple[Vector, Vector]:
        """Return ĝ and Ĉ of some groups and blocks: the slope over t and the spread around it."""
        whole = self.sums[np.ix_(groups, blocks)].sum(axis=(0, 1))
        cross = whole[:3, 3:]
        beta = np.linalg.solve(whole[:3, :3], cross)
        return beta[1], (whole[3:, 3:] - cross.T @ beta) / (whole[0, 0] - 3)

    def kappa(self, groups: Sequence[int]) -> tuple[Vector, Vector]:
        """Return κ_ε, the geometric mean of plug-in and cross-fit, and its standard error by a jackknife."""
        everything = list(range(BLOCKS))
        whole = robust(*self.parts(groups, everything)[::-1])[0]
        above, spread = np.zeros(len(EPSILONS)), np.zeros(len(EPSILONS))
        for fold in np.array_split(everything, FOLDS):
            w = unit_directions(*self.parts(groups, others(fold))[::-1])
            g, c = self.parts(groups, fold.tolist())
            above, spread = above + g @ w, spread + np.einsum("de,df,fe->e", w, c, w, optimize=True)
        crossed = above / np.sqrt(spread * FOLDS)
        left = np.array([robust(*self.parts(groups, others(k))[::-1])[0] for k in everything])
        return np.sqrt(whole * np.maximum(crossed, 0)), np.sqrt((BLOCKS - 1) * left.var(axis=0))


def others(blocks: Any) -> list[int]:
    """Return the blocks that these are not."""
    return np.setdiff1d(np.arange(BLOCKS), blocks).tolist()


def unit_directions(covariance: Vector, response: Vector) -> Vector:
    """Return w_ε with wᵀCw = 1."""
    w = robust(covariance, response)[1]
    return w / np.sqrt(np.einsum("de,df,fe->e", w, covariance, w, optimize=True))


def measure(name: str, per_scale: int = PLAIN_IMAGES) -> Truth:
    """Measure the truth of a network from plain draws."""
    note(f"  plain draws for {name}")
    encoder = network(name)
    values, signed = plain(encoder, per_scale)
    values -= values[:4900].mean(axis=0)
    block = np.arange(len(values)) // len(SCALES) % BLOCKS
    sums = _Moments(values, signed, block)
    groups = list(range(len(GROUPS)))
    kappa, error = sums.kappa(groups)
    # Each fold is projected on the directions of the others.
    projected = np.empty((len(values), len(EPSILONS)))
    for fold in np.array_split(np.arange(BLOCKS), FOLDS):
        rows = np.isin(block, fold)
        projected[rows] = values[rows] @ unit_directions(*sums.parts(groups, others(fold))[::-1])
    scores = counted_scores(projected, signed, np.ones(len(block), dtype=bool))
    left = np.array([counted_scores(projected, signed, block != k) for k in range(BLOCKS)])
    apart, apart_error = by_group(projected, signed, block)
    noise = projected[:, 0] - np.polyval(np.polyfit(signed, projected[:, 0], 2), signed)
    noise /= noise.std()
    return Truth(
        images=len(values),
        kappa=kappa.tolist(),
        kappa_stderr=error.tolist(),
        scores=scores.tolist(),
        score_stderr=np.sqrt((BLOCKS - 1) * left.var(axis=0)).tolist(),
        by_group=apart.tolist(),
        by_group_stderr=apart_error.tolist(),
        skewness=float(np.mean(noise**3)),
        excess_kurtosis=float(np.mean(noise**4) - 3),
    )


def by_group(projected: Vector, signed: Vector, block: Vector) -> tuple[Vector, Vector]:
    """Return κ(s)/s of each group of scales, and its standard error by a jackknife; by group and ε."""

    def read(whole: Vector) -> Vector:
        beta = np.linalg.solve(whole[:3, :3], whole[:3, 3:])
        spread = np.diag(whole[3:, 3:] - whole[:3, 3:].T @ beta) / (whole[0, 0] - 3)
        return beta[1] / np.sqrt(spread)

    found, errors = [], []
    for low, high in GROUPS:
        sums = []
        for k in range(BLOCKS):
            rows = (block == k) & (np.abs(signed) > low) & (np.abs(signed) < high)
            t = signed[rows]
            table = np.column_stack([np.ones(len(t)), t, t**2, projected[rows]])
            sums.append(table.T @ table)
        whole = np.sum(sums, axis=0)
        found.append(read(whole))
        errors.append(np.sqrt((BLOCKS - 1) * np.var([read(whole - own) for own in sums], axis=0)))
    return np.array(found), np.array(errors)


def counted_scores(projected: Vector, signed: Vector, kept: Vector) -> Vector:
    """Return the scores of every ε at a_t = 0.6 and 0.7, with accuracy and bound counted at each scale."""
    scales = np.round(np.abs(signed), 3)
    trade_off = []
    for scale in SCALES:
        rows = kept & (scales == round(scale, 3))
        upper, lower = projected[rows & (signed > 0)], projected[rows & (signed < 0)]
        middle = (upper.mean(axis=0) + lower.mean(axis=0)) / 2
        half = (upper.mean(axis=0) - lower.mean(axis=0)) / 2
        # Classes have prior ½, whatever their numbers here.
        margins = [(side / half, side > 0) for side in (upper - middle, middle - lower)]
        accuracy = np.mean([right.mean(axis=0) for _, right in margins], axis=0)
        total = np.mean([np.where(right, margin, 0).mean(axis=0) for margin, right in margins], axis=0)
        trade_off.append((accuracy, total / accuracy))
    accuracy, bound = (np.stack(side) for side in zip(*trade_off, strict=True))
    best = curve.reference(SCALES)
    found = []
    for threshold in (0.6, 0.7):
        grid = POINTS[threshold <= POINTS]
        area = sum((bound * (accuracy > point)).sum(axis=0) for point in grid)
        found.append(area / sum((best[1] * (best[0] > point)).sum() for point in grid))
    return np.stack(found, axis=1)


def seen_score(noise: Vector, kappa: float, threshold: float) -> float:
    """Return the score at κ, with margins κs + noise in one class and κs − noise in the other."""
    grid = POINTS[threshold <= POINTS]
    area = 0.0
    for scale in SCALES:
        margins = np.concatenate([kappa * scale + noise, kappa * scale - noise])
        right = margins > 0
        if right.any():
            area += float(margins[right].mean()) / (kappa * scale) * float(np.sum(right.mean() > grid))
    accuracy, bound = curve.reference(SCALES)
    return area / float(np.sum(bound * (accuracy > grid[:, None])))


def truth(name: str, cache: Path, per_scale: int = PLAIN_IMAGES) -> Truth:
    """Return the truth of a network, measured once and kept in a file."""
    kept: dict[str, Any] = json.loads(cache.read_text()) if cache.exists() else {}
    key = f"{name}, {per_scale} a scale"
    if key not in kept:
        kept[key] = measure(name, per_scale).__dict__
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text(json.dumps(kept, indent=1) + "\n")
    return Truth(**kept[key])


# Other estimators


def rivals(rows: Representations) -> tuple[Vector, Vector]:
    """Return κ_ε by plug-in and by the geometric mean of plug-in and cross-fit.

    Both regress all images on ±s and take all residuals for C. Folds keep images of one noise together. NaN where
    a fold's complement has too few images for C to be inverted.
    """
    t = (2.0 * rows.labels - 1) * rows.scales
    centre = rows.values[:1000].mean(axis=0, dtype=np.float64)
    fold = (rows.draws // 3) % FOLDS
    sums = []
    for k in range(FOLDS):
        own = fold == k
        table = np.column_stack([np.ones(int(own.sum())), t[own], rows.values[own] - centre])
        sums.append(table.T @ table)
    whole = sum(sums)
    d = rows.values.shape[1]
    unknown = np.full(len(EPSILONS), np.nan)
    if d > 0.9 * len(rows):
        return unknown, unknown
    g, c = _regression(whole)
    plug_in = robust(c, g)[0]
    if d > 0.7 * len(rows):
        return plug_in, unknown
    above, spread = np.zeros(len(EPSILONS)), np.zeros(len(EPSILONS))
    for own in sums:
        g, c = _regression(whole - own)
        w = unit_directions(c, g)
        g, c = _regression(own)
        above, spread = above + g @ w, spread + np.einsum("de,df,fe->e", w, c, w, optimize=True)
    crossed = above / np.sqrt(spread * FOLDS)
    return plug_in, np.sqrt(plug_in * np.maximum(crossed, 0))


def _regression(sums: Vector) -> tuple[Vector, Vector]:
    """Return the slope over t and the residual covariance from sums of products of [1, t, z]."""
    known, cross = sums[:2, :2], sums[:2, 2:]
    beta = np.linalg.solve(known, cross)
    return beta[1], (sums[2:, 2:] - cross.T @ beta) / (known[0, 0] - 2)


def floor(kappa: float, images: int, dimension: int) -> float:
    """Return the least relative error of κ for Gaussian data, with C learnt from 3/4·N draws: (1 − κ²)/√(2(n − d))."""
    free = images * 3 / 4 - dimension
    return (1 - kappa**2) / float(np.sqrt(2 * free)) if free > 0 else float("nan")
