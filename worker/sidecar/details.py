"""The health of everything in three parts: queues, processing, schedules. For who is signed in:
it names hosts and processes.

What cannot be told now is None, and the rest is told all the same: a Redis that is away, a
scheduler that does not answer. There are no payloads and no ids of runs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from pydantic import BaseModel, ConfigDict
from redis.asyncio import Redis
from redis.exceptions import RedisError

from jobs.kit import Queue
from worker.clock import utc_now
from worker.engine.worker_report import WorkerReport, WorkerState
from worker.overview import Overview, QueueView, Rates, read_overview
from worker.sidecar.health import Checked, Health
from worker.telemetry.logs import get_logger

MOST: Final = 200  # processes, and schedules, that are listed
_SCHEDULES_TIMEOUT: Final = 5.0  # seconds
_log = get_logger(__name__)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class DependencyHealth(_Part):
    """`status` as in `/health`; `since` is when it began to fail, or to be well."""

    name: str
    status: str
    since: datetime
    latency_ms: float | None


class QueueHealth(_Part):
    """Runs in the whole cluster: `waiting` is due, `delayed` due later, `blocked` over a limit.

    `workers` are processes that say that they serve it, `free_slots` theirs.
    """

    name: str
    waiting: int
    delayed: int
    blocked: int
    running: int
    is_paused: bool
    paused_until: datetime | None
    oldest_due_seconds: float | None
    workers: int
    slots: int
    free_slots: int


class QueuesHealth(_Part):
    """`queues` is None while Redis cannot be asked."""

    redis: DependencyHealth | None
    queues: list[QueueHealth] | None


class ProcessHealth(_Part):
    """A worker process, by its heartbeat; None is what its version does not tell."""

    worker: str
    host: str | None
    pid: int | None
    version: str | None
    state: WorkerState | None
    started_at: datetime | None
    queues: list[str] | None
    running: dict[str, int]
    slots_used: int
    slots: int | None
    rss_bytes: int | None
    loop_lag_ms: float | None


class ProcessingHealth(_Part):
    """`processes` lists `MOST` of `processes_alive`.

    `ended` are attempts by queue and how they ended, since the beginning of this Redis, and
    `ended_lately` those of the last `lately_seconds` (a minute, less soon after the start).
    """

    running: int | None = None
    processes_alive: int | None = None
    processes: list[ProcessHealth] | None = None
    ended: dict[str, dict[str, int]] | None = None
    ended_lately: dict[str, dict[str, int]] | None
    lately_seconds: float | None


class ScheduleHealth(_Part):
    """A schedule: `reason` says why it is not well, `last_state` how its last run stands."""

    name: str
    job: str
    is_enabled: bool
    next_due_at: datetime | None
    last_due_at: datetime | None
    last_state: str | None
    reason: str | None


Schedules: TypeAlias = Callable[[], Awaitable[Sequence[ScheduleHealth]]]


class HealthDetails(_Part):
    """`status` is this process's, as in `/health`; `schedules` is None when nobody can tell."""

    status: str
    at: datetime
    dependencies: list[DependencyHealth]
    queues: QueuesHealth
    processing: ProcessingHealth
    schedules: list[ScheduleHealth] | None


async def details(
    redis: Redis,
    health: Health,
    rates: Rates,
    queues: Sequence[Queue],
    *,
    schedules: Schedules | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> HealthDetails:
    """Everything as it is now, within some seconds. Never raises for what is away."""
    overview, planned = await asyncio.gather(_overview(redis, queues), _planned(schedules))
    dependencies = [_dependency(checked) for checked in health.checked()]
    return HealthDetails(
        status=str(health.ready().body["status"]),
        at=clock(),
        dependencies=dependencies,
        queues=QueuesHealth(
            redis=next((each for each in dependencies if each.name == "redis"), None),
            queues=None if overview is None else [_queue(v) for v in overview.queues.values()],
        ),
        processing=_processing(overview, rates),
        schedules=planned,
    )


async def _overview(redis: Redis, queues: Sequence[Queue]) -> Overview | None:
    try:
        return await read_overview(redis, queues)
    except (RedisError, OSError):  # TimeoutError is one
        return None


async def _planned(schedules: Schedules | None) -> list[ScheduleHealth] | None:
    if schedules is None:
        return None
    try:
        async with asyncio.timeout(_SCHEDULES_TIMEOUT):
            return list(await schedules())[:MOST]
    except Exception as error:  # noqa: BLE001 - whatever it is: the other parts are told
        _log.warning("Schedules could not be asked for", error_type=type(error).__name__)
        return None


def _dependency(checked: Checked) -> DependencyHealth:
    latency = checked.latency
    return DependencyHealth(
        name=checked.name,
        status=checked.status,
        since=checked.since,
        latency_ms=None if latency is None else round(latency * 1000, 1),
    )


def _queue(view: QueueView) -> QueueHealth:
    return QueueHealth(
        name=view.name,
        waiting=view.sizes.ready,
        delayed=view.sizes.deferred,
        blocked=view.sizes.blocked,
        running=view.sizes.running,
        is_paused=view.is_paused,
        paused_until=view.paused_until,
        oldest_due_seconds=None if view.oldest is None else round(view.oldest.seconds, 1),
        workers=view.workers,
        slots=view.slots,
        free_slots=view.free,
    )


def _processing(overview: Overview | None, rates: Rates) -> ProcessingHealth:
    rate = rates.last_minute(None if overview is None else overview.ended)
    lately = None if rate is None else {name: dict(each) for name, each in rate.ended.items()}
    seconds = None if rate is None else round(rate.seconds, 1)
    if overview is None:
        return ProcessingHealth(ended_lately=lately, lately_seconds=seconds)
    rates.note(overview.ended)
    return ProcessingHealth(
        running=sum(view.sizes.running for view in overview.queues.values()),
        processes_alive=len(overview.workers),
        processes=[process_of(report) for report in overview.workers[:MOST]],
        ended={name: dict(each) for name, each in overview.ended.items()},
        ended_lately=lately,
        lately_seconds=seconds,
    )


def process_of(report: WorkerReport) -> ProcessHealth:
    """A worker's heartbeat, to be shown."""
    return ProcessHealth(
        worker=report.worker,
        host=report.host,
        pid=report.pid,
        version=report.version,
        state=report.state,
        started_at=report.started_at,
        queues=None if report.slots is None else sorted(report.slots),
        running=dict(report.running),
        slots_used=sum(report.running.values()),
        slots=None if report.slots is None else sum(report.slots.values()),
        rss_bytes=report.rss,
        loop_lag_ms=None if report.lag is None else round(report.lag * 1000, 1),
    )
