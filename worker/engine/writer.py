"""Puts runs on a queue: one round trip for one run, and for some hundred."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from worker.engine.scripts import script
from worker.engine.store import EVENTS_LIMIT
from worker.engine.wire import Script, Wire
from worker.redis_cluster import key_tag

# A script that runs for long holds up everybody else, and a big message takes memory twice.
_BATCH_RUNS = 250
_BATCH_BYTES = 1_000_000
_IN_FLIGHT = 2  # batches: Redis works on one while the next is packed
_AGAIN = (RedisConnectionError, RedisTimeoutError, ReadOnlyError)

# How Redis says what became of a request.
TAKEN, NEW, CACHED, REPLACED = b"0123"


class NewRun(NamedTuple):
    """One run to write; `key` names those that it is to be one with."""

    run_id: str
    raw: bytes
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Where runs of one job go, and when they come due: at an instant, or after a wait. In ms.

    unique_ms   their ids stay taken for so long at least
    is_cached   the result of a failure takes no id
    is_certain  their ids were made just now: only our own call can have taken one, sent again
                because its first answer was lost
    """

    queue_key: str
    job: str
    due_ms: int | None = None
    wait_ms: int = 0
    unique_ms: int | None = None
    is_cached: bool = False
    is_certain: bool = False

    def head(self, *, is_certain: bool) -> tuple[str | int, ...]:
        """As `enqueue.lua` reads it."""
        return (
            self.queue_key,
            self.job,
            "" if self.due_ms is None else self.due_ms,
            self.wait_ms,
            int(is_certain),
            EVENTS_LIMIT,
            "" if self.unique_ms is None else self.unique_ms,
            int(self.is_cached),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """What to do when a run of the same key is there: `refuse` while it waits or runs, or `replace`
    its payload while it waits; then it is put off by the line's wait, up to `longest_ms` in all.
    """

    how: Literal["refuse", "replace"]
    longest_ms: int | None = None


class RunWriter:
    """Raises RedisError, OSError."""

    def __init__(self, redis: Redis) -> None:
        self._wire = Wire(redis)
        self._enqueue = script("enqueue", key_tag(redis))
        self._merge = script("merge", key_tag(redis))

    async def write(self, line: Line, runs: Sequence[NewRun]) -> bytes:
        """Enqueue runs of one job; returns NEW, TAKEN or CACHED for each."""
        verdicts = b"".join(await self._in_batches(line, runs))
        return bytes([NEW]) * len(runs) if line.is_certain else verdicts

    async def write_one(self, line: Line, run: NewRun) -> int:
        """The same for one run."""
        (verdict,) = await self._send(line, run[:2])
        return NEW if line.is_certain else verdict

    async def merge(
        self, line: Line, merge: Merge, runs: Sequence[NewRun]
    ) -> list[tuple[int, str]]:
        """Enqueue runs, or make them one with those of their keys; returns NEW, TAKEN or REPLACED
        for each, and the id of the run that it led to.
        """
        due = "" if line.due_ms is None else line.due_ms
        longest = "" if merge.longest_ms is None else merge.longest_ms
        head = (line.queue_key, line.job, due, line.wait_ms, EVENTS_LIMIT, merge.how, longest)
        told: list[tuple[int, str]] = []
        for batch in _batches(runs, lambda run: (run.key, run.run_id, run.raw)):
            verdicts, ids = await self._call(self._merge, head, head, batch)
            told += zip(verdicts, (run_id.decode() for run_id in ids), strict=True)
        return told

    async def _in_batches(self, line: Line, runs: Sequence[NewRun]) -> list[bytes]:
        told: list[bytes] = []
        window: list[asyncio.Task[bytes]] = []
        try:
            for batch in _batches(runs, lambda run: run[:2]):
                if len(window) == _IN_FLIGHT:
                    told.append(await window.pop(0))
                window.append(asyncio.ensure_future(self._send(line, batch)))
            told += [await task for task in window]
        finally:
            for task in window:
                task.cancel()
        return told

    async def _send(self, line: Line, runs: Sequence[str | bytes]) -> bytes:
        # Not certain any more when it is sent again: a run that the first call added may be over by
        # now, and its payload gone. Its result, or its lock, says that it was there.
        head, again = line.head(is_certain=line.is_certain), line.head(is_certain=False)
        verdicts: bytes = await self._call(self._enqueue, head, again, runs)
        return verdicts

    async def _call(
        self,
        script: Script,
        head: Sequence[str | int],
        again: Sequence[str | int],
        runs: Sequence[str | bytes],
    ) -> Any:
        try:
            return await self._wire.evaluate(script, *head, *runs, keys=1)
        except _AGAIN:
            # A kept connection may have died unnoticed; the same ids make a second call harmless.
            return await self._wire.evaluate(script, *again, *runs, keys=1)

    def close(self) -> None:
        self._wire.close()


def _batches(
    runs: Sequence[NewRun], columns: Callable[[NewRun], tuple[str | bytes, ...]]
) -> Iterator[list[str | bytes]]:
    batch: list[str | bytes] = []
    count = size = 0
    for run in runs:
        if count == _BATCH_RUNS or (batch and size + len(run.raw) > _BATCH_BYTES):
            yield batch
            batch, count, size = [], 0, 0
        batch += columns(run)
        count += 1
        size += len(run.raw)
    if batch:
        yield batch
