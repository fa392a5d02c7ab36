"""Schedules of a real worker, from the tick to what PostgreSQL remembers of its run."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import asyncpg
import pytest

from jobs.kit import all_jobs
from tests.conftest import MakeSettings
from tests.worker.conftest import StartWorker, until
from tests.worker.schedules import scheduled_jobs
from worker.dead_letters import list_dead_letters
from worker.enqueuer import Pool
from worker.schedules import Scheduler, declare, plans_of, run_now
from worker.schedules.cron_job import TickCronJob, cron_jobs
from worker.settings import SettingsError

Db = asyncpg.Pool
NOTE, NAP, FAIL, EXPORT = (
    one.name
    for one in (
        scheduled_jobs.note_tick,
        scheduled_jobs.nap_often,
        scheduled_jobs.fail_always,
        scheduled_jobs.export_all,
    )
)


@pytest.fixture
async def beats(db: Db) -> Db:
    await db.execute(scheduled_jobs.CREATE)
    return db


async def ticks(db: Db, name: str) -> list[asyncpg.Record]:
    return await db.fetch("select * from schedule_ticks where schedule = $1 order by due_at", name)


async def test_each_tick_is_one_run_with_the_instant_it_was_due(
    beats: Db, start_worker: StartWorker
) -> None:
    await start_worker(scheduler=True)

    async def five() -> list[asyncpg.Record]:
        ended = [tick for tick in await ticks(beats, NOTE) if tick["state"]]
        return ended if len(ended) >= 5 else []

    ended = await until(five)
    noted = await beats.fetch("select * from beats where job = $1 order by due_at", NOTE)
    due = [tick["due_at"] for tick in ended]
    assert [row["due_at"] for row in noted][: len(due)] == due
    assert {after - before for before, after in pairwise(due)} == {timedelta(seconds=1)}
    assert {(tick["state"], tick["result"]) for tick in ended} == {("succeeded", '{"noted": 1}')}
    assert max(tick["fired_at"] - tick["due_at"] for tick in ended[1:]) < timedelta(seconds=1)


async def test_a_run_that_takes_longer_than_its_interval_overlaps_with_none(
    beats: Db, start_worker: StartWorker
) -> None:
    await start_worker(scheduler=True)
    await start_worker(scheduler=True)

    async def two() -> list[asyncpg.Record]:
        ended = [tick for tick in await ticks(beats, NAP) if tick["state"]]
        return ended if len(ended) >= 2 else []

    first, second, *_ = await until(two)
    assert first["ended_at"] <= second["started_at"]
    assert second["missed"] >= 2


async def test_a_failed_run_is_counted_and_the_schedule_goes_on(
    beats: Db, start_worker: StartWorker
) -> None:
    await start_worker(scheduler=True)
    await until(lambda: ticks(beats, NOTE))
    for _ in range(2):
        await beats.execute("update schedules set next_due_at = now() where name = $1", FAIL)
        known = await ticks(beats, FAIL)

        async def one_more(before: int = len(known)) -> bool:
            now = await ticks(beats, FAIL)
            return len(now) > before and now[-1]["state"] == "dead"

        await until(one_more)

    schedule = await beats.fetchrow("select * from schedules where name = $1", FAIL)
    letters = await list_dead_letters(beats)
    assert schedule is not None
    assert (schedule["fired"], schedule["failed"], schedule["succeeded"]) == (2, 2, 0)
    assert {(tick["attempt"], tick["error_type"]) for tick in await ticks(beats, FAIL)} == {
        (2, "RuntimeError")
    }
    assert len({letter.run_id for letter in letters if letter.job == FAIL}) == 2


async def test_a_run_by_hand_and_one_that_is_enqueued_do_not_meet(
    beats: Db, start_worker: StartWorker, pool: Pool
) -> None:
    await start_worker(scheduler=True)
    await until(lambda: ticks(beats, NOTE))
    async with beats.acquire() as connection, connection.transaction():
        started = await run_now(connection, EXPORT, by="ada")

    async def is_begun() -> bool:
        return bool(await beats.fetchval("select 1 from beats where job = $1", EXPORT))

    await until(is_begun)
    job = await pool.enqueue_job(EXPORT, {"due_at": started.due_at.isoformat()})
    assert job is not None
    await job.result(timeout=10, poll_delay=0.05)

    first, second = await until(lambda: attempts(beats))
    assert first["run_id"] == started.run_id
    assert first["ended_at"] <= second["started_at"]


async def attempts(db: Db) -> list[asyncpg.Record]:
    rows = await db.fetch(
        "select job_attempts.* from job_attempts join job_runs using (run_id)"
        " where job = $1 order by job_attempts.started_at",
        EXPORT,
    )
    return rows if len(rows) == 2 else []


async def test_a_database_that_is_away_costs_no_tick(db: Db, make_settings: MakeSettings) -> None:
    plans = {NOTE: plans_of(make_settings())[NOTE]}
    away = Scheduler(db, plans)
    task = asyncio.create_task(away.run())
    await until(lambda: ticks(db, NOTE))
    await db.execute("alter table schedules rename to elsewhere")

    await asyncio.sleep(1.5)
    assert not task.done()
    await db.execute("alter table elsewhere rename to schedules")
    await db.execute("delete from outbox")

    async def one_more() -> bool:
        await db.execute("delete from outbox")
        return len(await ticks(db, NOTE)) > 1

    await until(one_more)
    task.cancel()
    assert away.status() is None


async def test_a_database_that_hangs_is_not_waited_for_for_long(
    db: Db, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even for the driver, which takes its time to give up."""
    monkeypatch.setattr("worker.schedules.scheduler._PATIENCE", 0.2)
    hanging = Scheduler(db, {NOTE: plans_of(make_settings())[NOTE]})
    is_free, steps = asyncio.Event(), 0

    async def step() -> float:
        nonlocal steps
        steps += 1
        while not is_free.is_set():
            with suppress(asyncio.CancelledError):
                await is_free.wait()
        return 0.05

    monkeypatch.setattr(hanging, "step", step)
    task = asyncio.create_task(hanging.run())
    await asyncio.sleep(1.5)

    assert steps == 1
    is_free.set()

    async def goes_on() -> bool:
        return steps > 3

    await until(goes_on)
    task.cancel()


def test_settings_say_otherwise_by_the_name_of_the_job(make_settings: MakeSettings) -> None:
    settings = make_settings(
        schedules={
            "SCHEDULE_BEAT_NOTE_TICK": "every 15m",
            "SCHEDULE_BEAT_NAP_OFTEN": "0 9 * * 1-5 Europe/Istanbul",
            "SCHEDULE_BEAT_FAIL_ALWAYS": "off",
        },
        timezone="Asia/Tokyo",
    )

    plans = plans_of(settings)

    assert (plans[NOTE].line, plans[NOTE].tz) == ("every 900", "Asia/Tokyo")
    assert (plans[NAP].line, plans[NAP].tz) == ("0 9 * * 1-5", "Europe/Istanbul")
    assert plans[FAIL].line == "off"


def test_a_setting_that_a_job_asks_for_says_when(make_settings: MakeSettings) -> None:
    plans = plans_of(make_settings(daily_brief_time="@hourly", timezone="Europe/Istanbul"))

    assert (plans[FAIL].line, plans[FAIL].tz) == ("0 * * * *", "Europe/Istanbul")


def test_wrong_ones_stop_the_start_with_a_line_each(make_settings: MakeSettings) -> None:
    wrong = {
        "SCHEDULE_BEAT_NOTE_TICK": "every 0s",
        "SCHEDULE_BEAT_NAP_OFTEN": "0 9 * * 1-5 Mars/Olympus",
        "SCHEDULE_BEAT_FAIL_ALWAY": "off",
        "SCHEDULE_BEAT_FAIL_ALWAYS": "99 * * * *",
    }

    with pytest.raises(SettingsError) as refused:
        plans_of(make_settings(schedules=wrong))

    assert sorted(problem.partition(":")[0] for problem in refused.value.problems) == sorted(wrong)
    assert "did you mean SCHEDULE_BEAT_FAIL_ALWAYS?" in str(refused.value)
    assert "SCHEDULE_BEAT_NAP_OFTEN: there is no such time zone" in str(refused.value)


def test_a_renamed_job_keeps_its_schedule(make_settings: MakeSettings) -> None:
    renamed = replace(scheduled_jobs.note_tick, name="beat.note", aliases=(NOTE,))

    plans = plans_of(make_settings(schedules={"SCHEDULE_BEAT_NOTE": "every 5m"}), [renamed])

    assert {name: plan.line for name, plan in plans.items()} == {NOTE: "every 300"}


def test_the_environment_names_them(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCHEDULE_BEAT_NOTE_TICK", "every 2m")

    assert plans_of(make_settings())[NOTE].line == "every 120"


async def test_arq_sees_them_as_cron_jobs_that_know_their_ticks(
    make_settings: MakeSettings, db: Db
) -> None:
    plans = plans_of(make_settings(daily_brief_time="30 2 * * *", timezone="America/New_York"))
    await declare(db, plans)

    seen = {one.name: one for one in cron_jobs(plans)}

    assert set(seen) == {f"cron:{one.name}" for one in all_jobs() if one.schedule}
    fails = seen[f"cron:{FAIL}"]
    assert isinstance(fails, TickCronJob)
    kept = await db.fetchrow("select * from schedules where name = $1", FAIL)
    assert kept is not None
    fails.calculate_next(kept["created_at"])
    assert fails.next_run == kept["next_due_at"]
