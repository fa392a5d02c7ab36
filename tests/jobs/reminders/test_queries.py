from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import pytest

from jobs.reminders import queries
from jobs.reminders.core import NO_ID, Position
from tests.conftest import Tenant
from tests.jobs.reminders.appointments import (
    insert_appointment,
    insert_contact,
    insert_surroundings,
    sent_at,
)

if TYPE_CHECKING:
    import asyncpg

T = datetime(2026, 12, 3, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", ()) for node in nodes(part))]


async def test_the_next_appointments_are_found_by_their_index(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    contact_id = await insert_contact(db, tenant.tenant_id)
    await db.execute(
        """
        insert into appointments (tenant_id, appointment_id, contact_id, starts_at, ends_at, status)
        select $1, gen_random_uuid(), $2, $3::timestamptz + number * interval '7 minutes',
               $3::timestamptz + number * interval '7 minutes' + interval '1 hour',
               case when number % 3 = 0 then 'cancelled' else 'confirmed' end
          from generate_series(1, 20000) as number
        """,
        tenant.tenant_id,
        contact_id,
        T,
    )
    await db.execute("analyze appointments, contacts")

    explained = await db.fetchval(
        "explain (analyze, format json) " + queries.DUE, T + HOUR, NO_ID, NO_ID, T + 2 * HOUR, 500
    )

    (scan,) = [
        node
        for node in nodes(orjson.loads(explained)[0]["Plan"])
        if node.get("Relation Name") == "appointments"
    ]
    assert (scan["Node Type"], scan["Index Name"]) == ("Index Scan", "appointments_to_come")
    assert scan["Actual Rows"] < 10
    assert scan.get("Rows Removed by Filter", 0) == 0


async def test_appointments_come_in_order_and_those_at_the_end_are_the_next_ones(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    contact_id = await insert_contact(db, tenant.tenant_id)
    starts = (T, T, T + HOUR, T + 2 * HOUR)
    ids = [await insert_appointment(db, tenant.tenant_id, contact_id, at) for at in starts]
    found: list[UUID] = []
    after = Position(T)

    async with db.acquire() as connection:
        while page := await queries.due_appointments(connection, after, T + 2 * HOUR, limit=1):
            found.append(page[0].appointment_id)
            after = page[0].position

    assert found == [*sorted(ids[:2]), ids[2]]


async def test_an_appointment_is_loaded_with_all_that_belongs_to_it(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    contact_id = await insert_contact(db, tenant.tenant_id, reminders_by_sms=False)
    around = await insert_surroundings(db, tenant.tenant_id, contact_id, timezone="Asia/Tokyo")
    one = await insert_appointment(db, tenant.tenant_id, contact_id, T, **around)
    bare = await insert_appointment(db, tenant.tenant_id, contact_id, T)

    found = await queries.find_appointment(db, tenant.tenant_id, one)
    without = await queries.find_appointment(db, tenant.tenant_id, bare)

    assert found is not None
    assert without is not None
    assert (found.pet, found.service, found.store) == ("Pamuk", "Tüy bakımı", "Moda")
    assert (found.full_name, found.phone) == ("Zeynep Çağlar", "+905321234567")
    assert found.store_phone == "+90 216 555 01 23"
    assert (found.timezone, set(found.consented)) == ("Asia/Tokyo", {"email"})
    assert (without.pet, without.store, without.timezone) == (None, None, "Europe/Istanbul")


async def test_an_appointment_is_told_by_its_own_clock_if_it_has_one(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    contact_id = await insert_contact(db, tenant.tenant_id)
    around = await insert_surroundings(db, tenant.tenant_id, contact_id, timezone="Asia/Tokyo")
    one = await insert_appointment(
        db, tenant.tenant_id, contact_id, T, timezone="America/Denver", **around
    )

    found = await queries.find_appointment(db, tenant.tenant_id, one)

    assert found is not None
    assert found.timezone == "America/Denver"


async def test_another_tenant_finds_nothing(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    contact_id = await insert_contact(db, tenant.tenant_id)
    one = await insert_appointment(db, tenant.tenant_id, contact_id, T)

    assert await queries.find_appointment(db, UUID(int=5), one) is None


async def test_the_first_message_of_a_kind_is_what_counts(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    contact_id = await insert_contact(db, tenant.tenant_id)
    one = await insert_appointment(db, tenant.tenant_id, contact_id, T)
    found = await queries.find_appointment(db, tenant.tenant_id, one)
    assert found is not None

    async with db.acquire() as connection:
        for minutes in (1, 2):
            at = T + timedelta(minutes=minutes)
            await queries.mark_reminded(connection, tenant.tenant_id, found, "24h", at)

    assert await sent_at(db, one) == {
        "reminder_24h_sent_at": T + timedelta(minutes=1),
        "reminder_3h_sent_at": None,
    }


@pytest.fixture
async def reminded(db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant) -> UUID:
    """An appointment that both reminders were sent for."""
    contact_id = await insert_contact(db, tenant.tenant_id)
    around = await insert_surroundings(db, tenant.tenant_id, contact_id)
    one = await insert_appointment(db, tenant.tenant_id, contact_id, T, **around)
    await db.execute(
        "update appointments set reminder_24h_sent_at = $1, reminder_3h_sent_at = $1", T
    )
    return one


@pytest.mark.parametrize(
    ("change", "sequence", "keeps"),
    [
        ("starts_at = starts_at + interval '15 minutes'", 1, False),
        ("ends_at = ends_at + interval '15 minutes'", 1, True),
        ("store_id = null", 1, True),
        ("status = 'cancelled'", 1, True),
        ("status = 'done'", 0, True),
        ("reminder_3h_sent_at = now()", 0, True),
    ],
)
async def test_a_moved_appointment_is_reminded_of_anew(
    db: "asyncpg.Pool[asyncpg.Record]",
    reminded: UUID,
    change: str,
    sequence: int,
    *,
    keeps: bool,
) -> None:
    await db.execute(f"update appointments set {change}")  # noqa: S608 - own words

    fields = await sent_at(db, reminded)
    assert [field is not None for field in fields.values()] == [keeps, keeps]
    assert await db.fetchval("select sequence from appointments") == sequence


async def test_what_was_sent_for_the_old_time_marks_no_new_one(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant, reminded: UUID
) -> None:
    before = await queries.find_appointment(db, tenant.tenant_id, reminded)
    assert before is not None
    await db.execute("update appointments set starts_at = starts_at + interval '15 minutes'")

    async with db.acquire() as connection:
        await queries.mark_reminded(connection, tenant.tenant_id, before, "3h", T)

    assert set((await sent_at(db, reminded)).values()) == {None}


async def test_a_scan_begins_at_the_first_place_and_goes_on_from_the_last(
    db: "asyncpg.Pool[asyncpg.Record]",
) -> None:
    place = Position(T + HOUR, UUID(int=1), UUID(int=2))
    async with db.acquire() as connection, connection.transaction():
        first = await queries.lock_scan(connection, "3h", T)
        await queries.move_scan(connection, "3h", place)
        again = await queries.lock_scan(connection, "3h", T + 9 * HOUR)
        other = await queries.lock_scan(connection, "24h", T + 9 * HOUR)

    assert (first, again, other) == (Position(T), place, Position(T + 9 * HOUR))
