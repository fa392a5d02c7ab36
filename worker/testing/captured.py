"""What a job sends, counts and says, kept for the test that looks at it."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from uuid import uuid4

from clients.handover import Before, nothing
from clients.mail import Mail, Sender
from clients.mime import written_message
from clients.sms import Sms
from jobs.kit import DeliveryReceipt, Run
from jobs.kit.sending import Check, Recording


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
    """A mail provider that keeps what it is given; with `error` it raises that instead.

    `meanwhile` happens while it is being reached.
    """

    sender: Sender
    clock: Callable[[], datetime]
    mails: list[SentMail] = field(default_factory=list)
    error: Exception | None = None
    meanwhile: Callable[[], Awaitable[object]] | None = None
    name: str = "outbox"
    is_repeatable: bool = True
    reports: bool = False

    async def send(self, mail: Mail, *, message_id: str, before: Before = nothing) -> str:
        """Keep it; returns its id. Raises `error`."""
        if self.error is not None:
            raise self.error
        if self.meanwhile is not None:
            await self.meanwhile()
        await before()
        self.mails.append(SentMail(mail, message_id, self.sender, self.clock()))
        return message_id

    async def aclose(self) -> None:
        """Nothing is open."""


@dataclass(slots=True)
class TextOutbox:
    """An SMS provider that keeps what it is given; with `error` it raises that instead.

    `meanwhile` happens while it is being reached.
    """

    texts: list[Sms] = field(default_factory=list)
    error: Exception | None = None
    meanwhile: Callable[[], Awaitable[object]] | None = None
    name: str = "outbox"
    is_repeatable: bool = True

    async def send(self, sms: Sms, *, message_id: str, before: Before = nothing) -> str:
        """Keep it; returns its id. Raises `error`."""
        if self.error is not None:
            raise self.error
        if self.meanwhile is not None:
            await self.meanwhile()
        await before()
        self.texts.append(sms)
        return message_id

    async def find(
        self,
        sms: Sms,  # noqa: ARG002 - there is nothing to look for
        *,
        message_id: str,  # noqa: ARG002 - the same
        since: datetime,  # noqa: ARG002 - the same
        known: Collection[str] = (),  # noqa: ARG002 - the same
    ) -> str | None:
        """Nothing is ever in doubt."""
        return None

    async def accepted(
        self,
        to: str,  # noqa: ARG002 - there is nothing to look for
        *,
        message_id: str,  # noqa: ARG002 - the same
        since: datetime,  # noqa: ARG002 - the same
        until: datetime,  # noqa: ARG002 - the same
        known: Collection[str] = (),  # noqa: ARG002 - the same
    ) -> list[str]:
        """Nothing is ever in doubt."""
        return []

    async def aclose(self) -> None:
        """Nothing is open."""


class Memory:
    """What a run without a database has sent: once for each tenant, key and recipient."""

    def __init__(self, run: Run, db: Any, sent: dict[tuple[Any, ...], str]) -> None:
        self._run = run
        self._db = db
        self._sent = sent

    async def send(
        self,
        row: tuple[str, str],
        provider: str,
        call: Callable[[str], Awaitable[str]],
        recording: Recording | None,
    ) -> DeliveryReceipt:
        known = self._sent.get((self._run.tenant_id, *row))
        message_id = known or uuid4().hex
        if known is None:
            await call(message_id)
            self._sent[self._run.tenant_id, *row] = message_id
        if recording is not None:
            await recording(self._db)
        return DeliveryReceipt("sent" if known is None else "already_sent", message_id, provider)


def _before(check: Check | None) -> Before:
    async def before() -> None:
        if check is not None:
            await check()

    return before


@dataclass(frozen=True, slots=True)
class MemoryMailer:
    """The Mailer of one run without a database."""

    memory: Memory
    outbox: Outbox

    async def send(
        self,
        mail: Mail,
        *,
        key: str,
        recording: Recording | None = None,
        check: Check | None = None,
    ) -> DeliveryReceipt:
        async def call(message_id: str) -> str:
            message_id = f"<{message_id}@{self.outbox.sender.domain}>"
            return await self.outbox.send(mail, message_id=message_id, before=_before(check))

        row = (key, mail.mailbox)
        return await self.memory.send(row, self.outbox.name, call, recording)


@dataclass(frozen=True, slots=True)
class MemoryTexter:
    """The Texter of one run without a database."""

    memory: Memory
    outbox: TextOutbox

    async def send(
        self, sms: Sms, *, key: str, recording: Recording | None = None, check: Check | None = None
    ) -> DeliveryReceipt:
        async def call(message_id: str) -> str:
            return await self.outbox.send(sms, message_id=message_id, before=_before(check))

        return await self.memory.send((key, sms.to), self.outbox.name, call, recording)


class Counted:
    """A Meter that remembers what it was told, as dicts."""

    def __init__(self) -> None:
        self.emails: list[dict[str, str]] = []
        self.texts: list[dict[str, str]] = []
        self.webhooks: list[dict[str, str]] = []
        self.outcomes: list[dict[str, str]] = []
        self.skips: list[dict[str, str]] = []
        self.template_failures: list[dict[str, str]] = []
        self.personalisations: list[str] = []
        self.syncs: list[dict[str, Any]] = []

    def email(self, *, provider: str, template: str, status: str) -> None:
        self.emails.append({"provider": provider, "template": template, "status": status})

    def sms(self, *, provider: str, template: str, status: str) -> None:
        self.texts.append({"provider": provider, "template": template, "status": status})

    def webhook(self, *, target: str, status: str) -> None:
        self.webhooks.append({"target": target, "status": status})

    def outcome(self, *, provider: str, outcome: str) -> None:
        self.outcomes.append({"provider": provider, "outcome": outcome})

    def skipped(self, *, channel: str, template: str, reason: str) -> None:
        self.skips.append({"channel": channel, "template": template, "reason": reason})

    def template_failed(self, *, channel: str, template: str) -> None:
        self.template_failures.append({"channel": channel, "template": template})

    def personalised(self, *, outcome: str) -> None:
        self.personalisations.append(outcome)

    def sync(self, *, integration: str, operation: str, status: str, **records: int) -> None:
        of = {"integration": integration, "operation": operation, "status": status}
        self.syncs.append({**of, **records})
