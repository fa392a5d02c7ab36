"""The engine of one worker process, put together: claims, runs and ends runs until told to stop."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from time import time
from typing import Any

from redis import Redis as SyncRedis
from redis.exceptions import RedisError

from jobs.kit import Queue
from worker.background import cancel
from worker.clock import utc_now
from worker.engine.arq_seam import health_line
from worker.engine.attempt import Attempts
from worker.engine.bell import Bell
from worker.engine.fleet import beat, farewell, write_health
from worker.engine.hands import Hands, InHand, Stop
from worker.engine.hooks import Hooks
from worker.engine.keeper import Keeper
from worker.engine.pump import Pump
from worker.engine.report import Reporter
from worker.engine.store import RunStore
from worker.engine.sweep import EVERY as SWEEP_EVERY
from worker.engine.sweep import sweep_if_due
from worker.engine.worker_report import OwnReport
from worker.enqueuer import Pool
from worker.runner import Runner
from worker.telemetry.logs import get_logger

_RELEASE_WITHIN = 5.0  # seconds to tell Redis about runs that were cut short
_PATIENCE = (5.0, 15.0)  # seconds for an answer of Redis: half a lease, within these
_SETTLE_WITHIN = 2.0  # seconds to hear what the last calls claimed
_ABORT_CHECK = timedelta(seconds=0.5)  # as often as ARQ's own workers look
_HEARTBEAT = timedelta(seconds=5)
_ARQ_HEALTH_EVERY = 6  # heartbeats
_log = get_logger(__name__)


class EngineError(Exception):
    """The engine itself broke; a new process may do better."""


class Engine:
    """Serves `queues`. Made on the event loop that it runs on."""

    name = "worker"  # in the status of this process

    def __init__(
        self,
        *,
        redis: Pool,
        redis_for_thread: SyncRedis,
        queues: Sequence[Queue],
        runner: Runner,
        reporter: Reporter,
        hooks: Hooks,
        worker_id: str,
        lease: timedelta,
        lines_of: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self._redis = redis
        self._queues = queues
        self._reporter = reporter
        self._worker_id = worker_id
        self._lease = lease
        self._own_report = OwnReport(worker_id, queues, started_at=utc_now())
        self._beats = 0
        self._is_closing = False
        self._tasks: list[asyncio.Task[Any]] = []
        self._pumping: dict[str, asyncio.Task[None]] = {}
        self._after: set[asyncio.Task[None]] = set()
        self._store = RunStore(
            redis,
            queues=queues,
            worker_id=worker_id,
            lease=lease,
            timeout=max(min(lease.total_seconds() / 2, _PATIENCE[1]), _PATIENCE[0]),
        )
        self._attempts = Attempts(
            runner,
            clock=time,
            worker_id=worker_id,
            hooks=hooks,
            aborts=self._store.aborts,
            lines_of=lines_of,
        )
        self.hands = Hands(self._attempts, clock=time, on_free=self._freed, on_lost=reporter.lost)
        self._attempts.hands = self.hands
        self._has_after = hooks.after is not None
        self._bell = Bell(redis, on_ring=self._wake)
        self.pump = Pump(
            store=self._store,
            bell=self._bell,
            hands=self.hands,
            queues=queues,
            on_taken=self._taken,
        )
        self._keeper = Keeper(
            redis_for_thread,
            lease=lease,
            claims=lambda: self.hands.claims,
            on_lost=lambda lost: self.hands.stop(Stop.LEASE_LOST, lost),
            on_stall=reporter.stalled,
            beat=self._beat,
            beat_every=_HEARTBEAT,
        )
        reporter.watch(self.hands, queues)

    def start(self) -> None:
        # What is there by now stays: the garbage collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        self._keeper.start()
        self._start_pump()
        sweep = _every(SWEEP_EVERY, lambda: sweep_if_due(self._redis, self._queues))
        self._tasks = [
            *self._pumping.values(),
            asyncio.create_task(_every(_ABORT_CHECK, self._abort), name="abort"),
            asyncio.create_task(sweep, name="sweep"),
        ]

    async def drain(self, grace: float, hurry: asyncio.Event) -> None:
        """Let runs finish within `grace` seconds, or until told to hurry; give the rest back."""
        self.pump.stop_claiming()
        if len(self.hands):
            _log.info("Finishing runs in hand", runs=len(self.hands), grace=grace)
            hurrying = asyncio.create_task(hurry.wait())
            finished = asyncio.create_task(self.hands.wait(grace))
            await asyncio.wait({hurrying, finished}, return_when=asyncio.FIRST_COMPLETED)
            await cancel([hurrying, finished])
        if len(self.hands):
            _log.warning("Giving runs back", runs=len(self.hands))
        await self._give_back()

    def check(self) -> None:
        """Raises EngineError when something that serves for ever has ended."""
        for task in self._tasks:
            if task.done():
                error = None if task.cancelled() else task.exception()
                raise EngineError(f"{task.get_name()} has ended") from error
        if not self._keeper.is_alive:
            raise EngineError("nobody renews the leases")

    def status(self) -> str | None:
        """Why this worker is not well, in words for operators; None when it is."""
        if self._is_closing:
            return None
        if not self._keeper.is_alive:
            return "nobody renews the leases"
        unrenewed = self._keeper.unrenewed
        if unrenewed >= self._lease.total_seconds():
            return f"leases not renewed for {unrenewed:.0f} s"
        return None

    def _start_pump(self) -> None:
        """Start what does not run."""
        for name, turns in self.pump.turns.items():
            if name not in self._pumping or self._pumping[name].done():
                self._pumping[name] = asyncio.create_task(turns(), name=name)

    async def _give_back(self) -> None:
        if self._pumping:
            self._start_pump()  # whatever ended it, the runs are to be given back
        self.hands.stop(Stop.SHUTDOWN)
        with suppress(TimeoutError):  # a call that is on its way may bring runs
            await asyncio.wait_for(self.pump.settled(), _SETTLE_WITHIN)
        await self.hands.wait(_RELEASE_WITHIN)
        await asyncio.sleep(0)  # the last of them is being reported
        if self._after:
            await asyncio.wait(self._after, timeout=_RELEASE_WITHIN)

    async def close(self) -> None:
        """Give back what is still in hand, and say goodbye. Safe after a failure, too."""
        self._is_closing = True
        self.pump.stop_claiming()
        await self._give_back()
        await cancel([*self._tasks, *self._pumping.values(), *self._after])
        self.hands.close()
        await self._keeper.stop()
        with suppress(RedisError, OSError):
            await farewell(self._redis, self._worker_id, self._queues)
        self._store.close()
        self._bell.close()

    async def is_empty(self) -> bool:
        """Nothing is queued, now or later, and nothing runs: where burst mode ends (as ARQ's)."""
        if len(self.hands):
            return False
        return not sum([await self._redis.zcard(queue.key) for queue in self._queues])

    def _freed(self) -> None:
        self.pump.freed()

    def _wake(self) -> None:
        self.pump.wake()

    def _taken(self, ended: Sequence[InHand], verdicts: Sequence[bool]) -> None:
        try:
            self._reporter.ended(ended, verdicts, self.hands.ended)
        except Exception:  # noqa: BLE001 - what is said of runs must not hold them up
            _log.exception("Ended runs could not be reported")
        if self._has_after:
            hands = [hand for hand, is_taken in zip(ended, verdicts, strict=True) if is_taken]
            task = asyncio.create_task(self._attempts.after(hands))
            self._after.add(task)
            task.add_done_callback(self._after.discard)

    async def _abort(self) -> None:
        if len(self.hands):
            run_ids = [claim.run_id for claim in self.hands.claims]
            self.hands.abort(await self._store.aborts(run_ids))

    def _beat(self, redis: SyncRedis) -> None:
        """Called from the keeper's thread."""
        report = self._own_report.now(
            self.hands.counts,
            state="running" if self.pump.is_claiming else "draining",
            lag=self._keeper.lag,
        )
        beat(redis, self._worker_id, report, life=_HEARTBEAT * 3)
        if self._beats % _ARQ_HEALTH_EVERY == 0:
            line = health_line(self.hands.ended, ongoing=len(self.hands))
            life = _HEARTBEAT * (_ARQ_HEALTH_EVERY + 2)
            write_health(redis, self._queues, line, life=life)
        self._beats += 1


async def _every(interval: timedelta, chore: Callable[[], Awaitable[object]]) -> None:
    """Do a chore again and again; its failure is logged and is nobody else's."""
    while True:
        try:
            await chore()
        except (RedisError, OSError) as error:
            _log.warning("Redis is away, a chore waits", error_type=type(error).__name__)
        except Exception:  # noqa: BLE001 - a chore must not end the worker
            _log.exception("A chore failed")
        await asyncio.sleep(interval.total_seconds())
