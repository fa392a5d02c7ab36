"""Every statement on `dunning_turns`, but for those that look for whom to ask."""

from datetime import date
from typing import TYPE_CHECKING
from uuid import UUID

from jobs.messaging.core.channels import Channel

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )


async def take_turn(db: "Pool", tenant_id: UUID, contact_id: UUID, *, day: date, key: str) -> bool:
    """Make the day this message's, for this contact. False when it is another's, or was."""
    taken = await db.fetchval(
        """
        insert into dunning_turns (tenant_id, contact_id, day, key) values ($1, $2, $3, $4)
        on conflict (tenant_id, contact_id) do update
           set day = excluded.day, key = excluded.key,
               channels = case when dunning_turns.day < excluded.day then '{}'
                               else dunning_turns.channels end
         where dunning_turns.day < excluded.day
            or (dunning_turns.day, dunning_turns.key) = (excluded.day, excluded.key)
        returning true
        """,
        tenant_id,
        contact_id,
        day,
        key,
    )
    return bool(taken)


async def channels_of_turn(
    db: "Pool", tenant_id: UUID, contact_id: UUID, *, day: date, key: str
) -> frozenset[Channel]:
    """By which channels this message left on its day."""
    channels = await db.fetchval(
        """
        select channels from dunning_turns
         where tenant_id = $1 and contact_id = $2 and day = $3 and key = $4
        """,
        tenant_id,
        contact_id,
        day,
        key,
    )
    return frozenset(channels or ())


async def record_channel(
    connection: "Connection",
    tenant_id: UUID,
    contact_id: UUID,
    *,
    day: date,
    key: str,
    channel: Channel,
) -> None:
    """By this channel the message left. Harmless when repeated."""
    await connection.execute(
        """
        update dunning_turns set channels = channels || array[$5]
         where tenant_id = $1 and contact_id = $2 and day = $3 and key = $4
           and not channels @> array[$5]
        """,
        tenant_id,
        contact_id,
        day,
        key,
        channel,
    )


async def give_back_turn(
    db: "Pool", tenant_id: UUID, contact_id: UUID, *, day: date, key: str
) -> None:
    """Nothing left: the day may be another message's."""
    await db.execute(
        """
        delete from dunning_turns
         where tenant_id = $1 and contact_id = $2 and day = $3 and key = $4
        """,
        tenant_id,
        contact_id,
        day,
        key,
    )
