"""The two sides: deskhand, and ARQ itself."""

import asyncio
import gc
import json
import warnings
from contextlib import AsyncExitStack
from typing import Any

from arq import ArqRedis, Worker, create_pool
from arq.connections import RedisSettings
from arq.jobs import Job
from typing_extensions import override

from jobs.kit import all_jobs
from tests.worker.engine.defects.running import InProcess, Options, Place
from tests.worker.engine.defects.stock_app import CODECS, stock_worker
from tests.worker.engine.defects.subjects import Subject
from worker.engine.worker import Worker as DeskhandWorker
from worker.enqueuer import Pool, known_job
from worker.lifespan import arq_function
from worker.redis_pool import open_redis
from worker.runtime import shutdown, startup


class Deskhand(Subject):
    started = "Worker started"
    codec = "deskhand"

    @override
    async def make_pool(self, redis_url: str, **options: Any) -> Pool:
        return open_redis(redis_url, Pool)

    @override
    def handle(self, run_id: str, job: str) -> Job:
        return self.pool.handle(run_id, known_job(job))  # type: ignore[no-any-return]  # a Pool

    def _settings(self, options: Options) -> dict[str, Any]:
        return {
            "redis_url": options.redis_url or self.place.redis_url,
            "queue_concurrency": {"default": options.concurrency},
            "run_lease": max(options.lease or 3, 3),
            "shutdown_grace": options.grace,
        }

    @override
    def build(self, options: Options) -> Worker:
        return DeskhandWorker(
            [arq_function(job) for job in all_jobs()],
            settings=self.place.make_settings(**self._settings(options)),
            on_startup=startup,
            on_shutdown=shutdown,
            handle_signals=False,
            **{"poll_delay": 0.05, **options.arq},
        )

    @override
    async def until_started(self, running: InProcess) -> None:
        while "runtime" not in running.worker.ctx and not running.task.done():
            await asyncio.sleep(0.01)

    @override
    def command(self, options: Options) -> tuple[list[str], dict[str, str]]:
        settings = {
            name.upper(): json.dumps(value) if isinstance(value, dict) else str(value)
            for name, value in self._settings(options).items()
        }
        place = {
            "DATABASE_URL": self.place.database_url,
            "VAR_DIR": str(self.place.folder / "var"),
            "PORT": "0",
        }
        return ["arq", f"{__package__}.deskhand_app.WorkerSettings"], {**settings, **place}


class Stock(Subject):
    started = "Starting worker"

    def __init__(self, place: Place, stack: AsyncExitStack) -> None:
        super().__init__(place, stack)
        stack.callback(self._sweep)  # the last of all that is done

    def _sweep(self) -> None:
        """ARQ is cancelled wherever it is, with a pipeline in hand: it complains here or never."""
        self._running.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    @override
    async def make_pool(
        self, redis_url: str, *, codec: str = "pickle", limit: int | None = None, **options: Any
    ) -> ArqRedis:
        settings = RedisSettings.from_dsn(redis_url)
        settings.max_connections = limit
        return await create_pool(settings, **CODECS[codec])

    @override
    def handle(self, run_id: str, job: str) -> Job:
        return Job(run_id, self.pool)

    def _options(self, options: Options) -> dict[str, Any]:
        return {
            "codec": options.codec,
            "lease": options.lease,
            "max_jobs": options.concurrency,
            "job_completion_wait": options.grace,
            "allow_abort_jobs": True,
            **options.arq,
        }

    @override
    def build(self, options: Options) -> Worker:
        url = options.redis_url or self.place.redis_url
        worker = stock_worker(url, handle_signals=False, **self._options(options))
        worker._handle_signals = True  # so that it ends as in a process of its own
        return worker

    @override
    async def until_started(self, running: InProcess) -> None:
        while "redis" not in running.worker.ctx and not running.task.done():
            await asyncio.sleep(0.01)

    @override
    def command(self, options: Options) -> tuple[list[str], dict[str, str]]:
        return [f"{__package__}.stock_app"], {"STOCK_OPTIONS": json.dumps(self._options(options))}


SUBJECTS: dict[str, type[Subject]] = {"deskhand": Deskhand, "stock": Stock}
