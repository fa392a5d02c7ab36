"""Runs in history, as the ledger writes them."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
import pytest

from tests.worker.controls.conftest import Crowd
from tests.worker.ledger.records import attempt
from worker.enqueuer import Pool
from worker.ledger import write_attempts
from worker.records import AttemptRecord

if TYPE_CHECKING:
    import asyncpg

Remember = Callable[..., Awaitable[AttemptRecord]]


@pytest.fixture
def crowd(pool: Pool, tmp_path: Path) -> Crowd:
    return Crowd(pool, tmp_path / "marks")


@pytest.fixture
def remember(db: "asyncpg.Pool[asyncpg.Record]") -> Remember:
    """Write an attempt as the ledger does; returns its record."""

    async def remember(*, payload: dict[str, Any] | None = None, **changes: Any) -> AttemptRecord:
        text = None if payload is None else orjson.dumps(payload).decode()
        record = attempt(**{"run_id": uuid4().hex, **changes, "payload": text})
        await write_attempts(db, [(f"{uuid4().hex}-0", record.to_bytes())])
        return record

    return remember
