"""An overdue invoice for each demo tenant. Nobody of these exists, and nothing is owed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from worker.demo.dunning import queries
from worker.demo.tenants import DemoTenant

if TYPE_CHECKING:
    import asyncpg

_OVERDUE = timedelta(days=12)
_HOST = "pay.example.com"
_NAMES = {"en": "Olivia Bennett", "tr": "Zeynep Çağlar"}
_OWED = {"en": (Decimal("480.00"), "USD"), "tr": (Decimal("12480.50"), "TRY")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Debtor:
    """A contact with one invoice; the ids never change, so that loading twice adds nothing."""

    tenant_id: UUID
    contact_id: UUID
    invoice_id: UUID
    full_name: str
    email: str
    locale: str
    timezone: str
    number: str
    amount: Decimal
    currency: str
    issued_on: date
    due_on: date
    payment_link: str
    payment_host: str


def debtor_of(tenant: DemoTenant, today: date) -> Debtor:
    """Of a tenant that has waited for twelve days."""
    amount, currency = _OWED[tenant.locale]
    number = f"{today.year}-0042"
    return Debtor(
        tenant_id=tenant.tenant_id,
        contact_id=uuid5(tenant.tenant_id, "debtor"),
        invoice_id=uuid5(tenant.tenant_id, "invoice"),
        full_name=_NAMES[tenant.locale],
        email=f"accounts-{tenant.locale}@customer.example",
        locale=tenant.locale,
        timezone=tenant.timezone,
        number=number,
        amount=amount,
        currency=currency,
        issued_on=today - _OVERDUE - timedelta(days=14),
        due_on=today - _OVERDUE,
        payment_link=f"https://{_HOST}/i/{number}",
        payment_host=_HOST,
    )


async def ask_debtor(
    db: "asyncpg.Pool[asyncpg.Record]",
    tenant: DemoTenant,
    today: date,
    run: Callable[[str, dict[str, Any]], Awaitable[Any]],
) -> int:
    """Start dunning for the tenant's debtor; returns how many reminders that led to: 1, and on a
    later tour of the same day none.
    """
    debtor = debtor_of(tenant, today)
    await queries.load_debtor(db, debtor)
    payload = {"tenant_id": str(tenant.tenant_id), "contact_ids": [str(debtor.contact_id)]}
    receipt = await run("dunning.start_dunning", payload)
    reminders: int = receipt["reminders"]
    return reminders
