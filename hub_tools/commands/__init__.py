"""``synbench hub``: scores on model cards, at any scale, and the metric published."""

import typer

from . import annotate, jobs, leaderboard, publish, push, serve

app = typer.Typer(
    help="Put scores on model cards, at any scale, and publish the metric. Nothing is written without a yes.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command()(push.push)
app.add_typer(annotate.app, name="annotate")
app.add_typer(jobs.app, name="jobs")
app.command()(serve.serve)
app.command()(serve.sweep)
app.command()(publish.publish)
app.command()(leaderboard.leaderboard)
