"""What ARQ loses, runs twice or gives up on: D10 to D19."""

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from arq.jobs import JobStatus
from arq.worker import JobExecutionFailed

from tests.worker.conftest import Ledgered
from tests.worker.engine.defects.defect_jobs import (
    BACKOFF,
    DefectError,
    be_late,
    be_late_once,
    block,
    come_again,
    fail_once,
    leak_cancellation,
    nap,
    nap_for_hours,
    note,
    raise_timeout,
    swallow_deadline,
    wait_at_gate,
)
from tests.worker.engine.defects.running import becomes, says
from tests.worker.engine.defects.slow_redis import slow_line
from tests.worker.engine.defects.subjects import Subject, defect, deskhand_only

pytestmark = pytest.mark.timeout(120)  # some start two processes
DAY = timedelta(days=1)


def nearly_a_day_ago(left: float) -> datetime:
    """When a run was due whose payload ARQ's pool lets live for so many more seconds."""
    return datetime.now(UTC) - DAY + timedelta(seconds=left)


def kind(error: Any) -> str:
    """The type of what a run raised."""
    return str(getattr(error, "error_type", type(error).__name__))


# D10


@defect("D10", "a payload expires while its run waits", raises=JobExecutionFailed)
async def test_a_run_may_wait_for_longer_than_a_day(subject: Subject) -> None:
    """The one slot is taken for longer than the payload of the next run has to live."""
    pool = subject.stock_pool
    await subject.enqueue_with(pool, nap, {"seconds": 5}, _defer_until=nearly_a_day_ago(3.9))
    waiting = await subject.enqueue_with(
        pool, note, {"text": "at last"}, _defer_until=nearly_a_day_ago(4)
    )
    await subject.start(concurrency=1)
    await subject.until_written("end")

    assert await subject.value(waiting) == "at last"


@defect("D10", "a payload expires while its run waits again", raises=JobExecutionFailed)
async def test_a_run_may_be_put_off_past_the_day(subject: Subject) -> None:
    await subject.start()

    run_id = await subject.enqueue_with(
        subject.stock_pool, come_again, {"seconds": 1.5}, _defer_until=nearly_a_day_ago(1)
    )

    assert await subject.value(run_id) == "twice"


@deskhand_only
async def test_a_run_that_may_expire_expires_and_is_remembered(
    subject: Subject, ledgered: Ledgered
) -> None:
    run_id = await subject.enqueue_with(subject.stock_pool, note, _expires=0.3)
    await asyncio.sleep(0.5)

    await subject.start()

    assert (await ledgered.run(run_id, state="expired"))["queue"] == "default"
    assert subject.lines == []


# D11


@defect("D11", "a killed worker's runs wait for the longest timeout of all jobs")
async def test_a_killed_workers_run_starts_again_soon(subject: Subject) -> None:
    worker = await subject.spawn()
    run_id = await subject.enqueue(nap_for_hours, seconds=60)
    await subject.until_written("begin")

    worker.send(signal.SIGKILL)
    await worker.end()
    left = await subject.redis.pttl(f"arq:in-progress:{run_id}")
    assert left < 10_000

    await subject.spawn()
    await subject.until_written("begin", 2)


# D12


@defect("D12", "a worker that lost its lease ends the run of the one that has it now")
async def test_a_worker_that_lost_its_lease_ends_nothing(subject: Subject, tmp_path: Path) -> None:
    first = await subject.spawn(lease=1, concurrency=1)
    run_id = await subject.enqueue(wait_at_gate, gate=str(tmp_path))
    await subject.until_written("begin")
    first.send(signal.SIGSTOP)
    second = await subject.spawn(lease=1, concurrency=1)
    await subject.until_written("begin", 2)

    (tmp_path / str(first.popen.pid)).touch()
    first.popen.send_signal(signal.SIGCONT)
    await subject.until_written("end")
    await asyncio.sleep(0.5)

    assert await subject.job(run_id).result_info() is None
    assert await subject.redis.zscore("arq:queue", run_id) is not None
    (tmp_path / str(second.popen.pid)).touch()
    assert await subject.value(run_id) == second.popen.pid


# D13


@defect("D13", "a job that blocks the event loop is run twice")
async def test_a_job_that_blocks_the_event_loop_runs_once(subject: Subject) -> None:
    for _ in range(2):
        await subject.spawn(lease=1)
    run_id = await subject.enqueue(block, seconds=5)

    await subject.until_written("end")

    assert len(subject.texts("begin")) == 1
    assert (await subject.record(run_id)).success


@deskhand_only
async def test_what_blocks_the_event_loop_is_logged(subject: Subject) -> None:
    worker = await subject.spawn()
    await subject.enqueue(block, seconds=4)
    await subject.until_written("end")

    said = await becomes(lambda: says(worker.log, "The event loop is blocked"), within=5)

    assert said
    assert "time.sleep(attempt.call.seconds)" in worker.log.read_text()


# D14


@defect("D14", "each deploy spends an attempt", raises=JobExecutionFailed)
async def test_a_deploy_spends_no_attempt(subject: Subject) -> None:
    """The job has two."""
    run_id = await subject.enqueue(nap, seconds=1)
    for deploy in range(2):
        worker = await subject.start()
        await subject.until_written("begin", deploy + 1)
        await worker.stop()

    await subject.start()

    assert await subject.value(run_id) == 1


# D15


@defect("D15", "a signal while a run is claimed leaves it claimed by nobody")
async def test_a_signal_while_a_run_is_claimed_leaves_no_claim(subject: Subject) -> None:
    async with slow_line(subject.place.redis_url) as line:
        worker = await subject.start(redis_url=line.url)
        line.delay = 0.4
        run_id = await subject.enqueue(note)
        if not await becomes(lambda: subject.redis.keys("arq:in-progress:*"), within=10):
            raise TimeoutError("nobody claims it")

        await worker.stop()

        assert await subject.redis.keys("arq:in-progress:*") == []
        assert await subject.job(run_id).status() is JobStatus.queued


# D16


@defect("D16", "an exception is the end of a run", raises=DefectError)
async def test_a_run_that_failed_is_tried_again(subject: Subject) -> None:
    await subject.start()

    assert await subject.value(await subject.enqueue(fail_once)) == 2

    first, second = subject.texts("begin")
    assert second.at - first.at >= BACKOFF


# D17


@defect("D17", "running out of time is the end of a run")
async def test_a_run_that_ran_out_of_time_is_tried_again(subject: Subject) -> None:
    await subject.start()

    record = await subject.record(await subject.enqueue(be_late_once))

    assert (record.success, record.result) == (True, 2)


@defect("D17", "a job that swallows its deadline counts as a success")
async def test_a_job_that_swallows_its_deadline_is_late(subject: Subject) -> None:
    await subject.start()

    record = await subject.record(await subject.enqueue(swallow_deadline))

    assert not record.success


@defect("D17", "a job's own TimeoutError looks like its deadline")
async def test_a_deadline_is_told_from_a_timeout_of_the_jobs_own(subject: Subject) -> None:
    await subject.start()

    late, own = [
        await subject.record(await subject.enqueue(job)) for job in (be_late, raise_timeout)
    ]

    assert kind(own.result) == "TimeoutError"
    assert kind(late.result) != "TimeoutError"


# D18


@defect("D18", "a CancelledError from within a job is taken for a shutdown")
async def test_a_stray_cancellation_is_a_failure_with_a_backoff(subject: Subject) -> None:
    await subject.start()

    record = await subject.record(await subject.enqueue(leak_cancellation))

    starts = [line.at for line in subject.texts("begin")]
    assert len(starts) == 3
    assert min(later - earlier for earlier, later in pairwise(starts)) > 0.25
    assert "cancelled from within" in str(record.result)


# D19


@defect("D19", "a run of a function that this worker does not know is destroyed")
async def test_a_run_of_an_unknown_job_waits_for_a_worker_that_knows_it(subject: Subject) -> None:
    await subject.start()
    unknown = await subject.enqueue_with(subject.stock_pool, "defects.of_tomorrow")

    await subject.value(await subject.enqueue(note))
    await asyncio.sleep(0.3)

    assert await subject.redis.exists(f"arq:job:{unknown}")
    assert await subject.job(unknown).status() in (JobStatus.queued, JobStatus.deferred)
