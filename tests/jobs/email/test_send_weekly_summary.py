from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from jobs.email.send_weekly_summary import send_weekly_summary
from jobs.kit import PayloadError
from tests.conftest import User
from tests.jobs.email.notices import insert_notice
from tests.jobs.email.rows import add_change, add_proposal
from worker.testing import Clock, Rig

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)  # Monday, 09:00 in Istanbul
HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def payload(user: User) -> dict[str, Any]:
    return {
        "tenant_id": str(user.tenant_id),
        "user_id": str(user.user_id),
        "week": "2026-W47",
    }


@pytest.fixture
async def week(db: "Db", user: User) -> None:
    """One of each: a notice that closes, a proposal that was changed, and is due."""
    await insert_notice(
        db,
        user.tenant_id,
        "n1",
        title="Çatı <onarımı>",
        response_due_at=NOW + 24 * HOUR,
        ui_url="https://sam.gov/opp/1",
    )
    proposal_id = await add_proposal(
        db,
        user.tenant_id,
        team=(user.user_id,),
        title="Köprü teklifi",
        due_on=date(2026, 11, 27),
        created_at=NOW - 48 * HOUR,
    )
    await add_change(db, user.tenant_id, proposal_id, "in_review", changed_at=NOW - 24 * HOUR)


@pytest.mark.usefixtures("week")
async def test_the_mail_tells_of_the_week_in_the_users_words_and_zone(
    rig: Rig, user: User, payload: dict[str, Any]
) -> None:
    (await rig.run(send_weekly_summary, payload)).succeeded()

    (sent,) = rig.mails
    assert sent.mail.to == user.email
    assert sent.mail.subject == "Iğdır Yapı A.Ş., haftanın özeti: 16 Kas 2026 - 22 Kas 2026"
    for words in (
        "Yeni ihale: 0",
        "Bu hafta süresi dolacak ihale: 1",
        "Bu hafta verilecek teklif: 1",
        "Tekliflerinizdeki değişiklik: 1",
        "Ekibin başladığı teklif: 1",
        "- Çatı <onarımı>, 24 Kasım 2026 Salı 09:00 (İstanbul, GMT+03:00)",
        "- Köprü teklifi: İncelemede, 27 Kasım 2026 Cuma",
        "- Köprü teklifi: Taslak -> İncelemede, 22 Kasım 2026 09:00",
        "İncelemede: 1",
    ):
        assert words in sent.mail.text
    assert '<a href="https://sam.gov/opp/1"' in sent.mail.html
    assert "Çatı &lt;onarımı&gt;" in sent.mail.html


@pytest.mark.usefixtures("week")
async def test_a_week_is_told_once_and_the_next_one_again(
    rig: Rig, db: "Db", user: User, payload: dict[str, Any]
) -> None:
    statuses = [(await rig.run(send_weekly_summary, payload)).succeeded().status for _ in range(2)]
    rig.clock.move(days=7)
    await insert_notice(db, user.tenant_id, "n2", response_due_at=NOW + timedelta(days=9))
    next_week = {**payload, "week": "2026-W48"}
    statuses.append((await rig.run(send_weekly_summary, next_week)).succeeded().status)

    assert statuses == ["sent", "already_sent", "sent"]
    assert len(rig.mails) == 2
    keys = await db.fetch("select key from deliveries order by key")
    assert [row["key"] for row in keys] == [
        f"weekly-summary:{user.user_id}:2026-W47",
        f"weekly-summary:{user.user_id}:2026-W48",
    ]


async def test_a_quiet_week_is_no_mail(
    rig: Rig, db: "Db", user: User, payload: dict[str, Any]
) -> None:
    await add_proposal(db, user.tenant_id, team=(user.user_id,), created_at=NOW - 900 * HOUR)

    ended = await rig.run(send_weekly_summary, payload)

    assert ended.cancelled() == "there is nothing to tell of this week"
    assert rig.mails == []
    assert rig.counted.skips == [
        {"channel": "email", "template": "weekly-summary", "reason": "quiet_week"}
    ]


@pytest.mark.usefixtures("week")
async def test_where_the_week_still_goes_on_their_monday_morning_is_waited_for(
    rig: Rig, db: "Db", payload: dict[str, Any]
) -> None:
    await db.execute("update users set timezone = 'America/Los_Angeles'")  # Sunday, 22:00

    assert (await rig.run(send_weekly_summary, payload)).snoozed() == timedelta(hours=10)
    assert rig.mails == []
    rig.clock.move(hours=10)
    assert (await rig.run(send_weekly_summary, payload)).succeeded().status == "sent"


@pytest.mark.usefixtures("week")
async def test_without_a_week_it_is_the_last_one_that_is_over_there(
    rig: Rig, db: "Db", user: User
) -> None:
    old = {"orgId": str(user.tenant_id), "userId": str(user.user_id), "email": "x@old.example"}

    (await rig.run("weekly-summary", old)).succeeded()

    key = await db.fetchval("select key from deliveries")
    assert key == f"weekly-summary:{user.user_id}:2026-W47"
    await db.execute("update users set timezone = 'America/Los_Angeles'")
    await add_proposal(db, user.tenant_id, created_at=NOW - timedelta(days=8))
    (await rig.run("weekly-summary", old)).succeeded()
    keys = [row["key"] for row in await db.fetch("select key from deliveries order by key")]
    assert keys[0].endswith("2026-W46")


@pytest.mark.usefixtures("week")
async def test_a_retry_in_the_next_week_is_about_the_same_one(
    rig: Rig, db: "Db", user: User
) -> None:
    asked = {"tenant_id": str(user.tenant_id), "user_id": str(user.user_id)}
    rig.clock.move_to(asked_at := datetime(2026, 11, 29, 20, 59, tzinfo=UTC))  # Sunday, 23:59
    await rig.run(send_weekly_summary, asked, run_id="one", enqueued_at=asked_at)
    # As a worker leaves it that dies between handing over and noting it down.
    await db.execute("update deliveries set status = 'sending'")
    rig.outbox.is_repeatable = False
    rig.clock.move(minutes=2)

    again = await rig.run(send_weekly_summary, asked, run_id="one", attempt=2, enqueued_at=asked_at)

    assert "may have been sent" in again.dead().message
    assert await db.fetchval("select key from deliveries") == (
        f"weekly-summary:{user.user_id}:2026-W47"
    )
    assert len(rig.mails) == 1


async def test_a_week_that_is_to_come_is_refused(rig: Rig, payload: dict[str, Any]) -> None:
    ended = await rig.run(send_weekly_summary, {**payload, "week": "2026-W48"})

    assert "week: is not over yet" in ended.dead().message


async def test_an_unknown_time_zone_is_named(rig: Rig, db: "Db", payload: dict[str, Any]) -> None:
    await db.execute("update users set timezone = 'Mars/Olympus'")

    assert "timezone" in (await rig.run(send_weekly_summary, payload)).dead().message


@pytest.mark.usefixtures("week")
async def test_who_has_unsubscribed_gets_nothing(
    rig: Rig, db: "Db", user: User, payload: dict[str, Any]
) -> None:
    await db.execute(
        "insert into suppressions (tenant_id, channel, address, reason)"
        " values ($1, 'email', $2, 'unsubscribed')",
        user.tenant_id,
        user.email,
    )

    assert (await rig.run(send_weekly_summary, payload)).succeeded().status == "suppressed"
    assert rig.mails == []


async def test_a_user_who_is_gone_gets_nothing(rig: Rig, payload: dict[str, Any]) -> None:
    gone = {**payload, "user_id": str(uuid4())}

    assert "no such user" in (await rig.run(send_weekly_summary, gone)).cancelled()


@pytest.mark.parametrize("week", ["47", "2026-W54", "last"])
def test_what_is_no_week_is_refused(payload: dict[str, Any], week: str) -> None:
    with pytest.raises(PayloadError, match="week"):
        send_weekly_summary.validate({**payload, "week": week})
