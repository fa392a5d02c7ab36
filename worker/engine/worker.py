"""The arq.worker.Worker of deskhand: many queues in one process, short leases, no lost run.

ARQ's command builds whatever `arq.worker.Worker` names (`worker/main.py` puts this class there), so
`--burst`, `--check`, `--watch` and the signals keep working. ARQ's own polling, claiming and
finishing are not used.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from signal import Signals
from typing import Any
from uuid import uuid4

from arq.worker import Function
from arq.worker import Worker as ArqWorker
from redis.exceptions import RedisError
from typing_extensions import override

from jobs.kit import Queue, discover
from worker import __version__
from worker.background import cancel
from worker.clock import utc_now
from worker.engine.arq_seam import set_event_loop, signature_with
from worker.engine.engine import Engine
from worker.engine.hands import Hands
from worker.engine.hooks import Hooks
from worker.engine.report import Reporter
from worker.enqueuer import Pool
from worker.redis_pool import check_login, open_redis, open_redis_for_thread
from worker.runner import Policy, Runner
from worker.runtime import Runtime
from worker.settings import Settings
from worker.startup import StartupError, until_it_answers
from worker.telemetry.logs import configure, get_logger
from worker.telemetry.sentry import Sentry

_BURST_CHECK = 0.05  # seconds
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
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._is_signalled = False
        self.engine: Engine | None = None
        self._ending: asyncio.Task[None] | None = None

    @override
    def run(self) -> None:
        """Run until a signal, or in burst mode until the queues are empty.

        What breaks the worker itself is logged and reported, and the process ends with 1: whoever
        looks after it starts another, which takes the runs that were given back.
        """
        sentry = self._open_sentry()
        self.main_task = self.loop.create_task(self.main())
        try:
            try:
                self._complete(self.main_task)
            finally:
                self.loop.run_until_complete(self.close())
        except StartupError as error:
            sys.stderr.write(f"deskhand cannot start: {error}\n")
            raise SystemExit(1) from None
        except asyncio.CancelledError:
            pass  # a signal before the start was done
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told and the process ends
            _log.exception("The worker broke, and ends")
            sentry.report(error)
            raise SystemExit(1) from None
        finally:
            sentry.close()

    def _complete(self, main: "asyncio.Task[None]") -> None:
        """A task that a job has started may exit, which asyncio hands to us: it ends nothing."""
        while True:
            try:
                return self.loop.run_until_complete(main)
            except (SystemExit, KeyboardInterrupt):
                # Real signals have handlers by now.
                if main.done() or self.engine is None or not self._signals:
                    raise
                _log.exception("A task tried to end the process")

    def _open_sentry(self) -> Sentry:
        dsn = self.settings.sentry_dsn
        return Sentry(
            None if dsn is None else dsn.get_secret_value(),
            release=f"deskhand@{__version__}",
            environment=self.settings.environment,
            server_name=self.settings.service_name,
        )

    @override
    async def main(self) -> None:
        """Open everything, serve, and give back what cannot be finished."""
        loop = asyncio.get_running_loop()
        for signum in self._signals:
            loop.add_signal_handler(signum, self.handle_sig, signum)
        self._stopping.clear()  # `--watch` runs the same worker again
        self._hurry.clear()
        self._is_signalled = False
        configure(level=self.settings.log_level, fmt=self.settings.log_format)
        pool = self._pool if isinstance(self._pool, Pool) else await self._connect()
        self._pool = pool
        self.ctx.update(redis=pool, settings=self.settings, is_burst=self.burst)
        if self.on_startup is not None:
            await self.on_startup(self.ctx)
        runtime: Runtime = self.ctx["runtime"]
        self.engine = engine = self._make_engine(pool, runtime)
        runtime.health.describe_with(lambda: self._facts(engine.hands))
        runtime.health.running()
        _log.info("Worker started", worker=self.worker_id, queues=[q.name for q in self.queues])
        try:
            engine.start()
            runtime.status.watch(engine)
            await self._serve(engine, runtime)
            runtime.health.draining()
            await engine.drain(self.settings.shutdown_grace, self._hurry)
        finally:
            # Nothing is in hand by now, unless something broke: then another worker shall have it.
            await engine.close()
            runtime.health.stopped()
        _log.info("Worker stopped", **{state.value: n for state, n in engine.hands.ended.items()})

    def _facts(self, hands: Hands) -> dict[str, object]:
        """For people who look at `/health`: a full worker is well, and a restart helps nobody."""
        return {
            "running": hands.counts,
            "saturated": not any(hands.free(queue) for queue in self.queues),
        }

    async def _connect(self) -> Pool:
        pool = open_redis(self._redis_url(), Pool)
        await until_it_answers(
            lambda: check_login(pool),
            name="Redis (REDIS_URL)",
            within=self.settings.start_timeout,
            away=(RedisError, OSError),
        )
        return pool

    def _redis_url(self) -> str:
        url = self.settings.redis_dsn
        if url is None:
            raise StartupError("REDIS_URL is not set; `deskhand run` can start a private Redis")
        return url

    def _make_engine(self, pool: Pool, runtime: Runtime) -> Engine:
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
        engine = Engine(
            redis=pool,
            redis_for_thread=open_redis_for_thread(
                self._redis_url(), timeout=min(self.settings.run_lease / 4, 5)
            ),
            queues=self.queues,
            runner=runner,
            reporter=Reporter(
                runtime.metrics,
                tally=runtime.tally,
                log_runs=self.settings.log_runs,
                log_format=self.settings.log_format,
            ),
            hooks=Hooks(self.on_job_start, self.on_job_end, self.after_job_end),
            worker_id=self.worker_id,
            lease=timedelta(seconds=self.settings.run_lease),
            lines_of=runtime.notes.take,
        )
        if self.burst and self.max_burst_jobs >= 0:
            engine.pump.limit = self.max_burst_jobs
        return engine

    async def _serve(self, engine: Engine, runtime: Runtime) -> None:
        """Until told to stop, or in burst mode until everything is done."""
        while not self._stopping.is_set():
            runtime.health.heartbeat()
            engine.check()
            if self.burst and await self._is_done(engine):
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _BURST_CHECK if self.burst else 1)

    async def _is_done(self, engine: Engine) -> bool:
        if engine.pump.limit is not None and engine.pump.claimed >= engine.pump.limit:
            return len(engine.hands) == 0
        try:
            return await engine.is_empty()
        except (RedisError, OSError):
            return False

    @override
    def _add_signal_handler(self, signum: Signals, handler: Callable[[Signals], None]) -> None:
        """Not yet: uvloop loses a signal that comes before it runs. `main` adds them."""
        del handler
        self._signals.append(signum)

    @override
    def handle_sig(self, signum: Signals) -> None:
        """The first signal drains, the second gives everything back at once."""
        if self._is_signalled:
            self._hurry.set()
        self._is_signalled = True
        self._stop(signum)

    def _stop(self, signum: Signals) -> None:
        if self.engine is None and self.main_task is not None:
            # Still starting: nothing is in hand.
            self._ending = asyncio.get_running_loop().create_task(cancel([self.main_task]))
        if self._stopping.is_set():
            return
        _log.info("Stopping", signal=Signals(signum).name)
        self._stopping.set()
        if self.on_stop is not None:
            self.on_stop(signum)

    def order(self, *, hurry: bool) -> None:
        """Stop as at the first signal, or with `hurry` as at the second.

        From any thread, at any time; the same order twice is one, and counts as no signal: whoever
        orders may have been signalled together with this process.
        """
        with suppress(RuntimeError):  # the loop is closed: it has stopped
            self.loop.call_soon_threadsafe(self._obey, hurry)

    def _obey(self, hurry: bool) -> None:  # noqa: FBT001 - call_soon_threadsafe knows no keywords
        self._stop(Signals.SIGTERM)
        if hurry:
            self._hurry.set()

    @override
    def handle_sig_wait_for_completion(self, signum: Signals) -> None:
        self.handle_sig(signum)

    @override
    async def close(self) -> None:
        """Stop, and close what `main` opened. Safe to call at any time, and twice."""
        main = self.main_task
        if main is not None and not main.done() and main is not asyncio.current_task():
            self._stopping.set()
            await asyncio.wait({main})
        if self._pool is None:
            return
        if self.on_shutdown is not None:
            await self.on_shutdown(self.ctx)
        await self._pool.aclose(close_connection_pool=True)
        self._pool = None


Worker.__signature__ = signature_with("settings")  # type: ignore[attr-defined]  # inspect reads it
