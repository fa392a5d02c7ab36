"""From an ending to what Redis stores, what the log says and what the metrics count."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from structlog.typing import FilteringBoundLogger

from jobs.kit import Job
from worker.codec import JobMessage, cancelled_result, dumps
from worker.ending import Ending, State
from worker.engine.store import Claim, Finish
from worker.records import AttemptRecord, DeadRecord
from worker.telemetry.logs import get_logger
from worker.telemetry.metrics import Metrics, Status

_log = get_logger(__name__)

_RESULT_LIMIT = 1_048_576  # bytes: what is larger belongs into storage
_FAILURE_TTL = timedelta(hours=1)  # ARQ's default, for runs whose job is not known

_STATUS: Mapping[State, Status] = {
    State.SUCCEEDED: "success",
    State.CANCELLED: "cancelled",
    State.DEAD: "failed",
    State.RETRYING: "retried",
    State.SNOOZED: "snoozed",
    State.RELEASED: "interrupted",
}
_ENDED = {
    State.SUCCEEDED: "Run succeeded",
    State.CANCELLED: "Run cancelled",
    State.SNOOZED: "Run snoozed",
}


def finish_of(
    claim: Claim,
    message: JobMessage | None,
    job: Job[Any, Any] | None,
    ending: Ending,
    record: AttemptRecord,
) -> Finish:
    """The transition that goes with an ending."""
    dead = b""
    if ending.state is State.DEAD:
        payload = message.arguments if message else None
        dead = DeadRecord(
            last=record, payload=payload, raw=None if message else claim.raw
        ).to_bytes()
    return Finish(
        is_over=ending.state.is_final,
        spends_attempt=ending.spends_attempt,
        is_unknown=ending.is_unknown,
        wait=ending.wait,
        result=_result(claim, ending, record) if ending.state.is_final else b"",
        result_ttl=job.result_ttl if job else _FAILURE_TTL,
        event=record.to_bytes(),
        dead_letter=dead,
    )


def _result(claim: Claim, ending: Ending, record: AttemptRecord) -> bytes:
    """ARQ's result record. The arguments are not stored a second time."""
    fields = {
        "t": record.attempt,
        "f": record.job,
        "a": [],
        "k": {},
        "et": _epoch_ms(record.enqueued_at),
        "s": ending.state is State.SUCCEEDED,
        "r": _value(ending),
        "st": _epoch_ms(record.started_at),
        "ft": _epoch_ms(record.ended_at),
        "q": claim.queue.key,
        "id": record.run_id,
    }
    try:
        raw = dumps(fields)
    except TypeError as error:
        _log.warning("Result is not JSON and is not kept", reason=str(error))
        return dumps({**fields, "r": None})
    if len(raw) > _RESULT_LIMIT:
        _log.warning("Result is too large and is not kept", size=len(raw), limit=_RESULT_LIMIT)
        return dumps({**fields, "r": None})
    return raw


def _value(ending: Ending) -> Any:
    if ending.state is State.CANCELLED:
        return cancelled_result(ending.reason or "cancelled")
    if ending.failure is not None:
        return {"$error": ending.failure.error_type, "message": ending.failure.message}
    return ending.result


def report(metrics: Metrics, log: FilteringBoundLogger, record: AttemptRecord) -> None:
    """One log line and the counters for an attempt that is over."""
    duration = record.ended_at - record.started_at
    metrics.attempt_ended(
        queue=record.queue,
        function=record.job,
        status=_STATUS[record.state],
        seconds=duration.total_seconds(),
        dead_reason=record.reason if record.state is State.DEAD else None,
    )
    context: dict[str, Any] = {"duration_ms": int(duration / timedelta(milliseconds=1))}
    if record.reason:
        context["reason"] = record.reason
    match record.state:
        case State.DEAD:
            error = {"type": record.error_type, "message": record.error_message}
            log.error("Run dead-lettered", **context, error={**error, "stack": record.traceback})
        case State.RETRYING:
            error = {"type": record.error_type, "message": record.error_message}
            log.warning("Run failed and will be retried", **context, error=error)
        case State.RELEASED:
            log.warning("Run given back", **context)
        case _:
            log.info(_ENDED[record.state], **context)


def _epoch_ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
