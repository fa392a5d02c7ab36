"""Every statement on `dunning_holds` by itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """`until` is the first day without it, in the tenant's calendar; None: it has no end yet."""

    state: str
    reason: str | None = field(repr=False)
    since: datetime
    until: date | None


async def find_hold(db: "Pool", tenant_id: UUID, contact_id: UUID, now: datetime) -> Hold | None:
    """Why this contact is asked for nothing; None: it may be, or is not there."""
    row = await db.fetchrow(
        """
        select state, reason, since, until
          from dunning_holds join tenants using (tenant_id)
         where tenant_id = $1 and contact_id = $2
           and (until is null or until > ($3::timestamptz at time zone timezone)::date)
        """,
        tenant_id,
        contact_id,
        now,
    )
    return None if row is None else Hold(**row)


async def hold(
    db: "Pool",
    tenant_id: UUID,
    contact_ids: Sequence[UUID],
    *,
    state: str,
    reason: str | None,
    since: datetime,
    until: date | None = None,
) -> int:
    """Ask these contacts for nothing more; returns how many of them there are.

    Pausing does not soften a stop.
    """
    changed: int = await db.fetchval(
        """
        with held as (
            insert into dunning_holds (tenant_id, contact_id, state, reason, since, until)
            select tenant_id, contact_id, $3, $4, $5, $6 from contacts
             where tenant_id = $1 and contact_id = any($2)
             order by contact_id
            on conflict (tenant_id, contact_id) do update
               set state = excluded.state, reason = excluded.reason, since = excluded.since,
                   until = excluded.until
             where dunning_holds.state = 'paused' or excluded.state = 'stopped'
            returning 1)
        select count(*) from held
        """,
        tenant_id,
        contact_ids,
        state,
        reason,
        since,
        until,
    )
    return changed


async def lift(db: "Pool", tenant_id: UUID, contact_ids: Sequence[UUID], *, state: str) -> int:
    """Take such holds of these contacts away; returns how many there were."""
    lifted: int = await db.fetchval(
        """
        with lifted as (
            delete from dunning_holds
             where tenant_id = $1 and contact_id = any($2) and state = $3
            returning 1)
        select count(*) from lifted
        """,
        tenant_id,
        contact_ids,
        state,
    )
    return lifted
