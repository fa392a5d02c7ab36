"""How an attempt ends: each row of the outcome table, on a real Redis and PostgreSQL."""

import asyncio
import pickle
import signal
from collections.abc import Callable
from pathlib import Path

import arq
import pytest
from arq.constants import default_queue_name, job_key_prefix
from arq.jobs import Job, JobStatus

from tests.worker import testing_jobs
from tests.worker.conftest import Enqueue, Ledgered, SpawnValkey, SpawnWorker, StartWorker, until
from worker.codec import JobFailedError, dumps, loads
from worker.engine.worker import Worker
from worker.enqueuer import Pool
from worker.redis_pool import open_redis

NOBODY = "nobody@nowhere.example"


def handle(pool: Pool, run_id: str) -> Job:
    return Job(run_id, pool, _deserializer=loads)


async def test_it_returns(worker: Worker, pool: Pool, enqueue: Enqueue, ledgered: Ledgered) -> None:
    run_id = await enqueue("testing.add_line")

    result = await handle(pool, run_id).result(timeout=10, poll_delay=0.02)

    assert result["lines"] == 1
    assert await handle(pool, run_id).status() is JobStatus.complete
    assert 0 < await pool.ttl(f"arq:result:{run_id}") <= 120
    assert (await ledgered.run(run_id, state="succeeded"))["correlation_id"] == (
        result["correlation_id"]
    )


async def test_it_raises_cancel(
    worker: Worker, pool: Pool, enqueue: Enqueue, ledgered: Ledgered
) -> None:
    run_id = await enqueue("testing.cancel")

    run = await ledgered.run(run_id, state="cancelled")

    assert run["reason"] == "paid already"
    assert [a["outcome"] for a in await ledgered.attempts(run_id)] == ["cancelled"]
    with pytest.raises(asyncio.CancelledError, match="paid already"):
        await handle(pool, run_id).result(timeout=5)


async def test_it_raises_snooze_and_spends_no_attempt(
    worker: Worker, enqueue: Enqueue, ledgered: Ledgered, diary: Path
) -> None:
    run_id = await enqueue("testing.snooze_once")

    await ledgered.run(run_id, state="succeeded")

    assert diary.read_text().split() == ["1", "1"]
    outcomes = [(a["attempt"], a["outcome"]) for a in await ledgered.attempts(run_id)]
    assert outcomes == [(1, "snoozed"), (1, "succeeded")]


async def test_a_rejected_request_is_dead_at_once(
    worker: Worker, enqueue: Enqueue, ledgered: Ledgered
) -> None:
    run_id = await enqueue("testing.be_rejected")

    letter = await ledgered.dead_letter(run_id)

    assert (letter["reason"], letter["attempt"]) == ("rejected", 1)
    assert letter["error_message"] == "the address does not exist"
    assert (await ledgered.run(run_id, state="dead"))["attempt"] == 1


async def test_an_invalid_payload_is_dead_at_once_and_names_the_field(
    worker: Worker, pool: Pool, ledgered: Ledgered
) -> None:
    stock = arq.ArqRedis(connection_pool=pool.connection_pool, job_serializer=dumps)
    job = await stock.enqueue_job(
        "testing.ship_order", {"order_id": NOBODY}, _queue_name="arq:queue:email"
    )
    assert job is not None

    letter = await ledgered.dead_letter(job.job_id)

    assert letter["reason"] == "invalid_payload"
    assert "order_id: Input should be a valid integer" in letter["error_message"]
    assert NOBODY not in letter["error_message"]
    assert NOBODY in letter["payload"]


async def test_any_other_error_is_retried_and_every_attempt_is_remembered(
    worker: Worker, pool: Pool, enqueue: Enqueue, ledgered: Ledgered
) -> None:
    run_id = await enqueue("testing.fail")

    letter = await ledgered.dead_letter(run_id)
    await ledgered.run(run_id, state="dead")

    assert (letter["reason"], letter["attempt"]) == ("attempts_spent", 3)
    attempts = await ledgered.attempts(run_id)
    assert [a["outcome"] for a in attempts] == ["retrying", "retrying", "dead"]
    assert [a["error_message"] for a in attempts] == [
        f"attempt {number} went wrong" for number in (1, 2, 3)
    ]
    assert all("in fail\n" in a["traceback"] for a in attempts)
    with pytest.raises(JobFailedError, match="ValueError: attempt 3 went wrong"):
        await handle(pool, run_id).result(timeout=5)


async def test_a_retry_may_succeed(
    worker: Worker, pool: Pool, enqueue: Enqueue, ledgered: Ledgered
) -> None:
    run_id = await enqueue("testing.fail", succeeds_at=3)

    assert await handle(pool, run_id).result(timeout=10, poll_delay=0.02) == "at last"
    assert (await ledgered.run(run_id, state="succeeded"))["attempt"] == 3
    assert await pool.exists(f"arq:retry:{run_id}", f"deskhand:run:{run_id}") == 0


async def test_a_retry_waits_as_long_as_the_service_asks(
    worker: Worker, pool: Pool, enqueue: Enqueue, ledgered: Ledgered
) -> None:
    run_id = await enqueue("testing.be_throttled")

    run = await ledgered.run(run_id, state="retrying")

    due_ms = await pool.zscore(default_queue_name, run_id)
    assert due_ms is not None
    assert 7190 <= due_ms / 1000 - run["started_at"].timestamp() <= 7210
    assert await pool.exists(job_key_prefix + run_id)


async def test_running_out_of_time_is_a_failure_like_any_other(
    worker: Worker, pool: Pool, enqueue: Enqueue, ledgered: Ledgered
) -> None:
    run_id = await enqueue("testing.run_out_of_time", succeeds_at=2)

    assert await handle(pool, run_id).result(timeout=10, poll_delay=0.02) == "in time"
    await ledgered.run(run_id, state="succeeded")
    first, _ = await ledgered.attempts(run_id)
    assert (first["error_type"], first["outcome"]) == ("JobTimeoutError", "retrying")


@pytest.mark.parametrize(
    ("job", "error_type"),
    [
        ("testing.raise_timeout", "TimeoutError"),
        ("testing.exit", "SystemExit"),
        ("testing.leak_cancellation", "StrayCancelError"),
    ],
)
async def test_no_error_of_a_job_ends_the_worker(
    worker: Worker, enqueue: Enqueue, ledgered: Ledgered, job: str, error_type: str
) -> None:
    letter = await ledgered.dead_letter(await enqueue(job))

    assert (letter["reason"], letter["error_type"]) == ("attempts_spent", error_type)
    await ledgered.run(await enqueue("testing.add_line"), state="succeeded")


async def test_shutdown_gives_a_run_back_without_spending_an_attempt(
    start_worker: StartWorker, pool: Pool, enqueue: Enqueue, ledgered: Ledgered, diary: Path
) -> None:
    first = await start_worker(shutdown_grace=0.1)
    run_id = await enqueue("testing.nap", seconds=1)
    await until(lambda: handle_exists(diary))
    first.handle_sig(signal.SIGTERM)
    await ledgered.run(run_id, state="released")

    await start_worker()

    assert (await ledgered.run(run_id, state="succeeded"))["attempt"] == 1
    assert diary.read_text().splitlines() == ["1 begin", "1 begin", "1 end"]


async def handle_exists(path: Path) -> bool:
    return path.exists()


async def test_a_crashed_workers_run_starts_again_without_spending_an_attempt(
    spawn_worker: SpawnWorker,
    start_worker: StartWorker,
    enqueue: Enqueue,
    ledgered: Ledgered,
    diary: Path,
) -> None:
    crashed = spawn_worker()
    run_id = await enqueue("testing.nap", seconds=0.5)
    await until(lambda: handle_exists(diary))
    crashed.kill()

    await start_worker()

    assert (await ledgered.run(run_id, state="succeeded"))["attempt"] == 1
    assert diary.read_text().splitlines()[0] == "1 begin"


async def test_a_run_that_kills_three_workers_is_dead_as_poison(
    spawn_worker: SpawnWorker,
    start_worker: StartWorker,
    enqueue: Enqueue,
    ledgered: Ledgered,
    diary: Path,
) -> None:
    run_id = await enqueue("testing.kill_worker")
    for _ in range(3):
        assert await asyncio.to_thread(spawn_worker().wait, 30) == -signal.SIGKILL

    await start_worker()

    letter = await ledgered.dead_letter(run_id)
    assert (letter["reason"], letter["attempt"]) == ("poison", 1)
    assert diary.read_text().split() == ["1", "1", "1"]


async def test_a_stock_abort_cancels_a_running_run(
    worker: Worker, pool: Pool, enqueue: Enqueue, ledgered: Ledgered, diary: Path
) -> None:
    run_id = await enqueue("testing.nap", seconds=60)
    await until(lambda: handle_exists(diary))

    assert await handle(pool, run_id).abort(timeout=10, poll_delay=0.05)

    assert (await ledgered.run(run_id, state="cancelled"))["reason"] == "aborted"
    assert await pool.zscore("arq:abort", run_id) is None


async def test_a_stock_abort_cancels_a_waiting_run(
    start_worker: StartWorker, pool: Pool, enqueue: Enqueue, diary: Path
) -> None:
    job = await pool.enqueue_job("testing.add_line", {"diary": str(diary)}, _defer_by=3600)
    assert job is not None
    await start_worker()

    assert await job.abort(timeout=10, poll_delay=0.05)
    assert not diary.exists()


async def test_an_abort_of_an_earlier_run_is_not_meant_for_this_one(
    worker: Worker, pool: Pool, diary: Path
) -> None:
    await pool.zadd("arq:abort", {"again": 1})
    stock = arq.ArqRedis(connection_pool=pool.connection_pool, job_serializer=dumps)

    job = await stock.enqueue_job("testing.add_line", {"diary": str(diary)}, _job_id="again")

    assert job is not None
    assert (await handle(pool, "again").result(timeout=10, poll_delay=0.02))["lines"] == 1


async def test_an_unknown_job_is_given_back_and_dead_after_the_grace(
    start_worker: StartWorker, pool: Pool, ledgered: Ledgered, quick_return: None
) -> None:
    await start_worker(unknown_job_grace=0.5)
    await pool.enqueue_raw("testing.of_tomorrow", {}, queue="default", run_id="new", headers={})

    await ledgered.run("new", state="released")
    letter = await ledgered.dead_letter("new")

    assert (letter["reason"], letter["job"]) == ("unknown_job", "testing.of_tomorrow")
    assert letter["payload"] == "{}"


@pytest.fixture
def quick_return(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.runner._UNKNOWN_WAIT", (0.2, 0.3))


async def test_a_pickled_payload_is_refused_with_the_way_out(
    worker: Worker, pool: Pool, ledgered: Ledgered, diary: Path
) -> None:
    stock = arq.ArqRedis(connection_pool=pool.connection_pool)
    job = await stock.enqueue_job("testing.add_line", {"diary": str(diary)})
    assert job is not None

    letter = await ledgered.dead_letter(job.job_id)

    assert letter["reason"] == "undecodable"
    assert "job_serializer=worker.codec.dumps" in letter["error_message"]
    assert pickle.loads(letter["raw"])["f"] == "testing.add_line"  # noqa: S301 - our own bytes


async def test_restricted_pickle_reads_builtins_and_nothing_else(
    start_worker: StartWorker, pool: Pool, ledgered: Ledgered, diary: Path
) -> None:
    await start_worker(arq_accept_pickle="restricted")
    stock = arq.ArqRedis(connection_pool=pool.connection_pool)

    plain = await stock.enqueue_job("testing.add_line", {"diary": str(diary)})
    code = await stock.enqueue_job("testing.add_line", {"diary": diary})

    assert plain is not None
    assert code is not None
    await ledgered.run(plain.job_id, state="succeeded")
    assert "is not a builtin" in (await ledgered.dead_letter(code.job_id))["error_message"]


@pytest.mark.parametrize("kind", ["object", "bytes", "circle"])
async def test_a_result_that_is_not_json_does_not_undo_a_success(
    worker: Worker, pool: Pool, enqueue: Enqueue, ledgered: Ledgered, diary: Path, kind: str
) -> None:
    run_id = await enqueue("testing.return_oddity", kind=kind)

    await ledgered.run(run_id, state="succeeded")

    assert await handle(pool, run_id).result(timeout=5) is None
    assert diary.read_text().split() == ["1"]


@pytest.mark.parametrize(
    ("kind", "state"),
    [("surrogate", "dead"), ("nul", "dead"), ("unspeakable", "dead"), ("reason", "cancelled")],
)
async def test_an_error_that_cannot_be_written_down_ends_its_run_all_the_same(
    worker: Worker, enqueue: Enqueue, ledgered: Ledgered, diary: Path, kind: str, state: str
) -> None:
    run_id = await enqueue("testing.raise_oddity", kind=kind)

    await ledgered.run(run_id, state=state)

    assert diary.read_text().split() == ["1"]


async def test_what_no_pool_wrote_ends_no_worker_and_no_other_run(
    worker: Worker, pool: Pool, enqueue: Enqueue, ledgered: Ledgered
) -> None:
    await pool.zadd(default_queue_name, {b"\xff": 1})
    await pool.zadd(default_queue_name, {"old": -1e18, "lost": float("-inf")})
    await pool.set(job_key_prefix + "late", b'{"t":1,"f":"x","a":[],"k":{},"et":1e20}')
    await pool.zadd(default_queue_name, {"late": 1, "nul\x00": 1, "long" * 2000: 1})
    await pool.zadd("arq:abort", {"late": float("inf")})

    await ledgered.run(await enqueue("testing.add_line"), state="succeeded")

    assert (await ledgered.dead_letter("late"))["reason"] == "undecodable"
    await ledgered.run("old", state="expired")
    await until(lambda: empty(pool))


async def empty(pool: Pool) -> bool:
    return bool(await pool.zcard(default_queue_name) == 0)


async def test_offloaded_work_dies_with_its_run(
    worker: Worker, pool: Pool, enqueue: Enqueue, diary: Path
) -> None:
    run_id = await enqueue("testing.offload_nap", seconds=60)
    pid = int(await until(lambda: read(diary)))

    await handle(pool, run_id).abort(timeout=10, poll_delay=0.05)

    await until(gone(pid))


async def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def gone(pid: int) -> Callable[[], "asyncio.Future[bool]"]:
    async def check() -> bool:
        return not Path("/proc", str(pid)).exists()

    return lambda: asyncio.ensure_future(check())


def test_the_testing_jobs_are_declared() -> None:
    assert testing_jobs.nap.name == "testing.nap"


async def test_a_redis_that_was_silent_for_longer_than_the_lease_makes_no_work_run_twice(
    spawn_valkey: SpawnValkey, start_worker: StartWorker, diary: Path
) -> None:
    process, url = spawn_valkey()
    await start_worker(redis_url=url, run_lease=3)
    other = open_redis(url, Pool)
    job = await other.enqueue_job("testing.nap", {"diary": str(diary), "seconds": 1})
    assert job is not None
    await until(lambda: handle_exists(diary))

    process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(4)  # what is tested is that this much time passes
    process.send_signal(signal.SIGCONT)

    assert await job.result(timeout=20, poll_delay=0.05) == "rested"
    await asyncio.sleep(1)  # and that nothing starts again
    assert diary.read_text().splitlines() == ["1 begin", "1 end"]
    await other.aclose()
