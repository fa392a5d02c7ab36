"""Connections to Redis: plain, TLS, unix socket, Sentinel or Cluster, from one URL.

ARQ's own pool raises when it is exhausted (D5) and drops most settings with Sentinel (D6); this one
waits, and has a timeout on everything. It never sends a command twice by itself: a lost answer does
not say whether the script ran, and only the caller knows what that means.
"""

from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from arq.connections import RedisSettings
from redis import ConnectionPool as SyncConnectionPool
from redis import Redis as SyncRedis
from redis import Sentinel as SyncSentinel
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.sentinel import SentinelConnectionPool as SyncSentinelConnectionPool
from typing_extensions import override

from worker.redis_cluster import Cluster, untag_replies
from worker.redis_cluster_connection import (
    ClusterConnection,
    ClusterSSLConnection,
    SyncClusterConnection,
    SyncClusterSSLConnection,
)
from worker.redis_url import CLUSTER, SENTINEL, nodes_of, service_of, tag_of
from worker.startup import StartupError

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
    if parts.scheme in CLUSTER:
        common |= {"max_connections": _MAX_CONNECTIONS, "timeout": _POOL_WAIT}
        common |= _options(parts, ClusterConnection, ClusterSSLConnection)
        pool = BlockingConnectionPool(**common)
        opened = _owning(client(connection_pool=pool, **options))
        untag_replies(opened, common["cluster"])
        return opened
    if parts.scheme not in SENTINEL:
        pool = BlockingConnectionPool.from_url(
            url, max_connections=_MAX_CONNECTIONS, timeout=_POOL_WAIT, **common
        )
        return _owning(client(connection_pool=pool, **options))
    name, database = service_of(parts)
    password = unquote(parts.password) if parts.password else None
    sentinels = Sentinel(nodes_of(parts), sentinel_kwargs={"socket_timeout": 5}, **common)
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
    if parts.scheme in CLUSTER:
        given = {**common, **_options(parts, SyncClusterConnection, SyncClusterSSLConnection)}
        given.pop("timeout", None)  # for a place in a pool, of which a thread has all
        return SyncRedis.from_pool(SyncConnectionPool(**given))
    if parts.scheme not in SENTINEL:
        return SyncRedis.from_url(url, **common)
    name, database = service_of(parts)
    sentinels = SyncSentinel(nodes_of(parts), sentinel_kwargs={"socket_timeout": 5}, **common)
    master: SyncRedis = sentinels.master_for(
        name,
        db=database,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        connection_pool_class=_SyncSentinelPool,
    )
    return master


def _options(parts: SplitResult, plain: type, secure: type) -> dict[str, Any]:
    """Of connections to a cluster, from `redis+cluster://user:secret@h1:7000,h2:7001/deskhand`.

    The path is the tag of the keys. Options of redis-py's may follow (`?ssl_ca_certs=…`).
    """
    cluster = Cluster(nodes_of(parts), tag_of(parts))
    given: dict[str, Any] = {**parse_url(_one_node(parts))}
    if given.get("db"):
        raise ValueError("a Redis Cluster has one database; its path names the tag of the keys")
    kind = secure if given.pop("connection_class", None) else plain
    return {**given, "connection_class": kind, "cluster": cluster}


def _one_node(parts: SplitResult) -> str:
    """A URL for redis-py, with the login and the options; the host is another for each node."""
    login = parts.netloc.rpartition("@")[0]
    host = f"{login}@node" if login else "node"
    return f"{parts.scheme.partition('+')[0]}://{host}?{parts.query}"


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
    if parts.scheme in CLUSTER:  # ARQ can only ever ask one node
        host, port = nodes_of(parts)[0]
        return replace(arq_settings(_one_node(parts)), host=host, port=port)
    if parts.scheme not in SENTINEL:
        settings = RedisSettings.from_dsn(url)
        password = unquote(settings.password) if settings.password else None  # ARQ leaves it quoted
        return replace(settings, password=password)
    name, database = service_of(parts)
    return RedisSettings(
        host=nodes_of(parts),
        sentinel=True,
        sentinel_master=name,
        database=database,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )
