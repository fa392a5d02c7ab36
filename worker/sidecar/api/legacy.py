"""Endpoints of the deal rooms' old service, in the shapes that its clients know."""

import asyncio
from typing import Any, Literal

from pydantic import Field

from jobs.kit import QUEUES, discover
from worker.codec import JobFailedError
from worker.ending import State
from worker.engine.fleet import QueueSizes, sizes
from worker.sidecar.access.principal import Role
from worker.sidecar.api.auditing import audited_outside
from worker.sidecar.api.errors import ApiError, invalid, not_found
from worker.sidecar.api.jobs import check_admitted, check_tenant, headers_of
from worker.sidecar.api.operation import (
    Answer,
    Answered,
    Body,
    Call,
    NoParameters,
    Parameters,
    operation,
)

_TRIGGER, _PROCESS = "trigger-daily-briefs", "document-processing"
_PATIENCE = 20.0  # seconds for the count of briefs
# What the old service called its queues; the others stand beside them, in its way of writing.
_OLD_NAMES = {"document": "documentProcessing", "sync": "sourceSync"}


class OldCounts(Answered):
    waiting: int
    active: int
    completed: int
    failed: int


class OldStats(Answered):
    success: Literal[True] = True
    stats: dict[str, OldCounts] = Field(
        description="dailyBrief, documentProcessing, emailProcessing, sourceSync, and the others."
    )


class BriefsTriggered(Answered):
    """count: the briefs that were enqueued; null while that is still being found out."""

    success: Literal[True] = True
    message: str
    count: int | None
    run_id: str


class OneDocument(Parameters):
    document_id: str = Field(max_length=100, description="The document's id.")


class ProcessDocument(Body):
    documentId: str | None = Field(None, max_length=100, description="As in the path.")  # noqa: N815 - clients know it so
    dealId: str = Field(max_length=100, description="The deal that it belongs to.")  # noqa: N815 - as above
    operation: str = Field("summarize", max_length=50, description="What to do with it.")


class ProcessingStarted(Answered):
    success: Literal[True] = True
    message: Literal["Processing started"] = "Processing started"
    run_id: str


@operation(
    "GET",
    "/api/queue/stats",
    base="",
    tag="deal rooms",
    role=Role.VIEWER,
    summary="How much waits, runs and has ended on each queue.",
)
async def old_queue_stats(call: Call[NoParameters, None]) -> OldStats:
    held = await sizes(call.services.pool, list(QUEUES.values()))
    return OldStats(stats={_old_name(name): _counts(size) for name, size in held.items()})


@operation(
    "POST",
    "/api/queue/trigger-daily-briefs",
    base="",
    tag="deal rooms",
    role=Role.OPERATOR,
    action="briefs.trigger",
    also=(202,),
    errors=(404, 502),
    summary="Enqueue today's brief of each active deal that has none yet, and tell how many.",
)
async def trigger_daily_briefs(call: Call[NoParameters, None]) -> Answer[BriefsTriggered]:
    job = discover().get(_TRIGGER)
    if job is None:
        raise not_found("job in this version")
    pool = call.services.pool
    payload = job.validate({"due_at": call.services.clock().isoformat()})
    async with audited_outside(call):
        enqueued = await pool.enqueue(job, payload, headers=headers_of(call))
    try:
        result = await pool.handle(enqueued.run_id, job).result(_PATIENCE, poll_delay=0.05)
    except TimeoutError:
        message = "Daily briefs are being queued"
        late = BriefsTriggered(message=message, count=None, run_id=enqueued.run_id)
        return Answer(late, 202)
    except (JobFailedError, asyncio.CancelledError):
        raise ApiError(502, "failed", f"the run {enqueued.run_id} failed: look at it") from None
    count = result.get("briefs") if isinstance(result, dict) else None
    message = f"Queued {count} daily briefs"
    return Answer(BriefsTriggered(message=message, count=count, run_id=enqueued.run_id), 200)


@operation(
    "POST",
    "/api/documents/{document_id}/process",
    base="",
    tag="deal rooms",
    role=Role.OPERATOR,
    tenants=True,
    errors=(404,),
    unaudited="the run is its own record",
    summary="Have a document processed; answers at once.",
)
async def process_document(call: Call[OneDocument, ProcessDocument]) -> ProcessingStarted:
    body, document_id = call.body, call.parameters.document_id
    if body.documentId not in (None, document_id):
        raise invalid({"documentId": "is another document than the path's"}, where="body")
    job = discover().get(_PROCESS)
    if job is None:
        raise not_found("job in this version")
    fields: dict[str, Any] = {
        "document_id": document_id,
        "deal_id": body.dealId,
        "operation": body.operation,
    }
    if "tenant_id" in job.fields and call.tenant_id is not None:
        fields["tenant_id"] = str(call.tenant_id)
    payload = job.validate(fields)
    check_tenant(call, job, [payload])
    await check_admitted(call, job, [payload])
    enqueued = await call.services.pool.enqueue(job, payload, headers=headers_of(call))
    return ProcessingStarted(run_id=enqueued.run_id)


def _old_name(queue: str) -> str:
    first, *rest = queue.split("-")
    return _OLD_NAMES.get(queue) or first + "".join(word.capitalize() for word in rest)


def _counts(size: QueueSizes) -> OldCounts:
    return OldCounts(
        waiting=size.ready,
        active=size.running,
        completed=size.ended.get(State.SUCCEEDED, 0),
        failed=size.ended.get(State.DEAD, 0),
    )
