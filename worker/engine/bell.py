"""Rings when there may be something to claim: Redis itself says when a queue changed.

CLIENT TRACKING sends one message when a key that this connection has read is changed, by whomever:
stock pools wake a worker like our own. A look arms it; a busy worker does not look and hears
nothing. Where tracking is refused, a short poll takes its place.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from worker.engine.scripts import script
from worker.engine.wire import Argument, Wire
from worker.redis_cluster import key_tag
from worker.telemetry.logs import get_logger

_log = get_logger(__name__)

_TRACKING: tuple[Argument, ...] = ("CLIENT", "TRACKING", "ON")
# For good: by its rules, or because it does not know how. Anything else passes.
_REFUSALS = ("NOPERM", "ERR")
# A look costs one command for the script and about two for each queue. Between looks that nothing
# asks for, an idle worker leaves Redis in peace; they are for a message that got lost.
_COMMANDS_PER_SECOND = 4
_LEAST_WAIT = 1.5  # seconds
# While it looks, a worker says little of what ended.
_LOOK_WITHIN = 5.0  # seconds
# Without tracking: from busy to idle.
_POLL = (0.01, 0.25)


@dataclass(frozen=True, slots=True)
class Outlook:
    """Is something due now, and how many seconds to wait at most."""

    is_due: bool
    wait: float


class Bell:
    """`on_ring` is called when a queue changed after the last look."""

    def __init__(self, redis: Redis, *, on_ring: Callable[[], None]) -> None:
        self._redis = redis
        self._on_ring = on_ring
        self._script = script("peek", key_tag(redis))
        self._wire = self._tracking_wire()
        self._is_tracking = True
        self._poll = _POLL[0]

    async def look(self, keys: Sequence[str]) -> Outlook:
        """See what comes on these queues, and be told of changes from now on.

        Raises RedisError, OSError.
        """
        try:
            reply = await self._wire.evaluate(self._script, *keys, keys=len(keys))
        except ResponseError as error:
            if not self._is_tracking or not str(error).startswith(_REFUSALS):
                raise
            _log.warning("Redis refuses CLIENT TRACKING, polling instead", error=str(error))
            self._is_tracking = False
            self._wire = Wire(self._redis, timeout=_LOOK_WITHIN)
            reply = await self._wire.evaluate(self._script, *keys, keys=len(keys))
        now, is_due, soonest = reply
        wait = self._patience(len(keys))
        if soonest:
            wait = min(wait, max((float(soonest) - now) / 1000, 0))
        return Outlook(bool(is_due), wait)

    def busy(self) -> None:
        """There was something to do: without tracking, look again soon."""
        self._poll = _POLL[0]

    def hang_up(self) -> None:
        """Give up this connection, and a look that waits on it; the next look makes another."""
        self._wire.close()
        self._on_ring()

    def close(self) -> None:
        self._wire.close()

    def _patience(self, queues: int) -> float:
        if self._is_tracking:
            return max(_LEAST_WAIT, (2 * queues + 1) / _COMMANDS_PER_SECOND)
        self._poll = min(self._poll * 1.5, _POLL[1])
        return self._poll

    def _tracking_wire(self) -> Wire:
        return Wire(
            self._redis,
            timeout=_LOOK_WITHIN,
            setup=(_TRACKING,),
            on_push=self._pushed,
            on_lost=self._on_ring,
        )

    def _pushed(self, message: list[Any]) -> None:
        if message and message[0] == b"invalidate":
            # In its turn: a push behind the answer to a look must ring after that look.
            asyncio.get_running_loop().call_soon(self._on_ring)
