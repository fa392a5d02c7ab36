"""One message object and one protocol for all ways to send SMS.

A provider sends what it is given once per call and never retries: the runner does.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from clients.errors import RequestRejectedError
from clients.handover import Before, nothing

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_UNPRINTABLE = re.compile(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
# E.164, a short code, a sender's name of up to 11 letters and digits, or a messaging service.
_SENDER = re.compile(
    r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}|MG[0-9a-f]{32}"
)
_LONGEST = 1600  # characters, of all segments together


@dataclass(frozen=True, slots=True, kw_only=True)
class Sms:
    """A text to one number. `template` names its kind in metrics, `template_name` its template in
    deliveries where that is another; `sender` None: the provider's.

    Raises RequestRejectedError for what no provider could send. The message names the field and
    never shows its value.
    """

    template: str
    to: str = field(repr=False)
    body: str = field(repr=False)
    sender: str | None = None
    template_version: str = ""
    template_name: str = ""

    def __post_init__(self) -> None:
        _require(bool(_E164.fullmatch(self.to)), "to: not a number in E.164, as in +905321234567")
        _require(bool(self.body.strip()), "body: is empty")
        _require(len(self.body) <= _LONGEST, f"body: is longer than {_LONGEST} characters")
        _require(not _UNPRINTABLE.search(self.body), "body: contains a control character")
        _require(
            self.sender is None or bool(_SENDER.fullmatch(self.sender)),
            "sender: not a number, short code, name or messaging service",
        )


class SmsProvider(Protocol):
    """Hands one SMS over to a service that delivers it.

    `is_repeatable` is true when sending the same `message_id` twice has no second effect.

    `send` awaits `before` right before the step that cannot be undone; when that raises, nothing
    was sent. It returns the provider's own id of the message, and raises ServiceUnavailableError
    (not sent, try later), ThrottledError (the same, and slower), DeliveryUnknownError (perhaps
    sent), RequestRejectedError (refused for good).

    `find` looks for an SMS whose answer was lost: its id if it was taken since then, else None.
    `known` are ids of others to the same number, which may read the same. `accepted` does so when
    nobody knows any more what it said: the ids of all to a number that were taken in between, but
    for those known.
    """

    @property
    def name(self) -> str: ...

    @property
    def is_repeatable(self) -> bool: ...

    async def send(self, sms: Sms, *, message_id: str, before: Before = nothing) -> str: ...

    async def find(
        self, sms: Sms, *, message_id: str, since: datetime, known: Collection[str] = ()
    ) -> str | None: ...

    async def accepted(
        self,
        to: str,
        *,
        message_id: str,
        since: datetime,
        until: datetime,
        known: Collection[str] = (),
    ) -> list[str]: ...

    async def aclose(self) -> None: ...


def _require(condition: bool, sentence: str) -> None:  # noqa: FBT001 - reads like assert
    if not condition:
        raise RequestRejectedError(f"the SMS cannot be sent: {sentence}")
