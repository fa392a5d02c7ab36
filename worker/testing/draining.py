"""Runs all that is enqueued, with the real engine on the test's event loop."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import uuid4

from typing_extensions import override

from jobs.kit import Queue, discover
from worker.ending import State
from worker.engine.engine import Engine
from worker.engine.hands import InHand
from worker.engine.hooks import Hooks
from worker.engine.report import Reporter
from worker.lifespan import Resources
from worker.rates import Tally
from worker.redis_pool import open_redis_for_thread
from worker.telemetry.metrics import Metrics
from worker.testing.attempts import Told, ended_of, runner_of
from worker.testing.ended import Ended
from worker.testing.pool import RigPool

_LEASE = timedelta(seconds=30)
_LOOK_EVERY = 0.005  # seconds
_SHOWN = 10
_MILLISECOND = timedelta(milliseconds=1)


class DrainError(Exception):
    """There was more to run than the test allows; the sentence says what ran."""


class _Listener(Reporter):
    """A worker's reporter that keeps how attempts ended."""

    def __init__(self, pool: RigPool, told: dict[str, Told]) -> None:
        super().__init__(
            Metrics((), version="rig"), tally=Tally(), log_runs="none", log_format="text"
        )
        self._pool = pool
        self._told = told
        self.heard: list[Ended] = []

    @override
    def ended(
        self, hands: Sequence[InHand], verdicts: Sequence[bool], ended: Counter[State]
    ) -> None:
        for hand in hands:
            run_id = hand.claim.run_id
            heard = ended_of(hand, self._told.pop(run_id, Told()))
            self.heard.append(heard)
            if heard.state.is_final:
                self._pool.due.pop(run_id, None)
            else:
                self._pool.due[run_id] = self._pool.clock() + heard.wait
        super().ended(hands, verdicts, ended)


async def drain(
    pool: RigPool,
    resources: Resources,
    told: dict[str, Told],
    *,
    until: timedelta,
    limit: int,
    within: float,
) -> list[Ended]:
    """As Rig.drain says. The engine is opened for this call, and closed after it."""
    await pool.follow()
    queues = list(resources.settings.queues().values())
    listener = _Listener(pool, told)
    engine = Engine(
        redis=pool,
        redis_for_thread=open_redis_for_thread(pool.url),
        queues=queues,
        runner=runner_of(discover(), resources, told, moved=lambda: pool.clock.moved),
        reporter=listener,
        hooks=Hooks(),
        worker_id=f"rig:{uuid4().hex[:8]}",
        lease=_LEASE,
    )
    engine.pump.limit = limit
    end = pool.clock() + until
    deadline = time.monotonic() + within
    engine.start()
    try:
        while await _has_work(engine, pool, queues) or await _move_on(pool, queues, end):
            engine.check()
            if len(listener.heard) >= limit or time.monotonic() > deadline:
                raise DrainError(_told(listener.heard, limit, within))
            engine.pump.wake()
            await asyncio.sleep(_LOOK_EVERY)
    finally:
        await engine.close()
    return listener.heard


async def _has_work(engine: Engine, pool: RigPool, queues: Sequence[Queue]) -> bool:
    """Is anything due, or in hand? A call that is on its way may bring runs, hence the order."""
    await engine.pump.settled()
    if len(engine.hands):
        return True
    now = await pool.milliseconds()
    due = sum([await pool.zcount(queue.key, "-inf", now) for queue in queues])
    await engine.pump.settled()
    return bool(due or len(engine.hands))


async def _move_on(pool: RigPool, queues: Sequence[Queue], end: datetime) -> bool:
    """Move the clock to when the next run is due, if that is before `end`."""
    now = await pool.milliseconds()
    firsts = [await pool.zrange(queue.key, 0, 0, withscores=True) for queue in queues]
    scores = [score for first in firsts for _, score in first]
    if not scores:
        return False
    step = max(min(scores) - now, 0) * _MILLISECOND
    if pool.clock() + step > end:
        return False
    pool.clock.move(step)
    await pool.follow()
    return True


def _told(heard: Sequence[Ended], limit: int, within: float) -> str:
    last = "\n".join(f"  {one}".partition("\n")[0] for one in heard[-_SHOWN:])
    return (
        f"{len(heard)} attempts ended, and there is more to run (limit={limit}, within={within:g} "
        f"seconds); the last of them:\n{last}"
    )
