"""``synbench cache``: what is kept of earlier studies, and making room."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from .errors import ArgumentError, OutputError

app = typer.Typer(
    help="List, remove or find the representations that are kept.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def path() -> None:
    """Print the folder of the cache; HF_ASSETS_CACHE or HF_HOME move it."""
    from . import cache

    typer.echo(cache.root())


@app.command()
def ls(as_json: Annotated[bool, typer.Option("--json", help="Print the entries as JSON.")] = False) -> None:
    """List what is kept, the last used first."""
    from . import cache

    entries = cache.list_entries()
    if as_json:
        plain = [{**asdict(entry), "folder": str(entry.folder), "name": entry.name} for entry in entries]
        typer.echo(json.dumps(plain, indent=2))
        return
    from .terminal import print_entries

    print_entries(entries, cache.limit())


@app.command()
def rm(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models, or names of entries as ls shows them.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove all entries.")] = False,
) -> None:
    """Remove all entries of models, single entries, or everything."""
    from . import cache

    if everything == bool(names):
        raise ArgumentError("expected names of models or entries, or --all. See `synbench cache ls`.")
    entries = cache.list_entries()
    chosen = [e for e in entries if everything or e.model in (names or []) or e.name in (names or [])]
    unknown = [n for n in names or [] if not any(n in (e.model, e.name) for e in entries)]
    if unknown:
        raise ArgumentError(f"nothing is kept of {', '.join(map(repr, unknown))}. See `synbench cache ls`.")
    gone = [entry for entry in chosen if entry.remove()]
    if everything:
        cache.forget()
    typer.echo(
        f"removed {len(gone)} {'entry' if len(gone) == 1 else 'entries'}, {sum(e.bytes for e in gone) / 1e6:,.1f} MB"
    )
    if len(gone) < len(chosen):
        raise OutputError(
            f"cannot remove {len(chosen) - len(gone)} of {len(chosen)}: somebody else's, or being written."
        )
