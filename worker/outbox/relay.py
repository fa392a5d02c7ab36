"""Moves rows of the outbox to Redis, as soon as they are committed, and again when it lost them."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import timedelta
from time import monotonic
from typing import Protocol

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from worker.outbox import queries
from worker.outbox.line import Connect, Line
from worker.outbox.queries import Connection, Db, Row
from worker.outbox.writer import HELD_FOR, Parcel, RowWriter, parcel_of
from worker.telemetry.logs import get_logger

_ROWS, _BYTES = 500, 2_000_000  # of a batch: some milliseconds of Redis
_BACK = timedelta(minutes=1)  # how far a look goes back when there are new rows
_ALL_BACK = timedelta(days=36_500)
_POLL, _SOON_POLL = 5.0, 1.0  # seconds; the latter for whoever is not told, or waits
_LEAST_WAIT, _MOST_WAIT = 0.1, 5.0  # seconds, after a failure
_PAGE = 1000  # rows that are taken back at once
_WRONG_QUEUE = "the key of its queue in Redis holds something else"

_POSTGRES_AWAY = (
    OSError,  # TimeoutError, too
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InternalClientError,
    asyncpg.InterfaceError,
    asyncpg.TransactionRollbackError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.OperatorInterventionError,
)
_log = get_logger(__name__)


class Counting(Protocol):
    """Counts rows, by what became of them."""

    def __call__(self, status: str, number: int) -> None: ...


class Relay:
    """Run `run()` in the background; any number of them share the work.

    `connect` opens a connection of its own. `in_hand` are the rows whose runs this worker runs:
    when Redis loses its data, they are left to it for its `lease`, and again while it lives. Others
    are enqueued again after `grace`, in which every worker can say what it has in hand.
    """

    def __init__(
        self,
        redis: Redis,
        db: Db,
        *,
        connect: Connect,
        in_hand: Collection[int],
        lease: timedelta,
        counted: Counting,
        grace: timedelta | None = None,
    ) -> None:
        self._redis = redis
        self._db = db
        self._connect = connect
        self._in_hand = in_hand
        self._lease = lease
        given = timedelta(seconds=_POLL + 1) if grace is None else grace
        self._grace = given.total_seconds()
        self._counted = counted
        self._writer = RowWriter(redis)
        self._epoch = ""
        self._stale_since: float | None = None
        self._polled_at = float("-inf")
        self._wait = _LEAST_WAIT

    async def run(self) -> None:
        """Enqueue rows as they come, for ever; troubles are logged and waited out."""
        try:
            while True:
                try:
                    await self._serve()
                except _POSTGRES_AWAY as error:
                    _log.warning("The outbox waits", error_type=type(error).__name__)
                except Exception:  # noqa: BLE001 - what was promised has to be enqueued some day
                    _log.exception("The outbox failed, and goes on")
                await self._rest()
        finally:
            self._writer.close()

    async def _serve(self) -> None:
        line = await Line.opened(self._connect, self._db)
        self._polled_at = float("-inf")
        try:
            while True:
                try:
                    await self._turn(line)
                except (RedisError, RedisConnectionError) as error:
                    _log.warning("The outbox waits for Redis", error_type=type(error).__name__)
                    self._polled_at = float("-inf")  # what is left over is not told of again
                    await self._rest()
                    continue
                self._wait = _LEAST_WAIT
                await line.wait(max(self._polled_at + self._poll(line) - monotonic(), 0))
        finally:
            await line.close()

    async def _rest(self) -> None:
        await asyncio.sleep(self._wait * random.uniform(0.5, 1))  # noqa: S311 - spreads
        self._wait = min(self._wait * 2, _MOST_WAIT)

    async def _turn(self, line: Line) -> None:
        back = _BACK
        if monotonic() - self._polled_at >= self._poll(line):
            back = _ALL_BACK
            await line.probe()
            await self._take_back(line.connection)
            await self._writer.tidy()
            self._polled_at = monotonic()
        while await self._move(line.connection, back):
            pass

    def _poll(self, line: Line) -> float:
        return _POLL if line.is_heard and self._stale_since is None else _SOON_POLL

    async def _move(self, connection: Connection, back: timedelta) -> bool:
        """Enqueue a batch; says whether there may be more."""
        until = await self._writer.begin()
        async with connection.transaction():
            await queries.end_when_idle(connection, timedelta(seconds=HELD_FOR))
            rows = await queries.lock_waiting(connection, most=_ROWS, most_bytes=_BYTES, back=back)
            enqueued = await self._put(connection, rows, until)
        self._writer.committed(enqueued)
        # Bytes, too, may have ended the batch.
        return len(rows) == _ROWS or sum(len(row.message) for row in rows) > _BYTES // 2

    async def _put(self, connection: Connection, rows: Sequence[Row], until: float) -> list[int]:
        parcels = []
        for row in rows:
            try:
                parcels.append(parcel_of(row))
            except ValueError as error:
                await self._set_aside(connection, [row], str(error))
        return await self._put_halves(connection, parcels, until) if parcels else []

    async def _put_halves(
        self, connection: Connection, parcels: Sequence[Parcel], until: float
    ) -> list[int]:
        """So that a row which Redis does not take holds up none beside it."""
        rows = [parcel.row for parcel in parcels]
        try:
            put = await self._writer.put(parcels, until=until)
        except ResponseError as error:
            middle = len(rows) // 2
            if not middle:
                await self._set_aside(connection, rows, type(error).__name__)
                return []
            first = await self._put_halves(connection, parcels[:middle], until)
            return first + await self._put_halves(connection, parcels[middle:], until)
        return await self._note(connection, rows, put.verdicts, put.epoch)

    async def _note(
        self, connection: Connection, rows: Sequence[Row], verdicts: str, epoch: str
    ) -> list[int]:
        found: defaultdict[str, list[Row]] = defaultdict(list)
        for row, verdict in zip(rows, verdicts, strict=True):
            found[verdict].append(row)
        ids = {verdict: [row.outbox_id for row in some] for verdict, some in found.items()}
        enqueued, repeats = ids.get("e", []), ids.get("r", [])
        if enqueued or repeats:
            await queries.note_enqueued(connection, enqueued, repeats=repeats, epoch=epoch)
        if "o" in ids:
            await queries.delete(connection, ids["o"])
        if "h" in ids:
            await queries.put_off(connection, ids["h"])
        if "q" in ids:
            await self._set_aside(connection, found["q"], _WRONG_QUEUE)
        self._counted("enqueued", len(enqueued))
        self._counted("repeated", len(repeats) + len(ids.get("o", [])))
        return enqueued

    async def _set_aside(self, connection: Connection, rows: Sequence[Row], error: str) -> None:
        _log.error(
            "Runs of the outbox cannot be enqueued, and wait",
            rows=len(rows),
            outbox_id=rows[0].outbox_id,
            job=rows[0].job,
            queue=rows[0].queue,
            reason=error,
        )
        await queries.set_aside(connection, [row.outbox_id for row in rows], error=error)
        self._counted("failed", len(rows))

    async def _take_back(self, connection: Connection) -> None:
        """Have waiting again what was put into data that Redis has lost."""
        known: bytes | None = await self._redis.get("deskhand:epoch")
        if known is None or known.decode(errors="replace") != self._epoch:
            self._epoch = await self._writer.epoch()
        if not await queries.has_stale(connection, self._epoch):
            self._stale_since = None
            return
        await queries.hold(connection, list(self._in_hand), epoch=self._epoch, length=self._lease)
        now = monotonic()
        self._stale_since = self._stale_since or now
        if now - self._stale_since < self._grace:
            return
        total = 0
        while rows := await queries.take_back(connection, self._epoch, _PAGE):
            total += rows
        if total:
            _log.warning("Redis has lost its data: runs are enqueued again", rows=total)
            self._counted("again", total)
