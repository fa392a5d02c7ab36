"""What becomes of a message after it was sent, and who is not to be written to any more.

Providers tell it in any order and more than once, so what is known only ever moves up this list:

    deferred      the other side asks to wait; not the end
    delivered     the other side took it
    bounced, dropped, failed
                  it did not arrive after all, was not even tried, or not by this carrier
    unsubscribed  it arrived, and the reader wants no more
    complained    it arrived, and the reader calls it spam
"""

from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal

Outcome = Literal[
    "deferred", "delivered", "bounced", "dropped", "failed", "complained", "unsubscribed"
]
# Why an address is in `suppressions`.
Reason = Literal["bounced", "complained", "unsubscribed", "group unsubscribed", "opted out",
                 "unreachable", "blocked"]  # fmt: skip

_RANKS: MappingProxyType[Outcome, int] = MappingProxyType(
    {
        "deferred": 1,
        "delivered": 2,
        "bounced": 3,
        "dropped": 3,
        "failed": 3,
        "unsubscribed": 4,
        "complained": 5,
    }
)
# Whoever reads its mailbox has not seen it, or wants none: nothing that may yet become well.
FAILED: Final[frozenset[Outcome]] = frozenset(_RANKS) - {"deferred", "delivered"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing a provider tells of one message; without an outcome only that it has it.

    `message_id` is ours, `provider_id` the provider's, and either may be missing. `event_id` is the
    same when the event comes again. `suppresses` says why nothing more is to go to this recipient,
    `releases` which of the reasons no longer hold.
    """

    provider: str
    event_id: str
    message_id: str | None
    provider_id: str | None
    happened_at: datetime
    outcome: Outcome | None = None
    code: str | None = None
    suppresses: Reason | None = None
    releases: tuple[Reason, ...] = ()


def is_news(outcome: Outcome, known: Outcome | None) -> bool:
    """Does this say more than what is known already?

    >>> is_news("delivered", "complained")
    False
    >>> is_news("bounced", "delivered")
    True
    """
    return known is None or _RANKS[outcome] > _RANKS[known]
