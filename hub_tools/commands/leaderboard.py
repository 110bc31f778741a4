"""``synbench hub leaderboard``: scores read back from the Hub, joined with one's own, ranked with ties."""

from pathlib import Path
from typing import Annotated

import typer

from synbench import cli_options as o
from synbench.errors import ArgumentError
from synbench.output import check_writable, replacing


def leaderboard(
    results: Annotated[
        list[Path] | None, typer.Option(help="Folder with reports of your own; can be repeated.")
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(help="Id of a dataset on the Hub with reports; can be repeated.")
    ] = None,
    models: Annotated[Path | None, typer.Option(help="File with the ids of the models, one a line.")] = None,
    author: Annotated[str | None, typer.Option(help="The models of this user or organization.")] = None,
    tag: Annotated[str | None, typer.Option("--filter", help="Models with this tag.")] = None,
    search: Annotated[str | None, typer.Option(help="Models with this in their name.")] = None,
    benchmark: Annotated[str | None, typer.Option(help="Id of the benchmark dataset; default SynBench's.")] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="Which number, such as population_kappa; can be repeated; all for all.")
    ] = None,
    level: Annotated[float, typer.Option(help="Probability of telling any two equal models apart.")] = 0.05,
    as_json: o.AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one row a model and task as CSV.")] = False,
    output: o.Output = None,
) -> None:
    """Read scores back from cards and .eval_results, join your own, and rank them: with intervals and ties."""
    if as_json and as_csv:
        raise ArgumentError("--json and --csv both print to stdout: choose one, and --output for the JSON.")
    query = {"author": author, "filter": tag, "search": search}
    listing = any(value is not None for value in query.values())
    if models is not None and listing:
        raise ArgumentError("--models names the models; leave out --author, --filter and --search, or it.")
    if models is None and not listing and not results and not dataset:
        raise ArgumentError(
            "expected models to show: --author, --filter, --search or --models for scores on the Hub, --dataset for "
            "the results in a dataset, --results for your own, or several of these."
        )
    if output is not None:
        check_writable(output)

    from hub_tools.board import collecting
    from hub_tools.board.leaderboard import HEADLINES, make_leaderboard
    from hub_tools.score.results import BENCHMARK

    benchmark = benchmark or BENCHMARK
    own, warnings = collecting.local(results or [])
    published = None
    if models is not None or listing or dataset:
        from hub_tools.annotation.selecting import read_ids
        from hub_tools.client.hub import Hub

        ids = None if models is None else read_ids(models)
        hub = Hub()
        for repo_id in dataset or []:
            more, told = collecting.from_dataset(hub, repo_id)
            own, warnings = own + more, warnings + told
        if ids is not None:
            published = collecting.named(hub, benchmark, ids)
        elif listing:
            published = collecting.listed(hub, benchmark, **query)
    tasks = None if task and "all" in task else task or HEADLINES
    found = make_leaderboard(published, own, benchmark=benchmark, tasks=tasks, level=level, warnings=warnings)
    if as_json:
        typer.echo(found.to_json())
    elif as_csv:
        typer.echo(found.to_csv(), nl=False)
    else:
        from hub_tools.board.leaderboard_table import print_leaderboard

        print_leaderboard(found)
    if output is not None:
        with replacing(output) as stream:
            stream.write((found.to_json() + "\n").encode())
        typer.echo(f"synbench: wrote {output}", err=True)
