"""Runs over HTTP: cancelled, retried, promoted and deleted."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from tests.conftest import Tenant
from tests.worker import testing_jobs
from tests.worker.conftest import Ledgered, StartWorker, until
from tests.worker.history.conftest import Remember
from tests.worker.history.conftest import remember as remember  # noqa: PLC0414 - a fixture
from tests.worker.history.jobs import with_a_secret
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
from tests.worker.sidecar.api.test_runs import LATER, ODD_IDS, path_of
from worker.ending import State
from worker.enqueuer import Pool
from worker.outbox import enqueue_in
from worker.sidecar.api import run_changes

if TYPE_CHECKING:
    import asyncpg

CHANGES = (("POST", "/cancel"), ("POST", "/retry"), ("POST", "/promote"), ("DELETE", ""))


async def later(pool: Pool, run_id: str | None = None) -> str:
    return (await pool.enqueue(api_jobs.greet, {"name": "x"}, run_id=run_id, when=LATER)).run_id


async def state_of(http: httpx.AsyncClient, run_id: str) -> str | None:
    reply = await http.get(path_of(run_id))
    return None if reply.status_code == 404 else str(reply.json()["state"])


async def audit_of(db: "asyncpg.Pool[asyncpg.Record]") -> list[tuple[Any, ...]]:
    rows = await db.fetch(
        "select action, targets, outcome, affected, reason from audit_log order by audit_id"
    )
    return [tuple(row) for row in rows]


@pytest.mark.parametrize("run_id", ODD_IDS)
async def test_a_run_that_waits_is_cancelled_whatever_its_id(
    http: httpx.AsyncClient, pool: Pool, db: "asyncpg.Pool[asyncpg.Record]", run_id: str
) -> None:
    await later(pool, run_id)

    done = await http.post(path_of(run_id, "/cancel"), json={"reason": "a mistake"})
    again = await http.post(path_of(run_id, "/cancel"))

    assert (done.status_code, done.json()) == (200, {"run_id": run_id, "outcome": "cancelled"})
    assert (again.status_code, code_of(again)) == (409, "conflict")
    assert await state_of(http, run_id) == "cancelled"
    assert await audit_of(db) == [
        ("run.cancel", [run_id], "done", 1, "a mistake"),
        ("run.cancel", [run_id], "failed", None, None),
    ]


async def test_a_run_that_runs_is_told_to_stop(
    http: httpx.AsyncClient, pool: Pool, start_worker: StartWorker, tmp_path: Any
) -> None:
    await start_worker()
    payload = {"diary": str(tmp_path / "diary"), "seconds": 60}
    run_id = (await pool.enqueue(testing_jobs.nap, payload)).run_id

    async def runs() -> bool:
        return await state_of(http, run_id) == "active"

    await until(runs)
    told = await http.post(path_of(run_id, "/cancel"))

    async def is_over() -> bool:
        return await state_of(http, run_id) == "cancelled"

    assert (told.status_code, told.json()["outcome"]) == (202, "stopping")
    await until(is_over)


async def test_what_waits_in_postgresql_alone_is_cancelled_and_not_promoted(
    http: httpx.AsyncClient, db: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    async with db.acquire() as connection, connection.transaction():
        run_id = await enqueue_in(
            connection, api_jobs.greet, {"name": "x"}, delay=timedelta(days=9)
        )

    shown = (await http.get(path_of(run_id))).json()
    promoted = await http.post(path_of(run_id, "/promote"))
    cancelled = await http.post(path_of(run_id, "/cancel"))

    assert (shown["state"], shown["is_in_outbox"]) == ("delayed", True)
    assert (promoted.status_code, code_of(promoted)) == (409, "conflict")
    assert cancelled.json()["outcome"] == "cancelled"
    assert await state_of(http, run_id) is None


async def test_some_runs_are_cancelled_and_of_each_is_said_what_became_of_it(
    http: httpx.AsyncClient,
    pool: Pool,
    remember: Remember,
    db: "asyncpg.Pool[asyncpg.Record]",
) -> None:
    waiting = [await later(pool) for _ in range(25)]
    await remember(run_id="past")
    asked = ["past", *waiting, "nobody", waiting[0]]

    done = await http.post("/runs/cancel", json={"run_ids": asked, "reason": "a bad import"})

    assert done.status_code == 200
    answered = done.json()
    outcomes = {item["run_id"]: item["outcome"] for item in answered["items"]}
    assert [item["run_id"] for item in answered["items"]] == asked[:-1]
    assert outcomes == {
        **dict.fromkeys(waiting, "cancelled"), "past": "over", "nobody": "not_found",
    }  # fmt: skip
    assert (answered["cancelled"], answered["more"]) == (25, False)
    assert await audit_of(db) == [("run.cancel", asked[:-1], "done", 25, "a bad import")]


async def test_what_there_is_no_time_for_is_said(
    http: httpx.AsyncClient, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_changes, "MOST_SECONDS", 0.0)
    run_id = await later(pool)

    answered = (await http.post("/runs/cancel", json={"run_ids": [run_id]})).json()

    assert answered["items"] == [{"run_id": run_id, "outcome": "not_tried"}]
    assert (answered["cancelled"], answered["more"]) == (0, True)
    assert await state_of(http, run_id) == "delayed"


@pytest.mark.parametrize("run_ids", [[], [""], ["x" * 1001], ["x"] * 1001, "x", None])
async def test_a_selection_has_1_to_1000_ids(http: httpx.AsyncClient, run_ids: object) -> None:
    reply = await http.post("/runs/cancel", json={"run_ids": run_ids})

    assert (reply.status_code, code_of(reply)) == (422, "invalid")


async def test_a_run_that_is_over_runs_again_once(
    http: httpx.AsyncClient, pool: Pool, start_worker: StartWorker, ledgered: Ledgered
) -> None:
    run_id = (await pool.enqueue(with_a_secret, {"step": 3})).run_id
    worker = await start_worker()
    await ledgered.run(run_id, state="succeeded")
    assert worker.engine is not None

    first = await http.post(path_of(run_id, "/retry"))
    second = await http.post(path_of(run_id, "/retry"))

    assert (first.status_code, first.json()["is_new"]) == (202, True)
    again = first.json()["run_id"]
    assert first.json()["replay_of"] == run_id
    # Unless the new one was over by then, it is the same.
    assert second.status_code == 200 or second.json()["run_id"] != again
    await ledgered.run(again, state="succeeded")
    shown = (await http.get(path_of(again))).json()
    assert (shown["replay_of"], shown["result"]["value"]) == (run_id, 3)


async def test_a_dead_run_is_the_replay_of_its_letter_once(
    http: httpx.AsyncClient,
    pool: Pool,
    start_worker: StartWorker,
    ledgered: Ledgered,
    tmp_path: Path,
) -> None:
    run_id = (
        await pool.enqueue(testing_jobs.be_rejected, {"diary": str(tmp_path / "diary")})
    ).run_id
    await start_worker()
    await ledgered.dead_letter(run_id)
    await ledgered.run(run_id, state="dead")

    kept = await http.delete(path_of(run_id))
    first = await http.post(path_of(run_id, "/retry"))
    second = await http.post(path_of(run_id, "/retry"))

    assert (kept.status_code, code_of(kept)) == (409, "conflict")
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json()["run_id"] == second.json()["run_id"]


async def test_a_run_that_is_put_off_starts_now(
    http: httpx.AsyncClient, pool: Pool, start_worker: StartWorker, ledgered: Ledgered
) -> None:
    run_id = await later(pool)
    await start_worker()

    done = await http.post(path_of(run_id, "/promote"))

    assert (done.status_code, done.json()) == (200, {"run_id": run_id})
    await ledgered.run(run_id, state="succeeded")


async def test_a_run_that_is_over_is_forgotten(
    http: httpx.AsyncClient, remember: Remember, db: "asyncpg.Pool[asyncpg.Record]"
) -> None:
    await remember(run_id="a/b")

    done = await http.delete(path_of("a/b"))
    again = await http.delete(path_of("a/b"))

    assert (done.status_code, done.json()) == (200, {"run_id": "a/b"})
    assert (again.status_code, code_of(again)) == (404, "not_found")
    assert await audit_of(db) == [
        ("run.delete", ["a/b"], "done", 1, None),
        ("run.delete", ["a/b"], "refused", None, None),
    ]


async def test_what_its_state_does_not_allow_is_refused_with_a_sentence(
    http: httpx.AsyncClient, pool: Pool, remember: Remember
) -> None:
    due = (await pool.enqueue(api_jobs.greet, {"name": "x"})).run_id
    await remember(run_id="past")
    await remember(run_id="unkept", job="gone.for_good")

    for method, run_id, action, word in (
        ("POST", due, "/retry", "not over yet"),
        ("POST", due, "/promote", "due already"),
        ("DELETE", due, "", "cancel it first"),
        ("POST", "past", "/promote", "over"),
        ("POST", "past", "/cancel", "over"),
        ("POST", "unkept", "/retry", "cannot run again"),
    ):
        reply = await http.request(method, path_of(run_id, action))
        assert (reply.status_code, code_of(reply)) == (409, "conflict")
        assert word in reply.json()["error"]["message"]
    assert await state_of(http, due) == "waiting"


async def test_nobodys_run_is_not_found(http: httpx.AsyncClient) -> None:
    for method, action in CHANGES:
        reply = await http.request(method, path_of("nobody", action))
        assert (reply.status_code, code_of(reply)) == (404, "not_found")


async def test_viewers_change_nothing(serve: Serve, pool: Pool) -> None:
    http = await serve(**CREDENTIALS)
    run_id = await later(pool)
    http.headers.update(bearer(token("viewer")))

    for method, action in CHANGES:
        reply = await http.request(method, path_of(run_id, action))
        assert (reply.status_code, code_of(reply)) == (403, "forbidden")
    refused = await http.post("/runs/cancel", json={"run_ids": [run_id]})
    assert (refused.status_code, code_of(refused)) == (403, "forbidden")
    assert await state_of(http, run_id) == "delayed"


async def test_a_tenants_operator_changes_its_own_runs_alone(
    serve: Serve, pool: Pool, tenant: Tenant, remember: Remember
) -> None:
    http = await serve(**CREDENTIALS)
    orders = [
        {"tenant_id": str(owner), "order_id": number}
        for number, owner in enumerate((tenant.tenant_id, uuid4()))
    ]
    ours, theirs = [
        (await pool.enqueue(api_jobs.ship_order, order, when=LATER)).run_id for order in orders
    ]
    await remember(run_id="their past", tenant_id=uuid4(), state=State.SUCCEEDED)
    http.headers.update(tenant_token(tenant.tenant_id))

    for run_id in (theirs, "their past"):
        for method, action in CHANGES:
            reply = await http.request(method, path_of(run_id, action))
            assert (reply.status_code, code_of(reply)) == (404, "not_found")
    some = await http.post("/runs/cancel", json={"run_ids": [theirs, "their past", ours]})

    assert [item["outcome"] for item in some.json()["items"]] == [
        "not_found", "not_found", "cancelled",
    ]  # fmt: skip
    http.headers.update(basic("ayse"))
    assert await state_of(http, ours) == "cancelled"
    assert await state_of(http, theirs) == "delayed"
    assert await state_of(http, "their past") == "succeeded"
