"""``synbench hub push``: one score, one pull request, after a yes."""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from synbench.cli_options import AsJson
from synbench.errors import ArgumentError

if TYPE_CHECKING:
    from hub_tools.score.changes import Place
    from hub_tools.score.pushing import Proposal

_WORTH_TELLING = 3.0


def push(
    report: Annotated[Path, typer.Argument(help="Result that `synbench score --output` wrote.", show_default=False)],
    repo: Annotated[str, typer.Argument(help="The model on the Hub that was scored.", show_default=False)],
    only: Annotated[str | None, typer.Option(help="model-index or eval-results; default both.")] = None,
    direct: Annotated[bool, typer.Option("--direct", help="Commit to main of your own repository instead.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    benchmark: Annotated[str | None, typer.Option(help="Dataset on the Hub that the results name.")] = None,
    source_url: Annotated[str | None, typer.Option(help="Page that tells of the numbers.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put a score on its model's card by one pull request: shows what would change, and asks."""
    from hub_tools.client.hub import Hub
    from hub_tools.client.pacing import Pace
    from hub_tools.score.pushing import push_score
    from hub_tools.score.results import BENCHMARK
    from synbench.report import Report

    unasked = False

    def confirm(proposal: "Proposal") -> bool:
        nonlocal unasked
        # With --json, stdout is for the record, which has the difference in it.
        _show(proposal, to_stderr=as_json)
        if yes or dry_run:
            return yes
        if not sys.stdin.isatty():
            unasked = True
            return False
        typer.echo('Type "yes" to do this: ', err=True, nl=False)
        return sys.stdin.readline().strip() == "yes"

    try:
        done = push_score(
            Report.read(report),
            repo,
            only=cast("Place | None", only),
            direct=direct,
            dry_run=dry_run,
            yes=yes,
            confirm=confirm,
            benchmark=benchmark or BENCHMARK,
            source_url=source_url,
            hub=Hub(pace=Pace(sleep=_wait)),
        )
    except KeyboardInterrupt:
        typer.echo("synbench: interrupted; if something was sent already, the next call finds it.", err=True)
        raise typer.Exit(130) from None
    if as_json:
        typer.echo(json.dumps(asdict(done), indent=2))
    elif done.action == "nothing":
        typer.echo(f"nothing to do: {done.reason}")
        for path, reason in sorted(done.refused.items()):
            typer.echo(f"{path} is left as it is: {reason}")
    elif done.done:
        typer.echo(f"done: {done.url}")
        if done.warning:
            typer.echo(f"synbench: {done.warning}", err=True)
    if unasked:
        raise ArgumentError(
            "nothing was written: there is no terminal to ask at. Pass --yes to do what is shown, or --dry-run to "
            "only show it."
        )
    if not (done.done or dry_run or as_json):
        typer.echo("nothing was written")


def _show(proposal: "Proposal", *, to_stderr: bool) -> None:
    lines: list[Any] = [proposal.change.diff.rstrip("\n"), ""]
    for path, reason in sorted(proposal.change.refused.items()):
        lines += [f"{path} is left as it is: {reason}", ""]
    lines.append(f"This would {proposal.reason}")
    typer.echo("\n".join(lines), err=to_stderr)


def _wait(seconds: float) -> None:
    if seconds >= _WORTH_TELLING:
        typer.echo(f"synbench: waiting {seconds:.0f} s for the Hub", err=True)
    time.sleep(seconds)
