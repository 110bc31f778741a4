"""The command line: thin, quick to start, results on stdout, progress and errors on stderr.

Exit codes: 0 done; 2 bad arguments (a file that cannot be written among them); 3 the model or its
representations cannot be used; 130 interrupted, with nothing half-written.
"""

import io
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from . import __version__, cli_cache
from .errors import ArgumentError, SynBenchError
from .output import check_writable, replacing
from .settings import IMAGES, make_settings

_EPILOG = (
    "Exit codes: 0 done; 2 bad arguments, or an output that cannot be written; "
    "3 the model or its representations cannot be used; 130 interrupted, nothing half-written."
)
_INTERRUPTED = "interrupted; nothing is half-written. What is in the cache already is used by the next call."

# Options that commands share.
_Protocol = Annotated[
    str | None, typer.Option(help="population (default), or paper: also the default where --samples is given.")
]
_Images = Annotated[int | None, typer.Option(help="Population: images in all; default 8192.")]
_TargetStderr = Annotated[float | None, typer.Option(help="Population: draw more until the error is this small.")]
_MaxImages = Annotated[int | None, typer.Option(help="Population: where to stop on the way; default 65536.")]
_Samples = Annotated[int | None, typer.Option(help="Paper: images per scale and split; default 2048.")]
_Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.")]
_ImageSize = Annotated[str | None, typer.Option(help="Such as 224 or 256,192; default the model's own.")]
_ImageMean = Annotated[str | None, typer.Option(help="One number, or one a channel; default the model's.")]
_ImageStd = Annotated[str | None, typer.Option(help="One number, or one a channel; default the model's.")]
_TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run the model's own code; needs a pinned --revision.")
]
_Seed = Annotated[int, typer.Option(help="Same seed, same number.")]
_Device = Annotated[str | None, typer.Option(help="Such as cpu or cuda:0; default the accelerator.")]
_Dtype = Annotated[str | None, typer.Option(help="float32 (default), bfloat16, float16 or float64.")]
_BatchSize = Annotated[
    int | None, typer.Option(help="Images a forward pass; default found, halved if memory runs out.")
]
_NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither keep representations nor use kept ones.")]
_Fresh = Annotated[bool, typer.Option("--fresh", help="Embed again what is in the cache.")]
_Pooling = Annotated[str | None, typer.Option(help="cls, mean, cls+mean, pooler or projected; default by the rule.")]
_BaselineKind = Annotated[str | None, typer.Option(help="untrained: score the untrained twin too, on the same images.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Print the whole record as JSON.")]
_Output = Annotated[Path | None, typer.Option(help="Write the record as JSON to exactly this file.")]
_Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]

app = typer.Typer(
    name="synbench",
    help="Tell how good a pretrained vision encoder is, without any data.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(cli_cache.app, name="cache")


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
        if _main_process():
            _say(str(error))
        code = error.exit_code
    except KeyboardInterrupt:
        _say(_INTERRUPTED)
        code = 130
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
    protocol: _Protocol = None,
    images: _Images = None,
    target_stderr: _TargetStderr = None,
    max_images: _MaxImages = None,
    samples: _Samples = None,
    scales: Annotated[str | None, typer.Option(help="Comma-separated, such as 0.5,1,2; default 0.1 to 4.9.")] = None,
    epsilons: Annotated[str | None, typer.Option(help="Comma-separated, in [0, 1); default 0,0.2,0.4,0.6,0.8.")] = None,
    thresholds: Annotated[str | None, typer.Option(help="Comma-separated, in [0.6, 1); default 0.6 to 0.99.")] = None,
    seed: _Seed = 0,
    revision: _Revision = None,
    pooling: _Pooling = None,
    device: _Device = None,
    dtype: _Dtype = None,
    batch_size: _BatchSize = None,
    image_size: _ImageSize = None,
    image_mean: _ImageMean = None,
    image_std: _ImageStd = None,
    trust_remote_code: _TrustRemoteCode = False,
    as_published: Annotated[bool, typer.Option("--as-published", help="The authors' script to the digit.")] = False,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Score the untrained twin: same architecture, random weights.")
    ] = False,
    baseline: _BaselineKind = None,
    fresh: _Fresh = False,
    no_cache: _NoCache = False,
    as_json: _AsJson = False,
    output: _Output = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the curves into this .png, .svg or .pdf.")] = None,
    quiet: _Quiet = False,
) -> None:
    """Score an encoder: draw Gaussian images, embed them, compare with the known optimum."""
    # typer would end an interrupted command without a word.
    try:
        # Everything that can be refused at once is refused before the long run.
        asked: dict[str, Any] = {
            "protocol": protocol,
            "images": images,
            "target_stderr": target_stderr,
            "max_images": max_images,
            "samples": samples,
            "scales": _numbers(scales),
            "epsilons": _numbers(epsilons),
            "thresholds": _numbers(thresholds),
            "seed": seed,
            "as_published": as_published,
        }
        make_settings(**asked)
        _check_files(output, plot)

        from .checkpoints import DEMO
        from .scoring import score as score_model

        report = score_model(
            DEMO if model is None else model,
            **asked,
            revision=revision,
            pooling=pooling,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            image_size=_numbers(image_size, int),
            image_mean=_one_or_all(_numbers(image_mean)),
            image_std=_one_or_all(_numbers(image_std)),
            trust_remote_code=trust_remote_code,
            untrained=untrained,
            baseline=baseline,
            cache=not no_cache,
            fresh=fresh,
            distributed=True,
            progress=False if quiet else None,
        )
        if not _main_process():
            return
        # Shown before it is stored: a full disk does not cost the result.
        if as_json:
            typer.echo(report.to_json())
        else:
            from .terminal import print_report

            print_report(report)
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


@app.command(epilog=_EPILOG)
def compare(
    models: Annotated[
        list[str], typer.Argument(help="Hub ids, local folders, or results (.json), two or more.", show_default=False)
    ],
    epsilon: Annotated[float, typer.Option(help="Robustness level of the compared score.")] = 0.0,
    threshold: Annotated[float, typer.Option(help="Threshold accuracy of the compared score.")] = 0.7,
    level: Annotated[float, typer.Option(help="Probability of telling any two equal encoders apart.")] = 0.05,
    protocol: _Protocol = None,
    images: _Images = None,
    target_stderr: _TargetStderr = None,
    max_images: _MaxImages = None,
    samples: _Samples = None,
    seed: _Seed = 0,
    device: _Device = None,
    dtype: _Dtype = None,
    batch_size: _BatchSize = None,
    baseline: _BaselineKind = None,
    fresh: _Fresh = False,
    no_cache: _NoCache = False,
    allow_mixed: Annotated[
        bool, typer.Option("--allow-mixed", help="Compare results of unlike protocols, scales or precisions too.")
    ] = False,
    as_json: _AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one row an encoder as CSV.")] = False,
    output: _Output = None,
    plot: Annotated[Path | None, typer.Option(help="Draw scores with intervals into this .png, .svg or .pdf.")] = None,
    quiet: _Quiet = False,
) -> None:
    """Compare encoders on the same images: differences with intervals, ranks that admit ties."""
    try:
        if as_json and as_csv:
            raise ArgumentError("--json and --csv both print to stdout: choose one, and --output for the JSON.")
        asked: dict[str, Any] = {
            "protocol": protocol,
            "images": images,
            "target_stderr": target_stderr,
            "max_images": max_images,
            "samples": samples,
            "seed": seed,
        }
        make_settings(**asked)
        _check_files(output, plot)

        from .comparing import compare as compare_models

        found = compare_models(
            models,
            epsilon=epsilon,
            threshold=threshold,
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
        if not _main_process():
            return
        if as_json:
            typer.echo(found.to_json())
        elif as_csv:
            typer.echo(found.to_csv(), nl=False)
        else:
            from .terminal import print_comparison

            print_comparison(found)
        if output is not None:
            with replacing(output) as stream:
                stream.write((found.to_json() + "\n").encode())
            _say(f"wrote {output}")
        if plot is not None:
            from .comparison_plot import save_comparison

            save_comparison(found, plot)
            _say(f"wrote {plot}")
    except KeyboardInterrupt:
        _say(_INTERRUPTED)
        raise typer.Exit(130) from None


@app.command(epilog=_EPILOG)
def check(
    model: Annotated[str | None, typer.Argument(help="Hub id or local folder; without it, the demo encoder.")] = None,
    images: Annotated[int, typer.Option(help="Of the score to reckon time and memory for.")] = IMAGES,
    revision: _Revision = None,
    pooling: _Pooling = None,
    device: _Device = None,
    dtype: _Dtype = None,
    batch_size: _BatchSize = None,
    image_size: _ImageSize = None,
    image_mean: _ImageMean = None,
    image_std: _ImageStd = None,
    trust_remote_code: _TrustRemoteCode = False,
    as_json: _AsJson = False,
) -> None:
    """Tell from eight images whether a model can be scored, how, how long it takes, and what it needs."""
    try:
        make_settings(images=images)

        from .checking import check as check_model
        from .checkpoints import DEMO

        found = check_model(
            DEMO if model is None else model,
            images=images,
            revision=revision,
            pooling=pooling,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            image_size=_numbers(image_size, int),
            image_mean=_one_or_all(_numbers(image_mean)),
            image_std=_one_or_all(_numbers(image_std)),
            trust_remote_code=trust_remote_code,
        )
        if as_json:
            typer.echo(found.to_json())
        else:
            from .terminal import print_check

            print_check(found)
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


def _main_process() -> bool:
    """Tell whether this is the process that speaks; without a launcher, it is."""
    return os.environ.get("RANK", "0") == "0"


def _check_files(output: Path | None, plot: Path | None) -> None:
    for path in filter(None, (output, plot)):
        check_writable(path)
    if output is not None and plot is not None and output.resolve() == plot.resolve():
        raise ArgumentError(f"--output and --plot must be two files, got {str(output)!r} for both.")
    if plot is not None:
        from .plots import check_plot_format

        check_plot_format(plot)


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
