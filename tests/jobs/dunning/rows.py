"""Contacts, invoices and profiles to ask for payment with."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from jobs.dunning.core.cases import Contact, Invoice

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]

NOW = datetime(2026, 12, 3, 8, 0, tzinfo=UTC)  # 11:00 in Istanbul
TODAY = date(2026, 12, 3)
LINK = "https://pay.example/i/42"

INVOICE = Invoice(
    invoice_id=UUID(int=1),
    contact_id=UUID(int=2),
    number="2026-0042",
    amount=Decimal("1250.50"),
    paid_amount=Decimal(0),
    currency="TRY",
    due_on=date(2026, 11, 23),
    state="open",
    payment_link=LINK,
)
CONTACT = Contact(
    full_name="Zeynep Çağlar",
    email="zeynep@musteri.example",
    phone="0532 123 45 67",
    locale="tr",
    timezone="Europe/Istanbul",
    preferred_channel=None,
    agrees_to_sms=True,
    hold=None,
    mail_suppression=None,
)


async def insert(db: "Pool", table: str, **fields: Any) -> None:
    columns = ", ".join(fields)
    places = ", ".join(f"${number}" for number in range(1, len(fields) + 1))
    await db.execute(f"insert into {table} ({columns}) values ({places})", *fields.values())  # noqa: S608 - names from the tests


async def insert_profile(db: "Pool", tenant_id: UUID, **fields: Any) -> None:
    """Of a tenant in Turkey whose customers pay at pay.example."""
    row = {"country": "TR", "payment_hosts": ["pay.example"], **fields}
    await insert(db, "messaging_profiles", tenant_id=tenant_id, **row)


async def insert_contact(db: "Pool", tenant_id: UUID, **fields: Any) -> UUID:
    """Somebody who can be reached by both channels; `fields` are columns."""
    contact_id: UUID = fields.pop("contact_id", None) or uuid4()
    row: dict[str, Any] = {
        "full_name": CONTACT.full_name,
        "email": f"{contact_id.hex}@musteri.example",
        "phone": "0532 123 45 67",
        "locale": "tr",
        "timezone": "Europe/Istanbul",
        "reminders_by_sms": True,
        **fields,
    }
    await insert(db, "contacts", tenant_id=tenant_id, contact_id=contact_id, **row)
    return contact_id


async def insert_invoice(db: "Pool", tenant_id: UUID, contact_id: UUID, **fields: Any) -> UUID:
    """An open one, ten days overdue on TODAY."""
    invoice_id: UUID = fields.pop("invoice_id", None) or uuid4()
    row: dict[str, Any] = {
        "number": INVOICE.number,
        "amount": INVOICE.amount,
        "currency": INVOICE.currency,
        "issued_on": date(2026, 11, 1),
        "due_on": INVOICE.due_on,
        "payment_link": LINK,
        **fields,
    }
    await insert(
        db, "invoices", tenant_id=tenant_id, invoice_id=invoice_id, contact_id=contact_id, **row
    )
    return invoice_id
