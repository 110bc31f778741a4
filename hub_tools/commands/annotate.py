"""``synbench hub annotate``: from a listing of the Hub to scores on cards, in three separate steps."""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from synbench import cli_options as o
from synbench.errors import ArgumentError

from .answers import agreed

if TYPE_CHECKING:
    from hub_tools.annotation.plans import Plan
    from hub_tools.annotation.standing import Selection, Terms
    from hub_tools.client.hub import Hub
    from hub_tools.score.changes import Place

app = typer.Typer(
    help="From a listing of the Hub to scores on cards: plan, score, apply.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_PlanFile = Annotated[Path, typer.Argument(help="File that `annotate plan` wrote.", show_default=False)]
_Results = Annotated[Path, typer.Option(help="Folder of the results, and of the journals.", show_default=False)]
_MOST_TOLD = 5


@app.command()
def plan(
    output: Annotated[Path, typer.Argument(help="The plan, such as plan.yaml.", show_default=False)],
    task: Annotated[
        list[str] | None, typer.Option(help="Pipeline tag, once or more; default image-feature-extraction.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Tag that models have, such as timm; all of those given.")
    ] = None,
    author: Annotated[str | None, typer.Option(help="User or organisation.")] = None,
    search: Annotated[str | None, typer.Option(help="Part of the id.")] = None,
    list_file: Annotated[
        Path | None, typer.Option("--list", help="File with an id a line, in place of a listing.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many, the most downloaded first.")] = None,
    max_gb: Annotated[float | None, typer.Option(min=0, help="Gigabytes of safetensors, at most.")] = None,
    max_parameters: Annotated[float | None, typer.Option(min=0, help="Such as 1e9.")] = None,
    min_downloads: Annotated[int | None, typer.Option(min=0, help="In the last month.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a plan that is there.")] = False,
    protocol: o.Protocol = None,
    images: o.Images = None,
    target_stderr: o.TargetStderr = None,
    max_images: o.MaxImages = None,
    samples: o.Samples = None,
    seed: o.Seed = 0,
    pooling: o.Pooling = None,
    dtype: o.Dtype = None,
    baseline: o.BaselineKind = None,
) -> None:
    """List models that can be scored into a file to edit: public, ungated, with safetensors."""
    from hub_tools.annotation import plan_settings, plans, selecting

    asked = plan_settings.checked(
        {
            "protocol": protocol,
            "images": images,
            "target_stderr": target_stderr,
            "max_images": max_images,
            "samples": samples,
            "seed": seed,
            "pooling": pooling,
            "dtype": dtype,
            "baseline": baseline,
        }
    )
    plans.check_free(output, overwrite=overwrite)
    query = selecting.Query(
        tasks=tuple(task or ()),
        tags=tuple(tag or ()),
        author=author,
        search=search,
        limit=limit,
        max_bytes=None if max_gb is None else int(max_gb * 1e9),
        max_parameters=None if max_parameters is None else int(max_parameters),
        min_downloads=min_downloads,
    )
    if list_file is None:
        selected = selecting.from_listing(_hub(), query)
    else:
        if task or tag or author or search:
            raise ArgumentError("--list names the models itself: leave out --task, --tag, --author and --search.")
        selected = selecting.from_ids(_hub(), selecting.read_ids(list_file), query)
    made = plans.Plan(selected.models, asked, query.told(), selected.left_out)
    plans.write_plan(made, output, overwrite=overwrite)
    size = sum(model.bytes or 0 for model in made.models)
    typer.echo(f"wrote {output}: {_models(len(made.models))}, {size / 1e9:,.1f} GB of weights as far as they are told")
    if made.left_out:
        typer.echo(f"left out: {_counted(made.left_out)}")


@app.command(
    epilog="Exit codes: 0 done; 1 some models are to be tried again by another run; 2 bad arguments; 4 many in a row "
    "failed; 130 interrupted."
)
def score(
    plan_file: Annotated[
        Path | None, typer.Argument(metavar="PLAN", help="File that `annotate plan` wrote.", show_default=False)
    ] = None,
    results: _Results = Path("results"),
    models: Annotated[
        list[str] | None, typer.Option(help="id@commit,... in place of a plan; can be given more than once.")
    ] = None,
    shard: Annotated[str | None, typer.Option(help="i/n: every n-th model, from the i-th on; i from 1.")] = None,
    launch: Annotated[str | None, typer.Option(help='Such as "accelerate launch --num_processes 8".')] = None,
    timeout: Annotated[float | None, typer.Option(min=1, help="Seconds for one model; default 4 hours.")] = None,
    attempts: Annotated[int, typer.Option(min=1, help="Of a model that crashes or takes too long.")] = 2,
    journals: Annotated[
        Path | None, typer.Option(help="Folder for journal and logs, if not with the results, as in a mounted bucket.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try those again that failed for good.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Score again what was scored otherwise.")] = False,
    protocol: o.Protocol = None,
    images: o.Images = None,
    target_stderr: o.TargetStderr = None,
    max_images: o.MaxImages = None,
    samples: o.Samples = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same number; default 0.")] = None,
    pooling: o.Pooling = None,
    dtype: o.Dtype = None,
    baseline: o.BaselineKind = None,
    device: o.Device = None,
    batch_size: o.BatchSize = None,
    no_cache: o.NoCache = False,
    token: Annotated[bool, typer.Option("--token", help="Let the models' processes use HF_TOKEN.")] = False,
    tidy: Annotated[
        bool, typer.Option("--tidy", help="Remove a model from the cache of the Hub when it is done.")
    ] = False,
    quiet: o.Quiet = False,
) -> None:
    """Score the models of a plan, one process each; what was scored before is skipped."""
    from hub_tools.annotation import plan_settings, plans, runs

    given = {
        "protocol": protocol,
        "images": images,
        "target_stderr": target_stderr,
        "max_images": max_images,
        "samples": samples,
        "seed": seed,
        "pooling": pooling,
        "dtype": dtype,
        "baseline": baseline,
    }
    if (plan_file is None) == (not models):
        raise ArgumentError(
            "expected a plan, or models by --models id@commit,..., got " + ("both." if models else "none.")
        )
    if plan_file is not None:
        if named := [name for name, value in given.items() if value is not None]:
            raise ArgumentError(
                f"a plan says how its models are scored: write {named[0]} there, not as --{named[0].replace('_', '-')}."
            )
        read = plans.read_plan(plan_file)
    else:
        read = plans.Plan(plans.parse_models(",".join(models or [])), plan_settings.checked(given))
    part = plans.parse_shard(shard) if shard is not None else (1, 1)
    own = [(f"--{name}", str(value)) for name, value in (("device", device), ("batch-size", batch_size)) if value]
    machine = runs.Machine(
        launch=tuple(shlex.split(launch or "")),
        options=(*(word for pair in own for word in pair), *(["--no-cache"] if no_cache else [])),
        timeout=timeout or runs.TIMEOUT,
        token=token,
        tidy=tidy,
    )
    with _interruptible():
        tally = runs.score_models(
            plans.shard_of(read.models, part),
            read.settings,
            results,
            machine,
            name="runs" if shard is None else f"runs-{part[0]}-of-{part[1]}",
            journals=journals,
            attempts=attempts,
            retry_failed=retry_failed,
            replace=replace,
            progress=False if quiet else None,
        )
    typer.echo(f"{_counted(tally.counts) or 'no models'}; results in {results}")
    _reasons(tally.reasons)
    if tally.counts["again"]:
        typer.echo("run this again to try those again that crashed, took too long or could not be fetched", err=True)
        raise typer.Exit(1)


@app.command()
def apply(
    plan_file: Annotated[
        Path, typer.Argument(metavar="PLAN", help="File that `annotate plan` wrote.", show_default=False)
    ],
    results: _Results = Path("results"),
    allow: Annotated[Path | None, typer.Option(help="File with org/model or org/* a line: nobody else.")] = None,
    deny: Annotated[Path | None, typer.Option(help="File of the same kind: none of these.")] = None,
    only: Annotated[str | None, typer.Option(help="model-index or eval-results; default both.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be changed, and write nothing.")] = False,
    summary: Annotated[bool, typer.Option("--summary", help="With --dry-run: a line a model, not the diffs.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    per_hour: Annotated[float, typer.Option(min=0.1, help="Writes an hour, at most.")] = 60.0,
    limit: Annotated[int | None, typer.Option(min=1, help="Pull requests in this run, at most.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Ask again of those that could not take it before.")] = False,
    benchmark: Annotated[str | None, typer.Option(help="Dataset on the Hub that the results name.")] = None,
    source_url: Annotated[str | None, typer.Option(help="Page that tells of the numbers.")] = None,
    quiet: o.Quiet = False,
) -> None:
    """Open or amend at most one pull request a model, ever; a closed one is a no for good."""
    from hub_tools.annotation import annotating, journal, standing
    from hub_tools.annotation.consent import read_consent
    from hub_tools.annotation.plans import read_plan
    from hub_tools.client.pacing import duration
    from hub_tools.score.changes import paths_of
    from hub_tools.score.results import BENCHMARK

    paths_of(cast("Place | None", only))
    consent = read_consent(allow, deny)
    read = read_plan(plan_file)
    terms = standing.Terms(cast("Place | None", only), benchmark or BENCHMARK, source_url)
    hub = _hub(per_hour)
    if dry_run:
        # Nothing is written, so nothing is locked.
        past = standing.standings(journal.read(results / annotating.JOURNAL))
        selection = standing.select(read, results, consent, past, terms, retry=retry)
        _preview(selection, read, results, hub, terms, summary=summary)
        return

    said = False

    def confirm(selection: "Selection") -> bool:
        nonlocal said
        if selection.left:
            typer.echo(f"left: {_counted(selection.counts())}", err=True)
        if not selection.todo:
            typer.echo("nothing to do")
            return False
        count = min(len(selection.todo), limit or len(selection.todo))
        typer.echo(
            f"This would open or amend at most {count} pull requests as {hub.user}, in "
            f"{duration(count / per_hour * 3600)} at {per_hour:g} an hour. --dry-run shows what they change.",
            err=True,
        )
        said = yes or agreed()
        if not said:
            typer.echo("nothing was written")
        return said

    with _interruptible():
        done = annotating.annotate(
            read,
            results,
            consent,
            confirm=confirm,
            hub=hub,
            terms=terms,
            limit=limit,
            retry=retry,
            progress=False if quiet else None,
        )
    if not said:
        return
    typer.echo(_counted(done.counts))
    for repo_id, url in sorted(done.urls.items()):
        typer.echo(f"{repo_id}: {url}")
    _reasons({repo_id: reason for repo_id, reason in done.reasons.items() if repo_id not in done.urls})
    if done.counts["failed"]:
        typer.echo("run this again to go on with those that failed", err=True)
        raise typer.Exit(1)


@app.command()
def status(plan_file: _PlanFile, results: _Results = Path("results")) -> None:
    """Tell how far a plan is, from the results and journals alone."""
    from hub_tools.annotation import annotating, journal, runs, scored, standing
    from hub_tools.annotation.plan_settings import digest
    from hub_tools.annotation.plans import read_plan

    read = read_plan(plan_file)
    past = runs.pasts(entry for path in sorted(results.glob("runs*.jsonl")) for entry in journal.read(path))
    published = standing.standings(journal.read(results / annotating.JOURNAL))
    key = digest(read.settings)
    scoring, publishing = Counter[str](), Counter[str]()
    for model in read.models:
        before = past.get((model.id.lower(), model.commit, key), runs.Past())
        if scored.find(results, model, read.settings).report is not None:
            scoring["scored"] += 1
        else:
            scoring["failed" if before.failure else "crashed" if before.attempts else "not yet scored"] += 1
        publishing[published.get(model.id.lower(), standing.Standing()).told] += 1
    typer.echo(f"scores: {_counted(scoring)}")
    typer.echo(f"pull requests: {_counted(publishing)}")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Say what an interrupted command leaves: typer would end it without a word."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("synbench: interrupted; run this again, and it goes on where it stopped", err=True)
        raise typer.Exit(130) from None


def _hub(per_hour: float = 60.0) -> "Hub":
    from hub_tools.annotation.annotating import NotingPace
    from hub_tools.client.hub import Hub

    return Hub(pace=NotingPace(per_hour))


def _preview(selection: "Selection", plan: "Plan", results: Path, hub: "Hub", terms: "Terms", *, summary: bool) -> None:
    from hub_tools.annotation import annotating
    from hub_tools.score.pushing import Proposal

    actions = Counter[str]()
    for planned, proposal in annotating.preview(selection, plan, results, hub, terms):
        if not isinstance(proposal, Proposal):
            actions["refused"] += 1
            typer.echo(f"# {planned.id}: nothing: {proposal}")
            continue
        actions[proposal.action] += 1
        typer.echo(f"# {planned.id}: {proposal.reason}")
        if not summary:
            typer.echo(proposal.change.diff, nl=False)
            for path, reason in sorted(proposal.change.refused.items()):
                typer.echo(f"# {path} is left as it is: {reason}")
    typer.echo(f"would: {_counted(actions) or 'do nothing'}; left: {_counted(selection.counts()) or 'none'}", err=True)


def _reasons(reasons: Mapping[str, Any]) -> None:
    for repo_id, reason in list(reasons.items())[:_MOST_TOLD]:
        typer.echo(f"{repo_id}: {reason}", err=True)
    if len(reasons) > _MOST_TOLD:
        typer.echo(f"and {len(reasons) - _MOST_TOLD:,} more; the journal has them all", err=True)


def _counted(counts: Mapping[str, int]) -> str:
    told: Iterable[str] = (f"{count:,} {name}" for name, count in sorted(counts.items()) if count)
    return ", ".join(told)


def _models(count: int) -> str:
    return "1 model" if count == 1 else f"{count:,} models"
