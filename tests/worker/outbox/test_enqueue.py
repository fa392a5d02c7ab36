"""What `enqueue_in` writes, and when it counts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from jobs.kit import PayloadError
from tests.conftest import MakeContext
from tests.worker import testing_jobs
from tests.worker.conftest import Ledgered
from tests.worker.outbox.conftest import Db, Rows
from worker.codec import decode_job
from worker.engine.worker import Worker
from worker.enqueuer import UnknownJobError
from worker.message import correlation_id
from worker.outbox import OutsideTransactionError, enqueue_in, enqueue_many_in, queries

SHIP = "testing.ship_order"
LINE = "testing.add_line"


async def test_a_row_holds_the_run_as_it_will_be(db: Db, rows: Rows) -> None:
    correlation_id.set("request-7")
    async with db.acquire() as connection, connection.transaction():
        run_id = await enqueue_in(connection, SHIP, {"order_id": 7, "note": "Iğdır"})

    row = await rows.one()
    message = decode_job(row["message"])
    assert (row["run_id"], row["job"], row["queue"]) == (run_id, SHIP, "email")
    assert (message.function, message.arguments) == (SHIP, {"order_id": 7, "note": "Iğdır"})
    assert message.headers == {"cid": "request-7"}
    assert (row["epoch"], row["due_at"]) == (None, None)


async def test_the_run_id_follows_from_the_idempotency_key(db: Db) -> None:
    async with db.acquire() as connection, connection.transaction():
        keyed = await enqueue_in(connection, SHIP, {"order_id": 7})
        at_random = [await enqueue_in(connection, LINE, {"diary": "d"}) for _ in range(2)]
        chosen = await enqueue_in(connection, LINE, {"diary": "d"}, run_id="mine")

    assert keyed == f"{SHIP}:7"
    assert chosen == "mine"
    assert len(set(at_random)) == 2


async def test_a_rollback_takes_it_back(db: Db, rows: Rows) -> None:
    async with db.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await enqueue_in(connection, SHIP, {"order_id": 7})
        await transaction.rollback()

    assert await rows.all() == []


async def test_a_rollback_to_a_savepoint_takes_back_what_came_after_it(db: Db, rows: Rows) -> None:
    async with db.acquire() as connection, connection.transaction():
        await enqueue_in(connection, SHIP, {"order_id": 1})
        savepoint = connection.transaction()
        await savepoint.start()
        await enqueue_in(connection, SHIP, {"order_id": 2})
        await savepoint.rollback()
        await enqueue_in(connection, SHIP, {"order_id": 3})

    assert [row["run_id"] for row in await rows.all()] == [f"{SHIP}:1", f"{SHIP}:3"]


async def test_without_a_transaction_it_is_refused(db: Db, rows: Rows) -> None:
    async with db.acquire() as connection:
        with pytest.raises(OutsideTransactionError, match="belongs into a transaction"):
            await enqueue_in(connection, SHIP, {"order_id": 7})

    assert await rows.all() == []


WRONG: dict[str, tuple[type[Exception], str, dict[str, Any], dict[str, Any]]] = {
    "payload": (PayloadError, SHIP, {"order_id": "seven"}, {}),
    "job": (UnknownJobError, "testing.ship_ordr", {}, {}),
    "id": (ValueError, SHIP, {"order_id": 7}, {"run_id": "x" * 201}),
    "sign": (ValueError, SHIP, {"order_id": 7}, {"run_id": "a\x00b"}),
    "size": (ValueError, SHIP, {"order_id": 7, "note": "x" * 9_000_000}, {}),
    "zone": (ValueError, SHIP, {"order_id": 7}, {"due_at": datetime(2026, 1, 1)}),  # noqa: DTZ001 - the mistake
    "expiry": (ValueError, SHIP, {"order_id": 7}, {"expires": timedelta(0)}),
    "times": (
        ValueError,
        SHIP,
        {"order_id": 7},
        {"due_at": datetime(2026, 1, 1, tzinfo=UTC), "delay": timedelta(1)},
    ),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_is_wrong_is_said_before_the_transaction_hears_of_it(
    db: Db, rows: Rows, case: str
) -> None:
    error, job, payload, options = WRONG[case]
    async with db.acquire() as connection, connection.transaction():
        with pytest.raises(error):
            await enqueue_in(connection, job, payload, **options)
        await enqueue_in(connection, SHIP, {"order_id": 1})

    assert (await rows.one())["run_id"] == f"{SHIP}:1"


async def test_many_are_written_at_once_in_their_order(db: Db, rows: Rows) -> None:
    async with db.acquire() as connection, connection.transaction():
        payloads = [{"order_id": number} for number in range(2500)]
        run_ids = await enqueue_many_in(connection, SHIP, payloads)

    assert run_ids == [f"{SHIP}:{number}" for number in range(2500)]
    assert [row["run_id"] for row in await rows.all()] == run_ids


async def test_of_many_the_first_that_is_wrong_is_named(db: Db, rows: Rows) -> None:
    async with db.acquire() as connection, connection.transaction():
        with pytest.raises(PayloadError, match="payload 1: order_id"):
            await enqueue_many_in(connection, SHIP, [{"order_id": 1}, {"order_id": "x"}])
        assert await enqueue_many_in(connection, SHIP, []) == []

    assert await rows.all() == []


async def test_what_is_due_in_days_waits_in_postgresql(db: Db, rows: Rows) -> None:
    async with db.acquire() as connection, connection.transaction():
        await enqueue_in(connection, SHIP, {"order_id": 1}, delay=timedelta(hours=23))
        await enqueue_in(connection, SHIP, {"order_id": 2}, delay=timedelta(hours=30))

    near, far = await rows.all()
    assert near["look_at"] < near["created_at"] + timedelta(minutes=1)
    assert far["due_at"] - far["look_at"] == queries.NEAR
    assert timedelta(hours=29) < far["due_at"] - far["created_at"] < timedelta(hours=31)


async def test_relays_are_told_once_for_a_transaction_that_commits(
    db: Db, database_url: str
) -> None:
    told: list[str] = []
    listener = await asyncpg.connect(database_url)
    await listener.add_listener(queries.CHANNEL, lambda *words: told.append(words[-1]))
    async with db.acquire() as connection:
        for ends in (True, False):
            transaction = connection.transaction()
            await transaction.start()
            await enqueue_many_in(connection, SHIP, [{"order_id": n} for n in range(3)])
            await enqueue_in(connection, SHIP, {"order_id": 9})
            await (transaction.commit() if ends else transaction.rollback())

    await listener.execute("select 1")
    await listener.close()

    assert told == [""]


async def test_a_job_enqueues_within_its_transaction(
    make_ctx: MakeContext, rows: Rows, tmp_path: Path
) -> None:
    ctx = make_ctx(LINE, correlation_id="request-9")
    payload = testing_jobs.Diary(diary=tmp_path / "diary")

    async with ctx.transaction() as connection:
        delay = timedelta(minutes=5)
        run_id = await ctx.enqueue_in(connection, testing_jobs.add_line, payload, delay=delay)

    row = await rows.one()
    assert row["run_id"] == run_id
    assert row["due_at"] - row["created_at"] > timedelta(minutes=4)
    assert decode_job(row["message"]).headers["cid"] == "request-9"


async def test_a_worker_runs_it_and_the_row_goes(
    worker: Worker, db: Db, diary: Path, rows: Rows, ledgered: Ledgered
) -> None:
    async with db.acquire() as connection, connection.transaction():
        run_id = await enqueue_in(connection, LINE, {"diary": str(diary)})
        assert not diary.exists()

    run = await ledgered.run(run_id, state="succeeded")
    await rows.until_empty()
    assert run["job"] == LINE
    assert len(diary.read_text().splitlines()) == 1
