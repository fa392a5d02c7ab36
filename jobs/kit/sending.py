"""What a job sends with, and counts with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from clients.mail import Mail
from clients.sms import Sms
from clients.webhook import WebhookEvent

if TYPE_CHECKING:
    import asyncpg

    Connection = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )


@dataclass(frozen=True, slots=True)
class DeliveryReceipt:
    """What became of one message: `sent`, `already_sent` or `suppressed`."""

    status: str
    message_id: str
    provider: str


# Written in the transaction that says that a message was sent; must stand being done twice.
Recording: TypeAlias = Callable[["Connection"], Awaitable[None]]


# Awaited when everything is ready to leave; what it raises ends the attempt, and nothing leaves.
Check: TypeAlias = Callable[[], Awaitable[object]]


class Mailer(Protocol):
    """Sends a mail at most once per (tenant, key, recipient), whatever happens in between.

    `recording` is awaited with the connection on which the mail is marked as sent, and again when
    it was sent before; `check` right before it leaves, which may be a while after the job looked.
    Raises what these and the provider raise, Snooze when it is asked too often or while
    another run may be sending it, RequestRejectedError when an earlier attempt may have sent it.
    """

    async def send(
        self,
        mail: Mail,
        *,
        key: str,
        recording: Recording | None = None,
        check: Check | None = None,
    ) -> DeliveryReceipt: ...


class Texter(Protocol):
    """Sends an SMS, with the promises of a Mailer."""

    async def send(
        self, sms: Sms, *, key: str, recording: Recording | None = None, check: Check | None = None
    ) -> DeliveryReceipt: ...


class Poster(Protocol):
    """Posts an event to the webhook of the settings, with the promises of a Mailer."""

    async def send(
        self,
        event: WebhookEvent,
        *,
        key: str,
        recording: Recording | None = None,
        check: Check | None = None,
    ) -> DeliveryReceipt: ...


class Meter(Protocol):
    """Counts what people ask about. Labels are closed sets, never ids or addresses."""

    def email(self, *, provider: str, template: str, status: str) -> None: ...

    def sms(self, *, provider: str, template: str, status: str) -> None: ...

    def webhook(self, *, target: str, status: str) -> None: ...

    def outcome(self, *, provider: str, outcome: str) -> None: ...

    def skipped(self, *, channel: str, template: str, reason: str) -> None: ...

    def template_failed(self, *, channel: str, template: str) -> None: ...

    def personalised(self, *, outcome: str) -> None: ...

    def sync(self, *, integration: str, operation: str, status: str, **records: int) -> None: ...
