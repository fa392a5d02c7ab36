from typing import TYPE_CHECKING

from jobs.nurture.pause_sequence import pause_sequence
from tests.conftest import Tenant
from tests.jobs.nurture.running import enrolment, start, tell
from tests.jobs.nurture.world import Stage, add_contact, add_sequence, steps_after

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def test_who_pauses_gets_nothing_however_long(db: "Db", stage: Stage, tenant: Tenant) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    await start(
        stage.rig, tenant, await add_sequence(db, tenant.tenant_id, steps_after(1)), contact
    )

    assert await tell(stage.rig, pause_sequence, tenant, contact) == {"paused": 1}
    assert await tell(stage.rig, pause_sequence, tenant, contact) == {"paused": 0}
    await stage.pass_time(days=30)

    assert stage.rig.mails == []
    assert (await enrolment(db))["state"] == "paused"


async def test_one_sequence_pauses_and_the_others_go_on(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    for name in ("one", "two"):
        sequence = await add_sequence(db, tenant.tenant_id, steps_after(1), name=name)
        await start(stage.rig, tenant, sequence, contact)

    told = await tell(stage.rig, pause_sequence, tenant, contact, sequence="one")
    await stage.pass_time(days=2)

    assert told == {"paused": 1}
    assert len(stage.rig.mails) == 1
