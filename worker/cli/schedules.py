"""`deskhand schedules`: what is due when, what became of it; run, pause and resume."""

import json
from typing import Any

import click
from pydantic_core import to_jsonable_python

from worker import schedules as changing
from worker.cli.tools import NOT_FOUND, connected, fail, run_async
from worker.schedules.views import ScheduleView, find_schedule, history, list_schedules

_BY = "cli"
_PAGE = 200


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="A JSON object for each.")
@click.pass_context
def schedules(context: click.Context, *, as_json: bool) -> None:
    """All schedules, by name: when they are due, and how the last run went."""
    if context.invoked_subcommand is not None:
        return

    async def command() -> None:
        after = ""
        async with connected() as on:
            while page := await list_schedules(on.db, after=after, limit=_PAGE):
                for one in page:
                    click.echo(json.dumps(_record(one)) if as_json else _line(one))
                after = page[-1].name

    run_async(command())


@schedules.command()
@click.argument("name")
@click.option("--next", "count", default=5, type=click.IntRange(1, 50), help="So many ticks ahead.")
@click.option("--last", default=10, type=click.IntRange(1, 100), help="So many ticks back.")
def show(*, name: str, count: int, last: int) -> None:
    """One schedule: its next ticks, and its last ones with how their runs went."""

    async def command() -> None:
        async with connected() as on:
            one = await find_schedule(on.db, name)
            if one is None:
                fail(f"there is no schedule {name!r}", NOT_FOUND)
            past = await history(on.db, name, limit=last)
        click.echo(_line(one))
        click.echo(f"{one.words}, {one.tz}; catches up: {one.catch_up}")
        click.echo(f"fired {one.fired}, succeeded {one.succeeded}, failed {one.failed}, "
                   f"missed {one.missed}")  # fmt: skip
        if one.error is not None:
            click.echo(f"cannot fire: {one.error}")
        for due_at in one.next_ticks(count):
            click.echo(f"next  {due_at:%Y-%m-%d %H:%M:%S} UTC")
        for tick in past:
            took = "" if tick.duration is None else f" in {tick.duration.total_seconds():.1f} s"
            ended = f"{tick.state or 'not over'}{took}"
            by = f" by {tick.fired_by}" if tick.is_by_hand else ""
            click.echo(f"last  {tick.due_at:%Y-%m-%d %H:%M:%S} UTC{by}  {ended}  {tick.run_id}")

    run_async(command())


@schedules.command("run")
@click.argument("name")
def run_(*, name: str) -> None:
    """Start a run of NAME now, unless one goes on; its ticks stay as they are."""

    async def command() -> None:
        async with connected() as on, on.db.acquire() as connection, connection.transaction():
            started = await changing.run_now(connection, name, by=_BY)
        click.echo(started.run_id)

    run_async(command())


@schedules.command()
@click.argument("name")
def pause(*, name: str) -> None:
    """Let no tick of NAME fire until it is resumed."""

    async def command() -> None:
        async with connected() as on, on.db.acquire() as connection, connection.transaction():
            await changing.pause(connection, name, by=_BY)
        click.echo(f"{name} is paused")

    run_async(command())


@schedules.command()
@click.argument("name")
def resume(*, name: str) -> None:
    """Let NAME fire again, from its next tick on."""

    async def command() -> None:
        async with connected() as on, on.db.acquire() as connection, connection.transaction():
            was_paused = await changing.resume(connection, name)
        click.echo(f"{name} goes on" if was_paused else f"{name} was not paused")

    run_async(command())


def _line(one: ScheduleView) -> str:
    if one.paused_at is not None:
        due = f"paused by {one.paused_by}"
    elif one.running is not None:
        due = "running"
    else:
        due = "-" if one.next_due_at is None else f"{one.next_due_at:%Y-%m-%d %H:%M:%S} UTC"
    last = "never ran" if one.last is None else f"last: {one.last.state or 'not over'}"
    gone = "" if one.is_seen else "  (no worker declares it)"
    return f"{one.name:<36} {one.line:<14} {one.tz:<18} {due:<24} {last}{gone}"


def _record(one: ScheduleView) -> dict[str, Any]:
    record: dict[str, Any] = to_jsonable_python(one)
    return record
