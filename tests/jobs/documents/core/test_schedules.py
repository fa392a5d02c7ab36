from datetime import UTC, date, datetime

import pytest

from jobs.documents.core.model import Period
from jobs.documents.core.schedules import last_period


@pytest.mark.parametrize(
    ("period", "due_at", "timezone", "expected"),
    [
        ("day", (2026, 11, 23, 2), "UTC", ((2026, 11, 22), (2026, 11, 22))),
        ("day", (2026, 11, 23, 2), "America/New_York", ((2026, 11, 21), (2026, 11, 21))),
        ("day", (2026, 11, 22, 22), "Europe/Istanbul", ((2026, 11, 22), (2026, 11, 22))),
        ("week", (2026, 11, 23, 8), "UTC", ((2026, 11, 16), (2026, 11, 22))),
        ("week", (2026, 11, 22, 8), "UTC", ((2026, 11, 9), (2026, 11, 15))),
        ("week", (2027, 1, 1, 8), "UTC", ((2026, 12, 21), (2026, 12, 27))),
        ("month", (2028, 3, 1, 8), "UTC", ((2028, 2, 1), (2028, 2, 29))),
        ("month", (2027, 1, 1, 2), "America/New_York", ((2026, 11, 1), (2026, 11, 30))),
        ("day", (2026, 11, 23, 2), "Mars/Olympus", ((2026, 11, 22), (2026, 11, 22))),
    ],
)
def test_a_period_is_over_when_its_report_is_due(
    period: str,
    due_at: tuple[int, int, int, int],
    timezone: str,
    expected: tuple[tuple[int, int, int], tuple[int, int, int]],
) -> None:
    instant = datetime(*due_at, tzinfo=UTC)

    first, last = expected
    assert last_period(period, instant, timezone) == Period(date(*first), date(*last))


def test_other_periods_are_refused() -> None:
    with pytest.raises(ValueError, match="a period is a day, week or month, not 'year'"):
        last_period("year", datetime(2026, 1, 1, tzinfo=UTC), "UTC")
