from typing import TYPE_CHECKING
from uuid import uuid4

from jobs.nurture.sequences.line import get_line
from tests.conftest import Tenant
from tests.jobs.nurture.world import BOOKING, add_sequence, steps_after

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


async def test_a_line_is_the_sequence_as_it_is_now(db: "Db", tenant: Tenant) -> None:
    steps = steps_after(2, 1)
    sequence = await add_sequence(db, tenant.tenant_id, steps, exit_on=("conversion",))

    async with db.acquire() as connection:
        line = await get_line(connection, tenant.tenant_id, sequence)
        others = await get_line(connection, uuid4(), sequence)

    assert line is not None
    assert (line.steps, line.exit_on, line.values) == (tuple(steps), ("conversion",), BOOKING)
    assert others is None
