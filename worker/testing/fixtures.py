"""Fixtures for pytest: `pytest_plugins = ["worker.testing.fixtures"]` in the top conftest.py.

    rig            a Rig without servers
    redis_rig      a Rig on an empty Redis, for `drain()` and real idempotency keys
    rig_clock      the Clock of both, frozen
    rig_tools      override it: what both rigs are given, as in {"db": db}
    rig_redis_url  a private Valkey; or REDIS_URL, which has to be empty: each test empties it

They need pytest-asyncio. Under xdist leave REDIS_URL unset: each process starts its own.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio

from worker.enqueuer import Pool
from worker.redis_pool import open_redis
from worker.settings import load_settings
from worker.testing.clock import Clock
from worker.testing.pool import open_rig_pool
from worker.testing.private import private_redis
from worker.testing.rig import Rig


@pytest.fixture(scope="session")
def rig_redis_url() -> Iterator[str]:
    """Where the Redis of this session is. Fails when REDIS_URL names one that holds anything."""
    given = load_settings().redis_dsn
    with private_redis() if given is None else _empty(given) as url:
        yield url


@contextmanager
def _empty(url: str) -> Iterator[str]:
    if keys := asyncio.run(_on(url, Pool.dbsize)):
        pytest.fail(
            f"the Redis of REDIS_URL holds {keys} keys, and tests empty it: name a database that "
            "is empty, or unset REDIS_URL for a private one"
        )
    try:
        yield url
    finally:
        asyncio.run(_on(url, Pool.flushdb))


async def _on(url: str, call: Callable[[Pool], Awaitable[Any]]) -> Any:
    redis = open_redis(url, Pool)
    try:
        return await call(redis)
    finally:
        await redis.aclose()


@pytest.fixture
def rig_clock() -> Clock:
    """Stands at the instant at which the test began."""
    return Clock()


@pytest.fixture
def rig_tools() -> dict[str, Any]:
    """What both rigs are given, by the names of Rig's parameters. Override it."""
    return {}


@pytest.fixture
def rig(rig_tools: dict[str, Any], rig_clock: Clock) -> Iterator[Rig]:
    """A Rig that remembers enqueues in memory."""
    with Rig(**{"clock": rig_clock, **rig_tools}) as rig:
        yield rig


@pytest_asyncio.fixture
async def redis_rig(
    rig_tools: dict[str, Any], rig_clock: Clock, rig_redis_url: str
) -> AsyncIterator[Rig]:
    """A Rig whose `pool` is on an empty Redis."""
    pool = open_rig_pool(rig_redis_url, rig_clock)
    await pool.flushdb()
    try:
        with Rig(**{"clock": rig_clock, **rig_tools, "pool": pool}) as rig:
            yield rig
    finally:
        await pool.aclose()
