"""Weeks, from Monday to Monday by the reader's own calendar."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from typing_extensions import override

_WEEK = timedelta(weeks=1)
_MORNING = time(8)
_TEXT = re.compile(r"(\d{4})-W(\d{2})", re.ASCII)
# A Monday morning anywhere is half a day later still the same week by UTC, and no longer a Sunday.
_HALF_A_DAY = timedelta(hours=12)


@dataclass(frozen=True, slots=True, order=True)
class Week:
    """A week as ISO 8601 counts them; `first_on` is its Monday. Its text is like 2026-W47."""

    first_on: date

    @classmethod
    def of(cls, day: date) -> Self:
        """The one with this day."""
        return cls(day - timedelta(days=day.weekday()))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read its text. Raises ValueError."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError("a week is written like 2026-W47")
        return cls(date.fromisocalendar(int(match[1]), int(match[2]), 1))

    @property
    def last_on(self) -> date:
        """Its Sunday."""
        return self.first_on + timedelta(days=6)

    @property
    def next(self) -> "Week":
        return Week(self.first_on + _WEEK)

    @property
    def previous(self) -> "Week":
        return Week(self.first_on - _WEEK)

    def begins_at(self, zone: ZoneInfo) -> datetime:
        """The first instant of its Monday there, in UTC: the first midnight where there are two,
        and where clocks skip midnight the instant at which they do.
        """
        return datetime.combine(self.first_on, time(), tzinfo=zone).astimezone(UTC)

    def ends_at(self, zone: ZoneInfo) -> datetime:
        """The first instant that is no longer in it."""
        return self.next.begins_at(zone)

    def told_at(self, zone: ZoneInfo) -> datetime:
        """Eight in the morning of the Monday behind it: midnight is no time for mail."""
        return datetime.combine(self.next.first_on, _MORNING, tzinfo=zone).astimezone(UTC)

    @override
    def __str__(self) -> str:
        year, week, _ = self.first_on.isocalendar()
        return f"{year:04}-W{week:02}"


def week_before(day: date) -> Week:
    """The one that was over when this day's week began."""
    return Week.of(day).previous


def week_of_tick(due_at: datetime) -> Week:
    """The week that a Monday morning's tick is about, wherever it was Monday morning."""
    return week_before((due_at.astimezone(UTC) + _HALF_A_DAY).date())
