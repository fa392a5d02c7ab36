"""Many runs in few calls: in their order, each once, whatever happens to the connection."""

import asyncio
import gc
import math
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.exceptions import RedisError
from typing_extensions import override

from jobs.kit import JobContext, Payload, PayloadError, job
from tests.worker.engine.defects.slow_redis import SlowRedis
from tests.worker.engine.fake_redis import fake_redis
from worker.codec import decode_job
from worker.engine.store import EVENTS
from worker.engine.writer import Line, NewRun, RunWriter
from worker.enqueuer import Pool, UnknownJobError
from worker.redis_pool import open_redis

QUEUE, EMAIL = "arq:queue", "arq:queue:email"


class Numbered(Payload):
    number: int
    text: str = ""


@job("testing_writer.count", queue="default")
async def count(ctx: JobContext, payload: Numbered) -> None:
    """Never run here."""


@job("testing_writer.count_once", queue="email", idempotency_key="{number}")
async def count_once(ctx: JobContext, payload: Numbered) -> None:
    """Never run here."""


def numbers(runs: int) -> list[dict[str, Any]]:
    return [{"number": number} for number in range(runs)]


async def calls(pool: Pool) -> int:
    """Scripts that were called since the counters were reset."""
    stats = await pool.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {"calls": 0})["calls"])


async def numbers_of(pool: Pool, run_ids: list[str]) -> list[int]:
    """The numbers in these runs' payloads, as they lie in Redis."""
    raws = await pool.mget([f"arq:job:{run_id}" for run_id in run_ids])
    return [decode_job(raw).arguments["number"] for raw in raws]


async def enqueued(pool: Pool) -> Counter[str]:
    """How often each run was said to be new."""
    return Counter(
        run_id
        for _, fields in await pool.xrange(EVENTS)
        for name, run_ids in fields.items()
        if name.startswith(b"+")
        for run_id in run_ids.decode().split("\n")
    )


# In one call


@pytest.mark.parametrize("runs", [0, 1, 2, 249, 250, 251, 1000, 10_000])
async def test_so_many_runs_are_some_round_trips(pool: Pool, runs: int) -> None:
    await pool.enqueue_job(count.name, {"number": 0})
    await pool.flushdb()
    await pool.config_resetstat()

    handles = await pool.enqueue_many(count.name, numbers(runs))

    assert await calls(pool) == math.ceil(runs / 250)
    run_ids = [handle.job_id for handle in handles if handle is not None]
    assert len(set(run_ids)) == len(handles) == runs == await pool.zcard(QUEUE)
    assert await pool.zcount(QUEUE, "-inf", "+inf") == runs
    if runs:
        assert await numbers_of(pool, run_ids) == list(range(runs))


async def test_big_payloads_travel_in_smaller_batches(pool: Pool) -> None:
    await pool.enqueue_job(count.name, {"number": 0})
    await pool.config_resetstat()
    sizes = [100_000] * 20 + [1_500_000] + [10] * 20

    handles = await pool.enqueue_many(
        count.name, [{"number": n, "text": "x" * size} for n, size in enumerate(sizes)]
    )

    # Nine of a hundred thousand are less than a million, and what is more goes alone.
    assert await calls(pool) == 5
    run_ids = [handle.job_id for handle in handles if handle is not None]
    assert await numbers_of(pool, run_ids) == list(range(41))


async def test_a_key_that_comes_twice_in_one_call_is_one_run(pool: Pool) -> None:
    payloads = [{"number": number} for number in (1, 2, 1, 3, 2)]

    handles = await pool.enqueue_many(count_once.name, payloads)

    assert [handle and handle.job_id.rpartition(":")[2] for handle in handles] == [
        "1",
        "2",
        None,
        "3",
        None,
    ]
    assert await pool.zcard(EMAIL) == 3


async def test_a_key_that_comes_twice_in_different_batches_is_one_run(pool: Pool) -> None:
    handles = await pool.enqueue_many(count_once.name, [*numbers(400), *numbers(400)])

    assert [handle is not None for handle in handles] == [True] * 400 + [False] * 400


async def test_what_is_there_already_is_left_as_it_is(pool: Pool) -> None:
    await pool.enqueue_job(count_once.name, {"number": 3, "text": "first"})

    handles = await pool.enqueue_many(count_once.name, numbers(5))
    again = await pool.enqueue_many(count_once.name, numbers(5))

    assert [handle is not None for handle in handles] == [True, True, True, False, True]
    assert again == [None] * 5
    raw = await pool.get(f"arq:job:{count_once.name}:3")
    assert decode_job(raw).arguments["text"] == "first"


async def test_models_and_mappings_are_both_payloads(pool: Pool) -> None:
    handles = await pool.enqueue_many(count.name, [Numbered(number=0), {"number": 1}])

    assert await numbers_of(pool, [handle.job_id for handle in handles if handle]) == [0, 1]


@pytest.mark.parametrize("wrong", [{"number": "many"}, {}, {"number": 1, "colour": "red"}])
async def test_a_wrong_payload_names_its_place_and_nothing_is_sent(
    pool: Pool, wrong: dict[str, Any]
) -> None:
    with pytest.raises(PayloadError, match="payload 500: ") as caught:
        await pool.enqueue_many(count.name, [*numbers(500), wrong, *numbers(3)])

    assert all(problem.startswith("payload 500: ") for problem in caught.value.problems)
    assert await pool.keys() == []


async def test_an_unknown_job_is_refused_even_for_no_payloads(pool: Pool) -> None:
    with pytest.raises(UnknownJobError):
        await pool.enqueue_many("testing_writer.cuont", [])


async def test_all_come_due_when_asked(pool: Pool) -> None:
    due_at = datetime.now(UTC) + timedelta(hours=1)

    await pool.enqueue_many(count.name, numbers(300), _defer_until=due_at)
    await pool.enqueue_many(count_once.name, numbers(300), _defer_by=3600)

    due_ms = int(due_at.timestamp() * 1000)
    assert await pool.zcount(QUEUE, due_ms - 1, due_ms + 1) == 300  # rounded by both
    assert await pool.zcount(EMAIL, due_ms - 2000, due_ms + 20_000) == 300


# Lost connections


class CutLine(SlowRedis):
    """`cuts` answers from now on get lost, and with each its connection."""

    cuts = 0

    @override
    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        try:
            while data := await reader.read(65_536):
                if is_answer and self.cuts:
                    self.cuts -= 1
                    return
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass  # the other half's doing
        finally:
            writer.close()


@pytest.fixture
async def line(redis_url: str) -> AsyncIterator[CutLine]:
    line = CutLine(redis_url)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    line.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield line
    server.close()
    await line.close()


@pytest.fixture
async def far_pool(line: CutLine) -> AsyncIterator[Pool]:
    """A pool behind the line, connected; what it enqueued to get there is gone."""
    pool = open_redis(line.url, Pool)
    await pool.enqueue_job(count.name, {"number": 0})
    await pool.flushdb()
    yield pool
    await pool.aclose()


async def test_an_answer_that_gets_lost_costs_and_doubles_nothing(
    pool: Pool, far_pool: Pool, line: CutLine
) -> None:
    line.cuts = 1

    handles = await far_pool.enqueue_many(count.name, numbers(1000))

    assert line.cuts == 0
    run_ids = [handle.job_id for handle in handles if handle is not None]
    assert await numbers_of(pool, run_ids) == list(range(1000))
    assert await pool.zcard(QUEUE) == 1000
    assert await enqueued(pool) == Counter(run_ids)


async def test_a_run_whose_answer_gets_lost_is_enqueued_once(
    pool: Pool, far_pool: Pool, line: CutLine
) -> None:
    line.cuts = 1

    handle = await far_pool.enqueue_job(count.name, {"number": 7})

    assert handle is not None
    assert await enqueued(pool) == {handle.job_id: 1}


async def test_after_an_error_a_call_with_keys_can_be_repeated(
    pool: Pool, far_pool: Pool, line: CutLine
) -> None:
    line.cuts = 20

    with pytest.raises(RedisError):
        await far_pool.enqueue_many(count_once.name, numbers(1000))
    assert await pool.zcard(EMAIL) < 1000
    line.cuts = 0
    await far_pool.enqueue_many(count_once.name, numbers(1000))

    assert await pool.zcard(EMAIL) == 1000
    assert set((await enqueued(pool)).values()) == {1}


async def test_an_error_is_raised_and_said_nowhere_else() -> None:
    """Two batches fail at once, and the caller hears of one."""

    async def fail(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        if len(fake.seen) % 2 == 0:  # both are on their way
            writer.transport.abort()
            raise ConnectionResetError

    said: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: said.append(context))
    async with fake_redis() as fake:
        fake.behaviour = fail
        writer = RunWriter(open_redis(fake.url, Pool))
        line = Line(queue_key=QUEUE, job=count.name)
        with pytest.raises(RedisError):
            await writer.write(line, [NewRun(str(number), b"{}") for number in range(600)])
        writer.close()
    gc.collect()
    loop.set_exception_handler(None)

    assert len(fake.seen) == 4
    assert said == []


async def test_a_cancelled_call_leaves_the_pool_as_good_as_before(pool: Pool) -> None:
    task = asyncio.create_task(pool.enqueue_many(count.name, numbers(10_000)))
    while not await pool.zcard(QUEUE):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    handle = await pool.enqueue_job(count_once.name, {"number": 1})

    assert handle is not None
    assert await numbers_of(pool, [handle.job_id]) == [1]
    assert await pool.zcard(QUEUE) % 250 == 0
