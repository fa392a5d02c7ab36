"""Servers that a test takes away and brings back at the same address, and workers beside them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from arq.jobs import Job as ArqJob
from redis.asyncio import Redis
from redis.exceptions import RedisError

from jobs.kit import Job
from tests.ports import free_port
from tests.worker.conftest import until
from tests.worker.trouble_jobs import marks_in
from worker.embedded import start_postgres
from worker.embedded_binaries import find_postgres, find_valkey
from worker.embedded_process import choose_run_as, spawn
from worker.enqueuer import Pool
from worker.redis_pool import open_redis

T = TypeVar("T")


class MortalRedis:
    """A Redis on a port of its own that a test may stop and start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def start(self, *, is_empty: bool = False) -> None:
        """Start it, with what it had written down or without; returns when it answers."""
        if is_empty:
            for file in self._folder.rglob("*.aof*"):
                file.unlink()
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        keep = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        command = [str(find_valkey()), *place, *keep]
        self._process = subprocess.Popen(  # noqa: ASYNC220 - it only starts it
            command, stdout=subprocess.DEVNULL
        )
        pool = open_redis(self.url, Pool)
        await until(lambda: answers(pool))
        await pool.aclose()


@asynccontextmanager
async def redis_in(folder: Path) -> AsyncIterator[MortalRedis]:
    """One that runs, durable."""
    folder.mkdir()
    redis = MortalRedis(folder)
    try:
        await redis.start()
        yield redis
    finally:
        await asyncio.to_thread(redis.kill)


async def answers(redis: Redis) -> bool:
    try:
        return bool(await redis.ping())
    except (RedisError, OSError):
        return False


class MortalPostgres:
    """A PostgreSQL of the test's own. Make it, and start it again, from the main thread."""

    def __init__(self, folder: Path) -> None:
        self._server = start_postgres(folder)
        self.url = self._server.url

    def die(self) -> None:
        """At once, as `pg_ctl -m immediate` has it: connections break, and it recovers later."""
        self._server.process.send_signal(signal.SIGQUIT)
        self._server.process.wait(20)

    def come_back(self) -> None:
        """Returns before it answers."""
        server = self._server
        command = [str(word) for word in _words(server.process)]
        run_as = choose_run_as(find_postgres() / "postgres")
        process = spawn(
            command, log_file=server.log_file, run_as=run_as, stop_signal=server.stop_signal
        )
        self._server = replace(server, process=process)

    def stop(self) -> None:
        self._server.stop()


def _words(process: "subprocess.Popen[bytes]") -> list[Any]:
    assert isinstance(process.args, list)
    return process.args


async def insist(call: Callable[[], Awaitable[T]], within: float = 20) -> T:
    """Do it again until Redis takes it: it is the worker that a test is about."""
    async with asyncio.timeout(within):
        while True:
            try:
                return await call()
            except (RedisError, OSError):
                await asyncio.sleep(0.05)


class Load:
    """Runs that leave their marks in one file, each with a number of its own."""

    def __init__(self, pool: Pool, marks: Path) -> None:
        self._pool = pool
        self.path = marks
        # By number.
        self.handles: dict[int, ArqJob] = {}

    @property
    def run_ids(self) -> set[str]:
        return {handle.job_id for handle in self.handles.values()}

    async def add(self, job: Job[Any, Any], *, seconds: float = 0) -> int:
        """Enqueue one; returns its number."""
        number = len(self.handles)
        run_id = f"run-{number}"
        self.handles[number] = self._pool.handle(run_id, job)
        payload = {"marks": str(self.path), "number": number, "seconds": seconds}
        await insist(lambda: self._pool.enqueue_job(job.name, payload, _job_id=run_id))
        return number

    def count(self, event: str) -> dict[int, int]:
        """How often each number has this mark."""
        counts: dict[int, int] = {}
        for mark in marks_in(self.path):
            if mark.event == event:
                counts[mark.number] = counts.get(mark.number, 0) + 1
        return counts

    async def until(self, number: int, event: str, within: float = 20) -> None:
        async def is_marked() -> bool:
            return number in self.count(event)

        await until(is_marked, within)

    async def result(self, number: int, within: float = 20) -> Any:
        """Its value, also of a run that Redis had forgotten meanwhile. Raises what it raised."""
        handle = self.handles[number]

        async def is_there() -> bool:
            return bool(await insist(lambda: self._pool.exists(f"arq:result:{handle.job_id}")))

        await until(is_there, within)
        return await insist(lambda: handle.result(timeout=5, poll_delay=0.05))


class Workers:
    """`arq tests.worker.trouble_app.…` in processes of their own, each with its log."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._folder = folder
        self._settings = settings
        self.processes: list[subprocess.Popen[str]] = []

    def start(
        self, app: str = "WorkerSettings", *, module: str = "trouble_app", **settings: str
    ) -> "subprocess.Popen[str]":
        environment = {**os.environ, **self._settings, **settings}
        command = [sys.executable, "-m", "arq", f"tests.worker.{module}.{app}"]
        with self.log_file(len(self.processes)).open("w") as log:
            process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True
            )
        self.processes.append(process)
        return process

    def log_file(self, number: int) -> Path:
        return self._folder / f"trouble-{number}.log"

    def log(self, number: int = 0) -> str:
        return self.log_file(number).read_text()

    async def until_logged(self, sentence: str, number: int = 0, within: float = 20) -> None:
        async def is_logged() -> bool:
            return sentence in self.log(number)

        await until(is_logged, within)

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@contextmanager
def workers_in(
    folder: Path, *, database_url: str, redis_url: str, **settings: str
) -> Iterator[Workers]:
    """None runs yet; all are killed at the end."""
    workers = Workers(
        folder,
        DATABASE_URL=database_url,
        REDIS_URL=redis_url,
        VAR_DIR=str(folder / "var"),
        PORT="0",
        **settings,
    )
    try:
        yield workers
    finally:
        workers.kill()


async def exit_code(process: "subprocess.Popen[str]", within: float = 20) -> int:
    return await asyncio.to_thread(process.wait, within)
