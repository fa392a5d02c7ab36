"""`deskhand queues`: how much waits, runs and has ended, a line for each queue."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import click

from worker.cli.tools import connected, run_async, settings_or_exit
from worker.clock import utc_now
from worker.dead_letters import count_waiting
from worker.ending import State
from worker.engine.fleet import QueueSizes, sizes, workers
from worker.pausing import pause_queue, paused_queues, resume_queue

# Totals since the beginning of this Redis.
_TOTALS = {
    "succeeded": State.SUCCEEDED,
    "cancelled": State.CANCELLED,
    "expired": State.EXPIRED,
    "dead": State.DEAD,
    "retried": State.RETRYING,
}
_WIDTH = 10


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object of all.")
@click.pass_context
def queues(context: click.Context, *, as_json: bool) -> None:
    """What the queues hold now, what their runs came to, and how many workers live.

    waiting: due; delayed: due later, retries too; blocked: over a limit; active: being run, also
    those whose worker died, until another has them; letters: dead letters that wait for somebody.
    """
    if context.invoked_subcommand is not None:
        return

    async def command() -> None:
        async with connected() as on:
            known = list(settings_or_exit().queues().values())
            held = await sizes(on.pool, known)
            letters = await count_waiting(on.db)
            alive = len(await workers(on.pool))
            paused = await paused_queues(on.pool)
        table = [_row(name, size, letters.get(name, 0)) for name, size in held.items()]
        ends = {name: until and until.isoformat() for name, until in paused.items()}
        if as_json:
            click.echo(json.dumps({"workers": alive, "queues": table, "paused": ends}))
            return
        click.echo(_line({name: name for name in table[0]}))
        for row in table:
            click.echo(_line(row))
        click.echo(f"{alive} worker{'' if alive == 1 else 's'}")
        for name, until in ends.items():
            click.echo(f"{name} is paused until {until or 'it is resumed'}")

    run_async(command())


@queues.command()
@click.argument("queue")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Only for so long.")
def pause(*, queue: str, seconds: float | None) -> None:
    """Let no worker take runs of QUEUE; what runs goes on, what waits goes on waiting."""

    async def command() -> None:
        until = None if seconds is None else utc_now() + timedelta(seconds=seconds)
        async with connected() as on:
            await pause_queue(on.pool, queue, until=until)
        click.echo(f"{queue} is paused")

    run_async(command())


@queues.command()
@click.argument("queue")
def resume(*, queue: str) -> None:
    """Let workers take runs of QUEUE again."""

    async def command() -> None:
        async with connected() as on:
            was_paused = await resume_queue(on.pool, queue)
        click.echo(f"{queue} goes on" if was_paused else f"{queue} was not paused")

    run_async(command())


def _row(name: str, size: QueueSizes, letters: int) -> dict[str, Any]:
    return {
        "queue": name,
        "waiting": size.ready,
        "delayed": size.deferred,
        "blocked": size.blocked,
        "active": size.running,
        **{name: size.ended.get(state.value, 0) for name, state in _TOTALS.items()},
        "letters": letters,
    }


def _line(row: Mapping[str, Any]) -> str:
    first, *rest = row.values()
    return f"{first:<17}" + "".join(f"{value:>{_WIDTH}}" for value in rest)
