"""The health of queues, processing and schedules, in one document."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from jobs.kit import QUEUES
from tests.worker import testing_jobs
from tests.worker.conftest import Enqueue, StartWorker, until
from worker import __version__
from worker.clock import utc_now
from worker.enqueuer import Pool
from worker.overview import Rates
from worker.pausing import pause_queue
from worker.redis_pool import open_redis
from worker.runtime import Runtime
from worker.sidecar.details import HealthDetails, ScheduleHealth, details
from worker.sidecar.health import Health

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NAMES = ("default", "email", "sync")
BRIEFS = ScheduleHealth(
    name="deals.queue_daily_briefs",
    job="deals.queue_daily_briefs",
    is_enabled=True,
    next_due_at=NOON + timedelta(hours=20),
    last_due_at=NOON - timedelta(hours=4),
    last_state="succeeded",
    reason=None,
)


@pytest.fixture
async def health(pool: Pool) -> AsyncIterator[Health]:
    health = Health()

    async def answers() -> None:
        await pool.time()

    health.add("redis", answers)
    await health.check_now()
    health.running()
    yield health
    await health.stop()


async def details_of(redis: Pool, health: Health, **options: Any) -> HealthDetails:
    rates = options.pop("rates", None) or Rates()
    return await details(redis, health, rates, [QUEUES[name] for name in NAMES], **options)


async def say(pool: Pool, worker: str, **report: Any) -> None:
    report = {"worker": worker, "running": {}, **report}
    await pool.set(f"deskhand:worker:{worker}", orjson.dumps(report))
    await pool.sadd("deskhand:workers", worker)  # type: ignore[misc]  # redis-py: sync or async


async def test_queues_tell_what_they_hold_and_who_serves_them(pool: Pool, health: Health) -> None:
    for run_id, age in (("due", 90), ("later", -600)):
        due_at = utc_now() - timedelta(seconds=age)
        payload = {"diary": "unused"}
        await pool.enqueue_job(
            testing_jobs.add_line.name, payload, _job_id=run_id, _defer_until=due_at
        )
    await pause_queue(pool, "email")
    await say(pool, "w1", slots={"default": 10, "email": 4}, running={"default": 3})

    told = (await details_of(pool, health)).queues

    assert told.redis is not None
    assert (told.redis.status, (told.redis.latency_ms or -1) > 0) == ("ok", True)
    assert told.queues is not None
    default, email, sync = told.queues
    assert (default.waiting, default.delayed, default.running) == (1, 1, 0)
    assert 89 < (default.oldest_due_seconds or 0) < 120
    assert (default.workers, default.slots, default.free_slots) == (1, 10, 7)
    assert [each.is_paused for each in (default, email, sync)] == [False, True, False]
    assert (sync.workers, sync.oldest_due_seconds) == (0, None)


async def test_processes_tell_what_they_do_and_old_ones_less(pool: Pool, health: Health) -> None:
    await say(pool, "old", pid=7, running={"email": 2})
    await say(
        pool,
        "new",
        host="box",
        version="1.2",
        slots={"sync": 3, "email": 10},
        running={"sync": 1},
        state="draining",
        started_at=NOON.isoformat(),
        rss=50_000_000,
        lag=0.0042,
    )

    told = (await details_of(pool, health)).processing

    assert told.processes is not None
    new, old = told.processes
    assert told.processes_alive == 2
    assert (new.host, new.version, new.state, new.started_at) == ("box", "1.2", "draining", NOON)
    assert (new.queues, new.slots_used, new.slots) == (["email", "sync"], 1, 13)
    assert (new.rss_bytes, new.loop_lag_ms) == (50_000_000, 4.2)
    assert (old.pid, old.running, old.slots_used) == (7, {"email": 2}, 2)
    assert (old.queues, old.slots, old.state, old.version) == (None, None, None, None)


async def test_a_large_fleet_is_counted_and_listed_in_part(pool: Pool, health: Health) -> None:
    for number in range(203):
        await say(pool, f"w{number:03}")

    told = (await details_of(pool, health)).processing

    assert (told.processes_alive, len(told.processes or ())) == (203, 200)


async def test_rates_are_of_a_minute_and_totals_of_all_time(pool: Pool, health: Health) -> None:
    seconds = 1000.0
    rates = Rates(clock=lambda: seconds)
    counts = {"arq:queue:email succeeded": 100, "arq:queue:email running": 0}
    await pool.hset("deskhand:counts", mapping=counts)  # type: ignore[misc]  # redis-py: sync or async
    first = (await details_of(pool, health, rates=rates)).processing
    await pool.hincrby("deskhand:counts", "arq:queue:email succeeded", 30)  # type: ignore[misc]  # as above
    await pool.hincrby("deskhand:counts", "arq:queue:email dead", 2)  # type: ignore[misc]  # as above
    seconds += 60

    second = (await details_of(pool, health, rates=rates)).processing

    assert (first.ended_lately, first.lately_seconds) == (None, None)
    assert second.ended is not None
    assert second.ended["email"] == {"succeeded": 130, "dead": 2}
    assert second.ended_lately is not None
    assert second.ended_lately["email"] == {"succeeded": 30, "dead": 2}
    assert second.lately_seconds == 60


async def test_schedules_are_those_that_the_scheduler_names(pool: Pool, health: Health) -> None:
    async def schedules() -> Sequence[ScheduleHealth]:
        return [BRIEFS] * 300

    told = await details_of(pool, health, schedules=schedules)
    none = await details_of(pool, health)

    assert told.schedules == [BRIEFS] * 200
    assert none.schedules is None


async def test_a_scheduler_that_fails_hides_nothing_else(
    pool: Pool, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.sidecar.details._SCHEDULES_TIMEOUT", 0.1)

    async def broken() -> Sequence[ScheduleHealth]:
        raise LookupError("no such table")

    async def silent() -> Sequence[ScheduleHealth]:
        await asyncio.sleep(3600)
        return []

    for schedules in (broken, silent):
        told = await details_of(pool, health, schedules=schedules)

        assert told.schedules is None
        assert [queue.name for queue in told.queues.queues or ()] == list(NAMES)


async def test_a_redis_that_is_away_leaves_the_rest(health: Health) -> None:
    async def schedules() -> Sequence[ScheduleHealth]:
        return [BRIEFS]

    nowhere = open_redis("redis://127.0.0.1:1", Pool)
    told = await details_of(nowhere, health, schedules=schedules, clock=lambda: NOON)

    await nowhere.aclose()
    assert (told.at, told.queues.queues) == (NOON, None)
    assert told.queues.redis == told.dependencies[0]
    assert (told.processing.processes, told.processing.running) == (None, None)
    assert told.schedules == [BRIEFS]


async def test_the_details_of_a_real_worker_are_json(
    pool: Pool, start_worker: StartWorker, enqueue: Enqueue
) -> None:
    worker = await start_worker(worker_queues="default")
    runtime: Runtime = worker.ctx["runtime"]
    await enqueue(testing_jobs.nap.name, seconds=8)

    async def with_run() -> HealthDetails | None:
        told = await details_of(pool, runtime.health, rates=runtime.status.rates)
        busy = [each for each in told.processing.processes or () if each.slots_used]
        return told if busy else None

    told = json.loads((await until(with_run)).model_dump_json())

    (process,) = told["processing"]["processes"]
    assert (process["pid"], process["version"]) == (os.getpid(), __version__)
    assert (process["state"], process["running"]) == ("running", {"default": 1})
    assert (process["queues"], process["slots"]) == (["default"], 10)
    assert told["processing"]["running"] == 1
    assert told["status"] == "ok"
    assert {each["name"] for each in told["dependencies"]} >= {"redis", "postgres", "worker"}
