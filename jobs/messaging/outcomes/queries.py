"""Every statement about what became of messages.

An event names a message and no tenant, so tenants are what these find, and not what they are given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from jobs.kit import Run
from jobs.messaging.core.channels import Channel
from jobs.messaging.core.outcomes import Event, Outcome

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

_MOST_TENANTS = 1000  # that have written to one number
_MOST_CONTACTS = 1000  # that share their last digits
_SKEW = timedelta(minutes=1)  # that two of our own clocks may differ


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery that a provider tells of; tenant, key and recipient are its row's key.

    Settled is one that it told of before, or that answered.
    """

    tenant_id: UUID
    key: str
    recipient: str
    channel: Channel
    template: str
    outcome: Outcome | None
    is_settled: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A contact whose telephone number ends like another; `phone` is as somebody wrote it."""

    tenant_id: UUID
    contact_id: UUID
    phone: str
    country: str


async def key_of_run(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, run: Run, *, prefix: str
) -> str | None:
    """The newest key that begins so, of a message that this run, or the one it replays, has sent or
    may have sent. One that is tried again on another day so finds its message of the day before.
    """
    key: str | None = await db.fetchval(
        """
        select key from deliveries
         where tenant_id = $1 and starts_with(key, $2)
           and ((run_id = $3 and claimed_at >= $4) or run_id = $5)
           and status in ('sending', 'unconfirmed', 'doubtful', 'sent')
         order by claimed_at desc limit 1
        """,
        tenant_id,
        prefix,
        run.run_id,
        run.enqueued_at - _SKEW,
        run.replay_of,
    )
    return key


async def has_left_since(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, keys: Sequence[str], since: datetime
) -> bool:
    """Whether a message under one of these keys was sent, or may have been, since then."""
    found = await db.fetchval(
        """
        select exists (select from deliveries
                        where tenant_id = $1 and key = any($2) and claimed_at >= $3
                          and status in ('sending', 'unconfirmed', 'doubtful', 'sent'))
        """,
        tenant_id,
        keys,
        since,
    )
    return bool(found)


async def remember(connection: "Connection", provider: str, event_id: str, at: datetime) -> bool:
    """False when this event has been dealt with; waits for whoever is dealing with it."""
    is_new = await connection.fetchval(
        """
        insert into delivery_events (provider, event_id, received_at) values ($1, $2, $3)
        on conflict do nothing returning true
        """,
        provider,
        event_id,
        at,
    )
    return bool(is_new)


async def lock_delivery(connection: "Connection", event: Event) -> Sent | None:
    """The delivery that an event tells of, by our id or else by the provider's."""
    row = await connection.fetchrow(
        """
        select tenant_id, key, recipient, channel, template, outcome,
               status not in ('sending', 'unconfirmed', 'doubtful')
                   and provider_id is not null as is_settled
          from deliveries
         where message_id = $1 or (provider = $2 and provider_id = $3)
         order by message_id = $1 desc nulls last, claimed_at desc
         limit 1 for update
        """,
        event.message_id,
        event.provider,
        event.provider_id,
    )
    return None if row is None else Sent(**row)


async def record(
    connection: "Connection", sent: Sent, event: Event, *, news: Outcome | None
) -> None:
    """The provider has it: what was in doubt is sent. `news` is its outcome; None: no new one."""
    await connection.execute(
        """
        update deliveries
           set status = case when status in ('sending', 'unconfirmed', 'doubtful') then 'sent'
                             else status end,
               sent_at = case when status in ('sending', 'unconfirmed', 'doubtful') then $4
                              else sent_at end,
               provider_id = case when provider = $5 then coalesce(provider_id, $6)
                                  else provider_id end,
               outcome = coalesce($7, outcome),
               outcome_at = case when $7::text is null then outcome_at else $4 end,
               outcome_code = case when $7::text is null then outcome_code else $8 end
         where tenant_id = $1 and key = $2 and recipient = $3
        """,
        sent.tenant_id,
        sent.key,
        sent.recipient,
        event.happened_at,
        event.provider,
        event.provider_id,
        news,
        event.code,
    )


async def tenants_of(connection: "Connection", services: Sequence[str], number: str) -> list[UUID]:
    """Who writes to a number from one of ours: its owners, and all who wrote there without one of
    their own. Where there are neither, all who wrote there: somebody has changed theirs since.
    """
    rows = await connection.fetch(
        """
        with writers as (
            select distinct tenant_id, sms_from
              from deliveries left join messaging_profiles using (tenant_id)
             where channel = 'sms' and recipient = $2
        ), owners as (
            select tenant_id from messaging_profiles where sms_from = any($1)
             union
            select tenant_id from writers where sms_from is null
        )
        select tenant_id from owners
         union
        select tenant_id from writers where not exists (select from owners)
         limit $3
        """,
        services,
        number,
        _MOST_TENANTS,
    )
    return [row["tenant_id"] for row in rows]


async def candidates(
    connection: "Connection", tenant_ids: Sequence[UUID], number: str
) -> list[Candidate]:
    """Contacts of these tenants whose number may be this one (E.164)."""
    rows = await connection.fetch(
        r"""
        select tenant_id, contact_id, phone, coalesce(country, 'US') as country
          from contacts left join messaging_profiles using (tenant_id)
         where phone is not null and tenant_id = any($1)
           and right(regexp_replace(phone, '\D', '', 'g'), 7) = right($2, 7)
         limit $3
        """,
        tenant_ids,
        number,
        _MOST_CONTACTS,
    )
    return [Candidate(**row) for row in rows]


async def record_reply(
    connection: "Connection",
    tenant_id: UUID,
    contact_id: UUID,
    channel: Channel,
    replied_at: datetime,
) -> None:
    """Harmless when repeated, and when there is no such contact any more."""
    await connection.execute(
        """
        insert into contact_replies (tenant_id, contact_id, channel, replied_at)
        select tenant_id, contact_id, $3, $4
          from contacts where tenant_id = $1 and contact_id = $2
        on conflict do nothing
        """,
        tenant_id,
        contact_id,
        channel,
        replied_at,
    )
