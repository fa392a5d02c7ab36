"""A contact, and how it may be written to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from clients.mail import ascii_address
from clients.phone import sms_number
from jobs.messaging.core.channels import Channel
from jobs.messaging.core.recipient import Recipient
from jobs.messaging.core.suppression import Suppression
from jobs.messaging.profile import Profile
from jobs.messaging.suppressions.queries import suppressions_of
from jobs.nurture.contacts import queries
from jobs.nurture.core import Standing

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
    asked = [pair for own in addresses for pair in own.items()]
    suppressed = await suppressions_of(db, profile.tenant_id, asked)
    return [_contact(row, own, suppressed) for row, own in zip(rows, addresses, strict=True)]


def _addresses(row: queries.Row, profile: Profile) -> dict[Channel, str]:
    """By channel, those that can be written to."""
    found: dict[Channel, str] = {}
    if row.email is not None and ascii_address(row.email) is not None:
        found["email"] = row.email
    phone = None if row.phone is None else sms_number(row.phone, country=profile.country)
    if phone is not None:
        found["sms"] = phone
    return found


def _contact(
    row: queries.Row,
    addresses: dict[Channel, str],
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
            phone=addresses.get("sms"),
        ),
        standing=Standing(
            preferred=row.preferred_channel,
            consented=frozenset(channel for channel, is_agreed in agreed.items() if is_agreed),
            addressed=frozenset(addresses),
            suppressed={
                channel: suppressed[channel, address]
                for channel, address in addresses.items()
                if (channel, address) in suppressed
            },
        ),
    )
