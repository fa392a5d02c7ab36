"""Runs that come through the outbox have the same controls as all others."""

from typing import Any

import pytest

from jobs.kit import Job
from tests.worker.conftest import StartWorker, until
from tests.worker.controls import jobs
from tests.worker.controls.conftest import Crowd, crowd, most_in_any
from tests.worker.outbox.conftest import Db
from worker.enqueuer import Pool
from worker.outbox import enqueue_in, enqueue_many_in

__all__ = ["crowd"]


async def promise(db: Db, job: Job[Any, Any], **fields: Any) -> str:
    async with db.acquire() as connection, connection.transaction():
        return await enqueue_in(connection, job, fields)


async def are_gone(db: Db) -> bool:
    return not await db.fetchval("select count(*) from outbox")


async def runs_of(db: Db, run_id: str) -> int:
    """How many attempts of a run history knows."""
    query = "select count(*) from job_attempts where run_id = $1"
    return int(await db.fetchval(query, run_id))


async def test_limits_and_order_hold(start_worker: StartWorker, db: Db, crowd: Crowd) -> None:
    await start_worker()
    given = [{"marks": crowd.path, "number": n, "key": "a"} for n in range(12)]
    async with db.acquire() as connection, connection.transaction():
        await enqueue_many_in(connection, jobs.RATED, given)
    crowd.keys += ["a"] * 12
    await crowd.done()
    async with db.acquire() as connection, connection.transaction():
        for number in range(12, 24):
            payload = {"marks": crowd.path, "number": number, "key": "b", "seconds": 0.01}
            await enqueue_in(connection, jobs.follow, payload)
    crowd.keys += ["b"] * 12
    await crowd.done()

    assert most_in_any(jobs.WINDOW, crowd.starts("a")) == jobs.RATE
    assert crowd.most_at_once("b") == 1
    assert {mark.attempt for mark in crowd.marks} == {1}
    await until(lambda: are_gone(db))


async def test_an_id_stays_taken_for_its_time(
    start_worker: StartWorker, db: Db, pool: Pool
) -> None:
    await start_worker()
    first = await promise(db, jobs.notify, key="ada", text="hello")
    await until(lambda: are_gone(db))

    again = await promise(db, jobs.notify, key="ada", text="hello")
    await until(lambda: are_gone(db))

    assert again == first
    assert await runs_of(db, first) == 1
    payload = jobs.notify.validate({"key": "ada", "text": "hello"})
    assert not (await pool.enqueue(jobs.notify, payload)).is_new


async def test_a_kept_result_is_enough_and_a_failure_is_none(
    start_worker: StartWorker, db: Db
) -> None:
    await start_worker()
    run_id = await promise(db, jobs.summarise, key="doc", text="fail")
    await until(lambda: are_gone(db))

    again = await promise(db, jobs.summarise, key="doc", text="well")
    await until(lambda: are_gone(db))
    once_more = await promise(db, jobs.summarise, key="doc", text="well")
    await until(lambda: are_gone(db))

    assert run_id == again == once_more
    assert await runs_of(db, run_id) == 2


@pytest.mark.parametrize("job", [jobs.index, jobs.publish])
async def test_what_only_redis_can_make_one_is_refused_and_the_transaction_goes_on(
    db: Db, job: Job[Any, Any]
) -> None:
    async with db.acquire() as connection, connection.transaction():
        with pytest.raises(ValueError, match="enqueue it after the commit"):
            await enqueue_in(connection, job, {"key": "a"})
        await enqueue_in(connection, jobs.notify, {"key": "a"})

    assert await db.fetchval("select count(*) from outbox") == 1
