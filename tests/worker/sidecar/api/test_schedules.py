"""Schedules over HTTP: when they are due, what came of it, runs out of turn."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from jobs.kit import Every
from tests.conftest import MakeSettings, Tenant
from tests.worker.conftest import StartWorker, until
from tests.worker.schedules import scheduled_jobs
from tests.worker.sidecar.api.conftest import code_of, tenant_token
from worker.schedules import Plan, declare, plans_of
from worker.schedules.firing import fire_due

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

NOTE, EXPORT = scheduled_jobs.note_tick.name, scheduled_jobs.export_all.name


@pytest.fixture(autouse=True)
async def _declared(db: "Db", make_settings: MakeSettings) -> None:
    await declare(db, plans_of(make_settings()))
    await db.execute(scheduled_jobs.CREATE)


async def entries(db: "Db") -> list[tuple[str, str, list[str]]]:
    rows = await db.fetch("select action, outcome, targets from audit_log order by audit_id")
    return [(row["action"], row["outcome"], row["targets"]) for row in rows]


async def test_every_schedule_says_when_it_is_due_in_words_too(http: httpx.AsyncClient) -> None:
    listed = (await http.get("/schedules", params={"limit": 200})).json()["items"]

    by_name = {one["name"]: one for one in listed}
    weekly = by_name["documents.find_due_reports"]
    assert weekly["line"] == "0 8 * * 1"
    assert weekly["words"] == "At 08:00 on Monday"
    assert (weekly["tz"], weekly["is_paused"], weekly["last"]) == ("America/New_York", False, None)
    assert datetime.fromisoformat(weekly["next_due_at"]).weekday() == 0
    assert by_name[EXPORT]["next_due_at"] is None
    assert by_name[EXPORT]["worker"] == "FinancialExportWorker"
    assert [one["name"] for one in listed] == sorted(by_name)


async def test_they_come_in_pages(http: httpx.AsyncClient) -> None:
    names, after = [], None
    while True:
        parameters: dict[str, Any] = {"limit": 2, **({"after": after} if after else {})}
        page = (await http.get("/schedules", params=parameters)).json()
        names += [one["name"] for one in page["items"]]
        after = page["next"]
        if after is None:
            break

    assert names == sorted(set(names))
    assert len(names) >= 6


async def test_its_next_ticks_are_told(http: httpx.AsyncClient) -> None:
    ticks = (
        await http.get("/schedules/documents.find_due_reports/next", params={"count": 3})
    ).json()["items"]

    first, second, third = map(datetime.fromisoformat, ticks)
    assert {second - first, third - second} <= {timedelta(days=7), timedelta(days=7, hours=1)}


async def test_its_past_ticks_are_told_newest_first(http: httpx.AsyncClient, db: "Db") -> None:
    await declare(db, {NOTE: Plan.of(Every(60, catch_up="all", overlaps=True), tz="UTC")})
    await db.execute(
        "update schedules set next_due_at = next_due_at - interval '4 minutes' where name = $1",
        NOTE,
    )
    while await fire_due(db, [NOTE], []):
        pass

    first = (await http.get(f"/schedules/{NOTE}/history", params={"limit": 3})).json()
    rest = (
        await http.get(f"/schedules/{NOTE}/history", params={"limit": 3, "after": first["next"]})
    ).json()

    due = [tick["due_at"] for tick in first["items"] + rest["items"]]
    assert len(first["items"]) == 3
    assert due == sorted(due, reverse=True)
    assert rest["next"] is None
    assert first["items"][0]["state"] is None


async def test_a_run_out_of_turn_is_one_at_a_time_and_audited(
    http: httpx.AsyncClient, db: "Db", start_worker: StartWorker
) -> None:
    started = await http.post(f"/schedules/{EXPORT}/run", json={"reason": "month's end"})
    again = await http.post(f"/schedules/{EXPORT}/run")

    assert started.status_code == 202
    assert (again.status_code, code_of(again)) == (409, "running")
    assert again.json()["error"]["fields"] == {"run_id": started.json()["run_id"]}
    assert await entries(db) == [
        ("schedule.run", "done", [EXPORT]),
        ("schedule.run", "refused", [EXPORT]),
    ]

    await start_worker()

    async def is_over() -> dict[str, Any] | None:
        one = (await http.get(f"/schedules/{EXPORT}")).json()
        return one if one["running"] is None else None

    one = await until(is_over)
    assert one["last"]["run_id"] == started.json()["run_id"]
    assert (one["last"]["state"], one["succeeded"]) == ("succeeded", 1)
    assert one["last"]["duration_seconds"] >= 1
    assert (await http.post(f"/schedules/{EXPORT}/run")).status_code == 202


async def test_it_is_paused_and_goes_on(http: httpx.AsyncClient, db: "Db") -> None:
    paused = await http.post(f"/schedules/{NOTE}/pause", json={"reason": "deploy"})
    shown = (await http.get(f"/schedules/{NOTE}")).json()

    assert paused.json() == {"name": NOTE, "is_paused": True}
    assert (shown["is_paused"], shown["paused_by"], shown["next_due_at"]) == (
        True,
        "admin-token",
        None,
    )
    assert (await http.get(f"/schedules/{NOTE}/next")).json() == {"items": []}

    resumed = await http.post(f"/schedules/{NOTE}/resume")

    assert resumed.json() == {"name": NOTE, "is_paused": False}
    assert (await http.get(f"/schedules/{NOTE}")).json()["next_due_at"] is not None
    actions = [action for action, _, _ in await entries(db)]
    assert actions == ["schedule.pause", "schedule.resume"]


@pytest.mark.parametrize("path", ["", "/next", "/history"])
async def test_one_that_is_not_there_is_not_found(http: httpx.AsyncClient, path: str) -> None:
    assert code_of(await http.get(f"/schedules/beat.none{path}")) == "not_found"
    assert code_of(await http.post("/schedules/beat.none/run")) == "not_found"


async def test_workers_are_told_by_the_names_that_clients_know(
    http: httpx.AsyncClient, start_worker: StartWorker
) -> None:
    health = (await http.get("/workers/health")).json()

    assert [(one["name"], one["isRunning"]) for one in health["workers"]] == [
        ("AppointmentReminderWorker", False),
        ("FinancialExportWorker", False),
        ("StockReconciliationWorker", False),
    ]


async def test_a_worker_is_triggered_once_at_a_time(
    http: httpx.AsyncClient, start_worker: StartWorker
) -> None:
    first = await http.post("/workers/financial-export/trigger")
    second = await http.post("/workers/financial-export/trigger")

    assert first.status_code == 202
    assert first.json()["success"] is True
    assert (second.status_code, code_of(second)) == (409, "running")
    assert second.json()["error"]["fields"] == {"run_id": first.json()["run_id"]}
    running = (await http.get("/workers/health")).json()["workers"][1]
    assert (running["isRunning"], running["run_id"]) == (True, first.json()["run_id"])

    await start_worker()

    async def is_over() -> bool:
        one = (await http.get("/workers/health")).json()["workers"][1]
        return not one["isRunning"] and one["last_run"]["state"] == "succeeded"

    assert await until(is_over)


@pytest.mark.parametrize("worker", ["made-up", "Financial-Export"])
async def test_a_worker_that_there_is_not_is_not_found(
    http: httpx.AsyncClient, worker: str
) -> None:
    assert code_of(await http.post(f"/workers/{worker}/trigger")) == "not_found"


REPORT = {
    "name": "Haftalık özet",
    "report_type": "opportunities",
    "format": "pdf",
    "language": "tr",
    "period": "week",
    "recipients": ["ayse@anadolu.example"],
    "line": "0 8 * * 1",
    "tz": "Europe/Istanbul",
}


async def test_a_report_schedule_is_made_changed_and_deleted(
    http: httpx.AsyncClient, db: "Db", tenant: Tenant
) -> None:
    made = await http.post("/report-schedules", json={**REPORT, "tenant_id": str(tenant.tenant_id)})
    assert made.status_code == 201
    path = f"/report-schedules/{made.json()['report_schedule_id']}"
    assert {name: made.json()[name] for name in REPORT} == REPORT
    assert datetime.fromisoformat(made.json()["next_due_at"]).astimezone(UTC).hour == 5

    changed = await http.patch(path, json={"line": "0 9 * * *", "recipients": []})
    assert (changed.json()["line"], changed.json()["recipients"]) == ("0 9 * * *", [])
    assert datetime.fromisoformat(changed.json()["next_due_at"]).hour == 6
    assert (await http.get(path)).json() == changed.json()
    for name in ("tz", "line", "recipients"):
        refused = await http.patch(path, json={"name": "Another", name: None})
        assert (refused.status_code, code_of(refused)) == (422, "invalid")
        assert list(refused.json()["error"]["fields"]) == [name]
    assert (await http.get(path)).json() == changed.json()
    assert [one["name"] for one in (await http.get("/report-schedules")).json()["items"]] == [
        REPORT["name"]
    ]

    assert (await http.delete(path)).status_code == 200
    assert code_of(await http.get(path)) == "not_found"
    assert await db.fetchval("select count(*) from schedules where kind = 'report'") == 0


async def test_when_it_is_due_the_report_is_made_and_mailed(
    http: httpx.AsyncClient, db: "Db", tenant: Tenant, start_worker: StartWorker
) -> None:
    made = await http.post("/report-schedules", json={**REPORT, "tenant_id": str(tenant.tenant_id)})
    await db.execute(
        "update schedules set next_due_at = now() where name = $1",
        f"report:{made.json()['report_schedule_id']}",
    )
    await start_worker(scheduler=True)

    async def mailed_to() -> str | None:
        recipient: str | None = await db.fetchval(
            "select recipient from deliveries"
            " where tenant_id = $1 and template = 'report' and status = 'sent'",
            tenant.tenant_id,
        )
        return recipient

    assert await until(mailed_to) == "ayse@anadolu.example"


async def test_what_a_tenant_wanted_goes_with_it(
    http: httpx.AsyncClient, db: "Db", tenant: Tenant
) -> None:
    await http.post("/report-schedules", json={**REPORT, "tenant_id": str(tenant.tenant_id)})

    await db.execute("delete from tenants where tenant_id = $1", tenant.tenant_id)

    assert await db.fetchval("select count(*) from schedules where kind = 'report'") == 0


@pytest.mark.parametrize("line", ["0 0 29 2 *", "30 1,2 * * *", "0 * * * *"])
async def test_a_line_that_is_due_once_an_hour_is_taken(
    http: httpx.AsyncClient, tenant: Tenant, line: str
) -> None:
    body = {**REPORT, "tenant_id": str(tenant.tenant_id), "line": line}

    assert (await http.post("/report-schedules", json=body)).status_code == 201


async def test_a_tenant_sees_and_changes_its_own_alone(
    http: httpx.AsyncClient, tenant: Tenant
) -> None:
    own, other = tenant_token(tenant.tenant_id), tenant_token(uuid4())
    made = await http.post("/report-schedules", json=REPORT, headers=own)
    path = f"/report-schedules/{made.json()['report_schedule_id']}"

    assert made.json()["tenant_id"] == str(tenant.tenant_id)
    assert (await http.get(path, headers=own)).status_code == 200
    assert len((await http.get("/report-schedules", headers=own)).json()["items"]) == 1
    assert (await http.get("/report-schedules", headers=other)).json()["items"] == []
    for method in ("GET", "DELETE"):
        assert code_of(await http.request(method, path, headers=other)) == "not_found"
    assert code_of(await http.patch(path, json={"name": "x"}, headers=other)) == "not_found"
    assert code_of(await http.post("/report-schedules", json=REPORT, headers=other)) == "not_found"
    stranger = {**REPORT, "tenant_id": str(uuid4())}
    assert code_of(await http.post("/report-schedules", json=stranger, headers=own)) == "not_found"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"line": "*/5 * * * *"}, "line"),
        ({"line": "soon"}, "line"),
        ({"line": "0,30 8 1 1 *"}, "line"),
        ({"tz": "localtime"}, "tz"),
        ({"line": "0 0 30 2 *"}, "line"),
        ({"tz": "Mars/Olympus"}, "tz"),
        ({"format": "doc"}, "format"),
        ({"recipients": ["nobody"]}, "recipients.0"),
        ({"recipients": ["a@b.example"] * 51}, "recipients"),
        ({"name": ""}, "name"),
        ({"tenant_id": None}, "tenant_id"),
        ({"extra": 1}, "extra"),
    ],
)
async def test_what_does_not_fit_is_told_by_field(
    http: httpx.AsyncClient, tenant: Tenant, change: dict[str, Any], field: str
) -> None:
    body = {**REPORT, "tenant_id": str(tenant.tenant_id), **change}

    refused = await http.post("/report-schedules", json=body)

    assert code_of(refused) == "invalid"
    assert list(refused.json()["error"]["fields"]) == [field]
