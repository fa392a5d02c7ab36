"""What a health check knows of one thing that the worker depends on, and whom it tells."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from worker.telemetry.logs import get_logger

Check = Callable[[], Awaitable[Mapping[str, object] | None]]

TIMEOUT: Final = timedelta(seconds=2)
GRACE: Final = timedelta(seconds=10)

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known of one dependency, for people; `since` is when it began to fail, or to be well.

    `latency` in seconds, of the last check; None when that failed.
    """

    name: str
    status: str
    since: datetime
    latency: float | None
    is_known: bool
    is_failing: bool


@dataclass(slots=True)
class Dependency:
    """What is known of one dependency; `since` is when it began to fail, or to be well."""

    name: str
    check: Check
    is_required: bool
    since: float
    task: asyncio.Task[Mapping[str, object]] | None = None
    is_known: bool = False
    failing_since: float | None = None
    latency: float | None = None
    detail: Mapping[str, object] = field(default_factory=dict)
    told: str = "ok"  # the status that the log was told last

    def status(self, now: float) -> str:
        if not self.is_known:
            return "starting"
        if self.failing_since is None:
            return "degraded" if self.detail.get("degraded") else "ok"
        return "degraded" if now - self.failing_since < GRACE.total_seconds() else "unhealthy"

    def failed_for(self, now: float) -> float:
        """Seconds; nothing while it is well."""
        return 0 if self.failing_since is None else now - self.failing_since


def look_at(task: asyncio.Task[Any]) -> None:
    """Spare asyncio the complaint that nobody looked at an error (of a check given up on)."""
    if not task.cancelled():
        task.exception()


def failure_of(task: asyncio.Task[Any]) -> BaseException | None:
    """Why the check failed, if so; one that is still running has failed."""
    if not task.done():
        return TimeoutError(f"no answer for {TIMEOUT.total_seconds():.0f} s")
    return TimeoutError("the check was cancelled") if task.cancelled() else task.exception()


def tell(dependency: Dependency, status: str, error: BaseException | None) -> None:
    """Log a change of status: only the log says why."""
    if status == dependency.told:
        return
    dependency.told = status
    fields = {"dependency": dependency.name, "status": status, "required": dependency.is_required}
    if status == "ok":
        _log.info("Dependency is well", **fields)
    elif status == "unhealthy" and dependency.is_required:
        _log.error("Dependency keeps failing", **fields, error=error)
    else:
        _log.warning("Dependency fails", **fields, error=error)
