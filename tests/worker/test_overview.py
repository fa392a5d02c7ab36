"""What operators are told of the queues: of all workers, of all versions."""

import signal
from datetime import timedelta
from typing import Any

import orjson
import pytest

from jobs.kit import QUEUES
from tests.worker.conftest import SpawnValkey
from tests.worker.testing_jobs import add_line
from worker.clock import utc_now
from worker.enqueuer import Pool
from worker.overview import Overview, Rates, read_overview
from worker.pausing import pause_queue
from worker.redis_pool import open_redis

NAMES = ("default", "email", "sync")
LINE = {"diary": "unused"}


async def overview_of(pool: Pool) -> Overview:
    return await read_overview(pool, [QUEUES[name] for name in NAMES])


async def say(pool: Pool, worker: str, **report: Any) -> None:
    """A worker's heartbeat."""
    report = {"worker": worker, "running": {}, **report}
    await pool.set(f"deskhand:worker:{worker}", orjson.dumps(report))
    await pool.sadd("deskhand:workers", worker)  # type: ignore[misc]  # redis-py: sync or async


async def test_nothing_there_is_said_to_be_nothing(pool: Pool) -> None:
    overview = await overview_of(pool)

    assert list(overview.queues) == list(NAMES)
    assert overview.workers == []
    view = overview.queues["email"]
    assert (view.sizes.ready, view.oldest, view.is_paused) == (0, None, False)
    assert (view.workers, view.may_be_served, view.slots, view.free) == (0, False, 0, 0)


async def test_slots_are_those_of_all_workers(pool: Pool) -> None:
    await say(pool, "w1", slots={"default": 10, "email": 4}, running={"email": 3})
    await say(pool, "w2", slots={"email": 4}, running={"email": 1}, state="draining")

    queues = (await overview_of(pool)).queues

    numbers = {name: (view.workers, view.slots, view.free) for name, view in queues.items()}
    assert numbers == {"default": (1, 10, 10), "email": (2, 8, 1), "sync": (0, 0, 0)}
    assert [queues[name].may_be_served for name in NAMES] == [True, True, False]


async def test_a_worker_that_does_not_say_what_it_serves_may_serve_anything(pool: Pool) -> None:
    await say(pool, "old", pid=7)

    view = (await overview_of(pool)).queues["sync"]

    assert (view.may_be_served, view.workers, view.slots) == (True, 0, 0)


async def test_the_oldest_run_that_is_due_is_named_with_its_age(pool: Pool) -> None:
    for run_id, age in (("young", 5), ("old", 300), ("not due", -600)):
        due_at = utc_now() - timedelta(seconds=age)
        await pool.enqueue_job(add_line.name, LINE, _job_id=run_id, _defer_until=due_at)

    oldest = (await overview_of(pool)).queues["default"].oldest

    assert oldest is not None
    assert oldest.run_id == "old"
    assert 299 < oldest.seconds < 330


async def test_a_run_in_a_stock_workers_hands_does_not_wait(pool: Pool) -> None:
    due_at = utc_now() - timedelta(seconds=300)
    await pool.enqueue_job(add_line.name, LINE, _job_id="theirs", _defer_until=due_at)
    await pool.set("arq:in-progress:theirs", b"1")

    assert (await overview_of(pool)).queues["default"].oldest is None


async def test_a_run_due_at_the_beginning_of_time_has_an_age_that_json_can_say(pool: Pool) -> None:
    await pool.zadd(QUEUES["sync"].key, {"foreign": float("-inf")})

    oldest = (await overview_of(pool)).queues["sync"].oldest

    assert oldest is not None
    assert oldest.seconds == pytest.approx(utc_now().timestamp(), abs=60)


async def test_a_pause_is_told_with_its_end(pool: Pool) -> None:
    until = utc_now() + timedelta(minutes=5)
    await pause_queue(pool, "email", until=until)
    await pause_queue(pool, "sync")

    queues = (await overview_of(pool)).queues

    assert [queues[name].is_paused for name in NAMES] == [False, True, True]
    assert queues["email"].paused_until == until.replace(
        microsecond=until.microsecond // 1000 * 1000
    )
    assert queues["sync"].paused_until is None


async def test_a_redis_that_is_silent_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, spawn_valkey: SpawnValkey
) -> None:
    monkeypatch.setattr("worker.overview.TIMEOUT", 0.3)
    process, url = spawn_valkey()
    pool = open_redis(url, Pool)
    await pool.ping()
    process.send_signal(signal.SIGSTOP)

    with pytest.raises(TimeoutError):
        await overview_of(pool)

    process.send_signal(signal.SIGCONT)
    await pool.aclose()


class Clock:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def rates_after(*samples: tuple[float, int], clock: Clock) -> Rates:
    rates = Rates(clock=clock)
    for seconds, succeeded in samples:
        clock.seconds = seconds
        rates.note({"email": {"succeeded": succeeded}})
    return rates


def test_the_rate_is_of_the_last_minute() -> None:
    clock = Clock()
    rates = rates_after((0, 5), (15, 10), (30, 20), (45, 40), (75, 90), clock=clock)

    rate = rates.last_minute()

    assert rate is not None
    assert (rate.seconds, rate.ended) == (60, {"email": {"succeeded": 80}})


def test_the_rate_reaches_up_to_now_when_the_totals_are_known() -> None:
    clock = Clock()
    rates = rates_after((0, 5), (15, 10), clock=clock)
    clock.seconds = 20

    rate = rates.last_minute({"email": {"succeeded": 17, "dead": 1}, "sync": {"succeeded": 2}})

    assert rate is not None
    assert rate.seconds == 20  # less than a minute, soon after the start
    assert rate.ended == {"email": {"succeeded": 12, "dead": 1}, "sync": {"succeeded": 2}}


def test_without_a_sample_before_there_is_no_rate() -> None:
    clock = Clock()

    assert Rates(clock=clock).last_minute() is None
    assert rates_after((0, 5), clock=clock).last_minute() is None
    assert rates_after((0, 5), (400, 7), clock=clock).last_minute() is None


def test_a_redis_that_lost_its_data_makes_no_rate_negative() -> None:
    rates = rates_after((0, 500), (60, 3), clock=Clock())

    rate = rates.last_minute()

    assert rate is not None
    assert rate.ended == {"email": {"succeeded": 0}}


def test_samples_are_bounded() -> None:
    clock = Clock()
    rates = rates_after(*((second / 10, second) for second in range(36_000)), clock=clock)

    rate = rates.last_minute()

    assert rate is not None
    assert rate.seconds == pytest.approx(60, abs=1.1)
    assert rate.ended["email"]["succeeded"] == pytest.approx(600, abs=11)
