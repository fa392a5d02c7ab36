import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from jobs.kit import Cron, JobContext
from jobs.reminders import scan_appointments as module
from jobs.reminders.scan_appointments import scan_appointments
from tests.conftest import Tenant
from tests.jobs.reminders.appointments import insert_appointment, insert_contact
from worker.testing import Clock, Rig

if TYPE_CHECKING:
    Db = asyncpg.Pool[asyncpg.Record]

T = datetime(2026, 12, 3, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
NOBODY = {"appointments": 0, "reminders": 0, "superseded": 0}


@pytest.fixture
def clock() -> Clock:
    return Clock(T)


@pytest.fixture
async def contact_id(db: "Db", tenant: Tenant) -> UUID:
    return await insert_contact(db, tenant.tenant_id, preferred_channel="sms")


def tick(due_at: datetime) -> dict[str, str]:
    return {"due_at": due_at.isoformat()}


async def asked(db: "Db") -> list[dict[str, Any]]:
    """The payloads of the reminders that are to be sent."""
    rows = await db.fetch("select message from outbox order by outbox_id")
    return [orjson.loads(row["message"])["a"][0] for row in rows]


async def found(db: "Db") -> list[tuple[str, UUID]]:
    return [(one["reminder_type"], UUID(one["appointment_id"])) for one in await asked(db)]


def test_it_is_done_every_hour_on_the_hour_under_a_name_that_people_know() -> None:
    assert scan_appointments.schedule == Cron("0 * * * *")
    assert scan_appointments.worker == "AppointmentReminderWorker"


async def test_one_scan_finds_what_begins_in_a_day_and_in_three_hours(
    rig: Rig, db: "Db", tenant: Tenant, contact_id: UUID
) -> None:
    inside = {"24h": (T + 23 * HOUR, T + 24 * HOUR - MINUTE), "3h": (T + 2 * HOUR, T + 2.5 * HOUR)}
    outside = (T + 23 * HOUR - MINUTE, T + 24 * HOUR, T + 2 * HOUR - MINUTE, T + 3 * HOUR)
    for start in outside:
        await insert_appointment(db, tenant.tenant_id, contact_id, start)
    for status in ("requested", "cancelled", "done"):
        await insert_appointment(db, tenant.tenant_id, contact_id, inside["24h"][0], status=status)
    expected = [
        (reminder_type, await insert_appointment(db, tenant.tenant_id, contact_id, start))
        for reminder_type, starts in inside.items()
        for start in starts
    ]

    ended = (await rig.run(scan_appointments, tick(T))).succeeded()

    assert await found(db) == expected
    assert ended == {kind: {**NOBODY, "appointments": 2, "reminders": 2} for kind in inside}


async def test_a_run_says_whom_to_remind_of_what_and_how(
    rig: Rig, db: "Db", tenant: Tenant
) -> None:
    contact_id = await insert_contact(db, tenant.tenant_id)
    one = await insert_appointment(db, tenant.tenant_id, contact_id, T + 23 * HOUR)

    await rig.run(scan_appointments, tick(T))

    assert await asked(db) == [
        {
            "tenant_id": str(tenant.tenant_id),
            "contact_id": str(contact_id),
            "appointment_id": str(one),
            "scheduled_for": "2026-12-04T08:00:00Z",
            "reminder_type": "24h",
            "message": None,
            "channel": channel,
        }
        for channel in ("email", "sms")
    ]


@pytest.mark.parametrize(
    ("given", "channels"),
    [
        ({}, ["email", "sms"]),
        ({"preferred_channel": "email"}, ["email"]),
        ({"preferred_channel": "sms"}, ["sms"]),
        ({"preferred_channel": "sms", "reminders_by_sms": False}, ["email"]),
        ({"preferred_channel": "sms", "phone": None}, ["email"]),
        ({"reminders_by_email": False}, ["sms"]),
    ],
)
async def test_a_contact_is_reminded_by_what_they_agreed_to(
    rig: Rig, db: "Db", tenant: Tenant, given: dict[str, Any], channels: list[str]
) -> None:
    contact_id = await insert_contact(db, tenant.tenant_id, **given)
    await insert_appointment(db, tenant.tenant_id, contact_id, T + 2 * HOUR)

    await rig.run(scan_appointments, tick(T))

    assert [one["channel"] for one in await asked(db)] == channels
    assert rig.counted.skips == []


@pytest.mark.parametrize(
    ("given", "reason", "channels"),
    [
        ({"reminders_by_email": False, "reminders_by_sms": False}, "no_consent", {"email", "sms"}),
        ({"reminders_by_email": False, "phone": None}, "unreachable", {"sms"}),
    ],
)
async def test_who_cannot_be_reminded_is_counted_and_not_named(
    rig: Rig,
    db: "Db",
    tenant: Tenant,
    given: dict[str, Any],
    reason: str,
    channels: set[str],
) -> None:
    contact_id = await insert_contact(db, tenant.tenant_id, **given)
    one = await insert_appointment(db, tenant.tenant_id, contact_id, T + 2 * HOUR)

    ended = (await rig.run(scan_appointments, tick(T))).succeeded()

    assert ended["3h"] == {**NOBODY, "appointments": 1}
    assert await asked(db) == []
    assert {skip.pop("channel") for skip in rig.counted.skips} == channels
    assert rig.counted.skips == [{"template": "appointment-reminder", "reason": reason}] * len(
        channels
    )
    (line,) = [log for log in rig.logs if log["event"] == "Nobody to remind"]
    assert (line["appointment_id"], line["reason"]) == (str(one), reason)
    assert "Zeynep" not in str(rig.logs)
    assert "@" not in str(rig.logs)


async def test_a_late_scan_takes_in_what_missed_ones_left_out(
    rig: Rig, db: "Db", tenant: Tenant, contact_id: UUID
) -> None:
    await rig.run(scan_appointments, tick(T))
    starts = [T + (24 + hours) * HOUR for hours in range(5)]
    expected = [
        ("24h", await insert_appointment(db, tenant.tenant_id, contact_id, at)) for at in starts
    ]
    rig.clock.move(hours=5, minutes=20)

    await rig.run(scan_appointments, tick(T + 5 * HOUR))

    assert await found(db) == expected


async def test_a_late_scan_reminds_of_nothing_that_has_begun(
    rig: Rig, db: "Db", tenant: Tenant, contact_id: UUID
) -> None:
    await rig.run(scan_appointments, tick(T))
    for minutes in (181, 299, 300):
        await insert_appointment(db, tenant.tenant_id, contact_id, T + minutes * MINUTE)
    soon = await insert_appointment(db, tenant.tenant_id, contact_id, T + 301 * MINUTE)
    rig.clock.move(hours=5)

    ended = (await rig.run(scan_appointments, tick(T + 5 * HOUR))).succeeded()

    assert ended["3h"] == {**NOBODY, "appointments": 1, "reminders": 1}
    assert await found(db) == [("3h", soon)]


async def test_after_an_outage_of_a_day_the_nearest_reminder_goes_alone(
    rig: Rig, db: "Db", tenant: Tenant, contact_id: UUID
) -> None:
    """22 hours without a scan: what begins in two to three hours is due for both types."""
    await rig.run(scan_appointments, tick(T))
    starts = [T + 24 * HOUR + minutes * MINUTE for minutes in (0, 30, 60, 61, 90)]
    ids = [await insert_appointment(db, tenant.tenant_id, contact_id, at) for at in starts]
    rig.clock.move(hours=22)

    ended = (await rig.run(scan_appointments, tick(T + 22 * HOUR))).succeeded()

    assert await found(db) == [("24h", ids[3]), ("24h", ids[4]), ("3h", ids[0]), ("3h", ids[1])]
    assert ended == {
        "24h": {"appointments": 5, "reminders": 2, "superseded": 3},
        "3h": {"appointments": 2, "reminders": 2, "superseded": 0},
    }
    skip = {"channel": "sms", "template": "appointment-reminder", "reason": "superseded"}
    assert rig.counted.skips == [skip] * 3


async def test_after_an_outage_each_appointment_has_its_nearest_reminder_once(
    rig: Rig, db: "Db", tenant: Tenant, contact_id: UUID
) -> None:
    """The scans go on, and make up for nothing that the late one left out."""
    await rig.run(scan_appointments, tick(T))
    starts = [T + 24 * HOUR + minutes * MINUTE for minutes in (0, 59, 60, 61, 119, 120)]
    ids = [await insert_appointment(db, tenant.tenant_id, contact_id, at) for at in starts]

    for minutes in (0, 59, 60, 120):
        rig.clock.move_to(T + 22 * HOUR + minutes * MINUTE)  # one is late by 59 minutes
        due_at = rig.clock().replace(minute=0)
        await rig.run(scan_appointments, tick(due_at))

    assert sorted(await found(db)) == sorted(
        [("24h", one) for one in ids[3:]] + [("3h", one) for one in ids]
    )


@pytest.mark.parametrize(("minutes_before", "types"), [(181, ["3h"]), (150, ["3h"]), (119, [])])
async def test_what_is_booked_at_short_notice_has_the_reminder_that_is_still_to_come(
    rig: Rig, db: "Db", tenant: Tenant, contact_id: UUID, minutes_before: int, types: list[str]
) -> None:
    """Scans go on all day; a minute before one of them somebody books what begins on the hour."""
    start, is_booked = T + 30 * HOUR, False

    for hours in range(31):
        rig.clock.move_to(T + hours * HOUR)
        if not is_booked and start - rig.clock() < minutes_before * MINUTE:
            await insert_appointment(db, tenant.tenant_id, contact_id, start)
            is_booked = True
        await rig.run(scan_appointments, tick(rig.clock()))

    assert [kind for kind, _ in await found(db)] == types


async def test_a_scan_too_many_finds_nothing_and_an_older_one_moves_nothing(
    rig: Rig, db: "Db", tenant: Tenant, contact_id: UUID
) -> None:
    one = await insert_appointment(db, tenant.tenant_id, contact_id, T + 2 * HOUR)
    later = await insert_appointment(db, tenant.tenant_id, contact_id, T + 3 * HOUR)

    ended = [
        (await rig.run(scan_appointments, tick(at))).succeeded() for at in (T, T, T - 3 * HOUR)
    ]
    rig.clock.move(hours=1)
    await rig.run(scan_appointments, tick(T + HOUR))

    assert ended[1:] == [{"24h": NOBODY, "3h": NOBODY}] * 2
    assert await found(db) == [("3h", one), ("3h", later)]


async def test_a_scan_by_hand_between_two_ticks_leaves_their_rest_to_the_next(
    rig: Rig, db: "Db", tenant: Tenant, contact_id: UUID
) -> None:
    starts = [T + 2 * HOUR + minutes * MINUTE for minutes in (0, 59, 60, 89, 90, 119)]
    ids = [await insert_appointment(db, tenant.tenant_id, contact_id, at) for at in starts]
    counts = []

    for minutes in (0, 30, 60):
        rig.clock.move_to(T + minutes * MINUTE)
        ended = (await rig.run(scan_appointments, tick(rig.clock()))).succeeded()
        counts.append(ended["3h"]["appointments"])

    assert counts == [2, 2, 2]
    assert await found(db) == [("3h", one) for one in ids]


async def test_a_tick_of_the_future_takes_nothing_from_those_to_come(
    rig: Rig, db: "Db", tenant: Tenant, contact_id: UUID
) -> None:
    one = await insert_appointment(db, tenant.tenant_id, contact_id, T + 4 * HOUR)

    await rig.run(scan_appointments, tick(T + 1000 * HOUR))
    assert await found(db) == []
    rig.clock.move(hours=2)
    await rig.run(scan_appointments, tick(T + 2 * HOUR))

    assert await found(db) == [("3h", one)]


async def test_what_is_moved_into_an_hour_that_was_scanned_has_its_other_reminder(
    rig: Rig, db: "Db", tenant: Tenant, contact_id: UUID
) -> None:
    one = await insert_appointment(db, tenant.tenant_id, contact_id, T + 90 * HOUR)
    await rig.run(scan_appointments, tick(T))
    await db.execute(
        "update appointments set starts_at = $1, ends_at = $2", T + 20 * HOUR, T + 21 * HOUR
    )

    for hours in range(1, 20):
        rig.clock.move_to(T + hours * HOUR)
        await rig.run(scan_appointments, tick(rig.clock()))

    assert await found(db) == [("3h", one)]


@pytest.fixture
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE", 7)


async def insert_many(db: "Db", tenant: Tenant, contact_id: UUID, number: int) -> set[UUID]:
    """All to be reminded of in the first scan's 3 hours; many begin at the same instant."""
    return {
        await insert_appointment(
            db, tenant.tenant_id, contact_id, T + 2 * HOUR + (place // 20) * MINUTE
        )
        for place in range(number)
    }


@pytest.mark.usefixtures("_small_pages")
async def test_a_scan_that_is_cut_short_between_two_pages_is_taken_up_where_it_was(
    rig: Rig, db: "Db", tenant: Tenant, contact_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = await insert_many(db, tenant, contact_id, 40)
    pages = 0
    enqueue = JobContext.enqueue_many_in

    async def breaks(ctx: JobContext, *args: Any) -> list[str]:
        nonlocal pages
        pages += 1
        enqueued = await enqueue(ctx, *args)
        if pages == 4:  # the first is that of 24 hours
            raise ConnectionResetError("as if somebody pulled the plug")
        return enqueued

    monkeypatch.setattr(JobContext, "enqueue_many_in", breaks)
    await rig.run(scan_appointments, tick(T))
    assert len(await found(db)) == 14

    await rig.run(scan_appointments, tick(T), attempt=2)

    ids = [one for _, one in await found(db)]
    assert len(ids) == len(set(ids)) == 40
    assert set(ids) == expected


@pytest.mark.usefixtures("_small_pages")
async def test_scans_at_the_same_time_share_the_work(
    rig: Rig, db: "Db", tenant: Tenant, contact_id: UUID
) -> None:
    expected = await insert_many(db, tenant, contact_id, 60)

    ended = await asyncio.gather(*(rig.run(scan_appointments, tick(T)) for _ in range(4)))

    ids = [one for _, one in await found(db)]
    assert len(ids) == len(set(ids)) == 60
    assert set(ids) == expected
    assert sum(one.succeeded()["3h"]["appointments"] for one in ended) == 60


@pytest.fixture
async def statements(database_url: str) -> AsyncIterator[tuple["Db", list[str]]]:
    """A pool, and what it is asked."""
    asked: list[str] = []

    async def listen(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        connection.add_query_logger(lambda record: asked.append(record.query))

    async with asyncpg.create_pool(database_url, min_size=1, max_size=2, init=listen) as pool:
        yield pool, asked


async def test_the_number_of_statements_does_not_grow_with_the_appointments(
    statements: tuple["Db", list[str]], db: "Db", tenant: Tenant, clock: Clock
) -> None:
    pool, asked_for = statements
    counts = []
    with Rig(db=pool, clock=clock) as rig:
        for number in (1, 1, 300):  # the first time the driver asks for types
            for _ in range(number):
                contact_id = await insert_contact(db, tenant.tenant_id)
                await insert_appointment(db, tenant.tenant_id, contact_id, clock() + 2 * HOUR)
            asked_for.clear()
            ended = (await rig.run(scan_appointments, tick(clock()))).succeeded()
            assert ended["3h"]["reminders"] == 2 * number
            counts.append(len(asked_for))
            clock.move(hours=1)

    assert counts[1] == counts[2]
    assert counts[2] < 20


async def test_all_tenants_are_scanned_together(rig: Rig, db: "Db") -> None:
    for _ in range(3):
        tenant_id = uuid4()
        await db.execute("insert into tenants (tenant_id, name) values ($1, 'Acme')", tenant_id)
        contact_id = await insert_contact(db, tenant_id, preferred_channel="email")
        await insert_appointment(db, tenant_id, contact_id, T + 2 * HOUR)

    await rig.run(scan_appointments, tick(T))

    assert len({one["tenant_id"] for one in await asked(db)}) == 3
