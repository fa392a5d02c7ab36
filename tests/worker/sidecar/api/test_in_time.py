"""Callers get their answer, also when PostgreSQL does not answer us."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.worker.sidecar.api.conftest import (
    ADMIN_TOKEN,
    CREDENTIALS,
    Serve,
    bearer,
    code_of,
    tenant_token,
    token,
)
from worker.sidecar.api import auditing, in_time
from worker.sidecar.api.in_time import InTime

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]


@contextmanager
def hanging(pids: list[int]) -> Iterator[None]:
    """The server's processes of these connections do nothing, not even when asked to cancel."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def pids_of(db: "Db") -> list[int]:
    rows = await db.fetch("select pid from pg_stat_activity where datname = current_database()")
    return [row["pid"] for row in rows]


async def test_an_answer_comes_in_time_when_postgresql_hangs(
    serve: Serve, db: "Db", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_time, "TIMEOUT", 0.5)
    http = await serve(**CREDENTIALS)

    with hanging(await pids_of(db)):
        began = time.monotonic()
        reply = await http.get("/audit", headers=bearer(ADMIN_TOKEN))
        took = time.monotonic() - began

    assert (reply.status_code, code_of(reply)) == (503, "unavailable")
    assert took < 3
    assert (await http.get("/audit", headers=bearer(ADMIN_TOKEN))).status_code == 200


async def test_who_is_refused_does_not_wait_for_the_audit_log(
    serve: Serve, db: "Db", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "_WRITTEN_WITHIN", 0.0)
    http = await serve(**CREDENTIALS)

    with hanging(await pids_of(db)):
        began = time.monotonic()
        for headers in (bearer(token("viewer")), tenant_token(uuid4())):
            reply = await http.post("/queues/email/pause", headers=headers)
            assert reply.status_code == 403
        took = time.monotonic() - began
    monkeypatch.undo()
    await http.get("/queues", headers=bearer(ADMIN_TOKEN))  # behind it all is written

    assert took < 3
    assert await db.fetchval("select count(*) from audit_log where outcome = 'refused'") == 2


async def test_what_does_not_end_is_left_to_itself_and_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(in_time, "TIMEOUT", 0.05)
    monkeypatch.setattr(in_time, "MOST_LEFT", 2)
    ended, begun = asyncio.Event(), 0

    async def stubborn() -> None:
        nonlocal begun
        begun += 1
        try:
            await asyncio.sleep(3600)
        finally:
            await ended.wait()

    async def quick() -> int:
        return 1

    times = InTime()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await times.result(stubborn())
    with pytest.raises(TimeoutError):
        await times.result(quick())
    assert begun == 2

    ended.set()
    await asyncio.sleep(0.05)
    assert await times.result(quick()) == 1
    await times.close()


async def test_what_an_operation_raises_is_raised() -> None:
    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await InTime().result(fail())
