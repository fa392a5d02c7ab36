"""The history of runs: written once, by whoever is there, whenever PostgreSQL is."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from tests.worker.conftest import until
from worker.background import cancel
from worker.embedded import Server, start_postgres
from worker.ending import State
from worker.engine.store import DEAD, EVENTS
from worker.enqueuer import Pool
from worker.ledger import REJECTED, Entry, Ledger, write_attempts, write_dead_letters
from worker.migrate import migrate
from worker.records import AttemptRecord, DeadRecord

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
TENANT = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


def attempt(run_id: str = "a", *, minute: int = 0, **changes: Any) -> AttemptRecord:
    """An attempt that succeeded, unless told otherwise; `minute` orders those of one run."""
    record = AttemptRecord(
        run_id=run_id,
        job="testing.add_line",
        queue="default",
        tenant_id=TENANT,
        label=None,
        correlation_id="request-1",
        replay_of=None,
        attempt=1,
        state=State.SUCCEEDED,
        reason=None,
        enqueued_at=START,
        started_at=START + timedelta(minutes=minute),
        ended_at=START + timedelta(minutes=minute, seconds=1),
        worker="host:1:x",
        error_type=None,
        error_message=None,
        traceback=None,
    )
    return replace(record, **changes)


def dead(run_id: str = "a", *, payload: Any = None, raw: bytes | None = None) -> DeadRecord:
    last = attempt(run_id, state=State.DEAD, reason="rejected", error_type="E")
    return DeadRecord(last=last, payload=payload, raw=raw)


async def put(pool: Pool, *records: AttemptRecord | DeadRecord) -> list[Entry]:
    """Append to the streams, as the engine's script does; returns the entries."""
    entries = []
    for record in records:
        stream = EVENTS if isinstance(record, AttemptRecord) else DEAD
        entry_id = await pool.xadd(stream, {"d": record.to_bytes()})
        entries.append((entry_id.decode(), record.to_bytes()))
    return entries


async def left(pool: Pool) -> int:
    return int(await pool.xlen(EVENTS)) + int(await pool.xlen(DEAD))


@asynccontextmanager
async def writing(ledger: Ledger) -> AsyncIterator[None]:
    task = asyncio.create_task(ledger.run())
    try:
        yield
        assert not task.done()
    finally:
        await cancel([task])


def found(db: Db, run_id: str) -> Callable[[], Any]:
    return lambda: db.fetchrow("select * from job_runs where run_id = $1", run_id)


# What is written


async def test_an_attempt_becomes_a_row_and_leaves_the_stream(pool: Pool, db: Db) -> None:
    await put(pool, attempt(label="daily", replay_of="b"))

    await Ledger(pool, db).drain()

    run = dict(await db.fetchrow("select * from job_runs") or {})
    assert {key: run[key] for key in ("run_id", "job", "queue", "tenant_id", "state")} == {
        "run_id": "a",
        "job": "testing.add_line",
        "queue": "default",
        "tenant_id": TENANT,
        "state": "succeeded",
    }
    assert (run["label"], run["replay_of"], run["correlation_id"]) == ("daily", "b", "request-1")
    assert (run["enqueued_at"], run["finished_at"]) == (START, START + timedelta(seconds=1))
    assert await left(pool) == 0
    assert (await pool.xpending(EVENTS, "ledger"))["pending"] == 0


async def test_every_attempt_of_a_run_has_its_row(pool: Pool, db: Db) -> None:
    await put(
        pool,
        attempt(state=State.RETRYING, error_type="ValueError", error_message="no", traceback="tb"),
        attempt(state=State.SUCCEEDED, attempt=2, minute=1),
    )

    await Ledger(pool, db).drain()

    rows = await db.fetch("select * from job_attempts order by started_at")
    assert [(r["attempt"], r["outcome"]) for r in rows] == [(1, "retrying"), (2, "succeeded")]
    assert [(r["error_type"], r["error_message"], r["traceback"]) for r in rows] == [
        ("ValueError", "no", "tb"),
        (None, None, None),
    ]


@pytest.mark.parametrize("state", list(State))
async def test_every_state_can_be_written_and_only_final_ones_are_finished(
    pool: Pool, db: Db, state: State
) -> None:
    await put(pool, attempt(state=state))

    await Ledger(pool, db).drain()

    run = await found(db, "a")()
    assert run["state"] == state
    assert (run["finished_at"] is not None) == state.is_final


async def test_a_dead_letter_keeps_its_payload(pool: Pool, db: Db) -> None:
    payload = {"name": "Iğdır", "lines": [1, 2.5, None, {"x": True}]}
    await put(pool, dead(payload=payload))

    await Ledger(pool, db).drain()

    letter = await db.fetchrow("select * from dead_letters")
    assert letter is not None
    assert orjson.loads(letter["payload"]) == payload
    assert (letter["raw"], letter["reason"], letter["status"]) == (None, "rejected", "dead")
    assert letter["died_at"] == START + timedelta(seconds=1)
    assert await left(pool) == 0


async def test_bytes_that_are_no_payload_are_kept_as_they_are(pool: Pool, db: Db) -> None:
    await put(pool, dead(raw=b"\x80\x00\xff"))

    await Ledger(pool, db).drain()

    letter = await db.fetchrow("select payload, raw from dead_letters")
    assert letter is not None
    assert tuple(letter) == (None, b"\x80\x00\xff")


async def test_nul_characters_that_postgres_cannot_hold_lose_nothing_else(
    pool: Pool, db: Db
) -> None:
    broken: dict[str, Any] = {
        "error_message": "a\x00b",
        "traceback": "\x00",
        "reason": "r\x00",
        "label": "\x00",
    }
    await put(pool, attempt(**broken, correlation_id="c\x00"), dead(payload={"x": "\x00"}))

    await Ledger(pool, db).drain()

    row = await db.fetchrow("select * from job_attempts")
    letter = await db.fetchrow("select payload, raw from dead_letters")
    assert row is not None
    assert letter is not None
    assert (row["error_message"], row["traceback"]) == ("a␀b", "␀")
    assert (await found(db, "a")())["correlation_id"] == "c␀"
    assert (letter["payload"], orjson.loads(letter["raw"])) == (None, {"x": "\x00"})


# Once, and in any order


async def test_writing_twice_changes_nothing(pool: Pool, db: Db) -> None:
    attempts = await put(pool, attempt("a"), attempt("b"))
    letters = await put(pool, dead("c", payload={}))
    for _ in range(2):
        await write_attempts(db, attempts)
        await write_dead_letters(db, letters)

    await Ledger(pool, db).drain()

    counts = await db.fetchrow(
        "select (select count(*) from job_attempts), (select count(*) from job_runs),"
        " (select count(*) from dead_letters)"
    )
    assert counts is not None
    assert tuple(counts) == (2, 2, 1)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]], ids=str)
async def test_a_run_shows_its_newest_attempt_in_whatever_order_they_come(
    pool: Pool, db: Db, order: list[int]
) -> None:
    records = [
        attempt(minute=0, state=State.RETRYING),
        attempt(minute=1, state=State.RETRYING, attempt=2),
        attempt(minute=2, state=State.SUCCEEDED, attempt=3),
    ]
    for number in order:
        await put(pool, records[number])
        await Ledger(pool, db).drain()

    run = await found(db, "a")()

    assert (run["attempt"], run["state"]) == (3, "succeeded")
    assert await db.fetchval("select count(*) from job_attempts") == 3


async def test_a_run_id_that_is_used_again_shows_the_newer_run(pool: Pool, db: Db) -> None:
    newer = attempt(enqueued_at=START + timedelta(days=1), correlation_id="newer", minute=1440)
    await put(pool, newer, attempt(minute=2000))

    await Ledger(pool, db).drain()

    assert (await found(db, "a")())["correlation_id"] == "newer"


# Shared by many


async def test_two_ledgers_share_the_work_without_a_row_twice(pool: Pool, db: Db) -> None:
    await put(pool, *(attempt(f"run{number}") for number in range(700)))
    ledgers = [Ledger(pool, db), Ledger(pool, db)]
    ledgers[1]._consumer = "another"

    await asyncio.gather(*(ledger.drain() for ledger in ledgers))

    assert await db.fetchval("select count(*) from job_attempts") == 700
    assert await left(pool) == 0
    assert await pool.xinfo_consumers(EVENTS, "ledger") == []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody took and did not write is taken over soon."""
    monkeypatch.setattr("worker.ledger._STALE_MS", 50)


async def test_what_a_crashed_worker_took_is_taken_over(
    pool: Pool, db: Db, impatient: None
) -> None:
    ledger = Ledger(pool, db)
    await ledger.drain()
    await put(pool, attempt("a"), dead("a", payload={}))
    taken = await pool.xreadgroup("ledger", "crashed", {EVENTS: ">", DEAD: ">"})
    assert len(taken) == 2

    async with writing(ledger):
        await until(found(db, "a"))
        await until(lambda: db.fetchrow("select 1 from dead_letters"))
        await until(lambda: is_written(pool))


async def test_what_a_crashed_worker_wrote_but_left_in_the_stream_is_written_once(
    pool: Pool, db: Db, impatient: None
) -> None:
    ledger = Ledger(pool, db)
    await ledger.drain()
    entries = await put(pool, attempt("a"))
    await pool.xreadgroup("ledger", "crashed", {EVENTS: ">"})
    await write_attempts(db, entries)

    async with writing(ledger):
        await until(lambda: is_written(pool))

    assert await db.fetchval("select count(*) from job_attempts") == 1


async def is_written(pool: Pool) -> bool:
    return await left(pool) == 0


async def test_what_a_living_worker_took_just_now_is_left_to_it(pool: Pool, db: Db) -> None:
    ledger = Ledger(pool, db)
    await ledger.drain()
    await put(pool, attempt("theirs"))
    await pool.xreadgroup("ledger", "busy", {EVENTS: ">"})

    async with writing(ledger):
        await put(pool, attempt("mine"))
        await until(found(db, "mine"))

    assert await found(db, "theirs")() is None
    assert await left(pool) == 1


# While something is away


class Postgres:
    """A server that can be away for a while, behind an address that stays."""

    def __init__(self, data: Path, place: Path) -> None:
        self._data = data
        self._link = place / "s"
        self._server: Server | None = None

    def start(self) -> None:
        self._server = start_postgres(self._data, is_durable=False)
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(self._server.socket_directory)

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    @property
    def url(self) -> str:
        return f"postgresql://app@/postgres?host={self._link}&port=5432"


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    place = Path(tempfile.mkdtemp(prefix="deskhand-test-"))  # short: it is a socket's path
    server = Postgres(tmp_path, place)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(place)


async def test_records_wait_while_postgres_is_away(
    pool: Pool, postgres: Postgres, impatient: None
) -> None:
    await migrate(postgres.url)
    async with asyncpg.create_pool(postgres.url, min_size=1, max_size=2) as db:
        async with writing(Ledger(pool, db)):
            await put(pool, attempt("before"))
            await until(found(db, "before"))
            await asyncio.to_thread(postgres.stop)
            await put(pool, attempt("during"), dead("during", payload={}))
            await until(lambda: is_taken(pool))
            assert await left(pool) == 2

            postgres.start()  # it belongs to the main thread, and takes a second

            await until(lambda: is_written(pool))
        assert await found(db, "during")() is not None
        assert await db.fetchval("select count(*) from dead_letters") == 1


async def is_taken(pool: Pool) -> bool:
    """The ledger has tried to write them."""
    return bool((await pool.xpending(EVENTS, "ledger"))["pending"])


async def test_a_redis_that_lost_everything_is_served_again(pool: Pool, db: Db) -> None:
    async with writing(Ledger(pool, db)):
        await put(pool, attempt("before"))
        await until(found(db, "before"))

        await pool.flushall()
        await put(pool, attempt("after"))

        await until(found(db, "after"))


# What the streams carry


def test_records_come_back_as_they_were() -> None:
    record = attempt(
        tenant_id=None, label="ı", state=State.DEAD, reason="poison", error_type="E", traceback="t"
    )
    letter = DeadRecord(last=record, payload={"x": [1]}, raw=b"\x00\xff")

    assert AttemptRecord.from_bytes(record.to_bytes()) == record
    assert DeadRecord.from_bytes(letter.to_bytes()) == letter
    assert replace(record, tenant_id=uuid4()) != record


async def test_a_record_that_cannot_be_stored_holds_up_none_beside_it(pool: Pool, db: Db) -> None:
    await put(pool, attempt("before"))
    await pool.xadd(EVENTS, {"d": b"{}"})
    await pool.xadd(DEAD, {"d": b"no"})
    await pool.xadd(DEAD, {"nothing": b"of ours"})
    await put(pool, attempt("after"))

    await Ledger(pool, db).drain()

    assert {row["run_id"] for row in await db.fetch("select run_id from job_runs")} == {
        "before",
        "after",
    }
    assert await pool.xlen(REJECTED) == 3
    assert await left(pool) == 0


async def test_what_was_taken_and_not_written_is_written_at_the_end(pool: Pool, db: Db) -> None:
    ledger = Ledger(pool, db)
    await ledger.drain()
    await put(pool, attempt("last"))
    await pool.xreadgroup("ledger", ledger._consumer, {EVENTS: ">", DEAD: ">"})

    await ledger.drain()

    assert await db.fetchval("select count(*) from job_runs") == 1
