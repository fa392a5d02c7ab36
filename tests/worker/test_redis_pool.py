"""One URL for every way to reach Redis, and a pool that waits."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.ports import free_port
from tests.worker.conftest import until
from worker.embedded_binaries import find_valkey
from worker.enqueuer import Pool
from worker.redis_pool import arq_settings, open_redis

PASSWORD = "p@ss/w:rd%"
QUOTED = "p%40ss%2Fw%3Ard%25"


@contextmanager
def valkey(*options: str) -> Iterator[int]:
    """A server on TCP; its port."""
    port = free_port()
    command = [str(find_valkey()), *options, "--port", str(port), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield port
        finally:
            process.kill()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Redis]:
    redis = open_redis(url, Redis)
    try:
        yield redis
    finally:
        await redis.aclose()
        for client in sentinels(redis.connection_pool):
            await client.aclose()  # redis-py leaves them to the garbage collector


async def answers(redis: Redis) -> bool:
    try:
        return bool(await redis.ping())
    except RedisConnectionError:
        return False


# Ways to reach it


async def test_a_unix_socket_is_reached(redis_url: str) -> None:
    assert redis_url.startswith("unix://")

    async with opened(redis_url) as redis:
        assert await redis.ping()


async def test_a_port_with_a_password_and_a_database_is_reached() -> None:
    with valkey("--save", "", "--requirepass", PASSWORD) as port:
        async with opened(f"redis://:{QUOTED}@127.0.0.1:{port}/3") as redis:
            await until(lambda: answers(redis))

            await redis.set("x", 1)

            assert (await redis.info("keyspace")).keys() == {"db3"}


@pytest.mark.parametrize("login", [":wrong", "nobody:wrong"])
async def test_a_wrong_password_is_refused_at_once(login: str) -> None:
    with valkey("--save", "", "--requirepass", PASSWORD) as port:
        async with opened(f"redis://:{QUOTED}@127.0.0.1:{port}") as redis:
            await until(lambda: answers(redis))

        async with opened(f"redis://{login}@127.0.0.1:{port}") as redis:
            with pytest.raises((AuthenticationError, ResponseError)):
                await redis.ping()


async def test_a_server_that_comes_back_is_found_again() -> None:
    with valkey("--save", "") as port:
        async with opened(f"redis://127.0.0.1:{port}") as redis:
            await until(lambda: answers(redis))

            with suppress(RedisConnectionError):
                await redis.client_kill_filter(_type="normal", skipme=False)

            await until(lambda: answers(redis))


async def test_nothing_is_connected_before_it_is_used() -> None:
    async with opened("redis://127.0.0.1:1") as redis:
        with pytest.raises(RedisConnectionError):
            await redis.ping()


@pytest.mark.parametrize("url", ["http://127.0.0.1", "127.0.0.1:6379", "redis://host:port"])
async def test_a_wrong_address_is_an_error_at_once(url: str) -> None:
    with pytest.raises(ValueError, match=r"scheme|port|cast"):
        open_redis(url, Redis)


# The pool


async def test_an_exhausted_pool_waits_instead_of_raising(redis_url: str) -> None:
    async with opened(redis_url) as redis:
        blocked = [asyncio.create_task(wait_for_an_item(redis)) for _ in range(50)]
        await until(lambda: is_blocking(redis_url, 50))
        ping = asyncio.create_task(answers(redis))
        await asyncio.wait({ping}, timeout=0.05)
        assert not ping.done()

        async with opened(redis_url) as another:
            await another.rpush("empty", "one")  # type: ignore[misc]  # as above

        assert await ping
        for task in blocked:
            task.cancel()
        await asyncio.wait(blocked)


async def wait_for_an_item(redis: Redis) -> None:
    await redis.blpop(["empty"], 5)  # type: ignore[misc]  # redis-py: sync or async


async def is_blocking(redis_url: str, count: int) -> bool:
    async with opened(redis_url) as redis:
        return bool((await redis.info("clients"))["blocked_clients"] == count)


async def test_hundreds_at_once_are_served(pool: Pool) -> None:
    assert await asyncio.gather(*(pool.echo(str(n)) for n in range(300))) == [
        str(n).encode() for n in range(300)
    ]


async def test_closing_a_client_closes_its_connections(redis_url: str) -> None:
    name = "test-of-closing"
    async with opened(redis_url) as watcher:
        async with opened(redis_url) as redis:
            await redis.client_setname(name)
            assert await is_connected(watcher, name)

        await until(lambda: is_not_connected(watcher, name))


async def is_connected(watcher: Redis, name: str) -> bool:
    return name in {client["name"] for client in await watcher.client_list()}


async def is_not_connected(watcher: Redis, name: str) -> bool:
    return not await is_connected(watcher, name)


@pytest.mark.parametrize("url", ["redis://h", "rediss://h", "unix:///s", "redis+sentinel://h/m"])
async def test_every_connection_has_its_timeouts_and_sends_nothing_twice(url: str) -> None:
    async with opened(url) as redis:
        options = redis.connection_pool.connection_kwargs

        assert 0 < options["socket_connect_timeout"] <= 10
        assert 0 < options["socket_timeout"] <= 60
        assert options["retry"]._retries == 0


async def test_the_client_is_of_the_class_that_was_asked_for() -> None:
    pool = open_redis("redis://127.0.0.1", Pool, default_queue_name="q")

    assert isinstance(pool, Pool)
    assert pool.default_queue_name == "q"
    assert isinstance(pool.connection_pool, BlockingConnectionPool)
    await pool.aclose()


# Sentinel


@pytest.mark.parametrize(
    ("url", "hosts", "master", "rest"),
    [
        ("redis+sentinel://a", [("a", 26379)], "mymaster", (0, None, None)),
        ("redis+sentinel://a:1,b,c:3/main", [("a", 1), ("b", 26379), ("c", 3)], "main", None),
        (f"redis+sentinel://:{QUOTED}@a:1/main/2", [("a", 1)], "main", (2, None, PASSWORD)),
        ("redis+sentinel://ann:secret@a:1,b:2", [("a", 1), ("b", 2)], "mymaster", None),
    ],
)
async def test_a_sentinel_address_names_hosts_master_and_database(
    url: str, hosts: list[tuple[str, int]], master: str, rest: Any
) -> None:
    async with opened(url) as redis:
        pool = redis.connection_pool
        found = [client.connection_pool.connection_kwargs for client in sentinels(pool)]
        options = pool.connection_kwargs

        assert isinstance(pool, SentinelConnectionPool)
        assert [(f["host"], f["port"]) for f in found] == hosts
        assert pool.service_name == master
        assert rest is None or (options["db"], options["username"], options["password"]) == rest

    settings = arq_settings(url)
    assert (settings.host, settings.sentinel, settings.sentinel_master) == (hosts, True, master)
    assert rest is None or (settings.database, settings.username, settings.password) == rest


def sentinels(pool: Any) -> list[Any]:
    """The clients of the sentinels themselves, if there are any."""
    return list(pool.sentinel_manager.sentinels) if hasattr(pool, "sentinel_manager") else []


async def test_a_sentinel_leads_to_the_master(tmp_path: Path) -> None:
    with (
        valkey("--save", "", "--requirepass", PASSWORD) as master,
        sentinel(tmp_path, master) as port,
    ):
        async with opened(f"redis+sentinel://:{QUOTED}@127.0.0.1:{port}/main/1") as redis:
            await until(lambda: answers(redis))

            await redis.set("x", 1)

        async with opened(f"redis://:{QUOTED}@127.0.0.1:{master}/1") as redis:
            assert await redis.get("x") == b"1"


@contextmanager
def sentinel(directory: Path, master: int) -> Iterator[int]:
    """A sentinel without a password, watching a master that has one; its port."""
    config = directory / "sentinel.conf"
    config.write_text(
        f"sentinel monitor main 127.0.0.1 {master} 1\n"
        f'sentinel auth-pass main "{PASSWORD}"\n'
        f"dir {directory}\n"
    )
    with valkey(str(config), "--sentinel") as port:
        yield port


# In ARQ's words


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (None, ("localhost", 6379, None, 0, None)),
        ("redis://ann:secret@h:1/2", ("h", 1, None, 2, "secret")),
        (f"redis://:{QUOTED}@h:1", ("h", 1, None, 0, PASSWORD)),
        ("unix:///run/redis.sock?db=3", ("localhost", 6379, "/run/redis.sock", 3, None)),
    ],
)
def test_arqs_own_command_finds_the_same_server(url: str | None, expected: tuple[Any, ...]) -> None:
    settings = arq_settings(url)

    assert (
        settings.host,
        settings.port,
        settings.unix_socket_path,
        settings.database,
        settings.password,
    ) == expected
    assert arq_settings("rediss://h").ssl
