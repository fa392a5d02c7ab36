"""The oracle of `tests.chaos.reminders` finds what it is there to find."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.messaging.core import quiet_hours
from tests.chaos.reminder_checks import (
    Arrived,
    Change,
    Scanned,
    Seen,
    expected_messages,
    judge,
    message_id,
    quiet_until,
)
from tests.chaos.reminder_plan import ZONES, Booking, make_plan

T = datetime(2027, 3, 28, 9, 0, tzinfo=UTC)
NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = 1_000_000_000
BOOKING = Booking(
    tenant_id=UUID(int=1),
    contact_id=UUID(int=2),
    appointment_id=UUID(int=3),
    starts_at=T + 2.5 * HOUR,
    status="confirmed",
    zone="UTC",
    email="one@theirs.example",
    phone="+905320000001",
    consented=frozenset({"email", "sms"}),
    preferred="sms",
)
ID = message_id(BOOKING, "3h", BOOKING.starts_at, "sms")
STEP = Scanned(T, T, 10 * SECOND, 12 * SECOND, 15 * SECOND)


def seen(**given: Any) -> Seen:
    """One appointment, one step, and its SMS as it should be."""
    usual = Seen(
        bookings=[BOOKING],
        steps=[STEP],
        changes={},
        arrived=[Arrived("sms", 13 * SECOND, ID, BOOKING.phone)],
        statuses={ID: "sent"},
        dead={},
        fields={BOOKING.appointment_id: (BOOKING.starts_at, None, T)},
    )
    return replace(usual, **given)


def cancelled(at: int) -> dict[UUID, list[Change]]:
    change = Change(at * SECOND, at * SECOND + 1, "cancelled", BOOKING.starts_at)
    return {BOOKING.appointment_id: [change]}


def test_what_is_as_it_should_be_is_no_violation() -> None:
    verdict = judge(seen())

    assert verdict.violations == []
    assert verdict.counts["3h by sms, certain: arrived, sent"] == 1


@pytest.mark.parametrize(
    ("given", "violation"),
    [
        ({"arrived": [Arrived("sms", 13 * SECOND, ID, "")] * 2}, "arrived 2 times"),
        ({"arrived": [], "statuses": {}}, "never arrived"),
        ({"statuses": {ID: "unconfirmed"}}, "arrived, and is unconfirmed"),
        ({"arrived": [Arrived("sms", 13 * SECOND, "made up", "")]}, "was not due"),
        ({"fields": {UUID(int=3): (BOOKING.starts_at, None, None)}}, "the field of 3h is None"),
        ({"fields": {UUID(int=3): (BOOKING.starts_at, T, T)}}, "the field of 24h is"),
        ({"changes": cancelled(5)}, "was not due"),
        ({"changes": cancelled(11), "arrived": [Arrived("sms", 22 * SECOND, ID, "")]}, "11.0 s"),
        ({"dead": {"r": "attempts_spent"}}, "dead of something else"),
        ({"steps": [replace(STEP, due=None)]}, "was not due"),
        ({"bookings": [replace(BOOKING, consented=frozenset())]}, "was not due"),
    ],
)
def test_what_is_wrong_is_told(given: dict[str, Any], violation: str) -> None:
    assert violation in "\n".join(judge(seen(**given)).violations)


def test_what_is_cancelled_on_its_way_may_arrive_or_not() -> None:
    without: dict[str, Any] = {
        "arrived": [],
        "statuses": {},
        "fields": {BOOKING.appointment_id: (BOOKING.starts_at, None, None)},
    }

    assert judge(seen(changes=cancelled(12))).violations == []
    assert judge(seen(changes=cancelled(12), **without)).violations == []


def test_a_mail_in_doubt_is_to_be_told_to_somebody() -> None:
    booking = replace(BOOKING, preferred="email")
    id_ = message_id(booking, "3h", booking.starts_at, "email")
    in_doubt = seen(
        bookings=[booking],
        arrived=[],
        statuses={id_: "unconfirmed"},
        fields={BOOKING.appointment_id: (BOOKING.starts_at, None, None)},
    )

    assert "in doubt" in "\n".join(judge(in_doubt).violations)
    assert judge(replace(in_doubt, dead={"r": "rejected"})).violations == []


def test_an_sms_waits_for_the_morning_or_becomes_a_mail() -> None:
    at_night = replace(BOOKING, zone="America/New_York")  # five in the morning
    steps = [STEP, Scanned(T + 3 * HOUR, None, 20 * SECOND, 20 * SECOND, 22 * SECOND)]

    early = expected_messages(seen(bookings=[at_night], steps=steps))
    late = expected_messages(
        seen(bookings=[replace(at_night, starts_at=T + 2.9 * HOUR)], steps=[STEP])
    )

    assert [one.channel for one in early.values()] == ["email"]
    assert [one.channel for one in late.values()] == ["email"]


@pytest.mark.parametrize(
    ("hours_ahead", "kinds"), [(3.5, ["24h"]), (3, []), (2.5, ["3h"]), (0.5, ["3h"])]
)
def test_after_an_outage_the_nearest_reminder_is_due_alone(
    hours_ahead: float, kinds: list[str]
) -> None:
    first = Scanned(T - 24 * HOUR, T - 24 * HOUR, 1, 2, 3)  # it came to T, and to T - 21 hours
    booking = replace(BOOKING, starts_at=T + hours_ahead * HOUR)

    found = expected_messages(seen(bookings=[booking], steps=[first, STEP]))

    assert [one.kind for one in found.values()] == kinds


@given(
    st.integers(0, 365 * 24 * 3600).map(lambda s: NEW_YEAR + timedelta(seconds=s)),
    st.sampled_from(ZONES),
)
def test_two_ways_to_find_the_end_of_a_night_agree(now: datetime, zone: str) -> None:
    theirs = quiet_hours.quiet_until(
        now,
        zone=ZoneInfo(zone),
        quiet_from=time(21),
        quiet_to=time(8),
    )

    assert quiet_until(now, zone) == theirs


def test_a_plan_is_the_same_for_the_same_seed() -> None:
    plans = [make_plan(50, hours=8, segments=2, seed=seed) for seed in (1, 1, 2)]

    assert plans[0] == plans[1] != plans[2]
    assert len(plans[0].bookings) == 50
    assert len(plans[0].steps) == 16
