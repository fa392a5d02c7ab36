"""What the engine asks of Redis, by Redis' own count."""

import asyncio

from jobs.kit import QUEUES, JobContext, Payload, job
from tests.worker.conftest import StartWorker, until
from tests.worker.engine.defects.slow_redis import slow_line
from worker.engine.worker import Worker
from worker.enqueuer import Pool

JOB = "testing_pump.do_nothing"
RUNS = 2000
OURS = {"info", "config|resetstat"}  # asked for here


@job(JOB, queue="default", result_ttl=60)
async def do_nothing(ctx: JobContext, payload: Payload) -> None:
    """Costs what the engine costs."""


async def calls(pool: Pool) -> dict[str, int]:
    """Commands since the counters were reset; those that scripts make count too."""
    stats = await pool.info("commandstats")
    counted = {name.removeprefix("cmdstat_"): int(stat["calls"]) for name, stat in stats.items()}
    return {name: count for name, count in counted.items() if name not in OURS}


def ended(worker: Worker) -> int:
    assert worker.engine is not None
    return sum(worker.engine.hands.ended.values())


async def test_a_job_costs_a_twentieth_of_a_round_trip_and_five_commands(
    pool: Pool, start_worker: StartWorker
) -> None:
    """A whole worker with 100 slots starts, and runs 2000 runs."""
    await pool.enqueue_many(JOB, [{}] * RUNS)
    await pool.config_resetstat()
    worker = await start_worker(queue_concurrency={"default": 100}, log_runs="none")

    await until(lambda: _has_ended(worker, RUNS))
    asked = await calls(pool)

    assert asked.get("evalsha", 0) + asked.get("eval", 0) <= 0.05 * RUNS
    assert sum(asked.values()) <= 5 * RUNS
    assert "watch" not in asked


async def test_what_ends_while_a_call_is_on_its_way_leaves_with_another(
    pool: Pool, start_worker: StartWorker, redis_url: str
) -> None:
    async with slow_line(redis_url) as line:
        await pool.enqueue_many(JOB, [{}] * 300)
        worker = await start_worker(queue_concurrency={"default": 100}, redis_url=line.url)
        line.delay = 0.05

        await until(lambda: _has_ended(worker, 300))

    assert await pool.keys("deskhand:tick:*:2") != []
    assert await pool.keys("arq:in-progress:*") == []
    assert len(await pool.keys("arq:result:*")) == 300


async def test_what_an_idle_worker_was_claiming_when_it_was_told_to_stop_goes_back(
    pool: Pool, start_worker: StartWorker, redis_url: str
) -> None:
    async with slow_line(redis_url) as line:
        worker = await start_worker(redis_url=line.url, log_runs="none")
        assert worker.engine is not None
        await asyncio.wait_for(worker.engine.pump.is_idle.wait(), 20)
        line.delay = 0.5
        await pool.enqueue_job(JOB, _job_id="late")
        await until(lambda: pool.exists("arq:in-progress:late"))

        await worker.engine.drain(5, asyncio.Event())

    assert await pool.exists("arq:in-progress:late") == 0
    assert await pool.zscore(QUEUES["default"].key, "late") is not None


async def _has_ended(worker: Worker, count: int) -> bool:
    return ended(worker) == count


async def test_an_idle_worker_leaves_redis_in_peace(pool: Pool, start_worker: StartWorker) -> None:
    worker = await start_worker()
    assert worker.engine is not None
    await asyncio.wait_for(worker.engine.pump.is_idle.wait(), 20)
    await asyncio.sleep(1)
    await pool.config_resetstat()

    await asyncio.sleep(6)

    assert sum((await calls(pool)).values()) <= 60


async def test_an_enqueue_is_one_round_trip(pool: Pool) -> None:
    await pool.enqueue_job(JOB)
    seen: list[str] = []
    async with pool.monitor() as monitor:
        await pool.enqueue_job(JOB)
        await pool.ping()
        while (entry := await monitor.next_command())["command"] != "PING":
            if entry["client_type"] != "lua":
                seen.append(entry["command"].split()[0])

    assert seen == ["EVALSHA"]
