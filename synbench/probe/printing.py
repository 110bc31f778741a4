"""What ``synbench probe`` prints: one row an ε, on stdout."""

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .record import ProbeReport
from .telling import points


def print_probe(report: ProbeReport) -> None:
    """Print what was probed on what, the table of accuracies by ε, the recommendation, and what it means."""
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
    title = "Accuracy (%) by ε of the probe: clean, certified within the ball of that ε"
    if report.attack is not None:
        title += f", and of {report.attack.pictures} pictures attacked within each ℓ2 radius"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 1, 0, 0))
    for name in (
        "ε",
        "C",
        "clean",
        "95 %",
        "certified",
        *(f"{r:g}" for r in ([] if report.attack is None else report.attack.radii)),
    ):
        table.add_column(name, justify="right", no_wrap=True)
    if report.attack is not None:
        table.add_column("median ℓ2", justify="right")
    for at, level in enumerate(report.levels):
        low, high = level.clean_interval
        middle = [] if report.attack is None else [_number(level.median_perturbation)]
        table.add_row(
            f"{level.epsilon:g}",
            f"{level.C:g}",
            f"{100 * level.clean:.1f}",
            f"{100 * low:.1f}–{100 * high:.1f}",
            f"{100 * level.certified[at]:.1f}",
            *(f"{100 * share:.1f}" for share in level.robust or []),
            *middle,
        )
    console.print(table)
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


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
