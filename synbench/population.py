"""The population protocol: the score in the limit of many images, from one pass over a few thousand.

The class shift is tiny beside the noise, s/√D a pixel, and an encoder answers it linearly: μ(s) = s·g, and C does not
move. So images of all scales and both classes together give one g and one C, hence one κ_ε for all scales,
κ_ε(s) = s·κ_ε (``discriminability``). Accuracy and bound follow from κ_ε(s) and the noise of the projections as it was
seen: near Φ(κ) and B(κ), and equal to them where it is Gaussian. Whether the answer is linear is checked on every run
(``diagnostics``). Where it is not, ``bands`` of scales get a g and a C each, and κ(s)/s is interpolated between them.

The paper protocol estimates the same quantity with a bias that grows with d/n; this one has none to order 1/n.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float

from . import curve
from .diagnostics import Diagnostics, Noise, at_scales, diagnose, projections
from .discriminability import MOST_FREEDOM, Observations, fit, kappa
from .errors import RepresentationError
from .representations import Representations

BANDS = 5
"""Bands of scales where one linear response does not do."""

_FEWER = 3
_NARROW = 0.25


@dataclass(frozen=True)
class Population:
    """κ² by band and ε with its error, and how it is read at each scale.

    Attributes:
        scales: where accuracy and bound are read.
        squared: estimates of κ_ε² by band; noise can take them below 0.
        stderr: their standard errors.
        contributions: by band, each draw's part of the error of ``squared``.
        weights: how κ(s)/s at each scale is made of the bands.
        drift: by what factor κ(s) would be another at every scale: with the significant drifts from a linear
            response; in bands, with fewer of them. It widens intervals, and is not applied.
        most: the largest κ there can be: 1 where the draws' own coordinates are known.
        diagnostics: what a linear response with Gaussian projections leaves out.
        noise: of each band, the projections of its draws around their class mean.
        limited: at which ε there were too few draws for the dimensions: κ is not reliable, and has no interval.
        images: rows that were used.
        dimension: d.
        warnings: what to know.
    """

    scales: tuple[float, ...]
    squared: Float[np.ndarray, "b e"]
    stderr: Float[np.ndarray, "b e"]
    contributions: tuple[Float[np.ndarray, "n e"], ...]
    weights: Float[np.ndarray, "s b"]
    drift: Float[np.ndarray, "e s"]
    most: float
    diagnostics: Diagnostics
    noise: tuple[Noise, ...]
    limited: Bool[np.ndarray, " e"]
    images: int
    dimension: int
    warnings: tuple[str, ...] = field(default=())

    def at_scales(self, kappas: Float[np.ndarray, "b *e"]) -> Float[np.ndarray, "*e s"]:
        """Return κ(s) at every scale of κ(s)/s by band."""
        values: np.ndarray = np.asarray(self.scales) * np.tensordot(kappas, self.weights, axes=(0, 1))
        return values

    def read(
        self, kappas: Float[np.ndarray, "b e"], factor: Float[np.ndarray, "e s"] | float = 1.0
    ) -> tuple[Float[np.ndarray, "e s"], Float[np.ndarray, "e s"]]:
        """Return accuracy and expected scaled bound at every scale of κ(s)/s by band, with the noise as it was seen.

        Between two bands, the accuracies and margins that either's noise gives are interpolated.
        """
        curves = self.at_scales(kappas) * factor
        accuracy, margin = np.zeros_like(curves), np.zeros_like(curves)
        for noise, weight in zip(self.noise, self.weights.T, strict=True):
            tilts = at_scales(noise.tilt, self.scales)
            for row, along in enumerate(curves):
                hits, bound = curve.empirical_trade_off(noise.values[:, row], along, tilts[row])
                accuracy[row] += weight * hits
                margin[row] += weight * hits * np.nan_to_num(bound)
        return accuracy, np.divide(margin, accuracy, out=np.full_like(margin, np.nan), where=margin > 0)

    @property
    def kappas(self) -> Float[np.ndarray, "b e"]:
        """κ(s)/s by band: the root of ``squared``, within [0, most]."""
        roots: np.ndarray = np.sqrt(np.clip(self.squared, 0, self.most**2))
        return roots

    def trade_off(self) -> curve.TradeOff:
        """Return accuracy and bound of every ε at every scale; no bound (NaN) where κ is 0."""
        accuracy, bound = self.read(self.kappas)
        return curve.TradeOff(self.scales, accuracy, bound, self.images, self.dimension, self.warnings)


def estimate(
    rows: Representations, scales: Sequence[float], epsilons: Sequence[float], *, bands: int = 1
) -> Population:
    """Estimate κ_ε from representations of any scales, in any order.

    Args:
        rows: the representations; ``coordinates`` and ``draws`` make the estimate sharper where they are known.
        scales: where accuracy and bound will be read.
        epsilons: robustness levels in [0, 1), 0 first.
        bands: estimate κ apart for this many bands of scales. The coordinates are left aside then: they tell of the
            response at one scale only.

    Raises:
        RepresentationError: a class is missing, mirrored images do not match, there are too few rows, or they do not
            vary.

    >>> rng = np.random.default_rng(0)
    >>> y, s = np.arange(4000) % 2, rng.choice([0.5, 1.0, 2.0], 4000)
    >>> z = rng.standard_normal((4000, 2)) + np.outer((2 * y - 1) * s, [0.6, 0.8])
    >>> found = estimate(Representations.checked(z, y, s), [1.0], [0.0])
    >>> bool(abs(np.sqrt(found.squared[0, 0]) - 1) < 0.03)
    True
    """
    parts, centres = _bands(rows, bands)
    found, noise, diagnostics, freedom = [], [], None, len(rows)
    # At one scale nothing tells whether the response there is that to a draw's own coordinate.
    known = bands == 1 and np.ptp(rows.scales) > 0
    for part in parts:
        seen = observations(part, coordinates=known)
        fitted = fit(seen)
        found.append(kappa(fitted, epsilons))
        noise.append(projections(seen, fitted, found[-1]))
        diagnostics = diagnostics or diagnose(seen, fitted, found[-1], noise[-1], scales)
        freedom = min(freedom, fitted.freedom)
    assert diagnostics is not None
    grid = np.asarray(scales, dtype=np.float64)
    limited = np.any([k.limited for k in found], axis=0)
    made = Population(
        scales=tuple(grid.tolist()),
        squared=np.stack([k.squared for k in found]),
        stderr=np.stack([k.stderr for k in found]),
        contributions=tuple(k.contributions for k in found),
        drift=diagnostics.factor,
        weights=np.stack([np.interp(grid, centres, unit) for unit in np.eye(len(centres))], axis=1),
        most=1.0 if known and bool(np.isfinite(rows.coordinates).all()) else np.inf,
        diagnostics=diagnostics,
        noise=tuple(noise),
        limited=limited,
        images=len(rows),
        dimension=rows.values.shape[1],
        warnings=_warnings(
            rows.values.shape[1], freedom, [e for e, held in zip(epsilons, limited, strict=True) if held]
        ),
    )
    if not (np.isfinite(made.squared).all() and np.isfinite(made.stderr).all()):
        raise RepresentationError(
            "expected representations that answer to the class means in some way, but κ cannot be computed from these. "
            "Look for coordinates that are nearly always constant, and add more images."
        )
    if bands == 1:
        return made
    # What the number of bands does to κ(s) is an error that no number of images takes away.
    coarse = estimate(rows, scales, epsilons, bands=1 if len(parts) < _FEWER else _FEWER) if bands > _FEWER else made
    curves, other = made.at_scales(made.kappas), coarse.at_scales(coarse.kappas)
    drift = np.divide(other, curves, out=np.ones_like(curves), where=curves > 0)
    return replace(made, drift=np.clip(drift, 0.5, 2.0))


def observations(rows: Representations, *, coordinates: bool = True) -> Observations:
    """Take mean and half difference of the two images of each mirrored pair; say where each draw lies along μ̂.

    Args:
        rows: the representations.
        coordinates: use the draws' own coordinates where every row has one.

    Raises:
        RepresentationError: a class is missing, or rows of one draw are not two of one scale and opposite class.
    """
    if len(np.unique(rows.labels)) < 2:
        only = f"only class {rows.labels[0]} in {len(rows)}" if len(rows) else "no"
        raise RepresentationError(f"expected both classes, got {only} rows. Add images of the other class.")
    order = np.argsort(rows.draws, kind="stable")
    same = (np.diff(rows.draws[order]) == 0) & (rows.draws[order][1:] >= 0)
    one, other = order[:-1][same], order[1:][same]
    matched = (rows.scales[one] == rows.scales[other]) & (rows.labels[one] != rows.labels[other])
    if not matched.all() or len(np.unique(np.concatenate([one, other]))) < 2 * len(one):
        raise RepresentationError(
            "expected rows with one number in draws= to be two images of one scale and opposite class, the same noise "
            "shifted towards either class mean, but some are not. Pass the mixture's own columns, of one mixture (one "
            "seed) at a time."
        )
    signs = 2.0 * rows.labels - 1
    values = rows.values.astype(np.float64)
    differences = (values[one] - values[other]) * (signs[one] / 2)[:, None]
    values[one] = (values[one] + values[other]) / 2
    kept = np.ones(len(rows), dtype=bool)
    kept[other] = False
    known = coordinates and bool(np.isfinite(rows.coordinates).all())
    return Observations(
        values=values[kept] if len(other) else values,
        signed=(signs * rows.scales)[kept],
        scales=rows.scales[kept],
        coordinates=rows.coordinates[kept] if known else np.zeros(int(kept.sum())),
        known=known,
        differences=differences,
        mirrored=(np.cumsum(kept) - 1)[one],
    )


def _bands(rows: Representations, bands: int) -> tuple[list[Representations], list[float]]:
    """Return the rows of each band of scales, in rising order, and the scale each band stands for."""
    if bands == 1:
        return [rows], [1.0]
    parts, centres = [], []
    for scales in np.array_split(np.unique(rows.scales), min(bands, len(np.unique(rows.scales)))):
        part = rows.select((rows.scales >= scales[0]) & (rows.scales <= scales[-1]))
        parts.append(part)
        centres.append(float(np.sqrt(np.mean(part.scales**2))))
    return parts, centres


def _warnings(dimension: int, freedom: int, limited: Sequence[float]) -> tuple[str, ...]:
    if limited:
        return (
            f"The representation has {dimension} dimensions, too many for {freedom} independent draws: at ε = "
            f"{', '.join(f'{e:g}' for e in limited)} the classifier may use up {MOST_FREEDOM:.0%} of them only, and "
            f"κ and the scores there are not reliable. Raise images to {_enough(dimension)} or more.",
        )
    if freedom - dimension < _NARROW * freedom:
        return (
            f"The representation has {dimension} dimensions and its covariance is estimated from {freedom} independent "
            f"draws: the interval is wide. Raise images to {_enough(dimension)} or more.",
        )
    return ()


def _enough(dimension: int) -> int:
    """Return images whose draws are twice the dimensions, rounded up to a thousand."""
    return -(-(dimension * 8 // 3) // 1000) * 1000
