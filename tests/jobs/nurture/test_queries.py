from typing import TYPE_CHECKING
from uuid import uuid4

from jobs.nurture import queries
from tests.conftest import Tenant
from tests.jobs.nurture.running import enrolment, start
from tests.jobs.nurture.world import Stage, add_contact, add_sequence, steps_after

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def test_another_tenants_enrolments_are_neither_seen_nor_changed(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact, other, now = await add_contact(db, tenant.tenant_id), uuid4(), stage.rig.clock()
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(1))
    await start(stage.rig, tenant, sequence, contact)
    before = await enrolment(db)
    known = before["enrolment_id"]

    async with db.acquire() as connection, connection.transaction():
        assert await queries.lock(connection, other, known) is None
        assert await queries.lock_page(connection, other, sequence, after=None, limit=5) == []
        found = await queries.lock_of_contacts(
            connection, other, [contact], sequence_id=None, states=["active"]
        )
        assert found == []
        assert not await queries.add_step(connection, other, known, uuid4(), "sent", now)
        await queries.pause(connection, other, [known], now)
        await queries.finish(connection, other, [known], "stopped", now)
        await queries.count_from(connection, other, known, now, is_step=True)
    assert await queries.of_contact(db, other, contact, limit=5) == []

    assert await enrolment(db) == before


async def test_what_has_ended_stays_ended_for_its_first_reason(
    db: "Db", stage: Stage, tenant: Tenant
) -> None:
    contact, now = await add_contact(db, tenant.tenant_id), stage.rig.clock()
    sequence = await add_sequence(db, tenant.tenant_id, steps_after(1))
    await start(stage.rig, tenant, sequence, contact)
    known = (await enrolment(db))["enrolment_id"]

    async with db.acquire() as connection, connection.transaction():
        await queries.finish(connection, tenant.tenant_id, [known], "reply", now)
        await queries.finish(connection, tenant.tenant_id, [known], None, now)

    row = await enrolment(db)
    assert (row["state"], row["end_reason"]) == ("ended", "reply")
    ((name, channel, told),) = await queries.of_contact(db, tenant.tenant_id, contact, limit=5)
    assert (name, channel, told.state, told.ended_at) == ("welcome", None, "ended", now)
