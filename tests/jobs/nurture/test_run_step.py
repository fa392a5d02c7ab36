from typing import TYPE_CHECKING

from jobs.nurture.run_step import run_step
from tests.conftest import Tenant
from tests.jobs.nurture.running import start
from tests.jobs.nurture.world import Stage, add_contact, add_sequence, steps_after

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def test_a_step_by_mail_is_a_run_of_its_own_and_says_what_it_was(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    (step,) = steps = steps_after(0)
    await start(stage.rig, tenant, await add_sequence(db, tenant.tenant_id, steps), contact)

    (waiting,) = await stage.collect()
    (ended,) = await stage.run_due()

    assert waiting.job == run_step.name
    assert waiting.payload["contact_id"] == str(contact)  # by which people look for it
    assert ended.succeeded() == {"step_id": str(step.step_id), "state": "sent", "reason": None}
    # The next one waits until this is written down.
    words = run_step.words_of(run_step.validate(waiting.payload))
    assert any(waiting.payload["enrolment_id"] in word for word in words)
