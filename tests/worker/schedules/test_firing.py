"""A tick becomes one run, in one transaction, whoever looks and however late."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from jobs.kit import Cron, Every, OnDemand, Schedule, discover
from tests.worker.schedules import scheduled_jobs
from worker.schedules import (
    GoingOnError,
    Plan,
    UnknownScheduleError,
    declare,
    pause,
    resume,
    run_now,
)
from worker.schedules.firing import fire_due, run_id_of
from worker.schedules.views import find_schedule

Db = asyncpg.Pool
NAME = scheduled_jobs.note_tick.name
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


def plan_of(schedule: Schedule) -> Plan:
    return Plan.of(schedule, tz="UTC")


@pytest.fixture
async def declared(db: Db) -> Callable[..., Awaitable[None]]:
    """Declares the schedule; `due` of its ticks are waiting, the newest one was due just now."""

    async def make(schedule: Schedule, *, due: timedelta | None = None) -> None:
        await declare(db, {NAME: plan_of(schedule)})
        if due is not None:
            await db.execute(
                "update schedules set anchor_at = anchor_at - $2::interval,"
                " next_due_at = anchor_at - $2::interval where name = $1",
                NAME,
                due,
            )

    return make


async def fire(db: Db, *names: str) -> int:
    return await fire_due(db, names or [NAME], [])


async def ticks(db: Db) -> list[asyncpg.Record]:
    return await db.fetch("select * from schedule_ticks order by tick_id")


async def outbox(db: Db) -> list[str]:
    return [row["run_id"] for row in await db.fetch("select * from outbox order by outbox_id")]


async def finish_runs(db: Db) -> None:
    """As the ledger does, when their ends come."""
    await db.execute("delete from outbox")


async def row(db: Db) -> asyncpg.Record:
    found = await db.fetchrow("select * from schedules where name = $1", NAME)
    assert found is not None
    return found


async def test_an_interval_that_is_new_begins_at_once(
    db: Db, declared: Callable[..., Awaitable[None]]
) -> None:
    await declared(Every(3600))

    assert await fire(db) == 1

    (tick,) = await ticks(db)
    schedule = await row(db)
    assert await outbox(db) == [tick["run_id"]] == [run_id_of(NAME, tick["due_at"])]
    assert schedule["next_due_at"] == tick["due_at"] + timedelta(hours=1)
    assert await fire(db) == 0


async def test_a_crontab_line_waits_until_it_is_time(
    db: Db, declared: Callable[..., Awaitable[None]]
) -> None:
    await declared(Cron("0 8 1 1 *"))

    assert await fire(db) == 0
    assert (await row(db))["next_due_at"] > datetime.now(UTC)


async def test_twenty_who_look_at_once_fire_it_once(
    db: Db, declared: Callable[..., Awaitable[None]]
) -> None:
    await declared(Every(3600))

    await asyncio.gather(*(fire(db) for _ in range(20)))

    assert len(await ticks(db)) == len(await outbox(db)) == 1


async def test_the_run_carries_when_it_was_due_however_late(
    db: Db, declared: Callable[..., Awaitable[None]]
) -> None:
    await declared(Every(3600), due=timedelta(minutes=30))

    await fire(db)

    (tick,) = await ticks(db)
    message = await db.fetchval("select convert_from(message, 'UTF8') from outbox")
    due_at = tick["due_at"].isoformat().replace("+00:00", "Z")
    assert f'"due_at":"{due_at}"' in message
    assert tick["fired_at"] - tick["due_at"] > timedelta(minutes=29)


@pytest.mark.parametrize(
    ("schedule", "fired", "missed"),
    [
        (Every(60), 1, 10),
        (Every(60, catch_up="all"), 11, 0),
        (Every(60, catch_up="all", window=270), 5, 6),
        (Every(300, catch_up="skip"), 1, 2),
    ],
)
async def test_what_was_due_meanwhile_is_caught_up_as_its_schedule_says(
    db: Db,
    declared: Callable[..., Awaitable[None]],
    schedule: Schedule,
    fired: int,
    missed: int,
) -> None:
    await declared(schedule, due=10 * MINUTE)

    while await fire(db):
        await finish_runs(db)

    due = [tick["due_at"] for tick in await ticks(db)]
    assert len(due) == fired
    assert due == sorted(set(due))
    assert (await row(db))["missed"] == missed


async def test_nothing_that_is_old_fires_where_that_is_skipped(
    db: Db, declared: Callable[..., Awaitable[None]]
) -> None:
    await declared(Every(3600, catch_up="skip"), due=10 * MINUTE)

    await fire(db)

    assert await ticks(db) == []
    assert (await row(db))["missed"] == 1


async def test_a_tick_waits_while_the_run_before_goes_on(
    db: Db, declared: Callable[..., Awaitable[None]]
) -> None:
    await declared(Every(60, catch_up="all"), due=2 * MINUTE)
    await fire(db)

    assert await fire(db) == 0

    await finish_runs(db)
    assert await fire(db) == 1


async def test_unless_runs_of_this_schedule_may_overlap(
    db: Db, declared: Callable[..., Awaitable[None]]
) -> None:
    await declared(Every(60, catch_up="all", overlaps=True), due=2 * MINUTE)

    assert [await fire(db) for _ in range(4)] == [1, 1, 1, 0]


async def test_a_run_that_redis_lost_for_good_holds_up_nothing(
    db: Db, declared: Callable[..., Awaitable[None]]
) -> None:
    await declared(Every(60, catch_up="all"), due=2 * MINUTE)
    await fire(db)
    await db.execute("update outbox set epoch = 'gone', missing_at = now()")

    assert await fire(db) == 1


async def test_what_ends_with_the_transaction_did_not_fire(
    db: Db, declared: Callable[..., Awaitable[None]]
) -> None:
    await declared(Every(3600))

    async with db.acquire() as connection, connection.transaction():
        await run_now(connection, NAME, by="ada")
        ids = await connection.fetch("select run_id from outbox")
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with connection.transaction():
                await connection.execute("select 1 / 0")
        assert len(ids) == 1
    async with db.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("delete from outbox")
        await run_now(connection, NAME, by="ada")
        await transaction.rollback()

    assert len(await ticks(db)) == len(await outbox(db)) == 1


async def test_whoever_asks_for_a_run_while_one_goes_on_is_told_which(
    db: Db, declared: Callable[..., Awaitable[None]]
) -> None:
    await declared(OnDemand())
    async with db.acquire() as connection, connection.transaction():
        first = await run_now(connection, NAME, by="ada")

    with pytest.raises(GoingOnError) as refused:
        async with db.acquire() as connection, connection.transaction():
            await run_now(connection, NAME, by="bob")

    assert refused.value.run_id == first.run_id
    await finish_runs(db)
    async with db.acquire() as connection, connection.transaction():
        second = await run_now(connection, NAME, by="bob")
    assert [tick["fired_by"] for tick in await ticks(db)] == ["ada", "bob"]
    assert await outbox(db) == [second.run_id]


async def test_many_who_ask_at_once_get_one_run(
    db: Db, declared: Callable[..., Awaitable[None]]
) -> None:
    await declared(OnDemand())

    async def ask() -> str | None:
        try:
            async with db.acquire() as connection, connection.transaction():
                return (await run_now(connection, NAME, by="ada")).run_id
        except GoingOnError:
            return None

    told = await asyncio.gather(*(ask() for _ in range(10)))

    assert len([run_id for run_id in told if run_id]) == len(await outbox(db)) == 1


async def test_a_run_by_hand_takes_no_tick_away(
    db: Db, declared: Callable[..., Awaitable[None]]
) -> None:
    await declared(Every(3600), due=MINUTE)
    async with db.acquire() as connection, connection.transaction():
        await run_now(connection, NAME, by="ada")
    await finish_runs(db)

    await fire(db)

    assert [tick["is_by_hand"] for tick in await ticks(db)] == [True, False]


async def test_what_is_paused_does_not_fire_and_goes_on_with_the_next_tick(
    db: Db, declared: Callable[..., Awaitable[None]]
) -> None:
    await declared(Every(3600), due=MINUTE)
    async with db.acquire() as connection:
        await pause(connection, NAME, by="ada")
        assert await fire(db) == 0

        assert await resume(connection, NAME)
        assert not await resume(connection, NAME)

    assert await fire(db) == 0
    assert (await row(db))["next_due_at"] > datetime.now(UTC)


async def test_a_schedule_that_nobody_knows_is_told_by_name(db: Db) -> None:
    async with db.acquire() as connection, connection.transaction():
        with pytest.raises(UnknownScheduleError, match=r"there is no schedule 'beat\.none'"):
            await run_now(connection, "beat.none", by="ada")


async def test_a_new_line_counts_from_now_on_and_what_is_due_stays_due(
    db: Db, declared: Callable[..., Awaitable[None]]
) -> None:
    await declared(Every(3600), due=MINUTE)

    await declare(db, {NAME: plan_of(Cron("0 8 1 1 *"))})
    assert await fire(db) == 1

    schedule = await row(db)
    assert schedule["line"] == "0 8 1 1 *"
    assert schedule["next_due_at"].month == 1


async def test_of_two_versions_the_one_that_started_last_has_its_way(db: Db) -> None:
    old, new = {NAME: plan_of(Cron("0 10 * * *"))}, {NAME: plan_of(Cron("0 9 * * *"))}
    begun = datetime.now(UTC)
    await declare(db, old, since=begun - DAY)
    await declare(db, new, since=begun)

    await declare(db, old, since=begun - DAY)

    assert (await row(db))["line"] == "0 9 * * *"


async def test_a_process_that_fires_none_adds_what_is_missing_and_changes_nothing(db: Db) -> None:
    other = scheduled_jobs.export_all.name
    await declare(db, {NAME: plan_of(Cron("0 9 * * *"))})

    await declare(db, {NAME: plan_of(Cron("0 5 * * *")), other: plan_of(OnDemand())}, only_new=True)

    lines = await db.fetch("select name, line from schedules order by name")
    assert [tuple(one) for one in lines] == [(other, "off"), (NAME, "0 9 * * *")]


async def test_unless_nobody_has_said_so_for_minutes(db: Db) -> None:
    old, new = {NAME: plan_of(Cron("0 10 * * *"))}, {NAME: plan_of(Cron("0 9 * * *"))}
    begun = datetime.now(UTC)
    await declare(db, new, since=begun)
    await db.execute("update schedules set said_at = now() - interval '4 minutes'")

    await declare(db, old, since=begun - DAY)

    assert (await row(db))["line"] == "0 10 * * *"


async def test_a_tick_of_new_times_that_nobody_could_fire_meanwhile_is_not_lost(db: Db) -> None:
    now = datetime.now(UTC)
    just = now - timedelta(seconds=70)
    await declare(db, {NAME: plan_of(Cron("0 0 1 1 *"))}, since=now - DAY)
    await db.execute("update schedules set anchor_at = now() - interval '30 days'")

    await declare(db, {NAME: plan_of(Cron(f"{just.minute} {just.hour} * * *"))}, since=now)
    await fire(db)

    (tick,) = await ticks(db)
    assert tick["due_at"] == just.replace(second=0, microsecond=0)


async def test_but_one_that_fired_does_not_fire_again(db: Db) -> None:
    now = datetime.now(UTC)
    just = now - timedelta(seconds=70)
    line = f"{just.minute} {just.hour} * *"
    await declare(db, {NAME: plan_of(Cron(f"{line} *"))}, since=now - DAY)
    due_at = just.replace(second=0, microsecond=0)
    await db.execute("update schedules set next_due_at = $1, anchor_at = $1", due_at)
    await fire(db)
    await finish_runs(db)

    await declare(db, {NAME: plan_of(Cron(f"{line} 0-6"))}, since=now)
    await fire(db)

    assert [tick["due_at"] for tick in await ticks(db)] == [due_at]
    assert (await row(db))["next_due_at"] > now


async def test_what_an_operator_switched_off_does_not_fire(
    db: Db, declared: Callable[..., Awaitable[None]]
) -> None:
    await declared(Every(3600), due=MINUTE)

    await declare(db, {NAME: plan_of(OnDemand())})

    assert await fire(db) == 0
    assert (await row(db))["next_due_at"] is None


async def test_said_again_a_schedule_stays_as_it_is(
    db: Db, declared: Callable[..., Awaitable[None]]
) -> None:
    await declared(Every(3600))
    await fire(db)
    before = dict(await row(db))

    await asyncio.gather(*(declare(db, {NAME: plan_of(Every(3600))}) for _ in range(5)))

    after = dict(await row(db))
    said = dict.fromkeys(("seen_at", "said_at", "said_since"))
    assert after | said == before | said


async def test_one_that_cannot_fire_holds_up_no_other(db: Db) -> None:
    other = scheduled_jobs.export_all.name
    await declare(db, {NAME: plan_of(Every(3600)), other: plan_of(Every(3600))})
    await db.execute("update schedules set job = 'beat.gone' where name = $1", NAME)

    await fire(db, NAME, other)

    schedule = await row(db)
    assert [tick["schedule"] for tick in await ticks(db)] == [other]
    assert "no job is called 'beat.gone'" in schedule["error"]
    assert await fire(db, NAME) == 0
    await db.execute("update schedules set job = name, retry_at = now()")
    assert await fire(db, NAME) == 1
    assert (await row(db))["error"] is None


@pytest.mark.parametrize(
    "change", ["line = '99 * * * *'", "line = 'every soon'", "line = ''", "tz = 'Mars/Olympus'"]
)
async def test_one_that_somebody_broke_in_the_table_says_so_and_holds_up_no_other(
    db: Db, change: str
) -> None:
    other = scheduled_jobs.export_all.name
    await declare(db, {NAME: plan_of(Cron("* * * * *")), other: plan_of(Every(3600))})
    await db.execute(
        f"update schedules set next_due_at = now(), {change} where name = $1",  # noqa: S608 - words of this file
        NAME,
    )

    await fire(db, NAME, other)

    assert [tick["schedule"] for tick in await ticks(db)] == [other]
    assert (await row(db))["error"]
    shown = await find_schedule(db, NAME)
    assert shown is not None
    assert len(shown.next_ticks(3)) == 1


async def test_only_the_newest_hundred_ticks_are_kept(
    db: Db, declared: Callable[..., Awaitable[None]]
) -> None:
    await declared(Every(60, catch_up="all", overlaps=True), due=120 * MINUTE)

    while await fire(db):
        pass

    assert len(await ticks(db)) == 100
    assert (await row(db))["fired"] == 121


def test_a_scheduled_job_has_one_run_at_a_time_also_when_it_is_enqueued_by_hand() -> None:
    payload = scheduled_jobs.note_tick.validate({"due_at": datetime.now(UTC).isoformat()})

    assert scheduled_jobs.note_tick.words_of(payload) == [f"k1/{NAME}:schedule"]
    assert discover()[NAME] is scheduled_jobs.note_tick
