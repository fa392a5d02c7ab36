from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from jobs.dunning.resume_dunning import resume_dunning
from jobs.kit import discover
from tests.conftest import Tenant
from tests.jobs.dunning.rows import NOW, insert
from worker.testing import Rig

if TYPE_CHECKING:
    import asyncpg


@pytest.mark.parametrize(("state", "resumed"), [("paused", 1), ("stopped", 0)])
async def test_it_ends_a_pause_but_no_stop(
    rig: Rig,
    db: "asyncpg.Pool[asyncpg.Record]",
    tenant: Tenant,
    contact_id: UUID,
    state: str,
    resumed: int,
) -> None:
    ids = {"tenant_id": tenant.tenant_id, "contact_id": contact_id}
    await insert(db, "dunning_holds", **ids, state=state, since=NOW)
    payload = {"tenant_id": str(tenant.tenant_id), "contact_ids": [str(contact_id)]}

    assert (await rig.run("dunning-resume", payload)).succeeded() == {"resumed": resumed}
    assert await db.fetchval("select count(*) from dunning_holds") == 1 - resumed
    assert discover()["dunning-resume"] is resume_dunning
