"""How a schedule is told of: well, or why not."""

from typing import TYPE_CHECKING

import pytest

from jobs.kit import Every
from tests.worker.schedules import scheduled_jobs
from worker.schedules import Plan, declare
from worker.schedules.firing import fire_due
from worker.sidecar.schedule_health import schedule_health

if TYPE_CHECKING:
    import asyncpg

    Db = asyncpg.Pool[asyncpg.Record]

NAME = scheduled_jobs.note_tick.name


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("missed = 0", None),
        ("error = 'no job'", "it cannot fire: no job"),
        ("seen_at = now() - interval '1 hour'", "no worker declares it any more"),
        ("next_due_at = now() - interval '1 hour', active_outbox_id = null", "did not fire"),
        ("next_due_at = now() - interval '1 hour'", "its run goes on and on: tick:beat.note_tick"),
    ],
)
async def test_a_schedule_says_why_it_is_not_well(
    db: "Db", change: str, reason: str | None
) -> None:
    await declare(db, {NAME: Plan.of(Every(3600), tz="UTC")})
    await fire_due(db, [NAME], [])
    await db.execute(f"update schedules set {change}")  # noqa: S608 - words of this file

    (one,) = await schedule_health(db)

    assert (reason is None and one.reason is None) or (reason or "") in (one.reason or "")


async def test_one_whose_last_run_died_says_so_and_one_that_is_paused_is_not_enabled(
    db: "Db",
) -> None:
    await declare(db, {NAME: Plan.of(Every(3600), tz="UTC")})
    await fire_due(db, [NAME], [])
    await db.execute("update schedule_ticks set state = 'dead'")
    await db.execute("update schedules set paused_at = now()")

    (one,) = await schedule_health(db)

    assert (one.is_enabled, one.last_state) == (False, "dead")
    assert (one.reason or "").startswith("its last run is dead: tick:")
