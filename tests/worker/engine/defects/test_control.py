"""Aborts, health, hooks, limits and settings: D43 to D48; and D37 to D42, which is no more."""

import asyncio
import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from arq.worker import JobExecutionFailed

from tests.worker.engine.defects.defect_jobs import (
    fail,
    forget,
    nap,
    note,
    return_much,
    tell_event_loop,
)
from tests.worker.engine.defects.running import becomes
from tests.worker.engine.defects.subjects import Subject, defect, deskhand_only
from worker.clock import utc_now

pytestmark = pytest.mark.timeout(120)  # some start processes
HEALTH = "arq:queue:health-check"


# D37 to D42


def test_no_cron_of_arqs_is_used(database_url: str, redis_url: str) -> None:
    """In a process of its own: `worker.main` puts our worker in the place of ARQ's."""
    program = (
        "from worker.main import WorkerSettings; from worker.schedules.cron_job import TickCronJob;"
        "print({type(one) is TickCronJob for one in WorkerSettings.cron_jobs})"
    )
    environment = {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url}

    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    ).stdout

    assert told.strip() == "{True}"


# D43


@defect("D43", "requests to abort are never forgotten")
async def test_an_old_request_to_abort_is_forgotten(subject: Subject) -> None:
    long_ago = (utc_now() - timedelta(days=8)).timestamp() * 1000
    await subject.redis.zadd("arq:abort", {"nobody": long_ago})

    await subject.start()

    assert await becomes(lambda: has_no_aborts(subject), within=8)


async def has_no_aborts(subject: Subject) -> bool:
    return not await subject.redis.exists("arq:abort")


@defect("D43", "a request to abort hits a later run of the same id")
async def test_an_abort_does_not_hit_a_later_run_of_the_same_id(subject: Subject) -> None:
    await subject.start()
    assert not await subject.job("mine").abort(timeout=1)

    run_id = await subject.enqueue_with(subject.stock_pool, note, _job_id="mine")

    assert (await subject.record(run_id)).success


@defect("D43", "an abort of a run whose result nobody keeps is reported as failed")
async def test_an_abort_succeeds_also_when_no_result_is_kept(subject: Subject) -> None:
    await subject.start()
    run_id = await subject.enqueue(forget, seconds=30)
    await subject.until_written("begin")

    assert await subject.job(run_id).abort(timeout=10, poll_delay=0.02)


# D44


@defect("D44", "a worker that stops takes the others' health with it")
async def test_a_worker_that_stops_leaves_the_others_their_health(subject: Subject) -> None:
    first, _ = await subject.start(), await subject.start()
    if not await becomes(lambda: subject.redis.exists(HEALTH), within=10):
        raise TimeoutError("no worker reports its health")
    await asyncio.sleep(1)  # the other one has done so, too

    await first.stop()

    assert await becomes(lambda: subject.redis.exists(HEALTH), within=7)


@defect("D44", "a worker that hangs looks well for an hour")
async def test_health_is_forgotten_soon(subject: Subject) -> None:
    await subject.start()
    if not await becomes(lambda: subject.redis.exists(HEALTH), within=10):
        raise TimeoutError("no worker reports its health")

    assert await subject.redis.ttl(HEALTH) <= 60


# D45


@pytest.mark.parametrize("hook", ["on_job_end", "after_job_end"])
@defect("D45", "hooks do not see which job it was, nor how it ended")
async def test_a_hook_sees_the_job_and_how_it_ended(subject: Subject, hook: str) -> None:
    seen = {}

    async def look(ctx: dict[Any, Any]) -> None:
        keys = ("job_name", "outcome", "error_type")
        seen[ctx["job_id"]] = [ctx.get(key) for key in keys]

    await subject.start(arq={hook: look})
    runs = [await subject.enqueue(job) for job in (note, fail)]
    for run_id in runs:
        await subject.record(run_id)
    if not await becomes(lambda: has_all(seen, len(runs)), within=3):
        raise TimeoutError("the hook is not called")

    assert [seen[run_id] for run_id in runs] == [
        [note, "succeeded", None],
        [fail, "dead", "DefectError"],
    ]


async def has_all(seen: dict[Any, Any], count: int) -> bool:
    return len(seen) == count


@deskhand_only
async def test_the_last_hook_of_a_run_that_is_given_back_is_waited_for(subject: Subject) -> None:
    seen = []

    async def take_a_while(ctx: dict[Any, Any]) -> None:
        await asyncio.sleep(0.3)
        seen.append(ctx["outcome"])

    worker = await subject.start(arq={"after_job_end": take_a_while})
    await subject.enqueue(nap, seconds=30)
    await subject.until_written("begin")

    await worker.stop()

    assert seen == ["released"]


# D46


@defect("D46", "a result may be of any size")
async def test_a_result_that_is_too_large_is_not_kept(subject: Subject) -> None:
    await subject.start()
    run_id = await subject.enqueue(return_much)

    record = await subject.record(run_id)

    assert record.success
    assert await subject.redis.strlen(f"arq:result:{run_id}") < 1_048_576


# D47


@defect("D47", "`_job_try` begins in the middle of the attempts", raises=JobExecutionFailed)
async def test_every_run_begins_with_its_first_attempt(subject: Subject) -> None:
    await subject.start()

    run_id = await subject.enqueue_with(subject.pool, note, {"text": "run"}, _job_try=20)

    assert await subject.value(run_id) == "run"


# D48


@defect("D48", "uvloop runs only when it was installed before the worker was made")
async def test_a_worker_brings_its_event_loop(subject: Subject) -> None:
    await subject.spawn()

    assert await subject.value(await subject.enqueue(tell_event_loop)) == "uvloop"
