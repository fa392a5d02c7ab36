"""Every statement about contacts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from jobs.messaging.core.channels import Channel

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A contact, with its telephone number as somebody wrote it."""

    tenant_id: UUID
    contact_id: UUID
    full_name: str = field(repr=False)
    email: str | None = field(repr=False)
    phone: str | None = field(repr=False)
    locale: str
    timezone: str
    marketing_by_email: bool
    marketing_by_sms: bool
    preferred_channel: Channel | None


async def contacts(
    db: "Pool | Connection", tenant_id: UUID, contact_ids: Sequence[UUID]
) -> list[Row]:
    """Those of these that there are."""
    rows = await db.fetch(
        """
        select tenant_id, contact_id, full_name, email, phone, locale, timezone,
               marketing_by_email, marketing_by_sms, preferred_channel
          from contacts
         where tenant_id = $1 and contact_id = any($2)
         order by contact_id
        """,
        tenant_id,
        contact_ids,
    )
    return [Row(**row) for row in rows]


async def last_reply(db: "Pool | Connection", tenant_id: UUID, contact_id: UUID) -> datetime | None:
    """When the contact answered last, by whichever channel."""
    replied_at: datetime | None = await db.fetchval(
        "select max(replied_at) from contact_replies where tenant_id = $1 and contact_id = $2",
        tenant_id,
        contact_id,
    )
    return replied_at
