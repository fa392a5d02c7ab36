"""Rows that reminders are made from."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

if TYPE_CHECKING:
    import asyncpg


async def insert_contact(db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, **given: Any) -> UUID:
    """Somebody in Istanbul who agreed to reminders by mail and by SMS."""
    contact = {
        "full_name": "Zeynep Çağlar",
        "email": f"{uuid4().hex}@musteri.example",
        "phone": "+905321234567",
        "locale": "tr",
        "timezone": "Europe/Istanbul",
        "reminders_by_email": True,
        "reminders_by_sms": True,
        "preferred_channel": None,
        **given,
    }
    contact_id = uuid4()
    await db.execute(
        """
        insert into contacts (tenant_id, contact_id, full_name, email, phone, locale, timezone,
                              reminders_by_email, reminders_by_sms, preferred_channel)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        tenant_id,
        contact_id,
        *contact.values(),
    )
    return contact_id


async def insert_appointment(
    db: "asyncpg.Pool[asyncpg.Record]",
    tenant_id: UUID,
    contact_id: UUID,
    starts_at: datetime,
    **given: Any,
) -> UUID:
    """A confirmed one of three quarters of an hour."""
    appointment = {
        "status": "confirmed",
        "pet_id": None,
        "service_id": None,
        "store_id": None,
        "timezone": None,
        "appointment_id": uuid4(),
        **given,
    }
    await db.execute(
        """
        insert into appointments (tenant_id, contact_id, starts_at, ends_at, status, pet_id,
                                  service_id, store_id, timezone, appointment_id)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        tenant_id,
        contact_id,
        starts_at,
        starts_at + timedelta(minutes=45),
        *appointment.values(),
    )
    return UUID(str(appointment["appointment_id"]))


async def insert_surroundings(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, contact_id: UUID, **store: Any
) -> dict[str, UUID]:
    """A pet, a service and a store: what `insert_appointment` takes."""
    ids = {"pet_id": uuid4(), "service_id": uuid4(), "store_id": uuid4()}
    place = {
        "name": "Moda",
        "address": "Moda Cad. 12, Kadıköy",
        "phone": "+90 216 555 01 23",
        "timezone": None,
        **store,
    }
    await db.execute(
        "insert into pets (tenant_id, contact_id, pet_id, name) values ($1, $2, $3, 'Pamuk')",
        tenant_id,
        contact_id,
        ids["pet_id"],
    )
    await db.execute(
        "insert into services (tenant_id, service_id, name) values ($1, $2, 'Tüy bakımı')",
        tenant_id,
        ids["service_id"],
    )
    await db.execute(
        "insert into stores (tenant_id, store_id, name, address, phone, timezone)"
        " values ($1, $2, $3, $4, $5, $6)",
        tenant_id,
        ids["store_id"],
        *place.values(),
    )
    return ids


async def sent_at(db: "asyncpg.Pool[asyncpg.Record]", appointment_id: UUID) -> dict[str, Any]:
    """Both reminder fields."""
    row = await db.fetchrow(
        "select reminder_24h_sent_at, reminder_3h_sent_at from appointments"
        " where appointment_id = $1",
        appointment_id,
    )
    assert row is not None
    return dict(row)
