"""What a probing looks like: the picture and the tables, of few and many, of long names and none."""

import datasets
import numpy as np
import pytest
from PIL import Image

import synbench
from synbench.probe.drawing import plot_probe, save_probe
from synbench.probe.intervals import wilson
from synbench.probe.lettering import apart, shortened, width_of
from synbench.probe.measuring import probe
from synbench.probe.printing import print_probe
from synbench.probe.record import Difference, ProbeReport

EPSILONS = [0.0, 0.2, 0.4, 0.6, 0.8]
RADII = [0.1, 0.25, 0.5, 1.0]


def pictures(labels):
    rng = np.random.default_rng(0)
    shown = [Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)) for _ in labels]
    return datasets.Dataset.from_dict(
        {"image": shown, "label": list(labels)},
        features=datasets.Features(image=datasets.Image(), label=datasets.Value("int64")),
    )


@pytest.fixture(scope="module")
def measured():
    """A small one without attacks, which tests change into what they are about."""
    data = datasets.DatasetDict(train=pictures([0, 1] * 20), test=pictures([0, 1] * 20))
    how = {"Cs": [1.0], "folds": 2, "attack_images": 0, "image_size": 4, "cache": False}
    return probe(lambda x: x.flatten(1), data, epsilons=[0.0, 0.2], score=False, **how)


def told(measured, epsilons=EPSILONS, radii=RADII, shares=None, recommended=..., warnings=()):
    """Return the report with these ε and radii; shares of radii are by row."""
    from synbench.probe.recommendation import Recommendation
    from synbench.probe.record import AttackTold

    attack = radii and AttackTold(
        library="foolbox", version="3.3.4", names=["DDN"], steps=5, pictures=100, radii=radii,
        vanishing=[0.0] * len(epsilons),
    )  # fmt: skip
    levels = []
    for row, epsilon in enumerate(epsilons):
        robust = None if not radii else shares[row] if shares else [round(0.9 - 0.1 * k, 2) for k in range(len(radii))]
        level = measured.levels[0].model_copy(
            update={
                "epsilon": epsilon,
                "clean": 0.95 - row / 100,
                "clean_interval": [0.9, 0.99],
                "certified": [round((95 - 7 * k - row) / 100, 2) for k in range(len(epsilons))],
                "robust": robust,
                "robust_interval": robust and [wilson(round(100 * s), 100) for s in robust],
                "robust_difference": robust and [Difference(value=0.0, interval=[0.0, 0.0])] * len(robust),
                "median_perturbation": 0.1234 if radii else None,
            }
        )
        levels.append(level)
    advice = None
    if recommended is not ...:
        zeros = [0.0] * len(EPSILONS)
        advice = Recommendation(
            threshold=0.7, epsilon=recommended, best=0.0, as_good=[0.0], epsilons=EPSILONS, scores=zeros, behind=zeros,
            behind_interval=[[0.0, 0.0]] * len(EPSILONS), margin=0.01, paired=True, protocol="population", meaning="",
        )  # fmt: skip
    made = measured.model_copy(
        update={"levels": levels, "attack": attack or None, "recommendation": advice, "warnings": list(warnings)}
    )
    return ProbeReport.from_dict(made.to_dict())


def drawn(report):
    """Return the axes of the picture once it is laid out, with the boxes of its texts by what they say."""
    figure = plot_probe(report)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    texts = [text for text in axes.findobj(lambda artist: hasattr(artist, "get_text")) if text.get_text()]
    return axes, {text.get_text(): text.get_window_extent() for text in texts}


@pytest.mark.parametrize(
    "heights",
    [[0.2, 0.08, 0.04, 0, 0], [1, 1, 1, 1, 1], [0.99, 0.98, 0.5, 0.5, 0.01, 0, 0, 0, 0], [0.5] * 25, [0.3]],
)
def test_names_beside_the_lines_are_apart_and_within_the_axes(heights):
    moved = np.array(apart(heights))
    order = np.lexsort((-np.arange(len(heights)), heights))
    assert (np.diff(moved[order]) > min(0.05, 0.98 / max(len(heights) - 1, 1)) - 1e-9).all()
    assert moved.min() > 0.02 - 1e-9
    assert moved.max() < 1 + 1e-9


def test_of_equal_radii_the_larger_one_is_lower_and_names_that_are_apart_stay():
    first, second, third = apart([0.9, 0.3, 0.3])
    assert (first, second > third) == (0.9, True)
    assert (second + third) / 2 == pytest.approx(0.3)


def test_no_texts_of_the_picture_cover_each_other(measured):
    shares = [[0.0, 0.0, 0.0, 0.0]] * 5
    for report in (told(measured, recommended=0.4), told(measured, shares=shares, recommended=None)):
        _, boxes = drawn(report)
        shown = list(boxes.items())
        for at, (one, box) in enumerate(shown):
            for other, second in shown[:at]:
                beside = box.x0 >= second.x1 or second.x0 >= box.x1 or box.y0 >= second.y1 or second.y0 >= box.y1
                # Boxes have room for letters that are higher and lower than these.
                close = min(box.y1, second.y1) - max(box.y0, second.y0) < 3
                assert beside or close, (one, other)


@pytest.mark.parametrize("trained", [True, False])
def test_long_names_lose_their_middle_and_stand_in_two_lines(measured, trained):
    model = measured.model.model_copy(update={"id": "laion/" + "very-long-" * 40 + "end", "trained": trained})
    data = measured.dataset.model_copy(update={"id": "/data/" + "W" * 5000 + "/pictures"})
    axes, boxes = drawn(told(measured).model_copy(update={"model": model, "dataset": data}))
    (name,) = (text for text in boxes if text.startswith("laion/very"))
    (place,) = (text for text in boxes if text.startswith("on /data/W"))
    assert "…" in name
    assert "end" in name
    assert name.endswith(" (untrained twin)") != trained
    assert place.endswith("W/pictures")
    assert boxes[name].y0 > boxes[place].y1
    for text in (name, place):
        assert boxes[text].x1 < axes.figure.bbox.x1
        assert boxes[text].width > 0.7 * axes.bbox.width, "no more is lost than has to be"


def test_a_name_that_fits_is_whole():
    assert shortened("synbench:demo", 440, 12) == "synbench:demo"
    short = shortened("x" * 100, 100, 10)
    assert width_of(short, 10) <= 100 < width_of(short + "x", 10)
    assert shortened("$a_b$", width_of("$a_b$", 12), 12) == "$a_b$", "a name is no formula"


def test_without_attacks_the_picture_has_what_is_certified_in_each_ball(measured):
    report = told(measured, radii=[])
    axes, boxes = drawn(report)
    shown = [container.lines[0].get_ydata() for container in axes.containers]
    assert np.allclose(shown[1:], np.array([lv.certified for lv in report.levels]).T[1:])
    assert {"clean", "ball of 0.2", "ball of 0.4", "ball of 0.6", "ball of 0.8"} < set(boxes)
    assert axes.get_ylabel() == "accuracy, clean and certified in a ball"
    low, high = wilson(round(report.levels[0].certified[1] * 40), 40)
    bar = axes.containers[1].lines[2][0].get_segments()[0]
    assert bar[:, 1] == pytest.approx([low, high])


def test_the_picture_of_one_epsilon(measured):
    axes, boxes = drawn(told(measured, epsilons=[0.0]))
    mark = axes.transData.transform((0, 0))[0]
    assert 0 < boxes["clean"].x0 - mark < 0.08 * axes.bbox.width
    assert boxes["clean"].x1 < axes.bbox.x1
    assert drawn(told(measured, epsilons=[0.0], radii=[]))[0].get_ylabel() == "accuracy"


def test_the_clean_line_is_on_its_ticks_and_the_others_around_it(measured):
    axes, _ = drawn(told(measured))
    places = [container.lines[0].get_xdata() - EPSILONS for container in axes.containers]
    assert np.allclose(places[0], 0)
    assert np.allclose(np.sum(places, axis=0), 0)
    assert len({round(at[0], 6) for at in places}) == 5
    assert np.ptp(places) < 0.05


def test_lines_of_many_radii_are_told_apart_or_not_drawn(measured):
    radii = [round(0.05 * k, 2) for k in range(1, 13)]
    axes, boxes = drawn(told(measured, radii=radii, shares=[[round(1 - 0.08 * k, 2) for k in range(12)]] * 5))
    styles = set()
    for container in axes.containers:
        line = container.lines[0]
        styles.add((line.get_marker(), line.get_markerfacecolor() == "white"))
    assert len(styles) == len(axes.containers) == 9
    assert axes.get_ylabel().endswith("(8 of 12 radii)")
    assert {"ℓ2 ≤ 0.05", "ℓ2 ≤ 0.6"} < set(boxes), "the smallest and the largest are drawn"


def test_lines_that_lie_on_each_other_are_drawn_once(measured):
    shares = [[0.5, 0.5, 0.0, 0.0, 0.0]] * 5
    axes, boxes = drawn(told(measured, radii=[0.1, 0.2, 0.5, 1.0, 2.0], shares=shares))
    assert len(axes.containers) == 3
    assert {"clean", "ℓ2 ≤ 0.1, 0.2", "ℓ2 ≤ 0.5 … 2"} < set(boxes)
    assert boxes["ℓ2 ≤ 0.5 … 2"].x1 < axes.figure.bbox.x1


def test_a_recommendation_that_was_not_probed_is_said_within_the_axes(measured):
    axes, boxes = drawn(told(measured, epsilons=[0.0, 0.2], recommended=0.6))
    box = boxes["the score recommends ε = 0.6 (not probed)"]
    assert axes.bbox.x0 < box.x0 < box.x1 < axes.bbox.x1
    assert axes.bbox.width > 0.8 * axes.figure.bbox.width, "the layout holds"


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("name", ["other", "facebook/" + "dinov2-with-registers-" * 5])
def test_the_picture_says_whose_score_recommends(measured, epsilon, name):
    notes = [f"The score is that of {name!r}, not of 'mine'.", "The score is that of ε = 0, not of 0, 0.2."]
    axes, boxes = drawn(told(measured, recommended=epsilon, warnings=notes))
    (said,) = (text for text in boxes if text.startswith("recommended by the score of "))
    assert said.endswith(name[-5:])
    assert axes.bbox.x0 < boxes[said].x0 < boxes[said].x1 < axes.bbox.x1
    (band,) = (line for line in axes.lines if line.get_linewidth() == 7)
    assert band.get_window_extent().y1 < boxes[said].y0, "the band does not strike it through"


def test_the_score_of_other_settings_is_not_the_encoders(measured):
    other = told(measured, recommended=None, warnings=["The score is that of the pooling 'a', not of 'b'."])
    assert "a score of other settings has no preference among ε" in drawn(other)[1]
    grid = told(measured, recommended=None, warnings=["The score is that of ε = 0, 0.4, not of 0, 0.2."])
    assert "the score has no preference among ε" in drawn(grid)[1]


def test_what_the_probe_notes_of_a_strange_score_is_read_by_the_picture():
    data = datasets.DatasetDict(train=pictures([0, 1] * 20), test=pictures([0, 1] * 20))
    score = synbench.score(lambda x: x.flatten(1)[:, :8], image_size=4, images=512)
    score = score.model_copy(
        update={
            "settings": score.settings.model_copy(
                update={"model": score.settings.model.model_copy(update={"id": "stranger"})}
            )
        }
    )
    how = {"Cs": [1.0], "folds": 2, "attack_images": 0, "image_size": 4, "cache": False}
    report = probe(lambda x: x.flatten(1), data, epsilons=[0.0, 0.2], score=score, **how)
    assert any("the score of stranger" in text for text in drawn(report)[1])


def test_the_picture_of_every_kind_is_saved(measured, tmp_path):
    save_probe(told(measured, radii=[], recommended=0.2), tmp_path / "p.pdf")
    assert (tmp_path / "p.pdf").stat().st_size > 1000


def lines_of(report, capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    print_probe(report)
    return capsys.readouterr().out.splitlines()[3:]


@pytest.mark.parametrize(("count", "columns"), [(4, 80), (7, 80), (12, 80), (12, 40), (4, 120), (7, 120)])
def test_no_number_vanishes_from_the_tables(measured, capsys, monkeypatch, count, columns):
    radii = [round(0.01 + 0.05 * k, 2) for k in range(count)]
    shares = [[round((99 - 3 * k - row) / 100, 2) for k in range(count)] for row in range(5)]
    report = told(measured, radii=radii, shares=shares)
    lines = lines_of(report, capsys, monkeypatch, columns)
    tables = [line for line in lines if line.startswith(" ")]
    assert max(map(len, tables)) <= columns
    cells = {cell for line in tables for cell in line.split()}
    for level in report.levels:
        for share in (level.clean, *level.robust, *level.certified[1:]):
            assert f"{100 * share:.1f}" in cells
    assert {f"{radius:g}" for radius in radii} < cells
    assert "0.123" in cells
    assert "90.0–99.0" in cells
    assert any(line.rstrip().endswith("median ℓ2") for line in tables)
    assert not any("…" in line for line in tables)


def test_the_tables_of_the_usual_grid_fit_into_80_columns_as_two(measured, capsys, monkeypatch):
    report = told(measured)
    lines = lines_of(report, capsys, monkeypatch, 80)
    assert lines[0] == "Accuracy (%) by ε: clean, and of 100 attacked pictures within each ℓ2 radius"
    assert max(map(len, lines[: lines.index(report.meaning)])) <= 80
    at = lines.index("Certified (%) in representation space: probe of ε in rows, ball of ε in columns")
    assert lines[at + 2].split() == ["ε", "0.2", "0.4", "0.6", "0.8"]
    for row, level in enumerate(report.levels):
        assert lines[at + 4 + row].split() == [f"{level.epsilon:g}", *(f"{100 * s:.1f}" for s in level.certified[1:])]


def test_of_one_epsilon_nothing_is_certified(measured, capsys, monkeypatch):
    lines = lines_of(told(measured, epsilons=[0.0], radii=[]), capsys, monkeypatch, 80)
    assert lines[0] == "Clean accuracy (%) by ε"
    assert not any("Certified" in line for line in lines)


def test_tables_are_as_wide_as_they_are_taken_to_be(measured, capsys, monkeypatch):
    """One cell less than a table needs, and it comes in two."""
    whole = max(len(line) for line in lines_of(told(measured), capsys, monkeypatch, 200) if line.startswith(" "))
    for columns, count in ((whole, 2), (whole - 1, 3)):
        lines = lines_of(told(measured), capsys, monkeypatch, columns)
        assert sum(line.startswith(" ─") for line in lines) == count
        assert not any("…" in line for line in lines)
