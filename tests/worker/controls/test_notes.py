"""Progress and the log of a run: seen while it runs, kept with its attempt, bounded."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from jobs.kit import JobContext
from tests.conftest import MakeContext
from tests.worker.conftest import Ledgered, StartWorker, until
from tests.worker.controls import jobs
from tests.worker.controls.conftest import Crowd
from worker.enqueuer import Pool
from worker.events import Event, Kind, follow
from worker.notes import MOST_LINES, Live, live


async def enqueue(crowd: Crowd, job: Any, **fields: Any) -> str:
    payload = job.validate({"marks": crowd.path, "number": 0, **fields})
    return (await crowd.pool.enqueue(job, payload)).run_id


async def steps(pool: Pool) -> list[Event]:
    events = follow(pool, since=timedelta(minutes=1), is_endless=False)
    return [event async for event in events if event.kind is Kind.PROGRESS]


async def test_progress_is_seen_while_a_run_runs(
    start_worker: StartWorker, crowd: Crowd, pool: Pool
) -> None:
    await start_worker()
    run_id = await enqueue(crowd, jobs.read_pages, seconds=0.1)

    async def is_half_way() -> Live | None:
        said = await live(pool, run_id)
        return said if said is not None and (said.fraction or 0) >= 0.5 else None

    said = await until(is_half_way)

    assert said.message == f"page {round((said.fraction or 0) * 10)} of 10"
    assert said.attempt == 1
    assert any("Page read" in line and '"page": 1' in line for line in said.lines)
    assert not any("anadolu" in line for line in said.lines)
    assert not await pool.exists(f"arq:result:{run_id}")
    told = await steps(pool)
    assert {(e.run_id, e.job, e.queue) for e in told} == {(run_id, jobs.read_pages.name, "default")}
    fractions = [event.fraction for event in told]
    assert fractions == sorted(fractions, key=lambda fraction: fraction or 0)


async def test_an_attempts_lines_stay_with_it(
    start_worker: StartWorker, crowd: Crowd, ledgered: Ledgered
) -> None:
    await start_worker()
    run_id = await enqueue(crowd, jobs.read_pages, seconds=0.01, fails=1)

    await ledgered.run(run_id, state="succeeded")

    first, second = await ledgered.attempts(run_id)
    for attempt in (first, second):
        lines = attempt["log"].splitlines()
        assert sum("Page read" in line for line in lines) == 10
        assert sum("From a thread" in line for line in lines) == 10
        assert "INFO Page read" in lines[0]
        assert "anadolu" not in attempt["log"]


async def test_what_a_run_says_is_bounded(
    start_worker: StartWorker, crowd: Crowd, pool: Pool, ledgered: Ledgered
) -> None:
    await start_worker()
    run_id = await enqueue(crowd, jobs.chatter)

    await ledgered.run(run_id, state="succeeded")

    (attempt,) = await ledgered.attempts(run_id)
    lines = attempt["log"].splitlines()
    assert len(lines) == MOST_LINES
    assert max(map(len, lines)) <= 500
    assert "999" in lines[-1]
    assert (await pool.memory_usage(f"deskhand:live:{run_id}") or 0) < 30_000


async def test_many_steps_are_few_writes(
    start_worker: StartWorker, crowd: Crowd, pool: Pool
) -> None:
    await start_worker()
    run_ids = [await enqueue(crowd, jobs.read_pages, seconds=0.05) for _ in range(10)]
    for run_id in run_ids:
        await pool.handle(run_id, jobs.read_pages).result(timeout=10, poll_delay=0.05)

    told = await steps(pool)

    assert len(told) <= 10 * 5  # ten runs of half a second, four times a second
    assert {event.run_id for event in told} == set(run_ids)


async def test_nobody_writes_while_nothing_is_said(
    start_worker: StartWorker, crowd: Crowd, pool: Pool
) -> None:
    await start_worker()
    await enqueue(crowd, jobs.FREE)
    await asyncio.sleep(0.6)

    assert await pool.keys("deskhand:live:*") == []


@pytest.mark.parametrize("fraction", [-0.1, 1.01, float("nan")])
async def test_progress_is_a_fraction(make_ctx: MakeContext, fraction: float) -> None:
    ctx: JobContext = make_ctx(jobs.read_pages.name)

    with pytest.raises(ValueError, match="progress is a fraction"):
        ctx.progress(fraction)


async def test_what_somebody_else_wrote_there_is_nothing(pool: Pool) -> None:
    await pool.set("deskhand:live:odd", "{")
    await pool.set("deskhand:live:odder", '{"at": 1}')

    assert await live(pool, "odd") is None
    assert await live(pool, "odder") is None
    assert await live(pool, "none") is None
