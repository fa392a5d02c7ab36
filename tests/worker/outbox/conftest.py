"""A database with an outbox, and a relay on it that a test drives or lets run."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Protocol, TypeAlias

import asyncpg
import pytest

from tests.worker.conftest import until
from worker.background import cancel
from worker.enqueuer import Pool
from worker.outbox.line import Connect
from worker.outbox.relay import Relay

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


class MakeRelay(Protocol):
    def __call__(self, **changes: Any) -> Relay: ...


class Counted(dict[str, int]):
    """What a relay counted, by status."""

    def __call__(self, status: str, number: int) -> None:
        self[status] = self.get(status, 0) + number


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def make_relay(pool: Pool, db: Db, database_url: str, counted: Counted) -> MakeRelay:
    def make(**changes: Any) -> Relay:
        connect: Connect = lambda: asyncpg.connect(database_url, command_timeout=10)  # noqa: E731 - typed
        options = {
            "connect": connect,
            "in_hand": (),
            "lease": timedelta(seconds=5),
            "grace": timedelta(0),
            "counted": counted,
            **changes,
        }
        return Relay(options.pop("pool", pool), db, **options)

    return make


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run())
    try:
        yield
        assert not task.done()
    finally:
        await cancel([task])


@pytest.fixture
async def relay(make_relay: MakeRelay) -> AsyncIterator[Relay]:
    """One that runs, and is told of new rows."""
    relay = make_relay()
    async with running(relay):
        yield relay


class Rows:
    """What the table holds."""

    def __init__(self, db: Db) -> None:
        self._db = db

    async def all(self) -> list[asyncpg.Record]:
        return await self._db.fetch("select * from outbox order by outbox_id")

    async def one(self) -> asyncpg.Record:
        (row,) = await self.all()
        return row

    async def until(self, condition: Callable[[list[asyncpg.Record]], bool]) -> None:
        async def holds() -> bool:
            return condition(await self.all())

        await until(holds)

    async def until_enqueued(self) -> None:
        await self.until(lambda rows: all(row["epoch"] for row in rows))

    async def until_empty(self) -> None:
        await self.until(lambda rows: not rows)


@pytest.fixture
def rows(db: Db) -> Rows:
    return Rows(db)


async def queued(pool: Pool, queue: str = "arq:queue") -> list[str]:
    """Run ids as they will be claimed."""
    return [run_id.decode() for run_id in await pool.zrange(queue, 0, -1)]


def always(value: Any) -> Callable[..., Awaitable[Any]]:
    async def call(*_: Any, **__: Any) -> Any:
        return value

    return call
