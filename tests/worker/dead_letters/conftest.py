"""Dead letters, as the ledger writes them."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.worker.testing_jobs import add_line
from worker.ending import State
from worker.ledger import write_attempts, write_dead_letters
from worker.records import AttemptRecord, DeadRecord

if TYPE_CHECKING:
    import asyncpg

MakeLetter = Callable[..., Awaitable[int]]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def make_letter(db: "asyncpg.Pool[asyncpg.Record]") -> MakeLetter:
    """A dead letter, two minutes after NOW; returns its id."""

    async def make(
        *,
        payload: dict[str, Any] | None = None,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
        **changes: Any,
    ) -> int:
        fields = {
            "run_id": uuid4().hex,
            "job": add_line.name,
            "queue": "default",
            "tenant_id": None,
            "label": None,
            "correlation_id": "request-1",
            "replay_of": None,
            "attempt": 3,
            "state": State.DEAD,
            "reason": "attempts_spent",
            "enqueued_at": NOW,
            "started_at": NOW + timedelta(minutes=1),
            "ended_at": NOW + timedelta(minutes=2),
            "worker": "host:1:x",
            "error_type": "ValueError",
            "error_message": "it went wrong",
            "traceback": "Traceback …",
        }
        last = AttemptRecord(**{**fields, **changes})
        event_id = f"{uuid4().hex}-0"
        letter = DeadRecord(last=last, payload=payload, raw=raw, headers=headers).to_bytes()
        await write_dead_letters(db, [(event_id, letter)])
        await write_attempts(db, [(event_id, last.to_bytes())])
        found = "select dead_letter_id from dead_letters where event_id = $1"
        return int(await db.fetchval(found, event_id))

    return make
