"""The customers of the demo's tenants. None of them exists, and nothing is owed."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from worker.demo.tenants import ANADOLU, BLUE_RIDGE, DemoTenant

_OVERDUE = timedelta(days=12)
_STARTS = time(10, 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Somebody who agreed to everything; the ids never change, so loading twice adds nothing."""

    contact_id: UUID
    full_name: str
    email: str
    phone: str
    amount: Decimal
    currency: str
    service: str
    store: str
    store_address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoInvoice:
    """One that should have been paid twelve days ago."""

    invoice_id: UUID
    number: str
    issued_on: date
    due_on: date
    payment_link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoAppointment:
    """One of tomorrow."""

    appointment_id: UUID
    starts_at: datetime
    ends_at: datetime


# Numbers that begin with 555 01 are given to nobody.
CUSTOMERS = {
    ANADOLU.tenant_id: Customer(
        contact_id=UUID("a0ad01c0-0000-4000-8000-000000000301"),
        full_name="Deniz Kaya",
        email="deniz.kaya@example.org",
        phone="+1 828 555 0143",
        amount=Decimal("12480.50"),
        currency="TRY",
        service="Keşif",
        store="Moda ofisi",
        store_address="Moda Cad. 12, Kadıköy",
    ),
    BLUE_RIDGE.tenant_id: Customer(
        contact_id=UUID("b1e1d6e0-0000-4000-8000-000000000301"),
        full_name="Jordan Lee",
        email="jordan.lee@example.org",
        phone="(828) 555-0142",
        amount=Decimal("480.00"),
        currency="USD",
        service="Site survey",
        store="Asheville office",
        store_address="12 Haywood Street, Asheville",
    ),
}


def invoice_of(tenant: DemoTenant, now: datetime) -> DemoInvoice:
    """The same one all year, by the tenant's own calendar, as dunning counts days."""
    today = now.astimezone(ZoneInfo(tenant.timezone)).date()
    number = f"{today.year}-0042"
    return DemoInvoice(
        invoice_id=uuid5(tenant.tenant_id, f"invoice {number}"),
        number=number,
        issued_on=today - _OVERDUE - timedelta(days=14),
        due_on=today - _OVERDUE,
        payment_link=f"https://{tenant.payment_host}/i/{number}",
    )


def appointment_of(tenant: DemoTenant, now: datetime) -> DemoAppointment:
    """At half past ten where the tenant is, on the day after `now`; one for each day."""
    zone = ZoneInfo(tenant.timezone)
    day = now.astimezone(zone).date() + timedelta(days=1)
    starts_at = datetime.combine(day, _STARTS, tzinfo=zone)
    return DemoAppointment(
        appointment_id=uuid5(tenant.tenant_id, f"appointment {day}"),
        starts_at=starts_at,
        ends_at=starts_at + timedelta(minutes=45),
    )
