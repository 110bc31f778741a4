"""The robust classifier by its ridge form, against the general convex solver that the paper's authors use.

Both find w = C^-1 (mu - z), with z the point of the ball |z| <= epsilon |mu| that minimises
(mu - z)' C^-1 (mu - z). Measured at d = 384 and d = 768, on 2048 train representations:

- an epsilon, given the eigendecomposition: one scalar root, against building and solving the problem with
  cvxpy and SCS in float32, at the default accuracy; both give w in the eigenbasis. The four epsilons above 0
  run together, as in a study, and the milliseconds are for one;
- an epsilon, turned back: the same, with w turned back into representation space, which costs both sides alike;
- a scale, solver exchanged: moments, eigendecomposition and five epsilons, against the same
  moments and the same eigendecomposition with five solves;
- a scale, as the authors' script: against its own moments (``numpy.cov`` of each class), its own decomposition
  (``torch.svd``) and five solves.

Predicted: at least 100 times faster an epsilon, at least 4 times faster a scale.

How to read it: the first table has the ratios solver seconds / our seconds, turn by turn: median (least to largest).
The second says which of the two is right, in 80-bit arithmetic where the machine has it, the worst of five epsilons:

- direction: the distance between the two unit vectors w;
- outside the ball: (|z| - epsilon |mu|) / |mu|, 0 if z is allowed;
- above the optimum: z is pulled into the ball, and its objective compared with the Lagrangian dual, which no
  allowed z can undercut. So this is a proven upper limit of the relative error, whoever made z.
"""

import sys
from dataclasses import dataclass

import numpy as np
import torch
from _timing import Spread, alternate, note, parser, ratio, table

from synbench import classifier
from synbench.settings import EPSILONS, SAMPLES

try:
    import cvxpy as cp
except ImportError:
    cp = None

SPREAD_DECADES = 1.5
WIDE = np.longdouble


@dataclass(frozen=True)
class Solution:
    """z and w in the eigenbasis of C."""

    z: np.ndarray
    w: np.ndarray


def representations(width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return 2048 train rows of two Gaussian classes whose standard deviations fall over 1.5 decades."""
    rng = np.random.default_rng(width)
    turn = np.linalg.qr(rng.standard_normal((width, width)))[0]
    labels = np.arange(SAMPLES) % 2
    signal = rng.standard_normal(width)
    latent = rng.standard_normal((SAMPLES, width)) + (2 * labels - 1)[:, None] * signal / np.linalg.norm(signal)
    return (latent * np.logspace(0, -SPREAD_DECADES, width) @ turn.T).astype(np.float32), labels


def solve(half_difference: np.ndarray, eigenvalues: np.ndarray, epsilon: float) -> Solution:
    """Build and solve the problem as the authors' script does: float32, a full matrix, SCS."""
    mu, inverse = half_difference.astype(np.float32), np.diag(1 / eigenvalues.astype(np.float32))
    z = cp.Variable(len(mu))
    problem = cp.Problem(cp.Minimize(cp.quad_form(mu - z, inverse)), [cp.norm(z) <= epsilon * np.linalg.norm(mu)])
    problem.solve(solver="SCS")
    return Solution(z.value, inverse @ (mu - z.value.astype(np.float32)))


def ours(basis: classifier.Spectrum, epsilon: float) -> Solution:
    """Return the solution of the ridge form."""
    ridge = classifier.ridges(basis.eigenvalues, basis.half_difference, [epsilon])[0]
    w = basis.half_difference / (basis.eigenvalues + ridge)
    return Solution(ridge * w, w)


def script_scale(values: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Return the five directions with the authors' own moments and decomposition."""
    classes = [values[labels == y] for y in (0, 1)]
    means = [rows.mean(axis=0) for rows in classes]
    covariance = sum(np.cov(rows, rowvar=False) * (len(rows) - 1) for rows in classes) / (len(values) - 2)
    vectors, eigenvalues, _ = torch.svd(torch.tensor(covariance))
    kept = eigenvalues > classifier.ABSOLUTE_CUTOFF
    vectors, eigenvalues = vectors[:, kept].float().numpy(), eigenvalues[kept].float().numpy()
    half_difference = vectors.T @ ((means[1] - means[0]) / 2)
    return [vectors @ solve(half_difference, eigenvalues, e).w for e in EPSILONS]


def ratios(width: int, values: np.ndarray, labels: np.ndarray, repeats: int) -> list[list[str]]:
    """Return the rows of the first table."""
    basis = classifier.spectrum(classifier.moments(values, labels))
    positive = [e for e in EPSILONS if e > 0]

    def directions(found: classifier.Spectrum, epsilons) -> np.ndarray:
        solutions = [solve(found.half_difference, found.eigenvalues, e).w for e in epsilons]
        return found.leave(np.stack(solutions).astype(np.float64))

    def spectrum() -> classifier.Spectrum:
        return classifier.spectrum(classifier.moments(values, labels))

    def ridge_form() -> np.ndarray:
        ridges = classifier.ridges(basis.eigenvalues, basis.half_difference, positive)
        return basis.half_difference / (basis.eigenvalues + ridges[:, None])

    note(f"d = {width}, an epsilon")
    single = alternate(
        {
            "ours": ridge_form,
            "solver": lambda: [solve(basis.half_difference, basis.eigenvalues, e) for e in positive],
            "ours, turned": lambda: classifier.robust_directions(basis, positive),
            "solver, turned": lambda: directions(basis, positive),
        },
        repeats,
    )
    note(f"d = {width}, a scale")
    scale = alternate(
        {
            "ours": lambda: classifier.robust_directions(spectrum(), EPSILONS),
            "solver": lambda: directions(spectrum(), EPSILONS),
            "script": lambda: script_scale(values, labels),
        },
        repeats,
    )
    return [
        _row(width, "an epsilon", single["ours"], single["solver"], len(positive)),
        _row(width, "an epsilon, turned back", single["ours, turned"], single["solver, turned"], len(positive)),
        _row(width, "a scale, solver exchanged", scale["ours"], scale["solver"]),
        _row(width, "a scale, as the authors' script", scale["ours"], scale["script"]),
    ]


def _row(width: int, name: str, mine: list[float], theirs: list[float], parts: int = 1) -> list[str]:
    clocks = [f"{1000 * Spread.of(seconds).median / parts:.3g}" for seconds in (mine, theirs)]
    return [str(width), name, *clocks, ratio(theirs, mine).times()]


def exactness(width: int, values: np.ndarray, labels: np.ndarray) -> list[str]:
    """Return a row of the second table."""
    basis = classifier.spectrum(classifier.moments(values, labels))
    apart, outside, above = [], ([], []), ([], [])
    for epsilon in EPSILONS:
        pair = ours(basis, epsilon), solve(basis.half_difference, basis.eigenvalues, epsilon)
        apart.append(np.linalg.norm(_unit(pair[0].w) - _unit(pair[1].w)))
        for side, solution in enumerate(pair):
            leaving, excess = _errors(basis, epsilon, solution.z)
            outside[side].append(leaving)
            above[side].append(excess)
    return [str(width), *(f"{max(worst):.1e}" for worst in (apart, *outside, *above))]


def _errors(basis: classifier.Spectrum, epsilon: float, z: np.ndarray) -> tuple[float, float]:
    """Return how far z is outside the ball, and how far above the optimum once it is pulled in."""
    mu, eigenvalues = basis.half_difference.astype(WIDE), basis.eigenvalues.astype(WIDE)
    ridge = WIDE(classifier.ridges(basis.eigenvalues, basis.half_difference, [epsilon])[0])
    z = z.astype(WIDE)
    length, radius = np.sqrt(np.sum(z**2)), epsilon * np.sqrt(np.sum(mu**2))
    leaving = float(max(length - radius, 0) / np.sqrt(np.sum(mu**2)))
    if length > radius:
        z = z * (radius / length)
    objective = np.sum((mu - z) ** 2 / eigenvalues)
    dual = np.sum(mu**2 / (ridge + eigenvalues)) - (radius**2 / ridge if ridge else 0)
    return leaving, float(max(objective / dual - 1, 0))


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector.astype(np.float64) / np.linalg.norm(vector.astype(np.float64))


def main() -> None:
    options = parser(__doc__, repeats=11).parse_args()
    if cp is None or "SCS" not in cp.installed_solvers():
        sys.exit(
            "This benchmark compares with cvxpy and SCS, which are not installed: "
            "pip install -r benchmarks/requirements.txt"
        )
    widths, repeats = ((384,), 2) if options.quick else ((384, 768), options.repeats)
    speed, truth = [], []
    for width in widths:
        values, labels = representations(width)
        speed += ratios(width, values, labels, repeats)
        truth.append(exactness(width, values, labels))
    table(["d", "step", "ours ms", "solver ms", "ratio"], speed, quick=options.quick)
    headings = ["d", "directions apart", "outside the ball, ours", "solver", "above the optimum, ours", "solver"]
    table(headings, truth, quick=options.quick)


if __name__ == "__main__":
    main()
