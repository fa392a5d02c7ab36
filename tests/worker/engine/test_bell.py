"""A queue that changed rings, whoever changed it; where Redis does not tell, looking often does."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import arq
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from jobs.kit import QUEUES
from tests.worker.engine.fake_redis import FakeRedis, bulk, fake_redis
from worker.codec import dumps, loads
from worker.engine.bell import Bell
from worker.engine.wire import NotNowError
from worker.enqueuer import Pool
from worker.message import When
from worker.redis_pool import open_redis

DEFAULT, EMAIL = QUEUES["default"], QUEUES["email"]
KEYS = [DEFAULT.key, EMAIL.key]
MOMENT = 0.3  # seconds in which a ring would have come


class Listener:
    """A bell, and what it rang."""

    def __init__(self, redis: Redis) -> None:
        self.rings = 0
        self._rung = asyncio.Event()
        self.bell = Bell(redis, on_ring=self._ring)

    def _ring(self) -> None:
        self.rings += 1
        self._rung.set()

    async def rung(self) -> None:
        await asyncio.wait_for(self._rung.wait(), 10)
        self._rung.clear()


@contextmanager
def listening(redis: Redis) -> Iterator[Listener]:
    listener = Listener(redis)
    try:
        yield listener
    finally:
        listener.bell.close()


@pytest.fixture
def listener(pool: Pool) -> Iterator[Listener]:
    with listening(pool) as listener:
        yield listener


async def put(pool: Pool, run_id: str = "a", *, queue: str = "default", wait_ms: int = 0) -> None:
    await pool.enqueue_raw(
        "testing.add_line",
        {},
        queue=queue,
        run_id=run_id,
        when=When(wait_ms=wait_ms),
        headers={},
    )


# Who rings


@pytest.mark.parametrize("queue", ["default", "email"])
async def test_our_pool_rings(pool: Pool, listener: Listener, queue: str) -> None:
    outlook = await listener.bell.look(KEYS)
    assert not outlook.is_due

    await put(pool, queue=queue)

    await listener.rung()
    assert (await listener.bell.look(KEYS)).is_due


async def test_a_stock_pool_rings(pool: Pool, listener: Listener) -> None:
    stock = arq.ArqRedis(
        connection_pool=pool.connection_pool, job_serializer=dumps, job_deserializer=loads
    )
    await listener.bell.look(KEYS)

    await stock.enqueue_job("testing.add_line", {})

    await listener.rung()


async def test_a_stock_abort_of_a_deferred_run_rings(pool: Pool, listener: Listener) -> None:
    await put(pool, wait_ms=60_000)
    await listener.bell.look(KEYS)

    await pool.zadd(DEFAULT.key, {"a": 1})

    await listener.rung()
    assert (await listener.bell.look(KEYS)).is_due


async def test_a_queue_that_was_not_looked_at_does_not_ring(pool: Pool, listener: Listener) -> None:
    await listener.bell.look([DEFAULT.key])

    await put(pool, queue="email")
    await asyncio.sleep(MOMENT)

    assert listener.rings == 0


async def test_a_busy_worker_hears_one_ring_at_most(pool: Pool, listener: Listener) -> None:
    """It does not look, so Redis has nothing to tell it."""
    await listener.bell.look([DEFAULT.key])

    for number in range(50):
        await put(pool, f"run{number}")
    await asyncio.sleep(MOMENT)

    assert listener.rings == 1


async def test_every_look_arms_it_anew(pool: Pool, listener: Listener) -> None:
    for number in range(5):
        await listener.bell.look(KEYS)
        await put(pool, f"run{number}")
        await listener.rung()

    assert listener.rings == 5


async def test_a_lost_connection_rings_and_the_next_look_arms_it_again(
    pool: Pool, listener: Listener
) -> None:
    """What was changed meanwhile nobody told us."""
    await listener.bell.look(KEYS)
    tracking = [one for one in await pool.client_list() if "t" in one["flags"]]
    assert len(tracking) == 1

    await pool.client_kill_filter(_id=tracking[0]["id"])
    await listener.rung()

    await listener.bell.look(KEYS)
    await put(pool)
    await listener.rung()


async def test_who_hangs_up_waits_for_no_look_and_the_next_one_arms_it_again(
    pool: Pool, listener: Listener
) -> None:
    await listener.bell.look(KEYS)
    await pool.client_pause(1500, all=True)
    looking = asyncio.create_task(listener.bell.look(KEYS))
    await asyncio.sleep(MOMENT)

    listener.bell.hang_up()
    with pytest.raises(RedisConnectionError):
        await looking
    assert listener.rings == 1

    await listener.bell.look(KEYS)  # its turn comes after the pause
    await put(pool)
    await listener.rung()


async def test_closing_rings_nobody(listener: Listener) -> None:
    await listener.bell.look(KEYS)

    listener.bell.close()
    await asyncio.sleep(0.05)

    assert listener.rings == 0


# What it sees


async def test_a_deferred_run_says_how_long_to_wait(pool: Pool, listener: Listener) -> None:
    await put(pool, wait_ms=400)
    await put(pool, "later", queue="email", wait_ms=60_000)

    outlook = await listener.bell.look(KEYS)
    assert not outlook.is_due
    assert 0 < outlook.wait <= 0.4

    await asyncio.sleep(outlook.wait + 0.01)
    assert (await listener.bell.look(KEYS)).is_due


async def test_what_comes_due_behind_a_due_run_is_seen_too(pool: Pool, listener: Listener) -> None:
    """The due one may be a stock worker's: the one behind it must not wait for that."""
    await put(pool)
    await put(pool, "soon", wait_ms=400)

    outlook = await listener.bell.look([DEFAULT.key])

    assert outlook.is_due
    assert outlook.wait <= 0.4


async def test_a_queue_of_a_wrong_type_hides_no_other(pool: Pool, listener: Listener) -> None:
    await pool.set(DEFAULT.key, "nonsense")
    await put(pool, queue="email")

    assert (await listener.bell.look(KEYS)).is_due


async def test_a_far_day_is_no_reason_to_sleep_through(pool: Pool, listener: Listener) -> None:
    await put(pool, wait_ms=10**12)

    assert (await listener.bell.look(KEYS)).wait <= 5


async def test_more_queues_are_looked_at_less_often(listener: Listener) -> None:
    one = await listener.bell.look(["q0"])
    many = await listener.bell.look([f"q{number}" for number in range(12)])

    assert 0.5 <= one.wait < many.wait <= 10


# No ring gets lost


@pytest.fixture
async def fake() -> AsyncIterator[FakeRedis]:
    async with fake_redis() as fake:
        yield fake


async def test_a_ring_right_behind_the_answer_comes_after_the_look(fake: FakeRedis) -> None:
    """Answer and message in one packet: whoever clears its flag after the look must still hear."""
    push = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$9\r\narq:queue\r\n"
    reply = b"*3\r\n:1000\r\n:0\r\n" + bulk(b"")

    async def answer(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        writer.write(reply + push)

    fake.behaviour = answer
    with listening(open_redis(fake.url, Redis)) as listener:
        assert not (await listener.bell.look(KEYS)).is_due
        listener._rung.clear()

        await listener.rung()


async def test_of_many_changes_amid_looks_none_goes_unheard(pool: Pool, listener: Listener) -> None:
    """The worker's own way: look, clear, and sleep only when nothing is due."""
    heard = 0
    seen = asyncio.Event()

    async def listen() -> None:
        nonlocal heard
        while True:
            outlook = await listener.bell.look([DEFAULT.key])
            listener._rung.clear()
            if outlook.is_due:
                heard += 1
                await pool.delete(DEFAULT.key)
                seen.set()
            else:
                await listener.rung()

    task = asyncio.create_task(listen())
    for number in range(200):
        await pool.zadd(DEFAULT.key, {str(number): 1})
        await asyncio.wait_for(seen.wait(), 5)
        seen.clear()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert heard >= 200


# Without tracking


@pytest.fixture
async def restricted(pool: Pool, redis_url: str) -> AsyncIterator[Pool]:
    """Log in as somebody who may do everything but track."""
    await pool.acl_setuser(
        "restricted",
        enabled=True,
        passwords=["+secret"],
        keys=["*"],
        categories=["+@all"],
        commands=["-client|tracking"],
    )
    login = "username=restricted&password=secret"

    yield open_redis(f"{redis_url}&{login}" if "?" in redis_url else f"{redis_url}?{login}", Pool)

    await pool.acl_deluser("restricted")


async def test_where_tracking_is_refused_it_looks_often_and_says_so_once(
    pool: Pool, restricted: Pool
) -> None:
    with listening(restricted) as listener, capture_logs() as log:
        waits = [(await listener.bell.look(KEYS)).wait for _ in range(20)]
        listener.bell.busy()
        after_work = (await listener.bell.look(KEYS)).wait
        await put(pool)
        is_due = (await listener.bell.look(KEYS)).is_due

    assert waits == sorted(waits)
    assert 0 < waits[0] <= 0.02
    assert 0.2 <= waits[-1] <= 0.5
    assert after_work <= 0.02
    assert is_due
    assert [entry["event"] for entry in log] == ["Redis refuses CLIENT TRACKING, polling instead"]


async def test_a_redis_that_is_busy_for_a_moment_is_tracked_on(fake: FakeRedis) -> None:
    """Polling for the rest of a worker's life would cost a thousand times what it saves."""

    async def answer(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        is_first = len(fake.seen) == 1
        busy = b"-BUSY Redis is busy running a script.\r\n"
        writer.write(busy if is_first else b"*3\r\n:1000\r\n:0\r\n" + bulk(b""))

    fake.behaviour = answer
    with listening(open_redis(fake.url, Redis)) as listener:
        with pytest.raises(NotNowError):
            await listener.bell.look(KEYS)

        assert (await listener.bell.look(KEYS)).wait >= 0.5
