"""Every statement of the domain `dunning`."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

from jobs.dunning.core.cases import Case, Contact, Invoice, Notice, Overdue
from jobs.dunning.core.stages import Stage
from jobs.messaging.core.channels import Channel
from jobs.messaging.suppressions.queries import suppressions_of

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )

_FIRST = UUID(int=0)
_TENANTS = 100  # a page
_INVOICE = (
    "i.invoice_id, i.contact_id, i.number, i.amount, i.paid_amount, i.currency, i.due_on,"
    " i.state, i.payment_link"
)
_CONTACT = """
    c.full_name, c.email, c.phone, c.locale, c.timezone, c.preferred_channel,
    c.reminders_by_sms as agrees_to_sms,
    (select state from dunning_holds h
      where (h.tenant_id, h.contact_id) = (c.tenant_id, c.contact_id)
        and (h.until is null or h.until > $3)) as hold
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """How many invoices of a contact are known here, and how many of them are open."""

    invoices: int
    open_invoices: int


async def tenants_with_overdue(db: "Pool", before: date) -> AsyncIterator[UUID]:
    """All tenants that have open invoices which were due before then."""
    after = _FIRST
    while True:
        rows = await db.fetch(
            """
            select tenant_id,
                   exists (select from invoices i
                            where i.tenant_id = page.tenant_id and state = 'open' and due_on < $2
                   ) as has_overdue
              from (select tenant_id from tenants where tenant_id > $1
                     order by tenant_id limit $3) as page
             order by tenant_id
            """,
            after,
            before,
            _TENANTS,
        )
        for row in rows:
            if row["has_overdue"]:
                yield row["tenant_id"]
        if len(rows) < _TENANTS:
            return
        after = rows[-1]["tenant_id"]


async def stages(db: "Pool", tenant_id: UUID) -> list[Stage]:
    """The tenant's own, in order; none when it has said nothing."""
    rows = await db.fetch(
        """
        select position, days_overdue, tone, channels, fee_amount, fee_currency, fee_percent
          from dunning_stages where tenant_id = $1 order by position
        """,
        tenant_id,
    )
    return [Stage(**{**row, "channels": frozenset(row["channels"])}) for row in rows]


async def overdue(
    db: "Pool",
    tenant_id: UUID,
    *,
    today: date,
    due_until: date,
    contact_ids: Sequence[UUID] | None,
    page: int,
) -> AsyncIterator[list[Overdue]]:
    """Open invoices of contacts that may be asked today, contact by contact, in pages.

    Left out is who is on hold, was asked today, or can be reached in no way. `contact_ids` None:
    of all.
    """
    after = (_FIRST, date.min, _FIRST)
    while True:
        rows = await db.fetch(
            f"""
            select {_INVOICE},
                   case when c.phone is null or not c.reminders_by_sms then c.email end as only_way,
                   coalesce((select max(position) from dunning_notices n
                              where (n.tenant_id, n.invoice_id) = (i.tenant_id, i.invoice_id)
                            ), 0) as sent
              from invoices i
              join contacts c using (tenant_id, contact_id)
             where tenant_id = $1 and i.state = 'open' and i.due_on <= $2
               and (i.contact_id, i.due_on, i.invoice_id) > ($4, $5, $6)
               and ($7::uuid[] is null or i.contact_id = any($7))
               and not exists (select from dunning_holds h
                                where h.tenant_id = $1 and h.contact_id = i.contact_id
                                  and (h.until is null or h.until > $3))
               and not exists (select from dunning_turns t
                                where t.tenant_id = $1 and t.contact_id = i.contact_id
                                  and t.day >= $3)
               and ((c.phone is not null and c.reminders_by_sms) or c.email is not null)
             order by i.contact_id, i.due_on, i.invoice_id
             limit $8
            """,  # noqa: S608 - the columns are named above
            tenant_id,
            due_until,
            today,
            *after,
            contact_ids,
            page,
        )
        ways: list[tuple[Channel, str]] = [
            ("email", row["only_way"]) for row in rows if row["only_way"] is not None
        ]
        closed = await suppressions_of(db, tenant_id, ways)
        yield [
            Overdue(_invoice(row), row["sent"])
            for row in rows
            if ("email", row["only_way"]) not in closed
        ]
        if len(rows) < page:
            return
        after = (rows[-1]["contact_id"], rows[-1]["due_on"], rows[-1]["invoice_id"])


async def find_case(
    db: "Pool", tenant_id: UUID, *, invoice_id: UUID, contact_id: UUID, step: int, today: date
) -> Case | None:
    """None when there is no such invoice of this contact. Fees are those before this step."""
    row = await db.fetchrow(
        f"""
        select {_INVOICE}, {_CONTACT},
               last.position, last.sent_on, last.channels, last.fee,
               (select coalesce(sum(fee), 0) from dunning_notices n
                 where (n.tenant_id, n.invoice_id) = (i.tenant_id, i.invoice_id)
                   and n.position < $4) as fees
          from invoices i
          join contacts c using (tenant_id, contact_id)
          left join lateral (
               select position, sent_on, channels, fee from dunning_notices n
                where (n.tenant_id, n.invoice_id) = (i.tenant_id, i.invoice_id)
                order by position desc limit 1) as last on true
         where tenant_id = $1 and i.invoice_id = $2 and i.contact_id = $5
        """,  # noqa: S608 - the columns are named above
        tenant_id,
        invoice_id,
        today,
        step,
        contact_id,
    )
    if row is None:
        return None
    last = None
    if row["position"] is not None:
        last = Notice(
            position=row["position"],
            sent_on=row["sent_on"],
            channels=frozenset(row["channels"]),
            fee=row["fee"],
        )
    contact = await _contact(db, tenant_id, row)
    return Case(invoice=_invoice(row), contact=contact, last=last, fees=row["fees"])


async def find_contact(
    db: "Pool", tenant_id: UUID, contact_id: UUID, *, today: date
) -> Contact | None:
    row = await db.fetchrow(
        f"""
        select {_CONTACT} from contacts c where c.tenant_id = $1 and c.contact_id = $2
        """,  # noqa: S608 - the columns are named above
        tenant_id,
        contact_id,
        today,
    )
    return None if row is None else await _contact(db, tenant_id, row)


async def standing_of(db: "Pool", tenant_id: UUID, contact_id: UUID) -> Standing:
    row = await db.fetchrow(
        """
        select count(*) as invoices, count(*) filter (where state = 'open') as open_invoices
          from invoices where tenant_id = $1 and contact_id = $2
        """,
        tenant_id,
        contact_id,
    )
    assert row is not None  # noqa: S101 - an aggregate always has a row
    return Standing(**row)


async def currency_and_country(db: "Pool", tenant_id: UUID) -> tuple[str | None, str | None]:
    """What the tenant has said itself; both None when it has no messaging profile."""
    row = await db.fetchrow(
        "select currency, country from messaging_profiles where tenant_id = $1", tenant_id
    )
    return (None, None) if row is None else (row["currency"], row["country"])


async def record_notice(
    connection: "Connection",
    tenant_id: UUID,
    *,
    invoice: Invoice,
    position: int,
    sent_on: date,
    fee: Decimal,
    channel: Channel,
) -> None:
    """By this channel the stage is done. Harmless when repeated."""
    await connection.execute(
        """
        insert into dunning_notices
               (tenant_id, invoice_id, position, contact_id, sent_on, fee, channels)
        values ($1, $2, $3, $4, $5, $6, array[$7])
        on conflict (tenant_id, invoice_id, position) do update
           set channels = dunning_notices.channels || excluded.channels
         where not dunning_notices.channels @> excluded.channels
        """,
        tenant_id,
        invoice.invoice_id,
        position,
        invoice.contact_id,
        sent_on,
        fee,
        channel,
    )


def _invoice(row: "asyncpg.Record") -> Invoice:
    return Invoice(**{name: row[name] for name in Invoice.__dataclass_fields__})


async def _contact(db: "Pool", tenant_id: UUID, row: "asyncpg.Record") -> Contact:
    """With why their address gets nothing: that may have been said of another spelling of it."""
    own = {name: row[name] for name in Contact.__dataclass_fields__ if name != "mail_suppression"}
    asked: list[tuple[Channel, str]] = [("email", row["email"])] if row["email"] else []
    known = await suppressions_of(db, tenant_id, asked)
    return Contact(**own, mail_suppression=next(iter(known.values()), None))
