"""The evaluate module: both ways to use it, evaluate's own behaviour whole, nothing left behind."""

import doctest
import importlib
import inspect
import json
import pickle
import subprocess
import sys
from pathlib import Path

import evaluate
import numpy as np
import pytest
import torch

import synbench
from synbench import ArgumentError, RepresentationError

from .conftest import ROOT
from .recipes_parity import CASES, representations

FEW = {"samples": 64, "scales": [1.0, 2.0]}
KEYS = [
    "synbench_score", "stderr", "interval", "meaning", "scores", "scores_stderr", "scores_interval",
    "epsilon_covariance", "kappa", "kappa_stderr", "kappa_interval", "epsilons", "thresholds", "scales", "accuracy",
    "bound", "raw_accuracy", "raw_bound", "protocol", "diagnostics", "baseline", "settings", "warnings",
    "schema_version", "seconds", "images", "from_cache",
]  # fmt: skip


def load(**how):
    return evaluate.load("synbench", **how)


def identity(images):
    return images.flatten(1)


def add_mixture(metric, **how):
    for batch in metric.mixture(image_size=4, **{**FEW, **how}).iter(50):
        flat = batch["pixel_values"].reshape(len(batch["label"]), -1)
        metric.add_batch(predictions=flat, references=batch["label"], scales=batch["scale"], splits=batch["split"])


def timeless(result):
    """Drop what differs between two ways to the same result: time, and where representations came from."""
    return {k: v for k, v in result.items() if k not in ("seconds", "settings", "from_cache")}


def left_behind(metric):
    return list(Path(metric.data_dir).rglob("*.arrow"))


def test_a_model_and_its_own_embeddings_give_the_same_result():
    metric = load()
    of_model = metric.compute(model=identity, image_size=4, **FEW)
    add_mixture(metric)
    assert timeless(metric.compute()) == timeless(of_model)
    of_core = synbench.score(identity, image_size=4, **FEW).to_dict()
    assert timeless(of_core) == timeless(of_model)
    assert of_core["settings"] == of_model["settings"]


def add_population(metric, *, known=True, **how):
    for batch in metric.mixture(image_size=4, **{"images": 512, **how}).iter(50):
        flat = batch["pixel_values"].reshape(len(batch["label"]), -1)
        columns = {"coordinates": batch["coordinate"], "draws": batch["draw"]} if known else {}
        metric.add_batch(predictions=flat, references=batch["label"], scales=batch["scale"], **columns)


def blurred(images):
    return (images + images.mean(dim=1, keepdim=True)).tanh().flatten(1)


def test_population_of_a_model_and_of_its_own_embeddings_are_the_same():
    metric = load()
    of_model = metric.compute(model=identity, image_size=4, images=512)
    add_population(metric)
    of_rows = metric.compute()
    assert of_model["protocol"] == of_rows["protocol"] == "population"
    assert timeless(of_rows) == timeless(of_model)
    of_core = synbench.score(identity, image_size=4, images=512).to_dict()
    assert timeless(of_core) == timeless(of_model)
    assert of_core["settings"] == of_model["settings"]


def test_rows_without_splits_coordinates_and_draws_are_scored_with_a_wider_interval():
    metric = load()
    add_population(metric)
    sharp = metric.compute(protocol="population")
    add_population(metric, known=False)
    plain = metric.compute()
    assert plain["protocol"] == "population"
    assert plain["kappa_stderr"][0] > 3 * sharp["kappa_stderr"][0]
    assert abs(plain["kappa"][0] - 1) < 4 * plain["kappa_stderr"][0]


def test_rows_with_splits_can_be_scored_by_either_protocol_and_rows_without_only_by_one():
    metric = load()
    add_mixture(metric, samples=256)
    assert metric.compute()["protocol"] == "paper"
    add_mixture(metric, samples=256)
    of_all = metric.compute(protocol="population")
    assert of_all["images"] == 1024
    assert abs(of_all["kappa"][0] - 1) < 4 * of_all["kappa_stderr"][0]
    add_population(metric)
    with pytest.raises(ArgumentError, match=r"the paper protocol needs to know each image's split: pass splits="):
        metric.compute(protocol="paper")
    assert left_behind(metric) == []


def test_rows_of_which_some_have_a_split_are_refused():
    metric = load()
    add_mixture(metric)
    add_population(metric)
    with pytest.raises(ArgumentError, match=r"some rows have a split and some have none"):
        metric.compute()
    assert left_behind(metric) == []


def test_mixture_of_either_protocol():
    metric = load()
    assert len(metric.mixture(image_size=4)) == 8192
    assert len(metric.mixture(image_size=4, split="test", scales=[1.0])) == 2048
    assert len(metric.mixture(image_size=4, protocol="paper", scales=[1.0])) == 4096
    with pytest.raises(ArgumentError, match=r"split= belongs to protocol='paper'"):
        metric.mixture(image_size=4, protocol="population", split="test")
    with pytest.raises(ArgumentError, match=r"samples does not belong to protocol='population'"):
        metric.mixture(image_size=4, protocol="population", samples=64)


def test_baseline_is_scored_beside_the_model():
    result = load().compute(model="synbench:demo", images=1024, baseline="untrained")
    twin = load().compute(model="synbench:demo", images=1024, untrained=True)
    assert result["baseline"]["synbench_score"] == twin["synbench_score"]
    assert result["baseline"]["difference"] == result["synbench_score"] - twin["synbench_score"]
    low, high = result["baseline"]["difference_interval"]
    assert low < result["baseline"]["difference"] < high
    assert "points less" in result["meaning"]


def test_result_is_one_flat_dict_of_plain_values(metric):
    result = metric.compute(model=identity, image_size=4, **FEW)
    assert list(result) == KEYS
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["settings"]["model"]["source"] == "callable"


def test_added_representations_have_no_settings_of_a_model(metric):
    add_mixture(metric)
    settings = metric.compute()["settings"]
    assert {settings[k] for k in ("model", "samples", "seed", "device", "batch_size", "image_shape")} == {None}


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["name"])
def test_parity_through_add_batch(case):
    metric = load()
    for values, labels, scale, split in representations(case):
        metric.add_batch(predictions=values, references=labels, scales=scale, splits=split)
    result = metric.compute(epsilons=case["epsilons"], thresholds=case["thresholds"], as_published=True)
    np.testing.assert_allclose(result["scores"], case["expected"]["scores"], rtol=0, atol=1e-4)
    one_sample = 1 / case["samples"] + 1e-9
    np.testing.assert_allclose(result["accuracy"], case["expected"]["accuracy"], rtol=0, atol=one_sample)
    assert result["settings"]["eigenvalue_cutoff"] == "absolute 1e-06"


def test_add_compute_and_batches_of_any_size_agree():
    one, many, whole = load(), load(), load()
    rows = list(one.mixture(image_size=(1, 2, 2), samples=16, scales=[1.0]))
    for row in rows:
        z = row["pixel_values"].ravel()
        one.add(prediction=z, reference=row["label"], scales=row["scale"], splits=row["split"])
    columns = {
        "predictions": torch.tensor(np.stack([r["pixel_values"].ravel() for r in rows])),
        "references": [r["label"] for r in rows],
        "scales": [r["scale"] for r in rows],
        "splits": [r["split"] for r in rows],
    }
    for start in range(0, len(rows), 5):
        many.add_batch(**{k: v[start : start + 5] for k, v in columns.items()})
    expected = timeless(whole.compute(**columns))
    assert len(one) == len(many) == 32
    assert timeless(one.compute()) == timeless(many.compute()) == expected


def test_more_rows_than_one_record_batch():
    metric = load()
    values = np.random.default_rng(0).standard_normal((10_000, 3)).astype(np.float32)
    labels, splits = np.arange(10_000) % 2, np.where(np.arange(10_000) < 5_000, "train", "test")
    values[:, 0] += labels
    metric.add_batch(predictions=values, references=labels, scales=0.5, splits=splits.tolist())
    result = metric.compute()
    assert result["images"] == 10_000
    # κ = 0.5 between the classes: Φ(0.5) = 0.691, ± 4.5 binomial standard errors.
    assert abs(result["accuracy"][0][0] - 0.691) < 4.5 * 0.46 / np.sqrt(5_000)


def test_combine_passes_everything_on():
    both = evaluate.combine({"plain": load(), "published": load(config_name="as_published")})
    metric = load()
    for batch in metric.mixture(image_size=4, **FEW).iter(50):
        flat = batch["pixel_values"].reshape(len(batch["label"]), -1)
        both.add_batch(predictions=flat, references=batch["label"], scales=batch["scale"], splits=batch["split"])
    both.add(prediction=flat[0], reference=1, scales=2.0, splits="test")
    result = both.compute()
    assert result["plain_images"] == result["published_images"] == 257
    assert result["plain_settings"]["as_published"] is False
    assert result["published_settings"]["as_published"] is True


def test_combine_scores_a_model():
    both = evaluate.combine({"a": load(), "b": load()})
    result = both.compute(model=identity, image_size=4, **FEW)
    assert result["a_synbench_score"] == result["b_synbench_score"]


def test_configurations():
    assert load().config_name == "default"
    assert load(config_name="as_published").compute(model=identity, image_size=4, **FEW)["settings"]["as_published"]
    plain = load(config_name="as_published").compute(model=identity, image_size=4, as_published=False, **FEW)
    assert not plain["settings"]["as_published"]
    with pytest.raises(ArgumentError, match=r"config_name must be one of 'default', 'as_published', got 'typo'"):
        load(config_name="typo")


def test_in_memory_gives_the_same():
    kept, stored = load(keep_in_memory=True), load()
    add_mixture(kept)
    add_mixture(stored)
    assert timeless(kept.compute()) == timeless(stored.compute())
    assert timeless(kept.compute(model=identity, image_size=4, **FEW)) == timeless(
        stored.compute(model=identity, image_size=4, **FEW)
    )


def test_a_metric_can_be_used_again_and_pickled():
    metric = load()
    first = timeless(metric.compute(model=identity, image_size=4, **FEW))
    again = pickle.loads(pickle.dumps(metric))
    assert timeless(metric.compute(model=identity, image_size=4, **FEW)) == first
    assert timeless(again.compute(model=identity, image_size=4, **FEW)) == first


def test_nothing_is_left_behind_by_success_or_failure():
    metric = load()
    metric.compute(model=identity, image_size=4, **FEW)
    assert left_behind(metric) == []
    metric.add_batch(predictions=np.eye(4), references=[0, 1, 0, 1], scales=1.0, splits="train")
    with pytest.raises(RepresentationError, match="got no test rows"):
        metric.compute()
    assert left_behind(metric) == []
    calls = []

    def fails_late(images):
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return images.flatten(1)

    with pytest.raises(KeyboardInterrupt):
        metric.compute(model=fails_late, image_size=4, **FEW)
    assert left_behind(metric) == []
    assert metric.compute(model=identity, image_size=4, **FEW)["images"] == 256


def test_refused_arguments_do_not_lose_what_was_added():
    metric = load()
    add_mixture(metric)
    for wrong in ({"epsilons": [2]}, {"model": identity, "image_size": 4}, {"samples": 5}, {"typo": 1}):
        with pytest.raises(ArgumentError):
            metric.compute(**wrong)
    with pytest.raises(RepresentationError, match="one label a representation"):
        metric.add_batch(predictions=np.eye(48), references=[1], scales=1.0, splits="train")
    assert metric.compute()["images"] == 256


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {},
            r"nothing to score: pass model=, or predictions= with references= and scales=, or call add_batch",
        ),
        ({"samples": 5, "device": "cpu"}, r"device, samples need model=: added representations are scored as they are"),
        ({"image_mean": np.zeros(3)}, r"image_mean need model="),
        ({"model": identity, "predictions": np.eye(2)}, r"pass model= or representations, not both"),
        ({"modle": "x"}, r"unknown argument 'modle'; see help\(metric\.compute\)"),
        ({"model": 5}, r"model must be a Hub id, a local folder, a torch\.nn\.Module or a callable, got int"),
    ],
)
def test_calls_that_cannot_be_meant_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        load().compute(**arguments)


def test_every_argument_is_documented(metric):
    documented = metric.compute.__doc__
    names = set(inspect.signature(type(metric).compute).parameters) - {"self", "kwargs"}
    assert [n for n in sorted(names) if n not in documented] == []
    for key in KEYS:
        assert key in documented


def test_evaluates_own_rules_for_modules():
    """evaluate tests its modules so: no **kwargs in _compute, and examples that run."""
    module = importlib.import_module("synbench_metric")
    kinds = [p.kind for p in inspect.signature(module.Synbench._compute).parameters.values()]
    assert inspect.Parameter.VAR_KEYWORD not in kinds
    results = doctest.DocTestRunner(verbose=False)
    examples = doctest.DocTestParser().get_doctest(module._INPUTS, {}, "inputs", None, 0)
    results.run(examples)
    assert results.tries > 1
    assert results.failures == 0


def test_load_by_path_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    by_path = evaluate.load(str(ROOT / "synbench_metric.py"))
    assert by_path.name == load().name == "synbench"
    assert by_path.compute(model=identity, image_size=4, **FEW)["images"] == 256


def test_adding_many_floats_is_not_done_number_by_number(metric, monkeypatch):
    """evaluate's own add_batch makes a Python object of each number; ours never calls its encoder."""
    import datasets

    def forbidden(*_):
        raise AssertionError("numbers were encoded one by one")

    monkeypatch.setattr(datasets.Features, "encode_batch", forbidden)
    monkeypatch.setattr(datasets.Features, "encode_example", forbidden)
    add_mixture(metric)
    assert metric.compute()["images"] == 256


PROCESS = """
import json, sys
import evaluate

rank, rounds = int(sys.argv[1]), int(sys.argv[2])
metric = evaluate.load("synbench", num_process=2, process_id=rank, experiment_id=sys.argv[3])
for number in range(rounds):
    if sys.argv[4] == "population":
        result = metric.compute(model=lambda x: x.flatten(1), image_size=4, images=130, seed=number)
    elif sys.argv[4] == "model":
        result = metric.compute(
            model=lambda x: x.flatten(1), image_size=4, samples=33, scales=[1.0, 2.0], seed=number
        )
    else:
        rows = metric.mixture(image_size=4, samples=33, scales=[1.0, 2.0], seed=number)
        for batch in rows.shard(2, rank).iter(50):
            flat = batch["pixel_values"].reshape(len(batch["label"]), -1)
            metric.add_batch(predictions=flat, references=batch["label"], scales=batch["scale"], splits=batch["split"])
        result = metric.compute()
    print(json.dumps(result))
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["model", "added", "population"])
def test_two_processes_give_the_result_of_one_round_after_round(way, tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(rank), "3", f"two-{way}", way],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    (main, errors), (other, _) = (p.communicate(timeout=120) for p in processes)
    assert [p.returncode for p in processes] == [0, 0], errors
    assert [json.loads(line) for line in other.splitlines()] == [None] * 3
    for seed, line in enumerate(main.splitlines()):
        result = json.loads(line)
        how = {"images": 130} if way == "population" else {"samples": 33, "scales": [1.0, 2.0]}
        alone = synbench.score(identity, image_size=4, **how, seed=seed)
        assert result["images"] == alone.images == (130 if way == "population" else 132)
        np.testing.assert_allclose(result["accuracy"], alone.accuracy, rtol=0, atol=1e-12)
        np.testing.assert_allclose(result["bound"], alone.bound, rtol=1e-9)
        assert result["settings"]["processes"] == (1 if way == "added" else 2)
