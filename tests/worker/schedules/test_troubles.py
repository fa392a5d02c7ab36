"""What is wrong with one schedule, or one worker, holds up no other."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from jobs.kit import Cron, Every, Schedule
from tests.worker.conftest import until
from tests.worker.schedules import scheduled_jobs
from worker.ending import State
from worker.ledger.ticks import write_ticks
from worker.records import AttemptRecord
from worker.schedules import Plan, Scheduler, declare, reports
from worker.schedules.firing import fire_due
from worker.schedules.views import list_schedules

Db = asyncpg.Pool
NAME, OTHER = scheduled_jobs.note_tick.name, scheduled_jobs.export_all.name
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def plans(*names: str, schedule: Schedule | None = None) -> dict[str, Plan]:
    return {name: Plan.of(schedule or Every(3600), tz="UTC") for name in names}


async def ticks(db: Db, name: str) -> list[asyncpg.Record]:
    return await db.fetch("select * from schedule_ticks where schedule = $1 order by tick_id", name)


async def row(db: Db, name: str = NAME) -> asyncpg.Record:
    found = await db.fetchrow("select * from schedules where name = $1", name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("line", "99 * * * *"),
        ("line", "every 0"),
        ("line", "every -5"),
        ("line", "every 99999999999999999"),
        ("line", "sometimes"),
        ("line", ""),
        ("tz", "Mars/Olympus"),
        ("payload", '["no", "mapping"]'),
        ("payload", '{"seconds": "many"}'),
        ("job", "beat.gone"),
    ],
)
async def test_what_somebody_wrote_into_a_row_holds_up_no_other(
    db: Db, column: str, value: str
) -> None:
    await declare(db, plans(NAME, OTHER, schedule=Cron("* * * * *")))
    await db.execute(
        f"update schedules set {column} = ($1::text)::{'jsonb' if column == 'payload' else 'text'}"  # noqa: S608 - own words
        " where name = $2",
        value,
        NAME,
    )
    await db.execute("update schedules set next_due_at = now() - interval '1 minute'")

    await fire_due(db, [NAME, OTHER], [])

    assert len(await ticks(db, OTHER)) == 1
    assert await ticks(db, NAME) == []
    broken = await row(db)
    assert broken["error"]
    assert broken["retry_at"] > broken["next_due_at"]
    assert {one.name for one in await list_schedules(db)} == {NAME, OTHER}
    assert all(one.words is not None and one.next_ticks(3) for one in await list_schedules(db))
    await declare(db, plans(NAME, OTHER))
    assert (await row(db))["line"] == "every 3600"


async def test_what_fired_while_somebody_waited_to_declare_it_is_not_due_again(db: Db) -> None:
    await declare(db, plans(NAME, schedule=Every(1)))
    async with db.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("select from schedules where name = $1 for update", NAME)
        declaring = asyncio.create_task(declare(db, plans(NAME, schedule=Every(1))))
        await asyncio.sleep(1.2)
        await connection.execute(
            "update schedules set next_due_at = date_trunc('second', clock_timestamp()) + $2"
            " where name = $1",
            NAME,
            timedelta(seconds=1),
        )
        fired_until = await connection.fetchval("select next_due_at from schedules")
        await transaction.commit()

    await declaring

    assert (await row(db))["next_due_at"] >= fired_until


async def test_one_that_somebody_holds_is_declared_later_and_the_others_fire(db: Db) -> None:
    await declare(db, plans(NAME, OTHER))
    scheduler = Scheduler(db, plans(NAME, OTHER))
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("select from schedules where name = $1 for update", NAME)

        await asyncio.wait_for(scheduler.step(), 8)

        assert len(await ticks(db, OTHER)) == 1
        assert await ticks(db, NAME) == []
    await scheduler.step()
    assert len(await ticks(db, NAME)) == 1


@pytest.mark.timeout(30)
async def test_a_worker_that_is_frozen_while_it_declares_gives_the_lock_back(
    db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def freeze(*_: object) -> Mapping[str, Any]:
        await asyncio.sleep(3600)
        return {}

    with monkeypatch.context() as frozen:
        frozen.setattr("worker.schedules.queries.of_names", freeze)
        stuck = asyncio.create_task(declare(db, plans(NAME)))
        await until(
            lambda: db.fetchval("select pid from pg_locks where locktype = 'advisory' limit 1")
        )

    async def is_declared() -> bool:
        try:
            await declare(db, plans(NAME))
        except asyncpg.LockNotAvailableError:
            return False
        return True

    await until(is_declared)
    stuck.cancel()
    with pytest.raises((asyncio.CancelledError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await stuck


async def test_one_that_waits_for_its_run_makes_no_other_late(db: Db) -> None:
    await declare(db, plans(NAME, schedule=Every(1)))
    await fire_due(db, [NAME], [])
    scheduler = Scheduler(db, plans(NAME, OTHER, schedule=Every(1)))
    await scheduler.declare()
    await db.execute("update schedules set next_due_at = now() where name = $1", NAME)
    await db.execute(
        "update schedules set next_due_at = now() + interval '200 ms' where name = $1", OTHER
    )

    wait = await scheduler.step()

    assert 0 < wait <= 0.2


def record(state: State, ended_at: datetime, attempt: int = 1) -> bytes:
    return AttemptRecord(
        run_id="tick:one",
        job=NAME,
        queue="default",
        correlation_id="c",
        attempt=attempt,
        state=state,
        enqueued_at=ended_at - HOUR,
        started_at=ended_at - MINUTE,
        ended_at=ended_at,
        worker="w",
    ).to_bytes()


@pytest.mark.parametrize("together", [True, False])
async def test_a_worker_whose_clock_is_ahead_does_not_have_the_last_word(
    db: Db, *, together: bool
) -> None:
    await declare(db, plans(NAME))
    at: datetime = await db.fetchval("select now()")
    await db.execute("insert into schedule_ticks (schedule, due_at, fired_at, run_id)"
                     " values ($1, $2, $2, 'tick:one')", NAME, at)  # fmt: skip
    entries = [
        ("1-0", record(State.RETRYING, at + HOUR)),
        ("2-0", record(State.SUCCEEDED, at, attempt=2)),
        ("2-0", record(State.SUCCEEDED, at, attempt=2)),
    ]

    for some in [entries] if together else [[one] for one in entries]:
        await write_ticks(db, some)

    (tick,) = await ticks(db, NAME)
    schedule = await row(db)
    assert (tick["state"], tick["attempt"], tick["ended_at"]) == ("succeeded", 2, at)
    assert (schedule["succeeded"], schedule["failed"]) == (1, 0)


async def test_many_that_people_set_up_make_no_declared_one_late(db: Db) -> None:
    await db.execute(
        """
        insert into schedules (name, job, kind, payload, line, tz, catch_up, catch_up_window,
                               may_overlap, anchor_at, next_due_at)
        select 'report:' || id, $1, 'report',
               jsonb_build_object('tenant_id', id::text, 'report_schedule_id', id::text),
               '0 9 * * *', 'UTC', 'latest', '1 day', false, now(), now() - interval '1 minute'
          from (select gen_random_uuid() as id from generate_series(1, 50)) as made
        """,
        reports.JOB,
    )
    scheduler = Scheduler(db, plans(NAME), jobs=[reports.JOB])

    waits = [await scheduler.step()]

    assert len(await ticks(db, NAME)) == 1
    while not waits[-1]:
        waits.append(await scheduler.step())
    assert await db.fetchval("select count(*) from schedule_ticks") == 51
    assert waits[-1] > 1


async def test_two_versions_with_lines_of_their_own_fire_no_tick_twice(db: Db) -> None:
    versions = [
        Scheduler(db, plans(NAME, schedule=Every(seconds, overlaps=True))) for seconds in (1, 2)
    ]

    async def insist(version: Scheduler) -> None:
        for _ in range(40):
            await version.declare()
            await version.step()
            await asyncio.sleep(0.05)

    await asyncio.gather(*(insist(version) for version in versions))

    due = [tick["due_at"] for tick in await ticks(db, NAME)]
    anchor = (await row(db))["anchor_at"]
    assert len(due) >= 2
    assert due == sorted(set(due))
    assert {(at - anchor).total_seconds() % 1 for at in due} == {0}
    assert await db.fetchval("select count(*) from outbox") == len(due)


async def test_a_clock_of_postgresql_that_goes_back_has_nothing_fire_again(db: Db) -> None:
    await declare(db, plans(NAME, schedule=Every(1)))
    await fire_due(db, [NAME], [])
    for table, column in (("schedule_ticks", "due_at"), ("schedules", "next_due_at")):
        await db.execute(f"update {table} set {column} = {column} + interval '1 hour'")  # noqa: S608 - own words
    before = await row(db)

    await declare(db, plans(NAME, schedule=Every(1)))

    assert (await row(db))["next_due_at"] == before["next_due_at"]
