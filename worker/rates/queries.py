"""The statements of the counts by the minute."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import orjson

from worker.rates.tally import STEPS, Count, Key

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Row: TypeAlias = asyncpg.Record

_NAME_LIMIT = 200  # characters of a foreign name


async def add(db: Db, counts: Mapping[Key, Count], *, writer: str, serial: int) -> None:
    """Add counts, once: the same writer's serial, or an earlier one, changes nothing.

    A call that broke off may have been done or not, and can be made again.
    """
    rows = orjson.dumps([_row(key, counts[key]) for key in sorted(counts)]).decode()
    async with db.acquire() as connection, connection.transaction():
        is_new = await connection.fetchval(
            """
            insert into run_minute_writers as known (writer, serial) values ($1, $2)
            on conflict (writer) do update set serial = excluded.serial, written_at = now()
             where known.serial < excluded.serial
            returning true
            """,
            writer,
            serial,
        )
        if not is_new:
            return
        # In one order of keys: so two writers never wait for each other in turn.
        await connection.execute(
            """
            insert into run_minutes as known
                   (minute, queue, job, outcome, attempts, wait_ms, longest_wait_ms, waits,
                    duration_ms, longest_duration_ms, durations)
            select minute, queue, job, outcome, attempts, wait_ms, longest_wait_ms, waits,
                   duration_ms, longest_duration_ms, durations
              from json_populate_recordset(null::run_minutes, $1)
            on conflict (minute, queue, job, outcome) do update
               set attempts = known.attempts + excluded.attempts,
                   wait_ms = known.wait_ms + excluded.wait_ms,
                   longest_wait_ms = greatest(known.longest_wait_ms, excluded.longest_wait_ms),
                   waits = array(select a + b from unnest(known.waits, excluded.waits)
                                   with ordinality as each (a, b, step) order by step),
                   duration_ms = known.duration_ms + excluded.duration_ms,
                   longest_duration_ms =
                       greatest(known.longest_duration_ms, excluded.longest_duration_ms),
                   durations = array(select a + b from unnest(known.durations, excluded.durations)
                                       with ordinality as each (a, b, step) order by step)
            """,
            rows,
        )


async def sums(
    db: Db,
    *,
    queue: str | None,
    job: str | None,
    since: datetime,
    until: datetime,
    period: timedelta | None,
) -> list[asyncpg.Record]:
    """A row for each period, queue and outcome; without a period, and `at`, one for all."""
    waits, durations = (
        ", ".join(f"sum({column}[{step}])::bigint" for step in range(1, STEPS + 1))
        for column in ("waits", "durations")
    )
    return await db.fetch(
        f"""
        select date_bin($5, minute, timestamptz 'epoch') as at,
               queue, outcome, sum(attempts)::bigint as attempts,
               sum(wait_ms) as wait_ms, max(longest_wait_ms) as longest_wait_ms,
               sum(duration_ms) as duration_ms, max(longest_duration_ms) as longest_duration_ms,
               array[{waits}] as waits, array[{durations}] as durations
          from run_minutes
         where minute >= $3 and minute < $4
           and ($1::text is null or queue = $1) and ($2::text is null or job = $2)
         group by 1, 2, 3 order by 1, 2, 3
        """,  # noqa: S608 - own words, and parameters
        queue,
        job,
        since,
        until,
        period,
    )


async def delete_before(db: Db, before: datetime) -> int:
    """Forget what is older, and writers that are gone; returns how many rows of counts."""
    await db.execute("delete from run_minute_writers where written_at < $1", before)
    status = await db.execute("delete from run_minutes where minute < $1", before)
    return int(status.rpartition(" ")[2])


def _row(key: Key, count: Count) -> dict[str, Any]:
    return {
        "minute": datetime.fromtimestamp(key.minute * 60, UTC),
        "queue": key.queue,
        "job": key.job[:_NAME_LIMIT].replace("\x00", "\N{SYMBOL FOR NULL}"),
        "outcome": key.outcome,
        "attempts": count.attempts,
        "wait_ms": count.waits.total,
        "longest_wait_ms": count.waits.longest,
        "waits": count.waits.steps,
        "duration_ms": count.durations.total,
        "longest_duration_ms": count.durations.longest,
        "durations": count.durations.steps,
    }
