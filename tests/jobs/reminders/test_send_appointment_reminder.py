from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import icalendar
import orjson
import pytest

from clients.errors import (
    RecipientOptedOutError,
    RecipientUnreachableError,
    RequestRejectedError,
    ServiceUnavailableError,
)
from clients.sms_text import length
from jobs.kit import Cancel, PayloadError, Snooze
from jobs.messaging.core.channels import Channel
from jobs.reminders.core import ReminderType
from jobs.reminders.send_appointment_reminder import AppointmentReminder, send_appointment_reminder
from tests.conftest import Tenant
from tests.jobs.reminders.appointments import (
    insert_appointment,
    insert_contact,
    insert_surroundings,
    sent_at,
)
from worker.ending import Reason, State
from worker.testing import Clock, Ended, Rig

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

NOW = datetime(2026, 12, 3, 9, 0, tzinfo=UTC)  # noon in Istanbul
HOUR = timedelta(hours=1)
NEVER = {"reminder_24h_sent_at": None, "reminder_3h_sent_at": None}


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@dataclass(frozen=True)
class Booking:
    """An appointment with its contact; `starts_at` is a day from now."""

    tenant_id: UUID
    contact_id: UUID
    appointment_id: UUID
    starts_at: datetime

    def reminder(self, **given: Any) -> AppointmentReminder:
        values = {
            "tenant_id": self.tenant_id,
            "contact_id": self.contact_id,
            "appointment_id": self.appointment_id,
            "scheduled_for": self.starts_at,
            "reminder_type": "24h",
            "channel": "email",
            **given,
        }
        return AppointmentReminder(**values)


@pytest.fixture
async def booking(db: "Db", tenant: Tenant) -> Booking:
    return await book(db, tenant)


async def book(
    db: "Db", tenant: Tenant, starts_at: datetime = NOW + 24 * HOUR, **contact: Any
) -> Booking:
    contact_id = await insert_contact(db, tenant.tenant_id, **contact)
    around = await insert_surroundings(db, tenant.tenant_id, contact_id)
    appointment_id = await insert_appointment(db, tenant.tenant_id, contact_id, starts_at, **around)
    return Booking(tenant.tenant_id, contact_id, appointment_id, starts_at)


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def cancelled(ended: Ended) -> str | None:
    assert ended.state is State.CANCELLED
    assert isinstance(ended.error, Cancel)
    return ended.reason


async def test_a_mail_says_what_the_appointment_is(rig: Rig, db: "Db", booking: Booking) -> None:
    ended = (await rig.run(send_appointment_reminder, booking.reminder())).succeeded()

    (mail,) = [sent.message for sent in rig.mails]
    assert mail["Subject"] == "Hatırlatma: Pamuk: Tüy bakımı, 4 Aralık 2026 12:00"
    text = part(mail, "plain")
    assert "4 Aralık 2026 Cuma, saat 12:00 randevunuzu hatırlatırız, Pamuk ile" in text
    assert "Nerede: Moda, Moda Cad. 12, Kadıköy" in text
    assert "Merhaba Zeynep Çağlar," in text
    assert mail["List-Unsubscribe"]
    assert ended == {"channel": "email", "status": "sent"}
    assert await sent_at(db, booking.appointment_id) == {**NEVER, "reminder_24h_sent_at": NOW}


async def test_a_mail_has_the_appointment_for_calendars(
    rig: Rig, db: "Db", booking: Booking
) -> None:
    await db.execute("update appointments set sequence = 3")

    await rig.run(send_appointment_reminder, booking.reminder())

    (mail,) = [sent.message for sent in rig.mails]
    (calendar,) = [one for one in mail.walk() if one.get_content_type() == "text/calendar"]
    assert calendar.get_param("method") == "REQUEST"
    (event,) = icalendar.Calendar.from_ical(calendar.get_content()).walk("VEVENT")
    assert str(event["UID"]) == f"appointment-{booking.appointment_id}@deskhand"
    assert event.decoded("SEQUENCE") == 3
    assert event.decoded("DTSTART") == booking.starts_at
    assert event["DTSTART"].params["TZID"] == "Europe/Istanbul"
    assert str(event["SUMMARY"]) == "Tüy bakımı (Pamuk), Moda"


async def move(db: "Db", starts_at: datetime) -> None:
    await db.execute(
        "update appointments set starts_at = $1, ends_at = $2", starts_at, starts_at + HOUR
    )


def events(rig: Rig) -> list[icalendar.Component]:
    """The calendar entry of each mail, in the order in which they left."""
    calendars = [
        part.get_content()
        for sent in rig.mails
        for part in sent.message.walk()
        if part.get_content_type() == "text/calendar"
    ]
    found = [icalendar.Calendar.from_ical(one).walk("VEVENT") for one in calendars]
    assert [len(one) for one in found] == [1] * len(rig.mails)
    return [one for (one,) in found]


def taken_over(arrived: list[icalendar.Component]) -> dict[str, icalendar.Component]:
    """What a calendar shows then: of each UID the highest SEQUENCE, and the newest DTSTAMP of
    these (RFC 5546, 2.1.5).
    """
    shown: dict[str, icalendar.Component] = {}
    for event in arrived:
        known = shown.setdefault(str(event["UID"]), event)
        revision = event.decoded("SEQUENCE"), event.decoded("DTSTAMP")
        if revision > (known.decoded("SEQUENCE"), known.decoded("DTSTAMP")):
            shown[str(event["UID"])] = event
    return shown


@pytest.mark.parametrize("is_reversed", [False, True])
async def test_an_appointment_that_was_moved_is_one_entry_in_calendars_at_its_new_time(
    rig: Rig, db: "Db", booking: Booking, *, is_reversed: bool
) -> None:
    starts = (booking.starts_at, booking.starts_at + 2 * HOUR, booking.starts_at + HOUR)
    for start in starts:
        await move(db, start)
        rig.clock.move(minutes=5)
        ended = await rig.run(send_appointment_reminder, booking.reminder(scheduled_for=start))
        assert ended.succeeded()["status"] == "sent"

    found = events(rig)
    sequences = [event.decoded("SEQUENCE") for event in found]
    assert sequences == sorted(set(sequences))
    assert {str(event["ORGANIZER"]) for event in found} == {"MAILTO:no-reply@deskhand.example"}
    (shown,) = taken_over(found[::-1] if is_reversed else found).values()
    assert shown.decoded("DTSTART") == starts[-1]
    assert shown.decoded("DTEND") == starts[-1] + HOUR


async def test_both_reminders_of_an_appointment_are_one_entry(
    rig: Rig, db: "Db", booking: Booking
) -> None:
    await rig.run(send_appointment_reminder, booking.reminder())
    rig.clock.move(hours=21)
    await db.execute("update services set name = 'Aşı'")
    await rig.run(send_appointment_reminder, booking.reminder(reminder_type="3h"))

    first, second = events(rig)
    (shown,) = taken_over([first, second]).values()
    assert first.decoded("SEQUENCE") == second.decoded("SEQUENCE")
    assert str(shown["SUMMARY"]) == "Aşı (Pamuk), Moda"


async def test_after_a_move_there_and_back_the_next_reminder_puts_the_entry_back(
    rig: Rig, db: "Db", booking: Booking
) -> None:
    """What was said of a day before is not said again; calendars hear of it three hours before."""
    statuses = []
    for hours, kind in ((0, "24h"), (5, "24h"), (0, "24h"), (0, "3h")):
        start = booking.starts_at + hours * HOUR
        await move(db, start)
        rig.clock.move(minutes=5)
        reminder = booking.reminder(scheduled_for=start, reminder_type=kind)
        ended = await rig.run(send_appointment_reminder, reminder)
        statuses.append(ended.succeeded()["status"])

    (shown,) = taken_over(events(rig)).values()
    assert statuses == ["sent", "sent", "already_sent", "sent"]
    assert shown.decoded("DTSTART") == booking.starts_at


async def test_an_sms_says_it_in_few_words(rig: Rig, db: "Db", booking: Booking) -> None:
    starts_at = NOW + 3 * HOUR
    await db.execute("update appointments set starts_at = $1", starts_at)
    reminder = booking.reminder(channel="sms", reminder_type="3h", scheduled_for=starts_at)

    ended = (await rig.run(send_appointment_reminder, reminder)).succeeded()

    (sms,) = rig.texts
    assert sms.to == "+905321234567"
    assert "Randevunuz bugün 15:00, Tüy bakımı, Pamuk, Moda" in sms.body
    assert ended == {"channel": "sms", "status": "sent"}
    assert await sent_at(db, booking.appointment_id) == {**NEVER, "reminder_3h_sent_at": NOW}


async def test_an_sms_takes_three_segments_at_most(rig: Rig, db: "Db", booking: Booking) -> None:
    await db.execute("update services set name = repeat('Çağrı Işık ', 30)")
    await db.execute("update stores set name = repeat('Şirin ', 30)")
    reminders = [
        booking.reminder(channel="sms"),
        booking.reminder(channel="sms", message="ğ" * 900, scheduled_for=NOW + 30 * HOUR),
    ]

    await rig.run(send_appointment_reminder, reminders[0])
    await db.execute(
        "update appointments set starts_at = $1, ends_at = $2", NOW + 30 * HOUR, NOW + 31 * HOUR
    )
    await rig.run(send_appointment_reminder, reminders[1])

    assert [length(sms.body).segments <= 3 for sms in rig.texts] == [True, True]
    assert length(rig.texts[1].body).segments == 3


async def test_it_is_told_by_the_clock_of_the_store(rig: Rig, db: "Db", booking: Booking) -> None:
    await db.execute("update stores set timezone = 'America/New_York'")

    await rig.run(send_appointment_reminder, booking.reminder())

    (mail,) = [sent.message for sent in rig.mails]
    assert "4 Aralık 2026 Cuma, 04:00-04:45 (New York, GMT-05:00)" in part(mail, "plain")


async def test_a_producers_own_text_is_what_is_sent(rig: Rig, booking: Booking) -> None:
    for channel in ("email", "sms"):
        reminder = booking.reminder(channel=channel, message="Aç karnına gelin.")
        await rig.run(send_appointment_reminder, reminder)

    assert [sms.body for sms in rig.texts] == ["Aç karnına gelin."]
    assert "Aç karnına gelin." in part(rig.mails[0].message, "plain")
    assert "hatırlatırız" not in part(rig.mails[0].message, "plain")


async def test_a_reminder_is_sent_once_whoever_asks(rig: Rig, booking: Booking) -> None:
    statuses = [
        (await rig.run(send_appointment_reminder, reminder)).succeeded()["status"]
        for reminder in (
            booking.reminder(),
            booking.reminder(),
            booking.reminder(message="Again?"),
            booking.reminder(scheduled_for=booking.starts_at - 24 * HOUR),  # an older service's
            booking.reminder(reminder_type="3h"),
            booking.reminder(channel="sms"),
        )
    ]

    assert statuses == ["sent", "already_sent", "already_sent", "already_sent", "sent", "sent"]
    assert (len(rig.mails), len(rig.texts)) == (2, 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("delete from appointments", "gone"),
        ("update appointments set status = 'cancelled'", "not_confirmed"),
        ("update appointments set starts_at = starts_at + interval '10 minutes'", "moved"),
        (
            "update contacts set reminders_by_email = false, preferred_channel = 'email'",
            "no_consent",
        ),
        ("update contacts set email = null, reminders_by_sms = false", "unreachable"),
        ("update contacts set email = 'nobody at home', phone = '12'", "unreachable"),
    ],
)
async def test_what_has_changed_since_is_seen_before_it_is_sent(
    rig: Rig, db: "Db", booking: Booking, change: str, reason: str
) -> None:
    await db.execute(change)

    said = cancelled(await rig.run(send_appointment_reminder, booking.reminder()))

    assert said
    assert rig.counted.skips == [
        {"channel": "email", "template": "appointment-reminder", "reason": reason}
    ]
    assert (rig.mails, rig.texts) == ([], [])


@pytest.mark.parametrize("channel", ["email", "sms"])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("update appointments set status = 'cancelled'", "not_confirmed"),
        ("update appointments set starts_at = starts_at + interval '10 minutes'", "moved"),
        (
            "update contacts set reminders_by_email = false, reminders_by_sms = false",
            "no_consent",
        ),
    ],
)
async def test_what_changes_while_the_provider_is_reached_is_seen_as_well(
    rig: Rig, db: "Db", booking: Booking, channel: Channel, change: str, reason: str
) -> None:
    rig.outbox.meanwhile = rig.text_outbox.meanwhile = partial(db.execute, change)

    assert cancelled(await rig.run(send_appointment_reminder, booking.reminder(channel=channel)))

    assert [skip["reason"] for skip in rig.counted.skips] == [reason]
    assert (rig.mails, rig.texts) == ([], [])
    assert await db.fetchval("select count(*) from deliveries") == 0


async def test_nobody_is_reminded_of_what_has_begun(rig: Rig, booking: Booking) -> None:
    rig.clock.move_to(booking.starts_at)

    cancelled(await rig.run(send_appointment_reminder, booking.reminder()))

    assert [skip["reason"] for skip in rig.counted.skips] == ["begun"]


@pytest.mark.parametrize("channel", ["email", "sms", None])
async def test_a_reminder_that_was_held_up_until_the_next_one_is_due_does_not_go(
    rig: Rig, db: "Db", booking: Booking, channel: Channel | None
) -> None:
    reminder = booking.reminder(channel=channel)
    rig.outbox.error = rig.text_outbox.error = ServiceUnavailableError("later")
    if channel is not None:
        assert (await rig.run(send_appointment_reminder, reminder)).state is State.RETRYING
    rig.outbox.error = rig.text_outbox.error = None
    rig.clock.move_to(booking.starts_at - 3 * HOUR)

    said = cancelled(await rig.run(send_appointment_reminder, reminder, attempt=2))
    nearer = booking.reminder(channel="email", reminder_type="3h")
    (await rig.run(send_appointment_reminder, nearer)).succeeded()

    assert said is not None
    assert "takes its place" in said
    assert {skip["reason"] for skip in rig.counted.skips} == {"superseded"}
    assert (len(rig.mails), len(rig.texts)) == (1, 0)
    assert await sent_at(db, booking.appointment_id) == {
        **NEVER,
        "reminder_3h_sent_at": rig.clock(),
    }


async def test_another_tenants_appointment_is_none(rig: Rig, booking: Booking) -> None:
    cancelled(await rig.run(send_appointment_reminder, booking.reminder(tenant_id=uuid4())))

    assert rig.mails == []


async def test_a_telephone_does_not_ring_at_night(rig: Rig, db: "Db", tenant: Tenant) -> None:
    booking = await book(db, tenant, NOW + 25 * HOUR)
    rig.clock.move_to(datetime(2026, 12, 3, 18, 30, tzinfo=UTC))  # half past nine at night
    reminder = booking.reminder(channel="sms")

    ended = await rig.run(send_appointment_reminder, reminder)

    assert isinstance(ended.error, Snooze)
    assert ended.wait == timedelta(hours=10, minutes=30)
    rig.clock.move(ended.wait)
    await rig.run(send_appointment_reminder, reminder)
    assert len(rig.texts) == 1


async def test_it_is_night_where_the_contact_lives(rig: Rig, db: "Db", tenant: Tenant) -> None:
    booking = await book(db, tenant, timezone="America/Los_Angeles")  # one o'clock at night

    ended = await rig.run(send_appointment_reminder, booking.reminder(channel="sms"))

    assert ended.wait == 7 * HOUR


async def test_a_mail_may_come_at_night(rig: Rig, db: "Db", tenant: Tenant) -> None:
    booking = await book(db, tenant, timezone="America/Los_Angeles")

    await rig.run(send_appointment_reminder, booking.reminder())

    assert len(rig.mails) == 1


async def test_an_sms_that_would_come_too_late_becomes_a_mail(
    rig: Rig, db: "Db", tenant: Tenant
) -> None:
    starts_at = NOW + 3 * HOUR
    booking = await book(db, tenant, starts_at, timezone="America/Los_Angeles")
    reminder = booking.reminder(channel="sms", reminder_type="3h")

    ended = (await rig.run(send_appointment_reminder, reminder)).succeeded()

    assert ended == {"channel": "email", "status": "sent"}
    assert (len(rig.mails), rig.texts) == (1, [])


async def test_without_consent_to_mail_such_an_sms_is_counted_as_skipped(
    rig: Rig, db: "Db", tenant: Tenant
) -> None:
    starts_at = NOW + 3 * HOUR
    booking = await book(
        db, tenant, starts_at, timezone="America/Los_Angeles", reminders_by_email=False
    )
    reminder = booking.reminder(channel="sms", reminder_type="3h")

    cancelled(await rig.run(send_appointment_reminder, reminder))

    assert [skip["reason"] for skip in rig.counted.skips] == ["quiet_hours"]
    assert rig.mails == []


@pytest.mark.parametrize(
    ("hours", "reminder_type", "waits"),
    [(12, "24h", True), (10, "24h", False), (10, "3h", True), (7, "3h", False)],
)
async def test_an_sms_does_not_wait_for_a_morning_on_which_it_is_of_no_use(
    rig: Rig, db: "Db", tenant: Tenant, hours: int, reminder_type: ReminderType, *, waits: bool
) -> None:
    """One o'clock at night, seven hours before it may ring; of 24h nothing goes in the last 3."""
    starts_at, contact = NOW + hours * HOUR, {"timezone": "America/Los_Angeles"}
    booking = await book(db, tenant, starts_at, reminders_by_email=False, **contact)
    reminder = booking.reminder(channel="sms", reminder_type=reminder_type)

    ended = await rig.run(send_appointment_reminder, reminder)

    if waits:
        rig.clock.move(hours=7)
        await rig.run(send_appointment_reminder, reminder, run_id=ended.run_id)
    else:
        cancelled(ended)
    assert ended.wait == (7 if waits else 0) * HOUR
    assert [skip["reason"] for skip in rig.counted.skips] == ([] if waits else ["quiet_hours"])
    assert len(rig.texts) == (1 if waits else 0)


@pytest.mark.parametrize("error", [RecipientUnreachableError, RecipientOptedOutError])
async def test_who_is_not_reached_by_one_channel_is_by_the_other(
    rig: Rig, db: "Db", booking: Booking, error: type[Exception]
) -> None:
    rig.text_outbox.error = error("not a mobile number")

    ended = (await rig.run(send_appointment_reminder, booking.reminder(channel="sms"))).succeeded()

    assert ended == {"channel": "email", "status": "sent"}
    assert (await sent_at(db, booking.appointment_id))["reminder_24h_sent_at"] == NOW


async def test_a_text_with_a_link_that_no_sms_holds_goes_by_mail(
    rig: Rig, db: "Db", booking: Booking
) -> None:
    text = "Haritası: https://maps.example/" + "x" * 600
    reminder = booking.reminder(channel="sms", message=text)

    ended = (await rig.run(send_appointment_reminder, reminder)).succeeded()

    assert ended == {"channel": "email", "status": "sent"}
    assert text in rig.mails[0].mail.text


async def test_where_there_is_no_mail_such_a_text_is_a_dead_letter_that_names_it(
    rig: Rig, db: "Db", tenant: Tenant
) -> None:
    booking = await book(db, tenant, email=None)
    text = "Haritası: https://maps.example/" + "x" * 600

    ended = await rig.run(send_appointment_reminder, booking.reminder(channel="sms", message=text))

    assert ended.dead().message.startswith(
        "message appointment_reminder: text: leaves no room for words in the 3 segments"
    )
    assert ended.dead().error_type == "SmsTooLongError"


async def test_who_wants_no_more_sms_gets_a_mail(rig: Rig, db: "Db", booking: Booking) -> None:
    await db.execute(
        "insert into suppressions (tenant_id, channel, address, reason)"
        " values ($1, 'sms', '+905321234567', 'opted out')",
        booking.tenant_id,
    )

    ended = (await rig.run(send_appointment_reminder, booking.reminder(channel="sms"))).succeeded()

    assert ended == {"channel": "email", "status": "sent"}


async def test_who_is_not_reached_by_mail_hears_of_it_when_the_night_is_over(
    rig: Rig, db: "Db", tenant: Tenant
) -> None:
    booking = await book(db, tenant, timezone="America/Los_Angeles")
    rig.outbox.error = RecipientUnreachableError("no such mailbox")

    ended = await rig.run(send_appointment_reminder, booking.reminder())

    assert isinstance(ended.error, Snooze)
    rig.clock.move(ended.wait)
    again = await rig.run(send_appointment_reminder, booking.reminder(), run_id=ended.run_id)
    assert again.succeeded() == {"channel": "sms", "status": "sent"}


async def test_who_is_reached_by_nothing_is_a_dead_letter(
    rig: Rig, db: "Db", booking: Booking
) -> None:
    rig.text_outbox.error = RecipientUnreachableError("not a mobile number")
    rig.outbox.error = RecipientUnreachableError("no such mailbox")

    ended = await rig.run(send_appointment_reminder, booking.reminder(channel="sms"))

    assert (ended.state, ended.reason) == (State.DEAD, str(Reason.REJECTED))
    assert await sent_at(db, booking.appointment_id) == NEVER


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ServiceUnavailableError("later"), State.RETRYING),
        (RequestRejectedError("our account is closed"), State.DEAD),
    ],
)
async def test_what_is_no_fault_of_the_address_changes_no_channel(
    rig: Rig, booking: Booking, error: Exception, state: State
) -> None:
    rig.text_outbox.error = error

    ended = await rig.run(send_appointment_reminder, booking.reminder(channel="sms"))

    assert ended.state is state
    assert rig.mails == []


async def test_a_time_zone_that_is_none_is_named(rig: Rig, db: "Db", booking: Booking) -> None:
    await db.execute("update stores set timezone = 'Kadıköy'")

    ended = await rig.run(send_appointment_reminder, booking.reminder())

    assert ended.state is State.DEAD
    assert ended.failure is not None
    assert "appointments.timezone" in ended.failure.message


@pytest.mark.parametrize(
    ("contact", "channels"),
    [
        ({}, ["email", "sms"]),
        ({"preferred_channel": "sms"}, ["sms"]),
        ({"preferred_channel": "sms", "phone": "0212 555 01 23 ext. 5"}, ["email"]),
    ],
)
async def test_without_a_channel_there_is_a_run_for_each_that_the_contact_wants(
    rig: Rig, db: "Db", tenant: Tenant, contact: dict[str, Any], channels: list[str]
) -> None:
    booking = await book(db, tenant, **contact)
    reminder = booking.reminder(channel=None, message="Soon.")

    ended = (await rig.run(send_appointment_reminder, reminder)).succeeded()

    rows = await db.fetch("select message from outbox order by outbox_id")
    payloads = [orjson.loads(row["message"])["a"][0] for row in rows]
    assert ended == {"enqueued": len(channels)}
    assert [one["channel"] for one in payloads] == channels
    assert {one["message"] for one in payloads} == {"Soon."}


async def test_without_any_consent_both_channels_are_skipped(
    rig: Rig, db: "Db", tenant: Tenant
) -> None:
    booking = await book(db, tenant, reminders_by_email=False, reminders_by_sms=False)

    cancelled(await rig.run(send_appointment_reminder, booking.reminder(channel=None)))

    assert [(skip["channel"], skip["reason"]) for skip in rig.counted.skips] == [
        ("email", "no_consent"),
        ("sms", "no_consent"),
    ]


def test_the_older_services_payload_is_understood() -> None:
    ids = [uuid4() for _ in range(3)]
    legacy = {
        "orgId": str(ids[0]),
        "contactId": str(ids[1]),
        "appointmentId": str(ids[2]),
        "message": "See you.",
        "scheduledFor": "2026-12-04T12:00:00+03:00",
        "reminderType": "24h",
    }

    read = send_appointment_reminder.validate(legacy)

    assert send_appointment_reminder.aliases == ("process-reminder",)
    assert read == AppointmentReminder(
        tenant_id=ids[0],
        contact_id=ids[1],
        appointment_id=ids[2],
        message="See you.",
        scheduled_for=datetime(2026, 12, 4, 9, tzinfo=UTC),
        reminder_type="24h",
    )


def test_the_same_instant_in_another_zone_is_the_same_run() -> None:
    given = {name: str(UUID(int=7)) for name in ("tenant_id", "contact_id", "appointment_id")}
    keys = {
        send_appointment_reminder.key_of(
            send_appointment_reminder.validate(
                {**given, "reminder_type": "3h", "scheduled_for": instant}
            )
        )
        for instant in ("2026-12-04T12:00:00+03:00", "2026-12-04T09:00:00Z")
    }

    assert len(keys) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"reminder_type": "48h"},
        {"scheduled_for": "2026-12-04T12:00:00"},
        {"channel": "fax"},
        {"message": "x" * 1001},
    ],
)
def test_a_wrong_payload_names_the_field(
    booking_payload: dict[str, Any], wrong: dict[str, Any]
) -> None:
    with pytest.raises(PayloadError, match=next(iter(wrong))):
        send_appointment_reminder.validate({**booking_payload, **wrong})


@pytest.fixture
def booking_payload() -> dict[str, Any]:
    ids = {name: str(uuid4()) for name in ("tenant_id", "contact_id", "appointment_id")}
    return {**ids, "scheduled_for": NOW.isoformat(), "reminder_type": "24h"}


def test_a_producers_text_is_nobody_elses_business() -> None:
    assert send_appointment_reminder.sensitive == {"message"}
