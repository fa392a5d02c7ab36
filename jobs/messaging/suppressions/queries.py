"""Every statement about who must not be written to.

An address may be there for several reasons: it is written to again when none of them is left.
What is told of it comes in any order, and the latest by its own instant is what holds: a reason is
lifted by what came after it, and not set by what came before it was last lifted. Of two at the same
instant the reason holds.
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
    """Nothing more goes there, unless this reason was lifted after `at`. Harmless when repeated.

    In a transaction.
    """
    await alone(connection, channel, address)
    await connection.execute(
        """
        insert into suppressions (tenant_id, channel, address, reason, created_at)
        select given.tenant_id, $2, $3, $4, $5 from unnest($1::uuid[]) as given (tenant_id)
         where not exists (select from suppression_releases as known
                            where known.tenant_id = given.tenant_id and known.channel = $2
                              and known.address = $3 and known.reason = $4
                              and known.released_at > $5)
         order by given.tenant_id
        on conflict (tenant_id, channel, address, reason) do update
           set created_at = excluded.created_at
         where suppressions.created_at < excluded.created_at
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
    at: datetime,
) -> None:
    """Something may go there again, unless there is another reason, or one that came after `at`.

    In a transaction.
    """
    await alone(connection, channel, address)
    await connection.execute(
        """
        delete from suppressions
         where tenant_id = any($1) and channel = $2 and address = any($3) and reason = any($4)
           and created_at < $5
        """,
        tenant_ids,
        channel,
        spelled(channel, address),
        reasons,
        at,
    )
    await connection.execute(
        """
        insert into suppression_releases (tenant_id, channel, address, reason, released_at)
        select tenant_id, $2, $3, reason, $5
          from unnest($1::uuid[]) as tenant_id cross join unnest($4::text[]) as reason
         order by tenant_id, reason
        on conflict (tenant_id, channel, address, reason) do update
           set released_at = greatest(suppression_releases.released_at, excluded.released_at)
        """,
        sorted(set(tenant_ids)),
        channel,
        normal(channel, address),
        sorted(set(reasons)),
        at,
    )


async def alone(connection: "Connection", channel: Channel, address: str) -> None:
    """Nobody else changes what holds of this address until the transaction ends."""
    await connection.execute(
        "select pg_advisory_xact_lock(hashtextextended($1, 0))",
        f"suppression:{channel}:{normal(channel, address)}",
    )
