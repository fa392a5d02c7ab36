"""Drives the engine: calls to Redis that end attempts and claim the next runs.

The next call leaves as soon as the last one returned and there is something to write or a free
slot, so an idle run waits for nothing and a busy worker's calls carry many runs. Claims are for
half of a queue's slots at most, and when that half ends while a call is on its way, a second one
follows it: Redis works on one half while this process works on the other, and neither waits.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from redis.exceptions import RedisError

from jobs.kit import Queue
from worker.engine.bell import Bell
from worker.engine.claims import Reply
from worker.engine.hands import Hands, Stop
from worker.engine.lane import Acknowledge, Backoff, Call, Lane
from worker.engine.store import MOST_PER_TICK, RunStore
from worker.telemetry.logs import get_logger

_log = get_logger(__name__)

_LEAST_CLAIMS = 10  # of one call, where half of the slots are fewer
_SURPLUS = 8  # attempts that ended while a call is on its way, and are worth another
# Due runs that cannot be claimed are stock workers' own: look again after so many seconds. At once
# the first time: it may have been enqueued between the call and the look.
_PACE = (0.0, 0.02, 0.5)
_LONGEST_NAP = 5.0
_AFTER_A_MISTAKE = 5.0


class Pump:
    """Run all `turns` in the background, each for ever.

    `on_taken` hears which ends Redis has taken, and which not.
    """

    def __init__(
        self,
        *,
        store: RunStore,
        bell: Bell,
        hands: Hands,
        queues: Sequence[Queue],
        on_taken: Acknowledge,
    ) -> None:
        self._bell = bell
        self._hands = hands
        self._queues = queues
        self._on_taken = on_taken
        # Its connection leads to the same server: to wait for an answer there holds up the ends.
        away = bell.hang_up
        self._first = Lane(store, hands, on_taken, number=1, on_away=away)
        self._second = Lane(store, hands, on_taken, number=2, on_away=away)
        self._first.others, self._second.others = [self._second], [self._first]
        self._wake = asyncio.Event()
        self._surplus = asyncio.Event()
        slots = sum(queue.concurrency for queue in queues)
        self._most_claims = min(MOST_PER_TICK, _share(slots))
        self._is_looking = False
        # Queues that hold more than we have slots for, not yet in fair order.
        self._unsorted: frozenset[str] = frozenset()
        self._pace = _PACE[0]
        self._backoff = Backoff()
        self.is_claiming = True
        # How many runs were claimed, and how many may still be (burst mode).
        self.claimed = 0
        self.limit: int | None = None
        # Set while there was nothing to claim the last time we asked.
        self.is_idle = asyncio.Event()

    def stop_claiming(self) -> None:
        self.is_claiming = False
        self.wake()

    def wake(self) -> None:
        """There may be something to claim."""
        self._wake.set()

    def freed(self) -> None:
        """An attempt is done."""
        self._wake.set()
        is_away = self._is_looking or self._first.sent is not None
        if is_away and self._hands.done_count >= _SURPLUS:
            self._surplus.set()

    @property
    def turns(self) -> Mapping[str, Callable[[], Coroutine[Any, Any, None]]]:
        """What to run, by name. A Redis that is away is waited for, and nothing else ends it.

        Begun again after it was cancelled, it sends again what was on its way.
        """
        return {
            "pump": partial(_for_ever, self._turn),
            "second lane": partial(_for_ever, self._second_turn),
        }

    async def settled(self) -> None:
        """Wait until no call is on its way."""
        for lane in (self._first, self._second):
            await lane.answered.wait()

    async def _turn(self) -> None:
        """Make one call if there is anything to say, and wait for the next reason to."""
        self._wake.clear()
        call = self._first.sent or self._next(self._first)
        if call is None:
            await self._nap(_LONGEST_NAP)
            return
        reply = await self._first.send(call)
        if reply is None:
            return
        self._take(call, reply)
        if self._unsorted and self.is_claiming:
            self._wake.set()
        elif not self._hands.has_done and not self._may_be_more(call, reply):
            await self._look(is_fruitless=not reply.claims and not call.ended)

    async def _second_turn(self) -> None:
        """The same while the first call is on its way, and enough has ended meanwhile."""
        call = self._second.sent
        if call is None:
            await self._surplus.wait()
            self._surplus.clear()
            call = self._next(self._second) if self._hands.has_done else None
        if call is None:
            return
        reply = await self._second.send(call)
        if reply is not None:
            self._take(call, reply)
        self._wake.set()  # what it did not get is free again

    def _next(self, lane: Lane) -> Call | None:
        ended = self._hands.done(lane.most_ends)
        free: dict[str, int] = {}
        most = 0
        if self.is_claiming and not self._hands.has_done:
            most = self._most_claims
            if self.limit is not None:
                asked = sum(call.most for call in self._sent())
                most = max(min(most, self.limit - self.claimed - asked), 0)
            free = {
                queue.name: min(self._free(queue), _share(queue.concurrency), most)
                for queue in self._queues
            }
            for name in self._unsorted:
                free[name] = free.get(name, 0) or -1
        if not ended and not any(free.values()):
            return None
        return lane.call(ended, free, most=most)

    def _take(self, call: Call, reply: Reply) -> None:
        for hand in call.ended:
            self._hands.forget(hand)
        for claim in reply.claims:
            # A signal may have come while the script ran: what was claimed goes straight back.
            self._hands.start(claim, stop=None if self.is_claiming else Stop.SHUTDOWN)
        if call.ended:  # what is said of it can wait until the next call is on its way
            asyncio.get_running_loop().call_soon(self._on_taken, call.ended, reply.verdicts)
        self.claimed += len(reply.claims)
        if any(call.free.values()):
            self._unsorted = reply.unsorted
        if reply.claims:
            self._pace = _PACE[0]
            self._bell.busy()

    def _may_be_more(self, call: Call, reply: Reply) -> bool:
        """Is a slot free whose queue gave all that it was asked for, or was not asked?"""
        claimed = Counter(claim.queue.name for claim in reply.claims)
        return any(
            self._free(queue) and claimed[queue.name] >= call.free.get(queue.name, 0)
            for queue in self._queues
        )

    async def _look(self, *, is_fruitless: bool) -> None:
        """Nothing more to claim: sleep until something comes due, is enqueued, or ends here."""
        keys = self._open_queues()
        if not keys:
            return
        self._is_looking = True
        try:
            outlook = await self._bell.look(keys)
        except (RedisError, OSError) as error:
            await self._backoff.away(error)
            return
        finally:
            self._is_looking = False
        self._backoff.reset()
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
            self._pace = min(max(self._pace * 2, _PACE[1]), _PACE[2])

    def _open_queues(self) -> list[str]:
        if not self.is_claiming:
            return []
        return [queue.key for queue in self._queues if self._free(queue)]

    def _free(self, queue: Queue) -> int:
        """Slots that nothing runs in, and nothing is being claimed for."""
        asked = sum(max(call.free.get(queue.name, 0), 0) for call in self._sent())
        return max(self._hands.free(queue) - asked, 0)

    def _sent(self) -> list[Call]:
        return [lane.sent for lane in (self._first, self._second) if lane.sent is not None]

    async def _nap(self, seconds: float) -> None:
        timer = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()


def _share(slots: int) -> int:
    """How many of them one call may fill."""
    return max(_LEAST_CLAIMS, slots // 2)


async def _for_ever(turn: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await turn()
        except Exception:  # noqa: BLE001 - our own mistake: the runs in hand go on
            _log.exception("Claiming failed")
            await asyncio.sleep(_AFTER_A_MISTAKE)
