"""The runs in Redis, one Lua script per transition. Knows keys and bytes, and nothing of jobs."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from arq.constants import abort_jobs_ss
from redis.asyncio import Redis

from jobs.kit import Queue
from worker.engine.claims import Finish, Reply, claims_of, instant, unsorted
from worker.engine.scripts import script
from worker.engine.wire import Argument, Wire
from worker.redis_cluster import key_tag

EVENTS = "deskhand:events"
DEAD = "deskhand:dead"
COUNTS = "deskhand:counts"

# An entry holds all events of one call. The ledger trims what it has written; the limit is for a
# PostgreSQL that is long gone. Dead letters have a stream without one: they must not be lost.
EVENTS_LIMIT = 100_000
# How long a waiting run's counters live after it was due (ARQ's own life for its retry counter).
KEPT = timedelta(seconds=88_400)
# Runs that one call ends, and claims: a script that runs for long holds up everybody else.
MOST_PER_TICK = 128
_KEPT_SECONDS = int(KEPT.total_seconds())
_YES = ord("1")


@dataclass(frozen=True, slots=True)
class Tick:
    """One call of the engine: it may be sent more than once, and is done once."""

    serial: int
    finishes: Sequence[Finish]
    token: str
    arguments: Sequence[Argument]


class RunStore:
    """Claims and finishes runs for one worker. Raises RedisError, OSError.

    `timeout` in seconds: a Redis that does not answer for so long counts as away.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        queues: Sequence[Queue],
        worker_id: str,
        lease: timedelta,
        timeout: float = 15,
    ) -> None:
        self._redis = redis
        self._queues = queues
        self._keys = [queue.key for queue in queues]
        self._numbers = {queue.name: number for number, queue in enumerate(queues, start=1)}
        self._worker_id = worker_id
        self._lease_ms = int(lease / timedelta(milliseconds=1))
        # Serial numbers begin anew with each store, so each has a memory of its own.
        self._session = f"{worker_id}:{uuid4().hex[:8]}"
        self._serial = itertools.count(1)
        self._script = script("tick", key_tag(redis))
        self._wire = Wire(redis, timeout=timeout)
        # Names the data of Redis, as far as we know it.
        self.epoch = ""

    def tick(
        self,
        finishes: Sequence[Finish],
        free: Mapping[str, int],
        *,
        most: int = MOST_PER_TICK,
        lane: int = 1,
    ) -> Tick:
        """The call that writes how attempts ended, and takes due runs: up to `free` of each queue
        (by name), `most` in all. At most MOST_PER_TICK of either. -1 of a queue takes none, and
        sorts what is due there.

        Redis remembers the last call of each lane, so there may be one of each on its way.
        """
        serial = next(self._serial)
        token = f"{self._session}:{serial}"
        arguments: list[Argument] = [
            *self._keys,
            self._worker_id,
            token,
            f"{self._session}:{lane}",
            serial,
            self.epoch,
            uuid4().hex,
            self._lease_ms,
            _KEPT_SECONDS,
            EVENTS_LIMIT,
            len(finishes),
            most,
            *(free.get(queue.name, 0) for queue in self._queues),
        ]
        words: list[Argument] = []
        for place, finish in enumerate(finishes, start=1):
            number = self._numbers[finish.claim.queue.name]
            arguments += finish.arguments(number, self.epoch)
            if finish.words:
                words += (place, finish.words, finish.rest_ms)
        return Tick(serial, finishes, token, arguments + words)

    async def send(self, tick: Tick) -> Reply:
        """Make the call. After an error it may have been done or not: send the same one again."""
        reply = await self._wire.evaluate(self._script, *tick.arguments, keys=len(self._keys))
        self.epoch = reply[0].decode()
        verdicts = [verdict == _YES for verdict in reply[1]]
        claims = claims_of(reply, self._queues, tick.token)
        return Reply(verdicts, claims, unsorted(reply, self._queues))

    @property
    def is_connected(self) -> bool:
        """Would the next call go out behind those that are on their way?"""
        return self._wire.is_open

    async def aborts(self, run_ids: Sequence[str]) -> dict[str, datetime]:
        """Which of these runs somebody asked to abort, and when."""
        if not run_ids:
            return {}
        scores = await self._redis.zmscore(abort_jobs_ss, list(run_ids))
        return {
            run_id: instant(score)
            for run_id, score in zip(run_ids, scores, strict=True)
            if score is not None
        }

    def close(self) -> None:
        self._wire.close()
