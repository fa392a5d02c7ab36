"""How schedules do, in numbers, for the metrics."""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from typing import Final

import asyncpg

from worker.schedules.plan import UNREADABLE, Plan
from worker.schedules.queries import Db
from worker.telemetry.cron_metrics import CronFigures
from worker.telemetry.metrics import Metrics

REPORTS: Final = "_report"
_PATIENCE = 1.5  # seconds: a scrape waits little longer for all that it asks others for
_LOOKED_AT = 10  # ticks, to tell how long one may have to be waited for


class CronRefresh:
    """Has the metrics say how the declared schedules do, and those that people set up, as one.

    `db` is None until there is one.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.db: Db | None = None
        self.names: Sequence[str] = ()

    async def __call__(self) -> None:
        """A failure is counted, and leaves what was told before."""
        if self.db is None:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                figures = await read_figures(self.db, self.names)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._metrics.collect_failed("schedules")
        else:
            self._metrics.crons.set(figures)


async def read_figures(db: Db, names: Sequence[str]) -> list[CronFigures]:
    """Of these declared schedules, and of all others together."""
    async with db.acquire() as connection:
        declared = await connection.fetch(
            """
            select name as cron, line, tz, anchor_at, succeeded, failed, missed, last_success_at,
                   case when paused_at is null then next_due_at end as next_run_at,
                   (select fired_at from schedule_ticks where schedule = schedules.name
                     order by tick_id desc limit 1) as last_run_at
              from schedules where kind = 'declared' and name = any($1) order by name
            """,
            names,
        )
        # The newest tick of them all lies near the end: of each schedule the newest are kept.
        reports = await connection.fetch(
            """
            select count(next_due_at) filter (where paused_at is null) as enabled,
                   coalesce(sum(succeeded), 0)::bigint as succeeded,
                   coalesce(sum(failed), 0)::bigint as failed,
                   coalesce(sum(missed), 0)::bigint as missed,
                   max(last_success_at) as last_success_at,
                   min(next_due_at) filter (where paused_at is null) as next_run_at,
                   (select fired_at from schedule_ticks where schedule like 'report:%'
                     order by tick_id desc limit 1) as last_run_at
              from schedules where kind = 'report'
            """
        )
    return [
        *(_of_declared(row) for row in declared),
        *(CronFigures(cron=REPORTS, interval=None, **row) for row in reports),
    ]


def _of_declared(row: asyncpg.Record) -> CronFigures:
    fields = dict(row)
    line, tz, anchor = (fields.pop(name) for name in ("line", "tz", "anchor_at"))
    next_run_at: datetime | None = fields["next_run_at"]
    interval = None if next_run_at is None else _longest(line, tz, anchor, next_run_at.date())
    return CronFigures(enabled=int(next_run_at is not None), interval=interval, **fields)


@lru_cache(maxsize=256)  # of each schedule once a day
def _longest(line: str, tz: str, anchor: datetime, day: date) -> timedelta | None:
    """A line for workdays has weekends: who waits for a tick waits that long."""
    since = datetime.combine(day, datetime.min.time(), anchor.tzinfo)
    try:
        ticks = list(islice(Plan(line=line, tz=tz).ticks(since, anchor=anchor), _LOOKED_AT))
    except UNREADABLE:
        return None
    return max((after - before for before, after in pairwise(ticks)), default=None)
