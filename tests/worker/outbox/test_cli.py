"""`deskhand outbox`, and what `deskhand prune` shows of it."""

import json
from typing import Protocol

import pytest

from tests.worker import testing_jobs
from tests.worker.outbox.conftest import Db, MakeRelay, Rows, running
from tests.worker.test_cli import in_process
from worker.enqueuer import Pool
from worker.outbox import enqueue_many_in
from worker.outbox.chore import OutboxChore

SHIP = testing_jobs.ship_order.name


class Deskhand(Protocol):
    async def __call__(self, *arguments: str) -> str: ...


@pytest.fixture
def deskhand(redis_url: str, database_url: str) -> Deskhand:
    async def call(*arguments: str) -> str:
        code, output = await in_process(*arguments, REDIS_URL=redis_url, DATABASE_URL=database_url)
        assert code == 0, output
        return output

    return call


async def promise(db: Db, *numbers: int) -> None:
    async with db.acquire() as connection, connection.transaction():
        await enqueue_many_in(connection, SHIP, [{"order_id": number} for number in numbers])


async def lose_the_ends(pool: Pool, db: Db, make_relay: MakeRelay, rows: Rows) -> None:
    """Runs are enqueued, go without an end, and somebody looks for them."""
    await promise(db, 1, 2, 3)
    async with running(make_relay()):
        await rows.until_enqueued()
    await pool.delete(f"arq:job:{SHIP}:1", f"arq:job:{SHIP}:2", "arq:queue:email")
    await db.execute("update outbox set look_at = now()")
    await OutboxChore(pool, db)()
    await db.execute("update outbox set missing_at = missing_at - interval '2 hours'")


async def test_it_counts_what_waits(db: Db, deskhand: Deskhand) -> None:
    await promise(db, 1, 2, 3)
    await db.execute("update outbox set look_at = now() + '1 day' where outbox_id = 1")
    await db.execute("update outbox set created_at = now() - interval '90 seconds'")

    told = json.loads(await deskhand("outbox", "--json"))

    assert {key: told[key] for key in ("waiting", "later", "enqueued", "failing", "missing")} == {
        "waiting": 2,
        "later": 1,
        "enqueued": 0,
        "failing": 0,
        "missing": 0,
    }
    assert 90 <= told["oldest"] < 150
    assert "the oldest for 0:01:3" in await deskhand("outbox")


async def test_it_names_what_cannot_be_enqueued_and_has_it_tried_at_once(
    db: Db, deskhand: Deskhand, rows: Rows
) -> None:
    await promise(db, 1)
    await db.execute("update outbox set error = 'no', tries = 9, look_at = now() + '1 hour'")

    assert f"email  {SHIP}  {SHIP}:1  no" in await deskhand("outbox")
    assert "1 to be enqueued again" in await deskhand("outbox", "--retry")

    row = await rows.one()
    assert (row["error"], row["tries"]) == (None, 0)


async def test_runs_that_are_gone_without_an_end_are_shown_and_enqueued_if_somebody_says_so(
    pool: Pool, db: Db, make_relay: MakeRelay, rows: Rows, deskhand: Deskhand
) -> None:
    await lose_the_ends(pool, db, make_relay, rows)
    told = await deskhand("outbox")
    assert "1 enqueued, 0 failing, 2 missing" in told
    assert told.count("its run is missing") == 2

    await deskhand("outbox", "--retry")
    async with running(make_relay()):
        await rows.until_enqueued()

    assert await pool.zcard("arq:queue:email") == 2


async def test_rows_whose_runs_are_gone_do_not_stay_for_ever(
    pool: Pool, db: Db, make_relay: MakeRelay, rows: Rows, deskhand: Deskhand
) -> None:
    await lose_the_ends(pool, db, make_relay, rows)
    await db.execute("update outbox set missing_at = missing_at - interval '31 days'")

    assert "would go: email: 2 rows of the outbox whose runs are gone" in await deskhand(
        "prune", "--dry-run"
    )
    await deskhand("prune")

    assert (await rows.one())["run_id"] == f"{SHIP}:3"


async def test_a_run_of_which_history_knows_the_end_is_not_missing(
    pool: Pool, db: Db, make_relay: MakeRelay, rows: Rows
) -> None:
    """As of a worker of an older version, which does not tell of rows."""
    await promise(db, 1)
    async with running(make_relay()):
        await rows.until_enqueued()
    await pool.delete(f"arq:job:{SHIP}:1", "arq:queue:email")
    await db.execute(
        "insert into job_runs (run_id, job, queue, state, correlation_id, attempt, enqueued_at,"
        " started_at, finished_at, event_id)"
        " values ($1, $2, 'email', 'succeeded', 'c', 1, now(), now(), now(), 'e')",
        f"{SHIP}:1",
        SHIP,
    )
    await db.execute("update outbox set look_at = now()")

    await OutboxChore(pool, db)()

    assert await rows.all() == []


async def test_a_run_that_is_there_is_looked_at_again_later(
    pool: Pool, db: Db, make_relay: MakeRelay, rows: Rows
) -> None:
    await promise(db, 1)
    async with running(make_relay()):
        await rows.until_enqueued()
    await db.execute("update outbox set look_at = now()")

    await OutboxChore(pool, db)()

    row = await rows.one()
    assert row["missing_at"] is None
    assert await db.fetchval("select look_at > now() + interval '5 minutes' from outbox")
