"""What the engine writes to the streams, made by hand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from worker.ending import State
from worker.engine.store import DEAD, EVENTS
from worker.enqueuer import Pool
from worker.ledger import Entry
from worker.records import AttemptRecord, DeadRecord

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
TENANT = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


def attempt(run_id: str = "a", *, minute: int = 0, **changes: Any) -> AttemptRecord:
    """An attempt that succeeded, unless told otherwise; `minute` orders those of one run."""
    record = AttemptRecord(
        run_id=run_id,
        job="testing.add_line",
        queue="default",
        tenant_id=TENANT,
        label=None,
        correlation_id="request-1",
        replay_of=None,
        attempt=1,
        state=State.SUCCEEDED,
        reason=None,
        enqueued_at=START,
        started_at=START + timedelta(minutes=minute),
        ended_at=START + timedelta(minutes=minute, seconds=1),
        worker="host:1:x",
        error_type=None,
        error_message=None,
        traceback=None,
    )
    return replace(record, **changes)


def dead(run_id: str = "a", *, payload: Any = None, raw: bytes | None = None) -> DeadRecord:
    last = attempt(run_id, state=State.DEAD, reason="rejected", error_type="E")
    return DeadRecord(last=last, payload=payload, raw=raw)


async def put(pool: Pool, *records: AttemptRecord | DeadRecord) -> list[Entry]:
    """An entry for each record, as version 0.1 wrote them; returns the entries."""
    entries = []
    for record in records:
        stream = EVENTS if isinstance(record, AttemptRecord) else DEAD
        entry_id = await pool.xadd(stream, {"d": record.to_bytes()})
        entries.append((entry_id.decode(), record.to_bytes()))
    return entries


def ended(*records: AttemptRecord) -> dict[bytes, bytes]:
    """The fields of attempts that ended, for one entry; each is of another run."""
    fields = {f"={record.run_id}".encode(): record.to_bytes() for record in records}
    assert len(fields) == len(records)
    return fields


async def put_together(pool: Pool, fields: dict[bytes, bytes]) -> str:
    """One entry with many events, as the engine writes them; returns its id."""
    entry_id: bytes = await pool.xadd(EVENTS, cast("dict[Any, Any]", fields))
    return entry_id.decode()
