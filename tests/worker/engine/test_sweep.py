"""What waits for long keeps its payload, and what others left behind is taken away."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import arq
import pytest

from jobs.kit import QUEUES
from tests.worker.engine.desk import Desk
from worker.codec import dumps, loads
from worker.engine.store import KEPT
from worker.engine.sweep import EVERY, sweep, sweep_if_due
from worker.enqueuer import Pool

DEFAULT, EMAIL = QUEUES["default"], QUEUES["email"]
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NOW = timedelta()


async def ago(pool: Pool, delta: timedelta) -> int:
    """The instant so long before now, in ms by Redis' clock."""
    seconds, _ = await pool.time()
    return 1000 * int(seconds) - int(delta / timedelta(milliseconds=1))


async def put_as_stock(
    pool: Pool, run_ids: Iterable[str], *, due: timedelta, left: timedelta
) -> None:
    """Runs of a stock pool that were due so long ago, and whose payloads live on for so long."""
    score = await ago(pool, due)
    async with pool.pipeline(transaction=False) as pipe:
        for run_id in run_ids:
            pipe.set(f"arq:job:{run_id}", "payload", px=left)
            pipe.zadd(DEFAULT.key, {run_id: score})
        await pipe.execute()


async def is_kept(pool: Pool, run_id: str) -> bool:
    """Has its payload no end?"""
    life = await pool.pttl(f"arq:job:{run_id}")
    assert life != -2
    return bool(life == -1)


# Payloads


async def test_the_payload_of_a_stock_run_that_waits_for_long_is_kept(pool: Pool) -> None:
    """ARQ lets it expire a day after it was due."""
    await put_as_stock(pool, ["a"], due=13 * HOUR, left=11 * HOUR)

    assert await sweep(pool, [EMAIL, DEFAULT]) == 1

    assert await is_kept(pool, "a")
    assert await sweep(pool, [EMAIL, DEFAULT]) == 0


@pytest.mark.parametrize(
    ("due", "left"),
    [(13 * HOUR, 2 * HOUR), (13 * HOUR, 40 * HOUR), (1 * HOUR, 23 * HOUR), (-5 * HOUR, 29 * HOUR)],
    ids=["shorter life", "longer life", "not long", "deferred"],
)
async def test_any_other_life_is_left_as_it_is(pool: Pool, due: timedelta, left: timedelta) -> None:
    await put_as_stock(pool, ["a"], due=due, left=left)

    assert await sweep(pool, [DEFAULT]) == 0

    assert not await is_kept(pool, "a")


@pytest.mark.parametrize(
    ("options", "kept"),
    [({}, True), ({"_expires": 7200}, False), ({"_defer_by": 60}, False)],
    ids=["ARQ's own", "asked for", "deferred"],
)
async def test_the_life_that_arq_gives_by_itself_is_known(
    pool: Pool, options: dict[str, Any], *, kept: bool
) -> None:
    stock = arq.ArqRedis(
        connection_pool=pool.connection_pool, job_serializer=dumps, job_deserializer=loads
    )
    await stock.enqueue_job("testing.add_line", {}, _job_id="a", **options)
    await asyncio.sleep(0.01)

    await sweep(pool, [DEFAULT], long=NOW)

    assert await is_kept(pool, "a") == kept


async def test_our_own_payloads_have_no_end_to_begin_with(pool: Pool) -> None:
    await pool.enqueue_raw("testing.add_line", {}, queue="default", run_id="a", headers={})
    await pool.zadd(DEFAULT.key, {"a": await ago(pool, 20 * HOUR)})

    assert await sweep(pool, [DEFAULT]) == 0


async def test_a_queued_id_without_payload_gets_none(pool: Pool) -> None:
    await pool.zadd(DEFAULT.key, {"empty": await ago(pool, 13 * HOUR)})

    assert await sweep(pool, [DEFAULT]) == 0
    assert not await pool.exists("arq:job:empty")


async def test_thousands_of_runs_that_were_due_at_once_are_all_kept(pool: Pool) -> None:
    run_ids = [f"run{number:04}" for number in range(2345)]
    await put_as_stock(pool, run_ids, due=13 * HOUR, left=11 * HOUR)
    await put_as_stock(pool, ["fresh"], due=NOW, left=DAY)

    assert await sweep(pool, [DEFAULT]) == 2345

    assert not await is_kept(pool, "fresh")
    assert await is_kept(pool, run_ids[0])
    assert await is_kept(pool, run_ids[-1])


async def test_a_queue_of_a_wrong_type_keeps_no_other_from_it(pool: Pool) -> None:
    await pool.set(EMAIL.key, "nonsense")
    await put_as_stock(pool, ["a"], due=13 * HOUR, left=11 * HOUR)

    assert await sweep(pool, [EMAIL, DEFAULT]) == 1


# What others left behind


async def test_old_aborts_and_old_unknowns_are_forgotten(pool: Pool) -> None:
    for key, kept in (("arq:abort", DAY), ("deskhand:unknown", KEPT)):
        old = await ago(pool, kept + HOUR)
        await pool.zadd(key, {"old": old, "young": await ago(pool, kept - HOUR)})

    await sweep(pool, [DEFAULT])

    assert await pool.zrange("arq:abort", 0, -1) == [b"young"]
    assert await pool.zrange("deskhand:unknown", 0, -1) == [b"young"]


async def test_runs_that_a_stock_worker_finished_for_a_dead_one_are_not_counted(
    pool: Pool,
) -> None:
    for queue in (DEFAULT, EMAIL):
        await pool.hset("deskhand:counts", f"{queue.key} running", "3")  # type: ignore[misc]  # redis-py: sync or async
    await pool.zadd(EMAIL.key, {"still here": 1})

    await sweep(pool, [DEFAULT, EMAIL])

    counts = await pool.hgetall("deskhand:counts")  # type: ignore[misc]  # as above
    assert counts == {b"arq:queue:email running": b"3"}


async def test_crashes_of_long_ago_are_forgotten(pool: Pool) -> None:
    # The last digit of such a score counts the crashes.
    scores = {"old": 10 * await ago(pool, 25 * HOUR) + 2, "young": 10 * await ago(pool, HOUR) + 1}
    await pool.zadd("deskhand:crashed", scores)

    await sweep(pool, [DEFAULT])

    assert await pool.zrange("deskhand:crashed", 0, -1) == [b"young"]


async def test_what_runs_is_left_alone(pool: Pool) -> None:
    await put_as_stock(pool, ["a"], due=13 * HOUR, left=11 * HOUR)
    desk = Desk(pool, worker_id="w1", lease=timedelta(seconds=30))
    (claim,) = await desk.claim({DEFAULT: 1})

    assert await sweep(pool, [DEFAULT]) == 0

    assert await desk.renew([claim]) == set()
    assert await pool.hget("deskhand:counts", "arq:queue running") == b"1"  # type: ignore[misc]  # redis-py: sync or async
    desk.close()


# By whom


async def test_of_many_workers_one_sweeps(pool: Pool) -> None:
    await put_as_stock(pool, ["a", "b", "c"], due=13 * HOUR, left=11 * HOUR)

    kept = await asyncio.gather(*(sweep_if_due(pool, [DEFAULT]) for _ in range(5)))

    assert sorted(kept) == [0, 0, 0, 0, 3]


async def test_the_next_round_is_due_when_the_next_worker_asks(pool: Pool) -> None:
    """Its own round comes after EVERY: by then the mark of the last one must be gone."""
    await sweep_if_due(pool, [DEFAULT])

    (mark,) = await pool.keys("deskhand:sweep*")
    assert EVERY / 2 < timedelta(milliseconds=await pool.pttl(mark)) < EVERY
    await pool.delete(mark)
    await put_as_stock(pool, ["a"], due=13 * HOUR, left=11 * HOUR)
    assert await sweep_if_due(pool, [DEFAULT]) == 1
