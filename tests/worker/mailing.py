"""A database, a real relay and mailers, for tests of what a run remembers of its mails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import trustme

from clients.mail import MailProvider
from clients.smtp import Smtp, SmtpSettings
from jobs.kit import Run
from tests.clients.mails import MAIL, NOW, SENDER
from tests.clients.stand_ins.smtp_relay import SmtpRelay, smtp_relay
from worker.deliveries import RecordedMailer

if TYPE_CHECKING:
    import asyncpg

TENANT = UUID("0b8a5c44-7f7a-4f6e-9a39-2d2bd4a4d6d2")
KEY = "opportunity-reminder:7:2026-11-30"


@dataclass
class Counter:
    """Counts mails as the metrics do."""

    mails: list[tuple[str, str, str]] = field(default_factory=list)
    webhooks: list[tuple[str, str]] = field(default_factory=list)
    texts: list[tuple[str, str, str]] = field(default_factory=list)

    def email(self, *, provider: str, template: str, status: str) -> None:
        self.mails.append((provider, template, status))

    def sms(self, *, provider: str, template: str, status: str) -> None:
        self.texts.append((provider, template, status))

    def webhook(self, *, target: str, status: str) -> None:
        self.webhooks.append((target, status))

    def outcome(self, *, provider: str, outcome: str) -> None:
        raise AssertionError("a mailer is told of nothing that happens later")

    def skipped(self, *, channel: str, template: str, reason: str) -> None:
        raise AssertionError("a mailer skips nobody")

    def template_failed(self, *, channel: str, template: str) -> None:
        raise AssertionError("a mailer fills no template")

    def personalised(self, *, outcome: str) -> None:
        raise AssertionError("a mailer asks no model")

    def sync(self, *, integration: str, operation: str, status: str, **records: int) -> None:
        raise AssertionError("a mailer synchronises nothing")

    @property
    def statuses(self) -> list[str]:
        return [status for _, _, status in self.mails]


@dataclass
class House:
    """A database, a relay and mailers for runs of one job."""

    db: "asyncpg.Pool[asyncpg.Record]"
    relay: SmtpRelay
    settings: SmtpSettings
    provider: MailProvider
    counter: Counter = field(default_factory=Counter)
    now: datetime = NOW

    def mailer(self, run_id: str = "run-1", **changes: Any) -> RecordedMailer:
        run = Run(
            run_id=run_id,
            job="email.send_opportunity_reminder",
            queue="email",
            attempt=1,
            key=run_id,
            enqueued_at=NOW,
            correlation_id="c",
            tenant_id=TENANT,
        )
        return RecordedMailer(
            db=self.db,
            provider=self.provider,
            meter=self.counter,
            run=replace(run, **changes),
            clock=lambda: self.now,
        )

    async def row(self) -> dict[str, Any]:
        (row,) = await self.db.fetch("select * from deliveries")
        return dict(row)

    async def status(self) -> str | None:
        status: str | None = await self.db.fetchval("select status from deliveries")
        return status

    async def waiting(self) -> int:
        """How many connections wait for a lock in this database."""
        count: int = await self.db.fetchval(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock'"
        )
        return count

    async def interrupt(self, mailer: RecordedMailer) -> None:
        """Cancel the attempt while the relay holds the mail, as a deploy does."""
        is_in_hand = asyncio.Event()

        async def hang(transport: asyncio.Transport) -> None:
            is_in_hand.set()
            await asyncio.sleep(3600)

        self.relay.on_data = hang
        sending = asyncio.create_task(mailer.send(MAIL, key=KEY))
        await is_in_hand.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        self.relay.on_data = None


@asynccontextmanager
async def open_house(db: "asyncpg.Pool[asyncpg.Record]") -> AsyncIterator[House]:
    async with smtp_relay(trustme.CA(), security="none", has_auth=False) as relay:
        settings = SmtpSettings(host="127.0.0.1", port=relay.port, security="none")
        smtp = Smtp(settings, sender=SENDER, clock=lambda: NOW)
        yield House(db, relay, settings, smtp)
        await smtp.aclose()


async def drop_the_line(transport: asyncio.Transport) -> None:
    transport.abort()
