"""The arq.worker.Worker of deskhand: many queues in one process, short leases, no lost run.

ARQ's command builds whatever `arq.worker.Worker` names (`worker/main.py` puts this class there), so
`--burst`, `--check`, `--watch` and the signals keep working. ARQ's own polling, claiming and
finishing are not used.
"""

import asyncio
import os
import random
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from signal import Signals
from typing import Any
from uuid import uuid4

from arq.constants import health_check_key_suffix
from arq.worker import Function
from arq.worker import Worker as ArqWorker
from redis.exceptions import RedisError
from typing_extensions import override

from jobs.kit import Queue, discover
from worker.background import cancel
from worker.clock import utc_now
from worker.engine.arq_seam import health_line, set_event_loop, signature_with
from worker.engine.hands import Hands, Stop
from worker.engine.store import RunStore
from worker.enqueuer import Pool
from worker.redis_pool import check_login, open_redis
from worker.runner import Policy, Runner
from worker.runtime import Runtime
from worker.settings import Settings
from worker.startup import StartupError, until_it_answers
from worker.telemetry.logs import configure, get_logger

_LONGEST_BACKOFF = 5.0  # seconds between claims while Redis is away
_CLAIM_WITHIN = 15.0  # seconds until a Redis that does not answer counts as away
_RELEASE_WITHIN = 5.0  # seconds to tell Redis about runs that were cut short
_HEARTBEAT = timedelta(seconds=5)
_ABORT_CHECK = timedelta(seconds=0.5)  # as often as ARQ's own workers look
_log = get_logger(__name__)


class Worker(ArqWorker):
    """Serves `settings.worker_queues`. Takes ARQ's arguments and `settings`."""

    def __init__(
        self, functions: Sequence[Function] = (), *, settings: Settings, **kwargs: Any
    ) -> None:
        set_event_loop()
        self._signals: list[Signals] = []
        super().__init__(functions, **kwargs)
        self.settings = settings
        shaped = settings.queues()
        self.queues: list[Queue] = [shaped[name] for name in settings.worker_queues]
        self.worker_id = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._lease = timedelta(seconds=settings.run_lease)
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self.hands: Hands | None = None
        self._claimed = 0
        self._ending: asyncio.Task[None] | None = None

    @override
    def run(self) -> None:
        """Run until a signal, or in burst mode until the queues are empty."""
        self.main_task = self.loop.create_task(self.main())
        try:
            self.loop.run_until_complete(self.main_task)
        except StartupError as error:
            sys.stderr.write(f"deskhand cannot start: {error}\n")
            raise SystemExit(1) from None
        except asyncio.CancelledError:
            pass  # a signal before the start was done
        finally:
            self.loop.run_until_complete(self.close())

    @override
    async def main(self) -> None:
        """Open everything, serve, and give back what cannot be finished."""
        for signum in self._signals:
            asyncio.get_running_loop().add_signal_handler(signum, self.handle_sig, signum)
        self._stopping.clear()  # `--watch` runs the same worker again
        self._hurry.clear()
        configure(level=self.settings.log_level, fmt=self.settings.log_format)
        if self._pool is None:
            self._pool = await self._connect()
        self.ctx.update(redis=self._pool, settings=self.settings)
        if self.on_startup is not None:
            await self.on_startup(self.ctx)
        runtime: Runtime = self.ctx["runtime"]
        store = RunStore(self._pool, worker_id=self.worker_id, lease=self._lease)
        self.hands = hands = self._make_hands(store, runtime)
        chores = [asyncio.create_task(chore) for chore in self._chores(store, hands)]
        runtime.health.describe_with(lambda: self._facts(hands))
        runtime.health.running()
        _log.info("Worker started", worker=self.worker_id, queues=[q.name for q in self.queues])
        try:
            await self._serve(store, hands, runtime)
            runtime.health.draining()
            await self._drain(hands)
        finally:
            # Empty by now, unless something broke: then another worker shall have them.
            hands.stop(Stop.SHUTDOWN)
            await hands.wait(_RELEASE_WITHIN)
            runtime.health.stopped()
            await cancel(chores)
            with suppress(RedisError, OSError):
                await store.farewell(self.queues)
        _log.info("Worker stopped", **{state.value: n for state, n in hands.ended.items()})

    def _facts(self, hands: Hands) -> dict[str, object]:
        """For people who look at `/health`: a full worker is well, and a restart helps nobody."""
        return {
            "running": hands.counts,
            "saturated": not any(hands.free(queue) for queue in self.queues),
        }

    def _chores(self, store: RunStore, hands: Hands) -> list[Coroutine[Any, Any, None]]:
        return [
            self._every(self._lease / 3, lambda: self._renew(store, hands)),
            self._every(_ABORT_CHECK, lambda: self._abort(store, hands)),
            self._every(_HEARTBEAT, lambda: self._beat(store, hands)),
        ]

    async def _connect(self) -> Pool:
        url = self.settings.redis_dsn
        if url is None:
            raise StartupError("REDIS_URL is not set; `deskhand run` can start a private Redis")
        pool = open_redis(url, Pool)
        await until_it_answers(
            lambda: check_login(pool),
            name="Redis (REDIS_URL)",
            within=self.settings.start_timeout,
            away=(RedisError, OSError),
        )
        return pool

    def _make_hands(self, store: RunStore, runtime: Runtime) -> Hands:
        runner = Runner(
            jobs=discover(),
            functions={name: f for name, f in self.functions.items() if isinstance(f, Function)},
            context=self.ctx,
            policy=Policy(
                queues=self.settings.queues(),
                unknown_job_grace=timedelta(seconds=self.settings.unknown_job_grace),
                accept_pickle=self.settings.arq_accept_pickle == "restricted",
            ),
            clock=utc_now,
        )
        return Hands(
            store=store,
            runner=runner,
            metrics=runtime.metrics,
            log=get_logger("worker.run"),
            clock=utc_now,
            worker_id=self.worker_id,
            on_free=self._wake.set,
        )

    async def _serve(self, store: RunStore, hands: Hands, runtime: Runtime) -> None:
        """Claim and start runs until told to stop; a Redis that is away is waited for."""
        backoff = 0.1
        while not self._stopping.is_set():
            runtime.health.heartbeat()
            try:
                async with asyncio.timeout(_CLAIM_WITHIN):
                    claimed = await self._claim(store, hands)
                is_done = self.burst and not claimed and await self._is_empty(hands)
            except (RedisError, OSError) as error:
                _log.warning("Redis does not let us claim", error_type=type(error).__name__)
                await self._pause(backoff * random.uniform(0.5, 1))  # noqa: S311 - spreads workers
                backoff = min(backoff * 2, _LONGEST_BACKOFF)
                continue
            except Exception:  # noqa: BLE001 - our own mistake: the runs in hand go on
                _log.exception("Claiming failed")
                await self._pause(_LONGEST_BACKOFF)
                continue
            backoff = 0.1
            if is_done:
                return
            if not claimed:
                await self._pause(self.poll_delay_s)

    async def _claim(self, store: RunStore, hands: Hands) -> int:
        """Start what is due, as far as there are free slots; returns how many."""
        self._wake.clear()
        left = sys.maxsize
        if self.burst and self.max_burst_jobs >= 0:
            left = max(self.max_burst_jobs - self._claimed, 0)
        free = {queue: min(hands.free(queue), left) for queue in self.queues}
        claims = await store.claim(free, hands.claims)
        for claim in claims:
            # A signal may have come while the script ran: what was claimed goes straight back.
            hands.start(claim, stop=Stop.SHUTDOWN if self._stopping.is_set() else None)
        self._claimed += len(claims)
        return len(claims)

    async def _is_empty(self, hands: Hands) -> bool:
        """Burst mode ends when nothing is queued, now or later, and nothing runs (as ARQ's)."""
        if 0 <= self.max_burst_jobs <= self._claimed:
            return len(hands) == 0
        return len(hands) == 0 and not sum([await self.pool.zcard(q.key) for q in self.queues])

    async def _pause(self, seconds: float) -> None:
        """Sleep until a slot becomes free, a signal comes, or the time is up."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    async def _drain(self, hands: Hands) -> None:
        """Let runs finish within the grace, then give the rest back without spending an attempt."""
        if len(hands):
            _log.info("Finishing runs in hand", runs=len(hands), grace=self.settings.shutdown_grace)
        hurry = asyncio.create_task(self._hurry.wait())
        finished = asyncio.create_task(hands.wait(self.settings.shutdown_grace))
        await asyncio.wait({hurry, finished}, return_when=asyncio.FIRST_COMPLETED)
        await cancel([hurry, finished])
        if len(hands):
            _log.warning("Giving runs back", runs=len(hands))
            hands.stop(Stop.SHUTDOWN)
            await hands.wait(_RELEASE_WITHIN)

    async def _every(self, interval: timedelta, chore: Callable[[], Awaitable[None]]) -> None:
        """Do a chore again and again; its failure is logged and is nobody else's."""
        while True:
            try:
                await chore()
            except (RedisError, OSError) as error:
                _log.warning("Redis is away, a chore waits", error_type=type(error).__name__)
            except Exception:  # noqa: BLE001 - a chore must not end the worker
                _log.exception("A chore failed")
            await asyncio.sleep(interval.total_seconds())

    async def _renew(self, store: RunStore, hands: Hands) -> None:
        claims = hands.claims
        lost = await store.renew(claims)
        hands.stop(Stop.LEASE_LOST, [claim for claim in claims if claim.run_id in lost])

    async def _abort(self, store: RunStore, hands: Hands) -> None:
        hands.abort(await store.aborts([claim.run_id for claim in hands.claims]))

    async def _beat(self, store: RunStore, hands: Hands) -> None:
        """Report this worker, and write ARQ's own health keys for `arq --check`."""
        life = _HEARTBEAT * 3
        report = {"worker": self.worker_id, "running": hands.counts, "pid": os.getpid()}
        await store.heartbeat(report, life=life)
        text = health_line(hands.ended, ongoing=len(hands))
        for queue in self.queues:
            queued = await self.pool.zcard(queue.key)
            await self.pool.set(
                queue.key + health_check_key_suffix, f"{text} queued={queued}", px=life
            )

    @override
    def _add_signal_handler(self, signum: Signals, handler: Callable[[Signals], None]) -> None:
        """Not yet: uvloop loses a signal that comes before it runs. `main` adds them."""
        del handler
        self._signals.append(signum)

    @override
    def handle_sig(self, signum: Signals) -> None:
        """The first signal drains, the second gives everything back at once."""
        if self.hands is None and self.main_task is not None:
            # Still starting: nothing is in hand.
            self._ending = asyncio.get_running_loop().create_task(cancel([self.main_task]))
        if self._stopping.is_set():
            self._hurry.set()
            return
        _log.info("Stopping", signal=Signals(signum).name)
        self._stopping.set()
        self._wake.set()
        if self.on_stop is not None:
            self.on_stop(signum)

    @override
    def handle_sig_wait_for_completion(self, signum: Signals) -> None:
        self.handle_sig(signum)

    @override
    async def close(self) -> None:
        """Stop, and close what `main` opened. Safe to call at any time, and twice."""
        main = self.main_task
        if main is not None and not main.done() and main is not asyncio.current_task():
            self._stopping.set()
            self._wake.set()
            await asyncio.wait({main})
        if self._pool is None:
            return
        if self.on_shutdown is not None:
            await self.on_shutdown(self.ctx)
        await self._pool.aclose(close_connection_pool=True)
        self._pool = None


Worker.__signature__ = signature_with("settings")  # type: ignore[attr-defined]  # inspect reads it
