"""The tenants of the demo and their people. None of them exists."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoUser:
    user_id: UUID
    email: str
    full_name: str
    locale: str
    timezone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoTenant:
    """A tenant and its users; the ids never change, so that loading twice adds nothing."""

    tenant_id: UUID
    name: str
    locale: str
    timezone: str
    country: str
    postal_address: str
    # Where it has itself paid.
    payment_host: str
    users: tuple[DemoUser, ...]
    # Who works with them, and is mailed nothing on the tour.
    colleague: DemoUser


ANADOLU = DemoTenant(
    tenant_id=UUID("a0ad01c0-0000-4000-8000-000000000001"),
    name="Anadolu Yapı ve Tesisat A.Ş.",
    locale="tr",
    timezone="Europe/Istanbul",
    country="TR",
    postal_address="Moda Cad. 12, 34710 Kadıköy, İstanbul",
    payment_host="odeme.example",
    users=(
        DemoUser(
            user_id=UUID("a0ad01c0-0000-4000-8000-000000000101"),
            email="ayse.isik@anadolu.example",
            full_name="Ayşe Işık",
            locale="tr",
            timezone="Europe/Istanbul",
        ),
    ),
    colleague=DemoUser(
        user_id=UUID("a0ad01c0-0000-4000-8000-000000000102"),
        email="can.sahin@anadolu.example",
        full_name="Can Şahin",
        locale="tr",
        timezone="Europe/Istanbul",
    ),
)

BLUE_RIDGE = DemoTenant(
    tenant_id=UUID("b1e1d6e0-0000-4000-8000-000000000002"),
    name="Blue Ridge Contracting LLC",
    locale="en",
    timezone="America/New_York",
    country="US",
    postal_address="12 Haywood Street, Asheville, NC 28801",
    payment_host="pay.example",
    users=(
        DemoUser(
            user_id=UUID("b1e1d6e0-0000-4000-8000-000000000201"),
            email="grace.oneil@blueridge.example",
            full_name="Grace O'Neil",
            locale="en",
            timezone="America/New_York",
        ),
    ),
    colleague=DemoUser(
        user_id=UUID("b1e1d6e0-0000-4000-8000-000000000202"),
        email="sam.rivera@blueridge.example",
        full_name="Sam Rivera",
        locale="en",
        timezone="America/New_York",
    ),
)

TENANTS = (ANADOLU, BLUE_RIDGE)
