"""A stock ARQ worker and ours on one queue: each run once, and neither strands the other's."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.worker.conftest import until
from tests.worker.engine.defects.defect_jobs import come_again, fail_once, nap_briefly, wait_at_gate
from tests.worker.engine.defects.running import Place
from tests.worker.engine.defects.sides import SUBJECTS
from tests.worker.engine.defects.subjects import DEFAULT, Subject

pytestmark = [
    pytest.mark.filterwarnings("ignore:Call to deprecated close"),  # ARQ's, as it ends
    pytest.mark.timeout(120),
]
RUNS = 2000
SLOTS = 50
LEASE = 3  # seconds
LEFT_OVERS = ("job", "in-progress", "retry")


@dataclass(frozen=True)
class Pair:
    """Both on one Redis; they share a diary."""

    ours: Subject
    stock: Subject


@pytest.fixture
async def pair(place: Place) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        ours, stock = SUBJECTS["deskhand"](place, stack), SUBJECTS["stock"](place, stack)
        for subject in (ours, stock):
            await subject.open(codec="deskhand")
        yield Pair(ours, stock)


async def is_empty(subject: Subject) -> bool:
    return not await subject.redis.zcard(DEFAULT)


@pytest.mark.parametrize("enqueuer", ["ours", "stock"])
async def test_each_of_some_thousand_runs_is_run_once_and_both_take_part(
    pair: Pair, enqueuer: str, tmp_path: Path
) -> None:
    """The first runs hold every slot of both until all have begun, however fast either is."""
    subject: Subject = getattr(pair, enqueuer)
    workers = [
        await pair.ours.spawn(concurrency=SLOTS),
        await pair.stock.spawn(codec="deskhand", concurrency=SLOTS),
    ]
    pids = [worker.popen.pid for worker in workers]

    held = [await subject.enqueue(wait_at_gate, gate=str(tmp_path)) for _ in range(2 * SLOTS)]
    await subject.until_written("begin", 2 * SLOTS)
    begun = Counter(line.pid for line in subject.texts("begin"))
    assert begun == dict.fromkeys(pids, SLOTS)
    for pid in pids:
        (tmp_path / str(pid)).touch()

    for start in range(0, RUNS, 100):
        numbers = range(start, start + 100)
        await asyncio.gather(*(subject.enqueue(nap_briefly, text=str(n)) for n in numbers))
    await until(lambda: is_empty(subject), within=60)

    texts = Counter(line.text for line in subject.lines)
    ends = {"begin": len(held), "end": len(held)}
    assert texts == {**{str(n): 1 for n in range(RUNS)}, **ends}
    results = await subject.stock_pool.all_job_results()
    assert Counter(result.success for result in results) == {True: RUNS + len(held)}
    left = {prefix: await subject.redis.keys(f"arq:{prefix}:*") for prefix in LEFT_OVERS}
    assert left == {prefix: [] for prefix in LEFT_OVERS}


async def test_ours_takes_over_from_a_killed_stock_worker_when_its_claim_lapses(
    pair: Pair, tmp_path: Path
) -> None:
    """ARQ counts an attempt as it starts, so the second one is the second."""
    killed = await pair.stock.spawn(codec="deskhand", lease=LEASE)
    run_id = await pair.stock.enqueue(wait_at_gate, gate=str(tmp_path))
    await pair.stock.until_written("begin")
    killed.send(signal.SIGKILL)

    await pair.ours.start()
    await pair.ours.until_written("begin", 2)
    (tmp_path / str(os.getpid())).touch()

    assert await pair.ours.value(run_id) == os.getpid()
    first, second = pair.ours.texts("begin")
    assert second.at - first.at > LEASE - 0.5
    assert [line.attempt for line in (first, second)] == [1, 2]


async def test_a_stock_worker_takes_over_from_a_killed_one_of_ours_when_its_lease_lapses(
    pair: Pair, tmp_path: Path
) -> None:
    """We count an attempt when it is over, so this one is still the first."""
    killed = await pair.ours.spawn(lease=LEASE)
    run_id = await pair.ours.enqueue(wait_at_gate, gate=str(tmp_path))
    await pair.ours.until_written("begin")
    killed.send(signal.SIGKILL)

    await pair.stock.start(codec="deskhand")
    await pair.stock.until_written("begin", 2)
    (tmp_path / str(os.getpid())).touch()

    assert await pair.stock.value(run_id) == os.getpid()
    assert [line.attempt for line in pair.stock.texts("begin")] == [1, 1]


async def test_the_attempts_of_ours_count_for_a_stock_worker(pair: Pair) -> None:
    worker = await pair.ours.start()
    run_id = await pair.ours.enqueue(fail_once)
    await until(lambda: pair.ours.redis.exists(f"arq:retry:{run_id}"))
    await worker.stop()

    await pair.stock.start(codec="deskhand")

    record = await pair.stock.record(run_id)
    assert (record.result, record.job_try) == (2, 2)


async def test_the_tries_of_a_stock_worker_count_for_ours(pair: Pair) -> None:
    worker = await pair.stock.start(codec="deskhand")
    run_id = await pair.stock.enqueue(come_again, seconds=1)
    await pair.stock.until_written("begin")
    await worker.stop()

    await pair.ours.start()

    record = await pair.ours.record(run_id)
    assert (record.result, record.job_try) == ("twice", 2)
