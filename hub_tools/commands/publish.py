"""``synbench hub publish``: the metric, the app and the benchmark dataset, rendered from this repository."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .answers import agreed

if TYPE_CHECKING:
    from hub_tools.client.hub import Hub
    from hub_tools.publication.publishing import Difference, Publication

_MOST_TOLD = 12
_BINARY = (".safetensors", ".parquet")


def publish(
    what: Annotated[str, typer.Argument(help="metric, app or dataset.", show_default=False)],
    repo: Annotated[str, typer.Argument(help="Repository, such as user/synbench.", show_default=False)],
    to: Annotated[Path | None, typer.Option(help="Write the files into this folder too.")] = None,
    static: Annotated[
        bool, typer.Option("--static", help="Metric: a page in place of the app, for accounts that host none.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Render, and send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Publish the metric's Space, the app's Space, or the mixture as a benchmark dataset."""
    from hub_tools.publication import publishing

    made = publishing.render(what, repo, static=static)
    if to is not None:
        publishing.write(made, to)
        typer.echo(f"wrote {len(made.files)} files, {made.size / 1e6:.1f} MB, to {to}")
    if dry_run:
        if to is None:
            _list(made)
        return

    from hub_tools.client.hub import Hub

    hub = Hub()
    difference = publishing.compare(hub, made)
    if difference.empty:
        typer.echo(f"nothing to do: {made.kind} {repo} has all of it")
        return
    _show(hub, made, difference)
    if not (yes or agreed()):
        typer.echo("nothing was written")
        return
    typer.echo(f"done: {publishing.publish(hub, made, difference)}")


def _list(made: "Publication") -> None:
    for path, content in sorted(made.files.items()):
        typer.echo(f"{len(content):>10,}  {path}")
    typer.echo(f"{made.size:>10,}  in {len(made.files)} files for the {made.kind} {made.repo_id}")
    front_matter = made.files["README.md"].decode().split("---\n")[1]
    typer.echo(f"\n---\n{front_matter}---")


def _show(hub: "Hub", made: "Publication", difference: "Difference") -> None:
    from hub_tools.publication import publishing
    from hub_tools.score.changes import difference_of

    where = f"a new {made.kind}" if difference.base is None else f"the {made.kind}"
    typer.echo(f"This would send to {where} {made.repo_id}:", err=True)
    for name, paths in (("new", difference.new), ("left as it is", difference.kept)):
        shown = ", ".join(paths[:_MOST_TOLD]) + (f" and {len(paths) - _MOST_TOLD} more" * (len(paths) > _MOST_TOLD))
        if paths:
            typer.echo(f"  {name}: {shown}", err=True)
    # Never cut: somebody may have edited these there.
    for path in difference.changed:
        typer.echo(f"  changed: {path}", err=True)
    if not difference.tagged:
        typer.echo(f"  tag: {made.tag}", err=True)
    for path in difference.changed:
        if Path(path).suffix not in _BINARY:
            before = publishing.current(hub, made, difference, path)
            typer.echo(difference_of(path, before, made.files[path]), nl=False)
