from datetime import timedelta
from typing import TYPE_CHECKING

from jobs.nurture.pause_sequence import pause_sequence
from jobs.nurture.resume_sequence import resume_sequence
from tests.conftest import Tenant
from tests.jobs.nurture.running import start, tell
from tests.jobs.nurture.world import Stage, add_contact, add_sequence, steps_after

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def test_what_was_left_of_the_delay_is_what_they_wait(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    begun = stage.rig.clock()
    await start(
        stage.rig, tenant, await add_sequence(db, tenant.tenant_id, steps_after(3)), contact
    )
    await stage.pass_time(days=1)
    await tell(stage.rig, pause_sequence, tenant, contact)
    await stage.pass_time(days=10)

    assert await tell(stage.rig, resume_sequence, tenant, contact) == {"resumed": 1}
    assert await tell(stage.rig, resume_sequence, tenant, contact) == {"resumed": 0}
    await stage.pass_time(days=5)

    assert [sent.sent_at - begun for sent in stage.rig.mails] == [timedelta(days=13)]
