from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from jobs.documents.run_report_schedule import run_report_schedule
from tests.conftest import Tenant
from worker.testing import Rig, assert_enqueued

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

DUE_AT = datetime(2026, 11, 23, 6, tzinfo=UTC).isoformat()


@pytest.fixture
async def report_schedule_id(db: "Db", tenant: Tenant) -> UUID:
    """A weekly one, at 09:00 in Istanbul."""
    schedule_id = uuid4()
    await db.execute(
        """
        insert into report_schedules (report_schedule_id, tenant_id, name, report_type, format,
                                      language, period, recipients)
        values ($1, $2, 'Weekly', 'analytics', 'xlsx', 'tr', 'week', '{}')
        """,
        schedule_id,
        tenant.tenant_id,
    )
    await db.execute(
        """
        insert into schedules (name, job, kind, line, tz, catch_up, catch_up_window, may_overlap,
                               anchor_at)
        values ('report:' || $1::text, 'documents.run_report_schedule', 'report', '0 9 * * 1',
                'Europe/Istanbul', 'latest', '1 day', false, now())
        """,
        str(schedule_id),
    )
    return schedule_id


async def test_the_report_is_about_the_week_that_was_over_when_it_was_due(
    rig: Rig, tenant: Tenant, report_schedule_id: UUID
) -> None:
    payload = {
        "tenant_id": str(tenant.tenant_id),
        "report_schedule_id": str(report_schedule_id),
        "due_at": DUE_AT,
    }

    ended = (await rig.run(run_report_schedule, payload)).succeeded()

    assert ended["period"] == "2026-11-16 to 2026-11-22"
    await assert_enqueued(
        rig,
        "documents.generate_report",
        {
            "tenant_id": str(tenant.tenant_id),
            "report_type": "analytics",
            "format": "xlsx",
            "language": "tr",
            "period_from": "2026-11-16",
            "period_to": "2026-11-22",
        },
        count=1,
    )


@pytest.mark.parametrize("whose", ["nobody's", "another tenant's"])
async def test_one_that_nobody_wants_any_more_is_not_made(
    rig: Rig, tenant: Tenant, report_schedule_id: UUID, whose: str
) -> None:
    others = whose == "another tenant's"
    payload = {
        "tenant_id": str(uuid4() if others else tenant.tenant_id),
        "report_schedule_id": str(report_schedule_id if others else uuid4()),
        "due_at": DUE_AT,
    }

    ended = await rig.run(run_report_schedule, payload)

    assert ended.cancelled() == "nobody wants this report any more"
