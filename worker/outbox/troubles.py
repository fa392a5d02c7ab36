"""What people ask about the outbox: what waits, what is in trouble, and have it tried again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from worker.outbox.queries import Db
from worker.outbox.writer import NOTES

# The ledger writes ends within seconds, or when PostgreSQL is back.
MISSING_AFTER = timedelta(hours=1)
_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many rows wait, wait until their run is less than a day off, are in Redis, cannot be
    enqueued (they are tried again), and have lost their run. `oldest` is how long the first of
    those that wait, or cannot, has been there."""

    waiting: int
    later: int
    enqueued: int
    failing: int
    missing: int
    oldest: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A row that somebody should look at; without an error its run is missing."""

    outbox_id: int
    run_id: str
    job: str
    queue: str
    created_at: datetime
    error: str | None


async def count(db: Db) -> Counts:
    row: Any = await db.fetchrow(
        """
        select count(*) filter (where epoch is null and error is null and look_at <= now()),
               count(*) filter (where epoch is null and error is null and look_at > now()),
               count(*) filter (where epoch is not null and missing_at is null),
               count(*) filter (where epoch is null and error is not null),
               count(*) filter (where missing_at < now() - $1::interval),
               now() - min(created_at) filter
                   (where epoch is null and (error is not null or look_at <= now()))
          from outbox
        """,
        MISSING_AFTER,
    )
    waiting, later, enqueued, failing, missing, oldest = row
    return Counts(
        waiting=waiting,
        later=later,
        enqueued=enqueued,
        failing=failing,
        missing=missing,
        oldest=oldest,
    )


async def count_missing(db: Db) -> int:
    """Alone, and cheap."""
    number: int = await db.fetchval(
        "select count(*) from outbox where missing_at < now() - $1::interval", MISSING_AFTER
    )
    return number


async def troubles(db: Db, most: int) -> list[Trouble]:
    """Rows that cannot be enqueued, and those whose run is gone; the oldest first."""
    rows = await db.fetch(
        """
        select outbox_id, run_id, job, queue, created_at, error from outbox
         where (epoch is null and error is not null) or missing_at < now() - $1::interval
         order by outbox_id limit $2
        """,
        MISSING_AFTER,
        most,
    )
    return [Trouble(**row) for row in rows]


async def retry(redis: Redis, db: Db) -> int:
    """Have all rows that are in trouble enqueued again, now; returns how many."""
    ids = await _in_trouble(db)
    for start in range(0, len(ids), _PAGE):
        page = ids[start : start + _PAGE]
        await redis.zrem(NOTES, *page)  # first: what Redis was given before does not count
        await _enqueue_again(db, page)
    return len(ids)


async def _in_trouble(db: Db) -> list[int]:
    """The rows of `troubles`, all of them."""
    rows = await db.fetch(
        """
        select outbox_id from outbox
         where (epoch is null and error is not null) or missing_at < now() - $1::interval
        """,
        MISSING_AFTER,
    )
    return [row["outbox_id"] for row in rows]


async def _enqueue_again(db: Db, ids: Sequence[int]) -> None:
    await db.execute(
        """
        update outbox
           set epoch = null, enqueued_at = null, is_repeat = false, missing_at = null,
               error = null, tries = 0, look_at = now()
         where outbox_id = any($1) and (epoch is null or missing_at is not null)
        """,
        ids,
    )


async def withdraw(db: Db, run_id: str) -> bool:
    """Take a run back that is not in Redis yet; false when there is none."""
    query = "delete from outbox where run_id = $1 and epoch is null returning outbox_id"
    return bool(await db.fetch(query, run_id))
