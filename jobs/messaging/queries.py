"""Every statement of the domain `messaging`."""

from dataclasses import dataclass
from datetime import datetime, time
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias
from uuid import UUID

from jobs.messaging.core.channels import Channel
from jobs.messaging.core.override import Override

if TYPE_CHECKING:
    import asyncpg

    from jobs.kit.sending import Connection

    Database: TypeAlias = asyncpg.Pool[asyncpg.Record] | Connection

MOST_VERSIONS: Final = 1_000
MOST_ACTIVE: Final = 1_000


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


class TooManyVersionsError(Exception):
    """A template has as many versions as one may have."""


class Key(NamedTuple):
    """Which template of a tenant's."""

    name: str
    language: str
    channel: Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a tenant's own template; in effect while `is_active`."""

    version: int
    subject: str | None
    text: str | None
    html: str | None
    is_active: bool
    created_at: datetime
    created_by: str

    @property
    def override(self) -> Override:
        return Override(version=self.version, subject=self.subject, text=self.text, html=self.html)


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
    """The token of this address's way out, made on first use. `address` is in its normal form.

    It stays for KEEP_UNSUBSCRIBE_DAYS after the last mail that has it.
    """
    known: UUID | None = await db.fetchval(
        """
        select token from unsubscribe_links
         where tenant_id = $1 and address = $2 and locale = $3
           and shown_at > now() - interval '1 day'
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
        on conflict (tenant_id, address) do update set locale = excluded.locale, shown_at = now()
        returning token
        """,
        tenant_id,
        address,
        locale,
    )
    return made


async def active_override(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, key: Key
) -> Override | None:
    """The tenant's own template that is in effect."""
    found = await version(db, tenant_id, key, None)
    return None if found is None else found.override


async def store_override(
    connection: "Connection",
    tenant_id: UUID,
    key: Key,
    override: Override,
    *,
    by: str,
    at: datetime,
) -> int | None:
    """Add it as the next version, which takes effect; returns that, or None without such a tenant.

    Its own `version` does not matter. Raises TooManyVersionsError.
    """
    if not await lock_tenant(connection, tenant_id):
        return None
    newest = await connection.fetchval(
        """
        select coalesce(max(version), 0) from message_templates
         where tenant_id = $1 and name = $2 and language = $3 and channel = $4
        """,
        tenant_id,
        *key,
    )
    if newest >= MOST_VERSIONS:
        raise TooManyVersionsError(f"there are {MOST_VERSIONS} versions of this template")
    await deactivate(connection, tenant_id, key)
    await connection.execute(
        """
        insert into message_templates (tenant_id, name, language, channel, version, subject, text,
                                       html, is_active, created_at, created_by)
        values ($1, $2, $3, $4, $5, $6, $7, $8, true, $9, $10)
        """,
        tenant_id,
        *key,
        newest + 1,
        override.subject,
        override.text,
        override.html,
        at,
        by,
    )
    return int(newest) + 1


async def activate(connection: "Connection", tenant_id: UUID, key: Key, version: int) -> bool:
    """Have this version take effect; false when there is none."""
    await lock_tenant(connection, tenant_id)
    is_there = await connection.fetchval(
        """
        select true from message_templates
         where tenant_id = $1 and name = $2 and language = $3 and channel = $4 and version = $5
        """,
        tenant_id,
        *key,
        version,
    )
    if not is_there:
        return False
    await deactivate(connection, tenant_id, key)
    await connection.execute(
        """
        update message_templates set is_active = true
         where tenant_id = $1 and name = $2 and language = $3 and channel = $4 and version = $5
        """,
        tenant_id,
        *key,
        version,
    )
    return True


async def deactivate(connection: "Connection", tenant_id: UUID, key: Key) -> int | None:
    """Go back to the product's words; returns the version that was in effect."""
    version: int | None = await connection.fetchval(
        """
        update message_templates set is_active = false
         where tenant_id = $1 and name = $2 and language = $3 and channel = $4 and is_active
        returning version
        """,
        tenant_id,
        *key,
    )
    return version


async def versions(
    db: "asyncpg.Pool[asyncpg.Record]",
    tenant_id: UUID,
    key: Key,
    *,
    before: int | None,
    limit: int,
) -> list[Version]:
    """The newest first, from before that version on."""
    rows = await db.fetch(
        """
        select version, subject, text, html, is_active, created_at, created_by
          from message_templates
         where tenant_id = $1 and name = $2 and language = $3 and channel = $4
           and ($5::integer is null or version < $5)
         order by version desc limit $6
        """,
        tenant_id,
        *key,
        before,
        limit,
    )
    return [Version(**row) for row in rows]


async def version(db: "Database", tenant_id: UUID, key: Key, number: int | None) -> Version | None:
    """That one; None: the one that is in effect."""
    row = await db.fetchrow(
        """
        select version, subject, text, html, is_active, created_at, created_by
          from message_templates
         where tenant_id = $1 and name = $2 and language = $3 and channel = $4
           and case when $5::integer is null then is_active else version = $5 end
        """,
        tenant_id,
        *key,
        number,
    )
    return None if row is None else Version(**row)


async def active_versions(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID
) -> list[tuple[Key, int]]:
    """Which of a tenant's own templates are in effect; at most MOST_ACTIVE."""
    rows = await db.fetch(
        """
        select name, language, channel, version from message_templates
         where tenant_id = $1 and is_active
         order by name, language, channel limit $2
        """,
        tenant_id,
        MOST_ACTIVE,
    )
    return [(Key(row["name"], row["language"], row["channel"]), row["version"]) for row in rows]


async def lock_tenant(connection: "Connection", tenant_id: UUID) -> bool:
    """One after the other: two new versions at once would get the same number. False: no tenant."""
    return bool(
        await connection.fetchval(
            "select true from tenants where tenant_id = $1 for no key update", tenant_id
        )
    )
