"""Enqueuing inside a transaction: needs the caller's connection, and neither Redis nor settings."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic_core import to_json

from jobs.kit import Job, Payload, PayloadError
from worker.enqueuer import known_job
from worker.message import When, checked_run_id, headers_of, message, run_id_of
from worker.outbox import queries
from worker.outbox.queries import Connection, NewRow

MOST_BYTES = 8_388_608  # of one message
_ROWS = 1000  # a statement


class OutsideTransactionError(RuntimeError):
    """There is no transaction that the run could be enqueued with."""


async def enqueue_in(
    connection: Connection,
    job: Job[Any, Any] | str,
    payload: Mapping[str, Any] | Payload,
    *,
    run_id: str | None = None,
    delay: timedelta | None = None,
    due_at: datetime | None = None,
    expires: timedelta | None = None,
    headers: Mapping[str, str] | None = None,
) -> str:
    """Enqueue a run with the transaction that `connection` (asyncpg) is in; returns the run's id.

    A rollback, also one to a savepoint, takes it back. It is due at once, after `delay` from now,
    or at `due_at` (aware); what has not started within `expires` does not start. A job with an
    idempotency key has one run at a time: a repeat is done when that run is.

    Raises before anything is sent, so that the transaction goes on: OutsideTransactionError,
    UnknownJobError, PayloadError, ValueError (times, the id, more than 8 MiB, or a job that makes
    several requests one run: debounce, throttle, singleton).
    """
    known = known_job(job) if isinstance(job, str) else job
    run = known.validate(payload)
    id_ = checked_run_id(run_id or run_id_of(known, run))
    if not id_.isprintable():
        raise ValueError("a run id in PostgreSQL has no control characters")
    await _insert(connection, known, [(id_, run)], delay, due_at, expires, headers)
    return id_


async def enqueue_many_in(
    connection: Connection,
    job: Job[Any, Any] | str,
    payloads: Sequence[Mapping[str, Any] | Payload],
    *,
    delay: timedelta | None = None,
    due_at: datetime | None = None,
    expires: timedelta | None = None,
    headers: Mapping[str, str] | None = None,
) -> list[str]:
    """Enqueue one run for each payload, a statement per 1000; returns their ids, in their order.

    All payloads are checked first: PayloadError names the first that is wrong, by its place. Else
    as `enqueue_in`.
    """
    known = known_job(job) if isinstance(job, str) else job
    runs = []
    for place, given in enumerate(payloads):
        try:
            payload = known.validate(given)
        except PayloadError as error:
            problems = [f"payload {place}: {problem}" for problem in error.problems]
            raise PayloadError(known.name, problems) from None
        runs.append((checked_run_id(run_id_of(known, payload)), payload))
    await _insert(connection, known, runs, delay, due_at, expires, headers)
    return [run_id for run_id, _ in runs]


async def _insert(
    connection: Connection,
    job: Job[Any, Any],
    runs: Sequence[tuple[str, Payload]],
    delay: timedelta | None,
    due_at: datetime | None,
    expires: timedelta | None,
    headers: Mapping[str, str] | None,
) -> None:
    if delay is not None and due_at is not None:
        raise ValueError("give either delay or due_at, not both")
    if due_at is not None and due_at.tzinfo is None:
        raise ValueError("due_at has no time zone")
    if job.is_merging:
        raise ValueError(
            f"{job.name} makes several requests one run, which only Redis can: "
            "enqueue it after the commit, or from a job that is enqueued here"
        )
    when, known = When.of(None, None, expires), headers_of(headers)
    shared = None if job.has_words else message(job.name, when, known)
    rows = []
    for run_id, payload in runs:
        head, tail = shared or message(job.name, when, known, job.words_of(payload))
        rows.append(NewRow(run_id, head + to_json(payload) + tail))
    if max((len(row.message) for row in rows), default=0) > MOST_BYTES:
        raise ValueError("a run takes 8 MiB at most; put what is larger into storage")
    if not connection.is_in_transaction():
        raise OutsideTransactionError(
            "enqueue_in() belongs into a transaction: async with connection.transaction(): …"
        )
    for start in range(0, len(rows), _ROWS):
        await queries.insert(
            connection,
            rows[start : start + _ROWS],
            job=job.name,
            queue=job.queue,
            due_at=due_at,
            delay=delay,
        )
