"""Real servers for every test that asks for one, and rows to work on.

A test that asks for nothing here is a unit test; one that asks for `db`, `redis_url` or what builds
on them is marked `integration`. Each test has a database of its own, cloned from a migrated one.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import asyncpg
import pytest

from jobs.kit import JobContext, Run
from worker.clock import utc_now
from worker.embedded import start_postgres, start_valkey
from worker.enqueuer import Pool
from worker.lifespan import Resources, open_resources
from worker.migrate import migrate
from worker.redis_pool import open_redis
from worker.settings import Settings, load_settings
from worker.telemetry.metrics import Metrics

_NEEDS_SERVERS = {"database_url", "redis_url"}
_serial = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _NEEDS_SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("integration")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine, and no `.env` of the checkout, reaches a test."""
    for field in Settings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)
    monkeypatch.delenv("NODE_ENV", raising=False)
    monkeypatch.setitem(Settings.model_config, "env_file", None)


@pytest.fixture(scope="session")
def _postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = start_postgres(tmp_path_factory.mktemp("postgres"), is_durable=False)
    try:
        yield server.url
    finally:
        server.stop()


@pytest.fixture(scope="session")
def _template(_postgres_url: str) -> str:
    """The name of a migrated database to clone."""
    asyncio.run(_create(_postgres_url, "template_deskhand"))
    asyncio.run(migrate(with_database(_postgres_url, "template_deskhand")))
    return "template_deskhand"


@pytest.fixture
async def database_url(_postgres_url: str, _template: str) -> AsyncIterator[str]:
    name = f"test_{os.getpid()}_{next(_serial)}"
    await _create(_postgres_url, name, _template)
    yield with_database(_postgres_url, name)
    connection = await asyncpg.connect(_postgres_url)
    await connection.execute(f'drop database "{name}" with (force)')
    await connection.close()


async def _create(url: str, name: str, template: str = "template1") -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f'create database "{name}" template "{template}"')
    await connection.close()


def with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture
async def db(database_url: str) -> AsyncIterator["asyncpg.Pool[asyncpg.Record]"]:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=5) as pool:
        yield pool


@pytest.fixture(scope="session")
def _valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = start_valkey(tmp_path_factory.mktemp("valkey"), is_durable=False)
    try:
        yield server.url
    finally:
        server.stop()


@pytest.fixture
async def redis_url(_valkey_url: str) -> str:
    """An empty Redis."""
    redis = open_redis(_valkey_url, Pool)
    await redis.flushall()
    await redis.aclose()
    return _valkey_url


@pytest.fixture
async def pool(redis_url: str) -> AsyncIterator[Pool]:
    pool = open_redis(redis_url, Pool)
    yield pool
    await pool.aclose()


class MakeSettings(Protocol):
    def __call__(self, **overrides: Any) -> Settings: ...


@pytest.fixture
def make_settings(tmp_path: Path, database_url: str, redis_url: str) -> MakeSettings:
    """Settings of a worker on this test's servers, with its files under `tmp_path`."""

    def make(**overrides: Any) -> Settings:
        defaults = {
            "database_url": database_url,
            "redis_url": redis_url,
            "var_dir": tmp_path,
            "port": 0,
            "database_pool_size": 5,
            "scheduler": False,  # whatever is due at this hour is no part of a test
        }
        return load_settings(**{**defaults, **overrides})

    return make


@dataclass(frozen=True)
class Tenant:
    tenant_id: UUID
    name: str
    locale: str
    timezone: str


@dataclass(frozen=True)
class User:
    user_id: UUID
    tenant_id: UUID
    email: str
    full_name: str
    locale: str
    timezone: str
    unsubscribe_token: UUID


@pytest.fixture
async def tenant(db: "asyncpg.Pool[asyncpg.Record]") -> Tenant:
    tenant = Tenant(uuid4(), "Iğdır Yapı A.Ş.", "tr", "Europe/Istanbul")
    await db.execute(
        "insert into tenants (tenant_id, name, locale, timezone) values ($1, $2, $3, $4)",
        tenant.tenant_id,
        tenant.name,
        tenant.locale,
        tenant.timezone,
    )
    return tenant


@pytest.fixture
async def user(db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant) -> User:
    user = User(
        uuid4(),
        tenant.tenant_id,
        "ayse.isik@anadolu.example",
        "Ayşe Işık",
        "tr",
        "Europe/Istanbul",
        uuid4(),
    )
    await db.execute(
        "insert into users"
        " (user_id, tenant_id, email, full_name, locale, timezone, unsubscribe_token)"
        " values ($1, $2, $3, $4, $5, $6, $7)",
        user.user_id,
        user.tenant_id,
        user.email,
        user.full_name,
        user.locale,
        user.timezone,
        user.unsubscribe_token,
    )
    return user


@pytest.fixture
async def resources(make_settings: MakeSettings, pool: Pool) -> AsyncIterator[Resources]:
    """What a worker opens at its start, on this test's servers."""
    meter = Metrics((), version="0")
    async with open_resources(make_settings(), pool=pool, meter=meter) as resources:
        yield resources


class MakeContext(Protocol):
    def __call__(self, job: str, **overrides: Any) -> JobContext: ...


@pytest.fixture
def make_ctx(resources: Resources) -> MakeContext:
    """A real context: `make_ctx("documents.generate_report", tenant_id=…, key="k", now=…)`.

    `tools` are other values for fields of Resources.
    """

    def make(
        job: str,
        *,
        now: datetime | None = None,
        tools: Mapping[str, Any] | None = None,
        **overrides: Any,
    ) -> JobContext:
        run_id = uuid4().hex
        clock: Callable[[], datetime] = utc_now if now is None else lambda: now
        run = {
            "run_id": run_id,
            "job": job,
            "queue": "default",
            "attempt": 1,
            "key": run_id,
            "enqueued_at": datetime.now(UTC),
            "correlation_id": run_id,
        }
        given = replace(resources, **{"clock": clock, **(tools or {})})
        return JobContext(Run(**{**run, **overrides}), given)

    return make
