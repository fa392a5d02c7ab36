from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson

from jobs.documents.find_due_reports import find_due_reports
from jobs.kit import Cron
from tests.conftest import Tenant
from worker.testing import Rig

if TYPE_CHECKING:
    import asyncpg

# Monday, 08:00 in New York.
TICK = {"due_at": datetime(2026, 11, 23, 13, tzinfo=UTC).isoformat()}


async def asked(db: "asyncpg.Pool[asyncpg.Record]") -> list[dict[str, Any]]:
    rows = await db.fetch("select message from outbox where job = 'documents.generate_report'")
    return [orjson.loads(row["message"])["a"][0] for row in rows]


def test_it_is_done_on_mondays_at_eight() -> None:
    assert find_due_reports.schedule == Cron("0 8 * * 1")


async def test_each_tenant_gets_the_report_of_its_last_week(
    rig: Rig, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    ended = (await rig.run(find_due_reports, TICK)).succeeded()

    (request,) = await asked(db)
    assert ended == {"reports": 1}
    assert request["tenant_id"] == str(tenant.tenant_id)
    assert (request["period_from"], request["period_to"]) == ("2026-11-16", "2026-11-22")
    assert (request["format"], request["language"]) == ("pdf", "tr")


async def test_where_it_is_sunday_still_the_week_before_is_the_last(
    rig: Rig, db: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    early = {"due_at": datetime(2026, 11, 23, 3, tzinfo=UTC).isoformat()}
    await db.execute(
        "insert into tenants (tenant_id, name, timezone) values ($1, 'Acme', 'America/New_York')",
        uuid4(),
    )

    await rig.run(find_due_reports, early)

    assert [request["period_from"] for request in await asked(db)] == ["2026-11-09"]


async def test_all_tenants_are_gone_through(rig: Rig, db: "asyncpg.Pool[asyncpg.Record]") -> None:
    rows = [(uuid4(), "Mars/Olympus") for _ in range(503)]
    await db.executemany(
        "insert into tenants (tenant_id, name, timezone) values ($1, 'Acme', $2)", rows
    )

    ended = (await rig.run(find_due_reports, TICK)).succeeded()

    assert ended == {"reports": 503}
    assert {request["tenant_id"] for request in await asked(db)} == {str(row[0]) for row in rows}
