"""A pool whose waits follow a test's clock, on a Redis of the test's own.

Redis has only its own time. So when the clock was moved, what waits there is made due that much
sooner; and an instant (`_defer_until`) is written as the wait until then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from arq.jobs import Job as ArqJob
from typing_extensions import override

from jobs.kit import QUEUES, Enqueued, Job, Payload, queue_key
from worker.enqueuer import Pool
from worker.message import NOW, When
from worker.redis_pool import open_redis
from worker.testing.clock import Clock

_MILLISECOND = timedelta(milliseconds=1)
_ABORTED_SCORE = 1  # a stock abort() made it due


class RigPool(Pool):
    """A Pool with a `clock`; `url` is where its Redis is."""

    url: str
    clock: Clock

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._followed = timedelta(0)
        # When runs that were enqueued here are due, by the clock.
        self.due: dict[str, datetime] = {}

    @override
    async def enqueue(
        self,
        job: Job[Any, Any] | str,
        payload: Payload | Mapping[str, Any],
        *,
        run_id: str | None = None,
        when: When = NOW,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Enqueued:
        await self.follow()
        if when.due_ms is not None:
            now_ms = int(self.clock().timestamp() * 1000)
            when = replace(when, due_ms=None, wait_ms=max(when.due_ms - now_ms, 0))
        enqueued = await super().enqueue(
            job, payload, run_id=run_id, when=when, headers=headers, **options
        )
        if enqueued.is_new:
            self.due[enqueued.run_id] = self.clock() + when.wait_ms * _MILLISECOND
        return enqueued

    @override
    async def enqueue_many(
        self,
        function: str,
        payloads: Sequence[Mapping[str, Any] | Payload],
        *,
        _defer_until: datetime | None = None,
        _defer_by: float | timedelta | None = None,
        **options: Any,
    ) -> list[ArqJob | None]:
        await self.follow()
        if _defer_until is not None and _defer_by is None:
            _defer_by, _defer_until = max(_defer_until - self.clock(), timedelta(0)), None
        handles = await super().enqueue_many(
            function, payloads, _defer_until=_defer_until, _defer_by=_defer_by, **options
        )
        due = self.clock() + timedelta(milliseconds=When.of(None, _defer_by, None).wait_ms)
        self.due.update({handle.job_id: due for handle in handles if handle is not None})
        return handles

    async def follow(self) -> None:
        """Make what waits due as much sooner as the clock was moved since the last time."""
        step, self._followed = self.clock.moved - self._followed, self.clock.moved
        if not step:
            return
        # First: what comes due by the scores below is claimed at once.
        await self._follow_limits(step // _MILLISECOND)
        for name in QUEUES:
            scores = await self.zrange(queue_key(name), 0, -1, withscores=True)
            waiting = {
                run_id: max(score - step // _MILLISECOND, _ABORTED_SCORE + 1)
                for run_id, score in scores
                if score > _ABORTED_SCORE and score == int(score)  # not one that is being run
            }
            if waiting:
                await self.zadd(queue_key(name), waiting, xx=True)

    async def _follow_limits(self, step_ms: int) -> None:
        """What limits remember is that much longer ago, and rests and reservations end sooner."""
        async for key in self.scan_iter(match="deskhand:rate:*"):
            starts = await _awaited(self.lrange(key, 0, -1))
            async with self.pipeline() as pipe:
                pipe.delete(key)
                pipe.rpush(key, *(int(start) - step_ms for start in starts))
                await pipe.execute()
        for pattern in ("deskhand:hold:*", "deskhand:unique:*"):
            async for key in self.scan_iter(match=pattern):
                await self.pexpire(key, max(await self.pttl(key) - step_ms, 1))
        async for key in self.scan_iter(match="deskhand:merge:*"):
            await _awaited(self.hincrby(key, "first", -step_ms))
        soon = await self.zrange("deskhand:soon", 0, -1, withscores=True)
        if soon:
            await self.zadd("deskhand:soon", {one: score - step_ms for one, score in soon})

    async def milliseconds(self) -> float:
        """The time by Redis."""
        seconds, microseconds = await self.time()
        return float(seconds * 1000 + microseconds // 1000)


async def _awaited(reply: Any) -> Any:
    return await reply  # redis-py types these for its synchronous client, too


def open_rig_pool(url: str, clock: Clock | None = None) -> RigPool:
    """A pool on a Redis that belongs to the test. Nothing is connected yet; `aclose()` ends it."""
    pool = open_redis(url, RigPool)
    pool.url, pool.clock = url, clock or Clock()
    return pool
