"""Previews over HTTP: texts as JSON, and the HTML as a page that can do nothing."""

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest

from jobs.messaging import catalogue, queries
from jobs.messaging.core.override import Override
from jobs.messaging.queries import Key
from tests.conftest import Tenant
from tests.worker.sidecar.api.conftest import CREDENTIALS, Serve, code_of, tenant_token
from worker.clock import utc_now

if TYPE_CHECKING:
    import asyncpg


async def store(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, key: Key, **parts: str
) -> None:
    async with db.acquire() as connection, connection.transaction():
        override = Override(version=0, **parts)
        await queries.store_override(connection, tenant_id, key, override, by="ayse", at=utc_now())


async def test_a_message_is_shown_as_it_would_be_sent(http: httpx.AsyncClient) -> None:
    reply = await http.get("/templates/welcome/preview", params={"language": "tr"})

    shown = reply.json()
    assert shown["subject"] == "Örnek A.Ş.: hoş geldiniz"
    assert shown["text"].startswith("Merhaba Ayşe Işık,")
    assert shown["template_version"].startswith("built-in-")
    assert (shown["sender"], shown["sms"]) == ("Örnek A.Ş.", None)
    assert "<html" in shown["html"]


async def test_the_page_can_neither_run_nor_fetch_anything(http: httpx.AsyncClient) -> None:
    page = await http.get("/templates/welcome/page", params={"language": "tr"})

    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Cache-Control"] == "no-store"
    rules = [rule.strip() for rule in page.headers["Content-Security-Policy"].split(";")]
    assert {"default-src 'none'", "sandbox", "form-action 'none'"} <= set(rules)
    assert not [rule for rule in rules if "script" in rule or "http" in rule]
    assert "Merhaba Ayşe Işık" in page.text


async def test_a_tenants_own_words_are_shown_in_its_name(
    http: httpx.AsyncClient, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    key = Key("welcome", "tr", "email")
    for text in ("first of {{ tenant }}", "second"):
        await store(db, tenant.tenant_id, key, text=text)
    asked = {"language": "tr", "tenant_id": str(tenant.tenant_id)}

    newest = (await http.get("/templates/welcome/preview", params=asked)).json()
    first = (await http.get("/templates/welcome/preview", params={**asked, "version": "1"})).json()

    assert (newest["template_version"], newest["text"][:6]) == ("tenant-2", "second")
    assert first["text"].startswith(f"first of {tenant.name}")


async def test_a_version_that_does_not_work_is_told_beside_its_field(
    http: httpx.AsyncClient, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    await store(db, tenant.tenant_id, Key("welcome", "tr", "email"), html="{{ amount }}")
    asked = {"language": "tr", "tenant_id": str(tenant.tenant_id)}

    for what in ("preview", "page"):
        reply = await http.get(f"/templates/welcome/{what}", params=asked)

        assert (reply.status_code, code_of(reply)) == (422, "invalid")
        assert reply.json()["error"]["fields"] == {"html": "there is no amount"}


async def test_an_sms_is_shown_with_what_it_costs(
    http: httpx.AsyncClient,
    db: "asyncpg.Pool[asyncpg.Record]",
    tenant: Tenant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalogue, "_declared", dict(catalogue._declared))
    catalogue.declare("greeting", channels={"sms"}, sample=lambda _: {})
    await store(db, tenant.tenant_id, Key("greeting", "tr", "sms"), text="Selam {{ name }}")
    asked = {"language": "tr", "channel": "sms", "tenant_id": str(tenant.tenant_id)}

    shown = (await http.get("/templates/greeting/preview", params=asked)).json()
    page = await http.get("/templates/greeting/page", params=asked)

    assert shown["text"] == "Selam Ayşe Işık"
    assert shown["sms"] == {"encoding": "UCS-2", "units": 15, "segments": 1}
    assert page.json()["error"]["fields"] == {"channel": "an SMS has no HTML"}


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("nothing", {}, 404),
        ("welcome", {"tenant_id": str(uuid4())}, 404),
        ("welcome", {"version": "1"}, 422),
        ("welcome", {"channel": "sms"}, 422),
        ("welcome", {"language": "de"}, 422),
    ],
    ids=["name", "tenant", "version", "channel", "language"],
)
async def test_what_cannot_be_shown_is_told(
    http: httpx.AsyncClient, path: str, params: dict[str, Any], status: int
) -> None:
    reply = await http.get(f"/templates/{path}/preview", params=params)

    assert reply.status_code == status
    assert code_of(reply) in {"not_found", "invalid"}


async def test_a_tenant_is_shown_its_own_words_alone(
    serve: Serve, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    await store(db, tenant.tenant_id, Key("welcome", "tr", "email"), text="ours")
    own = await serve(**CREDENTIALS)
    own.headers.update(tenant_token(tenant.tenant_id, "viewer"))

    mine = await own.get("/templates/welcome/preview", params={"language": "tr"})
    theirs = await own.get("/templates/welcome/preview", params={"tenant_id": str(uuid4())})

    assert mine.json()["text"].startswith("ours")
    assert theirs.status_code == 404


async def test_what_has_to_arrive_is_shown_without_a_way_out(http: httpx.AsyncClient) -> None:
    demand = (await http.get("/templates/payment_reminder/preview")).json()
    welcome = (await http.get("/templates/welcome/preview")).json()

    assert "nsubscribe" not in demand["text"] + demand["html"]
    assert "Unsubscribe: https://" in welcome["text"]
