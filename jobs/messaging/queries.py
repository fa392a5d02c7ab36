"""Every statement of the domain `messaging`."""

from dataclasses import dataclass
from datetime import time
from typing import TYPE_CHECKING
from uuid import UUID

from jobs.messaging.core.channels import Channel
from jobs.messaging.core.override import Override

if TYPE_CHECKING:
    import asyncpg


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRow:
    """A tenant with its messaging profile; without one the columns' defaults."""

    tenant_name: str
    locale: str
    timezone: str
    email_from: str | None
    reply_to: str | None
    sms_from: str | None
    country: str
    postal_address: str | None
    accent: str | None
    quiet_from: time
    quiet_to: time
    transliterates_sms: bool
    payment_hosts: list[str]


async def profile(db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID) -> ProfileRow | None:
    row = await db.fetchrow(
        """
        select tenants.name as tenant_name, locale, timezone, email_from, reply_to, sms_from,
               coalesce(country, 'US') as country, postal_address, accent,
               coalesce(quiet_from, '21:00') as quiet_from, coalesce(quiet_to, '08:00') as quiet_to,
               coalesce(transliterates_sms, false) as transliterates_sms,
               coalesce(payment_hosts, '{}') as payment_hosts
          from tenants left join messaging_profiles using (tenant_id)
         where tenant_id = $1
        """,
        tenant_id,
    )
    return None if row is None else ProfileRow(**row)


async def unsubscribe_token(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, address: str, locale: str
) -> UUID:
    """The token of this address's way out, made on first use. `address` is in lower case."""
    known: UUID | None = await db.fetchval(
        """
        select token from unsubscribe_links
         where tenant_id = $1 and address = $2 and locale = $3
        """,
        tenant_id,
        address,
        locale,
    )
    if known is not None:
        return known
    made: UUID = await db.fetchval(
        """
        insert into unsubscribe_links (tenant_id, address, locale) values ($1, $2, $3)
        on conflict (tenant_id, address) do update set locale = excluded.locale
        returning token
        """,
        tenant_id,
        address,
        locale,
    )
    return made


async def active_override(
    db: "asyncpg.Pool[asyncpg.Record]",
    tenant_id: UUID,
    *,
    name: str,
    language: str,
    channel: Channel,
) -> Override | None:
    row = await db.fetchrow(
        """
        select version, subject, text, html from message_templates
         where tenant_id = $1 and name = $2 and language = $3 and channel = $4 and is_active
        """,
        tenant_id,
        name,
        language,
        channel,
    )
    return None if row is None else Override(**row)


async def override_of(
    db: "asyncpg.Pool[asyncpg.Record]",
    tenant_id: UUID,
    *,
    name: str,
    language: str,
    channel: Channel,
    version: int,
) -> Override | None:
    row = await db.fetchrow(
        """
        select version, subject, text, html from message_templates
         where tenant_id = $1 and name = $2 and language = $3 and channel = $4 and version = $5
        """,
        tenant_id,
        name,
        language,
        channel,
        version,
    )
    return None if row is None else Override(**row)
