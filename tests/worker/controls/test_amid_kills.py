"""Workers are killed all the time: limits hold, and nobody waits in a line for ever."""

import asyncio
import random
from collections import Counter
from uuid import UUID

import pytest

from jobs.kit import QUEUES
from tests.worker.conftest import until
from tests.worker.controls import jobs
from tests.worker.controls.conftest import Crowd, most_in_any
from tests.worker.trouble_servers import Workers
from worker.cancelling import cancel
from worker.engine.fleet import sizes
from worker.enqueuer import Pool

KEYS = ["a", "b", "c", "d"]
KILLS = 6
# What controls leave in Redis only while somebody waits or runs.
PASSING = ("line", "held", "lane", "turns", "soon")


@pytest.mark.timeout(240)  # processes on a busy machine
async def test_lines_move_on_whoever_is_killed(workers: Workers, crowd: Crowd, pool: Pool) -> None:
    chance = random.Random(7)  # noqa: S311 - the same plan each time
    for _ in range(3):
        workers.start(QUEUE_CONCURRENCY='{"default": 8, "email": 4}')
    rated = await crowd.add(jobs.RATED, KEYS * 40, seconds=0.1)
    await crowd.add(jobs.LIMITED, KEYS * 40, seconds=0.3)
    await crowd.add(jobs.BOTH, KEYS * 20, seconds=0.3)
    ordered = await crowd.add(jobs.follow, ["x", "y", "z"] * 40, seconds=0.1)
    await crowd.add(jobs.FREE, ["free"] * 100, seconds=0.02)
    tenants = [
        {"tenant_id": str(UUID(int=n % 3)), "marks": str(crowd.path), "number": 10_000 + n}
        for n in range(200)
    ]
    await pool.enqueue_many(jobs.work_for_tenant.name, tenants)
    unlucky = await pool.enqueue_all(
        jobs.LIMITED, [{"marks": crowd.path, "number": 20_000 + n, "key": "a"} for n in range(20)]
    )

    cancelling = asyncio.create_task(cancel_all(pool, [one.run_id for one in unlucky], chance))
    for _ in range(KILLS):
        await asyncio.sleep(chance.uniform(0.5, 2))
        victim = chance.choice([one for one in workers.processes if one.poll() is None])
        victim.kill()
        workers.start(QUEUE_CONCURRENCY='{"default": 8, "email": 4}')
    await cancelling
    await until(lambda: is_over(pool), within=120)

    for prefix in PASSING:
        assert await pool.keys(f"deskhand:{prefix}*") == []
    held = (await sizes(pool, [QUEUES["default"]]))["default"]
    assert (held.ready, held.deferred, held.blocked, held.running) == (0, 0, 0, 0)
    ended = Counter(mark.number for mark in crowd.marks if mark.event == "end")
    assert set(ended) >= set(range(len(crowd.keys)))
    check_order(crowd, ordered)
    for key in KEYS:
        shared = [
            mark.at
            for mark in crowd.marks
            if mark.event == "begin" and mark.number in rated and crowd.keys[mark.number] == key
        ]
        assert most_in_any(jobs.WINDOW, shared) <= jobs.RATE


async def cancel_all(pool: Pool, run_ids: list[str], chance: random.Random) -> None:
    for run_id in run_ids:
        await cancel(pool, run_id)
        await asyncio.sleep(chance.uniform(0, 0.2))


async def is_over(pool: Pool) -> bool:
    return not await pool.exists("arq:queue", "arq:queue:email")


def check_order(crowd: Crowd, ordered: range) -> None:
    """First starts of a partition come in order: whatever was killed is begun again before."""
    for key in ("x", "y", "z"):
        firsts: list[int] = []
        for mark in crowd.marks:
            number = mark.number
            is_first = mark.event == "begin" and number in ordered and number not in firsts
            if is_first and crowd.keys[number] == key:
                firsts.append(number)
        assert firsts == sorted(firsts)
