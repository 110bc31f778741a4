"""The record: it comes back whole, its schema is the published one, and nothing undefined gets in as a number."""

import json
import math

import jsonschema
import pytest
from pydantic import ValidationError

from synbench import ArgumentError, Report, json_schema, score
from synbench.report import SCHEMA_FILE


@pytest.fixture(scope="module")
def report():
    return score("synbench:demo", samples=16, scales=[0.1, 2.0], thresholds=[0.7, 0.999])


def test_round_trip(report):
    assert Report.from_dict(report.to_dict()) == report
    assert Report.from_dict(json.loads(report.to_json())) == report


def test_published_schema_is_the_current_one_and_fits(report):
    published = json.loads(SCHEMA_FILE.read_text())
    assert published == json_schema(), "run: python -m synbench.report"
    jsonschema.Draft202012Validator.check_schema(published)
    validator = jsonschema.Draft202012Validator(published)
    validator.validate(report.to_dict())
    for spoiled in (
        {**report.to_dict(), "synbench_score": "high"},
        {**report.to_dict(), "extra": 1},
        {k: v for k, v in report.to_dict().items() if k != "settings"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(spoiled)


def test_undefined_is_none_and_never_nan(report):
    assert report.scores[0][1] is None
    with pytest.raises(ValidationError, match="finite"):
        report.model_validate({**report.to_dict(), "synbench_score": math.nan})


def test_values_are_plain_python(report):
    def walk(value):
        if isinstance(value, dict):
            for part in value.values():
                yield from walk(part)
        elif isinstance(value, list):
            for part in value:
                yield from walk(part)
        else:
            yield type(value)

    assert set(walk(report.to_dict())) <= {float, int, str, bool, type(None)}


def test_records_cannot_be_changed(report):
    with pytest.raises(ValidationError, match="frozen"):
        report.seconds = 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, r"schema version 3, but schema_version: Input should be 3.* Read it with the SynBench"),
        ({"surprise": 1}, r"surprise: Extra inputs are not permitted"),
        ({"images": "x"}, r"images: Input should be a valid integer"),
        ({"scales": [1.0]}, r"accuracy must have 5 rows of 1"),
        ({"bound": []}, r"bound must have 5 rows of 2"),
    ],
)
def test_foreign_records_are_refused(report, change, message):
    with pytest.raises(ArgumentError, match=message):
        Report.from_dict({**report.to_dict(), **change})
