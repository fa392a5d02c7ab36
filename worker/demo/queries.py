"""The demo's own statements."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import asyncpg

from worker.demo.tenants import DemoTenant


@dataclass(frozen=True, slots=True)
class Period:
    first_on: date
    last_on: date


async def load_tenant(db: "asyncpg.Pool[asyncpg.Record]", tenant: DemoTenant) -> None:
    """Insert a tenant and its users; what is there already stays."""
    async with db.acquire() as connection, connection.transaction():
        await connection.execute(
            """
            insert into tenants (tenant_id, name, locale, timezone) values ($1, $2, $3, $4)
            on conflict do nothing
            """,
            tenant.tenant_id,
            tenant.name,
            tenant.locale,
            tenant.timezone,
        )
        await connection.executemany(
            """
            insert into users (user_id, tenant_id, email, full_name, locale, timezone)
            values ($1, $2, $3, $4, $5, $6)
            on conflict do nothing
            """,
            [
                (u.user_id, tenant.tenant_id, u.email, u.full_name, u.locale, u.timezone)
                for u in tenant.users
            ],
        )


async def get_period(db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID) -> Period:
    """The days on which the first and the last notice were posted."""
    row = await db.fetchrow(
        "select min(posted_on) as first_on, max(posted_on) as last_on"
        " from opportunities where tenant_id = $1",
        tenant_id,
    )
    assert row is not None  # noqa: S101 - an aggregate always has a row
    return Period(row["first_on"], row["last_on"])


async def closing_next(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, *, after: datetime, limit: int
) -> list[str]:
    """Notices that are open, the nearest deadline first."""
    rows = await db.fetch(
        """
        select notice_id from opportunities
         where tenant_id = $1 and is_active and response_due_at > $2
         order by response_due_at, notice_id limit $3
        """,
        tenant_id,
        after,
        limit,
    )
    return [row["notice_id"] for row in rows]
