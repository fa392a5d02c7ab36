"""One message object and one protocol for all ways to send mail.

A provider sends what it is given once per call and never retries: the runner does.
"""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Attachment:
    filename: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail to one recipient. `template` names its kind in metrics; `unsubscribe_url` is https."""

    template: str
    to: str = field(repr=False)
    to_name: str = field(default="", repr=False)
    subject: str = field(repr=False)
    text: str = field(repr=False)
    html: str = field(repr=False)
    attachments: tuple[Attachment, ...] = ()
    unsubscribe_url: str | None = field(default=None, repr=False)
    language: str = "en"


class MailProvider(Protocol):
    """Hands one mail over to a service that delivers it.

    `is_repeatable` is true when sending the same `message_id` twice has no second effect.

    `send` returns the provider's own id of the message. It raises ServiceUnavailableError (not
    sent, try later), DeliveryUnknownError (perhaps sent), RequestRejectedError (refused for good).
    """

    @property
    def name(self) -> str: ...

    @property
    def is_repeatable(self) -> bool: ...

    async def send(self, mail: Mail, *, message_id: str) -> str: ...

    async def aclose(self) -> None: ...
