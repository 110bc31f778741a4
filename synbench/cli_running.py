"""What the commands share: what they say on stderr, the files that they write, and how they are interrupted."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from .errors import ArgumentError
from .output import check_writable, replacing

_INTERRUPTED = "interrupted; nothing is half-written. What is in the cache already is used by the next call."


def main_process() -> bool:
    """Tell whether this is the process that speaks; without a launcher, it is."""
    if "LOCAL_RANK" not in os.environ:
        return True
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


@contextmanager
def interruptible() -> Iterator[None]:
    """Say what an interrupted command leaves: typer would end it without a word."""
    try:
        yield
    except KeyboardInterrupt:
        interrupted()
        raise typer.Exit(130) from None


def interrupted() -> None:
    """Say what is left of a command that was interrupted."""
    if main_process():
        say(_INTERRUPTED)


def write(record: Any, output: Path | None) -> None:
    """Write a record as JSON, whole or not at all, where a file was asked for."""
    if output is not None:
        with replacing(output) as stream:
            stream.write((record.to_json() + "\n").encode())
        say(f"wrote {output}")


def check_files(output: Path | None, plot: Path | None) -> None:
    """Refuse files that could not be written, before the work.

    Raises:
        ArgumentError: they are one and the same, or the picture has no known format.
        OutputError: one cannot be written.
    """
    for path in filter(None, (output, plot)):
        check_writable(path)
    if output is not None and plot is not None and output.resolve() == plot.resolve():
        raise ArgumentError(f"--output and --plot must be two files, got {str(output)!r} for both.")
    if plot is not None:
        from .plots import check_plot_format

        check_plot_format(plot)


def say(message: str) -> None:
    """Say something on stderr."""
    typer.echo(f"synbench: {message}", err=True)
