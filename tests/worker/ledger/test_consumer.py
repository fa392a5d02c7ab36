"""The history of runs: written once, by whoever is there, whenever PostgreSQL is."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import asyncpg
import orjson
import pytest

from tests.worker.conftest import until
from tests.worker.ledger.records import START, TENANT, attempt, dead, ended, put, put_together
from worker.background import cancel
from worker.embedded import Server, start_postgres
from worker.ending import State
from worker.engine.store import DEAD, EVENTS
from worker.enqueuer import Pool
from worker.ledger import REJECTED, Ledger, write_attempts, write_dead_letters
from worker.migrate import migrate
from worker.records import AttemptRecord, DeadRecord
from worker.redis_pool import open_redis

Db: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


def ledger_on(pool: Pool, db: Db, keep_completed: int = 100_000) -> Ledger:
    return Ledger(pool, db, keep_completed=keep_completed)


async def left(pool: Pool) -> int:
    """How many entries nobody has written yet; written events stay a while for followers."""
    (group,) = await pool.xinfo_groups(EVENTS)
    unread = await pool.xrange(EVENTS, b"(" + group["last-delivered-id"])
    return int(group["pending"]) + len(unread) + int(await pool.xlen(DEAD))


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


async def test_an_attempt_becomes_a_row_and_is_acknowledged(pool: Pool, db: Db) -> None:
    await put(pool, attempt(label="daily", replay_of="b"))

    await ledger_on(pool, db).drain()

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

    await ledger_on(pool, db).drain()

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

    await ledger_on(pool, db).drain()

    run = await found(db, "a")()
    assert run["state"] == state
    assert (run["finished_at"] is not None) == state.is_final


async def test_a_dead_letter_keeps_its_payload(pool: Pool, db: Db) -> None:
    payload = {"name": "Iğdır", "lines": [1, 2.5, None, {"x": True}]}
    await put(pool, dead(payload=payload))

    await ledger_on(pool, db).drain()

    letter = await db.fetchrow("select * from dead_letters")
    assert letter is not None
    assert orjson.loads(letter["payload"]) == payload
    assert (letter["raw"], letter["reason"], letter["status"]) == (None, "rejected", "dead")
    assert letter["died_at"] == START + timedelta(seconds=1)
    assert await left(pool) == 0


async def test_bytes_that_are_no_payload_are_kept_as_they_are(pool: Pool, db: Db) -> None:
    await put(pool, dead(raw=b"\x80\x00\xff"))

    await ledger_on(pool, db).drain()

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

    await ledger_on(pool, db).drain()

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

    await ledger_on(pool, db).drain()

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
        await ledger_on(pool, db).drain()

    run = await found(db, "a")()

    assert (run["attempt"], run["state"]) == (3, "succeeded")
    assert await db.fetchval("select count(*) from job_attempts") == 3


async def test_a_run_id_that_is_used_again_shows_the_newer_run(pool: Pool, db: Db) -> None:
    newer = attempt(enqueued_at=START + timedelta(days=1), correlation_id="newer", minute=1440)
    await put(pool, newer, attempt(minute=2000))

    await ledger_on(pool, db).drain()

    assert (await found(db, "a")())["correlation_id"] == "newer"


# Shared by many


async def test_two_ledgers_share_the_work_without_a_row_twice(pool: Pool, db: Db) -> None:
    await put(pool, *(attempt(f"run{number}") for number in range(700)))
    ledgers = [ledger_on(pool, db), ledger_on(pool, db)]
    ledgers[1]._consumer = "another"

    await asyncio.gather(*(ledger.drain() for ledger in ledgers))

    assert await db.fetchval("select count(*) from job_attempts") == 700
    assert await left(pool) == 0
    assert await pool.xinfo_consumers(EVENTS, "ledger") == []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody took and did not write is taken over soon."""
    monkeypatch.setattr("worker.ledger.consumer._STALE_MS", 50)
    monkeypatch.setattr("worker.ledger.consumer._TAKE_OVER_EVERY", 0.1)
    monkeypatch.setattr("worker.ledger.consumer._BLOCK_MS", 200)


async def test_what_a_crashed_worker_took_is_taken_over(
    pool: Pool, db: Db, impatient: None
) -> None:
    ledger = ledger_on(pool, db)
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
    ledger = ledger_on(pool, db)
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
    ledger = ledger_on(pool, db)
    await ledger.drain()
    await put(pool, attempt("theirs"))
    await pool.xreadgroup("ledger", "busy", {EVENTS: ">"})

    async with writing(ledger):
        await put(pool, attempt("mine"))
        await until(found(db, "mine"))

    assert await found(db, "theirs")() is None
    assert await left(pool) == 1


# Many events in one entry


async def test_of_an_entry_with_many_events_those_that_end_attempts_are_written(
    pool: Pool, db: Db
) -> None:
    entry_id = await put_together(
        pool,
        {
            b"+a": b"arq:queue:email\ntesting.add_line",
            b">a": b"arq:queue:email\nhost:1:x",
            **ended(attempt("a"), attempt("b", state=State.DEAD, reason="rejected")),
            b"!c": b"arq:queue:email\n2",
            b"~c": b"50",
            b"?": b"of a version to come",
            **ended(attempt("\x00d\n")),
        },
    )

    await ledger_on(pool, db).drain()

    rows = await db.fetch("select event_id, run_id, outcome from job_attempts order by 1")
    assert [tuple(row) for row in rows] == [
        (f"{entry_id}:2", "a", "succeeded"),
        (f"{entry_id}:3", "b", "dead"),
        (f"{entry_id}:7", "␀d\n", "succeeded"),
    ]
    assert await db.fetchval("select count(*) from job_runs") == 3


async def test_of_a_run_that_is_read_several_times_at_once_the_newest_attempt_is_shown(
    pool: Pool, db: Db
) -> None:
    records = [
        attempt(minute=minute, state=State.RETRYING, attempt=minute + 1) for minute in (0, 3, 1)
    ]
    for record in records:
        await put_together(pool, ended(record))

    await ledger_on(pool, db).drain()

    assert (await found(db, "a")())["attempt"] == 4
    assert await db.fetchval("select count(*) from job_attempts") == 3


async def test_an_attempt_that_cannot_be_stored_holds_up_none_of_its_entry(
    pool: Pool, db: Db
) -> None:
    fields = ended(*(attempt(f"run{number}") for number in range(9)))
    fields[b"=run3"] = b"no"
    fields[b"=run4"] = attempt("run4", attempt=2**40).to_bytes()
    fields[b"=run5"] = attempt("run5", attempt="one").to_bytes()
    await put_together(pool, fields)

    await ledger_on(pool, db).drain()

    assert await db.fetchval("select count(*) from job_runs") == 6
    assert await pool.xlen(REJECTED) == 3
    assert await left(pool) == 0


NO_INSTANTS: list[Any] = [1e17, 1e18, 1e20, "9999-12-31T23:00:00-05:00", [], None]
FOREIGN: list[Any] = [
    *({"started_at": instant} for instant in NO_INSTANTS),
    {"job": 5},
    {"run_id": []},
    {"tenant_id": 5},
    {"attempt": True},
    {"label": {}},
    {"worker": None},
]


async def test_what_is_no_record_is_set_aside_in_either_stream(pool: Pool, db: Db) -> None:
    good = orjson.loads(attempt("good").to_bytes())
    ours: list[Any] = [{**good, **changes} for changes in FOREIGN]
    fields = {b"=good": attempt("good").to_bytes()}
    for number, foreign in enumerate([*ours, [], 5, "x", None]):
        fields[f"=bad{number}".encode()] = orjson.dumps(foreign)
        letter = {"last": foreign, "payload": None, "raw": None}
        await pool.xadd(DEAD, {"d": orjson.dumps(letter)})
    await put_together(pool, fields)
    await put(pool, dead("good"))

    await ledger_on(pool, db).drain()

    assert await db.fetchval("select array_agg(run_id) from job_runs") == ["good"]
    assert await db.fetchval("select array_agg(run_id) from dead_letters") == ["good"]
    assert await pool.xlen(REJECTED) == 2 * (len(fields) - 1)
    assert await left(pool) == 0


async def test_a_backlog_of_large_and_small_entries_is_written_to_the_last_event(
    pool: Pool, db: Db
) -> None:
    numbers = iter(range(10_000))
    for size in [1] * 100 + [128] * 40 + [1] * 20:
        await put_together(pool, ended(*(attempt(f"run{next(numbers)}") for _ in range(size))))
    written = next(numbers)

    await ledger_on(pool, db).drain()

    assert await db.fetchval("select count(*) from job_attempts") == written
    assert await left(pool) == 0


# Only the newest of many


async def test_of_many_completed_runs_only_each_queues_newest_are_written(
    pool: Pool, db: Db
) -> None:
    for hundred in range(3):
        numbers = range(hundred * 100, hundred * 100 + 100)
        await put_together(pool, ended(*(attempt(f"run{n}") for n in numbers)))
    failed = [attempt(f"dead{n}", state=State.DEAD, reason="rejected") for n in range(50)]
    await put_together(pool, ended(attempt("alone", queue="email"), *failed))

    await ledger_on(pool, db, keep_completed=20).drain()

    rows = await db.fetch("select run_id from job_runs where state = 'succeeded'")
    assert {row["run_id"] for row in rows} == {"alone", *(f"run{n}" for n in range(280, 300))}
    assert await db.fetchval("select count(*) from job_runs where state = 'dead'") == 50
    assert await db.fetchval("select count(*) from job_attempts") == 71


async def test_what_was_known_of_a_run_goes_when_its_success_is_not_written(
    pool: Pool, db: Db
) -> None:
    ledger = ledger_on(pool, db, keep_completed=0)
    await put_together(pool, ended(attempt("known", state=State.RELEASED), attempt("b", minute=9)))
    await put_together(pool, ended(attempt("other", state=State.SNOOZED)))
    await ledger.drain()
    assert await db.fetchval("select count(*) from job_attempts") == 2

    await put_together(pool, ended(attempt("known", minute=1), attempt("at once", minute=1)))
    await put_together(pool, ended(attempt("again", state=State.SNOOZED)))
    await put_together(pool, ended(attempt("again", minute=1)))
    await ledger.drain()

    for table in ("job_attempts", "job_runs"):
        rows = await db.fetch(f"select run_id from {table}")  # noqa: S608 - one of these two
        assert [row["run_id"] for row in rows] == ["other"]


async def test_a_success_that_is_not_written_takes_no_later_run_of_its_id_away(
    pool: Pool, db: Db
) -> None:
    ledger = ledger_on(pool, db, keep_completed=0)
    later = attempt(minute=5, state=State.DEAD, reason="rejected")
    await put_together(pool, ended(later))
    await ledger.drain()

    await put_together(pool, ended(attempt(minute=1)))
    await ledger.drain()

    assert (await found(db, "a")())["state"] == "dead"
    assert await db.fetchval("select count(*) from job_attempts") == 1


async def test_a_waiting_dead_letter_keeps_its_attempts(pool: Pool, db: Db) -> None:
    ledger = ledger_on(pool, db, keep_completed=0)
    await put_together(pool, ended(attempt(state=State.DEAD, reason="rejected")))
    await put(pool, dead("a", payload={}))
    await ledger.drain()

    await put_together(pool, ended(attempt(minute=1)))
    await ledger.drain()

    assert await db.fetchval("select outcome from job_attempts") == "dead"


async def test_a_success_after_a_failure_is_always_written(pool: Pool, db: Db) -> None:
    """Two workers may write them in either order; the failure shall not have the last word."""
    ledger = ledger_on(pool, db, keep_completed=0)
    await put_together(pool, ended(attempt(minute=1, attempt=2)))
    await ledger.drain()
    await put_together(pool, ended(attempt(state=State.RETRYING)))
    await ledger.drain()

    assert (await found(db, "a")())["state"] == "succeeded"


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
        async with writing(ledger_on(pool, db)):
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
    async with writing(ledger_on(pool, db)):
        await put(pool, attempt("before"))
        await until(found(db, "before"))

        await pool.flushall()
        await put(pool, attempt("after"))

        await until(found(db, "after"))


async def test_a_read_that_is_broken_off_leaves_no_reply_behind(db: Db, redis_url: str) -> None:
    """redis-py must not put a connection back that still waits for the end of the block."""
    pool = open_redis(redis_url, Pool)
    pool.connection_pool.max_connections = 1
    for _ in range(20):
        async with writing(ledger_on(pool, db)):
            await asyncio.sleep(0.01)
        await put(pool, attempt("a"))
        assert await pool.echo("mine") == b"mine"
    await ledger_on(pool, db).drain()

    assert await left(pool) == 0
    await pool.aclose()


async def test_an_idle_ledger_asks_redis_hardly_ever(
    pool: Pool, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times as fast as it is: at most 6 commands a second, so that 0.6 are left."""
    for name, value in {"BLOCK_MS": 500, "PAUSE": 0.01, "TAKE_OVER_EVERY": 3.0}.items():
        monkeypatch.setattr(f"worker.ledger.consumer._{name}", value)
    monkeypatch.setattr("worker.ledger.trim._FOLLOWED_MS", 0)
    await put(pool, attempt("a"))

    async with writing(ledger_on(pool, db)):
        await until(found(db, "a"))
        await asyncio.sleep(0.6)
        before = await commands(pool)
        await asyncio.sleep(2)
        after = await commands(pool)

    assert 3 <= after - before <= 12


async def commands(pool: Pool) -> int:
    """How many commands the server has run, those of this question aside."""
    stats = await pool.info("commandstats")
    return sum(one["calls"] for name, one in stats.items() if name != "cmdstat_info")


# What the streams carry


def test_records_come_back_as_they_were() -> None:
    record = attempt(
        tenant_id=None, label="ı", state=State.DEAD, reason="poison", error_type="E", traceback="t"
    )
    letter = DeadRecord(last=record, payload={"x": [1]}, raw=b"\x00\xff")

    assert AttemptRecord.from_bytes(record.to_bytes()) == record
    assert DeadRecord.from_bytes(letter.to_bytes()) == letter
    assert replace(record, tenant_id=uuid4()) != record


def test_a_dead_letter_tells_instants_as_older_readers_know_them() -> None:
    """In ISO 8601: during a rolling update they read what newer workers write."""
    record = attempt(state=State.DEAD)
    last = orjson.loads(DeadRecord(last=record, payload={}, raw=None).to_bytes())["last"]

    instants = ("enqueued_at", "started_at", "ended_at")
    assert [last[name] for name in instants] == [
        getattr(record, name).isoformat() for name in instants
    ]


async def test_a_record_that_cannot_be_stored_holds_up_none_beside_it(pool: Pool, db: Db) -> None:
    await put(pool, attempt("before"))
    await pool.xadd(EVENTS, {"d": b"{}"})
    await pool.xadd(DEAD, {"d": b"no"})
    await pool.xadd(DEAD, {"nothing": b"of ours"})
    await put(pool, attempt("after"))

    await ledger_on(pool, db).drain()

    assert {row["run_id"] for row in await db.fetch("select run_id from job_runs")} == {
        "before",
        "after",
    }
    assert await pool.xlen(REJECTED) == 3
    assert await left(pool) == 0


async def test_what_was_taken_and_not_written_is_written_at_the_end(pool: Pool, db: Db) -> None:
    ledger = ledger_on(pool, db)
    await ledger.drain()
    await put(pool, attempt("last"))
    await pool.xreadgroup("ledger", ledger._consumer, {EVENTS: ">", DEAD: ">"})

    await ledger.drain()

    assert await db.fetchval("select count(*) from job_runs") == 1
