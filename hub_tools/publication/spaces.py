"""The Spaces, rendered from this repository: the metric's, which ``evaluate.load`` reads, and the app's.

A Space holds the whole package, so that it is itself what ``pip install git+https://…`` installs, and the app needs
nothing from elsewhere. The metric's Space has one file more, named after the repository as ``evaluate`` wants it: it
imports the installed package. Beside the package of the same name that is no clash, as a folder is imported before a
file; alone in a folder it would hide the package, and says so.
"""

import re
import sys
from collections.abc import Mapping
from importlib.metadata import packages_distributions
from keyword import iskeyword
from pathlib import Path

import yaml

import synbench
from synbench.errors import ArgumentError

ROOT = Path(synbench.__file__).parent.parent
"""Of the clone that this runs from."""

_FOLDERS = ("synbench", "hub_tools")
_FILES = ("synbench_metric.py", "pyproject.toml")
_DATA = {
    "synbench/py.typed",
    "synbench/report.schema.json",
    "synbench/demo/config.json",
    "synbench/demo/model.safetensors",
    "synbench/demo/preprocessor_config.json",
}
"""What the package has beside modules; nothing else that lies in its folders is published."""
_OWN_REQUIREMENTS = "requirements-package.txt"
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_PYTHON = "3.12"
"""Of a Space that runs the app; by default it would be one that today's libraries do not run on."""


def render_space(repo_id: str, *, metric: bool, static: bool = False) -> dict[str, bytes]:
    """Return the files of a Space by their paths.

    Args:
        repo_id: where it is to stand, such as ``user/synbench``.
        metric: whether ``evaluate.load(repo_id)`` is to work.
        static: a page in place of the app, for accounts that cannot host one.

    Raises:
        ArgumentError: this is no clone of the repository, or ``repo_id`` cannot be the name of one.
    """
    check_repository(repo_id)
    if static and not metric:
        raise ArgumentError("an app needs a Space that runs it: leave out --static, or publish the metric alone.")
    files = _package()
    if metric:
        module = repo_id.rpartition("/")[2]
        _check_module(module, files)
        files[f"{module}.py"] = _SCRIPT.format(repo_id=repo_id).encode()
    # A Space installs what requirements.txt lists; whoever installs the package from it needs no page.
    files[_OWN_REQUIREMENTS] = files["requirements.txt"]
    if static:
        files["index.html"] = _PAGE.format(repo_id=repo_id).encode()
    else:
        files["app.py"] = _read("app.py")
        files["requirements.txt"] += files["requirements-app.txt"]
    files["README.md"] = _card(repo_id, metric=metric, static=static).encode()
    return files


def check_repository(repo_id: str) -> None:
    """Check that a name is that of a repository on the Hub.

    Raises:
        ArgumentError: it is not.
    """
    if not _REPOSITORY.fullmatch(repo_id):
        raise ArgumentError(f"expected the name of a repository on the Hub, such as user/synbench, got {repo_id!r}.")


def _check_module(module: str, files: Mapping[str, bytes]) -> None:
    """Refuse a name of the script that would hide what the Space itself imports, or cannot be imported."""
    user = "user/synbench"
    if not module.isidentifier() or iskeyword(module):
        raise ArgumentError(
            f"evaluate loads the module named after the Space, and {module!r} cannot be one. Use a name of letters, "
            f"digits and underscores, such as {user}."
        )
    taken = module != "synbench" and (module in packages_distributions() or module in _FOLDERS)
    if taken or f"{module}.py" in files or module == "app" or module in sys.stdlib_module_names:
        raise ArgumentError(
            f"evaluate loads the module named after the Space, and a file {module}.py would hide the module {module!r} "
            f"that the Space itself imports. Use another name, such as {user}."
        )


def _package() -> dict[str, bytes]:
    """Return the package, and what ``pip`` needs to install it."""
    if not (ROOT / "pyproject.toml").is_file() or not (ROOT / "app.py").is_file():
        raise ArgumentError(
            "a Space is rendered from a clone of the repository, and SynBench is installed without one here. Clone "
            "it, and install it there with pip install --editable ."
        )
    files = {name: _read(name) for name in _FILES}
    files["pyproject.toml"] = _fitted(files["pyproject.toml"])
    for path in sorted(ROOT.glob("requirements*.txt")):
        files[path.name] = path.read_bytes()
    for folder in _FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and (path.suffix == ".py" or path.relative_to(ROOT).as_posix() in _DATA):
                files[path.relative_to(ROOT).as_posix()] = path.read_bytes()
    return files


def _fitted(project: bytes) -> bytes:
    """Fit ``pyproject.toml`` to a Space: where the package's own requirements are, and the version itself.

    Beside the metric's script, setuptools would look for the version in there.
    """
    text = project.decode()
    for old, new in (
        ('dynamic = ["version", ', f'version = "{synbench.__version__}"\ndynamic = ['),
        ('version = { attr = "synbench.__version__" }\n', ""),
        ('dependencies = { file = ["requirements.txt"] }', f'dependencies = {{ file = ["{_OWN_REQUIREMENTS}"] }}'),
    ):
        if text.count(old) != 1:
            raise ArgumentError(f"expected {old.strip()!r} once in pyproject.toml of the clone.")
        text = text.replace(old, new)
    return text.encode()


def _read(name: str) -> bytes:
    return (ROOT / name).read_bytes()


def _card(repo_id: str, *, metric: bool, static: bool) -> str:
    told: dict[str, object] = {
        "title": "SynBench",
        "emoji": "🧪",
        "colorFrom": "blue",
        "colorTo": "indigo",
        "sdk": "static" if static else "gradio",
    }
    if not static:
        told |= {"sdk_version": _gradio(), "python_version": _PYTHON, "app_file": "app.py"}
        # Opening discussions and pull requests as the visitor, and no more.
        told |= {"hf_oauth": True, "hf_oauth_expiration_minutes": 480, "hf_oauth_scopes": ["write-discussions"]}
    told |= {
        "pinned": False,
        "short_description": "Score vision encoders without any data",
        # evaluate lists modules by these very two.
        "tags": ["evaluate", "metric"] if metric else ["vision", "evaluation"],
    }
    front = yaml.safe_dump(told, sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{_INTRODUCTION}{_USE.format(repo_id=repo_id) if metric else ''}"


def _gradio() -> str:
    """Return the release of Gradio that the app is made for."""
    found = re.search(r"^gradio(?:\[[\w,]+\])?>=(\d+\.\d+)", _read("requirements-app.txt").decode(), re.MULTILINE)
    if found is None:
        raise ArgumentError("expected a line gradio>=X.Y in requirements-app.txt.")
    return f"{found[1]}.0"


_INTRODUCTION = """\
# SynBench

How much of a known optimum does a pretrained vision encoder keep? Told without any data: SynBench draws two Gaussian
classes in image space, where the best trade-off between accuracy and robustness is known in closed form, embeds them,
and reports how much of that optimum the representations keep: 1 is all of it, 0 is nothing.
"""

_USE = """
## How to use it

```bash
pip install git+https://huggingface.co/spaces/{repo_id}
```

```python
import evaluate

metric = evaluate.load("{repo_id}")
result = metric.compute(model="facebook/dinov2-small")
print(result["synbench_score"], result["interval"], result["meaning"])
```

(The demo encoder, `model="synbench:demo"`, needs git-lfs when `pip` fetches it.)

`model` can be any vision encoder of the Hub, a local folder, a `torch.nn.Module`, or a function from images to
vectors. `help(metric.compute)` lists every argument. Only safetensors are read, and no code of a repository runs unless
it is asked for.

## What a score does not mean

It tells how much of one known problem survives an encoder. It does not tell how the encoder does on your task, and an
untrained network often scores higher than the trained one of its architecture.
"""

_SCRIPT = '''\
"""SynBench, as evaluate.load("{repo_id}") finds it: the metric of the installed package."""
import importlib

INSTALL = "pip install git+https://huggingface.co/spaces/{repo_id}"

if __name__ == "synbench":
    raise ImportError(
        "a file synbench.py hides the package synbench, and is not it. Start Python from another folder, or install "
        f"the package and remove the file: {{INSTALL}}"
    )
try:
    Synbench = importlib.import_module("synbench_metric").Synbench
except ModuleNotFoundError as error:
    if error.name not in ("synbench", "synbench_metric"):
        raise
    raise ImportError(f"SynBench is not installed here. Install it: {{INSTALL}}") from None
'''

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>SynBench</title>
<style>
  body {{ font: 1.05rem/1.6 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem;
    color: #1f2937; background: #fff }}
  pre {{ background: #f3f4f6; border-radius: .5rem; padding: .8rem 1rem; overflow-x: auto }}
  @media (prefers-color-scheme: dark) {{ body {{ color: #e5e7eb; background: #111827 }} pre {{ background: #1f2937 }} }}
</style>
<h1>SynBench</h1>
<p>How much of a known optimum does a pretrained vision encoder keep? Told without any data: two Gaussian classes in
image space are embedded, and the score is the share of the best robustness-accuracy trade-off that is left.</p>
<pre>pip install git+https://huggingface.co/spaces/{repo_id}</pre>
<pre>import evaluate

metric = evaluate.load("{repo_id}")
result = metric.compute(model="facebook/dinov2-small")
print(result["synbench_score"], result["interval"], result["meaning"])</pre>
<p>This Space holds the module that <code>evaluate</code> loads, and the package that it needs.</p>
</html>
"""
