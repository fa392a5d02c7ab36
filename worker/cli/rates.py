"""`deskhand rates`: how much ends in a minute and an hour, and how long it waits and takes."""

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import click

from worker.cli.tools import ago, connected, instant, run_async
from worker.rates import Rates, Spread
from worker.rates import rates as rates_of

_WIDTH = 10
_COLUMNS = (
    "attempts", "a minute", "an hour", "failed",
    "wait", "wait p95", "wait p99", "run", "run p95", "run p99",
)  # fmt: skip
_WHOLE = 100  # from here on without decimals


@click.command()
@click.option("--queue", help="Only of this queue.")
@click.option("--job", help="Only of this job.")
@click.option("--since", callback=instant, help="From then on: 2h (ago), 2026-11-30T12:00.")
@click.option("--until", callback=instant, help="Up to then.")
@click.option("--every", "period", callback=ago, help="A line for each such time: 1m, 1h.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def rates(
    *,
    queue: str | None,
    job: str | None,
    since: datetime | None,
    until: datetime | None,
    period: timedelta | None,
    as_json: bool,
) -> None:
    """Attempts that ended in the last hour, or at another time of the last 7 days, by queue.

    failed: of those that succeeded or failed; wait: from when they were due to their start; run:
    from there to their end; both in seconds, the mean first.
    """

    async def command() -> None:
        async with connected() as on:
            try:
                found = await rates_of(
                    on.db, queue=queue, job=job, since=since, until=until, period=period
                )
            except ValueError as error:
                raise click.UsageError(str(error)) from None
        if as_json:
            for one in found:
                click.echo(json.dumps(_fields(one), default=str))
            return
        if not found:
            click.echo("no attempts")
            return
        click.echo(_line("queue", None, _COLUMNS))
        for one in found:
            click.echo(_line(one.queue, one.at if period else None, _values(one)))

    run_async(command())


def _values(one: Rates) -> tuple[str, ...]:
    failed = "-" if one.failure_share is None else f"{one.failure_share:.1%}"
    spreads = [
        _seconds(length)
        for spread in (one.wait, one.duration)
        for length in (spread.mean, spread.p95, spread.p99)
    ]
    return (str(one.attempts), _number(one.per_minute), _number(one.per_hour), failed, *spreads)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= _WHOLE else f"{value:.1f}"


def _seconds(length: timedelta) -> str:
    return f"{length.total_seconds():.3f}"


def _line(queue: str, at: datetime | None, values: tuple[str, ...]) -> str:
    when = "" if at is None else f"{at:%Y-%m-%d %H:%M}  "
    return f"{when}{queue:<17}" + "".join(f"{value:>{_WIDTH}}" for value in values)


def _fields(one: Rates) -> dict[str, Any]:
    """Lengths of time in seconds."""
    return {
        **asdict(one),
        "length": one.length.total_seconds(),
        "wait": _spread(one.wait),
        "duration": _spread(one.duration),
    }


def _spread(spread: Spread) -> dict[str, float]:
    return {name: length.total_seconds() for name, length in asdict(spread).items()}
