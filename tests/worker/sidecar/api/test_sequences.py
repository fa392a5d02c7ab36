"""Sequences and dunning over HTTP, before jobs that the tests put there."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest

from jobs.dunning.holds.queries import hold
from jobs.kit import Job, JobContext, TenantPayload, discover
from tests.conftest import Tenant
from tests.jobs.nurture.world import add_contact, add_sequence, steps_after
from tests.worker.conftest import StartWorker, until
from tests.worker.sidecar.api import api_jobs
from tests.worker.sidecar.api.conftest import code_of, tenant_token
from worker.clock import utc_now
from worker.enqueuer import Pool
from worker.message import When
from worker.telemetry.redaction import MASK
from worker.testing import assert_enqueued

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

CONTACT = UUID("00000000-0000-4000-8000-000000000001")


class Start(TenantPayload):
    contact_ids: list[UUID]
    sequence: str


class NextStep(TenantPayload):
    contact_id: UUID


async def do_nothing(ctx: JobContext, payload: TenantPayload) -> None:
    ctx.log.info("nothing", payload=type(payload).__name__)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Job[Any, Any]:
    like: Job[Any, Any] = api_jobs.hide
    job = replace(
        like, name="nurture-start", aliases=(), queue="nurture", payload=Start, function=do_nothing
    )
    jobs: Any = discover()
    monkeypatch.setitem(jobs, job.name, job)
    return job


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Job[Any, Any]:
    like: Job[Any, Any] = api_jobs.hide
    job = replace(
        like, name="nurture-step", aliases=(), queue="nurture", payload=NextStep,
        function=do_nothing,
    )  # fmt: skip
    jobs: Any = discover()
    monkeypatch.setitem(jobs, job.name, job)
    return job


async def test_a_sequence_is_started_for_some_contacts_by_one_run(
    http: httpx.AsyncClient,
    db: "asyncpg.Pool[asyncpg.Record]",
    pool: Pool,
    tenant: Tenant,
    start: Job[Any, Any],
) -> None:
    body = {
        "contact_ids": [str(CONTACT), str(CONTACT), str(uuid4())],
        "sequence": "welcome",
        "tenant_id": str(tenant.tenant_id),
    }

    answered = await http.post("/sequences/nurture/start", json=body)

    assert answered.status_code == 202
    assert (answered.json()["contacts"], answered.json()["is_new"]) == (2, True)
    expected = {**body, "contact_ids": list(dict.fromkeys(body["contact_ids"]))}
    await assert_enqueued(pool, start, expected, count=1)
    entry = await db.fetchrow("select * from audit_log")
    assert entry is not None
    assert (entry["action"], entry["affected"]) == ("sequence.change", 2)


async def test_what_this_version_cannot_do_is_not_found(
    http: httpx.AsyncClient, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: Any = discover()
    monkeypatch.delitem(jobs, "dunning-stop")
    body = {"contact_ids": [str(CONTACT)], "tenant_id": str(tenant.tenant_id)}

    refused = await http.post("/sequences/dunning/stop", json=body)

    assert (refused.status_code, code_of(refused)) == (404, "not_found")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"contact_ids": []}, "contact_ids"),
        ({"contact_ids": ["x"]}, "contact_ids.0"),
        ({"sequence": None}, "payload.sequence"),
        ({"tenant_id": None}, "tenant_id"),
    ],
)
async def test_what_does_not_fit_is_told(
    http: httpx.AsyncClient,
    tenant: Tenant,
    start: Job[Any, Any],
    change: dict[str, Any],
    field: str,
) -> None:
    body = {
        "contact_ids": [str(CONTACT)],
        "sequence": "welcome",
        "tenant_id": str(tenant.tenant_id),
        **change,
    }

    refused = await http.post("/sequences/nurture/start", json=body)

    assert code_of(refused) == "invalid"
    assert list(refused.json()["error"]["fields"]) == [field]


async def test_a_contacts_steps_are_those_ahead_and_those_that_are_over(
    http: httpx.AsyncClient,
    pool: Pool,
    tenant: Tenant,
    step: Job[Any, Any],
    start_worker: StartWorker,
) -> None:
    payload = {"tenant_id": str(tenant.tenant_id), "contact_id": str(CONTACT)}
    first = await pool.enqueue(step, step.validate(payload))
    others = {**payload, "contact_id": str(uuid4())}
    await pool.enqueue(step, step.validate(others))
    await start_worker()
    later = When(wait_ms=int(timedelta(days=3) / timedelta(milliseconds=1)))
    next_ = await pool.enqueue(step, step.validate(payload), when=later)
    path = f"/sequences/nurture/contacts/{CONTACT}"

    async def told() -> dict[str, Any] | None:
        steps: dict[str, Any] = (
            await http.get(path, headers=tenant_token(tenant.tenant_id, "viewer"))
        ).json()
        return steps if steps["over"] else None

    steps = await until(told)
    assert [one["run_id"] for one in steps["over"]] == [first.run_id]
    assert [(one["run_id"], one["state"]) for one in steps["ahead"]] == [(next_.run_id, "delayed")]
    strangers = (await http.get(path, headers=tenant_token(uuid4(), "viewer"))).json()
    assert strangers == {"ahead": [], "over": [], "enrolments": [], "hold": None}


async def test_a_step_that_waits_in_the_outbox_is_ahead_all_the_same(
    http: httpx.AsyncClient, db: "Db", tenant: Tenant, start_worker: StartWorker
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    steps = steps_after(3)
    await add_sequence(db, tenant.tenant_id, steps, name="far")
    await add_sequence(db, tenant.tenant_id, steps_after(0.01), name="near")
    await start_worker()
    body = {"tenant_id": str(tenant.tenant_id), "contact_ids": [str(contact)]}
    for sequence in ("far", "near"):
        body["sequence"] = sequence
        assert (await http.post("/sequences/nurture/start", json=body)).status_code == 202

    async def told() -> list[dict[str, Any]] | None:
        path = f"/sequences/nurture/contacts/{contact}"
        answered = await http.get(path, headers=tenant_token(tenant.tenant_id, "viewer"))
        ahead: list[dict[str, Any]] = [
            one for one in answered.json()["ahead"] if one["job"] == "nurture.run_step"
        ]
        return ahead if len(ahead) == 2 and ahead[0]["run_id"] else None

    near, far = await until(told)
    assert (near["state"], far["state"], far["run_id"]) == ("delayed", "delayed", None)
    due_at = await db.fetchval(
        "select next_due_at from enrolments where next_step_id = $1", steps[0].step_id
    )
    assert datetime.fromisoformat(far["due_at"]) == due_at


@pytest.mark.parametrize(
    ("state", "days"), [("paused", 3), ("paused", None), ("stopped", None), ("paused", 0)]
)
async def test_that_dunning_rests_is_told_with_until_when_and_not_why(
    http: httpx.AsyncClient, db: "Db", tenant: Tenant, state: str, days: int | None
) -> None:
    contact = await add_contact(db, tenant.tenant_id)
    now = utc_now()
    today = now.astimezone(ZoneInfo(tenant.timezone)).date()
    until = None if days is None else today + timedelta(days=days)
    held: dict[str, Any] = {"reason": "Deniz Kaya is in hospital", "since": now, "until": until}
    await hold(db, tenant.tenant_id, [contact], state=state, **held)
    path = f"/sequences/dunning/contacts/{contact}"

    told = (await http.get(path, headers=tenant_token(tenant.tenant_id, "viewer"))).json()["hold"]

    if days == 0:  # the first day without it
        assert told is None
        return
    expected = None if until is None else until.isoformat()
    assert (told["state"], told["until"], told["reason"]) == (state, expected, MASK)
    assert datetime.fromisoformat(told["since"]) == now
    strangers = await http.get(path, headers=tenant_token(uuid4(), "viewer"))
    assert strangers.json()["hold"] is None


async def test_other_tenants_contacts_are_not_there(
    http: httpx.AsyncClient, tenant: Tenant, start: Job[Any, Any]
) -> None:
    body = {"contact_ids": [str(CONTACT)], "sequence": "x", "tenant_id": str(uuid4())}
    own = tenant_token(tenant.tenant_id)

    refused = await http.post("/sequences/nurture/start", json=body, headers=own)
    looked = await http.get(
        f"/sequences/nurture/contacts/{CONTACT}", params={"tenant_id": str(uuid4())}, headers=own
    )

    assert (code_of(refused), code_of(looked)) == ("not_found", "not_found")


@pytest.mark.parametrize("action", ["start", "pause", "resume", "stop"])
async def test_dunning_can_be_changed_for_some_contacts(
    http: httpx.AsyncClient, pool: Pool, tenant: Tenant, action: str
) -> None:
    body = {"contact_ids": [str(CONTACT)], "reason": "asked to"}

    answered = await http.post(
        f"/sequences/dunning/{action}", json=body, headers=tenant_token(tenant.tenant_id)
    )

    assert answered.status_code == 202
    expected = {**body, "tenant_id": str(tenant.tenant_id)}
    await assert_enqueued(pool, f"dunning.{action}_dunning", expected, count=1)
