from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest

from clients.mail import Mail
from clients.mime import written_message
from jobs.kit import JobContext, TenantPayload, discover, job
from jobs.messaging.catalogue import message, messages
from jobs.messaging.core.override import Override
from jobs.messaging.previewing import (
    LINKS,
    NUMBER,
    SOMEBODY,
    Preview,
    nobodys_profile,
    preview,
    problem_of,
    sample_recipient,
    way_out,
)
from jobs.messaging.profile import profile_of
from jobs.messaging.queries import Key, store_override
from jobs.messaging.sandbox import OverrideError
from jobs.messaging.writing import write_mail, write_sms
from jobs.operations.core import sample as trouble_sample
from jobs.operations.send_notice_mail import SAMPLED_AT, NoticeMail, send_notice_mail
from tests.conftest import Tenant
from worker.offload import Offloader
from worker.testing import Rig

if TYPE_CHECKING:
    import asyncpg

discover()
NOW = datetime(2026, 12, 1, tzinfo=UTC)
EVERY = [
    (one.name, language, channel)
    for one in messages()
    for language in ("en", "tr")
    for channel in sorted(one.channels)
]


async def made(name: str, language: str, channel: Any, override: Override | None = None) -> Preview:
    (declared,) = [one for one in messages() if one.name == name]
    return await preview(
        declared,
        language=language,
        channel=channel,
        profile=nobodys_profile(language),
        override=override,
        sender=SOMEBODY,
        offload=Offloader(),
        links=LINKS,
        written_at=NOW,
    )


class Asked(TenantPayload):
    name: str
    language: str
    channel: str


@job("previewing_tests.send", queue="email")
async def send(ctx: JobContext, payload: Asked) -> None:
    """As any job that sends does it: the message's own values, to the same reader."""
    declared, language = message(payload.name), payload.language
    values = declared.sample(language)
    to = sample_recipient(payload.tenant_id, language)
    if payload.channel == "sms":
        await ctx.texter.send(await write_sms(ctx, payload.name, to, values), key="k")
        return
    if not declared.knows_name:
        to = replace(to, name="")
    profile = await profile_of(ctx.db, payload.tenant_id)
    with_it = declared.enclosed(language, profile.tenant_name)
    mail = await write_mail(
        ctx,
        payload.name,
        to,
        values,
        attachments=with_it.attachments,
        invitation=with_it.invitation,
    )
    await ctx.mailer.send(mail, key="k")


async def shown(
    rig: Rig, db: "asyncpg.Pool[asyncpg.Record]", asked: Asked, override: Override | None = None
) -> Preview:
    """In the tenant's name, and as from the same worker."""
    return await preview(
        message(asked.name),
        language=asked.language,
        channel=asked.channel,  # type: ignore[arg-type]  # one of the parameters
        profile=await profile_of(db, asked.tenant_id),
        override=override,
        sender=rig.outbox.sender,
        offload=Offloader(),
        links=LINKS,
        written_at=rig.clock(),
    )


@pytest.mark.parametrize("reply_to", [None, "yardim@anadolu.example"])
@pytest.mark.parametrize(
    ("name", "language", "channel"), [one for one in EVERY if message(one[0]).is_tenants]
)
async def test_what_is_shown_is_what_is_sent(
    rig: Rig,
    db: "asyncpg.Pool[asyncpg.Record]",
    tenant: Tenant,
    name: str,
    language: str,
    channel: str,
    reply_to: str | None,
) -> None:
    await db.execute(
        """
        insert into messaging_profiles (tenant_id, reply_to, postal_address, transliterates_sms)
        values ($1, $2, 'Cadde 1', true)
        """,
        tenant.tenant_id,
        reply_to,
    )
    asked = Asked(tenant_id=tenant.tenant_id, name=name, language=language, channel=channel)

    (await rig.run(send, asked)).succeeded()
    seen = await shown(rig, db, asked)

    if channel == "sms":
        assert [replace(one, to=NUMBER) for one in rig.texts] == [seen.sms]
        return
    (sent,) = rig.mails
    assert seen.mail is not None
    assert with_sample_link(sent.mail) == seen.mail
    assert (seen.mail.unsubscribe_url is None) == (name == "payment_reminder")
    assert (seen.mail.event is None) == (name != "appointment_reminder")


def with_sample_link(mail: Mail) -> Mail:
    """Only whose way out it is differs."""
    if mail.unsubscribe_url is None:
        return mail
    return replace(
        mail,
        unsubscribe_url=way_out(LINKS),
        text=mail.text.replace(mail.unsubscribe_url, way_out(LINKS)),
        html=mail.html.replace(mail.unsubscribe_url, way_out(LINKS)),
    )


async def test_a_tenants_own_words_are_shown_as_they_are_sent(
    rig: Rig, db: "asyncpg.Pool[asyncpg.Record]", tenant: Tenant
) -> None:
    override = Override(version=1, subject="{{ name }}", html="<p>{{ total|money(currency) }}</p>")
    async with db.acquire() as connection, connection.transaction():
        key = Key("payment_reminder", "tr", "email")
        await store_override(connection, tenant.tenant_id, key, override, by="ayse", at=NOW)
    asked = Asked(
        tenant_id=tenant.tenant_id, name="payment_reminder", language="tr", channel="email"
    )

    (await rig.run(send, asked)).succeeded()
    seen = await shown(rig, db, asked, override)

    assert [one.mail for one in rig.mails] == [seen.mail]
    assert "unsubscribe" not in rig.mails[0].mail.html


async def test_what_is_no_tenants_is_shown_as_the_product_sends_it(rig: Rig) -> None:
    values = message("admin_notice").sample("en")
    payload = NoticeMail(
        to="pat@example.com",
        language="en",
        timezone="America/New_York",
        service=values["service"],
        environment=values["environment"],
        troubles=(trouble_sample(SAMPLED_AT),),
    )

    (await rig.run(send_notice_mail, payload)).succeeded()
    seen = await made("admin_notice", "en", "email", Override(version=1, text="Selam"))

    (sent,) = rig.mails
    base = rig.resources.links
    assert seen.mail is not None
    assert seen.mail == replace(
        sent.mail,
        text=sent.mail.text.replace(base, "https://jobs.example.com"),
        html=sent.mail.html.replace(base, "https://jobs.example.com"),
    )


@pytest.mark.parametrize(("name", "language", "channel"), EVERY)
async def test_every_message_can_be_looked_at(name: str, language: str, channel: str) -> None:
    shown = await made(name, language, channel)

    assert (shown.mail is None) == (channel == "sms")
    assert (shown.sms is None) == (channel == "email")
    if shown.mail is not None:
        written = written_message(
            shown.mail,
            SOMEBODY,
            message_id="<1@example.com>",
            date=datetime(2026, 12, 1, tzinfo=UTC),
        )
        parsed = message_from_bytes(written, policy=policy.default)
        assert bool(parsed["List-Unsubscribe"]) == message(name).has_way_out
        sender = parsed["From"].addresses[0].display_name
        ours = nobodys_profile(language).tenant_name if message(name).is_tenants else ""
        assert sender == ours


async def test_an_override_is_looked_at_too() -> None:
    override = Override(version=4, text="Selam {{ name }}")

    shown = await made("welcome", "tr", "email", override)

    assert shown.rendered.version == "tenant-4"
    assert shown.rendered.text.startswith("Selam Ayşe Işık")


async def test_an_override_that_does_not_work_is_told() -> None:
    with pytest.raises(OverrideError, match="text: there is no amount"):
        await made("welcome", "tr", "email", Override(version=4, text="{{ amount }}"))


@pytest.mark.parametrize(
    ("language", "channel", "field"),
    [("de", "email", "language"), ("en", "sms", "channel"), ("en", "email", None)],
)
def test_what_there_is_not_is_named(language: str, channel: Any, field: str | None) -> None:
    (welcome,) = [one for one in messages() if one.name == "welcome"]

    assert list(problem_of(welcome, language, channel)) == ([] if field is None else [field])
