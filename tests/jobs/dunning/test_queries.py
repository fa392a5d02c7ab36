from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from jobs.dunning import queries
from jobs.dunning.core.cases import Overdue
from jobs.dunning.core.stages import Stage
from jobs.dunning.turns.queries import take_turn
from tests.conftest import Tenant
from tests.jobs.dunning.rows import (
    INVOICE,
    NOW,
    TODAY,
    insert,
    insert_contact,
    insert_invoice,
    insert_profile,
)

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]

DAY = timedelta(days=1)


async def found(
    db: "Pool", tenant: Tenant, *, contact_ids: Sequence[UUID] | None = None, page: int = 100
) -> list[Overdue]:
    pages = queries.overdue(
        db,
        tenant.tenant_id,
        today=TODAY,
        due_until=TODAY - 3 * DAY,
        contact_ids=contact_ids,
        page=page,
    )
    return [overdue async for one in pages for overdue in one]


async def notice(
    db: "Pool", tenant: Tenant, contact_id: UUID, invoice_id: UUID, position: int, **fields: Any
) -> None:
    row = {"sent_on": TODAY - DAY, "channels": ["email"], "fee": Decimal(0), **fields}
    ids = {"contact_id": contact_id, "invoice_id": invoice_id, "position": position}
    await insert(db, "dunning_notices", tenant_id=tenant.tenant_id, **ids, **row)


async def test_open_invoices_are_found_with_the_last_stage_that_was_sent(
    db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    invoice_id = await insert_invoice(db, tenant.tenant_id, contact_id)
    await notice(db, tenant, contact_id, invoice_id, 1, sent_on=TODAY - 5 * DAY)
    await notice(db, tenant, contact_id, invoice_id, 2)

    (overdue,) = await found(db, tenant)

    assert (overdue.invoice.invoice_id, overdue.sent) == (invoice_id, 2)
    assert overdue.invoice.amount == INVOICE.amount


@pytest.mark.parametrize(
    "fields",
    [{"state": "paid"}, {"state": "disputed"}, {"state": "void"}, {"due_on": TODAY - 2 * DAY}],
    ids=["paid", "disputed", "void", "young"],
)
async def test_what_is_settled_or_not_overdue_for_long_is_not_found(
    db: "Pool", tenant: Tenant, contact_id: UUID, fields: dict[str, Any]
) -> None:
    await insert_invoice(db, tenant.tenant_id, contact_id, **fields)

    assert await found(db, tenant) == []


@pytest.mark.parametrize(
    ("hold", "count"),
    [
        ({"state": "stopped"}, 0),
        ({"state": "paused"}, 0),
        ({"state": "paused", "until": TODAY + DAY}, 0),
        ({"state": "paused", "until": TODAY}, 1),
    ],
    ids=["stopped", "paused", "for_a_while", "over"],
)
async def test_who_is_on_hold_is_not_found(
    db: "Pool", tenant: Tenant, contact_id: UUID, hold: dict[str, Any], count: int
) -> None:
    await insert_invoice(db, tenant.tenant_id, contact_id)
    ids = {"tenant_id": tenant.tenant_id, "contact_id": contact_id}
    await insert(db, "dunning_holds", **ids, since=NOW, **hold)

    assert len(await found(db, tenant)) == count


@pytest.mark.parametrize(("day", "count"), [(TODAY, 0), (TODAY - DAY, 1)])
async def test_who_was_asked_today_is_not_found(
    db: "Pool", tenant: Tenant, contact_id: UUID, day: date, count: int
) -> None:
    await insert_invoice(db, tenant.tenant_id, contact_id)
    assert await take_turn(db, tenant.tenant_id, contact_id, day=day, key="k")

    assert len(await found(db, tenant)) == count


async def test_who_cannot_be_reached_is_not_found(db: "Pool", tenant: Tenant) -> None:
    await insert_profile(db, tenant.tenant_id)
    nobody = {"email": None, "phone": None}
    mute = {"email": None, "reminders_by_sms": False}
    gone = {"email": "Gone@Musteri.example", "reminders_by_sms": False}
    by_sms = {"email": "other@musteri.example"}
    for fields in (nobody, mute, gone, by_sms):
        await insert_invoice(
            db, tenant.tenant_id, await insert_contact(db, tenant.tenant_id, **fields)
        )
    for address in ("gone@musteri.example", "other@musteri.example"):
        row = {"channel": "email", "address": address, "reason": "unsubscribed"}
        await insert(db, "suppressions", tenant_id=tenant.tenant_id, **row)

    assert len(await found(db, tenant)) == 1


async def test_pages_neither_lose_nor_repeat_and_keep_contacts_together(
    db: "Pool", tenant: Tenant
) -> None:
    await insert_profile(db, tenant.tenant_id)
    for number in range(7):
        contact_id = await insert_contact(db, tenant.tenant_id)
        for days in range(number):  # many on one day, too
            due_on = TODAY - (5 + days // 2) * DAY
            await insert_invoice(db, tenant.tenant_id, contact_id, due_on=due_on)

    everything = await found(db, tenant)

    assert len({one.invoice.invoice_id for one in everything}) == len(everything) == 21
    order = [(one.invoice.contact_id, one.invoice.due_on) for one in everything]
    assert order == sorted(order)
    for page in (1, 2, 20, 21, 22):
        assert await found(db, tenant, page=page) == everything


async def test_the_search_may_be_for_some_contacts_and_is_for_one_tenant(
    db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    other = await insert_contact(db, tenant.tenant_id)
    for one in (contact_id, other):
        await insert_invoice(db, tenant.tenant_id, one)
    stranger = Tenant(uuid4(), "Acme", "en", "UTC")
    await insert(db, "tenants", tenant_id=stranger.tenant_id, name="Acme")

    (overdue,) = await found(db, tenant, contact_ids=[other, uuid4()])

    assert overdue.invoice.contact_id == other
    assert await found(db, stranger) == []
    assert await found(db, stranger, contact_ids=[other]) == []


async def test_tenants_without_anything_overdue_are_passed_by(
    db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    await db.executemany(
        "insert into tenants (tenant_id, name) values ($1, 'Acme')",
        [(uuid4(),) for _ in range(205)],
    )
    await insert_invoice(db, tenant.tenant_id, contact_id)

    async def tenants(before: date) -> list[UUID]:
        return [one async for one in queries.tenants_with_overdue(db, before)]

    assert await tenants(TODAY) == [tenant.tenant_id]
    assert await tenants(INVOICE.due_on) == []


async def test_a_case_is_an_invoice_its_contact_and_the_last_notice(
    db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    invoice_id = await insert_invoice(db, tenant.tenant_id, contact_id)
    await notice(
        db, tenant, contact_id, invoice_id, 1, sent_on=TODAY - 9 * DAY, fee=Decimal("5.00")
    )
    await notice(db, tenant, contact_id, invoice_id, 2, fee=Decimal("7.00"))
    suppressed = {"channel": "email", "address": "zeynep@musteri.example", "reason": "bounced"}
    await insert(db, "suppressions", tenant_id=tenant.tenant_id, **suppressed)
    ids = {"invoice_id": invoice_id, "contact_id": contact_id}

    case = await queries.find_case(db, tenant.tenant_id, **ids, step=2, today=TODAY)

    assert case is not None
    assert case.last is not None
    assert (case.last.position, *case.last.channels) == (2, "email")
    assert (case.fees, case.last.fee) == (Decimal("5.0000"), Decimal("7.0000"))
    assert case.contact.mail_suppression is not None
    assert case.contact.mail_suppression.reason == "bounced"
    assert not case.contact.has_unsubscribed
    assert (case.contact.hold, case.contact.agrees_to_sms) == (None, True)
    strangers = {**ids, "contact_id": uuid4()}
    assert await queries.find_case(db, tenant.tenant_id, **strangers, step=2, today=TODAY) is None
    assert await queries.find_case(db, uuid4(), **ids, step=2, today=TODAY) is None


async def test_stages_are_the_tenants_own(db: "Pool", tenant: Tenant) -> None:
    assert await queries.stages(db, tenant.tenant_id) == []
    row = {"days_overdue": 5, "tone": "final", "channels": ["sms"], "fee_percent": Decimal("1.5")}
    await insert(db, "dunning_stages", tenant_id=tenant.tenant_id, position=1, **row)

    assert await queries.stages(db, tenant.tenant_id) == [
        Stage(
            position=1,
            days_overdue=5,
            tone="final",
            channels=frozenset({"sms"}),
            fee_percent=Decimal("1.500"),
        )
    ]


async def test_a_notice_is_recorded_once_for_each_channel(
    db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    invoice_id = await insert_invoice(db, tenant.tenant_id, contact_id)
    ids = {"invoice_id": invoice_id, "contact_id": contact_id}
    case = await queries.find_case(db, tenant.tenant_id, **ids, step=2, today=TODAY)
    assert case is not None
    async with db.acquire() as connection:
        for channel, fee in (("email", 5), ("email", 9), ("sms", 9)):
            await queries.record_notice(
                connection,
                tenant.tenant_id,
                invoice=case.invoice,
                position=2,
                sent_on=TODAY,
                fee=Decimal(fee),
                channel=channel,  # type: ignore[arg-type]  # mypy sees a str in the tuple
            )

    (row,) = await db.fetch("select * from dunning_notices")

    assert (row["channels"], row["fee"], row["sent_on"]) == (["email", "sms"], Decimal(5), TODAY)


async def test_the_table_itself_takes_no_second_notice_a_day(
    db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    first, second = [await insert_invoice(db, tenant.tenant_id, contact_id) for _ in range(2)]
    await notice(db, tenant, contact_id, first, 1)

    with pytest.raises(asyncpg.UniqueViolationError):
        await notice(db, tenant, contact_id, second, 1)


@pytest.mark.parametrize("amount", ["0", "-1", "NaN"])
async def test_the_table_itself_takes_no_amount_that_is_none(
    db: "Pool", tenant: Tenant, contact_id: UUID, amount: str
) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await insert_invoice(db, tenant.tenant_id, contact_id, amount=Decimal(amount))


async def test_currency_and_standing_are_what_is_known(
    db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    await insert_invoice(db, tenant.tenant_id, contact_id)
    await insert_invoice(db, tenant.tenant_id, contact_id, state="paid")

    standing = await queries.standing_of(db, tenant.tenant_id, contact_id)

    assert standing == queries.Standing(invoices=2, open_invoices=1)
    assert await queries.currency_and_country(db, tenant.tenant_id) == (None, "TR")
    assert await queries.currency_and_country(db, uuid4()) == (None, None)
    assert await queries.find_contact(db, tenant.tenant_id, uuid4(), today=TODAY) is None
