"""Enqueueing: what is refused before anything is sent, what is one and the same, and what waits."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import arq
import orjson
import pytest
from arq.connections import RedisSettings
from arq.jobs import Job, JobStatus
from redis.exceptions import ConnectionError as RedisConnectionError

from jobs.kit import Enqueued, JobContext, Payload, PayloadError, TenantPayload, job
from tests.conftest import MakeContext
from tests.worker.conftest import Enqueue, Ledgered, until
from tests.worker.testing_jobs import Diary, Order, add_line, pass_on, ship_order
from worker.codec import JobFailedError, dumps, loads
from worker.engine.worker import Worker
from worker.enqueuer import (
    Pool,
    UnknownJobError,
    WrongQueueError,
    create_pool,
)
from worker.message import correlation_id
from worker.redis_pool import open_redis

EMAIL = "arq:queue:email"
TENANT = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
OTHER_TENANT = "6ba7b811-9dad-11d1-80b4-00c04fd430c8"


class Named(Payload):
    function: str
    job_id: str = ""


class Reminder(TenantPayload):
    step: int


class PassedOn(Payload):
    diary: Path


@job("testing_enqueuer.take_function", queue="default")
async def take_function(ctx: JobContext, payload: Named) -> str:
    return payload.function


@job("testing_enqueuer.send_reminder", queue="email", idempotency_key="{step}")
async def send_reminder(ctx: JobContext, payload: Reminder) -> None:
    return None


@job("testing_enqueuer.pass_on_twice", queue="default")
async def pass_on_twice(ctx: JobContext, payload: PassedOn) -> str:
    """A child that has a child: all three belong together."""
    return (await ctx.enqueue(pass_on, Diary(diary=payload.diary))).run_id


async def message(pool: Pool, run: Job | None) -> dict[str, Any]:
    """What lies in Redis for a run."""
    assert run is not None
    raw = await pool.get(f"arq:job:{run.job_id}")
    found: dict[str, Any] = orjson.loads(raw)
    return found


async def due_in(pool: Pool, run: Job | None) -> float:
    """Seconds until a run of the email queue is due."""
    assert run is not None
    score = await pool.zscore(EMAIL, run.job_id)
    assert score is not None
    seconds, _ = await pool.time()
    return float(score / 1000 - seconds)


async def is_empty(pool: Pool) -> bool:
    return not await pool.keys()


# One payload, however it is given


async def test_a_payload_is_a_mapping_a_model_or_its_fields(pool: Pool) -> None:
    runs = [
        await pool.enqueue_job("testing.ship_order", {"order_id": 1, "note": "n"}),
        await pool.enqueue_job("testing.ship_order", Order(order_id=2, note="n")),
        await pool.enqueue_job("testing.ship_order", order_id=3, note="n"),
        await pool.enqueue_job("testing.ship_order", {"order_id": "4", "note": "n"}),
    ]

    written = [await message(pool, run) for run in runs]

    assert [m["a"] for m in written] == [[{"order_id": n, "note": "n"}] for n in (1, 2, 3, 4)]
    assert {(m["f"], m["t"], str(m["k"])) for m in written} == {("testing.ship_order", None, "{}")}


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1,), {}),
        (({"order_id": 1}, {"order_id": 2}), {}),
        (({"order_id": 1},), {"note": "n"}),
        ((None,), {}),
    ],
)
async def test_anything_else_than_one_payload_is_refused(
    pool: Pool, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(PayloadError, match="give one payload"):
        await pool.enqueue_job("testing.ship_order", *args, **kwargs)

    assert await is_empty(pool)


async def test_a_field_may_be_called_as_arqs_own_parameters(pool: Pool, worker: Worker) -> None:
    run = await pool.enqueue_job("testing_enqueuer.take_function", function="f", job_id="j")

    assert run is not None
    assert await run.result(timeout=10, poll_delay=0.02) == "f"


# Refused before anything is sent


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("testing.shiporder", "did you mean 'testing.ship_order'"),
        ("testing.add_lines", "did you mean 'testing.add_line'"),
        ("zzz", r"known: .*testing\.ship_order"),
    ],
)
async def test_an_unknown_job_is_refused_with_the_nearest_name(
    pool: Pool, name: str, hint: str
) -> None:
    with pytest.raises(UnknownJobError, match=hint):
        await pool.enqueue_job(name, order_id=1)

    assert await is_empty(pool)


async def test_a_misspelt_field_is_refused_and_named(pool: Pool) -> None:
    with pytest.raises(PayloadError, match=r"unknown field notte \(it has: order_id, note\)"):
        await pool.enqueue_job("testing.ship_order", order_id=1, notte="secret")

    assert await is_empty(pool)


async def test_every_wrong_field_is_named_without_its_value(pool: Pool) -> None:
    with pytest.raises(PayloadError) as refused:
        await pool.enqueue_job("testing.ship_order", {"order_id": "secret", "note": 5})

    assert [problem.split(":")[0] for problem in refused.value.problems] == ["order_id", "note"]
    assert "secret" not in str(refused.value)
    assert await is_empty(pool)


@pytest.mark.parametrize("queue", ["arq:queue", "default", "risk", ""])
async def test_a_queue_that_is_not_the_jobs_is_refused(pool: Pool, queue: str) -> None:
    with pytest.raises(WrongQueueError, match="runs on the queue 'email', not"):
        await pool.enqueue_job("testing.ship_order", order_id=1, _queue_name=queue)

    assert await is_empty(pool)


@pytest.mark.parametrize("queue", [None, "email", EMAIL])
async def test_a_run_goes_to_its_jobs_queue(pool: Pool, queue: str | None) -> None:
    await pool.enqueue_job("testing.ship_order", order_id=1, _queue_name=queue)

    assert await pool.zrange(EMAIL, 0, -1) == [b"testing.ship_order:1"]


@pytest.mark.parametrize("run_id", ["x" * 201, "ı" * 300])
async def test_a_run_id_that_is_too_long_is_refused(pool: Pool, run_id: str) -> None:
    with pytest.raises(ValueError, match="1 to 200 characters"):
        await pool.enqueue_job("testing.ship_order", order_id=1, _job_id=run_id)

    assert await is_empty(pool)


# One and the same


async def test_an_idempotency_key_makes_two_requests_one(pool: Pool) -> None:
    first = await pool.enqueue_job("testing.ship_order", order_id=7)
    second = await pool.enqueue_job("testing.ship_order", order_id=7, note="again")

    assert first is not None
    assert (first.job_id, second) == ("testing.ship_order:7", None)
    assert (await message(pool, first))["a"] == [{"order_id": 7, "note": ""}]


async def test_a_key_is_taken_while_the_result_is_there_and_free_afterwards(
    pool: Pool, worker: Worker
) -> None:
    first = await pool.enqueue_job("testing.ship_order", order_id=7)
    assert first is not None
    await first.result(timeout=10, poll_delay=0.02)
    assert await pool.enqueue_job("testing.ship_order", order_id=7) is None

    await pool.delete(f"arq:result:{first.job_id}")
    second = await pool.enqueue_job("testing.ship_order", order_id=7)

    assert second is not None
    assert await second.result(timeout=10, poll_delay=0.02) == "7"


async def test_many_at_once_make_one_run(pool: Pool) -> None:
    runs = await asyncio.gather(
        *(pool.enqueue_job("testing.ship_order", order_id=7) for _ in range(20))
    )

    assert len([run for run in runs if run is not None]) == 1
    assert await pool.zcard(EMAIL) == 1


async def test_the_keys_of_two_tenants_never_meet(pool: Pool) -> None:
    runs = [
        await pool.enqueue_job("testing_enqueuer.send_reminder", tenant_id=tenant, step=1)
        for tenant in (TENANT, OTHER_TENANT, TENANT)
    ]

    assert [run.job_id if run else None for run in runs] == [
        f"testing_enqueuer.send_reminder:{TENANT}:1",
        f"testing_enqueuer.send_reminder:{OTHER_TENANT}:1",
        None,
    ]


async def test_an_alias_leads_to_the_same_run(pool: Pool) -> None:
    old = await pool.enqueue_job("old-ship", order_id=7)

    assert await pool.enqueue_job("testing.ship_order", order_id=7) is None
    assert (await message(pool, old))["f"] == "testing.ship_order"


async def test_an_alias_that_a_stock_pool_wrote_runs(
    pool: Pool, worker: Worker, ledgered: Ledgered
) -> None:
    stock = arq.ArqRedis(connection_pool=pool.connection_pool, job_serializer=dumps)

    await stock.enqueue_job("old-ship", order_id=8, _job_id="a", _queue_name=EMAIL)

    assert (await ledgered.run("a", state="succeeded"))["queue"] == "email"


async def test_a_run_id_of_ones_own_is_kept_and_taken_once(pool: Pool) -> None:
    first = await pool.enqueue_job("testing.ship_order", order_id=1, _job_id="mine")
    second = await pool.enqueue_job("testing.ship_order", order_id=2, _job_id="mine")

    assert first is not None
    assert (first.job_id, second) == ("mine", None)
    assert (await message(pool, first))["a"][0]["order_id"] == 1


async def test_enqueue_says_whether_the_run_is_new(pool: Pool) -> None:
    first = await pool.enqueue(ship_order, Order(order_id=7))

    assert first == Enqueued("testing.ship_order:7", is_new=True)
    assert await pool.enqueue(ship_order, Order(order_id=7)) == Enqueued(first.run_id, is_new=False)


async def test_an_old_abort_is_not_meant_for_a_new_run(pool: Pool) -> None:
    await pool.zadd("arq:abort", {"mine": 1, "other": 1})

    await pool.enqueue_job("testing.ship_order", order_id=1, _job_id="mine")

    assert await pool.zrange("arq:abort", 0, -1) == [b"other"]


# When it is due, and until when


@pytest.mark.parametrize("wait", [90, 90.0, timedelta(seconds=90)], ids=repr)
async def test_a_run_may_wait(pool: Pool, wait: float | timedelta) -> None:
    run = await pool.enqueue_job("testing.ship_order", order_id=1, _defer_by=wait)

    assert await due_in(pool, run) == pytest.approx(90, abs=3)
    assert run is not None
    assert await run.status() is JobStatus.deferred


@pytest.mark.parametrize("days", [1, 0, -2, -700_000])
async def test_a_run_may_be_due_at_an_instant_also_long_ago(pool: Pool, days: int) -> None:
    due_at = datetime.now(UTC) + timedelta(days=days)

    run = await pool.enqueue_job("testing.ship_order", order_id=1, _defer_until=due_at)

    assert await due_in(pool, run) == pytest.approx(days * 86_400, abs=3)


async def test_a_run_that_was_due_long_ago_is_run(pool: Pool, worker: Worker) -> None:
    long_ago = datetime(1970, 1, 1, tzinfo=UTC)

    run = await pool.enqueue_job("testing.ship_order", order_id=1, _defer_until=long_ago)

    assert run is not None
    assert await run.result(timeout=10, poll_delay=0.02) == "1"


async def test_both_ways_to_wait_are_refused(pool: Pool) -> None:
    with pytest.raises(ValueError, match="either _defer_until or _defer_by"):
        await pool.enqueue_job(
            "testing.ship_order", order_id=1, _defer_by=1, _defer_until=datetime.now(UTC)
        )

    assert await is_empty(pool)


async def test_a_run_that_came_too_late_is_not_started_and_is_seen(
    pool: Pool, start_worker: Any, ledgered: Ledgered
) -> None:
    for run_id, expires in (("late", 0.01), ("in time", timedelta(hours=1)), ("never", None)):
        await pool.enqueue_job("testing.ship_order", order_id=1, _job_id=run_id, _expires=expires)
    await asyncio.sleep(0.02)

    await start_worker()

    late = await ledgered.run("late", state="expired")
    assert (late["job"], late["reason"]) == (
        "testing.ship_order",
        "it was not to be started after so long",
    )
    for run_id in ("in time", "never"):
        await ledgered.run(run_id, state="succeeded")
    with pytest.raises(JobFailedError, match="not to be started"):
        await Job("late", pool, _queue_name=EMAIL, _deserializer=loads).result()


async def test_a_payload_that_a_stock_pool_let_expire_is_seen(
    pool: Pool, start_worker: Any, ledgered: Ledgered
) -> None:
    await pool.zadd("arq:queue", {"late": 1})

    await start_worker()

    assert (await ledgered.run("late", state="expired"))["job"] == "<unknown>"


async def test_arqs_way_to_start_at_a_later_attempt_has_no_effect(
    pool: Pool, worker: Worker, enqueue: Enqueue, diary: Path
) -> None:
    run = await pool.enqueue_job("testing.add_line", {"diary": str(diary)}, _job_try=20)

    assert run is not None
    await run.result(timeout=10, poll_delay=0.02)
    assert diary.read_text().split() == ["1"]


# By queue, name, type and data


async def test_a_job_is_added_by_queue_name_type_and_data(pool: Pool) -> None:
    run = await pool.add_job(
        "email", "daily shipping", {"type": "testing.ship_order", "data": {"order_id": 5}}
    )

    written = await message(pool, run)
    assert (written["f"], written["a"]) == ("testing.ship_order", [{"order_id": 5, "note": ""}])
    assert written["h"]["label"] == "daily shipping"


async def test_an_added_jobs_name_may_be_its_type_and_its_label_is_remembered(
    pool: Pool, worker: Worker, ledgered: Ledgered
) -> None:
    run = await pool.add_job("email", "old-ship", {"data": {"order_id": 5}})

    assert run is not None
    remembered = await ledgered.run(run.job_id, state="succeeded")
    assert (remembered["job"], remembered["label"]) == ("testing.ship_order", "old-ship")
    assert await pool.add_job("email", "old-ship", {"data": {"order_id": 5}}) is None


@pytest.mark.parametrize(
    ("queue", "added", "error", "sentence"),
    [
        ("email", {"type": "no.such"}, UnknownJobError, "no job is called 'no.such'"),
        ("email", {}, UnknownJobError, "no job is called 'label'"),
        ("risk", {"type": "old-ship"}, WrongQueueError, "runs on the queue 'email'"),
        ("email", {"type": "old-ship"}, PayloadError, "order_id: Field required"),
        ("email", {"type": "old-ship", "data": {"order_id": "x"}}, PayloadError, "order_id"),
        ("email", {"type": "old-ship", "data": {"id": 1}}, PayloadError, "unknown field id"),
    ],
)
async def test_a_bad_job_is_not_added_and_the_reason_is_said(
    pool: Pool, queue: str, added: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        await pool.add_job(queue, "label", added)

    assert await is_empty(pool)


# What belongs together (O-08)


async def test_a_run_carries_the_correlation_id_around_it(pool: Pool) -> None:
    token = correlation_id.set("request-1")
    inside = await pool.enqueue_job("testing.ship_order", order_id=1)
    correlation_id.reset(token)

    outside = await pool.enqueue_job("testing.ship_order", order_id=2)

    assert (await message(pool, inside))["h"] == {"cid": "request-1"}
    assert len((await message(pool, outside))["h"]["cid"]) == 32


async def test_children_inherit_the_correlation_id(
    pool: Pool, worker: Worker, diary: Path, ledgered: Ledgered
) -> None:
    token = correlation_id.set("request-2")
    run = await pool.enqueue_job("testing_enqueuer.pass_on_twice", {"diary": str(diary)})
    correlation_id.reset(token)

    assert run is not None
    child = await run.result(timeout=10, poll_delay=0.02)
    grandchild = await Job(child, pool, _deserializer=loads).result(timeout=10, poll_delay=0.02)

    remembered = [
        await ledgered.run(run_id, state="succeeded") for run_id in (run.job_id, child, grandchild)
    ]
    assert {r["correlation_id"] for r in remembered} == {"request-2"}


async def test_two_runs_at_once_keep_their_correlation_ids_apart(
    pool: Pool, worker: Worker, diary: Path
) -> None:
    runs = {}
    for cid in ("one", "two"):
        token = correlation_id.set(cid)
        runs[cid] = await pool.enqueue_job("testing.add_line", {"diary": str(diary)})
        correlation_id.reset(token)

    found = {
        cid: (await run.result(timeout=10, poll_delay=0.02))["correlation_id"]
        for cid, run in runs.items()
        if run
    }

    assert found == {"one": "one", "two": "two"}
    assert correlation_id.get() is None


async def test_a_job_enqueues_a_checked_payload_under_its_own_correlation_id(
    make_ctx: MakeContext, pool: Pool, diary: Path
) -> None:
    ctx = make_ctx("testing.pass_on", correlation_id="request-3")

    enqueued = await ctx.enqueue(add_line, Diary(diary=diary), delay=timedelta(minutes=10))

    run = Job(enqueued.run_id, pool, _deserializer=loads)
    assert enqueued.is_new
    assert (await message(pool, run))["h"] == {"cid": "request-3"}
    assert await run.status() is JobStatus.deferred


async def test_a_job_that_enqueues_the_same_key_twice_gets_the_same_run(
    make_ctx: MakeContext,
) -> None:
    ctx = make_ctx("testing.pass_on")

    enqueued = [await ctx.enqueue(ship_order, Order(order_id=3)) for _ in range(2)]

    assert [(e.run_id, e.is_new) for e in enqueued] == [
        ("testing.ship_order:3", True),
        ("testing.ship_order:3", False),
    ]


async def test_a_runs_key_is_its_idempotency_key(pool: Pool, worker: Worker) -> None:
    run = await pool.enqueue_job("testing.ship_order", order_id=3, _job_id="mine")

    assert run is not None
    assert await run.result(timeout=10, poll_delay=0.02) == "3"


# A stock pool


@pytest.fixture
async def stock(redis_url: str) -> AsyncIterator[arq.ArqRedis]:
    """What an API that knows ARQ alone has, configured as the README says."""
    pool = await arq.create_pool(
        RedisSettings.from_dsn(redis_url), job_serializer=dumps, job_deserializer=loads
    )
    yield pool
    await pool.aclose()


async def test_a_stock_pool_enqueues_and_reads_the_result(
    stock: arq.ArqRedis, worker: Worker, diary: Path
) -> None:
    run = await stock.enqueue_job("testing.add_line", {"diary": diary})

    assert run is not None
    assert (await run.result(timeout=10, poll_delay=0.02))["lines"] == 1
    assert await run.status() is JobStatus.complete
    info = await run.result_info()
    assert info is not None
    assert (info.success, info.function, info.job_try) == (True, "testing.add_line", 1)
    assert (info.job_id, info.queue_name) == (run.job_id, "arq:queue")


async def test_a_stock_pool_sees_a_failure_as_an_exception(
    stock: arq.ArqRedis, worker: Worker, diary: Path
) -> None:
    run = await stock.enqueue_job("testing.be_rejected", diary=str(diary))

    assert run is not None
    with pytest.raises(JobFailedError, match="RequestRejectedError: the address does not exist"):
        await run.result(timeout=10, poll_delay=0.02)
    (found,) = await stock.all_job_results()
    assert not found.success


async def test_a_stock_pool_sees_a_run_wait_and_run_and_aborts_it(
    stock: arq.ArqRedis, start_worker: Any, diary: Path
) -> None:
    run = await stock.enqueue_job("testing.nap", diary=str(diary), seconds=60)
    assert run is not None
    seen = [await run.status()]
    (waiting,) = await stock.queued_jobs()
    await start_worker()
    await until(lambda: exists(diary))
    seen.append(await run.status())

    assert await run.abort(timeout=10, poll_delay=0.02)

    assert (*seen, await run.status()) == (
        JobStatus.queued,
        JobStatus.in_progress,
        JobStatus.complete,
    )
    assert (waiting.function, waiting.job_id) == ("testing.nap", run.job_id)


async def exists(path: Path) -> bool:
    return path.exists()


async def test_a_stock_pool_reads_what_ours_enqueued(stock: arq.ArqRedis, pool: Pool) -> None:
    await pool.enqueue_job("testing.ship_order", order_id=9)

    (found,) = await stock.queued_jobs(queue_name=EMAIL)

    assert (found.function, found.job_id) == ("testing.ship_order", "testing.ship_order:9")
    assert list(found.args) == [{"order_id": 9, "note": ""}]


# Opening a pool


async def test_a_pool_is_opened_from_an_address_or_the_settings(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)

    for pool in (await create_pool(), await create_pool(redis_url)):
        assert await pool.enqueue_job("testing.add_line", diary="x")
        await pool.aclose()


async def test_without_an_address_the_error_says_what_to_set() -> None:
    with pytest.raises(ValueError, match="set REDIS_URL"):
        await create_pool()


async def test_a_redis_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(RedisConnectionError, match="nothing"):
        await create_pool(f"unix://{tmp_path}/nothing")


async def test_enqueueing_is_one_round_trip(pool: Pool, redis_url: str) -> None:
    await pool.ping()
    for order in range(2):  # the first one connects, and loads the script
        await pool.enqueue_job("testing.ship_order", order_id=order, _job_id=f"order {order}")
    async with open_redis(redis_url, Pool) as watcher, watcher.monitor() as monitor:
        await pool.enqueue_job("testing.ship_order", order_id=2, _defer_by=5, _expires=60)
        await pool.echo("done")

        sent = [
            seen["command"].split()[0]
            async for seen in _until_echo(monitor)
            if seen["client_type"] != "lua"
        ]

    assert sent == ["EVALSHA"]


async def _until_echo(monitor: Any) -> AsyncIterator[dict[str, str]]:
    while (seen := await monitor.next_command())["command"] != "ECHO done":
        yield seen
