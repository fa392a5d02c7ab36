"""All that waits in a queue is cancelled, and what runs goes on."""

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.worker import testing_jobs
from tests.worker.conftest import Enqueue, Ledgered, StartWorker, until
from tests.worker.sidecar.api import api_jobs
from tests.worker.sidecar.api.conftest import (
    CREDENTIALS,
    Serve,
    basic,
    code_of,
)
from worker.engine.fleet import sizes
from worker.enqueuer import Pool
from worker.message import When
from worker.pausing import pause_queue
from worker.sidecar.api import auditing

if TYPE_CHECKING:
    import asyncpg

assert testing_jobs.nap.name  # declared by being imported


async def test_what_waits_is_cancelled_and_what_runs_goes_on(
    http: httpx.AsyncClient,
    pool: Pool,
    enqueue: Enqueue,
    start_worker: StartWorker,
    ledgered: Ledgered,
    db: "asyncpg.Pool[asyncpg.Record]",
) -> None:
    worker = await start_worker()
    queues = [worker.settings.queues()["default"]]
    running = await enqueue("testing.nap", seconds=1.5)

    async def is_running() -> bool:
        return (await sizes(pool, queues))["default"].running == 1

    await until(is_running)
    await pause_queue(pool, "default")
    for number in range(30):
        await pool.enqueue(api_jobs.greet, {"name": str(number)})
    late = await pool.enqueue(api_jobs.greet, {"name": "later"}, when=When(wait_ms=3_600_000))

    reply = await http.post(
        "/queues/default/drain", json={"confirm": "default", "reason": "a mistake"}
    )

    assert reply.json() == {"queue": "default", "cancelled": 31, "more": False}
    run = await ledgered.run(late.run_id, state="cancelled")
    assert run["reason"] == "a mistake"
    await ledgered.run(running, state="succeeded")
    entry = await db.fetchrow("select * from audit_log")
    assert entry is not None
    assert (entry["action"], entry["affected"], entry["reason"]) == ("queue.drain", 31, "a mistake")


@pytest.mark.parametrize("confirm", ["", "Default", "email"])
async def test_a_queue_is_not_emptied_by_mistake(
    http: httpx.AsyncClient, pool: Pool, confirm: str
) -> None:
    await pool.enqueue(api_jobs.greet, {"name": "a"})

    reply = await http.post("/queues/default/drain", json={"confirm": confirm})

    assert (reply.status_code, list(reply.json()["error"]["fields"])) == (422, ["confirm"])
    assert await pool.zcard("arq:queue") == 1


async def test_an_operator_may_not_empty_a_queue(serve: Serve) -> None:
    http = await serve(**CREDENTIALS)

    reply = await http.post(
        "/queues/default/drain", json={"confirm": "default"}, headers=basic("ayse")
    )

    assert (reply.status_code, code_of(reply)) == (403, "forbidden")


async def test_a_long_queue_is_emptied_in_several_calls(
    http: httpx.AsyncClient, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pool.enqueue_all(api_jobs.greet, [{"name": str(number)} for number in range(100)])
    monkeypatch.setattr(auditing, "MOST_AFFECTED", 50)

    cancelled, more = 0, True
    while more:
        said = (await http.post("/queues/default/drain", json={"confirm": "default"})).json()
        cancelled, more = cancelled + said["cancelled"], said["more"]

    assert cancelled == 100
    assert await pool.zcard("arq:queue") == 0
