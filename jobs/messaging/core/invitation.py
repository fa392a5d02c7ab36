"""Appointments as calendars take them: RFC 5545, sent as RFC 5546 (iTIP) says."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, vCalAddress, vText

from jobs.messaging.core.recipient import known_zone

Method = Literal["REQUEST", "CANCEL"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """One event, for one attendee.

    `uid` is the event's for good; `sequence` grows with each change of it, and a `CANCEL` is one.
    Instants are aware; `timezone` is where it takes place. Raises ValueError that names the field.
    """

    uid: str
    sequence: int
    method: Method
    summary: str = field(repr=False)
    starts_at: datetime
    ends_at: datetime
    timezone: str
    location: str = field(default="", repr=False)
    description: str = field(default="", repr=False)
    url: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.starts_at.tzinfo is None or self.ends_at.tzinfo is None:
            raise ValueError("starts_at, ends_at: have a time zone")
        if self.starts_at.astimezone(UTC) >= self.ends_at.astimezone(UTC):  # not by the clock
            raise ValueError("ends_at: is after starts_at")
        if self.sequence < 0:
            raise ValueError("sequence: is 0 or more")
        if not self.uid.strip():
            raise ValueError("uid: is empty")
        known_zone(self.timezone)


def calendar_text(
    invitation: Invitation,
    *,
    organizer: str,
    organizer_name: str,
    attendee: str,
    attendee_name: str,
    written_at: datetime,
) -> str:
    """The invitation as text/calendar, with CRLF and folded lines."""
    starts_at, ends_at = _written(invitation)
    event = Event()
    event.add("uid", invitation.uid)
    event.add("sequence", invitation.sequence)
    event.add("dtstamp", written_at.astimezone(UTC))
    event.add("dtstart", starts_at)
    event.add("dtend", ends_at)
    event.add("summary", invitation.summary)
    for name in ("location", "description", "url"):
        if value := getattr(invitation, name):
            event.add(name, value)
    is_off = invitation.method == "CANCEL"
    event.add("status", "CANCELLED" if is_off else "CONFIRMED")
    event["organizer"] = _person(organizer, organizer_name)
    event["attendee"] = _person(attendee, attendee_name)
    event["attendee"].params["ROLE"] = vText("REQ-PARTICIPANT")
    event["attendee"].params["PARTSTAT"] = vText("ACCEPTED")
    event["attendee"].params["RSVP"] = vText("FALSE")
    calendar = Calendar()
    calendar.add("prodid", "-//deskhand//EN")
    calendar.add("version", "2.0")
    calendar.add("method", invitation.method)
    calendar.add_component(event)
    # The rules of the years around it, not of a century.
    year = invitation.starts_at.year
    calendar.add_missing_timezones(date(year - 1, 1, 1), date(year + 2, 1, 1))
    return str(calendar.to_ical(), "utf-8")


def _written(invitation: Invitation) -> tuple[datetime, datetime]:
    """Both instants in the place's time; in UTC where that could mean another.

    In the hour that clocks go through twice, a local time is the first of the two (3.3.5).
    """
    zone = ZoneInfo(invitation.timezone)
    local = invitation.starts_at.astimezone(zone), invitation.ends_at.astimezone(zone)
    if any(instant.fold for instant in local):
        return invitation.starts_at.astimezone(UTC), invitation.ends_at.astimezone(UTC)
    return local


def _person(address: str, name: str) -> vCalAddress:
    person = vCalAddress(f"MAILTO:{address}")
    if name:
        person.params["CN"] = vText(name)
    return person
