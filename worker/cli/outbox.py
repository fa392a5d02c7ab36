"""`deskhand outbox`: runs that were enqueued inside a transaction, and are not over."""

import json
from dataclasses import asdict
from datetime import timedelta

import click

from worker.cli.tools import connected, run_async
from worker.outbox.troubles import Counts, Trouble, count, retry, troubles

_SHOWN = 20


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object of all.")
@click.option(
    "--retry",
    "is_retry",
    is_flag=True,
    help="Enqueue now what failed to be, and again what is missing.",
)
def outbox(*, as_json: bool, is_retry: bool) -> None:
    """How many rows of the outbox wait, and which are in trouble.

    waiting: to be put into Redis; later: due in more than a day; enqueued: in Redis, and not over;
    failing: could not be enqueued, and are tried again; missing: Redis does not have the run any
    more, and nobody told of its end.
    """

    async def command() -> None:
        async with connected() as on:
            again = await retry(on.pool, on.db) if is_retry else 0
            counts = await count(on.db)
            found = await troubles(on.db, _SHOWN)
        if as_json:
            click.echo(json.dumps(_fields(counts, found)))
            return
        if is_retry:
            click.echo(f"{again} to be enqueued again")
        click.echo("\n".join([_summary(counts), *map(_line, found)]))

    run_async(command())


def _fields(counts: Counts, found: list[Trouble]) -> dict[str, object]:
    oldest = None if counts.oldest is None else counts.oldest.total_seconds()
    rows = [{**asdict(one), "created_at": one.created_at.isoformat()} for one in found]
    return {**asdict(counts), "oldest": oldest, "troubles": rows}


def _summary(counts: Counts) -> str:
    numbers = asdict(counts)
    oldest = numbers.pop("oldest")
    text = ", ".join(f"{number} {name}" for name, number in numbers.items())
    return text if oldest is None else f"{text}; the oldest for {_whole(oldest)}"


def _whole(age: timedelta) -> timedelta:
    return timedelta(seconds=age // timedelta(seconds=1))


def _line(trouble: Trouble) -> str:
    why = trouble.error or "its run is missing"
    when = f"{trouble.created_at:%Y-%m-%d %H:%M:%S}"
    run_id = "".join(c if c.isprintable() else "?" for c in trouble.run_id)
    return f"{trouble.outbox_id}  {when}  {trouble.queue}  {trouble.job}  {run_id}  {why}"
