"""Which appointments are due for a reminder, and whether one may still be sent. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from jobs.messaging.core.channels import CHANNELS, Channel
from jobs.messaging.core.invitation import Invitation
from jobs.messaging.core.recipient import person_name

ReminderType = Literal["24h", "3h"]
LEADS: Final[Mapping[ReminderType, timedelta]] = MappingProxyType(
    {"24h": timedelta(hours=24), "3h": timedelta(hours=3)}
)
TEMPLATE: Final = "appointment_reminder"
MOST_SEGMENTS: Final = 3  # of an SMS
NO_ID: Final = UUID(int=0)
LAST_ID: Final = UUID(int=(1 << 128) - 1)
_EVERY = timedelta(hours=1)  # scans, when all is well

# Why nobody is reminded; also the reasons that metrics know.
Reason = Literal[
    "gone",
    "not_confirmed",
    "moved",
    "begun",
    "superseded",
    "no_consent",
    "unreachable",
    "quiet_hours",
]
REASONS: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        "gone": "there is no such appointment of this contact any more",
        "not_confirmed": "the appointment is not confirmed (any more)",
        "moved": "the appointment was moved; its new time has reminders of its own",
        "begun": "the appointment has begun",
        "superseded": "it comes so late that the next reminder of the appointment takes its place",
        "no_consent": "the contact did not agree to reminders by this channel",
        "unreachable": "the contact has no address for the channels they agreed to",
        "quiet_hours": "it would be of no use any more when quiet hours end",
    }
)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the order of appointments: those at or before it have been looked at."""

    starts_at: datetime
    tenant_id: UUID = NO_ID
    appointment_id: UUID = NO_ID


@dataclass(frozen=True, slots=True)
class Window:
    """Appointments that start at `begin` or later, and before `end`."""

    begin: datetime
    end: datetime


def first_begin(due_at: datetime, reminder_type: ReminderType) -> datetime:
    """Where the very first scan begins: as if there had been one an hour before."""
    return due_at + LEADS[reminder_type] - _EVERY


def window(
    scanned_until: datetime | None, due_at: datetime, reminder_type: ReminderType
) -> Window | None:
    """What a scan that was due then looks at; None when another one has.

    Windows begin where the one before ended, however late, doubled or missed scans are, so that
    each instant is in one of them and in no other.
    """
    begin = scanned_until or first_begin(due_at, reminder_type)
    end = due_at + LEADS[reminder_type]
    return Window(begin, end) if begin < end else None


def useful_until(starts_at: datetime, reminder_type: ReminderType) -> datetime:
    """From then on the reminder is not sent any more: a nearer one is due, or it has begun.

    >>> useful_until(datetime(2026, 12, 3, 9), "24h").hour
    6
    """
    nearer = (lead for lead in LEADS.values() if lead < LEADS[reminder_type])
    return starts_at - max(nearer, default=timedelta(0))


@dataclass(frozen=True, slots=True)
class DueAppointment:
    """An appointment that a scan found, and by which channels its contact may be reached."""

    tenant_id: UUID
    appointment_id: UUID
    contact_id: UUID
    starts_at: datetime
    preferred_channel: Channel | None
    consented: frozenset[Channel]
    reachable: frozenset[Channel]

    @property
    def position(self) -> Position:
        return Position(self.starts_at, self.tenant_id, self.appointment_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointment:
    """An appointment with everything that a message about it says.

    `timezone` is where it takes place, `contact_timezone` where the contact lives.
    """

    appointment_id: UUID
    contact_id: UUID
    status: str
    starts_at: datetime
    ends_at: datetime
    sequence: int
    timezone: str
    service: str | None
    pet: str | None
    store: str | None
    store_address: str | None
    store_phone: str | None
    full_name: str = field(repr=False)
    email: str | None = field(repr=False)
    phone: str | None = field(repr=False)
    locale: str
    contact_timezone: str
    consented: frozenset[Channel]
    preferred_channel: Channel | None


def why_not(
    appointment: Appointment | None,
    contact_id: UUID,
    scheduled_for: datetime,
    reminder_type: ReminderType,
    now: datetime,
) -> Reason | None:
    """Why this reminder must not be sent now, if anything has changed since it was asked for."""
    if appointment is None or appointment.contact_id != contact_id:
        return "gone"
    if appointment.status != "confirmed":
        return "not_confirmed"
    # Older services may say when the reminder, and not when the appointment, was to be.
    as_reminder = scheduled_for + LEADS[reminder_type] if scheduled_for <= now else scheduled_for
    if appointment.starts_at not in {scheduled_for, as_reminder}:
        return "moved"
    if appointment.starts_at <= now:
        return "begun"
    return "superseded" if useful_until(appointment.starts_at, reminder_type) <= now else None


def in_order(
    channel: Channel, *, consented: frozenset[Channel], reachable: frozenset[Channel]
) -> tuple[Channel, ...]:
    """The channel that was asked for, and the other one in case it fails; empty: neither will do.

    Without consent to the first there is none: the other has a reminder of its own, or none.
    """
    if channel not in consented:
        return ()
    order = sorted(CHANNELS, key=lambda one: one != channel)
    return tuple(one for one in order if one in consented and one in reachable)


def delivery_key(appointment: Appointment, reminder_type: ReminderType, channel: Channel) -> str:
    """The same for the same appointment at the same time: such a reminder is sent once."""
    start = appointment.starts_at.isoformat()
    return f"{TEMPLATE}:{appointment.appointment_id}:{reminder_type}:{start}:{channel}"


def values(
    appointment: Appointment, reminder_type: ReminderType, text: str | None, now: datetime
) -> dict[str, Any]:
    """What the templates are filled with. `is_elsewhere`: by another clock than the contact's."""
    here, there = ZoneInfo(appointment.contact_timezone), ZoneInfo(appointment.timezone)
    starts_at = appointment.starts_at
    return {
        "reminder_type": reminder_type,
        "starts_at": starts_at,
        "ends_at": appointment.ends_at,
        "is_today": starts_at.astimezone(there).date() == now.astimezone(there).date(),
        "is_elsewhere": starts_at.astimezone(there).utcoffset()
        != starts_at.astimezone(here).utcoffset(),
        "service": appointment.service,
        "pet": person_name(appointment.pet or "") or None,
        "store": appointment.store,
        "store_address": appointment.store_address,
        "store_phone": appointment.store_phone,
        "text": text,
    }


def invitation(appointment: Appointment, tenant: str) -> Invitation:
    """What makes the appointment appear in the contact's calendar, once however often it comes."""
    what = appointment.service or {"en": "Appointment", "tr": "Randevu"}[appointment.locale]
    pet = person_name(appointment.pet or "")
    whom = f" ({pet})" if pet else ""
    where = (appointment.store, appointment.store_address)
    return Invitation(
        uid=f"appointment-{appointment.appointment_id}@deskhand",
        sequence=appointment.sequence,
        method="REQUEST",
        summary=f"{what}{whom}, {appointment.store or tenant}",
        starts_at=appointment.starts_at,
        ends_at=appointment.ends_at,
        timezone=appointment.timezone,
        location=", ".join(one for one in where if one),
    )
