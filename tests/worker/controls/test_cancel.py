"""Whatever a run does, it is gone within a second after it was cancelled."""

import asyncio
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from jobs.kit import QUEUES, Job
from tests.worker.conftest import Ledgered, StartWorker, until
from tests.worker.controls import jobs
from tests.worker.controls.conftest import Crowd
from tests.worker.test_cli import in_process
from worker.cancelling import cancel
from worker.codec import JobFailedError
from worker.engine.fleet import sizes
from worker.engine.store import EVENTS
from worker.enqueuer import Pool
from worker.message import When
from worker.outbox import enqueue_in
from worker.pausing import pause_queue


async def enqueue(crowd: Crowd, job: Job[Any, Any], **fields: Any) -> str:
    number = len(crowd.keys)
    crowd.keys.append(str(fields.get("key", "")))
    payload = job.validate({"marks": crowd.path, "number": number, **fields})
    return (await crowd.pool.enqueue(job, payload)).run_id


async def begun(crowd: Crowd, number: int = 0) -> None:
    async def has_begun() -> bool:
        return any(m.number == number and m.event == "begin" for m in crowd.marks)

    await until(has_begun)


async def end_of(pool: Pool, run_id: str) -> float:
    """How long its result took to come; it has to be a cancelled one."""
    began = time.monotonic()

    async def is_there() -> bool:
        return bool(await pool.exists(f"arq:result:{run_id}"))

    await until(is_there)
    took = time.monotonic() - began
    with pytest.raises(asyncio.CancelledError):
        await pool.handle(run_id, jobs.FREE).result(timeout=1)
    return took


async def have_blocked(pool: Pool, runs: int) -> bool:
    return (await sizes(pool, [QUEUES["default"]]))["default"].blocked == runs


async def test_a_coroutine_is_gone_within_a_second(
    start_worker: StartWorker, crowd: Crowd, pool: Pool, ledgered: Ledgered
) -> None:
    worker = await start_worker()
    run_id = await enqueue(crowd, jobs.FREE, seconds=60)
    await begun(crowd)

    assert await cancel(pool, run_id) == "stopping"

    assert await end_of(pool, run_id) < 1
    assert (await ledgered.run(run_id, state="cancelled"))["attempt"] == 1
    assert worker.engine is not None
    assert len(worker.engine.hands) == 0
    assert await pool.keys("arq:in-progress:*") == []


async def test_a_process_in_a_c_loop_is_gone_within_a_second(
    start_worker: StartWorker, crowd: Crowd, pool: Pool, tmp_path: Path
) -> None:
    await start_worker()
    run_id = await enqueue(crowd, jobs.spin_in_process)
    await begun(crowd)
    pid = int(crowd.marks[0].queue)

    assert await cancel(pool, run_id) == "stopping"

    assert await end_of(pool, run_id) < 1
    assert not Path(f"/proc/{pid}").exists()
    assert not list((tmp_path / "tmp" / str(os.getpid())).iterdir())  # the scratch folder


async def test_a_thread_is_told(start_worker: StartWorker, crowd: Crowd, pool: Pool) -> None:
    await start_worker()
    run_id = await enqueue(crowd, jobs.spin_in_thread)
    await begun(crowd)

    await cancel(pool, run_id)

    assert await end_of(pool, run_id) < 1

    async def has_asked() -> bool:
        return any(mark.event == "asked" for mark in crowd.marks)

    await until(has_asked, 1)


@pytest.mark.parametrize("when", [When(), When(wait_ms=3_600_000)], ids=["due", "later"])
async def test_a_run_that_waits_is_over_at_once_without_a_worker(
    crowd: Crowd, pool: Pool, when: When
) -> None:
    payload = jobs.FREE.validate({"marks": crowd.path, "number": 0})
    run_id = (await pool.enqueue(jobs.FREE, payload, when=when)).run_id

    assert await cancel(pool, run_id, reason="the customer left", by="ada") == "cancelled"

    assert await end_of(pool, run_id) < 0.5
    assert await pool.keys("arq:job:*") == []
    assert await pool.zcard("arq:queue") == 0
    (entry,) = [
        fields for _, fields in await pool.xrange(EVENTS) if f"={run_id}".encode() in fields
    ]
    record = entry[f"={run_id}".encode()]
    assert b'"reason":"the customer left"' in record
    assert b'"worker":"ada"' in record
    assert b'"state":"cancelled"' in record
    assert await cancel(pool, run_id) == "gone"


async def test_history_knows_who_cancelled_a_run_that_waited(
    start_worker: StartWorker, crowd: Crowd, pool: Pool, ledgered: Ledgered
) -> None:
    await pause_queue(pool, "default")
    await start_worker()
    run_id = await enqueue(crowd, jobs.FREE)

    await cancel(pool, run_id, reason="a mistake")

    run = await ledgered.run(run_id, state="cancelled")
    assert (run["reason"], run["job"]) == ("a mistake", jobs.FREE.name)


@pytest.mark.parametrize("job", [jobs.LIMITED, jobs.follow], ids=["share", "in order"])
async def test_whoever_is_behind_a_cancelled_run_moves_up(
    start_worker: StartWorker, crowd: Crowd, pool: Pool, job: Job[Any, Any]
) -> None:
    await start_worker()
    at_once = 2 if job is jobs.LIMITED else 1
    run_ids = [await enqueue(crowd, job, key="a", seconds=60) for _ in range(at_once)]
    await begun(crowd, at_once - 1)
    waiting = await enqueue(crowd, job, key="a", seconds=60)
    await enqueue(crowd, job, key="a", seconds=0)

    await until(lambda: have_blocked(pool, 2))

    assert await cancel(pool, waiting) == "cancelled"
    assert await cancel(pool, run_ids[0]) == "stopping"

    async def is_done() -> bool:
        return any(m.number == at_once + 1 and m.event == "end" for m in crowd.marks)

    await until(is_done, 3)
    assert await have_blocked(pool, 0)


async def test_a_run_that_waits_for_its_next_attempt_gives_its_place_up(
    start_worker: StartWorker, crowd: Crowd, pool: Pool
) -> None:
    """In order, the others wait for it; nobody waits for one that is cancelled."""
    await start_worker()
    first = await enqueue(crowd, jobs.follow, key="a", fails=4)
    await until(lambda: pool.get(f"arq:retry:{first}"))
    await pool.zadd("arq:queue", {first: int(time.time() * 1000) + 3_600_000})
    await enqueue(crowd, jobs.follow, key="a")

    assert await cancel(pool, first) == "cancelled"

    async def is_done() -> bool:
        return any(m.number == 1 and m.event == "end" for m in crowd.marks)

    await until(is_done, 3)


async def test_operators_cancel_by_id(
    crowd: Crowd, pool: Pool, redis_url: str, database_url: str
) -> None:
    run_id = await enqueue(crowd, jobs.FREE)

    code, output = await in_process(
        "cancel", run_id, "nobody", REDIS_URL=redis_url, DATABASE_URL=database_url
    )

    assert code == 3
    assert output.splitlines() == [f"{run_id} is cancelled", "nobody neither waits nor runs"]
    with pytest.raises(asyncio.CancelledError):
        await pool.handle(run_id, jobs.FREE).result(timeout=1)


async def test_operators_cancel_what_waits_in_the_outbox(
    db: "asyncpg.Pool[asyncpg.Record]", redis_url: str, database_url: str
) -> None:
    payload = {"key": "ada"}
    async with db.acquire() as connection, connection.transaction():
        run_id = await enqueue_in(connection, jobs.notify, payload, delay=timedelta(days=9))

    code, output = await in_process(
        "cancel", run_id, REDIS_URL=redis_url, DATABASE_URL=database_url
    )

    assert (code, output) == (0, f"{run_id} is cancelled\n")
    assert await db.fetchval("select count(*) from outbox") == 0


async def test_what_cannot_be_read_can_be_cancelled(pool: Pool) -> None:
    await pool.set("arq:job:odd", b"\x80 no job at all")
    await pool.zadd("arq:queue:email", {"odd": 1})

    assert await cancel(pool, "odd") == "cancelled"

    assert await pool.zcard("arq:queue:email") == 0
    with pytest.raises((asyncio.CancelledError, JobFailedError)):
        await pool.handle("odd", jobs.FREE).result(timeout=1)
