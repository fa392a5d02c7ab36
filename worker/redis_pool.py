"""Connections to Redis: plain, TLS, unix socket or Sentinel, from one URL.

ARQ's own pool raises when it is exhausted (D5) and drops most settings with Sentinel (D6); this one
waits, and has a timeout on everything. It never sends a command twice by itself: a lost answer does
not say whether the script ran, and only the caller knows what that means.
"""

from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from arq.connections import RedisSettings
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError

from worker.startup import StartupError

_SENTINEL = "redis+sentinel"
_MAX_CONNECTIONS = 50
_POOL_WAIT = 20  # seconds

Client = TypeVar("Client", bound=Redis)


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
    name, _, database = parts.path.strip("/").partition("/")
    password = unquote(parts.password) if parts.password else None
    sentinels = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has no types here
        _addresses(parts.netloc), sentinel_kwargs={"socket_timeout": 5}, **common
    )
    master = sentinels.master_for(
        name or "mymaster",
        db=int(database or 0),
        username=unquote(parts.username) if parts.username else None,
        password=password,
    )
    return _owning(client(connection_pool=master.connection_pool, **options))


def _owning(client: Client) -> Client:
    """Have `aclose()` close the pool too: nobody else knows it."""
    client.auto_close_connection_pool = True
    return client


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
    name, _, database = parts.path.strip("/").partition("/")
    return RedisSettings(
        host=_addresses(parts.netloc),
        sentinel=True,
        sentinel_master=name or "mymaster",
        database=int(database or 0),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )
