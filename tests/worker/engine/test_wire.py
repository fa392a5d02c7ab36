"""One connection for many callers: each gets its own answer, or an error, and in good time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import (
    BusyLoadingError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.worker.conftest import until
from tests.worker.engine.fake_redis import Behaviour, FakeRedis, bulk, echo, fake_redis
from worker.engine.wire import NotNowError, Script, Wire
from worker.enqueuer import Pool
from worker.redis_pool import open_redis

MakeWire = Callable[..., Wire]


@pytest.fixture
async def fake() -> AsyncIterator[FakeRedis]:
    async with fake_redis() as fake:
        yield fake


@pytest.fixture
def connect() -> Iterator[MakeWire]:
    wires: list[Wire] = []

    def connect(url: str, **options: Any) -> Wire:
        wires.append(Wire(open_redis(url, Redis), **options))
        return wires[-1]

    yield connect
    for wire in wires:
        wire.close()


async def silent(command: list[bytes], writer: asyncio.StreamWriter) -> None:
    """Never answer."""


def answering(reply: bytes) -> Behaviour:
    async def answer(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        writer.write(reply)

    return answer


async def outcome(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except (RedisError, OSError) as error:
        return type(error)


# Answers


async def test_each_of_many_callers_gets_its_own_answer(redis_url: str, connect: MakeWire) -> None:
    wire = connect(redis_url)
    double = Script("return ARGV[1] .. ARGV[1]")

    async def ask(number: int) -> Any:
        word = f"{number}-" * (1 + number % 7 * 1000)
        if number % 3:
            return await wire.call("ECHO", word) == word.encode()
        return await wire.evaluate(double, word, keys=0) == 2 * word.encode()

    assert all(await asyncio.gather(*map(ask, range(500))))


async def test_many_callers_share_one_connection(fake: FakeRedis, connect: MakeWire) -> None:
    wire = connect(fake.url)

    words = await asyncio.gather(*(wire.call("ECHO", number) for number in range(50)))

    assert words == [b"%d" % number for number in range(50)]
    assert fake.connections == 1


async def test_an_answer_in_pieces_is_put_together(fake: FakeRedis, connect: MakeWire) -> None:
    async def drip(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        for byte in bulk(command[1]):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    fake.behaviour = drip
    wire = connect(fake.url)

    words = await asyncio.gather(*(wire.call("ECHO", word) for word in ("one", "two")))

    assert words == [b"one", b"two"]


async def test_a_cancelled_caller_leaves_the_others_their_answers(
    fake: FakeRedis, connect: MakeWire
) -> None:
    is_open = asyncio.Event()

    async def hold(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        await is_open.wait()
        await echo(command, writer)

    wire = connect(fake.url)
    await wire.call("ECHO", "connected")
    fake.behaviour = hold
    first, second, third = (asyncio.create_task(wire.call("ECHO", word)) for word in "abc")
    await until(lambda: _has_seen(fake, 2))

    second.cancel()
    is_open.set()

    assert [await first, await third] == [b"a", b"c"]
    assert await wire.call("ECHO", "d") == b"d"
    assert (second.cancelled(), fake.connections) == (True, 1)


async def _has_seen(fake: FakeRedis, count: int) -> bool:
    return len(fake.seen) >= count


async def test_a_caller_that_is_cancelled_while_connecting_holds_up_nobody(
    fake: FakeRedis, connect: MakeWire
) -> None:
    greeting, fake.greetings[b"HELLO"] = fake.greetings[b"HELLO"], None
    wire = connect(fake.url)
    first = asyncio.create_task(wire.call("ECHO", "a"))
    second = asyncio.create_task(wire.call("ECHO", "b"))
    await asyncio.sleep(0.1)

    fake.greetings[b"HELLO"] = greeting
    first.cancel()

    assert await second == b"b"


# Push messages


async def test_a_push_is_heard_and_is_nobodys_answer(fake: FakeRedis, connect: MakeWire) -> None:
    pushed: list[list[Any]] = []
    push = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"

    async def push_around(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        writer.write(push + bulk(command[1]) + push)

    fake.behaviour = push_around
    wire = connect(fake.url, on_push=pushed.append)

    words = await asyncio.gather(*(wire.call("ECHO", word) for word in "ab"))

    assert words == [b"a", b"b"]
    assert pushed == [[b"invalidate", [b"k"]]] * 4


async def test_redis_tells_a_tracking_connection_of_a_change(
    pool: Pool, redis_url: str, connect: MakeWire
) -> None:
    pushed: asyncio.Queue[list[Any]] = asyncio.Queue()
    setup = (("CLIENT", "TRACKING", "ON"),)
    wire = connect(redis_url, setup=setup, on_push=pushed.put_nowait)
    assert await wire.call("GET", "key") is None

    await pool.set("key", "value")

    assert await asyncio.wait_for(pushed.get(), 10) == [b"invalidate", [b"key"]]
    assert await wire.call("GET", "key") == b"value"


# Scripts and refusals


async def test_a_script_that_redis_does_not_have_is_sent_in_full_once(
    pool: Pool, redis_url: str, connect: MakeWire
) -> None:
    wire = connect(redis_url)
    script = Script("return KEYS[1] .. ARGV[1]")
    await pool.script_flush()
    await pool.config_resetstat()

    answers = [await wire.evaluate(script, "k", "v", keys=1) for _ in range(3)]

    stats = await pool.info("commandstats")
    assert answers == [b"kv"] * 3
    assert (stats["cmdstat_eval"]["calls"], stats["cmdstat_evalsha"]["calls"]) == (1, 3)


@pytest.mark.parametrize(
    ("reply", "kind", "connections"),
    [
        (b"-READONLY You can't write against a read only replica.\r\n", ReadOnlyError, 2),
        (b"-LOADING Redis is loading the dataset in memory\r\n", BusyLoadingError, 2),
        (b"-MASTERDOWN Link with MASTER is down\r\n", BusyLoadingError, 2),
        (b"-MOVED 634 127.0.0.1:7001\r\n", BusyLoadingError, 2),
        (b"-ERR Attempted to access a non local key in a cluster\r\n", BusyLoadingError, 2),
        (b"-NOSCRIPT No matching script.\r\n", NoScriptError, 1),
        (b"-WRONGTYPE Operation against a key\r\n", ResponseError, 1),
        (b"-ERR unknown command\r\n", ResponseError, 1),
        (b"-OOM command not allowed\r\n", NotNowError, 1),
    ],
    ids=lambda value: value[1:20].decode() if isinstance(value, bytes) else "",
)
async def test_a_refusal_is_raised_and_the_wrong_server_is_left(
    fake: FakeRedis, connect: MakeWire, reply: bytes, kind: type[RedisError], connections: int
) -> None:
    fake.behaviour = answering(reply)
    wire = connect(fake.url)

    with pytest.raises(RedisError) as caught:
        await wire.call("SET", "k", "v")
    fake.behaviour = echo
    assert await wire.call("ECHO", "on") == b"on"

    assert type(caught.value) is kind
    assert fake.connections == connections


async def test_a_refusal_is_its_own_callers_alone(redis_url: str, connect: MakeWire) -> None:
    wire = connect(redis_url)
    await wire.call("SET", "text", "a")

    answers = await asyncio.gather(
        *(outcome(wire.call(*command)) for command in [("INCR", "text"), ("GET", "text")] * 20)
    )

    assert answers == [ResponseError, b"a"] * 20


async def test_a_refused_setup_fails_the_call_and_is_tried_again(
    fake: FakeRedis, connect: MakeWire
) -> None:
    fake.behaviour = answering(b"-NOPERM no\r\n")
    wire = connect(fake.url, setup=(("TRACK",),))

    assert await outcome(wire.call("ECHO", "a")) is ResponseError
    fake.behaviour = echo
    assert await wire.call("ECHO", "a") == b"a"

    assert fake.seen == [[b"TRACK"], [b"TRACK"], [b"ECHO", b"a"]]


# Losing the connection


async def test_an_answer_that_is_late_fails_all_who_wait(
    fake: FakeRedis, connect: MakeWire
) -> None:
    lost: list[None] = []
    wire = connect(fake.url, timeout=0.3, on_lost=lambda: lost.append(None))
    assert await wire.call("ECHO", "a") == b"a"
    fake.behaviour = silent

    answers = await asyncio.gather(*(outcome(wire.call("ECHO", word)) for word in "abc"))

    assert answers == [RedisTimeoutError] * 3
    assert len(lost) == 1
    fake.behaviour = echo
    assert await wire.call("ECHO", "again") == b"again"
    assert fake.connections == 2


async def test_a_late_answer_is_nobody_elses(fake: FakeRedis, connect: MakeWire) -> None:
    async def late(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        if command[1] == b"slow":
            await asyncio.sleep(0.3)
        await echo(command, writer)

    fake.behaviour = late
    wire = connect(fake.url, timeout=0.1)

    assert await outcome(wire.call("ECHO", "slow")) is RedisTimeoutError
    assert await wire.call("ECHO", "fast") == b"fast"
    await asyncio.sleep(0.4)
    assert await wire.call("ECHO", "after") == b"after"


@pytest.mark.parametrize("begun", [b"", b"$10\r\nabc", b"*2\r\n:1\r\n"])
async def test_a_connection_that_breaks_within_an_answer_fails_it_whole(
    fake: FakeRedis, connect: MakeWire, begun: bytes
) -> None:
    async def break_off(command: list[bytes], writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        await asyncio.sleep(0.02)
        writer.transport.abort()
        raise ConnectionResetError

    fake.behaviour = break_off
    wire = connect(fake.url)

    answers = await asyncio.gather(*(outcome(wire.call("ECHO", word)) for word in "abc"))

    assert answers == [RedisConnectionError] * 3
    fake.behaviour = echo
    assert await wire.call("ECHO", "on") == b"on"


@pytest.mark.parametrize("nonsense", [b"HTTP/1.1 400 Bad Request\r\n", b"+OK\r\n+OK\r\n"])
async def test_a_server_that_talks_nonsense_is_left(
    fake: FakeRedis, connect: MakeWire, nonsense: bytes
) -> None:
    fake.behaviour = answering(nonsense)
    wire = connect(fake.url)
    await outcome(wire.call("ECHO", "a"))

    await until(lambda: _is_refused(fake, wire))

    assert fake.connections == 2


async def _is_refused(fake: FakeRedis, wire: Wire) -> bool:
    fake.behaviour = echo
    return bool(await outcome(wire.call("ECHO", "on")) == b"on")


async def test_the_next_call_after_a_cut_connects_anew(
    pool: Pool, redis_url: str, connect: MakeWire
) -> None:
    lost = asyncio.Event()
    wire = connect(redis_url, on_lost=lost.set)
    first = await wire.call("CLIENT", "ID")
    waiting = asyncio.create_task(outcome(wire.call("BLPOP", "nothing", 0)))
    await asyncio.sleep(0.05)

    await pool.client_kill_filter(_id=first)

    assert await waiting is RedisConnectionError
    await asyncio.wait_for(lost.wait(), 10)
    assert await wire.call("CLIENT", "ID") != first


async def test_a_server_that_never_greets_is_given_up(fake: FakeRedis, connect: MakeWire) -> None:
    greeting, fake.greetings[b"HELLO"] = fake.greetings[b"HELLO"], None
    wire = connect(fake.url, timeout=0.2)

    with pytest.raises(TimeoutError):
        await wire.call("ECHO", "a")

    fake.greetings[b"HELLO"] = greeting
    assert await wire.call("ECHO", "a") == b"a"


async def test_nobody_at_the_other_end_is_an_error(connect: MakeWire) -> None:
    async with fake_redis() as gone:
        url = gone.url
    wire = connect(url)

    assert await outcome(wire.call("ECHO", "a")) is RedisConnectionError


async def test_closing_fails_who_waits_and_is_no_loss(fake: FakeRedis, connect: MakeWire) -> None:
    lost: list[None] = []
    fake.behaviour = silent
    wire = connect(fake.url, on_lost=lambda: lost.append(None))
    waiting = asyncio.create_task(outcome(wire.call("ECHO", "a")))
    await until(lambda: _has_seen(fake, 1))

    wire.close()

    assert await waiting is RedisConnectionError
    assert lost == []
