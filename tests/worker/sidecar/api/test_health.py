"""How everything is, and the worker processes, over HTTP."""

from typing import Any
from uuid import uuid4

import httpx
import orjson

from tests.worker.conftest import StartWorker, until
from tests.worker.sidecar.api import api_jobs
from tests.worker.sidecar.api.conftest import (
    CREDENTIALS,
    Serve,
    bearer,
    code_of,
    tenant_token,
    token,
)
from worker.enqueuer import Pool


async def details_of(http: httpx.AsyncClient, **options: Any) -> httpx.Response:
    return await http.get(http.base_url.join("/health/details"), **options)


async def say(pool: Pool, worker: str) -> None:
    await pool.set(f"deskhand:worker:{worker}", orjson.dumps({"worker": worker, "running": {}}))
    await pool.sadd("deskhand:workers", worker)  # type: ignore[misc]  # redis-py: sync or async


async def test_it_tells_of_queues_processes_and_what_they_need(
    http: httpx.AsyncClient, pool: Pool, start_worker: StartWorker
) -> None:
    for number in range(3):
        order = {"tenant_id": str(uuid4()), "order_id": number}
        await pool.enqueue(api_jobs.ship_order, order)
    await start_worker(worker_queues="default,sync")

    async def beats() -> Any:
        told = (await details_of(http)).json()
        return told["processing"]["processes"] and told

    told = await until(beats)

    queues = {queue["name"]: queue for queue in told["queues"]["queues"]}
    assert (queues["email"]["waiting"], queues["email"]["workers"]) == (3, 0)
    assert queues["default"]["workers"] == 1
    (process,) = told["processing"]["processes"]
    assert process["queues"] == ["default", "sync"]
    assert process["version"]
    weekly = {one["name"]: one for one in told["schedules"]}["documents.find_due_reports"]
    assert (weekly["is_enabled"], weekly["last_state"], weekly["reason"]) == (True, None, None)


async def test_it_is_for_who_is_signed_in_and_bound_to_no_tenant(serve: Serve) -> None:
    http = await serve(**CREDENTIALS)

    nobody = await details_of(http)
    bound = await details_of(http, headers=tenant_token(uuid4(), "admin"))
    viewer = await details_of(http, headers=bearer(token("viewer")))
    probe = await http.get(http.base_url.join("/health/live"))

    assert (nobody.status_code, code_of(nobody)) == (401, "unauthorized")
    assert (bound.status_code, code_of(bound)) == (403, "tenant_bound")
    assert (viewer.status_code, probe.status_code) == (200, 200)


async def test_a_worker_serves_it_itself(start_worker: StartWorker) -> None:
    worker = await start_worker(port=0)
    runtime = worker.ctx["runtime"]

    async with httpx.AsyncClient() as http:
        url = f"http://127.0.0.1:{runtime.sidecar.port}/health/details"
        told = (await http.get(url)).json()

    assert {each["name"] for each in told["dependencies"]} >= {"redis", "postgres"}
    assert told["processing"]["processes_alive"] is not None


async def test_workers_are_listed_page_by_page(http: httpx.AsyncClient, pool: Pool) -> None:
    names = [f"w{number}" for number in range(5)]
    for name in names:
        await say(pool, name)

    seen: list[str] = []
    page: dict[str, Any] = {"next": None}
    while not seen or page["next"]:
        after = {"after": page["next"]} if page["next"] else {}
        page = (await http.get("/workers", params={"limit": 2, **after})).json()
        assert len(page["items"]) <= 2
        seen += [item["worker"] for item in page["items"]]

    assert seen == names
