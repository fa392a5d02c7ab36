"""Every statement on `deliveries` that sending needs, and what it asks of `suppressions`."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from jobs.messaging.suppressions import queries as suppressions
from worker.deliveries.record import TAKEN_WITHIN, Delivery, Doubt, Found

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )


async def look(
    db: "Pool", delivery: Delivery, spellings: Sequence[str]
) -> tuple[bool, Found | None]:
    """Whether the recipient must not be written to, and what is known of the message."""
    row = await db.fetchrow(
        """
        select exists (select from suppressions
                        where tenant_id = $1 and channel = $4 and address = any($5)),
               status, provider, message_id, run_id, claimed_at
          from (select) as one
          left join deliveries on tenant_id = $1 and key = $2 and recipient = $3
        """,
        *delivery.row,
        delivery.channel,
        spellings,
    )
    assert row is not None  # noqa: S101 - `one` is one row
    is_suppressed, *known = row.values()
    return is_suppressed, None if known[0] is None else Found(*known)


async def insert(
    db: "Pool | Connection", delivery: Delivery, status: str, claimed_at: datetime
) -> bool:
    """True when there was no row. Waits for a transaction that is inserting the same one."""
    inserted = await db.fetchval(
        """
        insert into deliveries (tenant_id, key, recipient, channel, template, template_version,
                                provider, status, message_id, run_id, claimed_at)
        values ($1, $2, $3, $4, $5, nullif($6, ''), $7, $8, $9, $10, $11)
        on conflict do nothing
        returning true
        """,
        *delivery.row,
        delivery.channel,
        delivery.template,
        delivery.template_version,
        delivery.provider,
        status,
        delivery.message_id,
        delivery.run_id,
        claimed_at,
    )
    return bool(inserted)


async def lock(connection: "Connection", delivery: Delivery) -> Found | None:
    """The row, which nobody else may judge until the transaction ends."""
    row = await connection.fetchrow(
        """
        select status, provider, message_id, run_id, claimed_at from deliveries
        where tenant_id = $1 and key = $2 and recipient = $3
        for update
        """,
        *delivery.row,
    )
    return None if row is None else Found(**row)


async def renew(connection: "Connection", delivery: Delivery, claimed_at: datetime) -> None:
    await connection.execute(
        """
        update deliveries
        set status = 'sending', template_version = nullif($4, ''), provider = $5, message_id = $6,
            run_id = $7, claimed_at = $8, provider_id = null, sent_at = null, outcome = null,
            outcome_at = null, outcome_code = null
        where tenant_id = $1 and key = $2 and recipient = $3
        """,
        *delivery.row,
        delivery.template_version,
        delivery.provider,
        delivery.message_id,
        delivery.run_id,
        claimed_at,
    )


async def release(db: "Pool", delivery: Delivery) -> None:
    """Take a claim back: nothing was sent."""
    await db.execute(
        """
        delete from deliveries
        where tenant_id = $1 and key = $2 and recipient = $3
          and status = 'sending' and run_id = $4
        """,
        *delivery.row,
        delivery.run_id,
    )


async def mark(db: "Pool | Connection", delivery: Delivery, status: str, run_id: str) -> None:
    """Never over `sent`: a slower twin of this attempt may have learnt more."""
    await db.execute(
        """
        update deliveries set status = $4, run_id = $5
        where tenant_id = $1 and key = $2 and recipient = $3 and status <> 'sent'
        """,
        *delivery.row,
        status,
        run_id,
    )


async def mark_sent(
    db: "Pool | Connection", delivery: Delivery, provider_id: str, sent_at: datetime
) -> bool:
    """False when the row says so already: an event of the provider may come before its answer."""
    was_sent = await db.fetchval(
        """
        update deliveries set status = 'sent', provider_id = $4, sent_at = $5
          from (select tenant_id, key, recipient, status from deliveries
                 where tenant_id = $1 and key = $2 and recipient = $3 for update) as before
         where deliveries.tenant_id = before.tenant_id and deliveries.key = before.key
           and deliveries.recipient = before.recipient
        returning before.status = 'sent'
        """,
        *delivery.row,
        provider_id,
        sent_at,
    )
    return not was_sent


async def sent_to(db: "Pool", delivery: Delivery | Doubt, since: datetime) -> frozenset[str]:
    """The provider's ids of other messages to this number, of any tenant."""
    rows = await db.fetch(
        """
        select provider_id from deliveries
         where channel = 'sms' and recipient = $1 and claimed_at >= $2
           and provider = $3 and provider_id is not null and message_id <> $4
        """,
        delivery.recipient,
        since,
        delivery.provider,
        delivery.message_id,
    )
    return frozenset(row["provider_id"] for row in rows)


async def take(db: "Pool", delivery: Delivery, provider_id: str, since: datetime) -> bool:
    """Say that this is what became of a message in doubt. False while it may be another's to the
    same number: of one that has it, or that was claimed since then and has not heard yet.
    """
    async with db.acquire() as connection, connection.transaction():
        await connection.execute(
            "select pg_advisory_xact_lock(hashtextextended($1, 0))", f"sms:{delivery.recipient}"
        )
        taken = await connection.fetchval(
            """
            update deliveries set provider_id = $4
             where tenant_id = $1 and key = $2 and recipient = $3
               and not exists (select from deliveries as other
                                where other.channel = 'sms' and other.recipient = $3
                                  and other.provider = $5 and other.message_id <> $6
                                  and (other.provider_id = $4
                                       or (other.status = 'sending' and other.claimed_at > $7)))
            returning true
            """,
            *delivery.row,
            provider_id,
            delivery.provider,
            delivery.message_id,
            since,
        )
    return bool(taken)


async def suppress(db: "Pool", delivery: Delivery, at: datetime) -> None:
    """Remember that this number's owner wants no more, as of then."""
    async with db.acquire() as connection, connection.transaction():
        await suppressions.suppress(
            connection,
            [delivery.tenant_id],
            "sms",
            delivery.recipient,
            reason="opted out",
            at=at,
        )


async def in_doubt(
    db: "Pool",
    *,
    after: tuple[datetime, str],
    before: datetime,
    lost_before: datetime,
    limit: int,
) -> list[Doubt]:
    """Messages in doubt, claimed before then, whose run is over and is no dead letter that waits;
    the oldest first, behind an instant and a message id. Of a run whose end nobody has heard of:
    those claimed before `lost_before`.
    """
    rows = await db.fetch(
        """
        select one.tenant_id, key, recipient, channel, template, provider, message_id, run_id,
               claimed_at,
               not exists (select from deliveries as other
                            where other.channel = 'sms' and other.recipient = one.recipient
                              and other.status in ('sending', 'unconfirmed', 'doubtful')
                              and other.message_id <> one.message_id
                              and other.claimed_at between one.claimed_at - $6::interval
                                                       and one.claimed_at + $6::interval
               ) as is_alone
          from deliveries as one left join job_runs using (run_id)
         where one.status in ('sending', 'unconfirmed')
           and (claimed_at, message_id) > ($1, $2) and claimed_at < $3
           and (job_runs.state in ('succeeded', 'cancelled', 'expired') or claimed_at < $4)
           and not exists (select from dead_letters
                            where dead_letters.run_id = one.run_id and status = 'dead')
         order by claimed_at, message_id limit $5
        """,
        *after,
        before,
        lost_before,
        limit,
        TAKEN_WITHIN * 2,
    )
    return [Doubt(**row) for row in rows]


async def settle(db: "Pool", doubt: Doubt, status: str, *, provider_id: str | None = None) -> bool:
    """False when somebody has claimed it meanwhile. What was sent was so when it was claimed."""
    settled = await db.fetchval(
        """
        update deliveries set status = $4, provider_id = coalesce($7, provider_id),
               sent_at = case when $4 = 'sent' then claimed_at end
         where tenant_id = $1 and key = $2 and recipient = $3
           and status in ('sending', 'unconfirmed') and run_id = $5 and claimed_at = $6
        returning true
        """,
        *doubt.row,
        status,
        doubt.run_id,
        doubt.claimed_at,
        provider_id,
    )
    return bool(settled)


async def forget(db: "Pool", doubt: Doubt) -> bool:
    """It never left: as if nobody had claimed it. False when somebody has done so meanwhile."""
    forgotten = await db.fetchval(
        """
        delete from deliveries
         where tenant_id = $1 and key = $2 and recipient = $3
           and status in ('sending', 'unconfirmed') and run_id = $4 and claimed_at = $5
        returning true
        """,
        *doubt.row,
        doubt.run_id,
        doubt.claimed_at,
    )
    return bool(forgotten)


async def doubtful(db: "Pool", *, limit: int) -> list[Doubt]:
    """Messages of which nobody will learn whether they were sent; the newest first."""
    rows = await db.fetch(
        """
        select tenant_id, key, recipient, channel, template, provider, message_id, run_id,
               claimed_at, false as is_alone
          from deliveries where status = 'doubtful' order by claimed_at desc limit $1
        """,
        limit,
    )
    return [Doubt(**row) for row in rows]
