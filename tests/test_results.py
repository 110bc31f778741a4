"""What is published of a report says what the report says, is kept apart by its settings, and can be read back."""

import dataclasses

import pytest
import yaml
from huggingface_hub import EvalResultEntry
from huggingface_hub.repocard_data import model_index_to_eval_results
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tools.annotation.plan_settings import digest, other_settings
from hub_tools.score.eval_results import eval_results_entries, eval_results_file
from hub_tools.score.proposal import command
from hub_tools.score.reading import read_entries, read_eval_results, read_model_index
from hub_tools.score.results import (
    BENCHMARK,
    TASK_IDS,
    config_of,
    is_same_result,
    model_index_result,
    numbers,
    unusual,
)
from synbench.errors import ArgumentError, CardError

from .reports import make_report

COMMIT = "a" * 40


def card(report, **options):
    return {"model-index": [{"name": "model", "results": [model_index_result(report, **options)]}]}


@pytest.mark.parametrize("protocol", ["population", "paper"])
def test_every_number_is_one_of_the_report_at_its_own_task(protocol):
    report = make_report(protocol=protocol)
    found = {n.task_id: n for n in numbers(report)}
    expected = {f"{protocol}_score": (report.synbench_score, report.stderr, report.interval)}
    for row, epsilon in enumerate(report.epsilons[1:], start=1):
        column = report.thresholds.index(0.7)
        cells = (report.scores[row][column], report.scores_stderr[row][column], report.scores_interval[row][column])
        expected[f"{protocol}_score_epsilon_{epsilon:g}"] = cells
    if protocol == "population":
        expected["population_kappa"] = (report.kappa[0], report.kappa_stderr[0], report.kappa_interval[0])
    assert set(found) == set(expected) <= set(TASK_IDS)
    assert len(set(TASK_IDS)) == len(TASK_IDS)
    for task, (value, stderr, interval) in expected.items():
        assert found[task].value == pytest.approx(value, abs=5.1e-5)
        assert stderr <= found[task].stderr < stderr + 1e-4, "an error is never published smaller than it is"
        assert found[task].interval == pytest.approx(interval, abs=5.1e-5)


def test_a_tiny_error_is_not_published_as_none():
    assert numbers(make_report(stderr=1e-9))[0].stderr == 1e-4
    assert numbers(make_report(stderr=0.0))[0].stderr == 0.0
    assert numbers(make_report(stderr=None))[0].stderr is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"score": None}, "no score at ε = 0 and a_t = 0.7 to publish. Its warnings say why; score the model again"),
        ({"model": {"trained": False}}, "expected the score of a trained encoder, got that of its untrained twin"),
    ],
)
def test_what_must_not_be_published_is_refused(changes, said):
    report = make_report(**changes)
    for publish in (numbers, model_index_result, eval_results_entries):
        with pytest.raises(ArgumentError, match=said):
            publish(report)


def test_textures_stand_on_no_card():
    report = make_report(settings={"direction": "texture"})
    for publish in (numbers, model_index_result):
        with pytest.raises(ArgumentError, match="expected a score of the standard mixture, got one of textures"):
            publish(report)


def test_a_plan_tells_a_score_of_textures_from_its_own():
    report = make_report(settings={"direction": "texture"})
    assert other_settings(report, {"images": 8192}) == "direction is texture, expected uniform"
    assert other_settings(make_report(), {"images": 8192}) is None
    assert command(report).endswith("--images 8192 --direction texture")
    assert "--direction" not in command(make_report())
    assert digest({"direction": "uniform"}) == digest({}) != digest({"direction": "texture"})


def test_the_hubs_own_client_reads_the_result_of_the_card():
    report = make_report()
    name, results = model_index_to_eval_results(card(report)["model-index"])
    assert name == "model"
    told = {r.metric_type: r for r in results}
    assert set(told) == {f"synbench_{n.task_id}" for n in numbers(report)}
    for number in numbers(report):
        result = told[f"synbench_{number.task_id}"]
        assert (result.metric_value, result.metric_name) == (number.value, number.name)
        assert (result.dataset_type, result.dataset_revision) == (BENCHMARK, "v1")
        assert result.dataset_config == "population-3x16x16-last_hidden_state-class-token"
        assert (result.verified, result.verify_token) == (None, None)
        assert result.source_url == f"https://huggingface.co/datasets/{BENCHMARK}"


def test_the_hubs_own_client_takes_the_entries():
    for entry in eval_results_entries(make_report(), benchmark="me/mixture", source_url="https://example.org/x"):
        dataset, source = entry["dataset"], entry["source"]
        made = EvalResultEntry(
            dataset_id=dataset["id"],
            task_id=dataset["task_id"],
            value=entry["value"],
            dataset_revision=dataset["revision"],
            source_url=source["url"],
            source_name=source["name"],
            notes=entry["notes"],
        )
        assert (made.dataset_id, made.source_url) == ("me/mixture", "https://example.org/x")
        assert f"model commit {COMMIT}" in made.notes
        assert set(entry) == {"dataset", "value", "source", "notes"}


SETTINGS = {
    "protocol": {"protocol": "paper"},
    "image": {"settings": {"image_shape": [3, 224, 224]}},
    "pooling": {"model": {"pooling": "pooler_output: vector"}},
    "dtype": {"settings": {"precision": {"dtype": "bfloat16", "tf32": False, "reason": "asked for"}}},
    "direction": {"settings": {"direction": "random"}},
    "published": {"protocol": "paper", "settings": {"as_published": True}},
}


@pytest.mark.parametrize("changes", SETTINGS.values(), ids=SETTINGS)
def test_unlike_settings_have_unlike_configs_and_do_not_take_each_others_place(changes):
    plain, other = make_report(), make_report(**changes)
    assert config_of(plain) != config_of(other)
    assert not is_same_result(model_index_result(plain), model_index_result(other))
    again = make_report(score=0.5, commit="b" * 40, settings={"seed": 7}, images=1024)
    assert is_same_result(model_index_result(plain), model_index_result(again)), "the same settings, measured anew"


def test_scales_keep_results_apart():
    report = make_report()
    half = {"scales": [s / 2 for s in report.scales]}
    assert config_of(make_report(**half)) != config_of(report)
    assert config_of(make_report(**half)) == config_of(make_report(**half))


@pytest.mark.parametrize("name", ["dtype", "direction", "published"])
def test_a_leaderboard_entry_needs_standard_settings(name):
    report = make_report(**SETTINGS[name])
    assert unusual(report)
    with pytest.raises(CardError, match=r"must be the standard ones; this result has .* \(--only model-index\)"):
        eval_results_entries(report)
    assert model_index_result(report)
    assert not unusual(make_report(**SETTINGS["image"]))


FOREIGN = {
    "no result": None,
    "another metric among ours": lambda r: r["metrics"].append({"type": "accuracy", "value": 0.9}),
    "another dataset": lambda r: r["dataset"].update(type="imagenet-1k"),
    "another revision": lambda r: r["dataset"].update(revision="v0"),
    "another task": lambda r: r["task"].update(type="image-classification"),
    "verified": lambda r: r["metrics"][0].update(verified=True),
    "a key of somebody's": lambda r: r.update(reviewer="somebody"),
    "no metrics": lambda r: r.update(metrics=[]),
    "metrics that are no list": lambda r: r.update(metrics="synbench"),
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN)
def test_what_is_not_ours_keeps_its_place(change):
    ours, existing = model_index_result(make_report()), model_index_result(make_report(score=0.5))
    assert is_same_result(ours, existing)
    if change is None:
        existing = "SynBench"
    else:
        change(existing)
    assert not is_same_result(ours, existing)


def test_both_places_are_read_back_as_they_were_written():
    report = make_report()
    written = {n.task_id: n for n in numbers(report)}
    content = eval_results_file(None, report, benchmark="me/mixture")
    for found, unread in (read_eval_results(content), read_model_index(card(report, benchmark="me/mixture"))):
        assert unread == 0
        assert {s.task_id: (s.value, s.stderr) for s in found} == {
            task: (n.value, n.stderr) for task, n in written.items()
        }
        assert {(s.benchmark, s.commit, s.revision) for s in found} == {("me/mixture", COMMIT, "v1")}
        assert all(s.source_url for s in found)
    unknown = make_report(stderr=None, commit=None)
    (first, *_), _ = read_eval_results(eval_results_file(None, unknown))
    assert (first.stderr, first.commit) == (None, None)


def test_writing_again_changes_nothing_and_new_numbers_take_the_place_of_old_ones():
    first = eval_results_file(None, make_report())
    assert eval_results_file(first, make_report()) == first
    newer = eval_results_file(first, make_report(score=0.5, commit="b" * 40))
    assert len(yaml.safe_load(newer)) == len(yaml.safe_load(first))
    assert b"a" * 40 not in newer
    both = eval_results_file(newer, make_report(protocol="paper"))
    tasks = [entry["dataset"]["task_id"] for entry in yaml.safe_load(both)]
    assert sorted(tasks) == sorted(TASK_IDS)
    # A number that the new report does not have would be of the old weights.
    fewer = make_report(commit="c" * 40)
    fewer = fewer.model_copy(update={"kappa": None, "kappa_stderr": None, "kappa_interval": None})
    left = read_eval_results(eval_results_file(both, fewer))[0]
    assert "population_kappa" not in {s.task_id for s in left}
    assert {s.commit for s in left if s.task_id.startswith("population")} == {"c" * 40}


@pytest.mark.parametrize(
    "edit",
    [
        lambda b: b + b"# mine\n",
        lambda b: b.replace(b"value: 0.68", b"value: 0.99 # better"),
        lambda b: b.replace(b"\n", b"\r\n"),
        lambda b: b"",
        lambda b: b"\xff\xfe",
        lambda b: b"- [unclosed",
        lambda b: b"score: 3\n",
    ],
)
def test_a_file_that_somebody_has_edited_stays_theirs(edit):
    written = eval_results_file(None, make_report())
    assert edit(written) != written
    with pytest.raises(CardError, match=r"somebody has edited it, and it is theirs now\. Remove it, or publish in the"):
        eval_results_file(edit(written), make_report(score=0.5))


def test_an_entry_of_another_benchmark_in_our_file_stays():
    other = eval_results_file(None, make_report(score=0.3), benchmark="them/mixture")
    both = yaml.safe_load(eval_results_file(other, make_report()))
    assert yaml.safe_load(other) == [e for e in both if e["dataset"]["id"] == "them/mixture"]
    assert len(both) == 2 * len(yaml.safe_load(other))


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(value=JSONS, where=st.integers(0, 7))
def test_reading_never_fails_and_never_invents(value, where):
    report = make_report()
    result, entry = model_index_result(report), eval_results_entries(report)[0]
    holders = [
        (result, "dataset"),
        (result, "metrics"),
        (result["metrics"][0], "value"),
        (result["metrics"][0], "args"),
        (result["dataset"], "args"),
        (entry, "value"),
        (entry, "dataset"),
        (entry, "notes"),
    ]
    holder, key = holders[where]
    holder[key] = value
    found, _ = read_model_index({"model-index": [{"name": "x", "results": [result, value]}, value]})
    more, unread = read_entries([entry, value])
    assert len(more) + unread == 2
    for one in (*found, *more):
        assert isinstance(one.value, float)
        assert abs(one.value) < float("inf")
        assert one.stderr is None or one.stderr >= 0
    read_model_index(value)
    read_eval_results(yaml.safe_dump(value, allow_unicode=True).encode("utf-8", errors="replace"))


@pytest.mark.parametrize("content", [b"\xff", b"[", b"a: 1", b"!!python/object:os.system {}", b"- 1\n- {}\n"])
def test_files_that_are_not_ours_are_counted(content):
    found, unread = read_eval_results(content)
    assert (found, unread > 0) == ([], True)


@pytest.mark.parametrize("value", [True, "0.7", float("nan"), float("inf"), None, 10**400])
def test_a_value_that_is_no_number_is_not_read(value):
    entry = eval_results_entries(make_report())[0] | {"value": value}
    assert read_entries([entry]) == ([], 1)


def test_records_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        numbers(make_report())[0].value = 1.0
