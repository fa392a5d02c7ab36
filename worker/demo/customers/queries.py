"""The statements that load customers, and what they are written to about. What is there stays."""

from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from jobs.nurture.sequences import queries as nurture
from worker.demo.customers.people import Customer, DemoAppointment, DemoInvoice
from worker.demo.customers.sequence import NAME, VALUES, sequence_id_of, steps_of
from worker.demo.tenants import DemoTenant

if TYPE_CHECKING:
    import asyncpg

    from jobs.kit.sending import Connection


async def load_customer(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: DemoTenant, customer: Customer
) -> None:
    """Somebody who agreed to reminders by mail and SMS, and to news by mail."""
    await db.execute(
        """
        insert into contacts (tenant_id, contact_id, full_name, email, phone, locale, timezone,
                              reminders_by_email, reminders_by_sms, marketing_by_email)
        values ($1, $2, $3, $4, $5, $6, $7, true, true, true) on conflict do nothing
        """,
        tenant.tenant_id,
        customer.contact_id,
        customer.full_name,
        customer.email,
        customer.phone,
        tenant.locale,
        tenant.timezone,
    )


async def load_sequence(db: "asyncpg.Pool[asyncpg.Record]", tenant: DemoTenant) -> None:
    """Make the tenant's sequence, unless it is there."""
    sequence_id = sequence_id_of(tenant)
    async with db.acquire() as connection, connection.transaction():
        if await nurture.find(connection, tenant.tenant_id, sequence_id) is not None:
            return
        await nurture.insert(
            connection, tenant.tenant_id, sequence_id, name=NAME, exit_on=["reply"], values=VALUES
        )
        await nurture.put_steps(connection, tenant.tenant_id, sequence_id, steps_of(tenant))


async def load_invoice(
    db: "asyncpg.Pool[asyncpg.Record]", tenant: DemoTenant, customer: Customer, invoice: DemoInvoice
) -> None:
    """An invoice of this customer that nobody has paid."""
    await db.execute(
        """
        insert into invoices (tenant_id, invoice_id, contact_id, number, amount, currency,
                              issued_on, due_on, payment_link)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing
        """,
        tenant.tenant_id,
        invoice.invoice_id,
        customer.contact_id,
        invoice.number,
        customer.amount,
        customer.currency,
        invoice.issued_on,
        invoice.due_on,
        invoice.payment_link,
    )


async def load_appointment(
    db: "asyncpg.Pool[asyncpg.Record]",
    tenant: DemoTenant,
    customer: Customer,
    appointment: DemoAppointment,
) -> None:
    """A confirmed appointment, where it is, and what it is for."""
    async with db.acquire() as connection, connection.transaction():
        store_id = await _load_store(connection, tenant, customer)
        service_id = await _load_service(connection, tenant, customer)
        await connection.execute(
            """
            insert into appointments (tenant_id, appointment_id, contact_id, store_id, service_id,
                                      starts_at, ends_at, status)
            values ($1, $2, $3, $4, $5, $6, $7, 'confirmed') on conflict do nothing
            """,
            tenant.tenant_id,
            appointment.appointment_id,
            customer.contact_id,
            store_id,
            service_id,
            appointment.starts_at,
            appointment.ends_at,
        )


async def _load_store(connection: "Connection", tenant: DemoTenant, customer: Customer) -> UUID:
    store_id = uuid5(tenant.tenant_id, "store")
    await connection.execute(
        """
        insert into stores (tenant_id, store_id, name, address, timezone)
        values ($1, $2, $3, $4, $5) on conflict do nothing
        """,
        tenant.tenant_id,
        store_id,
        customer.store,
        customer.store_address,
        tenant.timezone,
    )
    return store_id


async def _load_service(connection: "Connection", tenant: DemoTenant, customer: Customer) -> UUID:
    service_id = uuid5(tenant.tenant_id, "service")
    await connection.execute(
        "insert into services (tenant_id, service_id, name) values ($1, $2, $3)"
        " on conflict do nothing",
        tenant.tenant_id,
        service_id,
        customer.service,
    )
    return service_id
