"""Every statement of the domain `reminders`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from jobs.messaging.core.channels import Channel
from jobs.reminders.core import Appointment, DueAppointment, Position, ReminderType

if TYPE_CHECKING:
    import asyncpg

    Connection = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )

# Along the index `appointments_to_come`.
DUE: Final = """
    select tenant_id, appointment_id, contact_id, starts_at, preferred_channel,
           reminders_by_email, reminders_by_sms, email is not null as has_email,
           phone is not null as has_phone
      from appointments join contacts using (tenant_id, contact_id)
     where status = 'confirmed'
       and (starts_at, tenant_id, appointment_id) > ($1, $2, $3) and starts_at < $4
     order by starts_at, tenant_id, appointment_id
     limit $5
"""
_REMINDED: Final[Mapping[ReminderType, str]] = MappingProxyType(
    {
        "24h": """
            update appointments set reminder_24h_sent_at = coalesce(reminder_24h_sent_at, $4)
             where tenant_id = $1 and appointment_id = $2 and starts_at = $3
        """,
        "3h": """
            update appointments set reminder_3h_sent_at = coalesce(reminder_3h_sent_at, $4)
             where tenant_id = $1 and appointment_id = $2 and starts_at = $3
        """,
    }
)


async def lock_scan(
    connection: "Connection", reminder_type: ReminderType, first: datetime
) -> Position:
    """Up to where appointments have been looked through; `first` when they never were.

    Nobody else looks until the transaction ends.
    """
    row = await connection.fetchrow(
        """
        insert into reminder_scans (reminder_type, scanned_until) values ($1, $2)
        on conflict (reminder_type) do update set reminder_type = excluded.reminder_type
        returning scanned_until, tenant_id, appointment_id
        """,
        reminder_type,
        first,
    )
    assert row is not None  # noqa: S101 - it inserts or updates one
    return Position(*row)


async def move_scan(
    connection: "Connection", reminder_type: ReminderType, position: Position
) -> None:
    await connection.execute(
        """
        update reminder_scans set scanned_until = $2, tenant_id = $3, appointment_id = $4
         where reminder_type = $1
        """,
        reminder_type,
        position.starts_at,
        position.tenant_id,
        position.appointment_id,
    )


async def due_appointments(
    connection: "Connection", after: Position, before: datetime, *, limit: int
) -> list[DueAppointment]:
    """The next confirmed ones behind `after` that start before then, of all tenants."""
    rows = await connection.fetch(
        DUE, after.starts_at, after.tenant_id, after.appointment_id, before, limit
    )
    return [
        DueAppointment(
            tenant_id=row["tenant_id"],
            appointment_id=row["appointment_id"],
            contact_id=row["contact_id"],
            starts_at=row["starts_at"],
            preferred_channel=row["preferred_channel"],
            consented=_consented(row),
            reachable=_channels(email=row["has_email"], sms=row["has_phone"]),
        )
        for row in rows
    ]


async def find_appointment(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, appointment_id: UUID
) -> Appointment | None:
    """With its customer, pet, service and store."""
    row = await db.fetchrow(
        """
        select appointment_id, appointments.contact_id, status, starts_at, ends_at, sequence,
               coalesce(appointments.timezone, stores.timezone, contacts.timezone) as timezone,
               services.name as service, pets.name as pet, stores.name as store,
               stores.address as store_address, stores.phone as store_phone,
               full_name, email, contacts.phone, locale, contacts.timezone as contact_timezone,
               reminders_by_email, reminders_by_sms, preferred_channel
          from appointments
          join contacts using (tenant_id, contact_id)
          left join pets using (tenant_id, pet_id)
          left join services using (tenant_id, service_id)
          left join stores using (tenant_id, store_id)
         where tenant_id = $1 and appointment_id = $2
        """,
        tenant_id,
        appointment_id,
    )
    if row is None:
        return None
    fields: dict[str, Any] = dict(row)
    consented = _consented(fields)
    del fields["reminders_by_email"], fields["reminders_by_sms"]
    return Appointment(**fields, consented=consented)


async def mark_reminded(
    connection: "Connection",
    tenant_id: UUID,
    appointment: Appointment,
    reminder_type: ReminderType,
    sent_at: datetime,
) -> None:
    """Unless it was moved meanwhile: that reminder was of another time."""
    await connection.execute(
        _REMINDED[reminder_type],
        tenant_id,
        appointment.appointment_id,
        appointment.starts_at,
        sent_at,
    )


def _consented(row: "Mapping[str, Any] | asyncpg.Record") -> frozenset[Channel]:
    return _channels(email=row["reminders_by_email"], sms=row["reminders_by_sms"])


def _channels(*, email: bool, sms: bool) -> frozenset[Channel]:
    usable: Sequence[tuple[Channel, bool]] = (("email", email), ("sms", sms))
    return frozenset(channel for channel, is_usable in usable if is_usable)
