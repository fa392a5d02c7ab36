"""Whoever has unsubscribed under one spelling of an address gets no mail under another."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from jobs.dunning.find_overdue import find_overdue
from jobs.dunning.send_payment_reminder import send_payment_reminder
from jobs.email.send_weekly_summary import send_weekly_summary
from jobs.messaging.addressing import normal, spelled
from jobs.messaging.queries import unsubscribe_token
from jobs.nurture.send_step import send_step
from jobs.reminders.send_appointment_reminder import send_appointment_reminder
from tests.conftest import Tenant
from tests.jobs.dunning import rows as dunning
from tests.jobs.email.rows import add_proposal, add_user
from tests.jobs.nurture.world import BOOKING, add_contact
from tests.jobs.reminders.appointments import insert_appointment, insert_contact
from worker.suppressions import unsubscribe
from worker.testing import Clock, Rig

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

NOW = datetime(2026, 12, 3, 9, 0, tzinfo=UTC)  # noon in Istanbul
DAY = timedelta(days=1)

# (as which they unsubscribed, as which they would be written to)
PAIRS = [
    ("zeynep@münchen.example", "zeynep@xn--mnchen-3ya.example"),
    ("zeynep@xn--mnchen-3ya.example", "Zeynep@MÜNCHEN.example"),
    ("ZEYNEP@XN--MNCHEN-3YA.EXAMPLE", "zeynep@mu\u0308nchen.example"),
    (" Zeynep@Musteri.example\u00a0", "zeynep@musteri.example"),
    ("zeynep@musteri.example", "\tZEYNEP@MUSTERI.EXAMPLE "),
    ("ILKER.ISIK@ISPARTA.example", "ilker.isik@isparta.example"),
    ("ali@İstanbul.example", "ali@i\u0307stanbul.example"),
    ("ali@Iğdır.example", "ALI@xn--idr-hsa5g.example"),
]
every_pair = pytest.mark.parametrize(("gone", "written"), PAIRS)


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


async def leave(db: "Db", tenant: Tenant, address: str) -> None:
    """A user of this tenant clicks the link in a mail."""
    token = uuid4()
    await add_user(db, tenant.tenant_id, email=address, unsubscribe_token=token)
    await unsubscribe(db, token, NOW)


@every_pair
async def test_no_reminder_of_a_payment_follows(
    rig: Rig, db: "Db", tenant: Tenant, gone: str, written: str
) -> None:
    tenant_id = tenant.tenant_id
    await dunning.insert_profile(db, tenant_id)
    contact_id = await dunning.insert_contact(db, tenant_id, email=written, reminders_by_sms=False)
    invoice_id = await dunning.insert_invoice(db, tenant_id, contact_id)
    reminder = {"tenant_id": tenant_id, "contact_id": contact_id, "invoice_id": invoice_id}
    before = (await rig.run(find_overdue, {"due_at": NOW})).succeeded()

    await leave(db, tenant, gone)

    assert before["reminders"] == 1
    assert (await rig.run(find_overdue, {"due_at": NOW})).succeeded()["reminders"] == 0
    ended = await rig.run(send_payment_reminder, {**reminder, "step": 2})
    assert "no channel" in ended.cancelled()
    assert rig.mails == []


@every_pair
async def test_no_step_of_a_sequence_follows(
    rig: Rig, db: "Db", tenant: Tenant, gone: str, written: str
) -> None:
    contact_id = await add_contact(db, tenant.tenant_id, email=written)
    step = {
        "orgId": str(tenant.tenant_id),
        "contactId": str(contact_id),
        "sequenceStep": 1,
        "template": "nurture_welcome",
        "personalization": BOOKING,
    }

    await leave(db, tenant, gone)

    assert (await rig.run(send_step, step)).cancelled() == "unsubscribe"
    assert rig.mails == []


@every_pair
async def test_no_reminder_of_an_appointment_follows(
    rig: Rig, db: "Db", tenant: Tenant, gone: str, written: str
) -> None:
    contact_id = await insert_contact(db, tenant.tenant_id, email=written, reminders_by_sms=False)
    appointment_id = await insert_appointment(db, tenant.tenant_id, contact_id, NOW + DAY)
    reminder = {
        "tenant_id": tenant.tenant_id,
        "contact_id": contact_id,
        "appointment_id": appointment_id,
        "scheduled_for": NOW + DAY,
        "reminder_type": "24h",
        "channel": "email",
    }

    await leave(db, tenant, gone)

    ended = await rig.run(send_appointment_reminder, reminder)
    assert ended.succeeded()["status"] == "suppressed"
    assert rig.mails == []


@every_pair
async def test_no_weekly_summary_follows(
    rig: Rig, db: "Db", tenant: Tenant, gone: str, written: str
) -> None:
    user_id = await add_user(db, tenant.tenant_id, email=written)
    await add_proposal(db, tenant.tenant_id, created_at=NOW - 7 * DAY)
    summary = {"tenant_id": tenant.tenant_id, "user_id": user_id, "week": "2026-W48"}

    await leave(db, tenant, gone)

    ended = await rig.run(send_weekly_summary, summary)
    assert ended.succeeded().status == "suppressed"
    assert rig.mails == []


@every_pair
async def test_the_way_out_of_a_contact_holds_for_each_spelling(
    rig: Rig, db: "Db", tenant: Tenant, gone: str, written: str
) -> None:
    """What is not a user's is kept with a link of its own: one for all spellings."""
    tokens = []
    for address in (gone, written):
        contact_id = await add_contact(db, tenant.tenant_id, email=address)
        step = {
            "tenant_id": tenant.tenant_id,
            "contact_id": contact_id,
            "sequence_step": 1,
            "template": "nurture_welcome",
            "personalization": BOOKING,
        }
        (await rig.run(send_step, step)).succeeded()
        tokens.append(await db.fetchval("select token from unsubscribe_links"))
    await unsubscribe(db, tokens[0], NOW)

    assert tokens[0] == tokens[1]
    assert await db.fetchval("select address from suppressions") == normal("email", written)
    assert await unsubscribe_token(db, tenant.tenant_id, normal("email", gone), "tr") == tokens[0]


@pytest.mark.parametrize(
    "written_down", ["zeynep@münchen.example", "zeynep@xn--mnchen-3ya.example"]
)
async def test_what_others_have_written_down_holds_too(
    rig: Rig, db: "Db", tenant: Tenant, written_down: str
) -> None:
    """Suppressions may come from a tenant's own list, with the letters of the domain."""
    await db.execute(
        "insert into suppressions (tenant_id, channel, address, reason)"
        " values ($1, 'email', $2, 'unsubscribed')",
        tenant.tenant_id,
        written_down,
    )
    user_id = await add_user(db, tenant.tenant_id, email="Zeynep@XN--mnchen-3ya.example")
    await add_proposal(db, tenant.tenant_id, created_at=NOW - 7 * DAY)
    summary = {"tenant_id": tenant.tenant_id, "user_id": user_id, "week": "2026-W48"}

    ended = await rig.run(send_weekly_summary, summary)

    assert ended.succeeded().status == "suppressed"


async def test_another_tenants_list_says_nothing(rig: Rig, db: "Db", tenant: Tenant) -> None:
    other = UUID(int=7)
    await db.execute("insert into tenants (tenant_id, name) values ($1, 'Acme')", other)
    await leave(db, Tenant(other, "Acme", "en", "UTC"), "zeynep@münchen.example")
    user_id = await add_user(db, tenant.tenant_id, email="zeynep@münchen.example")
    await add_proposal(db, tenant.tenant_id, created_at=NOW - 7 * DAY)
    summary = {"tenant_id": tenant.tenant_id, "user_id": user_id, "week": "2026-W48"}

    assert (await rig.run(send_weekly_summary, summary)).succeeded().status == "sent"


@pytest.mark.parametrize(
    ("channel", "text", "forms"),
    [
        ("email", " Ada@Münch.example ",
         ("ada@xn--mnch-0ra.example", "ada@münch.example")),
        ("email", "Ada@ours.example", ("ada@ours.example",)),
        ("email", "ada@xn--a.example", ("ada@xn--a.example",)),  # no IDNA, and an address
        ("email", "İlker@ours.example", ("i\u0307lker@ours.example",)),  # no mail goes there
        ("sms", " +905321234567", ("+905321234567",)),
    ],
)  # fmt: skip
def test_the_normal_form_comes_first(channel: str, text: str, forms: tuple[str, ...]) -> None:
    assert spelled(channel, text) == forms  # type: ignore[arg-type]  # one of both
    assert normal(channel, text) == forms[0]  # type: ignore[arg-type]  # the same


@every_pair
def test_all_spellings_have_one_normal_form(gone: str, written: str) -> None:
    assert normal("email", gone) == normal("email", written)
    assert normal("email", gone).isascii()
    assert set(spelled("email", gone)) & set(spelled("email", written))
