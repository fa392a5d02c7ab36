"""Which days a report that comes again and again is about."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jobs.documents.core.model import Period

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class TenantPlace:
    """A tenant, its language and its time zone."""

    tenant_id: UUID
    locale: str
    timezone: str


@dataclass(frozen=True, slots=True)
class ReportSchedule:
    """What a tenant's people want to have reported, and to whom: addresses."""

    name: str
    report_type: str
    format: str
    language: str
    period: str
    recipients: tuple[str, ...]
    timezone: str


def last_period(period: str, due_at: datetime, timezone: str) -> Period:
    """The day, week (from Monday) or month that was over when the report was due, there.

    Raises ValueError for other words.
    """
    today = due_at.astimezone(_zone(timezone)).date()
    match period:
        case "day":
            return Period(today - _DAY, today - _DAY)
        case "week":
            monday = today - today.weekday() * _DAY
            return Period(monday - 7 * _DAY, monday - _DAY)
        case "month":
            last = today.replace(day=1) - _DAY
            return Period(date(last.year, last.month, 1), last)
    raise ValueError(f"a period is a day, week or month, not {period!r}")


def _zone(name: str) -> ZoneInfo:
    """UTC for a name that is not known: the report says which days it is about."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
