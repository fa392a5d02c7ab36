"""However many processes ask, a key is one run."""

import asyncio
import multiprocessing
from collections import Counter

import pytest

from tests.worker.controls import jobs
from tests.worker.controls.conftest import Crowd
from tests.worker.trouble_servers import Workers
from worker.enqueuer import Pool
from worker.offload import _ensure_fork_server
from worker.redis_pool import open_redis

PROCESSES, EACH, KEYS = 20, 500, 100


@pytest.mark.timeout(180)  # processes on a busy machine
async def test_10_000_requests_of_20_processes_with_100_keys_are_100_runs(
    workers: Workers, crowd: Crowd, redis_url: str
) -> None:
    for _ in range(2):
        workers.start()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    _ensure_fork_server()  # ours, which other tests go on with: it blocks signals
    processes = context.Pool(PROCESSES)
    asked = [(redis_url, str(crowd.path), first) for first in range(PROCESSES)]
    said = await asyncio.to_thread(processes.starmap, ask, asked, 1)
    processes.close()  # and not terminate: they would block its signal, and be waited for
    await asyncio.to_thread(processes.join)

    new: Counter[str] = Counter()
    for one in said:
        new.update(one)
    assert sum(new.values()) == KEYS
    assert set(new.values()) == {1}
    crowd.keys += [str(key) for key in range(KEYS)]
    await crowd.done(within=60)
    begun = Counter(mark.number for mark in crowd.marks if mark.event == "begin")
    assert begun == Counter(range(KEYS))


def ask(redis_url: str, marks: str, first: int) -> list[str]:
    """In a process of its own: the keys whose run was new to it."""
    return asyncio.run(_ask(redis_url, marks, first))


async def _ask(redis_url: str, marks: str, first: int) -> list[str]:
    pool = open_redis(redis_url, Pool)
    new = []
    try:
        for number in range(first, first + EACH):
            payload = jobs.ONCE_A_KEY.validate({"marks": marks, "number": number % KEYS})
            enqueued = await pool.enqueue(jobs.ONCE_A_KEY, payload)
            new += [enqueued.run_id] * enqueued.is_new
    finally:
        await pool.aclose()
    return new
