from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import orjson
import pytest

from jobs.email.find_weekly_summaries import find_weekly_summaries
from tests.conftest import User
from worker.testing import Clock, Rig

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 11, 23, 8, tzinfo=UTC))


async def asked(db: "Db") -> list[dict[str, Any]]:
    rows = await db.fetch(
        "select message from outbox where job = 'email.send_weekly_summary' order by outbox_id"
    )
    return [orjson.loads(row["message"])["a"][0] for row in rows]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Istanbul", "Pacific/Kiritimati", "Etc/GMT+12"])
async def test_each_user_is_told_of_the_week_that_was_over_on_this_monday(
    rig: Rig, db: "Db", user: User, zone: str
) -> None:
    due_at = datetime(2026, 11, 23, 8, tzinfo=ZoneInfo(zone)).astimezone(UTC)

    ended = (await rig.run(find_weekly_summaries, {"due_at": due_at.isoformat()})).succeeded()

    assert ended == {"week": "2026-W47", "summaries": 1}
    assert await asked(db) == [
        {
            "tenant_id": str(user.tenant_id),
            "user_id": str(user.user_id),
            "email": None,
            "week": "2026-W47",
        }
    ]


async def test_all_users_of_all_tenants_are_gone_through_in_pages(rig: Rig, db: "Db") -> None:
    tenants = [uuid4(), uuid4()]
    await db.executemany(
        "insert into tenants (tenant_id, name) values ($1, 'Acme')", [(one,) for one in tenants]
    )
    users = [(uuid4(), tenants[number % 2]) for number in range(405)]
    await db.executemany(
        "insert into users (user_id, tenant_id, email, full_name)"
        " values ($1, $2, 'a@b.example', '')",
        users,
    )

    tick = {"due_at": "2026-11-23T08:00:00Z"}
    ended = (await rig.run(find_weekly_summaries, tick)).succeeded()

    assert ended["summaries"] == 405
    found = [(UUID(one["user_id"]), UUID(one["tenant_id"])) for one in await asked(db)]
    assert sorted(found) == sorted(users)
