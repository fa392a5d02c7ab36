"""Dunning as it is in production: a real worker, outbox, Redis, PostgreSQL and an SMTP server."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import trustme

from tests.clients.stand_ins.smtp_relay import SmtpRelay, smtp_relay
from tests.conftest import Tenant
from tests.jobs.dunning.rows import insert_contact, insert_invoice, insert_profile
from tests.worker.conftest import StartWorker, until
from worker.enqueuer import Pool

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

REMINDER = "dunning.send_payment_reminder"


@pytest.fixture
async def contact_id(db: "Db", tenant: Tenant) -> UUID:
    """Somebody with a single way, and three invoices that are ten days overdue."""
    await insert_profile(db, tenant.tenant_id)
    fields = {"email": "zeynep@musteri.example", "phone": None}
    contact_id = await insert_contact(db, tenant.tenant_id, **fields)
    today = datetime.now(UTC).astimezone(ZoneInfo(tenant.timezone)).date()
    for _ in range(3):
        due_on = today - timedelta(days=10)
        await insert_invoice(db, tenant.tenant_id, contact_id, due_on=due_on)
    return contact_id


async def started(start_worker: StartWorker, relay: SmtpRelay) -> None:
    await start_worker(
        email_provider="smtp", smtp_host="127.0.0.1", smtp_port=relay.port, smtp_security="none"
    )


async def ended(db: "Db", jobs: dict[str, int]) -> bool:
    """So many runs of these jobs."""
    rows = await db.fetch(
        "select job, count(*) from job_runs where finished_at is not null group by job"
    )
    return jobs.items() <= {row["job"]: row["count"] for row in rows}.items()


async def test_whoever_asks_and_however_often_it_is_one_mail_a_day(
    db: "Db",
    pool: Pool,
    tenant: Tenant,
    contact_id: UUID,
    start_worker: StartWorker,
) -> None:
    tenant_id, contact = str(tenant.tenant_id), str(contact_id)
    contacts = {"tenant_id": tenant_id, "contact_ids": [contact]}
    legacy = {
        "orgId": tenant_id,
        "contactId": contact,
        "amount": 12.5,
        "paymentLink": "https://pay.example/",
    }

    async def ask(job: str, payload: dict[str, Any]) -> str:
        handle = await pool.enqueue_job(job, payload)
        assert handle is not None
        return handle.job_id

    async with smtp_relay(trustme.CA(), security="none", has_auth=False) as relay:
        await started(start_worker, relay)
        for _ in range(3):
            await ask("dunning-start", contacts)
        await until(lambda: ended(db, {"dunning.start_dunning": 3, REMINDER: 1}))
        late = await ask("process-dunning", {**legacy, "daysOverdue": 10})
        await until(lambda: ended(db, {"dunning.send_payment_request": 1}))

    assert relay.recipients == ["zeynep@musteri.example"]
    (message,) = relay.messages
    assert "10 gündür gecikmede" in str(message["Subject"])
    html = message.get_body(("html",))
    assert html is not None
    assert 'href="https://pay.example/i/42"' in html.get_content()
    delivery, notice = [
        await db.fetchrow(f"select * from {table}")  # noqa: S608 - two tables of ours
        for table in ("deliveries", "dunning_notices")
    ]
    assert delivery is not None
    assert notice is not None
    assert delivery["status"] == "sent"
    assert delivery["key"] == f"dunning:{notice['invoice_id']}:2"
    state = await db.fetchval("select state from job_runs where run_id = $1", late)
    assert state == "cancelled"
    assert await db.fetchval("select count(*) from dead_letters") == 0
