"""Every statement on `dunning_holds` that changes it."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]


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
