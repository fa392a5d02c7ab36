"""Private Valkey and PostgreSQL for one run, and slow ways to them.

Neither syncs to disk: what is compared is the runners, and all of them profit.
"""

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from redis import Redis

from tests.benchmarks.measure import Reading, cpu_seconds, family_seconds, redis_counters
from worker.embedded import Server, start_postgres, start_valkey

_serial = itertools.count(1)


class Servers:
    """Both servers; `redis_url` leads to Valkey directly, `slow_redis_url` through the proxy."""

    def __init__(self, valkey: Server, postgres: Server, proxy: "subprocess.Popen[str]") -> None:
        self._valkey = valkey
        self._postgres = postgres
        self._proxy = proxy
        self._database: str | None = None
        self.redis_url = valkey.url
        assert proxy.stdout is not None
        self.slow_redis_url = f"redis://127.0.0.1:{int(proxy.stdout.readline())}/0"
        self.redis = Redis.from_url(valkey.url)

    def empty(self) -> None:
        """Forget everything that is in Redis."""
        self.redis.flushall()

    def fresh_database(self, template: str) -> str:
        """The URL of a new copy of the database `template`; the copy before is dropped."""
        name = f"bench_{next(_serial)}"
        statements = [f'create database "{name}" template "{template}"']
        if self._database:
            statements.insert(0, f'drop database "{self._database}" with (force)')
        self._execute(*statements)
        self._database = name
        return self.database_url(name)

    def create_database(self, name: str) -> str:
        self._execute(f'create database "{name}"')
        return self.database_url(name)

    def database_url(self, name: str) -> str:
        return urlunsplit(urlsplit(self._postgres.url)._replace(path=f"/{name}"))

    def _execute(self, *statements: str) -> None:
        async def execute() -> None:
            connection = await asyncpg.connect(self._postgres.url)
            for statement in statements:
                await connection.execute(statement)
            await connection.close()

        asyncio.run(execute())

    def cpu_seconds(self) -> float:
        """Of both servers and the proxy."""
        return (
            cpu_seconds(self._valkey.process.pid)
            + family_seconds(self._postgres.process.pid)
            + cpu_seconds(self._proxy.pid)
        )

    def reading(self, worker_seconds: float = 0.0) -> Reading:
        """The servers' counters now, beside what the caller says of the worker."""
        commands, round_trips = redis_counters(self.redis)
        return Reading(
            worker=worker_seconds,
            redis=cpu_seconds(self._valkey.process.pid),
            postgres=family_seconds(self._postgres.process.pid),
            commands=commands,
            round_trips=round_trips,
            at=monotonic(),
        )


@contextmanager
def running_servers(directory: Path) -> Iterator[Servers]:
    """Start them, from the main thread; they stop at the end, or with this process."""
    with ExitStack() as stack:
        valkey = start_valkey(directory, is_durable=False)
        stack.callback(valkey.stop)
        postgres = start_postgres(directory, is_durable=False)
        stack.callback(postgres.stop)
        proxy = stack.enter_context(_proxy(urlsplit(valkey.url).path))
        yield Servers(valkey, postgres, proxy)


@contextmanager
def _proxy(socket: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "tests.benchmarks.proxy", socket, str(os.getpid())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
