from datetime import timedelta
from typing import TYPE_CHECKING

from jobs.kit import JobContext
from jobs.nurture import queries
from jobs.nurture.planning import finish_step, is_planned
from jobs.nurture.sequences.line import get_line
from tests.conftest import MakeContext, Tenant
from tests.jobs.nurture.running import enrolment, start
from tests.jobs.nurture.world import Stage, add_contact, add_sequence, put_steps, steps_after

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def test_a_step_that_is_finished_twice_is_planned_after_once(
    db: "Db", stage: Stage, tenant: Tenant, make_ctx: MakeContext
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    (first, _) = steps = steps_after(0, 1)
    await start(stage.rig, tenant, await add_sequence(db, tenant.tenant_id, steps), contact)
    row = await enrolment(db)

    async def finish(ctx: JobContext) -> None:
        async with ctx.transaction() as connection:
            await finish_step(ctx, connection, row["enrolment_id"], first.step_id, "sent")

    now = stage.rig.clock()
    await finish(make_ctx("nurture.run_step", tenant_id=tenant.tenant_id, now=now))
    once = await enrolment(db)
    later = now + timedelta(hours=5)
    await finish(make_ctx("nurture.run_step", tenant_id=tenant.tenant_id, now=later))

    assert await enrolment(db) == once
    assert (once["last_step_at"], once["next_due_at"]) == (now, now + timedelta(days=1))
    assert await db.fetchval("select count(*) from outbox") == 2


async def test_a_plan_holds_while_the_sequence_says_the_same(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    steps = steps_after(2, 1)
    sequence = await add_sequence(db, tenant.tenant_id, steps)
    await start(stage.rig, tenant, sequence, contact)
    now = stage.rig.clock()

    async def holds() -> bool:
        async with db.acquire() as connection, connection.transaction():
            (one,) = await queries.lock_page(
                connection, tenant.tenant_id, sequence, after=None, limit=9
            )
            line = await get_line(connection, tenant.tenant_id, sequence)
        assert line is not None
        return is_planned(one, line, (), now=now)

    assert await holds()
    await put_steps(db, tenant.tenant_id, sequence, steps[::-1])
    assert not await holds()
    await put_steps(db, tenant.tenant_id, sequence, steps)
    now += timedelta(days=3)
    assert not await holds()  # whoever was to take the step did not
