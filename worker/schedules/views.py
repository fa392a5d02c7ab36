"""Schedules as people look at them: what is due when, what became of the last ticks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from cronsim import CronSim

from jobs.kit import discover
from worker.schedules.declared import schedule_name
from worker.schedules.plan import ON_DEMAND, UNREADABLE, Plan
from worker.schedules.queries import Db
from worker.schedules.row import Kind

MOST = 200  # on a page
_MOST_NEXT = 50  # ticks ahead
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)
_UNITS = (
    (timedelta(days=1), "day"),
    (timedelta(hours=1), "hour"),
    (timedelta(minutes=1), "minute"),
    (timedelta(seconds=1), "second"),
)
# So long after no worker has said that its code declares it, a schedule counts as gone.
_UNSEEN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class TickView:
    """A tick that fired, or a run that somebody started.

    `state` is None until an attempt of its run is over; `missed` ticks before it never fired.
    """

    tick_id: int
    due_at: datetime
    fired_at: datetime
    run_id: str
    is_by_hand: bool
    fired_by: str | None
    missed: int
    state: str | None
    attempt: int | None
    started_at: datetime | None
    ended_at: datetime | None
    error_type: str | None
    result: Any

    @property
    def duration(self) -> timedelta | None:
        """Of its last attempt."""
        if self.started_at is None or self.ended_at is None:
            return None
        return self.ended_at - self.started_at


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleView:
    """`is_seen`: some worker's code has it. `running` is its run that is not over."""

    name: str
    job: str
    kind: Kind
    tenant_id: UUID | None
    line: str
    tz: str
    catch_up: str
    may_overlap: bool
    anchor_at: datetime
    next_due_at: datetime | None
    paused_at: datetime | None
    paused_by: str | None
    running: str | None
    error: str | None
    fired: int
    succeeded: int
    failed: int
    missed: int
    last_success_at: datetime | None
    is_seen: bool
    is_late: bool
    last: TickView | None

    @property
    def words(self) -> str:
        """Its times in English."""
        return in_words(self.line)

    @property
    def worker(self) -> str | None:
        """The name under which people start it."""
        job = discover().get(self.job)
        return None if job is None else job.worker

    def next_ticks(self, count: int) -> list[datetime]:
        """The next that are due, while it is not paused."""
        if self.next_due_at is None or self.paused_at is not None:
            return []
        plan, number = Plan(line=self.line, tz=self.tz), min(count, _MOST_NEXT) - 1
        try:
            later = list(islice(plan.ticks(self.next_due_at, anchor=self.anchor_at), number))
        except UNREADABLE:
            later = []
        return [self.next_due_at, *later]


def in_words(line: str) -> str:
    """`0 9 * * 1-5` is "At 09:00 on Monday through Friday"; what nobody can read stays as it is."""
    try:
        interval = Plan(line=line, tz="UTC").interval
        if interval is not None:
            return _every(interval)
        return "On demand" if line == ON_DEMAND else str(CronSim(line, _SOME_DAY).explain())
    except UNREADABLE:
        return line


def _every(interval: timedelta) -> str:
    length, unit = next(one for one in _UNITS if not interval % one[0])
    number = interval // length
    return f"Every {unit}" if number == 1 else f"Every {number} {unit}s"


_TICK = ", ".join(TickView.__slots__)
_VIEW = f"""
    select name, job, kind, tenant_id, line, tz, catch_up, may_overlap, anchor_at,
           case when paused_at is null then next_due_at end as next_due_at, paused_at, paused_by,
           case when exists (select from outbox
                              where outbox_id = active_outbox_id and missing_at is null)
                then active_run_id end as running,
           error, fired, succeeded, failed, missed, last_success_at,
           kind <> 'declared' or seen_at > now() - $1::interval as is_seen,
           coalesce(paused_at is null and next_due_at < now() - interval '1 minute', false)
               as is_late,
           (select to_json(last) from (select {_TICK} from schedule_ticks
                                        where schedule = schedules.name
                                        order by tick_id desc limit 1) as last) as last
      from schedules
"""  # noqa: S608 - own columns


async def list_schedules(
    db: Db,
    *,
    after: str = "",
    limit: int = 50,
    kind: Kind | None = None,
    names: Sequence[str] | None = None,
) -> list[ScheduleView]:
    """A page of at most 200 by name; the next is `after` the last one's."""
    rows = await db.fetch(
        f"""
        {_VIEW}
         where name > $2 and ($3::text is null or kind = $3)
           and ($4::text[] is null or name = any($4))
         order by name limit $5
        """,
        _UNSEEN,
        after,
        kind,
        names,
        min(limit, MOST),
    )
    return [_view(row) for row in rows]


async def find_schedule(db: Db, name: str) -> ScheduleView | None:
    found = await list_schedules(db, names=[schedule_name(name)], limit=1)
    return found[0] if found else None


async def history(
    db: Db, name: str, *, before: int | None = None, limit: int = 50
) -> list[TickView]:
    """The last ticks of a schedule, newest first, `before` the one with this id."""
    rows = await db.fetch(
        f"""
        select {_TICK} from schedule_ticks
         where schedule = $1 and ($2::bigint is null or tick_id < $2)
         order by tick_id desc limit $3
        """,  # noqa: S608 - own columns
        name,
        before,
        min(limit, MOST),
    )
    return [_tick(dict(row)) for row in rows]


def _view(row: asyncpg.Record) -> ScheduleView:
    last = None if row["last"] is None else _tick(orjson.loads(row["last"]))
    return ScheduleView(**{**row, "last": last})


def _tick(fields: dict[str, Any]) -> TickView:
    for name, value in fields.items():
        if name.endswith("_at") and isinstance(value, str):
            fields[name] = datetime.fromisoformat(value)
    if isinstance(fields["result"], str):
        fields["result"] = orjson.loads(fields["result"])
    return TickView(**fields)
