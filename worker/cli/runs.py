"""`deskhand runs …`: find runs, look at one, retry, promote and delete it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import click

from worker.cli.tools import (
    NOT_FOUND,
    Connections,
    connected,
    fail,
    instant,
    printable,
    run_async,
)
from worker.ending import State
from worker.history import (
    LIVE_STATES,
    Cursor,
    Filter,
    LiveCursor,
    LiveRun,
    LiveState,
    PastRun,
    RunView,
    delete,
    get_run,
    list_live,
    list_runs,
    promote,
    redacted_payload,
    retry,
)
from worker.telemetry.redaction import redact

C = TypeVar("C", Cursor, LiveCursor)

_STATES = (*LIVE_STATES, *(state.value for state in State))
_PROMOTED = {
    "promoted": "is due now",
    "waiting": "is due already",
    "blocked": "waits for room under a limit, and is not promoted",
    "active": "runs already",
    "gone": "waits nowhere in Redis",
}


@click.group()
def runs() -> None:
    """Find runs, and do something with one."""


@runs.command("list")
@click.option("--state", "states", type=click.Choice(_STATES), multiple=True, help="Only in these.")
@click.option("--queue", help="Only of this queue.")
@click.option("--job", help="Only of this job, under whatever name of its.")
@click.option("--tenant", "tenant_id", type=click.UUID, help="Only of this tenant.")
@click.option("--request", "correlation_id", help="Only with this correlation id.")
@click.option("--label", help="Only with this label.")
@click.option("--text", help="Only with this in the payload.")
@click.option("--since", callback=instant, help="Changed since: 2h (ago), 2026-11-30T12:00.")
@click.option("--until", callback=instant, help="Changed before that.")
@click.option("--after", help="Where the page before this one ended.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(
    *, states: tuple[str, ...], after: str | None, limit: int, as_json: bool, **options: Any
) -> None:
    """Runs that were started, newest first; or what waits or runs in a queue, first due first.

    The latter with one of --state waiting, delayed, blocked, active, and --queue.
    """
    live = [state for state in states if state in LIVE_STATES]
    if live and (len(states) > 1 or options["queue"] is None):
        raise click.UsageError(f"--state {live[0]} goes alone, and with --queue")

    async def command() -> None:
        found: Sequence[PastRun | LiveRun]
        place: Cursor | LiveCursor | None
        async with connected() as on:
            if live:
                found, place = await _live(on, live[0], options, after, limit)
            else:
                found, place = await _past(on, states, options, after, limit)
        for run in found:
            click.echo(_to_json(_shown(run)) if as_json else printable(_line(run)))
        if place is not None:
            click.echo(f"there may be more: --after {place}", err=True)
        elif not found and not as_json:
            click.echo("no runs")

    run_async(command())


async def _past(
    on: Connections, states: Sequence[str], options: dict[str, Any], after: str | None, limit: int
) -> tuple[Sequence[PastRun], Cursor | None]:
    which = _filter({**options, "states": tuple(State(state) for state in states)})
    found = await list_runs(on.db, which, after=_parsed(Cursor, after), limit=limit)
    return found, found[-1].cursor if len(found) == limit else None


async def _live(
    on: Connections, state: LiveState, options: dict[str, Any], after: str | None, limit: int
) -> tuple[Sequence[LiveRun], LiveCursor | None]:
    which = _filter({**options, "queue": None})
    place = _parsed(LiveCursor, after)
    try:
        return await list_live(
            on.pool, options["queue"], state, which=which, after=place, limit=limit
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _filter(options: dict[str, Any]) -> Filter:
    try:
        return Filter(**options)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _parsed(kind: type[C], text: str | None) -> C | None:
    try:
        return None if text is None else kind.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--after") from None


@runs.command()
@click.argument("run_id")
@click.option(
    "--payload", "show_payload", is_flag=True, help="Show payload and result as they are."
)
@click.option("--json", "as_json", is_flag=True)
def show(*, run_id: str, show_payload: bool, as_json: bool) -> None:
    """Everything about one run, wherever it is."""

    async def command() -> None:
        async with connected() as on:
            run = await get_run(on.db, on.pool, run_id)
        if run is None:
            fail(f"nobody knows a run {run_id!r}", NOT_FOUND)
        fields = asdict(run) if show_payload else _shown(run)
        if as_json:
            click.echo(_to_json(fields))
            return
        attempts = fields.pop("attempts")
        for name, value in fields.items():
            if value is not None:
                click.echo(f"{name:18} {value}")
        for attempt in attempts:
            click.echo(_attempt(attempt))

    run_async(command())


@runs.command("retry")
@click.argument("run_ids", nargs=-1, required=True)
def retry_(*, run_ids: tuple[str, ...]) -> None:
    """Run runs that are over again, each as a new run."""

    async def command() -> None:
        async with connected() as on:
            for run_id in run_ids:
                told = await retry(on.pool, on.db, run_id)
                again = "runs again as" if told.is_new else "was retried before, as"
                click.echo(f"{run_id} {again} {told.run_id}")

    run_async(command())


@runs.command("promote")
@click.argument("run_ids", nargs=-1, required=True)
def promote_(*, run_ids: tuple[str, ...]) -> None:
    """Let runs that are put off start now."""

    async def command() -> None:
        async with connected() as on:
            told = [(run_id, await promote(on.pool, run_id)) for run_id in run_ids]
        for run_id, what in told:
            click.echo(f"{run_id} {_PROMOTED[what]}")
        if any(what == "gone" for _, what in told):
            raise SystemExit(NOT_FOUND)
        if any(what != "promoted" for _, what in told):
            raise SystemExit(1)

    run_async(command())


@runs.command("delete")
@click.argument("run_ids", nargs=-1, required=True)
def delete_(*, run_ids: tuple[str, ...]) -> None:
    """Forget runs that are over: what they left, and what history knows."""

    async def command() -> None:
        async with connected() as on:
            for run_id in run_ids:
                await delete(on.pool, on.db, run_id)
                click.echo(f"{run_id} is forgotten")

    run_async(command())


def _line(run: PastRun | LiveRun) -> str:
    at = run.at if isinstance(run, PastRun) else run.due_at
    return f"{run.run_id:36}  {at:%Y-%m-%d %H:%M:%S}  {run.state:10}  {run.queue:12}  {run.job}"


def _shown(run: PastRun | LiveRun | RunView) -> dict[str, Any]:
    """Its fields; of payload and result neither what the job calls sensitive nor what looks so."""
    fields = {**asdict(run), "payload": redacted_payload(run.job, run.payload)}
    if isinstance(run, RunView):
        fields["result"] = redact(fields["result"])
    elif isinstance(run, PastRun):
        fields["cursor"] = str(run.cursor)
    return fields


def _attempt(attempt: dict[str, Any]) -> str:
    head = (
        f"\nattempt {attempt['attempt']}: {attempt['outcome']} at "
        f"{attempt['ended_at']:%Y-%m-%d %H:%M:%S} on {attempt['worker']}"
    )
    log = f"{attempt['log']}\n" if attempt["log"] else ""
    return f"{head}\n{log}{attempt['traceback'] or attempt['error_message'] or ''}"


def _to_json(value: dict[str, Any]) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)
