"""A real fail-over under a worker with runs in hand, with Sentinel and in a Cluster (V-02)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.worker.conftest import StartWorker, until
from tests.worker.constellations import Clustered, Constellation, Watched
from tests.worker.trouble_jobs import NAPS
from tests.worker.trouble_servers import Load
from worker.enqueuer import Pool
from worker.redis_pool import open_redis

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

NAP = NAPS["default"]


@pytest.fixture(params=[Watched, Clustered], ids=["sentinel", "cluster"])
async def constellation(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Constellation]:
    constellation: Constellation = request.param(tmp_path)
    try:
        await constellation.start()
        yield constellation
    finally:
        await asyncio.to_thread(constellation.stop)


@pytest.fixture
async def pool(constellation: Constellation) -> AsyncIterator[Pool]:
    pool = open_redis(constellation.url, Pool)
    yield pool
    await pool.aclose()


async def in_step(pool: Pool) -> None:
    """What the replica has not got when its master dies is lost; that is not what this is about."""
    assert await pool.wait(1, 5000) == 1


async def check_each_ran_once(load: Load, db: "Db") -> None:
    async def are_written() -> bool:
        return bool(await db.fetchval("select count(*) from job_runs") == len(load.handles))

    await until(are_written)
    assert load.count("begin") == load.count("end") == dict.fromkeys(load.handles, 1)
    rows = await db.fetch("select run_id, outcome, attempt from job_attempts")
    assert sorted(row["run_id"] for row in rows) == sorted(load.run_ids)
    assert {(row["outcome"], row["attempt"]) for row in rows} == {("succeeded", 1)}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("loss", ["kill", "freeze"])
async def test_a_worker_goes_on_after_the_master_is_gone(
    constellation: Constellation,
    loss: str,
    pool: Pool,
    start_worker: StartWorker,
    db: "Db",
    tmp_path: Path,
) -> None:
    await start_worker(redis_url=constellation.url, run_lease=10)
    load = Load(pool, tmp_path / "marks")
    master, replica = constellation.servers
    # One ends while there is no master, one after there is one again.
    in_hand = [await load.add(NAP, seconds=0.6), await load.add(NAP, seconds=6)]
    waiting = [await load.add(NAPS["maintenance"], seconds=0.5) for _ in range(3)]
    for number in in_hand:
        await load.until(number, "begin")
    await in_step(pool)

    await asyncio.to_thread(getattr(constellation, loss), master)
    later = await load.add(NAPS["sync"])  # sent again and again, until there is a master
    await constellation.until_promoted(replica)

    numbers = [*in_hand, *waiting, later]
    # Our own calls wait for a frozen master, as any client's do, for 20 s.
    assert [await load.result(number, within=60) for number in numbers] == numbers
    after = await load.add(NAPS["email"])
    assert await load.result(after) == after
    await check_each_ran_once(load, db)


async def test_a_planned_fail_over_goes_unnoticed(
    constellation: Constellation,
    pool: Pool,
    start_worker: StartWorker,
    db: "Db",
    tmp_path: Path,
) -> None:
    await start_worker(redis_url=constellation.url, run_lease=10, keep_completed=1000)
    load = Load(pool, tmp_path / "marks")
    in_hand = await load.add(NAPS["sync"], seconds=3)
    adding = asyncio.create_task(add_some(load, 40))
    await load.until(10, "begin")
    await in_step(pool)

    await constellation.fail_over()
    await constellation.until_promoted(constellation.servers[1])

    await adding
    assert await load.result(in_hand) == in_hand
    await check_each_ran_once(load, db)


async def add_some(load: Load, count: int) -> None:
    """Not as fast as it goes: what the old master took last and nobody has is lost."""
    for _ in range(count):
        await load.add(NAP)
        await asyncio.sleep(0.1)
