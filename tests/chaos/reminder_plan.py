"""Appointments around changes of the clock, scans that go wrong, and what happens to appointments.

Everything follows from a seed. Instants of the play are aware datetimes.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

Channel = Literal["email", "sms"]
_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
TWILIO_URL = "CHAOS_TWILIO_URL"  # in the environment of each worker
UNREACHABLE = "+15005550009"  # Twilio's magic number that is no mobile telephone
# When clocks change in the US and in the EU, in 2027; elsewhere they change at other times or not.
CHANGES = (
    datetime(2027, 3, 14, 10, tzinfo=UTC),
    datetime(2027, 3, 28, 1, tzinfo=UTC),
    datetime(2027, 10, 31, 1, tzinfo=UTC),
    datetime(2027, 11, 7, 9, tzinfo=UTC),
)
ZONES = (
    "Africa/Casablanca", "America/Argentina/Buenos_Aires", "America/Caracas", "America/Chicago",
    "America/Denver", "America/Los_Angeles", "America/New_York", "America/Phoenix",
    "America/Sao_Paulo", "America/St_Johns", "Asia/Dubai", "Asia/Kathmandu", "Asia/Kolkata",
    "Asia/Shanghai", "Asia/Tokyo", "Atlantic/Azores", "Australia/Adelaide", "Australia/Lord_Howe",
    "Europe/Berlin", "Europe/Istanbul", "Europe/Lisbon", "Europe/London", "Pacific/Apia",
    "Pacific/Auckland", "Pacific/Chatham", "UTC",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Booking:
    """An appointment and its contact, as they are at the beginning."""

    tenant_id: UUID
    contact_id: UUID
    appointment_id: UUID
    starts_at: datetime
    status: str
    zone: str
    email: str
    phone: str
    consented: frozenset[Channel]
    preferred: Channel | None


@dataclass(frozen=True, slots=True)
class Step:
    """The clock comes to `now`, and these scans are asked for, each with the instant it was due."""

    now: datetime
    scans: tuple[datetime, ...] = ()
    changes: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    tenants: tuple[UUID, ...]
    bookings: tuple[Booking, ...]
    steps: tuple[Step, ...] = field(repr=False)


def make_plan(appointments: int, *, hours: int, segments: int, seed: int) -> Plan:
    """`segments` of `hours` each, one around each of the first `segments` changes."""
    chance = random.Random(seed)  # noqa: S311 - a plan that can be played again
    begins = [change - (2 * hours // 3) * _HOUR for change in CHANGES[-segments:]]
    tenants = tuple(_uuid(chance) for _ in range(max(appointments // 50, 2)))
    bookings = tuple(
        _booking(chance, number, chance.choice(tenants), chance.choice(begins), hours)
        for number in range(appointments)
    )
    # As many changes as a tenth of the appointments, over all steps.
    changes = max(appointments // (8 * hours * segments), 1)
    steps = tuple(step for begin in begins for step in _steps(chance, begin, hours, changes))
    return Plan(tenants, bookings, steps)


def _booking(
    chance: random.Random, number: int, tenant_id: UUID, begin: datetime, hours: int
) -> Booking:
    minutes = chance.randrange(2 * 60, (hours + 12) * 60, 5)
    wishes: tuple[tuple[frozenset[Channel], Channel | None], ...] = (
        (frozenset({"email"}), None),
        (frozenset({"sms"}), None),
        (frozenset({"email", "sms"}), None),
        (frozenset({"email", "sms"}), "sms"),
        (frozenset({"email", "sms"}), "email"),
        (frozenset({"email"}), "sms"),
        (frozenset(), None),
    )
    consented, preferred = chance.choice(wishes)
    is_reachable = consented != {"email", "sms"} or chance.random() < 0.95
    return Booking(
        tenant_id=tenant_id,
        contact_id=_uuid(chance),
        appointment_id=_uuid(chance),
        starts_at=begin + minutes * _MINUTE,
        status=chance.choices(("confirmed", "requested", "cancelled"), (92, 5, 3))[0],
        zone=chance.choice(ZONES),
        email=f"contact{number}@theirs.example",
        phone=f"+90532{number:07}" if is_reachable else UNREACHABLE,
        consented=consented,
        preferred=preferred,
    )


def _steps(chance: random.Random, begin: datetime, hours: int, changes: int) -> Iterator[Step]:
    for hour in range(hours):
        tick = begin + hour * _HOUR
        late = chance.uniform(0, 50) / 60 * _MINUTE
        how = chance.choices(("once", "late", "missed", "twice", "by hand"), (6, 1, 1, 1, 1))[0]
        match how if hour else "once":
            case "late":
                late = chance.uniform(5, 55) * _MINUTE
                scans: tuple[datetime, ...] = (tick,)
            case "missed":
                scans = ()
            case "twice":
                scans = (tick, tick, tick)
            case "by hand":
                scans = (tick + late, tick)
            case _:
                scans = (tick,)
        yield Step(tick + late, scans, changes)


def _uuid(chance: random.Random) -> UUID:
    return UUID(int=chance.getrandbits(128), version=4)
