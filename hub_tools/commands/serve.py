"""``synbench hub serve`` and ``synbench hub sweep``: models scored as they change, by webhook and by schedule."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synbench.errors import ArgumentError

if TYPE_CHECKING:
    from hub_tools.annotation.consent import Consent
    from hub_tools.service.serving import Work
    from hub_tools.service.waiting import Row

Results = Annotated[Path, typer.Option(help="Folder for reports and the queue; made where there is none.")]
Repos = Annotated[
    Path | None, typer.Option(help="File with the models that may be scored: org/model or org/*, one a line.")
]
Deny = Annotated[Path | None, typer.Option(help="File of the same kind: none of these.")]
Yes = Annotated[
    bool, typer.Option("--yes", help="Open and amend pull requests; without it, scores are only kept in the folder.")
]
Images = Annotated[int | None, typer.Option(help="Images a model; default 8192.")]
Only = Annotated[str | None, typer.Option(help="model-index or eval-results, instead of both.")]
Benchmark = Annotated[str | None, typer.Option(help="Id of the benchmark dataset; default SynBench's.")]
Minutes = Annotated[float, typer.Option(help="Longest time that one model may take.")]


def serve(
    results: Results,
    repos: Repos = None,
    deny: Deny = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 for any that is free.", min=0, max=65535)] = 8000,
    secret_env: Annotated[
        str, typer.Option(help="Environment variable with the webhook's secret.")
    ] = "SYNBENCH_WEBHOOK_SECRET",
    yes: Yes = False,
    images: Images = None,
    only: Only = None,
    benchmark: Benchmark = None,
    minutes: Minutes = 60.0,
    status: Annotated[
        bool, typer.Option("--status", help="Print how it stands with every model of the queue, and end.")
    ] = False,
) -> None:
    """Take webhooks of the Hub, and score models when their weights change."""
    from hub_tools.service import serving

    if status:
        _print_status(results)
        return
    consent = serving.read_repos(_given(repos), deny)
    work = _work(results, consent, yes, images, only, benchmark, minutes)
    secret = serving.take_secret(secret_env)
    serving.say(_promise(yes))
    serving.serve(work, secret, host=host, port=port)


def sweep(
    results: Results,
    repos: Repos = None,
    deny: Deny = None,
    tag: Annotated[str | None, typer.Option("--filter", help="Only models with this tag.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Queue again what has failed, too.")] = False,
    work_off: Annotated[
        bool, typer.Option("--work", help="Then score what waits, and end: for where no service runs.")
    ] = False,
    yes: Yes = False,
    images: Images = None,
    only: Only = None,
    benchmark: Benchmark = None,
    minutes: Minutes = 60.0,
) -> None:
    """Queue the models that changed since the last sweep; for cron."""
    from hub_tools.client.hub import Hub
    from hub_tools.service import serving
    from hub_tools.service.sweeping import authors_of
    from hub_tools.service.sweeping import sweep as sweep_models

    if yes and not work_off:
        raise ArgumentError("--yes publishes what is scored, and nothing is scored without --work. Give both.")
    consent = serving.read_repos(_given(repos), deny)
    work = _work(results, consent, yes, images, only, benchmark, minutes)
    with serving.queue(work.folder) as waiting:
        again = waiting.revive() if failed else 0
        found = sweep_models(Hub(), waiting, authors_of(_given(repos)), consent.refusal, tag=tag)
    serving.say(f"{found.seen:,} models changed lately, {found.queued + again:,} queued")
    if work_off:
        serving.say(_promise(yes))
        serving.say(f"{serving.work_off(work):,} models worked off")


def _work(
    results: Path,
    consent: "Consent",
    yes: bool,
    images: int | None,
    only: str | None,
    benchmark: str | None,
    minutes: float,
) -> "Work":
    from hub_tools.annotation.plan_settings import checked
    from hub_tools.score.changes import paths_of
    from hub_tools.score.results import BENCHMARK
    from hub_tools.service import serving

    if not minutes > 0:
        raise ArgumentError(f"--minutes must be above 0, got {minutes:g}.")
    paths_of(only)  # type: ignore[arg-type]
    propose = serving.publisher(only=only, benchmark=benchmark or BENCHMARK) if yes else None
    return serving.Work(results, consent, checked({"images": images}), propose, 60 * minutes, serving.say)


def _given(repos: Path | None) -> Path:
    if repos is None:
        raise ArgumentError(
            "expected --repos FILE with the models that may be scored: lines such as org/model, or org/* for all of an "
            "organization. Nothing is scored that is not named there."
        )
    return repos


def _promise(yes: bool) -> str:
    if yes:
        return "scores are published: at most one pull request a model, ever"
    return "scores are kept in the folder of results; nothing is published without --yes"


def _print_status(results: Path) -> None:
    from hub_tools.service.queue_file import FILE
    from hub_tools.service.waiting import Waiting

    path = results / FILE
    if not path.exists():
        raise ArgumentError(f"there is no queue in {str(results)!r}. Give the --results of the service.")
    with Waiting(path) as waiting:
        _print_rows(waiting.rows())


def _print_rows(rows: "list[Row]") -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("model", overflow="fold")
    for name in ("state", "tries", "commit"):
        table.add_column(name, no_wrap=True, justify="right" if name == "tries" else "left")
    table.add_column("last told", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, (row.repo_id, row.state, str(row.attempts), row.head[:7], row.told)))
    if rows:
        console.print(table)
    counts = ", ".join(
        f"{sum(row.state == state for row in rows):,} {state}" for state in ("waiting", "running", "done", "failed")
    )
    console.print(f"{len(rows):,} in the queue: {counts}.", soft_wrap=True)
