import asyncio
import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg

from jobs.sam_gov import core, queries
from tests.conftest import Tenant
from tests.jobs.sam_gov.samples import notice

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


def some(*notice_ids: str, **changes: Any) -> list[core.Opportunity]:
    return [core.opportunity(notice(noticeId=key, **changes)) for key in notice_ids]


async def upsert(
    db: Pool, tenant_id: UUID, rows: list[core.Opportunity], *, at: datetime = NOW
) -> tuple[int, ...]:
    async with db.acquire() as connection:
        upserted = await queries.upsert_opportunities(connection, tenant_id, rows, at=at)
    return dataclasses.astuple(upserted)


async def test_a_tenant_is_known_or_not(db: Pool, tenant: Tenant) -> None:
    async with db.acquire() as connection:
        assert await queries.is_tenant_known(connection, tenant.tenant_id)
        assert not await queries.is_tenant_known(connection, uuid4())


async def test_every_field_is_kept(db: Pool, tenant: Tenant) -> None:
    row = core.opportunity(
        notice(
            title="Iğdır \"Kapısı\" \\ {x} 'y' %s",
            solicitationNumber="XX-26-Q-0001",
            fullParentPathName="DEPT.SUB.OFFICE",
            baseType="Presolicitation",
            responseDeadLine="2026-12-05T17:00:00-05:00",
            archiveDate="2026-12-20",
            typeOfSetAside="SBA",
            typeOfSetAsideDescription="Total Small Business Set-Aside (FAR 19.5)",
            naicsCodes=["811310", 'odd,"{}', "541512"],
            classificationCode="J049",
            award={
                "date": "2026-11-01",
                "number": "A1",
                "amount": "9,999,999,999,999,999.99",
                "awardee": {"name": "Örnek A.Ş.", "ueiSAM": "AAAA1111BBBB"},
            },
            placeOfPerformance={"city": {"name": "İstanbul"}, "state": "TR-34", "country": "TUR"},
            pointOfContact=[{"type": "primary", "fullName": "A. Buyer", "email": "b@a.example"}],
            description="https://sam.example/d?noticeid=1",
            uiLink="https://sam.example/opp/1/view",
            resourceLinks=["https://sam.example/files/1", "https://sam.example/files/2"],
        )
    )

    await upsert(db, tenant.tenant_id, [row])

    kept = dict(await db.fetchrow("select * from opportunities") or {})
    kept["contacts"] = tuple(core.Contact(**person) for person in json.loads(kept["contacts"]))
    for field in dataclasses.fields(row):
        value = getattr(row, field.name)
        expected = list(value) if field.name in {"naics_codes", "resource_urls"} else value
        assert kept.pop(field.name) == expected, field.name
    assert kept == {
        "tenant_id": tenant.tenant_id,
        "content_sha256": core.content_sha256(row),
        "created_at": NOW,
        "updated_at": NOW,
    }


async def test_only_a_deadline_of_a_day_is_a_day(db: Pool, tenant: Tenant) -> None:
    await upsert(db, tenant.tenant_id, some("a", responseDeadLine="2026-12-05"))

    kept = await db.fetchrow("select response_due_at, response_due_on from opportunities")
    assert kept is not None
    assert (kept[0], str(kept[1])) == (None, "2026-12-05")


async def test_the_counts_tell_new_changed_and_equal_rows_apart(db: Pool, tenant: Tenant) -> None:
    assert await upsert(db, tenant.tenant_id, some("a", "b", "c")) == (3, 0, 0)

    rows = [*some("a"), *some("b", title="Changed"), *some("d")]
    assert await upsert(db, tenant.tenant_id, rows, at=LATER) == (1, 1, 1)

    kept = await db.fetch("select notice_id, created_at, updated_at from opportunities order by 1")
    assert [tuple(row) for row in kept] == [
        ("a", NOW, NOW),
        ("b", NOW, LATER),
        ("c", NOW, NOW),
        ("d", LATER, LATER),
    ]


async def test_a_field_that_became_empty_is_emptied(db: Pool, tenant: Tenant) -> None:
    await upsert(db, tenant.tenant_id, some("a", solicitationNumber="X", naicsCode="811310"))

    assert await upsert(db, tenant.tenant_id, some("a")) == (0, 1, 0)

    kept = await db.fetchrow("select solicitation_number, naics_codes from opportunities")
    assert kept is not None
    assert tuple(kept) == (None, [])


async def test_nothing_to_write(db: Pool, tenant: Tenant) -> None:
    assert await upsert(db, tenant.tenant_id, []) == (0, 0, 0)


async def test_tenants_have_their_own_rows(db: Pool, tenant: Tenant) -> None:
    other = uuid4()
    await db.execute("insert into tenants (tenant_id, name) values ($1, 'Other')", other)
    await upsert(db, tenant.tenant_id, some("a", title="Ours"))

    assert await upsert(db, other, some("a", title="Theirs")) == (1, 0, 0)

    ours = "select title from opportunities where tenant_id = $1"
    assert await db.fetchval(ours, tenant.tenant_id) == "Ours"


async def test_imports_at_the_same_time_count_each_row_once(db: Pool, tenant: Tenant) -> None:
    rows = some(*(f"{number:03}" for number in range(200)))

    counts = await asyncio.gather(*(upsert(db, tenant.tenant_id, rows) for _ in range(4)))

    assert [sum(column) for column in zip(*counts, strict=True)] == [200, 0, 600]
