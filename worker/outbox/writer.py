"""Puts rows of the outbox into Redis: one script call for a batch, done once or not at all."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import NamedTuple
from uuid import uuid4

from arq.utils import to_unix_ms
from redis.asyncio import Redis
from redis.exceptions import RedisError

from jobs.kit import discover, queue_key
from worker.engine.scripts import script
from worker.engine.store import EVENTS_LIMIT
from worker.engine.wire import Argument, Wire
from worker.message import with_header
from worker.outbox.queries import Row
from worker.records import OUTBOX
from worker.redis_cluster import key_tag

# Seconds. A call is void so long after the rows were locked, PostgreSQL holds the locks for longer
# (`HELD_FOR`), and notes are kept for longer than either: whoever is next meets no late call.
VOID_AFTER = 5.0
HELD_FOR = 10.0
NOTED_FOR = 15.0
# Which rows were put, and when; relay.lua keeps it.
NOTES = "deskhand:outbox"
_FORGET = 1000  # notes that one call takes away


class Parcel(NamedTuple):
    """A row, ready to be sent: when it is due ('' = at once) and since when it waits, in ms."""

    row: Row
    due: int | str
    since: int
    message: bytes
    # For how long its id stays taken (relay.lua).
    unique: int | str = ""


class VoidError(RedisError):
    """The call came too late, and did nothing."""


@dataclass(frozen=True, slots=True)
class Put:
    """A letter for each row says what became of it (relay.lua); `epoch` names the data it is in."""

    epoch: str
    verdicts: str


class RowWriter:
    """Raises RedisError, OSError."""

    def __init__(self, redis: Redis) -> None:
        self._wire = Wire(redis, timeout=VOID_AFTER)
        self._script = script("relay", key_tag(redis))
        # Redis' clock minus ours, in ms; too small by the way of an answer.
        self._ahead_ms: float | None = None
        # Rows that PostgreSQL has committed, and since when (monotonic).
        self._noted: deque[tuple[float, int]] = deque()

    async def begin(self) -> float:
        """To be called before rows are locked: when calls for them become void."""
        if self._ahead_ms is None:
            await self.epoch()
        return monotonic() + VOID_AFTER

    async def epoch(self) -> str:
        """The name of the data that Redis has; new data gets one."""
        return (await self._call("", (), ())).epoch

    async def put(self, parcels: Sequence[Parcel], *, until: float) -> Put:
        """Put each run on its queue. Raises VoidError too."""
        void = f"{until * 1000 + (self._ahead_ms or 0):.0f}"
        numbers: dict[str, int] = {}
        arguments: list[Argument] = []
        for row, due, since, message, unique in parcels:
            number = numbers.setdefault(queue_key(row.queue), len(numbers) + 1)
            head = (row.outbox_id, number, row.run_id, row.job)
            arguments += (*head, due, since, message, unique)
        reply = await self._call(void, list(numbers), arguments)
        if len(reply.verdicts) != len(parcels):
            self._ahead_ms = None
            raise VoidError("a call to enqueue from the outbox came too late")
        return reply

    def committed(self, ids: Sequence[int]) -> None:
        """PostgreSQL knows that these were put: their notes may go, when no call is late."""
        now = monotonic()
        self._noted.extend((now, id_) for id_ in ids)

    async def tidy(self) -> None:
        """Have old notes forgotten when no call comes that takes them along."""
        while self._noted and self._noted[0][0] < monotonic() - NOTED_FOR:
            await self._call("", (), ())

    def close(self) -> None:
        self._wire.close()

    async def _call(self, void: str, queues: Sequence[str], rows: Sequence[Argument]) -> Put:
        before = monotonic() - NOTED_FOR
        old = [id_ for at, id_ in islice(self._noted, _FORGET) if at < before]
        head: tuple[Argument, ...] = (uuid4().hex, void, EVENTS_LIMIT, len(old), *old)
        try:
            epoch, now_ms, verdicts = await self._wire.evaluate(
                self._script, *queues, *head, *rows, keys=len(queues)
            )
        except BaseException:
            self._ahead_ms = None
            raise
        self._ahead_ms = int(now_ms) - monotonic() * 1000
        if verdicts or not rows:
            for _ in old:
                self._noted.popleft()
        return Put(epoch.decode(), verdicts.decode())


def parcel_of(row: Row) -> Parcel:
    """Its bytes say which row they come from, so that the run's end is known for that row's.

    Raises ValueError when it is not as `enqueue_in` made it.
    """
    message = with_header(row.message, OUTBOX, str(row.outbox_id))
    try:
        due: int | str = "" if row.due_at is None else to_unix_ms(row.due_at)
        return Parcel(row, due, to_unix_ms(row.created_at), message, _unique(row.job))
    except (ValueError, OverflowError, OSError):
        raise ValueError("its instants are none") from None


def _unique(name: str) -> int | str:
    job = discover().get(name)
    if job is None:
        return ""
    unique_for = job.repeats.unique_for
    return ("c" if job.repeats.cache else "") if unique_for is None else int(unique_for * 1000)
