"""The runs this worker has in hand: starts their attempts, stops them, and collects how they ended.

A run is in hand from its claim until Redis has taken its end; its slot is free as soon as its
coroutine is done.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Protocol

from jobs.kit import Queue
from worker.codec import JobMessage
from worker.ending import Ending, State
from worker.engine.claims import Claim, Finish
from worker.telemetry.logs import get_logger

_log = get_logger(__name__)

_PATIENCE = 3.0  # seconds that a stopped job has to clean up before it is told again
_STUCK_AFTER = 3  # how often it is told before people are


class Stop(Enum):
    """Why a running attempt is stopped from outside."""

    SHUTDOWN = "the worker shuts down"
    LEASE_LOST = "the lease was lost"
    ABORTED = "aborted"
    TIMEOUT = "it ran out of time"
    CLAIMED_AGAIN = "it was claimed again while it was being stopped"


@dataclass(slots=True, eq=False)
class InHand:
    """One claimed run. `started` and `ended` are in seconds since 1970, others in loop time."""

    claim: Claim
    started: float
    stop: Stop | None = None
    is_running: bool = False
    message: JobMessage | None = None
    context: dict[str, Any] | None = field(default=None, repr=False)
    deadline: float = math.inf
    told_at: float = -math.inf
    told: int = 0
    task: asyncio.Task[None] | None = field(default=None, repr=False)
    finish: Finish | None = None
    ending: Ending | None = None
    ended: float = 0


class Attempt(Protocol):
    """Runs one attempt, fills in `finish` and `ending`; leaves them None if it may not end it."""

    async def __call__(self, hand: InHand) -> None: ...


class Hands:
    """All attempts of one worker process. `on_free` is called when an attempt is done."""

    def __init__(
        self,
        attempt: Attempt,
        *,
        clock: Callable[[], float],
        on_free: Callable[[], None],
        on_lost: Callable[[InHand], None] = lambda _: None,
    ) -> None:
        self._attempt = attempt
        self._clock = clock
        self._on_free = on_free
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._in_hand: dict[str, InHand] = {}
        self._counts: Counter[str] = Counter()
        self._done: list[InHand] = []
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        # How attempts ended, since the start.
        self.ended: Counter[State] = Counter()

    def __len__(self) -> int:
        return len(self._in_hand)

    @property
    def counts(self) -> dict[str, int]:
        """How many attempts run, by queue name. May be asked from another thread."""
        return {name: count for name, count in dict(self._counts).items() if count}

    @property
    def claims(self) -> list[Claim]:
        """What is in hand now. May be asked from another thread."""
        return [hand.claim for hand in list(self._in_hand.values())]

    def running(self, queue: str) -> int:
        return self._counts[queue]

    def free(self, queue: Queue) -> int:
        return max(queue.concurrency - self._counts[queue.name], 0)

    @property
    def done_count(self) -> int:
        """How many ended, and wait for Redis to hear of it."""
        return len(self._done)

    @property
    def has_done(self) -> bool:
        return bool(self._done)

    def start(self, claim: Claim, *, stop: Stop | None = None) -> None:
        """Take a claim; with `stop` it is given back at once."""
        known = self._in_hand.get(claim.run_id)
        if known is not None:
            # Redis was silent for longer than our own lease, and gave us what we have in hand.
            claim.crashes = known.claim.crashes
            if claim.raw is None:
                claim.raw = known.claim.raw
            if known.finish is None:
                self._counts[known.claim.queue.name] -= 1
                self._counts[claim.queue.name] += 1
                if known.stop is Stop.LEASE_LOST:  # it is ours again, and to be given back
                    known.stop = Stop.CLAIMED_AGAIN
            known.claim = claim
            if known.finish is not None:
                known.finish.claim = claim
            return
        hand = InHand(claim, self._clock(), stop)
        self._in_hand[claim.run_id] = hand
        self._counts[claim.queue.name] += 1
        # Not `create_task`, which thinks up a name and asks for a factory: that is a fifth of it.
        hand.task = asyncio.Task(self._run(hand), loop=self._loop, name="attempt")

    async def _run(self, hand: InHand) -> None:
        try:
            await self._attempt(hand)
        except asyncio.CancelledError:
            pass  # the loop is being torn down: the lease lapses and another worker takes the run
        except BaseException:  # noqa: BLE001 - our own mistake, not the job's: the same
            _log.exception("Attempt broke in the engine")
        # Its context knows the hand: a circle, which only the garbage collector would find.
        hand.task = None
        self._counts[hand.claim.queue.name] -= 1
        if hand.finish is None:
            self._drop(hand)
            if hand.stop is Stop.LEASE_LOST:
                self._on_lost(hand)
        else:
            self._done.append(hand)
        self._on_free()

    def begin(self, hand: InHand, timeout: float) -> None:
        """Its coroutine starts now, and has `timeout` seconds."""
        hand.is_running = True
        hand.deadline = self._loop.time() + timeout
        if self._timer is None or hand.deadline < self._timer.when():
            self._wake_at(hand.deadline)

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if when == math.inf else self._loop.call_at(when, self._sweep)

    def _sweep(self) -> None:
        """Stop what is out of time, and tell again what was told and goes on."""
        now, soonest = self._loop.time(), math.inf
        for hand in list(self._in_hand.values()):
            if not hand.is_running:
                continue
            if hand.stop is None and hand.deadline <= now:
                hand.stop = Stop.TIMEOUT
            if hand.stop is not None:
                self._cancel(hand)
                soonest = min(soonest, hand.told_at + _PATIENCE)
            else:
                soonest = min(soonest, hand.deadline)
        self._wake_at(soonest)

    def stop(self, why: Stop, claims: Iterable[Claim] | None = None) -> None:
        """Stop these attempts, or all; those that already finish go on finishing.

        By claim and not by run: the run may have been claimed again meanwhile.
        """
        wanted = None if claims is None else {id(claim) for claim in claims}
        for hand in self._in_hand.values():
            if wanted is None or id(hand.claim) in wanted:
                hand.stop = hand.stop or why
        self._sweep()

    def _cancel(self, hand: InHand) -> None:
        """Cancel the coroutine; again after a while, for one that swallowed it."""
        now = self._loop.time()
        if hand.task is None or now - hand.told_at < _PATIENCE:
            return
        hand.told_at = now
        hand.told += 1
        if hand.told == _STUCK_AFTER:
            job = hand.message.function if hand.message else None
            _log.error("A job ignores that it was stopped", job=job, stack=_where(hand.task))
        hand.task.cancel()

    def abort(self, asked: Mapping[str, datetime]) -> None:
        """Stop runs that somebody asked to abort, after they had been enqueued: ids come again."""
        meant = [
            hand.claim
            for hand in self._in_hand.values()
            if hand.message is not None
            and hand.claim.run_id in asked
            and asked[hand.claim.run_id] >= hand.message.enqueued_at
        ]
        self.stop(Stop.ABORTED, meant)

    def done(self, limit: int) -> Sequence[InHand]:
        """The attempts that ended first, at most so many; they stay in hand until `forget`."""
        taken, self._done = self._done[:limit], self._done[limit:]
        return taken

    def put_back(self, hands: Sequence[InHand]) -> None:
        """Redis has not taken these ends: they come first the next time."""
        self._done[:0] = hands

    def forget(self, hand: InHand) -> None:
        """Redis knows how it ended, or says that it is no longer ours."""
        self._drop(hand)

    def _drop(self, hand: InHand) -> None:
        if self._in_hand.get(hand.claim.run_id) is hand:
            del self._in_hand[hand.claim.run_id]
        if not self._in_hand:
            self._changed.set()

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - a deadline for others, not for itself
        """Wait until nothing is in hand, at most `timeout` seconds."""
        if not self._in_hand:
            return
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), timeout)
        except TimeoutError:
            return

    def close(self) -> None:
        """Nothing more is timed."""
        self._wake_at(math.inf)


def _where(task: "asyncio.Task[None]") -> str:
    """The lines at which a task waits, the innermost last."""
    lines = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None)
        if frame is not None:
            code = frame.f_code
            lines.append(f"{code.co_filename}:{frame.f_lineno} in {code.co_name}")
        awaited = getattr(awaited, "cr_await", None)
    return "\n".join(lines)
