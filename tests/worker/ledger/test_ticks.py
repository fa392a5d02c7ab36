"""Ticks learn how their runs ended, also when an older worker told history alone."""

from typing import TYPE_CHECKING

import pytest

from jobs.kit import Every
from tests.worker.schedules import scheduled_jobs
from worker.ledger.ticks import heal_ticks
from worker.schedules import Plan, declare
from worker.schedules.firing import fire_due

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

NAME = scheduled_jobs.note_tick.name


@pytest.fixture
async def run_id(db: "Db") -> str:
    """Of a tick that fired."""
    await declare(db, {NAME: Plan.of(Every(3600), tz="UTC")})
    await fire_due(db, [NAME], [])
    return str(await db.fetchval("select run_id from schedule_ticks"))


async def end(db: "Db", run_id: str, state: str, ago: str = "3 minutes") -> None:
    """As a worker does that knows nothing of ticks."""
    is_over = state != "retrying"
    await db.execute(
        """
        insert into job_runs (run_id, job, queue, state, correlation_id, attempt, enqueued_at,
                              started_at, finished_at, event_id)
        values ($1, 'beat.note_tick', 'default', $2, 'c', 2, now(), now(),
                case when $3 then now() - $4::text::interval end, '1-0')
        """,
        run_id,
        state,
        is_over,
        ago,
    )
    await db.execute("delete from outbox")


@pytest.mark.parametrize(
    ("state", "succeeded", "failed"), [("succeeded", 1, 0), ("dead", 0, 1), ("cancelled", 0, 0)]
)
async def test_what_history_knows_the_tick_learns_once(
    db: "Db", run_id: str, state: str, succeeded: int, failed: int
) -> None:
    await end(db, run_id, state)

    await heal_ticks(db)
    await heal_ticks(db)

    tick = await db.fetchrow("select * from schedule_ticks")
    schedule = await db.fetchrow("select * from schedules")
    assert tick is not None
    assert schedule is not None
    assert (tick["state"], tick["attempt"]) == (state, 2)
    assert (schedule["succeeded"], schedule["failed"]) == (succeeded, failed)
    assert (schedule["last_success_at"] is not None) == bool(succeeded)


async def test_what_a_newer_worker_may_still_tell_more_of_is_left_to_it(
    db: "Db", run_id: str
) -> None:
    await end(db, run_id, "succeeded", ago="1 minute")

    await heal_ticks(db)

    assert await db.fetchval("select state from schedule_ticks") is None


async def test_a_run_that_is_not_over_is_left_alone(db: "Db", run_id: str) -> None:
    await end(db, run_id, "retrying")

    await heal_ticks(db)

    assert await db.fetchval("select state from schedule_ticks") is None


@pytest.mark.parametrize(("age", "state"), [("30 minutes", None), ("2 hours", "unknown")])
async def test_of_one_that_nobody_knows_of_it_is_said_later(
    db: "Db", run_id: str, age: str, state: str | None
) -> None:
    await db.execute("delete from outbox")
    await db.execute("update schedule_ticks set fired_at = now() - $1::text::interval", age)

    await heal_ticks(db)

    assert await db.fetchval("select state from schedule_ticks") == state


async def test_one_that_waits_is_not_lost_however_long(db: "Db", run_id: str) -> None:
    await db.execute("update schedule_ticks set fired_at = now() - interval '3 days'")

    await heal_ticks(db)

    assert await db.fetchval("select state from schedule_ticks") is None
