"""Dead letters over HTTP: found, looked into, replayed and put away."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import orjson
import pytest

from tests.conftest import Tenant
from tests.worker.dead_letters.conftest import NOW, MakeLetter
from tests.worker.dead_letters.conftest import make_letter as make_letter  # noqa: PLC0414 - a fixture
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
from worker.enqueuer import Pool
from worker.sidecar.api import auditing

if TYPE_CHECKING:
    import asyncpg

GREETING = {"job": api_jobs.greet.name, "payload": {"name": "Ada"}}


async def listed(http: httpx.AsyncClient, **asked: Any) -> list[int]:
    reply = await http.get("/dead-letters", params=asked)
    assert reply.status_code == 200, reply.text
    return [item["dead_letter_id"] for item in reply.json()["items"]]


async def test_letters_are_found_by_what_is_known_of_them(
    http: httpx.AsyncClient, make_letter: MakeLetter
) -> None:
    tenant = uuid4()
    first = await make_letter(**GREETING, queue="email", error_message="no room on 10.0.0.7")
    second = await make_letter(reason="timeout", error_type="TimeoutError", tenant_id=tenant)
    third = await make_letter(**GREETING, ended_at=NOW + timedelta(days=1))

    assert await listed(http) == [third, second, first]
    assert await listed(http, queue="email") == [first]
    assert await listed(http, job="greet") == [third, first]
    assert await listed(http, reason="timeout") == [second]
    assert await listed(http, error_type="TimeoutError") == [second]
    assert await listed(http, tenant_id=str(tenant)) == [second]
    assert await listed(http, text="ROOM") == [first]
    assert await listed(http, since=(NOW + timedelta(hours=1)).isoformat()) == [third]
    assert await listed(http, until=(NOW + timedelta(hours=1)).isoformat()) == [second, first]
    assert await listed(http, status="replayed") == []


async def test_a_list_is_read_page_by_page(
    http: httpx.AsyncClient, make_letter: MakeLetter
) -> None:
    ids = [await make_letter(**GREETING) for _ in range(5)]

    seen: list[int] = []
    page: dict[str, Any] = {"next": None}
    while not seen or page["next"]:
        after = {"after": page["next"]} if page["next"] else {}
        page = (await http.get("/dead-letters", params={"limit": 2, **after})).json()
        assert len(page["items"]) <= 2
        seen += [item["dead_letter_id"] for item in page["items"]]

    assert seen == ids[::-1]


@pytest.mark.parametrize(
    "asked", [{"text": "ab"}, {"since": "2026-01-01T00:00:00"}, {"status": "x"}, {"after": "1-x"}]
)
async def test_a_filter_that_makes_no_sense_is_refused(
    http: httpx.AsyncClient, asked: dict[str, str]
) -> None:
    for path in ("/dead-letters", "/dead-letters/groups"):
        reply = await http.get(path, params=asked)
        assert (reply.status_code, code_of(reply)) == (422, "invalid")
        assert list(reply.json()["error"]["fields"]) == list(asked)


async def test_letters_with_one_error_are_a_group(
    http: httpx.AsyncClient, make_letter: MakeLetter
) -> None:
    for number in range(3):
        await make_letter(error_message=f"no order {number}")
    other = await make_letter(error_message="no time")

    page = (await http.get("/dead-letters/groups", params={"limit": 1})).json()
    rest = (await http.get("/dead-letters/groups", params={"after": page["next"]})).json()

    (group,) = page["items"]
    assert (group["letters"], group["template"]) == (3, "no order <n>")
    assert (page["is_partial"], rest["next"]) == (False, None)
    assert [one["example_id"] for one in rest["items"]] == [other]
    assert len(await listed(http, error_group=group["error_group"])) == 3


async def test_a_letter_shows_what_happened_without_personal_data(
    serve: Serve, make_letter: MakeLetter, tenant: Tenant
) -> None:
    http = await serve(**CREDENTIALS)
    payload = {
        "tenant_id": str(tenant.tenant_id),
        "order_id": 7,
        "email": "ada@example.com",
        "note": "call +90 532 123 45 67",
    }
    letter_id = await make_letter(
        job=api_jobs.ship_order.name, payload=payload, headers={"cid": "c", "by": "ayse"}
    )

    shown = (await http.get(f"/dead-letters/{letter_id}", headers=basic("ayse"))).json()

    assert shown["payload"]["order_id"] == 7
    assert shown["payload"]["email"] == "[redacted]"
    assert "532" not in str(shown)
    assert (shown["is_revealed"], shown["asked_by"]) == (False, "ayse")
    (attempt,) = shown["attempts"]
    assert (attempt["outcome"], attempt["traceback"]) == ("dead", "Traceback …")


async def test_only_an_admin_sees_a_payload_as_it_is_and_that_is_told(
    serve: Serve, make_letter: MakeLetter, db: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    http = await serve(**CREDENTIALS)
    letter_id = await make_letter(job=api_jobs.greet.name, payload={"name": "a@example.com"})
    path = f"/dead-letters/{letter_id}?reveal=true"

    for headers in (bearer(token("viewer")), basic("ayse")):
        refused = await http.get(path, headers=headers)
        assert (refused.status_code, code_of(refused)) == (403, "forbidden")
    revealed = (await http.get(path, headers=bearer(token("admin", sub="root")))).json()

    assert (revealed["payload"], revealed["is_revealed"]) == ({"name": "a@example.com"}, True)
    *refusals, entry = await db.fetch("select * from audit_log order by audit_id")
    assert [(one["action"], one["outcome"]) for one in refusals] == [
        ("dead_letter.reveal", "refused")
    ] * 2
    assert (entry["action"], entry["principal"]) == ("dead_letter.reveal", "jwt:root")
    assert entry["targets"] == [str(letter_id)]


async def test_a_letter_runs_again_once_with_all_its_headers(
    http: httpx.AsyncClient, make_letter: MakeLetter, pool: Pool
) -> None:
    letter_id = await make_letter(**GREETING, headers={"cid": "c-1", "by": "ayse", "label": "x"})

    done = await http.post(f"/dead-letters/{letter_id}/replay")
    again = await http.post(f"/dead-letters/{letter_id}/replay")

    assert done.status_code == 202
    run_id = done.json()["run_id"]
    headers = orjson.loads(await pool.get(f"arq:job:{run_id}"))["h"]
    assert headers == headers | {"by": "ayse", "cid": "request-1", "label": "x"}
    assert (again.status_code, code_of(again)) == (409, "conflict")
    assert "replayed" in again.json()["error"]["message"]
    missing = await http.post("/dead-letters/99999/replay")
    assert (missing.status_code, code_of(missing)) == (404, "not_found")
    told = (await http.get("/audit")).json()["items"]
    assert [(one["action"], one["outcome"]) for one in told] == [
        ("dead_letter.replay", "refused"),
        ("dead_letter.replay", "failed"),
        ("dead_letter.replay", "done"),
    ]


async def test_a_letter_that_cannot_run_says_why(
    http: httpx.AsyncClient, make_letter: MakeLetter
) -> None:
    unfit = await make_letter(job=api_jobs.greet.name, payload={})
    unknown = await make_letter(job="gone.job", payload={})

    first = await http.post(f"/dead-letters/{unfit}/replay")
    second = await http.post(f"/dead-letters/{unknown}/replay")

    assert (first.status_code, list(first.json()["error"]["fields"])) == (422, ["payload.name"])
    assert (second.status_code, code_of(second)) == (409, "conflict")


async def test_a_letter_is_put_away_with_a_reason(
    http: httpx.AsyncClient, make_letter: MakeLetter, db: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    letter_id = await make_letter(**GREETING)
    path = f"/dead-letters/{letter_id}/discard"

    for body in ({}, {"reason": ""}, {"reason": "x" * 501}):
        assert (await http.post(path, json=body)).status_code == 422
    done = await http.post(path, json={"reason": "known"})
    again = await http.post(path, json={"reason": "known"})

    assert done.json() == {"dead_letter_id": letter_id}
    assert (again.status_code, code_of(again)) == (409, "conflict")
    shown = (await http.get(f"/dead-letters/{letter_id}")).json()
    assert (shown["status"], shown["discarded_because"]) == ("discarded", "known")
    entry = await db.fetchrow("select * from audit_log where outcome = 'done'")
    assert entry is not None
    assert (entry["reason"], entry["affected"]) == ("known", 1)


async def test_some_run_again_and_the_others_say_why_not(
    http: httpx.AsyncClient, make_letter: MakeLetter, pool: Pool
) -> None:
    good = [await make_letter(**GREETING) for _ in range(30)]
    bad = await make_letter(job=api_jobs.greet.name, payload={})

    done = await http.post("/dead-letters/replay", json={"dead_letter_ids": [*good, bad, 99999]})

    assert done.status_code == 200
    said = done.json()
    assert (said["replayed"], said["more"]) == (30, False)
    assert sorted(one["dead_letter_id"] for one in said["failed"]) == sorted([bad, 99999])
    assert await pool.zcard("arq:queue") == 30


async def test_all_that_a_filter_finds_runs_again_or_goes(
    http: httpx.AsyncClient, make_letter: MakeLetter, db: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    for queue in ("email", "email", "sync", "risk"):
        await make_letter(**GREETING, queue=queue)

    one = await http.post(
        "/dead-letters/replay", json={"filter": {"queue": "email", "since": "2026-01-01T00:00:00Z"}}
    )
    two = await http.post(
        "/dead-letters/discard", json={"filter": {"queue": "sync"}, "reason": "old"}
    )
    three = await http.post("/dead-letters/discard", json={"all": True, "reason": "rest"})

    assert one.json() == {"replayed": 2, "failed": [], "more": False}
    assert two.json() == {"discarded": 1, "failed": [], "more": False}
    assert three.json() == {"discarded": 1, "failed": [], "more": False}
    assert await listed(http) == []
    rows = await db.fetch("select filter, affected from audit_log order by audit_id")
    told = [(orjson.loads(row["filter"]), row["affected"]) for row in rows]
    assert told[0][0].pop("since").startswith("2026-01-01T00:00:00")
    assert told == [({"queue": "email"}, 2), ({"queue": "sync"}, 1), ({}, 1)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"filter": {}},
        {"filter": {"queue": None, "job": None, "since": None}},
        {"all": False},
        {"all": True, "dead_letter_ids": [1]},
        {"all": True, "filter": {"queue": "email"}},
        {"dead_letter_ids": []},
        {"dead_letter_ids": [0]},
        {"dead_letter_ids": list(range(1, 1002))},
        {"filter": {"que": "email"}},
        {"filter": {"status": "replayed"}},
        {"all": True, "pace": 0},
    ],
)
async def test_nothing_at_all_is_not_taken_for_everything(
    http: httpx.AsyncClient, make_letter: MakeLetter, body: dict[str, Any]
) -> None:
    letter_id = await make_letter(**GREETING)

    reply = await http.post("/dead-letters/replay", json=body)

    assert (reply.status_code, code_of(reply)) == (422, "invalid")
    assert await listed(http) == [letter_id]


async def test_a_call_does_only_so_much_and_says_that_there_is_more(
    http: httpx.AsyncClient, make_letter: MakeLetter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(30):
        await make_letter(**GREETING)
    monkeypatch.setattr(auditing, "MOST_AFFECTED", 20)

    first = (await http.post("/dead-letters/replay", json={"all": True})).json()
    second = (await http.post("/dead-letters/replay", json={"all": True})).json()

    assert (first["replayed"], first["more"]) == (25, True)
    assert (second["replayed"], second["more"]) == (5, False)


async def test_a_slow_pace_ends_in_time(
    http: httpx.AsyncClient, make_letter: MakeLetter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await make_letter(**GREETING)
    monkeypatch.setattr(auditing, "MOST_SECONDS", 0.2)

    done = (await http.post("/dead-letters/replay", json={"all": True, "pace": 1})).json()

    assert (done["replayed"], done["more"]) == (1, True)


async def test_a_tenant_has_its_own_letters_alone(
    serve: Serve, make_letter: MakeLetter, pool: Pool
) -> None:
    http = await serve(**CREDENTIALS)
    tenant, other = uuid4(), uuid4()
    own = await make_letter(**GREETING, tenant_id=tenant, error_message="x")
    foreign = [
        await make_letter(**GREETING, tenant_id=one, error_message="y") for one in (other, None)
    ]
    http.headers.update(tenant_token(tenant))

    assert await listed(http) == [own]
    groups = (await http.get("/dead-letters/groups")).json()["items"]
    assert [group["example_id"] for group in groups] == [own]
    asked = await http.get("/dead-letters", params={"tenant_id": str(other)})
    assert (asked.status_code, code_of(asked)) == (404, "not_found")
    for letter_id in foreign:
        for reply in (
            await http.get(f"/dead-letters/{letter_id}"),
            await http.post(f"/dead-letters/{letter_id}/replay"),
            await http.post(f"/dead-letters/{letter_id}/discard", json={"reason": "x"}),
        ):
            assert (reply.status_code, code_of(reply)) == (404, "not_found")
    by_ids = await http.post("/dead-letters/replay", json={"dead_letter_ids": foreign})
    assert (by_ids.json()["replayed"], len(by_ids.json()["failed"])) == (0, 2)
    away = await http.post(
        "/dead-letters/discard", json={"dead_letter_ids": [*foreign, own], "reason": "x"}
    )
    assert (away.json()["discarded"], len(away.json()["failed"])) == (1, 2)
    everything = await http.post("/dead-letters/replay", json={"all": True})
    assert everything.json()["replayed"] == 0
    assert await pool.zcard("arq:queue") == 0
