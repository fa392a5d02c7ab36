import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from jobs.dunning.send_payment_reminder import PaymentReminder, send_payment_reminder
from jobs.kit import PayloadError
from tests.conftest import Tenant
from tests.jobs.dunning.rows import LINK, TODAY, insert, insert_contact, insert_invoice
from worker.ending import Reason
from worker.testing import Clock, Rig

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]

DAY = timedelta(days=1)
LEFT = """
    select (select count(*) from deliveries) + (select count(*) from dunning_notices)
         + (select count(*) from dunning_turns)
"""
BY_MAIL = {"channel": "email", "status": "sent"}


@pytest.fixture
async def reminder(db: "Pool", tenant: Tenant, contact_id: UUID) -> PaymentReminder:
    """The second, by mail alone: its invoice is ten days overdue."""
    invoice_id = await insert_invoice(db, tenant.tenant_id, contact_id)
    return of(tenant, contact_id, invoice_id)


def of(tenant: Tenant, contact_id: UUID, invoice_id: UUID, step: int = 2) -> PaymentReminder:
    return PaymentReminder(
        tenant_id=tenant.tenant_id, contact_id=contact_id, invoice_id=invoice_id, step=step
    )


async def test_an_overdue_invoice_is_asked_for(
    rig: Rig, db: "Pool", reminder: PaymentReminder
) -> None:
    sent = (await rig.run(send_payment_reminder, reminder)).succeeded()

    assert sent == {"results": [BY_MAIL]}
    (mail,) = [one.mail for one in rig.mails]
    assert mail.to == "zeynep@musteri.example"
    assert "2026-0042 numaralı faturanız 10 gündür gecikmede" in mail.subject
    assert "Ödenecek tutar: ₺1.250,50" in mail.text
    assert f'href="{LINK}"' in (mail.html or "")
    assert mail.unsubscribe_url is None
    assert rig.texts == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("update invoices set state = 'paid'", "the invoice is paid"),
        ("update invoices set state = 'disputed'", "the invoice is disputed"),
        ("update invoices set paid_amount = amount", "nothing of the invoice is open"),
        (
            """
            insert into dunning_holds (tenant_id, contact_id, state, since)
            select tenant_id, contact_id, 'stopped', now() from invoices
            """,
            "dunning is stopped for this contact",
        ),
    ],
)
async def test_what_is_settled_while_the_relay_is_reached_is_not_asked_for(
    rig: Rig, db: "Pool", reminder: PaymentReminder, change: str, reason: str
) -> None:
    rig.outbox.meanwhile = partial(db.execute, change)

    ended = await rig.run(send_payment_reminder, reminder)

    assert reason in str(ended)
    assert rig.mails == []
    assert await db.fetchval(LEFT) == 0


async def test_a_payment_between_mail_and_sms_stops_the_sms(
    rig: Rig, db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    due_on = TODAY - timedelta(days=31)
    invoice_id = await insert_invoice(db, tenant.tenant_id, contact_id, due_on=due_on)
    rig.text_outbox.meanwhile = partial(db.execute, "update invoices set state = 'paid'")

    ended = await rig.run(send_payment_reminder, of(tenant, contact_id, invoice_id, step=4))

    assert "the invoice is paid" in str(ended)
    assert (len(rig.mails), rig.texts) == (1, [])
    assert await db.fetchval("select channels from dunning_notices") == ["email"]
    assert await db.fetchval("select count(*) from dunning_turns") == 1


async def test_a_part_that_is_paid_while_the_relay_is_reached_is_not_asked_for(
    rig: Rig, db: "Pool", reminder: PaymentReminder
) -> None:
    rig.outbox.meanwhile = partial(db.execute, "update invoices set paid_amount = 250")
    ended = await rig.run(send_payment_reminder, reminder)
    assert "the invoice has changed meanwhile" in str(ended)
    rig.outbox.meanwhile = None
    rig.clock.move(seconds=1)

    (await rig.run(send_payment_reminder, reminder)).succeeded()

    (mail,) = [one.mail for one in rig.mails]
    assert "Ödenecek tutar: ₺1.000,50" in mail.text


async def test_the_notice_is_written_with_the_delivery(
    rig: Rig, db: "Pool", reminder: PaymentReminder
) -> None:
    (await rig.run(send_payment_reminder, reminder)).succeeded()

    notice = await db.fetchrow("select * from dunning_notices")
    delivery = await db.fetchrow("select * from deliveries")
    assert notice is not None
    assert delivery is not None
    assert (notice["invoice_id"], notice["position"]) == (reminder.invoice_id, 2)
    assert (notice["sent_on"], notice["channels"]) == (TODAY, ["email"])
    assert (delivery["key"], delivery["status"]) == (f"dunning:{reminder.invoice_id}:2", "sent")
    assert delivery["template"] == "payment-reminder"


async def test_a_stage_is_sent_once_whoever_asks(
    rig: Rig, db: "Pool", reminder: PaymentReminder
) -> None:
    (await rig.run(send_payment_reminder, reminder)).succeeded()
    again = await rig.run(send_payment_reminder, reminder)
    rig.clock.move(days=1)
    next_day = await rig.run(send_payment_reminder, reminder)
    await db.execute("update contacts set email = 'new@musteri.example'")
    moved = await rig.run(send_payment_reminder, reminder)

    assert "sent already" in again.cancelled()
    assert "sent already" in next_day.cancelled()
    assert "sent already" in moved.cancelled()
    assert len(rig.mails) == 1


async def test_two_runs_of_a_stage_at_once_are_one_mail(
    rig: Rig, db: "Pool", reminder: PaymentReminder
) -> None:
    ended = await asyncio.gather(*(rig.run(send_payment_reminder, reminder) for _ in range(4)))

    assert len(rig.mails) == 1
    assert any(one.returned == {"results": [BY_MAIL]} for one in ended)
    assert await db.fetchval("select count(*) from dunning_notices") == 1


async def test_two_invoices_of_a_contact_at_once_are_one_mail(
    rig: Rig, db: "Pool", tenant: Tenant, contact_id: UUID, reminder: PaymentReminder
) -> None:
    others = [await insert_invoice(db, tenant.tenant_id, contact_id) for _ in range(3)]
    asked = [reminder, *(of(tenant, contact_id, one) for one in others)]

    ended = await asyncio.gather(*(rig.run(send_payment_reminder, one) for one in asked))

    assert len(rig.mails) == 1
    assert sum(one.returned is not None for one in ended) == 1
    rig.clock.move(days=1)
    for one in asked:
        await rig.run(send_payment_reminder, one)
    assert len(rig.mails) == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("update invoices set state = 'paid'", "is paid"),
        ("update invoices set state = 'disputed'", "is disputed"),
        ("update invoices set state = 'void'", "is void"),
        ("update invoices set paid_amount = amount", "nothing of the invoice is open"),
        ("update invoices set due_on = due_on + 5", "not overdue for so long"),
        ("update invoices set due_on = due_on - 30", "a later stage is due"),
        ("delete from invoices", "no such invoice"),
        ("update contacts set email = null, phone = null", "no channel"),
        ("update contacts set email = 'x', reminders_by_sms = false", "no channel"),
        (
            (
                "insert into suppressions (tenant_id, channel, address, reason)"
                " select tenant_id, 'email', 'zeynep@musteri.example', 'unsubscribed' from contacts"
            ),
            "no channel",
        ),
        (
            (
                "insert into dunning_holds (tenant_id, contact_id, state, since)"
                " select tenant_id, contact_id, 'paused', now() from contacts"
            ),
            "dunning is paused",
        ),
        (
            (
                "insert into dunning_holds (tenant_id, contact_id, state, since)"
                " select tenant_id, contact_id, 'stopped', now() from contacts"
            ),
            "dunning is stopped",
        ),
    ],
    ids=str,
)
async def test_what_changed_since_it_was_found_counts(
    rig: Rig, db: "Pool", reminder: PaymentReminder, change: str, reason: str
) -> None:
    await db.execute(change)

    ended = await rig.run(send_payment_reminder, reminder)

    assert reason in ended.cancelled()
    assert (rig.mails, rig.texts) == ([], [])
    assert await db.fetchval("select count(*) from dunning_notices") == 0


async def test_another_contacts_or_tenants_invoice_is_none(
    rig: Rig, db: "Pool", tenant: Tenant, reminder: PaymentReminder
) -> None:
    other = await insert_contact(db, tenant.tenant_id)
    await insert(db, "tenants", tenant_id=(stranger := uuid4()), name="Acme")

    for change in ({"contact_id": other}, {"tenant_id": stranger}):
        ended = await rig.run(send_payment_reminder, reminder.model_copy(update=change))
        assert "no such invoice" in ended.cancelled()

    assert rig.mails == []


async def test_both_channels_leave_together_in_the_morning(
    rig: Rig, db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    due_on = TODAY - 22 * DAY
    invoice_id = await insert_invoice(db, tenant.tenant_id, contact_id, due_on=due_on)
    third = of(tenant, contact_id, invoice_id, step=3)
    rig.clock.move_to(datetime(2026, 12, 3, 20, 30, tzinfo=UTC))  # half past eleven at night

    wait = (await rig.run(send_payment_reminder, third)).snoozed()
    assert rig.mails == []
    rig.clock.move(wait)
    sent = (await rig.run(send_payment_reminder, third)).succeeded()

    assert wait == timedelta(hours=8, minutes=30)
    assert [one["channel"] for one in sent["results"]] == ["email", "sms"]
    assert [one["status"] for one in sent["results"]] == ["sent", "sent"]
    assert rig.texts[0].to == "+905321234567"
    assert LINK in rig.texts[0].body
    notice = await db.fetchrow("select * from dunning_notices")
    assert notice is not None
    assert (notice["channels"], notice["sent_on"]) == (["email", "sms"], TODAY + DAY)


async def test_a_channel_that_failed_is_tried_again_and_the_other_is_not(
    rig: Rig, db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    due_on = TODAY - 22 * DAY
    invoice_id = await insert_invoice(db, tenant.tenant_id, contact_id, due_on=due_on)
    await insert(
        db,
        "dunning_stages",
        tenant_id=tenant.tenant_id,
        position=1,
        days_overdue=20,
        tone="firm",
        channels=["email", "sms"],
        fee_percent=Decimal(2),
    )
    first = of(tenant, contact_id, invoice_id, step=1)
    rig.text_outbox.error = ConnectionError("away")

    (await rig.run(send_payment_reminder, first)).retrying()
    await db.execute("update contacts set email = 'new@musteri.example'")
    rig.text_outbox.error = None
    sent = (await rig.run(send_payment_reminder, first, attempt=2)).succeeded()

    assert sent == {"results": [{"channel": "sms", "status": "sent"}]}
    assert (len(rig.mails), len(rig.texts)) == (1, 1)
    assert "1.275,51 TL" in rig.texts[0].body  # with the fee, once
    assert await db.fetchval("select fee from dunning_notices") == Decimal("25.01")


async def test_fees_of_the_stages_add_up(
    rig: Rig, db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    for position, days in ((1, 3), (2, 10)):
        await insert(
            db,
            "dunning_stages",
            tenant_id=tenant.tenant_id,
            position=position,
            days_overdue=days,
            tone="firm",
            channels=["email"],
            fee_amount=Decimal(position * 10),
            fee_currency="TRY",
        )
    invoice_id = await insert_invoice(
        db, tenant.tenant_id, contact_id, due_on=TODAY - 3 * DAY, paid_amount=Decimal("250.50")
    )

    await rig.run(send_payment_reminder, of(tenant, contact_id, invoice_id, step=1))
    rig.clock.move(days=7)
    await rig.run(send_payment_reminder, of(tenant, contact_id, invoice_id, step=2))

    first, second = [one.mail.text for one in rig.mails]
    assert "Gecikme bedeli: ₺10,00" in first
    assert "Ödenecek tutar: ₺1.010,00" in first
    assert "Gecikme bedeli: ₺30,00" in second
    assert "Ödenecek tutar: ₺1.030,00" in second


@pytest.mark.parametrize(
    "link", ["http://pay.example/secret", "https://evil.example/secret", "javascript:secret"]
)
async def test_a_link_that_is_refused_is_a_dead_letter_that_does_not_repeat_it(
    rig: Rig, db: "Pool", reminder: PaymentReminder, link: str
) -> None:
    await db.execute("update invoices set payment_link = $1", link)

    ended = await rig.run(send_payment_reminder, reminder)

    assert ended.reason == Reason.REJECTED
    assert "invoices.payment_link" in ended.dead().message
    assert "secret" not in str(ended)
    assert rig.mails == []


async def test_an_invoice_without_a_link_is_asked_for_without_a_button(
    rig: Rig, db: "Pool", reminder: PaymentReminder
) -> None:
    await db.execute("update invoices set payment_link = null")

    (await rig.run(send_payment_reminder, reminder)).succeeded()

    assert "faturanızda belirtilen yolla" in rig.mails[0].mail.text
    assert "href" not in (rig.mails[0].mail.html or "")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ("update invoices set currency = 'XYZ'", "invoices.currency"),
        ("update tenants set timezone = 'Mars/Olympus'", "tenants.timezone"),
        ("update contacts set timezone = 'Mars/Olympus'", "timezone"),
    ],
    ids=["currency", "tenant", "contact"],
)
async def test_what_is_set_up_wrongly_is_named(
    rig: Rig, db: "Pool", reminder: PaymentReminder, change: str, names: str
) -> None:
    await db.execute(change)

    assert names in (await rig.run(send_payment_reminder, reminder)).dead().message
    assert rig.mails == []


async def test_the_day_is_the_tenants(rig: Rig, db: "Pool", reminder: PaymentReminder) -> None:
    """21:30 UTC on the ninth day is the tenth in Istanbul."""
    rig_at_night = Rig(db=db, clock=Clock(datetime(2026, 12, 2, 21, 30, tzinfo=UTC)))
    with rig_at_night:
        sent = (await rig_at_night.run(send_payment_reminder, reminder)).succeeded()

    assert sent == {"results": [BY_MAIL]}
    assert await db.fetchval("select sent_on from dunning_notices") == TODAY


@pytest.mark.parametrize(
    ("field", "value"),
    [("step", 0), ("step", 21), ("contact_id", "x"), ("invoice_id", None), ("amount", 1)],
)
def test_a_payload_that_does_not_fit_names_its_field(field: str, value: Any) -> None:
    ids = {name: str(uuid4()) for name in ("tenant_id", "contact_id", "invoice_id")}

    with pytest.raises(PayloadError, match=field):
        send_payment_reminder.validate({**ids, "step": 1, field: value})


def test_the_run_is_one_for_an_invoice_and_a_stage() -> None:
    ids = {name: str(uuid4()) for name in ("orgId", "contactId", "invoiceId")}
    payload = send_payment_reminder.validate({**ids, "step": 1})

    assert send_payment_reminder.key_of(payload) == (f"{ids['orgId']}:{ids['invoiceId']}:1")
    assert send_payment_reminder.queue == "dunning"


async def test_a_number_without_end_is_cut_where_it_is_shown(
    rig: Rig, db: "Pool", reminder: PaymentReminder
) -> None:
    await db.execute("update invoices set number = $1", "İ" * 3000)

    (await rig.run(send_payment_reminder, reminder)).succeeded()

    (sent,) = rig.mails
    assert "İ" * 79 + "… numaralı faturanız 10 gündür gecikmede" in sent.mail.subject
    assert len(sent.mail.subject) <= 200
    assert "İ" * 99 + "…" in sent.mail.text
    assert "İ" * 100 not in sent.mail.text
