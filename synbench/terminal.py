"""What the command line prints: results as tables, on stdout."""

from datetime import UTC, datetime

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .cache import Listed
from .checking import Check
from .comparison import Comparison, headings, quantity, rows
from .report import Report
from .settings import TEXTURE


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
    if report.from_cache:
        size += ", from cache" if report.from_cache == report.images else f", {report.from_cache:,} from cache"
    if report.protocol == "paper" and settings.samples is not None:
        size = f"{len(report.scales)} scales × 2 splits × {settings.samples} images = {size}"
    console.print(f"{report.protocol} protocol: {size}", soft_wrap=True)
    if settings.direction == TEXTURE:
        console.print(_kappas(report))
    else:
        console.print(_scores(report))
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


def _scores(report: Report) -> Table:
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
    return table


def _kappas(report: Report) -> Table:
    """Of textures κ is what to read: most scores are 0 there, surely, whatever the encoder keeps."""
    table = Table(box=box.SIMPLE_HEAD, title="κ of textures by ε", title_justify="left")
    for name in ("ε", "κ", "95 % interval"):
        table.add_column(name, justify="right")
    for epsilon, kappa, interval in zip(report.epsilons, report.kappa or [], report.kappa_interval or [], strict=False):
        around = "–" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
        table.add_row(f"{epsilon:g}", "–" if kappa is None else f"{kappa:.3f}", around)
    return table


def print_comparison(comparison: Comparison) -> None:
    """Print ranks, tie groups and scores, or κ, with their intervals, best first."""
    console = Console(highlight=False)
    of_score = comparison.measure == "score"
    at = f"ε = {comparison.epsilon:g}" + (f", a_t = {comparison.threshold:g}" if of_score else "")
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{quantity(comparison)} at {at} ({comparison.protocol} protocol)",
        title_justify="left",
    )
    rank, ties, model, value, interval, other = headings(comparison)
    for name, side in ((rank, "right"), (ties, "left"), (model, "left"), (value, "right")):
        table.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    table.add_column(interval, justify="right", no_wrap=True)
    table.add_column(other, justify="right")
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


def print_check(found: Check) -> None:
    """Print what a study of a model would be."""
    console = Console(highlight=False)
    model, commit = found.model, f" @ {found.model.commit[:12]}" if found.model.commit else ""
    console.print(f"[bold]{escape(model.id)}[/bold]{commit} can be scored.", soft_wrap=True)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    few = found.missing_weights[:3]
    missing = (
        f"{len(found.missing_weights)}, none of them needed: {', '.join(few)}{' …' * (len(found.missing_weights) > 3)}"
    )
    mean, std = (
        ", ".join(f"{v:g}" for v in values)
        for values in (found.preprocessing.image_mean, found.preprocessing.image_std)
    )
    rows = {
        "architecture": model.architecture,
        "dimension": str(model.dimension),
        "pooling": f"{model.pooling} ({model.pooling_reason})",
        "input": f"{'×'.join(map(str, found.image_shape))} (from {found.preprocessing.source})",
        "normalization": f"(x − [{mean}]) / [{std}]",
        "precision": f"{found.precision.dtype} on {found.device} ({found.precision.reason})",
        "missing weights": missing if few else "none",
        "parameters": "unknown" if found.parameters is None else f"{found.parameters:,}",
        "speed": f"{_rate(found.images_per_second)} images/s, tried on 8; batches begin at {found.batch_size}",
        "a full score": f"{found.images:,} images, about {_duration(found.seconds)} and {_bytes(found.memory_bytes)}",
    }
    for name, value in rows.items():
        table.add_row(name, escape(value))
    console.print(table)
    for warning in found.warnings:
        console.print(f"note: {warning}", soft_wrap=True, markup=False)


def print_entries(entries: list[Listed], limit: float) -> None:
    """Print what is kept of earlier studies."""
    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("entry", no_wrap=True)
    table.add_column("model", overflow="fold")
    for name in ("images", "size", "last used"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry in entries:
        shape = "×".join(map(str, entry.image_shape))
        how = f"{shape} {entry.dtype} {entry.device}, {entry.protocol}, seed {entry.seed}"
        what = f"{escape(entry.model)}\n[dim]{how}[/dim]"
        used = datetime.fromtimestamp(entry.used, tz=UTC).astimezone().strftime("%m-%d %H:%M")
        table.add_row(entry.name, what, f"{entry.images:,}", _bytes(entry.bytes), used)
    if entries:
        console.print(table)
    total = sum(entry.bytes for entry in entries)
    count = "1 entry" if len(entries) == 1 else f"{len(entries)} entries"
    console.print(f"{count}, {_bytes(total)} of {_bytes(limit)}.", soft_wrap=True)


def _rate(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
