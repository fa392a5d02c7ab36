"""Runs over HTTP: found wherever they are, and looked into."""

import asyncio
from datetime import timedelta
from typing import Any, get_args
from urllib.parse import quote
from uuid import uuid4

import httpx
import orjson
import pytest

from tests.conftest import Tenant
from tests.worker.conftest import Ledgered, StartWorker
from tests.worker.history.conftest import Remember
from tests.worker.history.conftest import remember as remember  # noqa: PLC0414 - a fixture
from tests.worker.ledger.records import START
from tests.worker.sidecar.api import api_jobs
from tests.worker.sidecar.api.conftest import (
    CREDENTIALS,
    Serve,
    basic,
    bearer,
    code_of,
    tenant_token,
    token,
)
from worker.cancelling import cancel
from worker.ending import State
from worker.enqueuer import Pool
from worker.history import LIVE_STATES
from worker.message import When
from worker.sidecar.api.runs import RunState

LATER = When(wait_ms=3_600_000)
# Whoever enqueues chooses them.
ODD_IDS = (
    "2026/11/22 08:00",
    "daily:ürün ığüşöçİ",
    "100%",
    "%2F",
    "a%252Fb",
    "a+b&c=d?e#f",
    "{braces}",
    "..a..b.",
    "new\nline",
    "日本語/😀",
    "x" * 200,
)


def path_of(run_id: str, action: str = "") -> str:
    return f"/runs/{quote(run_id, safe='')}{action}"


async def listed(http: httpx.AsyncClient, **asked: Any) -> list[str]:
    reply = await http.get("/runs", params=asked)
    assert reply.status_code == 200, reply.text
    assert all("payload" not in item for item in reply.json()["items"])
    return [item["run_id"] for item in reply.json()["items"]]


def test_the_states_are_those_of_redis_and_of_history() -> None:
    assert set(get_args(RunState)) == {*LIVE_STATES, *State}


async def test_runs_are_found_by_what_is_known_of_them(
    http: httpx.AsyncClient, remember: Remember
) -> None:
    tenant = uuid4()
    await remember(run_id="a", queue="email", payload={"note": "Ödeme"}, label="daily")
    await remember(run_id="b", minute=1, state=State.CANCELLED, tenant_id=tenant)
    await remember(run_id="c", minute=2, job="greet", correlation_id="request-9")
    await remember(run_id="d", minute=3, state=State.DEAD, reason="rejected")

    assert await listed(http) == ["d", "c", "b", "a"]
    assert await listed(http, state="dead") == ["d"]
    assert await listed(http, state=["dead", "cancelled"]) == ["d", "b"]
    assert await listed(http, queue="email") == ["a"]
    assert await listed(http, job=api_jobs.greet.name) == ["c"]
    assert await listed(http, tenant_id=str(tenant)) == ["b"]
    assert await listed(http, correlation_id="request-9") == ["c"]
    assert await listed(http, label="daily") == ["a"]
    assert await listed(http, text="ÖDEME".lower()) == ["a"]
    assert await listed(http, since=(START + timedelta(minutes=2)).isoformat()) == ["d", "c"]
    assert await listed(http, until=(START + timedelta(minutes=1)).isoformat()) == ["a"]
    assert await listed(http, queue="email", state="dead") == []


async def test_a_list_is_read_page_by_page_whatever_the_ids(
    http: httpx.AsyncClient, remember: Remember
) -> None:
    for minute, run_id in enumerate(ODD_IDS):
        await remember(run_id=run_id, minute=minute)

    seen: list[str] = []
    page: dict[str, Any] = {"next": None}
    while not seen or page["next"]:
        after = {"after": page["next"]} if page["next"] else {}
        page = (await http.get("/runs", params={"limit": 3, **after})).json()
        assert len(page["items"]) <= 3
        seen += [item["run_id"] for item in page["items"]]

    assert seen == list(reversed(ODD_IDS))


async def test_what_waits_is_found_in_its_queue(http: httpx.AsyncClient, pool: Pool) -> None:
    due = [
        (await pool.enqueue(api_jobs.greet, {"name": f"{number}"})).run_id for number in range(3)
    ]
    later = (await pool.enqueue(api_jobs.greet, {"name": "Ada"}, when=LATER)).run_id
    order = {"tenant_id": str(uuid4()), "order_id": 1}
    other = (await pool.enqueue(api_jobs.ship_order, order)).run_id

    first = (
        await http.get("/runs", params={"state": "waiting", "queue": "default", "limit": 2})
    ).json()
    rest = await listed(http, state="waiting", queue="default", after=first["next"])

    assert sorted([*(item["run_id"] for item in first["items"]), *rest]) == sorted(due)
    assert await listed(http, state="delayed", queue="default") == [later]
    assert await listed(http, state="delayed", queue="default", text="ada") == [later]
    assert await listed(http, state="waiting", queue="default", text="ada") == []
    assert await listed(http, state="waiting", queue="email", job="testing_api.ship_order") == [
        other
    ]
    assert await listed(http, state="active", queue="default") == []
    assert await listed(http) == []  # none was started


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"state": "waiting"}, "queue"),
        ({"state": ["waiting", "dead"], "queue": "default"}, "state"),
        ({"state": "active", "queue": "default", "since": START.isoformat()}, "since"),
        ({"state": "active", "queue": "default", "after": "eHg"}, "after"),
        ({"state": "done"}, "state.0"),
        ({"text": "ab"}, "text"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"after": "eHg"}, "after"),
        ({"queue": ["default", "email"]}, "queue"),
        ({"stat": "dead"}, "stat"),
    ],
)
async def test_a_search_that_makes_no_sense_is_refused(
    http: httpx.AsyncClient, asked: dict[str, Any], field: str
) -> None:
    reply = await http.get("/runs", params=asked)

    assert (reply.status_code, code_of(reply)) == (422, "invalid")
    assert list(reply.json()["error"]["fields"]) == [field]


async def test_a_place_of_one_list_is_none_in_another(http: httpx.AsyncClient, pool: Pool) -> None:
    for number in range(2):
        await pool.enqueue(api_jobs.greet, {"name": f"{number}"})
    page = await http.get("/runs?queue=default&state=waiting&limit=1")
    place = page.json()["next"]
    assert place

    for state in ([], ["dead"]):
        reply = await http.get("/runs", params={"state": state, "after": place})
        assert (reply.status_code, code_of(reply)) == (422, "invalid")


async def test_a_queue_that_is_not_there_holds_nothing(http: httpx.AsyncClient) -> None:
    reply = await http.get("/runs", params={"state": "waiting", "queue": "nowhere"})

    assert (reply.status_code, code_of(reply)) == (404, "unknown_queue")
    assert await listed(http, queue="nowhere") == []


async def test_a_tenant_sees_its_own_runs_alone(
    serve: Serve, pool: Pool, tenant: Tenant, remember: Remember
) -> None:
    http = await serve(**CREDENTIALS)
    other = uuid4()
    await remember(run_id="ours", tenant_id=tenant.tenant_id)
    await remember(run_id="theirs", tenant_id=other)
    await remember(run_id="nobody's", tenant_id=None)
    for order_id, owner in enumerate((tenant.tenant_id, other)):
        order = {"tenant_id": str(owner), "order_id": order_id}
        await pool.enqueue(api_jobs.ship_order, order, run_id=f"{owner}")
    http.headers.update(tenant_token(tenant.tenant_id))

    assert await listed(http) == ["ours"]
    assert await listed(http, tenant_id=str(tenant.tenant_id)) == ["ours"]
    assert await listed(http, state="waiting", queue="email") == [str(tenant.tenant_id)]
    for asked in ({}, {"state": "waiting", "queue": "email"}):
        reply = await http.get("/runs", params={"tenant_id": str(other), **asked})
        assert (reply.status_code, code_of(reply)) == (404, "not_found")
    assert (await http.get("/runs/ours")).status_code == 200
    for foreign in ("theirs", "nobody's", str(other), "never was"):
        reply = await http.get(path_of(foreign))
        assert (reply.status_code, code_of(reply)) == (404, "not_found")


@pytest.mark.parametrize("run_id", ODD_IDS)
async def test_a_run_is_found_by_its_id_whatever_stands_in_it(
    http: httpx.AsyncClient, pool: Pool, remember: Remember, run_id: str
) -> None:
    await remember(run_id=run_id)
    past = (await http.get(path_of(run_id))).json()
    await pool.enqueue(api_jobs.greet, {"name": "x"}, run_id=run_id, when=LATER)
    waiting = (await http.get(path_of(run_id))).json()

    assert (past["run_id"], past["state"]) == (run_id, "succeeded")
    assert (waiting["run_id"], waiting["state"]) == (run_id, "delayed")


async def test_a_tenant_finds_its_run_before_history_has_heard_of_its_end(
    serve: Serve, pool: Pool, tenant: Tenant, remember: Remember
) -> None:
    """Redis' result does not say whose it is: history does, within a second."""
    http = await serve(**CREDENTIALS)
    order = {"tenant_id": str(tenant.tenant_id), "order_id": 7}
    run_id = (await pool.enqueue(api_jobs.ship_order, order)).run_id
    await cancel(pool, run_id)
    http.headers.update(tenant_token(tenant.tenant_id))

    async def heard() -> None:
        await asyncio.sleep(0.3)
        await remember(run_id=run_id, tenant_id=tenant.tenant_id, state=State.CANCELLED)

    reply, _ = await asyncio.gather(http.get(path_of(run_id)), heard())

    assert (reply.status_code, reply.json()["state"]) == (200, "cancelled")


async def test_an_id_that_is_no_text_is_listed_all_the_same(
    http: httpx.AsyncClient, pool: Pool
) -> None:
    await pool.zadd("arq:queue", {b"\xff": 1.0})

    (item,) = (await http.get("/runs", params={"state": "waiting", "queue": "default"})).json()[
        "items"
    ]

    assert (item["run_id"], item["job"]) == ("?", "<unknown>")
    assert (await http.get("/runs/%FF")).status_code in (404, 422)


async def test_a_success_shows_what_came_of_it_without_personal_data(
    serve: Serve,
    pool: Pool,
    tenant: Tenant,
    start_worker: StartWorker,
    ledgered: Ledgered,
) -> None:
    http = await serve(**CREDENTIALS)
    order = {"tenant_id": str(tenant.tenant_id), "order_id": 7, "email": "ada@example.com"}
    run_id = (await pool.enqueue(api_jobs.ship_order, order)).run_id
    greeted = (await pool.enqueue(api_jobs.greet, {"name": "bob@example.com"})).run_id
    await start_worker()
    for one in (run_id, greeted):
        await ledgered.run(one, state="succeeded")

    order_shown = (await http.get(path_of(run_id), headers=bearer(token("viewer")))).json()
    greeting = (await http.get(path_of(greeted), headers=bearer(token("viewer")))).json()

    assert (order_shown["state"], order_shown["queue"]) == ("succeeded", "email")
    assert order_shown["payload"]["order_id"] == 7
    assert order_shown["tenant_id"] == str(tenant.tenant_id)
    assert order_shown["result"]["value"] == f"{run_id} 7"
    (attempt,) = order_shown["attempts"]
    assert (attempt["attempt"], attempt["outcome"], attempt["error_type"]) == (1, "succeeded", None)
    assert greeting["is_revealed"] is False
    assert "example.com" not in f"{order_shown} {greeting}"
    assert greeting["result"]["is_success"] is True


async def test_payload_and_result_are_revealed_to_admins_and_that_is_audited(
    serve: Serve, pool: Pool, db: Any
) -> None:
    http = await serve(**CREDENTIALS)
    run_id = (await pool.enqueue(api_jobs.greet, {"name": "a@example.com"}, when=LATER)).run_id
    path = path_of(run_id) + "?reveal=true"

    for who in (bearer(token("viewer")), basic("ayse")):
        refused = await http.get(path, headers=who)
        assert (refused.status_code, code_of(refused)) == (403, "forbidden")
    shown = (await http.get(path_of(run_id), headers=basic("ayse"))).json()
    revealed = (await http.get(path, headers=bearer(token("admin", sub="root")))).json()

    assert "a@example.com" not in str(shown)
    assert revealed["payload"]["name"] == "a@example.com"
    assert (shown["is_revealed"], revealed["is_revealed"]) == (False, True)
    *refusals, entry = await db.fetch("select * from audit_log order by audit_id")
    assert (entry["principal"], entry["targets"]) == ("jwt:root", [run_id])
    assert [(one["principal"], one["outcome"], one["action"]) for one in refusals] == [
        ("jwt:", "refused", "run.reveal"),
        ("ayse", "refused", "run.reveal"),
    ]


async def test_a_dead_run_tells_why_and_which_letter_it_left(
    http: httpx.AsyncClient, pool: Pool, start_worker: StartWorker, ledgered: Ledgered
) -> None:
    run_id = uuid4().hex
    unfit = {"times": "many"}
    await pool.enqueue_raw(api_jobs.greet.name, unfit, queue="default", run_id=run_id, headers={})
    await start_worker()
    letter = await ledgered.dead_letter(run_id)
    await ledgered.run(run_id, state="dead")

    shown = (await http.get(path_of(run_id))).json()

    assert (shown["state"], shown["reason"]) == ("dead", "invalid_payload")
    assert shown["dead_letter_id"] == letter["dead_letter_id"]
    assert shown["attempts"][0]["error_message"]


async def test_progress_and_the_last_lines_are_shown(http: httpx.AsyncClient, pool: Pool) -> None:
    run_id = (await pool.enqueue(api_jobs.greet, {"name": "x"})).run_id
    await pool.zadd("arq:queue", {run_id: 9e15})
    said = {
        "at": START,
        "attempt": 1,
        "fraction": 0.5,
        "message": "half of it",
        "lines": ["began"],
    }
    await pool.set(f"deskhand:live:{run_id}", orjson.dumps(said))
    await pool.set(f"arq:in-progress:{run_id}", b"w", px=60_000)

    shown = (await http.get(path_of(run_id))).json()

    assert shown["state"] == "active"
    assert shown["progress"]["fraction"] == 0.5
    assert (shown["progress"]["message"], shown["progress"]["lines"]) == ("half of it", ["began"])
