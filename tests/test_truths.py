"""The truths hold for SynBench, and each fault that we can think of breaks one of them."""

import importlib
import shutil
import sys
import warnings
from pathlib import Path

import pytest

import synbench

from .truths import TRUTHS

PACKAGE = Path(synbench.__file__).parent

# (module, what stands there, what a slip would write). Every one must be noticed.
FAULTS = [
    ("classifier", "(means[1] - means[0]) / 2", "(means[0] - means[1]) / 2"),
    ("classifier", "(means[1] - means[0]) / 2", "means[1] - means[0]"),
    ("classifier", "(means[0] + means[1]) / 2", "(means[0] - means[1]) / 2"),
    ("classifier", "(means[0] + means[1]) / 2", "means[1] + means[0]"),
    ("classifier", "(len(labels) - 2)", "(len(labels) - 1)"),
    ("classifier", "(len(labels) - 2)", "len(labels)"),
    ("classifier", "part -= means[label]", "part -= representations.mean(axis=0)"),
    ("classifier", ".astype(np.float64)\n        means", ".copy()\n        means"),
    ("classifier", "RELATIVE_CUTOFF * values[-1] if", "RELATIVE_CUTOFF if"),
    ("classifier", "kept = values > cutoff", "kept = values >= 0.0"),
    ("classifier", "reduced[1:, :-1]", "reduced[:-1, :-1]"),
    ("classifier", "[:, None], transposed=True)", "[:, None], transposed=False)"),
    ("classifier", "rows.T), transposed=False", "rows.T), transposed=True"),
    ("classifier", "0.5 * np.log(total)", "np.log(total)"),
    ("classifier", "- log_levels\n", "\n"),
    ("classifier", "log_levels = np.log(levels[positive])", "log_levels = np.log(levels[positive]) + np.log(2)"),
    ("classifier", "share * inverse**2", "share * inverse"),
    ("classifier", "share = half_difference**2", "share = np.abs(half_difference)"),
    ("classifier", "np.exp(log_ridge) * eigenvalues.max()", "np.exp(log_ridge)"),
    ("classifier", "np.exp(log_ridge) * eigenvalues.max()", "np.exp(-log_ridge) * eigenvalues.max()"),
    ("classifier", "(basis.eigenvalues + rho[:, None])", "(basis.eigenvalues - rho[:, None])"),
    ("classifier", "(basis.eigenvalues + rho[:, None])", "(1 + rho[:, None] * basis.eigenvalues)"),
    ("classifier", "rows = basis.half_difference / (basis", "rows = basis.half_difference / np.sqrt(basis"),
    ("classifier", "float64) - found.midpoint, directions.T", "float64), directions.T"),
    ("classifier", "(2 * labels[:, None] - 1) > 0", "(2 * labels[:, None] - 1) >= 0"),
    ("classifier", "(2 * labels[:, None] - 1) > 0", "(2 * labels[:, None] - 1) < 0"),
    ("classifier", "/ np.abs(directions @ found.half_difference)", "/ np.linalg.norm(directions)"),
    (
        "classifier",
        "/ np.abs(directions @ found.half_difference)",
        "/ (2 * np.abs(directions @ found.half_difference))",
    ),
    ("curve", "norm.cdf(kappa)", "norm.sf(kappa)"),
    ("curve", "norm.pdf(kappa) / (kappa * accuracy)", "norm.cdf(kappa) / (kappa * accuracy)"),
    ("curve", "norm.pdf(kappa) / (kappa * accuracy)", "norm.pdf(kappa) / kappa"),
    ("curve", "1.0 + norm.pdf", "norm.pdf"),
    ("curve", "np.linspace(0.6, 1.0, 100)", "np.linspace(0.6, 1.0, 101)"),
    ("curve", "np.linspace(0.6, 1.0, 100)", "np.linspace(0.5, 1.0, 100)"),
    ("curve", "accuracy[..., None, :] > grid", "accuracy[..., None, :] >= grid"),
    ("curve", ".mean(axis=-1)", ".max(axis=-1)"),
    ("curve", 'side="left"', 'side="right"'),
    ("curve", "[..., ::-1][..., start]", "[..., start]"),
    ("curve", "area, optimal, out", "optimal, area, out"),
    ("paper", "rows.values[test], rows.labels[test]", "rows.values[train], rows.labels[train]"),
    ("paper", "(hits / counts[:, None]).mean(axis=0)", "correct.mean(axis=0)"),
    ("paper", "np.where(correct, bound, 0.0)", "bound"),
    ("paper", "np.full_like(means, np.nan)", "np.ones_like(means)"),
    ("mixture", "PIXEL_CENTRE = 0.5", "PIXEL_CENTRE = 0.0"),
    ("drawing", "[PIXEL_CENTRE - signal, PIXEL_CENTRE + signal]", "[PIXEL_CENTRE + signal, PIXEL_CENTRE - signal]"),
    ("drawing", "signal = scale * spec", "signal = scale / 2 * spec"),
    ("mixture", "given = given / norm", "given = given / given.size"),
    ("drawing", "spec.seed, PIXELS, *where, number", "spec.seed, PIXELS, *where"),
    ("drawing", "spec.seed, PIXELS", "0, PIXELS"),
    ("seeding", "SPLITS.index(split), scale_key(scale)", "0, scale_key(scale)"),
    ("seeding", "SPLITS.index(split), scale_key(scale)", "SPLITS.index(split), 0"),
    ("mixture", "[first, 1 - first]", "[first, first]"),
    ("preprocessing", "(images - mean).div_(std)", "(images - mean).mul_(std)"),
    ("preprocessing", "(images - mean).div_(std)", "(images / std).sub_(mean)"),
    ("representations", 'for name in ("values", "labels", "test")', 'for name in ("values", "test", "labels")'),
    ("representations", 'str(name) == "test"', 'str(name) == "train"'),
    ("representations", "np.rint(b.scales / SCALE_RESOLUTION)", "np.floor(b.scales / SCALE_RESOLUTION)"),
    ("discriminability", "return 1 - float(np.sum(fitted.eigenvalues", "return 1 + float(np.sum(fitted.eigenvalues"),
    ("discriminability", "u, slope = 1 - (h @ fitted.eigenvalues) / n", "u, slope = np.ones(len(h))"),
    (
        "discriminability",
        "u, slope = 1 - (h @ fitted.eigenvalues) / n",
        "u, slope = 1 - 2 * (h @ fitted.eigenvalues) / n",
    ),
    ("discriminability", "(u * second - slope * first)", "(u * second + slope * first)"),
    ("discriminability", "u**2 / (u - ridges * slope)\n", "u**2\n"),
    ("discriminability", "n1 / held, n2 / held**2", "n1 / held, n2 / held"),
    ("discriminability", "n1 / held, n2 / held**2", "n1, n2"),
    ("discriminability", "rho**2 * n2 - epsilon**2 * fitted.norm", "rho * n2 - epsilon**2 * fitted.norm"),
    ("discriminability", "rho**2 * n2 - epsilon**2 * fitted.norm", "rho**2 * n2 - epsilon * fitted.norm"),
    ("discriminability", "float(n1**2 / rest) if", "float(n1 / rest) if"),
    ("discriminability", "fitted.response**2 - fitted.noise, fitted", "fitted.response**2, fitted"),
    ("discriminability", "/ freedom\n    eigen", "/ (2 * freedom)\n    eigen"),
    ("discriminability", "slope = (x @ seen.values) / information", "slope = (x @ seen.values) / n"),
    ("discriminability", "eigenvalues + seen.known * response**2", "eigenvalues"),
    ("discriminability", "change /= np.sqrt(max(deflated", "change *= np.sqrt(max(deflated"),
    ("discriminability", "2 * linear[:, 0] - products[:, 0],", "linear[:, 0] - products[:, 0],"),
    ("discriminability", "2 * linear[:, 0] - products[:, 0],", "2 * linear[:, 0],"),
    ("discriminability", "change1 = u * first / held**2", "change1 = u * first"),
    ("discriminability", "products.mean(axis=0)) / n", "products.mean(axis=0)) / np.sqrt(n)"),
    ("population", "signs = 2.0 * rows.labels - 1", "signs = 1 - 2.0 * rows.labels"),
    ("population", "(signs[one] / 2)", "signs[one]"),
    ("population", "coordinates=rows.coordinates[kept] if known", "coordinates=-rows.coordinates[kept] if known"),
    ("population", "kept[other] = False", "kept[other] = True"),
    ("curve", "side * noise)", "noise)"),
    ("curve", "np.sqrt(1 + side * tilt)", "np.sqrt(1 - side * tilt) * 0 + 1"),
    ("curve", "+ width * above[first])", "+ above[first])"),
    ("diagnostics", "((response, 1.0), (spread, -0.5))", "((response, 1.0), (spread, 0.5))"),
    (
        "diagnostics",
        "_slope_drift(s**2, (seen.differences @ v) / s, reach)",
        "_slope_drift(s, (seen.differences @ v) / s, reach)",
    ),
    (
        "diagnostics",
        "_slope_drift(squares, width**2, reach), midpoint",
        "_slope_drift(squares, np.abs(width), reach), midpoint",
    ),
    ("diagnostics", "tilt = np.clip(t @ noise**2", "tilt = np.clip(-t @ noise**2"),
    ("uncertainty", "(1 + LEVEL) / 2", "LEVEL"),
    ("uncertainty", "total[start : start + len(change)] += ", "total[start : start + len(change)] = 3 * "),
    ("uncertainty", "bound**2 * points.var(axis=-1)", "bound * points.var(axis=-1)"),
    ("uncertainty", ".mean(axis=-1) * error**2", ".mean(axis=-1) * error"),
    ("paper", "share * (1 - share) / n", "share * (1 - share)"),
    ("paper", "np.nan_to_num(mean_bound) * unit", "np.nan_to_num(mean_bound)"),
    ("design", "first[:, 0], ~first[:, 0]", "first[:, 0], first[:, 0]"),
    ("design", "chosen[:, [0, 0, 1, 2]]", "chosen[:, [0, 1, 1, 2]]"),
    ("design", "np.array([0, 0, 1, 2])\n", "np.array([0, 1, 1, 2])\n"),
    ("drawing", "(2 * rows.labels - 1) * rows.scales", "(1 - 2 * rows.labels) * rows.scales"),
    ("drawing", "images += PIXEL_CENTRE\n", "images += 0.0\n"),
    ("separation", "- 2 * c[first, second]", "+ 2 * c[first, second]"),
    ("separation", "np.arange(p_values.size, 0, -1)", "np.full(p_values.size, p_values.size)"),
    ("separation", "2 * norm.sf(z)", "norm.sf(z)"),
    ("separation", "found = separate(x, c, level)", "found = separate(np.sqrt(x), c, level)"),
    ("separation", "rho * _CIRCLE[0] +", "-rho * _CIRCLE[0] +"),
    ("separation", "np.linspace(0, 2 * np.pi, 720", "np.linspace(0, np.pi, 720"),
    ("uncertainty", "QUANTILE * error - np.maximum(between, 0)", "QUANTILE * error"),
    ("uncertainty", "_CLEAR * found.stderr", "-_CLEAR * found.stderr"),
    ("uncertainty", "max(high**2 - square, square - low**2, 0.0)", "(high - low) * square**0.5"),
]


def failures(package):
    """Return the names of the truths that do not hold for a package."""
    found = []
    for truth in TRUTHS:
        try:
            truth(lambda name: importlib.import_module(f"{package}.{name}"))
        except Exception:  # noqa: BLE001 - a fault may end in any error, that is as good as a wrong number
            found.append(truth.__name__)
    return found


@pytest.mark.parametrize("truth", TRUTHS, ids=lambda f: f.__name__)
def test_holds(truth):
    truth(lambda name: importlib.import_module(f"synbench.{name}"))


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=lambda k: f"{FAULTS[k][0]}: {FAULTS[k][2][:40]}")
def test_fault_is_noticed(number, tmp_path, monkeypatch):
    module, right, wrong = FAULTS[number]
    name = f"faulty_{number}"
    shutil.copytree(PACKAGE, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "demo"))
    file = tmp_path / name / f"{module}.py"
    source = file.read_text()
    assert right in source, f"{module}.py no longer says {right!r}: bring the list of faults up to date"
    file.write_text(source.replace(right, wrong))
    monkeypatch.syspath_prepend(tmp_path)
    with warnings.catch_warnings(action="ignore"):
        assert failures(name), "no truth noticed this fault"
    for loaded in [m for m in sys.modules if m.split(".")[0] == name]:
        del sys.modules[loaded]


def test_an_unchanged_copy_is_sound(tmp_path, monkeypatch):
    shutil.copytree(PACKAGE, tmp_path / "sound_copy", ignore=shutil.ignore_patterns("__pycache__", "demo"))
    monkeypatch.syspath_prepend(tmp_path)
    assert failures("sound_copy") == []
