"""In whose name, and by whose rules, a message is written."""

from dataclasses import dataclass
from datetime import datetime, time
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

from clients.errors import RequestRejectedError
from clients.mail import Sender
from jobs.messaging import queries
from jobs.messaging.core.quiet_hours import quiet_until
from jobs.messaging.core.recipient import on_one_line

if TYPE_CHECKING:
    import asyncpg


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How a tenant writes. `sender` and `sms_sender` None: those of the settings; `reply_to` None:
    nobody reads replies.

    `country` (ISO 3166) says whose telephone numbers those without a country code are; `accent` is
    `#rrggbb`; quiet hours are the recipient's wall clock; `payment_hosts` may be linked to for
    payments.
    """

    tenant_id: UUID
    tenant_name: str
    locale: str
    timezone: str
    sender: Sender | None
    reply_to: str | None
    sms_sender: str | None
    country: str
    postal_address: str
    accent: str | None
    quiet_from: time
    quiet_to: time
    transliterates_sms: bool
    payment_hosts: tuple[str, ...]

    def quiet_until(self, now: datetime, zone: ZoneInfo) -> datetime | None:
        """Until when (UTC) an SMS waits for somebody who lives there; None: it may go now."""
        return quiet_until(now, zone=zone, quiet_from=self.quiet_from, quiet_to=self.quiet_to)


async def profile_of(db: "asyncpg.Pool[asyncpg.Record]", tenant_id: UUID) -> Profile:
    """Raises RequestRejectedError when there is no such tenant, or its sender is no address."""
    row = await queries.profile(db, tenant_id)
    if row is None:
        raise RequestRejectedError("there is no such tenant any more")
    return Profile(
        tenant_id=tenant_id,
        tenant_name=on_one_line(row.tenant_name),
        locale=row.locale,
        timezone=row.timezone,
        sender=_sender(row.email_from),
        reply_to=(row.reply_to or "").strip() or None,
        sms_sender=row.sms_from,
        country=row.country,
        postal_address=on_one_line(row.postal_address or ""),
        accent=row.accent,
        quiet_from=row.quiet_from,
        quiet_to=row.quiet_to,
        transliterates_sms=row.transliterates_sms,
        payment_hosts=tuple(row.payment_hosts),
    )


def _sender(text: str | None) -> Sender | None:
    try:
        return None if text is None else Sender.parse(text)
    except ValueError as error:
        raise RequestRejectedError(f"messaging_profiles.email_from: {error}") from None
