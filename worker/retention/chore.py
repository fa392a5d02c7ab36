"""What goes when: the policy, a pass, and the minute between passes."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from worker.clock import utc_now
from worker.retention import queries
from worker.retention.messages import queries as messages
from worker.retention.queries import Connection, Edge, Shelf
from worker.settings import Settings
from worker.telemetry.logs import get_logger

_EVERY = 60.0  # seconds
_log = get_logger(__name__)

Sweep = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How many runs of each queue stay, and how long at most. Completed is over, and not dead.

    `messages` is how long it is remembered what left and who answered, `links` how long ways out
    work: links in mails, and STOP as the answer to an SMS.
    """

    completed: int
    failed: int
    age: timedelta
    messages: timedelta = timedelta(days=400)
    links: timedelta = timedelta(days=1095)

    @classmethod
    def of(cls, settings: Settings) -> "Keep":
        return cls(
            completed=settings.keep_completed,
            failed=settings.keep_failed,
            age=timedelta(days=settings.keep_days),
            # A letter that is replayed has to find what was sent, and so has that replay's own.
            messages=timedelta(days=max(settings.keep_messages_days, 2 * settings.keep_days)),
            links=timedelta(days=settings.keep_unsubscribe_days),
        )

    def newest_of(self, shelf: Shelf) -> int | None:
        """How many rows of it stay in each queue; None: all that are young enough."""
        match shelf.counted_as:
            case "completed":
                return self.completed
            case "failed":
                return self.failed
            case None:
                return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """So many rows of a kind went, and attempts of runs with them. No queue: of all of them."""

    queue: str | None
    kind: str
    rows: int
    attempts: int = 0


class Retention:
    """Run `run()` in the background.

    `sweeps` are done once in each pass, by the worker that does it: they clean up elsewhere.
    """

    def __init__(
        self, db: "asyncpg.Pool[asyncpg.Record]", keep: Keep, *, sweeps: Sequence[Sweep] = ()
    ) -> None:
        self._db = db
        self._keep = keep
        self._sweeps = sweeps

    async def run(self) -> None:
        """A pass a minute, for ever; troubles are logged."""
        while True:
            # Not all workers at the same time, and none of them while it starts.
            await asyncio.sleep(_EVERY * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
            try:
                gone = await self.step()
            except Exception as error:  # noqa: BLE001 - what is old can wait for the next pass
                _log.warning("Old runs are not forgotten yet", error_type=type(error).__name__)
                continue
            if gone:
                _log.info("Old runs forgotten", rows=sum(one.rows + one.attempts for one in gone))

    async def step(self) -> list[Gone]:
        """A pass, unless another worker is at it; returns what went."""
        async with self._db.acquire() as connection:
            if not await queries.lock(connection):
                return []
            try:
                await self._sweep()
                return await prune(connection, self._keep)
            finally:
                await queries.unlock(connection)

    async def _sweep(self) -> None:
        for sweep in self._sweeps:
            try:
                await sweep()
            except Exception as error:  # noqa: BLE001 - one that fails keeps none from its work
                _log.warning("A sweep failed", error_type=type(error).__name__)


async def prune(
    connection: Connection, keep: Keep, *, queue: str | None = None, is_dry_run: bool = False
) -> list[Gone]:
    """Delete what is too old, or too many; returns what went, or with `is_dry_run` what would."""
    before = utc_now() - keep.age
    remove = queries.count if is_dry_run else queries.delete
    gone = []
    for shelf in queries.SHELVES:
        newest = keep.newest_of(shelf)
        for name in await queries.queues(connection, shelf) if queue is None else [queue]:
            edge = Edge(before, shelf.least_id)
            if newest is not None:
                too_many = await queries.newest_beyond(connection, shelf, name, newest)
                edge = too_many if too_many and too_many.at >= before else edge
            rows, attempts = await remove(connection, shelf, name, edge)
            gone.append(Gone(queue=name, kind=shelf.kind, rows=rows, attempts=attempts))
    if queue is None:
        # Of runs that are put off again and again, and never get old themselves.
        remove_attempts = queries.count_attempts if is_dry_run else queries.delete_attempts
        rows = await remove_attempts(connection, before)
        gone.append(Gone(queue=None, kind="attempts of unfinished runs", rows=rows))
        remove_events = (
            queries.count_delivery_events if is_dry_run else queries.delete_delivery_events
        )
        rows = await remove_events(connection, before)
        gone.append(Gone(queue=None, kind="events of providers", rows=rows))
        gone += await _prune_messages(connection, keep, is_dry_run=is_dry_run)
    return [one for one in gone if one.rows]


async def _prune_messages(connection: Connection, keep: Keep, *, is_dry_run: bool) -> list[Gone]:
    remove = messages.count if is_dry_run else messages.delete
    ages = {
        "messages": keep.messages,
        "sms": max(keep.messages, keep.links),
        "links": keep.links,
    }
    return [
        Gone(
            queue=None,
            kind=kind.name,
            rows=await remove(connection, kind, utc_now() - ages[kind.kept_as]),
        )
        for kind in messages.KINDS
    ]
