"""Messages as jobs write them: run by a rig, with a database and processes of their own."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from icalendar import Calendar
from pydantic import Field

from clients.mail import Attachment, Mail
from clients.sms import Sms
from clients.sms_text import length
from jobs.dunning.samples import payment_reminder
from jobs.kit import JobContext, TenantPayload, job
from jobs.messaging import queries
from jobs.messaging.core.invitation import Invitation
from jobs.messaging.core.override import Override
from jobs.messaging.queries import Key
from jobs.messaging.writing import write_mail, write_sms
from tests.conftest import Tenant
from tests.jobs.messaging.mails import recipient
from worker.testing import Clock, Rig

if TYPE_CHECKING:
    import asyncpg

NOW = datetime(2026, 12, 3, 9, tzinfo=UTC)
VALUES: dict[str, Any] = {"sign_in_url": "https://app.example.com/"}


class Wanted(TenantPayload):
    template: str = "welcome"
    channel: str = "email"
    recipient: dict[str, Any] = Field(default_factory=dict)
    values: dict[str, Any] = VALUES
    options: dict[str, Any] = Field(default_factory=dict)
    is_appointment: bool = False
    is_attached: bool = False


INVITATION = Invitation(
    uid="appointment-1@ours.example",
    sequence=0,
    method="REQUEST",
    summary="Randevu",
    starts_at=NOW + timedelta(days=1),
    ends_at=NOW + timedelta(days=1, hours=1),
    timezone="Europe/Istanbul",
)


@job("messaging_tests.write", queue="email")
async def write(ctx: JobContext, payload: Wanted) -> str:
    to = recipient(payload.tenant_id, **payload.recipient)
    if payload.channel == "sms":
        sms = await write_sms(ctx, payload.template, to, payload.values, **payload.options)
        return (await ctx.texter.send(sms, key="k")).status
    mail = await write_mail(
        ctx,
        payload.template,
        to,
        payload.values,
        attachments=(Attachment("a.txt", "text/plain", b"a"),) if payload.is_attached else (),
        invitation=INVITATION if payload.is_appointment else None,
        **payload.options,
    )
    return (await ctx.mailer.send(mail, key="k")).status


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


async def store(
    db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID, key: Key, **parts: str
) -> None:
    async with db.acquire() as connection, connection.transaction():
        override = Override(version=0, **parts)
        await queries.store_override(connection, tenant_id, key, override, by="ayse", at=NOW)


async def mailed(rig: Rig, tenant: Tenant, **wanted: Any) -> Mail:
    ended = await rig.run(write, Wanted(tenant_id=tenant.tenant_id, **wanted))
    assert ended.succeeded() == "sent"
    return rig.mails[-1].mail


async def texted(rig: Rig, tenant: Tenant, **wanted: Any) -> Sms:
    wanted = {"channel": "sms", "template": "nurture_hello", **wanted}
    ended = await rig.run(write, Wanted(tenant_id=tenant.tenant_id, **wanted))
    assert ended.succeeded() == "sent"
    return rig.texts[-1]


async def refused(rig: Rig, tenant: Tenant, **wanted: Any) -> str:
    ended = await rig.run(write, Wanted(tenant_id=tenant.tenant_id, **wanted))
    dead = ended.dead()
    assert dead.error_type == "RequestRejectedError"
    assert "Ayşe" not in dead.message
    assert "example.com" not in dead.message
    return dead.message


async def test_a_mail_is_in_the_tenants_name_and_the_recipients_language(
    rig: Rig, tenant: Tenant
) -> None:
    mail = await mailed(rig, tenant, is_attached=True)

    assert mail.subject == f"{tenant.name}: hoş geldiniz"
    assert (mail.to, mail.to_name, mail.language) == ("Ayse@Example.com", "Ayşe Işık", "tr")
    assert (mail.template, mail.template_version[:9]) == ("welcome", "built-in-")
    assert mail.sender is not None
    assert (mail.sender.name, mail.sender.address) == (
        tenant.name,
        rig.outbox.sender.address,
    )
    assert [file.filename for file in mail.attachments] == ["a.txt"]
    assert mail.event is None


async def test_the_delivery_knows_which_words_were_used(
    db: "asyncpg.Pool[asyncpg.Record]", rig: Rig, tenant: Tenant
) -> None:
    mail = await mailed(rig, tenant)

    found = await db.fetchval("select template_version from deliveries")
    assert found == mail.template_version


async def test_a_tenants_profile_says_who_writes(
    db: "asyncpg.Pool[asyncpg.Record]", rig: Rig, tenant: Tenant
) -> None:
    await db.execute(
        """
        insert into messaging_profiles (tenant_id, email_from, reply_to, accent, postal_address)
        values ($1, 'Şube <sube@tenant.example>', 'help@tenant.example', '#0f766e', 'Cadde 1')
        """,
        tenant.tenant_id,
    )

    await mailed(rig, tenant)

    message = rig.mails[-1].message
    assert message["From"].addresses[0].addr_spec == "sube@tenant.example"
    assert message["Reply-To"] == "help@tenant.example"
    assert "#0f766e" in rig.mails[-1].mail.html
    assert "Cadde 1" in rig.mails[-1].mail.text


async def test_anybody_gets_a_way_out_that_is_theirs(
    db: "asyncpg.Pool[asyncpg.Record]", rig: Rig, tenant: Tenant
) -> None:
    mail = await mailed(rig, tenant)

    row = await db.fetchrow("select * from unsubscribe_links")
    assert row is not None
    assert (row["tenant_id"], row["address"], row["locale"]) == (
        tenant.tenant_id,
        "ayse@example.com",
        "tr",
    )
    link = f"{rig.resources.links}/unsubscribe/{row['token']}"
    assert mail.unsubscribe_url == link
    assert link in mail.text
    assert link in mail.html


async def test_a_user_has_a_way_out_already(
    db: "asyncpg.Pool[asyncpg.Record]", rig: Rig, tenant: Tenant
) -> None:
    mail = await mailed(rig, tenant, recipient={"unsubscribe_token": str(UUID(int=7))})

    assert mail.unsubscribe_url == f"{rig.resources.links}/unsubscribe/{UUID(int=7)}"
    assert await db.fetchval("select count(*) from unsubscribe_links") == 0


async def test_what_has_to_arrive_shows_no_way_out(
    db: "asyncpg.Pool[asyncpg.Record]", rig: Rig, tenant: Tenant
) -> None:
    values = {**payment_reminder("tr"), "amount": "1", "fees": None, "total": "1"}
    key = Key("payment_reminder", "tr", "email")
    await store(db, tenant.tenant_id, key, text="{{ amount }} {{ unsubscribe_url }}")

    mail = await mailed(rig, tenant, template="payment_reminder", values={**values, "due_on": None})

    assert mail.template_version == "tenant-1"
    assert mail.unsubscribe_url is None
    assert "Abonelikten" not in mail.text + mail.html
    assert await db.fetchval("select count(*) from unsubscribe_links") == 0


async def test_an_appointment_comes_as_an_event(rig: Rig, tenant: Tenant) -> None:
    mail = await mailed(rig, tenant, is_appointment=True)

    assert mail.event is not None
    calendar: Any = Calendar.from_ical(mail.event.content)
    (event,) = calendar.walk("VEVENT")
    assert event["ORGANIZER"].lower() == f"mailto:{rig.outbox.sender.address}"
    assert event["ATTENDEE"].lower() == "mailto:ayse@example.com"
    assert event["DTSTAMP"].dt == NOW
    kinds = [part.get_content_type() for part in rig.mails[-1].message.walk()]
    assert kinds == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "text/calendar",
        "application/ics",
    ]


async def test_a_tenants_own_words_take_the_place_of_the_products(
    db: "asyncpg.Pool[asyncpg.Record]", rig: Rig, tenant: Tenant
) -> None:
    key = Key("welcome", "tr", "email")
    await store(db, tenant.tenant_id, key, subject="Selam {{ name }}", html="<p>{{ tenant }}</p>")

    mail = await mailed(rig, tenant)

    assert (mail.subject, mail.template_version) == ("Selam Ayşe Işık", "tenant-1")
    assert mail.unsubscribe_url
    assert mail.unsubscribe_url in mail.html


async def test_words_that_do_not_work_give_way_to_the_products(
    db: "asyncpg.Pool[asyncpg.Record]", rig: Rig, tenant: Tenant
) -> None:
    key = Key("welcome", "tr", "email")
    await store(db, tenant.tenant_id, key, text="{{ amount }} {{ name }}")

    mail = await mailed(rig, tenant)

    assert mail.template_version.startswith("built-in-")
    assert rig.counted.template_failures == [{"channel": "email", "template": "welcome"}]
    (line,) = [one for one in rig.logs if one["log_level"] == "warning"]
    assert (line["version"], line["reason"]) == (1, "text: there is no amount")
    assert "Ayşe" not in str(line)


async def test_words_that_take_too_long_give_way_too(
    db: "asyncpg.Pool[asyncpg.Record]", rig: Rig, tenant: Tenant
) -> None:
    key = Key("welcome", "tr", "email")
    endless = "{% macro m(n) %}{% if n %}{{ m(n-1) ~ m(n-1) }}{% endif %}{% endmacro %}{{ m(60) }}"
    await store(db, tenant.tenant_id, key, text=endless)

    mail = await mailed(rig, tenant)

    assert mail.template_version.startswith("built-in-")
    assert len(rig.counted.template_failures) == 1


async def test_a_strict_message_is_refused_with_what_is_missing(
    db: "asyncpg.Pool[asyncpg.Record]", rig: Rig, tenant: Tenant
) -> None:
    await store(db, tenant.tenant_id, Key("welcome", "tr", "email"), text="{{ amount }} {{ name }}")

    assert await refused(rig, tenant, options={"strict": True}) == (
        "message welcome: the tenant's own template, version 1 (tr, email), does not work: "
        "text: there is no amount"
    )


async def test_where_the_product_has_no_words_the_tenants_have_to_work(
    db: "asyncpg.Pool[asyncpg.Record]", rig: Rig, tenant: Tenant
) -> None:
    key = Key("nurture_spring", "tr", "email")
    await store(db, tenant.tenant_id, key, subject="{{ pet }}", text="{{ pet.name }}")

    message = await refused(rig, tenant, template="nurture_spring", values={"pet": {}})

    assert message.endswith("text: there is no name")


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"recipient": {"email": None}}, "message welcome: the recipient has no e-mail address"),
        ({"recipient": {"email": "x@"}}, "message welcome: the recipient has no e-mail address"),
        ({"recipient": {"locale": "de"}}, "message welcome: the recipient's locale is not one of"),
        ({"recipient": {"timezone": "X"}}, "the recipient's timezone: not a name"),
        ({"values": {}}, "message welcome: welcome.tr.txt.j2: there is no sign_in_url"),
        ({"template": "nothing"}, "there is no message 'nothing'"),
        (
            {"values": {"sign_in_url": "javascript:alert(1)"}},
            "message welcome: sign_in_url: is an absolute http or https link",
        ),
        ({"channel": "sms", "recipient": {"phone": None}}, "has no valid phone number"),
        ({"channel": "sms", "recipient": {"phone": "12"}}, "has no valid phone number"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)
async def test_what_cannot_be_written_is_refused_for_good(
    rig: Rig, tenant: Tenant, wanted: dict[str, Any], sentence: str
) -> None:
    assert sentence in await refused(rig, tenant, **wanted)
    assert rig.mails == []


async def test_an_sms_goes_to_the_number_in_the_tenants_country(
    db: "asyncpg.Pool[asyncpg.Record]", rig: Rig, tenant: Tenant
) -> None:
    await store(db, tenant.tenant_id, Key("nurture_hello", "tr", "sms"), text="Selam {{ name }}")
    await db.execute(
        """
        insert into messaging_profiles (tenant_id, country, sms_from, transliterates_sms)
        values ($1, 'TR', 'IGDIR', true)
        """,
        tenant.tenant_id,
    )

    sms = await texted(rig, tenant)

    assert (sms.to, sms.sender) == ("+905321234567", "IGDIR")
    assert (sms.template, sms.template_version) == ("nurture", "tenant-1")
    assert await db.fetchval("select template from deliveries") == "nurture-hello"
    assert rig.counted.texts == [{"provider": "outbox", "template": "nurture", "status": "sent"}]
    assert sms.body == "Selam Ayse Isik"


async def test_a_tenants_name_for_a_template_is_no_label_of_metrics(
    db: "asyncpg.Pool[asyncpg.Record]", rig: Rig, tenant: Tenant
) -> None:
    key = Key("nurture_ayse_yilmaz", "tr", "email")
    await store(db, tenant.tenant_id, key, subject="Selam", text="Selam")

    mail = await mailed(rig, tenant, template="nurture_ayse_yilmaz")

    assert mail.template == "nurture"
    assert await db.fetchval("select template from deliveries") == "nurture-ayse-yilmaz"
    assert {one["template"] for one in rig.counted.emails} == {"nurture"}


async def test_a_link_that_leaves_no_room_in_an_sms_is_refused_by_its_name(
    db: "asyncpg.Pool[asyncpg.Record]", rig: Rig, tenant: Tenant
) -> None:
    key = Key("nurture_hello", "tr", "sms")
    await store(db, tenant.tenant_id, key, text="Selam {{ name }}: {{ shop_link }}")
    values = {"shop_link": "https://shop.test/" + "ş" * 300}

    ended = await rig.run(
        write,
        Wanted(
            tenant_id=tenant.tenant_id,
            channel="sms",
            template="nurture_hello",
            recipient={"phone": "+905321234567"},
            values=values,
        ),
    )

    dead = ended.dead()
    assert dead.error_type == "SmsTooLongError"
    assert dead.message.startswith("message nurture_hello: shop_link: leaves no room for words")
    assert rig.texts == []


async def test_an_sms_is_of_no_more_segments_than_are_worth_it(
    db: "asyncpg.Pool[asyncpg.Record]", rig: Rig, tenant: Tenant
) -> None:
    key = Key("nurture_hello", "tr", "sms")
    await store(db, tenant.tenant_id, key, text="{{ words }} {{ link }}")
    values = {"words": "ışık " * 100, "link": "https://example.com/1"}

    sms = await texted(rig, tenant, recipient={"phone": "+905321234567"}, values=values)

    assert length(sms.body).segments == 4
    assert sms.body.endswith("... https://example.com/1")
