from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from clients.errors import ServiceUnavailableError
from jobs.email.send_welcome import send_welcome
from jobs.kit import PayloadError
from tests.conftest import User
from worker.testing import Clock, Rig

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def payload(user: User) -> dict[str, Any]:
    return {"tenant_id": str(user.tenant_id), "user_id": str(user.user_id)}


async def welcomed_at(db: "Db", user: User) -> datetime | None:
    at: datetime | None = await db.fetchval(
        "select welcomed_at from users where user_id = $1", user.user_id
    )
    return at


async def test_a_new_user_is_welcomed_in_their_language(
    rig: Rig, db: "Db", user: User, payload: dict[str, Any]
) -> None:
    link = "https://app.example/in?token=1"

    receipt = (await rig.run(send_welcome, {**payload, "sign_in_url": link})).succeeded()

    (sent,) = rig.mails
    assert (sent.mail.to, sent.mail.to_name) == (user.email, user.full_name)
    assert sent.mail.subject == "Iğdır Yapı A.Ş.: hoş geldiniz"
    assert f"Giriş yapın: {link}" in sent.mail.text
    assert f'href="{link}"' in sent.mail.html
    assert receipt.status == "sent"
    assert await welcomed_at(db, user) == NOW


async def test_nobody_is_welcomed_twice_whatever_is_forgotten(
    rig: Rig, db: "Db", user: User, payload: dict[str, Any]
) -> None:
    (await rig.run(send_welcome, payload)).succeeded()
    await db.execute("delete from deliveries")
    await db.execute("update users set email = 'new@anadolu.example'")

    again = await rig.run(send_welcome, payload)

    assert again.cancelled() == "this user has been welcomed"
    assert len(rig.mails) == 1


async def test_an_attempt_that_ended_between_sending_and_remembering_is_made_good(
    rig: Rig, db: "Db", user: User, payload: dict[str, Any]
) -> None:
    (await rig.run(send_welcome, payload)).succeeded()
    await db.execute("update users set welcomed_at = null")

    again = (await rig.run(send_welcome, payload)).succeeded()

    assert again.status == "already_sent"
    assert len(rig.mails) == 1
    assert await welcomed_at(db, user) == NOW


async def test_who_could_not_be_written_to_is_not_welcomed_yet(
    rig: Rig, db: "Db", user: User, payload: dict[str, Any]
) -> None:
    rig.outbox.error = ServiceUnavailableError("away")
    (await rig.run(send_welcome, payload)).retrying()
    assert await welcomed_at(db, user) is None

    rig.outbox.error = None
    (await rig.run(send_welcome, payload, attempt=2)).succeeded()

    assert len(rig.mails) == 1
    assert await welcomed_at(db, user) == NOW


async def test_who_has_unsubscribed_gets_nothing(
    rig: Rig, db: "Db", user: User, payload: dict[str, Any]
) -> None:
    await db.execute(
        "insert into suppressions (tenant_id, channel, address, reason)"
        " values ($1, 'email', $2, 'unsubscribed')",
        user.tenant_id,
        user.email,
    )

    assert (await rig.run(send_welcome, payload)).succeeded().status == "suppressed"

    assert rig.mails == []


@pytest.mark.parametrize("stranger", ["tenant_id", "user_id"])
async def test_a_user_of_nobody_or_of_another_tenant_is_not_written_to(
    rig: Rig, payload: dict[str, Any], stranger: str
) -> None:
    ended = await rig.run(send_welcome, {**payload, stranger: str(uuid4())})

    assert ended.cancelled() == "there is no such user any more"
    assert rig.mails == []


@pytest.mark.parametrize("link", ["http://app.example/", "javascript:alert(1)", "/in", ""])
def test_a_link_that_is_not_secure_is_refused(payload: dict[str, Any], link: str) -> None:
    with pytest.raises(PayloadError, match="sign_in_url"):
        send_welcome.validate({**payload, "sign_in_url": link})


def test_the_link_is_never_shown() -> None:
    assert send_welcome.sensitive == {"sign_in_url"}
