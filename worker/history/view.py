"""All that is known of one run, wherever it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from jobs.kit import discover
from worker.clock import utc_now
from worker.codec import UndecodableError, decode_job
from worker.dead_letters import Attempt, attempts_of
from worker.ending import State
from worker.history import queries
from worker.history.live import LiveRun, look
from worker.history.queries import Db, Letter, OutboxRun
from worker.history.results import Ended, Result, ended_of
from worker.history.runs import PastRun
from worker.ledger.rows import stored_id
from worker.notes import Live, live
from worker.records import plain, tenant_of
from worker.telemetry.redaction import MASK, redact

_COMMON = (
    "run_id", "job", "queue", "tenant_id", "label", "correlation_id", "replay_of", "attempt",
    "payload",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """`state` is `waiting`, `delayed`, `blocked`, `active`, or a State's value.

    `payload` is as it came when the run is not over, or is dead; else as history keeps it: show
    people `redacted_payload`. `result` may hold personal data, too. `progress` is what an attempt
    said last, with the last lines of its log. `started_at` and `reason` are of the newest attempt
    that history knows; `due_at` of a run that is to start. A run that waits in PostgreSQL for its
    time, or for a relay, `is_in_outbox`.
    """

    run_id: str
    state: str
    job: str
    queue: str
    tenant_id: UUID | None
    label: str | None
    correlation_id: str
    replay_of: str | None
    attempt: int
    enqueued_at: datetime | None
    payload: Mapping[str, Any] | None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    due_at: datetime | None = None
    reason: str | None = None
    result: Result | None = None
    progress: Live | None = None
    attempts: Sequence[Attempt] = ()
    dead_letter_id: int | None = None
    is_in_outbox: bool = False


async def get_run(db: Db, pool: Redis, run_id: str) -> RunView | None:
    """A run that waits, runs or is over; None when nobody knows it.

    Raises RedisError, OSError and asyncpg's errors.
    """
    found = await look(pool, run_id)
    ended = await ended_of(pool, run_id)
    progress = await live(pool, run_id)
    past = await queries.get(db, run_id)
    attempts = await attempts_of(db, stored_id(plain(run_id))) if past else []
    if found is not None:
        return _of_live(found, past, attempts, progress)
    if past is not None:
        letter = await queries.letter_of(db, run_id) if past.state is State.DEAD else None
        return _of_past(past, attempts, progress, ended.result if ended else None, letter)
    if ended is not None:
        return _of_result(run_id, ended, progress)
    promised = await queries.outbox_run(db, run_id)
    return None if promised is None else _of_outbox(promised)


def redacted_payload(job: str, payload: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """For people: neither what the job calls sensitive nor what looks personal."""
    known = discover().get(job)
    hidden = known.sensitive if known else frozenset()
    if payload is None:
        return None
    shown = redact({name: MASK if name in hidden else value for name, value in payload.items()})
    return shown if isinstance(shown, dict) else None


def _of_live(
    found: LiveRun, past: PastRun | None, attempts: Sequence[Attempt], progress: Live | None
) -> RunView:
    # A run id may come again: of an earlier run with it history knows the end.
    is_same = past is not None and not past.state.is_final
    return RunView(
        **_common(found),
        state=found.state,
        enqueued_at=found.enqueued_at,
        started_at=past.started_at if past and is_same else None,
        reason=past.reason if past and is_same else None,
        due_at=None if found.state == "active" else found.due_at,
        progress=progress if found.state == "active" or is_same else None,
        attempts=attempts,
    )


def _of_past(
    past: PastRun,
    attempts: Sequence[Attempt],
    progress: Live | None,
    result: Result | None,
    letter: Letter | None,
) -> RunView:
    fields = _common(past)
    if letter is not None and letter.payload is not None:
        fields["payload"] = letter.payload
    return RunView(
        **fields,
        state=past.state.value,
        enqueued_at=past.enqueued_at,
        started_at=past.started_at,
        finished_at=past.finished_at,
        reason=past.reason,
        result=result,
        progress=progress,
        attempts=attempts,
        dead_letter_id=letter.dead_letter_id if letter else None,
    )


def _common(run: LiveRun | PastRun) -> dict[str, Any]:
    return {name: getattr(run, name) for name in _COMMON}


def _of_outbox(promised: OutboxRun) -> RunView:
    try:
        message = decode_job(promised.message)
    except UndecodableError:
        message = None
    headers = message.headers if message else {}
    due_at = promised.due_at or promised.created_at
    return RunView(
        run_id=promised.run_id,
        state="delayed" if due_at > utc_now() else "waiting",
        job=promised.job,
        queue=promised.queue,
        tenant_id=tenant_of(message),
        label=plain(headers.get("label")),
        correlation_id=plain(headers.get("cid", promised.run_id)),
        replay_of=plain(headers.get("replay")),
        attempt=1,
        enqueued_at=promised.created_at,
        payload=message.arguments if message else None,
        due_at=due_at,
        is_in_outbox=True,
    )


def _of_result(run_id: str, ended: Ended, progress: Live | None) -> RunView:
    """History has not heard of its end yet."""
    return RunView(
        run_id=run_id,
        state=ended.state.value,
        job=ended.job,
        queue=ended.queue,
        tenant_id=None,
        label=None,
        correlation_id=run_id,
        replay_of=None,
        attempt=ended.attempt,
        enqueued_at=ended.enqueued_at,
        payload=None,
        started_at=ended.started_at,
        finished_at=ended.finished_at,
        result=ended.result,
        progress=progress,
    )
