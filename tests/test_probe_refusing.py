"""What is said where a data set, a file or a number is not what a probing expects."""

import json

import datasets
import numpy as np
import pytest
from PIL import Image

import synbench
from synbench import ArgumentError
from synbench.comparison import Comparison
from synbench.probe.asking import Asked
from synbench.probe.choosing import choose
from synbench.probe.columns import class_names
from synbench.probe.measuring import probe
from synbench.probe.opening import open_dataset
from synbench.probe.record import ProbeReport
from synbench.report import Report

HOW = {"Cs": [1.0], "attack_images": 0, "image_size": 4, "cache": False, "score": False, "epsilons": [0.0]}


def pictures(labels):
    rng = np.random.default_rng(0)
    shown = [Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)) for _ in labels]
    return datasets.Dataset.from_dict(
        {"image": shown, "label": list(labels)},
        features=datasets.Features(image=datasets.Image(), label=datasets.Value("int64")),
    )


def test_how_all_pictures_are_taken_is_told_for_both_ways():
    with pytest.raises(ArgumentError, match="got -1; all are taken by 0 on the command line, and by None in Python"):
        Asked(train_images=-1)


def test_more_folds_than_pictures_are_refused_or_told():
    with pytest.raises(ArgumentError, match=r"folds must be at most train_images, 5,000, .* got 1,000,000,000; 5 is"):
        Asked(folds=1_000_000_000)
    assert Asked(folds=100, train_images=None).folds == 100
    data = datasets.DatasetDict(train=pictures([0, 1] * 4), test=pictures([0, 1] * 4))
    report = probe(lambda x: x.flatten(1), data, folds=100, **HOW)
    assert report.folds == 8
    assert "There are 8 pictures to fit on, so there were 8 folds of one picture each." in report.warnings


def test_integers_below_0_are_no_labels():
    data = pictures([-1, 0, 1, -7] * 5)
    assert class_names(data, "label") == ([None, "0", "1", None] * 5, ["0", "1"])
    chosen = choose(open_dataset(datasets.DatasetDict(train=data, test=data)))
    assert chosen.classes == ["0", "1"]
    assert chosen.warnings[0] == "10 pictures of the split 'train' have no label, and were left out."
    signs = open_dataset(datasets.DatasetDict(train=pictures([-1, 1] * 5)))
    with pytest.raises(ArgumentError, match=r"got 1\..* 5 pictures have no label .*cast_column\('label', datasets.Va"):
        choose(signs)


@pytest.mark.parametrize("split", [True, False])
def test_the_column_of_labels_is_named_where_its_classes_are_too_small(split):
    data = pictures(range(20)).rename_column("label", "image_id")
    given = datasets.DatasetDict({"train": data, **({"test": data} if split else {})})
    with pytest.raises(ArgumentError, match=r"in the column 'image_id'\..* another label_column="):
        choose(open_dataset(given))


@pytest.mark.parametrize("alone", [True, False])
def test_an_empty_split_that_was_saved_is_told(tmp_path, alone):
    empty = pictures([0, 1]).select([])
    (empty if alone else datasets.DatasetDict(train=pictures([0, 1]), test=empty)).save_to_disk(tmp_path / "kept")
    said = "but the dataset '.*kept' is empty" if alone else "but the split 'test' of the dataset '.*kept' is empty"
    with pytest.raises(ArgumentError, match=f"expected pictures in every split, {said}"):
        open_dataset(tmp_path / "kept")


def test_a_record_of_another_kind_is_told_by_its_name(tmp_path):
    data = datasets.DatasetDict(train=pictures([0, 1] * 4), test=pictures([0, 1] * 4))
    measured = probe(lambda x: x.flatten(1), data, **HOW)
    (tmp_path / "p.json").write_text(measured.to_json())
    said = r"expected a SynBench result, but this is a probe report\. Pass a result of synbench score --output\."
    with pytest.raises(ArgumentError, match=said):
        Report.read(tmp_path / "p.json")
    with pytest.raises(ArgumentError, match="expected a SynBench comparison, but this is a probe report"):
        Comparison.from_dict(json.loads(measured.to_json()))
    scored = synbench.score(lambda x: x.flatten(1), image_size=4, images=512)
    with pytest.raises(ArgumentError, match="expected a SynBench probe report, but this is a result"):
        ProbeReport.from_dict(scored.to_dict())
    with pytest.raises(ArgumentError, match="of schema version 2, but"):
        ProbeReport.from_dict({"levels": []})
