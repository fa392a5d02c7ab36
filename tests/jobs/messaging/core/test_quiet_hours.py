from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.messaging.core.quiet_hours import quiet_until

ISTANBUL, NEW_YORK = ZoneInfo("Europe/Istanbul"), ZoneInfo("America/New_York")
START = datetime(2026, 1, 1, tzinfo=UTC)
NIGHT = {"quiet_from": time(21), "quiet_to": time(8)}


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-30T20:59:59+03:00", None),
        ("2026-11-30T21:00+03:00", "2026-12-01T08:00+03:00"),
        ("2026-11-30T23:59:59.999999+03:00", "2026-12-01T08:00+03:00"),
        ("2026-12-01T00:00+03:00", "2026-12-01T08:00+03:00"),
        ("2026-12-01T07:59:59+03:00", "2026-12-01T08:00+03:00"),
        ("2026-12-01T08:00+03:00", None),
        ("2026-12-31T22:00+03:00", "2027-01-01T08:00+03:00"),
    ],
)
def test_a_night_goes_over_midnight(now: str, until: str | None) -> None:
    found = quiet_until(datetime.fromisoformat(now), zone=ISTANBUL, **NIGHT)

    assert found == (None if until is None else datetime.fromisoformat(until))
    assert found is None or found.tzinfo is UTC


@pytest.mark.parametrize(
    ("clock", "is_quiet"), [("11:59", False), ("12:00", True), ("13:59", True), ("14:00", False)]
)
def test_a_siesta_stays_within_the_day(clock: str, *, is_quiet: bool) -> None:
    now = datetime.fromisoformat(f"2026-11-30T{clock}+03:00")

    found = quiet_until(now, zone=ISTANBUL, quiet_from=time(12), quiet_to=time(14))

    assert found == (datetime(2026, 11, 30, 11, tzinfo=UTC) if is_quiet else None)


def test_hours_that_begin_as_they_end_are_none() -> None:
    now = datetime(2026, 11, 30, 21, tzinfo=UTC)

    assert quiet_until(now, zone=ISTANBUL, quiet_from=time(0), quiet_to=time(0)) is None


def test_a_night_in_which_clocks_change_ends_by_the_wall_clock() -> None:
    spring = datetime.fromisoformat("2026-03-07T22:00-05:00")
    autumn = datetime.fromisoformat("2026-10-31T22:00-04:00")

    assert quiet_until(spring, zone=NEW_YORK, **NIGHT) == datetime(2026, 3, 8, 12, tzinfo=UTC)
    assert quiet_until(autumn, zone=NEW_YORK, **NIGHT) == datetime(2026, 11, 1, 13, tzinfo=UTC)


def test_an_hour_that_comes_twice_never_ends_in_the_past() -> None:
    second = datetime.fromisoformat("2026-11-01T01:10-05:00")  # 01:30 was there an hour before

    found = quiet_until(second, zone=NEW_YORK, quiet_from=time(21), quiet_to=time(1, 30))

    assert found == datetime.fromisoformat("2026-11-01T01:30-05:00")


@pytest.mark.parametrize("quiet_to", [time(2), time(2, 30), time(2, 59, 30), time(3)])
def test_hours_that_end_at_a_time_that_never_comes_end_when_clocks_change(quiet_to: time) -> None:
    evening = datetime.fromisoformat("2026-03-07T22:00-05:00")

    found = quiet_until(evening, zone=NEW_YORK, quiet_from=time(21), quiet_to=quiet_to)

    assert found is not None
    assert found.replace(second=0) == datetime(2026, 3, 8, 7, tzinfo=UTC)


@given(
    now=st.timedeltas(timedelta(0), timedelta(days=730)).map(lambda past: START + past),
    zone=st.sampled_from(["Europe/Istanbul", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    quiet_from=st.times(),
    quiet_to=st.times(),
)
def test_waiting_is_for_less_than_a_day_and_an_hour_and_into_the_future(
    now: datetime, zone: str, quiet_from: time, quiet_to: time
) -> None:
    found = quiet_until(now, zone=ZoneInfo(zone), quiet_from=quiet_from, quiet_to=quiet_to)

    assert found is None or timedelta(0) < found - now <= timedelta(hours=25)
