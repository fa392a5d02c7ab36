"""Sending one message once, even when an attempt is run twice. `record` tells how."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from clients.errors import (
    AccountRefusedError,
    DeliveryUnknownError,
    RecipientOptedOutError,
    RequestRejectedError,
    ServiceUnavailableError,
    ThrottledError,
)
from jobs.kit import DeliveryReceipt, Run, Snooze
from jobs.kit.sending import Check, Recording
from worker.deliveries import queries
from worker.deliveries.record import (
    ABANDONED_AFTER,
    IN_DOUBT,
    LISTED_AFTER,
    LOOK_AGAIN_AFTER,
    REPORTED_WITHIN,
    Delivery,
    Found,
    judge,
    wait_for,
)
from worker.deliveries.throttling import ACCOUNT_REST, KEPT_FOR, Pause, no_pause, tell_refused

if TYPE_CHECKING:
    import asyncpg

_PAUSE = timedelta(seconds=30)  # where a service says that it is asked too often, and no more
_LATELY = timedelta(minutes=10)  # before: what was sent then is not what is looked for
_UNCONFIRMED = (
    "the message may have been sent: an earlier attempt handed it over and saw no answer; "
    "look whether it arrived, then replay this run to send it again"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message on its way: how its provider takes it, and how it is asked for one in doubt."""

    name: str
    is_repeatable: bool
    reports: bool = False
    send: Callable[..., Awaitable[str]]  # (before=…): the provider's id
    find: Callable[..., Awaitable[str | None]] | None = None  # (since=…, known=…): the same

    @property
    def finds(self) -> bool:
        return self.find is not None


@dataclass(slots=True, kw_only=True)  # not frozen: one is made for every message
class Sending:
    """One message of one attempt. `count` takes what became of it; `claim` is what it replaced."""

    db: "asyncpg.Pool[asyncpg.Record]"
    outgoing: Outgoing
    delivery: Delivery
    run: Run
    clock: Callable[[], datetime]
    count: Callable[[str], None]
    recording: Recording | None = None
    check: Check | None = None
    pause: Pause = no_pause
    is_claimed: bool = False
    replaced: Found | None = None
    looked_at: datetime | None = None
    settled: Found | None = None  # was in doubt, and has not left

    async def send(self, spellings: Sequence[str]) -> DeliveryReceipt:
        """Send the message unless (tenant, key, recipient) was sent, or must not be written to.

        Raises Snooze while it is not known what another run did, and while the provider is asked
        too often, which the others of its channel hear of; RequestRejectedError when nobody can
        know; and whatever the provider raises.
        """
        is_suppressed, found = await queries.look(self.db, self.delivery, spellings)
        if found is not None and found.status == "sent":
            return await self._already_sent(found)
        if found is not None and found.status in IN_DOUBT:
            try:
                provider_id = await self._settle(found)
            except _UnconfirmedError:
                if not is_suppressed:
                    raise
                return self._suppressed()  # nothing to send again: `settling` has the last word
            if provider_id is not None:
                return await self._sent(provider_id)
            self.settled = found
        if is_suppressed:
            return await self._not_sent("suppressed")
        try:
            provider_id = await self._hand_over()
        except _AlreadySent as known:
            return await self._already_sent(known.found)
        return await self._sent(provider_id)

    async def _settle(self, found: Found) -> str | None:
        """The provider's id of a message in doubt that it has; None when it may be sent."""
        now = self.clock()
        verdict = judge(found, self.run, self.outgoing, now)
        delay = wait_for(found, verdict, self.outgoing, now)
        if delay is not None:
            raise Snooze(delay, "it is not known yet whether this message was sent")
        if verdict == "unconfirmed":
            await self._leave_in_doubt(found)
        if verdict != "look" or self.outgoing.find is None:
            return None
        self.looked_at = found.claimed_at
        known = await queries.sent_to(self.db, self.delivery, found.claimed_at - _LATELY)
        provider_id = await self.outgoing.find(since=found.claimed_at, known=known)
        if provider_id is None:
            return None
        # One that reads the same may be on its way to the same number, or looked for as well.
        if not await queries.take(self.db, self.delivery, provider_id, now - ABANDONED_AFTER):
            raise Snooze(LOOK_AGAIN_AFTER, "what was found may be another message's")
        return provider_id

    async def _hand_over(self) -> str:
        """Call the provider. When cancelled here the row stays `sending`, which is the truth."""
        asked_at = self.clock()
        try:
            return await self.outgoing.send(before=self._claim)
        except DeliveryUnknownError as error:
            await self._doubt(error)
            raise
        except ThrottledError as error:
            await self._release()
            wait = max(error.retry_after or _PAUSE, timedelta(seconds=1))
            await self.pause(wait)
            raise Snooze(wait, "the provider is asked too often") from error
        except AccountRefusedError as error:
            await self._wait_for_settings(error)
            raise
        except ServiceUnavailableError:
            await self._release()
            raise
        except RequestRejectedError as error:
            if isinstance(error, _UnconfirmedError):
                raise
            if isinstance(error, RecipientOptedOutError):
                await queries.suppress(self.db, self.delivery, asked_at)
            await self._not_sent("rejected")
            raise

    async def _wait_for_settings(self, error: AccountRefusedError) -> None:
        """Raises Snooze, which spends no attempt, for a day. A run's first attempt fails all the
        same, so that admins hear of it.
        """
        await self._release()
        await self.pause(ACCOUNT_REST)
        now = self.clock()
        tell_refused(self.outgoing.name, error, now)
        if self.run.attempt > 1 and now - self.run.enqueued_at < KEPT_FOR:
            raise Snooze(ACCOUNT_REST, "the provider refuses our account") from error

    async def _claim(self) -> None:
        """Make the row ours; what cannot be undone may follow."""
        if self.check is not None:
            await self.check()
        now = self.clock()
        if await queries.insert(self.db, self.delivery, "sending", now):
            self.is_claimed = True
            return
        async with self.db.acquire() as connection, connection.transaction():
            found = await queries.lock(connection, self.delivery)
            if found is None:  # released between the insert and this: its run tries again too
                raise Snooze(LOOK_AGAIN_AFTER, "another run has just given this message back")
            verdict = judge(found, self.run, self.outgoing, now)
            if verdict == "look" and found.claimed_at == self.looked_at:
                verdict = "send"
            if verdict == "send":
                await queries.renew(connection, self.delivery, now)
        if verdict == "already_sent":
            raise _AlreadySent(found)
        if verdict == "unconfirmed":
            await self._leave_in_doubt(found)
        if verdict != "send":
            raise Snooze(LOOK_AGAIN_AFTER, "another run is sending this message")
        self.is_claimed, self.replaced = True, found

    async def _doubt(self, error: DeliveryUnknownError) -> None:
        """Raises RequestRejectedError where nobody but a person can find out."""
        if self.outgoing.is_repeatable:
            await self._release()
            return
        await queries.mark(self.db, self.delivery, "unconfirmed", self.delivery.run_id)
        self.count("unconfirmed")
        if not (self.outgoing.finds or self.outgoing.reports):
            raise _UnconfirmedError(_UNCONFIRMED) from error
        known_after = LISTED_AFTER if self.outgoing.finds else REPORTED_WITHIN
        error.retry_after = max(known_after, error.retry_after or known_after)

    async def _leave_in_doubt(self, found: Found) -> None:
        if found.status != "unconfirmed":
            await queries.mark(self.db, self.delivery, "unconfirmed", found.run_id)
            self.count("unconfirmed")
        raise _UnconfirmedError(_UNCONFIRMED)

    async def _release(self) -> None:
        """Give the claim back. An open question stays one: only a replay may answer it."""
        self.count("failed")
        if not self.is_claimed:
            return
        was_open = self.replaced is not None and self.replaced.status in IN_DOUBT - {"sending"}
        if was_open and self.replaced is not None and not self.outgoing.finds:
            await queries.mark(self.db, self.delivery, "unconfirmed", self.replaced.run_id)
        else:
            await queries.release(self.db, self.delivery)

    async def _sent(self, provider_id: str) -> DeliveryReceipt:
        """What the job records of it is true exactly when the delivery is."""
        now = self.clock()
        if self.recording is None:
            is_news = await queries.mark_sent(self.db, self.delivery, provider_id, now)
            self._count_sent(is_news=is_news)
        else:
            try:
                async with self.db.acquire() as connection, connection.transaction():
                    is_news = await queries.mark_sent(connection, self.delivery, provider_id, now)
                    await self.recording(connection)
            except Exception:
                # It did leave: the next attempt is to record that, and not to be in doubt.
                is_news = await queries.mark_sent(self.db, self.delivery, provider_id, now)
                self._count_sent(is_news=is_news)
                raise
            self._count_sent(is_news=is_news)
        return DeliveryReceipt("sent", self.delivery.message_id, self.delivery.provider)

    def _count_sent(self, *, is_news: bool) -> None:
        """Once: an event that was here before the answer has counted it."""
        if is_news:
            self.count("sent")

    async def _already_sent(self, found: Found) -> DeliveryReceipt:
        """Recorded again: an attempt before this one may have learnt of it from the provider."""
        if self.recording is not None:
            async with self.db.acquire() as connection, connection.transaction():
                await self.recording(connection)
        return DeliveryReceipt("already_sent", found.message_id, found.provider)

    async def _not_sent(self, status: str) -> DeliveryReceipt:
        """Note why, unless something else is known; then that is told."""
        known = None
        async with self.db.acquire() as connection, connection.transaction():
            if not await queries.insert(connection, self.delivery, status, self.clock()):
                known = await queries.lock(connection, self.delivery)
                if known is None or self._is_ours(known):
                    await queries.mark(connection, self.delivery, status, self.delivery.run_id)
                    known = None
        if known is not None and known.status == "sent":
            return await self._already_sent(known)
        self.count("failed" if status == "rejected" else status)
        return DeliveryReceipt(status, self.delivery.message_id, self.delivery.provider)

    def _is_ours(self, known: Found) -> bool:
        is_settled = self.is_claimed or known == self.settled
        return is_settled or known.status not in {*IN_DOUBT, "sent"}

    def _suppressed(self) -> DeliveryReceipt:
        self.count("suppressed")
        return DeliveryReceipt("suppressed", self.delivery.message_id, self.delivery.provider)


class _UnconfirmedError(RequestRejectedError):
    """Perhaps sent, and nobody but a person can tell."""


class _AlreadySent(Exception):  # noqa: N818 - how a claim ends, not an error
    """Between looking and claiming, another run has sent it."""

    def __init__(self, found: Found) -> None:
        super().__init__()
        self.found = found
