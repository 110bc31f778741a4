"""What must hold, as functions of a package: the tests run them on SynBench, and on faulty copies of it.

Each takes a function that imports a module of the package by name, and raises AssertionError if the
formula behind it is wrong. Expected values come from another way of computing them, never from ours.
"""

import itertools

import numpy as np
from scipy import integrate, optimize, stats

TRUTHS = []


def truth(function):
    TRUTHS.append(function)
    return function


def gaussian_problem(seed, n=60, d=4, spread=1.5, offset=3.0):
    """Return representations with correlated coordinates, and labels of unequal counts."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % 3 == 0).astype(np.int64)
    mixing = rng.standard_normal((d, d)) * np.logspace(0, -spread, d)
    shift = np.outer(2 * labels - 1, rng.standard_normal(d))
    return ((rng.standard_normal((n, d)) + shift) @ mixing + offset).astype(np.float32), labels


@truth
def moments_are_those_of_the_definition(module):
    values, labels = gaussian_problem(0)
    found = module("classifier").moments(values, labels)
    exact = values.astype(np.float64)
    first, second = exact[labels == 0], exact[labels == 1]
    scatter = sum(np.cov(part, rowvar=False) * (len(part) - 1) for part in (first, second))
    # Sums of 60 float64 numbers of order 10: 60 · 10 · 2⁻⁵³ is far below 1e-12.
    np.testing.assert_allclose(found.half_difference, (second.mean(0) - first.mean(0)) / 2, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.midpoint, (second.mean(0) + first.mean(0)) / 2, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.covariance, scatter / (len(labels) - 2), rtol=0, atol=1e-12)


@truth
def moments_keep_their_digits_beside_a_large_mean(module):
    values, labels = gaussian_problem(1, offset=0.0)
    classifier = module("classifier")
    # 2048 is exact in float32 together with values rounded to 2⁻¹²: the shift changes nothing but the midpoint.
    rounded = np.round(values * 4096) / 4096
    near = classifier.moments(rounded.astype(np.float32), labels)
    far = classifier.moments((rounded + 2048).astype(np.float32), labels)
    np.testing.assert_allclose(far.covariance, near.covariance, rtol=1e-9)


@truth
def robust_direction_solves_the_constrained_problem(module):
    """w_ε = C⁻¹(μ − z*), with z* found by a general solver on (μ − z)ᵀC⁻¹(μ − z) over the ball."""
    classifier = module("classifier")
    for seed, epsilon in itertools.product((2, 3), (0.0, 0.2, 0.6, 0.9)):
        found = classifier.moments(*gaussian_problem(seed, spread=0.7))
        inverse = np.linalg.inv(found.covariance)
        mu = found.half_difference
        radius = epsilon * np.linalg.norm(mu)
        nearest = np.zeros_like(mu)
        if radius:
            solved = optimize.minimize(
                lambda z, mu=mu, inverse=inverse: (mu - z) @ inverse @ (mu - z),
                nearest,
                jac=lambda z, mu=mu, inverse=inverse: -2 * inverse @ (mu - z),
                constraints={
                    "type": "ineq",
                    "fun": lambda z, radius=radius: radius**2 - z @ z,
                    "jac": lambda z: -2 * z,
                },
                method="SLSQP",
                options={"maxiter": 1000, "ftol": 1e-15},
            )
            nearest = solved.x
        expected = inverse @ (mu - nearest)
        (direction,) = classifier.robust_directions(classifier.spectrum(found), [epsilon])
        cosine = direction @ expected / np.linalg.norm(direction) / np.linalg.norm(expected)
        assert cosine > 1 - 1e-7, (seed, epsilon, cosine)


@truth
def eigenbasis_is_that_of_the_covariance(module):
    classifier = module("classifier")
    for d in (1, 2, 5):
        found = classifier.moments(*gaussian_problem(5, n=50, d=d))
        basis = classifier.spectrum(found)
        vectors = basis.leave(np.eye(d)).T
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(d), atol=1e-12)
        np.testing.assert_allclose(vectors * basis.eigenvalues @ vectors.T, found.covariance, atol=1e-12)
        np.testing.assert_allclose(vectors @ basis.half_difference, found.half_difference, atol=1e-12)


@truth
def ridge_puts_the_shrunken_mean_on_the_sphere(module):
    classifier = module("classifier")
    basis = classifier.spectrum(classifier.moments(*gaussian_problem(4, n=200, d=8, spread=3)))
    mu, eigenvalues = basis.half_difference, basis.eigenvalues
    epsilons = (0.0, 1e-6, 0.2, 0.5, 0.8, 0.999)
    found = classifier.ridges(eigenvalues, mu, epsilons)
    assert found[0] == 0.0
    for epsilon, rho in zip(epsilons[1:], found[1:], strict=True):
        norm = np.linalg.norm(mu * rho / (rho + eigenvalues)) / np.linalg.norm(mu)
        assert abs(norm / epsilon - 1) < 1e-9, (epsilon, norm)


@truth
def projections_give_accuracy_and_bound_of_the_theory(module):
    """On exact Gaussian projections accuracy is Φ(κ), and the mean bound of correct samples is B."""
    classifier, curve = module("classifier"), module("curve")
    kappa, n = 0.8, 400_000
    # Quantiles instead of draws: a sample without noise, off by about 1/n.
    quantiles = stats.norm.ppf((np.arange(n // 2) + 0.5) / (n // 2))
    labels = np.repeat([0, 1], n // 2)
    values = np.concatenate([5 - kappa + quantiles, 5 + kappa + quantiles])[:, None].astype(np.float32)
    found = classifier.moments(values, labels)
    correct, bound = classifier.trade_off(np.array([[2.0]]), found, values, labels)
    accuracy = stats.norm.cdf(kappa)
    assert abs(correct.mean() - accuracy) < 1e-4
    above = integrate.quad(lambda x: x * stats.norm.pdf(x - kappa), 0, np.inf)[0]
    expected = above / accuracy / kappa
    assert abs(bound[correct].mean() / expected - 1) < 1e-3
    theory = curve.gaussian_trade_off(np.array([kappa]))
    assert abs(theory[0][0] - accuracy) < 1e-12
    assert abs(theory[1][0] - expected) < 1e-9


@truth
def a_sample_on_the_boundary_is_not_correct(module):
    classifier = module("classifier")
    values, labels = np.array([[-2.0], [-1.0], [1.0], [2.0]], np.float32), np.array([0, 0, 1, 1])
    found = classifier.moments(values, labels)
    correct, _ = classifier.trade_off(np.array([[1.0]]), found, np.zeros((2, 1), np.float32), np.array([0, 1]))
    assert not correct.any()


@truth
def small_eigenvalues_are_dropped_relative_to_the_largest(module):
    classifier = module("classifier")
    for unit in (1e-6, 1.0, 1e6):
        covariance = np.diag([1e-12, 1e-7, 1.0]) * unit
        found = classifier.Moments(np.ones(3), np.zeros(3), covariance)
        np.testing.assert_allclose(classifier.spectrum(found).eigenvalues, [1e-7 * unit, unit], rtol=1e-9)
    found = classifier.Moments(np.ones(3), np.zeros(3), np.diag([1e-7, 1e-5, 1.0]))
    assert classifier.ABSOLUTE_CUTOFF == 1e-6
    published = classifier.spectrum(found, absolute_cutoff=classifier.ABSOLUTE_CUTOFF)
    np.testing.assert_allclose(published.eigenvalues, [1e-5, 1.0], rtol=1e-9)


@truth
def curve_and_score_are_those_of_the_definition(module):
    curve = module("curve")
    scales = [0.5, 1.0, 2.0]
    accuracy, bound = np.array([[0.65, 0.8, 0.97]]), np.array([[1.9, 1.4, 1.05]])
    grid = [0.6 + 0.4 * k / 99 for k in range(100)]

    def area(accuracies, bounds, least):
        return sum(
            sum(b for a, b in zip(accuracies, bounds, strict=True) if a > t) / len(scales)
            for t in grid
            if t >= least - 1e-12
        )

    optimal = ([stats.norm.cdf(s) for s in scales], [1 + stats.norm.pdf(s) / s / stats.norm.cdf(s) for s in scales])
    for threshold in (0.6, 0.7, 0.95):
        expected = area(accuracy[0], bound[0], threshold) / area(*optimal, threshold)
        (found,) = curve.scores(accuracy, bound, scales, [threshold])[0]
        assert abs(found - expected) < 1e-12, (threshold, found, expected)
    reached = curve.curve(np.array([0.8]), np.array([1.5]), np.array([0.7, 0.8, 0.9]))
    assert reached.tolist() == [1.5, 0.0, 0.0], "a scale counts only above its accuracy, strictly"


@truth
def averages_are_over_batches_of_the_given_size(module):
    average = module("paper").average
    correct = np.array([[True], [True], [False], [True], [True]])
    bound = np.array([[1.0], [2.0], [100.0], [4.0], [5.0]])
    accuracy, mean = average(correct, bound, 5)
    assert (accuracy[0], mean[0]) == (0.8, 3.0)
    accuracy, mean = average(correct, bound, 2)
    np.testing.assert_allclose([accuracy[0], mean[0]], [(1 + 0.5 + 1) / 3, (1.5 + 4 + 5) / 3])


@truth
def classifier_is_fitted_on_train_and_judged_on_test(module):
    paper, rows = module("paper"), module("representations").Representations
    # Train says +, test says −: an honest evaluation is wrong every time.
    values = np.array([[-1.0], [-1.1], [1.0], [1.1], [-1.0], [1.0]], np.float32)
    labels, test = np.array([0, 0, 1, 1, 1, 0]), np.array([False] * 4 + [True] * 2)
    found = paper.estimate([rows(values, labels, np.ones(6), test)], [0.0])
    assert found.accuracy[0, 0] == 0.0
    assert np.isnan(found.bound[0, 0])


@truth
def images_have_the_mean_and_the_noise_of_the_mixture(module):
    mixture = module("mixture")
    spec = mixture.MixtureSpec((3, 4, 4), scales=[2.0], direction=np.arange(1.0, 49.0))
    n = 4096
    labels = spec.labels("train", 2.0, n)
    images = module("drawing").draw(spec, "train", 2.0, range(n), labels).numpy().astype(np.float64).reshape(n, -1)
    unit = np.arange(1.0, 49.0) / np.linalg.norm(np.arange(1.0, 49.0))
    noise = images - 0.5 - (2 * labels[:, None] - 1) * 2.0 * unit
    # 48 means of 4096 normals: 5 standard errors, about one false alarm in 40,000 seeds.
    assert np.abs(noise.mean(axis=0)).max() < 5 / np.sqrt(n)
    assert np.abs((noise**2).mean(axis=0) - 1).max() < 5 * np.sqrt(2 / n)
    shift = images[labels == 1].mean(axis=0) - images[labels == 0].mean(axis=0)
    assert abs(shift @ unit - 4.0) < 5 * 2 / np.sqrt(n), "the class means are 2s apart"
    assert abs(labels.mean() - 0.5) <= 0.5 / n
    assert images.min() < 0 < 1 < images.max(), "pixels are not clipped"


@truth
def every_split_scale_block_and_seed_has_its_own_noise(module):
    mixture = module("mixture")
    spec = mixture.MixtureSpec((3, 4, 4), scales=[1.0, 2.0])
    other = mixture.MixtureSpec((3, 4, 4), scales=[1.0, 2.0], seed=1)
    places = [
        (spec, "train", 1.0, 0),
        (spec, "test", 1.0, 0),
        (spec, "train", 2.0, 0),
        (spec, "train", 1.0, spec.block),
        (spec, "train", 1.0, 1),
        (other, "train", 1.0, 0),
    ]
    firsts = []
    for which, split, scale, index in places:
        image = module("drawing").draw(which, split, scale, [index], [1]).numpy().reshape(-1)
        firsts.append(image - scale / np.sqrt(48))
    for a, b in itertools.combinations(firsts, 2):
        # Independent noise correlates by about 1/√48 = 0.14; the same noise by 1.
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.8


@truth
def inputs_are_normalized_by_channel(module):
    import torch

    contract = module("preprocessing").from_arguments((2, 1, 1), [0.5, 0.25], [0.5, 2.0])
    images = torch.tensor([[[[1.0]], [[1.0]]]])
    assert contract.normalize(images).flatten().tolist() == [1.0, 0.375]


@truth
def rows_of_one_scale_stay_together(module):
    representations = module("representations")
    # 0.7 / 1e-6 is 700000 in float64, and 699999.99 in float32.
    first = representations.Representations.checked([[1.0], [2.0]], [1, 1], np.float32([0.7, 0.8]), "train")
    second = representations.Representations.checked([[3.0]], [0], 0.7, ["test"])
    low, high = representations.by_scale([first, second])
    assert (low.values.ravel().tolist(), low.labels.tolist(), low.splits) == ([1.0, 3.0], [1, 0], ["train", "test"])
    assert (high.values.ravel().tolist(), high.scales.tolist()) == ([2.0], [0.8])
