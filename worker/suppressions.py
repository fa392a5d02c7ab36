"""Who must not be written to any more."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from jobs.messaging.addressing import normal

if TYPE_CHECKING:
    import asyncpg


@dataclass(frozen=True, slots=True)
class Subscriber:
    tenant_name: str
    locale: str


async def find_subscriber(db: "asyncpg.Pool[asyncpg.Record]", token: UUID) -> Subscriber | None:
    """Whose unsubscribe link this is."""
    row = await db.fetchrow(
        """
        select tenants.name as tenant_name, found.locale
          from (select tenant_id, locale from users where unsubscribe_token = $1
                union all
                select tenant_id, locale from unsubscribe_links where token = $1) as found
          join tenants using (tenant_id)
         limit 1
        """,
        token,
    )
    return None if row is None else Subscriber(**row)


async def unsubscribe(db: "asyncpg.Pool[asyncpg.Record]", token: UUID) -> None:
    """No more mail of this tenant to this address. Harmless when repeated."""
    whose = await db.fetch(
        """
        select tenant_id, email as address from users where unsubscribe_token = $1
         union all
        select tenant_id, address from unsubscribe_links where token = $1
        """,
        token,
    )
    await db.executemany(
        """
        insert into suppressions (tenant_id, channel, address, reason)
        values ($1, 'email', $2, 'unsubscribed')
        on conflict do nothing
        """,
        [(tenant_id, normal("email", address)) for tenant_id, address in whose],
    )
