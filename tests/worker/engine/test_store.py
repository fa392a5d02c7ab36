"""The scripts alone, on a real Redis: who gets a run, who may end it, and what is left behind."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import arq
import arq.worker
import pytest
from arq.jobs import Job, JobStatus
from arq.worker import func

from jobs.kit import QUEUES
from tests.worker.conftest import until
from tests.worker.engine.desk import Desk, End, again, over
from worker.codec import dumps, loads
from worker.engine.claims import Claim, instant
from worker.engine.fleet import QueueSizes, beat, farewell, sizes, workers
from worker.engine.store import COUNTS, DEAD, EVENTS
from worker.engine.worker import Worker
from worker.enqueuer import Pool
from worker.message import When
from worker.redis_pool import open_redis_for_thread

DEFAULT, EMAIL, RISK = QUEUES["default"], QUEUES["email"], QUEUES["risk"]
# `worker.main` puts ours in the place of ARQ's own: this is the one that it builds on.
StockWorker: "type[arq.worker.Worker]" = Worker.__bases__[0]
LEASE = timedelta(seconds=30)
BLINK = timedelta(milliseconds=40)
DAY_MS = 86_400_000


@pytest.fixture
def store(pool: Pool) -> Iterator[Desk]:
    with contextlib.closing(Desk(pool, worker_id="w1", lease=LEASE)) as desk:
        yield desk


@pytest.fixture
def other(pool: Pool) -> Iterator[Desk]:
    with contextlib.closing(Desk(pool, worker_id="w2", lease=LEASE)) as desk:
        yield desk


@pytest.fixture
def hasty(pool: Pool) -> Iterator[Desk]:
    """Its leases lapse at once."""
    with contextlib.closing(Desk(pool, worker_id="hasty", lease=BLINK)) as desk:
        yield desk


async def put(pool: Pool, *run_ids: str, queue: str = "default", wait_ms: int = 0) -> None:
    for run_id in run_ids:
        assert await pool.enqueue_raw(
            "testing.add_line",
            {},
            queue=queue,
            run_id=run_id,
            when=When(wait_ms=wait_ms),
            headers={},
        )


def stock(pool: Pool) -> arq.ArqRedis:
    return arq.ArqRedis(
        connection_pool=pool.connection_pool, job_serializer=dumps, job_deserializer=loads
    )


async def claim_one(store: Desk) -> Claim:
    (claim,) = await store.claim({DEFAULT: 1})
    return claim


async def claim_again(store: Desk) -> Claim:
    """Claim as soon as something is due: also by the clock, and rounding, of a stock pool."""
    (claim,) = await until(lambda: store.claim({DEFAULT: 1}))
    return claim


async def snapshot(pool: Pool) -> dict[bytes, bytes | None]:
    """Everything but what calls are remembered by."""
    keys = [key for key in sorted(await pool.keys()) if not key.startswith(b"deskhand:tick:")]
    return {key: await pool.dump(key) for key in keys}


async def left(pool: Pool) -> set[str]:
    """All keys but those that the engine always has."""
    own = {EVENTS, COUNTS, "deskhand:epoch"}
    names = {key.decode() for key in await pool.keys()}
    return {name for name in names - own if not name.startswith("deskhand:tick:")}


async def events(pool: Pool) -> list[tuple[str, str]]:
    """All events so far, as they stand in the stream."""
    return [
        (name.decode(), value.decode())
        for _, fields in await pool.xrange(EVENTS)
        for name, value in fields.items()
    ]


async def immortal(pool: Pool) -> set[str]:
    """The keys that never expire."""
    return {key.decode() for key in await pool.keys() if await pool.ttl(key) == -1}


# Claiming


async def test_a_claim_respects_the_free_slots_of_each_queue(pool: Pool, store: Desk) -> None:
    await put(pool, "d1", "d2", "d3")
    await put(pool, "e1", "e2", queue="email")
    await put(pool, "r1", queue="risk")

    claims = await store.claim({DEFAULT: 2, RISK: 0, EMAIL: 1})

    assert [(c.queue.name, c.run_id) for c in claims] == [
        ("default", "d1"),
        ("default", "d2"),
        ("email", "e1"),
    ]


async def test_without_free_slots_nothing_is_asked(pool: Pool, store: Desk) -> None:
    await put(pool, "d1")

    assert await store.claim({DEFAULT: 0, EMAIL: -1}) == []
    assert await pool.exists("arq:in-progress:d1") == 0


async def test_runs_come_by_score_and_not_before_they_are_due(pool: Pool, store: Desk) -> None:
    await put(pool, "later", wait_ms=60_000)
    await put(pool, "third", wait_ms=-1000)
    await put(pool, "first", wait_ms=-DAY_MS)
    await put(pool, "second", wait_ms=-5000)

    claims = await store.claim({DEFAULT: 10})

    assert [c.run_id for c in claims] == ["first", "second", "third"]
    assert claims[0].due_at < claims[1].due_at < claims[2].due_at < datetime.now(UTC)


async def test_a_claim_brings_the_payload_and_a_fresh_count(pool: Pool, store: Desk) -> None:
    await put(pool, "a")

    claim = await claim_one(store)

    assert claim.raw == await pool.get("arq:job:a")
    assert (claim.attempt, claim.attempts_spent, claim.crashes) == (1, 0, 0)
    assert (claim.aborted_ms, claim.unknown_ms) == (None, None)


async def test_a_claim_leaves_the_head_of_the_queue_under_its_owners_token(
    pool: Pool, store: Desk
) -> None:
    await put(pool, "a")

    claim = await claim_one(store)

    seconds, micros = await pool.time()
    score = await pool.zscore(DEFAULT.key, "a")
    assert await pool.get("arq:in-progress:a") == claim.token.encode()
    assert claim.token.startswith("w1:")
    assert score == pytest.approx(seconds * 1000 + micros / 1000 + 30_000, abs=500)
    assert await pool.pttl("arq:in-progress:a") == pytest.approx(30_000, abs=500)


async def test_a_second_claimer_gets_nothing(pool: Pool, store: Desk, other: Desk) -> None:
    await put(pool, "a")
    await store.claim({DEFAULT: 5})

    assert await other.claim({DEFAULT: 5}) == []
    assert await store.claim({DEFAULT: 5}) == []


async def test_two_workers_share_a_queue_without_a_run_given_out_twice(
    pool: Pool, store: Desk, other: Desk
) -> None:
    await put(pool, *(f"run{number}" for number in range(40)))

    batches = await asyncio.gather(*(worker.claim({DEFAULT: 3}) for worker in [store, other] * 10))

    claimed = [claim.run_id for batch in batches for claim in batch]
    assert len(claimed) == len(set(claimed)) == 40


async def test_a_run_that_a_stock_worker_has_is_left_alone(pool: Pool, store: Desk) -> None:
    await put(pool, "theirs", "free")
    await pool.set("arq:in-progress:theirs", "1", px=60_000)

    claims = await store.claim({DEFAULT: 1})

    assert [c.run_id for c in claims] == ["free"]
    assert await pool.get("arq:in-progress:theirs") == b"1"


async def test_a_lapsed_lease_counts_a_crash_and_no_attempt(
    pool: Pool, store: Desk, hasty: Desk
) -> None:
    await put(pool, "a")

    claims = [await claim_again(worker) for worker in (hasty, hasty, store)]

    assert [c.crashes for c in claims] == [0, 1, 2]
    assert {c.attempt for c in claims} == {1}
    assert await pool.exists("arq:retry:a") == 0


async def test_an_attempt_that_says_how_it_ended_is_no_crash(pool: Pool, store: Desk) -> None:
    await put(pool, "a")

    await store.finish(await claim_one(store), again())
    claim = await claim_one(store)

    assert (claim.crashes, claim.attempt) == (0, 1)


async def test_a_payload_that_expired_is_claimed_without_one(pool: Pool, store: Desk) -> None:
    await pool.zadd(DEFAULT.key, {"empty": 1})

    claim = await claim_one(store)

    assert (claim.run_id, claim.raw) == ("empty", None)


async def test_a_finished_id_that_came_back_is_dropped(pool: Pool, store: Desk) -> None:
    await put(pool, "done", "next")
    await store.finish(await claim_one(store), over())
    await pool.zadd(DEFAULT.key, {"done": 1})  # as a stock abort() in the wrong moment does

    claims = await store.claim({DEFAULT: 1})

    assert [c.run_id for c in claims] == ["next"]
    assert await pool.zscore(DEFAULT.key, "done") is None
    assert await pool.exists("arq:in-progress:done") == 0
    assert (await sizes(pool, [DEFAULT]))["default"].running == 1


async def test_a_claim_says_that_an_abort_was_asked_for(pool: Pool, store: Desk) -> None:
    await put(pool, "a")
    await pool.zadd("arq:abort", {"a": 1_700_000_000_123})

    claim = await claim_one(store)

    assert claim.aborted_ms == 1_700_000_000_123


# Finishing


async def test_a_run_that_is_over_leaves_its_result_and_its_event(pool: Pool, store: Desk) -> None:
    await put(pool, "a")
    await pool.zadd("arq:abort", {"a": 1})
    await store.finish(await claim_one(store), again(spends_attempt=True))

    assert await store.finish(await claim_one(store), over(result=b'{"r":1}'))

    assert await left(pool) == {"arq:result:a"}
    assert await pool.get("arq:result:a") == b'{"r":1}'
    assert 59_000 < await pool.pttl("arq:result:a") <= 60_000
    assert [ended for ended in await events(pool) if ended[0] == "=a"] == [("=a", "event")] * 2


@pytest.mark.parametrize(
    "changes", [{"result": b""}, {"result_ttl_ms": 0}], ids=["none", "no life"]
)
async def test_a_result_that_nobody_keeps_is_not_written(
    pool: Pool, store: Desk, changes: dict[str, Any]
) -> None:
    await put(pool, "a")

    assert await store.finish(await claim_one(store), over(**changes))

    assert await left(pool) == set()
    await put(pool, "a")


async def test_a_dead_letter_is_written_with_the_end(pool: Pool, store: Desk) -> None:
    await put(pool, "a", "b")
    first, second = await store.claim({DEFAULT: 2})

    await store.finish(first, over(dead_letter=b"the letter"))
    await store.finish(second, over())

    assert [fields for _, fields in await pool.xrange(DEAD)] == [{b"d": b"the letter"}]


@pytest.mark.parametrize("finish", [over(dead_letter=b"d"), again(spends_attempt=True)])
async def test_a_stale_token_writes_nothing(
    pool: Pool, store: Desk, hasty: Desk, finish: End
) -> None:
    await put(pool, "a")
    stale = await claim_again(hasty)
    current = await claim_again(store)
    before = await snapshot(pool)

    assert not await hasty.finish(stale, finish)

    assert await snapshot(pool) == before
    assert await store.finish(current, finish)


async def test_a_lapsed_lease_that_nobody_took_still_ends_its_run(pool: Pool, hasty: Desk) -> None:
    await put(pool, "a")
    claim = await claim_one(hasty)
    await until(lambda: gone(pool, "arq:in-progress:a"))

    assert await hasty.finish(claim, over())
    assert not await pool.exists("arq:job:a")


async def test_a_lapsed_lease_that_nobody_took_is_renewed(pool: Pool, hasty: Desk) -> None:
    await put(pool, "a")
    claim = await claim_one(hasty)
    await until(lambda: gone(pool, "arq:in-progress:a"))

    assert await hasty.renew([claim]) == set()
    assert await pool.get("arq:in-progress:a") == claim.token.encode()


@pytest.mark.parametrize(
    "nonsense",
    [
        ("rpush", "arq:job:bad", "x"),
        ("hset", "arq:job:bad", "x", "y"),
    ],
    ids=lambda call: f"{call[0]} {call[1]}",
)
async def test_a_run_with_keys_of_a_wrong_type_is_set_aside_and_holds_up_none(
    pool: Pool, store: Desk, nonsense: tuple[str, ...]
) -> None:
    await put(pool, "good")
    await pool.execute_command(*nonsense)  # type: ignore[no-untyped-call]  # redis-py has none
    await pool.zadd(DEFAULT.key, {"bad": 1})

    claims = await store.claim({DEFAULT: 5})

    assert [claim.run_id for claim in claims] == ["good"]
    assert await pool.zscore(DEFAULT.key, "bad") is None
    ((_, record),) = await pool.xrange("deskhand:rejected")
    assert record[b"run"] == b"bad"


async def test_a_counter_that_is_no_number_counts_for_nothing(pool: Pool, store: Desk) -> None:
    await put(pool, "a")
    await pool.set("arq:retry:a", "abc")

    assert (await claim_one(store)).attempt == 1


async def test_a_queue_of_a_wrong_type_holds_up_no_other(pool: Pool, store: Desk) -> None:
    await pool.set(EMAIL.key, "x")
    await put(pool, "a")

    claims = await store.claim({EMAIL: 1, DEFAULT: 1})

    assert [claim.run_id for claim in claims] == ["a"]


async def test_runs_locked_by_others_starve_none_behind_them(pool: Pool, store: Desk) -> None:
    for number in range(200):
        await pool.set(f"arq:in-progress:theirs{number}", 1)
    await pool.zadd(DEFAULT.key, {f"theirs{number}": 1 for number in range(200)})
    await put(pool, "ours")

    claims = await store.claim({DEFAULT: 1})

    assert [claim.run_id for claim in claims] == ["ours"]


async def gone(pool: Pool, key: str) -> bool:
    return not await pool.exists(key)


@pytest.mark.parametrize(("spends", "attempt"), [(True, 2), (False, 1)])
async def test_only_a_failed_attempt_is_spent(
    pool: Pool, store: Desk, attempt: int, *, spends: bool
) -> None:
    await put(pool, "a")

    await store.finish(await claim_one(store), again(spends_attempt=spends))

    assert await pool.get("arq:retry:a") == (b"1" if spends else b"0")
    assert (await claim_one(store)).attempt == attempt


async def test_a_run_that_goes_back_waits_and_is_nobodys(pool: Pool, store: Desk) -> None:
    await put(pool, "a")

    await store.finish(await claim_one(store), again(wait_ms=300_000))

    seconds, _ = await pool.time()
    score = await pool.zscore(DEFAULT.key, "a")
    assert score == pytest.approx(1000 * (seconds + 300), abs=2000)
    assert await pool.exists("arq:in-progress:a") == 0
    assert await store.claim({DEFAULT: 1}) == []


async def test_an_unknown_job_is_remembered_since_its_first_sight(pool: Pool, store: Desk) -> None:
    await put(pool, "a")
    await store.finish(await claim_one(store), again(kind="unknown"))
    first = await claim_one(store)

    await store.finish(first, again(kind="unknown"))

    assert first.unknown_ms is not None
    assert abs(datetime.now(UTC) - instant(first.unknown_ms)) < timedelta(seconds=30)
    assert (await claim_one(store)).unknown_ms == first.unknown_ms


@pytest.mark.parametrize("kind", ["retrying", "snoozed", "released"])
async def test_a_job_that_a_worker_knew_is_not_unknown_any_more(
    pool: Pool, store: Desk, kind: str
) -> None:
    """Else an older worker, hours later, would take the time since for the grace."""
    await put(pool, "a")
    await store.finish(await claim_one(store), again(kind="unknown"))

    await store.finish(await claim_one(store), again(kind=kind))

    assert (await claim_one(store)).unknown_ms is None


async def test_only_what_waits_has_no_end(pool: Pool, store: Desk) -> None:
    await put(pool, "waits", wait_ms=60_000)
    await put(pool, "retried", "running", "over", "dead")
    claims = {claim.run_id: claim for claim in await store.claim({DEFAULT: 9})}
    await store.finish(
        claims["retried"], again(spends_attempt=True, kind="unknown", wait_ms=3 * DAY_MS)
    )
    await store.finish(claims["over"], over())
    await store.finish(claims["dead"], over(dead_letter=b"d"))

    payloads = {f"arq:job:{run_id}" for run_id in ("waits", "retried", "running")}
    own = {EVENTS, DEAD, COUNTS, "deskhand:epoch", "deskhand:unknown"}
    assert await immortal(pool) == payloads | own | {DEFAULT.key}
    assert await pool.ttl("arq:retry:retried") > 3 * 86_400


# Payloads of stock enqueuers expire


async def test_the_payload_of_a_run_that_started_in_time_outlives_the_attempt(
    pool: Pool, store: Desk
) -> None:
    await stock(pool).enqueue_job("testing.add_line", {}, _job_id="a", _expires=5)

    await claim_again(store)

    assert await pool.pttl("arq:job:a") == -1


async def test_the_payload_of_a_run_that_comes_back_is_there(pool: Pool, store: Desk) -> None:
    await stock(pool).enqueue_job("testing.add_line", {}, _job_id="a")
    claim = await claim_again(store)
    await pool.delete("arq:job:a")  # as a Redis that came back empty has done

    await store.finish(claim, again(spends_attempt=True))

    assert (await claim_one(store)).raw == claim.raw


# Renewing, aborting


async def test_renewing_extends_what_is_held_and_names_what_is_lost(
    pool: Pool, store: Desk, hasty: Desk
) -> None:
    await put(pool, "lost")
    lost = await claim_one(hasty)
    taken = await claim_again(store)
    await put(pool, "held")
    held = await claim_one(store)
    patient = Desk(pool, worker_id="w1", lease=LEASE * 2)

    assert await patient.renew([lost, held]) == {"lost"}

    score = await pool.zscore(DEFAULT.key, "held")
    assert score == pytest.approx(held.due_at.timestamp() * 1000 + 60_000, abs=5000)
    assert 55_000 < await pool.pttl("arq:in-progress:held") <= 60_000
    assert await pool.get("arq:in-progress:lost") == taken.token.encode()
    assert await pool.pttl("arq:in-progress:lost") <= 30_000


async def test_renewing_moves_a_score_that_a_stock_abort_has_reset(pool: Pool, store: Desk) -> None:
    await put(pool, "a")
    claim = await claim_one(store)
    await pool.zadd(DEFAULT.key, {"a": 1})

    assert await store.renew([claim]) == set()

    assert await pool.zscore(DEFAULT.key, "a") == claim.leased_ms + 0.5


async def test_renewing_brings_no_removed_run_back(pool: Pool, store: Desk) -> None:
    await put(pool, "a")
    claim = await claim_one(store)
    await pool.zrem(DEFAULT.key, "a")

    assert await store.renew([claim]) == set()

    assert await pool.zscore(DEFAULT.key, "a") is None


async def test_renewing_brings_no_finished_run_back(pool: Pool, store: Desk) -> None:
    await put(pool, "a")
    claim = await claim_one(store)
    await store.finish(claim, over())

    assert await store.renew([claim]) == {"a"}

    assert await pool.zscore(DEFAULT.key, "a") is None
    assert await store.renew([]) == set()


async def test_aborts_are_told_for_those_asked_about(pool: Pool, store: Desk) -> None:
    await pool.zadd("arq:abort", {"a": 1000, "stranger": 2000})

    asked = await store.store.aborts(["a", "b"])

    assert asked == {"a": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)}
    assert await store.store.aborts([]) == {}


# Counting


async def test_sizes_count_over_all_workers_exactly(pool: Pool, store: Desk, other: Desk) -> None:
    await put(pool, "d1", "d2", "d3", "d4", "d5")
    await put(pool, "later", wait_ms=60_000)
    await put(pool, "e1", queue="email")
    first, second = await store.claim({DEFAULT: 2})
    await store.claim({EMAIL: 1})
    await other.claim({DEFAULT: 2})
    await store.finish_all([(first, over()), (second, again(wait_ms=60_000))])

    counted = await sizes(pool, [DEFAULT, EMAIL, RISK])

    ended = {"succeeded": 1, "released": 1}
    assert counted == {
        "default": QueueSizes(ready=1, deferred=2, blocked=0, running=2, ended=ended),
        "email": QueueSizes(ready=0, deferred=0, blocked=0, running=1, ended={}),
        "risk": QueueSizes(ready=0, deferred=0, blocked=0, running=0, ended={}),
    }


async def test_a_run_whose_worker_died_counts_once(pool: Pool, store: Desk, hasty: Desk) -> None:
    await put(pool, "stalls", "waits")
    await claim_one(hasty)
    await until(lambda: gone(pool, "arq:in-progress:stalls"))

    lapsed = (await sizes(pool, [DEFAULT]))["default"]
    await until(lambda: store.claim({DEFAULT: 2}))
    taken_over = (await sizes(pool, [DEFAULT]))["default"]

    assert (lapsed.ready, lapsed.deferred, lapsed.running) == (1, 0, 1)
    assert (taken_over.ready, taken_over.deferred, taken_over.running) == (0, 0, 2)


async def test_a_worker_that_went_silent_or_said_farewell_is_forgotten(
    pool: Pool, redis_url: str
) -> None:
    with contextlib.closing(open_redis_for_thread(redis_url)) as redis:
        for worker, life in (("w1", LEASE), ("w2", LEASE), ("hasty", BLINK)):
            beat(redis, worker, {"worker": worker}, life=life)
        await farewell(pool, "w2", [DEFAULT])
        # The set of names lives as long as the last heartbeat said: it had a short one.
        beat(redis, "w1", {"worker": 1}, life=LEASE)

    await until(lambda: gone(pool, "deskhand:worker:hasty"))

    assert await workers(pool) == [{"worker": 1}]
    assert await pool.smembers("deskhand:workers") == {b"w1"}  # type: ignore[misc]  # redis-py


# Beside stock ARQ


async def test_a_stock_worker_beside_ours_takes_what_is_free_and_only_that(
    pool: Pool, store: Desk
) -> None:
    await put(pool, "ours")
    claim = await claim_one(store)
    await put(pool, "free")
    ran: list[str] = []

    await stock_worker(pool, ran.append).main()

    assert ran == ["free"]
    assert await pool.get("arq:in-progress:ours") == claim.token.encode()


async def test_a_stock_worker_that_saw_the_run_before_is_refused(pool: Pool, store: Desk) -> None:
    await put(pool, "ours")
    await claim_one(store)
    ran: list[str] = []
    worker = stock_worker(pool, ran.append)

    await worker.start_jobs([b"ours"])

    assert (worker.tasks, ran) == ({}, [])


async def test_a_stock_worker_takes_over_what_ours_left(pool: Pool, hasty: Desk) -> None:
    await put(pool, "left")
    await claim_one(hasty)
    ran: list[str] = []

    await asyncio.wait_for(stock_worker(pool, ran.append).main(), 10)

    assert ran == ["left"]
    assert await Job("left", pool, _deserializer=loads).status() is JobStatus.complete


def stock_worker(pool: Pool, ran: Callable[[str], None]) -> "arq.worker.Worker":
    """ARQ's own worker: takes one run, and ends."""

    async def add_line(ctx: dict[str, Any], payload: dict[str, Any]) -> None:
        ran(ctx["job_id"])

    return StockWorker(
        [func(add_line, name="testing.add_line")],
        redis_pool=stock(pool),
        burst=True,
        max_burst_jobs=1,
        poll_delay=0.01,
        handle_signals=False,
        job_serializer=dumps,
        job_deserializer=loads,
    )


async def test_the_stock_status_follows_a_run_through_its_life(pool: Pool, store: Desk) -> None:
    job = Job("a", pool, _deserializer=loads)
    seen = [await job.status()]
    await put(pool, "a", wait_ms=60_000)
    seen.append(await job.status())
    await pool.zadd(DEFAULT.key, {"a": 1})
    seen.append(await job.status())
    claim = await claim_one(store)
    seen.append(await job.status())
    await store.finish(claim, over())

    seen.append(await job.status())

    assert [status.value for status in seen] == [
        "not_found",
        "deferred",
        "queued",
        "in_progress",
        "complete",
    ]


async def test_the_stock_info_names_the_job_while_it_waits_and_runs(
    pool: Pool, store: Desk
) -> None:
    job = Job("a", pool, _deserializer=loads)
    assert await job.info() is None

    await put(pool, "a")
    waiting = await job.info()
    await claim_one(store)
    running = await job.info()

    for info in (waiting, running):
        assert info is not None
        assert info.function == "testing.add_line"
        assert list(info.args) == [{}]
        assert info.kwargs == {}


async def test_the_stock_result_waits_for_a_running_run(pool: Pool, store: Desk) -> None:
    await put(pool, "a")
    claim = await claim_one(store)
    waiting = asyncio.create_task(
        Job("a", pool, _deserializer=loads).result(timeout=10, poll_delay=0.01)
    )
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.05)
    fields = {"t": 1, "f": "f", "a": [], "k": {}, "et": 1, "st": 1, "ft": 1, "s": True}

    await store.finish(claim, over(result=dumps({**fields, "r": 42})))

    assert await waiting == 42


async def test_the_stock_enqueue_of_a_taken_id_is_refused_until_the_result_is_gone(
    pool: Pool, store: Desk
) -> None:
    async def enqueue() -> Job | None:
        return await stock(pool).enqueue_job("testing.add_line", {}, _job_id="a")

    assert await enqueue()
    assert not await enqueue()
    claim = await claim_again(store)
    assert not await enqueue()
    await store.finish(claim, over())
    assert not await enqueue()

    await pool.delete("arq:result:a")

    assert await enqueue()
