"""The old services' endpoints, in their exact shapes, before jobs that the tests put there."""

import hashlib
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import orjson
import pytest

from jobs.kit import Job, JobContext, Payload, Tick, WebhookDelivery, discover
from tests.conftest import Tenant
from tests.worker.conftest import StartWorker
from tests.worker.sidecar.api import api_jobs
from tests.worker.sidecar.api.conftest import code_of, tenant_token
from worker import webhooks
from worker.enqueuer import Pool
from worker.settings import Settings
from worker.testing import assert_enqueued
from worker.webhooks import Received, Webhook, webhook

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

DEAL, DOCUMENT, EXPORT, OTHER = (f"00000000-0000-4000-8000-00000000000{n}" for n in range(4))


class Processing(Payload):
    document_id: UUID
    deal_id: UUID
    operation: str


class Exporting(Payload):
    export_id: UUID


async def count_briefs(ctx: JobContext, tick: Tick) -> dict[str, int]:
    if tick.due_at > ctx.now():
        raise RuntimeError("not yet")
    return {"briefs": 3}


async def do_nothing(ctx: JobContext, payload: Payload) -> None:
    ctx.log.info("nothing", payload=type(payload).__name__)


async def is_ours(db: "Db", payload: Any) -> bool:
    """As a job asks its table."""
    wanted = getattr(payload, "document_id", None) or payload.export_id
    return await db.fetchval("select $1::uuid = any($2)", wanted, [DOCUMENT, EXPORT]) is True


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, Job[Any, Any]]:
    """Jobs as a version has them that does the deal rooms' and the petcare service's work."""
    like: Job[Any, Any] = replace(api_jobs.hide, queue="document", admits=is_ours)
    made = {
        "document-processing": replace(like, payload=Processing, function=do_nothing),
        "process-export": replace(like, payload=Exporting, function=do_nothing),
        "trigger-daily-briefs": replace(
            like, queue="daily-brief", payload=Tick, function=count_briefs, admits=None
        ),
    }
    jobs: Any = discover()
    for alias, job in made.items():
        monkeypatch.setitem(jobs, alias, replace(job, name=alias, aliases=()))
    return {alias: jobs[alias] for alias in made}


def at(http: httpx.AsyncClient, path: str) -> httpx.URL:
    return http.base_url.join(path)


async def test_queue_stats_have_the_old_shape_and_further_queues_beside(
    http: httpx.AsyncClient, pool: Pool
) -> None:
    await pool.enqueue(api_jobs.greet, {"name": "a"})

    told = (await http.get(at(http, "/api/queue/stats"))).json()

    assert set(told) == {"success", "stats"}
    assert told["success"] is True
    assert {"dailyBrief", "documentProcessing", "emailProcessing", "sourceSync"} <= set(
        told["stats"]
    )
    assert len(told["stats"]) == 12
    assert told["stats"]["default"] == {"waiting": 1, "active": 0, "completed": 0, "failed": 0}
    assert {tuple(counts) for counts in told["stats"].values()} == {
        ("waiting", "active", "completed", "failed")
    }


async def test_a_document_is_processed_and_the_answer_does_not_wait(
    http: httpx.AsyncClient, pool: Pool, known: dict[str, Job[Any, Any]]
) -> None:
    body = {"documentId": DOCUMENT, "dealId": DEAL}

    answered = await http.post(at(http, f"/api/documents/{DOCUMENT}/process"), json=body)

    told = answered.json()
    assert answered.status_code == 200
    assert {"success": told["success"], "message": told["message"]} == {
        "success": True,
        "message": "Processing started",
    }
    await assert_enqueued(
        pool,
        known["document-processing"],
        {"document_id": DOCUMENT, "deal_id": DEAL, "operation": "summarize"},
        count=1,
    )


async def test_an_unknown_document_is_not_found(
    http: httpx.AsyncClient, known: dict[str, Job[Any, Any]]
) -> None:
    url = at(http, f"/api/documents/{OTHER}/process")

    refused = await http.post(url, json={"dealId": DEAL})

    assert (refused.status_code, code_of(refused)) == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "dealId"),
        ({"dealId": "x"}, "payload.deal_id"),
        ({"dealId": DEAL, "documentId": OTHER}, "documentId"),
    ],
)
async def test_what_does_not_fit_a_document_is_told(
    http: httpx.AsyncClient, known: dict[str, Job[Any, Any]], body: dict[str, Any], field: str
) -> None:
    refused = await http.post(at(http, f"/api/documents/{DOCUMENT}/process"), json=body)

    assert code_of(refused) == "invalid"
    assert list(refused.json()["error"]["fields"]) == [field]


async def test_a_tenant_cannot_have_what_is_of_no_tenant_processed(
    http: httpx.AsyncClient, tenant: Tenant, known: dict[str, Job[Any, Any]]
) -> None:
    url = at(http, f"/api/documents/{DOCUMENT}/process")

    refused = await http.post(url, json={"dealId": DEAL}, headers=tenant_token(tenant.tenant_id))

    assert code_of(refused) == "tenant_bound"


async def test_daily_briefs_are_triggered_and_counted(
    http: httpx.AsyncClient, known: dict[str, Job[Any, Any]], start_worker: StartWorker
) -> None:
    await start_worker()

    told = (await http.post(at(http, "/api/queue/trigger-daily-briefs"))).json()

    assert (told["success"], told["count"], told["message"]) == (True, 3, "Queued 3 daily briefs")


async def test_an_export_is_processed_by_its_id(
    http: httpx.AsyncClient, pool: Pool, known: dict[str, Job[Any, Any]]
) -> None:
    answered = await http.post(f"/workers/financial-export/process/{EXPORT}")
    unknown = await http.post(f"/workers/financial-export/process/{OTHER}")

    assert answered.status_code == 202
    assert code_of(unknown) == "not_found"
    await assert_enqueued(pool, known["process-export"], {"export_id": EXPORT}, count=1)


@pytest.mark.parametrize(
    "path",
    [
        "/api/queue/trigger-daily-briefs",
        f"/api/documents/{DOCUMENT}/process",
        f"/api/v1/workers/financial-export/process/{EXPORT}",
    ],
)
async def test_a_version_without_the_job_says_so(http: httpx.AsyncClient, path: str) -> None:
    refused = await http.post(at(http, path), json={"dealId": DEAL} if "documents" in path else {})

    assert (refused.status_code, code_of(refused)) == (404, "not_found")


SECRET = b"of the sender"


def signature_of(body: bytes) -> str:
    return hmac.new(SECRET, body, hashlib.sha256).hexdigest()


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> list[Received]:
    """A source that signs its deliveries; what was checked."""
    checked: list[Received] = []

    def verify(received: Received, settings: Settings) -> bool:
        checked.append(received)
        given = received.headers.get("x-signature", "")
        return settings.port == 0 and hmac.compare_digest(given, signature_of(received.body))

    like: Job[Any, Any] = replace(api_jobs.hide, sensitive=frozenset({"body"}))
    job = replace(
        like, name="record-events", aliases=(), payload=WebhookDelivery, function=do_nothing
    )
    jobs: Any = discover()
    monkeypatch.setitem(jobs, "record-events", job)
    monkeypatch.setattr(webhooks, "_WEBHOOKS", {})
    webhook(Webhook(source="sendgrid", verify=verify, job="record-events"))
    return checked


async def test_a_signed_delivery_becomes_a_run_once(
    http: httpx.AsyncClient, pool: Pool, sender: list[Received]
) -> None:
    body = orjson.dumps([{"event": "bounce", "email": "ayşe@anadolu.example"}])
    headers = {"X-Signature": signature_of(body), "Content-Type": "application/json"}
    url = at(http, "/api/webhooks/sendgrid?a=1")
    http.headers.pop("Authorization")

    first = await http.post(url, content=body, headers=headers)
    again = await http.post(url, content=body, headers=headers)
    other = await http.post(at(http, "/api/webhooks/sendgrid?a=2"), content=body, headers=headers)

    assert (first.status_code, again.status_code) == (202, 202)
    assert (first.json()["is_new"], again.json()["is_new"]) == (True, False)
    assert other.json()["is_new"]
    assert first.json()["run_id"] == again.json()["run_id"]
    assert sender[0].body == body
    assert sender[0].url.endswith("/api/webhooks/sendgrid?a=1")
    info = await pool.handle(first.json()["run_id"], discover()["record-events"]).info()
    assert info is not None
    assert info.args[0]["body"] == body.decode()
    assert info.args[0]["query"] == "a=1"


@pytest.mark.parametrize("change", ["body", "signature", "none"])
async def test_a_changed_byte_is_not_believed(
    http: httpx.AsyncClient, pool: Pool, sender: list[Received], change: str
) -> None:
    body = b'[{"event": "bounce"}]'
    headers = {} if change == "none" else {"X-Signature": signature_of(body)}
    if change == "signature":
        headers["X-Signature"] = headers["X-Signature"][::-1]
    sent = body.replace(b"bounce", b"Bounce") if change == "body" else body

    refused = await http.post(at(http, "/api/webhooks/sendgrid"), content=sent, headers=headers)

    assert (refused.status_code, code_of(refused)) == (400, "bad_signature")
    assert await pool.zcard("arq:queue") == 0


async def test_a_source_that_nobody_knows_is_not_found(http: httpx.AsyncClient) -> None:
    refused = await http.post(at(http, "/api/webhooks/nobody"), content=b"{}")

    assert (refused.status_code, code_of(refused)) == (404, "not_found")


def test_a_source_has_one_receiver(sender: list[Received]) -> None:
    with pytest.raises(ValueError, match="there is a webhook 'sendgrid' already"):
        webhook(Webhook(source="sendgrid", verify=lambda *_: True, job="record-events"))
