"""Looks, every few seconds, whether there is something to tell admins: one worker at a time."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import asyncpg
from redis.exceptions import RedisError

from worker.clock import utc_now
from worker.notices import policy, queries
from worker.notices.notice import Change, Kind, Notice, Told
from worker.notices.policy import NEVER, Rules
from worker.notices.queries import Connection, Db
from worker.notices.telling import Channels, announce, enqueue_messages
from worker.telemetry.logs import get_logger

_EVERY: Final = 15.0  # seconds
_FAILURES_EVERY: Final = timedelta(seconds=12)
_QUEUES_EVERY: Final = timedelta(seconds=55)
_MOST: Final = 1000  # rows of failures for one look
_PATIENCE: Final = 30.0  # seconds for a look
_SILENT: Final = 180.0  # seconds without a look, after which something is wrong
_QUEUE_KINDS: Final[tuple[Kind, ...]] = ("waiting", "unserved")
_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    RedisError,
)
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Line:
    """What a queue holds: runs that are due and wait, and whether any worker serves it."""

    waiting: int
    is_served: bool


class Watch:
    """Run `run()` in the background, in every worker.

    queues   reads what the queues hold; None where another process of this command does
    counted  is called with kind and change of what was told
    """

    def __init__(
        self,
        db: Db,
        rules: Rules,
        channels: Channels,
        *,
        queues: Callable[[], Awaitable[Mapping[str, Line]]] | None,
        counted: Callable[[str, str], None],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._db = db
        self._rules = rules
        self._channels = channels
        self._queues = queues
        self._counted = counted
        self._clock = clock
        self._looked_at = time.monotonic()
        self._is_away = False

    async def run(self) -> None:
        """For ever; what goes wrong is logged once, and what was missed is looked at later."""
        while True:
            await asyncio.sleep(_EVERY * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self.step()
            except _AWAY as error:
                if not self._is_away:
                    _log.warning("Notices wait", error_type=type(error).__name__)
                self._is_away = True
            except Exception:  # noqa: BLE001 - whatever it is, it must not silence all that follow
                _log.exception("Notices failed, and go on")
            else:
                self._looked_at, self._is_away = time.monotonic(), False

    async def step(self) -> None:
        """Look at what it is this worker's turn to look at."""
        now = self._clock()
        if await queries.take_turn(self._db, "failures", now, _FAILURES_EVERY):
            await self.look_at_failures()
        if self._queues is None:
            return
        if await queries.take_turn(self._db, "queues", now, _QUEUES_EVERY):
            await self.look_at_queues(await self._queues())

    async def look_at_failures(self) -> None:
        """Notices of failures that repeat, and that are over."""
        is_more = True
        while is_more:
            told: list[Told] = []
            async with self._db.acquire() as connection, connection.transaction():
                if not await queries.be_the_only_one(connection, "failures"):
                    return
                rows = await queries.lock_unseen(connection, _MOST)
                is_more = len(rows) == _MOST
                if rows:
                    told += await self._fresh(connection, rows)
                if not is_more:
                    told += await self._over(connection)
                await enqueue_messages(connection, told, self._channels, self._clock())
            self._announce(told)

    async def look_at_queues(self, lines: Mapping[str, Line]) -> None:
        """Notices of queues that hold too much, or that nobody serves; and that are over."""
        now, told = self._clock(), list[Told]()
        async with self._db.acquire() as connection, connection.transaction():
            if not await queries.be_the_only_one(connection, "queues"):
                return
            known = await queries.not_over(connection, _QUEUE_KINDS)
            for (kind, queue), (value, threshold) in self._values(lines):
                notice = known.get((kind, queue))
                after, change = policy.with_value(notice, kind, queue, value, threshold, now)
                if after is not None:
                    told += await self._saved(connection, after, change)
                elif notice is not None:
                    await queries.forget_suspicion(connection, notice)
            await enqueue_messages(connection, told, self._channels, now)
        self._announce(told)

    def _values(
        self, lines: Mapping[str, Line]
    ) -> Iterator[tuple[tuple[Kind, str], tuple[int, int]]]:
        """What is compared with which threshold, for each kind of trouble and queue."""
        for queue, line in lines.items():
            yield ("waiting", queue), (line.waiting, self._rules.most_waiting(queue) or NEVER)
            unserved = 0 if line.is_served else line.waiting
            yield ("unserved", queue), (unserved, 0 if self._rules.unserved else NEVER)

    async def _fresh(self, connection: Connection, rows: Sequence[queries.Minute]) -> list[Told]:
        now, told = self._clock(), list[Told]()
        kinds = await queries.fresh(connection, rows, self._rules.window)
        subjects = [policy.subject_of(one.job, one.error_type) for one in kinds]
        known = await queries.not_over(connection, ["failures"], subjects)
        for subject, fresh in zip(subjects, kinds, strict=True):
            notice = known.get(("failures", subject))
            after, change = policy.with_failures(notice, fresh, self._rules, now)
            if after is not None:
                told += await self._saved(connection, after, change)
        await queries.mark_seen(connection, rows)
        return told

    async def _over(self, connection: Connection) -> list[Told]:
        now, told = self._clock(), list[Told]()
        for notice in (await queries.not_over(connection, ["failures"])).values():
            succeeded = notice.is_scheduled and await queries.succeeded_since(connection, notice)
            if policy.are_over(notice, self._rules, now, has_succeeded=succeeded):
                told += await self._saved(connection, replace(notice, closed_at=now), "closed")
        return told

    async def _saved(
        self, connection: Connection, notice: Notice, change: Change | None
    ) -> list[Told]:
        if change is None:
            await queries.save(connection, notice)
            return []
        told = policy.told(notice, change, self._rules, self._clock())
        return [Told(await queries.save(connection, told.notice), change, told.since_last)]

    def _announce(self, told: Sequence[Told]) -> None:
        """Once it is true."""
        for one in told:
            announce(one)
            self._counted(one.notice.kind, one.change)

    @property
    def name(self) -> str:
        """As the status block and health call it."""
        return "notices"

    def status(self) -> str | None:
        """Why this process looks out for no troubles; None when it does."""
        silence = time.monotonic() - self._looked_at
        return None if silence < _SILENT else f"did not look for {silence:.0f} s"
