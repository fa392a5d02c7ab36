from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from jobs.dunning.start_dunning import start_dunning
from jobs.kit import discover
from tests.conftest import Tenant
from tests.jobs.dunning.rows import NOW, insert, insert_contact, insert_invoice
from tests.jobs.dunning.test_finding import asked
from worker.testing import Rig

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]


@pytest.fixture
async def payload(db: "Pool", tenant: Tenant, contact_id: UUID) -> dict[str, Any]:
    """For a contact with an overdue invoice, and a stranger."""
    await insert_invoice(db, tenant.tenant_id, contact_id)
    ids = [str(contact_id), str(uuid4())]
    return {"tenant_id": str(tenant.tenant_id), "contact_ids": ids}


async def test_what_is_due_is_enqueued_at_once(
    rig: Rig, db: "Pool", tenant: Tenant, contact_id: UUID, payload: dict[str, Any]
) -> None:
    other = await insert_contact(db, tenant.tenant_id)
    await insert_invoice(db, tenant.tenant_id, other)

    counted = (await rig.run("dunning-start", payload)).succeeded()

    assert counted == {"started": 0, "reminders": 1}
    assert [one["contact_id"] for one in await asked(db)] == [str(contact_id)]
    assert discover()["dunning-start"] is start_dunning


@pytest.mark.parametrize(
    ("state", "counted"),
    [("stopped", {"started": 1, "reminders": 1}), ("paused", {"started": 0, "reminders": 0})],
)
async def test_it_ends_a_stop_but_no_pause(
    rig: Rig,
    db: "Pool",
    tenant: Tenant,
    contact_id: UUID,
    payload: dict[str, Any],
    state: str,
    counted: dict[str, int],
) -> None:
    ids = {"tenant_id": tenant.tenant_id, "contact_id": contact_id}
    await insert(db, "dunning_holds", **ids, state=state, since=NOW)

    assert (await rig.run(start_dunning, payload)).succeeded() == counted
