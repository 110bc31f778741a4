"""The leaderboard in the app: what is found, in which order, and what the page says of it."""

import itertools
import random
import threading
import xml.etree.ElementTree as ET
from html import unescape

import pytest

from hub_tools.board.leaderboard import Board, BoardRow, Leaderboard
from hub_tools.client.failures import RequestError
from hub_tools.client.hub import Hub
from hub_tools.client.pacing import Pace
from hub_tools.score.eval_results import EVAL_RESULTS_PATH, eval_results_file
from hub_tools.score.results import BENCHMARK, TASK_IDS
from hub_tools.space.board import (
    COLUMNS,
    BoardKeeper,
    board_of,
    boards_told,
    families,
    filtered,
    in_order,
    load,
    pages,
    size_told,
    table,
)
from synbench.errors import ArgumentError, HubError

from .hub import Hub as StandInHub
from .reports import make_report


def row(model="org/model", value=0.5, **changes):
    given = {
        "rank_low": 1,
        "rank_high": 1,
        "ties": "a",
        "stderr": 0.01,
        "interval": [value - 0.02, value + 0.02],
        "commit": None,
        "config": None,
        "source": "eval-results",
        "pull_request": None,
        "verified": False,
        "others": [],
        "parameters": None,
        "family": None,
        "record": None,
    }
    return BoardRow(model=model, value=value, **{**given, **changes})


def board(*rows, task_id="population_score", settings="standard", revision="v1"):
    return Board(task_id=task_id, settings=settings, revision=revision, rows=list(rows))


def leaderboard(*boards):
    return Leaderboard(
        benchmark=BENCHMARK, level=0.05, models=1, unreadable=0, boards=list(boards), tasks={}, warnings=[]
    )


def shown(rows, **how):
    """The page as a tree: it is well-formed, or this fails."""
    return ET.fromstring(table(rows, **{"column": "score", "descending": True, "page": 1, **how}))


def cells(tree):
    return [["".join(cell.itertext()) for cell in line] for line in tree.findall("tbody/tr")]


def models(rows):
    return [r.model for r in rows]


@pytest.fixture(scope="module")
def many():
    """5,000 rows of few values, so that there are ties and gaps in every column."""
    rng = random.Random(0)
    made = []
    for number in rng.sample(range(5000), 5000):
        value, ranked = rng.randrange(100) / 100, rng.random() < 0.9
        low = rng.randrange(1, 60)
        made.append(
            row(
                f"{rng.choice(['org', 'Org', 'else'])}/model-{number}",
                value,
                rank_low=low if ranked else None,
                rank_high=low + rng.randrange(3) if ranked else None,
                ties="a" if ranked else None,
                parameters=rng.choice([None, 10**6, 5 * 10**6, 86 * 10**6, 3 * 10**8]),
                family=rng.choice([None, "vit", "swin", "resnet"]),
            )
        )
    return board(*made)


class TestFiltered:
    @pytest.mark.parametrize(
        ("how", "stays"),
        [
            ({}, lambda r: True),
            ({"search": "ORG/"}, lambda r: r.model.split("/")[0].lower() == "org"),
            ({"search": " 42 Else "}, lambda r: "42" in r.model and r.model.startswith("else")),
            ({"families": ["vit", "swin"]}, lambda r: r.family == "vit" or r.family == "swin"),
            ({"smallest": 5}, lambda r: r.parameters in (5_000_000, 86_000_000, 300_000_000)),
            ({"largest": 5.0}, lambda r: r.parameters in (1_000_000, 5_000_000)),
            ({"smallest": 2, "largest": 100}, lambda r: r.parameters in (5_000_000, 86_000_000)),
            (
                {"search": "7", "families": {"resnet"}, "largest": 1},
                lambda r: "7" in r.model and r.family == "resnet" and r.parameters == 1_000_000,
            ),
            ({"search": "nobody"}, lambda r: False),
            ({"smallest": 100, "largest": 2}, lambda r: False),
        ],
    )
    def test_those_stay_that_fit_in_the_order_of_the_board(self, many, how, stays):
        expected = []
        for one in many.rows:
            if stays(one):
                expected.append(one)  # noqa: PERF401 - naive by intent
        assert filtered(many, **how) == expected

    def test_a_size_of_nothing_at_the_least_is_a_size_too(self):
        known, unknown = row("org/a", parameters=1), row("org/b")
        assert filtered(board(known, unknown), smallest=0) == [known]
        assert filtered(board(known, unknown)) == [known, unknown]

    def test_families_are_those_that_are_told(self, many):
        assert families(many) == ["resnet", "swin", "vit"]
        assert families(board(row())) == []


VALUES = {
    "rank": lambda r: None if r.rank_low is None else (r.rank_low, r.rank_high),
    "model": lambda r: r.model.lower(),
    "score": lambda r: r.value,
    "parameters": lambda r: r.parameters,
    "family": lambda r: r.family,
}


class TestOrder:
    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("column", COLUMNS)
    def test_neighbours_are_in_order_and_nobody_is_lost(self, many, column, descending):
        found = in_order(many.rows, column, descending)
        assert sorted(models(found)) == sorted(models(many.rows))
        value = VALUES[column]
        known = [value(r) is not None for r in found]
        assert known == sorted(known, reverse=True), "those without a value are last"
        for first, second in itertools.pairwise(found):
            one, other = value(first), value(second)
            if one == other:
                assert first.model.lower() < second.model.lower()
            elif one is not None and other is not None:
                assert (one > other) == descending

    def test_where_they_stood_before_decides_nothing(self, many):
        mixed = random.Random(1).sample(many.rows, len(many.rows))
        for column in COLUMNS:
            assert in_order(mixed, column, True) == in_order(many.rows, column, True)

    def test_a_column_that_is_not_there_is_refused(self):
        told = "expected a column to order by, one of rank, model, score, parameters, family, got 'ties'"
        with pytest.raises(ArgumentError, match=told):
            in_order([row()], "ties", False)
        with pytest.raises(ArgumentError, match=told):
            shown([row()], column="ties")


class TestTable:
    def test_a_row_tells_rank_ties_score_size_family_and_where_it_stands(self):
        tree = shown(
            [
                row("org/a", 0.9, rank_high=2, ties="a b", parameters=86_389_248, family="vit", verified=True),
                row("org/b", 0.7, rank_low=2, rank_high=2, ties="b", source="pull-request", pull_request=3),
                row("org/c", 0.6, rank_low=None, rank_high=None, ties=None, stderr=None, interval=None, source="local"),
            ]
        )
        assert [cell.text or cell[0].text for cell in tree.find("thead/tr")] == [
            *("Rank", "Ties", "Model", "Score", "Parameters", "Family", "Source")
        ]
        assert cells(tree) == [
            ["1–2", "a b", "org/a", "0.900 [0.880, 0.920]", "86 M", "vit", ".eval_results, verified"],
            ["2", "b", "org/b", "0.700 [0.680, 0.720]", "–", "–", "pull request 3"],
            ["–", "–", "org/c", "0.600", "–", "–", "local"],
        ]
        assert (
            tree.findtext("caption/span")
            == "3 models by score, highest first. Models that share a letter are not told apart."
        )

    def test_what_other_places_say_is_told(self):
        other = {"source": "model-index", "commit": None, "value": 0.4}
        assert cells(shown([row(others=[other])]))[0][-1] == ".eval_results, others differ"

    def test_headings_are_headings_and_buttons_tell_their_column(self):
        tree = shown([row()])
        assert tree.tag == "table"
        assert tree[0].tag == "caption"
        heads = tree.findall("thead/tr/th")
        assert {head.get("scope") for head in heads} == {"col"}
        assert [b.get("data-column") for b in tree.iter("button")] == list(COLUMNS)
        assert {b.get("type") for b in tree.iter("button")} == {"button"}
        assert [line.find("th").get("scope") for line in tree.findall("tbody/tr")] == ["row"]

    @pytest.mark.parametrize("column", COLUMNS)
    @pytest.mark.parametrize(("descending", "order"), [(True, "descending"), (False, "ascending")])
    def test_the_order_is_told_by_the_heading_that_it_is_of(self, column, descending, order):
        heads = shown([row()], column=column, descending=descending).findall("thead/tr/th")
        told = {head[0].get("data-column"): head.get("aria-sort") for head in heads if head.get("aria-sort")}
        assert told == {column: order}

    @pytest.mark.parametrize(
        ("column", "descending", "told"),
        [
            ("rank", False, "by rank, best first"),
            ("score", True, "by score, highest first"),
            ("parameters", False, "by parameters, smallest first"),
            ("family", True, "by family, Z to A"),
        ],
    )
    def test_the_caption_says_the_order_in_words_and_the_title(self, column, descending, told):
        said = shown([row(ties=None)], column=column, descending=descending, title="κ <b>").findtext("caption/span")
        assert said == f"κ <b>. 1 model {told}."

    def test_models_and_records_are_links_that_open_beside_the_app(self):
        there = row("org/a", record="https://hub.test/org/a/blob/x/README.md?a=1&b=2", source="model-index")
        tree = shown([there], endpoint="https://hub.test")
        model, record = tree.iter("a")
        assert (model.get("href"), model.text) == ("https://hub.test/org/a", "org/a")
        assert (record.get("href"), record.text) == (there.record, "card")
        assert record.get("aria-label") == "card: the record of org/a"
        assert {(a.get("rel"), a.get("target")) for a in (model, record)} == {("noopener", "_blank")}
        assert next(shown([row("org/a")]).iter("a")).get("href") == "https://huggingface.co/org/a"

    def test_two_rows_of_a_model_are_told_apart_on_any_page(self):
        rows = [row("org/a", 0.9, config="cls"), row("org/b", 0.8), row("org/a", 0.7, config="mean")]
        assert [cells(shown(rows, page=page, per_page=1))[0][2] for page in (1, 2, 3)] == [
            "org/a (cls)",
            "org/b",
            "org/a (mean)",
        ]

    def test_all_pages_have_the_decimals_of_the_narrowest_interval(self):
        rows = [row("org/a", 0.9, interval=[0.8996, 0.9004]), row("org/b", 0.8, interval=[0.7, 0.9])]
        told = [cells(shown(rows, page=page, per_page=1))[0][3] for page in (1, 2)]
        assert told == ["0.9000 [0.8996, 0.9004]", "0.8000 [0.7000, 0.9000]"]

    def test_pages_part_the_rows(self, many):
        rows = in_order(many.rows, "score", True)
        assert pages(rows, 64) == 79
        on = [[line[2] for line in cells(shown(rows, page=page, per_page=64))] for page in range(1, 80)]
        assert [name for page in on for name in page] == models(rows)
        assert {len(page) for page in on[:-1]} == {64}
        assert (
            shown(rows, page=79, per_page=64).findtext("caption/span").startswith("Models 4,993 to 5,000 of 5,000 by")
        )

    @pytest.mark.parametrize(("count", "expected"), [(0, 1), (1, 1), (50, 1), (51, 2), (100, 2), (101, 3)])
    def test_a_page_is_full_before_there_is_another(self, count, expected):
        assert pages([row()] * count, 50) == expected

    @pytest.mark.parametrize(("page", "model"), [(-3, "org/a"), (0, "org/a"), (2, "org/b"), (9, "org/b")])
    def test_a_page_that_is_not_there_is_the_nearest(self, page, model):
        assert cells(shown([row("org/a"), row("org/b")], page=page, per_page=1))[0][2] == model

    def test_no_row_is_a_sentence(self):
        tree = shown([])
        assert (tree.tag, tree.get("role")) == ("p", "status")
        assert tree.text == "No model fits. Take a word, a family or a size away."


BAD = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;"


class TestWhatOthersWrite:
    def test_is_text_and_never_markup(self):
        hostile = row(BAD, family=BAD, ties=BAD, config=BAD, record=f"https://x.test/{BAD.replace(' ', '')}")
        rows = [hostile, row(BAD, config="other")]
        tree = shown(rows, title=BAD)
        assert {e.tag for e in tree.iter()} == {
            *("table", "caption", "thead", "tbody", "tr", "th", "td", "button", "span", "a")
        }
        attributes = {(e.tag, name) for e in tree.iter() for name in e.keys()}  # noqa: SIM118 - an element's
        assert {name for tag, name in attributes if tag == "a"} == {"href", "target", "rel", "aria-label"}
        assert not {name for _, name in attributes if name.startswith("on")}
        first = cells(tree)[0]
        assert (first[1], first[2], first[5]) == (BAD, f"{BAD} ({BAD})", BAD)
        assert tree.findtext("caption/span").startswith(BAD)
        # In the text of a link.
        linked = [a.text for a in shown([row("org/a", config=BAD), row("org/a", config="other")]).iter("a")]
        assert linked == [f"org/a ({BAD})", "org/a (other)"]

    @pytest.mark.parametrize("model", ["../../evil", "a b/c", "javascript:alert(1)", "org/a/b", "name", BAD])
    def test_a_name_that_is_no_id_is_no_link(self, model):
        tree = shown([row(model)])
        assert list(tree.iter("a")) == []
        assert cells(tree)[0][2] == model

    @pytest.mark.parametrize(
        "address",
        [
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            " javascript:alert(1)",
            "java\nscript:alert(1)",
            "\x01javascript:alert(1)",
            "data:text/html,<script>alert(1)</script>",
            "vbscript:x",
            "file:///etc/passwd",
            "//evil.test/x",
            "/relative",
            "https:evil",
            "https:///path",
            "http://[",
            "https://x.test/\u202egpj",
            "",
        ],
    )
    def test_only_addresses_of_the_web_are_links(self, address):
        tree = shown([row(record=address)])
        assert [a.text for a in tree.iter("a")] == ["org/model"]
        assert cells(tree)[0][-1] == ".eval_results"

    @pytest.mark.parametrize("address", ["http://x.test", "HTTPS://x.test/a?b=1&c='\"#L3", "https://x.test/κ"])
    def test_addresses_of_the_web_come_through_as_they_are(self, address):
        assert [a.get("href") for a in shown([row(record=address)]).iter("a")][1] == address
        assert unescape(table([row(record=address)], column="rank", descending=False, page=1)).count(address) == 1


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        (None, "–"),
        (1, "1"),
        (999, "999"),
        (1000, "1.0 K"),
        (21_813_000, "22 M"),
        (9_949_999, "9.9 M"),
        (9_950_000, "10 M"),
        (304_000_000, "304 M"),
        (999_500_000, "1.0 B"),
        (6_910_000_000, "6.9 B"),
        (10**15, "1000 T"),
    ],
)
def test_sizes_are_told_by_two_digits_or_more(parameters, told):
    assert size_told(parameters) == told


class TestBoards:
    def test_each_is_told_with_what_sets_it_apart(self):
        found = leaderboard(
            board(row("org/a", config="x"), row("org/a", config="y"), row("org/b")),
            board(row(), settings="float16"),
            board(row(), task_id="paper_score"),
        )
        assert [label for label, _ in boards_told(found)] == [
            "population_score (2 models)",
            "population_score, float16 (1 model)",
            "paper_score (1 model)",
        ]
        found = leaderboard(board(row()), board(row(), revision="v2"), board(row(), revision=None))
        assert [label for label, _ in boards_told(found)] == [
            "population_score, v1 (1 model)",
            "population_score, v2 (1 model)",
            "population_score, no revision told (1 model)",
        ]

    def test_a_key_finds_its_board_among_others_too(self):
        boards = [
            board(row(f"org/{k}"), settings=settings, revision=revision)
            for k, (settings, revision) in enumerate([("standard", "v1"), ("standard", None), ('x", "v1', "v1")])
        ]
        keys = [key for _, key in boards_told(leaderboard(*boards))]
        assert len(set(keys)) == 3
        assert [board_of(leaderboard(*boards[::-1]), key) for key in keys] == boards
        assert board_of(leaderboard(boards[0]), keys[2]) is None


@pytest.fixture
def site():
    with StandInHub() as running:
        running.client = Hub(False, running.endpoint, Pace(attempts=1, sleep=lambda _: None))
        yield running


def scored(site, name, score, **fields):
    repo = site.create(name, {"config.json": b'{"model_type": "vit"}'})
    repo.fields.update({"tags": ["vision"], **fields})
    repo.change({EVAL_RESULTS_PATH: eval_results_file(None, make_report(name, score=score))})


class TestLoading:
    def test_cards_and_a_dataset_make_one_leaderboard_of_all_tasks(self, site):
        scored(site, "org/a", 0.9, safetensors={"parameters": {"F32": 86_000_000}})
        scored(site, "org/b", 0.8, tags=["audio"])
        there = site.create(
            "org/results", {"c.json": make_report("org/c", score=0.7).to_json().encode()}, kind="datasets"
        )
        found = load(site.client, dataset="org/results")
        first = board_of(found, boards_told(found)[0][1])
        assert [(r.model, r.value, r.parameters, r.family, r.source) for r in first.rows] == [
            ("org/a", 0.9, 86_000_000, "vit", "eval-results"),
            ("org/c", 0.7, None, None, "dataset"),
        ]
        assert first.rows[1].record == f"{site.endpoint}/datasets/org/results/blob/{there.refs['main']}/c.json"
        assert [b.task_id for b in found.boards] == [t for t in TASK_IDS if t.startswith("population")]
        assert found.models == 2

    def test_the_query_says_which_models(self, site):
        scored(site, "org/a", 0.9)
        scored(site, "else/b", 0.8, tags=[])
        assert models(load(site.client, query={"author": "else"}).boards[0].rows) == ["else/b"]
        assert models(load(site.client).boards[0].rows) == ["org/a"]

    def test_an_empty_query_asks_for_no_card(self, site):
        scored(site, "org/a", 0.9)
        site.create("org/results", {"c.jsonl": b"{\n"}, kind="datasets")
        found = load(site.client, dataset="org/results", query={})
        assert (found.boards, found.models) == ([], 0)
        assert found.warnings == ["1 line in the dataset org/results could not be read as a result of this version."]
        assert not any(r.path == "/api/models" for r in site.requests)

    def test_another_benchmark_is_another_leaderboard(self, site):
        scored(site, "org/a", 0.9)
        assert load(site.client, benchmark="other/set").boards == []

    def test_a_hub_that_is_gone_is_told_in_a_sentence(self, monkeypatch):
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
        with StandInHub() as gone:
            endpoint = gone.endpoint
        client = Hub(False, endpoint, Pace(attempts=1, sleep=lambda _: None))
        with pytest.raises(RequestError, match=r"cannot look at the dataset org/x: the Hub cannot be reached.*\.$"):
            load(client, dataset="org/x")
        with pytest.raises(RequestError, match=r"cannot list models: the Hub cannot be reached.*\.$"):
            load(client)


class TestKeeper:
    @pytest.fixture
    def keeper(self):
        """A keeper with a clock of its own, and answers that are given to it: a leaderboard or an error."""
        answers, now = [], [0.0]

        def made():
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        found = BoardKeeper(made, seconds=100, again=10, clock=lambda: now[0])
        found.answers, found.now = answers, now
        return found

    def test_it_is_loaded_once_until_it_is_old(self, keeper):
        first, second = leaderboard(), leaderboard(board(row()))
        keeper.answers += [first, second]
        assert keeper.get() is first
        keeper.now[0] = 99
        assert keeper.get() is first
        keeper.now[0] = 100
        assert keeper.get() is second

    def test_a_failure_leaves_the_one_from_before_and_is_tried_again_later(self, keeper):
        first, second = leaderboard(), leaderboard(board(row()))
        keeper.answers += [first, HubError("gone"), second]
        keeper.get()
        keeper.now[0] = 100
        assert keeper.get() is first
        keeper.now[0] = 109
        assert keeper.get() is first
        assert keeper.answers == [second]
        keeper.now[0] = 110
        assert keeper.get() is second

    def test_without_one_from_before_the_failure_is_told_to_all(self, keeper):
        first = leaderboard()
        keeper.answers += [HubError("the Hub cannot be reached."), first]
        for now in (0, 9):
            keeper.now[0] = now
            with pytest.raises(HubError, match="the Hub cannot be reached"):
                keeper.get()
        keeper.now[0] = 10
        assert keeper.get() is first

    def test_who_comes_while_it_is_loaded_gets_the_one_from_before(self):
        first, second = leaderboard(), leaderboard(board(row()))
        now, begun, go, found = [0.0], threading.Event(), threading.Event(), []

        def made():
            if now[0] == 0:
                return first
            begun.set()
            assert go.wait(30)
            return second

        keeper = BoardKeeper(made, seconds=100, clock=lambda: now[0])
        keeper.get()
        now[0] = 100.0
        loading = threading.Thread(target=lambda: found.append(keeper.get()))
        loading.start()
        assert begun.wait(30)
        assert keeper.get() is first
        go.set()
        loading.join(30)
        assert found == [second]
        assert keeper.get() is second

    def test_of_many_first_visitors_one_loads(self):
        begun, go, calls, found = threading.Event(), threading.Event(), [], []

        def made():
            calls.append(1)
            begun.set()
            assert go.wait(30)
            return leaderboard()

        keeper = BoardKeeper(made)
        visitors = [threading.Thread(target=lambda: found.append(keeper.get())) for _ in range(5)]
        for visitor in visitors:
            visitor.start()
        assert begun.wait(30)
        go.set()
        for visitor in visitors:
            visitor.join(30)
        assert (len(calls), len(found)) == (1, 5)
        assert all(one is found[0] for one in found)
