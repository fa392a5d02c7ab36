from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar, Event

from jobs.messaging.core.invitation import Invitation, calendar_text

STARTS = datetime(2026, 12, 5, 12, tzinfo=UTC)
INVITATION = Invitation(
    uid="appointment-7@ours.example",
    sequence=2,
    method="REQUEST",
    summary="Diş kontrolü; Ayşe'nin randevusu, 2. kat",
    starts_at=STARTS,
    ends_at=STARTS + timedelta(minutes=45),
    timezone="America/New_York",
    location="Bağdat Cad. 12, Kadıköy\nİstanbul",
    description="Lütfen " + "ğüşıöç " * 40,
)


def written(invitation: Invitation = INVITATION) -> str:
    return calendar_text(
        invitation,
        organizer="clinic@tenant.example",
        organizer_name='Gülüş "Diş" Kliniği',
        attendee="ayse@example.com",
        attendee_name="Ayşe Işık",
        written_at=datetime(2026, 12, 1, 9, tzinfo=UTC),
    )


def read(text: str) -> tuple[Any, Any]:
    calendar = Calendar.from_ical(text)
    (event,) = [one for one in calendar.walk() if isinstance(one, Event)]
    return calendar, event


def test_what_is_written_is_what_is_read() -> None:
    calendar, event = read(written())

    assert (calendar["VERSION"], calendar["METHOD"]) == ("2.0", "REQUEST")
    assert event["UID"] == INVITATION.uid
    assert (event["SEQUENCE"], event["STATUS"]) == (2, "CONFIRMED")
    assert event["SUMMARY"] == INVITATION.summary
    assert event["LOCATION"] == INVITATION.location
    assert event["DESCRIPTION"] == INVITATION.description
    assert event["DTSTART"].dt == INVITATION.starts_at
    assert event["DTEND"].dt == INVITATION.ends_at
    assert event["DTSTAMP"].dt == datetime(2026, 12, 1, 9, tzinfo=UTC)


def test_times_are_those_of_the_place_with_its_rules() -> None:
    text = written()

    assert "DTSTART;TZID=America/New_York:20261205T070000\r\n" in text
    assert "BEGIN:VTIMEZONE\r\nTZID:America/New_York\r\n" in text
    assert "20261101T020000" in text  # when its clocks go back that year
    assert len(text) < 4000


def test_a_time_in_utc_needs_no_rules() -> None:
    text = written(replace(INVITATION, timezone="UTC"))

    assert "DTSTART:20261205T120000Z\r\n" in text


# When clocks change, forward and back; Lord Howe's go by half an hour.
CHANGES = [
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Europe/London", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/London", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Europe/Istanbul", datetime(2026, 3, 29, 1, tzinfo=UTC)),
]


@given(
    change=st.sampled_from(CHANGES),
    before=st.integers(-150, 150),
    minutes=st.integers(1, 240),
    given_in=st.sampled_from(["UTC", "the place"]),
)
def test_the_same_instants_are_read_wherever_clocks_change(
    change: tuple[str, datetime], before: int, minutes: int, given_in: str
) -> None:
    timezone, changed_at = change
    starts_at = changed_at - timedelta(minutes=before)
    ends_at = starts_at + timedelta(minutes=minutes)
    zone = UTC if given_in == "UTC" else ZoneInfo(timezone)
    invitation = replace(
        INVITATION,
        timezone=timezone,
        starts_at=starts_at.astimezone(zone),
        ends_at=ends_at.astimezone(zone),
    )

    _, event = read(written(invitation))

    assert event["DTSTART"].dt.astimezone(UTC) == starts_at
    assert event["DTEND"].dt.astimezone(UTC) == ends_at
    kinds = {event[name].to_ical().endswith(b"Z") for name in ("DTSTART", "DTEND")}
    assert len(kinds) == 1  # of one kind, so that they can be compared as they are written
    assert event["DTSTART"].to_ical() < event["DTEND"].to_ical()


def test_an_hour_that_comes_twice_is_written_in_utc() -> None:
    first, second = (datetime(2026, 11, 1, hour, 30, tzinfo=UTC) for hour in (5, 6))

    assert "DTSTART:20261101T063000Z\r\n" in written(
        replace(INVITATION, starts_at=second, ends_at=second + timedelta(minutes=15))
    )
    assert "DTSTART;TZID=America/New_York:20261101T013000\r\n" in written(
        replace(INVITATION, starts_at=first, ends_at=first + timedelta(minutes=15))
    )


def test_people_are_addresses_with_names() -> None:
    _, event = read(written())

    assert event["ORGANIZER"].lower() == "mailto:clinic@tenant.example"
    assert event["ATTENDEE"].lower() == "mailto:ayse@example.com"
    assert event["ATTENDEE"].params["CN"] == "Ayşe Işık"
    assert event["ATTENDEE"].params["RSVP"] == "FALSE"


def test_no_line_is_longer_than_75_octets_and_each_ends_with_crlf() -> None:
    """RFC 5545 3.1; and no letter is torn in two."""
    raw = written().encode()

    assert raw.endswith(b"END:VCALENDAR\r\n")
    assert max(len(line) for line in raw.split(b"\r\n")) <= 75
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert [line.decode() for line in raw.split(b"\r\n")]


def test_a_cancellation_is_of_the_same_event() -> None:
    off = replace(INVITATION, method="CANCEL", sequence=3)

    calendar, event = read(written(off))

    assert (calendar["METHOD"], event["STATUS"]) == ("CANCEL", "CANCELLED")
    assert (event["UID"], event["SEQUENCE"]) == (INVITATION.uid, 3)


def test_no_value_breaks_out_of_its_line() -> None:
    hostile = "x\r\nATTENDEE:mailto:eve@evil.example\r\nBEGIN:VALARM"

    text = written(replace(INVITATION, summary=hostile, location=hostile))

    assert len([line for line in text.split("\r\n") if line.startswith("ATTENDEE")]) == 1
    assert "\r\nBEGIN:VALARM" not in text


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"starts_at": STARTS.replace(tzinfo=None)}, "starts_at"),
        ({"ends_at": STARTS}, "ends_at"),
        ({"sequence": -1}, "sequence"),
        ({"uid": " "}, "uid"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
    ],
)
def test_what_is_no_event_is_refused_by_its_fields_name(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        replace(INVITATION, **change)
