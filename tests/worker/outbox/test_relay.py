"""From the table to Redis: what is committed is enqueued, once, whatever happens in between."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from arq.utils import to_unix_ms
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from typing_extensions import override

from jobs.kit import JobContext, Payload, job
from tests.worker import testing_jobs
from tests.worker.conftest import StartWorker, until
from tests.worker.outbox.conftest import Counted, Db, MakeRelay, Rows, queued, running
from worker.clock import utc_now
from worker.codec import decode_job
from worker.enqueuer import Pool
from worker.outbox import enqueue_in, enqueue_many_in, queries
from worker.outbox import relay as relays
from worker.outbox.chore import OutboxChore
from worker.outbox.relay import Relay
from worker.outbox.writer import Parcel, RowWriter, VoidError, parcel_of
from worker.redis_pool import open_redis

SHIP, LINE = testing_jobs.ship_order.name, testing_jobs.add_line.name
EMAIL = "arq:queue:email"


class Noted(Payload):
    diary: Path


@job("testing.leave_no_result", queue="default", result_ttl=0)
async def leave_no_result(ctx: JobContext, payload: Noted) -> None:
    with payload.diary.open("a") as file:
        file.write(f"{ctx.run.run_id}\n")


async def promise(db: Db, name: str = LINE, **options: Any) -> str:
    """Commit one run; returns its id."""
    payload = {"order_id": 7} if name == SHIP else {"diary": "d"}
    async with db.acquire() as connection, connection.transaction():
        return await enqueue_in(connection, name, payload, **options)


async def promise_many(db: Db, number: int) -> list[str]:
    async with db.acquire() as connection, connection.transaction():
        return await enqueue_many_in(connection, LINE, [{"diary": "d"}] * number)


async def added(pool: Pool) -> list[str]:
    """Run ids of all events of runs that were enqueued."""
    entries = await pool.xrange("deskhand:events")
    fields = [(name, value) for _, entry in entries for name, value in entry.items()]
    ids = [value.decode().splitlines() for name, value in fields if name.startswith(b"+")]
    return [run_id for some in ids for run_id in some]


async def lose(pool: Pool) -> None:
    """A Redis that lost its data."""
    await pool.flushall()


# What is put, and where


async def test_a_committed_row_is_enqueued_at_once(
    pool: Pool, db: Db, relay: Relay, rows: Rows, counted: Counted
) -> None:
    run_id = await promise(db)

    await rows.until_enqueued()

    message = decode_job(await pool.get(f"arq:job:{run_id}"))
    row = await rows.one()
    assert message.headers["outbox"] == str(row["outbox_id"])
    assert await queued(pool) == await added(pool) == [run_id]
    assert row["epoch"] == (await pool.get("deskhand:epoch")).decode()
    assert counted["enqueued"] == 1


async def test_runs_keep_the_order_in_which_they_were_enqueued(
    pool: Pool, db: Db, make_relay: MakeRelay, rows: Rows
) -> None:
    """Also when they come to Redis together, late, or once more: a run's score is its age."""
    run_ids = []
    for _ in range(20):
        run_ids.append(await promise(db))
        await asyncio.sleep(0.002)

    for _ in range(2):
        async with running(make_relay()):
            await until(lambda: pool.exists("arq:queue"))
            await rows.until_enqueued()
        assert await queued(pool) == run_ids
        await lose(pool)


async def test_a_run_is_not_due_before_its_time(
    pool: Pool, db: Db, relay: Relay, rows: Rows
) -> None:
    due_at = utc_now() + timedelta(hours=5)
    run_id = await promise(db, due_at=due_at)

    await rows.until_enqueued()

    score = await pool.zscore("arq:queue", run_id)
    assert score == to_unix_ms(due_at)


async def test_what_is_due_in_days_is_enqueued_a_day_before(
    pool: Pool, db: Db, relay: Relay, rows: Rows
) -> None:
    await promise(db, delay=timedelta(days=3))
    soon = await promise(db)
    await until(lambda: pool.exists("arq:queue"))
    assert await queued(pool) == [soon]

    await db.execute("update outbox set look_at = look_at - interval '2 days' where epoch is null")

    await rows.until_enqueued()
    assert await pool.zcard("arq:queue") == 2


async def test_many_rows_of_many_queues_go_in_bounded_batches(
    pool: Pool, db: Db, make_relay: MakeRelay, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    put = RowWriter.put

    async def watched(self: RowWriter, parcels: Sequence[Parcel], *, until: float) -> Any:
        sizes.append(sum(len(parcel.message) for parcel in parcels))
        return await put(self, parcels, until=until)

    monkeypatch.setattr(RowWriter, "put", watched)
    await promise_many(db, 1200)
    big = [{"order_id": number, "note": "x" * 900_000} for number in range(8)]
    async with db.acquire() as connection, connection.transaction():
        await enqueue_many_in(connection, SHIP, big)

    async with running(make_relay()):
        await rows.until_enqueued()

    assert await pool.zcard("arq:queue") == 1200
    assert await pool.zcard(EMAIL) == 8
    assert max(sizes) < 3_000_000


async def test_many_relays_share_the_rows_and_enqueue_each_once(
    pool: Pool, db: Db, make_relay: MakeRelay, rows: Rows
) -> None:
    async with running(make_relay()), running(make_relay()), running(make_relay()):
        run_ids = [run_id for _ in range(10) for run_id in await promise_many(db, 300)]
        await rows.until_enqueued()

    assert sorted(await added(pool)) == sorted(run_ids)


# A relay that dies


async def test_a_row_that_was_put_by_a_relay_that_died_is_not_put_again(
    pool: Pool, db: Db, make_relay: MakeRelay, rows: Rows
) -> None:
    """Not even when its run is over meanwhile, without a result, for as long as nobody noted it."""
    run_id = await promise(db)
    await put_and_die(pool, db)
    await pool.delete(f"arq:job:{run_id}", "arq:queue")  # as the engine ends one
    assert (await rows.one())["epoch"] is None

    async with running(make_relay()):
        await rows.until_enqueued()

    assert await added(pool) == [run_id]
    assert await pool.exists("arq:queue") == 0


async def put_and_die(pool: Pool, db: Db) -> None:
    """What a relay has done when it is killed between Redis and its commit."""
    writer = RowWriter(pool)
    async with db.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        locked = await queries.lock_waiting(
            connection, most=500, most_bytes=10**6, back=timedelta(1)
        )
        until_ = await writer.begin()
        put = await writer.put([parcel_of(row) for row in locked], until=until_)
        assert set(put.verdicts) == {"e"}
        await transaction.rollback()
    writer.close()


async def test_a_run_whose_relay_always_dies_is_run_once(
    db: Db,
    diary: Path,
    rows: Rows,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a worker: the run ends between the relay's death and the next one's turn."""
    note, times = queries.note_enqueued, 0

    async def die(*arguments: Any, **options: Any) -> None:
        nonlocal times
        times += 1
        if times < 4:
            await asyncio.sleep(0.1)
            raise ConnectionError
        await note(*arguments, **options)

    monkeypatch.setattr(queries, "note_enqueued", die)
    # The end is not written down before the relay comes: as if PostgreSQL were away for both.
    monkeypatch.setattr("worker.ledger.consumer.finish_rows", refuse_while(lambda: times < 4))
    await start_worker()
    async with db.acquire() as connection, connection.transaction():
        run_id = await enqueue_in(connection, leave_no_result, {"diary": str(diary)})

    await rows.until_empty()

    assert times == 4
    assert diary.read_text().splitlines() == [run_id]


def refuse_while(is_refusing: Any) -> Any:
    async def delete(*arguments: Any) -> None:
        if is_refusing():
            raise ConnectionError
        await queries.delete(*arguments)

    return delete


async def test_a_call_that_comes_too_late_does_nothing(pool: Pool, db: Db) -> None:
    """Its lock is gone: the row may be somebody else's by now, and its run over."""
    await promise(db)
    writer = RowWriter(pool)
    async with db.acquire() as connection, connection.transaction():
        locked = await queries.lock_waiting(connection, most=9, most_bytes=10**6, back=timedelta(1))
        until_ = await writer.begin()

        with pytest.raises(VoidError):
            await writer.put([parcel_of(row) for row in locked], until=until_ - 5.1)
    writer.close()

    assert await pool.keys("arq:*") == []


async def test_a_relay_that_hangs_loses_its_rows_to_another(
    pool: Pool, db: Db, make_relay: MakeRelay, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "HELD_FOR", 0.3)
    put, hung = RowWriter.put, asyncio.Event()

    async def hang_once(self: RowWriter, *arguments: Any, **options: Any) -> Any:
        if not hung.is_set():
            hung.set()
            await asyncio.sleep(30)
        return await put(self, *arguments, **options)

    monkeypatch.setattr(RowWriter, "put", hang_once)
    async with running(make_relay()):
        run_id = await promise(db)
        await hung.wait()
        async with running(make_relay()):
            await rows.until_enqueued()

    assert await added(pool) == [run_id]


async def test_notes_go_when_they_are_old_and_stay_while_a_row_waits(
    pool: Pool, db: Db, make_relay: MakeRelay, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.outbox.writer.NOTED_FOR", 0.2)
    monkeypatch.setattr(relays, "_POLL", 0.3)
    async with running(make_relay()):
        await promise_many(db, 30)
        await rows.until_enqueued()

        async def is_tidy() -> bool:
            return not await pool.exists("deskhand:outbox")

        await until(is_tidy)

    await promise(db)
    await put_and_die(pool, db)
    (waiting,) = await pool.zrange("deskhand:outbox", 0, -1)
    await pool.zadd("deskhand:outbox", {waiting: 1, b"999999": 2, b"foreign": 3})
    await OutboxChore(pool, db)()
    assert await pool.zrange("deskhand:outbox", 0, -1) == [waiting]


# Ids that are taken


async def test_a_repeat_is_done_when_the_run_is_that_was_there(
    pool: Pool, db: Db, relay: Relay, rows: Rows, counted: Counted
) -> None:
    await pool.enqueue_job(SHIP, order_id=7)
    run_id = await promise(db, SHIP)
    await rows.until_enqueued()
    assert (await rows.one())["is_repeat"]
    chore = OutboxChore(pool, db)
    await let_time_pass(db)
    await chore()
    assert len(await rows.all()) == 1

    await pool.delete(f"arq:job:{run_id}", EMAIL)
    await let_time_pass(db)
    await chore()

    assert await rows.all() == []
    assert await added(pool) == [run_id]
    assert counted["repeated"] == 1


async def let_time_pass(db: Db) -> None:
    await db.execute("update outbox set look_at = look_at - interval '1 day'")


async def test_two_rows_with_one_key_are_one_run_and_both_go_with_it(
    pool: Pool, db: Db, rows: Rows, start_worker: StartWorker
) -> None:
    await promise(db, SHIP, delay=timedelta(seconds=1))
    await promise(db, SHIP)
    await start_worker()

    await rows.until(lambda found: len(found) == 1)
    await let_time_pass(db)
    await OutboxChore(pool, db)()

    assert await rows.all() == []
    assert len(await added(pool)) == 1


async def test_a_repeat_of_a_run_that_just_ended_is_done(
    pool: Pool, db: Db, relay: Relay, rows: Rows
) -> None:
    await pool.set(f"arq:result:{SHIP}:7", b"{}")

    await promise(db, SHIP)

    await rows.until_empty()
    assert await added(pool) == []


# A Redis that lost its data


async def test_what_redis_lost_is_enqueued_again_and_what_was_over_is_not(
    pool: Pool, db: Db, make_relay: MakeRelay, rows: Rows, counted: Counted
) -> None:
    async with running(make_relay()):
        over, *left = [await promise(db) for _ in range(3)]
        await rows.until_enqueued()
        await queries.delete(db, [(await rows.all())[0]["outbox_id"]])
        await lose(pool)
        await pool.set("deskhand:epoch", "another")

    async with running(make_relay()):
        await rows.until(lambda found: {row["epoch"] for row in found} == {"another"})

    assert sorted(await queued(pool)) == sorted(left)
    assert over not in await queued(pool)
    assert counted["again"] == 2


async def test_a_repeat_is_enqueued_itself_when_redis_lost_the_run_that_was_there(
    pool: Pool, db: Db, make_relay: MakeRelay, rows: Rows
) -> None:
    await pool.enqueue_job(SHIP, order_id=7)
    async with running(make_relay()):
        run_id = await promise(db, SHIP)
        await rows.until_enqueued()
    await lose(pool)

    async with running(make_relay()):
        await until(lambda: pool.exists(EMAIL))
        await rows.until_enqueued()

    assert await queued(pool, EMAIL) == [run_id]
    assert not (await rows.one())["is_repeat"]


async def test_a_run_that_somebody_has_in_hand_is_left_to_them(
    pool: Pool, db: Db, make_relay: MakeRelay, rows: Rows
) -> None:
    """Redis has lost its payload, and its worker has told that it goes on."""
    async with running(make_relay()):
        run_id = await promise(db)
        await rows.until_enqueued()
    await lose(pool)
    await pool.set(f"arq:in-progress:{run_id}", "worker", px=60_000)

    async with running(make_relay()):
        await rows.until(lambda found: found[0]["epoch"] is None)
        await asyncio.sleep(0.3)
        assert not await pool.exists("arq:queue")
        await pool.delete(f"arq:in-progress:{run_id}")  # that worker is gone
        await rows.until_enqueued()

    assert await queued(pool) == [run_id]


async def test_what_a_worker_has_in_hand_is_not_run_a_second_time_beside_it(
    pool: Pool,
    db: Db,
    diary: Path,
    rows: Rows,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A grace of 1.3 s, a lease of 3 s, a run that takes 6 s, and another worker that is free."""
    monkeypatch.setattr(relays, "_POLL", 0.3)
    await start_worker(run_lease=3)
    async with db.acquire() as connection, connection.transaction():
        payload = {"diary": str(diary), "seconds": 6}
        await enqueue_in(connection, testing_jobs.nap, payload)
    await until(lambda: has_lines(diary, 1))
    await lose(pool)
    await start_worker(run_lease=3)
    waiting = await promise(db, SHIP)
    await until(lambda: pool.exists(f"arq:result:{waiting}"))

    await rows.until_empty()

    assert [line.split()[1] for line in diary.read_text().splitlines()] == ["begin", "end"]


async def has_lines(diary: Path, number: int) -> bool:
    return diary.exists() and len(diary.read_text().splitlines()) >= number


async def test_what_nobody_holds_any_more_is_enqueued_again(
    pool: Pool, db: Db, make_relay: MakeRelay, rows: Rows
) -> None:
    async with running(make_relay()):
        run_id = await promise(db)
        await rows.until_enqueued()
    in_hand = {(await rows.one())["outbox_id"]}
    await lose(pool)

    async with running(make_relay(in_hand=in_hand, lease=timedelta(seconds=2))):
        await rows.until(lambda found: found[0]["held_until"] is not None)
        await asyncio.sleep(3)
        assert await pool.exists("arq:queue") == 0  # held, and held again
    async with running(make_relay()):
        await rows.until(lambda found: found[0]["held_until"] is None)
        await rows.until_enqueued()

    assert await queued(pool) == [run_id]


async def test_runs_of_lost_data_get_some_grace(
    pool: Pool, db: Db, make_relay: MakeRelay, rows: Rows
) -> None:
    async with running(make_relay()):
        await promise(db)
        await rows.until_enqueued()
    await lose(pool)

    async with running(make_relay(grace=timedelta(seconds=1.5))):
        began = monotonic()
        await until(lambda: pool.exists("arq:queue"))

    assert 1.4 < monotonic() - began < 5


# Rows that cannot be enqueued


async def test_a_row_that_cannot_be_enqueued_holds_up_none(
    pool: Pool, db: Db, relay: Relay, rows: Rows, counted: Counted
) -> None:
    await pool.set(EMAIL, "of a wrong type")
    async with db.acquire() as connection, connection.transaction():
        for due, raw in (("now", b"raw"), ("-infinity", b'{"h":{"cid":"1"}}')):
            await connection.execute(
                "insert into outbox (run_id, job, queue, message, due_at)"
                " values ('x', $1, 'default', $2, $3::text::timestamptz)",
                LINE,
                raw,
                due,
            )
        await enqueue_in(connection, SHIP, {"order_id": 7})
        await enqueue_in(connection, LINE, {"diary": "d"})

    await rows.until(lambda found: found[3]["epoch"] is not None)

    foreign, timeless, shipping, _ = await rows.all()
    assert foreign["error"] == "this message does not begin with its headers"
    assert timeless["error"] == "its instants are none"
    assert shipping["error"] == "the key of its queue in Redis holds something else"
    assert counted["failed"] >= 2
    assert len(await queued(pool)) == 1

    await pool.delete(EMAIL)
    await rows.until(lambda found: found[2]["epoch"] is not None)
    assert len(await queued(pool, EMAIL)) == 1
    assert (await rows.all())[2]["error"] is None


async def test_a_row_that_redis_refuses_is_found_among_many(
    pool: Pool, db: Db, make_relay: MakeRelay, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    await promise_many(db, 20)
    put = RowWriter.put

    async def refuse_one(self: RowWriter, parcels: Sequence[Parcel], *, until: float) -> Any:
        if any(parcel.row.outbox_id == 7 for parcel in parcels):
            raise ResponseError("ERR this one not")
        return await put(self, parcels, until=until)

    monkeypatch.setattr(RowWriter, "put", refuse_one)

    async with running(make_relay()):
        await rows.until(lambda found: all(row["epoch"] or row["error"] for row in found))

    (failed,) = [row for row in await rows.all() if row["error"]]
    assert (failed["outbox_id"], failed["error"]) == (7, "ResponseError")
    assert await pool.zcard("arq:queue") == 19


# Servers that are away


class Away(Pool):
    """A Redis that is away while `is_away`."""

    is_away = True

    @override
    async def get(self, *arguments: Any, **options: Any) -> Any:
        if self.is_away:
            raise RedisConnectionError
        return await super().get(*arguments, **options)


async def test_rows_wait_while_redis_is_away(
    redis_url: str, pool: Pool, db: Db, make_relay: MakeRelay, rows: Rows
) -> None:
    away = open_redis(redis_url, Away)
    async with running(make_relay(pool=away)):
        await promise(db)
        await asyncio.sleep(0.3)
        assert (await rows.one())["epoch"] is None

        away.is_away = False
        await rows.until_enqueued()
    await away.aclose()
