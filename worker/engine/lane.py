"""One call after the other to Redis, each sent until it is answered."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from worker.engine.claims import Reply
from worker.engine.hands import Hands, InHand
from worker.engine.store import MOST_PER_TICK, RunStore, Tick
from worker.telemetry.logs import get_logger

_log = get_logger(__name__)

_BACKOFF = (0.05, 5.0)  # seconds between calls while Redis is away
_REFUSALS = 3  # of one end that Redis refuses, until it is left to its lease

Acknowledge = Callable[[Sequence[InHand], Sequence[bool]], None]


@dataclass(frozen=True, slots=True)
class Call:
    """What is sent: the ends of these attempts, and claims of so many runs of each queue."""

    tick: Tick
    ended: Sequence[InHand]
    free: Mapping[str, int]
    most: int


class Backoff:
    """Waits for Redis, longer each time until it answers again."""

    def __init__(self) -> None:
        self._seconds = _BACKOFF[0]

    def reset(self) -> None:
        self._seconds = _BACKOFF[0]

    async def away(self, error: Exception) -> None:
        if self._seconds > _BACKOFF[0]:  # once is a hiccup
            _log.warning("Redis does not answer", error_type=type(error).__name__)
        await self.wait()

    async def wait(self) -> None:
        await asyncio.sleep(self._seconds * random.uniform(0.5, 1))  # noqa: S311 - spreads workers
        self._seconds = min(self._seconds * 2, _BACKOFF[1])


class Lane:
    """`sent` is the call that is on its way; there may be one of each of the `others` as well.

    `on_away` is called when Redis did not answer one.
    """

    def __init__(
        self,
        store: RunStore,
        hands: Hands,
        on_taken: Acknowledge,
        *,
        number: int,
        on_away: Callable[[], None],
    ) -> None:
        self._store = store
        self._hands = hands
        self._on_taken = on_taken
        self._number = number
        self._on_away = on_away
        self._refused = 0
        self._backoff = Backoff()
        self.has_failed = False
        self.others: Sequence[Lane] = ()
        # Ends in one call; one after a refusal, to find the one that Redis does not take.
        self.most_ends = MOST_PER_TICK
        self.sent: Call | None = None
        # Set while nothing is on its way.
        self.answered = asyncio.Event()
        self.answered.set()

    def call(self, ended: Sequence[InHand], free: Mapping[str, int], *, most: int) -> Call:
        finishes = [hand.finish for hand in ended if hand.finish is not None]
        tick = self._store.tick(finishes, free, most=most, lane=self._number)
        return Call(tick, ended, free, most)

    async def send(self, call: Call) -> Reply | None:
        """Returns None when Redis answers, and says no: the ends are to be sent in another call.

        A Redis that is away is waited for. It may have done the call or not: it is sent again as it
        is, and done once.
        """
        self.has_failed = self.sent is call  # it was on its way when the pump was stopped
        self.sent = call
        self.answered.clear()
        while True:
            try:
                await self._await_turn(call)
                reply = await self._store.send(call.tick)
            except ReadOnlyError as error:  # a master no more: next, look for the new one
                await self._away(error)
            except ResponseError as error:
                self._arrived()
                await self._refuse(error, call.ended)
                return None
            except (RedisError, OSError) as error:
                await self._away(error)
            else:
                self._arrived()
                self._refused, self.most_ends = 0, MOST_PER_TICK
                self._backoff.reset()
                return reply

    async def _await_turn(self, call: Call) -> None:
        """Calls arrive in the order of their serial numbers, also when they are sent again: a run
        whose end is in one may be claimed by the next.
        """
        for lane in self.others:
            while (older := lane.sent) is not None and older.tick.serial < call.tick.serial:
                if self._store.is_connected and not lane.has_failed and not self.has_failed:
                    break  # it is before us on the same connection
                await lane.answered.wait()

    async def _away(self, error: Exception) -> None:
        self.has_failed = True
        self._on_away()
        await self._backoff.away(error)

    def _arrived(self) -> None:
        self.sent = None
        self.has_failed = False
        self.answered.set()

    async def _refuse(self, error: ResponseError, ended: Sequence[InHand]) -> None:
        """Find the end that Redis does not take, and hold up no other."""
        _log.error("Redis refuses a call", error=str(error))
        self._refused += 1
        if len(ended) == 1 and self._refused > _REFUSALS:
            self._hands.forget(ended[0])
            self._on_taken(ended, [False])
            self.most_ends = MOST_PER_TICK
        else:
            if len(ended) > 1:
                self.most_ends = 1
            self._hands.put_back(ended)
        await self._backoff.wait()
