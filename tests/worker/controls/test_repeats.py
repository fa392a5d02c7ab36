"""Requests that were made before: one run, and the caller is told which."""

import asyncio
import time
from collections import Counter
from typing import Any

import pytest

from jobs.kit import Enqueued, Job
from tests.worker.conftest import StartWorker, until
from tests.worker.controls import jobs
from tests.worker.controls.conftest import Crowd
from worker.engine.store import EVENTS
from worker.enqueuer import Pool
from worker.message import When
from worker.pausing import pause_queue, resume_queue


async def ask(pool: Pool, job: Job[Any, Any], key: str, text: str = "") -> Enqueued:
    return await pool.enqueue(job, job.validate({"key": key, "text": text}))


async def result(pool: Pool, job: Job[Any, Any], enqueued: Enqueued) -> Any:
    return await pool.handle(enqueued.run_id, job).result(timeout=10, poll_delay=0.02)


async def is_over(pool: Pool, run_id: str) -> bool:
    return not await pool.exists(f"arq:job:{run_id}")


async def added(pool: Pool) -> Counter[str]:
    return Counter(
        run_id
        for _, fields in await pool.xrange(EVENTS)
        for name, run_ids in fields.items()
        if name.startswith(b"+")
        for run_id in run_ids.decode().split("\n")
    )


async def test_a_key_stays_taken_for_its_time_also_when_the_run_is_over(
    start_worker: StartWorker, pool: Pool
) -> None:
    await start_worker()
    first = await ask(pool, jobs.welcome, "ada")
    began = time.monotonic()
    await until(lambda: is_over(pool, first.run_id))

    again = await ask(pool, jobs.welcome, "ada")
    other = await ask(pool, jobs.welcome, "grace")
    await asyncio.sleep(max(2.1 - (time.monotonic() - began), 0))
    later = await ask(pool, jobs.welcome, "ada")

    assert (first.is_new, again.is_new, other.is_new, later.is_new) == (True, False, True, True)
    assert first.run_id == again.run_id == later.run_id


async def test_without_a_key_equal_requests_are_one(pool: Pool) -> None:
    one = await ask(pool, jobs.notify, "ada", "hello")
    same = await ask(pool, jobs.notify, "ada", "hello")
    other = await ask(pool, jobs.notify, "ada", "goodbye")

    assert (one.is_new, same.is_new, other.is_new) == (True, False, True)
    assert same.run_id == one.run_id != other.run_id
    assert await pool.enqueue_job(jobs.notify.name, key="ada", text="hello") is None


async def test_the_newest_request_wins_when_they_have_calmed_down(
    start_worker: StartWorker, pool: Pool
) -> None:
    await start_worker()
    began = time.monotonic()
    told = []
    for text in ("a", "b", "c"):
        told.append(await ask(pool, jobs.index, "doc", text))
        await asyncio.sleep(0.2)
    other = await ask(pool, jobs.index, "other", "x")

    assert await result(pool, jobs.index, told[0]) == "c"
    assert 0.75 <= time.monotonic() - began < 2
    assert [(one.run_id, one.is_new, one.is_merged) for one in told] == [
        (told[0].run_id, True, False),
        (told[0].run_id, False, True),
        (told[0].run_id, False, True),
    ]
    assert await result(pool, jobs.index, other) == "x"
    assert set((await added(pool)).values()) == {1}


async def test_requests_that_never_calm_down_do_not_put_it_off_for_ever(
    start_worker: StartWorker, pool: Pool
) -> None:
    await start_worker()
    began = time.monotonic()
    first = await ask(pool, jobs.index, "doc", "0")

    async def is_done() -> bool:
        await ask(pool, jobs.index, "doc", "again")
        return bool(await pool.exists(f"arq:result:{first.run_id}"))

    await until(is_done, 5)

    assert 1.2 <= time.monotonic() - began < 2.2


async def test_a_request_that_comes_while_it_runs_is_not_lost(
    start_worker: StartWorker, pool: Pool
) -> None:
    """What the run has read is old by then."""
    await start_worker()
    first = await ask(pool, jobs.index, "doc", "old")
    await until(lambda: is_over(pool, first.run_id))

    second = await ask(pool, jobs.index, "doc", "new")

    assert second.is_new
    assert second.run_id != first.run_id
    assert await result(pool, jobs.index, second) == "new"


async def test_of_requests_within_the_time_the_last_one_comes_when_it_is_over(
    start_worker: StartWorker, pool: Pool
) -> None:
    await start_worker()
    began = time.monotonic()
    first = await ask(pool, jobs.publish, "page", "1")
    assert await result(pool, jobs.publish, first) == "1"
    at_once = time.monotonic() - began

    within = [await ask(pool, jobs.publish, "page", text) for text in ("2", "3", "4")]

    assert await result(pool, jobs.publish, within[0]) == "4"
    assert at_once < 0.4
    assert time.monotonic() - began >= 0.6
    assert [one.run_id for one in within] == [within[0].run_id] * 3
    assert [(one.is_new, one.is_merged) for one in within] == [
        (True, False),
        (False, True),
        (False, True),
    ]


async def test_a_singleton_is_refused_while_one_waits_or_runs(
    start_worker: StartWorker, pool: Pool, crowd: Crowd
) -> None:
    await start_worker()
    await pause_queue(pool, "default")
    payload = jobs.ALONE.validate({"marks": crowd.path, "number": 0, "seconds": 0.5})
    crowd.keys.append("")

    first = await pool.enqueue(jobs.ALONE, payload)
    while_it_waits = await pool.enqueue(jobs.ALONE, payload)
    await resume_queue(pool, "default")

    async def has_begun() -> bool:
        return bool(crowd.marks)

    await until(has_begun)
    while_it_runs = await pool.enqueue(jobs.ALONE, payload)
    by_name = await pool.enqueue_job(jobs.ALONE.name, payload)
    await crowd.done()
    await until(lambda: is_over(pool, first.run_id))
    afterwards = await pool.enqueue(jobs.ALONE, payload)

    assert first.is_new
    assert (while_it_waits, while_it_runs) == (Enqueued(first.run_id, is_new=False),) * 2
    assert by_name is None
    assert afterwards.is_new


async def test_a_result_that_is_kept_is_the_next_requests_too(
    start_worker: StartWorker, pool: Pool
) -> None:
    await start_worker()
    first = await ask(pool, jobs.summarise, "doc:1", "text")
    together = await ask(pool, jobs.summarise, "doc:1", "text")
    summary = await result(pool, jobs.summarise, first)

    again = await ask(pool, jobs.summarise, "doc:1", "other words")
    other = await ask(pool, jobs.summarise, "doc:2")
    handle = await pool.enqueue_job(jobs.summarise.name, key="doc:1")

    assert together == Enqueued(first.run_id, is_new=False)
    assert again == Enqueued(first.run_id, is_new=False, is_cached=True)
    assert other.is_new
    assert handle is not None
    assert await handle.result(timeout=1) == summary
    assert 500 < await pool.ttl(f"arq:result:{first.run_id}") <= 600


async def test_a_failure_is_no_result_to_keep(start_worker: StartWorker, pool: Pool) -> None:
    await start_worker()
    first = await ask(pool, jobs.summarise, "doc", "fail")
    await until(lambda: is_over(pool, first.run_id))

    again = await ask(pool, jobs.summarise, "doc", "well")

    assert again.is_new
    assert await result(pool, jobs.summarise, again) == f"doc by {again.run_id}"


@pytest.mark.parametrize("job", [jobs.notify, jobs.index, jobs.publish, jobs.summarise])
async def test_many_at_once_are_told_one_by_one(pool: Pool, job: Job[Any, Any]) -> None:
    keys = [str(number % 100) for number in range(700)]
    await pause_queue(pool, "default")

    told = await pool.enqueue_all(job, [{"key": key} for key in keys])

    by_key: dict[str, set[str]] = {}
    for key, one in zip(keys, told, strict=True):
        by_key.setdefault(key, set()).add(one.run_id)
    assert [len(ids) for ids in by_key.values()] == [1] * 100
    assert [one.is_new for one in told] == [True] * 100 + [False] * 600
    assert await pool.zcard("arq:queue") == 100


async def test_who_makes_requests_one_names_the_runs(pool: Pool) -> None:
    payload = jobs.index.validate({"key": "a"})

    with pytest.raises(ValueError, match="it names its runs itself"):
        await pool.enqueue(jobs.index, payload, run_id="mine")
    with pytest.raises(ValueError, match="its debounce says when it is due"):
        await pool.enqueue(jobs.index, payload, when=When(wait_ms=5))
