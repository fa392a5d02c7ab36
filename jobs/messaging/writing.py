"""Messages, written for one recipient: the tenant's name and ways, the words, the way out."""

from collections.abc import Mapping
from typing import Any

from jinja2 import TemplateError

from clients.errors import RequestRejectedError
from clients.mail import Attachment, Mail, ascii_address
from clients.sms import Sms
from jobs.kit import JobContext
from jobs.messaging import queries
from jobs.messaging.catalogue import kind_of
from jobs.messaging.core.colours import palette
from jobs.messaging.core.invitation import Invitation, calendar_text
from jobs.messaging.core.recipient import Recipient
from jobs.messaging.profile import Profile, profile_of
from jobs.messaging.reading import Reader
from jobs.messaging.rendering import render_mail, render_sms


async def write_mail(
    ctx: JobContext,
    template: str,
    to: Recipient,
    values: Mapping[str, Any],
    *,
    attachments: tuple[Attachment, ...] = (),
    invitation: Invitation | None = None,
    unsubscribable: bool = True,
) -> Mail:
    """A mail from a declared template, in the recipient's language and time zone.

    `unsubscribable` is false for what has to reach them (an invoice is overdue): then it has no
    way out. Raises RequestRejectedError for somebody without an address, and for a template that
    these values do not fill; it says which, and never a value.
    """
    if to.email is None or ascii_address(to.email) is None:
        raise RequestRejectedError(f"{template}: the recipient has no e-mail address")
    profile = await profile_of(ctx.db, to.tenant_id)
    link = None
    if unsubscribable:
        token = await queries.unsubscribe_token(ctx.db, to.tenant_id, to.email, to.locale)
        link = f"{ctx.links}/unsubscribe/{token}"
    reader = Reader(to.locale, to.timezone, "email")
    try:
        rendered = render_mail(template, reader, _values(to, profile, values, link))
    except TemplateError as error:
        raise RequestRejectedError(f"{template}: {error.message}") from None
    return Mail(
        template=kind_of(template),
        template_version=rendered.version,
        to=to.email,
        to_name=to.display_name,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        attachments=attachments + _invite(ctx, to, invitation),
        unsubscribe_url=link,
        language=to.locale,
        sender=profile.sender,
        reply_to=profile.reply_to,
    )


async def write_sms(
    ctx: JobContext, template: str, to: Recipient, values: Mapping[str, Any]
) -> Sms:
    """An SMS from a declared template. Raises RequestRejectedError as `write_mail` does."""
    profile = await profile_of(ctx.db, to.tenant_id)
    if to.phone is None:
        raise RequestRejectedError(f"{template}: the recipient has no valid phone number")
    reader = Reader(to.locale, to.timezone, "sms")
    try:
        rendered = render_sms(template, reader, _values(to, profile, values, None))
    except TemplateError as error:
        raise RequestRejectedError(f"{template}: {error.message}") from None
    return Sms(
        template=kind_of(template),
        template_version=rendered.version,
        to=to.phone,
        body=rendered.text,
        sender=profile.sms_sender,
    )


def _invite(
    ctx: JobContext, to: Recipient, invitation: Invitation | None
) -> tuple[Attachment, ...]:
    if invitation is None:
        return ()
    text = calendar_text(
        invitation,
        attendee=to.email or "",
        attendee_name=to.display_name,
        written_at=ctx.now(),
    )
    return (Attachment("invite.ics", "text/calendar", text.encode()),)


def _values(
    to: Recipient, profile: Profile, values: Mapping[str, Any], unsubscribe_url: str | None
) -> dict[str, Any]:
    return {
        **values,
        "name": to.display_name,
        "tenant": profile.tenant_name,
        "language": to.locale,
        "unsubscribe_url": unsubscribe_url,
        "palette": palette(profile.accent),
        "postal_address": profile.postal_address,
    }
