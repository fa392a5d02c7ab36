"""The queues: named lines of runs, each with its own concurrency and retry policy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from jobs.kit.retry import Exponential, Retry


@dataclass(frozen=True, slots=True)
class Queue:
    """A named line of runs; `concurrency` per worker process, `retry` for jobs without one."""

    name: str
    concurrency: int
    retry: Retry = field(default_factory=Retry)

    @property
    def key(self) -> str:
        """The Redis key of the line; `default` is ARQ's own, so stock enqueuers find it."""
        return queue_key(self.name)


def queue_key(name: str) -> str:
    return "arq:queue" if name == "default" else f"arq:queue:{name}"


_THREE = Retry(attempts=3)
_SLOW_START = Exponential(first=10)  # services that need a moment to recover

QUEUES: Mapping[str, Queue] = MappingProxyType(
    {
        queue.name: queue
        for queue in (
            Queue("default", 10),
            Queue("email", 10),
            Queue("email-processing", 10),
            Queue("document", 5, _THREE),
            Queue("daily-brief", 2, Retry(attempts=3, backoff=_SLOW_START)),
            Queue("sync", 3, Retry(attempts=5, backoff=_SLOW_START)),
            Queue("reminders", 10, _THREE),
            Queue("nurture", 5, _THREE),
            Queue("dunning", 5, _THREE),
            Queue("snapshots", 2, _THREE),
            Queue("risk", 2),
            Queue("maintenance", 1),
        )
    }
)
