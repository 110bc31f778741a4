"""A study told while it runs: it ends with what ``score`` gives, and says on its way what fewer images give."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from synbench import ArgumentError, EncoderError, cache, score, streaming
from synbench.settings import make_settings
from synbench.streaming import stream

from .test_protocols import saturating

PIECE = 256
"""Images of a block of the demo encoder, and of a tiny callable, at the least."""


@pytest.fixture
def _every_block(monkeypatch):
    """Let blocks keep their least size, and an estimate follow each: on its own, the clock decides."""
    monkeypatch.setattr(streaming, "_SHARE", 0.0)
    monkeypatch.setattr(streaming, "_BLOCK_SECONDS", 0.0)


@pytest.fixture
def _cached(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    monkeypatch.delenv(cache.LIMIT_VARIABLE, raising=False)


def linear(images):
    return images.flatten(1) @ _MATRIX


_TINY = {"image_size": (3, 2, 2)}
_MATRIX = torch.tensor(np.random.default_rng(7).standard_normal((12, 6)), dtype=torch.float32)


def without_time(report):
    return _timeless(report.to_dict())


def _timeless(value):
    if isinstance(value, dict):
        return {name: _timeless(one) for name, one in value.items() if name != "seconds"}
    return [_timeless(one) for one in value] if isinstance(value, list) else value


def told(model, baseline=None, how=None, **asked):
    """Return all partial results of a study."""
    return list(stream(model, make_settings(**asked), baseline=baseline, **(how or {})))


def check_way(partials):
    """Check what holds of every study: of one encoder, images only grow, and stay within their total, which grows."""
    for twin in (False, True):
        own = [partial for partial in partials if partial.twin is twin and not (twin and partial.done)]
        for one, then in pairwise(own):
            assert one.images <= then.images
            assert one.total <= then.total
        for partial in own:
            assert 0 <= partial.images <= partial.total
    assert all(partial.report.images == partial.images for partial in partials if partial.report is not None)
    assert [partial.done for partial in partials] == [False] * (len(partials) - 1) + [True]
    assert partials[0].images == 0
    assert partials[0].scored is None, "the first comes before the first image"


@pytest.mark.parametrize("baseline", [None, "untrained"])
def test_the_last_one_is_that_of_score_number_for_number(baseline):
    partials = told("synbench:demo", images=1024, seed=3, baseline=baseline, how={"cache": False})
    check_way(partials)
    last = partials[-1]
    expected = score("synbench:demo", images=1024, seed=3, baseline=baseline, cache=False)
    assert without_time(last.report) == without_time(expected)
    assert (last.report.baseline is None) == (baseline is None)
    assert last.images == last.total == expected.images == 1024
    assert last.scored.contributions() is not None
    assert any(partial.twin for partial in partials) == (baseline is not None)


@pytest.mark.usefixtures("_cached")
@pytest.mark.parametrize("baseline", [None, "untrained"])
def test_it_is_the_same_from_the_cache_and_goes_on_from_what_another_left(baseline):
    asked = {"images": 768, "seed": 5}
    score("synbench:demo", **{**asked, "images": 512}, baseline=baseline)
    first = told("synbench:demo", **asked, baseline=baseline)[-1].report
    assert first.from_cache >= 512, "the first 512 images lay in the cache"
    kept = told("synbench:demo", **asked, baseline=baseline)
    check_way(kept)
    expected = score("synbench:demo", **asked, baseline=baseline)
    assert expected.from_cache == kept[-1].report.from_cache
    assert without_time(kept[-1].report) == without_time(expected)
    fresh = score("synbench:demo", **asked, baseline=baseline, cache=False)
    assert first.scores == kept[-1].report.scores == fresh.scores


@pytest.mark.usefixtures("_every_block")
@pytest.mark.parametrize(
    ("model", "asked"),
    [
        (saturating, {"images": 768}),
        (linear, {"images": 512, "target_stderr": 0.004}),
        (linear, {"images": 256, "target_stderr": 1e-6, "max_images": 1000}),
        (saturating, {"images": 512, "target_stderr": 0.006, "max_images": 8000}),
    ],
    ids=["bent", "error", "error out of reach", "bent, error"],
)
def test_more_images_are_asked_for_on_the_way_as_by_score(model, asked):
    partials = told(model, **asked, how=_TINY)
    check_way(partials)
    report = partials[-1].report
    assert without_time(report) == without_time(score(model, **_TINY, **asked))
    assert report.images > asked["images"]
    assert partials[0].total == asked["images"]
    assert partials[-1].total == report.images


@pytest.mark.usefixtures("_every_block")
def test_on_its_way_it_tells_what_score_gives_of_so_many_images():
    partials = told(linear, images=2048, how=_TINY)
    check_way(partials)
    between = [partial for partial in partials if partial.report is not None]
    assert [partial.images for partial in between] == list(range(2 * PIECE, 2049, PIECE))
    for partial in between:
        expected = score(linear, images=partial.images, **_TINY)
        assert partial.report.images == partial.images == expected.images
        assert partial.report.synbench_score == expected.synbench_score
        assert partial.report.kappa == expected.kappa
        assert partial.report.interval == expected.interval


@pytest.mark.usefixtures("_every_block")
def test_intervals_shrink_with_the_root_of_the_images():
    partials = told(linear, images=4096, how=_TINY)
    between = [partial for partial in partials if partial.report is not None]
    assert len(between) == 15
    # An interval's width is itself estimated; from 512 images on, to some tenths of itself.
    wide = np.array([p.report.interval[1] - p.report.interval[0] for p in between])
    level = wide * np.sqrt([p.images for p in between])
    assert (np.abs(level / level[-1] - 1) < 0.4).all()
    assert wide[-1] < 0.5 * wide[0]


@pytest.mark.usefixtures("_every_block")
def test_an_estimate_waits_until_there_are_twice_as_many_images_as_dimensions():
    def wide(images):
        rows = images.flatten(1) @ torch.linspace(1, 2, 700).repeat(12, 1)
        return rows + torch.sin(9 * rows)

    partials = told(wide, images=2048, how=_TINY)
    between = [partial.images for partial in partials if partial.report is not None and not partial.done]
    assert between == [1536, 1792]


@pytest.mark.usefixtures("_every_block")
def test_whoever_stops_asking_stops_the_work():
    seen = []

    def counting(images):
        seen.append(len(images))
        return linear(images)

    steps = stream(counting, make_settings(images=16384), image_size=(3, 2, 2))
    next(steps)
    before = sum(seen)
    assert before < 10, "loading looks at some, but the study has not begun"
    partial = next(steps)
    while partial.images < 512:
        partial = next(steps)
    done = sum(seen)
    assert done == before + 512
    steps.close()
    assert sum(seen) == done
    assert list(steps) == []


def test_what_it_asks_of_an_encoder_is_what_score_asks():
    counts = []
    for run in (lambda model: told(model, images=1000, how=_TINY), lambda model: score(model, images=1000, **_TINY)):
        seen = []

        def counting(images, seen=seen):
            seen.append(len(images))
            return linear(images)

        run(counting)
        counts.append(seen)
    assert counts[0] == counts[1]
    assert sum(counts[0]) >= 1000


def test_the_paper_protocol_is_refused():
    with pytest.raises(ArgumentError, match=r"expected settings of the population protocol, got 'paper'.*score\(\)"):
        next(stream("synbench:demo", make_settings(samples=64)))
    with pytest.raises(ArgumentError, match="baseline must be 'untrained' or None"):
        next(stream("synbench:demo", make_settings(images=1024), baseline="twin"))
    with pytest.raises(ArgumentError, match="compares a model with its untrained twin"):
        next(stream("synbench:demo", make_settings(images=1024), baseline="untrained", untrained=True))


def test_an_error_of_the_encoder_comes_out_as_of_score():
    calls = []

    def broken(images):
        calls.append(len(images))
        if len(calls) > 5:
            raise ZeroDivisionError("half way")
        return linear(images)

    with pytest.raises(EncoderError, match="ZeroDivisionError: half way"):
        told(broken, images=8192, how=_TINY)
    assert len(calls) == 6
