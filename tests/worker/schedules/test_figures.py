"""What the metrics say of schedules comes from PostgreSQL, and no restart sets it to zero."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from jobs.kit import Cron, Every, OnDemand
from tests.conftest import Tenant
from tests.worker.conftest import StartWorker, until
from tests.worker.schedules import scheduled_jobs
from worker.engine.worker import Worker
from worker.schedules import Plan, declare, pause, reports
from worker.schedules.figures import CronRefresh, read_figures
from worker.schedules.firing import fire_due
from worker.telemetry.metrics import Metrics

Db = asyncpg.Pool
NAME, OTHER = scheduled_jobs.note_tick.name, scheduled_jobs.export_all.name
DAY = timedelta(days=1)
ERRORS = "worker_metrics_collect_errors_total"


def value(body: bytes, name: str, *labels: str) -> float | None:
    for family in parse(body.decode()):
        for sample in family.samples:
            if sample.name == name and tuple(sample.labels.values()) == labels:
                return sample.value
    return None


async def test_a_schedule_says_when_it_ran_and_when_it_will(db: Db) -> None:
    plans = {NAME: Plan.of(Every(600), tz="UTC"), OTHER: Plan.of(OnDemand(), tz="UTC")}
    await declare(db, plans)
    await fire_due(db, list(plans), [])
    await db.execute(
        "update schedules set succeeded = 5, failed = 2, missed = 3, last_success_at = now()"
        " where name = $1",
        NAME,
    )

    by_hand, ticking, others = await read_figures(db, list(plans))

    tick = await db.fetchrow("select * from schedule_ticks")
    assert tick is not None
    assert (ticking.cron, ticking.enabled, ticking.interval) == (NAME, 1, timedelta(minutes=10))
    assert (ticking.succeeded, ticking.failed, ticking.missed) == (5, 2, 3)
    assert ticking.last_run_at == tick["fired_at"]
    assert ticking.next_run_at == tick["due_at"] + timedelta(minutes=10)
    assert (by_hand.cron, by_hand.enabled, by_hand.interval) == (OTHER, 0, None)
    assert (others.cron, others.enabled, others.last_run_at) == ("_report", 0, None)


@pytest.mark.parametrize(
    ("line", "longest"),
    [
        ("0 9 * * 1-5", 3 * DAY),
        ("*/5 * * * *", DAY / 288),
        ("0 9 * * *", DAY),
        ("99 * * * *", None),
    ],
)
async def test_the_interval_of_a_line_is_the_longest_one_has_to_wait(
    db: Db, line: str, longest: timedelta | None
) -> None:
    await declare(db, {NAME: Plan.of(Cron("0 9 * * *"), tz="UTC")})
    await db.execute("update schedules set line = $1", line)

    one, _ = await read_figures(db, [NAME])

    assert one.interval == longest


async def test_one_that_is_paused_is_due_at_no_time(db: Db) -> None:
    await declare(db, {NAME: Plan.of(Every(600), tz="UTC")})
    async with db.acquire() as connection:
        await pause(connection, NAME, by="ada")

    one, _ = await read_figures(db, [NAME])

    assert (one.enabled, one.next_run_at) == (0, None)


async def test_those_of_people_are_told_together_and_without_their_names(
    db: Db, tenant: Tenant
) -> None:
    for number in range(3):
        wanted = reports.Wanted(
            name=f"Report {number}",
            report_type="opportunities",
            format="csv",
            language="en",
            period="day",
            recipients=["ayse@ours.example"],
            line=f"{number} 9 * * *",
            tz="UTC",
        )
        async with db.acquire() as connection, connection.transaction():
            await reports.create(connection, tenant.tenant_id, wanted)
    await db.execute("update schedules set succeeded = 4, missed = 1, next_due_at = now()")
    await fire_due(db, [], [reports.JOB])

    (one,) = await read_figures(db, [])

    assert (one.cron, one.enabled, one.succeeded, one.missed) == ("_report", 3, 12, 3)
    newest, soonest = await asyncio.gather(
        db.fetchval("select max(fired_at) from schedule_ticks"),
        db.fetchval("select min(next_due_at) from schedules"),
    )
    assert (one.last_run_at, one.next_run_at) == (newest, soonest)


async def test_a_schedule_that_this_version_does_not_know_makes_no_series(db: Db) -> None:
    await declare(db, {OTHER: Plan.of(Every(600), tz="UTC")})

    assert [one.cron for one in await read_figures(db, [NAME])] == ["_report"]


async def test_a_failure_is_counted_and_what_was_told_before_stays(db: Db) -> None:
    metrics = Metrics((), version="1")
    refresh = CronRefresh(metrics)
    await refresh()  # there is no PostgreSQL yet
    refresh.db, refresh.names = db, [NAME]
    await declare(db, {NAME: Plan.of(Every(600), tz="UTC")})
    await refresh()
    await db.execute("alter table schedules rename to elsewhere")

    await refresh()

    body, _ = metrics.render(None)
    assert value(body, ERRORS, "schedules") == 1
    assert value(body, "worker_cron_interval_seconds", NAME) == 600


async def exposed(worker: Worker) -> bytes:
    body, _ = await worker.ctx["runtime"].sidecar.exposition(None)
    return bytes(body)


async def test_a_worker_that_starts_anew_goes_on_counting(
    db: Db, start_worker: StartWorker
) -> None:
    await db.execute(scheduled_jobs.CREATE)
    await start_worker(scheduler=True)

    async def has_run() -> bool:
        return bool(await db.fetchval("select succeeded from schedules where name = $1", NAME))

    await until(has_run)
    body = await exposed(await start_worker())

    assert (value(body, "worker_cron_runs_total", NAME, "success") or 0) >= 1
    assert value(body, "worker_cron_interval_seconds", NAME) == 1
    assert value(body, "worker_cron_enabled", NAME) == 1
    assert value(body, ERRORS, "schedules") == 0
