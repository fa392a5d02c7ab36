"""What the commands share: settings, connections, exit codes."""

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import asyncpg
import click
from redis.exceptions import RedisError

from jobs.kit import PayloadError
from worker.codec import JobFailedError
from worker.dead_letters import DeadLetterError
from worker.embedded import running_services
from worker.enqueuer import Pool, UnknownJobError
from worker.migrate import MigrationError
from worker.pausing import UnknownQueueError
from worker.redis_pool import open_redis
from worker.settings import Settings, SettingsError, export, load_settings
from worker.startup import StartupError
from worker.telemetry.logs import configure

FAILED, NOT_FOUND, AWAY, SETTINGS = 1, 3, 4, 78


def fail(sentence: str, code: int = FAILED) -> NoReturn:
    click.echo(sentence, err=True)
    sys.exit(code)


def settings_or_exit() -> Settings:
    try:
        return load_settings()
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


def run_async(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a command's coroutine; what may go wrong becomes one line and an exit code."""
    try:
        asyncio.run(coroutine)
    except (DeadLetterError, UnknownJobError, UnknownQueueError) as error:
        fail(str(error), NOT_FOUND)
    except (PayloadError, MigrationError, StartupError, JobFailedError) as error:
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
