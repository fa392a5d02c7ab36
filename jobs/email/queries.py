"""Every statement of the domain `email`."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from jobs.email.core import Closing, Opportunity
from jobs.messaging.core.recipient import Recipient

if TYPE_CHECKING:
    import asyncpg


_TENANTS = 100  # a page
_NOTICES = 20  # that a reminder lists, at most
_FIRST = UUID(int=0)


async def find_recipient(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, user_id: UUID
) -> Recipient | None:
    row = await db.fetchrow(
        """
        select tenant_id, full_name as name, locale, timezone, email, unsubscribe_token
        from users
        where tenant_id = $1 and user_id = $2
        """,
        tenant_id,
        user_id,
    )
    return None if row is None else Recipient(**row)


async def opportunities(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, notice_ids: Sequence[str]
) -> list[Opportunity]:
    """The tenant's notices among these; the others are left out."""
    rows = await db.fetch(
        """
        select notice_id, title, notice_type, is_active, solicitation_number, department, office,
               set_aside, response_due_at, response_due_on, ui_url
        from opportunities
        where tenant_id = $1 and notice_id = any($2::text[])
        """,
        tenant_id,
        notice_ids,
    )
    return [Opportunity(**row) for row in rows]


async def tenants_with_closing(
    db: "asyncpg.Pool[asyncpg.Record]", closing_from: datetime, closing_until: datetime
) -> AsyncIterator[Closing]:
    """All tenants that have opportunities which close then. A day ends when it has everywhere."""
    after = _FIRST
    while True:
        rows = await db.fetch(
            """
            select tenant_id, notice_ids
              from (select tenant_id from tenants where tenant_id > $1
                     order by tenant_id limit $4) as page
              left join lateral (
                   select array_agg(notice_id order by closes_at, notice_id) as notice_ids
                     from (select notice_id,
                                  coalesce(
                                      response_due_at,
                                      (response_due_on + 1)::timestamp at time zone 'Etc/GMT+12')
                                      as closes_at
                             from opportunities
                            where opportunities.tenant_id = page.tenant_id and is_active
                              and (response_due_at between $2 and $3
                                   or (response_due_at is null and response_due_on + 1
                                       between ($2 at time zone 'Etc/GMT+12')::date
                                           and ($3 at time zone 'Etc/GMT+12')::date + 1))
                            order by closes_at, notice_id limit $5) as closing
                   where closes_at > $2 and closes_at <= $3
              ) as found on true
             order by tenant_id
            """,
            after,
            closing_from,
            closing_until,
            _TENANTS,
            _NOTICES,
        )
        for row in rows:
            if row["notice_ids"]:
                yield Closing(row["tenant_id"], tuple(row["notice_ids"]))
        if len(rows) < _TENANTS:
            return
        after = rows[-1]["tenant_id"]


async def users_of(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, *, page: int
) -> AsyncIterator[list[UUID]]:
    """The ids of a tenant's users, in pages."""
    after = _FIRST
    while True:
        rows = await db.fetch(
            """
            select user_id from users
             where tenant_id = $1 and user_id > $2 order by user_id limit $3
            """,
            tenant_id,
            after,
            page,
        )
        if rows:
            yield [row["user_id"] for row in rows]
        if len(rows) < page:
            return
        after = rows[-1]["user_id"]
