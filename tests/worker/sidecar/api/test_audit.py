"""Nothing is changed over HTTP that the audit log does not tell of."""

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from tests.worker.sidecar.api.conftest import (
    ADMIN_TOKEN,
    CREDENTIALS,
    Serve,
    basic,
    bearer,
    code_of,
    tenant_token,
    token,
)
from worker.enqueuer import Pool
from worker.pausing import paused_queues
from worker.sidecar.access.principal import Role
from worker.sidecar.api.auditing import audited, audited_outside
from worker.sidecar.api.operation import Answered, Call, NoParameters, operation

if TYPE_CHECKING:
    import asyncpg


async def entries(http: httpx.AsyncClient, **asked: Any) -> list[dict[str, Any]]:
    reply = await http.get("/audit", headers=bearer(ADMIN_TOKEN), params=asked)
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["items"]
    return found


async def test_a_deed_is_told_with_who_and_when_and_from_where(serve: Serve) -> None:
    http = await serve(**CREDENTIALS)

    await http.post(
        "/queues/email/pause",
        json={"seconds": 60},
        headers={**basic("ayse"), "X-Request-ID": "r-1", "User-Agent": "x" * 500},
    )

    (entry,) = await entries(http)
    assert entry == entry | {
        "principal": "ayse",
        "role": "operator",
        "credential": "password",
        "tenant_id": None,
        "action": "queue.pause",
        "outcome": "done",
        "targets": ["email"],
        "filter": {"seconds": 60},
        "ip": "127.0.0.1",
        "user_agent": "x" * 200,
        "request_id": "r-1",
    }


async def test_what_was_refused_is_told_too_but_not_of_nobody(serve: Serve) -> None:
    http = await serve(**CREDENTIALS)
    tenant = uuid4()

    for headers in ({"X-Requested-With": "x"}, bearer("x" * 40), basic("ayse", "wrong")):
        assert (await http.post("/queues/email/resume", headers=headers)).status_code == 401
    await http.post("/queues/email/resume", headers=bearer(token("viewer", sub="v")))
    await http.post("/queues/email/resume", headers=tenant_token(tenant))
    await http.post("/queues/nothing/resume", headers=basic("ayse"))
    await http.post("/queues/email/pause", json={"seconds": 0}, headers=basic("ayse"))

    told = [
        (one["principal"], one["outcome"], one["error"], one["targets"])
        for one in await entries(http)
    ]
    assert told == [
        ("ayse", "refused", "invalid", ["email"]),
        ("ayse", "refused", "unknown_queue", ["nothing"]),
        ("jwt:u-1", "refused", "tenant_bound", ["email"]),
        ("jwt:v", "refused", "forbidden", ["email"]),
    ]
    assert (await entries(http))[2]["tenant_id"] == str(tenant)


async def test_the_log_is_read_in_pages_and_by_what_one_looks_for(serve: Serve) -> None:
    http = await serve(**CREDENTIALS)
    for queue in ("email", "sync", "risk"):
        await http.post(f"/queues/{queue}/pause", json={}, headers=bearer(ADMIN_TOKEN))
    await http.post("/queues/email/resume", headers=basic("ayse"))

    seen, after = [], None
    while True:
        params = {"limit": 3} | ({"after": after} if after else {})
        page = (await http.get("/audit", headers=bearer(ADMIN_TOKEN), params=params)).json()
        seen += [one["action"] for one in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert seen == ["queue.resume"] + ["queue.pause"] * 3
    assert len(await entries(http, action="queue.pause")) == 3
    assert len(await entries(http, principal="ayse", outcome="done")) == 1
    assert await entries(http, until="2001-01-01T00:00:00Z") == []
    for wrong in ({"after": "x"}, {"outcome": "maybe"}, {"since": "yesterday"}, {"until": "0.5"}):
        reply = await http.get("/audit", headers=bearer(ADMIN_TOKEN), params=wrong)
        assert (reply.status_code, code_of(reply)) == (422, "invalid")


class Done(Answered):
    done: bool = True


@operation(
    "POST", "/in", tag="test", role=Role.ADMIN, summary="In PostgreSQL.", action="test.inside"
)
async def change_inside(call: Call[NoParameters, None]) -> Done:
    async with audited(call, targets=["a"]) as connection:
        await connection.execute(
            "insert into tenants (tenant_id, name) values (gen_random_uuid(), 'new')"
        )
        if call.request.query_string:
            raise RuntimeError("secret")
        call.affected = 1
    return Done()


@operation("POST", "/out", tag="test", role=Role.ADMIN, summary="Elsewhere.", action="test.outside")
async def change_outside(call: Call[NoParameters, None]) -> Done:
    async with audited_outside(call, reason="because"):
        raise RuntimeError("secret")
    return Done()


async def test_a_deed_and_its_entry_are_there_both_or_neither(
    serve: Serve, db: "asyncpg.Pool[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    http = await serve(operations=[change_inside])
    go = {"X-Requested-With": "x"}

    assert (await http.post("/in", headers=go)).status_code == 200
    assert await db.fetchval("select count(*) from tenants") == 1
    await db.execute("alter table audit_log rename to hidden_log")
    broken = await http.post("/in", headers=go)
    await db.execute("alter table hidden_log rename to audit_log")

    assert broken.status_code == 500
    assert await db.fetchval("select count(*) from tenants") == 1
    (entry,) = await db.fetch("select * from audit_log")
    assert (entry["action"], entry["outcome"], entry["affected"]) == ("test.inside", "done", 1)
    assert entry["principal"] == "local"


async def test_what_failed_in_the_middle_is_told_once(
    serve: Serve, db: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    http = await serve(operations=[change_outside])

    reply = await http.post("/out", headers={"X-Requested-With": "x"})

    assert (reply.status_code, code_of(reply)) == (500, "internal_error")
    (entry,) = await db.fetch("select * from audit_log")
    assert (entry["outcome"], entry["error"], entry["reason"]) == (
        "failed",
        "RuntimeError",
        "because",
    )


async def test_without_a_log_nothing_is_done(
    serve: Serve, db: "asyncpg.Pool[asyncpg.Record]", pool: Pool
) -> None:
    http = await serve()
    await db.execute("alter table audit_log rename to hidden_log")

    reply = await http.post("/queues/email/pause", json={})

    assert reply.status_code == 500
    assert await paused_queues(pool) == {}


async def test_whoever_is_refused_again_and_again_does_not_fill_the_log(
    serve: Serve, db: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    http = await serve(clock=lambda: 0.0, **CREDENTIALS)

    for _ in range(70):
        await http.post("/queues/email/resume", headers=bearer(token("viewer", sub="v")))

    assert await db.fetchval("select count(*) from audit_log") == 60
