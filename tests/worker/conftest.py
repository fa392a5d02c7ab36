"""A real worker in this process, and others in processes of their own."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import asyncpg
import pytest

from jobs.kit import all_jobs
from tests.conftest import MakeSettings
from worker.embedded import Server, start_valkey
from worker.engine.worker import Worker
from worker.enqueuer import Pool
from worker.lifespan import arq_function
from worker.runtime import shutdown, startup

T = TypeVar("T")


async def until(condition: Callable[[], Awaitable[T | None]], within: float = 20) -> T:
    """Poll until there is something true; raises TimeoutError."""
    async with asyncio.timeout(within):
        while not (value := await condition()):
            await asyncio.sleep(0.02)
    return value


class StartWorker(Protocol):
    async def __call__(self, **settings: Any) -> Worker: ...


@pytest.fixture
async def start_worker(make_settings: MakeSettings) -> AsyncIterator[StartWorker]:
    """A worker on this loop; stopped at the end of the test."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> Worker:
            worker = Worker(
                [arq_function(job) for job in all_jobs()],
                settings=make_settings(**{"run_lease": 5, "shutdown_grace": 5, **settings}),
                on_startup=startup,
                on_shutdown=shutdown,
                handle_signals=False,
                poll_delay=0.02,
            )
            await stack.enter_async_context(_running(worker))
            return worker

        yield start


@asynccontextmanager
async def _running(worker: Worker) -> AsyncIterator[None]:
    worker.main_task = task = asyncio.create_task(worker.main())
    while worker.engine is None and not task.done():
        await asyncio.sleep(0.01)
    try:
        if task.done():
            task.result()
        yield
    finally:
        worker.handle_sig(signal.SIGTERM)
        await asyncio.wait({task}, timeout=20)
        await worker.close()
        task.result()


@pytest.fixture
async def worker(start_worker: StartWorker) -> Worker:
    return await start_worker()


class SpawnWorker(Protocol):
    def __call__(self, *arguments: str, **settings: str) -> "subprocess.Popen[str]": ...


@pytest.fixture
def spawn_worker(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[SpawnWorker]:
    """`arq tests.worker.app.WorkerSettings` in a process of its own; killed at the end."""
    processes: list[subprocess.Popen[str]] = []

    def spawn(*arguments: str, **settings: str) -> "subprocess.Popen[str]":
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PORT"},
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "VAR_DIR": str(tmp_path / "var"),
            "PORT": "0",
            "RUN_LEASE": "3",
            **settings,
        }
        log = (tmp_path / f"worker-{len(processes)}.log").open("w+")
        process = subprocess.Popen(
            [sys.executable, "-m", "arq", "tests.worker.app.WorkerSettings", *arguments],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
        log.close()
        processes.append(process)
        return process

    yield spawn
    for process in processes:
        process.kill()
        process.wait()


class Ledgered:
    """What PostgreSQL remembers of a run, as soon as the ledger has written it."""

    def __init__(self, db: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._db = db

    async def run(self, run_id: str, *, state: str) -> asyncpg.Record:
        return await until(
            lambda: self._db.fetchrow(
                "select * from job_runs where run_id = $1 and state = $2", run_id, state
            )
        )

    async def dead_letter(self, run_id: str) -> asyncpg.Record:
        return await until(
            lambda: self._db.fetchrow("select * from dead_letters where run_id = $1", run_id)
        )

    async def attempts(self, run_id: str) -> list[asyncpg.Record]:
        return await self._db.fetch(
            "select * from job_attempts where run_id = $1 order by started_at", run_id
        )


@pytest.fixture
def ledgered(db: "asyncpg.Pool[asyncpg.Record]") -> Ledgered:
    return Ledgered(db)


class Enqueue(Protocol):
    async def __call__(self, job: str, **payload: Any) -> str: ...


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    return tmp_path / "diary"


@pytest.fixture
def enqueue(pool: Pool, diary: Path) -> Enqueue:
    """Enqueue a testing job with its diary; returns the run's id."""

    async def enqueue(job: str, **payload: Any) -> str:
        handle = await pool.enqueue_job(job, {"diary": str(diary), **payload})
        assert handle is not None
        return handle.job_id

    return enqueue


class SpawnValkey(Protocol):
    def __call__(self) -> tuple["subprocess.Popen[bytes]", str]: ...


@pytest.fixture
def spawn_valkey(tmp_path: Path) -> Iterator[SpawnValkey]:
    """A Valkey of the test's own, to be stopped, frozen or killed."""
    servers: list[Server] = []

    def spawn() -> tuple["subprocess.Popen[bytes]", str]:
        server = start_valkey(tmp_path / f"valkey-{len(servers)}", is_durable=False)
        servers.append(server)
        return server.process, server.url

    yield spawn
    for server in servers:
        server.process.send_signal(signal.SIGCONT)
        server.stop()
