"""Queues over HTTP: what they hold, and whether workers take from them."""

from datetime import datetime, timedelta

import httpx
import pytest

from tests.worker.conftest import StartWorker, until
from tests.worker.sidecar.api import api_jobs
from tests.worker.sidecar.api.conftest import code_of
from worker.clock import utc_now
from worker.enqueuer import Pool
from worker.message import When
from worker.pausing import paused_queues


async def test_every_queue_says_what_it_holds(http: httpx.AsyncClient, pool: Pool) -> None:
    for number in range(3):
        await pool.enqueue(api_jobs.greet, {"name": str(number)})
    await pool.enqueue(api_jobs.greet, {"name": "later"}, when=When(wait_ms=60_000))

    listed = (await http.get("/queues")).json()["items"]
    one = (await http.get("/queues/default")).json()

    assert [queue["queue"] for queue in listed][:2] == ["default", "email"]
    assert len(listed) == 12
    assert (one["waiting"], one["delayed"], one["active"], one["dead_letters"]) == (3, 1, 0, 0)
    assert 0 <= one["oldest_wait_seconds"] < 30
    assert listed[1]["oldest_wait_seconds"] is None
    assert (one["is_paused"], one["concurrency"]) == (False, 10)


async def test_what_was_done_is_counted(
    http: httpx.AsyncClient, pool: Pool, start_worker: StartWorker
) -> None:
    await pool.enqueue(api_jobs.greet, {"name": "a"})
    await start_worker()

    async def is_done() -> bool:
        return bool((await http.get("/queues/default")).json()["succeeded"] == 1)

    assert await until(is_done)


async def test_a_queue_is_paused_and_goes_on(http: httpx.AsyncClient, pool: Pool) -> None:
    paused = await http.post("/queues/email/pause", json={})

    assert paused.json() == {"queue": "email", "is_paused": True, "paused_until": None}
    assert await paused_queues(pool) == {"email": None}
    assert (await http.get("/queues/email")).json()["is_paused"] is True

    assert (await http.post("/queues/email/resume")).json()["was_paused"] is True
    assert (await http.post("/queues/email/resume")).json()["was_paused"] is False
    assert await paused_queues(pool) == {}


async def test_a_pause_ends_by_itself_when_it_says_how_long(http: httpx.AsyncClient) -> None:
    paused = (await http.post("/queues/sync/pause", json={"seconds": 90})).json()

    until_ = datetime.fromisoformat(paused["paused_until"])
    assert abs(until_ - utc_now() - timedelta(seconds=90)) < timedelta(seconds=30)
    assert (await http.get("/queues/sync")).json()["paused_until"] is not None


@pytest.mark.parametrize("seconds", [0, -1, 1e12, "60"])
async def test_a_pause_has_a_length_that_makes_sense(
    http: httpx.AsyncClient, seconds: object
) -> None:
    reply = await http.post("/queues/email/pause", json={"seconds": seconds})

    assert (reply.status_code, code_of(reply)) == (422, "invalid")


async def test_a_queue_that_is_not_there_is_not_found(http: httpx.AsyncClient) -> None:
    for reply in (
        await http.get("/queues/nothing"),
        await http.post("/queues/nothing/pause", json={}),
        await http.post("/queues/nothing/resume"),
    ):
        assert (reply.status_code, code_of(reply)) == (404, "unknown_queue")
