from typing import TYPE_CHECKING
from uuid import UUID

from jobs.dunning.find_overdue import find_overdue
from jobs.dunning.send_payment_reminder import send_payment_reminder
from jobs.dunning.start_dunning import start_dunning
from jobs.dunning.stop_dunning import stop_dunning
from jobs.kit import discover
from tests.conftest import Tenant
from tests.jobs.dunning.rows import NOW, insert_invoice
from tests.jobs.dunning.test_finding import asked
from worker.testing import Rig

if TYPE_CHECKING:
    import asyncpg


async def test_nothing_is_found_or_sent_until_it_is_started_anew(
    rig: Rig, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant, contact_id: UUID
) -> None:
    await insert_invoice(db, tenant.tenant_id, contact_id)
    contacts = {"tenant_id": str(tenant.tenant_id), "contact_ids": [str(contact_id)]}
    tick = {"due_at": NOW.isoformat()}
    await rig.run(find_overdue, tick)  # one waits already

    stopped = (await rig.run("dunning-stop", {**contacts, "reason": "court"})).succeeded()
    (waiting,) = await asked(db)
    assert "dunning is stopped" in (await rig.run(send_payment_reminder, waiting)).cancelled()
    found = (await rig.run(find_overdue, tick)).succeeded()
    (await rig.run(start_dunning, contacts)).succeeded()
    (await rig.run(send_payment_reminder, waiting)).succeeded()

    assert (stopped, found["reminders"]) == ({"stopped": 1}, 0)
    assert len(rig.mails) == 1
    assert discover()["dunning-stop"] is stop_dunning
