"""What the command line prints: results as tables, on stdout."""

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .comparison import Comparison, rows
from .report import Report


def print_report(report: Report) -> None:
    """Print what was scored, the table of scores, κ, the headline with its interval, and what it means."""
    console = Console(highlight=False)
    settings, model = report.settings, report.settings.model
    if model is not None and settings.image_shape is not None and settings.precision is not None:
        commit = f" @ {model.commit[:12]}" if model.commit else ""
        twin = "" if model.trained else " (untrained twin)"
        console.print(f"[bold]{escape(model.id)}[/bold]{commit}{twin}", soft_wrap=True)
        console.print(
            f"{model.architecture}, {model.dimension} dimensions, images {'×'.join(map(str, settings.image_shape))}, "
            f"{settings.precision.dtype} on {settings.device}, seed {settings.seed}",
            soft_wrap=True,
        )
    size = f"{report.images:,} images in {report.seconds:.0f} s"
    if report.protocol == "paper" and settings.samples is not None:
        size = f"{len(report.scales)} scales × 2 splits × {settings.samples} images = {size}"
    console.print(f"{report.protocol} protocol: {size}", soft_wrap=True)
    table = Table(
        box=box.SIMPLE_HEAD,
        title="SynBench-Score by ε (rows) and threshold accuracy a_t",
        title_justify="left",
        # Eleven columns fit into 80 characters.
        padding=(0, 1, 0, 0),
    )
    table.add_column("ε", justify="right")
    if report.kappa is not None:
        table.add_column("κ", justify="right")
    for threshold in report.thresholds:
        table.add_column(f"{threshold:g}", justify="right")
    for number, (epsilon, row) in enumerate(zip(report.epsilons, report.scores, strict=True)):
        kappa = [] if report.kappa is None else [f"{report.kappa[number]:.3f}"]
        table.add_row(f"{epsilon:g}", *kappa, *("–" if value is None else f"{value:.3f}" for value in row))
    console.print(table)
    headline, interval = "undefined", ""
    if report.synbench_score is not None:
        headline = f"{report.synbench_score:.4f}"
    if report.stderr is not None and report.interval is not None:
        low, high = report.interval
        interval = f"  (95 % interval {low:.4f} to {high:.4f}, standard error {report.stderr:.4f})"
    console.print(f"[bold]synbench_score {headline}[/bold]{interval}", soft_wrap=True)
    console.print(report.meaning, soft_wrap=True, markup=False)
    for warning in report.warnings:
        console.print(f"note: {warning}", soft_wrap=True, markup=False)


def print_comparison(comparison: Comparison) -> None:
    """Print ranks, tie groups and scores with their intervals, best first."""
    console = Console(highlight=False)
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"SynBench-Score at ε = {comparison.epsilon:g}, a_t = {comparison.threshold:g} "
        f"({comparison.protocol} protocol)",
        title_justify="left",
    )
    for name, side in (("rank", "right"), ("ties", "left"), ("model", "left"), ("score", "right")):
        table.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("κ", justify="right")
    for row in rows(comparison):
        table.add_row(*map(escape, row))
    console.print(table)
    console.print(
        f"Encoders that share a letter are not told apart at the {comparison.level:.0%} level, all pairs considered "
        f"(Holm). 1 keeps all of the optimum, 0 nothing.",
        soft_wrap=True,
    )
    for warning in comparison.warnings:
        console.print(f"note: {warning}", soft_wrap=True, markup=False)
