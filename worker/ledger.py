"""PostgreSQL's memory of runs: takes the engine's records out of Redis and writes them in batches.

Any number of workers share the work through one consumer group; a record is removed from Redis only
after it was committed, and writing it twice changes nothing. While PostgreSQL is away the streams
wait, and jobs that need no SQL go on.
"""

import asyncio
import os
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from worker.ending import State
from worker.engine.store import DEAD, EVENTS
from worker.records import AttemptRecord, DeadRecord
from worker.telemetry.logs import get_logger

_GROUP = "ledger"
_BATCH = 500
_BLOCK_MS = 1000
# A record that another worker took and did not acknowledge for so long is taken over.
_STALE_MS = 60_000
_log = get_logger(__name__)

# The newest records that PostgreSQL would not take, for whoever looks into it.
REJECTED = "deskhand:rejected"
_AWAY = (RedisError, OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)
_UNFIT = (asyncpg.DataError, asyncpg.ProgramLimitExceededError, ValueError, KeyError, TypeError)
_ID_LIMIT = 500  # characters of a foreign run id that are kept: an index has its limits
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

# Stream entry id and its bytes.
Entry = tuple[str, bytes]
Write = Callable[["asyncpg.Pool[asyncpg.Record]", Sequence[Entry]], Awaitable[None]]


class Ledger:
    """Run `run()` in the background; `drain()` once at the end."""

    def __init__(self, redis: Redis, db: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._redis = redis
        self._db = db
        self._consumer = f"{socket.gethostname()}:{os.getpid()}"

    async def run(self) -> None:
        """Write records as they come, for ever; troubles are logged and waited out."""
        wait = 0.1
        while True:
            try:
                await self._create_groups()
                while await self._read("0"):  # delivered to us before something went wrong
                    pass
                while True:
                    await self._take_over()
                    await self.step(_BLOCK_MS)
                    wait = 0.1
            except _AWAY as error:
                _log.warning("Run history waits", error_type=type(error).__name__)
            except Exception:  # noqa: BLE001 - without the ledger nobody would remember anything
                _log.exception("Run history failed, and goes on")
            await asyncio.sleep(wait)
            wait = min(wait * 2, 5)

    async def drain(self) -> None:
        """Write what is there now, and leave the group. Raises what Redis and PostgreSQL raise."""
        await self._create_groups()
        while await self._read("0"):  # what was delivered to us when `run` was cancelled
            pass
        while await self._read(">"):
            pass
        for stream in (EVENTS, DEAD):
            await self._redis.xgroup_delconsumer(stream, _GROUP, self._consumer)

    async def step(self, block_ms: int) -> int:
        """Wait for new records and write one batch; returns how many there were."""
        return await self._read(">", block_ms)

    async def _read(self, after: str, block_ms: int | None = None) -> int:
        streams: dict[Any, Any] = {EVENTS: after, DEAD: after}
        reply = await self._redis.xreadgroup(
            _GROUP, self._consumer, streams, count=_BATCH, block=block_ms
        )
        return sum([await self._write(stream.decode(), entries) for stream, entries in reply])

    async def _take_over(self) -> None:
        for stream in (EVENTS, DEAD):
            _, entries, *_ = await self._redis.xautoclaim(
                stream, _GROUP, self._consumer, _STALE_MS, count=_BATCH
            )
            await self._write(stream, entries)

    async def _write(self, stream: str, raw: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> int:
        entries = [(entry_id.decode(), fields.get(b"d", b"")) for entry_id, fields in raw if fields]
        if entries:
            write = write_attempts if stream == EVENTS else write_dead_letters
            try:
                await write(self._db, entries)
            except _UNFIT:
                await self._write_one_by_one(write, entries)
        if raw:
            ids = [entry_id for entry_id, _ in raw]
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.xack(stream, _GROUP, *ids)
                pipe.xdel(stream, *ids)
                await pipe.execute()
        return len(raw)

    async def _write_one_by_one(self, write: Write, entries: Sequence[Entry]) -> None:
        """So that a record which cannot be stored holds up none beside it; it is set aside."""
        for entry in entries:
            try:
                await write(self._db, [entry])
            except _UNFIT as error:
                kind = type(error).__name__
                _log.error("A record cannot be stored and is set aside", error_type=kind)
                await self._redis.xadd(REJECTED, {"d": entry[1], "why": kind}, maxlen=1000)

    async def _create_groups(self) -> None:
        for stream in (EVENTS, DEAD):
            try:
                await self._redis.xgroup_create(stream, _GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise


async def write_attempts(db: "asyncpg.Pool[asyncpg.Record]", entries: Sequence[Entry]) -> None:
    """Insert attempts, and let each run's row follow its newest one."""
    records = [(entry_id, AttemptRecord.from_bytes(raw)) for entry_id, raw in entries]
    async with db.acquire() as connection, connection.transaction():
        await connection.executemany(
            """
            insert into job_attempts (event_id, run_id, attempt, outcome, started_at, ended_at,
                                      worker, error_type, error_message, traceback)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            on conflict (event_id) do nothing
            """,
            [_attempt_row(entry_id, record) for entry_id, record in records],
        )
        await connection.executemany(
            """
            insert into job_runs (run_id, job, queue, tenant_id, state, label, correlation_id,
                                  replay_of, attempt, enqueued_at, started_at, finished_at, reason,
                                  event_id)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
            on conflict (run_id) do update
               set (job, queue, tenant_id, state, label, correlation_id, replay_of, attempt,
                    enqueued_at, started_at, finished_at, reason, event_id)
                 = (excluded.job, excluded.queue, excluded.tenant_id, excluded.state,
                    excluded.label, excluded.correlation_id, excluded.replay_of, excluded.attempt,
                    excluded.enqueued_at, excluded.started_at, excluded.finished_at,
                    excluded.reason, excluded.event_id)
             where (excluded.enqueued_at, excluded.started_at)
                >= (job_runs.enqueued_at, job_runs.started_at)
            """,
            [_run_row(entry_id, record) for entry_id, record in records],
        )


async def write_dead_letters(db: "asyncpg.Pool[asyncpg.Record]", entries: Sequence[Entry]) -> None:
    async with db.acquire() as connection, connection.transaction():
        await connection.executemany(
            """
            insert into dead_letters (event_id, run_id, job, queue, tenant_id, payload, raw,
                                      correlation_id, reason, error_type, error_message, attempt,
                                      enqueued_at, died_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
            on conflict (event_id) do nothing
            """,
            [_dead_row(entry_id, DeadRecord.from_bytes(raw)) for entry_id, raw in entries],
        )


def _attempt_row(entry_id: str, record: AttemptRecord) -> tuple[Any, ...]:
    return (
        entry_id,
        _text(record.run_id[:_ID_LIMIT]),
        record.attempt,
        record.state.value,
        record.started_at,
        record.ended_at,
        record.worker,
        record.error_type,
        _text(record.error_message),
        _text(record.traceback),
    )


def _run_row(entry_id: str, record: AttemptRecord) -> tuple[Any, ...]:
    return (
        _text(record.run_id[:_ID_LIMIT]),
        _text(record.job),
        record.queue,
        record.tenant_id,
        record.state.value,
        _text(record.label),
        _text(record.correlation_id),
        _text(record.replay_of),
        record.attempt,
        record.enqueued_at,
        record.started_at,
        record.ended_at if record.state in {State.SUCCEEDED, State.CANCELLED, State.DEAD} else None,
        _text(record.reason),
        entry_id,
    )


def _dead_row(entry_id: str, record: DeadRecord) -> tuple[Any, ...]:
    last = record.last
    payload = None if record.payload is None else orjson.dumps(record.payload)
    # PostgreSQL's text and jsonb know no NUL: such a payload is kept as the bytes it is.
    is_storable = payload is not None and not _NUL.search(payload)
    return (
        entry_id,
        _text(last.run_id[:_ID_LIMIT]),
        _text(last.job),
        last.queue,
        last.tenant_id,
        payload.decode() if payload is not None and is_storable else None,
        record.raw if payload is None or is_storable else payload,
        _text(last.correlation_id),
        last.reason,
        last.error_type,
        _text(last.error_message),
        last.attempt,
        last.enqueued_at,
        last.ended_at,
    )


def _text(value: str | None) -> str | None:
    return None if value is None else value.replace("\x00", "\N{SYMBOL FOR NULL}")
