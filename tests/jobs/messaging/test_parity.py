"""Each real job, beside the preview of its message: what goes with the words is the same."""

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest

from clients.mail import Mail
from clients.mime import written_message
from clients.sms_text import length
from jobs.kit import discover
from jobs.messaging.attachments import LARGEST
from jobs.messaging.catalogue import message, messages
from jobs.messaging.core.channels import Channel
from jobs.messaging.previewing import SOMEBODY, Preview, preview
from jobs.messaging.profile import profile_of
from tests.conftest import Tenant, User
from tests.jobs.dunning import rows as dunning
from tests.jobs.email.notices import insert_notice
from tests.jobs.email.rows import add_change, add_proposal, add_user
from tests.jobs.nurture.world import BOOKING, add_contact
from tests.jobs.operations.troubles import trouble
from tests.jobs.reminders import appointments
from worker.testing import Clock, Rig

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

discover()
NOW = datetime(2026, 12, 3, 9, tzinfo=UTC)
DAY = timedelta(days=1)
REPLY_TO = "yardim@anadolu.example"
Asking = Callable[["Db", Rig, User, Channel], Awaitable[tuple[str, dict[str, Any]]]]


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


async def opportunity_reminder(
    db: "Db", rig: Rig, user: User, _: Channel
) -> tuple[str, dict[str, Any]]:
    await insert_notice(db, user.tenant_id, "n1", response_due_at=NOW + DAY)
    key = f"reports/{user.tenant_id}/analytics.csv"
    await rig.storage.put(key, b"1")
    given = {"user_id": str(user.user_id), "notice_ids": ["n1"], "report_key": key}
    return "email.send_opportunity_reminder", given


async def proposal_notification(
    db: "Db", _: Rig, user: User, __: Channel
) -> tuple[str, dict[str, Any]]:
    other = await add_user(db, user.tenant_id)
    proposal_id = await add_proposal(db, user.tenant_id, team=(user.user_id,))
    change_id = await add_change(
        db, user.tenant_id, proposal_id, "in_review", changed_by=other, changed_at=NOW
    )
    given = {"user_id": str(user.user_id), "change_id": str(change_id)}
    return "email.send_proposal_notification", given


async def weekly_summary(db: "Db", _: Rig, user: User, __: Channel) -> tuple[str, dict[str, Any]]:
    await insert_notice(db, user.tenant_id, "n1", response_due_at=NOW + DAY)
    proposal_id = await add_proposal(
        db, user.tenant_id, team=(user.user_id,), due_on=date(2026, 12, 4), created_at=NOW - 9 * DAY
    )
    await add_change(db, user.tenant_id, proposal_id, "in_review", changed_at=NOW - 8 * DAY)
    return "email.send_weekly_summary", {"user_id": str(user.user_id), "week": "2026-W48"}


async def welcome(_: "Db", __: Rig, user: User, ___: Channel) -> tuple[str, dict[str, Any]]:
    return "email.send_welcome", {"user_id": str(user.user_id)}


async def report(_: "Db", rig: Rig, user: User, __: Channel) -> tuple[str, dict[str, Any]]:
    key = f"reports/{user.tenant_id}/analytics/a.pdf"
    await rig.storage.put(key, bytes(LARGEST + 1))
    given = {"email": user.email, "report_key": key, "title": "Özet", "language": "tr"}
    return "messaging.send_report", {
        **given,
        "period_from": "2026-11-16",
        "period_to": "2026-11-22",
    }


async def payment_reminder(
    db: "Db", _: Rig, user: User, channel: Channel
) -> tuple[str, dict[str, Any]]:
    await db.execute("update messaging_profiles set payment_hosts = '{pay.example}'")
    await db.execute("update messaging_profiles set country = 'TR'")
    contact_id = await dunning.insert_contact(
        db, user.tenant_id, **({"email": None} if channel == "sms" else {"phone": None})
    )
    invoice_id = await dunning.insert_invoice(db, user.tenant_id, contact_id)
    given = {"contact_id": str(contact_id), "invoice_id": str(invoice_id), "step": 2}
    return "dunning.send_payment_reminder", given


async def appointment_reminder(
    db: "Db", _: Rig, user: User, channel: Channel
) -> tuple[str, dict[str, Any]]:
    contact_id = await appointments.insert_contact(db, user.tenant_id)
    appointment_id = await appointments.insert_appointment(
        db, user.tenant_id, contact_id, NOW + DAY, timezone="Europe/Istanbul"
    )
    return "reminders.send_appointment_reminder", {
        "contact_id": str(contact_id),
        "appointment_id": str(appointment_id),
        "scheduled_for": (NOW + DAY).isoformat(),
        "reminder_type": "24h",
        "channel": channel,
    }


def nurture(name: str) -> Asking:
    async def asking(db: "Db", _: Rig, user: User, channel: Channel) -> tuple[str, dict[str, Any]]:
        contact_id = await add_contact(
            db,
            user.tenant_id,
            phone="+905321234567",
            by_email=channel == "email",
            by_sms=channel == "sms",
        )
        given = {"contact_id": str(contact_id), "sequence_step": 1, "template": name}
        return "nurture.send_step", {**given, "personalization": BOOKING}

    return asking


JOBS: dict[str, Asking] = {
    "appointment_reminder": appointment_reminder,
    "nurture_check_in": nurture("nurture_check_in"),
    "nurture_first_visit": nurture("nurture_first_visit"),
    "nurture_welcome": nurture("nurture_welcome"),
    "opportunity_reminder": opportunity_reminder,
    "payment_reminder": payment_reminder,
    "proposal_notification": proposal_notification,
    "report": report,
    "weekly_summary": weekly_summary,
    "welcome": welcome,
}
EVERY = [(name, channel) for name in JOBS for channel in sorted(message(name).channels)]


def looks(mail: Mail) -> dict[str, Any]:
    """All but its words: who it is from, what it is made of, and which headers it has."""
    written = written_message(
        mail, mail.sender or SOMEBODY, message_id="<1@ours.example>", date=NOW
    )
    parsed = message_from_bytes(written, policy=policy.default)
    return {
        "headers": sorted(set(parsed.keys())),
        "parts": [part.get_content_type() for part in parsed.walk() if not part.is_attachment()],
        "files": [file.content_type for file in mail.files],
        "template": (mail.template, mail.template_version),
        "from": (mail.sender, mail.reply_to, mail.language),
        "has a way out": ("Abonelikten" in mail.text, "Abonelikten" in mail.html),
        "has an address": ("Cadde 1" in mail.text, "Cadde 1" in mail.html),
        "greets": (bool(mail.to_name), "Merhaba," in mail.text),
        "asks for replies": ("iletiyi yanıt" in mail.text, "iletiyi yanıt" in mail.html),
    }


async def shown(rig: Rig, db: "Db", tenant: Tenant, name: str, channel: Channel) -> Preview:
    return await preview(
        message(name),
        language="tr",
        channel=channel,
        profile=await profile_of(db, tenant.tenant_id),
        override=None,
        sender=rig.outbox.sender,
        offload=rig.resources.offload,
        links=rig.resources.links,
        written_at=NOW,
    )


def test_every_message_has_its_job_here() -> None:
    assert JOBS.keys() | {"admin_notice"} == {one.name for one in messages()}


@pytest.mark.parametrize("reply_to", [None, REPLY_TO])
@pytest.mark.parametrize(("name", "channel"), EVERY)
async def test_what_a_job_sends_is_made_as_its_preview_is(
    db: "Db",
    rig: Rig,
    tenant: Tenant,
    user: User,
    name: str,
    channel: Channel,
    reply_to: str | None,
) -> None:
    await db.execute(
        """
        insert into messaging_profiles (tenant_id, reply_to, postal_address, sms_from)
        values ($1, $2, 'Cadde 1', 'ANADOLU')
        """,
        tenant.tenant_id,
        reply_to,
    )
    job, given = await JOBS[name](db, rig, user, channel)

    (await rig.run(job, {"tenant_id": str(tenant.tenant_id), **given})).succeeded()
    seen = await shown(rig, db, tenant, name, channel)

    if channel == "sms":
        (sms,) = rig.texts
        assert seen.sms is not None
        assert (sms.template, sms.template_version, sms.sender) == (
            seen.sms.template,
            seen.sms.template_version,
            seen.sms.sender,
        )
        assert length(sms.body).segments <= message(name).most_segments
        return
    (sent,) = rig.mails
    assert seen.mail is not None
    assert looks(sent.mail) == looks(seen.mail)


async def test_a_notice_is_made_as_its_preview_is(db: "Db", rig: Rig, tenant: Tenant) -> None:
    given = {
        "to": "ops@example.com",
        "language": "tr",
        "timezone": "Europe/Istanbul",
        "service": "worker-service",
        "environment": "production",
        "troubles": [trouble().model_dump(mode="json")],
    }

    (await rig.run("operations.send_notice_mail", given)).succeeded()
    seen = await shown(rig, db, tenant, "admin_notice", "email")

    (sent,) = rig.mails
    assert seen.mail is not None
    assert looks(sent.mail) == looks(seen.mail)
