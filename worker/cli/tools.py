"""What the commands share: settings, connections, exit codes."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import asyncpg
import click
from redis.exceptions import RedisError

from jobs.kit import PayloadError
from worker.clock import utc_now
from worker.codec import JobFailedError
from worker.dead_letters import DeadLetterError
from worker.embedded import running_services
from worker.enqueuer import Pool, UnknownJobError
from worker.history import RunError, TooBroadError, UnknownRunError
from worker.migrate import MigrationError
from worker.pausing import UnknownQueueError
from worker.redis_pool import open_redis
from worker.schedules import GoingOnError, Plan, UnknownScheduleError, plans_of
from worker.settings import Settings, SettingsError, export, load_settings
from worker.startup import StartupError
from worker.telemetry.logs import configure

FAILED, NOT_FOUND, AWAY, SETTINGS, INTERRUPTED = 1, 3, 4, 78, 130


def printable(line: str) -> str:
    """Foreign texts (ids of runs, names of jobs) may hold what terminals obey."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in line)


def fail(sentence: str, code: int = FAILED) -> NoReturn:
    click.echo(sentence, err=True)
    sys.exit(code)


def settings_or_exit() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        fail(str(error), SETTINGS)


def plans_or_exit(settings: Settings) -> dict[str, Plan]:
    try:
        return plans_of(settings)
    except SettingsError as error:
        fail(str(error), SETTINGS)


def settings_of_running_worker() -> Settings:
    """Settings; without URLs those of the private services that `deskhand run` has up."""
    settings = settings_or_exit()
    configure(level="warning", fmt=settings.log_format, stream=sys.stderr)
    if settings.database_dsn is None or settings.redis_dsn is None:
        found = running_services(settings.var_dir)
        if found is None:
            fail("set DATABASE_URL and REDIS_URL, or start `deskhand run` first", AWAY)
        if settings.database_dsn is None:
            export(database_url=found.database_url)
        if settings.redis_dsn is None:
            export(redis_url=found.redis_url)
        settings = settings_or_exit()
    return settings


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AGO = re.compile(r"([0-9]{1,6})([smhd])")


def ago(_: click.Context, __: click.Parameter, value: str | None) -> timedelta | None:
    """An option's length of time: `90s`, `5m`, `2h`, `1d`."""
    match = None if value is None else _AGO.fullmatch(value)
    if value is not None and match is None:
        raise click.BadParameter(f"{value!r} is no time: say 90s, 5m, 2h or 1d")
    return match and timedelta(**{_UNITS[match[2]]: int(match[1])})


def instant(ctx: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    """An option's instant: so long ago, or ISO 8601, which is UTC when it names no zone."""
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        try:
            return utc_now() - (ago(ctx, parameter, value) or timedelta(0))
        except (OverflowError, click.BadParameter):
            sentence = f"{value!r} is no instant: say 2h or 7d (ago), or 2026-11-30T12:00"
            raise click.BadParameter(sentence) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


_NOT_FOUND = (
    DeadLetterError,
    UnknownJobError,
    UnknownQueueError,
    UnknownRunError,
    UnknownScheduleError,
)
_FAILED = (
    GoingOnError,
    JobFailedError,
    MigrationError,
    PayloadError,
    RunError,
    StartupError,
    TooBroadError,
)


def run_async(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a command's coroutine; what may go wrong becomes one line and an exit code."""
    try:
        asyncio.run(coroutine)
    except _NOT_FOUND as error:
        fail(str(error), NOT_FOUND)
    except _FAILED as error:
        fail(str(error))
    except (RedisError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        fail(f"a service is away: {type(error).__name__}: {error}", AWAY)


@dataclass(frozen=True, slots=True)
class Connections:
    db: "asyncpg.Pool[asyncpg.Record]"
    pool: Pool


@asynccontextmanager
async def connected() -> AsyncIterator[Connections]:
    """PostgreSQL and Redis for the length of one command."""
    settings = settings_of_running_worker()
    pool = open_redis(str(settings.redis_dsn), Pool)
    try:
        async with asyncpg.create_pool(
            settings.database_dsn, min_size=1, max_size=2, timeout=10, command_timeout=30
        ) as db:
            yield Connections(db, pool)
    finally:
        await pool.aclose()
