"""The statements of schedules and their ticks."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import orjson

from worker.schedules.plan import Plan
from worker.schedules.row import Kind, NewTick, ScheduleRow

Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)
Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

KEPT_TICKS = 100  # of each schedule
_LONGEST_IDLE = timedelta(seconds=5)
_COLUMNS = """
    name, job, kind, tenant_id, payload, line, tz, catch_up, catch_up_window, may_overlap,
    anchor_at, next_due_at, paused_at, paused_by, active_run_id, active_outbox_id, error, fired,
    succeeded, failed, missed, last_success_at, seen_at, said_at, said_since
"""


async def now(connection: Connection) -> datetime:
    """PostgreSQL's clock: one for all workers."""
    instant: datetime = await connection.fetchval("select clock_timestamp()")
    return instant


async def limit_transaction(connection: Connection, *, lock_wait: timedelta) -> None:
    """A worker that is frozen in this transaction loses it, and its locks, in some seconds; and
    this one waits no longer than that for what others lock.
    """
    await connection.execute(
        """
        select set_config('idle_in_transaction_session_timeout', $1, true),
               set_config('lock_timeout', $2, true)
        """,
        str(int(_LONGEST_IDLE / timedelta(milliseconds=1))),
        str(int(lock_wait / timedelta(milliseconds=1))),
    )


async def lock_all(connection: Connection) -> None:
    """Whoever changes which schedules there are comes one after the other."""
    await connection.execute("select pg_advisory_xact_lock(hashtext('deskhand schedules'))")


async def of_names(connection: Connection, names: Sequence[str]) -> dict[str, ScheduleRow]:
    rows = await connection.fetch(
        f"select {_COLUMNS} from schedules where name = any($1) order by name for update",  # noqa: S608 - own columns
        names,
    )
    return {row["name"]: schedule_of(row) for row in rows}


async def last_fired(connection: Connection, names: Sequence[str]) -> dict[str, datetime]:
    """The newest tick of each schedule that has fired one."""
    rows = await connection.fetch(
        """
        select schedule, max(due_at) as due_at from schedule_ticks
         where schedule = any($1) and not is_by_hand group by schedule
        """,
        names,
    )
    return {row["schedule"]: row["due_at"] for row in rows}


async def get(connection: Connection, name: str) -> ScheduleRow | None:
    """Locked until the transaction ends."""
    return (await of_names(connection, [name])).get(name)


async def insert(
    connection: Connection,
    *,
    name: str,
    job: str,
    kind: Kind,
    plan: Plan,
    anchor_at: datetime,
    next_due_at: datetime | None,
    tenant_id: UUID | None = None,
    payload: dict[str, Any] | None = None,
) -> None:
    await connection.execute(
        """
        insert into schedules (name, job, kind, tenant_id, payload, line, tz, catch_up,
                               catch_up_window, may_overlap, anchor_at, next_due_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        """,
        name,
        job,
        kind,
        tenant_id,
        orjson.dumps(payload or {}).decode(),
        plan.line,
        plan.tz,
        plan.catch_up,
        plan.window,
        plan.overlaps,
        anchor_at,
        next_due_at,
    )


async def change(
    connection: Connection, name: str, *, plan: Plan, next_due_at: datetime | None
) -> None:
    await connection.execute(
        """
        update schedules
           set (line, tz, catch_up, catch_up_window, may_overlap, next_due_at)
             = ($2, $3, $4, $5, $6, $7)
         where name = $1
        """,
        name,
        plan.line,
        plan.tz,
        plan.catch_up,
        plan.window,
        plan.overlaps,
        next_due_at,
    )


async def seen(connection: Connection, names: Sequence[str]) -> None:
    """Their code declares them, with these or other times."""
    await connection.execute("update schedules set seen_at = now() where name = any($1)", names)


async def said(connection: Connection, names: Sequence[str], since: datetime) -> None:
    """A process that runs since then has the times that they have."""
    await connection.execute(
        """
        update schedules set said_at = now(), said_since = greatest(said_since, $2)
         where name = any($1)
        """,
        names,
        since,
    )


async def forget_unseen(db: Db, age: timedelta) -> int:
    """Those that no code has declared for so long; returns how many went."""
    gone = await db.fetch(
        """
        delete from schedules where kind = 'declared' and seen_at < now() - $1::interval
        returning name
        """,
        age,
    )
    return len(gone)


async def lock_due(
    connection: Connection, names: Sequence[str], jobs: Sequence[str], at: datetime, most: int
) -> list[ScheduleRow]:
    """Schedules of these names, or that people set up for these jobs, which are due and whose run
    before is over, as far as this statement can see; without those that somebody else has in hand.
    """
    rows = await connection.fetch(
        f"""
        select {_COLUMNS} from schedules
         where next_due_at <= $3 and paused_at is null and (retry_at is null or retry_at <= $3)
           and (name = any($1) or (kind = 'report' and job = any($2)))
           and (may_overlap or active_outbox_id is null or not exists (
                   select from outbox where outbox_id = active_outbox_id and missing_at is null))
         order by next_due_at limit $4 for update of schedules skip locked
        """,  # noqa: S608 - own columns
        names,
        jobs,
        at,
        most,
    )
    return [schedule_of(row) for row in rows]


async def going_on(connection: Connection, outbox_ids: Sequence[int]) -> set[int]:
    """Which of these rows' runs are not over. Asked behind the lock, it sees what others did."""
    rows = await connection.fetch(
        "select outbox_id from outbox where outbox_id = any($1) and missing_at is null", outbox_ids
    )
    return {row["outbox_id"] for row in rows}


async def add_tick(connection: Connection, name: str, tick: NewTick, fired_at: datetime) -> bool:
    """False when it was fired before."""
    added = await connection.fetchval(
        """
        insert into schedule_ticks
               (schedule, due_at, fired_at, run_id, is_by_hand, fired_by, missed)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict do nothing returning tick_id
        """,
        name,
        tick.due_at,
        fired_at,
        tick.run_id,
        tick.is_by_hand,
        tick.fired_by,
        tick.missed,
    )
    return added is not None


async def fired(connection: Connection, name: str, run_id: str) -> None:
    """Its newest run is this one, whose row this session inserted into the outbox last; the oldest
    of its ticks go.
    """
    await connection.execute(
        """
        with gone as (
            delete from schedule_ticks
             where schedule = $1
               and tick_id <= (select tick_id from schedule_ticks where schedule = $1
                                order by tick_id desc offset $3 limit 1)
        )
        update schedules
           set active_run_id = $2, fired = fired + 1,
               active_outbox_id = currval(pg_get_serial_sequence('outbox', 'outbox_id'))
         where name = $1
        """,
        name,
        run_id,
        KEPT_TICKS,
    )


async def advance(
    connection: Connection, name: str, next_due_at: datetime | None, missed: int
) -> None:
    await connection.execute(
        """
        update schedules
           set next_due_at = $2, missed = missed + $3, error = null, retry_at = null
         where name = $1
        """,
        name,
        next_due_at,
        missed,
    )


async def hold_back(connection: Connection, name: str, error: str, until: datetime) -> None:
    """It could not fire: somebody tries again then."""
    await connection.execute(
        "update schedules set error = $2, retry_at = $3 where name = $1", name, error, until
    )


async def next_due(db: Db, names: Sequence[str], jobs: Sequence[str]) -> tuple[bool, float | None]:
    """Is something due? And in how many seconds is the next one that is not yet; None: never."""
    row = await db.fetchrow(
        """
        select coalesce(bool_or(due.at <= clock.at), false) as is_due,
               extract(epoch from min(due.at - clock.at) filter (where due.at > clock.at))::float8
                   as seconds
          from (select clock_timestamp() as at) as clock,
               (select greatest(next_due_at, retry_at) as at from schedules
                 where paused_at is null and next_due_at is not null
                   and (name = any($1) or (kind = 'report' and job = any($2)))) as due
        """,
        names,
        jobs,
    )
    return (False, None) if row is None else (row["is_due"], row["seconds"])


async def pause(connection: Connection, name: str, by: str) -> None:
    await connection.execute(
        """
        update schedules set paused_at = coalesce(paused_at, now()), paused_by = $2
         where name = $1
        """,
        name,
        by,
    )


async def resume(connection: Connection, name: str, next_due_at: datetime | None) -> None:
    await connection.execute(
        """
        update schedules set paused_at = null, paused_by = null, next_due_at = $2 where name = $1
        """,
        name,
        next_due_at,
    )


def schedule_of(row: asyncpg.Record) -> ScheduleRow:
    return ScheduleRow(**{**row, "payload": orjson.loads(row["payload"])})
