"""What one worker does now and then: rows of whose runs nobody heard, and old notes."""

from collections.abc import Sequence
from time import monotonic

from redis.asyncio import Redis

from worker.outbox import queries
from worker.outbox.queries import Db, Seen
from worker.outbox.troubles import count_missing
from worker.outbox.writer import NOTES
from worker.telemetry.logs import get_logger

_OLD_MS = 60_000  # notes of relays that are gone; those that live take theirs away sooner
_PAGE = 1000
_WITHIN = 20.0  # seconds for each of both: the next pass goes on
_log = get_logger(__name__)


class OutboxChore:
    """Call it once a minute. Raises what Redis and PostgreSQL raise."""

    def __init__(self, redis: Redis, db: Db) -> None:
        self._redis = redis
        self._db = db
        self._missing = 0

    async def __call__(self) -> None:
        await self._look()
        await self._forget_notes()
        missing = await count_missing(self._db)
        if missing > self._missing:
            _log.error(
                "Runs of the outbox are gone without an end: see `deskhand outbox`", rows=missing
            )
        self._missing = missing

    async def _look(self) -> None:
        """A repeat is done when its run is; of others the ledger hears, if their end was told."""
        deadline = monotonic() + _WITHIN
        while monotonic() < deadline:
            epoch: bytes | None = await self._redis.get("deskhand:epoch")
            if epoch is None:  # nothing to be learnt from data that is lost
                return
            rows = await queries.to_look_at(self._db, epoch.decode(errors="replace"), _PAGE)
            if rows:
                await self._see(rows, epoch)
            if len(rows) < _PAGE:
                return

    async def _see(self, rows: Sequence[Seen], epoch: bytes) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.get("deskhand:epoch")
            for row in rows:
                pipe.exists(f"arq:job:{row.run_id}")
                pipe.exists(f"arq:result:{row.run_id}")
            now, *found = await pipe.execute()
        if now != epoch:
            return
        there, over, gone = [], [], []
        for row, is_there, has_result in zip(rows, found[::2], found[1::2], strict=True):
            if is_there:
                there.append(row.outbox_id)
            elif row.is_repeat or row.is_over or has_result:
                over.append(row.outbox_id)
            else:
                gone.append(row.outbox_id)
        await queries.looked_at(self._db, epoch.decode(), there=there, over=over, gone=gone)

    async def _forget_notes(self) -> None:
        """A note stays as long as its row waits, whatever happened to PostgreSQL meanwhile."""
        deadline, start = monotonic() + _WITHIN, 0
        seconds, _ = await self._redis.time()
        before = int(seconds) * 1000 - _OLD_MS
        while monotonic() < deadline:
            notes = await self._redis.zrangebyscore(NOTES, "-inf", before, start, _PAGE)
            ids = [int(note) for note in notes if note.isdigit()]
            waiting = await queries.waiting_of(self._db, ids)
            done = [note for note in notes if not note.isdigit() or int(note) not in waiting]
            if done:
                await self._redis.zrem(NOTES, *done)
            start += len(notes) - len(done)
            if len(notes) < _PAGE:
                return
