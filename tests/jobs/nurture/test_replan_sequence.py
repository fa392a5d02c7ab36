from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from jobs.nurture import replan_sequence as module
from jobs.nurture.replan_sequence import replan_sequence
from tests.conftest import Tenant
from tests.jobs.nurture.running import enrolment, start
from tests.jobs.nurture.world import Stage, add_contact, add_sequence, put_steps, steps_after

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def replan(stage: Stage, tenant: Tenant, sequence: UUID) -> Any:
    payload = {"tenant_id": str(tenant.tenant_id), "sequence_id": str(sequence)}
    return (await stage.rig.run(replan_sequence, payload)).succeeded()


async def test_page_after_page_everybody_has_a_new_plan_and_once(
    db: "Db", stage: Stage, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE", 3)
    contacts = [
        await add_contact(db, tenant.tenant_id, email=f"{number}@example.org")
        for number in range(7)
    ]
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(9))
    await start(stage.rig, tenant, sequence, *contacts)
    await put_steps(db, tenant.tenant_id, sequence, steps_after(1))

    assert await replan(stage, tenant, sequence) == {"enrolments": 7, "planned": 7}
    assert await replan(stage, tenant, sequence) == {"enrolments": 7, "planned": 0}
    await stage.pass_time(days=2)

    assert len(stage.rig.mails) == 7


async def test_an_inactive_sequence_rests_and_goes_on(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(1))
    await start(stage.rig, tenant, sequence, contact)

    await db.execute("update sequences set is_active = false")
    await replan(stage, tenant, sequence)
    await stage.pass_time(days=5)
    assert (stage.rig.mails, (await enrolment(db))["state"]) == ([], "active")
    await db.execute("update sequences set is_active = true")
    await replan(stage, tenant, sequence)
    await stage.run_due()

    assert len(stage.rig.mails) == 1


async def test_who_has_had_all_that_is_left_is_done(db: "Db", stage: Stage, tenant: Tenant) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    steps = steps_after(0, 5)
    sequence = await add_sequence(db, tenant.tenant_id, steps)
    await start(stage.rig, tenant, sequence, contact)
    await stage.run_due()

    await put_steps(db, tenant.tenant_id, sequence, steps[:1])
    await replan(stage, tenant, sequence)

    assert (await enrolment(db))["state"] == "completed"


async def test_a_step_whose_run_was_given_up_on_is_planned_again(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    steps = steps_after(0)
    sequence = await add_sequence(db, tenant.tenant_id, steps, values={})
    await start(stage.rig, tenant, sequence, contact)
    (died,) = await stage.run_due()
    died.dead()

    await db.execute(
        'update sequences set template_values = \'{"booking_url": "https://b.example"}\''
    )
    stage.rig.clock.move(timedelta(hours=1))
    await replan(stage, tenant, sequence)
    await stage.run_due()

    assert len(stage.rig.mails) == 1


async def test_a_sequence_that_is_gone_is_no_error(stage: Stage, tenant: Tenant) -> None:
    payload = {"tenant_id": str(tenant.tenant_id), "sequence_id": str(uuid4())}

    assert "no such sequence" in (await stage.rig.run(replan_sequence, payload)).cancelled()
