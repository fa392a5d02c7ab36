from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from jobs.dunning.pause_dunning import pause_dunning
from jobs.kit import PayloadError, discover
from tests.conftest import Tenant
from tests.jobs.dunning.rows import NOW, TODAY
from worker.testing import Rig

if TYPE_CHECKING:
    import asyncpg


async def test_a_pause_is_remembered_with_its_reason_and_end(
    rig: Rig, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant, contact_id: UUID
) -> None:
    until = TODAY + timedelta(days=7)
    payload = {
        "tenant_id": str(tenant.tenant_id),
        "contact_ids": [str(contact_id), str(uuid4())],
        "reason": "promised to pay",
        "until": until.isoformat(),
    }

    for _ in range(2):
        assert (await rig.run("dunning-pause", payload)).succeeded() == {"paused": 1}

    (row,) = await db.fetch("select * from dunning_holds")
    assert (row["state"], row["reason"]) == ("paused", "promised to pay")
    assert (row["since"], row["until"]) == (NOW, until)
    assert "promised" not in str(rig.logs)


def test_the_end_is_a_day() -> None:
    assert discover()["dunning-pause"] is pause_dunning
    payload = {"tenant_id": str(uuid4()), "contact_ids": [str(uuid4())]}

    with pytest.raises(PayloadError, match="until"):
        pause_dunning.validate({**payload, "until": "soon"})
