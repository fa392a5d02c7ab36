"""The link in a mail, followed by scanners, people and mail programs."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import httpx
import pytest

from jobs.messaging.queries import unsubscribe_token
from tests.conftest import Tenant, User
from worker.sidecar.app import Sidecar
from worker.sidecar.health import Health
from worker.sidecar.unsubscribe import Unsubscribing
from worker.telemetry.metrics import Metrics

if TYPE_CHECKING:
    import asyncpg


@pytest.fixture
async def unsubscribing(db: "asyncpg.Pool[asyncpg.Record]") -> Unsubscribing:
    unsubscribing = Unsubscribing()
    unsubscribing.db = db
    return unsubscribing


@pytest.fixture
async def http(unsubscribing: Unsubscribing) -> AsyncIterator[httpx.AsyncClient]:
    sidecar = Sidecar(Health(), Metrics(()), routes=unsubscribing.routes())
    await sidecar.start("127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{sidecar.port}") as http:
        yield http
    await sidecar.stop()


async def addresses(db: "asyncpg.Pool[asyncpg.Record]") -> list[tuple[str, str]]:
    rows = await db.fetch("select address, reason from suppressions")
    return [(row["address"], row["reason"]) for row in rows]


async def test_looking_at_the_page_changes_nothing(
    http: httpx.AsyncClient, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant, user: User
) -> None:
    reply = await http.get(f"/unsubscribe/{user.unsubscribe_token}")

    assert reply.status_code == 200
    assert "Abonelikten çık" in reply.text
    assert tenant.name in reply.text
    assert await addresses(db) == []


async def test_one_click_is_enough_and_a_second_harmless(
    http: httpx.AsyncClient, db: "asyncpg.Pool[asyncpg.Record]", user: User
) -> None:
    for _ in range(2):
        reply = await http.post(
            f"/unsubscribe/{user.unsubscribe_token}", data={"List-Unsubscribe": "One-Click"}
        )

        assert reply.status_code == 200
    assert await addresses(db) == [(user.email, "unsubscribed")]


async def test_an_address_that_belongs_to_no_user_gets_out_too(
    http: httpx.AsyncClient, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    token = await unsubscribe_token(db, tenant.tenant_id, "musteri@example.com", "tr")

    asked = await http.get(f"/unsubscribe/{token}")
    assert f"{tenant.name} size artık e-posta göndermesin mi?" in asked.text
    assert await addresses(db) == []
    for _ in range(2):
        done = await http.post(f"/unsubscribe/{token}", data={"List-Unsubscribe": "One-Click"})
        assert done.status_code == 200

    rows = await db.fetch("select tenant_id, channel, address from suppressions")
    assert [tuple(row) for row in rows] == [(tenant.tenant_id, "email", "musteri@example.com")]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_link_that_is_nobodys_is_not_found(
    http: httpx.AsyncClient, user: User, method: str
) -> None:
    for token in (uuid4(), "1 or 1=1", user.user_id):
        assert (await http.request(method, f"/unsubscribe/{token}")).status_code == 404


@pytest.mark.parametrize(
    ("accepted", "language", "said"),
    [
        ("tr-TR,tr;q=0.9,en;q=0.8", "tr", "Bu bağlantı geçerli değil"),
        ("de, EN-GB;q=0.5, tr;q=0.1", "en", "This link is not valid"),
        ("", "en", "This link is not valid"),
    ],
)
@pytest.mark.parametrize("token", ["1 or 1=1", UUID(int=7)])
async def test_a_person_with_such_a_link_is_told_so_on_a_page(
    http: httpx.AsyncClient, accepted: str, language: str, said: str, token: object
) -> None:
    headers = {"Accept": "text/html,*/*;q=0.8", "Accept-Language": accepted}

    reply = await http.get(f"/unsubscribe/{token}", headers=headers)

    assert reply.status_code == 404
    assert reply.headers["Content-Type"].startswith("text/html")
    assert f'<html lang="{language}">' in reply.text
    assert said in reply.text
    assert "<form" not in reply.text
    assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]


async def test_what_reads_no_html_gets_none(http: httpx.AsyncClient) -> None:
    reply = await http.get(f"/unsubscribe/{UUID(int=7)}", headers={"Accept": "application/json"})

    assert (reply.status_code, "<html" in reply.text) == (404, False)


async def test_no_page_of_others_can_frame_the_button(http: httpx.AsyncClient, user: User) -> None:
    reply = await http.get(f"/unsubscribe/{user.unsubscribe_token}")

    assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]


async def test_a_tenants_name_cannot_bring_markup(
    http: httpx.AsyncClient, db: "asyncpg.Pool[asyncpg.Record]", user: User
) -> None:
    await db.execute("update tenants set name = '<script>alert(1)</script>'")

    reply = await http.get(f"/unsubscribe/{user.unsubscribe_token}")

    assert "<script>" not in reply.text
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]


async def test_before_the_database_is_there_it_says_so(
    http: httpx.AsyncClient, unsubscribing: Unsubscribing, user: User
) -> None:
    unsubscribing.db = None

    assert (await http.post(f"/unsubscribe/{user.unsubscribe_token}")).status_code == 503
