"""Jobs: which there are, and runs of them that others ask for."""

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Annotated, Any

from pydantic import Field

from jobs.kit import Enqueued, Job, PayloadError, TenantPayload, all_jobs
from worker.enqueuer import known_job
from worker.job_table import when
from worker.message import NOW, When, check_foreign_run_id
from worker.sidecar.access.principal import Role
from worker.sidecar.api.errors import ApiError, invalid_payload, not_found, refusing
from worker.sidecar.api.operation import (
    Answer,
    Answered,
    Body,
    Call,
    Instant,
    NoParameters,
    Parameters,
    operation,
)

MOST_PAYLOADS = 1000
_FARTHEST = timedelta(days=3653)
_UNAUDITED = "the run is its own record, and says who asked for it"

Seconds = Annotated[float, Field(ge=0.001, le=_FARTHEST.total_seconds())]


class OneJob(Parameters):
    name: str = Field(max_length=200, description="The job's name, or an alias.")


class Options(Body):
    delay_seconds: Seconds | None = Field(None, description="Due after so long.")
    due_at: Instant | None = Field(None, description="Due at this instant; at once if past.")
    priority: int | None = Field(
        None, ge=0, le=9, description="A head start of so many minutes, instead of the job's own."
    )
    expires_seconds: Seconds | None = Field(
        None, description="Not to be started later than after so long."
    )


class NewRun(Options):
    payload: dict[str, Any] = Field(description="As the job's `payload_schema` says.")
    run_id: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Instead of a random one: a second request with it is a duplicate.",
    )


class NewRuns(Options):
    payloads: list[dict[str, Any]] = Field(
        min_length=1, max_length=MOST_PAYLOADS, description="One for each run."
    )


class JobDescription(Answered):
    """`is_exposed`: its runs may be asked for here. The schedule is a crontab line."""

    name: str
    aliases: list[str]
    queue: str
    timeout_seconds: float
    is_exposed: bool
    is_for_tenants: bool
    schedule: str | None
    payload_schema: dict[str, Any]


class JobList(Answered):
    items: list[JobDescription]


class RunEnqueued(Answered):
    """The run that the request led to: a new one; one that waits and has this payload now
    (`is_merged`); one whose kept result is this request's too (`is_cached`); or else one that had
    the same id or idempotency key before.
    """

    run_id: str
    is_new: bool
    is_merged: bool
    is_cached: bool


class RunsEnqueued(Answered):
    items: list[RunEnqueued]


@operation(
    "GET",
    "/jobs",
    tag="jobs",
    role=Role.VIEWER,
    tenants=True,
    summary="All declared jobs, with the schemas of their payloads.",
)
async def list_jobs(call: Call[NoParameters, None]) -> JobList:
    del call
    return JobList(items=[_described(job) for job in all_jobs()])


@operation(
    "POST",
    "/jobs/{name}/runs",
    tag="jobs",
    role=Role.OPERATOR,
    tenants=True,
    status=202,
    also=(200,),
    errors=(404,),
    unaudited=_UNAUDITED,
    summary="Enqueue a run; 200 for one that was there before.",
)
async def enqueue_run(call: Call[OneJob, NewRun]) -> Answer[RunEnqueued]:
    job, body = exposed_job(call.parameters.name), call.body
    payload = job.validate(body.payload)
    check_tenant(call, job, [payload])
    await check_admitted(call, job, [payload])
    if body.run_id is not None:
        _check_run_id(call, body.run_id)
    with refusing("request"):
        enqueued = await call.services.pool.enqueue(
            job,
            payload,
            run_id=body.run_id,
            when=_when(call, body),
            headers=headers_of(call),
            priority=body.priority,
        )
    is_ours = enqueued.is_new or enqueued.is_merged
    return Answer(_enqueued(enqueued), 202 if is_ours else 200)


@operation(
    "POST",
    "/jobs/{name}/runs/bulk",
    tag="jobs",
    role=Role.OPERATOR,
    tenants=True,
    status=202,
    errors=(404,),
    unaudited=_UNAUDITED,
    summary="Enqueue up to 1000 runs of a job: all are checked before the first is written.",
)
async def enqueue_runs(call: Call[OneJob, NewRuns]) -> RunsEnqueued:
    job, body = exposed_job(call.parameters.name), call.body
    payloads = [_validated(job, place, given) for place, given in enumerate(body.payloads)]
    check_tenant(call, job, payloads)
    await check_admitted(call, job, payloads)
    with refusing("request"):
        told = await call.services.pool.enqueue_all(
            job,
            payloads,
            when=_when(call, body),
            headers=headers_of(call),
            priority=body.priority,
        )
    return RunsEnqueued(items=[_enqueued(one) for one in told])


def exposed_job(name: str) -> Job[Any, Any]:
    """Raises UnknownJobError, or ApiError when its runs are not for others to ask for."""
    job = known_job(name)
    if not job.exposed:
        raise ApiError(
            403, "not_exposed", f"{job.name} is not exposed: declare it with exposed=True"
        )
    return job


def check_tenant(call: Call[Any, Any], job: Job[Any, Any], payloads: list[Any]) -> None:
    """Raises ApiError when they are not of the tenant to whom the caller is bound."""
    if call.tenant_id is None:
        return
    if not issubclass(job.payload, TenantPayload):
        raise ApiError(403, "tenant_bound", "the runs of this job are of no tenant")
    if any(payload.tenant_id != call.tenant_id for payload in payloads):
        raise not_found("tenant")


async def check_admitted(call: Call[Any, Any], job: Job[Any, Any], payloads: list[Any]) -> None:
    """Raises ApiError when something that they name is not there."""
    admits = job.admits
    if admits is None:
        return
    for payload in payloads:
        if not await admits(call.services.db, payload):
            raise ApiError(404, "not_found", "the payload names what is not there")


def headers_of(call: Call[Any, Any]) -> dict[str, str]:
    """What runs carry of the request."""
    return {"cid": call.request_id, "by": call.principal.name}


def _check_run_id(call: Call[Any, Any], run_id: str) -> None:
    """Other tenants' runs must not be met, nor guessed; nor those that we make."""
    with refusing("run_id"):
        check_foreign_run_id(run_id)
    if call.tenant_id is not None and not run_id.startswith(f"{call.tenant_id}:"):
        with refusing("run_id"):
            raise ValueError("yours begins with your tenant's id and a colon")


def _validated(job: Job[Any, Any], place: int, given: Mapping[str, Any]) -> Any:
    try:
        return job.validate(given)
    except PayloadError as error:
        refusal = invalid_payload(error)
        refusal.fields = {
            name.replace("payload", f"payloads.{place}", 1): problem
            for name, problem in (refusal.fields or {}).items()
        }
        raise refusal from None


def _when(call: Call[Any, Any], options: Options) -> When:
    if options.delay_seconds is not None and options.due_at is not None:
        with refusing("due_at"):
            raise ValueError("give delay_seconds or due_at, not both")
    due_at = options.due_at
    if due_at is not None and due_at <= call.services.clock():
        due_at = None
    if due_at is not None and due_at > call.services.clock() + _FARTHEST:
        with refusing("due_at"):
            raise ValueError("is more than ten years ahead")
    if due_at is None and options.delay_seconds is None and options.expires_seconds is None:
        return NOW
    return When.of(due_at, options.delay_seconds, options.expires_seconds)


def _enqueued(enqueued: Enqueued) -> RunEnqueued:
    return RunEnqueued(
        run_id=enqueued.run_id,
        is_new=enqueued.is_new,
        is_merged=enqueued.is_merged,
        is_cached=enqueued.is_cached,
    )


def _described(job: Job[Any, Any]) -> JobDescription:
    return JobDescription(
        name=job.name,
        aliases=list(job.aliases),
        queue=job.queue,
        timeout_seconds=job.timeout.total_seconds(),
        is_exposed=job.exposed,
        is_for_tenants=issubclass(job.payload, TenantPayload),
        schedule=None if job.schedule is None else when(job.schedule),
        payload_schema=_schema_of(job.name),
    )


@cache  # some milliseconds each, and there are as many as jobs
def _schema_of(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = known_job(name).payload.model_json_schema()
    return schema
