"""Somebody answered what was written to them.

    select … from contact_replies where tenant_id = … and contact_id = … and replied_at > …

is how other domains know it; what was answered is kept nowhere.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from clients.phone import e164
from jobs.messaging.core.channels import Channel
from jobs.messaging.outcomes import queries
from jobs.messaging.outcomes.queries import Candidate

if TYPE_CHECKING:
    from jobs.messaging.outcomes.queries import Connection


async def on_sms(
    connection: "Connection", tenant_ids: Sequence[UUID], number: str, *, replied_at: datetime
) -> int:
    """Record a reply of each contact of these tenants with this number (E.164); how many."""
    found = repliers(await queries.candidates(connection, tenant_ids, number), number)
    for one in found:
        await on_reply(connection, one.tenant_id, one.contact_id, "sms", replied_at=replied_at)
    return len(found)


async def on_reply(
    connection: "Connection",
    tenant_id: UUID,
    contact_id: UUID,
    channel: Channel,
    *,
    replied_at: datetime,
) -> None:
    """Record, in the caller's transaction, that a contact replied. Harmless when repeated."""
    await queries.record_reply(connection, tenant_id, contact_id, channel, replied_at)


def repliers(candidates: Iterable[Candidate], number: str) -> list[Candidate]:
    """Those whose number is this one, as their tenant's country reads it."""
    return [one for one in candidates if e164(one.phone, country=one.country) == number]
