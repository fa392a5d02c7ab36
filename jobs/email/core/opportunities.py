"""Which opportunities a reminder lists, and how their deadlines read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime

from jobs.email.core.lines import one_line
from jobs.messaging.core.links import web_link

# A day without a zone is over when it is over everywhere; the last clocks are 12 hours behind UTC.
_LAST_ZONE = timezone(timedelta(hours=-12))
_SOON = timedelta(days=7)
_HALF_A_DAY = timedelta(hours=12)
_LATEST = 7  # days that a reminder may be held up
_BABEL = {"en": "en_US", "tr": "tr_TR"}
_DAY_AND_TIME = {"en": "EEEE, MMMM d, y 'at' h:mm a", "tr": "d MMMM y EEEE HH:mm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opportunity:
    """A contract notice. Its deadline is an instant, or only a day, or not known."""

    notice_id: str
    title: str
    notice_type: str
    is_active: bool
    solicitation_number: str | None = None
    department: str | None = None
    office: str | None = None
    set_aside: str | None = None
    response_due_at: datetime | None = None
    response_due_on: date | None = None
    ui_url: str | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """A tenant and its opportunities that close soon, the next one first."""

    tenant_id: UUID
    notice_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """An opportunity as a mail shows it.

    `days_left` counts midnights in the reader's zone; None when that day is over there, or unknown.
    """

    title: str
    agency: str
    number: str
    notice_type: str
    set_aside: str
    deadline: str
    has_time: bool
    days_left: int | None
    link: str | None


def closing_soon(now: datetime) -> tuple[datetime, datetime]:
    """Between which instants a deadline is worth a reminder."""
    return now, now + _SOON


def reminder_values(
    opportunities: Sequence[Opportunity],
    *,
    now: datetime,
    zone: ZoneInfo,
    locale: str,
    report: str | None = None,
) -> dict[str, Any]:
    """What the reminder of these says; the first has the next deadline. `report` names a file."""
    return {
        "lines": [line(one, now=now, zone=zone, locale=locale) for one in opportunities],
        "next_day": due_on(opportunities[0], zone),
        "report": report,
    }


def is_open(opportunity: Opportunity, *, now: datetime) -> bool:
    """Whether an offer can still be made. Without a deadline: as long as the notice is active."""
    return opportunity.is_active and now < _closes_at(opportunity)


def open_opportunities(found: Iterable[Opportunity], *, now: datetime) -> list[Opportunity]:
    """Those still open, the next deadline first, those without a deadline last."""
    still_open = (one for one in found if is_open(one, now=now))
    return sorted(still_open, key=lambda one: (_closes_at(one), one.title, one.notice_id))


def line(opportunity: Opportunity, *, now: datetime, zone: ZoneInfo, locale: str) -> Line:
    """Everything on one line each, in the reader's language and time zone."""
    day = due_on(opportunity, zone)
    days_left = -1 if day is None else (day - now.astimezone(zone).date()).days
    return Line(
        title=one_line(opportunity.title),
        agency=" · ".join(
            one_line(name) for name in (opportunity.department, opportunity.office) if name
        ),
        number=one_line(opportunity.solicitation_number or ""),
        notice_type=one_line(opportunity.notice_type),
        set_aside=one_line(opportunity.set_aside or ""),
        deadline=deadline_text(opportunity, zone=zone, locale=locale),
        has_time=opportunity.response_due_at is not None,
        days_left=days_left if days_left >= 0 else None,
        link=web_link(opportunity.ui_url),
    )


def due_on(opportunity: Opportunity, zone: ZoneInfo) -> date | None:
    """The day of the deadline as the reader's calendar has it."""
    if opportunity.response_due_at is not None:
        return opportunity.response_due_at.astimezone(zone).date()
    return opportunity.response_due_on


def deadline_text(opportunity: Opportunity, *, zone: ZoneInfo, locale: str) -> str:
    """Day, time and zone; or the day alone; or nothing. Follows CLDR's patterns.

    >>> due = datetime.fromisoformat("2026-12-05T17:00-05:00")
    >>> one = Opportunity(
    ...     notice_id="1", title="", notice_type="", is_active=True, response_due_at=due)
    >>> deadline_text(one, zone=ZoneInfo("Europe/Istanbul"), locale="en")
    'Sunday, December 6, 2026 at 1:00 AM (Istanbul, GMT+03:00)'
    """
    return said_deadline(
        opportunity.response_due_at, opportunity.response_due_on, zone=zone, locale=locale
    )


def said_deadline(
    due_at: datetime | None, due_on: date | None, *, zone: ZoneInfo, locale: str
) -> str:
    """The same of anything that is due at an instant, or on a day."""
    language = _BABEL[locale]
    if due_at is not None:
        moment = format_datetime(due_at, _DAY_AND_TIME[locale], tzinfo=zone, locale=language)
        place = format_datetime(due_at, "VVV, ZZZZ", tzinfo=zone, locale=language)
        return f"{moment} ({'UTC' if zone.key in {'UTC', 'Etc/UTC'} else place})"
    return "" if due_on is None else format_date(due_on, "full", locale=language)


def reminder_prefix(user_id: UUID) -> str:
    """How the keys of all reminders of a user begin."""
    return f"opportunity-reminder:{user_id}:"


def reminder_key(user_id: UUID, day: date) -> str:
    """One reminder a day and user, whatever it lists."""
    return reminder_prefix(user_id) + day.isoformat()


def other_keys(user_id: UUID, day: date, *, today: date) -> list[str]:
    """Of the other days whose reminders may leave today, because they were held up."""
    days = (today - timedelta(days=late) for late in range(_LATEST + 1))
    return [reminder_key(user_id, one) for one in days if one != day]


def left_lately(now: datetime, zone: ZoneInfo) -> datetime:
    """What left after this instant stands for the reminder of another day, too: it was today there,
    and less than twelve hours ago.
    """
    midnight = datetime.combine(now.astimezone(zone).date(), time(), tzinfo=zone)
    return max(midnight.astimezone(UTC), now - _HALF_A_DAY)


def _closes_at(opportunity: Opportunity) -> datetime:
    if opportunity.response_due_at is not None:
        return opportunity.response_due_at
    if opportunity.response_due_on is not None:
        next_day = opportunity.response_due_on + timedelta(days=1)
        return datetime.combine(next_day, time(), tzinfo=_LAST_ZONE)
    return datetime.max.replace(tzinfo=UTC)
