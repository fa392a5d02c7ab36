"""Messages that a run left in doubt when it ended: it was cancelled, say, or has expired.

Nobody would ever look at them again. Who can be asked is asked; else the message is `doubtful`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final

from arq.constants import job_key_prefix
from redis.asyncio import Redis

from clients.errors import RequestRejectedError, ServiceUnavailableError
from clients.sms import SmsProvider
from jobs.kit.sending import Meter
from jobs.messaging.catalogue import kind_of_delivery
from worker.deliveries import queries
from worker.deliveries.record import TAKEN_WITHIN, Doubt
from worker.telemetry.logs import get_logger

if TYPE_CHECKING:
    import asyncpg

# Later than any provider reports, and than a run that goes on looks again.
SETTLED_AFTER: Final = timedelta(minutes=15)
# Of a run whose end nobody has heard of. Also as long as a provider may be away that can be asked.
LOST_AFTER: Final = timedelta(days=1)
_LATELY = timedelta(minutes=10)  # before: what was sent then is not what is looked for
_PAGE = 200
_WITHIN = 20.0  # seconds: the next pass goes on
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtChore:
    """Call it once a minute. Raises what Redis and PostgreSQL raise."""

    redis: Redis
    db: "asyncpg.Pool[asyncpg.Record]"
    sms: SmsProvider
    meter: Meter
    clock: Callable[[], datetime]

    async def __call__(self) -> None:
        now, deadline = self.clock(), monotonic() + _WITHIN
        after, doubtful = (datetime.min.replace(tzinfo=UTC), ""), 0
        while monotonic() < deadline:
            page = await queries.in_doubt(
                self.db,
                before=now - SETTLED_AFTER,
                lost_before=now - LOST_AFTER,
                after=after,
                limit=_PAGE,
            )
            for doubt in await self._over(page):
                doubtful += await self._settle(doubt, now) == "doubtful"
            if len(page) < _PAGE:
                break
            after = (page[-1].claimed_at, page[-1].message_id)
        if doubtful:
            _log.warning("Messages may have been sent: see `deskhand doubts`", messages=doubtful)

    async def _over(self, doubts: Sequence[Doubt]) -> list[Doubt]:
        """Those whose run is not in Redis, where it would wait or run."""
        if not doubts:
            return []
        async with self.redis.pipeline(transaction=False) as pipe:
            for doubt in doubts:
                pipe.exists(f"{job_key_prefix}{doubt.run_id}")
            found = await pipe.execute()
        return [one for one, is_there in zip(doubts, found, strict=True) if not is_there]

    async def _settle(self, doubt: Doubt, now: datetime) -> str | None:
        """What it is now; None when that cannot be said yet, or not by us."""
        taken = await self._taken(doubt)
        if taken is None and doubt.claimed_at > now - LOST_AFTER and self._can_ask(doubt):
            return None
        match taken:
            case []:
                status, is_ours = "failed", await queries.forget(self.db, doubt)
            case [provider_id]:
                status = "sent"
                is_ours = await queries.settle(self.db, doubt, status, provider_id=provider_id)
            case _:
                status = "doubtful"
                is_ours = await queries.settle(self.db, doubt, status)
        if is_ours:
            self._count(doubt, status)
        return status if is_ours else None

    def _can_ask(self, doubt: Doubt) -> bool:
        """Of two messages at about the same time nobody could tell which one was taken."""
        return doubt.channel == "sms" and doubt.provider == self.sms.name and doubt.is_alone

    async def _taken(self, doubt: Doubt) -> list[str] | None:
        """Which messages it may have become; None where nobody says so."""
        if not self._can_ask(doubt):
            return None
        since = doubt.claimed_at
        known = await queries.sent_to(self.db, doubt, since - _LATELY)
        try:
            return await self.sms.accepted(
                doubt.recipient,
                message_id=doubt.message_id,
                since=since,
                until=since + TAKEN_WITHIN,
                known=known,
            )
        except (ServiceUnavailableError, RequestRejectedError) as error:
            _log.warning("A provider cannot be asked", error_type=type(error).__name__)
            return None

    def _count(self, doubt: Doubt, status: str) -> None:
        template = kind_of_delivery(doubt.template)
        labels = {"provider": doubt.provider, "template": template, "status": status}
        match doubt.channel:
            case "email":
                self.meter.email(**labels)
            case "sms":
                self.meter.sms(**labels)
            case "webhook":
                self.meter.webhook(target="notices", status=status)
