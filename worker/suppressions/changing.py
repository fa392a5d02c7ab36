"""What operators may do about who gets nothing more."""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from clients.mail import normal_address
from clients.phone import e164
from jobs.messaging.addressing import spelled
from jobs.messaging.core.channels import Channel
from jobs.messaging.core.suppression import BLOCKED, is_own_wish
from worker.suppressions import queries
from worker.suppressions.queries import Reason, Suppressed

if TYPE_CHECKING:
    from worker.suppressions.queries import Connection

_NO_COUNTRY = "ZZ"  # ISO 3166 leaves it to everybody: a number has to say its own


class ConsentNeededError(Exception):
    """Whoever has the address said so themselves; the message tells why, and what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"this person said so themselves ({reason}): only when they have asked to be written"
            " to again may it be lifted; then say so with `consented`, and how in the reason"
        )


@dataclass(frozen=True, slots=True)
class Lifted:
    """What is lifted, and for which other reasons still nothing goes there."""

    suppression: Suppressed
    still: list[str]


def checked(channel: Channel, address: str) -> str:
    """The normal form. Raises ValueError, which does not tell the address, when it is none."""
    if channel == "email":
        found = normal_address(address)
        if found is None:
            raise ValueError("is not an e-mail address that mail can be sent to")
        return found
    number = e164(address, country=_NO_COUNTRY)
    if number is None:
        raise ValueError("is not a number with its country's code, as in +905321234567")
    return number


def spellings_of(channel: Channel | None, address: str) -> list[str]:
    """As which an address may be found; None: whichever way it leads."""
    found: set[str] = set()
    if channel != "sms":
        found.update(spelled("email", address))
    if channel != "email":
        # In a URL that was put together by hand, + means a blank.
        number = e164(address, country=_NO_COUNTRY) or e164(
            f"+{address.strip()}", country=_NO_COUNTRY
        )
        found.update(spelled("sms", number or address))
    return sorted(found)


def reason_for(tenant_id: UUID, channel: Channel, address: str, *, is_requested: bool) -> Reason:
    """As which it is kept. Raises ValueError as `checked`.

    Of SMS, START takes a wish back, and no decision of the tenant's.
    """
    wish = "unsubscribed" if channel == "email" else "opted out"
    return Reason(tenant_id, channel, checked(channel, address), wish if is_requested else BLOCKED)


async def lift(
    connection: "Connection",
    suppression_id: int,
    tenant_id: UUID | None = None,
    *,
    is_consented: bool,
) -> Lifted | None:
    """Let messages go there again, as far as this reason goes. None: this tenant has none such.

    Raises ConsentNeededError for a wish of the person's own, unless they consented.
    """
    found = await queries.lock(connection, suppression_id, tenant_id)
    if found is None:
        return None
    if is_own_wish(found.reason) and not is_consented:
        raise ConsentNeededError(found.reason)
    await queries.delete(connection, found)
    still = await queries.others(connection, found, spelled(found.channel, found.address))
    return Lifted(found, still)
