from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import uuid4
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from jobs.documents import queries
from jobs.documents.core.model import Aggregate, Notice, Period, Tally
from jobs.documents.core.model import Tenant as ReportTenant
from tests.conftest import Tenant
from tests.jobs.documents.core.reports import ISTANBUL, PERIOD, make_notice
from tests.jobs.documents.rows import add_notice, add_notices

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

NOW = datetime(2026, 3, 20, 12, 0, tzinfo=UTC)


async def found(db: Db, tenant: Tenant, period: Period = PERIOD) -> list[Notice]:
    async with queries.snapshot(db) as connection:
        pages = [page async for page in queries.notices(connection, tenant.tenant_id, period)]
    return [notice for page in pages for notice in page]


async def counted(db: Db, tenant: Tenant, zone: ZoneInfo = ISTANBUL) -> Tally:
    async with queries.snapshot(db) as connection:
        return await queries.tally(connection, tenant.tenant_id, PERIOD, as_of=NOW, zone=zone)


async def summed(db: Db, tenant: Tenant) -> list[Aggregate]:
    async with queries.snapshot(db) as connection:
        return await queries.aggregates(connection, tenant.tenant_id, PERIOD)


async def test_a_tenant_is_found_or_not(db: Db, tenant: Tenant) -> None:
    async with queries.snapshot(db) as connection:
        assert await queries.find_tenant(connection, tenant.tenant_id) == ReportTenant(
            "Iğdır Yapı A.Ş.", "Europe/Istanbul"
        )
        assert await queries.find_tenant(connection, uuid4()) is None


async def test_a_notice_leaves_as_it_was_stored(db: Db, tenant: Tenant) -> None:
    empty: dict[str, Any] = {
        "due_at": None,
        "due_on": date(2026, 4, 1),
        "award_amount": None,
        "link": None,
    }
    await add_notice(db, tenant.tenant_id, "a")
    await add_notice(db, tenant.tenant_id, "b", naics_codes=(), **empty)

    notices = await found(db, tenant)

    assert notices == [
        make_notice(notice_id="b", naics_codes=(), **empty),
        make_notice(notice_id="a"),
    ]


async def test_notices_come_newest_first_from_the_whole_period(db: Db, tenant: Tenant) -> None:
    for day in (PERIOD.first, PERIOD.last, date(2026, 2, 1)):
        await add_notice(db, tenant.tenant_id, f"{day}", posted_on=day)
    for day in (PERIOD.first - timedelta(days=1), PERIOD.last + timedelta(days=1)):
        await add_notice(db, tenant.tenant_id, f"{day}", posted_on=day)

    notices = await found(db, tenant)

    assert [notice.notice_id for notice in notices] == ["2026-03-31", "2026-02-01", "2026-01-01"]


async def test_notices_come_in_pages_without_gaps(db: Db, tenant: Tenant) -> None:
    await add_notices(db, tenant.tenant_id, 1203)

    notices = await found(db, tenant)

    assert len({notice.notice_id for notice in notices}) == len(notices) == 1203


async def test_no_tenant_sees_the_notices_of_another(db: Db, tenant: Tenant) -> None:
    other = Tenant(uuid4(), "Other", "en", "UTC")
    await db.execute("insert into tenants (tenant_id, name) values ($1, 'Other')", other.tenant_id)
    await add_notice(db, other.tenant_id, "a", due_at=NOW + timedelta(days=1))

    assert await found(db, tenant) == []
    assert await counted(db, tenant) == Tally(0, 0, 0)
    assert await summed(db, tenant) == []
    assert await counted(db, other) == Tally(1, 1, 1)


@pytest.mark.parametrize(
    ("due", "is_active", "open_", "closing"),
    [
        (NOW, True, 0, 0),
        (NOW + timedelta(seconds=1), True, 1, 1),
        (NOW + timedelta(days=7), True, 1, 1),
        (NOW + timedelta(days=7, seconds=1), True, 1, 0),
        (NOW + timedelta(days=1), False, 0, 0),
        (None, True, 0, 0),
        (date(2026, 3, 19), True, 0, 0),
        (date(2026, 3, 20), True, 1, 1),
        (date(2026, 3, 27), True, 1, 1),
        (date(2026, 3, 28), True, 1, 0),
    ],
)
async def test_a_notice_is_open_until_its_deadline(
    db: Db, tenant: Tenant, due: date | None, *, is_active: bool, open_: int, closing: int
) -> None:
    due_at, due_on = (due, None) if isinstance(due, datetime) else (None, due)
    await add_notice(db, tenant.tenant_id, "a", is_active=is_active, due_at=due_at, due_on=due_on)

    assert await counted(db, tenant) == Tally(1, open_, closing)


async def test_a_day_ends_where_the_tenant_is(db: Db, tenant: Tenant) -> None:
    await add_notice(db, tenant.tenant_id, "a", due_at=None, due_on=date(2026, 3, 20))

    assert (await counted(db, tenant, ZoneInfo("Pacific/Kiritimati"))).open == 0
    assert (await counted(db, tenant, ZoneInfo("America/New_York"))).open == 1


async def test_notices_are_summed_by_group_and_currency(db: Db, tenant: Tenant) -> None:
    await add_notice(db, tenant.tenant_id, "a", award_amount=Decimal("0.10"), department="")
    await add_notice(db, tenant.tenant_id, "b", award_amount=Decimal("0.20"), department=None)
    await add_notice(db, tenant.tenant_id, "c", award_amount=None, award_currency=None)

    aggregates = await summed(db, tenant)

    assert {
        (sums.group, sums.value, sums.currency, sums.notices, sums.awards, sums.awarded)
        for sums in aggregates
    } == {
        ("month", "2026-02", "USD", 2, 2, Decimal("0.30")),
        ("month", "2026-02", None, 1, 0, Decimal(0)),
        ("notice_type", "Solicitation", "USD", 2, 2, Decimal("0.30")),
        ("notice_type", "Solicitation", None, 1, 0, Decimal(0)),
        ("department", None, "USD", 2, 2, Decimal("0.30")),
        ("department", "DEPT OF DEFENSE", None, 1, 0, Decimal(0)),
        ("set_aside", "8(a) Set-Aside", "USD", 2, 2, Decimal("0.30")),
        ("set_aside", "8(a) Set-Aside", None, 1, 0, Decimal(0)),
    }
    assert len(aggregates) == 8
    assert not any(sums.is_rest for sums in aggregates)


async def test_values_after_the_fifteen_most_frequent_are_summed(db: Db, tenant: Tenant) -> None:
    for place in range(17):
        for number in range(2 if place < 15 else 1):
            await add_notice(
                db, tenant.tenant_id, f"{place}-{number}", department=f"Department {place:02}"
            )

    departments = [sums for sums in await summed(db, tenant) if sums.group == "department"]

    [rest] = [sums for sums in departments if sums.is_rest]
    assert (rest.value, rest.notices, rest.awards) == (None, 2, 2)
    assert sorted(sums.value or "" for sums in departments if not sums.is_rest) == [
        f"Department {place:02}" for place in range(15)
    ]


async def test_months_are_never_summed_into_a_rest(db: Db, tenant: Tenant) -> None:
    for month in range(24):
        day = date(2024 + month // 12, month % 12 + 1, 1)
        await add_notice(db, tenant.tenant_id, f"{day}", posted_on=day)

    async with queries.snapshot(db) as connection:
        period = Period(date(2024, 1, 1), date(2025, 12, 31))
        aggregates = await queries.aggregates(connection, tenant.tenant_id, period)

    months = [sums.value for sums in aggregates if sums.group == "month" and not sums.is_rest]
    assert len(set(months)) == 24


async def test_a_snapshot_does_not_see_later_changes(db: Db, tenant: Tenant) -> None:
    await add_notice(db, tenant.tenant_id, "a")

    async with queries.snapshot(db) as connection:
        before = await queries.tally(connection, tenant.tenant_id, PERIOD, as_of=NOW, zone=ISTANBUL)
        await add_notice(db, tenant.tenant_id, "b")
        pages = [page async for page in queries.notices(connection, tenant.tenant_id, PERIOD)]

    assert before.notices == sum(map(len, pages)) == 1


async def test_a_snapshot_cannot_write(db: Db, tenant: Tenant) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with queries.snapshot(db) as connection:
            await connection.execute("delete from opportunities")
