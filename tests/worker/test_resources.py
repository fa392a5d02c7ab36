"""What runs hold is released however they end, and what a worker holds when it stops (A-11)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from arq.jobs import Job as ArqJob
from redis import Redis as SyncRedis

from tests.worker.conftest import SpawnValkey, until
from tests.worker.trouble_jobs import EVERYTHING, IN_VAIN, marks_in
from tests.worker.trouble_servers import Workers, exit_code
from worker.enqueuer import Pool
from worker.redis_pool import open_redis

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts in /proc")

ENDINGS = ("return", "raise", "exit", "cancel", "timeout")
EACH = 4  # runs of each ending, all at once
FOREVER = 60.0  # seconds

POOL = 25  # connections


@dataclass(frozen=True, slots=True)
class Held:
    """How many there are: files and directories for a while, open files, processes below the
    worker, its connections, and locks of runs.
    """

    scratch: int
    descriptors: int
    processes: int
    redis_clients: int
    postgres_backends: int
    locks: int

    def is_within(self, other: "Held") -> bool:
        """But for PostgreSQL, whose pool grows with what happens to come together."""
        bounded = replace(self, postgres_backends=min(self.postgres_backends, POOL + 1))
        allowed = replace(other, postgres_backends=POOL + 1)
        return (
            all(
                mine <= theirs
                for mine, theirs in zip(astuple(bounded), astuple(allowed), strict=True)
            )
            and bounded == self
        )


class House:
    """A worker process on a Redis that nobody else is connected to, but for the one who counts."""

    def __init__(self, workers: Workers, redis_url: str, db: "Db", var: Path) -> None:
        self.workers = workers
        self._redis_url = redis_url
        self._db = db
        self._var = var
        self.marks = var.parent / "marks"
        self.process = workers.start(REDIS_URL=redis_url)

    @asynccontextmanager
    async def pool(self) -> AsyncIterator[Pool]:
        pool = open_redis(self._redis_url, Pool)
        try:
            yield pool
        finally:
            await pool.aclose()

    async def held(self) -> Held:
        pid = self.process.pid
        fds = Path(f"/proc/{pid}/fd")
        with SyncRedis.from_url(self._redis_url) as redis:
            clients = len(redis.client_list()) - 1
            locks = len(list(redis.scan_iter("arq:in-progress:*")))
        backends: int = await self._db.fetchval(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and application_name = 'worker-service'"
        )
        return Held(
            scratch=len(list((self._var / "tmp").rglob("*"))),
            # Each connection has one.
            descriptors=len(list(fds.iterdir())) - backends if fds.exists() else 0,
            processes=len(descendants(pid)),
            redis_clients=clients,
            postgres_backends=backends,
            locks=locks,
        )

    async def end_in_every_way(self) -> None:
        async with self.pool() as pool:
            runs = {way: [await self._enqueue(pool, way) for _ in range(EACH)] for way in ENDINGS}
            for run in runs["cancel"]:
                await run.abort(timeout=20, poll_delay=0.02)
            for way, some in runs.items():
                infos = [await run.result_info() for run in some if await is_over(run)]
                successes = {info is not None and info.success for info in infos}
                assert successes == {way == "return"}

    async def hold(self, count: int) -> None:
        """Runs that only a stop ends."""
        async with self.pool() as pool:
            for _ in range(count):
                await self._enqueue(pool, "shutdown")

        async def are_held() -> bool:
            return len(self.offloaded()) == count

        await until(are_held)

    def offloaded(self) -> set[int]:
        """The processes of the runs that only a stop ends."""
        number = _NUMBERS["shutdown"]
        marks = marks_in(self.marks)
        return {mark.pid for mark in marks if (mark.event, mark.number) == ("stay", number)}

    async def _enqueue(self, pool: Pool, way: str) -> ArqJob:
        job = IN_VAIN if way == "timeout" else EVERYTHING
        seconds = 0.05 if way in ("return", "raise", "exit") else FOREVER
        run = await pool.enqueue_job(
            job.name, marks=self.marks, number=_NUMBERS[way], seconds=seconds, way=way
        )
        assert run is not None
        return run


_NUMBERS = {way: number for number, way in enumerate((*ENDINGS, "shutdown"))}


async def is_over(run: ArqJob) -> bool:
    async def has_result() -> bool:
        return await run.result_info() is not None

    return await until(has_result)


def descendants(pid: int) -> set[int]:
    """Processes below this one. (`/proc/…/children` may leave out some that run.)"""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        parents[int(folder.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


@pytest.fixture
def house(
    tmp_path: Path, database_url: str, spawn_valkey: SpawnValkey, db: "Db"
) -> Iterator[House]:
    _, redis_url = spawn_valkey()
    var = tmp_path / "var"
    settings = {"PORT": "0", "SHUTDOWN_GRACE": "0", "DATABASE_POOL_SIZE": str(POOL)}
    workers = Workers(tmp_path, DATABASE_URL=database_url, VAR_DIR=str(var), **settings)
    yield House(workers, redis_url, db, var)
    workers.kill()


async def test_however_runs_end_nothing_of_them_stays(house: House) -> None:
    await house.end_in_every_way()  # opens what is kept: pools, the fork server
    await asyncio.sleep(1)
    before = await house.held()
    assert before.descriptors > 10
    assert (before.scratch, before.locks) == (1, 0)  # the process's own directory

    for _ in range(2):
        await house.end_in_every_way()

    async def is_as_before() -> bool:
        return (await house.held()).is_within(before)

    try:
        await until(is_as_before, within=10)
    except TimeoutError:
        assert await house.held() == before
        raise


async def test_a_worker_that_is_stopped_in_the_middle_leaves_nothing(house: House) -> None:
    await house.hold(1)
    before = await house.held()
    assert before.scratch == 3  # the process's directory, the run's, its draft
    assert before.locks == 1
    assert before.postgres_backends >= 1
    children = descendants(house.process.pid)
    assert house.offloaded() < children  # beside them, the server that forks them

    house.process.terminate()

    assert await exit_code(house.process) == 0

    async def is_empty() -> bool:
        held = await house.held()
        return held == Held(0, 0, 0, 0, 0, 0) and not any(
            Path(f"/proc/{child}").exists() for child in children
        )

    try:
        await until(is_empty, within=10)
    except TimeoutError:
        assert await house.held() == Held(0, 0, 0, 0, 0, 0)
        raise
