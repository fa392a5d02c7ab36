"""Every statement of the reports. They run in one snapshot, so that sums and rows agree."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from jobs.documents.core.model import Aggregate, Notice, Period, Tally, Tenant
from jobs.documents.core.schedules import ReportSchedule, TenantPlace

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

_PAGE = 500
_SOON = timedelta(days=7)


@asynccontextmanager
async def snapshot(db: "asyncpg.Pool[asyncpg.Record]") -> AsyncIterator[Connection]:
    """A connection that sees the database as it was at its first statement, and cannot write."""
    async with (
        db.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield connection


async def find_tenant(connection: Connection, tenant_id: UUID) -> Tenant | None:
    record = await connection.fetchrow(
        "select name, timezone from tenants where tenant_id = $1", tenant_id
    )
    return Tenant(record["name"], record["timezone"]) if record else None


async def tally(
    connection: Connection, tenant_id: UUID, period: Period, *, as_of: datetime, zone: ZoneInfo
) -> Tally:
    """Notices posted in the period; those open at `as_of`; those of them closing in 7 days.

    A deadline that is only a day ends with that day in `zone`.
    """
    [record] = await connection.fetch(
        """
        with notices as (
            select is_active and coalesce(response_due_at > $4, response_due_on >= $5, false)
                       as is_open,
                   coalesce(response_due_at <= $6, response_due_on <= $7, false) as is_soon
            from opportunities
            where tenant_id = $1 and posted_on between $2 and $3
        )
        select count(*) as notices,
               count(*) filter (where is_open) as open,
               count(*) filter (where is_open and is_soon) as closing
        from notices
        """,
        tenant_id,
        period.first,
        period.last,
        as_of,
        as_of.astimezone(zone).date(),
        as_of + _SOON,
        (as_of.astimezone(zone) + _SOON).date(),
    )
    return Tally(record["notices"], record["open"], record["closing"])


async def aggregates(connection: Connection, tenant_id: UUID, period: Period) -> list[Aggregate]:
    """Counts and award sums by month, type, department and set-aside, one row per currency.

    Of all but months, the values after the 15 most frequent are summed into one (`is_rest`).
    """
    records = await connection.fetch(
        """
        with stated as (
            select grouped.name, grouped.value, award_currency as currency,
                   count(*) as notices, count(award_amount) as awards,
                   coalesce(sum(award_amount), 0) as awarded
            from opportunities
            cross join lateral (values
                ('month', to_char(posted_on, 'YYYY-MM')),
                ('notice_type', notice_type),
                ('department', nullif(department, '')),
                ('set_aside', nullif(set_aside, ''))
            ) as grouped (name, value)
            where tenant_id = $1 and posted_on between $2 and $3
            group by grouped.name, grouped.value, award_currency
        ), sized as (
            select *, sum(notices) over (partition by name, value) as size from stated
        ), placed as (
            select *, name <> 'month' and dense_rank() over (
                partition by name order by size desc, value nulls last
            ) > 15 as is_rest
            from sized
        )
        select name, case when not is_rest then value end as value, is_rest, currency,
               sum(notices)::bigint as notices, sum(awards)::bigint as awards,
               sum(awarded) as awarded
        from placed
        group by 1, 2, 3, 4
        """,
        tenant_id,
        period.first,
        period.last,
    )
    return [
        Aggregate(
            group=record["name"],
            value=record["value"],
            is_rest=record["is_rest"],
            currency=record["currency"],
            notices=record["notices"],
            awards=record["awards"],
            awarded=record["awarded"],
        )
        for record in records
    ]


async def notices(
    connection: Connection, tenant_id: UUID, period: Period
) -> AsyncGenerator[list[Notice], None]:
    """Notices posted in the period, newest first, in pages: memory does not grow with them."""
    cursor = await connection.cursor(
        """
        select notice_id, title, solicitation_number, notice_type, department, sub_tier,
               posted_on, response_due_at, response_due_on, set_aside, naics_codes,
               place_city, place_state, place_country,
               award_amount, award_currency, awardee_name, ui_url
        from opportunities
        where tenant_id = $1 and posted_on between $2 and $3
        order by posted_on desc, notice_id desc
        """,
        tenant_id,
        period.first,
        period.last,
    )
    while records := await cursor.fetch(_PAGE):
        yield [_notice(record) for record in records]


def _notice(record: asyncpg.Record) -> Notice:
    return Notice(
        notice_id=record["notice_id"],
        title=record["title"],
        solicitation_number=record["solicitation_number"],
        notice_type=record["notice_type"],
        department=record["department"],
        sub_tier=record["sub_tier"],
        posted_on=record["posted_on"],
        due_at=record["response_due_at"],
        due_on=record["response_due_on"],
        set_aside=record["set_aside"],
        naics_codes=tuple(record["naics_codes"]),
        place_city=record["place_city"],
        place_state=record["place_state"],
        place_country=record["place_country"],
        award_amount=record["award_amount"],
        award_currency=record["award_currency"],
        awardee_name=record["awardee_name"],
        link=record["ui_url"],
    )


async def tenants(db: "asyncpg.Pool[asyncpg.Record]") -> AsyncIterator[TenantPlace]:
    """All tenants."""
    after = UUID(int=0)
    while True:
        rows = await db.fetch(
            """
            select tenant_id, locale, timezone from tenants
             where tenant_id > $1 order by tenant_id limit $2
            """,
            after,
            _PAGE,
        )
        for row in rows:
            yield TenantPlace(**row)
        if len(rows) < _PAGE:
            return
        after = rows[-1]["tenant_id"]


async def find_report_schedule(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, report_schedule_id: UUID
) -> ReportSchedule | None:
    """With the tenant's zone."""
    row = await db.fetchrow(
        """
        select report_schedules.name, report_type, format, language, period, recipients,
               schedules.tz as timezone
          from report_schedules
          join schedules on schedules.name = 'report:' || report_schedule_id
         where report_schedules.tenant_id = $1 and report_schedule_id = $2
        """,
        tenant_id,
        report_schedule_id,
    )
    if row is None:
        return None
    return ReportSchedule(**{**row, "recipients": tuple(row["recipients"])})
