"""The leaderboard: what is read back, what is joined, what is ranked, and what is never mixed."""

import csv
import io
import json
import math
import time
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from hub_tools.board import collecting, ranking
from hub_tools.board.collecting import Entry, family_of, of_listing, of_report, settings_of
from hub_tools.board.leaderboard import HEADLINES, Leaderboard, make_leaderboard
from hub_tools.board.leaderboard_table import names, print_leaderboard, rows
from hub_tools.board.ranking import rank
from hub_tools.client.failures import RequestError
from hub_tools.client.hub import Hub
from hub_tools.client.pacing import Pace
from hub_tools.commands.leaderboard import leaderboard
from hub_tools.score.eval_results import EVAL_RESULTS_PATH, eval_results_entries, eval_results_file
from hub_tools.score.pushing import push_score
from hub_tools.score.results import BENCHMARK, MIXTURE_REVISION, TASK_IDS, model_index_result
from synbench.errors import ArgumentError
from synbench.separation import letters as letters_of
from synbench.separation import separate

from .hub import Fault
from .hub import Hub as StandInHub
from .reports import make_report

HEAD = "d" * 40


def entry(model, value, stderr=0.01, **changes):
    half = None if stderr is None else 1.96 * stderr
    given = {
        "task_id": "population_score",
        "settings": "standard",
        "revision": MIXTURE_REVISION,
        "interval": None if half is None else (value - half, value + half),
        "commit": "a" * 40,
        "config": None,
        "source": "eval-results",
        **changes,
    }
    return Entry(model=model, value=value, stderr=stderr, **given)


def published(*entries, unreadable=0, models=()):
    found = {model: [] for model in models}
    for one in entries:
        found.setdefault(one.model, []).append(one)
    return [
        collecting.Published(model, HEAD, tuple(own), unreadable if k == 0 else 0)
        for k, (model, own) in enumerate(found.items())
    ]


def listing(report, *, places=("model-index", "eval-results"), pull_request=None, **more):
    """A model as the Hub lists it, with the score of a report."""
    item = {"id": report.settings.model.id, "sha": HEAD, "siblings": [{"rfilename": "README.md"}]}
    if "model-index" in places:
        # Through JSON, as the Hub sends it.
        item["model-index"] = json.loads(json.dumps([{"name": "x", "results": [model_index_result(report)]}]))
    if "eval-results" in places:
        told = {"filename": EVAL_RESULTS_PATH, "verified": False}
        told |= {} if pull_request is None else {"pullRequest": pull_request}
        item["evalResults"] = [{**told, "data": e} for e in eval_results_entries(report)]
        item["siblings"].append({"rfilename": EVAL_RESULTS_PATH})
    return {**item, **more}


def board(*args, **kwargs):
    found = make_leaderboard(*args, benchmark=BENCHMARK, **kwargs)
    return found.boards[0]


class TestRanking:
    @pytest.mark.parametrize("seed", range(40))
    def test_is_what_a_comparison_of_the_same_scores_tells(self, seed):
        rng = np.random.default_rng(seed)
        m = int(rng.integers(1, 60))
        scores, stderr = [
            (rng.normal(0, 0.5, m), rng.uniform(0, 0.3, m)),
            (np.round(rng.normal(0, 0.05, m), 2), np.round(rng.uniform(0, 0.04, m), 2)),
            (np.round(rng.normal(0, 0.05, m), 2), np.full(m, 0.01)),
        ][seed % 3]
        level = [0.05, 0.5, 0.001][seed // 3 % 3]
        found, expected = rank(scores, stderr, level), separate(scores, np.diag(stderr**2), level)
        assert found.rank_low.tolist() == expected.rank_low.tolist()
        assert found.rank_high.tolist() == expected.rank_high.tolist()
        assert found.separated == expected.separated.sum()
        letters = [
            tuple(letters_of(k) for k in range(first, last + 1))
            for first, last in zip(found.group_first, found.group_last, strict=True)
        ]
        assert letters == list(expected.groups)

    def test_blocks_change_nothing(self, monkeypatch):
        rng = np.random.default_rng(0)
        scores, stderr = rng.normal(0, 0.1, 100), rng.uniform(0.01, 0.05, 100)
        whole = rank(scores, stderr)
        monkeypatch.setattr(ranking, "_BLOCK", 7)
        pieces = rank(scores, stderr)
        assert 0 < whole.separated < 4950
        assert vars(whole).keys() == vars(pieces).keys()
        for name, values in vars(whole).items():
            np.testing.assert_array_equal(values, getattr(pieces, name))

    def test_thousands_of_models_take_seconds_and_little_memory(self):
        rng = np.random.default_rng(0)
        scores, stderr = rng.normal(0.6, 0.15, 5000), rng.uniform(0.003, 0.2, 5000)
        tracemalloc.start()
        begin = time.perf_counter()
        found = rank(scores, stderr)
        seconds, (_, peak) = time.perf_counter() - begin, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert seconds < 30
        assert peak < 400e6
        assert (found.rank_low <= found.rank_high).all()
        assert 0 < found.separated < 5000 * 4999 // 2

    def test_no_model_and_one_model_have_no_pairs(self):
        assert rank(np.array([]), np.array([])).separated == 0
        one = rank(np.array([0.5]), np.array([0.0]))
        assert (one.rank_low.tolist(), one.rank_high.tolist(), one.group_first.tolist()) == ([1], [1], [0])

    @pytest.mark.parametrize(
        ("scores", "stderr", "level", "told"),
        [
            ([0.5, np.nan], [0.1, 0.1], 0.05, "must be finite"),
            ([0.5, 0.4], [0.1, -0.1], 0.05, "no error negative"),
            ([0.5, 0.4], [0.1], 0.05, "one standard error a score"),
            ([0.5, 0.4], [0.1, 0.1], 1.0, r"level must lie in \(0, 1\), got 1"),
        ],
    )
    def test_what_cannot_be_ranked_is_refused(self, scores, stderr, level, told):
        with pytest.raises(ArgumentError, match=told):
            rank(np.array(scores), np.array(stderr), level)


class TestReading:
    def test_both_places_are_read_and_are_one_row(self):
        report = make_report()
        entries, unreadable, look = of_listing(listing(report), BENCHMARK)
        assert (unreadable, look) == (0, False)
        assert {e.source for e in entries} == {"eval-results", "model-index"}
        (row,) = board(published(*entries)).rows
        assert (row.value, row.stderr, row.commit, row.source) == (0.68, 0.0066, "a" * 40, "eval-results")
        assert row.config == "population-3x16x16-last_hidden_state-class-token"
        assert row.interval == pytest.approx([0.68 - 1.96 * 0.0066, 0.68 + 1.96 * 0.0066], abs=1e-5)
        assert row.others == []

    def test_a_card_alone_is_read_from_its_metadata_too(self):
        item = listing(make_report(), places=("model-index",))
        item["cardData"] = {"model-index": item.pop("model-index"), "license": "mit"}
        entries, unreadable, look = of_listing(item, BENCHMARK)
        assert (unreadable, look) == (0, False)
        assert board(published(*entries)).rows[0].source == "model-index"

    def test_an_open_pull_request_is_told(self):
        item = listing(make_report(), places=("eval-results",), pull_request=7)
        (row,) = board(published(*of_listing(item, BENCHMARK)[0])).rows
        assert (row.source, row.pull_request) == ("pull-request", 7)

    def test_the_file_itself_is_read_where_the_hub_does_not_tell_what_is_in_it(self):
        report = make_report()
        told = {"filename": EVAL_RESULTS_PATH, "error": "this benchmark is not on the list"}
        item = listing(report, places=(), evalResults=[told], siblings=[{"rfilename": EVAL_RESULTS_PATH}])
        asked = []

        class Hub:
            api = SimpleNamespace(endpoint="https://hub.test")

            def read(self, *what):
                asked.append(what)
                return eval_results_file(None, report)

        found = collecting._published(Hub(), item, BENCHMARK)
        assert {e.record for e in found.entries} == {f"https://hub.test/org/model/blob/{HEAD}/{EVAL_RESULTS_PATH}"}
        assert asked == [("org/model", EVAL_RESULTS_PATH, HEAD)]
        assert found.unreadable == 0
        assert {e.task_id for e in found.entries} >= {"population_score", "population_kappa"}
        # Nothing is asked where the list has it all.
        collecting._published(Hub(), listing(report), BENCHMARK)
        assert len(asked) == 1

    @pytest.mark.parametrize(
        "value", ["0.7", None, True, math.nan, math.inf, 10**400, 1e300, 68.0, -3.0, [0.7], {"a": 1}], ids=repr
    )
    def test_values_that_are_no_score_are_counted_and_left_out(self, value):
        item = listing(make_report())
        for one in item["evalResults"]:
            one["data"] = {**one["data"], "value": value}
        for metric in item["model-index"][0]["results"][0]["metrics"]:
            metric["value"] = value
        count = len(item["evalResults"])
        entries, unreadable, _ = of_listing(item, BENCHMARK)
        assert (entries, unreadable) == ([], 2 * count)
        found = make_leaderboard(published(models=["org/model"], unreadable=unreadable), benchmark=BENCHMARK)
        assert found.boards == []
        assert f"{2 * count} entries of this benchmark could not be read, and were left out." in found.warnings

    @pytest.mark.parametrize(
        "damage",
        [
            {"evalResults": "x", "model-index": 3, "siblings": {}},
            {
                "evalResults": [None, 3, {"data": []}, {"data": {"dataset": [BENCHMARK]}}],
                "model-index": [[], {"results": 1}],
            },
            {"model-index": None, "cardData": ["x"], "evalResults": None, "siblings": [None, {}], "sha": 3},
            {"model-index": [{"results": [{"metrics": [{"type": "synbench_x"}, None], "dataset": []}]}]},
        ],
    )
    def test_whatever_stands_there_nothing_breaks(self, damage):
        entries, unreadable, _ = of_listing({"id": "org/model", **damage}, BENCHMARK)
        assert entries == []
        assert unreadable <= 1

    def test_an_error_that_is_absurd_counts_as_not_known(self):
        item = listing(make_report(), places=("model-index",))
        item["model-index"][0]["results"][0]["metrics"][0]["args"]["standard_error"] = 1e300
        found = make_leaderboard(published(*of_listing(item, BENCHMARK)[0]), benchmark=BENCHMARK)
        assert (found.boards[0].rows[0].stderr, found.boards[0].rows[0].interval) == (None, None)

    def test_other_benchmarks_are_none_of_ours(self):
        report = make_report()
        item = listing(report, places=())
        item["evalResults"] = [
            {"filename": ".eval_results/x.yaml", "data": e} for e in eval_results_entries(report, benchmark="other/set")
        ]
        item["evalResults"].append({"filename": ".eval_results/y.yaml", "data": {"dataset": {"id": "other/set"}}})
        assert of_listing(item, BENCHMARK) == ([], 0, False)

    def test_task_ids_that_could_spoil_a_terminal_are_left_out(self):
        item = listing(make_report())
        for one in item["evalResults"]:
            one["data"] = {**one["data"], "dataset": {**one["data"]["dataset"], "task_id": "\x1b[2Jowned"}}
        entries, unreadable, _ = of_listing(item, BENCHMARK)
        assert unreadable == len(item["evalResults"])
        assert all(e.source == "model-index" for e in entries)

    def test_each_number_has_the_address_of_what_it_is_read_from(self):
        item = listing(make_report())
        blob = f"https://hub.test/org/model/blob/{HEAD}"
        assert {(e.source, e.record) for e in of_listing(item, BENCHMARK, "https://hub.test")[0]} == {
            ("eval-results", f"{blob}/.eval_results/synbench.yaml"),
            ("model-index", f"{blob}/README.md"),
        }
        item = listing(make_report(), places=("eval-results",), pull_request=7)
        told = {e.record for e in of_listing(item, BENCHMARK, "https://hub.test")[0]}
        assert told == {"https://hub.test/org/model/discussions/7"}

    def test_an_address_is_quoted_and_left_out_where_it_is_not_known(self):
        item = listing(make_report(), places=("eval-results",))
        for one in item["evalResults"]:
            one["filename"] = '.eval_results/a "b"?#.yaml'
        (record,) = {e.record for e in of_listing(item, BENCHMARK, "https://hub.test")[0]}
        assert record == f"https://hub.test/org/model/blob/{HEAD}/.eval_results/a%20%22b%22%3F%23.yaml"
        for changed in ({**item, "sha": None}, {**item, "evalResults": [{"data": item["evalResults"][0]["data"]}]}):
            assert {e.record for e in of_listing(changed, BENCHMARK, "https://hub.test")[0]} == {None}
        assert {e.record for e in of_listing(item, BENCHMARK)[0]} == {None}

    @pytest.mark.parametrize(
        ("told", "family"),
        [
            ({"config": {"model_type": "vit", "architecture": "resnet50"}}, "vit"),
            ({"config": {"architecture": "vit_base_patch16_224"}}, "vit"),
            ({"config": {"architecture": "resnet50"}}, "resnet"),
            ({"config": {"architecture": "swinv2_tiny_window8_256"}}, "swinv2"),
            ({"config": {"architecture": "tf_efficientnet_b0"}}, "efficientnet"),
            ({"config": {"model_type": "timm_wrapper", "architecture": "eva02_large_patch14_448"}}, "eva"),
            ({"config": {"model_type": "timm_backbone"}}, "timm"),
            ({"cardData": {"library_name": "timm"}}, "timm"),
            ({"id": "timm/some", "config": None}, "timm"),
            ({"cardData": {"library_name": "transformers"}}, None),
            ({"config": {"model_type": ["vit"]}}, None),
            ({"config": {"model_type": "<b>vit"}}, None),
            ({"config": "vit", "cardData": []}, None),
        ],
    )
    def test_the_family_is_what_the_hub_tells(self, told, family):
        assert family_of({"id": "org/model", **told}) == family

    @pytest.mark.parametrize(
        ("told", "parameters"),
        [
            ({"parameters": {"F32": 80, "I64": 6}, "total": 86}, 86),
            ({"parameters": {"F32": 0}}, None),
            ({"parameters": {"F32": 10**400}}, None),
            ({"parameters": {"F32": "many", "F16": True}}, None),
            ({"parameters": []}, None),
            ("86 M", None),
        ],
    )
    def test_parameters_are_what_the_hub_counts(self, told, parameters):
        item = listing(make_report(), safetensors=told)
        hub = SimpleNamespace(api=SimpleNamespace(endpoint="https://hub.test"))
        assert collecting._published(hub, item, BENCHMARK).parameters == parameters


class TestBoards:
    def test_tasks_settings_and_revisions_are_never_mixed(self):
        paper = make_report("org/paper", protocol="paper")
        half = make_report(
            "org/half", settings={"precision": {"dtype": "float16", "tf32": False, "reason": "asked for"}}
        )
        items = [listing(make_report()), listing(paper), listing(half, places=("model-index",))]
        old = listing(make_report("org/old"))
        for one in old["evalResults"]:
            one["data"] = {**one["data"], "dataset": {**one["data"]["dataset"], "revision": "v0"}}
        old["model-index"] = []
        entries = [e for item in [*items, old] for e in of_listing(item, BENCHMARK)[0]]
        found = make_leaderboard(published(*entries), benchmark=BENCHMARK)
        told = [(b.task_id, b.settings, b.revision, [r.model for r in b.rows]) for b in found.boards]
        assert told == [
            ("population_score", "standard", "v0", ["org/old"]),
            ("population_score", "standard", MIXTURE_REVISION, ["org/model"]),
            ("population_score", "float16", MIXTURE_REVISION, ["org/half"]),
            ("paper_score", "standard", MIXTURE_REVISION, ["org/paper"]),
        ]
        assert found.tasks["population_kappa"] == 3

    def test_ranks_and_ties_are_those_of_a_comparison(self):
        values = {"org/a": (0.9, 0.01), "org/b": (0.89, 0.01), "org/c": (0.5, 0.02), "org/d": (0.2, 0.3)}
        found = board(published(*(entry(model, *told) for model, told in values.items())))
        expected = separate(
            np.array([v for v, _ in values.values()]), np.diag([s**2 for _, s in values.values()]), 0.05
        )
        assert [r.model for r in found.rows] == list(values)
        assert [r.rank_low for r in found.rows] == expected.rank_low.tolist()
        assert [r.rank_high for r in found.rows] == expected.rank_high.tolist()
        assert [r.ties for r in found.rows] == [" ".join(groups) for groups in expected.groups]
        assert found.rows[0].rank_high == 3, "the case is too easy"

    def test_models_without_a_known_error_stand_below_without_a_rank(self):
        found = board(published(entry("org/best", 0.99, None), entry("org/a", 0.5), entry("org/b", 0.4)))
        assert [(r.model, r.rank_low, r.ties, r.interval is None) for r in found.rows] == [
            ("org/a", 1, "a", False),
            ("org/b", 2, "b", False),
            ("org/best", None, None, True),
        ]

    def test_a_report_of_ones_own_wins_and_what_differs_is_told(self):
        mine = make_report(score=0.7)
        there = listing(make_report(score=0.6))
        found = make_leaderboard(
            published(*of_listing(there, BENCHMARK)[0]), [(e, 8192) for e in of_report(mine)], benchmark=BENCHMARK
        )
        (row,) = found.boards[0].rows
        assert (row.source, row.value, row.interval) == ("local", 0.7, pytest.approx(list(mine.interval), abs=1e-4))
        assert [(o.source, o.value) for o in row.others] == [("eval-results", 0.6), ("model-index", 0.6)]
        assert any(w.startswith("1 model (marked *) has other numbers") for w in found.warnings)

    def test_of_several_reports_that_of_the_commit_that_is_there_wins(self):
        old, new = make_report(commit="b" * 40, score=0.9), make_report(commit=HEAD, score=0.5)
        own = [(e, 8192) for report in (old, new) for e in of_report(report)]
        assert board(published(models=["org/model"]), own).rows[0].value == 0.5
        assert board(published(models=["org/model"]), own[::-1]).rows[0].value == 0.5

    def test_two_poolings_of_a_model_are_two_rows_told_apart(self):
        pooled = [make_report(model={"pooling": name}, score=s) for name, s in (("cls", 0.6), ("mean", 0.5))]
        entries = [e for report in pooled for e in of_listing(listing(report, places=("model-index",)), BENCHMARK)[0]]
        found = board(published(*entries))
        assert names(found.rows) == ["org/model (population-3x16x16-cls)", "org/model (population-3x16x16-mean)"]

    def test_names_are_the_same_in_any_case(self):
        own = [(e, 1) for e in of_report(make_report("Org/Model", score=0.7))]
        (row,) = board(published(*of_listing(listing(make_report(score=0.6)), BENCHMARK)[0]), own).rows
        assert (row.model, row.value) == ("org/model", 0.7)

    def test_own_reports_of_models_that_are_not_listed_are_told(self):
        own = [(e, 1) for e in of_report(make_report("org/elsewhere"))]
        found = make_leaderboard(published(entry("org/a", 0.5)), own, benchmark=BENCHMARK)
        assert [r.model for r in found.boards[0].rows] == ["org/a"]
        assert "Reports of 1 model were left out: not among the models that were listed." in found.warnings
        assert make_leaderboard(None, own, benchmark=BENCHMARK).boards[0].rows[0].model == "org/elsewhere"

    def test_reports_of_models_that_are_not_listed_can_stay(self):
        own = [(e, 1) for e in of_report(make_report("org/elsewhere", score=0.4))]
        found = make_leaderboard(published(entry("org/a", 0.5)), own, benchmark=BENCHMARK, unlisted=True)
        assert [r.model for r in found.boards[0].rows] == ["org/a", "org/elsewhere"]
        assert (found.models, found.warnings) == (2, [])

    def test_a_report_is_of_the_size_and_family_that_the_listing_tells(self):
        own = [(e, 1) for name in ("Org/A", "org/elsewhere") for e in of_report(make_report(name))]
        there = collecting.Published("org/a", HEAD, parameters=86_000_000, family="vit")
        found = board([there], own, unlisted=True)
        assert {r.model: (r.parameters, r.family) for r in found.rows} == {
            "org/a": (86_000_000, "vit"),
            "org/elsewhere": (None, None),
        }

    def test_a_record_in_a_dataset_comes_after_ones_own_and_before_the_card(self):
        of = {"local": 0.7, "dataset": 0.6, "eval-results": 0.5, "model-index": 0.4}
        entries = [entry("org/a", value, source=source, record=f"https://{source}") for source, value in of.items()]
        for first in range(len(of)):
            (row,) = board(published(*entries[first:][::-1])).rows
            assert (row.source, row.value, row.record) == (*list(of.items())[first], f"https://{list(of)[first]}")

    def test_ones_own_report_links_to_the_same_one_in_a_dataset(self):
        mine, there = entry("org/a", 0.5, source="local"), entry("org/a", 0.5, source="dataset", record="https://there")
        (row,) = board(published(there, mine)).rows
        assert (row.source, row.record, row.others) == ("local", "https://there", [])

    def test_an_error_told_in_one_place_fills_the_other(self):
        bare = entry("org/a", 0.5, None)
        full = entry("org/a", 0.5, 0.02, source="model-index", config="population-3x8x8-cls")
        (row,) = board(published(bare, full)).rows
        assert (row.source, row.stderr, row.config, row.others) == ("eval-results", 0.02, "population-3x8x8-cls", [])
        other = entry("org/a", 0.5, 0.02, source="model-index", commit="c" * 40)
        (row,) = board(published(bare, other)).rows
        assert (row.stderr, len(row.others)) == (None, 1)

    def test_the_record_reads_back(self):
        found = make_leaderboard(published(entry("org/a", 0.5), entry("org/b", 0.4, None)), benchmark=BENCHMARK)
        assert Leaderboard.from_dict(json.loads(found.to_json())) == found
        table = list(csv.DictReader(io.StringIO(found.to_csv())))
        assert [(r["model"], r["value"], r["stderr"], r["rank_low"]) for r in table] == [
            ("org/a", "0.5", "0.01", "1"),
            ("org/b", "0.4", "", ""),
        ]
        with pytest.raises(ArgumentError, match="a SynBench leaderboard of schema version 2, but schema_version"):
            Leaderboard.from_dict({**found.to_dict(), "schema_version": 1})

    def test_the_table_tells_size_family_and_record(self):
        there = collecting.Published("org/a", HEAD, (entry("org/a", 0.5, record="https://x/y"),), 0, None, 86, "vit")
        (row,) = csv.DictReader(io.StringIO(make_leaderboard([there], benchmark=BENCHMARK).to_csv()))
        assert (row["parameters"], row["family"], row["record"]) == ("86", "vit", "https://x/y")

    @pytest.mark.parametrize(
        ("config", "task_id", "settings"),
        [
            ("population-3x224x224-pooler_output-vector", "population_score", "standard"),
            ("population-3x224x224-cls-as-published", "population_score", "as-published"),
            ("population-3x224x224-cls-bfloat16", "population_kappa", "bfloat16"),
            (
                "paper-3x8x8-mean-as-published-mixture-01234567",
                "paper_score",
                "as-published-mixture-01234567",
            ),
            # Not of the protocol that it is said to be of.
            ("population-3x224x224-cls", "paper_score", "population-3x224x224-cls"),
            ("something\x1b[2J else", "population_score", "something?[2J else"),
            (None, "population_score", "not told"),
        ],
    )
    def test_what_keeps_results_apart_is_read_from_the_config(self, config, task_id, settings):
        assert settings_of(config, task_id) == settings

    def test_the_config_of_every_report_is_understood(self):
        for changes, settings in [
            ({}, "standard"),
            ({"settings": {"as_published": True}, "protocol": "paper"}, "as-published"),
            ({"settings": {"precision": {"dtype": "bfloat16", "tf32": False, "reason": ""}}}, "bfloat16"),
        ]:
            assert {e.settings for e in of_report(make_report(**changes))} == {settings}
        mixture = {e.settings for e in of_report(make_report(settings={"direction": "first"}))}
        assert len(mixture) == 1
        assert mixture.pop().startswith("mixture-")


class TestTable:
    def test_shows_rank_ties_interval_and_where_a_number_stands(self, capsys):
        found = make_leaderboard(
            published(
                entry("org/a", 0.9, 0.004),
                entry("org/b", 0.899, 0.004, source="pull-request", pull_request=3),
                entry("org/[c]", 0.2, 0.004, commit=None, source="model-index"),
                entry("org/d", 0.95, None, verified=True),
                unreadable=2,
            ),
            benchmark=BENCHMARK,
        )
        assert rows(found.boards[0]) == [
            ("1–2", "a", "org/a", "0.9000", "[0.8922, 0.9078]", "aaaaaaa", ".eval_results"),
            ("1–2", "a", "org/b", "0.8990", "[0.8912, 0.9068]", "aaaaaaa", "pull request 3"),
            ("3", "b", "org/[c]", "0.2000", "[0.1922, 0.2078]", "–", "card"),
            ("–", "–", "org/d", "0.9500", "–", "aaaaaaa", ".eval_results, verified"),
        ]
        print_leaderboard(found)
        said = capsys.readouterr().out
        assert "population_score on synbench/gaussian-mixture" in said
        assert "org/[c]" in said
        assert "Models without a known error stand below the others, and have no rank." in said
        assert "note: 2 entries of this benchmark could not be read, and were left out." in said

    def test_tells_of_tasks_that_are_not_shown(self, capsys):
        print_leaderboard(
            make_leaderboard(published(entry("org/a", 0.5, task_id="population_kappa")), benchmark=BENCHMARK)
        )
        said = capsys.readouterr().out
        assert "No scores of synbench/gaussian-mixture in 1 model." in said
        assert "Other tasks, see --task: population_kappa (1 model)." in said


class TestLocal:
    def test_folders_are_read_and_what_is_no_result_is_told(self, tmp_path):
        for name, report in {
            "good": make_report(),
            "twin": make_report(model={"trained": False}),
            "folder": make_report(model={"source": "local"}),
            "none": make_report(score=None, stderr=None),
        }.items():
            (tmp_path / f"{name}.json").write_text(report.to_json())
        (tmp_path / "broken.json").write_text("{")
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "other.json").write_text("[" * 100_000)
        found, told = collecting.local([tmp_path])
        assert {(e.model, e.source, images) for e, images in found} == {("org/model", "local", 8192)}
        assert {e.task_id for e, _ in found} < set(TASK_IDS)
        assert told == [
            "2 files in the folders of results could not be read as a result of this version.",
            "3 results in the folders of results were left out: of no model on the Hub, untrained, or without a score.",
        ]

    def test_reports_can_stand_a_line_each_and_a_broken_line_stops_nothing(self, tmp_path):
        good = [json.dumps(make_report(f"org/{name}").to_dict()).encode() for name in "abc"]
        broken = [b"{", b"\xff\xfe\xff", b"[" * 100_000, b'{"schema_version": 3}', b"7"]
        left = json.dumps(make_report(model={"source": "local"}).to_dict()).encode()
        lines = [good[0], b"", broken[0], good[1], b"  ", *broken[1:], left, good[2]]
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "all.jsonl").write_bytes(b"\r\n".join(lines))
        (tmp_path / "one.json").write_text(make_report("org/d").to_json())
        (tmp_path / "other.json5").write_text("{")
        (tmp_path / "folder.jsonl").mkdir()
        found, told = collecting.local([tmp_path])
        assert list(dict.fromkeys(e.model for e, _ in found)) == ["org/a", "org/b", "org/c", "org/d"]
        assert {e.record for e, _ in found} == {None}
        assert told == [
            "1 file in the folders of results could not be read as a result of this version.",
            "5 lines in the folders of results could not be read as a result of this version.",
            "1 result in the folders of results was left out: of no model on the Hub, untrained, or without a score.",
        ]

    def test_a_folder_that_is_not_there_is_refused(self, tmp_path):
        with pytest.raises(ArgumentError, match="expected a folder with results, got"):
            collecting.local([tmp_path / "nothing"])


def test_headlines_are_tasks():
    assert set(HEADLINES) <= set(TASK_IDS)


@pytest.fixture
def site(monkeypatch):
    with StandInHub() as running:
        running.sign_up("bot", token="hf_bot")
        running.sign_up("owner", token="hf_owner", orgs=("org",))
        client = Hub("hf_bot", running.endpoint, Pace(per_hour=float("inf"), attempts=1, sleep=lambda _: None))
        monkeypatch.setattr("hub_tools.client.hub.Hub", lambda: client)
        running.client = client
        yield running


def score_published(site, name, score, merge=True, **changes):
    """Make a model, and push a score to it by a pull request."""
    repo = site.create(name, {"README.md": b"---\nlicense: mit\n---\n# Model\n", "model.safetensors": name.encode()})
    report = make_report(name, repo.refs["main"], score=score, **changes)
    push_score(report, name, hub=site.client, yes=True)
    if merge:
        repo.merge(repo.pulls[0].num)
    return repo, report


def run(*words):
    app = typer.Typer()
    app.command()(leaderboard)
    return CliRunner().invoke(app, list(words), catch_exceptions=False, env={"COLUMNS": "120"})


class TestAgainstTheHub:
    def test_scores_are_read_back_as_they_were_published(self, site):
        repo, report = score_published(site, "org/best", 0.9)
        scored = report.settings.model.commit
        score_published(site, "org/second", 0.6, merge=False)
        site.create("org/nothing", {"README.md": b"# Model\n"})
        site.create("else/where", {"README.md": b"# Model\n"})
        site.requests.clear()
        done = run("--author", "org", "--json")
        assert [r.path for r in site.requests] == ["/api/models"], "one request a page"
        found = Leaderboard.from_dict(json.loads(done.stdout))
        assert found.models == 3
        told = [(r.model, r.value, r.stderr, r.commit == scored, r.source, r.others) for r in found.boards[0].rows]
        assert told == [
            ("org/best", 0.9, 0.0066, True, "eval-results", []),
            ("org/second", 0.6, 0.0066, False, "pull-request", []),
        ]
        assert found.boards[0].rows[1].pull_request == 1
        assert repo.refs["main"] != scored
        assert found.tasks["population_kappa"] == 2

    def test_a_file_of_ids_costs_one_request_a_model(self, site, tmp_path):
        score_published(site, "org/a", 0.9)
        score_published(site, "org/b", 0.6)
        (tmp_path / "ids").write_text("org/a  # first\n\norg/b\n")
        site.requests.clear()
        done = run("--models", str(tmp_path / "ids"), "--csv", "--task", "all")
        assert len(site.requests) == 2
        table = list(csv.DictReader(io.StringIO(done.stdout)))
        assert {r["task_id"] for r in table} == {t for t in TASK_IDS if t.startswith("population")}
        assert [r["model"] for r in table if r["task_id"] == "population_score"] == ["org/a", "org/b"]

    def test_one_s_own_results_are_joined(self, site, tmp_path):
        _, report = score_published(site, "org/a", 0.9)
        score_published(site, "org/b", 0.6)
        (tmp_path / "results").mkdir()
        (tmp_path / "results" / "org--a.json").write_text(report.to_json())
        done = run("--author", "org", "--results", str(tmp_path / "results"), "--output", str(tmp_path / "board.json"))
        assert done.exit_code == 0
        assert "local" in done.stdout
        found = Leaderboard.from_dict(json.loads((tmp_path / "board.json").read_text()))
        assert [(r.model, r.source, r.others) for r in found.boards[0].rows] == [
            ("org/a", "local", []),
            ("org/b", "eval-results", []),
        ]
        assert found.boards[0].rows[0].interval == pytest.approx(list(report.interval), abs=1e-4)

    def test_one_s_own_results_alone_ask_the_hub_nothing(self, site, tmp_path):
        (tmp_path / "a.json").write_text(make_report("org/a").to_json())
        done = run("--results", str(tmp_path))
        assert "org/a" in done.stdout
        assert site.requests == []

    def test_what_strangers_put_there_breaks_nothing_and_is_counted(self, site):
        score_published(site, "org/good", 0.9)
        entries = [
            {"dataset": {"id": BENCHMARK, "task_id": "population_score"}, "value": value}
            for value in ("0.99", None, [1], 99.0, {"x": 1})
        ]
        site.create("org/bad", {"x.txt": b"", ".eval_results/mine.yaml": json.dumps(entries).encode()})
        site.create("org/worse", {"README.md": b"---\nmodel-index:\n- name: [\n---\n", EVAL_RESULTS_PATH: b"- [\xff"})
        site.create("org/nan", {"README.md": CARD % b".nan"})
        site.create("org/text", {"README.md": CARD % b"excellent"})
        done = run("--search", "org/", "--json")
        found = Leaderboard.from_dict(json.loads(done.stdout))
        assert [r.model for r in found.boards[0].rows] == ["org/good"]
        assert found.unreadable >= 7

    def test_size_and_family_come_with_the_listing(self, site):
        repo, _ = score_published(site, "org/a", 0.9)
        weights = safetensors({"w": ("F32", [30, 20]), "b": ("F16", [7])})
        repo.change({"config.json": b'{"model_type": "dinov2"}', "model.safetensors": weights})
        score_published(site, "org/b", 0.6)
        site.requests.clear()
        found = Leaderboard.from_dict(json.loads(run("--author", "org", "--json").stdout))
        assert len(site.requests) == 1
        told = {r.model: (r.parameters, r.family) for r in found.boards[0].rows}
        assert told == {"org/a": (607, "dinov2"), "org/b": (None, None)}

    def test_each_row_links_to_a_page_that_is_there(self, site):
        repo, _ = score_published(site, "org/a", 0.9)
        score_published(site, "org/b", 0.6, merge=False)
        site.create("org/c", {"README.md": CARD % b"0.5"})
        found = Leaderboard.from_dict(json.loads(run("--search", "org/", "--json", "--task", "all").stdout))
        records = {r.model: r.record for b in found.boards for r in b.rows}
        assert records["org/a"] == f"{site.endpoint}/org/a/blob/{repo.refs['main']}/{EVAL_RESULTS_PATH}"
        assert records["org/b"] == f"{site.endpoint}/org/b/discussions/1"
        head = site.repositories["models", "org/c"].refs["main"]
        assert records["org/c"] == f"{site.endpoint}/org/c/blob/{head}/README.md"

    def test_a_model_that_is_not_there_is_told_and_a_hub_that_is_not_ends_it(self, site, tmp_path):
        score_published(site, "org/a", 0.9)
        (tmp_path / "ids").write_text("org/gone\norg/a\n")
        found = Leaderboard.from_dict(json.loads(run("--models", str(tmp_path / "ids"), "--json").stdout))
        assert [r.model for r in found.boards[0].rows] == ["org/a"]
        assert found.warnings[0].startswith("1 model could not be read, such as org/gone: there is no such repository")
        site.faults.append(Fault("GET", "/api/models/org/a", status=503))
        with pytest.raises(RequestError, match="cannot read 'org/a': the Hub has a fault"):
            run("--models", str(tmp_path / "ids"))

    def test_a_list_is_one_request_however_many_models_it_has(self, site):
        for number in range(30):
            site.create(f"org/m{number}", {"README.md": CARD % b"0.5"})
        site.requests.clear()
        found = Leaderboard.from_dict(json.loads(run("--filter", "vision", "--json").stdout))
        assert found.models == 30
        assert len(found.boards[0].rows) == 30
        assert len(site.requests) == 1

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            ([], "expected models to show: --author, --filter, --search or --models"),
            (["--author", "a", "--json", "--csv"], "--json and --csv both print to stdout"),
            (["--author", "a", "--models", "x"], "--models names the models; leave out --author"),
            (["--results", "nothing"], "expected a folder with results, got 'nothing'"),
            (["--models", "nothing"], "cannot read the list of models 'nothing'"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, site, words, told):
        with pytest.raises(ArgumentError, match=told):
            run(*words)
        assert site.requests == []


def safetensors(tensors):
    """A file of zeros, from types and shapes."""
    widths, header, stop = {"F32": 4, "F16": 2}, {}, 0
    for name, (kind, shape) in tensors.items():
        start, stop = stop, stop + widths[kind] * math.prod(shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, stop]}
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + bytes(stop)


def line(*args, **changes):
    return json.dumps(make_report(*args, **changes).to_dict()).encode() + b"\n"


class TestDataset:
    def test_whole_records_are_read_and_each_number_tells_which(self, site, tmp_path):
        files = {
            "README.md": b"# Results\n",
            "population/org a.json": make_report("org/a", score=0.9).to_json().encode(),
            "more.jsonl": line("org/b", score=0.6) + b"{broken\n\n" + line("org/c", score=0.5),
            "infos.json": b"{}",
            "sheet.csv": b"a,b\n",
        }
        repo = site.create("org/results", files, kind="datasets")
        found, told = collecting.from_dataset(site.client, "org/results", tmp_path)
        blob = f"{site.endpoint}/datasets/org/results/blob/{repo.refs['main']}"
        assert {(e.model, e.source, e.record, images) for e, images in found} == {
            ("org/a", "dataset", f"{blob}/population/org%20a.json", 8192),
            ("org/b", "dataset", f"{blob}/more.jsonl#L1", 8192),
            ("org/c", "dataset", f"{blob}/more.jsonl#L4", 8192),
        }
        assert {(e.model, e.value) for e, _ in found if e.task_id == "population_score"} == {
            ("org/a", 0.9),
            ("org/b", 0.6),
            ("org/c", 0.5),
        }
        assert told == [
            "1 file in the dataset org/results could not be read as a result of this version.",
            "1 line in the dataset org/results could not be read as a result of this version.",
        ]
        assert len(list(tmp_path.rglob("more.jsonl"))) == 1, "it is kept where it is asked to be"
        assert not any(r.path.endswith((".csv", ".md")) for r in site.requests), "what is no result is not fetched"
        site.requests.clear()
        assert collecting.from_dataset(site.client, "org/results", tmp_path) == (found, told)
        assert not any("/resolve/" in r.path for r in site.requests), "what is here is not fetched again"

    def test_it_is_read_at_one_commit_though_it_moves(self, site, tmp_path):
        repo = site.create("org/results", {"a.jsonl": line("org/a", score=0.9)}, kind="datasets")
        sha = repo.refs["main"]
        site.after["/api/datasets/org/results"] = lambda: repo.push({"a.jsonl": line("org/a", score=0.1)})
        found, _ = collecting.from_dataset(site.client, "org/results", tmp_path)
        assert repo.refs["main"] != sha
        assert {(e.value, e.record) for e, _ in found if e.task_id == "population_score"} == {
            (0.9, f"{site.endpoint}/datasets/org/results/blob/{sha}/a.jsonl#L1")
        }
        # What is new is read the next time.
        found, _ = collecting.from_dataset(site.client, "org/results", tmp_path)
        assert {e.value for e, _ in found if e.task_id == "population_score"} == {0.1}

    def test_a_private_one_is_read_with_the_token(self, site, tmp_path):
        site.create("bot/results", {"a.jsonl": line("org/a")}, kind="datasets", private=True)
        found, _ = collecting.from_dataset(site.client, "bot/results", tmp_path)
        assert {e.model for e, _ in found} == {"org/a"}
        stranger = Hub(False, site.endpoint, Pace(attempts=1))
        with pytest.raises(RequestError, match="cannot look at the dataset bot/results: there is no such repository"):
            collecting.from_dataset(stranger, "bot/results", tmp_path)

    def test_one_without_results_is_told(self, site, tmp_path):
        site.create("org/empty", {"README.md": b"# Nothing\n"}, kind="datasets")
        told = ["The dataset org/empty holds no results: no .json, and no .jsonl."]
        assert collecting.from_dataset(site.client, "org/empty", tmp_path) == ([], told)

    @pytest.mark.parametrize(
        ("path", "what"),
        [("/datasets/org/results$", "look at"), ("/results/tree/", "read"), ("/resolve/", "read")],
    )
    def test_a_hub_that_refuses_on_the_way_is_told_in_a_sentence(self, site, tmp_path, path, what):
        site.create("org/results", {"a.jsonl": line("org/a")}, kind="datasets")
        # One that the client does not repeat by itself.
        site.faults.append(Fault(".*", path, status=403, times=100))
        with pytest.raises(RequestError, match=rf"cannot {what} the dataset org/results: the Hub does not allow it"):
            collecting.from_dataset(site.client, "org/results", tmp_path)

    def test_one_that_is_not_there_or_cannot_be_is_told(self, site, tmp_path):
        with pytest.raises(RequestError, match="cannot look at the dataset org/gone: there is no such repository"):
            collecting.from_dataset(site.client, "org/gone", tmp_path)
        site.requests.clear()
        with pytest.raises(ArgumentError, match=r"expected the id of a dataset on the Hub.*got '\.\./x'"):
            collecting.from_dataset(site.client, "../x", tmp_path)
        assert site.requests == []

    def test_the_command_joins_it_with_what_is_listed(self, site):
        score_published(site, "org/a", 0.9)
        lines = line("org/a", "b" * 40, score=0.8) + line("else/b", score=0.5)
        site.create("org/results", {"all.jsonl": lines}, kind="datasets")
        alone = Leaderboard.from_dict(json.loads(run("--dataset", "org/results", "--json").stdout))
        assert [(r.model, r.value, r.source) for r in alone.boards[0].rows] == [
            ("org/a", 0.8, "dataset"),
            ("else/b", 0.5, "dataset"),
        ]
        both = Leaderboard.from_dict(json.loads(run("--dataset", "org/results", "--author", "org", "--json").stdout))
        assert [(r.model, r.value, [o.value for o in r.others]) for r in both.boards[0].rows] == [
            ("org/a", 0.8, [0.9, 0.9])
        ]
        assert "Reports of 1 model were left out: not among the models that were listed." in both.warnings
        assert "dataset" in run("--dataset", "org/results").stdout

    def test_several_datasets_and_folders_are_joined(self, site, tmp_path):
        site.create("org/one", {"a.jsonl": line("org/a", score=0.9) + b"{\n"}, kind="datasets")
        site.create("org/two", {"b.jsonl": line("org/b", score=0.8)}, kind="datasets")
        (tmp_path / "c.jsonl").write_bytes(line("org/c", score=0.7) + b"{\n")
        done = run("--dataset", "org/one", "--dataset", "org/two", "--results", str(tmp_path), "--json")
        found = Leaderboard.from_dict(json.loads(done.stdout))
        assert [(r.model, r.source) for r in found.boards[0].rows] == [
            ("org/a", "dataset"),
            ("org/b", "dataset"),
            ("org/c", "local"),
        ]
        assert found.warnings == [
            "1 line in the folders of results could not be read as a result of this version.",
            "1 line in the dataset org/one could not be read as a result of this version.",
        ]


CARD = b"""---
tags: [vision]
model-index:
- name: x
  results:
  - task: {type: image-feature-extraction}
    dataset: {type: synbench/gaussian-mixture, name: Mixture, config: population-3x8x8-cls, revision: v1}
    metrics:
    - {type: synbench_population_score, value: %s}
---
"""
