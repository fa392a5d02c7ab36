"""The demo's own statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import asyncpg

from worker.demo.proposals import DemoProposal
from worker.demo.tenants import DemoTenant


@dataclass(frozen=True, slots=True)
class Period:
    first_on: date
    last_on: date


async def load_tenant(db: "asyncpg.Pool[asyncpg.Record]", tenant: DemoTenant) -> None:
    """Insert a tenant, how it writes, and its users; what is there already stays.

    It has no quiet hours, so that a tour at night has its SMS, too.
    """
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
        await connection.execute(
            """
            insert into messaging_profiles (tenant_id, country, postal_address, payment_hosts,
                                            quiet_from, quiet_to)
            values ($1, $2, $3, array[$4], '00:00', '00:00') on conflict do nothing
            """,
            tenant.tenant_id,
            tenant.country,
            tenant.postal_address,
            tenant.payment_host,
        )
        await connection.executemany(
            """
            insert into users (user_id, tenant_id, email, full_name, locale, timezone)
            values ($1, $2, $3, $4, $5, $6)
            on conflict do nothing
            """,
            [
                (u.user_id, tenant.tenant_id, u.email, u.full_name, u.locale, u.timezone)
                for u in (*tenant.users, tenant.colleague)
            ],
        )


async def load_proposals(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: DemoTenant, found: Sequence[DemoProposal]
) -> None:
    """Insert proposals with their team and history; what is there already stays."""
    team = [*tenant.users, tenant.colleague]
    async with db.acquire() as connection, connection.transaction():
        await connection.executemany(
            """
            insert into proposals (tenant_id, proposal_id, title, status, created_at, due_at, url)
            values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing
            """,
            [
                (tenant.tenant_id, p.proposal_id, p.title, p.status, p.created_at, p.due_at, p.url)
                for p in found
            ],
        )
        await connection.executemany(
            """
            insert into proposal_members (tenant_id, proposal_id, user_id)
            values ($1, $2, $3) on conflict do nothing
            """,
            [(tenant.tenant_id, p.proposal_id, user.user_id) for p in found for user in team],
        )
        await connection.executemany(
            """
            insert into proposal_changes (tenant_id, change_id, proposal_id, from_status, to_status,
                                          changed_by, changed_at)
            values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing
            """,
            [
                (
                    tenant.tenant_id,
                    c.change_id,
                    p.proposal_id,
                    c.from_status,
                    c.to_status,
                    tenant.colleague.user_id,
                    c.changed_at,
                )
                for p in found
                for c in p.changes
            ],
        )


async def count_sent(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, template: str, *, about: str = ""
) -> int:
    """How many messages of this kind, and about this id, have been sent, or were not to be."""
    number: int = await db.fetchval(
        """
        select count(*) from deliveries
         where tenant_id = $1 and template = $2 and strpos(key, $3) > 0 and status <> 'sending'
        """,
        tenant_id,
        template,
        about,
    )
    return number


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
