"""Statements for the demo's debtors."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

    from worker.demo.dunning import Debtor


async def load_debtor(db: "asyncpg.Pool[asyncpg.Record]", debtor: "Debtor") -> None:
    """Insert the contact and its invoice; what is there already stays."""
    async with db.acquire() as connection, connection.transaction():
        await connection.execute(
            """
            insert into messaging_profiles (tenant_id, payment_hosts) values ($1, array[$2])
            on conflict (tenant_id) do update
               set payment_hosts = messaging_profiles.payment_hosts || excluded.payment_hosts
             where not messaging_profiles.payment_hosts @> excluded.payment_hosts
            """,
            debtor.tenant_id,
            debtor.payment_host,
        )
        await connection.execute(
            """
            insert into contacts (tenant_id, contact_id, full_name, email, locale, timezone)
            values ($1, $2, $3, $4, $5, $6)
            on conflict do nothing
            """,
            debtor.tenant_id,
            debtor.contact_id,
            debtor.full_name,
            debtor.email,
            debtor.locale,
            debtor.timezone,
        )
        await connection.execute(
            """
            insert into invoices (tenant_id, invoice_id, contact_id, number, amount, currency,
                                  issued_on, due_on, payment_link)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            on conflict do nothing
            """,
            debtor.tenant_id,
            debtor.invoice_id,
            debtor.contact_id,
            debtor.number,
            debtor.amount,
            debtor.currency,
            debtor.issued_on,
            debtor.due_on,
            debtor.payment_link,
        )
