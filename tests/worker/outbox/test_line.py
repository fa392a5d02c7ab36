"""How a relay hears of new rows, and what it does when it does not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from tests.worker.conftest import until
from tests.worker.outbox.conftest import Counted, Db, MakeRelay, Rows, running
from tests.worker.outbox.test_relay import promise
from tests.worker.trouble_servers import MortalPostgres
from worker.background import cancel
from worker.enqueuer import Pool
from worker.migrate import migrate
from worker.outbox import relay as relays
from worker.outbox.relay import Relay

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def seconds_until_enqueued(db: Db, rows: Rows) -> float:
    began = monotonic()
    await promise(db)
    await rows.until_enqueued()
    return monotonic() - began


async def test_a_connection_that_was_ended_is_opened_again(
    db: Db, database_url: str, make_relay: MakeRelay, rows: Rows
) -> None:
    pids: list[int] = []

    async def connect() -> Connection:
        connection = await asyncpg.connect(database_url)
        pids.append(connection.get_server_pid())
        return connection

    async with running(make_relay(connect=connect)):
        for times in range(1, 4):
            await until(lambda: has(len(pids) == times))  # noqa: B023 - called in this turn
            await seconds_until_enqueued(db, rows)
            await db.execute("select pg_terminate_backend($1)", pids[-1])

        await until(lambda: has(len(pids) == 4))
        await asyncio.sleep(1)
        assert await seconds_until_enqueued(db, rows) < 0.5


async def has(value: object) -> object:
    return value


async def test_without_notifications_it_looks_each_second(
    db: Db, database_url: str, make_relay: MakeRelay, rows: Rows
) -> None:
    """As behind PgBouncer in transaction mode."""
    async with silenced(database_url) as connect, running(make_relay(connect=connect)):
        await seconds_until_enqueued(db, rows)
        waits = [await seconds_until_enqueued(db, rows) for _ in range(3)]

    assert max(waits) > 0.2  # nobody told it
    assert max(waits) < 3


async def test_notifications_that_stop_are_missed(
    db: Db,
    database_url: str,
    make_relay: MakeRelay,
    rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection that is there, and on which nothing comes any more, is given up."""
    monkeypatch.setattr("worker.outbox.line._PROBE_EVERY", 0.5)
    monkeypatch.setattr("worker.outbox.line._HEARD_WITHIN", 0.2)
    monkeypatch.setattr(relays, "_POLL", 0.3)
    times = 0
    async with silenced(database_url, after=2) as connect:

        async def counting() -> Connection:
            nonlocal times
            times += 1
            return await connect()

        async with running(make_relay(connect=counting)):
            await until(lambda: has(times > 1))
            await seconds_until_enqueued(db, rows)


@asynccontextmanager
async def silenced(url: str, after: int = 0) -> AsyncIterator[Callable[[], Awaitable[Connection]]]:
    """Connections to the database on which only so many notifications arrive.

    The protocol: https://www.postgresql.org/docs/current/protocol-message-formats.html
    """
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    socket = Path(query["host"][0]) / f".s.PGSQL.{query['port'][0]}"
    serving: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(str(socket))
        tasks = [
            asyncio.create_task(_forward(reader, up_writer)),
            asyncio.create_task(_without_notifications(up_reader, writer, after)),
        ]
        serving.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await cancel(tasks)
        for one in (writer, up_writer):
            one.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    async def connect() -> Connection:
        return await asyncpg.connect(
            host="127.0.0.1",
            port=port,
            user=parts.username,
            database=parts.path[1:],
            ssl=False,
            command_timeout=10,
        )

    try:
        yield connect
    finally:
        server.close()
        await cancel(serving)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)


async def _without_notifications(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, after: int
) -> None:
    while True:
        try:
            head = await reader.readexactly(5)
            body = await reader.readexactly(int.from_bytes(head[1:], "big") - 4)
        except asyncio.IncompleteReadError:
            return
        is_notification = head[:1] == b"A"
        if not is_notification or after > 0:
            writer.write(head + body)
        after -= is_notification


@pytest.fixture
def mortal(tmp_path: Path) -> Any:
    postgres = MortalPostgres(tmp_path / "postgres")
    yield postgres
    postgres.stop()


async def test_a_postgresql_that_went_away_and_came_back_loses_nothing(
    mortal: MortalPostgres, pool: Pool, counted: Counted
) -> None:
    await migrate(mortal.url)
    async with asyncpg.create_pool(mortal.url, min_size=1, max_size=3) as db:
        rows = Rows(db)

        async def connect() -> Connection:
            return await asyncpg.connect(mortal.url, timeout=5)

        relay = Relay(
            pool, db, connect=connect, in_hand=(), lease=timedelta(seconds=5), counted=counted
        )
        async with running(relay):
            await seconds_until_enqueued(db, rows)
            mortal.die()
            await asyncio.sleep(0.5)
            mortal.come_back()
            await until(lambda: answers(db))
            await seconds_until_enqueued(db, rows)

    assert counted["enqueued"] == 2


async def answers(db: Db) -> bool:
    try:
        return bool(await db.fetchval("select 1"))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


async def test_rows_do_not_wait_for_the_jobs_connections(
    database_url: str, pool: Pool, rows: Rows, db: Db, counted: Counted
) -> None:
    async def connect() -> Connection:
        return await asyncpg.connect(database_url)

    async with (
        asyncpg.create_pool(database_url, min_size=1, max_size=1) as busy,
        busy.acquire(),
        running(
            Relay(
                pool, busy, connect=connect, in_hand=(), lease=timedelta(seconds=5), counted=counted
            )
        ),
    ):
        assert await seconds_until_enqueued(db, rows) < 3


async def test_an_idle_relay_leaves_redis_in_peace(
    pool: Pool, db: Db, relay: Relay, rows: Rows
) -> None:
    """At most a command each two seconds."""
    await seconds_until_enqueued(db, rows)
    await asyncio.sleep(0.5)
    await pool.config_resetstat()

    await asyncio.sleep(12)

    stats = await pool.info("commandstats")
    calls = {name: stat["calls"] for name, stat in stats.items() if name != "cmdstat_info"}
    calls.pop("cmdstat_config|resetstat", None)
    assert sum(calls.values()) <= 6, calls
