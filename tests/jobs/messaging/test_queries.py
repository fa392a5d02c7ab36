import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from jobs.messaging import queries
from jobs.messaging.core.override import Override
from jobs.messaging.queries import Key
from tests.conftest import Tenant

if TYPE_CHECKING:
    import asyncpg

KEY = Key("welcome", "tr", "email")
AT = datetime(2026, 12, 1, 9, tzinfo=UTC)


async def store(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, text: str, key: Key = KEY
) -> int | None:
    async with db.acquire() as connection, connection.transaction():
        override = Override(version=0, text=text)
        return await queries.store_override(connection, tenant_id, key, override, by="ayse", at=AT)


async def test_an_address_has_one_way_out_in_each_tenant(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    tokens = await asyncio.gather(
        *(queries.unsubscribe_token(db, tenant.tenant_id, "a@b.example", "tr") for _ in range(8))
    )

    assert len(set(tokens)) == 1
    assert tokens[0] != await queries.unsubscribe_token(db, tenant.tenant_id, "c@b.example", "tr")


async def test_a_way_out_speaks_the_language_of_the_last_mail(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    tokens = [
        await queries.unsubscribe_token(db, tenant.tenant_id, "a@b.example", locale)
        for locale in ("tr", "en")
    ]

    assert tokens[0] == tokens[1]
    assert await db.fetchval("select locale from unsubscribe_links") == "en"


async def test_a_new_version_takes_effect_and_the_earlier_ones_stay(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    assert await queries.active_override(db, tenant.tenant_id, KEY) is None

    assert [await store(db, tenant.tenant_id, text) for text in ("a", "b", "c")] == [1, 2, 3]

    active = await queries.active_override(db, tenant.tenant_id, KEY)
    assert active == Override(version=3, text="c")
    found = await queries.versions(db, tenant.tenant_id, KEY, before=None, limit=2)
    assert [(one.version, one.is_active, one.text) for one in found] == [
        (3, True, "c"),
        (2, False, "b"),
    ]
    (first,) = await queries.versions(db, tenant.tenant_id, KEY, before=2, limit=2)
    assert (first.version, first.created_by, first.created_at) == (1, "ayse", AT)


async def test_versions_that_come_at_once_are_one_after_the_other(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    made = await asyncio.gather(*(store(db, tenant.tenant_id, str(n)) for n in range(6)))

    assert sorted(number or 0 for number in made) == [1, 2, 3, 4, 5, 6]
    assert await db.fetchval("select count(*) from message_templates where is_active") == 1


async def test_another_version_takes_effect_or_none(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    for text in ("a", "b"):
        await store(db, tenant.tenant_id, text)
    async with db.acquire() as connection, connection.transaction():
        assert await queries.activate(connection, tenant.tenant_id, KEY, 1)
        assert not await queries.activate(connection, tenant.tenant_id, KEY, 9)

    active = await queries.active_override(db, tenant.tenant_id, KEY)
    assert active is not None
    assert active.version == 1
    assert await queries.active_versions(db, tenant.tenant_id) == [(KEY, 1)]

    async with db.acquire() as connection, connection.transaction():
        assert await queries.deactivate(connection, tenant.tenant_id, KEY) == 1
        assert await queries.deactivate(connection, tenant.tenant_id, KEY) is None
    assert await queries.active_override(db, tenant.tenant_id, KEY) is None
    assert await queries.active_versions(db, tenant.tenant_id) == []


async def test_languages_channels_and_tenants_do_not_share(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    await store(db, tenant.tenant_id, "a")

    for key in (Key("welcome", "en", "email"), Key("welcome", "tr", "sms")):
        assert await queries.active_override(db, tenant.tenant_id, key) is None
    assert await queries.version(db, UUID(int=1), KEY, 1) is None


async def test_an_unknown_tenant_gets_no_version(db: "asyncpg.Pool[asyncpg.Record]") -> None:
    assert await store(db, UUID(int=1), "a") is None


async def test_there_are_not_more_versions_than_there_may_be(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MOST_VERSIONS", 1)
    await store(db, tenant.tenant_id, "a")

    with pytest.raises(queries.TooManyVersionsError):
        await store(db, tenant.tenant_id, "b")
