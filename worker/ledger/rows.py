"""Records to rows: one statement per table and batch, each of which may be run twice.

A batch goes to PostgreSQL as one JSON array: asyncpg takes 2.5 microseconds for each element of an
array parameter, which is time of the event loop that the jobs run on.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from worker.kept_payload import without_personal
from worker.ledger.failures import COUNT_NEW, failure_rows
from worker.ledger.sieve import Entry
from worker.records import AttemptRecord, DeadRecord

# What the driver or the server says of a record that will never fit.
UNFIT = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
    KeyError,
    TypeError,
)
_ID_LIMIT = 500  # characters of a foreign run id that are kept: an index has its limits
_UNTIL_PAUSE = 25  # rows: to mask what is personal takes a tenth of a millisecond each
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

_INSERT_ATTEMPTS = """
    insert into job_attempts (event_id, run_id, attempt, outcome, started_at, ended_at,
                              worker, error_type, error_message, traceback, log)
    select event_id, run_id, attempt, outcome, started_at, ended_at,
           worker, error_type, error_message, traceback, log
      from json_populate_recordset(null::job_attempts, $1)
        on conflict (event_id) do nothing
"""


async def write_attempts(db: "asyncpg.Pool[asyncpg.Record]", entries: Sequence[Entry]) -> None:
    """Insert attempts, count those that failed, and let each run's row follow its newest one.

    Raises what UNFIT names.
    """
    records = [(entry_id, AttemptRecord.from_bytes(raw)) for entry_id, raw in entries]
    records.sort(key=lambda one: (one[1].enqueued_at, one[1].started_at))
    # One statement cannot touch a row twice; and in one order of ids two writers never deadlock.
    newest = {stored_id(record.run_id): (entry_id, record) for entry_id, record in records}
    attempts = _json([_attempt_row(entry_id, record) for entry_id, record in records])
    rows = []
    for number, run_id in enumerate(sorted(newest), start=1):
        rows.append(_run_row(*newest[run_id]))
        if not number % _UNTIL_PAUSE:
            await asyncio.sleep(0)
    runs, failures = _json(rows), failure_rows(records)
    async with db.acquire() as connection, connection.transaction():
        if failures:
            counted = f"with new as ({_INSERT_ATTEMPTS} returning event_id) {COUNT_NEW}"
            await connection.execute(counted, attempts, _json(failures))
        else:
            await connection.execute(_INSERT_ATTEMPTS, attempts)
        await connection.execute(
            """
            insert into job_runs (run_id, job, queue, tenant_id, state, label, correlation_id,
                                  replay_of, attempt, enqueued_at, started_at, finished_at, reason,
                                  payload, event_id)
            select run_id, job, queue, tenant_id, state, label, correlation_id, replay_of,
                   attempt, enqueued_at, started_at, finished_at, reason, payload, event_id
              from json_populate_recordset(null::job_runs, $1)
            on conflict (run_id) do update
               set (job, queue, tenant_id, state, label, correlation_id, replay_of, attempt,
                    enqueued_at, started_at, finished_at, reason, payload, event_id)
                 = (excluded.job, excluded.queue, excluded.tenant_id, excluded.state,
                    excluded.label, excluded.correlation_id, excluded.replay_of, excluded.attempt,
                    excluded.enqueued_at, excluded.started_at, excluded.finished_at,
                    excluded.reason,
                    -- An older worker's record has none.
                    case when excluded.enqueued_at = job_runs.enqueued_at
                         then coalesce(excluded.payload, job_runs.payload)
                         else excluded.payload end,
                    excluded.event_id)
             where (excluded.enqueued_at, excluded.started_at)
                >= (job_runs.enqueued_at, job_runs.started_at)
            """,
            runs,
        )


async def write_dead_letters(db: "asyncpg.Pool[asyncpg.Record]", entries: Sequence[Entry]) -> None:
    """Insert dead letters. Raises what UNFIT names."""
    rows = [_dead_row(entry_id, DeadRecord.from_bytes(raw)) for entry_id, raw in entries]
    await db.execute(
        """
        insert into dead_letters (event_id, run_id, job, queue, tenant_id, payload, raw,
                                  headers, correlation_id, reason, error_type, error_message,
                                  attempt, enqueued_at, died_at)
        select event_id, run_id, job, queue, tenant_id, payload, raw, headers,
               correlation_id, reason, error_type, error_message, attempt, enqueued_at, died_at
          from json_populate_recordset(null::dead_letters, $1)
        on conflict (event_id) do nothing
        """,
        _json(rows),
    )


async def forget(db: "asyncpg.Pool[asyncpg.Record]", runs: Mapping[str, datetime]) -> None:
    """Delete what is known of these runs, up to the attempt that started at the given instant.

    A later run with the same id stays, and so do the attempts that a waiting dead letter tells of.
    """
    await db.execute(
        """
        with gone as materialized (
            select run_id, started_at from json_populate_recordset(null::job_runs, $1)
        ), attempts as (
            delete from job_attempts using gone
             where job_attempts.run_id = gone.run_id
               and job_attempts.started_at <= gone.started_at
               and not exists (select from dead_letters
                                where dead_letters.run_id = gone.run_id and status = 'dead')
        )
        delete from job_runs using gone
         where job_runs.run_id = gone.run_id and job_runs.started_at <= gone.started_at
        """,
        _json([{"run_id": stored_id(run_id), "started_at": at} for run_id, at in runs.items()]),
    )


def _json(rows: list[dict[str, Any]]) -> str:
    return orjson.dumps(rows).decode()


def _attempt_row(entry_id: str, record: AttemptRecord) -> dict[str, Any]:
    return {
        "event_id": entry_id,
        "run_id": stored_id(record.run_id),
        "attempt": record.attempt,
        "outcome": record.state,
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "worker": record.worker,
        "error_type": record.error_type,
        "error_message": _text(record.error_message),
        "traceback": _text(record.traceback),
        "log": _text(record.log),
    }


def _run_row(entry_id: str, record: AttemptRecord) -> dict[str, Any]:
    return {
        "run_id": stored_id(record.run_id),
        "job": _text(record.job),
        "queue": record.queue,
        "tenant_id": record.tenant_id,
        "state": record.state,
        "label": _text(record.label),
        "correlation_id": _text(record.correlation_id),
        "replay_of": _text(record.replay_of),
        "attempt": record.attempt,
        "enqueued_at": record.enqueued_at,
        "started_at": record.started_at,
        "finished_at": record.ended_at if record.state.is_final else None,
        "reason": _text(record.reason),
        "payload": None if record.payload is None else _text(without_personal(record.payload)),
        "event_id": entry_id,
    }


def _dead_row(entry_id: str, record: DeadRecord) -> dict[str, Any]:
    last = record.last
    payload = None if record.payload is None else orjson.dumps(record.payload)
    # PostgreSQL's text and jsonb know no NUL: such a payload is kept as the bytes it is.
    is_storable = payload is not None and not _NUL.search(payload)
    raw = record.raw if payload is None or is_storable else payload
    return {
        "event_id": entry_id,
        "run_id": stored_id(last.run_id),
        "job": _text(last.job),
        "queue": last.queue,
        "tenant_id": last.tenant_id,
        "payload": record.payload if is_storable else None,
        "raw": None if raw is None else f"\\x{raw.hex()}",
        "headers": None if record.headers is None else _headers(record.headers),
        "correlation_id": _text(last.correlation_id),
        "reason": last.reason,
        "error_type": last.error_type,
        "error_message": _text(last.error_message),
        "attempt": last.attempt,
        "enqueued_at": last.enqueued_at,
        "died_at": last.ended_at,
    }


def _headers(headers: Mapping[str, str]) -> dict[str, str | None]:
    return {str(_text(name)): _text(str(value)) for name, value in headers.items()}


def stored_id(run_id: str) -> str:
    """A foreign run id as PostgreSQL has it."""
    return run_id[:_ID_LIMIT].replace("\x00", "\N{SYMBOL FOR NULL}")


def _text(value: str | None) -> str | None:
    return None if value is None else value.replace("\x00", "\N{SYMBOL FOR NULL}")
