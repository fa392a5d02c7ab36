"""The statements of notices, and of the failures that are counted for them."""

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

import asyncpg

from worker.notices.notice import Fresh, Kind, Notice

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

# "desknot" and one more: nothing else in the database uses them.
_LOCKS: Final = {"failures": 0x6465736B6E6F7400, "queues": 0x6465736B6E6F7401}
_IDLE: Final = "30s"
_ROWS: Final = 2000  # that a statement deletes, at most
_COLUMNS: Final = tuple(one.name for one in fields(Notice) if one.name != "notice_id")


class Minute(NamedTuple):
    """A row of failures."""

    minute: datetime
    job: str
    error_type: str


async def take_turn(db: Db, what: str, now: datetime, every: timedelta) -> bool:
    """Is it this worker that looks? One does in such a time, however many ask."""
    return bool(
        await db.fetchval(
            """
            insert into notice_looks as known (what, looked_at) values ($1, $2)
                on conflict (what) do update set looked_at = excluded.looked_at
             where known.looked_at <= excluded.looked_at - $3::interval
                or known.looked_at > excluded.looked_at + $3::interval  -- a clock was put back
            returning true
            """,
            what,
            now,
            every,
        )
    )


async def be_the_only_one(connection: Connection, what: str) -> bool:
    """Who looks, for this transaction; False when another worker is at it.

    The server ends it when this worker falls silent, so that it keeps none from looking.
    """
    row = await connection.fetchrow(
        """
        select pg_try_advisory_xact_lock($1) as is_mine,
               set_config('idle_in_transaction_session_timeout', $2, true)
        """,
        _LOCKS[what],
        _IDLE,
    )
    return row is not None and bool(row["is_mine"])


async def lock_unseen(connection: Connection, limit: int) -> list[Minute]:
    """Rows with failures that nobody has looked at, oldest first; their writers wait."""
    rows = await connection.fetch(
        """
        select minute, job, error_type from failure_minutes where failures > seen
         order by minute, job, error_type limit $1 for update
        """,
        limit,
    )
    return [Minute(*row.values()) for row in rows]


async def fresh(connection: Connection, rows: Sequence[Minute], window: timedelta) -> list[Fresh]:
    """What these rows say of each kind of failure, together with older ones. Whole minutes."""
    found = await connection.fetch(
        """
        with fresh as (
            select * from unnest($1::timestamptz[], $2::text[], $3::text[])
                       as fresh (minute, job, error_type)
        ), known as (
            select known.*, fresh.minute is not null as is_fresh
              from failure_minutes as known
              left join fresh using (minute, job, error_type)
             where (known.job, known.error_type) in (select job, error_type from fresh)
               and known.minute > (select min(minute) from fresh) - $4::interval
        ), counted as (
            select *, min(first_at) over part as since, bool_or(is_fresh) over part as has_news,
                   -- What was written to other rows since then is for the next look.
                   sum(case when is_fresh then failures else seen end) over part as total
              from known
            window part as (partition by job, error_type order by minute
                            range between $4::interval - interval '1 minute' preceding
                                      and current row)
        )
        select job, error_type, (array_agg(queue order by minute desc))[1] as queue,
               (max(total) filter (where has_news))::bigint as in_window,
               min(since) filter (where has_news) as since,
               (sum(failures - seen) filter (where is_fresh))::bigint as failures,
               (sum(dead - seen_dead) filter (where is_fresh))::bigint as dead,
               (sum(scheduled - seen_scheduled) filter (where is_fresh))::bigint as scheduled,
               min(first_at) filter (where is_fresh) as first_at,
               max(last_at) filter (where is_fresh) as last_at,
               -- No id has a line break.
               (array_agg(array_to_string(run_ids, E'\n') order by minute desc)
                   filter (where is_fresh and run_ids <> '{}'))[1] as run_ids
          from counted group by job, error_type order by job, error_type
        """,
        *map(list, zip(*rows, strict=True)),
        window,
    )
    return [
        Fresh(
            **{**row, "run_ids": tuple((row["run_ids"] or "").split("\n")) * bool(row["run_ids"])}
        )
        for row in found
    ]


async def mark_seen(connection: Connection, rows: Sequence[Minute]) -> None:
    await connection.execute(
        """
        update failure_minutes as known
           set seen = failures, seen_dead = dead, seen_scheduled = scheduled
          from unnest($1::timestamptz[], $2::text[], $3::text[]) as looked (minute, job, error_type)
         where (known.minute, known.job, known.error_type)
             = (looked.minute, looked.job, looked.error_type)
        """,
        *map(list, zip(*rows, strict=True)),
    )


async def not_over(
    connection: Connection, kinds: Sequence[Kind], subjects: Sequence[str] | None = None
) -> dict[tuple[Kind, str], Notice]:
    """Open and suspected notices of these kinds, which nobody else changes meanwhile."""
    rows = await connection.fetch(
        """
        select * from notices
         where closed_at is null and kind = any($1) and ($2::text[] is null or subject = any($2))
         order by notice_id for update
        """,
        kinds,
        subjects,
    )
    return {(row["kind"], row["subject"]): _notice(row) for row in rows}


async def succeeded_since(connection: Connection, notice: Notice) -> bool:
    """Did a run of its job succeed in a minute after its last failure?"""
    return bool(
        await connection.fetchval(
            """
            select exists (select from run_minutes
                            where job = $1 and outcome = 'succeeded' and minute > $2)
            """,
            notice.job,
            notice.last_at,
        )
    )


async def save(connection: Connection, notice: Notice) -> Notice:
    """Write it down, new or again; returns it with its id."""
    values = [getattr(notice, name) for name in _COLUMNS]
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    names = ", ".join(_COLUMNS)
    if notice.notice_id is None:
        statement = f"insert into notices ({names}) values ({places}) returning *"  # noqa: S608 - own words
        row = await connection.fetchrow(statement, *values)
    else:
        statement = f"""
            update notices set ({names}) = row({places})
             where notice_id = ${len(values) + 1} returning *
            """  # noqa: S608 - own words
        row = await connection.fetchrow(statement, *values, notice.notice_id)
    assert row is not None  # noqa: S101 - it is ours, and locked
    return _notice(row)


async def forget_suspicion(connection: Connection, notice: Notice) -> None:
    await connection.execute("delete from notices where notice_id = $1", notice.notice_id)


async def page(
    db: Db,
    *,
    before: int | None = None,
    limit: int = 50,
    kind: Kind | None = None,
    queue: str | None = None,
    job: str | None = None,
    is_open: bool | None = None,
) -> list[Notice]:
    """Notices to which all that is not None applies, newest first, before that id."""
    rows = await db.fetch(
        """
        select * from notices
         where opened_at is not null and ($1::bigint is null or notice_id < $1)
           and ($2::text is null or kind = $2) and ($3::text is null or queue = $3)
           and ($4::text is null or job = $4)
           and ($5::boolean is null or (closed_at is null) = $5)
         order by notice_id desc limit $6
        """,
        before,
        kind,
        queue,
        job,
        is_open,
        limit,
    )
    return [_notice(row) for row in rows]


async def forget(db: Db, *, closed_before: datetime, counted_before: datetime) -> None:
    """Delete notices that were over by then, and counts of before that were looked at."""
    while (
        _count(
            await db.execute(
                """
            delete from notices where notice_id in
                   (select notice_id from notices where closed_at < $1 limit $2)
            """,
                closed_before,
                _ROWS,
            )
        )
        == _ROWS
    ):
        pass
    while (
        _count(
            await db.execute(
                """
            delete from failure_minutes where (minute, job, error_type) in
                   (select minute, job, error_type from failure_minutes
                     where minute < $1 and failures = seen order by minute limit $2)
            """,
                counted_before,
                _ROWS,
            )
        )
        == _ROWS
    ):
        pass


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])


def _notice(row: asyncpg.Record) -> Notice:
    values: dict[str, Any] = dict(row)
    return Notice(**{**values, "run_ids": tuple(values["run_ids"])})


async def durations(db: Db) -> dict[str, float]:
    """How many seconds an attempt takes in each queue, of those that ended in the last hour."""
    rows = await db.fetch(
        """
        select queue, sum(duration_ms) / sum(attempts) / 1000 as seconds from run_minutes
         where minute >= now() - interval '1 hour'
           and outcome in ('succeeded', 'retrying', 'dead')
         group by queue having sum(attempts) > 0
        """
    )
    return {row["queue"]: float(row["seconds"]) for row in rows}
