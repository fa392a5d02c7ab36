"""Every statement of the weekly summary. They run in one snapshot, so that its numbers agree."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from jobs.email.core.opportunities import Opportunity
from jobs.email.core.proposals import FINAL, OPEN
from jobs.email.core.summary import LISTED, Activity, DueProposal, StatusChange, WeekFacts
from jobs.email.core.weeks import Week

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

_COUNTS = ("number", "still_open", "is_open")


async def facts(
    db: "asyncpg.Pool[asyncpg.Record]",
    tenant_id: UUID,
    user_id: UUID,
    week: Week,
    *,
    now: datetime,
    zone: ZoneInfo,
) -> WeekFacts:
    """The week as it was where the user lives; what may still be answered, as of `now`."""
    async with (
        db.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        posted, still_open, new = await _posted(connection, tenant_id, week, now)
        closing, closing_first = await _closing(connection, tenant_id, week, now=now, zone=zone)
        statuses = await _statuses(connection, tenant_id, user_id, week, zone)
        changed, changes = await _changes(connection, tenant_id, user_id, week, zone)
        due, due_first = await _due(connection, tenant_id, user_id, week, zone)
        return WeekFacts(
            posted=posted,
            still_open=still_open,
            new=new,
            closing=closing,
            closing_first=closing_first,
            statuses=statuses,
            changed=changed,
            changes=changes,
            due=due,
            due_first=due_first,
            activity=await _activity(connection, tenant_id, week, zone),
        )


async def _posted(
    connection: "Connection", tenant_id: UUID, week: Week, now: datetime
) -> tuple[int, int, list[Opportunity]]:
    """How many, how many of them are open, and the first of those."""
    rows = await connection.fetch(
        """
        select notice_id, title, notice_type, is_active, solicitation_number, department, office,
               set_aside, response_due_at, response_due_on, ui_url, is_open,
               count(*) over () as number, count(*) filter (where is_open) over () as still_open
          from opportunities
         cross join lateral (
               select coalesce(response_due_at,
                               (response_due_on + 1)::timestamp at time zone 'Etc/GMT+12')
                          as closes_at) as deadline
         cross join lateral (
               select is_active and coalesce(closes_at > $4, true) as is_open) as state
         where tenant_id = $1 and posted_on between $2 and $3
         order by is_open desc, closes_at nulls last, title, notice_id limit $5
        """,
        tenant_id,
        week.first_on,
        week.last_on,
        now,
        LISTED,
    )
    if not rows:
        return 0, 0, []
    found = [_opportunity(row) for row in rows if row["is_open"]]
    return rows[0]["number"], rows[0]["still_open"], found


async def _closing(
    connection: "Connection", tenant_id: UUID, week: Week, *, now: datetime, zone: ZoneInfo
) -> tuple[int, list[Opportunity]]:
    """What closes in the week after. A deadline that is a day closes when that is over everywhere,
    and belongs to the week that it is in.
    """
    rows = await connection.fetch(
        """
        select notice_id, title, notice_type, is_active, solicitation_number, department, office,
               set_aside, response_due_at, response_due_on, ui_url, count(*) over () as number
          from opportunities
         cross join lateral (
               select coalesce(response_due_at,
                               (response_due_on + 1)::timestamp at time zone 'Etc/GMT+12')
                          as closes_at) as deadline
         where tenant_id = $1 and is_active and closes_at > $2
           and (response_due_at >= $3 and response_due_at < $4
                or (response_due_at is null and response_due_on between $5 and $6))
         order by closes_at, title, notice_id limit $7
        """,
        tenant_id,
        now,
        week.next.begins_at(zone),
        week.next.ends_at(zone),
        week.next.first_on,
        week.next.last_on,
        LISTED,
    )
    return _number(rows), [_opportunity(row) for row in rows]


async def _statuses(
    connection: "Connection", tenant_id: UUID, user_id: UUID, week: Week, zone: ZoneInfo
) -> dict[str, int]:
    rows = await connection.fetch(
        """
        select status, count(*) as number
          from proposals
          join proposal_members using (tenant_id, proposal_id)
         where tenant_id = $1 and user_id = $2
           and (status <> all($3::text[])
                or exists (select from proposal_changes as change
                            where change.tenant_id = $1
                              and change.proposal_id = proposals.proposal_id
                              and changed_at >= $4))
         group by status
        """,
        tenant_id,
        user_id,
        FINAL,
        week.begins_at(zone),
    )
    return {row["status"]: row["number"] for row in rows}


async def _changes(
    connection: "Connection", tenant_id: UUID, user_id: UUID, week: Week, zone: ZoneInfo
) -> tuple[int, list[StatusChange]]:
    rows = await connection.fetch(
        """
        select title, from_status, to_status, changed_at, url, count(*) over () as number
          from proposal_changes
          join proposals using (tenant_id, proposal_id)
          join proposal_members using (tenant_id, proposal_id)
         where tenant_id = $1 and user_id = $2 and changed_at >= $3 and changed_at < $4
         order by changed_at desc, change_id limit $5
        """,
        tenant_id,
        user_id,
        week.begins_at(zone),
        week.ends_at(zone),
        LISTED,
    )
    return _number(rows), [StatusChange(**_without_counts(row)) for row in rows]


async def _due(
    connection: "Connection", tenant_id: UUID, user_id: UUID, week: Week, zone: ZoneInfo
) -> tuple[int, list[DueProposal]]:
    rows = await connection.fetch(
        """
        select title, status, due_at, due_on, url, count(*) over () as number
          from proposals
          join proposal_members using (tenant_id, proposal_id)
         where tenant_id = $1 and user_id = $2 and status = any($3::text[])
           and (due_at >= $4 and due_at < $5 or (due_at is null and due_on between $6 and $7))
         order by coalesce(due_at, (due_on + 1)::timestamp at time zone $8), title, proposal_id
         limit $9
        """,
        tenant_id,
        user_id,
        OPEN,
        week.next.begins_at(zone),
        week.next.ends_at(zone),
        week.next.first_on,
        week.next.last_on,
        zone.key,
        LISTED,
    )
    return _number(rows), [DueProposal(**_without_counts(row)) for row in rows]


async def _activity(
    connection: "Connection", tenant_id: UUID, week: Week, zone: ZoneInfo
) -> Activity:
    [row] = await connection.fetch(
        """
        select (select count(*) from proposals
                 where tenant_id = $1 and created_at >= $2 and created_at < $3) as started,
               count(distinct proposal_id) filter (where to_status = 'submitted') as submitted,
               count(distinct proposal_id) filter (where to_status = 'won') as won,
               count(distinct proposal_id) filter (where to_status = 'lost') as lost
          from proposal_changes
         where tenant_id = $1 and changed_at >= $2 and changed_at < $3
        """,
        tenant_id,
        week.begins_at(zone),
        week.ends_at(zone),
    )
    return Activity(**row)


def _number(rows: "list[asyncpg.Record]") -> int:
    return rows[0]["number"] if rows else 0


def _opportunity(row: "asyncpg.Record") -> Opportunity:
    return Opportunity(**_without_counts(row))


def _without_counts(row: "asyncpg.Record") -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _COUNTS}
