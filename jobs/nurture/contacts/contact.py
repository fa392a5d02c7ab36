"""A contact, and how it may be written to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from clients.mail import ascii_address
from clients.phone import sms_number
from jobs.messaging.core.channels import Channel
from jobs.messaging.core.recipient import Recipient
from jobs.messaging.profile import Profile
from jobs.nurture.contacts import queries
from jobs.nurture.core import Standing, Suppression

if TYPE_CHECKING:
    from jobs.nurture.contacts.queries import Connection, Pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """Whom a message is for, and by which ways it may come."""

    contact_id: UUID
    recipient: Recipient = field(repr=False)
    standing: Standing


async def load_contacts(
    db: "Pool | Connection", profile: Profile, contact_ids: Sequence[UUID]
) -> list[Contact]:
    """Those of a tenant's contacts that there are, in two statements however many they are."""
    rows = await queries.contacts(db, profile.tenant_id, contact_ids)
    addresses = [_addresses(row, profile) for row in rows]
    asked = [
        (channel, spelling)
        for own in addresses
        for channel, spellings in own.items()
        for spelling in spellings
    ]
    suppressed = await queries.suppressions(db, profile.tenant_id, asked)
    return [_contact(row, own, suppressed) for row, own in zip(rows, addresses, strict=True)]


def _addresses(row: queries.Row, profile: Profile) -> dict[Channel, list[str]]:
    """By channel; a mail address with and without IDNA, as it may have been suppressed."""
    found: dict[Channel, list[str]] = {}
    email = None if row.email is None else ascii_address(row.email)
    if row.email is not None and email is not None:
        found["email"] = list(dict.fromkeys([email.lower(), row.email.strip().lower()]))
    phone = None if row.phone is None else sms_number(row.phone, country=profile.country)
    if phone is not None:
        found["sms"] = [phone]
    return found


def _contact(
    row: queries.Row,
    addresses: dict[Channel, list[str]],
    suppressed: dict[tuple[Channel, str], Suppression],
) -> Contact:
    agreed: dict[Channel, bool] = {"email": row.marketing_by_email, "sms": row.marketing_by_sms}
    return Contact(
        contact_id=row.contact_id,
        recipient=Recipient(
            tenant_id=row.tenant_id,
            name=row.full_name,
            locale=row.locale,
            timezone=row.timezone,
            email=row.email,
            phone=addresses["sms"][0] if "sms" in addresses else None,
        ),
        standing=Standing(
            preferred=row.preferred_channel,
            consented=frozenset(channel for channel, is_agreed in agreed.items() if is_agreed),
            addressed=frozenset(addresses),
            suppressed={
                channel: suppressed[channel, spelling]
                for channel, spellings in addresses.items()
                for spelling in spellings
                if (channel, spelling) in suppressed
            },
        ),
    )
