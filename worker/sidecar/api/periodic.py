"""Periodic workers, in the shapes that the petcare service's clients know."""

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from jobs.kit import Job, discover
from worker import schedules
from worker.schedules.periodic import periodic_jobs, slug_of
from worker.schedules.views import ScheduleView, list_schedules
from worker.sidecar.access.principal import Role
from worker.sidecar.api.auditing import audited
from worker.sidecar.api.errors import ApiError, not_found
from worker.sidecar.api.jobs import check_admitted, headers_of
from worker.sidecar.api.operation import (
    Answered,
    Call,
    NoParameters,
    Parameters,
    operation,
)

_PROCESS_EXPORT = "process-export"


class OneWorker(Parameters):
    worker: str = Field(max_length=100, description="As in stock-reconciliation.")


class OneExport(Parameters):
    export_id: str = Field(max_length=100, description="The export's id.")


class LastRun(Answered):
    run_id: str
    at: AwareDatetime
    state: str | None
    error: str | None
    duration_seconds: float | None
    result: Any


class WorkerHealth(Answered):
    """`job` is null in a version that has none for this worker."""

    name: str
    isRunning: bool  # noqa: N815 - clients know it by this name
    job: str | None
    run_id: str | None
    next_run_at: AwareDatetime | None
    is_paused: bool
    last_run: LastRun | None


class WorkersHealth(Answered):
    workers: list[WorkerHealth]


class Triggered(Answered):
    success: Literal[True] = True
    message: str
    run_id: str


@operation(
    "GET",
    "/workers/health",
    tag="workers",
    role=Role.VIEWER,
    summary="The periodic workers: which one is running, and what came of its last run.",
)
async def periodic_health(call: Call[NoParameters, None]) -> WorkersHealth:
    jobs = periodic_jobs()
    names = [job.first_name for job in jobs.values() if job is not None]
    found = await list_schedules(call.services.db, names=names, limit=len(names))
    by_job = {one.name: one for one in found}
    return WorkersHealth(
        workers=[
            _health(name, job, None if job is None else by_job.get(job.first_name))
            for name, job in jobs.items()
        ]
    )


@operation(
    "POST",
    "/workers/{worker}/trigger",
    tag="workers",
    role=Role.OPERATOR,
    action="worker.trigger",
    status=202,
    errors=(404, 409),
    summary="Start a run of a periodic worker; 409 while it is running.",
)
async def trigger_worker(call: Call[OneWorker, None]) -> Triggered:
    job = _job(call.parameters.worker)
    async with audited(call) as connection:
        started = await schedules.run_now(connection, job.name, by=call.principal.name)
    return Triggered(message=f"{job.worker} started", run_id=started.run_id)


@operation(
    "POST",
    "/workers/financial-export/process/{export_id}",
    tag="workers",
    role=Role.OPERATOR,
    status=202,
    errors=(404,),
    unaudited="the run is its own record",
    summary="Process one export; again while that waits or runs it is the same run.",
)
async def process_export(call: Call[OneExport, None]) -> Triggered:
    job = discover().get(_PROCESS_EXPORT)
    if job is None:
        raise not_found("worker in this version")
    payload = job.validate({"export_id": call.parameters.export_id})
    await check_admitted(call, job, [payload])
    enqueued = await call.services.pool.enqueue(job, payload, headers=headers_of(call))
    return Triggered(message="Export processing started", run_id=enqueued.run_id)


def _job(slug: str) -> Job[Any, Any]:
    """Raises ApiError."""
    for name, job in periodic_jobs().items():
        if slug_of(name) == slug:
            if job is None:
                raise ApiError(404, "not_found", f"this version has no job for {name}")
            return job
    raise not_found("worker")


def _health(name: str, job: Job[Any, Any] | None, view: ScheduleView | None) -> WorkerHealth:
    last = None if view is None else view.last
    duration = None if last is None else last.duration
    return WorkerHealth(
        name=name,
        isRunning=view is not None and view.running is not None,
        job=None if job is None else job.name,
        run_id=None if view is None else view.running,
        next_run_at=None if view is None else view.next_due_at,
        is_paused=view is not None and view.paused_at is not None,
        last_run=None
        if last is None
        else LastRun(
            run_id=last.run_id,
            at=last.fired_at,
            state=last.state,
            error=last.error_type,
            duration_seconds=None if duration is None else round(duration.total_seconds(), 3),
            result=last.result,
        ),
    )
