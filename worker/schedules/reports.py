"""Report schedules: rows of people's own, which the scheduler serves as any other."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

import asyncpg
from cronsim import CronSim

from worker.schedules import queries
from worker.schedules.plan import Plan
from worker.schedules.queries import Connection, Db

JOB: Final = "documents.run_report_schedule"
MOST: Final = 200  # of one tenant
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)


class TooManyError(Exception):
    """A tenant has as many as it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be reported, to whom, and when."""

    name: str
    report_type: str
    format: str
    language: str
    period: str
    recipients: Sequence[str]
    line: str
    tz: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSchedule(Wanted):
    report_schedule_id: UUID
    tenant_id: UUID
    is_paused: bool
    next_due_at: datetime | None
    created_at: datetime
    updated_at: datetime


_SELECT = """
    select report_schedule_id, report_schedules.tenant_id, report_schedules.name, report_type,
           format, language, period, recipients, line, tz, paused_at is not null as is_paused,
           case when paused_at is null then next_due_at end as next_due_at,
           report_schedules.created_at, updated_at
      from report_schedules
      join schedules on schedules.name = 'report:' || report_schedule_id
"""


def check_pace(line: str) -> None:
    """Raises ValueError when it is due more than once in an hour, as it is written."""
    if len(CronSim(line, _SOME_DAY).minutes) > 1:
        raise ValueError("a report comes once an hour at most")


def name_of(report_schedule_id: UUID) -> str:
    """Of its schedule."""
    return f"report:{report_schedule_id}"


async def create(connection: Connection, tenant_id: UUID, wanted: Wanted) -> ReportSchedule | None:
    """In the caller's transaction; None when there is no such tenant. Raises TooManyError,
    ValueError.
    """
    await connection.execute(
        "select pg_advisory_xact_lock(hashtext('report schedules'), hashtext($1))", str(tenant_id)
    )
    number, is_tenant = await connection.fetchrow(  # type: ignore[misc]  # always one row
        "select (select count(*) from report_schedules where tenant_id = $1),"
        " exists (select from tenants where tenant_id = $1)",
        tenant_id,
    )
    if not is_tenant:
        return None
    if number >= MOST:
        raise TooManyError(f"a tenant has {MOST} report schedules at most: delete one first")
    at = (await queries.now(connection)).replace(microsecond=0)
    check_pace(wanted.line)
    plan = Plan(line=wanted.line, tz=wanted.tz)
    made = uuid4()
    await connection.execute(
        """
        insert into report_schedules (report_schedule_id, tenant_id, name, report_type, format,
                                      language, period, recipients)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        made,
        tenant_id,
        *_own_values(wanted),
    )
    await queries.insert(
        connection,
        name=name_of(made),
        job=JOB,
        kind="report",
        plan=plan,
        anchor_at=at,
        next_due_at=plan.next_after(at, anchor=at),
        tenant_id=tenant_id,
        payload={"tenant_id": str(tenant_id), "report_schedule_id": str(made)},
    )
    return await find(connection, made, tenant_id)


async def lock(connection: Connection, report_schedule_id: UUID) -> None:
    """Until the transaction ends."""
    await queries.get(connection, name_of(report_schedule_id))


async def find(
    db: "Connection | Db", report_schedule_id: UUID, tenant_id: UUID | None
) -> ReportSchedule | None:
    """Of this tenant, or of any."""
    row = await db.fetchrow(
        f"""
        {_SELECT}
         where report_schedule_id = $1 and ($2::uuid is null or report_schedules.tenant_id = $2)
        """,
        report_schedule_id,
        tenant_id,
    )
    return None if row is None else _of(row)


async def page(
    db: Db, tenant_id: UUID | None, *, after: UUID | None, limit: int
) -> list[ReportSchedule]:
    """By id."""
    rows = await db.fetch(
        f"""
        {_SELECT}
         where ($1::uuid is null or report_schedules.tenant_id = $1)
           and ($2::uuid is null or report_schedule_id > $2)
         order by report_schedule_id limit $3
        """,
        tenant_id,
        after,
        limit,
    )
    return [_of(row) for row in rows]


async def change(
    connection: Connection, report_schedule_id: UUID, tenant_id: UUID | None, wanted: Wanted
) -> ReportSchedule | None:
    """In the caller's transaction; None when there is none. Raises ValueError."""
    known = await find(connection, report_schedule_id, tenant_id)
    schedule = await queries.get(connection, name_of(report_schedule_id))
    if known is None or schedule is None:
        return None
    at = (await queries.now(connection)).replace(microsecond=0)
    check_pace(wanted.line)
    plan = Plan(line=wanted.line, tz=wanted.tz)
    await connection.execute(
        """
        update report_schedules
           set (name, report_type, format, language, period, recipients, updated_at)
             = ($2, $3, $4, $5, $6, $7, now())
         where report_schedule_id = $1
        """,
        report_schedule_id,
        *_own_values(wanted),
    )
    if plan != schedule.plan:
        following = plan.next_after(at, anchor=schedule.anchor_at)
        await queries.change(connection, schedule.name, plan=plan, next_due_at=following)
    return await find(connection, report_schedule_id, tenant_id)


async def delete(connection: Connection, report_schedule_id: UUID, tenant_id: UUID | None) -> bool:
    """False when there was none."""
    gone = await connection.fetchval(
        """
        delete from report_schedules
         where report_schedule_id = $1 and ($2::uuid is null or tenant_id = $2) returning 1
        """,
        report_schedule_id,
        tenant_id,
    )
    if gone is not None:
        await connection.execute(
            "delete from schedules where name = $1", name_of(report_schedule_id)
        )
    return gone is not None


def _own_values(wanted: Wanted) -> tuple[object, ...]:
    return (
        wanted.name,
        wanted.report_type,
        wanted.format,
        wanted.language,
        wanted.period,
        list(wanted.recipients),
    )


def _of(row: asyncpg.Record) -> ReportSchedule:
    return ReportSchedule(**row)
