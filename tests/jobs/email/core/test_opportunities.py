from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from jobs.email.core import opportunities as core

NOW = datetime(2026, 12, 3, 9, 0, tzinfo=UTC)
ISTANBUL, NEW_YORK = ZoneInfo("Europe/Istanbul"), ZoneInfo("America/New_York")
NOTICE = core.Opportunity(
    notice_id="n1", title="Roof Replacement", notice_type="Solicitation", is_active=True
)
DUE_AT = datetime.fromisoformat("2026-12-05T17:00-05:00")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"is_active": False}, False),
        ({"response_due_at": NOW + timedelta(seconds=1)}, True),
        ({"response_due_at": NOW}, False),
        ({"is_active": False, "response_due_at": NOW + timedelta(days=1)}, False),
        ({"response_due_on": date(2026, 12, 3)}, True),
        ({"response_due_on": date(2026, 12, 2)}, True),  # it is still the 2nd in UTC-12
        ({"response_due_on": date(2026, 12, 1)}, False),
    ],
)
def test_an_opportunity_is_open_until_its_deadline(
    changes: dict[str, object], *, expected: bool
) -> None:
    notice = replace(NOTICE, **changes)  # type: ignore[arg-type] # a few fields at a time

    assert core.is_open(notice, now=NOW) is expected


def test_a_day_without_a_zone_is_over_when_it_is_over_everywhere() -> None:
    notice = replace(NOTICE, response_due_on=date(2026, 12, 2))
    noon_of_the_next_day = datetime(2026, 12, 3, 12, 0, tzinfo=UTC)

    assert core.is_open(notice, now=noon_of_the_next_day - timedelta(seconds=1))
    assert not core.is_open(notice, now=noon_of_the_next_day)


def test_the_next_deadline_comes_first_and_none_last() -> None:
    notices = [
        replace(NOTICE, notice_id="none"),
        replace(NOTICE, notice_id="day", response_due_on=date(2026, 12, 5)),
        replace(NOTICE, notice_id="time", response_due_at=DUE_AT),
        replace(NOTICE, notice_id="closed", response_due_at=NOW - timedelta(days=1)),
        replace(NOTICE, notice_id="soon", response_due_at=NOW + timedelta(hours=1)),
    ]

    still_open = core.open_opportunities(notices, now=NOW)

    assert [one.notice_id for one in still_open] == ["soon", "time", "day", "none"]


@pytest.mark.parametrize(
    ("zone", "locale", "text"),
    [
        ("Europe/Istanbul", "en", "Sunday, December 6, 2026 at 1:00 AM (Istanbul, GMT+03:00)"),
        ("Europe/Istanbul", "tr", "6 Aralık 2026 Pazar 01:00 (İstanbul, GMT+03:00)"),
        ("America/New_York", "en", "Saturday, December 5, 2026 at 5:00 PM (New York, GMT-05:00)"),
        ("Asia/Kolkata", "en", "Sunday, December 6, 2026 at 3:30 AM (Kolkata, GMT+05:30)"),
        ("UTC", "tr", "5 Aralık 2026 Cumartesi 22:00 (UTC)"),
    ],
)
def test_a_deadline_is_told_in_the_readers_zone(zone: str, locale: str, text: str) -> None:
    notice = replace(NOTICE, response_due_at=DUE_AT)

    assert core.deadline_text(notice, zone=ZoneInfo(zone), locale=locale) == text


def test_a_deadline_that_is_a_day_has_no_time_and_no_zone() -> None:
    notice = replace(NOTICE, response_due_on=date(2026, 12, 5))

    text = core.deadline_text(notice, zone=ISTANBUL, locale="tr")

    assert text == "5 Aralık 2026 Cumartesi"


@pytest.mark.parametrize(
    ("now", "zone", "days"),
    [
        ("2026-12-03T09:00Z", NEW_YORK, 2),
        ("2026-12-03T09:00Z", ISTANBUL, 3),
        ("2026-12-05T21:30Z", NEW_YORK, 0),
        ("2026-12-05T20:30Z", ISTANBUL, 1),
        ("2026-12-05T21:30Z", ISTANBUL, 0),
    ],
)
def test_days_are_counted_by_the_readers_calendar(now: str, zone: ZoneInfo, days: int) -> None:
    notice = replace(NOTICE, response_due_at=DUE_AT)

    line = core.line(notice, now=datetime.fromisoformat(now), zone=zone, locale="en")

    assert line.days_left == days


def test_a_day_that_is_over_here_and_not_there_counts_no_days() -> None:
    notice = replace(NOTICE, response_due_on=date(2026, 12, 2))

    assert core.line(notice, now=NOW, zone=ISTANBUL, locale="tr").days_left is None


def test_a_title_stays_on_its_line() -> None:
    notice = replace(NOTICE, title="Roof\r\n\r\nBcc: eve@x", department=" A\tB ", office="C")

    line = core.line(notice, now=NOW, zone=ISTANBUL, locale="en")

    assert (line.title, line.agency) == ("Roof Bcc: eve@x", "A B · C")


def test_the_key_is_one_a_day_and_user() -> None:
    user_id = UUID("0b8a5c44-7f7a-4f6e-9a39-2d2bd4a4d6d2")

    key = core.reminder_key(user_id, date(2026, 12, 3))

    assert key == "opportunity-reminder:0b8a5c44-7f7a-4f6e-9a39-2d2bd4a4d6d2:2026-12-03"
