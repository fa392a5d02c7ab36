"""Jobs over HTTP, and runs of them that others ask for."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest

from tests.conftest import Tenant
from tests.worker.conftest import StartWorker
from tests.worker.sidecar.api.conftest import (
    CREDENTIALS,
    Serve,
    basic,
    bearer,
    code_of,
    tenant_token,
    token,
)
from worker.clock import utc_now
from worker.enqueuer import Pool, known_job

RUNS = "/jobs/testing_api.greet/runs"
ORDERS = "/jobs/testing_api.ship_order/runs"


async def stored(pool: Pool, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(await pool.get(f"arq:job:{run_id}"))
    return found


async def test_jobs_are_listed_with_what_they_take(http: httpx.AsyncClient) -> None:
    items = {item["name"]: item for item in (await http.get("/jobs")).json()["items"]}

    greet, report = items["testing_api.greet"], items["documents.generate_report"]
    assert (greet["queue"], greet["is_exposed"], greet["aliases"]) == ("default", True, ["greet"])
    assert greet["payload_schema"]["required"] == ["name"]
    assert (report["is_for_tenants"], greet["is_for_tenants"]) == (True, False)
    assert items["testing_api.hide"]["is_exposed"] is False
    assert items["testing_api.hide"]["schedule"] is None


async def test_a_run_asked_for_is_done(
    http: httpx.AsyncClient, pool: Pool, start_worker: StartWorker
) -> None:
    reply = await http.post(
        RUNS, json={"payload": {"name": "Ada"}}, headers={"X-Request-ID": "req-7"}
    )

    assert reply.status_code == 202
    said = reply.json()
    assert {**said, "run_id": ""} == {
        "run_id": "",
        "is_new": True,
        "is_merged": False,
        "is_cached": False,
    }
    await start_worker()
    handle = pool.handle(said["run_id"], known_job("testing_api.greet"))
    assert await handle.result(timeout=20, poll_delay=0.05) == "Ada req-7"


async def test_a_run_carries_who_asked_for_it(serve: Serve, pool: Pool) -> None:
    http = await serve(**CREDENTIALS)
    asked = await http.post(RUNS, json={"payload": {"name": "x"}}, headers=basic("ayse"))
    many = await http.post(
        f"{RUNS}/bulk",
        json={"payloads": [{"name": "x"}]},
        headers=bearer(token("operator", sub="svc\n1")),
    )

    assert (await stored(pool, asked.json()["run_id"]))["h"]["by"] == "ayse"
    assert (await stored(pool, many.json()["items"][0]["run_id"]))["h"]["by"] == "jwt:svc1"


async def test_the_same_request_twice_is_one_run(http: httpx.AsyncClient) -> None:
    order = {"tenant_id": str(uuid4()), "order_id": 7}
    first = await http.post(ORDERS, json={"payload": order})
    second = await http.post(ORDERS, json={"payload": order})
    chosen = [
        await http.post(RUNS, json={"payload": {"name": "a"}, "run_id": "mine"}) for _ in range(2)
    ]

    assert (first.status_code, second.status_code) == (202, 200)
    assert second.json() == {**first.json(), "is_new": False}
    assert [reply.status_code for reply in chosen] == [202, 200]
    assert chosen[1].json()["run_id"] == "mine"


async def test_when_a_run_is_due_can_be_said(http: httpx.AsyncClient, pool: Pool) -> None:
    async def asked(**options: Any) -> str:
        reply = await http.post(RUNS, json={"payload": {"name": "a"}, **options})
        assert reply.status_code == 202, reply.text
        return str(reply.json()["run_id"])

    async def due(run_id: str) -> float:
        score: float = await pool.zscore("arq:queue", run_id)
        return score / 1000 - utc_now().timestamp()

    in_an_hour = (utc_now() + timedelta(hours=1)).isoformat()
    assert 3500 < await due(await asked(delay_seconds=3600)) < 3700
    assert 3500 < await due(await asked(due_at=in_an_hour)) < 3700
    assert -60 < await due(await asked(due_at="2001-01-01T00:00:00Z")) < 60
    assert await due(await asked(priority=9)) < -400
    assert "expires" in (await stored(pool, await asked(expires_seconds=5)))["h"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "payload"),
        ({"payload": {}}, "payload.name"),
        ({"payload": {"name": "a", "nickname": 1}}, "payload"),
        ({"payload": {"name": "a", "times": "often"}}, "payload.times"),
        ({"payload": {"name": "a"}, "priority": 10}, "priority"),
        ({"payload": {"name": "a"}, "delay_seconds": 0}, "delay_seconds"),
        ({"payload": {"name": "a"}, "delay_seconds": 1e10}, "delay_seconds"),
        ({"payload": {"name": "a"}, "expires_seconds": -1}, "expires_seconds"),
        ({"payload": {"name": "a"}, "expires_seconds": 1e-9}, "expires_seconds"),
        ({"payload": {"name": "a"}, "due_at": "2030-01-01T00:00:00"}, "due_at"),
        ({"payload": {"name": "a"}, "due_at": "9999-12-31T23:59:59-12:00"}, "due_at"),
        (
            {"payload": {"name": "a"}, "due_at": "2026-12-01T00:00:00Z", "delay_seconds": 1},
            "due_at",
        ),
        ({"payload": {"name": "a"}, "run_id": ""}, "run_id"),
        ({"payload": {"name": "a"}, "run_id": "tick:a.b:2026-11-22T14:29:00Z"}, "run_id"),
        ({"payload": {"name": "a"}, "run_id": "replay:7"}, "run_id"),
        ({"payload": {"name": "a"}, "run_id": "webhook:sendgrid:0"}, "run_id"),
        ({"payload": {"name": "a"}, "run_id": "a\x1b[2J"}, "run_id"),
        ({"payload": {"name": "a"}, "run_id": ".."}, "run_id"),
        ({"payload": {"name": "a"}, "run_id": "x" * 201}, "run_id"),
        ({"payload": {"name": "a"}, "queue": "email"}, "queue"),
    ],
)
async def test_what_does_not_fit_is_named_and_nothing_is_enqueued(
    http: httpx.AsyncClient, pool: Pool, body: dict[str, Any], field: str
) -> None:
    reply = await http.post(RUNS, json=body)

    assert (reply.status_code, code_of(reply)) == (422, "invalid")
    assert list(reply.json()["error"]["fields"]) == [field]
    assert await pool.dbsize() == 0


async def test_only_exposed_jobs_are_run_for_others(http: httpx.AsyncClient, pool: Pool) -> None:
    hidden = await http.post("/jobs/testing_api.hide/runs", json={"payload": {"name": "a"}})
    unknown = await http.post("/jobs/testing_api.gret/runs", json={"payload": {"name": "a"}})
    alias = await http.post("/jobs/greet/runs", json={"payload": {"name": "a"}})

    assert (hidden.status_code, code_of(hidden)) == (403, "not_exposed")
    assert (unknown.status_code, code_of(unknown)) == (404, "unknown_job")
    assert "testing_api.greet" in unknown.json()["error"]["message"]
    assert alias.status_code == 202
    assert await pool.zcard("arq:queue") == 1


async def test_a_run_that_names_itself_cannot_be_named(http: httpx.AsyncClient) -> None:
    reply = await http.post("/jobs/testing_api.sweep/runs", json={"payload": {}, "run_id": "a"})

    assert reply.status_code == 422
    assert "names its runs itself" in reply.json()["error"]["fields"]["request"]


async def test_many_are_enqueued_at_once_or_none(http: httpx.AsyncClient, pool: Pool) -> None:
    orders = [{"tenant_id": str(uuid4()), "order_id": number} for number in range(999)]
    done = await http.post(f"{ORDERS}/bulk", json={"payloads": [*orders, orders[0]]})

    assert done.status_code == 202
    items = done.json()["items"]
    assert [item["is_new"] for item in items] == [True] * 999 + [False]
    assert await pool.zcard("arq:queue:email") == 999

    wrong = await http.post(f"{ORDERS}/bulk", json={"payloads": [orders[0], {"order_id": 1}]})
    assert list(wrong.json()["error"]["fields"]) == ["payloads.1.tenant_id"]
    for payloads in ([], [orders[0]] * 1001):
        refused = await http.post(f"{ORDERS}/bulk", json={"payloads": payloads})
        assert refused.status_code == 422
    assert await pool.zcard("arq:queue:email") == 999


async def test_a_tenant_asks_for_its_own_runs_alone(
    serve: Serve, pool: Pool, tenant: Tenant
) -> None:
    http = await serve(**CREDENTIALS)
    http.headers.update(tenant_token(tenant.tenant_id))
    own = {"tenant_id": str(tenant.tenant_id), "order_id": 1}
    foreign = {**own, "tenant_id": str(uuid4())}

    assert (await http.post(ORDERS, json={"payload": own})).status_code == 202
    for path, body in (
        (ORDERS, {"payload": foreign}),
        (f"{ORDERS}/bulk", {"payloads": [own, foreign]}),
    ):
        refused = await http.post(path, json=body)
        assert (refused.status_code, code_of(refused)) == (404, "not_found")
    nobodys = await http.post(RUNS, json={"payload": {"name": "a"}})
    assert (nobodys.status_code, code_of(nobodys)) == (403, "tenant_bound")
    named = await http.post(ORDERS, json={"payload": own, "run_id": "somebody-elses"})
    assert list(named.json()["error"]["fields"]) == ["run_id"]
    prefixed = f"{tenant.tenant_id}:9"
    assert (await http.post(ORDERS, json={"payload": own, "run_id": prefixed})).status_code == 202
    assert await pool.zcard("arq:queue:email") == 2
