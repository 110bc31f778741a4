"""The app's pictures hold the numbers of the record, and the curve's band is what it says."""

import itertools
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from hub_tools.space import drawing_svg, pictures
from synbench import ArgumentError
from synbench.curve import GRID, curve, gaussian_trade_off
from synbench.curve_band import band, gaussian_curve, kept_curve, optimal_curve
from synbench.pairing import of_reports

from .reports import EPSILONS, SCALES, THRESHOLDS, make_report

HOSTILE = "<script>alert('\"&')</script>\x00]]>"
SPACE = "{http://www.w3.org/2000/svg}"


def gaussian_report(share=0.42, low=0.40, high=0.45, **changes):
    accuracy, bound = gaussian_trade_off(share * np.array(SCALES))
    best = gaussian_trade_off(np.array(SCALES))
    rows = len(EPSILONS)
    values = {
        "kappa": [share] * rows,
        "kappa_interval": [[low, high]] * rows,
        "accuracy": [accuracy.tolist()] * rows,
        "bound": [bound.tolist()] * rows,
        "raw_accuracy": best[0].tolist(),
        "raw_bound": best[1].tolist(),
    }
    return make_report(**{**values, **changes})


def twin(kappa=0.9, score=0.93):
    return {
        "kind": "untrained",
        "synbench_score": score,
        "stderr": 0.01,
        "interval": [score - 0.02, score + 0.02],
        "kappa": [kappa] * len(EPSILONS),
        "kappa_stderr": None,
        "difference": None,
        "difference_stderr": None,
        "difference_interval": None,
    }


def comparison(count=3, measure="score", **first):
    def kappas(value):
        return {"kappa": [value] * len(EPSILONS), "kappa_interval": [[value - 0.03, value + 0.04]] * len(EPSILONS)}

    how = {"stderr": 0.03}
    reports = [make_report(f"org/m{k}", score=0.9 - 0.05 * k, **how, **kappas(0.8 - 0.05 * k)) for k in range(1, count)]
    first = {"model_id": "org/m0", "score": 0.9, **how, **kappas(0.8), **first}
    return of_reports([make_report(**first), *reports], [None] * count, measure=measure)


def found(picture, tag, name):
    return [e for e in ET.fromstring(picture).iter(SPACE + tag) if e.get("class") == name]


def words(picture):
    return [e.text for e in ET.fromstring(picture).iter(SPACE + "text")]


def points(element):
    return np.array([[float(v) for v in pair.split(",")] for pair in element.get("points").split()])


def values(picture, element):
    """Read a line back: its place in the units of the axis, which the numbers beside the axis tell."""
    marks = {e.text: float(e.get("y")) - 5 for e in ET.fromstring(picture).iter(SPACE + "text")
             if e.get("text-anchor") == "end" and e.get("x") == "38"}  # fmt: skip
    zero, (told, other) = marks.pop("0"), marks.popitem()
    return (points(element)[:, 1] - zero) / (other - zero) * float(told)


# The band


def test_band_of_gaussian_projections_is_that_of_all_kappas_between():
    low, high = band(gaussian_report(), 0)
    between = np.array([gaussian_curve(kappa, SCALES) for kappa in np.linspace(0.40, 0.45, 4001)])
    assert (between >= low - 1e-9).all()
    assert (between <= high + 1e-9).all()
    # Reached but for how fine the values are.
    np.testing.assert_allclose(between.min(axis=0), low, atol=2e-4)
    np.testing.assert_allclose(between.max(axis=0), high, atol=2e-4)


def test_gaussian_curve_is_the_closed_form():
    np.testing.assert_allclose(gaussian_curve(0.42, SCALES), curve(*gaussian_trade_off(0.42 * np.array(SCALES))))


def test_band_moves_the_accuracy_and_bound_of_the_record():
    # One scale, not as Gaussian: a = 0.8, b = 2 at κ = 0.5; κ' = 0.6 moves it to Φ(1.2 z).
    report = make_report(
        scales=[1.0], accuracy=[[0.8]], bound=[[2.0]], raw_accuracy=[0.84], raw_bound=[1.29], epsilons=[0.0],
        kappa=[0.5], kappa_stderr=[0.1], kappa_interval=[[0.5, 0.6]], scores=[[0.5] * 9], scores_stderr=[[0.1] * 9],
        scores_interval=[[None] * 9],
    )  # fmt: skip
    low, high = band(report, 0)
    z = norm.ppf(0.8)
    reached = norm.cdf(1.2 * z)
    assert high[reached <= GRID].max() == 0
    assert high[reached > GRID].min() > 0
    _, (moved, own) = gaussian_trade_off(np.array([1.2 * z, z]))
    least = 2 * moved / own
    np.testing.assert_allclose(low[GRID < 0.79], least)
    np.testing.assert_allclose(high[GRID < 0.79], 2)
    assert low[GRID > 0.81].max() == 0


@pytest.mark.parametrize("odd", [{}, {"kappa": [0.0] * 5}, {"bound": [[None] * 49] * 5}, {"accuracy": [[1.0] * 49] * 5},
                                 {"accuracy": [[0.5] * 49] * 5}, {"kappa_interval": [[0.0, 1.3]] * 5}])  # fmt: skip
def test_band_contains_the_curve_and_widens_with_the_interval(odd):
    before = None
    for width in (0.0, 0.01, 0.05, 0.3):
        report = gaussian_report(**{"low": 0.42 - width, "high": 0.42 + width, **odd})
        low, high = band(report, 0)
        own = kept_curve(report, 0)
        assert np.isfinite([low, high]).all()
        assert (low <= own).all()
        assert (own <= high).all()
        if before is not None:
            assert (low <= before[0] + 1e-12).all()
            assert (high >= before[1] - 1e-12).all()
        before = low, high


def test_no_width_gives_the_curve_itself():
    low, high = band(gaussian_report(low=0.42, high=0.42), 0)
    np.testing.assert_array_equal(low, high)
    np.testing.assert_array_equal(low, kept_curve(gaussian_report(), 0))


def test_all_right_stays_and_a_kappa_of_zero_may_be_more():
    certain = gaussian_report(accuracy=[[1.0] * 49] * 5)
    np.testing.assert_allclose(band(certain, 0), [kept_curve(certain, 0)] * 2)
    assert kept_curve(certain, 0).max() > 0
    nothing = gaussian_report(kappa=[0.0] * 5, accuracy=[[0.5] * 49] * 5, bound=[[None] * 49] * 5, low=0.0, high=0.2)
    low, high = band(nothing, 0)
    assert low.max() == 0
    # κ' = 0.2 reaches Φ(0.98) at the largest scale, 4.9, and no further.
    assert (high > 0).tolist() == (norm.cdf(0.98) > GRID).tolist()


def test_no_band_without_an_interval():
    assert band(make_report(protocol="paper"), 0) is None
    assert band(make_report(kappa_interval=[None] * 5), 0) is None


# The pictures


@pytest.mark.parametrize("epsilon", [None, 0.4])
def test_lines_are_the_curves(epsilon):
    changes = [gaussian_trade_off(k * np.array(SCALES)) for k in (0.42, 0.38, 0.3, 0.2, 0.1)]
    report = gaussian_report(
        accuracy=[a.tolist() for a, _ in changes], bound=[b.tolist() for _, b in changes], baseline=twin()
    )
    picture, row = pictures.trade_off(report, epsilon), 2 if epsilon else 0
    expected = {
        "encoder": kept_curve(report, row),
        "optimum": optimal_curve(report),
        "twin": gaussian_curve(0.9, SCALES),
    }
    for name, told in expected.items():
        (line,) = found(picture, "polyline", name)
        np.testing.assert_allclose(values(picture, line), told, atol=1e-3)
        np.testing.assert_allclose(0.6 + (points(line)[:, 0] - 46) / (462 - 46) * 0.4, GRID, atol=1e-4)
    (area,) = found(picture, "polygon", "band")
    low, high = band(report, row)
    np.testing.assert_allclose(values(picture, area), [*high, *low[::-1]], atol=1e-3)


def test_the_hatching_is_what_the_score_lost():
    report = gaussian_report()
    picture = pictures.trade_off(report)
    (lost,) = found(picture, "path", "lost")
    strokes = re.findall(r"M([\d.]+) ([\d.]+)V([\d.]+)", lost.get("d"))
    kept, optimal = kept_curve(report, 0), optimal_curve(report)
    # To two decimals of a unit, strokes may vanish.
    assert len(strokes) == ((optimal > kept) & (GRID >= 0.7)).sum()
    (line,) = found(picture, "polyline", "encoder")
    unit = (points(line)[0, 1] - points(line)[-1, 1]) / (kept[0] - kept[-1])
    drawn = sum(float(high) - float(low) for _, low, high in strokes)
    np.testing.assert_allclose(drawn, unit * (optimal - kept).clip(0)[GRID >= 0.7].sum(), rtol=1e-3)


def test_lines_differ_by_dash():
    picture = pictures.trade_off(gaussian_report(baseline=twin()))
    dashes = [found(picture, "polyline", name)[0].get("stroke-dasharray") for name in ("encoder", "optimum", "twin")]
    assert len(set(dashes)) == 3
    assert dashes[0] is None
    assert not found(pictures.trade_off(gaussian_report()), "polyline", "twin")


def test_the_score_told_is_the_report_s():
    report = make_report(score=0.6789, stderr=0.01)
    for picture in (pictures.trade_off(report), pictures.ruler(report)):
        (told,) = found(picture, "text", "score")
        assert told.text.endswith("score 0.679 (0.659 to 0.698)")
    (told,) = found(pictures.trade_off(report, 0.2), "text", "score")
    assert told.text.startswith(f"ε = 0.2, a_t = 0.7: score {report.scores[1][2]:.3f} (")
    for picture in (pictures.trade_off(make_report(score=None)), pictures.ruler(make_report(score=None))):
        (told,) = found(picture, "text", "score")
        assert told.text.endswith("undefined")
    unsure = make_report(interval=None)
    assert "score 0.680, interval unknown" in words(pictures.ruler(unsure))


def test_a_row_without_the_headline_s_threshold_tells_its_first():
    cells = {name: [[value]] for name, value in
             (("scores", 0.31), ("scores_stderr", 0.01), ("scores_interval", [0.3, 0.32]))}  # fmt: skip
    report = make_report(
        epsilons=[0.2], thresholds=[0.9], kappa=[0.4], kappa_stderr=[0.01], kappa_interval=[None],
        accuracy=[[0.9] * 49], bound=[[1.1] * 49], **cells,
    )  # fmt: skip
    (told,) = found(pictures.trade_off(report), "text", "score")
    assert told.text == "ε = 0.2, a_t = 0.9: score 0.310 (0.300 to 0.320)"
    assert len(found(pictures.heat_map(report), "g", "cell")) == 1


def test_an_unknown_epsilon_is_refused():
    with pytest.raises(ArgumentError, match=r"epsilon must be one of .* rows of this report, got 0\.3"):
        pictures.trade_off(make_report(), 0.3)


def test_the_ruler_s_marks_stand_where_the_numbers_are():
    picture = pictures.ruler(make_report(score=0.5, stderr=0.1, baseline=twin(score=0.9)))
    (mark,), (bar,), (one,) = (found(picture, *what) for what in
                               (("line", "mark"), ("rect", "interval"), ("line", "one")))  # fmt: skip
    assert float(mark.get("x1")) == 8 + 0.5 * 454
    assert float(bar.get("x")) == pytest.approx(8 + (0.5 - 0.196) * 454, abs=0.01)
    assert float(bar.get("width")) == pytest.approx(0.392 * 454, abs=0.01)
    assert float(one.get("x1")) == 462
    (diamond,) = found(picture, "polygon", "twin")
    assert points(diamond)[:, 0].mean() == pytest.approx(8 + 0.9 * 454, abs=0.01)
    assert "untrained twin 0.900 (0.880 to 0.920)" in words(picture)
    assert not found(pictures.ruler(make_report()), "polygon", "twin")


def test_the_ruler_grows_beyond_the_optimum_and_ends():
    (one,) = found(pictures.ruler(make_report(score=1.05, stderr=0.1)), "line", "one")
    assert float(one.get("x1")) == pytest.approx(8 + 454 / 1.246, abs=0.01)
    far = pictures.ruler(make_report(score=3.0, stderr=1.0))
    (one,), (mark,) = found(far, "line", "one"), found(far, "line", "mark")
    assert (float(one.get("x1")), float(mark.get("x1"))) == (8 + 454 / 2, 462)


@pytest.mark.parametrize(("score", "x", "anchor"), [(0.01, "8", None), (0.5, "235", "middle"), (0.99, "462", "end")])
def test_the_ruler_s_words_stay_in_the_picture(score, x, anchor):
    (told,) = found(pictures.ruler(make_report(score=score)), "text", "score")
    assert (told.get("x"), told.get("text-anchor")) == (x, anchor)


def test_all_text_is_of_one_size_that_a_phone_shows_in_eleven_pixels():
    for picture in (*drawn(make_report(baseline=twin())), pictures.ranking(comparison())):
        root = ET.fromstring(picture)
        assert [e.tag for e in root.iter() if e.get("font-size")] == [SPACE + "svg"]
        _, _, width, _ = map(float, root.get("viewBox").split())
        assert float(root.get("font-size")) * 350 / width >= 11


def test_every_cell_has_its_number_its_tooltip_and_a_readable_colour():
    report = make_report(score=0.9)
    cells = found(pictures.heat_map(report), "g", "cell")
    assert [cell.find(SPACE + "text").text for cell in cells] == [f"{v:.2f}" for row in report.scores for v in row]
    low, high = report.scores_interval[1][2]
    told = f"ε = 0.2, a_t = 0.7: {report.scores[1][2]:.3f} ({low:.3f} to {high:.3f})"
    assert cells[len(THRESHOLDS) + 2].find(SPACE + "title").text == told
    for cell in cells:
        ground, ink = cell.find(SPACE + "rect").get("fill"), cell.find(SPACE + "text").get("fill")
        assert drawing_svg.contrast(ground, ink) >= 4.5
    kappas = found(pictures.heat_map(report), "g", "kappa")
    assert [k.find(SPACE + "text").text for k in kappas] == [f"{value:.3f}" for value in report.kappa]
    assert "0.412–0.428" in words(pictures.heat_map(report))
    assert not found(pictures.heat_map(make_report(protocol="paper")), "g", "kappa")


def test_every_colour_of_the_scale_reads_and_is_darker_than_the_last():
    scale = [drawing_svg.colour(value) for value in np.linspace(0, 1, 201)]
    assert min(drawing_svg.contrast(ground, drawing_svg.ink(ground)) for ground in scale) >= 4.5
    light = [drawing_svg.contrast(ground, "#000000") for ground in scale]
    assert light == sorted(light, reverse=True)
    assert light[0] > 4 * light[-1]
    assert drawing_svg.contrast("#777777", "#ffffff") == pytest.approx(4.48)


@pytest.mark.parametrize("tone", [drawing_svg.BLUE, drawing_svg.ORANGE])
def test_marks_stand_out_on_a_light_and_a_dark_page(tone):
    assert min(drawing_svg.contrast(tone, page) for page in ("#ffffff", "#0b0f19")) >= 3


def test_undefined_cells_are_dashes():
    cells = found(pictures.heat_map(make_report(score=None)), "g", "cell")
    assert {cell.find(SPACE + "text").text for cell in cells} == {"–"}
    assert {cell.find(SPACE + "rect").get("fill") for cell in cells} == {"none"}
    assert cells[0].find(SPACE + "title").text.endswith(": undefined")


def test_cells_do_not_overlap_whatever_is_asked_for():
    many = [round(0.6 + 0.015 * k, 3) for k in range(26)]
    report = make_report(
        thresholds=many, scores=[[0.5] * 26] * 5, scores_stderr=[[0.1] * 26] * 5, scores_interval=[[None] * 26] * 5
    )
    root = ET.fromstring(pictures.heat_map(report))
    _, _, width, _ = map(float, root.get("viewBox").split())
    boxes = [cell.find(SPACE + "rect") for cell in found(pictures.heat_map(report), "g", "cell")[:26]]
    ends = [(float(box.get("x")), float(box.get("x")) + float(box.get("width"))) for box in boxes]
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ends))
    assert ends[-1][1] <= width
    # Five signs of the text's size.
    assert ends[0][1] - ends[0][0] >= 5 * 0.55 * drawing_svg.FONT


@pytest.mark.parametrize("measure", ["score", "kappa"])
def test_the_ranking_shows_every_entry_best_first(measure):
    made = comparison(4, measure, baseline=twin(score=0.7, kappa=0.6))
    rows = found(pictures.ranking(made), "g", "entry")
    readings = [made.reading(entry) for entry in made.entries]
    assert [f"{value:.3f}" in [t.text for t in row.iter(SPACE + "text")]
            for (value, _), row in zip(readings, rows, strict=True)] == [True] * 4  # fmt: skip
    one = float(found(pictures.ranking(made), "line", "one")[0].get("x1")) - 8
    for entry, (value, interval), row in zip(made.entries, readings, rows, strict=True):
        (circle,) = row.iter(SPACE + "circle")
        assert (float(circle.get("cx")) - 8) / one == pytest.approx(value, abs=1e-3)
        low, high = re.match(r"M([\d.]+) [\d.]+H([\d.]+)", row.find(SPACE + "path").get("d")).groups()
        ends = [(float(end) - 8) / one for end in (low, high)]
        assert ends == pytest.approx(interval, abs=1e-3)
        told = row.find(SPACE + "title").text
        assert told.startswith(f"{entry.model}: {value:.3f} (")
        assert told.endswith(f"ties {', '.join(entry.groups)}")
        assert {*entry.groups} <= {t.text for t in row.iter(SPACE + "text")}
    (diamond,) = found(pictures.ranking(made), "polygon", "twin")[:1]
    beside = {"score": 0.7, "kappa": 0.6}[measure]
    assert (points(diamond)[:, 0].mean() - 8) / one == pytest.approx(beside, abs=1e-3)
    assert {"score": "score", "kappa": "κ"}[measure] in words(pictures.ranking(made))
    assert any("a_t" in text for text in words(pictures.ranking(made))) == (measure == "score")


def test_untrained_encoders_are_diamonds_and_long_names_keep_both_ends():
    name = "organization/" + "a-long-name-" * 12 + "large"
    picture = pictures.ranking(comparison(2, model_id=name, model={"trained": False}))
    first, second = found(picture, "g", "entry")
    assert list(first.iter(SPACE + "polygon"))
    assert not list(first.iter(SPACE + "circle"))
    assert list(second.iter(SPACE + "circle"))
    (told,) = [t for t in words(picture) if t.startswith("organization/")]
    assert told.endswith("large (untrained twin)")
    assert len(told) <= 50
    assert name in first.find(SPACE + "title").text


def test_many_letters_are_a_range():
    spread = [make_report(f"org/m{k}", score=0.9 - 0.02 * k, stderr=0.012) for k in range(9)]
    made = of_reports(spread, [None] * 9)
    assert len(made.entries[1].groups) > 1
    assert f"{made.entries[1].groups[0]}–{made.entries[1].groups[-1]}" in words(pictures.ranking(made))


def drawn(report):
    return [pictures.trade_off(report), pictures.ruler(report), pictures.heat_map(report)]


def test_hostile_names_and_meanings_are_only_text():
    report = make_report(HOSTILE, meaning=HOSTILE)
    other = of_reports([report, make_report("org/other", score=0.3)], [None] * 2)
    clean = HOSTILE.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    for picture in (*drawn(report), pictures.ranking(other)):
        assert "<script" not in picture
        root = ET.fromstring(picture)
        assert clean in root.find(SPACE + "title").text + root.find(SPACE + "desc").text
    assert clean in words(pictures.trade_off(report))
    assert clean in words(pictures.ranking(other))


def test_pictures_share_a_page_and_are_told_to_a_screen_reader():
    one, other = make_report(), make_report("org/other")
    page = [*drawn(one), *drawn(other), pictures.trade_off(one, 0.2), pictures.ranking(comparison())]
    ids = [e.get("id") for picture in page for e in ET.fromstring(picture).iter() if e.get("id")]
    assert len(ids) == len(set(ids)) == 2 * len(page)
    for picture in page:
        root = ET.fromstring(picture)
        assert root.get("role") == "img"
        assert (root.get("width"), root.get("height")) == (None, None)
        assert root.get("aria-labelledby").split() == [root.find(SPACE + t).get("id") for t in ("title", "desc")]
    assert ET.fromstring(page[0]).find(SPACE + "desc").text == one.meaning
    # Nothing of one picture is looked up in another, and nothing is fetched.
    assert not [picture for picture in page if re.search(r"url\(|href|<style|<script|<image", picture)]


accuracies = st.sampled_from([0.0, 0.3, 0.5, 0.5 + 1e-16, 0.6, 0.8, 1.0]) | st.floats(0, 1)
bounds = st.none() | st.floats(0, 1e6)
shares = st.sampled_from([0.0, 1e-300, 1.0]) | st.floats(0, 1.5)
intervals = st.none() | st.tuples(shares, shares).map(sorted)
counts = st.none() | st.floats(0, 3)


@st.composite
def reports(draw):
    width, columns = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    epsilons = draw(st.lists(st.sampled_from(EPSILONS), min_size=1, max_size=3, unique=True))
    rows = len(epsilons)

    def table(of, across, down=rows):
        return draw(st.lists(st.lists(of, min_size=across, max_size=across), min_size=down, max_size=down))

    paper = draw(st.booleans())
    return make_report(
        score=None, protocol="paper" if paper else "population", synbench_score=draw(counts),
        stderr=draw(st.none() | st.floats(0, 1)), interval=draw(intervals), meaning=draw(st.text()), epsilons=epsilons,
        scales=SCALES[:width], thresholds=THRESHOLDS[:columns], scores=table(counts, columns),
        scores_stderr=table(counts, columns), scores_interval=table(intervals, columns),
        kappa=None if paper else table(shares, rows, 1)[0], kappa_stderr=None,
        kappa_interval=None if paper else table(intervals, rows, 1)[0], accuracy=table(accuracies, width),
        bound=table(bounds, width), raw_accuracy=table(accuracies, width, 1)[0],
        raw_bound=table(st.floats(0, 1e6), width, 1)[0],
        baseline=draw(st.none() | st.builds(lambda kappa, score: {
            **twin(score=score or 0.0), "kappa": [kappa] * rows, "synbench_score": score,
        }, shares, counts)),
    )  # fmt: skip


@given(reports())
@settings(max_examples=60, deadline=None)
def test_any_report_gives_whole_pictures(report):
    for row in range(len(report.epsilons)):
        if around := band(report, row):
            own = kept_curve(report, row)
            assert (around[0] <= own).all()
            assert (own <= around[1]).all()
            assert np.isfinite(around).all()
    for picture in drawn(report):
        root = ET.fromstring(picture)
        _, _, width, height = map(float, root.get("viewBox").split())
        # The legend's parts are moved to their places.
        moved = {part for group in root.iter() if group.get("transform") for part in group.iter()}
        for element in root.iter():
            for name, value in element.attrib.items():
                assert not re.search(r"\b(nan|inf|None)\b", value), (name, value)
            for name, most in (("x", width), ("x1", width), ("x2", width), ("y", height), ("y1", height)):
                if name in element.attrib and element not in moved:
                    assert -0.1 <= float(element.get(name)) <= most + 0.1
