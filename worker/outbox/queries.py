"""The statements of the outbox.

A row waits (no epoch), is in Redis (the epoch names its data), or is missing: Redis does not have
its run any more, and nobody told of its end.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, TypeAlias

import asyncpg

Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)
Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

CHANNEL = "deskhand_outbox"
# What comes due later than that waits here, and not in Redis' memory.
NEAR = timedelta(days=1)
# How long a row is left alone whose run is in Redis.
LOOK_EVERY = timedelta(minutes=10)
_REPEAT_EVERY = timedelta(seconds=30)  # the same, where the run may not tell of its end
_HELD = timedelta(seconds=3)
_LONGEST_WAIT = timedelta(hours=1)  # between two tries of a row that cannot be enqueued
_ERROR_LIMIT = 500  # characters


class NewRow(NamedTuple):
    """A run that is to be; `message` are ARQ's bytes."""

    run_id: str
    message: bytes


@dataclass(frozen=True, slots=True)
class Row:
    """A row that waits, and is locked by whoever has it."""

    outbox_id: int
    run_id: str
    job: str
    queue: str
    message: bytes
    due_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """A row whose run is, or was, in Redis; `is_over` says that history knows its end."""

    outbox_id: int
    run_id: str
    is_repeat: bool
    is_over: bool


# In the caller's transaction


async def insert(
    connection: Connection,
    rows: Sequence[NewRow],
    *,
    job: str,
    queue: str,
    due_at: datetime | None,
    delay: timedelta | None,
) -> None:
    """Insert rows of one job, and tell the relays when the transaction commits."""
    await connection.execute(
        f"""
        with added as (
            insert into outbox (run_id, job, queue, message, due_at, look_at)
            select given.run_id, $1, $2, given.message, due.at,
                   greatest(clock_timestamp(), due.at - $7::interval)
              from unnest($3::text[], $4::bytea[]) with ordinality as given (run_id, message, place)
             cross join (select coalesce($5, clock_timestamp() + $6::interval) as at) as due
             order by given.place
        )
        select pg_notify('{CHANNEL}', '')
        """,  # noqa: S608 - own words
        job,
        queue,
        [row.run_id for row in rows],
        [row.message for row in rows],
        due_at,
        delay,
        NEAR,
    )


# For the relay


async def notify(connection: Connection, payload: str) -> None:
    await connection.execute("select pg_notify($1, $2)", CHANNEL, payload)


async def end_when_idle(connection: Connection, wait: timedelta) -> None:
    """Have the server end this transaction, and its locks, when nothing comes for so long."""
    await connection.execute(
        "select set_config('idle_in_transaction_session_timeout', $1, true)",
        str(int(wait / timedelta(milliseconds=1))),
    )


async def lock_waiting(
    connection: Connection, *, most: int, most_bytes: int, back: timedelta
) -> list[Row]:
    """Lock rows to enqueue, oldest first; none that waits for longer than `back`.

    Behind the head of this index lie the rows that are gone and not yet vacuumed: who comes often
    does not look at all of them each time.
    """
    rows = await connection.fetch(
        """
        with locked as materialized (
            select outbox_id, run_id, job, queue, message, due_at, created_at, look_at
              from outbox
             where epoch is null
               and look_at between statement_timestamp() - $3::interval and statement_timestamp()
             order by look_at, outbox_id limit $1
               for update skip locked
        ), page as (
            select *, sum(octet_length(message)) over (order by look_at, outbox_id) as bytes
              from locked
        )
        select outbox_id, run_id, job, queue, message, due_at, created_at from page
         where bytes - octet_length(message) < $2 order by look_at, outbox_id
        """,
        most,
        most_bytes,
        back,
    )
    return [Row(*row) for row in rows]


async def note_enqueued(
    connection: Connection, ids: Sequence[int], *, repeats: Sequence[int], epoch: str
) -> None:
    """Redis has these runs; `repeats` are rows whose run was there before."""
    await connection.execute(
        """
        update outbox
           set epoch = $3, enqueued_at = now(), error = null, is_repeat = outbox_id = any($2),
               look_at = case when outbox_id = any($2) then now() + $5
                              else greatest(now(), due_at) + $4 end
         where outbox_id = any($1)
        """,
        [*ids, *repeats],
        repeats,
        epoch,
        LOOK_EVERY,
        _REPEAT_EVERY,
    )


async def put_off(connection: Connection, ids: Sequence[int]) -> None:
    """Somebody still runs a run whose payload Redis has lost: see later what became of it."""
    await connection.execute(
        "update outbox set look_at = now() + $2 where outbox_id = any($1)", ids, _HELD
    )


async def set_aside(connection: Connection, ids: Sequence[int], *, error: str) -> None:
    """These cannot be enqueued; they are tried again, less and less often."""
    await connection.execute(
        """
        update outbox
           set error = $2, tries = tries + 1,
               look_at = now() + least(interval '1 second' * 2 ^ least(tries, 20), $3)
         where outbox_id = any($1)
        """,
        ids,
        error[:_ERROR_LIMIT],
        _LONGEST_WAIT,
    )


async def delete(connection: "Connection | Db", ids: Collection[int]) -> None:
    """Their runs are over. In one order, so that two who delete the same never deadlock."""
    await connection.execute(
        """
        delete from outbox where outbox_id in
            (select outbox_id from outbox where outbox_id = any($1) order by 1 for update)
        """,
        ids,
    )


async def has_stale(connection: Connection, epoch: str) -> bool:
    """Is there a run that was put into data which Redis has lost?"""
    return bool(
        await connection.fetchval(
            """
            select exists(select from outbox where epoch < $1 and missing_at is null)
                or exists(select from outbox where epoch > $1 and missing_at is null)
            """,
            epoch,
        )
    )


async def hold(
    connection: Connection, ids: Sequence[int], *, epoch: str, length: timedelta
) -> None:
    """Leave these rows, whose runs Redis has lost, to whoever has the runs in hand."""
    await connection.execute(
        """
        update outbox set held_until = now() + $3::interval
         where outbox_id = any($1) and (epoch < $2 or epoch > $2)
           and coalesce(held_until, now()) < now() + $3::interval / 2
        """,
        ids,
        epoch,
        length,
    )


async def take_back(connection: Connection, epoch: str, most: int) -> int:
    """Have rows wait again whose run Redis has lost, and that nobody holds; returns how many."""
    status = await connection.execute(
        """
        update outbox
           set epoch = null, enqueued_at = null, is_repeat = false, held_until = null,
               look_at = greatest(now(), due_at - $3::interval)
         where outbox_id in (
            select outbox_id from outbox
             where (epoch < $1 or epoch > $1) and missing_at is null
               and (held_until is null or held_until < now())
             order by outbox_id limit $2 for update skip locked)
        """,
        epoch,
        most,
        NEAR,
    )
    return int(status.rpartition(" ")[2])


# For the sweep


async def waiting_of(db: Db, ids: Sequence[int]) -> set[int]:
    """Which of these rows still wait to be enqueued."""
    rows = await db.fetch(
        "select outbox_id from outbox where outbox_id = any($1) and epoch is null", ids
    )
    return {row["outbox_id"] for row in rows}


async def to_look_at(db: Db, epoch: str, most: int) -> list[Seen]:
    """Rows whose run Redis has had for long, those first that nobody looked at for longest."""
    rows = await db.fetch(
        """
        select outbox_id, run_id, is_repeat,
               exists(select from job_runs
                       where job_runs.run_id = outbox.run_id
                         and state in ('succeeded', 'cancelled', 'expired', 'dead')
                         and job_runs.started_at >= outbox.enqueued_at)
          from outbox
         where epoch = $1 and missing_at is null and look_at <= statement_timestamp()
         order by look_at limit $2
        """,
        epoch,
        most,
    )
    return [Seen(*row) for row in rows]


async def looked_at(
    db: Db, epoch: str, *, there: Sequence[int], over: Sequence[int], gone: Sequence[int]
) -> None:
    """What was seen of rows: their run is there, is over, or is gone without an end.

    Of rows that were enqueued anew meanwhile nothing is said.
    """
    await db.execute(
        """
        with ended as (
            delete from outbox where epoch = $1 and outbox_id in
                (select outbox_id from outbox where outbox_id = any($3) order by 1 for update)
        )
        update outbox
           set look_at = now() + case when is_repeat then $5::interval else $6 end,
               missing_at = case when outbox_id = any($4) then now() end
         where epoch = $1 and outbox_id in (select outbox_id from outbox
            where outbox_id = any($2) or outbox_id = any($4) order by 1 for update)
        """,
        epoch,
        there,
        over,
        gone,
        _REPEAT_EVERY,
        LOOK_EVERY,
    )
