"""Where ARQ is slow, blind or in the way: D24 to D29."""

import asyncio
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
from arq.jobs import ResultNotFound

from tests.worker.engine.defects.defect_jobs import (
    Attempt,
    both,
    nap,
    note,
    note_in_email_queue,
)
from tests.worker.engine.defects.running import InProcess, becomes
from tests.worker.engine.defects.slow_redis import slow_line
from tests.worker.engine.defects.subjects import EMAIL, Subject, defect

SLOTS = 10


# D24


@defect("D24", "each claim is a conversation of its own, with WATCH")
async def test_claims_do_not_watch_keys(subject: Subject) -> None:
    """Optimistic locks are why ARQ's workers slow each other down."""
    runs = [await subject.enqueue(note) for _ in range(30)]
    await subject.redis.config_resetstat()
    await subject.start()

    for run_id in runs:
        await subject.record(run_id)

    commands = await subject.redis.info("commandstats")
    assert "cmdstat_watch" not in commands


# D25


@defect("D25", "runs in progress at the head of the queue hide those behind them")
async def test_runs_in_progress_hide_none_behind_them(subject: Subject) -> None:
    """150 runs of other workers, of ARQ's even, and a worker that is free."""
    for number in range(150):
        await subject.enqueue(note, run_id=f"other-{number}")
        await subject.redis.psetex(f"arq:in-progress:other-{number}", 600_000, b"1")
    free = await subject.enqueue(note)

    await subject.start()

    assert await becomes(lambda: subject.redis.exists(f"arq:result:{free}"), within=3)


# D26


@defect("D26", "a free slot waits for the next poll")
async def test_a_free_slot_is_filled_before_the_next_poll(subject: Subject) -> None:
    """Four times as many runs as slots, at ARQ's poll of half a second."""
    for _ in range(4 * SLOTS):
        await subject.enqueue(nap, seconds=0.15)

    await subject.start(concurrency=SLOTS, arq={"poll_delay": 0.5})
    await subject.until_written("end", 4 * SLOTS)

    starts = [line.at for line in subject.texts("begin")]
    assert max(starts) - min(starts) < 1.2


# D27


@defect("D27", "a worker serves one queue")
async def test_a_worker_serves_many_queues(subject: Subject) -> None:
    await subject.start()
    runs = {"arq:queue": note, EMAIL: note_in_email_queue}

    for queue, job in runs.items():
        await subject.enqueue_with(subject.pool, job, _queue_name=queue)

    assert await becomes(lambda: both_ran(subject), within=3)


async def both_ran(subject: Subject) -> bool:
    return len(subject.texts("note")) == 2


# D28

_workers: list[InProcess] = []


@both("defects.signal_worker")
async def signal_worker(attempt: Attempt) -> None:
    """The first one stops the worker that runs it."""
    attempt.write("begin")
    for worker in _workers:
        attempt.write("signal")
        worker.signal()
    _workers.clear()
    await asyncio.sleep(0.1)


@defect("D28", "a worker that was told to stop goes on starting runs")
async def test_a_worker_that_was_told_to_stop_starts_nothing(subject: Subject) -> None:
    async with slow_line(subject.place.redis_url) as line:
        worker = await subject.start(redis_url=line.url, grace=5)
        _workers.append(worker)
        line.delay = 0.05
        together = datetime.now(UTC) + timedelta(seconds=1)  # so that one poll finds them all
        for _ in range(SLOTS):
            await subject.enqueue_with(subject.pool, signal_worker, _defer_until=together)
        await subject.until_written("signal")

        await worker.end()

    (told,) = subject.texts("signal")
    assert [line for line in subject.texts("begin") if line.at > told.at + 0.25] == []


@defect("D28", "a second signal has no effect")
async def test_a_second_signal_gives_up_waiting(subject: Subject) -> None:
    worker = await subject.start(grace=30)
    await subject.enqueue(nap, seconds=4)
    await subject.until_written("begin")
    began = monotonic()

    worker.signal()
    worker.signal()
    await worker.end()

    assert monotonic() - began < 3


# D29


@defect("D29", "a handle by id looks for its run in another queue", raises=ResultNotFound)
async def test_a_handle_by_id_finds_the_run(subject: Subject) -> None:
    run_id = await subject.enqueue_with(subject.pool, note_in_email_queue, _queue_name=EMAIL)

    handle = subject.handle(run_id, note_in_email_queue)

    with pytest.raises(TimeoutError):  # it waits, instead of saying that there is none
        await handle.result(timeout=0.3, poll_delay=0.05)
