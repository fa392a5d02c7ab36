from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import pytest

from jobs.email.send_opportunity_reminder import OpportunityReminder, send_opportunity_reminder
from jobs.kit import PayloadError
from tests.conftest import User
from tests.jobs.email.notices import insert_notice
from worker.ending import Reason
from worker.testing import Clock, Rig

if TYPE_CHECKING:
    import asyncpg

NOW = datetime(2026, 12, 3, 9, 0, tzinfo=UTC)
DUE_AT = datetime.fromisoformat("2026-12-05T17:00-05:00")


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
async def reminder(db: "asyncpg.Pool[asyncpg.Record]", user: User) -> OpportunityReminder:
    """Of three notices: one due soon, one closed, one due later."""
    await insert_notice(
        db,
        user.tenant_id,
        "soon",
        title="Çatı <onarımı> & güçlendirme",
        response_due_at=DUE_AT,
        set_aside="Total Small Business Set-Aside (FAR 19.5)",
        ui_url="https://sam.gov/opp/soon/view",
    )
    await insert_notice(db, user.tenant_id, "closed", response_due_at=NOW - timedelta(hours=1))
    await insert_notice(db, user.tenant_id, "later", response_due_at=DUE_AT + timedelta(days=9))
    return OpportunityReminder(
        tenant_id=user.tenant_id,
        user_id=user.user_id,
        notice_ids=("later", "closed", "soon", "unknown"),
    )


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


async def test_the_mail_says_what_the_database_says(
    rig: Rig, reminder: OpportunityReminder, user: User
) -> None:
    receipt = (await rig.run(send_opportunity_reminder, reminder)).succeeded()

    (mail,) = [sent.message for sent in rig.mails]
    (to,) = mail["To"].addresses
    assert (to.addr_spec, to.display_name) == (user.email, user.full_name)
    assert mail["Subject"] == "Hatırlatma: 2 ihale, en yakın son teklif tarihi 6 Aralık 2026"
    text = part(mail, "plain")
    assert "6 Aralık 2026 Pazar 01:00 (İstanbul, GMT+03:00)" in text
    assert text.index("Çatı <onarımı> & güçlendirme") < text.index("Notice later")
    assert "Notice closed" not in text
    assert "Çatı &lt;onarımı&gt; &amp; güçlendirme" in part(mail, "html")
    assert 'href="https://sam.gov/opp/soon/view"' in part(mail, "html")
    assert (receipt.status, receipt.message_id) == ("sent", mail["Message-ID"])


async def test_the_delivery_is_recorded(
    db: "asyncpg.Pool[asyncpg.Record]",
    rig: Rig,
    reminder: OpportunityReminder,
    user: User,
) -> None:
    receipt = (await rig.run(send_opportunity_reminder, reminder)).succeeded()

    row = await db.fetchrow("select * from deliveries")
    assert row is not None
    assert row["key"] == f"opportunity-reminder:{user.user_id}:2026-12-03"
    assert (row["tenant_id"], row["recipient"]) == (user.tenant_id, user.email)
    assert (row["status"], row["message_id"]) == ("sent", receipt.message_id)


async def test_the_way_out_is_a_link_and_a_header(
    rig: Rig, reminder: OpportunityReminder, user: User
) -> None:
    (await rig.run(send_opportunity_reminder, reminder)).succeeded()

    (mail,) = [sent.message for sent in rig.mails]
    link = f"{rig.resources.links}/unsubscribe/{user.unsubscribe_token}"
    assert mail["List-Unsubscribe"] == f"<{link}>"
    assert link in part(mail, "plain")
    assert link in part(mail, "html")


async def test_two_runs_a_day_are_one_mail(rig: Rig, reminder: OpportunityReminder) -> None:
    statuses = []
    for hours in (0, 11, 1):  # the third is the next day in Istanbul
        rig.clock.move(hours=hours)
        ended = await rig.run(send_opportunity_reminder, reminder)
        statuses.append(ended.succeeded().status)

    assert statuses == ["sent", "already_sent", "sent"]
    assert len(rig.mails) == 2


MIDNIGHT = datetime(2026, 12, 3, 21, tzinfo=UTC)  # in Istanbul, where the user lives
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


async def leave_in_doubt(rig: Rig, db: "asyncpg.Pool[asyncpg.Record]") -> None:
    """As a worker does that dies between handing over and noting it down."""
    await db.execute("update deliveries set status = 'sending'")
    rig.outbox.is_repeatable = False


@pytest.mark.parametrize("is_scheduled", [True, False])
async def test_a_retry_after_midnight_is_the_same_mail(
    rig: Rig,
    db: "asyncpg.Pool[asyncpg.Record]",
    reminder: OpportunityReminder,
    *,
    is_scheduled: bool,
) -> None:
    rig.clock.move_to(asked_at := MIDNIGHT - MINUTE)
    if is_scheduled:
        reminder = reminder.model_copy(update={"asked_at": asked_at})
    await rig.run(send_opportunity_reminder, reminder, run_id="one", enqueued_at=asked_at)
    await leave_in_doubt(rig, db)
    rig.clock.move(minutes=2)

    again = await rig.run(
        send_opportunity_reminder, reminder, run_id="one", attempt=2, enqueued_at=asked_at
    )

    assert "may have been sent" in again.dead().message
    assert len(rig.mails) == 1


async def test_a_replay_on_another_day_answers_for_the_mail_in_doubt(
    rig: Rig, db: "asyncpg.Pool[asyncpg.Record]", reminder: OpportunityReminder
) -> None:
    await rig.run(send_opportunity_reminder, reminder, run_id="one")
    await leave_in_doubt(rig, db)
    await rig.run(send_opportunity_reminder, reminder, run_id="one", attempt=2)
    rig.clock.move(days=1)

    replay = await rig.run(send_opportunity_reminder, reminder, run_id="two", replay_of="one")

    assert replay.succeeded().status == "sent"
    assert await db.fetchval("select count(*) from deliveries") == 1
    assert len(rig.mails) == 2


async def test_what_was_due_before_midnight_takes_nothing_from_the_next_day(
    rig: Rig, reminder: OpportunityReminder
) -> None:
    """Where the tick is at half past eleven at night, the queue may take until tomorrow."""
    statuses: list[str] = []
    for due_at in (MIDNIGHT - 30 * MINUTE, MIDNIGHT - 30 * MINUTE + DAY):
        rig.clock.move_to(due_at + 40 * MINUTE)
        asked = reminder.model_copy(update={"asked_at": due_at})
        # Whoever finds them may be run twice.
        ended = [await rig.run(send_opportunity_reminder, asked) for _ in range(2)]
        statuses += [one.succeeded().status for one in ended]

    assert statuses == ["sent", "already_sent"] * 2


async def test_after_an_outage_one_reminder_stands_for_both_days(
    rig: Rig, reminder: OpportunityReminder
) -> None:
    yesterdays = reminder.model_copy(update={"asked_at": NOW})
    todays = reminder.model_copy(update={"asked_at": NOW + DAY})
    tomorrows = reminder.model_copy(update={"asked_at": NOW + 2 * DAY})

    rig.clock.move_to(NOW + 23 * HOUR)
    (await rig.run(send_opportunity_reminder, yesterdays)).succeeded()
    rig.clock.move(hours=1)
    refused = (await rig.run(send_opportunity_reminder, todays)).cancelled()
    rig.clock.move(days=1)
    (await rig.run(send_opportunity_reminder, tomorrows)).succeeded()

    assert "another day's reminder" in refused
    assert len(rig.mails) == 2


async def test_yesterdays_reminder_does_not_follow_todays(
    rig: Rig, reminder: OpportunityReminder
) -> None:
    rig.clock.move_to(NOW + DAY)
    (await rig.run(send_opportunity_reminder, reminder)).succeeded()
    yesterdays = reminder.model_copy(update={"asked_at": NOW})

    assert "another day's" in (await rig.run(send_opportunity_reminder, yesterdays)).cancelled()
    assert len(rig.mails) == 1


async def test_reminders_that_were_put_off_are_each_of_their_own_day(
    rig: Rig, reminder: OpportunityReminder
) -> None:
    for place in range(3):  # all were enqueued now
        rig.clock.move_to(NOW + place * DAY)
        run_id = f"put off {place}"
        ended = await rig.run(send_opportunity_reminder, reminder, run_id=run_id, enqueued_at=NOW)
        assert ended.succeeded().status == "sent"

    assert len(rig.mails) == 3


@pytest.mark.parametrize(
    "opportunities",
    [
        ["soon", "later"],
        [{"noticeId": "soon", "title": "as they knew it"}, {"id": "later"}],
        [{"notice_id": "later"}, "soon", {"opportunityId": "closed"}],
    ],
)
async def test_the_older_services_payload_is_the_same_reminder(
    rig: Rig, reminder: OpportunityReminder, user: User, opportunities: list[Any]
) -> None:
    old = {
        "orgId": str(user.tenant_id),
        "userId": str(user.user_id),
        "email": "elsewhere@old.example",
        "opportunities": opportunities,
    }

    (await rig.run("opportunity-reminder", old)).succeeded()

    (sent,) = rig.mails
    assert sent.mail.to == user.email
    assert sent.mail.text.index("Çatı <onarımı>") < sent.mail.text.index("Notice later")
    assert "as they knew it" not in sent.mail.text
    again = (await rig.run(send_opportunity_reminder, reminder)).succeeded()
    assert again.status == "already_sent"


async def test_what_is_kept_of_an_older_payload_is_ids(reminder: OpportunityReminder) -> None:
    old = send_opportunity_reminder.validate(
        {
            "orgId": str(reminder.tenant_id),
            "userId": str(reminder.user_id),
            "email": "elsewhere@old.example",
            "opportunities": [{"noticeId": "soon", "contact": "jane@agency.example"}],
        }
    )

    kept = old.model_dump_json()

    assert old.opportunities == ("soon",)
    assert "@" not in kept


@pytest.mark.parametrize("notice_ids", [(), ("closed",), ("unknown",)])
async def test_an_empty_list_is_no_mail(
    rig: Rig,
    reminder: OpportunityReminder,
    notice_ids: tuple[str, ...],
) -> None:
    empty = reminder.model_copy(update={"notice_ids": notice_ids})

    assert "no opportunity" in (await rig.run(send_opportunity_reminder, empty)).cancelled()

    assert rig.mails == []


async def test_a_user_who_is_gone_gets_nothing(
    db: "asyncpg.Pool[asyncpg.Record]",
    rig: Rig,
    reminder: OpportunityReminder,
) -> None:
    await db.execute("delete from users")

    assert "no such user" in (await rig.run(send_opportunity_reminder, reminder)).cancelled()
    assert rig.mails == []


async def test_an_unknown_time_zone_is_named_and_nothing_is_sent(
    db: "asyncpg.Pool[asyncpg.Record]",
    rig: Rig,
    reminder: OpportunityReminder,
) -> None:
    await db.execute("update users set timezone = 'Mars/Olympus'")

    ended = await rig.run(send_opportunity_reminder, reminder)

    assert "timezone: not a name" in ended.dead().message
    assert ended.reason == Reason.REJECTED
    assert rig.mails == []


@pytest.mark.parametrize(
    ("name", "content_type"),
    [("Özet raporu.pdf", "application/pdf"), ("özet.bin", "application/octet-stream")],
)
async def test_a_report_arrives_byte_for_byte(
    rig: Rig,
    reminder: OpportunityReminder,
    name: str,
    content_type: str,
) -> None:
    content = bytes(range(256)) * 1000
    key = f"reports/{reminder.tenant_id}/{name}"
    await rig.storage.put(key, content)

    with_report = reminder.model_copy(update={"report_key": key})
    (await rig.run(send_opportunity_reminder, with_report)).succeeded()

    (mail,) = [sent.message for sent in rig.mails]
    (attachment,) = mail.iter_attachments()
    assert isinstance(attachment, EmailMessage)
    assert attachment.get_filename() == name
    assert attachment.get_content_type() == content_type
    assert attachment.get_content() == content


async def test_a_report_that_is_not_there_yet_is_waited_for(
    rig: Rig, reminder: OpportunityReminder
) -> None:
    key = f"reports/{reminder.tenant_id}/late.pdf"

    with_report = reminder.model_copy(update={"report_key": key})
    ended = await rig.run(send_opportunity_reminder, with_report)

    assert ended.retrying() >= timedelta(seconds=5)
    assert rig.mails == []


async def test_a_report_that_is_too_large_is_refused(
    rig: Rig, reminder: OpportunityReminder
) -> None:
    key = f"reports/{reminder.tenant_id}/large.pdf"
    await rig.storage.put(key, bytes(10 * 1024 * 1024 + 1))

    with_report = reminder.model_copy(update={"report_key": key})
    ended = await rig.run(send_opportunity_reminder, with_report)

    assert "10 MB" in ended.dead().message


TENANT = "0b8a5c44-7f7a-4f6e-9a39-2d2bd4a4d6d2"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("report_key", "reports/9c2f6a3e-2222-4444-8888-000000000000/theirs.pdf"),
        ("report_key", f"reports/{TENANT}/../9c2f6a3e-2222-4444-8888-000000000000/theirs.pdf"),
        ("report_key", f"reports/{TENANT}"),
        ("report_key", f"reports/{TENANT}/"),
        ("notice_ids", [str(number) for number in range(201)]),
        ("notice_ids", [""]),
        ("opportunities", [{"title": "theirs"}]),
        ("opportunities", [{"id": ""}]),
        ("opportunities", {"id": "1"}),
        ("user_id", "me"),
        ("asked_at", "2026-12-03T09:00"),
    ],
)
def test_a_payload_that_does_not_fit_names_its_field(field: str, value: object) -> None:
    payload: dict[str, Any] = {"tenant_id": TENANT, "user_id": TENANT, "notice_ids": ["1"]}

    with pytest.raises(PayloadError, match=field) as error:
        send_opportunity_reminder.validate({**payload, field: value})

    assert "theirs" not in str(error.value)


def test_the_older_name_still_runs_it() -> None:
    assert send_opportunity_reminder.aliases == ("opportunity-reminder",)
    assert send_opportunity_reminder.queue == "email"
