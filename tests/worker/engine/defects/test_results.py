"""What becomes of results, errors and secrets: D30, D32 to D36."""

import asyncio
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from arq.jobs import DeserializationError, SerializationError
from typing_extensions import override

from tests.worker.engine.defects.defect_jobs import (
    fail,
    fail_in_two_parts,
    nap,
    note,
    return_function,
)
from tests.worker.engine.defects.subjects import Subject, defect
from worker.clock import utc_now
from worker.codec import JobFailedError

pytestmark = pytest.mark.timeout(120)  # one starts a process
SECRET = "hunter2-7f3a9c"


# D30 and D34


@defect("D30, D34", "one odd error makes all results unreadable", raises=DeserializationError)
async def test_an_odd_error_hides_no_result(subject: Subject) -> None:
    await subject.start()
    runs = [await subject.enqueue(job) for job in (note, fail_in_two_parts)]
    for run_id in runs:
        while not await subject.redis.exists(f"arq:result:{run_id}"):
            await asyncio.sleep(0.02)

    results = await subject.stock_pool.all_job_results()

    assert {result.job_id: result.success for result in results} == dict(
        zip(runs, (True, False), strict=True)
    )


@defect("D34", "a result that cannot be serialized undoes a success")
async def test_a_result_that_cannot_be_written_down_undoes_no_success(subject: Subject) -> None:
    await subject.start()

    record = await subject.record(await subject.enqueue(return_function))

    assert record.success


# D32


class MakeDirectory:
    """What it says, as soon as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self._path,)


@defect("D32", "whoever can write to Redis can run code in the worker")
async def test_no_payload_runs_code(subject: Subject, tmp_path: Path) -> None:
    hole = tmp_path / "hole"
    await subject.redis.psetex("arq:job:evil", 60_000, pickle.dumps(MakeDirectory(hole)))
    await subject.redis.zadd("arq:queue", {"evil": 1})

    await subject.start()

    assert not (await subject.record("evil")).success
    assert not hole.exists()


# D33


@defect("D33", "JSON cannot carry an exception", raises=SerializationError)
async def test_an_error_comes_back_through_json(subject: Subject) -> None:
    await subject.open(codec="json")
    await subject.start(codec="json")
    run_id = await subject.enqueue(fail, text="out of paper")

    with pytest.raises(JobFailedError, match="DefectError: out of paper"):
        await subject.job(run_id).result(timeout=10, poll_delay=0.02)


@defect("D33", "JSON cannot carry a cancellation", raises=SerializationError)
async def test_an_abort_succeeds_through_json(subject: Subject) -> None:
    await subject.open(codec="json")
    await subject.start(codec="json")
    run_id = await subject.enqueue(nap, seconds=30)
    await subject.until_written("begin")

    assert await subject.job(run_id).abort(timeout=10, poll_delay=0.02)


# D35


@defect("D35", "a run that failed early ignores how long its results are kept")
async def test_a_failure_is_kept_as_long_as_the_job_says(subject: Subject) -> None:
    run_id = await subject.enqueue(note, run_id="mine")
    await subject.redis.zadd("arq:abort", {run_id: utc_now().timestamp() * 1000 + 1})
    await subject.start()

    assert not (await subject.record(run_id)).success

    assert await subject.redis.ttl(f"arq:result:{run_id}") <= 120


@defect("D35", "the arguments are stored once more with the result")
async def test_a_result_does_not_repeat_the_arguments(subject: Subject) -> None:
    await subject.start()
    run_id = await subject.enqueue(nap, text=SECRET)

    await subject.record(run_id)

    assert SECRET.encode() not in await subject.redis.get(f"arq:result:{run_id}")


# D36


@defect("D36", "arguments and results are logged")
async def test_neither_arguments_nor_results_are_logged(subject: Subject) -> None:
    worker = await subject.spawn()

    assert await subject.value(await subject.enqueue(note, text=SECRET)) == SECRET

    await subject.value(await subject.enqueue(note))  # so that the first one's lines are out
    log = worker.log.read_text()
    assert note in log
    assert SECRET not in log
