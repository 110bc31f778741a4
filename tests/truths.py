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


def linear_study(dimension, wanted, images, *, plain, seed, decades=1.5, **how):
    from .linear import LinearEncoder

    encoder = LinearEncoder(dimension, wanted, decades)
    return encoder, encoder.represent(seed, images, plain=plain, **how)


@truth
def kappa_of_linear_encoders_is_that_of_the_definition(module):
    population = module("population")
    for dimension, wanted, images, plain in [(24, 0.5, 8192, False), (24, 0.5, 8192, True), (240, 0.35, 1024, False)]:
        rows = [linear_study(dimension, wanted, images, plain=plain, seed=seed) for seed in range(4)]
        found = [population.estimate(r, [1.0], [0.0, 0.2, 0.4, 0.8]).squared[0] for _, r in rows]
        off = np.sqrt(np.mean(found, axis=0)) / rows[0][0].kappas[[0, 1, 2, 4]] - 1
        # The error of κ is about 1/√(2(n − d)), and a little more for the noise of the response; four studies
        # halve it, and 4 of these standard errors are allowed for.
        n = images * (1 if plain else 3 / 4)
        assert np.abs(off).max() < 4 * 1.5 / np.sqrt(2 * (n - dimension)) / 2, (dimension, plain, off)


@truth
def a_small_kappa_is_freed_of_the_noise_of_the_response(module):
    """κ² = 0.01 in 100 dimensions: the noise of ĝ alone, d/X, would more than double it."""
    population = module("population")
    rows = [linear_study(100, 0.1, 1024, plain=True, seed=seed)[1] for seed in range(16)]
    found = np.mean([population.estimate(r, [1.0], [0.0]).squared[0, 0] for r in rows])
    # One study is off by 0.0028: 4 standard errors of the mean of 16.
    assert abs(found - 0.01) < 0.003, found


@truth
def more_dimensions_than_draws_hold_the_classifier_back(module):
    population = module("population")
    encoder, rows = linear_study(300, 0.5, 256, plain=False, seed=1, decades=3.0)
    found = population.estimate(rows, [1.0], [0.0, 0.8])
    assert found.warnings
    assert "not reliable" in found.warnings[0]
    assert 0.1 < found.squared[0, 0] < encoder.kappas[0] ** 2 + 4 * found.stderr[0, 0]
    # 192 draws, of which less than half are used up: κ to 10 %.
    assert abs(np.sqrt(found.squared[0, 1]) / encoder.kappas[4] - 1) < 0.4


@truth
def error_of_kappa_is_that_of_the_f_distribution(module):
    """Independent Gaussian draws, ε = 0: relative variance of κ² is 2/(n − d) + 4/(κ²X) + 2d/(κ²X)², X = Σt²."""
    population = module("population")
    for dimension, wanted, images in [(8, 0.5, 4096), (300, 0.5, 1024)]:
        encoder, rows = linear_study(dimension, wanted, images, plain=True, seed=1)
        found = population.estimate(rows, [1.0], [0.0])
        n, x = images - 3, float(np.sum(rows.scales**2))
        strength = encoder.kappas[0] ** 2 * x
        expected = np.sqrt((2 + 4 * n / strength + 2 * dimension * n / strength**2) / (n - dimension))
        relative = found.stderr[0, 0] / encoder.kappas[0] ** 2
        # Both come from a sample: fourth moments of 700 draws at least are known to 12 %.
        assert abs(np.log(relative / expected)) < 0.15, (dimension, relative, expected)


@truth
def known_coordinates_and_mirrored_images_leave_only_the_error_of_what_is_left(module):
    """With both, a linear encoder's response is exact, and the relative error of κ² is (1 − κ²)·√(2/(n − d))."""
    population = module("population")
    encoder, rows = linear_study(16, 0.8, 4096, plain=False, seed=2)
    found = population.estimate(rows, [1.0], [0.0])
    expected = (1 - encoder.kappas[0] ** 2) * np.sqrt(2 / (3072 - 16))
    assert abs(np.log(found.stderr[0, 0] / encoder.kappas[0] ** 2 / expected)) < 0.15
    assert found.most == 1.0
    assert len(found.noise[0].values) == 3072, "a mirrored pair is one draw"


@truth
def an_encoder_that_holds_the_direction_keeps_all_of_kappa(module):
    population = module("population")
    rng = np.random.default_rng(0)
    own, other = rng.standard_normal(2000), rng.standard_normal((2000, 5))
    labels, scales = rng.integers(0, 2, 2000), rng.choice([0.5, 4.0], 2000)
    t = (2 * labels - 1) * scales
    from synbench.representations import Representations

    values = np.column_stack([own + t, other]).astype(np.float32)
    rows = Representations(values, labels, scales, np.zeros(2000, bool), own, np.full(2000, -1))
    found = population.estimate(rows, [1.0], [0.0, 0.4])
    assert np.abs(found.squared - 1).max() < 2e-3, found.squared


@truth
def projections_of_a_sample_give_the_theory(module):
    empirical = module("curve").empirical_trade_off
    quantiles = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    for kappa, tilt in [(0.8, 0.0), (1.5, 0.5)]:
        accuracy, bound = (v[0] for v in empirical(quantiles, np.array([kappa]), np.array([tilt])))
        widths = np.sqrt([1 + tilt, 1 - tilt])
        hits = np.mean(stats.norm.cdf(kappa / widths))
        above = np.mean(
            [integrate.quad(lambda x, w=w, k=kappa: x * stats.norm.pdf((x - k) / w) / w, 0, 40)[0] for w in widths]
        )
        assert abs(accuracy - hits) < 1e-4, (accuracy, hits)
        assert abs(bound / (above / hits / kappa) - 1) < 1e-3
    # Noise that leans to one side: class 1 fails below −κ, class 0 above κ.
    leaning = np.array([-3.0, 1.0, 1.0, 1.0])
    assert empirical(leaning, np.array([2.0]))[0][0] == (0.75 + 1.0) / 2


@truth
def drifts_are_seen_with_their_sign_and_size(module):
    population = module("population")
    _, bent = linear_study(8, 0.6, 16384, plain=False, seed=3, bend=lambda t: t - t**3 / 100)
    response = population.estimate(bent, [1.0, 4.9], [0.0]).diagnostics.response
    assert abs(response.change + 0.26) < 0.06 + 4 * response.stderr, response
    _, wide = linear_study(8, 0.4, 16384, plain=False, seed=3, widen=lambda t: np.sqrt(1 + t**2 / 24))
    found = population.estimate(wide, [0.1, 4.9], [0.0])
    spread = found.diagnostics.spread
    assert abs(spread.change - 0.75) < 0.05 + 4 * spread.stderr, spread
    assert found.drift[0, 0] > 1 > found.drift[0, 1], "a wider spread at the largest scale keeps less of κ there"
    _, tilted = linear_study(8, 0.4, 16384, plain=False, seed=3, widen=lambda t: np.sqrt(1 + t / 10))
    assert abs(population.estimate(tilted, [1.0], [0.0]).noise[0].tilt[0] - 0.1) < 0.02


@truth
def score_and_interval_follow_kappa(module):
    population, uncertainty = module("population"), module("uncertainty")
    scales = [k / 10 for k in range(1, 50)]
    curve, values, errors = module("curve"), [], []
    for seed in range(24):
        encoder, rows = linear_study(4, 0.5, 1024, plain=False, seed=seed)
        found = population.estimate(rows, scales, [0.0])
        scores = uncertainty.population_scores(found, [0.7])
        values.append(scores.values[0, 0])
        errors.append(scores.stderr[0, 0])
    optimum = curve.gaussian_trade_off(encoder.kappas[0] * np.array(scales)[None])
    expected = curve.scores(*optimum, scales, [0.7])[0, 0]
    # 24 studies know the mean to a fifth of an error, and a standard deviation to 15 %.
    assert abs(np.mean(values) - expected) < np.mean(errors)
    assert abs(np.log(np.mean(errors) / np.std(values))) < 0.6, (np.mean(errors), np.std(values))
    width = scores.upper[0, 0] - scores.lower[0, 0]
    assert abs(width / (2 * 1.96 * scores.stderr[0, 0]) - 1) < 0.2
    parts = uncertainty.contributions(found, 0.7)
    assert 0.9 < np.sqrt(parts @ parts) / scores.stderr[0, 0] < 1.0001


@truth
def paper_intervals_are_binomial(module):
    """Three scales, one of which sits in the middle of the grid: its accuracy's error is the score's."""
    curve, uncertainty = module("curve"), module("uncertainty")
    found = curve.TradeOff(
        (1.0, 2.0, 3.0),
        np.array([[0.5, 0.8, 1.0]]),
        np.array([[2.0, 1.5, 1.0]]),
        600,
        4,
        (),
        np.array([[0.0, 0.02, 0.0]]),
        np.array([[0.0, 0.0, 0.1]]),
    )
    scores = uncertainty.paper_scores(found, [0.6])
    optimal = curve.curve(*curve.reference([1.0, 2.0, 3.0])).sum() * 3
    points = 0.02 / (0.4 / 99)
    expected = np.sqrt((1.5 * points) ** 2 + (99 * 0.1) ** 2) / optimal
    assert abs(scores.stderr[0, 0] / expected - 1) < 0.02
    assert abs(scores.upper[0, 0] - scores.lower[0, 0] - 2 * 1.96 * expected) < 0.03 * expected
    error, spread = module("paper").standard_errors(
        np.array([[True]] * 80 + [[False]] * 20), np.ones((100, 1)) * 1.5, np.array([1.5]), np.array([0.1])
    )
    assert abs(error[0] - np.sqrt(0.8 * 0.2 / 100)) < 0.001
    assert abs(spread[0] - 0.15) < 1e-12


@truth
def mirrored_images_are_one_noise_shifted_both_ways(module):
    design, drawing, mixture = (module(name) for name in ("design", "drawing", "mixture"))
    spec = mixture.MixtureSpec((3, 4, 4), scales=[2.0, 3.0], direction=np.arange(1.0, 49.0), seed=2)
    made = design.design(spec, 0, 4000)
    images, coordinates = drawing.draw_population(spec, made)
    flat, unit = images.numpy().astype(np.float64).reshape(4000, -1), spec.mean_direction()
    one, other = flat[0::4], flat[1::4]
    t = (2 * made.labels - 1) * made.scales
    assert (made.labels[0::4] + made.labels[1::4] == 1).all()
    np.testing.assert_allclose(one - other, 2 * t[0::4, None] * unit, atol=1e-5)
    np.testing.assert_allclose(coordinates.numpy(), (flat - 0.5) @ unit - t, atol=1e-5)
    assert len(np.unique(made.draws)) == 3000
    # 3000 draws: 4 standard errors.
    own = coordinates.numpy()[np.unique(made.draws, return_index=True)[1]]
    assert abs(own.mean()) < 4 / np.sqrt(3000)
    assert abs(own.var() - 1) < 4 * np.sqrt(2 / 3000)
    assert abs(np.mean(made.scales) - 2.5) < 4 * 0.5 / np.sqrt(2000)
    assert abs(np.corrcoef(made.labels, made.scales)[0, 1]) < 4 / np.sqrt(2000)


@truth
def pairs_are_told_apart_by_holms_steps(module):
    separate = module("separation").separate
    found = separate(np.array([0.9, 0.8, 0.7]), np.diag([0.001] * 3))
    raw = 2 * stats.norm.sf(np.array([0.1, 0.2, 0.1]) / np.sqrt(0.002))
    np.testing.assert_allclose(found.p_value, raw, rtol=1e-9)
    np.testing.assert_allclose(found.p_adjusted, [2 * raw[0], 3 * raw[1], 2 * raw[0]], rtol=1e-9)
    shared = separate(np.array([0.9, 0.8]), np.array([[0.001, 0.0009], [0.0009, 0.001]]))
    assert abs(shared.stderr[0] - np.sqrt(0.0002)) < 1e-12
    assert shared.separated.all()
    assert shared.rank_low.tolist() == [1, 2]
    assert shared.rank_high.tolist() == [1, 2]


@truth
def roots_are_told_apart_by_their_squares(module):
    squares, covariance = np.array([0.09, 0.04]), np.array([[1e-4, 4e-5], [4e-5, 4e-4]])
    found = module("separation").separate_roots(squares, covariance)
    z = 0.05 / np.sqrt(1e-4 + 4e-4 - 2 * 4e-5)
    np.testing.assert_allclose(found.p_value, 2 * stats.norm.sf(z), rtol=1e-9)
    # The ends, among all pairs that are as near as the quantile: for every first one, the second ones next to it.
    quantile = stats.norm.ppf(0.975)
    first = 0.09 + 0.01 * np.linspace(-quantile, quantile, 20001)
    room = 0.02 * np.sqrt(1 - 0.2**2) * np.sqrt(np.maximum(quantile**2 - ((first - 0.09) / 0.01) ** 2, 0))
    second = 0.04 + 0.2 * 2 * (first - 0.09)
    assert abs(found.low[0] - (np.sqrt(first) - np.sqrt(second + room)).min()) < 1e-5
    assert abs(found.high[0] - (np.sqrt(first) - np.sqrt(second - room)).max()) < 1e-5
    assert abs(found.difference[0] - 0.1) < 1e-12


@truth
def the_error_of_a_square_is_read_from_the_interval_of_its_root(module):
    uncertainty = module("uncertainty")
    for square, error in ((0.09, 0.02), (0.01, 0.02)):
        low, high = uncertainty.kappa_interval(np.array([square]), np.array([error]))
        found = uncertainty.squared_kappa(square**0.5, [low[0], high[0]])
        np.testing.assert_allclose(found, (square, error), rtol=1e-9)


@truth
def a_mean_over_bands_near_zero_has_the_interval_of_its_squares(module):
    uncertainty, types = module("uncertainty"), __import__("types")
    squared, stderr = np.array([[0.01], [0.03], [0.16]]), np.array([[0.02], [0.02], [0.008]])
    found = uncertainty.mean_kappa(types.SimpleNamespace(
        weights=np.full((4, 3), 1 / 3), squared=squared, stderr=stderr, kappas=np.sqrt(squared), most=np.inf,
        limited=np.array([False]),
    ))  # fmt: skip
    z = stats.norm.ppf(0.975)
    # Two bands stand together, one by itself: its root's error is 0.008 / (2 · 0.4).
    alone, own = 0.4 / 3, z * (np.sqrt(0.16 + z * 0.008) - np.sqrt(0.16 - z * 0.008)) / (2 * z) / 3
    two = 0.02 + z * np.sqrt(2) * 0.01
    between = np.var([0.1, np.sqrt(0.03)])
    lowest = np.sqrt(max(0.02 - z * np.sqrt(2) * 0.01 - between, 0))
    np.testing.assert_allclose(found.upper, alone + own + 2 / 3 * np.sqrt(two), rtol=1e-9)
    np.testing.assert_allclose(found.lower, alone - own + 2 / 3 * lowest, rtol=1e-9)
    sharp = uncertainty.mean_kappa(types.SimpleNamespace(
        weights=np.full((4, 2), 0.5), squared=np.array([[0.01], [0.09]]), stderr=np.array([[0.004], [0.04]]),
        kappas=np.array([[0.1], [0.3]]), most=np.inf, limited=np.array([True]),
    ))  # fmt: skip
    assert abs(sharp.values[0] - 0.2) < 1e-12
    assert np.isnan(sharp.lower[0])
    near = uncertainty.mean_kappa(types.SimpleNamespace(
        weights=np.full((4, 2), 0.5), squared=np.array([[0.04], [0.16]]), stderr=np.array([[0.02], [0.06]]),
        kappas=np.array([[0.2], [0.4]]), most=np.inf, limited=np.array([False]),
    ))  # fmt: skip
    below = 0.1 - z * np.sqrt(0.02**2 + 0.06**2) / 2 - 0.01
    np.testing.assert_allclose(near.lower, np.sqrt(below), rtol=1e-9)
