"""The app's pictures of a result, each one SVG as text to be set into a page; see ``drawing_svg``.

They show numbers of the record and never compute a score. Lines differ by dash, marks by shape: none by colour alone.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from synbench.comparison import TWIN, Comparison, Entry, names, quantity
from synbench.curve import GRID
from synbench.curve_band import band, gaussian_curve, kept_curve, optimal_curve
from synbench.errors import ArgumentError
from synbench.report import Report
from synbench.settings import HEADLINE_EPSILON, HEADLINE_THRESHOLD

from . import drawing_svg as svg

_LONGEST_NAME = 50
_LONGEST_RULER = 2.0
_MOST_LETTERS = 4
_NAMELESS = "added representations"

_ENCODER: dict[str, str | float] = {"stroke": svg.BLUE, "stroke_width": 2.6}
_OPTIMUM: dict[str, str | float] = {"stroke": "currentColor", "stroke_width": 1.8, "stroke_dasharray": "7 4"}
_TWIN: dict[str, str | float] = {"stroke": svg.ORANGE, "stroke_width": 2.4, "stroke_dasharray": "2 4"}
_LOST: dict[str, str | float] = {"stroke": "currentColor", "stroke_width": 1.1, "opacity": 0.4}


def trade_off(report: Report, epsilon: float | None = None) -> str:
    """Draw the trade-off of accuracy and robustness: the encoder's curve with its band, the optimum, what is lost.

    The hatching has a stroke at each point of the grid that the score at this ε sums over.

    Args:
        report: the result.
        epsilon: which row; by default the smallest ε of the report.

    Raises:
        ArgumentError: the report has no such ε.
    """
    epsilon = min(report.epsilons) if epsilon is None else epsilon
    if epsilon not in report.epsilons:
        raise ArgumentError(f"epsilon must be one of {report.epsilons}, the rows of this report, got {epsilon:g}.")
    row = report.epsilons.index(epsilon)
    threshold, told = _score(report, row)
    kept, optimal, around = kept_curve(report, row), optimal_curve(report), band(report, row)
    twin = None
    if report.baseline and report.baseline.kappa:
        twin = gaussian_curve(report.baseline.kappa[row], report.scales)
    shown = [kept, optimal, *(around or ()), *([] if twin is None else [twin])]
    most = 1.06 * max(float(values.max()) for values in shown) or 1.0
    left, top, bottom = 46.0, 122.0, 342.0

    def across(t: float) -> float:
        return left + (t - 0.6) / 0.4 * (svg.RIGHT - left)

    def up(value: float) -> float:
        return bottom - value / most * (bottom - top)

    def points(values: Float[np.ndarray, "100"]) -> list[tuple[float, float]]:
        return [(across(t), up(value)) for t, value in zip(GRID.tolist(), values.tolist(), strict=True)]

    lost = [
        f"M{svg.number(x)} {svg.number(low)}V{svg.number(high)}"
        for t, (x, low), (_, high) in zip(GRID.tolist(), points(kept), points(optimal), strict=True)
        if t >= threshold and high < low
    ]
    body = [
        svg.text(0, 18, svg.shortened(*_name(report), _LONGEST_NAME), opacity=svg.SOFT),
        svg.text(0, 41, f"ε = {epsilon:g}, a_t = {threshold:g}: score {told}", class_="score", font_weight="bold"),
        *_legend(around is not None, twin is not None),
        svg.text(0, top - 10, "expected scaled bound E(a_t)", opacity=svg.SOFT),
        *svg.scale_at_left(svg.ticks(most), left, svg.RIGHT, up),
        *svg.scale_below([0.6, 0.7, 0.8, 0.9, 1.0], bottom, across),
        svg.text((left + svg.RIGHT) / 2, bottom + 43, "threshold accuracy a_t", "middle", opacity=svg.SOFT),
        svg.line(across(threshold), top, across(threshold), bottom, stroke_dasharray="2 3", opacity=0.6),
        svg.element("path", class_="lost", d="".join(lost), **_LOST),
    ]
    if around:
        outline = [*points(around[1]), *reversed(points(around[0]))]
        body.append(svg.polygon(outline, class_="band", fill=svg.BLUE, opacity=0.35))
    if twin is not None:
        body.append(svg.polyline(points(twin), class_="twin", **_TWIN))
    body.append(svg.polyline(points(optimal), class_="optimum", **_OPTIMUM))
    body.append(svg.polyline(points(kept), class_="encoder", **_ENCODER))
    title = f"{_full_name(report)}: accuracy and robustness at ε = {epsilon:g}"
    return svg.picture("trade-off", title, report.meaning, bottom + 52, body)


def ruler(report: Report) -> str:
    """Draw the headline score on a bar from nothing kept to the optimum, with its interval and the untrained twin."""
    twin = report.baseline if report.baseline and report.baseline.synbench_score is not None else None
    ends: list[float] = [1.0, report.synbench_score or 0.0, *(report.interval or ())]
    ends += [twin.synbench_score or 0.0, *(twin.interval or ())] if twin else []
    longest: float = min(max(ends), _LONGEST_RULER)

    def across(value: float) -> float:
        return svg.LEFT + min(value, longest) / longest * (svg.RIGHT - svg.LEFT)

    body = [
        svg.element("rect", x=svg.LEFT, y=29, width=svg.RIGHT - svg.LEFT, height=16, rx=3, opacity=0.14),
        svg.line(svg.LEFT, 25, svg.LEFT, 49, stroke_width=1.5),
        svg.line(across(1), 25, across(1), 49, class_="one", stroke_width=1.8, stroke_dasharray="4 2"),
    ]
    if twin and twin.synbench_score is not None:
        told = f"untrained twin {_told(twin.synbench_score, twin.interval)}"
        x = across(twin.synbench_score)
        body += [svg.whiskers(twin.interval, across, 37, svg.ORANGE), svg.diamond(x, 37), svg.label(x, 68, told)]
    if report.synbench_score is None:
        body.append(svg.text(svg.LEFT, 18, "the score is undefined", class_="score", font_weight="bold"))
    else:
        x = across(report.synbench_score)
        if report.interval:
            low, high = map(across, report.interval)
            side: dict[str, str | float] = {"x": low, "width": max(high - low, 1.0), "fill": svg.BLUE}
            body.append(svg.element("rect", class_="interval", y=29, height=16, opacity=0.55, **side))
        told = f"score {_told(report.synbench_score, report.interval)}"
        body += [
            svg.line(x, 24, x, 50, class_="mark", stroke_width=3),
            svg.label(x, 17, told, class_="score", font_weight="bold"),
        ]
    last = 92.0 if twin else 68.0
    body += [
        svg.text(svg.LEFT, last, "0 nothing kept", opacity=svg.SOFT),
        svg.label(across(1), last, "1 the optimum", opacity=svg.SOFT),
    ]
    return svg.picture("ruler", f"{_full_name(report)}: the score", report.meaning, last + 8, body)


def heat_map(report: Report) -> str:
    """Draw the scores by ε (rows) and a_t (columns), κ beside them; what is undefined is a dash."""
    heads = [f"{threshold:g}" for threshold in report.thresholds]
    cells = [["–" if value is None else f"{value:.2f}" for value in scores] for scores in report.scores]
    left = 104.0 if report.kappa else 0.0
    left += max(svg.room_for(f"{epsilon:g}" for epsilon in report.epsilons) + 6, 26.0)
    need = svg.room_for([*heads, *(told for told_row in cells for told in told_row)])
    wide = max(need, min((svg.WIDTH - left) / max(len(heads), 1), 72.0))
    width, high, top = max(svg.WIDTH, left + wide * len(heads)), 42.0, 50.0
    body = [
        svg.text(left, 17, "score by threshold accuracy a_t", opacity=svg.SOFT),
        svg.text(0, top - 9, "ε", opacity=svg.SOFT),
        *([svg.text(left - 56, top - 9, "κ", "middle", opacity=svg.SOFT)] if report.kappa else []),
        *(svg.text(left + (k + 0.5) * wide, top - 9, head, "middle", opacity=svg.SOFT) for k, head in enumerate(heads)),
    ]
    for row, epsilon in enumerate(report.epsilons):
        y = top + row * high
        body.append(svg.text(0, y + high / 2 + 5, f"{epsilon:g}"))
        if report.kappa:
            body.append(_kappa(report, row, left - 56, y))
        for column, told in enumerate(cells[row]):
            value, interval = report.scores[row][column], report.scores_interval[row][column]
            said = f"ε = {epsilon:g}, a_t = {heads[column]}: {_told(value, interval)}"
            body.append(_cell(said, told, value, left + column * wide, y, wide, high))
    end = top + len(cells) * high + 24
    body += svg.colour_key("nothing kept 0", "1 the optimum", end)
    title = f"{_full_name(report)}: scores by ε and a_t"
    return svg.picture("heat-map", title, report.meaning, end + 8, body, width)


def ranking(comparison: Comparison) -> str:
    """Draw what is compared, scores or κ, with intervals, best on top, and who ties with whom."""
    entries, of_score = comparison.entries, comparison.measure == "score"
    readings, twins = [comparison.reading(entry) for entry in entries], [comparison.twin(entry) for entry in entries]
    at = f"ε = {comparison.epsilon:g}" + (f", a_t = {comparison.threshold:g}" if of_score else "")
    letters = list(dict.fromkeys(letter for entry in entries for letter in entry.groups))
    columns = len(letters) <= _MOST_LETTERS
    ties = svg.WIDTH - max(14.0 * len(letters) if columns else svg.room_for(["aa–zz"]), 34.0)
    right = ties - 68
    marks = zip(readings, twins, strict=True)
    longest = max(1.0, *(max(interval[1], value, twin or 0.0) for (value, interval), twin in marks))

    def across(value: float) -> float:
        return svg.LEFT + value / longest * (right - svg.LEFT)

    top, high, named = 34.0, 50.0, svg.room_for(map(_rank, entries)) + 6
    bottom = top + high * len(entries)
    body = [
        svg.text(0, 18, at, opacity=svg.SOFT),
        svg.text(ties - 12, 18, "score" if of_score else "κ", "end", opacity=svg.SOFT),
        svg.text(ties, 18, "ties", opacity=svg.SOFT),
        *svg.scale_below(svg.ticks(longest), bottom, across),
        svg.text(svg.LEFT, bottom + 40, "nothing kept", opacity=svg.SOFT),
        svg.text(across(1), bottom + 40, "the optimum", "middle", opacity=svg.SOFT),
    ]
    told = [
        f"{name}: {_told(*reading)}, ties {', '.join(entry.groups)}"
        for entry, reading, name in zip(entries, readings, names(comparison), strict=True)
    ]
    rows = zip(entries, readings, twins, names(comparison), told, strict=True)
    for place, (entry, (value, interval), beside, name, said) in enumerate(rows):
        y = top + high * place
        middle, untrained = y + 36, entry.trained is False
        mark = svg.diamond if untrained else svg.dot
        model, twin = (name.removesuffix(TWIN), TWIN) if name.endswith(TWIN) else (name, "")
        body.append(
            svg.element(
                "g",
                svg.element("title", svg.escaped(said)),
                svg.line(0, y - 3, svg.WIDTH, y - 3, opacity=0.15),
                svg.line(across(1), y + 24, across(1), y + high - 3, class_="one", **_OPTIMUM),
                svg.text(0, y + 17, _rank(entry), opacity=svg.SOFT),
                svg.text(named, y + 17, svg.shortened(model, twin, _LONGEST_NAME - 5)),
                "" if beside is None else svg.diamond(across(beside), middle),
                svg.whiskers(interval, across, middle, svg.ORANGE if untrained else svg.BLUE),
                mark(across(value), middle),
                svg.text(ties - 12, y + 41, f"{value:.3f}", "end", font_weight="bold"),
                *_ties(entry, letters if columns else None, ties, y + 41),
                class_="entry",
            )
        )
    body += _ranking_legend(comparison, bottom + 66)
    title = f"{len(entries)} encoders by {quantity(comparison)} at {at}"
    return svg.picture("ranking", title, "Best first. " + "; ".join(told) + ".", bottom + 98, body)


def _name(report: Report) -> tuple[str, str]:
    """Return the name of what was scored, and what must stay when it is shortened."""
    model = report.settings.model
    return (model.id, "" if model.trained else TWIN) if model else (_NAMELESS, "")


def _full_name(report: Report) -> str:
    return "".join(_name(report))


def _score(report: Report, row: int) -> tuple[float, str]:
    """Return the a_t at which a row's score is told, and the score with its interval."""
    if report.epsilons[row] == HEADLINE_EPSILON:
        return HEADLINE_THRESHOLD, _told(report.synbench_score, report.interval)
    column = report.thresholds.index(HEADLINE_THRESHOLD) if HEADLINE_THRESHOLD in report.thresholds else 0
    return report.thresholds[column], _told(report.scores[row][column], report.scores_interval[row][column])


def _told(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None:
        return "undefined"
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else ", interval unknown")


def _legend(banded: bool, twin: bool) -> list[str]:
    encoder = [svg.line(0, -5, 34, -5, **_ENCODER), svg.text(42, 0, "encoder, 95 % band" if banded else "encoder")]
    if banded:
        encoder.insert(0, svg.element("rect", x=0, y=-11, width=34, height=12, fill=svg.BLUE, opacity=0.35))
    lost = [svg.line(k, -12, k, 2, **_LOST) for k in range(1, 36, 4)]
    parts = [
        encoder,
        [svg.line(0, -5, 34, -5, **_OPTIMUM), svg.text(42, 0, "optimum (images)")],
        [*lost, svg.text(42, 0, "lost")],
    ]
    if twin:
        parts.append([svg.line(0, -5, 34, -5, **_TWIN), svg.text(42, 0, "untrained twin")])
    return [
        svg.element("g", *part, transform=f"translate({232 * (k % 2)} {65 + 22 * (k // 2)})")
        for k, part in enumerate(parts)
    ]


def _ranking_legend(comparison: Comparison, y: float) -> list[str]:
    told = [svg.dot(7, y - 5), svg.text(20, y, "encoder, 95 % interval")]
    if any(comparison.twin(entry) is not None or entry.trained is False for entry in comparison.entries):
        told += [svg.diamond(240, y - 5), svg.text(254, y, "untrained twin")]
    told.append(svg.text(0, y + 23, f"A shared letter: not told apart at the level of {comparison.level:g}."))
    return told


def _cell(said: str, told: str, value: float | None, x: float, y: float, wide: float, high: float) -> str:
    ground = None if value is None else svg.colour(value)
    edge: dict[str, str | float] = {"stroke": "currentColor", "stroke_opacity": 0.25, "stroke_width": 0.7}
    box = svg.element(
        "rect", x=x + 0.5, y=y + 0.5, width=wide - 1, height=high - 1, rx=2, fill=ground or "none", **edge
    )
    number = svg.text(x + wide / 2, y + high / 2 + 5, told, "middle", fill=svg.ink(ground) if ground else None)
    return svg.element("g", svg.element("title", svg.escaped(said)), box, number, class_="cell")


def _kappa(report: Report, row: int, x: float, y: float) -> str:
    assert report.kappa is not None
    value, interval = report.kappa[row], report.kappa_interval[row] if report.kappa_interval else None
    lines = [svg.text(x, y + 18, f"{value:.3f}", "middle", font_weight="bold")]
    if interval:
        lines.append(svg.text(x, y + 35, f"{interval[0]:.3f}–{interval[1]:.3f}", "middle", opacity=svg.SOFT))
    told = f"ε = {report.epsilons[row]:g}: κ, the share of the images' discriminability, {_told(value, interval)}"
    return svg.element("g", svg.element("title", svg.escaped(told)), *lines, class_="kappa")


def _rank(entry: Entry) -> str:
    return f"{entry.rank_low}" if entry.rank_low == entry.rank_high else f"{entry.rank_low}–{entry.rank_high}"


def _ties(entry: Entry, letters: Sequence[str] | None, x: float, y: float) -> list[str]:
    """Return the letters, a column each, or from – to where there are too many."""
    if letters is None:
        return [svg.text(x, y, "–".join(dict.fromkeys((entry.groups[0], entry.groups[-1]))))]
    return [svg.text(x + 14 * letters.index(letter), y, letter) for letter in entry.groups]
