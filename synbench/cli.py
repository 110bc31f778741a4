"""The command line: thin, quick to start, results on stdout, progress and errors on stderr.

Exit codes: 0 done; 2 bad arguments (a file that cannot be written among them); 3 the model or its
representations cannot be used; 4 the Hub cannot be reached, or refuses; 130 interrupted, with nothing half-written.
"""

import io
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from hub_tools.commands import app as hub_app

from . import __version__, cli_cache, cli_probe
from . import cli_options as o
from .cli_running import check_files, interrupted, interruptible, main_process, say, write
from .errors import ArgumentError, SynBenchError
from .settings import IMAGES, make_settings

_EPILOG = (
    "Exit codes: 0 done; 2 bad arguments, or an output that cannot be written; "
    "3 the model or its representations cannot be used; 4 the Hub cannot be reached, or refuses; 130 interrupted, "
    "nothing half-written."
)

_HEAD_START = 2.0

app = typer.Typer(
    name="synbench",
    help="Tell how much of a known optimum a pretrained vision encoder keeps, without any data.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(cli_cache.app, name="cache")
app.add_typer(hub_app, name="hub")


def main() -> NoReturn:
    """Run the command line and exit with a documented code."""
    # A terminal or pipe without Greek letters shows a question mark for them, and the result beside it.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    code = 0
    try:
        app()
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else 1
    except SynBenchError as error:
        if main_process():
            say(str(error))
        code = error.exit_code
    except KeyboardInterrupt:
        interrupted()
        code = 130
    if code and not main_process():
        # A launcher ends all processes when the first one fails: the one that tells why comes first.
        time.sleep(_HEAD_START)
    if "accelerate" in sys.modules:
        from .processes import dismiss

        dismiss()
    sys.exit(code)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"synbench {__version__}")
        raise typer.Exit


@app.command(epilog=_EPILOG)
def score(
    model: Annotated[str | None, typer.Argument(help="Hub id or local folder; without it, the demo encoder.")] = None,
    protocol: o.Protocol = None,
    images: o.Images = None,
    target_stderr: o.TargetStderr = None,
    max_images: o.MaxImages = None,
    samples: o.Samples = None,
    scales: Annotated[str | None, typer.Option(help="Comma-separated, such as 0.5,1,2; default 0.1 to 4.9.")] = None,
    epsilons: Annotated[str | None, typer.Option(help="Comma-separated, in [0, 1); default 0,0.2,0.4,0.6,0.8.")] = None,
    thresholds: Annotated[str | None, typer.Option(help="Comma-separated, in [0.6, 1); default 0.6 to 0.99.")] = None,
    seed: o.Seed = 0,
    direction: o.Direction = None,
    revision: o.Revision = None,
    pooling: o.Pooling = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
    batch_size: o.BatchSize = None,
    image_size: o.ImageSize = None,
    image_mean: o.ImageMean = None,
    image_std: o.ImageStd = None,
    trust_remote_code: o.TrustRemoteCode = False,
    as_published: Annotated[bool, typer.Option("--as-published", help="The authors' script to the digit.")] = False,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Score the untrained twin: same architecture, random weights.")
    ] = False,
    baseline: o.BaselineKind = None,
    fresh: o.Fresh = False,
    no_cache: o.NoCache = False,
    as_json: o.AsJson = False,
    output: o.Output = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the curves into this .png, .svg or .pdf.")] = None,
    quiet: o.Quiet = False,
) -> None:
    """Score an encoder: draw Gaussian images, embed them, compare with the known optimum."""
    with interruptible():
        # Everything that can be refused at once is refused before the long run.
        asked: dict[str, Any] = {
            "protocol": protocol,
            "images": images,
            "target_stderr": target_stderr,
            "max_images": max_images,
            "samples": samples,
            "scales": o.numbers(scales),
            "epsilons": o.numbers(epsilons),
            "thresholds": o.numbers(thresholds),
            "seed": seed,
            "direction": direction,
            "as_published": as_published,
        }
        make_settings(**asked)
        check_files(output, plot)

        from .folders import DEMO
        from .scoring import score as score_model

        report = score_model(
            DEMO if model is None else model,
            **asked,
            revision=revision,
            pooling=pooling,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            image_size=o.numbers(image_size, int),
            image_mean=o.one_or_all(o.numbers(image_mean)),
            image_std=o.one_or_all(o.numbers(image_std)),
            trust_remote_code=trust_remote_code,
            untrained=untrained,
            baseline=baseline,
            cache=not no_cache,
            fresh=fresh,
            distributed=True,
            progress=False if quiet else None,
        )
        if not main_process():
            return
        # Shown before it is stored: a full disk does not cost the result.
        if as_json:
            typer.echo(report.to_json())
        else:
            from .terminal import print_report

            print_report(report)
        write(report, output)
        if plot is not None:
            from .plots import save_plot

            save_plot(report, plot)
            say(f"wrote {plot}")


@app.command(epilog=_EPILOG)
def compare(
    models: Annotated[
        list[str], typer.Argument(help="Hub ids, local folders, or results (.json), two or more.", show_default=False)
    ],
    epsilon: Annotated[float, typer.Option(help="Robustness level of what is compared.")] = 0.0,
    threshold: Annotated[float, typer.Option(help="Threshold accuracy of the compared score.")] = 0.7,
    measure: Annotated[
        str | None, typer.Option(help="What is compared: score (default), or kappa, the default for textures.")
    ] = None,
    level: Annotated[float, typer.Option(help="Probability of telling any two equal encoders apart.")] = 0.05,
    protocol: o.Protocol = None,
    images: o.Images = None,
    target_stderr: o.TargetStderr = None,
    max_images: o.MaxImages = None,
    samples: o.Samples = None,
    seed: o.Seed = 0,
    direction: o.Direction = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
    batch_size: o.BatchSize = None,
    baseline: o.BaselineKind = None,
    fresh: o.Fresh = False,
    no_cache: o.NoCache = False,
    allow_mixed: Annotated[
        bool,
        typer.Option("--allow-mixed", help="Results of unlike protocols, scales, precisions or mixtures too."),
    ] = False,
    as_json: o.AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one row an encoder as CSV.")] = False,
    output: o.Output = None,
    plot: Annotated[Path | None, typer.Option(help="Draw it with intervals into this .png, .svg or .pdf.")] = None,
    quiet: o.Quiet = False,
) -> None:
    """Compare encoders on the same images: differences with intervals, ranks that admit ties."""
    with interruptible():
        if as_json and as_csv:
            raise ArgumentError("--json and --csv both print to stdout: choose one, and --output for the JSON.")
        asked: dict[str, Any] = {
            "protocol": protocol,
            "images": images,
            "target_stderr": target_stderr,
            "max_images": max_images,
            "samples": samples,
            "seed": seed,
            "direction": direction,
        }
        make_settings(**asked)
        check_files(output, plot)

        from .comparing import compare as compare_models

        found = compare_models(
            models,
            epsilon=epsilon,
            threshold=threshold,
            measure=measure,
            level=level,
            allow_mixed=allow_mixed,
            baseline=baseline,
            batch_size=batch_size,
            cache=not no_cache,
            fresh=fresh,
            distributed=True,
            progress=False if quiet else None,
            loading={"device": device, "dtype": dtype},
            **asked,
        )
        if not main_process():
            return
        if as_json:
            typer.echo(found.to_json())
        elif as_csv:
            typer.echo(found.to_csv(), nl=False)
        else:
            from .terminal import print_comparison

            print_comparison(found)
        write(found, output)
        if plot is not None:
            from .comparison_plot import save_comparison

            save_comparison(found, plot)
            say(f"wrote {plot}")


@app.command(epilog=_EPILOG)
def check(
    model: Annotated[str | None, typer.Argument(help="Hub id or local folder; without it, the demo encoder.")] = None,
    images: Annotated[int, typer.Option(help="Of the score to reckon time and memory for.")] = IMAGES,
    revision: o.Revision = None,
    pooling: o.Pooling = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
    batch_size: o.BatchSize = None,
    image_size: o.ImageSize = None,
    image_mean: o.ImageMean = None,
    image_std: o.ImageStd = None,
    trust_remote_code: o.TrustRemoteCode = False,
    as_json: o.AsJson = False,
) -> None:
    """Tell from eight images whether a model can be scored, how, how long it takes, and what it needs."""
    with interruptible():
        make_settings(images=images)

        from .checking import check as check_model
        from .folders import DEMO

        found = check_model(
            DEMO if model is None else model,
            images=images,
            revision=revision,
            pooling=pooling,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            image_size=o.numbers(image_size, int),
            image_mean=o.one_or_all(o.numbers(image_mean)),
            image_std=o.one_or_all(o.numbers(image_std)),
            trust_remote_code=trust_remote_code,
        )
        if not main_process():
            return
        if as_json:
            typer.echo(found.to_json())
        else:
            from .terminal import print_check

            print_check(found)


app.command(epilog=_EPILOG)(cli_probe.probe)


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


if __name__ == "__main__":
    main()
