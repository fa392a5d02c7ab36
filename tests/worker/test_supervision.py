"""What is away, slow or broken around a worker: it goes on, and no run is lost or done twice."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.chaos.proxy import Proxy
from tests.worker.conftest import Ledgered, SpawnValkey, StartWorker, until
from tests.worker.trouble_jobs import (
    NAPS,
    ask_postgres,
    block_loop,
    fail,
    interrupt,
    leave,
    leave_in_task,
)
from tests.worker.trouble_servers import (
    Load,
    MortalPostgres,
    MortalRedis,
    Workers,
    exit_code,
    redis_in,
    workers_in,
)
from worker.ending import State
from worker.enqueuer import Pool
from worker.migrate import migrate
from worker.redis_pool import open_redis

if TYPE_CHECKING:
    Db = asyncpg.Pool[asyncpg.Record]

NAP = NAPS["default"]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Pool]:
    pool = open_redis(url, Pool)
    try:
        yield pool
    finally:
        await pool.aclose()


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    return tmp_path / "marks"


@pytest.fixture
async def load(pool: Pool, marks: Path) -> Load:
    return Load(pool, marks)


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[MortalRedis]:
    """On a port, durable, to be killed and started."""
    async with redis_in(tmp_path / "redis") as redis:
        yield redis


async def check_each_ran_once(load: Load, db: "Db", *, within: float = 30) -> None:
    """By their own marks, and by the history: one attempt, one success."""

    async def are_all_written() -> bool:
        return bool(await db.fetchval("select count(*) from job_runs") == len(load.handles))

    await until(are_all_written, within)
    everyone = dict.fromkeys(load.handles, 1)
    assert load.count("begin") == everyone
    assert load.count("end") == everyone
    runs = await db.fetch("select run_id, state, attempt from job_runs")
    assert {row["run_id"] for row in runs} == load.run_ids
    assert {(row["state"], row["attempt"]) for row in runs} == {("succeeded", 1)}
    attempts = await db.fetch("select run_id, outcome from job_attempts")
    assert len(attempts) == len(load.handles)
    assert {row["outcome"] for row in attempts} == {"succeeded"}


# Redis


async def test_a_redis_that_comes_back_empty_is_told_how_the_runs_in_hand_ended(
    redis: MortalRedis, start_worker: StartWorker, db: "Db", marks: Path
) -> None:
    await start_worker(redis_url=redis.url)
    async with opened(redis.url) as pool:
        load = Load(pool, marks)
        numbers = [await load.add(NAPS[queue], seconds=2) for queue in ("default", "sync", "risk")]
        for number in numbers:
            await load.until(number, "begin")

        await asyncio.to_thread(redis.kill)
        await redis.start(is_empty=True)

        assert [await load.result(number) for number in numbers] == numbers
        after = await load.add(NAP)
        assert await load.result(after) == after
        await check_each_ran_once(load, db)


async def test_a_redis_that_stands_still_for_moments_makes_no_run_go_twice(
    spawn_valkey: SpawnValkey, start_worker: StartWorker, db: "Db", marks: Path
) -> None:
    process, url = spawn_valkey()
    await start_worker(redis_url=url, keep_completed=1000)
    async with opened(url) as pool:
        load = Load(pool, marks)
        adding = asyncio.create_task(add_some(load, 150, seconds=0.1))
        for _ in range(2):
            await load.until(len(load.handles) + 10, "begin")
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(2)  # that it takes so long is what is tested
            process.send_signal(signal.SIGCONT)
        await adding

        await check_each_ran_once(load, db)


async def add_some(load: Load, count: int, *, seconds: float) -> None:
    for _ in range(count):
        await load.add(NAP, seconds=seconds)
        await asyncio.sleep(0.01)


async def test_connections_that_are_reset_in_mid_reply_make_no_run_go_twice(
    redis: MortalRedis, start_worker: StartWorker, db: "Db", marks: Path
) -> None:
    """Who enqueues goes the same way, and sends again what he has no answer to."""
    proxy = Proxy(redis.port)
    await proxy.start()
    url = f"redis://127.0.0.1:{proxy.port}"
    await start_worker(redis_url=url, keep_completed=1000)
    async with opened(url) as pool:
        load = Load(pool, marks)
        adding = asyncio.create_task(add_some(load, 200, seconds=0.05))
        while not adding.done():
            await asyncio.sleep(0.15)
            proxy.cut()
        await adding

        await check_each_ran_once(load, db)
    assert proxy.cut_replies >= 10
    await proxy.stop()


REFUSALS = {
    "READONLY": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    "NOREPLICAS": (
        ("CONFIG", "SET", "min-replicas-to-write", "1"),
        ("CONFIG", "SET", "min-replicas-to-write", "0"),
    ),
    "OOM": (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
}


@pytest.mark.parametrize("code", REFUSALS)
async def test_a_redis_that_refuses_to_write_for_a_while_costs_no_end_of_a_run(
    redis: MortalRedis, start_worker: StartWorker, db: "Db", marks: Path, code: str
) -> None:
    """It became a replica, lost its replicas, or is full: the ends of runs wait."""
    begin, end = REFUSALS[code]
    worker = await start_worker(redis_url=redis.url, run_lease=10)
    async with opened(redis.url) as pool:
        load = Load(pool, marks)
        numbers = [await load.add(NAPS[queue], seconds=0.5) for queue in ("default", "sync")]
        bad = await load.add(fail, seconds=0.5)
        for number in (*numbers, bad):
            await load.until(number, "begin")

        await pool.execute_command(*begin)  # type: ignore[no-untyped-call]  # redis-py has no types here
        await asyncio.sleep(3)  # that it takes so long is what is tested
        await pool.execute_command(*end)  # type: ignore[no-untyped-call]  # as above

        assert [await load.result(number) for number in numbers] == numbers
        after = await load.add(NAP)
        assert await load.result(after) == after
        await Ledgered(db).dead_letter(load.handles[bad].job_id)
    assert load.count("begin") == dict.fromkeys(load.handles, 1)
    assert worker.engine is not None
    assert worker.engine.hands.ended == {State.SUCCEEDED: 3, State.DEAD: 1}


# PostgreSQL


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[MortalPostgres]:
    """Durable, migrated, and the test's own."""
    server = MortalPostgres(tmp_path)
    asyncio.run(migrate(server.url))
    yield server
    server.stop()


async def test_a_postgresql_that_is_killed_holds_up_no_run_and_gets_the_history_later(
    postgres: MortalPostgres, start_worker: StartWorker, load: Load
) -> None:
    await start_worker(database_url=postgres.url)
    in_hand = await load.add(NAP, seconds=1)
    await load.until(in_hand, "begin")

    postgres.die()

    meanwhile = [await load.add(NAPS[queue]) for queue in ("default", "email", "dunning")]
    with_sql = await load.add(ask_postgres)
    bad = await load.add(fail)
    assert [await load.result(number) for number in (in_hand, *meanwhile)] == [in_hand, *meanwhile]
    await load.until(bad, "begin")
    await load.until(with_sql, "begin")
    postgres.come_back()

    assert await load.result(with_sql) == 7
    async with postgres_pool(postgres.url) as db:
        ledgered = Ledgered(db)
        for number in (in_hand, *meanwhile):
            await ledgered.run(load.handles[number].job_id, state="succeeded")
        letter = await ledgered.dead_letter(load.handles[bad].job_id)
        assert (letter["reason"], letter["error_type"]) == ("attempts_spent", "ValueError")
        attempts = await ledgered.attempts(load.handles[with_sql].job_id)
        assert [row["outcome"] for row in attempts][-1] == "succeeded"
    assert load.count("begin")[in_hand] == 1


@asynccontextmanager
async def postgres_pool(url: str) -> AsyncIterator["Db"]:
    async def connected() -> "Db | None":
        try:
            return await asyncpg.create_pool(url, min_size=1, max_size=2)
        except (OSError, asyncpg.CannotConnectNowError):
            return None

    pool = await until(connected)
    try:
        yield pool
    finally:
        await pool.close()


async def test_backends_that_are_terminated_again_and_again_cost_no_history(
    start_worker: StartWorker, db: "Db", load: Load
) -> None:
    await start_worker(keep_completed=1000, log_runs="problems")
    adding = asyncio.create_task(add_some(load, 100, seconds=0.02))
    terminated = 0
    while not adding.done():
        terminated += await db.fetchval(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
            "   and application_name = 'worker-service'"
        )
        await asyncio.sleep(0.1)
    await adding

    await check_each_ran_once(load, db)
    assert terminated >= 5


# Keys of a wrong type: whoever can write to Redis can write nonsense.

OURS = (
    "deskhand:events",
    "deskhand:dead",
    "deskhand:epoch",
    "deskhand:counts",
    "deskhand:workers",
    "deskhand:unknown",
    "deskhand:crashed",
    "arq:abort",
    "arq:queue:email",
)


@pytest.mark.parametrize("key", OURS)
async def test_a_key_of_a_wrong_type_ends_no_worker_and_no_other_run(
    start_worker: StartWorker, pool: Pool, load: Load, key: str
) -> None:
    worker = await start_worker(run_lease=3)
    in_hand = await load.add(NAP, seconds=1)
    await load.until(in_hand, "begin")

    await pool.delete(key)
    if key == "deskhand:epoch":
        await pool.rpush(key, "nonsense")  # type: ignore[misc]  # redis-py: sync or async
    else:
        await pool.set(key, "nonsense")

    others = [await load.add(NAPS[queue]) for queue in ("default", "sync")]
    bad = await load.add(fail)
    assert [await load.result(number) for number in (in_hand, *others)] == [in_hand, *others]
    await load.until(bad, "begin")
    assert worker.main_task is not None
    assert not worker.main_task.done()
    assert set(load.count("begin").values()) == {1}


async def test_a_run_whose_queue_became_something_else_keeps_its_lease_and_those_beside_it(
    start_worker: StartWorker, pool: Pool, load: Load
) -> None:
    """Renewals go in one call for all runs in hand."""
    await start_worker(run_lease=3)
    numbers = [await load.add(NAPS[queue], seconds=6) for queue in ("email", "sync", "default")]
    for number in numbers:
        await load.until(number, "begin")
    await start_worker(run_lease=3)

    await pool.set("arq:queue:email", "nonsense")

    for number in numbers:
        await load.until(number, "end")
        await until(lambda: pool.exists(f"arq:result:run-{number}"))  # noqa: B023 - called at once
    assert load.count("begin") == dict.fromkeys(numbers, 1)


# What a job, a hook or a script may do


@pytest.fixture
def workers(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Workers]:
    servers = {"database_url": database_url, "redis_url": redis_url}
    with workers_in(tmp_path, **servers, RUN_LEASE="3") as workers:
        yield workers


async def test_a_job_that_exits_in_any_way_ends_itself_alone(
    workers: Workers, load: Load, ledgered: Ledgered
) -> None:
    process = workers.start()
    in_hand = await load.add(NAP, seconds=3)
    await load.until(in_hand, "begin")

    ways = {"SystemExit": (leave, leave_in_task), "KeyboardInterrupt": (interrupt,)}
    for error, jobs in ways.items():
        for job in jobs:
            number = await load.add(job)
            letter = await ledgered.dead_letter(load.handles[number].job_id)
            assert letter["error_type"] == error

    after = await load.add(NAP)
    assert [await load.result(number) for number in (in_hand, after)] == [in_hand, after]
    assert set(load.count("begin").values()) == {1}
    process.terminate()
    assert await exit_code(process) == 0


async def test_hooks_that_exit_end_no_process(workers: Workers, load: Load, db: "Db") -> None:
    process = workers.start("HookSettings")
    numbers = [await load.add(NAPS[queue]) for queue in ("default", "email", "risk")]

    assert [await load.result(number) for number in numbers] == numbers
    await check_each_ran_once(load, db)

    process.terminate()
    assert await exit_code(process) == 0
    # Three hooks for each run.
    assert workers.log().count("A hook failed") == 9


async def test_a_loop_that_is_blocked_for_longer_than_the_lease_loses_no_run(
    workers: Workers, load: Load, db: "Db"
) -> None:
    workers.start()
    workers.start()
    for number in range(2):
        await workers.until_logged("Worker started", number)
    beside = [await load.add(NAP, seconds=1) for _ in range(6)]
    blocking = await load.add(block_loop, seconds=5)

    for number in (blocking, *beside):
        await load.until(number, "end")

    await check_each_ran_once(load, db)
    logs = workers.log(0) + workers.log(1)
    assert logs.count("The event loop is blocked") == 1
    assert "time.sleep(payload.seconds)" in logs
    assert "lease was lost" not in logs
