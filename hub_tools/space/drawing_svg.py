"""What the app's pictures are drawn with: elements of SVG as text, one frame, and one scale of colours.

All pictures share a width in their own units and one size of text, so that text is as large in one as in another: 11
pixels on a narrow phone, 18 at the widest. Text, axes and lines take the page's colour (``currentColor``), light or
dark. Nothing refers to anything else in a page: no gradient, pattern or style can be another picture's.
"""

import hashlib
import html
import math
import re
from collections.abc import Callable, Iterable, Sequence

WIDTH = 470.0
"""Units of a picture from left to right, where it needs no more."""

LEFT, RIGHT = 8.0, WIDTH - 8.0
"""Where what is drawn to a scale begins and ends, so that marks at its ends are whole."""

FONT = 15.0
SOFT = 0.72
"""Opacity of what explains, beside what is told."""

Scale = Callable[[float], float]
"""From a value to where it is drawn."""

_WIDEST_REM = 36.0
_DIGIT = 0.6
"""Width of a digit of the widest common typefaces, in sizes of the text."""

BLUE, ORANGE = "#3b82f6", "#d97706"
"""Mid-tones: at least 3 to 1 against a white page and against a near-black one."""

_STOPS = ((247, 241, 214), (134, 201, 184), (43, 122, 171), (27, 41, 103))
"""Sand, green, blue, navy: each darker than the one before, so the scale reads without its hues."""

_SHARP = {"shape_rendering": "crispEdges"}
# What XML 1.0 cannot hold, however it is written.
_IMPOSSIBLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escaped(text: str) -> str:
    """Return text that is safe in markup and in an attribute; a sign that XML cannot hold becomes �.

    >>> escaped('<a href="x">')
    '&lt;a href=&quot;x&quot;&gt;'
    """
    return html.escape(_IMPOSSIBLE.sub("\N{REPLACEMENT CHARACTER}", text))


def element(tag: str, *content: str, **attributes: str | float | None) -> str:
    """Return one element around markup, which must be safe already; attributes are escaped, None is left out.

    >>> element("rect", element("title", "a"), x=1.004, stroke_width=2, fill=None)
    '<rect x="1" stroke-width="2"><title>a</title></rect>'
    """
    told = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escaped(value) if isinstance(value, str) else number(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = "".join(content)
    return f"<{tag}{told}>{inner}</{tag}>" if inner else f"<{tag}{told}/>"


def number(value: float) -> str:
    """Return a number with at most two decimals.

    >>> number(1.5), number(2.0), number(-0.001)
    ('1.5', '2', '0')
    """
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def text(x: float, y: float, told: str, anchor: str = "start", **attributes: str | float | None) -> str:
    """Return a line of text, escaped; ``anchor`` is start, middle or end."""
    return element("text", escaped(told), x=x, y=y, text_anchor=None if anchor == "start" else anchor, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: str | float | None) -> str:
    """Return a straight line in the page's colour, if ``stroke`` names no other."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **{"stroke": "currentColor", **attributes})


def polyline(points: Iterable[tuple[float, float]], **attributes: str | float | None) -> str:
    """Return a line through points, without a filling."""
    return element("polyline", points=_listed(points), fill="none", stroke_linejoin="round", **attributes)


def polygon(points: Iterable[tuple[float, float]], **attributes: str | float | None) -> str:
    """Return a filled area."""
    return element("polygon", points=_listed(points), **attributes)


def dot(x: float, y: float) -> str:
    """Return the mark of an encoder."""
    return element("circle", cx=x, cy=y, r=4.8, fill=BLUE, stroke="currentColor", stroke_width=1)


def diamond(x: float, y: float) -> str:
    """Return the mark of an untrained twin: hollow, so that it is told from a dot without its colour."""
    corners = ((x, y - 6.5), (x + 6.5, y), (x, y + 6.5), (x - 6.5, y))
    return polygon(corners, class_="twin", fill="none", stroke=ORANGE, stroke_width=2)


def picture(kind: str, title: str, meaning: str, height: float, body: Iterable[str], width: float = WIDTH) -> str:
    """Return a whole picture, as wide as the page lets it be, with its name and meaning for a screen reader.

    Args:
        kind: what the ids begin with; the rest of them is a digest of the picture, so that pictures can share a page.
        title: its name.
        meaning: what it says, in words.
        height: in units.
        body: the elements.
        width: in units.
    """
    inner = "".join(body)
    digest = hashlib.sha256(f"{title}\0{meaning}\0{inner}".encode(errors="replace")).hexdigest()[:12]
    name, told = (f"{kind}-{digest}-{part}" for part in ("title", "desc"))
    return element(
        "svg",
        element("title", escaped(title), id=name),
        element("desc", escaped(meaning), id=told),
        inner,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_labelledby=f"{name} {told}",
        fill="currentColor",
        font_family="inherit",
        font_size=FONT,
        style=f"display:block;width:100%;height:auto;max-width:{number(_WIDEST_REM * width / WIDTH)}rem",
    )


def room_for(texts: Iterable[str]) -> float:
    """Return the units that the longest of some numbers can need."""
    return max((len(told) for told in texts), default=0) * _DIGIT * FONT


def shortened(name: str, keep: str, most: int) -> str:
    """Return a name and what is kept after it, at most so many signs: both ends of a name tell models apart.

    >>> shortened("organization/a-model-of-some-size", " (twin)", 28)
    'organizati…-some-size (twin)'
    """
    room = most - len(keep)
    if len(name) > room:
        tail = (room - 1) // 2
        name = name[: room - 1 - tail] + "…" + name[len(name) - tail :]
    return name + keep


def colour(value: float) -> str:
    """Return the colour of a value from 0 to 1, light to dark; beyond them that of the nearer end.

    >>> colour(0), colour(1.2)
    ('#f7f1d6', '#1b2967')
    """
    place = min(max(value, 0.0), 1.0) * (len(_STOPS) - 1)
    first = min(int(place), len(_STOPS) - 2)
    pairs = zip(_STOPS[first], _STOPS[first + 1], strict=True)
    return "#" + "".join(f"{round(a + (place - first) * (b - a)):02x}" for a, b in pairs)


def colour_key(low: str, high: str, y: float) -> list[str]:
    """Return the scale of colours between the names of its ends; in steps, since a gradient would need an id."""
    return [
        text(0, y, low, opacity=SOFT),
        *(
            element("rect", x=136 + 5 * k, y=y - 12, width=5, height=14, fill=colour(k / 39), **_SHARP)
            for k in range(40)
        ),
        text(344, y, high, opacity=SOFT),
    ]


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21.

    Source: W3C, Web Content Accessibility Guidelines 2.2, "contrast ratio".

    >>> contrast("#000000", "#ffffff")
    21.0
    """
    dark, light = sorted(map(_luminance, (one, other)))
    return round((light + 0.05) / (dark + 0.05), 2)


def ink(ground: str) -> str:
    """Return black or white, whichever reads better on a colour: at least 4.5 to 1 on any."""
    return max("#000000", "#ffffff", key=lambda colour: contrast(colour, ground))


def ticks(most: float, steps: int = 5) -> list[float]:
    """Return round numbers from 0 to at most ``most``, about so many steps apart.

    >>> ticks(1.43)
    [0.0, 0.5, 1.0]
    """
    size = 10.0 ** math.floor(math.log10(most / steps))
    step = size * next(part for part in (1, 2, 5, 10) if size * part * steps >= most * (1 - 1e-9))
    return [k * step for k in range(math.floor(most / step * (1 + 1e-9)) + 1)]


def label(x: float, y: float, told: str, **attributes: str | float | None) -> str:
    """Return text around a place, moved so far inwards that it stays in the picture."""
    half = 0.34 * FONT * len(told)
    if x - half < LEFT:
        return text(LEFT, y, told, "start", **attributes)
    if x + half > RIGHT:
        return text(RIGHT, y, told, "end", **attributes)
    return text(x, y, told, "middle", **attributes)


def whiskers(interval: Sequence[float] | None, across: Scale, y: float, stroke: str) -> str:
    """Return an interval as a line with an end mark at either side; nothing where there is none."""
    if interval is None:
        return ""
    low, high = (number(across(end)) for end in interval)
    ends = "".join(f"M{x} {number(y - 5)}v10" for x in (low, high))
    return element("path", d=f"M{low} {number(y)}H{high}{ends}", fill="none", stroke=stroke, stroke_width=2)


def scale_at_left(marks: Sequence[float], left: float, right: float, up: Scale) -> list[str]:
    """Return the numbers of an axis at the left, with a faint line across at each."""
    return [
        part
        for mark in marks
        for part in (
            line(left, up(mark), right, up(mark), opacity=0.15 if mark else SOFT),
            text(left - 8, up(mark) + 5, f"{mark:g}", "end", opacity=SOFT),
        )
    ]


def scale_below(marks: Sequence[float], bottom: float, across: Scale) -> list[str]:
    """Return the numbers of an axis below, with a tick at each."""
    return [
        part
        for mark in marks
        for part in (
            line(across(mark), bottom, across(mark), bottom + 5, opacity=SOFT),
            text(across(mark), bottom + 21, f"{mark:g}", "middle", opacity=SOFT),
        )
    ]


def _luminance(told: str) -> float:
    parts = [int(told[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _listed(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{number(x)},{number(y)}" for x, y in points)
