"""By which channels somebody is written to."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

Channel = Literal["email", "sms"]
CHANNELS: tuple[Channel, ...] = ("email", "sms")


@dataclass(frozen=True, slots=True)
class Choice:
    """Write by each of `channels`, and by `otherwise` when the provider refuses that for good."""

    channels: tuple[Channel, ...]
    otherwise: Channel | None = None

    def __bool__(self) -> bool:
        return bool(self.channels)


def choose(
    preferred: Channel | None, *, consented: Collection[Channel], reachable: Collection[Channel]
) -> Choice:
    """Without a preference each channel they agreed to; else that one, or the other for it.

    >>> choose("sms", consented={"email", "sms"}, reachable={"email", "sms"})
    Choice(channels=('sms',), otherwise='email')
    >>> choose("sms", consented={"email", "sms"}, reachable={"email"})
    Choice(channels=('email',), otherwise=None)
    >>> choose(None, consented={"email"}, reachable={"email", "sms"})
    Choice(channels=('email',), otherwise=None)
    """
    usable = tuple(one for one in CHANNELS if one in consented and one in reachable)
    if preferred is None or preferred not in usable:
        return Choice(usable)
    others = [one for one in usable if one != preferred]
    return Choice((preferred,), others[0] if others else None)
