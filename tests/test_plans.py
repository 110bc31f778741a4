"""Plans: what is written is read back, what a person writes wrong is told with its line, and it costs a moment."""

import random
import re
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.annotation import plan_settings, plans, selecting
from hub_tools.annotation.plans import Plan, PlannedModel, from_yaml, parse_models, parse_shard, shard_of, to_yaml
from hub_tools.annotation.selecting import Query, unfit
from synbench.errors import ArgumentError

from .reports import make_report

A, B = "a" * 40, "b" * 40
NAME = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9_]|[.-](?![.-])){0,20}[A-Za-z0-9]", fullmatch=True).filter(
    lambda name: not name.endswith(".git")
)
COUNT = st.none() | st.integers(0, 10**12)
MODEL = st.builds(
    PlannedModel,
    st.builds("{}/{}".format, NAME, NAME),
    # Digits alone, and digits with an e, are what YAML reads as numbers.
    st.text("0123456789abcdef", min_size=40, max_size=40) | st.text("0123456789e", min_size=40, max_size=40),
    COUNT,
    COUNT,
    COUNT,
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "images": st.integers(64, 10**6),
        "seed": st.integers(0, 2**32),
        "scales": st.lists(st.floats(0.1, 9), min_size=1, max_size=4, unique_by=lambda s: round(s, 3)),
        "pooling": st.sampled_from(["cls", "cls+mean"]),
        "image_mean": st.floats(0, 1) | st.lists(st.floats(0, 1), min_size=3, max_size=3),
        "dtype": st.just("float64"),
        "baseline": st.just("untrained"),
    },
)


@given(st.lists(MODEL, unique_by=lambda model: model.id.lower()), SETTINGS)
def test_a_plan_is_read_as_it_was_written(models, settings):
    plan = Plan(tuple(models), plan_settings.checked(settings), {"tasks": ["x"]}, {"gated": 3})
    text = to_yaml(plan)
    again = from_yaml(text)
    assert again.models == tuple(sorted(models, key=lambda model: model.id.lower()))
    assert (again.settings, again.query, again.left_out) == (plan.settings, plan.query, plan.left_out)
    assert to_yaml(again) == text
    # Other readers of YAML see the same.
    plain = yaml.load(text, Loader=yaml.CSafeLoader)["models"] if yaml.__with_libyaml__ else []
    assert all(line["commit"] in {model.commit for model in models} for line in plain)
    assert len([line for line in text.splitlines() if line.startswith("- {id: ")]) == len(models)


def test_a_deleted_line_is_a_model_less(tmp_path):
    path = tmp_path / "plan.yaml"
    plans.write_plan(Plan((PlannedModel("org/a", A), PlannedModel("org/b", B, 5, 20, 7))), path)
    path.write_text(path.read_text().replace(f"- {{id: org/a, commit: {A}}}\n", ""))
    assert plans.read_plan(path).models == (PlannedModel("org/b", B, 5, 20, 7),)


def test_a_plan_is_not_overwritten_unasked(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text("mine")
    with pytest.raises(
        ArgumentError, match=r"is there already, and may have been edited. Give another name, or --overwr"
    ):
        plans.write_plan(Plan(()), path)
    assert path.read_text() == "mine"
    plans.write_plan(Plan(()), path, overwrite=True)
    assert plans.read_plan(path) == Plan(())


HEAD = "plan: 1\nsettings:\n  images: 1024\n  seed: 0\nmodels:\n"
LINE = f"- {{id: org/a, commit: {A}}}\n"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (
            HEAD + LINE + "- {id: org/b, commit: main}\n",
            7,
            "expected commit: and its 40 hexadecimal digits, got 'main'",
        ),
        (HEAD + LINE + f"- {{id: b, commit: {B}}}\n", 7, "expected id: and the name of a model on the Hub"),
        (HEAD + LINE + f"- {{id: ../b, commit: {B}}}\n", 7, "expected id:"),
        (HEAD + LINE + f"- {{commit: {B}}}\n", 7, "expected id: .* got None"),
        (
            HEAD + LINE + f"- {{id: org/b, commit: {B}, bytes: many}}\n",
            7,
            "expected a whole number as bytes, got 'many'",
        ),
        (HEAD + LINE + f"- {{id: org/b, commit: {B}, sise: 3}}\n", 7, "'sise' is nothing that a plan tells"),
        (HEAD + LINE + f"- {{id: org/b, id: org/c, commit: {B}}}\n", 7, "'id' stands there twice"),
        (HEAD + LINE + f"- {{id: Org/A, commit: {B}}}\n", 7, "'Org/A' stands in line 6 already"),
        (HEAD + LINE + "- org/b\n", 7, "expected names with values"),
        (HEAD + LINE + "- {id: org/b\n- {}\n", 8, "is no YAML"),
        (HEAD + LINE + "\t- {id: org/b}\n", 7, "is no YAML"),
        (HEAD.replace("1024", "3") + LINE, 3, "images must be an integer of at least 64, got 3"),
        (HEAD.replace("images", "image") + LINE, 3, "'image' is no setting of a plan. Known are protocol, images"),
        (HEAD.replace("seed: 0", "device: cpu") + LINE, 4, "device, batch size and the like belong to the machine"),
        (HEAD.replace("seed: 0", "dtype: int8") + LINE, 4, "dtype must be one of 'float32'"),
        (HEAD.replace("seed: 0", "image_size: big") + LINE, 4, "image_size must be a whole number"),
        (HEAD.replace("seed: 0", "images: 2048") + LINE, 4, "'images' stands there twice"),
        (HEAD.replace("plan: 1", "plan: 2") + LINE, 1, "expected plan: 1"),
        ("model: []\n", 1, "'model' is no part of a plan"),
        ("plan: 1\n", 1, "expected models: and a line for each"),
        ("plan: 1\nmodels: org/a\n", 2, "expected models: and a line for each"),
        ("plan: 1\nsettings: fast\nmodels: []\n", 2, "expected settings by name, got str"),
        ("plan: 1\nsettings: {seed: !!python/name:os.system x}\nmodels: []\n", 2, "is no YAML"),
        ("- a\n", 1, "expected names with values"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text, line, problem):
    with pytest.raises(ArgumentError, match=rf"^line {line} of 'plan'.*{problem}"):
        from_yaml(text)


def test_what_cannot_be_read_at_all_is_told(tmp_path):
    with pytest.raises(ArgumentError, match=r"cannot read the plan .*: No such file"):
        plans.read_plan(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("# für\nplan: 1\n".encode("latin-1"))
    with pytest.raises(ArgumentError, match="expected a plan in UTF-8"):
        plans.read_plan(tmp_path / "latin.yaml")
    with pytest.raises(ArgumentError, match="'plan': expected names with values"):
        from_yaml("")


def test_ten_thousand_models_are_read_in_a_moment():
    rng = random.Random(0)
    models = [PlannedModel(f"org{i}/m-{i}", f"{rng.getrandbits(160):040x}", i, 4 * i, i) for i in range(10_000)]
    text = to_yaml(Plan(tuple(models)))
    began = time.process_time()
    assert len(from_yaml(text).models) == 10_000
    assert time.process_time() - began < 10


def test_shards_hold_each_model_once_and_are_counted_from_one():
    assert [parse_shard(text) for text in ("1/1", "3/8")] == [(1, 1), (3, 8)]
    for n in (1, 3, 7):
        shards = [shard_of(range(20), (i, n)) for i in range(1, n + 1)]
        assert sorted(model for shard in shards for model in shard) == list(range(20))
        assert max(map(len, shards)) - min(map(len, shards)) <= 1
    for text in ("0/8", "9/8", "1", "1/0", "a/b", "-1/3", "1/3/5"):
        with pytest.raises(ArgumentError, match="expected a shard as i/n with i from 1 to n"):
            parse_shard(text)


def test_models_of_a_command_line():
    assert parse_models(f"org/a@{A}, org/b@{B}") == (PlannedModel("org/a", A), PlannedModel("org/b", B))
    for text in ("", "org/a", "org/a@main", f"../a@{A}", f"org/a@{A},"):
        with pytest.raises(ArgumentError, match="expected models as id@commit"):
            parse_models(text)
    with pytest.raises(ArgumentError, match="expected each model once"):
        parse_models(f"org/a@{A},Org/a@{B}")


FILES = [{"rfilename": name} for name in ("config.json", "model.safetensors", "README.md")]
GOOD = {"id": "org/a", "sha": A, "private": False, "gated": False, "disabled": False, "siblings": FILES, "downloads": 9}


@pytest.mark.parametrize(
    ("told", "query", "reason"),
    [
        ({}, {}, None),
        ({"private": True}, {}, "private"),
        ({"gated": "manual"}, {}, "gated"),
        ({"disabled": True}, {}, "disabled"),
        ({"sha": None}, {}, "no commit told"),
        ({"id": "gpt2"}, {}, "id that is not known"),
        ({"siblings": FILES[:1]}, {}, "no model.safetensors"),
        ({"siblings": FILES[1:]}, {}, "no config.json"),
        ({"siblings": [*FILES[:1], {"rfilename": "model.safetensors.index.json"}]}, {}, None),
        ({"siblings": None}, {}, "no model.safetensors"),
        ({"siblings": None, "safetensors": {"parameters": {"F32": 3}}}, {}, None),
        ({"tags": ["custom_code"]}, {}, "code of its own"),
        ({}, {"min_downloads": 10}, "too few downloads"),
        ({}, {"max_bytes": 10}, "size not told"),
        ({"safetensors": {"parameters": {"F32": 3}}}, {"max_bytes": 12}, None),
        ({"safetensors": {"parameters": {"F32": 3}}}, {"max_bytes": 11}, "too large"),
        ({"safetensors": {"parameters": {"BF16": 3, "I64": 1, "BOOL": 2, "F8_E4M3": 1}}}, {"max_bytes": 17}, None),
        (
            {"safetensors": {"parameters": {"BF16": 3, "I64": 1, "BOOL": 2, "F8_E4M3": 1}}},
            {"max_bytes": 16},
            "too large",
        ),
        ({"safetensors": {"parameters": {"F32": 3, "I64": 1}}}, {"max_parameters": 4}, None),
        ({"safetensors": {"parameters": {"F32": 3, "I64": 1}}}, {"max_parameters": 3}, "too large"),
        ({"safetensors": {"parameters": "odd", "total": 3}}, {"max_parameters": 3}, "size not told"),
    ],
)
def test_why_a_model_is_left_out(told, query, reason):
    assert unfit({**GOOD, **told}, Query(**query)) == reason


def test_lists_of_models(tmp_path):
    path = tmp_path / "models.txt"
    path.write_text("# ours\norg/a  # the first\n\norg/b\norg/a\n")
    assert selecting.read_ids(path) == ["org/a", "org/b"]
    path.write_text("org/a\nb\n")
    with pytest.raises(
        ArgumentError, match=r"line 2 of .*: expected the id of a model on the Hub, such as org/model, got 'b'"
    ):
        selecting.read_ids(path)
    with pytest.raises(ArgumentError, match="cannot read the list of models"):
        selecting.read_ids(tmp_path / "none.txt")


def test_settings_name_what_they_ask_for():
    digest = plan_settings.digest
    assert digest({}) == digest({"protocol": "population", "images": 8192, "seed": 0, "dtype": "float32"})
    others = [
        {"seed": 1},
        {"images": 64},
        {"samples": 64},
        {"pooling": "cls"},
        {"dtype": "float64"},
        {"scales": [1.0, 2.0]},
    ]
    assert len({digest(asked) for asked in [{}, *others]}) == 7


@pytest.mark.parametrize(
    ("changes", "asked", "problem"),
    [
        ({}, {}, None),
        ({}, {"seed": 1}, "seed is 0, expected 1"),
        ({}, {"images": 4096}, "it is of 8192 images, expected 4096"),
        ({"images": 4096}, {}, "it is of 4096 images, expected 8192"),
        ({"images": 5 * 8192}, {}, "it is of 40960 images, expected 8192"),
        ({"images": 5 * 8192, "bent": True}, {}, None),
        ({"images": 3 * 8192, "bent": True}, {}, "it is of 24576 images"),
        ({}, {"target_stderr": 0.01}, "target_stderr is None, expected 0.01"),
        ({"images": 9000, "settings": {"target_stderr": 0.01, "max_images": 65536}}, {"target_stderr": 0.01}, None),
        ({}, {"protocol": "paper"}, "protocol is population, expected paper"),
        ({"protocol": "paper"}, {"samples": 2048}, None),
        ({"protocol": "paper"}, {"samples": 64}, "samples is 2048, expected 64"),
        ({}, {"scales": [1.0, 2.0]}, "scales is"),
        ({}, {"epsilons": [0.2, 0.4, 0.6, 0.8]}, None),
        ({}, {"epsilons": [0.2]}, "epsilons is"),
        ({}, {"dtype": "float64"}, "dtype is float32, expected float64"),
        ({}, {"baseline": "untrained"}, "baseline is None, expected untrained"),
        ({}, {"image_size": 16}, None),
        ({}, {"image_size": [16, 8]}, r"image_size is \[16, 16\], expected \[16, 8\]"),
        ({}, {"image_mean": 0.5}, None),
        ({}, {"image_mean": [0.5, 0.5, 0.4]}, "image_mean is"),
        ({}, {"pooling": "cls"}, "pooling is by the rule"),
        ({"model": {"pooling_reason": "asked for"}}, {"pooling": "cls"}, None),
        ({"model": {"pooling_reason": "asked for"}}, {}, "pooling was asked for"),
    ],
)
def test_results_of_other_settings_are_told_apart(changes, asked, problem):
    changes = dict(changes)
    if changes.pop("bent", False):
        changes["diagnostics"] = {**make_report().to_dict()["diagnostics"], "linear": False, "bands": 5}
    found = plan_settings.other_settings(make_report(**changes), plan_settings.checked(asked))
    assert found is None if problem is None else re.match(problem, found or "")
