"""What is published works where it lands: the metric in evaluate.load, the app on its own, the recipes in datasets."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import datasets
import numpy as np
import pytest
import yaml
from huggingface_hub import DatasetCard, SpaceCard

import synbench
from hub_tools.client.hub import Hub as Client
from hub_tools.publication.benchmark import render_benchmark
from hub_tools.publication.publishing import compare, publish, render, write
from hub_tools.publication.spaces import render_space
from hub_tools.score.results import MIXTURE_REVISION, TASK_IDS
from synbench.errors import ArgumentError, HubError
from synbench.recipes import to_dataset, to_population_dataset

from .hub import Fault, Hub

ROOT = Path(__file__).parent.parent
TOKEN = "hf_" + "publisherpublisher"
LOAD = """
import json, evaluate
metric = evaluate.load("{name}")
print(json.dumps(metric.compute(model="synbench:demo", images=256)))
"""


@pytest.fixture
def hub():
    with Hub() as running:
        running.sign_up("user", TOKEN)
        yield running


@pytest.fixture
def client(hub):
    return Client(TOKEN, hub.endpoint)


@pytest.fixture(scope="module")
def metric_files():
    return render_space("user/synbench", metric=True)


@pytest.fixture(scope="module")
def benchmark_files():
    return render_benchmark("user/gaussian-mixture")


def child(*arguments, cwd, env=None, **options):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    return subprocess.run(
        [sys.executable, *arguments],
        env={**kept, **(env or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        **options,
    )


@pytest.fixture
def published(hub, client, tmp_path, monkeypatch):
    """The metric's Space on the stand-in, as the real client sends it; and what a machine needs to load it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    made = render("metric", "user/synbench")
    publish(client, made, compare(client, made))
    return {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}


LFS = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own, for large files


@LFS
@pytest.mark.slow
def test_evaluate_loads_the_published_metric_in_any_folder(published, metric_files, tmp_path):
    empty, space, alone = (tmp_path / name for name in ("empty", "space", "alone"))
    for folder in (empty, alone):
        folder.mkdir()
    write(render("metric", "user/synbench"), space)
    (alone / "synbench.py").write_bytes(metric_files["synbench.py"])
    expected = synbench.score("synbench:demo", images=256).synbench_score
    for folder in (empty, space):
        done = child("-c", LOAD.format(name="user/synbench"), cwd=folder, env=published)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["synbench_score"] == pytest.approx(expected, rel=1e-6)
    # A folder with the script alone hides the package: that is said, and how to end it.
    clash = child("-c", LOAD.format(name="user/synbench"), cwd=alone, env=published)
    assert clash.returncode != 0
    assert (
        "a file synbench.py hides the package synbench, and is not it. Start Python from another folder" in clash.stderr
    )


@LFS
@pytest.mark.slow
def test_where_the_package_is_missing_the_error_says_how_to_install_it(published, tmp_path):
    # As on a machine without the package: nothing of it can be found.
    hide = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("synbench", "synbench_metric"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
"""
    done = child("-c", hide + LOAD.format(name="user/synbench"), cwd=tmp_path, env=published)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last == (
        "ImportError: SynBench is not installed here. Install it: pip install "
        "git+https://huggingface.co/spaces/user/synbench"
    )


@pytest.mark.slow
def test_the_space_itself_is_what_pip_installs(tmp_path):
    source, target = tmp_path / "space", tmp_path / "target"
    write(render("metric", "user/synbench", static=True), source)
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    done = child("-m", "pip", "install", *options, "--target", str(target), str(source), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # Every module is there: a subpackage that pyproject.toml forgets would be missed here.
    ask = """
import importlib, pkgutil, hub_tools, synbench, synbench_metric
for package in (hub_tools, synbench):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name not in ("synbench.__main__", "synbench.demo.train"):
            importlib.import_module(module.name)
print(synbench.__file__, synbench.score("synbench:demo", images=64).images)
"""
    run = child("-c", ask, cwd=tmp_path, env={"PYTHONPATH": f"{target}{os.pathsep}{os.environ['PYTHONPATH']}"})
    assert run.returncode == 0, run.stderr
    place, images = run.stdout.split()
    assert Path(place).is_relative_to(target)
    assert images == "64"


@pytest.mark.slow
def test_the_published_app_starts_and_scores(tmp_path):
    from gradio_client import Client as AppClient
    from gradio_client.exceptions import AppError

    space = tmp_path / "space"
    write(render("app", "user/app"), space)
    assert not (space / "synbench.py").exists()
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_") or k == "HF_HOME"}
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    env |= {"GRADIO_SERVER_PORT": str(port), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    with (tmp_path / "log").open("w") as log:
        app = subprocess.Popen([sys.executable, "-c", START], cwd=space, env=env, stdout=log, stderr=log)
    try:
        url = _url(tmp_path / "log", app)
        with urllib.request.urlopen(url, timeout=30) as page:
            assert b"SynBench" in page.read()
        client = AppClient(url, verbose=False)
        record = client.predict(model="synbench:demo", images=1024, api_name="/score")
        report = synbench.Report.from_dict(record)
        assert report.synbench_score == pytest.approx(synbench.score("synbench:demo", images=1024).synbench_score)
        for name in ("/etc", "../somewhere", "no such thing"):
            with pytest.raises(AppError, match="expected the id of a model on the Hub, such as facebook/dinov2-small"):
                client.predict(model=name, images=1024, api_name="/score")
    finally:
        app.terminate()
        app.wait(30)


# The app as the Space runs it, at a port that is free.
START = """
import app, synbench, time
from pathlib import Path
assert Path(synbench.__file__).parent.parent == Path.cwd(), synbench.__file__
_, url, _ = app.build().launch(prevent_thread_lock=True, quiet=True, **app.LAUNCH)
print("URL", url, flush=True)
time.sleep(600)
"""


def _url(log, process):
    for _ in range(900):
        found = [line.split()[1] for line in log.read_text().splitlines() if line.startswith("URL ")]
        if found:
            return found[0]
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.mark.parametrize(
    ("what", "static", "sdk", "app"),
    [("metric", False, "gradio", True), ("metric", True, "static", False), ("app", False, "gradio", True)],
)
def test_a_space_is_one_that_the_hub_takes(what, static, sdk, app):
    files = render(what, "user/synbench", static=static).files
    card = SpaceCard(files["README.md"].decode()).data.to_dict()
    assert card["sdk"] == sdk
    assert set(card["tags"]) == ({"evaluate", "metric"} if what == "metric" else {"vision", "evaluation"})
    assert len(card["short_description"]) <= 60
    assert ("app.py" in files, "index.html" in files) == (app, not app)
    assert ("synbench.py" in files) == (what == "metric")
    if app:
        wanted = (ROOT / "requirements-app.txt").read_text()
        assert wanted.startswith(f"gradio[mcp,oauth]>={card['sdk_version'].rpartition('.')[0]},")
        assert files["requirements.txt"].decode() == (ROOT / "requirements.txt").read_text() + wanted
        assert b'dependencies = { file = ["requirements-package.txt"] }' in files["pyproject.toml"]
        assert files["requirements-package.txt"].decode() == (ROOT / "requirements.txt").read_text()
        assert (card["hf_oauth"], card["hf_oauth_scopes"]) == (True, ["write-discussions"])
        assert card["python_version"] == "3.12"
    assert {"synbench/__init__.py", "synbench/demo/model.safetensors", "pyproject.toml", "requirements.txt"} <= set(
        files
    )
    assert not [path for path in files if "__pycache__" in path or path.startswith("tests")]
    total = sum(map(len, files.values()))
    assert total < 4e6


def test_the_script_is_named_after_the_repository():
    assert "gauss.py" in render_space("user/gauss", metric=True)
    with pytest.raises(
        ArgumentError, match=r"'my-bench' cannot be one\. Use a name of letters, digits and underscores"
    ):
        render_space("user/my-bench", metric=True)
    for taken in ("app", "synbench_metric", "hub_tools", "torch", "json"):
        with pytest.raises(ArgumentError, match=f"{taken}.py would hide the module '{taken}' that the Space itself"):
            render_space(f"user/{taken}", metric=True)
    with pytest.raises(ArgumentError, match="expected the name of a repository on the Hub, such as user/synbench"):
        render_space("synbench", metric=True)
    with pytest.raises(ArgumentError, match="an app needs a Space that runs it"):
        render("app", "user/app", static=True)
    with pytest.raises(ArgumentError, match="expected one of metric, app, dataset, got 'space'"):
        render("space", "user/app")


def test_what_lies_about_is_not_published(tmp_path, monkeypatch):
    clone, own = tmp_path / "clone", render("app", "user/app")
    write(own, clone)
    # The Space's own has the version written in; a clone is rendered from.
    for name in ("pyproject.toml", "requirements.txt"):
        (clone / name).write_bytes((ROOT / name).read_bytes())
    (clone / "requirements-package.txt").unlink()
    (clone / "hub_tools" / "notes.txt").write_text("private")
    (clone / "synbench" / "weights.safetensors").write_bytes(b"0")
    (clone / "synbench" / ".env").write_text("SECRET=1")
    monkeypatch.setattr("hub_tools.publication.spaces.ROOT", clone)
    assert dict(render("app", "user/app").files) == dict(own.files)
    assert f'version = "{synbench.__version__}"\ndynamic = [' in own.files["pyproject.toml"].decode()


def test_no_clone_no_space(tmp_path, monkeypatch):
    monkeypatch.setattr("hub_tools.publication.spaces.ROOT", tmp_path)
    with pytest.raises(ArgumentError, match="a Space is rendered from a clone of the repository"):
        render_space("user/synbench", metric=True)


@LFS
def test_publishing_again_changes_nothing_and_what_others_put_there_stays(hub, client, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    made = render("metric", "user/synbench")
    difference = compare(client, made)
    assert (difference.base, set(difference.new)) == (None, set(made.files))
    url = publish(client, made, difference)
    assert url == f"{hub.endpoint}/spaces/user/synbench"
    space = hub.repositories["spaces", "user/synbench"]
    assert {path: space.files()[path] for path in made.files} == dict(made.files)
    assert compare(client, made).empty

    space.change({"notes.txt": b"mine", "README.md": b"edited"})
    again = compare(client, made)
    assert (again.new, again.changed) == ((), ("README.md",))
    assert "notes.txt" in again.kept
    # Somebody writes in between: what was compared is not what is there.
    space.change({"more.txt": b"later"})
    with pytest.raises(HubError, match="Somebody else has written there in between: look again"):
        publish(client, made, again)
    assert space.files()["README.md"] == b"edited"
    publish(client, made, compare(client, made))
    assert space.files()["README.md"] == made.files["README.md"]
    assert (space.files()["notes.txt"], space.files()["more.txt"]) == (b"mine", b"later")


def test_an_account_that_cannot_host_an_app_is_told_the_way_out(hub, client):
    hub.faults.append(Fault("POST", "/api/repos/create", status=402, body={"error": "Payment required"}))
    made = render("metric", "user/synbench")
    with pytest.raises(HubError, match="cannot host an app: publish the metric with --static"):
        publish(client, made, compare(client, made))
    assert ("spaces", "user/synbench") not in hub.repositories


def test_the_recipes_draw_the_same_images_after_loading(benchmark_files, tmp_path):
    write(render("dataset", "user/gaussian-mixture"), tmp_path / "data")
    for config, split, own in (
        ("population", "test", to_population_dataset(synbench.MixtureSpec((3, 224, 224)))),
        ("paper", "train", to_dataset(synbench.MixtureSpec((3, 224, 224)), split="train")),
        ("paper", "test", to_dataset(synbench.MixtureSpec((3, 224, 224)), split="test")),
    ):
        rows = synbench.with_pixels(
            datasets.load_dataset(str(tmp_path / "data"), config, split=split, cache_dir=str(tmp_path / "cache"))
        )
        assert len(rows) == len(own)
        for index in (0, 1, len(own) - 1):
            np.testing.assert_array_equal(rows[index]["pixel_values"], own[index]["pixel_values"])
            assert (rows[index]["label"], rows[index]["scale"]) == (own[index]["label"], own[index]["scale"])
    assert sum(map(len, benchmark_files.values())) < 4e6


def test_every_task_has_recipes_and_every_published_number_a_task(benchmark_files):
    told = yaml.safe_load(benchmark_files["eval.yaml"])
    assert [task["id"] for task in told["tasks"]] == list(TASK_IDS)
    assert "evaluation_framework" not in told
    configs = DatasetCard(benchmark_files["README.md"].decode()).data.to_dict()["configs"]
    splits = {(c["config_name"], f["split"]): f["path"] for c in configs for f in c["data_files"]}
    assert {(task["config"], task["split"]) for task in told["tasks"]} <= set(splits)
    assert set(splits.values()) <= set(benchmark_files)


@LFS
def test_the_dataset_is_published_with_its_tag(hub, client, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    made = render("dataset", "user/gaussian-mixture")
    publish(client, made, compare(client, made))
    repository = hub.repositories["datasets", "user/gaussian-mixture"]
    assert repository.refs[MIXTURE_REVISION] == repository.refs["main"]
    assert compare(client, made).empty
    # Recipes that have their tag stay as they are; the card and the tasks can be told better.
    repository.change({"README.md": b"edited", "population/test.parquet": b"the same rows, written by another release"})
    assert compare(client, made).changed == ("README.md",)


def test_labels_and_scales_do_not_depend_on_the_size_of_the_images():
    small, large = (to_population_dataset(synbench.MixtureSpec((3, n, n))) for n in (16, 224))
    for column in ("label", "scale", "draw"):
        assert small.with_format(None)[column][:] == large.with_format(None)[column][:]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(ArgumentError, match="expected a folder that is empty or not there yet"):
        write(render("metric", "user/synbench"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
