from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from jobs.email.send_proposal_notification import send_proposal_notification
from jobs.kit import PayloadError
from tests.conftest import User
from tests.jobs.email.notices import insert_notice
from tests.jobs.email.rows import add_change, add_proposal, add_user
from worker.testing import Clock, Rig

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
async def proposal_id(db: "Db", user: User) -> UUID:
    await insert_notice(db, user.tenant_id, "n1", solicitation_number="W912", title="Roof <b>")
    return await add_proposal(
        db,
        user.tenant_id,
        team=(user.user_id,),
        title="Çatı <onarımı>",
        due_at=NOW + timedelta(days=9),
        notice_id="n1",
        url="https://app.example/p/1",
    )


@pytest.fixture
async def payload(db: "Db", user: User, proposal_id: UUID) -> dict[str, Any]:
    """Of a change that somebody else made."""
    other = await add_user(db, user.tenant_id, full_name="Iğdır Şahin")
    change_id = await add_change(
        db,
        user.tenant_id,
        proposal_id,
        "in_review",
        changed_by=other,
        changed_at=NOW - timedelta(hours=1),
    )
    return {
        "tenant_id": str(user.tenant_id),
        "user_id": str(user.user_id),
        "change_id": str(change_id),
    }


async def test_the_mail_says_what_changed_by_whom_when_and_what_is_due(
    rig: Rig, user: User, payload: dict[str, Any]
) -> None:
    (await rig.run(send_proposal_notification, payload)).succeeded()

    (sent,) = rig.mails
    assert sent.mail.to == user.email
    assert sent.mail.subject == "Çatı <onarımı>: İncelemede"
    for words in (
        "Durum: Taslak -> İncelemede",
        "Değiştiren: Iğdır Şahin",
        "Değişiklik zamanı: 22 Kasım 2026 11:00",
        "Son teklif: 1 Aralık 2026 Salı 12:00 (İstanbul, GMT+03:00)",
        "İhale: W912, Roof <b>",
        "https://app.example/p/1",
    ):
        assert words in sent.mail.text
    assert "Çatı &lt;onarımı&gt;" in sent.mail.html
    assert "Sonrasında" not in sent.mail.text


async def test_a_change_is_told_once_and_the_next_one_again(
    rig: Rig, db: "Db", user: User, proposal_id: UUID, payload: dict[str, Any]
) -> None:
    for _ in range(2):
        (await rig.run(send_proposal_notification, payload)).succeeded()
    second = await add_change(db, user.tenant_id, proposal_id, "submitted", changed_at=NOW)

    (await rig.run(send_proposal_notification, {**payload, "change_id": str(second)})).succeeded()

    assert [sent.mail.subject.rpartition(" ")[2] for sent in rig.mails] == [
        "İncelemede",
        "Gönderildi",
    ]


async def test_a_mail_that_comes_late_says_where_the_proposal_is_now(
    rig: Rig, db: "Db", user: User, proposal_id: UUID, payload: dict[str, Any]
) -> None:
    await add_change(db, user.tenant_id, proposal_id, "won", changed_at=NOW)

    (await rig.run(send_proposal_notification, payload)).succeeded()

    (sent,) = rig.mails
    assert "Durum: Taslak -> İncelemede" in sent.mail.text
    assert "Sonrasında: Kazanıldı" in sent.mail.text


async def test_the_older_services_name_the_proposal_and_mean_its_newest_change(
    rig: Rig, db: "Db", user: User, proposal_id: UUID, payload: dict[str, Any]
) -> None:
    newest = await add_change(db, user.tenant_id, proposal_id, "approved", changed_at=NOW)
    old = {
        "orgId": str(user.tenant_id),
        "userId": str(user.user_id),
        "email": "elsewhere@old.example",
        "proposalId": str(proposal_id),
    }

    (await rig.run("proposal-notification", old)).succeeded()

    (sent,) = rig.mails
    assert (sent.mail.to, sent.mail.subject) == (user.email, "Çatı <onarımı>: Onaylandı")
    ours = {**payload, "change_id": str(newest)}
    again = (await rig.run(send_proposal_notification, ours)).succeeded()
    assert again.status == "already_sent"


async def test_who_has_left_the_team_is_not_told(
    rig: Rig, db: "Db", payload: dict[str, Any]
) -> None:
    await db.execute("delete from proposal_members")

    ended = await rig.run(send_proposal_notification, payload)

    assert "not on the team" in ended.cancelled()
    assert rig.mails == []


async def test_who_made_the_change_knows_it(
    rig: Rig, db: "Db", user: User, payload: dict[str, Any]
) -> None:
    await db.execute("update proposal_changes set changed_by = $1", user.user_id)

    assert "made the change" in (await rig.run(send_proposal_notification, payload)).cancelled()


@pytest.mark.parametrize(
    ("stranger", "reason"),
    [("user_id", "no such user"), ("change_id", "no such change"), ("tenant_id", "no such user")],
)
async def test_what_is_gone_or_anothers_is_not_told(
    rig: Rig, payload: dict[str, Any], stranger: str, reason: str
) -> None:
    ended = await rig.run(send_proposal_notification, {**payload, stranger: str(uuid4())})

    assert reason in ended.cancelled()
    assert rig.mails == []


async def test_an_unknown_time_zone_is_named_and_nothing_is_sent(
    rig: Rig, db: "Db", payload: dict[str, Any]
) -> None:
    await db.execute("update users set timezone = 'Mars/Olympus'")

    ended = await rig.run(send_proposal_notification, payload)

    assert "timezone" in ended.dead().message
    assert rig.mails == []


@pytest.mark.parametrize("ids", [(), ("change_id", "proposal_id")])
def test_a_payload_names_one_change(ids: tuple[str, ...]) -> None:
    payload = {name: str(uuid4()) for name in ("tenant_id", "user_id", *ids)}

    with pytest.raises(PayloadError, match="either change_id, or proposal_id"):
        send_proposal_notification.validate(payload)
