from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
import pytest

from jobs.dunning.finding import enqueue_due
from jobs.kit import JobContext
from tests.conftest import MakeContext, Tenant
from tests.jobs.dunning.rows import NOW, TODAY, insert, insert_contact, insert_invoice

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]

DAY = timedelta(days=1)


@pytest.fixture
def ctx(make_ctx: MakeContext, contact_id: UUID) -> JobContext:
    return make_ctx("dunning.find_overdue", now=NOW)


async def asked(db: "Pool") -> list[dict[str, Any]]:
    """The payloads of the reminders that are to be sent."""
    rows = await db.fetch(
        "select message from outbox where job = 'dunning.send_payment_reminder' order by outbox_id"
    )
    messages = [orjson.loads(row["message"]) for row in rows]
    return [message["a"][0] for message in messages]


async def test_a_run_is_enqueued_for_the_stage_that_is_due(
    db: "Pool", tenant: Tenant, contact_id: UUID, ctx: JobContext
) -> None:
    invoice_id = await insert_invoice(db, tenant.tenant_id, contact_id)

    assert await enqueue_due(ctx, tenant.tenant_id) == 1
    assert await asked(db) == [
        {
            "tenant_id": str(tenant.tenant_id),
            "contact_id": str(contact_id),
            "invoice_id": str(invoice_id),
            "step": 2,
        }
    ]


async def test_of_a_contacts_invoices_one_is_asked_for(
    db: "Pool", tenant: Tenant, contact_id: UUID, ctx: JobContext
) -> None:
    for days in (4, 31, 12):
        await insert_invoice(db, tenant.tenant_id, contact_id, due_on=TODAY - days * DAY)

    assert await enqueue_due(ctx, tenant.tenant_id) == 1
    assert [payload["step"] for payload in await asked(db)] == [4]


async def test_stages_are_the_tenants_own(
    db: "Pool", tenant: Tenant, contact_id: UUID, ctx: JobContext
) -> None:
    await insert_invoice(db, tenant.tenant_id, contact_id, due_on=TODAY - DAY)
    assert await enqueue_due(ctx, tenant.tenant_id) == 0
    row = {"position": 7, "days_overdue": 1, "tone": "firm", "channels": ["email"]}
    await insert(db, "dunning_stages", tenant_id=tenant.tenant_id, **row)

    assert await enqueue_due(ctx, tenant.tenant_id) == 1
    assert [payload["step"] for payload in await asked(db)] == [7]


async def test_some_contacts_are_looked_at_alone(
    db: "Pool", tenant: Tenant, contact_id: UUID, ctx: JobContext
) -> None:
    other = await insert_contact(db, tenant.tenant_id)
    for one in (contact_id, other):
        await insert_invoice(db, tenant.tenant_id, one)

    assert await enqueue_due(ctx, tenant.tenant_id, [other, uuid4()]) == 1
    assert [payload["contact_id"] for payload in await asked(db)] == [str(other)]


async def test_daily_reminders_wait_for_the_tenants_morning_and_asked_ones_do_not(
    db: "Pool", tenant: Tenant, contact_id: UUID, make_ctx: MakeContext
) -> None:
    await insert_invoice(db, tenant.tenant_id, contact_id)
    night = make_ctx("dunning.find_overdue", now=datetime(2026, 12, 3, 3, 0, tzinfo=UTC))

    async def waits() -> timedelta:
        wait: timedelta = await db.fetchval(
            "select coalesce(max(due_at) - now(), interval '0') from outbox"
        )
        await db.execute("delete from outbox")
        return wait

    assert await enqueue_due(night, tenant.tenant_id) == 1
    assert timedelta(hours=3.9) < await waits() <= timedelta(hours=4)
    assert await enqueue_due(night, tenant.tenant_id, [contact_id]) == 1
    assert await waits() <= timedelta(0)


async def test_nothing_due_is_nothing_enqueued(
    db: "Pool", tenant: Tenant, contact_id: UUID, ctx: JobContext
) -> None:
    await insert_invoice(db, tenant.tenant_id, contact_id, state="paid")

    assert await enqueue_due(ctx, tenant.tenant_id) == 0
    assert await asked(db) == []
