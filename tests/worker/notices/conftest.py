"""A watch with a clock of its own, and failures for it to find."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Protocol

import asyncpg
import orjson
import pytest
import trustme

from tests.clients.stand_ins.smtp_relay import SmtpRelay, smtp_relay
from tests.clients.stand_ins.webhook_receiver import Receiver, webhook_receiver
from tests.worker.ledger.records import attempt
from worker.ending import State
from worker.ledger.rows import write_attempts
from worker.notices.notice import Notice
from worker.notices.policy import Rules
from worker.notices.queries import page
from worker.notices.telling import Channels
from worker.notices.watch import Line, Watch

Db = asyncpg.Pool
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
OPS = "ops@example.com"
BOTH = Channels(addresses=(OPS,), has_webhook=True)
_serial = count()


@dataclass
class Scene:
    """A database, what happens in it, and what a watch of one worker makes of that."""

    db: Db
    now: datetime = START
    rules: Rules = field(default_factory=Rules)
    channels: Channels = BOTH
    queues: dict[str, Line] = field(default_factory=dict)
    counted: list[tuple[str, str]] = field(default_factory=list)

    def watch(self, **changes: Any) -> Watch:
        async def lines() -> dict[str, Line]:
            return self.queues

        options: dict[str, Any] = {
            "queues": lines,
            "counted": lambda kind, change: self.counted.append((kind, change)),
            "clock": lambda: self.now,
            **changes,
        }
        return Watch(self.db, self.rules, self.channels, **options)

    async def look(self, after: timedelta = MINUTE) -> None:
        """So much later some worker looks at everything."""
        self.now += after
        await self.watch().step()

    async def fail(
        self,
        times: int = 1,
        *,
        at: datetime | None = None,
        run_id: str | None = None,
        **changes: Any,
    ) -> list[str]:
        """So many runs fail for good, as the ledger writes it down; returns their ids."""
        run_ids = [run_id or f"run{next(_serial)}" for _ in range(times)]
        given = {"state": State.DEAD, "error_type": "ValueError", "reason": "attempts_spent"}
        when = {"ended_at": at or self.now, "started_at": (at or self.now) - SECOND}
        records = [attempt(run_id, **{**given, **when, **changes}) for run_id in run_ids]
        entries = [(f"{next(_serial)}-0", record.to_bytes()) for record in records]
        await write_attempts(self.db, entries)
        return run_ids

    async def notices(self) -> list[Notice]:
        """Newest first."""
        return await page(self.db)

    async def notice(self) -> Notice:
        (notice,) = await self.notices()
        return notice

    async def enqueued(self, job: str = "operations.send_notice_webhook") -> list[dict[str, Any]]:
        """Payloads of the runs that tell of it, oldest first."""
        rows = await self.db.fetch(
            "select message from outbox where job = $1 order by outbox_id", job
        )
        return [orjson.loads(row["message"])["a"][0] for row in rows]

    async def told(self) -> list[tuple[str, str, int]]:
        """Kind, change and number of what the webhook is told."""
        return [
            (one["trouble"]["kind"], one["trouble"]["change"], one["trouble"]["since_last"])
            for one in await self.enqueued()
        ]


class MakeScene(Protocol):
    def __call__(self, **rules: Any) -> Scene: ...


@pytest.fixture
def scene(db: Db) -> Scene:
    return Scene(db)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture
async def relay() -> AsyncIterator[SmtpRelay]:
    async with smtp_relay(trustme.CA(), security="none", has_auth=False) as relay:
        yield relay


@pytest.fixture
def alerting(relay: SmtpRelay, receiver: Receiver) -> Callable[..., dict[str, Any]]:
    """Settings of a worker that tells both."""

    def made(**changes: Any) -> dict[str, Any]:
        return {
            "email_provider": "smtp",
            "smtp_host": "127.0.0.1",
            "smtp_port": relay.port,
            "smtp_security": "none",
            "alert_email": OPS,
            "alert_webhook_url": receiver.url,
            "alert_webhook_secret": receiver.secret,
            **changes,
        }

    return made
