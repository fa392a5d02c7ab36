"""The runs in Redis, one Lua script per transition. Knows keys and bytes, and nothing of jobs."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import orjson
from arq.constants import (
    abort_jobs_ss,
    health_check_key_suffix,
    in_progress_key_prefix,
    job_key_prefix,
    result_key_prefix,
    retry_key_prefix,
)
from redis.asyncio import Redis

from jobs.kit import Queue
from worker.telemetry.logs import get_logger

_log = get_logger(__name__)

EVENTS = "deskhand:events"
DEAD = "deskhand:dead"
RUN_PREFIX = "deskhand:run:"
_WORKERS = "deskhand:workers"
_WORKER_PREFIX = "deskhand:worker:"

# The ledger takes events away as it writes them; the limit is for a PostgreSQL that is long gone.
# Dead letters have their own stream without one: they must not be lost.
_EVENTS_LIMIT = 1_000_000
# How long a waiting run's counters live after it was due (ARQ's own life for its retry counter).
_LAST_SECOND = 253_402_300_799.0  # of the year 9999
_KEPT = timedelta(seconds=88_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to run one run. `raw` is None when its payload had expired."""

    run_id: str
    queue: Queue
    token: str
    raw: bytes | None
    due_at: datetime
    attempts_spent: int
    crashes: int
    aborted_at: datetime | None
    unknown_since: datetime | None

    @property
    def attempt(self) -> int:
        return self.attempts_spent + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """One transition out of running. `result` is kept for `result_ttl`; an empty one is not."""

    is_over: bool
    spends_attempt: bool
    is_unknown: bool
    wait: timedelta
    result: bytes
    result_ttl: timedelta
    event: bytes
    dead_letter: bytes = b""


@dataclass(frozen=True, slots=True)
class QueueSizes:
    """How many runs of a queue are due, wait for their time, and run."""

    ready: int
    deferred: int
    running: int


class RunStore:
    """Claims, renews and finishes runs for one worker. Raises RedisError, OSError."""

    def __init__(self, redis: Redis, *, worker_id: str, lease: timedelta) -> None:
        self._redis = redis
        self._worker_id = worker_id
        self._lease_ms = _ms(lease)
        self._serial = itertools.count(1)
        self._claim = redis.register_script(script("claim"))
        self._finish = redis.register_script(script("finish"))
        self._renew = redis.register_script(script("renew"))

    async def claim(self, free: Mapping[Queue, int], in_hand: Sequence[Claim] = ()) -> list[Claim]:
        """Take up to `free` due runs of each queue; never one that is `in_hand`."""
        queues = [queue for queue, slots in free.items() if slots > 0]
        if not queues:
            return []
        token = f"{self._worker_id}:{next(self._serial)}"
        rows = await self._claim(
            keys=[queue.key for queue in queues],
            args=[
                token,
                self._lease_ms,
                _seconds(_KEPT),
                *(free[queue] for queue in queues),
                *_held(in_hand),
            ],
        )
        return [
            _to_claim(row, queues, token) for row in rows if await self._is_readable(row, queues)
        ]

    async def _is_readable(self, row: Sequence[Any], queues: Sequence[Queue]) -> bool:
        """No pool makes an id that is not text. One that is there all the same is taken away."""
        index, run_id = row[:2]
        try:
            run_id.decode()
        except UnicodeDecodeError:
            _log.error("A run id is not text, and was removed", queue=queues[index - 1].name)
            await self._redis.zrem(queues[index - 1].key, run_id)
            return False
        return True

    async def finish(self, claim: Claim, finish: Finish) -> bool:
        """Write how an attempt ended; false when the lease was lost, and nothing was written."""
        run_id = claim.run_id
        written = await self._finish(
            keys=[
                claim.queue.key,
                in_progress_key_prefix + run_id,
                job_key_prefix + run_id,
                retry_key_prefix + run_id,
                result_key_prefix + run_id,
                RUN_PREFIX + run_id,
                abort_jobs_ss,
                EVENTS,
                DEAD,
            ],
            args=[
                run_id,
                claim.token,
                "over" if finish.is_over else "again",
                int(finish.spends_attempt),
                int(finish.is_unknown),
                _ms(finish.wait),
                finish.result,
                _ms(finish.result_ttl),
                finish.event,
                finish.dead_letter,
                _EVENTS_LIMIT,
                _seconds(_KEPT),
            ],
        )
        return bool(written)

    async def renew(self, claims: Sequence[Claim]) -> set[str]:
        """Extend the leases; returns the run ids whose lease is lost."""
        if not claims:
            return set()
        lost = await self._renew(args=[self._lease_ms, *_held(claims)])
        return {run_id.decode() for run_id in lost}

    async def aborts(self, run_ids: Sequence[str]) -> dict[str, datetime]:
        """Which of these runs somebody asked to abort, and when."""
        if not run_ids:
            return {}
        scores = await self._redis.zmscore(abort_jobs_ss, list(run_ids))
        return {
            run_id: _instant(score)
            for run_id, score in zip(run_ids, scores, strict=True)
            if score is not None
        }

    async def heartbeat(self, report: Mapping[str, Any], *, life: timedelta) -> None:
        """Say that this worker lives, and what it runs."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.set(_WORKER_PREFIX + self._worker_id, orjson.dumps(report), px=_ms(life))
            pipe.sadd(_WORKERS, self._worker_id)
            pipe.expire(_WORKERS, life)
            await pipe.execute()

    async def farewell(self, queues: Iterable[Queue]) -> None:
        """This worker is gone, and said so; ARQ's health keys are the last one's to remove."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.delete(_WORKER_PREFIX + self._worker_id)
            pipe.srem(_WORKERS, self._worker_id)
            await pipe.execute()
        if not await workers(self._redis):
            await self._redis.delete(*(queue.key + health_check_key_suffix for queue in queues))


async def workers(redis: Redis) -> list[dict[str, Any]]:
    """The reports of all workers that live; forgets those that do not."""
    names = sorted(await redis.smembers(_WORKERS))  # type: ignore[misc]  # redis-py: sync or async
    if not names:
        return []
    reports = await redis.mget([_WORKER_PREFIX.encode() + name for name in names])
    gone = [name for name, report in zip(names, reports, strict=True) if report is None]
    if gone:
        await redis.srem(_WORKERS, *gone)  # type: ignore[misc]  # as above
    return [orjson.loads(report) for report in reports if report is not None]


async def sizes(redis: Redis, queues: Sequence[Queue]) -> dict[str, QueueSizes]:
    """Counts over all workers. A running run's score lies at its lease's end: it looks deferred."""
    seconds, microseconds = await redis.time()
    now = seconds * 1000 + microseconds // 1000
    async with redis.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.zcount(queue.key, "-inf", now)
            pipe.zcount(queue.key, f"({now}", "+inf")
        counts = await pipe.execute()
    running = Counter[str]()
    for report in await workers(redis):
        running.update(report["running"])
    return {
        queue.name: QueueSizes(
            ready=ready,
            deferred=max(later - running[queue.name], 0),
            running=running[queue.name],
        )
        for queue, ready, later in zip(queues, counts[::2], counts[1::2], strict=True)
    }


def script(name: str) -> str:
    """The text of one of the Lua files beside this module."""
    return (resources.files("worker.engine") / f"{name}.lua").read_text("utf-8")


def _held(claims: Sequence[Claim]) -> Iterable[str]:
    return itertools.chain.from_iterable((c.queue.key, c.run_id, c.token) for c in claims)


def _to_claim(row: Sequence[Any], queues: Sequence[Queue], token: str) -> Claim:
    index, run_id, raw, due, spent, crashes, aborted, unknown = row
    return Claim(
        run_id=run_id.decode(),
        queue=queues[index - 1],
        token=token,
        raw=raw,
        due_at=_instant(float(due)),
        attempts_spent=_count(spent),
        crashes=_count(crashes),
        aborted_at=None if aborted is None else _instant(float(aborted)),
        unknown_since=None if unknown is None else _instant(float(unknown)),
    )


def _count(text: bytes) -> int:
    """A counter that somebody else overwrote counts for nothing."""
    return int(text) if text.isdigit() and len(text) < 10 else 0  # noqa: PLR2004 - digits


def _instant(milliseconds: float) -> datetime:
    """Scores are foreign: one that is no date becomes the nearest that is."""
    return datetime.fromtimestamp(min(max(milliseconds / 1000, 0), _LAST_SECOND), UTC)


def _ms(delta: timedelta) -> int:
    return int(delta / timedelta(milliseconds=1))


def _seconds(delta: timedelta) -> int:
    return int(delta.total_seconds())
