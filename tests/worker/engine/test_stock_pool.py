"""What a stock `arq.create_pool()` sees of our worker is what it sees of ARQ's own.

Each test runs on both. The pool is ARQ's, given our serializer, as the product asks for.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import arq
import pytest
from arq.connections import RedisSettings
from arq.jobs import Job, JobResult, JobStatus, ResultNotFound

from tests.worker.conftest import until
from tests.worker.engine.defects.defect_jobs import (
    fail,
    forget,
    nap,
    note,
    note_in_email_queue,
    wait_at_gate,
)
from tests.worker.engine.defects.running import Place
from tests.worker.engine.defects.sides import SUBJECTS
from tests.worker.engine.defects.subjects import EMAIL, Subject
from worker.codec import JobFailedError, dumps, loads

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close")  # ARQ's, as it ends
FAST = {"timeout": 15, "poll_delay": 0.02}
MILLISECOND = timedelta(milliseconds=1)  # instants on the wire are rounded to it


@pytest.fixture(params=sorted(SUBJECTS))
async def runner(request: pytest.FixtureRequest, place: Place) -> AsyncIterator[Subject]:
    """Our worker, or ARQ's; `start()` starts it."""
    async with AsyncExitStack() as stack:
        runner = SUBJECTS[request.param](place, stack)
        await runner.open(codec="deskhand")
        yield runner


@pytest.fixture
async def pool(redis_url: str) -> AsyncIterator[arq.ArqRedis]:
    """A caller's pool."""
    settings = RedisSettings.from_dsn(redis_url)
    pool = await arq.create_pool(settings, job_serializer=dumps, job_deserializer=loads)
    yield pool
    await pool.aclose()


async def start(runner: Subject) -> None:
    await runner.start(codec="deskhand")


async def put(runner: Subject, pool: arq.ArqRedis, job: str, **options: Any) -> Job:
    """Enqueue; what begins with an underscore is ARQ's, the rest is the payload."""
    theirs = {name: value for name, value in options.items() if name.startswith("_")}
    payload = {name: value for name, value in options.items() if name not in theirs}
    run = await pool.enqueue_job(job, {"diary": str(runner.diary), **payload}, **theirs)
    assert run is not None
    return run


# enqueue and result


async def test_a_result_comes_back(runner: Subject, pool: arq.ArqRedis) -> None:
    await start(runner)

    run = await put(runner, pool, note, text="ığüşöç")

    assert await run.result(**FAST) == "ığüşöç"


async def test_a_failure_is_raised_and_its_record_can_be_read(
    runner: Subject, pool: arq.ArqRedis
) -> None:
    await start(runner)

    run = await put(runner, pool, fail, text="out of paper")

    with pytest.raises(JobFailedError, match="DefectError: out of paper"):
        await run.result(**FAST)
    record = await run.result_info()
    assert record is not None
    assert (record.success, record.job_try, record.function) == (False, 1, fail)


async def test_a_result_is_waited_for_as_long_as_asked(runner: Subject, pool: arq.ArqRedis) -> None:
    run = await put(runner, pool, nap)

    with pytest.raises(TimeoutError):
        await run.result(timeout=0.2, poll_delay=0.05)
    await start(runner)
    assert await run.result(**FAST) == 1


async def test_a_run_that_nobody_enqueued_has_no_result(
    runner: Subject, pool: arq.ArqRedis
) -> None:
    await start(runner)

    with pytest.raises(ResultNotFound):
        await Job("nobody", pool).result(**FAST)


async def test_a_result_that_is_not_kept_is_not_found(runner: Subject, pool: arq.ArqRedis) -> None:
    await start(runner)

    run = await put(runner, pool, forget)

    with pytest.raises(ResultNotFound):
        await run.result(**FAST)
    assert await run.status() is JobStatus.not_found


# status


async def has(run: Job, status: JobStatus) -> bool:
    return await run.status() is status


async def test_the_status_follows_a_run(
    runner: Subject, pool: arq.ArqRedis, tmp_path: Path
) -> None:
    run = await put(runner, pool, nap, seconds=0.5, _defer_by=1)
    assert await run.status() is JobStatus.deferred

    await until(lambda: has(run, JobStatus.queued))
    await start(runner)
    await until(lambda: has(run, JobStatus.in_progress))
    await until(lambda: has(run, JobStatus.complete))

    await pool.delete(f"arq:result:{run.job_id}")
    assert await run.status() is JobStatus.not_found


# defer and expire


@pytest.mark.parametrize("way", ["_defer_by", "_defer_until"])
async def test_a_run_waits_until_it_is_due(runner: Subject, pool: arq.ArqRedis, way: str) -> None:
    await start(runner)
    due_at = datetime.now(UTC) + timedelta(seconds=0.7)
    wait: Any = 0.7 if way == "_defer_by" else due_at

    run = await put(runner, pool, note, **{way: wait})
    await run.result(**FAST)

    (line,) = runner.lines
    # ARQ cuts an instant down to whole milliseconds.
    assert 0 <= line.at - due_at.timestamp() + 0.001 < 2


async def test_a_run_that_expired_fails_and_is_not_run(runner: Subject, pool: arq.ArqRedis) -> None:
    run = await put(runner, pool, note, _expires=0.1)
    await asyncio.sleep(0.2)

    await start(runner)

    with pytest.raises(JobFailedError, match="expired"):
        await run.result(**FAST)
    assert runner.lines == []


async def test_a_run_that_is_in_time_is_run(runner: Subject, pool: arq.ArqRedis) -> None:
    await start(runner)

    run = await put(runner, pool, note, text="in time", _expires=timedelta(seconds=30))

    assert await run.result(**FAST) == "in time"


# info


async def test_the_info_of_a_waiting_run(runner: Subject, pool: arq.ArqRedis) -> None:
    before = datetime.now(UTC) - MILLISECOND
    run = await put(runner, pool, note, text="t", _defer_by=60)

    info = await run.info()

    assert info is not None
    assert not isinstance(info, JobResult)
    assert (info.function, info.kwargs) == (note, {})
    assert list(info.args) == [{"diary": str(runner.diary), "text": "t"}]
    assert before <= info.enqueue_time <= datetime.now(UTC) + MILLISECOND
    assert info.score == pytest.approx((info.enqueue_time.timestamp() + 60) * 1000, abs=2)


async def test_the_info_of_a_running_run(
    runner: Subject, pool: arq.ArqRedis, tmp_path: Path
) -> None:
    await start(runner)
    run = await put(runner, pool, wait_at_gate, gate=str(tmp_path))
    await runner.until_written("begin")

    info = await run.info()

    assert info is not None
    assert (info.function, info.score is None) == (wait_at_gate, False)
    assert await run.result_info() is None


async def test_the_info_of_a_run_that_is_over(runner: Subject, pool: arq.ArqRedis) -> None:
    await start(runner)
    run = await put(runner, pool, nap, seconds=0.2, _job_id="mine")
    await run.result(**FAST)

    info = await run.info()

    assert isinstance(info, JobResult)
    assert (info.function, info.success, info.result, info.job_try) == (nap, True, 1, 1)
    assert (info.queue_name, info.job_id, info.score) == ("arq:queue", "mine", None)
    assert info.enqueue_time <= info.start_time + MILLISECOND
    assert info.start_time < info.finish_time <= datetime.now(UTC) + MILLISECOND
    assert info.finish_time - info.start_time >= timedelta(seconds=0.19)


async def test_the_info_of_a_run_that_nobody_enqueued(runner: Subject, pool: arq.ArqRedis) -> None:
    await start(runner)

    assert await Job("nobody", pool, _deserializer=loads).info() is None


# abort


async def test_a_running_run_is_aborted(runner: Subject, pool: arq.ArqRedis) -> None:
    await start(runner)
    run = await put(runner, pool, nap, seconds=30)
    await runner.until_written("begin")

    assert await run.abort(**FAST)

    with pytest.raises(asyncio.CancelledError):
        await run.result(**FAST)
    assert await run.status() is JobStatus.complete
    assert runner.texts("end") == []


@pytest.mark.parametrize("wait", [None, 60], ids=["due", "deferred"])
async def test_a_waiting_run_is_aborted_before_it_starts(
    runner: Subject, pool: arq.ArqRedis, wait: float | None
) -> None:
    run = await put(runner, pool, note, _defer_by=wait)
    aborting = asyncio.create_task(run.abort(**FAST))
    await until(lambda: pool.exists("arq:abort"))

    await start(runner)

    assert await aborting
    assert runner.lines == []


async def test_what_is_over_or_unknown_is_not_aborted(runner: Subject, pool: arq.ArqRedis) -> None:
    await start(runner)
    run = await put(runner, pool, note, text="done")
    await run.result(**FAST)

    assert not await run.abort(**FAST)
    assert not await Job("nobody", pool, _deserializer=loads).abort(**FAST)
    assert await run.result(**FAST) == "done"


# an id of one's own


async def test_an_id_is_taken_while_its_run_waits_runs_and_has_a_result(
    runner: Subject, pool: arq.ArqRedis, tmp_path: Path
) -> None:
    async def is_taken() -> bool:
        again = await pool.enqueue_job(note, {"diary": str(runner.diary)}, _job_id="mine")
        return again is None

    run = await put(runner, pool, nap, seconds=0.5, _job_id="mine")
    assert await is_taken()
    await start(runner)
    await runner.until_written("begin")
    assert await is_taken()
    await run.result(**FAST)
    assert await is_taken()

    await pool.delete("arq:result:mine")
    assert not await is_taken()
    await runner.until_written("note")


async def test_of_many_callers_with_one_id_one_succeeds(
    runner: Subject, pool: arq.ArqRedis
) -> None:
    await start(runner)
    payload = {"diary": str(runner.diary)}

    runs = await asyncio.gather(
        *(pool.enqueue_job(note, payload, _job_id="mine") for _ in range(20))
    )

    (run,) = [run for run in runs if run is not None]
    await run.result(**FAST)
    assert len(runner.texts("note")) == 1


# all of them


async def test_the_queued_jobs_are_those_that_wait_and_run(
    runner: Subject, pool: arq.ArqRedis, tmp_path: Path
) -> None:
    await start(runner)
    await put(runner, pool, wait_at_gate, gate=str(tmp_path), _job_id="runs")
    await put(runner, pool, note, _job_id="waits", _defer_by=60)
    await (await put(runner, pool, note, _job_id="over")).result(**FAST)
    await runner.until_written("begin")

    queued = await pool.queued_jobs()

    assert {job.job_id: job.function for job in queued} == {"runs": wait_at_gate, "waits": note}


async def test_all_results_are_listed_in_the_order_of_their_enqueueing(
    runner: Subject, pool: arq.ArqRedis
) -> None:
    await start(runner)
    for number, job in enumerate([note, fail, nap]):
        run = await put(runner, pool, job, _job_id=str(number))
        await until(lambda run=run: has(run, JobStatus.complete))  # type: ignore[misc]  # mypy and defaults

    results = await pool.all_job_results()

    assert [(one.job_id, one.function, one.success) for one in results] == [
        ("0", note, True),
        ("1", fail, False),
        ("2", nap, True),
    ]


# another queue


@pytest.mark.parametrize("runner", ["deskhand"], indirect=True)
async def test_a_pool_may_have_another_queue(runner: Subject, redis_url: str) -> None:
    """ARQ's worker would serve this one and no other (D27)."""
    pool = await arq.create_pool(
        RedisSettings.from_dsn(redis_url),
        job_serializer=dumps,
        job_deserializer=loads,
        default_queue_name=EMAIL,
    )
    await start(runner)

    run = await put(runner, pool, note_in_email_queue)

    assert await run.result(**FAST) == "from email"
    record = await run.result_info()
    assert record is not None
    assert record.queue_name == EMAIL
    await pool.aclose()
