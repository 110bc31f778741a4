"""The package as a whole: what it exports, what importing it costs, what its files say about each other."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import synbench

from .conftest import ROOT

HEAVY = {"torch", "transformers", "datasets", "evaluate", "accelerate", "matplotlib", "numpy", "scipy", "pydantic"}
MODULES = sorted(p.stem for p in (ROOT / "synbench").glob("*.py") if p.stem not in ("__init__", "__main__"))


def loaded_after(code):
    script = f"import sys\n{code}\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    assert not loaded_after("import synbench") & HEAVY


def test_starting_the_command_line_loads_nothing_heavy():
    assert not loaded_after("import synbench.cli") & HEAVY


def test_scoring_numbers_need_no_model_library():
    code = "import synbench.paper, synbench.curve, synbench.classifier, synbench.representations, synbench.report"
    assert not loaded_after(code) & {"torch", "transformers", "datasets", "evaluate", "accelerate", "matplotlib"}


def test_these_tests_can_fail():
    assert loaded_after("import synbench; synbench.Report") & {"pydantic"}


def test_public_names_are_the_declared_ones():
    assert sorted(synbench.__all__) == sorted(synbench._HOMES)
    assert len(synbench.__all__) == len(set(synbench.__all__))
    for name in synbench.__all__:
        assert getattr(synbench, name) is not None
    public = {n for n in vars(synbench) if not n.startswith("_")} - set(MODULES) - {"demo", "probe"}
    assert public <= {*synbench.__all__, "import_module", "TYPE_CHECKING", "Any"}
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        synbench.nonsense  # noqa: B018


def test_public_things_explain_themselves():
    for name in synbench.__all__:
        thing = getattr(synbench, name)
        if callable(thing):
            assert len(thing.__doc__ or "") > 40, name


def test_errors_are_one_tree_with_documented_codes():
    from synbench import errors

    tree = [v for v in vars(errors).values() if isinstance(v, type)]
    assert all(issubclass(e, errors.SynBenchError) for e in tree)
    assert {e.__name__: e.exit_code for e in tree if e is not errors.SynBenchError} == {
        "ArgumentError": 2,
        "OutputError": 2,
        "EncoderError": 3,
        "RepresentationError": 3,
        "HubError": 4,
        "CardError": 4,
    }
    assert all(e.__name__ in errors.__doc__ for e in tree)


def test_nothing_prints_but_the_command_line():
    for module in MODULES:
        tree = ast.parse((ROOT / "synbench" / f"{module}.py").read_text())
        calls = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        assert "print" not in calls, module


def test_shells_hold_no_arithmetic():
    """The metric and the command line pass numbers on; slices of rows are the only sums they make."""
    for shell in ("synbench_metric.py", "synbench/cli.py"):
        tree = ast.parse((ROOT / shell).read_text())
        names = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        assert not names & {"mean", "sum", "dot", "linalg", "exp", "log", "sqrt", "cov"}, shell


def test_readme_names_every_station_and_every_module_exists():
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"`(\w+)\.py`", readme))
    assert set(MODULES) <= named, "README shows the structure"
    assert named <= {*MODULES, "app", "synbench_metric", "train"}


def test_requirements_have_lower_bounds_and_no_addresses():
    for file in ("requirements.txt", "requirements-dev.txt", "requirements-probe.txt", "requirements-timm.txt"):
        for line in (ROOT / file).read_text().splitlines():
            assert re.fullmatch(r"[A-Za-z0-9_.-]+>=[\d.]+(,[<>=!\d.]+)*", line), line


def test_version_is_that_of_the_installed_package():
    from importlib.metadata import version

    assert version("synbench") == synbench.__version__
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"] == "synbench"


def test_demo_encoder_is_small():
    folder = Path(synbench.__file__).parent / "demo"
    assert sum(f.stat().st_size for f in folder.iterdir() if f.is_file()) < 1_000_000


@pytest.mark.slow
def test_the_training_script_makes_what_the_package_holds(tmp_path):
    from synbench.demo.train import save, train

    model, accuracy = train(epochs=8)
    save(model, tmp_path)
    made, shipped = synbench.load_encoder(tmp_path), synbench.load_encoder(synbench.DEMO)
    assert accuracy > 0.2, "eight epochs are enough to beat chance, 0.1, by far"
    assert made.contract == shipped.contract
    assert made.record.architecture == shipped.record.architecture
    assert made.record.dimension == shipped.record.dimension == 64


@pytest.mark.slow
def test_demo_encoder_knows_digits():
    """The folder holds a network that was trained: its features separate digits, those of its twin much less."""
    import torch
    from sklearn.linear_model import LogisticRegression

    from synbench.demo.train import digits

    images, labels = digits()
    accuracy = {}
    for untrained in (False, True):
        encoder = synbench.load_encoder(synbench.DEMO, untrained=untrained)
        with torch.inference_mode():
            features = encoder(images).numpy()
        probe = LogisticRegression(max_iter=5000).fit(features[:1200], labels[:1200])
        accuracy[untrained] = probe.score(features[1200:], labels[1200:])
    assert accuracy[False] > 0.95
    assert accuracy[True] < 0.9
