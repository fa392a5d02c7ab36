"""`deskhand queues`: how much waits, runs and has ended, a line for each queue."""

import json
from collections.abc import Mapping
from typing import Any

import click

from worker.cli.tools import connected, run_async, settings_or_exit
from worker.dead_letters import count_waiting
from worker.ending import State
from worker.engine.fleet import QueueSizes, sizes, workers

# Totals since the beginning of this Redis.
_TOTALS = {
    "succeeded": State.SUCCEEDED,
    "cancelled": State.CANCELLED,
    "expired": State.EXPIRED,
    "dead": State.DEAD,
    "retried": State.RETRYING,
}
_WIDTH = 10


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object of all.")
def queues(*, as_json: bool) -> None:
    """What the queues hold now, what their runs came to, and how many workers live.

    waiting: due; delayed: due later, retries too; active: being run, also those whose worker died,
    until another has them; letters: dead letters that wait for somebody.
    """

    async def command() -> None:
        async with connected() as on:
            known = list(settings_or_exit().queues().values())
            held = await sizes(on.pool, known)
            letters = await count_waiting(on.db)
            alive = len(await workers(on.pool))
        table = [_row(name, size, letters.get(name, 0)) for name, size in held.items()]
        if as_json:
            click.echo(json.dumps({"workers": alive, "queues": table}))
            return
        click.echo(_line({name: name for name in table[0]}))
        for row in table:
            click.echo(_line(row))
        click.echo(f"{alive} worker{'' if alive == 1 else 's'}")

    run_async(command())


def _row(name: str, size: QueueSizes, letters: int) -> dict[str, Any]:
    return {
        "queue": name,
        "waiting": size.ready,
        "delayed": size.deferred,
        "active": size.running,
        **{name: size.ended.get(state.value, 0) for name, state in _TOTALS.items()},
        "letters": letters,
    }


def _line(row: Mapping[str, Any]) -> str:
    first, *rest = row.values()
    return f"{first:<17}" + "".join(f"{value:>{_WIDTH}}" for value in rest)
