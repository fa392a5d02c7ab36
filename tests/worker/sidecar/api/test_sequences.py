"""Sequences and dunning over HTTP, before jobs that the tests put there."""

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest

from jobs.kit import Job, JobContext, TenantPayload, discover
from tests.conftest import Tenant
from tests.worker.conftest import StartWorker, until
from tests.worker.sidecar.api import api_jobs
from tests.worker.sidecar.api.conftest import code_of, tenant_token
from worker.enqueuer import Pool
from worker.message import When
from worker.testing import assert_enqueued

if TYPE_CHECKING:
    import asyncpg

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
    assert strangers == {"ahead": [], "over": [], "enrolments": []}


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
