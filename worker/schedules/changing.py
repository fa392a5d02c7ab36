"""What makes and changes schedules: the code that declares them, and people."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex

from worker.records import TICK
from worker.schedules import queries
from worker.schedules.declared import schedule_name
from worker.schedules.firing import start_run
from worker.schedules.plan import Plan
from worker.schedules.queries import Connection, Db
from worker.schedules.row import NewTick, ScheduleRow

_LOCK_WAIT = timedelta(seconds=2)
# Processes say what they declare every minute.
_SILENCE = timedelta(minutes=3)
_OVERLAP = timedelta(minutes=5)


class UnknownScheduleError(Exception):
    """There is no schedule of this name."""


class GoingOnError(Exception):
    """Its run is not over, and it has one at a time. `run_id` says which."""

    def __init__(self, name: str, run_id: str) -> None:
        super().__init__(f"{name} is running already: {run_id}")
        self.run_id = run_id


@dataclass(frozen=True, slots=True)
class Started:
    """The run that somebody asked for."""

    run_id: str
    due_at: datetime


async def declare(
    db: Db, plans: Mapping[str, Plan], *, since: datetime | None = None, only_new: bool = False
) -> None:
    """Have PostgreSQL know these schedules as they are now; what is due already stays due.

    Said again and again by each process. Of versions that do not agree the one whose process
    started last (`since`; None: now) has its way, until nobody says so for some minutes. With
    `only_new` those that are known stay as they are. Raises asyncpg.LockNotAvailableError when
    somebody holds one of them for seconds.
    """
    async with db.acquire() as connection, connection.transaction():
        await queries.limit_transaction(connection, lock_wait=_LOCK_WAIT)
        await queries.lock_all(connection)
        known = await queries.of_names(connection, list(plans))
        # Behind the locks: what fired while we waited for them is not to come again.
        now = await queries.now(connection)
        at, since = now.replace(microsecond=0), since or now
        fired = await queries.last_fired(connection, list(plans))
        ours = []
        for name, plan in sorted(plans.items()):
            row = known.get(name)
            if row is None:
                await queries.insert(
                    connection,
                    name=name,
                    job=name,
                    kind="declared",
                    plan=plan,
                    anchor_at=at,
                    next_due_at=plan.first_after(at),
                )
            elif only_new or (row.plan != plan and not _has_our_way(row, since, at)):
                continue
            else:
                await _follow(connection, row, plan, at, fired.get(name))
            ours.append(name)
        await queries.said(connection, ours, since)
        await queries.seen(connection, list(plans))


def _has_our_way(row: ScheduleRow, since: datetime, at: datetime) -> bool:
    return since >= row.said_since or at - row.said_at > _SILENCE


async def _follow(
    connection: Connection, row: ScheduleRow, plan: Plan, at: datetime, fired: datetime | None
) -> None:
    """Reckoned anew also for a schedule that did not change: zones do. Never before the last tick
    that fired: PostgreSQL's clock may go back, with a server that takes another's place.

    One that changed starts from its last tick, some minutes back at most: while versions with
    different times are there, a tick of the new ones must not fall between them.
    """
    since = at if row.plan == plan else min(max(row.anchor_at, at - _OVERLAP), at)
    since = since if fired is None else max(since, fired)
    following = plan.next_after(since, anchor=row.anchor_at)
    is_due = row.next_due_at is not None and row.next_due_at <= at
    if is_due and following is not None:
        following = row.next_due_at
    if (row.plan, row.next_due_at) != (plan, following):
        await queries.change(connection, row.name, plan=plan, next_due_at=following)


async def run_now(connection: Connection, name: str, *, by: str) -> Started:
    """Start a run besides those that are due, in the caller's transaction.

    Raises UnknownScheduleError, GoingOnError, and what `enqueue_in` raises.
    """
    row = await _get(connection, name)
    going_on = await active_run(connection, row)
    if going_on is not None and not row.may_overlap:
        raise GoingOnError(name, going_on)
    at = await queries.now(connection)
    run_id = f"{TICK}{row.name}:by-hand:{token_hex(8)}"
    tick = NewTick(due_at=at, run_id=run_id, is_by_hand=True, fired_by=by)
    await start_run(connection, row, tick, fired_at=at)
    return Started(run_id, at)


async def active_run(connection: Connection, row: ScheduleRow) -> str | None:
    """The run of it that is not over, if there is one."""
    if row.active_outbox_id is None:
        return None
    is_going_on = await queries.going_on(connection, [row.active_outbox_id])
    return row.active_run_id if is_going_on else None


async def pause(connection: Connection, name: str, *, by: str) -> None:
    """No tick fires until it is resumed; what is due meanwhile is left out.

    Raises UnknownScheduleError.
    """
    row = await _get(connection, name)
    await queries.pause(connection, row.name, by)


async def resume(connection: Connection, name: str) -> bool:
    """Go on with the next tick from now; false when it was not paused. Raises
    UnknownScheduleError.
    """
    row = await _get(connection, name)
    if row.paused_at is None:
        return False
    at = await queries.now(connection)
    await queries.resume(connection, row.name, row.plan.next_after(at, anchor=row.anchor_at))
    return True


async def _get(connection: Connection, name: str) -> ScheduleRow:
    row = await queries.get(connection, schedule_name(name))
    if row is None:
        raise UnknownScheduleError(f"there is no schedule {name!r}")
    return row
