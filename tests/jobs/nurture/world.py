"""Contacts and sequences for tests of nurture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from jobs.nurture.core import Step
from jobs.nurture.sequences import queries
from worker.codec import decode_job
from worker.ending import State
from worker.testing import Rig
from worker.testing.ended import Ended

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

BOOKING = {"booking_url": "https://book.example/visit"}
TEMPLATES = ("nurture_welcome", "nurture_first_visit", "nurture_check_in")


async def add_contact(
    db: "Db",
    tenant_id: UUID,
    *,
    email: str | None = "deniz@example.org",
    phone: str | None = None,
    by_email: bool = True,
    by_sms: bool = False,
    preferred: str | None = None,
    locale: str = "tr",
) -> UUID:
    contact_id = uuid4()
    await db.execute(
        """
        insert into contacts (tenant_id, contact_id, full_name, email, phone, locale, timezone,
                              marketing_by_email, marketing_by_sms, preferred_channel)
        values ($1, $2, 'Deniz Kaya', $3, $4, $5, 'Europe/Istanbul', $6, $7, $8)
        """,
        tenant_id,
        contact_id,
        email,
        phone,
        locale,
        by_email,
        by_sms,
        preferred,
    )
    return contact_id


def steps_after(*days: float, channel: Any = "email") -> list[Step]:
    return [
        Step(
            step_id=uuid4(),
            delay=timedelta(days=delay),
            channel=channel,
            template=TEMPLATES[place % len(TEMPLATES)],
        )
        for place, delay in enumerate(days)
    ]


async def add_sequence(
    db: "Db",
    tenant_id: UUID,
    steps: Sequence[Step],
    *,
    name: str = "welcome",
    exit_on: Sequence[str] = ("reply",),
    values: Mapping[str, str] = BOOKING,
) -> UUID:
    sequence_id = uuid4()
    async with db.acquire() as connection, connection.transaction():
        await queries.insert(
            connection, tenant_id, sequence_id, name=name, exit_on=exit_on, values=values
        )
        await queries.put_steps(connection, tenant_id, sequence_id, steps)
    return sequence_id


async def put_steps(db: "Db", tenant_id: UUID, sequence_id: UUID, steps: Sequence[Step]) -> None:
    async with db.acquire() as connection, connection.transaction():
        await queries.put_steps(connection, tenant_id, sequence_id, steps)


async def suppress(
    db: "Db", tenant_id: UUID, channel: str, address: str, reason: str, at: datetime
) -> None:
    await db.execute(
        "insert into suppressions (tenant_id, channel, address, reason, created_at)"
        " values ($1, $2, $3, $4, $5)",
        tenant_id,
        channel,
        address,
        reason,
        at,
    )


async def reply(db: "Db", tenant_id: UUID, contact_id: UUID, at: datetime) -> None:
    await db.execute(
        "insert into contact_replies (tenant_id, contact_id, channel, replied_at)"
        " values ($1, $2, 'sms', $3)",
        tenant_id,
        contact_id,
        at,
    )


@dataclass(slots=True)
class Waiting:
    """A run that waits; by the rig's clock."""

    due_at: datetime
    run_id: str
    job: str
    payload: dict[str, Any]


class Stage:
    """Runs what jobs enqueued in their transactions, when it is due by the rig's clock."""

    def __init__(self, db: "Db", rig: Rig) -> None:
        self.db = db
        self.rig = rig
        self.waiting: list[Waiting] = []
        self._seen = 0

    async def collect(self) -> list[Waiting]:
        """All that waits, the first due first."""
        rows = await self.db.fetch(
            "select outbox_id, run_id, job, message, due_at, created_at from outbox"
            " where outbox_id > $1 order by outbox_id",
            self._seen,
        )
        for row in rows:
            self._seen = row["outbox_id"]
            delay = (row["due_at"] or row["created_at"]) - row["created_at"]
            due_at = self.rig.clock() + timedelta(seconds=round(delay.total_seconds()))
            payload = dict(decode_job(row["message"]).arguments)
            self.waiting.append(Waiting(due_at, row["run_id"], row["job"], payload))
        self.waiting.sort(key=lambda one: one.due_at)
        return self.waiting

    async def run_due(self) -> list[Ended]:
        """Run all that is due, and what that makes due, each once."""
        ended = []
        while (found := await self.collect()) and found[0].due_at <= self.rig.clock():
            ended.append(await self.run(found.pop(0)))
        return ended

    async def run(self, one: Waiting) -> Ended:
        """One attempt; a run that is to come again waits again."""
        ended = await self.rig.run(one.job, one.payload, run_id=one.run_id)
        self.put_back(one, ended)
        return ended

    def put_back(self, one: Waiting, ended: Ended) -> None:
        if ended.state in {State.SNOOZED, State.RETRYING}:
            self.waiting.append(replace(one, due_at=self.rig.clock() + ended.wait))

    async def pass_time(self, **parts: float) -> list[Ended]:
        """Time goes by, and each run has its turn when it is due."""
        until = self.rig.clock() + timedelta(**parts)
        ended = await self.run_due()
        while (found := await self.collect()) and found[0].due_at <= until:
            self.rig.clock.move_to(max(found[0].due_at, self.rig.clock()))
            ended += await self.run_due()
        self.rig.clock.move_to(until)
        return ended
