"""`deskhand prune`: retention on demand."""

from dataclasses import replace
from datetime import timedelta

import click

from worker.cli.tools import connected, run_async, settings_or_exit
from worker.retention import Gone, Keep
from worker.retention import prune as prune_runs


@click.command()
@click.option("--queue", help="Only of this queue.")
@click.option("--completed", type=click.IntRange(min=0), help="KEEP_COMPLETED, for this once.")
@click.option("--failed", type=click.IntRange(min=0), help="KEEP_FAILED, for this once.")
@click.option("--days", type=click.IntRange(0, 36_500), help="KEEP_DAYS, for this once.")
@click.option(
    "--dry-run", "is_dry_run", is_flag=True, help="Only say what would go, but for attempts."
)
def prune(
    *,
    queue: str | None,
    completed: int | None,
    failed: int | None,
    days: int | None,
    is_dry_run: bool,
) -> None:
    """Forget runs that are too old or too many; workers do so every minute by themselves."""
    known = Keep.of(settings_or_exit())
    keep = replace(
        known,
        completed=known.completed if completed is None else completed,
        failed=known.failed if failed is None else failed,
        age=known.age if days is None else timedelta(days=days),
    )

    async def command() -> None:
        async with connected() as connections, connections.db.acquire() as connection:
            gone = await prune_runs(connection, keep, queue=queue, is_dry_run=is_dry_run)
        for one in gone:
            click.echo(f"{'would go: ' if is_dry_run else ''}{_line(one)}")
        if not gone:
            click.echo("nothing to prune")

    run_async(command())


def _line(gone: Gone) -> str:
    where = "all queues" if gone.queue is None else gone.queue
    attempts = f", {gone.attempts} attempts" if gone.attempts else ""
    return f"{where}: {gone.rows} {gone.kind}{attempts}"
