"""``synbench hub jobs``: a plan scored by Hugging Face Jobs, at any scale."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synbench.errors import ArgumentError

from .answers import agreed

if TYPE_CHECKING:
    from hub_tools.annotation.plans import Plan
    from hub_tools.at_scale.costs import Estimate, Flavour
    from hub_tools.at_scale.shards import Shard
    from hub_tools.client.hub import Hub

app = typer.Typer(
    help="Score a plan by Hugging Face Jobs: submit its shards, see how far they are, collect the results.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Plan = Annotated[Path, typer.Argument(metavar="PLAN", help="File that `annotate plan` wrote.", show_default=False)]
_Bucket = Annotated[str, typer.Option(help="Bucket for the results, such as user/synbench-results.")]
_Flavor = Annotated[str, typer.Option(help="Machine of each shard, such as cpu-upgrade, t4-small or l4x1.")]
_PerShard = Annotated[int, typer.Option(min=1, help="Models a shard, at most.")]
_Run = Annotated[str | None, typer.Option(help="Name of the run; by default one that the plan determines.")]
_Namespace = Annotated[str | None, typer.Option(help="Account that pays; default the bucket's.")]


@app.command()
def submit(
    plan_file: _Plan,
    bucket: _Bucket,
    flavor: _Flavor = "cpu-upgrade",
    per_shard: _PerShard = 64,
    timeout: Annotated[str, typer.Option(help="Of a shard, such as 90m or 12h.")] = "12h",
    package: Annotated[str, typer.Option(help="What uv installs there: a requirement, or git+https://….")] = "synbench",
    namespace: _Namespace = None,
    run: _Run = None,
    attempts: Annotated[int, typer.Option(min=1, max=10, help="How often the Hub starts a shard that fails.")] = 2,
    read_token_env: Annotated[
        str | None, typer.Option(help="Environment variable with a read-only token for the shards; default none.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Submit again what has ended without all results.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would cost, and submit nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Cut a plan into shards, tell what they cost, and submit them after a yes; those submitted before are left."""
    from hub_tools.annotation.plans import read_plan
    from hub_tools.at_scale import costs, jobs, shards
    from hub_tools.client.hub import Hub
    from hub_tools.client.pacing import Pace

    jobs.check_debug()
    plan = read_plan(plan_file)
    hub = Hub(pace=Pace(per_hour=3600))
    flavour, parts, name = _cut(hub, plan, flavor, per_shard, run)
    spec = jobs.Spec(
        name,
        namespace or _owner(bucket),
        bucket,
        flavor,
        _seconds(timeout),
        package,
        attempts,
        plan.settings,
        shards.run_name(plan, parts),
        "accelerate launch" if flavour.gpus > 1 else None,
    )
    for shard in parts:
        shards.arguments_of(shard, plan.settings, jobs.MOUNT)
    _tell(costs.estimate(flavour, [shard.seconds for shard in parts]), name)
    longest = max(costs.shard_seconds(shard.seconds) for shard in parts)
    if longest > spec.timeout:
        typer.echo(
            f"note: the longest shard is reckoned to take longer than --timeout {timeout}: what it has scored by then "
            f"is kept, and --retry goes on. --per-shard {shards.fitting(per_shard, longest, spec.timeout)} would fit.",
            err=True,
        )
    if dry_run:
        return
    there = jobs.jobs_of(hub, spec.namespace, name)
    jobs.check_cut(name, there, spec.cut)
    done = jobs.counted(jobs.results_of(hub, bucket, name) if there else {}, parts)
    left = jobs.todo(parts, there, done, retry=retry)
    if not left:
        typer.echo(f"nothing to submit: {name} has a job for each of its {len(parts)} shards")
        return
    token = None
    if read_token_env is not None:
        # Through the one who asks, so that a token that the Hub does not know ends with a sentence.
        token = jobs.read_token(
            read_token_env,
            lambda value: hub.asker.read(f"ask whose token {read_token_env} is", lambda: hub.api.whoami(token=value)),
        )
    typer.echo(f"This would submit {len(left)} of {len(parts)} shards, paid by {spec.namespace}.", err=True)
    if not (yes or agreed()):
        typer.echo("nothing was submitted")
        return
    jobs.make_bucket(hub, bucket)
    for number, shard in enumerate(left, 1):
        job = jobs.submit(hub, spec, shard, there, token)
        typer.echo(f"shard {shard.name} ({number} of {len(left)}): {job.url}")
    typer.echo(f"run {name}: see synbench hub jobs status, then collect")


@app.command()
def status(
    plan_file: _Plan,
    bucket: _Bucket,
    flavor: _Flavor = "cpu-upgrade",
    per_shard: _PerShard = 64,
    namespace: _Namespace = None,
    run: _Run = None,
) -> None:
    """Tell the stage of every shard of a run, and how many results it has brought."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from hub_tools.annotation.plans import read_plan
    from hub_tools.at_scale import jobs
    from hub_tools.at_scale.shards import run_name
    from hub_tools.client.hub import Hub

    plan, hub = read_plan(plan_file), Hub()
    _, parts, name = _cut(hub, plan, flavor, per_shard, run)
    there = jobs.jobs_of(hub, namespace or _owner(bucket), name)
    jobs.check_cut(name, there, run_name(plan, parts))
    done = jobs.counted(jobs.results_of(hub, bucket, name) if there else {}, parts)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column, justify in (("shard", "left"), ("stage", "left"), ("results", "right"), ("models", "right")):
        table.add_column(column, justify="right" if justify == "right" else "left")
    for shard in parts:
        stage = there[shard.name].stage if shard.name in there else "not submitted"
        table.add_row(shard.name, stage.lower(), str(done[shard.name]), str(len(shard.models)))
    console = Console(highlight=False)
    console.print(table)
    told = ", ".join(f"{count} {stage.lower()}" for stage, count in sorted(jobs.stages(parts, there).items()))
    console.print(f"run {name}: {sum(done.values()):,} of {len(plan.models):,} results; shards: {told}", soft_wrap=True)


@app.command()
def collect(
    plan_file: _Plan,
    bucket: _Bucket,
    results: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("results"),
    flavor: _Flavor = "cpu-upgrade",
    per_shard: _PerShard = 64,
    run: _Run = None,
    missing: Annotated[Path | None, typer.Option(help="Write a plan of what is missing to this file.")] = None,
) -> None:
    """Fetch the results of a run, each checked against the plan; those that are here already stay."""
    from hub_tools.annotation.plans import check_free, read_plan, write_plan
    from hub_tools.at_scale import fetching, jobs
    from hub_tools.client.hub import Hub

    plan, hub = read_plan(plan_file), Hub()
    if missing is not None:
        check_free(missing)
    _, _, name = _cut(hub, plan, flavor, per_shard, run)
    found = fetching.fetch(hub, bucket, jobs.results_of(hub, bucket, name), plan, results)
    left = len(found.missing.models)
    typer.echo(f"{len(found.new):,} fetched to {results}, {len(found.kept):,} were here, {left:,} missing")
    for model, reason in sorted(found.wrong.items()):
        typer.echo(f"{model}: {reason}", err=True)
    if missing is not None and left:
        write_plan(found.missing, missing)
        typer.echo(f"wrote {missing}")
    if left:
        raise typer.Exit(1)


def _cut(hub: "Hub", plan: "Plan", flavor: str, per_shard: int, run: str | None) -> "tuple[Flavour, list[Shard], str]":
    from hub_tools.at_scale import costs, shards
    from hub_tools.client.failures import RequestError

    flavour = costs.choose(flavor, costs.flavours())
    # The cut does not depend on prices, so that a run keeps its name when they change.
    parts = shards.cut(plan, flavour, per_shard)
    if run is not None:
        shards.check_name(run)
    try:
        listed = hub.asker.read("list the hardware of Jobs", hub.api.list_jobs_hardware)
    except RequestError:
        listed = []
    return costs.choose(flavor, costs.flavours(listed)), parts, run or shards.run_name(plan, parts)


def _tell(estimate: "Estimate", name: str) -> None:
    flavour = estimate.flavour
    typer.echo(
        f"run {name}: {estimate.models:,} models in {estimate.shards:,} shards on {flavour.name}\n"
        f"reckoned: {estimate.hours:,.1f} machine hours, the longest shard {estimate.longest:,.1f} hours, "
        f"{estimate.dollars:,.2f} dollars ({flavour.dollars:g} an hour, {flavour.source})"
    )


def _owner(bucket: str) -> str:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", bucket):
        raise ArgumentError(f"expected a bucket such as user/synbench-results, got {bucket!r}.")
    return bucket.partition("/")[0]


def _seconds(text: str) -> int:
    """Read a duration such as 90m.

    Raises:
        ArgumentError: it is none.

    >>> _seconds("90m"), _seconds("12h"), _seconds("300")
    (5400, 43200, 300)
    """
    found = re.fullmatch(r"([1-9]\d*)([smhd]?)", text)
    if found is None:
        raise ArgumentError(f"expected a duration such as 300, 90m, 12h or 2d, got {text!r}.")
    return int(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]
