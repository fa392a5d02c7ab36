"""The statement about what became of notices by mail."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from jobs.messaging.core.outcomes import FAILED
from jobs.messaging.core.suppression import TO_OPERATORS
from worker.deliveries import NOBODY

if TYPE_CHECKING:
    import asyncpg

_SINCE: Final = timedelta(days=30)
_MOST: Final = 100  # addresses


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """The last that is known of notices to this address: it was one of FAILED, then."""

    address: str
    outcome: str
    code: str | None
    at: datetime


async def undelivered(db: "asyncpg.Pool[asyncpg.Record]", *, now: datetime) -> list[Undelivered]:
    """Where the last notice that something is known of came back; of the last month."""
    rows = await db.fetch(
        """
        select * from (
            select distinct on (recipient)
                   recipient as address, outcome, outcome_code as code, outcome_at as at
              from deliveries
             where tenant_id = $1 and template = any($2) and claimed_at > $3
               and outcome <> 'deferred'
             order by recipient, claimed_at desc, outcome_at desc) as newest
         where outcome = any($4) order by at desc, address limit $5
        """,
        NOBODY,
        sorted(TO_OPERATORS),
        now - _SINCE,
        sorted(FAILED),
        _MOST,
    )
    return [Undelivered(**row) for row in rows]
