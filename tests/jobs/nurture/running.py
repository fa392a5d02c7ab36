"""Asking jobs to do something with contacts."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from jobs.nurture.start_sequence import start_sequence
from tests.conftest import Tenant
from worker.testing import Rig

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def tell(rig: Rig, job: Any, tenant: Tenant, *contacts: UUID, **fields: Any) -> Any:
    """Run it for these contacts; what it returned."""
    payload = {
        "tenant_id": str(tenant.tenant_id),
        "contact_ids": [str(contact) for contact in contacts],
        **fields,
    }
    return (await rig.run(job, payload)).succeeded()


async def start(rig: Rig, tenant: Tenant, sequence: UUID | str, *contacts: UUID) -> dict[str, int]:
    counts: dict[str, int] = await tell(
        rig, start_sequence, tenant, *contacts, sequence=str(sequence)
    )
    return counts


async def enrolment(db: "Db") -> "asyncpg.Record":
    """The one that there is."""
    (row,) = await db.fetch("select * from enrolments")
    return row
