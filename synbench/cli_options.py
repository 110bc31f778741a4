"""The options that commands share, and how their text is read."""

import csv
from pathlib import Path
from typing import Annotated

import typer

from .errors import ArgumentError

Protocol = Annotated[
    str | None, typer.Option(help="population (default), or paper: also the default where --samples is given.")
]
Images = Annotated[int | None, typer.Option(help="Population: images in all; default 8192.")]
TargetStderr = Annotated[
    float | None, typer.Option(help="Population: draw more until the error of the score (textures: κ) is this small.")
]
MaxImages = Annotated[int | None, typer.Option(help="Population: where to stop on the way; default 65536.")]
Samples = Annotated[int | None, typer.Option(help="Paper: images per scale and split; default 2048.")]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.")]
ImageSize = Annotated[str | None, typer.Option(help="Such as 224 or 256,192; default the model's own.")]
ImageMean = Annotated[str | None, typer.Option(help="One number, or one a channel; default the model's.")]
ImageStd = Annotated[str | None, typer.Option(help="One number, or one a channel; default the model's.")]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run the model's own code; needs a pinned --revision.")
]
Seed = Annotated[int, typer.Option(help="Same seed, same number.")]
Direction = Annotated[
    str | None,
    typer.Option(
        help="What the classes differ along: uniform (default), random, or texture (population protocol; read κ)."
    ),
]
Device = Annotated[str | None, typer.Option(help="Such as cpu or cuda:0; default the accelerator.")]
Dtype = Annotated[str | None, typer.Option(help="float32 (default), bfloat16, float16 or float64.")]
BatchSize = Annotated[int | None, typer.Option(help="Images a forward pass; default found, halved if memory runs out.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither keep representations nor use kept ones.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Embed again what is in the cache.")]
Pooling = Annotated[str | None, typer.Option(help="cls, mean, cls+mean, pooler or projected; default by the rule.")]
BaselineKind = Annotated[str | None, typer.Option(help="untrained: score the untrained twin too, on the same images.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the whole record as JSON.")]
Output = Annotated[Path | None, typer.Option(help="Write the record as JSON to exactly this file.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]


def numbers(text: str | None, kind: type[float] = float) -> list[float] | None:
    """Read numbers separated by commas.

    Raises:
        ArgumentError: they are not.
    """
    try:
        return None if text is None else [kind(part) for part in text.split(",")]
    except ValueError as error:
        raise ArgumentError(f"expected numbers separated by commas, such as 0.5,1,2, got {text!r}.") from error


def names(text: str | None) -> list[str] | None:
    """Read names separated by commas; those that have a comma themselves stand in double quotes.

    Raises:
        ArgumentError: there is more than one line, or a name that begins with a quote does not end with one.
    """
    if text is None:
        return None
    try:
        # A quote that is never closed takes the line after for a part of the name.
        rows = list(csv.reader([f"{text}\n", "next"], skipinitialspace=True))
    except csv.Error:
        rows = []
    if len(rows) != 2 or len(text.splitlines(keepends=True)) > 1:
        raise ArgumentError(
            f"expected names in one line, separated by commas, those that have a comma in double quotes, such as "
            f"'goldfish,\"tench, Tinca tinca\"', got {text!r}."
        )
    return [name.strip() for name in rows[0]] or [""]


def one_or_all(values: list[float] | None) -> float | list[float] | None:
    """Return one number as it is, for all channels."""
    return values[0] if values is not None and len(values) == 1 else values
