"""Dead letters for people: list, show, replay, discard."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from jobs.kit import discover
from worker.enqueuer import Pool


class DeadLetterError(Exception):
    """The dead letter is not there, or not in a state for this; the sentence says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """`payload` is None when the run's bytes could not be read."""

    dead_letter_id: int
    run_id: str
    job: str
    queue: str
    tenant_id: UUID | None
    payload: Mapping[str, Any] | None
    correlation_id: str
    reason: str
    error_type: str | None
    error_message: str | None
    attempt: int
    enqueued_at: datetime
    died_at: datetime
    status: str
    replayed_as: str | None
    discarded_because: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    attempt: int
    outcome: str
    started_at: datetime
    ended_at: datetime
    worker: str
    error_type: str | None
    error_message: str | None
    traceback: str | None


_COLUMNS = ", ".join([*DeadLetter.__slots__, "raw"])


async def list_dead_letters(
    db: "asyncpg.Pool[asyncpg.Record]",
    *,
    status: str = "dead",
    queue: str | None = None,
    job: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[DeadLetter]:
    """A page, newest first; the next one is `before` the last id of this one."""
    rows = await db.fetch(
        f"""
        select {_COLUMNS} from dead_letters
         where status = $1
           and ($2::text is null or queue = $2)
           and ($3::text is null or job = $3)
           and ($4::bigint is null or dead_letter_id < $4)
         order by dead_letter_id desc
         limit $5
        """,  # noqa: S608 - the columns are this module's own
        status,
        queue,
        job,
        before,
        limit,
    )
    return [_dead_letter(row) for row in rows]


async def get_dead_letter(db: "asyncpg.Pool[asyncpg.Record]", dead_letter_id: int) -> DeadLetter:
    """Raises DeadLetterError when there is none."""
    row = await db.fetchrow(
        f"select {_COLUMNS} from dead_letters where dead_letter_id = $1",  # noqa: S608 - own columns
        dead_letter_id,
    )
    if row is None:
        raise DeadLetterError(f"there is no dead letter {dead_letter_id}")
    return _dead_letter(row)


async def count_waiting(db: "asyncpg.Pool[asyncpg.Record]") -> dict[str, int]:
    """How many wait for somebody, by queue; queues without any are left out."""
    rows = await db.fetch(
        "select queue, count(*) as waiting from dead_letters where status = 'dead' group by queue"
    )
    return {row["queue"]: row["waiting"] for row in rows}


async def attempts_of(db: "asyncpg.Pool[asyncpg.Record]", run_id: str) -> list[Attempt]:
    """What happened to a run, oldest first."""
    rows = await db.fetch(
        """
        select attempt, outcome, started_at, ended_at, worker, error_type, error_message, traceback
          from job_attempts where run_id = $1 order by started_at, event_id limit 1000
        """,
        run_id,
    )
    return [Attempt(**row) for row in rows]


async def replay(db: "asyncpg.Pool[asyncpg.Record]", pool: Pool, dead_letter_id: int) -> str:
    """Run it again as a new run with the same payload and correlation id; returns its id.

    Raises DeadLetterError when it was handled already or cannot run, PayloadError when its payload
    still does not fit.
    """
    letter = await get_dead_letter(db, dead_letter_id)
    job = discover().get(letter.job)
    if letter.payload is None or job is None:
        what = "its payload could not be read" if letter.payload is None else "its job is unknown"
        raise DeadLetterError(f"dead letter {dead_letter_id} cannot be replayed: {what}")
    payload = job.read(letter.payload).model_dump(mode="json")
    # The id follows from the letter: a replay that crashed half way and is tried again is the same.
    run_id = f"replay:{dead_letter_id}"
    async with db.acquire() as connection, connection.transaction():
        await _handle(connection, dead_letter_id, status="replayed", replayed_as=run_id)
        await pool.enqueue_raw(
            job.name,
            payload,
            queue=job.queue,
            run_id=run_id,
            headers={"cid": letter.correlation_id, "replay": letter.run_id},
        )
    return run_id


async def discard(db: "asyncpg.Pool[asyncpg.Record]", dead_letter_id: int, *, reason: str) -> None:
    """Put it away for good. Raises DeadLetterError when it was handled already."""
    async with db.acquire() as connection, connection.transaction():
        await _handle(connection, dead_letter_id, status="discarded", because=reason)


async def _handle(
    connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]",
    dead_letter_id: int,
    *,
    status: str,
    replayed_as: str | None = None,
    because: str | None = None,
) -> None:
    handled = await connection.fetchval(
        """
        update dead_letters
           set status = $2, replayed_as = $3, discarded_because = $4, handled_at = now()
         where dead_letter_id = $1 and status = 'dead'
        returning dead_letter_id
        """,
        dead_letter_id,
        status,
        replayed_as,
        because,
    )
    if handled is None:
        raise DeadLetterError(
            f"there is no dead letter {dead_letter_id}, or it was replayed or discarded before"
        )


def _dead_letter(row: asyncpg.Record) -> DeadLetter:
    fields = dict(row)
    raw = fields.pop("raw")
    payload = _object(fields["payload"] if fields["payload"] is not None else raw)
    return DeadLetter(**{**fields, "payload": payload})


def _object(text: str | bytes | None) -> dict[str, Any] | None:
    """The payload; in `raw` lies also what PostgreSQL's jsonb cannot hold, and what is none."""
    try:
        value = None if text is None else orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
