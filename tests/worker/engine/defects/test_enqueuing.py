"""Enqueueing that ARQ refuses, drops or makes slow: D20 to D23, D31."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest
from redis.exceptions import ResponseError

from jobs.kit import JobContext, Payload, job
from tests.worker.engine.defects.defect_jobs import note
from tests.worker.engine.defects.running import becomes
from tests.worker.engine.defects.slow_redis import slow_line
from tests.worker.engine.defects.subjects import Subject, defect


class Named(Payload):
    function: str


@job("defects.take_function", queue="default")
async def take_function(ctx: JobContext, payload: Named) -> str:
    return payload.function


# D20


@defect("D20", "an enqueue that was disturbed counts as a duplicate", raises=LookupError)
async def test_only_a_duplicate_counts_as_one(subject: Subject) -> None:
    """Somebody touches the key between ARQ's look at it and its write."""
    async with (
        slow_line(subject.place.redis_url) as line,
        aclosing(await subject.make_pool(line.url)) as pool,
    ):
        await pool.ping()
        line.delay = 0.3
        enqueueing = asyncio.create_task(subject.enqueue_with(pool, note, _job_id="mine"))
        await asyncio.sleep(0.3)
        if await subject.redis.set("arq:job:mine", b"", nx=True):
            await subject.redis.delete("arq:job:mine")

        assert await enqueueing == "mine"

    assert await subject.redis.zcard("arq:queue") == 1


# D21


@defect("D21", "what was due more than a day ago cannot be enqueued", raises=ResponseError)
async def test_a_run_may_have_been_due_long_ago(subject: Subject) -> None:
    await subject.start()
    due_at = datetime.now(UTC) - timedelta(days=2)

    run_id = await subject.enqueue_with(subject.pool, note, {"text": "late"}, _defer_until=due_at)

    assert await subject.value(run_id) == "late"


@defect("D21", "an expiry of 0 is ignored", raises=pytest.fail.Exception)
async def test_an_expiry_of_nothing_is_refused(subject: Subject) -> None:
    with pytest.raises(ValueError, match="_expires"):
        await subject.enqueue_with(subject.pool, note, _expires=0)


@defect("D21", "a run that was due at the beginning of time is never run")
async def test_a_run_may_have_been_due_at_the_beginning_of_time(subject: Subject) -> None:
    run_id = await subject.enqueue(note)
    await subject.redis.zadd("arq:queue", {run_id: 0})

    await subject.start()

    assert await becomes(lambda: subject.redis.exists(f"arq:result:{run_id}"), within=3)


# D22


@defect("D22", "no argument may be called `function`", raises=TypeError)
async def test_an_argument_may_be_called_function(subject: Subject) -> None:
    run = await subject.pool.enqueue_job("defects.take_function", function="f")

    assert run is not None


# D23


@defect("D23", "an abort that comes too late overwrites the result")
async def test_an_abort_that_comes_too_late_changes_nothing(subject: Subject) -> None:
    """`Job.abort()` has seen the run wait; meanwhile it ran; then these commands arrive."""
    await subject.start()
    run_id = await subject.enqueue(note, text="done")
    await subject.record(run_id)

    now = int(datetime.now(UTC).timestamp() * 1000)
    await subject.redis.zadd("arq:queue", {run_id: 1})
    await subject.redis.zadd("arq:abort", {run_id: now})
    assert await becomes(lambda: is_gone(subject, run_id), within=5)

    assert (await subject.record(run_id)).result == "done"


async def is_gone(subject: Subject, run_id: str) -> bool:
    return await subject.redis.zscore("arq:queue", run_id) is None


# D31


@defect("D31", "there is no way to enqueue many at once", raises=AttributeError)
async def test_many_runs_are_enqueued_at_once(subject: Subject) -> None:
    async with (
        slow_line(subject.place.redis_url) as line,
        aclosing(await subject.make_pool(line.url)) as pool,
    ):
        await pool.ping()
        line.delay = 0.05
        many = pool.enqueue_many  # type: ignore[attr-defined]  # ARQ's pool does not have it
        async with asyncio.timeout(3):
            await many(note, [{"diary": str(subject.diary)} for _ in range(500)])

    assert await subject.redis.zcard("arq:queue") == 500
