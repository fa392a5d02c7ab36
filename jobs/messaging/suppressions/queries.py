"""Every statement about who must not be written to.

An address may be there for several reasons: it is written to again when none of them is left.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from jobs.messaging.addressing import normal, spelled
from jobs.messaging.core.channels import Channel
from jobs.messaging.core.outcomes import Reason
from jobs.messaging.core.suppression import Suppression

if TYPE_CHECKING:
    import asyncpg

    Connection = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )
    Database = asyncpg.Pool[asyncpg.Record] | Connection


async def suppressions_of(
    db: "Database", tenant_id: UUID, addresses: Iterable[tuple[Channel, str]]
) -> dict[tuple[Channel, str], Suppression]:
    """Which of these get nothing any more, and why; by what they are called here.

    Of several reasons a wish is told, and the newest.
    """
    asked = [
        (channel, spelling, address)
        for channel, address in dict.fromkeys(addresses)
        for spelling in spelled(channel, address)
    ]
    rows = (
        await db.fetch(
            """
        select channel, given.address, reason, created_at
          from unnest($2::text[], $3::text[], $4::text[]) as given (channel, spelling, address)
          join suppressions using (channel)
         where tenant_id = $1 and suppressions.address = spelling
        """,
            tenant_id,
            *(list(column) for column in zip(*asked, strict=True)),
        )
        if asked
        else []
    )
    found: dict[tuple[Channel, str], Suppression] = {}
    for row in rows:
        key, one = (row["channel"], row["address"]), Suppression(row["reason"], row["created_at"])
        found[key] = max(found.get(key, one), one, key=lambda known: (known.is_wish, known.since))
    return found


async def suppress(
    connection: "Connection",
    tenant_ids: Sequence[UUID],
    channel: Channel,
    address: str,
    *,
    reason: Reason,
    at: datetime,
) -> None:
    """Nothing more goes there. Harmless when repeated."""
    await connection.execute(
        """
        insert into suppressions (tenant_id, channel, address, reason, created_at)
        select tenant_id, $2, $3, $4, $5 from unnest($1::uuid[]) as tenant_id
         order by tenant_id
        on conflict do nothing
        """,
        sorted(set(tenant_ids)),
        channel,
        normal(channel, address),
        reason,
        at,
    )


async def release(
    connection: "Connection",
    tenant_ids: Sequence[UUID],
    channel: Channel,
    address: str,
    *,
    reasons: Sequence[Reason],
) -> None:
    """Something may go there again, unless there is another reason why not."""
    await connection.execute(
        """
        delete from suppressions
         where tenant_id = any($1) and channel = $2 and address = any($3) and reason = any($4)
        """,
        tenant_ids,
        channel,
        spelled(channel, address),
        reasons,
    )
