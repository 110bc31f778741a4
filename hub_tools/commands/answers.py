"""Asking for a yes."""

import sys

import typer

from synbench.errors import ArgumentError


def agreed() -> bool:
    """Ask at the terminal whether to go on; only a typed "yes" is one.

    Raises:
        ArgumentError: there is no terminal.
    """
    if not sys.stdin.isatty():
        raise ArgumentError(
            "nothing was written: there is no terminal to ask at. Pass --yes to do it, or --dry-run to see it first."
        )
    typer.echo('Type "yes" to do this: ', err=True, nl=False)
    return sys.stdin.readline().strip() == "yes"
