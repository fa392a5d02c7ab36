"""`deskhand events`: what happens to runs, a line for each."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import click
from redis.asyncio import Redis

from worker.background import cancel
from worker.cli.tools import (
    ago,
    printable,
    run_async,
    settings_of_running_worker,
    settings_or_exit,
)
from worker.events import Event, follow
from worker.redis_pool import open_redis


@click.command()
@click.option("--follow", "is_endless", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--queue", help="Only of this queue.")
@click.option("--job", help="Only of this job.")
@click.option(
    "--since", callback=ago, help="So long ago, as in 5m; else all, or new ones to follow."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def events(
    *, is_endless: bool, queue: str | None, job: str | None, since: timedelta | None, as_json: bool
) -> None:
    """What happens to runs. Redis has the last ten seconds at least; PostgreSQL has the history."""
    settings = settings_or_exit()
    if settings.redis_dsn is None:
        settings = settings_of_running_worker()
    if since is None and is_endless:
        since = timedelta(0)

    async def command() -> None:
        redis = open_redis(str(settings.redis_dsn), Redis)
        found = follow(redis, since=since, is_endless=is_endless, queue=queue, job=job)
        try:
            async with aclosing(found):
                printing = _print(found, _to_json if as_json else _line)
                await (_until_ctrl_c(printing) if is_endless else printing)
        finally:
            await redis.aclose()

    run_async(command())


async def _print(events: AsyncIterator[Event], text: Callable[[Event], str]) -> None:
    try:
        async for event in events:
            click.echo(printable(text(event)))
    except BrokenPipeError:  # `deskhand events | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _until_ctrl_c(printing: Coroutine[Any, Any, None]) -> None:
    """That is how it ends. One is enough: asyncio's own may be swallowed, as `cancel` tells."""
    task, is_over = asyncio.create_task(printing), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, is_over.set)
    task.add_done_callback(lambda _: is_over.set())
    await is_over.wait()
    if task.done():
        task.result()
    await cancel([task])


def _line(event: Event) -> str:
    details = [
        f"{event.at:%Y-%m-%d %H:%M:%S}.{event.at.microsecond // 1000:03}",
        f"{event.kind:13}",
        f"{event.queue:16}",
        event.run_id,
        event.job or "-",
    ]
    if event.attempt is not None:
        details.append(f"attempt {event.attempt}")
    if event.crashes is not None:
        details.append(f"crashes {event.crashes}")
    if event.duration is not None:
        details.append(f"{_milliseconds(event.duration)} ms")
    if event.fraction is not None:
        details.append(f"{event.fraction:.0%} {event.message or ''}".rstrip())
    if event.error_type:
        details.append(event.error_type)
    return "  ".join(_printable(detail) for detail in details)


def _to_json(event: Event) -> str:
    """ASCII alone: ids and names come from whoever can write to Redis."""
    return json.dumps(
        {
            "event_id": event.event_id,
            "at": event.at.isoformat(timespec="milliseconds"),
            "event": event.kind,
            "queue": event.queue,
            "run_id": event.run_id,
            "job": event.job,
            "attempt": event.attempt,
            "duration_ms": None if event.duration is None else _milliseconds(event.duration),
            "error_type": event.error_type,
            "worker": event.worker,
            "crashes": event.crashes,
            "fraction": event.fraction,
            "message": event.message,
        }
    )


def _milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


def _printable(text: str) -> str:
    """Foreign ids shall not speak to the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
