"""Pausing, priorities, and runs whose job's limits their enqueuer did not know."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from arq import create_pool as create_stock_pool
from arq.connections import ArqRedis, RedisSettings

from jobs.kit import QUEUES, RateLimit
from tests.worker.conftest import Ledgered, StartWorker, until
from tests.worker.controls import jobs
from tests.worker.controls.conftest import Crowd, most_in_any
from tests.worker.trouble_servers import Workers
from worker.clock import utc_now
from worker.codec import dumps, loads
from worker.engine.fleet import sizes
from worker.enqueuer import Pool
from worker.message import When
from worker.pausing import (
    UnknownQueueError,
    pause_queue,
    pause_rate,
    paused_queues,
    resume_queue,
)

pytestmark = pytest.mark.timeout(120)  # processes on a busy machine


# Pausing


async def test_a_pause_takes_effect_within_a_second_and_ends_at_once(
    workers: Workers, crowd: Crowd, pool: Pool
) -> None:
    for _ in range(3):
        workers.start()
    await crowd.add(jobs.SYNCING, ["s"] * 400, seconds=0.03)
    await crowd.done(20)

    await pause_queue(pool, "sync")
    paused_at = time.time()
    await crowd.add(jobs.FREE, ["f"] * 50)
    await until(lambda: _all_of(crowd, "f"))
    done = len(crowd.starts("s"))
    await until(lambda: _for_a_while(crowd, paused_at))

    late = [at for at in crowd.starts("s") if at > paused_at + 1]
    assert late == []
    assert done < 400
    assert await resume_queue(pool, "sync")
    resumed_at = time.time()
    await crowd.done()
    assert min(at for at in crowd.starts("s") if at > resumed_at) - resumed_at < 1
    assert {mark.attempt for mark in crowd.marks} == {1}


async def _all_of(crowd: Crowd, key: str) -> bool:
    return len(crowd.starts(key)) == crowd.keys.count(key)


async def _for_a_while(crowd: Crowd, since: float) -> bool:
    return time.time() > since + 2.5


async def test_a_pause_may_have_an_end(start_worker: StartWorker, crowd: Crowd, pool: Pool) -> None:
    await start_worker()
    ends = utc_now() + timedelta(seconds=1.5)

    await pause_queue(pool, "default", until=ends)
    await crowd.add(jobs.FREE, ["a"])
    paused = await paused_queues(pool)
    await crowd.done()

    assert set(paused) == {"default"}
    assert 0 <= crowd.starts("a")[0] - ends.timestamp() < 1
    assert not await paused_queues(pool)
    assert await resume_queue(pool, "default")  # what is left of it goes
    assert not await resume_queue(pool, "default")


async def test_a_queue_that_does_not_exist_is_not_paused(pool: Pool) -> None:
    with pytest.raises(UnknownQueueError, match="no queue 'emial'; there are default, email"):
        await pause_queue(pool, "emial")


async def test_the_key_of_a_rate_may_be_paused(
    start_worker: StartWorker, crowd: Crowd, pool: Pool
) -> None:
    await start_worker()
    (limit,) = jobs.RATED.controls.rate_limits

    await pause_rate(pool, limit, timedelta(seconds=1), key="a")
    await pause_rate(pool, limit, timedelta(seconds=0.1), key="a")  # shorter: nothing new
    began = time.time()
    await crowd.add(jobs.RATED, ["a", "b"])
    await crowd.done()

    assert crowd.starts("a")[0] - began > 0.8
    assert crowd.starts("b")[0] - began < 0.6
    with pytest.raises(KeyError):
        await pause_rate(pool, RateLimit("{x}", 1, 1), timedelta(1))


# Priority


async def test_who_is_preferred_overtakes_those_who_came_a_little_earlier(
    start_worker: StartWorker, crowd: Crowd, pool: Pool
) -> None:
    await pause_queue(pool, "maintenance")
    await crowd.add(jobs.NARROW, ["low"] * 5)
    await crowd.add(jobs.NARROW, ["high"] * 5, _priority=9)
    await crowd.add(jobs.PREFERRED, ["middle"] * 5)
    await start_worker()
    await resume_queue(pool, "maintenance")

    await crowd.done()

    order = [crowd.keys[m.number] for m in crowd.marks if m.event == "begin"]
    assert order == ["high"] * 5 + ["middle"] * 5 + ["low"] * 5


async def test_nobody_starves_behind_runs_with_priority(
    start_worker: StartWorker, crowd: Crowd, pool: Pool
) -> None:
    """A level is worth a minute: what came nine minutes earlier goes before the highest."""
    await pause_queue(pool, "maintenance")
    await crowd.add(jobs.NARROW, ["old"], _defer_until=utc_now() - timedelta(minutes=9, seconds=5))
    await crowd.add(jobs.NARROW, ["new"], _priority=9)
    await crowd.add(jobs.NARROW, ["young"], _defer_until=utc_now() - timedelta(minutes=8))
    await start_worker()
    await resume_queue(pool, "maintenance")

    await crowd.done()

    order = [crowd.keys[m.number] for m in crowd.marks if m.event == "begin"]
    assert order == ["old", "new", "young"]


async def test_a_head_start_makes_nobody_early(
    start_worker: StartWorker, crowd: Crowd, pool: Pool
) -> None:
    """A run that is put off has it when it is due, not before."""
    await start_worker()
    began = time.time()
    await crowd.add(jobs.NARROW, ["high"], _priority=9, _defer_by=1)
    await pause_queue(pool, "maintenance")
    await crowd.add(jobs.NARROW, ["low"] * 3)
    await until(lambda: _for_a_while(crowd, began - 1))
    await resume_queue(pool, "maintenance")

    await crowd.done()

    order = [crowd.keys[m.number] for m in crowd.marks if m.event == "begin"]
    assert order == ["high", "low", "low", "low"]
    assert crowd.starts("high")[0] - began >= 1
    assert not await pool.exists("deskhand:soon")


async def test_a_priority_that_does_not_exist_is_refused(pool: Pool) -> None:
    with pytest.raises(ValueError, match="priority is 0 to 9, not 10"):
        await pool.enqueue_job(jobs.FREE.name, {"marks": "x", "number": 1}, _priority=10)


# Who does not know the limits


@pytest.fixture
async def stock(redis_url: str) -> AsyncIterator[ArqRedis]:
    pool = await create_stock_pool(
        RedisSettings.from_dsn(redis_url), job_serializer=dumps, job_deserializer=loads
    )
    yield pool
    await pool.aclose()


async def test_limits_hold_for_runs_of_stock_pools_too(
    workers: Workers, crowd: Crowd, stock: ArqRedis, tmp_path: Path, ledgered: Ledgered, db: object
) -> None:
    for _ in range(3):
        workers.start()
    run_ids = []
    for number in range(20):
        payload = {"marks": str(tmp_path / "marks"), "number": number, "key": "a"}
        handle = await stock.enqueue_job(jobs.RATED.name, payload)
        assert handle is not None
        run_ids.append(handle)
        crowd.keys.append("a")

    await crowd.done()

    assert most_in_any(jobs.WINDOW, crowd.starts("a")) == jobs.RATE
    assert {mark.attempt for mark in crowd.marks} == {1}
    assert [await run.result(timeout=10) for run in run_ids] == list(range(20))
    run = await ledgered.run(run_ids[0].job_id, state="succeeded")
    assert [row["outcome"] for row in await ledgered.attempts(run["run_id"])] == ["succeeded"]


async def test_a_run_over_a_limit_is_still_what_stock_readers_look_for(
    start_worker: StartWorker, crowd: Crowd, pool: Pool, stock: ArqRedis
) -> None:
    """It waits in its queue, can be aborted there, and the line goes on without it."""
    await start_worker()
    limit = jobs.LIMITED
    await crowd.add(limit, ["a", "a"], seconds=4)
    payload = {"marks": crowd.path, "key": "a"}
    second = await pool.enqueue(limit, limit.validate({**payload, "number": 2}))
    third = await pool.enqueue(limit, limit.validate({**payload, "number": 3}))
    crowd.keys += ["a", "a"]

    async def blocked() -> bool:
        return (await sizes(pool, list(QUEUES.values())))["default"].blocked == 2

    await until(blocked)
    handle = pool.handle(second.run_id, limit)
    info = await handle.info()
    began = time.monotonic()
    assert await handle.abort(timeout=5, poll_delay=0.05)

    assert info is not None
    assert time.monotonic() - began < 1
    await until(lambda: _ended(crowd, 3))
    assert 2 not in {mark.number for mark in crowd.marks}
    assert third.is_new
    held = (await sizes(pool, list(QUEUES.values())))["default"]
    assert held.blocked == 0


async def _ended(crowd: Crowd, number: int) -> bool:
    return any(m.number == number and m.event == "end" for m in crowd.marks)


async def test_a_run_may_be_enqueued_before_its_time_with_limits(
    start_worker: StartWorker, pool: Pool, crowd: Crowd
) -> None:
    await start_worker()
    payload = jobs.RATED.validate({"marks": crowd.path, "number": 0, "key": "a"})
    began = time.time()
    await pool.enqueue(jobs.RATED, payload, when=When(wait_ms=700))
    crowd.keys.append("a")

    await crowd.done()

    assert 0.7 <= crowd.starts("a")[0] - began < 1.7
