"""The command line: thin, quick to start, results on stdout, progress and errors on stderr.

Exit codes: 0 done; 2 bad arguments (a file that cannot be written among them); 3 the model or its
representations cannot be used; 130 interrupted, with nothing half-written.
"""

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from . import __version__
from .errors import ArgumentError, SynBenchError
from .output import check_writable, replacing
from .settings import make_settings

if TYPE_CHECKING:
    from .report import Report

_EPILOG = (
    "Exit codes: 0 done; 2 bad arguments, or an output that cannot be written; "
    "3 the model or its representations cannot be used; 130 interrupted, nothing half-written."
)
_INTERRUPTED = "interrupted; nothing is half-written."

app = typer.Typer(
    name="synbench",
    help="Tell how good a pretrained vision encoder is, without any data.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> NoReturn:
    """Run the command line and exit with a documented code."""
    # A terminal or pipe without Greek letters shows a question mark for them, and the result beside it.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except SynBenchError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _say(_INTERRUPTED)
        sys.exit(130)
    sys.exit(0)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"synbench {__version__}")
        raise typer.Exit


@app.command(epilog=_EPILOG)
def score(
    model: Annotated[str | None, typer.Argument(help="Hub id or local folder; without it, the demo encoder.")] = None,
    protocol: Annotated[str, typer.Option(help="Only 'paper' so far.")] = "paper",
    samples: Annotated[int, typer.Option(help="Images per scale and split, at least 3.")] = 2048,
    scales: Annotated[str | None, typer.Option(help="Comma-separated, such as 0.5,1,2; default 0.1 to 4.9.")] = None,
    epsilons: Annotated[str | None, typer.Option(help="Comma-separated, in [0, 1); default 0,0.2,0.4,0.6,0.8.")] = None,
    thresholds: Annotated[str | None, typer.Option(help="Comma-separated, in [0.6, 1); default 0.6 to 0.99.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same number.")] = 0,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda:0; default the accelerator.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 (default), bfloat16, float16 or float64.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a forward pass.")] = None,
    image_size: Annotated[str | None, typer.Option(help="Such as 224 or 256,192; default the model's own.")] = None,
    image_mean: Annotated[str | None, typer.Option(help="One number, or one a channel; default the model's.")] = None,
    image_std: Annotated[str | None, typer.Option(help="One number, or one a channel; default the model's.")] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run the model's own code; needs a pinned --revision.")
    ] = False,
    as_published: Annotated[bool, typer.Option("--as-published", help="The authors' script to the digit.")] = False,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Score the untrained twin: same architecture, random weights.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole record as JSON.")] = False,
    output: Annotated[Path | None, typer.Option(help="Write the record as JSON to exactly this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the curves into this .png, .svg or .pdf.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Score an encoder: draw Gaussian images, embed them, compare with the known optimum."""
    # typer would end an interrupted command without a word.
    try:
        # Everything that can be refused at once is refused before the long run.
        asked: dict[str, Any] = {
            "protocol": protocol,
            "samples": samples,
            "scales": _numbers(scales),
            "epsilons": _numbers(epsilons),
            "thresholds": _numbers(thresholds),
            "seed": seed,
            "as_published": as_published,
        }
        make_settings(**asked)
        for path in filter(None, (output, plot)):
            check_writable(path)
        if output is not None and plot is not None and output.resolve() == plot.resolve():
            raise ArgumentError(f"--output and --plot must be two files, got {str(output)!r} for both.")
        if plot is not None:
            from .plots import check_plot_format

            check_plot_format(plot)

        from .checkpoints import DEMO
        from .scoring import score as score_model

        report = score_model(
            DEMO if model is None else model,
            **asked,
            revision=revision,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            image_size=_numbers(image_size, int),
            image_mean=_one_or_all(_numbers(image_mean)),
            image_std=_one_or_all(_numbers(image_std)),
            trust_remote_code=trust_remote_code,
            untrained=untrained,
            progress=False if quiet else None,
        )
        # Shown before it is stored: a full disk does not cost the result.
        if as_json:
            typer.echo(report.to_json())
        else:
            _print_table(report)
        if output is not None:
            with replacing(output) as stream:
                stream.write((report.to_json() + "\n").encode())
            _say(f"wrote {output}")
        if plot is not None:
            from .plots import save_plot

            save_plot(report, plot)
            _say(f"wrote {plot}")
    except KeyboardInterrupt:
        _say(_INTERRUPTED)
        raise typer.Exit(130) from None


@app.command()
def register(
    remove: Annotated[bool, typer.Option("--remove", help="Take the module away again.")] = False,
) -> None:
    """Make evaluate.load("synbench") work by its bare name, from any folder, without a network."""
    from . import registration

    if remove:
        typer.echo("removed" if registration.unregister() else "was not registered")
    else:
        typer.echo(f"registered {registration.register()}")


def _print_table(report: "Report") -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

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
    console.print(
        f"{report.protocol} protocol: {len(report.scales)} scales × 2 splits × {settings.samples} images = "
        f"{report.images:,} images in {report.seconds:.0f} s",
        soft_wrap=True,
    )
    table = Table(
        box=box.SIMPLE_HEAD, title="SynBench-Score by ε (rows) and threshold accuracy a_t", title_justify="left"
    )
    table.add_column("ε", justify="right")
    for threshold in report.thresholds:
        table.add_column(f"{threshold:g}", justify="right")
    for epsilon, row in zip(report.epsilons, report.scores, strict=True):
        table.add_row(f"{epsilon:g}", *("–" if value is None else f"{value:.3f}" for value in row))
    console.print(table)
    headline = "undefined" if report.synbench_score is None else f"{report.synbench_score:.4f}"
    console.print(f"[bold]synbench_score {headline}[/bold]  (ε = 0, a_t = 0.7; 1 keeps all of the optimum, 0 nothing)")
    for warning in report.warnings:
        console.print(f"note: {warning}", soft_wrap=True, markup=False)


def _numbers(text: str | None, kind: type[float] = float) -> list[float] | None:
    try:
        return None if text is None else [kind(part) for part in text.split(",")]
    except ValueError as error:
        raise ArgumentError(f"expected numbers separated by commas, such as 0.5,1,2, got {text!r}.") from error


def _one_or_all(values: list[float] | None) -> float | list[float] | None:
    return values[0] if values is not None and len(values) == 1 else values


def _say(message: str) -> None:
    typer.echo(f"synbench: {message}", err=True)


if __name__ == "__main__":
    main()
