"""Every statement about what became of messages.

An event names a message and no tenant, so tenants are what these find, and not what they are given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from jobs.messaging.core.outcomes import Event, Outcome, Reason

if TYPE_CHECKING:
    import asyncpg

    Connection = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )

_MOST_TENANTS = 1000  # that have written to one number
_MOST_CONTACTS = 1000  # that share their last digits


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery that a provider tells of; the key is its row's."""

    tenant_id: UUID
    key: str
    recipient: str
    channel: str
    status: str
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A contact whose telephone number ends like another; `phone` is as somebody wrote it."""

    tenant_id: UUID
    contact_id: UUID
    phone: str
    country: str


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
    for condition, value in (
        ("message_id = $1 and provider_id is not distinct from provider_id", event.message_id),
        ("provider = $2 and provider_id = $1", event.provider_id),
    ):
        del condition, value
    row = await connection.fetchrow(
        """
        select tenant_id, key, recipient, channel, status, outcome from deliveries
         where message_id = $1 or (provider = $2 and provider_id = $3)
         order by message_id = $1 desc nulls last, claimed_at desc
         limit 1 for update
        """,
        event.message_id,
        event.provider,
        event.provider_id,
    )
    return None if row is None else Sent(**row)
