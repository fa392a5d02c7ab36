"""Schedules learn how their runs ended, with the record of each attempt."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import orjson

from worker.ending import State
from worker.ledger.sieve import Entry
from worker.records import AttemptRecord

_FINAL = [state.value for state in State if state.is_final]
_OPEN = "(tick.state is null or tick.state in ('retrying', 'snoozed', 'released'))"
# Behind `told`, which has the ticks that learned something.
_COUNTED = """
        counted as (
            select schedule,
                   count(*) filter (where state = 'succeeded') as succeeded,
                   count(*) filter (where state in ('dead', 'expired')) as failed,
                   max(ended_at) filter (where state = 'succeeded') as last_success_at
              from told group by schedule order by schedule
        )
        update schedules
           set succeeded = schedules.succeeded + counted.succeeded,
               failed = schedules.failed + counted.failed,
               last_success_at = greatest(schedules.last_success_at, counted.last_success_at)
          from counted where schedules.name = counted.schedule
"""


async def write_ticks(db: "asyncpg.Pool[asyncpg.Record]", entries: Sequence[Entry]) -> None:
    """Let each tick follow its run's newest attempt, and its schedule count how it ended.

    What is written a second time counts no more. Raises what UNFIT names.
    """
    newest: dict[str, dict[str, Any]] = {}
    for _, raw in entries:
        record = AttemptRecord.from_bytes(raw)
        known = newest.get(record.run_id)
        # By their order, and not by their times: workers' clocks differ.
        if known is None or not known["state"].is_final:
            newest[record.run_id] = {
                "run_id": record.run_id.replace("\x00", ""),
                "state": record.state,
                "attempt": record.attempt,
                "started_at": record.started_at,
                "ended_at": record.ended_at,
                "result": _result(record.result),
                "error_type": (record.error_type or "").replace("\x00", "") or None,
            }
    await db.execute(
        f"""
        with told as (
            update schedule_ticks as tick
               set (state, attempt, started_at, ended_at, error_type, result)
                 = (new.state, new.attempt, new.started_at, new.ended_at, new.error_type,
                    new.result)
              from json_populate_recordset(null::schedule_ticks, $1) as new
             where tick.run_id = new.run_id and not coalesce(tick.state = any($2), false)
               and (new.state = any($2) or tick.ended_at is null or tick.ended_at < new.ended_at)
            returning tick.schedule, tick.state, tick.ended_at
        ), {_COUNTED}
        """,  # noqa: S608 - own words
        orjson.dumps(list(newest.values())).decode(),
        _FINAL,
    )


def _result(text: str | None) -> Any:
    """Nothing where PostgreSQL could not keep it. Raises ValueError."""
    return None if text is None or "\\u0000" in text else orjson.loads(text)


async def heal_ticks(db: "asyncpg.Pool[asyncpg.Record]") -> None:
    """Ticks whose runs ended in the hands of an older worker, which told history alone, follow
    that, two minutes later: newer ones tell the tick too, and more. Of those that nobody knows
    anything of an hour later it is said.
    """
    await db.execute(
        f"""
        with told as (
            update schedule_ticks as tick
               set (state, attempt, started_at, ended_at)
                 = (run.state, run.attempt, run.started_at, run.finished_at)
              from job_runs as run
             where {_OPEN} and tick.run_id = run.run_id
               and run.finished_at < now() - interval '2 minutes'
            returning tick.schedule, tick.state, tick.ended_at
        ), {_COUNTED}
        """  # noqa: S608 - own words
    )
    await db.execute(
        f"""
        update schedule_ticks as tick set state = 'unknown'
         where {_OPEN} and tick.fired_at < now() - interval '1 hour'
           and not exists (select from outbox where outbox.run_id = tick.run_id)
           and not exists (select from job_runs where job_runs.run_id = tick.run_id)
        """  # noqa: S608 - own words
    )
