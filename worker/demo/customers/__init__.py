"""The part of the tour that the tenants' customers see: a welcome, a reminder, a bill."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from worker.demo.customers import queries
from worker.demo.customers.people import CUSTOMERS, Customer, appointment_of, invoice_of
from worker.demo.customers.sequence import NAME
from worker.demo.queries import count_sent
from worker.demo.tenants import DemoTenant
from worker.demo.waiting import until_sent

if TYPE_CHECKING:
    import asyncpg


@dataclass(frozen=True, slots=True)
class Customers:
    """Writes to a tenant's customer. `run` enqueues a job by its name, and waits for its result."""

    db: "asyncpg.Pool[asyncpg.Record]"
    run: Callable[[str, dict[str, Any]], Awaitable[Any]]
    tenant: DemoTenant
    now: datetime

    @property
    def customer(self) -> Customer:
        return CUSTOMERS[self.tenant.tenant_id]

    async def write(self) -> list[str]:
        """Everything once; what came of each. On a later tour of the same day nothing is sent."""
        await queries.load_customer(self.db, self.tenant, self.customer)
        return [
            f"sequence {await self._nurture()}",
            f"appointment {await self._remind()}",
            f"payment reminder {await self._ask_to_pay()}",
        ]

    async def _nurture(self) -> str:
        """The first step comes now, the others within a week."""
        await queries.load_sequence(self.db, self.tenant)
        payload = {"contact_ids": [str(self.customer.contact_id)], "sequence": NAME}
        return await self._once("nurture.start_sequence", payload, "nurture-welcome")

    async def _remind(self) -> str:
        """By mail, with an entry for the calendar, and by SMS."""
        appointment = appointment_of(self.tenant, self.now)
        await queries.load_appointment(self.db, self.tenant, self.customer, appointment)
        payload = {
            "contact_id": str(self.customer.contact_id),
            "appointment_id": str(appointment.appointment_id),
            "scheduled_for": appointment.starts_at.isoformat(),
            "reminder_type": "24h",
        }
        return await self._once(
            "reminders.send_appointment_reminder",
            payload,
            "appointment-reminder",
            about=str(appointment.appointment_id),
            messages=2,
        )

    async def _ask_to_pay(self) -> str:
        invoice = invoice_of(self.tenant, self.now)
        await queries.load_invoice(self.db, self.tenant, self.customer, invoice)
        payload = {"contact_ids": [str(self.customer.contact_id)]}
        about = str(invoice.invoice_id)
        return await self._once("dunning.start_dunning", payload, "payment-reminder", about=about)

    async def _once(
        self,
        job: str,
        payload: dict[str, Any],
        template: str,
        *,
        about: str = "",
        messages: int = 1,
    ) -> str:
        """Run the job, unless its messages left on an earlier tour."""
        sent = await count_sent(self.db, self.tenant.tenant_id, template, about=about)
        if sent >= messages:
            return "already_sent"
        await self.run(job, {"tenant_id": str(self.tenant.tenant_id), **payload})
        await until_sent(self.db, self.tenant, template, about=about, messages=messages)
        return "sent"
