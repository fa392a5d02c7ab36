"""How many slots each queue wants, for autoscalers: as many as start all that waits in time."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import asyncpg

from worker.notices import queries
from worker.notices.queries import Db
from worker.settings import Settings
from worker.telemetry.metrics import Metrics
from worker.telemetry.notice_metrics import NoticeMetrics

_EVERY: Final = 60.0  # seconds: how long runs take changes slowly
_PATIENCE: Final = 1.0  # seconds: a scrape waits little longer for all that it asks others for
_UNKNOWN: Final = 1.0  # seconds that a run takes, where none has ended within an hour


class Held(Protocol):
    """What a queue holds: runs that are due and wait, and those that are run."""

    @property
    def ready(self) -> int: ...

    @property
    def running(self) -> int: ...


class WantedSlots:
    """Has the metrics say it. `db` is None until there is one."""

    def __init__(
        self,
        metrics: NoticeMetrics,
        *,
        target: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._target = target
        self._clock = clock
        self._durations: dict[str, float] = {}
        self._read_at = -math.inf
        self.db: Db | None = None

    @classmethod
    def of(cls, settings: Settings, metrics: Metrics) -> "WantedSlots":
        """As the settings say; also tells the slots of this process."""
        queues = settings.queues()
        metrics.notices.set_slots(
            {name: queues[name].concurrency for name in settings.worker_queues}
        )
        return cls(metrics.notices, target=settings.slots_target)

    async def __call__(self, sizes: Mapping[str, Held]) -> None:
        """From what the queues hold now. While PostgreSQL is away runs take as long as before."""
        if self.db is not None and self._clock() - self._read_at >= _EVERY:
            try:
                async with asyncio.timeout(_PATIENCE):
                    self._durations = await queries.durations(self.db)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                pass
            else:
                self._read_at = self._clock()
        self._metrics.set_wanted(
            {
                queue: wanted_slots(
                    held.ready,
                    held.running,
                    duration=self._durations.get(queue, _UNKNOWN),
                    target=self._target,
                )
                for queue, held in sizes.items()
            }
        )


def wanted_slots(ready: int, running: int, *, duration: float, target: float) -> int:
    """Slots that start all that waits within `target` seconds, beside what is being run.

    A slot starts one run at once, and another each time one ends after `duration` seconds.
    """
    starts = 1 + target / max(duration, 0.001)
    return running + math.ceil(ready / starts)
