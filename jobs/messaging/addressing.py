"""Addresses as suppressions have them, whichever way somebody wrote them."""

from clients.mail import normal_address, spellings
from jobs.messaging.core.channels import Channel


def normal(channel: Channel, address: str) -> str:
    """The form in which it is kept; what is no address stays what it is, but for its case."""
    if channel == "email":
        return normal_address(address) or address.strip().lower()
    return address.strip().lower()  # of a number in E.164 that is itself


def spelled(channel: Channel, address: str) -> tuple[str, ...]:
    """Every form in which it may have been kept, the normal one first."""
    return spellings(address) if channel == "email" else (normal(channel, address),)
