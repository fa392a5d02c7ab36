"""How a message looks, filled with its sample: for consoles, and whoever writes templates."""

from dataclasses import dataclass, replace
from datetime import datetime, time
from uuid import UUID

from clients.mail import Mail, Sender
from clients.sms import Sms
from jobs.kit.context import Offload
from jobs.messaging.catalogue import Message
from jobs.messaging.core.channels import Channel
from jobs.messaging.core.override import Override
from jobs.messaging.core.recipient import LOCALES, Recipient
from jobs.messaging.house import house_mail_of, house_values
from jobs.messaging.overrides import render_override
from jobs.messaging.profile import Profile
from jobs.messaging.reading import Reader
from jobs.messaging.rendering import Rendered
from jobs.messaging.sandbox import render_bounded
from jobs.messaging.wording import product_words
from jobs.messaging.writing import common_values, mail_of, sms_of

_NAMES = {"en": "Pat Miller", "tr": "Ayşe Işık"}
_ZONES = {"en": "America/New_York", "tr": "Europe/Istanbul"}
NUMBER = "+12025550143"  # one that nobody has
LINKS = "https://example.com"
_NOBODY = UUID(int=0)
SOMEBODY = Sender(address="no-reply@example.com")


@dataclass(frozen=True, slots=True)
class Preview:
    """One message to somebody made up: a mail or an SMS."""

    rendered: Rendered
    mail: Mail | None
    sms: Sms | None


def nobodys_profile(locale: str) -> Profile:
    """A made-up tenant's."""
    return Profile(
        tenant_id=_NOBODY,
        tenant_name={"en": "Acme Ltd.", "tr": "Örnek A.Ş."}[locale],
        locale=locale,
        timezone=_ZONES[locale],
        sender=None,
        reply_to="hello@example.com",
        sms_sender=None,
        country={"en": "US", "tr": "TR"}[locale],
        postal_address={
            "en": "1 Main Street, Springfield, IL 62701",
            "tr": "Bağdat Cad. 1, 34728 Kadıköy/İstanbul",
        }[locale],
        accent=None,
        quiet_from=time(21),
        quiet_to=time(8),
        transliterates_sms=False,
        payment_hosts=(),
    )


def problem_of(message: Message, language: str, channel: Channel) -> dict[str, str]:
    """Why there is no such message: names and sentences; nothing when there is."""
    if language not in LOCALES:
        return {"language": f"is one of {', '.join(LOCALES)}"}
    if channel not in message.channels:
        return {"channel": f"this message goes by {', '.join(sorted(message.channels))}"}
    return {}


async def preview(
    message: Message,
    *,
    language: str,
    channel: Channel,
    profile: Profile,
    override: Override | None,
    sender: Sender,
    offload: Offload,
    links: str,
    written_at: datetime,
) -> Preview:
    """The message as it would be sent in this tenant's name: in the override's words, or the
    product's. One that is no tenant's is in the product's name. `links` is where its way out
    begins.

    Raises OverrideError, OffloadError and RequestRejectedError for an override that does not work,
    RenderingError where neither has words.
    """
    to, sample = sample_recipient(profile.tenant_id, language), message.sample(language)
    if not message.knows_name:
        to = replace(to, name="")
    reader = Reader(language, to.timezone, channel)
    if not message.is_tenants:
        rendered = await product_words(offload, message.name, reader, house_values(reader, sample))
        return Preview(
            rendered, house_mail_of(message.name, to.email or "", reader, rendered), None
        )
    link = way_out(links) if message.has_way_out and channel == "email" else None
    values = common_values(to, profile, sample, link)
    if override is None:
        rendered = await product_words(offload, message.name, reader, values)
    else:
        rendered = await offload(
            render_bounded, render_override, message.name, override, reader, values
        )
    if channel == "sms":
        return Preview(rendered, None, sms_of(message, NUMBER, rendered, profile, sample))
    mail = mail_of(
        message,
        to,
        rendered,
        profile,
        default=sender,
        unsubscribe_url=link,
        enclosed=message.enclosed(language, profile.tenant_name),
        written_at=written_at,
    )
    return Preview(rendered, mail, None)


def way_out(links: str) -> str:
    """Nobody's."""
    return f"{links}/unsubscribe/{_NOBODY}"


def sample_recipient(tenant_id: UUID, language: str) -> Recipient:
    """Somebody made up."""
    return Recipient(
        tenant_id=tenant_id,
        name=_NAMES[language],
        locale=language,
        timezone=_ZONES[language],
        email="pat@example.com",
        phone=NUMBER,
    )
