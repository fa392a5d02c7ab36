"""All workers together: who lives, and what their queues hold."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson
from arq.constants import health_check_key_suffix, in_progress_key_prefix
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from jobs.kit import Queue
from worker.engine.store import COUNTS
from worker.engine.worker_report import WorkerReport

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


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that is due, and for how many seconds it has been; a head start counts as waiting."""

    run_id: str
    seconds: float


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


async def worker_reports(redis: Redis) -> list[WorkerReport]:
    """The same, typed; what is none of ours is left out."""
    read = [WorkerReport.read(report) for report in await workers(redis)]
    return [report for report in read if report is not None]


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


async def totals(redis: Redis, queues: Sequence[Queue]) -> dict[str, Mapping[str, int]]:
    """Attempts that ended, by queue and State, since the beginning of this Redis: one command."""
    counted = await redis.hgetall(COUNTS)  # type: ignore[misc]  # redis-py: sync or async
    return {queue.name: _sizes(queue, counted, 0, 0).ended for queue in queues}


async def oldest_due(redis: Redis, queues: Sequence[Queue]) -> dict[str, Waiting | None]:
    """The run of each queue that should be claimed next; None when nothing waits."""
    seconds, microseconds = await redis.time()
    now = seconds * 1000 + microseconds / 1000
    async with redis.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.zrangebyscore(queue.key, "-inf", now, start=0, num=1, withscores=True)
        first = await pipe.execute()
        due = {queue.name: runs[0] for queue, runs in zip(queues, first, strict=True) if runs}
        for run_id, _ in due.values():
            pipe.exists(in_progress_key_prefix.encode() + run_id)
        # A stock worker leaves what it runs in its place.
        is_run = dict(zip(due, await pipe.execute(), strict=True))
    waiting: dict[str, Waiting | None] = {queue.name: None for queue in queues}
    for name, (run_id, due_ms) in due.items():
        if not is_run[name]:
            seconds = min(now - due_ms, now) / 1000
            waiting[name] = Waiting(run_id.decode(errors="replace"), seconds)
    return waiting


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
