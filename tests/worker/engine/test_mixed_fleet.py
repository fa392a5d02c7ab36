"""A worker of ours that was silent for longer than its lease, beside stock workers and pools."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import pytest

from jobs.kit import QUEUES
from tests.worker.engine.desk import Desk, End, again, over
from worker.engine.claims import Claim
from worker.enqueuer import Pool

DEFAULT = QUEUES["default"]
KEYS = ("arq:job:a", "arq:in-progress:a", "arq:result:a", "arq:retry:a", DEFAULT.key)


@pytest.fixture
def desk(pool: Pool) -> Iterator[Desk]:
    with contextlib.closing(Desk(pool, worker_id="w1", lease=timedelta(seconds=30))) as desk:
        yield desk


async def enqueue(pool: Pool) -> bool:
    return await pool.enqueue_raw("testing.add_line", {}, queue="default", run_id="a", headers={})


async def claim_and_fall_silent(pool: Pool, desk: Desk) -> Claim:
    """A claim whose lease has lapsed, as if it had been given an hour earlier."""
    await enqueue(pool)
    (claim,) = await desk.claim({DEFAULT: 1})
    claim.leased_ms -= 3_600_000
    await pool.delete("arq:in-progress:a")
    await pool.zadd(DEFAULT.key, {"a": claim.leased_ms + 0.5})
    return claim


async def finish_as_a_stock_worker(pool: Pool) -> None:
    await pool.delete("arq:job:a", "arq:in-progress:a", "arq:retry:a")
    await pool.zrem(DEFAULT.key, "a")
    await pool.set("arq:result:a", "theirs", px=60_000)


async def seen(pool: Pool) -> list[bytes | None]:
    return [await pool.dump(key) for key in KEYS]


@pytest.mark.parametrize("end", [over(), again(spends_attempt=True)], ids=["over", "again"])
async def test_an_end_is_refused_when_a_stock_worker_has_ended_the_run(
    pool: Pool, desk: Desk, end: End
) -> None:
    claim = await claim_and_fall_silent(pool, desk)
    await finish_as_a_stock_worker(pool)
    before = await seen(pool)

    assert not await desk.finish(claim, end)

    assert await seen(pool) == before


async def test_the_end_of_an_older_run_does_not_end_a_new_one(pool: Pool, desk: Desk) -> None:
    claim = await claim_and_fall_silent(pool, desk)
    await finish_as_a_stock_worker(pool)
    await pool.delete("arq:result:a")
    assert await enqueue(pool)

    assert not await desk.finish(claim, over())

    assert [claim.run_id for claim in await desk.claim({DEFAULT: 1})] == ["a"]


async def test_the_lease_of_a_run_that_a_stock_worker_has_ended_is_lost(
    pool: Pool, desk: Desk
) -> None:
    claim = await claim_and_fall_silent(pool, desk)
    await finish_as_a_stock_worker(pool)

    assert await desk.renew([claim]) == {"a"}

    assert not await pool.exists("arq:in-progress:a")


async def test_an_older_run_that_lost_its_worker_is_no_crash_of_a_new_one(
    pool: Pool, desk: Desk
) -> None:
    await claim_and_fall_silent(pool, desk)
    await finish_as_a_stock_worker(pool)
    await pool.delete("arq:result:a")
    await enqueue(pool)

    (claim,) = await desk.claim({DEFAULT: 1})

    assert claim.crashes == 0


async def test_a_run_without_payload_is_ended_before_its_id_is_free(pool: Pool, desk: Desk) -> None:
    await pool.zadd(DEFAULT.key, {"a": 1})  # a stock pool's, whose payload has expired
    (claim,) = await desk.claim({DEFAULT: 1})

    assert not await enqueue(pool)

    assert await desk.finish(claim, over(kind="expired", result=b""))
    assert await enqueue(pool)
    assert [claim.run_id for claim in await desk.claim({DEFAULT: 1})] == ["a"]
