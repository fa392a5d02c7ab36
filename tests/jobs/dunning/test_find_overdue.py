import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from jobs.dunning.find_overdue import find_overdue
from jobs.dunning.send_payment_reminder import send_payment_reminder
from jobs.kit import Cron
from tests.conftest import Tenant
from tests.jobs.dunning.rows import NOW, TODAY, insert, insert_contact, insert_invoice
from tests.jobs.dunning.test_finding import asked
from worker.testing import Rig

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]

DAY = timedelta(days=1)
TICK = {"due_at": NOW.isoformat()}


def test_it_is_done_every_morning() -> None:
    assert find_overdue.schedule == Cron("0 10 * * *")


async def test_every_tenants_overdue_invoices_are_found(
    rig: Rig, db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    await insert_invoice(db, tenant.tenant_id, contact_id)
    await insert(db, "tenants", tenant_id=(other := uuid4()), name="Acme")
    await insert_invoice(db, other, await insert_contact(db, other))

    counted = (await rig.run(find_overdue, TICK)).succeeded()

    assert counted == {"tenants": 2, "reminders": 2, "failed": 0}
    assert {payload["tenant_id"] for payload in await asked(db)} == {
        str(tenant.tenant_id),
        str(other),
    }


async def test_a_tenant_that_is_set_up_wrongly_keeps_no_other_from_its_own(
    rig: Rig, db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    await insert_invoice(db, tenant.tenant_id, contact_id)
    for tenant_id in (UUID(int=1), UUID(int=2**128 - 1)):  # before and after it
        await insert(db, "tenants", tenant_id=tenant_id, name="Acme", timezone="Mars/Olympus")
        await insert_invoice(db, tenant_id, await insert_contact(db, tenant_id))

    counted = (await rig.run(find_overdue, TICK)).succeeded()

    assert counted == {"tenants": 3, "reminders": 1, "failed": 2}
    assert any("tenants.timezone" in str(line) for line in rig.logs)


async def test_days_that_were_missed_make_one_reminder_and_the_next_day_none(
    rig: Rig, db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    """Thirty days overdue, and nobody has ever looked."""
    await insert_invoice(db, tenant.tenant_id, contact_id, due_on=TODAY - 30 * DAY)

    found = []
    for _ in range(3):
        await db.execute("delete from outbox")
        found.append((await rig.run(find_overdue, TICK)).succeeded()["reminders"])
        for payload in await asked(db):
            (await rig.run(send_payment_reminder, payload)).succeeded()
        rig.clock.move(days=1)

    assert found == [1, 0, 0]
    assert (len(rig.mails), len(rig.texts)) == (1, 1)  # of the last stage
    assert "son hatırlatma" in rig.mails[0].mail.subject


async def test_searching_twice_a_day_reminds_once(
    rig: Rig, db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    for days in (12, 11):
        await insert_invoice(db, tenant.tenant_id, contact_id, due_on=TODAY - days * DAY)

    for _ in range(3):
        await rig.run(find_overdue, TICK)
        for payload in await asked(db):
            await rig.run(send_payment_reminder, payload)

    assert len(rig.mails) == 1


async def test_what_is_paid_between_search_and_sending_is_not_asked_for(
    rig: Rig, db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    invoice_id = await insert_invoice(db, tenant.tenant_id, contact_id)
    await rig.run(find_overdue, TICK)
    await db.execute("update invoices set state = 'paid' where invoice_id = $1", invoice_id)

    (payload,) = await asked(db)
    ended = await rig.run(send_payment_reminder, payload)

    assert "is paid" in ended.cancelled()
    assert rig.mails == []


async def add_invoices(db: "Pool", tenant_id: UUID, count: int, *, contacts: int) -> None:
    """Spread over so many contacts, 0 to 39 days overdue."""
    ids = [uuid4() for _ in range(contacts)]
    await db.executemany(
        "insert into contacts (tenant_id, contact_id, full_name, email) values ($1, $2, 'A', $3)",
        [(tenant_id, one, f"{one.hex}@musteri.example") for one in ids],
    )
    rows: list[tuple[Any, ...]] = [
        (tenant_id, uuid4(), ids[number % contacts], str(number), TODAY - (number % 40) * DAY)
        for number in range(count)
    ]
    await db.executemany(
        "insert into invoices (tenant_id, invoice_id, contact_id, number, amount, currency,"
        " issued_on, due_on) values ($1, $2, $3, $4, 10, 'TRY', '2026-01-01', $5)",
        rows,
    )


@pytest.mark.timeout(120)
async def test_five_thousand_invoices_are_gone_through_in_pages(
    rig: Rig, db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    await add_invoices(db, tenant.tenant_id, 5000, contacts=1700)
    expected = await db.fetchval(
        "select count(distinct contact_id) from invoices where due_on <= $1", TODAY - 3 * DAY
    )

    started = time.perf_counter()
    counted = (await rig.run(find_overdue, TICK)).succeeded()

    assert time.perf_counter() - started < 60
    payloads = await asked(db)
    assert counted["reminders"] == len(payloads) == expected > 1600
    assert len({payload["contact_id"] for payload in payloads}) == len(payloads)
