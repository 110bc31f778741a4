"""Registering the metric under its bare name: idempotent, harmless to others, with a sentence on failure."""

import os
import time

import pytest

from synbench import OutputError, register, registration, unregister


@pytest.fixture
def modules(tmp_path, monkeypatch):
    from evaluate import config

    monkeypatch.setattr(config, "HF_MODULES_CACHE", tmp_path)
    return tmp_path


def files(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file())


def test_twice_is_once(modules):
    first = register()
    content = first.read_text()
    assert register() == first
    assert files(modules) == [first]
    assert first.read_text() == content
    assert len(first.parent.name) == 64, "evaluate looks at folders with a name of 64 characters only"


def test_the_registered_copy_is_the_newest(modules):
    script = register()
    older = script.parent.parent / ("0" * 64) / "synbench.py"
    older.parent.mkdir()
    older.write_text("")
    os.utime(older, (time.time(), time.time() - 1))
    os.utime(script, (0, 0))
    register()
    assert script.stat().st_mtime > older.stat().st_mtime


def test_removal_leaves_nothing_of_ours_and_all_of_others(modules):
    script = register()
    other = script.parent.parent / ("1" * 64) / "synbench.py"
    other.parent.mkdir()
    other.write_text("")
    (script.parent / "__pycache__").mkdir()
    (script.parent / "__pycache__" / "synbench.cpython-311.pyc").write_bytes(b"")
    assert unregister() is True
    assert files(modules) == [other]
    assert unregister() is False


def test_removal_takes_empty_folders_too(modules):
    register()
    unregister()
    assert not (modules / "evaluate_modules" / "metrics" / "evaluate-metric--synbench").exists()


def test_a_cache_that_cannot_be_written_is_named(modules, monkeypatch):
    (modules / "evaluate_modules").write_text("a file where a folder is needed")
    with pytest.raises(
        OutputError, match=r"cannot write to the module cache of evaluate .* Point HF_HOME or HF_MODULES"
    ):
        register()
    assert registration.OutputError.exit_code == 2
