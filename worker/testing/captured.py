"""What a job sends, counts and says, kept for the test that looks at it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from uuid import uuid4

from clients.mail import Mail, Sender, written_message
from jobs.kit import DeliveryReceipt, Run


class NotGivenError(Exception):
    """The job asked for something that the test has not given to its rig."""


class NotGiven:
    """Stands for what a test has not given; `notice` hears when a job asks for it."""

    def __init__(self, name: str, notice: Callable[[NotGivenError], None]) -> None:
        self._name = name
        self._notice = notice

    def __getattr__(self, attribute: str) -> Any:
        error = NotGivenError(
            f"the job asked for ctx.{self._name}.{attribute}: make the rig with one, "
            f"Rig({self._name}=…), or let the fixture `rig_tools` return it"
        )
        self._notice(error)
        raise error


@dataclass(frozen=True, slots=True)
class SentMail:
    """A mail as the job made it; `message` is what a mail program would read."""

    mail: Mail
    message_id: str
    sender: Sender
    sent_at: datetime

    @property
    def message(self) -> EmailMessage:
        written = written_message(
            self.mail, self.sender, message_id=self.message_id, date=self.sent_at
        )
        return message_from_bytes(written, policy=policy.default)


@dataclass(slots=True)
class Outbox:
    """A mail provider that keeps what it is given; with `error` it raises that instead."""

    sender: Sender
    clock: Callable[[], datetime]
    mails: list[SentMail] = field(default_factory=list)
    error: Exception | None = None
    name: str = "outbox"
    is_repeatable: bool = True

    async def send(self, mail: Mail, *, message_id: str) -> str:
        """Keep it; returns its id. Raises `error`."""
        if self.error is not None:
            raise self.error
        self.mails.append(SentMail(mail, message_id, self.sender, self.clock()))
        return message_id

    async def aclose(self) -> None:
        """Nothing is open."""


class MemoryMailer:
    """The Mailer of one run without a database: once for each tenant, key and recipient."""

    def __init__(self, run: Run, outbox: Outbox, sent: dict[tuple[Any, ...], str]) -> None:
        self._run = run
        self._outbox = outbox
        self._sent = sent

    async def send(self, mail: Mail, *, key: str) -> DeliveryReceipt:
        row = (self._run.tenant_id, key, mail.address.lower())
        if row in self._sent:
            return DeliveryReceipt("already_sent", self._sent[row], self._outbox.name)
        message_id = f"<{uuid4().hex}@{self._outbox.sender.domain}>"
        await self._outbox.send(mail, message_id=message_id)
        self._sent[row] = message_id
        return DeliveryReceipt("sent", message_id, self._outbox.name)


class Counted:
    """A Meter that remembers what it was told, as dicts."""

    def __init__(self) -> None:
        self.emails: list[dict[str, str]] = []
        self.syncs: list[dict[str, Any]] = []

    def email(self, *, provider: str, template: str, status: str) -> None:
        self.emails.append({"provider": provider, "template": template, "status": status})

    def sync(self, *, integration: str, operation: str, status: str, **records: int) -> None:
        of = {"integration": integration, "operation": operation, "status": status}
        self.syncs.append({**of, **records})
