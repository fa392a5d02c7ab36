"""Acceptance rows Q-11, Q-12 and Q-21: what stays, what goes, by whom."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest

from tests.worker.conftest import until
from tests.worker.ledger.records import attempt
from worker.background import cancel
from worker.clock import utc_now
from worker.ending import State
from worker.ledger import write_attempts, write_dead_letters
from worker.records import AttemptRecord, DeadRecord
from worker.retention import Gone, Keep, Retention, prune

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
DAY = timedelta(days=1)
KEEP = Keep(completed=3, failed=2, age=30 * DAY)


def record(run_id: str, at: datetime, state: State, **changes: Any) -> AttemptRecord:
    changes.setdefault("reason", "rejected" if state is State.DEAD else None)
    times: dict[str, Any] = dict.fromkeys(("enqueued_at", "started_at", "ended_at"), at)
    return attempt(run_id, state=state, **times, **changes)


async def write(db: Db, *records: AttemptRecord) -> None:
    """History as the ledger writes it, with a dead letter for each dead run."""
    entries = [(f"{one.run_id}-{one.started_at}", one.to_bytes()) for one in records]
    await write_attempts(db, entries)
    for one in records:
        if one.state is State.DEAD:
            letter = DeadRecord(last=one, payload={"x": 1}, raw=None)
            await write_dead_letters(db, [(one.run_id, letter.to_bytes())])


async def of_queue(
    db: Db, state: State, number: int, *, queue: str = "email", age: timedelta = DAY
) -> None:
    """So many runs, a minute apart; the one numbered highest is the newest."""
    newest = utc_now() - age
    await write(
        db,
        *(
            record(
                f"{queue}-{state}-{n}",
                newest - timedelta(minutes=number - n),
                state,
                queue=queue,
                error_message="no",
                traceback="stack",
            )
            for n in range(1, number + 1)
        ),
    )


async def pruned(db: Db, keep: Keep = KEEP, **options: Any) -> list[Gone]:
    async with db.acquire() as connection:
        return await prune(connection, keep, **options)


Left = Callable[[str], Awaitable[set[str]]]


@pytest.fixture
def left(db: Db) -> Left:
    """The run ids that a table still has."""

    async def left(table: str) -> set[str]:
        rows = await db.fetch(f"select run_id from {table}")  # noqa: S608 - the test's own words
        return {row["run_id"] for row in rows}

    return left


# By number


async def test_each_queue_keeps_its_newest_completed_runs(db: Db, left: Left) -> None:
    await of_queue(db, State.SUCCEEDED, 5)
    await of_queue(db, State.SUCCEEDED, 4, queue="default")

    gone = await pruned(db)

    kept = {f"email-succeeded-{n}" for n in (3, 4, 5)}
    kept |= {f"default-succeeded-{n}" for n in (2, 3, 4)}
    assert await left("job_runs") == await left("job_attempts") == kept
    assert gone == [
        Gone(queue="default", kind="completed runs", rows=1, attempts=1),
        Gone(queue="email", kind="completed runs", rows=2, attempts=2),
    ]


async def test_cancelled_and_expired_runs_count_as_completed(db: Db, left: Left) -> None:
    await of_queue(db, State.SUCCEEDED, 2, age=2 * DAY)
    await of_queue(db, State.CANCELLED, 1)
    await of_queue(db, State.EXPIRED, 1)

    await pruned(db)

    kept = {"email-succeeded-2", "email-cancelled-1", "email-expired-1"}
    assert await left("job_runs") == kept


async def test_each_queue_keeps_its_newest_dead_runs_with_error_stack_and_letter(
    db: Db, left: Left
) -> None:
    await of_queue(db, State.DEAD, 4)
    await of_queue(db, State.SUCCEEDED, 3)

    await pruned(db)

    dead = {"email-dead-3", "email-dead-4"}
    assert await left("dead_letters") == dead
    assert {run_id for run_id in await left("job_runs") if "dead" in run_id} == dead
    rows = await db.fetch("select * from job_attempts where outcome = 'dead'")
    assert {(row["run_id"], row["error_message"], row["traceback"]) for row in rows} == {
        (run_id, "no", "stack") for run_id in dead
    }


async def test_runs_that_ended_at_the_same_instant_are_told_apart(db: Db, left: Left) -> None:
    at = utc_now() - DAY
    await write(db, *(record(f"run{n}", at, State.SUCCEEDED) for n in range(9)))

    await pruned(db)

    assert await left("job_runs") == {"run6", "run7", "run8"}


async def test_all_attempts_of_a_run_go_with_it(db: Db, left: Left) -> None:
    at = utc_now() - DAY
    minute = timedelta(minutes=1)
    many = [record("a", at + n * minute, State.SNOOZED) for n in range(50)]
    await write(db, *many, record("a", at + 50 * minute, State.SUCCEEDED))

    gone = await pruned(db, Keep(completed=0, failed=0, age=30 * DAY))

    assert gone == [Gone(queue="default", kind="completed runs", rows=1, attempts=51)]
    assert await left("job_attempts") == set()


@pytest.mark.parametrize("page", [1, 2, 7])
async def test_the_size_of_a_page_changes_nothing(
    db: Db, left: Left, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.retention.queries._ROWS", page)
    await of_queue(db, State.SUCCEEDED, 10)
    await of_queue(db, State.RETRYING, 10, age=31 * DAY)

    await pruned(db)

    kept = {f"email-succeeded-{n}" for n in (8, 9, 10)}
    assert await left("job_runs") == await left("job_attempts") == kept


async def test_a_run_that_somebody_writes_is_left_to_the_next_pass(db: Db, left: Left) -> None:
    await of_queue(db, State.SUCCEEDED, 5)
    async with db.acquire() as writer, writer.transaction():
        await writer.execute("select from job_runs where run_id = 'email-succeeded-1' for update")
        await pruned(db)
        assert "email-succeeded-1" in await left("job_attempts")

    await pruned(db)

    assert await left("job_runs") == {f"email-succeeded-{n}" for n in (3, 4, 5)}


# By age


@pytest.mark.parametrize("state", list(State))
async def test_whatever_is_too_old_goes(db: Db, left: Left, state: State) -> None:
    await of_queue(db, state, 1, age=31 * DAY)
    await of_queue(db, state, 1, age=29 * DAY, queue="default")

    await pruned(db)

    assert await left("job_runs") == await left("job_attempts") == {f"default-{state}-1"}
    assert await left("dead_letters") == ({"default-dead-1"} if state is State.DEAD else set())


async def test_old_attempts_of_a_run_that_goes_on_are_forgotten(db: Db) -> None:
    now = utc_now()
    old, new = record("a", now - 31 * DAY, State.SNOOZED), record("a", now - DAY, State.SNOOZED)
    await write(db, old, new)

    expected = [Gone(queue=None, kind="attempts of unfinished runs", rows=1)]
    assert await pruned(db, is_dry_run=True) == expected
    assert await pruned(db) == expected

    assert await db.fetchval("select count(*) from job_runs") == 1
    assert await db.fetchval("select started_at from job_attempts") == new.started_at


@pytest.mark.parametrize("status", ["replayed", "discarded"])
async def test_a_handled_letter_goes_by_the_age_of_its_handling(
    db: Db, left: Left, status: str
) -> None:
    await of_queue(db, State.DEAD, 5)
    for run, days in {"email-dead-1": 29, "email-dead-2": 31}.items():
        await db.execute(
            "update dead_letters set status = $1, handled_at = $2 where run_id = $3",
            status,
            utc_now() - days * DAY,
            run,
        )

    await pruned(db)

    assert await left("dead_letters") == {"email-dead-1", "email-dead-4", "email-dead-5"}


async def test_attempts_stay_as_long_as_a_waiting_letter_tells_of_them(db: Db) -> None:
    at = utc_now() - DAY
    died = record("a", at, State.DEAD, error_message="no")
    # Enqueued again under the same id, and done this time.
    await write(db, died, record("a", at + timedelta(hours=1), State.SUCCEEDED))

    await pruned(db, Keep(completed=0, failed=1, age=30 * DAY))

    assert await db.fetchval("select count(*) from job_runs") == 0
    assert "no" in {row[0] for row in await db.fetch("select error_message from job_attempts")}


# On demand


async def test_old_events_of_providers_are_forgotten(db: Db) -> None:
    await db.executemany(
        "insert into delivery_events (provider, event_id, received_at) values ('twilio', $1, $2)",
        [("old", utc_now() - 31 * DAY), ("new", utc_now() - 29 * DAY)],
    )

    expected = [Gone(queue=None, kind="events of providers", rows=1)]
    assert await pruned(db, is_dry_run=True) == expected
    assert await pruned(db) == expected

    assert await db.fetchval("select event_id from delivery_events") == "new"


async def test_one_queue_alone_can_be_pruned(db: Db, left: Left) -> None:
    await of_queue(db, State.SUCCEEDED, 5)
    await of_queue(db, State.SUCCEEDED, 5, queue="default")

    gone = await pruned(db, queue="email")

    assert [(one.queue, one.rows) for one in gone] == [("email", 2)]
    assert len(await left("job_runs")) == 8


async def test_a_dry_run_says_what_would_go_and_takes_nothing(db: Db, left: Left) -> None:
    for state in State:
        await of_queue(db, state, 5)
        await of_queue(db, state, 5, queue="default", age=40 * DAY)
    before = await left("job_runs"), await left("job_attempts"), await left("dead_letters")

    would = await pruned(db, is_dry_run=True)

    assert before == (
        await left("job_runs"),
        await left("job_attempts"),
        await left("dead_letters"),
    )
    assert would == [replace(one, attempts=0) for one in await pruned(db)]


# By itself


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.retention.chore._EVERY", 0.02)


async def test_it_happens_by_itself(db: Db, left: Left, hurried: None) -> None:
    await of_queue(db, State.SUCCEEDED, 5)
    task = asyncio.create_task(Retention(db, KEEP).run())

    await until(lambda: is_small(left))

    await cancel([task])


async def is_small(left: Left) -> bool:
    return len(await left("job_runs")) == 3


async def test_one_worker_at_a_time_does_it(db: Db, left: Left) -> None:
    await of_queue(db, State.SUCCEEDED, 5)
    swept: list[str] = []
    inner = Retention(db, KEEP, sweeps=[lambda: note(swept, "inner")])

    async def sweep() -> None:
        assert await inner.step() == []
        swept.append("outer")

    gone = await Retention(db, KEEP, sweeps=[sweep]).step()

    assert swept == ["outer"]
    assert [one.rows for one in gone] == [2]
    assert await inner.step() == []
    assert swept == ["outer", "inner"]


async def note(notes: list[str], text: str) -> None:
    notes.append(text)


async def test_a_sweep_that_fails_keeps_nothing_else_from_being_done(db: Db, left: Left) -> None:
    await of_queue(db, State.SUCCEEDED, 5)
    swept: list[str] = []

    async def fail() -> None:
        raise ConnectionError("away")

    await Retention(db, KEEP, sweeps=[fail, lambda: note(swept, "second")]).step()

    assert swept == ["second"]
    assert await is_small(left)


async def test_trouble_is_waited_out(db: Db, left: Left, hurried: None) -> None:
    await of_queue(db, State.SUCCEEDED, 5)
    await db.execute("alter table job_attempts rename to elsewhere")
    task = asyncio.create_task(Retention(db, KEEP).run())
    await asyncio.sleep(0.2)
    assert not task.done()

    await db.execute("alter table elsewhere rename to job_attempts")

    await until(lambda: is_small(left))
    await cancel([task])
