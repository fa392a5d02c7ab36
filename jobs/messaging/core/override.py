"""A tenant's own words in the place of the product's."""

from dataclasses import dataclass, field
from typing import Literal

from jobs.messaging.core.channels import Channel

Kind = Literal["subject", "text", "html", "sms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A tenant's template of one message in one language, by one channel.

    An SMS has a text alone. In a mail the subject may be left to the product's; HTML without
    `<html>` is put into the layout, and whichever of text and HTML is missing is made of the other.
    """

    version: int
    subject: str | None = field(default=None, repr=False)
    text: str | None = field(default=None, repr=False)
    html: str | None = field(default=None, repr=False)

    def parts(self, channel: Channel) -> dict[Kind, str]:
        """What is to be filled."""
        if channel == "sms":
            return {"sms": self.text or ""}
        every: dict[Kind, str | None] = {
            "subject": self.subject,
            "text": self.text,
            "html": self.html,
        }
        return {kind: source for kind, source in every.items() if source is not None}
