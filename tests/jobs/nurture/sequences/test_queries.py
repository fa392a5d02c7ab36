from typing import TYPE_CHECKING
from uuid import uuid4

from jobs.nurture.sequences import queries
from tests.conftest import Tenant
from tests.jobs.nurture.world import BOOKING, add_sequence, put_steps, steps_after

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def test_steps_are_as_they_were_put_and_those_taken_out_are_remembered(
    db: "Db", tenant: Tenant
) -> None:
    steps = steps_after(1, 2, 3)
    sequence = await add_sequence(db, tenant.tenant_id, steps)

    await put_steps(db, tenant.tenant_id, sequence, [steps[2], steps[0]])

    assert await queries.steps_of(db, [sequence]) == {sequence: [steps[2], steps[0]]}
    async with db.acquire() as connection:
        known = await queries.known_steps(connection, tenant.tenant_id, sequence)
    assert known == {step.step_id for step in steps}


async def test_a_change_counts_the_version_and_another_tenants_does_nothing(
    db: "Db", tenant: Tenant
) -> None:
    sequence = await add_sequence(db, tenant.tenant_id, [])
    async with db.acquire() as connection:
        for tenant_id, name in ((tenant.tenant_id, "new"), (uuid4(), "stolen")):
            await queries.update(
                connection,
                tenant_id,
                sequence,
                name=name,
                is_active=False,
                exit_on=["conversion"],
                values=BOOKING,
            )

    row = await queries.find(db, tenant.tenant_id, sequence)

    assert row is not None
    assert (row.name, row.version, row.is_active) == ("new", 2, False)
    assert (row.exit_on, row.values) == (("conversion",), BOOKING)
    assert await queries.find(db, uuid4(), sequence) is None


async def test_a_page_begins_after_the_last_one(db: "Db", tenant: Tenant) -> None:
    made = sorted(
        [await add_sequence(db, tenant.tenant_id, [], name=str(number)) for number in range(3)]
    )

    first = await queries.page(db, tenant.tenant_id, after=None, limit=2)
    rest = await queries.page(db, tenant.tenant_id, after=first[-1].sequence_id, limit=2)

    assert [row.sequence_id for row in (*first, *rest)] == made
    assert await queries.page(db, uuid4(), after=None, limit=2) == []
    assert await queries.count_in_flight(db, made) == dict.fromkeys(made, 0)
