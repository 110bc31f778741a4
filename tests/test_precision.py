"""docs/precision.md promises a tolerance for each station: each row is measured here."""

import re
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats

from synbench import DEMO, MixtureSpec, classifier, curve, load_encoder, paper, score
from synbench.drawing import Renderer
from synbench.embedding import embed

from .conftest import ROOT
from .recipes_parity import CASES
from .test_paper import of_recipe
from .truths import gaussian_problem

MEASURED = {}


def measures(function):
    MEASURED[function.__name__] = function
    return function


@measures
def draw():
    spec = MixtureSpec((3, 32, 32), scales=[1.0])
    one, seven, many = (
        torch.cat([Renderer(spec, "cpu").split("train", 1.0, at, min(at + size, 128))[0] for at in range(0, 128, size)])
        for size in (1, 7, 64)
    )
    return max((one - many).abs().max(), (seven - many).abs().max())


@measures
def embed_():
    encoder = load_encoder(DEMO)
    spec = MixtureSpec(encoder.contract.shape, scales=[1.0])
    one, many = (next(iter(embed(encoder, spec, 128, batch_size=size))).values for size in (1, 64))
    return np.abs(one - many).max() / many.std(axis=0).mean()


@measures
def score_():
    one, many = (score(DEMO, samples=128, scales=[1.0, 3.0], batch_size=size) for size in (1, 64))
    return max(np.abs(np.array(one.scores, float) - np.array(many.scores, float)).max(), 0.0)


@measures
def kappa():
    one, many = (score(DEMO, images=256, batch_size=size).kappa for size in (1, 64))
    return np.abs(np.array(one) / np.array(many) - 1).max()


@measures
def moments():
    values, labels = gaussian_problem(0, n=40, d=2, offset=1000.0)
    found = classifier.moments(values, labels).covariance
    exact = [[Fraction(float(v)) for v in row] for row in values]
    sums = Fraction(0)
    for y in (0, 1):
        rows = [row for row, label in zip(exact, labels, strict=True) if label == y]
        mean = sum(row[0] for row in rows) / len(rows)
        sums += sum((row[0] - mean) ** 2 for row in rows)
    expected = float(sums / (len(labels) - 2))
    return abs(found[0, 0] / expected - 1)


@measures
def ridge():
    basis = classifier.spectrum(classifier.moments(*gaussian_problem(1, n=200, d=8, spread=3)))
    epsilons = np.array([0.01, 0.2, 0.4, 0.6, 0.8, 0.99])
    rho = classifier.ridges(basis.eigenvalues, basis.half_difference, epsilons.tolist())
    shrunk = basis.half_difference * rho[:, None] / (rho[:, None] + basis.eigenvalues)
    radii = np.linalg.norm(shrunk, axis=1) / np.linalg.norm(basis.half_difference)
    return np.abs(radii / epsilons - 1).max()


@measures
def direction():
    found = classifier.moments(*gaussian_problem(3, spread=0.7))
    inverse, mu = np.linalg.inv(found.covariance), found.half_difference
    radius = 0.4 * np.linalg.norm(mu)
    nearest = optimize.minimize(
        lambda z: (mu - z) @ inverse @ (mu - z),
        np.zeros_like(mu),
        jac=lambda z: -2 * inverse @ (mu - z),
        constraints={"type": "ineq", "fun": lambda z: radius**2 - z @ z, "jac": lambda z: -2 * z},
        method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-15},
    ).x
    general = inverse @ (mu - nearest)
    (ours,) = classifier.robust_directions(classifier.spectrum(found), [0.4])
    return 1 - ours @ general / np.linalg.norm(ours) / np.linalg.norm(general)


@measures
def bound():
    kappa = np.array([0.1, 1.0, 3.0])
    found = curve.gaussian_trade_off(kappa)[1]
    expected = [
        integrate.quad(lambda x, k=k: x * stats.norm.pdf(x - k), 0, np.inf)[0] / stats.norm.cdf(k) / k for k in kappa
    ]
    return np.abs(found / expected - 1).max()


@measures
def parity():
    worst = 0.0
    for case in CASES:
        found = paper.estimate(of_recipe(case), [float(e) for e in case["epsilons"]], as_published=True)
        scores = curve.scores(found.accuracy, found.bound, case["scales"], case["thresholds"])
        worst = max(worst, np.abs(scores - case["expected"]["scores"]).max())
    return worst


def promised():
    table = (ROOT / "docs" / "precision.md").read_text()
    return {name: float(t) for name, t in re.findall(r"^\| (\w+) \|.*\| ([\d.e-]+) \|$", table, re.MULTILINE)}


def test_every_promise_is_measured():
    assert list(promised()) == [name.rstrip("_") for name in MEASURED]


@pytest.mark.parametrize("station", MEASURED)
def test_tolerance_holds(station):
    assert float(MEASURED[station]()) <= promised()[station.rstrip("_")]
