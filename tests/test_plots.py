"""The picture shows the numbers of the report, and the files are whole."""

import re

import numpy as np
import pytest

from synbench import ArgumentError, OutputError, plot_report, score
from synbench.curve import GRID, curve
from synbench.plots import save_plot


@pytest.fixture(scope="module")
def report():
    return score("synbench:demo", samples=64)


def lines(figure):
    (axes,) = figure.axes
    return {line.get_label(): line for line in axes.get_lines()}


def test_curves_are_those_of_the_report(report):
    found = lines(plot_report(report, 0.2))
    expected = curve(np.array(report.accuracy[1]), np.array(report.bound[1], dtype=float))
    np.testing.assert_allclose(found["encoder"].get_ydata(), expected)
    optimum = curve(np.array(report.raw_accuracy), np.array(report.raw_bound))
    np.testing.assert_allclose(found["optimum (image space)"].get_ydata(), optimum)
    np.testing.assert_allclose(found["encoder"].get_xdata(), GRID)


def test_lines_and_areas_differ_without_colour(report):
    figure = plot_report(report)
    found = lines(figure)
    assert found["encoder"].get_linestyle() != found["optimum (image space)"].get_linestyle()
    hatches = {area.get_label(): area.get_hatch() for area in figure.axes[0].collections}
    assert hatches["lost"]
    assert not hatches["kept"]


def test_title_tells_model_and_score(report):
    (axes,) = plot_report(report).axes
    assert axes.get_title("left") == "synbench:demo"
    assert axes.get_title("right").startswith(f"score {report.synbench_score:.3f}")


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_formats_follow_the_ending_and_files_repeat(report, tmp_path, ending, magic):
    for name in ("a", "b"):
        save_plot(report, tmp_path / f"{name}.{ending}")
    first, second = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("a", "b"))
    assert first.startswith(magic)
    assert first == second


def test_svg_names_no_machine_and_no_date(report, tmp_path):
    save_plot(report, tmp_path / "plot.svg")
    assert not re.search(rb"<dc:date>|/home/|/root/", (tmp_path / "plot.svg").read_bytes())


def test_bad_requests_are_refused(report, tmp_path):
    with pytest.raises(ArgumentError, match=r"epsilon must be one of \[0\.0, 0\.2.*rows of this report, got 0\.3"):
        plot_report(report, 0.3)
    with pytest.raises(ArgumentError, match=r"must end in \.png, \.svg or \.pdf, got"):
        save_plot(report, tmp_path / "plot.gif")
    with pytest.raises(OutputError, match=r"cannot write .*Give a file in a folder that exists"):
        save_plot(report, tmp_path / "missing" / "plot.png")
