"""A rolling deploy under load: each worker gets SIGTERM while a new one starts."""

import asyncio
import random
from collections import Counter
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING

import pytest

from tests.worker import testing_jobs
from tests.worker.conftest import SpawnWorker, until
from worker.enqueuer import Pool

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

LINE, NAP = testing_jobs.add_line.name, testing_jobs.nap.name
RUNS, BACKLOG = 300, 60
OLD, NEW = 2, 2


class Load:
    """Runs of both kinds in any order, each with a diary of its own, as fast as they are taken."""

    def __init__(self, pool: Pool, folder: Path) -> None:
        self._pool = pool
        self._folder = folder
        self.diaries: dict[str, Path] = {}
        self.may_end = asyncio.Event()

    async def flow(self) -> None:
        """Keep the queue filled until it may end, with `RUNS` at least."""
        while len(self.diaries) < RUNS or not self.may_end.is_set():
            if await self._pool.zcard("arq:queue") < BACKLOG:
                await self._enqueue(NAP if len(self.diaries) % 3 == 0 else LINE)
            else:
                await asyncio.sleep(0.01)
        await until(self._is_done, within=40)

    async def _enqueue(self, job: str) -> None:
        diary = self._folder / f"{job}-{len(self.diaries)}"
        nap = {"seconds": round(random.uniform(0.2, 1), 2)} if job == NAP else {}  # noqa: S311 - any will do
        handle = await self._pool.enqueue_job(job, {"diary": str(diary), **nap})
        assert handle is not None
        self.diaries[handle.job_id] = diary

    async def _is_done(self) -> bool:
        return not await self._pool.zcard("arq:queue")


class Workers:
    """Worker processes with the same settings; `start` returns when the new one has taken runs."""

    def __init__(self, spawn: SpawnWorker, folder: Path, **settings: str) -> None:
        self._spawn = partial(spawn, **settings)
        self._folder = folder
        self.processes: list[Popen[str]] = []

    async def start(self) -> None:
        log = self._folder / f"worker-{len(self.processes)}.log"
        self.processes.append(self._spawn())
        await until(lambda: has_claimed(log))

    def stop(self, number: int) -> None:
        self.processes[number].terminate()

    async def exit_codes(self) -> list[int]:
        return [await asyncio.to_thread(process.wait, 20) for process in self.processes]


async def has_claimed(log: Path) -> bool:
    return "Run started" in log.read_text()


@pytest.mark.parametrize("grace", ["25", "0"])
async def test_a_deploy_loses_no_run_and_spends_no_attempt(
    spawn_worker: SpawnWorker, pool: Pool, db: "Db", tmp_path: Path, grace: str
) -> None:
    workers = Workers(
        spawn_worker, tmp_path, SHUTDOWN_GRACE=grace, LOG_LEVEL="debug", KEEP_COMPLETED="1000"
    )
    load = Load(pool, tmp_path)
    flow = asyncio.create_task(load.flow())
    for _ in range(OLD):
        await workers.start()

    for old in range(OLD):
        workers.stop(old)
        await workers.start()
    load.may_end.set()
    await flow
    for new in range(NEW):
        workers.stop(OLD + new)

    assert await workers.exit_codes() == [0] * (OLD + NEW)
    diaries = load.diaries
    runs = await db.fetch("select run_id, state, attempt from job_runs")
    assert {row["run_id"] for row in runs} == diaries.keys()
    assert {(row["state"], row["attempt"]) for row in runs} == {("succeeded", 1)}
    await check_attempts(db, diaries, is_cut_short=grace == "0")
    check_diaries(diaries, is_cut_short=grace == "0")


async def check_attempts(db: "Db", diaries: dict[str, Path], *, is_cut_short: bool) -> None:
    """One success each, by four workers; what was cut short was given back and cost nothing."""
    rows = await db.fetch("select run_id, outcome, attempt, worker from job_attempts")
    succeeded = Counter(row["run_id"] for row in rows if row["outcome"] == "succeeded")
    assert succeeded == Counter(diaries.keys())
    assert {row["attempt"] for row in rows} == {1}
    assert len({row["worker"] for row in rows}) == OLD + NEW
    others = {row["outcome"] for row in rows} - {"succeeded"}
    # Also with a grace, what is claimed while the signal comes goes back before it starts.
    assert others == {"released"} if is_cut_short else others <= {"released"}


def check_diaries(diaries: dict[str, Path], *, is_cut_short: bool) -> None:
    for diary in diaries.values():
        lines = diary.read_text().splitlines()
        expected = ["1 begin", "1 end"] if "nap" in diary.name else ["1 "]
        # A nap that was cut short began before.
        assert lines[-len(expected) :] == expected
        assert is_cut_short or lines == expected
        assert lines.count("1 end") <= 1
