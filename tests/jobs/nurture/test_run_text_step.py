from typing import TYPE_CHECKING

from jobs.nurture.run_step import run_step
from jobs.nurture.run_text_step import run_text_step
from tests.conftest import Tenant
from tests.jobs.nurture.running import start
from tests.jobs.nurture.world import Stage, add_contact, add_sequence, steps_after

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def test_a_step_by_sms_has_the_limits_of_sms_and_one_by_mail_does_not(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(
        db, tenant.tenant_id, phone="+905321234567", by_sms=True, by_email=False
    )
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(0, channel="sms"))
    await start(stage.rig, tenant, sequence, contact)

    (waiting,) = await stage.collect()
    await stage.run_due()

    assert waiting.job == run_text_step.name
    (sms,) = stage.rig.texts
    assert "https://book.example/visit" in sms.body
    keys = {limit.key_of(waiting.payload) for limit in run_text_step.controls.rate_limits}
    assert f"sms:{tenant.tenant_id}" in keys
    mail_keys = {limit.key_of(waiting.payload) for limit in run_step.controls.rate_limits}
    assert f"sms:{tenant.tenant_id}" not in mail_keys
