"""Every statement of the domain `email`."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from jobs.email.core.opportunities import Closing, Opportunity
from jobs.email.core.proposals import Change
from jobs.messaging.core.recipient import Recipient

if TYPE_CHECKING:
    import asyncpg

    from jobs.kit.sending import Connection


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


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A user, and when they were welcomed."""

    recipient: Recipient
    welcomed_at: datetime | None


async def find_newcomer(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, user_id: UUID
) -> Newcomer | None:
    recipient = await find_recipient(db, tenant_id, user_id)
    if recipient is None:
        return None
    welcomed_at = await db.fetchval(
        "select welcomed_at from users where tenant_id = $1 and user_id = $2", tenant_id, user_id
    )
    return Newcomer(recipient, welcomed_at)


async def mark_welcomed(
    connection: "Connection", *, tenant_id: UUID, user_id: UUID, at: datetime
) -> None:
    """The first time counts."""
    await connection.execute(
        """
        update users set welcomed_at = $3
         where tenant_id = $1 and user_id = $2 and welcomed_at is null
        """,
        tenant_id,
        user_id,
        at,
    )


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


async def users_of_all(
    db: "asyncpg.Pool[asyncpg.Record]", *, page: int
) -> AsyncIterator[list[tuple[UUID, UUID]]]:
    """The tenants and ids of all users, in pages."""
    after = _FIRST
    while True:
        rows = await db.fetch(
            "select tenant_id, user_id from users where user_id > $1 order by user_id limit $2",
            after,
            page,
        )
        if rows:
            yield [(row["tenant_id"], row["user_id"]) for row in rows]
        if len(rows) < page:
            return
        after = rows[-1]["user_id"]


async def find_change(
    db: "asyncpg.Pool[asyncpg.Record]",
    tenant_id: UUID,
    *,
    change_id: UUID | None,
    proposal_id: UUID | None,
) -> Change | None:
    """This change, or else the newest one of this proposal."""
    row = await db.fetchrow(
        """
        select change_id, proposals.title, from_status, to_status, changed_at, status, due_at,
               due_on, url, full_name as changed_by,
               concat_ws(', ', solicitation_number, opportunities.title) as opportunity
          from proposal_changes
          join proposals using (tenant_id, proposal_id)
          left join users on users.user_id = changed_by and users.tenant_id = $1
          left join opportunities
            on opportunities.tenant_id = $1 and opportunities.notice_id = proposals.notice_id
         where proposal_changes.tenant_id = $1
           and (change_id = $2 or ($2::uuid is null and proposal_id = $3))
         order by changed_at desc, change_id desc limit 1
        """,
        tenant_id,
        change_id,
        proposal_id,
    )
    return None if row is None else Change(**row)


async def team_to_tell(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, change_id: UUID, *, page: int
) -> AsyncIterator[list[UUID]]:
    """The proposal's people without who made the change, in pages."""
    after = _FIRST
    while True:
        rows = await db.fetch(
            """
            select user_id
              from proposal_changes
              join proposal_members using (tenant_id, proposal_id)
              join users using (tenant_id, user_id)
             where tenant_id = $1 and change_id = $2 and user_id is distinct from changed_by
               and user_id > $3
             order by user_id limit $4
            """,
            tenant_id,
            change_id,
            after,
            page,
        )
        if rows:
            yield [row["user_id"] for row in rows]
        if len(rows) < page:
            return
        after = rows[-1]["user_id"]


async def is_to_be_told(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, change_id: UUID, user_id: UUID
) -> bool:
    """Are they on the proposal's team, and did not make the change themselves?"""
    found: bool = await db.fetchval(
        """
        select exists (select from proposal_changes
                         join proposal_members using (tenant_id, proposal_id)
                        where tenant_id = $1 and change_id = $2 and user_id = $3
                          and user_id is distinct from changed_by)
        """,
        tenant_id,
        change_id,
        user_id,
    )
    return found
