"""Puts runs on a queue: one round trip for one run, and for some hundred."""

import asyncio
from collections.abc import Iterator, Sequence

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from worker.engine.scripts import script
from worker.engine.store import EVENTS_LIMIT
from worker.engine.wire import Wire
from worker.redis_cluster import key_tag

# A script that runs for long holds up everybody else, and a big message takes memory twice.
_BATCH_RUNS = 250
_BATCH_BYTES = 1_000_000
_IN_FLIGHT = 2  # batches: Redis works on one while the next is packed
_AGAIN = (RedisConnectionError, RedisTimeoutError, ReadOnlyError)

# Run id and its bytes.
NewRun = tuple[str, bytes]


class RunWriter:
    """Raises RedisError, OSError."""

    def __init__(self, redis: Redis) -> None:
        self._wire = Wire(redis)
        self._script = script("enqueue", key_tag(redis))

    async def write(
        self,
        queue_key: str,
        name: str,
        runs: Sequence[NewRun],
        *,
        due_ms: int | None = None,
        wait_ms: int = 0,
        is_certain: bool = False,
    ) -> list[bool]:
        """Enqueue runs of one job, due at an instant or after a wait; true for those that are new.

        `is_certain` says that the ids were made just now: then only our own call can have taken
        one, sent again because its first answer was lost.
        """
        head = (queue_key, name, "" if due_ms is None else due_ms, wait_ms, int(is_certain))
        verdicts: list[bool] = []
        window: list[asyncio.Task[bytes]] = []
        try:
            for batch in _batches(runs):
                if len(window) == _IN_FLIGHT:
                    verdicts += _read(await window.pop(0))
                window.append(asyncio.ensure_future(self._send(head, batch)))
            for task in window:
                verdicts += _read(await task)
        finally:
            for task in window:
                task.cancel()
        return [True] * len(runs) if is_certain else verdicts

    async def write_one(
        self,
        queue_key: str,
        name: str,
        run: NewRun,
        *,
        due_ms: int | None = None,
        wait_ms: int = 0,
        is_certain: bool = False,
    ) -> bool:
        """The same for one run."""
        head = (queue_key, name, "" if due_ms is None else due_ms, wait_ms, int(is_certain))
        return await self._send(head, run) == b"1" or is_certain

    async def _send(self, head: tuple[str | int, ...], runs: Sequence[str | bytes]) -> bytes:
        arguments = (*head, EVENTS_LIMIT, *runs)
        try:
            verdicts: bytes = await self._wire.evaluate(self._script, *arguments, keys=1)
        except _AGAIN:
            # A kept connection may have died unnoticed; the same ids make a second call harmless.
            # Not certain any more: a run that the first call added may be over by now, and its
            # payload gone. Its result, or its lock, says that it was there.
            again = (*head[:-1], 0, EVENTS_LIMIT, *runs)
            verdicts = await self._wire.evaluate(self._script, *again, keys=1)
        return verdicts

    def close(self) -> None:
        self._wire.close()


def _batches(runs: Sequence[NewRun]) -> Iterator[list[str | bytes]]:
    batch: list[str | bytes] = []
    size = 0
    for run_id, raw in runs:
        if len(batch) == 2 * _BATCH_RUNS or (batch and size + len(raw) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch += (run_id, raw)
        size += len(raw)
    if batch:
        yield batch


def _read(verdicts: bytes) -> Iterator[bool]:
    return (verdict == ord("1") for verdict in verdicts)
