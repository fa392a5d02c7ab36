"""Messages, written for one recipient: the tenant's name and ways, the words, the way out."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from clients.errors import RecipientUnreachableError, RequestRejectedError
from clients.graphemes import shortened
from clients.mail import Attachment, CalendarEvent, Mail, Sender, normal_address
from clients.phone import sms_number
from clients.sms import Sms
from jobs.kit import JobContext
from jobs.messaging import queries
from jobs.messaging.catalogue import (
    Enclosed,
    Message,
    UnknownTemplateError,
    kind_of,
    message,
    spelt,
)
from jobs.messaging.core.colours import palette
from jobs.messaging.core.invitation import Invitation, calendar_text
from jobs.messaging.core.links import link_problems
from jobs.messaging.core.recipient import LOCALES, Recipient
from jobs.messaging.fitting import LINK, TooLongError, fitted
from jobs.messaging.profile import Profile, profile_of
from jobs.messaging.reading import Reader
from jobs.messaging.rendering import Rendered
from jobs.messaging.wording import Reword, words

_LONGEST_NAME = 200  # characters


class SmsTooLongError(RecipientUnreachableError):
    """This message does not go by SMS; by another channel it may."""


async def write_mail(
    ctx: JobContext,
    template: str,
    to: Recipient,
    values: Mapping[str, Any],
    *,
    attachments: tuple[Attachment, ...] = (),
    invitation: Invitation | None = None,
    strict: bool = False,
    reword: Reword | None = None,
) -> Mail:
    """A mail from a template, in the recipient's language and time zone.

    `strict` is for mails that a tenant's own template alone can say. `reword` may say the
    template's opening in other words. Raises RequestRejectedError for somebody without an address,
    and for a template that these values do not fill; it says which, and never a value.
    """
    declared = _declared(template, to, values)
    address = normal_address(to.email or "")
    if to.email is None or address is None:
        raise RequestRejectedError(f"message {template}: the recipient has no e-mail address")
    profile = await profile_of(ctx.db, to.tenant_id)
    link = await _way_out(ctx, to, address) if declared.has_way_out else None
    reader = Reader(to.locale, to.timezone, "email")
    known = common_values(to, profile, values, link)
    rendered = await words(ctx, to.tenant_id, template, reader, known, strict=strict, reword=reword)
    return mail_of(
        declared,
        to,
        rendered,
        profile,
        default=ctx.sender,
        unsubscribe_url=link,
        enclosed=Enclosed(invitation, attachments),
        written_at=ctx.now(),
    )


async def write_sms(
    ctx: JobContext,
    template: str,
    to: Recipient,
    values: Mapping[str, Any],
    *,
    strict: bool = False,
) -> Sms:
    """An SMS from a template, of no more segments than its message may have.

    Raises RequestRejectedError as `write_mail` does, and for somebody whose telephone takes none;
    SmsTooLongError when the values' links leave no room for words.
    """
    declared = _declared(template, to, values)
    profile = await profile_of(ctx.db, to.tenant_id)
    number = sms_number(to.phone or "", country=profile.country)
    if number is None:
        raise RequestRejectedError(f"message {template}: the recipient has no valid phone number")
    reader = Reader(to.locale, to.timezone, "sms")
    known = common_values(to, profile, values, None)
    rendered = await words(ctx, to.tenant_id, template, reader, known, strict=strict)
    return sms_of(declared, number, rendered, profile, values)


def mail_of(
    declared: Message,
    to: Recipient,
    rendered: Rendered,
    profile: Profile,
    *,
    default: Sender,
    unsubscribe_url: str | None,
    enclosed: Enclosed,
    written_at: datetime,
) -> Mail:
    """The mail with these words. Raises RequestRejectedError for what no provider could send."""
    sender = sender_of(profile, default)
    invitation = enclosed.invitation
    return Mail(
        template=kind_of(declared.name),
        template_name=spelt(declared.name),
        template_version=rendered.version,
        to=to.email or "",
        to_name=to.display_name,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        attachments=enclosed.attachments,
        event=_event(to, invitation, sender, written_at) if invitation else None,
        unsubscribe_url=unsubscribe_url,
        language=to.locale,
        sender=sender,
        reply_to=profile.reply_to,
    )


def sms_of(
    declared: Message, number: str, rendered: Rendered, profile: Profile, values: Mapping[str, Any]
) -> Sms:
    """The SMS with these words, in the letters that the tenant pays for. Raises SmsTooLongError,
    which names the values whose links are in its way.
    """
    most = declared.most_segments
    try:
        body = fitted(rendered.text, segments=most, transliterates=profile.transliterates_sms)
    except TooLongError:
        names = ", ".join(sorted(_links_in(rendered.text, values))) or "text"
        raise SmsTooLongError(
            f"message {declared.name}: {names}: leaves no room for words in the {most} segments "
            "of an SMS, and no link is cut; give a shorter one"
        ) from None
    return Sms(
        template=kind_of(declared.name),
        template_name=spelt(declared.name),
        template_version=rendered.version,
        to=number,
        body=body,
        sender=profile.sms_sender,
    )


def _links_in(text: str, values: Mapping[str, Any]) -> list[str]:
    """Names of the values with links that stand in the text."""
    return [
        name
        for name, value in values.items()
        if isinstance(value, str) and LINK.search(value) and " ".join(value.split()) in text
    ]


def common_values(
    to: Recipient, profile: Profile, values: Mapping[str, Any], unsubscribe_url: str | None
) -> dict[str, Any]:
    """The values of one message with those that every message has."""
    return {
        **values,
        "name": shortened(to.display_name, _LONGEST_NAME),
        "tenant": shortened(profile.tenant_name, _LONGEST_NAME),
        "language": to.locale,
        "unsubscribe_url": unsubscribe_url,
        "reply_to": profile.reply_to,
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


def _declared(template: str, to: Recipient, values: Mapping[str, Any]) -> Message:
    """The message of that name. Raises RequestRejectedError, also for values that no message may
    show.
    """
    try:
        declared = message(template)
    except UnknownTemplateError as error:
        raise RequestRejectedError(str(error)) from None
    if to.locale not in LOCALES:
        raise RequestRejectedError(f"message {template}: the recipient's locale is not one of ours")
    zone_of(to)
    for name, problem in link_problems(values).items():
        raise RequestRejectedError(f"message {template}: {name}: {problem}")
    return declared


async def _way_out(ctx: JobContext, to: Recipient, address: str) -> str:
    token = to.unsubscribe_token or await queries.unsubscribe_token(
        ctx.db, to.tenant_id, address, to.locale
    )
    return f"{ctx.links}/unsubscribe/{token}"


def _event(
    to: Recipient, invitation: Invitation, sender: Sender, written_at: datetime
) -> CalendarEvent:
    text = calendar_text(
        invitation,
        organizer=sender.address,
        organizer_name=sender.name,
        attendee=to.email or "",
        attendee_name=to.display_name,
        written_at=written_at,
    )
    return CalendarEvent(invitation.method, text)
