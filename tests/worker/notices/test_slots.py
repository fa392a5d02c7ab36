"""What autoscalers are told."""

import math
import re

import asyncpg
import httpx
import pytest

from tests.worker.conftest import StartWorker, until
from tests.worker.test_status import enqueue_due
from worker.clock import utc_now
from worker.engine.fleet import QueueSizes
from worker.enqueuer import Pool
from worker.notices.slots import WantedSlots, wanted_slots
from worker.rates import RateWriter, Tally
from worker.telemetry.metrics import Metrics

Db = asyncpg.Pool


@pytest.mark.parametrize(
    ("ready", "running", "duration", "expected"),
    [
        (0, 0, 1, 0),
        (0, 7, 1, 7),
        (1, 0, 0.001, 1),
        (61, 0, 1, 1),  # a slot starts one at once, and 60 in a minute
        (62, 3, 1, 5),
        (100, 0, 60, 50),
        (100, 0, 36_000, 100),  # nobody needs more slots than there are runs
        (1_000_000, 0, 0, 17),
    ],
)
def test_so_many_slots_start_all_that_waits_in_time(
    ready: int, running: int, duration: float, expected: int
) -> None:
    assert wanted_slots(ready, running, duration=duration, target=60) == expected


def sizes(ready: int) -> dict[str, QueueSizes]:
    return {"email": QueueSizes(ready=ready, deferred=9, blocked=9, running=2, ended={})}


def wanted(metrics: Metrics, queue: str = "email") -> float:
    found = metrics.registry.get_sample_value("worker_queue_wanted_slots", {"queue": queue})
    assert found is not None
    return found


async def test_how_long_runs_take_comes_from_those_that_ended(db: Db) -> None:
    tally, began = Tally(), utc_now().timestamp() - 120
    times = [(began * 1000, began, began + 30)] * 10
    tally.add("email", "email.send", "succeeded", times, ended=began + 30)
    tally.add("email", "email.send", "snoozed", [(began * 1000, began, began)] * 90, ended=began)
    await RateWriter(db, tally).flush()
    metrics = Metrics(())
    slots = WantedSlots(metrics.notices, target=60)

    await slots(sizes(300))
    assert wanted(metrics) == 2 + math.ceil(300 / 61)  # nothing is known yet

    slots.db = db
    await slots(sizes(300))
    assert wanted(metrics) == 2 + 100


async def test_while_postgresql_is_away_runs_take_as_long_as_before(db: Db) -> None:
    metrics = Metrics(())
    slots = WantedSlots(metrics.notices, target=60)
    slots.db = db
    await db.close()

    await slots(sizes(61))

    assert wanted(metrics) == 3


async def test_a_scrape_tells_what_is_wanted_and_what_there_is(
    start_worker: StartWorker, pool: Pool
) -> None:
    for number in range(122):
        await enqueue_due(pool, f"r{number}", age=-600 if number % 2 else 1)
    worker = await start_worker(worker_queues="email,sync")
    port = worker.ctx["runtime"].sidecar.port

    async def scraped() -> str:
        async with httpx.AsyncClient() as http:
            return (await http.get(f"http://127.0.0.1:{port}/metrics")).text

    async def told() -> str | None:
        text = await scraped()
        return text if re.search(r'wanted_slots\{queue="default"\} 1\.0', text) else None

    text = await until(told)
    assert 'worker_concurrency_limit{queue="email"} 10.0' in text
    assert 'worker_concurrency_limit{queue="sync"} 3.0' in text
    assert 'worker_concurrency_limit{queue="default"} 0.0' in text
    assert 'worker_notices_total{change="opened",kind="waiting"} 0.0' in text
