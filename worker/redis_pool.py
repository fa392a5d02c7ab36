"""Connections to Redis: plain, TLS, unix socket or Sentinel, from one URL.

ARQ's own pool raises when it is exhausted (D5) and drops most settings with Sentinel (D6); this one
waits, and has a timeout on everything. It never sends a command twice by itself: a lost answer does
not say whether the script ran, and only the caller knows what that means.
"""

from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from arq.connections import RedisSettings
from redis import Redis as SyncRedis
from redis import Sentinel as SyncSentinel
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.sentinel import SentinelConnectionPool as SyncSentinelConnectionPool
from typing_extensions import override

from worker.startup import StartupError

_SENTINEL = "redis+sentinel"
_MAX_CONNECTIONS = 50
_POOL_WAIT = 20  # seconds

Client = TypeVar("Client", bound=Redis)


class _SentinelPool(SentinelConnectionPool):
    """redis-py leaves the connections to the sentinels themselves open; they end with the rest."""

    @override
    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()


class _SyncSentinelPool(SyncSentinelConnectionPool):
    """The same for a thread."""

    @override
    def disconnect(self, inuse_connections: bool = True) -> None:
        super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                sentinel.close()


def open_redis(url: str, client: type[Client], **options: Any) -> Client:
    """A client of this class; nothing is connected yet. Raises ValueError for a wrong URL."""
    common: dict[str, Any] = {
        "socket_connect_timeout": 5,
        "socket_timeout": 20,
        "health_check_interval": 30,
        "retry": Retry(NoBackoff(), 0),
    }
    parts = urlsplit(url)
    if parts.scheme != _SENTINEL:
        pool = BlockingConnectionPool.from_url(
            url, max_connections=_MAX_CONNECTIONS, timeout=_POOL_WAIT, **common
        )
        return _owning(client(connection_pool=pool, **options))
    name, database = _service(parts.path)
    password = unquote(parts.password) if parts.password else None
    sentinels = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has no types here
        _addresses(parts.netloc), sentinel_kwargs={"socket_timeout": 5}, **common
    )
    master = sentinels.master_for(
        name,
        db=database,
        username=unquote(parts.username) if parts.username else None,
        password=password,
        connection_pool_class=_SentinelPool,
    )
    return _owning(client(connection_pool=master.connection_pool, **options))


def open_redis_for_thread(url: str, *, timeout: float = 5) -> SyncRedis:
    """A client for a thread of its own, to the same server, whose calls take at most so long.

    Raises ValueError for a wrong URL.
    """
    common: dict[str, Any] = {"socket_connect_timeout": timeout, "socket_timeout": timeout}
    parts = urlsplit(url)
    if parts.scheme != _SENTINEL:
        return SyncRedis.from_url(url, **common)
    name, database = _service(parts.path)
    sentinels = SyncSentinel(  # type: ignore[no-untyped-call]  # redis-py has no types here
        _addresses(parts.netloc), sentinel_kwargs={"socket_timeout": 5}, **common
    )
    master: SyncRedis = sentinels.master_for(  # type: ignore[no-untyped-call]  # as above
        name,
        db=database,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        connection_pool_class=_SyncSentinelPool,
    )
    return master


def _service(path: str) -> tuple[str, int]:
    """The name of the Sentinel's service and the database, as in `/mymaster/0`."""
    name, _, database = path.strip("/").partition("/")
    return name or "mymaster", int(database or 0)


def _owning(client: Client) -> Client:
    """Have `aclose()` close the pool too: nobody else knows it."""
    client.auto_close_connection_pool = True
    client.connection_pool.connection_class = _sturdy(client.connection_pool.connection_class)
    return client


def _sturdy(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """uvloop raises RuntimeError for a connection that just died: say what everybody expects."""

    class Sturdy(kind):  # type: ignore[misc,valid-type]  # made from what the URL asks for
        async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
            try:
                await super().send_packed_command(*args, **kwargs)
            except RuntimeError as error:
                await self.disconnect(nowait=True)
                raise RedisConnectionError(f"Redis closed the connection: {error}") from None

    return Sturdy


def _addresses(netloc: str) -> list[tuple[str, int]]:
    hosts = netloc.rpartition("@")[2].split(",")
    pairs = [host.rpartition(":") if ":" in host else (host, ":", "26379") for host in hosts]
    return [(host.strip("[]"), int(port)) for host, _, port in pairs]


async def check_login(client: Redis) -> None:
    """Ping. Raises StartupError for a wrong password, which no waiting mends."""
    try:
        await client.ping()
    except AuthenticationError:
        raise StartupError("Redis (REDIS_URL) refuses our name or password") from None


def arq_settings(url: str | None) -> RedisSettings:
    """The same server in ARQ's words, for what ARQ's own command connects to (`--check`)."""
    if url is None:
        return RedisSettings()
    parts = urlsplit(url)
    if parts.scheme != _SENTINEL:
        return RedisSettings.from_dsn(url)
    name, database = _service(parts.path)
    return RedisSettings(
        host=_addresses(parts.netloc),
        sentinel=True,
        sentinel_master=name,
        database=database,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )
