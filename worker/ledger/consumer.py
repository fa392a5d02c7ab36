"""Reads the engine's streams as one of a group, and has what it reads written."""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from worker.engine.store import DEAD, EVENTS
from worker.ledger.batch import Batch
from worker.ledger.rows import UNFIT, forget, write_attempts, write_dead_letters
from worker.ledger.sieve import Entry
from worker.ledger.ticks import write_ticks
from worker.ledger.trim import trim
from worker.outbox.queries import delete as finish_rows
from worker.telemetry.logs import get_logger

# The newest records that PostgreSQL would not take, for whoever looks into it.
REJECTED = "deskhand:rejected"

_GROUP = "ledger"
_BLOCK_MS = 5000
# After a step that read all there was: so that a few runs a second are not as many transactions.
# Where much comes, longer: of all successes that are read together only the newest are written.
_PAUSE, _BUSY_PAUSE = 0.1, 1.0  # seconds
_BUSY = 20  # entries
_READS = 8  # in a row, for one step
_EVENTS = 2000  # that one read aims at: an entry holds 1 to some 128 of them
_LEAST, _MOST = 16, 512  # entries that are asked for at once
_ROWS = 250  # a statement: some milliseconds of this event loop
_LETTERS = 25  # the same: a payload may be large
_IDS = 1000  # the same, where a row is but an id
_TRIM_EVERY = 5.0  # seconds
_TAKE_OVER_EVERY = 10.0  # seconds
# What another worker took and did not acknowledge for so long is taken over: until then a schedule
# waits whose run has ended there. Two who write the same change nothing.
_STALE_MS = 15_000

_AWAY = (
    RedisError,
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InternalClientError,
    asyncpg.InterfaceError,
    asyncpg.TransactionRollbackError,  # another writer was in the way
)
_log = get_logger(__name__)

Write = Callable[["asyncpg.Pool[asyncpg.Record]", Sequence[Entry]], Awaitable[None]]


class Ledger:
    """Run `run()` in the background; `drain()` once at the end.

    Of the completed runs that are read together, each queue's newest `keep_completed` are written.
    """

    def __init__(
        self, redis: Redis, db: "asyncpg.Pool[asyncpg.Record]", *, keep_completed: int
    ) -> None:
        self._redis = redis
        self._db = db
        self._keep_completed = keep_completed
        self._consumer = f"{socket.gethostname()}:{os.getpid()}"
        self._count = _LEAST
        self._is_to_trim = True
        self._trimmed_at = self._took_over_at = float("-inf")

    async def run(self) -> None:
        """Write records as they come, for ever; troubles are logged and waited out."""
        wait = 0.1
        while True:
            try:
                await self._create_groups()
                while (await self._step("0")).is_full:  # delivered before something went wrong
                    pass
                while True:
                    await self._look_after_streams()
                    batch = await self._step(">", _BLOCK_MS)
                    wait = 0.1
                    is_busy = len(batch.ids[EVENTS]) >= _BUSY
                    pause = _BUSY_PAUSE if is_busy else _PAUSE
                    await asyncio.sleep(0 if batch.is_full else pause)
            except _AWAY as error:
                _log.warning("Run history waits", error_type=type(error).__name__)
            except Exception:  # noqa: BLE001 - without the ledger nobody would remember anything
                _log.exception("Run history failed, and goes on")
            await asyncio.sleep(wait)
            wait = min(wait * 2, 5)

    async def drain(self) -> None:
        """Write what is there now, and leave the group. Raises what Redis and PostgreSQL raise."""
        await self._create_groups()
        while (await self._step("0")).is_full:  # what was delivered when `run` was cancelled
            pass
        seconds, micros = await self._redis.time()
        begun_ms = seconds * 1000 + micros // 1000  # others go on, maybe as fast as we read
        while (batch := await self._step(">")).is_full and batch.newest_ms <= begun_ms:
            pass
        await trim(self._redis, EVENTS, _GROUP)
        for stream in (EVENTS, DEAD):
            await self._redis.xgroup_delconsumer(stream, _GROUP, self._consumer)

    async def _step(self, after: str, block_ms: int | None = None) -> Batch:
        """Read what has been delivered before (`0`) or not yet (`>`), and write it."""
        batch = Batch(self._keep_completed)
        await self._read(batch, after, block_ms)
        for _ in range(_READS - 1 if after == ">" else 0):
            if not batch.is_full:
                break
            await self._read(batch, after)
        await self._write(batch)
        return batch

    async def _read(self, batch: Batch, after: str, block_ms: int | None = None) -> None:
        streams: dict[Any, Any] = {EVENTS: after, DEAD: after}
        reply = await self._redis.xreadgroup(
            _GROUP, self._consumer, streams, count=self._count, block=block_ms
        )
        batch.is_full = any(len(entries) >= self._count for _, entries in reply)
        events = 0
        for stream, entries in reply:
            events += await batch.add(stream.decode(), entries)
        if batch.is_full and events < _EVENTS // 2:
            self._count = min(self._count * 2, _MOST)
        elif events > _EVENTS * 2:
            self._count = max(self._count // 2, _LEAST)

    async def _write(self, batch: Batch) -> None:
        await self._write_fitting(write_dead_letters, batch.letters, _LETTERS)
        await self._acknowledge(DEAD, batch.ids[DEAD])
        dropped = list(batch.sieve.dropped.items())
        for start in range(0, len(dropped), _IDS):
            await forget(self._db, dict(dropped[start : start + _IDS]))
        await self._write_fitting(write_attempts, batch.sieve.kept(), _ROWS)
        # Before the outbox forgets the runs: until then their schedules wait for them.
        await self._write_fitting(write_ticks, batch.sieve.ticks, _ROWS)
        done = list(batch.sieve.done)
        for start in range(0, len(done), _IDS):
            await finish_rows(self._db, done[start : start + _IDS])
        await self._acknowledge(EVENTS, batch.ids[EVENTS])

    async def _write_fitting(self, write: Write, entries: Sequence[Entry], page: int) -> None:
        for start in range(0, len(entries), page):
            await self._write_halves(write, entries[start : start + page])

    async def _write_halves(self, write: Write, entries: Sequence[Entry]) -> None:
        """So that a record which cannot be stored holds up none beside it; it is set aside."""
        try:
            await write(self._db, entries)
        except UNFIT as error:
            middle = len(entries) // 2
            if middle:
                await self._write_halves(write, entries[:middle])
                await self._write_halves(write, entries[middle:])
                return
            kind = type(error).__name__
            _log.error("A record cannot be stored and is set aside", error_type=kind)
            await self._redis.xadd(REJECTED, {"d": entries[0][1], "why": kind}, maxlen=1000)

    async def _acknowledge(self, stream: str, ids: Sequence[bytes]) -> None:
        """Events stay for those who follow them; a dead letter is read by nobody else."""
        if not ids:
            return
        if stream == EVENTS:
            await self._redis.xack(stream, _GROUP, *ids)
            self._is_to_trim = True
            return
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xack(stream, _GROUP, *ids)
            pipe.xdel(stream, *ids)
            await pipe.execute()

    async def _look_after_streams(self) -> None:
        now = time.monotonic()
        if now - self._took_over_at >= _TAKE_OVER_EVERY:
            self._took_over_at = now
            for stream in (EVENTS, DEAD):
                await self._take_over(stream)
        if self._is_to_trim and now - self._trimmed_at >= _TRIM_EVERY:
            self._trimmed_at = now
            self._is_to_trim = not await trim(self._redis, EVENTS, _GROUP)

    async def _take_over(self, stream: str) -> None:
        start: Any = "0-0"
        while True:
            batch = Batch(self._keep_completed)
            start, entries, *_ = await self._redis.xautoclaim(
                stream, _GROUP, self._consumer, _STALE_MS, start, count=self._count
            )
            await batch.add(stream, entries)
            await self._write(batch)
            if start == b"0-0":
                return

    async def _create_groups(self) -> None:
        for stream in (EVENTS, DEAD):
            try:
                await self._redis.xgroup_create(stream, _GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise
