from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.email.core.weeks import Week, week_before, week_of_tick

# Every kind of clock: none that changes, changes at 2, at midnight, by half an hour, far from UTC.
ZONES = (
    "UTC",
    "Europe/Istanbul",
    "America/New_York",
    "Europe/London",
    "America/Havana",
    "America/Santiago",
    "Asia/Beirut",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "Pacific/Kiritimati",
    "Etc/GMT+12",
)
days = st.dates(date(1990, 1, 1), date(2037, 12, 1))
instants = st.datetimes(datetime(1990, 1, 8), datetime(2037, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
zones = st.sampled_from(ZONES).map(ZoneInfo)


@given(days)
def test_a_week_is_read_as_it_is_written(day: date) -> None:
    week = Week.of(day)

    assert Week.parse(str(week)) == week
    assert str(week) == f"{day.isocalendar().year:04}-W{day.isocalendar().week:02}"
    assert week.first_on <= day <= week.last_on
    assert week.first_on.weekday() == 0
    assert week.next.previous == week


@given(instants, zones)
def test_every_instant_is_in_the_week_of_its_day_there_and_in_no_other(
    at: datetime, zone: ZoneInfo
) -> None:
    week = Week.of(at.astimezone(zone).date())

    assert week.begins_at(zone) <= at < week.ends_at(zone)
    assert week.ends_at(zone) == week.next.begins_at(zone)


@pytest.mark.parametrize(
    ("zone", "text", "hours"),
    [
        ("UTC", "2026-W47", 168),
        ("Europe/Istanbul", "2026-W44", 168),
        ("America/New_York", "2026-W10", 167),  # clocks go forward on Sunday, March 8
        ("America/New_York", "2026-W44", 169),  # and back on Sunday, November 1
        ("Europe/London", "2026-W13", 167),
        ("America/Havana", "2026-W44", 169),  # back to midnight itself
        ("Australia/Lord_Howe", "2026-W14", 168.5),
    ],
)
def test_a_week_is_as_long_as_its_clocks_say(zone: str, text: str, hours: float) -> None:
    week, there = Week.parse(text), ZoneInfo(zone)

    assert week.ends_at(there) - week.begins_at(there) == timedelta(hours=hours)


def test_a_midnight_that_clocks_skip_is_when_they_do() -> None:
    there = ZoneInfo("Asia/Amman")  # forward at midnight; on a Monday in none of the last years
    skipped = Week(date(1985, 4, 1))  # a Monday

    begins_at = skipped.begins_at(there)

    assert begins_at.astimezone(there).replace(tzinfo=None) == datetime(1985, 4, 1, 1)  # noqa: DTZ001 - the wall clock
    assert (begins_at - timedelta(seconds=1)).astimezone(there).date() == date(1985, 3, 31)


@pytest.mark.parametrize("text", ["", "2026-47", "2026-W54", "2026-W00", "2025-W53", "٢٠٢٦-W47"])
def test_what_is_no_week_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"week|Week"):
        Week.parse(text)


@given(days, zones)
def test_a_monday_mornings_tick_is_about_the_week_before_wherever_it_is_monday(
    day: date, zone: ZoneInfo
) -> None:
    monday = Week.of(day).first_on
    due_at = datetime(monday.year, monday.month, monday.day, 8, tzinfo=zone)

    assert week_of_tick(due_at.astimezone(UTC)) == week_before(monday) == Week.of(day).previous


@pytest.mark.parametrize("zone", ["Europe/Istanbul", "America/Los_Angeles", "Pacific/Kiritimati"])
@pytest.mark.parametrize("first_on", [date(2026, 3, 2), date(2026, 10, 26), date(2026, 12, 28)])
def test_it_is_told_at_eight_on_the_monday_behind_it(zone: str, first_on: date) -> None:
    there = ZoneInfo(zone)
    told_at = Week(first_on).told_at(there).astimezone(there)

    assert (told_at.date(), told_at.hour, told_at.minute) == (first_on + timedelta(days=7), 8, 0)
