"""The statements of those who leave, and of those who look after the list."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from uuid import UUID

from jobs.messaging.addressing import normal
from jobs.messaging.core.channels import Channel
from jobs.messaging.suppressions.queries import alone, suppress

if TYPE_CHECKING:
    import asyncpg

    Db: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Connection: TypeAlias = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

_COLUMNS = "suppression_id, tenant_id, channel, address, reason, created_at"


@dataclass(frozen=True, slots=True)
class Subscriber:
    tenant_name: str
    locale: str


class Reason(NamedTuple):
    """Why nothing goes to an address; that is in its normal form."""

    tenant_id: UUID
    channel: Channel
    address: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """One reason for which nothing goes to an address of a tenant's any more."""

    suppression_id: int
    tenant_id: UUID
    channel: Channel
    address: str = field(repr=False)
    reason: str
    created_at: datetime


async def find_subscriber(db: "Db", token: UUID) -> Subscriber | None:
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


async def unsubscribe(db: "Db", token: UUID, at: datetime) -> None:
    """From then on no more mail of this tenant to this address. Harmless when repeated."""
    whose = await db.fetch(
        """
        select tenant_id, email as address from users where unsubscribe_token = $1
         union all
        select tenant_id, address from unsubscribe_links where token = $1
        """,
        token,
    )
    async with db.acquire() as connection, connection.transaction():
        for tenant_id, address in sorted(whose, key=lambda one: str(one["address"])):
            await suppress(connection, [tenant_id], "email", address, reason="unsubscribed", at=at)


async def page(
    db: "Db",
    *,
    before: int | None = None,
    limit: int = 50,
    tenant_id: UUID | None = None,
    channel: Channel | None = None,
    addresses: Sequence[str] | None = None,
    reason: str | None = None,
) -> list[Suppressed]:
    """Those to which all that is not None applies, newest first, before that id.

    `addresses` are the spellings of one.
    """
    given: dict[str, Any] = {
        "suppression_id < {}": before,
        "tenant_id = {}": tenant_id,
        "channel = {}": channel,
        "address = any({})": addresses,
        "reason = {}": reason,
    }
    values = [value for value in given.values() if value is not None]
    conditions = [text for text, value in given.items() if value is not None]
    where = " and ".join(text.format(f"${n}") for n, text in enumerate(conditions, 1)) or "true"
    rows = await db.fetch(
        f"select {_COLUMNS} from suppressions where {where}"  # noqa: S608 - own words, and parameters
        f" order by suppression_id desc limit ${len(values) + 1}",
        *values,
        limit,
    )
    return [Suppressed(**row) for row in rows]


async def id_for(db: "Db", which: Reason) -> int:
    """The id under which an address is there for this reason, or will be when it is added now."""
    found: int = await db.fetchval(
        """
        select coalesce(
            (select suppression_id from suppressions
              where tenant_id = $1 and channel = $2 and address = $3 and reason = $4),
            nextval(pg_get_serial_sequence('suppressions', 'suppression_id')))
        """,
        *which,
    )
    return found


async def add(
    connection: "Connection", which: Reason, *, suppression_id: int, at: datetime
) -> tuple[Suppressed, bool] | None:
    """With whether it is new; one that is there for this reason holds from then on.

    None when there is no such tenant. `suppression_id` is what `id_for` has said.
    """
    added = await connection.fetchrow(
        f"""
        insert into suppressions (tenant_id, channel, address, reason, suppression_id, created_at)
        select tenant_id, $2, $3, $4, $5, $6 from tenants where tenant_id = $1
        on conflict (tenant_id, channel, address, reason) do nothing
        returning {_COLUMNS}
        """,  # noqa: S608 - own words
        *which,
        suppression_id,
        at,
    )
    if added is not None:
        return Suppressed(**added), True
    found = await connection.fetchrow(
        f"""
        update suppressions set created_at = greatest(created_at, $5)
         where tenant_id = $1 and channel = $2 and address = $3 and reason = $4
        returning {_COLUMNS}
        """,  # noqa: S608 - own words
        *which,
        at,
    )
    return None if found is None else (Suppressed(**found), False)


async def lock(
    connection: "Connection", suppression_id: int, tenant_id: UUID | None
) -> Suppressed | None:
    """One of this tenant's, or of any; nobody else lifts it until the transaction ends."""
    whose = await connection.fetchrow(
        "select channel, address from suppressions where suppression_id = $1", suppression_id
    )
    if whose is None:
        return None
    await alone(connection, whose["channel"], whose["address"])
    row = await connection.fetchrow(
        f"""
        select {_COLUMNS} from suppressions
         where suppression_id = $1 and ($2::uuid is null or tenant_id = $2)
        for update
        """,  # noqa: S608 - own words
        suppression_id,
        tenant_id,
    )
    return None if row is None else Suppressed(**row)


async def delete(connection: "Connection", one: Suppressed) -> None:
    """One that is locked; and remember that what was said of it before now holds no more."""
    await connection.execute(
        """
        with gone as (
            delete from suppressions where suppression_id = $1
            returning tenant_id, channel, reason, created_at)
        insert into suppression_releases (tenant_id, channel, address, reason, released_at)
        select tenant_id, channel, $2, reason, greatest(clock_timestamp(), created_at) from gone
        on conflict (tenant_id, channel, address, reason) do update
           set released_at = greatest(suppression_releases.released_at, excluded.released_at)
        """,
        one.suppression_id,
        normal(one.channel, one.address),
    )


async def others(connection: "Connection", one: Suppressed, spellings: Sequence[str]) -> list[str]:
    """The other reasons for which nothing goes there."""
    rows = await connection.fetch(
        """
        select distinct reason from suppressions
         where tenant_id = $1 and channel = $2 and address = any($3) and suppression_id <> $4
         order by reason
        """,
        one.tenant_id,
        one.channel,
        spellings,
        one.suppression_id,
    )
    return [row["reason"] for row in rows]
