"""What is due becomes a run: once, whoever looks, in one transaction with its tick."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg

from worker.outbox import enqueue_in
from worker.records import TICK
from worker.schedules import queries
from worker.schedules.queries import Connection, Db
from worker.schedules.row import NewTick, ScheduleRow
from worker.telemetry.logs import get_logger

MOST = 20  # declared schedules that one transaction fires, and as many of those of people
_TRY_AGAIN = timedelta(minutes=1)
_LOCK_WAIT = timedelta(seconds=2)
_ITS_OWN = (  # errors of PostgreSQL and the driver that are one schedule's, and come again
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    ValueError,
)
_log = get_logger(__name__)


async def fire_due(db: Db, names: Sequence[str], jobs: Sequence[str]) -> int:
    """Fire what is due of these schedules, and of those that people set up for these jobs.

    Returns how many were dealt with; when it is MOST or more, there may be others. Raises asyncpg's
    errors, with nothing fired.
    """
    async with db.acquire() as connection, connection.transaction():
        await queries.limit_transaction(connection, lock_wait=_LOCK_WAIT)
        at = await queries.now(connection)
        # Each by itself: thousands of reports for nine o'clock do not make the declared ones late.
        due = [
            *await queries.lock_due(connection, names, [], at, MOST),
            *await queries.lock_due(connection, [], jobs, at, MOST),
        ]
        rows = [row.active_outbox_id for row in due if row.active_outbox_id is not None]
        going_on = await queries.going_on(connection, rows)
        free = [row for row in due if row.may_overlap or row.active_outbox_id not in going_on]
        for row in free:
            await _fire(connection, row, at)
    return len(free)


async def start_run(
    connection: Connection, row: ScheduleRow, tick: NewTick, *, fired_at: datetime
) -> bool:
    """Enqueue the run of a tick, with the transaction; false when it was fired before.

    Raises what `enqueue_in` raises.
    """
    if not await queries.add_tick(connection, row.name, tick, fired_at):
        return False
    payload = {**row.payload, "due_at": tick.due_at.isoformat()}
    await enqueue_in(connection, row.job, payload, run_id=tick.run_id)
    await queries.fired(connection, row.name, tick.run_id)
    return True


def run_id_of(name: str, due_at: datetime) -> str:
    """`tick:documents.generate_weekly_reports:2026-11-23T13:00:00Z`."""
    instant = due_at.astimezone(UTC).replace(tzinfo=None)
    return f"{TICK}{name}:{instant.isoformat()}Z"


async def _fire(connection: Connection, row: ScheduleRow, at: datetime) -> None:
    """One that cannot fire, whatever somebody wrote into its row, is tried again in a minute, and
    holds up no other.
    """
    try:
        async with connection.transaction():
            await _fire_or_raise(connection, row, at)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        if not isinstance(error, _ITS_OWN):
            raise
        await _hold_back(connection, row, error, at)
    except Exception as error:  # noqa: BLE001 - a broken line, zone or payload has errors of all kinds
        await _hold_back(connection, row, error, at)


async def _hold_back(
    connection: Connection, row: ScheduleRow, error: Exception, at: datetime
) -> None:
    _log.error("Schedule cannot fire", schedule=row.name, error_type=type(error).__name__)
    why = str(error) or type(error).__name__
    await queries.hold_back(connection, row.name, why[:500], at + _TRY_AGAIN)


async def _fire_or_raise(connection: Connection, row: ScheduleRow, at: datetime) -> None:
    if row.next_due_at is None:  # the statement that locked it asks for more
        return
    due = row.plan.due(row.next_due_at, at, anchor=row.anchor_at)
    if due.tick is not None:
        run_id = run_id_of(row.name, due.tick)
        tick = NewTick(due_at=due.tick, run_id=run_id, missed=due.missed)
        is_new = await start_run(connection, row, tick, fired_at=at)
        late = (at - due.tick).total_seconds()
        told = {"schedule": row.name, "run_id": run_id, "late_s": round(late, 1)}
        if is_new:
            _log.info("Schedule fired", **told, missed=due.missed)
    elif due.missed:
        _log.warning("Ticks missed", schedule=row.name, missed=due.missed)
    await queries.advance(connection, row.name, due.following, due.missed)
