import asyncio
from datetime import date, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from jobs.dunning.turns.queries import (
    channels_of_turn,
    give_back_turn,
    record_channel,
    take_turn,
)
from tests.conftest import Tenant
from tests.jobs.dunning.rows import TODAY

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]

DAY = timedelta(days=1)


async def test_of_many_messages_for_one_day_one_has_its_turn(
    db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    async def take(key: str, day: date = TODAY) -> bool:
        return await take_turn(db, tenant.tenant_id, contact_id, day=day, key=key)

    taken = await asyncio.gather(*(take(f"key-{number}") for number in range(20)))

    assert sum(taken) == 1
    mine = f"key-{taken.index(True)}"
    assert await take(mine)
    assert not await take("another")
    await give_back_turn(db, tenant.tenant_id, contact_id, day=TODAY, key="another")
    assert not await take("another")
    await give_back_turn(db, tenant.tenant_id, contact_id, day=TODAY, key=mine)
    assert await take("another")
    assert await take("tomorrow's", TODAY + DAY)
    assert not await take("another")  # that day is over


async def test_channels_are_noted_once_and_forgotten_with_the_day(
    db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    ids = (tenant.tenant_id, contact_id)

    async def done(day: date = TODAY, key: str = "mine") -> frozenset[str]:
        return await channels_of_turn(db, *ids, day=day, key=key)

    assert await take_turn(db, *ids, day=TODAY, key="mine")
    async with db.acquire() as connection:
        for _ in range(2):
            await record_channel(connection, *ids, day=TODAY, key="mine", channel="email")
        await record_channel(connection, *ids, day=TODAY, key="another", channel="sms")
    assert await take_turn(db, *ids, day=TODAY, key="mine")

    assert await done() == {"email"}
    assert await done(key="another") == await done(TODAY + DAY) == frozenset()
    assert await take_turn(db, *ids, day=TODAY + DAY, key="mine")
    assert await done(TODAY + DAY) == frozenset()
