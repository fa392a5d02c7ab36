from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from clients.errors import RecipientUnreachableError, RequestRejectedError
from jobs.dunning.core.money import Owed
from jobs.dunning.core.stages import DEFAULTS
from jobs.dunning.core.words import reminder_values
from jobs.dunning.sending import Reminder, send, tenant_zone
from jobs.kit import Cancel, JobContext, Snooze
from jobs.messaging.core.channels import Channel
from jobs.messaging.core.suppression import Suppression
from jobs.messaging.profile import profile_of
from jobs.messaging.writing import SmsTooLongError
from tests.conftest import MakeContext, Tenant
from tests.jobs.dunning.rows import (
    CONTACT,
    NOW,
    TODAY,
    insert,
    insert_contact,
    insert_invoice,
    insert_profile,
)

if TYPE_CHECKING:
    import asyncpg

    from worker.testing import Rig

    Pool = asyncpg.Pool[asyncpg.Record]

NOBODY = RecipientUnreachableError("nobody there")
BOTH: frozenset[Channel] = frozenset({"email", "sms"})


@pytest.fixture
def ctx(rig: "Rig", make_ctx: MakeContext, contact_id: UUID) -> JobContext:
    """Of a run whose messages the rig keeps."""
    tools = {"mail": rig.outbox, "sms": rig.text_outbox, "meter": rig.counted}
    return make_ctx("dunning.send_payment_reminder", now=NOW, tools=tools)


@pytest.fixture
def reminder(tenant: Tenant, contact_id: UUID, ctx: JobContext) -> Reminder:
    ctx.run.tenant_id = tenant.tenant_id
    owed = Owed(open_amount=Decimal("10.00"), fees=Decimal(0), currency="TRY")
    return Reminder(
        tenant_id=tenant.tenant_id,
        contact_id=contact_id,
        contact=CONTACT,
        stage=DEFAULTS[0],
        values=reminder_values(owed, tone="friendly", days_overdue=3, payment_link=None),
        key="dunning:test",
        day=TODAY,
    )


def changed(reminder: Reminder, *, channels: frozenset[Channel], **contact: Any) -> Reminder:
    return replace(
        reminder,
        stage=replace(reminder.stage, channels=channels),
        contact=replace(reminder.contact, **contact),
    )


async def sent(ctx: JobContext, reminder: Reminder) -> Mapping[Channel, str]:
    return await send(ctx, reminder, await profile_of(ctx.db, reminder.tenant_id))


async def turns(db: "Pool") -> int:
    count: int = await db.fetchval("select count(*) from dunning_turns")
    return count


async def test_without_consent_no_telephone_rings(
    rig: "Rig", ctx: JobContext, reminder: Reminder
) -> None:
    both = changed(reminder, channels=BOTH, agrees_to_sms=False)

    assert await sent(ctx, both) == {"email": "sent"}
    assert [skip["reason"] for skip in rig.counted.skips] == ["no_consent"]
    assert rig.texts == []


async def test_the_other_channel_is_taken_where_the_first_takes_nothing(
    rig: "Rig", ctx: JobContext, reminder: Reminder
) -> None:
    rig.outbox.error = NOBODY

    assert await sent(ctx, reminder) == {"email": "unreachable", "sms": "sent"}
    assert rig.counted.skips == [
        {"channel": "email", "template": "payment-reminder", "reason": "unreachable"}
    ]


async def test_a_bounced_address_is_not_tried_and_an_unsubscribed_one_not_gone_around(
    rig: "Rig", ctx: JobContext, reminder: Reminder
) -> None:
    bounced = changed(
        reminder, channels=frozenset({"email"}), mail_suppression=Suppression("bounced", NOW)
    )
    opted_out = changed(
        reminder, channels=frozenset({"email"}), mail_suppression=Suppression("unsubscribed", NOW)
    )

    with pytest.raises(Cancel, match="no channel"):
        await sent(ctx, opted_out)
    assert await sent(ctx, bounced) == {"sms": "sent"}
    assert [skip["reason"] for skip in rig.counted.skips] == ["opted_out"]


async def test_who_cannot_be_reached_at_all_is_a_dead_letter_and_keeps_no_day(
    rig: "Rig", db: "Pool", ctx: JobContext, reminder: Reminder
) -> None:
    rig.outbox.error = rig.text_outbox.error = NOBODY

    with pytest.raises(RecipientUnreachableError):
        await sent(ctx, reminder)

    assert await turns(db) == 0


async def test_one_channel_of_two_is_enough(
    rig: "Rig", db: "Pool", ctx: JobContext, reminder: Reminder
) -> None:
    rig.text_outbox.error = NOBODY

    result = await sent(ctx, changed(reminder, channels=BOTH))

    assert result == {"email": "sent", "sms": "unreachable"}
    assert await turns(db) == 1


async def test_an_opt_out_that_only_the_texter_knows_ends_it(
    rig: "Rig", db: "Pool", tenant: Tenant, ctx: JobContext, reminder: Reminder
) -> None:
    row = {"channel": "sms", "address": "+905321234567", "reason": "opted out"}
    await insert(db, "suppressions", tenant_id=tenant.tenant_id, **row)

    with pytest.raises(Cancel, match="opted out"):
        await sent(ctx, changed(reminder, channels=frozenset({"sms"}), email=None))

    assert (await turns(db), rig.texts) == (0, [])


async def test_a_day_is_for_one_message(rig: "Rig", ctx: JobContext, reminder: Reminder) -> None:
    await sent(ctx, reminder)

    assert await sent(ctx, reminder) == {"email": "already_sent"}
    with pytest.raises(Cancel, match="today already"):
        await sent(ctx, replace(reminder, key="dunning:another"))
    assert len(rig.mails) == 1


async def test_what_has_left_is_not_sent_again_by_another_channel(
    rig: "Rig", ctx: JobContext, reminder: Reminder
) -> None:
    rig.text_outbox.error = NOBODY
    done = replace(changed(reminder, channels=BOTH), done=frozenset({"email"}))

    assert await sent(ctx, done) == {"sms": "unreachable"}
    with pytest.raises(Cancel, match="sent already"):
        await sent(ctx, replace(done, done=BOTH))
    assert rig.mails == []


@pytest.mark.parametrize(("phone", "email"), [("12", None), (None, None), ("0212 123 45 67", None)])
async def test_what_is_no_mobile_number_is_no_way(
    rig: "Rig", ctx: JobContext, reminder: Reminder, phone: str | None, email: str | None
) -> None:
    with pytest.raises(Cancel, match="no channel"):
        await sent(ctx, changed(reminder, channels=BOTH, phone=phone, email=email))

    assert {skip["reason"] for skip in rig.counted.skips} == {"unreachable"}


async def test_a_telephone_is_quiet_where_its_owner_lives(
    rig: "Rig", make_ctx: MakeContext, reminder: Reminder
) -> None:
    tools = {"mail": rig.outbox, "sms": rig.text_outbox, "meter": rig.counted}
    night = datetime(2026, 12, 3, 22, 0, tzinfo=ZoneInfo("America/New_York")).astimezone(UTC)
    ctx = make_ctx("x", now=night, tools=tools, tenant_id=reminder.tenant_id)
    both = changed(reminder, channels=BOTH, timezone="America/New_York")

    with pytest.raises(Snooze) as snooze:
        await sent(ctx, both)
    by_mail = await sent(ctx, changed(both, channels=frozenset({"email"})))

    assert snooze.value.delay == timedelta(hours=10)
    assert by_mail == {"email": "sent"}


async def test_a_tenants_zone_is_one_of_the_database(
    db: "Pool", tenant: Tenant, contact_id: UUID
) -> None:
    profile = await profile_of(db, tenant.tenant_id)

    assert tenant_zone(profile) == ZoneInfo("Europe/Istanbul")
    with pytest.raises(RequestRejectedError, match=r"tenants\.timezone"):
        tenant_zone(replace(profile, timezone="Mars/Olympus"))


async def test_whoever_wants_no_sms_is_reminded_by_mail(
    rig: "Rig", db: "Pool", tenant: Tenant
) -> None:
    await insert_profile(db, tenant.tenant_id)
    contact_id = await insert_contact(db, tenant.tenant_id, preferred_channel="sms")
    await insert(
        db,
        "suppressions",
        tenant_id=tenant.tenant_id,
        channel="sms",
        address="+905321234567",
        reason="opted out",
    )
    due_on = NOW.date() - timedelta(days=31)
    invoice_id = await insert_invoice(
        db, tenant.tenant_id, contact_id, due_on=due_on, payment_link=None
    )
    payload = {
        "tenant_id": str(tenant.tenant_id),
        "contact_id": str(contact_id),
        "invoice_id": str(invoice_id),
        "step": 4,
    }

    sent = (await rig.run("dunning.send_payment_reminder", payload)).succeeded()

    assert sent["results"] == [
        {"channel": "sms", "status": "suppressed"},
        {"channel": "email", "status": "sent"},
    ]
    assert (len(rig.texts), len(rig.mails)) == (0, 1)


@pytest.fixture
def long_link(reminder: Reminder) -> Reminder:
    """By SMS, with a link that fills more than an SMS."""
    link = "https://pay.example/" + "x" * 700
    by_sms = changed(reminder, channels=frozenset({"sms"}))
    return replace(by_sms, values={**reminder.values, "payment_link": link})


async def test_a_link_that_is_too_long_for_an_sms_goes_by_mail(
    rig: "Rig", ctx: JobContext, long_link: Reminder
) -> None:
    assert await sent(ctx, long_link) == {"sms": "unreachable", "email": "sent"}
    assert str(long_link.values["payment_link"]) in rig.mails[0].mail.text
    assert rig.texts == []


async def test_without_mail_a_link_that_is_too_long_is_an_error_that_names_it(
    ctx: JobContext, db: "Pool", long_link: Reminder
) -> None:
    without = replace(long_link, contact=replace(long_link.contact, email=None))

    with pytest.raises(SmsTooLongError, match="payment_reminder: payment_link: leaves no room"):
        await sent(ctx, without)
    assert await turns(db) == 0
