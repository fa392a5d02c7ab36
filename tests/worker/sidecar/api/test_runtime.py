"""The API of a real worker, from its start to its end."""

import asyncio
import time

import httpx
import pytest
import redis.exceptions
from structlog.testing import capture_logs

from tests.conftest import MakeSettings
from tests.worker.conftest import SpawnValkey, StartWorker
from tests.worker.sidecar.api.conftest import ADMIN_TOKEN, CREDENTIALS, Serve, bearer, code_of
from worker.enqueuer import Pool
from worker.redis_pool import open_redis
from worker.runtime import Runtime, open_runtime


def url_of(runtime: Runtime) -> str:
    return f"http://127.0.0.1:{runtime.sidecar.port}/api/v1"


async def test_a_worker_answers(start_worker: StartWorker) -> None:
    worker = await start_worker(**CREDENTIALS)

    async with httpx.AsyncClient(base_url=url_of(worker.ctx["runtime"])) as http:
        assert (await http.get("/queues")).status_code == 401
        listed = await http.get("/queues", headers=bearer(ADMIN_TOKEN))
    assert len(listed.json()["items"]) == 12


async def test_whoever_follows_events_holds_up_no_shutdown(
    make_settings: MakeSettings, pool: Pool
) -> None:
    opened = open_runtime(make_settings(), pool)
    runtime = await opened.__aenter__()
    async with (
        httpx.AsyncClient(base_url=url_of(runtime)) as http,
        http.stream("GET", "/events") as reply,
    ):
        assert reply.status_code == 200
        began = time.monotonic()

        await opened.__aexit__(None, None, None)

        assert time.monotonic() - began < 5
        assert "retry: 3000" in [line async for line in reply.aiter_lines()]


async def test_a_start_that_lets_nobody_in_says_so_once(serve: Serve) -> None:
    with capture_logs() as logs:
        await serve(host="0.0.0.0")  # noqa: S104 - what the image sets
        await serve(host="0.0.0.0", **CREDENTIALS)  # noqa: S104 - as above
        await serve()

    (line,) = [one for one in logs if "closed" in one["event"]]
    assert line["log_level"] == "warning"
    for name in ("ADMIN_TOKEN", "ADMIN_USERS", "JWT_SECRET"):
        assert name in line["hint"]


async def test_without_redis_it_says_so_and_goes_on_with_it(
    serve: Serve, spawn_valkey: SpawnValkey
) -> None:
    process, url = spawn_valkey()
    pool = open_redis(url, Pool)
    http = await serve(pool=pool)
    asked = {"payload": {"name": "a"}}
    assert (await http.post("/jobs/greet/runs", json=asked)).status_code == 202
    process.kill()
    await asyncio.to_thread(process.wait)

    for reply in (
        await http.post("/jobs/greet/runs", json=asked),
        await http.get("/queues"),
        await http.get("/events"),
    ):
        assert (reply.status_code, code_of(reply)) == (503, "unavailable")
        assert int(reply.headers["Retry-After"]) >= 1
    with pytest.raises(redis.exceptions.RedisError):
        await pool.ping()
    await pool.aclose()
