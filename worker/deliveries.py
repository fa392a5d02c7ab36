"""Mail that is sent once, even when an attempt is run twice.

A row in `deliveries` is committed before the provider is called, so whoever comes later knows:

    (none) ──► sending ──► sent                         handed over
                  │  ├───► (none)                       the provider was away; try again
                  │  ├───► rejected                     refused for good
                  │  └───► unconfirmed                  handed over, no answer: perhaps sent
                  └─ interrupted here: `sending` stays, and the next attempt finds it

Nothing can tell whether an `unconfirmed` mail arrived, so a person looks and replays the run.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from clients.errors import DeliveryUnknownError, RequestRejectedError, ServiceUnavailableError
from clients.mail import Mail, MailProvider
from jobs.kit import DeliveryReceipt, Run, Snooze
from jobs.kit.context import Meter

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

NOBODY = UUID(int=0)  # the tenant of what belongs to none
_ABANDONED_AFTER = timedelta(minutes=5)  # longer than any provider may take
_LOOK_AGAIN_AFTER = timedelta(seconds=30)
_UNCONFIRMED = (
    "the mail may have been sent: an earlier attempt handed it over and saw no answer; "
    "look into the mailbox, then replay this run to send it again"
)

Verdict = Literal["send", "wait", "already_sent", "unconfirmed"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one recipient: the row's key, and what the row says about it."""

    tenant_id: UUID
    key: str
    recipient: str
    template: str
    provider: str
    message_id: str
    run_id: str

    @property
    def row(self) -> tuple[UUID, str, str]:
        return self.tenant_id, self.key, self.recipient


@dataclass(frozen=True, slots=True)
class Found:
    """What an earlier attempt left."""

    status: str
    provider: str
    message_id: str
    run_id: str
    claimed_at: datetime


@dataclass(slots=True, kw_only=True)  # not frozen: one is made for every attempt
class RecordedMailer:
    """The Mailer of one attempt."""

    db: "Pool"
    provider: MailProvider
    meter: Meter
    run: Run
    clock: Callable[[], datetime]

    async def send(self, mail: Mail, *, key: str) -> DeliveryReceipt:
        """Send the mail unless (tenant, key, recipient) was sent, or must not be written to.

        Raises Snooze while another run is sending it, RequestRejectedError when nobody knows
        whether an earlier attempt did, and whatever the provider raises.
        """
        delivery = self._delivery(mail, key)
        spellings = [delivery.recipient, mail.to.strip().lower()]  # with and without IDNA
        if await _is_suppressed(self.db, delivery.tenant_id, spellings):
            return await self._suppressed(delivery)
        found = await self._claim(delivery)
        if found is not None and found.status == "sent":
            return DeliveryReceipt("already_sent", found.message_id, found.provider)
        provider_id = await self._hand_over(mail, delivery, found)
        await _mark_sent(self.db, delivery, provider_id, self.clock())
        self._count(delivery, "sent")
        return DeliveryReceipt("sent", delivery.message_id, delivery.provider)

    def _delivery(self, mail: Mail, key: str) -> Delivery:
        tenant_id, recipient = self.run.tenant_id or NOBODY, mail.address.lower()
        digest = hashlib.sha256(f"{tenant_id}\n{key}\n{recipient}".encode()).hexdigest()[:32]
        return Delivery(
            tenant_id=tenant_id,
            key=key,
            recipient=recipient,
            template=mail.template,
            provider=self.provider.name,
            message_id=f"<{digest}@{self.provider.sender.domain}>",
            run_id=self.run.run_id,
        )

    async def _suppressed(self, delivery: Delivery) -> DeliveryReceipt:
        found = await _record_suppressed(self.db, delivery, self.clock())
        if found is not None and found.status == "sent":
            return DeliveryReceipt("already_sent", found.message_id, found.provider)
        self._count(delivery, "suppressed")
        return DeliveryReceipt("suppressed", delivery.message_id, delivery.provider)

    async def _claim(self, delivery: Delivery) -> Found | None:
        """Make the row ours. Returns what was there before: `sent` means that it is not ours."""
        now = self.clock()
        async with self.db.acquire() as connection, connection.transaction():
            if await _insert_claim(connection, delivery, now):
                return None
            found = await _lock(connection, delivery)
            verdict = judge(found, self.run, self.provider, now)
            if verdict == "send":
                await _renew_claim(connection, delivery, now)
            elif verdict == "unconfirmed":
                await _mark(connection, delivery, "unconfirmed", found.run_id)
        if verdict == "wait":
            raise Snooze(_LOOK_AGAIN_AFTER, "another run is sending this mail")
        if verdict == "unconfirmed":
            if found.status != verdict:
                self._count(delivery, "unconfirmed")
            raise RequestRejectedError(_UNCONFIRMED)
        return found

    async def _hand_over(self, mail: Mail, delivery: Delivery, found: Found | None) -> str:
        """Call the provider. When cancelled here the row stays `sending`, which is the truth."""
        try:
            return await self.provider.send(mail, message_id=delivery.message_id)
        except DeliveryUnknownError as error:
            if self.provider.is_repeatable:
                await self._release(delivery, found)
                raise
            await _mark(self.db, delivery, "unconfirmed", delivery.run_id)
            self._count(delivery, "unconfirmed")
            raise RequestRejectedError(_UNCONFIRMED) from error
        except ServiceUnavailableError:
            await self._release(delivery, found)
            raise
        except RequestRejectedError:
            await _mark(self.db, delivery, "rejected", delivery.run_id)
            self._count(delivery, "failed")
            raise

    async def _release(self, delivery: Delivery, found: Found | None) -> None:
        """Give the claim back. An open question stays one: only a replay may answer it."""
        self._count(delivery, "failed")
        if found is not None and found.status == "unconfirmed":
            await _mark(self.db, delivery, "unconfirmed", found.run_id)
        else:
            await _delete_claim(self.db, delivery)

    def _count(self, delivery: Delivery, status: str) -> None:
        self.meter.email(provider=delivery.provider, template=delivery.template, status=status)


def judge(found: Found, run: Run, provider: MailProvider, now: datetime) -> Verdict:
    """What to do about a mail that somebody dealt with before."""
    if found.status == "sent":
        return "already_sent"
    if found.status == "unconfirmed":
        # A replay is a person's answer to the run before it, not to what the replay itself did.
        is_decided = run.replay_of is not None and found.run_id != run.run_id
        return "send" if is_decided else "unconfirmed"
    if found.status == "sending":
        if found.run_id != run.run_id and now - found.claimed_at < _ABANDONED_AFTER:
            return "wait"
        is_harmless = provider.is_repeatable and found.provider == provider.name
        return "send" if is_harmless else "unconfirmed"
    return "send"


async def _is_suppressed(db: "Pool", tenant_id: UUID, addresses: list[str]) -> bool:
    return bool(
        await db.fetchval(
            """
            select exists (
                select from suppressions
                where tenant_id = $1 and channel = 'email' and address = any($2)
            )
            """,
            tenant_id,
            addresses,
        )
    )


async def _insert_claim(connection: "Connection", delivery: Delivery, now: datetime) -> bool:
    """True when there was no row. Waits for a transaction that is inserting the same one."""
    inserted = await connection.fetchval(
        """
        insert into deliveries (tenant_id, key, recipient, channel, template, provider, status,
                                message_id, run_id, claimed_at)
        values ($1, $2, $3, 'email', $4, $5, 'sending', $6, $7, $8)
        on conflict do nothing
        returning true
        """,
        *delivery.row,
        delivery.template,
        delivery.provider,
        delivery.message_id,
        delivery.run_id,
        now,
    )
    return bool(inserted)


async def _lock(connection: "Connection", delivery: Delivery) -> Found:
    """The row, which nobody else may judge until the transaction ends."""
    row = await connection.fetchrow(
        """
        select status, provider, message_id, run_id, claimed_at from deliveries
        where tenant_id = $1 and key = $2 and recipient = $3
        for update
        """,
        *delivery.row,
    )
    if row is None:  # released between the insert and this: its run tries again too
        raise Snooze(_LOOK_AGAIN_AFTER, "another run has just given this mail back")
    return Found(**row)


async def _renew_claim(connection: "Connection", delivery: Delivery, now: datetime) -> None:
    await connection.execute(
        """
        update deliveries
        set status = 'sending', provider = $4, message_id = $5, run_id = $6, claimed_at = $7,
            provider_id = null, sent_at = null
        where tenant_id = $1 and key = $2 and recipient = $3
        """,
        *delivery.row,
        delivery.provider,
        delivery.message_id,
        delivery.run_id,
        now,
    )


async def _delete_claim(db: "Pool", delivery: Delivery) -> None:
    await db.execute(
        """
        delete from deliveries
        where tenant_id = $1 and key = $2 and recipient = $3
          and status = 'sending' and run_id = $4
        """,
        *delivery.row,
        delivery.run_id,
    )


async def _mark(db: "Pool | Connection", delivery: Delivery, status: str, run_id: str) -> None:
    """Never over `sent`: a slower twin of this attempt may have learnt more."""
    await db.execute(
        """
        update deliveries set status = $4, run_id = $5
        where tenant_id = $1 and key = $2 and recipient = $3 and status <> 'sent'
        """,
        *delivery.row,
        status,
        run_id,
    )


async def _mark_sent(db: "Pool", delivery: Delivery, provider_id: str, now: datetime) -> None:
    await db.execute(
        """
        update deliveries set status = 'sent', provider_id = $4, sent_at = $5
        where tenant_id = $1 and key = $2 and recipient = $3
        """,
        *delivery.row,
        provider_id,
        now,
    )


async def _record_suppressed(db: "Pool", delivery: Delivery, now: datetime) -> Found | None:
    """Note that nothing was sent; returns a row that says otherwise, if there is one."""
    async with db.acquire() as connection, connection.transaction():
        if not await _insert_claim(connection, delivery, now):
            found = await _lock(connection, delivery)
            if found.status in {"sent", "sending", "unconfirmed"}:
                return found
        await _mark(connection, delivery, "suppressed", delivery.run_id)
    return None
