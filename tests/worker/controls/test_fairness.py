"""One tenant's backlog does not make another tenant's run wait for all of it."""

import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from jobs.kit import QUEUES
from tests.worker.conftest import StartWorker, until
from tests.worker.controls import jobs
from tests.worker.controls.conftest import Crowd
from tests.worker.trouble_servers import Workers
from worker.engine.fleet import QueueSizes, sizes
from worker.enqueuer import Pool
from worker.pausing import pause_queue, resume_queue

TENANTS = [UUID(int=number) for number in range(9)]
pytestmark = pytest.mark.timeout(180)  # processes on a busy machine


async def held(pool: Pool) -> QueueSizes:
    return (await sizes(pool, list(QUEUES.values())))["default"]


async def add(pool: Pool, marks: Path, tenant: int, runs: int, **fields: Any) -> None:
    """Runs of a tenant, with its number."""
    given = {"tenant_id": str(TENANTS[tenant]), "marks": str(marks), "number": tenant, **fields}
    await pool.enqueue_many(jobs.work_for_tenant.name, [given] * runs)


async def order(crowd: Crowd, runs: int) -> list[int]:
    """The tenants of the runs as they began, when so many have."""

    async def have_begun() -> bool:
        return len(crowd.marks) >= runs

    await until(have_begun, 60)
    return [mark.number for mark in crowd.marks]


async def left(pool: Pool) -> list[bytes]:
    """Keys that fairness would have left behind."""
    return [*await pool.keys("deskhand:turns:*"), *await pool.keys("deskhand:lane:*")]


async def test_one_run_starts_within_two_seconds_behind_100_000_of_another_tenant(
    workers: Workers, crowd: Crowd, pool: Pool
) -> None:
    for _ in range(3):
        workers.start(QUEUE_CONCURRENCY='{"default": 4}')
    given = {"tenant_id": str(TENANTS[0]), "marks": str(crowd.path), "number": 0, "seconds": 0.2}
    await pool.enqueue_many(jobs.count_for_tenant.name, [given] * 100_000)
    for number in range(3):
        await workers.until_logged("Worker started", number)
    before = await held(pool)

    began = time.time()
    payload = {**given, "tenant_id": str(TENANTS[1]), "number": 1}
    await pool.enqueue_job(jobs.count_for_tenant.name, payload)
    (tenant,) = await order(crowd, 1)

    assert tenant == 1
    assert crowd.marks[0].at - began < 2
    assert before.ready + before.running > 99_000


async def test_tenants_take_turns(start_worker: StartWorker, crowd: Crowd, pool: Pool) -> None:
    await pause_queue(pool, "default")
    for tenant, runs in ((0, 500), (1, 40), (2, 40), (3, 1)):
        await add(pool, crowd.path, tenant, runs, seconds=0.002)
    await start_worker(queue_concurrency={"default": 4})
    await resume_queue(pool, "default")

    begun = await order(crowd, 581)

    assert Counter(begun) == {0: 500, 1: 40, 2: 40, 3: 1}
    # A slot or two goes to the first one's before all are sorted.
    assert begun.index(3) < 40
    assert max(place for place, tenant in enumerate(begun) if tenant in (1, 2)) < 200
    assert await left(pool) == []
    assert (await held(pool)).ready == 0


async def test_alone_a_tenant_has_all_slots(
    start_worker: StartWorker, crowd: Crowd, pool: Pool
) -> None:
    await pause_queue(pool, "default")
    await add(pool, crowd.path, 0, 400, seconds=0.05)
    await start_worker(queue_concurrency={"default": 40})
    await resume_queue(pool, "default")
    began = time.monotonic()

    await order(crowd, 400)

    assert time.monotonic() - began < 4  # ten rounds of 50 ms, and what the machine takes
    assert await left(pool) == []


async def test_a_queue_that_keeps_up_sorts_nothing(
    start_worker: StartWorker, crowd: Crowd, pool: Pool
) -> None:
    await start_worker(queue_concurrency={"default": 10})
    for tenant in range(5):
        await add(pool, crowd.path, tenant, 1)
        await order(crowd, tenant + 1)

    assert await left(pool) == []


async def test_who_has_no_tenant_is_like_one(
    start_worker: StartWorker, crowd: Crowd, pool: Pool
) -> None:
    await pause_queue(pool, "default")
    await add(pool, crowd.path, 0, 3, seconds=0.01)
    await crowd.add(jobs.FREE, ["x"] * 300, seconds=0.01)
    await add(pool, crowd.path, 1, 3, seconds=0.01, number=1000)
    await start_worker(queue_concurrency={"default": 2})
    await resume_queue(pool, "default")

    async def are_all_of_the_tenant() -> bool:
        return sum(mark.number == 1000 for mark in crowd.marks) == 3

    await until(are_all_of_the_tenant)
    assert sum(mark.event == "begin" for mark in crowd.marks) < 100


async def test_a_priority_counts_among_tenants_too(
    start_worker: StartWorker, crowd: Crowd, pool: Pool
) -> None:
    await pause_queue(pool, "default")
    await add(pool, crowd.path, 0, 200, seconds=0.005)
    given = {"tenant_id": str(TENANTS[1]), "marks": str(crowd.path), "number": 1, "seconds": 0.005}
    await pool.enqueue_many(jobs.work_for_tenant.name, [given] * 60, _priority=5)
    await start_worker(queue_concurrency={"default": 1})
    await resume_queue(pool, "default")

    begun = await order(crowd, 260)

    assert Counter(begun) == {0: 200, 1: 60}
    assert begun[:64].count(1) == 60


async def test_what_waits_for_its_turn_counts_as_due(
    start_worker: StartWorker, crowd: Crowd, pool: Pool
) -> None:
    await start_worker(queue_concurrency={"default": 2})
    await add(pool, crowd.path, 0, 100, seconds=30)

    async def are_sorted() -> bool:
        return bool(await left(pool))

    await until(are_sorted)
    now = await held(pool)

    assert (now.ready, now.deferred, now.blocked, now.running) == (98, 0, 0, 2)


async def test_a_lane_goes_on_when_its_first_is_aborted(
    start_worker: StartWorker, crowd: Crowd, pool: Pool
) -> None:
    await start_worker(queue_concurrency={"default": 1})
    given = {"tenant_id": str(TENANTS[0]), "marks": str(crowd.path), "number": 0, "seconds": 0.3}
    told = await pool.enqueue_all(jobs.work_for_tenant, [given] * 30)

    async def are_sorted() -> bool:
        return bool(await left(pool))

    await until(are_sorted)
    for one in told[1:28]:
        await pool.zadd("arq:abort", {one.run_id: int(time.time() * 1000)})

    assert await order(crowd, 3) == [0, 0, 0]

    async def is_all_gone() -> bool:
        return not await pool.exists("arq:queue") and not await left(pool)

    await until(is_all_gone)
    assert len(crowd.marks) in (3, 4)  # one of the aborted may have begun by then


async def test_who_comes_with_a_priority_takes_turns_too(
    start_worker: StartWorker, crowd: Crowd, pool: Pool
) -> None:
    """Also when all others are sorted by then."""
    await start_worker(queue_concurrency={"default": 1})
    await add(pool, crowd.path, 0, 30, seconds=0.05)

    async def are_sorted() -> bool:
        return bool(await left(pool))

    await until(are_sorted)
    for tenant, runs in ((0, 40), (1, 2)):
        given = {"tenant_id": str(TENANTS[tenant]), "marks": str(crowd.path), "seconds": 0.02}
        payloads = [{**given, "number": 10 + tenant}] * runs
        await pool.enqueue_many(jobs.work_for_tenant.name, payloads, _priority=9)

    begun = await order(crowd, 72)

    hurried = [number for number in begun if number >= 10]
    assert hurried.index(11) < 3
    assert begun.index(11) < 30
    assert await left(pool) == []
