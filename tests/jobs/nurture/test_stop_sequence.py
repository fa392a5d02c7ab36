from typing import TYPE_CHECKING

from jobs.nurture.pause_sequence import pause_sequence
from jobs.nurture.resume_sequence import resume_sequence
from jobs.nurture.stop_sequence import stop_sequence
from tests.conftest import Tenant
from tests.jobs.nurture.running import enrolment, start, tell
from tests.jobs.nurture.world import Stage, add_contact, add_sequence, steps_after

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def test_who_is_taken_out_is_out_for_good(db: "Db", stage: Stage, tenant: Tenant) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    await start(
        stage.rig, tenant, await add_sequence(db, tenant.tenant_id, steps_after(1)), contact
    )
    await tell(stage.rig, pause_sequence, tenant, contact)

    assert await tell(stage.rig, stop_sequence, tenant, contact, reason="asked by phone") == {
        "stopped": 1
    }
    assert await tell(stage.rig, resume_sequence, tenant, contact) == {"resumed": 0}
    await stage.pass_time(days=9)

    assert stage.rig.mails == []
    row = await enrolment(db)
    assert (row["state"], row["end_reason"], row["next_due_at"]) == ("ended", "stopped", None)


async def test_whoever_was_stopped_may_begin_again(db: "Db", stage: Stage, tenant: Tenant) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(0, 1))
    await start(stage.rig, tenant, sequence, contact)
    await stage.run_due()
    await tell(stage.rig, stop_sequence, tenant, contact)

    assert (await start(stage.rig, tenant, sequence, contact))["started"] == 1
    await stage.pass_time(days=2)

    assert len(stage.rig.mails) == 3
