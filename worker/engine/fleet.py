"""All workers together: who lives, and what their queues hold."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from arq.constants import health_check_key_suffix
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from jobs.kit import Queue
from worker.engine.store import COUNTS

_WORKERS = "deskhand:workers"
_WORKER_PREFIX = "deskhand:worker:"


@dataclass(frozen=True, slots=True)
class QueueSizes:
    """Runs of one queue: due, due later, over a limit, and being run.

    Exact while workers live; a run whose worker died counts as running until another has it.
    `ended` counts attempts by State since the beginning of this Redis.
    """

    ready: int
    deferred: int
    blocked: int
    running: int
    ended: Mapping[str, int]


def beat(redis: SyncRedis, worker_id: str, report: Mapping[str, Any], *, life: timedelta) -> None:
    """Say that this worker lives, and what it runs."""
    with redis.pipeline(transaction=False) as pipe:
        pipe.set(_WORKER_PREFIX + worker_id, orjson.dumps(report), px=life)
        pipe.sadd(_WORKERS, worker_id)
        pipe.expire(_WORKERS, life)
        pipe.execute()


def write_health(redis: SyncRedis, queues: Sequence[Queue], line: str, *, life: timedelta) -> None:
    """ARQ's own health keys, for `arq --check`."""
    with redis.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.zcard(queue.key)
        waiting = pipe.execute()
        for queue, queued in zip(queues, waiting, strict=True):
            pipe.set(queue.key + health_check_key_suffix, f"{line} queued={queued}", px=life)
        pipe.execute()


async def farewell(redis: Redis, worker_id: str, queues: Iterable[Queue]) -> None:
    """This worker is gone, and said so; ARQ's health keys are the last one's to remove."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.delete(_WORKER_PREFIX + worker_id)
        pipe.srem(_WORKERS, worker_id)
        await pipe.execute()
    if not await workers(redis):
        await redis.delete(*(queue.key + health_check_key_suffix for queue in queues))


async def workers(redis: Redis) -> list[dict[str, Any]]:
    """The reports of all workers that live; forgets those that do not."""
    names = sorted(await redis.smembers(_WORKERS))  # type: ignore[misc]  # redis-py: sync or async
    if not names:
        return []
    reports = await redis.mget([_WORKER_PREFIX.encode() + name for name in names])
    gone = [name for name, report in zip(names, reports, strict=True) if report is None]
    if gone:
        await redis.srem(_WORKERS, *gone)  # type: ignore[misc]  # as above
    return [read for report in reports if (read := _read(report)) is not None]


def _read(report: bytes | None) -> dict[str, Any] | None:
    """None also for what somebody else has written there."""
    try:
        read = None if report is None else orjson.loads(report)
    except orjson.JSONDecodeError:
        return None
    return read if isinstance(read, dict) else None


async def sizes(redis: Redis, queues: Sequence[Queue]) -> dict[str, QueueSizes]:
    """What the queues hold: one transaction, whose cost does not grow with them."""
    seconds, microseconds = await redis.time()
    now = seconds * 1000 + microseconds // 1000
    async with redis.pipeline(transaction=True) as pipe:
        pipe.hgetall(COUNTS)
        for queue in queues:
            pipe.zcount(queue.key, "-inf", now)
            pipe.zcount(queue.key, f"({now}", "+inf")
        counted, *waiting = await pipe.execute()
    return {
        queue.name: _sizes(queue, counted, due, later)
        for queue, due, later in zip(queues, waiting[::2], waiting[1::2], strict=True)
    }


def _sizes(queue: Queue, counted: Mapping[bytes, bytes], due: int, later: int) -> QueueSizes:
    prefix = f"{queue.key} ".encode()
    counts = {
        name.removeprefix(prefix).decode(errors="replace"): int(count)
        for name, count in counted.items()
        if name.startswith(prefix) and count.removeprefix(b"-").isdigit()  # others are foreign
    }
    # A run that is run waits in its queue for the end of its lease, which may be over.
    running = min(max(counts.pop("running", 0), 0), due + later)
    lapsed = max(running - later, 0)
    # What waits for room under a limit has a score far ahead.
    later = max(later - running, 0)
    blocked = min(max(counts.pop("blocked", 0), 0), later)
    # What waits for its tenant's turn is due, and has one too.
    parked = min(max(counts.pop("parked", 0), 0), later - blocked)
    return QueueSizes(
        ready=due - lapsed + parked,
        deferred=later - blocked - parked,
        blocked=blocked,
        running=running,
        ended=counts,
    )


async def oldest_waits(redis: Redis, queues: Sequence[Queue]) -> dict[str, timedelta | None]:
    """How long the first run that is due has been so, for each queue; None when none is.

    By the order in which they are taken: a head start (priority) counts as waiting.
    """
    seconds, microseconds = await redis.time()
    now = seconds * 1000 + microseconds // 1000
    async with redis.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.zrange(queue.key, 0, 0, withscores=True)
        heads = await pipe.execute()
    return {
        queue.name: timedelta(milliseconds=now - head[0][1]) if head and head[0][1] <= now else None
        for queue, head in zip(queues, heads, strict=True)
    }
