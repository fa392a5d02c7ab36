"""Drives the engine: one call to Redis at a time, which ends attempts and claims the next runs.

The next call leaves as soon as the last one returned and there is something to write or a free
slot, so an idle run waits for nothing and a busy worker's calls carry many runs. Claims are for
half of the slots at most: while Redis works on one half, this process works on the other.
"""

import asyncio
import random
from collections.abc import Callable, Sequence

from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from jobs.kit import Queue
from worker.engine.bell import Bell
from worker.engine.hands import Hands, InHand, Stop
from worker.engine.store import MOST_PER_TICK, RunStore, Tick
from worker.telemetry.logs import get_logger

_log = get_logger(__name__)

_LEAST_CLAIMS = 10  # of one call, where half of the slots are fewer
_BACKOFF = (0.05, 5.0)  # seconds between calls while Redis is away
# Due runs that cannot be claimed are stock workers' own: look again after so many seconds.
_PACE = (0.02, 0.5)
_LONGEST_NAP = 5.0
_REFUSALS = 3  # of one end that Redis refuses, until it is left to its lease

Acknowledge = Callable[[Sequence[InHand], Sequence[bool]], None]


class Pump:
    """Run `run()` in the background. `on_taken` hears which ends Redis has taken, and which not."""

    def __init__(
        self,
        *,
        store: RunStore,
        bell: Bell,
        hands: Hands,
        queues: Sequence[Queue],
        wake: asyncio.Event,
        on_taken: Acknowledge,
    ) -> None:
        self._store = store
        self._bell = bell
        self._hands = hands
        self._queues = queues
        self._wake = wake
        self._on_taken = on_taken
        slots = sum(queue.concurrency for queue in queues)
        self._most_claims = min(MOST_PER_TICK, max(_LEAST_CLAIMS, slots // 2))
        self._most_ends = MOST_PER_TICK
        self._sent: tuple[Tick, Sequence[InHand]] | None = None
        self._refused = 0
        self._backoff = _BACKOFF[0]
        self._pace = _PACE[0]
        self.is_claiming = True
        # How many runs were claimed, and how many may still be (burst mode).
        self.claimed = 0
        self.limit: int | None = None
        # Set while there was nothing to claim the last time we asked.
        self.is_idle = asyncio.Event()

    def stop_claiming(self) -> None:
        self.is_claiming = False
        self._wake.set()

    async def run(self) -> None:
        """For ever: a Redis that is away is waited for, and nothing else ends this."""
        while True:
            try:
                await self._turn()
                self._backoff = _BACKOFF[0]
            except ReadOnlyError as error:  # a master no more: the next call looks for the new one
                await self._wait_for_redis(error)
            except ResponseError as error:
                await self._refuse(error)
            except (RedisError, OSError) as error:
                await self._wait_for_redis(error)
            except Exception:  # noqa: BLE001 - our own mistake: the runs in hand go on
                _log.exception("Claiming failed")
                await asyncio.sleep(_BACKOFF[1])

    async def _turn(self) -> None:
        """Make one call if there is anything to say, and wait for the next reason to."""
        self._wake.clear()
        if self._sent is None:
            self._sent = self._next()
        if self._sent is None:
            await self._nap(_LONGEST_NAP)
            return
        tick, ended = self._sent
        reply = await self._store.send(tick)
        self._sent, self._refused, self._most_ends = None, 0, MOST_PER_TICK
        for hand in ended:
            self._hands.forget(hand)
        for claim in reply.claims:
            # A signal may have come while the script ran: what was claimed goes straight back.
            self._hands.start(claim, stop=None if self.is_claiming else Stop.SHUTDOWN)
        if ended:
            self._on_taken(ended, reply.verdicts)
        claimed = len(reply.claims)
        self.claimed += claimed
        if claimed:
            self._pace = _PACE[0]
            self._bell.busy()
        if claimed < self._most_claims and not self._hands.has_done:
            await self._look(is_fruitless=claimed == 0 and not ended)

    def _next(self) -> tuple[Tick, Sequence[InHand]] | None:
        ended = self._hands.done(self._most_ends)
        free: dict[str, int] = {}
        left = 0
        if self.is_claiming and not self._hands.has_done:
            left = self._most_claims
            if self.limit is not None:
                left = max(min(left, self.limit - self.claimed), 0)
            free = {queue.name: min(self._hands.free(queue), left) for queue in self._queues}
        if not ended and not any(free.values()):
            return None
        finishes = [hand.finish for hand in ended if hand.finish is not None]
        return self._store.tick(finishes, free, most=left), ended

    async def _look(self, *, is_fruitless: bool) -> None:
        """Nothing more to claim: sleep until something comes due, is enqueued, or ends here."""
        keys = self._open_queues()
        if not keys:
            return
        outlook = await self._bell.look(keys)
        # What rang before the look is seen by it; what else may have set this is asked for here.
        self._wake.clear()
        if self._hands.has_done or self._open_queues() != keys:
            return
        if not outlook.is_due:
            self.is_idle.set()
            await self._nap(outlook.wait)
            self.is_idle.clear()
        elif is_fruitless:
            await self._nap(self._pace)
            self._pace = min(self._pace * 2, _PACE[1])

    def _open_queues(self) -> list[str]:
        if not self.is_claiming:
            return []
        return [queue.key for queue in self._queues if self._hands.free(queue)]

    async def _nap(self, seconds: float) -> None:
        timer = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    async def _wait_for_redis(self, error: Exception) -> None:
        """The call may have been done or not: it is sent again as it is, and done once."""
        if self._backoff > _BACKOFF[0]:  # once is a hiccup
            _log.warning("Redis does not answer", error_type=type(error).__name__)
        await asyncio.sleep(self._backoff * random.uniform(0.5, 1))  # noqa: S311 - spreads workers
        self._backoff = min(self._backoff * 2, _BACKOFF[1])

    async def _refuse(self, error: ResponseError) -> None:
        """Redis answers, and says no: find the end that it does not take, and hold up no other."""
        _log.error("Redis refuses a call", error=str(error))
        self._refused += 1
        if self._sent is not None:
            _, ended = self._sent
            self._sent = None
            if len(ended) == 1 and self._refused > _REFUSALS:
                self._hands.forget(ended[0])
                self._on_taken(ended, [False])
                self._most_ends = MOST_PER_TICK
                ended = []
            elif len(ended) > 1:
                self._most_ends = 1
            self._hands.put_back(ended)
        await asyncio.sleep(self._backoff * random.uniform(0.5, 1))  # noqa: S311 - spreads workers
        self._backoff = min(self._backoff * 2, _BACKOFF[1])
