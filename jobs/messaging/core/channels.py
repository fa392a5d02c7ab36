"""By which channels somebody is written to."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

Channel = Literal["email", "sms"]
CHANNELS: tuple[Channel, ...] = ("email", "sms")


class ChannelResult(TypedDict):
    """What became of a message by one channel, as a job's result says it."""

    channel: Channel
    status: str


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


def results_of(statuses: Mapping[Channel, str]) -> list[ChannelResult]:
    """For a job to return, in the order in which they were tried.

    A list, and no mapping: what stands under `email` is taken for an address, and not shown.

    >>> results_of({"email": "sent"})
    [{'channel': 'email', 'status': 'sent'}]
    """
    return [ChannelResult(channel=channel, status=status) for channel, status in statuses.items()]
