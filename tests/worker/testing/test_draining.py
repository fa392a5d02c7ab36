"""Queues in a real Redis: what waits there, and running it until it is empty."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from jobs.kit import Payload
from tests.worker.testing.rig_jobs import (
    Chain,
    breed,
    call_service,
    count_down,
    end,
    fail_twice,
    index_page,
)
from worker.ending import State
from worker.enqueuer import Pool
from worker.message import When
from worker.testing import (
    Clock,
    DrainError,
    Rig,
    RigPool,
    assert_enqueued,
    enqueued,
    open_rig_pool,
    refute_enqueued,
)

NOW = datetime(2026, 12, 3, 23, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def rig_pool(redis_url: str) -> AsyncIterator[RigPool]:
    pool = open_rig_pool(redis_url, Clock(NOW))
    yield pool
    await pool.aclose()


@pytest.fixture
async def rig(rig_pool: RigPool) -> AsyncIterator[Rig]:
    with Rig(pool=rig_pool) as rig:
        yield rig


async def test_a_drain_runs_what_is_enqueued_and_what_that_enqueues(
    rig: Rig, rig_pool: RigPool
) -> None:
    job = await rig_pool.enqueue_job(count_down.name, Chain(left=3))
    await rig_pool.enqueue_many(end.name, [{"how": "cancel"}, {"how": "error"}])

    ended = await rig.drain()

    counted = [one.succeeded() for one in ended if one.job == count_down.name]
    assert counted == [3, 2, 1, 0]
    assert {one.state for one in ended} == {State.SUCCEEDED, State.CANCELLED, State.RETRYING}
    assert job is not None
    assert await job.result(timeout=1) == 3
    (left,) = await enqueued(rig)
    assert (left.job, left.due_at) == (end.name, NOW + timedelta(seconds=60))


async def test_an_empty_drain_is_none(rig: Rig) -> None:
    assert await rig.drain() == []


async def test_what_is_due_later_runs_when_the_clock_has_moved(rig: Rig, rig_pool: RigPool) -> None:
    await rig_pool.enqueue_job(end.name, {"how": "tuple"}, _defer_by=HOUR)
    await rig_pool.enqueue_job(end.name, {"how": "tuple"}, _defer_until=NOW + 2 * HOUR)
    await rig_pool.enqueue_many(end.name, [{"how": "tuple"}], _defer_until=NOW + 3 * HOUR)

    assert await rig.drain() == []
    rig.clock.move(HOUR)
    (first,) = await rig.drain()
    rig.clock.move(minutes=59)
    assert await rig.drain() == []
    rig.clock.move(minutes=1)
    (second,) = await rig.drain()
    (third,) = await rig.drain(until=HOUR)

    assert first.succeeded() == (1, NOW + HOUR)
    assert second.succeeded() == (1, NOW + 2 * HOUR)
    assert third.succeeded()[1] - (NOW + 3 * HOUR) < timedelta(seconds=1)


async def test_a_drain_until_later_runs_retries_at_their_time(rig: Rig, rig_pool: RigPool) -> None:
    await rig_pool.enqueue_job(fail_twice.name, {})

    ended = await rig.drain(until=timedelta(minutes=21))

    assert [one.attempt for one in ended] == [1, 2, 3]
    assert [one.state for one in ended][:2] == [State.RETRYING] * 2
    elapsed = datetime.fromisoformat(ended[2].succeeded()) - NOW
    assert timedelta(minutes=19.9) < elapsed <= timedelta(minutes=20)


async def test_a_delayed_chain_is_followed_as_far_as_is_said(rig: Rig, rig_pool: RigPool) -> None:
    await rig_pool.enqueue_job(count_down.name, {"left": 9, "wait": 3600})

    ended = await rig.drain(until=3 * HOUR + timedelta(minutes=1))

    assert [one.succeeded() for one in ended] == [9, 8, 7, 6]
    await assert_enqueued(rig, count_down, {"left": 5}, due_at=NOW + 4 * HOUR)


async def test_a_drain_has_a_bound(rig: Rig, rig_pool: RigPool) -> None:
    await rig_pool.enqueue_job(breed.name, {})

    with pytest.raises(DrainError, match=r"20 attempts ended[^$]*rigged\.breed succeeded"):
        await rig.drain(limit=20)

    await assert_enqueued(rig, breed, count=1)


async def test_a_drain_wants_a_pool() -> None:
    with Rig() as rig, pytest.raises(ValueError, match=r"Rig\(pool="):
        await rig.drain()


async def test_an_expiry_follows_the_clock(rig: Rig, rig_pool: RigPool) -> None:
    await rig_pool.enqueue_job(end.name, {"how": "tuple"}, _expires=HOUR)
    rig.clock.move(2 * HOUR)

    (ended,) = await rig.drain()

    assert ended.state is State.EXPIRED


# Asserts


async def test_what_is_enqueued_is_found_by_a_part_of_its_payload(pool: Pool) -> None:
    payload = {"how": "error", "instants": ["2026-12-03T23:30:00Z"]}
    await pool.enqueue_job(end.name, payload)
    await pool.enqueue_job(end.name, {"how": "cancel"}, _defer_by=HOUR)

    assert [run.payload["how"] for run in await assert_enqueued(pool, end, count=2)] == [
        "error",
        "cancel",
    ]
    await assert_enqueued(pool, "rigged.end", {"how": "error"}, count=1)
    await assert_enqueued(pool, end, {"instants": [NOW]})
    await assert_enqueued(pool, end, end.validate(payload))
    await assert_enqueued(pool, end, count=1, due_at=datetime.now(UTC) + HOUR, within=HOUR / 60)
    await assert_enqueued(pool, count_down, count=0)
    await refute_enqueued(pool, count_down)
    await refute_enqueued(pool, end, {"how": "snooze"})


async def test_a_failed_assert_shows_what_is_there(rig: Rig, rig_pool: RigPool) -> None:
    with pytest.raises(AssertionError, match="found 0; nothing is enqueued"):
        await assert_enqueued(rig_pool, end)
    for number in range(25):
        await rig_pool.enqueue(end, {"how": f"{number}"}, when=When(wait_ms=60_000 * number))

    wanted = r'expected a run of rigged\.end with {"how":"x"}, found 0; enqueued are 25:'
    with pytest.raises(AssertionError, match=wanted) as told:
        await assert_enqueued(rig, end, {"how": "x"})

    first = '  rigged.end {"how":"0","instants":[]} on default, due at 2026-12-03T23:30:00+00:00'
    assert first in str(told.value).splitlines()
    assert str(told.value).endswith("  and 5 more")
    with pytest.raises(AssertionError, match=r"expected 2 runs of rigged\.end, found 25"):
        await assert_enqueued(rig, end, count=2)
    with pytest.raises(AssertionError, match="due at 2026-12-04T00:30:00"):
        await assert_enqueued(rig, end, due_at=NOW + HOUR)
    with pytest.raises(AssertionError, match=r"expected no run of rigged\.end, found one"):
        await refute_enqueued(rig, end, {"how": "3"})


async def test_an_unreadable_run_is_listed_too(rig: Rig, rig_pool: RigPool) -> None:
    await rig_pool.set("arq:job:odd", b"\x80pickle")
    await rig_pool.zadd("arq:queue", {"odd": 5})

    (run,) = await enqueued(rig)

    assert (run.run_id, run.job) == ("odd", "(unreadable)")
    assert [one.reason for one in await rig.drain()] == ["undecodable"]


async def test_a_payload_without_fields_is_one(rig: Rig, rig_pool: RigPool) -> None:
    await rig_pool.enqueue(breed, Payload())

    await assert_enqueued(rig, breed, {})


async def test_limits_follow_the_clock(rig: Rig, rig_pool: RigPool) -> None:
    """Two an hour: of five, three drains an hour apart run all."""
    for number in range(5):
        await rig_pool.enqueue(call_service, {"number": number})

    at_once = await rig.drain()
    rig.clock.move(hours=1, minutes=1)
    later = await rig.drain()
    rig.clock.move(hours=1, minutes=1)
    last = await rig.drain()

    assert [len(ended) for ended in (at_once, later, last)] == [2, 2, 1]


async def test_a_drain_until_then_goes_through_the_windows_of_a_rate(
    rig: Rig, rig_pool: RigPool
) -> None:
    for number in range(5):
        await rig_pool.enqueue(call_service, {"number": number})

    assert len(await rig.drain(until=timedelta(hours=3))) == 5


async def test_a_debounce_follows_the_clock(rig: Rig, rig_pool: RigPool) -> None:
    for text in ("a", "b"):
        await rig_pool.enqueue(index_page, {"page": 1, "text": text})
        rig.clock.move(minutes=4)
    assert await rig.drain() == []
    rig.clock.move(minutes=2)

    (ended,) = await rig.drain()

    assert ended.succeeded() == "b"
