from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.messaging.core.channels import Channel
from jobs.reminders import core
from jobs.reminders.core import Appointment, Position, ReminderType, Window

T = datetime(2026, 12, 3, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
BOTH: frozenset[Channel] = frozenset({"email", "sms"})


def appointment(**given: Any) -> Appointment:
    usual = Appointment(
        appointment_id=UUID(int=7),
        contact_id=UUID(int=8),
        status="confirmed",
        starts_at=T + 24 * HOUR,
        ends_at=T + 25 * HOUR,
        sequence=2,
        timezone="Europe/Istanbul",
        service="Tüy bakımı",
        pet="Pamuk",
        store="Moda",
        store_address="Moda Cad. 12",
        store_phone=None,
        full_name="Zeynep Çağlar",
        email="zeynep@musteri.example",
        phone="+905321234567",
        locale="tr",
        contact_timezone="Europe/Istanbul",
        consented=BOTH,
        preferred_channel=None,
    )
    return replace(usual, **given)


@pytest.mark.parametrize(("reminder_type", "hours"), [("24h", 23), ("3h", 2)])
def test_a_scan_of_the_hour_looks_at_one_hour(reminder_type: ReminderType, hours: int) -> None:
    expected = Window(T + hours * HOUR, T + (hours + 1) * HOUR)

    assert core.window(None, T, reminder_type) == expected
    assert core.window(expected.begin, T, reminder_type) == expected
    assert core.window(expected.end, T, reminder_type) is None


# Scans late by anything, missed for days, doubled, and out of order: a clock may go back, too.
_scans = st.lists(
    st.integers(min_value=-200 * 3600, max_value=200 * 3600).map(
        lambda s: T + timedelta(seconds=s)
    ),
    min_size=1,
    max_size=60,
)


@given(_scans, st.sampled_from(["24h", "3h"]))
def test_windows_tile_time_whatever_scans_there_are(
    scans: list[datetime], reminder_type: ReminderType
) -> None:
    until, windows = None, list[Window]()
    for due_at in scans:
        window = core.window(until, due_at, reminder_type)
        if window is not None:
            windows.append(window)
            until = window.end

    assert windows[0].begin == scans[0] + core.LEADS[reminder_type] - HOUR
    assert all(one.end == following.begin for one, following in pairwise(windows))
    assert windows[-1].end == max(scans) + core.LEADS[reminder_type]


def test_a_place_without_ids_is_before_all_appointments_of_its_instant() -> None:
    assert Position(T) < Position(T, uuid4(), uuid4()) < Position(T + timedelta(microseconds=1))


def test_a_reminder_is_of_use_while_nothing_has_changed() -> None:
    one = appointment()

    assert core.why_not(one, one.contact_id, one.starts_at, "24h", T) is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"contact_id": UUID(int=9)}, "gone"),
        ({"status": "requested"}, "not_confirmed"),
        ({"status": "cancelled"}, "not_confirmed"),
        ({"status": "done"}, "not_confirmed"),
        ({"starts_at": T + 25 * HOUR}, "moved"),
        ({"starts_at": T + 48 * HOUR}, "moved"),
    ],
)
def test_whatever_has_changed_is_seen(changed: dict[str, Any], reason: str) -> None:
    one = appointment()

    found = core.why_not(replace(one, **changed), one.contact_id, one.starts_at, "24h", T)

    assert found == reason


def test_nobody_is_reminded_of_what_is_gone_or_has_begun() -> None:
    one = appointment()

    assert core.why_not(None, one.contact_id, one.starts_at, "24h", T) == "gone"
    assert core.why_not(one, one.contact_id, one.starts_at, "24h", one.starts_at) == "begun"


@pytest.mark.parametrize(
    ("reminder_type", "hours_before", "reason"),
    [
        ("24h", 30, None),
        ("24h", 3.001, None),
        ("24h", 3, "superseded"),
        ("24h", 0.5, "superseded"),
        ("24h", 0, "begun"),
        ("3h", 3, None),
        ("3h", 0.001, None),
        ("3h", 0, "begun"),
    ],
)
def test_a_reminder_is_of_use_until_the_next_one_is_due(
    reminder_type: ReminderType, hours_before: float, reason: str | None
) -> None:
    one = appointment()
    now = one.starts_at - hours_before * HOUR

    assert core.why_not(one, one.contact_id, one.starts_at, reminder_type, now) == reason


def test_an_older_service_may_say_when_the_reminder_was_to_be() -> None:
    one = appointment(starts_at=T + 24 * HOUR)

    assert core.why_not(one, one.contact_id, T, "24h", T + timedelta(minutes=5)) is None
    assert core.why_not(one, one.contact_id, T, "3h", T + timedelta(minutes=5)) == "moved"


@pytest.mark.parametrize(
    ("channel", "consented", "reachable", "order"),
    [
        ("sms", {"email", "sms"}, {"email", "sms"}, ("sms", "email")),
        ("email", {"email", "sms"}, {"email", "sms"}, ("email", "sms")),
        ("sms", {"email", "sms"}, {"email"}, ("email",)),
        ("sms", {"sms"}, {"email", "sms"}, ("sms",)),
        ("sms", {"sms"}, {"email"}, ()),
        ("sms", {"email"}, {"email", "sms"}, ()),
    ],
)
def test_another_channel_takes_the_place_of_one_that_was_agreed_to(
    channel: Channel,
    consented: set[Channel],
    reachable: set[Channel],
    order: tuple[Channel, ...],
) -> None:
    found = core.in_order(channel, consented=frozenset(consented), reachable=frozenset(reachable))

    assert found == order


def test_a_reminder_has_a_key_for_its_appointment_start_type_and_channel() -> None:
    one = appointment()
    keys = {
        core.delivery_key(one, "24h", "email"),
        core.delivery_key(one, "3h", "email"),
        core.delivery_key(one, "24h", "sms"),
        core.delivery_key(replace(one, starts_at=one.starts_at + HOUR), "24h", "email"),
        core.delivery_key(replace(one, appointment_id=UUID(int=9)), "24h", "email"),
    }

    assert len(keys) == 5


@pytest.mark.parametrize(
    ("now", "is_today"),
    [
        ("2026-12-03T20:30+00:00", False),  # half past eleven at night in Istanbul
        ("2026-12-03T21:30+00:00", True),
    ],
)
def test_today_is_where_it_takes_place(now: str, *, is_today: bool) -> None:
    values = core.values(
        appointment(contact_timezone="America/New_York"), "3h", None, datetime.fromisoformat(now)
    )

    assert (values["is_today"], values["is_elsewhere"]) == (is_today, True)


def test_an_invitation_is_the_appointments_for_good() -> None:
    invitation = core.invitation(appointment(), "Iğdır")

    assert invitation.uid == "appointment-00000000-0000-0000-0000-000000000007@deskhand"
    assert (invitation.sequence, invitation.method) == (2, "REQUEST")
    assert (invitation.starts_at, invitation.ends_at) == (T + 24 * HOUR, T + 25 * HOUR)
    assert invitation.summary == "Tüy bakımı (Pamuk), Moda"
    assert invitation.location == "Moda, Moda Cad. 12"


def test_an_invitation_needs_neither_pet_nor_service_nor_store() -> None:
    bare = appointment(service=None, pet=None, store=None, store_address=None, locale="en")

    invitation = core.invitation(bare, "Acme")

    assert (invitation.summary, invitation.location) == ("Appointment, Acme", "")
