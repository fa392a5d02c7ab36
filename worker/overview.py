"""The queues as operators see them: what they hold, who serves them, and how fast they go."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from redis.asyncio import Redis

from jobs.kit import Queue
from worker.engine.fleet import QueueSizes, Waiting, oldest_due, sizes, worker_reports
from worker.engine.worker_report import WorkerReport
from worker.pausing import paused_queues

TIMEOUT: Final = 5.0  # seconds for one reading
MINUTE: Final = 60.0
_KEPT: Final = 90.0  # seconds that a sample is kept
_MOST_SAMPLES: Final = 100

Ended = Mapping[str, Mapping[str, int]]
"""Attempts that ended, by queue and State."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """One queue. A pause without an end has no `paused_until`.

    `workers` are those that serve it, `may_be_served` is also true when an older worker lives,
    which does not say what it serves. `free` are their slots that nothing runs in.
    """

    name: str
    sizes: QueueSizes
    oldest: Waiting | None
    is_paused: bool
    paused_until: datetime | None
    workers: int
    may_be_served: bool
    slots: int
    free: int


@dataclass(frozen=True, slots=True)
class Overview:
    queues: Mapping[str, QueueView]
    workers: Sequence[WorkerReport]

    @property
    def ended(self) -> Ended:
        return {name: view.sizes.ended for name, view in self.queues.items()}


async def read_overview(redis: Redis, queues: Sequence[Queue]) -> Overview:
    """Ask Redis for all of it: some ten round trips, whose cost does not grow with the queues.

    Raises RedisError, OSError, and TimeoutError after `TIMEOUT`.
    """
    async with asyncio.timeout(TIMEOUT):
        held = await sizes(redis, queues)
        oldest = await oldest_due(redis, queues)
        paused = await paused_queues(redis)
        reports = await worker_reports(redis)
    views = {
        name: QueueView(
            name=name,
            sizes=size,
            oldest=oldest[name],
            is_paused=name in paused,
            paused_until=paused.get(name),
            workers=sum(report.serves(name) is True for report in reports),
            may_be_served=any(report.serves(name) is not False for report in reports),
            slots=sum((report.slots or {}).get(name, 0) for report in reports),
            free=sum(report.free(name) for report in reports),
        )
        for name, size in held.items()
    }
    return Overview(views, reports)


@dataclass(frozen=True, slots=True)
class Rate:
    """Attempts that ended in so many seconds: a minute, or less soon after the start."""

    seconds: float
    ended: Ended


class Rates:
    """How many attempts ended in the last minute, from samples of Redis' totals.

    `clock` counts seconds and never goes back.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, Ended]] = deque(maxlen=_MOST_SAMPLES)

    def note(self, ended: Ended) -> None:
        """Take a sample; one a second at most is kept."""
        now = self._clock()
        if self._samples and now - self._samples[-1][0] < 1:
            return
        while self._samples and now - self._samples[0][0] > _KEPT:
            self._samples.popleft()
        self._samples.append((now, ended))

    def last_minute(self, ended: Ended | None = None) -> Rate | None:
        """Up to now, when `ended` are the totals as they are, else up to the last sample.

        None when there is nothing to compare with. A Redis that lost its data counts from zero.
        """
        if ended is not None:
            now = self._clock()
        elif self._samples:
            now, ended = self._samples[-1]
        else:
            return None
        before = min(
            (sample for sample in self._samples if sample[0] < now),
            key=lambda sample: abs(now - sample[0] - MINUTE),
            default=(math.nan, {}),
        )
        if math.isnan(before[0]) or now - before[0] > _KEPT:
            return None
        return Rate(now - before[0], _difference(ended, before[1]))


def _difference(ended: Ended, before: Ended) -> Ended:
    return {
        queue: {
            state: max(count - before.get(queue, {}).get(state, 0), 0)
            for state, count in counts.items()
        }
        for queue, counts in ended.items()
    }
