"""What the defects are tried on: deskhand's worker, and ARQ's own beside it.

    @defect("D12", "a stale worker ends the run of another")
    async def test_…(subject: Subject) -> None:

runs the test on both: deskhand passes, and ARQ fails with an error of the type `raises`. What only
prepares a test raises TimeoutError when it does not come about, so that ARQ cannot fail for that.
"""

import asyncio
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from typing import Any

import pytest
from arq import ArqRedis, Worker, create_pool
from arq.connections import RedisSettings
from arq.jobs import Job, JobResult

from tests.worker.engine.defects.defect_jobs import Line, lines
from tests.worker.engine.defects.running import (
    InProcess,
    Options,
    Place,
    Process,
    WorkerDiedError,
    becomes,
    says,
)
from tests.worker.engine.defects.stock_app import CODECS

DEFAULT, EMAIL = "arq:queue", "arq:queue:email"


def defect(
    number: str, sentence: str, *, raises: type[BaseException] = AssertionError
) -> pytest.MarkDecorator:
    """Try both; ARQ's own worker fails, with this error."""
    fails = pytest.mark.xfail(strict=True, raises=raises, reason=f"{number}: {sentence}")
    quiet = pytest.mark.filterwarnings("ignore:Call to deprecated close")  # ARQ's, as it ends
    stock = pytest.param("stock", marks=[fails, quiet])
    return pytest.mark.parametrize("subject", ["deskhand", stock], indirect=True)


deskhand_only = pytest.mark.parametrize("subject", ["deskhand"], indirect=True)


class Subject(ABC):
    """A runner of jobs and the pool that its users enqueue with.

    started  what it logs as soon as it runs
    codec    the only one it speaks
    """

    started: str
    codec: str | None = None

    def __init__(self, place: Place, stack: AsyncExitStack) -> None:
        self.place = place
        self._stack = stack
        self._running: list[InProcess] = []
        self._processes: list[Process] = []
        self.diary = place.folder / "diary"
        # The pool of the runner's own users, and ARQ's as the runner tells them to make it.
        self.pool: Any = None
        self.stock_pool: ArqRedis
        # What looks on from beside, past any slow line.
        self.redis: ArqRedis

    async def open(self, redis_url: str | None = None, *, codec: str = "pickle") -> None:
        """Connect the pools, to another server than the test's if need be."""
        url = redis_url or self.place.redis_url
        self.stock_pool = await create_pool(
            RedisSettings.from_dsn(url), **CODECS[self.codec or codec]
        )
        self._stack.push_async_callback(self.stock_pool.aclose)
        self.redis = await create_pool(RedisSettings.from_dsn(self.place.redis_url))
        self._stack.push_async_callback(self.redis.aclose)
        self.pool = await self.make_pool(url, codec=codec)
        self._stack.push_async_callback(self.pool.aclose)

    @abstractmethod
    async def make_pool(self, redis_url: str, **options: Any) -> ArqRedis:
        """Another pool as its users have; to be closed by whoever asks for it."""

    @abstractmethod
    def build(self, options: Options) -> Worker: ...

    @abstractmethod
    def command(self, options: Options) -> tuple[list[str], dict[str, str]]: ...

    async def start(self, **options: Any) -> InProcess:
        """A worker in this process; stopped at the end of the test."""
        chosen = Options(**options)
        worker = self.build(chosen)
        worker.main_task = task = asyncio.create_task(worker.main())
        running = InProcess(worker, task, has_grace=chosen.grace > 0)
        self._running.append(running)
        self._stack.push_async_callback(running.stop)
        await self.until_started(running)
        return running

    def build_for(self, **arq: Any) -> Worker:
        """A worker with these arguments of ARQ's that does not run yet."""
        return self.build(Options(arq=arq))

    @abstractmethod
    async def until_started(self, running: InProcess) -> None: ...

    async def spawn(self, **options: Any) -> Process:
        """A worker in a process of its own; killed at the end of the test."""
        command, environment = self.command(Options(**options))
        log = self.place.folder / f"worker-{len(self._processes)}.log"
        with log.open("wb") as file:
            popen = subprocess.Popen(  # noqa: ASYNC220 - it only starts it
                [sys.executable, "-m", *command],
                env={**os.environ, "REDIS_URL": self.place.redis_url, **environment},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        process = Process(popen, log)
        self._processes.append(process)
        self._stack.callback(process.stop)
        if not await becomes(lambda: says(log, self.started), 45):
            raise TimeoutError(log.read_text())
        return process

    async def enqueue(self, job: str, run_id: str | None = None, **payload: Any) -> str:
        """Enqueue with the users' own pool; returns the run's id."""
        return await self.enqueue_with(self.pool, job, payload, _job_id=run_id)

    async def enqueue_with(
        self, pool: Any, job: str, payload: dict[str, Any] | None = None, **options: Any
    ) -> str:
        """Enqueue with this pool and ARQ's own options; returns the run's id."""
        run = await pool.enqueue_job(job, {"diary": str(self.diary), **(payload or {})}, **options)
        if run is None:
            raise LookupError("it was enqueued before")
        return str(run.job_id)

    def job(self, run_id: str, queue: str = DEFAULT) -> Job:
        """ARQ's own handle."""
        deserializer = self.stock_pool.job_deserializer
        return Job(run_id, self.stock_pool, _queue_name=queue, _deserializer=deserializer)

    @abstractmethod
    def handle(self, run_id: str, job: str) -> Job:
        """The handle that its users make of an id they have kept."""

    async def record(self, run_id: str, within: float = 15) -> JobResult:
        """How a run ended, as soon as it did. Raises WorkerDiedError, TimeoutError."""
        async with asyncio.timeout(within):
            while (record := await self.job(run_id).result_info()) is None:
                self.check_alive()
                await asyncio.sleep(0.02)
        return record

    async def value(self, run_id: str, within: float = 15) -> Any:
        """What a run returned; raises what it raised."""
        record = await self.record(run_id, within)
        if isinstance(record.result, BaseException):
            raise record.result
        return record.result

    def check_alive(self) -> None:
        for running in self._running:
            if running.task.done() and not running.is_told:
                raise WorkerDiedError from running.task.exception()
        for process in self._processes:
            if process.popen.poll() is not None and not process.is_told:
                raise WorkerDiedError(f"with {process.popen.returncode}")

    @property
    def lines(self) -> list[Line]:
        return lines(self.diary)

    def texts(self, text: str) -> list[Line]:
        return [line for line in self.lines if line.text == text]

    async def until_written(self, text: str, count: int = 1, within: float = 15) -> None:
        """Wait for so many lines of this text. Raises WorkerDiedError, TimeoutError."""
        async with asyncio.timeout(within):
            while len(self.texts(text)) < count:
                self.check_alive()
                await asyncio.sleep(0.02)
