"""Messages, written for one recipient: the tenant's name and ways, the words, the way out."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from clients.errors import RequestRejectedError
from clients.mail import Attachment, CalendarEvent, Mail, Sender, normal_address
from clients.phone import sms_number
from clients.sms import Sms
from jobs.kit import JobContext
from jobs.messaging import queries
from jobs.messaging.catalogue import kind_of
from jobs.messaging.core.colours import palette
from jobs.messaging.core.invitation import Invitation, calendar_text
from jobs.messaging.core.recipient import LOCALES, Recipient
from jobs.messaging.fitting import fitted
from jobs.messaging.profile import Profile, profile_of
from jobs.messaging.reading import Reader
from jobs.messaging.rendering import Rendered
from jobs.messaging.wording import Reword, words

MOST_SEGMENTS = 4  # of an SMS; each is paid for


async def write_mail(
    ctx: JobContext,
    template: str,
    to: Recipient,
    values: Mapping[str, Any],
    *,
    attachments: tuple[Attachment, ...] = (),
    invitation: Invitation | None = None,
    unsubscribable: bool = True,
    strict: bool = False,
    reword: Reword | None = None,
) -> Mail:
    """A mail from a template, in the recipient's language and time zone.

    `unsubscribable` is false for what has to reach them, such as an invoice: then it shows no way
    out. `strict` is for mails that a tenant's own template alone can say. `reword` may say the
    template's opening in other words. Raises RequestRejectedError for somebody without an address,
    and for a template that these values do not fill; it says which, and never a value.
    """
    _check(template, to)
    address = normal_address(to.email or "")
    if to.email is None or address is None:
        raise RequestRejectedError(f"message {template}: the recipient has no e-mail address")
    profile = await profile_of(ctx.db, to.tenant_id)
    link = await _way_out(ctx, to, address) if unsubscribable else None
    reader = Reader(to.locale, to.timezone, "email")
    known = common_values(to, profile, values, link)
    rendered = await words(ctx, to.tenant_id, template, reader, known, strict=strict, reword=reword)
    sender = sender_of(profile, ctx.sender)
    return mail_of(
        template,
        to,
        rendered,
        sender=sender,
        reply_to=profile.reply_to,
        unsubscribe_url=link,
        attachments=attachments,
        event=_event(ctx, to, invitation, sender) if invitation else None,
    )


async def write_sms(
    ctx: JobContext,
    template: str,
    to: Recipient,
    values: Mapping[str, Any],
    *,
    strict: bool = False,
) -> Sms:
    """An SMS from a template, of at most MOST_SEGMENTS. Raises RequestRejectedError as `write_mail`
    does, and for somebody whose telephone takes none.
    """
    _check(template, to)
    profile = await profile_of(ctx.db, to.tenant_id)
    number = sms_number(to.phone or "", country=profile.country)
    if number is None:
        raise RequestRejectedError(f"message {template}: the recipient has no valid phone number")
    reader = Reader(to.locale, to.timezone, "sms")
    known = common_values(to, profile, values, None)
    rendered = await words(ctx, to.tenant_id, template, reader, known, strict=strict)
    return sms_of(template, number, rendered, profile)


def mail_of(
    template: str,
    to: Recipient,
    rendered: Rendered,
    *,
    sender: Sender,
    reply_to: str | None,
    unsubscribe_url: str | None,
    attachments: tuple[Attachment, ...] = (),
    event: CalendarEvent | None = None,
) -> Mail:
    """The mail with these words. Raises RequestRejectedError for what no provider could send."""
    return Mail(
        template=kind_of(template),
        template_version=rendered.version,
        to=to.email or "",
        to_name=to.display_name,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        attachments=attachments,
        event=event,
        unsubscribe_url=unsubscribe_url,
        language=to.locale,
        sender=sender,
        reply_to=reply_to,
    )


def sms_of(template: str, number: str, rendered: Rendered, profile: Profile) -> Sms:
    """The SMS with these words, in the letters that the tenant pays for."""
    return Sms(
        template=kind_of(template),
        template_version=rendered.version,
        to=number,
        body=fitted(
            rendered.text, segments=MOST_SEGMENTS, transliterates=profile.transliterates_sms
        ),
        sender=profile.sms_sender,
    )


def common_values(
    to: Recipient, profile: Profile, values: Mapping[str, Any], unsubscribe_url: str | None
) -> dict[str, Any]:
    """The values of one message with those that every message has."""
    return {
        **values,
        "name": to.display_name,
        "tenant": profile.tenant_name,
        "language": to.locale,
        "unsubscribe_url": unsubscribe_url,
        "palette": palette(profile.accent),
        "postal_address": profile.postal_address,
    }


def sender_of(profile: Profile, default: Sender) -> Sender:
    """The tenant's own sender, or the default address in the tenant's name."""
    return profile.sender or replace(default, name=profile.tenant_name)


def zone_of(to: Recipient) -> ZoneInfo:
    """Where the recipient lives. Raises RequestRejectedError."""
    try:
        return to.zone
    except ValueError as error:
        raise RequestRejectedError(f"the recipient's {error}") from None


def _check(template: str, to: Recipient) -> None:
    if to.locale not in LOCALES:
        raise RequestRejectedError(f"message {template}: the recipient's locale is not one of ours")
    zone_of(to)


async def _way_out(ctx: JobContext, to: Recipient, address: str) -> str:
    token = to.unsubscribe_token or await queries.unsubscribe_token(
        ctx.db, to.tenant_id, address, to.locale
    )
    return f"{ctx.links}/unsubscribe/{token}"


def _event(ctx: JobContext, to: Recipient, invitation: Invitation, sender: Sender) -> CalendarEvent:
    text = calendar_text(
        invitation,
        organizer=sender.address,
        organizer_name=sender.name,
        attendee=to.email or "",
        attendee_name=to.display_name,
        written_at=ctx.now(),
    )
    return CalendarEvent(invitation.method, text)
