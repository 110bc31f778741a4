"""What is kept on disk: nothing is embedded twice, nothing wrong is ever read, and the cache stays within its limit."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import synbench
from synbench import ArgumentError, EncoderError, cache, preparing
from synbench.entries import Entry, Key, Piece
from synbench.settings import make_settings

from . import checkpoints

KEY = Key(
    encoder="hub:a/b@0123",
    architecture="ViTModel",
    pooling="pooler_output: vector",
    image_shape=(3, 8, 8),
    image_mean=(0.5, 0.5, 0.5),
    image_std=(0.5, 0.5, 0.5),
    channel_order=(0, 1, 2),
    dtype="float32",
    device="cpu",
    protocol="population",
    seed=0,
    direction="uniform",
    scales=(1.0, 2.0),
    renderer=1,
    libraries=(("torch", "2"),),
)
PART = "population"
ASKED = {"images": 1024, "batch_size": 32}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    monkeypatch.delenv(cache.LIMIT_VARIABLE, raising=False)


def piece(start, stop, seed=0):
    rng = np.random.default_rng([seed, start])
    return Piece(
        start, stop, rng.standard_normal((stop - start, 5), dtype=np.float32), rng.standard_normal(stop - start)
    )


def other(value):
    """Return a value of the same type that is another one."""
    match value:
        case str():
            return value + "x"
        case int() | float():
            return value + 1
        case tuple():
            return (*value[:-1], other(value[-1]))
    raise AssertionError(value)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Key)])
def test_another_value_of_any_field_of_the_key_misses(field):
    Entry(KEY, "a/b").write(PART, piece(0, 64))
    changed = dataclasses.replace(KEY, **{field: other(getattr(KEY, field))})
    assert Entry(changed, "a/b").read(PART, 0, 64) == []
    assert len(Entry(KEY, "a/b").read(PART, 0, 64)) == 1


def settings_of(**asked):
    return make_settings(images=asked.pop("images", 64), **asked)


def test_what_changes_the_vectors_of_a_study_changes_its_key(tmp_path):
    folders = [checkpoints.vit(tmp_path / str(seed), seed=seed) for seed in range(2)]
    base = {"image_size": 32, "image_mean": 0.5, "image_std": 0.5}
    plain = preparing.prepare(str(folders[0]), settings_of(), **base)
    keys = {
        "plain": plain,
        "weights": preparing.prepare(str(folders[1]), settings_of(), **base),
        "untrained": preparing.prepare(str(folders[0]), settings_of(), untrained=True, **base),
        "pooling": preparing.prepare(str(folders[0]), settings_of(), pooling="mean", **base),
        "mean": preparing.prepare(str(folders[0]), settings_of(), **{**base, "image_mean": 0.4}),
        "std": preparing.prepare(str(folders[0]), settings_of(), **{**base, "image_std": 0.4}),
        "dtype": preparing.prepare(str(folders[0]), settings_of(), dtype="bfloat16", **base),
        "seed": preparing.prepare(str(folders[0]), settings_of(seed=1), **base),
        "scales": preparing.prepare(str(folders[0]), settings_of(scales=[1.0]), **base),
        "paper": preparing.prepare(str(folders[0]), make_settings(samples=8), **base),
    }
    checkpoints.reconfigure(folders[0], layer_norm_eps=0.1)
    keys["configuration"] = preparing.prepare(str(folders[0]), settings_of(), **base)
    digests = {name: preparing.key_of(s.encoder, s.settings).digest for name, s in keys.items()}
    assert len(set(digests.values())) == len(digests), digests
    more = preparing.prepare(str(folders[1]), settings_of(images=512), **base)
    assert preparing.key_of(more.encoder, more.settings).digest == digests["weights"], "more images are the same entry"


def test_pieces_come_back_in_order_whatever_their_edges():
    entry, whole = Entry(KEY, "a/b"), piece(0, 200)
    for start, stop in [(64, 128), (0, 64), (128, 150), (150, 192), (192, 200), (100, 140)]:
        rows = slice(start, stop)
        entry.write(PART, Piece(start, stop, whole.values[rows], whole.coordinates[rows]))
    for start, stop in [(0, 200), (10, 70), (149, 151), (199, 200)]:
        found = Entry(KEY, "a/b").read(PART, start, stop)
        assert [p.start for p in found] == [start, *(p.stop for p in found[:-1])]
        assert found[-1].stop == stop
        assert np.array_equal(np.concatenate([p.values for p in found]), whole.values[start:stop])
        assert np.array_equal(np.concatenate([p.coordinates for p in found]), whole.coordinates[start:stop])
    assert [(p.start, p.stop) for p in Entry(KEY, "a/b").read(PART, 150, 300)] == [(150, 192), (192, 200)]
    assert Entry(KEY, "a/b").read("train-1000000", 0, 200) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.integers(1, 255))
def test_a_torn_or_changed_file_is_never_read(position, torn, change):
    entry = Entry(KEY, "a/b")
    entry.write(PART, piece(0, 64))
    (file,) = entry.folder.glob("*.safetensors")
    content = bytearray(file.read_bytes())
    at = position % len(content)
    if torn:
        content = content[:at]
    else:
        content[at] ^= change
    file.write_bytes(content)
    reader = Entry(KEY, "a/b")
    found = reader.read(PART, 0, 64)
    if found:
        # A byte of the header's padding or of the names may change without meaning.
        assert np.array_equal(found[0].values, piece(0, 64).values)
        assert np.array_equal(found[0].coordinates, piece(0, 64).coordinates)
    else:
        assert not file.exists()
        assert re.search(
            r"piece of the representations \(images 0 to 63\) was damaged; it was embedded again", *reader.notes
        )


def test_a_write_that_ends_half_way_leaves_no_piece(monkeypatch):
    real = os.fdopen

    def failing(handle, mode):
        stream = real(handle, mode)
        write = stream.write
        half = type("Half", (), {"__enter__": lambda s: s, "__exit__": lambda *_: stream.close(), "write": None})()
        half.write = lambda content: (write(content[: len(content) // 2]), (_ for _ in ()).throw(KeyboardInterrupt))
        return half

    entry = Entry(KEY, "a/b")
    entry.write(PART, piece(0, 64))
    monkeypatch.setattr(os, "fdopen", failing)
    with pytest.raises(KeyboardInterrupt):
        entry.write(PART, piece(64, 128))
    monkeypatch.undo()
    assert [file.name for file in entry.folder.iterdir() if "128" in file.name] == []


def test_a_file_in_the_place_of_another_is_not_read():
    entry = Entry(KEY, "a/b")
    entry.write(PART, piece(0, 64))
    (file,) = entry.folder.glob("*.safetensors")
    file.rename(file.with_name(file.name.replace("000000000-000000064", "000000064-000000128")))
    assert entry.read(PART, 64, 128) == []
    twin = Entry(dataclasses.replace(KEY, seed=1), "a/b")
    twin.write(PART, piece(0, 64, seed=1))
    (theirs,) = twin.folder.glob("*.safetensors")
    theirs.rename(entry.folder / theirs.name)
    assert entry.read(PART, 0, 64) == []
    assert len(entry.notes) == 2


def forbid(monkeypatch):
    """Let no weights be read and no image be drawn."""
    from synbench import embedding

    def refuse(*_, **__):
        raise AssertionError("embedded again")

    monkeypatch.setattr(preparing, "load_encoder", refuse)
    monkeypatch.setattr(embedding, "Renderer", refuse)


def without_time(report):
    values = report.to_dict()
    return {name: value for name, value in values.items() if name not in ("seconds", "from_cache")}


@pytest.mark.parametrize(
    "asked", [ASKED, {"samples": 64, "scales": [2.0, 4.0], "batch_size": 32}], ids=["population", "paper"]
)
def test_a_second_call_reads_all_and_runs_no_forward_pass(asked, monkeypatch):
    first = synbench.score("synbench:demo", **asked)
    assert first.from_cache == 0
    forbid(monkeypatch)
    again = synbench.score("synbench:demo", **asked)
    assert again.from_cache == again.images
    assert without_time(again) == without_time(first)


def test_so_does_the_metric_and_a_comparison_and_the_untrained_twin(metric):
    metric.compute(model="synbench:demo", baseline="untrained", images=512)
    with pytest.MonkeyPatch.context() as closed:
        forbid(closed)
        assert metric.compute(model="synbench:demo", baseline="untrained", images=512)["from_cache"] == 512
    models = ["synbench:demo", lambda images: images.flatten(1)]
    compared = synbench.compare(models, images=512, loading=[{}, {"image_size": 4}])
    found = {report.settings.model.source: report.from_cache for report in compared.reports}
    assert found == {"demo": 512, "callable": 0}


def test_more_images_are_added_to_those_that_are_there():
    synbench.score("synbench:demo", images=1000)
    more = synbench.score("synbench:demo", images=2000)
    assert more.from_cache == 1000
    whole = synbench.score("synbench:demo", images=2000, cache=False)
    assert abs(more.synbench_score - whole.synbench_score) < 1e-5, "batches of another size differ by rounding"
    fewer = synbench.score("synbench:demo", images=500)
    assert fewer.from_cache == 500


def test_fresh_embeds_again_and_keeps_that():
    synbench.score("synbench:demo", **ASKED)
    (entry,) = cache.list_entries()
    before = {f.name: f.stat().st_mtime_ns for f in entry.folder.glob("*.safetensors")}
    assert synbench.score("synbench:demo", **ASKED, fresh=True).from_cache == 0
    after = {f.name: f.stat().st_mtime_ns for f in entry.folder.glob("*.safetensors")}
    assert before.keys() == after.keys()
    assert all(after[name] > before[name] for name in before)
    assert synbench.score("synbench:demo", **ASKED).from_cache == 1024


def test_without_the_cache_nothing_is_written(monkeypatch):
    assert synbench.score("synbench:demo", **ASKED, cache=False).from_cache == 0
    monkeypatch.setenv(cache.LIMIT_VARIABLE, "0")
    assert synbench.score("synbench:demo", **ASKED).from_cache == 0
    assert not cache.root().exists()


def test_modules_and_callables_have_no_name_to_be_kept_by():
    for _ in range(2):
        assert synbench.score(lambda images: images.flatten(1), image_size=4, images=256).from_cache == 0
    assert cache.list_entries() == []


def test_a_damaged_piece_is_embedded_again_and_told():
    first = synbench.score("synbench:demo", **ASKED)
    (entry,) = cache.list_entries()
    file = sorted(entry.folder.glob("*.safetensors"))[3]
    file.write_bytes(file.read_bytes()[:-7])
    mended = synbench.score("synbench:demo", **ASKED)
    assert mended.from_cache == 1024 - 64
    assert [w for w in mended.warnings if "images 192 to 255" in w]
    assert mended.scores == first.scores
    assert synbench.score("synbench:demo", **ASKED).warnings == first.warnings


def test_the_description_of_an_encoder_is_not_trusted_blindly():
    first = synbench.score("synbench:demo", **ASKED)
    for file in (cache.root() / "encoders").iterdir():
        file.write_text("{")
    assert without_time(synbench.score("synbench:demo", **ASKED)) == without_time(first)


def test_a_folder_that_changes_is_another_model(tmp_path):
    folder = checkpoints.vit(tmp_path / "model", seed=0)
    first = synbench.score(str(folder), **ASKED)
    preprocessing = folder / "preprocessor_config.json"
    written = json.loads(preprocessing.read_text())
    preprocessing.write_text(json.dumps({**written, "image_mean": [0.1, 0.2, 0.3]}))
    second = synbench.score(str(folder), **ASKED)
    assert second.from_cache == 0
    assert second.settings.preprocessing != first.settings.preprocessing
    checkpoints.vit(tmp_path / "model", seed=1)
    third = synbench.score(str(folder), **ASKED)
    assert third.from_cache == 0
    assert third.settings.model.weights_sha256 != first.settings.model.weights_sha256


def test_the_cache_stays_within_its_limit_and_gives_up_what_was_not_used_for_longest(monkeypatch):
    monkeypatch.setenv(cache.LIMIT_VARIABLE, "0.0001")
    now = time.time()
    for number in range(3):
        entry = Entry(dataclasses.replace(KEY, seed=number), f"model {number}")
        entry.write(PART, piece(0, 1000))
        os.utime(entry.folder / "key.json", (now - 100 + number,) * 2)
    # 28 kB each: three fit into 100 kB, five do not.
    assert [e.model for e in cache.list_entries()] == ["model 2", "model 1", "model 0"]
    Entry(dataclasses.replace(KEY, seed=0), "model 0")  # used again
    for number in (3, 4):
        Entry(dataclasses.replace(KEY, seed=number), f"model {number}").write(PART, piece(0, 1000))
    kept = {e.model for e in cache.list_entries()}
    assert kept == {"model 0", "model 3", "model 4"}
    assert sum(e.bytes for e in cache.list_entries()) < 100_000


def test_one_study_larger_than_the_limit_goes_on_and_says_so(monkeypatch):
    monkeypatch.setenv(cache.LIMIT_VARIABLE, "0.0001")
    report = synbench.score("synbench:demo", **ASKED)
    assert [w for w in report.warnings if re.search(r"cache is full \(0\.0001 GB\).*SYNBENCH_CACHE_GB", w)]
    assert sum(e.bytes for e in cache.list_entries()) < 100_000
    again = synbench.score("synbench:demo", **ASKED)
    assert 0 < again.from_cache < 1024
    assert again.scores == report.scores


@pytest.mark.parametrize("value", ["ten", "-1", "nan"])
def test_a_limit_that_is_no_number_is_refused(value, monkeypatch):
    monkeypatch.setenv(cache.LIMIT_VARIABLE, value)
    with pytest.raises(ArgumentError, match=rf"SYNBENCH_CACHE_GB must be a number of at least 0.* got '{value}'"):
        synbench.score("synbench:demo", **ASKED)


def test_where_nothing_can_be_kept_the_study_goes_on(tmp_path):
    (tmp_path / "assets").write_text("a file where the folder should be")
    report = synbench.score("synbench:demo", **ASKED)
    assert [w for w in report.warnings if "could not be kept in the cache" in w]
    assert report.scores == synbench.score("synbench:demo", **ASKED, cache=False).scores


def test_what_a_killed_run_left_half_written_is_cleared_away_later():
    entry = Entry(KEY, "a/b")
    entry.write(PART, piece(0, 64))
    old, young = entry.folder / ".old", entry.folder / ".young"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    Entry(KEY, "a/b").write(PART, piece(64, 128))
    assert young.exists()
    assert not old.exists()


def test_weights_that_change_while_they_are_scored_are_not_kept_as_others(tmp_path):
    folder = checkpoints.vit(tmp_path / "model", seed=0)
    first = synbench.score(str(folder), images=128)
    known = preparing.prepare(str(folder), settings_of(images=512))
    original = {f.name: f.read_bytes() for f in folder.iterdir()}
    checkpoints.vit(folder, seed=1)
    with pytest.raises(EncoderError, match=r"expected '.*model' to stay as it is .* its files have changed"):
        list(known.embed())
    for name, content in original.items():
        (folder / name).write_bytes(content)
    again = synbench.score(str(folder), images=512)
    assert again.from_cache == first.images
    assert again.scores == synbench.score(str(folder), images=512, cache=False).scores


def test_an_index_of_shards_is_part_of_what_a_folder_is(tmp_path):
    folder = checkpoints.vit(tmp_path / "model")
    weights = folder / "model.safetensors"
    shards = [folder / f"{name}.safetensors" for name in "ab"]
    shards[0].write_bytes(weights.read_bytes())
    checkpoints.vit(folder, seed=1)
    weights.rename(shards[1])
    from safetensors.torch import load_file

    scores = []
    for shard in shards:
        names = dict.fromkeys(load_file(shard), shard.name)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
        report = synbench.score(str(folder), **ASKED)
        assert report.from_cache == 0
        scores.append(report.scores)
    assert scores[0] != scores[1]


def test_autocast_of_the_caller_does_not_reach_what_is_kept():
    import torch

    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = synbench.score("synbench:demo", **ASKED)
    assert inside.scores == synbench.score("synbench:demo", **ASKED, cache=False).scores


def test_a_folder_with_another_name_is_reported_by_it(tmp_path):
    folder = checkpoints.vit(tmp_path / "checkpoint-1000")
    synbench.score(str(folder), **ASKED)
    moved = folder.rename(tmp_path / "best")
    report = synbench.score(str(moved), **ASKED)
    assert report.from_cache == report.images
    assert report.settings.model.id == str(moved)


def test_what_is_no_plain_file_in_a_folder_is_passed_over(tmp_path):
    folder = checkpoints.vit(tmp_path / "model")
    (folder / "tokenizer.json").symlink_to("/nonexistent")
    (folder / "data.json").mkdir()
    assert synbench.score(str(folder), **ASKED).from_cache == 0
    assert synbench.score(str(folder), **ASKED).from_cache == 1024


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "null", '{"model": 1, "key": []}', '{"model": "m", "key": {"image_shape": "x"}}']
)
def test_a_damaged_key_file_can_be_listed_and_removed(content, capsys):
    from synbench.cli import app

    first = synbench.score("synbench:demo", **ASKED)
    (entry,) = cache.list_entries()
    (entry.folder / "key.json").write_text(content)
    app(["cache", "ls"], standalone_mode=False)
    assert "(damaged)" in capsys.readouterr().out
    again = synbench.score("synbench:demo", **ASKED)
    assert (again.from_cache, again.scores) == (1024, first.scores), "the pieces carry checksums of their own"
    app(["cache", "rm", "--all"], standalone_mode=False)
    assert cache.list_entries() == []


@pytest.mark.parametrize("value", [[], {}, "x", {"record": {}}, {"record": {"source": "demo"}, "contract": []}])
def test_a_description_that_lacks_something_is_not_used(value):
    first = synbench.score("synbench:demo", **ASKED)
    (file,) = (cache.root() / "encoders").iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), "value": value}))
    assert without_time(synbench.score("synbench:demo", **ASKED)) == without_time(first)


def test_an_entry_in_use_is_not_the_first_to_go(monkeypatch):
    from synbench import entries

    monkeypatch.setattr(entries, "_TOUCHED_EVERY", 0.0)
    monkeypatch.setenv(cache.LIMIT_VARIABLE, "0.00008")
    kept = [Entry(dataclasses.replace(KEY, seed=number), f"model {number}") for number in range(3)]
    for entry in kept[:2]:
        entry.write(PART, piece(0, 1000))
        os.utime(entry.folder / "key.json", (time.time() - 100,) * 2)
    assert kept[0].read(PART, 0, 64)
    kept[2].write(PART, piece(0, 1000))
    assert {entry.model for entry in cache.list_entries()} == {"model 0", "model 2"}


def test_an_entry_that_is_removed_while_it_is_written_is_made_again():
    entry = Entry(KEY, "a/b")
    entry.write(PART, piece(0, 64))
    (listed,) = cache.list_entries()
    assert listed.remove()
    entry.write(PART, piece(64, 128))
    assert (entry.notes, [p.start for p in Entry(KEY, "a/b").read(PART, 0, 128)]) == ([], [64])


def test_files_of_the_cache_have_the_permissions_of_new_files(tmp_path):
    Entry(KEY, "a/b").write(PART, piece(0, 64))
    plain = tmp_path / "plain"
    plain.touch()
    (listed,) = cache.list_entries()
    assert {f.stat().st_mode for f in listed.folder.iterdir()} == {plain.stat().st_mode}


def test_reading_an_entry_lists_its_folder_once(monkeypatch):
    from pathlib import Path

    entry = Entry(KEY, "a/b")
    for start in range(0, 640, 64):
        entry.write(PART, piece(start, start + 64))
    os.utime(entry.folder, (time.time() - 10,) * 2)
    reader, lists, real = Entry(KEY, "a/b"), [], Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: lists.append(self) or real(self))
    for start in range(0, 640, 64):
        assert len(reader.read(PART, start, start + 64)) == 1
    assert len(lists) == 1


SCORE = f"""
import json, sys, synbench
report = synbench.score("synbench:demo", **{ASKED!r}, progress=False)
print(json.dumps([report.scores, report.warnings]))
"""


@pytest.mark.slow
def test_two_runs_at_once_share_an_entry(tmp_path):
    alone = synbench.score("synbench:demo", **ASKED, cache=False)
    environment = {**os.environ, "HF_ASSETS_CACHE": str(tmp_path / "assets"), cache.LIMIT_VARIABLE: "10"}
    runs = [
        subprocess.Popen([sys.executable, "-c", SCORE], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    results = [json.loads(run.communicate(timeout=120)[0]) for run in runs]
    assert results == [[alone.scores, alone.warnings]] * 2
    (entry,) = cache.list_entries()
    assert entry.images == 1024
    assert not list(entry.folder.glob(".*"))
    assert synbench.score("synbench:demo", **ASKED).from_cache == 1024


def test_the_command_lists_and_removes(capsys, monkeypatch, tmp_path):
    from synbench.cli import app

    def run(*arguments):
        app(arguments, standalone_mode=False)
        return capsys.readouterr().out

    monkeypatch.setenv("COLUMNS", "100")
    folder = checkpoints.vit(tmp_path / "other")
    for model in ("synbench:demo", str(folder)):
        synbench.score(model, images=256)
    assert run("cache", "path").strip() == str(tmp_path / "assets" / "synbench")
    told = run("cache", "ls")
    assert "synbench:demo" in told
    assert "3×16×16 float32 cpu, population, seed 0" in told
    assert re.search(r"2 entries, \d+ kB of 10\.0 GB\.", told)
    listed = json.loads(run("cache", "ls", "--json"))
    assert {entry["images"] for entry in listed} == {256}
    with pytest.raises(ArgumentError, match="nothing is kept of 'nobody/nothing'"):
        run("cache", "rm", "nobody/nothing")
    with pytest.raises(ArgumentError, match="expected names of models or entries, or --all"):
        run("cache", "rm")
    (name,) = [entry["name"] for entry in listed if entry["model"] == str(folder)]
    assert run("cache", "rm", name).startswith("removed 1 entry, 0.")
    assert [entry.model for entry in cache.list_entries()] == ["synbench:demo"]
    assert run("cache", "rm", "--all").startswith("removed 1 entry")
    assert not list(cache.root().rglob("*.*"))
