from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
import pytest

from jobs.email.find_due_reminders import find_due_reminders
from jobs.kit import Cron
from tests.conftest import Tenant, User
from tests.jobs.email.notices import insert_notice
from worker.testing import Clock, Rig

if TYPE_CHECKING:
    import asyncpg

NOW = datetime(2026, 12, 3, 14, 0, tzinfo=UTC)
TICK = {"due_at": NOW.isoformat()}
DAY = timedelta(days=1)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


async def asked(db: "asyncpg.Pool[asyncpg.Record]") -> list[dict[str, Any]]:
    """The payloads of the reminders that are to be sent."""
    rows = await db.fetch(
        "select message from outbox where job = 'email.send_opportunity_reminder'"
        " order by outbox_id"
    )
    return [orjson.loads(row["message"])["a"][0] for row in rows]


async def add_user(db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID) -> None:
    await db.execute(
        "insert into users (user_id, tenant_id, email, full_name) values ($1, $2, $3, 'Ada')",
        uuid4(),
        tenant_id,
        f"{uuid4().hex}@anadolu.example",
    )


def test_it_is_done_every_day_at_nine() -> None:
    assert find_due_reminders.schedule == Cron("0 9 * * *")


async def test_each_user_is_reminded_of_what_closes_within_a_week(
    rig: Rig, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant, user: User
) -> None:
    for name, due_at in (("week", NOW + 7 * DAY), ("soon", NOW + DAY), ("later", NOW + 8 * DAY)):
        await insert_notice(db, tenant.tenant_id, name, response_due_at=due_at)
    await insert_notice(db, tenant.tenant_id, "past", response_due_at=NOW - DAY)
    await insert_notice(db, tenant.tenant_id, "off", response_due_at=NOW + DAY, is_active=False)
    await insert_notice(db, tenant.tenant_id, "none")
    await insert_notice(db, tenant.tenant_id, "day", response_due_on=date(2026, 12, 5))

    ended = (await rig.run(find_due_reminders, TICK)).succeeded()

    assert ended == {"tenants": 1, "reminders": 1}
    assert await asked(db) == [
        {
            "tenant_id": str(tenant.tenant_id),
            "user_id": str(user.user_id),
            "notice_ids": ["soon", "day", "week"],
            "email": None,
            "opportunities": [],
            "report_key": None,
            "asked_at": "2026-12-03T14:00:00Z",
        }
    ]


async def test_a_day_counts_until_it_is_over_everywhere(
    rig: Rig, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant, user: User
) -> None:
    await insert_notice(db, tenant.tenant_id, "today", response_due_on=date(2026, 12, 3))
    await insert_notice(db, tenant.tenant_id, "yesterday", response_due_on=date(2026, 12, 2))

    await rig.run(find_due_reminders, TICK)

    assert [payload["notice_ids"] for payload in await asked(db)] == [["today"]]


async def test_nobody_hears_of_nothing(
    rig: Rig, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant, user: User
) -> None:
    assert (await rig.run(find_due_reminders, TICK)).succeeded() == {"tenants": 0, "reminders": 0}
    assert await asked(db) == []


async def test_tenants_and_users_are_gone_through_in_pages(
    rig: Rig, db: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    tenant_ids = [uuid4() for _ in range(203)]
    await db.executemany(
        "insert into tenants (tenant_id, name) values ($1, 'Acme')", [(one,) for one in tenant_ids]
    )
    for tenant_id in (min(tenant_ids), max(tenant_ids)):
        await insert_notice(db, tenant_id, "soon", response_due_at=NOW + DAY)
        for _ in range(205):
            await add_user(db, tenant_id)

    ended = (await rig.run(find_due_reminders, TICK)).succeeded()

    assert ended == {"tenants": 2, "reminders": 410}
    users = [(payload["tenant_id"], payload["user_id"]) for payload in await asked(db)]
    assert len(users) == len(set(users)) == 410
