"""What a worker says of itself with each heartbeat, written by one version and read by another."""

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeGuard

from jobs.kit import Queue
from worker import __version__

WorkerState = Literal["running", "draining"]

# A report is a few hundred bytes; what a stranger wrote is cut to this.
_MOST_QUEUES = 100
_MOST_SIGNS = 200
_STATM = Path("/proc/self/statm")  # Linux: sizes in pages, the second is what is in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """One worker. None is what its version does not tell; `slots` are runs at once, by queue.

    `started_at` and the heartbeat are by the worker's clock; `rss` in bytes; `lag` is how many
    seconds its event loop last took to answer, or has not answered for.
    """

    worker: str
    running: Mapping[str, int]
    pid: int | None = None
    host: str | None = None
    version: str | None = None
    slots: Mapping[str, int] | None = None
    started_at: datetime | None = None
    state: WorkerState | None = None
    rss: int | None = None
    lag: float | None = None

    def serves(self, queue: str) -> bool | None:
        """None: it does not say."""
        return None if self.slots is None else queue in self.slots

    def free(self, queue: str) -> int:
        """Slots that it may fill; none when it drains, or does not say."""
        if self.slots is None or self.state == "draining":
            return 0
        return max(self.slots.get(queue, 0) - self.running.get(queue, 0), 0)

    @classmethod
    def read(cls, report: Mapping[str, Any]) -> "WorkerReport | None":
        """Tolerant: what is missing, or makes no sense, is None. Without a name it is no report."""
        name = _text(report.get("worker"))
        if name is None:
            return None
        state, slots = report.get("state"), report.get("slots")
        return cls(
            worker=name,
            running=_counts(report.get("running")),
            pid=_number(report.get("pid")),
            host=_text(report.get("host")),
            version=_text(report.get("version")),
            slots=_counts(slots) if isinstance(slots, Mapping) else None,
            started_at=_instant(report.get("started_at")),
            state=state if state in ("running", "draining") else None,
            rss=_number(report.get("rss")),
            lag=_seconds(report.get("lag")),
        )


class OwnReport:
    """Makes the reports of this process. `now` may be called from any thread."""

    def __init__(self, worker_id: str, queues: Sequence[Queue], *, started_at: datetime) -> None:
        self._fixed: dict[str, Any] = {
            "worker": worker_id,
            "pid": os.getpid(),
            "host": socket.gethostname()[:_MOST_SIGNS],
            "version": __version__,
            "slots": {queue.name: queue.concurrency for queue in queues},
            "started_at": started_at.isoformat(),
        }

    def now(self, running: Mapping[str, int], *, state: WorkerState, lag: float) -> Any:
        """As JSON types."""
        changing = {"running": running, "state": state, "rss": _rss(), "lag": round(lag, 3)}
        return {**self._fixed, **changing}


def _rss() -> int | None:
    """Bytes in memory; None where the system does not tell it cheaply."""
    if sys.platform == "linux":
        with suppress(OSError, ValueError, IndexError):
            return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGESIZE")
    return None


def _text(value: object) -> str | None:
    return value[:_MOST_SIGNS] if isinstance(value, str) and value else None


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0  # True is an int, too


def _number(value: object) -> int | None:
    return value if _is_count(value) else None


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value >= 0 else None


def _counts(value: object) -> dict[str, int]:
    if not isinstance(value, Mapping):
        return {}
    known = {
        name[:_MOST_SIGNS]: count
        for name, count in value.items()
        if isinstance(name, str) and _is_count(count)
    }
    return dict(list(known.items())[:_MOST_QUEUES])


def _instant(value: object) -> datetime | None:
    with suppress(ValueError):
        read = datetime.fromisoformat(value) if isinstance(value, str) else None
        return read if read is None or read.tzinfo is not None else read.replace(tzinfo=UTC)
    return None
