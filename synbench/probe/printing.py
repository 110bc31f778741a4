"""What ``synbench probe`` prints: one row an ε, on stdout."""

from itertools import chain

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .record import ProbeReport
from .telling import points

_Column = tuple[str, list[str]]
"""The heading, and a cell a row."""


def print_probe(report: ProbeReport) -> None:
    """Print what was probed on what, tables of accuracies by ε, the recommendation, and what it means.

    Nothing is cut and nothing left out: what is too wide for the terminal comes in more tables.
    """
    console = Console(highlight=False)
    model, data = report.model, report.dataset
    commit = f" @ {model.commit[:12]}" if model.commit else ""
    twin = "" if model.trained else " (untrained twin)"
    console.print(f"[bold]{escape(model.id)}[/bold]{commit}{twin} on [bold]{escape(data.id)}[/bold]", soft_wrap=True)
    console.print(
        f"{model.architecture}, {model.dimension} dimensions, images {'×'.join(map(str, report.image_shape))}, "
        f"{report.precision.dtype} on {report.device}, seed {report.seed}",
        soft_wrap=True,
    )
    held = " held out" if data.train_split == data.test_split else ""
    console.print(
        f"{len(data.classes)} classes: {data.train_images:,} pictures of {escape(data.train_split)}, "
        f"{data.test_images:,} of {escape(data.test_split)}{held}, in {report.seconds:.0f} s"
        + (f", {report.from_cache:,} from cache" if report.from_cache else ""),
        soft_wrap=True,
    )
    _print_tables(console, report)
    for level in report.levels[1:]:
        # Intervals of the rows may overlap where the two differ on the same pictures.
        low, high = level.clean_difference.interval
        if low > 0 or high < 0:
            console.print(
                f"ε = {level.epsilon:g} against ε = 0, paired difference: clean {points(level.clean_difference)}",
                soft_wrap=True,
            )
    console.print(report.meaning, soft_wrap=True, markup=False)
    if report.recommendation is not None:
        console.print(f"Score, made without data: {report.recommendation.meaning}", soft_wrap=True, markup=False)
    for warning in report.warnings:
        console.print(f"note: {warning}", soft_wrap=True, markup=False)


def _print_tables(console: Console, report: ProbeReport) -> None:
    """Print accuracy, clean and attacked, and what is certified: every probe in every ball, so that they compare."""
    levels = report.levels
    key = ("ε", [f"{lv.epsilon:g}" for lv in levels])
    clean = [
        ("C", [f"{lv.C:g}" for lv in levels]),
        ("clean", [_percent(lv.clean) for lv in levels]),
        ("95 %", ["–".join(map(_percent, lv.clean_interval)) for lv in levels]),
    ]
    if report.attack is None:
        _print_table(console, "Clean accuracy (%) by ε", key, clean)
    else:
        attacked = [
            *(
                (f"{r:g}", [_percent((lv.robust or [])[at]) for lv in levels])
                for at, r in enumerate(report.attack.radii)
            ),
            ("median ℓ2", [_number(lv.median_perturbation) for lv in levels]),
        ]
        of = f"of {report.attack.pictures:,} attacked pictures within each ℓ2 radius"
        if _width([key, *clean, *attacked]) <= console.width:
            _print_table(console, f"Accuracy (%) by ε: clean, and {of}", key, [*clean, *attacked])
        else:
            _print_table(console, "Clean accuracy (%) by ε", key, clean)
            _print_table(console, f"Accuracy (%) by ε, {of}", key, attacked)
    balls = [
        (f"{lv.epsilon:g}", [_percent(of.certified[at]) for of in levels]) for at, lv in enumerate(levels) if lv.epsilon
    ]
    if balls:
        title = "Certified (%) in representation space: probe of ε in rows, ball of ε in columns"
        _print_table(console, title, key, balls)


def _print_table(console: Console, title: str, key: _Column, columns: list[_Column]) -> None:
    """Print columns under a title, each table of as many as fit, with the key before them."""
    # A title of the table's own would be wrapped to its width.
    console.print(f"[italic]{title}[/italic]", soft_wrap=True)
    rest = columns
    while rest:
        count = len(rest)
        while count > 1 and _width([key, *rest[:count]]) > console.width:
            count -= 1
        now, rest = [key, *rest[:count]], rest[count:]
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for name, _ in now:
            table.add_column(name, justify="right", no_wrap=True)
        for row in zip(*(cells for _, cells in now), strict=True):
            table.add_row(*row)
        console.print(table)


def _width(columns: list[_Column]) -> int:
    """Return how many cells a table of these columns takes: two between them, and what rich adds at its edges."""
    return 1 + sum(2 + max(map(cell_len, chain([name], cells))) for name, cells in columns)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
